/* The temporal half of a 2D window. */
#pragma once

#include "model/shape.h"

/* How a kernel's weights are spread over its frames: each frame gets w/N, or the
 * middle one (⌊(N−1)/2⌋) gets w and the others nothing. */
enum i3d_init { I3D_INIT_REPEAT, I3D_INIT_CENTER };

/* What a convolution or pool gets along time. */
struct i3d_temporal {
    int64_t kernel, stride, dilation;
    int64_t pad_begin, pad_end; /* without auto_pad */
    bool own_pads; /* these pads hold in time, even where auto_pad is set */
    enum i3d_init init;
};

/* The isotropic window: along time as along the axis with the larger kernel
 * (height, if they are equal), its stride, dilation and pads likewise. kernel
 * holds height and width. */
void i3d_isotropic_window(const struct i3d_node *node, const int64_t kernel[2],
                          struct i3d_temporal *temporal);
