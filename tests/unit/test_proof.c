/* The proofs: twins pass however they are written, networks that are no twins do
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/twins.h"

static void twins_pass_layer_by_layer(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ 0 });
    expect_pass(&trial);
    static const char *const order[] = { "stem.out", "bn", "relu", "pool", "a.out", "b.out",
                                         "joined", "pooled", "logits", "logits" };
    assert_int_equal(trial.proof.layer_count, 10); /* the last is the output, a mean over time */
    assert_string_equal(trial.proof.layers[9].operation, "output");
    for (int i = 0; i < 10; i++)
        assert_string_equal(trial.proof.layers[i].name, order[i]);
    const struct i3d_layer_verdict *stem = layer(&trial, "stem.out");
    assert_string_equal(stem->operation, "Conv");
    assert_true(stem->has_weights && stem->audit_good);
    assert_int_equal(stem->rank, 5);
    assert_memory_equal(stem->dims, DIMS(1, STEM, FRAMES / 2, SIZE / 2, SIZE / 2),
                        5 * sizeof(int64_t));
    assert_true(layer(&trial, "bn")->has_weights && layer(&trial, "logits")->has_weights);
    assert_false(layer(&trial, "relu")->has_weights);
    finish(&trial);
}

static void names_and_transparent_nodes_do_not_matter(void **unused)
{
    (void)unused;
    const struct form plain = { 0 }, wrapped = { .identities = true, .prefix = "net/" };
    struct trial trial = try(plain, wrapped);
    expect_pass(&trial);
    assert_int_equal(trial.proof.layer_count, 10);
    finish(&trial);
    trial = try(wrapped, plain);
    expect_pass(&trial);
    finish(&trial);
}

static void a_batch_norm_may_be_folded_on_one_side(void **unused)
{
    (void)unused;
    const struct form plain = { 0 }, folded = { .folded = true };
    struct trial trial = try(folded, plain);
    expect_pass(&trial);
    assert_int_equal(trial.proof.layer_count, 9);
    finish(&trial);
    trial = try(plain, folded);
    expect_pass(&trial);
    assert_true(layer(&trial, "bn")->has_weights);
    finish(&trial);
}

/* As files of a codebase without gamma have it */
static void a_scale_may_move_into_the_kernel(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .scale_in_kernel = true });
    expect_pass(&trial);
    finish(&trial);
}

static void operands_of_a_sum_may_be_exchanged(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ .residual = true },
                             (struct form){ .residual = true, .crossed = true });
    expect_pass(&trial);
    finish(&trial);
}

static void tensors_stand_in_any_order(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .reversed = true });
    expect_pass(&trial);
    finish(&trial);
}

static void the_head_may_be_as_in_2d(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .plain_head = true });
    expect_pass(&trial);
    assert_int_equal(trial.proof.layer_count, 9); /* the output is the last node's value */
    finish(&trial);
}

/* It is of one kind with the pool over space that it follows. */
static void a_pool_over_time_alone_needs_no_partner(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .pool_in_time = true });
    expect_pass(&trial);
    finish(&trial);
}

static void shift_score(const char *tensor, float *values)
{
    if (!strcmp(tensor, "fc.bias"))
        values[0] += 1;
}

static void a_softmax_may_be_in_one_network_only(void **unused)
{
    (void)unused;
    const struct form plain = { 0 }, softmax = { .softmax = true };
    for (int in_2d = 0; in_2d < 2; in_2d++) {
        struct trial trial = in_2d ? try(softmax, plain) : try(plain, softmax);
        expect_pass(&trial);
        /* the logits are compared behind the mean over time all the same */
        assert_int_equal(trial.proof.layer_count, 10);
        assert_string_equal(trial.proof.layers[9].operation, "output");
        finish(&trial);
    }
    struct trial trial = try(softmax, (struct form){ .damage = shift_score });
    expect_failure(&trial, "logits", "bias");
    assert_false(trial.proof.layers[9].good);
    finish(&trial);
}

static void a_layer_too_many_is_an_obstacle(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .extra_relu = true });
    assert_false(trial.proof.good);
    assert_string_equal(trial.proof.obstacle, "the 2D network has Concat joined where the 3D "
                                              "network has Relu rectified");
    assert_true(trial.proof.unpaired_3d > 0);
    finish(&trial);
}

static void a_layer_left_out_is_a_failure(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .no_relu = true });
    assert_false(trial.proof.good);
    assert_true(trial.proof.unpaired_2d > 0);
    finish(&trial);
    trial = try((struct form){ .no_relu = true }, (struct form){ 0 });
    assert_false(trial.proof.good);
    assert_true(trial.proof.unpaired_3d > 0);
    finish(&trial);
}

static void the_clip_length_is_the_files_or_the_callers(void **unused)
{
    (void)unused;
    const struct form flat_form = { 0 }, form = { .inflated = true, .frames = 12 };
    struct i3d_model *flat = build(&flat_form), *inflated = build(&form);
    struct i3d_proof proof;
    assert_int_equal(prove(flat, inflated, 16, &proof), I3D_USAGE);
    i3d_proof_free(&proof);
    assert_int_equal(prove(flat, inflated, 0, &proof), I3D_OK);
    assert_true(proof.good);
    assert_int_equal(proof.layers[0].dims[2], 6); /* behind stride 2 */
    i3d_proof_free(&proof);
    i3d_model_free(inflated);
    const struct form any_length = { .inflated = true };
    inflated = build(&any_length);
    assert_int_equal(prove(flat, inflated, 2, &proof), I3D_USAGE); /* the last pool takes two */
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
}

/* A graph of so many Relu nodes, or of another operator. */
static struct i3d_model *chain(bool inflated, const char *op_type, int length)
{
    const struct form form = { .inflated = inflated };
    struct builder builder = { i3d_model_new(), &form };
    assert_non_null(builder.model);
    char name[32] = "x", last[32];
    for (int i = 0; i < length; i++) {
        memcpy(last, name, sizeof last);
        snprintf(name, sizeof name, "v%d", i);
        put(&builder, op_type, name, NAMES(last));
    }
    declare(&builder, name);
    for (int k = 2; k < 5; k++)
        builder.model->inputs[0].dims[k].value = 2;
    return builder.model;
}

static void long_graphs_need_no_stack(void **unused)
{
    (void)unused;
    enum { LENGTH = 20000 };
    struct i3d_model *flat = chain(false, "Relu", LENGTH), *inflated = chain(true, "Relu", LENGTH);
    struct i3d_proof proof;
    assert_int_equal(prove(flat, inflated, 2, &proof), I3D_OK);
    assert_true(proof.good);
    assert_int_equal(proof.layer_count, LENGTH);
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
}

static void what_cannot_be_compared_is_refused(void **unused)
{
    (void)unused;
    struct i3d_model *flat = chain(false, "Relu", 1), *inflated = chain(true, "Sigmoid", 1);
    struct i3d_proof proof;
    assert_int_equal(prove(flat, inflated, 2, &proof), I3D_UNSUPPORTED);
    i3d_proof_free(&proof);
    assert_int_equal(prove(inflated, flat, 2, &proof), I3D_UNSUPPORTED);
    i3d_proof_free(&proof);
    assert_int_equal(prove(flat, flat, 2, &proof), I3D_UNSUPPORTED);
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins_pass_layer_by_layer),
        cmocka_unit_test(names_and_transparent_nodes_do_not_matter),
        cmocka_unit_test(a_batch_norm_may_be_folded_on_one_side),
        cmocka_unit_test(a_scale_may_move_into_the_kernel),
        cmocka_unit_test(operands_of_a_sum_may_be_exchanged),
        cmocka_unit_test(tensors_stand_in_any_order),
        cmocka_unit_test(the_head_may_be_as_in_2d),
        cmocka_unit_test(a_pool_over_time_alone_needs_no_partner),
        cmocka_unit_test(a_softmax_may_be_in_one_network_only),
        cmocka_unit_test(a_layer_too_many_is_an_obstacle),
        cmocka_unit_test(a_layer_left_out_is_a_failure),
        cmocka_unit_test(the_clip_length_is_the_files_or_the_callers),
        cmocka_unit_test(long_graphs_need_no_stack),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
