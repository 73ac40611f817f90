/* Entries and the files they speak of. */
#include "zoo/manifest_parts.h"

#include "formats/formats.h"
#include "formats/input.h"
#include "model/digest.h"
#include "zoo/zoo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum i3d_status i3d_identify_bytes(const char *path, struct i3d_zoo_identity *identity,
                                   struct i3d_error *error)
{
    struct i3d_file *file;
    *identity = (struct i3d_zoo_identity){ .classes = -1 };
    enum i3d_status status = i3d_input_open(path, &file, error);
    if (status)
        return i3d_error_file(error, path);
    identity->bytes = i3d_file_size(file);
    status = i3d_digest_file(file, identity->sha256, error);
    i3d_file_release(file);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

/* Architecture and dialect, where the zoo knows them. */
static enum i3d_status recognise(const struct i3d_model *model, struct i3d_zoo_identity *identity,
                                 struct i3d_error *error)
{
    struct i3d_model *bound = NULL;
    struct i3d_recognition recognition = { 0 };
    enum i3d_status status = I3D_OK;
    if (!model->node_count)
        status = i3d_zoo_bind(model, NULL, &bound, error);
    if (status == I3D_UNSUPPORTED) /* weights of a network that the zoo has not */
        return I3D_OK;
    if (!status)
        status = i3d_zoo_recognise(bound ? bound : model, &recognition, error);
    const char *dialect = bound ? i3d_metadata(bound, "i3dconv.dialect") : NULL;
    if (!status && dialect && !(identity->dialect = strdup(dialect)))
        status = i3d_fail_memory(error);
    if (!status && recognition.architecture) {
        identity->classes = recognition.classes;
        identity->is_3d = recognition.is_3d;
        identity->architecture = strdup(recognition.architecture->name);
        if (!identity->architecture)
            status = i3d_fail_memory(error);
    }
    i3d_recognition_free(&recognition);
    i3d_model_free(bound);
    return status;
}

enum i3d_status i3d_identify_model(const char *path, struct i3d_zoo_identity *identity,
                                   struct i3d_error *error)
{
    struct i3d_model *model = NULL;
    enum i3d_status status = i3d_read_model(path, &model, error);
    if (!status && !(identity->container = strdup(model->container)))
        status = i3d_fail_memory(error);
    if (!status)
        status = recognise(model, identity, error);
    i3d_model_free(model);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

void i3d_identity_free(struct i3d_zoo_identity *identity)
{
    free(identity->container);
    free(identity->dialect);
    free(identity->architecture);
    *identity = (struct i3d_zoo_identity){ .classes = -1 };
}

/* A name made of the file's: what is no part of a name becomes '_', a suffix goes. */
static char *name_after(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = strdup(slash ? slash + 1 : path);
    if (!name)
        return NULL;
    char *point = strrchr(name, '.');
    if (point && point != name)
        *point = 0;
    for (char *at = name; *at; at++) {
        char one[2] = { *at, 0 };
        if (!i3d_is_zoo_name(one) && *at != '.')
            *at = '_';
    }
    if (*name == '.')
        *name = '_';
    return name;
}

/* json_pack's "s*" leaves null strings out; an empty list is left out too. */
static bool set_list(json_t *entry, const char *key, const char *const *strings)
{
    if (!strings || !*strings)
        return true;
    json_t *array = json_array();
    bool good = array;
    for (; good && *strings; strings++)
        good = !json_array_append_new(array, json_string(*strings));
    return !json_object_set_new(entry, key, array) && good;
}

static json_t *make_entry(const char *name, const char *path, const char *labels,
                          const struct i3d_zoo_note *note,
                          const struct i3d_zoo_identity *identity)
{
    json_t *entry = json_pack(
        "{s:s, s:s, s:s, s:I, s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", name, "path",
        path, "sha256", identity->sha256, "bytes", (json_int_t)identity->bytes, "container",
        identity->container, "dialect", identity->dialect, "architecture",
        identity->architecture, "labels", labels, "licence", note->licence, "source",
        note->source, "paper", note->paper);
    bool good = entry
        && (identity->classes < 0
            || !json_object_set_new(entry, "classes", json_integer(identity->classes)))
        && set_list(entry, "recipes", note->recipes) && set_list(entry, "streams", note->streams)
        && set_list(entry, "containers", note->containers)
        && set_list(entry, "dialects", note->dialects)
        && (!note->preprocessing
            || !json_object_set(entry, "preprocessing", note->preprocessing));
    if (good)
        return entry;
    json_decref(entry);
    return NULL;
}

static enum i3d_status check_new_name(const struct i3d_manifest *manifest, const char *name,
                                      struct i3d_error *error)
{
    if (!i3d_is_zoo_name(name))
        return i3d_fail(error, I3D_USAGE,
                        "%s is no name for an entry: letters, digits, . _ and - make one", name);
    if (!i3d_manifest_find(manifest, name))
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "there is an entry %s already", name);
    return i3d_error_hint(error, "--name gives another name");
}

static enum i3d_status count_labels(const struct i3d_labels *labels, const char *name,
                                    int64_t classes, enum i3d_status otherwise,
                                    struct i3d_error *error)
{
    if (classes < 0 || labels->count == (size_t)classes)
        return I3D_OK;
    return i3d_fail(error, otherwise, "labels %s: %zu names for %lld classes", name,
                    labels->count, (long long)classes);
}

/* What the entry says of labels: *text points to the name of a list, or into *real, a
 * malloc'ed path; null where nothing is known. */
static enum i3d_status choose_labels(const struct i3d_manifest *manifest, const char *said,
                                     const struct i3d_zoo_identity *identity, const char **text,
                                     char **real, struct i3d_error *error)
{
    struct i3d_labels labels;
    *real = NULL;
    *text = said;
    if (!said) {
        *text = i3d_labels_for(identity->is_3d, identity->classes);
        return I3D_OK;
    }
    enum i3d_status status = i3d_labels_read(said, &labels, error);
    if (!status)
        status = count_labels(&labels, said, identity->classes, I3D_USAGE, error);
    i3d_labels_free(&labels);
    if (status || i3d_labels_known(said))
        return status;
    *real = realpath(said, NULL);
    *text = *real ? i3d_path_inside(*real, manifest->folder) : NULL;
    if (*text)
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "these labels lie outside the zoo, which is %.300s",
             manifest->folder);
    return i3d_error_file(error, said);
}

enum i3d_status i3d_manifest_add(struct i3d_manifest *manifest, const char *file,
                                 const struct i3d_zoo_note *note, char **name,
                                 struct i3d_error *error)
{
    struct i3d_zoo_identity identity = { .classes = -1 };
    enum i3d_status status = I3D_OK;
    char *real = realpath(file, NULL), *labels_file = NULL;
    const char *labels = NULL;
    const char *path = real ? i3d_path_inside(real, manifest->folder) : NULL;
    *name = note->name ? strdup(note->name) : name_after(file);
    if (!real) {
        status = i3d_fail_errno(error, "cannot read it");
    } else if (!path) {
        status = i3d_fail(error, I3D_USAGE, "it lies outside the zoo, which is %.300s",
                          manifest->folder);
        i3d_error_hint(error, "copy it there, or start the manifest further up");
    } else {
        status = *name ? check_new_name(manifest, *name, error) : i3d_fail_memory(error);
    }
    if (!status)
        status = i3d_identify_bytes(real, &identity, error);
    if (!status)
        status = i3d_identify_model(real, &identity, error);
    if (!status)
        status = choose_labels(manifest, note->labels, &identity, &labels, &labels_file, error);
    if (status) {
        i3d_error_file(error, file);
    } else {
        json_t *entry = make_entry(*name, path, labels, note, &identity);
        if (!entry || json_array_append_new(json_object_get(manifest->json, "entries"), entry))
            status = i3d_fail(error, I3D_USAGE, "a text for the manifest is not UTF-8");
        if (!status)
            status = i3d_manifest_take_entries(manifest, error);
        if (!status)
            status = i3d_write_json(manifest->json, manifest->path, error);
    }
    i3d_identity_free(&identity);
    free(labels_file);
    free(real);
    return status;
}

/* I3D_DIFFERS where the entry says one thing and the file is another. */
static enum i3d_status compare(const char *what, const char *said, const char *is,
                               struct i3d_error *error)
{
    if (!said || (is && !strcmp(said, is)))
        return I3D_OK;
    return i3d_fail(error, I3D_DIFFERS, "%s is %s, not %s", what, is ? is : "unknown", said);
}

static enum i3d_status compare_number(const char *what, int64_t said, int64_t is,
                                      struct i3d_error *error)
{
    if (said < 0 || said == is)
        return I3D_OK;
    return i3d_fail(error, I3D_DIFFERS, "%s: %lld, not %lld", what, (long long)is,
                    (long long)said);
}

enum i3d_status i3d_manifest_check(const struct i3d_manifest *manifest,
                                   const struct i3d_zoo_entry *entry, struct i3d_error *error)
{
    char *path;
    struct stat file;
    struct i3d_zoo_identity identity = { .classes = -1 };
    enum i3d_status status = i3d_manifest_locate(manifest, entry, &path, error);
    if (status)
        return status;
    if (stat(path, &file))
        status = i3d_fail_errno(error, "cannot read it");
    else
        status = compare_number("bytes", entry->bytes, file.st_size, error);
    if (!status)
        status = i3d_identify_bytes(path, &identity, error);
    if (!status)
        status = compare("the SHA-256", entry->sha256, identity.sha256, error);
    if (!status)
        status = i3d_identify_model(path, &identity, error);
    if (!status)
        status = compare("the container", entry->container, identity.container, error);
    if (!status)
        status = compare("the dialect", entry->dialect, identity.dialect, error);
    if (!status)
        status = compare("the architecture", entry->architecture, identity.architecture, error);
    if (!status)
        status = compare_number("classes", entry->classes, identity.classes, error);
    if (!status && entry->labels) {
        struct i3d_labels labels;
        status = i3d_manifest_labels(manifest, entry, &labels, error);
        if (!status)
            status = count_labels(&labels, entry->labels, identity.classes, I3D_DIFFERS,
                                  error);
        i3d_labels_free(&labels);
    }
    i3d_identity_free(&identity);
    free(path);
    if (!status)
        return I3D_OK;
    i3d_error_where(error, "entry %s", entry->name);
    return i3d_error_file(error, entry->path);
}
