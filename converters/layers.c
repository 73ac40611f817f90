#include "converters/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATORS = 5 };
static const char *const windows[OPERATORS] = { "Conv", "ConvTranspose", "MaxPool", "AveragePool",
                                                "LpPool" };

static int window_of(const struct i3d_node *node)
{
    for (int i = 0; i < OPERATORS; i++)
        if (i3d_is(node, windows[i]))
            return i;
    return -1;
}

static void add_name(struct i3d_layer *layer, const char *name)
{
    if (!name || !*name)
        return;
    for (int i = 0; i < I3D_LAYER_NAMES; i++) {
        if (!layer->names[i])
            layer->names[i] = name;
        if (!strcmp(layer->names[i], name))
            return;
    }
}

/* "layer1.0.conv1.weight" without ".weight", "a/kernel:0" without "/kernel:0". */
static const char *without_last_part(struct i3d_arena *arena, const char *name)
{
    const char *cut = NULL;
    for (const char *at = name; *at; at++)
        if (*at == '.' || *at == '/')
            cut = at;
    return cut && cut != name ? i3d_arena_copy(arena, name, (size_t)(cut - name)) : name;
}

/* PyTorch's exporter names a node by the scopes it stands in, each with the name
 * of the one around it repeated: "/layer4/layer4.0/conv2/Conv" is an operator of
 * the module layer4.0.conv2. Null: memory; the name itself where it is none. */
static const char *module_of(struct i3d_arena *arena, const char *name)
{
    if (*name != '/' || strlen(name) > 1000)
        return name;
    char path[1024] = "";
    const char *at = name + 1, *scope = "";
    size_t used = 0, scope_length = 0;
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
        size_t length = (size_t)(slash - at);
        bool repeats = scope_length && length > scope_length && at[scope_length] == '.'
            && !strncmp(at, scope, scope_length);
        size_t skip = repeats ? scope_length : 0;
        if (!repeats && used)
            path[used++] = '.';
        memcpy(path + used, at + skip, length - skip);
        used += length - skip;
        scope = at;
        scope_length = length;
    }
    path[used] = '\0';
    return used ? i3d_arena_string(arena, path) : name;
}

static bool name_node(const struct i3d_node *node, const struct i3d_index *index,
                      struct i3d_arena *arena, struct i3d_layer *layer)
{
    const char *module = module_of(arena, node->name);
    if (!module)
        return false;
    add_name(layer, node->name);
    add_name(layer, module);
    if (node->output_count)
        add_name(layer, node->outputs[0]);
    bool weighted = node->input_count > 1
        && i3d_index_tensor(index, node->inputs[1]) != I3D_NOWHERE;
    if (weighted) {
        const char *short_name = without_last_part(arena, node->inputs[1]);
        if (!short_name)
            return false;
        add_name(layer, node->inputs[1]);
        add_name(layer, short_name);
    }
    return true;
}

static void read_kernel(const struct i3d_model *model, const struct i3d_index *index,
                        const struct i3d_node *node, struct i3d_layer *layer)
{
    size_t count;
    const int64_t *shape = i3d_ints(node, "kernel_shape", &count);
    int64_t position = node->input_count > 1 ? i3d_index_tensor(index, node->inputs[1])
                                             : I3D_NOWHERE;
    if (position != I3D_NOWHERE && model->tensors[position].rank == 4)
        memcpy(layer->kernel, model->tensors[position].dims + 2, sizeof layer->kernel);
    else if (count == 2)
        memcpy(layer->kernel, shape, sizeof layer->kernel);
}

enum i3d_status i3d_layers_of_graph(const struct i3d_model *model, const struct i3d_index *index,
                                    struct i3d_arena *arena, struct i3d_layer **out,
                                    struct i3d_error *error)
{
    int64_t seen[OPERATORS] = { 0 };
    struct i3d_layer *layers = calloc(model->node_count + 1, sizeof *layers);
    *out = NULL;
    if (!layers)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        int operator = window_of(node);
        layers[i].op_type = node->op_type;
        if (!name_node(node, index, arena, &layers[i])) {
            free(layers);
            return i3d_fail_memory(error);
        }
        if (operator < 0)
            continue;
        layers[i].position = ++seen[operator];
        read_kernel(model, index, node, &layers[i]);
    }
    for (size_t i = 0; i < model->node_count; i++) {
        int operator = window_of(&model->nodes[i]);
        if (operator >= 0)
            layers[i].count = seen[operator];
    }
    enum i3d_status status = i3d_find_residual_blocks(model, index, layers, error);
    if (status)
        free(layers);
    else
        *out = layers;
    return status;
}

/* "…layer2.0.conv1.weight": stage 2, block 1, place 1; "…layer2.0.downsample.0.weight"
 * and other convolutions of the block: place 0. */
static void read_block_name(const char *name, struct i3d_layer *layer)
{
    const char *at = strstr(name, "layer");
    int stage, block, place, used = 0;
    if (!at || (at != name && at[-1] != '.')
        || sscanf(at, "layer%3d.%3d.%n", &stage, &block, &used) != 2 || !used || stage < 1
        || block < 0)
        return;
    layer->stage = stage;
    layer->block = block + 1;
    if (sscanf(at + used, "conv%2d.", &place) == 1 && place > 0)
        layer->place = place;
}

enum i3d_status i3d_layers_of_weights(const struct i3d_model *model, struct i3d_arena *arena,
                                      struct i3d_layer **out, struct i3d_error *error)
{
    struct i3d_layer *layers = calloc(model->tensor_count + 1, sizeof *layers);
    *out = NULL;
    if (!layers)
        return i3d_fail_memory(error);
    int64_t count = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct i3d_tensor *tensor = &model->tensors[i];
        if (tensor->rank != 4)
            continue;
        const char *short_name = without_last_part(arena, tensor->name);
        if (!short_name) {
            free(layers);
            return i3d_fail_memory(error);
        }
        layers[i].op_type = "Conv";
        add_name(&layers[i], tensor->name);
        add_name(&layers[i], short_name);
        memcpy(layers[i].kernel, tensor->dims + 2, sizeof layers[i].kernel);
        layers[i].position = ++count;
        read_block_name(tensor->name, &layers[i]);
    }
    /* A block's convolutions stand together, in any order of their places. */
    for (size_t i = 0; i < model->tensor_count; i++) {
        layers[i].count = layers[i].position ? count : 0;
        for (size_t k = i; k-- > 0 && layers[i].block;) {
            if (!layers[k].position)
                continue;
            if (layers[k].stage != layers[i].stage || layers[k].block != layers[i].block)
                break;
            int convs = layers[k].convs > layers[i].place ? layers[k].convs : layers[i].place;
            layers[i].convs = convs;
        }
        if (layers[i].place > layers[i].convs)
            layers[i].convs = layers[i].place;
    }
    for (size_t i = model->tensor_count, next = i; i-- > 0;) {
        if (!layers[i].block)
            continue;
        if (next < model->tensor_count && layers[next].stage == layers[i].stage
            && layers[next].block == layers[i].block && layers[next].convs > layers[i].convs)
            layers[i].convs = layers[next].convs;
        next = i;
    }
    *out = layers;
    return I3D_OK;
}
