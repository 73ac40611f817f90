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

static const char *batch_norm(struct i3d_builder *b, const char *unit, const char *input,
                              int64_t channels)
{
    const char *output = i3d_build_join(b, unit, "BatchNorm");
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

const char *i3d_build_normed_conv(struct i3d_builder *b, const char *unit, const char *input,
                                  int64_t in_channels, int64_t channels, int64_t kernel,
                                  int64_t stride, enum i3d_padding padding)
{
    const int64_t dims[] = { channels, in_channels, kernel, kernel };
    const char *weight = input ? i3d_build_parameter(b, unit, "weight", 4, dims) : NULL;
    if (!weight)
        return NULL;
    struct i3d_node *node = i3d_build_node(b, "Conv", unit, unit,
                                           (const char *[]){ input, weight, NULL });
    return i3d_build_window(b, node, kernel, stride, padding)
        ? batch_norm(b, unit, unit, channels) : NULL;
}

const char *i3d_build_relu(struct i3d_builder *b, const char *unit, const char *input)
{
    const char *output = input && unit ? i3d_build_join(b, unit, "Relu") : NULL;
    return i3d_build_node(b, "Relu", output, output, (const char *[]){ input, NULL }) ? output
                                                                                      : NULL;
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
    const int64_t dims[] = { classes, features };
    const char *flat = "Logits/Flatten";
    const char *weight = pooled ? i3d_build_parameter(b, unit, "weight", 2, dims) : NULL;
    const char *bias = weight ? i3d_build_vector(b, unit, "bias", classes) : NULL;
    if (!bias || !i3d_build_node(b, "Flatten", flat, flat, (const char *[]){ pooled, NULL }))
        return false;
    struct i3d_node *node = i3d_build_node(b, "Gemm", unit, "logits",
                                           (const char *[]){ flat, weight, bias, NULL });
    return node && i3d_set_int(b->model, node, "transB", 1);
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
