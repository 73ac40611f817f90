#include "verify/operators.h"

#include <string.h>

static const struct i3d_operator_row rows[] = {
    { "Conv", "ff?f", i3d_op_conv, 0 },
    { "ConvTranspose", "ff?f", i3d_op_conv_transpose, 0 },
    { "MaxPool", "f", i3d_op_max_pool, 0 },
    { "AveragePool", "f", i3d_op_average_pool, 0 },
    { "LpPool", "f", i3d_op_lp_pool, 0 },
    { "GlobalAveragePool", "f", i3d_op_global_pool, I3D_GLOBAL_AVERAGE },
    { "GlobalMaxPool", "f", i3d_op_global_pool, I3D_GLOBAL_MAX },
    { "GlobalLpPool", "f", i3d_op_global_pool, I3D_GLOBAL_LP },

    { "BatchNormalization", "fffff", i3d_op_batch_normalization, 0 },
    { "InstanceNormalization", "fff", i3d_op_instance_normalization, 0 },
    { "GroupNormalization", "fff", i3d_op_group_normalization, 0 },
    { "LayerNormalization", "ff?f", i3d_op_layer_normalization, 0 },
    { "LRN", "f", i3d_op_lrn, 0 },

    { "Abs", "n", i3d_op_unary, I3D_ABS },
    { "Neg", "n", i3d_op_unary, I3D_NEG },
    { "Relu", "n", i3d_op_unary, I3D_RELU },
    { "LeakyRelu", "f", i3d_op_unary, I3D_LEAKY_RELU },
    { "Elu", "f", i3d_op_unary, I3D_ELU },
    { "Selu", "f", i3d_op_unary, I3D_SELU },
    { "Sigmoid", "f", i3d_op_unary, I3D_SIGMOID },
    { "HardSigmoid", "f", i3d_op_unary, I3D_HARD_SIGMOID },
    { "HardSwish", "f", i3d_op_unary, I3D_HARD_SWISH },
    { "Tanh", "f", i3d_op_unary, I3D_TANH },
    { "Softplus", "f", i3d_op_unary, I3D_SOFTPLUS },
    { "Erf", "f", i3d_op_unary, I3D_ERF },
    { "Gelu", "f", i3d_op_unary, I3D_GELU },
    { "Exp", "f", i3d_op_unary, I3D_EXP },
    { "Log", "f", i3d_op_unary, I3D_LOG },
    { "Sqrt", "f", i3d_op_unary, I3D_SQRT },
    { "Reciprocal", "f", i3d_op_unary, I3D_RECIPROCAL },
    { "Floor", "f", i3d_op_unary, I3D_FLOOR },
    { "Ceil", "f", i3d_op_unary, I3D_CEIL },
    { "Clip", "n?nn", i3d_op_clip, 0 },
    { "Cast", "a", i3d_op_cast, 0 },

    { "Add", "nn", i3d_op_binary, I3D_ADD },
    { "Sub", "nn", i3d_op_binary, I3D_SUB },
    { "Mul", "nn", i3d_op_binary, I3D_MUL },
    { "Div", "nn", i3d_op_binary, I3D_DIV },
    { "Pow", "nn", i3d_op_power, 0 },
    { "PRelu", "nn", i3d_op_prelu, 0 },
    { "Min", "n*", i3d_op_variadic, I3D_MIN },
    { "Max", "n*", i3d_op_variadic, I3D_MAX },
    { "Sum", "f*", i3d_op_variadic, I3D_ADD },
    { "Mean", "f*", i3d_op_variadic, I3D_MEAN },

    { "Reshape", "a?i", i3d_op_reshape_to, 0 },
    { "Flatten", "a", i3d_op_flatten, 0 },
    { "Squeeze", "a?i", i3d_op_squeeze, 0 },
    { "Unsqueeze", "a?i", i3d_op_unsqueeze, 0 },
    { "Identity", "a", i3d_op_identity, 0 },
    { "Dropout", "f?fb", i3d_op_dropout, 0 },
    { "Shape", "a", i3d_op_shape, 0 },
    { "Constant", "", i3d_op_constant, 0 },
    { "ConstantOfShape", "i", i3d_op_constant_of_shape, 0 },

    { "Transpose", "a", i3d_op_transpose, 0 },
    { "Concat", "a*", i3d_op_concat, 0 },
    { "Split", "a?i", i3d_op_split, 0 },
    { "Slice", "a?iiii", i3d_op_slice, 0 },
    { "Gather", "ai", i3d_op_gather, 0 },
    { "Expand", "ai", i3d_op_expand, 0 },
    { "DepthToSpace", "a", i3d_op_depth_to_space, 0 },
    { "SpaceToDepth", "a", i3d_op_space_to_depth, 0 },
    { "Pad", "a?iai", i3d_op_pad, 0 },
    { "Resize", "f?ffi", i3d_op_resize, 0 },
    { "Upsample", "f?f", i3d_op_resize, 0 },

    { "ReduceSum", "n?i", i3d_op_reduce, I3D_REDUCE_SUM },
    { "ReduceMean", "n?i", i3d_op_reduce, I3D_REDUCE_MEAN },
    { "ReduceMax", "a?i", i3d_op_reduce, I3D_REDUCE_MAX },
    { "ReduceMin", "a?i", i3d_op_reduce, I3D_REDUCE_MIN },
    { "ReduceProd", "n?i", i3d_op_reduce, I3D_REDUCE_PROD },
    { "ReduceL1", "n?i", i3d_op_reduce, I3D_REDUCE_L1 },
    { "ReduceL2", "f?i", i3d_op_reduce, I3D_REDUCE_L2 },
    { "ArgMax", "n", i3d_op_arg_max, 0 },

    { "MatMul", "ff", i3d_op_matmul, 0 },
    { "Gemm", "ff?f", i3d_op_gemm, 0 },
    { "Softmax", "f", i3d_op_softmax, false },
    { "LogSoftmax", "f", i3d_op_softmax, true },
};

static bool wants_output(const struct i3d_node *node, size_t k)
{
    return k < node->output_count && *node->outputs[k];
}

/* What a node can ask of an operator that the engine has in its other forms. */
static bool asks_too_much(const struct i3d_node *node)
{
    if (i3d_is(node, "MaxPool"))
        return wants_output(node, 1); /* the indices */
    if (i3d_is(node, "BatchNormalization"))
        return i3d_int(node, "training_mode", 0) || i3d_int(node, "spatial", 1) != 1
            || wants_output(node, 1) || wants_output(node, 2);
    if (i3d_is(node, "Constant"))
        return i3d_attribute(node, "sparse_value") || i3d_attribute(node, "value_string")
            || i3d_attribute(node, "value_strings");
    if (i3d_is(node, "Cast")) {
        int64_t to = i3d_int(node, "to", 0);
        return to < 0 || to > I3D_BFLOAT16 || !i3d_array_dtype((enum i3d_dtype)to);
    }
    if (i3d_is(node, "Pad"))
        return i3d_string_is(node, "mode", "wrap");
    return false;
}

const struct i3d_operator_row *i3d_operator_row(const struct i3d_node *node)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (i3d_is(node, rows[i].op_type))
            return asks_too_much(node) ? NULL : &rows[i];
    return NULL;
}

bool i3d_engine_has(const struct i3d_node *node)
{
    return i3d_operator_row(node) != NULL;
}

static bool accepts(char letter, enum i3d_dtype dtype)
{
    switch (letter) {
    case 'f': return dtype == I3D_FLOAT32;
    case 'i': return dtype == I3D_INT64;
    case 'b': return dtype == I3D_BOOL;
    case 'n': return dtype == I3D_FLOAT32 || dtype == I3D_INT64;
    default: return true;
    }
}

enum i3d_status i3d_check_operands(const struct i3d_operation *op, const char *operands)
{
    bool required = true;
    size_t k = 0;
    for (; *operands; operands++) {
        if (*operands == '?') {
            required = false;
            continue;
        }
        bool repeats = operands[1] == '*';
        do {
            bool there = i3d_op_has(op, k);
            if (!there && required)
                return i3d_fail(op->error, I3D_MALFORMED, "input %zu is left out", k);
            if (there && !accepts(*operands, op->inputs[k].dtype))
                return i3d_fail(op->error, I3D_UNSUPPORTED, "input %zu of %s is not handled", k,
                                i3d_dtype_name(op->inputs[k].dtype));
            k++;
        } while (repeats && k < op->input_count);
        operands += repeats;
    }
    if (op->input_count > k)
        return i3d_fail(op->error, I3D_MALFORMED, "it has %zu inputs, %zu at most are defined",
                        op->input_count, k);
    return I3D_OK;
}
