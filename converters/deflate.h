/* 3D back to 2D: the inverse of inflation. */
#pragma once

#include "converters/weights.h"

/* Keeps every name and makes kernels of five axes four: their sum over time (axis 2 to
 * 4), computed in double and rounded once. For a kernel that was inflated by repetition
 * that is the 2D kernel up to the rounding of its N divisions, for one in the middle
 * frame it is the 2D kernel. Where the model has a graph, kernels of transposed
 * convolutions are divided by the temporal stride, over whose phases inflation spreads
 * them, and the graph is left out. I3D_UNSUPPORTED if there is no kernel of five axes. */
enum i3d_status i3d_deflate_weights(const struct i3d_model *inflated, int axis,
                                    struct i3d_model **weights, struct i3d_error *error);

/* A copy of like, a 2D network, graph and all, whose tensors are filled from the 3D
 * ones of the same (new) name. likeness counts as for i3d_inflate_like; tensors with as
 * many elements, such as the matrix behind a kernel of size one, are taken for the same,
 * and a graph's integers, which are sizes and axes, stay and count as filled. */
enum i3d_status i3d_deflate_like(const struct i3d_model *inflated, const struct i3d_model *like,
                                 int axis, const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_model **made,
                                 struct i3d_error *error);
