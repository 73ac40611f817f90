/* How far what two networks compute lies apart, frame by frame; not installed. */
#pragma once

#include "verify/engine.h"

struct i3d_difference {
    bool comparable;      /* the shapes go together */
    double max_absolute;  /* NaN if there is one on either side, or they are not comparable */
    double largest;       /* finite |activation| of the reference */
    double relative_l2;   /* root of the squared differences' sum over the reference's */
    int64_t worst_frame, frames;
    float *by_frame;      /* the largest absolute difference; malloc'ed, or null */
};
void i3d_difference_free(struct i3d_difference *difference);

/* How a 3D array lies beside its reference: element (p, t, q) of outer × frames × inner
 * is element (p, q) of the reference, or, in motion, element (t, p, q). */
struct i3d_layout {
    int64_t outer, frames, inner;
    bool in_motion;
};

/* Not comparable where the arrays do not have so many elements. Free the difference. */
enum i3d_status i3d_compare_layout(const struct i3d_array *flat, const struct i3d_array *inflated,
                                   const struct i3d_layout *layout, int threads,
                                   struct i3d_difference *difference, struct i3d_error *error);

/* Finds the layout itself: compares a 2D activation with every frame of a 3D one:
 * N×C×H×W with N×C×T×H×W, with N×C×(T·H)×W, or with anything that has one axis more; or
 * with the same elements, where time is gone. */
enum i3d_status i3d_compare_frames(const struct i3d_array *flat,
                                   const struct i3d_array *inflated, int threads,
                                   struct i3d_difference *difference, struct i3d_error *error);
