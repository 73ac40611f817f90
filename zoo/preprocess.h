/* From a photograph to what an image network reads. */
#pragma once

#include "formats/picture.h"
#include "model/shape.h"
#include "verify/engine.h"

/* As a manifest has it (i3dconv-manifest(5)): input is (pixel·scale − mean) / std. */
struct i3d_preprocessing {
    int64_t height, width; /* 0: the network's */
    bool bgr;
    double scale, mean[3], std[3];
};

/* Reads the JSON object; what it leaves out is RGB, scale 1, mean 0, std 1. Null text:
 * RGB from −1 to 1, as Inception-V1 and I3D have it. I3D_USAGE for what is no such
 * object. */
enum i3d_status i3d_preprocessing_parse(const char *text, struct i3d_preprocessing *settings,
                                        struct i3d_error *error);

/* The middle of the picture with the shape's proportions, as large as it can be, resampled
 * to the shape (1×C×H×W or, channels_last, 1×H×W×C) with a triangular filter that is as
 * wide as the step between pixels of the larger side (bilinear where it enlarges). With
 * C = 1 the channels' mean is taken, once they are scaled. I3D_USAGE for other numbers of
 * channels than 1 and 3. */
enum i3d_status i3d_preprocess(const struct i3d_picture *picture,
                               const struct i3d_preprocessing *settings,
                               const struct i3d_shape *shape, bool channels_last,
                               struct i3d_array *array, struct i3d_error *error);
