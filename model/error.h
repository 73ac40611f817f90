/* Statuses and errors.
 *
 * Every function that can fail returns an enum i3d_status and describes the
 * failure in a struct i3d_error. Only the command line prints and exits; the
 * status values are its exit codes. */
#pragma once

enum i3d_status {
    I3D_OK = 0,
    I3D_DIFFERS = 1,     /* a check that was asked for did not hold */
    I3D_USAGE = 2,       /* the caller asked for something that makes no sense */
    I3D_MALFORMED = 3,   /* the input breaks the rules of its format */
    I3D_UNSUPPORTED = 4, /* the input is valid, but not handled */
    I3D_SYSTEM = 5,      /* the system refused: I/O, memory */
};

/* The parts of one error line: "file: where: message; hint". Parts that are
 * not known stay empty. The innermost function that knows a part sets it; the
 * callers above fill only what is still empty. */
struct i3d_error {
    enum i3d_status status;
    char file[512];
    char where[256]; /* node, tensor or byte offset */
    char message[512];
    char hint[256]; /* what the user can do about it */
};

/* Starts an error: clears every part, stores status and message, and returns
 * the status, so that `return i3d_fail(error, I3D_MALFORMED, …);` reads well.
 * error may be null. */
enum i3d_status i3d_fail(struct i3d_error *error, enum i3d_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* i3d_fail with I3D_SYSTEM and strerror(errno) behind the message. */
enum i3d_status i3d_fail_errno(struct i3d_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* i3d_fail for an allocation that the system refused. */
enum i3d_status i3d_fail_memory(struct i3d_error *error);

/* Fill one part of an error if it is still empty; each returns error->status, or
 * for a null error the status of this thread's last failure. */
enum i3d_status i3d_error_where(struct i3d_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum i3d_status i3d_error_file(struct i3d_error *error, const char *path);
enum i3d_status i3d_error_hint(struct i3d_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the whole error as one line without a newline into buffer. Control
 * characters and bytes that are no UTF-8 (both may come from a hostile file)
 * are written as \xNN, so that the line stays one line and moves no cursor. */
void i3d_error_format(const struct i3d_error *error, char *buffer, unsigned long size);

/* Copies text into buffer as i3d_error_format does, cut to size at a character's
 * boundary; returns buffer. For printing names that come from a file. */
const char *i3d_printable(const char *text, char *buffer, unsigned long size);
