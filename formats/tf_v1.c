/* TensorFlow's V1 checkpoints: one table. The empty key holds what is there, a
 * SavedTensorSlices with meta; each part of a variable stands under its own key as
 * a SavedTensorSlices with data, the elements in a TensorProto's lists of numbers.
 * (TensorFlow, core/util/saved_tensor_slice.proto, core/framework/tensor.proto)
 *
 * A block is unpacked when a tensor in it is asked for. One is kept, with the place of the
 * walk in it, so that small tensors one after the other are found by going on. */
#include "formats/tf_checkpoint.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

struct checkpoint {
    size_t references;
    struct i3d_table *table;
    size_t loaded; /* the block in memory, or the count of blocks */
    struct i3d_table_block block;
    struct i3d_table_cursor cursor;
};

/* A part of a variable. values: its elements while it is being read. */
struct part {
    struct checkpoint *checkpoint;
    unsigned char *key;
    size_t key_length;
    int type;
    uint64_t elements;
    char *values;
    char name[];
};

static void release_checkpoint(struct checkpoint *checkpoint)
{
    if (--checkpoint->references)
        return;
    free(checkpoint->block.bytes);
    i3d_table_cursor_free(&checkpoint->cursor);
    i3d_table_free(checkpoint->table);
    free(checkpoint);
}

static enum i3d_status load_block(struct checkpoint *checkpoint, size_t block,
                                  struct i3d_error *error)
{
    if (checkpoint->loaded == block)
        return I3D_OK;
    free(checkpoint->block.bytes);
    checkpoint->block.bytes = NULL;
    checkpoint->loaded = i3d_table_block_count(checkpoint->table);
    i3d_table_cursor_free(&checkpoint->cursor);
    enum i3d_status status =
        i3d_table_load(checkpoint->table, block, &checkpoint->block, error);
    if (!status)
        checkpoint->loaded = block;
    return status;
}

/* Moves the cursor to the key. */
static enum i3d_status seek(struct checkpoint *checkpoint, const void *key, size_t length,
                            bool *found, struct i3d_error *error)
{
    struct i3d_table_cursor *cursor = &checkpoint->cursor;
    size_t block = i3d_table_find(checkpoint->table, key, length);
    *found = false;
    if (block == i3d_table_block_count(checkpoint->table))
        return I3D_OK;
    enum i3d_status status = load_block(checkpoint, block, error);
    bool back = cursor->key
        && (cursor->ended
            || i3d_table_compare(cursor->key, cursor->key_length, key, length) > 0);
    if (back)
        i3d_table_cursor_free(cursor);
    while (!status) {
        if (cursor->key && !cursor->ended) {
            int order = i3d_table_compare(cursor->key, cursor->key_length, key, length);
            *found = !order;
            if (order >= 0)
                break;
        }
        status = i3d_table_next(&checkpoint->block, cursor, error);
        if (cursor->ended)
            break;
    }
    return status;
}

/* How the elements of a type are listed: the field, and bytes per number (0: varints). */
struct listing {
    int type;
    uint32_t field;
    size_t fixed;
};

static const struct listing listings[] = {
    { 1, 5, 4 },  { 2, 6, 8 },  { 3, 7, 0 },   { 4, 7, 0 },   { 5, 7, 0 },   { 6, 7, 0 },
    { 9, 10, 0 }, { 10, 11, 0 }, { 14, 13, 0 }, { 17, 7, 0 }, { 19, 13, 0 }, { 22, 16, 0 },
    { 23, 17, 0 },
};

struct values {
    char *bytes;
    uint64_t room, used;
    size_t width;
};

static bool put_value(struct values *values, uint64_t value)
{
    if (values->used == values->room)
        return false;
    value = htole64(value); /* little-endian: the low bytes are the number */
    memcpy(values->bytes + values->used, &value, values->width);
    values->used += values->width;
    return true;
}

static bool put_packed(struct values *values, const struct i3d_field *field, size_t fixed)
{
    struct i3d_message numbers = i3d_message_in(field);
    if (fixed) {
        if (field->length > values->room - values->used || field->length % fixed)
            return false;
        memcpy(values->bytes + values->used, field->bytes, field->length);
        values->used += field->length;
        return true;
    }
    uint64_t value;
    while (numbers.at < numbers.end)
        if (!i3d_message_varint(&numbers, &value) || !put_value(values, value))
            return false;
    return true;
}

/* The numbers of a TensorProto; false if they are not as many as the shape asks for. */
static bool read_values(struct i3d_message tensor, int type, struct values *values)
{
    enum { CONTENT = 4 };
    const struct listing *listing = listings;
    struct i3d_field field;
    while (listing->type != type)
        listing++;
    while (i3d_message_next(&tensor, &field)) {
        bool good = true;
        if (field.number == CONTENT && field.type == I3D_FIELD_BYTES && field.length)
            good = put_packed(values, &field, values->width);
        else if (field.number == listing->field && field.type == I3D_FIELD_BYTES)
            good = put_packed(values, &field, listing->fixed);
        else if (field.number == listing->field)
            good = put_value(values, field.value);
        if (!good)
            return false;
    }
    return !tensor.broken && values->used == values->room;
}

/* The TensorProto in a SavedTensorSlices' data. */
static struct i3d_message find_tensor(const unsigned char *bytes, size_t length)
{
    enum { DATA = 2, TENSOR = 3 };
    struct i3d_message saved = i3d_message_of(bytes, length), tensor = { .broken = true };
    struct i3d_field field, part;
    while (i3d_message_next(&saved, &field)) {
        if (field.number != DATA)
            continue;
        struct i3d_message data = i3d_message_in(&field);
        while (i3d_message_next(&data, &part))
            if (part.number == TENSOR)
                tensor = i3d_message_in(&part);
        if (data.broken)
            break;
    }
    return tensor;
}

static enum i3d_status load_values(struct part *part, char *bytes, struct i3d_error *error)
{
    struct checkpoint *checkpoint = part->checkpoint;
    size_t width = i3d_dtype_size(i3d_tf_dtype(part->type));
    struct values values = { bytes, part->elements * width, 0, width };
    bool found;
    enum i3d_status status = seek(checkpoint, part->key, part->key_length, &found, error);
    if (!status && !found)
        status = i3d_fail(error, I3D_MALFORMED, "its elements are not in the file");
    if (!status
        && !read_values(find_tensor(checkpoint->cursor.value, checkpoint->cursor.value_length),
                        part->type, &values))
        status = i3d_fail(error, I3D_MALFORMED, "its elements are damaged, or not as many as its "
                                                "shape asks for");
    return status ? i3d_error_where(error, "tensor %s", part->name) : I3D_OK;
}

static enum i3d_status read_part(void *context, uint64_t offset, void *bytes, size_t length,
                                 struct i3d_error *error)
{
    struct part *part = context;
    uint64_t size = part->elements * i3d_dtype_size(i3d_tf_dtype(part->type));
    if (!offset && length == size)
        return load_values(part, bytes, error);
    if (!part->values) {
        part->values = malloc(size);
        enum i3d_status status = part->values ? load_values(part, part->values, error)
                                              : i3d_fail_memory(error);
        if (status) {
            free(part->values);
            part->values = NULL;
            return status;
        }
    }
    memcpy(bytes, part->values + offset, length);
    /* At the end of a walk over the tensor nobody needs them any more. */
    if (offset + length == size) {
        free(part->values);
        part->values = NULL;
    }
    return I3D_OK;
}

static void release_part(void *context)
{
    struct part *part = context;
    release_checkpoint(part->checkpoint);
    free(part->values);
    free(part->key);
    free(part);
}

static struct i3d_source *source_of(struct checkpoint *checkpoint,
                                    const struct i3d_tf_variable *whole,
                                    const struct i3d_tf_slice *slice)
{
    struct part *part = calloc(1, sizeof *part + strlen(whole->name) + 1);
    if (!part)
        return NULL;
    part->checkpoint = checkpoint;
    checkpoint->references++;
    part->type = whole->type;
    part->elements = 1;
    for (int k = 0; k < whole->rank; k++)
        part->elements *= (uint64_t)(slice->length[k] < 0 ? whole->dims[k] : slice->length[k]);
    strcpy(part->name, whole->name);
    part->key = i3d_tf_slice_key(whole, slice, &part->key_length);
    struct i3d_source *source = part->key
        ? i3d_source_callback(read_part, release_part, part,
                              part->elements * i3d_dtype_size(i3d_tf_dtype(whole->type)))
        : NULL;
    if (!source)
        release_part(part);
    return source;
}

/* A byte of the file gives at most 22 of a block, and one of those a number. */
static bool is_absurd(const struct checkpoint *checkpoint,
                      const struct i3d_tf_variable *variable)
{
    uint64_t size = i3d_file_size(i3d_table_file(checkpoint->table));
    return (uint64_t)i3d_element_count(variable->rank, variable->dims) / 22 > size;
}

static enum i3d_status put_variable(struct checkpoint *checkpoint,
                                    struct i3d_tf_variable *variable, struct i3d_model *model,
                                    struct i3d_error *error)
{
    enum i3d_status status = variable->slice_count
        ? i3d_tf_check(variable, error)
        : i3d_fail(error, I3D_MALFORMED, "the file does not say where its elements are");
    if (!status && is_absurd(checkpoint, variable))
        status = i3d_fail(error, I3D_MALFORMED, "its shape asks for more than the file can hold");
    if (status)
        return status;
    size_t made = 0;
    struct i3d_source *source = NULL, **parts = calloc(variable->slice_count, sizeof source);
    while (parts && made < variable->slice_count
           && (parts[made] = source_of(checkpoint, variable, &variable->slices[made])))
        made++;
    if (parts && made == variable->slice_count)
        source = made == 1 ? i3d_source_retain(parts[0]) : i3d_tf_join(variable, parts);
    while (made)
        i3d_source_release(parts[--made]);
    free(parts);
    i3d_tf_strip(variable->name);
    return i3d_model_put_tensor(model, variable->name, i3d_tf_dtype(variable->type),
                                variable->rank, variable->dims, source, error);
}

static enum i3d_status read_variable(struct i3d_message meta, struct i3d_tf_variable *variable,
                                     struct i3d_error *error)
{
    struct i3d_field field;
    enum i3d_status status = I3D_OK;
    while (!status && i3d_message_next(&meta, &field)) {
        if (field.number == 1 && field.type == I3D_FIELD_BYTES && !variable->name) {
            if (memchr(field.bytes, 0, field.length))
                return i3d_fail(error, I3D_MALFORMED, "a tensor's name holds a NUL");
            variable->name = strndup((const char *)field.bytes, field.length);
            if (!variable->name)
                return i3d_fail_memory(error);
        } else if (field.number == 2) {
            status = i3d_tf_read_shape(i3d_message_in(&field), variable, error);
        } else if (field.number == 3) {
            variable->type = field.value <= 1000 ? (int)field.value : 1000;
        } else if (field.number == 4) {
            status = i3d_tf_add_slice(i3d_message_in(&field), variable, error);
        }
    }
    if (!status && (meta.broken || !variable->name))
        status = i3d_fail(error, I3D_MALFORMED, "the description of a tensor is damaged");
    if (status && variable->name)
        i3d_error_where(error, "tensor %s", variable->name);
    return status;
}

/* The variables that the SavedTensorSliceMeta lists. */
static enum i3d_status read_meta(struct i3d_message meta, struct i3d_tf_variable **variables,
                                 size_t *count, struct i3d_error *error)
{
    struct i3d_field field;
    size_t room = 0;
    while (i3d_message_next(&meta, &field)) {
        if (field.number != 1)
            continue;
        if (*count == room) {
            room = room ? 2 * room : 64;
            struct i3d_tf_variable *more = realloc(*variables, room * sizeof *more);
            if (!more)
                return i3d_fail_memory(error);
            *variables = more;
        }
        struct i3d_tf_variable *variable = &(*variables)[(*count)++];
        *variable = (struct i3d_tf_variable){ 0 };
        enum i3d_status status = read_variable(i3d_message_in(&field), variable, error);
        if (status)
            return status;
    }
    return meta.broken ? i3d_fail(error, I3D_MALFORMED, "the list of tensors is damaged") : I3D_OK;
}

static enum i3d_status list_variables(struct checkpoint *checkpoint,
                                      struct i3d_tf_variable **variables, size_t *count,
                                      struct i3d_error *error)
{
    bool found;
    enum i3d_status status = seek(checkpoint, "", 0, &found, error);
    if (status)
        return status;
    struct i3d_message saved = { .broken = true };
    struct i3d_field field;
    if (found)
        saved = i3d_message_of(checkpoint->cursor.value, checkpoint->cursor.value_length);
    while (!status && i3d_message_next(&saved, &field))
        if (field.number == 1)
            status = read_meta(i3d_message_in(&field), variables, count, error);
    if (!status && saved.broken)
        status = i3d_fail(error, I3D_MALFORMED, "the table is no checkpoint, or is damaged");
    return status;
}

enum i3d_status i3d_tf_read_v1(struct i3d_table *table, struct i3d_model *model,
                               struct i3d_error *error)
{
    struct checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint) {
        i3d_table_free(table);
        return i3d_fail_memory(error);
    }
    *checkpoint = (struct checkpoint){ 1, table, i3d_table_block_count(table), { 0 }, { 0 } };
    struct i3d_tf_variable *variables = NULL;
    size_t count = 0;
    enum i3d_status status = list_variables(checkpoint, &variables, &count, error);
    bool *passed_over = calloc(count + 1, sizeof *passed_over);
    if (!status)
        status = passed_over ? i3d_tf_pass_over(variables, count, passed_over, error)
                             : i3d_fail_memory(error);
    for (size_t i = 0; i < count && !status; i++) {
        if (passed_over[i])
            continue;
        status = put_variable(checkpoint, &variables[i], model, error);
        if (status)
            i3d_error_where(error, "tensor %s", variables[i].name);
    }
    for (size_t i = 0; i < count; i++)
        i3d_tf_variable_free(&variables[i]);
    free(variables);
    free(passed_over);
    release_checkpoint(checkpoint);
    return status;
}
