#include "zoo/walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *i3d_walk_end(struct i3d_walk *walk, const char *format, ...)
{
    if (*walk->found->reason)
        return NULL;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(walk->found->reason, sizeof walk->found->reason, format, arguments);
    va_end(arguments);
    return NULL;
}

const struct i3d_node *i3d_walk_maker(struct i3d_walk *walk, const char *value)
{
    int64_t position = i3d_index_producer(walk->found->index, value);
    if (position == I3D_NOWHERE || !walk->steps)
        return NULL;
    walk->steps--;
    const struct i3d_node *node = &walk->found->model->nodes[position];
    bool first = node->input_count && node->output_count && !strcmp(node->outputs[0], value);
    return first ? node : NULL;
}

int64_t i3d_walk_position(const struct i3d_walk *walk, const struct i3d_node *node)
{
    return node - walk->found->model->nodes;
}

static bool is_any(const struct i3d_node *node, const char *const *op_types)
{
    for (; *op_types; op_types++)
        if (i3d_is(node, *op_types))
            return true;
    return false;
}

const char *i3d_walk_over(struct i3d_walk *walk, const char *value, const char *const *op_types)
{
    const struct i3d_node *node;
    while (value && (node = i3d_walk_maker(walk, value)) && is_any(node, op_types))
        value = node->inputs[0];
    return value;
}

const char *const i3d_walk_carriers[] = { "Identity", "Dropout", "Pad", NULL };

const struct i3d_node *i3d_walk_take(struct i3d_walk *walk, const char *value,
                                     const char *op_type)
{
    if (!value)
        return NULL;
    value = i3d_walk_over(walk, value, i3d_walk_carriers);
    const struct i3d_node *node = i3d_walk_maker(walk, value);
    if (node && i3d_is(node, op_type))
        return node;
    i3d_walk_end(walk, "value %.80s is not made by %s", value, op_type);
    return NULL;
}

int64_t i3d_walk_kernel(struct i3d_walk *walk, const struct i3d_node *node)
{
    const struct i3d_shape *weight =
        node->input_count > 1 ? i3d_shape_of(walk->shapes, node->inputs[1]) : NULL;
    if (!weight || (weight->rank != 4 && weight->rank != 5))
        return 0;
    if (!walk->rank)
        walk->rank = weight->rank;
    int64_t height = weight->dims[weight->rank - 2], width = weight->dims[weight->rank - 1];
    bool square = weight->rank == walk->rank && height == width && height > 0
        && i3d_int(node, "group", 1) == 1;
    return square ? height : 0;
}

const struct i3d_node *i3d_walk_conv(struct i3d_walk *walk, const char *value, int64_t *layer,
                                     int64_t *batch_norm)
{
    *batch_norm = I3D_NOWHERE;
    if (!value)
        return NULL;
    value = i3d_walk_over(walk, value, i3d_walk_carriers);
    const struct i3d_node *norm = i3d_walk_maker(walk, value);
    if (norm && i3d_is(norm, "BatchNormalization")) {
        if (norm->input_count < 5) {
            i3d_walk_end(walk, "a BatchNormalization lacks inputs");
            return NULL;
        }
        *batch_norm = i3d_walk_position(walk, norm);
        value = norm->inputs[0];
    }
    const struct i3d_node *conv = i3d_walk_take(walk, value, "Conv");
    if (conv)
        *layer = i3d_walk_position(walk, conv);
    return conv;
}

/* What turns a C×1×1 map into features. */
static const char *const around_classifier[] = {
    "Softmax", "LogSoftmax", "Identity", "Dropout", "Squeeze", "Flatten", "Reshape",
    "ReduceMean", "Cast", NULL,
};

/* Keras' head takes the mean behind the classifier, even where only one position is left. */
static const char *const behind_classifier[] = {
    "Softmax", "LogSoftmax", "Identity", "Dropout", "Squeeze", "Flatten", "Reshape",
    "ReduceMean", "Cast", "GlobalAveragePool", NULL,
};

static const char *const pools[] = { "GlobalAveragePool", "AveragePool", NULL };

const char *i3d_walk_head(struct i3d_walk *walk, const char *value, size_t unit)
{
    struct i3d_structure *found = walk->found;
    value = i3d_walk_over(walk, value, behind_classifier);
    const struct i3d_node *node = i3d_walk_maker(walk, value);
    if (node && i3d_is(node, "Conv")) {
        if (i3d_walk_kernel(walk, node) != 1)
            return i3d_walk_end(walk, "the classifier has a kernel larger than 1x1");
        found->classes = i3d_shape_of(walk->shapes, node->inputs[1])->dims[0];
    } else if (node && i3d_is(node, "Gemm") && node->input_count > 1) {
        const struct i3d_shape *weight = i3d_shape_of(walk->shapes, node->inputs[1]);
        if (weight->rank != 2 || i3d_int(node, "transA", 0))
            return i3d_walk_end(walk, "the weight of the last Gemm is no matrix");
        found->classes = weight->dims[i3d_int(node, "transB", 0) ? 0 : 1];
    } else {
        return i3d_walk_end(walk, "the output is not made by a classifier");
    }
    found->layers[unit] = i3d_walk_position(walk, node);
    found->batch_norms[unit] = I3D_NOWHERE;
    value = i3d_walk_over(walk, node->inputs[0], around_classifier);
    value = i3d_walk_over(walk, value, i3d_walk_carriers);
    node = i3d_walk_maker(walk, value);
    if (!node || !is_any(node, pools))
        return i3d_walk_end(walk, "no average pool stands ahead of the classifier");
    found->average_pool = i3d_walk_position(walk, node);
    return i3d_walk_over(walk, node->inputs[0], i3d_walk_carriers);
}
