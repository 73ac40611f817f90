/* Base64 (RFC 4648, section 4), for bytes inside JSON; not installed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The text, NUL-terminated and malloc'ed; null when memory is short. */
char *i3d_base64_encode(const void *bytes, size_t length);

/* Bytes that length characters of text stand for. */
size_t i3d_base64_size(const char *text, size_t length);

/* Stores i3d_base64_size bytes. False for text that the encoder would not have
 * written: other characters, wrong padding, stray bits. */
bool i3d_base64_decode(const char *text, size_t length, void *bytes);
