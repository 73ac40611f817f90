/* Going through a graph from its output to its input, as recognition does:
 * backwards, most nodes have one way on, so neither names nor the order of nodes
 * nor what else hangs on the graph (auxiliary classifiers) matter. Functions take
 * a null value and pass it on, so that one check at the end is enough. */
#pragma once

#include "zoo/structure.h"

struct i3d_walk {
    struct i3d_structure *found;
    const struct i3d_shapes *shapes;
    int rank;     /* of activations; 0 before the first kernel was seen */
    size_t steps; /* looks at a node that are left, in case of a cycle */
};

/* Notes why the walk ended, the first time; null. */
const char *i3d_walk_end(struct i3d_walk *walk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The node that makes value as its first output, or null. */
const struct i3d_node *i3d_walk_maker(struct i3d_walk *walk, const char *value);
int64_t i3d_walk_position(const struct i3d_walk *walk, const struct i3d_node *node);

/* Steps back over nodes of the given kinds, a list that ends with a null. */
const char *i3d_walk_over(struct i3d_walk *walk, const char *value, const char *const *op_types);
/* Identity, Dropout and Pad. */
extern const char *const i3d_walk_carriers[];

/* What makes value if it is an op_type, with carriers stepped over. */
const struct i3d_node *i3d_walk_take(struct i3d_walk *walk, const char *value,
                                     const char *op_type);

/* A square kernel of a Conv that is not grouped: its size; 0 if it is none. The
 * first one settles the walk's rank. */
int64_t i3d_walk_kernel(struct i3d_walk *walk, const struct i3d_node *node);

/* BatchNormalization if there is one, Conv: their positions (the BatchNorm's may
 * be I3D_NOWHERE) and the node; null if value is made otherwise. */
const struct i3d_node *i3d_walk_conv(struct i3d_walk *walk, const char *value, int64_t *layer,
                                     int64_t *batch_norm);

/* The classifier, which becomes the unit, and the pool ahead of it; the value that
 * is pooled. */
const char *i3d_walk_head(struct i3d_walk *walk, const char *value, size_t unit);

/* The families; each fills all of the structure but model, index and reason, or
 * ends the walk. */
bool i3d_walk_inception(struct i3d_walk *walk, const char *output);
bool i3d_walk_resnet(struct i3d_walk *walk, const char *output);
bool i3d_walk_template(struct i3d_walk *walk, const struct i3d_architecture *architecture,
                       const char *output);
