#include "converters/channels.h"
#include "converters/inflater.h"

#include <string.h>

/* Rewrites kernel_shape, strides, dilations and pads for three axes, time first. */
static bool set_window(struct inflater *in, struct i3d_node *node, const int64_t kernel[2],
                       const struct i3d_temporal *time)
{
    static const struct {
        const char *name;
        size_t offset;
    } lists[] = {
        { "strides", offsetof(struct i3d_temporal, stride) },
        { "dilations", offsetof(struct i3d_temporal, dilation) },
    };
    int64_t kernel_shape[] = { time->kernel, kernel[0], kernel[1] };
    bool good = i3d_set_ints(in->to, node, "kernel_shape", kernel_shape, 3);
    for (size_t i = 0; i < 2; i++) {
        size_t count;
        const int64_t *flat = i3d_ints(node, lists[i].name, &count);
        int64_t along_time;
        memcpy(&along_time, (const char *)time + lists[i].offset, sizeof along_time);
        if (count != 2 && along_time == 1)
            continue; /* the default says the same */
        int64_t values[] = { along_time, count == 2 ? flat[0] : 1, count == 2 ? flat[1] : 1 };
        good &= i3d_set_ints(in->to, node, lists[i].name, values, 3);
    }
    size_t count;
    const int64_t *pads = i3d_ints(node, "pads", &count);
    if (count == 4) {
        int64_t values[] = { time->pad_begin, pads[0], pads[1], time->pad_end, pads[2], pads[3] };
        good &= i3d_set_ints(in->to, node, "pads", values, 6);
    }
    return good;
}

/* Appends the tensor O×C×N×H×W: the 2D kernel at each of N times, divided by N. */
static enum i3d_status put_kernel(struct inflater *in, const char *name,
                                  const struct i3d_tensor *flat, int64_t channels, int64_t frames,
                                  struct i3d_error *error)
{
    struct i3d_tensor base = *flat;
    base.dims[1] = channels;
    struct i3d_view view;
    i3d_view_of(&base, &view);
    memmove(view.dims + 3, view.dims + 2, 2 * sizeof *view.dims);
    memmove(view.strides + 3, view.strides + 2, 2 * sizeof *view.strides);
    view.rank = 5;
    view.dims[2] = frames;
    view.strides[2] = 0;
    view.tap_axis = 2;
    for (int64_t t = 0; t < frames; t++)
        view.divisors[t] = (int32_t)frames;

    struct i3d_source *source = NULL;
    if (flat->source) {
        struct i3d_source *kernel = channels == flat->dims[1] ? i3d_source_retain(flat->source)
                                                              : i3d_channel_mean(flat, channels);
        source = kernel ? i3d_source_view(kernel, &view) : NULL;
        i3d_source_release(kernel);
    }
    return i3d_put_derived(in->to, name, flat, 5, view.dims, source, error);
}

/* The channels that a convolution takes: those of the file, or those asked for
 * if it reads the graph's input. */
static enum i3d_status input_channels(struct inflater *in, const struct i3d_node *node,
                                      const struct i3d_tensor *weight, int64_t *channels,
                                      struct i3d_error *error)
{
    int64_t asked = in->options->in_channels;
    if (!asked && in->options->stream == I3D_FLOW)
        asked = 2;
    *channels = weight->dims[1];
    if (!asked || i3d_index_input(in->index, node->inputs[0]) == I3D_NOWHERE)
        return I3D_OK;
    int64_t group = i3d_int(node, "group", 1);
    if (group != 1 && asked != weight->dims[1] * group)
        return i3d_refuse(node, error, "a grouped first convolution cannot take other channels");
    if (group == 1)
        *channels = asked;
    return I3D_OK;
}

bool i3d_temporal_of(const struct inflater *in, size_t position, struct i3d_temporal *time)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct i3d_tensor *weight =
        flat->input_count > 1 ? i3d_flat_tensor(in, flat->inputs[1]) : NULL;
    size_t count;
    const int64_t *kernel = i3d_ints(flat, "kernel_shape", &count);
    if (i3d_is(flat, "Conv") || i3d_is(flat, "ConvTranspose")) {
        kernel = weight ? weight->dims + 2 : NULL;
        count = weight ? (size_t)weight->rank - 2 : 0;
    }
    if (!kernel || count != 2)
        return false;
    i3d_isotropic_window(flat, kernel, time);
    return true;
}

bool i3d_time_follows_space(const struct inflater *in, size_t position)
{
    (void)in;
    (void)position;
    return true;
}

enum i3d_status i3d_inflate_conv(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct i3d_tensor *weight =
        flat->input_count > 1 ? i3d_flat_tensor(in, flat->inputs[1]) : NULL;
    if (i3d_flow(in, flat->inputs[0])->time != 2)
        return i3d_refuse(flat, error, "its input is no N×C×H×W image");
    if (!weight)
        return i3d_refuse(flat, error, "its kernel is computed, not stored");
    if (weight->rank != 4 || i3d_tensor_elements(weight) == 0)
        return i3d_refuse(flat, error, "its kernel is not O×I×H×W");
    if (!i3d_dtype_is_float(weight->dtype))
        return i3d_refuse(flat, error, "a kernel of %s cannot be divided",
                          i3d_dtype_name(weight->dtype));
    struct i3d_temporal time;
    i3d_isotropic_window(flat, weight->dims + 2, &time);
    if (time.kernel > I3D_MAX_TAPS)
        return i3d_refuse(flat, error, "a temporal kernel of %lld frames is more than %d",
                          (long long)time.kernel, I3D_MAX_TAPS);
    int64_t channels;
    enum i3d_status status = input_channels(in, flat, weight, &channels, error);
    if (status)
        return status;

    /* A kernel that several nodes share may be inflated in several ways. */
    size_t readers;
    i3d_index_consumers(in->index, weight->name, &readers);
    const char *name = weight->name;
    if (readers > 1)
        name = i3d_arena_printf(in->to->arena, "%s/node_%zu", weight->name, position);
    if (!name)
        return i3d_fail_memory(error);
    bool used = in->tensor_used[weight - in->flat->tensors];
    struct i3d_node *node = i3d_emit_copy(in, flat);
    if (!node)
        return i3d_fail_memory(error);
    in->tensor_used[weight - in->flat->tensors] = used; /* the copy marked it */
    if (name != weight->name)
        node->inputs[1] = name;
    if (!set_window(in, node, weight->dims + 2, &time))
        return i3d_fail_memory(error);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    flow.name = NULL;
    int64_t room = time.pad_begin + time.pad_end - time.dilation * (time.kernel - 1);
    flow.single &= i3d_attribute(flat, "auto_pad") || (room >= 0 && room < time.stride);
    *i3d_flow(in, flat->outputs[0]) = flow;
    return put_kernel(in, name, weight, channels, time.kernel, error);
}

/* A window that covers the whole image is a global pool, and takes time along as that
 * does; but not where a Pad node made room for it to slide, and not the small max pools
 * that halve a map, which small images bring down to one of their own size. */
static bool covers_image(const struct inflater *in, const struct i3d_node *flat,
                         const int64_t kernel[2])
{
    const struct i3d_shape *shape = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *out = i3d_flat_shape(in, flat->outputs[0]);
    int64_t producer = i3d_index_producer(in->index, flat->inputs[0]);
    if (producer != I3D_NOWHERE && i3d_is(&in->flat->nodes[producer], "Pad"))
        return false;
    if (i3d_is(flat, "MaxPool") && kernel[0] <= 3 && kernel[1] <= 3)
        return false;
    return shape->rank == 4 && shape->dims[2] > 0 && shape->dims[3] > 0
        && kernel[0] >= shape->dims[2] && kernel[1] >= shape->dims[3] && out->rank == 4
        && out->dims[2] == 1 && out->dims[3] == 1 && shape->dims[2] * shape->dims[3] > 1;
}

/* Frame by frame, then the mean, or the maximum, of all frames. */
static enum i3d_status inflate_whole_pool(struct inflater *in, const struct i3d_node *flat,
                                          const int64_t kernel[2], struct i3d_error *error)
{
    static const struct i3d_temporal one = { .kernel = 1, .stride = 1, .dilation = 1 };
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    const char *frames = i3d_join(in, flat->outputs[0], "of_each_frame");
    struct i3d_node *node = frames ? i3d_emit_copy(in, flat) : NULL;
    int64_t time = flow.time;
    if (!node || !set_window(in, node, kernel, &one))
        return i3d_fail_memory(error);
    node->outputs[0] = frames;
    flow.name = NULL;
    flow.single = true;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return i3d_emit_axes(in, i3d_is(flat, "MaxPool") ? "ReduceMax" : "ReduceMean", frames,
                         flat->outputs[0], &time, 1, true, error);
}

enum i3d_status i3d_inflate_pool(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    if (i3d_flow(in, flat->inputs[0])->time != 2)
        return i3d_refuse(flat, error, "its input is no N×C×H×W image");
    if (flat->output_count > 1 && *flat->outputs[1])
        return i3d_refuse(flat, error, "indices of a max pool cannot be inflated");
    size_t count;
    const int64_t *kernel = i3d_ints(flat, "kernel_shape", &count);
    if (count != 2)
        return i3d_refuse(flat, error, "its kernel_shape does not have two axes");
    if (covers_image(in, flat, kernel))
        return inflate_whole_pool(in, flat, kernel, error);
    struct i3d_temporal time;
    i3d_isotropic_window(flat, kernel, &time);
    if (i3d_is(flat, "MaxPool") && in->max_pools_seen++ < in->recipe->frozen_max_pools)
        time = (struct i3d_temporal){ .kernel = 1, .stride = 1, .dilation = 1 };
    struct i3d_node *node = i3d_emit_copy(in, flat);
    if (!node || !set_window(in, node, kernel, &time))
        return i3d_fail_memory(error);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}
