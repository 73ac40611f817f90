#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/walk.h"

#include <math.h>
#include <string.h>

/* Operators on two arrays, element by element, with numpy's broadcasting. */

/* One row: a and b advance by 0 or 1, or by any stride. The usual cases get a
 * loop that the compiler can vectorise. */
#define ROW_LOOPS(ctype, expression)                            \
    do {                                                        \
        if (step_a == 1 && step_b == 1)                         \
            ROW_LOOP(ctype, a[i], b[i], expression)             \
        else if (step_a == 1 && step_b == 0)                    \
            ROW_LOOP(ctype, a[i], b[0], expression)             \
        else if (step_a == 0 && step_b == 1)                    \
            ROW_LOOP(ctype, a[0], b[i], expression)             \
        else                                                    \
            ROW_LOOP(ctype, a[i * step_a], b[i * step_b], expression) \
    } while (0)
#define ROW_LOOP(ctype, at_a, at_b, expression)                 \
    for (int64_t i = 0; i < length; i++) {                      \
        ctype x = at_a, y = at_b;                               \
        out[i] = (expression);                                  \
    }

static void float_row(int variant, const float *a, int64_t step_a, const float *b, int64_t step_b,
                      float *out, int64_t length)
{
    switch (variant) {
    case I3D_MEAN:
    case I3D_ADD: ROW_LOOPS(float, x + y); break;
    case I3D_SUB: ROW_LOOPS(float, x - y); break;
    case I3D_MUL: ROW_LOOPS(float, x * y); break;
    case I3D_DIV: ROW_LOOPS(float, x / y); break;
    /* A NaN on either side stays one. */
    case I3D_MIN: ROW_LOOPS(float, x < y || x != x ? x : y); break;
    case I3D_MAX: ROW_LOOPS(float, x > y || x != x ? x : y); break;
    case I3D_PRELU: ROW_LOOPS(float, x < 0 ? x * y : x); break;
    default: break;
    }
}

/* Overflow wraps, as two's complement does, and divisors are not 0. */
static int64_t divide(int64_t x, int64_t y)
{
    return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

static void int_row(int variant, const int64_t *a, int64_t step_a, const int64_t *b,
                    int64_t step_b, int64_t *out, int64_t length)
{
    switch (variant) {
    case I3D_ADD: ROW_LOOPS(int64_t, (int64_t)((uint64_t)x + (uint64_t)y)); break;
    case I3D_SUB: ROW_LOOPS(int64_t, (int64_t)((uint64_t)x - (uint64_t)y)); break;
    case I3D_MUL: ROW_LOOPS(int64_t, (int64_t)((uint64_t)x * (uint64_t)y)); break;
    case I3D_DIV: ROW_LOOPS(int64_t, divide(x, y)); break;
    case I3D_MIN: ROW_LOOPS(int64_t, x < y ? x : y); break;
    case I3D_MAX: ROW_LOOPS(int64_t, x > y ? x : y); break;
    case I3D_PRELU: ROW_LOOPS(int64_t, x < 0 ? (int64_t)((uint64_t)x * (uint64_t)y) : x); break;
    default: break;
    }
}

static void walk_rows(const struct i3d_operation *op, int variant, struct i3d_walk walk,
                      const struct i3d_array *a, const struct i3d_array *b, struct i3d_array *out)
{
    i3d_walk_merge(&walk);
    int64_t rows = i3d_walk_rows(&walk), length = walk.dims[walk.rank - 1];
    int64_t step_a = walk.strides[0][walk.rank - 1], step_b = walk.strides[1][walk.rank - 1];
    if (!out->data || !length)
        return;
    I3D_PARALLEL_FOR(i3d_op_threads(op, rows * length))
    for (int64_t row = 0; row < rows; row++) {
        int64_t at_a = i3d_walk_row(&walk, 0, row), at_b = i3d_walk_row(&walk, 1, row);
        if (out->dtype == I3D_FLOAT32)
            float_row(variant, (float *)a->data + at_a, step_a, (float *)b->data + at_b, step_b,
                      (float *)out->data + row * length, length);
        else
            int_row(variant, (int64_t *)a->data + at_a, step_a, (int64_t *)b->data + at_b, step_b,
                    (int64_t *)out->data + row * length, length);
    }
}

static enum i3d_status mismatch(const struct i3d_operation *op, const struct i3d_array *a,
                                const struct i3d_array *b)
{
    char left[160], right[160];
    i3d_shape_string(a->rank, a->dims, left, sizeof left);
    i3d_shape_string(b->rank, b->dims, right, sizeof right);
    return i3d_fail(op->error, I3D_MALFORMED, "%s and %s do not broadcast", left, right);
}

static enum i3d_status check_pair(const struct i3d_operation *op, int variant,
                                  const struct i3d_array *a, const struct i3d_array *b,
                                  struct i3d_walk *walk)
{
    if (a->dtype != b->dtype)
        return i3d_fail(op->error, I3D_MALFORMED, "its inputs are %s and %s",
                        i3d_dtype_name(a->dtype), i3d_dtype_name(b->dtype));
    if (!i3d_walk_broadcast(a, b, walk))
        return mismatch(op, a, b);
    if (variant == I3D_DIV && a->dtype == I3D_INT64) {
        int64_t count = i3d_array_elements(b);
        for (int64_t i = 0; i < count; i++)
            if (!((int64_t *)b->data)[i])
                return i3d_fail(op->error, I3D_MALFORMED, "an integer is divided by 0");
    }
    return I3D_OK;
}

/* Before operator set 7 the second operand was fitted to the first only where
 * `broadcast` said so, from `axis` on or to the last axes. */
static enum i3d_status align_old_operand(const struct i3d_operation *op, struct i3d_array *b)
{
    int rank = op->inputs[0].rank;
    int64_t axis = i3d_int(op->node, "axis", rank - b->rank);
    if (op->opset >= 7 || !i3d_int(op->node, "broadcast", 0)
        || !i3d_attribute(op->node, "axis"))
        return I3D_OK;
    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis + b->rank > rank)
        return i3d_fail(op->error, I3D_MALFORMED, "axis %lld does not fit its operands",
                        (long long)i3d_int(op->node, "axis", 0));
    int trailing = rank - (int)axis - b->rank;
    for (int k = 0; k < trailing; k++)
        b->dims[b->rank + k] = 1;
    b->rank += trailing;
    return I3D_OK;
}

static enum i3d_status apply(struct i3d_operation *op, int variant, const struct i3d_array *b)
{
    const struct i3d_array *a = &op->inputs[0];
    struct i3d_walk walk;
    enum i3d_status status = check_pair(op, variant, a, b, &walk);
    if (status)
        return status;
    struct i3d_array shape = { .rank = walk.rank };
    memcpy(shape.dims, walk.dims, sizeof shape.dims);
    status = i3d_array_same_shape(a, &shape)
        ? i3d_op_output_like_first(op)
        : i3d_op_output(op, 0, a->dtype, walk.rank, walk.dims);
    if (!status)
        walk_rows(op, variant, walk, a, b, &op->outputs[0]);
    return status;
}

enum i3d_status i3d_op_binary(struct i3d_operation *op)
{
    struct i3d_array b = op->inputs[1];
    enum i3d_status status = align_old_operand(op, &b);
    return status ? status : apply(op, op->variant, &b);
}

enum i3d_status i3d_op_prelu(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    struct i3d_array slope = op->inputs[1];
    /* Before operator set 7 the slopes were one per channel. */
    if (op->opset < 7 && slope.rank == 1 && in->rank > 2) {
        slope.rank = in->rank - 1;
        for (int k = 1; k < slope.rank; k++)
            slope.dims[k] = 1;
    }
    struct i3d_walk walk;
    if (!i3d_walk_broadcast(in, &slope, &walk) || walk.rank != in->rank
        || memcmp(walk.dims, in->dims, (size_t)walk.rank * sizeof *walk.dims))
        return mismatch(op, in, &slope);
    return apply(op, I3D_PRELU, &slope);
}

/* The common shape of all operands. */
static enum i3d_status common_shape(const struct i3d_operation *op, struct i3d_array *shape)
{
    *shape = (struct i3d_array){ .dtype = op->inputs[0].dtype };
    for (size_t k = 0; k < op->input_count; k++) {
        struct i3d_walk walk;
        const struct i3d_array *in = &op->inputs[k];
        if (in->dtype != shape->dtype)
            return i3d_fail(op->error, I3D_MALFORMED, "its inputs are %s and %s",
                            i3d_dtype_name(shape->dtype), i3d_dtype_name(in->dtype));
        if (!i3d_walk_broadcast(shape, in, &walk))
            return mismatch(op, shape, in);
        shape->rank = walk.rank;
        memcpy(shape->dims, walk.dims, sizeof shape->dims);
    }
    return I3D_OK;
}

enum i3d_status i3d_op_variadic(struct i3d_operation *op)
{
    struct i3d_array shape;
    struct i3d_walk walk;
    enum i3d_status status = common_shape(op, &shape);
    if (!status)
        status = i3d_op_output(op, 0, shape.dtype, shape.rank, shape.dims);
    if (status)
        return status;
    struct i3d_array *out = &op->outputs[0];
    i3d_walk_broadcast(&op->inputs[0], out, &walk);
    if (out->data)
        i3d_walk_copy(&walk, op->inputs[0].data, i3d_dtype_size(out->dtype), out->data,
                      op->threads);
    for (size_t k = 1; k < op->input_count; k++) {
        i3d_walk_broadcast(out, &op->inputs[k], &walk);
        walk_rows(op, op->variant, walk, out, &op->inputs[k], out);
    }
    if (op->variant == I3D_MEAN) {
        float count = (float)op->input_count;
        struct i3d_array divisor = { .dtype = I3D_FLOAT32, .data = &count };
        i3d_walk_broadcast(out, &divisor, &walk);
        walk_rows(op, I3D_DIV, walk, out, &divisor, out);
    }
    return I3D_OK;
}

/* base to the power of exponent, wrapping; a negative power of what is not 1 or
 * -1 is a fraction, which rounds to 0. */
static int64_t int_power(int64_t base, int64_t exponent)
{
    if (exponent < 0)
        return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    uint64_t power = 1, square = (uint64_t)base;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            power *= square;
        square *= square;
    }
    return (int64_t)power;
}

/* The bases and exponents may be of two dtypes; the result has the base's. */
static void power_row(const struct i3d_array *a, int64_t at_a, int64_t step_a,
                      const struct i3d_array *b, int64_t at_b, int64_t step_b, void *out,
                      int64_t length)
{
    const float *float_a = a->data, *float_b = b->data;
    const int64_t *int_a = a->data, *int_b = b->data;
    bool base_is_float = a->dtype == I3D_FLOAT32, exponent_is_float = b->dtype == I3D_FLOAT32;
    for (int64_t i = 0; i < length; i++, at_a += step_a, at_b += step_b) {
        if (base_is_float && exponent_is_float) {
            ((float *)out)[i] = powf(float_a[at_a], float_b[at_b]);
        } else if (base_is_float) {
            ((float *)out)[i] = (float)pow((double)float_a[at_a], (double)int_b[at_b]);
        } else if (exponent_is_float) {
            double power = pow((double)int_a[at_a], (double)float_b[at_b]);
            i3d_from_double(I3D_INT64, &power, (int64_t *)out + i, 1);
        } else {
            ((int64_t *)out)[i] = int_power(int_a[at_a], int_b[at_b]);
        }
    }
}

enum i3d_status i3d_op_power(struct i3d_operation *op)
{
    const struct i3d_array *a = &op->inputs[0];
    struct i3d_array b = op->inputs[1];
    struct i3d_walk walk;
    enum i3d_status status = align_old_operand(op, &b);
    if (!status && !i3d_walk_broadcast(a, &b, &walk))
        status = mismatch(op, a, &b);
    if (!status)
        status = i3d_op_output(op, 0, a->dtype, walk.rank, walk.dims);
    if (status || !op->outputs[0].data)
        return status;
    i3d_walk_merge(&walk);
    int64_t rows = i3d_walk_rows(&walk), length = walk.dims[walk.rank - 1];
    int64_t step_a = walk.strides[0][walk.rank - 1], step_b = walk.strides[1][walk.rank - 1];
    size_t size = i3d_dtype_size(a->dtype);
    I3D_PARALLEL_FOR(i3d_op_threads(op, rows * length))
    for (int64_t row = 0; row < rows; row++)
        power_row(a, i3d_walk_row(&walk, 0, row), step_a, &b, i3d_walk_row(&walk, 1, row), step_b,
                  (char *)op->outputs[0].data + (size_t)(row * length) * size, length);
    return I3D_OK;
}
