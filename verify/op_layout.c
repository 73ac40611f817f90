#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/walk.h"

#include <stdlib.h>
#include <string.h>

/* Operators that move elements: permute, join, cut, pick, repeat. */

static enum i3d_status copy_walk(struct i3d_operation *op, const struct i3d_walk *walk, int rank,
                                 const int64_t *dims)
{
    const struct i3d_array *in = &op->inputs[0];
    enum i3d_status status = i3d_op_output(op, 0, in->dtype, rank, dims);
    if (!status && op->outputs[0].data)
        i3d_walk_copy(walk, in->data, i3d_dtype_size(in->dtype), op->outputs[0].data,
                      i3d_op_threads(op, i3d_array_elements(&op->outputs[0])));
    return status;
}

/* The walk over an array of these dims (in C order) with its axes permuted. */
static void permute(int rank, const int64_t *dims, const int64_t *permutation,
                    struct i3d_walk *walk)
{
    int64_t strides[I3D_MAX_RANK];
    i3d_dense_strides(rank, dims, strides);
    *walk = (struct i3d_walk){ .rank = rank };
    for (int k = 0; k < rank; k++) {
        walk->dims[k] = dims[permutation[k]];
        walk->strides[0][k] = strides[permutation[k]];
    }
}

enum i3d_status i3d_op_transpose(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int64_t permutation[I3D_MAX_RANK];
    bool used[I3D_MAX_RANK] = { false };
    size_t count;
    const int64_t *given = i3d_ints(op->node, "perm", &count);
    if (given && count != (size_t)in->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "perm has %zu axes, its input %d", count,
                        in->rank);
    for (int k = 0; k < in->rank; k++) {
        permutation[k] = given ? given[k] : in->rank - 1 - k;
        if (permutation[k] < 0 || permutation[k] >= in->rank || used[permutation[k]])
            return i3d_fail(op->error, I3D_MALFORMED, "perm is no permutation");
        used[permutation[k]] = true;
    }
    struct i3d_walk walk;
    permute(in->rank, in->dims, permutation, &walk);
    return copy_walk(op, &walk, walk.rank, walk.dims);
}

/* Copies rows of bytes: row r of `from` to row r of `to`, which are longer. */
static void copy_rows(const char *from, size_t from_step, char *to, size_t to_step, size_t bytes,
                      int64_t rows, int threads)
{
    I3D_PARALLEL_FOR(threads)
    for (int64_t row = 0; row < rows; row++)
        memcpy(to + (size_t)row * to_step, from + (size_t)row * from_step, bytes);
}

static enum i3d_status check_joinable(const struct i3d_operation *op, int axis, size_t k)
{
    const struct i3d_array *first = &op->inputs[0], *in = &op->inputs[k];
    struct i3d_array like = *in;
    if (in->rank == first->rank)
        like.dims[axis] = first->dims[axis];
    if (in->dtype == first->dtype && i3d_array_same_shape(first, &like))
        return I3D_OK;
    char left[160], right[160];
    i3d_shape_string(first->rank, first->dims, left, sizeof left);
    i3d_shape_string(in->rank, in->dims, right, sizeof right);
    return i3d_fail(op->error, I3D_MALFORMED, "%s of %s and %s of %s do not join on axis %d", left,
                    i3d_dtype_name(first->dtype), right, i3d_dtype_name(in->dtype), axis);
}

enum i3d_status i3d_op_concat(struct i3d_operation *op)
{
    const struct i3d_array *first = &op->inputs[0];
    int axis;
    enum i3d_status status = i3d_op_axis(op, i3d_int(op->node, "axis", 1), first->rank, &axis);
    if (status)
        return status;
    int64_t dims[I3D_MAX_RANK], length = 0;
    for (size_t k = 0; k < op->input_count && !status; k++) {
        status = check_joinable(op, axis, k);
        if (!status && __builtin_add_overflow(length, op->inputs[k].dims[axis], &length))
            status = i3d_fail(op->error, I3D_MALFORMED, "the joined axis is too long");
    }
    if (status)
        return status;
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = length;
    status = i3d_op_output(op, 0, first->dtype, first->rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    size_t size = i3d_dtype_size(first->dtype);
    size_t inner = (size_t)i3d_array_span(first, axis + 1, first->rank) * size, done = 0;
    int64_t outer = i3d_array_span(first, 0, axis);
    for (size_t k = 0; k < op->input_count; k++) {
        size_t bytes = (size_t)op->inputs[k].dims[axis] * inner;
        char *to = (char *)op->outputs[0].data + done;
        /* The producer may have written it there. */
        if (bytes && op->inputs[k].data != to)
            copy_rows(op->inputs[k].data, bytes, to,
                      (size_t)length * inner, bytes, outer,
                      i3d_op_threads(op, i3d_array_elements(&op->inputs[k])));
        done += bytes;
    }
    return I3D_OK;
}

/* The lengths of the parts: given, or equal ones, of which the last is the rest. */
static enum i3d_status split_lengths(const struct i3d_operation *op, int64_t length,
                                     int64_t *lengths)
{
    const int64_t *given;
    size_t count, parts = op->output_count;
    bool present;
    enum i3d_status status = i3d_op_ints(op, "split", 1, &given, &count, &present);
    if (status)
        return status;
    if (present && count != parts)
        return i3d_fail(op->error, I3D_MALFORMED, "it has %zu outputs, split names %zu", parts,
                        count);
    int64_t even = (length + (int64_t)parts - 1) / (int64_t)parts, left = length;
    if (!present && op->opset < 18 && length % (int64_t)parts)
        return i3d_fail(op->error, I3D_MALFORMED, "%lld does not divide into %zu equal parts",
                        (long long)length, parts);
    for (size_t k = 0; k < parts; k++) {
        lengths[k] = present ? given[k] : even < left ? even : left;
        if (lengths[k] < 0 || lengths[k] > left)
            return i3d_fail(op->error, I3D_MALFORMED, "its parts are not of %lld together",
                            (long long)length);
        left -= lengths[k];
    }
    if (left)
        return i3d_fail(op->error, I3D_MALFORMED, "its parts leave %lld of %lld", (long long)left,
                        (long long)length);
    return I3D_OK;
}

enum i3d_status i3d_op_split(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int axis;
    enum i3d_status status = i3d_op_axis(op, i3d_int(op->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    int64_t *lengths = calloc(op->output_count, sizeof *lengths);
    if (!lengths)
        return i3d_fail_memory(op->error);
    status = split_lengths(op, in->dims[axis], lengths);
    size_t inner = (size_t)i3d_array_span(in, axis + 1, in->rank) * i3d_dtype_size(in->dtype);
    size_t done = 0;
    for (size_t k = 0; k < op->output_count && !status; k++) {
        int64_t dims[I3D_MAX_RANK];
        memcpy(dims, in->dims, sizeof dims);
        dims[axis] = lengths[k];
        size_t bytes = (size_t)lengths[k] * inner;
        status = i3d_op_output(op, k, in->dtype, in->rank, dims);
        if (!status && op->outputs[k].data)
            copy_rows((char *)in->data + done, (size_t)in->dims[axis] * inner,
                      op->outputs[k].data, bytes, bytes, i3d_array_span(in, 0, axis),
                      i3d_op_threads(op, i3d_array_elements(&op->outputs[k])));
        done += bytes;
    }
    free(lengths);
    return status;
}

/* Clamped as Slice-13 says: forwards into [0, length], backwards start into
 * [0, length - 1] and end into [-1, length - 1]. */
static int64_t clamp_bound(int64_t bound, int64_t length, bool backwards, bool is_end)
{
    int64_t low = backwards && is_end ? -1 : 0, high = backwards ? length - 1 : length;
    if (bound < 0)
        bound = bound < -length ? low : bound + length;
    return bound < low ? low : bound > high ? high : bound;
}

static enum i3d_status slice_axis(const struct i3d_operation *op, struct i3d_walk *walk, int axis,
                                  int64_t start, int64_t end, int64_t step)
{
    int64_t length = op->inputs[0].dims[axis], stride = walk->strides[0][axis];
    if (!step || step == INT64_MIN)
        return i3d_fail(op->error, I3D_MALFORMED, "a slice with step %lld", (long long)step);
    if (!length)
        return I3D_OK;
    start = clamp_bound(start, length, step < 0, false);
    end = clamp_bound(end, length, step < 0, true);
    int64_t reach = step > 0 ? end - start : start - end, pace = step > 0 ? step : -step;
    walk->dims[axis] = reach > 0 ? (reach - 1) / pace + 1 : 0;
    walk->offset[0] += start * stride;
    /* A step past the end is taken by no second element, and might overflow. */
    walk->strides[0][axis] = walk->dims[axis] > 1 ? step * stride : 0;
    return I3D_OK;
}

enum i3d_status i3d_op_slice(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    const int64_t *starts, *ends, *axes, *steps;
    size_t count, end_count, axis_count, step_count;
    bool present, have_axes, have_steps, chosen[I3D_MAX_RANK];
    enum i3d_status status = i3d_op_ints(op, "starts", 1, &starts, &count, &present);
    if (!status)
        status = i3d_op_ints(op, "ends", 2, &ends, &end_count, &present);
    if (!status)
        status = i3d_op_ints(op, "axes", 3, &axes, &axis_count, &have_axes);
    if (!status)
        status = i3d_op_ints(op, NULL, 4, &steps, &step_count, &have_steps);
    if (!status)
        status = i3d_op_axes(op, axes, axis_count, in->rank, chosen);
    if (status)
        return status;
    if (end_count != count || (have_axes ? axis_count != count : count > (size_t)in->rank)
        || (have_steps && step_count != count))
        return i3d_fail(op->error, I3D_MALFORMED, "its starts, ends, axes and steps do not match");
    struct i3d_walk walk = { .rank = in->rank };
    memcpy(walk.dims, in->dims, sizeof walk.dims);
    i3d_dense_strides(in->rank, in->dims, walk.strides[0]);
    for (size_t i = 0; i < count && !status; i++) {
        int64_t axis = have_axes ? axes[i] : (int64_t)i;
        status = slice_axis(op, &walk, (int)(axis < 0 ? axis + in->rank : axis), starts[i],
                            ends[i], have_steps ? steps[i] : 1);
    }
    return status ? status : copy_walk(op, &walk, in->rank, walk.dims);
}

enum i3d_status i3d_op_gather(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0], *indices = &op->inputs[1];
    int axis;
    enum i3d_status status = i3d_op_axis(op, i3d_int(op->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    int rank = in->rank - 1 + indices->rank;
    if (rank > I3D_MAX_RANK)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "arrays of rank %d are not handled", rank);
    int64_t dims[I3D_MAX_RANK], picks = i3d_array_elements(indices), length = in->dims[axis];
    memcpy(dims, in->dims, (size_t)axis * sizeof *dims);
    memcpy(dims + axis, indices->dims, (size_t)indices->rank * sizeof *dims);
    memcpy(dims + axis + indices->rank, in->dims + axis + 1,
           (size_t)(in->rank - axis - 1) * sizeof *dims);
    const int64_t *index = indices->data;
    for (int64_t i = 0; i < picks; i++)
        if (index[i] < -length || index[i] >= length)
            return i3d_fail(op->error, I3D_MALFORMED, "index %lld of an axis of length %lld",
                            (long long)index[i], (long long)length);
    status = i3d_op_output(op, 0, in->dtype, rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    size_t inner = (size_t)i3d_array_span(in, axis + 1, in->rank) * i3d_dtype_size(in->dtype);
    int64_t rows = i3d_array_span(in, 0, axis) * picks;
    I3D_PARALLEL_FOR(i3d_op_threads(op, i3d_array_elements(&op->outputs[0])))
    for (int64_t row = 0; row < rows; row++) {
        int64_t pick = index[row % picks];
        int64_t from = row / picks * length + (pick < 0 ? pick + length : pick);
        memcpy((char *)op->outputs[0].data + (size_t)row * inner,
               (char *)in->data + (size_t)from * inner, inner);
    }
    return I3D_OK;
}

enum i3d_status i3d_op_expand(struct i3d_operation *op)
{
    const int64_t *target;
    size_t count;
    bool present;
    enum i3d_status status = i3d_op_ints(op, NULL, 1, &target, &count, &present);
    if (status)
        return status;
    if (count > I3D_MAX_RANK)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "arrays of rank %zu are not handled", count);
    struct i3d_array shape = { .rank = (int)count };
    for (size_t k = 0; k < count; k++)
        shape.dims[k] = target[k];
    struct i3d_walk walk;
    if (!i3d_array_sound(shape.rank, shape.dims)
        || !i3d_walk_broadcast(&op->inputs[0], &shape, &walk)) {
        char from[160], to[160];
        i3d_shape_string(op->inputs[0].rank, op->inputs[0].dims, from, sizeof from);
        i3d_shape_string(shape.rank, shape.dims, to, sizeof to);
        return i3d_fail(op->error, I3D_MALFORMED, "%s does not expand to %s", from, to);
    }
    return copy_walk(op, &walk, walk.rank, walk.dims);
}

/* Both directions cut an N×C×H×W array into N and five more axes, and permute them. */
static enum i3d_status check_blocks(const struct i3d_operation *op, int64_t *block)
{
    const struct i3d_array *in = &op->inputs[0];
    *block = i3d_int(op->node, "blocksize", 0);
    if (in->rank != 4)
        return i3d_fail(op->error, I3D_MALFORMED, "its input has rank %d, not 4", in->rank);
    if (*block < 1 || *block > INT32_MAX)
        return i3d_fail(op->error, I3D_MALFORMED, "blocksize is %lld", (long long)*block);
    return I3D_OK;
}

enum i3d_status i3d_op_depth_to_space(struct i3d_operation *op)
{
    int64_t block;
    enum i3d_status status = check_blocks(op, &block);
    if (status)
        return status;
    const int64_t *in = op->inputs[0].dims;
    if (in[1] % (block * block))
        return i3d_fail(op->error, I3D_MALFORMED, "%lld channels do not divide into %lld squared",
                        (long long)in[1], (long long)block);
    int64_t channels = in[1] / (block * block);
    struct i3d_walk walk;
    if (i3d_string_is(op->node, "mode", "CRD"))
        permute(6, (int64_t[]){ in[0], channels, block, block, in[2], in[3] },
                (int64_t[]){ 0, 1, 4, 2, 5, 3 }, &walk);
    else
        permute(6, (int64_t[]){ in[0], block, block, channels, in[2], in[3] },
                (int64_t[]){ 0, 3, 4, 1, 5, 2 }, &walk);
    int64_t dims[] = { in[0], channels, in[2] * block, in[3] * block };
    return copy_walk(op, &walk, 4, dims);
}

enum i3d_status i3d_op_space_to_depth(struct i3d_operation *op)
{
    int64_t block;
    enum i3d_status status = check_blocks(op, &block);
    if (status)
        return status;
    const int64_t *in = op->inputs[0].dims;
    if (in[2] % block || in[3] % block)
        return i3d_fail(op->error, I3D_MALFORMED, "%lldx%lld does not divide into blocks of %lld",
                        (long long)in[2], (long long)in[3], (long long)block);
    struct i3d_walk walk;
    bool channels_first = i3d_string_is(op->node, "mode", "CRD");
    permute(6, (int64_t[]){ in[0], in[1], in[2] / block, block, in[3] / block, block },
            channels_first ? (int64_t[]){ 0, 1, 3, 5, 2, 4 } : (int64_t[]){ 0, 3, 5, 1, 2, 4 },
            &walk);
    int64_t dims[] = { in[0], in[1] * block * block, in[2] / block, in[3] / block };
    return copy_walk(op, &walk, 4, dims);
}
