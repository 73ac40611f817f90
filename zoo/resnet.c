#include "zoo/resnet.h"

#include "zoo/builder.h"

#include <pthread.h>
#include <stdio.h>

/* Table 1 of the paper. */
const struct i3d_resnet_depth i3d_resnet_depths[] = {
    { "resnet18", false, { 2, 2, 2, 2 }, false },
    { "resnet34", false, { 3, 4, 6, 3 }, false },
    { "resnet50", true, { 3, 4, 6, 3 }, false },
    { "resnet101", true, { 3, 4, 23, 3 }, false },
    { "resnet152", true, { 3, 8, 36, 3 }, false },
    { "resnet50_keras", true, { 3, 4, 6, 3 }, true },
    { 0 },
};

enum { MOST_BLOCKS = 36 };

int i3d_resnet_convs(const struct i3d_resnet_depth *depth)
{
    return depth->bottleneck ? 3 : 2;
}

bool i3d_resnet_projects(const struct i3d_resnet_depth *depth, int stage, int block)
{
    return block == 0 && (stage > 0 || depth->bottleneck);
}

static char names[I3D_RESNET_STAGES][MOST_BLOCKS][I3D_RESNET_PARTS][40];

static void write_names(void)
{
    static const char *const parts[I3D_RESNET_PARTS] = { "conv1", "conv2", "conv3", "downsample" };
    for (int stage = 0; stage < I3D_RESNET_STAGES; stage++)
        for (int block = 0; block < MOST_BLOCKS; block++)
            for (int part = 0; part < I3D_RESNET_PARTS; part++)
                snprintf(names[stage][block][part], sizeof names[stage][block][part],
                         "layer%d.%d.%s", stage + 1, block, parts[part]);
}

const char *i3d_resnet_unit(int stage, int block, int part)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, write_names);
    return names[stage][block][part];
}

static const char *convolution(struct i3d_builder *b, const struct i3d_resnet_depth *depth,
                               const char *unit, const char *input, int64_t in_channels,
                               int64_t channels, int64_t kernel, int64_t stride)
{
    return i3d_build_conv(b, unit, input,
                          &(struct i3d_conv){ .in_channels = in_channels, .channels = channels,
                                              .kernel = kernel, .stride = stride,
                                              .padding = I3D_PADS_HALF, .norm = true,
                                              .bias = depth->is_keras });
}

/* The convolutions of a block; all but the last have a Relu. */
static const char *long_way(struct i3d_builder *b, const struct i3d_resnet_depth *depth, int stage,
                            int block, const char *input, int64_t in_channels)
{
    int64_t narrow = (int64_t)64 << stage, stride = stage && !block ? 2 : 1;
    int convs = i3d_resnet_convs(depth);
    const char *value = input;
    for (int i = 0; i < convs; i++) {
        const char *unit = i3d_resnet_unit(stage, block, i);
        bool widens = depth->bottleneck && i == convs - 1;
        bool is_3x3 = !depth->bottleneck || i == 1;
        bool steps = i == (depth->bottleneck && !depth->is_keras);
        int64_t channels = widens ? 4 * narrow : narrow;
        value = convolution(b, depth, unit, value, in_channels, channels, is_3x3 ? 3 : 1,
                            steps ? stride : 1);
        if (i < convs - 1)
            value = i3d_build_relu(b, unit, value);
        in_channels = channels;
    }
    return value;
}

static const char *residual_block(struct i3d_builder *b, const struct i3d_resnet_depth *depth,
                                  int stage, int block, const char *input, int64_t *channels)
{
    int64_t made = ((int64_t)64 << stage) * (depth->bottleneck ? 4 : 1);
    const char *value = long_way(b, depth, stage, block, input, *channels), *shortcut = input;
    if (i3d_resnet_projects(depth, stage, block))
        shortcut = convolution(b, depth, i3d_resnet_unit(stage, block, 3), input, *channels, made,
                               1, stage ? 2 : 1);
    if (!value || !shortcut)
        return NULL;
    const char *sum = i3d_arena_printf(b->model->arena, "layer%d.%d/Add", stage + 1, block);
    *channels = made;
    if (!i3d_build_node(b, "Add", sum, sum, (const char *[]){ value, shortcut, NULL }))
        return NULL;
    return i3d_build_relu(b, i3d_arena_printf(b->model->arena, "layer%d.%d", stage + 1, block),
                          sum);
}

enum i3d_status i3d_resnet_build(const struct i3d_architecture *architecture,
                                 const struct i3d_architecture_options *options,
                                 struct i3d_model **model, struct i3d_error *error)
{
    const struct i3d_resnet_depth *depth = architecture->table;
    int64_t classes = options->classes ? options->classes : 1000;
    int64_t channels = options->channels ? options->channels : 3;
    struct i3d_builder b = { .model = i3d_model_new(), .gamma = options->gamma,
                             .epsilon = options->epsilon ? options->epsilon : 1e-5 };
    *model = b.model;
    if (!b.model)
        return i3d_fail_memory(error);
    const char *value = i3d_build_declare(&b, depth->name, channels, classes) ? "input" : NULL;
    value = convolution(&b, depth, "conv1", value, channels, 64, 7, 2);
    value = i3d_build_max_pool(&b, "maxpool", i3d_build_relu(&b, "conv1", value), 3, 2,
                               I3D_PADS_HALF);
    channels = 64;
    for (int stage = 0; stage < I3D_RESNET_STAGES; stage++)
        for (int block = 0; block < depth->blocks[stage]; block++)
            value = residual_block(&b, depth, stage, block, value, &channels);
    bool good = value
        && i3d_build_node(&b, "GlobalAveragePool", "avgpool", "avgpool",
                          (const char *[]){ value, NULL })
        && i3d_build_classifier(&b, "fc", "avgpool", channels, classes);
    if (good)
        return I3D_OK;
    i3d_model_free(b.model);
    *model = NULL;
    return i3d_fail_memory(error);
}
