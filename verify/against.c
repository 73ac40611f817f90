#include "verify/against.h"

#include "model/index.h"
#include "verify/array.h"
#include "verify/boring.h"
#include "verify/difference.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum i3d_status i3d_input_shape(const struct i3d_model *model,
                                const struct i3d_proof_options *options,
                                struct i3d_shape *shape, struct i3d_error *error)
{
    int time = model->time_axis, rank = time < 0 ? 4 : 5;
    int channel = time == 1 ? 4 : 1, width = rank - 1 - (time == 1);
    if (model->input_count != 1 || model->inputs[0].rank != rank)
        return i3d_fail(error, I3D_UNSUPPORTED, "the network does not take one image or video");
    *shape = (struct i3d_shape){ .dtype = I3D_FLOAT32, .rank = rank };
    for (int k = 0; k < rank; k++) {
        int64_t open = k == channel  ? 3
            : k == time              ? (options->frames ? options->frames : 64)
            : k == width             ? (options->width ? options->width : 224)
            : k == width - 1         ? (options->height ? options->height : 224)
                                     : 1;
        int64_t declared = model->inputs[0].dims[k].value;
        shape->dims[k] = declared > 0 ? declared : open;
    }
    return I3D_OK;
}

enum i3d_status i3d_noise_input(const struct i3d_model *model,
                                const struct i3d_proof_options *options,
                                struct i3d_array *input, struct i3d_error *error)
{
    struct i3d_shape shape;
    enum i3d_status status = i3d_input_shape(model, options, &shape, error);
    if (!status)
        status = i3d_array_new(I3D_FLOAT32, shape.rank, shape.dims, input, error);
    if (!status)
        i3d_normal_values(options->seed, input);
    return status;
}

/* What an observer needs. */
struct comparer {
    const struct i3d_model *theirs;
    struct i3d_index *index; /* of theirs */
    const struct i3d_proof_options *options;
    struct i3d_against *against;
    bool *used; /* by tensor of theirs */
    int threads;
};

/* Integers and truths are either equal or not. */
static void compare_exactly(const struct i3d_array *ours, const struct i3d_array *theirs,
                            struct i3d_shared_value *value)
{
    bool equal = !memcmp(ours->data, theirs->data, i3d_array_bytes(ours));
    value->max_absolute = value->max_relative = value->relative_l2 = equal ? 0 : INFINITY;
}

static enum i3d_status compare(const struct comparer *comparer, const struct i3d_array *ours,
                               const struct i3d_array *theirs, struct i3d_shared_value *value,
                               struct i3d_error *error)
{
    struct i3d_difference difference;
    value->comparable = ours->dtype == theirs->dtype && i3d_array_same_shape(ours, theirs);
    value->max_absolute = value->max_relative = value->relative_l2 = NAN;
    if (!value->comparable)
        return I3D_OK;
    int64_t count = i3d_array_elements(ours);
    if (!count || ours->dtype != I3D_FLOAT32) {
        if (count)
            compare_exactly(ours, theirs, value);
        else
            value->max_absolute = value->max_relative = value->relative_l2 = 0;
        return I3D_OK;
    }
    int rank = ours->rank, split = rank > 2 ? rank - 2 : 0; /* planes side by side */
    const struct i3d_layout layout = { .outer = 1, .frames = i3d_array_span(ours, 0, split),
                                       .inner = i3d_array_span(ours, split, rank),
                                       .in_motion = true };
    enum i3d_status status = i3d_compare_layout(theirs, ours, &layout, comparer->threads,
                                                &difference, error);
    if (status)
        return status;
    value->max_absolute = difference.max_absolute;
    value->max_relative = difference.largest > 0 ? difference.max_absolute / difference.largest
                                                 : difference.max_absolute;
    value->relative_l2 = difference.relative_l2;
    i3d_difference_free(&difference);
    return I3D_OK;
}

static enum i3d_status observe(void *context, const struct i3d_node *node, const char *name,
                               const struct i3d_array *array, struct i3d_error *error)
{
    struct comparer *comparer = context;
    struct i3d_against *against = comparer->against;
    int64_t position = i3d_index_tensor(comparer->index, name);
    if (position == I3D_NOWHERE || comparer->used[position])
        return I3D_OK;
    const struct i3d_tensor *tensor = &comparer->theirs->tensors[position];
    struct i3d_shared_value *value = &against->values[against->count];
    *value = (struct i3d_shared_value){ .name = tensor->name, .operation = node->op_type,
                                        .rank = array->rank, .other_rank = tensor->rank };
    memcpy(value->dims, array->dims, sizeof value->dims);
    memcpy(value->other_dims, tensor->dims, sizeof value->other_dims);
    struct i3d_array theirs;
    enum i3d_status status = i3d_array_load(tensor, &theirs, error);
    if (status)
        return i3d_error_where(error, "tensor %s", tensor->name);
    status = compare(comparer, array, &theirs, value, error);
    i3d_array_free(&theirs);
    value->good = value->max_relative <= against->tolerance;
    if (!(value->max_relative <= against->worst))
        against->worst = isnan(against->worst) ? NAN : value->max_relative;
    if (!value->good && against->first_bad < 0)
        against->first_bad = (int64_t)against->count;
    comparer->used[position] = true;
    against->count++;
    return status;
}

static double unit_roundoff(const struct i3d_model *model)
{
    double roundoff = 0x1p-24;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].rank > 1)
            roundoff = fmax(roundoff, model->tensors[i].dtype == I3D_FLOAT16    ? 0x1p-11
                                : model->tensors[i].dtype == I3D_BFLOAT16 ? 0x1p-8 : 0);
    return roundoff;
}

static enum i3d_status make_room(const struct i3d_model *model, struct comparer *comparer,
                                 const char ***names, struct i3d_error *error)
{
    size_t count = comparer->theirs->tensor_count;
    struct i3d_against *against = comparer->against;
    const struct i3d_proof_options *options = comparer->options;
    *against = (struct i3d_against){
        .values = calloc(count + 1, sizeof *against->values),
        .strangers = calloc(count + 1, sizeof *against->strangers),
        .first_bad = -1,
        .tolerance = options->tolerance >= 0 ? options->tolerance
                                             : fmax(1e-4, i3d_tolerance(unit_roundoff(model))),
    };
    comparer->index = i3d_index_new(comparer->theirs);
    comparer->used = calloc(count + 1, sizeof *comparer->used);
    *names = calloc(count + 1, sizeof **names);
    if (!against->values || !against->strangers || !comparer->index || !comparer->used || !*names)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < count; i++)
        (*names)[i] = comparer->theirs->tensors[i].name;
    return I3D_OK;
}

static enum i3d_status conclude(const struct i3d_model *model, const struct comparer *comparer,
                                struct i3d_error *error)
{
    struct i3d_against *against = comparer->against;
    for (size_t i = 0; i < comparer->theirs->tensor_count; i++) {
        const char *name = comparer->theirs->tensors[i].name;
        bool is_input = false;
        for (size_t k = 0; k < model->input_count; k++)
            is_input = is_input || !strcmp(name, model->inputs[k].name);
        if (!comparer->used[i] && !is_input)
            against->strangers[against->stranger_count++] = name;
    }
    for (size_t i = 0; i < model->node_count; i++)
        for (size_t k = 0; k < model->nodes[i].output_count; k++)
            against->missing += *model->nodes[i].outputs[k]
                && i3d_index_tensor(comparer->index, model->nodes[i].outputs[k]) == I3D_NOWHERE;
    against->good = against->first_bad < 0;
    return against->count ? I3D_OK
                          : i3d_fail(error, I3D_UNSUPPORTED,
                                     "no tensor has the name of a value of the network");
}

enum i3d_status i3d_compare_against(const struct i3d_model *model, const struct i3d_array *inputs,
                                    const struct i3d_model *theirs,
                                    const struct i3d_proof_options *options,
                                    struct i3d_against *against, struct i3d_error *error)
{
    struct comparer comparer = { .theirs = theirs, .options = options, .against = against,
                                 .threads = options->threads > 0 ? options->threads
                                                                 : omp_get_max_threads() };
    const char **names = NULL;
    enum i3d_status status = make_room(model, &comparer, &names, error);
    const struct i3d_run_options run = { .engine = options->engine, .threads = comparer.threads,
                                         .wanted = names, .wanted_count = theirs->tensor_count };
    if (!status)
        status = i3d_run(model, inputs, &run, observe, &comparer, NULL, error);
    if (!status)
        status = conclude(model, &comparer, error);
    i3d_index_free(comparer.index);
    free(comparer.used);
    free(names);
    return status;
}

void i3d_against_free(struct i3d_against *against)
{
    free(against->values);
    free(against->strangers);
    *against = (struct i3d_against){ .first_bad = -1 };
}
