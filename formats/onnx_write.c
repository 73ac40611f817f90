#include "formats/onnx_read.h"
#include "formats/output.h"
#include "formats/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Protobuf messages, and so ONNX files without external data, stay below
 * 2 GiB (protobuf's documentation, "Total message size"). */
enum { LARGEST_FILE = INT32_MAX };

/* Writes, or only counts while output is null. After the first failure nothing
 * is written any more, and the caller looks at status once. */
struct emitter {
    struct i3d_output *output;
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
    struct emitter counter = { .error = emitter->error };
    body(&counter, subject);
    put_tag(emitter, number, I3D_WIRE_LENGTH);
    put_varint(emitter, counter.length);
    if (emitter->output)
        body(emitter, subject);
    else
        emitter->length += counter.length;
}

static void put_tensor(struct emitter *emitter, const void *subject)
{
    const struct i3d_tensor *tensor = subject;
    uint64_t length = i3d_source_length(tensor->source);
    for (int k = 0; k < tensor->rank; k++)
        put_int(emitter, 1, tensor->dims[k]);
    put_int(emitter, 2, tensor->dtype);
    put_text(emitter, 8, tensor->name);
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

static void put_pair(struct emitter *emitter, const void *subject)
{
    const struct i3d_pair *pair = subject;
    put_string(emitter, 1, pair->key);
    put_string(emitter, 2, pair->value);
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

enum i3d_status i3d_onnx_write(const struct i3d_model *model, struct i3d_output *output,
                               struct i3d_error *error)
{
    enum i3d_status status = check_model(model, error);
    if (status)
        return status;
    struct emitter counter = { .error = error };
    put_model(&counter, model);
    if (counter.length > LARGEST_FILE) {
        i3d_fail(error, I3D_UNSUPPORTED,
                 "the model takes %" PRIu64 " bytes, and ONNX files stay below 2 GiB",
                 counter.length);
        return i3d_error_hint(error, "write safetensors, or convert to float16 first");
    }
    struct emitter emitter = { .output = output, .error = error };
    put_model(&emitter, model);
    return emitter.status;
}
