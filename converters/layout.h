/* Another order of the three axes of space and time. */
#pragma once

#include "model/model.h"

/* Where the axes D (the new one), H and W stand behind N and C: axes[k] says which of D,
 * H, W (0, 1, 2) is axis 2 + k. False if text is no order of NCDHW that starts with NC. */
bool i3d_parse_layout(const char *text, int axes[3]);

/* A copy of a graph of N×C×D×H×W whose input and outputs have that order. Windows,
 * functions of one element, broadcasts along channels, reductions over all of D, H and W
 * and resampling are rewritten for it, kernels too; what else names axes keeps the old
 * order between two Transpose nodes, how many are put in is told in *transposes.
 * I3D_UNSUPPORTED where the rank of a value is not known. */
enum i3d_status i3d_change_layout(const struct i3d_model *model, const int axes[3],
                                  struct i3d_model **made, size_t *transposes,
                                  struct i3d_error *error);
