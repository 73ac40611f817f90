#include "verify/kernels.h"
#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/window3d.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pools, an axis at a time, each step in vectors: the frames that a window sees
 * become one frame, that frame's lines become one line, and that line's taps the
 * output. */

enum { LINES = 8 }; /* of the output at a time */

enum pool { POOL_MAX, POOL_SUM, POOL_POWERS };

struct pooling {
    struct i3d_window3d window;
    enum pool kind;
    float p; /* exponent of POOL_POWERS */
    const struct i3d_kernels *kernels;
};

/* A thread's memory: a frame and a line of the input, or LINES of them with their pads;
 * a line of the output; pointers to the rows of a window. */
struct pool_scratch {
    float *frame, *column, *taps;
    const float **rows;
};

struct pool_sizes {
    int64_t frame, column, taps, rows; /* elements of each; whole cache lines */
};

static void start(const struct pooling *pool, float *to, int64_t count)
{
    float empty = pool->kind == POOL_MAX ? -INFINITY : 0;
    for (int64_t i = 0; i < count; i++)
        to[i] = empty;
}

static void merge(const struct pooling *pool, float *to, const float *from, int64_t count)
{
    if (pool->kind == POOL_MAX)
        pool->kernels->raise(to, from, count);
    else
        pool->kernels->add(to, from, count);
}

/* Merges what is behind the first of several, which is copied. */
static void merge_next(const struct pooling *pool, bool is_first, float *to, const float *from,
                       int64_t count)
{
    if (is_first)
        memcpy(to, from, (size_t)count * sizeof *to);
    else
        merge(pool, to, from, count);
}

static void add_powers(const struct pooling *pool, float *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += pool->p == 2 ? from[i] * from[i] : powf(fabsf(from[i]), pool->p);
}

/* The frames that window t sees as one: a frame of the input itself, if that is the
 * only one. */
static const float *merge_frames(const struct pooling *pool, const float *in, int64_t t,
                                 float *frame)
{
    const struct i3d_window *window = &pool->window.window;
    int64_t size = window->in[1] * window->in[2];
    bool is_first = true;
    if (pool->kind == POOL_POWERS)
        start(pool, frame, size);
    for (int64_t k = 0; k < window->kernel[0]; k++) {
        bool inside;
        const float *from = in + i3d_tap_frame(&pool->window, t, k, &inside) * size;
        if (!inside)
            continue;
        if (pool->kind == POOL_POWERS)
            add_powers(pool, frame, from, size);
        else if (window->kernel[0] == 1)
            return from;
        else
            merge_next(pool, is_first, frame, from, size);
        is_first = false;
    }
    if (is_first)
        start(pool, frame, size);
    return frame;
}

/* A line of the output from the lines of its window as one. */
static void merge_taps(const struct pooling *pool, const float *column, float *taps, float *to)
{
    const struct i3d_window *window = &pool->window.window;
    start(pool, to, window->out[2]);
    for (int64_t k = 0; k < window->kernel[2]; k++) {
        int64_t low, high;
        i3d_tap_range(window, 2, k, &low, &high);
        if (low >= high)
            continue;
        const float *from = column + i3d_tap_position(window, 2, low, k);
        if (window->stride[2] > 1) {
            pool->kernels->gather(from, window->stride[2], taps, high - low);
            from = taps;
        }
        merge(pool, to + low, from, high - low);
    }
}

/* Floats of a line with its pads as the kernel wants it; 0 where it does without. */
static int64_t padded_line(const struct i3d_window *window)
{
    int64_t reach = (window->kernel[2] - 1) * window->dilation[2] + 1;
    if (window->stride[2] > 2 || window->pad_begin[2] > window->in[2] + I3D_SLACK
        || reach > 2 * (window->in[2] + I3D_SLACK))
        return 0;
    int64_t seen = (window->out[2] - 1) * window->stride[2] + reach;
    int64_t there = window->pad_begin[2] + window->in[2];
    return (seen > there ? seen : there) + I3D_SLACK;
}

/* Finds the rows that line y of the output sees. */
static int64_t find_rows(const struct i3d_window *window, const float *frame, int64_t y,
                         const float **rows)
{
    int64_t count = 0;
    for (int64_t k = 0; k < window->kernel[1]; k++) {
        int64_t line = i3d_tap_position(window, 1, y, k);
        if (line >= 0 && line < window->in[1])
            rows[count++] = frame + line * window->in[2];
    }
    return count;
}

/* Some lines of a frame at a time: what was just stored as eight elements cannot be
 * loaded at once as eight others. frame_end:
 * as far as the frame's memory can be read. */
static void pool_lines(const struct pooling *pool, const float *frame, const float *frame_end,
                       const struct pool_scratch *scratch, float *to)
{
    const struct i3d_window *window = &pool->window.window;
    int64_t lines = window->out[1], width = window->out[2], line_floats = padded_line(window);
    struct i3d_pool_line line = {
        .sum = pool->kind != POOL_MAX, .rows = scratch->rows, .width = window->in[2],
        .rows_end = frame_end, .pad = window->pad_begin[2], .taps = window->kernel[2],
        .dilation = window->dilation[2], .stride = window->stride[2],
        .to_end = to + lines * width, .count = width,
    };
    for (int64_t first = 0; first < lines; first += LINES) {
        int64_t count = lines - first < LINES ? lines - first : LINES;
        for (int64_t k = 0; k < count; k++) {
            line.line = scratch->column + k * line_floats;
            line.row_count = find_rows(window, frame, first + k, scratch->rows);
            if (line.row_count)
                pool->kernels->pool_rows(&line);
            else
                start(pool, line.line, line_floats);
        }
        for (int64_t k = 0; k < count; k++) {
            line.line = scratch->column + k * line_floats;
            line.to = to + (first + k) * width;
            pool->kernels->pool_taps(&line);
        }
    }
}

/* Frame t of the output of one channel. in_end: of the whole input. */
static void pool_frame(const struct pooling *pool, const float *in, const float *in_end,
                       int64_t t, const struct pool_scratch *scratch, float *to)
{
    const struct i3d_window *window = &pool->window.window;
    const float *frame = merge_frames(pool, in, t, scratch->frame);
    int64_t size = window->in[1] * window->in[2];
    if (padded_line(window)) {
        pool_lines(pool, frame, frame == scratch->frame ? frame + size : in_end, scratch, to);
        return;
    }
    for (int64_t y = 0; y < window->out[1]; y++) {
        int64_t rows = find_rows(window, frame, y, scratch->rows);
        if (!rows)
            start(pool, scratch->column, window->in[2]);
        for (int64_t k = 0; k < rows; k++)
            merge_next(pool, k == 0, scratch->column, scratch->rows[k], window->in[2]);
        merge_taps(pool, scratch->column, scratch->taps, to + y * window->out[2]);
    }
}

static struct pool_sizes scratch_sizes(const struct i3d_window *window)
{
    int64_t padded = padded_line(window);
    return (struct pool_sizes){
        .frame = i3d_round_up(window->in[1] * window->in[2], 16),
        .column = i3d_round_up(padded ? LINES * padded : window->in[2], 16),
        .taps = i3d_round_up(window->out[2], 16),
        .rows = i3d_round_up(window->kernel[1] < window->in[1] ? window->kernel[1]
                                                               : window->in[1], 8),
    };
}

static bool open_scratch(const struct pooling *pool, int threads, struct pool_scratch *scratch)
{
    struct pool_sizes sizes = scratch_sizes(&pool->window.window);
    int64_t share = sizes.frame + sizes.column + sizes.taps;
    scratch->frame = aligned_alloc(64, (size_t)(threads * share + 16) * sizeof *scratch->frame);
    scratch->rows = aligned_alloc(64, (size_t)(threads * sizes.rows + 8) * sizeof *scratch->rows);
    if (!scratch->frame || !scratch->rows)
        return false;
    for (int k = 0; k < threads; k++)
        start(pool, scratch->frame + k * share + sizes.frame, sizes.column);
    return true;
}

static struct pool_scratch own_scratch(const struct i3d_window *window,
                                       const struct pool_scratch *scratch)
{
    struct pool_sizes sizes = scratch_sizes(window);
    int64_t share = sizes.frame + sizes.column + sizes.taps, thread = omp_get_thread_num();
    struct pool_scratch own = { .frame = scratch->frame + thread * share,
                                .rows = scratch->rows + thread * sizes.rows };
    own.column = own.frame + sizes.frame;
    own.taps = own.column + sizes.column;
    return own;
}

/* Makes output 0 and fills it with the windows' maxima or sums. */
static enum i3d_status pool_windows(struct i3d_operation *op, const struct pooling *pool)
{
    const struct i3d_array *in = &op->inputs[0];
    const struct i3d_window *window = &pool->window.window;
    int64_t dims[I3D_MAX_RANK];
    memcpy(dims, in->dims, sizeof dims);
    for (int k = 2; k < in->rank; k++)
        dims[k] = window->out[3 - in->rank + k];
    enum i3d_status status = i3d_op_output(op, 0, I3D_FLOAT32, in->rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    int64_t in_size = i3d_array_span(in, 2, in->rank), out_frame = window->out[1] * window->out[2];
    int64_t frames = window->out[0], total = in->dims[0] * in->dims[1] * frames;
    int threads = i3d_op_threads(op, in->dims[0] * in->dims[1] * in_size);
    const float *in_end = (float *)in->data + i3d_array_elements(in);
    struct pool_scratch scratch = { 0 };
    if (open_scratch(pool, threads, &scratch)) {
        I3D_PARALLEL_FOR(threads)
        for (int64_t i = 0; i < total; i++) {
            struct pool_scratch own = own_scratch(window, &scratch);
            pool_frame(pool, (float *)in->data + i / frames * in_size, in_end, i % frames, &own,
                       (float *)op->outputs[0].data + i * out_frame);
        }
    } else {
        status = i3d_fail_memory(op->error);
    }
    free(scratch.frame);
    free(scratch.rows);
    return status;
}

enum i3d_status i3d_op_max_pool(struct i3d_operation *op)
{
    struct pooling pool = { .kind = POOL_MAX, .kernels = i3d_best_kernels() };
    enum i3d_status status = i3d_op_pool_window(op, &pool.window);
    return status ? status : pool_windows(op, &pool);
}

/* How many elements the mean over window i of an axis is over: those of the
 * input, with the padding where that is counted, never ceil_mode's excess. */
static int64_t count_taps(const struct i3d_window3d *window, int axis, int64_t i, bool with_padding)
{
    const struct i3d_window *w = &window->window;
    int64_t count = 0;
    if (axis == 0 && window->clamp_time)
        return w->kernel[0];
    int64_t first = with_padding ? -w->pad_begin[axis] : 0;
    int64_t end = w->in[axis] + (with_padding ? w->pad_end[axis] : 0);
    for (int64_t k = 0; k < w->kernel[axis]; k++) {
        int64_t position = i3d_tap_position(w, axis, i, k);
        count += position >= first && position < end;
    }
    return count;
}

/* Divides the sums by their counts, which are products over the axes. */
static enum i3d_status divide_by_counts(struct i3d_operation *op, const struct i3d_window3d *window)
{
    const int64_t *out = window->window.out;
    bool with_padding = i3d_int(op->node, "count_include_pad", 0) != 0;
    int64_t *counts = malloc((size_t)(out[0] + out[1] + out[2]) * sizeof *counts);
    if (!counts)
        return i3d_fail_memory(op->error);
    int64_t *by_axis[] = { counts, counts + out[0], counts + out[0] + out[1] };
    for (int axis = 0; axis < 3; axis++)
        for (int64_t i = 0; i < out[axis]; i++)
            by_axis[axis][i] = count_taps(window, axis, i, with_padding);
    int64_t lines = op->inputs[0].dims[0] * op->inputs[0].dims[1] * out[0] * out[1];
    I3D_PARALLEL_FOR(i3d_op_threads(op, lines * out[2]))
    for (int64_t i = 0; i < lines; i++) {
        float *line = (float *)op->outputs[0].data + i * out[2];
        int64_t count = by_axis[0][i / out[1] % out[0]] * by_axis[1][i % out[1]];
        for (int64_t x = 0; x < out[2]; x++) {
            int64_t here = count * by_axis[2][x];
            line[x] = here ? line[x] / (float)here : 0;
        }
    }
    free(counts);
    return I3D_OK;
}

enum i3d_status i3d_op_average_pool(struct i3d_operation *op)
{
    struct pooling pool = { .kind = POOL_SUM, .kernels = i3d_best_kernels() };
    enum i3d_status status = i3d_op_pool_window(op, &pool.window);
    if (!status)
        status = pool_windows(op, &pool);
    if (status || !op->outputs[0].data)
        return status;
    return divide_by_counts(op, &pool.window);
}

enum i3d_status i3d_op_lp_pool(struct i3d_operation *op)
{
    struct pooling pool = { .kind = POOL_POWERS,
                            .p = (float)i3d_int(op->node, "p", 2),
                            .kernels = i3d_best_kernels() };
    if (pool.p < 1)
        return i3d_fail(op->error, I3D_MALFORMED, "p is %g", (double)pool.p);
    enum i3d_status status = i3d_op_pool_window(op, &pool.window);
    if (!status)
        status = pool_windows(op, &pool);
    if (status)
        return status;
    int64_t elements = i3d_array_elements(&op->outputs[0]);
    float *out = op->outputs[0].data;
    I3D_PARALLEL_FOR(i3d_op_threads(op, elements))
    for (int64_t i = 0; i < elements; i++)
        out[i] = pool.p == 2 ? sqrtf(out[i]) : powf(out[i], 1 / pool.p);
    return I3D_OK;
}

static float pool_all(int variant, const float *in, int64_t count, double p)
{
    double sum = 0;
    float most = -INFINITY;
    switch (variant) {
    case I3D_GLOBAL_MAX:
        for (int64_t i = 0; i < count; i++)
            most = in[i] > most || in[i] != in[i] ? in[i] : most;
        return most;
    case I3D_GLOBAL_LP:
        for (int64_t i = 0; i < count; i++)
            sum += pow(fabs((double)in[i]), p);
        return (float)pow(sum, 1 / p);
    default:
        for (int64_t i = 0; i < count; i++)
            sum += (double)in[i];
        return (float)(sum / (double)count);
    }
}

enum i3d_status i3d_op_global_pool(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    if (in->rank < 3)
        return i3d_fail(op->error, I3D_MALFORMED, "its input of rank %d has no spatial axis",
                        in->rank);
    int64_t dims[I3D_MAX_RANK] = { in->dims[0], in->dims[1], 1, 1, 1, 1, 1, 1 };
    int64_t p = i3d_int(op->node, "p", 2);
    if (op->variant == I3D_GLOBAL_LP && p < 1)
        return i3d_fail(op->error, I3D_MALFORMED, "p is %lld", (long long)p);
    enum i3d_status status = i3d_op_output(op, 0, I3D_FLOAT32, in->rank, dims);
    if (status)
        return status;
    int64_t planes = in->dims[0] * in->dims[1], count = i3d_array_span(in, 2, in->rank);
    I3D_PARALLEL_FOR(i3d_op_threads(op, planes * count))
    for (int64_t i = 0; i < planes; i++)
        ((float *)op->outputs[0].data)[i] =
            pool_all(op->variant, (const float *)in->data + i * count, count, (double)p);
    return I3D_OK;
}
