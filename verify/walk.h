/* Walking over arrays with strides, a row at a time; not installed. */
#pragma once

#include "verify/array.h"

enum { I3D_WALK_OPERANDS = 2 };

/* Element (i0, i1, …) of operand p is at offset[p] + Σ ik·strides[p][k], in
 * elements; a stride of 0 repeats, a negative one runs backwards. */
struct i3d_walk {
    int rank; /* ≥ 1 once made dense */
    int64_t dims[I3D_MAX_RANK];
    int64_t strides[I3D_WALK_OPERANDS][I3D_MAX_RANK];
    int64_t offset[I3D_WALK_OPERANDS];
};

/* Merges neighbouring axes that every operand steps through as through one, and
 * drops axes of length 1: rows become as long as they can be. */
void i3d_walk_merge(struct i3d_walk *walk);
/* All axes but the last. */
int64_t i3d_walk_rows(const struct i3d_walk *walk);
/* Where row starts in an operand. */
int64_t i3d_walk_row(const struct i3d_walk *walk, int operand, int64_t row);

/* Strides, in elements, of an array of these dims in C order. */
void i3d_dense_strides(int rank, const int64_t *dims, int64_t *strides);

/* numpy's broadcasting of a and b, of which axes that count from the last one
 * match where they are equal or one is 1: the walk has the common shape, the
 * operands the strides. False where they do not match. */
bool i3d_walk_broadcast(const struct i3d_array *a, const struct i3d_array *b,
                        struct i3d_walk *walk);

/* Copies operand 0 of the walk, in order, to a dense array. */
void i3d_walk_copy(const struct i3d_walk *walk, const void *in, size_t element_size, void *out,
                   int threads);
