/* The graph's JSON: a model with everything in it comes back the same, and
 * hostile text is refused with its place. */
#include "model/graph_json.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const float odd_floats[] = {
    0.0f, -0.0f, 1.0f, 0.1f, 1e-5f, 1e22f, FLT_MAX, -FLT_MAX, FLT_MIN, FLT_TRUE_MIN,
    16777216.0f, 16777215.0f, 3.14159274f, 1.0000001f, INFINITY, -INFINITY,
};
enum { ODD_FLOATS = sizeof odd_floats / sizeof odd_floats[0] };
static const int64_t odd_ints[] = { 0, -1, INT64_MAX, INT64_MIN, 1LL << 53, (1LL << 53) + 1 };
enum { ODD_INTS = sizeof odd_ints / sizeof odd_ints[0] };

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static struct i3d_bytes bytes(const void *data, size_t length)
{
    return (struct i3d_bytes){ .data = data, .length = length };
}

static void fill_value(struct i3d_value *value)
{
    value->name = "input \"0\"\n\xc3\xa9";
    value->dtype = I3D_FLOAT16;
    value->rank = 5;
    value->dims[0] = (struct i3d_dim){ .value = -1, .name = "batch" };
    value->dims[1] = (struct i3d_dim){ .value = 3 };
    value->dims[2] = (struct i3d_dim){ .value = -1 };
    value->dims[3] = (struct i3d_dim){ .value = -1, .name = "\xff" };
    value->dims[4] = (struct i3d_dim){ .value = INT64_MAX, .name = "both" };
    value->doc = "";
    value->unknown = bytes("\0\1\2", 3);
}

/* Everything a model can hold. The strings are constants, so they outlive it. */
static struct i3d_model *full_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    model->name = "graph";
    model->doc = "two\nlines";
    model->producer = "p\x80q";
    model->producer_version = "1.13";
    model->domain = "com.example";
    model->ir_version = 8;
    model->model_version = INT64_MIN;
    model->time_axis = 2;
    model->unknown_model = bytes("\xff", 1);
    model->unknown_graph = bytes("\x12\x00\x34\x56", 4);
    assert_true(i3d_set_opset(model, "", 13));
    assert_true(i3d_set_opset(model, "com.example", INT64_MAX));
    assert_true(i3d_set_metadata(model, "author", "n\xc3\xb6"));
    assert_true(i3d_set_metadata(model, "\xfe", ""));
    fill_value(i3d_model_add_input(model));
    fill_value(i3d_model_add_output(model));
    i3d_model_add_value(model)->name = "unranked";
    struct i3d_value *scalar = i3d_model_add_value(model);
    scalar->name = "scalar of a type without a name";
    scalar->dtype = (enum i3d_dtype)14;
    scalar->rank = 0;
    for (int k = 0; k < 2; k++) {
        struct i3d_tensor *tensor = i3d_model_add_tensor(model);
        tensor->name = k ? "second\xff" : "first";
        tensor->doc = k ? NULL : "about it";
        tensor->dtype = I3D_FLOAT32;
    }

    struct i3d_node *node = i3d_model_put_node(model, "Mystery", "n\xe9", (const char *[]){
        "input \"0\"\n\xc3\xa9", "", "first", NULL }, (const char *[]){ "unranked", NULL });
    node->domain = "com.example";
    node->doc = "a node";
    node->unknown = bytes("x", 1);
    assert_true(i3d_set_float(model, node, "nan", float_of_bits(0xffc12345)));
    assert_true(i3d_set_float(model, node, "tenth", 0.1f));
    assert_true(i3d_set_int(model, node, "int", INT64_MIN));
    assert_true(i3d_set_ints(model, node, "ints", odd_ints, ODD_INTS));
    assert_true(i3d_set_ints(model, node, "no_ints", odd_ints, 0));
    assert_true(i3d_set_string(model, node, "text", "NOTSET"));

    static const struct i3d_bytes strings[] = {
        { "plain", 5 }, { NULL, 0 }, { "a\0b", 3 }, { "\xed\xa0\x80", 3 },
    };
    static const struct i3d_attribute rest[] = {
        { .name = "string", .type = I3D_ATTRIBUTE_STRING, .s = { "\0\xff", 2 } },
        { .name = "empty", .type = I3D_ATTRIBUTE_STRING },
        { .name = "floats", .type = I3D_ATTRIBUTE_FLOATS, .count = ODD_FLOATS,
          .floats = odd_floats },
        { .name = "strings", .type = I3D_ATTRIBUTE_STRINGS, .count = 4, .strings = strings },
        { .name = "graph", .type = I3D_ATTRIBUTE_GRAPH, .raw = { "\x0a\x01g", 3 } },
        { .name = "sparse", .type = (enum i3d_attribute_type)11, .raw = { "\x00", 1 } },
        { .name = "tensor", .type = I3D_ATTRIBUTE_TENSOR },
        { .name = "unbound", .type = I3D_ATTRIBUTE_TENSOR },
    };
    enum { REST = sizeof rest / sizeof rest[0] };
    struct i3d_attribute *all = i3d_arena_alloc(model->arena, node->attribute_count + REST,
                                                sizeof *all);
    assert_non_null(all);
    memcpy(all, node->attributes, node->attribute_count * sizeof *all);
    memcpy(all + node->attribute_count, rest, sizeof rest);
    node->attributes = all;
    node->attribute_count += REST;
    for (size_t k = node->attribute_count - 2; k < node->attribute_count; k++) {
        struct i3d_tensor *tensor = i3d_arena_alloc(model->arena, 1, sizeof *tensor);
        assert_non_null(tensor);
        *tensor = (struct i3d_tensor){ .name = "t", .dtype = I3D_INT32, .rank = 2,
                                       .dims = { 1, 3 }, .doc = "numbers" };
        if (k == node->attribute_count - 2)
            tensor->source = i3d_source_copy((int32_t[]){ 1, -2, INT32_MAX }, 12);
        all[k].tensor = tensor;
    }
    return model;
}

static char *to_json(const struct i3d_model *model)
{
    char *json;
    struct i3d_error error;
    assert_int_equal(i3d_graph_to_json(model, &json, &error), I3D_OK);
    return json;
}

static struct i3d_model *from_json(const char *json)
{
    struct i3d_model *model = i3d_model_new();
    struct i3d_error error;
    assert_non_null(model);
    enum i3d_status status = i3d_graph_from_json(json, strlen(json), model, &error);
    if (status)
        print_error("%s: %s\n", error.where, error.message);
    assert_int_equal(status, I3D_OK);
    return model;
}

static void assert_text(const char *found, const char *wanted)
{
    assert_int_equal(!found, !wanted);
    if (wanted)
        assert_string_equal(found, wanted);
}

static void assert_bytes(struct i3d_bytes found, struct i3d_bytes wanted)
{
    assert_int_equal(found.length, wanted.length);
    if (wanted.length)
        assert_memory_equal(found.data, wanted.data, wanted.length);
    else
        assert_null(found.data);
}

static void assert_values(const struct i3d_value *found, const struct i3d_value *wanted,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_text(found[i].name, wanted[i].name);
        assert_int_equal(found[i].dtype, wanted[i].dtype);
        assert_int_equal(found[i].rank, wanted[i].rank);
        assert_text(found[i].doc, wanted[i].doc);
        assert_bytes(found[i].unknown, wanted[i].unknown);
        for (int k = 0; k < wanted[i].rank; k++) {
            assert_int_equal(found[i].dims[k].value, wanted[i].dims[k].value);
            assert_text(found[i].dims[k].name, wanted[i].dims[k].name);
        }
    }
}

static void assert_attribute(const struct i3d_attribute *found,
                             const struct i3d_attribute *wanted)
{
    assert_text(found->name, wanted->name);
    assert_int_equal(found->type, wanted->type);
    assert_memory_equal(&found->f, &wanted->f, sizeof found->f);
    assert_int_equal(found->i, wanted->i);
    assert_bytes(found->s, wanted->s);
    assert_bytes(found->raw, wanted->raw);
    assert_int_equal(found->count, wanted->count);
    for (size_t k = 0; k < wanted->count; k++) {
        if (wanted->type == I3D_ATTRIBUTE_FLOATS)
            assert_memory_equal(&found->floats[k], &wanted->floats[k], sizeof(float));
        else if (wanted->type == I3D_ATTRIBUTE_INTS)
            assert_int_equal(found->ints[k], wanted->ints[k]);
        else
            assert_bytes(found->strings[k], wanted->strings[k]);
    }
    assert_int_equal(!found->tensor, !wanted->tensor);
    if (!wanted->tensor)
        return;
    assert_text(found->tensor->name, wanted->tensor->name);
    assert_text(found->tensor->doc, wanted->tensor->doc);
    assert_int_equal(found->tensor->dtype, wanted->tensor->dtype);
    assert_int_equal(found->tensor->rank, wanted->tensor->rank);
    for (int k = 0; k < wanted->tensor->rank; k++)
        assert_int_equal(found->tensor->dims[k], wanted->tensor->dims[k]);
    assert_int_equal(!found->tensor->source, !wanted->tensor->source);
    if (!wanted->tensor->source)
        return;
    void *a, *b;
    assert_int_equal(i3d_tensor_load(found->tensor, &a, NULL), I3D_OK);
    assert_int_equal(i3d_tensor_load(wanted->tensor, &b, NULL), I3D_OK);
    assert_memory_equal(a, b, i3d_tensor_bytes(wanted->tensor));
    free(a);
    free(b);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct i3d_model *model = full_model();
    char *json = to_json(model);
    assert_null(strchr(json, '\n'));
    struct i3d_model *back = from_json(json);

    assert_text(back->name, model->name);
    assert_text(back->doc, model->doc);
    assert_text(back->producer, model->producer);
    assert_text(back->producer_version, model->producer_version);
    assert_text(back->domain, model->domain);
    assert_int_equal(back->ir_version, model->ir_version);
    assert_int_equal(back->model_version, model->model_version);
    assert_int_equal(back->time_axis, model->time_axis);
    assert_bytes(back->unknown_model, model->unknown_model);
    assert_bytes(back->unknown_graph, model->unknown_graph);
    assert_int_equal(back->opset_count, 2);
    assert_int_equal(i3d_opset(back), 13);
    assert_text(back->opsets[1].domain, "com.example");
    assert_int_equal(back->opsets[1].version, INT64_MAX);
    assert_int_equal(back->metadata_count, 2);
    assert_text(i3d_metadata(back, "author"), "n\xc3\xb6");
    assert_text(i3d_metadata(back, "\xfe"), "");
    assert_int_equal(back->input_count, 1);
    assert_int_equal(back->output_count, 1);
    assert_int_equal(back->value_count, 2);
    assert_values(back->inputs, model->inputs, 1);
    assert_values(back->outputs, model->outputs, 1);
    assert_values(back->values, model->values, 2);
    assert_int_equal(back->tensor_count, 0);

    assert_int_equal(back->node_count, 1);
    const struct i3d_node *found = back->nodes, *wanted = model->nodes;
    assert_text(found->name, wanted->name);
    assert_text(found->op_type, wanted->op_type);
    assert_text(found->domain, wanted->domain);
    assert_text(found->doc, wanted->doc);
    assert_bytes(found->unknown, wanted->unknown);
    assert_int_equal(found->input_count, 3);
    assert_int_equal(found->output_count, 1);
    for (size_t k = 0; k < 3; k++)
        assert_text(found->inputs[k], wanted->inputs[k]);
    assert_text(found->outputs[0], "unranked");
    assert_int_equal(found->attribute_count, wanted->attribute_count);
    for (size_t k = 0; k < wanted->attribute_count; k++)
        assert_attribute(&found->attributes[k], &wanted->attributes[k]);

    /* The lists that grow still do. */
    assert_true(i3d_set_metadata(back, "more", "of it"));
    assert_true(i3d_set_opset(back, "third", 1));
    i3d_model_free(back);
    i3d_model_free(model);
    free(json);
}

static void test_same_text_again(void **state)
{
    (void)state;
    struct i3d_model *model = full_model();
    model->tensor_count = 0; /* the reader leaves the tensors out */
    char *first = to_json(model), *again = to_json(model);
    assert_string_equal(first, again);
    struct i3d_model *back = from_json(first);
    char *second = to_json(back);
    assert_string_equal(first, second);
    free(first);
    free(again);
    free(second);
    i3d_model_free(back);
    i3d_model_free(model);
}

static void test_tensor_names(void **state)
{
    (void)state;
    struct i3d_model *model = full_model();
    char *json = to_json(model);
    struct i3d_pair *names;
    size_t count;
    assert_int_equal(i3d_tensor_names_from_json(json, strlen(json), model->arena, &names, &count,
                                                NULL), I3D_OK);
    assert_int_equal(count, 2);
    assert_text(names[0].key, "first");
    assert_text(names[0].value, "about it");
    assert_text(names[1].key, "second\xff");
    assert_text(names[1].value, NULL);
    free(json);

    const char *bad = "{\"version\":1,\"tensors\":[{\"name\":\"a\"},{\"name\":1}]}";
    struct i3d_error error;
    assert_int_equal(i3d_tensor_names_from_json(bad, strlen(bad), model->arena, &names, &count,
                                                &error), I3D_MALFORMED);
    assert_string_equal(error.where, "graph JSON, tensors[1].name");
    i3d_model_free(model);
}

static void test_text_is_as_documented(void **state)
{
    (void)state;
    struct i3d_model *model = i3d_model_new();
    struct i3d_node *node = i3d_model_put_node(model, "Conv", "c", (const char *[]){ "x", NULL },
                                               (const char *[]){ "y", NULL });
    i3d_set_ints(model, node, "pads", (int64_t[]){ 1, 2 }, 2);
    i3d_set_float(model, node, "alpha", 0.1f);
    i3d_set_float(model, node, "low", -INFINITY);
    i3d_set_float(model, node, "not", float_of_bits(0x7fc00000));
    char *json = to_json(model);
    assert_string_equal(json,
        "{\"version\":1,\"name\":\"\",\"doc\":\"\",\"producer\":\"\",\"producer_version\":\"\","
        "\"domain\":\"\",\"ir_version\":0,\"model_version\":0,\"time_axis\":-1,\"nodes\":[{"
        "\"name\":\"c\",\"op_type\":\"Conv\",\"domain\":\"\",\"inputs\":[\"x\"],\"outputs\":"
        "[\"y\"],\"attributes\":[{\"name\":\"pads\",\"type\":\"ints\",\"value\":[1,2]},{"
        "\"name\":\"alpha\",\"type\":\"float\",\"value\":0.100000001},{\"name\":\"low\","
        "\"type\":\"float\",\"value\":\"-inf\"},{\"name\":\"not\",\"type\":\"float\",\"value\":"
        "\"nan:7fc00000\"}]}]}");
    free(json);
    i3d_model_free(model);
}

/* Attribute tensors are loaded when they are written; a failure passes through. */
static enum i3d_status broken_read(void *context, uint64_t offset, void *buffer, size_t length,
                                   struct i3d_error *error)
{
    (void)context, (void)offset, (void)buffer, (void)length;
    return i3d_fail(error, I3D_SYSTEM, "the disk is gone");
}

static void test_tensor_that_cannot_be_read(void **state)
{
    (void)state;
    struct i3d_model *model = full_model();
    struct i3d_node *node = &model->nodes[0];
    struct i3d_tensor *tensor = node->attributes[node->attribute_count - 1].tensor;
    tensor->source = i3d_source_callback(broken_read, NULL, NULL, 12);
    char *json;
    struct i3d_error error;
    assert_int_equal(i3d_graph_to_json(model, &json, &error), I3D_SYSTEM);
    assert_null(json);
    assert_string_equal(error.message, "the disk is gone");
    i3d_model_free(model);
}

/* Where each text is refused; null: before it is a tree. */
static const struct {
    const char *json, *where;
} hostile[] = {
    { "", NULL },
    { "{", NULL },
    { "nonsense", NULL },
    { "{\"version\":1,\"version\":1}", NULL },
    { "{\"version\":1,\"name\":\"\\u0000\"}", NULL },
    { "{\"version\":1,\"name\":\"\xff\"}", NULL },
    { "{\"version\":1,\"ir_version\":9223372036854775808}", NULL },
    { "[]", "" },
    { "{}", "version" },
    { "{\"version\":0}", "version" },
    { "{\"version\":\"1\"}", "version" },
    { "{\"version\":1,\"name\":1}", "name" },
    { "{\"version\":1,\"name\":{\"base64\":\"AA==\"}}", "name" },
    { "{\"version\":1,\"name\":{\"base64\":\"AAA\"}}", "name" },
    { "{\"version\":1,\"name\":{\"base64\":\"AB==\"}}", "name" },
    { "{\"version\":1,\"name\":{\"base64\":\"====\"}}", "name" },
    { "{\"version\":1,\"name\":{\"base64\":\"A*AA\"}}", "name" },
    { "{\"version\":1,\"name\":{\"base64\":5}}", "name" },
    { "{\"version\":1,\"name\":{}}", "name" },
    { "{\"version\":1,\"name\":null}", "name" },
    { "{\"version\":1,\"time_axis\":8}", "time_axis" },
    { "{\"version\":1,\"time_axis\":-2}", "time_axis" },
    { "{\"version\":1,\"time_axis\":2.0}", "time_axis" },
    { "{\"version\":1,\"opsets\":{}}", "opsets" },
    { "{\"version\":1,\"opsets\":[1]}", "opsets[0]" },
    { "{\"version\":1,\"opsets\":[{\"domain\":\"\",\"version\":[]}]}", "opsets[0].version" },
    { "{\"version\":1,\"metadata\":[{\"key\":\"k\"}]}", "metadata[0].value" },
    { "{\"version\":1,\"unknown_model\":{\"base64\":\"\"}}", "unknown_model" },
    { "{\"version\":1,\"unknown_graph\":\"A\"}", "unknown_graph" },
    { "{\"version\":1,\"inputs\":3}", "inputs" },
    { "{\"version\":1,\"inputs\":[{}]}", "inputs[0].name" },
    { "{\"version\":1,\"inputs\":[{\"name\":\"x\",\"shape\":[1,1,1,1,1,1,1,1,1]}]}",
      "inputs[0].shape" },
    { "{\"version\":1,\"outputs\":[{\"name\":\"x\",\"shape\":[-1]}]}", "outputs[0].shape" },
    { "{\"version\":1,\"values\":[{\"name\":\"x\",\"shape\":[1.5]}]}", "values[0].shape" },
    { "{\"version\":1,\"values\":[{\"name\":\"x\",\"shape\":[{\"size\":3}]}]}", "values[0].name" },
    { "{\"version\":1,\"values\":[{\"name\":\"x\",\"shape\":\"3\"}]}", "values[0].shape" },
    { "{\"version\":1,\"values\":[{\"name\":\"x\",\"dtype\":\"float\"}]}", "values[0].dtype" },
    { "{\"version\":1,\"values\":[{\"name\":\"x\",\"dtype\":0}]}", "values[0].dtype" },
    { "{\"version\":1,\"values\":[{\"name\":\"x\",\"dtype\":4294967297}]}", "values[0].dtype" },
    { "{\"version\":1,\"nodes\":[[]]}", "nodes[0]" },
    { "{\"version\":1,\"nodes\":[{}]}", "nodes[0].op_type" },
    { "{\"version\":1,\"nodes\":[{\"op_type\":\"A\"},{\"op_type\":\"A\",\"inputs\":[\"\",0]}]}",
      "nodes[1].inputs[1]" },
    { "{\"version\":1,\"nodes\":[{\"op_type\":\"A\",\"attributes\":[{}]}]}",
      "nodes[0].attributes[0].name" },
};

/* The same for what follows the name in a node's attribute. */
static const struct {
    const char *json, *where;
} hostile_attributes[] = {
    { "", ".type" },
    { "\"type\":\"graph\",\"value\":1", ".type" },
    { "\"type\":7,\"raw\":\"\"", ".type" },
    { "\"type\":-1", ".type" },
    { "\"type\":256", ".type" },
    { "\"type\":5,\"raw\":7", ".raw" },
    { "\"type\":\"float\"", ".value" },
    { "\"type\":\"float\",\"value\":\"NaN\"", ".value" },
    { "\"type\":\"float\",\"value\":\"nan:7f800000\"", ".value" },
    { "\"type\":\"float\",\"value\":\"nan:3f800000\"", ".value" },
    { "\"type\":\"float\",\"value\":\"nan:7fc0000\"", ".value" },
    { "\"type\":\"float\",\"value\":\"nan: 7fc0000\"", ".value" },
    { "\"type\":\"float\",\"value\":3.5e38", ".value" },
    { "\"type\":\"float\",\"value\":[]", ".value" },
    { "\"type\":\"int\",\"value\":1.0", ".value" },
    { "\"type\":\"string\",\"value\":1", ".value" },
    { "\"type\":\"ints\",\"value\":1", ".value" },
    { "\"type\":\"ints\",\"value\":[1,\"2\"]", ".value[1]" },
    { "\"type\":\"floats\",\"value\":[null]", ".value[0]" },
    { "\"type\":\"strings\",\"value\":[\"a\",{}]", ".value[1]" },
    { "\"type\":\"tensor\",\"value\":[]", ".value" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"int8\"}", ".value.shape" },
    { "\"type\":\"tensor\",\"value\":{\"shape\":[1]}", ".value.dtype" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"string\",\"shape\":[1]}", ".value.dtype" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"int8\",\"shape\":[null]}", ".value.shape" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"int8\",\"shape\":[1,1,1,1,1,1,1,1,1]}",
      ".value.shape" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"int8\",\"shape\":[4294967296,4294967296]}",
      ".value.shape" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"int8\",\"shape\":[2],\"data\":\"AA==\"}",
      ".value.data" },
    { "\"type\":\"tensor\",\"value\":{\"dtype\":\"int8\",\"shape\":[1],\"data\":\"AA==\","
      "\"doc\":1}", ".value.doc" },
};

static void expect_refusal(const char *json, const char *where)
{
    struct i3d_model *model = i3d_model_new();
    struct i3d_error error = { .status = I3D_OK };
    enum i3d_status status = i3d_graph_from_json(json, strlen(json), model, &error);
    if (status != I3D_MALFORMED)
        print_error("%s\n", json);
    assert_int_equal(status, I3D_MALFORMED);
    assert_string_not_equal(error.message, "");
    char wanted[300];
    snprintf(wanted, sizeof wanted, "graph JSON%s%s", where && !*where ? "" : ", ",
             where ? where : "byte ");
    if (where)
        assert_string_equal(error.where, wanted);
    else
        assert_memory_equal(error.where, wanted, strlen(wanted));
    i3d_model_free(model);
    model = i3d_model_new();
    assert_int_equal(i3d_graph_from_json(json, strlen(json), model, NULL), I3D_MALFORMED);
    i3d_model_free(model);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        expect_refusal(hostile[i].json, hostile[i].where);
    for (size_t i = 0; i < sizeof hostile_attributes / sizeof hostile_attributes[0]; i++) {
        char json[500], where[200];
        snprintf(json, sizeof json, "{\"version\":1,\"nodes\":[{\"op_type\":\"A\",\"attributes\":"
                 "[{\"name\":\"a\"%s%s}]}]}", hostile_attributes[i].json[0] ? "," : "",
                 hostile_attributes[i].json);
        snprintf(where, sizeof where, "nodes[0].attributes[0]%s", hostile_attributes[i].where);
        expect_refusal(json, where);
    }
}

static void test_newer_version(void **state)
{
    (void)state;
    struct i3d_model *model = i3d_model_new();
    const char *json = "{\"version\":2}";
    assert_int_equal(i3d_graph_from_json(json, strlen(json), model, NULL), I3D_UNSUPPORTED);
    i3d_model_free(model);
}

static void test_depth(void **state)
{
    (void)state;
    enum { LEVELS = 100000 };
    char *json = malloc(LEVELS + 1);
    assert_non_null(json);
    memset(json, '[', LEVELS);
    json[LEVELS] = 0;
    expect_refusal(json, "");
    /* Brackets in strings do not count. */
    snprintf(json, LEVELS, "{\"version\":1,\"name\":\"");
    size_t used = strlen(json);
    for (int k = 0; k < 1000; k++)
        used += (size_t)snprintf(json + used, LEVELS - used, "%s", k % 2 ? "[" : "\\\"");
    snprintf(json + used, LEVELS - used, "\"}");
    i3d_model_free(from_json(json));
    free(json);
}

/* Cut anywhere and with any byte changed, the text is read or refused, nothing else. */
static void test_mutations(void **state)
{
    (void)state;
    struct i3d_model *model = full_model();
    char *json = to_json(model);
    size_t length = strlen(json);
    uint32_t seed = 1;
    for (size_t i = 0; i < 3000; i++) {
        size_t used = length;
        char *mutated = malloc(length + 1);
        assert_non_null(mutated);
        memcpy(mutated, json, length + 1);
        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525 + 1013904223;
            mutated[(seed >> 8) % length] = "0\"{}[],:-9eA=\xff"[seed % 14];
        }
        if (i % 3 == 0)
            used = (seed >> 4) % length;
        struct i3d_model *back = i3d_model_new();
        struct i3d_error error = { .status = I3D_OK };
        enum i3d_status status = i3d_graph_from_json(mutated, used, back, &error);
        assert_true(status == I3D_OK || status == I3D_MALFORMED || status == I3D_UNSUPPORTED);
        assert_int_equal(error.status, status);
        i3d_model_free(back);
        free(mutated);
    }
    free(json);
    i3d_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_text_again),
        cmocka_unit_test(test_tensor_names),
        cmocka_unit_test(test_text_is_as_documented),
        cmocka_unit_test(test_tensor_that_cannot_be_read),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests_name("graph_json", tests, NULL, NULL);
}
