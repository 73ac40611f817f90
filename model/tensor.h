/* A named, lazy tensor. */
#pragma once

#include "model/dtype.h"
#include "model/source.h"

#include <stdbool.h>

/* source is null in an architecture that no weights are bound to yet. */
struct i3d_tensor {
    const char *name;
    enum i3d_dtype dtype;
    int rank;
    int64_t dims[I3D_MAX_RANK]; /* ≥ 0; rank 0 is a scalar */
    struct i3d_source *source;  /* one reference; length = elements × dtype size */
    const char *doc;            /* ONNX doc_string, or null */
};

/* The product of dims, or -1 if a dim is negative or the product overflows or
 * its bytes for 8-byte elements would pass 2^62. */
int64_t i3d_element_count(int rank, const int64_t *dims);

/* Elements and bytes of a tensor whose shape was checked. */
int64_t i3d_tensor_elements(const struct i3d_tensor *tensor);
uint64_t i3d_tensor_bytes(const struct i3d_tensor *tensor);

/* The view that is the whole tensor, in order: the start for transposing and
 * inflating it. */
void i3d_view_of(const struct i3d_tensor *tensor, struct i3d_view *view);

/* All bytes in a fresh malloc'ed block (at least 1 byte), the caller's. */
enum i3d_status i3d_tensor_load(const struct i3d_tensor *tensor, void **bytes,
                                struct i3d_error *error);
/* The same, converted to float or to double. */
enum i3d_status i3d_tensor_load_float(const struct i3d_tensor *tensor, float **values,
                                      struct i3d_error *error);
enum i3d_status i3d_tensor_load_double(const struct i3d_tensor *tensor, double **values,
                                       struct i3d_error *error);
/* Up to limit elements of an integer or bool tensor of rank 0 or 1 into
 * values; count tells how many. I3D_UNSUPPORTED if there are more, or if the
 * dtype is a float. */
enum i3d_status i3d_tensor_integers(const struct i3d_tensor *tensor, int64_t *values, int limit,
                                    int *count, struct i3d_error *error);

/* "64x3x7x7" (or "scalar") into buffer; returns buffer. -1 prints as "?". */
const char *i3d_shape_string(int rank, const int64_t *dims, char *buffer, size_t size);
