/* TensorFlow's checkpoints: which kind a file is, and how users name one. */
#include "formats/tf_checkpoint.h"

#include "formats/input.h"
#include "formats/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool i3d_tf_recognise_end(const unsigned char *tail, size_t length, uint64_t size)
{
    (void)size;
    return i3d_table_recognise(tail, length);
}

/* The first value is the header's: its first field is a number in V2, a message in V1. */
static enum i3d_status find_kind(struct i3d_table *table, bool *is_v2, struct i3d_error *error)
{
    struct i3d_table_block block;
    struct i3d_table_cursor cursor = { 0 };
    struct i3d_field field = { 0 };
    if (!i3d_table_block_count(table))
        return i3d_fail(error, I3D_MALFORMED, "the table is empty");
    enum i3d_status status = i3d_table_load(table, 0, &block, error);
    if (status)
        return status;
    status = i3d_table_next(&block, &cursor, error);
    if (!status && !cursor.ended && !cursor.key_length) {
        struct i3d_message header = i3d_message_of(cursor.value, cursor.value_length);
        i3d_message_next(&header, &field);
    }
    *is_v2 = field.type == I3D_FIELD_VARINT;
    if (!status && field.number != 1)
        status = i3d_fail(error, I3D_MALFORMED, "the table is no checkpoint of TensorFlow's");
    i3d_table_cursor_free(&cursor);
    free(block.bytes);
    return status;
}

enum i3d_status i3d_tf_read(struct i3d_file *file, struct i3d_model *model,
                            struct i3d_error *error)
{
    struct i3d_table *table;
    bool is_v2 = false;
    enum i3d_status status = i3d_table_open(file, &table, error);
    if (status)
        return status;
    status = find_kind(table, &is_v2, error);
    if (!status && !is_v2)
        return i3d_tf_read_v1(table, model, error);
    if (!status)
        status = i3d_tf_read_v2(file, table, model, error);
    i3d_table_free(table);
    return status;
}

/* The string behind the key in a protobuf text: malloc'ed, or null. */
static char *find_string(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (!at || (at != text && at[-1] != '\n'))
        return NULL;
    at += strlen(key);
    at += strspn(at, ": ");
    if (*at++ != '"')
        return NULL;
    char *string = malloc(strlen(at) + 1), *to = string;
    if (!string)
        return NULL;
    while (*at && *at != '"') {
        unsigned value;
        int length;
        if (*at == '\\' && sscanf(at + 1, "%3o%n", &value, &length) == 1) {
            *to++ = (char)value;
            at += 1 + length;
        } else {
            at += *at == '\\' && at[1];
            *to++ = *at++;
        }
    }
    *to = '\0';
    return string;
}

static bool climbs(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    return false;
}

/* The checkpoint that a folder's file "checkpoint" calls the latest. An absolute path is of
 * the machine that wrote it, so that its last part counts. */
static enum i3d_status find_latest(const char *folder, char **found, struct i3d_error *error)
{
    enum { LONGEST = 1 << 20 };
    char *list, *text;
    if (asprintf(&list, "%s/checkpoint", folder) < 0)
        return i3d_fail_memory(error);
    struct stat about;
    if (stat(list, &about) || !S_ISREG(about.st_mode)) {
        free(list);
        return I3D_OK;
    }
    enum i3d_status status = i3d_input_load(list, LONGEST, &text, NULL, error);
    if (!status) {
        char *path = find_string(text, "model_checkpoint_path");
        const char *slash = path && *path == '/' ? strrchr(path, '/') : NULL;
        const char *name = slash ? slash + 1 : path;
        if (!name || !*name || climbs(name)) {
            i3d_fail(error, I3D_MALFORMED, "it names no checkpoint inside its folder");
            status = i3d_error_file(error, list);
        } else if (asprintf(found, "%s/%s", folder, name) < 0) {
            *found = NULL;
            status = i3d_fail_memory(error);
        }
        free(path);
        free(text);
    }
    free(list);
    return status;
}

enum i3d_status i3d_tf_find(const char *path, char **found, struct i3d_error *error)
{
    struct stat about;
    *found = NULL;
    if (!strcmp(path, "-"))
        return I3D_OK;
    bool is_there = !stat(path, &about);
    if (is_there && !S_ISDIR(about.st_mode))
        return I3D_OK;
    enum i3d_status status = is_there ? find_latest(path, found, error) : I3D_OK;
    const char *prefix = *found ? *found : path;
    if (status || (*found && !stat(prefix, &about)) || (is_there && !*found))
        return status;
    char *index;
    if (asprintf(&index, "%s.index", prefix) < 0)
        return i3d_fail_memory(error);
    if (!*found && (stat(index, &about) || !S_ISREG(about.st_mode))) {
        free(index); /* no checkpoint's prefix: the name is what cannot be opened */
        return I3D_OK;
    }
    free(*found);
    *found = index;
    return I3D_OK;
}
