/* Reading protobuf messages that are in memory, field by field: nothing is copied, nothing
 * recurses, and every length is checked. (protobuf, "Encoding") */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum i3d_field_type {
    I3D_FIELD_VARINT = 0,
    I3D_FIELD_FIXED64 = 1,
    I3D_FIELD_BYTES = 2,
    I3D_FIELD_FIXED32 = 5,
};

struct i3d_message {
    const unsigned char *at, *end;
    bool broken; /* the wire format ended or was wrong */
};

struct i3d_field {
    uint32_t number;
    enum i3d_field_type type;
    uint64_t value;             /* of the numbers */
    const unsigned char *bytes; /* of a string, a message or packed numbers */
    size_t length;
};

struct i3d_message i3d_message_of(const unsigned char *bytes, size_t length);
/* The message in a field, or one that is broken where the field is a number. */
struct i3d_message i3d_message_in(const struct i3d_field *field);

/* Takes the next field; false at the end and where the message is broken. */
bool i3d_message_next(struct i3d_message *message, struct i3d_field *field);
/* Takes the next number of packed ones. */
bool i3d_message_varint(struct i3d_message *message, uint64_t *value);
