#include "zoo/builder.h"
#include "zoo/families.h"

/* Fire modules as torchvision's squeezenet1_1 has them; a max pool stands ahead of some. */
static const struct {
    int place; /* in the Sequential */
    bool pooled;
    int64_t squeeze, expand; /* channels; expand of each of the two kernels */
} fires[] = {
    { 3, true, 16, 64 },  { 4, false, 16, 64 },  { 6, true, 32, 128 },   { 7, false, 32, 128 },
    { 9, true, 48, 192 }, { 10, false, 48, 192 }, { 11, false, 64, 256 }, { 12, false, 64, 256 },
};

static const char *conv_relu(struct i3d_builder *b, const char *unit, const char *input,
                             int64_t in_channels, int64_t channels, int64_t kernel)
{
    const struct i3d_conv conv = { .in_channels = in_channels, .channels = channels,
                                   .kernel = kernel, .stride = 1, .padding = I3D_PADS_HALF,
                                   .bias = true };
    return i3d_build_relu(b, unit, i3d_build_conv(b, unit, input, &conv));
}

static const char *fire(struct i3d_builder *b, size_t number, const char *value, int64_t channels)
{
    struct i3d_arena *arena = b->model->arena;
    const char *module = i3d_arena_printf(arena, "features.%d", fires[number].place);
    const char *squeeze = i3d_arena_printf(arena, "%s.squeeze", module ? module : "");
    const char *narrow = i3d_arena_printf(arena, "%s.expand1x1", module ? module : "");
    const char *wide = i3d_arena_printf(arena, "%s.expand3x3", module ? module : "");
    if (!module || !squeeze || !narrow || !wide)
        return NULL;
    value = conv_relu(b, squeeze, value, channels, fires[number].squeeze, 1);
    const char *left = conv_relu(b, narrow, value, fires[number].squeeze, fires[number].expand, 1);
    const char *right = conv_relu(b, wide, value, fires[number].squeeze, fires[number].expand, 3);
    return i3d_build_join_values(b, "Concat", i3d_build_join(b, module, "Concat"), left, right);
}

enum i3d_status i3d_squeezenet_build(const struct i3d_architecture *architecture,
                                     const struct i3d_architecture_options *options,
                                     struct i3d_model **model, struct i3d_error *error)
{
    struct i3d_builder b;
    struct i3d_architecture_options filled;
    const char *value = i3d_build_begin(&b, architecture->name, 1e-5, options, &filled);
    const struct i3d_conv stem = { .in_channels = filled.channels, .channels = 64, .kernel = 3,
                                   .stride = 2, .padding = I3D_PADS_NONE, .bias = true };
    int64_t channels = stem.channels;
    if (value)
        value = i3d_build_relu(&b, "features.0", i3d_build_conv(&b, "features.0", value, &stem));
    for (size_t i = 0; value && i < sizeof fires / sizeof *fires; i++) {
        const char *pool = i3d_arena_printf(b.model->arena, "features.%d", fires[i].place - 1);
        if (fires[i].pooled)
            value = pool ? i3d_build_max_pool(&b, pool, value, 3, 2, I3D_PADS_PARTIAL) : NULL;
        value = value ? fire(&b, i, value, channels) : NULL;
        channels = 2 * fires[i].expand;
    }
    if (value)
        value = conv_relu(&b, "classifier.1", value, channels, filled.classes, 1);
    value = i3d_build_average_pool(&b, "classifier.3", value, 0);
    return i3d_build_end(&b, i3d_build_flatten(&b, value, "logits"), model, error);
}
