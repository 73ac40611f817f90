/* The tables of names that the library carries. A table is a .tsv file of
 * zoo/dialects/: lines of prose that start with "# ", lines "#: key value", a
 * line that names the columns, and one row per parameter. The keys:
 *
 *   architecture  name of the 2D architecture
 *   layout        of kernels, a letter per axis: O, I, D, H, W
 *   epsilon       of BatchNorm
 *   prefix        start of names that a file may lack, or have another instead
 *   flow-prefix   what stands there in a flow stream's file
 *   ignore        shell pattern of names that hold no parameter; may be repeated
 *   counter       last part of the name of an int64 scalar beside every mean:
 *                 how many batches went into it, which PyTorch wants to find
 *
 * A table without gammas is of a codebase whose BatchNorms have no scale. */
#pragma once

#include "model/arena.h"
#include "zoo/zoo.h"

struct i3d_dialect_text {
    const char *name, *text;
};

/* Generated from the tables; ended by an entry without a name. */
extern const struct i3d_dialect_text i3d_dialect_texts[];

/* Reads one table; strings and arrays are put into arena. */
enum i3d_status i3d_dialect_parse(const struct i3d_dialect_text *table, struct i3d_arena *arena,
                                  struct i3d_dialect *dialect, struct i3d_error *error);

/* Whether a tensor of that name is known to hold no parameter. */
bool i3d_dialect_ignores(const struct i3d_dialect *dialect, const char *name);

/* The entry of that unit and role, or null. */
const struct i3d_dialect_entry *i3d_dialect_find(const struct i3d_dialect *dialect,
                                                 const char *unit, const char *role);

/* A letter per axis of a kernel of that rank; a matrix has O and I in the order
 * in which the kernels have them. */
void i3d_dialect_axes(const struct i3d_dialect *dialect, int rank, char axes[I3D_MAX_RANK + 1]);

/* The graph, 2D or 3D, that the dialect's code runs; its parameters have names
 * <unit>/<role> and, but for ones in the place of missing gammas, no values. */
enum i3d_status i3d_dialect_graph(const struct i3d_dialect *dialect, int64_t classes,
                                  int64_t channels, struct i3d_model **graph,
                                  struct i3d_error *error);

/* Notes in a model's metadata what the dialect tells of it, and copies what the
 * program itself has noted in another. False when memory is short. */
bool i3d_dialect_describe(const struct i3d_dialect *dialect, int64_t channels,
                          const struct i3d_model *from, struct i3d_model *model);
