/* SHA-256 (FIPS 180-4): what a file or a text is, whatever its name and date. */
#pragma once

#include "model/source.h"

/* 64 hexadecimal digits in lower case and a NUL. */
enum { I3D_DIGEST_SIZE = 65 };

/* Of the whole file, as long as it was when it was opened. */
enum i3d_status i3d_digest_file(struct i3d_file *file, char digest[I3D_DIGEST_SIZE],
                                struct i3d_error *error);
/* Of length bytes. I3D_SYSTEM only when memory is short. */
enum i3d_status i3d_digest_bytes(const void *bytes, size_t length, char digest[I3D_DIGEST_SIZE],
                                 struct i3d_error *error);
