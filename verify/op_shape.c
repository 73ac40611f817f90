#include "verify/operators.h"

#include <string.h>

/* Operators that change a shape and leave the elements in order, and those that
 * make arrays out of attributes and shapes. */

/* Where -1 stands in target, the size that the elements leave for it. */
static enum i3d_status fill_open_axis(const struct i3d_operation *op, size_t count,
                                      int64_t *target)
{
    int64_t rest = 1;
    int open = -1;
    for (size_t k = 0; k < count; k++) {
        if (target[k] == -1 && open < 0)
            open = (int)k;
        else if (target[k] < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "the new shape holds %lld",
                            (long long)target[k]);
        else if (__builtin_mul_overflow(rest, target[k], &rest))
            return i3d_fail(op->error, I3D_MALFORMED, "the new shape is too large");
    }
    if (open >= 0)
        target[open] = rest ? i3d_array_elements(&op->inputs[0]) / rest : 0;
    return I3D_OK;
}

enum i3d_status i3d_op_reshape_to(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    const int64_t *given;
    size_t count;
    bool present;
    int64_t target[I3D_MAX_RANK];
    enum i3d_status status = i3d_op_ints(op, "shape", 1, &given, &count, &present);
    if (status)
        return status;
    if (!present)
        return i3d_fail(op->error, I3D_MALFORMED, "it has no shape to reshape to");
    if (count > I3D_MAX_RANK)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "arrays of rank %zu are not handled", count);
    bool zero_is_zero = i3d_int(op->node, "allowzero", 0) != 0;
    for (size_t k = 0; k < count; k++) {
        target[k] = given[k];
        if (given[k] || zero_is_zero)
            continue;
        if (k >= (size_t)in->rank)
            return i3d_fail(op->error, I3D_MALFORMED, "axis %zu of an array of rank %d is to stay",
                            k, in->rank);
        target[k] = in->dims[k];
    }
    status = fill_open_axis(op, count, target);
    return status ? status : i3d_op_reshape(op, (int)count, target);
}

enum i3d_status i3d_op_flatten(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int64_t axis = i3d_int(op->node, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "axis %lld of an array of rank %d",
                        (long long)axis, in->rank);
    int split = (int)(axis < 0 ? axis + in->rank : axis);
    int64_t dims[] = { i3d_array_span(in, 0, split), i3d_array_span(in, split, in->rank) };
    return i3d_op_reshape(op, 2, dims);
}

enum i3d_status i3d_op_squeeze(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    const int64_t *axes;
    size_t count;
    bool present, chosen[I3D_MAX_RANK];
    enum i3d_status status = i3d_op_ints(op, "axes", 1, &axes, &count, &present);
    if (!status)
        status = i3d_op_axes(op, axes, count, in->rank, chosen);
    if (status)
        return status;
    int64_t dims[I3D_MAX_RANK];
    int rank = 0;
    for (int k = 0; k < in->rank; k++) {
        if (present && chosen[k] && in->dims[k] != 1)
            return i3d_fail(op->error, I3D_MALFORMED, "axis %d of length %lld is to be squeezed",
                            k, (long long)in->dims[k]);
        if (present ? !chosen[k] : in->dims[k] != 1)
            dims[rank++] = in->dims[k];
    }
    return i3d_op_reshape(op, rank, dims);
}

enum i3d_status i3d_op_unsqueeze(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    const int64_t *axes;
    size_t count;
    bool present, chosen[I3D_MAX_RANK];
    enum i3d_status status = i3d_op_ints(op, "axes", 1, &axes, &count, &present);
    if (status)
        return status;
    if (!present)
        return i3d_fail(op->error, I3D_MALFORMED, "it has no axes");
    if (count > (size_t)(I3D_MAX_RANK - in->rank))
        return i3d_fail(op->error, I3D_UNSUPPORTED, "arrays of rank %zu are not handled",
                        count + (size_t)in->rank);
    int rank = in->rank + (int)count;
    status = i3d_op_axes(op, axes, count, rank, chosen);
    if (status)
        return status;
    int64_t dims[I3D_MAX_RANK];
    for (int k = 0, from = 0; k < rank; k++)
        dims[k] = chosen[k] ? 1 : in->dims[from++];
    return i3d_op_reshape(op, rank, dims);
}

enum i3d_status i3d_op_identity(struct i3d_operation *op)
{
    return i3d_op_reshape(op, op->inputs[0].rank, op->inputs[0].dims);
}

/* As at inference: nothing is dropped. */
enum i3d_status i3d_op_dropout(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    const uint8_t *training = i3d_op_has(op, 2) ? op->inputs[2].data : NULL;
    const float *ratio = i3d_op_has(op, 1) ? op->inputs[1].data : NULL;
    if (training && *training && (!ratio || *ratio != 0))
        return i3d_fail(op->error, I3D_UNSUPPORTED, "it drops at random, as in training");
    if (i3d_op_wants(op, 1)) {
        /* Before operator set 10 the mask had the data's type. */
        enum i3d_dtype dtype = op->opset >= 10 ? I3D_BOOL : I3D_FLOAT32;
        enum i3d_status status = i3d_op_output(op, 1, dtype, in->rank, in->dims);
        if (status)
            return status;
        int64_t elements = i3d_array_elements(in);
        for (int64_t i = 0; i < elements; i++) {
            if (dtype == I3D_BOOL)
                ((uint8_t *)op->outputs[1].data)[i] = 1;
            else
                ((float *)op->outputs[1].data)[i] = 1;
        }
    }
    return i3d_op_identity(op);
}

/* A position counted from the end where negative, moved into [0, rank]. */
static int64_t clamp_position(int64_t position, int rank)
{
    if (position < 0)
        position = position < -rank ? 0 : position + rank;
    return position > rank ? rank : position;
}

enum i3d_status i3d_op_shape(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int64_t start = clamp_position(i3d_int(op->node, "start", 0), in->rank);
    int64_t end = clamp_position(i3d_int(op->node, "end", in->rank), in->rank);
    int64_t count = end > start ? end - start : 0;
    enum i3d_status status = i3d_op_output(op, 0, I3D_INT64, 1, &count);
    if (!status && count)
        memcpy(op->outputs[0].data, in->dims + start, (size_t)count * sizeof *in->dims);
    return status;
}

enum i3d_status i3d_op_constant(struct i3d_operation *op)
{
    static const char *const names[] = { "value", "value_float", "value_int", "value_floats",
                                         "value_ints" };
    const struct i3d_attribute *value = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !value; i++)
        value = i3d_attribute(op->node, names[i]);
    if (!value)
        return i3d_fail(op->error, I3D_MALFORMED, "it has no value");
    int64_t count = (int64_t)value->count;
    const void *from;
    enum i3d_status status;
    switch (value->type) {
    case I3D_ATTRIBUTE_TENSOR:
        return i3d_array_load(value->tensor, &op->outputs[0], op->error);
    case I3D_ATTRIBUTE_FLOAT:
        status = i3d_op_output(op, 0, I3D_FLOAT32, 0, NULL);
        from = &value->f;
        break;
    case I3D_ATTRIBUTE_INT:
        status = i3d_op_output(op, 0, I3D_INT64, 0, NULL);
        from = &value->i;
        break;
    case I3D_ATTRIBUTE_FLOATS:
        status = i3d_op_output(op, 0, I3D_FLOAT32, 1, &count);
        from = value->floats;
        break;
    case I3D_ATTRIBUTE_INTS:
        status = i3d_op_output(op, 0, I3D_INT64, 1, &count);
        from = value->ints;
        break;
    default:
        return i3d_fail(op->error, I3D_MALFORMED, "its value has attribute type %d",
                        (int)value->type);
    }
    if (!status && op->outputs[0].data)
        memcpy(op->outputs[0].data, from, i3d_array_bytes(&op->outputs[0]));
    return status;
}

enum i3d_status i3d_op_constant_of_shape(struct i3d_operation *op)
{
    const int64_t *dims;
    size_t count;
    bool present;
    float zero = 0;
    struct i3d_array element = { .dtype = I3D_FLOAT32, .data = &zero }, loaded = { 0 };
    const struct i3d_attribute *value = i3d_attribute(op->node, "value");
    enum i3d_status status = i3d_op_ints(op, NULL, 0, &dims, &count, &present);
    if (status)
        return status;
    if (count > I3D_MAX_RANK)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "arrays of rank %zu are not handled", count);
    if (value && value->type == I3D_ATTRIBUTE_TENSOR) {
        status = i3d_array_load(value->tensor, &loaded, op->error);
        element = loaded;
    }
    if (!status && i3d_array_elements(&element) != 1)
        status = i3d_fail(op->error, I3D_MALFORMED, "its value is not one element");
    if (!status)
        status = i3d_op_output(op, 0, element.dtype, (int)count, dims);
    int64_t elements = status ? 0 : i3d_array_elements(&op->outputs[0]);
    size_t size = i3d_dtype_size(element.dtype);
    for (int64_t i = 0; i < elements; i++)
        memcpy((char *)op->outputs[0].data + (size_t)i * size, element.data, size);
    i3d_array_free(&loaded);
    return status;
}
