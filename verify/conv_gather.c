#include "verify/convolution_parts.h"

#include <string.h>

/* What one tap of one channel sees at count positions from x on in the row (t, y)
 * of the output. */
static void gather_row(const struct i3d_convolution *convolution, const float *channel,
                       const int64_t *tap, int64_t t, int64_t y, int64_t x, int64_t count,
                       float *to)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    bool inside;
    int64_t frame = i3d_tap_frame(&convolution->geometry.window, t, tap[0], &inside);
    int64_t line = i3d_tap_position(window, 1, y, tap[1]);
    if (!inside || line < 0 || line >= window->in[1]) {
        memset(to, 0, (size_t)count * sizeof *to);
        return;
    }
    int64_t low, high, end = x + count;
    i3d_tap_range(window, 2, tap[2], &low, &high);
    low = low < x ? x : low < end ? low : end;
    high = high < low ? low : high < end ? high : end;
    memset(to, 0, (size_t)(low - x) * sizeof *to);
    if (low < high)
        convolution->kernels->gather(channel + (frame * window->in[1] + line) * window->in[2]
                                         + i3d_tap_position(window, 2, low, tap[2]),
                                     window->stride[2], to + (low - x), high - low);
    memset(to + (high - x), 0, (size_t)(end - high) * sizeof *to);
}

bool i3d_sees_frames(const struct i3d_window *window)
{
    for (int axis = 1; axis < 3; axis++)
        if (window->kernel[axis] != 1 || window->stride[axis] != 1 || window->pad_begin[axis]
            || window->in[axis] != window->out[axis])
            return false;
    return true;
}

void i3d_gather_taps(const struct i3d_convolution *convolution, const float *in, int64_t first,
                     int64_t end, int64_t begin, int64_t count, float *to, int64_t row_stride)
{
    const struct i3d_window *window = &convolution->geometry.window.window;
    const int64_t *kernel = window->kernel;
    bool by_frames = i3d_sees_frames(window);
    bool at_once = by_frames && kernel[0] == 1 && window->stride[0] == 1 && !window->pad_begin[0]
        && window->in[0] == window->out[0];
    int64_t width = by_frames ? window->out[1] * window->out[2] : window->out[2];
    for (int64_t k = first; k < end; k++, to += row_stride) {
        int64_t position = k % convolution->kernel_size;
        int64_t tap[] = { position / (kernel[1] * kernel[2]), position / kernel[2] % kernel[1],
                          position % kernel[2] };
        const float *channel = in + k / convolution->kernel_size * convolution->in_size;
        if (at_once) {
            memcpy(to, channel + begin, (size_t)count * sizeof *to);
            continue;
        }
        int64_t line = begin / width, x = begin % width, left = count;
        for (float *at = to; left > 0; line++, x = 0) {
            int64_t here = width - x < left ? width - x : left;
            bool inside;
            if (!by_frames) {
                gather_row(convolution, channel, tap, line / window->out[1],
                           line % window->out[1], x, here, at);
            } else {
                int64_t frame = i3d_tap_frame(&convolution->geometry.window, line, tap[0],
                                              &inside);
                if (inside)
                    memcpy(at, channel + frame * width + x, (size_t)here * sizeof *at);
                else
                    memset(at, 0, (size_t)here * sizeof *at);
            }
            at += here;
            left -= here;
        }
    }
}
