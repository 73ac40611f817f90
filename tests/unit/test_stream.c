/* Clips in windows of every length give, bit for bit, what the whole clip gives; networks that
 * look at all frames at once are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/random_graph.h"
#include "verify/stream.h"

static int streamed, left; /* graphs by what was decided */

struct reading {
    const struct i3d_array *clip;
    int64_t next, longest; /* frame that is to come; most that were asked for at a time */
};

static enum i3d_status read_frames(void *context, int64_t first, int64_t count, float *to,
                                   struct i3d_error *error)
{
    struct reading *reading = context;
    const int64_t *dims = reading->clip->dims;
    int64_t size = dims[3] * dims[4];
    (void)error;
    assert_int_equal(first, reading->next);
    reading->next += count;
    reading->longest = count > reading->longest ? count : reading->longest;
    for (int64_t p = 0; p < dims[0] * dims[1]; p++)
        memcpy(to + p * count * size,
               (const float *)reading->clip->data + (p * dims[2] + first) * size,
               (size_t)(count * size) * sizeof *to);
    return I3D_OK;
}

static enum i3d_status catch(void *context, const struct i3d_node *node, const char *value,
                             const struct i3d_array *array, struct i3d_error *error)
{
    struct i3d_array *caught = context;
    (void)node;
    (void)error;
    if (strcmp(value, "wanted") != 0 || caught->data)
        return I3D_OK;
    assert_int_equal(i3d_array_new(array->dtype, array->rank, array->dims, caught, NULL), I3D_OK);
    memcpy(caught->data, array->data,
           (size_t)i3d_element_count(array->rank, array->dims) * sizeof(float));
    return I3D_OK;
}

static struct i3d_shape shape_of(const struct i3d_array *array)
{
    struct i3d_shape shape = { .dtype = I3D_FLOAT32, .rank = array->rank };
    memcpy(shape.dims, array->dims, sizeof shape.dims);
    return shape;
}

/* BLAS, which the plain engine asks, rounds by the shape of its matrices. */
static void compare(const struct i3d_array *array, const struct i3d_array *expected, bool is_plain,
                    int64_t window, const struct i3d_model *model)
{
    assert_int_equal(array->rank, expected->rank);
    assert_memory_equal(array->dims, expected->dims,
                        (size_t)array->rank * sizeof *array->dims);
    int64_t count = i3d_element_count(array->rank, array->dims);
    if (is_plain ? !(relative_difference(array, expected) < 1e-5)
                 : memcmp(array->data, expected->data, (size_t)count * sizeof(float)) != 0)
        fail_msg("windows of %d frames give another result over %d nodes", (int)window,
                 (int)model->node_count);
}

/* Every window's length. "wanted" is the value to compute. */
static void try_windows(const struct i3d_model *model, const struct i3d_array *clip,
                        enum i3d_engine engine, bool factored, bool has_to_stream)
{
    const char *wanted[] = { "wanted" };
    struct i3d_run_options options = { .engine = engine, .threads = 2, .factored = factored };
    struct i3d_shape shape = shape_of(clip);
    struct i3d_array expected = { 0 };
    struct i3d_stream *stream;
    assert_int_equal(i3d_stream_open(model, &options, &shape, "wanted", &stream, NULL), I3D_OK);
    if (has_to_stream)
        assert_non_null(stream);
    *(stream ? &streamed : &left) += 1;
    if (!stream)
        return;
    options.wanted = wanted;
    options.wanted_count = 1;
    assert_int_equal(i3d_run(model, clip, &options, catch, &expected, NULL, NULL), I3D_OK);
    assert_int_equal(i3d_stream_frames(stream), clip->dims[2]);
    for (int64_t window = 1; window <= clip->dims[2]; window++) {
        struct reading reading = { .clip = clip };
        struct i3d_array result;
        struct i3d_error error = { 0 };
        if (i3d_stream_run(stream, window, read_frames, &reading, &result, &error))
            fail_msg("%s: %s", error.where, error.message);
        assert_int_equal(reading.next, clip->dims[2]);
        assert_int_equal(reading.longest, window);
        compare(&result, &expected, engine == I3D_ENGINE_REFERENCE, window, model);
        i3d_array_free(&result);
    }
    i3d_array_free(&expected);
    i3d_stream_close(stream);
}

/* The last node's value is the one to compute. */
static void rename_last(struct i3d_model *model)
{
    struct i3d_node *node = &model->nodes[model->node_count - 1];
    for (size_t i = 0; i < model->output_count; i++)
        if (!strcmp(model->outputs[i].name, node->outputs[0]))
            model->outputs[i].name = "wanted";
    node->outputs[0] = "wanted";
}

static void random_graphs_stream(void **state)
{
    (void)state;
    streamed = left = 0;
    for (int i = 0; i < 150; i++) {
        struct growing growing = { .axes = 3 };
        int64_t channels = random_int(1, 8);
        int64_t dims[5] = { random_int(1, 2), channels, random_int(1, 14), random_int(3, 9),
                            random_int(3, 9) };
        grow(&growing, channels);
        rename_last(growing.model);
        struct i3d_array clip = random_array(5, dims);
        try_windows(growing.model, &clip, i % 3 ? I3D_ENGINE_FAST : I3D_ENGINE_DIRECT, i % 2,
                    false);
        i3d_array_free(&clip);
        i3d_model_free(growing.model);
    }
    assert_true(streamed >= 100);
}

/* Random windows over time, one behind the other, as deep as the clip is long enough for. */
static void windows_over_time_stream(void **state)
{
    (void)state;
    static const char *const op_types[] = { "Conv", "MaxPool", "AveragePool" };
    for (int i = 0; i < 60; i++) {
        struct i3d_model *model = new_graph(2);
        int64_t frames = random_int(20, 40), left_over = frames;
        const char *value = "x";
        graph_input(model, "x");
        for (int k = 0; k < 4; k++) {
            int64_t kernel = random_int(1, 4), stride = random_int(1, 3);
            int64_t dilation = random_int(1, 2), reach = (kernel - 1) * dilation + 1;
            int64_t pads[2] = { random_int(0, reach - 1), random_int(0, reach - 1) };
            const char *op_type = op_types[random_int(0, 2)], *next = graph_name(model, "v", k);
            if (left_over + pads[0] + pads[1] < reach)
                break;
            bool is_conv = !strcmp(op_type, "Conv");
            if (!is_conv) {
                dilation = 1;
                pads[0] = pads[0] < kernel ? pads[0] : kernel - 1;
                pads[1] = pads[1] < kernel ? pads[1] : kernel - 1;
                reach = kernel;
            }
            struct i3d_node *node = is_conv
                ? graph_conv(model, value, next, 2, 2, 1, 3, INTS(kernel, 3, 3))
                : graph_node(model, op_type, value, next);
            assert_true((is_conv
                         || (i3d_set_ints(model, node, "kernel_shape", INTS(kernel, 3, 3), 3)
                             && i3d_set_int(model, node, "count_include_pad", random_int(0, 1))))
                        && i3d_set_ints(model, node, "strides", INTS(stride, 1, 1), 3)
                        && i3d_set_ints(model, node, "pads",
                                        INTS(pads[0], 1, 1, pads[1], 1, 1), 6));
            if (is_conv)
                assert_true(i3d_set_ints(model, node, "dilations", INTS(dilation, 1, 1), 3));
            left_over = (left_over + pads[0] + pads[1] - reach) / stride + 1;
            value = next;
        }
        graph_output(model, value);
        rename_last(model);
        struct i3d_array clip = random_array(5, INTS(1, 2, frames, 5, 6));
        try_windows(model, &clip, I3D_ENGINE_FAST, true, false);
        i3d_array_free(&clip);
        i3d_model_free(model);
    }
}

/* Branches whose frames come at other times meet again; behind them all frames are mixed. */
static struct i3d_model *branches(bool with_tail)
{
    struct i3d_model *model = new_graph(2);
    graph_input(model, "x");
    graph_conv(model, "x", "a", 3, 4, 1, 3, INTS(5, 3, 3));
    graph_conv(model, "x", "b", 3, 4, 1, 3, INTS(1, 1, 1));
    graph_node(model, "Add", "a b", "sum");
    graph_node(model, "Relu", "sum", "active");
    graph_conv(model, "active", "c", 4, 4, 1, 3, INTS(3, 1, 1));
    graph_node(model, "Concat", "active c b", "joined");
    assert_true(i3d_set_int(model, &model->nodes[model->node_count - 1], "axis", 1));
    if (with_tail) {
        graph_node(model, "GlobalAveragePool", "joined", "mean");
        graph_node(model, "Flatten", "mean", "flat");
    }
    graph_output(model, with_tail ? "flat" : "joined");
    rename_last(model);
    return model;
}

static void branches_meet_again(void **state)
{
    (void)state;
    for (int with_tail = 0; with_tail < 2; with_tail++) {
        struct i3d_model *model = branches(with_tail);
        struct i3d_array clip = random_array(5, INTS(2, 3, 17, 6, 7));
        try_windows(model, &clip, I3D_ENGINE_FAST, true, true);
        try_windows(model, &clip, I3D_ENGINE_REFERENCE, false, true);
        i3d_array_free(&clip);
        i3d_model_free(model);
    }
}

/* Nothing is to be gained, or nothing is known ahead: the whole clip has to be run. */
static void others_are_left_alone(void **state)
{
    (void)state;
    struct i3d_run_options options = { .engine = I3D_ENGINE_FAST, .threads = 1 };
    struct i3d_shape clip = { I3D_FLOAT32, 5, { 1, 3, 16, 6, 6 } };
    struct i3d_stream *stream;
    struct i3d_model *model = new_graph(2);
    graph_input(model, "x");
    graph_node(model, "GlobalAveragePool", "x", "mean");
    graph_conv(model, "mean", "y", 3, 2, 1, 3, INTS(1, 1, 1));
    graph_output(model, "y");
    assert_int_equal(i3d_stream_open(model, &options, &clip, "y", &stream, NULL), I3D_OK);
    assert_null(stream);
    i3d_model_free(model);

    model = branches(true);
    assert_int_equal(i3d_stream_open(model, &options, &clip, "stranger", &stream, NULL), I3D_OK);
    assert_null(stream);
    options.time_padding = I3D_TIME_EDGE;
    assert_int_equal(i3d_stream_open(model, &options, &clip, "wanted", &stream, NULL), I3D_OK);
    assert_null(stream);
    options.time_padding = I3D_TIME_AS_DEPLOYED;
    clip.rank = 4;
    assert_int_equal(i3d_stream_open(model, &options, &clip, "wanted", &stream, NULL), I3D_OK);
    assert_null(stream);
    i3d_model_free(model);
}

static enum i3d_status fail_later(void *context, int64_t first, int64_t count, float *to,
                                  struct i3d_error *error)
{
    return first < 8 ? read_frames(context, first, count, to, error)
                     : i3d_fail(error, I3D_SYSTEM, "the disk is gone");
}

static void a_failed_read_ends_the_run(void **state)
{
    (void)state;
    struct i3d_model *model = branches(true);
    struct i3d_run_options options = { .engine = I3D_ENGINE_FAST, .threads = 1 };
    struct i3d_array clip = random_array(5, INTS(1, 3, 17, 6, 6)), result;
    struct i3d_shape shape = shape_of(&clip);
    struct reading reading = { .clip = &clip };
    struct i3d_stream *stream;
    assert_int_equal(i3d_stream_open(model, &options, &shape, "wanted", &stream, NULL), I3D_OK);
    assert_int_equal(i3d_stream_run(stream, 4, fail_later, &reading, &result, NULL), I3D_SYSTEM);
    reading.next = 0;
    assert_int_equal(i3d_stream_run(stream, 4, read_frames, &reading, &result, NULL), I3D_OK);
    i3d_array_free(&result);
    i3d_stream_close(stream);
    i3d_array_free(&clip);
    i3d_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_stream),
        cmocka_unit_test(windows_over_time_stream),
        cmocka_unit_test(branches_meet_again),
        cmocka_unit_test(others_are_left_alone),
        cmocka_unit_test(a_failed_read_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
