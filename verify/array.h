/* Arrays of a run, beyond what verify/engine.h shows; not installed. */
#pragma once

#include "verify/engine.h"

/* The dtype that an array has for a tensor of this one: float32 for all floats,
 * int64 for all integers, bool; I3D_UNDEFINED where there is none. */
enum i3d_dtype i3d_array_dtype(enum i3d_dtype dtype);

/* As i3d_array_new, but the elements hold anything. */
enum i3d_status i3d_array_reserve(enum i3d_dtype dtype, int rank, const int64_t *dims,
                                  struct i3d_array *array, struct i3d_error *error);
enum i3d_status i3d_array_copy(const struct i3d_array *from, struct i3d_array *to,
                               struct i3d_error *error);

/* Whether the rank is in range and no product of some of the dims overflows, not
 * even where another one is 0. It holds for every array made here. */
bool i3d_array_sound(int rank, const int64_t *dims);
int64_t i3d_array_elements(const struct i3d_array *array);
size_t i3d_array_bytes(const struct i3d_array *array);
bool i3d_array_same_shape(const struct i3d_array *a, const struct i3d_array *b);
/* The product of dims[from] … dims[to - 1]. */
int64_t i3d_array_span(const struct i3d_array *array, int from, int to);

/* uint64 beyond int64's range wraps, as C converts. */
void i3d_integers_to_int64(enum i3d_dtype from, const void *in, int64_t *out, size_t count);
