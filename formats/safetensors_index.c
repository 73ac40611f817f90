/* Models in several safetensors files (shards), as Hugging Face's libraries keep large ones:
 *
 *   model.safetensors.index.json
 *       {"metadata": {"total_size": bytes}, "weight_map": {tensor: file, …}}
 *   model-00001-of-00002.safetensors, …
 *
 * Shards are found beside the index only (formats/companion.h). What is not a tensor's
 * stands in the index's metadata as it does in a single file's. */
#include "formats/companion.h"
#include "formats/output.h"
#include "formats/registry.h"
#include "formats/safetensors.h"
#include "model/index.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A shard holds at most so many bytes of tensors, or one tensor. */
static const uint64_t largest_shard = 1000000000;
static const char suffix[] = ".safetensors.index.json";
static const char MAP_KEY[] = "weight_map", METADATA_KEY[] = "metadata",
                  TOTAL_KEY[] = "total_size";

bool i3d_safetensors_index_recognise(const unsigned char *head, size_t head_length,
                                     uint64_t size)
{
    (void)size;
    size_t skipped = 0;
    while (skipped < head_length && strchr(" \t\r\n", head[skipped]) && head[skipped])
        skipped++;
    return skipped < head_length && head[skipped] == '{'
        && memmem(head, head_length, "\"weight_map\"", sizeof "\"weight_map\"" - 1);
}

/* What is read: the tensors of every shard, by name. */
struct shards {
    struct i3d_companions *companions;
    json_t *models; /* by location: their places in read */
    struct i3d_model **read;
    struct i3d_index **indexes;
    size_t count;
};

static void free_shards(struct shards *shards)
{
    for (size_t i = 0; i < shards->count; i++) {
        i3d_index_free(shards->indexes[i]);
        i3d_model_free(shards->read[i]);
    }
    free(shards->read);
    free(shards->indexes);
    json_decref(shards->models);
    i3d_companions_free(shards->companions);
}

static enum i3d_status read_shard(struct shards *shards, const char *location, size_t *place,
                                  struct i3d_error *error)
{
    json_t *known = json_object_get(shards->models, location);
    if (known) {
        *place = (size_t)json_integer_value(known);
        return I3D_OK;
    }
    struct i3d_file *file;
    enum i3d_status status = i3d_companions_open(shards->companions, location, &file, error);
    if (status)
        return status;
    unsigned char head[I3D_HEAD_SIZE];
    uint64_t size = i3d_file_size(file);
    size_t length = size < sizeof head ? (size_t)size : sizeof head;
    struct i3d_model *model = i3d_model_new();
    status = model ? i3d_file_read(file, 0, head, length, error) : i3d_fail_memory(error);
    if (!status)
        status = i3d_safetensors_recognise(head, length, size)
            ? i3d_safetensors_read(file, model, error)
            : i3d_fail(error, I3D_MALFORMED, "this is no safetensors file");
    struct i3d_index *index = status ? NULL : i3d_index_new(model);
    if (!status && (!index || json_object_set_new(shards->models, location,
                                                  json_integer((json_int_t)shards->count))))
        status = i3d_fail_memory(error);
    if (status) {
        i3d_index_free(index);
        i3d_model_free(model);
        return i3d_error_file(error, i3d_file_path(file));
    }
    *place = shards->count;
    shards->read[shards->count] = model;
    shards->indexes[shards->count++] = index;
    return I3D_OK;
}

static enum i3d_status take_tensor(struct shards *shards, const char *name, json_t *location,
                                   struct i3d_model *model, struct i3d_error *error)
{
    size_t place = 0;
    if (!json_is_string(location))
        return i3d_fail(error, I3D_MALFORMED, "its file is no string");
    enum i3d_status status =
        read_shard(shards, json_string_value(location), &place, error);
    if (status)
        return status;
    int64_t position = i3d_index_tensor(shards->indexes[place], name);
    if (position == I3D_NOWHERE)
        return i3d_fail(error, I3D_MALFORMED, "it is not in %s, where the index has it",
                        json_string_value(location));
    const struct i3d_tensor *tensor = &shards->read[place]->tensors[position];
    return i3d_model_put_tensor(model, name, tensor->dtype, tensor->rank, tensor->dims,
                                i3d_source_retain(tensor->source), error);
}

static enum i3d_status read_map(json_t *map, struct i3d_model *model, struct i3d_error *error)
{
    const char *name;
    json_t *location;
    struct shards shards = { .companions = i3d_companions_new(model->path),
                             .models = json_object() };
    if (!json_is_object(map)) {
        free_shards(&shards);
        return i3d_fail(error, I3D_MALFORMED, "%s is no object", MAP_KEY);
    }
    shards.read = calloc(json_object_size(map) + 1, sizeof *shards.read);
    shards.indexes = calloc(json_object_size(map) + 1, sizeof *shards.indexes);
    enum i3d_status status =
        shards.companions && shards.models && shards.read && shards.indexes
        ? I3D_OK : i3d_fail_memory(error);
    if (!status)
        json_object_foreach (map, name, location) {
            status = take_tensor(&shards, name, location, model, error);
            /* Where a shard is named, the fault lies with it. */
            if (status && error && !error->file[0])
                i3d_error_where(error, "tensor %s", name);
            if (status)
                break;
        }
    free_shards(&shards);
    return status;
}

/* total_size and other counts that are known from the tensors. */
static void drop_numbers(json_t *metadata)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe (metadata, next, key, value)
        if (json_is_number(value))
            json_object_del(metadata, key);
}

enum i3d_status i3d_safetensors_index_read(struct i3d_file *file, struct i3d_model *model,
                                           struct i3d_error *error)
{
    uint64_t length = i3d_file_size(file);
    if (length > I3D_SAFETENSORS_HEADER_LIMIT)
        return i3d_fail(error, I3D_MALFORMED, "an index has at most %d bytes",
                        I3D_SAFETENSORS_HEADER_LIMIT);
    char *text = malloc((size_t)length + 1);
    json_t *root = NULL;
    enum i3d_status status = text ? i3d_file_read(file, 0, text, (size_t)length, error)
                                  : i3d_fail_memory(error);
    if (!status)
        status = i3d_safetensors_parse(text, (size_t)length, 0, &root, error);
    free(text);
    if (status)
        return status;
    json_t *metadata = json_object_get(root, METADATA_KEY);
    drop_numbers(metadata);
    status = i3d_safetensors_read_metadata(metadata, model, error);
    if (!status)
        status = read_map(json_object_get(root, MAP_KEY), model, error);
    if (!status)
        status = i3d_safetensors_read_order(metadata, model, error);
    json_decref(root);
    return status;
}

/* Ends the shard that begins at tensor first: where it would grow too large. */
static size_t end_of_shard(const struct i3d_model *model, size_t first)
{
    uint64_t bytes = 0;
    size_t next = first;
    for (; next < model->tensor_count; next++) {
        uint64_t length = i3d_tensor_bytes(&model->tensors[next]);
        if (next > first && (length > largest_shard || bytes > largest_shard - length))
            break;
        bytes += length;
    }
    return next;
}

static enum i3d_status write_shard(const struct i3d_model *model, size_t first, size_t end,
                                   const char *name, struct i3d_output *output, json_t *map,
                                   struct i3d_error *error)
{
    struct i3d_output *shard_output;
    struct i3d_model *shard = i3d_model_new();
    enum i3d_status status = I3D_OK;
    /* transformers takes only files that tell whose layout their tensors have. */
    if (!shard || !i3d_set_metadata(shard, "format", "pt"))
        status = i3d_fail_memory(error);
    for (size_t i = first; i < end && !status; i++) {
        const struct i3d_tensor *tensor = &model->tensors[i];
        if (!tensor->source) {
            i3d_fail(error, I3D_UNSUPPORTED, "it has no values: no weights are bound to it");
            status = i3d_error_where(error, "tensor %s", tensor->name);
        } else {
            status = i3d_model_put_tensor(shard, tensor->name, tensor->dtype, tensor->rank,
                                          tensor->dims, i3d_source_retain(tensor->source), error);
        }
        json_t *value = json_string(name);
        if (!status && !value) {
            i3d_fail(error, I3D_UNSUPPORTED, "an index's file names are UTF-8, this is not: %s",
                     name);
            status = error ? error->status : I3D_UNSUPPORTED;
        }
        if (!status && json_object_set_new(map, tensor->name, value)) {
            i3d_fail(error, I3D_UNSUPPORTED, "safetensors names are UTF-8, this one is not");
            status = i3d_error_where(error, "tensor %s", tensor->name);
        } else if (status) {
            json_decref(value);
        }
    }
    if (!status)
        status = i3d_output_open_companion(output, name, &shard_output, error);
    if (!status)
        status = i3d_safetensors_write(shard, shard_output, error);
    i3d_model_free(shard);
    return status;
}

/* The part of the index's name that shards share: malloc'ed. */
static char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name), end = sizeof suffix - 1;
    if (length > end && !strcasecmp(name + length - end, suffix))
        length -= end;
    return strndup(name, length);
}

static enum i3d_status write_shards(const struct i3d_model *model, struct i3d_output *output,
                                    json_t *map, struct i3d_error *error)
{
    char *stem = stem_of(i3d_output_path(output)), name[NAME_MAX + 1];
    size_t count = 0, number = 0;
    enum i3d_status status = stem ? I3D_OK : i3d_fail_memory(error);
    for (size_t first = 0; first < model->tensor_count; first = end_of_shard(model, first))
        count++;
    for (size_t first = 0, end; first < model->tensor_count && !status; first = end) {
        end = end_of_shard(model, first);
        int length = snprintf(name, sizeof name, "%s-%05zu-of-%05zu.safetensors", stem,
                              ++number, count);
        status = length < (int)sizeof name
            ? write_shard(model, first, end, name, output, map, error)
            : i3d_fail(error, I3D_USAGE, "the name is too long for those of the shards");
    }
    free(stem);
    return status;
}

enum i3d_status i3d_safetensors_index_write(const struct i3d_model *model,
                                            struct i3d_output *output, struct i3d_error *error)
{
    json_t *metadata = json_object(), *map = json_object(), *root = NULL;
    uint64_t total = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        total += i3d_tensor_bytes(&model->tensors[i]);
    enum i3d_status status =
        metadata && map && !json_object_set_new(metadata, TOTAL_KEY,
                                                json_integer((json_int_t)total))
        ? i3d_safetensors_describe(model, metadata, error) : i3d_fail_memory(error);
    if (!status)
        status = write_shards(model, output, map, error);
    char *text = NULL;
    if (!status && (root = json_pack("{s:O, s:O}", METADATA_KEY, metadata, MAP_KEY, map)))
        text = json_dumps(root, JSON_INDENT(2));
    if (!status && !text)
        status = i3d_fail_memory(error);
    if (!status)
        status = i3d_output_write(output, text, strlen(text), error);
    if (!status)
        status = i3d_output_write(output, "\n", 1, error);
    free(text);
    json_decref(root);
    json_decref(metadata);
    json_decref(map);
    return status;
}
