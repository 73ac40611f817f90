#include "converters/inflater.h"

#include <math.h>
#include <string.h>

struct i3d_temporal i3d_choose_window(const struct inflater *in, size_t position,
                                      const int64_t kernel[2])
{
    struct i3d_temporal isotropic;
    i3d_isotropic_window(&in->flat->nodes[position], kernel, &isotropic);
    return i3d_recipe_window(in->recipe, &in->layers[position], &isotropic, in->options->init);
}

enum i3d_status i3d_insert_behind(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct i3d_rule *rule = i3d_recipe_insertion(in->recipe, &in->layers[position]);
    if (!rule)
        return I3D_OK;
    struct flow *flow = i3d_flow(in, flat->outputs[0]);
    if (flow->time != 2 || i3d_flat_shape(in, flat->outputs[0])->rank != 4)
        return i3d_refuse(flat, error, "%s inserts a pool where there is no video",
                          in->recipe->name);
    const char *from = flow->name ? flow->name : flat->outputs[0];
    const char *pooled = i3d_join(in, flat->outputs[0], "pool_in_time");
    int64_t kernel[] = { rule->give.kernel, 1, 1 };
    int64_t strides[] = { rule->give.stride > 0 ? rule->give.stride : 1, 1, 1 };
    int64_t total = rule->give.pad_begin == I3D_HALF ? kernel[0] - 1 : 0;
    int64_t pads[] = { total / 2, 0, 0, total - total / 2, 0, 0 };
    if (rule->give.pad_begin >= 0) {
        pads[0] = rule->give.pad_begin;
        pads[3] = rule->give.pad_end;
    }
    struct i3d_node *pool = pooled ? i3d_emit(in, rule->insert, pooled,
                                              (const char *[]){ from, NULL },
                                              (const char *[]){ pooled, NULL })
                                   : NULL;
    bool good = pool && i3d_set_ints(in->to, pool, "kernel_shape", kernel, 3)
        && i3d_set_ints(in->to, pool, "strides", strides, 3)
        && i3d_set_ints(in->to, pool, "pads", pads, 6);
    flow->name = pooled;
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* The pads in space that auto_pad comes to, written out where the recipe has pads
 * in time that auto_pad would not give. */
static enum i3d_status spatial_pads(const struct inflater *in, const struct i3d_node *flat,
                                    const int64_t kernel[2], const struct i3d_temporal *time,
                                    int64_t pads[4], bool *own, struct i3d_error *error)
{
    bool valid = i3d_string_is(flat, "auto_pad", "VALID");
    bool same = i3d_string_is(flat, "auto_pad", "SAME_UPPER")
        || i3d_string_is(flat, "auto_pad", "SAME_LOWER");
    size_t count;
    const int64_t *given = i3d_ints(flat, "pads", &count);
    memset(pads, 0, 4 * sizeof *pads);
    *own = !valid && !same;
    if (*own && count == 4)
        memcpy(pads, given, 4 * sizeof *pads);
    if (valid)
        *own = time->pad_begin || time->pad_end;
    bool keeps = time->stride == 1
        && time->pad_begin + time->pad_end == (time->kernel - 1) * time->dilation;
    if (!same || !time->own_pads || keeps)
        return I3D_OK;
    *own = true;
    const struct i3d_shape *shape = i3d_flat_shape(in, flat->inputs[0]);
    if (shape->rank != 4 || shape->dims[2] < 0 || shape->dims[3] < 0)
        return i3d_refuse(flat, error, "the size of its input is not known");
    struct i3d_window window;
    enum i3d_status status = i3d_resolve_window(flat, 2, kernel, shape->dims + 2, &window, error);
    for (int k = 0; k < 2 && !status; k++) {
        pads[k] = window.pad_begin[k];
        pads[2 + k] = window.pad_end[k];
    }
    return status;
}

/* Rewrites kernel_shape, strides, dilations and pads for three axes, time first. */
static enum i3d_status set_window(struct inflater *in, const struct i3d_node *flat_node,
                                  struct i3d_node *node, const int64_t kernel[2],
                                  const struct i3d_temporal *time, struct i3d_error *error)
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
    int64_t pads[4];
    bool own;
    enum i3d_status status = spatial_pads(in, flat_node, kernel, time, pads, &own, error);
    if (status)
        return status;
    int64_t values[] = { time->pad_begin, pads[0], pads[1], time->pad_end, pads[2], pads[3] };
    if (own) {
        i3d_drop_attribute(node, "auto_pad");
        if (i3d_attribute(node, "pads") || memcmp(values, (int64_t[6]){ 0 }, sizeof values))
            good &= i3d_set_ints(in->to, node, "pads", values, 6);
    } else {
        i3d_drop_attribute(node, "pads");
    }
    return good ? I3D_OK : i3d_fail_memory(error);
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
    *time = i3d_choose_window(in, position, kernel);
    return true;
}

bool i3d_time_follows_space(const struct inflater *in, size_t position)
{
    static const struct i3d_temporal halved = { .kernel = 2, .stride = 2, .dilation = 1 };
    struct i3d_layer layer = in->layers[position];
    layer.position = layer.count = 1; /* so that the rules for all windows apply */
    return i3d_recipe_window(in->recipe, &layer, &halved, I3D_INIT_REPEAT).stride > 1;
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
    struct i3d_temporal time = i3d_choose_window(in, position, weight->dims + 2);
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
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    flow.name = NULL;
    int64_t room = time.pad_begin + time.pad_end - time.dilation * (time.kernel - 1);
    flow.single &= i3d_attribute(flat, "auto_pad") || (room >= 0 && room < time.stride);
    *i3d_flow(in, flat->outputs[0]) = flow;
    status = set_window(in, flat, node, weight->dims + 2, &time, error);
    struct i3d_kernel_plan plan = { time.kernel, 2, time.init, channels,
                                    in->options->channel_init };
    return status ? status : i3d_put_inflated_kernel(in->to, name, weight, &plan, error);
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
    enum i3d_status status = node ? set_window(in, flat, node, kernel, &one, error)
                                  : i3d_fail_memory(error);
    if (status)
        return status;
    node->outputs[0] = frames;
    flow.name = NULL;
    flow.single = true;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return i3d_emit_axes(in, i3d_is(flat, "MaxPool") ? "ReduceMax" : "ReduceMean", frames,
                         flat->outputs[0], &time, 1, true, error);
}

/* A p-norm over N frames that are alike is too large by the p-th root of N. */
static enum i3d_status scale_norm(struct inflater *in, const struct i3d_node *flat,
                                  struct i3d_node *pool, const struct i3d_temporal *time,
                                  struct i3d_error *error)
{
    enum i3d_dtype dtype = i3d_flat_shape(in, flat->outputs[0])->dtype;
    if (!i3d_dtype_is_float(dtype))
        return i3d_refuse(flat, error, "the type of its output is not known");
    const char *norm = i3d_join(in, flat->outputs[0], "norm");
    const char *scale = i3d_join(in, flat->outputs[0], "scale");
    double factor = pow((double)time->kernel, -1.0 / (double)i3d_int(flat, "p", 2));
    unsigned char element[8];
    size_t size = i3d_dtype_size(dtype);
    if (!norm || !scale)
        return i3d_fail_memory(error);
    i3d_from_double(dtype, &factor, element, 1);
    pool->outputs[0] = norm;
    enum i3d_status status = i3d_model_put_tensor(in->to, scale, dtype, 0, NULL,
                                                  i3d_source_copy(element, size), error);
    if (status)
        return status;
    return i3d_emit(in, "Mul", flat->outputs[0], (const char *[]){ norm, scale, NULL },
                    (const char *[]){ flat->outputs[0], NULL })
        ? I3D_OK : i3d_fail_memory(error);
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
    struct i3d_temporal time = i3d_choose_window(in, position, kernel);
    struct i3d_node *node = i3d_emit_copy(in, flat);
    if (!node)
        return i3d_fail_memory(error);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    enum i3d_status status = set_window(in, flat, node, kernel, &time, error);
    return status || !i3d_is(flat, "LpPool") || time.kernel == 1
        ? status : scale_norm(in, flat, node, &time, error);
}
