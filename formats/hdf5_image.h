/* Opening a file for libhdf5 by its descriptor; for the child. */
#pragma once

#include <hdf5.h>
#include <stdint.h>

/* Opens the HDF5 file that is size bytes at offset of what the descriptor stands
 * for, for reading, from a mapping of them. Negative if the library cannot. The mapping lasts as long as the
 * process. The file need not have a name, which for H5Fopen it must: that
 * resolves /proc/self/fd/N to a path, and an unlinked file has none. */
hid_t i3d_hdf5_open_image(int descriptor, uint64_t offset, uint64_t size);
