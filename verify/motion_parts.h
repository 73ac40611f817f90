/* What motion.c and motion_time.c share: values on their way through the reference for
 * arbitrary motion, and windows over time; not installed. */
#pragma once

#include "verify/prover.h"

static inline enum i3d_status i3d_motion_no_memory(const struct i3d_motion *motion)
{
    return i3d_fail_memory(motion->twins->error);
}

static inline const struct i3d_node *i3d_motion_flat(const struct i3d_motion *motion,
                                                     int64_t position)
{
    return &motion->prover->flat.model->nodes[position];
}

static inline const struct i3d_node *i3d_motion_inflated(const struct i3d_motion *motion,
                                                         int64_t position)
{
    return &motion->prover->inflated.model->nodes[position];
}

/* A value on its way; name null: it could not be followed. */
struct i3d_track {
    const char *name;
    int64_t frames, elements; /* by frame */
    struct i3d_shape shape;   /* of one frame, dims[0] stands for the frames */
};

/* A window over time. */
struct i3d_span {
    enum { SPAN_NONE, SPAN_SUM, SPAN_ONE, SPAN_MAX, SPAN_MEAN, SPAN_POWER, SPAN_SPREAD } kind;
    int64_t taps, stride, dilation, begin, end, extra; /* extra: output padding */
    bool counts_padding, ceil;
    int64_t frames; /* that come out */
    int64_t power;
};

/* motion_time.c */

/* The shape of one frame of a 2D value; false where the 2D graph is not for one image. */
bool i3d_frame_shape(const struct i3d_motion *motion, const char *value,
                     struct i3d_shape *shape);
/* The track takes the shape of a 2D value; false, and its name null, where that is not known. */
bool i3d_track_set_shape(const struct i3d_motion *motion, struct i3d_track *track,
                         const char *value);
/* Applies a window to a value seen as one image of T × (all of a frame). */
enum i3d_status i3d_track_window(struct i3d_motion *motion, struct i3d_track *track,
                                  const struct i3d_span *span);
/* Makes one frame of all of them. */
enum i3d_status i3d_track_mix(struct i3d_motion *motion, struct i3d_track *track,
                              const char *op_type);
/* What a window of the 3D graph does over time; false where it is not understood. */
bool i3d_span_of(const struct i3d_motion *motion, const struct i3d_node *node, bool centered,
                 struct i3d_span *span);
/* What the transparent nodes of the 3D graph between two values do over time, from the
 * origin on. */
enum i3d_status i3d_track_follow(struct i3d_motion *motion, const char *from, const char *to,
                                 struct i3d_track *track);
