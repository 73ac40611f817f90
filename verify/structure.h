/* What a graph is once names and layout are left out: which node a value comes
 * from, what kind of layer that is, what it reads; not installed. */
#pragma once

#include "model/shape.h"

/* Where a value was computed: the node behind all transparent ones. */
struct i3d_origin {
    int64_t node;  /* -1: a graph input or a tensor */
    size_t output; /* which of the node's */
    bool tensor;
};

struct i3d_structure {
    const struct i3d_model *model;
    struct i3d_index *index;
    struct i3d_shapes *shapes;
    bool timed;       /* axis 2 of its input is time */
    struct i3d_origin *origins; /* by node: of its first output */
    uint64_t *hashes; /* by node: the same for nodes that compute the same from the same */
};

/* input is the shape that the graph's only input has. The model has to stay
 * unchanged until i3d_structure_close, which is needed after failure too. */
enum i3d_status i3d_structure_open(const struct i3d_model *model, const struct i3d_shape *input,
                                   bool timed, struct i3d_structure *structure,
                                   struct i3d_error *error);
void i3d_structure_close(struct i3d_structure *structure);

/* The tensor of that name, or null. */
const struct i3d_tensor *i3d_structure_tensor(const struct i3d_structure *structure,
                                              const char *name);

struct i3d_origin i3d_origin_of(const struct i3d_structure *structure, const char *value);

/* A node that hands its first input on unchanged, but for the layout and for
 * frames that repeat: Identity, Dropout, Cast, Reshape and its kin, Pad, a mean
 * over time alone. */
bool i3d_is_transparent(const struct i3d_structure *structure, const struct i3d_node *node);
/* Softmax or LogSoftmax. */
bool i3d_is_softmax(const struct i3d_node *node);
/* A pool that windows time alone, or nothing: on a video of one repeated image
 * it hands its input on. */
bool i3d_is_temporal_pool(const struct i3d_node *node);
/* Convolutions, and matrix products with a stored matrix. */
bool i3d_is_kernel(const struct i3d_structure *structure, const struct i3d_node *node);

/* Whether two nodes are layers of one kind, with equally many data inputs: a
 * matrix is a convolution, a mean over space an average pool, as a head is
 * written either way. */
bool i3d_same_kind(const struct i3d_structure *a, const struct i3d_node *node_a,
                   const struct i3d_structure *b, const struct i3d_node *node_b);

/* Inputs 0 … count-1 carry activations; the rest are parameters and shapes. */
size_t i3d_data_inputs(const struct i3d_structure *structure, const struct i3d_node *node);

/* The kernel that a BatchNormalization is applied to, if nothing else reads it:
 * the node's position, or -1. */
int64_t i3d_kernel_under(const struct i3d_structure *structure, const struct i3d_node *node);

/* The hash of what a value was computed from. */
uint64_t i3d_value_hash(const struct i3d_structure *structure, const char *value);
