/* Element types between HDF5 and the model. */
#pragma once

#include "model/dtype.h"

#include <hdf5.h>

/* The dtype that holds the elements of an HDF5 type of either byte order, or
 * I3D_UNDEFINED: floats by their exponent's width, integers of full precision,
 * h5py's bool (an enumeration of FALSE and TRUE over int8). */
enum i3d_dtype i3d_dtype_from_hdf5(hid_t type);

/* A new little-endian type for a dtype with a size, as h5py would write it;
 * negative if the library fails. */
hid_t i3d_dtype_to_hdf5(enum i3d_dtype dtype);
