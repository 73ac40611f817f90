#include "formats/onnx_read.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Fields of TensorProto that hold elements. */
enum {
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    STRING_DATA = 6,
    INT64_DATA = 7,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11,
};

/* TensorProto.DataLocation */
enum { LOCATION_EXTERNAL = 1 };

/* Which field holds the elements of a type where raw_data does not, and the
 * numbers that such an element may be (onnx.proto's comments on the fields).
 * Floats of two bytes stand as their bits. */
static const struct typed_field {
    enum i3d_dtype dtype;
    uint32_t field;
    int64_t lowest;
    uint64_t highest;
} typed_fields[] = {
    { I3D_FLOAT32, FLOAT_DATA, 0, 0 },
    { I3D_FLOAT64, DOUBLE_DATA, 0, 0 },
    { I3D_INT32, INT32_DATA, INT32_MIN, INT32_MAX },
    { I3D_INT16, INT32_DATA, INT16_MIN, INT16_MAX },
    { I3D_INT8, INT32_DATA, INT8_MIN, INT8_MAX },
    { I3D_UINT16, INT32_DATA, 0, UINT16_MAX },
    { I3D_UINT8, INT32_DATA, 0, UINT8_MAX },
    { I3D_BOOL, INT32_DATA, 0, 1 },
    { I3D_FLOAT16, INT32_DATA, 0, UINT16_MAX },
    { I3D_BFLOAT16, INT32_DATA, 0, UINT16_MAX },
    { I3D_INT64, INT64_DATA, INT64_MIN, INT64_MAX },
    { I3D_UINT32, UINT64_DATA, 0, UINT32_MAX },
    { I3D_UINT64, UINT64_DATA, 0, UINT64_MAX },
};

/* TensorProto.DataType's numbers that no i3d_tensor can hold. */
static const struct {
    int32_t type;
    const char *name;
} other_types[] = {
    { I3D_STRING, "string" },  { 14, "complex64" },        { 15, "complex128" },
    { 17, "float8e4m3fn" },    { 18, "float8e4m3fnuz" },   { 19, "float8e5m2" },
    { 20, "float8e5m2fnuz" },  { 21, "uint4" },            { 22, "int4" },
    { 23, "float4e2m1" },      { 24, "float8e8m0" },       { 25, "uint2" },
    { 26, "int2" },            { 27, "float6e2m3" },       { 28, "float6e3m2" },
};

static const struct typed_field *typed_field_of(int32_t type)
{
    for (size_t i = 0; i < sizeof typed_fields / sizeof typed_fields[0]; i++)
        if ((int32_t)typed_fields[i].dtype == type)
            return &typed_fields[i];
    return NULL;
}

static bool is_varint_field(uint32_t field)
{
    return field == INT32_DATA || field == INT64_DATA || field == UINT64_DATA;
}

/* Where one tensor's elements lie, and a cursor over them. A field's value,
 * packed or not, is a chunk of elements one after the other. */
struct typed_data {
    struct i3d_file *file;
    const struct typed_field *typed;
    uint64_t begin, end;           /* of the TensorProto */
    uint64_t position;             /* the field behind the chunk */
    uint64_t chunk, chunk_end;     /* what is left of the chunk */
    uint64_t index;                /* of the element at chunk */
};

static void rewind_cursor(struct typed_data *data)
{
    data->position = data->begin;
    data->chunk = data->chunk_end = data->index = 0;
}

/* Moves to the next chunk that is not empty; at the message's end chunk and
 * chunk_end stay equal. */
static enum i3d_status find_chunk(struct typed_data *data, struct i3d_wire *wire,
                                  struct i3d_error *error)
{
    while (data->chunk == data->chunk_end && data->position < data->end) {
        struct i3d_wire_field field;
        enum i3d_status status = i3d_wire_next(wire, &data->position, data->end, &field, error);
        if (status)
            return status;
        if (field.number != data->typed->field)
            continue;
        data->chunk = field.begin;
        data->chunk_end = field.end;
    }
    return I3D_OK;
}

/* int32 and bool fields keep the low 32 bits of their varint (protobuf's
 * encoding specification); writers sign-extend negative ones to 64. */
static enum i3d_status read_number(struct typed_data *data, struct i3d_wire *wire,
                                   uint64_t *number, struct i3d_error *error)
{
    const struct typed_field *typed = data->typed;
    enum i3d_status status =
        i3d_wire_varint(wire, &data->chunk, data->chunk_end, number, error);
    if (status)
        return status;
    if (typed->field == INT32_DATA)
        *number = (uint64_t)(int64_t)(int32_t)(uint32_t)*number;
    bool fits = typed->lowest ? (int64_t)*number >= typed->lowest
                                    && (int64_t)*number <= (int64_t)typed->highest
                              : *number <= typed->highest;
    if (fits)
        return I3D_OK;
    return i3d_fail(error, I3D_MALFORMED, "element %" PRIu64 " is %" PRId64
                    ", which is no %s", data->index, (int64_t)*number,
                    i3d_dtype_name(typed->dtype));
}

/* The next element's bytes, little-endian. */
static enum i3d_status next_element(struct typed_data *data, struct i3d_wire *wire,
                                    unsigned char *bytes, size_t size, struct i3d_error *error)
{
    enum i3d_status status = find_chunk(data, wire, error);
    if (status)
        return status;
    if (is_varint_field(data->typed->field)) {
        uint64_t number;
        status = read_number(data, wire, &number, error);
        for (size_t i = 0; i < size && !status; i++)
            bytes[i] = (unsigned char)(number >> 8 * i);
    } else if (data->chunk_end - data->chunk < size) {
        status = i3d_fail(error, I3D_MALFORMED, "its elements are cut short");
    } else {
        status = i3d_wire_copy(wire, data->chunk, bytes, size, error);
        data->chunk += size;
    }
    data->index++;
    return status;
}

static enum i3d_status read_typed(void *context, uint64_t offset, void *bytes, size_t length,
                                  struct i3d_error *error)
{
    struct typed_data *data = context;
    struct i3d_wire wire;
    i3d_wire_init(&wire, data->file);
    size_t size = i3d_dtype_size(data->typed->dtype);
    unsigned char *to = bytes, element[8];
    if (offset / size < data->index)
        rewind_cursor(data);
    while (length) {
        uint64_t start = data->index * size;
        enum i3d_status status = next_element(data, &wire, element, size, error);
        if (status)
            return status;
        if (start + size <= offset)
            continue;
        size_t skipped = (size_t)(offset - start);
        size_t piece = size - skipped < length ? size - skipped : length;
        memcpy(to, element + skipped, piece);
        to += piece;
        offset += piece;
        length -= piece;
    }
    return I3D_OK;
}

static void release_typed(void *context)
{
    struct typed_data *data = context;
    i3d_file_release(data->file);
    free(data);
}

static struct i3d_source *typed_source(const struct typed_data *data, uint64_t length)
{
    struct typed_data *context = malloc(sizeof *context);
    if (!context)
        return NULL;
    *context = *data;
    rewind_cursor(context);
    i3d_file_retain(context->file);
    struct i3d_source *source = i3d_source_callback(read_typed, release_typed, context, length);
    if (!source)
        release_typed(context);
    return source;
}

/* What a tensor's data fields hold. */
struct layout {
    uint64_t raw_begin, raw_end;     /* raw_data, or equal */
    uint64_t elements;               /* in the typed field */
    uint64_t chunks, first_chunk;    /* of the typed field, empty ones left out */
};

static enum i3d_status survey_fields(struct i3d_wire *wire, const struct typed_data *data,
                                     struct layout *layout, struct i3d_error *error)
{
    for (uint64_t position = data->begin; position < data->end;) {
        struct i3d_wire_field field;
        enum i3d_status status = i3d_wire_next(wire, &position, data->end, &field, error);
        if (status)
            return status;
        bool typed = field.number == FLOAT_DATA || field.number == STRING_DATA
            || field.number == DOUBLE_DATA || is_varint_field(field.number);
        if (field.number == RAW_DATA) {
            layout->raw_begin = field.begin;
            layout->raw_end = field.end;
        } else if (typed && field.begin < field.end) {
            if (field.number != data->typed->field)
                return i3d_fail(error, I3D_MALFORMED, "its elements are %s, which do not stand "
                                "in field %u", i3d_dtype_name(data->typed->dtype), field.number);
            if (!layout->chunks++)
                layout->first_chunk = field.begin;
            if (!is_varint_field(field.number)) {
                size_t size = i3d_dtype_size(data->typed->dtype);
                if ((field.end - field.begin) % size)
                    return i3d_fail(error, I3D_MALFORMED, "its elements are cut short");
                layout->elements += (field.end - field.begin) / size;
            }
        }
    }
    return I3D_OK;
}

/* Counts the numbers and checks each, so that reading them later cannot fail. */
static enum i3d_status survey_numbers(struct i3d_wire *wire, struct typed_data data,
                                      struct layout *layout, struct i3d_error *error)
{
    rewind_cursor(&data);
    for (;;) {
        enum i3d_status status = find_chunk(&data, wire, error);
        if (status)
            return status;
        if (data.chunk == data.chunk_end)
            break;
        uint64_t number;
        status = read_number(&data, wire, &number, error);
        if (status)
            return status;
        data.index++;
    }
    layout->elements = data.index;
    return I3D_OK;
}

static enum i3d_status find_source(struct i3d_wire *wire, uint64_t begin, uint64_t end,
                                   const struct typed_field *typed, struct i3d_tensor *tensor,
                                   struct i3d_error *error)
{
    struct typed_data data = { .file = wire->file, .typed = typed, .begin = begin, .end = end };
    struct layout layout = { 0 };
    enum i3d_status status = survey_fields(wire, &data, &layout, error);
    if (!status && layout.chunks && is_varint_field(typed->field))
        status = survey_numbers(wire, data, &layout, error);
    if (status)
        return status;

    uint64_t wanted = (uint64_t)i3d_tensor_elements(tensor), bytes = i3d_tensor_bytes(tensor);
    uint64_t raw = layout.raw_end - layout.raw_begin;
    if (raw && layout.elements)
        return i3d_fail(error, I3D_MALFORMED, "it has raw_data and typed data");
    if (layout.elements ? layout.elements != wanted : raw != bytes)
        return i3d_fail(error, I3D_MALFORMED,
                        "it has %" PRIu64 " %s where its shape asks for %" PRIu64,
                        layout.elements ? layout.elements : raw,
                        layout.elements ? "elements" : "bytes",
                        layout.elements ? wanted : bytes);
    if (!layout.elements)
        tensor->source = i3d_source_range(wire->file, layout.raw_begin, bytes);
    else if (layout.chunks == 1 && !is_varint_field(typed->field))
        tensor->source = i3d_source_range(wire->file, layout.first_chunk, bytes);
    else
        tensor->source = typed_source(&data, bytes);
    return tensor->source ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status read_shape(const I3d__Onnx__TensorProto *proto, struct i3d_tensor *tensor,
                                  struct i3d_error *error)
{
    if (proto->n_dims > I3D_MAX_RANK)
        return i3d_fail(error, I3D_UNSUPPORTED, "it has %zu dimensions; at most %d are handled",
                        proto->n_dims, I3D_MAX_RANK);
    tensor->rank = (int)proto->n_dims;
    for (int k = 0; k < tensor->rank; k++)
        tensor->dims[k] = proto->dims[k];
    if (i3d_element_count(tensor->rank, tensor->dims) < 0)
        return i3d_fail(error, I3D_MALFORMED, "its shape is negative or too large");
    return I3D_OK;
}

static const char *other_type_name(int32_t type)
{
    for (size_t i = 0; i < sizeof other_types / sizeof other_types[0]; i++)
        if (other_types[i].type == type)
            return other_types[i].name;
    return "of a type of a later ONNX version";
}

static enum i3d_status read_decoded(struct i3d_wire *wire, struct i3d_arena *arena,
                                    uint64_t begin, uint64_t end,
                                    const I3d__Onnx__TensorProto *proto,
                                    struct i3d_tensor *tensor, bool *held,
                                    const char **type_name, struct i3d_error *error)
{
    if (proto->data_type <= 0)
        return i3d_fail(error, I3D_MALFORMED, "it has no element type");
    if (proto->has_segment)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "it is one segment of a larger tensor; segments are not supported");
    const struct typed_field *typed = typed_field_of(proto->data_type);
    *held = typed;
    if (!typed) {
        *type_name = other_type_name(proto->data_type);
        return I3D_OK;
    }
    tensor->dtype = typed->dtype;
    enum i3d_status status = read_shape(proto, tensor, error);
    if (!status && proto->data_location == LOCATION_EXTERNAL)
        return i3d_onnx_find_external(wire, arena, proto, tensor, error);
    return status ? status : find_source(wire, begin, end, typed, tensor, error);
}

enum i3d_status i3d_onnx_read_tensor(struct i3d_wire *wire, struct i3d_arena *arena,
                                     uint64_t begin, uint64_t end, struct i3d_tensor *tensor,
                                     bool *held, const char **type_name,
                                     struct i3d_error *error)
{
    struct i3d_onnx_parts parts = { 0 };
    I3d__Onnx__TensorProto *proto = NULL;
    enum i3d_status status = i3d_onnx_split(wire, I3D_ONNX_TENSOR, begin, end, &parts, error);
    if (!status) {
        proto = i3d__onnx__tensor_proto__unpack(NULL, parts.decode.length, parts.decode.bytes);
        if (!proto)
            status = i3d_onnx_undecoded(error, begin);
    }
    i3d_onnx_parts_free(&parts);
    if (status)
        return status;

    *held = false;
    tensor->name = "";
    status = i3d_onnx_string(arena, &proto->name, &tensor->name, error);
    if (!status && proto->has_doc_string)
        status = i3d_onnx_string(arena, &proto->doc_string, &tensor->doc, error);
    if (!status)
        status = read_decoded(wire, arena, begin, end, proto, tensor, held, type_name, error);
    if (status && *tensor->name) {
        /* The tensor tells the reader more than the byte it starts at. */
        if (error)
            error->where[0] = 0;
        i3d_error_where(error, "tensor %s", tensor->name);
    } else if (status) {
        i3d_error_where(error, "tensor at byte %" PRIu64, begin);
    }
    i3d__onnx__tensor_proto__free_unpacked(proto, NULL);
    return status;
}
