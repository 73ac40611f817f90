/* Tensors whose elements lie in another file: TensorProto.external_data (docs/ExternalData.md
 * of the ONNX project). */
#include "formats/onnx.pb-c.h"
#include "formats/onnx_read.h"

#include <inttypes.h>
#include <string.h>

enum { MOST_ENTRIES = 100 };

/* What the entries say; keys that change nothing (a checksum) are passed over. */
struct place {
    const char *location;
    uint64_t offset, length;
    bool has_length;
};

/* A decimal number, as the format has it in text. */
static enum i3d_status read_number(const ProtobufCBinaryData *from, const char *key,
                                   uint64_t *number, struct i3d_error *error)
{
    *number = 0;
    bool fits = from->len > 0;
    for (size_t i = 0; i < from->len && fits; i++) {
        unsigned digit = (unsigned)from->data[i] - '0';
        fits = digit < 10 && !__builtin_mul_overflow(*number, 10, number)
            && !__builtin_add_overflow(*number, digit, number);
    }
    return fits ? I3D_OK
                : i3d_fail(error, I3D_MALFORMED, "the %s of its external data is no number", key);
}

static bool is_key(const ProtobufCBinaryData *key, const char *name)
{
    return key->len == strlen(name) && !memcmp(key->data, name, key->len);
}

static enum i3d_status read_place(struct i3d_arena *arena, const I3d__Onnx__TensorProto *proto,
                                  struct place *place, struct i3d_error *error)
{
    if (proto->n_external_data > MOST_ENTRIES)
        return i3d_fail(error, I3D_MALFORMED, "its external data has %zu entries",
                        proto->n_external_data);
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < proto->n_external_data && !status; i++) {
        const I3d__Onnx__StringStringEntryProto *entry = proto->external_data[i];
        if (is_key(&entry->key, "location")) {
            status = i3d_onnx_string(arena, &entry->value, &place->location, error);
        } else if (is_key(&entry->key, "offset")) {
            status = read_number(&entry->value, "offset", &place->offset, error);
        } else if (is_key(&entry->key, "length")) {
            status = read_number(&entry->value, "length", &place->length, error);
            place->has_length = true;
        }
    }
    if (!status && !place->location)
        status = i3d_fail(error, I3D_MALFORMED, "its external data has no location");
    return status;
}

enum i3d_status i3d_onnx_find_external(struct i3d_wire *wire, struct i3d_arena *arena,
                                       const I3d__Onnx__TensorProto *proto,
                                       struct i3d_tensor *tensor, struct i3d_error *error)
{
    struct place place = { 0 };
    struct i3d_file *file;
    uint64_t wanted = i3d_tensor_bytes(tensor);
    enum i3d_status status = read_place(arena, proto, &place, error);
    if (!status && place.has_length && place.length != wanted)
        status = i3d_fail(error, I3D_MALFORMED, "it has %" PRIu64 " bytes of external data where "
                          "its shape asks for %" PRIu64, place.length, wanted);
    if (!status)
        status = i3d_companions_open(wire->companions, place.location, &file, error);
    if (status)
        return status;
    uint64_t size = i3d_file_size(file);
    if (place.offset > size || wanted > size - place.offset)
        return i3d_fail(error, I3D_MALFORMED, "it asks for %" PRIu64 " bytes from byte %" PRIu64
                        " of %s, which has %" PRIu64, wanted, place.offset, place.location, size);
    tensor->source = i3d_source_range(file, place.offset, wanted);
    return tensor->source ? I3D_OK : i3d_fail_memory(error);
}
