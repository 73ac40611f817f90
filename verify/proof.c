#include "verify/audit.h"
#include "verify/boring.h"

#include "converters/inflate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prover {
    struct i3d_side flat, inflated;
    const struct i3d_proof_options *options;
    struct i3d_pairing pairing;
    struct i3d_proof *proof;
    struct i3d_array *activations; /* of the 2D network, by entry */
    /* By value of either graph: its first entry + 1; entries that share the value
     * follow by next_flat and next_inflated (same encoding). */
    size_t *first_flat, *first_inflated, *next_flat, *next_inflated;
};

static enum i3d_status copy_array(const struct i3d_array *array, struct i3d_array *copy,
                                  struct i3d_error *error)
{
    enum i3d_status status =
        i3d_array_new(array->dtype, array->rank, array->dims, copy, error);
    int64_t elements = i3d_element_count(array->rank, array->dims);
    if (!status && elements > 0)
        memcpy(copy->data, array->data, (size_t)elements * i3d_dtype_size(array->dtype));
    return status;
}

/* Keeps each 2D activation that has a partner. */
static enum i3d_status keep(void *context, const struct i3d_node *node, const char *value,
                            const struct i3d_array *array, struct i3d_error *error)
{
    struct prover *prover = context;
    (void)node;
    int64_t position = i3d_index_value(prover->flat.index, value);
    enum i3d_status status = I3D_OK;
    for (size_t entry = position < 0 ? 0 : prover->first_flat[position]; entry && !status;
         entry = prover->next_flat[entry - 1])
        status = copy_array(array, &prover->activations[entry - 1], error);
    return status;
}

static void judge(struct prover *prover, size_t entry, const struct i3d_array *array)
{
    struct i3d_layer_verdict *verdict = &prover->proof->layers[entry];
    struct i3d_array *flat = &prover->activations[entry];
    struct i3d_difference difference;
    i3d_compare_frames(flat, array, &difference);
    verdict->rank = array->rank;
    memcpy(verdict->dims, array->dims, sizeof verdict->dims);
    verdict->max_absolute = difference.max_absolute;
    verdict->max_relative = difference.largest > 0 ? difference.max_absolute / difference.largest
                                                   : difference.max_absolute;
    verdict->worst_frame = difference.worst_frame;
    verdict->good = verdict->max_relative <= prover->options->tolerance;
    if (!difference.comparable && flat->data && verdict->audit_good) {
        char shape[64], flat_shape[64];
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "an activation of %s does not go with one of %s",
                 i3d_shape_string(array->rank, array->dims, shape, sizeof shape),
                 i3d_shape_string(flat->rank, flat->dims, flat_shape, sizeof flat_shape));
    }
    i3d_array_free(flat);
}

static enum i3d_status compare(void *context, const struct i3d_node *node, const char *value,
                               const struct i3d_array *array, struct i3d_error *error)
{
    struct prover *prover = context;
    (void)node;
    (void)error;
    int64_t position = i3d_index_value(prover->inflated.index, value);
    for (size_t entry = position < 0 ? 0 : prover->first_inflated[position]; entry;
         entry = prover->next_inflated[entry - 1])
        judge(prover, entry - 1, array);
    return I3D_OK;
}

/* The value of input dim k, or the fallback where the file leaves it open. */
static int64_t declared(const struct i3d_value *input, int k, int64_t fallback)
{
    return input->dims[k].value > 0 ? input->dims[k].value : fallback;
}

static enum i3d_status choose_sizes(const struct prover *prover, struct i3d_boring *boring,
                                    struct i3d_error *error)
{
    const struct i3d_proof_options *options = prover->options;
    const struct i3d_model *flat = prover->flat.model, *inflated = prover->inflated.model;
    if (flat->input_count != 1 || flat->inputs[0].rank != 4)
        return i3d_fail(error, I3D_UNSUPPORTED, "the 2D network does not take one N×C×H×W image");
    if (inflated->input_count != 1 || inflated->inputs[0].rank != 5 || inflated->time_axis != 2)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "the 3D network does not take one N×C×T×H×W video");
    const struct i3d_value *image = &flat->inputs[0], *video = &inflated->inputs[0];
    int64_t fixed = video->dims[2].value > 0 ? video->dims[2].value : 0;
    if (fixed && options->frames && fixed != options->frames)
        return i3d_fail(error, I3D_USAGE, "the 3D file is for clips of %lld frames, not %lld",
                        (long long)fixed, (long long)options->frames);
    int64_t height = options->height ? options->height : declared(video, 3, 224);
    int64_t width = options->width ? options->width : declared(video, 4, 224);
    *boring = (struct i3d_boring){
        .flat_channels = declared(image, 1, 3),
        .channels = declared(video, 1, declared(image, 1, 3)),
        .frames = fixed ? fixed : options->frames ? options->frames : 64,
        .height = declared(image, 2, height),
        .width = declared(image, 3, width),
        .seed = options->seed,
    };
    if (declared(image, 0, 1) != 1 || declared(video, 0, 1) != 1)
        return i3d_fail(error, I3D_UNSUPPORTED, "networks for a fixed batch of more than one");
    return I3D_OK;
}

static enum i3d_status run_both(struct prover *prover, struct i3d_error *error)
{
    struct i3d_boring boring;
    struct i3d_array image = { 0 }, video = { 0 };
    enum i3d_status status = choose_sizes(prover, &boring, error);
    if (!status)
        status = i3d_boring_input(&boring, &image, &video, error);
    struct i3d_run_options options = { .threads = prover->options->threads };
    if (!status) {
        status = i3d_run(prover->flat.model, &image, &options, keep, prover, NULL, error);
        if (status && prover->flat.model->path)
            i3d_error_file(error, prover->flat.model->path);
    }
    i3d_array_free(&image);
    if (!status) {
        options.time_padding = I3D_TIME_EDGE;
        status = i3d_run(prover->inflated.model, &video, &options, compare, prover, NULL, error);
        if (status && prover->inflated.model->path)
            i3d_error_file(error, prover->inflated.model->path);
    }
    i3d_array_free(&video);
    return status;
}

/* Chains the entries by the values that they compare. */
static enum i3d_status index_entries(struct prover *prover, struct i3d_error *error)
{
    size_t count = prover->pairing.count;
    prover->first_flat =
        calloc(i3d_index_value_count(prover->flat.index) + 1, sizeof *prover->first_flat);
    prover->first_inflated =
        calloc(i3d_index_value_count(prover->inflated.index) + 1, sizeof *prover->first_inflated);
    prover->next_flat = calloc(count + 1, sizeof *prover->next_flat);
    prover->next_inflated = calloc(count + 1, sizeof *prover->next_inflated);
    prover->activations = calloc(count + 1, sizeof *prover->activations);
    prover->proof->layers = calloc(count + 1, sizeof *prover->proof->layers);
    if (!prover->first_flat || !prover->first_inflated || !prover->next_flat
        || !prover->next_inflated || !prover->activations || !prover->proof->layers)
        return i3d_fail_memory(error);
    for (size_t i = count; i-- > 0;) {
        const struct i3d_pairing_entry *entry = &prover->pairing.entries[i];
        int64_t flat = i3d_index_value(prover->flat.index, entry->flat);
        int64_t inflated = i3d_index_value(prover->inflated.index, entry->inflated);
        prover->next_flat[i] = prover->first_flat[flat];
        prover->first_flat[flat] = i + 1;
        prover->next_inflated[i] = prover->first_inflated[inflated];
        prover->first_inflated[inflated] = i + 1;
    }
    return I3D_OK;
}

static enum i3d_status audit_all(struct prover *prover, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    prover->proof->layer_count = prover->pairing.count;
    for (size_t i = 0; i < prover->pairing.count && !status; i++) {
        const struct i3d_pairing_entry *entry = &prover->pairing.entries[i];
        struct i3d_layer_verdict *verdict = &prover->proof->layers[i];
        verdict->name = entry->flat;
        verdict->operation =
            entry->output ? "output" : prover->flat.model->nodes[entry->flat_node].op_type;
        verdict->max_absolute = verdict->max_relative = NAN; /* until it is computed */
        status = i3d_audit_layer(&prover->flat, &prover->inflated, entry, verdict, error);
    }
    return status;
}

static void conclude(struct prover *prover)
{
    struct i3d_proof *proof = prover->proof;
    proof->unpaired_2d = prover->pairing.unpaired_flat;
    proof->unpaired_3d = prover->pairing.unpaired_inflated;
    proof->good = prover->pairing.outputs_paired && !*prover->pairing.obstacle;
    snprintf(proof->obstacle, sizeof proof->obstacle, "%s", prover->pairing.obstacle);
    for (size_t i = 0; i < proof->layer_count; i++) {
        if (proof->layers[i].good && proof->layers[i].audit_good)
            continue;
        proof->good = false;
        if (proof->first_bad < 0)
            proof->first_bad = (int64_t)i;
    }
}

static enum i3d_status prove(struct prover *prover, struct i3d_error *error)
{
    enum i3d_status status = i3d_pair(&prover->flat, &prover->inflated, &prover->pairing, error);
    if (status)
        return status;
    if (!prover->pairing.count) {
        i3d_fail(error, I3D_UNSUPPORTED, "the two networks have no layer in common: %s",
                 prover->pairing.obstacle);
        return I3D_UNSUPPORTED;
    }
    status = index_entries(prover, error);
    if (!status)
        status = audit_all(prover, error);
    if (!status)
        status = run_both(prover, error);
    if (!status)
        conclude(prover);
    for (size_t i = 0; prover->activations && i < prover->pairing.count; i++)
        i3d_array_free(&prover->activations[i]);
    return status;
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

static enum i3d_status prove_settled(const struct i3d_model *flat,
                                     const struct i3d_model *inflated,
                                     const struct i3d_proof_options *options,
                                     struct i3d_proof *proof, struct i3d_error *error)
{
    struct i3d_index *flat_index = i3d_index_new(flat);
    struct i3d_index *inflated_index = i3d_index_new(inflated);
    struct prover prover = { .flat = { flat, flat_index },
                             .inflated = { inflated, inflated_index },
                             .options = options,
                             .proof = proof };
    enum i3d_status status = flat_index && inflated_index ? prove(&prover, error)
                                                          : i3d_fail_memory(error);
    i3d_pairing_free(&prover.pairing);
    free(prover.activations);
    free(prover.first_flat);
    free(prover.first_inflated);
    free(prover.next_flat);
    free(prover.next_inflated);
    i3d_index_free(flat_index);
    i3d_index_free(inflated_index);
    return status;
}

enum i3d_status i3d_prove(const struct i3d_model *flat, const struct i3d_model *inflated,
                          const struct i3d_proof_options *options, struct i3d_proof *proof,
                          struct i3d_error *error)
{
    struct i3d_model *settled = NULL;
    *proof = (struct i3d_proof){ .first_bad = -1 };
    enum i3d_status status = settle(flat, &proof->flat, error);
    if (!status)
        status = settle(inflated, &settled, error);
    if (!status)
        status = prove_settled(proof->flat, settled, options, proof, error);
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
