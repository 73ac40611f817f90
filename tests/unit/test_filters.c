#include "zoo/filters.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <png.h>
#include <stdlib.h>
#include <string.h>

/* A graph of one convolution, 2 filters over I channels, T×1×1 taps. */
static struct i3d_model *one_conv(int64_t channels, int64_t steps, const float *weights)
{
    struct i3d_model *model = i3d_model_new();
    int64_t dims[] = { 2, channels, steps, 1, 1 };
    assert_non_null(model);
    assert_int_equal(i3d_model_put_floats(model, "w", 5, dims, weights, NULL), I3D_OK);
    assert_non_null(i3d_model_put_node(model, "Conv", "conv",
                                       (const char *[]){ "x", "w", NULL },
                                       (const char *[]){ "y", NULL }));
    return model;
}

static unsigned char *decode(const unsigned char *png, size_t length, png_image *image)
{
    *image = (png_image){ .version = PNG_IMAGE_VERSION };
    assert_true(png_image_begin_read_from_memory(image, png, length));
    image->format = PNG_FORMAT_RGB;
    unsigned char *pixels = malloc(PNG_IMAGE_SIZE(*image));
    assert_non_null(pixels);
    assert_true(png_image_finish_read(image, NULL, pixels, 0, NULL));
    return pixels;
}

static void assert_pixel(const unsigned char *pixels, const png_image *image, unsigned x,
                         unsigned y, int red, int green, int blue)
{
    const unsigned char *pixel = pixels + 3 * (y * image->width + x);
    assert_int_equal(pixel[0], red);
    assert_int_equal(pixel[1], green);
    assert_int_equal(pixel[2], blue);
}

/* A tap is a tile of 24 pixels, tiles are 2 apart. */
static void rows_are_time_steps(void **state)
{
    (void)state;
    /* filter, channel, step; the largest weight is 2 */
    static const float weights[] = { 2, 0, 0, 0, 0, -2, 0, 0, 0, 0, -2, 2 };
    struct i3d_model *model = one_conv(3, 2, weights);
    unsigned char *png;
    size_t length;
    assert_int_equal(i3d_draw_filters(model, &png, &length, NULL), I3D_OK);
    png_image image;
    unsigned char *pixels = decode(png, length, &image);
    assert_int_equal(image.width, 2 + 2 * 26);
    assert_int_equal(image.height, 2 * 26 + 2);
    assert_pixel(pixels, &image, 0, 0, 255, 255, 255);
    assert_pixel(pixels, &image, 2, 2, 255, 128, 128);
    assert_pixel(pixels, &image, 25, 25, 255, 128, 128);
    assert_pixel(pixels, &image, 2, 28, 128, 128, 0);
    assert_pixel(pixels, &image, 28, 2, 128, 128, 0);
    assert_pixel(pixels, &image, 28, 28, 128, 128, 255);
    free(pixels);
    free(png);
    i3d_model_free(model);
}

static void other_channel_counts(void **state)
{
    (void)state;
    static const float weights[] = { 1, -1, 0, 1, 1, -1, -1, -1 };
    png_image image;
    unsigned char *png, *pixels;
    size_t length;
    struct i3d_model *flow = one_conv(2, 1, weights);
    assert_int_equal(i3d_draw_filters(flow, &png, &length, NULL), I3D_OK);
    pixels = decode(png, length, &image);
    assert_pixel(pixels, &image, 2, 2, 255, 128, 0);
    assert_pixel(pixels, &image, 28, 2, 128, 128, 255);
    free(pixels);
    free(png);
    i3d_model_free(flow);
    struct i3d_model *stack = one_conv(4, 1, weights); /* means 0.25 and -0.5 */
    assert_int_equal(i3d_draw_filters(stack, &png, &length, NULL), I3D_OK);
    pixels = decode(png, length, &image);
    assert_pixel(pixels, &image, 2, 2, 159, 159, 159);
    assert_pixel(pixels, &image, 28, 2, 64, 64, 64);
    free(pixels);
    free(png);
    i3d_model_free(stack);
}

static void networks_without_filters(void **state)
{
    (void)state;
    struct i3d_error error;
    unsigned char *png;
    size_t length;
    struct i3d_model *model = i3d_model_new();
    assert_int_equal(i3d_draw_filters(model, &png, &length, &error), I3D_UNSUPPORTED);
    assert_non_null(i3d_model_put_node(model, "Conv", "conv",
                                       (const char *[]){ "x", "computed", NULL },
                                       (const char *[]){ "y", NULL }));
    assert_int_equal(i3d_draw_filters(model, &png, &length, &error), I3D_UNSUPPORTED);
    i3d_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_time_steps),
        cmocka_unit_test(other_channel_counts),
        cmocka_unit_test(networks_without_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
