/* Layers with windows or with matrices: convolutions, pools, padding, Dense, and the
 * normalisation that goes with them. */
#include "formats/keras_build.h"

#include <stdio.h>
#include <string.h>

static void set_ints(struct i3d_keras_builder *builder, struct i3d_node *node, const char *name,
                     const int64_t *values, int count)
{
    if (!builder->status && !i3d_set_ints(builder->model, node, name, values, (size_t)count))
        builder->status = i3d_fail_memory(builder->error);
}

static void set_int(struct i3d_keras_builder *builder, struct i3d_node *node, const char *name,
                    int64_t value)
{
    if (!builder->status && !i3d_set_int(builder->model, node, name, value))
        builder->status = i3d_fail_memory(builder->error);
}

/* The layer's key "padding". True if nothing is padded. */
static bool set_padding(struct i3d_keras_builder *builder, struct i3d_node *node)
{
    const char *padding = i3d_keras_text(builder, "padding", "valid");
    bool is_same = !strcmp(padding, "same");
    if (!is_same && strcmp(padding, "valid"))
        i3d_keras_refuse(builder, "its padding %.60s is not handled", padding);
    if (is_same && !builder->status
        && !i3d_set_string(builder->model, node, "auto_pad", "SAME_UPPER"))
        builder->status = i3d_fail_memory(builder->error);
    return !is_same;
}

/* count positive integers of a key. */
static void read_sizes(struct i3d_keras_builder *builder, const char *key, int count,
                       const int64_t *fallback, int64_t *sizes)
{
    i3d_keras_integers(builder, key, (size_t)count, 1, sizes);
    for (int k = 0; k < count; k++) {
        if (!i3d_keras_get(builder, key) && fallback)
            sizes[k] = fallback[k];
        if (sizes[k] < 1)
            i3d_keras_blame(builder, "its %s has a size of %lld", key, (long long)sizes[k]);
    }
}

/* The input in the canonical order; false if it has not the layer's axes. */
static bool take_image(struct i3d_keras_builder *builder, const struct i3d_keras_value *input,
                       struct i3d_keras_value *image)
{
    int axes = i3d_keras_axes(builder);
    *image = *input;
    if (image->rank != axes + 2)
        i3d_keras_blame(builder, "its input has %d axes where %d are needed", image->rank,
                        axes + 2);
    else
        i3d_keras_make_canonical(builder, image);
    return !builder->status;
}

/* One convolution of the layer. weight: number of the kernel, whose last two axes are
 * exchanged: inputs and outputs, or for a depthwise one inputs and multiples. */
struct convolution {
    size_t weight;
    const char *what; /* of the layer's nodes; "" for the last one */
    bool is_depthwise, is_pointwise, has_bias;
};

static struct i3d_tensor *turn_kernel(struct i3d_keras_builder *builder,
                                      const struct convolution *convolution, int64_t *group)
{
    int axes = i3d_keras_axes(builder), permutation[I3D_MAX_RANK];
    struct i3d_tensor *kernel = i3d_keras_weight(builder, convolution->weight);
    int64_t dims[I3D_MAX_RANK];
    if (builder->status || !kernel)
        return NULL;
    if (kernel->rank != axes + 2) {
        i3d_keras_blame(builder, "its kernel has %d axes where %d are needed", kernel->rank,
                        axes + 2);
        return NULL;
    }
    if (json_object_get(builder->names, kernel->name) != json_true()) { /* turned already */
        *group = convolution->is_depthwise
            ? kernel->dims[0] / (i3d_keras_integer(builder, "depth_multiplier", 1)) : *group;
        return kernel;
    }
    permutation[0] = convolution->is_depthwise ? axes : axes + 1;
    permutation[1] = convolution->is_depthwise ? axes + 1 : axes;
    for (int k = 0; k < axes; k++) {
        permutation[k + 2] = k;
        dims[k + 2] = kernel->dims[k];
    }
    dims[0] = kernel->dims[permutation[0]];
    dims[1] = kernel->dims[permutation[1]];
    if (convolution->is_depthwise) {
        *group = dims[0];
        if (i3d_keras_integer(builder, "depth_multiplier", 1) != dims[1]) {
            i3d_keras_blame(builder, "its kernel does not fit its depth_multiplier");
            return NULL;
        }
        dims[0] *= dims[1];
        dims[1] = 1;
    }
    i3d_keras_permute(builder, kernel, permutation, axes + 2, dims);
    return kernel;
}

static void convolve(struct i3d_keras_builder *builder, const struct convolution *convolution,
                     int64_t group, struct i3d_keras_value *value)
{
    int axes = i3d_keras_axes(builder);
    int64_t size[3], stride[3] = { 1, 1, 1 }, dilation[3] = { 1, 1, 1 };
    struct i3d_tensor *kernel = turn_kernel(builder, convolution, &group);
    struct i3d_tensor *bias = convolution->has_bias
        ? i3d_keras_weight(builder, convolution->weight + 1) : NULL;
    if (builder->status || !kernel)
        return;
    if (!convolution->is_pointwise) {
        read_sizes(builder, "strides", axes, NULL, stride);
        read_sizes(builder, "dilation_rate", axes, NULL, dilation);
        read_sizes(builder, "kernel_size", axes, NULL, size);
    }
    if (convolution->is_pointwise)
        size[0] = size[1] = size[2] = 1;
    bool is_one = true;
    for (int k = 0; k < axes; k++) {
        is_one &= kernel->dims[k + 2] == 1;
        if (kernel->dims[k + 2] != size[k])
            i3d_keras_blame(builder, "its kernel does not fit its kernel_size");
    }
    if (kernel->dims[0] % group)
        i3d_keras_blame(builder, "its kernel does not fit its groups");
    const char *const inputs[] = { value->name, kernel->name, bias ? bias->name : NULL, NULL };
    struct i3d_node *node =
        i3d_keras_node(builder, "Conv", convolution->what, inputs, &value->name);
    set_ints(builder, node, "kernel_shape", size, axes);
    set_ints(builder, node, "strides", stride, axes);
    set_ints(builder, node, "dilations", dilation, axes);
    set_int(builder, node, "group", group);
    bool is_valid = convolution->is_pointwise || set_padding(builder, node);
    value->is_pixel &= is_one || !is_valid;
}

void i3d_keras_make_convolution(struct i3d_keras_builder *builder,
                                const struct i3d_keras_value *inputs, size_t count,
                                struct i3d_keras_value *output)
{
    (void)count;
    const struct convolution convolution = {
        .what = "", .has_bias = i3d_keras_flag(builder, "use_bias", true)
    };
    int64_t group = i3d_keras_integer(builder, "groups", 1);
    if (group < 1)
        i3d_keras_blame(builder, "it has %lld groups", (long long)group);
    if (!take_image(builder, &inputs[0], output))
        return;
    convolve(builder, &convolution, group, output);
    i3d_keras_activate_layer(builder, output);
}

void i3d_keras_make_depthwise(struct i3d_keras_builder *builder,
                              const struct i3d_keras_value *inputs, size_t count,
                              struct i3d_keras_value *output)
{
    (void)count;
    const struct convolution convolution = {
        .what = "", .is_depthwise = true, .has_bias = i3d_keras_flag(builder, "use_bias", true)
    };
    if (i3d_keras_integer(builder, "depth_multiplier", 1) < 1)
        i3d_keras_blame(builder, "its depth_multiplier is not positive");
    if (!take_image(builder, &inputs[0], output))
        return;
    convolve(builder, &convolution, 1, output);
    i3d_keras_activate_layer(builder, output);
}

void i3d_keras_make_separable(struct i3d_keras_builder *builder,
                              const struct i3d_keras_value *inputs, size_t count,
                              struct i3d_keras_value *output)
{
    (void)count;
    const struct convolution depthwise = { .what = "depthwise", .is_depthwise = true };
    const struct convolution pointwise = {
        .weight = 1, .what = "", .is_pointwise = true,
        .has_bias = i3d_keras_flag(builder, "use_bias", true),
    };
    if (i3d_keras_integer(builder, "depth_multiplier", 1) < 1)
        i3d_keras_blame(builder, "its depth_multiplier is not positive");
    if (!take_image(builder, &inputs[0], output))
        return;
    convolve(builder, &depthwise, 1, output);
    convolve(builder, &pointwise, 1, output);
    i3d_keras_activate_layer(builder, output);
}

/* The other way round: Keras' kernel has the outputs ahead of the inputs, ONNX's the inputs
 * ahead of the outputs. What "same" cuts off is what the convolution forth would pad. */
void i3d_keras_make_transposed(struct i3d_keras_builder *builder,
                               const struct i3d_keras_value *inputs, size_t count,
                               struct i3d_keras_value *output)
{
    (void)count;
    int axes = i3d_keras_axes(builder);
    int64_t size[3], stride[3], dilation[3], dims[I3D_MAX_RANK], pads[6], more[3];
    int permutation[I3D_MAX_RANK] = { axes + 1, axes };
    const char *padding = i3d_keras_text(builder, "padding", "valid");
    bool is_same = !strcmp(padding, "same");
    json_t *asked = i3d_keras_get(builder, "output_padding");
    struct i3d_tensor *kernel = i3d_keras_weight(builder, 0);
    struct i3d_tensor *bias =
        i3d_keras_flag(builder, "use_bias", true) ? i3d_keras_weight(builder, 1) : NULL;
    if (!is_same && strcmp(padding, "valid"))
        i3d_keras_refuse(builder, "its padding %.60s is not handled", padding);
    if (asked && !json_is_null(asked))
        i3d_keras_refuse(builder, "its output_padding is not handled");
    if (!take_image(builder, &inputs[0], output) || !kernel)
        return;
    read_sizes(builder, "strides", axes, NULL, stride);
    read_sizes(builder, "dilation_rate", axes, NULL, dilation);
    read_sizes(builder, "kernel_size", axes, NULL, size);
    if (kernel->rank != axes + 2)
        i3d_keras_blame(builder, "its kernel has %d axes where %d are needed", kernel->rank,
                        axes + 2);
    for (int k = 0; k < axes && !builder->status; k++) {
        int64_t surplus = (size[k] - 1) * dilation[k] + 1 - stride[k];
        if (kernel->dims[k] != size[k] && json_object_get(builder->names, kernel->name)
            == json_true())
            i3d_keras_blame(builder, "its kernel does not fit its kernel_size");
        permutation[k + 2] = k;
        dims[k + 2] = kernel->dims[k];
        pads[k] = is_same && surplus > 0 ? surplus / 2 : 0;
        pads[axes + k] = is_same && surplus > 0 ? surplus - pads[k] : 0;
        more[k] = surplus < 0 ? -surplus : 0;
    }
    if (builder->status)
        return;
    dims[0] = kernel->dims[axes + 1];
    dims[1] = kernel->dims[axes];
    i3d_keras_permute(builder, kernel, permutation, axes + 2, dims);
    const char *const all[] = { output->name, kernel->name, bias ? bias->name : NULL, NULL };
    struct i3d_node *node = i3d_keras_node(builder, "ConvTranspose", "", all, &output->name);
    set_ints(builder, node, "kernel_shape", size, axes);
    set_ints(builder, node, "strides", stride, axes);
    set_ints(builder, node, "dilations", dilation, axes);
    set_ints(builder, node, "pads", pads, 2 * axes);
    set_ints(builder, node, "output_padding", more, axes);
    output->is_pixel = false;
    i3d_keras_activate_layer(builder, output);
}

/* Keras repeats, or interpolates between the centres of pixels. */
void i3d_keras_make_upsampling(struct i3d_keras_builder *builder,
                               const struct i3d_keras_value *inputs, size_t count,
                               struct i3d_keras_value *output)
{
    (void)count;
    int axes = i3d_keras_axes(builder);
    int64_t size[3], length = axes + 2;
    float scales[I3D_MAX_RANK] = { 1, 1 };
    const char *how = i3d_keras_text(builder, "interpolation", "nearest");
    bool is_linear = !strcmp(how, "bilinear");
    if (!is_linear && strcmp(how, "nearest"))
        i3d_keras_refuse(builder, "its interpolation %.60s is not handled", how);
    if (!take_image(builder, &inputs[0], output))
        return;
    read_sizes(builder, "size", axes, (const int64_t[]){ 2, 2, 2 }, size);
    for (int k = 0; k < axes; k++)
        scales[k + 2] = (float)size[k];
    const char *const all[] = { output->name, "",
                                i3d_keras_floats(builder, "scales", 1, &length, scales), NULL };
    struct i3d_node *node = i3d_keras_node(builder, "Resize", "", all, &output->name);
    const char *const told[][2] = {
        { "mode", is_linear ? "linear" : "nearest" },
        { "coordinate_transformation_mode", is_linear ? "half_pixel" : "asymmetric" },
        { "nearest_mode", "floor" },
    };
    for (size_t i = 0; i < sizeof told / sizeof *told && !builder->status; i++)
        if (!i3d_set_string(builder->model, node, told[i][0], told[i][1]))
            builder->status = i3d_fail_memory(builder->error);
    output->is_pixel = false;
}

static bool is_maximum(const struct i3d_keras_builder *builder)
{
    return strstr(builder->layer->class_name, "Max");
}

void i3d_keras_make_pool(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                         size_t count, struct i3d_keras_value *output)
{
    (void)count;
    int axes = i3d_keras_axes(builder);
    int64_t size[3], stride[3];
    if (!take_image(builder, &inputs[0], output))
        return;
    read_sizes(builder, "pool_size", axes, (const int64_t[]){ 2, 2, 2 }, size);
    read_sizes(builder, "strides", axes, size, stride);
    struct i3d_node *node =
        i3d_keras_step(builder, is_maximum(builder) ? "MaxPool" : "AveragePool", "", output);
    set_ints(builder, node, "kernel_shape", size, axes);
    set_ints(builder, node, "strides", stride, axes);
    if (set_padding(builder, node))
        output->is_pixel = false;
}

void i3d_keras_make_global_pool(struct i3d_keras_builder *builder,
                                const struct i3d_keras_value *inputs, size_t count,
                                struct i3d_keras_value *output)
{
    (void)count;
    if (!take_image(builder, &inputs[0], output))
        return;
    bool keeps = i3d_keras_flag(builder, "keepdims", false);
    i3d_keras_step(builder, is_maximum(builder) ? "GlobalMaxPool" : "GlobalAveragePool",
                   keeps ? "" : "pool", output);
    output->is_pixel = true;
    if (keeps)
        return;
    set_int(builder, i3d_keras_step(builder, "Flatten", "", output), "axis", 1);
    output->rank = 2;
    output->is_pixel = false;
    i3d_keras_canonical(builder, 2, output->order);
}

/* A number, one for each axis, or a pair for each axis: how much ahead, then behind. */
static void read_margins(struct i3d_keras_builder *builder, const char *key, int64_t fallback,
                         int64_t margins[2][3])
{
    int axes = i3d_keras_axes(builder);
    json_t *margin = i3d_keras_get(builder, key);
    bool is_list = json_is_array(margin);
    if (is_list && json_array_size(margin) != (size_t)axes)
        i3d_keras_blame(builder, "its %s is not one of %d axes", key, axes);
    for (int k = 0; k < axes && !builder->status; k++) {
        json_t *axis = is_list ? json_array_get(margin, (size_t)k) : margin;
        bool is_pair = json_array_size(axis) == 2;
        for (int side = 0; side < 2; side++) {
            json_t *number = is_pair ? json_array_get(axis, (size_t)side) : axis;
            json_int_t size = json_integer_value(number);
            if (margin && (!json_is_integer(number) || size < 0 || size > 1 << 20))
                i3d_keras_blame(builder, "its %s is not made of small integers", key);
            margins[side][k] = margin ? size : fallback;
        }
    }
}

void i3d_keras_make_zero_padding(struct i3d_keras_builder *builder,
                                 const struct i3d_keras_value *inputs, size_t count,
                                 struct i3d_keras_value *output)
{
    (void)count;
    int axes = i3d_keras_axes(builder);
    int64_t pads[2 * I3D_MAX_RANK] = { 0 }, margins[2][3] = { { 0 } };
    if (!take_image(builder, &inputs[0], output))
        return;
    read_margins(builder, "padding", 1, margins);
    for (int side = 0; side < 2; side++)
        memcpy(pads + side * (axes + 2) + 2, margins[side], (size_t)axes * sizeof *pads);
    const char *const both[] = {
        output->name, i3d_keras_ints(builder, "pads", (size_t)(2 * axes + 4), pads), NULL
    };
    i3d_keras_node(builder, "Pad", "", both, &output->name);
    output->is_pixel = false;
}

void i3d_keras_make_cropping(struct i3d_keras_builder *builder,
                             const struct i3d_keras_value *inputs, size_t count,
                             struct i3d_keras_value *output)
{
    (void)count;
    size_t axes = (size_t)i3d_keras_axes(builder);
    int64_t margins[2][3] = { { 0 } }, ends[3], places[3];
    if (!take_image(builder, &inputs[0], output))
        return;
    read_margins(builder, "cropping", 0, margins);
    for (size_t k = 0; k < axes; k++) {
        ends[k] = margins[1][k] ? -margins[1][k] : INT64_MAX;
        places[k] = (int64_t)k + 2;
    }
    const char *const all[] = { output->name, i3d_keras_ints(builder, "starts", axes, margins[0]),
                                i3d_keras_ints(builder, "ends", axes, ends),
                                i3d_keras_ints(builder, "axes", axes, places), NULL };
    i3d_keras_node(builder, "Slice", "", all, &output->name);
    output->is_pixel = false;
}

/* A Dense layer on an image is a convolution. */
static void dense_image(struct i3d_keras_builder *builder, struct i3d_tensor *kernel,
                        const struct i3d_tensor *bias, struct i3d_keras_value *value)
{
    static const int exchanged[] = { 1, 0 };
    int64_t dims[I3D_MAX_RANK] = { kernel->dims[1], kernel->dims[0], 1, 1, 1 };
    const int64_t ones[] = { 1, 1, 1 };
    i3d_keras_make_canonical(builder, value);
    i3d_keras_permute(builder, kernel, exchanged, value->rank, dims);
    const char *const inputs[] = { value->name, kernel->name, bias ? bias->name : NULL, NULL };
    struct i3d_node *node = i3d_keras_node(builder, "Conv", "", inputs, &value->name);
    set_ints(builder, node, "kernel_shape", ones, value->rank - 2);
}

void i3d_keras_make_dense(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                          size_t count, struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    struct i3d_tensor *kernel = i3d_keras_weight(builder, 0);
    struct i3d_tensor *bias =
        i3d_keras_flag(builder, "use_bias", true) ? i3d_keras_weight(builder, 1) : NULL;
    if (builder->status || !kernel)
        return;
    bool is_image = (output->rank == 4 || output->rank == 5) && !builder->channels_first;
    if (is_image && kernel->rank == 2)
        dense_image(builder, kernel, bias, output);
    else if (kernel->rank != 2)
        i3d_keras_refuse(builder, "it is applied in two ways");
    else if (output->rank == 2) {
        const char *const all[] = { output->name, kernel->name, bias ? bias->name : NULL, NULL };
        i3d_keras_node(builder, "Gemm", "", all, &output->name);
    } else {
        i3d_keras_make_plain(builder, output);
        const char *const both[] = { output->name, kernel->name, NULL };
        i3d_keras_node(builder, "MatMul", bias ? "matmul" : "", both, &output->name);
        const char *const sum[] = { output->name, bias ? bias->name : NULL, NULL };
        if (bias)
            i3d_keras_node(builder, "Add", "", sum, &output->name);
    }
    i3d_keras_activate_layer(builder, output);
}

/* The vector of a normalisation that has none: value throughout. */
static const char *put_constant(struct i3d_keras_builder *builder, const char *role, double value,
                                enum i3d_dtype dtype, int64_t count)
{
    uint64_t element = 0;
    char hint[512];
    if (builder->status)
        return "";
    snprintf(hint, sizeof hint, "%.400s/%s", builder->layer->name, role);
    const char *name = i3d_keras_name(builder, hint);
    i3d_from_double(dtype, &value, &element, 1);
    size_t size = i3d_dtype_size(dtype);
    if (!builder->status)
        builder->status = i3d_model_put_tensor(
            builder->model, name, dtype, 1, &count,
            i3d_source_fill(&element, size, (uint64_t)count * size), builder->error);
    return name;
}

void i3d_keras_make_batch_normalization(struct i3d_keras_builder *builder,
                                        const struct i3d_keras_value *inputs, size_t count,
                                        struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    i3d_keras_make_canonical(builder, output);
    if (i3d_keras_axis(builder, output, i3d_keras_integer(builder, "axis", -1)) != 1)
        i3d_keras_refuse(builder, "it normalises an axis that is not the channels'");
    const char *vectors[4];
    size_t weight = 0;
    enum i3d_dtype dtype = I3D_UNDEFINED;
    int64_t channels = 0;
    bool has[4] = { i3d_keras_flag(builder, "scale", true),
                    i3d_keras_flag(builder, "center", true), true, true };
    for (int k = 0; k < 4 && !builder->status; k++) {
        const struct i3d_tensor *vector = has[k] ? i3d_keras_weight(builder, weight++) : NULL;
        if (has[k] && (!vector || vector->rank != 1 || (dtype && vector->dims[0] != channels)))
            i3d_keras_blame(builder, "its weights are no vectors of one length");
        if (!vector)
            continue;
        vectors[k] = vector->name;
        dtype = vector->dtype;
        channels = vector->dims[0];
    }
    for (int k = 0; k < 2 && !builder->status; k++)
        if (!has[k])
            vectors[k] = put_constant(builder, k ? "beta" : "gamma", !k, dtype, channels);
    if (builder->status)
        return;
    const char *const all[] = { output->name, vectors[0], vectors[1], vectors[2], vectors[3],
                                NULL };
    struct i3d_node *node = i3d_keras_node(builder, "BatchNormalization", "", all, &output->name);
    double epsilon = i3d_keras_number(builder, "epsilon", 1e-3);
    if (!builder->status && !i3d_set_float(builder->model, node, "epsilon", (float)epsilon))
        builder->status = i3d_fail_memory(builder->error);
}
