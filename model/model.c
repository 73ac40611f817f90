#include "model/model.h"

#include <stdlib.h>
#include <string.h>

struct i3d_model *i3d_model_new(void)
{
    struct i3d_model *model = calloc(1, sizeof *model);
    if (!model)
        return NULL;
    model->arena = i3d_arena_new();
    if (!model->arena) {
        free(model);
        return NULL;
    }
    model->name = model->doc = model->producer = model->producer_version = model->domain = "";
    model->time_axis = -1;
    return model;
}

static void release_attribute(struct i3d_attribute *attribute)
{
    if (attribute->tensor)
        i3d_source_release(attribute->tensor->source);
}

void i3d_model_free(struct i3d_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < model->tensor_count; i++)
        i3d_source_release(model->tensors[i].source);
    for (size_t i = 0; i < model->node_count; i++)
        for (size_t k = 0; k < model->nodes[i].attribute_count; k++)
            release_attribute(&model->nodes[i].attributes[k]);
    free(model->inputs);
    free(model->outputs);
    free(model->values);
    free(model->nodes);
    free(model->tensors);
    free(model->opsets);
    free(model->metadata);
    i3d_arena_free(model->arena);
    free(model);
}

/* Room for one more element of size bytes in a growing array; null when memory
 * is short. */
static void *append(void *array, size_t *count, size_t *room, size_t size)
{
    void **elements = array;
    if (*count == *room) {
        size_t grown, bytes;
        if (__builtin_add_overflow(*room, *room / 2 + 8, &grown)
            || __builtin_mul_overflow(grown, size, &bytes))
            return NULL;
        void *moved = realloc(*elements, bytes);
        if (!moved)
            return NULL;
        *elements = moved;
        *room = grown;
    }
    return memset((char *)*elements + (*count)++ * size, 0, size);
}

struct i3d_node *i3d_model_add_node(struct i3d_model *model)
{
    struct i3d_node *node =
        append(&model->nodes, &model->node_count, &model->node_room, sizeof *node);
    if (node)
        node->name = node->op_type = node->domain = "";
    return node;
}

struct i3d_tensor *i3d_model_add_tensor(struct i3d_model *model)
{
    struct i3d_tensor *tensor =
        append(&model->tensors, &model->tensor_count, &model->tensor_room, sizeof *tensor);
    if (tensor)
        tensor->name = "";
    return tensor;
}

static struct i3d_value *add_value(struct i3d_value **values, size_t *count, size_t *room)
{
    struct i3d_value *value = append(values, count, room, sizeof *value);
    if (value) {
        value->name = "";
        value->rank = -1;
    }
    return value;
}

struct i3d_value *i3d_model_add_input(struct i3d_model *model)
{
    return add_value(&model->inputs, &model->input_count, &model->input_room);
}

struct i3d_value *i3d_model_add_output(struct i3d_model *model)
{
    return add_value(&model->outputs, &model->output_count, &model->output_room);
}

struct i3d_value *i3d_model_add_value(struct i3d_model *model)
{
    return add_value(&model->values, &model->value_count, &model->value_room);
}

enum i3d_status i3d_model_put_tensor(struct i3d_model *model, const char *name,
                                     enum i3d_dtype dtype, int rank, const int64_t *dims,
                                     struct i3d_source *source, struct i3d_error *error)
{
    struct i3d_tensor *tensor = source ? i3d_model_add_tensor(model) : NULL;
    char *copy = tensor ? i3d_arena_string(model->arena, name) : NULL;
    if (!copy) {
        if (tensor)
            model->tensor_count--;
        i3d_source_release(source);
        return i3d_fail_memory(error);
    }
    tensor->name = copy;
    tensor->dtype = dtype;
    tensor->rank = rank;
    if (rank)
        memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    tensor->source = source;
    return I3D_OK;
}

enum i3d_status i3d_model_put_ints(struct i3d_model *model, const char *name, int rank,
                                   const int64_t *dims, const int64_t *values,
                                   struct i3d_error *error)
{
    size_t bytes = (size_t)i3d_element_count(rank, dims) * sizeof *values;
    return i3d_model_put_tensor(model, name, I3D_INT64, rank, dims,
                                i3d_source_copy(values, bytes), error);
}

enum i3d_status i3d_model_put_floats(struct i3d_model *model, const char *name, int rank,
                                     const int64_t *dims, const float *values,
                                     struct i3d_error *error)
{
    size_t bytes = (size_t)i3d_element_count(rank, dims) * sizeof *values;
    return i3d_model_put_tensor(model, name, I3D_FLOAT32, rank, dims,
                                i3d_source_copy(values, bytes), error);
}

static const char **copy_names(struct i3d_arena *arena, const char *const *names, size_t *count)
{
    *count = 0;
    while (names[*count])
        ++*count;
    const char **copies = i3d_arena_alloc(arena, *count, sizeof *copies);
    for (size_t i = 0; copies && i < *count; i++)
        if (!(copies[i] = i3d_arena_string(arena, names[i])))
            return NULL;
    return copies;
}

struct i3d_node *i3d_model_put_node(struct i3d_model *model, const char *op_type,
                                    const char *name, const char *const *inputs,
                                    const char *const *outputs)
{
    struct i3d_node *node = i3d_model_add_node(model);
    if (!node)
        return NULL;
    node->op_type = i3d_arena_string(model->arena, op_type);
    node->name = i3d_arena_string(model->arena, name);
    node->inputs = copy_names(model->arena, inputs, &node->input_count);
    node->outputs = copy_names(model->arena, outputs, &node->output_count);
    if (!node->op_type || !node->name || !node->inputs || !node->outputs) {
        model->node_count--;
        return NULL;
    }
    return node;
}

/* The attribute of that name, emptied, or a new one. */
static struct i3d_attribute *fresh_attribute(struct i3d_model *model, struct i3d_node *node,
                                             const char *name, enum i3d_attribute_type type)
{
    const char *copy = i3d_arena_string(model->arena, name);
    if (!copy)
        return NULL;
    i3d_drop_attribute(node, name);
    struct i3d_attribute *attributes =
        i3d_arena_alloc(model->arena, node->attribute_count + 1, sizeof *attributes);
    if (!attributes)
        return NULL;
    if (node->attribute_count)
        memcpy(attributes, node->attributes, node->attribute_count * sizeof *attributes);
    node->attributes = attributes;
    attributes += node->attribute_count++;
    *attributes = (struct i3d_attribute){ .name = copy, .type = type };
    return attributes;
}

bool i3d_set_int(struct i3d_model *model, struct i3d_node *node, const char *name, int64_t value)
{
    struct i3d_attribute *attribute = fresh_attribute(model, node, name, I3D_ATTRIBUTE_INT);
    if (attribute)
        attribute->i = value;
    return attribute;
}

bool i3d_set_float(struct i3d_model *model, struct i3d_node *node, const char *name, float value)
{
    struct i3d_attribute *attribute = fresh_attribute(model, node, name, I3D_ATTRIBUTE_FLOAT);
    if (attribute)
        attribute->f = value;
    return attribute;
}

bool i3d_set_ints(struct i3d_model *model, struct i3d_node *node, const char *name,
                  const int64_t *values, size_t count)
{
    int64_t *copy = i3d_arena_alloc(model->arena, count, sizeof *copy);
    if (!copy)
        return false;
    if (count)
        memcpy(copy, values, count * sizeof *copy);
    struct i3d_attribute *attribute = fresh_attribute(model, node, name, I3D_ATTRIBUTE_INTS);
    if (attribute) {
        attribute->ints = copy;
        attribute->count = count;
    }
    return attribute;
}

bool i3d_set_floats(struct i3d_model *model, struct i3d_node *node, const char *name,
                    const float *values, size_t count)
{
    float *copy = i3d_arena_alloc(model->arena, count, sizeof *copy);
    if (!copy)
        return false;
    if (count)
        memcpy(copy, values, count * sizeof *copy);
    struct i3d_attribute *attribute = fresh_attribute(model, node, name, I3D_ATTRIBUTE_FLOATS);
    if (attribute) {
        attribute->floats = copy;
        attribute->count = count;
    }
    return attribute;
}

bool i3d_set_string(struct i3d_model *model, struct i3d_node *node, const char *name,
                    const char *value)
{
    const char *copy = i3d_arena_string(model->arena, value);
    if (!copy)
        return false;
    struct i3d_attribute *attribute = fresh_attribute(model, node, name, I3D_ATTRIBUTE_STRING);
    if (attribute)
        attribute->s = (struct i3d_bytes){ *copy ? copy : NULL, strlen(copy) };
    return attribute;
}

void i3d_drop_attribute(struct i3d_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        if (strcmp(node->attributes[i].name, name))
            continue;
        release_attribute(&node->attributes[i]);
        node->attribute_count--;
        memmove(&node->attributes[i], &node->attributes[i + 1],
                (node->attribute_count - i) * sizeof *node->attributes);
        return;
    }
}

const struct i3d_attribute *i3d_attribute(const struct i3d_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (!strcmp(node->attributes[i].name, name))
            return &node->attributes[i];
    return NULL;
}

static const struct i3d_attribute *typed(const struct i3d_node *node, const char *name,
                                         enum i3d_attribute_type type)
{
    const struct i3d_attribute *attribute = i3d_attribute(node, name);
    return attribute && attribute->type == type ? attribute : NULL;
}

int64_t i3d_int(const struct i3d_node *node, const char *name, int64_t fallback)
{
    const struct i3d_attribute *attribute = typed(node, name, I3D_ATTRIBUTE_INT);
    return attribute ? attribute->i : fallback;
}

float i3d_float(const struct i3d_node *node, const char *name, float fallback)
{
    const struct i3d_attribute *attribute = typed(node, name, I3D_ATTRIBUTE_FLOAT);
    return attribute ? attribute->f : fallback;
}

bool i3d_string_is(const struct i3d_node *node, const char *name, const char *value)
{
    const struct i3d_attribute *attribute = typed(node, name, I3D_ATTRIBUTE_STRING);
    size_t length = strlen(value);
    return attribute && attribute->s.length == length
        && (!length || !memcmp(attribute->s.data, value, length));
}

const int64_t *i3d_ints(const struct i3d_node *node, const char *name, size_t *count)
{
    const struct i3d_attribute *attribute = typed(node, name, I3D_ATTRIBUTE_INTS);
    *count = attribute ? attribute->count : 0;
    return attribute ? attribute->ints : NULL;
}

const char *i3d_metadata(const struct i3d_model *model, const char *key)
{
    for (size_t i = 0; i < model->metadata_count; i++)
        if (!strcmp(model->metadata[i].key, key))
            return model->metadata[i].value;
    return NULL;
}

bool i3d_set_metadata(struct i3d_model *model, const char *key, const char *value)
{
    const char *value_copy = i3d_arena_string(model->arena, value);
    if (!value_copy)
        return false;
    for (size_t i = 0; i < model->metadata_count; i++) {
        if (!strcmp(model->metadata[i].key, key)) {
            model->metadata[i].value = value_copy;
            return true;
        }
    }
    const char *key_copy = i3d_arena_string(model->arena, key);
    struct i3d_pair *pair = key_copy ? append(&model->metadata, &model->metadata_count,
                                              &model->metadata_room, sizeof *pair)
                                     : NULL;
    if (pair)
        *pair = (struct i3d_pair){ key_copy, value_copy };
    return pair;
}

/* "ai.onnx" is the other name of ONNX's own domain (ONNX IR specification). */
static bool is_own_domain(const char *domain)
{
    return !*domain || !strcmp(domain, "ai.onnx");
}

int64_t i3d_opset(const struct i3d_model *model)
{
    for (size_t i = 0; i < model->opset_count; i++)
        if (is_own_domain(model->opsets[i].domain))
            return model->opsets[i].version;
    return 0;
}

bool i3d_set_opset(struct i3d_model *model, const char *domain, int64_t version)
{
    for (size_t i = 0; i < model->opset_count; i++) {
        const char *known = model->opsets[i].domain;
        if (!strcmp(known, domain) || (is_own_domain(known) && is_own_domain(domain))) {
            model->opsets[i].version = version;
            return true;
        }
    }
    const char *copy = i3d_arena_string(model->arena, domain);
    struct i3d_opset *opset = copy ? append(&model->opsets, &model->opset_count,
                                            &model->opset_room, sizeof *opset)
                                   : NULL;
    if (opset)
        *opset = (struct i3d_opset){ copy, version };
    return opset;
}

struct i3d_tensor *i3d_find_tensor(const struct i3d_model *model, const char *name)
{
    for (size_t i = 0; i < model->tensor_count; i++)
        if (!strcmp(model->tensors[i].name, name))
            return &model->tensors[i];
    return NULL;
}

bool i3d_is(const struct i3d_node *node, const char *op_type)
{
    return is_own_domain(node->domain) && !strcmp(node->op_type, op_type);
}
