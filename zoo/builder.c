#include "zoo/builder.h"

#include <string.h>

const char *i3d_build_join(struct i3d_builder *b, const char *unit, const char *part)
{
    return i3d_arena_printf(b->model->arena, "%s/%s", unit, part);
}

const char *i3d_build_parameter(struct i3d_builder *b, const char *unit, const char *role,
                                int rank, const int64_t *dims)
{
    const char *name = i3d_build_join(b, unit, role);
    struct i3d_tensor *tensor = name ? i3d_model_add_tensor(b->model) : NULL;
    if (!tensor)
        return NULL;
    tensor->name = name;
    tensor->dtype = I3D_FLOAT32;
    tensor->rank = rank;
    memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    return name;
}

const char *i3d_build_vector(struct i3d_builder *b, const char *unit, const char *role,
                             int64_t count)
{
    return i3d_build_parameter(b, unit, role, 1, &count);
}

static const char *ones(struct i3d_builder *b, const char *unit, const char *role, int64_t count)
{
    const float one = 1;
    const char *name = i3d_build_join(b, unit, role);
    struct i3d_source *source = i3d_source_fill(&one, sizeof one, (uint64_t)count * sizeof one);
    if (name && !i3d_model_put_tensor(b->model, name, I3D_FLOAT32, 1, &count, source, NULL))
        return name;
    if (!name)
        i3d_source_release(source);
    return NULL;
}

struct i3d_node *i3d_build_node(struct i3d_builder *b, const char *op_type, const char *name,
                                const char *output, const char *const *inputs)
{
    if (!name || !output)
        return NULL;
    return i3d_model_put_node(b->model, op_type, name, inputs, (const char *[]){ output, NULL });
}

bool i3d_build_window(struct i3d_builder *b, struct i3d_node *node, int64_t kernel,
                      int64_t stride, enum i3d_padding padding)
{
    const int64_t sizes[] = { kernel, kernel }, strides[] = { stride, stride };
    const int64_t pad = (kernel - 1) / 2, pads[] = { pad, pad, pad, pad };
    if (!node || !i3d_set_ints(b->model, node, "kernel_shape", sizes, 2)
        || !i3d_set_ints(b->model, node, "strides", strides, 2))
        return false;
    switch (padding) {
    case I3D_PADS_SAME: return i3d_set_string(b->model, node, "auto_pad", "SAME_UPPER");
    case I3D_PADS_HALF: return i3d_set_ints(b->model, node, "pads", pads, 4);
    case I3D_PADS_PARTIAL: return i3d_set_int(b->model, node, "ceil_mode", 1);
    default: return true;
    }
}

const char *i3d_build_batch_norm(struct i3d_builder *b, const char *unit, const char *input,
                                 int64_t channels)
{
    const char *output = input ? i3d_build_join(b, unit, "BatchNorm") : NULL;
    const char *inputs[] = {
        input,
        b->gamma ? i3d_build_vector(b, unit, "gamma", channels) : ones(b, unit, "gamma", channels),
        i3d_build_vector(b, unit, "beta", channels),
        i3d_build_vector(b, unit, "mean", channels),
        i3d_build_vector(b, unit, "variance", channels),
        NULL,
    };
    for (int i = 0; i < 5; i++)
        if (!inputs[i])
            return NULL;
    struct i3d_node *node = i3d_build_node(b, "BatchNormalization", output, output, inputs);
    return node && i3d_set_float(b->model, node, "epsilon", (float)b->epsilon) ? output : NULL;
}

const char *i3d_build_conv(struct i3d_builder *b, const char *unit, const char *input,
                           const struct i3d_conv *conv)
{
    const int64_t dims[] = { conv->channels, conv->depthwise ? 1 : conv->in_channels,
                             conv->kernel, conv->kernel };
    const char *weight = input && unit ? i3d_build_parameter(b, unit, "weight", 4, dims) : NULL;
    const char *bias = weight && conv->bias ? i3d_build_vector(b, unit, "bias", conv->channels)
                                            : NULL;
    if (!weight || (conv->bias && !bias))
        return NULL;
    struct i3d_node *node = i3d_build_node(b, "Conv", unit, unit,
                                           (const char *[]){ input, weight, bias, NULL });
    bool good = i3d_build_window(b, node, conv->kernel, conv->stride, conv->padding);
    if (good && conv->depthwise)
        good = i3d_set_int(b->model, node, "group", conv->channels);
    if (!good)
        return NULL;
    return conv->norm ? i3d_build_batch_norm(b, unit, unit, conv->channels) : unit;
}

const char *i3d_build_normed_conv(struct i3d_builder *b, const char *unit, const char *input,
                                  int64_t in_channels, int64_t channels, int64_t kernel,
                                  int64_t stride, enum i3d_padding padding)
{
    return i3d_build_conv(b, unit, input,
                          &(struct i3d_conv){ .in_channels = in_channels, .channels = channels,
                                              .kernel = kernel, .stride = stride,
                                              .padding = padding, .norm = true });
}

const char *i3d_build_relu(struct i3d_builder *b, const char *unit, const char *input)
{
    const char *output = input && unit ? i3d_build_join(b, unit, "Relu") : NULL;
    return i3d_build_node(b, "Relu", output, output, (const char *[]){ input, NULL }) ? output
                                                                                      : NULL;
}

static const char *limit(struct i3d_builder *b, const char *unit, const char *part, float value)
{
    const char *name = i3d_build_join(b, unit, part);
    struct i3d_source *source = i3d_source_copy(&value, sizeof value);
    if (name && !i3d_model_put_tensor(b->model, name, I3D_FLOAT32, 0, NULL, source, NULL))
        return name;
    if (!name)
        i3d_source_release(source);
    return NULL;
}

const char *i3d_build_relu6(struct i3d_builder *b, const char *unit, const char *input)
{
    const char *output = input && unit ? i3d_build_join(b, unit, "Relu6") : NULL;
    const char *low = output ? limit(b, unit, "Relu6/min", 0) : NULL;
    const char *high = low ? limit(b, unit, "Relu6/max", 6) : NULL;
    if (!high)
        return NULL;
    const char *inputs[] = { input, low, high, NULL };
    return i3d_build_node(b, "Clip", output, output, inputs) ? output : NULL;
}

const char *i3d_build_join_values(struct i3d_builder *b, const char *op_type, const char *name,
                                  const char *left, const char *right)
{
    if (!left || !right)
        return NULL;
    struct i3d_node *node = i3d_build_node(b, op_type, name, name,
                                           (const char *[]){ left, right, NULL });
    bool good = node && (i3d_is(node, "Add") || i3d_set_int(b->model, node, "axis", 1));
    return good ? name : NULL;
}

const char *i3d_build_average_pool(struct i3d_builder *b, const char *name, const char *input,
                                   int64_t kernel)
{
    if (!input)
        return NULL;
    struct i3d_node *node = i3d_build_node(b, kernel ? "AveragePool" : "GlobalAveragePool", name,
                                           name, (const char *[]){ input, NULL });
    bool good = node && (!kernel || i3d_build_window(b, node, kernel, kernel, I3D_PADS_NONE));
    return good ? name : NULL;
}

const char *i3d_build_flatten(struct i3d_builder *b, const char *input, const char *output)
{
    if (!input)
        return NULL;
    return i3d_build_node(b, "Flatten", output, output, (const char *[]){ input, NULL }) ? output
                                                                                        : NULL;
}

const char *i3d_build_matrix(struct i3d_builder *b, const char *unit, const char *input,
                             int64_t features, int64_t made, const char *output)
{
    const int64_t dims[] = { made, features };
    const char *weight = input ? i3d_build_parameter(b, unit, "weight", 2, dims) : NULL;
    const char *bias = weight ? i3d_build_vector(b, unit, "bias", made) : NULL;
    output = output ? output : unit;
    struct i3d_node *node = !bias ? NULL
        : i3d_build_node(b, "Gemm", unit, output, (const char *[]){ input, weight, bias, NULL });
    return node && i3d_set_int(b->model, node, "transB", 1) ? output : NULL;
}

const char *i3d_build_max_pool(struct i3d_builder *b, const char *name, const char *input,
                               int64_t kernel, int64_t stride, enum i3d_padding padding)
{
    if (!input)
        return NULL;
    struct i3d_node *node = i3d_build_node(b, "MaxPool", name, name,
                                           (const char *[]){ input, NULL });
    return i3d_build_window(b, node, kernel, stride, padding) ? name : NULL;
}

bool i3d_build_classifier(struct i3d_builder *b, const char *unit, const char *pooled,
                          int64_t features, int64_t classes)
{
    const char *flat = i3d_build_flatten(b, pooled, "Logits/Flatten");
    return i3d_build_matrix(b, unit, flat, features, classes, "logits");
}

const char *i3d_build_begin(struct i3d_builder *b, const char *name, double epsilon,
                            const struct i3d_architecture_options *options,
                            struct i3d_architecture_options *filled)
{
    *filled = *options;
    filled->classes = options->classes ? options->classes : 1000;
    filled->channels = options->channels ? options->channels : 3;
    filled->epsilon = options->epsilon ? options->epsilon : epsilon;
    *b = (struct i3d_builder){ .model = i3d_model_new(), .gamma = filled->gamma,
                               .epsilon = filled->epsilon };
    bool good = b->model && i3d_build_declare(b, name, filled->channels, filled->classes);
    return good ? "input" : NULL;
}

enum i3d_status i3d_build_end(struct i3d_builder *b, bool good, struct i3d_model **model,
                              struct i3d_error *error)
{
    *model = good ? b->model : NULL;
    if (good)
        return I3D_OK;
    i3d_model_free(b->model);
    return i3d_fail_memory(error);
}

bool i3d_build_declare(struct i3d_builder *b, const char *name, int64_t channels,
                       int64_t classes)
{
    struct i3d_value *input = i3d_model_add_input(b->model);
    struct i3d_value *output = i3d_model_add_output(b->model);
    if (!input || !output)
        return false;
    *input = (struct i3d_value){ .name = "input", .dtype = I3D_FLOAT32, .rank = 4,
                                 .dims = { { -1, "N" }, { channels, NULL }, { 224, NULL },
                                           { 224, NULL } } };
    *output = (struct i3d_value){ .name = "logits", .dtype = I3D_FLOAT32, .rank = 2,
                                  .dims = { { -1, "N" }, { classes, NULL } } };
    b->model->name = name;
    b->model->producer = "i3dconv";
    b->model->ir_version = 7; /* the IR that came with opset 13 */
    return i3d_set_opset(b->model, "", 13);
}
