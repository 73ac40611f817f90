/* Sorted string tables, in which TensorFlow keeps checkpoints: the file format of LevelDB
 * (doc/table_format.md there). Blocks of entries, sorted by key, each block with a CRC-32C
 * and perhaps compressed with Snappy; an index of the blocks; a footer of 48 bytes that
 * ends in a magic number. Keys are stored without the prefix that they share with the
 * one ahead of them. */
#pragma once

#include "model/source.h"

enum { I3D_TABLE_FOOTER = 48 };

/* Whether a file that ends in these bytes is a table. */
bool i3d_table_recognise(const unsigned char *tail, size_t length);

struct i3d_table;

/* Reads the index. The table retains the file. I3D_MALFORMED, with the byte at which the
 * block stands, for blocks that are cut, torn or out of order. */
enum i3d_status i3d_table_open(struct i3d_file *file, struct i3d_table **table,
                               struct i3d_error *error);
void i3d_table_free(struct i3d_table *table);
struct i3d_file *i3d_table_file(const struct i3d_table *table);
size_t i3d_table_block_count(const struct i3d_table *table);
/* The only block that can hold the key; the count of blocks if none can. */
size_t i3d_table_find(const struct i3d_table *table, const void *key, size_t length);

/* A block's entries, in memory. */
struct i3d_table_block {
    unsigned char *bytes;
    size_t length;
    uint64_t at; /* where it stands in the file */
};
/* Reads, checks and unpacks a block; freed with free(block->bytes). */
enum i3d_status i3d_table_load(const struct i3d_table *table, size_t block,
                               struct i3d_table_block *loaded, struct i3d_error *error);

/* A walk over a block. Starts zeroed; the key is the cursor's, the value the block's. */
struct i3d_table_cursor {
    size_t next;
    unsigned char *key;
    size_t key_length, key_room;
    const unsigned char *value;
    size_t value_length;
    bool ended;
};
/* Moves to the next entry, or sets ended. */
enum i3d_status i3d_table_next(const struct i3d_table_block *block,
                               struct i3d_table_cursor *cursor, struct i3d_error *error);
void i3d_table_cursor_free(struct i3d_table_cursor *cursor);
/* As memcmp, and of two that begin alike the shorter one is first. */
int i3d_table_compare(const void *a, size_t a_length, const void *b, size_t b_length);
