/* HDF5 files inside other files. */
#pragma once

#include "model/model.h"

/* i3d_hdf5_read of the HDF5 file that is size bytes at offset of the file, which has to hold
 * them all. */
enum i3d_status i3d_hdf5_read_at(struct i3d_file *file, uint64_t offset, uint64_t size,
                                 struct i3d_model *model, struct i3d_error *error);

/* The bytes of the HDF5 file that i3d_hdf5_write makes of the same weights (a model without
 * nodes), which are not stored anywhere: the tensors' sources are retained and read as the
 * bytes are. The names in weights have to last as long. */
enum i3d_status i3d_hdf5_source(const struct i3d_model *weights, struct i3d_source **source,
                                struct i3d_error *error);
