#include "verify/difference.h"

#include "verify/array.h"
#include "verify/kernels.h"
#include "verify/parallel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One frame of a comparison. */
struct frame_sums {
    float largest;   /* difference */
    float reference; /* finite activation */
    double squares, reference_squares; /* NaN if either side has one */
};

/* A part of the arrays: some lines of some frames. */
struct part {
    int64_t first_line, last_line, first_frame, last_frame; /* the last ones not included */
};

static void add_part(const float *flat, const float *inflated, const struct i3d_layout *layout,
                     struct part part, struct frame_sums *sums)
{
    const struct i3d_kernels *kernels = i3d_best_kernels();
    int64_t inner = layout->inner;
    for (int64_t o = part.first_line; o < part.last_line; o++)
        for (int64_t t = part.first_frame; t < part.last_frame; t++) {
            const float *a = flat + (layout->in_motion ? t * layout->outer + o : o) * inner;
            const float *b = inflated + (o * layout->frames + t) * inner;
            kernels->add_distances(a, b, inner, &sums[t].largest, &sums[t].squares);
            if (layout->in_motion || !t) /* the reference; one frame for all */
                kernels->add_sizes(a, inner, &sums[t].reference, &sums[t].reference_squares);
        }
}

/* Work is cut the same way whatever the number of threads: sums are the same, too. */
enum { PARTS = 16 };

static struct part part_of(const struct i3d_layout *layout, int k, bool by_line)
{
    int64_t count = by_line ? layout->outer : layout->frames;
    int64_t first = count * k / PARTS, last = count * (k + 1) / PARTS;
    return by_line ? (struct part){ first, last, 0, layout->frames }
                   : (struct part){ 0, layout->outer, first, last };
}

static void add_sums(struct frame_sums *sums, const struct frame_sums *part)
{
    sums->largest = part->largest > sums->largest ? part->largest : sums->largest;
    sums->reference = part->reference > sums->reference ? part->reference : sums->reference;
    sums->squares += part->squares;
    sums->reference_squares += part->reference_squares;
}

static void add_parts(const float *flat, const float *inflated, const struct i3d_layout *layout,
                      int threads, struct frame_sums *sums)
{
    bool by_line = layout->outer >= PARTS;
    I3D_PARALLEL_FOR(threads > 0 ? threads : omp_get_max_threads())
    for (int k = 0; k < PARTS; k++)
        add_part(flat, inflated, layout, part_of(layout, k, by_line),
                 sums + (by_line ? k * layout->frames : 0));
    for (int64_t t = 0; t < layout->frames; t++) {
        for (int k = 1; by_line && k < PARTS; k++)
            add_sums(&sums[t], &sums[k * layout->frames + t]);
        if (isnan(sums[t].squares))
            sums[t].largest = NAN;
    }
}

enum i3d_status i3d_compare_layout(const struct i3d_array *flat, const struct i3d_array *inflated,
                                   const struct i3d_layout *layout, int threads,
                                   struct i3d_difference *difference, struct i3d_error *error)
{
    *difference = (struct i3d_difference){ .max_absolute = NAN, .relative_l2 = NAN };
    int64_t each = layout->outer * layout->inner, frames = layout->frames;
    if (flat->dtype != I3D_FLOAT32 || inflated->dtype != I3D_FLOAT32 || each < 1 || frames < 1
        || i3d_array_elements(inflated) != each * frames
        || i3d_array_elements(flat) != (layout->in_motion ? each * frames : each))
        return I3D_OK;
    struct frame_sums *sums = calloc((size_t)frames, PARTS * sizeof *sums);
    difference->by_frame = malloc((size_t)frames * sizeof *difference->by_frame);
    if (!sums || !difference->by_frame) {
        free(sums);
        i3d_difference_free(difference);
        return i3d_fail_memory(error);
    }
    difference->comparable = true;
    difference->frames = frames;
    add_parts(flat->data, inflated->data, layout, threads, sums);
    double squares = 0, reference = 0;
    difference->max_absolute = 0;
    for (int64_t t = 0; t < frames; t++) {
        difference->by_frame[t] = sums[t].largest;
        difference->largest = fmax(difference->largest, (double)sums[t].reference);
        squares += sums[t].squares;
        reference += sums[layout->in_motion ? t : 0].reference_squares;
        if (isnan(difference->max_absolute) || sums[t].largest <= (float)difference->max_absolute)
            continue;
        difference->max_absolute = (double)sums[t].largest;
        difference->worst_frame = t;
    }
    difference->relative_l2 = reference > 0 ? sqrt(squares / reference) : sqrt(squares);
    free(sums);
    return I3D_OK;
}

void i3d_difference_free(struct i3d_difference *difference)
{
    free(difference->by_frame);
    *difference = (struct i3d_difference){ 0 };
}

static int64_t product(const int64_t *dims, int from, int to)
{
    int64_t count = 1;
    for (int k = from; k < to; k++)
        count *= dims[k];
    return count;
}

/* How the two line up: the 2D array is outer×inner, the 3D one outer×frames×inner.
 * Sizes may leave open which axis is time; choice counts the ways, false: no more. */
static bool line_up(const struct i3d_array *flat, const struct i3d_array *inflated, int choice,
                    int64_t *outer, int64_t *frames, int64_t *inner)
{
    int64_t count = product(flat->dims, 0, flat->rank);
    int64_t all = product(inflated->dims, 0, inflated->rank);
    if (!count || flat->dtype != I3D_FLOAT32 || inflated->dtype != I3D_FLOAT32)
        return false;
    int axis = -1, ways = choice; /* of time: the one without which the dims are those of 2D */
    for (int t = inflated->rank - 1; t >= 0 && inflated->rank == flat->rank + 1; t--)
        if (!memcmp(flat->dims, inflated->dims, (size_t)t * sizeof *flat->dims)
            && !memcmp(flat->dims + t, inflated->dims + t + 1,
                       (size_t)(flat->rank - t) * sizeof *flat->dims)
            && ways-- == 0)
            axis = t;
    if (choice && axis < 0)
        return false;
    bool features = flat->rank == 2 && inflated->rank == 5 && flat->dims[0] == inflated->dims[0]
        && flat->dims[1] == inflated->dims[1]
        && product(inflated->dims, 3, 5) == 1; /* N×C against N×C×T×1×1 */
    bool folded = flat->rank == 4 && inflated->rank == 4 /* time and hfour in one axis */
        && flat->dims[0] == inflated->dims[0] && flat->dims[1] == inflated->dims[1]
        && inflated->dims[2] % flat->dims[2] == 0 && flat->dims[3] == inflated->dims[3];
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

enum i3d_status i3d_compare_frames(const struct i3d_array *flat,
                                   const struct i3d_array *inflated, int threads,
                                   struct i3d_difference *difference, struct i3d_error *error)
{
    int64_t outer, frames, inner;
    struct i3d_difference other;
    *difference = (struct i3d_difference){ .max_absolute = NAN, .relative_l2 = NAN };
    enum i3d_status status = I3D_OK;
    for (int choice = 0; !status && line_up(flat, inflated, choice, &outer, &frames, &inner);
         choice++) {
        const struct i3d_layout layout = { .outer = outer, .frames = frames, .inner = inner };
        status = i3d_compare_layout(flat, inflated, &layout, threads, &other, error);
        if (!status && (!choice || other.max_absolute < difference->max_absolute)) {
            i3d_difference_free(difference);
            *difference = other;
        } else if (!status) {
            i3d_difference_free(&other);
        }
    }
    return status;
}
