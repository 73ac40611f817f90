#include "model/graph_json.h"
#include "model/base64.h"
#include "model/graph_fields.h"

#include <jansson.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Failed allocations are noticed once, at the end: jansson's setters take a
 * null value, and a null object, for a failure. */
struct writer {
    bool failed;
    enum i3d_status status; /* of loading a tensor */
    struct i3d_error *error;
};

static void put(struct writer *writer, json_t *object, const char *key, json_t *value)
{
    writer->failed |= json_object_set_new(object, key, value) != 0;
}

static void append(struct writer *writer, json_t *array, json_t *value)
{
    writer->failed |= json_array_append_new(array, value) != 0;
}

static json_t *base64(const void *data, size_t length)
{
    char *text = i3d_base64_encode(data, length);
    json_t *value = text ? json_string(text) : NULL;
    free(text);
    return value;
}

/* jansson takes UTF-8 only; what it refuses goes out in base64. */
static json_t *text_of(const void *data, size_t length)
{
    const char *start = length ? data : "";
    json_t *value = memchr(start, 0, length) ? NULL : json_stringn(start, length);
    return value ? value : json_pack("{s:o}", "base64", base64(data, length));
}

static void put_text(struct writer *writer, json_t *object, const char *key, const char *text)
{
    if (text)
        put(writer, object, key, text_of(text, strlen(text)));
}

static void put_base64(struct writer *writer, json_t *object, const char *key,
                       const struct i3d_bytes *bytes)
{
    if (bytes->length)
        put(writer, object, key, base64(bytes->data, bytes->length));
}

/* An array becomes a key only if there is something in it. */
static json_t *put_array(struct writer *writer, json_t *object, const char *key, size_t count)
{
    json_t *array = count ? json_array() : NULL;
    if (count)
        put(writer, object, key, array);
    return array;
}

static json_t *append_object(struct writer *writer, json_t *array)
{
    json_t *object = json_object();
    append(writer, array, object);
    return object;
}

static json_t *float_value(const float *number)
{
    uint32_t bits;
    char text[16];
    memcpy(&bits, number, sizeof bits);
    if (isnan(*number)) {
        snprintf(text, sizeof text, "nan:%08x", (unsigned)bits);
        return json_string(text);
    }
    if (isinf(*number))
        return json_string(*number > 0 ? "inf" : "-inf");
    return json_real(*number);
}

static void put_dtype(struct writer *writer, json_t *object, enum i3d_dtype dtype)
{
    if (dtype == I3D_UNDEFINED)
        return;
    const char *name = i3d_dtype_name(dtype);
    bool has_name = i3d_dtype_from_name(name) == dtype;
    put(writer, object, "dtype", has_name ? json_string(name) : json_integer(dtype));
}

static json_t *dim_value(struct writer *writer, const struct i3d_dim *dim)
{
    json_t *name = dim->name ? text_of(dim->name, strlen(dim->name)) : NULL;
    writer->failed |= dim->name && !name;
    if (dim->value < 0)
        return name ? name : json_null();
    return name ? json_pack("{s:I, s:o}", "size", (json_int_t)dim->value, "name", name)
                : json_integer(dim->value);
}

static void put_values(struct writer *writer, json_t *root, const char *key,
                       const struct i3d_value *values, size_t count)
{
    json_t *array = put_array(writer, root, key, count);
    for (size_t i = 0; i < count; i++) {
        const struct i3d_value *value = &values[i];
        json_t *object = append_object(writer, array);
        put_text(writer, object, "name", value->name);
        put_dtype(writer, object, value->dtype);
        if (value->rank >= 0) {
            json_t *shape = json_array();
            put(writer, object, "shape", shape);
            for (int k = 0; k < value->rank; k++)
                append(writer, shape, dim_value(writer, &value->dims[k]));
        }
        put_text(writer, object, "doc", value->doc);
        put_base64(writer, object, "unknown", &value->unknown);
    }
}

static json_t *tensor_value(struct writer *writer, const struct i3d_tensor *tensor)
{
    json_t *object = json_object();
    put_text(writer, object, "name", tensor->name);
    put_dtype(writer, object, tensor->dtype);
    json_t *shape = json_array();
    put(writer, object, "shape", shape);
    for (int k = 0; k < tensor->rank; k++)
        append(writer, shape, json_integer(tensor->dims[k]));
    if (tensor->source && !writer->status) {
        void *bytes;
        writer->status = i3d_tensor_load(tensor, &bytes, writer->error);
        if (!writer->status)
            put(writer, object, "data", base64(bytes, i3d_tensor_bytes(tensor)));
        free(bytes);
    }
    put_text(writer, object, "doc", tensor->doc);
    return object;
}

static json_t *attribute_value(struct writer *writer, const struct i3d_attribute *attribute)
{
    json_t *array;
    switch (attribute->type) {
    case I3D_ATTRIBUTE_FLOAT: return float_value(&attribute->f);
    case I3D_ATTRIBUTE_INT: return json_integer(attribute->i);
    case I3D_ATTRIBUTE_STRING: return text_of(attribute->s.data, attribute->s.length);
    case I3D_ATTRIBUTE_TENSOR: return tensor_value(writer, attribute->tensor);
    default: break;
    }
    array = json_array();
    for (size_t k = 0; k < attribute->count; k++) {
        if (attribute->type == I3D_ATTRIBUTE_FLOATS)
            append(writer, array, float_value(&attribute->floats[k]));
        else if (attribute->type == I3D_ATTRIBUTE_INTS)
            append(writer, array, json_integer(attribute->ints[k]));
        else
            append(writer, array,
                   text_of(attribute->strings[k].data, attribute->strings[k].length));
    }
    return array;
}

static void put_attributes(struct writer *writer, json_t *object, const struct i3d_node *node)
{
    json_t *array = put_array(writer, object, "attributes", node->attribute_count);
    for (size_t i = 0; i < node->attribute_count; i++) {
        const struct i3d_attribute *attribute = &node->attributes[i];
        const char *type = i3d_attribute_type_name(attribute->type);
        json_t *item = append_object(writer, array);
        put_text(writer, item, "name", attribute->name);
        put(writer, item, "type", type ? json_string(type) : json_integer(attribute->type));
        if (type)
            put(writer, item, "value", attribute_value(writer, attribute));
        else
            put_base64(writer, item, "raw", &attribute->raw);
    }
}

static void put_names(struct writer *writer, json_t *object, const char *key,
                      const char *const *names, size_t count)
{
    json_t *array = put_array(writer, object, key, count);
    for (size_t k = 0; k < count; k++)
        append(writer, array, text_of(names[k], strlen(names[k])));
}

static void put_nodes(struct writer *writer, json_t *root, const struct i3d_model *model)
{
    json_t *array = put_array(writer, root, "nodes", model->node_count);
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        json_t *object = append_object(writer, array);
        put_text(writer, object, "name", node->name);
        put_text(writer, object, "op_type", node->op_type);
        put_text(writer, object, "domain", node->domain);
        put_text(writer, object, "doc", node->doc);
        put_names(writer, object, "inputs", (const char *const *)node->inputs, node->input_count);
        put_names(writer, object, "outputs", (const char *const *)node->outputs,
                  node->output_count);
        put_attributes(writer, object, node);
        put_base64(writer, object, "unknown", &node->unknown);
        if (writer->status) {
            i3d_error_where(writer->error, "an attribute of node %s", node->name);
            return;
        }
    }
}

static void put_tensor_names(struct writer *writer, json_t *root, const struct i3d_model *model)
{
    json_t *array = put_array(writer, root, "tensors", model->tensor_count);
    for (size_t i = 0; i < model->tensor_count; i++) {
        json_t *object = append_object(writer, array);
        put_text(writer, object, "name", model->tensors[i].name);
        put_text(writer, object, "doc", model->tensors[i].doc);
    }
}

static void put_model(struct writer *writer, json_t *root, const struct i3d_model *model)
{
    put(writer, root, "version", json_integer(I3D_GRAPH_JSON_VERSION));
    for (const struct i3d_model_text *text = i3d_model_texts; text->key; text++)
        put_text(writer, root, text->key, *i3d_model_text(model, text));
    put(writer, root, "ir_version", json_integer(model->ir_version));
    put(writer, root, "model_version", json_integer(model->model_version));
    put(writer, root, "time_axis", json_integer(model->time_axis));
    json_t *opsets = put_array(writer, root, "opsets", model->opset_count);
    for (size_t i = 0; i < model->opset_count; i++) {
        json_t *object = append_object(writer, opsets);
        put_text(writer, object, "domain", model->opsets[i].domain);
        put(writer, object, "version", json_integer(model->opsets[i].version));
    }
    json_t *metadata = put_array(writer, root, "metadata", model->metadata_count);
    for (size_t i = 0; i < model->metadata_count; i++) {
        json_t *object = append_object(writer, metadata);
        put_text(writer, object, "key", model->metadata[i].key);
        put_text(writer, object, "value", model->metadata[i].value);
    }
    put_base64(writer, root, "unknown_model", &model->unknown_model);
    put_base64(writer, root, "unknown_graph", &model->unknown_graph);
    put_values(writer, root, "inputs", model->inputs, model->input_count);
    put_values(writer, root, "outputs", model->outputs, model->output_count);
    put_values(writer, root, "values", model->values, model->value_count);
    put_nodes(writer, root, model);
    put_tensor_names(writer, root, model);
}

enum i3d_status i3d_graph_to_json(const struct i3d_model *model, char **json,
                                  struct i3d_error *error)
{
    *json = NULL;
    struct writer writer = { .error = error };
    json_t *root = json_object();
    put_model(&writer, root, model);
    if (!writer.status && !writer.failed)
        *json = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(root);
    if (writer.status)
        return writer.status;
    return *json ? I3D_OK : i3d_fail_memory(error);
}
