/* From Keras' layers to ONNX's nodes: what the files keras_build*.c share.
 *
 * A value stands for a tensor of Keras: its ONNX value's axes in another order. order[k] is
 * the ONNX axis that Keras' axis k is. Keras' channels_last images are values in the
 * order N, H, W, C of an ONNX value N×C×H×W, so that a network has the layout of ONNX's
 * operators without any Transpose, but where a layer looks at the order of elements. */
#pragma once

#include "formats/keras_config.h"

struct i3d_keras_value {
    const char *name; /* of the ONNX value; null: none */
    int rank;
    int order[I3D_MAX_RANK];
    bool is_pixel; /* every spatial axis is known to have size 1 */
};

struct i3d_keras_builder {
    struct i3d_model *model;
    struct i3d_error *error;
    enum i3d_status status; /* after the first failure every function does nothing */
    bool channels_first;
    int keras_version; /* 1, 2, 3 */
    const struct i3d_keras_layer *layer; /* at work */
    json_t *names;    /* of values and tensors: taken; false for tensors that are permuted */
    json_t *suffixes; /* of names: the number that the next one gets */
    json_t *tensors;  /* names of tensors: their places */
    size_t work;      /* layers looked at, to bound shared networks in shared networks */
};

/* One call of a layer: of inputs it makes output. */
typedef void i3d_keras_make(struct i3d_keras_builder *builder,
                            const struct i3d_keras_value *inputs, size_t input_count,
                            struct i3d_keras_value *output);

/* The weights of a class of layers, in Keras' order; some depend on the config. */
struct i3d_keras_weight {
    const char *role;      /* "kernel" */
    const char *condition; /* key of the config that has to be true, or null */
    bool frozen;           /* never trainable */
};

struct i3d_keras_class {
    const char *name;
    i3d_keras_make *make;
    struct i3d_keras_weight weights[I3D_KERAS_MAX_WEIGHTS];
    size_t inputs; /* how many it takes; 0: one or more */
    int axes;      /* spatial axes of its kind, or 0 */
};
/* The class, or null. */
const struct i3d_keras_class *i3d_keras_class(const char *name);

/* As Keras 3 calls classes in a path: GlobalAveragePooling2D is global_average_pooling2d. */
void i3d_keras_snake_case(const char *class_name, char *snake, size_t size);

/* Spatial axes of the layer's class. */
int i3d_keras_axes(const struct i3d_keras_builder *builder);

/* Failures, with the layer's name: of what is valid but not handled, and of what is not
 * valid. */
__attribute__((format(printf, 2, 3)))
void i3d_keras_refuse(struct i3d_keras_builder *builder, const char *format, ...);
__attribute__((format(printf, 2, 3)))
void i3d_keras_blame(struct i3d_keras_builder *builder, const char *format, ...);

/* Keys of the layer's config; null and missing ones are the fallback. */
bool i3d_keras_flag(struct i3d_keras_builder *builder, const char *key, bool fallback);
double i3d_keras_number(struct i3d_keras_builder *builder, const char *key, double fallback);
int64_t i3d_keras_integer(struct i3d_keras_builder *builder, const char *key, int64_t fallback);
/* Never null. */
const char *i3d_keras_text(struct i3d_keras_builder *builder, const char *key,
                           const char *fallback);
/* count integers, or one that stands for all. */
void i3d_keras_integers(struct i3d_keras_builder *builder, const char *key, size_t count,
                        int64_t fallback, int64_t *values);
json_t *i3d_keras_get(const struct i3d_keras_builder *builder, const char *key);

/* A name that nothing has yet: hint, or hint with a number. */
const char *i3d_keras_name(struct i3d_keras_builder *builder, const char *hint);
/* Appends a node whose single output has a new name and is called like the layer, what
 * distinguishing it from the layer's other nodes. Inputs end with a null. The pointer
 * holds until the next node. */
struct i3d_node *i3d_keras_node(struct i3d_keras_builder *builder, const char *op_type,
                                const char *what, const char *const *inputs,
                                const char **output);
/* i3d_keras_node of one input, which value, changed in place, is. */
struct i3d_node *i3d_keras_step(struct i3d_keras_builder *builder, const char *op_type,
                                const char *what, struct i3d_keras_value *value);
/* Initializers of small constants: their names. */
const char *i3d_keras_floats(struct i3d_keras_builder *builder, const char *hint, int rank,
                             const int64_t *dims, const float *values);
const char *i3d_keras_float(struct i3d_keras_builder *builder, const char *hint, float value);
const char *i3d_keras_ints(struct i3d_keras_builder *builder, const char *hint, size_t count,
                           const int64_t *values);

/* The tensor of the layer's weight number k, or null. */
struct i3d_tensor *i3d_keras_weight(struct i3d_keras_builder *builder, size_t k);
/* Lets the tensor's axes be those in permutation, once; its last dims are then seen as
 * dims. Does nothing if the tensor was permuted for an earlier call of the layer. */
void i3d_keras_permute(struct i3d_keras_builder *builder, struct i3d_tensor *tensor,
                       const int *permutation, int rank, const int64_t *dims);

/* The order in which ONNX's operators see Keras' tensor: channels to the front where they
 * are last. */
void i3d_keras_canonical(const struct i3d_keras_builder *builder, int rank, int *order);
/* Has the value's ONNX axes come in the canonical order (or in Keras' own): by a
 * Transpose where they do not. */
void i3d_keras_make_canonical(struct i3d_keras_builder *builder, struct i3d_keras_value *value);
void i3d_keras_make_plain(struct i3d_keras_builder *builder, struct i3d_keras_value *value);
/* The ONNX axis of Keras' axis, which may be negative. */
int64_t i3d_keras_axis(struct i3d_keras_builder *builder, const struct i3d_keras_value *value,
                       int64_t axis);

/* Applies the function of that name, as Keras calls it, in place. */
void i3d_keras_activate(struct i3d_keras_builder *builder, const char *function,
                        struct i3d_keras_value *value);
/* Applies the layer's own: its key "activation". */
void i3d_keras_activate_layer(struct i3d_keras_builder *builder, struct i3d_keras_value *value);

i3d_keras_make i3d_keras_make_activation, i3d_keras_make_relu, i3d_keras_make_leaky_relu,
    i3d_keras_make_elu, i3d_keras_make_prelu, i3d_keras_make_softmax, i3d_keras_make_convolution,
    i3d_keras_make_depthwise, i3d_keras_make_separable, i3d_keras_make_pool,
    i3d_keras_make_global_pool, i3d_keras_make_zero_padding, i3d_keras_make_cropping, i3d_keras_make_transposed,
    i3d_keras_make_upsampling, i3d_keras_make_dense,
    i3d_keras_make_batch_normalization, i3d_keras_make_merge, i3d_keras_make_concatenate,
    i3d_keras_make_dropout, i3d_keras_make_identity, i3d_keras_make_flatten,
    i3d_keras_make_reshape, i3d_keras_make_permute, i3d_keras_make_rescaling;
