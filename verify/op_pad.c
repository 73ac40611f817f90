#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/walk.h"

#include <stdlib.h>
#include <string.h>

/* Pad: every axis has a map from output positions to input positions, in which
 * NOWHERE stands for the constant. */

enum mode { PAD_CONSTANT, PAD_EDGE, PAD_REFLECT };
enum { NOWHERE = -1 };

static enum i3d_status read_mode(const struct i3d_operation *op, enum mode *mode)
{
    *mode = PAD_CONSTANT;
    if (i3d_string_is(op->node, "mode", "edge"))
        *mode = PAD_EDGE;
    else if (i3d_string_is(op->node, "mode", "reflect"))
        *mode = PAD_REFLECT;
    else if (i3d_attribute(op->node, "mode") && !i3d_string_is(op->node, "mode", "constant"))
        return i3d_fail(op->error, I3D_MALFORMED, "its mode is none of constant, edge and reflect");
    return I3D_OK;
}

/* The amounts ahead of and behind each axis. */
static enum i3d_status read_amounts(const struct i3d_operation *op, int64_t *begin, int64_t *end)
{
    int rank = op->inputs[0].rank;
    const int64_t *pads, *axes;
    size_t count, axis_count;
    bool present, have_axes, chosen[I3D_MAX_RANK];
    enum i3d_status status = i3d_op_ints(op, "pads", 1, &pads, &count, &present);
    if (!status)
        status = i3d_op_ints(op, NULL, 3, &axes, &axis_count, &have_axes);
    if (!status)
        status = i3d_op_axes(op, axes, axis_count, rank, chosen);
    if (status)
        return status;
    size_t padded = have_axes ? axis_count : (size_t)rank;
    if (count != 2 * padded)
        return i3d_fail(op->error, I3D_MALFORMED, "it has %zu pads for %zu axes", count, padded);
    for (size_t i = 0; i < padded; i++) {
        int64_t axis = have_axes ? axes[i] : (int64_t)i;
        if (axis < 0)
            axis += rank;
        begin[axis] = pads[i];
        end[axis] = pads[padded + i];
    }
    return I3D_OK;
}

/* The input position that an output position shows, counted from the input's
 * first and maybe outside it. */
static int64_t source_position(int64_t position, int64_t length, enum mode mode)
{
    if (position >= 0 && position < length)
        return position;
    if (mode == PAD_CONSTANT)
        return NOWHERE;
    if (mode == PAD_EDGE)
        return position < 0 ? 0 : length - 1;
    int64_t period = 2 * (length - 1);
    if (!period)
        return 0;
    position %= period;
    if (position < 0)
        position += period;
    return position < length ? position : period - position;
}

static enum i3d_status output_dims(const struct i3d_operation *op, const int64_t *begin,
                                   const int64_t *end, enum mode mode, int64_t *dims)
{
    const struct i3d_array *in = &op->inputs[0];
    for (int k = 0; k < in->rank; k++) {
        if (__builtin_add_overflow(in->dims[k], begin[k], &dims[k])
            || __builtin_add_overflow(dims[k], end[k], &dims[k]) || dims[k] < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "pads of %lld and %lld for a length of %lld",
                            (long long)begin[k], (long long)end[k], (long long)in->dims[k]);
        if (mode != PAD_CONSTANT && !in->dims[k] && dims[k])
            return i3d_fail(op->error, I3D_MALFORMED, "there is nothing on axis %d to repeat", k);
    }
    return I3D_OK;
}

/* Copies the rows of the output, an element at a time, by the maps. */
#define PAD_ROW(ctype)                                                             \
    for (int64_t i = 0; i < length; i++)                                           \
        ((ctype *)out->data)[row * length + i] = from < 0 || last[i] < 0           \
            ? *(const ctype *)constant                                             \
            : ((const ctype *)in->data)[from + last[i]]

static void pad_rows(const struct i3d_operation *op, int64_t *const *maps, const void *constant)
{
    const struct i3d_array *in = &op->inputs[0];
    struct i3d_array *out = &op->outputs[0];
    int rank = in->rank;
    int64_t length = out->dims[rank - 1], strides[I3D_MAX_RANK];
    int64_t rows = i3d_array_span(out, 0, rank - 1);
    const int64_t *last = maps[rank - 1];
    i3d_dense_strides(rank, in->dims, strides);
    I3D_PARALLEL_FOR(i3d_op_threads(op, rows * length))
    for (int64_t row = 0; row < rows; row++) {
        int64_t from = 0, rest = row;
        for (int k = rank - 2; k >= 0; k--) {
            int64_t position = maps[k][rest % out->dims[k]];
            from = from < 0 || position < 0 ? NOWHERE : from + position * strides[k];
            rest /= out->dims[k];
        }
        switch (out->dtype) {
        case I3D_FLOAT32: PAD_ROW(float); break;
        case I3D_INT64: PAD_ROW(int64_t); break;
        default: PAD_ROW(uint8_t); break;
        }
    }
}

static enum i3d_status fill_maps(const struct i3d_operation *op, const int64_t *begin,
                                 enum mode mode)
{
    const struct i3d_array *in = &op->inputs[0], *out = &op->outputs[0];
    int64_t total = 0, *maps[I3D_MAX_RANK];
    for (int k = 0; k < out->rank; k++)
        total += out->dims[k];
    int64_t *positions = malloc((size_t)total * sizeof *positions);
    if (!positions)
        return i3d_fail_memory(op->error);
    int64_t *next = positions;
    for (int k = 0; k < out->rank; k++) {
        /* Exporters write the zero padding of a convolution as a node of its own;
         * time on axis 2 of rank-5 data is then padded as the window would be. */
        enum mode here = op->edge_time && out->rank == 5 && k == 2 && mode == PAD_CONSTANT
                && in->dims[k]
            ? PAD_EDGE
            : mode;
        maps[k] = next;
        next += out->dims[k];
        for (int64_t i = 0; i < out->dims[k]; i++)
            maps[k][i] = source_position(i - begin[k], in->dims[k], here);
    }
    int64_t zero = 0;
    const void *constant = &zero;
    float value = i3d_float(op->node, "value", 0);
    if (i3d_op_has(op, 2))
        constant = op->inputs[2].data;
    else if (out->dtype == I3D_FLOAT32)
        constant = &value;
    pad_rows(op, maps, constant);
    free(positions);
    return I3D_OK;
}

enum i3d_status i3d_op_pad(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int64_t begin[I3D_MAX_RANK] = { 0 }, end[I3D_MAX_RANK] = { 0 }, dims[I3D_MAX_RANK];
    enum mode mode;
    enum i3d_status status = read_mode(op, &mode);
    if (!status)
        status = read_amounts(op, begin, end);
    if (!status)
        status = output_dims(op, begin, end, mode, dims);
    if (!status && i3d_op_has(op, 2)
        && (op->inputs[2].dtype != in->dtype || i3d_array_elements(&op->inputs[2]) != 1))
        status = i3d_fail(op->error, I3D_MALFORMED, "its constant is not one element of %s",
                          i3d_dtype_name(in->dtype));
    if (status)
        return status;
    if (!in->rank)
        return i3d_op_reshape(op, 0, NULL);
    status = i3d_op_output(op, 0, in->dtype, in->rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    return fill_maps(op, begin, mode);
}
