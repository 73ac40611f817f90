/* Convolutions of float32 arrays N×C×T×H×W by the algorithm that suits them; not
 * installed. Fewer spatial axes are windows of one element ahead of the others
 * (i3d_widen_window).
 *
 * In order of use: i3d_choose_algorithm, i3d_convolution_prepare (once: weights
 * are transformed there), i3d_convolution_workspace, i3d_convolution_run as often
 * as wanted, i3d_convolution_free. */
#pragma once

#include "verify/window3d.h"

struct i3d_convolution_geometry {
    int64_t batch, groups;
    int64_t channels, filters; /* of all groups together */
    struct i3d_window3d window; /* with clamp_time, windows see the first and last frame repeated */
};

enum i3d_algorithm {
    I3D_REFERENCE, /* im2col and BLAS, block by block: the plain one, for every geometry */
    I3D_POINTWISE, /* kernel 1×1×1, stride 1, no pads: one matrix product */
    I3D_WINOGRAD,  /* over H and W, temporal taps accumulated in the matrix product */
    I3D_IM2COL,    /* the matrix of what each tap sees, made block by block in the caches */
    I3D_LINES,     /* the same, but taps above one another share the lines they see */
    I3D_DEPTHWISE, /* one channel per group, directly */
};

/* Lower-case, for tables: "reference", "pointwise", … */
const char *i3d_algorithm_name(enum i3d_algorithm algorithm);

/* The fastest algorithm that can do it; never I3D_REFERENCE. */
enum i3d_algorithm i3d_choose_algorithm(const struct i3d_convolution_geometry *geometry);
/* Whether an algorithm can do it. I3D_REFERENCE and I3D_IM2COL always can. */
bool i3d_algorithm_fits(enum i3d_algorithm algorithm,
                        const struct i3d_convolution_geometry *geometry);

/* Multiply-adds that the definition takes, whatever the algorithm saves. */
double i3d_convolution_multiply_adds(const struct i3d_convolution_geometry *geometry);

/* What is done to an output once it is summed up, in this order: bias added,
 * residual added, activation. */
enum i3d_activation {
    I3D_ACTIVATION_NONE,
    I3D_ACTIVATION_CLAMP,      /* to [low, high]: Relu is [0, ∞], Relu6 [0, 6]; NaN stays */
    I3D_ACTIVATION_LEAKY,      /* x < 0 ? slope·x : x */
    I3D_ACTIVATION_HARD_SWISH, /* x·max(0, min(1, x/6 + 1/2)) */
    I3D_ACTIVATION_SIGMOID,
    I3D_ACTIVATION_SWISH,      /* x·sigmoid(x) */
};

struct i3d_epilogue {
    const float *bias;       /* per filter, or null */
    const float *residual;   /* laid out as the output but for its sample stride, or null; may be
                                the output itself */
    int64_t residual_stride; /* elements from sample to sample */
    enum i3d_activation activation;
    float low, high;         /* of CLAMP */
    float slope;             /* of LEAKY */
};

struct i3d_kernels;
struct i3d_convolution; /* geometry, algorithm and the weights as that wants them */

/* The innermost loops for the widest instruction set that this processor has. */
const struct i3d_kernels *i3d_best_kernels(void);

/* weight: filters × channels/groups × kernel, read here only. scale may be null;
 * else filter f's weights are multiplied by scale[f] on the way, in double, as a
 * BatchNorm behind the convolution asks. kernels: i3d_best_kernels(), or others of
 * this processor's (verify/kernels.h). The geometry's channels and filters are
 * multiples of groups, its window is resolved. Works on up to threads threads.
 * I3D_UNSUPPORTED if the algorithm does not fit or a matrix has a side beyond
 * 2^31. */
enum i3d_status i3d_convolution_prepare(const struct i3d_convolution_geometry *geometry,
                                        enum i3d_algorithm algorithm,
                                        const struct i3d_kernels *kernels, const float *weight,
                                        const double *scale, int threads,
                                        struct i3d_convolution **convolution,
                                        struct i3d_error *error);
void i3d_convolution_free(struct i3d_convolution *convolution);

/* The same weights over another batch, other input sizes or other pads;
 * I3D_UNSUPPORTED as above. Kernel, strides, dilations and channels stay. */
enum i3d_status i3d_convolution_reshape(struct i3d_convolution *convolution, int64_t batch,
                                        const struct i3d_window3d *window,
                                        struct i3d_error *error);

enum i3d_algorithm i3d_convolution_algorithm(const struct i3d_convolution *convolution);
/* Bytes of weights that the convolution owns. */
size_t i3d_convolution_weight_bytes(const struct i3d_convolution *convolution);
/* Bytes of memory that a run on that many threads (not fewer) needs beside input
 * and output; the caller provides them, aligned to 64 bytes. */
size_t i3d_convolution_workspace(const struct i3d_convolution *convolution, int threads);

/* in: batch samples of channels × T × H × W elements, in_stride elements apart;
 * out likewise with filters × T' × H' × W', out_stride apart, so that either may
 * be some channels of a larger array. They do not overlap. Runs between
 * i3d_blas_begin and i3d_blas_end, on up to threads threads. Nothing to fail:
 * what could, was checked before. */
void i3d_convolution_run(const struct i3d_convolution *convolution, const float *in,
                         int64_t in_stride, const struct i3d_epilogue *epilogue, float *out,
                         int64_t out_stride, void *workspace, int threads);
