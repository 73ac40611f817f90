#include "model/graph_json.h"
#include "model/graph_fields.h"
#include "model/json_reader.h"

#include <limits.h>
#include <stdlib.h>

static enum i3d_dtype dtype_at(struct i3d_json_reader *reader, json_t *object)
{
    json_t *value = json_object_get(object, "dtype");
    if (!value || reader->status)
        return I3D_UNDEFINED;
    if (!json_is_string(value))
        return (enum i3d_dtype)i3d_json_integer_of(reader, value, "dtype", 1, UCHAR_MAX);
    enum i3d_dtype dtype = i3d_dtype_from_name(json_string_value(value));
    if (!dtype)
        i3d_json_refuse(reader, "dtype", "there is no such element type");
    return dtype;
}

/* The shape's list, or null; *rank is -1 without one. */
static json_t *shape_at(struct i3d_json_reader *reader, json_t *object, int *rank)
{
    size_t count;
    json_t *shape = i3d_json_array_at(reader, object, "shape", &count);
    if (count > I3D_MAX_RANK)
        i3d_json_refuse(reader, "shape", "it has too many axes");
    *rank = shape && !reader->status ? (int)count : -1;
    return shape;
}

static void read_dim(struct i3d_json_reader *reader, json_t *value, struct i3d_dim *dim)
{
    *dim = (struct i3d_dim){ .value = -1 };
    json_t *size = json_object_get(value, "size");
    if (json_is_null(value))
        return;
    if (json_is_integer(value)) {
        dim->value = i3d_json_integer_of(reader, value, "shape", 0, INT64_MAX);
    } else if (size) {
        dim->value = i3d_json_integer_of(reader, size, "shape", 0, INT64_MAX);
        dim->name = i3d_json_needed_text(reader, value, "name");
    } else {
        dim->name = i3d_json_text_of(reader, value, "shape");
    }
}

static void read_value(struct i3d_json_reader *reader, json_t *object, struct i3d_value *value)
{
    value->name = i3d_json_needed_text(reader, object, "name");
    value->dtype = dtype_at(reader, object);
    json_t *shape = shape_at(reader, object, &value->rank);
    for (int k = 0; k < value->rank; k++)
        read_dim(reader, json_array_get(shape, (size_t)k), &value->dims[k]);
    value->doc = i3d_json_text_at(reader, object, "doc", NULL);
    value->unknown = i3d_json_base64_at(reader, object, "unknown");
}

static void read_values(struct i3d_json_reader *reader, json_t *root, const char *key,
                        struct i3d_model *model, struct i3d_value *(*add)(struct i3d_model *model))
{
    size_t count;
    json_t *array = i3d_json_array_at(reader, root, key, &count);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".%s[%zu]", key, k);
        json_t *object = i3d_json_object_in(reader, array, k);
        struct i3d_value *value = reader->status ? NULL : add(model);
        if (value)
            read_value(reader, object, value);
        else if (!reader->status)
            reader->status = i3d_fail_memory(reader->error);
        i3d_json_leave(reader, before);
    }
}

static struct i3d_source *read_data(struct i3d_json_reader *reader, json_t *object,
                                    const struct i3d_tensor *tensor)
{
    json_t *data = json_object_get(object, "data");
    if (!data || reader->status)
        return NULL;
    struct i3d_bytes bytes = i3d_json_base64_of(reader, data, "data");
    if (!reader->status && bytes.length != i3d_tensor_bytes(tensor))
        i3d_json_refuse(reader, "data", "its length does not fit the shape");
    struct i3d_source *source =
        reader->status ? NULL : i3d_source_copy(bytes.data ? bytes.data : "", bytes.length);
    if (!source && !reader->status)
        reader->status = i3d_fail_memory(reader->error);
    return source;
}

static struct i3d_tensor *read_tensor(struct i3d_json_reader *reader, json_t *object)
{
    if (!json_is_object(object))
        i3d_json_refuse(reader, "", "an object was expected");
    struct i3d_tensor *tensor = i3d_json_allocate(reader, 1, sizeof *tensor);
    if (!tensor)
        return NULL;
    tensor->name = i3d_json_text_at(reader, object, "name", "");
    tensor->dtype = dtype_at(reader, object);
    json_t *shape = shape_at(reader, object, &tensor->rank);
    if (!shape)
        i3d_json_refuse(reader, "shape", "it is missing");
    for (int k = 0; k < tensor->rank; k++)
        tensor->dims[k] =
            i3d_json_integer_of(reader, json_array_get(shape, (size_t)k), "shape", 0, INT64_MAX);
    if (!reader->status && !i3d_dtype_size(tensor->dtype))
        i3d_json_refuse(reader, "dtype", "no tensor can hold this element type");
    if (!reader->status && i3d_element_count(tensor->rank, tensor->dims) < 0)
        i3d_json_refuse(reader, "shape", "it is too large");
    tensor->doc = i3d_json_text_at(reader, object, "doc", NULL);
    tensor->source = read_data(reader, object, tensor);
    return tensor;
}

static void read_list(struct i3d_json_reader *reader, json_t *object,
                      struct i3d_attribute *attribute)
{
    size_t count;
    json_t *array = i3d_json_array_at(reader, object, "value", &count);
    float *floats = NULL;
    int64_t *ints = NULL;
    struct i3d_bytes *strings = NULL;
    if (attribute->type == I3D_ATTRIBUTE_FLOATS)
        attribute->floats = floats = i3d_json_allocate(reader, count, sizeof *floats);
    else if (attribute->type == I3D_ATTRIBUTE_INTS)
        attribute->ints = ints = i3d_json_allocate(reader, count, sizeof *ints);
    else
        attribute->strings = strings = i3d_json_allocate(reader, count, sizeof *strings);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".value[%zu]", k);
        json_t *value = json_array_get(array, k);
        if (floats)
            floats[k] = i3d_json_float_of(reader, value, "");
        else if (ints)
            ints[k] = i3d_json_integer_of(reader, value, "", INT64_MIN, INT64_MAX);
        else
            strings[k] = i3d_json_bytes_of(reader, value, "");
        i3d_json_leave(reader, before);
    }
    attribute->count = reader->status ? 0 : count;
}

static void read_attribute(struct i3d_json_reader *reader, json_t *object,
                           struct i3d_attribute *attribute)
{
    attribute->name = i3d_json_needed_text(reader, object, "name");
    json_t *type = json_object_get(object, "type");
    json_t *value = json_object_get(object, "value");
    if (reader->status)
        return;
    if (!json_is_string(type)) {
        int64_t number = i3d_json_integer_of(reader, type, "type", 0, UCHAR_MAX);
        attribute->type = (enum i3d_attribute_type)number;
        if (i3d_attribute_type_name(attribute->type))
            i3d_json_refuse(reader, "type", "this type is written by its name");
        attribute->raw = i3d_json_base64_at(reader, object, "raw");
        return;
    }
    attribute->type = i3d_attribute_type_from_name(json_string_value(type));
    if (!attribute->type)
        i3d_json_refuse(reader, "type", "there is no such attribute type");
    else if (!value)
        i3d_json_refuse(reader, "value", "it is missing");
    if (reader->status)
        return;
    size_t before;
    switch (attribute->type) {
    case I3D_ATTRIBUTE_FLOAT: attribute->f = i3d_json_float_of(reader, value, "value"); break;
    case I3D_ATTRIBUTE_INT:
        attribute->i = i3d_json_integer_of(reader, value, "value", INT64_MIN, INT64_MAX);
        break;
    case I3D_ATTRIBUTE_STRING: attribute->s = i3d_json_bytes_of(reader, value, "value"); break;
    case I3D_ATTRIBUTE_TENSOR:
        before = i3d_json_enter(reader, ".value");
        attribute->tensor = read_tensor(reader, value);
        i3d_json_leave(reader, before);
        break;
    default: read_list(reader, object, attribute); break;
    }
}

static const char **read_names(struct i3d_json_reader *reader, json_t *object, const char *key,
                               size_t *count)
{
    json_t *array = i3d_json_array_at(reader, object, key, count);
    const char **names = i3d_json_allocate(reader, *count, sizeof *names);
    for (size_t k = 0; k < *count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".%s[%zu]", key, k);
        names[k] = i3d_json_text_of(reader, json_array_get(array, k), "");
        i3d_json_leave(reader, before);
    }
    return names;
}

static void read_node(struct i3d_json_reader *reader, json_t *object, struct i3d_node *node)
{
    size_t count;
    node->name = i3d_json_text_at(reader, object, "name", "");
    node->op_type = i3d_json_needed_text(reader, object, "op_type");
    node->domain = i3d_json_text_at(reader, object, "domain", "");
    node->doc = i3d_json_text_at(reader, object, "doc", NULL);
    node->inputs = read_names(reader, object, "inputs", &node->input_count);
    node->outputs = read_names(reader, object, "outputs", &node->output_count);
    node->unknown = i3d_json_base64_at(reader, object, "unknown");
    json_t *array = i3d_json_array_at(reader, object, "attributes", &count);
    node->attributes = i3d_json_allocate(reader, count, sizeof *node->attributes);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".attributes[%zu]", k);
        json_t *item = i3d_json_object_in(reader, array, k);
        /* Counted before it is read, so that i3d_model_free finds its tensor. */
        node->attribute_count = k + 1;
        node->attributes[k].name = "";
        if (!reader->status)
            read_attribute(reader, item, &node->attributes[k]);
        i3d_json_leave(reader, before);
    }
}

static void read_nodes(struct i3d_json_reader *reader, json_t *root, struct i3d_model *model)
{
    size_t count;
    json_t *array = i3d_json_array_at(reader, root, "nodes", &count);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".nodes[%zu]", k);
        json_t *object = i3d_json_object_in(reader, array, k);
        struct i3d_node *node = reader->status ? NULL : i3d_model_add_node(model);
        if (node)
            read_node(reader, object, node);
        else if (!reader->status)
            reader->status = i3d_fail_memory(reader->error);
        i3d_json_leave(reader, before);
    }
}

/* model->opsets and ->metadata grow by realloc, so they are malloc'ed here. */
static void *allocate_growing(struct i3d_json_reader *reader, size_t count, size_t size)
{
    void *memory = reader->status ? NULL : calloc(count ? count : 1, size);
    if (!memory && !reader->status)
        reader->status = i3d_fail_memory(reader->error);
    return memory;
}

static void read_opsets(struct i3d_json_reader *reader, json_t *root, struct i3d_model *model)
{
    size_t count;
    json_t *array = i3d_json_array_at(reader, root, "opsets", &count);
    model->opsets = allocate_growing(reader, count, sizeof *model->opsets);
    model->opset_room = model->opsets ? count : 0;
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".opsets[%zu]", k);
        json_t *object = i3d_json_object_in(reader, array, k);
        struct i3d_opset *opset = &model->opsets[k];
        opset->domain = i3d_json_text_at(reader, object, "domain", "");
        opset->version = i3d_json_integer_at(reader, object, "version", INT64_MIN, INT64_MAX, 0);
        model->opset_count = k + 1;
        i3d_json_leave(reader, before);
    }
}

static void read_metadata(struct i3d_json_reader *reader, json_t *root, struct i3d_model *model)
{
    size_t count;
    json_t *array = i3d_json_array_at(reader, root, "metadata", &count);
    model->metadata = allocate_growing(reader, count, sizeof *model->metadata);
    model->metadata_room = model->metadata ? count : 0;
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = i3d_json_enter(reader, ".metadata[%zu]", k);
        json_t *object = i3d_json_object_in(reader, array, k);
        struct i3d_pair *pair = &model->metadata[k];
        pair->key = i3d_json_needed_text(reader, object, "key");
        pair->value = i3d_json_needed_text(reader, object, "value");
        model->metadata_count = k + 1;
        i3d_json_leave(reader, before);
    }
}

static void read_model(struct i3d_json_reader *reader, json_t *root, struct i3d_model *model)
{
    for (const struct i3d_model_text *text = i3d_model_texts; text->key; text++) {
        const char **field = i3d_model_text(model, text);
        *field = i3d_json_text_at(reader, root, text->key, *field);
    }
    model->ir_version = i3d_json_integer_at(reader, root, "ir_version", INT64_MIN, INT64_MAX, 0);
    model->model_version = i3d_json_integer_at(reader, root, "model_version", INT64_MIN, INT64_MAX,
                                               0);
    model->time_axis = (int)i3d_json_integer_at(reader, root, "time_axis", -1, I3D_MAX_RANK - 1,
                                                -1);
    read_opsets(reader, root, model);
    read_metadata(reader, root, model);
    model->unknown_model = i3d_json_base64_at(reader, root, "unknown_model");
    model->unknown_graph = i3d_json_base64_at(reader, root, "unknown_graph");
    read_values(reader, root, "inputs", model, i3d_model_add_input);
    read_values(reader, root, "outputs", model, i3d_model_add_output);
    read_values(reader, root, "values", model, i3d_model_add_value);
    read_nodes(reader, root, model);
}

/* The tree of a text whose version we know. */
static json_t *parse_graph(struct i3d_json_reader *reader, const char *json, size_t length)
{
    json_t *root = i3d_json_parse(reader, json, length);
    int64_t version = i3d_json_integer_of(reader, json_object_get(root, "version"), "version", 1,
                                          INT64_MAX);
    if (!reader->status && version != I3D_GRAPH_JSON_VERSION) {
        reader->status = i3d_fail(reader->error, I3D_UNSUPPORTED,
                                  "version %lld was written by a newer program",
                                  (long long)version);
        i3d_error_where(reader->error, "graph JSON, version");
    }
    return root;
}

enum i3d_status i3d_graph_from_json(const char *json, size_t length, struct i3d_model *model,
                                    struct i3d_error *error)
{
    struct i3d_json_reader reader = { .arena = model->arena, .error = error };
    json_t *root = parse_graph(&reader, json, length);
    if (!reader.status)
        read_model(&reader, root, model);
    json_decref(root);
    return reader.status;
}

enum i3d_status i3d_tensor_names_from_json(const char *json, size_t length,
                                           struct i3d_arena *arena, struct i3d_pair **names,
                                           size_t *count, struct i3d_error *error)
{
    struct i3d_json_reader reader = { .arena = arena, .error = error };
    json_t *root = parse_graph(&reader, json, length);
    json_t *array = i3d_json_array_at(&reader, root, "tensors", count);
    *names = i3d_json_allocate(&reader, *count, sizeof **names);
    for (size_t k = 0; k < *count && !reader.status; k++) {
        size_t before = i3d_json_enter(&reader, ".tensors[%zu]", k);
        json_t *object = i3d_json_object_in(&reader, array, k);
        (*names)[k].key = i3d_json_needed_text(&reader, object, "name");
        (*names)[k].value = i3d_json_text_at(&reader, object, "doc", NULL);
        i3d_json_leave(&reader, before);
    }
    json_decref(root);
    return reader.status;
}
