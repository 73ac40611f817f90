#include "verify/matrix.h"
#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/window3d.h"

#include <stdlib.h>
#include <string.h>

/* Convolution as matrix products: W (filters × taps) · X (taps × positions),
 * where X holds what every tap sees at every output position. X is made for a
 * block of positions at a time, so that it stays in the caches; a kernel of one
 * tap without stride sees the input itself. */

/* Bytes of X at a time and thread. */
enum { COLUMN_BYTES = 4 << 20, FEWEST_POSITIONS = 64 };

struct convolution {
    struct i3d_window3d window;
    int64_t batch, groups;
    int64_t channels, filters; /* of one group */
    int64_t taps;              /* channels × kernel */
    int64_t in_size, out_size; /* positions of one channel */
    bool direct;               /* X is the input */
    int64_t block;             /* positions at a time */
    int64_t filter_slices;     /* parts of W handed out by themselves */
    const float *in, *weight, *bias;
    float *out;
};

static int64_t product3(const int64_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}

/* What one tap of one channel sees at count positions from `first` on, all in
 * one row (t, y) of the output. */
static void gather_row(const struct convolution *conv, const float *channel, const int64_t *tap,
                       int64_t t, int64_t y, int64_t first, int64_t count, float *to)
{
    const struct i3d_window *window = &conv->window.window;
    bool inside;
    int64_t frame = i3d_tap_frame(&conv->window, t, tap[0], &inside);
    int64_t line = i3d_tap_position(window, 1, y, tap[1]);
    if (!inside || line < 0 || line >= window->in[1]) {
        memset(to, 0, (size_t)count * sizeof *to);
        return;
    }
    int64_t low, high, stride = window->stride[2], end = first + count;
    i3d_tap_range(window, 2, tap[2], &low, &high);
    low = low < first ? first : low < end ? low : end;
    high = high < low ? low : high < end ? high : end;
    const float *from = channel + (frame * window->in[1] + line) * window->in[2]
        + i3d_tap_position(window, 2, 0, tap[2]);
    for (int64_t x = first; x < low; x++)
        *to++ = 0;
    if (stride == 1 && high > low) {
        memcpy(to, from + low, (size_t)(high - low) * sizeof *to);
        to += high - low;
    } else {
        for (int64_t x = low; x < high; x++)
            *to++ = from[x * stride];
    }
    for (int64_t x = high; x < end; x++)
        *to++ = 0;
}

/* X for the positions [begin, end), taps in W's order. */
static void gather_columns(const struct convolution *conv, const float *in, int64_t begin,
                           int64_t end, float *columns)
{
    const struct i3d_window *window = &conv->window.window;
    int64_t width = window->out[2], kernel_size = product3(window->kernel);
    for (int64_t row = 0; row < conv->taps; row++) {
        int64_t k = row % kernel_size;
        int64_t tap[] = { k / (window->kernel[1] * window->kernel[2]),
                          k / window->kernel[2] % window->kernel[1], k % window->kernel[2] };
        const float *channel = in + row / kernel_size * conv->in_size;
        for (int64_t position = begin; position < end;) {
            int64_t line = position / width, x = position % width;
            int64_t count = width - x < end - position ? width - x : end - position;
            gather_row(conv, channel, tap, line / window->out[1], line % window->out[1], x, count,
                       columns);
            columns += count;
            position += count;
        }
    }
}

static void fill(float *to, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = value;
}

/* The output over an empty input, all of it padding. */
static void see_nothing(const struct convolution *conv)
{
    int64_t filters = conv->groups * conv->filters;
    for (int64_t plane = 0; plane < conv->batch * filters; plane++)
        fill(conv->out + plane * conv->out_size, conv->out_size,
             conv->bias ? conv->bias[plane % filters] : 0);
}

/* One piece of work: a block of positions of one group of one batch element, for
 * a slice of the filters. */
static void convolve_block(const struct convolution *conv, int64_t task, float *columns)
{
    int64_t blocks = (conv->out_size + conv->block - 1) / conv->block;
    int64_t slice = task % conv->filter_slices, block = task / conv->filter_slices % blocks;
    int64_t plane = task / conv->filter_slices / blocks; /* batch element and group */
    int64_t group = plane % conv->groups;
    int64_t begin = block * conv->block;
    int64_t count = conv->out_size - begin < conv->block ? conv->out_size - begin : conv->block;
    int64_t first = conv->filters * slice / conv->filter_slices;
    int64_t last = conv->filters * (slice + 1) / conv->filter_slices;
    const float *in = conv->in + plane * conv->channels * conv->in_size;
    float *out = conv->out + (plane * conv->filters + first) * conv->out_size + begin;

    if (!conv->direct)
        gather_columns(conv, in, begin, begin + count, columns);
    for (int64_t filter = first; conv->bias && filter < last; filter++)
        fill(out + (filter - first) * conv->out_size, count,
             conv->bias[group * conv->filters + filter]);
    struct i3d_product product = {
        .m = last - first,
        .n = count,
        .k = conv->taps,
        .alpha = 1,
        .beta = conv->bias ? 1 : 0,
        .a = conv->weight + (group * conv->filters + first) * conv->taps,
        .lda = conv->taps,
        .b = conv->direct ? in + begin : columns,
        .ldb = conv->direct ? conv->in_size : count,
        .c = out,
        .ldc = conv->out_size,
    };
    i3d_multiply(&product);
}

/* Chooses blocks that fit the budget, and enough of them for every thread. */
static int64_t plan_blocks(struct convolution *conv, int threads)
{
    int64_t column = conv->taps * (int64_t)sizeof(float), planes = conv->batch * conv->groups;
    conv->block = COLUMN_BYTES / column;
    int64_t share = (planes * conv->out_size + threads - 1) / threads;
    if (conv->block > share)
        conv->block = share;
    if (conv->block < FEWEST_POSITIONS)
        conv->block = FEWEST_POSITIONS;
    if (conv->block > conv->out_size)
        conv->block = conv->out_size;
    int64_t tasks = planes * ((conv->out_size + conv->block - 1) / conv->block);
    conv->filter_slices = 1;
    if (tasks < threads && conv->direct)
        conv->filter_slices = conv->filters < threads ? conv->filters : threads;
    return tasks * conv->filter_slices;
}

static enum i3d_status convolve(const struct i3d_operation *op, struct convolution *conv)
{
    int64_t tasks = plan_blocks(conv, op->threads);
    size_t columns_size = conv->direct ? 1 : (size_t)(conv->taps * conv->block);
    bool short_of_memory = false;
    I3D_PARALLEL(op->threads)
    {
        float *columns = malloc(columns_size * sizeof *columns);
        if (!columns) {
            I3D_ATOMIC_WRITE
            short_of_memory = true;
        }
        I3D_SHARED_FOR
        for (int64_t task = 0; task < tasks; task++)
            if (columns)
                convolve_block(conv, task, columns);
        free(columns);
    }
    return short_of_memory ? i3d_fail_memory(op->error) : I3D_OK;
}

static enum i3d_status check_operands(const struct i3d_operation *op, int64_t groups)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    if (in->rank < 3 || weight->rank != in->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "its weight has rank %d, its input rank %d",
                        weight->rank, in->rank);
    if (groups < 1 || weight->dims[0] % groups || in->dims[1] % groups
        || in->dims[1] / groups != weight->dims[1])
        return i3d_fail(op->error, I3D_MALFORMED,
                        "%lld channels in %lld groups, a weight of %lld filters for %lld channels",
                        (long long)in->dims[1], (long long)groups, (long long)weight->dims[0],
                        (long long)weight->dims[1]);
    return i3d_op_has(op, 2) ? i3d_op_check_vector(op, 2, weight->dims[0]) : I3D_OK;
}

static bool is_direct(const struct i3d_window *window)
{
    for (int k = 0; k < 3; k++)
        if (window->kernel[k] != 1 || window->stride[k] != 1 || window->pad_begin[k]
            || window->pad_end[k])
            return false;
    return true;
}

enum i3d_status i3d_op_conv(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    struct convolution conv = { .groups = i3d_int(op->node, "group", 1) };
    int64_t dims[I3D_MAX_RANK];
    enum i3d_status status = check_operands(op, conv.groups);
    if (!status)
        status = i3d_op_window(op, weight->dims + 2, &conv.window);
    if (status)
        return status;
    memcpy(dims, in->dims, sizeof dims);
    dims[1] = weight->dims[0];
    for (int k = 2; k < in->rank; k++)
        dims[k] = conv.window.window.out[3 - in->rank + k];
    status = i3d_op_output(op, 0, I3D_FLOAT32, in->rank, dims);
    if (status || !op->outputs[0].data)
        return status;

    conv.batch = in->dims[0];
    conv.channels = weight->dims[1];
    conv.filters = weight->dims[0] / conv.groups;
    conv.in_size = product3(conv.window.window.in);
    conv.out_size = product3(conv.window.window.out);
    conv.taps = i3d_array_span(weight, 1, weight->rank);
    conv.direct = is_direct(&conv.window.window);
    conv.in = in->data;
    conv.weight = weight->data;
    conv.bias = i3d_op_has(op, 2) ? op->inputs[2].data : NULL;
    conv.out = op->outputs[0].data;
    struct i3d_product largest = { .m = conv.filters, .n = conv.out_size, .k = conv.taps,
                                   .lda = conv.taps, .ldb = conv.in_size, .ldc = conv.out_size };
    if (!i3d_product_fits(&largest))
        return i3d_fail(op->error, I3D_UNSUPPORTED, "a matrix side beyond 2^31 is not handled");
    if (!conv.in || !conv.weight) {
        see_nothing(&conv);
        return I3D_OK;
    }
    return convolve(op, &conv);
}
