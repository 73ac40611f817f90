#include "verify/boring.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* SplitMix64 (Steele, Lea and Flood 2014) as a function of a counter. */
static uint64_t mix(uint64_t seed, uint64_t counter)
{
    uint64_t z = seed + (counter + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static float normal(uint64_t seed, uint64_t counter)
{
    double u = ((double)(mix(seed, 2 * counter) >> 11) + 0.5) * 0x1p-53;
    double v = (double)(mix(seed, 2 * counter + 1) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

enum i3d_status i3d_boring_input(const struct i3d_boring *boring, struct i3d_array *image,
                                 struct i3d_array *video, struct i3d_error *error)
{
    int64_t plane = boring->height * boring->width;
    int64_t flat_dims[] = { 1, boring->flat_channels, boring->height, boring->width };
    int64_t dims[] = { 1, boring->channels, boring->frames, boring->height, boring->width };
    bool grey = boring->flat_channels != boring->channels;
    enum i3d_status status = i3d_array_new(I3D_FLOAT32, 4, flat_dims, image, error);
    if (status)
        return status;
    status = i3d_array_new(I3D_FLOAT32, 5, dims, video, error);
    if (status) {
        i3d_array_free(image);
        return status;
    }
    float *pixels = image->data, *frames = video->data;
    for (int64_t c = 0; c < boring->flat_channels; c++)
        for (int64_t i = 0; i < plane; i++)
            pixels[c * plane + i] =
                normal(boring->seed, (uint64_t)((grey ? 0 : c * plane) + i));
    for (int64_t c = 0; c < boring->channels; c++)
        for (int64_t t = 0; t < boring->frames; t++)
            memcpy(frames + (c * boring->frames + t) * plane, pixels + (grey ? 0 : c) * plane,
                   (size_t)plane * sizeof *pixels);
    return I3D_OK;
}

static int64_t product(const int64_t *dims, int from, int to)
{
    int64_t count = 1;
    for (int k = from; k < to; k++)
        count *= dims[k];
    return count;
}

/* How the two line up: the 2D array is outer×inner, the 3D one outer×frames×inner. */
static bool line_up(const struct i3d_array *flat, const struct i3d_array *inflated,
                    int64_t *outer, int64_t *frames, int64_t *inner)
{
    int64_t count = product(flat->dims, 0, flat->rank);
    int64_t all = product(inflated->dims, 0, inflated->rank);
    if (!count || flat->dtype != I3D_FLOAT32 || inflated->dtype != I3D_FLOAT32)
        return false;
    int axis = -1; /* of time: the one without which the dims are those of 2D */
    for (int t = inflated->rank - 1; t >= 0 && inflated->rank == flat->rank + 1; t--)
        if (!memcmp(flat->dims, inflated->dims, (size_t)t * sizeof *flat->dims)
            && !memcmp(flat->dims + t, inflated->dims + t + 1,
                       (size_t)(flat->rank - t) * sizeof *flat->dims)
            && (axis < 0 || t >= 2))
            axis = t;
    bool features = flat->rank == 2 && inflated->rank == 5 && flat->dims[0] == inflated->dims[0]
        && flat->dims[1] == inflated->dims[1]
        && product(inflated->dims, 3, 5) == 1; /* N×C against N×C×T×1×1 */
    bool folded = flat->rank == 4 && inflated->rank == 4 && flat->dims[2]
        && inflated->dims[2] % flat->dims[2] == 0; /* time and height in one axis */
    if (axis >= 0 || features) {
        axis = features ? 2 : axis;
        *outer = product(inflated->dims, 0, axis);
        *frames = inflated->dims[axis];
    } else if (all == count) {
        *outer = 1;
        *frames = 1;
    } else if (folded) {
        *outer = flat->dims[0] * flat->dims[1];
        *frames = inflated->dims[2] / flat->dims[2];
    } else {
        return false;
    }
    *inner = count / *outer;
    return *frames > 0 && *outer * *inner == count && *frames * count == all;
}

/* The largest difference in one frame; NaN if either side has one. */
static float frame_difference(const float *flat, const float *inflated, int64_t outer,
                              int64_t frames, int64_t inner, int64_t frame)
{
    float largest = 0;
    bool good = true;
    for (int64_t o = 0; o < outer; o++) {
        const float *a = flat + o * inner, *b = inflated + (o * frames + frame) * inner;
        for (int64_t i = 0; i < inner; i++) {
            float distance = fabsf(a[i] - b[i]);
            if (a[i] == b[i]) /* infinities of one sign are equal, their difference is NaN */
                distance = 0;
            good &= distance == distance;
            largest = distance > largest ? distance : largest;
        }
    }
    return good ? largest : NAN;
}

void i3d_compare_frames(const struct i3d_array *flat, const struct i3d_array *inflated,
                        struct i3d_difference *difference)
{
    int64_t outer, frames, inner;
    *difference = (struct i3d_difference){ .max_absolute = NAN };
    difference->comparable = line_up(flat, inflated, &outer, &frames, &inner);
    float *by_frame = difference->comparable ? malloc((size_t)frames * sizeof *by_frame) : NULL;
    if (!by_frame) {
        difference->comparable = false;
        return;
    }
    I3D_PARALLEL_FOR(omp_get_max_threads())
    for (int64_t t = 0; t < frames; t++)
        by_frame[t] = frame_difference(flat->data, inflated->data, outer, frames, inner, t);
    const float *a = flat->data;
    for (int64_t i = 0; i < outer * inner; i++)
        difference->largest = fmax(difference->largest, fabs((double)a[i]));
    difference->max_absolute = 0;
    for (int64_t t = 0; t < frames; t++) {
        if (by_frame[t] <= difference->max_absolute)
            continue;
        difference->max_absolute = by_frame[t];
        difference->worst_frame = t;
        if (isnan(by_frame[t]))
            break;
    }
    free(by_frame);
}
