#include "verify/convolution_parts.h"
#include "verify/parallel.h"

#include <string.h>

/* Convolution as a matrix product: filters × taps times taps × positions. What the
 * taps see is gathered for some taps at some positions at a time, so that it stays
 * in the second cache while all filters pass over it. */

enum { BLOCK_FLOATS = 64 << 10, MOST_TAPS = 512, MOST_COLUMNS = 512, FEWEST_COLUMNS = 32 };

struct cut {
    int64_t taps, rounds;   /* taps at a time, and how many times */
    int64_t tiles, blocks;  /* tiles of one channel's positions, blocks of such */
    int64_t row_stride;     /* of a block */
    int64_t slices;         /* of the filters' panels */
    int64_t tasks;
};

/* Rough cycles of one thread for a task of `tiles` tiles of positions and some rows of the
 * left factor. */
static double cost_of_task(const struct i3d_convolution *convolution, int64_t tiles, int64_t rows)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    double columns = (double)(tiles * convolution->kernels->columns);
    double depth = (double)(convolution->channels * convolution->kernel_size);
    double lines = convolution->algorithm == I3D_POINTWISE
        ? 1 : 1 + columns / (double)window->out[2];
    double products = columns * (double)rows / convolution->kernels->columns;
    double gathering = 10 * lines + columns / 6, weights = (double)rows / 2;
    return depth * (products + gathering + weights);
}

/* Cuts positions into blocks, and the panels into slices if that evens out the threads'
 * work or lets each of them read just some of the weights. */
static void cut_for_threads(const struct i3d_convolution *convolution, int64_t planes,
                            int64_t fewest_blocks, int threads, struct cut *cut)
{
    int64_t columns = convolution->kernels->columns;
    int64_t least_tiles = FEWEST_COLUMNS > columns ? FEWEST_COLUMNS / columns : 1;
    int64_t most_blocks = (cut->tiles + least_tiles - 1) / least_tiles;
    int64_t panels = i3d_panel_count(&convolution->panels);
    int64_t all_rows = i3d_panel_first_row(&convolution->panels, panels);
    double best = -1;
    if (most_blocks > fewest_blocks + 4 * threads)
        most_blocks = fewest_blocks + 4 * threads;
    for (int64_t slices = 1; slices <= threads && slices <= panels; slices++) {
        for (int64_t blocks = fewest_blocks; blocks <= most_blocks || blocks == fewest_blocks;
             blocks++) {
            int64_t rounds = (planes * blocks * slices + threads - 1) / threads;
            int64_t tiles = (cut->tiles + blocks - 1) / blocks;
            double cost = cost_of_task(convolution, tiles, (all_rows + slices - 1) / slices);
            /* Threads are not equally fast: small tasks even that out. */
            double time = ((double)rounds + 0.1) * cost;
            if (best < 0 || time < best) {
                best = time;
                cut->blocks = blocks;
                cut->slices = slices;
            }
        }
    }
}

static struct cut cut_work(const struct i3d_convolution *convolution, int threads)
{
    const struct i3d_convolution_geometry *geometry = &convolution->geometry;
    int64_t depth = convolution->channels * convolution->kernel_size;
    int64_t columns = convolution->kernels->columns;
    int64_t planes = geometry->batch * geometry->groups;
    struct cut cut = { .rounds = (depth + MOST_TAPS - 1) / MOST_TAPS };
    cut.taps = (depth + cut.rounds - 1) / cut.rounds;
    int64_t most = BLOCK_FLOATS / cut.taps;
    most = most > MOST_COLUMNS ? MOST_COLUMNS : most < FEWEST_COLUMNS ? FEWEST_COLUMNS : most;
    most = i3d_round_up(most, columns) / columns;
    cut.tiles = (convolution->out_size + columns - 1) / columns;
    cut_for_threads(convolution, planes, (cut.tiles + most - 1) / most, threads, &cut);
    cut.row_stride = (cut.tiles + cut.blocks - 1) / cut.blocks * columns;
    /* Rows a power of two apart would share a few places in the caches. */
    if (cut.row_stride % 128 == 0)
        cut.row_stride += 16;
    cut.tasks = planes * cut.blocks * cut.slices;
    return cut;
}

static int64_t block_floats(const struct cut *cut)
{
    return i3d_round_up(cut->taps * cut->row_stride + I3D_SLACK, 16);
}

static int64_t workspace(const struct i3d_convolution *convolution, int threads)
{
    struct cut cut = cut_work(convolution, threads);
    return threads * block_floats(&cut);
}

/* One block of positions of one group of one sample, for a slice of the panels. */
static void multiply_block(const struct i3d_convolution_call *call, const struct cut *cut,
                           int64_t task, float *block)
{
    const struct i3d_convolution *convolution = call->convolution;
    const struct i3d_panels *panels = &convolution->panels;
    int64_t slice = task % cut->slices, index = task / cut->slices % cut->blocks;
    int64_t plane = task / cut->slices / cut->blocks, columns = convolution->kernels->columns;
    int64_t sample = plane / convolution->geometry.groups;
    int64_t group = plane % convolution->geometry.groups;
    int64_t begin = cut->tiles * index / cut->blocks * columns;
    int64_t end = cut->tiles * (index + 1) / cut->blocks * columns;
    if (end > convolution->out_size)
        end = convolution->out_size;
    int64_t count = end - begin, depth = convolution->channels * convolution->kernel_size;
    int64_t spare = i3d_round_up(count, columns) - count;

    struct i3d_panel_product product = {
        .panels = panels,
        .first_panel = i3d_panel_count(panels) * slice / cut->slices,
        .end_panel = i3d_panel_count(panels) * (slice + 1) / cut->slices,
        .a = convolution->weights + group * convolution->group_weights,
        .packed_depth = depth,
        .segments = 1,
        .b = block,
        .ldb = cut->row_stride,
        .columns = count,
        .ldc = convolution->out_size,
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

    bool onto_residual = call->epilogue->residual == call->out;

    const float *in = call->in + sample * call->in_stride
        + group * convolution->channels * convolution->in_size;
    for (int64_t round = 0; round < cut->rounds; round++) {
        int64_t from = round * cut->taps, to = from + cut->taps < depth ? from + cut->taps : depth;
        i3d_gather_taps(convolution, in, from, to, begin, count, block, cut->row_stride);
        for (int64_t k = 0; spare && k < to - from; k++)
            memset(block + k * cut->row_stride + count, 0, (size_t)spare * sizeof *block);
        product.first_depth = from;
        product.depth = to - from;
        product.accumulate = round > 0 || onto_residual;
        product.clamp = simple && clamp && to == depth;
        i3d_multiply_panels(&product);
    }
    for (int64_t row = first; !simple && row < last; row++)
        i3d_finish_line(call, sample, group * convolution->filters + row, begin,
                        product.c + (row - first) * convolution->out_size, count);
}

static void run(const struct i3d_convolution_call *call)
{
    struct cut cut = cut_work(call->convolution, call->threads);
    I3D_PARALLEL(call->threads)
    {
        float *block = call->workspace + omp_get_thread_num() * block_floats(&cut);
        I3D_SHARED_FOR
        for (int64_t task = 0; task < cut.tasks; task++)
            multiply_block(call, &cut, task, block);
    }
}

static int64_t weight_count(const struct i3d_convolution *convolution)
{
    return i3d_packed_size(&convolution->panels, convolution->channels * convolution->kernel_size);
}

static void pack(const struct i3d_convolution *convolution, const float *weight,
                 const double *scale, float *to, int threads)
{
    const struct i3d_panels *panels = &convolution->panels;
    int64_t depth = convolution->channels * convolution->kernel_size;
    int64_t count = i3d_panel_count(panels);
    I3D_PARALLEL_FOR(convolution->filters * depth < 65536 ? 1 : threads)
    for (int64_t i = 0; i < count; i++) {
        struct i3d_panel panel = i3d_panel_at(panels, i);
        float *columns = to + panel.first_row * depth;
        for (int64_t row = 0; row < panel.rows; row++) {
            const float *from = weight + (panel.first_row + row) * depth;
            double factor = scale ? scale[panel.first_row + row] : 1;
            for (int64_t k = 0; k < depth; k++)
                columns[k * panel.size + row] = (float)((double)from[k] * factor);
        }
        for (int64_t row = panel.rows; row < panel.size; row++)
            for (int64_t k = 0; k < depth; k++)
                columns[k * panel.size + row] = 0;
    }
}

const struct i3d_convolution_methods i3d_convolve_matrix = { weight_count, pack, workspace, run };

double i3d_matrix_cost(const struct i3d_convolution_geometry *geometry,
                       const struct i3d_kernels *kernels)
{
    const struct i3d_window *window = &geometry->window.window;
    double taps = (double)(geometry->channels / geometry->groups * i3d_product3(window->kernel));
    int64_t out = i3d_product3(window->out), filters = geometry->filters / geometry->groups;
    double lines = (double)(window->out[0] * window->out[1]);
    double products = taps * (double)i3d_round_up(out, kernels->columns)
        * (double)i3d_round_up(filters, 2) / kernels->columns;
    double gathering = taps * (i3d_sees_frames(window) ? lines * (double)window->out[2] / 8
                                                       : lines * (40 + (double)window->out[2] / 4));
    double weights = taps * (double)filters / 2;
    return (double)(geometry->batch * geometry->groups) * (products + gathering + weights);
}
