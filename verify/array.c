#include "verify/array.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

enum i3d_dtype i3d_array_dtype(enum i3d_dtype dtype)
{
    if (i3d_dtype_is_float(dtype))
        return I3D_FLOAT32;
    if (dtype == I3D_BOOL)
        return I3D_BOOL;
    return i3d_dtype_size(dtype) ? I3D_INT64 : I3D_UNDEFINED;
}

int64_t i3d_array_elements(const struct i3d_array *array)
{
    return i3d_element_count(array->rank, array->dims);
}

size_t i3d_array_bytes(const struct i3d_array *array)
{
    return (size_t)i3d_array_elements(array) * i3d_dtype_size(array->dtype);
}

bool i3d_array_same_shape(const struct i3d_array *a, const struct i3d_array *b)
{
    return a->rank == b->rank
        && (a->rank == 0
            || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0);
}

int64_t i3d_array_span(const struct i3d_array *array, int from, int to)
{
    int64_t product = 1;
    for (int k = from; k < to; k++)
        product *= array->dims[k];
    return product;
}

bool i3d_array_sound(int rank, const int64_t *dims)
{
    int64_t extents[I3D_MAX_RANK];
    if (rank < 0 || rank > I3D_MAX_RANK)
        return false;
    for (int k = 0; k < rank; k++)
        extents[k] = dims[k] ? dims[k] : 1;
    return i3d_element_count(rank, extents) >= 0;
}

enum i3d_status i3d_array_reserve(enum i3d_dtype dtype, int rank, const int64_t *dims,
                                  struct i3d_array *array, struct i3d_error *error)
{
    *array = (struct i3d_array){ .dtype = dtype, .rank = rank };
    if (rank < 0 || rank > I3D_MAX_RANK)
        return i3d_fail(error, I3D_UNSUPPORTED, "arrays of rank %d are not handled", rank);
    if (rank)
        memcpy(array->dims, dims, (size_t)rank * sizeof *dims);
    if (!i3d_array_sound(rank, dims))
        return i3d_fail(error, I3D_MALFORMED, "the size of an array overflows");
    int64_t elements = i3d_array_elements(array);
    if (!elements)
        return I3D_OK;
    size_t bytes = (size_t)elements * i3d_dtype_size(dtype);
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    array->data = aligned_alloc(ALIGNMENT, bytes);
    return array->data ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_array_new(enum i3d_dtype dtype, int rank, const int64_t *dims,
                              struct i3d_array *array, struct i3d_error *error)
{
    enum i3d_status status = i3d_array_reserve(dtype, rank, dims, array, error);
    if (!status && array->data)
        memset(array->data, 0, i3d_array_bytes(array));
    return status;
}

void i3d_array_free(struct i3d_array *array)
{
    free(array->data);
    *array = (struct i3d_array){ 0 };
}

enum i3d_status i3d_array_copy(const struct i3d_array *from, struct i3d_array *to,
                               struct i3d_error *error)
{
    enum i3d_status status = i3d_array_reserve(from->dtype, from->rank, from->dims, to, error);
    if (!status && to->data)
        memcpy(to->data, from->data, i3d_array_bytes(from));
    return status;
}

#define WIDEN(ctype)                               \
    for (size_t i = 0; i < count; i++)             \
        out[i] = (int64_t)((const ctype *)in)[i];  \
    break

void i3d_integers_to_int64(enum i3d_dtype from, const void *in, int64_t *out, size_t count)
{
    switch (from) {
    case I3D_INT64: WIDEN(int64_t);
    case I3D_INT32: WIDEN(int32_t);
    case I3D_INT16: WIDEN(int16_t);
    case I3D_INT8: WIDEN(int8_t);
    case I3D_UINT64: WIDEN(uint64_t);
    case I3D_UINT32: WIDEN(uint32_t);
    case I3D_UINT16: WIDEN(uint16_t);
    case I3D_UINT8:
    case I3D_BOOL: WIDEN(uint8_t);
    default: break;
    }
}

enum i3d_status i3d_array_load(const struct i3d_tensor *tensor, struct i3d_array *array,
                               struct i3d_error *error)
{
    enum i3d_dtype dtype = i3d_array_dtype(tensor->dtype);
    *array = (struct i3d_array){ 0 };
    if (!dtype) {
        i3d_fail(error, I3D_UNSUPPORTED, "elements of %s are not handled",
                 i3d_dtype_name(tensor->dtype));
        return i3d_error_where(error, "tensor %s", tensor->name);
    }
    void *bytes;
    enum i3d_status status = i3d_tensor_load(tensor, &bytes, error);
    if (status)
        return status;
    status = i3d_array_reserve(dtype, tensor->rank, tensor->dims, array, error);
    size_t count = status ? 0 : (size_t)i3d_array_elements(array);
    if (count && dtype == I3D_FLOAT32)
        i3d_to_float(tensor->dtype, bytes, array->data, count);
    else if (count && dtype == I3D_INT64)
        i3d_integers_to_int64(tensor->dtype, bytes, array->data, count);
    else
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)array->data)[i] = ((uint8_t *)bytes)[i] != 0;
    free(bytes);
    return status;
}
