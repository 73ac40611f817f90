/* Batch normalisation folded into the convolution ahead of it. */
#pragma once

#include "model/model.h"

/* A copy of the graph in which each inference-mode BatchNormalization right behind a Conv
 * or ConvTranspose that nothing else reads is part of it: with s = gamma / sqrt(variance +
 * epsilon), kernels become w·s and biases (b - mean)·s + beta, computed in double and
 * rounded once to the kernel's type. Kernels keep their names; the value behind has the
 * normalisation's name. Others stay: folded and left count them. A variance below
 * -epsilon is I3D_MALFORMED when the tensor is read. */
enum i3d_status i3d_fold_norms(const struct i3d_model *model, struct i3d_model **folded_model,
                               size_t *folded, size_t *left, struct i3d_error *error);
