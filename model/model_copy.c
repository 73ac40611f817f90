#include "model/model.h"

#include <string.h>

/* Everything is copied into the new model's arena. The first allocation that
 * fails sets `failed`; the rest runs on harmlessly and the caller looks once. */
struct copier {
    struct i3d_arena *arena;
    bool failed;
};

static void *duplicate(struct copier *copier, const void *from, size_t count, size_t size)
{
    void *copy = i3d_arena_alloc(copier->arena, count, size);
    if (!copy)
        copier->failed = true;
    else if (count)
        memcpy(copy, from, count * size);
    return copy;
}

static const char *string(struct copier *copier, const char *from)
{
    if (!from)
        return NULL;
    return duplicate(copier, from, strlen(from) + 1, 1);
}

static struct i3d_bytes bytes(struct copier *copier, struct i3d_bytes from)
{
    if (from.length)
        from.data = duplicate(copier, from.data, from.length, 1);
    return from;
}

static const char **strings(struct copier *copier, const char **from, size_t count)
{
    const char **copy = i3d_arena_alloc(copier->arena, count, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = string(copier, from[i]);
    copier->failed |= !copy;
    return copy;
}

static void copy_tensor(struct copier *copier, const struct i3d_tensor *from,
                        struct i3d_tensor *to)
{
    *to = *from;
    to->name = string(copier, from->name);
    to->doc = string(copier, from->doc);
    to->source = i3d_source_retain(from->source);
}

static void copy_attribute(struct copier *copier, const struct i3d_attribute *from,
                           struct i3d_attribute *to)
{
    *to = *from;
    to->name = string(copier, from->name);
    to->s = bytes(copier, from->s);
    to->raw = bytes(copier, from->raw);
    to->tensor = NULL;
    if (from->tensor) {
        struct i3d_tensor *tensor = i3d_arena_alloc(copier->arena, 1, sizeof *tensor);
        copier->failed |= !tensor;
        if (tensor)
            copy_tensor(copier, from->tensor, tensor);
        to->tensor = tensor;
    }
    if (from->floats)
        to->floats = duplicate(copier, from->floats, from->count, sizeof *from->floats);
    if (from->ints)
        to->ints = duplicate(copier, from->ints, from->count, sizeof *from->ints);
    if (from->strings) {
        struct i3d_bytes *copies = i3d_arena_alloc(copier->arena, from->count, sizeof *copies);
        copier->failed |= !copies;
        for (size_t i = 0; copies && i < from->count; i++)
            copies[i] = bytes(copier, from->strings[i]);
        to->strings = copies;
    }
}

static void copy_node(struct copier *copier, const struct i3d_node *from, struct i3d_node *to)
{
    *to = *from;
    to->name = string(copier, from->name);
    to->op_type = string(copier, from->op_type);
    to->domain = string(copier, from->domain);
    to->doc = string(copier, from->doc);
    to->inputs = strings(copier, from->inputs, from->input_count);
    to->outputs = strings(copier, from->outputs, from->output_count);
    to->unknown = bytes(copier, from->unknown);
    to->attributes = i3d_arena_alloc(copier->arena, from->attribute_count, sizeof *to->attributes);
    to->attribute_count = 0;
    copier->failed |= !to->attributes;
    for (size_t i = 0; to->attributes && i < from->attribute_count; i++)
        copy_attribute(copier, &from->attributes[i], &to->attributes[to->attribute_count++]);
}

struct i3d_node *i3d_model_copy_node(struct i3d_model *to, const struct i3d_node *from)
{
    struct copier copier = { .arena = to->arena };
    struct i3d_node *node = i3d_model_add_node(to);
    if (node)
        copy_node(&copier, from, node);
    return copier.failed ? NULL : node;
}

struct i3d_tensor *i3d_model_copy_tensor(struct i3d_model *to, const struct i3d_tensor *from)
{
    struct copier copier = { .arena = to->arena };
    struct i3d_tensor *tensor = i3d_model_add_tensor(to);
    if (tensor)
        copy_tensor(&copier, from, tensor);
    return copier.failed ? NULL : tensor;
}

static void copy_value(struct copier *copier, const struct i3d_value *from, struct i3d_value *to)
{
    *to = *from;
    to->name = string(copier, from->name);
    to->doc = string(copier, from->doc);
    to->unknown = bytes(copier, from->unknown);
    for (int k = 0; k < from->rank; k++)
        to->dims[k].name = string(copier, from->dims[k].name);
}

static void copy_values(struct copier *copier, struct i3d_model *to, const struct i3d_value *from,
                        size_t count, struct i3d_value *(*add)(struct i3d_model *model))
{
    for (size_t i = 0; i < count; i++) {
        struct i3d_value *value = add(to);
        if (!value) {
            copier->failed = true;
            return;
        }
        copy_value(copier, &from[i], value);
    }
}

static void copy_all(struct copier *copier, const struct i3d_model *from, struct i3d_model *to)
{
    to->container = from->container; /* a format table's constant */
    to->path = string(copier, from->path);
    to->name = string(copier, from->name);
    to->doc = string(copier, from->doc);
    to->producer = string(copier, from->producer);
    to->producer_version = string(copier, from->producer_version);
    to->domain = string(copier, from->domain);
    to->ir_version = from->ir_version;
    to->model_version = from->model_version;
    to->time_axis = from->time_axis;
    to->unknown_model = bytes(copier, from->unknown_model);
    to->unknown_graph = bytes(copier, from->unknown_graph);
    for (size_t i = 0; i < from->opset_count; i++)
        copier->failed |= !i3d_set_opset(to, from->opsets[i].domain, from->opsets[i].version);
    for (size_t i = 0; i < from->metadata_count; i++)
        copier->failed |= !i3d_set_metadata(to, from->metadata[i].key, from->metadata[i].value);
    copy_values(copier, to, from->inputs, from->input_count, i3d_model_add_input);
    copy_values(copier, to, from->outputs, from->output_count, i3d_model_add_output);
    copy_values(copier, to, from->values, from->value_count, i3d_model_add_value);
    for (size_t i = 0; i < from->node_count && !copier->failed; i++)
        copier->failed = !i3d_model_copy_node(to, &from->nodes[i]);
    for (size_t i = 0; i < from->tensor_count && !copier->failed; i++)
        copier->failed = !i3d_model_copy_tensor(to, &from->tensors[i]);
}

enum i3d_status i3d_model_copy(const struct i3d_model *model, struct i3d_model **copy,
                               struct i3d_error *error)
{
    *copy = i3d_model_new();
    if (!*copy)
        return i3d_fail_memory(error);
    struct copier copier = { .arena = (*copy)->arena };
    copy_all(&copier, model, *copy);
    if (!copier.failed)
        return I3D_OK;
    i3d_model_free(*copy);
    *copy = NULL;
    return i3d_fail_memory(error);
}
