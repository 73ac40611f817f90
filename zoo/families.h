/* Families of networks that are built from compact tables. Units are named after
 * torchvision's modules, parameters and pads are torchvision's unless told. */
#pragma once

#include "zoo/zoo.h"

/* Simonyan and Zisserman 2014, arXiv 1409.1556, table 1. */
struct i3d_vgg {
    int convs[5]; /* of each stage */
    bool norm;    /* BatchNorm behind every convolution */
};

/* Huang et al. 2016, arXiv 1608.06993, table 1. */
struct i3d_densenet {
    int layers[4]; /* of each dense block */
    int64_t growth;
};

/* Sandler et al. 2018, arXiv 1801.04381, table 2. */
struct i3d_mobilenet_v2 {
    bool same_padding; /* as keras.applications pads */
};

/* A build function of an architecture; its table points to what stands above.
 * SqueezeNet 1.1 (Iandola et al. 2016, arXiv 1602.07360) has none, nor has
 * EfficientNet-Lite0 (tensorflow/tpu, models/official/efficientnet/lite: EfficientNet-B0 of
 * Tan and Le 2019, arXiv 1905.11946, table 1, without squeeze and excitation and with
 * ReLU6), whose units are named after PyTorch modules of the kind `_blocks.0._expand_conv`. */
i3d_build_function i3d_vgg_build, i3d_densenet_build, i3d_mobilenet_v2_build,
    i3d_squeezenet_build, i3d_efficientnet_lite0_build;
