/* What the reading child finds in a file, as it passes it on: a run of records
 * in the memory file. Each begins with a byte that says what it is:
 *
 *   'L'  a layer: name (Keras' layer_names, in order)
 *   'A'  a string attribute of the root: name, value
 *   'D'  a dataset: name, dtype, rank, dims, offset
 *
 * Strings are a length and bytes; numbers are uint64. A dataset's offset says
 * where its elements lie as they are; NOT_IN_PLACE that the child has to be
 * asked for them, by the position of the record among the 'D' records. */
#pragma once

#include <stdint.h>

#define I3D_HDF5_NOT_IN_PLACE UINT64_MAX

enum {
    I3D_HDF5_MAX_OBJECTS = 100000,
    I3D_HDF5_MAX_DEPTH = 64,
    I3D_HDF5_MAX_NAME = 4096,
};

/* What the child needs from the parent. */
struct i3d_hdf5_input {
    int descriptor;
    uint64_t offset, size; /* of the HDF5 file in what the descriptor stands for */
};

/* The child's side: an i3d_hdf5_task whose context is a struct i3d_hdf5_input.
 * Answers once with the catalogue, then each question with a dataset's elements
 * in C order, little-endian. */
void i3d_hdf5_serve(int socket, int memory, const void *context);
