/* The boring video and the comparison of what two networks make of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verify/boring.h"
#include "verify/difference.h"

#define DIMS(...) ((int64_t[]){ __VA_ARGS__ })

enum { CHANNELS = 3, FRAMES = 4, HEIGHT = 5, WIDTH = 6, PLANE = HEIGHT * WIDTH,
       IMAGE = CHANNELS * PLANE };

static struct i3d_array array(int rank, const int64_t *dims)
{
    struct i3d_array array;
    assert_int_equal(i3d_array_new(I3D_FLOAT32, rank, dims, &array, NULL), I3D_OK);
    return array;
}

static float *values(struct i3d_array *array)
{
    return array->data;
}

static struct i3d_difference compare(const struct i3d_array *flat,
                                     const struct i3d_array *inflated)
{
    struct i3d_difference difference;
    assert_int_equal(i3d_compare_frames(flat, inflated, 2, &difference, NULL), I3D_OK);
    return difference;
}

/* Compares where all is the same, then with one element of one frame off. Element
 * (o, t, i) of the 3D array is at (o·frames + t)·inner + i. */
static void check_layout(int flat_rank, const int64_t *flat_dims, int rank, const int64_t *dims,
                         int64_t outer, int64_t frames)
{
    struct i3d_array flat = array(flat_rank, flat_dims), inflated = array(rank, dims);
    int64_t count = i3d_element_count(flat_rank, flat_dims), inner = count / outer;
    for (int64_t k = 0; k < count; k++) {
        values(&flat)[k] = (float)(k % 97) / 8 - 6;
        for (int64_t t = 0; t < frames; t++)
            values(&inflated)[(k / inner * frames + t) * inner + k % inner] = values(&flat)[k];
    }
    values(&flat)[count - 1] = values(&inflated)[count * frames - 1] = -16;
    for (int64_t t = 0; t + 1 < frames; t++)
        values(&inflated)[((outer - 1) * frames + t + 1) * inner - 1] = -16;
    struct i3d_difference difference = compare(&flat, &inflated);
    assert_true(difference.comparable);
    assert_true(difference.max_absolute == 0);
    assert_true(difference.largest == 16);
    for (int64_t t = 0; t < frames; t++) {
        float *element = &values(&inflated)[((outer - 1) * frames + t) * inner];
        *element += 0.25f;
        i3d_difference_free(&difference);
        difference = compare(&flat, &inflated);
        assert_true(difference.max_absolute == 0.25);
        assert_int_equal(difference.worst_frame, t);
        *element -= 0.25f;
    }
    i3d_difference_free(&difference);
    i3d_array_free(&flat);
    i3d_array_free(&inflated);
}

static void every_frame_is_compared_in_every_layout(void **unused)
{
    (void)unused;
    check_layout(4, DIMS(1, CHANNELS, HEIGHT, WIDTH), 5, DIMS(1, CHANNELS, FRAMES, HEIGHT, WIDTH),
                 CHANNELS, FRAMES);
    check_layout(4, DIMS(1, CHANNELS, HEIGHT, WIDTH), 4, DIMS(1, CHANNELS, FRAMES * HEIGHT, WIDTH),
                 CHANNELS, FRAMES);
    /* all axes alike: time is axis 2 */
    check_layout(4, DIMS(1, 4, 4, 4), 5, DIMS(1, 4, 4, 4, 4), 4, 4);
    check_layout(2, DIMS(1, 10), 3, DIMS(1, 10, FRAMES), 10, FRAMES);
    check_layout(2, DIMS(1, 10), 3, DIMS(1, FRAMES, 10), 1, FRAMES);
    check_layout(2, DIMS(1, 10), 5, DIMS(1, 10, FRAMES, 1, 1), 10, FRAMES);
    check_layout(2, DIMS(1, 10), 2, DIMS(1, 10), 1, 1);
    check_layout(2, DIMS(1, 10), 5, DIMS(1, 10, 1, 1, 1), 10, 1);
}

static void other_shapes_do_not_go_together(void **unused)
{
    (void)unused;
    static const struct {
        int flat_rank;
        int64_t flat[5];
        int rank;
        int64_t dims[5];
    } cases[] = {
        { 4, { 1, 3, 5, 6 }, 5, { 1, 3, 4, 5, 7 } },
        { 4, { 1, 3, 5, 6 }, 5, { 1, 4, 4, 5, 6 } },
        { 4, { 1, 3, 5, 6 }, 4, { 1, 3, 11, 6 } },
        { 4, { 1, 3, 4, 6 }, 4, { 1, 6, 8, 3 } }, /* as many elements as two frames */
        { 4, { 1, 3, 5, 6 }, 3, { 3, 5, 6 * 2 } },
        { 2, { 1, 10 }, 5, { 1, 10, 4, 2, 1 } },
        { 4, { 1, 3, 0, 6 }, 5, { 1, 3, 4, 0, 6 } },
        { 4, { 1, 3, 5, 6 }, 5, { 1, 3, 0, 5, 6 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct i3d_array flat = array(cases[i].flat_rank, cases[i].flat);
        struct i3d_array inflated = array(cases[i].rank, cases[i].dims);
        struct i3d_difference difference = compare(&flat, &inflated);
        if (difference.comparable || !isnan(difference.max_absolute))
            fail_msg("case %zu is comparable", i);
        i3d_array_free(&flat);
        i3d_array_free(&inflated);
    }
}

static void what_is_no_number_is_never_equal(void **unused)
{
    (void)unused;
    struct i3d_array flat = array(4, DIMS(1, CHANNELS, HEIGHT, WIDTH));
    struct i3d_array inflated = array(5, DIMS(1, CHANNELS, FRAMES, HEIGHT, WIDTH));
    values(&flat)[7] = 2;
    for (int t = 0; t < FRAMES; t++)
        values(&inflated)[t * PLANE + 7] = 2;
    values(&inflated)[2 * PLANE + 3] = NAN;
    values(&inflated)[3 * PLANE + 3] = 1;
    struct i3d_difference difference = compare(&flat, &inflated);
    assert_true(difference.comparable && isnan(difference.max_absolute));
    assert_int_equal(difference.worst_frame, 2);
    for (int t = 0; t < FRAMES; t++)
        values(&inflated)[t * PLANE + 3] = NAN;
    values(&flat)[3] = NAN;
    i3d_difference_free(&difference);
    difference = compare(&flat, &inflated);
    assert_true(isnan(difference.max_absolute));
    i3d_difference_free(&difference);
    /* equal infinities are equal, and no measure for errors elsewhere */
    for (int t = 0; t < FRAMES; t++)
        values(&inflated)[t * PLANE + 3] = INFINITY;
    values(&flat)[3] = INFINITY;
    values(&inflated)[1 * PLANE + 7] = 1;
    difference = compare(&flat, &inflated);
    assert_true(difference.max_absolute == 1 && difference.largest == 2);
    assert_int_equal(difference.worst_frame, 1);
    i3d_difference_free(&difference);
    i3d_array_free(&flat);
    i3d_array_free(&inflated);
}

static void every_frame_is_the_image(void **unused)
{
    (void)unused;
    struct i3d_boring boring = { .flat_channels = CHANNELS, .channels = CHANNELS,
                                 .frames = FRAMES, .height = 64, .width = 50, .seed = 3 };
    int64_t plane = boring.height * boring.width;
    struct i3d_array image, video, other, other_video;
    assert_int_equal(i3d_boring_input(&boring, &image, &video, NULL), I3D_OK);
    struct i3d_difference difference = compare(&image, &video);
    assert_true(difference.comparable && difference.max_absolute == 0);
    double sum = 0, squares = 0, count = (double)(CHANNELS * plane);
    for (int64_t i = 0; i < CHANNELS * plane; i++) {
        sum += (double)values(&image)[i];
        squares += (double)values(&image)[i] * (double)values(&image)[i];
    }
    assert_true(fabs(sum / count) < 4 / sqrt(count)); /* 4 standard deviations */
    assert_true(fabs(squares / count - 1) < 4 * sqrt(2 / count));
    assert_memory_not_equal(image.data, values(&image) + plane, (size_t)plane * sizeof(float));
    boring.seed = 4;
    assert_int_equal(i3d_boring_input(&boring, &other, &other_video, NULL), I3D_OK);
    assert_memory_not_equal(image.data, other.data, (size_t)plane * sizeof(float));
    i3d_array_free(&image);
    i3d_array_free(&video);
    i3d_array_free(&other);
    i3d_array_free(&other_video);
}

static void other_channel_counts_see_grey(void **unused)
{
    (void)unused;
    const struct i3d_boring boring = { .flat_channels = CHANNELS, .channels = 2, .frames = FRAMES,
                                       .height = HEIGHT, .width = WIDTH, .seed = 3 };
    struct i3d_array image, video;
    assert_int_equal(i3d_boring_input(&boring, &image, &video, NULL), I3D_OK);
    for (int64_t c = 0; c < CHANNELS; c++)
        assert_memory_equal(values(&image) + c * PLANE, image.data, PLANE * sizeof(float));
    for (int64_t k = 0; k < 2 * FRAMES; k++)
        assert_memory_equal(values(&video) + k * PLANE, image.data, PLANE * sizeof(float));
    i3d_array_free(&image);
    i3d_array_free(&video);
}

static void sizes_beyond_memory_are_an_error(void **unused)
{
    (void)unused;
    const struct i3d_boring boring = { .flat_channels = 3, .channels = 3, .frames = 4,
                                       .height = INT64_C(1) << 40, .width = INT64_C(1) << 40 };
    struct i3d_array image, video;
    struct i3d_error error = { 0 };
    assert_int_not_equal(i3d_boring_input(&boring, &image, &video, &error), I3D_OK);
    assert_true(error.message[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_is_compared_in_every_layout),
        cmocka_unit_test(other_shapes_do_not_go_together),
        cmocka_unit_test(what_is_no_number_is_never_equal),
        cmocka_unit_test(every_frame_is_the_image),
        cmocka_unit_test(other_channel_counts_see_grey),
        cmocka_unit_test(sizes_beyond_memory_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
