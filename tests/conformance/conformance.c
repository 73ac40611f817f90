/* Runs ONNX's own backend cases through the forward pass.
 *
 *     conformance [FOLDER]
 *
 * FOLDER (default: where Debian's libonnx-testdata puts it) holds the suites
 * node, simple, pytorch-converted and pytorch-operator; a case is a folder with
 * model.onnx and test_data_set_*, in which input_K.pb and output_K.pb are one
 * TensorProto each. Prints TAP; a case that is left out is a comment that says
 * why. Exit code 77 where the data is not there.
 *
 * A case is left out for three reasons only: an operator that the engine does
 * not claim, an element type that its arrays do not hold exactly, and what
 * `refused` lists. */
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/formats.h"
#include "formats/input.h"
#include "formats/onnx_read.h"
#include "verify/array.h"

static const double relative_tolerance = 1e-3, absolute_tolerance = 1e-7;

enum outcome { PASSED, FAILED, LEFT_OUT };

enum { REASON_SIZE = 1200, LARGEST_CASE = 64 };

/* Cases of claimed operators that ask for what only their data shows; names
 * start so. */
static const struct {
    const char *prefix, *reason;
} refused[] = {
    { "test_training_dropout", "Dropout that drops at random" },
    { "test_maxpool_2d_uint8", "MaxPool over integers" },
};

static bool may_refuse(const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (!strncmp(name, refused[i].prefix, strlen(refused[i].prefix)))
            return true;
    return false;
}

/* Stores the error's line as the reason. */
static enum outcome explain(const struct i3d_error *error, enum outcome outcome, char *reason)
{
    i3d_error_format(error, reason, REASON_SIZE);
    return outcome;
}

/* Types whose elements a float32, int64 or bool array holds exactly. */
static bool is_exact(enum i3d_dtype dtype)
{
    return i3d_array_dtype(dtype) && dtype != I3D_UINT64
        && (dtype == I3D_FLOAT32 || !i3d_dtype_is_float(dtype));
}

static bool values_are_exact(const struct i3d_value *values, size_t count, char *reason)
{
    for (size_t i = 0; i < count; i++) {
        if (is_exact(values[i].dtype))
            continue;
        snprintf(reason, REASON_SIZE, "%s is %s", values[i].name,
                 values[i].dtype ? i3d_dtype_name(values[i].dtype) : "no tensor");
        return false;
    }
    return true;
}

static enum outcome check_claims(const struct i3d_model *model, char *reason)
{
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (i3d_engine_has(node))
            continue;
        const char *form = i3d_engine_has(&(struct i3d_node){ .op_type = node->op_type,
                                                              .domain = node->domain })
            ? " in this form"
            : "";
        snprintf(reason, REASON_SIZE, "operator %s%s%s%s", node->domain, *node->domain ? "." : "",
                 node->op_type, form);
        return LEFT_OUT;
    }
    if (!values_are_exact(model->inputs, model->input_count, reason)
        || !values_are_exact(model->outputs, model->output_count, reason))
        return LEFT_OUT;
    return PASSED;
}

/* Reads the TensorProto that a file is. */
static enum i3d_status read_array(const char *path, struct i3d_array *array,
                                  struct i3d_error *error)
{
    struct i3d_file *file;
    struct i3d_tensor tensor = { 0 };
    struct i3d_arena *arena = i3d_arena_new();
    *array = (struct i3d_array){ 0 };
    if (!arena)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_input_open(path, &file, error);
    if (!status) {
        struct i3d_wire wire;
        bool held;
        const char *type_name;
        i3d_wire_init(&wire, file);
        status = i3d_onnx_read_tensor(&wire, arena, 0, i3d_file_size(file), &tensor, &held,
                                      &type_name, error);
        if (!status && !held)
            status = i3d_fail(error, I3D_UNSUPPORTED, "elements of %s", type_name);
        if (!status)
            status = i3d_array_load(&tensor, array, error);
        i3d_source_release(tensor.source);
        i3d_file_release(file);
    }
    i3d_arena_free(arena);
    if (status)
        i3d_error_file(error, path);
    return status;
}

static void free_arrays(struct i3d_array *arrays, size_t count)
{
    for (size_t i = 0; i < count; i++)
        i3d_array_free(&arrays[i]);
}

static enum i3d_status read_arrays(const char *folder, const char *kind, size_t count,
                                   struct i3d_array *arrays, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < count && !status; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s_%zu.pb", folder, kind, i);
        status = read_array(path, &arrays[i], error);
    }
    return status;
}

static bool close_enough(double value, double expected)
{
    if (isnan(expected) || isinf(expected))
        return isnan(expected) ? isnan(value) != 0 : value == expected;
    return fabs(value - expected) <= absolute_tolerance + relative_tolerance * fabs(expected);
}

static double element(const struct i3d_array *array, int64_t i)
{
    switch (array->dtype) {
    case I3D_FLOAT32: return (double)((float *)array->data)[i];
    case I3D_INT64: return (double)((int64_t *)array->data)[i];
    default: return ((uint8_t *)array->data)[i];
    }
}

static enum outcome compare(const char *name, const struct i3d_array *array,
                            const struct i3d_array *expected, char *reason)
{
    if (array->dtype != expected->dtype || !i3d_array_same_shape(array, expected)) {
        char shape[160], expected_shape[160];
        i3d_shape_string(array->rank, array->dims, shape, sizeof shape);
        i3d_shape_string(expected->rank, expected->dims, expected_shape, sizeof expected_shape);
        snprintf(reason, REASON_SIZE, "%s is %s %s, expected is %s %s", name,
                 i3d_dtype_name(array->dtype), shape, i3d_dtype_name(expected->dtype),
                 expected_shape);
        return FAILED;
    }
    int64_t count = i3d_array_elements(array);
    for (int64_t i = 0; i < count; i++) {
        if (close_enough(element(array, i), element(expected, i)))
            continue;
        snprintf(reason, REASON_SIZE, "%s: element %lld is %.9g, expected is %.9g", name,
                 (long long)i, element(array, i), element(expected, i));
        return FAILED;
    }
    return PASSED;
}

/* Runs the model on one data set. */
static enum outcome run_data_set(const char *case_name, const struct i3d_model *model,
                                 const char *folder, char *reason)
{
    struct i3d_array inputs[LARGEST_CASE] = { 0 }, expected[LARGEST_CASE] = { 0 };
    struct i3d_array outputs[LARGEST_CASE] = { 0 };
    struct i3d_run_options options = { .time_padding = I3D_TIME_AS_DEPLOYED };
    struct i3d_error error;
    enum outcome outcome = PASSED;
    if (model->input_count > LARGEST_CASE || model->output_count > LARGEST_CASE) {
        snprintf(reason, REASON_SIZE, "it has more than %d inputs or outputs", LARGEST_CASE);
        return FAILED;
    }
    if (read_arrays(folder, "input", model->input_count, inputs, &error)
        || read_arrays(folder, "output", model->output_count, expected, &error)) {
        outcome = explain(&error, FAILED, reason);
    } else {
        enum i3d_status status = i3d_run(model, inputs, &options, NULL, NULL, outputs, &error);
        bool refusal = status == I3D_UNSUPPORTED && may_refuse(case_name);
        if (status)
            outcome = explain(&error, refusal ? LEFT_OUT : FAILED, reason);
        for (size_t i = 0; i < model->output_count && outcome == PASSED; i++)
            outcome = compare(model->outputs[i].name, &outputs[i], &expected[i], reason);
    }
    free_arrays(inputs, model->input_count);
    free_arrays(expected, model->output_count);
    free_arrays(outputs, model->output_count);
    return outcome;
}

static enum outcome run_case(const char *name, const char *folder, char *reason)
{
    char path[PATH_MAX];
    struct i3d_model *model;
    struct i3d_error error;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    enum i3d_status status = i3d_read_model(path, &model, &error);
    if (status)
        return explain(&error, status == I3D_UNSUPPORTED ? LEFT_OUT : FAILED, reason);
    enum outcome outcome = check_claims(model, reason);
    int sets = 0;
    for (; outcome == PASSED; sets++) {
        struct stat there;
        snprintf(path, sizeof path, "%s/test_data_set_%d", folder, sets);
        if (stat(path, &there))
            break;
        outcome = run_data_set(name, model, path, reason);
    }
    if (outcome == PASSED && !sets) {
        snprintf(reason, REASON_SIZE, "it has no data");
        outcome = FAILED;
    }
    i3d_model_free(model);
    return outcome;
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Runs the cases of one suite; false if it is not there. */
static bool run_suite(const char *folder, const char *suite, int counts[3])
{
    char path[PATH_MAX / 2], reason[REASON_SIZE];
    struct dirent **entries;
    snprintf(path, sizeof path, "%s/%s", folder, suite);
    int count = scandir(path, &entries, not_hidden, alphasort);
    if (count < 0)
        return false;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        snprintf(path, sizeof path, "%s/%s/%s", folder, suite, name);
        enum outcome outcome = run_case(name, path, reason);
        counts[outcome]++;
        int number = counts[PASSED] + counts[FAILED];
        if (outcome == PASSED)
            printf("ok %d - %s/%s\n", number, suite, name);
        else if (outcome == FAILED)
            printf("not ok %d - %s/%s\n# %s\n", number, suite, name, reason);
        else
            printf("# left out: %s/%s: %s\n", suite, name, reason);
        free(entries[i]);
    }
    free(entries);
    return true;
}

int main(int argc, char **argv)
{
    static const char *const suites[] = { "node", "simple", "pytorch-converted",
                                          "pytorch-operator" };
    const char *folder = argc > 1 ? argv[1] : "/usr/share/libonnx-testdata/data";
    int counts[3] = { 0 };
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if (!run_suite(folder, suites[i], counts)) {
            printf("ok 1 - conformance # SKIP no folder %s/%s (Debian: libonnx-testdata)\n",
                   folder, suites[i]);
            return 77;
        }
    }
    printf("1..%d\n", counts[PASSED] + counts[FAILED]);
    printf("conformance: %d passed, %d failed, %d left out\n", counts[PASSED], counts[FAILED],
           counts[LEFT_OUT]);
    return counts[FAILED] || !counts[PASSED];
}
