/* Where a tensor's bytes come from. Sources are counted references: a derived
 * model keeps alive what it draws from, and nothing is read before it is asked
 * for. A source is a flat run of little-endian bytes of known length. */
#pragma once

#include "model/dtype.h"
#include "model/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { I3D_MAX_RANK = 8 };

struct i3d_source;

/* A file that several sources read from; it is closed with the last of them. */
struct i3d_file;

/* Takes over the descriptor fd (regular file). path is copied, for error
 * messages. Null when memory is short; fd then stays the caller's. */
struct i3d_file *i3d_file_new(int fd, const char *path);
struct i3d_file *i3d_file_retain(struct i3d_file *file);
void i3d_file_release(struct i3d_file *file);
const char *i3d_file_path(const struct i3d_file *file);
int i3d_file_descriptor(const struct i3d_file *file);
/* Bytes in the file when it was opened. */
uint64_t i3d_file_size(const struct i3d_file *file);
/* Reads exactly length bytes at offset, or fails: I3D_MALFORMED past the end. */
enum i3d_status i3d_file_read(struct i3d_file *file, uint64_t offset, void *bytes, size_t length,
                              struct i3d_error *error);

/* Each constructor returns a source with one reference, or null when memory is
 * short (i3d_source_range and _view also when their arguments break the rules
 * stated there, which a reader has to check first). */

/* length bytes at bytes, copied. */
struct i3d_source *i3d_source_copy(const void *bytes, size_t length);
/* The same, taking over a malloc'ed block, which is freed even on failure. */
struct i3d_source *i3d_source_take(void *bytes, size_t length);
/* [offset, offset + length) of the file, which has to hold them all. */
struct i3d_source *i3d_source_range(struct i3d_file *file, uint64_t offset, uint64_t length);
/* One element of element_size bytes, at most 8, repeated to length bytes. */
struct i3d_source *i3d_source_fill(const void *element, size_t element_size, uint64_t length);

/* A callback. read stores bytes [offset, offset + length) and may be called in
 * any order, but by one thread at a time; release, if not null, ends context. */
typedef enum i3d_status i3d_read_function(void *context, uint64_t offset, void *bytes,
                                          size_t length, struct i3d_error *error);
struct i3d_source *i3d_source_callback(i3d_read_function *read, void (*release)(void *context),
                                       void *context, uint64_t length);

/* A callback that makes all bytes at once, for small tensors that need all of
 * their inputs (folds, channel means). inputs are retained. */
typedef enum i3d_status i3d_compute_function(const void *parameters,
                                             struct i3d_source *const *inputs, int input_count,
                                             void *bytes, uint64_t length,
                                             struct i3d_error *error);
struct i3d_source *i3d_source_compute(i3d_compute_function *compute, const void *parameters,
                                      size_t parameters_size, struct i3d_source *const *inputs,
                                      int input_count, uint64_t length);

/* A strided view of another tensor's elements, which is how kernels are
 * transposed, inflated and sliced without a copy of them: element (i0, i1, …)
 * is base element offset + Σ ik·strides[k]. A stride of 0 repeats.
 *
 * If tap_axis ≥ 0, elements are divided by divisors[i] where i is their index
 * on that axis: one correctly rounded division in the element type (float16
 * and bfloat16 divide in float32, which rounds the same); a divisor of 0 makes
 * the slice zero. Division needs a floating-point dtype. */
enum { I3D_MAX_TAPS = 64 };
struct i3d_view {
    enum i3d_dtype dtype;
    int rank;
    int64_t dims[I3D_MAX_RANK];    /* all > 0 */
    int64_t strides[I3D_MAX_RANK]; /* in elements, ≥ 0 */
    int64_t offset;                /* in elements */
    int tap_axis;                  /* -1: no division */
    int32_t divisors[I3D_MAX_TAPS];
};
/* A view of a view with the identity or without taps is folded into one view
 * where strides allow; else base is read through. The last element reached
 * has to lie inside base. */
struct i3d_source *i3d_source_view(struct i3d_source *base, const struct i3d_view *view);
/* The view behind a source and what it is a view of, or null. */
const struct i3d_view *i3d_source_as_view(const struct i3d_source *source,
                                          struct i3d_source **base);

struct i3d_source *i3d_source_retain(struct i3d_source *source);
void i3d_source_release(struct i3d_source *source);
uint64_t i3d_source_length(const struct i3d_source *source);

/* Whether any byte of it comes from a range of the file with this device and
 * inode number. Callbacks are not looked into. */
bool i3d_source_draws_from(const struct i3d_source *source, dev_t device, ino_t inode);

/* Stores bytes [offset, offset + length). */
enum i3d_status i3d_source_read(struct i3d_source *source, uint64_t offset, void *bytes,
                                size_t length, struct i3d_error *error);

/* Hands all bytes in order to sink, in pieces of at most 1 MiB that end on
 * multiples of 8 bytes but for the last; stops at the first status that is not
 * I3D_OK. A view's base is held in memory meanwhile, nothing else. */
typedef enum i3d_status i3d_sink_function(void *context, const void *bytes, size_t length,
                                          struct i3d_error *error);
enum i3d_status i3d_source_stream(struct i3d_source *source, i3d_sink_function *sink,
                                  void *context, struct i3d_error *error);
