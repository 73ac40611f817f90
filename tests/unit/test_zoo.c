/* Dialects, architectures, binding and its inverse, recognition, seeded weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "converters/inflate.h"
#include "model/shape.h"
#include "zoo/dialects.h"
#include "zoo/structure.h"
#include "zoo/inception_v1.h"

static const struct i3d_dialect *dialect(const char *name)
{
    const struct i3d_dialect *found = i3d_dialect_by_name(name);
    assert_non_null(found);
    return found;
}

static struct i3d_model *synth(const char *architecture, const char *in_dialect,
                               struct i3d_architecture_options options, uint64_t seed)
{
    struct i3d_error error;
    struct i3d_model *weights;
    enum i3d_status status =
        i3d_zoo_synth(i3d_architecture_by_name(architecture), &options, seed,
                      in_dialect ? dialect(in_dialect) : NULL, &weights, &error);
    if (status)
        fail_msg("%s: %s", error.where, error.message);
    return weights;
}

static struct i3d_model *bind(const struct i3d_model *weights, const char *in_dialect)
{
    struct i3d_error error;
    struct i3d_model *bound;
    if (i3d_zoo_bind(weights, in_dialect ? dialect(in_dialect) : NULL, &bound, &error))
        fail_msg("%s: %s", error.where, error.message);
    return bound;
}

static struct i3d_model *unbind(const struct i3d_model *graph, const char *in_dialect)
{
    struct i3d_error error;
    struct i3d_model *weights;
    if (i3d_zoo_unbind(graph, dialect(in_dialect), &weights, &error))
        fail_msg("%s: %s", error.where, error.message);
    return weights;
}

static struct i3d_model *inflate(const struct i3d_model *flat,
                                 struct i3d_inflate_options options)
{
    struct i3d_error error;
    struct i3d_model *inflated;
    options.recipe = options.recipe ? options.recipe : "i3d";
    if (i3d_inflate(flat, &options, &inflated, &error))
        fail_msg("%s: %s", error.where, error.message);
    return inflated;
}

static uint64_t checksum(const struct i3d_tensor *tensor)
{
    void *bytes;
    assert_non_null(tensor);
    assert_int_equal(i3d_tensor_load(tensor, &bytes, NULL), I3D_OK);
    uint64_t hash = 0xcbf29ce484222325;
    for (uint64_t i = 0; i < i3d_tensor_bytes(tensor); i++)
        hash = (hash ^ ((unsigned char *)bytes)[i]) * 0x100000001b3;
    free(bytes);
    return hash;
}

static void assert_same_tensors(const struct i3d_model *a, const struct i3d_model *b)
{
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const struct i3d_tensor *x = &a->tensors[i], *y = &b->tensors[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims);
        void *left, *right;
        assert_int_equal(i3d_tensor_load(x, &left, NULL), I3D_OK);
        assert_int_equal(i3d_tensor_load(y, &right, NULL), I3D_OK);
        assert_memory_equal(left, right, i3d_tensor_bytes(x));
        free(left);
        free(right);
    }
}

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

static void assert_shape(const struct i3d_model *model, const char *name, const char *shape)
{
    const struct i3d_tensor *tensor = i3d_find_tensor(model, name);
    char found[64];
    assert_non_null(tensor);
    assert_string_equal(i3d_shape_string(tensor->rank, tensor->dims, found, sizeof found), shape);
}

/* Shapes of the three codebases of residual networks, and that each is bound again. */
static void test_residual_dialects(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *dialect, *stem, *first, *fourth;
    } expected[] = {
        { "mmaction2-i3d", "mmaction2-i3d", "64x3x5x7x7", "64x64x3x1x1", "512x2048x3x1x1" },
        { "slowonly", "mmaction2-slowonly", "64x3x1x7x7", "64x64x1x1x1", "512x2048x3x1x1" },
    };
    struct i3d_model *weights = synth("resnet50", NULL, (struct i3d_architecture_options){ 0 }, 3);
    assert_shape(weights, "layer1.0.downsample.0.weight", "256x64x1x1");
    assert_shape(weights, "layer4.2.bn3.num_batches_tracked", "scalar");
    assert_shape(weights, "fc.weight", "1000x2048");
    struct i3d_model *flat = bind(weights, "torchvision-resnet");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct i3d_inflate_options options = { .recipe = expected[i].recipe };
        struct i3d_model *inflated;
        assert_int_equal(i3d_inflate(flat, &options, &inflated, NULL), I3D_OK);
        struct i3d_model *named = unbind(inflated, expected[i].dialect);
        assert_shape(named, "backbone.conv1.conv.weight", expected[i].stem);
        assert_shape(named, "backbone.layer1.0.conv1.conv.weight", expected[i].first);
        assert_shape(named, "backbone.layer4.1.conv1.conv.weight", expected[i].fourth);
        assert_shape(named, "backbone.layer2.0.downsample.bn.running_mean", "512");
        assert_shape(named, "cls_head.fc_cls.weight", "1000x2048");
        struct i3d_model *graph = bind(named, NULL);
        assert_string_equal(i3d_metadata(graph, "i3dconv.dialect"), expected[i].dialect);
        struct i3d_model *again = unbind(graph, expected[i].dialect);
        assert_same_tensors(named, again);
        i3d_model_free(again);
        i3d_model_free(graph);
        i3d_model_free(named);
        i3d_model_free(inflated);
    }
    i3d_model_free(flat);
    i3d_model_free(weights);
}

/* DataParallel's prefix: conv1.weight is not to be taken for layer1.0.conv1.weight. */
static void test_prefixed_names(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("resnet18", NULL, (struct i3d_architecture_options){ 0 }, 4);
    struct i3d_model *expected = bind(weights, NULL);
    for (size_t i = 0; i < weights->tensor_count; i++)
        weights->tensors[i].name = i3d_arena_printf(weights->arena, "module.%s",
                                                    weights->tensors[i].name);
    struct i3d_model *graph = bind(weights, NULL);
    assert_string_equal(i3d_metadata(graph, "i3dconv.architecture"), "resnet18");
    assert_same_tensors(expected, graph);
    i3d_model_free(graph);
    i3d_model_free(expected);
    i3d_model_free(weights);
}

/* torchvision's pads against SAME: the first convolution alone reads otherwise. */
static void test_nearly_fitting(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1_torchvision", NULL,
                                      (struct i3d_architecture_options){ .classes = 4 }, 3);
    struct i3d_model *flat = bind(weights, NULL);
    struct i3d_model *inflated = inflate(flat, (struct i3d_inflate_options){ 0 });
    static const char *const dialects[] = { "pytorch-i3d", "sonnet" };
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        struct i3d_zoo_changes changes;
        struct i3d_model *named = NULL;
        struct i3d_error error;
        assert_int_equal(i3d_zoo_unbind_nearly(inflated, dialect(dialects[i]), &changes, &named,
                                               &error), I3D_OK);
        assert_int_equal(changes.count, 1);
        assert_string_equal(changes.lines[0],
                            "Conv_1a_7x7: 7x7x7 stride 2x2x2 pads 3x3x3+3x3x3 on 64x224x224 becomes "
                            "7x7x7 stride 2x2x2 pads 2x2x2+3x3x3 on 64x224x224");
        i3d_zoo_changes_free(&changes);
        i3d_model_free(named);
    }
    i3d_model_free(inflated);
    i3d_model_free(flat);
    i3d_model_free(weights);
}

static enum i3d_status count_read(void *context, uint64_t offset, void *bytes, size_t length,
                                  struct i3d_error *error)
{
    (void)offset;
    (void)error;
    memset(bytes, 0, length);
    ++*(int *)context;
    return I3D_OK;
}

static void test_binding_reads_nothing(void **state)
{
    (void)state;
    int reads = 0;
    struct i3d_model *weights = i3d_model_new();
    const struct i3d_dialect *keras = dialect("keras-i3d");
    for (size_t i = 0; i < keras->entry_count; i++) {
        const struct i3d_dialect_entry *entry = &keras->entries[i];
        uint64_t length = (uint64_t)i3d_element_count(entry->rank, entry->dims) * sizeof(float);
        assert_int_equal(i3d_model_put_tensor(weights, entry->name, I3D_FLOAT32, entry->rank,
                                              entry->dims,
                                              i3d_source_callback(count_read, NULL, &reads, length),
                                              NULL), I3D_OK);
    }
    struct i3d_model *graph = bind(weights, NULL);
    assert_int_equal(reads, 0);
    assert_int_equal(i3d_find_tensor(graph, "Logits/Conv_0c_1x1/weight")->dims[0], 400);
    assert_true(checksum(i3d_find_tensor(graph, "Conv_2b_1x1/weight")) != 0 && reads > 0);
    i3d_model_free(graph);
    i3d_model_free(weights);
}

/* The names under which Keras 3, nested models and other savers keep the same. */
static void test_names_of_other_savers(void **state)
{
    (void)state;
    static const char *const forms[] = { "%s/%s", "model/%s/%s", "%s/%s:0" };
    struct i3d_model *weights = synth("inception_v1", NULL, (struct i3d_architecture_options){ 0 },
                                      14);
    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        struct i3d_model *renamed;
        assert_int_equal(i3d_model_copy(weights, &renamed, NULL), I3D_OK);
        for (size_t i = 0; i < renamed->tensor_count; i++) {
            char layer[128], *slash;
            snprintf(layer, sizeof layer, "%s", renamed->tensors[i].name);
            assert_non_null(slash = strchr(layer, '/'));
            *slash = '\0';
            char *last = strrchr(slash + 1, '/') + 1;
            last[strlen(last) - 2] = '\0'; /* ":0" */
            char name[300];
            snprintf(name, sizeof name, forms[form], layer, last);
            renamed->tensors[i].name = i3d_arena_string(renamed->arena, name);
        }
        struct i3d_model *graph = bind(renamed, NULL);
        struct i3d_model *again = unbind(graph, "keras-inception_v1");
        assert_same_tensors(weights, again);
        i3d_model_free(again);
        i3d_model_free(graph);
        i3d_model_free(renamed);
    }
    i3d_model_free(weights);
}

static void put_small(struct i3d_model *model, const char *name)
{
    const float value = 0;
    const int64_t one = 1;
    assert_int_equal(i3d_model_put_floats(model, name, 1, &one, &value, NULL), I3D_OK);
}

/* Axes of size 1 around a vector, optimiser slots, no prefix: a Sonnet file. */
static void test_ignored_and_unprefixed(void **state)
{
    (void)state;
    struct i3d_model *weights = i3d_model_new();
    const struct i3d_dialect *sonnet = dialect("sonnet");
    const float zero = 0;
    for (size_t i = 0; i < sonnet->entry_count; i++) {
        const struct i3d_dialect_entry *entry = &sonnet->entries[i];
        const char *name = entry->name + strlen(sonnet->prefix);
        int64_t dims[5] = { 1, 1, 1, 1, entry->dims[0] };
        bool wide = entry->rank == 1 && strcmp(entry->role, "bias");
        uint64_t length = (uint64_t)i3d_element_count(entry->rank, entry->dims) * sizeof zero;
        assert_int_equal(i3d_model_put_tensor(weights, name, I3D_FLOAT32, wide ? 5 : entry->rank,
                                              wide ? dims : entry->dims,
                                              i3d_source_fill(&zero, sizeof zero, length), NULL),
                         I3D_OK);
    }
    put_small(weights, "Mixed_3b/Branch_0/Conv3d_0a_1x1/conv_3d/w/Momentum");
    put_small(weights, "global_step");
    struct i3d_dialect_fit fit;
    assert_int_equal(i3d_dialect_measure(sonnet, weights, &fit, NULL), I3D_OK);
    assert_int_equal(fit.matched, 230);
    assert_int_equal(fit.missing + fit.misshapen + fit.unexpected, 0);
    struct i3d_model *graph = bind(weights, NULL);
    assert_int_equal(i3d_find_tensor(graph, "Conv_1a_7x7/beta")->rank, 1);
    i3d_model_free(graph);
    i3d_model_free(weights);
}

static void assert_binding_fails(const struct i3d_model *weights, const char *in_dialect,
                                 const char *message)
{
    struct i3d_error error;
    struct i3d_model *bound;
    assert_int_equal(i3d_zoo_bind(weights, in_dialect ? dialect(in_dialect) : NULL, &bound,
                                  &error), I3D_UNSUPPORTED);
    assert_null(bound);
    assert_string_equal(error.message, message);
}

static void test_near_misses(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1", NULL, (struct i3d_architecture_options){ 0 },
                                      15);
    put_small(weights, "extra/kernel");
    assert_binding_fails(weights, NULL, "it fits no dialect; nearest is keras-inception_v1; "
                                        "1 is not expected, first extra/kernel");
    struct i3d_model *graph = bind(weights, "keras-inception_v1"); /* asked for by name */
    i3d_model_free(graph);

    weights->tensors[2].name = "renamed";
    assert_binding_fails(weights, NULL,
                         "it fits no dialect; nearest is keras-inception_v1; 1 of 230 tensors are "
                         "missing, first Conv2d_1a_7x7_bn/Conv2d_1a_7x7_bn/moving_mean:0; "
                         "2 are not expected, first renamed");
    weights->tensors[2].name = "Conv2d_1a_7x7_bn/moving_mean";
    weights->tensors[2].rank = 2;
    weights->tensors[2].dims[0] = weights->tensors[2].dims[1] = 8;
    assert_binding_fails(weights, "keras-inception_v1",
                         "it does not fit the dialect keras-inception_v1; 1 have another shape or "
                         "type, first Conv2d_1a_7x7_bn/moving_mean: float32 8x8, not 64; "
                         "1 is not expected, first extra/kernel");
    i3d_model_free(weights);

    weights = i3d_model_new();
    put_small(weights, "layer4.weight");
    assert_binding_fails(weights, NULL, "none of its 1 tensors has a name of a dialect known here");
    i3d_model_free(weights);
}

/* A class count that bias and kernel do not share is no class count. */
static void test_classes_have_to_agree(void **state)
{
    (void)state;
    struct i3d_model *weights = synth("inception_v1", NULL, (struct i3d_architecture_options){ 0 },
                                      16);
    struct i3d_tensor *bias =
        i3d_find_tensor(weights, "Conv2d_6a_1x1_conv/Conv2d_6a_1x1_conv/bias:0");
    bias->dims[0] = 999;
    struct i3d_dialect_fit fit;
    assert_int_equal(i3d_dialect_measure(dialect("keras-inception_v1"), weights, &fit, NULL),
                     I3D_OK);
    assert_int_equal(fit.misshapen, 1);
    assert_int_equal(fit.classes, 1000);
    assert_int_equal(fit.channels, 3);
    i3d_model_free(weights);
}

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
        cmocka_unit_test(test_residual_dialects),
        cmocka_unit_test(test_prefixed_names),
        cmocka_unit_test(test_nearly_fitting),
        cmocka_unit_test(test_binding_reads_nothing),
        cmocka_unit_test(test_names_of_other_savers),
        cmocka_unit_test(test_ignored_and_unprefixed),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_classes_have_to_agree),
        cmocka_unit_test(test_recognition),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_geometry_that_does_not_fit),
        cmocka_unit_test(test_biases_become_batch_norms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
