/* Names of parameters as other savers and codebases write them, and what nearly fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/small_zoo.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual_dialects),
        cmocka_unit_test(test_prefixed_names),
        cmocka_unit_test(test_nearly_fitting),
        cmocka_unit_test(test_binding_reads_nothing),
        cmocka_unit_test(test_names_of_other_savers),
        cmocka_unit_test(test_ignored_and_unprefixed),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_classes_have_to_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
