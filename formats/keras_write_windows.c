/* Nodes with windows or matrices as layers of Keras. Keras pads as "same" or not at all;
 * what is padded otherwise gets a ZeroPadding ahead of it. */
#include "formats/keras_write.h"

#include <stdlib.h>
#include <string.h>

/* A window as Keras can say it. */
struct window {
    int axes;
    int64_t kernel[3], stride[3], dilation[3];
    int64_t begin[3], end[3]; /* pads that "same" does not make */
    bool is_same;
};

/* "Conv2D": a name of the arena, since layers keep it. */
static const char *class_of(struct i3d_keras_writer *writer, const char *stem, int axes)
{
    const char *name = i3d_arena_printf(writer->arena, "%s%dD", stem, axes);
    return name ? name : "";
}

static void read_ints(const struct i3d_node *node, const char *name, int count, int64_t fallback,
                      int64_t *values)
{
    size_t found;
    const int64_t *ints = i3d_ints(node, name, &found);
    for (int k = 0; k < count; k++)
        values[k] = found >= (size_t)count ? ints[k] : fallback;
}

/* Pads of all axes: known from the attributes, or from the sizes of the input. */
static bool find_pads(struct i3d_keras_writer *writer, struct window *window, bool *frozen)
{
    const struct i3d_node *node = writer->node;
    const struct i3d_shape *input = i3d_keras_shape(writer, node->inputs[0]);
    bool is_known = input->rank == window->axes + 2;
    for (int k = 0; k < window->axes; k++)
        is_known &= is_known && input->dims[k + 2] > 0;
    *frozen = is_known;
    bool is_lower = i3d_string_is(node, "auto_pad", "SAME_LOWER");
    bool rounds_up = i3d_int(node, "ceil_mode", 0);
    if (is_known) {
        struct i3d_window found;
        writer->status = i3d_resolve_window(node, window->axes, window->kernel, input->dims + 2,
                                            &found, writer->error);
        for (int k = 0; k < window->axes && !writer->status; k++) {
            window->begin[k] = found.pad_begin[k];
            window->end[k] = found.pad_end[k] + (found.excess[k] > 0 ? found.excess[k] : 0);
        }
        return !writer->status;
    }
    if (is_lower || rounds_up) {
        i3d_keras_reject(writer, "its padding depends on the size of the input, which is open");
        return false;
    }
    int64_t pads[6];
    read_ints(node, "pads", 2 * window->axes, 0, pads);
    for (int k = 0; k < window->axes; k++) {
        window->begin[k] = pads[k];
        window->end[k] = pads[window->axes + k];
    }
    return true;
}

/* Whether "same" pads an input of the (known) sizes, or one of any size, like this. */
static bool is_same(const struct i3d_keras_writer *writer, const struct window *window,
                    bool frozen)
{
    const struct i3d_shape *input = i3d_keras_shape(writer, writer->node->inputs[0]);
    for (int k = 0; k < window->axes; k++) {
        int64_t reach = (window->kernel[k] - 1) * window->dilation[k] + 1, total = reach - 1;
        if (window->stride[k] != 1) {
            if (!frozen)
                return false;
            int64_t size = input->dims[k + 2], stride = window->stride[k];
            total = ((size + stride - 1) / stride - 1) * stride + reach - size;
            total = total < 0 ? 0 : total;
        }
        if (window->begin[k] != total / 2 || window->end[k] != total - total / 2)
            return false;
    }
    return true;
}

static void read_window(struct i3d_keras_writer *writer, const int64_t *kernel, int axes,
                        struct window *window)
{
    const struct i3d_node *node = writer->node;
    bool frozen = false, any = false;
    *window = (struct window){ .axes = axes };
    memcpy(window->kernel, kernel, (size_t)axes * sizeof *kernel);
    read_ints(node, "strides", axes, 1, window->stride);
    read_ints(node, "dilations", axes, 1, window->dilation);
    for (int k = 0; k < axes; k++)
        if (window->kernel[k] < 1 || window->stride[k] < 1 || window->dilation[k] < 1)
            i3d_keras_reject(writer, "its window has a size below 1");
    if (i3d_string_is(node, "auto_pad", "SAME_UPPER")) {
        window->is_same = true;
        return;
    }
    if (i3d_string_is(node, "auto_pad", "VALID") || writer->status
        || !find_pads(writer, window, &frozen))
        return;
    for (int k = 0; k < axes; k++) {
        any |= window->begin[k] || window->end[k];
        if (window->begin[k] < 0 || window->end[k] < 0)
            i3d_keras_reject(writer, "it has negative pads");
    }
    window->is_same = any && is_same(writer, window, frozen);
}

static void pad(struct i3d_keras_writer *writer, const char *suffix, int axes,
                const int64_t *begin, const int64_t *end, struct i3d_keras_tensor *tensor)
{
    bool any = false;
    json_t *pairs = json_array();
    for (int k = 0; k < axes; k++) {
        any |= begin[k] || end[k];
        json_array_append_new(pairs, json_pack("[II]", (json_int_t)begin[k], (json_int_t)end[k]));
    }
    if (any)
        i3d_keras_layer(writer, class_of(writer, "ZeroPadding", axes), suffix,
                        json_pack("{sOss}", "padding", pairs, "data_format", "channels_last"),
                        tensor);
    json_decref(pairs);
}

/* The input in Keras' order of an image, padded by what "same" does not do. */
static void take_image(struct i3d_keras_writer *writer, const struct window *window,
                       struct i3d_keras_tensor *tensor)
{
    i3d_keras_images(writer, tensor);
    if (!window->is_same)
        pad(writer, "_pad", window->axes, window->begin, window->end, tensor);
}

static json_t *window_config(const struct window *window, const char *size_key)
{
    return json_pack("{sosossss}", size_key, i3d_keras_list(window->kernel, window->axes),
                     "strides", i3d_keras_list(window->stride, window->axes), "padding",
                     window->is_same ? "same" : "valid", "data_format", "channels_last");
}

static void put_vector(struct i3d_keras_writer *writer, const char *role,
                       const struct i3d_tensor *vector, int64_t count)
{
    struct i3d_view view;
    if (writer->status)
        return;
    if (!vector || i3d_tensor_elements(vector) != count) {
        i3d_keras_reject(writer, "its %s is not stored as one number per channel", role);
        return;
    }
    i3d_view_of(vector, &view);
    view.rank = 1;
    view.dims[0] = count;
    view.strides[0] = 1;
    i3d_keras_put_weight(writer, role, vector, &view);
}

/* Keras computes depthwise 2D convolutions with one stride for both axes, and strides or
 * dilations but not both. */
static bool is_depthwise(const struct window *window, const struct i3d_tensor *kernel,
                         int64_t group)
{
    return window->axes == 2 && group > 1 && kernel->dims[1] == 1
        && window->stride[0] == window->stride[1]
        && (window->stride[0] == 1 || (window->dilation[0] == 1 && window->dilation[1] == 1));
}

void i3d_keras_write_conv(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_tensor *kernel = i3d_keras_stored(writer, 1);
    bool has_bias = writer->node->input_count > 2 && *writer->node->inputs[2];
    int64_t group = i3d_int(writer->node, "group", 1);
    struct window window;
    struct i3d_view whole, view;
    *output = i3d_keras_input(writer, 0);
    if (!kernel || (kernel->rank != 4 && kernel->rank != 5) || group < 1
        || kernel->dims[0] % group || output->rank != kernel->rank) {
        i3d_keras_reject(writer, "its kernel is not stored, or not one of 2 or 3 spatial axes");
        return;
    }
    int axes = kernel->rank - 2;
    read_window(writer, kernel->dims + 2, axes, &window);
    take_image(writer, &window, output);
    i3d_view_of(kernel, &whole);
    view = whole;
    bool depthwise = is_depthwise(&window, kernel, group);
    for (int k = 0; k < axes; k++) {
        view.dims[k] = whole.dims[k + 2];
        view.strides[k] = whole.strides[k + 2];
    }
    view.dims[axes] = depthwise ? group : whole.dims[1];
    view.strides[axes] =
        depthwise ? whole.strides[0] * (whole.dims[0] / group) : whole.strides[1];
    view.dims[axes + 1] = depthwise ? whole.dims[0] / group : whole.dims[0];
    view.strides[axes + 1] = whole.strides[0];
    json_t *config = window_config(&window, "kernel_size");
    json_object_set_new(config, "dilation_rate", i3d_keras_list(window.dilation, axes));
    json_object_set_new(config, "use_bias", json_boolean(has_bias));
    json_object_set_new(config, "activation", json_string("linear"));
    if (depthwise) {
        json_object_set_new(config, "depth_multiplier", json_integer(view.dims[axes + 1]));
    } else {
        json_object_set_new(config, "filters", json_integer(kernel->dims[0]));
        json_object_set_new(config, "groups", json_integer(group));
    }
    i3d_keras_layer(writer, depthwise ? "DepthwiseConv2D" : class_of(writer, "Conv", axes), "",
                    config, output);
    i3d_keras_put_weight(writer, depthwise ? "depthwise_kernel" : "kernel", kernel, &view);
    if (has_bias)
        put_vector(writer, "bias", i3d_keras_stored(writer, 2), kernel->dims[0]);
}

/* Whether zeros around the value are as good as a max pool's own padding. */
static bool is_nonnegative(const struct i3d_keras_writer *writer, const char *value, int depth)
{
    enum { DEEPEST = 8 };
    int64_t producer = i3d_index_producer(writer->index, value);
    if (producer == I3D_NOWHERE || depth == DEEPEST)
        return false;
    const struct i3d_node *node = &writer->model->nodes[producer];
    if (i3d_is(node, "Relu") || i3d_is(node, "Sigmoid") || i3d_is(node, "Softmax"))
        return true;
    if (!i3d_is(node, "MaxPool") && !i3d_is(node, "AveragePool") && !i3d_is(node, "Concat")
        && !i3d_is(node, "Dropout") && !i3d_is(node, "Identity"))
        return false;
    size_t count = i3d_is(node, "Concat") ? node->input_count : 1;
    for (size_t k = 0; k < count && k < 16; k++)
        if (!is_nonnegative(writer, node->inputs[k], depth + 1))
            return false;
    return count <= 16;
}

static void write_local_pool(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_node *node = writer->node;
    bool is_max = i3d_is(node, "MaxPool"), any = false;
    size_t axes;
    struct window window;
    const int64_t *kernel = i3d_ints(node, "kernel_shape", &axes);
    *output = i3d_keras_input(writer, 0);
    if (!writer->status && (output->rank != (int)axes + 2 || (axes != 2 && axes != 3)))
        i3d_keras_reject(writer, "its window is not one of 2 or 3 spatial axes");
    if (writer->status)
        return;
    read_window(writer, kernel, (int)axes, &window);
    for (int k = 0; k < window.axes; k++) {
        any |= window.begin[k] || window.end[k];
        if (window.dilation[k] != 1)
            i3d_keras_reject(writer, "pools of Keras have no dilations");
    }
    bool counts = i3d_int(node, "count_include_pad", 0);
    if (window.is_same && !is_max && counts)
        window.is_same = i3d_string_is(node, "auto_pad", "SAME_UPPER");
    if (window.is_same && !is_max && counts)
        i3d_keras_reject(writer, "it counts its padding");
    if (!window.is_same && any && is_max && !is_nonnegative(writer, node->inputs[0], 0))
        i3d_keras_reject(writer, "its pads are not Keras' \"same\", and zeros could exceed "
                                 "what they surround");
    if (!window.is_same && any && !is_max && (!counts || i3d_int(node, "ceil_mode", 0)))
        i3d_keras_reject(writer, "its pads are not Keras' \"same\" and do not count");
    take_image(writer, &window, output);
    i3d_keras_layer(writer, class_of(writer, is_max ? "MaxPooling" : "AveragePooling",
                                     window.axes), "", window_config(&window, "pool_size"),
                    output);
}

/* Which axes a Reduce goes over. False where they are not stored. */
static bool find_axes(const struct i3d_keras_writer *writer, int rank, bool *reduced)
{
    size_t count;
    int64_t stored[I3D_MAX_RANK];
    const int64_t *axes = i3d_ints(writer->node, "axes", &count);
    const struct i3d_tensor *tensor = i3d_keras_stored(writer, 1);
    int found = 0;
    if (tensor && !i3d_tensor_integers(tensor, stored, I3D_MAX_RANK, &found, NULL)) {
        axes = stored;
        count = (size_t)found;
    }
    for (size_t k = 0; axes && k < count; k++) {
        int64_t axis = axes[k] + (axes[k] < 0 ? rank : 0);
        if (axis < 2 || axis >= rank)
            return false;
        reduced[axis] = true;
    }
    return axes && count;
}

static void write_global_pool(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_node *node = writer->node;
    bool is_reduce = i3d_is(node, "ReduceMean") || i3d_is(node, "ReduceMax");
    bool is_max = i3d_is(node, "ReduceMax") || i3d_is(node, "GlobalMaxPool");
    const struct i3d_shape *input = i3d_keras_shape(writer, node->inputs[0]);
    *output = i3d_keras_input(writer, 0);
    int rank = output->rank, axes = rank - 2;
    bool reduced[I3D_MAX_RANK] = { false }, whole = true, known = true;
    if (writer->status)
        return;
    if ((rank != 4 && rank != 5) || (is_reduce && !find_axes(writer, rank, reduced))) {
        i3d_keras_reject(writer, "it does not reduce spatial axes of an image or a video");
        return;
    }
    struct window window = { .axes = axes };
    struct i3d_shape kept = *input;
    for (int k = 2; k < rank; k++) {
        bool is_gone = !is_reduce || reduced[k];
        whole &= is_gone || input->dims[k] == 1;
        known &= !is_gone || input->dims[k] > 0;
        window.kernel[k - 2] = is_gone ? input->dims[k] : 1;
        window.stride[k - 2] = 1;
        kept.dims[k] = is_gone ? 1 : input->dims[k];
    }
    i3d_keras_images(writer, output);
    const char *class_name = class_of(writer, whole ? is_max ? "GlobalMaxPooling"
                                                             : "GlobalAveragePooling"
                                              : is_max ? "MaxPooling" : "AveragePooling",
                                      axes);
    bool drops = is_reduce && !i3d_int(node, "keepdims", 1);
    const char *suffix = drops ? "_pool" : "";
    if (whole)
        i3d_keras_layer(writer, class_name, suffix,
                        json_pack("{sbss}", "keepdims", 1, "data_format", "channels_last"),
                        output);
    else if (known)
        i3d_keras_layer(writer, class_name, suffix, window_config(&window, "pool_size"), output);
    else
        i3d_keras_reject(writer, "Keras needs the size of what it reduces, which is open");
    if (drops)
        i3d_keras_to_shape(writer, &kept, i3d_keras_shape(writer, node->outputs[0]), output);
}

void i3d_keras_write_pool(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    if (i3d_is(writer->node, "MaxPool") || i3d_is(writer->node, "AveragePool"))
        write_local_pool(writer, output);
    else
        write_global_pool(writer, output);
}

void i3d_keras_write_pad(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_node *node = writer->node;
    int64_t stored[2 * I3D_MAX_RANK];
    int count = 0;
    size_t listed;
    const int64_t *pads = i3d_ints(node, "pads", &listed);
    const struct i3d_tensor *tensor = i3d_keras_stored(writer, 1);
    *output = i3d_keras_input(writer, 0);
    int rank = output->rank, axes = rank - 2;
    if (!pads && tensor
        && !i3d_tensor_integers(tensor, stored, 2 * I3D_MAX_RANK, &count, NULL)) {
        pads = stored;
        listed = (size_t)count;
    }
    const struct i3d_tensor *value = i3d_keras_stored(writer, 2);
    double *number = NULL;
    bool is_zero = i3d_float(node, "value", 0) == 0 && node->input_count < 4;
    if (node->input_count > 2 && *node->inputs[2]) {
        is_zero &= value && value->source && i3d_tensor_elements(value) == 1
            && !i3d_tensor_load_double(value, &number, NULL) && *number == 0;
        free(number);
    }
    if (i3d_attribute(node, "mode") && !i3d_string_is(node, "mode", "constant"))
        is_zero = false;
    if (!pads || listed != (size_t)(2 * rank) || (axes != 2 && axes != 3) || !is_zero) {
        i3d_keras_reject(writer, "Keras pads with zeros, around images and videos only");
        return;
    }
    for (int k = 0; k < 2 * rank; k++)
        if (pads[k] < 0 || (pads[k] && k % rank < 2))
            i3d_keras_reject(writer, "Keras pads spatial axes only, and crops none");
    i3d_keras_images(writer, output);
    pad(writer, "", axes, pads + 2, pads + rank + 2, output);
}

/* Input by matrix: Keras' kernel is inputs × outputs. */
void i3d_keras_write_dense(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_node *node = writer->node;
    const struct i3d_tensor *kernel = i3d_keras_stored(writer, 1);
    bool is_gemm = i3d_is(node, "Gemm"), turned = is_gemm && i3d_int(node, "transB", 0);
    bool has_bias = is_gemm && node->input_count > 2 && *node->inputs[2];
    struct i3d_view view;
    *output = i3d_keras_input(writer, 0);
    if (writer->status)
        return;
    if (!kernel || kernel->rank != 2 || output->rank < 2) {
        i3d_keras_reject(writer, "its right side is not a stored matrix");
        return;
    }
    if (is_gemm && (i3d_int(node, "transA", 0) || i3d_float(node, "alpha", 1) != 1
                    || (has_bias && i3d_float(node, "beta", 1) != 1))) {
        i3d_keras_reject(writer, "it scales or transposes its input");
        return;
    }
    i3d_view_of(kernel, &view);
    if (turned) {
        int64_t stride = view.strides[0];
        view.strides[0] = view.strides[1];
        view.strides[1] = stride;
        view.dims[0] = kernel->dims[1];
        view.dims[1] = kernel->dims[0];
    }
    i3d_keras_rows(writer, output);
    i3d_keras_layer(writer, "Dense", "",
                    json_pack("{sIsbss}", "units", (json_int_t)view.dims[1], "use_bias", has_bias,
                              "activation", "linear"), output);
    i3d_keras_put_weight(writer, "kernel", kernel, &view);
    if (has_bias)
        put_vector(writer, "bias", i3d_keras_stored(writer, 2), view.dims[1]);
}

void i3d_keras_write_norm(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    static const char *const roles[] = { "gamma", "beta", "moving_mean", "moving_variance" };
    const struct i3d_node *node = writer->node;
    const struct i3d_tensor *first = i3d_keras_stored(writer, 1);
    double epsilon = i3d_float(node, "epsilon", 1e-5f);
    *output = i3d_keras_input(writer, 0);
    if (writer->status)
        return;
    if (!first || i3d_int(node, "training_mode", 0) || output->rank == 3) {
        i3d_keras_reject(writer, "it is not normalisation of channels by stored numbers");
        return;
    }
    i3d_keras_images(writer, output);
    i3d_keras_layer(writer, "BatchNormalization", "",
                    json_pack("{sisfsfsbsb}", "axis", -1, "momentum", 0.99, "epsilon", epsilon,
                              "center", 1, "scale", 1), output);
    for (size_t k = 0; k < 4; k++)
        put_vector(writer, roles[k], i3d_keras_stored(writer, k + 1), i3d_tensor_elements(first));
}
