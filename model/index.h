/* Name look-up over one model's graph, built once and thrown away. */
#pragma once

#include "model/model.h"

enum { I3D_NOWHERE = -1 };

struct i3d_index;

/* The model has to stay unchanged while the index is in use. Null when memory
 * is short. */
struct i3d_index *i3d_index_new(const struct i3d_model *model);
void i3d_index_free(struct i3d_index *index);

/* Positions in model->nodes, ->tensors, ->inputs, or I3D_NOWHERE. */
int64_t i3d_index_producer(const struct i3d_index *index, const char *value);
int64_t i3d_index_tensor(const struct i3d_index *index, const char *name);
int64_t i3d_index_input(const struct i3d_index *index, const char *name);

/* Nodes that read value, in node order (twice if they read it twice), and how
 * many; the array is the index's. */
const size_t *i3d_index_consumers(const struct i3d_index *index, const char *value,
                                  size_t *count);

/* Every name gets a small number: 0 … count-1; I3D_NOWHERE for "" and strangers. */
int64_t i3d_index_value(const struct i3d_index *index, const char *name);
size_t i3d_index_value_count(const struct i3d_index *index);
