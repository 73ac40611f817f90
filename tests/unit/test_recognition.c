/* Architectures told from graphs whose names say nothing; graphs that are none of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/small_zoo.h"

/* Gives every value, tensor and node a name that says nothing. */
static void scramble(struct i3d_model *model)
{
    char name[300];
#define ANON(field)                                                                           \
    do {                                                                                      \
        uint64_t hash = 5381;                                                                 \
        for (const char *c = field; *c; c++)                                                  \
            hash = hash * 0x100000001b3 ^ (unsigned char)*c;                                  \
        snprintf(name, sizeof name, "v%llx", (unsigned long long)hash);                       \
        if (*field)                                                                           \
            field = i3d_arena_string(model->arena, name);                                     \
    } while (0)
    for (size_t i = 0; i < model->node_count; i++) {
        struct i3d_node *node = &model->nodes[i];
        node->name = "";
        for (size_t k = 0; k < node->input_count; k++)
            ANON(node->inputs[k]);
        for (size_t k = 0; k < node->output_count; k++)
            ANON(node->outputs[k]);
    }
    for (size_t i = 0; i < model->tensor_count; i++)
        ANON(model->tensors[i].name);
    for (size_t i = 0; i < model->input_count; i++)
        ANON(model->inputs[i].name);
    for (size_t i = 0; i < model->output_count; i++)
        ANON(model->outputs[i].name);
}

static void assert_recognised(const struct i3d_model *model, const char *architecture, bool is_3d)
{
    struct i3d_recognition recognition;
    struct i3d_error error;
    if (i3d_zoo_recognise(model, &recognition, &error))
        fail_msg("%s: %s", error.where, error.message);
    assert_non_null(recognition.architecture);
    /* Frames that edges repeat hide what a first convolution pads. */
    const struct i3d_architecture *wanted = i3d_architecture_by_name(architecture);
    assert_string_equal(recognition.architecture->family, wanted->family);
    if (!is_3d)
        assert_ptr_equal(recognition.architecture, wanted);
    assert_int_equal(recognition.is_3d, is_3d);
    assert_int_equal(recognition.classes, 9);
    assert_int_equal(recognition.channels, 3);
    bool batch_norm = i3d_architecture_is_normed(recognition.architecture);
    assert_int_equal(recognition.batch_norm, batch_norm);
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        bool has_unit = i3d_is(node, "Conv") || i3d_is(node, "Gemm")
            || i3d_is(node, "BatchNormalization");
        assert_int_equal(recognition.units[i] != NULL, has_unit);
    }
    const char *units[I3D_MAX_UNITS];
    size_t count = i3d_architecture_units(recognition.architecture, units);
    for (size_t unit = 0; unit < count; unit++) {
        bool named = false;
        for (size_t i = 0; i < model->node_count && !named; i++)
            named = recognition.units[i] && !strcmp(recognition.units[i], units[unit]);
        assert_true(named);
    }
    i3d_recognition_free(&recognition);
}

/* What the recipe i3d asks for. */
static bool ends_in_average(const struct i3d_architecture *architecture)
{
    return strncmp(architecture->family, "vgg", 3) && strncmp(architecture->family, "squeeze", 7);
}

static void test_recognition(void **state)
{
    (void)state;
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++) {
        const struct i3d_architecture_options options = { .classes = 9 };
        struct i3d_model *flat;
        assert_int_equal(one->build(one, &options, &flat, NULL), I3D_OK);
        assert_recognised(flat, one->name, false);
        for (int padding = I3D_PAD_ZERO; padding <= I3D_PAD_EDGE; padding++) {
            struct i3d_model *inflated = inflate(
                flat, (struct i3d_inflate_options){
                          .recipe = ends_in_average(one) ? "i3d" : "isotropic",
                          .temporal_padding = (enum i3d_temporal_padding)padding });
            scramble(inflated);
            assert_recognised(inflated, one->name, true);
            i3d_model_free(inflated);
        }
        scramble(flat);
        assert_recognised(flat, one->name, false);
        i3d_model_free(flat);
    }
}

static void assert_unknown(const struct i3d_model *model)
{
    struct i3d_recognition recognition;
    assert_int_equal(i3d_zoo_recognise(model, &recognition, NULL), I3D_OK);
    assert_null(recognition.architecture);
    i3d_recognition_free(&recognition);
}

static struct i3d_node *node_named(struct i3d_model *model, const char *name)
{
    for (size_t i = 0; i < model->node_count; i++)
        if (!strcmp(model->nodes[i].name, name))
            return &model->nodes[i];
    fail_msg("no node %s", name);
    return NULL;
}

static void test_strangers(void **state)
{
    (void)state;
    const struct i3d_architecture_options options = { 0 };
    struct i3d_model *model;
    assert_int_equal(i3d_architectures[0].build(i3d_architectures, &options, &model, NULL), I3D_OK);
    node_named(model, "Mixed_4d/Branch_1/Conv_0b_3x3/Relu")->op_type = "Sigmoid";
    assert_unknown(model);
    node_named(model, "Mixed_4d/Branch_1/Conv_0b_3x3/Relu")->op_type = "Relu";
    struct i3d_node *conv = node_named(model, "Mixed_4d/Branch_3/Conv_0b_1x1");
    const char *pool = conv->inputs[0];
    conv->inputs[0] = "Mixed_4c/Concat"; /* no pool on that branch */
    assert_unknown(model);
    conv->inputs[0] = pool;
    struct i3d_node *concat = node_named(model, "Mixed_5c/Concat");
    const char *first = concat->inputs[0];
    concat->inputs[0] = concat->inputs[3];
    concat->inputs[3] = first; /* branches in another order */
    assert_unknown(model);
    model->output_count = 0;
    assert_unknown(model);
    i3d_model_free(model);
}

static void assert_refused(const struct i3d_model *model, const char *in_dialect,
                           const char *where, const char *message)
{
    struct i3d_error error;
    struct i3d_model *weights;
    assert_int_equal(i3d_zoo_unbind(model, dialect(in_dialect), &weights, &error),
                     I3D_UNSUPPORTED);
    assert_null(weights);
    assert_string_equal(error.where, where);
    if (!strstr(error.message, message))
        fail_msg("%s", error.message);
}

static void test_geometry_that_does_not_fit(void **state)
{
    (void)state;
    struct i3d_architecture_options options = { 0 };
    struct i3d_model *weights = synth("inception_v1_bvlc", NULL, options, 1);
    struct i3d_model *graph = bind(weights, NULL);
    assert_refused(graph, "keras-inception_v1", "Mixed_3b/Branch_2/Conv_0b_3x3",
                   "the file has 5x5 kernels, the dialect 3x3");
    assert_refused(graph, "keras-i3d", "", "the network is 2D, keras-i3d names a 3D one");
    i3d_model_free(graph);
    i3d_model_free(weights);

    weights = synth("inception_v1_torchvision", NULL, options, 1);
    graph = bind(weights, NULL);
    assert_refused(graph, "tf-slim-inception_v1", "Conv_1a_7x7",
                   "the file has 7x7 stride 2x2 pads 3x3+3x3 on 224x224, the dialect's code 7x7 "
                   "stride 2x2 pads 2x2+3x3 on 224x224");
    struct i3d_node *pool = node_named(graph, "MaxPool_2a_3x3");
    i3d_drop_attribute(pool, "ceil_mode");
    assert_refused(graph, "torchvision-googlenet", "MaxPool_2a_3x3", "on 112x112");
    assert_true(i3d_set_int(graph, pool, "ceil_mode", 1));
    struct i3d_model *edges = inflate(graph, (struct i3d_inflate_options){
                                                 .temporal_padding = I3D_PAD_EDGE });
    assert_refused(edges, "keras-i3d", "Conv_1a_7x7", "padded by repetition");
    assert_refused(edges, "keras-inception_v1", "", "the network is 3D");
    i3d_model_free(edges);
    i3d_model_free(graph);
    assert_refused(weights, "keras-i3d", "", "it holds weights but no graph");
    i3d_model_free(weights);
}

/* A network of TF-Slim's geometry with biases for BatchNorms. */
static void test_biases_become_batch_norms(void **state)
{
    (void)state;
    static const struct i3d_inception_variant variant = {
        .same_padding = true, .wide_kernel = 3, .last_pool = 2, .head = I3D_HEAD_CONV,
    };
    const struct i3d_architecture architecture = { .table = &variant };
    const struct i3d_architecture_options options = { .classes = 3 };
    struct i3d_model *graph;
    assert_int_equal(i3d_inception_build(&architecture, &options, &graph, NULL), I3D_OK);
    const float half = 0.5f;
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (!graph->tensors[i].source)
            graph->tensors[i].source =
                i3d_source_fill(&half, sizeof half, i3d_tensor_bytes(&graph->tensors[i]));
    struct i3d_model *weights = unbind(graph, "keras-inception_v1");
    static const struct {
        const char *name;
        float value;
    } expected[] = {
        { "Conv2d_5c_0a_1x1_bn/Conv2d_5c_0a_1x1_bn/beta:0", 0.5f },
        { "Conv2d_5c_0a_1x1_bn/Conv2d_5c_0a_1x1_bn/moving_mean:0", 0 },
        { "Conv2d_5c_0a_1x1_bn/Conv2d_5c_0a_1x1_bn/moving_variance:0", 1 - 0.001f },
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        float *values;
        assert_int_equal(i3d_tensor_load_float(i3d_find_tensor(weights, expected[i].name), &values,
                                               NULL), I3D_OK);
        assert_true(values[0] == expected[i].value && values[383] == expected[i].value);
        free(values);
    }
    i3d_model_free(weights);
    i3d_model_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recognition),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_geometry_that_does_not_fit),
        cmocka_unit_test(test_biases_become_batch_norms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
