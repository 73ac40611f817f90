/* What the files of a proof share; not installed. proof.c says which values are
 * compared and what comes of it, alone.c and motion.c put references into the merged
 * graph, judge.c runs it and compares. */
#pragma once

#include "verify/audit.h"
#include "verify/boring.h"
#include "verify/twins.h"

/* Two values to be compared, and by that one layer of the proof. */
struct i3d_entry {
    const char *flat, *inflated;
    int64_t node; /* in 2D; -1: an output, behind layers that compute */
};

struct i3d_prover {
    struct i3d_structure flat, inflated;
    const struct i3d_proof_options *options;
    struct i3d_boring boring;
    struct i3d_pairing pairing;
    struct i3d_frames *frames; /* null: no proof that needs them */
    int64_t *partners;         /* by 3D position: the 2D one, or -1 */
    struct i3d_proof *proof;
    struct i3d_entry *entries;
    size_t count;
    double *terms, *responses; /* by layer: the largest Σ|w||x| and |Σwx| of its kernel */
};

/* What a pass over the merged graph is for. */
enum i3d_pass { I3D_PASS_BORING, I3D_PASS_DEPLOYED, I3D_PASS_MOTION, I3D_PASS_ROUNDING };

/* Puts layer `entry` into the graph once more, fed with the reference's activations
 * repeated in time, and measures the terms of its sums. Left out where a layer cannot
 * be taken out of its network. */
enum i3d_status i3d_add_alone(struct i3d_prover *prover, struct i3d_twins *twins, size_t entry);
/* Σ|w||x|: a kernel of the 2D graph once more, on absolute values and without its bias.
 * *terms is null where its weights are computed. */
enum i3d_status i3d_add_terms(struct i3d_prover *prover, struct i3d_twins *twins, int64_t kernel,
                              const char **terms);
/* Terms summed up for one element in 3D: 1 where nothing is summed. */
double i3d_terms_summed(const struct i3d_prover *prover, size_t entry);

/* The reference for arbitrary motion; see motion.c. names are by 2D value: what it is in
 * the merged graph, (T, …), null where it could not be followed. */
struct i3d_motion {
    struct i3d_prover *prover;
    struct i3d_twins *twins;
    const char **names;
    int64_t *lengths;           /* frames of each */
};
enum i3d_status i3d_motion_open(struct i3d_motion *motion, struct i3d_prover *prover,
                                struct i3d_twins *twins);
void i3d_motion_close(struct i3d_motion *motion);
/* Computes the reference of a paired node of the 3D graph. */
enum i3d_status i3d_motion_node(struct i3d_motion *motion, int64_t inflated);
/* The reference that corresponds to two values; null where there is none. */
const char *i3d_motion_bridge(struct i3d_motion *motion, const char *flat, const char *inflated,
                              int64_t *length);

/* rounding.c. Puts the 2D network into the graph, and a copy of it whose results are off as
 * if rounded; compares the two layer by layer. Nothing where the operator set is too old. */
enum i3d_status i3d_add_rounding(struct i3d_prover *prover, struct i3d_twins *twins);
/* The unit roundoff of the coarsest weights in either file. */
double i3d_roundoff_of(const struct i3d_prover *prover);
/* Whether what the operator gives differs by no more than its inputs do. */
bool i3d_keeps_distance(const struct i3d_node *node);

/* audit_recipe.c. Compares windows over time with those of the recipe that was named, or
 * that the 3D file records, and notes which; video is the shape of the input. The clip's
 * frames have to be traced. */
enum i3d_status i3d_audit_recipe(struct i3d_prover *prover, const struct i3d_shape *video,
                                 struct i3d_error *error);

/* diagnose.c. Says in the note what explains a layer whose weights are equal, but whose
 * activations differ, where that is found. */
void i3d_diagnose(const struct i3d_prover *prover, size_t entry);

/* Builds the merged graph of a pass, runs it on the input (2D image or null, then the
 * video) and writes what it finds to the proof's layers, the worst of several passes. */
enum i3d_status i3d_judge(struct i3d_prover *prover, enum i3d_pass pass,
                          const struct i3d_array *image, const struct i3d_array *video,
                          struct i3d_error *error);
