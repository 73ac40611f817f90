#include "zoo/manifest_parts.h"

#include "formats/input.h"
#include "formats/output.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANIFEST_LIMIT = 1 << 30, NAME_LIMIT = 200 };

/* The fields of an entry that this program reads; see i3dconv-manifest(5). */
static const struct field {
    const char *key;
    json_type type;
    size_t at; /* in struct i3d_zoo_entry */
} fields[] = {
    { "name", JSON_STRING, offsetof(struct i3d_zoo_entry, name) },
    { "path", JSON_STRING, offsetof(struct i3d_zoo_entry, path) },
    { "sha256", JSON_STRING, offsetof(struct i3d_zoo_entry, sha256) },
    { "bytes", JSON_INTEGER, offsetof(struct i3d_zoo_entry, bytes) },
    { "container", JSON_STRING, offsetof(struct i3d_zoo_entry, container) },
    { "dialect", JSON_STRING, offsetof(struct i3d_zoo_entry, dialect) },
    { "architecture", JSON_STRING, offsetof(struct i3d_zoo_entry, architecture) },
    { "classes", JSON_INTEGER, offsetof(struct i3d_zoo_entry, classes) },
    { "labels", JSON_STRING, offsetof(struct i3d_zoo_entry, labels) },
    { "licence", JSON_STRING, offsetof(struct i3d_zoo_entry, licence) },
    { "source", JSON_STRING, offsetof(struct i3d_zoo_entry, source) },
    { "paper", JSON_STRING, offsetof(struct i3d_zoo_entry, paper) },
    { "recipes", JSON_ARRAY, offsetof(struct i3d_zoo_entry, recipes) },
    { "streams", JSON_ARRAY, offsetof(struct i3d_zoo_entry, streams) },
    { "containers", JSON_ARRAY, offsetof(struct i3d_zoo_entry, containers) },
    { "dialects", JSON_ARRAY, offsetof(struct i3d_zoo_entry, dialects) },
    { "preprocessing", JSON_OBJECT, offsetof(struct i3d_zoo_entry, preprocessing) },
    { 0 },
};

static const char *type_name(json_type type)
{
    return type == JSON_STRING ? "a string" : type == JSON_INTEGER ? "an integer"
        : type == JSON_OBJECT  ? "an object"
                               : "a list of strings";
}

/* A list of the strings in an array, ended by null; the manifest owns it. */
static enum i3d_status take_list(struct i3d_manifest *manifest, const char *key,
                                 const json_t *array, const char ***list,
                                 struct i3d_error *error)
{
    size_t count = json_array_size(array);
    const char **strings = calloc(count + 1, sizeof *strings);
    void **grown = realloc(manifest->lists, (manifest->list_count + 1) * sizeof *grown);
    if (grown)
        manifest->lists = grown;
    if (!strings || !grown) {
        free(strings);
        return i3d_fail_memory(error);
    }
    manifest->lists[manifest->list_count++] = strings;
    for (size_t i = 0; i < count; i++) {
        strings[i] = json_string_value(json_array_get(array, i));
        if (!strings[i])
            return i3d_fail(error, I3D_MALFORMED, "%s: element %zu is no string", key, i);
    }
    *list = strings;
    return I3D_OK;
}

bool i3d_is_zoo_name(const char *name)
{
    size_t length = strlen(name);
    if (!length || length > NAME_LIMIT || *name == '.')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

static enum i3d_status take_field(struct i3d_manifest *manifest, struct i3d_zoo_entry *entry,
                                  const struct field *field, struct i3d_error *error)
{
    static const char *nothing[] = { NULL };
    json_t *value = json_object_get(entry->json, field->key);
    void *at = (char *)entry + field->at;
    if (value && !json_is_null(value) && json_typeof(value) != field->type)
        return i3d_fail(error, I3D_MALFORMED, "%s is not %s", field->key,
                        type_name(field->type));
    enum i3d_status status = I3D_OK;
    switch (field->type) {
    case JSON_STRING: *(const char **)at = json_string_value(value); break;
    case JSON_INTEGER:
        *(int64_t *)at = json_is_integer(value) ? json_integer_value(value) : -1;
        break;
    case JSON_OBJECT: *(const json_t **)at = value; break;
    default:
        *(const char ***)at = nothing;
        if (json_is_array(value))
            status = take_list(manifest, field->key, value, at, error);
    }
    return status;
}

static enum i3d_status take_entry(struct i3d_manifest *manifest, struct i3d_zoo_entry *entry,
                                  json_t *json, struct i3d_error *error)
{
    entry->json = json;
    if (!json_is_object(json))
        return i3d_fail(error, I3D_MALFORMED, "it is no object");
    for (const struct field *field = fields; field->key; field++) {
        enum i3d_status status = take_field(manifest, entry, field, error);
        if (status)
            return status;
    }
    if (!entry->name || !entry->path)
        return i3d_fail(error, I3D_MALFORMED, "it has no %s", entry->name ? "path" : "name");
    if (!i3d_is_zoo_name(entry->name))
        return i3d_fail(error, I3D_MALFORMED,
                        "its name is not made of letters, digits, . _ and - (at most %d, not "
                        "beginning with a point)", NAME_LIMIT);
    return I3D_OK;
}

static int by_name(const void *left, const void *right)
{
    return strcmp((*(const struct i3d_zoo_entry *const *)left)->name,
                  (*(const struct i3d_zoo_entry *const *)right)->name);
}

static enum i3d_status check_names(const struct i3d_manifest *manifest, struct i3d_error *error)
{
    size_t count = manifest->entry_count;
    const struct i3d_zoo_entry **sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &manifest->entries[i];
    qsort(sorted, count, sizeof *sorted, by_name);
    enum i3d_status status = I3D_OK;
    for (size_t i = 1; i < count && !status; i++)
        if (!strcmp(sorted[i - 1]->name, sorted[i]->name))
            status = i3d_fail(error, I3D_MALFORMED, "two entries have the name %s",
                              sorted[i]->name);
    free(sorted);
    return status;
}

enum i3d_status i3d_manifest_take_entries(struct i3d_manifest *manifest, struct i3d_error *error)
{
    json_t *version = json_object_get(manifest->json, "i3dconv_manifest");
    json_t *entries = json_object_get(manifest->json, "entries");
    if (!json_is_integer(version) || !json_is_array(entries)) {
        i3d_fail(error, I3D_MALFORMED, "it is no manifest");
        return i3d_error_hint(error, "i3dconv zoo init starts one");
    }
    if (json_integer_value(version) != I3D_MANIFEST_VERSION)
        return i3d_fail(error, I3D_UNSUPPORTED, "version %lld of the manifest is not known",
                        (long long)json_integer_value(version));
    size_t count = json_array_size(entries);
    free(manifest->entries);
    manifest->entries = calloc(count + 1, sizeof *manifest->entries);
    if (!manifest->entries)
        return i3d_fail_memory(error);
    manifest->entry_count = count;
    for (size_t i = 0; i < count; i++) {
        struct i3d_zoo_entry *entry = &manifest->entries[i];
        enum i3d_status status = take_entry(manifest, entry, json_array_get(entries, i), error);
        if (!status)
            continue;
        return entry->name ? i3d_error_where(error, "entry %s", entry->name)
                           : i3d_error_where(error, "entry %zu", i);
    }
    return check_names(manifest, error);
}

static enum i3d_status load_json(const char *path, json_t **json, struct i3d_error *error)
{
    char *text;
    size_t length;
    json_error_t wrong;
    enum i3d_status status = i3d_input_load(path, MANIFEST_LIMIT, &text, &length, error);
    if (status)
        return status;
    *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &wrong);
    if (!*json)
        status = i3d_fail(error, I3D_MALFORMED, "line %d: %s", wrong.line, wrong.text);
    free(text);
    return status;
}

/* The folder that holds path, without links. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    char *real = folder ? realpath(folder, NULL) : NULL;
    free(folder);
    return real;
}

/* The manifest that would hold nothing but this entry. */
static enum i3d_status wrap_entry(const char *entry, json_t **json, struct i3d_error *error)
{
    json_error_t wrong;
    json_t *parsed = json_loads(entry, JSON_REJECT_DUPLICATES, &wrong);
    if (!parsed)
        return i3d_fail(error, I3D_MALFORMED, "the entry is no JSON: %s", wrong.text);
    *json = json_pack("{s:i, s:[o]}", "i3dconv_manifest", I3D_MANIFEST_VERSION, "entries", parsed);
    return *json ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_manifest_read(const char *path, const char *entry,
                                  struct i3d_manifest **read, struct i3d_error *error)
{
    struct i3d_manifest *manifest = calloc(1, sizeof *manifest);
    enum i3d_status status;
    *read = NULL;
    if (!manifest)
        return i3d_fail_memory(error);
    manifest->path = strdup(path);
    if (!manifest->path)
        status = i3d_fail_memory(error);
    else
        status = entry ? wrap_entry(entry, &manifest->json, error)
                       : load_json(path, &manifest->json, error);
    if (!status && !(manifest->folder = folder_of(path)))
        status = i3d_fail_errno(error, "its folder cannot be found");
    if (!status)
        status = i3d_manifest_take_entries(manifest, error);
    if (status) {
        i3d_manifest_free(manifest);
        return i3d_error_file(error, path);
    }
    *read = manifest;
    return I3D_OK;
}

void i3d_manifest_free(struct i3d_manifest *manifest)
{
    if (!manifest)
        return;
    for (size_t i = 0; i < manifest->list_count; i++)
        free(manifest->lists[i]);
    json_decref(manifest->json);
    free(manifest->lists);
    free(manifest->entries);
    free(manifest->folder);
    free(manifest->path);
    free(manifest);
}

enum i3d_status i3d_write_json(const json_t *json, const char *path, struct i3d_error *error)
{
    char *text = json_dumps(json, JSON_INDENT(2)), *line = NULL;
    int length = text ? asprintf(&line, "%s\n", text) : -1;
    enum i3d_status status = length < 0 ? i3d_fail_memory(error)
                                        : i3d_output_put(path, line, (size_t)length, error);
    if (length >= 0)
        free(line);
    free(text);
    return status;
}

enum i3d_status i3d_manifest_start(const char *path, const char *name, struct i3d_error *error)
{
    if (!access(path, F_OK)) {
        i3d_fail(error, I3D_USAGE, "it is there already");
        return i3d_error_file(error, path);
    }
    json_t *json = json_pack("{s:i, s:s, s:[]}", "i3dconv_manifest", I3D_MANIFEST_VERSION, "name",
                             name, "entries");
    enum i3d_status status =
        json ? i3d_write_json(json, path, error)
             : i3d_fail(error, I3D_USAGE, "the zoo's name has to be UTF-8");
    json_decref(json);
    return status;
}

const char *i3d_manifest_name(const struct i3d_manifest *manifest)
{
    const char *name = json_string_value(json_object_get(manifest->json, "name"));
    return name ? name : "zoo";
}

const struct i3d_zoo_entry *i3d_manifest_find(const struct i3d_manifest *manifest,
                                              const char *name)
{
    for (size_t i = 0; i < manifest->entry_count; i++)
        if (!strcmp(manifest->entries[i].name, name))
            return &manifest->entries[i];
    return NULL;
}

static bool has_odd_part(const char *path)
{
    for (const char *part = path; ; part++) {
        size_t length = strcspn(part, "/");
        if ((!length && part != path) || (length == 1 && *part == '.')
            || (length == 2 && !strncmp(part, "..", 2)))
            return true;
        part += length;
        if (!*part)
            return false;
    }
}

const char *i3d_path_inside(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    if (length == 1) /* the root */
        return path + 1;
    return !strncmp(path, folder, length) && path[length] == '/' ? path + length + 1 : NULL;
}

/* path as seen from folder; malloc'ed. */
static char *join(const char *folder, const char *path)
{
    char *joined;
    if (*path == '/')
        return strdup(path);
    return asprintf(&joined, "%s/%s", folder, path) < 0 ? NULL : joined;
}

/* Where text, a path in the manifest, leads: malloc'ed. */
static enum i3d_status locate(const struct i3d_manifest *manifest, const char *text, char **path,
                              struct i3d_error *error)
{
    char *joined = NULL;
    *path = NULL;
    enum i3d_status status = I3D_OK;
    if (!*text || has_odd_part(text))
        status = i3d_fail(error, I3D_MALFORMED, "its path %s has an empty, \".\" or \"..\" part",
                          text);
    else if (!(joined = join(manifest->folder, text)))
        status = i3d_fail_memory(error);
    if (!status) {
        *path = realpath(joined, NULL);
        if (!*path)
            status = i3d_fail_errno(error, "cannot find %s", text);
        else if (!i3d_path_inside(*path, manifest->folder))
            status = i3d_fail(error, I3D_MALFORMED, "its path %s leads out of the zoo", text);
    }
    free(joined);
    if (!status)
        return I3D_OK;
    free(*path);
    *path = NULL;
    return status;
}

enum i3d_status i3d_manifest_locate(const struct i3d_manifest *manifest,
                                    const struct i3d_zoo_entry *entry, char **path,
                                    struct i3d_error *error)
{
    if (!locate(manifest, entry->path, path, error))
        return I3D_OK;
    i3d_error_where(error, "entry %s", entry->name);
    return i3d_error_file(error, manifest->path);
}

enum i3d_status i3d_manifest_labels(const struct i3d_manifest *manifest,
                                    const struct i3d_zoo_entry *entry,
                                    struct i3d_labels *labels, struct i3d_error *error)
{
    char *path = NULL;
    *labels = (struct i3d_labels){ 0 };
    enum i3d_status status = i3d_labels_known(entry->labels)
        ? I3D_OK : locate(manifest, entry->labels, &path, error);
    if (!status)
        status = i3d_labels_read(path ? path : entry->labels, labels, error);
    free(path);
    if (!status)
        return I3D_OK;
    i3d_error_where(error, "entry %s", entry->name);
    return i3d_error_file(error, manifest->path);
}

static bool contains(const char *text, const char *word)
{
    return text && strcasestr(text, word);
}

bool i3d_manifest_matches(const struct i3d_zoo_entry *entry, const char *const *words,
                          size_t count)
{
    for (size_t w = 0; w < count; w++) {
        bool found = false;
        for (const struct field *field = fields; field->key && !found; field++) {
            const void *at = (const char *)entry + field->at;
            if (field->type == JSON_STRING)
                found = contains(*(const char *const *)at, words[w]);
            for (const char **item = field->type == JSON_ARRAY ? *(const char **const *)at : NULL;
                 item && *item && !found; item++)
                found = contains(*item, words[w]);
        }
        if (!found)
            return false;
    }
    return true;
}
