#include "formats/output.h"

#include "formats/input.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 1 << 20, LINK_LIMIT = 40, NAME_ATTEMPTS = 100, SEND_SIZE = 4 << 20 };

struct i3d_output {
    struct i3d_output *_Atomic next; /* among the open ones */
    char *path;                      /* as given, for error messages */
    char *target;                    /* path with its links followed; null if inherited */
    char *temporary;                 /* null if written directly */
    int fd;
    bool has_file; /* device and inode tell a regular file */
    dev_t device;
    ino_t inode;
    char *buffer;
    size_t used;
    struct i3d_output *companions; /* or, of a companion, those opened before it */
    uint64_t unsent; /* bytes written since the disk was last told to begin */
};

/* Changed only by single stores, so that a signal handler may walk it at any
 * moment. */
static struct i3d_output *_Atomic open_outputs;

static void unlist(struct i3d_output *output)
{
    struct i3d_output *_Atomic *link = &open_outputs;
    while (*link && *link != output)
        link = &(*link)->next;
    if (*link)
        *link = output->next;
}

void i3d_output_abandon_all_on_signal(void)
{
    for (struct i3d_output *output = open_outputs; output; output = output->next)
        if (output->temporary)
            unlink(output->temporary);
}

static enum i3d_status cannot_write(const char *path, struct i3d_error *error)
{
    i3d_fail_errno(error, "cannot write");
    return i3d_error_file(error, path);
}

/* The length of path's directory part, with its slash. */
static int directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) + 1 : 0;
}

/* The descriptor that path names (3 for /dev/fd/3), or -1. Opening such a path
 * would give a second file position and lose O_APPEND; so it is duplicated. */
static int inherited_descriptor(const char *path)
{
    static const char *const prefixes[] = { "/dev/fd/", "/proc/self/fd/" };
    if (!strcmp(path, "-"))
        return STDOUT_FILENO;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const char *digits = path + strlen(prefixes[i]);
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) || !*digits || strlen(digits) > 6
            || digits[strspn(digits, "0123456789")])
            continue;
        return atoi(digits);
    }
    return -1;
}

/* Follows links to the name they end at, which need not exist yet: malloc'ed,
 * or null with errno. Stops at the name of an inherited descriptor. */
static char *follow_links(const char *path)
{
    char *name = strdup(path);
    for (int i = 0; name && inherited_descriptor(name) < 0; i++) {
        char link[PATH_MAX];
        ssize_t length = readlink(name, link, sizeof link - 1);
        if (length < 0 && (errno == EINVAL || errno == ENOENT))
            return name;
        if (length < 0 || i == LINK_LIMIT) {
            int reason = length < 0 ? errno : ELOOP;
            free(name);
            errno = reason;
            return NULL;
        }
        link[length] = 0;
        char *next;
        int directory = link[0] == '/' ? 0 : directory_length(name);
        if (asprintf(&next, "%.*s%s", directory, name, link) < 0)
            next = NULL;
        free(name);
        name = next;
    }
    return name;
}

/* Creates the temporary file beside output->target. No signal may come between
 * its creation and its place in the list. */
static bool create_temporary(struct i3d_output *output)
{
    int directory = directory_length(output->target);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (int i = 0; i < NAME_ATTEMPTS && output->fd < 0; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        free(output->temporary);
        if (asprintf(&output->temporary, "%.*s.i3dconv-%ld-%09ld", directory, output->target,
                     (long)getpid(), (now.tv_nsec + i) % 1000000000) < 0) {
            output->temporary = NULL;
            break;
        }
        output->fd = open(output->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (output->fd < 0 && errno != EEXIST)
            break;
    }
    int reason = errno;
    if (output->fd < 0) {
        free(output->temporary);
        output->temporary = NULL;
    } else {
        output->next = open_outputs;
        open_outputs = output;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = reason;
    return output->fd >= 0;
}

/* Opens what the path stands for; false with errno. */
static bool open_target(struct i3d_output *output, const char *path)
{
    struct stat status;
    output->target = follow_links(path);
    if (!output->target)
        return false;
    int inherited = inherited_descriptor(output->target);
    bool exists = inherited < 0 && !stat(output->target, &status);
    if (inherited >= 0) {
        output->fd = fcntl(inherited, F_DUPFD_CLOEXEC, 0);
    } else if (exists && !S_ISREG(status.st_mode)) {
        output->fd = open(output->target, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else if (exists) {
        if (faccessat(AT_FDCWD, output->target, W_OK, AT_EACCESS) || !create_temporary(output)
            || fchmod(output->fd, status.st_mode & 0777))
            return false;
    } else {
        bool has_name = output->target[directory_length(output->target)];
        return errno == ENOENT && has_name && create_temporary(output);
    }
    if (output->fd < 0 || (!exists && fstat(output->fd, &status)))
        return false;
    output->has_file = S_ISREG(status.st_mode);
    output->device = status.st_dev;
    output->inode = status.st_ino;
    return true;
}

enum i3d_status i3d_output_open(const char *path, struct i3d_output **opened,
                                struct i3d_error *error)
{
    *opened = NULL;
    struct i3d_output *output = calloc(1, sizeof *output);
    if (!output)
        return i3d_fail_memory(error);
    output->fd = -1;
    output->path = strdup(strcmp(path, "-") ? path : "standard output");
    output->buffer = malloc(BUFFER_SIZE);
    enum i3d_status status = I3D_OK;
    if (!output->path || !output->buffer)
        status = i3d_fail_memory(error);
    else if (!open_target(output, path))
        status = cannot_write(output->path, error);
    if (status) {
        i3d_output_abandon(output);
        return status;
    }
    *opened = output;
    return I3D_OK;
}

enum i3d_status i3d_output_open_scratch(struct i3d_output **opened, struct i3d_error *error)
{
    *opened = NULL;
    struct i3d_output *output = calloc(1, sizeof *output);
    if (!output)
        return i3d_fail_memory(error);
    output->fd = -1;
    enum i3d_status status = I3D_OK;
    if (asprintf(&output->target, "%s/", i3d_temporary_directory()) < 0)
        output->target = NULL;
    output->path = strdup(i3d_temporary_directory());
    if (!output->target || !output->path)
        status = i3d_fail_memory(error);
    else if (!create_temporary(output))
        status = cannot_write(output->path, error);
    if (status)
        i3d_output_abandon(output);
    else
        *opened = output;
    return status;
}

enum i3d_status i3d_output_open_companion(struct i3d_output *main, const char *name,
                                          struct i3d_output **companion, struct i3d_error *error)
{
    char *path;
    *companion = NULL;
    if (i3d_output_is_pipe(main))
        return i3d_fail(error, I3D_USAGE, "a second file cannot stand beside a pipe");
    if (asprintf(&path, "%.*s%s", directory_length(main->path), main->path, name) < 0)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_output_open(path, companion, error);
    if (status)
        i3d_error_file(error, path);
    free(path);
    if (status)
        return status;
    (*companion)->companions = main->companions;
    main->companions = *companion;
    return I3D_OK;
}

struct i3d_output *i3d_output_next_companion(const struct i3d_output *output)
{
    return output->companions;
}

bool i3d_path_is_pipe(const char *path)
{
    char *target = follow_links(path);
    struct stat status;
    bool is_pipe = target
        && (inherited_descriptor(target) >= 0
            || (!stat(target, &status) && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)));
    free(target);
    return is_pipe;
}

bool i3d_output_is_pipe(const struct i3d_output *output)
{
    return !output->temporary;
}

bool i3d_output_identity(const struct i3d_output *output, dev_t *device, ino_t *inode)
{
    *device = output->device;
    *inode = output->inode;
    return output->has_file;
}

int i3d_output_descriptor(const struct i3d_output *output)
{
    return output->fd;
}

const char *i3d_output_temporary(const struct i3d_output *output)
{
    return output->temporary;
}

const char *i3d_output_path(const struct i3d_output *output)
{
    return output->path;
}

/* Has the kernel begin to write to the disk what is there so far: the fsync at
 * the end then waits for the last part only. Nothing depends on its success. */
static void send_on(struct i3d_output *output, size_t length)
{
    output->unsent += length;
    if (output->unsent < SEND_SIZE || !output->temporary)
        return;
    output->unsent = 0;
    sync_file_range(output->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static enum i3d_status write_all(struct i3d_output *output, const char *bytes, size_t length,
                                 struct i3d_error *error)
{
    while (length) {
        ssize_t wrote = write(output->fd, bytes, length);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return cannot_write(output->path, error);
        bytes += wrote;
        length -= (size_t)wrote;
        send_on(output, (size_t)wrote);
    }
    return I3D_OK;
}

static enum i3d_status flush(struct i3d_output *output, struct i3d_error *error)
{
    size_t length = output->used;
    output->used = 0;
    return write_all(output, output->buffer, length, error);
}

enum i3d_status i3d_output_write(void *context, const void *bytes, size_t length,
                                 struct i3d_error *error)
{
    struct i3d_output *output = context;
    if (length > BUFFER_SIZE - output->used) {
        enum i3d_status status = flush(output, error);
        if (status)
            return status;
    }
    if (length >= BUFFER_SIZE)
        return write_all(output, bytes, length, error);
    if (length)
        memcpy(output->buffer + output->used, bytes, length);
    output->used += length;
    return I3D_OK;
}

enum i3d_status i3d_output_write_at(struct i3d_output *output, uint64_t offset,
                                    const void *bytes, size_t length, struct i3d_error *error)
{
    const char *from = bytes;
    while (length) {
        ssize_t wrote = pwrite(output->fd, from, length, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return cannot_write(output->path, error);
        from += wrote;
        offset += (uint64_t)wrote;
        length -= (size_t)wrote;
        send_on(output, (size_t)wrote);
    }
    return I3D_OK;
}

/* fsync; file systems that have none say EINVAL or ENOTSUP. */
static bool sync_descriptor(int fd)
{
    return !fsync(fd) || errno == EINVAL || errno == ENOTSUP;
}

/* Makes the rename last. A directory that may be written but not read cannot
 * be opened for this; the file is whole all the same. */
static bool sync_directory(const char *path)
{
    int length = directory_length(path);
    char *directory;
    if (asprintf(&directory, "%.*s", length ? length : 1, length ? path : ".") < 0)
        return false;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(directory);
    if (fd < 0)
        return true;
    bool synced = sync_descriptor(fd);
    close(fd);
    return synced;
}

/* Has all of the output on the disk. */
static enum i3d_status finish(struct i3d_output *output, struct i3d_error *error)
{
    enum i3d_status status = flush(output, error);
    if (!status && output->temporary && !sync_descriptor(output->fd))
        status = cannot_write(output->path, error);
    if (!status) {
        /* Some file systems report a full disk only here. */
        int fd = output->fd;
        output->fd = -1;
        if (close(fd) && errno != EINTR)
            status = cannot_write(output->path, error);
    }
    return status;
}

/* Gives what is finished its name. */
static enum i3d_status publish(struct i3d_output *output, struct i3d_error *error)
{
    if (!output->temporary)
        return I3D_OK;
    if (rename(output->temporary, output->target))
        return cannot_write(output->path, error);
    unlist(output);
    free(output->temporary);
    output->temporary = NULL;
    return sync_directory(output->target) ? I3D_OK : cannot_write(output->path, error);
}

enum i3d_status i3d_output_commit(struct i3d_output *output, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (struct i3d_output *next = output; next && !status; next = next->companions)
        status = finish(next, error);
    for (struct i3d_output *next = output->companions; next && !status; next = next->companions)
        status = publish(next, error);
    if (!status)
        status = publish(output, error);
    i3d_output_abandon(output);
    return status;
}

enum i3d_status i3d_output_take(struct i3d_output *output, struct i3d_file **file,
                                struct i3d_error *error)
{
    *file = NULL;
    enum i3d_status status = flush(output, error);
    int fd = status ? -1 : fcntl(output->fd, F_DUPFD_CLOEXEC, 0);
    if (!status && fd < 0)
        status = cannot_write(output->path, error);
    if (!status && !(*file = i3d_file_new(fd, output->path))) {
        close(fd);
        status = i3d_fail_memory(error);
    }
    i3d_output_abandon(output);
    return status;
}

void i3d_output_abandon(struct i3d_output *output)
{
    while (output) {
        struct i3d_output *next = output->companions;
        if (output->temporary) {
            unlink(output->temporary);
            unlist(output);
        }
        if (output->fd >= 0)
            close(output->fd);
        free(output->path);
        free(output->target);
        free(output->temporary);
        free(output->buffer);
        free(output);
        output = next;
    }
}

enum i3d_status i3d_output_put(const char *path, const void *bytes, size_t length,
                               struct i3d_error *error)
{
    struct i3d_output *output;
    enum i3d_status status = i3d_output_open(path, &output, error);
    if (!status)
        status = i3d_output_write(output, bytes, length, error);
    if (!status)
        status = i3d_output_commit(output, error);
    else
        i3d_output_abandon(output);
    return status ? i3d_error_file(error, path) : I3D_OK;
}
