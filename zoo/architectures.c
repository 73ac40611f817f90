#include "zoo/families.h"
#include "zoo/inception_v1.h"
#include "zoo/resnet.h"
#include "zoo/structure.h"

#include <string.h>

/* tensorflow/models, research/slim/nets/inception_v1.py */
static const struct i3d_inception_variant slim = {
    .batch_norm = true, .same_padding = true, .wide_kernel = 3, .last_pool = 2,
    .head = I3D_HEAD_CONV,
};

/* torchvision/models/googlenet.py */
static const struct i3d_inception_variant googlenet = {
    .batch_norm = true, .ceil_mode = true, .wide_kernel = 3, .last_pool = 2,
    .head = I3D_HEAD_GLOBAL_POOL,
};

/* BVLC's GoogLeNet as the ONNX model zoo runs it: the pools drop a last, partial
 * window, which leaves a 6×6 map to the average. */
static const struct i3d_inception_variant bvlc = {
    .lrn = true, .wide_kernel = 5, .last_pool = 3, .head = I3D_HEAD_PADDED_POOL,
};

#define INCEPTION(name, title, dialect, variant)                                              \
    { name, "Inception-V1 with " title, dialect, "inception_v1", i3d_inception_build, &variant }

/* torchvision/models/resnet.py; keras.applications' first version strides and adds
 * biases otherwise. */
#define RESNET(depth, row)                                                                    \
    { "resnet" #depth, "ResNet-" #depth " (torchvision)", "torchvision-resnet",               \
      "resnet" #depth, i3d_resnet_build, &i3d_resnet_depths[row] }
#define RESNET_KERAS(depth, row)                                                              \
    { "resnet" #depth "_keras", "ResNet-" #depth " (keras.applications)",                     \
      "keras-applications-resnet" #depth, "resnet" #depth, i3d_resnet_build,                  \
      &i3d_resnet_depths[row] }

#define VGG(depth, ...)                                                                       \
    { "vgg" #depth, "VGG-" #depth " (torchvision)", "torchvision-vgg", "vgg" #depth,          \
      i3d_vgg_build, &(const struct i3d_vgg){ { __VA_ARGS__ }, false } },                     \
    { "vgg" #depth "_bn", "VGG-" #depth " with BatchNorm (torchvision)",                      \
      "torchvision-vgg_bn", "vgg" #depth "_bn", i3d_vgg_build,                                \
      &(const struct i3d_vgg){ { __VA_ARGS__ }, true } }

const struct i3d_architecture i3d_architectures[] = {
    INCEPTION("inception_v1", "BatchNorm and SAME padding (TF-Slim)", "keras-inception_v1", slim),
    INCEPTION("inception_v1_torchvision", "BatchNorm and explicit padding (torchvision)",
              "torchvision-googlenet", googlenet),
    INCEPTION("inception_v1_bvlc", "biases, LRN and 5x5 kernels (BVLC, ONNX model zoo)",
              "onnx-zoo-inception_v1", bvlc),
    RESNET(18, 0), RESNET(34, 1), RESNET(50, 2), RESNET(101, 3), RESNET(152, 4),
    RESNET_KERAS(50, 5),
    VGG(11, 1, 1, 2, 2, 2), VGG(13, 2, 2, 2, 2, 2), VGG(16, 2, 2, 3, 3, 3), VGG(19, 2, 2, 4, 4, 4),
    { "densenet121", "DenseNet-121 (torchvision)", "torchvision-densenet", "densenet121",
      i3d_densenet_build, &(const struct i3d_densenet){ { 6, 12, 24, 16 }, 32 } },
    { "mobilenet_v2", "MobileNetV2 (torchvision)", "torchvision-mobilenet_v2", "mobilenet_v2",
      i3d_mobilenet_v2_build, &(const struct i3d_mobilenet_v2){ .same_padding = false } },
    { "mobilenet_v2_keras", "MobileNetV2 with SAME padding (keras.applications)",
      "keras-applications-mobilenet_v2", "mobilenet_v2", i3d_mobilenet_v2_build,
      &(const struct i3d_mobilenet_v2){ .same_padding = true } },
    { "squeezenet1_1", "SqueezeNet 1.1 (torchvision)", "torchvision-squeezenet", "squeezenet1_1",
      i3d_squeezenet_build, NULL },
    { "efficientnet_lite0", "EfficientNet-Lite0", "efficientnet-lite-pytorch",
      "efficientnet_lite0", i3d_efficientnet_lite0_build, NULL },
    { 0 },
};

const struct i3d_architecture *i3d_architecture_by_name(const char *name)
{
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++)
        if (!strcmp(one->name, name))
            return one;
    return NULL;
}

bool i3d_architecture_is_normed(const struct i3d_architecture *architecture)
{
    const struct i3d_structure *template = i3d_architecture_template(architecture);
    if (template)
        return template->batch_norms[0] != I3D_NOWHERE;
    const struct i3d_inception_variant *variant = architecture->table;
    return architecture->build == i3d_resnet_build || variant->batch_norm;
}

bool i3d_architecture_has_template(const struct i3d_architecture *architecture)
{
    return architecture->build != i3d_inception_build && architecture->build != i3d_resnet_build;
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
    if (architecture->build == i3d_resnet_build)
        return resnet_units(architecture->table, units);
    const struct i3d_structure *template = i3d_architecture_template(architecture);
    if (template)
        memcpy(units, template->units, sizeof template->units);
    else if (architecture->build == i3d_inception_build)
        memcpy(units, i3d_inception_units, sizeof i3d_inception_units);
    return template ? template->unit_count
        : architecture->build == i3d_inception_build ? I3D_UNITS : 0;
}
