/* Inflation, on small graphs whose 3D form is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "converters/inflate.h"
#include "model/index.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })
#define DIMS(...) ((int64_t[]){ __VA_ARGS__ })

static struct i3d_model *empty_model(int64_t opset)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    struct i3d_value *input = i3d_model_add_input(model);
    *input = (struct i3d_value){ .name = "x", .dtype = I3D_FLOAT32, .rank = 4,
                                 .dims = { { -1, "N" }, { 3, NULL }, { 8, NULL }, { 8, NULL } } };
    assert_true(i3d_set_opset(model, "", opset));
    return model;
}

static void put_ramp(struct i3d_model *model, const char *name, int rank, const int64_t *dims)
{
    int64_t count = i3d_element_count(rank, dims);
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(i + 1) * 0.1f;
    assert_int_equal(i3d_model_put_floats(model, name, rank, dims, values, NULL), I3D_OK);
    free(values);
}

static struct i3d_node *put(struct i3d_model *model, const char *op_type,
                            const char *const *inputs, const char *output)
{
    struct i3d_node *node =
        i3d_model_put_node(model, op_type, output, inputs, (const char *[]){ output, NULL });
    assert_non_null(node);
    return node;
}

static void finish(struct i3d_model *model, const char *output, int rank)
{
    struct i3d_value *value = i3d_model_add_output(model);
    value->name = output;
    value->dtype = I3D_FLOAT32;
    value->rank = rank;
    for (int k = 0; k < rank; k++)
        value->dims[k].value = -1;
}

static struct i3d_model *inflate(struct i3d_model *flat, struct i3d_inflate_options options)
{
    struct i3d_model *inflated;
    struct i3d_error error;
    char line[1024];
    if (i3d_inflate(flat, &options, &inflated, &error)) {
        i3d_error_format(&error, line, sizeof line);
        fail_msg("%s", line);
    }
    i3d_model_free(flat); /* the 3D model stands without it */
    if (i3d_model_check(inflated, &error)) {
        i3d_error_format(&error, line, sizeof line);
        fail_msg("%s", line);
    }
    return inflated;
}

static const struct i3d_node *producer(const struct i3d_model *model, const char *value)
{
    for (size_t i = 0; i < model->node_count; i++)
        if (!strcmp(model->nodes[i].outputs[0], value))
            return &model->nodes[i];
    fail_msg("nothing produces %s", value);
    return NULL;
}

static void expect_ints(const struct i3d_node *node, const char *name, const int64_t *expected,
                        size_t count)
{
    size_t found;
    const int64_t *values = i3d_ints(node, name, &found);
    assert_int_equal(found, count);
    assert_memory_equal(values, expected, count * sizeof *expected);
}
#define EXPECT_INTS(node, name, ...) \
    expect_ints(node, name, DIMS(__VA_ARGS__), sizeof DIMS(__VA_ARGS__) / sizeof(int64_t))

static void kernels_are_repeated_and_divided(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(13);
    put_ramp(flat, "w", 4, DIMS(2, 3, 5, 3));
    struct i3d_node *conv = put(flat, "Conv", NAMES("x", "w"), "y");
    i3d_set_ints(flat, conv, "strides", DIMS(2, 1), 2);
    i3d_set_ints(flat, conv, "pads", DIMS(2, 1, 1, 0), 4);
    finish(flat, "y", 4);
    struct i3d_model *model = inflate(flat, (struct i3d_inflate_options){ .recipe = "isotropic" });

    /* time goes as height does: its kernel is the larger one */
    const struct i3d_node *node = producer(model, "y");
    EXPECT_INTS(node, "kernel_shape", 5, 5, 3);
    EXPECT_INTS(node, "strides", 2, 2, 1);
    EXPECT_INTS(node, "pads", 2, 2, 1, 1, 1, 0);
    assert_int_equal(model->inputs[0].rank, 5);
    assert_int_equal(model->outputs[0].rank, 5);
    assert_int_equal(model->time_axis, 2);

    const struct i3d_tensor *tensor = i3d_find_tensor(model, "w");
    float *values;
    assert_int_equal(tensor->rank, 5);
    assert_int_equal(i3d_tensor_load_float(tensor, &values, NULL), I3D_OK);
    for (int oi = 0; oi < 6; oi++)
        for (int t = 0; t < 5; t++)
            for (int yx = 0; yx < 15; yx++) {
                float w = (float)(oi * 15 + yx + 1) * 0.1f;
                assert_true(values[(oi * 5 + t) * 15 + yx] == w / 5);
            }
    free(values);
    i3d_model_free(model);
}

static void the_flow_stream_takes_two_channels(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(13);
    put_ramp(flat, "w", 4, DIMS(2, 3, 1, 1));
    put_ramp(flat, "v", 4, DIMS(4, 2, 1, 1));
    put(flat, "Conv", NAMES("x", "w"), "y");
    put(flat, "Conv", NAMES("y", "v"), "z");
    finish(flat, "z", 4);
    struct i3d_model *model = inflate(
        flat, (struct i3d_inflate_options){ .recipe = "isotropic", .stream = I3D_FLOW });
    const struct i3d_tensor *first = i3d_find_tensor(model, "w");
    assert_int_equal(first->dims[1], 2);
    assert_int_equal(i3d_find_tensor(model, "v")->dims[1], 2); /* as it was */
    assert_int_equal(model->inputs[0].dims[1].value, 2);
    float *values;
    assert_int_equal(i3d_tensor_load_float(first, &values, NULL), I3D_OK);
    double sum = (double)(1 * 0.1f) + (double)(2 * 0.1f) + (double)(3 * 0.1f);
    assert_true(values[0] == (float)(sum / 2) && values[1] == values[0]);
    free(values);
    i3d_model_free(model);
}

static void constants_and_axes_make_room_for_time(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(13);
    put_ramp(flat, "slope", 3, DIMS(3, 1, 1));
    put_ramp(flat, "row", 1, DIMS(8));
    put(flat, "PRelu", NAMES("x", "slope"), "p");
    put(flat, "Add", NAMES("p", "row"), "q");
    struct i3d_node *concat = put(flat, "Concat", NAMES("q", "p"), "r");
    i3d_set_int(flat, concat, "axis", -1);
    finish(flat, "r", 4);
    struct i3d_model *model = inflate(flat, (struct i3d_inflate_options){ .recipe = "isotropic" });
    const struct i3d_tensor *slope = i3d_find_tensor(model, producer(model, "p")->inputs[1]);
    assert_int_equal(slope->rank, 4);
    assert_int_equal(slope->dims[0], 3);
    assert_string_equal(producer(model, "q")->inputs[1], "row");
    assert_int_equal(i3d_int(producer(model, "r"), "axis", 0), 4);
    i3d_model_free(model);
}

/* x[:, c] · a + b, put together again: how torchvision's googlenet begins */
static void picked_channels_keep_their_time(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(11);
    assert_int_equal(i3d_model_put_ints(flat, "zero", 0, NULL, DIMS(0), NULL), I3D_OK);
    struct i3d_node *gather = put(flat, "Gather", NAMES("x", "zero"), "c");
    i3d_set_int(flat, gather, "axis", 1);
    struct i3d_node *unsqueeze = put(flat, "Unsqueeze", NAMES("c"), "u");
    i3d_set_ints(flat, unsqueeze, "axes", DIMS(1), 1);
    finish(flat, "u", 4);
    struct i3d_model *model = inflate(flat, (struct i3d_inflate_options){ .recipe = "isotropic" });
    EXPECT_INTS(producer(model, "u"), "axes", 1);
    assert_int_equal(model->outputs[0].rank, 5);
    i3d_model_free(model);
}

static void the_i3d_head_works_frame_by_frame(void **unused)
{
    (void)unused;
    for (int64_t opset = 11; opset <= 18; opset += 7) {
        struct i3d_model *flat = empty_model(opset);
        put_ramp(flat, "fc.weight", 2, DIMS(5, 3));
        put_ramp(flat, "fc.bias", 1, DIMS(5));
        for (int i = 0; i < 3; i++) {
            struct i3d_node *pool = put(flat, "MaxPool", NAMES(((const char *[]){ "x", "a", "b" })[i]),
                                        ((const char *[]){ "a", "b", "c" })[i]);
            i3d_set_ints(flat, pool, "kernel_shape", DIMS(2, 2), 2);
            i3d_set_ints(flat, pool, "strides", DIMS(2, 2), 2);
        }
        put(flat, "GlobalAveragePool", NAMES("c"), "g");
        put(flat, "Flatten", NAMES("g"), "f");
        i3d_set_int(flat, put(flat, "Gemm", NAMES("f", "fc.weight", "fc.bias"), "logits"),
                    "transB", 1);
        finish(flat, "logits", 2);
        struct i3d_model *model = inflate(flat, (struct i3d_inflate_options){ .recipe = "i3d" });
        EXPECT_INTS(producer(model, "a"), "kernel_shape", 1, 2, 2);
        EXPECT_INTS(producer(model, "b"), "strides", 1, 2, 2);
        EXPECT_INTS(producer(model, "c"), "kernel_shape", 2, 2, 2);
        const struct i3d_node *pool = producer(model, "g");
        assert_true(i3d_is(pool, "AveragePool"));
        EXPECT_INTS(pool, "kernel_shape", 2, 1, 1);
        const struct i3d_node *conv = producer(model, "logits/frames");
        assert_string_equal(conv->inputs[0], "g");
        assert_int_equal(i3d_find_tensor(model, "fc.weight")->rank, 5);
        const struct i3d_node *mean = producer(model, "logits/mean_over_time");
        assert_int_equal(mean->input_count, opset >= 18 ? 2 : 1);
        assert_int_equal(model->outputs[0].rank, 2);
        i3d_model_free(model);
    }
}

static void edges_are_padded_for_one_clip_length(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(13);
    put_ramp(flat, "w", 4, DIMS(2, 3, 7, 7));
    struct i3d_node *conv = put(flat, "Conv", NAMES("x", "w"), "y");
    i3d_set_ints(flat, conv, "strides", DIMS(2, 2), 2);
    i3d_set_string(flat, conv, "auto_pad", "SAME_UPPER");
    finish(flat, "y", 4);
    struct i3d_inflate_options options = { .recipe = "isotropic", .frames = 16,
                                           .temporal_padding = I3D_PAD_EDGE };
    struct i3d_model *model = inflate(flat, options);
    const struct i3d_node *node = producer(model, "y");
    EXPECT_INTS(node, "pads", 0, 2, 2, 0, 3, 3);
    assert_null(i3d_attribute(node, "auto_pad"));
    const struct i3d_node *pad = producer(model, node->inputs[0]);
    assert_true(i3d_is(pad, "Pad") && i3d_string_is(pad, "mode", "edge"));
    int64_t amounts[10];
    int count;
    assert_int_equal(i3d_tensor_integers(i3d_find_tensor(model, pad->inputs[1]), amounts, 10,
                                         &count, NULL), I3D_OK);
    assert_memory_equal(amounts, DIMS(0, 0, 2, 0, 0, 0, 0, 3, 0, 0), sizeof amounts);
    assert_int_equal(model->inputs[0].dims[2].value, 16);
    i3d_model_free(model);
}

static void weights_from_constant_nodes_are_found(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(13);
    assert_int_equal(i3d_model_put_ints(flat, "shape", 1, DIMS(4), DIMS(2, 3, 3, 3), NULL), I3D_OK);
    put(flat, "ConstantOfShape", NAMES("shape"), "fill");
    put(flat, "Identity", NAMES("fill"), "w");
    put(flat, "Conv", NAMES("x", "w"), "y");
    finish(flat, "y", 4);
    struct i3d_model *model = inflate(flat, (struct i3d_inflate_options){ .recipe = "isotropic" });
    assert_int_equal(model->node_count, 1);
    assert_int_equal(i3d_find_tensor(model, "w")->dims[2], 3);
    i3d_model_free(model);
}

static void what_cannot_be_inflated_is_named(void **unused)
{
    (void)unused;
    struct i3d_model *flat = empty_model(13), *model;
    put(flat, "LSTM", NAMES("x"), "y");
    finish(flat, "y", 4);
    struct i3d_inflate_options options = { .recipe = "isotropic" };
    struct i3d_error error;
    char line[1024];
    assert_int_equal(i3d_inflate(flat, &options, &model, &error), I3D_UNSUPPORTED);
    i3d_error_format(&error, line, sizeof line);
    assert_non_null(strstr(line, "LSTM"));
    assert_null(model);
    options.recipe = "nonsense";
    assert_int_equal(i3d_inflate(flat, &options, &model, &error), I3D_USAGE);
    i3d_model_free(flat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_repeated_and_divided),
        cmocka_unit_test(the_flow_stream_takes_two_channels),
        cmocka_unit_test(constants_and_axes_make_room_for_time),
        cmocka_unit_test(picked_channels_keep_their_time),
        cmocka_unit_test(the_i3d_head_works_frame_by_frame),
        cmocka_unit_test(edges_are_padded_for_one_clip_length),
        cmocka_unit_test(weights_from_constant_nodes_are_found),
        cmocka_unit_test(what_cannot_be_inflated_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
