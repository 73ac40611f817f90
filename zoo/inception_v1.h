/* What Inception-V1 is made of, shared by what builds and recognises it. Units are the 57 convolutions with what follows them, and the classifier,
 * in the order of THEORY: stem, nine blocks of six, logits. */
#pragma once

#include "zoo/zoo.h"

enum {
    I3D_STEM_UNITS = 3,
    I3D_BLOCKS = 9,
    I3D_BLOCK_UNITS = 6,
    I3D_LOGITS = I3D_STEM_UNITS + I3D_BLOCKS * I3D_BLOCK_UNITS,
    I3D_UNITS,
    I3D_STEM_POOLS = 4, /* MaxPool_2a, 3a, 4a, 5a; then one in every block's Branch_3 */
    I3D_POOLS = I3D_STEM_POOLS + I3D_BLOCKS,
};

/* Output channels of each unit but the classifier, and names of units and pools. */
extern const int64_t i3d_inception_channels[I3D_LOGITS];
extern const char *const i3d_inception_units[I3D_UNITS];
extern const char *const i3d_inception_pools[I3D_POOLS];
extern const char *const i3d_inception_blocks[I3D_BLOCKS];

/* The unit of that name, or -1. */
int i3d_inception_unit(const char *name);
/* Where in a block's units its branches start and end: 0, 1, 3, 5, 6. */
extern const int i3d_inception_branches[5];
/* Whether a max pool stands ahead of a block, as which of the stem's pools; or -1. */
int i3d_inception_pool_before(int block);

struct i3d_inception_variant {
    bool batch_norm;        /* otherwise convolutions have biases */
    bool same_padding;      /* auto_pad SAME_UPPER; otherwise (k - 1) / 2 on both sides */
    bool ceil_mode;         /* of the stem's pools, where padding is explicit */
    bool lrn;
    int64_t wide_kernel;    /* of the second convolution in Branch_2: 3 or 5 */
    int64_t last_pool;      /* kernel of MaxPool_5a */
    enum { I3D_HEAD_CONV, I3D_HEAD_GLOBAL_POOL, I3D_HEAD_PADDED_POOL } head;
};

/* The architecture's table is a variant. */
i3d_build_function i3d_inception_build;
