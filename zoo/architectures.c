#include "zoo/inception_v1.h"
#include "zoo/resnet.h"
#include "zoo/structure.h"

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

/* torchvision/models/resnet.py */
#define BUILD_RESNET(depth)                                                                   \
    static enum i3d_status build_resnet##depth(const struct i3d_architecture_options *options, \
                                               struct i3d_model **model,                      \
                                               struct i3d_error *error)                       \
    {                                                                                         \
        return i3d_resnet_build(i3d_resnet_depth("resnet" #depth), options, model, error);    \
    }
BUILD_RESNET(18)
BUILD_RESNET(34)
BUILD_RESNET(50)
BUILD_RESNET(101)
BUILD_RESNET(152)

#define RESNET(depth)                                                                         \
    { "resnet" #depth, "ResNet-" #depth " (torchvision)", "torchvision-resnet",               \
      build_resnet##depth }

const struct i3d_architecture i3d_architectures[] = {
    { "inception_v1", "Inception-V1 with BatchNorm and SAME padding (TF-Slim)",
      "keras-inception_v1", build_slim },
    { "inception_v1_torchvision", "Inception-V1 with BatchNorm and explicit padding (torchvision)",
      "torchvision-googlenet", build_torchvision },
    { "inception_v1_bvlc", "Inception-V1 with biases, LRN and 5x5 kernels (BVLC, ONNX model zoo)",
      "onnx-zoo-inception_v1", build_bvlc },
    RESNET(18), RESNET(34), RESNET(50), RESNET(101), RESNET(152),
    { 0 },
};

const struct i3d_architecture *i3d_architecture_by_name(const char *name)
{
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++)
        if (!strcmp(one->name, name))
            return one;
    return NULL;
}

static size_t resnet_units(const struct i3d_resnet_depth *depth, const char *units[I3D_MAX_UNITS])
{
    size_t count = 0;
    units[count++] = "conv1";
    for (int stage = 0; stage < I3D_RESNET_STAGES; stage++) {
        for (int block = 0; block < depth->blocks[stage]; block++) {
            for (int part = 0; part < i3d_resnet_convs(depth); part++)
                units[count++] = i3d_resnet_unit(stage, block, part);
            if (i3d_resnet_projects(depth, stage, block))
                units[count++] = i3d_resnet_unit(stage, block, I3D_RESNET_PARTS - 1);
        }
    }
    units[count++] = "fc";
    return count;
}

size_t i3d_architecture_units(const struct i3d_architecture *architecture,
                              const char *units[I3D_MAX_UNITS])
{
    const struct i3d_resnet_depth *depth = i3d_resnet_depth(architecture->name);
    if (depth)
        return resnet_units(depth, units);
    memcpy(units, i3d_inception_units, sizeof i3d_inception_units);
    return I3D_UNITS;
}
