#include "verify/prover.h"

#include "verify/array.h"
#include "verify/difference.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct judge {
    struct i3d_prover *prover;
    struct i3d_twins *twins;
    struct i3d_index *index; /* of the merged graph */
    enum i3d_pass pass;
    int threads;
    struct i3d_array *seen;  /* by value: a reference that is still there; not owned */
    bool *is_reference;      /* by value */
    double *scales;          /* by value: of a reference that was compared, or 0 */
    size_t *first, *next;    /* by value, by comparison: the next comparison + 1, or 0 */
};

/* The worse of what was found and what is. */
static void add_finding(struct i3d_finding *finding, const struct i3d_difference *difference,
                        int64_t frame, double absolute, double tolerance)
{
    double relative = difference->largest > 0 ? absolute / difference->largest : absolute;
    bool good = relative <= tolerance;
    bool worse = !finding->judged || !(relative <= finding->max_relative);
    if (worse && !(finding->judged && isnan(finding->max_relative))) {
        finding->max_absolute = absolute;
        finding->max_relative = relative;
        finding->worst_frame = frame;
    }
    if (!finding->judged || !(difference->relative_l2 <= finding->relative_l2))
        finding->relative_l2 = difference->relative_l2;
    finding->good = good && (finding->good || !finding->judged);
    finding->judged = true;
}

/* Frames that no zero reaches have to agree, the others are measured. */
static void judge_deployed(struct judge *judge, struct i3d_layer_verdict *verdict,
                           const struct i3d_difference *difference, const char *value)
{
    const struct i3d_frame_trace *trace = i3d_frames_of(judge->prover->frames, value);
    int64_t worst[2] = { -1, -1 }; /* clean, not clean */
    for (int64_t t = 0; t < difference->frames; t++) {
        bool clean = trace && t < trace->frames && trace->clean[t];
        int64_t *at = &worst[!clean];
        if (*at < 0 || !(difference->by_frame[t] <= difference->by_frame[*at]))
            *at = t;
    }
    double tolerance = judge->prover->proof->tolerance;
    struct i3d_difference part = *difference;
    part.relative_l2 = NAN; /* it is over all frames, clean or not */
    difference = &part;
    if (worst[0] >= 0)
        add_finding(&verdict->clean, difference, worst[0],
                    (double)difference->by_frame[worst[0]], tolerance);
    if (worst[1] >= 0)
        add_finding(&verdict->spoilt, difference, worst[1],
                    (double)difference->by_frame[worst[1]], INFINITY);
    if (!difference->comparable)
        add_finding(&verdict->clean, difference, 0, NAN, tolerance);
    double largest = difference->largest > 0 ? difference->largest : 1;
    if (!verdict->deviation && difference->comparable) {
        verdict->deviation = calloc((size_t)difference->frames, sizeof *verdict->deviation);
        verdict->frames = difference->frames;
    }
    for (int64_t t = 0; verdict->deviation && t < difference->frames && t < verdict->frames; t++) {
        float relative = (float)((double)difference->by_frame[t] / largest);
        if (!(relative <= verdict->deviation[t]))
            verdict->deviation[t] = relative;
    }
}

static void judge_boring(struct judge *judge, struct i3d_layer_verdict *verdict,
                         const struct i3d_difference *difference,
                         const struct i3d_array *flat, const struct i3d_array *inflated)
{
    struct i3d_finding found = { .judged = verdict->judged,
                                 .max_absolute = verdict->max_absolute,
                                 .max_relative = verdict->max_relative,
                                 .relative_l2 = verdict->relative_l2,
                                 .worst_frame = verdict->worst_frame, .good = verdict->good };
    add_finding(&found, difference, difference->worst_frame, difference->max_absolute,
                judge->prover->proof->tolerance);
    verdict->judged = true;
    verdict->max_absolute = found.max_absolute;
    verdict->max_relative = found.max_relative;
    verdict->relative_l2 = found.relative_l2;
    verdict->worst_frame = found.worst_frame;
    verdict->good = found.good;
    verdict->rank = inflated->rank;
    memcpy(verdict->dims, inflated->dims, sizeof verdict->dims);
    if (!difference->comparable && verdict->audit_good) {
        char shape[64], flat_shape[64];
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "an activation of %s does not go with one of %s",
                 i3d_shape_string(inflated->rank, inflated->dims, shape, sizeof shape),
                 i3d_shape_string(flat->rank, flat->dims, flat_shape, sizeof flat_shape));
    }
}

static double largest_of(const struct i3d_array *array)
{
    const float *values = array->data;
    int64_t count = array->dtype == I3D_FLOAT32 ? i3d_array_elements(array) : 0;
    float largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmaxf(largest, isfinite(values[i]) ? fabsf(values[i]) : 0);
    return (double)largest;
}

bool i3d_keeps_distance(const struct i3d_node *node)
{
    static const char *const operators[] = {
        "Relu", "Clip", "MaxPool", "GlobalMaxPool", "Concat", "Dropout", "Identity", "Flatten",
        "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Split", "Slice",
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (i3d_is(node, operators[i]))
            return true;
    return i3d_is(node, "LeakyRelu") && fabsf(i3d_float(node, "alpha", 0.01f)) <= 1;
}

/* What the differences from a reference are relative to: its largest value, or that of what
 * it was cut out of. ReLU6 leaves 6 of 90, and the rounding of 90. */
static double scale_of(struct judge *judge, const char *reference, double largest)
{
    int64_t value = i3d_index_value(judge->index, reference);
    int64_t producer = i3d_index_producer(judge->index, reference);
    const struct i3d_node *node =
        producer == I3D_NOWHERE ? NULL : &judge->twins->model->nodes[producer];
    for (size_t k = 0; node && i3d_keeps_distance(node) && k < node->input_count; k++) {
        int64_t input = *node->inputs[k] ? i3d_index_value(judge->index, node->inputs[k]) : -1;
        if (input >= 0)
            largest = fmax(largest, judge->scales[input]);
    }
    judge->scales[value] = fmax(judge->scales[value], largest);
    return largest;
}

static enum i3d_status compare(struct judge *judge, const struct i3d_comparison *comparison,
                               const struct i3d_array *array, struct i3d_error *error)
{
    struct i3d_prover *prover = judge->prover;
    struct i3d_layer_verdict *verdict = &prover->proof->layers[comparison->layer];
    const struct i3d_array *reference =
        &judge->seen[i3d_index_value(judge->index, comparison->reference)];
    if (comparison->kind == I3D_MEASURE_TERMS) {
        prover->terms[comparison->layer] = fmax(prover->terms[comparison->layer],
                                                largest_of(array));
        prover->responses[comparison->layer] = fmax(prover->responses[comparison->layer],
                                                    largest_of(reference));
        return I3D_OK;
    }
    struct i3d_difference difference = { 0 };
    struct i3d_layout layout = { comparison->outer, 0, comparison->inner, comparison->in_motion };
    int64_t each = layout.outer * layout.inner;
    enum i3d_status status;
    if (each > 0 && i3d_array_elements(array) % each == 0
        && (comparison->in_motion || i3d_array_elements(reference) == each)) {
        layout.frames = i3d_array_elements(array) / each;
        status = i3d_compare_layout(reference, array, &layout, judge->threads,
                                    &difference, error);
    } else {
        status = i3d_compare_frames(reference, array, judge->threads, &difference, error);
    }
    if (status)
        return status;
    if (comparison->kind != I3D_COMPARE_ALONE)
        difference.largest = scale_of(judge, comparison->reference, difference.largest);
    double scale = difference.largest > 0 ? difference.largest : 1;
    if (comparison->kind == I3D_COMPARE_ROUNDED)
        verdict->rounding = fmax(verdict->rounding, difference.max_absolute / scale);
    else if (comparison->kind == I3D_COMPARE_ALONE)
        add_finding(&verdict->alone, &difference, difference.worst_frame, difference.max_absolute,
                    INFINITY); /* judged when the bound is known */
    else if (judge->pass == I3D_PASS_MOTION)
        add_finding(&verdict->motion, &difference, difference.worst_frame,
                    difference.max_absolute, prover->proof->tolerance);
    else if (judge->pass == I3D_PASS_DEPLOYED)
        judge_deployed(judge, verdict, &difference, prover->entries[comparison->layer].inflated);
    else
        judge_boring(judge, verdict, &difference, reference, array);
    i3d_difference_free(&difference);
    return I3D_OK;
}

static enum i3d_status observe(void *context, const struct i3d_node *node, const char *value,
                               const struct i3d_array *array, struct i3d_error *error)
{
    struct judge *judge = context;
    (void)node;
    int64_t number = i3d_index_value(judge->index, value);
    enum i3d_status status = I3D_OK;
    if (number < 0)
        return I3D_OK;
    if (judge->is_reference[number])
        judge->seen[number] = *array; /* it stays until what holds it has run */
    for (size_t k = judge->first[number]; k && !status; k = judge->next[k - 1])
        status = compare(judge, &judge->twins->comparisons[k - 1], array, error);
    return status;
}

/* Where the values of the comparisons are, by number. */
static enum i3d_status list_comparisons(struct judge *judge, struct i3d_error *error)
{
    const struct i3d_twins *twins = judge->twins;
    judge->index = i3d_index_new(twins->model);
    size_t values = judge->index ? i3d_index_value_count(judge->index) + 1 : 0;
    judge->seen = calloc(values, sizeof *judge->seen);
    judge->is_reference = calloc(values, sizeof *judge->is_reference);
    judge->scales = calloc(values, sizeof *judge->scales);
    judge->first = calloc(values, sizeof *judge->first);
    judge->next = calloc(twins->count + 1, sizeof *judge->next);
    if (!judge->index || !judge->seen || !judge->is_reference || !judge->scales || !judge->first
        || !judge->next)
        return i3d_fail_memory(error);
    for (size_t i = twins->count; i-- > 0;) {
        int64_t value = i3d_index_value(judge->index, twins->comparisons[i].value);
        int64_t reference = i3d_index_value(judge->index, twins->comparisons[i].reference);
        if (value < 0 || reference < 0)
            continue;
        judge->is_reference[reference] = true;
        judge->next[i] = judge->first[value];
        judge->first[value] = i + 1;
    }
    return I3D_OK;
}

/* Appends the comparison of an entry; what it is compared with has to be there. */
static enum i3d_status compare_entry(struct i3d_prover *prover, struct i3d_twins *twins,
                                     size_t entry, const char *reference, bool in_motion)
{
    const char *inflated = prover->entries[entry].inflated;
    const struct i3d_frame_trace *trace =
        prover->frames ? i3d_frames_of(prover->frames, inflated) : NULL;
    struct i3d_comparison comparison = {
        .kind = I3D_COMPARE_WHOLE, .layer = entry, .reference = reference,
        .value = i3d_twins_name(twins, I3D_INFLATED, inflated),
        .outer = trace ? trace->outer : 0, .inner = trace ? trace->inner : 0,
        .in_motion = in_motion,
    };
    return comparison.value && reference ? i3d_twins_compare(twins, comparison)
                                         : i3d_fail_memory(twins->error);
}

/* Everything that has to run ahead of a 3D node: references of its values, and the layers
 * alone. held gets what has to stay until it ran. */
static enum i3d_status prepare(struct judge *judge, struct i3d_motion *motion, int64_t position,
                               const char **held, size_t *held_count)
{
    struct i3d_prover *prover = judge->prover;
    const struct i3d_node *node = &prover->inflated.model->nodes[position];
    enum i3d_status status = motion ? i3d_motion_node(motion, position) : I3D_OK;
    for (size_t e = 0; e < prover->count && !status; e++) {
        const struct i3d_entry *entry = &prover->entries[e];
        bool here = false;
        for (size_t k = 0; k < node->output_count; k++)
            here |= *node->outputs[k] && !strcmp(node->outputs[k], entry->inflated);
        if (!here)
            continue;
        const char *reference;
        int64_t length = 1;
        if (motion) {
            reference = entry->node < 0
                ? i3d_motion_bridge(motion, entry->flat, entry->inflated, &length)
                : motion->names[i3d_index_value(prover->flat.index, entry->flat)];
            const struct i3d_frame_trace *trace = i3d_frames_of(prover->frames, entry->inflated);
            if (!reference || !trace)
                continue;
        } else {
            status = i3d_twins_emit_flat(judge->twins, entry->flat);
            reference = i3d_twins_name(judge->twins, I3D_REFERENCE, entry->flat);
            if (!status && !reference)
                status = i3d_fail_memory(judge->twins->error);
        }
        if (!status && judge->pass == I3D_PASS_BORING)
            status = i3d_add_alone(prover, judge->twins, e);
        if (!status)
            status = compare_entry(prover, judge->twins, e, reference, motion != NULL);
        held[(*held_count)++] = reference;
    }
    return status;
}

static enum i3d_status merge(struct judge *judge)
{
    struct i3d_prover *prover = judge->prover;
    if (judge->pass == I3D_PASS_ROUNDING)
        return i3d_add_rounding(prover, judge->twins);
    const struct i3d_model *model = prover->inflated.model;
    const char **held = calloc(prover->count + 1, sizeof *held);
    struct i3d_motion motion;
    bool moves = judge->pass == I3D_PASS_MOTION;
    enum i3d_status status = held ? I3D_OK : i3d_fail_memory(judge->twins->error);
    if (moves) {
        enum i3d_status opened = i3d_motion_open(&motion, prover, judge->twins);
        status = status ? status : opened;
    }
    for (size_t i = 0; i < model->node_count && !status; i++) {
        size_t held_count = 0;
        status = prepare(judge, moves ? &motion : NULL, (int64_t)i, held, &held_count);
        if (!status && !i3d_twins_copy(judge->twins, I3D_INFLATED, &model->nodes[i]))
            status = i3d_fail_memory(judge->twins->error);
        for (size_t k = 0; k < held_count && !status; k++)
            status = i3d_twins_hold(judge->twins, held[k]);
    }
    if (moves)
        i3d_motion_close(&motion);
    free(held);
    return status;
}

enum i3d_status i3d_judge(struct i3d_prover *prover, enum i3d_pass pass,
                          const struct i3d_array *image, const struct i3d_array *video,
                          struct i3d_error *error)
{
    struct i3d_twins twins;
    int asked = prover->options->threads; /* OpenMP's own number is BLAS' while networks run */
    struct judge judge = { .prover = prover, .twins = &twins, .pass = pass,
                           .threads = asked > 0 ? asked : omp_get_max_threads() };
    enum i3d_status status = i3d_twins_open(&prover->pairing, prover->frames, image != NULL,
                                            &twins, error);
    if (!status)
        status = merge(&judge);
    if (!status)
        status = list_comparisons(&judge, error);
    struct i3d_array inputs[2] = { image ? *image : *video, *video };
    struct i3d_run_options options = {
        .engine = prover->options->engine,
        .threads = judge.threads,
        .time_padding = pass == I3D_PASS_BORING ? I3D_TIME_EDGE : I3D_TIME_AS_DEPLOYED,
    };
    if (!status)
        status = i3d_run(twins.model, inputs, &options, observe, &judge, NULL, error);
    i3d_index_free(judge.index);
    free(judge.seen);
    free(judge.is_reference);
    free(judge.scales);
    free(judge.first);
    free(judge.next);
    i3d_twins_close(&twins);
    return status;
}
