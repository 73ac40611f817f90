#include "formats/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_SIZE = 1 << 20 };

const char *i3d_temporary_directory(void)
{
    const char *directory = getenv("TMPDIR");
    return directory && *directory ? directory : "/tmp";
}

static enum i3d_status cannot_spool(struct i3d_error *error)
{
    i3d_fail_errno(error, "cannot write a temporary file");
    i3d_error_file(error, i3d_temporary_directory());
    return i3d_error_hint(error, "TMPDIR can name a directory with more room");
}

enum i3d_status i3d_spool_open(int *fd, struct i3d_error *error)
{
    char *name;
    if (asprintf(&name, "%s/i3dconv-XXXXXX", i3d_temporary_directory()) < 0)
        return i3d_fail_memory(error);
    *fd = mkostemp(name, O_CLOEXEC);
    enum i3d_status status = *fd < 0 ? cannot_spool(error) : I3D_OK;
    if (!status)
        unlink(name);
    free(name);
    return status;
}

enum i3d_status i3d_spool_write(int fd, const void *bytes, size_t length,
                                struct i3d_error *error)
{
    const char *at = bytes;
    while (length) {
        ssize_t wrote = write(fd, at, length);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return cannot_spool(error);
        at += wrote;
        length -= (size_t)wrote;
    }
    return I3D_OK;
}

static enum i3d_status copy_all(int from, int to, const char *name, struct i3d_error *error)
{
    char *buffer = malloc(PIECE_SIZE);
    if (!buffer)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    while (!status) {
        ssize_t got = read(from, buffer, PIECE_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            i3d_fail_errno(error, "cannot read");
            status = i3d_error_file(error, name);
        }
        if (got <= 0)
            break;
        status = i3d_spool_write(to, buffer, (size_t)got, error);
    }
    free(buffer);
    return status;
}

/* Replaces *fd by a file that can be read at any position. */
static enum i3d_status spool(int *fd, const char *name, struct i3d_error *error)
{
    int copy = -1;
    enum i3d_status status = i3d_spool_open(&copy, error);
    if (status)
        return status;
    status = copy_all(*fd, copy, name, error);
    close(status ? copy : *fd);
    if (!status)
        *fd = copy;
    return status;
}

enum i3d_status i3d_input_open(const char *path, struct i3d_file **file, struct i3d_error *error)
{
    bool is_standard = !strcmp(path, "-");
    const char *name = is_standard ? "standard input" : path;
    *file = NULL;
    int fd = is_standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                         : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat kind;
    if (fd < 0 || fstat(fd, &kind)) {
        i3d_fail_errno(error, is_standard ? "cannot read" : "cannot open");
        if (fd >= 0)
            close(fd);
        return i3d_error_file(error, name);
    }
    enum i3d_status status = I3D_OK;
    if (S_ISDIR(kind.st_mode)) {
        i3d_fail(error, I3D_MALFORMED, "this is a directory");
        status = i3d_error_file(error, name);
    } else if (!S_ISREG(kind.st_mode) || (is_standard && lseek(fd, 0, SEEK_CUR) != 0)) {
        /* Standard input that someone else has begun to read goes on from there. */
        status = spool(&fd, name, error);
    }
    if (!status) {
        *file = i3d_file_new(fd, name);
        if (!*file)
            status = i3d_fail_memory(error);
    }
    if (status)
        close(fd);
    return status;
}

enum i3d_status i3d_input_load(const char *path, size_t most, char **text, size_t *length,
                               struct i3d_error *error)
{
    struct i3d_file *file;
    *text = NULL;
    enum i3d_status status = i3d_input_open(path, &file, error);
    if (status)
        return i3d_error_file(error, path);
    uint64_t size = i3d_file_size(file);
    if (size > most)
        status = i3d_fail(error, I3D_MALFORMED, "it is longer than %zu bytes", most);
    else if (!(*text = malloc((size_t)size + 1)))
        status = i3d_fail_memory(error);
    else
        status = i3d_file_read(file, 0, *text, (size_t)size, error);
    i3d_file_release(file);
    if (status) {
        free(*text);
        *text = NULL;
        return i3d_error_file(error, path);
    }
    (*text)[size] = 0;
    if (length)
        *length = (size_t)size;
    return I3D_OK;
}
