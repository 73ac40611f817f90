/* Recognition of families that have no walk of their own: the graph is gone through
 * side by side with the architecture's own graph, from the output to the input. */
#include "zoo/walk.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LEAVES = 128 };

struct pairing {
    struct i3d_walk *walk;
    const struct i3d_structure *template;
    int64_t *partners; /* for each node of the template: the graph's, or I3D_NOWHERE */
};

/* What changes no number, or stands around features and classes only. */
static const char *const passed_over[] = {
    "Identity", "Dropout", "Pad", "Cast", "Flatten", "Reshape", "Squeeze", "ReduceMean",
    "Softmax", "LogSoftmax", NULL,
};

static bool is_average(const struct i3d_node *node)
{
    return i3d_is(node, "AveragePool") || i3d_is(node, "GlobalAveragePool");
}

/* An average of one element, which exporters leave of an adaptive pool. */
static bool is_idle(const struct i3d_node *node)
{
    size_t count;
    const int64_t *kernel = i3d_ints(node, "kernel_shape", &count);
    bool idle = i3d_is(node, "AveragePool") && kernel && count;
    for (size_t i = 0; idle && i < count; i++)
        idle = kernel[i] == 1;
    return idle;
}

/* The node that makes value once what may be passed over is; null: an input. */
static const struct i3d_node *maker_of(const struct pairing *pairing, const char *value)
{
    const struct i3d_node *node;
    do {
        value = i3d_walk_over(pairing->walk, value, passed_over);
        node = i3d_walk_maker(pairing->walk, value);
        value = node && node->input_count ? node->inputs[0] : NULL;
    } while (node && value
             && (is_idle(node) || (i3d_is(node, "Concat") && node->input_count == 1)));
    return node;
}

static const struct i3d_node *template_maker(const struct pairing *pairing, const char *value)
{
    const struct i3d_structure *found = pairing->template;
    int64_t position;
    while ((position = i3d_index_producer(found->index, value)) != I3D_NOWHERE) {
        const struct i3d_node *node = &found->model->nodes[position];
        if (!i3d_is(node, "Flatten"))
            return node;
        value = node->inputs[0];
    }
    return NULL;
}

/* Values that a tree of Concats puts together, in their order; false if they are many. */
static bool leaves_of(const struct i3d_node *concat, const struct pairing *pairing, bool ours,
                      const char *leaves[MAX_LEAVES], size_t *count, int depth)
{
    for (size_t i = 0; i < concat->input_count; i++) {
        const char *value = concat->inputs[i];
        const struct i3d_node *node = ours ? maker_of(pairing, value)
                                           : template_maker(pairing, value);
        if (node && i3d_is(node, "Concat") && depth < MAX_LEAVES) {
            if (!leaves_of(node, pairing, ours, leaves, count, depth + 1))
                return false;
        } else if (*count == MAX_LEAVES) {
            return false;
        } else {
            leaves[(*count)++] = value;
        }
    }
    return true;
}

static bool pair_values(struct pairing *pairing, const char *value, const char *wanted);

static bool pair_concats(struct pairing *pairing, const struct i3d_node *node,
                         const struct i3d_node *wanted)
{
    const char *ours[MAX_LEAVES], *theirs[MAX_LEAVES];
    size_t count = 0, wanted_count = 0;
    bool good = leaves_of(node, pairing, true, ours, &count, 0)
        && leaves_of(wanted, pairing, false, theirs, &wanted_count, 0) && count == wanted_count;
    /* From the first one on: what the later ones read is paired by then. */
    for (size_t i = 0; i < count && good; i++)
        good = pair_values(pairing, ours[i], theirs[i]);
    return good;
}

/* The terms of an addition stand in either order; what was paired in vain is undone. */
static bool pair_sums(struct pairing *pairing, const struct i3d_node *node,
                      const struct i3d_node *wanted)
{
    size_t size = pairing->template->model->node_count * sizeof *pairing->partners;
    int64_t *before = node->input_count == 2 ? malloc(size) : NULL;
    bool good = false;
    for (int order = 0; before && order < 2 && !good; order++) {
        memcpy(order ? pairing->partners : before, order ? before : pairing->partners, size);
        good = pair_values(pairing, node->inputs[order], wanted->inputs[0])
            && pair_values(pairing, node->inputs[1 - order], wanted->inputs[1]);
    }
    free(before);
    return good;
}

static bool same_kernels(struct pairing *pairing, const struct i3d_node *node,
                         const struct i3d_node *wanted)
{
    struct i3d_walk *walk = pairing->walk;
    const struct i3d_structure *template = pairing->template;
    int64_t position = i3d_index_tensor(template->index, wanted->inputs[1]);
    const struct i3d_tensor *kernel = &template->model->tensors[position];
    const struct i3d_shape *weight =
        node->input_count > 1 ? i3d_shape_of(walk->shapes, node->inputs[1]) : NULL;
    if (!weight || weight->rank < 2)
        return false;
    const int64_t *dims = weight->dims;
    bool is_conv = i3d_is(node, "Conv"), is_last = !strcmp(wanted->outputs[0], "logits")
        || wanted->name == template->units[template->unit_count - 1];
    bool is_turned = !is_conv && !i3d_int(node, "transB", 0);
    if (!is_conv && (weight->rank != 2 || i3d_int(node, "transA", 0)))
        return false;
    if (!is_last && dims[is_turned] != kernel->dims[0])
        return false;
    if (is_last)
        walk->found->classes = dims[is_turned];
    if (!is_conv)
        return kernel->rank == 2 && dims[!is_turned] == kernel->dims[1];
    if (weight->rank != 4 && weight->rank != 5)
        return false;
    if (!walk->rank)
        walk->rank = weight->rank;
    int64_t size = kernel->rank == 4 ? kernel->dims[3] : 1;
    return weight->rank == walk->rank && dims[weight->rank - 1] == size
        && dims[weight->rank - 2] == size
        && i3d_int(node, "group", 1) == i3d_int(wanted, "group", 1);
}

/* A stored tensor, or the one of a Constant node; or null. */
static const struct i3d_tensor *stored(const struct pairing *pairing, const char *value)
{
    const struct i3d_structure *found = pairing->walk->found;
    int64_t position = i3d_index_tensor(found->index, value);
    if (position != I3D_NOWHERE)
        return &found->model->tensors[position];
    int64_t producer = i3d_index_producer(found->index, value);
    const struct i3d_node *node = producer == I3D_NOWHERE ? NULL : &found->model->nodes[producer];
    const struct i3d_attribute *constant =
        node && i3d_is(node, "Constant") ? i3d_attribute(node, "value") : NULL;
    return constant ? constant->tensor : NULL;
}

/* Clip as a Relu that is cut off at 6. */
static bool same_limits(const struct pairing *pairing, const struct i3d_node *node)
{
    double limits[2] = { i3d_float(node, "min", -1), i3d_float(node, "max", -1) };
    for (size_t i = 0; i < 2 && i + 1 < node->input_count; i++) {
        const struct i3d_tensor *tensor = stored(pairing, node->inputs[i + 1]);
        double *values = NULL;
        if (tensor && i3d_tensor_elements(tensor) == 1 && tensor->source
            && !i3d_tensor_load_double(tensor, &values, NULL))
            limits[i] = *values;
        free(values);
    }
    return limits[0] == 0 && limits[1] == 6;
}

/* Pairs two nodes by what they are, and goes on with what they read. */
static bool pair_nodes(struct pairing *pairing, const struct i3d_node *node,
                       const struct i3d_node *wanted)
{
    bool is_layer = i3d_is(wanted, "Conv") || i3d_is(wanted, "Gemm");
    if (is_layer) {
        bool alike = i3d_is(node, wanted->op_type) || i3d_is(node, "Conv");
        if (!alike || !same_kernels(pairing, node, wanted))
            return false;
    } else if (i3d_is(wanted, "GlobalAveragePool")) {
        if (!is_average(node))
            return false;
    } else if (!i3d_is(node, wanted->op_type)) {
        return false;
    }
    if (i3d_is(wanted, "Concat"))
        return pair_concats(pairing, node, wanted);
    if (i3d_is(wanted, "Add"))
        return pair_sums(pairing, node, wanted);
    if (i3d_is(wanted, "BatchNormalization") && node->input_count < 5)
        return false;
    if (i3d_is(wanted, "Clip") && !same_limits(pairing, node))
        return false;
    return pair_values(pairing, node->inputs[0], wanted->inputs[0]);
}

/* Whether the template's BatchNorm may have been folded into the layer ahead of it. */
static const struct i3d_node *ahead_of_norm(const struct pairing *pairing,
                                            const struct i3d_node *wanted)
{
    const struct i3d_node *before = template_maker(pairing, wanted->inputs[0]);
    return before && i3d_is(before, "Conv") ? before : NULL;
}

static bool pair_values(struct pairing *pairing, const char *value, const char *wanted_value)
{
    const struct i3d_node *wanted = template_maker(pairing, wanted_value);
    const struct i3d_node *node = maker_of(pairing, value);
    if (wanted && node && i3d_is(wanted, "BatchNormalization")
        && !i3d_is(node, "BatchNormalization"))
        wanted = ahead_of_norm(pairing, wanted);
    if (!wanted || !node)
        return !wanted && !node;
    int64_t *partner = &pairing->partners[wanted - pairing->template->model->nodes];
    int64_t position = i3d_walk_position(pairing->walk, node);
    if (*partner != I3D_NOWHERE)
        return *partner == position;
    if (!pairing->walk->steps || !node->input_count)
        return false;
    *partner = position;
    return pair_nodes(pairing, node, wanted);
}

static int64_t partner_of(const struct pairing *pairing, int64_t position)
{
    return position == I3D_NOWHERE ? I3D_NOWHERE : pairing->partners[position];
}

bool i3d_walk_template(struct i3d_walk *walk, const struct i3d_architecture *architecture,
                       const char *output)
{
    const struct i3d_structure *template = i3d_architecture_template(architecture);
    struct i3d_structure *found = walk->found;
    size_t count = template ? template->model->node_count : 0;
    struct pairing pairing = { walk, template, calloc(count + 1, sizeof *pairing.partners) };
    if (!template || !pairing.partners) {
        free(pairing.partners);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        pairing.partners[i] = I3D_NOWHERE;
    bool good = pair_values(&pairing, output, template->model->outputs[0].name);
    for (size_t i = 0; i < template->unit_count && good; i++) {
        found->units[i] = template->units[i];
        found->layers[i] = partner_of(&pairing, template->layers[i]);
        found->batch_norms[i] = partner_of(&pairing, template->batch_norms[i]);
    }
    for (size_t i = 0; i < template->pool_count && good; i++) {
        found->pools[i] = template->pools[i];
        found->max_pools[i] = partner_of(&pairing, template->max_pools[i]);
    }
    found->unit_count = template->unit_count;
    found->pool_count = template->pool_count;
    found->average_pool = partner_of(&pairing, template->average_pool);
    free(pairing.partners);
    found->architecture = good ? architecture : NULL;
    return good;
}
