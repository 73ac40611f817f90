#include "zoo/labels.h"

#include "formats/input.h"
#include "zoo/dialects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_LIST = 1 << 26 };

static const struct {
    const char *name;
    bool is_3d;
    int64_t classes;
} usual[] = {
    { "imagenet-1k", false, 1000 }, { "kinetics-400", true, 400 }, { "kinetics-600", true, 600 },
    { "ucf-101", true, 101 },       { "hmdb-51", true, 51 },
};

static const char *built_in(const char *name)
{
    for (const struct i3d_label_text *list = i3d_label_texts; list->name; list++)
        if (!strcmp(list->name, name))
            return list->text;
    return NULL;
}

/* The list's file in the first of the user's folders that has one; malloc'ed, or null. */
static char *find_file(const char *name)
{
    const char *const *folders = i3d_dialect_folders();
    for (; *name && !strchr(name, '/') && folders && *folders; folders++) {
        char *path;
        if (asprintf(&path, "%s/%s.txt", *folders, name) < 0)
            return NULL;
        if (!access(path, F_OK))
            return path;
        free(path);
    }
    return NULL;
}

bool i3d_labels_known(const char *name)
{
    char *path = find_file(name);
    free(path);
    return path || built_in(name);
}

/* Cuts the text into its lines. */
static enum i3d_status cut(struct i3d_labels *labels, struct i3d_error *error)
{
    size_t lines = 1;
    for (const char *at = labels->text; *at; at++)
        lines += *at == '\n';
    labels->names = malloc(lines * sizeof *labels->names);
    if (!labels->names)
        return i3d_fail_memory(error);
    for (char *at = labels->text; *at;) {
        size_t length = strcspn(at, "\n");
        char *next = at + length + (at[length] == '\n');
        at[length - (length && at[length - 1] == '\r')] = 0;
        labels->names[labels->count++] = at;
        at = next;
    }
    return I3D_OK;
}

enum i3d_status i3d_labels_read(const char *name, struct i3d_labels *labels,
                                struct i3d_error *error)
{
    char *found = find_file(name);
    const char *text = found ? NULL : built_in(name), *path = found ? found : name;
    size_t length;
    *labels = (struct i3d_labels){ 0 };
    enum i3d_status status = I3D_OK;
    if (text) {
        labels->text = strdup(text);
        status = labels->text ? I3D_OK : i3d_fail_memory(error);
    } else {
        status = i3d_input_load(path, LARGEST_LIST, &labels->text, &length, error);
        if (status && !strchr(name, '/'))
            i3d_error_hint(error, "lists of the program's own are imagenet-1k and kinetics-400");
        if (!status && memchr(labels->text, 0, length))
            status = i3d_fail(error, I3D_MALFORMED, "it is no text: there is a NUL in it");
        if (status)
            i3d_error_file(error, path);
    }
    if (!status)
        status = cut(labels, error);
    free(found);
    return status;
}

void i3d_labels_free(struct i3d_labels *labels)
{
    free(labels->names);
    free(labels->text);
    *labels = (struct i3d_labels){ 0 };
}

const char *i3d_labels_for(bool is_3d, int64_t classes)
{
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (usual[i].is_3d == is_3d && usual[i].classes == classes)
            return i3d_labels_known(usual[i].name) ? usual[i].name : NULL;
    return NULL;
}
