#include "verify/convolution_parts.h"
#include "verify/parallel.h"

#include <string.h>

/* One channel per group: no matrix product, but every tap's plane added up. A
 * channel's frames are copied with their pads, each line as one phase per residue
 * of x modulo the stride, so that what a tap sees is contiguous and never missing;
 * a tap is then an offset. */

/* Floats of such a copy that should stay in the second cache. */
enum { COPY_FLOATS = 48 << 10 };

struct copy {
    int64_t frames;          /* of the output at a time */
    int64_t copied_frames;   /* that they see */
    int64_t lines;           /* of a copied frame, pads included */
    int64_t phases, phase_stride;
};

static struct copy plan_copy(const struct i3d_convolution *convolution)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    struct copy copy = { .phases = window->stride[2] };
    int64_t reach[3];
    for (int k = 0; k < 3; k++)
        reach[k] = (window->kernel[k] - 1) * window->dilation[k] + 1;
    copy.lines = (window->out[1] - 1) * window->stride[1] + reach[1];
    copy.phase_stride = i3d_round_up(window->out[2] + (reach[2] - 1) / copy.phases, 8);
    int64_t frame = copy.lines * copy.phases * copy.phase_stride;
    copy.frames = COPY_FLOATS / frame > reach[0]
        ? (COPY_FLOATS / frame - reach[0]) / window->stride[0] + 1 : 1;
    copy.frames = copy.frames < window->out[0] ? copy.frames : window->out[0];
    copy.copied_frames = (copy.frames - 1) * window->stride[0] + reach[0];
    return copy;
}

static int64_t copy_floats(const struct i3d_convolution *convolution, const struct copy *copy)
{
    int64_t offsets = convolution->kernel_size * (int64_t)(sizeof(int64_t) / sizeof(float));
    return i3d_round_up(copy->copied_frames * copy->lines * copy->phases * copy->phase_stride, 16)
        + i3d_round_up(offsets, 16) + i3d_round_up(convolution->geometry.window.window.out[2], 16);
}

static int64_t workspace(const struct i3d_convolution *convolution, int threads)
{
    struct copy copy = plan_copy(convolution);
    return threads * copy_floats(convolution, &copy);
}

/* One line of the copy: element i of phase p is x = i·phases + p - pad. */
static void copy_line(const struct i3d_convolution *convolution, const struct copy *copy,
                      const float *line, float *to)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t width = window->in[2], phases = copy->phases;
    for (int64_t phase = 0; phase < phases; phase++, to += copy->phase_stride) {
        int64_t start = phase - window->pad_begin[2];
        int64_t low = start < 0 ? (-start + phases - 1) / phases : 0;
        int64_t high = width > start ? (width - start + phases - 1) / phases : 0;
        low = low < copy->phase_stride ? low : copy->phase_stride;
        high = high < copy->phase_stride ? high : copy->phase_stride;
        high = high > low ? high : low;
        memset(to, 0, (size_t)low * sizeof *to);
        if (high > low)
            convolution->kernels->gather(line + start + low * phases, phases, to + low,
                                         high - low);
        memset(to + high, 0, (size_t)(copy->phase_stride - high) * sizeof *to);
    }
}

static void copy_frames(const struct i3d_convolution *convolution, const struct copy *copy,
                        const float *channel, int64_t first, int64_t frames, float *to)
{
    const struct i3d_window3d *wide = &convolution->geometry.window;
    const struct i3d_window *window = &wide->window;
    int64_t line_floats = copy->phases * copy->phase_stride;
    int64_t reach = (window->kernel[0] - 1) * window->dilation[0] + 1;
    int64_t copied = (frames - 1) * window->stride[0] + reach;
    for (int64_t i = 0; i < copied * copy->lines; i++, to += line_floats) {
        int64_t t = first * window->stride[0] - window->pad_begin[0] + i / copy->lines;
        int64_t y = i % copy->lines - window->pad_begin[1];
        if (wide->clamp_time)
            t = t < 0 ? 0 : t >= window->in[0] ? window->in[0] - 1 : t;
        if (t < 0 || t >= window->in[0] || y < 0 || y >= window->in[1])
            memset(to, 0, (size_t)line_floats * sizeof *to);
        else
            copy_line(convolution, copy, channel + (t * window->in[1] + y) * window->in[2], to);
    }
}

static void find_offsets(const struct i3d_convolution *convolution, const struct copy *copy,
                         int64_t *offsets)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t line_floats = copy->phases * copy->phase_stride;
    for (int64_t k = 0; k < convolution->kernel_size; k++) {
        int64_t x = k % window->kernel[2] * window->dilation[2];
        int64_t y = k / window->kernel[2] % window->kernel[1] * window->dilation[1];
        int64_t t = k / window->kernel[2] / window->kernel[1] * window->dilation[0];
        offsets[k] = (t * copy->lines + y) * line_floats + x % copy->phases * copy->phase_stride
            + x / copy->phases;
    }
}

/* Some frames of the outputs of one channel of one sample. */
static void correlate_frames(const struct i3d_convolution_call *call, const struct copy *copy,
                             int64_t plane, int64_t first, float *frames, float *line,
                             const int64_t *offsets)
{
    const struct i3d_convolution *convolution = call->convolution;
    const struct i3d_window *window = &convolution->geometry.window.window;
    int64_t sample = plane / convolution->geometry.groups;
    int64_t channel = plane % convolution->geometry.groups;
    int64_t line_floats = copy->phases * copy->phase_stride, width = window->out[2];
    int64_t count = window->out[0] - first < copy->frames ? window->out[0] - first : copy->frames;
    copy_frames(convolution, copy,
                call->in + sample * call->in_stride + channel * convolution->in_size, first,
                count, frames);
    for (int64_t f = 0; f < convolution->filters; f++) {
        int64_t filter = channel * convolution->filters + f;
        const float *weights = convolution->weights + channel * convolution->group_weights
            + f * convolution->kernel_size;
        for (int64_t i = 0; i < count * window->out[1]; i++) {
            int64_t t = i / window->out[1], y = i % window->out[1];
            int64_t position = ((first + t) * window->out[1] + y) * width;
            convolution->kernels->correlate(
                frames + (t * window->stride[0] * copy->lines + y * window->stride[1])
                        * line_floats,
                offsets, weights, convolution->kernel_size, line, width);
            i3d_finish_line(call, sample, filter, position, line, width);
        }
    }
}

static void run(const struct i3d_convolution_call *call)
{
    const struct i3d_convolution *convolution = call->convolution;
    struct copy copy = plan_copy(convolution);
    int64_t floats = copy_floats(convolution, &copy);
    int64_t pieces = (convolution->geometry.window.window.out[0] + copy.frames - 1) / copy.frames;
    int64_t tasks = convolution->geometry.batch * convolution->geometry.groups * pieces;
    int64_t line_floats = i3d_round_up(convolution->geometry.window.window.out[2], 16);
    int64_t offset_floats = i3d_round_up(
        convolution->kernel_size * (int64_t)(sizeof(int64_t) / sizeof(float)), 16);
    I3D_PARALLEL(call->threads)
    {
        float *own = call->workspace + omp_get_thread_num() * floats;
        int64_t *offsets = (int64_t *)(void *)own;
        find_offsets(convolution, &copy, offsets);
        I3D_SHARED_FOR
        for (int64_t task = 0; task < tasks; task++)
            correlate_frames(call, &copy, task / pieces, task % pieces * copy.frames,
                             own + offset_floats, own + floats - line_floats, offsets);
    }
}

static int64_t weight_count(const struct i3d_convolution *convolution)
{
    return convolution->filters * convolution->kernel_size;
}

static void pack(const struct i3d_convolution *convolution, const float *weight,
                 const double *scale, float *to, int threads)
{
    (void)threads;
    for (int64_t i = 0; i < convolution->filters * convolution->kernel_size; i++)
        to[i] = scale ? (float)((double)weight[i] * scale[i / convolution->kernel_size])
                      : weight[i];
}

const struct i3d_convolution_methods i3d_convolve_depthwise = {
    weight_count, pack, workspace, run,
};
