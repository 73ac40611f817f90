/* What a 3D graph does with the frames of a clip, told from the graph alone: how
 * many frames each value has, which input frames one of them depends on, and
 * which see only the clip, no zeros beyond its ends ("clean" frames).
 *
 * On a video that repeats one image, an inflated network gives the 2D network's
 * activations in clean frames; Carreira and Zisserman 2017 (arXiv 1705.07750),
 * section 3, hold for those alone. A window over time of a convolution, or of an
 * average that counts its padding, has a clean result where it lies inside the
 * clip, over clean frames; padding that says nothing (-infinity or, over values
 * that are not negative, zero under a maximum; padding that an average does not
 * count) does not spoil a window; a Pad node that repeats frames spoils nothing.
 * What mixes all frames (pools over the whole clip, norms with statistics over
 * it) is clean only if all its frames are. */
#pragma once

#include "model/shape.h"

struct i3d_frame_trace {
    bool timed; /* the value has a frame for each moment; false: one for the whole clip */
    int axis;   /* of time; -1 where it is not timed, or time shares an axis (T·H) */
    /* Element (p, t, q) of the value is at (p·frames + t)·inner + q. */
    int64_t outer, frames, inner; /* frames is 1 where it is not timed */
    int64_t field; /* input frames that one frame depends on, those beyond the ends of the
                      clip counted; 0: all there are */
    double step;   /* input frames from one frame to the next; 0 where it is not timed */
    const bool *clean; /* by frame */
    int64_t clean_count, clean_first, clean_last; /* the latter two -1 where there is none */
    bool never; /* frames that are not clean were mixed into every one: no clip is long enough */
};

struct i3d_frames;

/* Traces all values for an input of that shape (all dims known; the time axis is
 * model->time_axis, or axis 2 of a rank-5 input where the model does not say).
 * weights: read the kernels of convolutions over time, so that a slice of zeros
 * counts as none (the center initialisation); without it every slice counts.
 * I3D_UNSUPPORTED where the graph does not take one video; I3D_MALFORMED where
 * the graph cannot have such an input (a clip too short, among others). The
 * model may change afterwards. */
enum i3d_status i3d_trace_frames(const struct i3d_model *model, const struct i3d_shape *input,
                                 bool weights, struct i3d_frames **frames,
                                 struct i3d_error *error);
void i3d_frames_free(struct i3d_frames *frames);

/* The trace of a value; null for what does not depend on the video, and for what
 * could not be followed. */
const struct i3d_frame_trace *i3d_frames_of(const struct i3d_frames *frames, const char *value);

/* The value that an output of the graph is the mean over time of (I3D's logits
 * by frame), or the output itself: where clean frames of a result are looked
 * for. Nodes that change no number are passed over. */
const char *i3d_framewise_output(const struct i3d_model *model, const struct i3d_frames *frames,
                                 size_t output);

/* The last value of the graph, in its order, that has a clean frame; null where
 * none has. */
const char *i3d_deepest_clean(const struct i3d_model *model, const struct i3d_frames *frames);

/* The shortest clip, up to limit frames, for which the framewise output has a clean
 * frame; *length is 0 where there is none at any length, -1 where there is none up
 * to limit. input is as above; its number of frames does not matter. */
enum i3d_status i3d_shortest_clean_clip(const struct i3d_model *model,
                                        const struct i3d_shape *input, bool weights,
                                        int64_t limit, int64_t *length, struct i3d_error *error);
