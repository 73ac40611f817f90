#include "verify/kernels_vector.h"

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

void KERNEL(winograd_down)(const float *const lines[6], float *to, int64_t line_stride,
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

void KERNEL(winograd_across)(int step, float *lines, int64_t line_stride, float *scratch,
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

void KERNEL(winograd_back)(int step, const float *from, int64_t from_stride, float *lines,
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

void KERNEL(winograd_kernels)(int side, const double *taps, float *points)
{
    if (side == 3)
        transform_kernels(3, taps, points);
    else if (side == 4)
        transform_kernels(4, taps, points);
    else
        transform_kernels(5, taps, points);
}
