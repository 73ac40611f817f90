#include "zoo/builder.h"
#include "zoo/families.h"

/* Runs of inverted residuals: how much a block widens inside, its output channels, how
 * many there are, the first one's stride. */
static const struct {
    int64_t widening, channels;
    int count;
    int64_t stride;
} runs[] = {
    { 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 },  { 6, 64, 4, 2 },
    { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 },
};
enum { STEM = 32, LAST = 1280 };

static const char *conv_relu6(struct i3d_builder *b, const char *unit, const char *input,
                              const struct i3d_conv *conv)
{
    return i3d_build_relu6(b, unit, i3d_build_conv(b, unit, input, conv));
}

/* torchvision counts a block's parts: 0 widens if it is there, then comes the depthwise
 * convolution, then the one that narrows. */
static const char *inverted_residual(struct i3d_builder *b, const char *block, const char *value,
                                     int64_t channels, int64_t widening,
                                     const struct i3d_conv *made)
{
    struct i3d_arena *arena = b->model->arena;
    int64_t inside = channels * widening;
    const struct i3d_conv widen = { .in_channels = channels, .channels = inside, .kernel = 1,
                                    .stride = 1, .norm = true };
    const struct i3d_conv depthwise = { .in_channels = inside, .channels = inside, .kernel = 3,
                                        .stride = made->stride, .padding = made->padding,
                                        .depthwise = true, .norm = true };
    const struct i3d_conv narrow = { .in_channels = inside, .channels = made->channels,
                                     .kernel = 1, .stride = 1, .norm = true };
    const char *input = value;
    int part = 0;
    if (widening != 1)
        value = conv_relu6(b, i3d_arena_printf(arena, "%s.conv.%d.0", block, part++), value,
                           &widen);
    value = conv_relu6(b, i3d_arena_printf(arena, "%s.conv.%d.0", block, part++), value,
                       &depthwise);
    value = i3d_build_conv(b, i3d_arena_printf(arena, "%s.conv.%d", block, part), value, &narrow);
    if (made->stride != 1 || channels != made->channels)
        return value;
    return i3d_build_join_values(b, "Add", i3d_build_join(b, block, "Add"), input, value);
}

enum i3d_status i3d_mobilenet_v2_build(const struct i3d_architecture *architecture,
                                       const struct i3d_architecture_options *options,
                                       struct i3d_model **model, struct i3d_error *error)
{
    const struct i3d_mobilenet_v2 *variant = architecture->table;
    enum i3d_padding padding = variant->same_padding ? I3D_PADS_SAME : I3D_PADS_HALF;
    struct i3d_builder b;
    struct i3d_architecture_options filled;
    const char *value = i3d_build_begin(&b, architecture->name,
                                        variant->same_padding ? 1e-3 : 1e-5, options, &filled);
    struct i3d_conv conv = { .in_channels = filled.channels, .channels = STEM, .kernel = 3,
                             .stride = 2, .padding = padding, .norm = true };
    value = value ? conv_relu6(&b, "features.0.0", value, &conv) : NULL;
    int64_t channels = STEM;
    int place = 1;
    for (size_t run = 0; run < sizeof runs / sizeof *runs; run++) {
        for (int i = 0; i < runs[run].count && value; i++) {
            const char *block = i3d_arena_printf(b.model->arena, "features.%d", place++);
            conv.channels = runs[run].channels;
            conv.stride = i ? 1 : runs[run].stride;
            value = block ? inverted_residual(&b, block, value, channels, runs[run].widening,
                                              &conv) : NULL;
            channels = runs[run].channels;
        }
    }
    conv = (struct i3d_conv){ .in_channels = channels, .channels = LAST, .kernel = 1, .stride = 1,
                              .norm = true };
    value = value ? conv_relu6(&b, "features.18.0", value, &conv) : NULL;
    value = i3d_build_average_pool(&b, "avgpool", value, 0);
    bool good = value && i3d_build_classifier(&b, "classifier.1", value, LAST, filled.classes);
    return i3d_build_end(&b, good, model, error);
}
