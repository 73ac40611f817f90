#include "formats/onnx_scan.h"

#include <stdlib.h>
#include <string.h>

/* What splitting a message does with a field. */
enum fate { CARRY, DECODE, CHILD, SKIP };

enum kind { UNKNOWN, VARINT, FLOAT, BYTES, VARINTS, FLOATS, DOUBLES, MESSAGE };

struct rule {
    unsigned char kind, fate, message;
};

enum { LAST_FIELD = 25 };

/* The nesting of ONNX's messages (onnx.proto of the ONNX project, IR version
 * 14). Fields that are not listed are carried along and not looked into. */
static const struct rule rules[I3D_ONNX_MESSAGE_COUNT][LAST_FIELD + 1] = {
    [I3D_ONNX_MODEL] = {
        [1] = { VARINT, DECODE, 0 },  /* ir_version */
        [2] = { BYTES, DECODE, 0 },   /* producer_name */
        [3] = { BYTES, DECODE, 0 },   /* producer_version */
        [4] = { BYTES, DECODE, 0 },   /* domain */
        [5] = { VARINT, DECODE, 0 },  /* model_version */
        [6] = { BYTES, DECODE, 0 },   /* doc_string */
        [7] = { MESSAGE, CHILD, I3D_ONNX_GRAPH },
        [8] = { MESSAGE, DECODE, I3D_ONNX_OPSET },
        [14] = { MESSAGE, DECODE, I3D_ONNX_ENTRY },
        [20] = { MESSAGE, CARRY, I3D_ONNX_TRAINING },
        [25] = { MESSAGE, CARRY, I3D_ONNX_FUNCTION },
    },
    [I3D_ONNX_GRAPH] = {
        [1] = { MESSAGE, CHILD, I3D_ONNX_NODE },
        [2] = { BYTES, DECODE, 0 },   /* name */
        [5] = { MESSAGE, CHILD, I3D_ONNX_TENSOR },
        [10] = { BYTES, CARRY, 0 },   /* doc_string */
        [11] = { MESSAGE, CHILD, I3D_ONNX_VALUE }, /* input */
        [12] = { MESSAGE, CHILD, I3D_ONNX_VALUE }, /* output */
        [13] = { MESSAGE, CHILD, I3D_ONNX_VALUE }, /* value_info */
        [14] = { MESSAGE, CARRY, I3D_ONNX_LEAF },  /* quantization_annotation */
        [15] = { MESSAGE, CARRY, I3D_ONNX_SPARSE_TENSOR },
        [16] = { MESSAGE, CARRY, I3D_ONNX_ENTRY },
    },
    [I3D_ONNX_NODE] = {
        [1] = { BYTES, DECODE, 0 },   /* input */
        [2] = { BYTES, DECODE, 0 },   /* output */
        [3] = { BYTES, DECODE, 0 },   /* name */
        [4] = { BYTES, DECODE, 0 },   /* op_type */
        [5] = { MESSAGE, CHILD, I3D_ONNX_ATTRIBUTE },
        [6] = { BYTES, DECODE, 0 },   /* doc_string */
        [7] = { BYTES, DECODE, 0 },   /* domain */
    },
    [I3D_ONNX_ATTRIBUTE] = {
        [1] = { BYTES, DECODE, 0 },   /* name */
        [2] = { FLOAT, DECODE, 0 },   /* f */
        [3] = { VARINT, DECODE, 0 },  /* i */
        [4] = { BYTES, DECODE, 0 },   /* s */
        [5] = { MESSAGE, CHILD, I3D_ONNX_TENSOR },
        [6] = { MESSAGE, SKIP, I3D_ONNX_GRAPH },
        [7] = { FLOATS, DECODE, 0 },  /* floats */
        [8] = { VARINTS, DECODE, 0 }, /* ints */
        [9] = { BYTES, DECODE, 0 },   /* strings */
        [10] = { MESSAGE, SKIP, I3D_ONNX_TENSOR },
        [11] = { MESSAGE, SKIP, I3D_ONNX_GRAPH },
        [14] = { MESSAGE, SKIP, I3D_ONNX_TYPE },
        [15] = { MESSAGE, SKIP, I3D_ONNX_TYPE },
        [20] = { VARINT, DECODE, 0 }, /* type */
        [21] = { BYTES, DECODE, 0 },  /* ref_attr_name */
        [22] = { MESSAGE, SKIP, I3D_ONNX_SPARSE_TENSOR },
        [23] = { MESSAGE, SKIP, I3D_ONNX_SPARSE_TENSOR },
    },
    [I3D_ONNX_TENSOR] = {
        [1] = { VARINTS, DECODE, 0 }, /* dims */
        [2] = { VARINT, DECODE, 0 },  /* data_type */
        [3] = { BYTES, DECODE, 0 },   /* segment */
        [4] = { FLOATS, SKIP, 0 },    /* float_data */
        [5] = { VARINTS, SKIP, 0 },   /* int32_data */
        [6] = { BYTES, SKIP, 0 },     /* string_data */
        [7] = { VARINTS, SKIP, 0 },   /* int64_data */
        [8] = { BYTES, DECODE, 0 },   /* name */
        [9] = { BYTES, SKIP, 0 },     /* raw_data */
        [10] = { DOUBLES, SKIP, 0 },  /* double_data */
        [11] = { VARINTS, SKIP, 0 },  /* uint64_data */
        [12] = { BYTES, DECODE, 0 },  /* doc_string */
        [13] = { MESSAGE, DECODE, I3D_ONNX_ENTRY }, /* external_data */
        [14] = { VARINT, DECODE, 0 }, /* data_location */
    },
    [I3D_ONNX_SPARSE_TENSOR] = {
        [1] = { MESSAGE, CARRY, I3D_ONNX_TENSOR },
        [2] = { MESSAGE, CARRY, I3D_ONNX_TENSOR },
    },
    [I3D_ONNX_VALUE] = {
        [1] = { BYTES, DECODE, 0 },   /* name */
        [2] = { MESSAGE, CHILD, I3D_ONNX_TYPE },
        [3] = { BYTES, DECODE, 0 },   /* doc_string */
    },
    [I3D_ONNX_TYPE] = {
        [1] = { MESSAGE, DECODE, I3D_ONNX_TENSOR_TYPE },
        [4] = { MESSAGE, CARRY, I3D_ONNX_SEQUENCE_TYPE },
        [5] = { MESSAGE, CARRY, I3D_ONNX_MAP_TYPE },
        [8] = { MESSAGE, CARRY, I3D_ONNX_TENSOR_TYPE }, /* sparse_tensor_type */
        [9] = { MESSAGE, CARRY, I3D_ONNX_SEQUENCE_TYPE }, /* optional_type */
    },
    [I3D_ONNX_TENSOR_TYPE] = {
        [1] = { VARINT, DECODE, 0 },  /* elem_type */
        [2] = { MESSAGE, DECODE, I3D_ONNX_SHAPE },
    },
    [I3D_ONNX_SEQUENCE_TYPE] = { [1] = { MESSAGE, CARRY, I3D_ONNX_TYPE } },
    [I3D_ONNX_MAP_TYPE] = { [2] = { MESSAGE, CARRY, I3D_ONNX_TYPE } },
    [I3D_ONNX_SHAPE] = { [1] = { MESSAGE, DECODE, I3D_ONNX_DIMENSION } },
    [I3D_ONNX_DIMENSION] = {
        [1] = { VARINT, DECODE, 0 },  /* dim_value */
        [2] = { BYTES, DECODE, 0 },   /* dim_param */
    },
    [I3D_ONNX_ENTRY] = { [1] = { BYTES, DECODE, 0 }, [2] = { BYTES, DECODE, 0 } },
    [I3D_ONNX_OPSET] = { [1] = { BYTES, DECODE, 0 }, [2] = { VARINT, DECODE, 0 } },
    [I3D_ONNX_TRAINING] = {
        [1] = { MESSAGE, CARRY, I3D_ONNX_GRAPH },
        [2] = { MESSAGE, CARRY, I3D_ONNX_GRAPH },
    },
    [I3D_ONNX_FUNCTION] = {
        [7] = { MESSAGE, CARRY, I3D_ONNX_NODE },
        [11] = { MESSAGE, CARRY, I3D_ONNX_ATTRIBUTE },
        [12] = { MESSAGE, CARRY, I3D_ONNX_VALUE },
    },
};

static struct rule rule_of(enum i3d_onnx_message message, uint32_t number)
{
    return number <= LAST_FIELD ? rules[message][number] : (struct rule){ UNKNOWN, CARRY, 0 };
}

/* Repeated numbers come packed or one by one (protobuf's encoding
 * specification: parsers have to take both). */
static bool type_fits(enum kind kind, enum i3d_wire_type type)
{
    switch (kind) {
    case UNKNOWN: return true;
    case VARINT: return type == I3D_WIRE_VARINT;
    case FLOAT: return type == I3D_WIRE_FIXED32;
    case VARINTS: return type == I3D_WIRE_VARINT || type == I3D_WIRE_LENGTH;
    case FLOATS: return type == I3D_WIRE_FIXED32 || type == I3D_WIRE_LENGTH;
    case DOUBLES: return type == I3D_WIRE_FIXED64 || type == I3D_WIRE_LENGTH;
    case BYTES:
    case MESSAGE: return type == I3D_WIRE_LENGTH;
    }
    return false;
}

void i3d_wire_init(struct i3d_wire *wire, struct i3d_file *file)
{
    wire->file = file;
    wire->companions = NULL;
    wire->start = 0;
    wire->length = 0;
}

/* Makes the byte at offset, which the file has to hold, part of the window. */
static enum i3d_status show(struct i3d_wire *wire, uint64_t offset, struct i3d_error *error)
{
    if (offset >= wire->start && offset - wire->start < wire->length)
        return I3D_OK;
    uint64_t left = i3d_file_size(wire->file) - offset;
    wire->length = 0;
    size_t length = left < I3D_WIRE_WINDOW ? (size_t)left : I3D_WIRE_WINDOW;
    enum i3d_status status = i3d_file_read(wire->file, offset, wire->window, length, error);
    if (!status) {
        wire->start = offset;
        wire->length = length;
    }
    return status;
}

static enum i3d_status at_byte(struct i3d_error *error, uint64_t offset)
{
    return i3d_error_where(error, "byte %llu", (unsigned long long)offset);
}

enum i3d_status i3d_wire_varint(struct i3d_wire *wire, uint64_t *position, uint64_t end,
                                uint64_t *value, struct i3d_error *error)
{
    uint64_t start = *position;
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (*position >= end) {
            i3d_fail(error, I3D_MALFORMED, "a number is cut short");
            return at_byte(error, start);
        }
        enum i3d_status status = show(wire, *position, error);
        if (status)
            return status;
        uint64_t byte = wire->window[(*position)++ - wire->start];
        if (shift == 63 && byte > 1)
            break;
        *value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return I3D_OK;
    }
    i3d_fail(error, I3D_MALFORMED, "a number has more than 64 bits");
    return at_byte(error, start);
}

/* Puts begin and end around length bytes at *position and steps over them. */
static enum i3d_status enclose(struct i3d_wire_field *field, uint64_t *position, uint64_t end,
                               uint64_t length, struct i3d_error *error)
{
    if (length > end - *position) {
        i3d_fail(error, I3D_MALFORMED,
                 "field %u of %llu bytes does not fit into the %llu that are left",
                 field->number, (unsigned long long)length,
                 (unsigned long long)(end - *position));
        return at_byte(error, field->tag);
    }
    field->begin = *position;
    *position += length;
    field->end = *position;
    return I3D_OK;
}

enum i3d_status i3d_wire_next(struct i3d_wire *wire, uint64_t *position, uint64_t end,
                              struct i3d_wire_field *field, struct i3d_error *error)
{
    uint64_t tag, length;
    *field = (struct i3d_wire_field){ .tag = *position };
    enum i3d_status status = i3d_wire_varint(wire, position, end, &tag, error);
    if (status)
        return status;
    if (tag >> 3 == 0 || tag > UINT32_MAX) {
        i3d_fail(error, I3D_MALFORMED, "no field of a protobuf message starts here");
        return at_byte(error, field->tag);
    }
    field->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case I3D_WIRE_VARINT:
        field->type = I3D_WIRE_VARINT;
        field->begin = *position;
        status = i3d_wire_varint(wire, position, end, &field->value, error);
        field->end = *position;
        return status;
    case I3D_WIRE_FIXED64:
        field->type = I3D_WIRE_FIXED64;
        return enclose(field, position, end, 8, error);
    case I3D_WIRE_FIXED32:
        field->type = I3D_WIRE_FIXED32;
        return enclose(field, position, end, 4, error);
    case I3D_WIRE_LENGTH:
        field->type = I3D_WIRE_LENGTH;
        status = i3d_wire_varint(wire, position, end, &length, error);
        return status ? status : enclose(field, position, end, length, error);
    default: /* groups were never part of ONNX */
        i3d_fail(error, I3D_MALFORMED, "field %u has wire type %u", field->number,
                 (unsigned)(tag & 7));
        return at_byte(error, field->tag);
    }
}

enum i3d_status i3d_wire_copy(struct i3d_wire *wire, uint64_t offset, void *bytes, size_t length,
                              struct i3d_error *error)
{
    if (!length)
        return I3D_OK;
    if (length > I3D_WIRE_WINDOW)
        return i3d_file_read(wire->file, offset, bytes, length, error);
    unsigned char *to = bytes;
    while (length) {
        enum i3d_status status = show(wire, offset, error);
        if (status)
            return status;
        size_t skipped = (size_t)(offset - wire->start);
        size_t piece = wire->length - skipped < length ? wire->length - skipped : length;
        memcpy(to, wire->window + skipped, piece);
        to += piece;
        offset += piece;
        length -= piece;
    }
    return I3D_OK;
}

enum i3d_status i3d_onnx_check_nesting(struct i3d_wire *wire, struct i3d_error *error)
{
    struct {
        enum i3d_onnx_message message;
        uint64_t end;
    } open[I3D_WIRE_DEPTH] = { { I3D_ONNX_MODEL, i3d_file_size(wire->file) } };
    int depth = 1;
    for (uint64_t position = 0; depth;) {
        if (position == open[depth - 1].end) {
            depth--;
            continue;
        }
        struct i3d_wire_field field;
        enum i3d_status status =
            i3d_wire_next(wire, &position, open[depth - 1].end, &field, error);
        if (status)
            return status;
        struct rule rule = rule_of(open[depth - 1].message, field.number);
        if (!type_fits(rule.kind, field.type)) {
            i3d_fail(error, I3D_MALFORMED, "field %u has wire type %d, which is not its own",
                     field.number, (int)field.type);
            return at_byte(error, field.tag);
        }
        if (rule.kind != MESSAGE || rule.message == I3D_ONNX_LEAF)
            continue;
        if (depth == I3D_WIRE_DEPTH) {
            i3d_fail(error, I3D_MALFORMED, "messages nest more than %d deep", I3D_WIRE_DEPTH);
            return at_byte(error, field.tag);
        }
        open[depth].message = rule.message;
        open[depth++].end = field.end;
        position = field.begin;
    }
    return I3D_OK;
}

/* A varint in memory; returns the bytes it takes, 0 if it is cut or too long. */
static size_t head_varint(const unsigned char *bytes, size_t length, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < length && i < 9; i++) {
        *value |= (uint64_t)(bytes[i] & 0x7f) << 7 * i;
        if (bytes[i] < 0x80)
            return i + 1;
    }
    return 0;
}

bool i3d_onnx_head_fits(const unsigned char *head, size_t head_length, uint64_t size)
{
    enum { HIGHEST_IR_VERSION = 1000 };
    bool versioned = false, telling = false;
    for (uint64_t position = 0; position < head_length;) {
        uint64_t tag, value = 0;
        size_t used = head_varint(head + position, head_length - position, &tag);
        struct rule rule = used ? rule_of(I3D_ONNX_MODEL, (uint32_t)(tag >> 3)) : rules[0][0];
        if (rule.kind == UNKNOWN || tag > UINT32_MAX || !type_fits(rule.kind, tag & 7))
            return versioned && telling;
        position += used;
        used = head_varint(head + position, head_length - position, &value);
        if (!used)
            return versioned;
        position += used;
        if (tag >> 3 == 1) {
            if (!value || value > HIGHEST_IR_VERSION)
                return false;
            versioned = true;
        }
        telling |= tag >> 3 == 7 || tag >> 3 == 8;
        if ((tag & 7) != I3D_WIRE_LENGTH)
            continue;
        /* With an IR version before it, a field that is too long is an ONNX
         * file cut short, and the reader can say so. */
        if (value > size - position)
            return versioned;
        position += value;
    }
    return versioned || telling;
}

bool i3d_onnx_append(struct i3d_onnx_bytes *to, const void *bytes, uint64_t length)
{
    size_t needed;
    if (__builtin_add_overflow(to->length, length, &needed) || needed > SIZE_MAX / 2)
        return false;
    if (needed > to->room) {
        size_t room = needed < 256 ? 256 : needed + needed / 2;
        void *moved = realloc(to->bytes, room);
        if (!moved)
            return false;
        to->bytes = moved;
        to->room = room;
    }
    if (bytes && length)
        memcpy(to->bytes + to->length, bytes, (size_t)length);
    to->length = needed;
    return true;
}

static bool append_child(struct i3d_onnx_parts *parts, const struct i3d_wire_field *field)
{
    if (parts->child_count == parts->child_room) {
        size_t room = parts->child_room + parts->child_room / 2 + 16;
        void *moved = reallocarray(parts->children, room, sizeof *parts->children);
        if (!moved)
            return false;
        parts->children = moved;
        parts->child_room = room;
    }
    parts->children[parts->child_count++] = *field;
    return true;
}

static enum i3d_status append_field(struct i3d_wire *wire, const struct i3d_wire_field *field,
                                    struct i3d_onnx_bytes *to, struct i3d_error *error)
{
    size_t start = to->length;
    uint64_t length = field->end - field->tag;
    if (!i3d_onnx_append(to, NULL, length))
        return i3d_fail_memory(error);
    return i3d_wire_copy(wire, field->tag, to->bytes + start, (size_t)length, error);
}

enum i3d_status i3d_onnx_split(struct i3d_wire *wire, enum i3d_onnx_message message,
                               uint64_t begin, uint64_t end, struct i3d_onnx_parts *parts,
                               struct i3d_error *error)
{
    for (uint64_t position = begin; position < end;) {
        struct i3d_wire_field field;
        enum i3d_status status = i3d_wire_next(wire, &position, end, &field, error);
        if (status)
            return status;
        switch ((enum fate)rule_of(message, field.number).fate) {
        case SKIP:
            break;
        case CHILD:
            if (!append_child(parts, &field))
                status = i3d_fail_memory(error);
            break;
        case DECODE:
            status = append_field(wire, &field, &parts->decode, error);
            break;
        case CARRY:
            status = append_field(wire, &field, &parts->carry, error);
            break;
        }
        if (status)
            return status;
    }
    return I3D_OK;
}

void i3d_onnx_parts_free(struct i3d_onnx_parts *parts)
{
    free(parts->decode.bytes);
    free(parts->carry.bytes);
    free(parts->children);
    *parts = (struct i3d_onnx_parts){ 0 };
}
