#include "verify/kernels.h"

#include <math.h>
#include <string.h>

/* Plain C with the compiler's vectors. The build compiles this file again for
 * other instruction sets, with their names in I3D_KERNELS and the shape of their
 * tiles; without these it is for any processor. */
#ifndef I3D_KERNELS
#define I3D_KERNELS plain
#define I3D_VECTOR_FLOATS 4
#define I3D_TALL 4
#define I3D_LOW 2
#endif
#define I3D_STRING_OF(name) #name
#define I3D_STRING(name) I3D_STRING_OF(name)
#define I3D_JOINED(prefix, name) prefix##name
#define I3D_JOIN(prefix, name) I3D_JOINED(prefix, name)

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

enum { WIDTH = I3D_VECTOR_FLOATS };
typedef float vector __attribute__((vector_size(4 * I3D_VECTOR_FLOATS)));
/* Everything but matrix products works in vectors of eight: lines are short. */
typedef float eight __attribute__((vector_size(32)));
typedef int32_t eight_masks __attribute__((vector_size(32)));
typedef float four __attribute__((vector_size(16)));

/* Vectors in memory need no more alignment than their elements. */
typedef vector loose_vector __attribute__((aligned(4), may_alias));
typedef eight loose_eight __attribute__((aligned(4), may_alias));
typedef four loose_four __attribute__((aligned(4), may_alias));

INLINE eight load8(const float *from)
{
    return *(const loose_eight *)from;
}

INLINE void store8(float *to, eight value)
{
    *(loose_eight *)to = value;
}

INLINE eight splat8(float value)
{
    return (eight){ value, value, value, value, value, value, value, value };
}

INLINE eight choose8(eight_masks which, eight yes, eight no)
{
    return (eight)(((eight_masks)yes & which) | ((eight_masks)no & ~which));
}

/* The first count (below 8) of eight elements. */
INLINE eight load_part(const float *from, int64_t count)
{
    eight value = splat8(0);
    memcpy(&value, from, (size_t)count * sizeof *from);
    return value;
}

INLINE void store_part(float *to, eight value, int64_t count)
{
    memcpy(to, &value, (size_t)count * sizeof *to);
}

/* Matrix products */

/* What a row of sums is added to. */
INLINE void base_of_row(const struct i3d_tile *tile, int row, vector base[2])
{
    const float *c = tile->c + row * tile->ldc;
    if (tile->accumulate) {
        base[0] = *(const loose_vector *)c;
        base[1] = *(const loose_vector *)(c + WIDTH);
    } else {
        base[0] = base[1] = (vector){ 0 } + (tile->bias ? tile->bias[row] : 0);
    }
}

INLINE vector clamp(vector value, float low, float high)
{
    typedef int32_t masks __attribute__((vector_size(sizeof(vector))));
    vector least = (vector){ 0 } + low, most = (vector){ 0 } + high;
    masks below = value < least;
    value = (vector)(((masks)least & below) | ((masks)value & ~below));
    masks above = value > most;
    return (vector)(((masks)most & above) | ((masks)value & ~above));
}

INLINE void multiply(const struct i3d_tile *tile, const int rows)
{
    vector sums[I3D_TALL][2];
    const float *a = tile->a;
    int64_t ldb = tile->ldb;
    /* Sums of a part each start from zero, not from those of the parts before: errors of
     * long sums grow with the longest chain of additions. */
    UNROLL
    for (int row = 0; row < rows; row++)
        sums[row][0] = sums[row][1] = (vector){ 0 };
    for (int64_t segment = 0; segment < tile->segments; segment++) {
        const float *b = tile->b + segment * tile->b_step;
        for (int64_t k = 0; k < tile->depth; k++) {
            vector left = *(const loose_vector *)b, right = *(const loose_vector *)(b + WIDTH);
            UNROLL
            for (int row = 0; row < rows; row++) {
                sums[row][0] += a[row] * left;
                sums[row][1] += a[row] * right;
            }
            a += rows;
            b += ldb;
        }
    }
    UNROLL
    for (int row = 0; row < rows; row++) {
        float *c = tile->c + row * tile->ldc;
        vector base[2];
        base_of_row(tile, row, base);
        sums[row][0] += base[0];
        sums[row][1] += base[1];
        if (tile->clamp) {
            sums[row][0] = clamp(sums[row][0], tile->low, tile->high);
            sums[row][1] = clamp(sums[row][1], tile->low, tile->high);
        }
        *(loose_vector *)c = sums[row][0];
        *(loose_vector *)(c + WIDTH) = sums[row][1];
    }
}

static void multiply_tall(const struct i3d_tile *tile)
{
    multiply(tile, I3D_TALL);
}

static void multiply_low(const struct i3d_tile *tile)
{
    multiply(tile, I3D_LOW);
}

/* Lines */

static void gather(const float *from, int64_t stride, float *to, int64_t count)
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

static void finish(const float *from, float bias, const float *residual,
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

static void correlate(const float *from, const int64_t *offsets, const float *weights,
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

static void raise(float *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        eight a = load8(to + i), b = load8(from + i);
        store8(to + i, choose8((a > b) | (a != a), a, b));
    }
    for (; i < count; i++)
        to[i] = ((to[i] > from[i]) | (to[i] != to[i])) ? to[i] : from[i];
}

static void add(float *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        store8(to + i, load8(to + i) + load8(from + i));
    for (; i < count; i++)
        to[i] += from[i];
}

/* Winograd */

/* Bᵀ: row i holds the coefficients of the product of (x - p) over the other
 * finite points, the last row of that over all of them. */
INLINE void transform_input(const eight in[6], eight out[6])
{
    eight even = in[4] - in[2], odd = in[3] - in[1];
    out[0] = (in[0] - in[2]) + even + 1.5f * odd;
    out[1] = in[4] + 0.5f * in[2] + 2.5f * in[3] - in[1];
    out[2] = in[4] - 2.5f * in[2] + 0.5f * in[3] + in[1];
    out[3] = even + 2 * odd;
    out[4] = even - 0.5f * odd;
    out[5] = (in[1] - in[3]) + (in[5] - in[3]) + 1.5f * even;
}

/* Aᵀ: row k holds the points' powers k; infinity counts in the last row. */
INLINE void transform_output(const int step, const eight in[6], eight out[4])
{
    eight sum = in[1] + in[2], difference = in[1] - in[2];
    out[0] = in[0] + sum + in[3] + in[4];
    out[1] = difference + 0.5f * in[3] - 2 * in[4];
    if (step > 2)
        out[2] = sum + 0.25f * in[3] + 4 * in[4];
    if (step > 3)
        out[3] = difference + 0.125f * in[3] - 8 * in[4];
    out[step - 1] += in[5];
}

static void winograd_down(const float *const lines[6], float *to, int64_t line_stride,
                          int64_t count)
{
    eight in[6], out[6];
    int64_t x = 0;
    for (; x + 8 <= count; x += 8) {
        UNROLL
        for (int i = 0; i < 6; i++)
            in[i] = load8(lines[i] + x);
        transform_input(in, out);
        UNROLL
        for (int i = 0; i < 6; i++)
            store8(to + i * line_stride + x, out[i]);
    }
    if (x == count)
        return;
    for (int i = 0; i < 6; i++)
        in[i] = load_part(lines[i] + x, count - x);
    transform_input(in, out);
    for (int i = 0; i < 6; i++)
        store_part(to + i * line_stride + x, out[i], count - x);
}

INLINE void transpose4(four rows[4])
{
    four a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    four b = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    four c = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    four d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/* Element i of phase p is line[i·step + p]. Phases are phase_stride apart and hold
 * a multiple of four elements. */
INLINE void split_phases(const int step, const float *line, float *phases, int64_t phase_stride,
                         int64_t count)
{
    for (int64_t i = 0; i < count; i += 4) {
        if (step == 4) {
            four rows[4];
            for (int k = 0; k < 4; k++)
                rows[k] = *(const loose_four *)(line + 4 * (i + k));
            transpose4(rows);
            for (int k = 0; k < 4; k++)
                *(loose_four *)(phases + k * phase_stride + i) = rows[k];
        } else {
            for (int k = 0; k < 4; k++)
                for (int phase = 0; phase < step; phase++)
                    phases[phase * phase_stride + i + k] = line[(i + k) * step + phase];
        }
    }
}

INLINE void across(const int step, float *lines, int64_t line_stride, float *scratch, float *to,
                   int64_t to_stride, int64_t count)
{
    /* Six elements of a tile reach into the next one or two. */
    for (int i = 0; i < 6; i++) {
        split_phases(step, lines + i * line_stride, scratch, line_stride, count + 2);
        for (int64_t n = 0; n < count; n += 8) {
            eight in[6], out[6];
            UNROLL
            for (int j = 0; j < 6; j++)
                in[j] = load8(scratch + j % step * line_stride + j / step + n);
            transform_input(in, out);
            UNROLL
            for (int j = 0; j < 6; j++)
                store8(to + (6 * i + j) * to_stride + n, out[j]);
        }
    }
}

static void winograd_across(int step, float *lines, int64_t line_stride, float *scratch,
                            float *to, int64_t to_stride, int64_t count)
{
    if (step == 4)
        across(4, lines, line_stride, scratch, to, to_stride, count);
    else if (step == 3)
        across(3, lines, line_stride, scratch, to, to_stride, count);
    else
        across(2, lines, line_stride, scratch, to, to_stride, count);
}

/* Eight tiles' outputs of one line, phase by phase, into their places. */
INLINE void join_phases(const int step, const eight phases[4], float *line)
{
    if (step == 4) {
        for (int half = 0; half < 2; half++) {
            four rows[4];
            UNROLL
            for (int k = 0; k < 4; k++)
                rows[k] = half ? __builtin_shufflevector(phases[k], phases[k], 4, 5, 6, 7)
                               : __builtin_shufflevector(phases[k], phases[k], 0, 1, 2, 3);
            transpose4(rows);
            UNROLL
            for (int k = 0; k < 4; k++)
                *(loose_four *)(line + 16 * half + 4 * k) = rows[k];
        }
    } else {
        for (int n = 0; n < 8; n++)
            for (int k = 0; k < step; k++)
                line[n * step + k] = phases[k][n];
    }
}

INLINE void back(const int step, const float *from, int64_t from_stride, float *lines,
                 int64_t line_stride, int64_t count)
{
    for (int64_t n = 0; n < count; n += 8) {
        eight columns[4][6];
        UNROLL
        for (int j = 0; j < 6; j++) {
            eight in[6], out[4];
            UNROLL
            for (int i = 0; i < 6; i++)
                in[i] = load8(from + (6 * i + j) * from_stride + n);
            transform_output(step, in, out);
            UNROLL
            for (int y = 0; y < step; y++)
                columns[y][j] = out[y];
        }
        UNROLL
        for (int y = 0; y < step; y++) {
            eight out[4];
            transform_output(step, columns[y], out);
            join_phases(step, out, lines + y * line_stride + n * step);
        }
    }
}

static void winograd_back(int step, const float *from, int64_t from_stride, float *lines,
                          int64_t line_stride, int64_t count)
{
    if (step == 4)
        back(4, from, from_stride, lines, line_stride, count);
    else if (step == 3)
        back(3, from, from_stride, lines, line_stride, count);
    else
        back(2, from, from_stride, lines, line_stride, count);
}

typedef double eight_doubles __attribute__((vector_size(64)));

/* G: row i holds the powers of point i over the product of its differences from
 * the other finite points. The taps are `step` vectors apart. */
INLINE void transform_taps(const int side, const eight_doubles *taps, int step, eight_doubles out[6])
{
    static const double points[] = { 0, 1, -1, 0.5, -2 };
    static const double factors[] = { 1, 1.0 / 3, -1.0 / 3, -16.0 / 15, 1.0 / 15 };
    UNROLL
    for (int i = 0; i < 5; i++) {
        eight_doubles sum = taps[(side - 1) * step];
        UNROLL
        for (int k = side - 2; k >= 0; k--)
            sum = sum * points[i] + taps[k * step];
        out[i] = sum * factors[i];
    }
    out[5] = taps[(side - 1) * step];
}

INLINE void transform_kernels(const int side, const double *taps, float *points)
{
    eight_doubles in[25], down[5 * 6], out[6];
    memcpy(in, taps, (size_t)(side * side) * sizeof in[0]);
    for (int x = 0; x < side; x++)
        transform_taps(side, in + x, side, down + 6 * x);
    for (int i = 0; i < 6; i++) {
        transform_taps(side, down + i, 6, out);
        for (int j = 0; j < 6; j++)
            store8(points + 8 * (6 * i + j), __builtin_convertvector(out[j], eight));
    }
}

static void winograd_kernels(int side, const double *taps, float *points)
{
    if (side == 3)
        transform_kernels(3, taps, points);
    else if (side == 4)
        transform_kernels(4, taps, points);
    else
        transform_kernels(5, taps, points);
}

const struct i3d_kernels I3D_JOIN(i3d_kernels_, I3D_KERNELS) = {
    .name = I3D_STRING(I3D_KERNELS),
    .tall = I3D_TALL,
    .low = I3D_LOW,
    .columns = 2 * WIDTH,
    .multiply_tall = multiply_tall,
    .multiply_low = multiply_low,
    .gather = gather,
    .finish = finish,
    .correlate = correlate,
    .raise = raise,
    .add = add,
    .winograd_down = winograd_down,
    .winograd_across = winograd_across,
    .winograd_back = winograd_back,
    .winograd_kernels = winograd_kernels,
};
