#include "zoo/structure.h"

#include <pthread.h>
#include <string.h>

/* Puts what stands at a position of an architecture's graph into its structure. */
static bool put_node(struct i3d_structure *found, size_t position)
{
    static const char behind[] = "/BatchNorm";
    const struct i3d_node *node = &found->model->nodes[position];
    bool is_layer = i3d_is(node, "Conv") || i3d_is(node, "Gemm");
    bool is_norm = i3d_is(node, "BatchNormalization");
    if (is_norm) {
        int64_t last = found->unit_count ? found->layers[found->unit_count - 1] : I3D_NOWHERE;
        if (last != I3D_NOWHERE && last == i3d_index_producer(found->index, node->inputs[0])) {
            found->batch_norms[found->unit_count - 1] = (int64_t)position;
            return true;
        }
    }
    if (is_layer || is_norm) {
        size_t unit = found->unit_count++, length = strlen(node->name);
        if (unit == I3D_MAX_UNITS)
            return false;
        *(is_norm ? &found->batch_norms[unit] : &found->layers[unit]) = (int64_t)position;
        found->units[unit] = is_layer ? node->name
            : i3d_arena_copy(found->model->arena, node->name, length - (sizeof behind - 1));
        return found->units[unit];
    }
    if (i3d_is(node, "GlobalAveragePool"))
        found->average_pool = (int64_t)position;
    if (!i3d_is(node, "MaxPool") && !i3d_is(node, "AveragePool"))
        return true;
    if (found->pool_count == I3D_MAX_POOLS)
        return false;
    found->pools[found->pool_count] = node->name;
    found->max_pools[found->pool_count++] = (int64_t)position;
    return true;
}

static bool make(const struct i3d_architecture *architecture, struct i3d_structure *found)
{
    const struct i3d_architecture_options options = { .gamma = true };
    struct i3d_model *model;
    if (architecture->build(architecture, &options, &model, NULL))
        return false;
    struct i3d_index *index = i3d_index_new(model);
    *found = (struct i3d_structure){ .model = model, .index = index };
    i3d_structure_clear(found);
    found->architecture = architecture;
    bool good = index;
    for (size_t i = 0; i < model->node_count && good; i++)
        good = put_node(found, i);
    if (good)
        return true;
    i3d_index_free(index);
    i3d_model_free(model);
    return false;
}

const struct i3d_structure *
i3d_architecture_template(const struct i3d_architecture *architecture)
{
    enum { MOST = 32 };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct i3d_structure made[MOST];
    size_t number = (size_t)(architecture - i3d_architectures);
    if (!i3d_architecture_has_template(architecture) || number >= MOST)
        return NULL;
    pthread_mutex_lock(&lock);
    bool good = made[number].model || make(architecture, &made[number]);
    if (!good)
        made[number] = (struct i3d_structure){ 0 };
    pthread_mutex_unlock(&lock);
    return good ? &made[number] : NULL;
}

static const struct i3d_tensor *weight_of(const struct i3d_structure *found,
                                          const struct i3d_node *layer)
{
    return &found->model->tensors[i3d_index_tensor(found->index, layer->inputs[1])];
}

int64_t i3d_structure_map(const struct i3d_structure *found, size_t unit)
{
    if (found->layers[unit] == I3D_NOWHERE)
        return 0;
    const struct i3d_node *node = &found->model->nodes[found->layers[unit]];
    if (!i3d_is(node, "Gemm"))
        return 0;
    int64_t features = weight_of(found, node)->dims[1], producer;
    while ((producer = i3d_index_producer(found->index, node->inputs[0])) != I3D_NOWHERE) {
        node = &found->model->nodes[producer];
        if (!i3d_is(node, "Conv") && !i3d_is(node, "Gemm"))
            continue;
        int64_t channels = weight_of(found, node)->dims[0], map = 1;
        while (map * map * channels < features)
            map++;
        return map * map * channels == features ? map : 1;
    }
    return 1;
}
