#include "verify/operators.h"
#include "verify/parallel.h"

#include <math.h>
#include <string.h>

/* Normalizations. Means and variances of activations are formed in double. */

/* BatchNormalization as at inference: (x − mean) · scale/√(variance + ε) + bias. */
enum i3d_status i3d_op_batch_normalization(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    double epsilon = (double)i3d_float(op->node, "epsilon", 1e-5f);
    enum i3d_status status = I3D_OK;
    if (in->rank < 1)
        return i3d_fail(op->error, I3D_MALFORMED, "its input has no axis");
    int64_t channels = in->rank > 1 ? in->dims[1] : 1;
    for (size_t k = 1; k <= 4 && !status; k++)
        status = i3d_op_check_vector(op, k, channels);
    if (!status)
        status = i3d_op_output_like_first(op);
    if (status || !in->data)
        return status;
    const float *scale = op->inputs[1].data, *bias = op->inputs[2].data;
    const float *mean = op->inputs[3].data, *variance = op->inputs[4].data;
    int64_t planes = in->dims[0] * (in->rank > 1 ? channels : 1);
    int64_t count = i3d_array_span(in, 2, in->rank);
    I3D_PARALLEL_FOR(i3d_op_threads(op, planes * count))
    for (int64_t plane = 0; plane < planes; plane++) {
        int64_t c = plane % channels;
        float factor = (float)((double)scale[c] / sqrt((double)variance[c] + epsilon));
        float shift = bias[c], centre = mean[c];
        const float *from = (const float *)in->data + plane * count;
        float *to = (float *)op->outputs[0].data + plane * count;
        I3D_SIMD
        for (int64_t i = 0; i < count; i++)
            to[i] = (from[i] - centre) * factor + shift;
    }
    return I3D_OK;
}

/* The mean and the population variance. */
static void measure(const float *in, int64_t count, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)in[i];
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++)
        squares += ((double)in[i] - *mean) * ((double)in[i] - *mean);
    *variance = squares / (double)count;
}

static void rescale(const float *in, float *out, int64_t count, double mean, double factor,
                    float scale, float bias)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(((double)in[i] - mean) * factor) * scale + bias;
}

/* Statistics over groups of channels and all positions; a scale and a bias for
 * every channel, or for every group. */
static enum i3d_status normalize_groups(struct i3d_operation *op, int64_t groups, bool per_channel)
{
    const struct i3d_array *in = &op->inputs[0];
    if (in->rank < 3 || groups < 1 || in->dims[1] % groups)
        return i3d_fail(op->error, I3D_MALFORMED, "an input of rank %d in %lld groups", in->rank,
                        (long long)groups);
    int64_t channels = in->dims[1] / groups, vector = per_channel ? in->dims[1] : groups;
    enum i3d_status status = i3d_op_check_vector(op, 1, vector);
    if (!status)
        status = i3d_op_check_vector(op, 2, vector);
    if (!status)
        status = i3d_op_output_like_first(op);
    if (status || !in->data)
        return status;
    double epsilon = (double)i3d_float(op->node, "epsilon", 1e-5f);
    const float *scale = op->inputs[1].data, *bias = op->inputs[2].data;
    int64_t count = i3d_array_span(in, 2, in->rank), total = in->dims[0] * groups;
    I3D_PARALLEL_FOR(i3d_op_threads(op, total * channels * count))
    for (int64_t i = 0; i < total; i++) {
        double mean, variance;
        int64_t begin = i * channels * count;
        measure((const float *)in->data + begin, channels * count, &mean, &variance);
        double factor = 1 / sqrt(variance + epsilon);
        for (int64_t c = 0; c < channels; c++) {
            int64_t at = begin + c * count;
            int64_t parameter = per_channel ? i % groups * channels + c : i % groups;
            rescale((const float *)in->data + at, (float *)op->outputs[0].data + at, count, mean,
                    factor, scale[parameter], bias[parameter]);
        }
    }
    return I3D_OK;
}

enum i3d_status i3d_op_instance_normalization(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    return normalize_groups(op, in->rank > 1 && in->dims[1] > 0 ? in->dims[1] : 1, true);
}

enum i3d_status i3d_op_group_normalization(struct i3d_operation *op)
{
    /* Since operator set 21 every channel has its own scale and bias. */
    return normalize_groups(op, i3d_int(op->node, "num_groups", 0), op->opset >= 21);
}

/* Makes the optional outputs Mean and InvStdDev: input 0 with the normalized axes 1. */
static enum i3d_status layer_statistics(struct i3d_operation *op, int axis)
{
    int64_t dims[I3D_MAX_RANK];
    enum i3d_status status = I3D_OK;
    for (int k = 0; k < op->inputs[0].rank; k++)
        dims[k] = k < axis ? op->inputs[0].dims[k] : 1;
    for (size_t k = 1; k <= 2 && !status; k++)
        if (i3d_op_wants(op, k))
            status = i3d_op_output(op, k, I3D_FLOAT32, op->inputs[0].rank, dims);
    return status;
}

enum i3d_status i3d_op_layer_normalization(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int axis;
    enum i3d_status status = i3d_op_axis(op, i3d_int(op->node, "axis", -1), in->rank, &axis);
    if (status)
        return status;
    int64_t count = i3d_array_span(in, axis, in->rank), rows = i3d_array_span(in, 0, axis);
    for (size_t k = 1; k <= 2; k++)
        if (i3d_op_has(op, k) && i3d_array_elements(&op->inputs[k]) != count)
            return i3d_fail(op->error, I3D_UNSUPPORTED,
                            "a scale or bias that broadcasts over the normalized axes");
    status = layer_statistics(op, axis);
    if (!status)
        status = i3d_op_output_like_first(op);
    if (status || !in->data)
        return status;
    double epsilon = (double)i3d_float(op->node, "epsilon", 1e-5f);
    const float *scale = op->inputs[1].data;
    const float *bias = i3d_op_has(op, 2) ? op->inputs[2].data : NULL;
    float *means = i3d_op_wants(op, 1) ? op->outputs[1].data : NULL;
    float *factors = i3d_op_wants(op, 2) ? op->outputs[2].data : NULL;
    I3D_PARALLEL_FOR(i3d_op_threads(op, rows * count))
    for (int64_t row = 0; row < rows; row++) {
        double mean, variance;
        const float *from = (const float *)in->data + row * count;
        float *to = (float *)op->outputs[0].data + row * count;
        measure(from, count, &mean, &variance);
        double factor = 1 / sqrt(variance + epsilon);
        for (int64_t i = 0; i < count; i++)
            rescale(from + i, to + i, 1, mean, factor, scale[i], bias ? bias[i] : 0);
        if (means)
            means[row] = (float)mean;
        if (factors)
            factors[row] = (float)factor;
    }
    return I3D_OK;
}

/* One channel of a local response normalization. */
struct response {
    int64_t first, last; /* channels around it, relative to it */
    int64_t count;       /* positions of a channel */
    double alpha, bias;
    float beta;
};

static void normalize_response(const struct response *response, const float *from, float *to)
{
    enum { BLOCK = 512 };
    double squares[BLOCK];
    for (int64_t begin = 0; begin < response->count; begin += BLOCK) {
        int64_t count = response->count - begin < BLOCK ? response->count - begin : BLOCK;
        memset(squares, 0, sizeof squares);
        for (int64_t k = response->first; k <= response->last; k++) {
            const float *line = from + k * response->count + begin;
            I3D_SIMD
            for (int64_t i = 0; i < count; i++)
                squares[i] += (double)line[i] * (double)line[i];
        }
        I3D_SIMD
        for (int64_t i = 0; i < count; i++)
            squares[i] = response->bias + response->alpha * squares[i];
        if (response->beta == 0.75f) {
            /* The usual exponent: square roots are quicker than a power. */
            for (int64_t i = 0; i < count; i++) {
                double root = sqrt(squares[i]);
                to[begin + i] = (float)((double)from[begin + i] / (root * sqrt(root)));
            }
        } else {
            for (int64_t i = 0; i < count; i++)
                to[begin + i] = from[begin + i] / powf((float)squares[i], response->beta);
        }
    }
}

/* Local response over `size` channels around each: x / (k + α/size · Σ x²)^β. */
enum i3d_status i3d_op_lrn(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    int64_t size = i3d_int(op->node, "size", 0);
    if (in->rank < 2 || size < 1)
        return i3d_fail(op->error, I3D_MALFORMED, "an input of rank %d and size %lld", in->rank,
                        (long long)size);
    enum i3d_status status = i3d_op_output(op, 0, I3D_FLOAT32, in->rank, in->dims);
    if (status || !in->data)
        return status;
    struct response all = {
        .count = i3d_array_span(in, 2, in->rank),
        .alpha = (double)i3d_float(op->node, "alpha", 1e-4f) / (double)size,
        .bias = (double)i3d_float(op->node, "bias", 1),
        .beta = i3d_float(op->node, "beta", 0.75f),
    };
    int64_t channels = in->dims[1], planes = in->dims[0] * channels;
    int64_t below = (size - 1) / 2, above = size - 1 - below;
    I3D_PARALLEL_FOR(i3d_op_threads(op, planes * all.count))
    for (int64_t plane = 0; plane < planes; plane++) {
        struct response response = all;
        int64_t c = plane % channels;
        response.first = c < below ? -c : -below;
        response.last = channels - 1 - c < above ? channels - 1 - c : above;
        normalize_response(&response, (const float *)in->data + plane * all.count,
                           (float *)op->outputs[0].data + plane * all.count);
    }
    return I3D_OK;
}
