#include "verify/audit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both kernels as O×I×positions and O×I'×N×positions, in double: float16 to
 * float32 fit in it exactly, and a quotient is rounded back to the file's type
 * before it is compared. */
struct kernels {
    enum i3d_dtype flat_dtype, dtype; /* of the 2D file, of the 3D file */
    int64_t outputs, flat_channels, channels, frames, positions;
    double *flat, *inflated;
    bool same_size; /* in outputs and positions */
};

/* What was found about all slices together. */
struct findings {
    int64_t unequal;        /* slices with an element that is not the quotient */
    int64_t worst_slice;    /* of them, the one that is off furthest */
    double worst_difference, worst_ratio; /* there, and slice / expected over all */
    bool sums_right;        /* over time they add up to the 2D kernel */
    bool each_is_whole;     /* every slice is the 2D kernel: not divided */
    int64_t only_slice;     /* the one that holds all, the others being zero; or -1 */
    bool slices_equal;      /* to one another */
};

/* Rounds to the precision of the file, as its writer had to. */
static double rounded(enum i3d_dtype dtype, double value)
{
    float single = (float)value;
    uint16_t half;
    switch (dtype) {
    case I3D_FLOAT32: return single;
    case I3D_FLOAT16:
        i3d_from_double(dtype, &value, &half, 1);
        return i3d_float_from_half(half);
    case I3D_BFLOAT16:
        i3d_from_double(dtype, &value, &half, 1);
        return i3d_float_from_bfloat16(half);
    default: return value;
    }
}

/* A quotient of a float by a small integer, taken in double and rounded to
 * float, is the correctly rounded one: double has more than twice its bits. */
static double quotient(const struct kernels *k, double value, int64_t divisor)
{
    return rounded(k->dtype, value / (double)divisor);
}

/* The 2D kernel that the 3D one was made from: with other channels than the 2D
 * network's, each is the mean over those, scaled (channels.h in converters). */
static double flat_value(const struct kernels *k, int64_t o, int64_t c, int64_t position)
{
    const double *at = k->flat + o * k->flat_channels * k->positions + position;
    if (k->channels == k->flat_channels)
        return at[c * k->positions];
    double sum = 0;
    for (int64_t from = 0; from < k->flat_channels; from++)
        sum += at[from * k->positions];
    return rounded(k->flat_dtype, sum / (double)k->channels);
}

static enum i3d_status look_at(const struct kernels *k, struct findings *found,
                               struct i3d_error *error)
{
    *found = (struct findings){ .sums_right = true, .each_is_whole = true, .only_slice = -1,
                                .slices_equal = true };
    double *difference = calloc((size_t)k->frames * 3, sizeof *difference);
    double *own = difference ? difference + k->frames : NULL;
    double *wanted = difference ? own + k->frames : NULL;
    bool *unequal = calloc((size_t)k->frames * 3, sizeof *unequal);
    if (!difference || !unequal) {
        free(difference);
        free(unequal);
        return i3d_fail_memory(error);
    }
    bool *nonzero = unequal + k->frames, *unlike_flat = nonzero + k->frames;
    for (int64_t o = 0; o < k->outputs; o++)
        for (int64_t c = 0; c < k->channels; c++)
            for (int64_t position = 0; position < k->positions; position++) {
                double flat = flat_value(k, o, c, position), sum = 0;
                double expected = quotient(k, flat, k->frames);
                const double *at = k->inflated
                    + (o * k->channels + c) * k->frames * k->positions + position;
                for (int64_t t = 0; t < k->frames; t++) {
                    double value = at[t * k->positions];
                    sum += value;
                    /* written so that NaN counts as unequal */
                    unequal[t] |= !(value == expected);
                    unlike_flat[t] |= !(value == rounded(k->dtype, flat));
                    nonzero[t] |= !(value == 0);
                    found->slices_equal &= value == at[0];
                    difference[t] = fmax(difference[t], fabs(value - expected));
                    own[t] += value * expected;
                    wanted[t] += expected * expected;
                }
                found->sums_right &= fabs(sum - flat) <= 1e-4 * fabs(flat) + 1e-6;
            }
    int64_t whole = 0, empty = 0;
    for (int64_t t = 0; t < k->frames; t++) {
        found->each_is_whole &= !unlike_flat[t];
        empty += !nonzero[t];
        if (!unlike_flat[t]) {
            whole++;
            found->only_slice = t;
        }
        if (!unequal[t])
            continue;
        if (!found->unequal++ || difference[t] > found->worst_difference) {
            found->worst_slice = t;
            found->worst_difference = difference[t];
            found->worst_ratio = wanted[t] > 0 ? own[t] / wanted[t] : 0;
        }
    }
    if (whole != 1 || empty != k->frames - 1)
        found->only_slice = -1;
    free(difference);
    free(unequal);
    return I3D_OK;
}

/* The first output channel that holds another one's kernel, or -1. */
static int64_t find_exchange(const struct kernels *k, int64_t *other)
{
    int64_t plane = k->channels * k->frames * k->positions;
    for (int64_t o = 0; o < k->outputs; o++) {
        bool same[2] = { true, true };
        for (int64_t from = o; from < k->outputs; from++) {
            bool equal = true;
            for (int64_t i = 0; equal && i < plane; i++) {
                int64_t c = i / (k->frames * k->positions), position = i % k->positions;
                equal = k->inflated[o * plane + i]
                    == quotient(k, flat_value(k, from, c, position), k->frames);
            }
            if (equal && from == o)
                break;
            same[0] = false;
            if (equal) {
                *other = from;
                return o;
            }
        }
        if (!same[0]) /* it is no other channel either: the damage is of another kind */
            return -1;
    }
    return -1;
}

static void judge(const struct kernels *k, const struct findings *found, bool *good, char *note,
                  size_t note_size)
{
    int64_t other;
    *good = !found->unequal;
    if (*good)
        return;
    if (found->only_slice == (k->frames - 1) / 2) {
        *good = true;
        snprintf(note, note_size, "centre initialisation: slice %lld holds the 2D kernel",
                 (long long)found->only_slice);
        return;
    }
    int64_t exchanged = k->channels == k->flat_channels ? find_exchange(k, &other) : -1;
    if (k->frames > 1 && found->each_is_whole)
        snprintf(note, note_size, "the kernel is not divided by %lld", (long long)k->frames);
    else if (exchanged >= 0)
        snprintf(note, note_size, "output channel %lld holds the kernel of channel %lld",
                 (long long)exchanged, (long long)other);
    else if (k->frames > 1 && found->sums_right)
        snprintf(note, note_size,
                 "%lld of %lld slices are not the 2D kernel / %lld, though they add up to it",
                 (long long)found->unequal, (long long)k->frames, (long long)k->frames);
    else
        snprintf(note, note_size,
                 "slice %lld of %lld is not the 2D kernel / %lld: off by up to %.2g, %.4g times it",
                 (long long)found->worst_slice + 1, (long long)k->frames, (long long)k->frames,
                 found->worst_difference, found->worst_ratio);
}

/* Shapes of either side as outputs, channels, frames, positions. A matrix that is
 * C×classes (MatMul, Gemm without transB) is turned around by load_flat. */
static bool read_shapes(const struct i3d_node *node, const struct i3d_tensor *flat,
                        const struct i3d_tensor *inflated, struct kernels *k, bool *transposed)
{
    *transposed = flat->rank == 2 && !(i3d_is(node, "Gemm") && i3d_int(node, "transB", 0));
    if (flat->rank == 2) {
        k->outputs = flat->dims[*transposed ? 1 : 0];
        k->flat_channels = flat->dims[*transposed ? 0 : 1];
        k->positions = 1;
    } else if (flat->rank == 4) {
        k->outputs = flat->dims[0];
        k->flat_channels = flat->dims[1];
        k->positions = flat->dims[2] * flat->dims[3];
    } else {
        return false;
    }
    k->flat_dtype = flat->dtype;
    k->dtype = inflated->dtype;
    if (inflated->rank == 5) {
        k->channels = inflated->dims[1];
        k->frames = inflated->dims[2];
        return inflated->dims[0] == k->outputs && k->frames > 0
            && inflated->dims[3] * inflated->dims[4] == k->positions
            && (flat->rank == 2 || inflated->dims[3] == flat->dims[2]);
    }
    k->channels = k->flat_channels; /* a matrix on both sides */
    k->frames = 1;
    return inflated->rank == 2 && flat->rank == 2 && inflated->dims[0] == flat->dims[0]
        && inflated->dims[1] == flat->dims[1];
}

static void transpose(double *values, double *scratch, int64_t rows, int64_t columns)
{
    memcpy(scratch, values, (size_t)(rows * columns) * sizeof *values);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            values[c * rows + r] = scratch[r * columns + c];
}

static enum i3d_status load(const struct i3d_tensor *flat, const struct i3d_tensor *inflated,
                            bool transposed, struct kernels *k, struct i3d_error *error)
{
    enum i3d_status status = i3d_tensor_load_double(flat, &k->flat, error);
    if (!status)
        status = i3d_tensor_load_double(inflated, &k->inflated, error);
    if (status || !transposed)
        return status;
    double *scratch = malloc((size_t)i3d_tensor_elements(flat) * sizeof *scratch);
    if (!scratch)
        return i3d_fail_memory(error);
    transpose(k->flat, scratch, k->flat_channels, k->outputs);
    if (inflated->rank == 2)
        transpose(k->inflated, scratch, k->flat_channels, k->outputs);
    free(scratch);
    return I3D_OK;
}

enum i3d_status i3d_audit_kernel(const struct i3d_node *flat_node, const struct i3d_tensor *flat,
                                 const struct i3d_tensor *inflated, bool reads_input,
                                 bool folded, bool *good, char *note, size_t note_size,
                                 struct i3d_error *error)
{
    struct kernels k = { 0 };
    bool transposed;
    *good = false;
    bool fits = read_shapes(flat_node, flat, inflated, &k, &transposed);
    if (!fits || (k.channels != k.flat_channels && !reads_input)) {
        char flat_shape[64], shape[64];
        snprintf(note, note_size, "a kernel of %s cannot come from one of %s",
                 i3d_shape_string(inflated->rank, inflated->dims, shape, sizeof shape),
                 i3d_shape_string(flat->rank, flat->dims, flat_shape, sizeof flat_shape));
        return I3D_OK;
    }
    struct findings found = { 0 };
    enum i3d_status status = load(flat, inflated, transposed, &k, error);
    if (!status)
        status = look_at(&k, &found, error);
    if (!status && folded) {
        *good = found.slices_equal;
        snprintf(note, note_size,
                 *good ? "BatchNorm is folded on one side: slices compared with one another"
                       : "BatchNorm is folded on one side, and the slices differ");
    } else if (!status) {
        judge(&k, &found, good, note, note_size);
    }
    free(k.flat);
    free(k.inflated);
    return status;
}
