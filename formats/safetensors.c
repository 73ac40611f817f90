/* safetensors: eight bytes with the length of the header, little-endian; the
 * header, a JSON object; the tensors' bytes without gaps. The header gives each
 * tensor {"dtype", "shape", "data_offsets": [begin, end]}, counted from the end
 * of the header, and may hold "__metadata__", an object of strings.
 * (https://huggingface.co/docs/safetensors, "Format")
 *
 * The graph is the JSON of model/graph_json.h under the metadata key
 * i3dconv.graph. Tensors stand in the model's order in the header, while their
 * bytes stand with the wide types first, so that each one is aligned in the
 * file. The graph's JSON repeats the order, for other programs sort headers. */
#include "formats/output.h"
#include "formats/registry.h"
#include "formats/safetensors.h"
#include "model/graph_json.h"
#include "model/index.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static const char GRAPH_KEY[] = "i3dconv.graph";
static const char METADATA_KEY[] = "__metadata__";

enum { LENGTH_SIZE = 8, HEADER_LIMIT = I3D_SAFETENSORS_HEADER_LIMIT };

static const struct {
    const char *name;
    enum i3d_dtype dtype;
} dtypes[] = {
    { "F64", I3D_FLOAT64 },   { "F32", I3D_FLOAT32 }, { "F16", I3D_FLOAT16 },
    { "BF16", I3D_BFLOAT16 }, { "I64", I3D_INT64 },   { "I32", I3D_INT32 },
    { "I16", I3D_INT16 },     { "I8", I3D_INT8 },     { "U64", I3D_UINT64 },
    { "U32", I3D_UINT32 },    { "U16", I3D_UINT16 },  { "U8", I3D_UINT8 },
    { "BOOL", I3D_BOOL },
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof dtypes[0] };

static enum i3d_dtype dtype_from_name(const char *name)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (!strcmp(dtypes[i].name, name))
            return dtypes[i].dtype;
    return I3D_UNDEFINED;
}

static const char *dtype_name(enum i3d_dtype dtype)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return NULL;
}

static uint64_t header_length(const unsigned char *head)
{
    uint64_t length;
    memcpy(&length, head, sizeof length);
    return le64toh(length);
}

/* A length beyond the file's end is left to the reader, which can say so. */
bool i3d_safetensors_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    (void)size;
    return head_length > LENGTH_SIZE && head[LENGTH_SIZE] == '{'
        && header_length(head) <= HEADER_LIMIT;
}

/* One tensor while its place in the file is checked or chosen. */
struct entry {
    struct i3d_tensor tensor;
    size_t position; /* in the header */
    uint64_t begin, end;
};

static enum i3d_status fail_json(const json_error_t *problem, uint64_t first,
                                 struct i3d_error *error)
{
    switch (json_error_code(problem)) {
    case json_error_out_of_memory:
        return i3d_fail_memory(error);
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return i3d_fail(error, I3D_UNSUPPORTED, "a string of the header has a NUL inside");
    default:
        i3d_fail(error, I3D_MALFORMED, "the header is no JSON object: %s", problem->text);
        return i3d_error_where(error, "byte %llu",
                               (unsigned long long)(first + (uint64_t)problem->position));
    }
}

enum i3d_status i3d_safetensors_parse(const char *text, size_t length, uint64_t first,
                                      json_t **object, struct i3d_error *error)
{
    json_error_t problem;
    *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
    return *object ? I3D_OK : fail_json(&problem, first, error);
}

static enum i3d_status read_header(struct i3d_file *file, json_t **header, uint64_t *data,
                                   struct i3d_error *error)
{
    unsigned char head[LENGTH_SIZE];
    enum i3d_status status = i3d_file_read(file, 0, head, sizeof head, error);
    if (status)
        return status;
    uint64_t length = header_length(head), rest = i3d_file_size(file) - LENGTH_SIZE;
    if (length > HEADER_LIMIT || length > rest)
        return i3d_fail(error, I3D_MALFORMED,
                        "the header is said to have %llu bytes, the file has %llu behind its start",
                        (unsigned long long)length, (unsigned long long)rest);
    char *text = malloc(length ? length : 1);
    if (!text)
        return i3d_fail_memory(error);
    status = i3d_file_read(file, LENGTH_SIZE, text, length, error);
    if (!status)
        status = i3d_safetensors_parse(text, length, LENGTH_SIZE, header, error);
    free(text);
    *data = LENGTH_SIZE + length;
    return status;
}

static enum i3d_status read_shape(json_t *shape, struct i3d_tensor *tensor,
                                  struct i3d_error *error)
{
    if (!json_is_array(shape))
        return i3d_fail(error, I3D_MALFORMED, "its shape is missing");
    if (json_array_size(shape) > I3D_MAX_RANK)
        return i3d_fail(error, I3D_UNSUPPORTED, "it has %zu axes; at most %d are handled",
                        json_array_size(shape), I3D_MAX_RANK);
    tensor->rank = (int)json_array_size(shape);
    for (int k = 0; k < tensor->rank; k++) {
        json_t *dim = json_array_get(shape, (size_t)k);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return i3d_fail(error, I3D_MALFORMED, "axis %d of its shape is no count", k);
        tensor->dims[k] = json_integer_value(dim);
    }
    if (i3d_tensor_elements(tensor) < 0)
        return i3d_fail(error, I3D_MALFORMED, "its shape is too large");
    return I3D_OK;
}

static enum i3d_status read_entry(json_t *description, uint64_t data_length, struct entry *entry,
                                  struct i3d_error *error)
{
    struct i3d_tensor *tensor = &entry->tensor;
    const char *dtype = json_string_value(json_object_get(description, "dtype"));
    json_t *offsets = json_object_get(description, "data_offsets");
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!dtype)
        return i3d_fail(error, I3D_MALFORMED, "its dtype is missing");
    tensor->dtype = dtype_from_name(dtype);
    if (!tensor->dtype)
        return i3d_fail(error, I3D_UNSUPPORTED, "tensors of type %s are not handled", dtype);
    enum i3d_status status = read_shape(json_object_get(description, "shape"), tensor, error);
    if (status)
        return status;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end)
        || json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return i3d_fail(error, I3D_MALFORMED, "its data_offsets are no range");
    entry->begin = (uint64_t)json_integer_value(begin);
    entry->end = (uint64_t)json_integer_value(end);
    if (entry->end > data_length)
        return i3d_fail(error, I3D_MALFORMED, "it ends at byte %llu of %llu",
                        (unsigned long long)entry->end, (unsigned long long)data_length);
    if (entry->end - entry->begin != i3d_tensor_bytes(tensor))
        return i3d_fail(error, I3D_MALFORMED, "it has %llu bytes where its shape asks for %llu",
                        (unsigned long long)(entry->end - entry->begin),
                        (unsigned long long)i3d_tensor_bytes(tensor));
    return I3D_OK;
}

static int by_place(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* The data section has to be covered without gaps and overlaps. */
static enum i3d_status check_places(const struct entry *entries, size_t count,
                                    uint64_t data_length, struct i3d_error *error)
{
    struct entry *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return i3d_fail_memory(error);
    if (count)
        memcpy(sorted, entries, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_place);
    enum i3d_status status = I3D_OK;
    uint64_t covered = 0;
    for (size_t i = 0; i < count && !status; i++) {
        if (sorted[i].begin != covered) {
            i3d_fail(error, I3D_MALFORMED, "it begins at byte %llu, the one before ends at %llu",
                     (unsigned long long)sorted[i].begin, (unsigned long long)covered);
            status = i3d_error_where(error, "tensor %s", sorted[i].tensor.name);
        }
        covered = sorted[i].end;
    }
    if (!status && covered != data_length)
        status = i3d_fail(error, I3D_MALFORMED, "%llu bytes behind the last tensor",
                          (unsigned long long)(data_length - covered));
    free(sorted);
    return status;
}

static enum i3d_status read_entries(json_t *header, uint64_t data_length, struct entry *entries,
                                    size_t *count, struct i3d_error *error)
{
    const char *name;
    json_t *description;
    *count = 0;
    json_object_foreach (header, name, description) {
        if (!strcmp(name, METADATA_KEY))
            continue;
        struct entry *entry = &entries[*count];
        *entry = (struct entry){ .tensor = { .name = name }, .position = *count };
        ++*count;
        enum i3d_status status = read_entry(description, data_length, entry, error);
        if (status) {
            i3d_error_where(error, "tensor %s", name);
            return status;
        }
    }
    return check_places(entries, *count, data_length, error);
}

enum i3d_status i3d_safetensors_read_metadata(json_t *metadata, struct i3d_model *model,
                                              struct i3d_error *error)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return i3d_fail(error, I3D_MALFORMED, "its metadata is no object");
    const char *graph = json_string_value(json_object_get(metadata, GRAPH_KEY));
    enum i3d_status status =
        graph ? i3d_graph_from_json(graph, strlen(graph), model, error) : I3D_OK;
    if (status)
        return status;
    /* These replace what the graph says: other programs can edit them. */
    json_object_foreach (metadata, key, value) {
        if (!json_is_string(value)) {
            i3d_fail(error, I3D_MALFORMED, "its value is no string");
            return i3d_error_where(error, "metadata %s", key);
        }
        if (strcmp(key, GRAPH_KEY) && !i3d_set_metadata(model, key, json_string_value(value)))
            return i3d_fail_memory(error);
    }
    return I3D_OK;
}

/* Moves the tensors that are named in front, in the order of the names, and
 * gives them their docs. Names of no tensor are passed over. */
static enum i3d_status order_tensors(struct i3d_model *model, const struct i3d_pair *names,
                                     size_t name_count, struct i3d_error *error)
{
    size_t count = model->tensor_count, done = 0;
    struct i3d_index *index = i3d_index_new(model);
    struct i3d_tensor *ordered = calloc(count + 1, sizeof *ordered);
    bool *moved = calloc(count + 1, sizeof *moved);
    enum i3d_status status = index && ordered && moved ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; i < name_count && !status; i++) {
        int64_t position = i3d_index_tensor(index, names[i].key);
        if (position == I3D_NOWHERE || moved[position])
            continue;
        moved[position] = true;
        ordered[done] = model->tensors[position];
        ordered[done++].doc = names[i].value;
    }
    for (size_t i = 0; i < count && !status; i++)
        if (!moved[i])
            ordered[done++] = model->tensors[i];
    if (!status && count)
        memcpy(model->tensors, ordered, count * sizeof *ordered);
    free(moved);
    free(ordered);
    i3d_index_free(index);
    return status;
}

enum i3d_status i3d_safetensors_read_order(json_t *metadata, struct i3d_model *model,
                                           struct i3d_error *error)
{
    const char *graph = json_string_value(json_object_get(metadata, GRAPH_KEY));
    struct i3d_pair *names;
    size_t count;
    if (!graph)
        return I3D_OK;
    enum i3d_status status = i3d_tensor_names_from_json(graph, strlen(graph), model->arena,
                                                        &names, &count, error);
    return status ? status : order_tensors(model, names, count, error);
}

enum i3d_status i3d_safetensors_read(struct i3d_file *file, struct i3d_model *model,
                                     struct i3d_error *error)
{
    json_t *header = NULL;
    uint64_t data = 0;
    enum i3d_status status = read_header(file, &header, &data, error);
    if (status)
        return status;
    size_t count = 0;
    struct entry *entries = calloc(json_object_size(header) + 1, sizeof *entries);
    if (!entries)
        status = i3d_fail_memory(error);
    else if (!json_is_object(header))
        status = i3d_fail(error, I3D_MALFORMED, "the header is no JSON object");
    if (!status)
        status = read_entries(header, i3d_file_size(file) - data, entries, &count, error);
    if (!status)
        status = i3d_safetensors_read_metadata(json_object_get(header, METADATA_KEY), model, error);
    for (size_t i = 0; i < count && !status; i++) {
        const struct i3d_tensor *tensor = &entries[i].tensor;
        status = i3d_model_put_tensor(model, tensor->name, tensor->dtype, tensor->rank,
                                      tensor->dims,
                                      i3d_source_range(file, data + entries[i].begin,
                                                       entries[i].end - entries[i].begin),
                                      error);
    }
    if (!status)
        status = i3d_safetensors_read_order(json_object_get(header, METADATA_KEY), model, error);
    free(entries);
    json_decref(header);
    return status;
}

/* jansson makes no string of what is not UTF-8. */
static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string;
}

/* Wide types first, then the model's order. */
static int by_width(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    size_t width_a = i3d_dtype_size(a->tensor.dtype), width_b = i3d_dtype_size(b->tensor.dtype);
    if (width_a != width_b)
        return width_a > width_b ? -1 : 1;
    return (a->position > b->position) - (a->position < b->position);
}

static int by_position(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return (a->position > b->position) - (a->position < b->position);
}

static enum i3d_status check_tensor(const struct i3d_tensor *tensor, struct i3d_error *error)
{
    if (!tensor->source)
        i3d_fail(error, I3D_UNSUPPORTED, "it has no values: no weights are bound to it");
    else if (!dtype_name(tensor->dtype))
        i3d_fail(error, I3D_UNSUPPORTED, "safetensors holds no tensors of type %s",
                 i3d_dtype_name(tensor->dtype));
    else if (!is_utf8(tensor->name))
        i3d_fail(error, I3D_UNSUPPORTED, "safetensors names are UTF-8, this one is not");
    else if (!strcmp(tensor->name, METADATA_KEY))
        i3d_fail(error, I3D_UNSUPPORTED, "safetensors keeps this name for itself");
    else
        return I3D_OK;
    return i3d_error_where(error, "tensor %s", tensor->name);
}

/* Gives every tensor its bytes' place; entries stay in that order. */
static enum i3d_status place_tensors(const struct i3d_model *model, struct entry *entries,
                                     struct i3d_error *error)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        enum i3d_status status = check_tensor(&model->tensors[i], error);
        if (status)
            return status;
        entries[i] = (struct entry){ .tensor = model->tensors[i], .position = i };
    }
    qsort(entries, model->tensor_count, sizeof *entries, by_width);
    uint64_t end = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        entries[i].begin = end;
        if (__builtin_add_overflow(end, i3d_tensor_bytes(&entries[i].tensor), &end)
            || end > INT64_MAX)
            return i3d_fail(error, I3D_UNSUPPORTED, "the tensors are too large for one file");
        entries[i].end = end;
    }
    return I3D_OK;
}

static json_t *describe(const struct entry *entry)
{
    const struct i3d_tensor *tensor = &entry->tensor;
    json_t *shape = json_array();
    bool complete = shape;
    for (int k = 0; k < tensor->rank && complete; k++)
        complete = !json_array_append_new(shape, json_integer(tensor->dims[k]));
    json_t *description = complete
        ? json_pack("{s:s, s:O, s:[I, I]}", "dtype", dtype_name(tensor->dtype), "shape", shape,
                    "data_offsets", (json_int_t)entry->begin, (json_int_t)entry->end)
        : NULL;
    json_decref(shape);
    return description;
}

/* Whether the model says more than names and tensors. */
static bool has_graph(const struct i3d_model *model)
{
    return model->node_count || model->input_count || model->output_count || model->value_count;
}

static enum i3d_status add_graph(const struct i3d_model *model, json_t *metadata,
                                 struct i3d_error *error)
{
    char *graph;
    enum i3d_status status = i3d_graph_to_json(model, &graph, error);
    if (status)
        return status;
    if (json_object_set_new(metadata, GRAPH_KEY, json_string(graph)))
        status = i3d_fail_memory(error);
    free(graph);
    return status;
}

/* The value of __metadata__. Pairs that are not UTF-8 stand in the graph's JSON
 * only; without a graph they cannot be kept. */
enum i3d_status i3d_safetensors_describe(const struct i3d_model *model, json_t *metadata,
                                         struct i3d_error *error)
{
    for (size_t i = 0; i < model->metadata_count; i++) {
        const char *key = model->metadata[i].key, *value = model->metadata[i].value;
        bool is_text = is_utf8(key) && is_utf8(value);
        if (!strcmp(key, GRAPH_KEY) || (!is_text && !has_graph(model))) {
            i3d_fail(error, I3D_UNSUPPORTED,
                     is_text ? "safetensors files keep the graph under this key"
                             : "safetensors metadata is UTF-8, this is not");
            return i3d_error_where(error, "metadata %s", key);
        }
        /* Of a repeated key the first value is the one that readers see. */
        if (is_text && !json_object_get(metadata, key)
            && json_object_set_new(metadata, key, json_string(value)))
            return i3d_fail_memory(error);
    }
    return has_graph(model) ? add_graph(model, metadata, error) : I3D_OK;
}

static enum i3d_status describe_all(const struct i3d_model *model, const struct entry *entries,
                                    json_t *header, struct i3d_error *error)
{
    json_t *metadata = json_object();
    enum i3d_status status =
        metadata ? i3d_safetensors_describe(model, metadata, error) : i3d_fail_memory(error);
    if (!status && json_object_size(metadata)
        && json_object_set(header, METADATA_KEY, metadata))
        status = i3d_fail_memory(error);
    json_decref(metadata);
    for (size_t i = 0; i < model->tensor_count && !status; i++)
        if (json_object_set_new(header, entries[i].tensor.name, describe(&entries[i])))
            status = i3d_fail_memory(error);
    return status;
}

static enum i3d_status write_header(json_t *header, struct i3d_output *output,
                                    struct i3d_error *error)
{
    static const char spaces[LENGTH_SIZE] = "        ";
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text)
        return i3d_fail_memory(error);
    size_t length = strlen(text), padding = -length % LENGTH_SIZE;
    uint64_t prefix = htole64(length + padding);
    enum i3d_status status;
    if (length + padding > HEADER_LIMIT)
        status = i3d_fail(error, I3D_UNSUPPORTED, "safetensors headers hold at most %d bytes",
                          HEADER_LIMIT);
    else
        status = i3d_output_write(output, &prefix, sizeof prefix, error);
    if (!status)
        status = i3d_output_write(output, text, length, error);
    if (!status)
        status = i3d_output_write(output, spaces, padding, error);
    free(text);
    return status;
}

enum i3d_status i3d_safetensors_write(const struct i3d_model *model, struct i3d_output *output,
                                      struct i3d_error *error)
{
    json_t *header = json_object();
    struct entry *entries = calloc(model->tensor_count + 1, sizeof *entries);
    enum i3d_status status = header && entries ? place_tensors(model, entries, error)
                                               : i3d_fail_memory(error);
    if (!status) {
        qsort(entries, model->tensor_count, sizeof *entries, by_position);
        status = describe_all(model, entries, header, error);
    }
    if (!status)
        status = write_header(header, output, error);
    if (!status)
        qsort(entries, model->tensor_count, sizeof *entries, by_width);
    for (size_t i = 0; i < model->tensor_count && !status; i++) {
        status = i3d_source_stream(entries[i].tensor.source, i3d_output_write, output, error);
        /* Where a file is named, the fault lies with the file. */
        if (status && error && !error->file[0])
            i3d_error_where(error, "tensor %s", entries[i].tensor.name);
    }
    free(entries);
    json_decref(header);
    return status;
}
