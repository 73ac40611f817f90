/* One kernel from 2D to 3D. */
#pragma once

#include "converters/channels.h"
#include "converters/temporal.h"

/* What becomes of a kernel O×I×H×W. */
struct i3d_kernel_plan {
    int64_t frames;   /* N, at most I3D_MAX_TAPS */
    int axis;         /* of the new axis among the five: 2 makes O×I×N×H×W */
    enum i3d_init init;
    int64_t channels; /* I of the result */
    enum i3d_channel_init channel_init; /* where that is another */
};

/* Appends the inflated kernel to a model under that name: a lazy view of the 2D one.
 * (arXiv 1705.07750, section 3.1) flat is of rank 4 and a float type; where it has no
 * source, the result has none. */
enum i3d_status i3d_put_inflated_kernel(struct i3d_model *to, const char *name,
                                        const struct i3d_tensor *flat,
                                        const struct i3d_kernel_plan *plan,
                                        struct i3d_error *error);

/* Appends a tensor made from another one's bytes; name is copied, source's reference
 * taken over. source is null where `of` has none: an architecture that no weights are
 * bound to yet; null else is short memory. */
enum i3d_status i3d_put_derived(struct i3d_model *to, const char *name,
                                const struct i3d_tensor *of, int rank, const int64_t *dims,
                                struct i3d_source *source, struct i3d_error *error);
