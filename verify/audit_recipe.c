/* Windows over time against a recipe: the 2D network is inflated once more, as the
 * recipe says, without touching a weight, and the two 3D graphs are compared node by
 * node. */
#include "verify/prover.h"

#include "converters/inflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A window over time, the Pad nodes ahead of it counted in. */
struct temporal_window {
    int64_t taps, stride, dilation, begin, end;
    bool repeats_frames; /* a Pad node repeats the first and last frame */
};

static int64_t item(const struct i3d_node *node, const char *name, size_t k, int64_t fallback)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return count > k && count >= 3 ? values[k] : fallback;
}

/* Adds what Pad nodes ahead of a value put before and behind its frames. */
static void add_pads(const struct i3d_structure *structure, const char *value,
                     struct temporal_window *window)
{
    int64_t producer = i3d_index_producer(structure->index, value);
    while (producer >= 0) {
        const struct i3d_node *node = &structure->model->nodes[producer];
        if (!i3d_is_transparent(structure, node))
            return;
        size_t count = 0;
        int known_count = 0;
        const bool *known;
        const int64_t *pads = i3d_ints(node, "pads", &count);
        if (i3d_is(node, "Pad") && !pads && node->input_count > 1) {
            pads = i3d_known_ints(structure->shapes, node->inputs[1], &known_count, &known);
            count = (size_t)known_count;
        }
        if (i3d_is(node, "Pad") && pads && count == 10) {
            window->begin += pads[2];
            window->end += pads[7];
            window->repeats_frames |= (pads[2] || pads[7]) && i3d_string_is(node, "mode", "edge");
        }
        producer = i3d_index_producer(structure->index, node->inputs[0]);
    }
}

/* False where the node has no window over time that is known. */
static bool window_of(const struct i3d_structure *structure, const struct i3d_node *node,
                      struct temporal_window *window)
{
    bool kernel = i3d_is(node, "Conv") || i3d_is(node, "ConvTranspose");
    bool pool = i3d_is(node, "MaxPool") || i3d_is(node, "AveragePool") || i3d_is(node, "LpPool");
    const struct i3d_tensor *weight =
        kernel ? i3d_structure_tensor(structure, node->inputs[1]) : NULL;
    const struct i3d_shape *shape =
        node->input_count ? i3d_shape_of(structure->shapes, node->inputs[0]) : NULL;
    size_t count;
    const int64_t *sizes = i3d_ints(node, "kernel_shape", &count);
    if (!(kernel || pool) || shape->rank != 5 || (kernel && (!weight || weight->rank != 5))
        || (pool && count != 3))
        return false;
    sizes = kernel ? weight->dims + 2 : sizes;
    *window = (struct temporal_window){ sizes[0], item(node, "strides", 0, 1),
                                        item(node, "dilations", 0, 1), item(node, "pads", 0, 0),
                                        item(node, "pads", 3, 0), false };
    struct i3d_window resolved;
    if (!i3d_is(node, "ConvTranspose")) {
        if (i3d_resolve_window(node, 3, sizes, shape->dims + 2, &resolved, NULL))
            return false;
        window->begin = resolved.pad_begin[0];
        window->end = resolved.pad_end[0] + resolved.excess[0];
    }
    add_pads(structure, node->inputs[0], window);
    return true;
}

static void compare_windows(const struct temporal_window *is, const struct temporal_window *should,
                            const char *recipe, struct i3d_layer_verdict *verdict)
{
    const struct {
        const char *what;
        int64_t is, should;
    } numbers[] = {
        { "its window over time spans %lld frames, by recipe %s %lld", is->taps, should->taps },
        { "its stride in time is %lld, by recipe %s %lld", is->stride, should->stride },
        { "its dilation in time is %lld, by recipe %s %lld", is->dilation, should->dilation },
        { "it pads time with %lld frames ahead, by recipe %s %lld", is->begin, should->begin },
        { "it pads time with %lld frames behind, by recipe %s %lld", is->end, should->end },
    };
    if (is->taps == 1 && should->taps > 1 && !strstr(verdict->operation, "Conv"))
        i3d_object(verdict, "the pool is not inflated: it spans 1 frame, by recipe %s %lld",
                   recipe, (long long)should->taps);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].is == numbers[i].should)
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        i3d_object(verdict, numbers[i].what, (long long)numbers[i].is, recipe,
                   (long long)numbers[i].should);
#pragma GCC diagnostic pop
    }
    if (is->repeats_frames != should->repeats_frames)
        i3d_object(verdict, "time is padded with %s, by recipe %s with %s",
                   is->repeats_frames ? "frames" : "zeros", recipe,
                   should->repeats_frames ? "frames" : "zeros");
}

/* Whether a kernel that has one slice only, or not, is as the recipe has it. */
static enum i3d_status compare_init(const struct i3d_prover *prover,
                                    const struct i3d_structure *expected,
                                    const struct i3d_node *flat, const struct i3d_node *should,
                                    bool center_asked, struct i3d_layer_verdict *verdict,
                                    const char *recipe, struct i3d_error *error)
{
    if (!verdict->has_weights || !verdict->audit_good || !(verdict->centered || center_asked)
        || !i3d_is_kernel(expected, should))
        return I3D_OK;
    struct i3d_layer_verdict other = { .audit_good = true };
    struct i3d_kernel_pair pair = {
        .flat_node = flat, .inflated_node = should,
        .flat = i3d_parameter(&prover->flat, flat, 1),
        .inflated = i3d_parameter(expected, should, 1),
        .reads_input = i3d_origin_of(&prover->flat, flat->inputs[0]).node < 0,
    };
    enum i3d_status status = i3d_audit_kernel(&pair, &other, error);
    if (!status && other.has_weights && other.centered != verdict->centered)
        i3d_object(verdict, "%s, by recipe %s %s",
                   verdict->centered ? "one slice holds the 2D kernel (center)"
                                     : "every slice is the 2D kernel divided (repeat)",
                   recipe, verdict->centered ? "the slices repeat" : "it is center");
    return status;
}

static enum i3d_status compare_layer(struct i3d_prover *prover, size_t i,
                                     const struct i3d_structure *expected,
                                     const struct i3d_frames *frames, const char *recipe,
                                     bool center_asked, struct i3d_error *error)
{
    const struct i3d_entry *entry = &prover->entries[i];
    struct i3d_layer_verdict *verdict = &prover->proof->layers[i];
    if (entry->node < 0)
        return I3D_OK;
    const struct i3d_node_pair *pair = &prover->pairing.nodes[entry->node];
    int64_t flat = pair->folded ? pair->flat_kernel : entry->node;
    int64_t inflated = pair->folded ? pair->inflated_kernel : pair->inflated;
    const struct i3d_node *node = &prover->flat.model->nodes[flat];
    const struct i3d_node *is = &prover->inflated.model->nodes[inflated];
    int64_t producer = i3d_index_producer(expected->index, node->outputs[0]);
    if (producer < 0)
        return I3D_OK;
    const struct i3d_node *should = &expected->model->nodes[producer];
    struct temporal_window mine, wanted;
    if (window_of(&prover->inflated, is, &mine) && window_of(expected, should, &wanted))
        compare_windows(&mine, &wanted, recipe, verdict);
    const struct i3d_frame_trace *own = i3d_frames_of(prover->frames, is->outputs[0]);
    const struct i3d_frame_trace *trace = i3d_frames_of(frames, should->outputs[0]);
    if (own && trace && own->timed && trace->timed && own->frames != trace->frames)
        i3d_object(verdict, "it has %lld frames, by recipe %s %lld", (long long)own->frames,
                   recipe, (long long)trace->frames);
    return compare_init(prover, expected, node, should, center_asked, verdict, recipe, error);
}

/* The options that the 3D file records; what it does not say is as by default. */
static void recorded_options(const struct i3d_prover *prover, struct i3d_inflate_options *options)
{
    const struct i3d_model *inflated = prover->inflated.model;
    const char *stream = i3d_metadata(inflated, "i3dconv.stream");
    const char *init = i3d_metadata(inflated, "i3dconv.init");
    const char *padding = i3d_metadata(inflated, "i3dconv.temporal_padding");
    const char *channels = i3d_metadata(inflated, "i3dconv.channel_init");
    *options = (struct i3d_inflate_options){
        .stream = stream && !strcmp(stream, "flow") ? I3D_FLOW : I3D_RGB,
        .init = init && !strcmp(init, "center") ? I3D_INIT_CENTER : I3D_INIT_REPEAT,
        .temporal_padding = padding && !strncmp(padding, "edge", 4) ? I3D_PAD_EDGE : I3D_PAD_ZERO,
        .channel_init = channels && !strcmp(channels, "cycle") ? I3D_CHANNELS_CYCLE
            : channels && !strcmp(channels, "mean") ? I3D_CHANNELS_MEAN : I3D_CHANNELS_SCALED_MEAN,
        .in_channels = prover->boring.channels,
        .frames = prover->boring.frames,
        .height = prover->boring.height,
        .width = prover->boring.width,
    };
}

/* The recipe by the name that the file records, with the rules of its --set; null where
 * it records none, or one that is not built in. */
static enum i3d_status recorded_recipe(const struct i3d_prover *prover,
                                       struct i3d_recipe **recipe, struct i3d_error *error)
{
    const char *name = i3d_metadata(prover->inflated.model, "i3dconv.recipe");
    const char *sets = i3d_metadata(prover->inflated.model, "i3dconv.set");
    *recipe = NULL;
    if (!name || i3d_recipe_builtin(name, recipe, NULL))
        return I3D_OK;
    char *copy = sets ? strdup(sets) : NULL, *rest = copy;
    enum i3d_status status = sets && !copy ? i3d_fail_memory(error) : I3D_OK;
    /* The first rule counts: those in front are put in last. */
    while (rest && *rest && !status) {
        char *last = strrchr(rest, ' ');
        status = i3d_recipe_set(*recipe, last ? last + 1 : rest, error);
        if (!last)
            break;
        *last = '\0';
    }
    free(copy);
    return status;
}

static enum i3d_status compare_all(struct i3d_prover *prover, const struct i3d_model *model,
                                   const struct i3d_shape *video, const char *name,
                                   bool center_asked, struct i3d_error *error)
{
    struct i3d_structure expected = { 0 };
    struct i3d_frames *frames = NULL;
    enum i3d_status status = i3d_structure_open(model, video, true, &expected, error);
    if (!status)
        status = i3d_trace_frames(model, video, false, &frames, error);
    for (size_t i = 0; i < prover->count && !status; i++)
        status = compare_layer(prover, i, &expected, frames, name, center_asked, error);
    i3d_frames_free(frames);
    i3d_structure_close(&expected);
    return status;
}

enum i3d_status i3d_audit_recipe(struct i3d_prover *prover, const struct i3d_shape *video,
                                 struct i3d_error *error)
{
    struct i3d_inflate_options options;
    struct i3d_recipe *recorded = NULL;
    struct i3d_model *model = NULL;
    const struct i3d_recipe *recipe = prover->options->recipe;
    recorded_options(prover, &options);
    enum i3d_status status = recipe ? I3D_OK : recorded_recipe(prover, &recorded, error);
    recipe = recipe ? recipe : recorded;
    options.rules = recipe;
    if (!status && recipe) {
        struct i3d_error refusal;
        status = i3d_inflate(prover->flat.model, &options, &model, &refusal);
        if (status && prover->options->recipe && error)
            *error = refusal;
        else if (status) /* what the file records does not fit this 2D network */
            status = I3D_OK;
    }
    if (!status && model) {
        status = i3d_resolve_constants(model, error);
        if (!status)
            status = compare_all(prover, model, video, recipe->name,
                                 options.init == I3D_INIT_CENTER, error);
        snprintf(prover->proof->recipe, sizeof prover->proof->recipe, "%s", recipe->name);
    }
    i3d_model_free(model);
    i3d_recipe_free(recorded);
    return status;
}
