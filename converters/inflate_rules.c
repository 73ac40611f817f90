#include "converters/inflater.h"

#include <string.h>

/* One rule per operator, for nodes that read a value with a time axis; and the rules
 * of operators that work element by element. */

static const struct i3d_node *node_at(const struct inflater *in, size_t position)
{
    return &in->flat->nodes[position];
}

/* Every output has the time axis of the first input. */
static enum i3d_status same(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *node = node_at(in, position);
    if (!i3d_emit_copy(in, node))
        return i3d_fail_memory(error);
    struct flow flow = *i3d_flow(in, node->inputs[0]);
    flow.name = NULL;
    for (size_t k = 0; k < node->output_count; k++)
        if (*node->outputs[k])
            *i3d_flow(in, node->outputs[k]) = flow;
    return I3D_OK;
}

/* The mean (for max, the maximum) over height and width takes time along. */
static enum i3d_status global_pool(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *node = node_at(in, position);
    if (i3d_flow(in, node->inputs[0])->time != 2)
        return i3d_refuse(node, error, "its input is no N×C×H×W image");
    enum i3d_status status = same(in, position, error);
    i3d_flow(in, node->outputs[0])->single = true;
    return status;
}

/* Statistics of channels: time has to stand behind them. */
static enum i3d_status by_channel(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *node = node_at(in, position);
    if (i3d_flow(in, node->inputs[0])->time < 2)
        return i3d_refuse(node, error, "its input does not have channels ahead of time");
    return same(in, position, error);
}

/* Dequantised and quantised values, and other operands that have to be plain numbers. */
static enum i3d_status only_first_has_time(struct inflater *in, size_t position,
                                           struct i3d_error *error)
{
    const struct i3d_node *node = node_at(in, position);
    for (size_t k = 1; k < node->input_count; k++)
        if (i3d_flow(in, node->inputs[k])->time >= 0)
            return i3d_refuse(node, error, "input %zu has a time axis", k);
    return same(in, position, error);
}

/* A constant that is broadcast against a value with time: an axis of one element
 * goes where time is, if the constant reaches that far left. */
static enum i3d_status broadcast_constant(struct inflater *in, struct i3d_node *copy, size_t input,
                                          const struct i3d_tensor *tensor, int axes_behind_time,
                                          struct i3d_error *error)
{
    if (tensor->rank <= axes_behind_time)
        return I3D_OK;
    int64_t dims[I3D_MAX_RANK];
    int at = tensor->rank - axes_behind_time;
    if (tensor->rank == I3D_MAX_RANK)
        return i3d_refuse(copy, error, "a constant of rank %d has no room for time", tensor->rank);
    memcpy(dims, tensor->dims, (size_t)at * sizeof *dims);
    dims[at] = 1;
    memcpy(dims + at + 1, tensor->dims + at, (size_t)axes_behind_time * sizeof *dims);
    const char *name = i3d_join(in, copy->outputs[0], tensor->name);
    if (!name)
        return i3d_fail_memory(error);
    copy->inputs[input] = name;
    return i3d_put_derived(in->to, name, tensor, tensor->rank + 1, dims,
                           i3d_source_retain(tensor->source), error);
}

/* The same for a value that is computed, such as the gates of squeeze-and-excite:
 * *name is the value with an axis of one element where time is, or null where the
 * value does not reach that far left. */
static enum i3d_status broadcast_computed(struct inflater *in, const struct i3d_node *flat,
                                          size_t k, int behind, const char **name,
                                          struct i3d_error *error)
{
    int rank = i3d_flat_shape(in, flat->inputs[k])->rank;
    int64_t axis = rank - behind;
    *name = NULL;
    if (rank < 0)
        return i3d_refuse(flat, error, "the rank of input %zu is not known", k);
    if (rank <= behind)
        return I3D_OK;
    const char *widened =
        i3d_arena_printf(in->to->arena, "%s/input_%zu_with_time", flat->outputs[0], k);
    if (!widened)
        return i3d_fail_memory(error);
    *name = widened;
    return i3d_emit_axes(in, "Unsqueeze", i3d_emitted(in, flat->inputs[k]), widened, &axis, 1,
                         false, error);
}

/* How many 2D axes stand behind time, alike for all operands that have it. */
static enum i3d_status line_up(const struct inflater *in, const struct i3d_node *flat,
                               struct flow *out, int *behind, struct i3d_error *error)
{
    *behind = -1;
    for (size_t k = 0; k < flat->input_count; k++) {
        const struct flow *flow = i3d_flow(in, flat->inputs[k]);
        int rank = i3d_flat_shape(in, flat->inputs[k])->rank;
        if (flow->time < 0)
            continue;
        if (rank < 0 || (*behind >= 0 && *behind != rank - flow->time))
            return i3d_refuse(flat, error, "the time axes of its inputs do not line up");
        if (*behind < 0 || flow->spatial > out->spatial)
            out->spatial = flow->spatial;
        out->single = (*behind < 0 || out->single) && flow->single;
        *behind = rank - flow->time;
    }
    int rank = i3d_flat_shape(in, flat->outputs[0])->rank;
    if (rank < *behind)
        return i3d_refuse(flat, error, "the shape of its output is not known");
    out->time = rank - *behind;
    return I3D_OK;
}

static enum i3d_status broadcast(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow out = { .time = -1 };
    int behind;
    bool used[I3D_MAX_RANK] = { false };
    const char *names[I3D_MAX_RANK];
    if (flat->input_count > I3D_MAX_RANK)
        return i3d_refuse(flat, error, "it has more than %d inputs", I3D_MAX_RANK);
    enum i3d_status status = line_up(in, flat, &out, &behind, error);
    for (size_t k = 0; k < flat->input_count && !status; k++) {
        const struct i3d_tensor *tensor = i3d_flat_tensor(in, flat->inputs[k]);
        used[k] = tensor && in->tensor_used[tensor - in->flat->tensors];
        names[k] = NULL;
        if (!tensor && i3d_flow(in, flat->inputs[k])->time < 0)
            status = broadcast_computed(in, flat, k, behind, &names[k], error);
    }
    if (status)
        return status;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy)
        return i3d_fail_memory(error);
    for (size_t k = 0; k < flat->input_count && !status; k++) {
        const struct i3d_tensor *tensor = i3d_flat_tensor(in, flat->inputs[k]);
        if (names[k])
            copy->inputs[k] = names[k];
        if (!tensor || tensor->rank <= behind)
            continue;
        in->tensor_used[tensor - in->flat->tensors] = used[k];
        status = broadcast_constant(in, copy, k, tensor, behind, error);
    }
    *i3d_flow(in, flat->outputs[0]) = out;
    return status;
}

static const struct {
    const char *op_type;
    i3d_inflate_rule *apply;
} rules[] = {
    { "Conv", i3d_inflate_conv },
    { "ConvTranspose", i3d_inflate_conv_transpose },
    { "MaxPool", i3d_inflate_pool },
    { "AveragePool", i3d_inflate_pool },
    { "LpPool", i3d_inflate_pool },
    { "GlobalAveragePool", global_pool },
    { "GlobalMaxPool", global_pool },
    { "GlobalLpPool", i3d_inflate_global_norm },
    { "BatchNormalization", by_channel },
    { "InstanceNormalization", by_channel },
    { "GroupNormalization", by_channel },
    { "LayerNormalization", i3d_inflate_layer_norm },
    { "LRN", i3d_inflate_folded },
    { "DepthToSpace", i3d_inflate_folded },
    { "SpaceToDepth", i3d_inflate_folded },
    { "Resize", i3d_inflate_resize },
    { "Upsample", i3d_inflate_resize },
    { "Pad", i3d_inflate_pad },
    { "Abs", same },
    { "Acos", same },
    { "Acosh", same },
    { "Asin", same },
    { "Asinh", same },
    { "Atan", same },
    { "Atanh", same },
    { "Celu", same },
    { "Ceil", same },
    { "Clip", only_first_has_time },
    { "Cast", same },
    { "Cos", same },
    { "Cosh", same },
    { "Dropout", only_first_has_time },
    { "Elu", same },
    { "Erf", same },
    { "Exp", same },
    { "Floor", same },
    { "Gelu", same },
    { "HardSigmoid", same },
    { "HardSwish", same },
    { "Identity", same },
    { "IsInf", same },
    { "IsNaN", same },
    { "LeakyRelu", same },
    { "Log", same },
    { "Mish", same },
    { "Neg", same },
    { "Not", same },
    { "Reciprocal", same },
    { "Relu", same },
    { "Round", same },
    { "Selu", same },
    { "Shrink", same },
    { "Sigmoid", same },
    { "Sign", same },
    { "Sin", same },
    { "Sinh", same },
    { "Softplus", same },
    { "Softsign", same },
    { "Sqrt", same },
    { "Tan", same },
    { "Tanh", same },
    { "ThresholdedRelu", same },
    { "Add", broadcast },
    { "And", broadcast },
    { "Div", broadcast },
    { "Equal", broadcast },
    { "Greater", broadcast },
    { "GreaterOrEqual", broadcast },
    { "Less", broadcast },
    { "LessOrEqual", broadcast },
    { "Max", broadcast },
    { "Mean", broadcast },
    { "Min", broadcast },
    { "Mod", broadcast },
    { "Mul", broadcast },
    { "Or", broadcast },
    { "PRelu", broadcast },
    { "Pow", broadcast },
    { "Sub", broadcast },
    { "Sum", broadcast },
    { "Where", broadcast },
    { "Xor", broadcast },
    { "ArgMax", i3d_inflate_one_axis },
    { "ArgMin", i3d_inflate_one_axis },
    { "Concat", i3d_inflate_one_axis },
    { "Hardmax", i3d_inflate_one_axis },
    { "LogSoftmax", i3d_inflate_one_axis },
    { "LpNormalization", i3d_inflate_one_axis },
    { "Softmax", i3d_inflate_one_axis },
    { "Split", i3d_inflate_one_axis },
    { "Expand", i3d_inflate_expand },
    { "Flatten", i3d_inflate_flatten },
    { "Gather", i3d_inflate_gather },
    { "Reshape", i3d_inflate_reshape },
    { "Slice", i3d_inflate_slice },
    { "Squeeze", i3d_inflate_squeeze },
    { "Tile", i3d_inflate_tile },
    { "Transpose", i3d_inflate_transpose },
    { "Unsqueeze", i3d_inflate_unsqueeze },
    { "ReduceL1", i3d_inflate_reduce },
    { "ReduceL2", i3d_inflate_reduce },
    { "ReduceLogSum", i3d_inflate_reduce },
    { "ReduceLogSumExp", i3d_inflate_reduce },
    { "ReduceMax", i3d_inflate_reduce },
    { "ReduceMean", i3d_inflate_reduce },
    { "ReduceMin", i3d_inflate_reduce },
    { "ReduceProd", i3d_inflate_reduce },
    { "ReduceSum", i3d_inflate_reduce },
    { "ReduceSumSquare", i3d_inflate_reduce },
    { "Gemm", i3d_inflate_gemm },
    { "MatMul", i3d_inflate_matmul },
};

bool i3d_takes_numbers(const struct i3d_node *node)
{
    static const char *const names[] = { "Expand", "Pad", "ReduceL1", "ReduceL2",
                                         "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                                         "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
                                         "ReduceSumSquare", "Reshape", "Resize", "Squeeze",
                                         "Tile", "Unsqueeze" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (i3d_is(node, names[i]))
            return true;
    return false;
}

enum i3d_status i3d_inflate_node(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *node = node_at(in, position);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (i3d_is(node, rules[i].op_type) && node->input_count && node->output_count)
            return rules[i].apply(in, position, error);
    return i3d_refuse(node, error, "the operator is not handled on a value with a time axis");
}
