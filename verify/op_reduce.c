#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/walk.h"

#include <math.h>
#include <string.h>

/* Reductions. Sums of floats are formed in double: a mean over a whole video
 * keeps its digits. */

/* Two walks over the input: over what is kept, one step per output element, and
 * from there over what is reduced. */
struct plan {
    struct i3d_walk kept, reduced;
    int64_t reduced_count;
};

static void make_plan(const struct i3d_array *in, const bool *chosen, struct plan *plan)
{
    int64_t strides[I3D_MAX_RANK];
    *plan = (struct plan){ .reduced_count = 1 };
    i3d_dense_strides(in->rank, in->dims, strides);
    for (int k = 0; k < in->rank; k++) {
        struct i3d_walk *walk = chosen[k] ? &plan->reduced : &plan->kept;
        walk->dims[walk->rank] = in->dims[k];
        for (int p = 0; p < I3D_WALK_OPERANDS; p++)
            walk->strides[p][walk->rank] = strides[k];
        walk->rank++;
        if (chosen[k])
            plan->reduced_count *= in->dims[k];
    }
    i3d_walk_merge(&plan->reduced);
    /* The kept axes are walked as rows of length 1. There is room: merged, they
     * are separated by reduced ones. */
    i3d_walk_merge(&plan->kept);
    plan->kept.dims[plan->kept.rank++] = 1;
}

static float finish(int variant, double value, int64_t count)
{
    if (variant == I3D_REDUCE_MEAN)
        return (float)(value / (double)count);
    return (float)(variant == I3D_REDUCE_L2 ? sqrt(value) : value);
}

#define OVER_ROW(update)                                         \
    for (int64_t i = 0; i < length; i++) {                       \
        double x = (double)from[i * step];                       \
        update;                                                  \
    }                                                            \
    break

/* One output element; in points at the first of its inputs. */
static float reduce_floats(int variant, const struct plan *plan, const float *in)
{
    const struct i3d_walk *walk = &plan->reduced;
    int64_t length = walk->dims[walk->rank - 1], step = walk->strides[0][walk->rank - 1];
    int64_t rows = plan->reduced_count ? i3d_walk_rows(walk) : 0;
    double value = variant == I3D_REDUCE_MAX ? -INFINITY
        : variant == I3D_REDUCE_MIN          ? INFINITY
                                             : variant == I3D_REDUCE_PROD;
    for (int64_t row = 0; row < rows; row++) {
        const float *from = in + i3d_walk_row(walk, 0, row);
        switch (variant) {
        case I3D_REDUCE_SUM:
        case I3D_REDUCE_MEAN: OVER_ROW(value += x);
        case I3D_REDUCE_MAX: OVER_ROW(value = x > value || x != x ? x : value);
        case I3D_REDUCE_MIN: OVER_ROW(value = x < value || x != x ? x : value);
        case I3D_REDUCE_PROD: OVER_ROW(value *= x);
        case I3D_REDUCE_L1: OVER_ROW(value += fabs(x));
        case I3D_REDUCE_L2: OVER_ROW(value += x * x);
        default: break;
        }
    }
    return finish(variant, value, plan->reduced_count);
}

/* Sums and products wrap. A mean over nothing is 0. */
static int64_t reduce_ints(int variant, const struct plan *plan, const int64_t *in)
{
    const struct i3d_walk *walk = &plan->reduced;
    int64_t length = walk->dims[walk->rank - 1], step = walk->strides[0][walk->rank - 1];
    int64_t rows = plan->reduced_count ? i3d_walk_rows(walk) : 0;
    int64_t least = INT64_MAX, most = INT64_MIN;
    uint64_t sum = 0, product = 1;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t *from = in + i3d_walk_row(walk, 0, row);
        for (int64_t i = 0; i < length; i++) {
            int64_t x = from[i * step];
            least = x < least ? x : least;
            most = x > most ? x : most;
            product *= (uint64_t)x;
            sum += variant == I3D_REDUCE_L1 && x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
        }
    }
    switch (variant) {
    case I3D_REDUCE_MAX: return most;
    case I3D_REDUCE_MIN: return least;
    case I3D_REDUCE_PROD: return (int64_t)product;
    case I3D_REDUCE_MEAN: return plan->reduced_count ? (int64_t)sum / plan->reduced_count : 0;
    default: return (int64_t)sum;
    }
}

/* The maximum is whether any is true, the minimum whether all are. */
static bool reduce_bools(int variant, const struct plan *plan, const uint8_t *in)
{
    const struct i3d_walk *walk = &plan->reduced;
    int64_t length = walk->dims[walk->rank - 1], step = walk->strides[0][walk->rank - 1];
    int64_t rows = plan->reduced_count ? i3d_walk_rows(walk) : 0;
    bool decisive = variant == I3D_REDUCE_MAX;
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *from = in + i3d_walk_row(walk, 0, row);
        for (int64_t i = 0; i < length; i++)
            if ((from[i * step] != 0) == decisive)
                return decisive;
    }
    return !decisive;
}

/* The reduced axes: those listed; all of them where none is, unless that is to
 * mean none. */
static enum i3d_status chosen_axes(const struct i3d_operation *op, bool *chosen)
{
    const int64_t *axes;
    size_t count;
    bool present;
    enum i3d_status status = i3d_op_ints(op, "axes", 1, &axes, &count, &present);
    if (!status)
        status = i3d_op_axes(op, axes, count, op->inputs[0].rank, chosen);
    if (!status && !count && !i3d_int(op->node, "noop_with_empty_axes", 0))
        for (int k = 0; k < op->inputs[0].rank; k++)
            chosen[k] = true;
    return status;
}

static int reduced_dims(const struct i3d_array *in, const bool *chosen, bool keep, int64_t *dims)
{
    int rank = 0;
    for (int k = 0; k < in->rank; k++)
        if (keep || !chosen[k])
            dims[rank++] = chosen[k] ? 1 : in->dims[k];
    return rank;
}

enum i3d_status i3d_op_reduce(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    bool chosen[I3D_MAX_RANK];
    int64_t dims[I3D_MAX_RANK];
    enum i3d_status status = chosen_axes(op, chosen);
    if (status)
        return status;
    int rank = reduced_dims(in, chosen, i3d_int(op->node, "keepdims", 1) != 0, dims);
    status = i3d_op_output(op, 0, in->dtype, rank, dims);
    if (status)
        return status;
    struct plan plan;
    make_plan(in, chosen, &plan);
    int64_t elements = i3d_array_elements(&op->outputs[0]);
    I3D_PARALLEL_FOR(i3d_op_threads(op, i3d_array_elements(in)))
    for (int64_t i = 0; i < elements; i++) {
        int64_t from = i3d_walk_row(&plan.kept, 0, i);
        if (in->dtype == I3D_FLOAT32)
            ((float *)op->outputs[0].data)[i] =
                reduce_floats(op->variant, &plan, (const float *)in->data + from);
        else if (in->dtype == I3D_BOOL)
            ((uint8_t *)op->outputs[0].data)[i] =
                reduce_bools(op->variant, &plan, (const uint8_t *)in->data + from);
        else
            ((int64_t *)op->outputs[0].data)[i] =
                reduce_ints(op->variant, &plan, (const int64_t *)in->data + from);
    }
    return I3D_OK;
}

/* Whether element i of the row is to replace the best one found so far. */
static bool better(const struct i3d_array *in, int64_t candidate, int64_t best, bool last_wins)
{
    if (in->dtype == I3D_FLOAT32) {
        float x = ((const float *)in->data)[candidate], y = ((const float *)in->data)[best];
        return x > y || (last_wins && x == y);
    }
    int64_t x = ((const int64_t *)in->data)[candidate], y = ((const int64_t *)in->data)[best];
    return x > y || (last_wins && x == y);
}

enum i3d_status i3d_op_arg_max(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int axis;
    enum i3d_status status = i3d_op_axis(op, i3d_int(op->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    bool chosen[I3D_MAX_RANK] = { false };
    chosen[axis] = true;
    int64_t dims[I3D_MAX_RANK], length = in->dims[axis];
    if (!length)
        return i3d_fail(op->error, I3D_MALFORMED, "axis %d is empty", axis);
    int rank = reduced_dims(in, chosen, i3d_int(op->node, "keepdims", 1) != 0, dims);
    status = i3d_op_output(op, 0, I3D_INT64, rank, dims);
    if (status)
        return status;
    bool last_wins = i3d_int(op->node, "select_last_index", 0) != 0;
    int64_t inner = i3d_array_span(in, axis + 1, in->rank);
    int64_t elements = i3d_array_elements(&op->outputs[0]);
    for (int64_t i = 0; i < elements; i++) {
        int64_t first = i / inner * inner * length + i % inner, best = 0;
        for (int64_t k = 1; k < length; k++)
            if (better(in, first + k * inner, first + best * inner, last_wins))
                best = k;
        ((int64_t *)op->outputs[0].data)[i] = best;
    }
    return I3D_OK;
}
