/* A bounded walk over the protobuf wire format of ONNX files.
 *
 * libprotobuf-c copies every byte it decodes and recurses as deep as its input
 * says, so it only gets small messages that cannot nest. Everything around
 * them is walked here, through a window on the file: every length is checked
 * against the message it stands in, and tensor data is stepped over. */
#pragma once

#include "formats/companion.h"

#include <stdbool.h>

enum { I3D_WIRE_WINDOW = 16 * 1024, I3D_WIRE_DEPTH = 64 };

/* A file and the part of it that is in memory. */
struct i3d_wire {
    struct i3d_file *file;
    struct i3d_companions *companions; /* that tensors name; not owned */
    uint64_t start; /* file offset of window[0] */
    size_t length;
    unsigned char window[I3D_WIRE_WINDOW];
};

enum i3d_wire_type { /* protobuf's encoding specification, "Message Structure" */
    I3D_WIRE_VARINT = 0,
    I3D_WIRE_FIXED64 = 1,
    I3D_WIRE_LENGTH = 2,
    I3D_WIRE_FIXED32 = 5,
};

struct i3d_wire_field {
    uint32_t number;
    enum i3d_wire_type type;
    uint64_t tag;        /* file offset of the field's tag */
    uint64_t begin, end; /* of its value, without the length that precedes it */
    uint64_t value;      /* of a varint */
};

void i3d_wire_init(struct i3d_wire *wire, struct i3d_file *file);

/* Reads the field at *position of a message that ends at end and moves
 * *position behind it. I3D_MALFORMED if it does not fit. */
enum i3d_status i3d_wire_next(struct i3d_wire *wire, uint64_t *position, uint64_t end,
                              struct i3d_wire_field *field, struct i3d_error *error);
/* Reads a varint of at most 64 bits that ends before end. */
enum i3d_status i3d_wire_varint(struct i3d_wire *wire, uint64_t *position, uint64_t end,
                                uint64_t *value, struct i3d_error *error);
/* Copies length bytes at offset. */
enum i3d_status i3d_wire_copy(struct i3d_wire *wire, uint64_t offset, void *bytes, size_t length,
                              struct i3d_error *error);

enum i3d_onnx_message {
    I3D_ONNX_LEAF, /* a message that is not looked into */
    I3D_ONNX_MODEL,
    I3D_ONNX_GRAPH,
    I3D_ONNX_NODE,
    I3D_ONNX_ATTRIBUTE,
    I3D_ONNX_TENSOR,
    I3D_ONNX_SPARSE_TENSOR,
    I3D_ONNX_VALUE,
    I3D_ONNX_TYPE,
    I3D_ONNX_TENSOR_TYPE,
    I3D_ONNX_SEQUENCE_TYPE, /* OptionalType looks the same */
    I3D_ONNX_MAP_TYPE,
    I3D_ONNX_SHAPE,
    I3D_ONNX_DIMENSION,
    I3D_ONNX_ENTRY,
    I3D_ONNX_OPSET,
    I3D_ONNX_TRAINING,
    I3D_ONNX_FUNCTION,
    I3D_ONNX_MESSAGE_COUNT,
};

/* Walks the ModelProto that the whole file is, down to every message in it:
 * I3D_MALFORMED where the wire format is broken, a known field has the wrong
 * type, or messages nest more than I3D_WIRE_DEPTH deep. */
enum i3d_status i3d_onnx_check_nesting(struct i3d_wire *wire, struct i3d_error *error);

/* Whether a file of size bytes that starts with head can be a ModelProto. */
bool i3d_onnx_head_fits(const unsigned char *head, size_t head_length, uint64_t size);

struct i3d_onnx_bytes {
    unsigned char *bytes;
    size_t length, room;
};

/* A message taken apart. Splitting further messages into the same parts
 * appends, which is how protobuf merges repeated singular messages. */
struct i3d_onnx_parts {
    struct i3d_onnx_bytes decode; /* what libprotobuf-c is to decode */
    struct i3d_onnx_bytes carry;  /* fields that are not looked at */
    struct i3d_wire_field *children; /* messages to be split on their own, in file order */
    size_t child_count, child_room;
};

/* Appends the message at [begin, end) to parts; data of a TensorProto goes
 * nowhere. Parts start zeroed and are freed by the caller, also on failure. */
enum i3d_status i3d_onnx_split(struct i3d_wire *wire, enum i3d_onnx_message message,
                               uint64_t begin, uint64_t end, struct i3d_onnx_parts *parts,
                               struct i3d_error *error);
void i3d_onnx_parts_free(struct i3d_onnx_parts *parts);
/* Appends length bytes; a null for bytes leaves them to be filled. False when
 * memory is short. */
bool i3d_onnx_append(struct i3d_onnx_bytes *to, const void *bytes, uint64_t length);
