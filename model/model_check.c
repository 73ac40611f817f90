#include "model/index.h"

#include <string.h>

static enum i3d_status check_tensors(const struct i3d_model *model, const struct i3d_index *index,
                                     struct i3d_error *error)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct i3d_tensor *tensor = &model->tensors[i];
        if (!*tensor->name) {
            i3d_fail(error, I3D_MALFORMED, "a tensor has no name");
            return i3d_error_where(error, "tensor %zu", i);
        }
        if (i3d_index_tensor(index, tensor->name) != (int64_t)i)
            i3d_fail(error, I3D_MALFORMED, "two tensors have this name");
        else if (!i3d_dtype_size(tensor->dtype))
            i3d_fail(error, I3D_UNSUPPORTED, "tensors of type %s are not handled",
                     i3d_dtype_name(tensor->dtype));
        else if (i3d_tensor_elements(tensor) < 0)
            i3d_fail(error, I3D_MALFORMED, "its shape is negative or too large");
        else if (tensor->source && i3d_source_length(tensor->source) != i3d_tensor_bytes(tensor))
            i3d_fail(error, I3D_MALFORMED, "it has %llu bytes where its shape asks for %llu",
                     (unsigned long long)i3d_source_length(tensor->source),
                     (unsigned long long)i3d_tensor_bytes(tensor));
        else
            continue;
        return i3d_error_where(error, "tensor %s", tensor->name);
    }
    return I3D_OK;
}

/* Whether the value exists before node `position` runs. */
static bool is_defined(const struct i3d_index *index, const char *name, size_t position)
{
    int64_t producer = i3d_index_producer(index, name);
    if (producer != I3D_NOWHERE)
        return (size_t)producer < position;
    return i3d_index_input(index, name) != I3D_NOWHERE
        || i3d_index_tensor(index, name) != I3D_NOWHERE;
}

static enum i3d_status where_node(const struct i3d_node *node, size_t position,
                                  struct i3d_error *error)
{
    return i3d_error_where(error, "node %zu (%s%s%s)", position, node->op_type,
                           *node->name ? " " : "", node->name);
}

static enum i3d_status check_node(const struct i3d_model *model, const struct i3d_index *index,
                                  size_t position, struct i3d_error *error)
{
    const struct i3d_node *node = &model->nodes[position];
    for (size_t k = 0; k < node->input_count; k++) {
        const char *name = node->inputs[k];
        if (!*name || is_defined(index, name, position))
            continue;
        i3d_fail(error, I3D_MALFORMED, "it reads %s, which nothing before it produces", name);
        return where_node(node, position, error);
    }
    for (size_t k = 0; k < node->output_count; k++) {
        const char *name = node->outputs[k];
        if (!*name)
            continue;
        bool repeated = i3d_index_producer(index, name) != (int64_t)position
            || i3d_index_input(index, name) != I3D_NOWHERE
            || i3d_index_tensor(index, name) != I3D_NOWHERE;
        for (size_t j = 0; j < k; j++)
            repeated |= !strcmp(node->outputs[j], name);
        if (!repeated)
            continue;
        i3d_fail(error, I3D_MALFORMED, "its output %s is produced elsewhere too", name);
        return where_node(node, position, error);
    }
    return I3D_OK;
}

static enum i3d_status check_graph(const struct i3d_model *model, const struct i3d_index *index,
                                   struct i3d_error *error)
{
    for (size_t i = 0; i < model->input_count; i++)
        if (!*model->inputs[i].name || i3d_index_input(index, model->inputs[i].name) != (int64_t)i)
            return i3d_fail(error, I3D_MALFORMED, "graph input %zu has no name of its own", i);
    for (size_t i = 0; i < model->node_count; i++) {
        enum i3d_status status = check_node(model, index, i, error);
        if (status)
            return status;
    }
    for (size_t i = 0; i < model->output_count; i++)
        if (!is_defined(index, model->outputs[i].name, model->node_count))
            return i3d_fail(error, I3D_MALFORMED, "graph output %s is produced nowhere",
                            model->outputs[i].name);
    return I3D_OK;
}

enum i3d_status i3d_model_check(const struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(model);
    if (!index)
        return i3d_fail_memory(error);
    enum i3d_status status = check_tensors(model, index, error);
    if (!status)
        status = check_graph(model, index, error);
    i3d_index_free(index);
    return status;
}
