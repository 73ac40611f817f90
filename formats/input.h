/* Opening what a model is read from. */
#pragma once

#include "model/source.h"

/* Opens path for reading at any position. "-" (standard input) and what is not
 * a regular file (a FIFO, a device) are copied to an unlinked temporary file in
 * $TMPDIR, or /tmp. A directory is I3D_MALFORMED, the system's refusal
 * I3D_SYSTEM. The reference is the caller's. */
enum i3d_status i3d_input_open(const char *path, struct i3d_file **file, struct i3d_error *error);

/* The whole of a small text: malloc'ed, with a NUL behind it; *length may be null.
 * I3D_MALFORMED if it is longer than most. */
enum i3d_status i3d_input_load(const char *path, size_t most, char **text, size_t *length,
                               struct i3d_error *error);

/* $TMPDIR, or /tmp. */
const char *i3d_temporary_directory(void);
/* An unlinked temporary file there, for what is too much for memory: *fd is
 * the caller's. */
enum i3d_status i3d_spool_open(int *fd, struct i3d_error *error);
/* Appends. */
enum i3d_status i3d_spool_write(int fd, const void *bytes, size_t length,
                                struct i3d_error *error);
