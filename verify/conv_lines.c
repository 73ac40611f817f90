#include "verify/convolution_parts.h"
#include "verify/parallel.h"

#include <string.h>

/* Convolution as a matrix product whose right factor is laid out line by line: one row for
 * each channel, frame of the kernel and tap across, holding all input lines that a block of
 * output lines needs, as that tap sees them. Taps above one another see the same rows a line
 * further on, so that a 3×3 kernel's inputs are gathered three times and not nine.
 *
 * With a stride down, lines of one residue lie together: taps i, i + groups, i + 2·groups …
 * see steps of whole lines among those of one residue. */

enum {
    BLOCK_FLOATS = 80 << 10, /* of gathered lines: the second cache holds them */
    MOST_ROWS = 320,         /* gathered at a time */
    MOST_COLUMNS = 512,
};

struct cut {
    int64_t rows, rounds, rows_at_once; /* of the right factor; how many at a time */
    int64_t groups, step;    /* of taps down; lines from one to the next of a group */
    int64_t lines;           /* of a block's outputs */
    int64_t stored, all;     /* lines that it needs for one group, for all */
    int64_t width, across;   /* columns of a line of a block, blocks of a line */
    int64_t row_stride, pitch; /* of gathered rows; of padded lines */
    int64_t blocks, slices, tasks; /* blocks down; slices of the panels; all tasks */
};

static int64_t ceiling(int64_t value, int64_t divisor)
{
    return (value + divisor - 1) / divisor;
}

static int64_t taps_of_group(const struct cut *cut, const struct i3d_window *window,
                             int64_t group)
{
    return ceiling(window->kernel[1] - group, cut->groups);
}

/* Sizes of what a block of so many lines needs. */
static void size_block(struct cut *cut, const struct i3d_window *window, int64_t lines)
{
    cut->lines = lines;
    cut->stored = lines + (taps_of_group(cut, window, 0) - 1) * cut->step;
    cut->all = cut->groups * cut->stored;
    cut->blocks = ceiling(window->out[1], lines);
    cut->row_stride = i3d_round_up(cut->all * cut->width + I3D_SLACK, 16);
    /* Rows a power of two apart would share a few places in the caches. */
    if (cut->row_stride % 128 == 0)
        cut->row_stride += 16;
}

/* Rough cycles of one thread for a task with so many rows of the left factor. */
static double cost_of_task(const struct cut *cut, const struct i3d_window *window,
                           const struct i3d_kernels *kernels, int64_t filters)
{
    double rows = (double)cut->rows, width = (double)cut->width;
    double columns = (double)i3d_round_up(cut->lines * cut->width, kernels->columns / 2);
    double depth = rows * (double)window->kernel[1];
    double gathering = rows * (double)cut->all * (6 + width / 8)
        + rows / (double)window->kernel[2] * (double)cut->all
            * (20 + width * (double)window->stride[2] / 8);
    return depth * (double)filters * (columns / kernels->columns + 0.5) + gathering;
}

/* The blocks and slices that keep so many threads busy for the shortest time. */
static void cut_for_threads(struct cut *cut, const struct i3d_convolution_geometry *geometry,
                            const struct i3d_panels *panels, int threads)
{
    const struct i3d_window *window = &geometry->window.window;
    int64_t planes = geometry->batch * geometry->groups * window->out[0] * cut->across;
    int64_t filters = i3d_panel_first_row(panels, i3d_panel_count(panels));
    int64_t most_lines = cut->across > 1 ? 1 : 1 + MOST_COLUMNS / cut->width;
    struct cut trial = *cut;
    double best = -1;
    most_lines = most_lines < window->out[1] ? most_lines : window->out[1];
    for (int64_t lines = most_lines; lines > 0; lines--) {
        /* As many blocks can do with fewer lines. */
        if (ceiling(window->out[1], ceiling(window->out[1], lines)) < lines)
            continue;
        size_block(&trial, window, lines);
        if (lines > 1 && trial.rows_at_once * trial.row_stride > BLOCK_FLOATS)
            continue;
        for (trial.slices = 1; trial.slices <= threads
             && trial.slices <= i3d_panel_count(panels); trial.slices++) {
            trial.tasks = planes * trial.blocks * trial.slices;
            double cost = cost_of_task(&trial, window, panels->kernels,
                                       ceiling(filters, trial.slices));
            /* Threads are not equally fast: small tasks even that out. */
            double time = ((double)ceiling(trial.tasks, threads) + 0.1) * cost;
            if (best < 0 || time < best) {
                best = time;
                *cut = trial;
            }
        }
    }
}

/* What does not depend on the input's size is so in every cut of a convolution: its weights
 * are packed accordingly. */
static struct cut cut_rows(const struct i3d_convolution_geometry *geometry)
{
    const struct i3d_window *window = &geometry->window.window;
    struct cut cut = {
        .rows = window->kernel[0] * (geometry->channels / geometry->groups) * window->kernel[2],
        .groups = i3d_tap_groups(window, 1),
    };
    cut.step = cut.groups * window->dilation[1] / window->stride[1];
    if (cut.groups > window->kernel[1])
        cut.groups = window->kernel[1];
    cut.rounds = ceiling(cut.rows, MOST_ROWS);
    cut.rows_at_once = ceiling(cut.rows, cut.rounds);
    return cut;
}

static struct cut cut_work(const struct i3d_convolution_geometry *geometry,
                           const struct i3d_panels *panels, int threads)
{
    const struct i3d_window *window = &geometry->window.window;
    struct cut cut = cut_rows(geometry);
    cut.across = ceiling(window->out[2], MOST_COLUMNS);
    cut.width = ceiling(window->out[2], cut.across);
    if (cut.across > 1)
        cut.width = i3d_round_up(cut.width, panels->kernels->columns);
    cut.across = ceiling(window->out[2], cut.width);
    cut.pitch = i3d_round_up((cut.width - 1) * window->stride[2]
                                 + (window->kernel[2] - 1) * window->dilation[2] + 1
                                 + 8 * window->stride[2],
                             16);
    cut_for_threads(&cut, geometry, panels, threads);
    return cut;
}

static int64_t thread_floats(const struct cut *cut)
{
    return i3d_round_up(cut->rows_at_once * cut->row_stride + I3D_SLACK, 16)
        + cut->all * cut->pitch;
}

static int64_t workspace(const struct i3d_convolution *convolution, int threads)
{
    struct cut cut = cut_work(&convolution->geometry, &convolution->panels, threads);
    return threads * thread_floats(&cut);
}

/* One block of outputs of one group of one sample. */
struct block {
    const struct i3d_convolution *convolution;
    const struct cut *cut;
    const float *in;         /* of the group's first channel */
    int64_t t, y, x;         /* its first output */
    int64_t lines, width;    /* of its outputs */
    float *gathered, *padded;
};

/* Copies the lines that a block needs of one channel in one frame, with zeros for padding. */
static void pad_lines(const struct block *block, const float *channel, int64_t tap_t)
{
    const struct cut *cut = block->cut;
    const struct i3d_window3d *wide = &block->convolution->geometry.window;
    const struct i3d_window *window = &wide->window;
    int64_t length = (block->width - 1) * window->stride[2]
        + (window->kernel[2] - 1) * window->dilation[2] + 1;
    int64_t start = i3d_tap_position(window, 2, block->x, 0);
    int64_t low = start < 0 ? -start : 0, high = window->in[2] - start;
    high = high < length ? high : length;
    low = low < high ? low : high > 0 ? high : 0;
    high = high > low ? high : low;
    bool inside;
    int64_t frame = i3d_tap_frame(wide, block->t, tap_t, &inside);
    for (int64_t i = 0; i < cut->all; i++) {
        float *to = block->padded + i * cut->pitch;
        int64_t line = i3d_tap_position(window, 1, block->y + i % cut->stored, i / cut->stored);
        if (!inside || line < 0 || line >= window->in[1]) {
            memset(to, 0, (size_t)length * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)low * sizeof *to);
        memcpy(to + low, channel + (frame * window->in[1] + line) * window->in[2] + start + low,
               (size_t)(high - low) * sizeof *to);
        memset(to + high, 0, (size_t)(length - high) * sizeof *to);
    }
}

/* Gathers the rows from first to end - 1. */
static void gather_rows(const struct block *block, int64_t first, int64_t end)
{
    const struct cut *cut = block->cut;
    const struct i3d_convolution *convolution = block->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    float *to = block->gathered;
    for (int64_t row = first; row < end; row++, to += cut->row_stride) {
        int64_t tap = row % window->kernel[2], plane = row / window->kernel[2];
        if (tap == 0 || row == first)
            pad_lines(block, block->in + plane % convolution->channels * convolution->in_size,
                      plane / convolution->channels);
        convolution->kernels->gather_lines(block->padded + tap * window->dilation[2], cut->pitch,
                                           window->stride[2], to, block->width, cut->all);
    }
}

/* The products of the gathered rows with some panels; of all rounds, first_depth is A's first
 * column in this one. */
static void multiply_rows(const struct block *block, struct i3d_panel_product *product,
                          int64_t rows, bool is_last, bool clamp)
{
    const struct cut *cut = block->cut;
    const struct i3d_window *window = &block->convolution->geometry.window.window;
    product->depth = rows;
    for (int64_t group = 0; group < cut->groups; group++) {
        product->segments = taps_of_group(cut, window, group);
        product->b = block->gathered + group * cut->stored * block->width;
        product->b_step = cut->step * block->width;
        product->clamp = clamp && is_last && group == cut->groups - 1;
        i3d_multiply_panels(product);
        product->first_depth += product->segments * rows;
        product->accumulate = true;
    }
}

static void multiply_block(const struct i3d_convolution_call *call, const struct block *block,
                           int64_t sample, int64_t group, int64_t slice)
{
    const struct cut *cut = block->cut;
    const struct i3d_convolution *convolution = call->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    const struct i3d_panels *panels = &convolution->panels;
    int64_t begin = (block->t * window->out[1] + block->y) * window->out[2] + block->x;
    struct i3d_panel_product product = {
        .panels = panels,
        .first_panel = i3d_panel_count(panels) * slice / cut->slices,
        .end_panel = i3d_panel_count(panels) * (slice + 1) / cut->slices,
        .a = convolution->weights + group * convolution->group_weights,
        .packed_depth = cut->rows * window->kernel[1],
        .ldb = cut->row_stride,
        .columns = block->lines * block->width,
        .ldc = convolution->out_size,
        .accumulate = call->epilogue->residual == call->out,
    };
    int64_t first = i3d_panel_first_row(panels, product.first_panel);
    int64_t last = i3d_panel_first_row(panels, product.end_panel);
    int64_t filter = group * convolution->filters + first;
    last = last < convolution->filters ? last : convolution->filters;
    product.c = call->out + sample * call->out_stride + filter * convolution->out_size + begin;
    bool clamp, simple = i3d_epilogue_is_simple(call->epilogue, &clamp, &product.low,
                                                &product.high);
    if (simple && call->epilogue->bias)
        product.bias = call->epilogue->bias + group * convolution->filters;
    for (int64_t round = 0; round < cut->rounds; round++) {
        int64_t from = round * cut->rows_at_once, to = from + cut->rows_at_once;
        to = to < cut->rows ? to : cut->rows;
        gather_rows(block, from, to);
        multiply_rows(block, &product, to - from, to == cut->rows, simple && clamp);
    }
    for (int64_t row = first; !simple && row < last; row++)
        i3d_finish_line(call, sample, group * convolution->filters + row, begin,
                        product.c + (row - first) * convolution->out_size, product.columns);
}

static void do_task(const struct i3d_convolution_call *call, const struct cut *cut, int64_t task,
                    float *memory)
{
    const struct i3d_convolution *convolution = call->convolution;
    const struct i3d_convolution_geometry *geometry = &convolution->geometry;
    const struct i3d_window *window = &geometry->window.window;
    int64_t slice = task % cut->slices, index = task / cut->slices;
    int64_t x = index % cut->across, y = index / cut->across % cut->blocks;
    int64_t frame = index / cut->across / cut->blocks;
    int64_t plane = frame / window->out[0], group = plane % geometry->groups;
    int64_t sample = plane / geometry->groups;
    struct block block = {
        .convolution = convolution,
        .cut = cut,
        .in = call->in + sample * call->in_stride
            + group * convolution->channels * convolution->in_size,
        .t = frame % window->out[0],
        .y = y * cut->lines,
        .x = x * cut->width,
        .padded = memory,
        .gathered = memory + cut->all * cut->pitch,
    };
    int64_t lines = window->out[1] - block.y, width = window->out[2] - block.x;
    block.lines = lines < cut->lines ? lines : cut->lines;
    block.width = width < cut->width ? width : cut->width;
    multiply_block(call, &block, sample, group, slice);
}

static void run(const struct i3d_convolution_call *call)
{
    struct cut cut = cut_work(&call->convolution->geometry, &call->convolution->panels,
                              call->threads);
    I3D_PARALLEL(call->threads)
    {
        float *memory = call->workspace + omp_get_thread_num() * thread_floats(&cut);
        I3D_SHARED_FOR
        for (int64_t task = 0; task < cut.tasks; task++)
            do_task(call, &cut, task, memory);
    }
}

static int64_t weight_count(const struct i3d_convolution *convolution)
{
    return i3d_packed_size(&convolution->panels, convolution->channels * convolution->kernel_size);
}

/* A's columns in the order of multiply_block: by rounds, by groups of taps down, by such
 * taps, by rows. For each, where the tap's weights are in a filter's kernel. */
static void order_taps(const struct i3d_convolution *convolution, const struct cut *cut,
                       const float *weight, const double *scale, const struct i3d_panel *panel,
                       float *to)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    const int64_t *kernel = window->kernel;
    int64_t depth = convolution->channels * convolution->kernel_size;
    for (int64_t from = 0; from < cut->rows; from += cut->rows_at_once) {
        int64_t end = from + cut->rows_at_once < cut->rows ? from + cut->rows_at_once : cut->rows;
        for (int64_t k = 0; k < kernel[1]; k++) {
            int64_t group = 0, taps = k;
            for (; taps >= taps_of_group(cut, window, group); group++)
                taps -= taps_of_group(cut, window, group);
            int64_t down = group + taps * cut->groups;
            for (int64_t row = from; row < end; row++, to += panel->size) {
                int64_t plane = row / kernel[2];
                int64_t channel = plane % convolution->channels, t = plane / convolution->channels;
                const float *tap = weight + panel->first_row * depth
                    + ((channel * kernel[0] + t) * kernel[1] + down) * kernel[2] + row % kernel[2];
                for (int64_t i = 0; i < panel->rows; i++)
                    to[i] = (float)((double)tap[i * depth]
                                    * (scale ? scale[panel->first_row + i] : 1));
                for (int64_t i = panel->rows; i < panel->size; i++)
                    to[i] = 0;
            }
        }
    }
}

static void pack(const struct i3d_convolution *convolution, const float *weight,
                 const double *scale, float *to, int threads)
{
    const struct i3d_panels *panels = &convolution->panels;
    struct cut cut = cut_rows(&convolution->geometry);
    int64_t depth = convolution->channels * convolution->kernel_size;
    int64_t count = i3d_panel_count(panels);
    I3D_PARALLEL_FOR(convolution->filters * depth < 65536 ? 1 : threads)
    for (int64_t i = 0; i < count; i++) {
        struct i3d_panel panel = i3d_panel_at(panels, i);
        order_taps(convolution, &cut, weight, scale, &panel, to + panel.first_row * depth);
    }
}

const struct i3d_convolution_methods i3d_convolve_lines = { weight_count, pack, workspace, run };

bool i3d_lines_fit(const struct i3d_convolution_geometry *geometry)
{
    const struct i3d_window *window = &geometry->window.window;
    int64_t filled = (window->kernel[1] - 1) * window->dilation[1]
        + (window->kernel[2] - 1) * window->dilation[2] + 8 * window->stride[2];
    return filled <= 512;
}

double i3d_lines_cost(const struct i3d_convolution_geometry *geometry,
                      const struct i3d_kernels *kernels)
{
    struct i3d_panels panels = i3d_cut_rows(kernels, geometry->filters / geometry->groups);
    struct cut cut = cut_work(geometry, &panels, 1);
    return (double)cut.tasks * cost_of_task(&cut, &geometry->window.window, kernels,
                                            i3d_panel_first_row(&panels, i3d_panel_count(&panels)));
}
