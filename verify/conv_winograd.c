#include "verify/convolution_parts.h"
#include "verify/parallel.h"

#include <string.h>

/* Winograd's minimal filtering over H and W (Lavin and Gray 2015, arXiv
 * 1509.09308): input tiles of 6×6, kernels of r×r, output tiles of step × step
 * with step = 7 - r, r from 3 to 5. Each of the 36 points of the transformed
 * tiles is a matrix product of its own, filters × inputs times inputs × tiles.
 *
 * Time is not transformed: the tiles of consecutive frames lie beside each other,
 * so that what the next temporal tap sees is the same matrix a whole frame of
 * tiles further on, and its product is accumulated before the way back.
 *
 * A stride of 2 over H and W makes four inputs of one channel, its phases: element
 * 2·i + ρ under tap 2·q + ρ is a convolution without stride of phase ρ with every
 * second tap. Their sum is an accumulation as well.
 *
 * Where there are enough tiles, threads work on blocks of their own. Otherwise all
 * work on one block: first they share the inputs, then panels of filters. */

enum { POINTS = I3D_WINOGRAD_POINTS, SIDE = I3D_WINOGRAD_SIDE };

struct plan {
    int64_t step, stride;            /* over H and W */
    int64_t inputs;                  /* channels × phases, of one group */
    int64_t taps;                    /* over time, */
    int64_t tap_groups;              /* in groups whose frames have one residue each */
    int64_t tiles_down, tiles_across;
    int64_t frames, rows;            /* of a block: output frames and rows of tiles */
    bool shared;                     /* by all threads is a block */
    int64_t residues, class_frames;  /* frames are stored by residue modulo the stride in time */
    int64_t columns_stride;          /* of an input's transformed tiles, over all stored frames */
    int64_t point_stride;            /* of all inputs' tiles */
    int64_t panels, products_stride; /* panels of filters at a time, columns of their products */
    int64_t products_point;          /* from point to point of the products */
    int64_t line;                    /* floats of a line in the transforms */
};

/* Parts of a line's floats in a thread's memory. */
enum { DOWN_LINES = SIDE, SPLIT_LINES = 4, GATHERED_LINES = SIDE, BACK_LINES = 4,
       ALL_LINES = DOWN_LINES + SPLIT_LINES + GATHERED_LINES + BACK_LINES };

static int64_t taps_of_phase(const struct i3d_window *window, int axis)
{
    return (window->kernel[axis] + window->stride[axis] - 1) / window->stride[axis];
}

bool i3d_winograd_fits(const struct i3d_convolution_geometry *geometry)
{
    const struct i3d_window *window = &geometry->window.window;
    int64_t side = taps_of_phase(window, 1);
    for (int axis = 1; axis < 3; axis++)
        if (window->dilation[axis] != 1 || window->pad_begin[axis] >= window->kernel[axis]
            || window->pad_end[axis] >= window->kernel[axis] || window->in[axis] < 1)
            return false;
    /* The time's product is only so long as its frames are stored. */
    if (window->kernel[0] * window->dilation[0] > 64 || window->stride[0] > 16)
        return false;
    return window->stride[1] == window->stride[2] && window->stride[1] <= 2
        && side == taps_of_phase(window, 2) && side >= 3 && side <= 5;
}

static int64_t positive_ceiling(int64_t value, int64_t divisor)
{
    return (value + divisor - 1) / divisor;
}

/* Cycles, roughly, that all blocks of this size take on some threads. */
static double cost_of_blocks(const struct plan *plan, const struct i3d_convolution_geometry *geometry,
                             const struct i3d_kernels *kernels, int threads)
{
    enum { NEAR_FLOATS = 192 << 10, MEETING = 10000 };
    const struct i3d_window *window = &geometry->window.window;
    int64_t filters = geometry->filters / geometry->groups;
    int64_t blocks = geometry->batch * geometry->groups
        * positive_ceiling(window->out[0], plan->frames)
        * positive_ceiling(plan->tiles_down, plan->rows);
    double tiles = (double)(plan->rows * plan->tiles_across);
    double columns = (double)i3d_round_up(plan->frames * plan->rows * plan->tiles_across,
                                          kernels->columns / 2);
    double seen = (double)((plan->frames - 1) * window->stride[0]
                           + (plan->taps - 1) * window->dilation[0] + 1);
    double lanes = (double)i3d_round_up(plan->tiles_across, 8) / (double)plan->tiles_across;
    double transforms = lanes * tiles * 30
        * (seen * (double)plan->inputs + (double)(plan->frames * filters));
    double products = POINTS * (double)(plan->inputs * plan->taps * filters);
    double stored = POINTS * seen * tiles * (double)plan->inputs;
    double multiplying = products * columns / kernels->columns;
    /* Tiles that the second cache does not hold keep the products waiting. */
    if (stored > NEAR_FLOATS)
        multiplying *= 1.2;
    double block = multiplying + transforms + products / 3;
    return plan->shared ? (double)blocks * (block / (double)threads + MEETING)
                        : (double)positive_ceiling(blocks, threads) * block;
}

/* Chooses a block's size, and whether the threads share it. */
static void plan_block(struct plan *plan, const struct i3d_convolution_geometry *geometry,
                         const struct i3d_kernels *kernels, int threads)
{
    enum { MOST_COLUMNS = 320 };
    const int64_t *out = geometry->window.window.out;
    double best = -1;
    struct plan trial = *plan;
    int64_t most_frames = out[0] < MOST_COLUMNS ? out[0] : MOST_COLUMNS;
    for (int64_t choice = 0; choice < (threads > 1 ? 2 : 1) * most_frames; choice++) {
        trial.frames = choice % most_frames + 1;
        trial.shared = choice >= most_frames;
        for (trial.rows = 1; trial.rows <= plan->tiles_down; trial.rows++) {
            int64_t columns = trial.frames * trial.rows * plan->tiles_across;
            if (columns > MOST_COLUMNS && (trial.frames > 1 || trial.rows > 1))
                break;
            double cost = cost_of_blocks(&trial, geometry, kernels, threads);
            if (best < 0 || cost < best) {
                best = cost;
                plan->frames = trial.frames;
                plan->rows = trial.rows;
                plan->shared = trial.shared;
            }
        }
    }
}

static struct plan plan_tiles(const struct i3d_convolution_geometry *geometry,
                              const struct i3d_kernels *kernels, int threads)
{
    const struct i3d_window *window = &geometry->window.window;
    struct plan plan = {
        .step = SIDE + 1 - taps_of_phase(window, 1),
        .stride = window->stride[1],
        .inputs = geometry->channels / geometry->groups * window->stride[1] * window->stride[1],
        .taps = window->kernel[0],
        .tap_groups = i3d_tap_groups(window, 0),
        .residues = window->stride[0],
    };
    plan.tiles_down = positive_ceiling(window->out[1], plan.step);
    plan.tiles_across = positive_ceiling(window->out[2], plan.step);
    plan_block(&plan, geometry, kernels, threads);
    int64_t reach = (window->kernel[0] - 1) * window->dilation[0];
    plan.class_frames = plan.frames + reach / window->stride[0];
    int64_t columns = plan.frames * plan.rows * plan.tiles_across;
    int64_t stored = plan.residues * plan.class_frames * plan.rows * plan.tiles_across;
    /* Lines an odd number of cache lines apart, points in cache sets of their own. */
    plan.columns_stride = i3d_round_up(stored + I3D_SLACK, 32) + 16;
    plan.point_stride = i3d_round_up(plan.inputs * plan.columns_stride, 1024) + 16;
    plan.products_stride = i3d_round_up(columns, I3D_MOST_TILE_COLUMNS) + 16;
    plan.line = i3d_round_up(plan.step * (plan.tiles_across + 8), 16) + I3D_SLACK;
    return plan;
}

/* Panels of filters at a time: their products fit the second cache, and there are
 * enough such parts to keep every thread busy. */
static void plan_panels(struct plan *plan, const struct i3d_panels *panels, int threads)
{
    enum { PRODUCT_FLOATS = 96 << 10 };
    int64_t tall = panels->kernels->tall, count = i3d_panel_count(panels);
    plan->panels = PRODUCT_FLOATS / (POINTS * plan->products_stride * tall);
    int64_t share = count / (plan->shared && threads > 1 ? 3 * threads : 1);
    plan->panels = plan->panels < share ? plan->panels : share;
    plan->panels = plan->panels > 0 ? plan->panels : 1;
    plan->products_point =
        i3d_round_up(plan->panels * tall * plan->products_stride, 1024) + 16;
}

static int64_t tile_floats(const struct plan *plan)
{
    return i3d_round_up(POINTS * plan->point_stride + I3D_SLACK, 16);
}

static int64_t thread_floats(const struct plan *plan, const struct i3d_window *window)
{
    return (plan->shared ? 0 : tile_floats(plan)) + POINTS * plan->products_point
        + ALL_LINES * plan->line + i3d_round_up(window->in[2] + I3D_SLACK, 16);
}

static struct plan plan_work(const struct i3d_convolution *convolution, int threads)
{
    struct plan plan = plan_tiles(&convolution->geometry, convolution->kernels, threads);
    plan_panels(&plan, &convolution->panels, threads);
    return plan;
}

static int64_t workspace(const struct i3d_convolution *convolution, int threads)
{
    struct plan plan = plan_work(convolution, threads);
    return (plan.shared ? tile_floats(&plan) : 0)
        + threads * thread_floats(&plan, &convolution->geometry.window.window);
}

/* One block of tiles of one group of one sample. */
struct block {
    const struct i3d_convolution_call *call;
    const struct plan *plan;
    int64_t sample, group;
    int64_t first_frame, frames; /* of the output */
    int64_t first_row, rows;     /* of tiles */
    float *tiles;                /* transformed inputs */
};

/* A thread's memory. */
struct scratch {
    float *tiles; /* or those that all share */
    float *products, *down, *split, *gathered, *back;
    float *zeros; /* as long as a line of the input */
};

static struct scratch divide_scratch(const struct plan *plan, const struct i3d_window *window,
                                     float *workspace, int thread)
{
    struct scratch scratch = { .tiles = workspace };
    float *own = workspace + (plan->shared ? tile_floats(plan) : 0)
        + thread * thread_floats(plan, window);
    if (!plan->shared) {
        scratch.tiles = own;
        own += tile_floats(plan);
    }
    scratch.products = own;
    scratch.down = own + POINTS * plan->products_point;
    scratch.split = scratch.down + DOWN_LINES * plan->line;
    scratch.gathered = scratch.split + SPLIT_LINES * plan->line;
    scratch.back = scratch.gathered + GATHERED_LINES * plan->line;
    scratch.zeros = scratch.back + BACK_LINES * plan->line;
    memset(scratch.zeros, 0, (size_t)(window->in[2] + I3D_SLACK) * sizeof *own);
    return scratch;
}

/* Transforms one row of tiles of one frame of one phase of a channel. */
static void transform_row(const struct block *block, const struct scratch *scratch,
                          const float *frame, int64_t phase_y, int64_t phase_x, int64_t row,
                          float *to)
{
    const struct plan *plan = block->plan;
    const struct i3d_convolution *convolution = block->call->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t stride = plan->stride, width = window->in[2];
    int64_t length = (plan->tiles_across - 1) * plan->step + SIDE;
    int64_t start = phase_x - window->pad_begin[2];
    int64_t low = start < 0 ? positive_ceiling(-start, stride) : 0;
    int64_t high = width > start ? positive_ceiling(width - start, stride) : 0;
    high = high < length ? high : length;
    low = low < high ? low : high;

    const float *lines[SIDE];
    for (int64_t i = 0; i < SIDE; i++) {
        int64_t y = (row * plan->step + i) * stride + phase_y - window->pad_begin[1];
        lines[i] = scratch->zeros;
        if (y < 0 || y >= window->in[1] || low == high)
            continue;
        lines[i] = frame + y * width + start + low * stride;
        if (stride > 1) {
            float *gathered = scratch->gathered + i * plan->line;
            convolution->kernels->gather(lines[i], stride, gathered, high - low);
            lines[i] = gathered;
        }
    }
    for (int i = 0; i < SIDE; i++) {
        float *line = scratch->down + i * plan->line;
        memset(line, 0, (size_t)low * sizeof *line);
        memset(line + high, 0, (size_t)(plan->line - high) * sizeof *line);
    }
    convolution->kernels->winograd_down(lines, scratch->down + low, plan->line, high - low);
    convolution->kernels->winograd_across((int)plan->step, scratch->down, plan->line,
                                          scratch->split, to, plan->point_stride,
                                          plan->tiles_across);
}

/* Transforms an input's tiles in all the frames that the block sees, in the order
 * in which they are stored: a row of tiles may spill into the next one. */
static void transform_input(const struct block *block, const struct scratch *scratch,
                            int64_t input)
{
    const struct plan *plan = block->plan;
    const struct i3d_convolution *convolution = block->call->convolution;
    const struct i3d_window3d *wide = &convolution->geometry.window;
    const struct i3d_window *window = &wide->window;
    int64_t phases = plan->stride * plan->stride, phase = input % phases;
    const float *channel = block->call->in + block->sample * block->call->in_stride
        + (block->group * convolution->channels + input / phases) * convolution->in_size;
    float *to = block->tiles + input * plan->columns_stride;
    int64_t frame_tiles = block->rows * plan->tiles_across;
    for (int64_t stored = 0; stored < plan->residues * plan->class_frames; stored++) {
        int64_t index = stored % plan->class_frames;
        int64_t t = (block->first_frame + index) * window->stride[0]
            + stored / plan->class_frames - window->pad_begin[0];
        if (wide->clamp_time)
            t = t < 0 ? 0 : t >= window->in[0] ? window->in[0] - 1 : t;
        float *at = to + stored * frame_tiles;
        if (t < 0 || t >= window->in[0]) {
            for (int point = 0; point < POINTS; point++)
                memset(at + point * plan->point_stride, 0, (size_t)frame_tiles * sizeof *at);
            continue;
        }
        const float *frame = channel + t * window->in[1] * window->in[2];
        for (int64_t row = 0; row < block->rows; row++)
            transform_row(block, scratch, frame, phase / plan->stride, phase % plan->stride,
                          block->first_row + row, at + row * plan->tiles_across);
    }
}

/* The products of all points for some panels of filters. A group of taps is one
 * product, its taps being segments. */
static void multiply_points(const struct block *block, const struct scratch *scratch,
                            int64_t first_panel, int64_t end_panel)
{
    const struct plan *plan = block->plan;
    const struct i3d_convolution *convolution = block->call->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t depth = plan->inputs * plan->taps;
    int64_t frame_tiles = block->rows * plan->tiles_across;
    int64_t one_point = i3d_packed_size(&convolution->panels, depth);
    struct i3d_panel_product product = {
        .panels = &convolution->panels,
        .first_panel = first_panel,
        .end_panel = end_panel,
        .packed_depth = depth,
        .depth = plan->inputs,
        .ldb = plan->columns_stride,
        .b_step = plan->tap_groups * window->dilation[0] / plan->residues * frame_tiles,
        .columns = block->frames * frame_tiles,
        .ldc = plan->products_stride,
    };
    for (int point = 0; point < POINTS; point++) {
        const float *tiles = block->tiles + point * plan->point_stride;
        product.a = convolution->weights + block->group * convolution->group_weights
            + point * one_point;
        product.c = scratch->products + point * plan->products_point;
        product.first_depth = 0;
        for (int64_t tap = 0; tap < plan->tap_groups && tap < plan->taps; tap++) {
            int64_t offset = tap * window->dilation[0];
            product.b = tiles + (offset % plan->residues * plan->class_frames
                                 + offset / plan->residues) * frame_tiles;
            product.segments = positive_ceiling(plan->taps - tap, plan->tap_groups);
            product.accumulate = tap > 0;
            i3d_multiply_panels(&product);
            product.first_depth += product.segments * plan->inputs;
        }
    }
}

/* Transforms the products of one filter back, and finishes them. */
static void transform_back(const struct block *block, const struct scratch *scratch,
                           int64_t filter, const float *products)
{
    const struct plan *plan = block->plan;
    const struct i3d_convolution *convolution = block->call->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    for (int64_t i = 0; i < block->frames * block->rows; i++) {
        int64_t t = block->first_frame + i / block->rows;
        int64_t y = (block->first_row + i % block->rows) * plan->step;
        convolution->kernels->winograd_back((int)plan->step, products + i * plan->tiles_across,
                                            plan->products_point, scratch->back, plan->line,
                                            plan->tiles_across);
        for (int64_t k = 0; k < plan->step && y + k < window->out[1]; k++)
            i3d_finish_line(block->call, block->sample,
                            block->group * convolution->filters + filter,
                            (t * window->out[1] + y + k) * window->out[2],
                            scratch->back + k * plan->line, window->out[2]);
    }
}

static void convolve_panels(const struct block *block, const struct scratch *scratch,
                            int64_t first_panel)
{
    const struct i3d_panels *panels = &block->call->convolution->panels;
    int64_t end_panel = first_panel + block->plan->panels;
    end_panel = end_panel < i3d_panel_count(panels) ? end_panel : i3d_panel_count(panels);
    multiply_points(block, scratch, first_panel, end_panel);
    int64_t first = i3d_panel_first_row(panels, first_panel);
    int64_t end = i3d_panel_first_row(panels, end_panel);
    end = end < panels->rows ? end : panels->rows;
    for (int64_t filter = first; filter < end; filter++)
        transform_back(block, scratch, filter,
                       scratch->products + (filter - first) * block->plan->products_stride);
}

static int64_t blocks_of_plane(const struct plan *plan, const struct i3d_window *window)
{
    return positive_ceiling(plan->tiles_down, plan->rows)
        * positive_ceiling(window->out[0], plan->frames);
}

static struct block block_at(const struct i3d_convolution_call *call, const struct plan *plan,
                             const struct scratch *scratch, int64_t index)
{
    const struct i3d_convolution_geometry *geometry = &call->convolution->geometry;
    const struct i3d_window *window = &geometry->window.window;
    int64_t in_plane = index % blocks_of_plane(plan, window);
    int64_t plane = index / blocks_of_plane(plan, window);
    int64_t blocks_down = positive_ceiling(plan->tiles_down, plan->rows);
    struct block block = {
        .call = call,
        .plan = plan,
        .sample = plane / geometry->groups,
        .group = plane % geometry->groups,
        .first_frame = in_plane / blocks_down * plan->frames,
        .first_row = in_plane % blocks_down * plan->rows,
        .tiles = scratch->tiles,
    };
    block.frames = window->out[0] - block.first_frame;
    block.frames = block.frames < plan->frames ? block.frames : plan->frames;
    block.rows = plan->tiles_down - block.first_row;
    block.rows = block.rows < plan->rows ? block.rows : plan->rows;
    return block;
}

/* All blocks, each by every thread of a team. */
static void share_blocks(const struct i3d_convolution_call *call, const struct plan *plan,
                         const struct scratch *scratch, int64_t blocks)
{
    int64_t panels = i3d_panel_count(&call->convolution->panels);
    for (int64_t i = 0; i < blocks; i++) {
        struct block block = block_at(call, plan, scratch, i);
        I3D_SHARED_FOR
        for (int64_t input = 0; input < plan->inputs; input++)
            transform_input(&block, scratch, input);
        I3D_SHARED_FOR
        for (int64_t panel = 0; panel < panels; panel += plan->panels)
            convolve_panels(&block, scratch, panel);
    }
}

/* All blocks, each by one thread of a team. */
static void hand_out_blocks(const struct i3d_convolution_call *call, const struct plan *plan,
                            const struct scratch *scratch, int64_t blocks)
{
    int64_t panels = i3d_panel_count(&call->convolution->panels);
    I3D_SHARED_FOR
    for (int64_t i = 0; i < blocks; i++) {
        struct block block = block_at(call, plan, scratch, i);
        for (int64_t input = 0; input < plan->inputs; input++)
            transform_input(&block, scratch, input);
        for (int64_t panel = 0; panel < panels; panel += plan->panels)
            convolve_panels(&block, scratch, panel);
    }
}

static void run(const struct i3d_convolution_call *call)
{
    const struct i3d_convolution_geometry *geometry = &call->convolution->geometry;
    const struct i3d_window *window = &geometry->window.window;
    struct plan plan = plan_work(call->convolution, call->threads);
    int64_t blocks = geometry->batch * geometry->groups * blocks_of_plane(&plan, window);
    I3D_PARALLEL(call->threads)
    {
        struct scratch scratch = divide_scratch(&plan, window, call->workspace,
                                                omp_get_thread_num());
        if (plan.shared)
            share_blocks(call, &plan, &scratch, blocks);
        else
            hand_out_blocks(call, &plan, &scratch, blocks);
    }
}

/* A tap's place in the order of multiply_points. */
static int64_t place_tap(int64_t tap, int64_t taps, int64_t groups)
{
    int64_t place = tap / groups;
    for (int64_t group = 0; group < tap % groups; group++)
        place += positive_ceiling(taps - group, groups);
    return place;
}

static int64_t weight_count(const struct i3d_convolution *convolution)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    return POINTS * i3d_packed_size(&convolution->panels, convolution->channels * window->stride[1]
                                        * window->stride[1] * window->kernel[0]);
}

/* What packing one panel's kernels needs. */
struct packing {
    const struct i3d_convolution *convolution;
    const float *weight;
    const double *scale;
    int64_t stride, taps, depth; /* over H and W; over time; inputs × taps */
    int64_t one_point;           /* floats of one point's factor */
    float *to;
};

/* Takes the taps of one phase of one channel from some filters' kernels; what a
 * kernel does not reach is left. Layout as winograd_kernels wants it. */
static void take_phase(const struct packing *packing, int64_t filter, int64_t lane,
                       int64_t input, int64_t tap, double *phase)
{
    const struct i3d_convolution *convolution = packing->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t stride = packing->stride, side = taps_of_phase(window, 1);
    int64_t channel = input / (stride * stride);
    double factor = packing->scale ? packing->scale[filter] : 1;
    const float *kernel = packing->weight
        + ((filter * convolution->channels + channel) * packing->taps + tap) * window->kernel[1]
            * window->kernel[2];
    for (int64_t y = input / stride % stride; y < window->kernel[1]; y += stride)
        for (int64_t x = input % stride; x < window->kernel[2]; x += stride)
            phase[8 * (y / stride * side + x / stride) + lane] =
                (double)kernel[y * window->kernel[2] + x] * factor;
}

static void pack_panel(const struct packing *packing, const struct i3d_panel *panel)
{
    const struct i3d_convolution *convolution = packing->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t groups = i3d_tap_groups(window, 0), inputs = packing->depth / packing->taps;
    for (int64_t i = 0; i < packing->depth * panel->size; i += panel->size) {
        int64_t tap = i / panel->size / inputs, input = i / panel->size % inputs;
        float *columns = packing->to + panel->first_row * packing->depth
            + (place_tap(tap, packing->taps, groups) * inputs + input) * panel->size;
        for (int64_t first = 0; first < panel->size; first += 8) {
            double phase[25 * 8] = { 0 };
            float points[POINTS * 8];
            int64_t count = panel->size - first < 8 ? panel->size - first : 8;
            for (int64_t lane = 0; lane < count && first + lane < panel->rows; lane++)
                take_phase(packing, panel->first_row + first + lane, lane, input, tap, phase);
            convolution->kernels->winograd_kernels((int)taps_of_phase(window, 1), phase, points);
            for (int64_t point = 0; point < POINTS; point++)
                memcpy(columns + point * packing->one_point + first, points + 8 * point,
                       (size_t)count * sizeof *points);
        }
    }
}

static void pack(const struct i3d_convolution *convolution, const float *weight,
                 const double *scale, float *to, int threads)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    const struct i3d_panels *panels = &convolution->panels;
    struct packing packing = {
        .convolution = convolution,
        .weight = weight,
        .scale = scale,
        .stride = window->stride[1],
        .taps = window->kernel[0],
        .depth = convolution->channels * window->stride[1] * window->stride[1]
            * window->kernel[0],
        .to = to,
    };
    packing.one_point = i3d_packed_size(panels, packing.depth);
    int64_t count = i3d_panel_count(panels);
    I3D_PARALLEL_FOR(threads)
    for (int64_t i = 0; i < count; i++) {
        struct i3d_panel panel = i3d_panel_at(panels, i);
        pack_panel(&packing, &panel);
    }
}

const struct i3d_convolution_methods i3d_convolve_winograd = {
    weight_count, pack, workspace, run,
};

double i3d_winograd_cost(const struct i3d_convolution_geometry *geometry,
                         const struct i3d_kernels *kernels)
{
    struct plan plan = plan_tiles(geometry, kernels, 1);
    return cost_of_blocks(&plan, geometry, kernels, 1);
}
