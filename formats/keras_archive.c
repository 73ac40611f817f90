/* Keras 3's .keras: a ZIP archive of config.json, metadata.json and model.weights.h5. */
#include "formats/keras_file.h"
#include "formats/registry.h"
#include "formats/zip.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char CONFIG[] = "config.json", ABOUT[] = "metadata.json",
                  WEIGHTS[] = "model.weights.h5";

enum { MOST_CONFIG = 1 << 28, MOST_ABOUT = 1 << 20 };

bool i3d_keras_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    char name[64];
    (void)size;
    return i3d_zip_first_name(head, head_length, name, sizeof name)
        && (!strcmp(name, CONFIG) || !strcmp(name, ABOUT) || !strcmp(name, WEIGHTS));
}

/* A temporary file's name; the file is there and empty. */
static enum i3d_status make_spool(char **name, int *fd, struct i3d_error *error)
{
    const char *folder = getenv("TMPDIR");
    folder = folder && *folder ? folder : "/tmp";
    if (asprintf(name, "%s/i3dconv-XXXXXX", folder) < 0)
        return i3d_fail_memory(error);
    *fd = mkostemp(*name, O_CLOEXEC);
    if (*fd >= 0)
        return I3D_OK;
    i3d_fail_errno(error, "cannot write a temporary file");
    i3d_error_file(error, folder);
    free(*name);
    return I3D_SYSTEM;
}

static enum i3d_status spool_piece(void *context, const void *bytes, size_t length,
                                   struct i3d_error *error)
{
    const char *from = bytes;
    while (length) {
        ssize_t wrote = write(*(const int *)context, from, length);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return i3d_fail_errno(error, "cannot write a temporary file");
        from += wrote;
        length -= (size_t)wrote;
    }
    return I3D_OK;
}

/* The HDF5 library reads a file of its own: the member, unpacked and unlinked. */
static enum i3d_status unpack_weights(struct i3d_zip *zip, const char *path,
                                      struct i3d_file **file, struct i3d_error *error)
{
    char *name;
    int fd;
    int64_t member = i3d_zip_find(zip, WEIGHTS);
    if (member < 0)
        return i3d_fail(error, I3D_MALFORMED, "it has no member %s", WEIGHTS);
    enum i3d_status status = make_spool(&name, &fd, error);
    if (status)
        return status;
    unlink(name);
    free(name);
    struct i3d_source *source =
        i3d_zip_source(zip, (size_t)member, 0, i3d_zip_size(zip, (size_t)member));
    status = source ? i3d_source_stream(source, spool_piece, &fd, error) : i3d_fail_memory(error);
    i3d_source_release(source);
    *file = status ? NULL : i3d_file_new(fd, path);
    if (!status && !*file)
        status = i3d_fail_memory(error);
    if (status)
        close(fd);
    return status;
}

static enum i3d_status load_text(struct i3d_zip *zip, const char *name, uint64_t most,
                                 char **text, struct i3d_error *error)
{
    size_t length;
    int64_t member = i3d_zip_find(zip, name);
    *text = NULL;
    if (member < 0)
        return i3d_fail(error, I3D_MALFORMED, "it has no member %s", name);
    enum i3d_status status = i3d_zip_load(zip, (size_t)member, most, text, &length, error);
    if (status || strlen(*text) == length)
        return status;
    free(*text);
    *text = NULL;
    return i3d_fail(error, I3D_MALFORMED, "%s has a NUL byte inside", name);
}

/* The version of the Keras that wrote the archive; 3 where it does not say. */
static enum i3d_status read_about(struct i3d_zip *zip, struct i3d_model *model,
                                  struct i3d_error *error)
{
    char *text;
    enum i3d_status status = load_text(zip, ABOUT, MOST_ABOUT, &text, error);
    if (status)
        return status;
    json_t *about = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *version = json_string_value(json_object_get(about, "keras_version"));
    if (!about)
        status = i3d_fail(error, I3D_MALFORMED, "%s is no JSON", ABOUT);
    else if (!i3d_set_metadata(model, "keras.keras_version", version ? version : "3"))
        status = i3d_fail_memory(error);
    json_decref(about);
    free(text);
    return status;
}

enum i3d_status i3d_keras_read(struct i3d_file *file, struct i3d_model *model,
                               struct i3d_error *error)
{
    struct i3d_zip *zip;
    struct i3d_file *weights = NULL;
    char *config = NULL;
    enum i3d_status status = i3d_zip_open(file, &zip, error);
    if (status)
        return status;
    status = load_text(zip, CONFIG, MOST_CONFIG, &config, error);
    if (!status)
        status = unpack_weights(zip, i3d_file_path(file), &weights, error);
    if (!status) {
        status = i3d_hdf5_read(weights, model, error);
        if (status)
            i3d_error_where(error, "member %s", WEIGHTS);
    }
    if (!status)
        status = read_about(zip, model, error);
    if (!status)
        status = i3d_keras_make_graph(model, config, I3D_KERAS_3,
                                      i3d_metadata(model, "keras.keras_version"), error);
    if (weights)
        i3d_file_release(weights);
    free(config);
    i3d_zip_release(zip);
    return status;
}

/* model.weights.h5 as a file that is gone when the last source lets go of it. */
static enum i3d_status write_weights(const struct i3d_model *model, struct i3d_file **file,
                                     struct i3d_error *error)
{
    char *name;
    int fd;
    struct i3d_output *output;
    *file = NULL;
    enum i3d_status status = make_spool(&name, &fd, error);
    if (status)
        return status;
    close(fd);
    status = i3d_output_open(name, &output, error);
    if (!status) {
        i3d_output_make_scratch(output);
        status = i3d_hdf5_write(model, output, error);
        if (status)
            i3d_output_abandon(output);
        else
            status = i3d_output_take(output, file, error);
    }
    unlink(name);
    free(name);
    return status;
}

static enum i3d_status put_text(struct i3d_zip_writer *writer, const char *name, const char *text,
                                struct i3d_error *error)
{
    return i3d_zip_put(writer, name, i3d_source_copy(text, strlen(text)), error);
}

enum i3d_status i3d_keras_write(const struct i3d_model *model, struct i3d_output *output,
                                struct i3d_error *error)
{
    static const char about[] =
        "{\"keras_version\": \"3.0.0\", \"date_saved\": \"1980-01-01@00:00:00\"}";
    struct i3d_model *weights;
    struct i3d_file *file = NULL;
    struct i3d_zip_writer *writer = NULL;
    char *config;
    enum i3d_status status = i3d_keras_unbuild(model, I3D_KERAS_3, &weights, &config, error);
    if (status)
        return status;
    status = write_weights(weights, &file, error);
    if (!status)
        status = i3d_zip_writer_new(output, &writer, error);
    if (!status)
        status = put_text(writer, ABOUT, about, error);
    if (!status)
        status = put_text(writer, CONFIG, config, error);
    if (!status)
        status = i3d_zip_put(writer, WEIGHTS, i3d_source_range(file, 0, i3d_file_size(file)),
                             error);
    if (!status)
        status = i3d_zip_finish(writer, error);
    i3d_zip_writer_free(writer);
    if (file)
        i3d_file_release(file);
    free(config);
    i3d_model_free(weights);
    return status;
}
