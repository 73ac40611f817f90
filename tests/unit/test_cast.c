#include "converters/cast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put_doubles(struct i3d_model *model, const char *name, const double *values,
                        int64_t count)
{
    struct i3d_source *source = i3d_source_copy(values, (size_t)count * sizeof *values);
    assert_int_equal(i3d_model_put_tensor(model, name, I3D_FLOAT64, 1, &count, source, NULL),
                     I3D_OK);
}

/* Bits that IEEE 754 fixes: ties to even at both halves' precision, one rounding from
 * double (not by way of float32), overflow, subnormals, signs. */
static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        double value;
        uint16_t half, brain;
    } cases[] = {
        { 1, 0x3c00, 0x3f80 },
        { 1 + 0x1p-11, 0x3c00, 0x3f80 },             /* a tie for float16, down to even */
        { 1 + 3 * 0x1p-11, 0x3c02, 0x3f80 },         /* a tie, up to even */
        { 1 + 0x1p-11 + 0x1p-40, 0x3c01, 0x3f80 },   /* float32 on the way would tie */
        { 1 + 0x1p-8, 0x3c04, 0x3f80 },              /* a tie for bfloat16, down */
        { 1 + 3 * 0x1p-8, 0x3c0c, 0x3f82 },          /* a tie, up */
        { 1 + 0x1p-8 + 0x1p-45, 0x3c04, 0x3f81 },
        { 65519, 0x7bff, 0x4780 },
        { 65520, 0x7c00, 0x4780 },
        { -1e300, 0xfc00, 0xff80 },
        { 0x1p-24, 0x0001, 0x3380 },
        { 0x1p-25, 0x0000, 0x3300 },
        { -0.0, 0x8000, 0x8000 },
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    double values[COUNT];
    for (int i = 0; i < COUNT; i++)
        values[i] = cases[i].value;
    struct i3d_model *model = i3d_model_new();
    put_doubles(model, "w", values, COUNT);
    for (int brain = 0; brain < 2; brain++) {
        enum i3d_dtype dtype = brain ? I3D_BFLOAT16 : I3D_FLOAT16;
        struct i3d_model *cast;
        void *bytes;
        assert_int_equal(i3d_cast(model, dtype, &cast, NULL), I3D_OK);
        assert_int_equal(cast->tensors[0].dtype, dtype);
        assert_int_equal(i3d_tensor_load(&cast->tensors[0], &bytes, NULL), I3D_OK);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(((uint16_t *)bytes)[i], brain ? cases[i].brain : cases[i].half);
        free(bytes);
        i3d_model_free(cast);
        int64_t overflows;
        assert_int_equal(i3d_cast_overflows(&model->tensors[0], dtype, &overflows, NULL), I3D_OK);
        assert_int_equal(overflows, brain ? 1 : 2);
    }
    i3d_model_free(model);
}

/* More elements than one piece holds, and infinities that were there before. */
static void test_counts_across_pieces(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    double *values = calloc(COUNT, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < COUNT; i += 1000)
        values[i] = i % 3000 ? 1e5 : INFINITY;
    struct i3d_model *model = i3d_model_new();
    put_doubles(model, "w", values, COUNT);
    int64_t overflows;
    assert_int_equal(i3d_cast_overflows(&model->tensors[0], I3D_FLOAT16, &overflows, NULL), I3D_OK);
    assert_int_equal(overflows, 200);
    assert_int_equal(i3d_cast_overflows(&model->tensors[0], I3D_FLOAT32, &overflows, NULL), I3D_OK);
    assert_int_equal(overflows, 0);
    struct i3d_model *cast;
    float *loaded;
    assert_int_equal(i3d_cast(model, I3D_FLOAT32, &cast, NULL), I3D_OK);
    assert_int_equal(i3d_tensor_load_float(&cast->tensors[0], &loaded, NULL), I3D_OK);
    for (int i = 0; i < COUNT; i++)
        assert_true(loaded[i] == (float)values[i]);
    free(loaded);
    free(values);
    i3d_model_free(cast);
    i3d_model_free(model);
}

/* What belongs to the graph follows; integers and Resize's scales stay. */
static void test_graph(void **state)
{
    (void)state;
    const int64_t four = 4, shape[] = { 1, 1, 2, 2 };
    const float scales[] = { 1, 1, 2, 2 };
    struct i3d_model *model = i3d_model_new();
    assert_int_equal(i3d_model_put_floats(model, "scales", 1, &four, scales, NULL), I3D_OK);
    assert_int_equal(i3d_model_put_floats(model, "bias", 1, &four, scales, NULL), I3D_OK);
    assert_int_equal(i3d_model_put_ints(model, "shape", 1, &four, shape, NULL), I3D_OK);
    *i3d_model_add_input(model) =
        (struct i3d_value){ .name = "x", .dtype = I3D_FLOAT32, .rank = -1 };
    *i3d_model_add_input(model) = (struct i3d_value){ .name = "n", .dtype = I3D_INT64, .rank = -1 };
    *i3d_model_add_output(model) =
        (struct i3d_value){ .name = "z", .dtype = I3D_FLOAT32, .rank = -1 };
    i3d_model_put_node(model, "Resize", "r", (const char *[]){ "x", "", "scales", NULL },
                       (const char *[]){ "y", NULL });
    struct i3d_node *node = i3d_model_put_node(model, "Cast", "c", (const char *[]){ "y", NULL },
                                               (const char *[]){ "z", NULL });
    assert_true(i3d_set_int(model, node, "to", I3D_FLOAT32));
    struct i3d_model *cast;
    assert_int_equal(i3d_cast(model, I3D_FLOAT16, &cast, NULL), I3D_OK);
    assert_int_equal(i3d_find_tensor(cast, "scales")->dtype, I3D_FLOAT32);
    assert_int_equal(i3d_find_tensor(cast, "bias")->dtype, I3D_FLOAT16);
    assert_int_equal(i3d_find_tensor(cast, "shape")->dtype, I3D_INT64);
    assert_int_equal(cast->inputs[0].dtype, I3D_FLOAT16);
    assert_int_equal(cast->inputs[1].dtype, I3D_INT64);
    assert_int_equal(cast->outputs[0].dtype, I3D_FLOAT16);
    assert_int_equal(i3d_int(&cast->nodes[1], "to", 0), I3D_FLOAT16);
    /* The model it was made from is as it was. */
    assert_int_equal(i3d_find_tensor(model, "bias")->dtype, I3D_FLOAT32);
    assert_int_equal(i3d_int(&model->nodes[1], "to", 0), I3D_FLOAT32);
    i3d_model_free(cast);
    i3d_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_counts_across_pieces),
        cmocka_unit_test(test_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
