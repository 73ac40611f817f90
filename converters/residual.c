#include "converters/recipe.h"

#include <stdlib.h>
#include <string.h>

/* The nodes of one branch into an addition, from its end towards its start. */
enum { LONGEST_BRANCH = 64 };
struct branch {
    size_t nodes[LONGEST_BRANCH];
    int length;
    int convs;
};

struct search {
    const struct i3d_model *model;
    const struct i3d_index *index;
    struct i3d_layer *layers;
};

static const struct i3d_node *node_at(const struct search *search, size_t position)
{
    return &search->model->nodes[position];
}

/* Follows first inputs back from a value. */
static void trace(const struct search *search, const char *value, struct branch *branch)
{
    branch->length = branch->convs = 0;
    while (branch->length < LONGEST_BRANCH) {
        int64_t position = i3d_index_producer(search->index, value);
        if (position == I3D_NOWHERE)
            return;
        branch->nodes[branch->length++] = (size_t)position;
        const struct i3d_node *node = node_at(search, (size_t)position);
        if (!node->input_count)
            return;
        value = node->inputs[0];
    }
}

/* Cuts both branches where they meet; false if they do not. The block's input may
 * be the graph's input too, where both end. */
static bool cut_where_they_meet(const struct search *search, struct branch *a, struct branch *b)
{
    for (int i = 0; i <= a->length; i++)
        for (int k = 0; k <= b->length; k++) {
            bool ends = i == a->length || k == b->length;
            if (ends ? i != a->length || k != b->length || !i || !k
                         || strcmp(node_at(search, a->nodes[i - 1])->inputs[0],
                                   node_at(search, b->nodes[k - 1])->inputs[0])
                     : a->nodes[i] != b->nodes[k])
                continue;
            a->length = i;
            b->length = k;
            return true;
        }
    return false;
}

static void count_convolutions(const struct search *search, struct branch *branch)
{
    for (int i = 0; i < branch->length; i++)
        branch->convs += i3d_is(node_at(search, branch->nodes[i]), "Conv");
}

static void mark(const struct search *search, const struct branch *branch, bool is_shortcut,
                 int stage, int block, int convs)
{
    int place = branch->convs;
    for (int i = 0; i < branch->length; i++) {
        struct i3d_layer *layer = &search->layers[branch->nodes[i]];
        if (!i3d_is(node_at(search, branch->nodes[i]), "Conv"))
            continue;
        layer->stage = stage;
        layer->block = block;
        layer->convs = convs;
        layer->place = is_shortcut ? 0 : place--;
    }
}

/* The activation behind an addition belongs to the block. */
static size_t end_of_block(const struct search *search, size_t addition)
{
    size_t count;
    const size_t *readers =
        i3d_index_consumers(search->index, node_at(search, addition)->outputs[0], &count);
    return count == 1 && i3d_is(node_at(search, readers[0]), "Relu") ? readers[0] : addition;
}

static bool joins_two_branches(const struct search *search, const struct i3d_node *node)
{
    return (i3d_is(node, "Add") || i3d_is(node, "Sum")) && node->input_count == 2
        && node->output_count && i3d_index_producer(search->index, node->inputs[0]) != I3D_NOWHERE
        && strcmp(node->inputs[0], node->inputs[1]);
}

enum i3d_status i3d_find_residual_blocks(const struct i3d_model *model,
                                         const struct i3d_index *index, struct i3d_layer *layers,
                                         struct i3d_error *error)
{
    const struct search search = { model, index, layers };
    struct branch *branches = calloc(2, sizeof *branches);
    if (!branches)
        return i3d_fail_memory(error);
    int stage = 0, block = 0;
    size_t end = 0;
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (!joins_two_branches(&search, node))
            continue;
        for (int k = 0; k < 2; k++)
            trace(&search, node->inputs[k], &branches[k]);
        if (!cut_where_they_meet(&search, &branches[0], &branches[1]))
            continue;
        for (int k = 0; k < 2; k++)
            count_convolutions(&search, &branches[k]);
        struct branch *main_path = &branches[branches[1].convs > branches[0].convs];
        struct branch *shortcut = &branches[main_path == branches];
        if (!main_path->convs)
            continue;
        if (!stage || shortcut->convs) {
            if (stage)
                layers[end].ends_stage = stage;
            stage++;
            block = 0;
        }
        block++;
        mark(&search, main_path, false, stage, block, main_path->convs);
        mark(&search, shortcut, true, stage, block, main_path->convs);
        end = end_of_block(&search, i);
    }
    if (stage)
        layers[end].ends_stage = stage;
    free(branches);
    return I3D_OK;
}
