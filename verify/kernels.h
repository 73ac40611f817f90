/* The innermost loops, compiled once per instruction set from one source
 * (kernels.c) and chosen at run time; not installed. They touch float32 in memory
 * and nothing else, allocate nothing and start no threads. Multiply and add may be
 * fused in them. */
#pragma once

#include "verify/convolution.h"

enum {
    I3D_MOST_TILE_ROWS = 12, /* of any instruction set */
    I3D_MOST_TILE_COLUMNS = 32,
    I3D_WINOGRAD_SIDE = 6, /* of an input tile */
    I3D_WINOGRAD_POINTS = I3D_WINOGRAD_SIDE * I3D_WINOGRAD_SIDE,
    I3D_SLACK = 32, /* floats past the end that a kernel may read, or write where it says so */
};

/* One tile of a matrix product, rows × kernels->columns of C in registers, or rows ×
 * half of these columns.
 * Row k of B starts at b + k·ldb, but every `depth` rows form a segment, and the
 * next one starts b_step further on from where the last one started, not behind it.
 * a holds the rows of one column of A beside each other, column after column. */
struct i3d_tile {
    int64_t segments, depth;
    const float *a, *b;
    const float *ahead; /* as long as a, to be fetched into the caches meanwhile: it need not
                           be memory of ours */
    int64_t ldb, b_step;
    float *c;
    int64_t ldc;
    bool accumulate;   /* onto C; otherwise onto bias, or onto 0 where that is null */
    const float *bias; /* per row */
    bool clamp;        /* the sums, to [low, high]; NaN stays */
    float low, high;
};

/* Memory of one thread is rounded up to whole cache lines, so that no two write to one. */
static inline int64_t i3d_round_up(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* One line of a pool over H and W, in two steps: the rows become a line, their maximum
 * (NaN first) or sum, and to[x] is that of the taps line[x·stride + k·dilation]. */
struct i3d_pool_line {
    bool sum;
    const float *const *rows;
    int64_t row_count, width;    /* at least one row */
    const float *rows_end;       /* as far as the rows' memory can be read */
    float *line;                 /* where padding is, it holds what changes nothing; it goes on
                                    for I3D_SLACK elements behind the last tap */
    int64_t pad;                 /* the rows' place in the line */
    int64_t taps, dilation, stride; /* stride: 1 or 2 */
    float *to, *to_end;          /* count elements, and how far anything may be written */
    int64_t count;
};

typedef void i3d_tile_kernel(const struct i3d_tile *tile);

struct i3d_kernels {
    const char *name;
    /* A tile has tall or low rows. */
    int tall, low, columns;
    i3d_tile_kernel *multiply_tall, *multiply_low, *multiply_tall_half, *multiply_low_half;

    /* to[i] = from[i·stride] */
    void (*gather)(const float *from, int64_t stride, float *to, int64_t count);
    /* The same for lines from_pitch apart, to lines one behind the other. Up to 8·stride
     * elements more are read of each, up to seven more are overwritten behind the last. */
    void (*gather_lines)(const float *from, int64_t from_pitch, int64_t stride, float *to,
                         int64_t count, int64_t lines);

    /* to[i] = activation(from[i] + bias + residual[i]); residual may be null or to,
     * from may be to. The epilogue's own bias and residual are not looked at. */
    void (*finish)(const float *from, float bias, const float *residual,
                   const struct i3d_epilogue *epilogue, float *to, int64_t count);

    /* to[i] = Σ over k of weights[k] · from[offsets[k] + i] */
    void (*correlate)(const float *from, const int64_t *offsets, const float *weights,
                      int64_t taps, float *to, int64_t count);

    /* to[i] = max(to[i], from[i]), NaN first; to[i] += from[i]. */
    void (*raise)(float *to, const float *from, int64_t count);
    void (*add)(float *to, const float *from, int64_t count);
    void (*pool_rows)(const struct i3d_pool_line *pool);
    void (*pool_taps)(const struct i3d_pool_line *pool);

    /* The largest of *largest and |a[i] - b[i]|, and *squares + Σ (a[i] - b[i])², NaN where a
     * difference is NaN; equal infinities do not differ. */
    void (*add_distances)(const float *a, const float *b, int64_t count, float *largest,
                          double *squares);
    /* The same for |a[i]|, where infinities and NaN count nothing. */
    void (*add_sizes)(const float *a, int64_t count, float *largest, double *squares);

    /* Winograd's transforms with the points 0, 1, -1, 1/2, -2 and infinity: tiles
     * of 6×6 inputs overlap so that each makes step × step outputs, step 2 to 4.
     *
     * down: six lines of a tile row, line i of the result being Bᵀ's row i over
     * them. across: every one of such six lines, count tiles, Bᵀ's row j over a
     * tile's six; point (i, j) of tile n goes to to[(6·i + j)·to_stride + n], and up
     * to seven elements behind tile count - 1 are overwritten. Lines are
     * line_stride apart; scratch is 4·line_stride elements. */
    void (*winograd_down)(const float *const lines[6], float *to, int64_t line_stride,
                          int64_t count);
    void (*winograd_across)(int step, float *lines, int64_t line_stride, float *scratch,
                            float *to, int64_t to_stride, int64_t count);
    /* The products of count tiles, point p at from[p·from_stride + n], to step lines
     * of step · count outputs, line_stride apart; up to 8·step elements more are
     * overwritten. */
    void (*winograd_back)(int step, const float *from, int64_t from_stride, float *lines,
                          int64_t line_stride, int64_t count);
    /* Eight kernels of side × side taps, tap k of kernel n at taps[8·k + n], by
     * G·taps·Gᵀ to points, point p of kernel n at points[8·p + n]. */
    void (*winograd_kernels)(int side, const double *taps, float *points);
};

/* avx2 with its fused multiply-add, avx512 its foundation: built on x86-64 alone,
 * run where the processor has them. */
extern const struct i3d_kernels i3d_kernels_plain, i3d_kernels_avx2, i3d_kernels_avx512;

/* All that this processor and system have, the plain ones first; null at the end. */
const struct i3d_kernels *i3d_kernels_at(size_t k);
