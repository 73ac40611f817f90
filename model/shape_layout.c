#include "model/shape_infer.h"

#include <string.h>

static enum i3d_status too_large(const struct i3d_inference *op)
{
    return i3d_fail(op->error, I3D_MALFORMED, "its sizes are too large");
}

/* Size + more, where -1 is not known. */
static enum i3d_status add_size(const struct i3d_inference *op, int64_t more, int64_t *size)
{
    if (*size < 0 || more < 0)
        *size = -1;
    else if (__builtin_add_overflow(*size, more, size))
        return too_large(op);
    return I3D_OK;
}

static enum i3d_status scale_size(const struct i3d_inference *op, int64_t factor, int64_t *size)
{
    if (*size < 0 || factor < 0)
        *size = -1;
    else if (__builtin_mul_overflow(*size, factor, size))
        return too_large(op);
    return I3D_OK;
}

/* The shape of output k, its dims taken from a list of which some are known. */
static enum i3d_status set_from_list(const struct i3d_inference *op, enum i3d_dtype dtype,
                                     const struct i3d_infer_list *list)
{
    struct i3d_shape shape = i3d_infer_open(dtype, list->count);
    for (int k = 0; k < shape.rank; k++) {
        if (!list->known[k])
            continue;
        if (list->values[k] < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "it asks for a size of %lld",
                            (long long)list->values[k]);
        shape.dims[k] = list->values[k];
    }
    return i3d_infer_set(op, 0, &shape);
}

/* The attribute that holds a Constant's value decides. */
enum i3d_status i3d_infer_constant(const struct i3d_inference *op)
{
    static const struct {
        const char *name;
        enum i3d_attribute_type type;
        enum i3d_dtype dtype;
        int rank;
    } forms[] = {
        { "value_float", I3D_ATTRIBUTE_FLOAT, I3D_FLOAT32, 0 },
        { "value_floats", I3D_ATTRIBUTE_FLOATS, I3D_FLOAT32, 1 },
        { "value_int", I3D_ATTRIBUTE_INT, I3D_INT64, 0 },
        { "value_ints", I3D_ATTRIBUTE_INTS, I3D_INT64, 1 },
        { "value_string", I3D_ATTRIBUTE_STRING, I3D_STRING, 0 },
        { "value_strings", I3D_ATTRIBUTE_STRINGS, I3D_STRING, 1 },
    };
    const struct i3d_tensor *tensor = i3d_infer_tensor(op, "value");
    struct i3d_shape shape = { .rank = -1 };
    if (tensor) {
        shape = (struct i3d_shape){ .dtype = tensor->dtype, .rank = tensor->rank };
        for (int k = 0; k < shape.rank; k++)
            shape.dims[k] = tensor->dims[k];
        return i3d_infer_set(op, 0, &shape);
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const struct i3d_attribute *value = i3d_attribute(op->node, forms[i].name);
        if (!value || value->type != forms[i].type)
            continue;
        shape.dtype = forms[i].dtype;
        shape.rank = forms[i].rank;
        shape.dims[0] = (int64_t)value->count;
        break;
    }
    return i3d_infer_set(op, 0, &shape);
}

enum i3d_status i3d_infer_shape(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_shape out = { .dtype = I3D_INT64, .rank = 1, .dims = { -1 } };
    if (in->rank >= 0) {
        int64_t start = i3d_int(op->node, "start", 0);
        int64_t end = i3d_int(op->node, "end", in->rank);
        start = start < 0 ? start + in->rank : start;
        end = end < 0 ? end + in->rank : end;
        start = start < 0 ? 0 : start > in->rank ? in->rank : start;
        end = end < start ? start : end > in->rank ? in->rank : end;
        out.dims[0] = end - start;
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_size(const struct i3d_inference *op)
{
    return i3d_infer_set(op, 0, &(struct i3d_shape){ .dtype = I3D_INT64, .rank = 0 });
}

enum i3d_status i3d_infer_constant_of_shape(const struct i3d_inference *op)
{
    const struct i3d_tensor *value = i3d_infer_tensor(op, "value");
    struct i3d_infer_list list;
    i3d_infer_list(op, NULL, 0, &list);
    return set_from_list(op, value ? value->dtype : I3D_FLOAT32, &list);
}

enum i3d_status i3d_infer_expand(const struct i3d_inference *op)
{
    struct i3d_infer_list list;
    i3d_infer_list(op, NULL, 1, &list);
    struct i3d_shape target = i3d_infer_open(I3D_UNDEFINED, list.count);
    for (int k = 0; k < target.rank; k++) {
        if (list.known[k] && list.values[k] < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "it asks for a size of %lld",
                            (long long)list.values[k]);
        target.dims[k] = list.known[k] ? list.values[k] : -1;
    }
    struct i3d_shape out = i3d_infer_in(op, 0)->shape;
    enum i3d_status status = i3d_infer_broadcast(op, &target, &out);
    return status ? status : i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_tile(const struct i3d_inference *op)
{
    struct i3d_shape out = i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list repeats;
    i3d_infer_list(op, NULL, 1, &repeats);
    if (out.rank >= 0 && repeats.count >= 0 && repeats.count != out.rank)
        return i3d_fail(op->error, I3D_MALFORMED, "%d repeats are given for rank %d",
                        repeats.count, out.rank);
    for (int k = 0; k < out.rank; k++) {
        bool known = repeats.count == out.rank && repeats.known[k];
        if (known && repeats.values[k] < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "it repeats %lld times",
                            (long long)repeats.values[k]);
        enum i3d_status status = scale_size(op, known ? repeats.values[k] : -1, &out.dims[k]);
        if (status)
            return status;
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_concat(const struct i3d_inference *op)
{
    struct i3d_shape out = { .rank = -1 };
    int axis = 0;
    bool complete = true;
    for (size_t k = 0; k < op->node->input_count; k++) {
        const struct i3d_shape *in = &i3d_infer_in(op, k)->shape;
        if (!out.dtype)
            out.dtype = in->dtype;
        if (in->rank < 0) {
            complete = false;
            continue;
        }
        if (out.rank < 0) {
            enum i3d_dtype dtype = out.dtype;
            out = *in;
            out.dtype = dtype;
            enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", 1), in->rank,
                                                    &axis);
            if (status)
                return status;
            continue;
        }
        if (in->rank != out.rank)
            return i3d_fail(op->error, I3D_MALFORMED, "its inputs have ranks %d and %d", out.rank,
                            in->rank);
        for (int d = 0; d < in->rank; d++) {
            if (d == axis) {
                enum i3d_status status = add_size(op, in->dims[d], &out.dims[d]);
                if (status)
                    return status;
            } else if (out.dims[d] < 0) {
                out.dims[d] = in->dims[d];
            } else if (in->dims[d] >= 0 && in->dims[d] != out.dims[d]) {
                return i3d_fail(op->error, I3D_MALFORMED, "its inputs differ on axis %d: %lld "
                                "and %lld", d, (long long)out.dims[d], (long long)in->dims[d]);
            }
        }
    }
    if (!complete && out.rank >= 0)
        out.dims[axis] = -1;
    return i3d_infer_set(op, 0, &out);
}

/* Without sizes the parts are equal; from opset 18 on the last may be smaller. */
static enum i3d_status equal_part(const struct i3d_inference *op, int64_t whole, size_t k,
                                  int64_t *part)
{
    int64_t parts = op->opset >= 18 ? i3d_int(op->node, "num_outputs", -1)
                                    : (int64_t)op->node->output_count;
    *part = -1;
    if (parts < 1 || (uint64_t)parts < op->node->output_count)
        return i3d_fail(op->error, I3D_MALFORMED, "it has %zu outputs for %lld parts",
                        op->node->output_count, (long long)parts);
    if (whole < 0)
        return I3D_OK;
    if (op->opset < 18 && whole % parts)
        return i3d_fail(op->error, I3D_MALFORMED, "%lld does not split into %lld equal parts",
                        (long long)whole, (long long)parts);
    int64_t size = whole / parts + (whole % parts != 0);
    int64_t begin;
    if (__builtin_mul_overflow(size, (int64_t)k, &begin) || begin > whole)
        begin = whole;
    *part = whole - begin < size ? whole - begin : size;
    return I3D_OK;
}

static enum i3d_status check_split(const struct i3d_inference *op,
                                   const struct i3d_infer_list *sizes, int64_t whole)
{
    if (sizes->count >= 0 && (size_t)sizes->count != op->node->output_count)
        return i3d_fail(op->error, I3D_MALFORMED, "%d sizes are given for %zu outputs",
                        sizes->count, op->node->output_count);
    if (!sizes->complete)
        return I3D_OK;
    int64_t sum = 0;
    for (int k = 0; k < sizes->count; k++)
        if (sizes->values[k] < 0 || __builtin_add_overflow(sum, sizes->values[k], &sum))
            return i3d_fail(op->error, I3D_MALFORMED, "a part has size %lld",
                            (long long)sizes->values[k]);
    if (whole >= 0 && sum != whole)
        return i3d_fail(op->error, I3D_MALFORMED, "its parts sum up to %lld, not %lld",
                        (long long)sum, (long long)whole);
    return I3D_OK;
}

enum i3d_status i3d_infer_split(const struct i3d_inference *op)
{
    struct i3d_shape part = i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list sizes;
    i3d_infer_list(op, "split", 1, &sizes);
    int axis = 0;
    int64_t whole = -1;
    enum i3d_status status = I3D_OK;
    if (part.rank >= 0) {
        status = i3d_infer_axis(op, i3d_int(op->node, "axis", 0), part.rank, &axis);
        if (!status)
            whole = part.dims[axis];
    }
    if (!status && sizes.present)
        status = check_split(op, &sizes, whole);
    for (size_t k = 0; k < op->node->output_count && !status; k++) {
        int64_t size = -1;
        if (!sizes.present)
            status = equal_part(op, whole, k, &size);
        else if (sizes.count >= 0 && sizes.known[k])
            size = sizes.values[k] < 0 ? -1 : sizes.values[k];
        if (part.rank >= 0)
            part.dims[axis] = size;
        if (!status)
            status = i3d_infer_set(op, k, &part);
    }
    return status;
}

/* One axis of a Slice (ONNX Slice-13): negative positions count from the end,
 * positions beyond either end are cut. */
static void slice_axis(int64_t size, int64_t start, int64_t end, int64_t step, int64_t *first,
                       int64_t *count)
{
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start = start < 0 ? start + size : start;
    end = end < 0 ? end + size : end;
    start = start < 0 ? 0 : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    int64_t span = step > 0 ? end - start : start - end;
    int64_t stride = step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step;
    *first = start;
    *count = size > 0 && span > 0 ? (span - 1) / stride + 1 : 0;
}

enum i3d_status i3d_infer_slice(const struct i3d_inference *op, struct i3d_infer_slice *slice,
                                bool *resolved)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list starts, ends, axes, steps;
    i3d_infer_list(op, "starts", 1, &starts);
    i3d_infer_list(op, "ends", 2, &ends);
    i3d_infer_list(op, "axes", 3, &axes);
    i3d_infer_list(op, NULL, 4, &steps);
    *resolved = false;
    int count = starts.count >= 0 ? starts.count : ends.count;
    if (in->rank < 0 || count < 0 || (axes.present && !axes.complete))
        return I3D_OK;
    if ((ends.count >= 0 && ends.count != count) || (axes.present && axes.count != count)
        || (steps.present && steps.count >= 0 && steps.count != count)
        || (!axes.present && count > in->rank))
        return i3d_fail(op->error, I3D_MALFORMED, "its starts, ends, axes and steps do not match");

    bool chosen[I3D_MAX_RANK];
    enum i3d_status status = axes.present ? i3d_infer_axes(op, &axes, in->rank, chosen) : I3D_OK;
    if (status)
        return status;
    for (int d = 0; d < in->rank; d++) {
        slice->start[d] = 0;
        slice->step[d] = 1;
        slice->count[d] = in->dims[d];
    }
    for (int k = 0; k < count; k++) {
        int axis = k;
        if (axes.present)
            i3d_infer_axis(op, axes.values[k], in->rank, &axis);
        int64_t step = steps.present ? steps.values[k] : 1;
        bool known = in->dims[axis] >= 0 && starts.count >= 0 && starts.known[k]
            && ends.count >= 0 && ends.known[k]
            && (!steps.present || (steps.count >= 0 && steps.known[k]));
        if (known && step == 0)
            return i3d_fail(op->error, I3D_MALFORMED, "a step is 0");
        slice->count[axis] = -1;
        slice->step[axis] = step;
        if (known)
            slice_axis(in->dims[axis], starts.values[k], ends.values[k], step,
                       &slice->start[axis], &slice->count[axis]);
    }
    *resolved = true;
    return I3D_OK;
}

enum i3d_status i3d_infer_slice_shape(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_infer_slice slice;
    bool resolved;
    enum i3d_status status = i3d_infer_slice(op, &slice, &resolved);
    if (status)
        return status;
    struct i3d_shape out = i3d_infer_open(in->dtype, in->rank);
    for (int d = 0; d < out.rank && resolved; d++)
        out.dims[d] = slice.count[d];
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_pad(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list pads, axes;
    i3d_infer_list(op, "pads", 1, &pads);
    i3d_infer_list(op, NULL, 3, &axes);
    struct i3d_shape out = i3d_infer_open(in->dtype, in->rank);
    if (in->rank < 0 || pads.count < 0 || (axes.present && !axes.complete))
        return i3d_infer_set(op, 0, &out);

    int padded = axes.present ? axes.count : in->rank;
    bool chosen[I3D_MAX_RANK];
    enum i3d_status status = axes.present ? i3d_infer_axes(op, &axes, in->rank, chosen) : I3D_OK;
    if (status)
        return status;
    if (pads.count != 2 * padded)
        return i3d_fail(op->error, I3D_MALFORMED, "%d pads are given for %d axes", pads.count,
                        padded);
    for (int d = 0; d < in->rank; d++)
        out.dims[d] = in->dims[d];
    for (int k = 0; k < padded; k++) {
        int axis = k;
        if (axes.present)
            i3d_infer_axis(op, axes.values[k], in->rank, &axis);
        int64_t *size = &out.dims[axis];
        if (*size < 0 || !pads.known[k] || !pads.known[padded + k]) {
            *size = -1;
        } else if (__builtin_add_overflow(*size, pads.values[k], size)
                   || __builtin_add_overflow(*size, pads.values[padded + k], size)
                   || *size < 0) {
            return i3d_fail(op->error, I3D_MALFORMED, "pads of %lld and %lld do not fit axis %d",
                            (long long)pads.values[k], (long long)pads.values[padded + k], axis);
        }
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_transpose(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_shape out = *in;
    int permutation[I3D_MAX_RANK];
    if (in->rank >= 0) {
        enum i3d_status status = i3d_infer_permutation(op, in->rank, permutation);
        if (status)
            return status;
        for (int k = 0; k < in->rank; k++)
            out.dims[k] = in->dims[permutation[k]];
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_permutation(const struct i3d_inference *op, int rank, int *permutation)
{
    for (int k = 0; k < rank; k++)
        permutation[k] = rank - 1 - k;
    if (!i3d_attribute(op->node, "perm"))
        return I3D_OK;
    struct i3d_infer_list list;
    bool chosen[I3D_MAX_RANK];
    i3d_infer_list(op, "perm", SIZE_MAX, &list);
    if (list.count != rank)
        return i3d_fail(op->error, I3D_MALFORMED, "perm does not fit an input of rank %d", rank);
    enum i3d_status status = i3d_infer_axes(op, &list, rank, chosen);
    for (int k = 0; k < rank && !status; k++)
        status = i3d_infer_axis(op, list.values[k], rank, &permutation[k]);
    return status;
}

enum i3d_status i3d_infer_gather(const struct i3d_inference *op)
{
    const struct i3d_shape *data = &i3d_infer_in(op, 0)->shape;
    const struct i3d_shape *indices = &i3d_infer_in(op, 1)->shape;
    struct i3d_shape out = i3d_infer_open(data->dtype, -1);
    if (data->rank < 0 || indices->rank < 0)
        return i3d_infer_set(op, 0, &out);
    int axis;
    enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", 0), data->rank, &axis);
    if (status)
        return status;
    out = i3d_infer_open(data->dtype, data->rank - 1 + indices->rank);
    for (int k = 0; k < out.rank; k++) {
        if (k < axis)
            out.dims[k] = data->dims[k];
        else if (k < axis + indices->rank)
            out.dims[k] = indices->dims[k - axis];
        else
            out.dims[k] = data->dims[k - indices->rank + 1];
    }
    return i3d_infer_set(op, 0, &out);
}

/* The blocks of DepthToSpace and SpaceToDepth. */
static enum i3d_status block_size(const struct i3d_inference *op, int64_t *block)
{
    int rank = i3d_infer_in(op, 0)->shape.rank;
    *block = i3d_int(op->node, "blocksize", 0);
    if (*block < 1 || *block > INT32_MAX)
        return i3d_fail(op->error, I3D_MALFORMED, "blocksize is %lld", (long long)*block);
    if (rank >= 0 && rank != 4)
        return i3d_fail(op->error, I3D_MALFORMED, "its input has rank %d, not 4", rank);
    return I3D_OK;
}

static enum i3d_status divide_size(const struct i3d_inference *op, int64_t divisor, int64_t *size)
{
    if (*size >= 0 && *size % divisor)
        return i3d_fail(op->error, I3D_MALFORMED, "%lld does not divide into blocks of %lld",
                        (long long)*size, (long long)divisor);
    *size = *size < 0 ? -1 : *size / divisor;
    return I3D_OK;
}

enum i3d_status i3d_infer_depth_to_space(const struct i3d_inference *op)
{
    int64_t block;
    enum i3d_status status = block_size(op, &block);
    if (status)
        return status;
    struct i3d_shape out = i3d_infer_in(op, 0)->shape;
    if (out.rank == 4)
        status = divide_size(op, block * block, &out.dims[1]);
    for (int k = 2; k < out.rank && !status; k++)
        status = scale_size(op, block, &out.dims[k]);
    return status ? status : i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_space_to_depth(const struct i3d_inference *op)
{
    int64_t block;
    enum i3d_status status = block_size(op, &block);
    if (status)
        return status;
    struct i3d_shape out = i3d_infer_in(op, 0)->shape;
    if (out.rank == 4)
        status = scale_size(op, block * block, &out.dims[1]);
    for (int k = 2; k < out.rank && !status; k++)
        status = divide_size(op, block, &out.dims[k]);
    return status ? status : i3d_infer_set(op, 0, &out);
}
