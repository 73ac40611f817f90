#include "verify/array.h"
#include "verify/step.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, MOST_ROOTS = 1 << 14 };

/* A value, and the storage that it is the first of. Storages form trees: one that
 * has a parent is a range of it. */
struct storage {
    size_t bytes;  /* 0: not planned */
    size_t parent; /* its own number: a root */
    size_t offset; /* in the parent, or of a root in the memory */
    size_t born, dies; /* first and last step; a root's cover all values in it */
    size_t last_read;  /* of the value alone */
};

struct placing {
    const struct i3d_model *model;
    const struct i3d_index *index;
    const struct i3d_shapes *shapes;
    const struct i3d_step *steps;
    size_t count;
    struct storage *storages; /* by the index' numbers */
    size_t storage_count;
};

/* The root that a value lies in, and where. Chains are cut short on the way. */
static size_t find_root(struct placing *placing, size_t value, size_t *offset)
{
    size_t root = value, total = 0;
    while (placing->storages[root].parent != root) {
        total += placing->storages[root].offset;
        root = placing->storages[root].parent;
    }
    if (offset)
        *offset = total;
    for (size_t left = total; placing->storages[value].parent != value;) {
        struct storage *storage = &placing->storages[value];
        size_t next = storage->parent, step = storage->offset;
        storage->parent = root;
        storage->offset = left;
        left -= step;
        value = next;
    }
    return root;
}

static size_t planned_bytes(const struct placing *placing, const char *value, size_t *element)
{
    const struct i3d_shape *shape = i3d_shape_of(placing->shapes, value);
    enum i3d_dtype dtype = i3d_array_dtype(shape->dtype);
    if (shape->rank < 0 || !dtype || !i3d_array_sound(shape->rank, shape->dims))
        return 0;
    for (int k = 0; k < shape->rank; k++)
        if (shape->dims[k] < 0)
            return 0;
    *element = i3d_dtype_size(dtype);
    return (size_t)i3d_element_count(shape->rank, shape->dims) * *element;
}

static bool is_one_of(const struct i3d_node *node, const char *const *op_types)
{
    for (; *op_types; op_types++)
        if (i3d_is(node, *op_types))
            return true;
    return false;
}

/* Operators that make output 0 of input 0's elements in order (their functions call
 * i3d_op_reshape). */
static bool is_view(const struct i3d_node *node)
{
    static const char *const views[] = { "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity",
                                         "Dropout", NULL };
    return is_one_of(node, views);
}

/* Operators that may overwrite input 0 with output 0 (i3d_op_output_like_first). */
static bool is_pointwise(const struct i3d_node *node)
{
    static const char *const pointwise[] = {
        "BatchNormalization", "Abs", "Neg", "Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid",
        "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Erf", "Gelu", "Exp", "Log", "Sqrt",
        "Reciprocal", "Floor", "Ceil", "Clip", "Softmax", "LogSoftmax", NULL,
    };
    return is_one_of(node, pointwise);
}

static void lie_within(struct placing *placing, size_t value, size_t parent, size_t offset)
{
    struct storage *part = &placing->storages[value];
    part->parent = parent;
    part->offset = offset;
    struct storage *whole = &placing->storages[find_root(placing, parent, NULL)];
    whole->born = part->born < whole->born ? part->born : whole->born;
    whole->dies = part->dies > whole->dies ? part->dies : whole->dies;
}

/* Joined values move to where Concat wants them. */
static void place_parts(struct placing *placing, const struct i3d_node *node, size_t whole)
{
    size_t element;
    const struct i3d_shape *shape = i3d_shape_of(placing->shapes, node->outputs[0]);
    int64_t axis = i3d_int(node, "axis", 1);
    axis = axis < 0 ? axis + shape->rank : axis;
    for (int64_t k = 0; k < axis && k < shape->rank; k++)
        if (shape->dims[k] != 1)
            return;
    size_t at = 0;
    for (size_t k = 0; k < node->input_count; k++) {
        size_t bytes = planned_bytes(placing, node->inputs[k], &element);
        int64_t number = i3d_index_value(placing->index, node->inputs[k]);
        if (number == I3D_NOWHERE || (!bytes && i3d_shape_of(placing->shapes, node->inputs[k])->rank < 0))
            return;
        if (placing->storages[number].bytes) {
            size_t offset, root = find_root(placing, (size_t)number, &offset);
            if (!offset && root != whole && placing->storages[root].bytes == bytes)
                lie_within(placing, root, whole, at);
        }
        at += bytes;
    }
}

static void place_outputs(struct placing *placing, size_t at)
{
    const struct i3d_step *step = &placing->steps[at];
    const struct i3d_node *node = step->last;
    size_t outputs = step->node == node ? node->output_count : 1, element;
    for (size_t k = 0; k < outputs; k++) {
        int64_t number = i3d_index_value(placing->index, node->outputs[k]);
        if (number == I3D_NOWHERE || placing->storages[number].bytes)
            continue;
        struct storage *storage = &placing->storages[number];
        storage->bytes = planned_bytes(placing, node->outputs[k], &element);
        storage->born = at;
        storage->dies = storage->last_read > at ? storage->last_read : at;
        if (k || !storage->bytes)
            continue;
        int64_t first = node->input_count ? i3d_index_value(placing->index, node->inputs[0])
                                          : I3D_NOWHERE;
        bool follows = step->node == node && first != I3D_NOWHERE && first != number
            && placing->storages[first].bytes == storage->bytes;
        if (follows && (is_view(node)
                        || (is_pointwise(node)
                            && placing->storages[find_root(placing, (size_t)first, NULL)].dies
                                <= at)))
            lie_within(placing, (size_t)number, (size_t)first, 0);
        else if (i3d_is(node, "Concat"))
            place_parts(placing, node, (size_t)number);
    }
}

static void note_reads(struct placing *placing)
{
    for (size_t i = 0; i < placing->storage_count; i++)
        placing->storages[i].parent = i;
    for (size_t i = 0; i < placing->count; i++) {
        for (size_t k = 0; k < i3d_step_read_count(&placing->steps[i]); k++) {
            int64_t number = i3d_index_value(placing->index,
                                             i3d_step_read(&placing->steps[i], k));
            if (number != I3D_NOWHERE)
                placing->storages[number].last_read = i;
        }
    }
    for (size_t i = 0; i < placing->model->output_count; i++) {
        int64_t number = i3d_index_value(placing->index, placing->model->outputs[i].name);
        if (number != I3D_NOWHERE)
            placing->storages[number].last_read = placing->count;
    }
}

static int larger_first(const void *a, const void *b)
{
    const struct storage *left = *(struct storage *const *)a, *right = *(struct storage *const *)b;
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? 1 : -1;
    return left < right ? -1 : left > right;
}

/* The lowest place beside those already given to storages that live at the same time. */
static size_t lowest_place(struct storage *const *roots, size_t done, const struct storage *root,
                           const size_t *by_place)
{
    size_t at = 0;
    for (size_t i = 0; i < done; i++) {
        const struct storage *other = roots[by_place[i]];
        if (other->dies < root->born || root->dies < other->born)
            continue;
        if (other->offset >= at && other->offset - at >= root->bytes)
            break;
        size_t end = other->offset + other->bytes;
        at = end > at ? end : at;
    }
    return at;
}

/* Largest first, each as low as it can be. */
static enum i3d_status pack_roots(struct placing *placing, size_t *bytes, struct i3d_error *error)
{
    size_t count = 0;
    struct storage **roots = malloc((placing->storage_count + 1) * sizeof *roots);
    size_t *by_place = malloc((placing->storage_count + 1) * sizeof *by_place);
    if (!roots || !by_place) {
        free(roots);
        free(by_place);
        return i3d_fail_memory(error);
    }
    for (size_t i = 0; i < placing->storage_count; i++) {
        struct storage *storage = &placing->storages[i];
        if (!storage->bytes || storage->parent != i)
            continue;
        storage->bytes = (storage->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        roots[count++] = storage;
    }
    qsort(roots, count, sizeof *roots, larger_first);
    *bytes = 0;
    for (size_t i = 0; i < count && i < MOST_ROOTS; i++) {
        struct storage *root = roots[i];
        root->offset = lowest_place(roots, i, root, by_place);
        size_t k = i;
        for (; k > 0 && roots[by_place[k - 1]]->offset > root->offset; k--)
            by_place[k] = by_place[k - 1];
        by_place[k] = i;
        if (root->offset + root->bytes > *bytes)
            *bytes = root->offset + root->bytes;
    }
    for (size_t i = MOST_ROOTS; i < count; i++)
        roots[i]->bytes = 0;
    free(roots);
    free(by_place);
    return I3D_OK;
}

enum i3d_status i3d_place_values(const struct i3d_model *model, const struct i3d_index *index,
                                 const struct i3d_shapes *shapes, const struct i3d_step *steps,
                                 size_t count, struct i3d_placement *placement,
                                 struct i3d_error *error)
{
    struct placing placing = { model, index, shapes, steps, count, NULL,
                               i3d_index_value_count(index) };
    *placement = (struct i3d_placement){
        .places = calloc(placing.storage_count + 1, sizeof *placement->places),
    };
    placing.storages = calloc(placing.storage_count + 1, sizeof *placing.storages);
    enum i3d_status status = placement->places && placing.storages ? I3D_OK
                                                                   : i3d_fail_memory(error);
    if (!status) {
        note_reads(&placing);
        for (size_t i = 0; i < count; i++)
            place_outputs(&placing, i);
        /* A root's bytes are rounded up below; values keep their own. */
        for (size_t i = 0; i < placing.storage_count; i++)
            placement->places[i].bytes = placing.storages[i].bytes;
        status = pack_roots(&placing, &placement->bytes, error);
    }
    for (size_t i = 0; !status && i < placing.storage_count; i++) {
        size_t offset, root = find_root(&placing, i, &offset);
        struct i3d_place *place = &placement->places[i];
        place->is_planned = place->bytes && placing.storages[root].bytes;
        place->offset = placing.storages[root].offset + offset;
    }
    free(placing.storages);
    return status;
}
