#include "model/shape_infer.h"

/* Operators that work element by element, and numpy's broadcasting. */

enum i3d_status i3d_infer_like_input(const struct i3d_inference *op)
{
    return i3d_infer_set(op, 0, &i3d_infer_in(op, 0)->shape);
}

enum i3d_status i3d_infer_predicate(const struct i3d_inference *op)
{
    struct i3d_shape shape = i3d_infer_in(op, 0)->shape;
    shape.dtype = I3D_BOOL;
    return i3d_infer_set(op, 0, &shape);
}

enum i3d_status i3d_infer_cast(const struct i3d_inference *op)
{
    struct i3d_shape shape = i3d_infer_in(op, 0)->shape;
    shape.dtype = (enum i3d_dtype)i3d_int(op->node, "to", I3D_UNDEFINED);
    return i3d_infer_set(op, 0, &shape);
}

enum i3d_status i3d_infer_dropout(const struct i3d_inference *op)
{
    struct i3d_shape mask = i3d_infer_in(op, 0)->shape;
    if (op->opset >= 10)
        mask.dtype = I3D_BOOL;
    enum i3d_status status = i3d_infer_like_input(op);
    return status ? status : i3d_infer_set(op, 1, &mask);
}

enum i3d_status i3d_infer_softmax(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    int axis;
    if (in->rank >= 0 && i3d_attribute(op->node, "axis")) {
        enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", -1), in->rank,
                                                &axis);
        if (status)
            return status;
    }
    return i3d_infer_like_input(op);
}

enum i3d_status i3d_infer_broadcast(const struct i3d_inference *op, const struct i3d_shape *a,
                                    struct i3d_shape *both)
{
    struct i3d_shape b = *both;
    if (!both->dtype)
        both->dtype = a->dtype;
    if (a->rank < 0 || b.rank < 0) {
        both->rank = -1;
        return I3D_OK;
    }
    both->rank = a->rank > b.rank ? a->rank : b.rank;
    for (int k = 1; k <= both->rank; k++) {
        int64_t x = k <= a->rank ? a->dims[a->rank - k] : 1;
        int64_t y = k <= b.rank ? b.dims[b.rank - k] : 1;
        if (x >= 0 && y >= 0 && x != y && x != 1 && y != 1)
            return i3d_fail(op->error, I3D_MALFORMED,
                            "sizes %lld and %lld of its inputs do not broadcast", (long long)x,
                            (long long)y);
        int64_t *size = &both->dims[both->rank - k];
        if (x == 1)
            *size = y;
        else if (y == 1)
            *size = x;
        else /* equal, or one of them is not known and has to be the other or 1 */
            *size = x > y ? x : y;
    }
    return I3D_OK;
}

enum i3d_status i3d_infer_fits(const struct i3d_inference *op, const struct i3d_shape *small,
                                  const struct i3d_shape *target)
{
    struct i3d_shape both = *target;
    enum i3d_status status = i3d_infer_broadcast(op, small, &both);
    if (status || both.rank < 0)
        return status;
    bool fits = both.rank == target->rank;
    for (int k = 0; fits && k < both.rank; k++)
        fits = target->dims[k] < 0 || both.dims[k] == target->dims[k];
    if (!fits) {
        char from[160], to[160];
        i3d_shape_string(small->rank, small->dims, from, sizeof from);
        i3d_shape_string(target->rank, target->dims, to, sizeof to);
        return i3d_fail(op->error, I3D_MALFORMED, "an input of %s does not broadcast to %s", from,
                        to);
    }
    return I3D_OK;
}

/* Before opset 7 the second input was laid over the first from attribute axis
 * on, or over its last axes, and only where attribute broadcast is set. */
static enum i3d_status check_old_broadcast(const struct i3d_inference *op)
{
    const struct i3d_shape *a = &i3d_infer_in(op, 0)->shape;
    struct i3d_shape b = i3d_infer_in(op, 1)->shape;
    if (a->rank < 0 || b.rank < 0)
        return I3D_OK;
    int axis = a->rank - b.rank;
    if (i3d_int(op->node, "broadcast", 0) && i3d_attribute(op->node, "axis")) {
        enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", 0), a->rank, &axis);
        if (status)
            return status;
    }
    if (axis < 0 || axis + b.rank > a->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "the second input reaches beyond the first");
    struct i3d_shape padded = *a;
    for (int k = 0; k < a->rank; k++)
        padded.dims[k] = k >= axis && k < axis + b.rank ? b.dims[k - axis] : 1;
    return i3d_infer_fits(op, &padded, a);
}

static enum i3d_status broadcast_inputs(const struct i3d_inference *op, size_t first,
                                        struct i3d_shape *both)
{
    *both = (struct i3d_shape){ .rank = 0 };
    for (size_t k = first; k < op->node->input_count; k++) {
        enum i3d_status status = i3d_infer_broadcast(op, &i3d_infer_in(op, k)->shape, both);
        if (status)
            return status;
    }
    return I3D_OK;
}

enum i3d_status i3d_infer_elementwise(const struct i3d_inference *op)
{
    bool is_variadic = i3d_is(op->node, "Max") || i3d_is(op->node, "Min")
        || i3d_is(op->node, "Sum") || i3d_is(op->node, "Mean");
    if (op->opset < 7 && !is_variadic) {
        enum i3d_status status = check_old_broadcast(op);
        return status ? status : i3d_infer_like_input(op);
    }
    struct i3d_shape both;
    enum i3d_status status = broadcast_inputs(op, 0, &both);
    if (status)
        return status;
    both.dtype = i3d_infer_in(op, 0)->shape.dtype; /* Pow: the exponent's type may differ */
    if (!both.dtype && !i3d_is(op->node, "Pow") && op->node->input_count > 1)
        both.dtype = i3d_infer_in(op, 1)->shape.dtype;
    return i3d_infer_set(op, 0, &both);
}

enum i3d_status i3d_infer_comparison(const struct i3d_inference *op)
{
    struct i3d_shape both;
    if (op->opset < 7) {
        enum i3d_status status = check_old_broadcast(op);
        return status ? status : i3d_infer_predicate(op);
    }
    enum i3d_status status = broadcast_inputs(op, 0, &both);
    both.dtype = I3D_BOOL;
    return status ? status : i3d_infer_set(op, 0, &both);
}

enum i3d_status i3d_infer_where_select(const struct i3d_inference *op)
{
    struct i3d_shape both;
    enum i3d_status status = broadcast_inputs(op, 0, &both);
    both.dtype = i3d_infer_in(op, 1)->shape.dtype;
    return status ? status : i3d_infer_set(op, 0, &both);
}

enum i3d_status i3d_infer_prelu(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    const struct i3d_shape *slope = &i3d_infer_in(op, 1)->shape;
    if (op->opset >= 7 && in->rank >= 0 && slope->rank >= 0) {
        enum i3d_status status = i3d_infer_fits(op, slope, in);
        if (status)
            return status;
    }
    return i3d_infer_like_input(op);
}
