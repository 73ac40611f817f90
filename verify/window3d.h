/* Windows over three axes, for convolutions and pools of one to three; not
 * installed. Axis 0 is time, or of length 1 where there are fewer axes. */
#pragma once

#include "verify/operation.h"

struct i3d_window3d {
    struct i3d_window window; /* axes is 3 */
    /* Positions outside the clip stand for the nearest frame: a window's time
     * has no padding, and no end. */
    bool clamp_time;
};

/* Moves a window's axes to the end of three, windows of one element ahead of
 * them; time is not clamped. */
void i3d_widen_window(const struct i3d_window *narrow, struct i3d_window3d *wide);

/* Resolves the node's window for input 0 (rank 3 to 5). */
enum i3d_status i3d_op_window(const struct i3d_operation *op, const int64_t *kernel_dims,
                              struct i3d_window3d *window);
/* The same from the node's kernel_shape. */
enum i3d_status i3d_op_pool_window(const struct i3d_operation *op, struct i3d_window3d *window);

/* Input position of tap k of output position i on an axis, maybe outside it. */
static inline int64_t i3d_tap_position(const struct i3d_window *window, int axis, int64_t i,
                                       int64_t k)
{
    return i * window->stride[axis] - window->pad_begin[axis] + k * window->dilation[axis];
}

/* The same for time, with *inside false where the tap sees padding. */
static inline int64_t i3d_tap_frame(const struct i3d_window3d *window, int64_t i, int64_t k,
                                    bool *inside)
{
    int64_t t = i3d_tap_position(&window->window, 0, i, k), frames = window->window.in[0];
    if (window->clamp_time)
        t = t < 0 ? 0 : t >= frames ? frames - 1 : t;
    *inside = t >= 0 && t < frames;
    return t;
}

/* The output positions [*low, *high) of an axis whose tap k lies in the input. */
static inline void i3d_tap_range(const struct i3d_window *window, int axis, int64_t k,
                                 int64_t *low, int64_t *high)
{
    int64_t first = i3d_tap_position(window, axis, 0, k), stride = window->stride[axis];
    int64_t last = window->in[axis] - 1 - first;
    *low = first < 0 ? (-first + stride - 1) / stride : 0;
    *high = last < 0 ? 0 : last / stride + 1;
    *high = *high < window->out[axis] ? *high : window->out[axis];
    *low = *low < *high ? *low : *high;
}
