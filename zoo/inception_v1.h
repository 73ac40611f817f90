/* The structure of Inception-V1, shared by what builds, recognises and compares
 * it. Units are the 57 convolutions with what follows them, and the classifier,
 * in the order of THEORY: stem, nine blocks of six, logits. */
#pragma once

#include "model/index.h"
#include "model/shape.h"
#include "zoo/zoo.h"

enum {
    I3D_STEM_UNITS = 3,
    I3D_BLOCKS = 9,
    I3D_BLOCK_UNITS = 6,
    I3D_LOGITS = I3D_STEM_UNITS + I3D_BLOCKS * I3D_BLOCK_UNITS,
    I3D_UNITS,
    I3D_STEM_POOLS = 4, /* MaxPool_2a, 3a, 4a, 5a; then one in every block's Branch_3 */
    I3D_MAX_POOLS = I3D_STEM_POOLS + I3D_BLOCKS,
    I3D_LRNS = 2,
};

/* Output channels of each unit but the classifier, and names of units and pools. */
extern const int64_t i3d_inception_channels[I3D_LOGITS];
extern const char *const i3d_inception_units[I3D_UNITS];
extern const char *const i3d_inception_pools[I3D_MAX_POOLS];
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

enum i3d_status i3d_inception_build(const struct i3d_inception_variant *variant,
                                    const struct i3d_architecture_options *options,
                                    struct i3d_model **model, struct i3d_error *error);

/* Where the parts of a recognised graph are: positions in its nodes, or
 * I3D_NOWHERE. The index has to outlive it. */
struct i3d_inception {
    const struct i3d_model *model;
    const struct i3d_index *index;
    bool found;
    bool is_3d;
    int64_t classes, channels;
    int64_t wide_kernel;
    int64_t layers[I3D_UNITS]; /* Conv, or the classifier's Gemm */
    int64_t batch_norms[I3D_UNITS];
    int64_t max_pools[I3D_MAX_POOLS];
    int64_t lrns[I3D_LRNS]; /* behind MaxPool_2a and behind Conv_2c */
    int64_t average_pool;
    char reason[200]; /* why it is none, where found is false */
};

/* Walks the graph from an output to its input. shapes are the model's. */
void i3d_inception_find(const struct i3d_model *model, const struct i3d_index *index,
                        const struct i3d_shapes *shapes, struct i3d_inception *inception);

/* I3D_UNSUPPORTED, naming the unit, if two recognised graphs of the same rank do
 * not put the same windows over an input of the first one's size (224×224 and 64
 * frames where it leaves that open), so that the same weights would compute
 * something else. */
enum i3d_status i3d_inception_compare(const struct i3d_inception *from,
                                      const struct i3d_inception *to, struct i3d_error *error);
