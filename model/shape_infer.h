/* What the files of shape inference share; not installed. shape.c walks the
 * graph, shape_ops.c says which rule an operator follows, the other shape_ files
 * hold the rules for shapes, known_ints.c those for contents. */
#pragma once

#include "model/shape.h"

enum { I3D_MAX_KNOWN_INTS = 64 };

/* The contents of a small integer value, in C order. */
struct i3d_ints {
    int count;
    int64_t values[I3D_MAX_KNOWN_INTS];
    bool known[I3D_MAX_KNOWN_INTS];
};

/* What is known of one value. */
struct i3d_fact {
    struct i3d_shape shape;
    const struct i3d_ints *ints; /* null: nothing. Else every dim is known, and their product
                                    is ints->count */
};

/* One node being looked at. */
struct i3d_inference {
    const struct i3d_model *model;
    const struct i3d_index *index;
    struct i3d_arena *arena; /* of the results */
    struct i3d_fact *facts;  /* by the index' numbers */
    int64_t opset;
    const struct i3d_node *node;
    struct i3d_error *error;
};

/* A rule fills outputs from inputs, what it cannot tell it leaves unknown. */
typedef enum i3d_status i3d_infer_rule(const struct i3d_inference *op);

struct i3d_infer_row {
    const char *op_type;
    size_t required;        /* inputs that no version of the operator can do without */
    i3d_infer_rule *shape;
    i3d_infer_rule *ints;   /* contents of output 0, where shape left it integer and small; or
                               null */
};
/* The row of a node's operator, or null. */
const struct i3d_infer_row *i3d_infer_row(const struct i3d_node *node);

/* Input k; all unknown where it is left out. */
const struct i3d_fact *i3d_infer_in(const struct i3d_inference *op, size_t k);
bool i3d_infer_has(const struct i3d_inference *op, size_t k);
/* Output k, or null where nobody wants it. */
struct i3d_fact *i3d_infer_out(const struct i3d_inference *op, size_t k);
/* Stores the shape of output k; I3D_MALFORMED if its elements cannot be counted. */
enum i3d_status i3d_infer_set(const struct i3d_inference *op, size_t k,
                              const struct i3d_shape *shape);
/* A shape of rank dims that are not known. A rank beyond I3D_MAX_RANK is unknown too. */
struct i3d_shape i3d_infer_open(enum i3d_dtype dtype, int64_t rank);

/* Elements of shape, or -1 where a dim is not known. */
int64_t i3d_infer_elements(const struct i3d_shape *shape);

/* axis counted from 0; I3D_MALFORMED outside [-rank, rank). */
enum i3d_status i3d_infer_axis(const struct i3d_inference *op, int64_t axis, int rank, int *out);

/* A list that older operator versions carry as an attribute and newer ones as
 * an input (attribute null: never one). */
struct i3d_infer_list {
    bool present;
    bool complete; /* present, and every number is known */
    int count;     /* -1: not known */
    int64_t values[I3D_MAX_KNOWN_INTS];
    bool known[I3D_MAX_KNOWN_INTS];
};
void i3d_infer_list(const struct i3d_inference *op, const char *attribute, size_t input,
                    struct i3d_infer_list *list);

/* The tensor that an attribute holds, or null. */
const struct i3d_tensor *i3d_infer_tensor(const struct i3d_inference *op, const char *attribute);

/* Such a list of axes as one flag per axis; I3D_MALFORMED for one that is out of
 * range or there twice. Call with a complete list. */
enum i3d_status i3d_infer_axes(const struct i3d_inference *op, const struct i3d_infer_list *list,
                               int rank, bool *chosen);

/* The floats of a constant (an initializer, or made by Constant), at most limit;
 * *count is -1 where the input is not constant or too long. */
enum i3d_status i3d_infer_floats(const struct i3d_inference *op, size_t input, int limit,
                                 float *values, int *count);

/* numpy's multidirectional broadcasting of a into both; I3D_MALFORMED where it is
 * not possible. dtype stays both's unless that is undefined. */
enum i3d_status i3d_infer_broadcast(const struct i3d_inference *op, const struct i3d_shape *a,
                                    struct i3d_shape *both);

/* I3D_MALFORMED unless small broadcasts to target without making it larger. */
enum i3d_status i3d_infer_fits(const struct i3d_inference *op, const struct i3d_shape *small,
                               const struct i3d_shape *target);

/* A Slice resolved for one input: element k of axis i is input element
 * start[i] + k·step[i]. count is -1, and start means nothing, where not known. */
struct i3d_infer_slice {
    int64_t start[I3D_MAX_RANK], step[I3D_MAX_RANK], count[I3D_MAX_RANK];
};
enum i3d_status i3d_infer_slice(const struct i3d_inference *op, struct i3d_infer_slice *slice,
                                bool *resolved);

/* The permutation of a Transpose. */
enum i3d_status i3d_infer_permutation(const struct i3d_inference *op, int rank, int *permutation);

/* Output sizes of a ConvTranspose; -1 stays -1 where it matters. */
enum i3d_status i3d_infer_transposed_window(const struct i3d_node *node, int axes,
                                            const int64_t *kernel_dims, const int64_t *in_dims,
                                            int64_t *out_dims, struct i3d_error *error);

/* Says at which node an error arose. */
enum i3d_status i3d_infer_where(const struct i3d_node *node, struct i3d_error *error);

/* The rules, by file. shape_pointwise.c: */
i3d_infer_rule i3d_infer_like_input, i3d_infer_predicate, i3d_infer_cast, i3d_infer_dropout,
    i3d_infer_softmax, i3d_infer_elementwise, i3d_infer_comparison, i3d_infer_where_select,
    i3d_infer_prelu;
/* shape_layers.c: */
i3d_infer_rule i3d_infer_conv, i3d_infer_conv_transpose, i3d_infer_pool, i3d_infer_global_pool,
    i3d_infer_batch_normalization, i3d_infer_channel_affine, i3d_infer_matmul, i3d_infer_gemm;
/* shape_layout.c: */
i3d_infer_rule i3d_infer_constant, i3d_infer_shape, i3d_infer_size, i3d_infer_constant_of_shape,
    i3d_infer_expand, i3d_infer_tile, i3d_infer_concat, i3d_infer_split, i3d_infer_slice_shape,
    i3d_infer_pad, i3d_infer_transpose, i3d_infer_gather, i3d_infer_depth_to_space,
    i3d_infer_space_to_depth;
/* shape_reshape.c: */
i3d_infer_rule i3d_infer_reshape, i3d_infer_flatten, i3d_infer_squeeze, i3d_infer_unsqueeze,
    i3d_infer_reduce, i3d_infer_arg_reduce;
/* shape_resize.c: */
i3d_infer_rule i3d_infer_resize, i3d_infer_upsample;
/* known_ints.c: */
i3d_infer_rule i3d_ints_copy, i3d_ints_shape, i3d_ints_size, i3d_ints_gather, i3d_ints_concat,
    i3d_ints_slice, i3d_ints_transpose, i3d_ints_expand, i3d_ints_arithmetic, i3d_ints_constant,
    i3d_ints_constant_of_shape;
/* The contents of a tensor that is small, integer and of rank 0 or 1, or null. */
enum i3d_status i3d_ints_of_tensor(struct i3d_arena *arena, const struct i3d_tensor *tensor,
                                   const struct i3d_ints **ints, struct i3d_error *error);
