#include "zoo/inception_v1.h"

#include <string.h>

/* tensorflow/models, research/slim/nets/inception_v1.py */
static enum i3d_status build_slim(const struct i3d_architecture_options *options,
                                  struct i3d_model **model, struct i3d_error *error)
{
    static const struct i3d_inception_variant variant = {
        .batch_norm = true, .same_padding = true, .wide_kernel = 3, .last_pool = 2,
        .head = I3D_HEAD_CONV,
    };
    return i3d_inception_build(&variant, options, model, error);
}

/* torchvision/models/googlenet.py */
static enum i3d_status build_torchvision(const struct i3d_architecture_options *options,
                                         struct i3d_model **model, struct i3d_error *error)
{
    static const struct i3d_inception_variant variant = {
        .batch_norm = true, .ceil_mode = true, .wide_kernel = 3, .last_pool = 2,
        .head = I3D_HEAD_GLOBAL_POOL,
    };
    return i3d_inception_build(&variant, options, model, error);
}

/* BVLC's GoogLeNet as the ONNX model zoo runs it: the pools drop a last, partial
 * window, which leaves a 6×6 map to the average. */
static enum i3d_status build_bvlc(const struct i3d_architecture_options *options,
                                  struct i3d_model **model, struct i3d_error *error)
{
    static const struct i3d_inception_variant variant = {
        .lrn = true, .wide_kernel = 5, .last_pool = 3, .head = I3D_HEAD_PADDED_POOL,
    };
    return i3d_inception_build(&variant, options, model, error);
}

const struct i3d_architecture i3d_architectures[] = {
    { "inception_v1", "Inception-V1 with BatchNorm and SAME padding (TF-Slim)",
      "keras-inception_v1", build_slim },
    { "inception_v1_torchvision", "Inception-V1 with BatchNorm and explicit padding (torchvision)",
      "torchvision-googlenet", build_torchvision },
    { "inception_v1_bvlc", "Inception-V1 with biases, LRN and 5x5 kernels (BVLC, ONNX model zoo)",
      "onnx-zoo-inception_v1", build_bvlc },
    { 0 },
};

const struct i3d_architecture *i3d_architecture_by_name(const char *name)
{
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++)
        if (!strcmp(one->name, name))
            return one;
    return NULL;
}
