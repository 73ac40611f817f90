/* Inflating files of weights without a graph. */
#pragma once

#include "converters/weights.h"

/* inflate --like: what fills the tensors of the user's own 3D file. allowed: shell
 * patterns of those that may stay as they are. Says on standard output how many were
 * filled, and why others were not; I3D_DIFFERS, and nothing made, if one that is not
 * allowed stays. */
struct tool_like {
    const char *path;
    struct i3d_renaming renaming;
    char *const *allowed;
    size_t allowed_count;
};
enum i3d_status tool_inflate_like(const struct i3d_model *weights, const struct tool_like *like,
                                  const struct i3d_inflate_options *options, int axis,
                                  FILE *out, struct i3d_model **made, struct i3d_error *error);
