/* From ONNX's nodes to Keras' layers: what the files keras_write*.c share. The same
 * conventions as in keras_build.h: a Keras tensor is an ONNX value with its axes in
 * another order, and Permute layers stand only where a layer asks for an order. */
#pragma once

#include "formats/keras_read.h"
#include "model/shape.h"

#include <jansson.h>

/* The tensor of Keras that an ONNX value is. */
struct i3d_keras_tensor {
    bool is_made;
    size_t layer; /* that makes it */
    int rank;
    int order[I3D_MAX_RANK]; /* Keras' axis k is the value's axis order[k] */
};

struct i3d_keras_made {
    const char *name, *class_name;
    json_t *config;
    size_t *inputs, input_count; /* layers */
    struct {
        const char *role;
        struct i3d_tensor tensor; /* in Keras' layout; source owned until it is handed over */
    } weights[4];
    size_t weight_count;
};

struct i3d_keras_writer {
    const struct i3d_model *model;
    struct i3d_arena *arena;
    struct i3d_index *index;
    struct i3d_shapes *shapes;
    struct i3d_error *error;
    enum i3d_status status; /* after the first failure every function does nothing */
    const struct i3d_node *node; /* at work */
    struct i3d_keras_tensor *tensors; /* by i3d_index_value */
    struct i3d_keras_made *layers;
    size_t layer_count, layer_room;
    json_t *names;
    const char *dtype; /* of every layer */
};

__attribute__((format(printf, 2, 3)))
void i3d_keras_reject(struct i3d_keras_writer *writer, const char *format, ...);

/* Appends a layer of the node, told apart from its others by suffix, on top of tensor;
 * config is taken over. Returns the layer, which may move when the next is added. */
struct i3d_keras_made *i3d_keras_layer(struct i3d_keras_writer *writer, const char *class_name,
                                       const char *suffix, json_t *config,
                                       struct i3d_keras_tensor *tensor);
/* Appends a layer of count inputs; *tensor has the rank and order of the first. */
struct i3d_keras_made *i3d_keras_merge(struct i3d_keras_writer *writer, const char *class_name,
                                       const char *suffix, json_t *config,
                                       const struct i3d_keras_tensor *inputs, size_t count,
                                       struct i3d_keras_tensor *tensor);
/* Gives the last layer a weight: the elements that view shows of tensor. */
void i3d_keras_put_weight(struct i3d_keras_writer *writer, const char *role,
                          const struct i3d_tensor *tensor, const struct i3d_view *view);

/* Input k of the node as Keras has it; refused if it is none that Keras can have. */
struct i3d_keras_tensor i3d_keras_input(struct i3d_keras_writer *writer, size_t k);
/* The stored tensor that input k is, or null. */
const struct i3d_tensor *i3d_keras_stored(const struct i3d_keras_writer *writer, size_t k);
const struct i3d_shape *i3d_keras_shape(const struct i3d_keras_writer *writer,
                                        const char *value);
/* Puts a Permute ahead where the order is another. */
void i3d_keras_images(struct i3d_keras_writer *writer, struct i3d_keras_tensor *tensor);
void i3d_keras_rows(struct i3d_keras_writer *writer, struct i3d_keras_tensor *tensor);
/* Reshapes tensor, whose shape is from, to the ONNX shape. */
void i3d_keras_to_shape(struct i3d_keras_writer *writer, const struct i3d_shape *from,
                        const struct i3d_shape *to, struct i3d_keras_tensor *tensor);

json_t *i3d_keras_list(const int64_t *values, int count);

/* The layers of one node; *output is what its first output becomes. */
void i3d_keras_write_node(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
/* Nodes with windows, and Gemm and MatMul. */
void i3d_keras_write_conv(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
void i3d_keras_write_pool(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
void i3d_keras_write_pad(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
void i3d_keras_write_dense(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
void i3d_keras_write_norm(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
