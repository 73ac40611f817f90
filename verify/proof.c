#include "verify/array.h"
#include "verify/audit.h"
#include "verify/boring.h"

#include "converters/inflate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two values to be compared, and by that one layer of the proof. */
struct entry {
    const char *flat, *inflated;
    int64_t node; /* in 2D; -1: an output, behind layers that compute */
    /* The next entry + 1 with the same value in 2D, or in 3D; 0: none. */
    size_t next_flat, next_inflated;
    struct i3d_array activation; /* of the 2D network, until it is compared */
};

struct prover {
    struct i3d_structure flat, inflated;
    const struct i3d_proof_options *options;
    struct i3d_boring boring;
    struct i3d_pairing pairing;
    struct i3d_proof *proof;
    struct entry *entries;
    size_t count;
    size_t *first_flat, *first_inflated; /* by value: the first entry + 1, or 0 */
};

/* Keeps each 2D activation that has a partner. */
static enum i3d_status keep(void *context, const struct i3d_node *node, const char *value,
                            const struct i3d_array *array, struct i3d_error *error)
{
    struct prover *prover = context;
    (void)node;
    int64_t position = i3d_index_value(prover->flat.index, value);
    enum i3d_status status = I3D_OK;
    for (size_t k = position < 0 ? 0 : prover->first_flat[position]; k && !status;
         k = prover->entries[k - 1].next_flat)
        status = i3d_array_copy(array, &prover->entries[k - 1].activation, error);
    return status;
}

static enum i3d_status judge(struct prover *prover, size_t position, const struct i3d_array *array,
                             struct i3d_error *error)
{
    struct i3d_layer_verdict *verdict = &prover->proof->layers[position];
    struct i3d_array *flat = &prover->entries[position].activation;
    struct i3d_difference difference;
    enum i3d_status status =
        i3d_compare_frames(flat, array, prover->options->threads, &difference, error);
    if (status)
        return status;
    verdict->rank = array->rank;
    memcpy(verdict->dims, array->dims, sizeof verdict->dims);
    verdict->max_absolute = difference.max_absolute;
    verdict->max_relative = difference.largest > 0 ? difference.max_absolute / difference.largest
                                                   : difference.max_absolute;
    verdict->worst_frame = difference.worst_frame;
    verdict->good = verdict->max_relative <= prover->options->tolerance;
    if (!difference.comparable && verdict->audit_good) {
        char shape[64], flat_shape[64];
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "an activation of %s does not go with one of %s",
                 i3d_shape_string(array->rank, array->dims, shape, sizeof shape),
                 i3d_shape_string(flat->rank, flat->dims, flat_shape, sizeof flat_shape));
    }
    i3d_array_free(flat);
    return I3D_OK;
}

static enum i3d_status compare(void *context, const struct i3d_node *node, const char *value,
                               const struct i3d_array *array, struct i3d_error *error)
{
    struct prover *prover = context;
    (void)node;
    int64_t position = i3d_index_value(prover->inflated.index, value);
    enum i3d_status status = I3D_OK;
    for (size_t k = position < 0 ? 0 : prover->first_inflated[position]; k && !status;
         k = prover->entries[k - 1].next_inflated)
        status = judge(prover, k - 1, array, error);
    return status;
}

static enum i3d_status run_both(struct prover *prover, struct i3d_error *error)
{
    struct i3d_array image = { 0 }, video = { 0 };
    const struct i3d_model *flat = prover->flat.model, *inflated = prover->inflated.model;
    struct i3d_run_options options = { .engine = prover->options->engine,
                                       .threads = prover->options->threads };
    enum i3d_status status = i3d_boring_input(&prover->boring, &image, &video, error);
    if (!status) {
        status = i3d_run(flat, &image, &options, keep, prover, NULL, error);
        if (status && flat->path)
            i3d_error_file(error, flat->path);
    }
    i3d_array_free(&image);
    if (!status) {
        options.time_padding = I3D_TIME_EDGE;
        status = i3d_run(inflated, &video, &options, compare, prover, NULL, error);
        if (status && inflated->path)
            i3d_error_file(error, inflated->path);
    }
    i3d_array_free(&video);
    return status;
}

static void add_entry(struct prover *prover, const char *flat, const char *inflated, int64_t node)
{
    prover->entries[prover->count++] = (struct entry){ .flat = flat, .inflated = inflated,
                                                       .node = node };
}

/* Whether two values come from paired nodes. */
static bool are_paired(const struct prover *prover, const char *value, const char *other)
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
static void list_entries(struct prover *prover)
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

static enum i3d_status index_entries(struct prover *prover, struct i3d_error *error)
{
    size_t room = prover->flat.model->node_count + prover->flat.model->output_count + 1;
    prover->entries = calloc(room, sizeof *prover->entries);
    prover->proof->layers = calloc(room, sizeof *prover->proof->layers);
    prover->first_flat =
        calloc(i3d_index_value_count(prover->flat.index) + 1, sizeof *prover->first_flat);
    prover->first_inflated =
        calloc(i3d_index_value_count(prover->inflated.index) + 1, sizeof *prover->first_inflated);
    if (!prover->entries || !prover->proof->layers || !prover->first_flat
        || !prover->first_inflated)
        return i3d_fail_memory(error);
    list_entries(prover);
    for (size_t i = prover->count; i-- > 0;) {
        struct entry *entry = &prover->entries[i];
        int64_t flat = i3d_index_value(prover->flat.index, entry->flat);
        int64_t inflated = i3d_index_value(prover->inflated.index, entry->inflated);
        entry->next_flat = prover->first_flat[flat];
        prover->first_flat[flat] = i + 1;
        entry->next_inflated = prover->first_inflated[inflated];
        prover->first_inflated[inflated] = i + 1;
    }
    return I3D_OK;
}

static enum i3d_status audit_all(struct prover *prover, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    prover->proof->layer_count = prover->count;
    for (size_t i = 0; i < prover->count && !status; i++) {
        const struct entry *entry = &prover->entries[i];
        struct i3d_layer_verdict *verdict = &prover->proof->layers[i];
        verdict->name = entry->flat;
        verdict->operation = "output";
        verdict->audit_good = true;
        verdict->max_absolute = verdict->max_relative = NAN; /* until it is computed */
        if (entry->node < 0)
            continue;
        verdict->operation = prover->flat.model->nodes[entry->node].op_type;
        status = i3d_audit_layer(&prover->pairing, (size_t)entry->node, verdict, error);
    }
    return status;
}

static void conclude(struct prover *prover)
{
    struct i3d_proof *proof = prover->proof;
    proof->unpaired_2d = prover->pairing.unpaired_flat;
    proof->unpaired_3d = prover->pairing.unpaired_inflated;
    proof->good = prover->pairing.outputs_paired && !*prover->pairing.obstacle;
    if (*prover->pairing.obstacle)
        snprintf(proof->obstacle, sizeof proof->obstacle, "%s", prover->pairing.obstacle);
    for (size_t i = 0; i < proof->layer_count; i++) {
        if (proof->layers[i].good && proof->layers[i].audit_good)
            continue;
        proof->good = false;
        if (proof->first_bad < 0)
            proof->first_bad = (int64_t)i;
    }
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

static enum i3d_status open_structures(struct prover *prover, const struct i3d_model *flat,
                                       const struct i3d_model *inflated, struct i3d_error *error)
{
    const struct i3d_boring *b = &prover->boring;
    struct i3d_shape image = { I3D_FLOAT32, 4, { 1, b->flat_channels, b->height, b->width } };
    struct i3d_shape video = { I3D_FLOAT32, 5,
                               { 1, b->channels, b->frames, b->height, b->width } };
    if (b->time_axis == 1) { /* channels last */
        image = (struct i3d_shape){ I3D_FLOAT32, 4, { 1, b->height, b->width, b->channels } };
        video = (struct i3d_shape){ I3D_FLOAT32, 5,
                                    { 1, b->frames, b->height, b->width, b->channels } };
    }
    enum i3d_status status = i3d_structure_open(flat, &image, false, &prover->flat, error);
    if (status && flat->path)
        i3d_error_file(error, flat->path);
    if (status)
        return status;
    status = i3d_structure_open(inflated, &video, true, &prover->inflated, error);
    if (status && inflated->path)
        i3d_error_file(error, inflated->path);
    return status ? blame_the_clip(inflated, b->frames, status, error) : I3D_OK;
}

static enum i3d_status prove(struct prover *prover, const struct i3d_model *flat,
                             const struct i3d_model *inflated, struct i3d_error *error)
{
    enum i3d_status status =
        i3d_boring_sizes(flat, inflated, prover->options, &prover->boring, error);
    if (!status)
        status = open_structures(prover, flat, inflated, error);
    if (!status)
        status = i3d_pair_graphs(&prover->flat, &prover->inflated, &prover->pairing, error);
    if (!status && !prover->pairing.pair_count)
        status = i3d_fail(error, I3D_UNSUPPORTED, "the two networks have no layer in common: %s",
                          prover->pairing.obstacle);
    if (!status)
        status = i3d_find_moved_scales(&prover->pairing, error);
    if (!status)
        status = index_entries(prover, error);
    if (!status)
        status = audit_all(prover, error);
    if (!status)
        status = run_both(prover, error);
    if (!status)
        conclude(prover);
    return status;
}

static void free_prover(struct prover *prover)
{
    for (size_t i = 0; i < prover->count; i++)
        i3d_array_free(&prover->entries[i].activation);
    free(prover->entries);
    free(prover->first_flat);
    free(prover->first_inflated);
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

enum i3d_status i3d_prove(const struct i3d_model *flat, const struct i3d_model *inflated,
                          const struct i3d_proof_options *options, struct i3d_proof *proof,
                          struct i3d_error *error)
{
    struct i3d_model *settled = NULL;
    struct prover prover = { .options = options, .proof = proof };
    *proof = (struct i3d_proof){ .first_bad = -1 };
    enum i3d_status status = settle(flat, &proof->flat, error);
    if (!status)
        status = settle(inflated, &settled, error);
    if (!status)
        status = prove(&prover, proof->flat, settled, error);
    free_prover(&prover);
    i3d_model_free(settled);
    if (status)
        i3d_proof_free(proof);
    return status;
}

void i3d_proof_free(struct i3d_proof *proof)
{
    free(proof->layers);
    i3d_model_free(proof->flat);
    *proof = (struct i3d_proof){ .first_bad = -1 };
}
