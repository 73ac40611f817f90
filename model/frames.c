#include "model/frames_trace.h"

#include <stdlib.h>
#include <string.h>

struct i3d_frames {
    struct i3d_arena *arena;
    size_t count;
    struct entry {
        const char *name;
        struct i3d_frame_trace trace;
    } *entries; /* sorted by name */
};

struct i3d_trace *i3d_traced_input(const struct i3d_tracer *tracer, size_t k)
{
    if (k >= tracer->node->input_count)
        return NULL;
    int64_t number = i3d_index_value(tracer->index, tracer->node->inputs[k]);
    struct i3d_trace *trace = number < 0 ? NULL : &tracer->traces[number];
    return trace && (trace->states || trace->lost) ? trace : NULL;
}

const struct i3d_shape *i3d_shape_of_input(const struct i3d_tracer *tracer, size_t k)
{
    return i3d_shape_of(tracer->shapes, tracer->node->inputs[k]);
}

const struct i3d_shape *i3d_shape_of_output(const struct i3d_tracer *tracer)
{
    return i3d_shape_of(tracer->shapes, tracer->node->outputs[0]);
}

int64_t i3d_span(const struct i3d_shape *shape, int from, int to)
{
    int64_t product = 1;
    for (int k = from; k < to; k++) {
        if (shape->dims[k] < 0)
            return -1;
        product *= shape->dims[k]; /* inference made sure that all of it can be counted */
    }
    return product;
}

enum i3d_status i3d_trace_inner(struct i3d_tracer *tracer, struct i3d_trace *out, int64_t inner)
{
    const struct i3d_shape *shape = i3d_shape_of_output(tracer);
    struct i3d_frame_trace *shown = &out->shown;
    int64_t all = shape->rank < 0 ? -1 : i3d_span(shape, 0, shape->rank);
    out->lost = all <= 0 || shown->frames < 1 || inner < 1 || all % (inner * shown->frames);
    if (out->lost)
        return I3D_OK;
    shown->timed = true;
    shown->inner = inner;
    shown->outer = all / inner / shown->frames;
    shown->axis = -1;
    for (int k = shape->rank - 1; k >= 0; k--) /* of axes of length 1, the first */
        if (i3d_span(shape, k + 1, shape->rank) == inner && shape->dims[k] == shown->frames)
            shown->axis = k;
    out->states = i3d_arena_alloc(tracer->arena, (size_t)shown->frames, 1);
    return out->states ? I3D_OK : i3d_fail_memory(tracer->error);
}

enum i3d_status i3d_trace_axis(struct i3d_tracer *tracer, struct i3d_trace *out, int axis)
{
    const struct i3d_shape *shape = i3d_shape_of_output(tracer);
    if (axis < 0 || axis >= shape->rank) {
        out->lost = true;
        return I3D_OK;
    }
    out->shown.frames = shape->dims[axis];
    enum i3d_status status =
        i3d_trace_inner(tracer, out, i3d_span(shape, axis + 1, shape->rank));
    out->shown.axis = axis;
    return status;
}

void i3d_inherit(struct i3d_trace *out, const struct i3d_trace *in)
{
    out->shown.field = in->shown.field;
    out->shown.step = in->shown.step;
    out->shown.never = in->shown.never;
    out->not_negative = in->not_negative;
}

static bool all_clean(const struct i3d_trace *trace)
{
    for (int64_t t = 0; t < trace->shown.frames; t++)
        if (trace->states[t] != I3D_FRAME_CLEAN)
            return false;
    return true;
}

enum i3d_status i3d_trace_mixed(struct i3d_tracer *tracer, struct i3d_trace *out, bool timed)
{
    const struct i3d_trace *in = tracer->in;
    bool clean = all_clean(in);
    enum i3d_status status = I3D_OK;
    i3d_inherit(out, in);
    if (timed) {
        out->shown.frames = in->shown.frames;
        status = i3d_trace_inner(tracer, out, in->shown.inner);
    } else {
        const struct i3d_shape *shape = i3d_shape_of_output(tracer);
        int64_t elements = shape->rank < 0 ? -1 : i3d_span(shape, 0, shape->rank);
        out->lost = elements < 0;
        out->shown = (struct i3d_frame_trace){ .axis = -1, .outer = 1, .frames = 1,
                                               .inner = elements, .never = in->shown.never };
        out->states = i3d_arena_alloc(tracer->arena, 1, 1);
        if (!out->states)
            status = i3d_fail_memory(tracer->error);
    }
    if (status || out->lost)
        return status;
    memset(out->states, clean ? I3D_FRAME_CLEAN : I3D_FRAME_SPOILT, (size_t)out->shown.frames);
    if (in->shown.frames > 1)
        out->shown.field = 0;
    out->shown.never |= !clean;
    return I3D_OK;
}

bool i3d_axis_moves_time(const struct i3d_trace *trace, const struct i3d_shape *shape, int axis)
{
    int64_t step = i3d_span(shape, axis + 1, shape->rank), time = trace->shown.inner;
    bool apart = step * shape->dims[axis] <= time || step >= time * trace->shown.frames;
    return trace->shown.timed && shape->dims[axis] != 1 && !apart;
}

/* Operators that take the elements one by one, or within a frame, and broadcast. */
static enum i3d_status trace_pointwise(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_shape *shape = i3d_shape_of_output(tracer);
    const struct i3d_node *node = tracer->node;
    bool copies = i3d_is(node, "Identity") || i3d_is(node, "Dropout") || i3d_is(node, "Cast");
    bool first = true;
    for (size_t k = 0; k < node->input_count; k++) {
        const struct i3d_trace *in = i3d_traced_input(tracer, k);
        if (!in || !in->shown.timed)
            continue;
        const struct i3d_shape *own = i3d_shape_of_input(tracer, k);
        int64_t inner = in->shown.inner;
        int ahead = shape->rank - own->rank;
        if (in->shown.axis >= 0 && ahead >= 0)
            inner = i3d_span(shape, in->shown.axis + ahead + 1, shape->rank);
        if (!first && (inner != out->shown.inner || in->shown.frames != out->shown.frames)) {
            out->lost = true; /* time meets another axis */
            return I3D_OK;
        }
        out->shown.frames = in->shown.frames;
        out->shown.inner = inner;
        first = false;
    }
    enum i3d_status status = first ? i3d_trace_mixed(tracer, out, false)
                                   : i3d_trace_inner(tracer, out, out->shown.inner);
    if (status || out->lost)
        return status;
    memset(out->states, I3D_FRAME_CLEAN, (size_t)out->shown.frames);
    out->not_negative = true;
    for (size_t k = 0; k < node->input_count; k++) {
        const struct i3d_trace *in = i3d_traced_input(tracer, k);
        if (!in)
            continue;
        for (int64_t t = 0; t < out->shown.frames; t++) {
            unsigned char state = in->states[in->shown.timed ? t : 0];
            if (state != I3D_FRAME_CLEAN)
                out->states[t] = copies ? state : I3D_FRAME_SPOILT;
        }
        bool whole = (k && !out->shown.field) || (!in->shown.field && in->shown.inner > 0);
        out->shown.field = whole ? 0 : in->shown.field > out->shown.field ? in->shown.field
                                                                        : out->shown.field;
        out->shown.step = in->shown.step > out->shown.step ? in->shown.step : out->shown.step;
        out->shown.never |= in->shown.never;
        out->not_negative &= in->not_negative;
    }
    out->not_negative &= copies || i3d_is(node, "Add") || i3d_is(node, "Sum");
    return I3D_OK;
}

static enum i3d_status trace_positive(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    enum i3d_status status = trace_pointwise(tracer, out);
    out->not_negative = !i3d_is(tracer->node, "Clip")
        || i3d_float(tracer->node, "min", -1) >= 0;
    const struct i3d_tensor *low = NULL;
    if (i3d_is(tracer->node, "Clip") && tracer->node->input_count > 1) {
        int64_t position = i3d_index_tensor(tracer->index, tracer->node->inputs[1]);
        low = position < 0 ? NULL : &tracer->model->tensors[position];
    }
    double *value = NULL;
    if (low && low->source && i3d_tensor_elements(low) == 1
        && !i3d_tensor_load_double(low, &value, NULL))
        out->not_negative = *value >= 0;
    free(value);
    return status;
}

static enum i3d_status trace_global_pool(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    bool mixes = false;
    for (int k = 2; k < shape->rank; k++)
        mixes |= i3d_axis_moves_time(tracer->in, shape, k);
    if (mixes)
        return i3d_trace_mixed(tracer, out, false);
    const struct i3d_trace *in = tracer->in;
    return in->shown.axis == 2 ? i3d_trace_mixed(tracer, out, false)
                               : i3d_trace_reshape(tracer, out);
}

static enum i3d_status trace_norm(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    for (int k = 2; k < shape->rank; k++)
        if (i3d_axis_moves_time(tracer->in, shape, k))
            return i3d_trace_mixed(tracer, out, true);
    return trace_pointwise(tracer, out);
}

/* The axes of a reduction: an attribute or input 1; all where there are none. */
static bool reduces_time(struct i3d_tracer *tracer)
{
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    const struct i3d_node *node = tracer->node;
    size_t count = 0;
    int known_count = 0;
    const bool *known = NULL;
    const int64_t *axes = i3d_ints(node, "axes", &count);
    int64_t single = i3d_int(node, "axis", 0);
    if (i3d_is(node, "ArgMax") || i3d_is(node, "ArgMin")) {
        axes = &single;
        count = 1;
    } else if (!axes && node->input_count > 1 && *node->inputs[1]) {
        axes = i3d_known_ints(tracer->shapes, node->inputs[1], &known_count, &known);
        count = axes ? (size_t)known_count : 0;
    }
    if (!axes)
        return !i3d_int(node, "noop_with_empty_axes", 0);
    for (size_t k = 0; k < count; k++) {
        int64_t axis = axes[k] < 0 ? axes[k] + shape->rank : axes[k];
        if ((known && !known[k]) || axis < 0 || axis >= shape->rank
            || axis == tracer->in->shown.axis
            || i3d_axis_moves_time(tracer->in, shape, (int)axis))
            return true;
    }
    return false;
}

static enum i3d_status trace_reduction(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    if (!tracer->in->shown.timed || reduces_time(tracer))
        return i3d_trace_mixed(tracer, out, false);
    /* Time stays; what lies behind it may shrink. */
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0), *to = i3d_shape_of_output(tracer);
    int axis = tracer->in->shown.axis;
    for (int k = 0; axis >= 0 && k < to->rank; k++)
        if (to->dims[k] == shape->dims[axis] && i3d_span(to, 0, k) <= i3d_span(shape, 0, axis)
            && i3d_span(shape, 0, axis) % i3d_span(to, 0, k) == 0
            && (to->rank == shape->rank ? k == axis : k <= axis)) {
            i3d_inherit(out, tracer->in);
            enum i3d_status status = i3d_trace_axis(tracer, out, k);
            if (!status && !out->lost)
                memcpy(out->states, tracer->in->states, (size_t)out->shown.frames);
            return status;
        }
    out->lost = true;
    return I3D_OK;
}

/* Softmax over an axis and its like: LayerNormalization and, before opset 13, Softmax
 * take that axis and all behind it. */
static enum i3d_status trace_along_axis(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    bool layer = i3d_is(tracer->node, "LayerNormalization");
    bool to_the_end = layer || i3d_opset(tracer->model) < 13;
    int64_t axis = i3d_int(tracer->node, "axis", layer || !to_the_end ? -1 : 1);
    axis += axis < 0 ? shape->rank : 0;
    for (int k = (int)axis; k >= 0 && k < (to_the_end ? shape->rank : (int)axis + 1); k++)
        if (i3d_axis_moves_time(tracer->in, shape, k))
            return i3d_trace_mixed(tracer, out, true);
    return trace_pointwise(tracer, out);
}

static const struct {
    const char *op_type;
    i3d_trace_rule *rule;
} rows[] = {
    { "Conv", i3d_trace_window }, { "MaxPool", i3d_trace_window },
    { "AveragePool", i3d_trace_window }, { "LpPool", i3d_trace_window },
    { "ConvTranspose", i3d_trace_conv_transpose },
    { "Resize", i3d_trace_resize }, { "Upsample", i3d_trace_resize },
    { "Pad", i3d_trace_pad },
    { "GlobalAveragePool", trace_global_pool }, { "GlobalMaxPool", trace_global_pool },
    { "GlobalLpPool", trace_global_pool },
    { "InstanceNormalization", trace_norm }, { "GroupNormalization", trace_norm },
    { "LayerNormalization", trace_along_axis }, { "Softmax", trace_along_axis },
    { "LogSoftmax", trace_along_axis },
    { "Relu", trace_positive }, { "Sigmoid", trace_positive }, { "HardSigmoid", trace_positive },
    { "Abs", trace_positive }, { "Exp", trace_positive }, { "Sqrt", trace_positive },
    { "Softplus", trace_positive }, { "Clip", trace_positive },
    { "Reshape", i3d_trace_reshape }, { "Flatten", i3d_trace_reshape },
    { "Squeeze", i3d_trace_reshape }, { "Unsqueeze", i3d_trace_reshape },
    { "DepthToSpace", i3d_trace_reshape }, { "SpaceToDepth", i3d_trace_reshape },
    { "Transpose", i3d_trace_transpose }, { "Concat", i3d_trace_concat },
    { "Split", i3d_trace_split }, { "Slice", i3d_trace_slice }, { "Gather", i3d_trace_gather },
    { "Gemm", i3d_trace_matrix }, { "MatMul", i3d_trace_matrix },
};

static i3d_trace_rule *rule_of(const struct i3d_node *node)
{
    static const char *const pointwise[] = {
        "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean", "PRelu", "Neg", "LeakyRelu",
        "Elu", "Selu", "HardSwish", "Tanh", "Erf", "Gelu", "Log", "Reciprocal", "Floor", "Ceil",
        "Cast", "Identity", "Dropout", "BatchNormalization", "LRN", "Expand", "Where",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (i3d_is(node, rows[i].op_type))
            return rows[i].rule;
    for (size_t i = 0; i < sizeof pointwise / sizeof pointwise[0]; i++)
        if (i3d_is(node, pointwise[i]))
            return trace_pointwise;
    return !strncmp(node->op_type, "Reduce", 6) || i3d_is(node, "ArgMax") || i3d_is(node, "ArgMin")
        ? trace_reduction : NULL;
}

static enum i3d_status trace_node(struct i3d_tracer *tracer)
{
    const struct i3d_node *node = tracer->node;
    struct i3d_trace out = { 0 };
    tracer->in = NULL;
    for (size_t k = 0; k < node->input_count; k++) {
        struct i3d_trace *in = i3d_traced_input(tracer, k);
        if (in && !tracer->in)
            tracer->in = in;
        out.lost |= in && in->lost;
    }
    if (!tracer->in || i3d_is(node, "Shape") || i3d_is(node, "Size"))
        return I3D_OK;
    i3d_trace_rule *rule = rule_of(node);
    enum i3d_status status = I3D_OK;
    out.lost |= !rule;
    if (!out.lost)
        status = rule(tracer, &out);
    /* Further outputs have the frames of the first, where their shape allows it. */
    for (size_t k = 0; k < node->output_count && !status; k++) {
        int64_t number = i3d_index_value(tracer->index, node->outputs[k]);
        if (number < 0)
            continue;
        tracer->traces[number] = out;
        const struct i3d_shape *shape = i3d_shape_of(tracer->shapes, node->outputs[k]);
        int64_t all = shape->rank < 0 ? -1 : i3d_span(shape, 0, shape->rank);
        if (k && !out.lost && all != out.shown.outer * out.shown.frames * out.shown.inner)
            tracer->traces[number] = (struct i3d_trace){ .lost = true };
        if (out.lost)
            tracer->traces[number].states = NULL;
    }
    return status;
}

static enum i3d_status trace_input(struct i3d_tracer *tracer, const struct i3d_shape *input)
{
    const struct i3d_model *model = tracer->model;
    int axis = model->time_axis >= 0 ? model->time_axis : input->rank == 5 ? 2 : -1;
    if (model->input_count != 1 || axis < 0 || axis >= input->rank
        || i3d_span(input, 0, input->rank) <= 0)
        return i3d_fail(tracer->error, I3D_UNSUPPORTED, "the network does not take one video");
    int64_t number = i3d_index_value(tracer->index, model->inputs[0].name);
    struct i3d_trace *trace = &tracer->traces[number];
    trace->shown = (struct i3d_frame_trace){
        .timed = true, .axis = axis, .outer = i3d_span(input, 0, axis),
        .frames = input->dims[axis], .inner = i3d_span(input, axis + 1, input->rank),
        .field = 1, .step = 1,
    };
    trace->states = i3d_arena_alloc(tracer->arena, (size_t)input->dims[axis], 1);
    if (!trace->states)
        return i3d_fail_memory(tracer->error);
    memset(trace->states, I3D_FRAME_CLEAN, (size_t)input->dims[axis]);
    return I3D_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* What the caller sees of a trace. */
static bool add_entry(struct i3d_frames *frames, const char *name, const struct i3d_trace *trace)
{
    struct entry *entry = &frames->entries[frames->count];
    int64_t count = trace->shown.frames;
    bool *clean = i3d_arena_alloc(frames->arena, (size_t)count, sizeof *clean);
    entry->name = i3d_arena_string(frames->arena, name);
    if (!clean || !entry->name)
        return false;
    entry->trace = trace->shown;
    entry->trace.clean_first = entry->trace.clean_last = -1;
    for (int64_t t = 0; t < count; t++) {
        clean[t] = trace->states[t] == I3D_FRAME_CLEAN;
        if (!clean[t])
            continue;
        entry->trace.clean_count++;
        entry->trace.clean_last = t;
        if (entry->trace.clean_first < 0)
            entry->trace.clean_first = t;
    }
    entry->trace.clean = clean;
    frames->count++;
    return true;
}

static enum i3d_status collect(const struct i3d_tracer *tracer, struct i3d_frames *frames)
{
    const struct i3d_model *model = tracer->model;
    size_t room = i3d_index_value_count(tracer->index) + 1;
    bool good = (frames->entries = calloc(room, sizeof *frames->entries)) != NULL;
    for (size_t i = 0; good && i <= model->node_count; i++) {
        size_t count = i ? model->nodes[i - 1].output_count : 1;
        for (size_t k = 0; k < count && good; k++) {
            const char *name = i ? model->nodes[i - 1].outputs[k] : model->inputs[0].name;
            int64_t number = i3d_index_value(tracer->index, name);
            const struct i3d_trace *trace = number < 0 ? NULL : &tracer->traces[number];
            if (trace && trace->states && !trace->lost)
                good = add_entry(frames, name, trace);
        }
    }
    if (!good)
        return i3d_fail_memory(tracer->error);
    qsort(frames->entries, frames->count, sizeof *frames->entries, by_name);
    return I3D_OK;
}

static enum i3d_status trace_frames(const struct i3d_model *model, const struct i3d_shape *input,
                                    uint64_t *live_taps, struct i3d_frames **frames,
                                    struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(model);
    struct i3d_frames *result = calloc(1, sizeof *result);
    struct i3d_tracer tracer = { .model = model, .index = index, .live_taps = live_taps,
                                 .error = error };
    struct i3d_shapes *shapes = NULL;
    enum i3d_status status = I3D_OK;
    *frames = NULL;
    if (result)
        tracer.arena = result->arena = i3d_arena_new();
    if (index)
        tracer.traces = calloc(i3d_index_value_count(index) + 1, sizeof *tracer.traces);
    if (!index || !result || !tracer.arena || !tracer.traces)
        status = i3d_fail_memory(error);
    if (!status)
        status = i3d_infer_shapes(model, index, input, 1, &shapes, error);
    tracer.shapes = shapes;
    if (!status)
        status = trace_input(&tracer, input);
    for (size_t i = 0; i < model->node_count && !status; i++) {
        tracer.node = &model->nodes[i];
        status = trace_node(&tracer);
    }
    if (!status)
        status = collect(&tracer, result);
    free(tracer.traces);
    i3d_shapes_free(shapes);
    i3d_index_free(index);
    if (status)
        i3d_frames_free(result);
    else
        *frames = result;
    return status;
}

/* Room for live_taps, if kernels are to be looked at. */
static enum i3d_status taps_of(const struct i3d_model *model, bool weights, uint64_t **taps,
                               struct i3d_error *error)
{
    *taps = weights ? calloc(model->tensor_count + 1, sizeof **taps) : NULL;
    return weights && !*taps ? i3d_fail_memory(error) : I3D_OK;
}

enum i3d_status i3d_trace_frames(const struct i3d_model *model, const struct i3d_shape *input,
                                 bool weights, struct i3d_frames **frames, struct i3d_error *error)
{
    uint64_t *taps;
    *frames = NULL;
    enum i3d_status status = taps_of(model, weights, &taps, error);
    if (!status)
        status = trace_frames(model, input, taps, frames, error);
    free(taps);
    return status;
}

void i3d_frames_free(struct i3d_frames *frames)
{
    if (!frames)
        return;
    free(frames->entries);
    i3d_arena_free(frames->arena);
    free(frames);
}

const struct i3d_frame_trace *i3d_frames_of(const struct i3d_frames *frames, const char *value)
{
    struct entry key = { .name = value };
    const struct entry *found = frames->count
        ? bsearch(&key, frames->entries, frames->count, sizeof key, by_name) : NULL;
    return found ? &found->trace : NULL;
}

const char *i3d_framewise_output(const struct i3d_model *model, const struct i3d_frames *frames,
                                 size_t output)
{
    static const char *const passed[] = { "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
                                          "Softmax", "LogSoftmax", "Cast", "Dropout" };
    const char *value = model->outputs[output].name, *at = value;
    for (size_t i = model->node_count; i-- > 0;) {
        const struct i3d_node *node = &model->nodes[i];
        const struct i3d_frame_trace *trace = i3d_frames_of(frames, at);
        if (!trace || trace->timed)
            break;
        if (!node->output_count || strcmp(node->outputs[0], at) || !node->input_count)
            continue;
        bool passes = i3d_is(node, "ReduceMean");
        for (size_t k = 0; k < sizeof passed / sizeof passed[0]; k++)
            passes |= i3d_is(node, passed[k]);
        if (!passes)
            return value;
        at = node->inputs[0];
        /* The mean is over time alone if it leaves as much as a frame holds. */
        const struct i3d_frame_trace *behind = i3d_frames_of(frames, at);
        if (!behind || behind->outer * behind->inner != trace->outer * trace->inner)
            return value;
    }
    const struct i3d_frame_trace *trace = i3d_frames_of(frames, at);
    return trace && trace->timed ? at : value;
}

const char *i3d_deepest_clean(const struct i3d_model *model, const struct i3d_frames *frames)
{
    for (size_t i = model->node_count; i-- > 0;) {
        const struct i3d_node *node = &model->nodes[i];
        const struct i3d_frame_trace *trace =
            node->output_count ? i3d_frames_of(frames, node->outputs[0]) : NULL;
        if (trace && trace->clean_count)
            return node->outputs[0];
    }
    return NULL;
}

/* Looks at one length; *length is set where that settles it. */
static enum i3d_status try_length(const struct i3d_model *model, const struct i3d_shape *input,
                                  int64_t frames, uint64_t *taps, int64_t *length,
                                  struct i3d_error *error)
{
    struct i3d_frames *traced = NULL;
    enum i3d_status status = trace_frames(model, input, taps, &traced, error);
    if (status == I3D_MALFORMED) /* too short for its windows, or its numbers do not fit it */
        return I3D_OK;
    const struct i3d_frame_trace *trace = status || !model->output_count
        ? NULL : i3d_frames_of(traced, i3d_framewise_output(model, traced, 0));
    if (!status && (!trace || trace->never))
        *length = 0;
    else if (!status && trace->clean_count)
        *length = frames;
    i3d_frames_free(traced);
    return status;
}

enum i3d_status i3d_shortest_clean_clip(const struct i3d_model *model,
                                        const struct i3d_shape *input, bool weights,
                                        int64_t limit, int64_t *length, struct i3d_error *error)
{
    struct i3d_shape shape = *input;
    int axis = model->time_axis >= 0 ? model->time_axis : 2;
    uint64_t *taps;
    *length = -1;
    if (axis >= input->rank)
        return i3d_fail(error, I3D_UNSUPPORTED, "the network does not take one video");
    enum i3d_status status = taps_of(model, weights, &taps, error);
    for (int64_t frames = 1; frames <= limit && *length < 0 && !status; frames++) {
        shape.dims[axis] = frames;
        status = try_length(model, &shape, frames, taps, length, error);
    }
    free(taps);
    return status;
}
