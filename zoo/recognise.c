#include "zoo/inception_v1.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The graph is walked from its output to its input: backwards, every node of an
 * Inception-V1 but Concat has one way on, so neither names nor the order of the
 * nodes nor what else hangs on the graph (auxiliary classifiers) matter. */

struct walk {
    struct i3d_inception *found;
    const struct i3d_shapes *shapes;
    int rank;        /* of activations; 0 before the first kernel was seen */
    size_t steps;    /* looks at a node that are left, in case of a cycle */
};

/* Notes why the walk ended; null, which every step passes on. */
__attribute__((format(printf, 2, 3)))
static const char *give_up(struct walk *walk, const char *format, ...)
{
    if (*walk->found->reason)
        return NULL;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(walk->found->reason, sizeof walk->found->reason, format, arguments);
    va_end(arguments);
    return NULL;
}

/* The node that makes value as its first output, or null. */
static const struct i3d_node *maker(struct walk *walk, const char *value)
{
    int64_t position = i3d_index_producer(walk->found->index, value);
    if (position == I3D_NOWHERE || !walk->steps)
        return NULL;
    walk->steps--;
    const struct i3d_node *node = &walk->found->model->nodes[position];
    bool first = node->input_count && node->output_count && !strcmp(node->outputs[0], value);
    return first ? node : NULL;
}

static int64_t position_of(const struct walk *walk, const struct i3d_node *node)
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

/* Steps back over nodes of the given kinds. */
static const char *step_over(struct walk *walk, const char *value, const char *const *op_types)
{
    const struct i3d_node *node;
    while (value && (node = maker(walk, value)) && is_any(node, op_types))
        value = node->inputs[0];
    return value;
}

static const char *const carried[] = { "Identity", "Dropout", "Pad", NULL };

/* What makes value if it is an op_type, with what carries values on stepped over. */
static const struct i3d_node *take(struct walk *walk, const char *value, const char *op_type)
{
    if (!value)
        return NULL;
    value = step_over(walk, value, carried);
    const struct i3d_node *node = maker(walk, value);
    if (node && i3d_is(node, op_type))
        return node;
    give_up(walk, "value %.80s is not made by %s", value, op_type);
    return NULL;
}

/* The kernel of a Conv that fits a unit. */
static bool check_kernel(struct walk *walk, const struct i3d_node *node, int unit, int64_t kernel,
                         int64_t other_kernel)
{
    const char *name = i3d_inception_units[unit];
    const struct i3d_shape *weight =
        node->input_count > 1 ? i3d_shape_of(walk->shapes, node->inputs[1]) : NULL;
    if (!weight || (weight->rank != 4 && weight->rank != 5)) {
        give_up(walk, "the kernel of %s is not known", name);
        return false;
    }
    if (!walk->rank)
        walk->rank = weight->rank;
    int64_t height = weight->dims[weight->rank - 2], width = weight->dims[weight->rank - 1];
    bool fits = weight->rank == walk->rank && height == width
        && (height == kernel || height == other_kernel) && i3d_int(node, "group", 1) == 1
        && (unit == I3D_LOGITS || weight->dims[0] == i3d_inception_channels[unit]);
    if (!fits)
        give_up(walk, "the convolution in the place of %s has another kernel", name);
    return fits;
}

/* Relu, BatchNormalization if there is one, Conv; the value that Conv reads. */
static const char *take_unit(struct walk *walk, const char *value, int unit, int64_t kernel,
                             int64_t other_kernel)
{
    const struct i3d_node *relu = take(walk, value, "Relu");
    if (!relu)
        return NULL;
    value = step_over(walk, relu->inputs[0], carried);
    const struct i3d_node *norm = maker(walk, value);
    if (norm && i3d_is(norm, "BatchNormalization")) {
        if (norm->input_count < 5)
            return give_up(walk, "a BatchNormalization lacks inputs");
        walk->found->batch_norms[unit] = position_of(walk, norm);
        value = norm->inputs[0];
    }
    const struct i3d_node *conv = take(walk, value, "Conv");
    if (!conv || !check_kernel(walk, conv, unit, kernel, other_kernel))
        return NULL;
    walk->found->layers[unit] = position_of(walk, conv);
    return conv->inputs[0];
}

static const char *take_pool(struct walk *walk, const char *value, int pool)
{
    const struct i3d_node *node = take(walk, value, "MaxPool");
    if (!node)
        return NULL;
    walk->found->max_pools[pool] = position_of(walk, node);
    return node->inputs[0];
}

/* An LRN if there is one; on a 5-D value it stands between two Reshapes. */
static const char *take_lrn(struct walk *walk, const char *value, int number)
{
    if (!value)
        return NULL;
    value = step_over(walk, value, carried);
    const struct i3d_node *node = maker(walk, value), *behind = NULL;
    if (node && i3d_is(node, "Reshape")) {
        behind = node;
        node = maker(walk, behind->inputs[0]);
    }
    if (!node || !i3d_is(node, "LRN"))
        return value;
    walk->found->lrns[number] = position_of(walk, node);
    const struct i3d_node *ahead = behind ? maker(walk, node->inputs[0]) : node;
    if (!ahead || (behind && !i3d_is(ahead, "Reshape")))
        return give_up(walk, "an LRN stands behind no Reshape but ahead of one");
    return ahead->inputs[0];
}

static const char *take_block(struct walk *walk, const char *value, int block)
{
    const struct i3d_node *concat = take(walk, value, "Concat");
    if (!concat)
        return NULL;
    int64_t axis = i3d_int(concat, "axis", 1);
    if (concat->input_count != 4 || (axis != 1 && axis != 1 - walk->rank))
        return give_up(walk, "the Concat in the place of %s does not join four branches",
                       i3d_inception_blocks[block]);
    int unit = I3D_STEM_UNITS + block * I3D_BLOCK_UNITS;
    const char *starts[4];
    starts[0] = take_unit(walk, concat->inputs[0], unit, 1, 1);
    starts[1] = take_unit(walk, concat->inputs[1], unit + 2, 3, 3);
    starts[1] = take_unit(walk, starts[1], unit + 1, 1, 1);
    starts[2] = take_unit(walk, concat->inputs[2], unit + 4, 3, 5);
    starts[2] = take_unit(walk, starts[2], unit + 3, 1, 1);
    starts[3] = take_unit(walk, concat->inputs[3], unit + 5, 1, 1);
    starts[3] = take_pool(walk, starts[3], I3D_STEM_POOLS + block);
    for (int i = 0; i < 4; i++) {
        if (!starts[i])
            return NULL;
        starts[i] = step_over(walk, starts[i], carried);
        if (strcmp(starts[i], starts[0]))
            return give_up(walk, "the branches of %s start from different values",
                           i3d_inception_blocks[block]);
    }
    return starts[0];
}

/* What turns logits into the output, or a C×1×1 map into features. */
static const char *const around_classifier[] = {
    "Softmax", "LogSoftmax", "Identity", "Dropout", "Squeeze", "Flatten", "Reshape",
    "ReduceMean", "Cast", NULL,
};

/* The classifier and the pool ahead of it; the last block's output. */
static const char *take_head(struct walk *walk, const char *value)
{
    struct i3d_inception *found = walk->found;
    value = step_over(walk, value, around_classifier);
    const struct i3d_node *node = maker(walk, value);
    if (node && i3d_is(node, "Conv")) {
        if (!check_kernel(walk, node, I3D_LOGITS, 1, 1))
            return NULL;
        found->classes = i3d_shape_of(walk->shapes, node->inputs[1])->dims[0];
    } else if (node && i3d_is(node, "Gemm") && node->input_count > 1) {
        const struct i3d_shape *weight = i3d_shape_of(walk->shapes, node->inputs[1]);
        if (weight->rank != 2 || i3d_int(node, "transA", 0))
            return give_up(walk, "the weight of the last Gemm is no matrix");
        found->classes = weight->dims[i3d_int(node, "transB", 0) ? 0 : 1];
    } else {
        return give_up(walk, "the output is not made by a classifier");
    }
    found->layers[I3D_LOGITS] = position_of(walk, node);
    value = step_over(walk, node->inputs[0], around_classifier);
    value = step_over(walk, value, carried);
    node = maker(walk, value);
    if (!node || !(i3d_is(node, "GlobalAveragePool") || i3d_is(node, "AveragePool")))
        return give_up(walk, "no average pool stands ahead of the classifier");
    found->average_pool = position_of(walk, node);
    return step_over(walk, node->inputs[0], carried);
}

static bool take_all(struct walk *walk, const char *output)
{
    struct i3d_inception *found = walk->found;
    const char *value = take_head(walk, output);
    for (int i = I3D_BLOCKS - 1; i >= 0 && value; i--) {
        value = take_block(walk, value, i);
        if (i3d_inception_pool_before(i) >= 0 && value)
            value = take_pool(walk, i ? value : take_lrn(walk, value, 1),
                              i3d_inception_pool_before(i));
    }
    /* LRN and pool stand in either order after Conv_2c and Conv_1a. */
    if (value && found->lrns[1] == I3D_NOWHERE)
        value = take_lrn(walk, value, 1);
    value = take_unit(walk, value, 2, 3, 3);
    value = take_unit(walk, value, 1, 1, 1);
    value = take_pool(walk, take_lrn(walk, value, 0), 0);
    if (value && found->lrns[0] == I3D_NOWHERE)
        value = take_lrn(walk, value, 0);
    if (!take_unit(walk, value, 0, 7, 7))
        return false;

    const struct i3d_node *nodes = found->model->nodes;
    const struct i3d_node *wide = &nodes[found->layers[I3D_STEM_UNITS + 4]];
    found->wide_kernel = i3d_shape_of(walk->shapes, wide->inputs[1])->dims[walk->rank - 1];
    found->channels = i3d_shape_of(walk->shapes, nodes[found->layers[0]].inputs[1])->dims[1];
    found->is_3d = walk->rank == 5;
    return true;
}

static void clear(struct i3d_inception *inception)
{
    inception->found = false;
    for (int i = 0; i < I3D_UNITS; i++)
        inception->layers[i] = inception->batch_norms[i] = I3D_NOWHERE;
    for (int i = 0; i < I3D_MAX_POOLS; i++)
        inception->max_pools[i] = I3D_NOWHERE;
    inception->lrns[0] = inception->lrns[1] = inception->average_pool = I3D_NOWHERE;
}

void i3d_inception_find(const struct i3d_model *model, const struct i3d_index *index,
                        const struct i3d_shapes *shapes, struct i3d_inception *inception)
{
    *inception = (struct i3d_inception){ .model = model, .index = index };
    clear(inception);
    for (size_t i = 0; i < model->output_count && !inception->found; i++) {
        struct walk walk = { .found = inception, .shapes = shapes,
                             .steps = 8 * model->node_count };
        clear(inception);
        inception->found = take_all(&walk, model->outputs[i].name);
    }
    if (!model->output_count)
        snprintf(inception->reason, sizeof inception->reason, "it has no outputs");
}

/* Which of the architectures a found structure is nearest to. TF's SAME padding
 * puts less in front of the first kernel's even-sized input than behind it,
 * explicit pads of PyTorch and Caffe as much. */
static const char *architecture_name(const struct i3d_inception *found)
{
    if (found->wide_kernel == 5)
        return "inception_v1_bvlc";
    const struct i3d_node *stem = &found->model->nodes[found->layers[0]];
    size_t count;
    const int64_t *pads = i3d_ints(stem, "pads", &count);
    bool even = count >= 4 && count % 2 == 0 && pads[count / 2 - 1] == 3 && pads[count - 1] == 3;
    return even ? "inception_v1_torchvision" : "inception_v1";
}

static void name_units(const struct i3d_inception *found, struct i3d_recognition *recognition)
{
    for (int unit = 0; unit < I3D_UNITS; unit++) {
        recognition->units[found->layers[unit]] = i3d_inception_units[unit];
        if (found->batch_norms[unit] == I3D_NOWHERE)
            continue;
        recognition->units[found->batch_norms[unit]] = i3d_inception_units[unit];
        recognition->batch_norm = true;
    }
    recognition->architecture = i3d_architecture_by_name(architecture_name(found));
    recognition->is_3d = found->is_3d;
    recognition->classes = found->classes;
    recognition->channels = found->channels;
}

enum i3d_status i3d_zoo_recognise(const struct i3d_model *model,
                                  struct i3d_recognition *recognition, struct i3d_error *error)
{
    *recognition = (struct i3d_recognition){ 0 };
    struct i3d_index *index = i3d_index_new(model);
    struct i3d_shapes *shapes = NULL;
    recognition->units = calloc(model->node_count + 1, sizeof *recognition->units);
    enum i3d_status status = index && recognition->units
        ? i3d_infer_shapes(model, index, NULL, 0, &shapes, error)
        : i3d_fail_memory(error);
    if (!status) {
        struct i3d_inception found;
        i3d_inception_find(model, index, shapes, &found);
        if (found.found)
            name_units(&found, recognition);
        i3d_shapes_free(shapes);
    }
    i3d_index_free(index);
    if (status)
        i3d_recognition_free(recognition);
    return status;
}

void i3d_recognition_free(struct i3d_recognition *recognition)
{
    free(recognition->units);
    recognition->units = NULL;
}
