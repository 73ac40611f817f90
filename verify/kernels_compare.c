#include "verify/kernels_vector.h"

#include <float.h>

/* What two lines differ by. */

INLINE eight magnitude(eight value)
{
    return (eight)((eight_masks)value & 0x7fffffff);
}

INLINE eight kept_where(eight_masks which, eight value)
{
    return (eight)((eight_masks)value & which);
}

/* The larger ones; those of the second where either is NaN. */
INLINE eight larger(eight one, eight other)
{
    return choose8(one > other, one, other);
}

INLINE void keep_largest(float *largest, eight values)
{
    for (int k = 0; k < 8; k++)
        *largest = values[k] > *largest ? values[k] : *largest;
}

INLINE double sum(eight values)
{
    double total = 0;
    for (int k = 0; k < 8; k++)
        total += (double)values[k];
    return total;
}

INLINE void add_distance(eight a, eight b, eight *largest, eight *squares)
{
    /* infinities of one sign are equal, their difference is NaN */
    eight distance = kept_where(~(a == b), magnitude(a - b));
    *largest = larger(distance, *largest);
    *squares += distance * distance;
}

void KERNEL(add_distances)(const float *a, const float *b, int64_t count, float *largest,
                           double *squares)
{
    eight most = { 0 }, sums = { 0 }, other_most = { 0 }, other_sums = { 0 };
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) { /* two sums do not wait for each other */
        add_distance(load8(a + i), load8(b + i), &most, &sums);
        add_distance(load8(a + i + 8), load8(b + i + 8), &other_most, &other_sums);
    }
    for (; i < count; i += 8) {
        int64_t left = count - i < 8 ? count - i : 8;
        add_distance(load_part(a + i, left), load_part(b + i, left), &most, &sums);
    }
    keep_largest(largest, larger(most, other_most));
    *squares += sum(sums + other_sums);
}

INLINE void add_size(eight a, eight *largest, eight *squares)
{
    eight size = magnitude(a);
    size = kept_where(size <= splat8(FLT_MAX), size); /* an error is no smaller for an infinity */
    *largest = larger(size, *largest);
    *squares += size * size;
}

void KERNEL(add_sizes)(const float *a, int64_t count, float *largest, double *squares)
{
    eight most = { 0 }, sums = { 0 };
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        add_size(load8(a + i), &most, &sums);
    if (i < count)
        add_size(load_part(a + i, count - i), &most, &sums);
    keep_largest(largest, most);
    *squares += sum(sums);
}
