/* Shape inference: windows, every operator's rule, and the integers that shape
 * chains carry. Expected numbers follow from the ONNX operator specification. */
#include "model/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One node or a few, with float input x (and y) and initializers. */
struct graph {
    struct i3d_model *model;
    struct i3d_shapes *shapes;
    struct i3d_error error;
};

static const struct i3d_shape anything = { .rank = -1 };

static struct graph new_graph(int64_t opset)
{
    struct graph graph = { .model = i3d_model_new() };
    assert_non_null(graph.model);
    assert_true(i3d_set_opset(graph.model, "", opset));
    return graph;
}

static void end(struct graph *graph)
{
    i3d_shapes_free(graph->shapes);
    i3d_model_free(graph->model);
}

/* Shapes are written "2x3x?x5", "" for a scalar and "*" for an unknown rank. */
static struct i3d_shape parse_shape(const char *text)
{
    struct i3d_shape shape = { .dtype = I3D_FLOAT32 };
    if (*text == '*') {
        shape.rank = -1;
        return shape;
    }
    while (*text) {
        char *rest;
        shape.dims[shape.rank++] = *text == '?' ? -1 : strtoll(text, &rest, 10);
        text = *text == '?' ? text + 1 : rest;
        text += *text == 'x';
    }
    return shape;
}

static void add_input(struct graph *graph, const char *name, const char *text)
{
    struct i3d_shape shape = parse_shape(text);
    struct i3d_value *input = i3d_model_add_input(graph->model);
    assert_non_null(input);
    input->name = i3d_arena_string(graph->model->arena, name);
    input->dtype = I3D_FLOAT32;
    input->rank = shape.rank;
    for (int k = 0; k < shape.rank; k++)
        input->dims[k].value = shape.dims[k];
}

/* A float tensor without values: a weight of an architecture. */
static void add_weight(struct graph *graph, const char *name, const char *text)
{
    struct i3d_shape shape = parse_shape(text);
    struct i3d_tensor *tensor = i3d_model_add_tensor(graph->model);
    assert_non_null(tensor);
    tensor->name = i3d_arena_string(graph->model->arena, name);
    tensor->dtype = I3D_FLOAT32;
    tensor->rank = shape.rank;
    memcpy(tensor->dims, shape.dims, sizeof tensor->dims);
}

#define COUNT(...) (sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))
#define INTS(graph, name, ...) \
    add_ints(graph, name, (int64_t[]){ __VA_ARGS__ }, COUNT(__VA_ARGS__))
#define SET(graph, node, name, ...) \
    assert_true(i3d_set_ints((graph)->model, node, name, (int64_t[]){ __VA_ARGS__ }, \
                             COUNT(__VA_ARGS__)))

static void add_ints(struct graph *graph, const char *name, const int64_t *values, size_t count)
{
    assert_int_equal(i3d_model_put_ints(graph->model, name, 1, &(int64_t){ (int64_t)count },
                                        values, NULL),
                     I3D_OK);
}

/* Inputs and outputs are words with blanks between; "-" is one left out. */
static struct i3d_node *add_node(struct graph *graph, const char *op_type, const char *inputs,
                                 const char *outputs)
{
    char texts[2][200];
    const char *names[2][16] = { { NULL } };
    for (int side = 0; side < 2; side++) {
        snprintf(texts[side], sizeof texts[side], "%s", side ? outputs : inputs);
        size_t count = 0;
        for (char *word = strtok(texts[side], " "); word; word = strtok(NULL, " "))
            names[side][count++] = strcmp(word, "-") ? word : "";
        names[side][count] = NULL;
    }
    struct i3d_node *node = i3d_model_put_node(graph->model, op_type, "n", names[0], names[1]);
    assert_non_null(node);
    return node;
}

static enum i3d_status infer(struct graph *graph)
{
    i3d_shapes_free(graph->shapes);
    return i3d_infer_shapes(graph->model, NULL, NULL, 0, &graph->shapes, &graph->error);
}

static void expect(const struct graph *graph, const char *value, const char *text)
{
    struct i3d_shape wanted = parse_shape(text);
    const struct i3d_shape *shape = i3d_shape_of(graph->shapes, value);
    char found[200] = "*";
    if (shape->rank >= 0)
        i3d_shape_string(shape->rank, shape->dims, found, sizeof found);
    assert_string_equal(found, wanted.rank == 0 ? "scalar" : text);
}

/* Infers and ends a graph whose last value is y. */
static void expect_only(struct graph *graph, const char *text)
{
    enum i3d_status status = infer(graph);
    if (status)
        print_error("%s: %s\n", graph->error.where, graph->error.message);
    assert_int_equal(status, I3D_OK);
    expect(graph, "y", text);
    end(graph);
}

static void expect_malformed(struct graph *graph)
{
    assert_int_equal(infer(graph), I3D_MALFORMED);
    assert_null(graph->shapes);
    assert_string_not_equal(graph->error.message, "");
    assert_non_null(strstr(graph->error.where, "node n ("));
    end(graph);
}

static void expect_dtype(struct graph *graph, enum i3d_dtype dtype)
{
    assert_int_equal(infer(graph), I3D_OK);
    assert_int_equal(i3d_shape_of(graph->shapes, "y")->dtype, dtype);
    end(graph);
}

/* A graph of one node from x, and the node. */
static struct i3d_node *single(struct graph *graph, int64_t opset, const char *op_type,
                               const char *x, const char *inputs)
{
    *graph = new_graph(opset);
    add_input(graph, "x", x);
    return add_node(graph, op_type, inputs, "y");
}

struct window_case {
    int64_t in, kernel, stride, dilation, begin, end;
    const char *auto_pad;
    bool ceil;
    int64_t out, pad_begin, pad_end, excess; /* out 0: an error */
};

static const struct window_case window_cases[] = {
    { 224, 7, 2, 1, 3, 3, NULL, false, 112, 3, 3, 0 },
    { 224, 7, 2, 1, 0, 0, "SAME_UPPER", false, 112, 2, 3, 0 },
    { 224, 7, 2, 1, 0, 0, "SAME_LOWER", false, 112, 3, 2, 0 },
    { 224, 7, 2, 1, 9, 9, "VALID", false, 109, 0, 0, 0 },
    { 7, 3, 1, 2, 0, 0, NULL, false, 3, 0, 0, 0 },
    { 9, 3, 2, 2, 0, 0, "SAME_UPPER", false, 5, 2, 2, 0 },
    { 5, 1, 2, 1, 0, 0, "SAME_UPPER", false, 3, 0, 0, 0 },
    { 112, 3, 2, 1, 0, 0, NULL, true, 56, 0, 0, 1 },
    { 112, 3, 2, 1, 0, 0, NULL, false, 55, 0, 0, 0 },
    { 113, 3, 2, 1, 0, 0, NULL, true, 56, 0, 0, 0 },
    { 8, 3, 2, 1, 0, 0, "VALID", true, 4, 0, 0, 1 },
    { 8, 3, 4, 1, 0, 0, "SAME_UPPER", true, 2, 0, 0, 0 },
    /* Rounding up would start a third window at 6, in the end padding. */
    { 4, 2, 3, 1, 1, 1, NULL, true, 2, 1, 1, 0 },
    { 1, 2, 2, 1, 0, 0, NULL, true, 1, 0, 0, 1 },
    { 1, 3, 2, 1, 0, 0, NULL, true, 0, 0, 0, 0 },
    { 2, 3, 1, 1, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 2, 3, 1, 1, 0, 1, NULL, false, 1, 0, 1, 0 },
    { 0, 1, 1, 1, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, 0, 1, 1, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, 3, 0, 1, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, 3, -1, 1, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, 3, 1, 0, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, 3, 1, 1, -1, 0, NULL, false, 0, 0, 0, 0 },
    { 8, 3, 1, INT64_MAX, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, INT64_MAX, 1, 1, 0, 0, NULL, false, 0, 0, 0, 0 },
    { 8, INT32_MAX, 1, INT32_MAX, INT32_MAX, INT32_MAX, NULL, false, 0, 0, 0, 0 },
    { 8, 3, 1, 1, 0, 0, "SAME", false, 0, 0, 0, 0 },
};

static void test_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof window_cases / sizeof window_cases[0]; i++) {
        const struct window_case *c = &window_cases[i];
        for (int axes = 1; axes <= 3; axes++) {
            struct graph graph = new_graph(13);
            struct i3d_node *node = add_node(&graph, "MaxPool", "x", "y");
            int64_t in[3], kernel[3], stride[3], dilation[3], pads[6];
            for (int k = 0; k < axes; k++) {
                in[k] = c->in;
                kernel[k] = c->kernel;
                stride[k] = c->stride;
                dilation[k] = c->dilation;
                pads[k] = c->begin;
                pads[axes + k] = c->end;
            }
            i3d_set_ints(graph.model, node, "strides", stride, (size_t)axes);
            i3d_set_ints(graph.model, node, "dilations", dilation, (size_t)axes);
            i3d_set_ints(graph.model, node, "pads", pads, 2 * (size_t)axes);
            i3d_set_int(graph.model, node, "ceil_mode", c->ceil);
            if (c->auto_pad)
                i3d_set_string(graph.model, node, "auto_pad", c->auto_pad);
            struct i3d_window window;
            enum i3d_status status =
                i3d_resolve_window(node, axes, kernel, in, &window, &graph.error);
            assert_int_equal(status, c->out ? I3D_OK : I3D_MALFORMED);
            if (status)
                assert_string_equal(graph.error.where, "node n (MaxPool)");
            for (int k = 0; k < axes && !status; k++) {
                assert_int_equal(window.axes, axes);
                assert_int_equal(window.out[k], c->out);
                assert_int_equal(window.pad_begin[k], c->pad_begin);
                assert_int_equal(window.pad_end[k], c->pad_end);
                assert_int_equal(window.excess[k], c->excess);
            }
            end(&graph);
        }
    }
}

static void test_window_attribute_counts(void **state)
{
    (void)state;
    const char *names[] = { "strides", "dilations", "pads", "kernel_shape" };
    for (size_t i = 0; i < 4; i++) {
        struct graph graph = new_graph(13);
        struct i3d_node *node = add_node(&graph, "Conv", "x", "y");
        SET(&graph, node, names[i], 1, 1, 1);
        struct i3d_window window;
        assert_int_equal(i3d_resolve_window(node, 2, (int64_t[]){ 1, 1 }, (int64_t[]){ 8, 8 },
                                            &window, &graph.error),
                         I3D_MALFORMED);
        i3d_drop_attribute(node, names[i]);
        i3d_set_int(graph.model, node, names[i], 1);
        assert_int_equal(i3d_resolve_window(node, 2, (int64_t[]){ 1, 1 }, (int64_t[]){ 8, 8 },
                                            &window, &graph.error),
                         I3D_MALFORMED);
        end(&graph);
    }
}

static void test_conv(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 13, "Conv", "1x3x224x224", "x w b");
    add_weight(&graph, "w", "64x3x7x7");
    add_weight(&graph, "b", "64");
    SET(&graph, node, "strides", 2, 2);
    SET(&graph, node, "pads", 3, 3, 3, 3);
    i3d_set_int(graph.model, node, "ceil_mode", 1); /* no attribute of Conv */
    expect_only(&graph, "1x64x112x112");

    node = single(&graph, 13, "Conv", "?x3x16x?x224", "x w");
    add_weight(&graph, "w", "64x3x7x7x7");
    i3d_set_string(graph.model, node, "auto_pad", "SAME_UPPER");
    expect_only(&graph, "?x64x16x?x224");

    single(&graph, 13, "Conv", "1x4x9", "x w");
    i3d_set_int(graph.model, &graph.model->nodes[0], "group", 4);
    add_weight(&graph, "w", "8x1x3");
    expect_only(&graph, "1x8x7");

    single(&graph, 13, "Conv", "*", "x w");
    add_weight(&graph, "w", "8x1x3x3");
    expect_only(&graph, "?x8x?x?");

    single(&graph, 13, "Conv", "1x?x9x9", "x nothing_known");
    expect_only(&graph, "1x?x?x?");

    const struct {
        const char *x, *w, *b;
        int64_t group;
    } bad[] = {
        { "1x4x9x9", "8x3x3x3", "8", 1 },  { "1x4x9x9", "8x4x3x3", "7", 1 },
        { "1x4x9x9", "8x4x3", "8", 1 },    { "1x4x9x9", "8x4x10x3", "8", 1 },
        { "1x4x9x9", "8x4x3x3", "8", 0 },  { "1x4x9x9", "8x4x3x3", "8", -1 },
        { "1x6x9x9", "8x2x3x3", "8", 3 },  { "1x4x9x9", "8x4x0x3", "8", 1 },
        { "1x4", "8x4", "8", 1 },          { "1x4x9x9", "8x4x3x3", "8x1", 1 },
        { "1x4x9x?", "8x4x3x3", "7", 1 },  { "1x4x9x9", "8x4611686018427387904x3x3", "8", 4 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        node = single(&graph, 13, "Conv", bad[i].x, "x w b");
        i3d_set_int(graph.model, node, "group", bad[i].group);
        add_weight(&graph, "w", bad[i].w);
        add_weight(&graph, "b", bad[i].b);
        expect_malformed(&graph);
    }
    single(&graph, 13, "Conv", "1x4x9x9", "x");
    expect_malformed(&graph);
}

static void test_conv_transpose(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 13, "ConvTranspose", "1x4x5x?", "x w");
    add_weight(&graph, "w", "4x6x3x3");
    i3d_set_int(graph.model, node, "group", 2);
    SET(&graph, node, "strides", 2, 2);
    SET(&graph, node, "pads", 1, 1, 1, 1);
    SET(&graph, node, "output_padding", 1, 1);
    expect_only(&graph, "1x12x10x?");

    node = single(&graph, 13, "ConvTranspose", "1x4x5x6", "x w");
    add_weight(&graph, "w", "4x6x3x3");
    SET(&graph, node, "strides", 2, 3);
    i3d_set_string(graph.model, node, "auto_pad", "SAME_UPPER");
    expect_only(&graph, "1x6x10x18");

    node = single(&graph, 13, "ConvTranspose", "1x4x5x6", "x w");
    add_weight(&graph, "w", "4x6x3x3");
    SET(&graph, node, "strides", 2, 2);
    SET(&graph, node, "output_shape", 9, 14);
    expect_only(&graph, "1x6x9x14");

    node = single(&graph, 13, "ConvTranspose", "1x4x1x1", "x w");
    add_weight(&graph, "w", "4x6x1x1");
    SET(&graph, node, "pads", 1, 1, 1, 1);
    expect_malformed(&graph);

    node = single(&graph, 13, "ConvTranspose", "1x5x5x5", "x w");
    add_weight(&graph, "w", "4x6x3x3");
    expect_malformed(&graph);
}

static void test_pools(void **state)
{
    (void)state;
    struct graph graph;
    const char *names[] = { "MaxPool", "AveragePool", "LpPool" };
    for (size_t i = 0; i < 3; i++) {
        struct i3d_node *node = single(&graph, 13, names[i], "1x64x112x112", "x");
        SET(&graph, node, "kernel_shape", 3, 3);
        SET(&graph, node, "strides", 2, 2);
        i3d_set_int(graph.model, node, "ceil_mode", 1);
        expect_only(&graph, "1x64x56x56");

        single(&graph, 13, names[i], "1x64x112x112", "x");
        expect_malformed(&graph);

        node = single(&graph, 13, names[i], "1x64x112x112", "x");
        SET(&graph, node, "kernel_shape", 3, 3, 3);
        expect_malformed(&graph);

        node = single(&graph, 13, names[i], "1x64x?x112", "x");
        SET(&graph, node, "kernel_shape", 3, -3);
        expect_malformed(&graph);
    }
    graph = new_graph(12);
    add_input(&graph, "x", "1x2x8x8x8");
    struct i3d_node *node = add_node(&graph, "MaxPool", "x", "y indices");
    SET(&graph, node, "kernel_shape", 2, 3, 4);
    assert_int_equal(infer(&graph), I3D_OK);
    expect(&graph, "indices", "1x2x7x6x5");
    assert_int_equal(i3d_shape_of(graph.shapes, "indices")->dtype, I3D_INT64);
    end(&graph);

    single(&graph, 13, "GlobalAveragePool", "2x5x4x?x6", "x");
    expect_only(&graph, "2x5x1x1x1");
    single(&graph, 13, "GlobalMaxPool", "2", "x");
    expect_malformed(&graph);
}

static void test_normalizations(void **state)
{
    (void)state;
    struct graph graph = new_graph(9);
    add_input(&graph, "x", "2x5x4");
    add_weight(&graph, "p", "5");
    add_node(&graph, "BatchNormalization", "x p p p p", "y mean");
    assert_int_equal(infer(&graph), I3D_OK);
    expect(&graph, "mean", "5");
    expect_only(&graph, "2x5x4");

    single(&graph, 15, "BatchNormalization", "2x6x4", "x p p p p");
    add_weight(&graph, "p", "5");
    expect_malformed(&graph);
    single(&graph, 15, "BatchNormalization", "2x6x4", "x p p p");
    expect_malformed(&graph);
    single(&graph, 6, "InstanceNormalization", "2x6x4", "x p p");
    add_weight(&graph, "p", "6");
    expect_only(&graph, "2x6x4");
    single(&graph, 6, "LRN", "2x6x4x4", "x");
    expect_only(&graph, "2x6x4x4");
}

static void test_dropout_mask(void **state)
{
    (void)state;
    for (int64_t opset = 7; opset <= 13; opset += 3) {
        struct graph graph = new_graph(opset);
        add_input(&graph, "x", "2x6");
        add_node(&graph, "Dropout", "x", "z y");
        expect_dtype(&graph, opset < 10 ? I3D_FLOAT32 : I3D_BOOL);
    }
}

static void test_broadcasting(void **state)
{
    (void)state;
    const struct {
        const char *a, *b, *out; /* null: malformed */
    } cases[] = {
        { "2x3x4", "3x1", "2x3x4" }, { "1x3", "2x1", "2x3" },  { "", "5", "5" },
        { "?x3", "1x3", "?x3" },     { "?x3", "4x3", "4x3" },  { "?x3", "?x3", "?x3" },
        { "2x3", "3x2", NULL },      { "0x3", "1x3", "0x3" },  { "2", "0", NULL },
        { "*", "2", "*" },
    };
    const char *names[] = { "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum" };
    struct graph graph;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            single(&graph, 13, names[n], cases[i].a, "x b");
            add_input(&graph, "b", cases[i].b);
            cases[i].out ? expect_only(&graph, cases[i].out) : expect_malformed(&graph);
        }
    }
    single(&graph, 13, "Sum", "2x1x1", "x b c");
    add_input(&graph, "b", "3x1");
    add_input(&graph, "c", "4");
    expect_only(&graph, "2x3x4");

    single(&graph, 13, "Less", "2x1", "x b");
    add_input(&graph, "b", "3");
    expect_dtype(&graph, I3D_BOOL);

    single(&graph, 13, "PRelu", "2x3x4x4", "x b");
    add_input(&graph, "b", "3x1x1");
    expect_only(&graph, "2x3x4x4");
    single(&graph, 13, "PRelu", "2x3x4x4", "x b");
    add_input(&graph, "b", "3x1x1x1");
    expect_malformed(&graph);
}

static void test_old_broadcasting(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 6, "Add", "2x3x4x5", "x b");
    add_input(&graph, "b", "3x4");
    i3d_set_int(graph.model, node, "broadcast", 1);
    i3d_set_int(graph.model, node, "axis", 1);
    expect_only(&graph, "2x3x4x5");

    node = single(&graph, 6, "Add", "2x3x4x5", "x b");
    add_input(&graph, "b", "3x4");
    i3d_set_int(graph.model, node, "broadcast", 1);
    expect_malformed(&graph);

    node = single(&graph, 6, "Add", "3", "x b");
    add_input(&graph, "b", "2x3");
    i3d_set_int(graph.model, node, "broadcast", 1);
    expect_malformed(&graph);
}

static void test_matrix_products(void **state)
{
    (void)state;
    const struct {
        const char *a, *b, *out;
    } cases[] = {
        { "2x3", "3x4", "2x4" },          { "3", "3x4", "4" },
        { "2x3", "3", "2" },              { "3", "3", "" },
        { "7x1x2x3", "5x3x4", "7x5x2x4" }, { "?x3", "3x4", "?x4" },
        { "2x3", "4x3", NULL },           { "2x2x3", "3x3x4", NULL },
        { "", "3x4", NULL },              { "*", "3x4", "*" },
    };
    struct graph graph;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        single(&graph, 13, "MatMul", cases[i].a, "x b");
        add_input(&graph, "b", cases[i].b);
        cases[i].out ? expect_only(&graph, cases[i].out) : expect_malformed(&graph);
    }
    struct i3d_node *node = single(&graph, 13, "Gemm", "1x1024", "x w c");
    add_weight(&graph, "w", "1000x1024");
    add_weight(&graph, "c", "1000");
    i3d_set_int(graph.model, node, "transB", 1);
    expect_only(&graph, "1x1000");
    node = single(&graph, 13, "Gemm", "?x1024", "x w");
    add_weight(&graph, "w", "1024x10");
    expect_only(&graph, "?x10");
    single(&graph, 13, "Gemm", "1x1024", "x w");
    add_weight(&graph, "w", "1000x1024");
    expect_malformed(&graph);
    single(&graph, 13, "Gemm", "1x4x4", "x w");
    add_weight(&graph, "w", "4x4");
    expect_malformed(&graph);
    single(&graph, 13, "Gemm", "1x4", "x w c");
    add_weight(&graph, "w", "4x4");
    add_weight(&graph, "c", "2x4");
    expect_malformed(&graph);
}

static void test_concat_and_split(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 13, "Concat", "1x64x7x7", "x b c");
    add_input(&graph, "b", "1x128x7x?");
    add_input(&graph, "c", "?x32x7x7");
    i3d_set_int(graph.model, node, "axis", -3);
    expect_only(&graph, "1x224x7x7");

    node = single(&graph, 13, "Concat", "1x64x7x7", "x b");
    add_input(&graph, "b", "*");
    i3d_set_int(graph.model, node, "axis", 1);
    expect_only(&graph, "1x?x7x7");

    node = single(&graph, 13, "Concat", "1x64x7x7", "x b");
    add_input(&graph, "b", "1x64x7x8");
    i3d_set_int(graph.model, node, "axis", 1);
    expect_malformed(&graph);
    node = single(&graph, 13, "Concat", "1x64", "x x");
    i3d_set_int(graph.model, node, "axis", 2);
    expect_malformed(&graph);

    for (int64_t opset = 11; opset <= 13; opset += 2) {
        graph = new_graph(opset);
        add_input(&graph, "x", "2x10");
        INTS(&graph, "sizes", 3, 7);
        node = add_node(&graph, "Split", opset < 13 ? "x" : "x sizes", "a y");
        i3d_set_int(graph.model, node, "axis", 1);
        if (opset < 13)
            SET(&graph, node, "split", 3, 7);
        assert_int_equal(infer(&graph), I3D_OK);
        expect(&graph, "a", "2x3");
        expect_only(&graph, "2x7");
    }
    graph = new_graph(18);
    add_input(&graph, "x", "10");
    node = add_node(&graph, "Split", "x", "a b y");
    i3d_set_int(graph.model, node, "num_outputs", 3);
    assert_int_equal(infer(&graph), I3D_OK);
    expect(&graph, "a", "4");
    expect_only(&graph, "2");

    graph = new_graph(13);
    add_input(&graph, "x", "10");
    add_node(&graph, "Split", "x", "a b y");
    expect_malformed(&graph);
    graph = new_graph(11);
    add_input(&graph, "x", "10");
    node = add_node(&graph, "Split", "x", "a y");
    SET(&graph, node, "split", 3, 6);
    expect_malformed(&graph);
}

static void test_slice(void **state)
{
    (void)state;
    const struct {
        int64_t start, end, step;
        const char *out;
    } cases[] = {
        { 1, 3, 1, "2x2" },          { -2, INT64_MAX, 1, "2x2" }, { 0, -1, 1, "2x4" },
        { 0, 5, 2, "2x3" },          { -1, INT64_MIN, -1, "2x5" }, { 4, 0, -2, "2x2" },
        { 3, 1, 1, "2x0" },          { 9, 12, 1, "2x0" },         { INT64_MIN, 2, 1, "2x2" },
        { 4, INT64_MIN, INT64_MIN, "2x1" }, { 0, 5, INT64_MAX, "2x1" },
    };
    struct graph graph;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        single(&graph, 13, "Slice", "2x5", "x starts ends axes steps");
        INTS(&graph, "starts", cases[i].start);
        INTS(&graph, "ends", cases[i].end);
        INTS(&graph, "axes", -1);
        INTS(&graph, "steps", cases[i].step);
        expect_only(&graph, cases[i].out);
    }
    struct i3d_node *node = single(&graph, 9, "Slice", "2x5", "x");
    SET(&graph, node, "starts", 1, 2);
    SET(&graph, node, "ends", 2, 9);
    expect_only(&graph, "1x3");

    single(&graph, 13, "Slice", "2x?x5", "x starts ends axes unknown_steps");
    INTS(&graph, "starts", 0);
    INTS(&graph, "ends", 2);
    INTS(&graph, "axes", 2);
    expect_only(&graph, "2x?x?");

    single(&graph, 13, "Slice", "2x5", "x zero five axis zero");
    INTS(&graph, "zero", 0);
    INTS(&graph, "five", 5);
    INTS(&graph, "axis", 0);
    expect_malformed(&graph);
    single(&graph, 13, "Slice", "2x5", "x zero five axes");
    INTS(&graph, "zero", 0, 0);
    INTS(&graph, "five", 5, 5);
    INTS(&graph, "axes", 1, -1);
    expect_malformed(&graph);
}

static void test_pad(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 10, "Pad", "1x2x?", "x");
    SET(&graph, node, "pads", 0, 1, 1, 0, 2, 1);
    expect_only(&graph, "1x5x?");
    single(&graph, 13, "Pad", "1x2x8", "x pads");
    INTS(&graph, "pads", 0, 0, -1, 0, 0, -2);
    expect_only(&graph, "1x2x5");
    single(&graph, 18, "Pad", "1x2x8", "x pads - axes");
    INTS(&graph, "pads", 3, 4);
    INTS(&graph, "axes", -1);
    expect_only(&graph, "1x2x15");
    single(&graph, 13, "Pad", "1x2x8", "x pads");
    INTS(&graph, "pads", 0, 0, 1);
    expect_malformed(&graph);
    single(&graph, 13, "Pad", "8", "x pads");
    INTS(&graph, "pads", -5, -4);
    expect_malformed(&graph);
    single(&graph, 13, "Pad", "8", "x pads");
    INTS(&graph, "pads", INT64_MAX, INT64_MAX);
    expect_malformed(&graph);
}

static void test_reshape(void **state)
{
    (void)state;
    const struct {
        const char *x, *out;
        int64_t allowzero, target[4];
        size_t count;
    } cases[] = {
        { "2x3x4", "2x12", 0, { 0, -1 }, 2 },
        { "?x3x4", "?x12", 0, { 0, -1 }, 2 },
        { "?x3x4", "?x12", 0, { -1, 12 }, 2 },
        { "2x3x4", "6x4", 0, { -1, 4 }, 2 },
        { "2x3x4", "4x3x2x1", 0, { 4, 3, 2, 1 }, 4 },
        { "*", "4x?", 0, { 4, -1 }, 2 },
        { "0x3", "3x0", 1, { 3, 0 }, 2 },
        { "0x3", "0x3", 0, { 0, 3 }, 2 },
        { "2x3x4", NULL, 0, { -1, -1 }, 2 },
        { "2x3x4", NULL, 0, { -2, 12 }, 2 },
        { "2x3x4", NULL, 0, { 5, -1 }, 2 },
        { "2x3x4", NULL, 0, { 5, 5 }, 2 },
        { "2x3", NULL, 0, { 2, 3, 0 }, 3 },
        { "2x3", NULL, 1, { 0, -1 }, 2 },
        { "2x3", NULL, 0, { INT64_MAX, INT64_MAX, INT64_MAX, -1 }, 4 },
    };
    struct graph graph;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct i3d_node *node = single(&graph, 14, "Reshape", cases[i].x, "x target");
        add_ints(&graph, "target", cases[i].target, cases[i].count);
        i3d_set_int(graph.model, node, "allowzero", cases[i].allowzero);
        cases[i].out ? expect_only(&graph, cases[i].out) : expect_malformed(&graph);
    }
    const struct {
        const char *x, *out;
        int64_t axis;
    } flat[] = {
        { "2x3x4", "2x12", 1 }, { "2x3x4", "1x24", 0 }, { "2x3x4", "24x1", 3 },
        { "2x3x4", "6x4", -1 }, { "?x3x4", "?x12", 1 }, { "2x3x4", NULL, 4 },
    };
    for (size_t i = 0; i < sizeof flat / sizeof flat[0]; i++) {
        struct i3d_node *node = single(&graph, 13, "Flatten", flat[i].x, "x");
        i3d_set_int(graph.model, node, "axis", flat[i].axis);
        flat[i].out ? expect_only(&graph, flat[i].out) : expect_malformed(&graph);
    }
}

/* Squeeze, Unsqueeze and the reductions took their axes from an attribute first. */
static void test_axes_as_attribute_or_input(void **state)
{
    (void)state;
    const struct {
        const char *op_type, *x, *out;
        int64_t first, second; /* axes */
        int64_t keepdims;
    } cases[] = {
        { "Squeeze", "1x3x1x4", "3x4", 0, -2, 1 },
        { "Squeeze", "?x3x1x4", "3x4", 0, 2, 1 },
        { "Squeeze", "1x3x1x4", NULL, 0, 1, 1 },
        { "Squeeze", "1x3x1x4", NULL, 0, 4, 1 },
        { "Unsqueeze", "3x4", "1x3x4x1", 0, -1, 1 },
        { "Unsqueeze", "3x4", NULL, 0, -4, 1 },
        { "ReduceMean", "2x3x4x5", "2x3x1x1", 2, 3, 1 },
        { "ReduceSum", "2x3x4x5", "2x3", -1, -2, 0 },
        { "ReduceMax", "2x3x4x?", "2x3", 2, 3, 0 },
        { "ReduceMin", "2x3", "1x1", 0, 1, 1 },
        { "ReduceL2", "2x3", "", 0, 1, 0 },
        { "ReduceProd", "2x3", NULL, 0, 2, 0 },
    };
    struct graph graph;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int64_t opset = 11; opset <= 18; opset += 7) {
            struct i3d_node *node = single(&graph, opset, cases[i].op_type, cases[i].x,
                                           opset == 11 ? "x" : "x axes");
            INTS(&graph, "axes", cases[i].first, cases[i].second);
            if (opset == 11)
                SET(&graph, node, "axes", cases[i].first, cases[i].second);
            i3d_set_int(graph.model, node, "keepdims", cases[i].keepdims);
            cases[i].out ? expect_only(&graph, cases[i].out) : expect_malformed(&graph);
        }
    }
    single(&graph, 13, "Squeeze", "1x3x1", "x");
    expect_only(&graph, "3");
    single(&graph, 13, "Squeeze", "?x3x1", "x");
    expect_only(&graph, "*");
    single(&graph, 13, "ReduceMean", "2x3", "x");
    expect_only(&graph, "1x1");
    struct i3d_node *node = single(&graph, 18, "ReduceMean", "2x3", "x");
    i3d_set_int(graph.model, node, "noop_with_empty_axes", 1);
    expect_only(&graph, "2x3");
    single(&graph, 18, "ReduceMean", "2x3", "x unknown_axes");
    expect_only(&graph, "?x?");
    node = single(&graph, 13, "ArgMax", "2x3x4", "x");
    i3d_set_int(graph.model, node, "axis", -1);
    i3d_set_int(graph.model, node, "keepdims", 0);
    expect_only(&graph, "2x3");
    single(&graph, 13, "ArgMax", "2x3x4", "x");
    expect_dtype(&graph, I3D_INT64);
}

static void test_layout(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 13, "Transpose", "2x3x?", "x");
    expect_only(&graph, "?x3x2");
    node = single(&graph, 13, "Transpose", "2x3x4", "x");
    SET(&graph, node, "perm", 0, 2, 1);
    expect_only(&graph, "2x4x3");
    node = single(&graph, 13, "Transpose", "2x3x4", "x");
    SET(&graph, node, "perm", 0, 2, 2);
    expect_malformed(&graph);
    node = single(&graph, 13, "Transpose", "2x3x4", "x");
    SET(&graph, node, "perm", 0, 1);
    expect_malformed(&graph);

    node = single(&graph, 13, "Gather", "2x3x4", "x indices");
    add_input(&graph, "indices", "5x6");
    i3d_set_int(graph.model, node, "axis", 1);
    expect_only(&graph, "2x5x6x4");

    single(&graph, 13, "Expand", "3x1", "x target");
    INTS(&graph, "target", 2, 1, 6);
    expect_only(&graph, "2x3x6");
    single(&graph, 13, "Tile", "3x1", "x target");
    INTS(&graph, "target", 2, 5);
    expect_only(&graph, "6x5");

    node = single(&graph, 13, "DepthToSpace", "1x8x2x3", "x");
    i3d_set_int(graph.model, node, "blocksize", 2);
    expect_only(&graph, "1x2x4x6");
    node = single(&graph, 13, "SpaceToDepth", "1x2x4x6", "x");
    i3d_set_int(graph.model, node, "blocksize", 2);
    expect_only(&graph, "1x8x2x3");
    node = single(&graph, 13, "SpaceToDepth", "1x2x5x6", "x");
    i3d_set_int(graph.model, node, "blocksize", 2);
    expect_malformed(&graph);
    node = single(&graph, 13, "DepthToSpace", "1x8x2x3", "x");
    expect_malformed(&graph);
}

static void test_resize(void **state)
{
    (void)state;
    struct graph graph;
    const float scales[] = { 1, 1, 2, 1.5f };
    for (int64_t opset = 9; opset <= 11; opset++) {
        single(&graph, opset, opset == 9 ? "Upsample" : "Resize", "1x3x5x?x7",
               opset == 11 ? "x - scales" : "x scales");
        const float five[] = { 1, 1, 2, 1, 1.5f };
        assert_int_equal(i3d_model_put_floats(graph.model, "scales", 1, &(int64_t){ 5 }, five,
                                              NULL), I3D_OK);
        expect_only(&graph, "1x3x10x?x10");
    }
    single(&graph, 13, "Resize", "1x3x5x7", "x - - sizes");
    INTS(&graph, "sizes", 1, 3, 9, 8);
    expect_only(&graph, "1x3x9x8");
    struct i3d_node *node = single(&graph, 18, "Resize", "1x3x5x7", "x - - sizes");
    INTS(&graph, "sizes", 9, 8);
    SET(&graph, node, "axes", 2, -1);
    expect_only(&graph, "1x3x9x8");
    single(&graph, 13, "Resize", "1x3x5x7", "x - - sizes");
    INTS(&graph, "sizes", 1, 3, 9);
    expect_malformed(&graph);
    single(&graph, 13, "Resize", "1x3x5", "x - scales");
    assert_int_equal(i3d_model_put_floats(graph.model, "scales", 1, &(int64_t){ 4 }, scales,
                                          NULL), I3D_OK);
    expect_malformed(&graph);
    single(&graph, 13, "Resize", "1x3x5", "x - scales");
    assert_int_equal(i3d_model_put_floats(graph.model, "scales", 1, &(int64_t){ 3 },
                                          (float[]){ 1, -1, 1 }, NULL), I3D_OK);
    expect_malformed(&graph);
    node = single(&graph, 6, "Upsample", "1x3x5x7", "x");
    i3d_set_float(graph.model, node, "height_scale", 2);
    i3d_set_float(graph.model, node, "width_scale", 3);
    expect_only(&graph, "1x3x10x21");
}

static void test_dtypes(void **state)
{
    (void)state;
    struct graph graph;
    struct i3d_node *node = single(&graph, 13, "Cast", "2", "x");
    i3d_set_int(graph.model, node, "to", I3D_FLOAT16);
    expect_dtype(&graph, I3D_FLOAT16);
    single(&graph, 13, "Shape", "2", "x");
    expect_dtype(&graph, I3D_INT64);
    single(&graph, 13, "Constant", "2", "");
    i3d_set_float(graph.model, &graph.model->nodes[0], "value_float", 1);
    expect_dtype(&graph, I3D_FLOAT32);
}

static void test_pointwise(void **state)
{
    (void)state;
    const char *names[] = {
        "Relu", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "HardSwish", "Erf", "Sqrt", "Exp",
        "Log", "Neg", "Abs", "Elu", "Selu", "LeakyRelu", "Softplus", "Gelu", "Softmax",
        "LogSoftmax", "Identity", "Dropout", "LRN",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct graph graph;
        single(&graph, 20, names[i], "2x?x4", "x");
        expect_only(&graph, "2x?x4");
        single(&graph, 20, names[i], "2x?x4", "");
        expect_malformed(&graph);
    }
}

static void test_unknown_operator_uses_declared_shape(void **state)
{
    (void)state;
    struct graph graph;
    single(&graph, 13, "Mystery", "2x3", "x");
    add_node(&graph, "Relu", "y", "z");
    struct i3d_node *foreign = add_node(&graph, "Relu", "x", "w");
    foreign->domain = "com.example";
    assert_int_equal(infer(&graph), I3D_OK);
    expect(&graph, "y", "*");
    expect(&graph, "z", "*");
    expect(&graph, "w", "*");
    expect(&graph, "stranger", "*");

    struct i3d_value *value = i3d_model_add_value(graph.model);
    value->name = "y";
    value->dtype = I3D_FLOAT32;
    value->rank = 2;
    value->dims[0].value = 2;
    value->dims[1].value = -1;
    assert_int_equal(infer(&graph), I3D_OK);
    expect(&graph, "z", "2x?");

    /* An input that differs from what the file declares makes the rest of its
     * declarations doubtful. */
    struct i3d_shape override = parse_shape("4x3");
    i3d_shapes_free(graph.shapes);
    assert_int_equal(i3d_infer_shapes(graph.model, NULL, &override, 1, &graph.shapes,
                                      &graph.error), I3D_OK);
    expect(&graph, "x", "4x3");
    expect(&graph, "z", "*");
    end(&graph);
}

static void test_overrides(void **state)
{
    (void)state;
    struct graph graph = new_graph(13);
    add_input(&graph, "x", "?x3x?x?");
    add_input(&graph, "k", "5");
    add_node(&graph, "Relu", "x", "y");
    add_node(&graph, "Relu", "k", "z");
    struct i3d_index *index = i3d_index_new(graph.model);
    struct i3d_shape shapes[] = { parse_shape("1x3x8x9"), anything };
    assert_int_equal(i3d_infer_shapes(graph.model, index, shapes, 2, &graph.shapes,
                                      &graph.error), I3D_OK);
    expect(&graph, "y", "1x3x8x9");
    expect(&graph, "z", "5");
    i3d_index_free(index);
    end(&graph);
}

static void expect_ints(const struct graph *graph, const char *value, int count,
                        const int64_t *wanted)
{
    int found;
    const bool *known;
    const int64_t *ints = i3d_known_ints(graph->shapes, value, &found, &known);
    assert_non_null(ints);
    assert_int_equal(found, count);
    for (int k = 0; k < count; k++) {
        assert_int_equal(known[k], wanted[k] != -999);
        if (known[k])
            assert_int_equal(ints[k], wanted[k]);
    }
}
#define EXPECT_INTS(graph, value, ...) \
    expect_ints(graph, value, (int)COUNT(__VA_ARGS__), (int64_t[]){ __VA_ARGS__ })
enum { UNKNOWN = -999 };

/* x.view(x.size(0), -1), as PyTorch exports it. */
static void test_view_of_batch(void **state)
{
    (void)state;
    for (int batch = 0; batch < 2; batch++) {
        struct graph graph = new_graph(11);
        add_input(&graph, "x", batch ? "4x1024x1x1" : "?x1024x1x1");
        add_node(&graph, "Shape", "x", "shape");
        struct i3d_node *node = add_node(&graph, "Constant", "", "zero");
        struct i3d_tensor zero = { .name = "", .dtype = I3D_INT64, .rank = 0,
                                   .source = i3d_source_copy(&(int64_t){ 0 }, 8) };
        struct i3d_attribute value = { .name = "value", .type = I3D_ATTRIBUTE_TENSOR,
                                       .tensor = &zero };
        node->attributes = &value;
        node->attribute_count = 1;
        node = add_node(&graph, "Gather", "shape zero", "size");
        i3d_set_int(graph.model, node, "axis", 0);
        node = add_node(&graph, "Constant", "", "minus");
        i3d_set_int(graph.model, node, "value_int", -1);
        node = add_node(&graph, "Unsqueeze", "size", "first");
        SET(&graph, node, "axes", 0);
        node = add_node(&graph, "Unsqueeze", "minus", "second");
        SET(&graph, node, "axes", 0);
        node = add_node(&graph, "Concat", "first second", "target");
        i3d_set_int(graph.model, node, "axis", 0);
        add_node(&graph, "Reshape", "x target", "y");
        assert_int_equal(infer(&graph), I3D_OK);
        EXPECT_INTS(&graph, "shape", batch ? 4 : UNKNOWN, 1024, 1, 1);
        EXPECT_INTS(&graph, "size", batch ? 4 : UNKNOWN);
        EXPECT_INTS(&graph, "target", batch ? 4 : UNKNOWN, -1);
        expect(&graph, "y", batch ? "4x1024" : "?x?");
        i3d_source_release(zero.source);
        graph.model->nodes[1].attribute_count = 0;
        end(&graph);
    }
}

/* The pads of torch.nn.functional.pad: a list in pairs per axis, last axis
 * first, turned into ONNX's order. */
static void test_pads_of_pytorch(void **state)
{
    (void)state;
    struct graph graph = new_graph(11);
    add_input(&graph, "x", "1x3x224x224");
    INTS(&graph, "given", 0, 1, 2, 3);
    INTS(&graph, "missing", 4);
    add_node(&graph, "ConstantOfShape", "missing", "float_zeros");
    struct i3d_node *node = add_node(&graph, "Cast", "float_zeros", "zeros");
    i3d_set_int(graph.model, node, "to", I3D_INT64);
    INTS(&graph, "no_pads", 0, 0, 0, 0);
    node = add_node(&graph, "Concat", "given no_pads", "all");
    i3d_set_int(graph.model, node, "axis", 0);
    INTS(&graph, "pairs", -1, 2);
    add_node(&graph, "Reshape", "all pairs", "table");
    INTS(&graph, "from", -1);
    INTS(&graph, "to", INT64_MIN);
    INTS(&graph, "axis", 0);
    INTS(&graph, "step", -1);
    add_node(&graph, "Slice", "table from to axis step", "reversed");
    node = add_node(&graph, "Transpose", "reversed", "columns");
    SET(&graph, node, "perm", 1, 0);
    INTS(&graph, "flat", -1);
    add_node(&graph, "Reshape", "columns flat", "pads32");
    node = add_node(&graph, "Cast", "pads32", "pads");
    i3d_set_int(graph.model, node, "to", I3D_INT64);
    add_node(&graph, "Pad", "x pads", "y");
    assert_int_equal(infer(&graph), I3D_OK);
    EXPECT_INTS(&graph, "pads", 0, 0, 2, 0, 0, 0, 3, 1);
    expect(&graph, "table", "4x2");
    int count;
    const bool *known;
    assert_null(i3d_known_ints(graph.shapes, "table", &count, &known)); /* rank 2 */
    assert_null(i3d_known_ints(graph.shapes, "zeros", &count, &known)); /* was float */
    expect(&graph, "y", "1x3x229x225");
    end(&graph);
}

static void test_integer_arithmetic(void **state)
{
    (void)state;
    struct graph graph = new_graph(13);
    add_input(&graph, "x", "?x7x9");
    add_node(&graph, "Shape", "x", "shape");
    INTS(&graph, "two", 2);
    INTS(&graph, "large", INT64_MAX);
    INTS(&graph, "zero", 0);
    INTS(&graph, "smallest", INT64_MIN);
    INTS(&graph, "minus", -1);
    add_node(&graph, "Add", "shape two", "sum");
    add_node(&graph, "Sub", "two shape", "difference");
    add_node(&graph, "Mul", "shape two", "product");
    add_node(&graph, "Div", "difference two", "quotient");
    add_node(&graph, "Add", "large two", "overflow");
    add_node(&graph, "Div", "two zero", "undefined");
    add_node(&graph, "Div", "smallest minus", "too_large");
    INTS(&graph, "four", 4);
    add_node(&graph, "Expand", "two four", "twos");
    struct i3d_node *node = add_node(&graph, "Cast", "large", "narrow");
    i3d_set_int(graph.model, node, "to", I3D_INT32);
    add_node(&graph, "Size", "sum", "size");
    node = add_node(&graph, "Shape", "x", "tail");
    i3d_set_int(graph.model, node, "start", -2);
    node = add_node(&graph, "Constant", "", "listed");
    SET(&graph, node, "value_ints", 5, 6);
    assert_int_equal(infer(&graph), I3D_OK);
    EXPECT_INTS(&graph, "sum", UNKNOWN, 9, 11);
    EXPECT_INTS(&graph, "difference", UNKNOWN, -5, -7);
    EXPECT_INTS(&graph, "product", UNKNOWN, 14, 18);
    EXPECT_INTS(&graph, "quotient", UNKNOWN, -2, -3);
    EXPECT_INTS(&graph, "overflow", UNKNOWN);
    EXPECT_INTS(&graph, "undefined", UNKNOWN);
    EXPECT_INTS(&graph, "too_large", UNKNOWN);
    EXPECT_INTS(&graph, "twos", 2, 2, 2, 2);
    EXPECT_INTS(&graph, "narrow", UNKNOWN);
    EXPECT_INTS(&graph, "size", 3);
    EXPECT_INTS(&graph, "tail", 7, 9);
    EXPECT_INTS(&graph, "listed", 5, 6);
    end(&graph);
}

static void test_gather_out_of_range(void **state)
{
    (void)state;
    struct graph graph = new_graph(13);
    add_input(&graph, "x", "2x3");
    add_node(&graph, "Shape", "x", "shape");
    INTS(&graph, "index", 2);
    add_node(&graph, "Gather", "shape index", "y");
    expect_malformed(&graph);
}

static void test_sizes_that_overflow(void **state)
{
    (void)state;
    struct graph graph;
    single(&graph, 13, "Expand", "1", "x target");
    INTS(&graph, "target", 1 << 30, 1 << 30, 1 << 30);
    expect_malformed(&graph);
    single(&graph, 13, "ConstantOfShape", "1", "target");
    INTS(&graph, "target", INT64_MAX, 0);
    expect_malformed(&graph);
    single(&graph, 13, "ConstantOfShape", "1", "target");
    INTS(&graph, "target", -5);
    expect_malformed(&graph);
}

/* Nothing that i3d_model_check would refuse may hurt: here a node overwrites
 * its own inputs, and nodes are not in order. */
static void test_unchecked_graphs(void **state)
{
    (void)state;
    const char *names[] = { "Concat", "Add", "Slice", "Gather", "Expand", "Transpose", "Reshape" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct graph graph = new_graph(13);
        INTS(&graph, "a", 1, 0, 1);
        INTS(&graph, "b", 0, 1, 0);
        add_node(&graph, "Relu", "later", "z");
        struct i3d_node *node = add_node(&graph, names[i], "a b a b", "a");
        i3d_set_int(graph.model, node, "axis", 0);
        add_node(&graph, names[i], "b b a a", "b");
        add_node(&graph, "Identity", "a", "later");
        enum i3d_status status = infer(&graph);
        assert_true(status == I3D_OK || status == I3D_MALFORMED);
        end(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_window_attribute_counts),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_normalizations),
        cmocka_unit_test(test_dropout_mask),
        cmocka_unit_test(test_broadcasting),
        cmocka_unit_test(test_old_broadcasting),
        cmocka_unit_test(test_matrix_products),
        cmocka_unit_test(test_concat_and_split),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_axes_as_attribute_or_input),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_pointwise),
        cmocka_unit_test(test_unknown_operator_uses_declared_shape),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_view_of_batch),
        cmocka_unit_test(test_pads_of_pytorch),
        cmocka_unit_test(test_integer_arithmetic),
        cmocka_unit_test(test_gather_out_of_range),
        cmocka_unit_test(test_sizes_that_overflow),
        cmocka_unit_test(test_unchecked_graphs),
    };
    return cmocka_run_group_tests_name("shape", tests, NULL, NULL);
}
