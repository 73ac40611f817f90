/* The numbers of two kernels, slice by slice; not installed. */
#pragma once

#include "verify/proof.h"

/* Element (o, i, t, y, x) is at o·output_stride + i·input_stride
 * + (t·height + y)·width + x. */
struct i3d_kernel_layout {
    int64_t outputs, inputs, taps, height, width;
    int64_t output_stride, input_stride;
};

struct i3d_slice_kernel {
    struct i3d_kernel_layout layout;
    enum i3d_dtype dtype;
    unsigned char *bytes; /* all elements */
};

/* The layouts agree in outputs, height and width; flat has one tap. */
struct i3d_slices {
    bool foreign; /* another program's file, which may have folded BatchNorm on both sides:
                     a few roundings are no finding */
    struct i3d_slice_kernel flat, inflated;
    int64_t *divisors; /* by tap */
    /* Room to work in, for the kernel of one output channel with inflated's inputs
     * and one tap: as 2D has it, as one slice should be, and as double (with room
     * for a channel of flat behind). */
    unsigned char *base, *expected;
    double *wide;
};

struct i3d_slice_tally {
    bool divided;  /* every slice is the 2D kernel over its divisor, bit for bit */
    bool equal;    /* every slice is the first one */
    bool centered; /* of several, slice ⌊(N-1)/2⌋ is the 2D kernel, the others are zero */
};
/* Where inputs differ, the 2D kernel stands for the one with each input the
 * scaled mean of its own: their sum over the number of inputs in 3D, taken in
 * double and rounded once. */
struct i3d_slice_tally i3d_tally_slices(struct i3d_slices *slices);

/* Says in the verdict what is wrong with slices that are not as they should be. */
void i3d_diagnose_slices(struct i3d_slices *slices, struct i3d_layer_verdict *verdict);

/* Tests orders that the 2D kernel may have been read in: axes transposed, reversed, the
 * wrong one inflated. True if one fits within a few roundings, which is reported. */
bool i3d_report_order(const struct i3d_slices *slices, double rounding,
                      struct i3d_layer_verdict *verdict);

/* Compares the sum of the slices with the 2D kernel, each times its scale per
 * output channel, within the roundings that folding a scale takes; one_form says
 * that the slices are equal or centered. */
void i3d_compare_scaled(struct i3d_slices *slices, const double *flat_scale,
                        const double *inflated_scale, bool one_form,
                        struct i3d_layer_verdict *verdict);
