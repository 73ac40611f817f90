/* One array as NumPy writes it, in a .npy file or as a member of an .npz archive. */
#pragma once

#include "model/tensor.h"

struct i3d_npy_header {
    enum i3d_dtype dtype;
    bool big_endian, fortran_order;
    int rank;
    int64_t dims[I3D_MAX_RANK];
    uint64_t elements_at; /* where the elements start */
    uint64_t bytes;       /* of the elements, which fill the rest */
};

/* Reads the header of the array whose bytes are whole. I3D_MALFORMED if the elements do
 * not fill the rest of them, I3D_UNSUPPORTED for elements that are no known numbers. */
enum i3d_status i3d_npy_read_header(struct i3d_source *whole, struct i3d_npy_header *header,
                                    struct i3d_error *error);
/* From the elements as they stand in the file, whose reference is taken over, to
 * little-endian ones with the last axis fastest. Null when memory is short. */
struct i3d_source *i3d_npy_elements(const struct i3d_npy_header *header,
                                    struct i3d_source *stored);

/* The header that goes ahead of a tensor's elements; its length, or 0 if NumPy has no
 * such type. */
enum { I3D_NPY_HEADER_ROOM = 512 };
size_t i3d_npy_make_header(const struct i3d_tensor *tensor, char header[I3D_NPY_HEADER_ROOM]);
