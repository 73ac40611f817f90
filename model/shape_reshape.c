#include "model/shape_infer.h"

/* Operators that add, drop or merge axes and leave the order of elements:
 * Reshape, Flatten, Squeeze, Unsqueeze; and the reductions, which drop axes too. */

/* Fills the -1 of a Reshape, dim open of out, from what the other dims leave.
 * copied marks output dims that were taken over from the input: they cancel,
 * so that a batch whose size is not known does no harm. */
static enum i3d_status fill_open_dim(const struct i3d_inference *op, const struct i3d_shape *in,
                                     const bool *copied, int open, struct i3d_shape *out)
{
    int64_t elements = 1, others = 1;
    for (int k = 0; k < in->rank; k++) {
        if (k < out->rank && copied[k])
            continue;
        if (in->dims[k] < 0)
            return I3D_OK;
        if (__builtin_mul_overflow(elements, in->dims[k], &elements))
            return i3d_fail(op->error, I3D_MALFORMED, "its input is too large");
    }
    for (int k = 0; k < out->rank; k++) {
        if (k == open || copied[k])
            continue;
        if (out->dims[k] < 0)
            return I3D_OK;
        if (__builtin_mul_overflow(others, out->dims[k], &others))
            return i3d_fail(op->error, I3D_MALFORMED, "the shape it asks for is too large");
    }
    if (others == 0 ? elements != 0 : elements % others != 0)
        return i3d_fail(op->error, I3D_MALFORMED, "%lld elements do not divide by %lld",
                        (long long)elements, (long long)others);
    out->dims[open] = others ? elements / others : 0;
    return I3D_OK;
}

/* Dims of a Reshape that are plain numbers, copies (0) or open (-1). */
static enum i3d_status read_target(const struct i3d_inference *op,
                                   const struct i3d_infer_list *target, bool *copied, int *open,
                                   bool *guessing, struct i3d_shape *out)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    bool zero_is_zero = i3d_int(op->node, "allowzero", 0);
    *open = -1;
    *guessing = false;
    for (int k = 0; k < out->rank; k++) {
        int64_t wanted = target->values[k];
        copied[k] = target->known[k] && wanted == 0 && !zero_is_zero;
        if (!target->known[k]) {
            *guessing = true;
        } else if (wanted < -1) {
            return i3d_fail(op->error, I3D_MALFORMED, "it asks for a size of %lld",
                            (long long)wanted);
        } else if (wanted == -1) {
            if (*open >= 0)
                return i3d_fail(op->error, I3D_MALFORMED, "it leaves two sizes open");
            *open = k;
        } else if (!copied[k]) {
            out->dims[k] = wanted;
        } else if (in->rank >= 0) {
            if (k >= in->rank)
                return i3d_fail(op->error, I3D_MALFORMED, "it copies axis %d of rank %d", k,
                                in->rank);
            out->dims[k] = in->dims[k];
        }
    }
    return I3D_OK;
}

enum i3d_status i3d_infer_reshape(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list target;
    i3d_infer_list(op, "shape", 1, &target);
    if (!target.present)
        return i3d_fail(op->error, I3D_MALFORMED, "it has no shape to reshape to");
    struct i3d_shape out = i3d_infer_open(in->dtype, target.count);
    if (out.rank < 0)
        return i3d_infer_set(op, 0, &out);
    bool copied[I3D_MAX_RANK], guessing;
    int open;
    enum i3d_status status = read_target(op, &target, copied, &open, &guessing, &out);
    if (status)
        return status;
    /* A size that is not known might itself be -1 or 0: then it is the open one. */
    if (open >= 0 && in->rank >= 0 && !guessing)
        status = fill_open_dim(op, in, copied, open, &out);
    if (status)
        return status;
    int64_t before = i3d_infer_elements(in), after = i3d_infer_elements(&out);
    if (before >= 0 && after >= 0 && before != after) {
        char from[160], to[160];
        return i3d_fail(op->error, I3D_MALFORMED, "%s does not reshape to %s",
                        i3d_shape_string(in->rank, in->dims, from, sizeof from),
                        i3d_shape_string(out.rank, out.dims, to, sizeof to));
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_flatten(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_shape out = i3d_infer_open(in->dtype, 2);
    if (in->rank < 0)
        return i3d_infer_set(op, 0, &out);
    int64_t axis = i3d_int(op->node, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "axis %lld is out of range for rank %d",
                        (long long)axis, in->rank);
    axis = axis < 0 ? axis + in->rank : axis;
    int64_t outer = i3d_element_count((int)axis, in->dims);
    int64_t inner = i3d_element_count(in->rank - (int)axis, in->dims + axis);
    out.dims[0] = outer;
    out.dims[1] = inner;
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_squeeze(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list axes;
    i3d_infer_list(op, "axes", 1, &axes);
    bool chosen[I3D_MAX_RANK] = { false };
    if (in->rank < 0 || (axes.present && !axes.complete)) {
        bool counted = in->rank >= 0 && axes.count >= 0 && axes.count <= in->rank;
        struct i3d_shape open = i3d_infer_open(in->dtype, counted ? in->rank - axes.count : -1);
        return i3d_infer_set(op, 0, &open);
    }
    if (axes.present) {
        enum i3d_status status = i3d_infer_axes(op, &axes, in->rank, chosen);
        if (status)
            return status;
    }
    struct i3d_shape out = { .dtype = in->dtype };
    for (int k = 0; k < in->rank; k++) {
        if (!axes.present && in->dims[k] < 0) {
            out.rank = -1; /* it may be 1, and go, or not */
            break;
        }
        if (chosen[k] && in->dims[k] >= 0 && in->dims[k] != 1)
            return i3d_fail(op->error, I3D_MALFORMED, "axis %d that it drops has size %lld", k,
                            (long long)in->dims[k]);
        bool drop = axes.present ? chosen[k] : in->dims[k] == 1;
        if (!drop)
            out.dims[out.rank++] = in->dims[k];
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_unsqueeze(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_infer_list axes;
    i3d_infer_list(op, "axes", 1, &axes);
    if (!axes.present)
        return i3d_fail(op->error, I3D_MALFORMED, "it has no axes");
    bool counted = in->rank >= 0 && axes.count >= 0;
    struct i3d_shape out = i3d_infer_open(in->dtype, counted ? in->rank + axes.count : -1);
    if (out.rank < 0 || !axes.complete)
        return i3d_infer_set(op, 0, &out);
    bool chosen[I3D_MAX_RANK];
    enum i3d_status status = i3d_infer_axes(op, &axes, out.rank, chosen);
    if (status)
        return status;
    for (int k = 0, from = 0; k < out.rank; k++)
        out.dims[k] = chosen[k] ? 1 : in->dims[from++];
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_reduce(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    bool keep = i3d_int(op->node, "keepdims", 1);
    struct i3d_infer_list axes;
    i3d_infer_list(op, "axes", 1, &axes);
    if (in->rank < 0 || (axes.present && !axes.complete)) {
        /* No axes, given as an empty list, would mean all of them. */
        bool counted = in->rank >= 0 && axes.count > 0 && axes.count <= in->rank;
        int64_t rank = keep ? in->rank : counted ? in->rank - axes.count : -1;
        struct i3d_shape open = i3d_infer_open(in->dtype, rank);
        return i3d_infer_set(op, 0, &open);
    }
    bool none = !axes.present || axes.count == 0;
    if (none && i3d_int(op->node, "noop_with_empty_axes", 0))
        return i3d_infer_set(op, 0, in);
    bool chosen[I3D_MAX_RANK] = { false };
    enum i3d_status status = none ? I3D_OK : i3d_infer_axes(op, &axes, in->rank, chosen);
    if (status)
        return status;
    struct i3d_shape out = { .dtype = in->dtype };
    for (int k = 0; k < in->rank; k++) {
        if (!none && !chosen[k])
            out.dims[out.rank++] = in->dims[k];
        else if (keep)
            out.dims[out.rank++] = 1;
    }
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_arg_reduce(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    bool keep = i3d_int(op->node, "keepdims", 1);
    struct i3d_shape out = i3d_infer_open(I3D_INT64, -1);
    if (in->rank < 0)
        return i3d_infer_set(op, 0, &out);
    int axis;
    enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    out.rank = 0;
    for (int k = 0; k < in->rank; k++) {
        if (k != axis)
            out.dims[out.rank++] = in->dims[k];
        else if (keep)
            out.dims[out.rank++] = 1;
    }
    return i3d_infer_set(op, 0, &out);
}
