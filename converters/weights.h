/* 2D to 3D for files that hold weights and no graph: any state_dict of PyTorch. Which
 * tensors are kernels is told by rank and name, so kernels of transposed convolutions
 * (I×O×H×W) count as convolutions' (O×I×H×W), which is right where they keep the
 * frames: their stride in time is 1. */
#pragma once

#include "converters/inflate.h"

/* Whether a tensor is taken for a kernel O×I×H×W: a float of rank 4 that is called a
 * weight. */
bool i3d_is_2d_kernel(const struct i3d_tensor *tensor);

/* Keeps every name and makes kernels O×I×N×H×W (axis: where the N stands, 2 to 4), N by
 * the recipe's rules; the first kernel takes the channels that options ask for.
 * I3D_UNSUPPORTED if there is no kernel. */
enum i3d_status i3d_inflate_weights(const struct i3d_model *weights,
                                    const struct i3d_inflate_options *options, int axis,
                                    struct i3d_model **inflated, struct i3d_error *error);

/* "REGEX=REPLACEMENT": a POSIX extended expression; \1 to \9 are what its groups
 * matched. */
struct i3d_renaming {
    char *const *rules;
    size_t count;
};
/* The new name, malloc'ed: each rule replaces its first match in turn. I3D_USAGE for a
 * rule that is none. */
enum i3d_status i3d_rename(const struct i3d_renaming *renaming, const char *name, char **renamed,
                           struct i3d_error *error);

/* What i3d_inflate_like did with the tensors of the 3D file, by their position. */
enum i3d_fate {
    I3D_FILLED,
    I3D_ABSENT,  /* no 2D tensor has that name */
    I3D_MISFIT,  /* one has, but no inflation gives that shape */
};
struct i3d_likeness {
    enum i3d_fate *fates; /* of like's tensors */
    bool *used;           /* of the 2D tensors */
    char **renamed;       /* the 2D tensors' new names */
    size_t like_count, flat_count, filled;
};

/* A copy of like, a 3D network's own weights, whose tensors are filled from the 2D ones
 * of the same (new) name: as they are where shapes agree, inflated where the like's
 * kernel has one axis more, at `axis`. The rest stays as it was. The caller frees
 * likeness, also on failure. */
enum i3d_status i3d_inflate_like(const struct i3d_model *weights, const struct i3d_model *like,
                                 const struct i3d_inflate_options *options, int axis,
                                 const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_model **made,
                                 struct i3d_error *error);
void i3d_likeness_free(struct i3d_likeness *likeness);
