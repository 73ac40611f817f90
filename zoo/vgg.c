#include "zoo/builder.h"
#include "zoo/families.h"

enum { STAGES = 5, MAP = 7, HIDDEN = 4096 };

/* The convolutions' places in torchvision's Sequential count what stands between them. */
static const char *features(struct i3d_builder *b, const struct i3d_vgg *vgg, const char *value,
                            int64_t channels)
{
    static const int64_t made[STAGES] = { 64, 128, 256, 512, 512 };
    int place = 0;
    for (int stage = 0; stage < STAGES; stage++) {
        struct i3d_conv conv = { .in_channels = channels, .channels = made[stage], .kernel = 3,
                                 .stride = 1, .padding = I3D_PADS_HALF, .bias = true,
                                 .norm = vgg->norm };
        for (int i = 0; i < vgg->convs[stage]; i++) {
            const char *unit = i3d_arena_printf(b->model->arena, "features.%d", place);
            value = i3d_build_relu(b, unit, i3d_build_conv(b, unit, value, &conv));
            place += vgg->norm ? 3 : 2;
            conv.in_channels = channels = made[stage];
        }
        const char *pool = i3d_arena_printf(b->model->arena, "features.%d", place++);
        value = pool ? i3d_build_max_pool(b, pool, value, 2, 2, I3D_PADS_NONE) : NULL;
    }
    return value;
}

enum i3d_status i3d_vgg_build(const struct i3d_architecture *architecture,
                              const struct i3d_architecture_options *options,
                              struct i3d_model **model, struct i3d_error *error)
{
    struct i3d_builder b;
    struct i3d_architecture_options filled;
    const char *value = i3d_build_begin(&b, architecture->name, 1e-5, options, &filled);
    value = value ? features(&b, architecture->table, value, filled.channels) : NULL;
    value = i3d_build_flatten(&b, value, "flatten");
    value = i3d_build_matrix(&b, "classifier.0", value, 512 * MAP * MAP, HIDDEN, NULL);
    value = i3d_build_relu(&b, "classifier.0", value);
    value = i3d_build_matrix(&b, "classifier.3", value, HIDDEN, HIDDEN, NULL);
    value = i3d_build_relu(&b, "classifier.3", value);
    value = i3d_build_matrix(&b, "classifier.6", value, HIDDEN, filled.classes, "logits");
    return i3d_build_end(&b, value, model, error);
}
