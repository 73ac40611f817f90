#include "tools/inspection.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum i3d_status measure(const struct i3d_tensor *tensor, struct tensor_statistics *stats,
                               struct i3d_error *error)
{
    double *values;
    enum i3d_status status = i3d_tensor_load_double(tensor, &values, error);
    if (status)
        return status;
    int64_t count = i3d_tensor_elements(tensor), numbers = 0;
    double sum = 0;
    *stats = (struct tensor_statistics){ INFINITY, -INFINITY, 0, 0 };
    for (int64_t i = 0; i < count; i++) {
        if (isnan(values[i])) {
            stats->nan_count++;
            continue;
        }
        numbers++;
        sum += values[i];
        stats->minimum = fmin(stats->minimum, values[i]);
        stats->maximum = fmax(stats->maximum, values[i]);
    }
    if (numbers)
        stats->mean = sum / (double)numbers;
    else
        stats->minimum = stats->maximum = stats->mean = NAN;
    free(values);
    return I3D_OK;
}

/* The dialect whose every tensor a file has that also carries a graph, and so may
 * have more; or null. */
static enum i3d_status find_names(const struct i3d_model *model,
                                  const struct i3d_dialect **dialect, struct i3d_error *error)
{
    size_t exact = 0;
    const struct i3d_dialect *const *all = i3d_dialects();
    if (!all)
        return i3d_fail_memory(error);
    for (; *all; all++) {
        struct i3d_dialect_fit fit;
        enum i3d_status status = i3d_dialect_measure(*all, model, &fit, error);
        if (status)
            return status;
        if (fit.missing || fit.misshapen || (*dialect && fit.exact <= exact))
            continue;
        *dialect = *all;
        exact = fit.exact;
    }
    return I3D_OK;
}

/* The first BatchNormalization of a graph; of folded ones nothing is left. */
static void find_batch_norm(const struct i3d_model *graph, struct inspection *inspection)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct i3d_node *node = &graph->nodes[i];
        inspection->has_convolutions |= i3d_is(node, "Conv");
        if (!i3d_is(node, "BatchNormalization") || inspection->has_batch_norm)
            continue;
        inspection->has_batch_norm = true;
        inspection->epsilon = i3d_float(node, "epsilon", 1e-5f);
    }
}

/* The graph that says what the network is: the file's own, or the one that the
 * tensors' names lead to. A file that fits nothing is inspected all the same. */
static enum i3d_status find_graph(const struct i3d_model *model, struct inspection *inspection,
                                  struct i3d_error *error)
{
    const struct i3d_model *graph = model;
    if (!model->node_count) {
        struct i3d_error misfit;
        enum i3d_status status = i3d_zoo_bind(model, NULL, &inspection->bound, &misfit);
        if (status == I3D_UNSUPPORTED)
            return I3D_OK;
        if (status) {
            *error = misfit;
            return status;
        }
        graph = inspection->bound;
        const char *name = i3d_metadata(graph, "i3dconv.dialect");
        if (name)
            inspection->dialect = i3d_dialect_by_name(name);
    } else {
        enum i3d_status status = find_names(model, &inspection->dialect, error);
        if (status)
            return status;
    }
    find_batch_norm(graph, inspection);
    return i3d_zoo_recognise(graph, &inspection->recognition, error);
}

enum i3d_status inspect_model(const struct i3d_model *model, bool stats,
                              struct inspection *inspection, struct i3d_error *error)
{
    inspection->model = model;
    enum i3d_status status = find_graph(model, inspection, error);
    for (size_t i = 0; i < model->tensor_count; i++) {
        if (i3d_dtype_is_float(model->tensors[i].dtype))
            inspection->parameters += i3d_tensor_elements(&model->tensors[i]);
        inspection->bytes += i3d_tensor_bytes(&model->tensors[i]);
    }
    if (status || !stats)
        return status;
    inspection->statistics = calloc(model->tensor_count + 1, sizeof *inspection->statistics);
    if (!inspection->statistics)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < model->tensor_count && !status; i++)
        status = measure(&model->tensors[i], &inspection->statistics[i], error);
    return status;
}

void free_inspection(struct inspection *inspection)
{
    i3d_recognition_free(&inspection->recognition);
    i3d_model_free(inspection->bound);
    free(inspection->statistics);
}

/* Null where there is no telling: no convolutions, so nothing to fold into. */
static const char *batch_norm_state(const struct inspection *inspection)
{
    const struct i3d_architecture *architecture = inspection->recognition.architecture;
    if (inspection->has_batch_norm)
        return "present";
    if (architecture)
        return i3d_architecture_is_normed(architecture) ? "folded" : "none";
    return inspection->has_convolutions ? "none or folded" : NULL;
}

static const char *stream_name(const struct i3d_recognition *recognition)
{
    return recognition->channels == 3 ? "rgb" : recognition->channels == 2 ? "flow" : "other";
}

static void print_summary(const struct inspection *inspection)
{
    const struct i3d_model *model = inspection->model;
    const struct i3d_recognition *recognition = &inspection->recognition;
    const struct i3d_format *format = i3d_format_by_name(model->container);
    printf("container     %s\n", format ? format->title : model->container);
    if (model->opset_count)
        printf("opset         %lld (IR version %lld)\n", (long long)i3d_opset(model),
               (long long)model->ir_version);
    if (recognition->architecture) {
        printf("architecture  %s, %s\n", recognition->architecture->name,
               recognition->is_3d ? "inflated to 3D" : "2D");
        printf("classes       %lld\n", (long long)recognition->classes);
        printf("channels      %lld (%s)\n", (long long)recognition->channels,
               stream_name(recognition));
    } else {
        printf("architecture  not recognised\n");
    }
    const char *batch_norm = batch_norm_state(inspection);
    if (inspection->has_batch_norm)
        printf("BatchNorm     %s, epsilon %g\n", batch_norm, inspection->epsilon);
    else if (batch_norm)
        printf("BatchNorm     %s\n", batch_norm);
    if (inspection->dialect)
        printf("dialect       %s\n", inspection->dialect->name);
    printf("parameters    %lld in %zu tensors, %llu bytes\n", (long long)inspection->parameters,
           model->tensor_count, (unsigned long long)inspection->bytes);
}

static void print_value(const char *what, const struct i3d_value *value)
{
    char name[512];
    printf("%-13s %s %s ", what, i3d_printable(value->name, name, sizeof name),
           i3d_dtype_name(value->dtype));
    for (int k = 0; k < value->rank; k++) {
        const struct i3d_dim *dim = &value->dims[k];
        printf("%s", k ? "x" : "");
        if (dim->value >= 0)
            printf("%lld", (long long)dim->value);
        else
            printf("%s", dim->name ? i3d_printable(dim->name, name, sizeof name) : "?");
    }
    printf("%s\n", value->rank < 0 ? "of unknown rank" : "");
}

/* How often each operator occurs, in the order of first use. */
static void print_operators(const struct i3d_model *model)
{
    printf("nodes         %zu:", model->node_count);
    for (size_t i = 0; i < model->node_count; i++) {
        const char *op_type = model->nodes[i].op_type;
        size_t count = 0, earlier = 0;
        for (size_t k = 0; k < model->node_count; k++) {
            if (strcmp(model->nodes[k].op_type, op_type))
                continue;
            count++;
            earlier += k < i;
        }
        char name[256];
        if (!earlier)
            printf(" %s %zu", i3d_printable(op_type, name, sizeof name), count);
    }
    putchar('\n');
}

/* Without the sign that some machines give a NaN. */
static double unsigned_nan(double value)
{
    return isnan(value) ? (double)NAN : value;
}

static void print_tensors(const struct inspection *inspection)
{
    const struct i3d_model *model = inspection->model;
    int width = 6;
    char name[1024], shape[128];
    for (size_t i = 0; i < model->tensor_count; i++) {
        int length = (int)strlen(i3d_printable(model->tensors[i].name, name, sizeof name));
        width = length > width && length <= 80 ? length : width;
    }
    printf("\n%-*s  %-8s  %-*s", width, "tensor", "type", inspection->statistics ? 18 : 0,
           "shape");
    if (inspection->statistics)
        printf("  %11s  %11s  %11s  %6s", "minimum", "maximum", "mean", "NaN");
    putchar('\n');
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct i3d_tensor *tensor = &model->tensors[i];
        const char *dims = i3d_shape_string(tensor->rank, tensor->dims, shape, sizeof shape);
        printf("%-*s  %-8s  %-*s", width, i3d_printable(tensor->name, name, sizeof name),
               i3d_dtype_name(tensor->dtype), inspection->statistics ? 18 : 0, dims);
        if (inspection->statistics) {
            const struct tensor_statistics *stats = &inspection->statistics[i];
            printf("  %11.4g  %11.4g  %11.4g  %6zu", unsigned_nan(stats->minimum),
                   unsigned_nan(stats->maximum), unsigned_nan(stats->mean), stats->nan_count);
        }
        putchar('\n');
    }
}

enum i3d_status print_inspection(const struct inspection *inspection)
{
    const struct i3d_model *model = inspection->model;
    char key[256], value[512];
    print_summary(inspection);
    for (size_t i = 0; i < model->input_count; i++)
        print_value("input", &model->inputs[i]);
    for (size_t i = 0; i < model->output_count; i++)
        print_value("output", &model->outputs[i]);
    if (model->node_count)
        print_operators(model);
    for (size_t i = 0; i < model->metadata_count; i++)
        printf("metadata      %s = %s\n",
               i3d_printable(model->metadata[i].key, key, sizeof key),
               i3d_printable(model->metadata[i].value, value, 100));
    if (model->tensor_count)
        print_tensors(inspection);
    return I3D_OK;
}

static json_t *text(const char *string)
{
    char printable[4096];
    return string ? json_string(i3d_printable(string, printable, sizeof printable)) : json_null();
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* A float32 with the digits that tell it from its neighbours, not those of the
 * double it becomes: 1e-05. */
static json_t *short_number(float value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.7g", value);
    return number(strtod(digits, NULL));
}

static json_t *tensor_to_json(const struct inspection *inspection, size_t position)
{
    const struct i3d_tensor *tensor = &inspection->model->tensors[position];
    json_t *shape = json_array();
    for (int k = 0; k < tensor->rank; k++)
        json_array_append_new(shape, json_integer(tensor->dims[k]));
    json_t *json = json_pack("{s:o, s:s, s:o}", "name", text(tensor->name), "dtype",
                             i3d_dtype_name(tensor->dtype), "shape", shape);
    if (json && inspection->statistics) {
        const struct tensor_statistics *stats = &inspection->statistics[position];
        json_object_set_new(json, "minimum", number(stats->minimum));
        json_object_set_new(json, "maximum", number(stats->maximum));
        json_object_set_new(json, "mean", number(stats->mean));
        json_object_set_new(json, "nan_count", json_integer((json_int_t)stats->nan_count));
    }
    return json;
}

static json_t *values_to_json(const struct i3d_value *values, size_t count)
{
    json_t *json = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *shape = values[i].rank < 0 ? json_null() : json_array();
        for (int k = 0; k < values[i].rank; k++) {
            const struct i3d_dim *dim = &values[i].dims[k];
            json_array_append_new(shape, dim->value >= 0 ? json_integer(dim->value)
                                                         : text(dim->name));
        }
        json_array_append_new(json, json_pack("{s:o, s:s, s:o}", "name", text(values[i].name),
                                              "dtype", i3d_dtype_name(values[i].dtype), "shape",
                                              shape));
    }
    return json;
}

enum i3d_status print_inspection_json(const struct inspection *inspection,
                                      struct i3d_error *error)
{
    const struct i3d_model *model = inspection->model;
    const struct i3d_recognition *recognition = &inspection->recognition;
    json_t *tensors = json_array(), *metadata = json_object();
    for (size_t i = 0; i < model->tensor_count; i++)
        json_array_append_new(tensors, tensor_to_json(inspection, i));
    char key[1024];
    for (size_t i = 0; i < model->metadata_count; i++)
        json_object_set_new(metadata, i3d_printable(model->metadata[i].key, key, sizeof key),
                            text(model->metadata[i].value));
    json_t *json = json_pack(
        "{s:s, s:I, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o}", "container",
        model->container, "opset", (json_int_t)i3d_opset(model), "dialect",
        text(inspection->dialect ? inspection->dialect->name : NULL), "architecture",
        json_null(), "parameters", (json_int_t)inspection->parameters, "bytes",
        (json_int_t)inspection->bytes, "inputs",
        values_to_json(model->inputs, model->input_count), "outputs",
        values_to_json(model->outputs, model->output_count), "metadata", metadata, "nodes",
        (json_int_t)model->node_count, "tensors", tensors, "path", text(model->path));
    if (json && recognition->architecture)
        json_object_set_new(
            json, "architecture",
            json_pack("{s:s, s:b, s:I, s:I, s:s}", "name", recognition->architecture->name,
                      "inflated", recognition->is_3d, "classes",
                      (json_int_t)recognition->classes, "channels",
                      (json_int_t)recognition->channels, "stream", stream_name(recognition)));
    if (json) {
        json_t *epsilon = inspection->has_batch_norm ? short_number(inspection->epsilon)
                                                     : json_null();
        json_object_set_new(json, "batch_norm",
                            json_pack("{s:o, s:o}", "state", text(batch_norm_state(inspection)),
                                      "epsilon", epsilon));
    }
    if (!json)
        return i3d_fail_memory(error);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
    return I3D_OK;
}
