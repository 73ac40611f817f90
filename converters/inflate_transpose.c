/* Transposed convolutions. An output frame gets only those taps whose number has one
 * residue modulo the stride, so each tap is divided by the number of taps that share
 * its residue, not by all: kernel 3 at stride 2 has (1/2, 1, 1/2). */
#include "converters/inflater.h"

#include <string.h>

static int64_t residue(const struct i3d_temporal *time, int64_t tap)
{
    return tap * time->dilation % time->stride;
}

/* How often each tap's residue occurs; false if an output frame would get nothing. */
static bool count_taps(const struct i3d_temporal *time, int32_t divisors[I3D_MAX_TAPS])
{
    for (int64_t phase = 0; phase < time->stride; phase++) {
        int32_t taps = 0;
        for (int64_t t = 0; t < time->kernel; t++)
            taps += residue(time, t) == phase;
        if (!taps)
            return false;
        for (int64_t t = 0; t < time->kernel; t++)
            if (residue(time, t) == phase)
                divisors[t] = taps;
    }
    return true;
}

static bool widen(struct i3d_model *to, struct i3d_node *node, const char *name, int64_t in_time)
{
    size_t count;
    const int64_t *flat = i3d_ints(node, name, &count);
    int64_t values[] = { in_time, count == 2 ? flat[0] : 1, count == 2 ? flat[1] : 1 };
    return (count != 2 && in_time == 1) || i3d_set_ints(to, node, name, values, 3);
}

static bool set_attributes(struct inflater *in, struct i3d_node *node,
                           const struct i3d_tensor *weight, const struct i3d_temporal *time)
{
    size_t count;
    int64_t kernel[] = { time->kernel, weight->dims[2], weight->dims[3] };
    bool good = i3d_set_ints(in->to, node, "kernel_shape", kernel, 3)
        && widen(in->to, node, "strides", time->stride)
        && widen(in->to, node, "dilations", time->dilation);
    const int64_t *pads = i3d_ints(node, "pads", &count);
    int64_t padded[6] = { time->pad_begin, 0, 0, time->pad_end, 0, 0 };
    for (int k = 0; k < 2 && count == 4; k++) {
        padded[1 + k] = pads[k];
        padded[4 + k] = pads[2 + k];
    }
    if (count == 4 || time->pad_begin || time->pad_end)
        good = good && i3d_set_ints(in->to, node, "pads", padded, 6);
    const int64_t *extra = i3d_ints(node, "output_padding", &count);
    if (count != 2)
        return good;
    /* An output that is longer by some frames in space is so in time, if it can be. */
    int64_t more[] = { extra[0] < time->stride ? extra[0] : 0, extra[0], extra[1] };
    if (time->stride == 1)
        more[0] = 0;
    return good && i3d_set_ints(in->to, node, "output_padding", more, 3);
}

static enum i3d_status put_kernel(struct inflater *in, const char *name,
                                  const struct i3d_tensor *flat, const struct i3d_temporal *time,
                                  const int32_t *divisors, struct i3d_error *error)
{
    struct i3d_view view;
    i3d_view_of(flat, &view);
    memmove(view.dims + 3, view.dims + 2, 2 * sizeof *view.dims);
    memmove(view.strides + 3, view.strides + 2, 2 * sizeof *view.strides);
    view.rank = 5;
    view.dims[2] = time->kernel;
    view.strides[2] = 0;
    view.tap_axis = 2;
    memcpy(view.divisors, divisors, (size_t)time->kernel * sizeof *divisors);
    struct i3d_source *source = flat->source ? i3d_source_view(flat->source, &view) : NULL;
    return i3d_put_derived(in->to, name, flat, 5, view.dims, source, error);
}

enum i3d_status i3d_inflate_conv_transpose(struct inflater *in, size_t position,
                                           struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct i3d_tensor *weight =
        flat->input_count > 1 ? i3d_flat_tensor(in, flat->inputs[1]) : NULL;
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    struct i3d_temporal time;
    int32_t divisors[I3D_MAX_TAPS];
    if (flow.time != 2)
        return i3d_refuse(flat, error, "its input is no N×C×H×W image");
    if (!weight || weight->rank != 4 || i3d_tensor_elements(weight) == 0
        || !i3d_dtype_is_float(weight->dtype) || !i3d_temporal_of(in, position, &time))
        return i3d_refuse(flat, error, "its kernel is no stored I×O×H×W");
    if (i3d_attribute(flat, "output_shape") || i3d_attribute(flat, "auto_pad"))
        return i3d_refuse(flat, error, "its pads are computed from the output's size");
    if (time.kernel > I3D_MAX_TAPS)
        return i3d_refuse(flat, error, "a temporal kernel of %lld frames is more than %d",
                          (long long)time.kernel, I3D_MAX_TAPS);
    if (!count_taps(&time, divisors))
        return i3d_refuse(flat, error,
                          "a kernel of %lld frames at stride %lld leaves output frames empty",
                          (long long)time.kernel, (long long)time.stride);
    const char *name = i3d_arena_printf(in->to->arena, "%s/node_%zu", weight->name, position);
    size_t readers;
    i3d_index_consumers(in->index, weight->name, &readers);
    if (readers == 1)
        name = weight->name;
    struct i3d_node *node = name ? i3d_emit_copy_but(in, flat, 1) : NULL;
    if (!node || !set_attributes(in, node, weight, &time))
        return i3d_fail_memory(error);
    node->inputs[1] = name;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return put_kernel(in, name, weight, &time, divisors, error);
}
