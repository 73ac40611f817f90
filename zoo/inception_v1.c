#include "zoo/inception_v1.h"

#include <string.h>

/* Szegedy et al. 2014 (arXiv 1409.4842), table 1; unit names after TF-Slim's. */

#define BLOCK_UNITS(block)                                                                    \
    "Mixed_" block "/Branch_0/Conv_0a_1x1", "Mixed_" block "/Branch_1/Conv_0a_1x1",           \
        "Mixed_" block "/Branch_1/Conv_0b_3x3", "Mixed_" block "/Branch_2/Conv_0a_1x1",       \
        "Mixed_" block "/Branch_2/Conv_0b_3x3", "Mixed_" block "/Branch_3/Conv_0b_1x1"
#define BLOCK_POOL(block) "Mixed_" block "/Branch_3/MaxPool_0a_3x3"

const char *const i3d_inception_units[I3D_UNITS] = {
    "Conv_1a_7x7",     "Conv_2b_1x1",     "Conv_2c_3x3",
    BLOCK_UNITS("3b"), BLOCK_UNITS("3c"), BLOCK_UNITS("4b"), BLOCK_UNITS("4c"),
    BLOCK_UNITS("4d"), BLOCK_UNITS("4e"), BLOCK_UNITS("4f"), BLOCK_UNITS("5b"),
    BLOCK_UNITS("5c"), "Logits/Conv_0c_1x1",
};

const char *const i3d_inception_pools[I3D_MAX_POOLS] = {
    "MaxPool_2a_3x3", "MaxPool_3a_3x3", "MaxPool_4a_3x3", "MaxPool_5a_2x2",
    BLOCK_POOL("3b"), BLOCK_POOL("3c"), BLOCK_POOL("4b"), BLOCK_POOL("4c"), BLOCK_POOL("4d"),
    BLOCK_POOL("4e"), BLOCK_POOL("4f"), BLOCK_POOL("5b"), BLOCK_POOL("5c"),
};

const char *const i3d_inception_blocks[I3D_BLOCKS] = {
    "Mixed_3b", "Mixed_3c", "Mixed_4b", "Mixed_4c", "Mixed_4d",
    "Mixed_4e", "Mixed_4f", "Mixed_5b", "Mixed_5c",
};

const int64_t i3d_inception_channels[I3D_LOGITS] = {
    64, 64, 192,
    64, 96, 128, 16, 32, 32,     /* 3b */
    128, 128, 192, 32, 96, 64,   /* 3c */
    192, 96, 208, 16, 48, 64,    /* 4b */
    160, 112, 224, 24, 64, 64,   /* 4c */
    128, 128, 256, 24, 64, 64,   /* 4d */
    112, 144, 288, 32, 64, 64,   /* 4e */
    256, 160, 320, 32, 128, 128, /* 4f */
    256, 160, 320, 32, 128, 128, /* 5b */
    384, 192, 384, 48, 128, 128, /* 5c */
};

const int i3d_inception_branches[5] = { 0, 1, 3, 5, 6 };

int i3d_inception_unit(const char *name)
{
    for (int unit = 0; unit < I3D_UNITS; unit++)
        if (!strcmp(i3d_inception_units[unit], name))
            return unit;
    return -1;
}

int i3d_inception_pool_before(int block)
{
    return block == 0 ? 1 : block == 2 ? 2 : block == 7 ? 3 : -1;
}

/* A graph under construction. Names of values are those of the nodes that make
 * them; null stands for a value that could not be made, and everything built on
 * it is null too, so that one check at the end is enough. */
struct builder {
    struct i3d_model *model;
    const struct i3d_inception_variant *variant;
    double epsilon;
    bool gamma;
};

static const char *join(struct builder *b, const char *unit, const char *part)
{
    return i3d_arena_printf(b->model->arena, "%s/%s", unit, part);
}

/* A parameter with a shape but no values yet; its name. */
static const char *parameter(struct builder *b, const char *unit, const char *role, int rank,
                             const int64_t *dims)
{
    const char *name = join(b, unit, role);
    struct i3d_tensor *tensor = name ? i3d_model_add_tensor(b->model) : NULL;
    if (!tensor)
        return NULL;
    tensor->name = name;
    tensor->dtype = I3D_FLOAT32;
    tensor->rank = rank;
    memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    return name;
}

static const char *vector(struct builder *b, const char *unit, const char *role, int64_t count)
{
    return parameter(b, unit, role, 1, &count);
}

static const char *ones(struct builder *b, const char *unit, const char *role, int64_t count)
{
    const float one = 1;
    const char *name = join(b, unit, role);
    struct i3d_source *source = i3d_source_fill(&one, sizeof one, (uint64_t)count * sizeof one);
    if (name && !i3d_model_put_tensor(b->model, name, I3D_FLOAT32, 1, &count, source, NULL))
        return name;
    if (!name)
        i3d_source_release(source);
    return NULL;
}

static struct i3d_node *put(struct builder *b, const char *op_type, const char *name,
                            const char *output, const char *const *inputs)
{
    if (!name || !output)
        return NULL;
    return i3d_model_put_node(b->model, op_type, name, inputs, (const char *[]){ output, NULL });
}

/* A square window on a Conv or pool. */
static bool set_window(struct builder *b, struct i3d_node *node, int64_t kernel, int64_t stride,
                       bool pads, bool ceil_mode)
{
    const int64_t sizes[] = { kernel, kernel }, strides[] = { stride, stride };
    const int64_t pad = (kernel - 1) / 2, all_pads[] = { pad, pad, pad, pad };
    if (!node || !i3d_set_ints(b->model, node, "kernel_shape", sizes, 2)
        || !i3d_set_ints(b->model, node, "strides", strides, 2))
        return false;
    if (b->variant->same_padding)
        return i3d_set_string(b->model, node, "auto_pad", "SAME_UPPER");
    return (!pads || i3d_set_ints(b->model, node, "pads", all_pads, 4))
        && (!ceil_mode || i3d_set_int(b->model, node, "ceil_mode", 1));
}

static const char *batch_norm(struct builder *b, const char *unit, const char *input,
                              int64_t channels)
{
    const char *output = join(b, unit, "BatchNorm");
    const char *inputs[] = {
        input,
        b->gamma ? vector(b, unit, "gamma", channels) : ones(b, unit, "gamma", channels),
        vector(b, unit, "beta", channels),
        vector(b, unit, "mean", channels),
        vector(b, unit, "variance", channels),
        NULL,
    };
    for (int i = 0; i < 5; i++)
        if (!inputs[i])
            return NULL;
    struct i3d_node *node = put(b, "BatchNormalization", output, output, inputs);
    return node && i3d_set_float(b->model, node, "epsilon", (float)b->epsilon) ? output : NULL;
}

static const char *relu(struct builder *b, const char *unit, const char *input)
{
    const char *output = join(b, unit, "Relu");
    return put(b, "Relu", output, output, (const char *[]){ input, NULL }) ? output : NULL;
}

/* Conv, BatchNormalization where the variant has it, Relu. */
static const char *convolution(struct builder *b, int number, const char *input,
                               int64_t in_channels, int64_t kernel, int64_t stride)
{
    const char *unit = i3d_inception_units[number];
    int64_t channels = i3d_inception_channels[number];
    const int64_t dims[] = { channels, in_channels, kernel, kernel };
    bool biased = !b->variant->batch_norm;
    const char *weight = parameter(b, unit, "weight", 4, dims);
    const char *bias = biased ? vector(b, unit, "bias", channels) : NULL;
    if (!input || !weight || (biased && !bias))
        return NULL;
    struct i3d_node *node = put(b, "Conv", unit, unit,
                                (const char *[]){ input, weight, bias, NULL });
    if (!set_window(b, node, kernel, stride, true, false))
        return NULL;
    const char *output = biased ? unit : batch_norm(b, unit, unit, channels);
    return output ? relu(b, unit, output) : NULL;
}

static const char *max_pool(struct builder *b, const char *name, const char *input,
                            int64_t kernel, int64_t stride)
{
    if (!input)
        return NULL;
    struct i3d_node *node = put(b, "MaxPool", name, name, (const char *[]){ input, NULL });
    /* Pools of stride 2 reach over the end instead of being padded in front. */
    return set_window(b, node, kernel, stride, stride == 1, b->variant->ceil_mode) ? name : NULL;
}

/* Across 5 channels (Krizhevsky et al. 2012), as GoogLeNet's prototxt has it. */
static const char *lrn(struct builder *b, const char *name, const char *input)
{
    if (!b->variant->lrn || !input)
        return input;
    struct i3d_node *node = put(b, "LRN", name, name, (const char *[]){ input, NULL });
    bool good = node && i3d_set_int(b->model, node, "size", 5)
        && i3d_set_float(b->model, node, "alpha", 1e-4f)
        && i3d_set_float(b->model, node, "beta", 0.75f);
    return good ? name : NULL;
}

static const char *block(struct builder *b, int number, const char *input, int64_t *channels)
{
    int first = I3D_STEM_UNITS + number * I3D_BLOCK_UNITS;
    const int64_t *made = i3d_inception_channels + first;
    const char *branches[5] = { NULL };
    branches[0] = convolution(b, first, input, *channels, 1, 1);
    branches[1] = convolution(b, first + 1, input, *channels, 1, 1);
    branches[1] = convolution(b, first + 2, branches[1], made[1], 3, 1);
    branches[2] = convolution(b, first + 3, input, *channels, 1, 1);
    branches[2] = convolution(b, first + 4, branches[2], made[3], b->variant->wide_kernel, 1);
    branches[3] = max_pool(b, i3d_inception_pools[I3D_STEM_POOLS + number], input, 3, 1);
    branches[3] = convolution(b, first + 5, branches[3], *channels, 1, 1);
    for (int i = 0; i < 4; i++)
        if (!branches[i])
            return NULL;
    *channels = made[0] + made[2] + made[4] + made[5];
    const char *output = join(b, i3d_inception_blocks[number], "Concat");
    struct i3d_node *node = put(b, "Concat", output, output, branches);
    return node && i3d_set_int(b->model, node, "axis", 1) ? output : NULL;
}

static const char *stem(struct builder *b, const char *input, int64_t channels)
{
    const char *value = convolution(b, 0, input, channels, 7, 2);
    value = lrn(b, "LRN_2a", max_pool(b, i3d_inception_pools[0], value, 3, 2));
    value = convolution(b, 1, value, i3d_inception_channels[0], 1, 1);
    return lrn(b, "LRN_2c", convolution(b, 2, value, i3d_inception_channels[1], 3, 1));
}

static const char *head_pool(struct builder *b, const char *input)
{
    static const int64_t kernel[] = { 7, 7 }, strides[] = { 1, 1 }, pads[] = { 0, 0, 1, 1 };
    const char *name = "Logits/AvgPool_0a_7x7";
    bool global = b->variant->head == I3D_HEAD_GLOBAL_POOL;
    struct i3d_node *node = put(b, global ? "GlobalAveragePool" : "AveragePool", name, name,
                                (const char *[]){ input, NULL });
    if (!node || global)
        return node ? name : NULL;
    bool good = i3d_set_ints(b->model, node, "kernel_shape", kernel, 2)
        && i3d_set_ints(b->model, node, "strides", strides, 2)
        && (b->variant->head == I3D_HEAD_PADDED_POOL
                ? i3d_set_ints(b->model, node, "pads", pads, 4)
                : i3d_set_string(b->model, node, "auto_pad", "VALID"));
    return good ? name : NULL;
}

/* The classifier: a 1×1 convolution in TF-Slim, a matrix elsewhere. */
static bool head(struct builder *b, const char *input, int64_t channels, int64_t classes)
{
    const char *unit = i3d_inception_units[I3D_LOGITS], *axes = "Logits/SpatialSqueeze/axes";
    const int64_t dims[] = { classes, channels, 1, 1 };
    bool conv = b->variant->head == I3D_HEAD_CONV;
    const char *pooled = input ? head_pool(b, input) : NULL;
    const char *weight = parameter(b, unit, "weight", conv ? 4 : 2, dims);
    const char *bias = vector(b, unit, "bias", classes);
    if (!pooled || !weight || !bias)
        return false;
    if (conv) {
        struct i3d_node *node = put(b, "Conv", unit, unit,
                                    (const char *[]){ pooled, weight, bias, NULL });
        return set_window(b, node, 1, 1, true, false)
            && !i3d_model_put_ints(b->model, axes, 1, (int64_t[]){ 2 }, (int64_t[]){ 2, 3 }, NULL)
            && put(b, "Squeeze", "logits", "logits", (const char *[]){ unit, axes, NULL });
    }
    const char *flat = "Logits/Flatten";
    if (!put(b, "Flatten", flat, flat, (const char *[]){ pooled, NULL }))
        return false;
    struct i3d_node *node = put(b, "Gemm", unit, "logits",
                                (const char *[]){ flat, weight, bias, NULL });
    return node && i3d_set_int(b->model, node, "transB", 1);
}

static bool declare(struct builder *b, int64_t channels, int64_t classes)
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
    b->model->name = "inception_v1";
    b->model->producer = "i3dconv";
    b->model->ir_version = 7; /* the IR that came with opset 13 */
    return i3d_set_opset(b->model, "", 13);
}

enum i3d_status i3d_inception_build(const struct i3d_inception_variant *variant,
                                    const struct i3d_architecture_options *options,
                                    struct i3d_model **model, struct i3d_error *error)
{
    int64_t classes = options->classes ? options->classes : 1000;
    int64_t channels = options->channels ? options->channels : 3;
    struct builder b = { .model = i3d_model_new(), .variant = variant, .gamma = options->gamma,
                         .epsilon = options->epsilon ? options->epsilon : 0.001 };
    *model = b.model;
    if (!b.model)
        return i3d_fail_memory(error);
    bool good = declare(&b, channels, classes);
    const char *value = good ? stem(&b, "input", channels) : NULL;
    int64_t features = i3d_inception_channels[I3D_STEM_UNITS - 1];
    for (int i = 0; i < I3D_BLOCKS; i++) {
        int pool = i3d_inception_pool_before(i);
        if (pool >= 0)
            value = max_pool(&b, i3d_inception_pools[pool], value,
                             pool == 3 ? variant->last_pool : 3, 2);
        value = block(&b, i, value, &features);
    }
    if (value && head(&b, value, features, classes))
        return I3D_OK;
    i3d_model_free(b.model);
    *model = NULL;
    return i3d_fail_memory(error);
}
