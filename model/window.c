#include "model/shape.h"
#include "model/shape_infer.h"

#include <string.h>

/* Sizes and attributes stay below this, so that no sum or product of two of
 * them leaves int64. */
static const int64_t window_limit = INT32_MAX;

enum auto_pad { PAD_EXPLICIT, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER };

static enum i3d_status read_auto_pad(const struct i3d_node *node, enum auto_pad *mode,
                                     struct i3d_error *error)
{
    static const struct {
        const char *name;
        enum auto_pad mode;
    } modes[] = {
        { "NOTSET", PAD_EXPLICIT },
        { "VALID", PAD_VALID },
        { "SAME_UPPER", PAD_SAME_UPPER },
        { "SAME_LOWER", PAD_SAME_LOWER },
    };
    *mode = PAD_EXPLICIT;
    const struct i3d_attribute *attribute = i3d_attribute(node, "auto_pad");
    if (!attribute || (attribute->type == I3D_ATTRIBUTE_STRING && !attribute->s.length))
        return I3D_OK;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (i3d_string_is(node, "auto_pad", modes[i].name)) {
            *mode = modes[i].mode;
            return I3D_OK;
        }
    }
    return i3d_fail(error, I3D_MALFORMED,
                    "auto_pad is none of NOTSET, VALID, SAME_UPPER and SAME_LOWER");
}

/* One number per entry of the attribute, or the fallback for each where it is
 * left out. */
static enum i3d_status read_numbers(const struct i3d_node *node, const char *name, int expected,
                                    int64_t smallest, int64_t fallback, int64_t *numbers,
                                    struct i3d_error *error)
{
    if (!i3d_attribute(node, name)) {
        for (int k = 0; k < expected; k++)
            numbers[k] = fallback;
        return I3D_OK;
    }
    size_t count;
    const int64_t *given = i3d_ints(node, name, &count);
    if (count != (size_t)expected)
        return i3d_fail(error, I3D_MALFORMED, "%s has %zu numbers where %d are needed", name,
                        count, expected);
    for (int k = 0; k < expected; k++) {
        if (given[k] < smallest || given[k] > window_limit)
            return i3d_fail(error, I3D_MALFORMED, "%s holds %lld", name, (long long)given[k]);
        numbers[k] = given[k];
    }
    return I3D_OK;
}

static int64_t divide_up(int64_t numerator, int64_t divisor)
{
    return numerator / divisor + (numerator % divisor > 0);
}

static int64_t divide_down(int64_t numerator, int64_t divisor)
{
    return numerator / divisor - (numerator % divisor < 0);
}

/* Fills pads, out and excess of axis k from what is known of it. */
static enum i3d_status place_windows(struct i3d_window *window, int k, enum auto_pad auto_pad,
                                     bool round_up, struct i3d_error *error)
{
    int64_t in = window->in[k], stride = window->stride[k];
    int64_t extent = (window->kernel[k] - 1) * window->dilation[k] + 1;
    int64_t *begin = &window->pad_begin[k], *end = &window->pad_end[k];

    if (auto_pad == PAD_SAME_UPPER || auto_pad == PAD_SAME_LOWER) {
        int64_t out = divide_up(in, stride);
        int64_t total = out > 0 ? (out - 1) * stride + extent - in : 0;
        if (total < 0)
            total = 0;
        *begin = auto_pad == PAD_SAME_UPPER ? total / 2 : total - total / 2;
        *end = total - *begin;
        round_up = false;
    } else if (auto_pad == PAD_VALID) {
        *begin = *end = 0;
    }

    int64_t room = in + *begin + *end - extent;
    int64_t out = (round_up ? divide_up(room, stride) : divide_down(room, stride)) + 1;
    /* Rounding up must not add a window that sees nothing but end padding. */
    if (round_up && (out - 1) * stride >= in + *begin)
        out--;
    if (out < 1)
        return i3d_fail(error, I3D_MALFORMED,
                        "a window of %lld is larger than its padded input of %lld",
                        (long long)extent, (long long)(in + *begin + *end));
    window->out[k] = out;
    int64_t excess = (out - 1) * stride - room;
    window->excess[k] = excess > 0 ? excess : 0;
    return I3D_OK;
}

static enum i3d_status resolve(const struct i3d_node *node, int axes, const int64_t *kernel_dims,
                               const int64_t *in_dims, struct i3d_window *window,
                               struct i3d_error *error)
{
    *window = (struct i3d_window){ .axes = axes };
    if (axes < 1 || axes > 3)
        return i3d_fail(error, I3D_UNSUPPORTED, "windows over %d spatial axes are not handled",
                        axes);
    for (int k = 0; k < axes; k++) {
        if (kernel_dims[k] < 1 || kernel_dims[k] > window_limit)
            return i3d_fail(error, I3D_MALFORMED, "the kernel size is %lld",
                            (long long)kernel_dims[k]);
        if (in_dims[k] < 0 || in_dims[k] > window_limit)
            return i3d_fail(error, I3D_UNSUPPORTED, "an input size of %lld is not handled",
                            (long long)in_dims[k]);
        window->kernel[k] = kernel_dims[k];
        window->in[k] = in_dims[k];
    }

    enum auto_pad auto_pad;
    int64_t declared[3], pads[6];
    enum i3d_status status = read_auto_pad(node, &auto_pad, error);
    if (!status)
        status = read_numbers(node, "strides", axes, 1, 1, window->stride, error);
    if (!status)
        status = read_numbers(node, "dilations", axes, 1, 1, window->dilation, error);
    if (!status)
        status = read_numbers(node, "pads", 2 * axes, 0, 0, pads, error);
    if (!status)
        status = read_numbers(node, "kernel_shape", axes, 1, 0, declared, error);
    if (status)
        return status;

    bool round_up = !i3d_is(node, "Conv") && i3d_int(node, "ceil_mode", 0) != 0;
    for (int k = 0; k < axes && !status; k++) {
        if (declared[k] && declared[k] != kernel_dims[k])
            return i3d_fail(error, I3D_MALFORMED, "kernel_shape says %lld, the weight has %lld",
                            (long long)declared[k], (long long)kernel_dims[k]);
        window->pad_begin[k] = pads[k];
        window->pad_end[k] = pads[axes + k];
        status = place_windows(window, k, auto_pad, round_up, error);
    }
    return status;
}

enum i3d_status i3d_resolve_window(const struct i3d_node *node, int axes,
                                   const int64_t *kernel_dims, const int64_t *in_dims,
                                   struct i3d_window *window, struct i3d_error *error)
{
    enum i3d_status status = resolve(node, axes, kernel_dims, in_dims, window, error);
    return status ? i3d_infer_where(node, error), status : I3D_OK;
}

/* The output size of axis k of a transposed convolution; attributes were read. */
static enum i3d_status transposed_size(int64_t in, int64_t kernel, int64_t stride,
                                       int64_t dilation, int64_t output_padding, int64_t pads,
                                       int64_t *out, struct i3d_error *error)
{
    *out = stride * (in - 1) + output_padding + (kernel - 1) * dilation + 1 - pads;
    if (*out < 1)
        return i3d_fail(error, I3D_MALFORMED, "its pads leave no output");
    return I3D_OK;
}

enum i3d_status i3d_infer_transposed_window(const struct i3d_node *node, int axes,
                                            const int64_t *kernel_dims, const int64_t *in_dims,
                                            int64_t *out_dims, struct i3d_error *error)
{
    int64_t stride[3], dilation[3], output_padding[3], pads[6], declared[3], wanted[3];
    enum auto_pad auto_pad;
    enum i3d_status status = read_auto_pad(node, &auto_pad, error);
    if (!status)
        status = read_numbers(node, "strides", axes, 1, 1, stride, error);
    if (!status)
        status = read_numbers(node, "dilations", axes, 1, 1, dilation, error);
    if (!status)
        status = read_numbers(node, "output_padding", axes, 0, 0, output_padding, error);
    if (!status)
        status = read_numbers(node, "pads", 2 * axes, 0, 0, pads, error);
    if (!status)
        status = read_numbers(node, "kernel_shape", axes, 1, 0, declared, error);
    if (!status)
        status = read_numbers(node, "output_shape", axes, 1, 0, wanted, error);
    for (int k = 0; k < axes && !status; k++) {
        if (kernel_dims[k] < 1 || kernel_dims[k] > window_limit
            || (declared[k] && declared[k] != kernel_dims[k]))
            return i3d_fail(error, I3D_MALFORMED, "the kernel size is %lld, kernel_shape says "
                            "%lld", (long long)kernel_dims[k], (long long)declared[k]);
        if (wanted[k]) {
            out_dims[k] = wanted[k];
        } else if (in_dims[k] < 0) {
            out_dims[k] = -1;
        } else if (in_dims[k] > window_limit) {
            return i3d_fail(error, I3D_UNSUPPORTED, "an input size of %lld is not handled",
                            (long long)in_dims[k]);
        } else if (auto_pad == PAD_SAME_UPPER || auto_pad == PAD_SAME_LOWER) {
            out_dims[k] = in_dims[k] * stride[k];
        } else {
            int64_t cut = auto_pad == PAD_VALID ? 0 : pads[k] + pads[axes + k];
            status = transposed_size(in_dims[k], kernel_dims[k], stride[k], dilation[k],
                                     output_padding[k], cut, &out_dims[k], error);
        }
    }
    return status;
}
