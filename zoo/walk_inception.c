#include "zoo/inception_v1.h"
#include "zoo/walk.h"

#include <string.h>

/* Whether the kernel of a Conv fits a unit. */
static bool check_kernel(struct i3d_walk *walk, const struct i3d_node *node, int unit,
                         int64_t kernel, int64_t other_kernel)
{
    int64_t size = i3d_walk_kernel(walk, node);
    bool fits = size && (size == kernel || size == other_kernel)
        && i3d_shape_of(walk->shapes, node->inputs[1])->dims[0] == i3d_inception_channels[unit];
    if (!fits)
        i3d_walk_end(walk, "the convolution in the place of %s has another kernel",
                     i3d_inception_units[unit]);
    return fits;
}

/* Relu, BatchNormalization if there is one, Conv; the value that Conv reads. */
static const char *take_unit(struct i3d_walk *walk, const char *value, int unit, int64_t kernel,
                             int64_t other_kernel)
{
    struct i3d_structure *found = walk->found;
    const struct i3d_node *relu = i3d_walk_take(walk, value, "Relu");
    const struct i3d_node *conv = relu
        ? i3d_walk_conv(walk, relu->inputs[0], &found->layers[unit], &found->batch_norms[unit])
        : NULL;
    return conv && check_kernel(walk, conv, unit, kernel, other_kernel) ? conv->inputs[0] : NULL;
}

static const char *take_pool(struct i3d_walk *walk, const char *value, int pool)
{
    const struct i3d_node *node = i3d_walk_take(walk, value, "MaxPool");
    if (!node)
        return NULL;
    walk->found->max_pools[pool] = i3d_walk_position(walk, node);
    return node->inputs[0];
}

/* An LRN if there is one; on a 5-D value it stands between two Reshapes. */
static const char *take_lrn(struct i3d_walk *walk, const char *value, int number)
{
    if (!value)
        return NULL;
    value = i3d_walk_over(walk, value, i3d_walk_carriers);
    const struct i3d_node *node = i3d_walk_maker(walk, value), *behind = NULL;
    if (node && i3d_is(node, "Reshape")) {
        behind = node;
        node = i3d_walk_maker(walk, behind->inputs[0]);
    }
    if (!node || !i3d_is(node, "LRN"))
        return value;
    walk->found->lrns[number] = i3d_walk_position(walk, node);
    const struct i3d_node *ahead = behind ? i3d_walk_maker(walk, node->inputs[0]) : node;
    if (!ahead || (behind && !i3d_is(ahead, "Reshape")))
        return i3d_walk_end(walk, "an LRN stands behind no Reshape but ahead of one");
    return ahead->inputs[0];
}

static const char *take_block(struct i3d_walk *walk, const char *value, int block)
{
    const struct i3d_node *concat = i3d_walk_take(walk, value, "Concat");
    if (!concat)
        return NULL;
    int64_t axis = i3d_int(concat, "axis", 1);
    if (concat->input_count != 4 || (axis != 1 && axis != 1 - walk->rank))
        return i3d_walk_end(walk, "the Concat in the place of %s does not join four branches",
                            i3d_inception_blocks[block]);
    int unit = I3D_STEM_UNITS + block * I3D_BLOCK_UNITS;
    const char *starts[4];
    starts[0] = take_unit(walk, concat->inputs[0], unit, 1, 1);
    starts[1] = take_unit(walk, concat->inputs[1], unit + 2, 3, 3);
    starts[1] = take_unit(walk, starts[1], unit + 1, 1, 1);
    starts[2] = take_unit(walk, concat->inputs[2], unit + 4, 3, 5);
    starts[2] = take_unit(walk, starts[2], unit + 3, 1, 1);
    starts[3] = take_unit(walk, concat->inputs[3], unit + 5, 1, 1);
    starts[3] = take_pool(walk, starts[3], I3D_STEM_POOLS + block);
    for (int i = 0; i < 4; i++) {
        if (!starts[i])
            return NULL;
        starts[i] = i3d_walk_over(walk, starts[i], i3d_walk_carriers);
        if (strcmp(starts[i], starts[0]))
            return i3d_walk_end(walk, "the branches of %s start from different values",
                                i3d_inception_blocks[block]);
    }
    return starts[0];
}

/* Which of the architectures the structure is nearest to. TF's SAME padding puts
 * less in front of the first kernel's even-sized input than behind it, explicit
 * pads of PyTorch and Caffe as much. */
static const char *architecture_name(const struct i3d_walk *walk)
{
    const struct i3d_node *nodes = walk->found->model->nodes;
    const struct i3d_node *wide = &nodes[walk->found->layers[I3D_STEM_UNITS + 4]];
    const struct i3d_node *stem = &nodes[walk->found->layers[0]];
    if (i3d_shape_of(walk->shapes, wide->inputs[1])->dims[walk->rank - 1] == 5)
        return "inception_v1_bvlc";
    size_t count;
    const int64_t *pads = i3d_ints(stem, "pads", &count);
    bool even = count >= 4 && count % 2 == 0 && pads[count / 2 - 1] == 3 && pads[count - 1] == 3;
    return even ? "inception_v1_torchvision" : "inception_v1";
}

bool i3d_walk_inception(struct i3d_walk *walk, const char *output)
{
    struct i3d_structure *found = walk->found;
    found->unit_count = I3D_UNITS;
    found->pool_count = I3D_POOLS;
    memcpy(found->units, i3d_inception_units, sizeof i3d_inception_units);
    memcpy(found->pools, i3d_inception_pools, sizeof i3d_inception_pools);

    const char *value = i3d_walk_head(walk, output, I3D_LOGITS);
    for (int i = I3D_BLOCKS - 1; i >= 0 && value; i--) {
        value = take_block(walk, value, i);
        if (i3d_inception_pool_before(i) >= 0 && value)
            value = take_pool(walk, i ? value : take_lrn(walk, value, 1),
                              i3d_inception_pool_before(i));
    }
    /* LRN and pool stand in either order after Conv_2c and Conv_1a. */
    if (value && found->lrns[1] == I3D_NOWHERE)
        value = take_lrn(walk, value, 1);
    value = take_unit(walk, value, 2, 3, 3);
    value = take_unit(walk, value, 1, 1, 1);
    value = take_pool(walk, take_lrn(walk, value, 0), 0);
    if (value && found->lrns[0] == I3D_NOWHERE)
        value = take_lrn(walk, value, 0);
    if (!take_unit(walk, value, 0, 7, 7))
        return false;
    found->architecture = i3d_architecture_by_name(architecture_name(walk));
    return true;
}
