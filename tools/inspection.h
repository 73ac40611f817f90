/* What inspect finds out about a model, and its two ways to print it. */
#pragma once

#include "tools/tool.h"

struct tensor_statistics {
    double minimum, maximum, mean; /* of the elements that are numbers */
    size_t nan_count;
};

struct inspection {
    const struct i3d_model *model;
    struct i3d_model *bound; /* the model with its graph, or null; owned */
    const struct i3d_dialect *dialect; /* of the tensor names, or null */
    struct i3d_recognition recognition;
    bool has_convolutions, has_batch_norm;
    float epsilon; /* of the first BatchNormalization */
    struct tensor_statistics *statistics; /* one a tensor, or null; owned */
    int64_t parameters;
    uint64_t bytes;
};

/* Fills inspection; model has to outlive it. */
enum i3d_status inspect_model(const struct i3d_model *model, bool stats,
                              struct inspection *inspection, struct i3d_error *error);
enum i3d_status print_inspection(const struct inspection *inspection);
enum i3d_status print_inspection_json(const struct inspection *inspection,
                                      struct i3d_error *error);
void free_inspection(struct inspection *inspection);
