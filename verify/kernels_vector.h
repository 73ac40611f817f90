/* What the kernels are written with: plain C with the compiler's vectors. The build
 * compiles kernels*.c again for other instruction sets, with their names in
 * I3D_KERNELS and the shape of their tiles; without these they are for any processor.
 * Not installed. */
#pragma once

#include "verify/kernels.h"

#include <math.h>
#include <string.h>

#ifndef I3D_KERNELS
#define I3D_KERNELS plain
#define I3D_VECTOR_FLOATS 4
#define I3D_TALL 4
#define I3D_LOW 2
#endif
#define I3D_STRING_OF(name) #name
#define I3D_STRING(name) I3D_STRING_OF(name)
#define I3D_JOINED(prefix, name) prefix##name
#define I3D_JOIN(prefix, name) I3D_JOINED(prefix, name)
#define KERNEL(name) I3D_JOIN(i3d_##name##_, I3D_KERNELS)

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

enum { WIDTH = I3D_VECTOR_FLOATS };
typedef float vector __attribute__((vector_size(4 * I3D_VECTOR_FLOATS)));
/* Everything but matrix products works in vectors of eight: lines are short. */
typedef float eight __attribute__((vector_size(32)));
typedef int32_t eight_masks __attribute__((vector_size(32)));
typedef float four __attribute__((vector_size(16)));

/* Vectors in memory need no more alignment than their elements. */
typedef vector loose_vector __attribute__((aligned(4), may_alias));
typedef eight loose_eight __attribute__((aligned(4), may_alias));
typedef four loose_four __attribute__((aligned(4), may_alias));

INLINE eight load8(const float *from)
{
    return *(const loose_eight *)from;
}

INLINE void store8(float *to, eight value)
{
    *(loose_eight *)to = value;
}

INLINE eight splat8(float value)
{
    return (eight){ value, value, value, value, value, value, value, value };
}

INLINE eight choose8(eight_masks which, eight yes, eight no)
{
    return (eight)(((eight_masks)yes & which) | ((eight_masks)no & ~which));
}

/* The first count (below 8) of eight elements. */
INLINE eight load_part(const float *from, int64_t count)
{
    eight value = splat8(0);
    memcpy(&value, from, (size_t)count * sizeof *from);
    return value;
}

INLINE void store_part(float *to, eight value, int64_t count)
{
    memcpy(to, &value, (size_t)count * sizeof *to);
}

/* kernels_compare.c, kernels_lines.c and kernels_winograd.c; see struct i3d_kernels. */
void KERNEL(add_distances)(const float *a, const float *b, int64_t count, float *largest,
                           double *squares);
void KERNEL(add_sizes)(const float *a, int64_t count, float *largest, double *squares);
void KERNEL(gather)(const float *from, int64_t stride, float *to, int64_t count);
void KERNEL(gather_lines)(const float *from, int64_t from_pitch, int64_t stride, float *to,
                          int64_t count, int64_t lines);
void KERNEL(finish)(const float *from, float bias, const float *residual,
                    const struct i3d_epilogue *epilogue, float *to, int64_t count);
void KERNEL(correlate)(const float *from, const int64_t *offsets, const float *weights,
                       int64_t taps, float *to, int64_t count);
void KERNEL(raise)(float *to, const float *from, int64_t count);
void KERNEL(add)(float *to, const float *from, int64_t count);
void KERNEL(pool_rows)(const struct i3d_pool_line *pool);
void KERNEL(pool_taps)(const struct i3d_pool_line *pool);
void KERNEL(winograd_down)(const float *const lines[6], float *to, int64_t line_stride,
                           int64_t count);
void KERNEL(winograd_across)(int step, float *lines, int64_t line_stride, float *scratch,
                             float *to, int64_t to_stride, int64_t count);
void KERNEL(winograd_back)(int step, const float *from, int64_t from_stride, float *lines,
                           int64_t line_stride, int64_t count);
void KERNEL(winograd_kernels)(int side, const double *taps, float *points);
