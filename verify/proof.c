#include "verify/prover.h"

#include "converters/inflate.h"
#include "verify/array.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double FLOAT_ROUNDOFF = 0x1p-24; /* of the engine */
enum { MOST_RAISED = 100 }; /* times the tolerance, on account of rounding */
enum { LONGEST_SEARCH = 2048 }; /* frames, for the shortest clip with a clean frame */

static void add_entry(struct i3d_prover *prover, const char *flat, const char *inflated, int64_t node)
{
    prover->entries[prover->count++] = (struct i3d_entry){ flat, inflated, node };
}

/* Whether two values come from paired nodes. */
static bool are_paired(const struct i3d_prover *prover, const char *value, const char *other)
{
    struct i3d_origin origin = i3d_origin_of(&prover->flat, value);
    struct i3d_origin partner = i3d_origin_of(&prover->inflated, other);
    return origin.node >= 0 && partner.node >= 0
        && prover->pairing.nodes[origin.node].inflated == partner.node;
}

/* What the Softmax behind a value is applied to, or the value itself. */
static const char *before_softmax(const struct i3d_structure *structure, const char *value)
{
    struct i3d_origin origin = i3d_origin_of(structure, value);
    const struct i3d_node *node = origin.node < 0 ? NULL : &structure->model->nodes[origin.node];
    return node && i3d_is_softmax(node) ? node->inputs[0] : value;
}

/* The paired nodes, then outputs that are more than their paired node's value: a
 * mean over frames may be behind it, in front of a Softmax that one graph has. */
static void list_entries(struct i3d_prover *prover)
{
    const struct i3d_model *flat = prover->flat.model, *inflated = prover->inflated.model;
    const struct i3d_node_pair *pairs = prover->pairing.nodes;
    for (size_t i = 0; i < flat->node_count; i++) {
        const char *value = flat->nodes[i].outputs[0];
        if (pairs[i].inflated < 0)
            continue;
        const char *other = inflated->nodes[pairs[i].inflated].outputs[0];
        if (*value && *other) /* a first output may be left out */
            add_entry(prover, value, other, (int64_t)i);
    }
    for (size_t i = 0; i < flat->output_count && i < inflated->output_count; i++) {
        const char *value = flat->outputs[i].name, *other = inflated->outputs[i].name;
        if (!are_paired(prover, value, other))
            value = before_softmax(&prover->flat, value);
        if (!are_paired(prover, value, other))
            other = before_softmax(&prover->inflated, other);
        if (!are_paired(prover, value, other))
            continue;
        struct i3d_origin origin = i3d_origin_of(&prover->flat, value);
        struct i3d_origin partner = i3d_origin_of(&prover->inflated, other);
        if (strcmp(value, flat->nodes[origin.node].outputs[0])
            || strcmp(other, inflated->nodes[partner.node].outputs[0]))
            add_entry(prover, value, other, -1);
    }
}

static enum i3d_status make_room(struct i3d_prover *prover, struct i3d_error *error)
{
    const struct i3d_model *inflated = prover->inflated.model;
    size_t room = prover->flat.model->node_count + prover->flat.model->output_count + 1;
    prover->entries = calloc(room, sizeof *prover->entries);
    prover->proof->layers = calloc(room, sizeof *prover->proof->layers);
    prover->terms = calloc(room, sizeof *prover->terms);
    prover->responses = calloc(room, sizeof *prover->responses);
    prover->partners = malloc((inflated->node_count + 1) * sizeof *prover->partners);
    if (!prover->entries || !prover->proof->layers || !prover->terms || !prover->responses
        || !prover->partners)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < inflated->node_count; i++)
        prover->partners[i] = -1;
    for (size_t i = 0; i < prover->flat.model->node_count; i++)
        if (prover->pairing.nodes[i].inflated >= 0)
            prover->partners[prover->pairing.nodes[i].inflated] = (int64_t)i;
    return I3D_OK;
}

static enum i3d_status audit_all(struct i3d_prover *prover, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    prover->proof->layer_count = prover->count;
    for (size_t i = 0; i < prover->count && !status; i++) {
        const struct i3d_entry *entry = &prover->entries[i];
        struct i3d_layer_verdict *verdict = &prover->proof->layers[i];
        verdict->name = entry->flat;
        verdict->twin = entry->inflated;
        const struct i3d_shape *shape = i3d_shape_of(prover->inflated.shapes, entry->inflated);
        verdict->rank = shape->rank < 0 ? 0 : shape->rank;
        memcpy(verdict->dims, shape->dims, sizeof verdict->dims);
        verdict->operation = "output";
        verdict->audit_good = true;
        verdict->max_absolute = verdict->max_relative = verdict->relative_l2 = NAN;
        verdict->bound = verdict->worst_case = verdict->rounding = NAN;
        verdict->tolerance = prover->proof->tolerance;
        verdict->clean_first = verdict->clean_last = -1;
        if (entry->node < 0)
            continue;
        verdict->operation = prover->flat.model->nodes[entry->node].op_type;
        status = i3d_audit_layer(&prover->pairing, (size_t)entry->node, verdict, error);
    }
    return status;
}

double i3d_roundoff_of(const struct i3d_prover *prover)
{
    double roundoff = FLOAT_ROUNDOFF;
    const struct i3d_model *models[] = { prover->flat.model, prover->inflated.model };
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < models[m]->tensor_count; i++) {
            enum i3d_dtype dtype = models[m]->tensors[i].dtype;
            if (models[m]->tensors[i].rank < 2)
                continue;
            if (dtype == I3D_FLOAT16)
                roundoff = fmax(roundoff, 0x1p-11);
            if (dtype == I3D_BFLOAT16)
                roundoff = fmax(roundoff, 0x1p-8);
        }
    return roundoff;
}

/* What rounding can be held responsible for in a layer alone. */
static void judge_alone(struct i3d_prover *prover, size_t i, double roundoff)
{
    struct i3d_layer_verdict *verdict = &prover->proof->layers[i];
    double terms = i3d_terms_summed(prover, i), condition = 1;
    if (!verdict->alone.judged)
        return;
    bool weighted = prover->responses[i] > 0;
    if (weighted)
        condition = prover->terms[i] / prover->responses[i];
    if (weighted && roundoff > FLOAT_ROUNDOFF) { /* sums are of floats, only weights are coarser */
        verdict->bound = 4 * (roundoff * fmax(condition, 1)
                              + sqrt(terms) * FLOAT_ROUNDOFF * condition);
        verdict->worst_case = 2 * roundoff * fmax(condition, 1)
            + terms * FLOAT_ROUNDOFF * condition;
    } else {
        verdict->bound = 4 * (sqrt(terms) + (weighted ? 0 : 4)) * roundoff * condition;
        verdict->worst_case = (terms + (weighted ? 0 : 4)) * roundoff * condition;
    }
    double limit = prover->options->tolerance < 0 ? fmax(verdict->bound, 0)
                                                  : prover->options->tolerance;
    verdict->alone.good = verdict->alone.max_relative <= limit;
}

/* How far a layer is off with everything ahead, in the worst of the proofs; NaN counts as
 * infinitely far. */
static double worst_of(const struct i3d_layer_verdict *layer)
{
    const struct i3d_finding boring = { .judged = layer->judged,
                                        .max_relative = layer->max_relative };
    const struct i3d_finding *const found[] = { &boring, &layer->clean, &layer->motion };
    double worst = 0;
    for (size_t k = 0; k < sizeof found / sizeof *found; k++)
        if (found[k]->judged && !(found[k]->max_relative <= worst))
            worst = isnan(found[k]->max_relative) ? INFINITY : found[k]->max_relative;
    return worst;
}

/* Whether rounding is what may be wrong first: with a layer that is good by itself, and not
 * off by so much that rounding is out of the question. */
static bool may_be_rounding(const struct i3d_prover *prover)
{
    const struct i3d_proof *proof = prover->proof;
    if (prover->options->tolerance >= 0)
        return false;
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        double worst = worst_of(layer);
        if (!layer->audit_good || (layer->alone.judged && !layer->alone.good)
            || worst > MOST_RAISED * proof->tolerance)
            return false;
        if (worst > proof->tolerance)
            return true;
    }
    return false;
}

static void judge_again(const struct i3d_proof *proof, struct i3d_layer_verdict *layer)
{
    if (4 * layer->rounding > proof->tolerance) /* false for NaN */
        layer->tolerance = fmin(4 * layer->rounding, MOST_RAISED * proof->tolerance);
    layer->good = layer->judged && layer->max_relative <= layer->tolerance;
    layer->clean.good = layer->clean.judged && layer->clean.max_relative <= layer->tolerance;
    layer->motion.good = layer->motion.judged && layer->motion.max_relative <= layer->tolerance;
}

static bool layer_is_good(const struct i3d_proof *proof, const struct i3d_layer_verdict *layer)
{
    return layer->audit_good && (!proof->ran_boring || layer->good)
        && (!layer->alone.judged || layer->alone.good)
        && (!layer->motion.judged || layer->motion.good);
}

static void conclude(struct i3d_prover *prover)
{
    struct i3d_proof *proof = prover->proof;
    proof->unpaired_2d = prover->pairing.unpaired_flat;
    proof->unpaired_3d = prover->pairing.unpaired_inflated;
    proof->names_2d = prover->pairing.flat_names;
    proof->names_3d = prover->pairing.inflated_names;
    prover->pairing.flat_names = prover->pairing.inflated_names = NULL;
    proof->weights_good = prover->pairing.outputs_paired && !*prover->pairing.obstacle;
    proof->deployed_good = true;
    if (*prover->pairing.obstacle)
        snprintf(proof->obstacle, sizeof proof->obstacle, "%s", prover->pairing.obstacle);
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        bool good = layer_is_good(proof, layer);
        bool deployed = !layer->clean.judged || layer->clean.good;
        proof->without_motion += proof->ran_motion && !layer->motion.judged;
        proof->weights_good &= good;
        proof->deployed_good &= deployed;
        if (!(good && deployed) && proof->first_bad < 0)
            proof->first_bad = (int64_t)i;
    }
    proof->good = proof->weights_good && proof->deployed_good;
}

/* A graph that is sound for clips of any length, but not for this one: the clip
 * is too short for its windows. */
static enum i3d_status blame_the_clip(const struct i3d_model *inflated, int64_t frames,
                                      enum i3d_status status, struct i3d_error *error)
{
    struct i3d_shapes *shapes = NULL;
    if (status == I3D_MALFORMED && !i3d_infer_shapes(inflated, NULL, NULL, 0, &shapes, NULL)) {
        status = I3D_USAGE;
        if (error)
            error->status = status;
        i3d_error_hint(error, "a clip of %lld frames is too short, or the image too small",
                       (long long)frames);
    }
    i3d_shapes_free(shapes);
    return status;
}

static void input_shapes(const struct i3d_boring *b, struct i3d_shape *image,
                         struct i3d_shape *video)
{
    *image = (struct i3d_shape){ I3D_FLOAT32, 4, { 1, b->flat_channels, b->height, b->width } };
    *video = (struct i3d_shape){ I3D_FLOAT32, 5,
                                 { 1, b->channels, b->frames, b->height, b->width } };
    if (b->time_axis == 1) { /* channels last */
        *image = (struct i3d_shape){ I3D_FLOAT32, 4, { 1, b->height, b->width, b->channels } };
        *video = (struct i3d_shape){ I3D_FLOAT32, 5,
                                     { 1, b->frames, b->height, b->width, b->channels } };
    }
}

enum i3d_status i3d_proof_image(const struct i3d_model *flat, const struct i3d_model *inflated,
                                const struct i3d_proof_options *options,
                                struct i3d_shape *image, struct i3d_error *error)
{
    struct i3d_boring sizes;
    struct i3d_shape video;
    enum i3d_status status = i3d_boring_sizes(flat, inflated, options, &sizes, error);
    if (!status)
        input_shapes(&sizes, image, &video);
    return status;
}

static enum i3d_status open_structures(struct i3d_prover *prover, const struct i3d_model *flat,
                                       const struct i3d_model *inflated, struct i3d_error *error)
{
    struct i3d_shape image, video;
    input_shapes(&prover->boring, &image, &video);
    enum i3d_status status = i3d_structure_open(flat, &image, false, &prover->flat, error);
    if (status && flat->path)
        i3d_error_file(error, flat->path);
    if (status)
        return status;
    status = i3d_structure_open(inflated, &video, true, &prover->inflated, error);
    if (status && inflated->path)
        i3d_error_file(error, inflated->path);
    return status ? blame_the_clip(inflated, prover->boring.frames, status, error) : I3D_OK;
}

/* Whether the 3D file fixes the clip's length. */
static bool clip_is_fixed(const struct i3d_model *inflated)
{
    return inflated->inputs[0].dims[inflated->time_axis].value > 0;
}

/* The shortest clip with a clean frame of the result; takes it for the proof where
 * that was asked for. */
static enum i3d_status find_shortest(struct i3d_prover *prover, const struct i3d_model *inflated,
                                     struct i3d_error *error)
{
    struct i3d_shape image, video;
    struct i3d_proof *proof = prover->proof;
    input_shapes(&prover->boring, &image, &video);
    enum i3d_status status = i3d_shortest_clean_clip(inflated, &video, true, LONGEST_SEARCH,
                                                     &proof->shortest_clip, error);
    if (status || !prover->options->shortest)
        return status;
    if (proof->shortest_clip > 0 && !clip_is_fixed(inflated))
        prover->boring.frames = proof->shortest_clip;
    return I3D_OK;
}

static enum i3d_status trace(struct i3d_prover *prover, struct i3d_error *error)
{
    struct i3d_shape image, video;
    struct i3d_proof *proof = prover->proof;
    const struct i3d_model *inflated = prover->inflated.model;
    input_shapes(&prover->boring, &image, &video);
    enum i3d_status status = i3d_trace_frames(inflated, &video, true, &prover->frames, error);
    if (status)
        return status;
    proof->frames = prover->boring.frames;
    proof->result = inflated->output_count
        ? i3d_framewise_output(inflated, prover->frames, 0) : NULL;
    const struct i3d_frame_trace *result =
        proof->result ? i3d_frames_of(prover->frames, proof->result) : NULL;
    if (result) {
        proof->result_frames = result->frames;
        proof->result_clean_count = result->clean_count;
        proof->result_clean_first = result->clean_first;
        proof->result_clean_last = result->clean_last;
    } else {
        proof->result = NULL;
    }
    proof->deepest = i3d_deepest_clean(inflated, prover->frames);
    for (size_t i = 0; i < prover->count; i++) {
        struct i3d_layer_verdict *verdict = &proof->layers[i];
        const struct i3d_frame_trace *own =
            i3d_frames_of(prover->frames, prover->entries[i].inflated);
        if (!own)
            continue;
        verdict->timed = own->timed;
        verdict->frames = own->frames;
        verdict->clean_count = own->clean_count;
        verdict->clean_first = own->clean_first;
        verdict->clean_last = own->clean_last;
        verdict->never_clean = own->never;
    }
    return I3D_OK;
}

/* Says of which file it is that the engine lacks an operator. */
static enum i3d_status check_operators(const struct i3d_model *model, struct i3d_error *error)
{
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (i3d_engine_has(node))
            continue;
        enum i3d_status status =
            i3d_fail(error, I3D_UNSUPPORTED, "the forward pass lacks %s%s%s as it is used here",
                     node->domain, *node->domain ? "." : "", node->op_type);
        i3d_error_where(error, "node %s", *node->name ? node->name : node->outputs[0]);
        if (model->path)
            i3d_error_file(error, model->path);
        return status;
    }
    return I3D_OK;
}

/* Image number k, seeded or one that was given, and the video of it. */
static enum i3d_status make_input(const struct i3d_prover *prover, size_t k,
                                  struct i3d_array *image, struct i3d_array *video,
                                  struct i3d_error *error)
{
    const struct i3d_proof_options *options = prover->options;
    if (!options->image_count)
        return i3d_boring_input(&prover->boring, image, video, error);
    struct i3d_shape shape, unused;
    input_shapes(&prover->boring, &shape, &unused);
    const struct i3d_array *given = &options->images[k];
    if (given->dtype != I3D_FLOAT32 || given->rank != 4
        || memcmp(given->dims, shape.dims, 4 * sizeof *shape.dims)) {
        char is[64], wanted[64];
        return i3d_fail(error, I3D_USAGE, "image %zu is %s, the network takes %s", k + 1,
                        i3d_shape_string(given->rank, given->dims, is, sizeof is),
                        i3d_shape_string(4, shape.dims, wanted, sizeof wanted));
    }
    enum i3d_status status = i3d_array_copy(given, image, error);
    if (!status)
        status = i3d_boring_repeat(&prover->boring, image, video, error);
    if (status)
        i3d_array_free(image);
    return status;
}

static enum i3d_status run_images(struct i3d_prover *prover, struct i3d_error *error)
{
    const struct i3d_proof_options *options = prover->options;
    struct i3d_proof *proof = prover->proof;
    enum i3d_status status = I3D_OK;
    proof->images = options->image_count ? options->image_count : 1;
    proof->ran_boring = !options->skip_boring;
    proof->ran_deployed = options->deployed;
    for (size_t k = 0; k < proof->images && !status; k++) {
        struct i3d_array image, video;
        status = make_input(prover, k, &image, &video, error);
        if (status)
            return status;
        if (proof->ran_boring)
            status = i3d_judge(prover, I3D_PASS_BORING, &image, &video, error);
        if (!status && proof->ran_deployed)
            status = i3d_judge(prover, I3D_PASS_DEPLOYED, &image, &video, error);
        i3d_array_free(&image);
        i3d_array_free(&video);
    }
    return status;
}

static enum i3d_status run_motion(struct i3d_prover *prover, struct i3d_error *error)
{
    const struct i3d_array *given = prover->options->video;
    struct i3d_array video = { 0 };
    struct i3d_shape unused, shape;
    char is[64], wanted[64];
    input_shapes(&prover->boring, &unused, &shape);
    if (given && (given->dtype != I3D_FLOAT32 || given->rank != 5
                  || memcmp(given->dims, shape.dims, 5 * sizeof *shape.dims)))
        return i3d_fail(error, I3D_USAGE, "the video is %s, the network takes %s",
                        i3d_shape_string(given->rank, given->dims, is, sizeof is),
                        i3d_shape_string(5, shape.dims, wanted, sizeof wanted));
    enum i3d_status status = given ? I3D_OK : i3d_moving_input(&prover->boring, &video, error);
    if (!status)
        status = i3d_judge(prover, I3D_PASS_MOTION, NULL, given ? given : &video, error);
    prover->proof->ran_motion = true;
    i3d_array_free(&video);
    return status;
}

/* Measures what rounding explains, and judges again by it. */
static enum i3d_status allow_rounding(struct i3d_prover *prover, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    if (!may_be_rounding(prover))
        return I3D_OK;
    for (size_t k = 0; !k || (k < prover->options->image_count && !status); k++) {
        struct i3d_array image, video;
        status = make_input(prover, k, &image, &video, error);
        if (status)
            return status;
        status = i3d_judge(prover, I3D_PASS_ROUNDING, &image, &video, error);
        i3d_array_free(&image);
        i3d_array_free(&video);
    }
    for (size_t i = 0; i < prover->count && !status; i++)
        judge_again(prover->proof, &prover->proof->layers[i]);
    return status;
}

static enum i3d_status run(struct i3d_prover *prover, struct i3d_error *error)
{
    const struct i3d_proof_options *options = prover->options;
    if (options->audit_only)
        return I3D_OK;
    enum i3d_status status = check_operators(prover->flat.model, error);
    if (!status)
        status = check_operators(prover->inflated.model, error);
    if (!status && (!options->skip_boring || options->deployed))
        status = run_images(prover, error);
    if (!status && options->motion)
        status = run_motion(prover, error);
    double roundoff = i3d_roundoff_of(prover);
    for (size_t i = 0; i < prover->count && !status; i++)
        judge_alone(prover, i, roundoff);
    if (!status)
        status = allow_rounding(prover, error);
    for (size_t i = 0; i < prover->count && !status; i++)
        i3d_diagnose(prover, i);
    return status;
}

static enum i3d_status pair(struct i3d_prover *prover, struct i3d_error *error)
{
    enum i3d_status status =
        i3d_pair_graphs(&prover->flat, &prover->inflated, &prover->pairing, error);
    if (!status && !prover->pairing.pair_count)
        status = i3d_fail(error, I3D_UNSUPPORTED, "the two networks have no layer in common: %s",
                          prover->pairing.obstacle);
    if (!status)
        status = i3d_find_moved_scales(&prover->pairing, error);
    if (!status)
        status = make_room(prover, error);
    if (!status)
        list_entries(prover);
    return status;
}

static enum i3d_status prove(struct i3d_prover *prover, const struct i3d_model *flat,
                             const struct i3d_model *inflated, struct i3d_error *error)
{
    const struct i3d_proof_options *options = prover->options;
    enum i3d_status status = i3d_boring_sizes(flat, inflated, options, &prover->boring, error);
    if (!status)
        status = find_shortest(prover, inflated, error);
    if (!status)
        status = open_structures(prover, flat, inflated, error);
    if (!status)
        status = pair(prover, error);
    if (status)
        return status;
    prover->proof->tolerance =
        options->tolerance < 0 ? i3d_tolerance(i3d_roundoff_of(prover)) : options->tolerance;
    struct i3d_shape image, video;
    input_shapes(&prover->boring, &image, &video);
    status = audit_all(prover, error);
    if (!status)
        status = trace(prover, error);
    if (!status)
        status = i3d_audit_recipe(prover, &video, error);
    if (!status)
        status = run(prover, error);
    if (!status)
        conclude(prover);
    return status;
}

static void free_prover(struct i3d_prover *prover)
{
    free(prover->entries);
    free(prover->terms);
    free(prover->responses);
    free(prover->partners);
    i3d_frames_free(prover->frames);
    i3d_pairing_free(&prover->pairing);
    i3d_structure_close(&prover->flat);
    i3d_structure_close(&prover->inflated);
}

/* A copy whose weights are all stored tensors, whatever made them in the file. */
static enum i3d_status settle(const struct i3d_model *model, struct i3d_model **settled,
                              struct i3d_error *error)
{
    enum i3d_status status = i3d_model_copy(model, settled, error);
    if (!status)
        status = i3d_resolve_constants(*settled, error);
    if (status && model->path)
        i3d_error_file(error, model->path);
    return status;
}

double i3d_tolerance(double roundoff)
{
    return roundoff <= 0x1p-24 ? 1e-5 : 16 * roundoff;
}

enum i3d_status i3d_prove(const struct i3d_model *flat, const struct i3d_model *inflated,
                          const struct i3d_proof_options *options, struct i3d_proof *proof,
                          struct i3d_error *error)
{
    struct i3d_prover prover = { .options = options, .proof = proof };
    *proof = (struct i3d_proof){ .first_bad = -1 };
    enum i3d_status status = settle(flat, &proof->flat, error);
    if (!status)
        status = settle(inflated, &proof->inflated, error);
    if (!status)
        status = prove(&prover, proof->flat, proof->inflated, error);
    free_prover(&prover);
    if (status)
        i3d_proof_free(proof);
    return status;
}

void i3d_proof_free(struct i3d_proof *proof)
{
    for (size_t i = 0; i < proof->layer_count; i++)
        free(proof->layers[i].deviation);
    free(proof->layers);
    free(proof->names_2d);
    free(proof->names_3d);
    i3d_model_free(proof->flat);
    i3d_model_free(proof->inflated);
    *proof = (struct i3d_proof){ .first_bad = -1 };
}
