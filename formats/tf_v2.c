/* TensorFlow's V2 checkpoints: PREFIX.index is a table from names to where the elements
 * stand in PREFIX.data-00000-of-0000N. (TensorFlow, core/protobuf/tensor_bundle.proto and
 * core/util/tensor_bundle/tensor_bundle.cc)
 *
 * The empty key holds the BundleHeaderProto, every other one a BundleEntryProto. The
 * entry of a variable in parts lists its slices, each of which has an entry of its own
 * under a key that starts with a zero byte. */
#include "formats/companion.h"
#include "formats/crc32c.h"
#include "formats/tf_checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SUFFIX[] = ".index";
enum { MOST_SHARDS = 99999, BIG_ENDIAN_ORDER = 1, LATEST_CONSUMER = 1 };
enum { PIECE = 1 << 20, NAMES_LIMIT = 256 << 20 };

/* An entry of the table. key is what the table has, name the variable's. */
struct entry {
    unsigned char *key;
    size_t key_length;
    struct i3d_tf_variable variable;
    uint64_t shard, offset, size;
    uint32_t crc;
};

struct bundle {
    struct i3d_file *index;
    uint64_t shard_count;
    struct i3d_companions *companions;
    struct i3d_file **shards; /* the companions' own; opened when an entry asks for one */
    struct entry *entries;    /* sorted by key, as in the table */
    size_t count, room, names_length;
};

/* Elements in a data file; the first read checks them all. */
struct stored {
    struct i3d_file *file;
    uint64_t offset, size;
    uint32_t crc;
    bool checked;
    char name[];
};

static enum i3d_status check_crc(const struct stored *stored, uint32_t crc,
                                 struct i3d_error *error)
{
    if (crc == stored->crc)
        return I3D_OK;
    i3d_fail(error, I3D_MALFORMED, "its bytes are not those that were stored: the checksum is "
                                   "%08x, it should be %08x", crc, stored->crc);
    i3d_error_where(error, "tensor %s", stored->name);
    return i3d_error_file(error, i3d_file_path(stored->file));
}

static enum i3d_status check_all(struct stored *stored, struct i3d_error *error)
{
    size_t room = stored->size < PIECE ? (size_t)stored->size : PIECE;
    char *piece = malloc(room + 1);
    if (!piece)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    uint32_t crc = 0;
    for (uint64_t at = 0; at < stored->size && !status; at += room) {
        size_t length = stored->size - at < room ? (size_t)(stored->size - at) : room;
        status = i3d_file_read(stored->file, stored->offset + at, piece, length, error);
        if (!status)
            crc = i3d_crc32c(crc, piece, length);
    }
    free(piece);
    return status ? status : check_crc(stored, crc, error);
}

static enum i3d_status read_stored(void *context, uint64_t offset, void *bytes, size_t length,
                                   struct i3d_error *error)
{
    struct stored *stored = context;
    bool whole = !offset && length == stored->size;
    enum i3d_status status = stored->checked || whole ? I3D_OK : check_all(stored, error);
    if (!status)
        status = i3d_file_read(stored->file, stored->offset + offset, bytes, length, error);
    if (!status && !stored->checked && whole)
        status = check_crc(stored, i3d_crc32c(0, bytes, length), error);
    stored->checked |= !status;
    return status;
}

static void release_stored(void *context)
{
    struct stored *stored = context;
    i3d_file_release(stored->file);
    free(stored);
}

static enum i3d_status read_header(const struct i3d_table_cursor *cursor, struct bundle *bundle,
                                   struct i3d_error *error)
{
    struct i3d_message header = i3d_message_of(cursor->value, cursor->value_length);
    struct i3d_field field, part;
    uint64_t order = 0, consumer = 0;
    while (i3d_message_next(&header, &field)) {
        if (field.number == 1)
            bundle->shard_count = field.value;
        if (field.number == 2)
            order = field.value;
        if (field.number != 3)
            continue;
        struct i3d_message version = i3d_message_in(&field);
        while (i3d_message_next(&version, &part))
            if (part.number == 2)
                consumer = part.value;
        header.broken |= version.broken;
    }
    if (header.broken || !bundle->shard_count || bundle->shard_count > MOST_SHARDS)
        return i3d_fail(error, I3D_MALFORMED, "the checkpoint's header is damaged");
    if (order == BIG_ENDIAN_ORDER)
        return i3d_fail(error, I3D_UNSUPPORTED, "its numbers are big-endian");
    if (consumer > LATEST_CONSUMER)
        return i3d_fail(error, I3D_UNSUPPORTED, "it asks for readers of version %llu, this is one "
                                                "of version %d",
                        (unsigned long long)consumer, LATEST_CONSUMER);
    bundle->shards = calloc((size_t)bundle->shard_count, sizeof(struct i3d_file *));
    return bundle->shards ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status read_entry(struct i3d_message message, struct entry *entry,
                                  struct i3d_error *error)
{
    struct i3d_field field;
    enum i3d_status status = I3D_OK;
    while (!status && i3d_message_next(&message, &field)) {
        switch (field.number) {
        case 1: entry->variable.type = field.value <= 1000 ? (int)field.value : 1000; break;
        case 2:
            status = i3d_tf_read_shape(i3d_message_in(&field), &entry->variable, error);
            break;
        case 3: entry->shard = field.value; break;
        case 4: entry->offset = field.value; break;
        case 5: entry->size = field.value; break;
        case 6: entry->crc = i3d_crc32c_unmask((uint32_t)field.value); break;
        case 7: status = i3d_tf_add_slice(i3d_message_in(&field), &entry->variable, error); break;
        default: break;
        }
    }
    if (!status && message.broken)
        status = i3d_fail(error, I3D_MALFORMED, "its description is damaged");
    return status;
}

static enum i3d_status put_entry(const struct i3d_table_cursor *cursor, struct bundle *bundle,
                                 struct i3d_error *error)
{
    bundle->names_length += cursor->key_length;
    if (bundle->names_length > NAMES_LIMIT)
        return i3d_fail(error, I3D_UNSUPPORTED, "the names are longer than %d bytes",
                        NAMES_LIMIT);
    if (*cursor->key && memchr(cursor->key, 0, cursor->key_length))
        return i3d_fail(error, I3D_MALFORMED, "a tensor's name holds a NUL");
    if (bundle->count == bundle->room) {
        size_t room = bundle->room ? 2 * bundle->room : 64;
        struct entry *entries = realloc(bundle->entries, room * sizeof *entries);
        if (!entries)
            return i3d_fail_memory(error);
        bundle->entries = entries;
        bundle->room = room;
    }
    struct entry *entry = &bundle->entries[bundle->count++];
    *entry = (struct entry){ .key_length = cursor->key_length };
    entry->key = malloc(cursor->key_length + 1);
    entry->variable.name = *cursor->key ? strdup((const char *)cursor->key) : strdup("");
    if (!entry->key || !entry->variable.name)
        return i3d_fail_memory(error);
    memcpy(entry->key, cursor->key, cursor->key_length + 1);
    enum i3d_status status = read_entry(i3d_message_of(cursor->value, cursor->value_length),
                                        entry, error);
    return status ? i3d_error_where(error, "tensor %s", entry->variable.name) : I3D_OK;
}

static enum i3d_status read_block(const struct i3d_table_block *block, struct bundle *bundle,
                                  struct i3d_error *error)
{
    struct i3d_table_cursor cursor = { 0 };
    enum i3d_status status = I3D_OK;
    while (!status) {
        status = i3d_table_next(block, &cursor, error);
        if (status || cursor.ended)
            break;
        const struct entry *last = bundle->count ? &bundle->entries[bundle->count - 1] : NULL;
        if (last && i3d_table_compare(last->key, last->key_length, cursor.key,
                                      cursor.key_length) >= 0)
            status = i3d_fail(error, I3D_MALFORMED, "its keys are not in order, or stand twice");
        else if (!cursor.key_length && !bundle->shards)
            status = read_header(&cursor, bundle, error);
        else if (!cursor.key_length || !bundle->shards)
            status = i3d_fail(error, I3D_MALFORMED, "the table does not start with a header");
        else
            status = put_entry(&cursor, bundle, error);
    }
    i3d_table_cursor_free(&cursor);
    return status;
}

/* The data files stand beside the index and are called as it is. */
static enum i3d_status open_shard(struct bundle *bundle, uint64_t shard, struct i3d_error *error)
{
    const char *path = i3d_file_path(bundle->index);
    size_t length = strlen(path), suffix = sizeof SUFFIX - 1;
    char *name;
    if (length <= suffix || strcmp(path + length - suffix, SUFFIX)) {
        i3d_fail(error, I3D_UNSUPPORTED, "a checkpoint's data files are found by the name of its "
                                         "index, which ends in %s", SUFFIX);
        return i3d_error_hint(error, "name the file as TensorFlow did");
    }
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    if (asprintf(&name, "%.*s.data-%05llu-of-%05llu", (int)(strlen(base) - suffix), base,
                 (unsigned long long)shard, (unsigned long long)bundle->shard_count) < 0)
        return i3d_fail_memory(error);
    enum i3d_status status =
        i3d_companions_open(bundle->companions, name, &bundle->shards[shard], error);
    free(name);
    return status;
}

/* The elements of an entry that is a variable of its own or a part of one. */
static enum i3d_status source_of(struct bundle *bundle, const struct entry *entry,
                                 const char *name, uint64_t bytes, struct i3d_source **source,
                                 struct i3d_error *error)
{
    if (entry->shard >= bundle->shard_count)
        return i3d_fail(error, I3D_MALFORMED, "it is in data file %llu of %llu",
                        (unsigned long long)entry->shard,
                        (unsigned long long)bundle->shard_count);
    if (entry->size != bytes)
        return i3d_fail(error, I3D_MALFORMED, "it has %llu bytes where its shape asks for %llu",
                        (unsigned long long)entry->size, (unsigned long long)bytes);
    enum i3d_status status =
        bundle->shards[entry->shard] ? I3D_OK : open_shard(bundle, entry->shard, error);
    if (status)
        return status;
    struct i3d_file *file = bundle->shards[entry->shard];
    if (entry->offset > i3d_file_size(file)
        || entry->size > i3d_file_size(file) - entry->offset) {
        i3d_fail(error, I3D_MALFORMED, "the data file ends ahead of its last byte");
        return i3d_error_file(error, i3d_file_path(file));
    }
    struct stored *stored = calloc(1, sizeof *stored + strlen(name) + 1);
    if (!stored)
        return i3d_fail_memory(error);
    *stored = (struct stored){ .file = i3d_file_retain(file), .offset = entry->offset,
                               .size = entry->size, .crc = entry->crc };
    strcpy(stored->name, name);
    *source = i3d_source_callback(read_stored, release_stored, stored, entry->size);
    if (*source)
        return I3D_OK;
    release_stored(stored);
    return i3d_fail_memory(error);
}

static int by_key(const void *key, const void *element)
{
    const struct entry *wanted = key, *entry = element;
    return i3d_table_compare(wanted->key, wanted->key_length, entry->key, entry->key_length);
}

static enum i3d_status source_of_slice(struct bundle *bundle,
                                       const struct i3d_tf_variable *whole,
                                       const struct i3d_tf_slice *slice,
                                       struct i3d_source **source, struct i3d_error *error)
{
    struct entry wanted = { 0 };
    uint64_t elements = 1;
    wanted.key = i3d_tf_slice_key(whole, slice, &wanted.key_length);
    if (!wanted.key)
        return i3d_fail_memory(error);
    const struct entry *entry =
        bsearch(&wanted, bundle->entries, bundle->count, sizeof wanted, by_key);
    free(wanted.key);
    for (int k = 0; k < whole->rank; k++)
        elements *= (uint64_t)(slice->length[k] < 0 ? whole->dims[k] : slice->length[k]);
    if (!entry || entry->variable.type != whole->type)
        return i3d_fail(error, I3D_MALFORMED, "one of its slices is not in the file");
    return source_of(bundle, entry, whole->name,
                     elements * i3d_dtype_size(i3d_tf_dtype(whole->type)), source, error);
}

static enum i3d_status join_slices(struct bundle *bundle, const struct i3d_tf_variable *whole,
                                   struct i3d_source **source, struct i3d_error *error)
{
    size_t made = 0;
    struct i3d_source **parts = calloc(whole->slice_count, sizeof(struct i3d_source *));
    enum i3d_status status = parts ? I3D_OK : i3d_fail_memory(error);
    while (made < whole->slice_count && !status) {
        status = source_of_slice(bundle, whole, &whole->slices[made], &parts[made], error);
        made += !status;
    }
    if (!status && !(*source = i3d_tf_join(whole, parts)))
        status = i3d_fail_memory(error);
    while (made)
        i3d_source_release(parts[--made]);
    free(parts);
    return status;
}

static enum i3d_status put_variable(struct bundle *bundle, const struct entry *entry,
                                    struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_tf_variable whole = entry->variable;
    struct i3d_source *source = NULL;
    enum i3d_status status = i3d_tf_check(&whole, error);
    if (status)
        return status;
    enum i3d_dtype dtype = i3d_tf_dtype(whole.type);
    uint64_t bytes =
        (uint64_t)i3d_element_count(whole.rank, whole.dims) * i3d_dtype_size(dtype);
    status = whole.slice_count ? join_slices(bundle, &whole, &source, error)
                               : source_of(bundle, entry, whole.name, bytes, &source, error);
    if (status)
        return status;
    i3d_tf_strip(whole.name);
    return i3d_model_put_tensor(model, whole.name, dtype, whole.rank, whole.dims, source, error);
}

static enum i3d_status put_variables(struct bundle *bundle, struct i3d_model *model,
                                     struct i3d_error *error)
{
    struct i3d_tf_variable *variables = calloc(bundle->count + 1, sizeof *variables);
    bool *passed_over = calloc(bundle->count + 1, sizeof *passed_over);
    enum i3d_status status = variables && passed_over ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; i < bundle->count && !status; i++)
        variables[i] = bundle->entries[i].variable;
    if (!status)
        status = i3d_tf_pass_over(variables, bundle->count, passed_over, error);
    for (size_t i = 0; i < bundle->count && !status; i++) {
        const struct entry *entry = &bundle->entries[i];
        if (passed_over[i] || !*entry->key) /* parts are read with the whole */
            continue;
        status = put_variable(bundle, entry, model, error);
        if (status)
            i3d_error_where(error, "tensor %s", entry->variable.name);
    }
    free(passed_over);
    free(variables);
    return status;
}

enum i3d_status i3d_tf_read_v2(struct i3d_file *file, struct i3d_table *table,
                               struct i3d_model *model, struct i3d_error *error)
{
    struct bundle bundle = { .index = file,
                             .companions = i3d_companions_new(i3d_file_path(file)) };
    enum i3d_status status = bundle.companions ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; i < i3d_table_block_count(table) && !status; i++) {
        struct i3d_table_block block;
        status = i3d_table_load(table, i, &block, error);
        if (!status)
            status = read_block(&block, &bundle, error);
        free(block.bytes);
    }
    if (!status)
        status = put_variables(&bundle, model, error);
    for (size_t i = 0; i < bundle.count; i++) {
        free(bundle.entries[i].key);
        i3d_tf_variable_free(&bundle.entries[i].variable);
    }
    i3d_companions_free(bundle.companions);
    free(bundle.entries);
    free(bundle.shards);
    return status;
}
