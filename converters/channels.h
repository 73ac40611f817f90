/* Another number of input channels: the flow stream, stacks, grey volumes. */
#pragma once

#include "model/model.h"

/* How the kernels of other channels are made of those of the 2D network's. */
enum i3d_channel_init {
    I3D_CHANNELS_SCALED_MEAN, /* each the mean, times C/C' */
    I3D_CHANNELS_MEAN,        /* each the mean */
    I3D_CHANNELS_CYCLE,       /* the channels over and over, times C/C'; the sum if C' is 1 */
};

/* A source for the kernel O×C'×H×W that takes C' channels in place of the C of
 * weight O×C×H×W. The scaled mean (w'[o][c'] = Σ_c w[o][c] / C') gives a grey image
 * the response it gave before: cross-modality initialisation after Wang et al.
 * 2016, which takes the mean, with the scale that keeps the fixed point. Computed
 * in double and rounded once to the weight's dtype. weight has a source; null when
 * memory is short. */
struct i3d_source *i3d_other_channels(const struct i3d_tensor *weight, int64_t channels,
                                      enum i3d_channel_init init);
