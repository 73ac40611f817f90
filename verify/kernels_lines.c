#include "verify/kernels_vector.h"

void KERNEL(gather)(const float *from, int64_t stride, float *to, int64_t count)
{
    int64_t i = 0;
    if (stride == 1) {
        for (; i + 8 <= count; i += 8)
            store8(to + i, load8(from + i));
    } else if (stride == 2) {
        /* The last element of the second load may not be there. */
        for (; i + 9 <= count; i += 8)
            store8(to + i, __builtin_shufflevector(load8(from + 2 * i), load8(from + 2 * i + 8),
                                                   0, 2, 4, 6, 8, 10, 12, 14));
    }
    for (; i < count; i++)
        to[i] = from[i * stride];
}

void KERNEL(gather_lines)(const float *from, int64_t from_pitch, int64_t stride, float *to,
                          int64_t count, int64_t lines)
{
    for (int64_t line = 0; line < lines; line++, from += from_pitch, to += count) {
        if (stride == 1) {
            for (int64_t i = 0; i < count; i += 8)
                store8(to + i, load8(from + i));
        } else if (stride == 2) {
            for (int64_t i = 0; i < count; i += 8)
                store8(to + i, __builtin_shufflevector(load8(from + 2 * i),
                                                       load8(from + 2 * i + 8),
                                                       0, 2, 4, 6, 8, 10, 12, 14));
        } else {
            for (int64_t i = 0; i < count; i++)
                to[i] = from[i * stride];
        }
    }
}

INLINE eight clamp8(eight value, float low, float high)
{
    value = choose8(value < splat8(low), splat8(low), value);
    return choose8(value > splat8(high), splat8(high), value);
}

INLINE eight activate(eight value, const struct i3d_epilogue *epilogue)
{
    switch (epilogue->activation) {
    case I3D_ACTIVATION_NONE:
        break;
    case I3D_ACTIVATION_CLAMP:
        return clamp8(value, epilogue->low, epilogue->high);
    case I3D_ACTIVATION_LEAKY:
        return choose8(value < splat8(0), value * epilogue->slope, value);
    case I3D_ACTIVATION_HARD_SWISH:
        return value * clamp8(value * (1.0f / 6) + 0.5f, 0, 1);
    case I3D_ACTIVATION_SIGMOID:
        for (int i = 0; i < 8; i++)
            value[i] = 1 / (1 + expf(-value[i]));
        break;
    case I3D_ACTIVATION_SWISH:
        for (int i = 0; i < 8; i++)
            value[i] = value[i] / (1 + expf(-value[i]));
        break;
    }
    return value;
}

void KERNEL(finish)(const float *from, float bias, const float *residual,
                   const struct i3d_epilogue *epilogue, float *to, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        eight value = load8(from + i) + bias;
        if (residual)
            value += load8(residual + i);
        store8(to + i, activate(value, epilogue));
    }
    if (i == count)
        return;
    eight value = load_part(from + i, count - i) + bias;
    if (residual)
        value += load_part(residual + i, count - i);
    store_part(to + i, activate(value, epilogue), count - i);
}

void KERNEL(correlate)(const float *from, const int64_t *offsets, const float *weights,
                      int64_t taps, float *to, int64_t count)
{
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        eight sums[4];
        UNROLL
        for (int j = 0; j < 4; j++)
            sums[j] = splat8(0);
        for (int64_t k = 0; k < taps; k++) {
            const float *at = from + offsets[k] + i;
            UNROLL
            for (int j = 0; j < 4; j++)
                sums[j] += weights[k] * load8(at + 8 * j);
        }
        UNROLL
        for (int j = 0; j < 4; j++)
            store8(to + i + 8 * j, sums[j]);
    }
    for (; i + 8 <= count; i += 8) {
        eight sum = splat8(0);
        for (int64_t k = 0; k < taps; k++)
            sum += weights[k] * load8(from + offsets[k] + i);
        store8(to + i, sum);
    }
    for (; i < count; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++)
            sum += weights[k] * from[offsets[k] + i];
        to[i] = sum;
    }
}

void KERNEL(raise)(float *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        eight a = load8(to + i), b = load8(from + i);
        store8(to + i, choose8((a > b) | (a != a), a, b));
    }
    for (; i < count; i++)
        to[i] = ((to[i] > from[i]) | (to[i] != to[i])) ? to[i] : from[i];
}

void KERNEL(add)(float *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        store8(to + i, load8(to + i) + load8(from + i));
    for (; i < count; i++)
        to[i] += from[i];
}

INLINE eight merge8(const bool sum, eight a, eight b)
{
    return sum ? a + b : choose8((a > b) | (a != a), a, b);
}

/* Eight elements of the rows from x on; count < 0: as many rows as there are. */
INLINE eight merge_rows_at(const bool sum, const int count, const struct i3d_pool_line *pool,
                           int64_t x)
{
    const float *const *rows = pool->rows;
    eight value = load8(rows[0] + x);
    if (count < 0) {
        for (int64_t row = 1; row < pool->row_count; row++)
            value = merge8(sum, value, load8(rows[row] + x));
        return value;
    }
    UNROLL
    for (int row = 1; row < count; row++)
        value = merge8(sum, value, load8(rows[row] + x));
    return value;
}

/* Fewer than eight elements, in front of padding. */
static void merge_short_rows(const struct i3d_pool_line *pool)
{
    eight_masks there = (eight_masks){ 0, 1, 2, 3, 4, 5, 6, 7 } < (int32_t)pool->width;
    eight value = splat8(0);
    for (int64_t row = 0; row < pool->row_count; row++) {
        const float *from = pool->rows[row];
        eight next = pool->rows_end - from < 8 ? load_part(from, pool->width) : load8(from);
        value = row == 0 ? next : merge8(pool->sum, value, next);
    }
    store8(pool->line + pool->pad, choose8(there, value, splat8(pool->sum ? 0 : -INFINITY)));
}

INLINE void merge_rows(const bool sum, const int count, const struct i3d_pool_line *pool)
{
    float *to = pool->line + pool->pad;
    int64_t x = 0;
    for (; x + 8 <= pool->width; x += 8)
        store8(to + x, merge_rows_at(sum, count, pool, x));
    if (x < pool->width)
        store8(to + pool->width - 8, merge_rows_at(sum, count, pool, pool->width - 8));
}

/* Every element of eight, or every second of sixteen. */
INLINE eight load_strided(const int stride, const float *from)
{
    if (stride == 1)
        return load8(from);
    return __builtin_shufflevector(load8(from), load8(from + 8), 0, 2, 4, 6, 8, 10, 12, 14);
}

INLINE eight merge_taps_at(const bool sum, const int stride, const int taps,
                           const struct i3d_pool_line *pool, int64_t x)
{
    const float *from = pool->line + stride * x;
    eight value = load_strided(stride, from);
    if (taps < 0) {
        for (int64_t tap = 1; tap < pool->taps; tap++)
            value = merge8(sum, value, load_strided(stride, from + tap * pool->dilation));
        return value;
    }
    UNROLL
    for (int tap = 1; tap < taps; tap++)
        value = merge8(sum, value, load_strided(stride, from + tap));
    return value;
}

INLINE void merge_taps(const bool sum, const int stride, const int taps,
                       const struct i3d_pool_line *pool)
{
    int64_t x = 0, count = pool->count;
    for (; x + 8 <= count; x += 8)
        store8(pool->to + x, merge_taps_at(sum, stride, taps, pool, x));
    if (x == count)
        return;
    if (count >= 8)
        store8(pool->to + count - 8, merge_taps_at(sum, stride, taps, pool, count - 8));
    else if (pool->to_end - pool->to >= 8)
        store8(pool->to, merge_taps_at(sum, stride, taps, pool, 0));
    else
        store_part(pool->to, merge_taps_at(sum, stride, taps, pool, 0), count);
}

INLINE void merge_any_rows(const bool sum, const struct i3d_pool_line *pool)
{
    if (pool->row_count == 3)
        merge_rows(sum, 3, pool);
    else if (pool->row_count == 2)
        merge_rows(sum, 2, pool);
    else
        merge_rows(sum, -1, pool);
}

void KERNEL(pool_rows)(const struct i3d_pool_line *pool)
{
    if (pool->width < 8)
        merge_short_rows(pool);
    else if (pool->sum)
        merge_any_rows(true, pool);
    else
        merge_any_rows(false, pool);
}

INLINE void merge_any_taps(const bool sum, const struct i3d_pool_line *pool)
{
    bool three = pool->taps == 3 && pool->dilation == 1;
    if (pool->stride == 1 && three)
        merge_taps(sum, 1, 3, pool);
    else if (pool->stride == 1)
        merge_taps(sum, 1, -1, pool);
    else if (three)
        merge_taps(sum, 2, 3, pool);
    else
        merge_taps(sum, 2, -1, pool);
}

void KERNEL(pool_taps)(const struct i3d_pool_line *pool)
{
    if (pool->sum)
        merge_any_taps(true, pool);
    else
        merge_any_taps(false, pool);
}
