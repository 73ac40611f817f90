#include "tools/verify_report.h"

#include <jansson.h>
#include <math.h>

/* JSON has no NaN and no infinity; null says that there is no number. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *value)
{
    char printable[512];
    return value ? json_string(i3d_printable(value, printable, sizeof printable)) : json_null();
}

static json_t *finding_to_json(const struct i3d_finding *finding)
{
    if (!finding->judged)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:I, s:b}", "max_absolute", number(finding->max_absolute),
                     "max_relative", number(finding->max_relative), "relative_l2",
                     number(finding->relative_l2), "worst_frame",
                     (json_int_t)finding->worst_frame, "good", finding->good);
}

static json_t *frames_to_json(const struct i3d_layer_verdict *layer)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:b}", "timed", layer->timed, "count",
                     (json_int_t)layer->frames, "clean", (json_int_t)layer->clean_count,
                     "clean_first", (json_int_t)layer->clean_first, "clean_last",
                     (json_int_t)layer->clean_last, "never_clean", layer->never_clean);
}

static json_t *layer_to_json(const struct i3d_layer_verdict *layer)
{
    json_t *shape = json_array();
    for (int k = 0; k < layer->rank; k++)
        json_array_append_new(shape, json_integer(layer->dims[k]));
    json_t *deviation = layer->deviation ? json_array() : json_null();
    for (int64_t t = 0; layer->deviation && t < layer->frames; t++)
        json_array_append_new(deviation, number((double)layer->deviation[t]));
    bool good = layer->audit_good && (!layer->judged || layer->good)
        && (!layer->alone.judged || layer->alone.good)
        && (!layer->clean.judged || layer->clean.good)
        && (!layer->motion.judged || layer->motion.good);
    struct i3d_finding boring = { .judged = layer->judged, .max_absolute = layer->max_absolute,
                                  .max_relative = layer->max_relative,
                                  .relative_l2 = layer->relative_l2,
                                  .worst_frame = layer->worst_frame, .good = layer->good };
    json_t *json = json_pack(
        "{s:o, s:o, s:s, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}",
        "name", text(layer->name), "twin", text(layer->twin), "operator", layer->operation,
        "shape", shape, "audited", layer->has_weights, "weights_good", layer->audit_good, "note",
        text(layer->audit_note), "boring", finding_to_json(&boring), "alone",
        finding_to_json(&layer->alone), "bound", number(layer->bound), "worst_case",
        number(layer->worst_case), "motion", finding_to_json(&layer->motion), "clean",
        finding_to_json(&layer->clean), "spoilt", finding_to_json(&layer->spoilt), "deviation",
        deviation, "good", good);
    if (json) {
        json_object_set_new(json, "frames", frames_to_json(layer));
        json_object_set_new(json, "tolerance", number(layer->tolerance));
        json_object_set_new(json, "rounding", number(layer->rounding));
    }
    return json;
}

static json_t *list(const char *const *names, size_t count)
{
    json_t *json = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(json, text(names[i]));
    return json;
}

static json_t *result_to_json(const struct i3d_proof *proof)
{
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "name", text(proof->result), "frames",
                     (json_int_t)proof->result_frames, "clean",
                     (json_int_t)proof->result_clean_count, "clean_first",
                     (json_int_t)proof->result_clean_first, "clean_last",
                     (json_int_t)proof->result_clean_last, "shortest_clip",
                     (json_int_t)proof->shortest_clip, "deepest_clean", text(proof->deepest));
}

enum i3d_status verify_print_json(const struct i3d_proof *proof, struct i3d_error *error)
{
    json_t *layers = json_array();
    char reason[1024];
    for (size_t i = 0; i < proof->layer_count; i++)
        json_array_append_new(layers, layer_to_json(&proof->layers[i]));
    json_t *json = json_pack(
        "{s:b, s:o, s:o, s:b, s:o, s:o, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "pass", proof->good,
        "first_bad", text(proof->first_bad < 0 ? NULL : proof->layers[proof->first_bad].name),
        "reason", text(verify_reason(proof, reason, sizeof reason)), "weights",
        proof->weights_good, "as_deployed",
        proof->ran_deployed ? json_boolean(proof->deployed_good) : json_null(), "recipe",
        text(*proof->recipe ? proof->recipe : NULL), "tolerance",
        proof->tolerance, "frames", (json_int_t)proof->frames, "images",
        (json_int_t)proof->images, "unpaired_2d", (json_int_t)proof->unpaired_2d, "unpaired_3d",
        (json_int_t)proof->unpaired_3d, "obstacle", text(proof->obstacle), "result",
        result_to_json(proof), "layers", layers);
    if (!json)
        return i3d_fail_memory(error);
    json_object_set_new(json, "only_2d", list(proof->names_2d, proof->unpaired_2d));
    json_object_set_new(json, "only_3d", list(proof->names_3d, proof->unpaired_3d));
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(json);
    return I3D_OK;
}
