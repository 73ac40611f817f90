#include "converters/inflate.h"

#include <stdio.h>

/* The rules of --set, which go ahead of the recipe's own. */
static bool note_sets(struct i3d_model *to, const struct i3d_recipe *recipe)
{
    const char *sets = NULL;
    for (size_t i = 0; i < recipe->rule_count; i++) {
        const struct i3d_rule *rule = &recipe->rules[i];
        if (!rule->is_set)
            continue;
        sets = sets ? i3d_arena_printf(to->arena, "%s %s", sets, rule->text)
                    : i3d_arena_string(to->arena, rule->text);
        if (!sets)
            return false;
    }
    return !sets || i3d_set_metadata(to, "i3dconv.set", sets);
}

bool i3d_note_inflation(struct i3d_model *to, const struct i3d_recipe *recipe,
                        const struct i3d_inflate_options *options)
{
    char padding[32] = "zero";
    if (options->temporal_padding == I3D_PAD_EDGE)
        snprintf(padding, sizeof padding, "edge %lld", (long long)options->frames);
    bool good = i3d_set_metadata(to, "i3dconv.recipe", recipe->name)
        && i3d_set_metadata(to, "i3dconv.stream", options->stream == I3D_FLOW ? "flow" : "rgb")
        && i3d_set_metadata(to, "i3dconv.temporal_padding", padding);
    if (options->in_channels) {
        char channels[24];
        snprintf(channels, sizeof channels, "%lld", (long long)options->in_channels);
        good &= i3d_set_metadata(to, "i3dconv.in_channels", channels);
    }
    if (options->init == I3D_INIT_CENTER)
        good &= i3d_set_metadata(to, "i3dconv.init", "center");
    if (options->channel_init != I3D_CHANNELS_SCALED_MEAN)
        good &= i3d_set_metadata(to, "i3dconv.channel_init",
                                 options->channel_init == I3D_CHANNELS_MEAN ? "mean" : "cycle");
    return good && i3d_set_metadata(to, "i3dconv.version", PACKAGE_VERSION)
        && note_sets(to, recipe);
}
