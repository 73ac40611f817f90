#include "verify/operators.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Resize and Upsample, one axis after the other: what an output position shows is a
 * sum of input positions along the axis, nearest one, linear two, cubic four; with
 * antialias, where it shrinks, as many more (ONNX operator specification, Resize-19). */

enum interpolation { NEAREST, LINEAR, CUBIC };
enum coordinates {
    HALF_PIXEL, HALF_PIXEL_SYMMETRIC, PYTORCH_HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC,
    TF_HALF_PIXEL_FOR_NN, TF_CROP_AND_RESIZE,
};
enum rounding { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_DOWN, ROUND_UP };

struct resampling {
    enum interpolation mode;
    enum coordinates coordinates;
    enum rounding rounding;
    double cubic_a, extrapolation;
    bool exclude_outside, antialias;
};

/* One axis: output i is Σ weight[i][k] · input[index[i][k]], or the extrapolation. */
struct axis {
    int64_t in, out;
    double scale, roi_start, roi_end;
    int taps;
    int64_t *index;  /* out × taps */
    float *weight;   /* out × taps */
    bool *outside;   /* out */
};

static int choose(const struct i3d_operation *op, const char *name, const char *const *values,
                  int fallback)
{
    if (!i3d_attribute(op->node, name))
        return fallback;
    for (int k = 0; values[k]; k++)
        if (i3d_string_is(op->node, name, values[k]))
            return k;
    return -1;
}

static enum i3d_status read_settings(const struct i3d_operation *op, struct resampling *how)
{
    static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
    static const char *const coordinates[] = { "half_pixel", "half_pixel_symmetric",
                                               "pytorch_half_pixel", "align_corners",
                                               "asymmetric", "tf_half_pixel_for_nn",
                                               "tf_crop_and_resize", NULL };
    static const char *const roundings[] = { "round_prefer_floor", "round_prefer_ceil", "floor",
                                             "ceil", NULL };
    bool old = op->opset < 11 || i3d_is(op->node, "Upsample");
    int mode = choose(op, "mode", modes, NEAREST);
    int where = choose(op, "coordinate_transformation_mode", coordinates,
                       old ? ASYMMETRIC : HALF_PIXEL);
    int rounding = choose(op, "nearest_mode", roundings, old ? ROUND_DOWN : ROUND_PREFER_FLOOR);
    if (i3d_is(op->node, "Upsample") && i3d_string_is(op->node, "mode", "bilinear"))
        mode = LINEAR;
    if (mode < 0 || where < 0 || rounding < 0)
        return i3d_fail(op->error, I3D_MALFORMED, "a mode is none of the specification's");
    *how = (struct resampling){
        .mode = (enum interpolation)mode,
        .coordinates = (enum coordinates)where,
        .rounding = (enum rounding)rounding,
        .cubic_a = i3d_float(op->node, "cubic_coeff_a", -0.75f),
        .extrapolation = i3d_float(op->node, "extrapolation_value", 0),
        .exclude_outside = i3d_int(op->node, "exclude_outside", 0),
        .antialias = i3d_int(op->node, "antialias", 0),
    };
    return I3D_OK;
}

/* The input coordinate that an output position shows. */
static double coordinate(const struct axis *axis, enum coordinates how, int64_t i)
{
    double in = (double)axis->in, half = ((double)i + 0.5) / axis->scale;
    double out = axis->scale * in; /* the specification's length: not rounded down */
    switch (how) {
    case HALF_PIXEL: return half - 0.5;
    case HALF_PIXEL_SYMMETRIC:
        return in / 2 * (1 - (double)axis->out / out) + half - 0.5;
    case PYTORCH_HALF_PIXEL: return axis->out > 1 ? half - 0.5 : 0;
    case ALIGN_CORNERS: return out != 1 ? (double)i * (in - 1) / (out - 1) : 0;
    case ASYMMETRIC: return (double)i / axis->scale;
    case TF_HALF_PIXEL_FOR_NN: return half;
    case TF_CROP_AND_RESIZE:
        return axis->out > 1
            ? axis->roi_start * (in - 1)
                + (double)i * (axis->roi_end - axis->roi_start) * (in - 1) / (out - 1)
            : 0.5 * (axis->roi_start + axis->roi_end) * (in - 1);
    }
    return 0;
}

static double nearest(double x, enum rounding rounding)
{
    switch (rounding) {
    case ROUND_PREFER_FLOOR: return ceil(x - 0.5);
    case ROUND_PREFER_CEIL: return floor(x + 0.5);
    case ROUND_DOWN: return floor(x);
    case ROUND_UP: return ceil(x);
    }
    return x;
}

/* What a position counts for at a distance: a triangle, or Keys' kernel. */
static double filter(const struct resampling *how, double distance)
{
    double d = fabs(distance), a = how->cubic_a;
    if (how->mode == NEAREST)
        return 1;
    if (how->mode == LINEAR)
        return d < 1 ? 1 - d : 0;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* How much wider than usual an axis' filter is, as a factor of distances. */
static double narrowing(const struct resampling *how, const struct axis *axis)
{
    return how->antialias && how->mode != NEAREST ? fmin(axis->scale, 1) : 1;
}

static double weight_of(const struct resampling *how, const struct axis *axis, double x,
                        double position)
{
    bool outside = position < 0 || position > (double)(axis->in - 1);
    if (how->exclude_outside && outside)
        return 0;
    return filter(how, (position - x) * narrowing(how, axis));
}

static void fill_position(const struct resampling *how, struct axis *axis, int64_t i)
{
    double x = coordinate(axis, how->coordinates, i), sum = 0, last = (double)(axis->in - 1);
    double first = how->mode == NEAREST ? nearest(x, how->rounding)
                                        : floor(x) + 1 - axis->taps / 2;
    for (int k = 0; k < axis->taps; k++)
        sum += weight_of(how, axis, x, first + k);
    if (sum == 0 || (!how->exclude_outside && narrowing(how, axis) == 1))
        sum = 1;
    for (int k = 0; k < axis->taps; k++) {
        double position = first + k;
        axis->weight[i * axis->taps + k] = (float)(weight_of(how, axis, x, position) / sum);
        axis->index[i * axis->taps + k] =
            (int64_t)(position < 0 ? 0 : position > last ? last : position);
    }
    axis->outside[i] = how->coordinates == TF_CROP_AND_RESIZE && (x < 0 || x > last);
}

static void free_axis(struct axis *axis)
{
    free(axis->index);
    free(axis->weight);
    free(axis->outside);
}

/* Positions within the filter's reach on both sides. An axis of one position or more is
 * at most its input's length narrower, which bounds them. */
static int count_taps(const struct resampling *how, const struct axis *axis)
{
    if (how->mode == NEAREST || !axis->out)
        return 1;
    double reach = ceil((how->mode == LINEAR ? 1 : 2) / narrowing(how, axis));
    return reach < 0x1p28 ? 2 * (int)reach : 0;
}

static bool fill_axis(const struct resampling *how, struct axis *axis)
{
    axis->taps = count_taps(how, axis);
    if (!axis->taps)
        return false;
    size_t count = (size_t)axis->out * (size_t)axis->taps + 1;
    axis->index = calloc(count, sizeof *axis->index);
    axis->weight = calloc(count, sizeof *axis->weight);
    axis->outside = calloc((size_t)axis->out + 1, sizeof *axis->outside);
    if (!axis->index || !axis->weight || !axis->outside)
        return false;
    for (int64_t i = 0; i < axis->out; i++)
        fill_position(how, axis, i);
    return true;
}

/* outer × in × inner to outer × out × inner. */
static void resample(const struct axis *axis, double extrapolation, const float *in, float *out,
                     int64_t outer, int64_t inner, int threads)
{
    I3D_PARALLEL_FOR(threads)
    for (int64_t row = 0; row < outer * axis->out; row++) {
        int64_t i = row % axis->out;
        const float *from = in + row / axis->out * axis->in * inner;
        const float *weight = axis->weight + i * axis->taps;
        const int64_t *index = axis->index + i * axis->taps;
        float *to = out + row * inner;
        if (axis->outside[i]) {
            for (int64_t x = 0; x < inner; x++)
                to[x] = (float)extrapolation;
            continue;
        }
        if (axis->taps == 1) {
            memcpy(to, from + index[0] * inner, (size_t)inner * sizeof *to);
            continue;
        }
        for (int64_t x = 0; x < inner; x++)
            to[x] = weight[0] * from[index[0] * inner + x] + weight[1] * from[index[1] * inner + x];
        for (int k = 2; k < axis->taps; k++)
            for (int64_t x = 0; x < inner; x++)
                to[x] += weight[k] * from[index[k] * inner + x];
    }
}

/* Which axes the numbers speak of, in their order: all, or attribute axes (opset 18). */
static enum i3d_status resized_axes(const struct i3d_operation *op, int *which, size_t *count)
{
    int rank = op->inputs[0].rank;
    const int64_t *axes = i3d_ints(op->node, "axes", count);
    if (!axes)
        *count = (size_t)rank;
    if (*count > (size_t)rank)
        return i3d_fail(op->error, I3D_MALFORMED, "it has more axes than its input");
    for (size_t k = 0; k < *count; k++) {
        which[k] = (int)k;
        enum i3d_status status = axes ? i3d_op_axis(op, axes[k], rank, &which[k]) : I3D_OK;
        if (status)
            return status;
    }
    return I3D_OK;
}

/* A list of floats that is an input, or the attribute of the first versions. */
static const float *float_list(const struct i3d_operation *op, size_t input, const char *attribute,
                               size_t *count)
{
    if (i3d_op_has(op, input) && op->inputs[input].rank == 1
        && op->inputs[input].dtype == I3D_FLOAT32) {
        *count = (size_t)op->inputs[input].dims[0];
        return op->inputs[input].data;
    }
    const struct i3d_attribute *stated = attribute ? i3d_attribute(op->node, attribute) : NULL;
    bool there = stated && stated->type == I3D_ATTRIBUTE_FLOATS;
    *count = there ? stated->count : 0;
    return there ? stated->floats : NULL;
}

static enum i3d_status by_scales(const struct i3d_operation *op, const float *scales,
                                 const int *which, size_t count, struct axis *axes)
{
    for (size_t k = 0; k < count; k++) {
        struct axis *axis = &axes[which[k]];
        float length = floorf((float)axis->in * scales[k]);
        if (!(scales[k] > 0) || !(length < 0x1p40f))
            return i3d_fail(op->error, I3D_MALFORMED, "a scale is %g", (double)scales[k]);
        axis->scale = scales[k];
        axis->out = (int64_t)length;
    }
    return I3D_OK;
}

static enum i3d_status by_sizes(const struct i3d_operation *op, const int64_t *sizes,
                                const int *which, size_t count, struct axis *axes)
{
    bool larger = i3d_string_is(op->node, "keep_aspect_ratio_policy", "not_smaller");
    bool smaller = i3d_string_is(op->node, "keep_aspect_ratio_policy", "not_larger");
    double common = larger ? 0 : INFINITY;
    for (size_t k = 0; k < count; k++) {
        struct axis *axis = &axes[which[k]];
        if (sizes[k] < 0 || sizes[k] > (int64_t)1 << 40 || !axis->in)
            return i3d_fail(op->error, I3D_MALFORMED, "a size is %lld", (long long)sizes[k]);
        axis->out = sizes[k];
        axis->scale = (double)sizes[k] / (double)axis->in;
        common = larger ? fmax(common, axis->scale) : fmin(common, axis->scale);
    }
    for (size_t k = 0; k < count && (larger || smaller); k++) {
        struct axis *axis = &axes[which[k]];
        axis->scale = common;
        axis->out = (int64_t)floor(common * (double)axis->in + 0.5);
    }
    return I3D_OK;
}

/* What each axis becomes. */
static enum i3d_status read_axes(const struct i3d_operation *op, const struct resampling *how,
                                 struct axis *axes)
{
    const struct i3d_array *in = &op->inputs[0];
    bool upsample = i3d_is(op->node, "Upsample"), early = upsample || op->opset < 11;
    int which[I3D_MAX_RANK];
    size_t count, scale_count, roi_count;
    for (int k = 0; k < in->rank; k++)
        axes[k] = (struct axis){ .in = in->dims[k], .out = in->dims[k], .scale = 1, .roi_end = 1 };
    enum i3d_status status = resized_axes(op, which, &count);
    if (status)
        return status;
    const float *scales = float_list(op, early ? 1 : 2, upsample ? "scales" : NULL, &scale_count);
    bool has_sizes = !early && i3d_op_has(op, 3) && op->inputs[3].dims[0] > 0;
    if (has_sizes && (op->inputs[3].rank != 1 || op->inputs[3].dims[0] != (int64_t)count))
        return i3d_fail(op->error, I3D_MALFORMED, "its sizes do not fit its axes");
    if (!has_sizes && scale_count != count)
        return i3d_fail(op->error, I3D_MALFORMED, "it has %zu scales for %zu axes", scale_count,
                        count);
    status = has_sizes ? by_sizes(op, op->inputs[3].data, which, count, axes)
                       : by_scales(op, scales, which, count, axes);
    const float *roi = early ? NULL : float_list(op, 1, NULL, &roi_count);
    if (status || how->coordinates != TF_CROP_AND_RESIZE)
        return status;
    if (!roi || roi_count != 2 * count)
        return i3d_fail(op->error, I3D_MALFORMED, "its roi does not fit its axes");
    for (size_t k = 0; k < count; k++) {
        axes[which[k]].roi_start = roi[k];
        axes[which[k]].roi_end = roi[count + k];
    }
    return I3D_OK;
}

/* The last axis that changes writes the output, those before it memory of their own. */
static enum i3d_status resample_axes(struct i3d_operation *op, const struct resampling *how,
                                     struct axis *axes)
{
    const struct i3d_array *in = &op->inputs[0];
    struct i3d_array current = *in;
    enum i3d_status status = I3D_OK;
    int last = -1;
    for (int k = 0; k < in->rank; k++)
        if (axes[k].out != axes[k].in || axes[k].scale != 1
            || how->coordinates == TF_CROP_AND_RESIZE)
            last = k;
    if (last < 0)
        memcpy(op->outputs[0].data, in->data, i3d_array_bytes(in));
    for (int k = 0; k <= last && !status; k++) {
        if (axes[k].out == axes[k].in && axes[k].scale == 1
            && how->coordinates != TF_CROP_AND_RESIZE)
            continue;
        struct i3d_array next = op->outputs[0];
        int64_t dims[I3D_MAX_RANK];
        memcpy(dims, current.dims, sizeof dims);
        dims[k] = axes[k].out;
        if (k != last)
            status = i3d_array_reserve(I3D_FLOAT32, in->rank, dims, &next, op->error);
        if (!status && !fill_axis(how, &axes[k]))
            status = i3d_fail_memory(op->error);
        if (!status)
            resample(&axes[k], how->extrapolation, current.data, next.data,
                     i3d_array_span(&current, 0, k), i3d_array_span(&current, k + 1, in->rank),
                     i3d_op_threads(op, i3d_array_elements(&next)));
        free_axis(&axes[k]);
        if (current.data != in->data)
            i3d_array_free(&current);
        current = next;
    }
    return status;
}

enum i3d_status i3d_op_resize(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    struct resampling how = { .mode = NEAREST };
    struct axis axes[I3D_MAX_RANK];
    int64_t dims[I3D_MAX_RANK];
    enum i3d_status status = read_settings(op, &how);
    if (!status)
        status = read_axes(op, &how, axes);
    if (status)
        return status;
    for (int k = 0; k < in->rank; k++) {
        dims[k] = axes[k].out;
        if (!axes[k].in && axes[k].out)
            return i3d_fail(op->error, I3D_MALFORMED, "there is nothing on axis %d", k);
    }
    status = i3d_op_output(op, 0, I3D_FLOAT32, in->rank, dims);
    if (status || !op->outputs[0].data)
        return status;
    return resample_axes(op, &how, axes);
}
