/* The boring video: one image for the 2D network, the same image as every frame
 * for the 3D one. */
#pragma once

#include "verify/engine.h"
#include "verify/proof.h"

/* Sizes of the comparison's inputs. */
struct i3d_boring {
    int time_axis; /* of the video: 2 (channels first) or 1 (N×T×H×W×C, from N×H×W×C) */
    int64_t flat_channels, channels; /* of the image, of the video */
    int64_t frames, height, width;
    uint64_t seed;
};

/* Settles them: what the graphs declare; then options; then 64 frames of
 * 224×224. I3D_USAGE where options contradict what the 3D graph fixes,
 * I3D_UNSUPPORTED where the graphs contradict each other or take something else
 * than one image and one video. */
enum i3d_status i3d_boring_sizes(const struct i3d_model *flat, const struct i3d_model *inflated,
                                 const struct i3d_proof_options *options,
                                 struct i3d_boring *boring, struct i3d_error *error);

/* A 1×C×H×W image and a 1×C'×T×H×W video of it, standard normal values from a
 * counter-based generator (SplitMix64; pairs of numbers through Box and Muller's
 * transform). With C' unlike C all channels of both are the same grey image,
 * which is the input that other channel counts are made for. */
enum i3d_status i3d_boring_input(const struct i3d_boring *boring, struct i3d_array *image,
                                 struct i3d_array *video, struct i3d_error *error);

/* The video of an image that was given: 1×C×H×W (or 1×H×W×C), of boring's sizes. With C'
 * unlike C the channels of the video are the mean of the image's, and the image is made
 * grey in place. */
enum i3d_status i3d_boring_repeat(const struct i3d_boring *boring, struct i3d_array *image,
                                  struct i3d_array *video, struct i3d_error *error);

/* Fills a float32 array with standard normal values. */
void i3d_normal_values(uint64_t seed, struct i3d_array *array);

/* A video of standard normal values, every frame another one. With C' unlike C all
 * channels are the same. */
enum i3d_status i3d_moving_input(const struct i3d_boring *boring, struct i3d_array *video,
                                 struct i3d_error *error);
