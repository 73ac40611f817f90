#include "zoo/resnet.h"
#include "zoo/walk.h"

#include <string.h>

enum { MAX_BLOCKS = 50, SHORTCUT = I3D_RESNET_PARTS - 1 };

/* A block as it is met from behind: how deep the network is, and so what stage
 * this is, shows only at its beginning. */
struct block {
    int convs; /* on the long way: 2 or 3 */
    bool projects;
    int64_t layers[I3D_RESNET_PARTS], batch_norms[I3D_RESNET_PARTS];
    bool pooled; /* a max pool that an inflation put behind it */
    int64_t pool;
};

struct blocks {
    struct block list[MAX_BLOCKS]; /* the last one first */
    int count;
};

static const char *same_value(struct i3d_walk *walk, const char *value)
{
    return value ? i3d_walk_over(walk, value, i3d_walk_carriers) : NULL;
}

/* The convolutions that make value, with Relus between them; what the first one
 * reads. Their number shows in the last one's kernel. */
static const char *long_way(struct i3d_walk *walk, const char *value, struct block *block)
{
    int64_t layers[3], norms[3];
    int convs = 0, wanted = 1;
    while (convs < wanted) {
        const struct i3d_node *conv = i3d_walk_conv(walk, value, &layers[convs], &norms[convs]);
        int64_t kernel = conv ? i3d_walk_kernel(walk, conv) : 0;
        if (convs == 0)
            wanted = kernel == 1 ? 3 : 2;
        if (kernel != (wanted == 3 && convs != 1 ? 1 : 3))
            return NULL;
        value = conv->inputs[0];
        if (++convs == wanted)
            break;
        const struct i3d_node *relu = i3d_walk_take(walk, value, "Relu");
        if (!relu)
            return NULL;
        value = relu->inputs[0];
    }
    block->convs = wanted;
    for (int i = 0; i < wanted; i++) {
        block->layers[i] = layers[wanted - 1 - i];
        block->batch_norms[i] = norms[wanted - 1 - i];
    }
    return same_value(walk, value);
}

/* What the shortcut starts from: its convolution's input, or the value itself. */
static const char *short_way(struct i3d_walk *walk, const char *value, struct block *block)
{
    value = same_value(walk, value);
    const struct i3d_node *maker = value ? i3d_walk_maker(walk, value) : NULL;
    block->projects = maker && (i3d_is(maker, "Conv") || i3d_is(maker, "BatchNormalization"));
    if (!block->projects)
        return value;
    const struct i3d_node *conv = i3d_walk_conv(walk, value, &block->layers[SHORTCUT],
                                                &block->batch_norms[SHORTCUT]);
    return conv && i3d_walk_kernel(walk, conv) == 1 ? same_value(walk, conv->inputs[0]) : NULL;
}

/* Add, whose inputs stand in either order; the block's input. */
static const char *take_block(struct i3d_walk *walk, const struct i3d_node *add,
                              struct blocks *blocks)
{
    if (blocks->count == MAX_BLOCKS)
        return i3d_walk_end(walk, "it has more than %d additions", MAX_BLOCKS);
    struct block *block = &blocks->list[blocks->count];
    for (int order = 0; order < 2 && add->input_count == 2; order++) {
        const char *start = long_way(walk, add->inputs[order], block);
        const char *other = start ? short_way(walk, add->inputs[1 - order], block) : NULL;
        if (other && !strcmp(start, other)) {
            *walk->found->reason = '\0'; /* of the order that was tried in vain */
            blocks->count++;
            return start;
        }
    }
    return i3d_walk_end(walk, "the addition %.80s does not close a residual block",
                        add->outputs[0]);
}

/* The blocks from the last one to the stem's max pool; the value that this pools. */
static const char *take_blocks(struct i3d_walk *walk, const char *value, struct blocks *blocks)
{
    while ((value = same_value(walk, value))) {
        const struct i3d_node *node = i3d_walk_maker(walk, value), *pool = NULL;
        if (node && i3d_is(node, "MaxPool")) {
            pool = node;
            value = same_value(walk, pool->inputs[0]);
            node = i3d_walk_maker(walk, value);
        }
        const struct i3d_node *before =
            node && i3d_is(node, "Relu") ? i3d_walk_maker(walk, node->inputs[0]) : NULL;
        if (!before || !i3d_is(before, "Add")) {
            if (!pool)
                return i3d_walk_end(walk, "value %.80s is not a residual block's", value);
            walk->found->max_pools[0] = i3d_walk_position(walk, pool);
            return value;
        }
        int number = blocks->count;
        value = take_block(walk, before, blocks);
        if (value && pool) {
            blocks->list[number].pooled = true;
            blocks->list[number].pool = i3d_walk_position(walk, pool);
        }
    }
    return NULL;
}

/* Whether the blocks, put in order, are those of that depth. */
static bool has_depth(const struct blocks *blocks, const struct i3d_resnet_depth *depth)
{
    int left = blocks->count;
    for (int stage = 0; stage < I3D_RESNET_STAGES; stage++)
        for (int i = 0; i < depth->blocks[stage]; i++) {
            if (!left--)
                return false;
            const struct block *block = &blocks->list[left];
            if (block->convs != i3d_resnet_convs(depth)
                || block->projects != i3d_resnet_projects(depth, stage, i))
                return false;
        }
    return !left;
}

static void put_unit(struct i3d_structure *found, const char *name, int64_t layer,
                     int64_t batch_norm)
{
    found->units[found->unit_count] = name;
    found->layers[found->unit_count] = layer;
    found->batch_norms[found->unit_count++] = batch_norm;
}

/* Whether the first convolution of the second stage is the one that strides. */
static bool strides_first(const struct i3d_walk *walk, const struct blocks *blocks,
                          const struct i3d_resnet_depth *depth)
{
    const struct block *block = &blocks->list[blocks->count - 1 - depth->blocks[0]];
    const struct i3d_node *conv = &walk->found->model->nodes[block->layers[0]];
    size_t count;
    const int64_t *strides = i3d_ints(conv, "strides", &count);
    return strides && count && strides[count - 1] == 2;
}

/* Whether the network is that row of the table. */
static bool is_depth(const struct i3d_walk *walk, const struct blocks *blocks,
                     const struct i3d_resnet_depth *depth)
{
    return has_depth(blocks, depth)
        && (!depth->bottleneck || strides_first(walk, blocks, depth) == depth->is_keras);
}

/* Names the blocks' units, behind the stem's that is there already. */
static void put_blocks(struct i3d_structure *found, const struct blocks *blocks,
                       const struct i3d_resnet_depth *depth)
{
    int left = blocks->count;
    for (int stage = 0; stage < I3D_RESNET_STAGES; stage++) {
        for (int i = 0; i < depth->blocks[stage]; i++) {
            const struct block *block = &blocks->list[--left];
            for (int part = 0; part < block->convs; part++)
                put_unit(found, i3d_resnet_unit(stage, i, part), block->layers[part],
                         block->batch_norms[part]);
            if (block->projects)
                put_unit(found, i3d_resnet_unit(stage, i, SHORTCUT), block->layers[SHORTCUT],
                         block->batch_norms[SHORTCUT]);
            if (!block->pooled || found->pool_count == I3D_MAX_POOLS)
                continue;
            found->pools[found->pool_count] = "the max pool between blocks";
            found->max_pools[found->pool_count++] = block->pool;
        }
    }
}

bool i3d_walk_resnet(struct i3d_walk *walk, const char *output)
{
    struct i3d_structure *found = walk->found;
    struct blocks blocks = { .count = 0 };
    const char *value = i3d_walk_head(walk, output, I3D_MAX_UNITS - 1);
    value = take_blocks(walk, value, &blocks);
    const struct i3d_node *relu = i3d_walk_take(walk, value, "Relu");
    const struct i3d_node *conv = relu ? i3d_walk_conv(walk, relu->inputs[0], &found->layers[0],
                                                       &found->batch_norms[0]) : NULL;
    if (!conv || i3d_walk_kernel(walk, conv) != 7) {
        i3d_walk_end(walk, "it does not begin with a 7x7 convolution");
        return false;
    }
    const struct i3d_resnet_depth *depth = i3d_resnet_depths;
    while (depth->name && !is_depth(walk, &blocks, depth))
        depth++;
    if (!depth->name) /* its strides are nobody's: geometry will say so */
        for (depth = i3d_resnet_depths; depth->name && !has_depth(&blocks, depth);)
            depth++;
    if (!depth->name) {
        i3d_walk_end(walk, "its residual blocks are those of no ResNet known here");
        return false;
    }
    int64_t classifier = found->layers[I3D_MAX_UNITS - 1];
    found->pools[0] = "maxpool";
    found->unit_count = found->pool_count = 1;
    found->units[0] = "conv1";
    put_blocks(found, &blocks, depth);
    put_unit(found, "fc", classifier, I3D_NOWHERE);
    found->architecture = i3d_architecture_by_name(depth->name);
    return true;
}
