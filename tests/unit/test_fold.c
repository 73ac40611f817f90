/* Folding one unit's BatchNorm into another form, against the formula in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "zoo/fold.h"

enum { CHANNELS = 5, INNER = 700 }; /* more than a piece of the scaling loop */

static struct i3d_tensor tensor(int rank, int64_t first, int64_t second, const float *values)
{
    struct i3d_tensor made = { .name = "t", .dtype = I3D_FLOAT32, .rank = rank,
                               .dims = { first, second } };
    made.source = i3d_source_copy(values, i3d_tensor_bytes(&made));
    assert_non_null(made.source);
    return made;
}

static const float gammas[CHANNELS] = { 1.5f, 0, -0.75f, 1, 3.0e-7f };
static const float betas[CHANNELS] = { 0.1f, -2, 0.3f, 0, 5 };
static const float means[CHANNELS] = { 0.2f, 1, -1.1f, 0, 12.5f };
static const float variances[CHANNELS] = { 0.9f, 2e-4f, 0, 1, 4e6f };
static const float biases[CHANNELS] = { -0.4f, 0.25f, 0, 7, 1e-3f };

/* A unit with a BatchNorm; with_bias: its convolution has one as well. */
static struct i3d_unit make_unit(float epsilon, bool with_bias)
{
    static float weights[CHANNELS * INNER];
    for (int i = 0; i < CHANNELS * INNER; i++)
        weights[i] = (float)sin(i + 1.0);
    struct i3d_unit unit = { .batch_norm = true, .epsilon = epsilon };
    unit.weight = tensor(2, CHANNELS, INNER, weights);
    unit.vectors[I3D_GAMMA] = tensor(1, CHANNELS, 0, gammas);
    unit.vectors[I3D_BETA] = tensor(1, CHANNELS, 0, betas);
    unit.vectors[I3D_MEAN] = tensor(1, CHANNELS, 0, means);
    unit.vectors[I3D_VARIANCE] = tensor(1, CHANNELS, 0, variances);
    unit.vectors[I3D_BIAS].dims[0] = CHANNELS;
    if (with_bias)
        unit.vectors[I3D_BIAS] = tensor(1, CHANNELS, 0, biases);
    return unit;
}

static double *load(const struct i3d_tensor *from, double fallback)
{
    double *values;
    if (from->source) {
        assert_int_equal(i3d_tensor_load_double(from, &values, NULL), I3D_OK);
        return values;
    }
    values = malloc(CHANNELS * sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < CHANNELS; i++)
        values[i] = fallback;
    return values;
}

/* What the unit makes of one input, all ones, per channel. */
static void evaluate(const struct i3d_unit *unit, double result[CHANNELS])
{
    double *weight = load(&unit->weight, 0), *bias = load(&unit->vectors[I3D_BIAS], 0);
    double *gamma = load(&unit->vectors[I3D_GAMMA], 1), *beta = load(&unit->vectors[I3D_BETA], 0);
    double *mean = load(&unit->vectors[I3D_MEAN], 0);
    double *variance = load(&unit->vectors[I3D_VARIANCE], 1 - unit->epsilon);
    for (int o = 0; o < CHANNELS; o++) {
        double sum = bias[o];
        for (int i = 0; i < INNER; i++)
            sum += weight[o * INNER + i] * cos(i);
        double norm = sqrt(variance[o] + (double)unit->epsilon);
        result[o] = gamma[o] * (sum - mean[o]) / norm + beta[o];
    }
    double *all[] = { weight, bias, gamma, beta, mean, variance };
    for (int i = 0; i < 6; i++)
        free(all[i]);
}

static void assert_equivalent(const struct i3d_unit *a, const struct i3d_unit *b)
{
    double left[CHANNELS], right[CHANNELS];
    evaluate(a, left);
    evaluate(b, right);
    for (int o = 0; o < CHANNELS; o++) {
        double size = fabs(left[o]) > 1 ? fabs(left[o]) : 1;
        if (!(fabs(left[o] - right[o]) < 2e-6 * size))
            fail_msg("channel %d: %.9g, %.9g", o, left[o], right[o]);
    }
}

static void test_every_form(void **state)
{
    (void)state;
    static const float epsilons[] = { 1e-3f, 1e-5f, 2e-3f, 1e-2f };
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++)
            for (int with = 0; with < 4; with++) {
                struct i3d_unit unit = make_unit(epsilons[from], with & 1), folded;
                const struct i3d_unit_form form = { .batch_norm = true, .gamma = with & 2,
                                                    .epsilon = epsilons[to] };
                struct i3d_error error;
                if (i3d_unit_fold(&unit, &form, &folded, &error))
                    fail_msg("%s", error.message);
                assert_int_equal(folded.vectors[I3D_GAMMA].source != NULL, form.gamma);
                assert_null(folded.vectors[I3D_BIAS].source);
                assert_equivalent(&unit, &folded);
                i3d_unit_free(&unit);
                i3d_unit_free(&folded);
            }
}

/* Without gamma: exactly the float32 products, one rounding each. */
static void test_gamma_is_one_product(void **state)
{
    (void)state;
    struct i3d_unit unit = make_unit(1e-3f, false), folded;
    const struct i3d_unit_form form = { .batch_norm = true, .epsilon = 1e-3f };
    assert_int_equal(i3d_unit_fold(&unit, &form, &folded, NULL), I3D_OK);
    float *before, *after, *mean;
    assert_int_equal(i3d_tensor_load_float(&unit.weight, &before, NULL), I3D_OK);
    assert_int_equal(i3d_tensor_load_float(&folded.weight, &after, NULL), I3D_OK);
    assert_int_equal(i3d_tensor_load_float(&folded.vectors[I3D_MEAN], &mean, NULL), I3D_OK);
    for (int o = 0; o < CHANNELS; o++) {
        assert_true(mean[o] == gammas[o] * means[o]);
        for (int i = 0; i < INNER; i++)
            assert_true(after[o * INNER + i] == gammas[o] * before[o * INNER + i]);
    }
    assert_ptr_equal(folded.vectors[I3D_BETA].source, unit.vectors[I3D_BETA].source);
    assert_ptr_equal(folded.vectors[I3D_VARIANCE].source, unit.vectors[I3D_VARIANCE].source);
    free(before);
    free(after);
    free(mean);
    i3d_unit_free(&unit);
    i3d_unit_free(&folded);
}

static void assert_untouched(const struct i3d_unit *unit, const struct i3d_unit *folded)
{
    assert_ptr_equal(folded->weight.source, unit->weight.source);
    for (int role = I3D_BETA; role <= I3D_VARIANCE; role++)
        assert_ptr_equal(folded->vectors[role].source, unit->vectors[role].source);
}

/* What fits as it is stays the very source. */
static void test_identities(void **state)
{
    (void)state;
    const float ones[CHANNELS] = { 1, 1, 1, 1, 1 };
    struct i3d_unit unit = make_unit(1e-3f, false), folded;
    struct i3d_unit_form form = { .batch_norm = true, .gamma = true, .epsilon = 1e-3f };
    assert_int_equal(i3d_unit_fold(&unit, &form, &folded, NULL), I3D_OK);
    assert_untouched(&unit, &folded);
    assert_ptr_equal(folded.vectors[I3D_GAMMA].source, unit.vectors[I3D_GAMMA].source);
    i3d_unit_free(&folded);

    i3d_source_release(unit.vectors[I3D_GAMMA].source);
    unit.vectors[I3D_GAMMA] = tensor(1, CHANNELS, 0, ones);
    form.gamma = false;
    assert_int_equal(i3d_unit_fold(&unit, &form, &folded, NULL), I3D_OK);
    assert_untouched(&unit, &folded);
    i3d_unit_free(&folded);
    i3d_unit_free(&unit);
}

/* mean 0, variance 1 - ε: the float32 sum with ε has to be 1, or the bias'
 * layer would be scaled. */
static void test_bias_becomes_beta(void **state)
{
    (void)state;
    static const float epsilons[] = { 1e-3f, 1e-5f, 2e-5f, 1e-2f, 1.1e-3f, 3e-8f };
    for (size_t i = 0; i < sizeof epsilons / sizeof *epsilons; i++) {
        struct i3d_unit unit = make_unit(0, true), folded;
        unit.batch_norm = false;
        const struct i3d_unit_form form = { .batch_norm = true, .gamma = true,
                                            .epsilon = epsilons[i] };
        assert_int_equal(i3d_unit_fold(&unit, &form, &folded, NULL), I3D_OK);
        assert_ptr_equal(folded.weight.source, unit.weight.source);
        assert_ptr_equal(folded.vectors[I3D_BETA].source, unit.vectors[I3D_BIAS].source);
        double *variance = load(&folded.vectors[I3D_VARIANCE], 0);
        double *mean = load(&folded.vectors[I3D_MEAN], 1);
        double *gamma = load(&folded.vectors[I3D_GAMMA], 0);
        for (int o = 0; o < CHANNELS; o++) {
            volatile float sum = (float)variance[o] + epsilons[i];
            assert_true(sum == 1 && mean[o] == 0 && gamma[o] == 1);
        }
        free(variance);
        free(mean);
        free(gamma);
        i3d_unit_free(&unit);
        i3d_unit_free(&folded);
    }
}

static void test_bias_alone(void **state)
{
    (void)state;
    struct i3d_unit unit = make_unit(0, false), folded;
    const struct i3d_unit_form form = { 0 };
    struct i3d_error error;
    assert_int_equal(i3d_unit_fold(&unit, &form, &folded, &error), I3D_UNSUPPORTED);
    i3d_unit_free(&folded);
    unit.batch_norm = false;
    assert_int_equal(i3d_unit_fold(&unit, &form, &folded, &error), I3D_OK);
    double *bias = load(&folded.vectors[I3D_BIAS], 1); /* there was none: zeros */
    for (int o = 0; o < CHANNELS; o++)
        assert_true(bias[o] == 0);
    free(bias);
    i3d_unit_free(&unit);
    i3d_unit_free(&folded);
}

static void test_negative_variance(void **state)
{
    (void)state;
    const float bad[][CHANNELS] = { { 1, 1, -1, 1, 1 }, { 1, 1, 1, NAN, 1 } };
    for (int i = 0; i < 2; i++) {
        struct i3d_unit unit = make_unit(1e-3f, false), folded;
        i3d_source_release(unit.vectors[I3D_VARIANCE].source);
        unit.vectors[I3D_VARIANCE] = tensor(1, CHANNELS, 0, bad[i]);
        const struct i3d_unit_form form = { .batch_norm = true, .epsilon = 1e-5f };
        struct i3d_error error;
        assert_int_equal(i3d_unit_fold(&unit, &form, &folded, &error), I3D_MALFORMED);
        assert_non_null(strstr(error.message, i ? "channel 3" : "channel 2"));
        i3d_unit_free(&unit);
        i3d_unit_free(&folded);
    }
}

/* Half precision kernels are scaled in their own type, statistics are not. */
static void test_half(void **state)
{
    (void)state;
    struct i3d_unit unit = make_unit(1e-3f, false), folded;
    double *weight = load(&unit.weight, 0);
    uint16_t halves[CHANNELS * INNER];
    i3d_from_double(I3D_FLOAT16, weight, halves, CHANNELS * INNER);
    i3d_source_release(unit.weight.source);
    unit.weight.dtype = I3D_FLOAT16;
    unit.weight.source = i3d_source_copy(halves, sizeof halves);
    const struct i3d_unit_form form = { .batch_norm = true, .epsilon = 2e-3f };
    assert_int_equal(i3d_unit_fold(&unit, &form, &folded, NULL), I3D_OK);
    assert_int_equal(folded.weight.dtype, I3D_FLOAT16);
    assert_int_equal(folded.vectors[I3D_VARIANCE].dtype, I3D_FLOAT32);
    double *after = load(&folded.weight, 0);
    uint16_t first = halves[0];
    assert_true(after[0] == i3d_float_from_half(i3d_half_from_float(
                                i3d_float_from_half(first) * gammas[0])));
    free(weight);
    free(after);
    i3d_unit_free(&unit);
    i3d_unit_free(&folded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_gamma_is_one_product),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_bias_becomes_beta),
        cmocka_unit_test(test_bias_alone),
        cmocka_unit_test(test_negative_variance),
        cmocka_unit_test(test_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
