#include "model/index.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const char *name; /* null: a free slot */
    uint64_t hash;
    int64_t value, producer, tensor, input;
    size_t first_consumer, consumer_count;
};

struct i3d_index {
    struct entry *slots;
    size_t slot_count; /* a power of two, at least twice the names */
    size_t value_count;
    size_t *consumers; /* node positions, grouped by value */
};

/* FNV-1a over the name, then a finisher that spreads it over the low bits. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
    hash ^= hash >> 32;
    return hash * 0x9e3779b97f4a7c15 >> 7;
}

static struct entry *find(const struct i3d_index *index, const char *name)
{
    uint64_t hash = hash_name(name);
    for (size_t i = hash;; i++) {
        struct entry *entry = &index->slots[i & (index->slot_count - 1)];
        if (!entry->name || (entry->hash == hash && !strcmp(entry->name, name)))
            return entry;
    }
}

static struct entry *intern(struct i3d_index *index, const char *name)
{
    struct entry *entry = find(index, name);
    if (!entry->name) {
        *entry = (struct entry){ .name = name,
                                 .hash = hash_name(name),
                                 .value = (int64_t)index->value_count++,
                                 .producer = I3D_NOWHERE,
                                 .tensor = I3D_NOWHERE,
                                 .input = I3D_NOWHERE };
    }
    return entry;
}

/* The first definition of a name stands; i3d_model_check refuses a second. */
static void define(int64_t *place, size_t position)
{
    if (*place == I3D_NOWHERE)
        *place = (int64_t)position;
}

static void count_names(struct i3d_index *index, const struct i3d_model *model)
{
    for (size_t i = 0; i < model->input_count; i++)
        define(&intern(index, model->inputs[i].name)->input, i);
    for (size_t i = 0; i < model->tensor_count; i++)
        define(&intern(index, model->tensors[i].name)->tensor, i);
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        for (size_t k = 0; k < node->input_count; k++)
            if (*node->inputs[k])
                intern(index, node->inputs[k])->consumer_count++;
        for (size_t k = 0; k < node->output_count; k++)
            if (*node->outputs[k])
                define(&intern(index, node->outputs[k])->producer, i);
    }
}

static void group_consumers(struct i3d_index *index, const struct i3d_model *model)
{
    size_t next = 0;
    for (size_t i = 0; i < index->slot_count; i++) {
        index->slots[i].first_consumer = next;
        next += index->slots[i].consumer_count;
        index->slots[i].consumer_count = 0;
    }
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            if (!*node->inputs[k])
                continue;
            struct entry *entry = find(index, node->inputs[k]);
            index->consumers[entry->first_consumer + entry->consumer_count++] = i;
        }
    }
}

struct i3d_index *i3d_index_new(const struct i3d_model *model)
{
    size_t names = model->input_count + model->tensor_count, reads = 0;
    for (size_t i = 0; i < model->node_count; i++) {
        names += model->nodes[i].input_count + model->nodes[i].output_count;
        reads += model->nodes[i].input_count;
    }
    struct i3d_index *index = calloc(1, sizeof *index);
    if (!index)
        return NULL;
    index->slot_count = 16;
    while (index->slot_count < 2 * names)
        index->slot_count *= 2;
    index->slots = calloc(index->slot_count, sizeof *index->slots);
    index->consumers = calloc(reads + 1, sizeof *index->consumers);
    if (!index->slots || !index->consumers) {
        i3d_index_free(index);
        return NULL;
    }
    count_names(index, model);
    group_consumers(index, model);
    return index;
}

void i3d_index_free(struct i3d_index *index)
{
    if (!index)
        return;
    free(index->slots);
    free(index->consumers);
    free(index);
}

int64_t i3d_index_producer(const struct i3d_index *index, const char *value)
{
    const struct entry *entry = find(index, value);
    return entry->name ? entry->producer : I3D_NOWHERE;
}

int64_t i3d_index_tensor(const struct i3d_index *index, const char *name)
{
    const struct entry *entry = find(index, name);
    return entry->name ? entry->tensor : I3D_NOWHERE;
}

int64_t i3d_index_input(const struct i3d_index *index, const char *name)
{
    const struct entry *entry = find(index, name);
    return entry->name ? entry->input : I3D_NOWHERE;
}

const size_t *i3d_index_consumers(const struct i3d_index *index, const char *value, size_t *count)
{
    const struct entry *entry = find(index, value);
    *count = entry->name ? entry->consumer_count : 0;
    return index->consumers + entry->first_consumer;
}

int64_t i3d_index_value(const struct i3d_index *index, const char *name)
{
    const struct entry *entry = find(index, name);
    return entry->name ? entry->value : I3D_NOWHERE;
}

size_t i3d_index_value_count(const struct i3d_index *index)
{
    return index->value_count;
}
