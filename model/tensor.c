#include "model/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t i3d_element_count(int rank, const int64_t *dims)
{
    int64_t count = 1;
    bool empty = false;
    for (int k = 0; k < rank; k++) {
        if (dims[k] < 0)
            return -1;
        empty |= dims[k] == 0;
    }
    if (empty)
        return 0;
    for (int k = 0; k < rank; k++)
        if (__builtin_mul_overflow(count, dims[k], &count) || count > INT64_MAX / 16)
            return -1;
    return count;
}

int64_t i3d_tensor_elements(const struct i3d_tensor *tensor)
{
    return i3d_element_count(tensor->rank, tensor->dims);
}

uint64_t i3d_tensor_bytes(const struct i3d_tensor *tensor)
{
    return (uint64_t)i3d_tensor_elements(tensor) * i3d_dtype_size(tensor->dtype);
}

void i3d_view_of(const struct i3d_tensor *tensor, struct i3d_view *view)
{
    *view = (struct i3d_view){ .dtype = tensor->dtype, .rank = tensor->rank, .tap_axis = -1 };
    int64_t step = 1;
    for (int k = tensor->rank - 1; k >= 0; k--) {
        view->dims[k] = tensor->dims[k];
        view->strides[k] = step;
        step *= tensor->dims[k];
    }
}

static enum i3d_status name_tensor(const struct i3d_tensor *tensor, struct i3d_error *error)
{
    return i3d_error_where(error, "tensor %s", tensor->name);
}

enum i3d_status i3d_tensor_load(const struct i3d_tensor *tensor, void **bytes,
                                struct i3d_error *error)
{
    *bytes = NULL;
    if (!tensor->source) {
        i3d_fail(error, I3D_UNSUPPORTED, "it has no values: no weights are bound to it");
        return name_tensor(tensor, error);
    }
    uint64_t length = i3d_tensor_bytes(tensor);
    *bytes = malloc(length ? length : 1);
    enum i3d_status status = *bytes ? i3d_source_read(tensor->source, 0, *bytes, length, error)
                                    : i3d_fail_memory(error);
    if (!status)
        return I3D_OK;
    free(*bytes);
    *bytes = NULL;
    return name_tensor(tensor, error);
}

enum i3d_status i3d_tensor_load_float(const struct i3d_tensor *tensor, float **values,
                                      struct i3d_error *error)
{
    void *bytes;
    *values = NULL;
    enum i3d_status status = i3d_tensor_load(tensor, &bytes, error);
    if (status)
        return status;
    if (tensor->dtype == I3D_FLOAT32) {
        *values = bytes;
        return I3D_OK;
    }
    size_t count = (size_t)i3d_tensor_elements(tensor);
    *values = malloc((count ? count : 1) * sizeof **values);
    if (*values)
        i3d_to_float(tensor->dtype, bytes, *values, count);
    free(bytes);
    return *values ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_tensor_load_double(const struct i3d_tensor *tensor, double **values,
                                       struct i3d_error *error)
{
    void *bytes;
    *values = NULL;
    enum i3d_status status = i3d_tensor_load(tensor, &bytes, error);
    if (status)
        return status;
    size_t count = (size_t)i3d_tensor_elements(tensor);
    *values = malloc((count ? count : 1) * sizeof **values);
    if (*values)
        i3d_to_double(tensor->dtype, bytes, *values, count);
    free(bytes);
    return *values ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_tensor_integers(const struct i3d_tensor *tensor, int64_t *values, int limit,
                                    int *count, struct i3d_error *error)
{
    int64_t elements = i3d_tensor_elements(tensor);
    if (i3d_dtype_is_float(tensor->dtype) || tensor->rank > 1 || elements > limit) {
        i3d_fail(error, I3D_UNSUPPORTED, "at most %d integers were expected", limit);
        return name_tensor(tensor, error);
    }
    void *bytes;
    enum i3d_status status = i3d_tensor_load(tensor, &bytes, error);
    if (status)
        return status;
    *count = (int)elements;
    for (int i = 0; i < *count; i++) {
        switch (tensor->dtype) {
        case I3D_INT64: memcpy(&values[i], (int64_t *)bytes + i, sizeof *values); break;
        case I3D_UINT64: values[i] = (int64_t)((uint64_t *)bytes)[i]; break;
        case I3D_INT32: values[i] = ((int32_t *)bytes)[i]; break;
        case I3D_UINT32: values[i] = ((uint32_t *)bytes)[i]; break;
        case I3D_INT16: values[i] = ((int16_t *)bytes)[i]; break;
        case I3D_UINT16: values[i] = ((uint16_t *)bytes)[i]; break;
        case I3D_INT8: values[i] = ((int8_t *)bytes)[i]; break;
        default: values[i] = ((uint8_t *)bytes)[i]; break;
        }
    }
    free(bytes);
    return I3D_OK;
}

const char *i3d_shape_string(int rank, const int64_t *dims, char *buffer, size_t size)
{
    if (rank == 0) {
        snprintf(buffer, size, "scalar");
        return buffer;
    }
    size_t used = 0;
    if (size)
        buffer[0] = 0;
    for (int k = 0; k < rank && used + 1 < size; k++) {
        int wrote = dims[k] < 0
            ? snprintf(buffer + used, size - used, "%s?", k ? "x" : "")
            : snprintf(buffer + used, size - used, "%s%lld", k ? "x" : "", (long long)dims[k]);
        used += (size_t)(wrote > 0 ? wrote : 0);
    }
    return buffer;
}
