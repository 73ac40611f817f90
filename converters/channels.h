/* Another number of input channels: the flow stream, stacks, grey volumes. */
#pragma once

#include "model/model.h"

/* A source for the kernel O×C'×H×W that takes C' channels in place of the C of
 * weight O×C×H×W: w'[o][c'] = Σ_c w[o][c] / C', which is the mean over c scaled
 * by C/C', so that a grey image gives the response it gave before (cross-modality
 * initialisation after Wang et al. 2016, with the scale that keeps the fixed
 * point). The sum is taken in double and rounded once to the weight's dtype.
 * weight has a source; null when memory is short. */
struct i3d_source *i3d_channel_mean(const struct i3d_tensor *weight, int64_t channels);
