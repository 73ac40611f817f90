#include "model/shape_infer.h"

/* The contents of output 0, to be filled; its shape is known and small. */
static enum i3d_status start(const struct i3d_inference *op, struct i3d_ints **ints)
{
    *ints = i3d_arena_alloc(op->arena, 1, sizeof **ints);
    if (!*ints)
        return i3d_fail_memory(op->error);
    (*ints)->count = (int)i3d_infer_elements(&i3d_infer_out(op, 0)->shape);
    return I3D_OK;
}

static enum i3d_status finish(const struct i3d_inference *op, const struct i3d_ints *ints)
{
    i3d_infer_out(op, 0)->ints = ints;
    return I3D_OK;
}

static void store(struct i3d_ints *ints, int k, int64_t value)
{
    ints->values[k] = value;
    ints->known[k] = true;
}

static bool fits_dtype(enum i3d_dtype dtype, int64_t value)
{
    return dtype != I3D_INT32 || (value >= INT32_MIN && value <= INT32_MAX);
}

enum i3d_status i3d_ints_of_tensor(struct i3d_arena *arena, const struct i3d_tensor *tensor,
                                   const struct i3d_ints **ints, struct i3d_error *error)
{
    *ints = NULL;
    bool is_integer = tensor->dtype == I3D_INT64 || tensor->dtype == I3D_INT32;
    if (!is_integer || !tensor->source || tensor->rank > 1
        || i3d_tensor_elements(tensor) > I3D_MAX_KNOWN_INTS)
        return I3D_OK;
    struct i3d_ints *fresh = i3d_arena_alloc(arena, 1, sizeof *fresh);
    if (!fresh)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_tensor_integers(tensor, fresh->values, I3D_MAX_KNOWN_INTS,
                                                 &fresh->count, error);
    if (status)
        return status;
    for (int k = 0; k < fresh->count; k++)
        fresh->known[k] = true;
    *ints = fresh;
    return I3D_OK;
}

/* Identity, Cast, Reshape and its kind: the same elements in the same order. */
enum i3d_status i3d_ints_copy(const struct i3d_inference *op)
{
    const struct i3d_ints *in = i3d_infer_in(op, 0)->ints;
    enum i3d_dtype dtype = i3d_infer_out(op, 0)->shape.dtype;
    struct i3d_ints *out;
    enum i3d_status status = in ? start(op, &out) : I3D_OK;
    if (!in || status)
        return status;
    if (out->count != in->count)
        return I3D_OK;
    for (int k = 0; k < out->count; k++)
        if (in->known[k] && fits_dtype(dtype, in->values[k]))
            store(out, k, in->values[k]);
    return finish(op, out);
}

enum i3d_status i3d_ints_shape(const struct i3d_inference *op)
{
    const struct i3d_shape *in = &i3d_infer_in(op, 0)->shape;
    struct i3d_ints *out;
    enum i3d_status status = start(op, &out);
    if (status)
        return status;
    int64_t first = i3d_int(op->node, "start", 0);
    first = first < 0 ? first + in->rank : first;
    first = first < 0 ? 0 : first;
    for (int k = 0; k < out->count; k++)
        if (in->dims[first + k] >= 0)
            store(out, k, in->dims[first + k]);
    return finish(op, out);
}

enum i3d_status i3d_ints_size(const struct i3d_inference *op)
{
    int64_t elements = i3d_infer_elements(&i3d_infer_in(op, 0)->shape);
    struct i3d_ints *out;
    enum i3d_status status = start(op, &out);
    if (status || elements < 0)
        return status;
    store(out, 0, elements);
    return finish(op, out);
}

/* Elements in C order from a view of in: index (i0, i1, …) of the output is
 * element offset + Σ ik·strides[k]. Every index has to lie inside in. */
static void pick(const struct i3d_ints *in, const struct i3d_shape *shape, int64_t offset,
                 const int64_t *strides, struct i3d_ints *out)
{
    for (int k = 0; k < out->count; k++) {
        int64_t from = offset;
        for (int axis = shape->rank - 1, rest = k; axis >= 0; axis--) {
            from += rest % shape->dims[axis] * strides[axis];
            rest /= (int)shape->dims[axis];
        }
        out->values[k] = in->values[from];
        out->known[k] = in->known[from];
    }
}

static void strides_of(const struct i3d_shape *shape, int64_t *strides)
{
    int64_t step = 1;
    for (int k = shape->rank - 1; k >= 0; k--) {
        strides[k] = step;
        step *= shape->dims[k];
    }
}

/* Strides that lay in over an output of rank: an axis of size 1 repeats. */
static void broadcast_strides(const struct i3d_shape *in, int rank, int64_t *strides)
{
    int64_t own[I3D_MAX_RANK];
    strides_of(in, own);
    for (int k = 0; k < rank; k++) {
        int axis = k - (rank - in->rank);
        strides[k] = axis < 0 || in->dims[axis] == 1 ? 0 : own[axis];
    }
}

enum i3d_status i3d_ints_expand(const struct i3d_inference *op)
{
    const struct i3d_fact *in = i3d_infer_in(op, 0);
    const struct i3d_shape *shape = &i3d_infer_out(op, 0)->shape;
    int64_t strides[I3D_MAX_RANK];
    struct i3d_ints *out;
    enum i3d_status status = in->ints ? start(op, &out) : I3D_OK;
    if (!in->ints || status)
        return status;
    broadcast_strides(&in->shape, shape->rank, strides);
    pick(in->ints, shape, 0, strides, out);
    return finish(op, out);
}

enum i3d_status i3d_ints_transpose(const struct i3d_inference *op)
{
    const struct i3d_fact *in = i3d_infer_in(op, 0);
    const struct i3d_shape *shape = &i3d_infer_out(op, 0)->shape;
    int64_t own[I3D_MAX_RANK], strides[I3D_MAX_RANK];
    int permutation[I3D_MAX_RANK];
    struct i3d_ints *out;
    if (!in->ints)
        return I3D_OK;
    enum i3d_status status = i3d_infer_permutation(op, shape->rank, permutation);
    if (!status)
        status = start(op, &out);
    if (status)
        return status;
    strides_of(&in->shape, own);
    for (int k = 0; k < shape->rank; k++)
        strides[k] = own[permutation[k]];
    pick(in->ints, shape, 0, strides, out);
    return finish(op, out);
}

enum i3d_status i3d_ints_slice(const struct i3d_inference *op)
{
    const struct i3d_fact *in = i3d_infer_in(op, 0);
    const struct i3d_shape *shape = &i3d_infer_out(op, 0)->shape;
    struct i3d_infer_slice slice;
    bool resolved;
    if (!in->ints)
        return I3D_OK;
    enum i3d_status status = i3d_infer_slice(op, &slice, &resolved);
    struct i3d_ints *out;
    if (!status && resolved)
        status = start(op, &out);
    if (status || !resolved)
        return status;
    int64_t own[I3D_MAX_RANK], strides[I3D_MAX_RANK], offset = 0;
    strides_of(&in->shape, own);
    for (int k = 0; k < shape->rank; k++) {
        offset += own[k] * slice.start[k];
        /* A step beyond the axis is never taken, and might overflow. */
        strides[k] = slice.count[k] > 1 ? own[k] * slice.step[k] : 0;
    }
    pick(in->ints, shape, offset, strides, out);
    return finish(op, out);
}

enum i3d_status i3d_ints_gather(const struct i3d_inference *op)
{
    const struct i3d_fact *data = i3d_infer_in(op, 0), *indices = i3d_infer_in(op, 1);
    struct i3d_ints *out;
    int axis;
    if (!data->ints || !indices->ints)
        return I3D_OK;
    enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", 0), data->shape.rank,
                                            &axis);
    if (!status)
        status = start(op, &out);
    if (status)
        return status;
    int64_t size = data->shape.dims[axis];
    int64_t inner = i3d_element_count(data->shape.rank - axis - 1, data->shape.dims + axis + 1);
    for (int k = 0; k < out->count; k++) {
        int position = k / (int)inner % indices->ints->count;
        int64_t outer = k / inner / indices->ints->count;
        if (!indices->ints->known[position])
            continue;
        int64_t index = indices->ints->values[position];
        if (index < -size || index >= size)
            return i3d_fail(op->error, I3D_MALFORMED, "index %lld is out of range for size %lld",
                            (long long)index, (long long)size);
        index = index < 0 ? index + size : index;
        int64_t from = (outer * size + index) * inner + k % inner;
        out->values[k] = data->ints->values[from];
        out->known[k] = data->ints->known[from];
    }
    return finish(op, out);
}

enum i3d_status i3d_ints_concat(const struct i3d_inference *op)
{
    const struct i3d_shape *shape = &i3d_infer_out(op, 0)->shape;
    struct i3d_ints *out;
    int axis;
    enum i3d_status status = i3d_infer_axis(op, i3d_int(op->node, "axis", 1), shape->rank, &axis);
    if (!status)
        status = start(op, &out);
    if (status || !out->count)
        return status;
    int inner = (int)i3d_element_count(shape->rank - axis - 1, shape->dims + axis + 1);
    int outer_step = inner * (int)shape->dims[axis];
    int begin = 0;
    for (size_t i = 0; i < op->node->input_count; i++) {
        const struct i3d_fact *in = i3d_infer_in(op, i);
        int run = inner * (int)in->shape.dims[axis];
        int outer_count = out->count / outer_step;
        if (begin + run > outer_step) /* a graph that overwrites its own inputs */
            return I3D_OK;
        for (int outer = 0; outer < outer_count && in->ints; outer++) {
            for (int k = 0; k < run; k++) {
                int to = outer * outer_step + begin + k;
                out->values[to] = in->ints->values[outer * run + k];
                out->known[to] = in->ints->known[outer * run + k];
            }
        }
        begin += run;
    }
    return finish(op, out);
}

/* False where the result does not exist or does not fit. Integer division
 * truncates. */
static bool calculate(const struct i3d_node *node, int64_t a, int64_t b, int64_t *result)
{
    if (i3d_is(node, "Add"))
        return !__builtin_add_overflow(a, b, result);
    if (i3d_is(node, "Sub"))
        return !__builtin_sub_overflow(a, b, result);
    if (i3d_is(node, "Mul"))
        return !__builtin_mul_overflow(a, b, result);
    if (b == 0 || (a == INT64_MIN && b == -1))
        return false;
    *result = a / b;
    return true;
}

enum i3d_status i3d_ints_arithmetic(const struct i3d_inference *op)
{
    const struct i3d_fact *a = i3d_infer_in(op, 0), *b = i3d_infer_in(op, 1);
    const struct i3d_shape *shape = &i3d_infer_out(op, 0)->shape;
    struct i3d_ints x = { 0 }, y = { 0 }, *out;
    int64_t strides[I3D_MAX_RANK];
    if (op->opset < 7 || !a->ints || !b->ints)
        return I3D_OK;
    enum i3d_status status = start(op, &out);
    if (status)
        return status;
    x.count = y.count = out->count;
    broadcast_strides(&a->shape, shape->rank, strides);
    pick(a->ints, shape, 0, strides, &x);
    broadcast_strides(&b->shape, shape->rank, strides);
    pick(b->ints, shape, 0, strides, &y);
    for (int k = 0; k < out->count; k++) {
        int64_t result;
        if (x.known[k] && y.known[k] && calculate(op->node, x.values[k], y.values[k], &result)
            && fits_dtype(shape->dtype, result))
            store(out, k, result);
    }
    return finish(op, out);
}

enum i3d_status i3d_ints_constant(const struct i3d_inference *op)
{
    const struct i3d_tensor *tensor = i3d_infer_tensor(op, "value");
    if (tensor)
        return i3d_ints_of_tensor(op->arena, tensor, &i3d_infer_out(op, 0)->ints, op->error);
    struct i3d_ints *out;
    enum i3d_status status = start(op, &out);
    if (status)
        return status;
    size_t count;
    const int64_t *listed = i3d_ints(op->node, "value_ints", &count);
    for (int k = 0; k < out->count; k++)
        store(out, k, listed ? listed[k] : i3d_int(op->node, "value_int", 0));
    return finish(op, out);
}

enum i3d_status i3d_ints_constant_of_shape(const struct i3d_inference *op)
{
    const struct i3d_tensor *tensor = i3d_infer_tensor(op, "value");
    const struct i3d_ints *value = NULL;
    struct i3d_ints *out;
    enum i3d_status status =
        tensor ? i3d_ints_of_tensor(op->arena, tensor, &value, op->error) : I3D_OK;
    if (!status && value && value->count == 1)
        status = start(op, &out);
    if (status || !value || value->count != 1)
        return status;
    for (int k = 0; k < out->count; k++)
        store(out, k, value->values[0]);
    return finish(op, out);
}
