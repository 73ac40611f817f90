#include "converters/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 15 };

/* The distance from the magnitude to the next number of the type, or 1 for integers. */
static double unit_in_last_place(enum i3d_dtype dtype, double magnitude)
{
    static const struct {
        enum i3d_dtype dtype;
        int digits, smallest; /* of the mantissa; exponent of the smallest normal number */
    } types[] = { { I3D_FLOAT16, 11, -14 }, { I3D_BFLOAT16, 8, -126 },
                  { I3D_FLOAT32, 24, -126 }, { I3D_FLOAT64, 53, -1022 } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int exponent;
        if (types[i].dtype != dtype)
            continue;
        frexp(magnitude, &exponent);
        exponent = magnitude == 0 || exponent - 1 < types[i].smallest ? types[i].smallest
                                                                      : exponent - 1;
        return ldexp(1, exponent - types[i].digits + 1);
    }
    return 1;
}

static void compare_numbers(enum i3d_dtype dtype, double a, double b,
                            struct i3d_difference *difference)
{
    if (a == b || (isnan(a) && isnan(b)))
        return;
    difference->unequal++;
    double distance = fabs(a - b), larger = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
    double ulps = distance / unit_in_last_place(dtype, larger);
    if (isnan(distance) || distance > difference->largest)
        difference->largest = isnan(difference->largest) ? difference->largest : distance;
    if (isnan(ulps) || ulps > difference->ulps)
        difference->ulps = isnan(difference->ulps) ? difference->ulps : ulps;
}

enum i3d_status i3d_compare_tensors(const struct i3d_tensor *a, const struct i3d_tensor *b,
                                    struct i3d_difference *difference, struct i3d_error *error)
{
    size_t size = i3d_dtype_size(a->dtype);
    int64_t elements = i3d_tensor_elements(a);
    unsigned char *bytes = malloc(2 * PIECE * size);
    double *values = malloc(2 * PIECE * sizeof *values), scale = 0;
    enum i3d_status status = bytes && values ? I3D_OK : i3d_fail_memory(error);
    *difference = (struct i3d_difference){ .elements = elements };
    for (int64_t at = 0; at < elements && !status; at += PIECE) {
        size_t count = elements - at < PIECE ? (size_t)(elements - at) : PIECE;
        uint64_t offset = (uint64_t)at * size;
        status = i3d_source_read(a->source, offset, bytes, count * size, error);
        if (!status)
            status = i3d_source_read(b->source, offset, bytes + PIECE * size, count * size, error);
        if (status)
            break;
        i3d_to_double(a->dtype, bytes, values, count);
        i3d_to_double(a->dtype, bytes + PIECE * size, values + PIECE, count);
        for (size_t i = 0; i < count; i++) {
            scale = fabs(values[i]) > scale ? fabs(values[i]) : scale;
            compare_numbers(a->dtype, values[i], values[PIECE + i], difference);
        }
    }
    difference->relative = difference->largest == 0 ? 0 : difference->largest / scale;
    free(bytes);
    free(values);
    return status;
}

bool i3d_drift_fits(const struct i3d_tensor *flat, const struct i3d_tensor *inflated, int axis)
{
    if (flat->rank != 4 || inflated->rank != 5 || !flat->source || !inflated->source
        || !i3d_dtype_is_float(flat->dtype) || !i3d_dtype_is_float(inflated->dtype)
        || i3d_tensor_elements(flat) < 1 || i3d_tensor_elements(inflated) < 1)
        return false;
    for (int k = 0, n = 0; k < 5; k++)
        if (k != axis && inflated->dims[k] != flat->dims[n++])
            return false;
    return true;
}

static enum i3d_status load(const struct i3d_tensor *tensor, double **values,
                            struct i3d_error *error)
{
    size_t count = (size_t)i3d_tensor_elements(tensor), size = i3d_dtype_size(tensor->dtype);
    void *bytes = malloc(count * size);
    *values = malloc(count * sizeof **values);
    enum i3d_status status = bytes && *values
        ? i3d_source_read(tensor->source, 0, bytes, count * size, error) : i3d_fail_memory(error);
    if (!status)
        i3d_to_double(tensor->dtype, bytes, *values, count);
    free(bytes);
    return status;
}

/* Sums over a kernel of outer × frames × inner elements. */
struct sums {
    double flat, change, whole, varying; /* squares */
    bool centered;
};

static void add_up(const double *flat, const double *kernel, int64_t outer, int64_t frames,
                   int64_t inner, struct sums *sums, struct i3d_drift *drift)
{
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const double *slices = kernel + o * frames * inner + i;
            double w = flat[o * inner + i], sum = 0;
            for (int64_t t = 0; t < frames; t++)
                sum += slices[t * inner];
            double mean = sum / (double)frames;
            for (int64_t t = 0; t < frames; t++) {
                double value = slices[t * inner];
                drift->equal_slices &= value == slices[0];
                sums->centered &= t == (frames - 1) / 2 ? value == w : value == 0;
                drift->shares[t] += value * value;
                sums->whole += value * value;
                sums->varying += (value - mean) * (value - mean);
            }
            sums->flat += w * w;
            sums->change += (sum - w) * (sum - w);
        }
}

enum i3d_status i3d_measure_drift(const struct i3d_tensor *flat,
                                  const struct i3d_tensor *inflated, int axis,
                                  struct i3d_drift *drift, struct i3d_error *error)
{
    double *weights = NULL, *kernel = NULL;
    struct sums sums = { .centered = true };
    int64_t frames = inflated->dims[axis], outer = 1;
    for (int k = 0; k < axis; k++)
        outer *= inflated->dims[k];
    *drift = (struct i3d_drift){ .frames = frames, .equal_slices = true,
                                 .shares = calloc((size_t)frames, sizeof *drift->shares) };
    enum i3d_status status = drift->shares ? load(flat, &weights, error) : i3d_fail_memory(error);
    if (!status)
        status = load(inflated, &kernel, error);
    if (!status) {
        add_up(weights, kernel, outer, frames, i3d_tensor_elements(flat) / outer, &sums, drift);
        drift->variation = sums.whole > 0 ? sqrt(sums.varying / sums.whole) : 0;
        if (drift->equal_slices)
            drift->variation = 0;
        drift->as_inflated = drift->equal_slices || sums.centered;
        drift->sum_change = sums.change > 0 ? sqrt(sums.change / sums.flat) : 0;
        drift->as_inflated &= drift->sum_change <= unit_in_last_place(inflated->dtype, 1);
        for (int64_t t = 0; t < frames; t++)
            drift->shares[t] = sums.flat > 0
                ? sqrt(drift->shares[t] / sums.flat) * (double)frames : 0;
    }
    free(weights);
    free(kernel);
    return status;
}
