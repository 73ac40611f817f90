#include "converters/inflater.h"

#include <stdlib.h>
#include <string.h>

/* Where a convolution or pool would see zeros, or nothing, beyond the ends of
 * the clip, a Pad node ahead of it repeats the first and last frame instead. The
 * amounts depend on the clip's length under SAME padding, which is why a file
 * written so is for that one length. */

static bool windows_time(const struct i3d_node *node)
{
    return i3d_is(node, "Conv") || i3d_is(node, "MaxPool") || i3d_is(node, "AveragePool")
        || i3d_is(node, "LpPool");
}

static enum i3d_status resolve(const struct i3d_model *model, const struct i3d_shapes *shapes,
                               const struct i3d_node *node, struct i3d_window *window,
                               struct i3d_error *error)
{
    const struct i3d_shape *in = i3d_shape_of(shapes, node->inputs[0]);
    int64_t kernel[3];
    size_t count;
    const int64_t *kernel_shape = i3d_ints(node, "kernel_shape", &count);
    const struct i3d_tensor *weight =
        i3d_is(node, "Conv") ? i3d_find_tensor(model, node->inputs[1]) : NULL;
    bool known = in->rank == 5 && in->dims[2] > 0 && in->dims[3] > 0 && in->dims[4] > 0;
    if (weight && weight->rank == 5)
        memcpy(kernel, weight->dims + 2, sizeof kernel);
    else if (count == 3)
        memcpy(kernel, kernel_shape, sizeof kernel);
    else
        known = false;
    if (!known)
        return i3d_refuse(node, error, "the size of its input is not known");
    return i3d_resolve_window(node, 3, kernel, in->dims + 2, window, error);
}

/* Appends the Pad node; output gets its name. */
static enum i3d_status put_pad(struct i3d_model *to, const char *input, const char *output,
                               int64_t begin, int64_t end, struct i3d_error *error)
{
    int64_t pads[10] = { 0, 0, begin, 0, 0, 0, 0, end, 0, 0 };
    bool as_input = i3d_opset(to) >= 11;
    const char *amounts = as_input ? i3d_arena_printf(to->arena, "%s/pads", output) : NULL;
    if (as_input) {
        int64_t count = 10;
        enum i3d_status status = amounts ? i3d_model_put_ints(to, amounts, 1, &count, pads, error)
                                         : i3d_fail_memory(error);
        if (status)
            return status;
    }
    struct i3d_node *pad = i3d_model_put_node(to, "Pad", output,
                                              (const char *[]){ input, amounts, NULL },
                                              (const char *[]){ output, NULL });
    bool good = pad && i3d_set_string(to, pad, "mode", "edge")
        && (as_input || i3d_set_ints(to, pad, "pads", pads, 10));
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* Writes the resolved height and width pads, none in time. */
static bool set_spatial_pads(struct i3d_model *to, struct i3d_node *node,
                             const struct i3d_window *window)
{
    int64_t pads[6] = { 0, window->pad_begin[1], window->pad_begin[2],
                        0, window->pad_end[1], window->pad_end[2] };
    i3d_drop_attribute(node, "auto_pad");
    return i3d_set_ints(to, node, "pads", pads, 6);
}

static enum i3d_status pad_node(struct i3d_model *to, const struct i3d_node *node,
                                const struct i3d_window *window, struct i3d_error *error)
{
    int64_t begin = window->pad_begin[0], end = window->pad_end[0] + window->excess[0];
    const char *padded = NULL;
    if (begin || end) {
        padded = i3d_arena_printf(to->arena, "%s/padded_in_time", node->outputs[0]);
        enum i3d_status status = padded ? put_pad(to, node->inputs[0], padded, begin, end, error)
                                        : i3d_fail_memory(error);
        if (status)
            return status;
    }
    struct i3d_node *copy = i3d_model_copy_node(to, node);
    if (!copy)
        return i3d_fail_memory(error);
    if (!padded)
        return I3D_OK;
    copy->inputs[0] = padded;
    return set_spatial_pads(to, copy, window) ? I3D_OK : i3d_fail_memory(error);
}

/* A transposed convolution gets as many frames more on either side as its kernel
 * reaches, and cuts away what they make beyond the clip. */
static enum i3d_status pad_transposed(struct i3d_model *to, const struct i3d_node *node,
                                      struct i3d_error *error)
{
    const struct i3d_tensor *weight = i3d_find_tensor(to, node->inputs[1]);
    size_t stride_count, dilation_count, pad_count, extra_count;
    const int64_t *strides = i3d_ints(node, "strides", &stride_count);
    const int64_t *dilations = i3d_ints(node, "dilations", &dilation_count);
    const int64_t *stated = i3d_ints(node, "pads", &pad_count);
    const int64_t *extra = i3d_ints(node, "output_padding", &extra_count);
    int64_t stride = stride_count ? strides[0] : 1, pads[6] = { 0 };
    int64_t reach = weight && weight->rank == 5
        ? (weight->dims[2] - 1) * (dilation_count ? dilations[0] : 1) : 0;
    if (pad_count == 6)
        memcpy(pads, stated, sizeof pads);
    int64_t frames = reach ? (reach + (extra_count ? extra[0] : 0) + stride - 1) / stride : 0;
    const char *padded = NULL;
    if (frames) {
        padded = i3d_arena_printf(to->arena, "%s/padded_in_time", node->outputs[0]);
        enum i3d_status status = padded
            ? put_pad(to, node->inputs[0], padded, frames, frames, error) : i3d_fail_memory(error);
        if (status)
            return status;
    }
    struct i3d_node *copy = i3d_model_copy_node(to, node);
    if (!copy)
        return i3d_fail_memory(error);
    if (!padded)
        return I3D_OK;
    copy->inputs[0] = padded;
    pads[0] += frames * stride;
    pads[3] += frames * stride;
    return i3d_set_ints(to, copy, "pads", pads, 6) ? I3D_OK : i3d_fail_memory(error);
}

/* A Pad node that fills time with a constant leaves time to one that repeats frames. */
static enum i3d_status split_pad(struct i3d_model *to, const struct i3d_node *node,
                                 struct i3d_error *error)
{
    size_t count = 0;
    int stored = 0;
    int64_t pads[10];
    const int64_t *stated = i3d_ints(node, "pads", &count);
    const struct i3d_tensor *tensor =
        !stated && node->input_count > 1 ? i3d_find_tensor(to, node->inputs[1]) : NULL;
    const struct i3d_attribute *mode = i3d_attribute(node, "mode");
    if (tensor && !i3d_tensor_integers(tensor, pads, 10, &stored, NULL) && stored == 10)
        count = 10;
    else if (count == 10)
        memcpy(pads, stated, sizeof pads);
    struct i3d_node *copy;
    bool splits = count == 10 && (pads[2] > 0 || pads[7] > 0)
        && (!mode || i3d_string_is(node, "mode", "constant"));
    if (!splits)
        return i3d_model_copy_node(to, node) ? I3D_OK : i3d_fail_memory(error);
    const char *padded = i3d_arena_printf(to->arena, "%s/padded_in_time", node->outputs[0]);
    const char *name = i3d_arena_printf(to->arena, "%s/pads_in_space", node->outputs[0]);
    if (!padded || !name)
        return i3d_fail_memory(error);
    enum i3d_status status = put_pad(to, node->inputs[0], padded, pads[2], pads[7], error);
    if (status)
        return status;
    pads[2] = pads[7] = 0;
    if (tensor)
        status = i3d_model_put_ints(to, name, 1, (int64_t[]){ 10 }, pads, error);
    copy = status ? NULL : i3d_model_copy_node(to, node);
    if (!copy)
        return status ? status : i3d_fail_memory(error);
    copy->inputs[0] = padded;
    if (tensor)
        copy->inputs[1] = name;
    return tensor || i3d_set_ints(to, copy, "pads", pads, 10) ? I3D_OK : i3d_fail_memory(error);
}

/* The nodes are rebuilt in the same model: the old array is set aside first. */
enum i3d_status i3d_pad_time_with_edges(struct i3d_model *model, const struct i3d_shape *input,
                                        struct i3d_error *error)
{
    struct i3d_shapes *shapes;
    enum i3d_status status = i3d_infer_shapes(model, NULL, input, 1, &shapes, error);
    if (status)
        return status;
    struct i3d_node *nodes = model->nodes;
    size_t count = model->node_count;
    model->nodes = NULL;
    model->node_count = model->node_room = 0;
    for (size_t i = 0; i < count; i++) {
        struct i3d_window window = { 0 };
        bool windowed = windows_time(&nodes[i]);
        if (!status && windowed)
            status = resolve(model, shapes, &nodes[i], &window, error);
        if (!status && windowed)
            status = pad_node(model, &nodes[i], &window, error);
        else if (!status && i3d_is(&nodes[i], "ConvTranspose"))
            status = pad_transposed(model, &nodes[i], error);
        else if (!status && i3d_is(&nodes[i], "Pad"))
            status = split_pad(model, &nodes[i], error);
        else if (!status && !i3d_model_copy_node(model, &nodes[i]))
            status = i3d_fail_memory(error);
        for (size_t k = 0; k < nodes[i].attribute_count; k++)
            if (nodes[i].attributes[k].tensor)
                i3d_source_release(nodes[i].attributes[k].tensor->source);
    }
    free(nodes);
    i3d_shapes_free(shapes);
    return status;
}
