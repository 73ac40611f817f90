#include "zoo/builder.h"
#include "zoo/families.h"

enum { BLOCKS = 4, STEM = 64 };

/* BatchNorm, Relu, Conv. */
static const char *pre_activated(struct i3d_builder *b, const char *norm, const char *unit,
                                 const char *value, const struct i3d_conv *conv)
{
    if (!norm || !unit)
        return NULL;
    value = i3d_build_batch_norm(b, norm, value, conv->in_channels);
    return i3d_build_conv(b, unit, i3d_build_relu(b, norm, value), conv);
}

/* A bottleneck to 4 × growth channels, then growth more for the layers behind it. */
static const char *dense_layer(struct i3d_builder *b, const char *name, const char *value,
                               int64_t channels, int64_t growth)
{
    struct i3d_arena *arena = b->model->arena;
    const struct i3d_conv narrow = { .in_channels = channels, .channels = 4 * growth, .kernel = 1,
                                     .stride = 1, .norm = true };
    const struct i3d_conv wide = { .in_channels = 4 * growth, .channels = growth, .kernel = 3,
                                   .stride = 1, .padding = I3D_PADS_HALF };
    const char *first = i3d_arena_printf(arena, "%s.conv1", name);
    const char *second = i3d_arena_printf(arena, "%s.conv2", name);
    const char *made = pre_activated(b, i3d_arena_printf(arena, "%s.norm1", name), first, value,
                                     &narrow);
    if (!made || !second)
        return NULL;
    made = i3d_build_conv(b, second, i3d_build_relu(b, first, made), &wide);
    return i3d_build_join_values(b, "Concat", i3d_build_join(b, name, "Concat"), value, made);
}

static const char *transition(struct i3d_builder *b, int block, const char *value,
                              int64_t channels)
{
    struct i3d_arena *arena = b->model->arena;
    const struct i3d_conv conv = { .in_channels = channels, .channels = channels / 2, .kernel = 1,
                                   .stride = 1 };
    value = pre_activated(b, i3d_arena_printf(arena, "features.transition%d.norm", block),
                          i3d_arena_printf(arena, "features.transition%d.conv", block), value,
                          &conv);
    const char *pool = i3d_arena_printf(arena, "features.transition%d.pool", block);
    return pool ? i3d_build_average_pool(b, pool, value, 2) : NULL;
}

enum i3d_status i3d_densenet_build(const struct i3d_architecture *architecture,
                                   const struct i3d_architecture_options *options,
                                   struct i3d_model **model, struct i3d_error *error)
{
    const struct i3d_densenet *net = architecture->table;
    struct i3d_builder b;
    struct i3d_architecture_options filled;
    const char *value = i3d_build_begin(&b, architecture->name, 1e-5, options, &filled);
    const char *unit = "features.conv0";
    value = i3d_build_normed_conv(&b, unit, value, filled.channels, STEM, 7, 2, I3D_PADS_HALF);
    value = i3d_build_max_pool(&b, "features.pool0", i3d_build_relu(&b, unit, value), 3, 2,
                               I3D_PADS_HALF);
    int64_t channels = STEM;
    for (int block = 1; block <= BLOCKS && value; block++) {
        for (int layer = 1; layer <= net->layers[block - 1] && value; layer++) {
            const char *name = i3d_arena_printf(b.model->arena, "features.denseblock%d.denselayer%d",
                                                block, layer);
            value = name ? dense_layer(&b, name, value, channels, net->growth) : NULL;
            channels += net->growth;
        }
        if (block == BLOCKS || !value)
            break;
        value = transition(&b, block, value, channels);
        channels /= 2;
    }
    if (value)
        value = i3d_build_batch_norm(&b, "features.norm5", value, channels);
    value = i3d_build_average_pool(&b, "avgpool", i3d_build_relu(&b, "features.norm5", value), 0);
    bool good = value && i3d_build_classifier(&b, "classifier", value, channels, filled.classes);
    return i3d_build_end(&b, good, model, error);
}
