/* Photographs: PNG and JPEG files as pixels. */
#pragma once

#include "model/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows from the top, each of width × red, green, blue. */
struct i3d_picture {
    int64_t height, width;
    uint8_t *pixels; /* malloc'ed */
};

/* Whether the file starts as PNG or JPEG does. False also where it cannot be read: the
 * reader for what it is instead will say why. */
bool i3d_is_picture(const char *path);

/* Reads it; grey becomes three equal channels, transparent pixels are laid on black.
 * I3D_MALFORMED for damaged and truncated files and for sizes of more than 2^26 pixels,
 * I3D_UNSUPPORTED for JPEG with four inks. Orientation tags are not looked at. Free
 * pixels. */
enum i3d_status i3d_read_picture(const char *path, struct i3d_picture *picture,
                                 struct i3d_error *error);
