#include "model/graph_json.h"
#include "model/base64.h"
#include "model/graph_fields.h"

#include <jansson.h>

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct i3d_model_text i3d_model_texts[] = {
    { "name", offsetof(struct i3d_model, name) },
    { "doc", offsetof(struct i3d_model, doc) },
    { "producer", offsetof(struct i3d_model, producer) },
    { "producer_version", offsetof(struct i3d_model, producer_version) },
    { "domain", offsetof(struct i3d_model, domain) },
    { NULL, 0 },
};

static const struct {
    enum i3d_attribute_type type;
    const char *name;
} attribute_types[] = {
    { I3D_ATTRIBUTE_FLOAT, "float" },   { I3D_ATTRIBUTE_INT, "int" },
    { I3D_ATTRIBUTE_STRING, "string" }, { I3D_ATTRIBUTE_TENSOR, "tensor" },
    { I3D_ATTRIBUTE_FLOATS, "floats" }, { I3D_ATTRIBUTE_INTS, "ints" },
    { I3D_ATTRIBUTE_STRINGS, "strings" },
};
enum { ATTRIBUTE_TYPES = sizeof attribute_types / sizeof attribute_types[0] };

const char *i3d_attribute_type_name(enum i3d_attribute_type type)
{
    for (int i = 0; i < ATTRIBUTE_TYPES; i++)
        if (attribute_types[i].type == type)
            return attribute_types[i].name;
    return NULL;
}

enum i3d_attribute_type i3d_attribute_type_from_name(const char *name)
{
    for (int i = 0; i < ATTRIBUTE_TYPES; i++)
        if (!strcmp(attribute_types[i].name, name))
            return attribute_types[i].type;
    return 0;
}

/* The format nests eight deep; jansson alone would let 2048 levels pass. */
enum { MAX_DEPTH = 32 };

/* After the first failure every function does nothing and returns nothing, so
 * that only loops have to look at status. */
struct reader {
    struct i3d_arena *arena;
    struct i3d_error *error;
    enum i3d_status status;
    char path[200]; /* of what is being read: "nodes[3].attributes[0]" */
    size_t path_length;
};

/* Goes one step down; leave takes back to what enter returned. */
__attribute__((format(printf, 2, 3)))
static size_t enter(struct reader *reader, const char *format, ...)
{
    size_t before = reader->path_length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(reader->path + before, sizeof reader->path - before, format, arguments);
    va_end(arguments);
    if (length > 0)
        reader->path_length += (size_t)length;
    if (reader->path_length >= sizeof reader->path)
        reader->path_length = sizeof reader->path - 1;
    return before;
}

static void leave(struct reader *reader, size_t before)
{
    reader->path_length = before;
    reader->path[before] = 0;
}

static void refuse(struct reader *reader, const char *key, const char *what)
{
    if (reader->status)
        return;
    const char *path = reader->path + (reader->path[0] == '.');
    reader->status = i3d_fail(reader->error, I3D_MALFORMED, "%s", what);
    i3d_error_where(reader->error, "graph JSON, %s%s%s", path, *path && *key ? "." : "", key);
}

static void *allocate(struct reader *reader, size_t count, size_t size)
{
    void *memory = reader->status ? NULL : i3d_arena_alloc(reader->arena, count, size);
    if (!memory && !reader->status)
        reader->status = i3d_fail_memory(reader->error);
    return memory;
}

/* The elements of an array, or none where the key is left out. */
static json_t *array_at(struct reader *reader, json_t *object, const char *key, size_t *count)
{
    json_t *array = json_object_get(object, key);
    *count = 0;
    if (reader->status || !array)
        return NULL;
    if (!json_is_array(array)) {
        refuse(reader, key, "a list was expected");
        return NULL;
    }
    *count = json_array_size(array);
    return array;
}

static json_t *object_in(struct reader *reader, json_t *array, size_t k)
{
    json_t *object = json_array_get(array, k);
    if (!json_is_object(object))
        refuse(reader, "", "an object was expected");
    return object;
}

static int64_t integer_of(struct reader *reader, json_t *value, const char *key, int64_t low,
                          int64_t high)
{
    if (reader->status)
        return low;
    if (!json_is_integer(value)) {
        refuse(reader, key, "an integer was expected");
        return low;
    }
    int64_t number = json_integer_value(value);
    if (number < low || number > high)
        refuse(reader, key, "the number is out of range");
    return number;
}

static int64_t integer_at(struct reader *reader, json_t *object, const char *key, int64_t low,
                          int64_t high, int64_t fallback)
{
    json_t *value = json_object_get(object, key);
    return value ? integer_of(reader, value, key, low, high) : fallback;
}

static struct i3d_bytes base64_of(struct reader *reader, json_t *value, const char *key)
{
    struct i3d_bytes bytes = { .length = 0 };
    if (reader->status)
        return bytes;
    if (!json_is_string(value)) {
        refuse(reader, key, "base64 was expected");
        return bytes;
    }
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    size_t size = i3d_base64_size(text, length);
    char *decoded = allocate(reader, size + 1, 1);
    if (!decoded)
        return bytes;
    if (!i3d_base64_decode(text, length, decoded)) {
        refuse(reader, key, "this is no base64");
        return bytes;
    }
    bytes.length = size;
    bytes.data = size ? decoded : NULL;
    return bytes;
}

static struct i3d_bytes base64_at(struct reader *reader, json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? base64_of(reader, value, key) : (struct i3d_bytes){ .length = 0 };
}

/* Text of any bytes: a string, or an object with base64. */
static struct i3d_bytes bytes_of(struct reader *reader, json_t *value, const char *key)
{
    struct i3d_bytes bytes = { .length = 0 };
    json_t *encoded = json_object_get(value, "base64");
    if (reader->status)
        return bytes;
    if (encoded)
        return base64_of(reader, encoded, key);
    if (!json_is_string(value)) {
        refuse(reader, key, "a text was expected");
        return bytes;
    }
    size_t length = json_string_length(value);
    char *copy = length ? allocate(reader, length, 1) : NULL;
    if (copy) {
        bytes.length = length;
        bytes.data = memcpy(copy, json_string_value(value), length);
    }
    return bytes;
}

static const char *text_of(struct reader *reader, json_t *value, const char *key)
{
    struct i3d_bytes bytes = bytes_of(reader, value, key);
    if (bytes.length && memchr(bytes.data, 0, bytes.length))
        refuse(reader, key, "it holds a NUL byte");
    char *text = allocate(reader, bytes.length + 1, 1);
    if (text && bytes.length)
        memcpy(text, bytes.data, bytes.length);
    return text ? text : "";
}

static const char *text_at(struct reader *reader, json_t *object, const char *key,
                           const char *fallback)
{
    json_t *value = json_object_get(object, key);
    return value ? text_of(reader, value, key) : fallback;
}

static const char *needed_text(struct reader *reader, json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        refuse(reader, key, "it is missing");
    return text_at(reader, object, key, "");
}

static float float_of(struct reader *reader, json_t *value, const char *key)
{
    float number = 0;
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        uint32_t bits = 0x7f800000;
        if (!strcmp(text, "-inf")) {
            bits |= 0x80000000;
        } else if (strcmp(text, "inf")) {
            bool is_nan = strlen(text) == 12 && !strncmp(text, "nan:", 4)
                && strspn(text + 4, "0123456789abcdef") == 8;
            bits = is_nan ? (uint32_t)strtoul(text + 4, NULL, 16) : 0;
            if ((bits & 0x7fffffff) <= 0x7f800000)
                refuse(reader, key, "a number was expected");
        }
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    double wide = json_number_value(value);
    if (!json_is_number(value) || !(fabs(wide) < 0x1.ffffffp127)) {
        refuse(reader, key, "a float32 number was expected");
        return 0;
    }
    return (float)wide;
}

static enum i3d_dtype dtype_at(struct reader *reader, json_t *object)
{
    json_t *value = json_object_get(object, "dtype");
    if (!value || reader->status)
        return I3D_UNDEFINED;
    if (!json_is_string(value))
        return (enum i3d_dtype)integer_of(reader, value, "dtype", 1, UCHAR_MAX);
    enum i3d_dtype dtype = i3d_dtype_from_name(json_string_value(value));
    if (!dtype)
        refuse(reader, "dtype", "there is no such element type");
    return dtype;
}

/* The shape's list, or null; *rank is -1 without one. */
static json_t *shape_at(struct reader *reader, json_t *object, int *rank)
{
    size_t count;
    json_t *shape = array_at(reader, object, "shape", &count);
    if (count > I3D_MAX_RANK)
        refuse(reader, "shape", "it has too many axes");
    *rank = shape && !reader->status ? (int)count : -1;
    return shape;
}

static void read_dim(struct reader *reader, json_t *value, struct i3d_dim *dim)
{
    *dim = (struct i3d_dim){ .value = -1 };
    json_t *size = json_object_get(value, "size");
    if (json_is_null(value))
        return;
    if (json_is_integer(value)) {
        dim->value = integer_of(reader, value, "shape", 0, INT64_MAX);
    } else if (size) {
        dim->value = integer_of(reader, size, "shape", 0, INT64_MAX);
        dim->name = needed_text(reader, value, "name");
    } else {
        dim->name = text_of(reader, value, "shape");
    }
}

static void read_value(struct reader *reader, json_t *object, struct i3d_value *value)
{
    value->name = needed_text(reader, object, "name");
    value->dtype = dtype_at(reader, object);
    json_t *shape = shape_at(reader, object, &value->rank);
    for (int k = 0; k < value->rank; k++)
        read_dim(reader, json_array_get(shape, (size_t)k), &value->dims[k]);
    value->doc = text_at(reader, object, "doc", NULL);
    value->unknown = base64_at(reader, object, "unknown");
}

static void read_values(struct reader *reader, json_t *root, const char *key,
                        struct i3d_model *model,
                        struct i3d_value *(*add)(struct i3d_model *model))
{
    size_t count;
    json_t *array = array_at(reader, root, key, &count);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = enter(reader, ".%s[%zu]", key, k);
        json_t *object = object_in(reader, array, k);
        struct i3d_value *value = reader->status ? NULL : add(model);
        if (value)
            read_value(reader, object, value);
        else if (!reader->status)
            reader->status = i3d_fail_memory(reader->error);
        leave(reader, before);
    }
}

static struct i3d_source *read_data(struct reader *reader, json_t *object,
                                    const struct i3d_tensor *tensor)
{
    json_t *data = json_object_get(object, "data");
    if (!data || reader->status)
        return NULL;
    struct i3d_bytes bytes = base64_of(reader, data, "data");
    if (!reader->status && bytes.length != i3d_tensor_bytes(tensor))
        refuse(reader, "data", "its length does not fit the shape");
    struct i3d_source *source =
        reader->status ? NULL : i3d_source_copy(bytes.data ? bytes.data : "", bytes.length);
    if (!source && !reader->status)
        reader->status = i3d_fail_memory(reader->error);
    return source;
}

static struct i3d_tensor *read_tensor(struct reader *reader, json_t *object)
{
    if (!json_is_object(object))
        refuse(reader, "", "an object was expected");
    struct i3d_tensor *tensor = allocate(reader, 1, sizeof *tensor);
    if (!tensor)
        return NULL;
    tensor->name = text_at(reader, object, "name", "");
    tensor->dtype = dtype_at(reader, object);
    json_t *shape = shape_at(reader, object, &tensor->rank);
    if (!shape)
        refuse(reader, "shape", "it is missing");
    for (int k = 0; k < tensor->rank; k++)
        tensor->dims[k] =
            integer_of(reader, json_array_get(shape, (size_t)k), "shape", 0, INT64_MAX);
    if (!reader->status && !i3d_dtype_size(tensor->dtype))
        refuse(reader, "dtype", "no tensor can hold this element type");
    if (!reader->status && i3d_element_count(tensor->rank, tensor->dims) < 0)
        refuse(reader, "shape", "it is too large");
    tensor->doc = text_at(reader, object, "doc", NULL);
    tensor->source = read_data(reader, object, tensor);
    return tensor;
}

static void read_list(struct reader *reader, json_t *object, struct i3d_attribute *attribute)
{
    size_t count;
    json_t *array = array_at(reader, object, "value", &count);
    float *floats = NULL;
    int64_t *ints = NULL;
    struct i3d_bytes *strings = NULL;
    if (attribute->type == I3D_ATTRIBUTE_FLOATS)
        attribute->floats = floats = allocate(reader, count, sizeof *floats);
    else if (attribute->type == I3D_ATTRIBUTE_INTS)
        attribute->ints = ints = allocate(reader, count, sizeof *ints);
    else
        attribute->strings = strings = allocate(reader, count, sizeof *strings);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = enter(reader, ".value[%zu]", k);
        json_t *value = json_array_get(array, k);
        if (floats)
            floats[k] = float_of(reader, value, "");
        else if (ints)
            ints[k] = integer_of(reader, value, "", INT64_MIN, INT64_MAX);
        else
            strings[k] = bytes_of(reader, value, "");
        leave(reader, before);
    }
    attribute->count = reader->status ? 0 : count;
}

static void read_attribute(struct reader *reader, json_t *object, struct i3d_attribute *attribute)
{
    attribute->name = needed_text(reader, object, "name");
    json_t *type = json_object_get(object, "type");
    json_t *value = json_object_get(object, "value");
    if (reader->status)
        return;
    if (!json_is_string(type)) {
        int64_t number = integer_of(reader, type, "type", 0, UCHAR_MAX);
        attribute->type = (enum i3d_attribute_type)number;
        if (i3d_attribute_type_name(attribute->type))
            refuse(reader, "type", "this type is written by its name");
        attribute->raw = base64_at(reader, object, "raw");
        return;
    }
    attribute->type = i3d_attribute_type_from_name(json_string_value(type));
    if (!attribute->type)
        refuse(reader, "type", "there is no such attribute type");
    else if (!value)
        refuse(reader, "value", "it is missing");
    if (reader->status)
        return;
    size_t before;
    switch (attribute->type) {
    case I3D_ATTRIBUTE_FLOAT: attribute->f = float_of(reader, value, "value"); break;
    case I3D_ATTRIBUTE_INT:
        attribute->i = integer_of(reader, value, "value", INT64_MIN, INT64_MAX);
        break;
    case I3D_ATTRIBUTE_STRING: attribute->s = bytes_of(reader, value, "value"); break;
    case I3D_ATTRIBUTE_TENSOR:
        before = enter(reader, ".value");
        attribute->tensor = read_tensor(reader, value);
        leave(reader, before);
        break;
    default: read_list(reader, object, attribute); break;
    }
}

static const char **read_names(struct reader *reader, json_t *object, const char *key,
                               size_t *count)
{
    json_t *array = array_at(reader, object, key, count);
    const char **names = allocate(reader, *count, sizeof *names);
    for (size_t k = 0; k < *count && !reader->status; k++) {
        size_t before = enter(reader, ".%s[%zu]", key, k);
        names[k] = text_of(reader, json_array_get(array, k), "");
        leave(reader, before);
    }
    return names;
}

static void read_node(struct reader *reader, json_t *object, struct i3d_node *node)
{
    size_t count;
    node->name = text_at(reader, object, "name", "");
    node->op_type = needed_text(reader, object, "op_type");
    node->domain = text_at(reader, object, "domain", "");
    node->doc = text_at(reader, object, "doc", NULL);
    node->inputs = read_names(reader, object, "inputs", &node->input_count);
    node->outputs = read_names(reader, object, "outputs", &node->output_count);
    node->unknown = base64_at(reader, object, "unknown");
    json_t *array = array_at(reader, object, "attributes", &count);
    node->attributes = allocate(reader, count, sizeof *node->attributes);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = enter(reader, ".attributes[%zu]", k);
        json_t *item = object_in(reader, array, k);
        /* Counted before it is read, so that i3d_model_free finds its tensor. */
        node->attribute_count = k + 1;
        node->attributes[k].name = "";
        if (!reader->status)
            read_attribute(reader, item, &node->attributes[k]);
        leave(reader, before);
    }
}

static void read_nodes(struct reader *reader, json_t *root, struct i3d_model *model)
{
    size_t count;
    json_t *array = array_at(reader, root, "nodes", &count);
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = enter(reader, ".nodes[%zu]", k);
        json_t *object = object_in(reader, array, k);
        struct i3d_node *node = reader->status ? NULL : i3d_model_add_node(model);
        if (node)
            read_node(reader, object, node);
        else if (!reader->status)
            reader->status = i3d_fail_memory(reader->error);
        leave(reader, before);
    }
}

/* model->opsets and ->metadata grow by realloc, so they are malloc'ed here. */
static void *allocate_growing(struct reader *reader, size_t count, size_t size)
{
    void *memory = reader->status ? NULL : calloc(count ? count : 1, size);
    if (!memory && !reader->status)
        reader->status = i3d_fail_memory(reader->error);
    return memory;
}

static void read_opsets(struct reader *reader, json_t *root, struct i3d_model *model)
{
    size_t count;
    json_t *array = array_at(reader, root, "opsets", &count);
    model->opsets = allocate_growing(reader, count, sizeof *model->opsets);
    model->opset_room = model->opsets ? count : 0;
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = enter(reader, ".opsets[%zu]", k);
        json_t *object = object_in(reader, array, k);
        struct i3d_opset *opset = &model->opsets[k];
        opset->domain = text_at(reader, object, "domain", "");
        opset->version = integer_at(reader, object, "version", INT64_MIN, INT64_MAX, 0);
        model->opset_count = k + 1;
        leave(reader, before);
    }
}

static void read_metadata(struct reader *reader, json_t *root, struct i3d_model *model)
{
    size_t count;
    json_t *array = array_at(reader, root, "metadata", &count);
    model->metadata = allocate_growing(reader, count, sizeof *model->metadata);
    model->metadata_room = model->metadata ? count : 0;
    for (size_t k = 0; k < count && !reader->status; k++) {
        size_t before = enter(reader, ".metadata[%zu]", k);
        json_t *object = object_in(reader, array, k);
        struct i3d_pair *pair = &model->metadata[k];
        pair->key = needed_text(reader, object, "key");
        pair->value = needed_text(reader, object, "value");
        model->metadata_count = k + 1;
        leave(reader, before);
    }
}

static void read_model(struct reader *reader, json_t *root, struct i3d_model *model)
{
    for (const struct i3d_model_text *text = i3d_model_texts; text->key; text++) {
        const char **field = i3d_model_text(model, text);
        *field = text_at(reader, root, text->key, *field);
    }
    model->ir_version = integer_at(reader, root, "ir_version", INT64_MIN, INT64_MAX, 0);
    model->model_version = integer_at(reader, root, "model_version", INT64_MIN, INT64_MAX, 0);
    model->time_axis = (int)integer_at(reader, root, "time_axis", -1, I3D_MAX_RANK - 1, -1);
    read_opsets(reader, root, model);
    read_metadata(reader, root, model);
    model->unknown_model = base64_at(reader, root, "unknown_model");
    model->unknown_graph = base64_at(reader, root, "unknown_graph");
    read_values(reader, root, "inputs", model, i3d_model_add_input);
    read_values(reader, root, "outputs", model, i3d_model_add_output);
    read_values(reader, root, "values", model, i3d_model_add_value);
    read_nodes(reader, root, model);
}

static bool is_too_deep(const char *json, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t k = 0; k < length; k++) {
        if (in_string && json[k] == '\\')
            k++;
        else if (json[k] == '"')
            in_string = !in_string;
        else if (!in_string && (json[k] == '{' || json[k] == '['))
            depth++;
        else if (!in_string && (json[k] == '}' || json[k] == ']'))
            depth--;
        if (depth > MAX_DEPTH)
            return true;
    }
    return false;
}

/* The JSON as jansson's tree, an object of a version that we know. */
static json_t *parse(struct reader *reader, const char *json, size_t length)
{
    if (is_too_deep(json, length)) {
        refuse(reader, "", "it is nested too deeply");
        return NULL;
    }
    json_error_t problem;
    json_t *root = json_loadb(json, length, JSON_REJECT_DUPLICATES, &problem);
    if (!root) {
        bool is_memory = json_error_code(&problem) == json_error_out_of_memory;
        reader->status = is_memory
            ? i3d_fail_memory(reader->error)
            : i3d_fail(reader->error, I3D_MALFORMED, "%s", problem.text);
        i3d_error_where(reader->error, "graph JSON, byte %d", problem.position);
        return NULL;
    }
    if (!json_is_object(root))
        refuse(reader, "", "an object was expected");
    int64_t version = integer_of(reader, json_object_get(root, "version"), "version", 1,
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
    struct reader reader = { .arena = model->arena, .error = error };
    json_t *root = parse(&reader, json, length);
    if (!reader.status)
        read_model(&reader, root, model);
    json_decref(root);
    return reader.status;
}

enum i3d_status i3d_tensor_names_from_json(const char *json, size_t length,
                                           struct i3d_arena *arena, struct i3d_pair **names,
                                           size_t *count, struct i3d_error *error)
{
    struct reader reader = { .arena = arena, .error = error };
    json_t *root = parse(&reader, json, length);
    json_t *array = array_at(&reader, root, "tensors", count);
    *names = allocate(&reader, *count, sizeof **names);
    for (size_t k = 0; k < *count && !reader.status; k++) {
        size_t before = enter(&reader, ".tensors[%zu]", k);
        json_t *object = object_in(&reader, array, k);
        (*names)[k].key = needed_text(&reader, object, "name");
        (*names)[k].value = text_at(&reader, object, "doc", NULL);
        leave(&reader, before);
    }
    json_decref(root);
    return reader.status;
}
