/* How far tensors are from each other, and a 3D network from what it was inflated from. */
#pragma once

#include "model/tensor.h"

struct i3d_difference {
    int64_t elements, unequal; /* unequal: other bits, but for zeros of either sign */
    double largest;            /* difference; NaN if only one side is NaN anywhere */
    double relative;           /* that to the first one's largest value (0/0 is 0) */
    double ulps;               /* largest difference in units in the last place of the larger
                                  value; of integers the difference itself */
};

/* Compares two tensors of one shape and dtype, piece by piece. */
enum i3d_status i3d_compare_tensors(const struct i3d_tensor *a, const struct i3d_tensor *b,
                                    struct i3d_difference *difference, struct i3d_error *error);

/* A kernel O×I×N×H×W beside the O×I×H×W that it was inflated from. */
struct i3d_drift {
    int64_t frames;
    /* The part that varies over time: ‖W_t - mean over t‖ over all t relative to the norm
     * of the whole kernel. 0 where all slices are equal, as inflation by repetition makes
     * them; √(1 - 1/N) where one slice holds all. */
    double variation;
    /* ‖sum over time - W2D‖ / ‖W2D‖: what is left where time is added up. */
    double sum_change;
    /* ‖W_t‖·N / ‖W2D‖ by frame: 1 in each as inflated by repetition. */
    double *shares; /* malloc'ed, of frames elements */
    bool equal_slices; /* bit for bit */
    bool as_inflated;  /* equal slices, or all in the middle one, whose sum is the 2D kernel up
                          to the rounding of one division */
};

/* axis: of time in the 3D kernel. flat and inflated fit (i3d_drift_fits). The caller
 * frees drift->shares. */
enum i3d_status i3d_measure_drift(const struct i3d_tensor *flat,
                                  const struct i3d_tensor *inflated, int axis,
                                  struct i3d_drift *drift, struct i3d_error *error);
/* Whether inflated has flat's axes and one more at axis. */
bool i3d_drift_fits(const struct i3d_tensor *flat, const struct i3d_tensor *inflated, int axis);
