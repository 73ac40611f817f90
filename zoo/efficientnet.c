#include "zoo/builder.h"
#include "zoo/families.h"

/* Runs of inverted residuals: how much a block widens inside, its output channels, how
 * many there are, the first one's stride, the depthwise kernel. */
static const struct {
    int64_t widening, channels;
    int count;
    int64_t stride, kernel;
} runs[] = {
    { 1, 16, 1, 1, 3 },  { 6, 24, 2, 2, 3 },  { 6, 40, 2, 2, 5 },  { 6, 80, 3, 2, 3 },
    { 6, 112, 3, 1, 5 }, { 6, 192, 4, 2, 5 }, { 6, 320, 1, 1, 3 },
};
enum { STEM = 32, LAST = 1280 };

static const char *conv_relu6(struct i3d_builder *b, const char *unit, const char *input,
                              const struct i3d_conv *conv)
{
    return i3d_build_relu6(b, unit, i3d_build_conv(b, unit, input, conv));
}

static const char *part_of(struct i3d_builder *b, int block, const char *part)
{
    return i3d_arena_printf(b->model->arena, "_blocks.%d.%s", block, part);
}

static const char *inverted_residual(struct i3d_builder *b, int block, const char *value,
                                     int64_t channels, int64_t widening,
                                     const struct i3d_conv *made)
{
    int64_t inside = channels * widening;
    const struct i3d_conv widen = { .in_channels = channels, .channels = inside, .kernel = 1,
                                    .stride = 1, .norm = true };
    const struct i3d_conv depthwise = { .in_channels = inside, .channels = inside,
                                        .kernel = made->kernel, .stride = made->stride,
                                        .padding = I3D_PADS_SAME, .depthwise = true,
                                        .norm = true };
    const struct i3d_conv narrow = { .in_channels = inside, .channels = made->channels,
                                     .kernel = 1, .stride = 1, .norm = true };
    const char *input = value;
    if (widening != 1)
        value = conv_relu6(b, part_of(b, block, "_expand_conv"), value, &widen);
    value = conv_relu6(b, part_of(b, block, "_depthwise_conv"), value, &depthwise);
    value = i3d_build_conv(b, part_of(b, block, "_project_conv"), value, &narrow);
    if (made->stride != 1 || channels != made->channels)
        return value;
    return i3d_build_join_values(b, "Add", part_of(b, block, "Add"), input, value);
}

enum i3d_status i3d_efficientnet_lite0_build(const struct i3d_architecture *architecture,
                                             const struct i3d_architecture_options *options,
                                             struct i3d_model **model, struct i3d_error *error)
{
    struct i3d_builder b;
    struct i3d_architecture_options filled;
    const char *value = i3d_build_begin(&b, architecture->name, 1e-3, options, &filled);
    struct i3d_conv conv = { .in_channels = filled.channels, .channels = STEM, .kernel = 3,
                             .stride = 2, .padding = I3D_PADS_SAME, .norm = true };
    value = value ? conv_relu6(&b, "_conv_stem", value, &conv) : NULL;
    int64_t channels = STEM;
    int block = 0;
    for (size_t run = 0; run < sizeof runs / sizeof *runs; run++) {
        for (int i = 0; i < runs[run].count && value; i++) {
            conv.channels = runs[run].channels;
            conv.kernel = runs[run].kernel;
            conv.stride = i ? 1 : runs[run].stride;
            value = inverted_residual(&b, block++, value, channels, runs[run].widening, &conv);
            channels = runs[run].channels;
        }
    }
    conv = (struct i3d_conv){ .in_channels = channels, .channels = LAST, .kernel = 1, .stride = 1,
                              .norm = true };
    value = value ? conv_relu6(&b, "_conv_head", value, &conv) : NULL;
    value = i3d_build_average_pool(&b, "_avg_pooling", value, 0);
    bool good = value && i3d_build_classifier(&b, "_fc", value, LAST, filled.classes);
    return i3d_build_end(&b, good, model, error);
}
