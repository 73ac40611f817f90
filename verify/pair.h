/* Which node of a 2D graph is which node of a 3D graph: by structure, walking
 * from the outputs to the inputs, whatever the names are; not installed. */
#pragma once

#include "verify/structure.h"

/* What became of one node of the 2D graph. */
struct i3d_node_pair {
    int64_t inflated; /* its partner's position; -1: none */
    /* It has no partner and needs none: a kernel whose BatchNormalization is
     * compared together with it, a Softmax or a pool over time that was passed
     * over. */
    bool covered;
    /* Kernel and BatchNormalization can be compared together only: one graph has
     * both in one kernel, or a part of the scale moved from one to the other. */
    bool folded;
    /* Positions of the kernels behind the two values: the nodes themselves, or
     * what a BatchNormalization is applied to; -1: none. */
    int64_t flat_kernel, inflated_kernel;
};

struct i3d_pairing {
    const struct i3d_structure *flat, *inflated;
    struct i3d_node_pair *nodes; /* by position in flat's nodes */
    size_t pair_count;
    /* Nodes that compute, that an output depends on, and that have no partner
     * though they would need one. */
    size_t unpaired_flat, unpaired_inflated;
    const char **flat_names, **inflated_names; /* their first outputs; malloc'ed */
    bool outputs_paired; /* every output of the 2D graph has its partner */
    char obstacle[256];  /* where the two first part ways; empty if they do not */
};

/* Pairs outputs in order (the 3D graph may have more of them), then inputs of
 * paired nodes, which match by i3d_same_kind. Inputs keep their order, but those
 * of Add and Mul are crossed where only that fits. A Softmax at an output may be
 * there in one graph only. Free with i3d_pairing_free, also after failure. */
enum i3d_status i3d_pair_graphs(const struct i3d_structure *flat,
                                const struct i3d_structure *inflated,
                                struct i3d_pairing *pairing, struct i3d_error *error);
void i3d_pairing_free(struct i3d_pairing *pairing);
