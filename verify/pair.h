/* Which value of a 2D graph goes with which of a 3D graph: by structure, walking
 * from the outputs to the inputs, whatever the names are. */
#pragma once

#include "model/index.h"

/* One side of a comparison. */
struct i3d_side {
    const struct i3d_model *model;
    const struct i3d_index *index;
};

struct i3d_pairing_entry {
    const char *flat, *inflated; /* value names */
    int64_t flat_node, inflated_node; /* their producers */
    /* A BatchNormalization stands behind the convolution on one side only: its
     * scale is part of the kernel on the other. */
    bool folded;
    /* What leaves the network, behind everything that was stepped over. */
    bool output;
};

struct i3d_pairing {
    struct i3d_pairing_entry *entries; /* in the order of the 2D nodes */
    size_t count, room;
    bool outputs_paired;
    size_t unpaired_flat, unpaired_inflated; /* nodes that compute and have no partner */
    char obstacle[256]; /* where the two first part ways; empty if they do not */
};

enum i3d_status i3d_pair(const struct i3d_side *flat, const struct i3d_side *inflated,
                         struct i3d_pairing *pairing, struct i3d_error *error);
void i3d_pairing_free(struct i3d_pairing *pairing);

/* The tensor of that name, or null. */
const struct i3d_tensor *i3d_side_tensor(const struct i3d_side *side, const char *name);
/* Whether the node is a convolution or matrix product with its weight stored. */
bool i3d_is_linear(const struct i3d_node *node);
