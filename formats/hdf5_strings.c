#include "formats/hdf5_strings.h"

#include "formats/hdf5_catalogue.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KERAS_HEADER_LIMIT = 64512, /* HDF5_OBJECT_HEADER_LIMIT of Keras' hdf5_format.py */
    MAX_BYTES = 1 << 28,        /* of one attribute read */
};

void i3d_hdf5_free_strings(struct i3d_hdf5_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
    *strings = (struct i3d_hdf5_strings){ 0 };
}

static bool append(struct i3d_hdf5_strings *strings, const char *text, size_t length)
{
    if (strings->count >= I3D_HDF5_MAX_OBJECTS)
        return false;
    char **grown = realloc(strings->items, (strings->count + 1) * sizeof *grown);
    char *copy = grown ? strndup(text, length) : NULL;
    if (grown)
        strings->items = grown;
    if (!copy)
        return false;
    strings->items[strings->count++] = copy;
    return true;
}

static bool read_fixed(hid_t attribute, hid_t type, size_t count, struct i3d_hdf5_strings *strings)
{
    size_t size = H5Tget_size(type);
    if (!size || size > MAX_BYTES / count)
        return false;
    char *bytes = calloc(count, size);
    bool good = bytes && H5Aread(attribute, type, bytes) >= 0;
    for (size_t i = 0; good && i < count; i++)
        good = append(strings, bytes + i * size, size);
    free(bytes);
    return good;
}

static bool read_variable(hid_t attribute, hid_t type, hid_t space, size_t count,
                          struct i3d_hdf5_strings *strings)
{
    char **texts = calloc(count, sizeof *texts);
    if (!texts || H5Aread(attribute, type, texts) < 0) {
        free(texts);
        return false;
    }
    bool good = true;
    for (size_t i = 0; good && i < count; i++)
        good = append(strings, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    free(texts);
    return good;
}

static bool read_attribute(hid_t object, const char *name, struct i3d_hdf5_strings *strings)
{
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    hid_t type = space < 0 ? -1 : H5Aget_type(attribute);
    hssize_t count = type < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    bool good = count == 0;
    if (count > 0 && count <= I3D_HDF5_MAX_OBJECTS && H5Tget_class(type) == H5T_STRING)
        good = H5Tis_variable_str(type) > 0
            ? read_variable(attribute, type, space, (size_t)count, strings)
            : read_fixed(attribute, type, (size_t)count, strings);
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(attribute);
    return good;
}

enum i3d_hdf5_found i3d_hdf5_read_strings(hid_t object, const char *name,
                                          struct i3d_hdf5_strings *strings)
{
    *strings = (struct i3d_hdf5_strings){ 0 };
    if (H5Aexists(object, name) > 0)
        return read_attribute(object, name, strings) ? I3D_HDF5_READ : I3D_HDF5_BROKEN;
    for (int part = 0;; part++) {
        char numbered[64];
        snprintf(numbered, sizeof numbered, "%s%d", name, part);
        if (H5Aexists(object, numbered) <= 0)
            return part ? I3D_HDF5_READ : I3D_HDF5_ABSENT;
        if (!read_attribute(object, numbered, strings))
            return I3D_HDF5_BROKEN;
    }
}

/* items as one array of strings that all have the length of the longest, padded
 * with NULs: numpy's 'S', which is what Keras writes. */
static herr_t write_part(hid_t object, const char *name, const char *const *items, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size = strlen(items[i]) > size ? strlen(items[i]) : size;
    char *bytes = calloc(count + 1, size);
    hsize_t dims = count;
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate_simple(1, &dims, NULL);
    herr_t result = -1;
    if (bytes && H5Tset_size(type, size) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0) {
        for (size_t i = 0; i < count; i++)
            memcpy(bytes + i * size, items[i], strlen(items[i]));
        hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        result = attribute < 0 ? -1 : count ? H5Awrite(attribute, type, bytes) : 0;
        if (attribute >= 0 && H5Aclose(attribute) < 0)
            result = -1;
    }
    free(bytes);
    H5Sclose(space);
    H5Tclose(type);
    return result;
}

herr_t i3d_hdf5_write_strings(hid_t object, const char *name, const char *const *items,
                              size_t count)
{
    size_t longest = 1;
    for (size_t i = 0; i < count; i++)
        longest = strlen(items[i]) > longest ? strlen(items[i]) : longest;
    if (longest > KERAS_HEADER_LIMIT)
        return -1;
    size_t per_part = KERAS_HEADER_LIMIT / longest;
    if (count <= per_part)
        return write_part(object, name, items, count);
    for (size_t first = 0, part = 0; first < count; first += per_part, part++) {
        char numbered[64];
        snprintf(numbered, sizeof numbered, "%s%zu", name, part);
        size_t length = count - first < per_part ? count - first : per_part;
        if (write_part(object, numbered, items + first, length) < 0)
            return -1;
    }
    return 0;
}

herr_t i3d_hdf5_write_string(hid_t object, const char *name, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);
    herr_t result = -1;
    size_t length = strlen(value);
    if (H5Tset_size(type, length ? length : 1) >= 0
        && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0) {
        hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        result = attribute < 0 ? -1 : H5Awrite(attribute, type, length ? value : "\0");
        if (attribute >= 0 && H5Aclose(attribute) < 0)
            result = -1;
    }
    H5Sclose(space);
    H5Tclose(type);
    return result;
}

herr_t i3d_hdf5_write_text(hid_t object, const char *name, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);
    herr_t result = -1;
    if (H5Tset_size(type, H5T_VARIABLE) >= 0) {
        hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        result = attribute < 0 ? -1 : H5Awrite(attribute, type, &value);
        if (attribute >= 0 && H5Aclose(attribute) < 0)
            result = -1;
    }
    H5Sclose(space);
    H5Tclose(type);
    return result;
}
