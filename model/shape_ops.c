#include "model/shape_infer.h"

#include <string.h>

/* Every operator that shape inference knows; the rules look at the opset where
 * versions of an operator differ. */
static const struct i3d_infer_row rows[] = {
    /* The shape and type of the first input. */
    { "Abs", 1, i3d_infer_like_input, NULL },
    { "Acos", 1, i3d_infer_like_input, NULL },
    { "Acosh", 1, i3d_infer_like_input, NULL },
    { "Asin", 1, i3d_infer_like_input, NULL },
    { "Asinh", 1, i3d_infer_like_input, NULL },
    { "Atan", 1, i3d_infer_like_input, NULL },
    { "Atanh", 1, i3d_infer_like_input, NULL },
    { "Ceil", 1, i3d_infer_like_input, NULL },
    { "Celu", 1, i3d_infer_like_input, NULL },
    { "Clip", 1, i3d_infer_like_input, NULL },
    { "Cos", 1, i3d_infer_like_input, NULL },
    { "Cosh", 1, i3d_infer_like_input, NULL },
    { "CumSum", 2, i3d_infer_like_input, NULL },
    { "Elu", 1, i3d_infer_like_input, NULL },
    { "Erf", 1, i3d_infer_like_input, NULL },
    { "Exp", 1, i3d_infer_like_input, NULL },
    { "Floor", 1, i3d_infer_like_input, NULL },
    { "Gelu", 1, i3d_infer_like_input, NULL },
    { "GroupNormalization", 3, i3d_infer_like_input, NULL },
    { "HardSigmoid", 1, i3d_infer_like_input, NULL },
    { "HardSwish", 1, i3d_infer_like_input, NULL },
    { "Identity", 1, i3d_infer_like_input, i3d_ints_copy },
    { "LRN", 1, i3d_infer_like_input, NULL },
    { "LayerNormalization", 1, i3d_infer_like_input, NULL },
    { "LeakyRelu", 1, i3d_infer_like_input, NULL },
    { "Log", 1, i3d_infer_like_input, NULL },
    { "LpNormalization", 1, i3d_infer_like_input, NULL },
    { "MeanVarianceNormalization", 1, i3d_infer_like_input, NULL },
    { "Mish", 1, i3d_infer_like_input, NULL },
    { "Neg", 1, i3d_infer_like_input, NULL },
    { "Reciprocal", 1, i3d_infer_like_input, NULL },
    { "Relu", 1, i3d_infer_like_input, NULL },
    { "Round", 1, i3d_infer_like_input, NULL },
    { "Selu", 1, i3d_infer_like_input, NULL },
    { "Shrink", 1, i3d_infer_like_input, NULL },
    { "Sigmoid", 1, i3d_infer_like_input, NULL },
    { "Sign", 1, i3d_infer_like_input, NULL },
    { "Sin", 1, i3d_infer_like_input, NULL },
    { "Sinh", 1, i3d_infer_like_input, NULL },
    { "Softplus", 1, i3d_infer_like_input, NULL },
    { "Softsign", 1, i3d_infer_like_input, NULL },
    { "Sqrt", 1, i3d_infer_like_input, NULL },
    { "Swish", 1, i3d_infer_like_input, NULL },
    { "Tan", 1, i3d_infer_like_input, NULL },
    { "Tanh", 1, i3d_infer_like_input, NULL },
    { "ThresholdedRelu", 1, i3d_infer_like_input, NULL },
    { "Hardmax", 1, i3d_infer_softmax, NULL },
    { "LogSoftmax", 1, i3d_infer_softmax, NULL },
    { "Softmax", 1, i3d_infer_softmax, NULL },
    { "Dropout", 1, i3d_infer_dropout, NULL },
    { "PRelu", 2, i3d_infer_prelu, NULL },
    { "Cast", 1, i3d_infer_cast, i3d_ints_copy },

    /* Truth values. */
    { "IsInf", 1, i3d_infer_predicate, NULL },
    { "IsNaN", 1, i3d_infer_predicate, NULL },
    { "Not", 1, i3d_infer_predicate, NULL },
    { "And", 2, i3d_infer_comparison, NULL },
    { "Equal", 2, i3d_infer_comparison, NULL },
    { "Greater", 2, i3d_infer_comparison, NULL },
    { "GreaterOrEqual", 2, i3d_infer_comparison, NULL },
    { "Less", 2, i3d_infer_comparison, NULL },
    { "LessOrEqual", 2, i3d_infer_comparison, NULL },
    { "Or", 2, i3d_infer_comparison, NULL },
    { "Xor", 2, i3d_infer_comparison, NULL },

    /* Broadcasting arithmetic. */
    { "Add", 2, i3d_infer_elementwise, i3d_ints_arithmetic },
    { "Div", 2, i3d_infer_elementwise, i3d_ints_arithmetic },
    { "Max", 1, i3d_infer_elementwise, NULL },
    { "Mean", 1, i3d_infer_elementwise, NULL },
    { "Min", 1, i3d_infer_elementwise, NULL },
    { "Mod", 2, i3d_infer_elementwise, NULL },
    { "Mul", 2, i3d_infer_elementwise, i3d_ints_arithmetic },
    { "Pow", 2, i3d_infer_elementwise, NULL },
    { "Sub", 2, i3d_infer_elementwise, i3d_ints_arithmetic },
    { "Sum", 1, i3d_infer_elementwise, NULL },
    { "Where", 3, i3d_infer_where_select, NULL },

    /* Layers. */
    { "AveragePool", 1, i3d_infer_pool, NULL },
    { "BatchNormalization", 5, i3d_infer_batch_normalization, NULL },
    { "Conv", 2, i3d_infer_conv, NULL },
    { "ConvTranspose", 2, i3d_infer_conv_transpose, NULL },
    { "Gemm", 2, i3d_infer_gemm, NULL },
    { "GlobalAveragePool", 1, i3d_infer_global_pool, NULL },
    { "GlobalLpPool", 1, i3d_infer_global_pool, NULL },
    { "GlobalMaxPool", 1, i3d_infer_global_pool, NULL },
    { "InstanceNormalization", 3, i3d_infer_channel_affine, NULL },
    { "LpPool", 1, i3d_infer_pool, NULL },
    { "MatMul", 2, i3d_infer_matmul, NULL },
    { "MaxPool", 1, i3d_infer_pool, NULL },

    /* Reductions. */
    { "ArgMax", 1, i3d_infer_arg_reduce, NULL },
    { "ArgMin", 1, i3d_infer_arg_reduce, NULL },
    { "ReduceL1", 1, i3d_infer_reduce, NULL },
    { "ReduceL2", 1, i3d_infer_reduce, NULL },
    { "ReduceLogSum", 1, i3d_infer_reduce, NULL },
    { "ReduceLogSumExp", 1, i3d_infer_reduce, NULL },
    { "ReduceMax", 1, i3d_infer_reduce, NULL },
    { "ReduceMean", 1, i3d_infer_reduce, NULL },
    { "ReduceMin", 1, i3d_infer_reduce, NULL },
    { "ReduceProd", 1, i3d_infer_reduce, NULL },
    { "ReduceSum", 1, i3d_infer_reduce, NULL },
    { "ReduceSumSquare", 1, i3d_infer_reduce, NULL },

    /* Layout. */
    { "Concat", 1, i3d_infer_concat, i3d_ints_concat },
    { "DepthToSpace", 1, i3d_infer_depth_to_space, NULL },
    { "Expand", 2, i3d_infer_expand, i3d_ints_expand },
    { "Flatten", 1, i3d_infer_flatten, i3d_ints_copy },
    { "Gather", 2, i3d_infer_gather, i3d_ints_gather },
    { "Pad", 1, i3d_infer_pad, NULL },
    { "Reshape", 1, i3d_infer_reshape, i3d_ints_copy },
    { "Resize", 1, i3d_infer_resize, NULL },
    { "Slice", 1, i3d_infer_slice_shape, i3d_ints_slice },
    { "SpaceToDepth", 1, i3d_infer_space_to_depth, NULL },
    { "Split", 1, i3d_infer_split, NULL },
    { "Squeeze", 1, i3d_infer_squeeze, i3d_ints_copy },
    { "Tile", 2, i3d_infer_tile, NULL },
    { "Transpose", 1, i3d_infer_transpose, i3d_ints_transpose },
    { "Unsqueeze", 1, i3d_infer_unsqueeze, i3d_ints_copy },
    { "Upsample", 1, i3d_infer_upsample, NULL },

    /* Shapes and constants. */
    { "Constant", 0, i3d_infer_constant, i3d_ints_constant },
    { "ConstantOfShape", 1, i3d_infer_constant_of_shape, i3d_ints_constant_of_shape },
    { "Shape", 1, i3d_infer_shape, i3d_ints_shape },
    { "Size", 1, i3d_infer_size, i3d_ints_size },
};

const struct i3d_infer_row *i3d_infer_row(const struct i3d_node *node)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (i3d_is(node, rows[i].op_type))
            return &rows[i];
    return NULL;
}
