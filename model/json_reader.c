#include "model/json_reader.h"
#include "model/base64.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is read here nests eight deep; jansson alone would let 2048 levels pass. */
enum { MAX_DEPTH = 32 };

size_t i3d_json_enter(struct i3d_json_reader *reader, const char *format, ...)
{
    size_t before = reader->path_length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(reader->path + before, sizeof reader->path - before, format, arguments);
    va_end(arguments);
    if (length > 0)
        reader->path_length += (size_t)length;
    if (reader->path_length >= sizeof reader->path)
        reader->path_length = sizeof reader->path - 1;
    return before;
}

void i3d_json_leave(struct i3d_json_reader *reader, size_t before)
{
    reader->path_length = before;
    reader->path[before] = 0;
}

static const char *what_of(const struct i3d_json_reader *reader)
{
    return reader->what ? reader->what : "graph JSON";
}

void i3d_json_refuse(struct i3d_json_reader *reader, const char *key, const char *what)
{
    if (reader->status)
        return;
    const char *path = reader->path + (reader->path[0] == '.');
    reader->status = i3d_fail(reader->error, I3D_MALFORMED, "%s", what);
    i3d_error_where(reader->error, "%s%s%s%s%s", what_of(reader), *path || *key ? ", " : "", path,
                    *path && *key ? "." : "", key);
}

void *i3d_json_allocate(struct i3d_json_reader *reader, size_t count, size_t size)
{
    void *memory = reader->status ? NULL : i3d_arena_alloc(reader->arena, count, size);
    if (!memory && !reader->status)
        reader->status = i3d_fail_memory(reader->error);
    return memory;
}

json_t *i3d_json_array_at(struct i3d_json_reader *reader, json_t *object, const char *key,
                          size_t *count)
{
    json_t *array = json_object_get(object, key);
    *count = 0;
    if (reader->status || !array)
        return NULL;
    if (!json_is_array(array)) {
        i3d_json_refuse(reader, key, "a list was expected");
        return NULL;
    }
    *count = json_array_size(array);
    return array;
}

json_t *i3d_json_object_in(struct i3d_json_reader *reader, json_t *array, size_t k)
{
    json_t *object = json_array_get(array, k);
    if (!json_is_object(object))
        i3d_json_refuse(reader, "", "an object was expected");
    return object;
}

int64_t i3d_json_integer_of(struct i3d_json_reader *reader, json_t *value, const char *key,
                            int64_t low, int64_t high)
{
    if (reader->status)
        return low;
    if (!json_is_integer(value)) {
        i3d_json_refuse(reader, key, "an integer was expected");
        return low;
    }
    int64_t number = json_integer_value(value);
    if (number < low || number > high)
        i3d_json_refuse(reader, key, "the number is out of range");
    return number;
}

int64_t i3d_json_integer_at(struct i3d_json_reader *reader, json_t *object, const char *key,
                            int64_t low, int64_t high, int64_t fallback)
{
    json_t *value = json_object_get(object, key);
    return value ? i3d_json_integer_of(reader, value, key, low, high) : fallback;
}

struct i3d_bytes i3d_json_base64_of(struct i3d_json_reader *reader, json_t *value, const char *key)
{
    struct i3d_bytes bytes = { .length = 0 };
    if (reader->status)
        return bytes;
    if (!json_is_string(value)) {
        i3d_json_refuse(reader, key, "base64 was expected");
        return bytes;
    }
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    size_t size = i3d_base64_size(text, length);
    char *decoded = i3d_json_allocate(reader, size + 1, 1);
    if (!decoded)
        return bytes;
    if (!i3d_base64_decode(text, length, decoded)) {
        i3d_json_refuse(reader, key, "this is no base64");
        return bytes;
    }
    bytes.length = size;
    bytes.data = size ? decoded : NULL;
    return bytes;
}

struct i3d_bytes i3d_json_base64_at(struct i3d_json_reader *reader, json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? i3d_json_base64_of(reader, value, key) : (struct i3d_bytes){ .length = 0 };
}

struct i3d_bytes i3d_json_bytes_of(struct i3d_json_reader *reader, json_t *value, const char *key)
{
    struct i3d_bytes bytes = { .length = 0 };
    json_t *encoded = json_object_get(value, "base64");
    if (reader->status)
        return bytes;
    if (encoded)
        return i3d_json_base64_of(reader, encoded, key);
    if (!json_is_string(value)) {
        i3d_json_refuse(reader, key, "a text was expected");
        return bytes;
    }
    size_t length = json_string_length(value);
    char *copy = length ? i3d_json_allocate(reader, length, 1) : NULL;
    if (copy) {
        bytes.length = length;
        bytes.data = memcpy(copy, json_string_value(value), length);
    }
    return bytes;
}

const char *i3d_json_text_of(struct i3d_json_reader *reader, json_t *value, const char *key)
{
    struct i3d_bytes bytes = i3d_json_bytes_of(reader, value, key);
    if (bytes.length && memchr(bytes.data, 0, bytes.length))
        i3d_json_refuse(reader, key, "it holds a NUL byte");
    char *text = i3d_json_allocate(reader, bytes.length + 1, 1);
    if (text && bytes.length)
        memcpy(text, bytes.data, bytes.length);
    return text ? text : "";
}

const char *i3d_json_text_at(struct i3d_json_reader *reader, json_t *object, const char *key,
                             const char *fallback)
{
    json_t *value = json_object_get(object, key);
    return value ? i3d_json_text_of(reader, value, key) : fallback;
}

const char *i3d_json_needed_text(struct i3d_json_reader *reader, json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        i3d_json_refuse(reader, key, "it is missing");
    return i3d_json_text_at(reader, object, key, "");
}

float i3d_json_float_of(struct i3d_json_reader *reader, json_t *value, const char *key)
{
    float number = 0;
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        uint32_t bits = 0x7f800000;
        if (!strcmp(text, "-inf")) {
            bits |= 0x80000000;
        } else if (strcmp(text, "inf")) {
            bool is_nan = strlen(text) == 12 && !strncmp(text, "nan:", 4)
                && strspn(text + 4, "0123456789abcdef") == 8;
            bits = is_nan ? (uint32_t)strtoul(text + 4, NULL, 16) : 0;
            if ((bits & 0x7fffffff) <= 0x7f800000)
                i3d_json_refuse(reader, key, "a number was expected");
        }
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    double wide = json_number_value(value);
    if (!json_is_number(value) || !(fabs(wide) < 0x1.ffffffp127)) {
        i3d_json_refuse(reader, key, "a float32 number was expected");
        return 0;
    }
    return (float)wide;
}

static bool is_too_deep(const char *json, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t k = 0; k < length; k++) {
        if (in_string && json[k] == '\\')
            k++;
        else if (json[k] == '"')
            in_string = !in_string;
        else if (!in_string && (json[k] == '{' || json[k] == '['))
            depth++;
        else if (!in_string && (json[k] == '}' || json[k] == ']'))
            depth--;
        if (depth > MAX_DEPTH)
            return true;
    }
    return false;
}

json_t *i3d_json_parse(struct i3d_json_reader *reader, const char *json, size_t length)
{
    if (is_too_deep(json, length)) {
        i3d_json_refuse(reader, "", "it is nested too deeply");
        return NULL;
    }
    json_error_t problem;
    json_t *root = json_loadb(json, length, JSON_REJECT_DUPLICATES, &problem);
    if (!root) {
        bool is_memory = json_error_code(&problem) == json_error_out_of_memory;
        reader->status = is_memory
            ? i3d_fail_memory(reader->error)
            : i3d_fail(reader->error, I3D_MALFORMED, "%s", problem.text);
        i3d_error_where(reader->error, "%s, byte %d", what_of(reader), problem.position);
        return NULL;
    }
    if (!json_is_object(root))
        i3d_json_refuse(reader, "", "an object was expected");
    return root;
}
