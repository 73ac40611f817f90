#include "formats/onnx_read.h"
#include "formats/output.h"
#include "formats/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Protobuf messages, and so ONNX files without external data, stay below
 * 2 GiB (protobuf's documentation, "Total message size"). */
enum { LARGEST_FILE = INT32_MAX };

/* TensorProto.DataLocation */
enum { LOCATION_EXTERNAL = 1 };

/* Where the elements of the model's tensors lie if not in its file. What is smaller than a
 * page stays in the file (shapes, mostly, which readers need at once); the rest begins at
 * whole pages, so that it can be mapped (docs/ExternalData.md of the ONNX project). */
enum { PAGE = 4096 };
static const uint64_t inside = UINT64_MAX;
struct external {
    const struct i3d_model *model;
    const char *location;
    uint64_t *offsets; /* by tensor, or inside */
};

/* Writes, or only counts while output is null. After the first failure nothing
 * is written any more, and the caller looks at status once. */
struct emitter {
    struct i3d_output *output;
    const struct external *external; /* or null */
    uint64_t length;
    enum i3d_status status;
    struct i3d_error *error;
};

typedef void body_function(struct emitter *emitter, const void *subject);

static void put(struct emitter *emitter, const void *bytes, size_t length)
{
    emitter->length += length;
    if (emitter->output && !emitter->status && length)
        emitter->status = i3d_output_write(emitter->output, bytes, length, emitter->error);
}

static void put_varint(struct emitter *emitter, uint64_t value)
{
    unsigned char bytes[10];
    size_t used = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[used++] = (unsigned char)(value | 0x80);
    bytes[used++] = (unsigned char)value;
    put(emitter, bytes, used);
}

static void put_tag(struct emitter *emitter, uint32_t number, enum i3d_wire_type type)
{
    put_varint(emitter, (uint64_t)number << 3 | type);
}

static void put_int(struct emitter *emitter, uint32_t number, int64_t value)
{
    put_tag(emitter, number, I3D_WIRE_VARINT);
    put_varint(emitter, (uint64_t)value);
}

static void put_float(struct emitter *emitter, uint32_t number, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_tag(emitter, number, I3D_WIRE_FIXED32);
    put(emitter, (unsigned char[]){ bits & 0xff, bits >> 8 & 0xff, bits >> 16 & 0xff, bits >> 24 },
        4);
}

static void put_bytes(struct emitter *emitter, uint32_t number, const void *bytes, size_t length)
{
    put_tag(emitter, number, I3D_WIRE_LENGTH);
    put_varint(emitter, length);
    put(emitter, bytes, length);
}

static void put_string(struct emitter *emitter, uint32_t number, const char *string)
{
    put_bytes(emitter, number, string, strlen(string));
}

/* The empty string is what a reader takes an absent one for. */
static void put_text(struct emitter *emitter, uint32_t number, const char *string)
{
    if (string && *string)
        put_string(emitter, number, string);
}

/* A message's length stands before it, so its body runs twice: to count, then
 * to write. */
static void put_message(struct emitter *emitter, uint32_t number, body_function *body,
                        const void *subject)
{
    struct emitter counter = { .external = emitter->external, .error = emitter->error };
    body(&counter, subject);
    put_tag(emitter, number, I3D_WIRE_LENGTH);
    put_varint(emitter, counter.length);
    if (emitter->output)
        body(emitter, subject);
    else
        emitter->length += counter.length;
}

static void put_pair(struct emitter *emitter, const void *subject)
{
    const struct i3d_pair *pair = subject;
    put_string(emitter, 1, pair->key);
    put_string(emitter, 2, pair->value);
}

/* The offset of the tensor's elements in the other file, or inside. */
static uint64_t external_offset(const struct emitter *emitter, const struct i3d_tensor *tensor)
{
    const struct external *external = emitter->external;
    if (!external || tensor < external->model->tensors
        || tensor >= external->model->tensors + external->model->tensor_count)
        return inside;
    return external->offsets[tensor - external->model->tensors];
}

static void put_external(struct emitter *emitter, uint64_t offset, uint64_t length)
{
    char numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%" PRIu64, offset);
    snprintf(numbers[1], sizeof numbers[1], "%" PRIu64, length);
    const struct i3d_pair pairs[] = { { "location", emitter->external->location },
                                      { "offset", numbers[0] },
                                      { "length", numbers[1] } };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        put_message(emitter, 13, put_pair, &pairs[i]);
    put_int(emitter, 14, LOCATION_EXTERNAL);
}

static void put_tensor(struct emitter *emitter, const void *subject)
{
    const struct i3d_tensor *tensor = subject;
    uint64_t length = i3d_source_length(tensor->source);
    uint64_t offset = external_offset(emitter, tensor);
    for (int k = 0; k < tensor->rank; k++)
        put_int(emitter, 1, tensor->dims[k]);
    put_int(emitter, 2, tensor->dtype);
    put_text(emitter, 8, tensor->name);
    if (offset != inside) {
        put_text(emitter, 12, tensor->doc);
        put_external(emitter, offset, length);
        return;
    }
    put_tag(emitter, 9, I3D_WIRE_LENGTH);
    put_varint(emitter, length);
    emitter->length += length;
    if (emitter->output && !emitter->status) {
        emitter->status = i3d_source_stream(tensor->source, i3d_output_write, emitter->output,
                                            emitter->error);
        if (emitter->status)
            i3d_error_where(emitter->error, "tensor %s", tensor->name);
    }
    put_text(emitter, 12, tensor->doc);
}

static void put_attribute(struct emitter *emitter, const void *subject)
{
    const struct i3d_attribute *attribute = subject;
    if (attribute->raw.length) {
        put(emitter, attribute->raw.data, attribute->raw.length);
        return;
    }
    put_string(emitter, 1, attribute->name);
    switch (attribute->type) {
    case I3D_ATTRIBUTE_FLOAT:
        put_float(emitter, 2, attribute->f);
        break;
    case I3D_ATTRIBUTE_INT:
        put_int(emitter, 3, attribute->i);
        break;
    case I3D_ATTRIBUTE_STRING:
        put_bytes(emitter, 4, attribute->s.data, attribute->s.length);
        break;
    case I3D_ATTRIBUTE_TENSOR:
        put_message(emitter, 5, put_tensor, attribute->tensor);
        break;
    case I3D_ATTRIBUTE_FLOATS:
        for (size_t i = 0; i < attribute->count; i++)
            put_float(emitter, 7, attribute->floats[i]);
        break;
    case I3D_ATTRIBUTE_INTS:
        for (size_t i = 0; i < attribute->count; i++)
            put_int(emitter, 8, attribute->ints[i]);
        break;
    case I3D_ATTRIBUTE_STRINGS:
        for (size_t i = 0; i < attribute->count; i++)
            put_bytes(emitter, 9, attribute->strings[i].data, attribute->strings[i].length);
        break;
    case I3D_ATTRIBUTE_RAW:
    case I3D_ATTRIBUTE_GRAPH:
        break;
    }
    put_int(emitter, 20, attribute->type);
}

static void put_node(struct emitter *emitter, const void *subject)
{
    const struct i3d_node *node = subject;
    for (size_t i = 0; i < node->input_count; i++)
        put_string(emitter, 1, node->inputs[i]);
    for (size_t i = 0; i < node->output_count; i++)
        put_string(emitter, 2, node->outputs[i]);
    put_text(emitter, 3, node->name);
    put_string(emitter, 4, node->op_type);
    for (size_t i = 0; i < node->attribute_count; i++)
        put_message(emitter, 5, put_attribute, &node->attributes[i]);
    put_text(emitter, 6, node->doc);
    put_text(emitter, 7, node->domain);
    put(emitter, node->unknown.data, node->unknown.length);
}

static void put_dim(struct emitter *emitter, const void *subject)
{
    const struct i3d_dim *dim = subject;
    if (dim->value >= 0)
        put_int(emitter, 1, dim->value);
    else
        put_text(emitter, 2, dim->name);
}

static void put_shape(struct emitter *emitter, const void *subject)
{
    const struct i3d_value *value = subject;
    for (int k = 0; k < value->rank; k++)
        put_message(emitter, 1, put_dim, &value->dims[k]);
}

static void put_tensor_type(struct emitter *emitter, const void *subject)
{
    const struct i3d_value *value = subject;
    if (value->dtype != I3D_UNDEFINED)
        put_int(emitter, 1, value->dtype);
    if (value->rank >= 0)
        put_message(emitter, 2, put_shape, value);
}

static void put_type(struct emitter *emitter, const void *subject)
{
    put_message(emitter, 1, put_tensor_type, subject);
}

static void put_value(struct emitter *emitter, const void *subject)
{
    const struct i3d_value *value = subject;
    put_string(emitter, 1, value->name);
    if (value->dtype != I3D_UNDEFINED || value->rank >= 0)
        put_message(emitter, 2, put_type, value);
    put_text(emitter, 3, value->doc);
    put(emitter, value->unknown.data, value->unknown.length);
}

/* The lowest ONNX IR version that the releases with an operator set had
 * (the table of docs/Versioning.md of the ONNX project). */
static int64_t ir_version_of_opset(int64_t opset)
{
    static const struct {
        int64_t opset, ir_version;
    } releases[] = {
        { 8, 3 },  { 9, 4 },   { 10, 5 },  { 11, 6 },  { 14, 7 },  { 18, 8 },
        { 20, 9 }, { 22, 10 }, { 23, 11 }, { 24, 12 }, { 27, 13 },
    };
    for (size_t i = 0; i < sizeof releases / sizeof releases[0]; i++)
        if (opset <= releases[i].opset)
            return releases[i].ir_version;
    return 14;
}

static int64_t ir_version_of(const struct i3d_model *model)
{
    return model->ir_version ? model->ir_version : ir_version_of_opset(i3d_opset(model));
}

/* Before IR version 4 an initializer had to be a graph input too. */
static void put_initialized_input(struct emitter *emitter, const struct i3d_tensor *tensor)
{
    struct i3d_value value = { .name = tensor->name, .dtype = tensor->dtype,
                               .rank = tensor->rank };
    for (int k = 0; k < tensor->rank; k++)
        value.dims[k].value = tensor->dims[k];
    put_message(emitter, 11, put_value, &value);
}

static void put_graph(struct emitter *emitter, const void *subject)
{
    const struct i3d_model *model = subject;
    for (size_t i = 0; i < model->node_count; i++)
        put_message(emitter, 1, put_node, &model->nodes[i]);
    put_string(emitter, 2, *model->name ? model->name : "graph"); /* it must not be empty */
    for (size_t i = 0; i < model->tensor_count; i++)
        put_message(emitter, 5, put_tensor, &model->tensors[i]);
    for (size_t i = 0; i < model->input_count; i++)
        put_message(emitter, 11, put_value, &model->inputs[i]);
    if (ir_version_of(model) < 4)
        for (size_t i = 0; i < model->tensor_count; i++)
            put_initialized_input(emitter, &model->tensors[i]);
    for (size_t i = 0; i < model->output_count; i++)
        put_message(emitter, 12, put_value, &model->outputs[i]);
    for (size_t i = 0; i < model->value_count; i++)
        put_message(emitter, 13, put_value, &model->values[i]);
    put(emitter, model->unknown_graph.data, model->unknown_graph.length);
}

static void put_opset(struct emitter *emitter, const void *subject)
{
    const struct i3d_opset *opset = subject;
    put_string(emitter, 1, opset->domain);
    put_int(emitter, 2, opset->version);
}

static void put_model(struct emitter *emitter, const struct i3d_model *model)
{
    put_int(emitter, 1, ir_version_of(model));
    put_string(emitter, 2, *model->producer ? model->producer : "i3dconv");
    put_text(emitter, 3, model->producer_version);
    put_text(emitter, 4, model->domain);
    if (model->model_version)
        put_int(emitter, 5, model->model_version);
    put_text(emitter, 6, model->doc);
    put_message(emitter, 7, put_graph, model);
    for (size_t i = 0; i < model->opset_count; i++)
        put_message(emitter, 8, put_opset, &model->opsets[i]);
    for (size_t i = 0; i < model->metadata_count; i++)
        if (strcmp(model->metadata[i].key, I3D_ONNX_TIME_AXIS))
            put_message(emitter, 14, put_pair, &model->metadata[i]);
    if (model->time_axis >= 0) {
        char axis[16];
        snprintf(axis, sizeof axis, "%d", model->time_axis);
        put_message(emitter, 14, put_pair, &(struct i3d_pair){ I3D_ONNX_TIME_AXIS, axis });
    }
    put(emitter, model->unknown_model.data, model->unknown_model.length);
}

static enum i3d_status check_tensor(const struct i3d_tensor *tensor, struct i3d_error *error)
{
    if (tensor && tensor->source)
        return I3D_OK;
    i3d_fail(error, I3D_UNSUPPORTED, "it has no weights to be written");
    return i3d_error_where(error, "tensor %s", tensor ? tensor->name : "");
}

/* Finds out beforehand what would fail half-way. */
static enum i3d_status check_model(const struct i3d_model *model, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    if (!model->node_count) {
        i3d_fail(error, I3D_UNSUPPORTED, "the model has weights but no graph, and ONNX needs one");
        return i3d_error_hint(error, "bind it to an architecture first, or write safetensors");
    }
    if (i3d_opset(model) <= 0)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "the model does not say which version of ONNX's operator set it uses");
    for (size_t i = 0; i < model->tensor_count && !status; i++)
        status = check_tensor(&model->tensors[i], error);
    for (size_t i = 0; i < model->node_count; i++)
        for (size_t k = 0; k < model->nodes[i].attribute_count && !status; k++)
            if (model->nodes[i].attributes[k].type == I3D_ATTRIBUTE_TENSOR)
                status = check_tensor(model->nodes[i].attributes[k].tensor, error);
    return status;
}

/* Lays the larger tensors' elements out one behind the other. */
static enum i3d_status lay_out(struct external *external, struct i3d_error *error)
{
    const struct i3d_model *model = external->model;
    uint64_t end = 0;
    external->offsets = calloc(model->tensor_count + 1, sizeof *external->offsets);
    if (!external->offsets)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < model->tensor_count; i++) {
        uint64_t length = i3d_source_length(model->tensors[i].source);
        external->offsets[i] = length < PAGE ? inside : end;
        if (length >= PAGE && (__builtin_add_overflow(end, length, &end)
                               || __builtin_add_overflow(end, -end % PAGE, &end)))
            return i3d_fail(error, I3D_UNSUPPORTED, "the model is too large");
    }
    return I3D_OK;
}

static enum i3d_status write_elements(const struct external *external, struct i3d_output *output,
                                      struct i3d_error *error)
{
    static const char zeros[PAGE];
    uint64_t end = 0;
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < external->model->tensor_count && !status; i++) {
        const struct i3d_tensor *tensor = &external->model->tensors[i];
        if (external->offsets[i] == inside)
            continue;
        status = i3d_output_write(output, zeros, (size_t)(external->offsets[i] - end), error);
        if (!status)
            status = i3d_source_stream(tensor->source, i3d_output_write, output, error);
        if (status)
            i3d_error_where(error, "tensor %s", tensor->name);
        end = external->offsets[i] + i3d_source_length(tensor->source);
    }
    return status;
}

static enum i3d_status write_model(const struct i3d_model *model,
                                   const struct external *external, struct i3d_output *output,
                                   struct i3d_error *error)
{
    struct emitter counter = { .external = external, .error = error };
    put_model(&counter, model);
    if (counter.length > LARGEST_FILE)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "the model takes %" PRIu64 " bytes%s, and ONNX files stay below 2 GiB",
                        counter.length, external ? " without its larger tensors" : "");
    struct emitter emitter = { .output = output, .external = external, .error = error };
    put_model(&emitter, model);
    return emitter.status;
}

enum i3d_status i3d_onnx_external_write(const struct i3d_model *model,
                                        struct i3d_output *output, struct i3d_error *error)
{
    enum i3d_status status = check_model(model, error);
    if (status)
        return status;
    const char *path = i3d_output_path(output), *slash = strrchr(path, '/');
    struct external external = { .model = model };
    struct i3d_output *elements;
    char *location;
    if (asprintf(&location, "%s.data", slash ? slash + 1 : path) < 0)
        return i3d_fail_memory(error);
    external.location = location;
    status = lay_out(&external, error);
    if (!status)
        status = i3d_output_open_companion(output, location, &elements, error);
    if (!status)
        status = write_elements(&external, elements, error);
    if (!status)
        status = write_model(model, &external, output, error);
    free(external.offsets);
    free(location);
    return status;
}

bool i3d_onnx_external_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    (void)head;
    (void)head_length;
    (void)size;
    return false;
}

enum i3d_status i3d_onnx_write(const struct i3d_model *model, struct i3d_output *output,
                               struct i3d_error *error)
{
    enum i3d_status status = check_model(model, error);
    if (status)
        return status;
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (__builtin_add_overflow(bytes, i3d_source_length(model->tensors[i].source), &bytes))
            return i3d_fail(error, I3D_UNSUPPORTED, "the model is too large");
    if (bytes <= LARGEST_FILE)
        return write_model(model, NULL, output, error);
    if (!i3d_output_is_pipe(output))
        return i3d_onnx_external_write(model, output, error);
    i3d_fail(error, I3D_UNSUPPORTED, "the weights take %" PRIu64 " bytes, and what is over 2 GiB "
             "goes to a second file in ONNX, which a pipe has not", bytes);
    return i3d_error_hint(error, "write it to a file, or choose --to safetensors");
}
