#include "converters/classifier.h"

#include "model/index.h"
#include "model/shape.h"

#include <stdlib.h>
#include <string.h>

/* The value of that name, or the first output of the node of that name; null. */
static const char *find_value(const struct i3d_model *model, const struct i3d_index *index,
                              const char *name)
{
    if (i3d_index_producer(index, name) != I3D_NOWHERE)
        return name;
    for (size_t i = 0; i < model->node_count; i++)
        if (!strcmp(model->nodes[i].name, name) && model->nodes[i].output_count)
            return model->nodes[i].outputs[0];
    return NULL;
}

/* Marks the nodes that a value needs; nodes stand in topological order. */
static void mark(const struct i3d_model *model, const struct i3d_index *index, const char *value,
                 bool *needed)
{
    int64_t last = i3d_index_producer(index, value);
    needed[last] = true;
    for (int64_t i = last; i >= 0; i--)
        for (size_t k = 0; needed[i] && k < model->nodes[i].input_count; k++) {
            int64_t at = i3d_index_producer(index, model->nodes[i].inputs[k]);
            if (at != I3D_NOWHERE)
                needed[at] = true;
        }
}

/* The value as the graph's only output, with its shape as far as that is known. */
static enum i3d_status make_output(const struct i3d_model *model, const struct i3d_index *index,
                                   const char *value, struct i3d_model *made,
                                   struct i3d_error *error)
{
    struct i3d_shapes *shapes;
    enum i3d_status status = i3d_infer_shapes(model, index, NULL, 0, &shapes, error);
    if (status)
        return status;
    const struct i3d_shape *shape = i3d_shape_of(shapes, value);
    made->output_count = 0;
    struct i3d_value *output = i3d_model_add_output(made);
    const char *name = i3d_arena_string(made->arena, value);
    if (output && name) {
        output->name = name;
        output->dtype = shape->dtype == I3D_UNDEFINED ? I3D_FLOAT32 : shape->dtype;
        output->rank = shape->rank;
        for (int k = 0; k < shape->rank; k++)
            output->dims[k].value = shape->dims[k];
    }
    i3d_shapes_free(shapes);
    return output && name ? I3D_OK : i3d_fail_memory(error);
}

static void sweep(struct i3d_model *made, const struct i3d_index *index, const bool *needed)
{
    size_t kept = 0, tensors = 0;
    bool *read = calloc(made->tensor_count + 1, sizeof *read);
    for (size_t i = 0; i < made->node_count; i++) {
        if (!needed[i])
            continue;
        for (size_t k = 0; read && k < made->nodes[i].input_count; k++) {
            int64_t at = i3d_index_tensor(index, made->nodes[i].inputs[k]);
            if (at != I3D_NOWHERE)
                read[at] = true;
        }
        made->nodes[kept++] = made->nodes[i];
    }
    made->node_count = kept;
    for (size_t i = 0; read && i < made->tensor_count; i++) {
        if (read[i])
            made->tensors[tensors++] = made->tensors[i];
        else
            i3d_source_release(made->tensors[i].source);
    }
    made->tensor_count = read ? tensors : made->tensor_count;
    made->value_count = 0; /* hints that others infer anew */
    free(read);
}

enum i3d_status i3d_cut_at(const struct i3d_model *model, const char *value,
                           struct i3d_model **made, struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(model);
    bool *needed = calloc(model->node_count + 1, sizeof *needed);
    *made = NULL;
    const char *name = index ? find_value(model, index, value) : NULL;
    enum i3d_status status = !index || !needed ? i3d_fail_memory(error)
        : !name ? i3d_fail(error, I3D_USAGE, "no node makes a value %.200s", value)
                : i3d_model_copy(model, made, error);
    if (!status) {
        mark(model, index, name, needed);
        status = make_output(model, index, name, *made, error);
        sweep(*made, index, needed);
    }
    i3d_index_free(index);
    free(needed);
    if (status) {
        i3d_model_free(*made);
        *made = NULL;
    }
    return status;
}
