/* The proofs: does a 3D network compute what the 2D one does?
 *
 * Boring video (Carreira and Zisserman 2017, arXiv 1705.07750, section 3): the
 * 2D network sees one image, the 3D network a video of that image repeated,
 * with edge padding in time; every paired activation has to agree at every
 * frame. Static audit: every slice of every 3D kernel is the 2D kernel divided
 * by the temporal size, bit for bit. */
#pragma once

#include "verify/engine.h"

struct i3d_proof_options {
    enum i3d_engine engine;
    int64_t frames;    /* length of the boring video; 0: the clip that the 3D file is for,
                          64 if it is for any */
    int64_t height, width; /* used where the 2D graph leaves them open; 0: the 3D file's, or
                              224 */
    uint64_t seed;     /* of the image, standard normal values */
    double tolerance;  /* largest error, relative to the layer's largest activation */
    int threads;
};

struct i3d_layer_verdict {
    const char *name;       /* the 2D value's name; lives as long as the proof */
    const char *operation;  /* op_type of the 2D node */
    int rank;
    int64_t dims[I3D_MAX_RANK]; /* of the 3D activation */
    double max_absolute;    /* over all frames and elements */
    double max_relative;    /* max_absolute / largest |2D activation| */
    int64_t worst_frame;
    bool good;
    bool has_weights;       /* the audit looked at it */
    bool audit_good;
    char audit_note[160];   /* what the audit found where it is not good, or why it passed */
};

struct i3d_proof {
    struct i3d_layer_verdict *layers; /* in the 2D graph's order; malloc'ed */
    size_t layer_count;
    struct i3d_model *flat;           /* the 2D network as it was paired; owned */
    size_t unpaired_2d, unpaired_3d;  /* values of compute nodes left without a partner */
    char obstacle[256];               /* where the graphs first part ways; "": nowhere */
    bool good;                        /* everything paired agrees, outputs are paired, audit good */
    int64_t first_bad;                /* index in layers, or -1 */
};

/* Compares. I3D_OK means the comparison was made: proof->good is its result.
 * I3D_UNSUPPORTED if the two graphs cannot be paired at all. Free with
 * i3d_proof_free. */
enum i3d_status i3d_prove(const struct i3d_model *flat, const struct i3d_model *inflated,
                          const struct i3d_proof_options *options, struct i3d_proof *proof,
                          struct i3d_error *error);
void i3d_proof_free(struct i3d_proof *proof);
