#include "converters/inflater.h"

#include <string.h>

/* One rule per operator, for nodes that read a value with a time axis. Operators
 * that work element by element, or along an axis ahead of time, keep their
 * meaning; the others get their axes rewritten, or the mean over time is taken
 * first. */

typedef enum i3d_status rule(struct inflater *in, size_t position, struct i3d_error *error);

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
    enum i3d_status status = same(in, position, error);
    i3d_flow(in, node_at(in, position)->outputs[0])->single = true;
    return status;
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

static enum i3d_status broadcast(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    int behind = -1;
    bool single = true;
    for (size_t k = 0; k < flat->input_count; k++) {
        const struct flow *flow = i3d_flow(in, flat->inputs[k]);
        int rank = i3d_flat_shape(in, flat->inputs[k])->rank;
        if (flow->time < 0)
            continue;
        if (rank < 0 || (behind >= 0 && behind != rank - flow->time))
            return i3d_refuse(flat, error, "the time axes of its inputs do not line up");
        behind = rank - flow->time;
        single &= flow->single;
    }
    bool used[I3D_MAX_RANK] = { false };
    if (flat->input_count > I3D_MAX_RANK)
        return i3d_refuse(flat, error, "it has more than %d inputs", I3D_MAX_RANK);
    for (size_t k = 0; k < flat->input_count; k++) {
        const struct i3d_tensor *tensor = i3d_flat_tensor(in, flat->inputs[k]);
        used[k] = tensor && in->tensor_used[tensor - in->flat->tensors];
    }
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy)
        return i3d_fail_memory(error);
    for (size_t k = 0; k < flat->input_count; k++) {
        const struct i3d_tensor *tensor = i3d_flat_tensor(in, flat->inputs[k]);
        if (i3d_flow(in, flat->inputs[k])->time >= 0)
            continue;
        if (!tensor && i3d_flat_shape(in, flat->inputs[k])->rank > behind)
            return i3d_refuse(flat, error, "input %zu has lost its time axis", k);
        if (!tensor || tensor->rank <= behind)
            continue;
        enum i3d_status status = broadcast_constant(in, copy, k, tensor, behind, error);
        if (status)
            return status;
        in->tensor_used[tensor - in->flat->tensors] = used[k];
    }
    int out_rank = i3d_flat_shape(in, flat->outputs[0])->rank;
    if (out_rank < behind)
        return i3d_refuse(flat, error, "the shape of its output is not known");
    *i3d_flow(in, flat->outputs[0]) = (struct flow){ out_rank - behind, single, NULL };
    return I3D_OK;
}

/* Concat, Softmax from opset 13 on: one axis, moved if it lies behind time. */
static enum i3d_status one_axis(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    bool softmax = !i3d_is(flat, "Concat");
    struct flow first = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank;
    first.name = NULL;
    if (rank < 0)
        return i3d_refuse(flat, error, "the rank of its input is not known");
    if (softmax && in->opset < 13)
        return i3d_refuse(flat, error, "before opset 13 it flattens its input");
    for (size_t k = 0; k < flat->input_count; k++) {
        const struct flow *flow = i3d_flow(in, flat->inputs[k]);
        if (flow->time != first.time)
            return i3d_refuse(flat, error, "its inputs do not all have a time axis in one place");
        first.single &= flow->single;
    }
    int64_t axis = i3d_int(flat, "axis", softmax ? -1 : 1);
    axis += axis < 0 ? rank : 0;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_int(in->to, copy, "axis", axis + (axis >= first.time)))
        return i3d_fail_memory(error);
    *i3d_flow(in, flat->outputs[0]) = first;
    return I3D_OK;
}

/* The mean over time, then the node as it is: what feeds a flattening head. */
static enum i3d_status mean_over_time_first(struct inflater *in, size_t position,
                                            struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    const struct flow *flow = i3d_flow(in, flat->inputs[0]);
    const char *input = flow->name ? flow->name : flat->inputs[0];
    const char *mean = i3d_join(in, input, "mean_over_time");
    int64_t axis = flow->time;
    if (!mean)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_emit_axes(in, "ReduceMean", input, mean, &axis, 1, false, error);
    if (status)
        return status;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[0] = mean;
    return I3D_OK;
}

static enum i3d_status flatten(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    if (i3d_int(flat, "axis", 1) != 1)
        return i3d_refuse(flat, error, "it flattens from another axis than 1");
    return mean_over_time_first(in, position, error);
}

static enum i3d_status reshape(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    bool flattens = to->rank == 2 && from->rank == 4 && from->dims[1] > 0 && from->dims[2] > 0
        && from->dims[3] > 0 && to->dims[1] == from->dims[1] * from->dims[2] * from->dims[3];
    if (!flattens)
        return i3d_refuse(flat, error, "a Reshape that does not flatten to N×(C·H·W)");
    return mean_over_time_first(in, position, error);
}

static enum i3d_status squeeze(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    const struct flow *flow = i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank, count;
    int64_t axes[I3D_MAX_RANK];
    if (rank < 0)
        return i3d_refuse(flat, error, "the rank of its input is not known");
    enum i3d_status status = i3d_read_axes(in, flat, rank, axes, &count, error);
    if (status)
        return status;
    if (!count)
        return i3d_refuse(flat, error, "it does not say which axes");
    for (int i = 0; i < count; i++)
        if (axes[i] < flow->time)
            return i3d_refuse(flat, error, "it removes an axis ahead of time");
    return mean_over_time_first(in, position, error);
}

/* Time stays right ahead of the axis that it was ahead of. */
static enum i3d_status unsqueeze(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->outputs[0])->rank, count;
    int64_t axes[I3D_MAX_RANK];
    if (rank < 0 || rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "the rank of its output is not known");
    enum i3d_status status = i3d_read_axes(in, flat, rank, axes, &count, error);
    if (status)
        return status;
    bool inserted[I3D_MAX_RANK] = { false };
    for (int i = 0; i < count; i++)
        inserted[axes[i]] = true;
    int time = 0;
    for (int kept = 0; time < rank; time++)
        if (!inserted[time] && kept++ == flow.time)
            break;
    for (int i = 0; i < count; i++)
        axes[i] += axes[i] >= time;
    const char *input = flow.name ? flow.name : flat->inputs[0];
    *i3d_flow(in, flat->outputs[0]) = (struct flow){ time, flow.single, NULL };
    return i3d_emit_axes(in, "Unsqueeze", input, flat->outputs[0], axes, count, false, error);
}

/* One element along an axis: how exporters write x[:, 0]. */
static enum i3d_status gather(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank;
    int index_rank = i3d_flat_shape(in, flat->inputs[1])->rank;
    int64_t axis = i3d_int(flat, "axis", 0);
    axis += axis < 0 ? rank : 0;
    if (rank < 0 || index_rank < 0 || index_rank > 1 || axis >= flow.time
        || i3d_flow(in, flat->inputs[1])->time >= 0)
        return i3d_refuse(flat, error, "it does not pick from an axis ahead of time");
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_int(in->to, copy, "axis", axis))
        return i3d_fail_memory(error);
    *i3d_flow(in, flat->outputs[0])
        = (struct flow){ flow.time - (index_rank == 0), flow.single, NULL };
    return I3D_OK;
}

/* A mean over height and width takes time along. */
static enum i3d_status reduce_mean(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    const struct flow *flow = i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank, count;
    int64_t axes[I3D_MAX_RANK + 1];
    if (rank != 4 || flow->time != 2)
        return i3d_refuse(flat, error, "its input is no N×C×H×W image");
    enum i3d_status status = i3d_read_axes(in, flat, rank, axes, &count, error);
    if (status)
        return status;
    if (count != 2 || axes[0] + axes[1] != 5 || axes[0] * axes[1] != 6)
        return i3d_refuse(flat, error, "a mean over other axes than height and width");
    bool keepdims = i3d_int(flat, "keepdims", 1);
    const char *input = flow->name ? flow->name : flat->inputs[0];
    *i3d_flow(in, flat->outputs[0]) = (struct flow){ keepdims ? 2 : -1, true, NULL };
    return i3d_emit_axes(in, "ReduceMean", input, flat->outputs[0], (int64_t[]){ 2, 3, 4 }, 3,
                         keepdims, error);
}

/* ONNX Runtime takes LRN on 4-D input only, so time and height are folded into
 * one axis around it: LRN works along channels and does not see the difference. */
static enum i3d_status lrn(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    const struct flow *flow = i3d_flow(in, flat->inputs[0]);
    const struct i3d_shape *shape = i3d_flat_shape(in, flat->inputs[0]);
    if (flow->time != 2 || shape->rank != 4 || shape->dims[2] < 0 || shape->dims[3] < 0)
        return i3d_refuse(flat, error, "height and width of its input are not known");
    const char *output = flat->outputs[0];
    const char *input = flow->name ? flow->name : flat->inputs[0];
    const char *folded = i3d_join(in, output, "folded");
    const char *normalised = i3d_join(in, output, "normalised");
    const char *fold = i3d_join(in, output, "fold_shape");
    const char *unfold = i3d_join(in, output, "unfold_shape");
    if (!folded || !normalised || !fold || !unfold)
        return i3d_fail_memory(error);
    int64_t fold_shape[] = { 0, 0, -1, shape->dims[3] };
    int64_t unfold_shape[] = { 0, 0, -1, shape->dims[2], shape->dims[3] };
    enum i3d_status status = i3d_emit_ints(in, fold, fold_shape, 4, error);
    if (!status)
        status = i3d_emit_ints(in, unfold, unfold_shape, 5, error);
    if (status)
        return status;
    bool good = i3d_emit(in, "Reshape", folded, (const char *[]){ input, fold, NULL },
                         (const char *[]){ folded, NULL });
    struct i3d_node *copy = good ? i3d_emit_copy(in, flat) : NULL;
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[0] = folded;
    copy->outputs[0] = normalised;
    good = i3d_emit(in, "Reshape", output, (const char *[]){ normalised, unfold, NULL },
                    (const char *[]){ output, NULL });
    i3d_flow(in, output)->time = 2;
    return good ? I3D_OK : i3d_fail_memory(error);
}

static const struct {
    const char *op_type;
    rule *apply;
} rules[] = {
    { "Conv", i3d_inflate_conv },
    { "MaxPool", i3d_inflate_pool },
    { "AveragePool", i3d_inflate_pool },
    { "GlobalAveragePool", global_pool },
    { "GlobalMaxPool", global_pool },
    { "BatchNormalization", same },
    { "LRN", lrn },
    { "Relu", same },
    { "LeakyRelu", same },
    { "Elu", same },
    { "Selu", same },
    { "Sigmoid", same },
    { "HardSigmoid", same },
    { "HardSwish", same },
    { "Tanh", same },
    { "Softplus", same },
    { "Clip", same },
    { "Exp", same },
    { "Sqrt", same },
    { "Erf", same },
    { "Dropout", same },
    { "Identity", same },
    { "Cast", same },
    { "Add", broadcast },
    { "Sub", broadcast },
    { "Mul", broadcast },
    { "Div", broadcast },
    { "Pow", broadcast },
    { "Min", broadcast },
    { "Max", broadcast },
    { "Sum", broadcast },
    { "PRelu", broadcast },
    { "Concat", one_axis },
    { "Softmax", one_axis },
    { "LogSoftmax", one_axis },
    { "Flatten", flatten },
    { "Reshape", reshape },
    { "Squeeze", squeeze },
    { "Unsqueeze", unsqueeze },
    { "Gather", gather },
    { "ReduceMean", reduce_mean },
};

enum i3d_status i3d_inflate_node(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *node = node_at(in, position);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (i3d_is(node, rules[i].op_type) && node->input_count && node->output_count)
            return rules[i].apply(in, position, error);
    return i3d_refuse(node, error, "the operator is not handled on a value with a time axis");
}
