/* Python's pickles, read without running anything: a stack machine of the opcodes that
 * tensors in containers need, up to protocol 5. What a pickle calls is not called but
 * noted, and must stand in the caller's table.
 * (CPython, Lib/pickletools.py; PEP 307, PEP 3154) */
#pragma once

#include "model/arena.h"
#include "model/source.h"

enum i3d_pickle_kind {
    I3D_PICKLE_NONE,
    I3D_PICKLE_BOOL,
    I3D_PICKLE_INT,
    I3D_PICKLE_FLOAT,
    I3D_PICKLE_TEXT,
    I3D_PICKLE_BYTES,
    I3D_PICKLE_TUPLE,
    I3D_PICKLE_LIST, /* also sets */
    I3D_PICKLE_DICT, /* also OrderedDict */
    I3D_PICKLE_GLOBAL,
    I3D_PICKLE_CALL,
    I3D_PICKLE_PERSISTENT,
};

/* Containers may hold themselves: whoever walks them counts the steps down. */
struct i3d_pickle_value {
    enum i3d_pickle_kind kind;
    int global;       /* GLOBAL, CALL: its position in the table */
    uint64_t at;      /* of the opcode that made it, in the bytes that were read */
    int64_t integer;  /* BOOL, INT */
    const char *text; /* TEXT, BYTES: length bytes and a NUL */
    size_t length;
    struct i3d_pickle_value **items; /* of a DICT: key, value, key, value, … */
    size_t count, room;
    struct i3d_pickle_value *argument; /* CALL: the tuple; PERSISTENT: the identifier */
};

/* A name that a pickle may look up, and what it means to the caller; the table ends with
 * a null module. */
struct i3d_pickle_global {
    const char *module, *name;
    int meaning, detail;
};

struct i3d_pickle {
    struct i3d_pickle_value *root;
    struct i3d_pickle_value **persistent; /* every PERSISTENT value, in order */
    size_t persistent_count, persistent_room;
    uint64_t end; /* position behind it */
};

/* Reads the pickle that starts at byte `start` of source. All values lie in arena.
 * I3D_MALFORMED with the byte's position for what is no pickle, I3D_UNSUPPORTED for
 * opcodes and globals that are not taken. */
enum i3d_status i3d_pickle_read(struct i3d_source *source, uint64_t start,
                                const struct i3d_pickle_global *globals,
                                struct i3d_arena *arena, struct i3d_pickle *pickle,
                                struct i3d_error *error);

/* The value of a text key in a DICT, or null; the last one where it stands twice. */
struct i3d_pickle_value *i3d_pickle_find(const struct i3d_pickle_value *dict, const char *key);
