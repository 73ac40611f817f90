/* The proofs: does a 3D network compute what the 2D one does?
 *
 * Static audit: every slice of every 3D kernel is the 2D kernel divided by the
 * temporal size, bit for bit; parameters and settings stand as they stood. It runs
 * nothing.
 *
 * Boring video (Carreira and Zisserman 2017, arXiv 1705.07750, section 3): the 2D
 * network sees one image, the 3D network a video of that image repeated, with edge
 * padding in time; every paired activation has to agree at every frame. Each layer
 * is judged twice: alone, on the 2D network's own activations, and with all that is
 * ahead of it.
 *
 * As deployed: the same video with the padding that the file has. Equality is
 * demanded of the frames that no zero reaches; what becomes of the others is measured.
 *
 * Rounding grows over depth, and by how much is a property of the network. Where the first
 * layer that exceeds the tolerance is good alone and in the audit, as all are ahead of it,
 * the 2D network runs beside itself with every result off by a unit roundoff of Σ|w||x|,
 * and four times the distance between the two passes, up to a hundred times the tolerance.
 *
 * Motion: any video, with the padding that the file has. An inflated layer is the 2D
 * layer applied frame by frame, then a window over time, so a reference is computed
 * from the 2D file's kernels alone, for every frame of every layer. */
#pragma once

#include "model/frames.h"
#include "verify/engine.h"

struct i3d_recipe;

struct i3d_proof_options {
    enum i3d_engine engine;
    int64_t frames;    /* length of the video; 0: the clip that the 3D file is for, 64 if it
                          is for any */
    bool shortest;     /* the shortest clip with a clean frame in its result instead */
    int64_t height, width; /* used where the 2D graph leaves them open; 0: the 3D file's, or
                              224 */
    uint64_t seed;     /* of image and video, standard normal values */
    double tolerance;  /* largest error, relative to the layer's largest activation; below 0:
                          i3d_tolerance of the coarsest weights, and of whole networks where
                          it is exceeded four times what rounding explains, see below */
    int threads;
    const struct i3d_recipe *recipe; /* to audit windows over time by; null: the one that the
                                        3D file records */
    bool audit_only, deployed, motion;
    bool skip_boring;
    /* Images instead of the seeded one, 1×C×H×W; each is a pass of its own. */
    const struct i3d_array *images;
    size_t image_count;
    const struct i3d_array *video; /* for motion, 1×C×T×H×W; or null */
};

/* One comparison of a layer's activations. */
struct i3d_finding {
    bool judged;
    double max_absolute; /* over all frames and elements; NaN: not comparable, or a NaN in one */
    double max_relative; /* over the reference's largest activation */
    double relative_l2;
    int64_t worst_frame;
    bool good;
};

struct i3d_layer_verdict {
    const char *name;       /* the 2D value's name; lives as long as the proof */
    const char *twin;       /* the 3D value's; lives as long as the proof */
    const char *operation;  /* op_type of the 2D node */
    int rank;
    int64_t dims[I3D_MAX_RANK]; /* of the 3D activation */

    /* The largest relative error that passes with everything ahead: the proof's tolerance,
     * or more where rounding explains more. rounding is what it explains, relative to the
     * largest activation; NaN: the tolerance was not exceeded, and it was not measured. */
    double tolerance, rounding;

    /* Boring video, edge padding; NaN where it was not run. */
    bool judged;
    double max_absolute;    /* over all frames and elements */
    double max_relative;    /* max_absolute / largest |2D activation| */
    double relative_l2;
    int64_t worst_frame;
    bool good;

    /* The layer alone. bound is what rounding can be held responsible for, relative to
     * the largest activation: 4·√n·u·Σ|w||x| / max|Σwx|, with n the terms of a sum in 3D
     * and u the unit roundoff of float32, and 4·v·Σ|w||x| / max|Σwx| more (at least 4·v)
     * where weights have a larger one, v; 4·(4 + √n)·u, or ·v, where nothing is weighted.
     * worst_case has n in place of 4·√n, and 2·v. */
    struct i3d_finding alone;
    double bound, worst_case;

    /* As deployed: the clean frames of the value, those where the two agree, and the
     * deviation by frame, relative to the largest activation. */
    bool timed;
    int64_t frames, clean_count, clean_first, clean_last;
    bool never_clean;
    struct i3d_finding clean, spoilt;
    float *deviation; /* by frame, or null */

    struct i3d_finding motion;

    bool has_weights;       /* the audit looked at it */
    bool audit_good;
    bool centered;          /* one slice holds the 2D kernel, the others are zero */
    char audit_note[160];   /* what the audit found where it is not good, or why it passed */
};

struct i3d_proof {
    struct i3d_layer_verdict *layers; /* in the 2D graph's order; malloc'ed */
    size_t layer_count;
    struct i3d_model *flat, *inflated; /* as they were paired; owned */
    size_t unpaired_2d, unpaired_3d;  /* values of compute nodes left without a partner */
    const char **names_2d, **names_3d; /* theirs; live as long as the proof; malloc'ed */
    bool by_name;                     /* tensors were compared, not layers: no graph */
    char obstacle[256];               /* where the graphs first part ways; "": nowhere */
    bool good;                        /* both verdicts, for what was run */
    bool weights_good;                /* audit, boring video, motion; all outputs paired */
    bool deployed_good;               /* clean frames agree, if that was run */
    int64_t first_bad;                /* index in layers, or -1 */
    char recipe[64];                  /* that windows over time were audited by; "": none */
    double tolerance;                 /* that was applied, but for layers that have more */
    int64_t frames;                   /* of the clip */
    size_t images;                    /* that were run */
    bool ran_boring, ran_deployed, ran_motion;
    size_t without_motion;            /* layers whose reference could not be computed */

    /* What zero padding does to the result, told from the graph: its frames ahead of the
     * mean over time, and which are clean in this clip. */
    const char *result; /* a 3D value, or null: not known */
    int64_t result_frames, result_clean_count, result_clean_first, result_clean_last;
    int64_t shortest_clip; /* with a clean frame of it; 0: at no length; -1: none found */
    const char *deepest;   /* the last value with a clean frame in this clip, or null */
};

/* The largest relative error that passes in whole networks, by the unit roundoff of their
 * weights: 1e-5 for float32 and float64, 16 roundings for float16 and bfloat16. */
double i3d_tolerance(double roundoff);

/* Compares. I3D_OK means the comparison was made: proof->good is its result.
 * I3D_UNSUPPORTED if the two graphs cannot be paired at all. Free with
 * i3d_proof_free. */
enum i3d_status i3d_prove(const struct i3d_model *flat, const struct i3d_model *inflated,
                          const struct i3d_proof_options *options, struct i3d_proof *proof,
                          struct i3d_error *error);
/* The shape that options->images have to have; errors as those of i3d_prove. */
enum i3d_status i3d_proof_image(const struct i3d_model *flat, const struct i3d_model *inflated,
                                const struct i3d_proof_options *options,
                                struct i3d_shape *image, struct i3d_error *error);

/* The audit of two files that hold weights and no graph, tensors being paired by name.
 * Kernels of one axis more have to be the 2D ones over their length in time, which is
 * axis 2; the rest has to be equal, and neither file may have a tensor that the other
 * lacks (PyTorch's num_batches_tracked apart). The layers of the proof are tensors.
 * I3D_UNSUPPORTED if no kernel of the 2D file is there with one axis more. */
enum i3d_status i3d_prove_weights(const struct i3d_model *flat, const struct i3d_model *inflated,
                                  struct i3d_proof *proof, struct i3d_error *error);
void i3d_proof_free(struct i3d_proof *proof);
