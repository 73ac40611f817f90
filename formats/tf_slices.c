/* Variables that TensorFlow stored in parts, as partitioned variables are, and the keys
 * of the parts. (TensorFlow, core/framework/tensor_slice.proto; the keys are made by
 * core/lib/strings/ordered_code.h, whose encodings sort as what they encode.) */
#include "formats/tf_checkpoint.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SLICES = 4096 };

/* tensorflow.DataType. */
static const struct {
    int type;
    enum i3d_dtype dtype;
} dtypes[] = {
    { 1, I3D_FLOAT32 },   { 2, I3D_FLOAT64 }, { 3, I3D_INT32 },   { 4, I3D_UINT8 },
    { 5, I3D_INT16 },     { 6, I3D_INT8 },    { 9, I3D_INT64 },   { 10, I3D_BOOL },
    { 14, I3D_BFLOAT16 }, { 17, I3D_UINT16 }, { 19, I3D_FLOAT16 }, { 22, I3D_UINT32 },
    { 23, I3D_UINT64 },
};

enum i3d_dtype i3d_tf_dtype(int type)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].type == type)
            return dtypes[i].dtype;
    return I3D_UNDEFINED;
}

void i3d_tf_variable_free(struct i3d_tf_variable *variable)
{
    free(variable->name);
    free(variable->slices);
}

static enum i3d_status fail_axes(struct i3d_error *error)
{
    return i3d_fail(error, I3D_UNSUPPORTED, "it has more than the %d axes that are handled",
                    I3D_MAX_RANK);
}

enum i3d_status i3d_tf_read_shape(struct i3d_message shape, struct i3d_tf_variable *variable,
                                  struct i3d_error *error)
{
    struct i3d_field field, part;
    variable->rank = 0;
    while (i3d_message_next(&shape, &field)) {
        if (field.number == 3 && field.value)
            return i3d_fail(error, I3D_MALFORMED, "its rank is not known");
        if (field.number != 2)
            continue;
        if (variable->rank == I3D_MAX_RANK)
            return fail_axes(error);
        struct i3d_message dim = i3d_message_in(&field);
        int64_t size = 0;
        while (i3d_message_next(&dim, &part))
            if (part.number == 1)
                size = (int64_t)part.value;
        if (dim.broken || size < 0)
            return i3d_fail(error, I3D_MALFORMED, "its shape is damaged");
        variable->dims[variable->rank++] = size;
    }
    return shape.broken ? i3d_fail(error, I3D_MALFORMED, "its shape is damaged") : I3D_OK;
}

/* An extent without a length is the whole axis. */
static bool read_extent(struct i3d_message extent, int64_t *start, int64_t *length)
{
    struct i3d_field field;
    *start = 0;
    *length = -1;
    while (i3d_message_next(&extent, &field)) {
        if (field.number == 1)
            *start = (int64_t)field.value;
        if (field.number == 2)
            *length = (int64_t)field.value;
    }
    return !extent.broken;
}

enum i3d_status i3d_tf_add_slice(struct i3d_message message, struct i3d_tf_variable *variable,
                                 struct i3d_error *error)
{
    struct i3d_tf_slice slice = { 0 };
    struct i3d_field field;
    while (i3d_message_next(&message, &field)) {
        if (field.number != 1)
            continue;
        if (slice.rank == I3D_MAX_RANK)
            return fail_axes(error);
        if (!read_extent(i3d_message_in(&field), &slice.start[slice.rank],
                         &slice.length[slice.rank]))
            return i3d_fail(error, I3D_MALFORMED, "one of its slices is damaged");
        slice.rank++;
    }
    if (message.broken)
        return i3d_fail(error, I3D_MALFORMED, "one of its slices is damaged");
    if (variable->slice_count == MOST_SLICES)
        return i3d_fail(error, I3D_UNSUPPORTED, "it is cut into more than the %d slices that are "
                                                "handled", MOST_SLICES);
    size_t count = variable->slice_count;
    if (!(count & (count - 1))) { /* room is the next power of two */
        struct i3d_tf_slice *slices = realloc(variable->slices,
                                              (count ? 2 * count : 1) * sizeof *slices);
        if (!slices)
            return i3d_fail_memory(error);
        variable->slices = slices;
    }
    variable->slices[variable->slice_count++] = slice;
    return I3D_OK;
}

static int64_t extent(const struct i3d_tf_variable *whole, const struct i3d_tf_slice *slice,
                      int axis)
{
    return slice->length[axis] < 0 ? whole->dims[axis] : slice->length[axis];
}

static bool is_inside(const struct i3d_tf_variable *whole, const struct i3d_tf_slice *slice)
{
    if (slice->rank != whole->rank)
        return false;
    for (int k = 0; k < whole->rank; k++)
        if (slice->start[k] < 0 || extent(whole, slice, k) > whole->dims[k]
            || slice->start[k] > whole->dims[k] - extent(whole, slice, k))
            return false;
    return true;
}

static bool overlap(const struct i3d_tf_variable *whole, const struct i3d_tf_slice *a,
                    const struct i3d_tf_slice *b)
{
    for (int k = 0; k < whole->rank; k++)
        if (a->start[k] >= b->start[k] + extent(whole, b, k)
            || b->start[k] >= a->start[k] + extent(whole, a, k))
            return false;
    return true;
}

/* Parts that are inside, apart, and of as many elements as the whole are the whole. */
static bool do_cover(const struct i3d_tf_variable *variable)
{
    int64_t elements = 0, all = i3d_element_count(variable->rank, variable->dims);
    for (size_t i = 0; i < variable->slice_count && elements <= all; i++) {
        const struct i3d_tf_slice *slice = &variable->slices[i];
        int64_t dims[I3D_MAX_RANK];
        if (!is_inside(variable, slice))
            return false;
        for (int k = 0; k < variable->rank; k++)
            dims[k] = extent(variable, slice, k);
        int64_t count = i3d_element_count(variable->rank, dims);
        elements += count;
        for (size_t j = 0; j < i && count; j++)
            if (overlap(variable, slice, &variable->slices[j]))
                return false;
    }
    return elements == all;
}

enum i3d_status i3d_tf_check(struct i3d_tf_variable *variable, struct i3d_error *error)
{
    if (!i3d_tf_dtype(variable->type))
        return i3d_fail(error, I3D_UNSUPPORTED, "its elements are of TensorFlow's type %d, which "
                                                "is not handled", variable->type);
    if (i3d_element_count(variable->rank, variable->dims) < 0)
        return i3d_fail(error, I3D_MALFORMED, "its shape is too large");
    if (variable->slice_count && !do_cover(variable))
        return i3d_fail(error, I3D_MALFORMED, "its slices do not make up the whole");
    return I3D_OK;
}

struct code {
    unsigned char *at;
};

/* The bytes that are not zero, ahead of them their count. */
static void put_count(struct code *code, uint64_t value)
{
    int bytes = 0;
    for (uint64_t rest = value; rest; rest >>= 8)
        bytes++;
    *code->at++ = (unsigned char)bytes;
    while (bytes--)
        *code->at++ = (unsigned char)(value >> 8 * bytes);
}

/* 00 becomes 00 ff and ff becomes ff 00; 00 01 ends it. */
static void put_text(struct code *code, const char *text)
{
    for (; *text; text++) {
        *code->at++ = (unsigned char)*text;
        if ((unsigned char)*text == 0xff)
            *code->at++ = 0;
    }
    *code->at++ = 0;
    *code->at++ = 1;
}

/* Two's complement in as many bytes as needed, with the first bits turned: as many ones as
 * there are bytes, then a zero, for numbers from zero on; below zero the other way. */
static void put_signed(struct code *code, int64_t value)
{
    enum { LONGEST = 10 };
    unsigned char bytes[LONGEST];
    uint64_t magnitude = value < 0 ? ~(uint64_t)value : (uint64_t)value;
    int bits = 0, length;
    while (bits < 64 && magnitude >> bits)
        bits++;
    length = bits / 7 + 1;
    for (int i = 0; i < LONGEST; i++)
        bytes[i] = i >= LONGEST - 8 ? (unsigned char)((uint64_t)value >> 8 * (LONGEST - 1 - i))
                                    : (unsigned char)(value < 0 ? 0xff : 0);
    unsigned char *first = bytes + LONGEST - length;
    uint32_t header = 0xffffu << (16 - length) & 0xffff;
    first[0] ^= (unsigned char)(header >> 8);
    if (length > 1)
        first[1] ^= (unsigned char)(header & 255);
    memcpy(code->at, first, (size_t)length);
    code->at += length;
}

unsigned char *i3d_tf_slice_key(const struct i3d_tf_variable *whole,
                                const struct i3d_tf_slice *slice, size_t *length)
{
    enum { COUNT = 9, SIGNED = 10 };
    unsigned char *key =
        malloc(2 * strlen(whole->name) + 2 + 2 * COUNT + 2 * SIGNED * I3D_MAX_RANK);
    if (!key)
        return NULL;
    struct code code = { key };
    put_count(&code, 0);
    put_text(&code, whole->name);
    put_count(&code, (uint64_t)slice->rank);
    for (int k = 0; k < slice->rank; k++) {
        put_signed(&code, slice->start[k]);
        put_signed(&code, slice->length[k]);
    }
    *length = (size_t)(code.at - key);
    return key;
}

/* What joining needs: the whole's axes, and each part's place in it. */
struct joint {
    size_t width;
    int rank;
    int64_t dims[I3D_MAX_RANK];
    struct i3d_tf_slice places[];
};

/* Copies one part's rows, the runs on the last axis, to their places. */
static void place_rows(const struct joint *joint, const struct i3d_tf_slice *place,
                       const char *part, char *whole)
{
    int last = joint->rank - 1;
    int64_t index[I3D_MAX_RANK] = { 0 };
    size_t row = joint->width * (size_t)(joint->rank ? place->length[last] : 1);
    for (;;) {
        int64_t to = 0;
        for (int k = 0; k <= last; k++)
            to = to * joint->dims[k] + place->start[k] + index[k];
        memcpy(whole + (size_t)to * joint->width, part, row);
        part += row;
        int axis = last - 1;
        while (axis >= 0 && ++index[axis] == place->length[axis])
            index[axis--] = 0;
        if (axis < 0)
            return;
    }
}

static enum i3d_status join(const void *parameters, struct i3d_source *const *parts,
                            int part_count, void *bytes, uint64_t length,
                            struct i3d_error *error)
{
    const struct joint *joint = parameters;
    enum i3d_status status = I3D_OK;
    (void)length;
    for (int i = 0; i < part_count && !status; i++) {
        size_t size = (size_t)i3d_source_length(parts[i]);
        char *part = size ? malloc(size) : NULL;
        if (size && !part)
            return i3d_fail_memory(error);
        if (size)
            status = i3d_source_read(parts[i], 0, part, size, error);
        if (size && !status)
            place_rows(joint, &joint->places[i], part, bytes);
        free(part);
    }
    return status;
}

struct i3d_source *i3d_tf_join(const struct i3d_tf_variable *variable,
                               struct i3d_source *const *parts)
{
    size_t count = variable->slice_count;
    size_t size = sizeof(struct joint) + count * sizeof(struct i3d_tf_slice);
    struct joint *joint = calloc(1, size);
    if (!joint)
        return NULL;
    joint->width = i3d_dtype_size(i3d_tf_dtype(variable->type));
    joint->rank = variable->rank;
    memcpy(joint->dims, variable->dims, sizeof joint->dims);
    for (size_t i = 0; i < count; i++) {
        joint->places[i] = variable->slices[i];
        for (int k = 0; k < variable->rank; k++)
            joint->places[i].length[k] = extent(variable, &variable->slices[i], k);
    }
    int64_t elements = i3d_element_count(variable->rank, variable->dims);
    struct i3d_source *source = i3d_source_compute(join, joint, size, parts, (int)count,
                                                   (uint64_t)elements * joint->width);
    free(joint);
    return source;
}
