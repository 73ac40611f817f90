/* Transposed convolutions. An output frame gets only those taps whose number has one
 * residue modulo the stride, so each tap is divided by the number of taps that share
 * its residue, not by all: kernel 3 at stride 2 has (1/2, 1, 1/2). */
#include "converters/inflater.h"

#include <string.h>

/* Pads and output padding of an axis whose output is to have so many elements more than
 * its stride times (its input's size - 1). Where that is more than the kernel reaches,
 * the rest is output padding. */
static void pads_for(int64_t extent, int64_t more, bool smaller_first, int64_t *begin,
                     int64_t *end, int64_t *output_padding)
{
    int64_t total = extent + *output_padding - more;
    if (total < 0) {
        *output_padding -= total;
        total = 0;
    }
    *begin = smaller_first ? total / 2 : total - total / 2;
    *end = total - *begin;
}

static enum i3d_status settle_pads(struct i3d_model *flat, const struct i3d_shapes *shapes,
                                   struct i3d_node *node, struct i3d_error *error)
{
    size_t strided, dilated, extra_count, wanted_count;
    const struct i3d_shape *from = i3d_shape_of(shapes, node->inputs[0]);
    const struct i3d_shape *kernel = i3d_shape_of(shapes, node->inputs[1]);
    const int64_t *strides = i3d_ints(node, "strides", &strided);
    const int64_t *dilations = i3d_ints(node, "dilations", &dilated);
    const int64_t *extra = i3d_ints(node, "output_padding", &extra_count);
    const int64_t *wanted = i3d_ints(node, "output_shape", &wanted_count);
    bool upper = i3d_string_is(node, "auto_pad", "SAME_UPPER");
    bool same = upper || i3d_string_is(node, "auto_pad", "SAME_LOWER");
    bool valid = i3d_string_is(node, "auto_pad", "VALID");
    int64_t pads[4] = { 0 }, more[2] = { 0 };
    if (from->rank != 4 || kernel->rank != 4)
        return I3D_OK; /* its rule refuses it */
    for (int k = 0; k < 2; k++) {
        int64_t stride = strided == 2 ? strides[k] : 1, dilation = dilated == 2 ? dilations[k] : 1;
        int64_t extent = (kernel->dims[2 + k] - 1) * dilation + 1;
        more[k] = extra_count == 2 ? extra[k] : 0;
        if (wanted_count == 2 && from->dims[2 + k] < 1)
            return i3d_refuse(node, error, "the size of its input is not known");
        if (wanted_count == 2)
            pads_for(extent, wanted[k] - stride * (from->dims[2 + k] - 1), upper, &pads[k],
                     &pads[2 + k], &more[k]);
        else if (same)
            pads_for(extent, stride, upper, &pads[k], &pads[2 + k], &more[k]);
    }
    bool good = wanted_count != 2 && !same && !valid ? true
        : i3d_set_ints(flat, node, "pads", pads, 4)
            && (!(more[0] | more[1]) || i3d_set_ints(flat, node, "output_padding", more, 2));
    i3d_drop_attribute(node, "auto_pad");
    i3d_drop_attribute(node, "output_shape");
    return good ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_settle_transposed_pads(struct i3d_model *flat, const struct i3d_shapes *shapes,
                                           struct i3d_error *error)
{
    for (size_t i = 0; i < flat->node_count; i++) {
        struct i3d_node *node = &flat->nodes[i];
        bool stated = !i3d_attribute(node, "auto_pad") && !i3d_attribute(node, "output_shape");
        if (!i3d_is(node, "ConvTranspose") || node->input_count < 2 || stated)
            continue;
        enum i3d_status status = settle_pads(flat, shapes, node, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

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
    if (name != weight->name)
        node->inputs[1] = name;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return put_kernel(in, name, weight, &time, divisors, error);
}
