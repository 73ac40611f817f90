/* What the algorithms of a convolution share; not installed. */
#pragma once

#include "verify/convolution.h"
#include "verify/panels.h"

struct i3d_convolution {
    struct i3d_convolution_geometry geometry;
    enum i3d_algorithm algorithm;
    const struct i3d_kernels *kernels;
    /* Derived from the geometry. */
    int64_t channels, filters;     /* of one group */
    int64_t kernel_size;           /* taps of one channel */
    int64_t in_size, out_size;     /* positions of one channel */
    /* The weights as the algorithm wants them; groups one after the other. */
    float *weights;
    int64_t weight_count, group_weights;
    struct i3d_panels panels;      /* of one group's filters */
};

/* One run of a convolution. */
struct i3d_convolution_call {
    const struct i3d_convolution *convolution;
    const float *in;
    float *out;
    int64_t in_stride, out_stride; /* from sample to sample */
    const struct i3d_epilogue *epilogue;
    float *workspace;
    int threads;
};

/* The epilogue for the output of filter (of all) in sample at the positions from
 * first on: from holds the sums. */
void i3d_finish_line(const struct i3d_convolution_call *call, int64_t sample, int64_t filter,
                     int64_t first, const float *from, int64_t count);
/* Whether matrix products can do the epilogue themselves, through bias and clamp;
 * they then clamp to *low and *high. */
bool i3d_epilogue_is_simple(const struct i3d_epilogue *epilogue, bool *clamp, float *low,
                            float *high);

/* conv_gather.c: what taps see. Row k of to, count elements, is what tap k (channel
 * by channel, as weights are laid out) of one group sees at the output positions
 * [begin, begin + count), for k from first to end - 1; rows lie row_stride apart. */
void i3d_gather_taps(const struct i3d_convolution *convolution, const float *in, int64_t first,
                     int64_t end, int64_t begin, int64_t count, float *to, int64_t row_stride);
/* Without stride and pads over H and W a tap of one element sees whole frames. */
bool i3d_sees_frames(const struct i3d_window *window);

/* One row per algorithm: how many floats the weights of one group take, how they
 * are made (scale may be null), how much workspace in floats a run needs, and a
 * run. */
struct i3d_convolution_methods {
    int64_t (*weight_count)(const struct i3d_convolution *convolution);
    void (*pack)(const struct i3d_convolution *convolution, const float *weight,
                 const double *scale, float *to, int threads);
    int64_t (*workspace)(const struct i3d_convolution *convolution, int threads);
    void (*run)(const struct i3d_convolution_call *call);
};
extern const struct i3d_convolution_methods i3d_convolve_reference, i3d_convolve_matrix,
    i3d_convolve_lines, i3d_convolve_winograd, i3d_convolve_depthwise;

/* How many groups an axis' taps fall into: tap k, k + groups, k + 2·groups … see positions of
 * one residue modulo the stride, at even steps. */
int64_t i3d_tap_groups(const struct i3d_window *window, int axis);

/* conv_lines.c */
bool i3d_lines_fit(const struct i3d_convolution_geometry *geometry);

/* conv_winograd.c */
bool i3d_winograd_fits(const struct i3d_convolution_geometry *geometry);
/* Rough times in cycles of one thread, for the choice. */
double i3d_winograd_cost(const struct i3d_convolution_geometry *geometry,
                         const struct i3d_kernels *kernels);
double i3d_matrix_cost(const struct i3d_convolution_geometry *geometry,
                       const struct i3d_kernels *kernels);
double i3d_lines_cost(const struct i3d_convolution_geometry *geometry,
                      const struct i3d_kernels *kernels);

static inline int64_t i3d_product3(const int64_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}
