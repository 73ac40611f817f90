#include "tools/verify_against.h"

#include "formats/input.h"
#include "model/index.h"
#include "tools/arrays.h"
#include "verify/against.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void free_inputs(struct i3d_array *inputs, size_t count)
{
    for (size_t k = 0; inputs && k < count; k++)
        i3d_array_free(&inputs[k]);
    free(inputs);
}

static enum i3d_status load_input(const struct verify_one *one, const struct i3d_model *model,
                                  const struct i3d_model *reference, size_t k,
                                  struct i3d_array *input, struct i3d_error *error)
{
    const char *name = model->inputs[k].name;
    if (one->input && model->input_count == 1) {
        struct i3d_shape shape;
        enum i3d_status status = i3d_input_shape(model, &one->options, &shape, error);
        return status ? status : array_load_image(one->input, one->preprocessing, model, &shape,
                                                  input, error);
    }
    for (size_t i = 0; reference && i < reference->tensor_count; i++)
        if (!strcmp(reference->tensors[i].name, name)) {
            enum i3d_status status = i3d_array_load(&reference->tensors[i], input, error);
            return status ? i3d_error_where(error, "tensor %s", name) : I3D_OK;
        }
    return i3d_noise_input(model, &one->options, input, error);
}

/* Reads the model and makes its inputs, both the caller's, also on failure. */
static enum i3d_status open_network(const struct verify_one *one,
                                    const struct i3d_model *reference, struct i3d_model **model,
                                    struct i3d_array **inputs, struct i3d_error *error)
{
    enum i3d_status status = tool_read_graph(one->model, NULL, model, error);
    if (status)
        return status;
    *inputs = calloc((*model)->input_count + 1, sizeof **inputs);
    if (!*inputs)
        return i3d_fail_memory(error);
    for (size_t k = 0; k < (*model)->input_count && !status; k++)
        status = load_input(one, *model, reference, k, &(*inputs)[k], error);
    return status;
}

/* A dump in the making. */
struct dump {
    struct i3d_model *model; /* the file's: tensors with no source yet */
    struct i3d_index *index; /* of the network, to know each value once */
    bool *seen;              /* by its numbers */
    uint64_t *at;            /* by tensor: where its bytes start in the spool */
    uint64_t length;
    int spool;
};

static enum i3d_status add(struct dump *dump, const char *name, const struct i3d_array *array,
                           struct i3d_error *error)
{
    int64_t number = i3d_index_value(dump->index, name);
    if (number == I3D_NOWHERE || dump->seen[number])
        return I3D_OK;
    dump->seen[number] = true;
    dump->at[dump->model->tensor_count] = dump->length;
    size_t bytes = array_bytes(array);
    struct i3d_tensor tensor = { .name = name, .dtype = array->dtype, .rank = array->rank };
    memcpy(tensor.dims, array->dims, sizeof tensor.dims);
    if (!i3d_model_copy_tensor(dump->model, &tensor))
        return i3d_fail_memory(error);
    dump->length += bytes;
    return i3d_spool_write(dump->spool, array->data, bytes, error);
}

static enum i3d_status observe(void *context, const struct i3d_node *node, const char *value,
                               const struct i3d_array *array, struct i3d_error *error)
{
    (void)node;
    return add(context, value, array, error);
}

/* Has the tensors draw from the spool, whose descriptor is taken over. */
static enum i3d_status settle(struct dump *dump, struct i3d_error *error)
{
    struct i3d_file *file = i3d_file_new(dump->spool, "temporary file");
    if (!file)
        return i3d_fail_memory(error);
    dump->spool = -1;
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < dump->model->tensor_count && !status; i++) {
        struct i3d_tensor *tensor = &dump->model->tensors[i];
        uint64_t bytes = i3d_tensor_bytes(tensor);
        tensor->source = bytes ? i3d_source_range(file, dump->at[i], bytes)
                               : i3d_source_copy(NULL, 0);
        if (!tensor->source)
            status = i3d_fail_memory(error);
    }
    i3d_file_release(file);
    return status;
}

static enum i3d_status open_dump(const struct i3d_model *model, struct dump *dump,
                                 struct i3d_error *error)
{
    *dump = (struct dump){ .model = i3d_model_new(), .index = i3d_index_new(model), .spool = -1 };
    size_t count = dump->index ? i3d_index_value_count(dump->index) : 0;
    dump->seen = calloc(count + 1, sizeof *dump->seen);
    dump->at = calloc(count + 1, sizeof *dump->at);
    return dump->model && dump->index && dump->seen && dump->at
        ? i3d_spool_open(&dump->spool, error) : i3d_fail_memory(error);
}

static void close_dump(struct dump *dump)
{
    i3d_model_free(dump->model);
    i3d_index_free(dump->index);
    free(dump->seen);
    free(dump->at);
    if (dump->spool >= 0)
        close(dump->spool);
}

enum i3d_status verify_dump(const struct verify_one *one, const char *out,
                            struct i3d_error *error)
{
    struct i3d_model *model = NULL;
    struct i3d_array *inputs = NULL;
    struct dump dump = { .spool = -1 };
    const struct i3d_format *format = i3d_format_by_suffix(out);
    const struct i3d_run_options run = { .engine = one->options.engine,
                                         .threads = one->options.threads };
    if (!format || (strcmp(format->name, "npz") && strcmp(format->name, "safetensors")))
        return i3d_fail(error, I3D_USAGE, "a dump is a .npz or .safetensors file");
    enum i3d_status status = open_network(one, NULL, &model, &inputs, error);
    if (!status)
        status = open_dump(model, &dump, error);
    for (size_t k = 0; !status && k < model->input_count; k++)
        status = add(&dump, model->inputs[k].name, &inputs[k], error);
    if (!status)
        status = i3d_run(model, inputs, &run, observe, &dump, NULL, error);
    if (status && *one->model)
        i3d_error_file(error, one->model);
    if (!status)
        status = settle(&dump, error);
    if (!status)
        status = i3d_write_model(dump.model, out, format, error);
    if (!status && !one->quiet)
        printf("%zu tensors, %llu bytes\n", dump.model->tensor_count,
               (unsigned long long)dump.length);
    close_dump(&dump);
    free_inputs(inputs, model ? model->input_count : 0);
    i3d_model_free(model);
    return status;
}

static void print_value(const struct i3d_shared_value *value)
{
    char name[160], shape[64], other[64];
    printf("%-40s %-18s %-18s", i3d_printable(value->name, name, sizeof name), value->operation,
           i3d_shape_string(value->rank, value->dims, shape, sizeof shape));
    if (value->comparable)
        printf(" %9.2e %9.2e  %s\n", value->max_relative, value->relative_l2,
               value->good ? "ok" : "FAIL");
    else
        printf(" %9s %9s  FAIL: theirs is %s\n", "-", "-",
               i3d_shape_string(value->other_rank, value->other_dims, other, sizeof other));
}

static void print_last(const struct i3d_against *against)
{
    char name[512];
    if (against->good) {
        printf("PASS %zu values agree, worst relative error %.1e (tolerance %.0e)\n",
               against->count, against->worst, against->tolerance);
        return;
    }
    const struct i3d_shared_value *bad = &against->values[against->first_bad];
    printf("FAIL first at %s: ", i3d_printable(bad->name, name, sizeof name));
    if (bad->comparable)
        printf("relative error %.1e (tolerance %.0e)\n", bad->max_relative, against->tolerance);
    else
        printf("the shapes or types differ\n");
}

static void print(const struct i3d_against *against, bool quiet)
{
    char name[512];
    if (!quiet) {
        printf("%-40s %-18s %-18s %9s %9s  verdict\n", "value", "operator", "shape", "relative",
               "rel. L2");
        for (size_t i = 0; i < against->count; i++)
            print_value(&against->values[i]);
        for (size_t i = 0; i < against->stranger_count; i++)
            printf("not computed by the network: %s\n",
                   i3d_printable(against->strangers[i], name, sizeof name));
        if (against->missing)
            printf("values of the network that the file lacks: %zu\n", against->missing);
    }
    print_last(against);
}

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

static json_t *value_to_json(const struct i3d_shared_value *value)
{
    json_t *shape = json_array();
    for (int k = 0; k < value->rank; k++)
        json_array_append_new(shape, json_integer(value->dims[k]));
    return json_pack("{s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:b}", "name", text(value->name),
                     "operator", value->operation, "shape", shape, "comparable",
                     value->comparable, "max_absolute", number(value->max_absolute),
                     "max_relative", number(value->max_relative), "relative_l2",
                     number(value->relative_l2), "good", value->good);
}

static enum i3d_status print_json(const struct i3d_against *against, struct i3d_error *error)
{
    json_t *values = json_array(), *strangers = json_array();
    for (size_t i = 0; i < against->count; i++)
        json_array_append_new(values, value_to_json(&against->values[i]));
    for (size_t i = 0; i < against->stranger_count; i++)
        json_array_append_new(strangers, text(against->strangers[i]));
    json_t *json = json_pack(
        "{s:b, s:o, s:f, s:o, s:o, s:I, s:o}", "pass", against->good, "first_bad",
        text(against->good ? NULL : against->values[against->first_bad].name), "tolerance",
        against->tolerance, "worst", number(against->worst), "not_computed", strangers,
        "not_in_file", (json_int_t)against->missing, "values", values);
    if (!json)
        return i3d_fail_memory(error);
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(json);
    return I3D_OK;
}

enum i3d_status verify_against(const struct verify_one *one, const char *reference,
                               struct i3d_error *error)
{
    struct i3d_model *model = NULL, *theirs = NULL;
    struct i3d_array *inputs = NULL;
    struct i3d_against against = { .first_bad = -1 };
    enum i3d_status status = i3d_read_model(reference, &theirs, error);
    if (!status)
        status = open_network(one, theirs, &model, &inputs, error);
    if (!status) {
        status = i3d_compare_against(model, inputs, theirs, &one->options, &against, error);
        if (status)
            i3d_error_file(error, status == I3D_UNSUPPORTED && !against.count ? reference
                                                                             : one->model);
    }
    if (!status && one->json)
        status = print_json(&against, error);
    else if (!status)
        print(&against, one->quiet);
    if (!status && !against.good)
        status = I3D_DIFFERS;
    i3d_against_free(&against);
    free_inputs(inputs, model ? model->input_count : 0);
    i3d_model_free(model);
    i3d_model_free(theirs);
    return status;
}
