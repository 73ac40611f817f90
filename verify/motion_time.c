/* The part over time of the reference for arbitrary motion: what the 3D graph's windows, pads
 * and mixing do to frames, put on axis 0 of the 2D graph's values. */
#include "verify/motion_parts.h"

#include <stdlib.h>
#include <string.h>

/* The batch that the 2D graph is for is one image. */
bool i3d_frame_shape(const struct i3d_motion *motion, const char *value,
                     struct i3d_shape *shape)
{
    *shape = *i3d_shape_of(motion->prover->flat.shapes, value);
    for (int k = 0; k < shape->rank; k++)
        if (shape->dims[k] < 1)
            return false;
    return shape->rank > 0 && shape->dims[0] == 1;
}

bool i3d_track_set_shape(const struct i3d_motion *motion, struct i3d_track *track,
                         const char *value)
{
    if (!i3d_frame_shape(motion, value, &track->shape))
        track->name = NULL;
    track->elements = 1;
    for (int k = 1; k < track->shape.rank; k++)
        track->elements *= track->shape.dims[k];
    return track->name;
}

static const char *put_weights(struct i3d_motion *motion, const struct i3d_span *span)
{
    struct i3d_twins *twins = motion->twins;
    const char *name = i3d_twins_new_name(twins, "window");
    float *weights = calloc((size_t)span->taps, sizeof *weights);
    if (!name || !weights) {
        free(weights);
        return NULL;
    }
    for (int64_t t = 0; t < span->taps; t++) {
        int64_t same = 0; /* taps that reach the same frames */
        for (int64_t other = 0; other < span->taps; other++)
            same += (t - other) * span->dilation % span->stride == 0;
        weights[t] = span->kind == SPAN_SPREAD ? 1 / (float)same
            : span->kind == SPAN_ONE ? t == (span->taps - 1) / 2 : 1 / (float)span->taps;
    }
    enum i3d_status status = i3d_model_put_floats(twins->model, name, 4,
                                                  (int64_t[]){ 1, 1, span->taps, 1 }, weights,
                                                  NULL);
    free(weights);
    return status ? NULL : name;
}

static bool set_window(struct i3d_model *model, struct i3d_node *node, const struct i3d_span *span)
{
    return i3d_set_ints(model, node, "strides", (int64_t[]){ span->stride, 1 }, 2)
        && i3d_set_ints(model, node, "pads", (int64_t[]){ span->begin, 0, span->end, 0 }, 4)
        && (span->dilation == 1
            || i3d_set_ints(model, node, "dilations", (int64_t[]){ span->dilation, 1 }, 2));
}

enum i3d_status i3d_track_window(struct i3d_motion *motion, struct i3d_track *track,
                                  const struct i3d_span *span)
{
    static const char *const types[] = { [SPAN_SUM] = "AveragePool", [SPAN_ONE] = "Conv",
                                         [SPAN_MAX] = "MaxPool", [SPAN_MEAN] = "AveragePool",
                                         [SPAN_POWER] = "LpPool", [SPAN_SPREAD] = "ConvTranspose" };
    struct i3d_twins *twins = motion->twins;
    if (span->kind == SPAN_NONE || !track->name)
        return I3D_OK;
    const char *type = types[span->kind];
    if (span->kind == SPAN_SUM && span->dilation > 1)
        type = "Conv"; /* pools learned to dilate late */
    bool weighted = !strcmp(type, "Conv") || !strcmp(type, "ConvTranspose");
    const char *image = i3d_twins_reshape(twins, track->name, 4,
                                          (int64_t[]){ 1, 1, track->frames, track->elements });
    const char *weights = weighted ? put_weights(motion, span) : NULL;
    struct i3d_node *node = NULL;
    const char *result = image && (!weighted || weights)
        ? i3d_twins_node(twins, type, (const char *[]){ image, weights, NULL }, &node) : NULL;
    bool good = result && set_window(twins->model, node, span)
        && (weighted
            || i3d_set_ints(twins->model, node, "kernel_shape", (int64_t[]){ span->taps, 1 }, 2));
    if (good && !strcmp(type, "AveragePool"))
        good = i3d_set_int(twins->model, node, "count_include_pad",
                           span->kind == SPAN_SUM || span->counts_padding);
    if (good && span->ceil)
        good = i3d_set_int(twins->model, node, "ceil_mode", 1);
    if (good && span->kind == SPAN_POWER)
        good = i3d_set_int(twins->model, node, "p", span->power);
    if (good && span->extra)
        good = i3d_set_ints(twins->model, node, "output_padding", (int64_t[]){ span->extra, 0 }, 2);
    track->shape.dims[0] = track->frames = span->frames;
    if (good)
        track->name = i3d_twins_reshape(twins, result, track->shape.rank, track->shape.dims);
    return good && track->name ? I3D_OK : i3d_motion_no_memory(motion);
}

enum i3d_status i3d_track_mix(struct i3d_motion *motion, struct i3d_track *track,
                              const char *op_type)
{
    struct i3d_node *node;
    if (!track->name || track->frames == 1)
        return I3D_OK;
    bool sum = !strcmp(op_type, "ReduceSum") || i3d_opset(motion->twins->model) >= 18;
    const char *axes = i3d_twins_ints(motion->twins, (int64_t[]){ 0 }, 1);
    sum = !strcmp(op_type, "ReduceSum") ? i3d_opset(motion->twins->model) >= 13
                                        : i3d_opset(motion->twins->model) >= 18;
    track->name = axes ? i3d_twins_node(motion->twins, op_type,
                                        (const char *[]){ track->name, sum ? axes : NULL, NULL },
                                        &node) : NULL;
    bool good = track->name && i3d_set_int(motion->twins->model, node, "keepdims", 1)
        && (sum || i3d_set_ints(motion->twins->model, node, "axes", (int64_t[]){ 0 }, 1));
    track->shape.dims[0] = track->frames = 1;
    return good ? I3D_OK : i3d_motion_no_memory(motion);
}

static int64_t item(const struct i3d_node *node, const char *name, int64_t fallback)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return count == 3 ? values[0] : fallback;
}

/* The frames of a 3D value; 1 where it has no time, 0 where that is not known. */
static int64_t frames_in_3d(const struct i3d_motion *motion, const char *value)
{
    const struct i3d_frame_trace *trace = i3d_frames_of(motion->prover->frames, value);
    return trace ? trace->frames : 0;
}

bool i3d_span_of(const struct i3d_motion *motion, const struct i3d_node *node, bool centered,
                 struct i3d_span *span)
{
    const struct i3d_structure *inflated = &motion->prover->inflated;
    const struct i3d_frame_trace *in = i3d_frames_of(motion->prover->frames, node->inputs[0]);
    const struct i3d_shape *shape = i3d_shape_of(inflated->shapes, node->inputs[0]);
    const struct i3d_tensor *weight = i3d_is_kernel(inflated, node)
        ? i3d_structure_tensor(inflated, node->inputs[1]) : NULL;
    *span = (struct i3d_span){ .kind = SPAN_NONE };
    bool transposed = i3d_is(node, "ConvTranspose");
    bool pool = i3d_is(node, "MaxPool") || i3d_is(node, "AveragePool") || i3d_is(node, "LpPool");
    if (!in || !in->timed || (!pool && !transposed && !i3d_is(node, "Conv")))
        return true;
    size_t count;
    const int64_t *kernel = i3d_ints(node, "kernel_shape", &count);
    if (shape->rank != 5 || in->axis != 2 || (!pool && (!weight || weight->rank != 5))
        || (pool && count != 3))
        return in->axis == 0; /* frame by frame already */
    kernel = pool ? kernel : weight->dims + 2;
    span->taps = kernel[0];
    span->stride = item(node, "strides", 1);
    span->dilation = item(node, "dilations", 1);
    span->frames = frames_in_3d(motion, node->outputs[0]);
    span->counts_padding = i3d_int(node, "count_include_pad", 0);
    span->ceil = i3d_int(node, "ceil_mode", 0);
    span->power = i3d_int(node, "p", 2);
    span->kind = i3d_is(node, "MaxPool") ? SPAN_MAX : i3d_is(node, "AveragePool") ? SPAN_MEAN
        : i3d_is(node, "LpPool") ? SPAN_POWER : transposed ? SPAN_SPREAD
        : centered ? SPAN_ONE : SPAN_SUM;
    if (transposed) {
        span->extra = item(node, "output_padding", 0);
        span->begin = i3d_int(node, "auto_pad", 0);
        const int64_t *pads = i3d_ints(node, "pads", &count);
        span->begin = count == 6 ? pads[0] : 0;
        span->end = count == 6 ? pads[3] : 0;
        const struct i3d_attribute *auto_pad = i3d_attribute(node, "auto_pad");
        return span->frames > 0 && !i3d_attribute(node, "output_shape")
            && (!auto_pad || i3d_string_is(node, "auto_pad", "NOTSET"));
    }
    struct i3d_window window;
    if (span->frames < 1 || i3d_resolve_window(node, 3, kernel, shape->dims + 2, &window, NULL))
        return false;
    span->begin = window.pad_begin[0];
    span->end = window.pad_end[0];
    if (span->taps == 1 && span->stride == 1 && !span->begin && !span->end)
        span->kind = SPAN_NONE;
    return true;
}

enum i3d_status i3d_track_follow(struct i3d_motion *motion, const char *from, const char *to,
                                 struct i3d_track *track)
{
    if (!strcmp(from, to) || !track->name)
        return I3D_OK;
    const struct i3d_structure *inflated = &motion->prover->inflated;
    int64_t producer = i3d_index_producer(inflated->index, to);
    if (producer < 0) {
        track->name = NULL;
        return I3D_OK;
    }
    const struct i3d_node *node = i3d_motion_inflated(motion, producer);
    enum i3d_status status = node->input_count
        ? i3d_track_follow(motion, from, node->inputs[0], track) : I3D_OK;
    if (status || !track->name)
        return status;
    const struct i3d_frame_trace *in = i3d_frames_of(motion->prover->frames, node->inputs[0]);
    const struct i3d_frame_trace *out = i3d_frames_of(motion->prover->frames, node->outputs[0]);
    struct i3d_span span;
    if (!in || !out || (!i3d_is_transparent(inflated, node) && !i3d_is_temporal_pool(node))) {
        track->name = NULL;
        return I3D_OK;
    }
    if (in->timed && !out->timed)
        return i3d_is(node, "ReduceMean") ? i3d_track_mix(motion, track, "ReduceMean")
                                          : (track->name = NULL, I3D_OK);
    if (i3d_is_temporal_pool(node)) {
        if (!i3d_span_of(motion, node, false, &span))
            track->name = NULL;
        return track->name ? i3d_track_window(motion, track, &span) : I3D_OK;
    }
    if (!i3d_is(node, "Pad") || in->frames == out->frames)
        return I3D_OK;
    /* The 2D graph pads space, this one time: the amounts of the time axis on axis 0. */
    size_t count;
    int known_count = 0;
    const bool *known;
    const int64_t *pads = i3d_ints(node, "pads", &count);
    if (!pads && node->input_count > 1) {
        pads = i3d_known_ints(inflated->shapes, node->inputs[1], &known_count, &known);
        count = (size_t)known_count;
    }
    int rank = track->shape.rank;
    if (!pads || count != 10 || in->axis != 2) {
        track->name = NULL;
        return I3D_OK;
    }
    int64_t amounts[2 * I3D_MAX_RANK] = { pads[2] };
    amounts[rank] = pads[7];
    struct i3d_node *pad;
    const char *numbers = i3d_twins_ints(motion->twins, amounts, 2 * rank);
    bool as_input = i3d_opset(motion->twins->model) >= 11;
    track->name = numbers ? i3d_twins_node(motion->twins, "Pad",
                                           (const char *[]){ track->name, as_input ? numbers : NULL,
                                                             NULL }, &pad) : NULL;
    const struct i3d_attribute *mode = i3d_attribute(node, "mode");
    bool good = track->name
        && (as_input || i3d_set_ints(motion->twins->model, pad, "pads", amounts, 2 * (size_t)rank))
        && (!mode || i3d_set_string(motion->twins->model, pad, "mode",
                                    i3d_string_is(node, "mode", "edge") ? "edge"
                                    : i3d_string_is(node, "mode", "reflect") ? "reflect"
                                                                            : "constant"));
    track->shape.dims[0] = track->frames = out->frames;
    return good ? I3D_OK : i3d_motion_no_memory(motion);
}
