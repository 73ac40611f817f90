#include "model/base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *i3d_base64_encode(const void *bytes, size_t length)
{
    if (length > SIZE_MAX / 2)
        return NULL;
    char *text = malloc((length + 2) / 3 * 4 + 1);
    if (!text)
        return NULL;
    const unsigned char *in = bytes;
    char *out = text;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)in[i] << 16;
        group |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        group |= left > 2 ? in[i + 2] : 0;
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[group & 63] : '=';
    }
    *out = 0;
    return text;
}

static size_t padding(const char *text, size_t length)
{
    if (length < 4 || text[length - 1] != '=')
        return 0;
    return text[length - 2] == '=' ? 2 : 1;
}

size_t i3d_base64_size(const char *text, size_t length)
{
    return length / 4 * 3 - padding(text, length);
}

/* 0 to 63, or -1. */
static int digit(char c)
{
    const char *place = c ? strchr(alphabet, c) : NULL;
    return place ? (int)(place - alphabet) : -1;
}

bool i3d_base64_decode(const char *text, size_t length, void *bytes)
{
    if (length % 4)
        return false;
    size_t padded = padding(text, length);
    unsigned char *out = bytes;
    for (size_t i = 0; i < length; i += 4) {
        size_t missing = i + 4 == length ? padded : 0;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < 4 - missing ? digit(text[i + k]) : 0;
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        if (missing && group & (missing == 1 ? 0xff : 0xffff))
            return false;
        *out++ = (unsigned char)(group >> 16);
        if (missing < 2)
            *out++ = (unsigned char)(group >> 8);
        if (missing < 1)
            *out++ = (unsigned char)group;
    }
    return true;
}
