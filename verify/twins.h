/* Two networks as one graph: a reference and the 3D network, node by node side by
 * side, so that one run computes both, and each pair of activations is compared
 * and let go as it goes; not installed.
 *
 * Values have the names of their graphs behind a prefix: "2:" of the reference,
 * "3:" of the 3D network, "r:" of the reference off as if rounded,
 * "n:" whatever else is computed for the comparison. */
#pragma once

#include "model/frames.h"
#include "verify/pair.h"

enum i3d_comparison_kind {
    I3D_COMPARE_WHOLE, /* what came of all layers so far */
    I3D_COMPARE_ALONE, /* of this layer alone, on the reference's own input */
    I3D_COMPARE_ROUNDED, /* the 2D network with itself, off as if rounded */
    I3D_MEASURE_TERMS, /* no comparison: the largest Σ|w||x| of the layer */
};

/* A value of the merged graph, to be compared with another one computed before it. */
struct i3d_comparison {
    enum i3d_comparison_kind kind;
    size_t layer;
    const char *reference, *value; /* reference null: there is none */
    /* Of the value: element (p, t, q) at (p·frames + t)·inner + q. outer 0: not known. */
    int64_t outer, inner;
    bool in_motion; /* the reference has as many frames, (t, p, q) */
};

struct i3d_twins {
    struct i3d_model *model;
    const struct i3d_structure *flat, *inflated;
    const struct i3d_pairing *pairing;
    const struct i3d_frames *frames; /* of the 3D network, for this clip */
    bool *flat_tensors, *inflated_tensors; /* by position: copied */
    bool *flat_nodes;                      /* by position: emitted */
    struct i3d_comparison *comparisons;
    size_t count, room;
    size_t names; /* made up so far */
    struct i3d_error *error;
};

/* Takes the names and versions over; inputs are added: "2:" and the image's name (or,
 * without image, none), "3:" and the video's. I3D_UNSUPPORTED where the operator sets
 * of the two files give a node different meanings. Free with i3d_twins_close, also
 * after failure. */
enum i3d_status i3d_twins_open(const struct i3d_pairing *pairing, const struct i3d_frames *frames,
                               bool image, struct i3d_twins *twins, struct i3d_error *error);
void i3d_twins_close(struct i3d_twins *twins);

enum i3d_side { I3D_REFERENCE, I3D_INFLATED };

/* The name in the merged graph; a tensor is copied when it is first asked for. Null:
 * memory. */
const char *i3d_twins_name(struct i3d_twins *twins, enum i3d_side side, const char *value);
/* A name that nothing has: "n:7/what". */
const char *i3d_twins_new_name(struct i3d_twins *twins, const char *what);
/* A copy of a node, of inputs and outputs with their names in the merged graph. Null:
 * memory. */
struct i3d_node *i3d_twins_copy(struct i3d_twins *twins, enum i3d_side side,
                                const struct i3d_node *node);
/* The nodes of the 2D graph that a value comes from, and that were not emitted yet. */
enum i3d_status i3d_twins_emit_flat(struct i3d_twins *twins, const char *value);
/* Tensors of int64 and float32, rank 1 and any. Null: memory. */
const char *i3d_twins_ints(struct i3d_twins *twins, const int64_t *values, int64_t count);
/* A node of one output; returns its name. inputs end with null. */
const char *i3d_twins_node(struct i3d_twins *twins, const char *op_type,
                           const char *const *inputs, struct i3d_node **node);
const char *i3d_twins_reshape(struct i3d_twins *twins, const char *value, int rank,
                              const int64_t *dims);

enum i3d_status i3d_twins_compare(struct i3d_twins *twins, struct i3d_comparison comparison);
/* Has the reference stay until this point of the run. */
enum i3d_status i3d_twins_hold(struct i3d_twins *twins, const char *reference);
