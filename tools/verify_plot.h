/* The picture of a proof, drawn with cairo. */
#pragma once

#include "verify/proof.h"

#include <stdio.h>

/* Error by layer; clean frames over depth and time; deviation over the frames of the
 * result, where that was measured. As PNG where path ends in .png, else as SVG. */
enum i3d_status verify_write_plot(const struct i3d_proof *proof, const char *path,
                                  struct i3d_error *error);
/* The same inside an HTML page: what stands below the pointer is named there. */
enum i3d_status verify_put_plot(const struct i3d_proof *proof, FILE *page,
                                struct i3d_error *error);
