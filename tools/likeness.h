/* Filling a user's own file by name: what inflate --like and deflate --like share. */
#pragma once

#include "converters/weights.h"

#include <stdio.h>

enum { TOOL_MOST_REPEATED = 256 };

/* An option that may be given again. */
struct tool_repeated {
    char *values[TOOL_MOST_REPEATED];
    size_t count;
};
/* False if it was given too often. */
bool tool_add(struct tool_repeated *repeated, char *value);

struct tool_like {
    const char *path;
    struct tool_repeated renames;
    struct tool_repeated allowed; /* shell patterns of tensors that may stay as they are */
};

/* "318 of 320 filled; left as they were: fc.weight, fc.bias", then a line on each tensor
 * that does not fit or is not used. I3D_DIFFERS if one that may not stays as it is. */
enum i3d_status tool_report_likeness(const struct tool_like *like, const struct i3d_model *from,
                                     const struct i3d_model *model,
                                     const struct i3d_likeness *likeness, FILE *out,
                                     struct i3d_error *error);
