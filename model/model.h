/* The model: ONNX's graph (operator names, attributes and semantics are those
 * of the ONNX operator specification), tensors and metadata. Everything small
 * lives in the model's arena; sources are counted references.
 *
 * Names are NUL-terminated; readers refuse names with a NUL inside. Attribute
 * strings carry a length and may hold any byte. */
#pragma once

#include "model/arena.h"
#include "model/tensor.h"

#include <stdbool.h>

/* Bytes in the arena: attribute strings, and fields of a file that this program
 * does not know but carries along. data is null when length is 0. */
struct i3d_bytes {
    const void *data;
    size_t length;
};

enum i3d_attribute_type { /* ONNX AttributeProto.AttributeType */
    I3D_ATTRIBUTE_RAW = 0, /* any other, carried as it stood: see raw */
    I3D_ATTRIBUTE_FLOAT = 1,
    I3D_ATTRIBUTE_INT = 2,
    I3D_ATTRIBUTE_STRING = 3,
    I3D_ATTRIBUTE_TENSOR = 4,
    I3D_ATTRIBUTE_GRAPH = 5,
    I3D_ATTRIBUTE_FLOATS = 6,
    I3D_ATTRIBUTE_INTS = 7,
    I3D_ATTRIBUTE_STRINGS = 8,
};

struct i3d_attribute {
    const char *name;
    enum i3d_attribute_type type;
    float f;
    int64_t i;
    struct i3d_bytes s;
    struct i3d_tensor *tensor;
    size_t count; /* of floats, ints or strings */
    const float *floats;
    const int64_t *ints;
    const struct i3d_bytes *strings;
    /* RAW and GRAPH: the whole AttributeProto message as it stood in the file, so
     * that it can be written again. RAW is also a tensor of a type that no
     * i3d_tensor can hold. */
    struct i3d_bytes raw;
};

struct i3d_node {
    const char *name;    /* may be empty */
    const char *op_type;
    const char *domain;  /* "" is ONNX's own */
    const char *doc;     /* or null */
    const char **inputs; /* "" stands for an optional input left out */
    const char **outputs;
    size_t input_count, output_count;
    struct i3d_attribute *attributes;
    size_t attribute_count;
    struct i3d_bytes unknown;
};

struct i3d_dim {
    int64_t value;    /* -1: not known */
    const char *name; /* symbolic name (dim_param), or null */
};

/* A graph input, output, or annotated value. */
struct i3d_value {
    const char *name;
    enum i3d_dtype dtype;
    int rank; /* -1: not known */
    struct i3d_dim dims[I3D_MAX_RANK];
    const char *doc;
    struct i3d_bytes unknown;
};

struct i3d_pair {
    const char *key, *value;
};

struct i3d_opset {
    const char *domain;
    int64_t version;
};

struct i3d_model {
    struct i3d_arena *arena;
    const char *container; /* name of the format it was read from, or null */
    const char *path;      /* file it was read from, or null */

    const char *name; /* of the graph */
    const char *doc;
    const char *producer, *producer_version, *domain;
    int64_t ir_version;    /* ONNX IR version; 0 if none was given */
    int64_t model_version;
    struct i3d_opset *opsets;
    size_t opset_count;
    struct i3d_pair *metadata;
    size_t metadata_count;
    struct i3d_bytes unknown_model, unknown_graph;

    /* Index of the time axis in the graph's inputs (2 in N×C×T×H×W), or -1. */
    int time_axis;

    struct i3d_value *inputs, *outputs, *values; /* inputs exclude initializers */
    size_t input_count, output_count, value_count;
    struct i3d_node *nodes; /* in topological order */
    size_t node_count;
    struct i3d_tensor *tensors; /* initializers, or all there is in a weights-only file */
    size_t tensor_count;

    /* Capacities of the arrays above, kept by the i3d_model_add_ functions. */
    size_t opset_room, metadata_room, input_room, output_room, value_room, node_room,
        tensor_room;
};

/* An empty model with time_axis -1 and empty strings for its names; null when
 * memory is short. */
struct i3d_model *i3d_model_new(void);
void i3d_model_free(struct i3d_model *model);

/* A deep copy in a fresh arena; sources are shared. */
enum i3d_status i3d_model_copy(const struct i3d_model *model, struct i3d_model **copy,
                               struct i3d_error *error);

/* Append a deep copy of another model's node or tensor (its source is shared);
 * null when memory is short. */
struct i3d_node *i3d_model_copy_node(struct i3d_model *to, const struct i3d_node *from);
struct i3d_tensor *i3d_model_copy_tensor(struct i3d_model *to, const struct i3d_tensor *from);

/* Each appends a zeroed element (rank -1 for values, empty strings for a node's
 * names) and returns it, or null when memory is short. The pointer holds until
 * the next one is added. */
struct i3d_node *i3d_model_add_node(struct i3d_model *model);
struct i3d_tensor *i3d_model_add_tensor(struct i3d_model *model);
struct i3d_value *i3d_model_add_input(struct i3d_model *model);
struct i3d_value *i3d_model_add_output(struct i3d_model *model);
struct i3d_value *i3d_model_add_value(struct i3d_model *model);

/* Appends a tensor; name is copied, source's reference is taken over, also on
 * failure (a null source is a failure of memory: the constructors' answer). */
enum i3d_status i3d_model_put_tensor(struct i3d_model *model, const char *name,
                                     enum i3d_dtype dtype, int rank, const int64_t *dims,
                                     struct i3d_source *source, struct i3d_error *error);
/* Appends a float32 or int64 tensor holding a copy of values. */
enum i3d_status i3d_model_put_ints(struct i3d_model *model, const char *name, int rank,
                                   const int64_t *dims, const int64_t *values,
                                   struct i3d_error *error);
enum i3d_status i3d_model_put_floats(struct i3d_model *model, const char *name, int rank,
                                     const int64_t *dims, const float *values,
                                     struct i3d_error *error);

/* Appends a node; every string is copied. inputs and outputs end with a null. */
struct i3d_node *i3d_model_put_node(struct i3d_model *model, const char *op_type,
                                    const char *name, const char *const *inputs,
                                    const char *const *outputs);

/* Set an attribute of a node in model (replaced if it is there); values are
 * copied. False when memory is short. */
bool i3d_set_int(struct i3d_model *model, struct i3d_node *node, const char *name, int64_t value);
bool i3d_set_ints(struct i3d_model *model, struct i3d_node *node, const char *name,
                  const int64_t *values, size_t count);
bool i3d_set_floats(struct i3d_model *model, struct i3d_node *node, const char *name,
                    const float *values, size_t count);
bool i3d_set_float(struct i3d_model *model, struct i3d_node *node, const char *name, float value);
bool i3d_set_string(struct i3d_model *model, struct i3d_node *node, const char *name,
                    const char *value);
void i3d_drop_attribute(struct i3d_node *node, const char *name);

/* Reading attributes; the fallback stands where there is none of that type. */
const struct i3d_attribute *i3d_attribute(const struct i3d_node *node, const char *name);
int64_t i3d_int(const struct i3d_node *node, const char *name, int64_t fallback);
float i3d_float(const struct i3d_node *node, const char *name, float fallback);
/* Whether the attribute is a string equal to value. */
bool i3d_string_is(const struct i3d_node *node, const char *name, const char *value);
/* The ints and their count, or null and 0. */
const int64_t *i3d_ints(const struct i3d_node *node, const char *name, size_t *count);

/* Metadata: the value of key, or null; set replaces, and copies both. */
const char *i3d_metadata(const struct i3d_model *model, const char *key);
bool i3d_set_metadata(struct i3d_model *model, const char *key, const char *value);

/* Version of ONNX's own operator set that the model asks for; 0 if none. */
int64_t i3d_opset(const struct i3d_model *model);
bool i3d_set_opset(struct i3d_model *model, const char *domain, int64_t version);

/* The tensor of that name, by linear search, or null. */
struct i3d_tensor *i3d_find_tensor(const struct i3d_model *model, const char *name);

/* Whether node is operator op_type of ONNX's own domain. */
bool i3d_is(const struct i3d_node *node, const char *op_type);

/* Checks what no reader may let pass: tensor lengths fit their shapes, names of
 * tensors and values are there and unique (every value has one producer), each
 * node input is produced before it is used, graph outputs are produced.
 * I3D_MALFORMED with the name. Repeated initializers of equal name fail too. */
enum i3d_status i3d_model_check(const struct i3d_model *model, struct i3d_error *error);
