#include "formats/companion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct companion {
    char *location;
    struct i3d_file *file;
};

struct i3d_companions {
    char *path;
    struct companion *opened;
    size_t count, room;
    size_t last; /* tensors of one file come one after the other */
};

struct i3d_companions *i3d_companions_new(const char *path)
{
    struct i3d_companions *companions = calloc(1, sizeof *companions);
    if (companions && path && !(companions->path = strdup(path))) {
        free(companions);
        return NULL;
    }
    return companions;
}

void i3d_companions_free(struct i3d_companions *companions)
{
    if (!companions)
        return;
    for (size_t i = 0; i < companions->count; i++) {
        i3d_file_release(companions->opened[i].file);
        free(companions->opened[i].location);
    }
    free(companions->opened);
    free(companions->path);
    free(companions);
}

static bool has_parent_step(const char *location)
{
    while (*location) {
        size_t length = strcspn(location, "/");
        if (length == 2 && !strncmp(location, "..", 2))
            return true;
        location += length;
        location += strspn(location, "/");
    }
    return false;
}

/* The folder that path lies in: malloc'ed, or null. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static bool lies_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    if (!strcmp(folder, "/"))
        return true;
    return !strncmp(path, folder, length) && path[length] == '/';
}

/* Whether target, without links, lies where files of the model at path may. */
static bool is_inside(const char *path, const char *target)
{
    char *folder = folder_of(path);
    char *outer = folder ? realpath(folder, NULL) : NULL;
    char *model = realpath(path, NULL);
    char *inner = model ? folder_of(model) : NULL;
    bool inside = (outer && lies_in(target, outer)) || (inner && lies_in(target, inner));
    free(folder);
    free(outer);
    free(model);
    free(inner);
    return inside;
}

static enum i3d_status open_target(const char *target, const char *location,
                                   struct i3d_file **file, struct i3d_error *error)
{
    struct stat status;
    int fd = open(target, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status)) {
        if (fd >= 0)
            close(fd);
        i3d_fail_errno(error, "cannot open");
        return i3d_error_file(error, target);
    }
    enum i3d_status result = I3D_OK;
    if (!S_ISREG(status.st_mode)) {
        result = i3d_fail(error, I3D_MALFORMED, "it names %s, which is no file", location);
    } else if (status.st_nlink > 1) {
        i3d_fail(error, I3D_MALFORMED, "it names %s, which has hard links that may lead out of "
                                       "the model's folder", location);
        result = i3d_error_hint(error, "a copy of the file has none");
    } else if (!(*file = i3d_file_new(fd, target))) {
        result = i3d_fail_memory(error);
    }
    if (result)
        close(fd);
    return result;
}

static enum i3d_status open_companion(const char *path, const char *location,
                                      struct i3d_file **file, struct i3d_error *error)
{
    if (!path) {
        i3d_fail(error, I3D_MALFORMED, "it names the file %s, and a model from standard input "
                                       "has no folder to find it in", location);
        return i3d_error_hint(error, "name the model's file");
    }
    if (!*location || *location == '/' || has_parent_step(location))
        return i3d_fail(error, I3D_MALFORMED,
                        "it names \"%s\", which is not a file in the model's folder", location);
    char *folder = folder_of(path), *name = NULL, *target = NULL;
    enum i3d_status status = I3D_OK;
    if (!folder || asprintf(&name, "%s/%s", folder, location) < 0) {
        name = NULL;
        status = i3d_fail_memory(error);
    } else if (!(target = realpath(name, NULL))) {
        i3d_fail_errno(error, "cannot open");
        status = i3d_error_file(error, name);
    } else if (!is_inside(path, target)) {
        status = i3d_fail(error, I3D_MALFORMED,
                          "it names %s, a link that leaves the model's folder", location);
    } else {
        status = open_target(target, location, file, error);
    }
    free(folder);
    free(name);
    free(target);
    return status;
}

static struct i3d_file *find(struct i3d_companions *companions, const char *location)
{
    for (size_t i = 0; i < companions->count; i++) {
        size_t place = (companions->last + i) % companions->count;
        if (strcmp(companions->opened[place].location, location))
            continue;
        companions->last = place;
        return companions->opened[place].file;
    }
    return NULL;
}

enum i3d_status i3d_companions_open(struct i3d_companions *companions, const char *location,
                                    struct i3d_file **file, struct i3d_error *error)
{
    *file = find(companions, location);
    if (*file)
        return I3D_OK;
    if (companions->count == companions->room) {
        size_t room = companions->room ? 2 * companions->room : 4;
        struct companion *grown = reallocarray(companions->opened, room, sizeof *grown);
        if (!grown)
            return i3d_fail_memory(error);
        companions->opened = grown;
        companions->room = room;
    }
    enum i3d_status status = open_companion(companions->path, location, file, error);
    if (status)
        return status;
    struct companion *opened = &companions->opened[companions->count];
    *opened = (struct companion){ strdup(location), *file };
    if (!opened->location) {
        i3d_file_release(*file);
        return i3d_fail_memory(error);
    }
    companions->last = companions->count++;
    return I3D_OK;
}
