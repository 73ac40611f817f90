/* The audit: each kind of damage is found at the layer where it was done, and said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/twins.h"

static void other_types_round_in_their_own_way(void **unused)
{
    (void)unused;
    static const enum i3d_dtype dtypes[] = { I3D_FLOAT16, I3D_BFLOAT16 };
    for (int i = 0; i < 2; i++) {
        struct form form = { .dtype = dtypes[i] };
        struct trial trial = try(form, form);
        const struct i3d_layer_verdict *stem = layer(&trial, "stem.out");
        if (!stem->audit_good)
            fail_msg("%s: %s", i3d_dtype_name(dtypes[i]), stem->audit_note);
        /* seven rounded sevenths are not the whole any more */
        assert_true(stem->max_relative > 1e-5);
        finish(&trial);
    }
}

static void one_slice_may_hold_the_kernel(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .center = true });
    expect_pass(&trial);
    assert_non_null(strstr(layer(&trial, "stem.out")->audit_note, "cent"));
    finish(&trial);
}

static void scale_slice(const char *tensor, float *values)
{
    if (strcmp(tensor, "b"))
        return;
    for (int oi = 0; oi < BRANCH_B * STEM; oi++)
        for (int at = 0; at < 9; at++)
            values[oi * 27 + 9 + at] *= 1.01f;
}

static void tilt_slices(const char *tensor, float *values)
{
    if (strcmp(tensor, "b"))
        return;
    for (int oi = 0; oi < BRANCH_B * STEM; oi++)
        for (int at = 0; at < 9; at++) {
            values[oi * 27 + at] *= 1.5f;
            values[oi * 27 + 18 + at] *= 0.5f;
        }
}

static void undo_division(const char *tensor, float *values)
{
    for (int i = 0; !strcmp(tensor, "stem") && i < STEM * 3 * 343; i++)
        values[i] *= 7;
}

static void exchange(float *a, float *b, int count)
{
    for (int i = 0; i < count; i++) {
        float kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

static void exchange_outputs(const char *tensor, float *values)
{
    if (!strcmp(tensor, "b"))
        exchange(values + 1 * STEM * 27, values + 3 * STEM * 27, STEM * 27);
}

static void exchange_inputs(const char *tensor, float *values)
{
    for (int o = 0; !strcmp(tensor, "b") && o < BRANCH_B; o++)
        exchange(values + (o * STEM + 0) * 27, values + (o * STEM + 2) * 27, 27);
}

static void exchange_classes(const char *tensor, float *values)
{
    if (!strcmp(tensor, "fc"))
        exchange(values, values + BRANCH_A + BRANCH_B, BRANCH_A + BRANCH_B);
}

static void shift_mean(const char *tensor, float *values)
{
    if (!strcmp(tensor, "mean"))
        values[2] += 0.01f;
}

static void nudge_mean(const char *tensor, float *values)
{
    if (!strcmp(tensor, "mean"))
        values[2] = nextafterf(values[2], 2);
}

static void shift_bias(const char *tensor, float *values)
{
    if (!strcmp(tensor, "fc.bias"))
        values[4] += 0.01f;
}

static void poison(const char *tensor, float *values)
{
    if (!strcmp(tensor, "beta"))
        values[0] = NAN;
}

static void nudge_weight(const char *tensor, float *values)
{
    uint32_t bits;
    if (strcmp(tensor, "b"))
        return;
    float *value = &values[(2 * STEM + 1) * 27 + 9 + 5]; /* slice 1, row 1, column 2 */
    memcpy(&bits, value, sizeof bits);
    bits ^= 1;
    memcpy(value, &bits, sizeof bits);
}

static void poison_weight(const char *tensor, float *values)
{
    if (!strcmp(tensor, "b"))
        values[0] = NAN;
}

static void poison_slice(const char *tensor, float *values)
{
    for (int at = 0; !strcmp(tensor, "b") && at < 9; at++)
        values[9 + at] = NAN;
}

static void shift_gamma(const char *tensor, float *values)
{
    if (!strcmp(tensor, "gamma"))
        values[1] += 0.01f;
}

static void damage_is_found_where_it_was_done(void **unused)
{
    (void)unused;
    static const struct {
        void (*damage)(const char *tensor, float *values);
        const char *layer, *note;
    } cases[] = {
        { scale_slice, "b.out", "slice 2 of 3 is 1.01 × the 2D kernel / 3" },
        { undo_division, "stem.out", "not divided by 7" },
        { exchange_outputs, "b.out", "1 and 3" },
        { exchange_inputs, "b.out", "0 and 2" },
        { exchange_classes, "logits", "0 and 1" },
        { shift_mean, "bn", "mean" },
        { nudge_mean, "bn", "mean" },
        { shift_bias, "logits", "bias" },
        { poison, "bn", "beta" },
        { shift_gamma, "bn", "gamma of channel 1" },
        { nudge_weight, "b.out", "one weight, [2, 1, 1, 1, 2]," },
        { poison_weight, "b.out", "one weight, [0, 0, 0, 0, 0], is nan" },
        { poison_slice, "b.out", "9 weights are NaN" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trial trial = try((struct form){ 0 }, (struct form){ .damage = cases[i].damage });
        expect_failure(&trial, cases[i].layer, cases[i].note);
        finish(&trial);
    }
}

/* What one image and one video show too, or do not, the audit says by its name. */
static void settings_are_audited(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .stride = 1, .plain_head = true });
    expect_failure(&trial, "stem.out", "strides along height is 1, in 2D 2");
    assert_true(isnan(layer(&trial, "stem.out")->max_relative)); /* 16×16 against 8×8 */
    finish(&trial);
    trial = try((struct form){ 0 }, (struct form){ .epsilon = 0.002f });
    expect_failure(&trial, "bn", "epsilon is 0.002, in 2D 0.001");
    assert_true(layer(&trial, "stem.out")->good && layer(&trial, "stem.out")->audit_good);
    finish(&trial);
    trial = try((struct form){ .limit = 600 }, (struct form){ .limit = 600 });
    expect_pass(&trial);
    finish(&trial);
    trial = try((struct form){ .limit = 600 }, (struct form){ .limit = 6000 });
    expect_failure(&trial, "clipped", "max is 6000, in 2D 600");
    assert_true(layer(&trial, "clipped")->good); /* no activation comes near */
    finish(&trial);
}

/* The boring video sees no more than the sum of the slices. */
static void uneven_slices_are_found_by_the_audit_alone(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .damage = tilt_slices });
    expect_failure(&trial, "b.out", "though they sum to it");
    assert_true(layer(&trial, "b.out")->max_relative <= 1e-5);
    assert_false(layer(&trial, "b.out")->audit_good);
    assert_true(layer(&trial, "joined")->good);
    finish(&trial);
}

static void damage_behind_a_folded_batch_norm_is_found(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ .folded = true },
                             (struct form){ .damage = undo_division });
    expect_failure(&trial, "stem.out", "BatchNorm folded, the kernel of output channel");
    finish(&trial);
    trial = try((struct form){ 0 },
                (struct form){ .scale_in_kernel = true, .damage = shift_mean });
    expect_failure(&trial, "bn", "BatchNorm folded, mean or bias of channel 2");
    finish(&trial);
}

static void half_as_much(const char *tensor, float *values)
{
    for (int i = 0; !strcmp(tensor, "stem") && i < STEM * 2 * 343; i++)
        values[i] *= 2.0f / 3; /* the mean, not scaled */
}

static void a_flow_stream_sees_a_grey_image(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .channels = 2 });
    expect_pass(&trial);
    finish(&trial);
    trial = try((struct form){ 0 }, (struct form){ .channels = 2, .damage = half_as_much });
    expect_failure(&trial, "stem.out", "every slice is 0.666667 ×");
    finish(&trial);
}

/* Taps that are the stride apart share their output frames: with stride 2, three
 * taps are (1/2, 1, 1/2) of the 2D kernel. */
static void transposed_taps_share_their_frames(void **unused)
{
    (void)unused;
    static const int64_t divisors[] = { 2, 1, 2 };
    for (int wrong = 0; wrong < 2; wrong++) {
        struct i3d_model *models[2];
        for (int inflated = 0; inflated < 2; inflated++) {
            const struct form form = { .inflated = inflated };
            struct builder b = { i3d_model_new(), &form };
            assert_non_null(b.model);
            int64_t taps = inflated ? 3 : 1;
            float *values = malloc((size_t)(3 * 2 * taps * 9) * sizeof *values);
            assert_non_null(values);
            for (int64_t i = 0; i < 6 * taps * 9; i++) {
                int64_t t = i / 9 % taps;
                values[i] = weight("w", i / 9 / taps * 9 + i % 9)
                    / (float)(!inflated ? 1 : wrong ? 3 : divisors[t]);
            }
            const int64_t *dims = inflated ? DIMS(3, 2, 3, 3, 3) : DIMS(3, 2, 3, 3);
            put_tensor(&b, "w", inflated ? 5 : 4, dims, values, I3D_FLOAT32);
            set_all(&b, put(&b, "ConvTranspose", "y", NAMES("x", "w")), "strides", 2, 2);
            declare(&b, "y");
            models[inflated] = b.model;
        }
        struct i3d_proof proof;
        assert_int_equal(prove(models[0], models[1], 4, &proof), I3D_OK);
        assert_true(proof.layers[0].has_weights);
        assert_int_equal(proof.layers[0].audit_good, !wrong);
        i3d_proof_free(&proof);
        i3d_model_free(models[0]);
        i3d_model_free(models[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_types_round_in_their_own_way),
        cmocka_unit_test(one_slice_may_hold_the_kernel),
        cmocka_unit_test(damage_is_found_where_it_was_done),
        cmocka_unit_test(settings_are_audited),
        cmocka_unit_test(uneven_slices_are_found_by_the_audit_alone),
        cmocka_unit_test(damage_behind_a_folded_batch_norm_is_found),
        cmocka_unit_test(a_flow_stream_sees_a_grey_image),
        cmocka_unit_test(transposed_taps_share_their_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
