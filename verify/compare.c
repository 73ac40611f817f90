#include "verify/compare.h"

#include "verify/array.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Element (o, t, i) of the 3D array belongs to element (o, i) of the 2D one. */
struct layout {
    int64_t outer, frames, inner;
};

/* The dims other than 1, without axis `but`. */
static int solid_dims(const struct i3d_array *array, int but, int64_t *dims)
{
    int rank = 0;
    for (int k = 0; k < array->rank; k++)
        if (k != but && array->dims[k] != 1)
            dims[rank++] = array->dims[k];
    return rank;
}

static bool is_time(const struct i3d_array *flat, const struct i3d_array *inflated, int axis)
{
    int64_t expected[I3D_MAX_RANK], found[I3D_MAX_RANK];
    int rank = solid_dims(flat, -1, expected);
    if (axis >= inflated->rank || rank != solid_dims(inflated, axis, found))
        return false;
    return !rank || !memcmp(expected, found, (size_t)rank * sizeof *found);
}

static bool find_layout(const struct i3d_array *flat, const struct i3d_array *inflated,
                        struct layout *layout)
{
    int rank = inflated->rank;
    /* Where sizes leave a choice: ahead of H and W while those are there. */
    int preferred = rank == flat->rank + 1 && flat->rank >= 3 ? rank - 3 : 2;
    if (is_time(flat, inflated, rank)) {
        *layout = (struct layout){ 1, 1, i3d_array_elements(flat) };
        return true;
    }
    for (int k = -1; k < rank; k++) {
        int axis = k < 0 ? preferred : k;
        if (!is_time(flat, inflated, axis))
            continue;
        *layout = (struct layout){ i3d_array_span(inflated, 0, axis), inflated->dims[axis],
                                   i3d_array_span(inflated, axis + 1, rank) };
        return true;
    }
    bool folded = rank == 4 && flat->rank == 4 && flat->dims[0] == inflated->dims[0]
        && flat->dims[1] == inflated->dims[1] && flat->dims[3] == inflated->dims[3]
        && flat->dims[2] > 0 && inflated->dims[2] % flat->dims[2] == 0;
    if (folded)
        *layout = (struct layout){ i3d_array_span(flat, 0, 2), inflated->dims[2] / flat->dims[2],
                                   i3d_array_span(flat, 2, 4) };
    return folded;
}

/* Without its sign, a float's bits are ordered as its value is, with NaN above
 * infinity: a maximum over integers keeps NaN, and vectorises. */
static uint32_t magnitude(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffff;
}

static float from_magnitude(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t largest_magnitude(const float *values, int64_t count)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = magnitude(values[i]);
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static uint32_t largest_difference(const float *a, const float *b, int64_t count)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = magnitude(a[i] - b[i]);
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static enum i3d_status compare_floats(const float *flat, const float *inflated,
                                      const struct layout *layout, int threads,
                                      struct i3d_comparison *comparison, struct i3d_error *error)
{
    int64_t frames = layout->frames, inner = layout->inner, outer = layout->outer;
    uint32_t *worst = calloc((size_t)frames + 1, sizeof *worst);
    if (!worst)
        return i3d_fail_memory(error);
    threads = threads > 0 ? threads : omp_get_max_threads();
    I3D_PARALLEL_FOR(threads)
    for (int64_t t = 0; t < frames; t++) {
        for (int64_t o = 0; o < outer; o++) {
            uint32_t bits = largest_difference(inflated + (o * frames + t) * inner,
                                               flat + o * inner, inner);
            worst[t] = bits > worst[t] ? bits : worst[t];
        }
    }
    for (int64_t t = 1; t < frames; t++)
        if (worst[t] > worst[comparison->worst_frame])
            comparison->worst_frame = t;
    comparison->max_absolute = from_magnitude(worst[comparison->worst_frame]);
    double scale = from_magnitude(largest_magnitude(flat, outer * inner));
    comparison->max_relative =
        scale > 0 ? comparison->max_absolute / scale : comparison->max_absolute;
    free(worst);
    return I3D_OK;
}

/* The elements as floats: the array's own, or a copy in *owned. */
static const float *as_floats(const struct i3d_array *array, float **owned)
{
    *owned = NULL;
    if (array->dtype == I3D_FLOAT32)
        return array->data;
    size_t count = (size_t)i3d_array_elements(array);
    *owned = malloc((count ? count : 1) * sizeof **owned);
    if (*owned)
        i3d_to_float(array->dtype, array->data, *owned, count);
    return *owned;
}

enum i3d_status i3d_compare_frames(const struct i3d_array *flat,
                                   const struct i3d_array *inflated, int threads,
                                   struct i3d_comparison *comparison, struct i3d_error *error)
{
    struct layout layout;
    *comparison = (struct i3d_comparison){ .max_absolute = INFINITY, .max_relative = INFINITY };
    if (flat->dtype != inflated->dtype || !find_layout(flat, inflated, &layout))
        return I3D_OK;
    comparison->fits = true;
    if (!i3d_array_elements(flat) || !layout.frames) {
        comparison->max_absolute = comparison->max_relative = 0;
        return I3D_OK;
    }
    float *owned, *other_owned;
    const float *a = as_floats(flat, &owned), *b = as_floats(inflated, &other_owned);
    enum i3d_status status = a && b
        ? compare_floats(a, b, &layout, threads, comparison, error)
        : i3d_fail_memory(error);
    free(owned);
    free(other_owned);
    return status;
}
