/* The table of operators; not installed. */
#pragma once

#include "verify/operation.h"

struct i3d_operator_row {
    const char *op_type;
    /* The operands' dtypes, one letter each: f float32, i int64, b bool, n float32 or
     * int64, a any. Those behind '?' are optional; '*' repeats the last any number of
     * times. */
    const char *operands;
    i3d_operator *compute;
    int variant;
};

/* The row of a node's operator; null where the engine lacks it, or lacks what the
 * node asks of it. */
const struct i3d_operator_row *i3d_operator_row(const struct i3d_node *node);
/* Checks number and dtypes of op->inputs. */
enum i3d_status i3d_check_operands(const struct i3d_operation *op, const char *operands);

/* Operators of one function. The comments name op_types where the name does not. */

/* op_conv.c, op_conv_transpose.c */
i3d_operator i3d_op_conv, i3d_op_conv_transpose;
/* op_pool.c */
i3d_operator i3d_op_max_pool, i3d_op_average_pool, i3d_op_lp_pool, i3d_op_global_pool;
enum i3d_global_pool { I3D_GLOBAL_AVERAGE, I3D_GLOBAL_MAX, I3D_GLOBAL_LP };
/* op_norm.c */
i3d_operator i3d_op_batch_normalization, i3d_op_instance_normalization,
    i3d_op_group_normalization, i3d_op_layer_normalization, i3d_op_lrn;
/* op_unary.c: element by element, one operand */
i3d_operator i3d_op_unary, i3d_op_clip, i3d_op_cast;
enum i3d_unary {
    I3D_ABS, I3D_NEG, I3D_RELU, I3D_LEAKY_RELU, I3D_ELU, I3D_SELU, I3D_SIGMOID,
    I3D_HARD_SIGMOID, I3D_HARD_SWISH, I3D_TANH, I3D_SOFTPLUS, I3D_ERF, I3D_GELU, I3D_EXP,
    I3D_LOG, I3D_SQRT, I3D_RECIPROCAL, I3D_FLOOR, I3D_CEIL,
};
/* op_binary.c: element by element, with broadcasting */
i3d_operator i3d_op_binary, i3d_op_variadic, i3d_op_power, i3d_op_prelu;
enum i3d_binary { I3D_ADD, I3D_SUB, I3D_MUL, I3D_DIV, I3D_MIN, I3D_MAX, I3D_MEAN, I3D_PRELU };
/* op_shape.c: shapes change, elements stay in order */
i3d_operator i3d_op_reshape_to, i3d_op_flatten, i3d_op_squeeze, i3d_op_unsqueeze,
    i3d_op_identity, i3d_op_dropout, i3d_op_shape, i3d_op_constant, i3d_op_constant_of_shape;
/* op_layout.c: elements move */
i3d_operator i3d_op_transpose, i3d_op_concat, i3d_op_split, i3d_op_slice, i3d_op_gather,
    i3d_op_expand, i3d_op_depth_to_space, i3d_op_space_to_depth;
/* op_pad.c */
i3d_operator i3d_op_pad;
/* op_resize.c */
i3d_operator i3d_op_resize;
/* op_reduce.c */
i3d_operator i3d_op_reduce, i3d_op_arg_max;
enum i3d_reduction { I3D_REDUCE_SUM, I3D_REDUCE_MEAN, I3D_REDUCE_MAX, I3D_REDUCE_MIN,
                     I3D_REDUCE_PROD, I3D_REDUCE_L1, I3D_REDUCE_L2 };
/* op_matrix.c */
i3d_operator i3d_op_matmul, i3d_op_gemm;
/* op_softmax.c; the variant is whether the logarithm is wanted */
i3d_operator i3d_op_softmax;
