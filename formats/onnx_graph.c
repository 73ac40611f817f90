#include "formats/onnx_read.h"

#include "formats/onnx.pb-c.h"

#include <inttypes.h>
#include <string.h>

/* Fields of GraphProto that are messages of their own. */
enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, VALUE_INFO = 13 };

enum { VALUE_TYPE = 2 }; /* ValueInfoProto.type */

enum i3d_status i3d_onnx_string(struct i3d_arena *arena, const ProtobufCBinaryData *from,
                                const char **to, struct i3d_error *error)
{
    if (from->len && memchr(from->data, 0, from->len))
        return i3d_fail(error, I3D_MALFORMED, "a name or text has a NUL byte inside");
    *to = i3d_arena_copy(arena, from->data, from->len);
    return *to ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_onnx_keep(struct i3d_arena *arena, const void *bytes, size_t length,
                              struct i3d_bytes *to, struct i3d_error *error)
{
    to->length = 0;
    to->data = NULL;
    if (!length)
        return I3D_OK;
    to->data = i3d_arena_copy(arena, bytes, length);
    if (!to->data)
        return i3d_fail_memory(error);
    to->length = length;
    return I3D_OK;
}

enum i3d_status i3d_onnx_undecoded(struct i3d_error *error, uint64_t begin)
{
    i3d_fail(error, I3D_MALFORMED, "this message cannot be decoded");
    return i3d_error_where(error, "byte %" PRIu64, begin);
}

/* The whole AttributeProto, straight from the file into the arena. */
static enum i3d_status keep_raw(struct i3d_wire *wire, struct i3d_arena *arena, uint64_t begin,
                                uint64_t end, struct i3d_attribute *attribute,
                                struct i3d_error *error)
{
    size_t length = (size_t)(end - begin);
    char *bytes = i3d_arena_alloc(arena, length, 1);
    if (!bytes)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_wire_copy(wire, begin, bytes, length, error);
    if (!status)
        attribute->raw = (struct i3d_bytes){ bytes, length };
    return status;
}

static enum i3d_status read_attribute_tensor(struct i3d_wire *wire, struct i3d_arena *arena,
                                             const struct i3d_onnx_parts *parts, uint64_t begin,
                                             uint64_t end, struct i3d_attribute *attribute,
                                             struct i3d_error *error)
{
    if (parts->child_count != 1)
        return i3d_fail(error, I3D_MALFORMED, "it has %zu tensors where it needs one",
                        parts->child_count);
    struct i3d_tensor *tensor = i3d_arena_alloc(arena, 1, sizeof *tensor);
    if (!tensor)
        return i3d_fail_memory(error);
    bool held;
    const char *type_name;
    enum i3d_status status = i3d_onnx_read_tensor(wire, arena, parts->children[0].begin,
                                                  parts->children[0].end, tensor, &held,
                                                  &type_name, error);
    if (status)
        return status;
    if (held) {
        attribute->tensor = tensor;
        return I3D_OK;
    }
    attribute->type = I3D_ATTRIBUTE_RAW;
    return keep_raw(wire, arena, begin, end, attribute, error);
}

static enum i3d_status read_list(struct i3d_arena *arena, const I3d__Onnx__AttributeProto *proto,
                                 struct i3d_attribute *attribute, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    if (attribute->type == I3D_ATTRIBUTE_FLOATS) {
        attribute->count = proto->n_floats;
        attribute->floats = (const float *)i3d_arena_copy(
            arena, proto->floats, proto->n_floats * sizeof *proto->floats);
        return attribute->floats ? I3D_OK : i3d_fail_memory(error);
    }
    if (attribute->type == I3D_ATTRIBUTE_INTS) {
        attribute->count = proto->n_ints;
        attribute->ints = (const int64_t *)i3d_arena_copy(arena, proto->ints,
                                                          proto->n_ints * sizeof *proto->ints);
        return attribute->ints ? I3D_OK : i3d_fail_memory(error);
    }
    struct i3d_bytes *strings = i3d_arena_alloc(arena, proto->n_strings, sizeof *strings);
    if (!strings)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < proto->n_strings && !status; i++)
        status = i3d_onnx_keep(arena, proto->strings[i].data, proto->strings[i].len, &strings[i],
                               error);
    attribute->count = proto->n_strings;
    attribute->strings = strings;
    return status;
}

static enum i3d_status fill_attribute(struct i3d_wire *wire, struct i3d_arena *arena,
                                      const struct i3d_onnx_parts *parts,
                                      const I3d__Onnx__AttributeProto *proto, uint64_t begin,
                                      uint64_t end, struct i3d_attribute *attribute,
                                      struct i3d_error *error)
{
    if (proto->type <= 0)
        return i3d_fail(error, I3D_MALFORMED, "it has no type");
    /* Stands for an attribute of the function around it, and has no value. */
    if (proto->ref_attr_name.len) {
        attribute->type = I3D_ATTRIBUTE_RAW;
        return keep_raw(wire, arena, begin, end, attribute, error);
    }
    attribute->type = (enum i3d_attribute_type)proto->type;
    switch (proto->type) {
    case I3D_ATTRIBUTE_FLOAT:
        attribute->f = proto->f;
        return I3D_OK;
    case I3D_ATTRIBUTE_INT:
        attribute->i = proto->i;
        return I3D_OK;
    case I3D_ATTRIBUTE_STRING:
        return i3d_onnx_keep(arena, proto->s.data, proto->s.len, &attribute->s, error);
    case I3D_ATTRIBUTE_TENSOR:
        return read_attribute_tensor(wire, arena, parts, begin, end, attribute, error);
    case I3D_ATTRIBUTE_FLOATS:
    case I3D_ATTRIBUTE_INTS:
    case I3D_ATTRIBUTE_STRINGS:
        return read_list(arena, proto, attribute, error);
    case I3D_ATTRIBUTE_GRAPH:
        return keep_raw(wire, arena, begin, end, attribute, error);
    default:
        attribute->type = I3D_ATTRIBUTE_RAW;
        return keep_raw(wire, arena, begin, end, attribute, error);
    }
}

static enum i3d_status read_attribute(struct i3d_wire *wire, struct i3d_arena *arena,
                                      uint64_t begin, uint64_t end,
                                      struct i3d_attribute *attribute, struct i3d_error *error)
{
    struct i3d_onnx_parts parts = { 0 };
    I3d__Onnx__AttributeProto *proto = NULL;
    enum i3d_status status = i3d_onnx_split(wire, I3D_ONNX_ATTRIBUTE, begin, end, &parts, error);
    if (!status) {
        proto = i3d__onnx__attribute_proto__unpack(NULL, parts.decode.length,
                                                   parts.decode.bytes);
        if (!proto)
            status = i3d_onnx_undecoded(error, begin);
    }
    if (!status)
        status = i3d_onnx_string(arena, &proto->name, &attribute->name, error);
    if (!status) {
        status = fill_attribute(wire, arena, &parts, proto, begin, end, attribute, error);
        if (status)
            i3d_error_where(error, "attribute %s", attribute->name);
    }
    if (proto)
        i3d__onnx__attribute_proto__free_unpacked(proto, NULL);
    i3d_onnx_parts_free(&parts);
    return status;
}

static enum i3d_status read_names(struct i3d_arena *arena, const ProtobufCBinaryData *from,
                                  size_t count, const char ***to, size_t *to_count,
                                  struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    *to = i3d_arena_alloc(arena, count, sizeof **to);
    if (!*to)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < count && !status; i++)
        status = i3d_onnx_string(arena, &from[i], &(*to)[i], error);
    *to_count = status ? 0 : count;
    return status;
}

static enum i3d_status fill_node(struct i3d_arena *arena, const I3d__Onnx__NodeProto *proto,
                                 struct i3d_node *node, struct i3d_error *error)
{
    enum i3d_status status = i3d_onnx_string(arena, &proto->name, &node->name, error);
    if (!status)
        status = i3d_onnx_string(arena, &proto->op_type, &node->op_type, error);
    if (!status)
        status = i3d_onnx_string(arena, &proto->domain, &node->domain, error);
    if (!status && proto->has_doc_string)
        status = i3d_onnx_string(arena, &proto->doc_string, &node->doc, error);
    if (!status)
        status = read_names(arena, proto->input, proto->n_input, &node->inputs,
                            &node->input_count, error);
    if (!status)
        status = read_names(arena, proto->output, proto->n_output, &node->outputs,
                            &node->output_count, error);
    if (!status && !*node->op_type)
        status = i3d_fail(error, I3D_MALFORMED, "it names no operator");
    return status;
}

static enum i3d_status read_attributes(struct i3d_wire *wire, struct i3d_arena *arena,
                                       const struct i3d_onnx_parts *parts, struct i3d_node *node,
                                       struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    node->attributes = i3d_arena_alloc(arena, parts->child_count, sizeof *node->attributes);
    if (!node->attributes)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < parts->child_count && !status; i++) {
        struct i3d_attribute *attribute = &node->attributes[node->attribute_count++];
        attribute->name = "";
        status = read_attribute(wire, arena, parts->children[i].begin, parts->children[i].end,
                                attribute, error);
    }
    return status;
}

static enum i3d_status read_node(struct i3d_wire *wire, const struct i3d_wire_field *field,
                                 struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_onnx_parts parts = { 0 };
    I3d__Onnx__NodeProto *proto = NULL;
    enum i3d_status status =
        i3d_onnx_split(wire, I3D_ONNX_NODE, field->begin, field->end, &parts, error);
    if (!status) {
        proto = i3d__onnx__node_proto__unpack(NULL, parts.decode.length, parts.decode.bytes);
        if (!proto)
            status = i3d_onnx_undecoded(error, field->begin);
    }
    struct i3d_node *node = status ? NULL : i3d_model_add_node(model);
    if (!status && !node)
        status = i3d_fail_memory(error);
    if (!status)
        status = fill_node(model->arena, proto, node, error);
    if (!status)
        status = read_attributes(wire, model->arena, &parts, node, error);
    if (!status)
        status = i3d_onnx_keep(model->arena, parts.carry.bytes, parts.carry.length,
                               &node->unknown, error);
    if (status && node)
        i3d_error_where(error, "node %zu (%s%s%s)", model->node_count - 1, node->op_type,
                        *node->name ? " " : "", node->name);
    if (proto)
        i3d__onnx__node_proto__free_unpacked(proto, NULL);
    i3d_onnx_parts_free(&parts);
    return status;
}

static enum i3d_status read_initializer(struct i3d_wire *wire, const struct i3d_wire_field *field,
                                        struct i3d_model *model, struct i3d_error *error)
{
    bool held;
    const char *type_name;
    struct i3d_tensor *tensor = i3d_model_add_tensor(model);
    if (!tensor)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_onnx_read_tensor(wire, model->arena, field->begin, field->end,
                                                  tensor, &held, &type_name, error);
    if (status || held)
        return status;
    i3d_fail(error, I3D_UNSUPPORTED, "its elements are %s, which is not supported", type_name);
    return i3d_error_where(error, "tensor %s", tensor->name);
}

static enum i3d_status fill_shape(struct i3d_arena *arena,
                                  const I3d__Onnx__TensorShapeProto *shape,
                                  struct i3d_value *value, struct i3d_error *error)
{
    if (shape->n_dim > I3D_MAX_RANK)
        return i3d_fail(error, I3D_UNSUPPORTED, "it has %zu dimensions; at most %d are handled",
                        shape->n_dim, I3D_MAX_RANK);
    enum i3d_status status = I3D_OK;
    value->rank = (int)shape->n_dim;
    for (int k = 0; k < value->rank && !status; k++) {
        const I3d__Onnx__TensorShapeProto__Dimension *dim = shape->dim[k];
        /* Some exporters write a negative size for one that is not known. */
        value->dims[k].value = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
        if (dim->dim_param.len)
            status = i3d_onnx_string(arena, &dim->dim_param, &value->dims[k].name, error);
    }
    return status;
}

/* A ValueInfoProto's type: a tensor's becomes dtype and shape. What else the
 * TypeProto holds (another kind of value, a denotation) is wrapped into a type
 * field of its own among the unknown fields: protobuf merges the two. */
static enum i3d_status read_type(struct i3d_wire *wire, struct i3d_arena *arena,
                                 struct i3d_onnx_parts *value_parts, struct i3d_value *value,
                                 struct i3d_error *error)
{
    struct i3d_onnx_parts parts = { 0 };
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < value_parts->child_count && !status; i++)
        status = i3d_onnx_split(wire, I3D_ONNX_TYPE, value_parts->children[i].begin,
                                value_parts->children[i].end, &parts, error);
    I3d__Onnx__TypeProto *proto = NULL;
    if (!status) {
        proto = i3d__onnx__type_proto__unpack(NULL, parts.decode.length, parts.decode.bytes);
        if (!proto)
            status = i3d_onnx_undecoded(error, value_parts->children[0].begin);
    }
    if (!status && proto->tensor_type) {
        value->dtype = (enum i3d_dtype)proto->tensor_type->elem_type;
        if (proto->tensor_type->shape)
            status = fill_shape(arena, proto->tensor_type->shape, value, error);
    }
    if (!status && parts.carry.length) {
        unsigned char head[1 + 10] = { VALUE_TYPE << 3 | I3D_WIRE_LENGTH };
        size_t used = 1;
        uint64_t length = parts.carry.length;
        for (; length >= 0x80; length >>= 7)
            head[used++] = (unsigned char)(length | 0x80);
        head[used++] = (unsigned char)length;
        if (!i3d_onnx_append(&value_parts->carry, head, used)
            || !i3d_onnx_append(&value_parts->carry, parts.carry.bytes, parts.carry.length))
            status = i3d_fail_memory(error);
    }
    if (proto)
        i3d__onnx__type_proto__free_unpacked(proto, NULL);
    i3d_onnx_parts_free(&parts);
    return status;
}

static enum i3d_status read_value(struct i3d_wire *wire, const struct i3d_wire_field *field,
                                  struct i3d_arena *arena, struct i3d_value *value,
                                  struct i3d_error *error)
{
    if (!value)
        return i3d_fail_memory(error);
    struct i3d_onnx_parts parts = { 0 };
    I3d__Onnx__ValueInfoProto *proto = NULL;
    enum i3d_status status =
        i3d_onnx_split(wire, I3D_ONNX_VALUE, field->begin, field->end, &parts, error);
    if (!status) {
        proto = i3d__onnx__value_info_proto__unpack(NULL, parts.decode.length,
                                                    parts.decode.bytes);
        if (!proto)
            status = i3d_onnx_undecoded(error, field->begin);
    }
    if (!status)
        status = i3d_onnx_string(arena, &proto->name, &value->name, error);
    if (!status && proto->has_doc_string)
        status = i3d_onnx_string(arena, &proto->doc_string, &value->doc, error);
    if (!status && parts.child_count)
        status = read_type(wire, arena, &parts, value, error);
    if (!status)
        status = i3d_onnx_keep(arena, parts.carry.bytes, parts.carry.length, &value->unknown,
                               error);
    if (status && *value->name)
        i3d_error_where(error, "value %s", value->name);
    if (proto)
        i3d__onnx__value_info_proto__free_unpacked(proto, NULL);
    i3d_onnx_parts_free(&parts);
    return status;
}

static enum i3d_status read_child(struct i3d_wire *wire, const struct i3d_wire_field *field,
                                  struct i3d_model *model, struct i3d_error *error)
{
    switch (field->number) {
    case NODE: return read_node(wire, field, model, error);
    case INITIALIZER: return read_initializer(wire, field, model, error);
    case INPUT: return read_value(wire, field, model->arena, i3d_model_add_input(model), error);
    case OUTPUT: return read_value(wire, field, model->arena, i3d_model_add_output(model), error);
    case VALUE_INFO:
        return read_value(wire, field, model->arena, i3d_model_add_value(model), error);
    default: return I3D_OK;
    }
}

static enum i3d_status fill_graph(const struct i3d_onnx_parts *parts, struct i3d_model *model,
                                  uint64_t begin, struct i3d_error *error)
{
    I3d__Onnx__GraphProto *proto =
        i3d__onnx__graph_proto__unpack(NULL, parts->decode.length, parts->decode.bytes);
    if (!proto)
        return i3d_onnx_undecoded(error, begin);
    enum i3d_status status = i3d_onnx_string(model->arena, &proto->name, &model->name, error);
    if (!status)
        status = i3d_onnx_keep(model->arena, parts->carry.bytes, parts->carry.length,
                               &model->unknown_graph, error);
    i3d__onnx__graph_proto__free_unpacked(proto, NULL);
    return status;
}

enum i3d_status i3d_onnx_read_graph(struct i3d_wire *wire, uint64_t begin, uint64_t end,
                                    struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_onnx_parts parts = { 0 };
    enum i3d_status status = i3d_onnx_split(wire, I3D_ONNX_GRAPH, begin, end, &parts, error);
    if (!status)
        status = fill_graph(&parts, model, begin, error);
    for (size_t i = 0; i < parts.child_count && !status; i++)
        status = read_child(wire, &parts.children[i], model, error);
    i3d_onnx_parts_free(&parts);
    return status;
}
