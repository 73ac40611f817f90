#include "converters/inflater.h"

#include <stdlib.h>
#include <string.h>


enum i3d_status i3d_put_derived(struct i3d_model *to, const char *name,
                                const struct i3d_tensor *of, int rank, const int64_t *dims,
                                struct i3d_source *source, struct i3d_error *error)
{
    if (of->source)
        return i3d_model_put_tensor(to, name, of->dtype, rank, dims, source, error);
    struct i3d_tensor *tensor = i3d_model_add_tensor(to);
    const char *copy = tensor ? i3d_arena_string(to->arena, name) : NULL;
    if (!copy)
        return i3d_fail_memory(error);
    tensor->name = copy;
    tensor->dtype = of->dtype;
    tensor->rank = rank;
    if (rank)
        memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    return I3D_OK;
}

/* The same elements under another name and shape. The model's tensors move when
 * one is added, so `of` is a copy. */
static enum i3d_status put_alias(struct i3d_model *model, const char *name, struct i3d_tensor of,
                                 int rank, const int64_t *dims, struct i3d_error *error)
{
    return i3d_put_derived(model, name, &of, rank, dims, i3d_source_retain(of.source), error);
}

static enum i3d_status fold_constant(struct i3d_model *model, const struct i3d_node *node,
                                     bool *folded, struct i3d_error *error)
{
    const struct i3d_attribute *value = i3d_attribute(node, "value");
    if (value && value->type == I3D_ATTRIBUTE_TENSOR && value->tensor) {
        *folded = true;
        return put_alias(model, node->outputs[0], *value->tensor, value->tensor->rank,
                         value->tensor->dims, error);
    }
    static const char *const forms[] = { "value_int", "value_ints", "value_float",
                                         "value_floats" };
    for (int i = 0; i < 4; i++) {
        const struct i3d_attribute *form = i3d_attribute(node, forms[i]);
        if (!form)
            continue;
        int64_t count = (int64_t)form->count;
        *folded = true;
        if (i < 2)
            return i3d_model_put_ints(model, node->outputs[0], i, &count,
                                      i ? form->ints : &form->i, error);
        return i3d_model_put_floats(model, node->outputs[0], i - 2, &count,
                                    i == 3 ? form->floats : &form->f, error);
    }
    return I3D_OK;
}

static enum i3d_status fold_fill(struct i3d_model *model, const struct i3d_node *node,
                                 bool *folded, struct i3d_error *error)
{
    const struct i3d_tensor *shape = i3d_find_tensor(model, node->inputs[0]);
    int64_t dims[I3D_MAX_RANK];
    int rank;
    if (!shape || !shape->source)
        return I3D_OK;
    enum i3d_status status = i3d_tensor_integers(shape, dims, I3D_MAX_RANK, &rank, error);
    if (status)
        return i3d_error_where(error, "node %s", node->name);
    int64_t elements = i3d_element_count(rank, dims);
    if (elements < 0) {
        i3d_fail(error, I3D_MALFORMED, "ConstantOfShape asks for a negative or too large shape");
        return i3d_error_where(error, "node %s", node->name);
    }
    const struct i3d_attribute *value = i3d_attribute(node, "value");
    unsigned char element[8] = { 0 };
    enum i3d_dtype dtype = I3D_FLOAT32;
    if (value && value->tensor) {
        dtype = value->tensor->dtype;
        if (i3d_tensor_elements(value->tensor) != 1) {
            i3d_fail(error, I3D_MALFORMED, "ConstantOfShape takes one value");
            return i3d_error_where(error, "node %s", node->name);
        }
        status = i3d_source_read(value->tensor->source, 0, element, i3d_dtype_size(dtype), error);
        if (status)
            return status;
    }
    size_t size = i3d_dtype_size(dtype);
    *folded = true;
    return i3d_model_put_tensor(model, node->outputs[0], dtype, rank, dims,
                                i3d_source_fill(element, size, (uint64_t)elements * size), error);
}

/* Identity, and Reshape to a shape that is known: the same bytes, another name.
 * known_shape is what shape inference says of the output. */
static enum i3d_status fold_alias(struct i3d_model *model, const struct i3d_node *node,
                                  const struct i3d_shape *known_shape, bool *folded,
                                  struct i3d_error *error)
{
    const struct i3d_tensor *tensor = i3d_find_tensor(model, node->inputs[0]);
    if (!tensor)
        return I3D_OK;
    if (i3d_is(node, "Identity")) {
        *folded = true;
        return put_alias(model, node->outputs[0], *tensor, tensor->rank, tensor->dims, error);
    }
    if (known_shape->rank < 0
        || i3d_element_count(known_shape->rank, known_shape->dims) != i3d_tensor_elements(tensor))
        return I3D_OK;
    *folded = true;
    return put_alias(model, node->outputs[0], *tensor, known_shape->rank, known_shape->dims, error);
}

static enum i3d_status fold_node(struct i3d_model *model, const struct i3d_node *node,
                                 const struct i3d_shapes *shapes, bool *folded,
                                 struct i3d_error *error)
{
    *folded = false;
    if (node->output_count != 1)
        return I3D_OK;
    if (i3d_is(node, "Constant"))
        return fold_constant(model, node, folded, error);
    if (node->input_count < 1)
        return I3D_OK;
    if (i3d_is(node, "ConstantOfShape"))
        return fold_fill(model, node, folded, error);
    if (i3d_is(node, "Identity") || i3d_is(node, "Reshape"))
        return fold_alias(model, node, i3d_shape_of(shapes, node->outputs[0]), folded, error);
    return I3D_OK;
}

static bool is_output(const struct i3d_model *model, const char *name)
{
    for (size_t i = 0; i < model->output_count; i++)
        if (!strcmp(model->outputs[i].name, name))
            return true;
    return false;
}

enum i3d_status i3d_resolve_constants(struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_shapes *shapes;
    enum i3d_status status = i3d_infer_shapes(model, NULL, NULL, 0, &shapes, error);
    size_t kept = 0;
    for (size_t i = 0; i < model->node_count && !status; i++) {
        struct i3d_node node = model->nodes[i];
        bool folded = false;
        if (node.output_count == 1 && !is_output(model, node.outputs[0]))
            status = fold_node(model, &node, shapes, &folded, error);
        if (folded && !status) {
            for (size_t k = 0; k < node.attribute_count; k++)
                if (node.attributes[k].tensor)
                    i3d_source_release(node.attributes[k].tensor->source);
        } else {
            model->nodes[kept++] = node;
        }
        if (status) /* keep the rest, so that the model can be freed */
            for (size_t rest = i + 1; rest < model->node_count; rest++)
                model->nodes[kept++] = model->nodes[rest];
    }
    if (shapes)
        i3d_shapes_free(shapes);
    if (kept || !status)
        model->node_count = kept;
    return status;
}
