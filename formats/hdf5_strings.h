/* String attributes of HDF5 objects, fixed or variable in length; for the child. */
#pragma once

#include <hdf5.h>

struct i3d_hdf5_strings {
    char **items;
    size_t count;
};

enum i3d_hdf5_found { I3D_HDF5_ABSENT, I3D_HDF5_READ, I3D_HDF5_BROKEN };

/* Reads attribute name, or, as Keras splits what is over 64,512 bytes, name0,
 * name1, …, one after the other. An attribute without elements is an empty list
 * whatever its type (numpy writes an empty list as float64). */
enum i3d_hdf5_found i3d_hdf5_read_strings(hid_t object, const char *name,
                                          struct i3d_hdf5_strings *strings);
void i3d_hdf5_free_strings(struct i3d_hdf5_strings *strings);

/* Writes a list of fixed-length strings, split likewise. Negative if the library
 * fails. */
herr_t i3d_hdf5_write_strings(hid_t object, const char *name, const char *const *items,
                              size_t count);
/* Writes one string of any length, as one that varies in length. */
herr_t i3d_hdf5_write_text(hid_t object, const char *name, const char *value);
/* Writes one string. */
herr_t i3d_hdf5_write_string(hid_t object, const char *name, const char *value);
