#include "verify/operation.h"

#include <string.h>

bool i3d_op_has(const struct i3d_operation *op, size_t input)
{
    return input < op->input_count && op->inputs[input].dtype;
}

bool i3d_op_wants(const struct i3d_operation *op, size_t output)
{
    return output < op->output_count && *op->node->outputs[output];
}

enum i3d_status i3d_op_output(struct i3d_operation *op, size_t k, enum i3d_dtype dtype, int rank,
                              const int64_t *dims)
{
    struct i3d_array planned = { .dtype = dtype, .rank = rank };
    if (op->rooms && op->rooms[k].data && i3d_array_sound(rank, dims)) {
        memcpy(planned.dims, dims, (size_t)rank * sizeof *dims);
        planned.data = op->rooms[k].data;
        if (i3d_array_bytes(&planned) == op->rooms[k].bytes) {
            op->outputs[k] = planned;
            return I3D_OK;
        }
    }
    return i3d_array_reserve(dtype, rank, dims, &op->outputs[k], op->error);
}

enum i3d_status i3d_op_output_like_first(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    if (!op->first_is_spare)
        return i3d_op_output(op, 0, in->dtype, in->rank, in->dims);
    op->outputs[0] = *in;
    op->first_was_taken = true;
    return I3D_OK;
}

enum i3d_status i3d_op_reshape(struct i3d_operation *op, int rank, const int64_t *dims)
{
    const struct i3d_array *in = &op->inputs[0];
    int64_t elements = rank <= I3D_MAX_RANK ? i3d_element_count(rank, dims) : -1;
    if (rank > I3D_MAX_RANK)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "arrays of rank %d are not handled", rank);
    if (elements != i3d_array_elements(in)) {
        char from[160], to[160];
        i3d_shape_string(in->rank, in->dims, from, sizeof from);
        i3d_shape_string(rank, dims, to, sizeof to);
        return i3d_fail(op->error, I3D_MALFORMED, "%s does not reshape to %s", from, to);
    }
    if (!op->first_is_spare) {
        enum i3d_status status = i3d_op_output(op, 0, in->dtype, rank, dims);
        if (!status && in->data)
            memcpy(op->outputs[0].data, in->data, i3d_array_bytes(in));
        return status;
    }
    struct i3d_array *out = &op->outputs[0];
    *out = (struct i3d_array){ .dtype = in->dtype, .rank = rank, .data = in->data };
    if (rank)
        memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
    op->first_was_taken = true;
    return I3D_OK;
}

enum i3d_status i3d_op_ints(const struct i3d_operation *op, const char *attribute, size_t input,
                            const int64_t **numbers, size_t *count, bool *present)
{
    if (i3d_op_has(op, input)) {
        const struct i3d_array *list = &op->inputs[input];
        if (list->rank > 1)
            return i3d_fail(op->error, I3D_MALFORMED, "input %zu has rank %d, it is to be a list",
                            input, list->rank);
        *numbers = list->data;
        *count = (size_t)i3d_array_elements(list);
        *present = true;
        return I3D_OK;
    }
    *numbers = attribute ? i3d_ints(op->node, attribute, count) : NULL;
    if (!*numbers)
        *count = 0;
    const struct i3d_attribute *found = attribute ? i3d_attribute(op->node, attribute) : NULL;
    *present = found && found->type == I3D_ATTRIBUTE_INTS;
    return I3D_OK;
}

enum i3d_status i3d_op_axis(const struct i3d_operation *op, int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return i3d_fail(op->error, I3D_MALFORMED, "axis %lld of an array of rank %d",
                        (long long)axis, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return I3D_OK;
}

enum i3d_status i3d_op_axes(const struct i3d_operation *op, const int64_t *axes, size_t count,
                            int rank, bool *chosen)
{
    memset(chosen, 0, I3D_MAX_RANK * sizeof *chosen);
    for (size_t i = 0; i < count; i++) {
        int axis = 0;
        enum i3d_status status = i3d_op_axis(op, axes[i], rank, &axis);
        if (status)
            return status;
        if (chosen[axis])
            return i3d_fail(op->error, I3D_MALFORMED, "axis %d is named twice", axis);
        chosen[axis] = true;
    }
    return I3D_OK;
}

enum i3d_status i3d_op_check_vector(const struct i3d_operation *op, size_t k, int64_t elements)
{
    const struct i3d_array *in = &op->inputs[k];
    if (in->rank == 1 && in->dims[0] == elements)
        return I3D_OK;
    char shape[160];
    i3d_shape_string(in->rank, in->dims, shape, sizeof shape);
    return i3d_fail(op->error, I3D_MALFORMED, "input %zu is %s, it is to have %lld elements", k,
                    shape, (long long)elements);
}

int i3d_op_threads(const struct i3d_operation *op, int64_t work)
{
    return work < 32768 ? 1 : op->threads;
}
