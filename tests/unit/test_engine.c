/* The forward pass: whose memory is whose, what is refused, and operators of
 * versions that ONNX's test data does not hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "tests/unit/one_node.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })
#define INTS(...) ((int64_t[]){ __VA_ARGS__ })
#define FLOATS(...) ((float[]){ __VA_ARGS__ })

/* What an observer saw, in order. */
struct seen {
    int count;
    char names[16][8];
    float first[16];
};

static enum i3d_status note(void *context, const struct i3d_node *node, const char *value,
                            const struct i3d_array *array, struct i3d_error *error)
{
    struct seen *seen = context;
    (void)node;
    (void)error;
    assert_true(seen->count < 16);
    snprintf(seen->names[seen->count], sizeof seen->names[0], "%s", value);
    seen->first[seen->count++] = *(float *)array->data;
    return I3D_OK;
}

static void add_output(struct i3d_model *model, const char *name)
{
    struct i3d_value *output = i3d_model_add_output(model);
    assert_non_null(output);
    *output = (struct i3d_value){ .name = name, .dtype = I3D_FLOAT32, .rank = -1 };
}

/* x is read twice, a by an operator that works in place, b is an output and is
 * read, c is an output only, d is read by nobody. */
static struct i3d_model *branching_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    assert_true(i3d_set_opset(model, "", OPSET));
    struct i3d_value *input = i3d_model_add_input(model);
    *input = (struct i3d_value){ .name = "x", .dtype = I3D_FLOAT32, .rank = -1 };
    int64_t one = 1;
    assert_int_equal(i3d_model_put_floats(model, "w", 1, &one, FLOATS(10), NULL), I3D_OK);
    assert_non_null(i3d_model_put_node(model, "Neg", "", NAMES("x"), NAMES("a")));
    assert_non_null(i3d_model_put_node(model, "Abs", "", NAMES("a"), NAMES("b")));
    assert_non_null(i3d_model_put_node(model, "Add", "", NAMES("b", "b"), NAMES("c")));
    assert_non_null(i3d_model_put_node(model, "Mul", "", NAMES("x", "w"), NAMES("d")));
    assert_non_null(i3d_model_put_node(model, "Sub", "", NAMES("w", "x"), NAMES("e")));
    return model;
}

static void values_live_until_their_last_reader(void **state)
{
    (void)state;
    struct i3d_model *model = branching_model();
    static const char *const names[] = { "b", "c", "x", "w", "b", "e" };
    for (size_t i = 0; i < 6; i++)
        add_output(model, names[i]);
    struct i3d_array input = float_list(1, FLOATS(3)), outputs[6];
    struct i3d_run_options options = { .threads = 1 };
    struct seen seen = { 0 };
    assert_int_equal(i3d_run(model, &input, &options, note, &seen, outputs, NULL), I3D_OK);
    assert_int_equal(seen.count, 5);
    static const float expected[] = { -3, 3, 6, 30, 7 };
    for (int i = 0; i < 5; i++) {
        assert_int_equal(seen.names[i][0], 'a' + i);
        assert_near((double)seen.first[i], (double)expected[i], 0);
    }
    assert_near((double)*(float *)input.data, 3, 0);
    static const float results[] = { 3, 6, 3, 10, 3, 7 };
    for (int i = 0; i < 6; i++) {
        assert_near((double)*(float *)outputs[i].data, (double)results[i], 0);
        for (int k = 0; k < i; k++)
            assert_ptr_not_equal(outputs[i].data, outputs[k].data);
        i3d_array_free(&outputs[i]);
    }
    /* Without outputs, for the observer alone. */
    assert_int_equal(i3d_run(model, &input, &options, note, &seen, NULL, NULL), I3D_OK);
    assert_int_equal(seen.count, 10);
    i3d_array_free(&input);
    i3d_model_free(model);
}

static enum i3d_status stop(void *context, const struct i3d_node *node, const char *value,
                            const struct i3d_array *array, struct i3d_error *error)
{
    (void)context;
    (void)node;
    (void)array;
    return *value == 'c' ? i3d_fail(error, I3D_DIFFERS, "seen enough") : I3D_OK;
}

static void observer_can_stop(void **state)
{
    (void)state;
    struct i3d_model *model = branching_model();
    add_output(model, "c");
    struct i3d_array input = float_list(1, FLOATS(3)), output;
    struct i3d_run_options options = { .threads = 1 };
    struct i3d_error error;
    assert_int_equal(i3d_run(model, &input, &options, stop, NULL, &output, &error), I3D_DIFFERS);
    assert_string_equal(error.message, "seen enough");
    i3d_array_free(&input);
    i3d_model_free(model);
}

static void unknown_operators_are_named_first(void **state)
{
    (void)state;
    struct i3d_model *model = branching_model();
    assert_non_null(i3d_model_put_node(model, "LSTM", "memory", NAMES("e"), NAMES("f")));
    add_output(model, "f");
    struct i3d_array input = float_list(1, FLOATS(3)), output;
    struct i3d_run_options options = { .threads = 1 };
    struct i3d_error error;
    struct seen seen = { 0 };
    assert_int_equal(i3d_run(model, &input, &options, note, &seen, &output, &error),
                     I3D_UNSUPPORTED);
    assert_non_null(strstr(error.message, "LSTM"));
    assert_non_null(strstr(error.where, "memory"));
    assert_int_equal(seen.count, 0);
    i3d_array_free(&input);
    i3d_model_free(model);
}

static void edge_padding_needs_time(void **state)
{
    (void)state;
    struct i3d_model *model = branching_model();
    add_output(model, "c");
    struct i3d_array input = float_list(1, FLOATS(3)), output;
    struct i3d_run_options options = { .time_padding = I3D_TIME_EDGE };
    assert_int_equal(i3d_run(model, &input, &options, NULL, NULL, &output, NULL), I3D_USAGE);
    i3d_array_free(&input);
    i3d_model_free(model);
}

/* Operands that break an operator's rules are an error, and no more than that. */
static void broken_operands_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *op_type;
        int inputs;
        int ranks[2];
        int64_t dims[2][5];
    } cases[] = {
        { "Conv", 2, { 4, 4 }, { { 1, 3, 8, 8 }, { 2, 4, 3, 3 } } },
        { "Conv", 2, { 4, 4 }, { { 1, 3, 2, 2 }, { 2, 3, 3, 3 } } },
        { "Conv", 2, { 2, 2 }, { { 1, 3 }, { 2, 3 } } },
        { "Conv", 2, { 4, 3 }, { { 1, 3, 8, 8 }, { 2, 3, 3 } } },
        { "ConvTranspose", 2, { 4, 4 }, { { 1, 3, 8, 8 }, { 2, 3, 3, 3 } } },
        { "MaxPool", 1, { 4 }, { { 1, 3, 8, 8 } } },
        { "GlobalAveragePool", 1, { 2 }, { { 1, 3 } } },
        { "BatchNormalization", 2, { 4, 1 }, { { 1, 3, 8, 8 }, { 3 } } },
        { "Add", 2, { 1, 1 }, { { 3 }, { 4 } } },
        { "Add", 1, { 1 }, { { 3 } } },
        { "Relu", 2, { 1, 1 }, { { 3 }, { 3 } } },
        { "PRelu", 2, { 1, 2 }, { { 3 }, { 2, 3 } } },
        { "Concat", 2, { 2, 2 }, { { 3, 3 }, { 3, 4 } } },
        { "MatMul", 2, { 2, 2 }, { { 3, 4 }, { 3, 4 } } },
        { "Gemm", 2, { 2, 2 }, { { 3, 4 }, { 3, 4 } } },
        { "Unsqueeze", 1, { 1 }, { { 3 } } },
        { "Pad", 1, { 1 }, { { 3 } } },
        { "DepthToSpace", 1, { 4 }, { { 1, 3, 2, 2 } } },
        { "LRN", 1, { 4 }, { { 1, 3, 2, 2 } } },
        { "Constant", 0, { 0 }, { { 0 } } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct i3d_array inputs[2] = { 0 };
        for (int k = 0; k < cases[i].inputs; k++)
            inputs[k] = random_array(cases[i].ranks[k], cases[i].dims[k]);
        struct i3d_node *node;
        struct i3d_model *model =
            one_node(cases[i].op_type, OPSET, inputs, (size_t)cases[i].inputs, &node);
        if (!strcmp(cases[i].op_type, "Concat"))
            assert_true(i3d_set_int(model, node, "axis", 0));
        struct i3d_error error;
        assert_int_equal(run_fails(model, inputs, &error), I3D_MALFORMED);
        assert_non_null(strstr(error.where, "the node"));
        i3d_array_free(&inputs[0]);
        i3d_array_free(&inputs[1]);
    }
}

static void broken_numbers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *op_type;
        int64_t count, numbers[5];
    } cases[] = {
        { "Reshape", 2, { 4, 2 } },
        { "Reshape", 2, { -1, -1 } },
        { "Reshape", 2, { -1, 4 } },
        { "Reshape", 3, { INT64_MAX, INT64_MAX, -1 } },
        { "Reshape", 3, { 1, 6, 0 } },
        { "Expand", 2, { 2, 4 } },
        { "Expand", 2, { INT64_MAX, 1 } },
        { "Expand", 2, { -1, 3 } },
        { "Gather", 1, { 2 } },
        { "Gather", 1, { -3 } },
        { "Squeeze", 1, { 0 } },
        { "Squeeze", 1, { 5 } },
        { "Unsqueeze", 2, { 1, 1 } },
        { "Pad", 4, { 0, 0, -4, 0 } },
        { "Pad", 4, { INT64_MAX, 0, INT64_MAX, 0 } },
        { "Pad", 3, { 0, 0, 0 } },
        { "ReduceSum", 1, { 2 } },
        { "ReduceSum", 2, { 1, -1 } },
        { "Split", 1, { 3 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct i3d_array inputs[] = { random_array(2, INTS(2, 3)),
                                      int_list(cases[i].count, cases[i].numbers) };
        struct i3d_node *node;
        struct i3d_model *model = one_node(cases[i].op_type, OPSET, inputs, 2, &node);
        struct i3d_error error;
        assert_int_equal(run_fails(model, inputs, &error), I3D_MALFORMED);
        i3d_array_free(&inputs[0]);
        i3d_array_free(&inputs[1]);
    }
}

static void integers_do_not_trap(void **state)
{
    (void)state;
    struct i3d_array inputs[] = { int_list(2, INTS(INT64_MIN, 7)), int_list(2, INTS(-1, -2)) };
    struct i3d_node *node;
    struct i3d_array output = run(one_node("Div", OPSET, inputs, 2, &node), inputs);
    assert_true(((int64_t *)output.data)[0] == INT64_MIN);
    assert_int_equal(((int64_t *)output.data)[1], -3);
    i3d_array_free(&output);
    ((int64_t *)inputs[1].data)[1] = 0;
    struct i3d_error error;
    assert_int_equal(run_fails(one_node("Div", OPSET, inputs, 2, &node), inputs, &error),
                     I3D_MALFORMED);
    i3d_array_free(&inputs[0]);
    i3d_array_free(&inputs[1]);
}

/* NaN is never lost on the way: a network that computes one is not to pass. */
static void nan_is_kept(void **state)
{
    (void)state;
    static const char *const op_types[] = { "Relu", "LeakyRelu", "Clip", "MaxPool", "HardSigmoid",
                                            "GlobalMaxPool", "ReduceMax", "Softmax", "Max" };
    for (size_t i = 0; i < sizeof op_types / sizeof op_types[0]; i++) {
        for (int at = 0; at < 3; at++) {
            struct i3d_array input = random_array(3, INTS(1, 1, 3));
            ((float *)input.data)[at] = NAN;
            struct i3d_node *node;
            struct i3d_model *model = one_node(op_types[i], OPSET, &input, 1, &node);
            assert_true(i3d_set_ints(model, node, "kernel_shape", INTS(3), 1)
                        && i3d_set_ints(model, node, "pads", INTS(1, 1), 2));
            struct i3d_array output = run(model, &input);
            int64_t count = i3d_element_count(output.rank, output.dims), found = 0;
            for (int64_t k = 0; k < count; k++)
                found += isnan(((float *)output.data)[k]) != 0;
            assert_true(found > 0);
            i3d_array_free(&input);
            i3d_array_free(&output);
        }
    }
}

/* Before operator set 7, `axis` said where the second operand starts. */
static void old_broadcasting_starts_at_an_axis(void **state)
{
    (void)state;
    struct i3d_array inputs[] = { make_array(I3D_FLOAT32, 3, INTS(1, 2, 2)),
                                  float_list(2, FLOATS(1, 2)) };
    struct i3d_node *node;
    struct i3d_model *model = one_node("Add", 6, inputs, 2, &node);
    assert_true(i3d_set_int(model, node, "broadcast", 1) && i3d_set_int(model, node, "axis", 1));
    struct i3d_array output = run(model, inputs);
    assert_floats(&output, 4, FLOATS(1, 1, 2, 2));
    i3d_array_free(&output);
    output = run(one_node("Add", 7, inputs, 2, &node), inputs);
    assert_floats(&output, 4, FLOATS(1, 2, 1, 2));
    i3d_array_free(&output);

    /* Slopes were one per channel. */
    for (int i = 0; i < 4; i++)
        ((float *)inputs[0].data)[i] = -1;
    output = run(one_node("PRelu", 6, inputs, 2, &node), inputs);
    assert_floats(&output, 4, FLOATS(-1, -1, -2, -2));
    i3d_array_free(&output);
    output = run(one_node("PRelu", 7, inputs, 2, &node), inputs);
    assert_floats(&output, 4, FLOATS(-1, -2, -1, -2));
    i3d_array_free(&output);
    i3d_array_free(&inputs[0]);
    i3d_array_free(&inputs[1]);
}

static void group_normalization_by_version(void **state)
{
    (void)state;
    struct i3d_array data = make_array(I3D_FLOAT32, 3, INTS(1, 4, 1));
    memcpy(data.data, FLOATS(1, 3, 10, 30), 4 * sizeof(float));
    struct i3d_node *node;
    struct i3d_array by_group[] = { data, float_list(2, FLOATS(1, 2)), float_list(2, FLOATS(0, 5)) };
    struct i3d_model *model = one_node("GroupNormalization", 18, by_group, 3, &node);
    assert_true(i3d_set_int(model, node, "num_groups", 2)
                && i3d_set_float(model, node, "epsilon", 1e-9f));
    struct i3d_array output = run(model, by_group);
    assert_floats(&output, 4, FLOATS(-1, 1, 3, 7));
    i3d_array_free(&output);
    struct i3d_array by_channel[] = { data, float_list(4, FLOATS(1, 2, 3, 4)),
                                      float_list(4, FLOATS(0, 0, 0, 1)) };
    model = one_node("GroupNormalization", 21, by_channel, 3, &node);
    assert_true(i3d_set_int(model, node, "num_groups", 2)
                && i3d_set_float(model, node, "epsilon", 1e-9f));
    output = run(model, by_channel);
    assert_floats(&output, 4, FLOATS(-1, 2, -3, 5));
    i3d_array_free(&output);
    for (int k = 1; k < 3; k++) {
        i3d_array_free(&by_group[k]);
        i3d_array_free(&by_channel[k]);
    }
    i3d_array_free(&data);
}

/* gelu(1) and its tanh form, from their formulas in double. */
static void gelu_has_two_forms(void **state)
{
    (void)state;
    struct i3d_array input = float_list(2, FLOATS(1, -2));
    struct i3d_node *node;
    struct i3d_array output = run(one_node("Gelu", 20, &input, 1, &node), &input);
    assert_floats(&output, 2, FLOATS(0.84134475f, -0.04550026f));
    i3d_array_free(&output);
    struct i3d_model *model = one_node("Gelu", 20, &input, 1, &node);
    assert_true(i3d_set_string(model, node, "approximate", "tanh"));
    output = run(model, &input);
    assert_floats(&output, 2, FLOATS(0.84119199f, -0.04540231f));
    i3d_array_free(&output);
    i3d_array_free(&input);
}

/* What operator set 18 moved to inputs, and its uneven split. */
static void operator_set_18(void **state)
{
    (void)state;
    struct i3d_array pad[] = { float_list(2, FLOATS(1, 2)), int_list(2, INTS(1, 2)),
                               float_list(1, FLOATS(9)), int_list(1, INTS(-1)) };
    struct i3d_node *node;
    struct i3d_array output = run(one_node("Pad", 18, pad, 4, &node), pad);
    assert_floats(&output, 5, FLOATS(9, 1, 2, 9, 9));
    i3d_array_free(&output);

    struct i3d_array mean[] = { random_array(2, INTS(2, 2)), int_list(1, INTS(0)) };
    memcpy(mean[0].data, FLOATS(1, 2, 3, 6), 4 * sizeof(float));
    output = run(one_node("ReduceMean", 18, mean, 2, &node), mean);
    assert_dims(&output, 2, INTS(1, 2));
    assert_floats(&output, 2, FLOATS(2, 4));
    i3d_array_free(&output);

    struct i3d_array list = float_list(5, FLOATS(1, 2, 3, 4, 5));
    struct i3d_model *model = one_node("Split", 18, &list, 1, &node);
    node->outputs = NAMES("s", "y");
    node->output_count = 2;
    assert_true(i3d_set_int(model, node, "num_outputs", 2));
    output = run(model, &list);
    assert_floats(&output, 2, FLOATS(4, 5));
    i3d_array_free(&output);
    i3d_array_free(&list);
    for (int k = 0; k < 4; k++)
        i3d_array_free(&pad[k]);
    i3d_array_free(&mean[0]);
    i3d_array_free(&mean[1]);
}

/* Half-precision weights are computed with in float32. */
static void half_weights_are_widened(void **state)
{
    (void)state;
    struct i3d_array input = float_list(2, FLOATS(2, 3));
    struct i3d_node *node;
    struct i3d_model *model = one_node("Mul", OPSET, &input, 1, &node);
    uint16_t halves[] = { i3d_half_from_float(0.5f), i3d_half_from_float(-4) };
    int64_t two = 2;
    assert_int_equal(i3d_model_put_tensor(model, "w", I3D_FLOAT16, 1, &two,
                                          i3d_source_copy(halves, sizeof halves), NULL),
                     I3D_OK);
    node->inputs = NAMES("0", "w");
    node->input_count = 2;
    struct i3d_array output = run(model, &input);
    assert_floats(&output, 2, FLOATS(1, -12));
    i3d_array_free(&output);
    i3d_array_free(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_live_until_their_last_reader),
        cmocka_unit_test(observer_can_stop),
        cmocka_unit_test(unknown_operators_are_named_first),
        cmocka_unit_test(edge_padding_needs_time),
        cmocka_unit_test(broken_operands_are_refused),
        cmocka_unit_test(broken_numbers_are_refused),
        cmocka_unit_test(integers_do_not_trap),
        cmocka_unit_test(nan_is_kept),
        cmocka_unit_test(old_broadcasting_starts_at_an_axis),
        cmocka_unit_test(group_normalization_by_version),
        cmocka_unit_test(gelu_has_two_forms),
        cmocka_unit_test(operator_set_18),
        cmocka_unit_test(half_weights_are_widened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
