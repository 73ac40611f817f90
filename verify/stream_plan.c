#include "verify/stream_plan.h"

#include "verify/array.h"
#include "verify/operators.h"

#include <stdlib.h>
#include <string.h>

/* How an operator treats time. */
enum kind {
    WINDOWED,  /* a window over N×C×T×H×W */
    ELEMENTS,  /* element by element, constants broadcast */
    CHANNELS,  /* channels are axis 1; the other axes are treated alike */
    JOINED,    /* along an axis that is not time */
    TURNED,    /* axes change places */
};

static const struct {
    const char *op_type;
    enum kind kind;
} kinds[] = {
    { "Conv", WINDOWED },          { "MaxPool", WINDOWED },     { "AveragePool", WINDOWED },
    { "BatchNormalization", CHANNELS }, { "LRN", CHANNELS },    { "Concat", JOINED },
    { "Transpose", TURNED },
    { "Abs", ELEMENTS },           { "Neg", ELEMENTS },         { "Relu", ELEMENTS },
    { "LeakyRelu", ELEMENTS },     { "Elu", ELEMENTS },         { "Selu", ELEMENTS },
    { "Sigmoid", ELEMENTS },       { "HardSigmoid", ELEMENTS }, { "HardSwish", ELEMENTS },
    { "Tanh", ELEMENTS },          { "Softplus", ELEMENTS },    { "Erf", ELEMENTS },
    { "Gelu", ELEMENTS },          { "Exp", ELEMENTS },         { "Log", ELEMENTS },
    { "Sqrt", ELEMENTS },          { "Reciprocal", ELEMENTS },  { "Floor", ELEMENTS },
    { "Ceil", ELEMENTS },          { "Clip", ELEMENTS },        { "Add", ELEMENTS },
    { "Sub", ELEMENTS },           { "Mul", ELEMENTS },         { "Div", ELEMENTS },
    { "Pow", ELEMENTS },           { "PRelu", ELEMENTS },       { "Min", ELEMENTS },
    { "Max", ELEMENTS },           { "Sum", ELEMENTS },         { "Mean", ELEMENTS },
    { "Identity", ELEMENTS },      { "Dropout", ELEMENTS },
};

struct planning {
    const struct i3d_model *model;
    struct i3d_stream_plan *plan;
    bool *streamed, *needed; /* by node; streamed is the plan's */
};

static struct i3d_flow *flow_of(const struct i3d_stream_plan *plan, const char *value)
{
    int64_t number = *value ? i3d_index_value(plan->index, value) : I3D_NOWHERE;
    return number == I3D_NOWHERE || !plan->flows[number].value ? NULL : &plan->flows[number];
}

static bool is_constant(const struct i3d_stream_plan *plan, const char *name)
{
    return i3d_index_tensor(plan->index, name) != I3D_NOWHERE
        && i3d_index_producer(plan->index, name) == I3D_NOWHERE
        && i3d_index_input(plan->index, name) == I3D_NOWHERE;
}

/* Notes that a value has frames along an axis; false: its shape is not known. */
static bool add_flow(struct i3d_stream_plan *plan, const char *value, int axis)
{
    const struct i3d_shape *shape = i3d_shape_of(plan->shapes, value);
    int64_t number = i3d_index_value(plan->index, value);
    if (number == I3D_NOWHERE || shape->rank <= axis || shape->dtype != I3D_FLOAT32
        || !i3d_array_sound(shape->rank, shape->dims))
        return false;
    struct i3d_flow flow = { .value = value, .axis = axis, .rank = shape->rank,
                             .outer = 1, .inner = 1 };
    for (int k = 0; k < shape->rank; k++) {
        flow.dims[k] = shape->dims[k];
        if (shape->dims[k] < 1)
            return false;
        if (k < axis)
            flow.outer *= shape->dims[k];
        else if (k > axis)
            flow.inner *= shape->dims[k];
    }
    flow.frames = flow.dims[axis];
    plan->flows[number] = flow;
    return true;
}

/* Every operand is a value with the same frames along the same axis, or a constant that is
 * the same for all frames. */
static bool operands_agree(const struct i3d_stream_plan *plan, const struct i3d_node *node,
                           const struct i3d_flow *first)
{
    for (size_t i = 0; i < node->input_count; i++) {
        const struct i3d_flow *flow = flow_of(plan, node->inputs[i]);
        if (!*node->inputs[i])
            continue;
        if (flow && (flow->axis != first->axis || flow->rank != first->rank
                     || flow->frames != first->frames))
            return false;
        if (flow)
            continue;
        if (!is_constant(plan, node->inputs[i]))
            return false;
        const struct i3d_shape *shape = i3d_shape_of(plan->shapes, node->inputs[i]);
        int axis = first->axis - (first->rank - shape->rank);
        if (shape->rank < 0 || shape->rank > first->rank || (axis >= 0 && shape->dims[axis] != 1))
            return false;
    }
    return true;
}

static bool parameters_are_constants(const struct i3d_stream_plan *plan,
                                     const struct i3d_node *node)
{
    for (size_t i = 1; i < node->input_count; i++)
        if (*node->inputs[i] && !is_constant(plan, node->inputs[i]))
            return false;
    return true;
}

static enum i3d_status resolve(const struct i3d_stream_plan *plan, const struct i3d_node *node,
                               struct i3d_window *window, struct i3d_error *error)
{
    const struct i3d_flow *in = flow_of(plan, node->inputs[0]);
    size_t count;
    const int64_t *kernel = i3d_ints(node, "kernel_shape", &count);
    if (i3d_is(node, "Conv"))
        kernel = i3d_shape_of(plan->shapes, node->inputs[1])->dims + 2;
    else if (!kernel || count != 3)
        return i3d_fail(error, I3D_MALFORMED, "kernel_shape does not have three numbers");
    return i3d_resolve_window(node, 3, kernel, in->dims + 2, window, error);
}

/* A window that always sees at least one frame of the clip, and no frame that is not there
 * by ceil_mode: divisors would depend on it. */
static bool window_streams(const struct i3d_stream_plan *plan, const struct i3d_node *node,
                           const struct i3d_flow *first)
{
    struct i3d_window window;
    if (first->rank != 5 || first->axis != 2 || !parameters_are_constants(plan, node)
        || (i3d_is(node, "Conv") && (node->input_count < 2
                                     || i3d_shape_of(plan->shapes, node->inputs[1])->rank != 5))
        || resolve(plan, node, &window, NULL))
        return false;
    int64_t reach = (window.kernel[0] - 1) * window.dilation[0] + 1;
    int64_t last = (window.out[0] - 1) * window.stride[0] - window.pad_begin[0];
    return window.excess[0] == 0 && window.pad_begin[0] < reach && last < window.in[0];
}

/* Whether the node can be computed by windows, and the axis of its output's frames. */
static bool node_streams(const struct i3d_stream_plan *plan, const struct i3d_node *node,
                         int *axis)
{
    size_t count, k = 0;
    while (k < sizeof kinds / sizeof kinds[0] && !i3d_is(node, kinds[k].op_type))
        k++;
    if (k == sizeof kinds / sizeof kinds[0] || !i3d_operator_row(node) || !node->input_count
        || node->output_count != 1 || !*node->outputs[0])
        return false;
    const struct i3d_flow *first = NULL;
    for (size_t i = 0; i < node->input_count && !first; i++)
        first = flow_of(plan, node->inputs[i]);
    if (!first)
        return false;
    *axis = first->axis;
    const struct i3d_flow *zeroth = flow_of(plan, node->inputs[0]);
    switch (kinds[k].kind) {
    case WINDOWED:
        return zeroth && window_streams(plan, node, zeroth);
    case ELEMENTS:
        return operands_agree(plan, node, first);
    case CHANNELS:
        return zeroth && zeroth->axis >= 2 && parameters_are_constants(plan, node);
    case JOINED: {
        int64_t along = i3d_int(node, "axis", 1);
        for (size_t i = 0; i < node->input_count; i++)
            if (!flow_of(plan, node->inputs[i]))
                return false;
        return operands_agree(plan, node, first)
            && (along < 0 ? along + first->rank : along) != first->axis;
    }
    default: {
        const int64_t *order = i3d_ints(node, "perm", &count);
        if (!order || (int)count != first->rank)
            return false;
        for (size_t i = 0; i < count; i++)
            if (order[i] == first->axis)
                *axis = (int)i;
        return order[*axis] == first->axis;
    }
    }
}

/* What is computed by windows, as far as it goes. */
static void follow(struct planning *planning)
{
    struct i3d_stream_plan *plan = planning->plan;
    for (size_t i = 0; i < planning->model->node_count; i++) {
        const struct i3d_node *node = &planning->model->nodes[i];
        int axis;
        planning->streamed[i] = node_streams(plan, node, &axis)
            && add_flow(plan, node->outputs[0], axis);
    }
}

/* Marks the nodes that the value depends on, and the values whose frames are all kept. */
static void look_back(struct planning *planning, const char *value)
{
    struct i3d_stream_plan *plan = planning->plan;
    int64_t producer = i3d_index_producer(plan->index, value);
    if (producer == I3D_NOWHERE)
        return;
    planning->needed[producer] = true;
    if (planning->streamed[producer])
        flow_of(plan, value)->collected = true;
    for (size_t i = (size_t)producer + 1; i-- > 0;) {
        const struct i3d_node *node = &planning->model->nodes[i];
        for (size_t k = 0; planning->needed[i] && k < node->input_count; k++) {
            struct i3d_flow *flow = flow_of(plan, node->inputs[k]);
            int64_t source = i3d_index_producer(plan->index, node->inputs[k]);
            if (source != I3D_NOWHERE)
                planning->needed[source] = true;
            if (flow && !planning->streamed[i])
                flow->collected = true;
        }
    }
}

/* Parts the needed nodes; false: nothing is left to stream. */
static bool divide(struct planning *planning)
{
    struct i3d_stream_plan *plan = planning->plan;
    const struct i3d_model *model = planning->model;
    if (flow_of(plan, model->inputs[0].name)->collected)
        return false;
    bool any = false;
    plan->tail = *model;
    plan->tail.nodes = plan->nodes;
    plan->tail.inputs = plan->values;
    plan->tail.node_count = plan->tail.input_count = plan->tail.output_count = 0;
    for (size_t i = 0; i < model->node_count; i++) {
        plan->by_windows[i] = planning->needed[i] && planning->streamed[i];
        any = any || plan->by_windows[i];
        if (planning->needed[i] && !planning->streamed[i])
            plan->nodes[plan->tail.node_count++] = model->nodes[i];
    }
    for (size_t i = 0; i < plan->flow_count; i++) {
        const struct i3d_flow *flow = &plan->flows[i];
        if (!flow->collected)
            continue;
        struct i3d_value *input = &plan->values[plan->tail.input_count++];
        *input = (struct i3d_value){ .name = flow->value, .dtype = I3D_FLOAT32, .rank = flow->rank };
        for (int k = 0; k < flow->rank; k++)
            input->dims[k].value = flow->dims[k];
    }
    return any;
}

enum i3d_status i3d_stream_plan(const struct i3d_model *model, const struct i3d_shape *clip,
                                const char *value, struct i3d_stream_plan *plan, bool *streams,
                                struct i3d_error *error)
{
    *streams = false;
    *plan = (struct i3d_stream_plan){ 0 };
    int axis = model->time_axis < 0 ? 2 : model->time_axis;
    if (model->input_count != 1 || clip->rank != 5 || axis >= clip->rank
        || clip->dtype != I3D_FLOAT32)
        return I3D_OK;
    struct planning planning = { .model = model, .plan = plan };
    plan->index = i3d_index_new(model);
    if (!plan->index)
        return i3d_fail_memory(error);
    if (i3d_index_value(plan->index, value) == I3D_NOWHERE
        || i3d_infer_shapes(model, plan->index, clip, 1, &plan->shapes, NULL))
        return I3D_OK;
    plan->flow_count = i3d_index_value_count(plan->index);
    plan->flows = calloc(plan->flow_count + 1, sizeof *plan->flows);
    plan->nodes = calloc(model->node_count + 1, sizeof *plan->nodes);
    plan->values = calloc(plan->flow_count + 1, sizeof *plan->values);
    plan->by_windows = planning.streamed =
        calloc(model->node_count + 1, sizeof *planning.streamed);
    planning.needed = calloc(model->node_count + 1, sizeof *planning.needed);
    bool good = plan->flows && plan->nodes && plan->values && planning.streamed && planning.needed;
    if (good && add_flow(plan, model->inputs[0].name, axis)) {
        follow(&planning);
        look_back(&planning, value);
        *streams = divide(&planning);
    }
    free(planning.needed);
    return good ? I3D_OK : i3d_fail_memory(error);
}

void i3d_stream_plan_free(struct i3d_stream_plan *plan)
{
    i3d_shapes_free(plan->shapes);
    i3d_index_free(plan->index);
    free(plan->flows);
    free(plan->by_windows);
    free(plan->nodes);
    free(plan->values);
    *plan = (struct i3d_stream_plan){ 0 };
}

enum i3d_status i3d_stream_reach(const struct i3d_stream_plan *plan, const struct i3d_node *node,
                                 struct i3d_reach *reach, struct i3d_error *error)
{
    struct i3d_window window;
    *reach = (struct i3d_reach){ .kernel = 1, .stride = 1, .dilation = 1 };
    if (!i3d_is(node, "Conv") && !i3d_is(node, "MaxPool") && !i3d_is(node, "AveragePool"))
        return I3D_OK;
    enum i3d_status status = resolve(plan, node, &window, error);
    if (!status)
        *reach = (struct i3d_reach){ window.kernel[0], window.stride[0], window.dilation[0],
                                     window.pad_begin[0] };
    return status;
}
