#include "formats/table.h"

#include "formats/crc32c.h"
#include "formats/message.h"

#include <endian.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MAGIC = 0xdb4775248b80fb57;
/* Behind a block stand its kind and its checksum. */
enum { KIND_SIZE = 1, TRAILER = 5, PLAIN = 0, SNAPPY = 1 };
/* TensorFlow's names are far shorter; a chain of long shared prefixes is not unrolled. */
enum { LONGEST_KEY = 16384 };

struct handle {
    uint64_t offset, size;
};

/* A block, and a key that none of its own is greater than. */
struct indexed {
    struct handle handle;
    unsigned char *key;
    size_t key_length;
};

struct i3d_table {
    struct i3d_file *file;
    struct indexed *blocks;
    size_t count, room;
};

static uint32_t read_32(const unsigned char *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

bool i3d_table_recognise(const unsigned char *tail, size_t length)
{
    uint64_t magic;
    if (length < I3D_TABLE_FOOTER)
        return false;
    memcpy(&magic, tail + length - sizeof magic, sizeof magic);
    return le64toh(magic) == MAGIC;
}

int i3d_table_compare(const void *a, size_t a_length, const void *b, size_t b_length)
{
    size_t common = a_length < b_length ? a_length : b_length;
    int order = common ? memcmp(a, b, common) : 0;
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static bool take_handle(struct i3d_message *from, struct handle *handle)
{
    return i3d_message_varint(from, &handle->offset) && i3d_message_varint(from, &handle->size);
}

static enum i3d_status fail_block(uint64_t at, struct i3d_error *error, const char *what)
{
    i3d_fail(error, I3D_MALFORMED, "%s", what);
    return i3d_error_where(error, "block at byte %llu", (unsigned long long)at);
}

/* Snappy's longest copy, 64 bytes, takes 3: what says that it grows more lies. */
static bool is_absurd(size_t packed, size_t unpacked)
{
    return unpacked / 22 > packed + 64;
}

static enum i3d_status unpack(struct i3d_table_block *block, struct i3d_error *error)
{
    size_t length;
    if (snappy_uncompressed_length((const char *)block->bytes, block->length, &length)
        || is_absurd(block->length, length))
        return fail_block(block->at, error, "the block is not compressed as it is said to be");
    unsigned char *bytes = malloc(length ? length : 1);
    if (!bytes)
        return i3d_fail_memory(error);
    if (snappy_uncompress((const char *)block->bytes, block->length, (char *)bytes, &length)) {
        free(bytes);
        return fail_block(block->at, error, "the block is not compressed as it is said to be");
    }
    free(block->bytes);
    block->bytes = bytes;
    block->length = length;
    return I3D_OK;
}

/* Entries end where the list of restart points begins. */
static enum i3d_status drop_restarts(struct i3d_table_block *block, struct i3d_error *error)
{
    enum { WIDTH = sizeof(uint32_t) };
    if (block->length < WIDTH)
        return fail_block(block->at, error, "the block has no restart points");
    uint32_t count = read_32(block->bytes + block->length - WIDTH);
    if (count > (block->length - WIDTH) / WIDTH)
        return fail_block(block->at, error, "the block has fewer restart points than it says");
    block->length -= ((size_t)count + 1) * WIDTH;
    return I3D_OK;
}

static enum i3d_status load(struct i3d_file *file, const struct handle *handle,
                            struct i3d_table_block *block, struct i3d_error *error)
{
    uint64_t size = i3d_file_size(file);
    *block = (struct i3d_table_block){ .at = handle->offset };
    if (handle->offset > size || size - handle->offset < TRAILER
        || handle->size > size - handle->offset - TRAILER)
        return fail_block(handle->offset, error, "the block is not inside the file");
    block->length = (size_t)handle->size;
    block->bytes = malloc(block->length + TRAILER);
    if (!block->bytes)
        return i3d_fail_memory(error);
    enum i3d_status status =
        i3d_file_read(file, handle->offset, block->bytes, block->length + TRAILER, error);
    if (!status) {
        const unsigned char *trailer = block->bytes + block->length;
        if (i3d_crc32c(0, block->bytes, block->length + KIND_SIZE)
            != i3d_crc32c_unmask(read_32(trailer + KIND_SIZE)))
            status = fail_block(handle->offset, error, "the block's checksum does not fit");
        else if (*trailer == SNAPPY)
            status = unpack(block, error);
        else if (*trailer != PLAIN)
            status = fail_block(handle->offset, error, "the block is of an unknown kind");
    }
    if (!status)
        status = drop_restarts(block, error);
    if (status) {
        free(block->bytes);
        block->bytes = NULL;
    }
    return status;
}

enum i3d_status i3d_table_load(const struct i3d_table *table, size_t block,
                               struct i3d_table_block *loaded, struct i3d_error *error)
{
    return load(table->file, &table->blocks[block].handle, loaded, error);
}

/* Stores the key whose first bytes are the old one's; keys have to grow. */
static enum i3d_status put_key(struct i3d_table_cursor *cursor, size_t shared,
                               const unsigned char *rest, size_t length, bool *grows)
{
    unsigned char old[LONGEST_KEY];
    size_t old_length = cursor->key_length;
    bool first = !cursor->key;
    if (!first)
        memcpy(old, cursor->key, old_length);
    if (cursor->key_room < shared + length + 1) {
        unsigned char *key = realloc(cursor->key, shared + length + 1);
        if (!key)
            return I3D_SYSTEM;
        cursor->key = key;
        cursor->key_room = shared + length + 1;
    }
    memcpy(cursor->key + shared, rest, length);
    cursor->key_length = shared + length;
    cursor->key[cursor->key_length] = 0;
    *grows = first || i3d_table_compare(old, old_length, cursor->key, cursor->key_length) < 0;
    return I3D_OK;
}

enum i3d_status i3d_table_next(const struct i3d_table_block *block,
                               struct i3d_table_cursor *cursor, struct i3d_error *error)
{
    struct i3d_message rest = i3d_message_of(block->bytes + cursor->next,
                                             block->length - cursor->next);
    uint64_t shared, unshared, value;
    bool grows;
    cursor->ended = rest.at == rest.end;
    if (cursor->ended)
        return I3D_OK;
    if (!i3d_message_varint(&rest, &shared) || !i3d_message_varint(&rest, &unshared)
        || !i3d_message_varint(&rest, &value) || shared > cursor->key_length
        || unshared > (uint64_t)(rest.end - rest.at)
        || value > (uint64_t)(rest.end - rest.at) - unshared)
        return fail_block(block->at, error, "an entry is longer than the block");
    if (shared + unshared > LONGEST_KEY)
        return fail_block(block->at, error, "a key is longer than any name");
    if (put_key(cursor, (size_t)shared, rest.at, (size_t)unshared, &grows))
        return i3d_fail_memory(error);
    if (!grows)
        return fail_block(block->at, error, "its keys are not in order, or stand twice");
    cursor->value = rest.at + unshared;
    cursor->value_length = (size_t)value;
    cursor->next = (size_t)(cursor->value + value - block->bytes);
    return I3D_OK;
}

void i3d_table_cursor_free(struct i3d_table_cursor *cursor)
{
    free(cursor->key);
    *cursor = (struct i3d_table_cursor){ 0 };
}

static enum i3d_status put_indexed(struct i3d_table *table, struct i3d_table_cursor *cursor,
                                   uint64_t at, struct i3d_error *error)
{
    struct i3d_message value = i3d_message_of(cursor->value, cursor->value_length);
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 16;
        struct indexed *blocks = realloc(table->blocks, room * sizeof *blocks);
        if (!blocks)
            return i3d_fail_memory(error);
        table->blocks = blocks;
        table->room = room;
    }
    struct indexed *indexed = &table->blocks[table->count];
    *indexed = (struct indexed){ .key_length = cursor->key_length };
    if (!take_handle(&value, &indexed->handle))
        return fail_block(at, error, "the index does not say where a block stands");
    const struct handle *before = table->count ? &indexed[-1].handle : NULL;
    if (before && indexed->handle.offset < before->offset + before->size)
        return fail_block(at, error, "the index has blocks that overlap or go back");
    uint64_t size = i3d_file_size(table->file);
    if (indexed->handle.offset > size || indexed->handle.size > size - indexed->handle.offset)
        return fail_block(indexed->handle.offset, error, "the block is not inside the file");
    indexed->key = malloc(cursor->key_length + 1);
    if (!indexed->key)
        return i3d_fail_memory(error);
    memcpy(indexed->key, cursor->key, cursor->key_length);
    table->count++;
    return I3D_OK;
}

static enum i3d_status read_index(struct i3d_table *table, struct i3d_error *error)
{
    unsigned char footer[I3D_TABLE_FOOTER];
    uint64_t size = i3d_file_size(table->file);
    if (size < sizeof footer)
        return i3d_fail(error, I3D_MALFORMED, "the file is shorter than a table's footer");
    enum i3d_status status =
        i3d_file_read(table->file, size - sizeof footer, footer, sizeof footer, error);
    if (status)
        return status;
    struct handle meta, index;
    struct i3d_message handles = i3d_message_of(footer, sizeof footer - sizeof MAGIC);
    if (!i3d_table_recognise(footer, sizeof footer) || !take_handle(&handles, &meta)
        || !take_handle(&handles, &index))
        return i3d_fail(error, I3D_MALFORMED, "the table's footer is damaged");
    struct i3d_table_block block;
    struct i3d_table_cursor cursor = { 0 };
    status = load(table->file, &meta, &block, error); /* says nothing, but has to be whole */
    if (status)
        return status;
    free(block.bytes);
    status = load(table->file, &index, &block, error);
    while (!status) {
        status = i3d_table_next(&block, &cursor, error);
        if (status || cursor.ended)
            break;
        status = put_indexed(table, &cursor, block.at, error);
    }
    i3d_table_cursor_free(&cursor);
    free(block.bytes);
    return status;
}

enum i3d_status i3d_table_open(struct i3d_file *file, struct i3d_table **opened,
                               struct i3d_error *error)
{
    struct i3d_table *table = calloc(1, sizeof *table);
    *opened = NULL;
    if (!table)
        return i3d_fail_memory(error);
    table->file = i3d_file_retain(file);
    enum i3d_status status = read_index(table, error);
    if (status)
        i3d_table_free(table);
    else
        *opened = table;
    return status;
}

void i3d_table_free(struct i3d_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->blocks[i].key);
    free(table->blocks);
    i3d_file_release(table->file);
    free(table);
}

struct i3d_file *i3d_table_file(const struct i3d_table *table)
{
    return table->file;
}

size_t i3d_table_block_count(const struct i3d_table *table)
{
    return table->count;
}

size_t i3d_table_find(const struct i3d_table *table, const void *key, size_t length)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct indexed *indexed = &table->blocks[middle];
        if (i3d_table_compare(indexed->key, indexed->key_length, key, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
