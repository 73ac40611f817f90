/* Another classifier at the end of a network: for fine-tuning, or none for features. */
#pragma once

#include "model/model.h"

enum i3d_classifier_init {
    I3D_CLASSIFIER_ZEROS,
    I3D_CLASSIFIER_NORMAL, /* weights of mean 0 and deviation 0.01, biases 0; seeded */
    I3D_CLASSIFIER_ROWS,   /* rows of the old one */
};

struct i3d_classifier_options {
    int64_t classes;
    enum i3d_classifier_init init;
    uint64_t seed;       /* NORMAL */
    const int64_t *rows; /* ROWS: classes of them, each a class of the old one */
};

/* The classifier of a graph is the last Conv, Gemm or MatMul ahead of its first output
 * (in a file of weights, the last tensor of two or more axes and the vector of as many
 * classes behind it). Replaces its weights and bias; all other tensors stay bit for bit.
 * *was gets the number of classes that it had. I3D_UNSUPPORTED if there is none, or it
 * is shared or grouped; I3D_USAGE for a row that it does not have. */
enum i3d_status i3d_replace_classifier(const struct i3d_model *model,
                                       const struct i3d_classifier_options *options,
                                       struct i3d_model **made, int64_t *was,
                                       struct i3d_error *error);

/* The graph up to a value, which becomes its only output: features instead of classes.
 * Nodes and tensors that it does not need are left out. value: its name, or the name of
 * the node that makes it. I3D_USAGE if there is neither. */
enum i3d_status i3d_cut_at(const struct i3d_model *model, const char *value,
                           struct i3d_model **made, struct i3d_error *error);
