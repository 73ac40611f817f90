/* One unit's parameters, and how they are brought into the form that another
 * codebase has: without gamma, with another epsilon, with a BatchNorm where
 * there was a bias. */
#pragma once

#include "model/tensor.h"

enum i3d_role { I3D_BIAS, I3D_GAMMA, I3D_BETA, I3D_MEAN, I3D_VARIANCE, I3D_VECTORS };
extern const char *const i3d_role_names[I3D_VECTORS];

/* The tensors have no names; one without a source is not there. Sources are
 * owned. The first axis of weight counts output channels, as the vectors do,
 * unless there is no BatchNorm. A BatchNorm that stands behind no layer has no weight. */
struct i3d_unit {
    struct i3d_tensor weight;
    struct i3d_tensor vectors[I3D_VECTORS];
    bool batch_norm;
    float epsilon;
};

/* What the target has. */
struct i3d_unit_form {
    bool batch_norm, gamma;
    bool bias; /* besides the BatchNorm */
    float epsilon;
};

/* Folds exactly: at most one rounding per number, and what needs no change is
 * the very source of `from`. Reads vectors, never kernels, which stay lazy.
 * I3D_UNSUPPORTED if from has a BatchNorm and the form has none, or one without a
 * layer would have to scale it; I3D_MALFORMED
 * for a variance below -epsilon. Free `to` with i3d_unit_free, also on failure. */
enum i3d_status i3d_unit_fold(const struct i3d_unit *from, const struct i3d_unit_form *form,
                              struct i3d_unit *to, struct i3d_error *error);
void i3d_unit_free(struct i3d_unit *unit);
