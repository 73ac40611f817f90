/* One layer's activations, 3D against 2D; not installed. */
#pragma once

#include "verify/engine.h"

struct i3d_comparison {
    bool fits; /* the 3D array is the 2D one with a time axis, or repeated along an axis */
    double max_absolute;   /* NaN if an element of either is */
    double max_relative;   /* max_absolute over the largest |element| of flat, unless that is 0 */
    int64_t worst_frame;
};

/* Compares flat, N×C×H×W or with axes of size 1 dropped, with inflated at every
 * frame. inflated has one axis more, time: ahead of height and width, or behind
 * the channels; or none, after a mean over time; or, as around an LRN, frames
 * and height in one axis, N×C×(T·H)×W. Axes of size 1 may be there or not. */
enum i3d_status i3d_compare_frames(const struct i3d_array *flat,
                                   const struct i3d_array *inflated, int threads,
                                   struct i3d_comparison *comparison, struct i3d_error *error);
