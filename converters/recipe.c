#include "converters/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum i3d_status i3d_recipe_builtin(const char *name, struct i3d_recipe **recipe,
                                   struct i3d_error *error)
{
    *recipe = NULL;
    char names[256] = "";
    for (const struct i3d_recipe_text *text = i3d_recipe_texts; text->name; text++) {
        if (!strcmp(text->name, name))
            return i3d_recipe_parse(name, text->text, strlen(text->text), recipe, error);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", text->name);
    }
    return i3d_fail(error, I3D_USAGE, "there is no recipe %s; the recipes are %s", name, names);
}

void i3d_recipe_free(struct i3d_recipe *recipe)
{
    if (!recipe)
        return;
    i3d_arena_free(recipe->arena);
    free(recipe->rules);
    free(recipe);
}

static bool in_range(const struct i3d_range *range, int64_t number, int64_t count)
{
    if (!range->low)
        return true;
    if (!number)
        return false;
    if (range->low < 0)
        number -= count + 1;
    return number >= range->low && number <= range->high;
}

static bool names_match(const char *pattern, const struct i3d_layer *layer)
{
    if (!pattern)
        return true;
    for (int i = 0; i < I3D_LAYER_NAMES && layer->names[i]; i++)
        if (i3d_pattern_matches(pattern, layer->names[i]))
            return true;
    return false;
}

bool i3d_rule_matches(const struct i3d_rule *rule, const struct i3d_layer *layer)
{
    const struct i3d_condition *when = &rule->when;
    /* A pool may stand behind any node; every other rule is about windows. */
    if (!rule->insert && !layer->position)
        return false;
    if (rule->insert && when->stage_end.low && !layer->ends_stage)
        return false;
    if (when->op_type && strcmp(when->op_type, layer->op_type))
        return false;
    for (int k = 0; k < 2; k++)
        if (when->kernel[k] && when->kernel[k] != layer->kernel[k])
            return false;
    if (when->parity != I3D_ANY_BLOCK
        && (!layer->block || (layer->block % 2 == 1) != (when->parity == I3D_ODD_BLOCK)))
        return false;
    return in_range(&when->position, layer->position, layer->count)
        && in_range(&when->stage, layer->stage, 0) && in_range(&when->block, layer->block, 0)
        && in_range(&when->place, layer->place, 0) && in_range(&when->convs, layer->convs, 0)
        && in_range(&when->stage_end, layer->ends_stage, 0) && names_match(when->pattern, layer);
}

static bool take(int64_t given, int64_t *setting)
{
    if (*setting != I3D_NOT_GIVEN || given == I3D_NOT_GIVEN)
        return false;
    *setting = given;
    return true;
}

struct i3d_temporal i3d_recipe_window(const struct i3d_recipe *recipe,
                                      const struct i3d_layer *layer,
                                      const struct i3d_temporal *isotropic, enum i3d_init init)
{
    struct i3d_settings got = { I3D_NOT_GIVEN, I3D_NOT_GIVEN, I3D_NOT_GIVEN,
                                I3D_NOT_GIVEN, I3D_NOT_GIVEN, I3D_NOT_GIVEN };
    for (size_t i = 0; i < recipe->rule_count; i++) {
        const struct i3d_rule *rule = &recipe->rules[i];
        if (rule->insert || !i3d_rule_matches(rule, layer))
            continue;
        take(rule->give.kernel, &got.kernel);
        take(rule->give.stride, &got.stride);
        take(rule->give.dilation, &got.dilation);
        take(rule->give.pad_begin, &got.pad_begin);
        take(rule->give.pad_end, &got.pad_end);
        if (got.init == I3D_NOT_GIVEN)
            got.init = rule->give.init;
    }
    struct i3d_temporal window = *isotropic;
    if (got.kernel > 0)
        window.kernel = got.kernel;
    if (got.stride > 0)
        window.stride = got.stride;
    if (got.dilation > 0)
        window.dilation = got.dilation;
    window.init = got.init == I3D_NOT_GIVEN ? init : (enum i3d_init)got.init;
    bool as_in_space = window.kernel == isotropic->kernel
        && window.dilation == isotropic->dilation;
    if (got.pad_begin >= 0) {
        window.pad_begin = got.pad_begin;
        window.pad_end = got.pad_end;
        window.own_pads = true;
    } else if (got.pad_begin == I3D_HALF || (got.pad_begin == I3D_NOT_GIVEN && !as_in_space)) {
        /* The spatial pads belong to another kernel size. */
        int64_t total = (window.kernel - 1) * window.dilation;
        window.pad_begin = total / 2;
        window.pad_end = total - total / 2;
        window.own_pads = got.pad_begin == I3D_HALF;
    }
    return window;
}

const struct i3d_rule *i3d_recipe_insertion(const struct i3d_recipe *recipe,
                                            const struct i3d_layer *layer)
{
    for (size_t i = 0; i < recipe->rule_count; i++)
        if (recipe->rules[i].insert && i3d_rule_matches(&recipe->rules[i], layer))
            return &recipe->rules[i];
    return NULL;
}

/* A --set that names a layer, but asks for another size in space than it has. */
static enum i3d_status refuse_set(const struct i3d_rule *rule, const struct i3d_layer *layers,
                                  size_t count, struct i3d_error *error)
{
    struct i3d_rule any_size = *rule;
    any_size.when.kernel[0] = any_size.when.kernel[1] = 0;
    for (size_t i = 0; i < count; i++)
        if (i3d_rule_matches(&any_size, &layers[i]))
            return i3d_fail(error, I3D_USAGE, "--set %.100s: the window is %lldx%lld in space, "
                            "which inflation does not change", rule->text,
                            (long long)layers[i].kernel[0], (long long)layers[i].kernel[1]);
    return i3d_fail(error, I3D_USAGE, "--set %.100s: no layer has such a name", rule->text);
}

enum i3d_status i3d_recipe_fits(const struct i3d_recipe *recipe, const struct i3d_layer *layers,
                                size_t count, struct i3d_error *error)
{
    int stages = 0;
    for (size_t i = 0; i < count; i++)
        stages = layers[i].stage > stages ? layers[i].stage : stages;
    if (recipe->stages && stages != recipe->stages) {
        i3d_fail(error, I3D_UNSUPPORTED, "the recipe %s is for networks with %d residual stages; "
                 "this one has %d", recipe->name, recipe->stages, stages);
        return i3d_error_hint(error, "--recipe isotropic inflates networks of any form");
    }
    for (size_t i = 0; i < recipe->rule_count; i++) {
        const struct i3d_rule *rule = &recipe->rules[i];
        bool found = !rule->is_set;
        for (size_t k = 0; k < count && !found; k++)
            found = i3d_rule_matches(rule, &layers[k]);
        if (!found)
            return refuse_set(rule, layers, count, error);
    }
    return I3D_OK;
}
