#include "model/view.h"

#include <string.h>

/* Division is as exact in vectors; -O2 alone would go one by one. */
#ifdef _OPENMP
#define I3D_VECTORISE _Pragma("omp simd")
#else
#define I3D_VECTORISE
#endif

int64_t i3d_view_elements(const struct i3d_view *view)
{
    int64_t count = 1;
    for (int k = 0; k < view->rank; k++)
        count *= view->dims[k];
    return count;
}

bool i3d_view_is_valid(const struct i3d_view *view, uint64_t base_elements)
{
    if (view->rank < 0 || view->rank > I3D_MAX_RANK || view->offset < 0
        || view->tap_axis < -1 || view->tap_axis >= view->rank)
        return false;
    int64_t last = view->offset, count = 1;
    for (int k = 0; k < view->rank; k++) {
        int64_t reach;
        if (view->dims[k] <= 0 || view->strides[k] < 0
            || __builtin_mul_overflow(view->dims[k] - 1, view->strides[k], &reach)
            || __builtin_add_overflow(last, reach, &last)
            || __builtin_mul_overflow(count, view->dims[k], &count))
            return false;
    }
    if (view->tap_axis >= 0
        && (view->dims[view->tap_axis] > I3D_MAX_TAPS || !i3d_dtype_is_float(view->dtype)))
        return false;
    return (uint64_t)last < base_elements && count <= INT64_MAX / 8;
}

void i3d_view_drop_idle_taps(struct i3d_view *view)
{
    bool divides = false;
    for (int64_t i = 0; view->tap_axis >= 0 && i < view->dims[view->tap_axis]; i++)
        divides |= view->divisors[i] != 1;
    if (!divides)
        view->tap_axis = -1;
}

void i3d_view_simplify(struct i3d_view *view)
{
    int rank = 0, tap_axis = -1;
    for (int k = 0; k < view->rank; k++) {
        int64_t dim = view->dims[k], stride = view->strides[k];
        bool tap = k == view->tap_axis;
        if (dim == 1 && !tap)
            continue;
        bool merges = rank > 0 && !tap && tap_axis != rank - 1
            && view->strides[rank - 1] == stride * dim;
        if (merges) {
            view->dims[rank - 1] *= dim;
            view->strides[rank - 1] = stride;
            continue;
        }
        if (tap)
            tap_axis = rank;
        view->dims[rank] = dim;
        view->strides[rank] = stride;
        rank++;
    }
    view->rank = rank;
    view->tap_axis = tap_axis;
}

/* Finds the dim of inner that outer's dim steps along: its stride is a multiple
 * m of that dim's contiguous stride, and the steps stay inside the dim. */
static int find_dim(const struct i3d_view *inner, const int64_t *contiguous,
                    const int64_t *position, int64_t dim, int64_t stride, int64_t *multiple)
{
    for (int j = 0; j < inner->rank; j++) {
        if (stride % contiguous[j])
            continue;
        int64_t m = stride / contiguous[j];
        if (m > 0 && position[j] + (dim - 1) * m < inner->dims[j]) {
            *multiple = m;
            return j;
        }
    }
    return -1;
}

bool i3d_view_compose(struct i3d_view *outer, const struct i3d_view *inner)
{
    if (outer->tap_axis >= 0 && inner->tap_axis >= 0)
        return false;
    int64_t contiguous[I3D_MAX_RANK], position[I3D_MAX_RANK];
    int64_t step = 1, rest = outer->offset;
    for (int j = inner->rank - 1; j >= 0; j--) {
        contiguous[j] = step;
        step *= inner->dims[j];
    }
    struct i3d_view composed = *outer;
    composed.offset = inner->offset;
    for (int j = 0; j < inner->rank; j++) {
        position[j] = rest / contiguous[j];
        rest %= contiguous[j];
        composed.offset += position[j] * inner->strides[j];
    }
    /* The taps of inner survive when outer walks their whole axis in order, or
     * repeats it; a part of them would need other divisors. */
    bool taps_found = inner->tap_axis < 0;
    if (!taps_found && position[inner->tap_axis])
        return false;
    for (int k = 0; k < outer->rank; k++) {
        if (outer->dims[k] == 1 || outer->strides[k] == 0) {
            composed.strides[k] = 0;
            continue;
        }
        int64_t multiple;
        int j = find_dim(inner, contiguous, position, outer->dims[k], outer->strides[k],
                         &multiple);
        if (j < 0)
            return false;
        position[j] += (outer->dims[k] - 1) * multiple;
        composed.strides[k] = multiple * inner->strides[j];
        if (j == inner->tap_axis) {
            if (taps_found || multiple != 1 || outer->dims[k] != inner->dims[j])
                return false;
            taps_found = true;
            composed.tap_axis = k;
            memcpy(composed.divisors, inner->divisors, sizeof composed.divisors);
        }
    }
    if (!taps_found)
        return false;
    *outer = composed;
    return true;
}

/* Rounding happens once: float16 and bfloat16 quotients by small integers that
 * are computed in float32 round to the same value as exact ones, since float32
 * has more than twice their precision plus two bits (Figueroa 1995). */
static void divide(enum i3d_dtype dtype, void *values, int64_t count, int32_t divisor)
{
    size_t size = i3d_dtype_size(dtype);
    if (divisor == 0) {
        memset(values, 0, (size_t)count * size);
        return;
    }
    if (divisor == 1)
        return;
    if (dtype == I3D_FLOAT32) {
        float *x = values, by = (float)divisor;
        I3D_VECTORISE
        for (int64_t i = 0; i < count; i++)
            x[i] /= by;
    } else if (dtype == I3D_FLOAT64) {
        double *x = values, by = divisor;
        I3D_VECTORISE
        for (int64_t i = 0; i < count; i++)
            x[i] /= by;
    } else if (dtype == I3D_FLOAT16) {
        uint16_t *x = values;
        for (int64_t i = 0; i < count; i++)
            x[i] = i3d_half_from_float(i3d_float_from_half(x[i]) / (float)divisor);
    } else {
        uint16_t *x = values;
        for (int64_t i = 0; i < count; i++)
            x[i] = i3d_bfloat16_from_float(i3d_float_from_bfloat16(x[i]) / (float)divisor);
    }
}

#define COPY_STRIDED(type)                        \
    do {                                          \
        const type *from = (const type *)base + start; \
        type *to = out;                           \
        for (int64_t i = 0; i < count; i++)       \
            to[i] = from[i * stride];             \
    } while (0)

static void copy_run(size_t size, const void *base, int64_t start, int64_t stride, int64_t count,
                     void *out)
{
    if (stride == 1) {
        memcpy(out, (const char *)base + (size_t)start * size, (size_t)count * size);
        return;
    }
    switch (size) {
    case 1: COPY_STRIDED(uint8_t); break;
    case 2: COPY_STRIDED(uint16_t); break;
    case 4: COPY_STRIDED(uint32_t); break;
    default: COPY_STRIDED(uint64_t); break;
    }
}

void i3d_view_gather(const struct i3d_view *view, const void *base, int64_t first, int64_t count,
                     void *out)
{
    size_t size = i3d_dtype_size(view->dtype);
    int last = view->rank - 1;
    int64_t index[I3D_MAX_RANK] = { 0 };
    int64_t start = view->offset, rest = first;
    for (int k = last; k >= 0; k--) {
        index[k] = rest % view->dims[k];
        rest /= view->dims[k];
        start += index[k] * view->strides[k];
    }
    int64_t run_dim = last >= 0 ? view->dims[last] : 1;
    int64_t run_stride = last >= 0 ? view->strides[last] : 1;
    char *to = out;
    while (count > 0) {
        int64_t run = run_dim - (last >= 0 ? index[last] : 0);
        if (run > count)
            run = count;
        copy_run(size, base, start, run_stride, run, to);
        if (view->tap_axis >= 0 && view->tap_axis != last)
            divide(view->dtype, to, run, view->divisors[index[view->tap_axis]]);
        else if (view->tap_axis >= 0)
            for (int64_t i = 0; i < run; i++)
                divide(view->dtype, to + (size_t)i * size, 1, view->divisors[index[last] + i]);
        to += (size_t)run * size;
        count -= run;
        if (!count || last < 0)
            break;
        start -= index[last] * run_stride;
        index[last] = 0;
        for (int k = last - 1; k >= 0; k--) { /* carry into the outer dims */
            start += view->strides[k];
            if (++index[k] < view->dims[k])
                break;
            start -= view->dims[k] * view->strides[k];
            index[k] = 0;
        }
    }
}
