#include "model/shape_infer.h"

/* Convolutions, pools, normalizations and matrix products. Activations are
 * N×C×spatial axes. */

static enum i3d_status check_per_channel(const struct i3d_inference *op, size_t k,
                                         int64_t channels)
{
    const struct i3d_shape *shape = &i3d_infer_in(op, k)->shape;
    if (shape->rank < 0)
        return I3D_OK;
    if (shape->rank != 1
        || (channels >= 0 && shape->dims[0] >= 0 && shape->dims[0] != channels)) {
        char text[160];
        i3d_shape_string(shape->rank, shape->dims, text, sizeof text);
        if (channels < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "input %zu is %s, not one axis", k, text);
        return i3d_fail(op->error, I3D_MALFORMED, "input %zu is %s where %lld channels are", k,
                        text, (long long)channels);
    }
    return I3D_OK;
}

static enum i3d_status check_spatial_rank(const struct i3d_inference *op, int rank)
{
    if (rank < 3)
        return i3d_fail(op->error, I3D_MALFORMED, "its input of rank %d has no spatial axis",
                        rank);
    if (rank > 5)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "%d spatial axes are not handled", rank - 2);
    return I3D_OK;
}

/* The sizes that windows leave of in, -1 where in is -1 or a kernel's size is
 * not known. */
static enum i3d_status infer_windows(const struct i3d_inference *op, int axes,
                                     const int64_t *kernel, const int64_t *in, int64_t *out)
{
    int64_t stand_in[3] = { 0 };
    for (int k = 0; k < axes; k++)
        out[k] = -1;
    for (int k = 0; k < axes; k++) {
        if (kernel[k] < 0)
            return I3D_OK;
        /* The largest size there is, so that what cannot fit it fits nothing. */
        stand_in[k] = in[k] < 0 ? INT32_MAX : in[k];
    }
    struct i3d_window window;
    enum i3d_status status = i3d_resolve_window(op->node, axes, kernel, stand_in, &window,
                                                op->error);
    for (int k = 0; !status && k < axes; k++)
        out[k] = in[k] < 0 ? -1 : window.out[k];
    return status;
}

/* What Conv and ConvTranspose have in common: in and weight get the same rank,
 * 3 to 5; rank -1 means that nothing is known of either. */
static enum i3d_status convolution_operands(const struct i3d_inference *op, struct i3d_shape *in,
                                            struct i3d_shape *weight, int64_t *group)
{
    *in = i3d_infer_in(op, 0)->shape;
    *weight = i3d_infer_in(op, 1)->shape;
    if (in->rank < 0)
        *in = i3d_infer_open(in->dtype, weight->rank);
    if (weight->rank < 0)
        *weight = i3d_infer_open(weight->dtype, in->rank);
    if (in->rank < 0)
        return I3D_OK;
    if (in->rank != weight->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "its weight has rank %d, its input rank %d",
                        weight->rank, in->rank);
    *group = i3d_int(op->node, "group", 1);
    if (*group < 1 || *group > INT32_MAX)
        return i3d_fail(op->error, I3D_MALFORMED, "group is %lld", (long long)*group);
    return check_spatial_rank(op, in->rank);
}

static enum i3d_status check_input_channels(const struct i3d_inference *op, int64_t channels,
                                            int64_t expected)
{
    if (channels >= 0 && expected >= 0 && channels != expected)
        return i3d_fail(op->error, I3D_MALFORMED,
                        "its input has %lld channels, its weight is for %lld",
                        (long long)channels, (long long)expected);
    return I3D_OK;
}

static enum i3d_status multiply(const struct i3d_inference *op, int64_t a, int64_t b,
                                int64_t *product)
{
    *product = -1;
    if (a >= 0 && b >= 0 && __builtin_mul_overflow(a, b, product))
        return i3d_fail(op->error, I3D_MALFORMED, "its sizes are too large");
    return I3D_OK;
}

enum i3d_status i3d_infer_conv(const struct i3d_inference *op)
{
    struct i3d_shape in, weight;
    int64_t group, expected;
    enum i3d_status status = convolution_operands(op, &in, &weight, &group);
    if (status || in.rank < 0)
        return status ? status : i3d_infer_set(op, 0, &in);
    status = multiply(op, weight.dims[1], group, &expected);
    if (!status)
        status = check_input_channels(op, in.dims[1], expected);
    if (!status && i3d_infer_has(op, 2))
        status = check_per_channel(op, 2, weight.dims[0]);
    if (status)
        return status;
    if (weight.dims[0] >= 0 && weight.dims[0] % group)
        return i3d_fail(op->error, I3D_MALFORMED, "%lld filters do not divide into %lld groups",
                        (long long)weight.dims[0], (long long)group);
    struct i3d_shape out = in;
    out.dims[1] = weight.dims[0];
    status = infer_windows(op, in.rank - 2, weight.dims + 2, in.dims + 2, out.dims + 2);
    return status ? status : i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_conv_transpose(const struct i3d_inference *op)
{
    struct i3d_shape in, weight;
    int64_t group;
    enum i3d_status status = convolution_operands(op, &in, &weight, &group);
    if (status || in.rank < 0)
        return status ? status : i3d_infer_set(op, 0, &in);
    struct i3d_shape out = in;
    status = check_input_channels(op, in.dims[1], weight.dims[0]);
    if (!status && weight.dims[0] >= 0 && weight.dims[0] % group)
        return i3d_fail(op->error, I3D_MALFORMED, "%lld channels do not divide into %lld groups",
                        (long long)weight.dims[0], (long long)group);
    if (!status)
        status = multiply(op, weight.dims[1], group, &out.dims[1]);
    if (!status && i3d_infer_has(op, 2))
        status = check_per_channel(op, 2, out.dims[1]);
    if (status)
        return status;
    bool kernel_known = true;
    for (int k = 2; k < in.rank; k++) {
        kernel_known &= weight.dims[k] >= 0;
        out.dims[k] = -1;
    }
    if (kernel_known)
        status = i3d_infer_transposed_window(op->node, in.rank - 2, weight.dims + 2, in.dims + 2,
                                             out.dims + 2, op->error);
    return status ? status : i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_pool(const struct i3d_inference *op)
{
    struct i3d_shape in = i3d_infer_in(op, 0)->shape;
    size_t axes;
    const int64_t *kernel = i3d_ints(op->node, "kernel_shape", &axes);
    if (!kernel || !axes)
        return i3d_fail(op->error, I3D_MALFORMED, "it has no kernel_shape");
    if (axes > 3)
        return i3d_fail(op->error, I3D_UNSUPPORTED, "%zu spatial axes are not handled", axes);
    if (in.rank < 0)
        in = i3d_infer_open(in.dtype, (int64_t)axes + 2);
    enum i3d_status status = check_spatial_rank(op, in.rank);
    if (status)
        return status;
    if (in.rank != (int)axes + 2)
        return i3d_fail(op->error, I3D_MALFORMED, "kernel_shape has %zu sizes, its input rank %d",
                        axes, in.rank);
    for (size_t k = 0; k < axes; k++)
        if (kernel[k] < 1)
            return i3d_fail(op->error, I3D_MALFORMED, "kernel_shape holds %lld",
                            (long long)kernel[k]);
    struct i3d_shape out = in;
    status = infer_windows(op, (int)axes, kernel, in.dims + 2, out.dims + 2);
    if (!status)
        status = i3d_infer_set(op, 0, &out);
    out.dtype = I3D_INT64; /* MaxPool's indices */
    return status ? status : i3d_infer_set(op, 1, &out);
}

enum i3d_status i3d_infer_global_pool(const struct i3d_inference *op)
{
    struct i3d_shape shape = i3d_infer_in(op, 0)->shape;
    if (shape.rank >= 0 && shape.rank < 2)
        return i3d_fail(op->error, I3D_MALFORMED, "its input of rank %d has no channels",
                        shape.rank);
    for (int k = 2; k < shape.rank; k++)
        shape.dims[k] = 1;
    return i3d_infer_set(op, 0, &shape);
}

static int64_t channels_of(const struct i3d_shape *shape)
{
    return shape->rank < 0 ? -1 : shape->rank < 2 ? 1 : shape->dims[1];
}

enum i3d_status i3d_infer_channel_affine(const struct i3d_inference *op)
{
    int64_t channels = channels_of(&i3d_infer_in(op, 0)->shape);
    enum i3d_status status = check_per_channel(op, 1, channels);
    if (!status)
        status = check_per_channel(op, 2, channels);
    return status ? status : i3d_infer_like_input(op);
}

enum i3d_status i3d_infer_batch_normalization(const struct i3d_inference *op)
{
    int64_t channels = channels_of(&i3d_infer_in(op, 0)->shape);
    bool per_channel = op->opset >= 9 || i3d_int(op->node, "spatial", 1);
    enum i3d_status status = i3d_infer_like_input(op);
    for (size_t k = 1; k <= 4 && per_channel && !status; k++)
        status = check_per_channel(op, k, channels);
    for (size_t k = 1; k < op->node->output_count && k <= 4 && !status; k++)
        status = i3d_infer_set(op, k, &i3d_infer_in(op, 3)->shape);
    return status;
}

static enum i3d_status check_inner(const struct i3d_inference *op, int64_t a, int64_t b)
{
    if (a >= 0 && b >= 0 && a != b)
        return i3d_fail(op->error, I3D_MALFORMED,
                        "inner sizes %lld and %lld of its product differ", (long long)a,
                        (long long)b);
    return I3D_OK;
}

enum i3d_status i3d_infer_matmul(const struct i3d_inference *op)
{
    struct i3d_shape a = i3d_infer_in(op, 0)->shape, b = i3d_infer_in(op, 1)->shape;
    struct i3d_shape out = i3d_infer_open(a.dtype ? a.dtype : b.dtype, -1);
    if (a.rank == 0 || b.rank == 0)
        return i3d_fail(op->error, I3D_MALFORMED, "a factor is a scalar");
    if (a.rank < 0 || b.rank < 0)
        return i3d_infer_set(op, 0, &out);
    int64_t rows = a.rank > 1 ? a.dims[a.rank - 2] : 1;
    int64_t columns = b.dims[b.rank - 1];
    bool has_rows = a.rank > 1, has_columns = b.rank > 1;
    enum i3d_status status = check_inner(op, a.dims[a.rank - 1],
                                         b.dims[has_columns ? b.rank - 2 : 0]);
    if (status)
        return status;
    out = a;
    out.rank = has_rows ? a.rank - 2 : 0;
    b.rank = has_columns ? b.rank - 2 : 0;
    status = i3d_infer_broadcast(op, &b, &out);
    if (status)
        return status;
    if (has_rows)
        out.dims[out.rank++] = rows;
    if (has_columns)
        out.dims[out.rank++] = columns;
    return i3d_infer_set(op, 0, &out);
}

enum i3d_status i3d_infer_gemm(const struct i3d_inference *op)
{
    struct i3d_shape a = i3d_infer_in(op, 0)->shape, b = i3d_infer_in(op, 1)->shape;
    struct i3d_shape out = i3d_infer_open(a.dtype ? a.dtype : b.dtype, 2);
    if ((a.rank >= 0 && a.rank != 2) || (b.rank >= 0 && b.rank != 2))
        return i3d_fail(op->error, I3D_MALFORMED, "its factors have ranks %d and %d, not 2",
                        a.rank, b.rank);
    bool trans_a = i3d_int(op->node, "transA", 0), trans_b = i3d_int(op->node, "transB", 0);
    if (a.rank == 2 && b.rank == 2) {
        enum i3d_status status = check_inner(op, a.dims[!trans_a], b.dims[trans_b]);
        if (status)
            return status;
    }
    if (a.rank == 2)
        out.dims[0] = a.dims[trans_a];
    if (b.rank == 2)
        out.dims[1] = b.dims[!trans_b];
    const struct i3d_shape *c = &i3d_infer_in(op, 2)->shape;
    if (c->rank >= 0) {
        enum i3d_status status = i3d_infer_fits(op, c, &out);
        if (status)
            return status;
    }
    return i3d_infer_set(op, 0, &out);
}
