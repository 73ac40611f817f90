#include "verify/window3d.h"

void i3d_widen_window(const struct i3d_window *narrow, struct i3d_window3d *wide)
{
    int ahead = 3 - narrow->axes;
    struct i3d_window *window = &wide->window;
    *wide = (struct i3d_window3d){ .window.axes = 3 };
    for (int k = 0; k < 3; k++) {
        int from = k - ahead;
        bool there = from >= 0;
        window->kernel[k] = there ? narrow->kernel[from] : 1;
        window->stride[k] = there ? narrow->stride[from] : 1;
        window->dilation[k] = there ? narrow->dilation[from] : 1;
        window->pad_begin[k] = there ? narrow->pad_begin[from] : 0;
        window->pad_end[k] = there ? narrow->pad_end[from] : 0;
        window->excess[k] = there ? narrow->excess[from] : 0;
        window->in[k] = there ? narrow->in[from] : 1;
        window->out[k] = there ? narrow->out[from] : 1;
    }
}

/* The window over time as it lies on an excerpt. */
static void move_window(struct i3d_window *window, const struct i3d_excerpt *excerpt)
{
    int64_t seen = (excerpt->out - 1) * window->stride[0]
        + (window->kernel[0] - 1) * window->dilation[0] + 1;
    int64_t behind = seen - excerpt->pad_begin - window->in[0];
    window->pad_begin[0] = excerpt->pad_begin;
    window->pad_end[0] = behind > 0 ? behind : 0;
    window->excess[0] = 0;
    window->out[0] = excerpt->out;
}

enum i3d_status i3d_op_window(const struct i3d_operation *op, const int64_t *kernel_dims,
                              struct i3d_window3d *window)
{
    const struct i3d_array *in = &op->inputs[0];
    if (in->rank < 3)
        return i3d_fail(op->error, I3D_MALFORMED, "its input of rank %d has no spatial axis",
                        in->rank);
    struct i3d_window resolved;
    enum i3d_status status = i3d_resolve_window(op->node, in->rank - 2, kernel_dims, in->dims + 2,
                                                &resolved, op->error);
    if (status)
        return status;
    i3d_widen_window(&resolved, window);
    if (op->excerpt && in->rank == 5)
        move_window(&window->window, op->excerpt);
    window->clamp_time = op->edge_time && in->rank == 5 && in->dims[2] > 0;
    return I3D_OK;
}

enum i3d_status i3d_op_pool_window(const struct i3d_operation *op, struct i3d_window3d *window)
{
    size_t count;
    const int64_t *kernel = i3d_ints(op->node, "kernel_shape", &count);
    if (!kernel || (int64_t)count != op->inputs[0].rank - 2)
        return i3d_fail(op->error, I3D_MALFORMED, "kernel_shape has %zu numbers, its input rank %d",
                        kernel ? count : 0, op->inputs[0].rank);
    return i3d_op_window(op, kernel, window);
}
