#include "model/frames_trace.h"

#include <string.h>

static enum i3d_status copy_states(const struct i3d_trace *in, struct i3d_trace *out,
                                   enum i3d_status status)
{
    if (!status && !out->lost)
        memcpy(out->states, in->states, (size_t)out->shown.frames);
    return status;
}

/* Elements stay in order, so that time is where it was among them; where the node
 * makes more or fewer of them, it does so behind time. */
enum i3d_status i3d_trace_reshape(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *to = i3d_shape_of_output(tracer);
    if (!in->shown.timed) {
        enum i3d_status status = i3d_trace_mixed(tracer, out, false);
        out->not_negative = in->not_negative;
        return status;
    }
    int64_t all = to->rank < 0 ? -1 : i3d_span(to, 0, to->rank);
    int64_t ahead = in->shown.outer * in->shown.frames;
    out->lost = all <= 0 || all % ahead;
    if (out->lost)
        return I3D_OK;
    i3d_inherit(out, in);
    out->shown.frames = in->shown.frames;
    return copy_states(in, out, i3d_trace_inner(tracer, out, all / ahead));
}

enum i3d_status i3d_trace_transpose(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *from = i3d_shape_of_input(tracer, 0), *to = i3d_shape_of_output(tracer);
    size_t count;
    const int64_t *order = i3d_ints(tracer->node, "perm", &count);
    if (!in->shown.timed)
        return i3d_trace_reshape(tracer, out);
    int axis = -1; /* the one that time lies in */
    for (int k = 0; k < from->rank; k++) {
        int64_t step = i3d_span(from, k + 1, from->rank);
        if (step <= in->shown.inner && in->shown.inner * in->shown.frames <= step * from->dims[k])
            axis = k;
    }
    out->lost = axis < 0;
    for (int k = 0; k < to->rank && axis >= 0; k++) {
        int64_t source = order ? order[k] : to->rank - 1 - k;
        if (source != axis)
            continue;
        i3d_inherit(out, in);
        out->shown.frames = in->shown.frames;
        int64_t within = in->shown.inner / i3d_span(from, axis + 1, from->rank);
        return copy_states(in, out, i3d_trace_inner(tracer, out,
                                                    within * i3d_span(to, k + 1, to->rank)));
    }
    out->lost = true;
    return I3D_OK;
}

/* Along another axis: a frame is clean where all of its parts are. */
enum i3d_status i3d_trace_concat(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_node *node = tracer->node;
    const struct i3d_shape *shape = i3d_shape_of_output(tracer);
    int64_t along = i3d_int(node, "axis", 0);
    along += along < 0 ? shape->rank : 0;
    const struct i3d_trace *first = tracer->in;
    bool in_time = first->shown.timed && along == first->shown.axis;
    int axis = first->shown.timed ? first->shown.axis : -1;
    out->lost = first->shown.timed && axis < 0;
    i3d_inherit(out, first);
    enum i3d_status status = I3D_OK;
    if (out->lost)
        return I3D_OK;
    status = first->shown.timed ? i3d_trace_axis(tracer, out, axis)
                                : i3d_trace_mixed(tracer, out, false);
    if (status || out->lost)
        return status;
    int64_t at = 0;
    memset(out->states, I3D_FRAME_CLEAN, (size_t)out->shown.frames);
    out->not_negative = first->not_negative;
    for (size_t k = 0; k < node->input_count && !out->lost; k++) {
        const struct i3d_trace *in = i3d_traced_input(tracer, k);
        int64_t frames = in_time ? i3d_shape_of_input(tracer, k)->dims[axis] : out->shown.frames;
        if (!in) { /* a constant: clean, of either sign */
            at += in_time ? frames : 0;
            out->not_negative = false;
            continue;
        }
        out->lost = in->shown.timed != out->shown.timed || in->shown.frames != frames
            || at + frames > out->shown.frames;
        for (int64_t t = 0; t < frames && !out->lost; t++) {
            unsigned char *state = &out->states[at + t];
            if (in->states[t] != I3D_FRAME_CLEAN) /* zeros stay zeros beside zeros */
                *state = k && !in_time && *state != in->states[t] ? I3D_FRAME_SPOILT
                                                                 : in->states[t];
            else if (*state == I3D_FRAME_ZEROS)
                *state = I3D_FRAME_SPOILT;
        }
        at += in_time ? frames : 0;
        out->not_negative &= in->not_negative;
        out->shown.never |= in->shown.never;
        if (in->shown.timed && out->shown.field && in->shown.field > out->shown.field)
            out->shown.field = in->shown.field;
        if (in->shown.timed && !in->shown.field)
            out->shown.field = 0;
    }
    return I3D_OK;
}

enum i3d_status i3d_trace_split(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    int64_t along = i3d_int(tracer->node, "axis", 0);
    along += along < 0 ? shape->rank : 0;
    if (!in->shown.timed)
        return i3d_trace_reshape(tracer, out);
    out->lost = in->shown.axis < 0 || in->shown.axis == along;
    if (out->lost)
        return I3D_OK;
    i3d_inherit(out, in);
    return copy_states(in, out, i3d_trace_axis(tracer, out, in->shown.axis));
}

/* A list of numbers: attribute or input. *count is -1 where it is there but not known,
 * 0 where it is left out. */
static const int64_t *numbers(const struct i3d_tracer *tracer, const char *attribute, size_t input,
                              int *count)
{
    size_t stated = 0;
    const bool *known = NULL;
    const int64_t *values = i3d_ints(tracer->node, attribute, &stated);
    *count = (int)stated;
    if (values || input >= tracer->node->input_count || !*tracer->node->inputs[input])
        return values;
    values = i3d_known_ints(tracer->shapes, tracer->node->inputs[input], count, &known);
    for (int k = 0; values && k < *count; k++)
        if (!known[k])
            values = NULL;
    if (!values)
        *count = -1;
    return values;
}

enum i3d_status i3d_trace_slice(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    int axis = in->shown.axis, start_count, axis_count, step_count;
    int rank = i3d_shape_of_input(tracer, 0)->rank;
    const int64_t *starts = numbers(tracer, "starts", 1, &start_count);
    const int64_t *axes = numbers(tracer, "axes", 3, &axis_count);
    const int64_t *steps = numbers(tracer, "steps", 4, &step_count);
    int64_t start = 0, step = 1;
    if (!in->shown.timed)
        return i3d_trace_reshape(tracer, out);
    out->lost = axis < 0 || axis_count < 0 || step_count < 0;
    for (int k = 0; k < (axes ? axis_count : rank) && !out->lost; k++) {
        int64_t named = axes ? axes[k] : k;
        if (named != axis && named + rank != axis)
            continue;
        out->lost = start_count <= k;
        start = out->lost ? 0 : starts[k];
        step = steps && k < step_count ? steps[k] : 1;
    }
    if (out->lost)
        return I3D_OK;
    int64_t frames = in->shown.frames, last = step < 0 ? frames - 1 : frames;
    start = start < 0 ? start + frames : start;
    start = start < 0 ? 0 : start > last ? last : start;
    i3d_inherit(out, in);
    out->shown.step *= (double)(step < 0 ? -step : step);
    enum i3d_status status = i3d_trace_axis(tracer, out, axis);
    for (int64_t t = 0; t < out->shown.frames && !status && !out->lost; t++) {
        int64_t at = start + t * step;
        out->lost = at < 0 || at >= frames;
        if (!out->lost)
            out->states[t] = in->states[at];
    }
    return status;
}

enum i3d_status i3d_trace_gather(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0), *to = i3d_shape_of_output(tracer);
    int64_t along = i3d_int(tracer->node, "axis", 0);
    along += along < 0 ? shape->rank : 0;
    int axis = in->shown.axis, count = 0;
    if (!in->shown.timed)
        return i3d_trace_reshape(tracer, out);
    out->lost = axis < 0 || in != i3d_traced_input(tracer, 0);
    if (out->lost)
        return I3D_OK;
    i3d_inherit(out, in);
    const int64_t *picked = numbers(tracer, "", 1, &count);
    if (along == axis) {
        out->lost = !picked || count < 1;
        if (out->lost)
            return I3D_OK;
        out->shown.frames = count;
        enum i3d_status status =
            i3d_trace_inner(tracer, out, i3d_span(shape, axis + 1, shape->rank));
        for (int k = 0; k < count && !status && !out->lost; k++) {
            int64_t at = picked[k] < 0 ? picked[k] + in->shown.frames : picked[k];
            out->lost = at < 0 || at >= in->shown.frames;
            if (!out->lost)
                out->states[k] = in->states[at];
        }
        return status;
    }
    int moved = along < axis ? to->rank - shape->rank : 0;
    return copy_states(in, out, i3d_trace_axis(tracer, out, axis + moved));
}

/* The last axis of the first operand is summed over, and the one before it of the
 * second. */
enum i3d_status i3d_trace_matrix(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0), *to = i3d_shape_of_output(tracer);
    bool transposed = i3d_is(tracer->node, "Gemm") && i3d_int(tracer->node, "transA", 0);
    size_t readers = 0;
    for (size_t k = 0; k < tracer->node->input_count; k++)
        readers += i3d_traced_input(tracer, k) != NULL;
    if (readers > 1 || in != i3d_traced_input(tracer, 0) || transposed || shape->rank < 2) {
        out->lost = in->shown.timed || readers > 1;
        return out->lost ? I3D_OK : i3d_trace_mixed(tracer, out, false);
    }
    if (!in->shown.timed || i3d_axis_moves_time(in, shape, shape->rank - 1))
        return i3d_trace_mixed(tracer, out, false);
    int64_t columns = shape->dims[shape->rank - 1];
    out->lost = in->shown.inner % columns || to->rank < 1;
    if (out->lost)
        return I3D_OK;
    i3d_inherit(out, in);
    out->not_negative = false;
    out->shown.frames = in->shown.frames;
    return copy_states(in, out, i3d_trace_inner(tracer, out, in->shown.inner / columns
                                                                 * to->dims[to->rank - 1]));
}
