/* Dialects, architectures, binding and its inverse, seeded weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/small_zoo.h"

static void test_tables(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t entries;
        int axes;
    } expected[] = {
        { "keras-inception_v1", 230, 2 }, { "keras-i3d", 230, 3 },
        { "tf-slim-inception_v1", 230, 2 }, { "sonnet", 230, 3 },
        { "pytorch-i3d", 287, 3 }, { "hassony2-i3d", 287, 3 },
        { "torchvision-googlenet", 287, 2 }, { "onnx-zoo-inception_v1", 116, 2 },
        { "sonnet-kin600", 230, 3 }, { "torchvision-resnet", 102, 2 },
        { "mmaction2-i3d", 267, 3 }, { "mmaction2-slowonly", 267, 3 },
        { "torchvision-vgg", 22, 2 }, { "torchvision-vgg_bn", 54, 2 },
        { "torchvision-densenet", 606, 2 }, { "torchvision-densenet-2017", 606, 2 },
        { "torchvision-mobilenet_v2", 262, 2 }, { "torchvision-squeezenet", 52, 2 },
        { "efficientnet-lite-pytorch", 247, 2 },
        { "keras-applications-resnet50", 320, 2 }, { "keras-applications-vgg16", 32, 2 },
        { "keras-applications-vgg19", 38, 2 }, { "keras-applications-densenet121", 606, 2 },
        { "keras-applications-mobilenet_v2", 262, 2 },
    };
    enum { RESNET_SIBLINGS = 4, MMACTION2_SIBLINGS = 2, VGG_SIBLINGS = 2 * 3 };
    size_t count = 0;
    assert_non_null(i3d_dialects());
    for (const struct i3d_dialect *const *all = i3d_dialects(); *all; all++, count++) {
        const struct i3d_dialect *one = *all;
        const char *units[I3D_MAX_UNITS];
        const struct i3d_architecture *architecture = i3d_architecture_by_name(one->architecture);
        assert_non_null(architecture);
        size_t unit_count = i3d_architecture_units(architecture, units);
        assert_string_equal(one->first, units[0]);
        assert_string_equal(one->classifier, units[unit_count - 1]);
        for (size_t i = 0; i < one->entry_count; i++) {
            const struct i3d_dialect_entry *entry = &one->entries[i];
            size_t unit = 0;
            while (unit < unit_count && strcmp(units[unit], entry->unit))
                unit++;
            assert_true(unit < unit_count);
            assert_ptr_equal(i3d_dialect_find(one, entry->unit, entry->role), entry);
            assert_true(!entry->rank || entry->dims[0] > 0);
        }
    }
    assert_int_equal(count, sizeof expected / sizeof *expected + RESNET_SIBLINGS
                                + MMACTION2_SIBLINGS + VGG_SIBLINGS);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(dialect(expected[i].name)->entry_count, expected[i].entries);
        assert_int_equal(dialect(expected[i].name)->spatial_axes, expected[i].axes);
    }
    assert_null(i3d_dialect_by_name("klingon"));
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++)
        assert_non_null(i3d_dialect_for(dialect(one->dialect), one->name));
}

static void test_broken_tables(void **state)
{
    (void)state;
#define RULES "#: architecture inception_v1\n#: layout OIHW\n"
#define COLUMNS "unit\trole\tname\tshape\n"
#define HEAD RULES COLUMNS
#define FIRST "Conv_1a_7x7\tweight\tb\t64x3x7x7\n"
    static const struct {
        const char *text, *where, *message;
    } broken[] = {
        { "", "line 1", "missing" },
        { HEAD, "line 1", "missing" },
        { COLUMNS FIRST, "line 1", "missing" },
        { HEAD "Conv_1a_7x7\tweight\tb\n", "line 4", "not unit, role, name and shape" },
        { HEAD "Conv_1a_7x7\tweight\tb\t3x\n", "line 4", "shape" },
        { HEAD "Conv_1a_7x7\tweight\tb\t1x0\n", "line 4", "shape" },
        { HEAD "Conv_1a_7x7\tweight\tb\t1x1x1x1x1x1x1x1x1\n", "line 4", "shape" },
        { HEAD "Conv_1a_7x7\tweight\tb\t99999999999999999999\n", "line 4", "shape" },
        { HEAD "Conv_1a_7x7\tweight\tb\t9999999999x9999999999x1x1\n", "line 4", "shape" },
        { HEAD "Conv_1a_7x7\tweight\t\t3\n", "line 4", "not unit, role" },
        { HEAD "Conv_1a_7x7\tweight\tb\t64x3x7\n", "line 4", "layout's axes" },
        { HEAD "Conv_1a_7x7\tbeta\tb\t64x3\n", "line 4", "more than one axis" },
        { HEAD "Conv_1a_7x7\tcolour\tb\t64\n", "line 4", "role" },
        { HEAD "Conv_99\tweight\tb\t64x3x7x7\n", "line 4", "has no unit Conv_99" },
        { HEAD "Conv_*\tweight\tb\t64x3x7x7\n", "line 4", "as many *" },
        { HEAD "*_*_*_*_*\tweight\t*****\t64x3x7x7\n", "line 4", "too many" },
        { HEAD FIRST FIRST, "line 1", "twice" },
        { HEAD FIRST "Conv_2b_1x1\tweight\tb\t64x64x1x1\n", "line 1", "twice" },
        { "#: architecture perceptron\n#: layout OIHW\n" COLUMNS FIRST, "line 1", "perceptron" },
        { "#: architecture  \n#: layout OIHW\n" COLUMNS FIRST, "line 1", "no architecture" },
        { "#: architecture inception_v1\n#: layout OIHH\n" COLUMNS FIRST, "line 1", "layout" },
        { "#: epsilon small\n" HEAD FIRST, "line 1", "epsilon" },
        { "#: epsilon inf\n" HEAD FIRST, "line 1", "epsilon" },
        { "#: colour red\n" HEAD FIRST, "line 1", "colour" },
        { "#: load hdf5\n" HEAD FIRST, "line 1", "load" },
        { "#: layout\n" HEAD FIRST, "line 1", "without a value" },
    };
    struct i3d_arena *arena = i3d_arena_new();
    assert_non_null(arena);
    struct i3d_dialect *parsed;
    struct i3d_error error;
    size_t count;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const struct i3d_dialect_text table = { "test", broken[i].text };
        assert_int_equal(i3d_dialect_parse(&table, arena, &parsed, &count, &error),
                         I3D_MALFORMED);
        if (!strstr(error.where, broken[i].where) || !strstr(error.message, broken[i].message))
            fail_msg("%zu: %s: %s", i, error.where, error.message);
    }
    const struct i3d_dialect_text good = { "test", "# prose\n" HEAD
                                           "Conv_1a_7x7\tweight\tb\t64x3x7x7" };
    assert_int_equal(i3d_dialect_parse(&good, arena, &parsed, &count, &error), I3D_OK);
    assert_int_equal(count, 1);
    assert_int_equal(parsed->entry_count, 1);
    assert_int_equal(parsed->entries[0].dims[1], 3);
    i3d_arena_free(arena);
}

/* Bytes pinned: seeded weights are the same everywhere, in any release. */
static void test_synth_bytes(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1", NULL, (struct i3d_architecture_options){ 0 },
                                      7);
    static const struct {
        const char *name;
        uint64_t sum;
    } pinned[] = {
        { "Conv2d_1a_7x7_conv/Conv2d_1a_7x7_conv/kernel:0", 0x251308d1df5350c9 },
        { "Conv2d_1a_7x7_bn/Conv2d_1a_7x7_bn/moving_variance:0", 0x5d3dc8f1568027c3 },
        { "Conv2d_4c_1b_3x3_bn/Conv2d_4c_1b_3x3_bn/moving_mean:0", 0x37a64155d6bbed40 },
        { "Conv2d_5c_2b_3x3_bn/Conv2d_5c_2b_3x3_bn/beta:0", 0xba3bdbc869fb5991 },
        { "Conv2d_6a_1x1_conv/Conv2d_6a_1x1_conv/bias:0", 0xed26935178557ad0 },
    };
    bool wrong = false;
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++) {
        uint64_t sum = checksum(i3d_find_tensor(weights, pinned[i].name));
        if (sum != pinned[i].sum)
            print_message("%s: 0x%016llx\n", pinned[i].name, (unsigned long long)sum);
        wrong |= sum != pinned[i].sum;
    }
    assert_false(wrong);
    i3d_model_free(weights);
}

static void test_synth_pieces(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1_bvlc", NULL,
                                      (struct i3d_architecture_options){ 0 }, 1);
    const struct i3d_tensor *tensor = i3d_find_tensor(weights, "conv1/7x7_s2_b_0");
    unsigned char *whole, parts[64 * 4];
    assert_non_null(tensor);
    assert_int_equal(i3d_tensor_load(tensor, (void **)&whole, NULL), I3D_OK);
    for (size_t at = 0, length = 1; at < sizeof parts; at += length, length = length % 13 + 1) {
        if (length > sizeof parts - at)
            length = sizeof parts - at;
        assert_int_equal(i3d_source_read(tensor->source, at, parts + at, length, NULL), I3D_OK);
    }
    assert_memory_equal(parts, whole, sizeof parts);
    free(whole);
    i3d_model_free(weights);
}

static void assert_statistics(const struct i3d_model *weights, const char *name, double mean,
                              double deviation, double tolerance)
{
    double *values, sum = 0, squares = 0;
    const struct i3d_tensor *tensor = i3d_find_tensor(weights, name);
    assert_non_null(tensor);
    int64_t count = i3d_tensor_elements(tensor);
    assert_int_equal(i3d_tensor_load_double(tensor, &values, NULL), I3D_OK);
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
        squares += (values[i] - mean) * (values[i] - mean);
    }
    free(values);
    double spread = squares / (double)count / (deviation * deviation);
    assert_true(sum / (double)count - mean < tolerance && mean - sum / (double)count < tolerance);
    assert_true(spread > 1 - 10 * tolerance / deviation && spread < 1 + 10 * tolerance / deviation);
}

static void test_synth_statistics(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1_torchvision", NULL,
                                      (struct i3d_architecture_options){ 0 }, 3);
    /* √(2 / (64·9)) and √(2 / 1024) */
    assert_statistics(weights, "conv3.conv.weight", 0, 0.0589256, 0.0006);
    assert_statistics(weights, "fc.weight", 0, 0.0441942, 0.0002);
    assert_statistics(weights, "inception5b.branch1.bn.running_var", 1, 0.288675, 0.05);
    assert_statistics(weights, "inception5b.branch1.bn.weight", 1, 0.1, 0.02);
    i3d_model_free(weights);
}

/* The last map ahead of the pool: its channels and its size for an image of 224×224. */
static void assert_last_map(const char *architecture, const struct i3d_shapes *shapes)
{
    static const struct {
        const char *start, *value;
        int64_t channels, size;
    } maps[] = {
        { "inception_v1_bvlc", "Mixed_5c/Concat", 1024, 6 },
        { "inception", "Mixed_5c/Concat", 1024, 7 },
        { "resnet18", "layer4.1/Relu", 512, 7 },
        { "resnet34", "layer4.2/Relu", 512, 7 },
        { "resnet", "layer4.2/Relu", 2048, 7 },
        { "vgg11_bn", "features.28", 512, 7 },
        { "vgg11", "features.20", 512, 7 },
        { "vgg13_bn", "features.34", 512, 7 },
        { "vgg13", "features.24", 512, 7 },
        { "vgg16_bn", "features.43", 512, 7 },
        { "vgg16", "features.30", 512, 7 },
        { "vgg19_bn", "features.52", 512, 7 },
        { "vgg19", "features.36", 512, 7 },
        { "densenet121", "features.norm5/Relu", 1024, 7 },
        { "mobilenet_v2", "features.18.0/Relu6", 1280, 7 },
        { "squeezenet1_1", "features.12/Concat", 512, 13 },
        { "efficientnet_lite0", "_conv_head/Relu6", 1280, 7 },
    };
    size_t i = 0;
    while (strncmp(architecture, maps[i].start, strlen(maps[i].start)))
        assert_true(++i < sizeof maps / sizeof *maps);
    const struct i3d_shape *last = i3d_shape_of(shapes, maps[i].value);
    assert_non_null(last);
    assert_int_equal(last->dims[1], maps[i].channels);
    assert_int_equal(last->dims[2], maps[i].size);
}

static void test_bound_graph(void **state)
{
    (void)state;
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++) {
        struct i3d_architecture_options options = { .classes = 17, .channels = 4 };
        struct i3d_model *weights = synth(one->name, NULL, options, 5);
        struct i3d_model *graph = bind(weights, NULL);
        struct i3d_error error;
        if (i3d_model_check(graph, &error))
            fail_msg("%s: %s", error.where, error.message);
        assert_string_equal(i3d_metadata(graph, "i3dconv.dialect"), one->dialect);
        assert_string_equal(i3d_metadata(graph, "i3dconv.architecture"), one->name);
        assert_string_equal(i3d_metadata(graph, "i3dconv.stream"), "rgb");
        struct i3d_shapes *shapes;
        assert_int_equal(i3d_infer_shapes(graph, NULL, NULL, 0, &shapes, &error), I3D_OK);
        const struct i3d_shape *logits = i3d_shape_of(shapes, "logits");
        assert_int_equal(logits->rank, 2);
        assert_int_equal(logits->dims[1], 17);
        assert_last_map(one->name, shapes);
        i3d_shapes_free(shapes);
        i3d_model_free(graph);
        i3d_model_free(weights);
    }
}

static void test_layout(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1", "tf-slim-inception_v1",
                                      (struct i3d_architecture_options){ 0 }, 2);
    struct i3d_model *graph = bind(weights, NULL);
    const struct i3d_tensor *hwio = i3d_find_tensor(weights, "InceptionV1/Conv2d_1a_7x7/weights");
    const struct i3d_tensor *oihw = i3d_find_tensor(graph, "Conv_1a_7x7/weight");
    float *file, *bound;
    assert_int_equal(i3d_tensor_load_float(hwio, &file, NULL), I3D_OK);
    assert_int_equal(i3d_tensor_load_float(oihw, &bound, NULL), I3D_OK);
    for (int o = 0; o < 64; o++)
        for (int i = 0; i < 3; i++)
            for (int y = 0; y < 7; y++)
                for (int x = 0; x < 7; x++)
                    assert_true(file[((y * 7 + x) * 3 + i) * 64 + o]
                                == bound[((o * 3 + i) * 7 + y) * 7 + x]);
    assert_int_equal(i3d_find_tensor(graph, "Logits/Conv_0c_1x1/bias")->dims[0], 1001);
    free(file);
    free(bound);
    i3d_model_free(weights);
    i3d_model_free(graph);
}

static void test_round_trip_2d(void **state)
{
    (void)state;
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++) {
        struct i3d_model *weights = synth(one->name, NULL, (struct i3d_architecture_options){ 0 },
                                          11);
        struct i3d_model *graph = bind(weights, one->dialect);
        struct i3d_model *again = unbind(graph, one->dialect);
        assert_same_tensors(weights, again);
        i3d_model_free(weights);
        i3d_model_free(graph);
        i3d_model_free(again);
    }
}

/* Through another codebase's names and back. */
static void test_round_trip_across(void **state)
{
    (void)state;
    struct i3d_model *keras = synth("inception_v1", NULL, (struct i3d_architecture_options){ 0 },
                                    12);
    struct i3d_model *graph = bind(keras, NULL);
    struct i3d_model *slim = unbind(graph, "tf-slim-inception_v1");
    struct i3d_model *slim_graph = bind(slim, NULL);
    struct i3d_model *again = unbind(slim_graph, "keras-inception_v1");
    assert_same_tensors(keras, again);
    i3d_model_free(keras);
    i3d_model_free(graph);
    i3d_model_free(slim);
    i3d_model_free(slim_graph);
    i3d_model_free(again);
}

static void test_round_trip_3d(void **state)
{
    (void)state;
    static const char *const dialects[] = { "keras-i3d", "sonnet", "sonnet-kin600", "pytorch-i3d",
                                            "hassony2-i3d" };
    struct i3d_model *weights = synth("inception_v1", NULL,
                                      (struct i3d_architecture_options){ .classes = 5 }, 13);
    struct i3d_model *flat = bind(weights, NULL);
    for (int stream = I3D_RGB; stream <= I3D_FLOW; stream++) {
        struct i3d_model *inflated =
            inflate(flat, (struct i3d_inflate_options){ .stream = (enum i3d_stream)stream });
        struct i3d_model *keras = unbind(inflated, "keras-i3d");
        assert_string_equal(i3d_metadata(keras, "i3dconv.stream"), stream ? "flow" : "rgb");
        const struct i3d_tensor *first =
            i3d_find_tensor(keras, "Conv3d_1a_7x7_conv/Conv3d_1a_7x7_conv/kernel:0");
        assert_non_null(first);
        assert_int_equal(first->dims[3], stream ? 2 : 3);
        for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
            struct i3d_model *named = unbind(inflated, dialects[i]);
            if (!strcmp(dialects[i], "sonnet"))
                assert_non_null(i3d_find_tensor(
                    named, stream ? "Flow/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/b"
                                  : "RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/b"));
            struct i3d_model *graph = bind(named, NULL);
            assert_string_equal(i3d_metadata(graph, "i3dconv.dialect"), dialects[i]);
            assert_int_equal(graph->time_axis, 2);
            assert_int_equal(i3d_model_check(graph, NULL), I3D_OK);
            struct i3d_model *again = unbind(graph, "keras-i3d");
            assert_same_tensors(keras, again);
            i3d_model_free(again);
            i3d_model_free(graph);
            i3d_model_free(named);
        }
        i3d_model_free(keras);
        i3d_model_free(inflated);
    }
    i3d_model_free(flat);
    i3d_model_free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_broken_tables),
        cmocka_unit_test(test_synth_bytes),
        cmocka_unit_test(test_synth_pieces),
        cmocka_unit_test(test_synth_statistics),
        cmocka_unit_test(test_bound_graph),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_round_trip_2d),
        cmocka_unit_test(test_round_trip_across),
        cmocka_unit_test(test_round_trip_3d),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
