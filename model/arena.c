#include "model/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 64 * 1024 };

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

struct i3d_arena {
    struct block *blocks; /* the first one is filled; the others are full */
};

struct i3d_arena *i3d_arena_new(void)
{
    return calloc(1, sizeof(struct i3d_arena));
}

void i3d_arena_free(struct i3d_arena *arena)
{
    if (!arena)
        return;
    for (struct block *block = arena->blocks; block;) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    free(arena);
}

static struct block *new_block(size_t size)
{
    struct block *block = malloc(sizeof *block + size);
    if (block)
        *block = (struct block){ .size = size };
    return block;
}

void *i3d_arena_alloc(struct i3d_arena *arena, size_t count, size_t size)
{
    const size_t alignment = _Alignof(max_align_t);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + alignment - 1) & ~(alignment - 1);

    struct block *block = arena->blocks;
    if (!block || block->size - block->used < bytes) {
        struct block *fresh = new_block(bytes > BLOCK_SIZE / 4 ? bytes : BLOCK_SIZE);
        if (!fresh)
            return NULL;
        /* A large piece gets a block of its own behind the one being filled. */
        if (block && bytes > BLOCK_SIZE / 4) {
            fresh->next = block->next;
            block->next = fresh;
        } else {
            fresh->next = block;
            arena->blocks = fresh;
        }
        block = fresh;
    }
    void *memory = block->bytes + block->used;
    block->used += bytes;
    return memset(memory, 0, bytes);
}

char *i3d_arena_copy(struct i3d_arena *arena, const void *bytes, size_t length)
{
    char *copy = length < SIZE_MAX ? i3d_arena_alloc(arena, length + 1, 1) : NULL;
    if (copy && length)
        memcpy(copy, bytes, length);
    return copy;
}

char *i3d_arena_string(struct i3d_arena *arena, const char *string)
{
    return i3d_arena_copy(arena, string, strlen(string));
}

char *i3d_arena_printf(struct i3d_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    char *text = i3d_arena_alloc(arena, (size_t)length + 1, 1);
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}
