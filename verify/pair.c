#include "verify/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What nodes are compared as: a Gemm and a 1×1×1 convolution are the same
 * thing, and so are the ways to take a mean. */
enum kind { OTHER, TRANSPARENT, LINEAR, BATCH_NORM, MEAN, MAXIMUM };

static const struct {
    const char *op_type;
    enum kind kind;
} kinds[] = {
    { "Identity", TRANSPARENT },   { "Dropout", TRANSPARENT },
    { "Pad", TRANSPARENT },        { "Reshape", TRANSPARENT },
    { "Flatten", TRANSPARENT },    { "Squeeze", TRANSPARENT },
    { "Unsqueeze", TRANSPARENT },  { "Cast", TRANSPARENT },
    { "Conv", LINEAR },            { "Gemm", LINEAR },
    { "MatMul", LINEAR },          { "BatchNormalization", BATCH_NORM },
    { "AveragePool", MEAN },       { "GlobalAveragePool", MEAN },
    { "ReduceMean", MEAN },        { "MaxPool", MAXIMUM },
    { "GlobalMaxPool", MAXIMUM },  { "ReduceMax", MAXIMUM },
};

struct task {
    const char *flat, *inflated;
};

struct matcher {
    const struct i3d_side *flat, *inflated;
    struct i3d_pairing *pairing;
    struct task *tasks;
    size_t task_count, task_room;
    const char **partner; /* by 2D value: the 3D value it was paired with */
    bool *flat_seen, *inflated_seen; /* by node: paired or stepped over */
    bool failed; /* memory */
};

static enum kind kind_of(const struct i3d_node *node)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (i3d_is(node, kinds[i].op_type))
            return kinds[i].kind;
    return OTHER;
}

bool i3d_is_linear(const struct i3d_node *node)
{
    return kind_of(node) == LINEAR || i3d_is(node, "ConvTranspose");
}

const struct i3d_tensor *i3d_side_tensor(const struct i3d_side *side, const char *name)
{
    int64_t position = i3d_index_tensor(side->index, name);
    return position == I3D_NOWHERE ? NULL : &side->model->tensors[position];
}

static const struct i3d_node *producer(const struct i3d_side *side, const char *value)
{
    int64_t position = i3d_index_producer(side->index, value);
    return position == I3D_NOWHERE ? NULL : &side->model->nodes[position];
}

/* A mean over the time axis alone, which only the 3D graph has. */
static bool is_mean_over_time(const struct i3d_side *side, const struct i3d_node *node)
{
    if (!i3d_is(node, "ReduceMean") || side->model->time_axis < 0)
        return false;
    int64_t axis = -1;
    size_t count;
    const int64_t *axes = i3d_ints(node, "axes", &count);
    if (count == 1) {
        axis = axes[0];
    } else if (!count && node->input_count > 1) {
        const struct i3d_tensor *tensor = i3d_side_tensor(side, node->inputs[1]);
        int stored;
        if (!tensor || i3d_tensor_integers(tensor, &axis, 1, &stored, NULL) || stored != 1)
            return false;
    }
    return axis == side->model->time_axis || axis == side->model->time_axis - 5;
}

/* Steps back over what does not compute, marking it. */
static const char *step_over(const struct i3d_side *side, const char *value, bool *seen)
{
    for (size_t steps = 0; steps <= side->model->node_count; steps++) {
        const struct i3d_node *node = producer(side, value);
        if (!node || !node->input_count || !*node->inputs[0]
            || (kind_of(node) != TRANSPARENT && !is_mean_over_time(side, node)))
            break;
        seen[node - side->model->nodes] = true;
        value = node->inputs[0];
    }
    return value;
}

static void push(struct matcher *matcher, const char *flat, const char *inflated)
{
    if (matcher->task_count == matcher->task_room) {
        size_t room = matcher->task_room * 2 + 64;
        struct task *grown = realloc(matcher->tasks, room * sizeof *grown);
        if (!grown) {
            matcher->failed = true;
            return;
        }
        matcher->tasks = grown;
        matcher->task_room = room;
    }
    matcher->tasks[matcher->task_count++] = (struct task){ flat, inflated };
}

static void add_entry(struct matcher *matcher, struct i3d_pairing_entry entry)
{
    struct i3d_pairing *pairing = matcher->pairing;
    if (pairing->count == pairing->room) {
        size_t room = pairing->room * 2 + 64;
        struct i3d_pairing_entry *grown = realloc(pairing->entries, room * sizeof *grown);
        if (!grown) {
            matcher->failed = true;
            return;
        }
        pairing->entries = grown;
        pairing->room = room;
    }
    entry.flat_node = i3d_index_producer(matcher->flat->index, entry.flat);
    entry.inflated_node = i3d_index_producer(matcher->inflated->index, entry.inflated);
    if (entry.flat_node == I3D_NOWHERE || entry.inflated_node == I3D_NOWHERE)
        return; /* an output that is the input itself computes nothing */
    pairing->entries[pairing->count++] = entry;
    matcher->flat_seen[entry.flat_node] = true;
    matcher->inflated_seen[entry.inflated_node] = true;
}

static void note_obstacle(struct matcher *matcher, const char *flat, const char *inflated)
{
    if (*matcher->pairing->obstacle)
        return;
    const struct i3d_node *a = producer(matcher->flat, flat);
    const struct i3d_node *b = producer(matcher->inflated, inflated);
    snprintf(matcher->pairing->obstacle, sizeof matcher->pairing->obstacle,
             "2D %.60s (%.20s) has no partner: the 3D network has %.60s (%.20s) there", flat,
             a ? a->op_type : "input", inflated, b ? b->op_type : "input");
}

/* How many of the inputs carry activations; the others are parameters. */
static size_t data_inputs(const struct i3d_side *side, const struct i3d_node *node)
{
    enum kind kind = kind_of(node);
    if (kind == LINEAR && node->input_count > 1 && !i3d_side_tensor(side, node->inputs[1]))
        return 2;
    if (kind != OTHER || i3d_is(node, "Clip") || i3d_is(node, "PRelu") || i3d_is(node, "Gather"))
        return node->input_count ? 1 : 0;
    return node->input_count;
}

static bool is_crossable(const struct i3d_node *node)
{
    return (i3d_is(node, "Add") || i3d_is(node, "Mul")) && node->input_count == 2;
}

/* Whether the nearest computing nodes behind the two values are of one kind. */
static bool look_alike(struct matcher *matcher, const char *flat, const char *inflated)
{
    flat = step_over(matcher->flat, flat, matcher->flat_seen);
    inflated = step_over(matcher->inflated, inflated, matcher->inflated_seen);
    const struct i3d_node *a = producer(matcher->flat, flat);
    const struct i3d_node *b = producer(matcher->inflated, inflated);
    bool a_stored = i3d_side_tensor(matcher->flat, flat);
    bool b_stored = i3d_side_tensor(matcher->inflated, inflated);
    if (!a || !b)
        return !a && !b && a_stored == b_stored;
    return kind_of(a) == kind_of(b) && (kind_of(a) != OTHER || !strcmp(a->op_type, b->op_type));
}

static void push_inputs(struct matcher *matcher, const struct i3d_node *a,
                        const struct i3d_node *b)
{
    size_t count = data_inputs(matcher->flat, a);
    if (count != data_inputs(matcher->inflated, b)) {
        note_obstacle(matcher, a->outputs[0], b->outputs[0]);
        return;
    }
    bool crossed = is_crossable(a) && !look_alike(matcher, a->inputs[0], b->inputs[0])
        && look_alike(matcher, a->inputs[0], b->inputs[1])
        && look_alike(matcher, a->inputs[1], b->inputs[0]);
    for (size_t k = count; k-- > 0;)
        push(matcher, a->inputs[k], b->inputs[crossed ? 1 - k : k]);
}

/* The convolution behind a BatchNormalization, or null. */
static const struct i3d_node *normalised(const struct i3d_side *side, const struct i3d_node *node,
                                         bool *seen)
{
    if (kind_of(node) != BATCH_NORM)
        return NULL;
    const struct i3d_node *linear = producer(side, step_over(side, node->inputs[0], seen));
    return linear && i3d_is_linear(linear) ? linear : NULL;
}

static void match(struct matcher *matcher, struct task task)
{
    const char *flat = step_over(matcher->flat, task.flat, matcher->flat_seen);
    const char *inflated = step_over(matcher->inflated, task.inflated, matcher->inflated_seen);
    const struct i3d_node *a = producer(matcher->flat, flat);
    const struct i3d_node *b = producer(matcher->inflated, inflated);
    int64_t value = i3d_index_value(matcher->flat->index, flat);
    if (!a && !b)
        return; /* inputs or stored constants on both sides */
    if (!a || !b || value == I3D_NOWHERE) {
        note_obstacle(matcher, flat, inflated);
        return;
    }
    if (matcher->partner[value])
        return;
    struct i3d_pairing_entry entry = { .flat = flat, .inflated = inflated };
    enum kind kind = kind_of(a);
    if (kind != kind_of(b) || (kind == OTHER && strcmp(a->op_type, b->op_type))) {
        const struct i3d_node *behind_a = normalised(matcher->flat, a, matcher->flat_seen);
        const struct i3d_node *behind_b = normalised(matcher->inflated, b, matcher->inflated_seen);
        if (behind_a && i3d_is_linear(b)) {
            matcher->flat_seen[behind_a - matcher->flat->model->nodes] = true;
            a = behind_a;
        } else if (behind_b && i3d_is_linear(a)) {
            matcher->inflated_seen[behind_b - matcher->inflated->model->nodes] = true;
            b = behind_b;
        } else {
            note_obstacle(matcher, flat, inflated);
            return;
        }
        entry.folded = true;
    }
    matcher->partner[value] = inflated;
    add_entry(matcher, entry);
    push_inputs(matcher, a, b);
}

/* Nodes that compute from activations and were neither paired nor stepped over. */
static size_t count_unpaired(const struct i3d_side *side, const bool *seen)
{
    size_t unpaired = 0;
    for (size_t i = 0; i < side->model->node_count; i++) {
        const struct i3d_node *node = &side->model->nodes[i];
        bool computes = kind_of(node) != TRANSPARENT && !i3d_is(node, "Shape");
        bool stored = true;
        for (size_t k = 0; k < node->input_count; k++)
            stored &= !*node->inputs[k] || i3d_side_tensor(side, node->inputs[k]);
        unpaired += computes && !stored && !seen[i];
    }
    return unpaired;
}

static int by_flat_node(const void *a, const void *b)
{
    const struct i3d_pairing_entry *first = a, *second = b;
    if (first->flat_node != second->flat_node)
        return first->flat_node < second->flat_node ? -1 : 1;
    return (first->output > second->output) - (first->output < second->output);
}

static void pair_outputs(struct matcher *matcher)
{
    const struct i3d_model *flat = matcher->flat->model, *inflated = matcher->inflated->model;
    size_t count = flat->output_count < inflated->output_count ? flat->output_count
                                                               : inflated->output_count;
    for (size_t i = count; i-- > 0;)
        push(matcher, flat->outputs[i].name, inflated->outputs[i].name);
    while (matcher->task_count && !matcher->failed)
        match(matcher, matcher->tasks[--matcher->task_count]);

    bool all = count && flat->output_count == inflated->output_count;
    for (size_t i = 0; i < count; i++) {
        const char *a = flat->outputs[i].name, *b = inflated->outputs[i].name;
        const char *inner = step_over(matcher->flat, a, matcher->flat_seen);
        const char *inner_3d = step_over(matcher->inflated, b, matcher->inflated_seen);
        int64_t value = i3d_index_value(matcher->flat->index, inner);
        all &= value != I3D_NOWHERE && matcher->partner[value];
        if (strcmp(inner, a) || strcmp(inner_3d, b))
            add_entry(matcher, (struct i3d_pairing_entry){ .flat = a, .inflated = b,
                                                           .output = true });
    }
    matcher->pairing->outputs_paired = all;
}

enum i3d_status i3d_pair(const struct i3d_side *flat, const struct i3d_side *inflated,
                         struct i3d_pairing *pairing, struct i3d_error *error)
{
    *pairing = (struct i3d_pairing){ 0 };
    struct matcher matcher = { .flat = flat, .inflated = inflated, .pairing = pairing };
    matcher.partner = calloc(i3d_index_value_count(flat->index) + 1, sizeof *matcher.partner);
    matcher.flat_seen = calloc(flat->model->node_count + 1, sizeof(bool));
    matcher.inflated_seen = calloc(inflated->model->node_count + 1, sizeof(bool));
    matcher.failed = !matcher.partner || !matcher.flat_seen || !matcher.inflated_seen;
    if (!matcher.failed) {
        pair_outputs(&matcher);
        pairing->unpaired_flat = count_unpaired(flat, matcher.flat_seen);
        pairing->unpaired_inflated = count_unpaired(inflated, matcher.inflated_seen);
        qsort(pairing->entries, pairing->count, sizeof *pairing->entries, by_flat_node);
    }
    free(matcher.tasks);
    free(matcher.partner);
    free(matcher.flat_seen);
    free(matcher.inflated_seen);
    if (!matcher.failed)
        return I3D_OK;
    i3d_pairing_free(pairing);
    return i3d_fail_memory(error);
}

void i3d_pairing_free(struct i3d_pairing *pairing)
{
    free(pairing->entries);
    *pairing = (struct i3d_pairing){ 0 };
}
