#include "zoo/inception_v1.h"

#include "zoo/builder.h"

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

const char *const i3d_inception_pools[I3D_POOLS] = {
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

/* The variant's graph under construction. */
struct inception {
    struct i3d_builder to;
    const struct i3d_inception_variant *variant;
};

static enum i3d_padding padding(const struct inception *b)
{
    return b->variant->same_padding ? I3D_PADS_SAME : I3D_PADS_HALF;
}

/* Conv, BatchNormalization where the variant has it, Relu. */
static const char *convolution(struct inception *b, int number, const char *input,
                               int64_t in_channels, int64_t kernel, int64_t stride)
{
    const char *unit = i3d_inception_units[number];
    int64_t channels = i3d_inception_channels[number];
    if (b->variant->batch_norm) {
        const char *value = i3d_build_normed_conv(&b->to, unit, input, in_channels, channels,
                                                  kernel, stride, padding(b));
        return i3d_build_relu(&b->to, unit, value);
    }
    const int64_t dims[] = { channels, in_channels, kernel, kernel };
    const char *weight = input ? i3d_build_parameter(&b->to, unit, "weight", 4, dims) : NULL;
    const char *bias = weight ? i3d_build_vector(&b->to, unit, "bias", channels) : NULL;
    if (!bias)
        return NULL;
    struct i3d_node *node = i3d_build_node(&b->to, "Conv", unit, unit,
                                           (const char *[]){ input, weight, bias, NULL });
    return i3d_build_window(&b->to, node, kernel, stride, padding(b))
        ? i3d_build_relu(&b->to, unit, unit) : NULL;
}

static const char *max_pool(struct inception *b, const char *name, const char *input,
                            int64_t kernel, int64_t stride)
{
    /* Pools of stride 2 reach over the end instead of being padded in front. */
    bool same = b->variant->same_padding, steps = stride > 1;
    return i3d_build_max_pool(&b->to, name, input, kernel, stride,
                              same                      ? I3D_PADS_SAME
                                  : !steps              ? I3D_PADS_HALF
                                  : b->variant->ceil_mode ? I3D_PADS_PARTIAL
                                                          : I3D_PADS_NONE);
}

/* Across 5 channels (Krizhevsky et al. 2012), as GoogLeNet's prototxt has it. */
static const char *lrn(struct inception *b, const char *name, const char *input)
{
    if (!b->variant->lrn || !input)
        return input;
    struct i3d_model *model = b->to.model;
    struct i3d_node *node = i3d_build_node(&b->to, "LRN", name, name,
                                           (const char *[]){ input, NULL });
    bool good = node && i3d_set_int(model, node, "size", 5)
        && i3d_set_float(model, node, "alpha", 1e-4f)
        && i3d_set_float(model, node, "beta", 0.75f);
    return good ? name : NULL;
}

static const char *block(struct inception *b, int number, const char *input, int64_t *channels)
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
    const char *output = i3d_build_join(&b->to, i3d_inception_blocks[number], "Concat");
    struct i3d_node *node = i3d_build_node(&b->to, "Concat", output, output, branches);
    return node && i3d_set_int(b->to.model, node, "axis", 1) ? output : NULL;
}

static const char *stem(struct inception *b, const char *input, int64_t channels)
{
    const char *value = convolution(b, 0, input, channels, 7, 2);
    value = lrn(b, "LRN_2a", max_pool(b, i3d_inception_pools[0], value, 3, 2));
    value = convolution(b, 1, value, i3d_inception_channels[0], 1, 1);
    return lrn(b, "LRN_2c", convolution(b, 2, value, i3d_inception_channels[1], 3, 1));
}

static const char *head_pool(struct inception *b, const char *input)
{
    static const int64_t kernel[] = { 7, 7 }, strides[] = { 1, 1 }, pads[] = { 0, 0, 1, 1 };
    const char *name = "Logits/AvgPool_0a_7x7";
    bool global = b->variant->head == I3D_HEAD_GLOBAL_POOL;
    struct i3d_node *node = i3d_build_node(&b->to, global ? "GlobalAveragePool" : "AveragePool", name, name,
                                (const char *[]){ input, NULL });
    if (!node || global)
        return node ? name : NULL;
    bool good = i3d_set_ints(b->to.model, node, "kernel_shape", kernel, 2)
        && i3d_set_ints(b->to.model, node, "strides", strides, 2)
        && (b->variant->head == I3D_HEAD_PADDED_POOL
                ? i3d_set_ints(b->to.model, node, "pads", pads, 4)
                : i3d_set_string(b->to.model, node, "auto_pad", "VALID"));
    return good ? name : NULL;
}

/* The classifier: a 1×1 convolution in TF-Slim, a matrix elsewhere. */
static bool head(struct inception *b, const char *input, int64_t channels, int64_t classes)
{
    const char *unit = i3d_inception_units[I3D_LOGITS], *axes = "Logits/SpatialSqueeze/axes";
    const int64_t dims[] = { classes, channels, 1, 1 };
    const char *pooled = input ? head_pool(b, input) : NULL;
    if (!pooled || b->variant->head != I3D_HEAD_CONV)
        return pooled && i3d_build_classifier(&b->to, unit, pooled, channels, classes);
    const char *weight = i3d_build_parameter(&b->to, unit, "weight", 4, dims);
    const char *bias = weight ? i3d_build_vector(&b->to, unit, "bias", classes) : NULL;
    if (!bias)
        return false;
    struct i3d_node *node = i3d_build_node(&b->to, "Conv", unit, unit,
                                           (const char *[]){ pooled, weight, bias, NULL });
    return i3d_build_window(&b->to, node, 1, 1, padding(b))
        && !i3d_model_put_ints(b->to.model, axes, 1, (int64_t[]){ 2 }, (int64_t[]){ 2, 3 }, NULL)
        && i3d_build_node(&b->to, "Squeeze", "logits", "logits",
                          (const char *[]){ unit, axes, NULL });
}

enum i3d_status i3d_inception_build(const struct i3d_architecture *architecture,
                                    const struct i3d_architecture_options *options,
                                    struct i3d_model **model, struct i3d_error *error)
{
    int64_t classes = options->classes ? options->classes : 1000;
    int64_t channels = options->channels ? options->channels : 3;
    const struct i3d_inception_variant *variant = architecture->table;
    struct inception b = {
        .to = { .model = i3d_model_new(), .gamma = options->gamma,
                .epsilon = options->epsilon ? options->epsilon : 0.001 },
        .variant = variant,
    };
    *model = b.to.model;
    if (!b.to.model)
        return i3d_fail_memory(error);
    bool good = i3d_build_declare(&b.to, "inception_v1", channels, classes);
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
    i3d_model_free(b.to.model);
    *model = NULL;
    return i3d_fail_memory(error);
}
