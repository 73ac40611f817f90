/* Frames through I3D and through small graphs, against the published table and
 * against counting by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "converters/inflate.h"
#include "model/frames.h"
#include "zoo/inception_v1.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })

static struct i3d_model *i3d(bool same, bool ceil, const char *init)
{
    const struct i3d_inception_variant variant = {
        .batch_norm = true, .same_padding = same, .ceil_mode = ceil, .wide_kernel = 3,
        .last_pool = 2, .head = I3D_HEAD_CONV,
    };
    const struct i3d_architecture architecture = { .table = &variant };
    struct i3d_architecture_options options = { .classes = 10, .channels = 3, .epsilon = 1e-3 };
    struct i3d_model *flat, *inflated;
    assert_int_equal(i3d_inception_build(&architecture, &options, &flat, NULL), I3D_OK);
    struct i3d_inflate_options inflate = { .recipe = init };
    assert_int_equal(i3d_inflate(flat, &inflate, &inflated, NULL), I3D_OK);
    i3d_model_free(flat);
    return inflated;
}

static struct i3d_shape clip(int64_t frames)
{
    return (struct i3d_shape){ I3D_FLOAT32, 5, { 1, 3, frames, 224, 224 } };
}

struct row {
    const char *value;
    int64_t frames, first, last;
};

/* The last node's value in that endpoint: "Mixed_3b" ends with its Concat. */
static const struct i3d_frame_trace *endpoint(const struct i3d_model *model,
                                              const struct i3d_frames *frames, const char *name)
{
    const struct i3d_frame_trace *found = NULL;
    for (size_t i = 0; i < model->node_count; i++)
        if (!strncmp(model->nodes[i].outputs[0], name, strlen(name)))
            found = i3d_frames_of(frames, model->nodes[i].outputs[0]);
    assert_non_null(found);
    return found;
}

static void check_rows(const struct i3d_model *model, int64_t length, const struct row *rows,
                       size_t count)
{
    struct i3d_shape shape = clip(length);
    struct i3d_frames *frames;
    assert_int_equal(i3d_trace_frames(model, &shape, false, &frames, NULL), I3D_OK);
    for (size_t i = 0; i < count; i++) {
        const struct i3d_frame_trace *trace = endpoint(model, frames, rows[i].value);
        assert_true(trace->timed);
        assert_int_equal(trace->axis, 2);
        assert_int_equal(trace->frames, rows[i].frames);
        assert_int_equal(trace->clean_first, rows[i].first);
        assert_int_equal(trace->clean_last, rows[i].last);
        assert_int_equal(trace->clean_count, rows[i].first < 0 ? 0 : rows[i].last - rows[i].first + 1);
    }
    i3d_frames_free(frames);
}

static void i3d_table_at_64_frames(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "Conv_1a_7x7", 32, 1, 29 }, { "MaxPool_2a", 32, 1, 29 },
        { "Conv_2c_3x3", 32, 2, 28 }, { "MaxPool_3a", 32, 2, 28 },
        { "Mixed_3b", 32, 3, 27 }, { "Mixed_3c", 32, 4, 26 }, { "MaxPool_4a", 16, 2, 12 },
        { "Mixed_4b", 16, 3, 11 }, { "Mixed_4c", 16, 4, 10 }, { "Mixed_4d", 16, 5, 9 },
        { "Mixed_4e", 16, 6, 8 }, { "Mixed_4f", 16, 7, 7 }, { "MaxPool_5a", 8, -1, -1 },
        { "Mixed_5b", 8, -1, -1 }, { "Mixed_5c", 8, -1, -1 },
    };
    struct i3d_model *model = i3d(true, false, "i3d");
    check_rows(model, 64, rows, sizeof rows / sizeof rows[0]);
    static const struct row at_65[] = {
        { "Conv_1a_7x7", 33, 2, 30 }, { "Conv_2c_3x3", 33, 3, 29 }, { "Mixed_3b", 33, 4, 28 },
        { "Mixed_3c", 33, 5, 27 }, { "MaxPool_4a", 17, 3, 13 }, { "Mixed_4b", 17, 4, 12 },
        { "Mixed_4f", 17, 8, 8 }, { "MaxPool_5a", 9, -1, -1 },
    };
    check_rows(model, 65, at_65, sizeof at_65 / sizeof at_65[0]);
    i3d_model_free(model);
}

/* Freezes the pads that SAME stands for in clips of 64 frames. */
static void freeze(struct i3d_model *model)
{
    struct i3d_shape shape = clip(64);
    struct i3d_shapes *shapes;
    assert_int_equal(i3d_infer_shapes(model, NULL, &shape, 1, &shapes, NULL), I3D_OK);
    for (size_t i = 0; i < model->node_count; i++) {
        struct i3d_node *node = &model->nodes[i];
        struct i3d_window window;
        size_t count;
        if (!i3d_attribute(node, "auto_pad"))
            continue;
        const int64_t *kernel = i3d_ints(node, "kernel_shape", &count);
        if (i3d_is(node, "Conv"))
            kernel = i3d_shape_of(shapes, node->inputs[1])->dims + 2;
        assert_int_equal(i3d_resolve_window(node, 3, kernel,
                                            i3d_shape_of(shapes, node->inputs[0])->dims + 2,
                                            &window, NULL), I3D_OK);
        i3d_drop_attribute(node, "auto_pad");
        int64_t pads[6];
        memcpy(pads, window.pad_begin, sizeof window.pad_begin);
        memcpy(pads + 3, window.pad_end, sizeof window.pad_end);
        assert_true(i3d_set_ints(model, node, "pads", pads, 6));
    }
    i3d_shapes_free(shapes);
}

static void shortest_clips_of_i3d(void **state)
{
    (void)state;
    struct i3d_shape shape = clip(64);
    int64_t length;
    struct i3d_model *model = i3d(true, false, "i3d");
    assert_int_equal(i3d_shortest_clean_clip(model, &shape, false, 300, &length, NULL), I3D_OK);
    assert_int_equal(length, 109);
    assert_int_equal(i3d_shortest_clean_clip(model, &shape, false, 50, &length, NULL), I3D_OK);
    assert_int_equal(length, -1);
    struct i3d_frames *frames;
    shape = clip(109);
    assert_int_equal(i3d_trace_frames(model, &shape, false, &frames, NULL), I3D_OK);
    const char *logits = i3d_framewise_output(model, frames, 0);
    const struct i3d_frame_trace *trace = i3d_frames_of(frames, logits);
    assert_int_equal(trace->frames, 13);
    assert_int_equal(trace->clean_first, 6);
    assert_int_equal(trace->clean_last, 6);
    assert_int_equal(trace->field, 107); /* 7, then the windows of the recipe added up */
    assert_true(trace->step == 8);
    const struct i3d_frame_trace *mean = i3d_frames_of(frames, model->outputs[0].name);
    assert_false(mean->timed);
    assert_true(mean->never);
    i3d_frames_free(frames);
    freeze(model);
    assert_int_equal(i3d_shortest_clean_clip(model, &shape, false, 300, &length, NULL), I3D_OK);
    assert_int_equal(length, 111);
    i3d_model_free(model);
    model = i3d(false, true, "i3d");
    assert_int_equal(i3d_shortest_clean_clip(model, &shape, false, 300, &length, NULL), I3D_OK);
    assert_int_equal(length, 110);
    i3d_model_free(model);
}

/* A graph over N×1×T×1×1, one operator at a time. */
static struct i3d_model *video_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    *i3d_model_add_input(model) =
        (struct i3d_value){ .name = "x", .dtype = I3D_FLOAT32, .rank = 5,
                            .dims = { { 1, NULL }, { 1, NULL }, { -1, NULL }, { 1, NULL },
                                      { 1, NULL } } };
    model->time_axis = 2;
    assert_true(i3d_set_opset(model, "", 13));
    return model;
}

static struct i3d_node *put(struct i3d_model *model, const char *op_type,
                            const char *const *inputs, const char *output)
{
    struct i3d_node *node = i3d_model_put_node(model, op_type, output, inputs, NAMES(output));
    assert_non_null(node);
    return node;
}

static void put_kernel(struct i3d_model *model, const char *name, const float *taps,
                       int64_t count)
{
    assert_int_equal(i3d_model_put_floats(model, name, 5, (int64_t[]){ 1, 1, count, 1, 1 }, taps,
                                          NULL), I3D_OK);
}

static void expect(struct i3d_model *model, int64_t length, bool weights, const char *value,
                   const char *clean)
{
    struct i3d_shape shape = { I3D_FLOAT32, 5, { 1, 1, length, 1, 1 } };
    struct i3d_frames *frames;
    assert_int_equal(i3d_trace_frames(model, &shape, weights, &frames, NULL), I3D_OK);
    const struct i3d_frame_trace *trace = i3d_frames_of(frames, value);
    assert_non_null(trace);
    assert_int_equal(trace->frames, strlen(clean));
    for (int64_t t = 0; t < trace->frames; t++)
        if (trace->clean[t] != (clean[t] == '1'))
            fail_msg("%s at %d frames: frame %d is not as in %s", value, (int)length, (int)t, clean);
    i3d_frames_free(frames);
}

static void operators_by_hand(void **state)
{
    (void)state;
    struct i3d_model *model = video_model();
    const float three[] = { 1, 1, 1 }, centre[] = { 0, 1, 0 };
    put_kernel(model, "w", three, 3);
    put_kernel(model, "c", centre, 3);
    const int64_t pads[] = { 1, 0, 0, 1, 0, 0 }, kernel[] = { 3, 1, 1 }, two[] = { 2, 1, 1 };
    const int64_t edges[] = { 0, 0, 1, 0, 0, 0, 0, 1, 0, 0 };
    struct i3d_node *node = put(model, "Conv", NAMES("x", "w"), "conv");
    assert_true(i3d_set_ints(model, node, "pads", pads, 6));
    node = put(model, "Conv", NAMES("x", "c"), "centre");
    assert_true(i3d_set_ints(model, node, "pads", pads, 6));
    node = put(model, "MaxPool", NAMES("conv"), "max");
    assert_true(i3d_set_ints(model, node, "pads", pads, 6)
                && i3d_set_ints(model, node, "kernel_shape", kernel, 3)
                && i3d_set_ints(model, node, "strides", two, 3));
    node = put(model, "AveragePool", NAMES("x"), "mean");
    assert_true(i3d_set_ints(model, node, "pads", pads, 6)
                && i3d_set_ints(model, node, "kernel_shape", kernel, 3));
    node = put(model, "AveragePool", NAMES("x"), "counted");
    assert_true(i3d_set_ints(model, node, "pads", pads, 6)
                && i3d_set_ints(model, node, "kernel_shape", kernel, 3)
                && i3d_set_int(model, node, "count_include_pad", 1));
    assert_int_equal(i3d_model_put_ints(model, "amounts", 1, (int64_t[]){ 10 }, edges, NULL), I3D_OK);
    put(model, "Relu", NAMES("x"), "relu");
    put(model, "Pad", NAMES("relu", "amounts"), "zeros");
    put(model, "Pad", NAMES("x", "amounts"), "signed");
    node = put(model, "Pad", NAMES("x", "amounts"), "edges");
    assert_true(i3d_set_string(model, node, "mode", "edge"));
    node = put(model, "MaxPool", NAMES("zeros"), "max zeros");
    assert_true(i3d_set_ints(model, node, "kernel_shape", kernel, 3));
    node = put(model, "MaxPool", NAMES("signed"), "max signed");
    assert_true(i3d_set_ints(model, node, "kernel_shape", kernel, 3));
    put(model, "Conv", NAMES("edges", "w"), "conv edges");
    node = put(model, "ConvTranspose", NAMES("x", "w"), "up");
    assert_true(i3d_set_ints(model, node, "strides", two, 3)
                && i3d_set_ints(model, node, "pads", (int64_t[]){ 1, 0, 0, 1, 0, 0 }, 6));
    put(model, "GlobalAveragePool", NAMES("conv"), "global");
    put(model, "Mul", NAMES("x", "global"), "gated");
    put(model, "GlobalAveragePool", NAMES("x"), "global clean");
    put(model, "Add", NAMES("conv", "counted"), "sum");
    expect(model, 6, false, "conv", "011110");
    expect(model, 6, false, "centre", "011110");
    expect(model, 6, true, "centre", "111111");
    expect(model, 6, false, "max", "010");
    expect(model, 6, false, "mean", "111111");
    expect(model, 6, false, "counted", "011110");
    expect(model, 6, false, "zeros", "01111110");
    expect(model, 6, false, "max zeros", "111111");
    expect(model, 6, false, "max signed", "011110");
    expect(model, 6, false, "conv edges", "111111");
    expect(model, 3, false, "up", "11111"); /* 0: tap 1 of frame 0; 4: tap 1 of frame 2 */
    expect(model, 6, false, "global", "0");
    expect(model, 6, false, "gated", "000000");
    expect(model, 6, false, "global clean", "1");
    expect(model, 6, false, "sum", "011110");
    struct i3d_value *output = i3d_model_add_output(model);
    *output = (struct i3d_value){ .name = "gated", .dtype = I3D_FLOAT32, .rank = -1 };
    struct i3d_shape shape = { I3D_FLOAT32, 5, { 1, 1, 6, 1, 1 } };
    int64_t length;
    assert_int_equal(i3d_shortest_clean_clip(model, &shape, false, 100, &length, NULL), I3D_OK);
    assert_int_equal(length, 0); /* at no length */
    i3d_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i3d_table_at_64_frames),
        cmocka_unit_test(shortest_clips_of_i3d),
        cmocka_unit_test(operators_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
