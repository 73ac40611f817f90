#include "verify/twins.h"

#include <stdlib.h>
#include <string.h>

/* Operators whose meaning changed with a version of ONNX's operator set. */
static bool changed_between(const struct i3d_node *node, int64_t one, int64_t other)
{
    static const struct {
        const char *op_type;
        int64_t version;
    } changes[] = {
        { "Resize", 11 }, { "Softmax", 13 }, { "LogSoftmax", 13 }, { "GroupNormalization", 21 },
        { "Split", 18 },  { "PRelu", 7 },    { "Add", 7 },         { "Mul", 7 },
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (i3d_is(node, changes[i].op_type)
            && (one < changes[i].version) != (other < changes[i].version))
            return true;
    return false;
}

/* The axis of a Softmax is the same in either version where it is the last one, or
 * all behind it have length 1. */
static bool softmax_is_plain(const struct i3d_structure *structure, const struct i3d_node *node,
                             int64_t *axis)
{
    const struct i3d_shape *shape = i3d_shape_of(structure->shapes, node->inputs[0]);
    *axis = i3d_int(node, "axis", i3d_opset(structure->model) < 13 ? 1 : -1);
    *axis += *axis < 0 ? shape->rank : 0;
    for (int k = (int)*axis + 1; k < shape->rank; k++)
        if (shape->dims[k] != 1)
            return false;
    return shape->rank > 0;
}

static enum i3d_status check_versions(const struct i3d_structure *flat, int64_t opset,
                                      struct i3d_error *error)
{
    int64_t own = i3d_opset(flat->model), axis;
    for (size_t i = 0; i < flat->model->node_count; i++) {
        const struct i3d_node *node = &flat->model->nodes[i];
        if (!changed_between(node, own, opset)
            || (i3d_is_softmax(node) && softmax_is_plain(flat, node, &axis)))
            continue;
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "%s means something else in operator set %lld, which the 3D file has, "
                        "than in %lld", node->op_type, (long long)opset, (long long)own);
    }
    return I3D_OK;
}

static bool add_input(struct i3d_twins *twins, enum i3d_side side)
{
    const struct i3d_model *from = side == I3D_INFLATED ? twins->inflated->model
                                                        : twins->flat->model;
    struct i3d_value *value = i3d_model_add_input(twins->model);
    if (!value)
        return false;
    *value = from->inputs[0];
    value->doc = NULL;
    value->unknown = (struct i3d_bytes){ 0 };
    for (int k = 0; k < value->rank; k++)
        value->dims[k].name = NULL;
    const char *name = i3d_twins_name(twins, side, from->inputs[0].name);
    value->name = name ? name : "";
    return name;
}

enum i3d_status i3d_twins_open(const struct i3d_pairing *pairing, const struct i3d_frames *frames,
                               bool image, struct i3d_twins *twins, struct i3d_error *error)
{
    const struct i3d_model *flat = pairing->flat->model, *inflated = pairing->inflated->model;
    *twins = (struct i3d_twins){
        .model = i3d_model_new(),
        .flat = pairing->flat,
        .inflated = pairing->inflated,
        .pairing = pairing,
        .frames = frames,
        .flat_tensors = calloc(flat->tensor_count + 1, sizeof(bool)),
        .inflated_tensors = calloc(inflated->tensor_count + 1, sizeof(bool)),
        .flat_nodes = calloc(flat->node_count + 1, sizeof(bool)),
        .error = error,
    };
    if (!twins->model || !twins->flat_tensors || !twins->inflated_tensors || !twins->flat_nodes)
        return i3d_fail_memory(error);
    twins->model->time_axis = inflated->time_axis;
    bool good = i3d_set_opset(twins->model, "", i3d_opset(inflated))
        && (!image || add_input(twins, I3D_REFERENCE)) && add_input(twins, I3D_INFLATED);
    return good ? check_versions(pairing->flat, i3d_opset(inflated), error)
                : i3d_fail_memory(error);
}

void i3d_twins_close(struct i3d_twins *twins)
{
    i3d_model_free(twins->model);
    free(twins->flat_tensors);
    free(twins->inflated_tensors);
    free(twins->flat_nodes);
    free(twins->comparisons);
    *twins = (struct i3d_twins){ 0 };
}

const char *i3d_twins_name(struct i3d_twins *twins, enum i3d_side side, const char *value)
{
    if (!*value)
        return "";
    const struct i3d_structure *from = side == I3D_INFLATED ? twins->inflated : twins->flat;
    bool *copied = side == I3D_INFLATED ? twins->inflated_tensors : twins->flat_tensors;
    const char *name = i3d_arena_printf(twins->model->arena, "%c:%s",
                                        side == I3D_INFLATED ? '3' : '2', value);
    int64_t position = i3d_index_tensor(from->index, value);
    if (!name || position < 0 || copied[position])
        return name;
    struct i3d_tensor *tensor = i3d_model_copy_tensor(twins->model, &from->model->tensors[position]);
    if (!tensor)
        return NULL;
    tensor->name = name;
    copied[position] = true;
    return name;
}

const char *i3d_twins_new_name(struct i3d_twins *twins, const char *what)
{
    return i3d_arena_printf(twins->model->arena, "n:%zu/%s", twins->names++, what);
}

struct i3d_node *i3d_twins_copy(struct i3d_twins *twins, enum i3d_side side,
                                const struct i3d_node *node)
{
    const struct i3d_structure *from = side == I3D_INFLATED ? twins->inflated : twins->flat;
    struct i3d_node *copy = i3d_model_copy_node(twins->model, node);
    bool good = copy != NULL;
    for (size_t k = 0; good && k < node->input_count; k++)
        good = (copy->inputs[k] = i3d_twins_name(twins, side, node->inputs[k])) != NULL;
    for (size_t k = 0; good && k < node->output_count; k++)
        good = (copy->outputs[k] = i3d_twins_name(twins, side, node->outputs[k])) != NULL;
    int64_t axis;
    if (good && i3d_is_softmax(node)
        && changed_between(node, i3d_opset(from->model), i3d_opset(twins->model))
        && softmax_is_plain(from, node, &axis))
        good = i3d_set_int(twins->model, copy, "axis", axis);
    return good ? copy : NULL;
}

enum i3d_status i3d_twins_emit_flat(struct i3d_twins *twins, const char *value)
{
    const struct i3d_structure *flat = twins->flat;
    int64_t last = i3d_index_producer(flat->index, value);
    bool *wanted = calloc(flat->model->node_count + 1, sizeof *wanted);
    if (!wanted)
        return i3d_fail_memory(twins->error);
    enum i3d_status status = I3D_OK;
    if (last >= 0)
        wanted[last] = true;
    for (int64_t i = last; i >= 0; i--) {
        wanted[i] &= !twins->flat_nodes[i];
        const struct i3d_node *node = &flat->model->nodes[i];
        for (size_t k = 0; wanted[i] && k < node->input_count; k++) {
            int64_t producer = i3d_index_producer(flat->index, node->inputs[k]);
            if (producer >= 0)
                wanted[producer] = true;
        }
    }
    for (int64_t i = 0; i <= last && !status; i++) {
        if (!wanted[i])
            continue;
        twins->flat_nodes[i] = true;
        if (!i3d_twins_copy(twins, I3D_REFERENCE, &flat->model->nodes[i]))
            status = i3d_fail_memory(twins->error);
    }
    free(wanted);
    return status;
}

const char *i3d_twins_ints(struct i3d_twins *twins, const int64_t *values, int64_t count)
{
    const char *name = i3d_twins_new_name(twins, "numbers");
    bool good = name && !i3d_model_put_ints(twins->model, name, 1, &count, values, NULL);
    return good ? name : NULL;
}

const char *i3d_twins_node(struct i3d_twins *twins, const char *op_type,
                           const char *const *inputs, struct i3d_node **node)
{
    const char *name = i3d_twins_new_name(twins, op_type);
    struct i3d_node *made = name ? i3d_model_put_node(twins->model, op_type, name, inputs,
                                                      (const char *[]){ name, NULL }) : NULL;
    if (node)
        *node = made;
    return made ? name : NULL;
}

const char *i3d_twins_reshape(struct i3d_twins *twins, const char *value, int rank,
                              const int64_t *dims)
{
    const char *numbers = i3d_twins_ints(twins, dims, rank);
    return numbers ? i3d_twins_node(twins, "Reshape", (const char *[]){ value, numbers, NULL },
                                    NULL) : NULL;
}

enum i3d_status i3d_twins_compare(struct i3d_twins *twins, struct i3d_comparison comparison)
{
    if (twins->count == twins->room) {
        size_t room = twins->room ? 2 * twins->room : 64;
        void *grown = realloc(twins->comparisons, room * sizeof *twins->comparisons);
        if (!grown)
            return i3d_fail_memory(twins->error);
        twins->comparisons = grown;
        twins->room = room;
    }
    twins->comparisons[twins->count++] = comparison;
    return I3D_OK;
}

enum i3d_status i3d_twins_hold(struct i3d_twins *twins, const char *reference)
{
    return i3d_twins_node(twins, "Shape", (const char *[]){ reference, NULL }, NULL)
        ? I3D_OK : i3d_fail_memory(twins->error);
}
