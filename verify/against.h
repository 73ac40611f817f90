/* One network in two runtimes: the values that another one dumped, against ours. */
#pragma once

#include "verify/proof.h"

/* A value that both have. */
struct i3d_shared_value {
    const char *name, *operation; /* the model's; op_type */
    int rank, other_rank;
    int64_t dims[I3D_MAX_RANK], other_dims[I3D_MAX_RANK]; /* ours, theirs */
    bool comparable;        /* of one shape and kind */
    double max_absolute;    /* NaN: not comparable, or a NaN in one of them */
    double max_relative;    /* over their largest value */
    double relative_l2;
    bool good;
};

struct i3d_against {
    struct i3d_shared_value *values; /* in the order of the run; malloc'ed */
    size_t count;
    const char **strangers; /* their tensors that the network does not compute; malloc'ed */
    size_t stranger_count;
    size_t missing;         /* values that the network computes, and they do not have */
    double tolerance;       /* that was applied */
    double worst;           /* max_relative of all; NaN where one is */
    int64_t first_bad;      /* index in values, or -1 */
    bool good;
};

/* The shape of the model's only input: what the graph leaves open is as the options say,
 * else one sample, 64 frames, 224×224. I3D_UNSUPPORTED if it takes anything else than one
 * image or one video. */
enum i3d_status i3d_input_shape(const struct i3d_model *model,
                                const struct i3d_proof_options *options,
                                struct i3d_shape *shape, struct i3d_error *error);
/* Seeded, normally distributed values of that shape. */
enum i3d_status i3d_noise_input(const struct i3d_model *model,
                                const struct i3d_proof_options *options,
                                struct i3d_array *input, struct i3d_error *error);

/* Runs the model, with the padding it has, on inputs (in the order of model->inputs, the
 * caller's) and compares each value whose name a tensor of theirs has; one tensor is held
 * at a time. A tensor of an input's name is no stranger. options: engine, threads,
 * tolerance (relative to the value's largest; below 0: 1e-4, more for half precision, as
 * runtimes sum up in other orders). I3D_OK means the comparison was made. I3D_UNSUPPORTED
 * where no name is shared. Names stay those of model and theirs. Free with
 * i3d_against_free, also after failure. */
enum i3d_status i3d_compare_against(const struct i3d_model *model, const struct i3d_array *inputs,
                                    const struct i3d_model *theirs,
                                    const struct i3d_proof_options *options,
                                    struct i3d_against *against, struct i3d_error *error);
void i3d_against_free(struct i3d_against *against);
