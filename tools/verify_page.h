/* A proof as a page. */
#pragma once

#include "verify/proof.h"

/* One self-contained HTML page: verdicts, errors by layer, clean frames over depth and
 * time, deviation over frames, the table. */
enum i3d_status verify_write_page(const struct i3d_proof *proof, const char *flat,
                                  const char *inflated, const char *path,
                                  struct i3d_error *error);
