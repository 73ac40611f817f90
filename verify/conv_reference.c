#include "verify/convolution_parts.h"
#include "verify/matrix.h"
#include "verify/parallel.h"

/* The plain algorithm: BLAS over the matrix of what every tap sees, a block of
 * positions at a time. It shares only the gathering with the fast ones. */

enum { COLUMN_FLOATS = 1 << 20, FEWEST_POSITIONS = 64 };

static int64_t block_positions(const struct i3d_convolution *convolution, int threads)
{
    const struct i3d_convolution_geometry *geometry = &convolution->geometry;
    int64_t depth = convolution->channels * convolution->kernel_size;
    int64_t planes = geometry->batch * geometry->groups;
    int64_t positions = COLUMN_FLOATS / depth;
    int64_t share = (planes * convolution->out_size + threads - 1) / threads;
    positions = positions < share ? positions : share;
    positions = positions > FEWEST_POSITIONS ? positions : FEWEST_POSITIONS;
    return positions < convolution->out_size ? positions : convolution->out_size;
}

static int64_t columns_floats(const struct i3d_convolution *convolution, int threads)
{
    return i3d_round_up(convolution->channels * convolution->kernel_size
                            * block_positions(convolution, threads), 16);
}

static int64_t workspace(const struct i3d_convolution *convolution, int threads)
{
    return threads * columns_floats(convolution, threads);
}

static void multiply_block(const struct i3d_convolution_call *call, int64_t positions,
                           int64_t task, float *columns)
{
    const struct i3d_convolution *convolution = call->convolution;
    int64_t blocks = (convolution->out_size + positions - 1) / positions;
    int64_t begin = task % blocks * positions, plane = task / blocks;
    int64_t sample = plane / convolution->geometry.groups;
    int64_t group = plane % convolution->geometry.groups;
    int64_t count = convolution->out_size - begin;
    count = count < positions ? count : positions;
    int64_t filters = convolution->filters, filter = group * filters;
    int64_t depth = convolution->channels * convolution->kernel_size;
    float *out = call->out + sample * call->out_stride + filter * convolution->out_size + begin;
    i3d_gather_taps(convolution,
                    call->in + sample * call->in_stride
                        + group * convolution->channels * convolution->in_size,
                    0, depth, begin, count, columns, count);
    struct i3d_product product = {
        .m = filters,
        .n = count,
        .k = depth,
        .alpha = 1,
        .beta = call->epilogue->residual == call->out,
        .a = convolution->weights + group * convolution->group_weights,
        .lda = depth,
        .b = columns,
        .ldb = count,
        .c = out,
        .ldc = convolution->out_size,
    };
    i3d_multiply(&product);
    for (int64_t row = 0; row < filters; row++)
        i3d_finish_line(call, sample, filter + row, begin, out + row * convolution->out_size,
                        count);
}

static void run(const struct i3d_convolution_call *call)
{
    const struct i3d_convolution *convolution = call->convolution;
    int64_t positions = block_positions(convolution, call->threads);
    int64_t floats = columns_floats(convolution, call->threads);
    int64_t tasks = convolution->geometry.batch * convolution->geometry.groups
        * ((convolution->out_size + positions - 1) / positions);
    I3D_PARALLEL(call->threads)
    {
        float *columns = call->workspace + omp_get_thread_num() * floats;
        I3D_SHARED_FOR
        for (int64_t task = 0; task < tasks; task++)
            multiply_block(call, positions, task, columns);
    }
}

static int64_t weight_count(const struct i3d_convolution *convolution)
{
    return convolution->filters * convolution->channels * convolution->kernel_size;
}

static void pack(const struct i3d_convolution *convolution, const float *weight,
                 const double *scale, float *to, int threads)
{
    (void)threads;
    int64_t depth = convolution->channels * convolution->kernel_size;
    for (int64_t i = 0; i < convolution->filters * depth; i++)
        to[i] = scale ? (float)((double)weight[i] * scale[i / depth]) : weight[i];
}

const struct i3d_convolution_methods i3d_convolve_reference = {
    weight_count, pack, workspace, run,
};
