/* Filling one file's tensors from another's of the same names; what inflate_like and
 * deflate share. */
#pragma once

#include "converters/weights.h"

/* The new names of a file's tensors, sorted. */
struct i3d_names;

/* Makes likeness for filling `like` from `from`, with every name renamed. I3D_USAGE where
 * renaming calls two tensors the same. Free names with i3d_names_free, and likeness, also
 * after failure. */
enum i3d_status i3d_likeness_new(const struct i3d_model *from, const struct i3d_model *like,
                                 const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_names **names,
                                 struct i3d_error *error);
/* The position of the tensor with that new name, or -1. */
int64_t i3d_names_find(const struct i3d_names *names, const char *name);
void i3d_names_free(struct i3d_names *names);

bool i3d_same_shape(const struct i3d_tensor *a, const struct i3d_tensor *b);
