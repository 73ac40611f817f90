/* Keras 3's .keras: a ZIP archive of config.json, metadata.json and model.weights.h5. */
#include "formats/hdf5_source.h"
#include "formats/input.h"
#include "formats/keras_file.h"
#include "formats/registry.h"
#include "formats/zip.h"

#include <jansson.h>
#include <pthread.h>
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

static enum i3d_status spool_piece(void *context, const void *bytes, size_t length,
                                   struct i3d_error *error)
{
    return i3d_spool_write(*(const int *)context, bytes, length, error);
}

/* The HDF5 library reads a file: the member, unpacked and unlinked. */
static enum i3d_status read_unpacked(struct i3d_source *member, const char *path,
                                     struct i3d_model *model, struct i3d_error *error)
{
    int fd;
    enum i3d_status status = i3d_spool_open(&fd, error);
    if (status)
        return status;
    status = i3d_source_stream(member, spool_piece, &fd, error);
    struct i3d_file *file = status ? NULL : i3d_file_new(fd, path);
    if (!file) {
        close(fd);
        return status ? status : i3d_fail_memory(error);
    }
    status = i3d_hdf5_read(file, model, error);
    i3d_file_release(file);
    return status;
}

/* What a thread finds that reads a member to its end, for the checksum. */
struct check {
    struct i3d_source *member;
    enum i3d_status status;
    struct i3d_error error;
};

static enum i3d_status forget_piece(void *context, const void *bytes, size_t length,
                                    struct i3d_error *error)
{
    (void)context;
    (void)bytes;
    (void)length;
    (void)error;
    return I3D_OK;
}

static void *run_check(void *context)
{
    struct check *check = context;
    check->status = i3d_source_stream(check->member, forget_piece, NULL, &check->error);
    return NULL;
}

/* The member, stored as it is, is read where it stands while its checksum is computed. */
static enum i3d_status read_in_place(struct i3d_source *member, struct i3d_file *file,
                                     uint64_t offset, struct i3d_model *model,
                                     struct i3d_error *error)
{
    struct check check = { .member = member };
    pthread_t thread;
    bool is_beside = !pthread_create(&thread, NULL, run_check, &check);
    enum i3d_status status =
        i3d_hdf5_read_at(file, offset, i3d_source_length(member), model, error);
    if (is_beside)
        pthread_join(thread, NULL);
    else
        run_check(&check);
    if (status || !check.status)
        return status;
    if (error)
        *error = check.error;
    return check.status;
}

static enum i3d_status read_weights(struct i3d_zip *zip, struct i3d_file *file,
                                    struct i3d_model *model, struct i3d_error *error)
{
    uint64_t offset;
    int64_t number = i3d_zip_find(zip, WEIGHTS);
    if (number < 0)
        return i3d_fail(error, I3D_MALFORMED, "it has no member %s", WEIGHTS);
    size_t member = (size_t)number;
    struct i3d_source *source = i3d_zip_source(zip, member, 0, i3d_zip_size(zip, member));
    if (!source)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_zip_place(zip, member, &offset)
        ? read_in_place(source, file, offset, model, error)
        : read_unpacked(source, i3d_file_path(file), model, error);
    i3d_source_release(source);
    return status ? i3d_error_where(error, "member %s", WEIGHTS) : I3D_OK;
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
    char *config = NULL;
    enum i3d_status status = i3d_zip_open(file, &zip, error);
    if (status)
        return status;
    status = load_text(zip, CONFIG, MOST_CONFIG, &config, error);
    if (!status)
        status = read_weights(zip, file, model, error);
    if (!status)
        status = read_about(zip, model, error);
    if (!status)
        status = i3d_keras_make_graph(model, config, I3D_KERAS_3,
                                      i3d_metadata(model, "keras.keras_version"), error);
    free(config);
    i3d_zip_release(zip);
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
    struct i3d_source *source = NULL;
    struct i3d_zip_writer *writer = NULL;
    char *config;
    enum i3d_status status = i3d_keras_unbuild(model, I3D_KERAS_3, &weights, &config, error);
    if (status)
        return status;
    status = i3d_hdf5_source(weights, &source, error);
    if (!status)
        status = i3d_zip_writer_new(output, &writer, error);
    if (!status)
        status = put_text(writer, ABOUT, about, error);
    if (!status)
        status = put_text(writer, CONFIG, config, error);
    if (!status)
        status = i3d_zip_put(writer, WEIGHTS, i3d_source_retain(source), error);
    if (!status)
        status = i3d_zip_finish(writer, error);
    i3d_zip_writer_free(writer);
    if (source)
        i3d_source_release(source);
    free(config);
    i3d_model_free(weights);
    return status;
}
