/* The reference for arbitrary motion: an inflated layer is the 2D layer applied frame by
 * frame, then a window over time. So the 2D graph runs on all frames as on a batch,
 * (T, C, H, W), with the 2D file's kernels, and behind each window of the 3D graph its
 * part over time follows on axis 0: for convolutions the mean over N frames, zeros
 * beyond the ends, or one frame (center); for pools the pool over time; for transposed
 * convolutions the mean over the taps that reach a frame. What takes statistics over all
 * frames takes them here. Only sizes, strides and pads over time are read from the 3D
 * graph, no weight. */
#include "verify/motion_parts.h"

#include <stdlib.h>
#include <string.h>

static enum i3d_status emit(struct i3d_motion *motion, const struct i3d_node *node,
                            struct i3d_track *first);

/* The name of input k in the merged graph: a tensor, a value followed before, or one that
 * is computed now from those. */
static enum i3d_status operand(struct i3d_motion *motion, const char *value, const char **name)
{
    const struct i3d_structure *flat = &motion->prover->flat;
    int64_t number = i3d_index_value(flat->index, value);
    *name = "";
    if (number < 0)
        return I3D_OK;
    if (i3d_index_tensor(flat->index, value) >= 0) {
        *name = i3d_twins_name(motion->twins, I3D_REFERENCE, value);
        return *name ? I3D_OK : i3d_motion_no_memory(motion);
    }
    int64_t producer = i3d_index_producer(flat->index, value);
    if (!motion->names[number] && producer >= 0) {
        const struct i3d_node *node = i3d_motion_flat(motion, producer);
        struct i3d_track none = { 0 };
        if (motion->prover->pairing.nodes[producer].inflated < 0) {
            enum i3d_status status = emit(motion, node, &none);
            if (status)
                return status;
        }
    }
    *name = motion->names[number];
    return I3D_OK;
}

/* Numbers that name the batch of one are written anew. */
static enum i3d_status renumber(struct i3d_motion *motion, const struct i3d_node *node,
                                struct i3d_node *copy, const struct i3d_shape *shape)
{
    struct i3d_twins *twins = motion->twins;
    int64_t dims[I3D_MAX_RANK];
    memcpy(dims, shape->dims, sizeof dims);
    if (i3d_is(node, "Reshape")) {
        dims[0] = -1;
        if (copy->input_count < 2) {
            return i3d_set_ints(twins->model, copy, "shape", dims, (size_t)shape->rank)
                ? I3D_OK : i3d_motion_no_memory(motion);
        }
        copy->inputs[1] = i3d_twins_ints(twins, dims, shape->rank);
        return copy->inputs[1] ? I3D_OK : i3d_motion_no_memory(motion);
    }
    if (i3d_is(node, "Resize") && copy->input_count > 3 && *copy->inputs[3]
        && !i3d_attribute(node, "axes")) {
        copy->inputs[3] = i3d_twins_ints(twins, dims, shape->rank); /* dims[0]: set by the caller */
        return copy->inputs[3] ? I3D_OK : i3d_motion_no_memory(motion);
    }
    return I3D_OK;
}

/* Statistics over all frames: axis 0 goes behind the channels for that one node. */
static enum i3d_status emit_norm(struct i3d_motion *motion, struct i3d_node *copy,
                                 struct i3d_track *track)
{
    struct i3d_twins *twins = motion->twins;
    int64_t channels = track->shape.dims[1], rest = track->elements / channels;
    int64_t frames = track->frames;
    int64_t order[] = { 1, 0, 2 };
    struct i3d_node *node;
    const char *name = i3d_twins_reshape(twins, track->name, 3,
                                         (int64_t[]){ frames, channels, rest });
    name = name ? i3d_twins_node(twins, "Transpose", (const char *[]){ name, NULL }, &node) : NULL;
    if (!name || !i3d_set_ints(twins->model, node, "perm", order, 3))
        return i3d_motion_no_memory(motion);
    name = i3d_twins_reshape(twins, name, 3, (int64_t[]){ 1, channels, frames * rest });
    struct i3d_node *norm = name ? i3d_model_copy_node(twins->model, copy) : NULL;
    const char *result = norm ? i3d_twins_new_name(twins, "norm") : NULL;
    if (!result)
        return i3d_motion_no_memory(motion);
    norm->inputs[0] = name;
    for (size_t k = 1; k < copy->input_count; k++) {
        norm->inputs[k] = i3d_twins_name(twins, I3D_REFERENCE, copy->inputs[k]);
        if (!norm->inputs[k])
            return i3d_motion_no_memory(motion);
    }
    norm->outputs[0] = result;
    norm->output_count = 1;
    name = i3d_twins_reshape(twins, result, 3, (int64_t[]){ channels, frames, rest });
    name = name ? i3d_twins_node(twins, "Transpose", (const char *[]){ name, NULL }, &node) : NULL;
    if (!name || !i3d_set_ints(twins->model, node, "perm", order, 3))
        return i3d_motion_no_memory(motion);
    track->name = i3d_twins_reshape(twins, name, track->shape.rank, track->shape.dims);
    return track->name ? I3D_OK : i3d_motion_no_memory(motion);
}

/* Emits a 2D node on the frames as on a batch; first, if it has a name, stands for input 0.
 * The names of its outputs are noted; they stay null where an input's is. */
static enum i3d_status emit(struct i3d_motion *motion, const struct i3d_node *node,
                            struct i3d_track *first)
{
    const struct i3d_structure *flat = &motion->prover->flat;
    struct i3d_twins *twins = motion->twins;
    const char *inputs[64];
    int64_t frames = first->name ? first->frames : 1;
    if (node->input_count > 63)
        return I3D_OK;
    for (size_t k = 0; k < node->input_count; k++) {
        int64_t number = i3d_index_value(flat->index, node->inputs[k]);
        inputs[k] = k || !first->name ? NULL : first->name;
        if (!inputs[k]) {
            enum i3d_status status = operand(motion, node->inputs[k], &inputs[k]);
            if (status || !inputs[k])
                return status;
            if (number >= 0 && motion->lengths[number] > frames)
                frames = motion->lengths[number];
        }
    }
    struct i3d_shape shape;
    bool framed = node->output_count && i3d_frame_shape(motion, node->outputs[0], &shape);
    bool rigid = i3d_is(node, "Reshape") || (i3d_is(node, "Resize") && node->input_count > 3);
    if (rigid && !framed && frames > 1)
        return I3D_OK; /* it merges the batch with another axis */
    struct i3d_node *copy = i3d_model_copy_node(twins->model, node);
    if (!copy)
        return i3d_motion_no_memory(motion);
    for (size_t k = 0; k < node->input_count; k++)
        copy->inputs[k] = inputs[k];
    for (size_t k = 0; k < node->output_count; k++) {
        int64_t number = i3d_index_value(flat->index, node->outputs[k]);
        if (number < 0)
            continue;
        copy->outputs[k] = i3d_twins_new_name(twins, node->outputs[k]);
        if (!copy->outputs[k])
            return i3d_motion_no_memory(motion);
        motion->names[number] = copy->outputs[k];
        motion->lengths[number] = frames;
    }
    if (framed && rigid) {
        shape.dims[0] = frames;
        return renumber(motion, node, copy, &shape);
    }
    return I3D_OK;
}

/* The 2D nodes between two values that only hand on, in order. */
static enum i3d_status follow_2d(struct i3d_motion *motion, const char *from, const char *to,
                                 struct i3d_track *track)
{
    const struct i3d_structure *flat = &motion->prover->flat;
    int64_t producer = i3d_index_producer(flat->index, to);
    if (!strcmp(from, to) || !track->name)
        return I3D_OK;
    if (producer < 0 || !i3d_is_transparent(flat, i3d_motion_flat(motion, producer))) {
        track->name = NULL;
        return I3D_OK;
    }
    const struct i3d_node *node = i3d_motion_flat(motion, producer);
    enum i3d_status status = follow_2d(motion, from, node->inputs[0], track);
    if (status || !track->name)
        return status;
    status = emit(motion, node, track);
    int64_t number = i3d_index_value(flat->index, node->outputs[0]);
    track->name = motion->names[number];
    i3d_track_set_shape(motion, track, node->outputs[0]);
    track->shape.dims[0] = track->frames;
    return status;
}

/* The 2D value as an input of a layer whose 3D twin reads the other. */
static enum i3d_status bridge(struct i3d_motion *motion, const char *flat, const char *inflated,
                              struct i3d_track *track)
{
    struct i3d_prover *prover = motion->prover;
    struct i3d_origin origin = i3d_origin_of(&prover->flat, flat);
    struct i3d_origin partner = i3d_origin_of(&prover->inflated, inflated);
    const char *from = origin.node < 0
        ? prover->flat.model->inputs[0].name
        : i3d_motion_flat(motion, origin.node)->outputs[origin.output];
    const char *from_3d = partner.node < 0
        ? prover->inflated.model->inputs[0].name
        : i3d_motion_inflated(motion, partner.node)->outputs[partner.output];
    *track = (struct i3d_track){ 0 };
    if (origin.tensor || partner.tensor)
        return I3D_OK;
    /* Behind a pool over time that 2D does not have, the origin is that pool. */
    while (partner.node >= 0 && (origin.node < 0
           || prover->pairing.nodes[origin.node].inflated != partner.node)
           && i3d_is_temporal_pool(i3d_motion_inflated(motion, partner.node))) {
        const char *before = i3d_motion_inflated(motion, partner.node)->inputs[0];
        partner = i3d_origin_of(&prover->inflated, before);
        from_3d = partner.node < 0
            ? prover->inflated.model->inputs[0].name
            : i3d_motion_inflated(motion, partner.node)->outputs[partner.output];
    }
    int64_t number = i3d_index_value(prover->flat.index, from);
    track->name = number < 0 ? NULL : motion->names[number];
    if (!track->name || !i3d_track_set_shape(motion, track, from))
        return I3D_OK;
    track->frames = track->shape.dims[0] = motion->lengths[number];
    enum i3d_status status = i3d_track_follow(motion, from_3d, inflated, track);
    return status ? status : follow_2d(motion, from, flat, track);
}

const char *i3d_motion_bridge(struct i3d_motion *motion, const char *flat, const char *inflated,
                              int64_t *length)
{
    struct i3d_track track;
    if (bridge(motion, flat, inflated, &track))
        return NULL;
    *length = track.frames;
    return track.name;
}

/* The 3D input that corresponds to data input k in 2D: operands may be exchanged. */
static const char *counterpart(const struct i3d_motion *motion, const struct i3d_node *node,
                               const struct i3d_node *other, size_t k)
{
    const struct i3d_prover *prover = motion->prover;
    struct i3d_origin origin = i3d_origin_of(&prover->flat, node->inputs[k]);
    if (origin.node >= 0 && other->input_count == 2 && node->input_count == 2) {
        int64_t partner = prover->pairing.nodes[origin.node].inflated;
        struct i3d_origin mine = i3d_origin_of(&prover->inflated, other->inputs[k]);
        struct i3d_origin crossed = i3d_origin_of(&prover->inflated, other->inputs[1 - k]);
        if (partner >= 0 && mine.node != partner && crossed.node == partner)
            return other->inputs[1 - k];
    }
    return k < other->input_count ? other->inputs[k] : "";
}

/* The 2D bias goes behind the window: zeros beyond the ends have none. */
static enum i3d_status add_bias(struct i3d_motion *motion, const struct i3d_node *node,
                                struct i3d_track *track)
{
    const struct i3d_structure *flat = &motion->prover->flat;
    const struct i3d_tensor *bias =
        node->input_count > 2 ? i3d_structure_tensor(flat, node->inputs[2]) : NULL;
    if (!bias || !track->name)
        return I3D_OK;
    const char *name = i3d_twins_name(motion->twins, I3D_REFERENCE, node->inputs[2]);
    int64_t dims[I3D_MAX_RANK] = { 1, track->shape.dims[1], 1, 1, 1 };
    if (name)
        name = i3d_twins_reshape(motion->twins, name, track->shape.rank, dims);
    track->name = name ? i3d_twins_node(motion->twins, "Add",
                                        (const char *[]){ track->name, name, NULL }, NULL) : NULL;
    return track->name ? I3D_OK : i3d_motion_no_memory(motion);
}

/* A resampling of time, as the 3D node has it. */
static enum i3d_status resample(struct i3d_motion *motion, const struct i3d_node *other,
                                struct i3d_track *track, int64_t frames)
{
    struct i3d_twins *twins = motion->twins;
    if (!track->name || frames == track->frames)
        return I3D_OK;
    int64_t sizes[] = { 1, 1, frames, track->elements };
    const char *image = i3d_twins_reshape(twins, track->name, 4,
                                          (int64_t[]){ 1, 1, track->frames, track->elements });
    const char *numbers = i3d_twins_ints(twins, sizes, 4);
    struct i3d_node *node = image && numbers ? i3d_model_copy_node(twins->model, other) : NULL;
    const char *name = node ? i3d_twins_new_name(twins, "resampled") : NULL;
    const char **inputs = i3d_arena_alloc(twins->model->arena, 4, sizeof *inputs);
    if (!name || !inputs)
        return i3d_motion_no_memory(motion);
    bool early = i3d_is(other, "Upsample") || i3d_opset(twins->model) < 11;
    i3d_drop_attribute(node, "axes");
    i3d_drop_attribute(node, "scales");
    inputs[0] = image;
    inputs[1] = inputs[2] = "";
    inputs[3] = numbers;
    node->inputs = inputs;
    node->input_count = 4;
    if (early) {
        float scales[] = { 1, 1, (float)frames / (float)track->frames, 1 };
        inputs[1] = i3d_twins_new_name(twins, "scales");
        node->input_count = 2;
        if (!inputs[1] || i3d_model_put_floats(twins->model, inputs[1], 1, (int64_t[]){ 4 }, scales,
                                               NULL))
            return i3d_motion_no_memory(motion);
    }
    node->outputs[0] = name;
    track->shape.dims[0] = track->frames = frames;
    track->name = i3d_twins_reshape(twins, name, track->shape.rank, track->shape.dims);
    return track->name ? I3D_OK : i3d_motion_no_memory(motion);
}

static void note(struct i3d_motion *motion, const char *value, const struct i3d_track *track)
{
    int64_t number = i3d_index_value(motion->prover->flat.index, value);
    if (number < 0)
        return;
    motion->names[number] = track->name;
    motion->lengths[number] = track->frames;
}

/* What mixes all frames in 3D, behind the 2D node on each: how. Null: not understood. */
static const char *mixing(const struct i3d_node *node)
{
    static const struct {
        const char *op_type, *reduction;
    } rows[] = {
        { "GlobalAveragePool", "ReduceMean" }, { "ReduceMean", "ReduceMean" },
        { "GlobalMaxPool", "ReduceMax" }, { "ReduceMax", "ReduceMax" },
        { "ReduceMin", "ReduceMin" }, { "ReduceSum", "ReduceSum" },
        { "GlobalLpPool", "ReduceL2" }, { "ReduceL2", "ReduceL2" }, { "ReduceL1", "ReduceL1" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (i3d_is(node, rows[i].op_type))
            return rows[i].reduction;
    return NULL;
}

/* Emits a kernel (without its bias), its window over time, then the bias. */
static enum i3d_status emit_kernel(struct i3d_motion *motion, int64_t flat, int64_t inflated,
                                   bool centered, struct i3d_track *track)
{
    const struct i3d_node *node = i3d_motion_flat(motion, flat);
    const struct i3d_node *other = i3d_motion_inflated(motion, inflated);
    struct i3d_span span;
    enum i3d_status status = bridge(motion, node->inputs[0], other->inputs[0], track);
    if (status || !track->name)
        return status;
    if (!i3d_span_of(motion, other, centered, &span)) {
        track->name = NULL;
        return I3D_OK;
    }
    bool windowed = span.kind != SPAN_NONE
        && (i3d_is(node, "Conv") || i3d_is(node, "ConvTranspose"));
    if (span.kind != SPAN_NONE && !windowed)
        track->name = NULL;
    struct i3d_node bare = *node;
    if (windowed && bare.input_count > 2)
        bare.input_count = 2;
    int64_t frames = track->frames;
    if (track->name)
        status = emit(motion, &bare, track);
    int64_t number = i3d_index_value(motion->prover->flat.index, node->outputs[0]);
    track->name = track->name && number >= 0 ? motion->names[number] : NULL;
    track->frames = frames;
    if (status || !track->name || !i3d_track_set_shape(motion, track, node->outputs[0]))
        return status;
    track->shape.dims[0] = frames;
    if (windowed)
        status = i3d_track_window(motion, track, &span);
    if (!status && windowed)
        status = add_bias(motion, node, track);
    note(motion, node->outputs[0], track);
    return status;
}

/* A layer that is no kernel: the 2D node on each frame, then what the 3D one does over time. */
static enum i3d_status emit_layer(struct i3d_motion *motion, int64_t flat, int64_t inflated,
                                  struct i3d_track *track)
{
    struct i3d_prover *prover = motion->prover;
    const struct i3d_node *node = i3d_motion_flat(motion, flat);
    const struct i3d_node *other = i3d_motion_inflated(motion, inflated);
    const struct i3d_frame_trace *in = i3d_frames_of(prover->frames, other->inputs[0]);
    const struct i3d_frame_trace *out = i3d_frames_of(prover->frames, other->outputs[0]);
    size_t data = i3d_data_inputs(&prover->flat, node);
    enum i3d_status status = I3D_OK;
    struct i3d_node local = *node;
    struct i3d_track first = { 0 };
    int64_t frames = 1;
    bool followed = in && out;
    /* Other operands, under the names that they have as this layer's input. */
    const char *saved[64];
    int64_t lengths[64];
    if (data > 63)
        return I3D_OK;
    for (size_t k = 0; k < data; k++) {
        int64_t number = i3d_index_value(prover->flat.index, node->inputs[k]);
        saved[k] = number < 0 ? NULL : motion->names[number];
        lengths[k] = number < 0 ? 0 : motion->lengths[number];
        if (number < 0 || i3d_index_tensor(prover->flat.index, node->inputs[k]) >= 0)
            continue;
        struct i3d_track operand;
        status = bridge(motion, node->inputs[k], counterpart(motion, node, other, k), &operand);
        if (status)
            return status;
        followed &= operand.name != NULL;
        note(motion, node->inputs[k], &operand);
        frames = operand.frames > frames ? operand.frames : frames;
        if (!k)
            first = operand;
    }
    int64_t number = i3d_index_value(prover->flat.index, node->outputs[0]);
    bool norm = i3d_is(node, "InstanceNormalization") || i3d_is(node, "GroupNormalization");
    const char *reduction = mixing(other);
    struct i3d_span span = { .kind = SPAN_NONE };
    followed = followed && i3d_span_of(motion, other, false, &span);
    if (followed && norm && frames > 1) {
        *track = first;
        status = emit_norm(motion, &local, track);
    } else if (followed) {
        status = emit(motion, &local, &first);
        *track = (struct i3d_track){ .name = motion->names[number], .frames = frames };
    }
    for (size_t k = 0; k < data; k++) {
        int64_t position = i3d_index_value(prover->flat.index, node->inputs[k]);
        if (position >= 0 && position != number) {
            motion->names[position] = saved[k];
            motion->lengths[position] = lengths[k];
        }
    }
    if (status || !followed || !track->name
        || !i3d_track_set_shape(motion, track, node->outputs[0])) {
        *track = (struct i3d_track){ 0 };
        note(motion, node->outputs[0], track);
        return status;
    }
    track->shape.dims[0] = track->frames;
    status = i3d_track_window(motion, track, &span);
    if (!status && span.kind == SPAN_NONE && in->timed && !out->timed) {
        if (reduction)
            status = i3d_track_mix(motion, track, reduction);
        else if (track->frames > 1)
            track->name = NULL;
    } else if (!status && (i3d_is(other, "Resize") || i3d_is(other, "Upsample"))) {
        status = resample(motion, other, track, out->frames);
    }
    if (track->name && out->frames != track->frames)
        track->name = NULL; /* something was not understood */
    note(motion, node->outputs[0], track);
    return status;
}

enum i3d_status i3d_motion_node(struct i3d_motion *motion, int64_t inflated)
{
    struct i3d_prover *prover = motion->prover;
    int64_t flat = prover->partners[inflated];
    if (flat < 0)
        return I3D_OK;
    const struct i3d_node_pair *pair = &prover->pairing.nodes[flat];
    struct i3d_track track = { 0 };
    bool centered = false;
    for (size_t i = 0; i < prover->count; i++)
        if (prover->entries[i].node == flat)
            centered = prover->proof->layers[i].centered;
    if (!pair->folded && i3d_is_kernel(&prover->flat, i3d_motion_flat(motion, flat)))
        return emit_kernel(motion, flat, inflated, centered, &track);
    if (!pair->folded)
        return emit_layer(motion, flat, inflated, &track);
    enum i3d_status status =
        emit_kernel(motion, pair->flat_kernel, pair->inflated_kernel, centered, &track);
    if (status || pair->flat_kernel == flat)
        return status;
    /* The BatchNormalization over it, if it is the 2D graph that has one. */
    const struct i3d_node *norm = i3d_motion_flat(motion, flat);
    int64_t number = i3d_index_value(prover->flat.index, norm->outputs[0]), frames = track.frames;
    if (track.name)
        status = follow_2d(motion, i3d_motion_flat(motion, pair->flat_kernel)->outputs[0],
                           norm->inputs[0], &track);
    if (!status && track.name)
        status = emit(motion, norm, &track);
    if (number >= 0)
        motion->lengths[number] = frames;
    return status;
}

enum i3d_status i3d_motion_open(struct i3d_motion *motion, struct i3d_prover *prover,
                                struct i3d_twins *twins)
{
    size_t count = i3d_index_value_count(prover->flat.index) + 1;
    *motion = (struct i3d_motion){ .prover = prover, .twins = twins,
                                   .names = calloc(count, sizeof *motion->names),
                                   .lengths = calloc(count, sizeof *motion->lengths) };
    if (!motion->names || !motion->lengths)
        return i3d_motion_no_memory(motion);
    /* N×C×T×H×W to T×C×H×W */
    const struct i3d_model *model = prover->inflated.model;
    bool last = model->time_axis == 1;
    int64_t order[] = { 0, 2, 1, 3, 4 };
    int64_t dims[] = { prover->boring.frames, prover->boring.channels, prover->boring.height,
                       prover->boring.width };
    if (last) {
        dims[1] = prover->boring.height;
        dims[2] = prover->boring.width;
        dims[3] = prover->boring.channels;
    }
    const char *name = i3d_twins_name(twins, I3D_INFLATED, model->inputs[0].name);
    struct i3d_node *node = NULL;
    if (name && prover->boring.channels != prover->boring.flat_channels) {
        /* All channels are the same: one of them, as often as the 2D network wants it. */
        dims[1] = prover->boring.flat_channels;
        const char *begin = i3d_twins_ints(twins, (int64_t[]){ 0 }, 1);
        const char *end = i3d_twins_ints(twins, (int64_t[]){ 1 }, 1);
        const char *sizes = i3d_twins_ints(twins, (int64_t[]){ 1, dims[1], 1, 1, 1 }, 5);
        if (begin && end && sizes)
            name = i3d_twins_node(twins, "Slice", (const char *[]){ name, begin, end, end, NULL },
                                  NULL);
        if (name && sizes)
            name = i3d_twins_node(twins, "Expand", (const char *[]){ name, sizes, NULL }, NULL);
    }
    if (name && !last)
        name = i3d_twins_node(twins, "Transpose", (const char *[]){ name, NULL }, &node);
    if (name && !last && !i3d_set_ints(twins->model, node, "perm", order, 5))
        name = NULL;
    if (name)
        name = i3d_twins_reshape(twins, name, 4, dims);
    int64_t number = i3d_index_value(prover->flat.index, prover->flat.model->inputs[0].name);
    if (!name || number < 0)
        return i3d_motion_no_memory(motion);
    motion->names[number] = name;
    motion->lengths[number] = prover->boring.frames;
    return I3D_OK;
}

void i3d_motion_close(struct i3d_motion *motion)
{
    free(motion->names);
    free(motion->lengths);
    *motion = (struct i3d_motion){ 0 };
}
