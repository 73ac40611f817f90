#include "verify/audit_slices.h"

#include "verify/audit.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t positions_of(const struct i3d_slices *slices)
{
    return slices->flat.layout.height * slices->flat.layout.width;
}

/* One input channel of one slice in the 3D kernel. */
static const unsigned char *patch(const struct i3d_slices *slices, int64_t o, int64_t i, int64_t t)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    int64_t at = o * layout->output_stride + i * layout->input_stride + t * positions_of(slices);
    return slices->inflated.bytes + (size_t)at * i3d_dtype_size(slices->inflated.dtype);
}

/* Sets base to output channel o of the 2D kernel, with the 3D kernel's inputs. */
static void set_base(struct i3d_slices *slices, int64_t o)
{
    const struct i3d_slice_kernel *flat = &slices->flat;
    const struct i3d_kernel_layout *layout = &flat->layout;
    int64_t inputs = slices->inflated.layout.inputs, positions = positions_of(slices);
    size_t size = i3d_dtype_size(flat->dtype), length = (size_t)positions * size;
    const unsigned char *row = flat->bytes + (size_t)(o * layout->output_stride) * size;
    if (inputs == layout->inputs) {
        if (layout->input_stride == positions)
            memcpy(slices->base, row, (size_t)inputs * length);
        else
            for (int64_t i = 0; i < inputs; i++)
                memcpy(slices->base + (size_t)i * length,
                       row + (size_t)(i * layout->input_stride) * size, length);
        return;
    }
    double *values = slices->wide + inputs * positions;
    i3d_to_double(flat->dtype, row, values, (size_t)layout->output_stride);
    for (int64_t p = 0; p < positions; p++) {
        double sum = 0;
        for (int64_t c = 0; c < layout->inputs; c++)
            sum += values[c * positions + p];
        slices->wide[p] = sum / (double)inputs;
    }
    for (int64_t i = 0; i < inputs; i++)
        i3d_from_double(flat->dtype, slices->wide,
                        slices->base + (size_t)(i * positions) * size, (size_t)positions);
}

/* A quotient of floats is rounded as the one in double is. */
static void divide_floats(const float *base, int64_t divisor, float *expected, size_t count)
{
    float by = (float)divisor;
    I3D_SIMD
    for (size_t k = 0; k < count; k++)
        expected[k] = base[k] / by;
}

/* Sets expected to base over the divisor: one rounding in the 2D file's type. For
 * floats below double the quotient in double rounds to the same number. */
static void set_expected(struct i3d_slices *slices, int64_t divisor)
{
    enum i3d_dtype from = slices->flat.dtype, to = slices->inflated.dtype;
    size_t count = (size_t)(slices->inflated.layout.inputs * positions_of(slices));
    if (from == to && from == I3D_FLOAT32 && divisor < 1 << 24) {
        divide_floats((const float *)slices->base, divisor, (float *)slices->expected, count);
        return;
    }
    i3d_to_double(from, slices->base, slices->wide, count);
    for (size_t k = 0; k < count; k++)
        slices->wide[k] /= (double)divisor;
    i3d_from_double(from, slices->wide, slices->expected, count);
    if (from == to)
        return;
    i3d_to_double(from, slices->expected, slices->wide, count);
    i3d_from_double(to, slices->wide, slices->expected, count);
}

/* Whether count pieces of length elements are equal, bit for bit. Most are of one or of
 * nine elements, too short for memcmp. */
#define EQUAL_PIECES(type)                                                  \
    do {                                                                    \
        const type *a = one, *b = other;                                    \
        type differs = 0;                                                   \
        for (int64_t i = 0; i < count && !differs; i++)                     \
            for (int64_t k = 0; k < length; k++)                            \
                differs |= a[i * stride + k] ^ b[i * other_stride + k];     \
        return !differs;                                                    \
    } while (0)

static bool equal_pieces(size_t size, const void *one, int64_t stride, const void *other,
                         int64_t other_stride, int64_t length, int64_t count)
{
    if (stride == length && other_stride == length)
        return !memcmp(one, other, (size_t)(length * count) * size);
    switch (size) {
    case 2: EQUAL_PIECES(uint16_t);
    case 4: EQUAL_PIECES(uint32_t);
    default: EQUAL_PIECES(uint64_t);
    }
}

/* Whether slice t of output channel o is what expected holds. */
static bool is_expected(const struct i3d_slices *slices, int64_t o, int64_t t)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    int64_t positions = positions_of(slices);
    return equal_pieces(i3d_dtype_size(slices->inflated.dtype), patch(slices, o, 0, t),
                        layout->input_stride, slices->expected, positions, positions,
                        layout->inputs);
}

static bool is_first(const struct i3d_slices *slices, int64_t o, int64_t t)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    return equal_pieces(i3d_dtype_size(slices->inflated.dtype), patch(slices, o, 0, t),
                        layout->input_stride, patch(slices, o, 0, 0), layout->input_stride,
                        positions_of(slices), layout->inputs);
}

static bool is_zero(const struct i3d_slices *slices, int64_t o, int64_t t)
{
    size_t length = (size_t)positions_of(slices) * i3d_dtype_size(slices->inflated.dtype);
    for (int64_t i = 0; i < slices->inflated.layout.inputs; i++) {
        const unsigned char *bytes = patch(slices, o, i, t);
        for (size_t k = 0; k < length; k++)
            if (bytes[k])
                return false;
    }
    return true;
}

static bool is_centered(struct i3d_slices *slices, int64_t o)
{
    int64_t taps = slices->inflated.layout.taps, center = (taps - 1) / 2;
    for (int64_t t = 0; t < taps; t++)
        if (t != center && !is_zero(slices, o, t))
            return false;
    set_expected(slices, 1);
    return is_expected(slices, o, center);
}

struct i3d_slice_tally i3d_tally_slices(struct i3d_slices *slices)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    struct i3d_slice_tally tally = { true, true, layout->taps > 1 };
    bool one_divisor = true; /* slices that are as expected are equal */
    for (int64_t t = 1; t < layout->taps; t++)
        one_divisor &= slices->divisors[t] == slices->divisors[0];
    for (int64_t o = 0; o < layout->outputs; o++) {
        set_base(slices, o);
        for (int64_t t = 0; t < layout->taps && (tally.divided || tally.equal); t++) {
            if (!t || slices->divisors[t] != slices->divisors[t - 1])
                set_expected(slices, slices->divisors[t]);
            tally.divided = tally.divided && is_expected(slices, o, t);
            tally.equal = tally.equal
                && ((tally.divided && one_divisor) || is_first(slices, o, t));
        }
        tally.centered = tally.centered && is_centered(slices, o);
    }
    return tally;
}

/* What is off in one slice, and in which channels. */
struct slice {
    double worst;                      /* largest difference from what was expected */
    double squares, products, wanted;  /* Σ found², Σ found·expected, Σ expected² */
};

struct diagnosis {
    struct slice *slices;
    bool *bad_outputs, *bad_inputs;
    int64_t bad_count, without_number; /* weights, and those of them that are NaN */
    struct {
        int64_t output, input, slice, position;
        double found, expected;
    } last_bad;
    double largest;      /* |expected| */
    double worst_sum;    /* largest difference of a sum over taps from the 2D kernel */
    double largest_base; /* in 2D */
};

/* Goes through one output channel; found and sums have room for one slice. */
static void examine(struct i3d_slices *slices, int64_t o, double *found, double *sums,
                    struct diagnosis *diagnosis)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    int64_t positions = positions_of(slices);
    size_t count = (size_t)(layout->inputs * positions);
    set_base(slices, o);
    memset(sums, 0, count * sizeof *sums);
    for (int64_t t = 0; t < layout->taps; t++) {
        struct slice *slice = &diagnosis->slices[t];
        set_expected(slices, slices->divisors[t]);
        i3d_to_double(slices->inflated.dtype, slices->expected, slices->wide, count);
        for (int64_t i = 0; i < layout->inputs; i++)
            i3d_to_double(slices->inflated.dtype, patch(slices, o, i, t), found + i * positions,
                          (size_t)positions);
        for (size_t k = 0; k < count; k++) {
            double expected = slices->wide[k], difference = fabs(found[k] - expected);
            if (!(difference == 0)) {
                int64_t i = (int64_t)k / positions, at = (int64_t)k % positions;
                diagnosis->bad_outputs[o] = diagnosis->bad_inputs[i] = true;
                diagnosis->bad_count++;
                diagnosis->without_number += isnan(found[k]);
                diagnosis->last_bad.output = o;
                diagnosis->last_bad.input = i;
                diagnosis->last_bad.slice = t;
                diagnosis->last_bad.position = at;
                diagnosis->last_bad.found = found[k];
                diagnosis->last_bad.expected = expected;
            }
            slice->worst = fmax(slice->worst, difference);
            slice->squares += found[k] * found[k];
            slice->products += found[k] * expected;
            slice->wanted += expected * expected;
            diagnosis->largest = fmax(diagnosis->largest, fabs(expected));
            sums[k] += found[k];
        }
    }
    i3d_to_double(slices->flat.dtype, slices->base, slices->wide, count);
    for (size_t k = 0; k < count; k++) {
        diagnosis->worst_sum = fmax(diagnosis->worst_sum, fabs(sums[k] - slices->wide[k]));
        diagnosis->largest_base = fmax(diagnosis->largest_base, fabs(slices->wide[k]));
    }
}

/* The factor between a slice and what was expected of it, or 0 if there is none
 * that fits all of its elements. */
static double factor_of(const struct slice *slice, double rounding)
{
    double factor = slice->wanted > 0 ? slice->products / slice->wanted : 0;
    double rest = slice->squares - factor * slice->products; /* Σ (found - factor·expected)² */
    double tolerance = fmax(1e-9, 16 * rounding * rounding);
    return fabs(rest) <= tolerance * slice->squares ? factor : 0;
}

/* The two that are set, if there are no others. */
static bool exactly_two(const bool *set, int64_t count, int64_t pair[2])
{
    int64_t found = 0;
    for (int64_t k = 0; k < count; k++) {
        if (!set[k])
            continue;
        if (found == 2)
            return false;
        pair[found++] = k;
    }
    return found == 2;
}

static bool outputs_are_exchanged(struct i3d_slices *slices, const int64_t pair[2])
{
    for (int k = 0; k < 2; k++) {
        set_base(slices, pair[k]);
        for (int64_t t = 0; t < slices->inflated.layout.taps; t++) {
            set_expected(slices, slices->divisors[t]);
            if (!is_expected(slices, pair[!k], t))
                return false;
        }
    }
    return true;
}

static bool inputs_are_exchanged(struct i3d_slices *slices, const int64_t pair[2])
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    size_t length = (size_t)positions_of(slices) * i3d_dtype_size(slices->inflated.dtype);
    for (int64_t o = 0; o < layout->outputs; o++) {
        set_base(slices, o);
        for (int64_t t = 0; t < layout->taps; t++) {
            set_expected(slices, slices->divisors[t]);
            for (int k = 0; k < 2; k++)
                if (memcmp(patch(slices, o, pair[!k], t),
                           slices->expected + (size_t)pair[k] * length, length))
                    return false;
        }
    }
    return true;
}

/* One rounding, relative to the number rounded. */
static double roundoff(enum i3d_dtype dtype)
{
    switch (dtype) {
    case I3D_FLOAT16: return 0x1p-11;
    case I3D_BFLOAT16: return 0x1p-8;
    case I3D_FLOAT64: return 0x1p-53;
    default: return 0x1p-24;
    }
}

/* What a few weights alone show. */
static bool report_weights(const struct i3d_slices *slices, const struct diagnosis *diagnosis,
                           struct i3d_layer_verdict *verdict)
{
    int64_t width = slices->flat.layout.width, position = diagnosis->last_bad.position;
    if (!diagnosis->bad_count)
        i3d_object(verdict, "zeros have another sign than those of 2D kernel / %lld",
                   (long long)slices->divisors[0]);
    else if (diagnosis->bad_count == 1)
        i3d_object(verdict, "one weight, [%lld, %lld, %lld, %lld, %lld], is %.9g and not %.9g",
                   (long long)diagnosis->last_bad.output, (long long)diagnosis->last_bad.input,
                   (long long)diagnosis->last_bad.slice, (long long)(position / width),
                   (long long)(position % width), diagnosis->last_bad.found,
                   diagnosis->last_bad.expected);
    else if (diagnosis->without_number)
        i3d_object(verdict, "%lld weights are NaN", (long long)diagnosis->without_number);
    return !verdict->audit_good;
}

static bool report_exchange(struct i3d_slices *slices, const struct diagnosis *diagnosis,
                            struct i3d_layer_verdict *verdict)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    int64_t pair[2];
    if (exactly_two(diagnosis->bad_outputs, layout->outputs, pair)
        && outputs_are_exchanged(slices, pair)) {
        i3d_object(verdict, "output channels %lld and %lld are exchanged", (long long)pair[0],
                   (long long)pair[1]);
        return true;
    }
    if (exactly_two(diagnosis->bad_inputs, layout->inputs, pair)
        && inputs_are_exchanged(slices, pair)) {
        i3d_object(verdict, "input channels %lld and %lld are exchanged%s", (long long)pair[0],
                   (long long)pair[1], layout->inputs == 3 && pair[1] - pair[0] == 2
                   ? " (RGB and BGR)" : "");
        return true;
    }
    return false;
}

/* Whether one factor fits all slices. */
static bool is_uniform(const struct diagnosis *diagnosis, int64_t taps, double rounding,
                       double *factor)
{
    *factor = factor_of(&diagnosis->slices[0], rounding);
    for (int64_t t = 1; t < taps; t++)
        if (fabs(factor_of(&diagnosis->slices[t], rounding) - *factor)
            > fmax(1e-4, 4 * rounding) * fabs(*factor))
            return false;
    return *factor != 0;
}

static void report(struct i3d_slices *slices, const struct diagnosis *diagnosis,
                   struct i3d_layer_verdict *verdict)
{
    int64_t taps = slices->inflated.layout.taps, at = 0;
    double rounding = roundoff(slices->inflated.dtype), factor;
    for (int64_t t = 1; t < taps; t++)
        if (diagnosis->slices[t].worst > diagnosis->slices[at].worst)
            at = t;
    const struct slice *worst = &diagnosis->slices[at];
    if (slices->foreign && !diagnosis->without_number
        && worst->worst <= 4 * rounding * diagnosis->largest) {
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "equal but for rounding: off by up to %.2g", worst->worst);
        return;
    }
    if (report_exchange(slices, diagnosis, verdict)
        || report_weights(slices, diagnosis, verdict))
        return;
    if (worst->worst > 4 * rounding * diagnosis->largest
        && i3d_report_order(slices, rounding, verdict))
        return;
    if (worst->worst <= 4 * rounding * diagnosis->largest)
        i3d_object(verdict, "rounded in another way than 2D kernel / %lld is: off by up to %.2g",
                   (long long)slices->divisors[at], worst->worst);
    else if (is_uniform(diagnosis, taps, rounding, &factor) && taps > 1
             && fabs(factor - (double)slices->divisors[0]) < fmax(1e-4, 4 * rounding) * factor)
        i3d_object(verdict, "not divided by %lld: every slice is %.6g × the 2D kernel / %lld",
                   (long long)slices->divisors[0], factor, (long long)slices->divisors[0]);
    else if (taps > 1 && is_uniform(diagnosis, taps, rounding, &factor)
             && fabs(factor * (double)slices->divisors[0] - 1) < 2 * rounding * (double)taps + 1e-4)
        i3d_object(verdict, "divided twice by %lld: every slice is %.6g × the 2D kernel / %lld",
                   (long long)slices->divisors[0], factor, (long long)slices->divisors[0]);
    else if (taps > 1 && is_uniform(diagnosis, taps, rounding, &factor))
        i3d_object(verdict, "every slice is %.6g × the 2D kernel / %lld", factor,
                   (long long)slices->divisors[0]);
    else if (taps > 1 && slices->divisors[0] == taps
             && diagnosis->worst_sum
                 <= 4 * (double)taps * rounding * diagnosis->largest_base)
        i3d_object(verdict, "slices are not the 2D kernel / %lld, though they sum to it; slice "
                   "%lld of %lld is off by up to %.2g", (long long)taps, (long long)at + 1,
                   (long long)taps, worst->worst);
    else if (taps == 1 && factor_of(worst, rounding) != 0)
        i3d_object(verdict, "the kernel is %.6g × the 2D kernel", factor_of(worst, rounding));
    else if (factor_of(worst, rounding) != 0)
        i3d_object(verdict, "slice %lld of %lld is %.6g × the 2D kernel / %lld",
                   (long long)at + 1, (long long)taps, factor_of(worst, rounding),
                   (long long)slices->divisors[at]);
    else
        i3d_object(verdict, "slice %lld of %lld is not the 2D kernel / %lld: off by up to %.2g, "
                   "its largest weight is %.2g", (long long)at + 1, (long long)taps,
                   (long long)slices->divisors[at], worst->worst, diagnosis->largest);
}

void i3d_diagnose_slices(struct i3d_slices *slices, struct i3d_layer_verdict *verdict)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    size_t count = (size_t)(layout->inputs * positions_of(slices));
    struct diagnosis diagnosis = {
        .slices = calloc((size_t)layout->taps, sizeof *diagnosis.slices),
        .bad_outputs = calloc((size_t)layout->outputs, sizeof(bool)),
        .bad_inputs = calloc((size_t)layout->inputs, sizeof(bool)),
    };
    double *found = malloc(2 * count * sizeof *found);
    if (diagnosis.slices && diagnosis.bad_outputs && diagnosis.bad_inputs && found) {
        for (int64_t o = 0; o < layout->outputs; o++)
            examine(slices, o, found, found + count, &diagnosis);
        report(slices, &diagnosis, verdict);
    } else { /* the finding stands, its description needs memory */
        i3d_object(verdict, "slices are not the 2D kernel / %lld", (long long)layout->taps);
    }
    free(diagnosis.slices);
    free(diagnosis.bad_outputs);
    free(diagnosis.bad_inputs);
    free(found);
}

/* The largest difference in output channel o, relative to its largest weight. */
static double scaled_difference(struct i3d_slices *slices, int64_t o, double flat_scale,
                                double inflated_scale)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    int64_t positions = positions_of(slices);
    double worst = 0, largest = 0, value;
    size_t size = i3d_dtype_size(slices->inflated.dtype);
    set_base(slices, o);
    i3d_to_double(slices->flat.dtype, slices->base, slices->wide,
                  (size_t)(layout->inputs * positions));
    for (int64_t k = 0; k < layout->inputs * positions; k++) {
        double sum = 0, expected = slices->wide[k] * flat_scale;
        for (int64_t t = 0; t < layout->taps; t++) {
            i3d_to_double(slices->inflated.dtype,
                          patch(slices, o, k / positions, t) + (size_t)(k % positions) * size,
                          &value, 1);
            sum += value;
        }
        double difference = fabs(sum * inflated_scale - expected);
        if (isnan(difference))
            return INFINITY;
        worst = fmax(worst, difference);
        largest = fmax(largest, fabs(expected));
    }
    return worst > 0 ? worst / largest : 0;
}

void i3d_compare_scaled(struct i3d_slices *slices, const double *flat_scale,
                        const double *inflated_scale, bool one_form,
                        struct i3d_layer_verdict *verdict)
{
    double tolerance = 16 * roundoff(slices->inflated.dtype), worst = 0;
    int64_t at = 0;
    if (tolerance < 16 * roundoff(I3D_FLOAT32)) /* the scale was rounded to float32 */
        tolerance = 16 * roundoff(I3D_FLOAT32);
    for (int64_t o = 0; o < slices->inflated.layout.outputs; o++) {
        double difference = scaled_difference(slices, o, flat_scale[o], inflated_scale[o]);
        if (difference > worst) {
            worst = difference;
            at = o;
        }
    }
    if (!one_form)
        i3d_object(verdict, "with BatchNorm folded, the slices are not equal to one another");
    else if (worst > tolerance)
        i3d_object(verdict, "with BatchNorm folded, the kernel of output channel %lld is off by "
                   "%.2g of its largest weight", (long long)at, worst);
    else if (!*verdict->audit_note)
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "BatchNorm folded: equal within %.1e", worst);
}
