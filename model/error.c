#include "model/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the functions below return for a caller that wants no words: without a
 * struct to look into, they could not tell the status otherwise. */
static _Thread_local enum i3d_status last_status;

enum i3d_status i3d_fail(struct i3d_error *error, enum i3d_status status, const char *format, ...)
{
    last_status = status;
    if (!error)
        return status;
    *error = (struct i3d_error){ .status = status };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

enum i3d_status i3d_fail_errno(struct i3d_error *error, const char *format, ...)
{
    int reason = errno;
    last_status = I3D_SYSTEM;
    if (!error)
        return I3D_SYSTEM;
    *error = (struct i3d_error){ .status = I3D_SYSTEM };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t length = strlen(error->message);
    snprintf(error->message + length, sizeof error->message - length, ": %s", strerror(reason));
    return I3D_SYSTEM;
}

enum i3d_status i3d_fail_memory(struct i3d_error *error)
{
    return i3d_fail(error, I3D_SYSTEM, "not enough memory");
}

#define FILL_PART(part)                                                \
    do {                                                               \
        if (!error)                                                    \
            return last_status;                                        \
        if (!error->part[0]) {                                         \
            va_list arguments;                                         \
            va_start(arguments, format);                               \
            vsnprintf(error->part, sizeof error->part, format, arguments); \
            va_end(arguments);                                         \
        }                                                              \
        return error->status;                                          \
    } while (0)

enum i3d_status i3d_error_where(struct i3d_error *error, const char *format, ...)
{
    FILL_PART(where);
}

enum i3d_status i3d_error_hint(struct i3d_error *error, const char *format, ...)
{
    FILL_PART(hint);
}

enum i3d_status i3d_error_file(struct i3d_error *error, const char *path)
{
    if (!error)
        return last_status;
    if (!error->file[0])
        snprintf(error->file, sizeof error->file, "%s", path);
    return error->status;
}

/* The length of the well-formed UTF-8 sequence at text, or 0. Overlong forms,
 * surrogates and values past U+10FFFF are not well formed (RFC 3629). The
 * C1 controls U+0080 to U+009F count as not well formed: terminals obey them. */
static int utf8_length(const unsigned char *text)
{
    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f;
    int length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0)
        || (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90)
        || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

const char *i3d_printable(const char *text, char *buffer, unsigned long size)
{
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int length = utf8_length(c);
        char escaped[8];
        const char *piece = (const char *)c;
        int piece_length = length;
        if (!length) {
            piece_length = snprintf(escaped, sizeof escaped, "\\x%02x", *c);
            piece = escaped;
            length = 1;
        }
        if (used + (size_t)piece_length >= size)
            break;
        memcpy(buffer + used, piece, (size_t)piece_length);
        used += (size_t)piece_length;
        c += length;
    }
    if (size)
        buffer[used] = 0;
    return buffer;
}

void i3d_error_format(const struct i3d_error *error, char *buffer, unsigned long size)
{
    char line[sizeof *error + 16];
    snprintf(line, sizeof line, "%s%s%s%s%s%s%s", error->file, error->file[0] ? ": " : "",
             error->where, error->where[0] ? ": " : "", error->message,
             error->hint[0] ? "; " : "", error->hint);
    i3d_printable(line, buffer, size);
}
