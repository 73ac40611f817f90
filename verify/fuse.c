#include "verify/operators.h"
#include "verify/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fusion {
    const struct i3d_model *model;
    const struct i3d_index *index;
    const struct i3d_shapes *shapes;
    const bool *keep;
    bool *absorbed;         /* by node: done by another node's step */
    struct i3d_step *chain; /* by node */
};

static bool is_tensor(const struct fusion *fusion, const char *name)
{
    return i3d_index_tensor(fusion->index, name) != I3D_NOWHERE
        && i3d_index_producer(fusion->index, name) == I3D_NOWHERE
        && i3d_index_input(fusion->index, name) == I3D_NOWHERE;
}

static bool has_input(const struct i3d_node *node, size_t k)
{
    return k < node->input_count && *node->inputs[k];
}

static bool is_layer(const struct fusion *fusion, const struct i3d_node *node)
{
    return i3d_is(node, "Conv") && node->input_count >= 2 && node->input_count <= 3
        && node->output_count == 1 && is_tensor(fusion, node->inputs[1])
        && (!has_input(node, 2) || is_tensor(fusion, node->inputs[2]));
}

/* The readers of a value that need not be made, or none. */
static size_t inner_readers(const struct fusion *fusion, const char *value, const size_t **readers)
{
    size_t count;
    *readers = i3d_index_consumers(fusion->index, value, &count);
    return fusion->keep[i3d_index_value(fusion->index, value)] ? 0 : count;
}

/* The one node that reads the value, if it may be taken. */
static const struct i3d_node *next_node(const struct fusion *fusion, const char *value)
{
    const size_t *readers;
    if (inner_readers(fusion, value, &readers) != 1 || fusion->absorbed[readers[0]])
        return NULL;
    const struct i3d_node *node = &fusion->model->nodes[readers[0]];
    return i3d_operator_row(node) && node->output_count >= 1 && *node->outputs[0] ? node : NULL;
}

static size_t position_of(const struct fusion *fusion, const struct i3d_node *node)
{
    return (size_t)(node - fusion->model->nodes);
}

static void absorb(struct fusion *fusion, struct i3d_step *step, const struct i3d_node *node)
{
    step->last = node;
    fusion->absorbed[position_of(fusion, node)] = true;
}

static void take_norm(struct fusion *fusion, struct i3d_step *step)
{
    const struct i3d_node *node = next_node(fusion, step->last->outputs[0]);
    if (!node || !i3d_is(node, "BatchNormalization") || node->input_count != 5
        || strcmp(node->inputs[0], step->last->outputs[0]))
        return;
    for (size_t k = 1; k < 5; k++)
        if (!is_tensor(fusion, node->inputs[k]))
            return;
    step->norm = node;
    absorb(fusion, step, node);
}

static bool have_one_shape(const struct fusion *fusion, const char *a, const char *b)
{
    if (!fusion->shapes)
        return false;
    const struct i3d_shape *left = i3d_shape_of(fusion->shapes, a);
    const struct i3d_shape *right = i3d_shape_of(fusion->shapes, b);
    if (left->rank < 0 || left->rank != right->rank || left->dtype != right->dtype)
        return false;
    for (int k = 0; k < left->rank; k++)
        if (left->dims[k] < 0 || left->dims[k] != right->dims[k])
            return false;
    return true;
}

static void take_add(struct fusion *fusion, struct i3d_step *step)
{
    const char *value = step->last->outputs[0];
    const struct i3d_node *node = next_node(fusion, value);
    if (!node || !(i3d_is(node, "Add") || i3d_is(node, "Sum")) || node->input_count != 2)
        return;
    const char *other = node->inputs[!strcmp(node->inputs[0], value)];
    if (!have_one_shape(fusion, value, other) || is_tensor(fusion, other))
        return;
    step->add = node;
    step->residual = other;
    absorb(fusion, step, node);
}

/* A limit of Clip that is not given stays as it is; false: not known ahead. */
static bool clip_limit(const struct fusion *fusion, const struct i3d_node *node, size_t input,
                       const char *attribute, float *limit)
{
    *limit = i3d_float(node, attribute, *limit);
    if (!has_input(node, input))
        return true;
    int64_t tensor = i3d_index_tensor(fusion->index, node->inputs[input]);
    struct i3d_array array;
    if (tensor == I3D_NOWHERE || !is_tensor(fusion, node->inputs[input])
        || i3d_array_load(&fusion->model->tensors[tensor], &array, NULL))
        return false;
    bool good = array.dtype == I3D_FLOAT32 && i3d_array_elements(&array) == 1;
    if (good)
        *limit = *(const float *)array.data;
    i3d_array_free(&array);
    return good;
}

/* x·sigmoid(x): a Sigmoid and a Mul read the value, and nobody else the Sigmoid. */
static bool take_swish(struct fusion *fusion, struct i3d_step *step)
{
    const size_t *readers;
    const char *value = step->last->outputs[0];
    if (inner_readers(fusion, value, &readers) != 2)
        return false;
    const struct i3d_node *sigmoid = &fusion->model->nodes[readers[0]];
    const struct i3d_node *product = &fusion->model->nodes[readers[1]];
    if (!i3d_is(sigmoid, "Sigmoid") || !i3d_is(product, "Mul") || product->input_count != 2
        || product->output_count != 1 || sigmoid->output_count != 1
        || fusion->absorbed[readers[1]] || next_node(fusion, sigmoid->outputs[0]) != product)
        return false;
    absorb(fusion, step, sigmoid);
    absorb(fusion, step, product);
    step->act = product;
    step->activation = I3D_ACTIVATION_SWISH;
    return true;
}

static void take_activation(struct fusion *fusion, struct i3d_step *step)
{
    if (take_swish(fusion, step))
        return;
    const struct i3d_node *node = next_node(fusion, step->last->outputs[0]);
    if (!node || !node->input_count || strcmp(node->inputs[0], step->last->outputs[0]))
        return;
    step->low = -INFINITY;
    step->high = INFINITY;
    if (i3d_is(node, "Relu")) {
        step->activation = I3D_ACTIVATION_CLAMP;
        step->low = 0;
    } else if (i3d_is(node, "Clip") && clip_limit(fusion, node, 1, "min", &step->low)
               && clip_limit(fusion, node, 2, "max", &step->high)) {
        step->activation = I3D_ACTIVATION_CLAMP;
    } else if (i3d_is(node, "LeakyRelu")) {
        step->activation = I3D_ACTIVATION_LEAKY;
        step->slope = i3d_float(node, "alpha", 0.01f);
    } else if (i3d_is(node, "HardSwish")) {
        step->activation = I3D_ACTIVATION_HARD_SWISH;
    } else if (i3d_is(node, "Sigmoid")) {
        step->activation = I3D_ACTIVATION_SIGMOID;
    } else {
        return;
    }
    step->act = node;
    absorb(fusion, step, node);
}

/* Later convolutions first: an Add goes to the last that it needs. */
static void form_chains(struct fusion *fusion, bool fuse)
{
    for (size_t i = fusion->model->node_count; i-- > 0;) {
        const struct i3d_node *node = &fusion->model->nodes[i];
        struct i3d_step *step = &fusion->chain[i];
        *step = (struct i3d_step){ .node = node, .last = node,
                                   .is_layer = is_layer(fusion, node) };
        if (!step->is_layer || !fuse || !*node->outputs[0])
            continue;
        take_norm(fusion, step);
        take_add(fusion, step);
        take_activation(fusion, step);
    }
}

enum i3d_status i3d_fuse(const struct i3d_model *model, const struct i3d_index *index,
                         const struct i3d_shapes *shapes, const bool *keep, bool fuse,
                         struct i3d_step **steps, size_t *count, struct i3d_error *error)
{
    struct fusion fusion = {
        .model = model,
        .index = index,
        .shapes = shapes,
        .keep = keep,
        .absorbed = calloc(model->node_count + 1, sizeof *fusion.absorbed),
        .chain = calloc(model->node_count + 1, sizeof *fusion.chain),
    };
    size_t *ending = calloc(model->node_count + 1, sizeof *ending); /* by last node: 1 + first */
    *steps = calloc(model->node_count + 1, sizeof **steps);
    *count = 0;
    bool good = fusion.absorbed && fusion.chain && ending && *steps;
    if (good) {
        form_chains(&fusion, fuse);
        for (size_t i = 0; i < model->node_count; i++)
            if (!fusion.absorbed[i])
                ending[position_of(&fusion, fusion.chain[i].last)] = i + 1;
        for (size_t i = 0; i < model->node_count; i++)
            if (ending[i])
                (*steps)[(*count)++] = fusion.chain[ending[i] - 1];
    } else {
        free(*steps);
        *steps = NULL;
    }
    free(fusion.absorbed);
    free(fusion.chain);
    free(ending);
    return good ? I3D_OK : i3d_fail_memory(error);
}
