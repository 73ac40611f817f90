/* Which tensor of a file is which parameter of a dialect. */
#pragma once

#include "zoo/dialects.h"

struct i3d_match {
    struct i3d_dialect_fit fit;
    const struct i3d_tensor **tensors; /* per entry of the dialect, or null; malloc'ed */
    const struct i3d_dialect_entry *first_missing, *first_misshapen;
    const struct i3d_tensor *misshapen, *first_unexpected;
};

/* Names are the same when they are so without a final ":0" (TensorFlow's output
 * number), and without what the name of a Keras layer's group and the dialect's
 * prefix put in front; a file may have other parts, ended by "/" or ".", in front
 * of that. A class count, input channels and axes of size 1 around a vector are
 * the file's own. Free with i3d_match_free. */
enum i3d_status i3d_dialect_match(const struct i3d_dialect *dialect,
                                  const struct i3d_model *weights, struct i3d_match *match,
                                  struct i3d_error *error);
void i3d_match_free(struct i3d_match *match);

/* The sibling of dialect that fits the file best. */
enum i3d_status i3d_dialect_nearest(const struct i3d_dialect *dialect,
                                    const struct i3d_model *weights,
                                    const struct i3d_dialect **nearest, struct i3d_error *error);

/* The dialect that the file is in, whole and without a tensor left over; or
 * I3D_UNSUPPORTED, saying which one is nearest and what is wrong with it. */
enum i3d_status i3d_dialect_guess(const struct i3d_model *weights,
                                  const struct i3d_dialect **dialect, struct i3d_error *error);

/* Describes what a match lacks; returns I3D_UNSUPPORTED. */
enum i3d_status i3d_match_fail(const struct i3d_match *match, const char *introduction,
                               struct i3d_error *error);
