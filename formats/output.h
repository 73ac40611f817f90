/* An output that appears whole or not at all.
 *
 * For a regular or absent file: a temporary name in the same directory (links
 * are resolved first), then on commit fsync, rename, fsync of the directory. A
 * replaced file hands on its permissions; one without write permission is not
 * replaced. "-" and what is not a regular file (/dev/stdout, a FIFO) are
 * written directly. Outputs are opened and closed by one thread. */
#pragma once

#include "model/error.h"
#include "model/source.h"

#include <stdbool.h>
#include <sys/types.h>

struct i3d_output;

enum i3d_status i3d_output_open(const char *path, struct i3d_output **output,
                                struct i3d_error *error);

/* Opens an output of that name in the folder of main's path, which belongs to main: it appears
 * just before main does, when all of both is on the disk, and goes when main is abandoned.
 * I3D_USAGE if main is a pipe. Borrowed. */
enum i3d_status i3d_output_open_companion(struct i3d_output *main, const char *name,
                                          struct i3d_output **companion,
                                          struct i3d_error *error);
/* The companion opened last, or the one opened before this companion; null behind the first. */
struct i3d_output *i3d_output_next_companion(const struct i3d_output *output);

/* Whether an output at path could only be written front to back; asked before
 * opening, since to open a FIFO is to wait for its reader. */
bool i3d_path_is_pipe(const char *path);
/* The same of an open output. */
bool i3d_output_is_pipe(const struct i3d_output *output);
/* Tells which regular file the output replaces or is written into; false if
 * there is none. */
bool i3d_output_identity(const struct i3d_output *output, dev_t *device, ino_t *inode);
int i3d_output_descriptor(const struct i3d_output *output);
/* The name being written, for a library that opens files by name; null for a pipe. */
const char *i3d_output_temporary(const struct i3d_output *output);
/* The path as it was given, or "standard output": for error messages. */
const char *i3d_output_path(const struct i3d_output *output);

/* Appends, through a buffer. Has the type of an i3d_sink_function. */
enum i3d_status i3d_output_write(void *output, const void *bytes, size_t length,
                                 struct i3d_error *error);
/* Writes at a position; not for pipes, and not mixed with i3d_output_write. */
enum i3d_status i3d_output_write_at(struct i3d_output *output, uint64_t offset,
                                    const void *bytes, size_t length, struct i3d_error *error);

/* Opens, writes and commits: the whole of a small file. */
enum i3d_status i3d_output_put(const char *path, const void *bytes, size_t length,
                               struct i3d_error *error);

/* Opens an output in $TMPDIR, or /tmp, for a library that creates files by name: it never
 * appears, and is neither written through a buffer nor sent to the disk. */
enum i3d_status i3d_output_open_scratch(struct i3d_output **output, struct i3d_error *error);
/* Gives what a scratch output holds as a file without a name. Frees output, also on failure. */
enum i3d_status i3d_output_take(struct i3d_output *output, struct i3d_file **file,
                                struct i3d_error *error);

/* Makes the output appear. Frees output, also on failure. */
enum i3d_status i3d_output_commit(struct i3d_output *output, struct i3d_error *error);
/* Drops it and removes the temporary file. Null is fine. */
void i3d_output_abandon(struct i3d_output *output);

/* Removes the temporary file of every output that is open: for signal handlers
 * (async-signal-safe). */
void i3d_output_abandon_all_on_signal(void);
