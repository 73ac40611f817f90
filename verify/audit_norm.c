#include "verify/audit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = { "gamma", "beta", "mean", "variance" };
static const float default_epsilon = 1e-5f; /* ONNX, BatchNormalization */

static const struct i3d_node *flat_node(const struct i3d_pairing *pairing, int64_t position)
{
    return &pairing->flat->model->nodes[position];
}

static const struct i3d_node *inflated_node(const struct i3d_pairing *pairing, int64_t position)
{
    return &pairing->inflated->model->nodes[position];
}

/* Whether all values are one, in 3D and not in 2D. */
static enum i3d_status gamma_was_dropped(const struct i3d_tensor *flat,
                                         const struct i3d_tensor *inflated, bool *dropped,
                                         struct i3d_error *error)
{
    double *mine = NULL, *theirs = NULL;
    int64_t count = i3d_tensor_elements(flat);
    bool ones = i3d_tensor_elements(inflated) == count, same = true;
    enum i3d_status status = i3d_tensor_load_double(flat, &mine, error);
    if (!status)
        status = i3d_tensor_load_double(inflated, &theirs, error);
    for (int64_t c = 0; c < count && ones && !status; c++) {
        same &= mine[c] == 1;
        ones &= theirs[c] == 1;
    }
    *dropped = ones && !same && !status;
    free(mine);
    free(theirs);
    return status;
}

enum i3d_status i3d_audit_norm(const struct i3d_pairing *pairing, size_t flat,
                               struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    const struct i3d_node *node = flat_node(pairing, (int64_t)flat);
    const struct i3d_node *other = inflated_node(pairing, pairing->nodes[flat].inflated);
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < 4 && !status; i++) {
        const struct i3d_tensor *a = i3d_parameter(pairing->flat, node, i + 1);
        const struct i3d_tensor *b = i3d_parameter(pairing->inflated, other, i + 1);
        if (!a || !b)
            continue; /* computed ones show in the activations */
        verdict->has_weights = true;
        bool dropped = false;
        if (!i)
            status = gamma_was_dropped(a, b, &dropped, error);
        if (dropped)
            i3d_object(verdict, "gamma is dropped: every one is 1");
        if (!status)
            status = i3d_audit_vector(names[i], a, b, verdict, error);
    }
    float a = i3d_float(node, "epsilon", default_epsilon);
    float b = i3d_float(other, "epsilon", default_epsilon);
    if (a != b)
        i3d_object(verdict, "epsilon is %g, in 2D %g", (double)b, (double)a);
    return status;
}

/* Whether gamma or epsilon differ, with all parameters stored. */
static enum i3d_status scale_differs(const struct i3d_pairing *pairing, size_t flat,
                                     bool *differs, struct i3d_error *error)
{
    const struct i3d_node *node = flat_node(pairing, (int64_t)flat);
    const struct i3d_node *other = inflated_node(pairing, pairing->nodes[flat].inflated);
    *differs = i3d_float(node, "epsilon", default_epsilon)
        != i3d_float(other, "epsilon", default_epsilon);
    for (size_t i = 1; i <= 4; i++)
        if (!i3d_parameter(pairing->flat, node, i) || !i3d_parameter(pairing->inflated, other, i)) {
            *differs = false;
            return I3D_OK;
        }
    struct i3d_layer_verdict gamma = { .audit_good = true };
    enum i3d_status status =
        i3d_audit_vector(names[0], i3d_parameter(pairing->flat, node, 1),
                         i3d_parameter(pairing->inflated, other, 1), &gamma, error);
    *differs |= !gamma.audit_good;
    return status;
}

/* The kernels that the pair has or is applied to. */
static struct i3d_kernel_pair kernels_of(const struct i3d_pairing *pairing,
                                         const struct i3d_node_pair *pair)
{
    const struct i3d_node *kernel = flat_node(pairing, pair->flat_kernel);
    const struct i3d_node *other = inflated_node(pairing, pair->inflated_kernel);
    return (struct i3d_kernel_pair){
        .flat_node = kernel,
        .inflated_node = other,
        .flat = i3d_parameter(pairing->flat, kernel, 1),
        .inflated = i3d_parameter(pairing->inflated, other, 1),
        .reads_input = i3d_origin_of(pairing->flat, kernel->inputs[0]).node < 0,
    };
}

enum i3d_status i3d_find_moved_scales(struct i3d_pairing *pairing, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < pairing->flat->model->node_count && !status; i++) {
        struct i3d_node_pair *pair = &pairing->nodes[i];
        bool differs, over_kernels = pair->inflated >= 0 && !pair->folded && pair->flat_kernel >= 0
            && pair->flat_kernel != (int64_t)i && pair->inflated_kernel >= 0
            && pairing->nodes[pair->flat_kernel].inflated == pair->inflated_kernel;
        if (!over_kernels || !i3d_is(flat_node(pairing, (int64_t)i), "BatchNormalization"))
            continue;
        status = scale_differs(pairing, i, &differs, error);
        if (status || !differs)
            continue;
        struct i3d_kernel_pair kernels = kernels_of(pairing, pair);
        struct i3d_layer_verdict plain = { .audit_good = true };
        status = i3d_audit_kernel(&kernels, &plain, error);
        if (status || (plain.has_weights && plain.audit_good))
            continue; /* nothing moved into this kernel: the scale is another one */
        struct i3d_node_pair *kernel = &pairing->nodes[pair->flat_kernel];
        pair->folded = true;
        kernel->covered = true;
        kernel->inflated = -1;
        pairing->pair_count--;
    }
    return status;
}

/* What stands behind a kernel, per output channel: scale · kernel + shift. size
 * is that of the terms in shift, to measure its rounding by. */
struct affine {
    int64_t count;
    double *scale, *shift, *size;
};

static void free_affine(struct affine *affine)
{
    free(affine->scale);
    free(affine->shift);
    free(affine->size);
}

/* Element c of vector k, or the fallback where the vector is not there. */
static double element(double *const *vectors, int k, int64_t c, double fallback)
{
    return vectors[k] ? vectors[k][c] : fallback;
}

/* What a fold may have got wrong in the 2D scale. */
enum mistake { NO_MISTAKE, GAMMA_DROPPED, EPSILON_1E5, EPSILON_1E3, NOT_NORMALISED, MISTAKES };

static void compose(struct affine *affine, double *const *vectors, double epsilon,
                    enum mistake mistake)
{
    epsilon = mistake == EPSILON_1E5 ? 1e-5 : mistake == EPSILON_1E3 ? 1e-3 : epsilon;
    for (int64_t c = 0; c < affine->count; c++) {
        double bias = element(vectors, 4, c, 0), mean = element(vectors, 2, c, 0);
        double beta = element(vectors, 1, c, 0);
        double scale = mistake == GAMMA_DROPPED ? 1 : element(vectors, 0, c, 1);
        if (vectors[3] && mistake != NOT_NORMALISED)
            scale /= sqrt(vectors[3][c] + epsilon);
        affine->scale[c] = scale;
        affine->shift[c] = beta + (bias - mean) * scale;
        affine->size[c] = fabs(beta) + (fabs(bias) + fabs(mean)) * fabs(scale);
    }
}

/* node is the BatchNormalization, or the kernel itself. False in *known if a
 * parameter is not stored or not one number per output channel. */
static enum i3d_status read_affine(const struct i3d_structure *structure,
                                   const struct i3d_node *kernel, const struct i3d_node *node,
                                   enum mistake mistake, struct affine *affine, bool *known,
                                   struct i3d_error *error)
{
    const struct i3d_tensor *tensors[5] = { NULL };
    double *vectors[5] = { NULL };
    bool normalised = node != kernel, biased = kernel->input_count > 2 && *kernel->inputs[2];
    const struct i3d_tensor *weight = i3d_parameter(structure, kernel, 1);
    affine->count = weight ? i3d_kernel_outputs(kernel, weight) : -1;
    tensors[4] = i3d_parameter(structure, kernel, 2);
    *known = affine->count >= 0 && (!biased || tensors[4]);
    for (size_t i = 0; i < 4 && normalised; i++) {
        tensors[i] = i3d_parameter(structure, node, i + 1);
        *known &= tensors[i] != NULL;
    }
    for (size_t i = 0; i < 5; i++)
        *known &= !tensors[i] || i3d_tensor_elements(tensors[i]) == affine->count;
    if (!*known)
        return I3D_OK;
    size_t bytes = ((size_t)affine->count + 1) * sizeof(double);
    affine->scale = malloc(bytes);
    affine->shift = malloc(bytes);
    affine->size = malloc(bytes);
    enum i3d_status status =
        affine->scale && affine->shift && affine->size ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; i < 5 && !status; i++)
        if (tensors[i])
            status = i3d_tensor_load_double(tensors[i], &vectors[i], error);
    if (!status)
        compose(affine, vectors, (double)i3d_float(node, "epsilon", default_epsilon), mistake);
    for (size_t i = 0; i < 5; i++)
        free(vectors[i]);
    return status;
}

/* Folding takes a handful of float32 roundings, 6e-8 each. */
static const double shift_tolerance = 1e-6;

static void compare_shifts(const struct affine *flat, const struct affine *inflated,
                           enum i3d_dtype dtype, struct i3d_layer_verdict *verdict)
{
    double tolerance = dtype == I3D_FLOAT16 ? 0x1p-7 : dtype == I3D_BFLOAT16 ? 0x1p-4
                                                                         : shift_tolerance;
    for (int64_t c = 0; c < flat->count; c++) {
        double size = fmax(flat->size[c], inflated->size[c]);
        double difference = fabs(flat->shift[c] - inflated->shift[c]);
        if (!(difference <= tolerance * size)) {
            i3d_object(verdict,
                       "with BatchNorm folded, mean or bias of channel %lld is off: %.6g, "
                       "in 2D %.6g", (long long)c, inflated->shift[c], flat->shift[c]);
            return;
        }
    }
}

/* Compares kernel and shift of a folded pair, as if this mistake had been made in folding
 * the 2D scale. */
static enum i3d_status compare_folded(const struct i3d_pairing *pairing, size_t flat,
                                      enum mistake mistake, struct i3d_layer_verdict *verdict,
                                      struct i3d_error *error)
{
    const struct i3d_node_pair *pair = &pairing->nodes[flat];
    const struct i3d_node *kernel = flat_node(pairing, pair->flat_kernel);
    const struct i3d_node *other = inflated_node(pairing, pair->inflated_kernel);
    struct affine mine = { 0 }, theirs = { 0 };
    bool known = false, other_known = false;
    enum i3d_status status = read_affine(pairing->flat, kernel, flat_node(pairing, (int64_t)flat),
                                         mistake, &mine, &known, error);
    if (!status)
        status = read_affine(pairing->inflated, other, inflated_node(pairing, pair->inflated),
                             NO_MISTAKE, &theirs, &other_known, error);
    if (!status && known && other_known) {
        struct i3d_kernel_pair kernels = kernels_of(pairing, pair);
        kernels.flat_scale = mine.scale;
        kernels.inflated_scale = theirs.scale;
        status = i3d_audit_kernel(&kernels, verdict, error);
        if (!status && mine.count == theirs.count)
            compare_shifts(&mine, &theirs, kernels.inflated->dtype, verdict);
    }
    free_affine(&mine);
    free_affine(&theirs);
    return status;
}

enum i3d_status i3d_audit_folded(const struct i3d_pairing *pairing, size_t flat,
                                 struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    static const char *const texts[MISTAKES] = {
        [GAMMA_DROPPED] = "gamma is dropped",
        [EPSILON_1E5] = "BatchNorm's epsilon is 1e-5",
        [EPSILON_1E3] = "BatchNorm's epsilon is 1e-3",
        [NOT_NORMALISED] = "BatchNorm's variance is left out",
    };
    bool good = verdict->audit_good;
    enum i3d_status status = compare_folded(pairing, flat, NO_MISTAKE, verdict, error);
    for (int m = NO_MISTAKE + 1; m < MISTAKES && good && !verdict->audit_good && !status; m++) {
        struct i3d_layer_verdict trial = { .audit_good = true };
        status = compare_folded(pairing, flat, (enum mistake)m, &trial, error);
        if (status || !trial.has_weights || !trial.audit_good)
            continue;
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "with BatchNorm folded, %s: so read, kernel and bias are equal", texts[m]);
        break;
    }
    return status;
}
