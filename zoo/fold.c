#include "zoo/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const i3d_role_names[I3D_VECTORS] = { "bias", "gamma", "beta", "mean", "variance" };

void i3d_unit_free(struct i3d_unit *unit)
{
    i3d_source_release(unit->weight.source);
    unit->weight.source = NULL;
    for (int i = 0; i < I3D_VECTORS; i++) {
        i3d_source_release(unit->vectors[i].source);
        unit->vectors[i].source = NULL;
    }
}

static struct i3d_tensor share(const struct i3d_tensor *tensor)
{
    struct i3d_tensor shared = *tensor;
    i3d_source_retain(shared.source);
    return shared;
}

/* Means and variances that are computed get at least float32: next to an epsilon
 * of 1e-3, half precision would round the variance by as much. */
static enum i3d_dtype statistics_dtype(enum i3d_dtype dtype)
{
    return dtype == I3D_FLOAT64 ? I3D_FLOAT64 : I3D_FLOAT32;
}

/* A vector whose elements are rounded once. */
static enum i3d_status put_vector(struct i3d_unit *unit, enum i3d_role role, enum i3d_dtype dtype,
                                  const double *values, int64_t count, struct i3d_error *error)
{
    size_t size = (size_t)count * i3d_dtype_size(dtype);
    void *bytes = malloc(size ? size : 1);
    if (!bytes)
        return i3d_fail_memory(error);
    i3d_from_double(dtype, values, bytes, (size_t)count);
    unit->vectors[role] = (struct i3d_tensor){ .name = i3d_role_names[role], .dtype = dtype,
                                               .rank = 1, .dims = { count },
                                               .source = i3d_source_take(bytes, size) };
    return unit->vectors[role].source ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status put_constant(struct i3d_unit *unit, enum i3d_role role,
                                    enum i3d_dtype dtype, double value, int64_t count,
                                    struct i3d_error *error)
{
    unsigned char element[8];
    size_t size = i3d_dtype_size(dtype);
    i3d_from_double(dtype, &value, element, 1);
    unit->vectors[role] = (struct i3d_tensor){
        .name = i3d_role_names[role], .dtype = dtype, .rank = 1, .dims = { count },
        .source = i3d_source_fill(element, size, (uint64_t)count * size),
    };
    return unit->vectors[role].source ? I3D_OK : i3d_fail_memory(error);
}

struct scaling {
    enum i3d_dtype dtype;
    int64_t channels, inner;
    double factors[];
};

/* w' = factor × w per output channel: exact in double for float32 and narrower
 * types where the factor is a float32 (a gamma), then rounded once. */
static enum i3d_status scale_kernel(const void *parameters, struct i3d_source *const *inputs,
                                    int input_count, void *bytes, uint64_t length,
                                    struct i3d_error *error)
{
    enum { PIECE = 512 };
    const struct scaling *scaling = parameters;
    size_t size = i3d_dtype_size(scaling->dtype);
    (void)input_count;
    enum i3d_status status = i3d_source_read(inputs[0], 0, bytes, length, error);
    if (status)
        return status;
    char *at = bytes;
    for (int64_t o = 0; o < scaling->channels; o++) {
        for (int64_t left = scaling->inner; left > 0;) {
            double values[PIECE];
            size_t count = left < PIECE ? (size_t)left : PIECE;
            i3d_to_double(scaling->dtype, at, values, count);
            for (size_t i = 0; i < count; i++)
                values[i] *= scaling->factors[o];
            i3d_from_double(scaling->dtype, values, at, count);
            at += count * size;
            left -= (int64_t)count;
        }
    }
    return I3D_OK;
}

static enum i3d_status put_scaled_kernel(const struct i3d_tensor *weight, const double *factors,
                                         struct i3d_unit *to, struct i3d_error *error)
{
    int64_t channels = weight->dims[0];
    size_t size = sizeof(struct scaling) + (size_t)channels * sizeof(double);
    struct scaling *scaling = malloc(size);
    if (!scaling)
        return i3d_fail_memory(error);
    scaling->dtype = weight->dtype;
    scaling->channels = channels;
    scaling->inner = channels ? i3d_tensor_elements(weight) / channels : 0;
    memcpy(scaling->factors, factors, (size_t)channels * sizeof *factors);
    to->weight = *weight;
    to->weight.source = i3d_source_compute(scale_kernel, scaling, size, &weight->source, 1,
                                           i3d_tensor_bytes(weight));
    free(scaling);
    return to->weight.source ? I3D_OK : i3d_fail_memory(error);
}

/* Moves the difference of epsilons into the variance; where that would make it
 * negative, scales so that 1 - epsilon does. */
static enum i3d_status change_epsilon(double from, double to, double *variance, double *factors,
                                      int64_t count, struct i3d_error *error)
{
    for (int64_t o = 0; o < count; o++) {
        double moved = variance[o] + from - to;
        if (!(variance[o] + from > 0))
            return i3d_fail(error, I3D_MALFORMED, "the variance of channel %lld is %g",
                            (long long)o, variance[o]);
        if (moved < 0) {
            factors[o] /= sqrt(variance[o] + from);
            moved = 1 - to;
        }
        variance[o] = moved;
    }
    return I3D_OK;
}

static bool all_are(const double *values, int64_t count, double value)
{
    for (int64_t i = 0; i < count; i++)
        if (values[i] != value)
            return false;
    return true;
}

/* mean' = factor × (mean - bias) */
static enum i3d_status fold_mean(const struct i3d_unit *from, const double *factors,
                                 struct i3d_unit *to, struct i3d_error *error)
{
    double *means, *biases = NULL;
    int64_t count = from->vectors[I3D_MEAN].dims[0];
    enum i3d_status status = i3d_tensor_load_double(&from->vectors[I3D_MEAN], &means, error);
    if (!status && from->vectors[I3D_BIAS].source)
        status = i3d_tensor_load_double(&from->vectors[I3D_BIAS], &biases, error);
    for (int64_t o = 0; o < count && !status; o++)
        means[o] = factors[o] * (biases ? means[o] - biases[o] : means[o]);
    if (!status)
        status = put_vector(to, I3D_MEAN, statistics_dtype(from->vectors[I3D_MEAN].dtype), means,
                            count, error);
    free(means);
    free(biases);
    return status;
}

static enum i3d_status fold_batch_norm(const struct i3d_unit *from,
                                       const struct i3d_unit_form *form, struct i3d_unit *to,
                                       struct i3d_error *error)
{
    int64_t count = from->vectors[I3D_GAMMA].dims[0];
    bool same_epsilon = from->epsilon == form->epsilon;
    double *factors, *variances = NULL;
    /* A target with gamma takes it as it is; the factors start at 1 then. */
    enum i3d_status status = i3d_tensor_load_double(&from->vectors[I3D_GAMMA], &factors, error);
    for (int64_t o = 0; form->gamma && o < count && !status; o++)
        factors[o] = 1;
    if (!status && !same_epsilon) {
        const struct i3d_tensor *variance = &from->vectors[I3D_VARIANCE];
        status = i3d_tensor_load_double(variance, &variances, error);
        if (!status)
            status = change_epsilon(from->epsilon, form->epsilon, variances, factors, count,
                                    error);
        if (!status)
            status = put_vector(to, I3D_VARIANCE, statistics_dtype(variance->dtype), variances,
                                count, error);
    } else if (!status) {
        to->vectors[I3D_VARIANCE] = share(&from->vectors[I3D_VARIANCE]);
    }
    bool unscaled = !status && all_are(factors, count, 1);
    bool keeps_bias = unscaled && form->bias && from->vectors[I3D_BIAS].source;
    if (unscaled)
        to->weight = share(&from->weight);
    else if (!status && !from->weight.source)
        status = i3d_fail(error, I3D_UNSUPPORTED, "there is no layer that its scale could go to");
    else if (!status)
        status = put_scaled_kernel(&from->weight, factors, to, error);
    if (keeps_bias)
        to->vectors[I3D_BIAS] = share(&from->vectors[I3D_BIAS]);
    else if (!status && form->bias)
        status = put_constant(to, I3D_BIAS, from->weight.dtype, 0, count, error);
    if (unscaled && (keeps_bias || !from->vectors[I3D_BIAS].source))
        to->vectors[I3D_MEAN] = share(&from->vectors[I3D_MEAN]);
    else if (!status)
        status = fold_mean(from, factors, to, error);
    if (!status && form->gamma)
        to->vectors[I3D_GAMMA] = share(&from->vectors[I3D_GAMMA]);
    if (!status)
        to->vectors[I3D_BETA] = share(&from->vectors[I3D_BETA]);
    free(factors);
    free(variances);
    return status;
}

/* A BatchNorm that adds the bias and nothing else: 1 - ε, rounded to float32,
 * plus ε rounds to 1 again. */
static enum i3d_status put_batch_norm(const struct i3d_unit *from,
                                      const struct i3d_unit_form *form, struct i3d_unit *to,
                                      struct i3d_error *error)
{
    const struct i3d_tensor *bias = &from->vectors[I3D_BIAS];
    int64_t count = from->weight.dims[0];
    enum i3d_dtype dtype = bias->source ? bias->dtype : from->weight.dtype;
    enum i3d_status status = I3D_OK;
    to->weight = share(&from->weight);
    if (bias->source)
        to->vectors[I3D_BETA] = share(bias);
    else
        status = put_constant(to, I3D_BETA, dtype, 0, count, error);
    if (!status)
        status = put_constant(to, I3D_MEAN, statistics_dtype(dtype), 0, count, error);
    if (!status)
        status = put_constant(to, I3D_VARIANCE, statistics_dtype(dtype),
                              1 - (double)form->epsilon, count, error);
    if (!status && form->gamma)
        status = put_constant(to, I3D_GAMMA, dtype, 1, count, error);
    if (!status && form->bias)
        status = put_constant(to, I3D_BIAS, dtype, 0, count, error);
    return status;
}

enum i3d_status i3d_unit_fold(const struct i3d_unit *from, const struct i3d_unit_form *form,
                              struct i3d_unit *to, struct i3d_error *error)
{
    *to = (struct i3d_unit){ .batch_norm = form->batch_norm, .epsilon = form->epsilon };
    if (form->batch_norm)
        return from->batch_norm ? fold_batch_norm(from, form, to, error)
                                : put_batch_norm(from, form, to, error);
    if (from->batch_norm)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "it has a BatchNorm, which the dialect has no tensors for");
    to->weight = share(&from->weight);
    if (from->vectors[I3D_BIAS].source) {
        to->vectors[I3D_BIAS] = share(&from->vectors[I3D_BIAS]);
        return I3D_OK;
    }
    return put_constant(to, I3D_BIAS, from->weight.dtype, 0, from->vectors[I3D_BIAS].dims[0],
                        error);
}
