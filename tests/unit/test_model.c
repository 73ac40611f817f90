/* The model: errors, arena, graph building, copies, look-up, checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/index.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })

/* x → Relu → y → Add(y, w) → z */
static struct i3d_model *small_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    struct i3d_value *input = i3d_model_add_input(model);
    input->name = "x";
    input->dtype = I3D_FLOAT32;
    input->rank = 1;
    input->dims[0] = (struct i3d_dim){ -1, "N" };
    int64_t dims[] = { 2 };
    assert_int_equal(i3d_model_put_floats(model, "w", 1, dims, (float[]){ 1, 2 }, NULL), I3D_OK);
    assert_non_null(i3d_model_put_node(model, "Relu", "a", NAMES("x"), NAMES("y")));
    assert_non_null(i3d_model_put_node(model, "Add", "b", NAMES("y", "w"), NAMES("z")));
    i3d_model_add_output(model)->name = "z";
    assert_true(i3d_set_opset(model, "", 13));
    return model;
}

static void errors_are_one_line(void **unused)
{
    (void)unused;
    struct i3d_error error;
    char line[512];
    i3d_fail(&error, I3D_MALFORMED, "bad \x1b[31mname\n\xff and \xc3\xa9");
    i3d_error_where(&error, "tensor %s", "w");
    i3d_error_where(&error, "tensor %s", "outer");
    i3d_error_file(&error, "a.onnx");
    i3d_error_hint(&error, "try b");
    i3d_error_format(&error, line, sizeof line);
    assert_string_equal(line, "a.onnx: tensor w: bad \\x1b[31mname\\x0a\\xff and \xc3\xa9; try b");
    i3d_error_format(&error, line, 12);
    assert_string_equal(line, "a.onnx: ten");
}

static void arenas_hand_out_aligned_zeroed_memory(void **unused)
{
    (void)unused;
    struct i3d_arena *arena = i3d_arena_new();
    assert_non_null(arena);
    assert_null(i3d_arena_alloc(arena, SIZE_MAX / 2, 4));
    for (size_t size = 1; size < 100000; size = size * 3 + 1) {
        unsigned char *bytes = i3d_arena_alloc(arena, size, 1);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(bytes[i], 0);
        memset(bytes, 0xff, size);
    }
    assert_string_equal(i3d_arena_printf(arena, "%s/%d", "a", 7), "a/7");
    i3d_arena_free(arena);
}

static void attributes_are_set_replaced_and_dropped(void **unused)
{
    (void)unused;
    struct i3d_model *model = small_model();
    struct i3d_node *node = &model->nodes[0];
    size_t count;
    assert_true(i3d_set_int(model, node, "axis", INT64_MIN));
    assert_true(i3d_set_ints(model, node, "pads", (int64_t[]){ 1, 2, 3 }, 3));
    assert_true(i3d_set_int(model, node, "axis", -2));
    assert_true(i3d_set_string(model, node, "mode", "edge"));
    assert_int_equal(node->attribute_count, 3);
    assert_int_equal(i3d_int(node, "axis", 0), -2);
    assert_int_equal(i3d_ints(node, "pads", &count)[2], 3);
    assert_int_equal(i3d_int(node, "pads", 7), 7); /* another type */
    assert_true(i3d_string_is(node, "mode", "edge") && !i3d_string_is(node, "mode", "edg"));
    i3d_drop_attribute(node, "pads");
    assert_null(i3d_ints(node, "pads", &count));
    i3d_model_free(model);
}

static void copies_stand_alone(void **unused)
{
    (void)unused;
    struct i3d_model *model = small_model(), *copy;
    assert_true(i3d_set_metadata(model, "k", "v"));
    assert_true(i3d_set_float(model, &model->nodes[0], "alpha", 0.5f));
    assert_int_equal(i3d_model_copy(model, &copy, NULL), I3D_OK);
    i3d_model_free(model);
    assert_int_equal(i3d_model_check(copy, NULL), I3D_OK);
    assert_string_equal(copy->inputs[0].dims[0].name, "N");
    assert_string_equal(i3d_metadata(copy, "k"), "v");
    assert_true(i3d_float(&copy->nodes[0], "alpha", 0) == 0.5f);
    assert_int_equal(i3d_opset(copy), 13);
    float *values;
    assert_int_equal(i3d_tensor_load_float(&copy->tensors[0], &values, NULL), I3D_OK);
    assert_true(values[1] == 2);
    free(values);
    i3d_model_free(copy);
}

static void the_index_finds_producers_and_readers(void **unused)
{
    (void)unused;
    struct i3d_model *model = small_model();
    struct i3d_index *index = i3d_index_new(model);
    assert_non_null(index);
    size_t count;
    assert_int_equal(i3d_index_producer(index, "z"), 1);
    assert_int_equal(i3d_index_producer(index, "x"), I3D_NOWHERE);
    assert_int_equal(i3d_index_input(index, "x"), 0);
    assert_int_equal(i3d_index_tensor(index, "w"), 0);
    assert_int_equal(i3d_index_tensor(index, "stranger"), I3D_NOWHERE);
    assert_int_equal(i3d_index_consumers(index, "y", &count)[0], 1);
    assert_int_equal(count, 1);
    i3d_index_consumers(index, "z", &count);
    assert_int_equal(count, 0);
    assert_int_equal(i3d_index_value_count(index), 4);
    i3d_index_free(index);
    i3d_model_free(model);
}

static void expect_malformed(struct i3d_model *model, const char *part)
{
    struct i3d_error error;
    char line[1024];
    assert_int_equal(i3d_model_check(model, &error), I3D_MALFORMED);
    assert_int_equal(i3d_model_check(model, NULL), I3D_MALFORMED); /* without the words too */
    i3d_error_format(&error, line, sizeof line);
    if (!strstr(line, part))
        fail_msg("\"%s\" is not in \"%s\"", part, line);
    i3d_model_free(model);
}

static void checks_catch_broken_graphs(void **unused)
{
    (void)unused;
    struct i3d_model *model = small_model();
    assert_int_equal(i3d_model_check(model, NULL), I3D_OK);
    model->nodes[0].inputs[0] = "z"; /* used before it is made */
    expect_malformed(model, "reads z");

    model = small_model();
    model->nodes[1].outputs[0] = "y"; /* made twice */
    expect_malformed(model, "output y");

    model = small_model();
    model->outputs[0].name = "nowhere";
    expect_malformed(model, "nowhere");

    model = small_model();
    int64_t dims[] = { 1 };
    assert_int_equal(i3d_model_put_floats(model, "w", 1, dims, (float[]){ 0 }, NULL), I3D_OK);
    expect_malformed(model, "two tensors");

    model = small_model();
    model->tensors[0].dims[0] = 3;
    expect_malformed(model, "8 bytes");

    model = small_model();
    model->tensors[0].dims[0] = INT64_MAX;
    expect_malformed(model, "too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_one_line),
        cmocka_unit_test(arenas_hand_out_aligned_zeroed_memory),
        cmocka_unit_test(attributes_are_set_replaced_and_dropped),
        cmocka_unit_test(copies_stand_alone),
        cmocka_unit_test(the_index_finds_producers_and_readers),
        cmocka_unit_test(checks_catch_broken_graphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
