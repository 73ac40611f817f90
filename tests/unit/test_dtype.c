/* Element types: every float16 and bfloat16, and the ties between them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/dtype.h"

static void every_half_survives(void **unused)
{
    (void)unused;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = i3d_float_from_half((uint16_t)bits);
        if (isnan(value))
            assert_true(isnan(i3d_float_from_half(i3d_half_from_float(value))));
        else
            assert_int_equal(i3d_half_from_float(value), bits);
    }
}

/* Between two neighbours the nearer one wins, in the middle the even one. */
static void check_ties(uint16_t (*narrow)(float), float (*widen)(uint16_t), uint32_t largest)
{
    for (uint32_t bits = 0; bits < largest; bits++) {
        float low = widen((uint16_t)bits), high = widen((uint16_t)(bits + 1));
        float middle = (float)(((double)low + (double)high) / 2);
        assert_int_equal(narrow(middle), bits + (bits & 1));
        assert_int_equal(narrow(nextafterf(middle, 0)), bits);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), bits + 1);
        assert_int_equal(narrow(-middle), (bits + (bits & 1)) | 0x8000);
    }
}

static void narrowing_rounds_to_nearest_even(void **unused)
{
    (void)unused;
    check_ties(i3d_half_from_float, i3d_float_from_half, 0x7bff);
    check_ties(i3d_bfloat16_from_float, i3d_float_from_bfloat16, 0x7f7f);
    assert_int_equal(i3d_half_from_float(65519.996f), 0x7bff);
    assert_int_equal(i3d_half_from_float(65520), 0x7c00);
    assert_int_equal(i3d_half_from_float(-INFINITY), 0xfc00);
}

/* 1 + 2^-11 + 2^-40 lies above the middle of two halves; by way of float32 it
 * would land on the middle first and then go down to the even one. */
static void doubles_round_once(void **unused)
{
    (void)unused;
    double value = 1 + 0x1p-11 + 0x1p-40;
    uint16_t bits;
    i3d_from_double(I3D_FLOAT16, &value, &bits, 1);
    assert_int_equal(bits, 0x3c01);
    value = 1 + 0x1p-8 + 0x1p-40;
    i3d_from_double(I3D_BFLOAT16, &value, &bits, 1);
    assert_int_equal(bits, 0x3f81);
}

static void integers_clamp(void **unused)
{
    (void)unused;
    double values[] = { -1e30, 1e30, NAN, -1.9, 255.9 };
    int64_t wide[5];
    uint8_t narrow[5];
    i3d_from_double(I3D_INT64, values, wide, 5);
    i3d_from_double(I3D_UINT8, values, narrow, 5);
    assert_true(wide[0] == INT64_MIN && wide[1] == INT64_MAX && wide[2] == 0 && wide[3] == -1);
    assert_true(narrow[0] == 0 && narrow[1] == 255 && narrow[2] == 0 && narrow[4] == 255);
}

static void names_go_both_ways(void **unused)
{
    (void)unused;
    for (int dtype = 1; dtype <= 16; dtype++)
        if (i3d_dtype_size((enum i3d_dtype)dtype))
            assert_int_equal(i3d_dtype_from_name(i3d_dtype_name((enum i3d_dtype)dtype)), dtype);
    assert_int_equal(i3d_dtype_from_name("float8"), I3D_UNDEFINED);
    assert_int_equal(i3d_dtype_size((enum i3d_dtype)14), 0); /* complex64 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(doubles_round_once),
        cmocka_unit_test(integers_clamp),
        cmocka_unit_test(names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
