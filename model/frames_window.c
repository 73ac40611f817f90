#include "model/frames_trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One bit for each slice in time of a kernel that is not all zeros. */
static enum i3d_status read_live_taps(const struct i3d_tensor *weight, uint64_t *live,
                                      struct i3d_error *error)
{
    void *bytes;
    enum i3d_status status = i3d_tensor_load(weight, &bytes, error);
    if (status)
        return status;
    int64_t taps = weight->dims[2], behind = 1;
    for (int k = 3; k < weight->rank; k++)
        behind *= weight->dims[k];
    size_t length = (size_t)behind * i3d_dtype_size(weight->dtype);
    int64_t slices = length ? (int64_t)(i3d_tensor_bytes(weight) / length) : 0;
    const unsigned char *at = bytes;
    for (int64_t s = 0; s < slices; s++, at += length)
        if (!(*live >> s % taps & 1))
            for (size_t k = 0; k < length; k++)
                if (at[k]) {
                    *live |= (uint64_t)1 << s % taps;
                    break;
                }
    free(bytes);
    return I3D_OK;
}

/* Sets one bit for each tap over time that counts; all where kernels are not read. */
static enum i3d_status live_taps(struct i3d_tracer *tracer, int64_t taps, uint64_t *live)
{
    const struct i3d_node *node = tracer->node;
    *live = UINT64_MAX;
    bool kernel = i3d_is(node, "Conv") || i3d_is(node, "ConvTranspose");
    int64_t position = kernel ? i3d_index_tensor(tracer->index, node->inputs[1]) : -1;
    if (position < 0 || !tracer->live_taps || taps < 2 || taps > 64)
        return I3D_OK;
    const struct i3d_tensor *weight = &tracer->model->tensors[position];
    if (!weight->source || weight->rank != 5)
        return I3D_OK;
    enum i3d_status status = I3D_OK;
    if (!tracer->live_taps[position])
        status = read_live_taps(weight, &tracer->live_taps[position], tracer->error);
    if (tracer->live_taps[position])
        *live = tracer->live_taps[position];
    return status;
}

/* Spatial sizes of the kernel; false where they are not known. */
static bool kernel_sizes(const struct i3d_tracer *tracer, int axes, int64_t *kernel)
{
    const struct i3d_node *node = tracer->node;
    const struct i3d_shape *weight = i3d_is(node, "Conv") || i3d_is(node, "ConvTranspose")
        ? i3d_shape_of_input(tracer, 1) : NULL;
    size_t count;
    const int64_t *stated = i3d_ints(node, "kernel_shape", &count);
    if (weight && weight->rank == axes + 2)
        memcpy(kernel, weight->dims + 2, (size_t)axes * sizeof *kernel);
    else if (count == (size_t)axes)
        memcpy(kernel, stated, count * sizeof *kernel);
    else
        return false;
    return true;
}

/* What a window over time does with its padding. */
struct padding {
    bool spoils;        /* a position outside the clip does */
    int64_t end;        /* positions from there on are not even padding */
    bool ignores_zeros; /* zeros that a Pad node put there, too */
};

static unsigned char judge_window(const struct i3d_trace *in, const struct padding *padding,
                                  int64_t begin, int64_t dilation, int64_t taps, uint64_t live)
{
    int64_t seen = 0;
    for (int64_t t = 0; t < taps; t++) {
        int64_t at = begin + t * dilation;
        if (t < 64 && !(live >> t & 1))
            continue;
        if (at < 0 || at >= in->shown.frames) {
            if (padding->spoils && at < padding->end)
                return I3D_FRAME_SPOILT;
            continue;
        }
        if (in->states[at] == I3D_FRAME_ZEROS && padding->ignores_zeros)
            continue;
        if (in->states[at] != I3D_FRAME_CLEAN)
            return I3D_FRAME_SPOILT;
        seen++;
    }
    return seen ? I3D_FRAME_CLEAN : I3D_FRAME_SPOILT;
}

/* Time is not among the axes that the node works along, but behind or ahead. */
static enum i3d_status trace_apart(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    for (int k = 1; k < shape->rank; k++)
        if (i3d_axis_moves_time(tracer->in, shape, k)) {
            out->lost = true;
            return I3D_OK;
        }
    return i3d_trace_reshape(tracer, out);
}

enum i3d_status i3d_trace_window(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_node *node = tracer->node;
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    int axis = in->shown.axis, axes = shape->rank - 2;
    if (!in->shown.timed || axis == 0)
        return trace_apart(tracer, out);
    int64_t kernel[3];
    struct i3d_window window;
    out->lost = axis < 2 || axes > 3 || in != i3d_traced_input(tracer, 0)
        || !kernel_sizes(tracer, axes, kernel);
    if (out->lost)
        return I3D_OK;
    enum i3d_status status =
        i3d_resolve_window(node, axes, kernel, shape->dims + 2, &window, tracer->error);
    uint64_t live = UINT64_MAX;
    int k = axis - 2;
    if (!status)
        status = live_taps(tracer, window.kernel[k], &live);
    i3d_inherit(out, in);
    if (!status)
        status = i3d_trace_axis(tracer, out, axis);
    if (status || out->lost)
        return status;
    bool average = i3d_is(node, "AveragePool"), max = i3d_is(node, "MaxPool");
    struct padding padding = {
        .spoils = !max && (!average || i3d_int(node, "count_include_pad", 0)),
        .end = average ? window.in[k] + window.pad_end[k] : INT64_MAX,
        .ignores_zeros = max && in->not_negative,
    };
    for (int64_t j = 0; j < out->shown.frames; j++)
        out->states[j] = judge_window(in, &padding, j * window.stride[k] - window.pad_begin[k],
                                      window.dilation[k], window.kernel[k], live);
    out->not_negative = (average || max) && in->not_negative;
    if (out->shown.field) {
        int64_t first = 0, last = window.kernel[k] - 1;
        while (last > 0 && last < 64 && !(live >> last & 1))
            last--;
        while (first < last && !(live >> first & 1))
            first++;
        out->shown.field += (int64_t)ceil((double)((last - first) * window.dilation[k])
                                          * in->shown.step - 1e-9);
    }
    out->shown.step = in->shown.step * (double)window.stride[k];
    return I3D_OK;
}

static int64_t first_of(const struct i3d_node *node, const char *name, size_t k, int64_t fallback)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return k < count ? values[k] : fallback;
}

/* Pads at the beginning of axis k of a ConvTranspose, also where auto_pad or
 * output_shape stand for them (ONNX, ConvTranspose). */
static int64_t transposed_pad(const struct i3d_node *node, int k, int64_t kernel, int64_t in,
                              int64_t out)
{
    const struct i3d_attribute *stated = i3d_attribute(node, "output_shape");
    bool upper = i3d_string_is(node, "auto_pad", "SAME_UPPER");
    bool same = upper || i3d_string_is(node, "auto_pad", "SAME_LOWER");
    if (!stated && !same)
        return first_of(node, "pads", (size_t)k, 0);
    int64_t stride = first_of(node, "strides", (size_t)k, 1);
    int64_t dilation = first_of(node, "dilations", (size_t)k, 1);
    int64_t total = stride * (in - 1) + first_of(node, "output_padding", (size_t)k, 0)
        + (kernel - 1) * dilation + 1 - out;
    return upper ? total / 2 : total - total / 2;
}

enum i3d_status i3d_trace_conv_transpose(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_shape *shape = i3d_shape_of_input(tracer, 0);
    int axis = in->shown.axis, axes = shape->rank - 2;
    if (!in->shown.timed || axis == 0)
        return trace_apart(tracer, out);
    int64_t kernel[3];
    uint64_t live = UINT64_MAX;
    out->lost = axis < 2 || axes > 3 || in != i3d_traced_input(tracer, 0)
        || !kernel_sizes(tracer, axes, kernel);
    if (out->lost)
        return I3D_OK;
    size_t k = (size_t)axis - 2;
    int64_t stride = first_of(tracer->node, "strides", k, 1);
    int64_t dilation = first_of(tracer->node, "dilations", k, 1);
    i3d_inherit(out, in);
    out->not_negative = false;
    enum i3d_status status = live_taps(tracer, kernel[k], &live);
    if (!status)
        status = i3d_trace_axis(tracer, out, axis);
    if (status || out->lost || stride < 1)
        return status;
    int64_t pad = transposed_pad(tracer->node, (int)k, kernel[k], in->shown.frames,
                                 out->shown.frames);
    for (int64_t j = 0; j < out->shown.frames; j++) {
        bool clean = true, any = false;
        for (int64_t t = 0; t < kernel[k] && clean; t++) {
            int64_t from = j + pad - t * dilation, at = from / stride;
            if (from % stride || (t < 64 && !(live >> t & 1)))
                continue;
            any = true;
            clean = from >= 0 && at < in->shown.frames && in->states[at] == I3D_FRAME_CLEAN;
        }
        out->states[j] = clean && any ? I3D_FRAME_CLEAN : I3D_FRAME_SPOILT;
    }
    if (out->shown.field)
        out->shown.field += (int64_t)((double)((kernel[k] - 1) * dilation / stride)
                                      * in->shown.step);
    out->shown.step = in->shown.step / (double)stride;
    return I3D_OK;
}

/* The input frames that output frame j lies between, a frame to spare on either side
 * where the coordinates are not those of half a pixel. */
enum i3d_status i3d_trace_resize(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    int axis = in->shown.axis;
    out->lost = !in->shown.timed || axis < 0 || in != i3d_traced_input(tracer, 0);
    if (out->lost)
        return I3D_OK;
    i3d_inherit(out, in);
    enum i3d_status status = i3d_trace_axis(tracer, out, axis);
    if (status || out->lost)
        return status;
    int64_t from = in->shown.frames, to = out->shown.frames;
    const struct i3d_node *node = tracer->node;
    bool cubic = i3d_string_is(node, "mode", "cubic");
    bool half = i3d_string_is(node, "coordinate_transformation_mode", "half_pixel")
        || (!i3d_attribute(node, "coordinate_transformation_mode") && i3d_is(node, "Resize")
            && i3d_opset(tracer->model) >= 11);
    int64_t spare = from == to ? 0 : (cubic ? 1 : 0) + (half ? 0 : 1);
    for (int64_t j = 0; j < to; j++) {
        double at = ((double)j + 0.5) * (double)from / (double)to - 0.5;
        int64_t first = (int64_t)floor(at) - spare, last = (int64_t)ceil(at) + spare;
        bool clean = true;
        for (int64_t t = first < 0 ? 0 : first; t <= last && t < from; t++)
            clean &= in->states[t] == I3D_FRAME_CLEAN;
        out->states[j] = clean ? I3D_FRAME_CLEAN : I3D_FRAME_SPOILT;
    }
    bool nearest = !i3d_attribute(node, "mode") || i3d_string_is(node, "mode", "nearest");
    if (out->shown.field && from != to && !nearest)
        out->shown.field += (int64_t)ceil(in->shown.step * (cubic ? 3 : 1));
    out->shown.step = in->shown.step * (double)from / (double)to;
    out->not_negative &= !cubic;
    return I3D_OK;
}

/* Amounts by axis, as many as twice the rank; null where they are not known. */
static const int64_t *pad_amounts(const struct i3d_tracer *tracer, int rank)
{
    const struct i3d_node *node = tracer->node;
    size_t count;
    int known_count = 0;
    const bool *known = NULL;
    const int64_t *pads = i3d_ints(node, "pads", &count);
    if (pads)
        return count == 2 * (size_t)rank ? pads : NULL;
    if (node->input_count < 2 || (node->input_count > 3 && *node->inputs[3]))
        return NULL;
    pads = i3d_known_ints(tracer->shapes, node->inputs[1], &known_count, &known);
    for (int k = 0; pads && k < known_count; k++)
        if (!known[k])
            return NULL;
    return known_count == 2 * rank ? pads : NULL;
}

/* Whether a Pad node fills with a number that is not negative. */
static bool pads_with_zeros(const struct i3d_tracer *tracer)
{
    const struct i3d_node *node = tracer->node;
    if (node->input_count < 3 || !*node->inputs[2])
        return i3d_float(node, "value", 0) == 0;
    int64_t position = i3d_index_tensor(tracer->index, node->inputs[2]);
    const struct i3d_tensor *tensor = position < 0 ? NULL : &tracer->model->tensors[position];
    double *value = NULL;
    bool zero = tensor && tensor->source && i3d_tensor_elements(tensor) == 1
        && !i3d_tensor_load_double(tensor, &value, NULL) && *value == 0;
    free(value);
    return zero;
}

enum i3d_status i3d_trace_pad(struct i3d_tracer *tracer, struct i3d_trace *out)
{
    const struct i3d_trace *in = tracer->in;
    const struct i3d_node *node = tracer->node;
    int axis = in->shown.axis, rank = i3d_shape_of_input(tracer, 0)->rank;
    const int64_t *pads = in == i3d_traced_input(tracer, 0) ? pad_amounts(tracer, rank) : NULL;
    out->lost = !pads || (in->shown.timed && axis < 0);
    if (out->lost)
        return I3D_OK;
    const struct i3d_attribute *mode = i3d_attribute(node, "mode");
    bool constant = !mode || i3d_string_is(node, "mode", "constant");
    bool zeros = constant && pads_with_zeros(tracer);
    if (!in->shown.timed) {
        enum i3d_status status = i3d_trace_mixed(tracer, out, false);
        out->not_negative &= !constant || zeros;
        return status;
    }
    i3d_inherit(out, in);
    out->not_negative &= !constant || zeros;
    enum i3d_status status = i3d_trace_axis(tracer, out, axis);
    for (int64_t j = 0; j < out->shown.frames && !status && !out->lost; j++) {
        int64_t at = j - pads[axis], last = in->shown.frames - 1;
        bool outside = at < 0 || at > last;
        if (outside && !constant && i3d_string_is(node, "mode", "reflect"))
            at = at < 0 ? -at : 2 * last - at;
        at = at < 0 ? 0 : at > last ? last : at;
        out->states[j] = !outside || !constant ? in->states[at]
            : zeros ? I3D_FRAME_ZEROS : I3D_FRAME_SPOILT;
    }
    return status;
}
