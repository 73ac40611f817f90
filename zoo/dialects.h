/* The tables of names: parsing them, and what the functions that bind, rename and
 * recognise ask of them. A table is a .tsv file: lines of prose that start with
 * "# ", lines "#: key value", a line that names the columns, and one row per
 * parameter: unit, role, name, shape, with tabs between. The keys:
 *
 *   architecture  names of the 2D architectures; one dialect comes of each
 *   recipe        what inflates them (i3d), where layout has a D
 *   layout        of kernels, a letter per axis: O, I, D, H, W; a matrix that reads a
 *                 flattened map sees the map's axes in that order too
 *   depthwise     layout of depthwise kernels, where it is another
 *   epsilon       of BatchNorm
 *   prefix        start of names that a file may lack, or have another instead
 *   flow-prefix   what stands there in a flow stream's file
 *   ignore        shell pattern of names that hold no parameter; may be repeated
 *   counter       last part of the name of an int64 scalar beside every mean:
 *                 how many batches went into it, which PyTorch wants to find
 *   key           under which a PyTorch file holds the state_dict, if it is not alone
 *   model         how the codebase makes the network, for people; {classes},
 *                 {channels}, {stream}, {scope}, {depth}, {architecture}
 *                 are filled in
 *   load          a container and a statement that loads such a file, where {file}
 *                 is its name in quotes; may be repeated
 *
 * A * in a unit stands for any number, one in the name for the same number, or with
 * +1 to +9 behind it for one that is larger by so much; such
 * rows are put in the order of the architecture's units. The shape * is the
 * architecture's. A table without gammas is of a codebase whose BatchNorms have no
 * scale. Tables of users are not trusted: what the architecture does not have is
 * refused. */
#pragma once

#include "model/arena.h"
#include "zoo/zoo.h"

struct i3d_dialect_text {
    const char *name, *text;
};

/* Generated from the tables; ended by an entry without a name. */
extern const struct i3d_dialect_text i3d_dialect_texts[];

/* A list of labels that the library carries; generated likewise. */
struct i3d_label_text {
    const char *name, *text;
};
extern const struct i3d_label_text i3d_label_texts[];

/* The folders that i3d_dialects_add was given, the last first, ended by a null; or null. */
const char *const *i3d_dialect_folders(void);

/* Reads one table: count dialects, one an architecture. All is put into arena. */
enum i3d_status i3d_dialect_parse(const struct i3d_dialect_text *table, struct i3d_arena *arena,
                                  struct i3d_dialect **dialects, size_t *count,
                                  struct i3d_error *error);

/* Whether a tensor of that name is known to hold no parameter. */
bool i3d_dialect_ignores(const struct i3d_dialect *dialect, const char *name);

/* The entry of that unit and role, or null. */
const struct i3d_dialect_entry *i3d_dialect_find(const struct i3d_dialect *dialect,
                                                 const char *unit, const char *role);

/* Whether the codebase's BatchNorms have a scale. */
bool i3d_dialect_has_gamma(const struct i3d_dialect *dialect);

/* The sibling for that architecture, or null. */
const struct i3d_dialect *i3d_dialect_for(const struct i3d_dialect *dialect,
                                          const char *architecture);

/* Axes of an entry's kernel. */
int i3d_dialect_rank(const struct i3d_dialect *dialect, const struct i3d_dialect_entry *entry);

/* A letter per axis of an entry's kernel of that rank; a matrix has O and I in the order
 * in which the kernels have them. */
void i3d_dialect_axes(const struct i3d_dialect *dialect, const struct i3d_dialect_entry *entry,
                      int rank, char axes[I3D_MAX_RANK + 1]);

/* A matrix that reads a flattened map: its elements, stored with the axes of from in their
 * order ("OIHW", "HWIO"), in the order of to. False if it reads no map, or the axes of the
 * map stand in one order in both. */
bool i3d_dialect_reorder(const struct i3d_dialect_entry *entry, enum i3d_dtype dtype,
                         int64_t outputs, int64_t features, const char *from, const char *to,
                         struct i3d_view *view);

/* The graph, 2D or 3D, that the dialect's code runs; its parameters have names
 * <unit>/<role> and, but for ones in the place of missing gammas, no values. */
enum i3d_status i3d_dialect_graph(const struct i3d_dialect *dialect, int64_t classes,
                                  int64_t channels, struct i3d_model **graph,
                                  struct i3d_error *error);

/* Notes in a model's metadata what the dialect tells of it, and copies what the
 * program itself has noted in another. False when memory is short. */
bool i3d_dialect_describe(const struct i3d_dialect *dialect, int64_t channels,
                          const struct i3d_model *from, struct i3d_model *model);
