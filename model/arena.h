/* One arena per model for everything small: names, nodes, shapes. Freed whole. */
#pragma once

#include <stddef.h>

struct i3d_arena;

/* Null when memory is short. */
struct i3d_arena *i3d_arena_new(void);
void i3d_arena_free(struct i3d_arena *arena);

/* count × size zeroed bytes aligned for any type; null when memory is short or
 * the product overflows. Zero bytes give a valid, unusable pointer. */
void *i3d_arena_alloc(struct i3d_arena *arena, size_t count, size_t size);

/* Copies length bytes and puts a NUL behind them. */
char *i3d_arena_copy(struct i3d_arena *arena, const void *bytes, size_t length);
char *i3d_arena_string(struct i3d_arena *arena, const char *string);
char *i3d_arena_printf(struct i3d_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
