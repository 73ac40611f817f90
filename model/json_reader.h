/* Reading jansson's trees that come from outside: every access checks types and
 * ranges, and an error tells the path of what was wrong. Not installed. */
#pragma once

#include "model/model.h"

#include <jansson.h>

/* After the first failure every function does nothing and returns nothing, so
 * that only loops have to look at status. */
struct i3d_json_reader {
    const char *what; /* the JSON is, in errors; null: "graph JSON" */
    struct i3d_arena *arena; /* texts, bytes and lists are copied here */
    struct i3d_error *error;
    enum i3d_status status;
    char path[200]; /* of what is being read: "nodes[3].attributes[0]" */
    size_t path_length;
};

/* An object, to be released with json_decref, or null. The text is refused if it nests more
 * than 32 deep. */
json_t *i3d_json_parse(struct i3d_json_reader *reader, const char *json, size_t length);

/* Goes one step down the path; leave takes back to what enter returned. */
size_t i3d_json_enter(struct i3d_json_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void i3d_json_leave(struct i3d_json_reader *reader, size_t before);

/* Fails at key of the path, or at the path itself if key is "". */
void i3d_json_refuse(struct i3d_json_reader *reader, const char *key, const char *what);

/* Zeroed memory in the arena, or null and a failure. */
void *i3d_json_allocate(struct i3d_json_reader *reader, size_t count, size_t size);

/* In the following, _at looks key up in object and takes a missing one for the
 * fallback (or nothing), _of takes the value itself and uses key for the error. */

json_t *i3d_json_array_at(struct i3d_json_reader *reader, json_t *object, const char *key,
                          size_t *count);
json_t *i3d_json_object_in(struct i3d_json_reader *reader, json_t *array, size_t k);

int64_t i3d_json_integer_of(struct i3d_json_reader *reader, json_t *value, const char *key,
                            int64_t low, int64_t high);
int64_t i3d_json_integer_at(struct i3d_json_reader *reader, json_t *object, const char *key,
                            int64_t low, int64_t high, int64_t fallback);
/* A number, "inf", "-inf" or "nan:" and eight hexadecimal digits. */
float i3d_json_float_of(struct i3d_json_reader *reader, json_t *value, const char *key);

/* A string in base64. */
struct i3d_bytes i3d_json_base64_of(struct i3d_json_reader *reader, json_t *value,
                                    const char *key);
struct i3d_bytes i3d_json_base64_at(struct i3d_json_reader *reader, json_t *object,
                                    const char *key);
/* A string, or {"base64": …}. */
struct i3d_bytes i3d_json_bytes_of(struct i3d_json_reader *reader, json_t *value,
                                   const char *key);
/* The same without a NUL inside; never null but for the fallback. */
const char *i3d_json_text_of(struct i3d_json_reader *reader, json_t *value, const char *key);
const char *i3d_json_text_at(struct i3d_json_reader *reader, json_t *object, const char *key,
                             const char *fallback);
/* The same where the key has to be there. */
const char *i3d_json_needed_text(struct i3d_json_reader *reader, json_t *object,
                                 const char *key);
