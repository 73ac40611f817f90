#include "formats/message.h"

#include <endian.h>
#include <string.h>

struct i3d_message i3d_message_of(const unsigned char *bytes, size_t length)
{
    return (struct i3d_message){ .at = bytes, .end = bytes + length };
}

struct i3d_message i3d_message_in(const struct i3d_field *field)
{
    if (field->type != I3D_FIELD_BYTES)
        return (struct i3d_message){ .broken = true };
    return i3d_message_of(field->bytes, field->length);
}

bool i3d_message_varint(struct i3d_message *message, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 70 && message->at < message->end; shift += 7) {
        unsigned char byte = *message->at++;
        if (shift == 63 && byte > 1)
            break;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    message->broken = true;
    return false;
}

static bool take_fixed(struct i3d_message *message, size_t width, uint64_t *value)
{
    *value = 0;
    if ((size_t)(message->end - message->at) < width)
        return false;
    memcpy(value, message->at, width);
    *value = le64toh(*value);
    message->at += width;
    return true;
}

static bool take_value(struct i3d_message *message, struct i3d_field *field)
{
    switch (field->type) {
    case I3D_FIELD_VARINT: return i3d_message_varint(message, &field->value);
    case I3D_FIELD_FIXED64: return take_fixed(message, 8, &field->value);
    case I3D_FIELD_FIXED32: return take_fixed(message, 4, &field->value);
    case I3D_FIELD_BYTES: break;
    default: return false; /* groups have been out of use for long */
    }
    uint64_t length;
    if (!i3d_message_varint(message, &length)
        || length > (uint64_t)(message->end - message->at))
        return false;
    field->bytes = message->at;
    field->length = (size_t)length;
    message->at += length;
    return true;
}

bool i3d_message_next(struct i3d_message *message, struct i3d_field *field)
{
    uint64_t tag;
    *field = (struct i3d_field){ 0 };
    if (message->broken || message->at == message->end)
        return false;
    if (i3d_message_varint(message, &tag) && tag >> 3 && tag >> 3 < 1 << 29) {
        field->number = (uint32_t)(tag >> 3);
        field->type = (enum i3d_field_type)(tag & 7);
        if (take_value(message, field))
            return true;
    }
    message->broken = true;
    return false;
}
