/* A layer of the 3D network on its own: the nodes between values that have a partner
 * in 2D, fed with those partners' activations, repeated in time. A few frames do, since
 * all of them are equal where time is padded with the clip's ends. */
#include "verify/prover.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct segment {
    struct i3d_prover *prover;
    struct i3d_twins *twins;
    bool *wanted;         /* by 3D position: nodes of the segment */
    const char **feeds;   /* by 3D value: what is fed, in the merged graph's names */
    const char **locals;  /* by 3D value: its name here */
    int64_t frames;       /* of what is fed */
};

static const struct i3d_node *inflated_node(const struct segment *segment, int64_t position)
{
    return &segment->prover->inflated.model->nodes[position];
}

/* Whether the 2D network has that value of the 3D one, first outputs of paired nodes. */
static bool is_known(const struct segment *segment, const char *value)
{
    const struct i3d_structure *inflated = &segment->prover->inflated;
    int64_t producer = i3d_index_producer(inflated->index, value);
    return producer >= 0 && segment->prover->partners[producer] >= 0
        && !strcmp(inflated_node(segment, producer)->outputs[0], value);
}

/* Marks the nodes behind the layer, up to known values. */
static void collect(struct segment *segment, int64_t position)
{
    segment->wanted[position] = true;
    for (int64_t i = position; i >= 0; i--) {
        const struct i3d_node *node = inflated_node(segment, i);
        for (size_t k = 0; segment->wanted[i] && k < node->input_count; k++) {
            int64_t producer =
                i3d_index_producer(segment->prover->inflated.index, node->inputs[k]);
            if (producer >= 0 && !is_known(segment, node->inputs[k]))
                segment->wanted[producer] = true;
        }
    }
}

static int64_t first_of(const struct i3d_node *node, const char *name, size_t k, int64_t fallback)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return k < count ? values[k] : fallback;
}

/* Frames that the segment needs to make one: as long as its window, less its padding.
 * All of the clip where there are several windows, or sizes are written down. */
static int64_t frames_needed(const struct segment *segment)
{
    static const char *const rigid[] = { "Reshape", "Resize", "Upsample", "Expand", "Slice", "Pad",
                                         "ConvTranspose", "InstanceNormalization",
                                         "GroupNormalization", "LayerNormalization" };
    const struct i3d_model *model = segment->prover->inflated.model;
    int64_t all = segment->prover->boring.frames, need = 1;
    for (size_t i = 0, windows = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (!segment->wanted[i])
            continue;
        for (size_t k = 0; k < sizeof rigid / sizeof rigid[0]; k++)
            if (i3d_is(node, rigid[k]))
                return all;
        bool conv = i3d_is(node, "Conv");
        if (!conv && !i3d_is(node, "MaxPool") && !i3d_is(node, "AveragePool")
            && !i3d_is(node, "LpPool"))
            continue;
        const struct i3d_tensor *weight =
            conv ? i3d_structure_tensor(&segment->prover->inflated, node->inputs[1]) : NULL;
        if (windows++ || (conv && (!weight || weight->rank != 5)))
            return all;
        bool same = i3d_string_is(node, "auto_pad", "SAME_UPPER")
            || i3d_string_is(node, "auto_pad", "SAME_LOWER");
        int64_t kernel = weight ? weight->dims[2] : first_of(node, "kernel_shape", 0, 1);
        int64_t reach = (kernel - 1) * first_of(node, "dilations", 0, 1) + 1
            - first_of(node, "pads", 0, 0) - first_of(node, "pads", 3, 0);
        need = same || reach < 1 ? 1 : reach;
    }
    return need < all ? need : all;
}

/* The known value as this segment is fed with it: the 2D activation repeated, or the
 * first frames of the video. False in *fits where layouts do not go together. */
static const char *feed(struct segment *segment, const char *value, bool *fits)
{
    struct i3d_prover *prover = segment->prover;
    struct i3d_twins *twins = segment->twins;
    struct i3d_shape shape = *i3d_shape_of(prover->inflated.shapes, value);
    const struct i3d_frame_trace *trace = i3d_frames_of(prover->frames, value);
    int64_t producer = i3d_index_producer(prover->inflated.index, value);
    *fits = trace && shape.rank > 0 && (!trace->timed || trace->axis >= 0);
    if (!*fits)
        return "";
    int axis = trace->timed ? trace->axis : -1;
    if (producer < 0) { /* the video itself */
        const char *name = i3d_twins_name(twins, I3D_INFLATED, value);
        const char *begin = i3d_twins_ints(twins, (int64_t[]){ 0 }, 1);
        const char *end = i3d_twins_ints(twins, &segment->frames, 1);
        const char *axes = i3d_twins_ints(twins, (int64_t[]){ axis }, 1);
        return name && begin && end && axes
            ? i3d_twins_node(twins, "Slice", (const char *[]){ name, begin, end, axes, NULL }, NULL)
            : NULL;
    }
    int64_t partner = prover->partners[producer];
    const char *twin = prover->flat.model->nodes[partner].outputs[0];
    const struct i3d_shape *own = i3d_shape_of(prover->flat.shapes, twin);
    int64_t elements = 1, wanted = 1;
    for (int k = 0; k < own->rank; k++)
        elements *= own->dims[k];
    for (int k = 0; k < shape.rank; k++)
        wanted *= k == axis ? 1 : shape.dims[k];
    *fits = own->rank > 0 && elements == wanted;
    const char *name = *fits ? i3d_twins_name(twins, I3D_REFERENCE, twin) : "";
    if (!name || !*fits)
        return name;
    if (axis >= 0)
        shape.dims[axis] = 1;
    name = i3d_twins_reshape(twins, name, shape.rank, shape.dims);
    if (!name || axis < 0 || segment->frames == 1)
        return name;
    shape.dims[axis] = segment->frames;
    const char *dims = i3d_twins_ints(twins, shape.dims, shape.rank);
    return dims ? i3d_twins_node(twins, "Expand", (const char *[]){ name, dims, NULL }, NULL)
                : NULL;
}

/* Whether the segment can have an input of so many frames: its shapes are inferred apart
 * from the merged graph, which must not fail on its account. */
static bool is_sound(const struct segment *segment, int64_t position)
{
    const struct i3d_prover *prover = segment->prover;
    const struct i3d_model *from = prover->inflated.model;
    struct i3d_model *model = i3d_model_new();
    struct i3d_shapes *shapes = NULL;
    bool good = model && i3d_set_opset(model, "", i3d_opset(from));
    for (size_t i = 0; i < from->node_count && good; i++) {
        const struct i3d_node *node = &from->nodes[i];
        for (size_t k = 0; segment->wanted[i] && k < node->input_count && good; k++) {
            const char *value = node->inputs[k];
            int64_t number = i3d_index_value(prover->inflated.index, value);
            int64_t tensor = i3d_index_tensor(prover->inflated.index, value);
            if (tensor >= 0 && !i3d_find_tensor(model, value)) {
                good = i3d_model_copy_tensor(model, &from->tensors[tensor]) != NULL;
            } else if (number >= 0 && segment->feeds[number]) {
                bool there = false;
                for (size_t j = 0; j < model->input_count; j++)
                    there |= !strcmp(model->inputs[j].name, value);
                if (there)
                    continue;
                const struct i3d_shape *shape = i3d_shape_of(prover->inflated.shapes, value);
                const struct i3d_frame_trace *trace = i3d_frames_of(prover->frames, value);
                struct i3d_value *input = i3d_model_add_input(model);
                good = input != NULL;
                if (!good)
                    break;
                *input = (struct i3d_value){ .name = value, .dtype = I3D_FLOAT32,
                                             .rank = shape->rank };
                for (int d = 0; d < shape->rank; d++)
                    input->dims[d].value =
                        trace->timed && d == trace->axis ? segment->frames : shape->dims[d];
            }
        }
        if (segment->wanted[i])
            good = good && i3d_model_copy_node(model, node);
    }
    good = good && !i3d_infer_shapes(model, NULL, NULL, 0, &shapes, NULL);
    const struct i3d_shape *out =
        good ? i3d_shape_of(shapes, inflated_node(segment, position)->outputs[0]) : NULL;
    for (int k = 0; good && k < out->rank; k++)
        good = out->dims[k] != 0;
    i3d_shapes_free(shapes);
    i3d_model_free(model);
    return good;
}

/* Makes the feeds. False in *fits where one cannot be made. */
static enum i3d_status make_feeds(struct segment *segment, bool *fits)
{
    const struct i3d_structure *inflated = &segment->prover->inflated;
    for (size_t i = 0; i < inflated->model->node_count; i++) {
        const struct i3d_node *node = &inflated->model->nodes[i];
        for (size_t k = 0; segment->wanted[i] && k < node->input_count; k++) {
            const char *value = node->inputs[k];
            int64_t number = i3d_index_value(inflated->index, value);
            int64_t producer = i3d_index_producer(inflated->index, value);
            if (number < 0 || segment->feeds[number] || i3d_index_tensor(inflated->index, value) >= 0
                || (producer >= 0 && !is_known(segment, value)))
                continue;
            segment->feeds[number] = feed(segment, value, fits);
            if (!segment->feeds[number])
                return i3d_fail_memory(segment->twins->error);
            if (!*fits)
                return I3D_OK;
        }
    }
    return I3D_OK;
}

static const char *local_name(struct segment *segment, const char *value, bool made)
{
    const struct i3d_structure *inflated = &segment->prover->inflated;
    int64_t number = i3d_index_value(inflated->index, value);
    if (number < 0)
        return "";
    if (!made && segment->feeds[number])
        return segment->feeds[number];
    if (i3d_index_tensor(inflated->index, value) >= 0)
        return i3d_twins_name(segment->twins, I3D_INFLATED, value);
    if (!segment->locals[number])
        segment->locals[number] = i3d_twins_new_name(segment->twins, value);
    return segment->locals[number];
}

static enum i3d_status emit(struct segment *segment)
{
    const struct i3d_model *model = segment->prover->inflated.model;
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (!segment->wanted[i])
            continue;
        struct i3d_node *copy = i3d_model_copy_node(segment->twins->model, node);
        bool good = copy != NULL;
        for (size_t k = 0; good && k < node->input_count; k++)
            good = (copy->inputs[k] = local_name(segment, node->inputs[k], false)) != NULL;
        for (size_t k = 0; good && k < node->output_count; k++)
            good = (copy->outputs[k] = local_name(segment, node->outputs[k], true)) != NULL;
        if (!good)
            return i3d_fail_memory(segment->twins->error);
    }
    return I3D_OK;
}

enum i3d_status i3d_add_terms(struct i3d_prover *prover, struct i3d_twins *twins, int64_t kernel,
                              const char **terms)
{
    const struct i3d_node *node = &prover->flat.model->nodes[kernel];
    *terms = NULL;
    if (!i3d_structure_tensor(&prover->flat, node->inputs[1]))
        return I3D_OK;
    const char *x = i3d_twins_name(twins, I3D_REFERENCE, node->inputs[0]);
    const char *w = i3d_twins_name(twins, I3D_REFERENCE, node->inputs[1]);
    if (!x || !w)
        return i3d_fail_memory(twins->error);
    x = i3d_twins_node(twins, "Abs", (const char *[]){ x, NULL }, NULL);
    w = i3d_twins_node(twins, "Abs", (const char *[]){ w, NULL }, NULL);
    struct i3d_node *copy = x && w ? i3d_twins_copy(twins, I3D_REFERENCE, node) : NULL;
    const char *name = copy ? i3d_twins_new_name(twins, "terms") : NULL;
    if (!name)
        return i3d_fail_memory(twins->error);
    copy->inputs[0] = x;
    copy->inputs[1] = w;
    copy->input_count = 2;
    copy->outputs[0] = name;
    *terms = name;
    return I3D_OK;
}

/* Notes the largest Σ|w||x| of a layer. */
static enum i3d_status measure(struct i3d_prover *prover, struct i3d_twins *twins, size_t layer)
{
    int64_t kernel = prover->pairing.nodes[prover->entries[layer].node].flat_kernel;
    bool applies = kernel >= 0
        && (kernel == prover->entries[layer].node
            || prover->pairing.nodes[prover->entries[layer].node].folded);
    struct i3d_comparison terms = { .kind = I3D_MEASURE_TERMS, .layer = layer };
    if (!applies)
        return I3D_OK;
    enum i3d_status status = i3d_add_terms(prover, twins, kernel, &terms.value);
    if (status || !terms.value)
        return status;
    terms.reference =
        i3d_twins_name(twins, I3D_REFERENCE, prover->flat.model->nodes[kernel].outputs[0]);
    if (!terms.reference)
        return i3d_fail_memory(twins->error);
    status = i3d_twins_compare(twins, terms);
    return status ? status : i3d_twins_hold(twins, terms.reference);
}

static enum i3d_status add(struct segment *segment, size_t entry)
{
    struct i3d_prover *prover = segment->prover;
    int64_t node = prover->entries[entry].node, position = prover->pairing.nodes[node].inflated;
    collect(segment, position);
    segment->frames = frames_needed(segment);
    bool fits = true;
    enum i3d_status status = make_feeds(segment, &fits);
    if (status || !fits || !is_sound(segment, position))
        return status;
    status = emit(segment);
    const struct i3d_frame_trace *trace =
        i3d_frames_of(prover->frames, prover->entries[entry].inflated);
    struct i3d_comparison comparison = {
        .kind = I3D_COMPARE_ALONE, .layer = entry,
        .reference = i3d_twins_name(segment->twins, I3D_REFERENCE, prover->entries[entry].flat),
        .value = local_name(segment, prover->entries[entry].inflated, true),
        .outer = trace ? trace->outer : 0, .inner = trace ? trace->inner : 0,
    };
    if (!comparison.reference || !comparison.value)
        return i3d_fail_memory(segment->twins->error);
    if (!status)
        status = i3d_twins_compare(segment->twins, comparison);
    if (!status)
        status = i3d_twins_hold(segment->twins, comparison.reference);
    return status ? status : measure(prover, segment->twins, entry);
}

enum i3d_status i3d_add_alone(struct i3d_prover *prover, struct i3d_twins *twins, size_t entry)
{
    if (prover->entries[entry].node < 0)
        return I3D_OK;
    size_t values = i3d_index_value_count(prover->inflated.index) + 1;
    struct segment segment = {
        .prover = prover, .twins = twins,
        .wanted = calloc(prover->inflated.model->node_count + 1, sizeof(bool)),
        .feeds = calloc(values, sizeof(char *)),
        .locals = calloc(values, sizeof(char *)),
    };
    enum i3d_status status = segment.wanted && segment.feeds && segment.locals
        ? add(&segment, entry) : i3d_fail_memory(twins->error);
    free(segment.wanted);
    free(segment.feeds);
    free(segment.locals);
    return status;
}

double i3d_terms_summed(const struct i3d_prover *prover, size_t entry)
{
    int64_t flat = prover->entries[entry].node;
    if (flat < 0)
        return 1;
    const struct i3d_node_pair *pair = &prover->pairing.nodes[flat];
    const struct i3d_structure *inflated = &prover->inflated;
    int64_t position = pair->folded ? pair->inflated_kernel : pair->inflated;
    const struct i3d_node *node = &inflated->model->nodes[position];
    const struct i3d_tensor *weight =
        i3d_is_kernel(inflated, node) ? i3d_structure_tensor(inflated, node->inputs[1]) : NULL;
    if (weight && weight->rank >= 2) {
        int64_t outputs = i3d_kernel_outputs(node, weight);
        return (double)i3d_tensor_elements(weight)
            / (double)(outputs > 0 ? outputs : weight->dims[1]);
    }
    if (!node->input_count)
        return 1;
    const struct i3d_shape *in = i3d_shape_of(inflated->shapes, node->inputs[0]);
    const struct i3d_shape *out = i3d_shape_of(inflated->shapes, node->outputs[0]);
    double from = 1, to = 1;
    for (int k = 0; k < in->rank; k++)
        from *= (double)in->dims[k];
    for (int k = 0; k < out->rank; k++)
        to *= (double)out->dims[k];
    bool norm = i3d_is(node, "InstanceNormalization") || i3d_is(node, "GroupNormalization")
        || i3d_is(node, "LayerNormalization") || i3d_is_softmax(node);
    return norm ? from / (in->rank > 1 ? (double)in->dims[1] : 1) : from > to ? from / to : 1;
}
