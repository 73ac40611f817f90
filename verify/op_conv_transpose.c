#include "model/shape_infer.h"
#include "verify/matrix.h"
#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/window3d.h"

#include <stdlib.h>

/* Transposed convolution, one filter at a time: Wᵀ (taps × channels) · X
 * (channels × positions) says what every input position gives to every tap;
 * the taps are then added up where they fall in the output.
 *
 * The window is that of the convolution of which this is the transpose: `in`
 * and `out` are exchanged. Tap k of input position i falls on output position
 * i·stride − pad_begin + k·dilation. */

struct transposed {
    struct i3d_window3d window; /* in: this operator's output; out: its input */
    int64_t batch, groups;
    int64_t channels, filters;  /* of one group */
    int64_t kernel_size;
    int64_t in_size, out_size;  /* positions of one channel */
    const float *in, *weight, *bias;
    float *out;
};

/* Adds what one line of input positions gives through one tap. */
static void add_line(const struct i3d_window *window, int64_t tap, const float *given, float *line)
{
    int64_t low, high, stride = window->stride[2];
    i3d_tap_range(window, 2, tap, &low, &high);
    int64_t first = i3d_tap_position(window, 2, 0, tap);
    for (int64_t x = low; x < high; x++)
        line[first + x * stride] += given[x];
}

/* Adds one input frame's gifts to an output frame, through the taps (t, all y, all x). */
static void add_frame(const struct transposed *conv, int64_t tap_t, const float *given,
                      int64_t from, float *frame)
{
    const struct i3d_window *window = &conv->window.window;
    int64_t lines = window->out[1], width = window->out[2];
    for (int64_t ky = 0; ky < window->kernel[1]; ky++) {
        for (int64_t kx = 0; kx < window->kernel[2]; kx++) {
            int64_t tap = (tap_t * window->kernel[1] + ky) * window->kernel[2] + kx, low, high;
            const float *plane = given + tap * conv->in_size + from * lines * width;
            i3d_tap_range(window, 1, ky, &low, &high);
            for (int64_t y = low; y < high; y++)
                add_line(window, kx, plane + y * width,
                         frame + i3d_tap_position(window, 1, y, ky) * window->in[2]);
        }
    }
}

/* The input frame whose tap k falls on output frame t. With clamped time the
 * input goes on as its first and last frame. */
static bool giving_frame(const struct i3d_window3d *window, int64_t t, int64_t k, int64_t *from)
{
    int64_t stride = window->window.stride[0], frames = window->window.out[0];
    int64_t reach = t + window->window.pad_begin[0] - k * window->window.dilation[0];
    if (reach % stride)
        return false;
    *from = reach / stride;
    if (window->clamp_time)
        *from = *from < 0 ? 0 : *from >= frames ? frames - 1 : *from;
    return *from >= 0 && *from < frames;
}

static void convolve_filter(const struct transposed *conv, int64_t task, float *given)
{
    const struct i3d_window *window = &conv->window.window;
    int64_t plane = task / conv->filters, filter = task % conv->filters;
    int64_t group = plane % conv->groups, row = conv->filters * conv->kernel_size;
    struct i3d_product product = {
        .a_transposed = true,
        .m = conv->kernel_size,
        .n = conv->in_size,
        .k = conv->channels,
        .alpha = 1,
        .a = conv->weight + group * conv->channels * row + filter * conv->kernel_size,
        .lda = row,
        .b = conv->in + plane * conv->channels * conv->in_size,
        .ldb = conv->in_size,
        .c = given,
        .ldc = conv->in_size,
    };
    i3d_multiply(&product);
    float *out = conv->out + task * conv->out_size;
    float bias = conv->bias ? conv->bias[group * conv->filters + filter] : 0;
    for (int64_t i = 0; i < conv->out_size; i++)
        out[i] = bias;
    for (int64_t t = 0; t < window->in[0]; t++) {
        for (int64_t k = 0; k < window->kernel[0]; k++) {
            int64_t from;
            if (giving_frame(&conv->window, t, k, &from))
                add_frame(conv, k, given, from, out + t * window->in[1] * window->in[2]);
        }
    }
}

static enum i3d_status convolve(const struct i3d_operation *op, const struct transposed *conv)
{
    int64_t tasks = conv->batch * conv->groups * conv->filters;
    bool short_of_memory = false;
    I3D_PARALLEL(op->threads)
    {
        float *given = malloc((size_t)(conv->kernel_size * conv->in_size) * sizeof *given);
        if (!given) {
            I3D_ATOMIC_WRITE
            short_of_memory = true;
        }
        I3D_SHARED_FOR
        for (int64_t task = 0; task < tasks; task++)
            if (given)
                convolve_filter(conv, task, given);
        free(given);
    }
    return short_of_memory ? i3d_fail_memory(op->error) : I3D_OK;
}

/* Where explicit pads do not say it, the output is cut from both ends so that
 * its size comes out; what cannot be halved goes to the side that auto_pad
 * names (ConvTranspose-11). Where the output is longer, zeros end it. */
static void place(const struct i3d_node *node, struct i3d_window *window, int axis)
{
    size_t count;
    const int64_t *pads = i3d_ints(node, "pads", &count);
    const int64_t *extra = i3d_ints(node, "output_padding", &count);
    bool shaped = i3d_ints(node, "output_shape", &count) != NULL;
    bool upper = i3d_string_is(node, "auto_pad", "SAME_UPPER");
    bool same = upper || i3d_string_is(node, "auto_pad", "SAME_LOWER");
    int64_t extent = (window->kernel[axis] - 1) * window->dilation[axis] + 1;
    int64_t full = (window->out[axis] - 1) * window->stride[axis] + extent
        + (extra ? extra[axis] : 0);
    int64_t total = full > window->in[axis] ? full - window->in[axis] : 0;
    if (!shaped && !same)
        window->pad_begin[axis] =
            pads && !i3d_string_is(node, "auto_pad", "VALID") ? pads[axis] : 0;
    else
        window->pad_begin[axis] = upper ? total / 2 : total - total / 2;
}

static enum i3d_status resolve(const struct i3d_operation *op, struct i3d_window3d *resolved,
                               int64_t *out_dims)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    int axes = in->rank - 2;
    if (axes > 3)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "%d spatial axes are not handled", axes);
    enum i3d_status status = i3d_infer_transposed_window(op->node, axes, weight->dims + 2,
                                                         in->dims + 2, out_dims, op->error);
    if (status)
        return status;
    size_t count;
    const int64_t *strides = i3d_ints(op->node, "strides", &count);
    const int64_t *dilations = i3d_ints(op->node, "dilations", &count);
    struct i3d_window window = { .axes = axes };
    for (int k = 0; k < axes; k++) {
        window.kernel[k] = weight->dims[2 + k];
        window.stride[k] = strides ? strides[k] : 1;
        window.dilation[k] = dilations ? dilations[k] : 1;
        window.in[k] = out_dims[k];
        window.out[k] = in->dims[2 + k];
        place(op->node, &window, k);
    }
    i3d_widen_window(&window, resolved);
    resolved->clamp_time = op->edge_time && in->rank == 5 && in->dims[2] > 0;
    return I3D_OK;
}

static enum i3d_status check_operands(const struct i3d_operation *op, int64_t groups)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    if (in->rank < 3 || weight->rank != in->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "its weight has rank %d, its input rank %d",
                        weight->rank, in->rank);
    int64_t filters;
    if (groups < 1 || in->dims[1] != weight->dims[0] || in->dims[1] % groups
        || __builtin_mul_overflow(groups, weight->dims[1], &filters))
        return i3d_fail(op->error, I3D_MALFORMED,
                        "%lld channels in %lld groups, a weight for %lld channels",
                        (long long)in->dims[1], (long long)groups, (long long)weight->dims[0]);
    return i3d_op_has(op, 2) ? i3d_op_check_vector(op, 2, filters) : I3D_OK;
}

enum i3d_status i3d_op_conv_transpose(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    struct transposed conv = { .groups = i3d_int(op->node, "group", 1) };
    int64_t dims[I3D_MAX_RANK];
    enum i3d_status status = check_operands(op, conv.groups);
    if (!status)
        status = resolve(op, &conv.window, dims + 2);
    if (status)
        return status;
    dims[0] = in->dims[0];
    dims[1] = weight->dims[1] * conv.groups;
    status = i3d_op_output(op, 0, I3D_FLOAT32, in->rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    conv.batch = in->dims[0];
    conv.channels = in->dims[1] / conv.groups;
    conv.filters = weight->dims[1];
    conv.kernel_size = i3d_array_span(weight, 2, weight->rank);
    conv.in_size = i3d_array_span(in, 2, in->rank);
    conv.out_size = i3d_array_span(&op->outputs[0], 2, in->rank);
    conv.in = in->data;
    conv.weight = weight->data;
    conv.bias = i3d_op_has(op, 2) ? op->inputs[2].data : NULL;
    conv.out = op->outputs[0].data;
    struct i3d_product largest = { .m = conv.kernel_size, .n = conv.in_size, .k = conv.channels,
                                   .lda = conv.filters * conv.kernel_size };
    int64_t given;
    if (!i3d_product_fits(&largest)
        || __builtin_mul_overflow(conv.kernel_size, conv.in_size, &given)
        || given > INT64_MAX / 16)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "a matrix beyond 2^31 is not handled");
    return convolve(op, &conv);
}
