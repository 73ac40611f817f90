/* HDF5, the parent's side: what the child found becomes a model, and a model is
 * written into the places that the child made for it. */
#include "formats/hdf5_catalogue.h"
#include "formats/hdf5_child.h"
#include "formats/hdf5_layout.h"
#include "formats/hdf5_source.h"
#include "formats/keras_file.h"
#include "formats/keras_read.h"
#include "formats/registry.h"

#include "formats/output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CATALOGUE_LIMIT = 256 << 20, /* bytes */
};

bool i3d_hdf5_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    static const unsigned char signature[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    (void)size;
    /* At 0, or behind a user block of 512 bytes or a power of two more
     * (HDF5 File Format Specification 3.0, section II.A). */
    for (size_t at = 0; at + sizeof signature <= head_length; at = at ? at * 2 : 512)
        if (!memcmp(head + at, signature, sizeof signature))
            return true;
    return false;
}

struct cursor {
    const char *at, *end;
    bool broken;
};

static uint64_t get_number(struct cursor *cursor)
{
    uint64_t number = 0;
    if ((size_t)(cursor->end - cursor->at) < sizeof number) {
        cursor->broken = true;
        return 0;
    }
    memcpy(&number, cursor->at, sizeof number);
    cursor->at += sizeof number;
    return number;
}

/* A copy in the arena; null when memory is short or the record is broken. */
static char *get_string(struct cursor *cursor, struct i3d_arena *arena)
{
    uint64_t length = get_number(cursor);
    if (cursor->broken || length > (size_t)(cursor->end - cursor->at)
        || memchr(cursor->at, 0, length)) {
        cursor->broken = true;
        return NULL;
    }
    char *string = i3d_arena_copy(arena, cursor->at, length);
    cursor->at += length;
    cursor->broken |= !string;
    return string;
}

/* A dataset whose elements the child has to be asked for. */
struct asked {
    struct i3d_hdf5_child *child;
    uint64_t dataset, bytes;
    const char *name; /* in this block, behind it */
};

static enum i3d_status read_asked(void *context, uint64_t offset, void *bytes, size_t length,
                                  struct i3d_error *error)
{
    struct asked *asked = context;
    struct i3d_hdf5_child *child = asked->child;
    if (child->loaded != (int64_t)asked->dataset) {
        struct i3d_hdf5_answer answer;
        child->loaded = -1;
        enum i3d_status status = i3d_hdf5_ask(child, asked->dataset, error);
        if (!status)
            status = i3d_hdf5_await(child, I3D_MALFORMED, &answer, error);
        if (!status && answer.length != asked->bytes)
            status = i3d_fail(error, I3D_MALFORMED, "its size is not the one it was listed with");
        if (status)
            return i3d_error_where(error, "dataset %s", asked->name);
        child->loaded = (int64_t)asked->dataset;
    }
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(child->memory, (char *)bytes + done, length - done,
                            (off_t)(offset + done));
        if (got <= 0) {
            i3d_fail(error, I3D_MALFORMED, "the HDF5 library cut its elements short");
            return i3d_error_where(error, "dataset %s", asked->name);
        }
        done += (size_t)got;
    }
    return I3D_OK;
}

static void release_asked(void *context)
{
    struct asked *asked = context;
    i3d_hdf5_release(asked->child);
    free(asked);
}

static struct i3d_source *ask_for(struct i3d_hdf5_child *child, uint64_t dataset, uint64_t bytes,
                                  const char *name)
{
    struct asked *asked = malloc(sizeof *asked + strlen(name) + 1);
    if (!asked)
        return NULL;
    char *copy = (char *)(asked + 1);
    strcpy(copy, name);
    child->references++;
    *asked = (struct asked){ child, dataset, bytes, copy };
    struct i3d_source *source = i3d_source_callback(read_asked, release_asked, asked, bytes);
    if (!source)
        release_asked(asked);
    return source;
}

struct reader {
    struct i3d_file *file;
    uint64_t offset, size; /* of the HDF5 file in it */
    struct i3d_hdf5_child *child;
    struct i3d_model *model;
    struct cursor cursor;
    json_t *layers; /* of Keras' layout, or null */
    uint64_t dataset_count;
};

static enum i3d_status take_dataset(struct reader *reader, struct i3d_error *error)
{
    struct cursor *cursor = &reader->cursor;
    int64_t dims[I3D_MAX_RANK];
    const char *name = get_string(cursor, reader->model->arena);
    enum i3d_dtype dtype = (enum i3d_dtype)get_number(cursor);
    uint64_t rank = get_number(cursor);
    if (cursor->broken || rank > I3D_MAX_RANK || !i3d_dtype_size(dtype))
        return i3d_fail(error, I3D_MALFORMED, "the HDF5 library returned nonsense");
    for (uint64_t k = 0; k < rank; k++)
        dims[k] = (int64_t)get_number(cursor);
    uint64_t place = get_number(cursor);
    int64_t elements = i3d_element_count((int)rank, dims);
    if (cursor->broken || elements < 0)
        return i3d_fail(error, I3D_MALFORMED, "the HDF5 library returned nonsense");
    uint64_t bytes = (uint64_t)elements * i3d_dtype_size(dtype), size = reader->size;
    struct i3d_source *source;
    if (!bytes)
        source = i3d_source_copy(NULL, 0);
    else if (place == I3D_HDF5_NOT_IN_PLACE)
        source = ask_for(reader->child, reader->dataset_count, bytes, name);
    else if (place > size || bytes > size - place)
        return i3d_fail(error, I3D_MALFORMED, "dataset %s lies outside the file", name);
    else
        source = i3d_source_range(reader->file, reader->offset + place, bytes);
    reader->dataset_count++;
    return i3d_model_put_tensor(reader->model, name, dtype, (int)rank, dims, source, error);
}

static enum i3d_status take_attribute(struct reader *reader, struct i3d_error *error)
{
    struct i3d_arena *arena = reader->model->arena;
    const char *name = get_string(&reader->cursor, arena);
    const char *value = get_string(&reader->cursor, arena);
    const char *key = name && value ? i3d_arena_printf(arena, "keras.%s", name) : NULL;
    if (!key || !i3d_set_metadata(reader->model, key, value))
        return i3d_fail_memory(error);
    return I3D_OK;
}

static enum i3d_status take_layer(struct reader *reader, struct i3d_error *error)
{
    const char *name = get_string(&reader->cursor, reader->model->arena);
    if (!reader->layers)
        reader->layers = json_array();
    json_t *layer = name ? json_string(name) : NULL;
    if (!layer) /* not UTF-8, as Keras writes it */
        return i3d_fail(error, I3D_MALFORMED, "the name of a layer is not UTF-8");
    if (json_array_append_new(reader->layers, layer))
        return i3d_fail_memory(error);
    return I3D_OK;
}

static enum i3d_status take_records(struct reader *reader, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    struct cursor *cursor = &reader->cursor;
    while (!status && cursor->at < cursor->end) {
        switch (*cursor->at++) {
        case 'A': status = take_attribute(reader, error); break;
        case 'D': status = take_dataset(reader, error); break;
        case 'L': status = take_layer(reader, error); break;
        default:
            status = i3d_fail(error, I3D_MALFORMED, "the HDF5 library returned nonsense");
        }
    }
    if (status || !reader->layers)
        return status;
    char *names = json_dumps(reader->layers, JSON_COMPACT);
    bool good = names && i3d_set_metadata(reader->model, I3D_KERAS_LAYERS, names);
    free(names);
    return good ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status load_catalogue(const struct i3d_hdf5_child *child, uint64_t length,
                                      char **bytes, struct i3d_error *error)
{
    *bytes = length <= CATALOGUE_LIMIT ? malloc(length + 1) : NULL;
    if (!*bytes)
        return i3d_fail_memory(error);
    for (uint64_t done = 0; done < length;) {
        ssize_t got = pread(child->memory, *bytes + done, length - done, (off_t)done);
        if (got <= 0)
            return i3d_fail(error, I3D_MALFORMED, "the HDF5 library returned nonsense");
        done += (uint64_t)got;
    }
    return I3D_OK;
}

enum i3d_status i3d_hdf5_read_at(struct i3d_file *file, uint64_t offset, uint64_t size,
                                 struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_hdf5_input input = { i3d_file_descriptor(file), offset, size };
    struct reader reader = { .file = file, .offset = offset, .size = size, .model = model };
    struct i3d_hdf5_answer answer;
    char *bytes = NULL;
    enum i3d_status status = i3d_hdf5_start(i3d_hdf5_serve, &input, input.size, &reader.child,
                                            error);
    if (status)
        return status;
    status = i3d_hdf5_await(reader.child, I3D_MALFORMED, &answer, error);
    if (!status)
        status = load_catalogue(reader.child, answer.length, &bytes, error);
    if (!status) {
        reader.cursor = (struct cursor){ .at = bytes, .end = bytes + answer.length };
        status = take_records(&reader, error);
    }
    if (!status && reader.layers)
        status = i3d_keras_read_config(model, error);
    json_decref(reader.layers);
    free(bytes);
    i3d_hdf5_release(reader.child); /* lives on if a tensor needs it */
    return status;
}

enum i3d_status i3d_hdf5_read(struct i3d_file *file, struct i3d_model *model,
                              struct i3d_error *error)
{
    return i3d_hdf5_read_at(file, 0, i3d_file_size(file), model, error);
}

struct placement {
    struct i3d_output *output;
    uint64_t offset;
};

static enum i3d_status write_piece(void *context, const void *bytes, size_t length,
                                   struct i3d_error *error)
{
    struct placement *placement = context;
    enum i3d_status status =
        i3d_output_write_at(placement->output, placement->offset, bytes, length, error);
    placement->offset += length;
    return status;
}

static enum i3d_status fill_place(const struct i3d_tensor *tensor, uint64_t place,
                                  struct i3d_output *output, uint64_t *end,
                                  struct i3d_error *error)
{
    struct placement placement = { output, place };
    uint64_t bytes = i3d_tensor_bytes(tensor);
    enum i3d_status status = I3D_OK;
    if (!bytes)
        return I3D_OK;
    if (place > INT64_MAX || bytes > INT64_MAX - place)
        status = i3d_fail(error, I3D_SYSTEM, "the HDF5 library made no sound file");
    else
        status = i3d_source_stream(tensor->source, write_piece, &placement, error);
    if (place + bytes > *end)
        *end = place + bytes;
    return status ? i3d_error_where(error, "tensor %s", tensor->name) : I3D_OK;
}

/* Streams each tensor to its place as soon as the child has made it, while the
 * child makes the next ones; its last answer says that the file is whole. */
static enum i3d_status fill_places(const struct i3d_model *model, struct i3d_hdf5_child *child,
                                   struct i3d_output *output, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    struct i3d_hdf5_answer answer;
    uint64_t end = 0;
    for (size_t i = 0; i < model->tensor_count && !status; i++) {
        status = i3d_hdf5_await(child, I3D_SYSTEM, &answer, error);
        if (!status)
            status = fill_place(&model->tensors[i], answer.length, output, &end, error);
    }
    if (!status)
        status = i3d_hdf5_await(child, I3D_SYSTEM, &answer, error);
    struct stat file;
    if (!status && (fstat(i3d_output_descriptor(output), &file) || (uint64_t)file.st_size < end))
        status = i3d_fail(error, I3D_SYSTEM, "the HDF5 library made no sound file");
    return status;
}

/* Weights alone, with the description of their network or without one. */
static enum i3d_status write_weights(const struct i3d_model *weights, const char *config,
                                     struct i3d_output *output, struct i3d_error *error)
{
    if (!i3d_output_temporary(output) || i3d_output_is_pipe(output)) {
        i3d_fail(error, I3D_USAGE, "HDF5 cannot be written to a pipe");
        return i3d_error_hint(error, "safetensors and ONNX can");
    }
    /* Not by its name: a signal may have removed the file meanwhile, and the child
     * would make it anew, for nobody to remove. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", i3d_output_descriptor(output));
    struct i3d_hdf5_layout layout;
    struct i3d_hdf5_child *child;
    enum i3d_status status = i3d_hdf5_plan(weights, path, &layout, error);
    if (status)
        return status;
    layout.config = config;
    status = i3d_hdf5_start(i3d_hdf5_create, &layout, 0, &child, error);
    if (!status) {
        status = fill_places(weights, child, output, error);
        i3d_hdf5_release(child);
    }
    i3d_hdf5_free_plan(&layout);
    return status;
}

enum i3d_status i3d_hdf5_write(const struct i3d_model *model, struct i3d_output *output,
                               struct i3d_error *error)
{
    if (!model->node_count)
        return write_weights(model, NULL, output, error);
    struct i3d_model *weights;
    char *config;
    enum i3d_status status = i3d_keras_unbuild(model, I3D_KERAS_LEGACY, &weights, &config, error);
    if (status)
        return status;
    status = write_weights(weights, config, output, error);
    free(config);
    i3d_model_free(weights);
    return status;
}

bool i3d_keras_weights_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    (void)head;
    (void)head_length;
    (void)size;
    return false; /* it is HDF5 as any other */
}

enum i3d_status i3d_keras_weights_write(const struct i3d_model *model, struct i3d_output *output,
                                        struct i3d_error *error)
{
    if (!model->node_count)
        return write_weights(model, NULL, output, error);
    struct i3d_model *weights;
    char *config;
    enum i3d_status status = i3d_keras_unbuild(model, I3D_KERAS_3, &weights, &config, error);
    if (status)
        return status;
    status = write_weights(weights, NULL, output, error);
    free(config);
    i3d_model_free(weights);
    return status;
}
