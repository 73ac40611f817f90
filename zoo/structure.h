/* What a graph is made of once it is recognised, whatever its family: what
 * recognises, compares and renames networks works on this. A unit is a layer with
 * weights and the BatchNorm behind it, or a BatchNorm behind something else; the last
 * one is the classifier. */
#pragma once

#include "model/index.h"
#include "model/shape.h"
#include "zoo/zoo.h"

enum { I3D_MAX_UNITS = 192, I3D_MAX_POOLS = 13, I3D_LRNS = 2 };

/* Positions in the model's nodes, or I3D_NOWHERE. The index has to outlive it. */
struct i3d_structure {
    const struct i3d_model *model;
    const struct i3d_index *index;
    const struct i3d_architecture *architecture; /* null: none we know */
    bool is_3d;
    int64_t classes, channels;
    size_t unit_count, pool_count;
    const char *units[I3D_MAX_UNITS]; /* names; they live as long as the program */
    int64_t layers[I3D_MAX_UNITS];    /* Conv or Gemm */
    int64_t batch_norms[I3D_MAX_UNITS];
    const char *pools[I3D_MAX_POOLS];
    int64_t max_pools[I3D_MAX_POOLS]; /* and average pools between the layers */
    int64_t lrns[I3D_LRNS]; /* Inception-V1: behind MaxPool_2a and behind Conv_2c */
    int64_t average_pool; /* ahead of the classifier, or behind it */
    char reason[200]; /* why it is none, where architecture is null */
};

/* Forgets all but the model and its index. */
void i3d_structure_clear(struct i3d_structure *structure);

/* Walks the graph from its outputs to its input. shapes are the model's. */
void i3d_structure_find(const struct i3d_model *model, const struct i3d_index *index,
                        const struct i3d_shapes *shapes, struct i3d_structure *structure);

/* The names of an architecture's units in their order, and how many. */
size_t i3d_architecture_units(const struct i3d_architecture *architecture,
                              const char *units[I3D_MAX_UNITS]);

/* The structure of an architecture's own graph, with a scale in every BatchNorm: what
 * graphs of those families are compared with that have no walk of their own. Null for
 * others, and when memory is short. It lives as long as the program. */
const struct i3d_structure *
i3d_architecture_template(const struct i3d_architecture *architecture);
bool i3d_architecture_has_template(const struct i3d_architecture *architecture);

/* Height and width of the map that a unit's matrix reads flattened; 1 where it reads
 * features, 0 for what is no matrix. */
int64_t i3d_structure_map(const struct i3d_structure *structure, size_t unit);

/* The unit of that name, or -1. */
int i3d_structure_unit(const struct i3d_structure *structure, const char *name);

/* I3D_UNSUPPORTED, naming the unit, if two structures of the same architecture (the first
 * may be inflated, then height and width count alone) do not put the same windows over an input of the first one's size (224×224
 * and 64 frames where it leaves that open), so that the same weights would compute
 * something else. Where changes is not null, windows that differ in their pads
 * alone are noted there instead. */
enum i3d_status i3d_structure_compare(const struct i3d_structure *from,
                                      const struct i3d_structure *to,
                                      struct i3d_zoo_changes *changes, struct i3d_error *error);
