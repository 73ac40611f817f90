/* ResNets (He et al. 2015, arXiv 1512.03385) in torchvision's form, where the stride of
 * a bottleneck is its 3×3 convolution's, and in that of keras.applications. Units are named after torchvision's
 * modules: conv1, layer1.0.conv1 …, layer1.0.downsample, fc. */
#pragma once

#include "zoo/zoo.h"

enum { I3D_RESNET_STAGES = 4, I3D_RESNET_PARTS = 4 };

struct i3d_resnet_depth {
    const char *name; /* "resnet50" */
    bool bottleneck;  /* 1×1, 3×3, 1×1; otherwise two 3×3 */
    int blocks[I3D_RESNET_STAGES];
    bool is_keras; /* the first 1×1 convolution strides; all have biases besides BatchNorm */
};
/* Ended by an entry without a name. */
extern const struct i3d_resnet_depth i3d_resnet_depths[];

/* Convolutions on the long way through a block. */
int i3d_resnet_convs(const struct i3d_resnet_depth *depth);
/* Whether a block's shortcut has a convolution, to change size or channels. */
bool i3d_resnet_projects(const struct i3d_resnet_depth *depth, int stage, int block);

/* The unit of a block's convolution 0, 1 or 2, or of its shortcut's, 3. The names
 * live as long as the program. */
const char *i3d_resnet_unit(int stage, int block, int part);

/* The architecture's table is a depth. */
i3d_build_function i3d_resnet_build;
