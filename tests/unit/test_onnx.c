/* The ONNX reader and writer, on messages made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/output.h"
#include "formats/registry.h"

/* A message being built. */
struct message {
    size_t length;
    unsigned char bytes[1000];
};

static void put(struct message *to, const void *bytes, size_t length)
{
    assert_true(to->length + length <= sizeof to->bytes);
    if (length)
        memcpy(to->bytes + to->length, bytes, length);
    to->length += length;
}

static void varint(struct message *to, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        put(to, &byte, 1);
    } while (value >>= 7);
}

static void number(struct message *to, unsigned field, int64_t value)
{
    varint(to, field << 3);
    varint(to, (uint64_t)value);
}

static void bytes(struct message *to, unsigned field, const void *value, size_t length)
{
    varint(to, field << 3 | 2);
    varint(to, length);
    put(to, value, length);
}

static void text(struct message *to, unsigned field, const char *value)
{
    bytes(to, field, value, strlen(value));
}

static void inside(struct message *to, unsigned field, const struct message *value)
{
    bytes(to, field, value->bytes, value->length);
}

static struct message value_info(const char *name, int rank, const int64_t *dims)
{
    struct message shape = { 0 }, tensor = { 0 }, type = { 0 }, value = { 0 };
    for (int k = 0; k < rank; k++) {
        struct message dim = { 0 };
        if (dims[k] >= 0)
            number(&dim, 1, dims[k]);
        else
            text(&dim, 2, "N");
        inside(&shape, 1, &dim);
    }
    number(&tensor, 1, I3D_FLOAT32);
    inside(&tensor, 2, &shape);
    inside(&type, 1, &tensor);
    text(&value, 1, name);
    inside(&value, 2, &type);
    return value;
}

static struct message relu_node(void)
{
    struct message node = { 0 };
    text(&node, 1, "x");
    text(&node, 2, "y");
    text(&node, 3, "r");
    text(&node, 4, "Relu");
    return node;
}

/* x → Relu → y with a rank-2 input; more is appended to graph and model. */
static struct message small_graph(const struct message *node)
{
    struct message graph = { 0 };
    struct message input = value_info("x", 2, (int64_t[]){ -1, 3 });
    struct message output = value_info("y", 2, (int64_t[]){ -1, 3 });
    inside(&graph, 1, node);
    text(&graph, 2, "g");
    inside(&graph, 11, &input);
    inside(&graph, 12, &output);
    return graph;
}

static struct message model_around(const struct message *graph, int64_t ir_version, int64_t opset)
{
    struct message model = { 0 }, set = { 0 };
    text(&set, 1, "");
    number(&set, 2, opset);
    number(&model, 1, ir_version);
    inside(&model, 7, graph);
    inside(&model, 8, &set);
    return model;
}

static struct message with_tensor(const struct message *tensor)
{
    struct message node = relu_node(), graph = small_graph(&node);
    inside(&graph, 5, tensor);
    return model_around(&graph, 7, 13);
}

static struct i3d_file *file_of(const void *content, size_t length)
{
    FILE *stream = tmpfile();
    assert_non_null(stream);
    assert_int_equal(fwrite(content, 1, length, stream), length);
    assert_int_equal(fflush(stream), 0);
    struct i3d_file *file = i3d_file_new(dup(fileno(stream)), "test.onnx");
    assert_non_null(file);
    fclose(stream);
    return file;
}

static enum i3d_status read_bytes(const void *content, size_t length, struct i3d_model **model,
                                  struct i3d_error *error)
{
    struct i3d_file *file = file_of(content, length);
    *model = i3d_model_new();
    assert_non_null(*model);
    *error = (struct i3d_error){ 0 };
    enum i3d_status status = i3d_onnx_read(file, *model, error);
    i3d_file_release(file);
    assert_int_equal(status, error->status);
    return status;
}

static struct i3d_model *read_well(const struct message *message)
{
    struct i3d_model *model;
    struct i3d_error error;
    if (read_bytes(message->bytes, message->length, &model, &error))
        fail_msg("%s: %s", error.where, error.message);
    return model;
}

static void expect_refusal(const struct message *message, enum i3d_status status,
                           const char *where, const char *part)
{
    struct i3d_model *model;
    struct i3d_error error;
    assert_int_equal(read_bytes(message->bytes, message->length, &model, &error), status);
    i3d_model_free(model);
    if (!strstr(error.message, part))
        fail_msg("\"%s\" does not contain \"%s\"", error.message, part);
    assert_string_equal(error.where, where);
}

/* Writes to a file and gives its bytes, the caller's. */
static unsigned char *write_well(const struct i3d_model *model, size_t *length)
{
    char path[] = "test_onnx.XXXXXX";
    struct i3d_output *output;
    struct i3d_error error = { 0 };
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(i3d_output_open(path, &output, &error), I3D_OK);
    if (i3d_onnx_write(model, output, &error))
        fail_msg("%s: %s", error.where, error.message);
    assert_int_equal(i3d_output_commit(output, &error), I3D_OK);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    unsigned char *content = malloc(1 << 20);
    assert_non_null(content);
    *length = fread(content, 1, 1 << 20, stream);
    fclose(stream);
    unlink(path);
    return content;
}

static enum i3d_status try_to_write(const struct i3d_model *model, struct i3d_error *error)
{
    struct i3d_output *output;
    *error = (struct i3d_error){ 0 };
    assert_int_equal(i3d_output_open("/dev/null", &output, error), I3D_OK);
    enum i3d_status status = i3d_onnx_write(model, output, error);
    i3d_output_abandon(output);
    return status;
}

static void reads_a_small_model(void **unused)
{
    (void)unused;
    struct message node = relu_node(), graph = small_graph(&node);
    struct message message = model_around(&graph, 8, 17);
    struct i3d_model *model = read_well(&message);
    assert_int_equal(model->ir_version, 8);
    assert_int_equal(i3d_opset(model), 17);
    assert_string_equal(model->name, "g");
    assert_int_equal(model->input_count, 1);
    assert_string_equal(model->inputs[0].name, "x");
    assert_int_equal(model->inputs[0].dtype, I3D_FLOAT32);
    assert_int_equal(model->inputs[0].rank, 2);
    assert_int_equal(model->inputs[0].dims[0].value, -1);
    assert_string_equal(model->inputs[0].dims[0].name, "N");
    assert_int_equal(model->inputs[0].dims[1].value, 3);
    assert_null(model->inputs[0].dims[1].name);
    assert_int_equal(model->node_count, 1);
    assert_true(i3d_is(&model->nodes[0], "Relu"));
    assert_string_equal(model->nodes[0].name, "r");
    assert_string_equal(model->nodes[0].inputs[0], "x");
    assert_string_equal(model->nodes[0].outputs[0], "y");
    assert_int_equal(model->time_axis, -1);
    i3d_model_free(model);
}

/* graph → node → attribute → graph → …, depth messages in all */
static unsigned char *nest(int depth, size_t *length)
{
    static const unsigned char tags[] = { 1 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2 };
    size_t room = (size_t)depth * 11 + 16, start = room;
    unsigned char *content = malloc(room);
    assert_non_null(content);
    for (int level = depth; level > 0; level--) {
        struct message head = { 0 };
        size_t inner = room - start;
        unsigned char tag = level == 1 ? 7 << 3 | 2 : tags[(level - 2) % 3];
        put(&head, &tag, 1);
        varint(&head, inner);
        start -= head.length;
        memcpy(content + start, head.bytes, head.length);
    }
    *length = room - start;
    memmove(content, content + start, *length);
    return content;
}

static void deep_nesting_is_refused(void **unused)
{
    (void)unused;
    static const int depths[] = { 63, 64, 768, 10000 };
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        int depth = depths[i];
        size_t length;
        unsigned char *content = nest(depth, &length);
        struct i3d_model *model;
        struct i3d_error error;
        assert_int_equal(read_bytes(content, length, &model, &error), I3D_MALFORMED);
        /* The ModelProto itself is the first of the 64. */
        assert_int_equal(strstr(error.message, "nest more than 64") != NULL, depth > 63);
        i3d_model_free(model);
        free(content);
    }
}

static struct message model_with_everything(void)
{
    struct message tensor = { 0 }, attribute = { 0 }, entry = { 0 }, node = relu_node();
    number(&tensor, 1, 2);
    number(&tensor, 2, I3D_INT64);
    text(&tensor, 8, "t");
    bytes(&tensor, 7, "\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    text(&attribute, 1, "value");
    number(&attribute, 20, I3D_ATTRIBUTE_TENSOR);
    inside(&attribute, 5, &tensor);
    inside(&node, 5, &attribute);
    struct message graph = small_graph(&node);
    inside(&graph, 5, &tensor);
    struct message message = model_around(&graph, 7, 13);
    text(&entry, 1, "key");
    text(&entry, 2, "value");
    inside(&message, 14, &entry);
    return message;
}

static void read_and_look(const struct message *message)
{
    struct i3d_model *model;
    struct i3d_error error;
    enum i3d_status status = read_bytes(message->bytes, message->length, &model, &error);
    if (status) {
        assert_true(status == I3D_MALFORMED || status == I3D_UNSUPPORTED);
        assert_true(error.message[0]);
    }
    for (size_t i = 0; !status && i < model->tensor_count; i++) {
        void *content;
        assert_int_equal(i3d_tensor_load(&model->tensors[i], &content, NULL), I3D_OK);
        free(content);
    }
    i3d_model_free(model);
}

static void truncated_and_flipped_files_are_errors(void **unused)
{
    (void)unused;
    struct message whole = model_with_everything();
    struct message message;
    i3d_model_free(read_well(&whole));
    for (size_t length = 0; length < whole.length; length++) {
        message = whole;
        message.length = length;
        read_and_look(&message);
    }
    for (size_t i = 0; i < whole.length; i++) {
        for (int bit = 0; bit < 8; bit++) {
            message = whole;
            message.bytes[i] ^= (unsigned char)(1 << bit);
            read_and_look(&message);
        }
    }
    /* The graph's end is inside: without it, and cut anywhere in it, nothing is read. */
    struct message node = relu_node(), graph = small_graph(&node);
    whole = model_around(&graph, 7, 13);
    for (size_t length = 0; length < whole.length; length++) {
        struct i3d_model *model;
        struct i3d_error error;
        assert_int_equal(read_bytes(whole.bytes, length, &model, &error), I3D_MALFORMED);
        i3d_model_free(model);
    }
}

static const struct typed_case {
    enum i3d_dtype dtype;
    unsigned field;
    int64_t numbers[3]; /* the typed field's content: varints, or bits of a float */
} typed_cases[] = {
    { I3D_FLOAT32, 4, { 0x3f800000, 0x7fc00001, 0x80000000 } },
    { I3D_FLOAT64, 10, { 0x3ff0000000000000, INT64_MIN, 0x7ff0000000000000 } },
    { I3D_INT32, 5, { INT32_MIN, -1, INT32_MAX } },
    { I3D_INT16, 5, { INT16_MIN, 0, INT16_MAX } },
    { I3D_INT8, 5, { INT8_MIN, -1, INT8_MAX } },
    { I3D_UINT16, 5, { 0, 300, UINT16_MAX } },
    { I3D_UINT8, 5, { 0, 128, UINT8_MAX } },
    { I3D_BOOL, 5, { 0, 1, 1 } },
    { I3D_FLOAT16, 5, { 0x3c00, 0xfc00, 0 } },
    { I3D_BFLOAT16, 5, { 0x3f80, 0xff80, 0 } },
    { I3D_INT64, 7, { INT64_MIN, -1, INT64_MAX } },
    { I3D_UINT32, 11, { 0, 1, UINT32_MAX } },
    { I3D_UINT64, 11, { 0, 1, -1 } },
};
enum { TYPED_CASES = sizeof typed_cases / sizeof typed_cases[0] };

static void element(struct message *to, const struct typed_case *typed, int index)
{
    if (typed->field == 4 || typed->field == 10)
        put(to, &typed->numbers[index], i3d_dtype_size(typed->dtype));
    else
        varint(to, (uint64_t)typed->numbers[index]);
}

/* Elements in one packed field; in fields of their own; or in both kinds, with
 * other fields between them. */
enum packing { PACKED, APART, MIXED, PACKINGS };

static struct message typed_tensor(const struct typed_case *typed, enum packing packing)
{
    struct message tensor = { 0 }, packed = { 0 };
    number(&tensor, 2, typed->dtype);
    for (int i = 0; i < 3; i++) {
        unsigned wire = typed->field == 4 ? 5 : typed->field == 10 ? 1 : 0;
        if (packing == PACKED || (packing == MIXED && i > 0)) {
            element(&packed, typed, i);
        } else {
            varint(&tensor, typed->field << 3 | wire);
            element(&tensor, typed, i);
        }
    }
    text(&tensor, 8, "t");
    if (packing == MIXED)
        bytes(&tensor, typed->field, "", 0);
    if (packing != APART)
        inside(&tensor, typed->field, &packed);
    number(&tensor, 1, 3);
    return tensor;
}

static void typed_data_of_every_kind_is_read(void **unused)
{
    (void)unused;
    for (int i = 0; i < TYPED_CASES * PACKINGS; i++) {
        const struct typed_case *typed = &typed_cases[i / PACKINGS];
        struct message tensor = typed_tensor(typed, i % PACKINGS);
        struct message message = with_tensor(&tensor);
        struct i3d_model *model = read_well(&message);
        assert_int_equal(model->tensor_count, 1);
        assert_string_equal(model->tensors[0].name, "t");
        assert_int_equal(model->tensors[0].dtype, typed->dtype);
        unsigned char *content, expected[24], byte;
        size_t size = i3d_dtype_size(typed->dtype);
        for (int k = 0; k < 3; k++)
            memcpy(expected + (size_t)k * size, &typed->numbers[k], size);
        assert_int_equal(i3d_source_length(model->tensors[0].source), 3 * size);
        assert_int_equal(i3d_tensor_load(&model->tensors[0], (void **)&content, NULL), I3D_OK);
        assert_memory_equal(content, expected, 3 * size);
        free(content);
        for (size_t offset = 3 * size; offset-- > 0;) {
            assert_int_equal(i3d_source_read(model->tensors[0].source, offset, &byte, 1, NULL),
                             I3D_OK);
            assert_int_equal(byte, expected[offset]);
        }
        i3d_model_free(model);
    }
}

static struct message tensor_of(enum i3d_dtype dtype, int64_t dim)
{
    struct message tensor = { 0 };
    number(&tensor, 1, dim);
    number(&tensor, 2, dtype);
    text(&tensor, 8, "t");
    return tensor;
}

static void expect_tensor_refusal(const struct message *tensor, enum i3d_status status,
                                  const char *part)
{
    struct message message = with_tensor(tensor);
    expect_refusal(&message, status, "tensor t", part);
}

static void data_that_does_not_fit_its_shape_is_refused(void **unused)
{
    (void)unused;
    struct message tensor = tensor_of(I3D_FLOAT32, 2);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "0 bytes where its shape asks for 8");
    bytes(&tensor, 9, "1234567", 7);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "7 bytes where its shape asks for 8");

    tensor = tensor_of(I3D_FLOAT32, 2);
    bytes(&tensor, 4, "1234", 4);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "1 elements where its shape asks for 2");
    bytes(&tensor, 4, "12345", 5);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "cut short");

    tensor = tensor_of(I3D_INT64, 2);
    bytes(&tensor, 7, "\1\2\3", 3);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "3 elements where its shape asks for 2");
    tensor = tensor_of(I3D_INT64, 2);
    bytes(&tensor, 7, "\1\x80", 2);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "cut short");

    tensor = tensor_of(I3D_FLOAT32, 1);
    bytes(&tensor, 4, "1234", 4);
    bytes(&tensor, 9, "1234", 4);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "raw_data and typed data");
    tensor = tensor_of(I3D_FLOAT32, 1);
    bytes(&tensor, 7, "\1", 1);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "do not stand in field 7");
    tensor = tensor_of(I3D_INT8, 1);
    number(&tensor, 5, 128);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "element 0 is 128, which is no int8");
    tensor = tensor_of(I3D_UINT8, 1);
    number(&tensor, 5, -1);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "element 0 is -1, which is no uint8");
}

static void tensors_that_cannot_be_held_are_refused(void **unused)
{
    (void)unused;
    struct message tensor = tensor_of(I3D_STRING, 1);
    bytes(&tensor, 6, "a", 1);
    expect_tensor_refusal(&tensor, I3D_UNSUPPORTED, "string");
    tensor = tensor_of(17, 1);
    expect_tensor_refusal(&tensor, I3D_UNSUPPORTED, "float8e4m3fn");
    tensor = tensor_of(I3D_UNDEFINED, 1);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "no element type");
    tensor = tensor_of(I3D_FLOAT32, -1);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "negative");
    tensor = tensor_of(I3D_FLOAT32, INT64_MAX);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "too large");
    tensor = tensor_of(I3D_FLOAT32, 1);
    for (int k = 0; k < I3D_MAX_RANK; k++)
        number(&tensor, 1, 1);
    expect_tensor_refusal(&tensor, I3D_UNSUPPORTED, "9 dimensions");
    tensor = tensor_of(I3D_FLOAT32, 1);
    number(&tensor, 14, 1);
    expect_tensor_refusal(&tensor, I3D_MALFORMED, "external data has no location");
    tensor = tensor_of(I3D_FLOAT32, 1);
    bytes(&tensor, 3, "", 0);
    expect_tensor_refusal(&tensor, I3D_UNSUPPORTED, "segments are not supported");
}

static void headers_are_checked(void **unused)
{
    (void)unused;
    struct message node = relu_node(), graph = small_graph(&node);
    struct message message = model_around(&graph, 0, 13);
    expect_refusal(&message, I3D_MALFORMED, "", "IR version");
    message = model_around(&graph, 7, 5);
    expect_refusal(&message, I3D_UNSUPPORTED, "", "too old");
    message = model_around(&graph, 7, 13);
    inside(&message, 7, &graph);
    expect_refusal(&message, I3D_MALFORMED, "", "2 graphs");
    message = (struct message){ 0 };
    number(&message, 1, 7);
    inside(&message, 7, &graph);
    expect_refusal(&message, I3D_MALFORMED, "", "operator sets");
    message = model_around(&graph, 7, 13);
    char where[32];
    snprintf(where, sizeof where, "byte %zu", message.length);
    number(&message, 7, 1);
    expect_refusal(&message, I3D_MALFORMED, where, "wire type 0");

    bytes(&node, 3, "a\0b", 3);
    graph = small_graph(&node);
    message = model_around(&graph, 7, 13);
    expect_refusal(&message, I3D_MALFORMED, "node 0 ()", "NUL");
}

static void unknown_fields_survive(void **unused)
{
    (void)unused;
    struct message node = relu_node(), denotation = { 0 };
    text(&node, 99, "of the node");
    struct message graph = small_graph(&node);
    struct message output = value_info("z", 1, (int64_t[]){ 4 });
    text(&denotation, 6, "IMAGE");
    inside(&output, 2, &denotation);
    text(&output, 4, "of the value");
    inside(&graph, 13, &output);
    text(&graph, 77, "of the graph");
    text(&graph, 10, "described");
    struct message message = model_around(&graph, 7, 13);
    text(&message, 25, "\x42\x0cof the model"); /* FunctionProto.doc_string */
    struct i3d_model *model = read_well(&message);
    assert_int_equal(model->values[0].rank, 1);
    size_t length, again_length;
    unsigned char *content = write_well(model, &length);
    static const char *const kept[] = { "of the node", "of the value", "IMAGE", "of the graph",
                                        "described", "of the model" };
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (!memmem(content, length, kept[i], strlen(kept[i])))
            fail_msg("\"%s\" is lost", kept[i]);
    i3d_model_free(model);

    struct i3d_error error;
    assert_int_equal(read_bytes(content, length, &model, &error), I3D_OK);
    unsigned char *again = write_well(model, &again_length);
    assert_int_equal(length, again_length);
    assert_memory_equal(content, again, length);
    i3d_model_free(model);
    free(content);
    free(again);
}

static struct message attribute_of(const char *name, int type)
{
    struct message attribute = { 0 };
    text(&attribute, 1, name);
    number(&attribute, 20, type);
    return attribute;
}

static struct message node_with_attributes(void)
{
    struct message node = relu_node(), item, tensor = tensor_of(I3D_FLOAT32, 2);
    item = attribute_of("f", I3D_ATTRIBUTE_FLOAT);
    varint(&item, 2 << 3 | 5);
    put(&item, "\0\0\xc0\x7f", 4);
    inside(&node, 5, &item);
    item = attribute_of("i", I3D_ATTRIBUTE_INT);
    number(&item, 3, INT64_MIN);
    inside(&node, 5, &item);
    item = attribute_of("s", I3D_ATTRIBUTE_STRING);
    bytes(&item, 4, "a\0b", 3);
    inside(&node, 5, &item);
    item = attribute_of("floats", I3D_ATTRIBUTE_FLOATS);
    bytes(&item, 7, "\0\0\x80\x3f\0\0\0\x40", 8);
    inside(&node, 5, &item);
    item = attribute_of("ints", I3D_ATTRIBUTE_INTS);
    number(&item, 8, -1);
    bytes(&item, 8, "\1\2", 2);
    inside(&node, 5, &item);
    item = attribute_of("strings", I3D_ATTRIBUTE_STRINGS);
    text(&item, 9, "");
    text(&item, 9, "b");
    inside(&node, 5, &item);
    bytes(&tensor, 9, "12345678", 8);
    item = attribute_of("t", I3D_ATTRIBUTE_TENSOR);
    inside(&item, 5, &tensor);
    inside(&node, 5, &item);
    tensor = tensor_of(I3D_STRING, 1);
    text(&tensor, 6, "words");
    item = attribute_of("words", I3D_ATTRIBUTE_TENSOR);
    inside(&item, 5, &tensor);
    inside(&node, 5, &item);
    item = attribute_of("g", I3D_ATTRIBUTE_GRAPH);
    bytes(&item, 6, "\x12\1g", 3);
    inside(&node, 5, &item);
    return node;
}

static void expect_attributes(const struct i3d_node *node)
{
    size_t count;
    uint32_t bits;
    const int64_t *ints = i3d_ints(node, "ints", &count);
    float f = i3d_float(node, "f", 0);
    memcpy(&bits, &f, sizeof bits);
    assert_int_equal(node->attribute_count, 9);
    assert_int_equal(bits, 0x7fc00000);
    assert_int_equal(i3d_int(node, "i", 0), INT64_MIN);
    const struct i3d_attribute *found = i3d_attribute(node, "s");
    assert_int_equal(found->s.length, 3);
    assert_memory_equal(found->s.data, "a\0b", 3);
    assert_int_equal(count, 3);
    assert_memory_equal(ints, ((int64_t[]){ -1, 1, 2 }), 24);
    found = i3d_attribute(node, "floats");
    assert_int_equal(found->count, 2);
    assert_memory_equal(found->floats, ((float[]){ 1, 2 }), 8);
    found = i3d_attribute(node, "strings");
    assert_int_equal(found->count, 2);
    assert_int_equal(found->strings[0].length, 0);
    assert_memory_equal(found->strings[1].data, "b", 1);
    found = i3d_attribute(node, "t");
    void *content;
    assert_int_equal(i3d_tensor_load(found->tensor, &content, NULL), I3D_OK);
    assert_memory_equal(content, "12345678", 8);
    free(content);
    found = i3d_attribute(node, "words");
    assert_int_equal(found->type, I3D_ATTRIBUTE_RAW);
    assert_null(found->tensor);
    assert_non_null(memmem(found->raw.data, found->raw.length, "words", 5));
    found = i3d_attribute(node, "g");
    assert_int_equal(found->type, I3D_ATTRIBUTE_GRAPH);
    assert_int_equal(found->raw.length, 11);
}

static void attributes_of_every_type_round_trip(void **unused)
{
    (void)unused;
    struct message node = node_with_attributes(), graph = small_graph(&node);
    struct message message = model_around(&graph, 7, 13);
    struct i3d_model *model = read_well(&message);
    expect_attributes(&model->nodes[0]);
    size_t length;
    struct i3d_error error;
    unsigned char *content = write_well(model, &length);
    i3d_model_free(model);
    assert_int_equal(read_bytes(content, length, &model, &error), I3D_OK);
    expect_attributes(&model->nodes[0]);
    i3d_model_free(model);
    free(content);
}

static void odd_attributes_are_refused(void **unused)
{
    (void)unused;
    struct message node = relu_node(), item = attribute_of("a", I3D_ATTRIBUTE_TENSOR);
    inside(&node, 5, &item);
    struct message graph = small_graph(&node), message = model_around(&graph, 7, 13);
    expect_refusal(&message, I3D_MALFORMED, "attribute a", "0 tensors where it needs one");
    node = relu_node();
    item = attribute_of("a", 0);
    inside(&node, 5, &item);
    graph = small_graph(&node);
    message = model_around(&graph, 7, 13);
    expect_refusal(&message, I3D_MALFORMED, "attribute a", "no type");
}

static void initializers_are_inputs_only_before_ir_version_4(void **unused)
{
    (void)unused;
    for (int ir_version = 3; ir_version <= 4; ir_version++) {
        struct message node = relu_node(), graph = small_graph(&node);
        struct message tensor = tensor_of(I3D_FLOAT32, 1), also = value_info("t", 0, NULL);
        bytes(&tensor, 9, "1234", 4);
        inside(&graph, 5, &tensor);
        inside(&graph, 11, &also);
        struct message message = model_around(&graph, ir_version, 8);
        struct i3d_model *model = read_well(&message);
        assert_int_equal(model->input_count, 1);
        assert_string_equal(model->inputs[0].name, "x");
        size_t length;
        unsigned char *content = write_well(model, &length);
        int named = 0;
        for (size_t i = 0; i + 3 <= length; i++)
            named += !memcmp(content + i, "\x0a\1t", 3); /* ValueInfoProto.name */
        assert_int_equal(named, ir_version < 4);
        free(content);
        i3d_model_free(model);
    }
}

static void the_time_axis_is_metadata(void **unused)
{
    (void)unused;
    static const struct {
        const char *metadata;
        int rank, axis;
    } cases[] = { { NULL, 4, -1 }, { NULL, 5, 2 }, { "3", 4, 3 }, { "-1", 5, -1 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message node = relu_node(), graph = { 0 }, entry = { 0 };
        struct message x = value_info("x", cases[i].rank, (int64_t[]){ 1, 3, 4, 5, 6 });
        struct message y = value_info("y", 0, NULL);
        inside(&graph, 1, &node);
        inside(&graph, 11, &x);
        inside(&graph, 12, &y);
        struct message message = model_around(&graph, 7, 13);
        text(&entry, 1, "i3dconv.time_axis");
        text(&entry, 2, cases[i].metadata ? cases[i].metadata : "");
        if (cases[i].metadata)
            inside(&message, 14, &entry);
        struct i3d_model *model = read_well(&message);
        assert_int_equal(model->time_axis, cases[i].axis);
        assert_int_equal(model->metadata_count, 0);
        size_t length;
        unsigned char *content = write_well(model, &length);
        assert_int_equal(memmem(content, length, "i3dconv.time_axis", 17) != NULL,
                         cases[i].axis >= 0);
        free(content);
        i3d_model_free(model);
    }
    struct message node = relu_node(), graph = small_graph(&node), entry = { 0 };
    struct message message = model_around(&graph, 7, 13);
    text(&entry, 1, "i3dconv.time_axis");
    text(&entry, 2, "two");
    inside(&message, 14, &entry);
    expect_refusal(&message, I3D_MALFORMED, "", "is no axis: two");
}

static struct i3d_model *relu_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    i3d_model_add_input(model)->name = "x";
    i3d_model_add_output(model)->name = "y";
    assert_non_null(i3d_model_put_node(model, "Relu", "", (const char *[]){ "x", NULL },
                                       (const char *[]){ "y", NULL }));
    return model;
}

static void what_onnx_cannot_hold_is_not_written(void **unused)
{
    (void)unused;
    struct i3d_error error;
    struct i3d_model *model = relu_model();
    assert_int_equal(try_to_write(model, &error), I3D_UNSUPPORTED);
    assert_non_null(strstr(error.message, "operator set"));
    assert_true(i3d_set_opset(model, "", 13));
    assert_int_equal(try_to_write(model, &error), I3D_OK);

    int64_t dims[] = { 3, 1 << 28 };
    float one = 1;
    struct i3d_source *fill = i3d_source_fill(&one, sizeof one, (uint64_t)3 << 30);
    assert_int_equal(i3d_model_put_tensor(model, "w", I3D_FLOAT32, 2, dims, fill, NULL), I3D_OK);
    assert_int_equal(try_to_write(model, &error), I3D_UNSUPPORTED);
    assert_non_null(strstr(error.message, "over 2 GiB"));
    assert_true(error.hint[0]);
    i3d_model_free(model);

    model = i3d_model_new();
    assert_non_null(model);
    assert_int_equal(i3d_model_put_floats(model, "w", 0, dims, &one, NULL), I3D_OK);
    assert_int_equal(try_to_write(model, &error), I3D_UNSUPPORTED);
    assert_non_null(strstr(error.message, "needs one"));
    i3d_model_free(model);
}

static void the_ir_version_follows_the_operator_set(void **unused)
{
    (void)unused;
    static const int versions[][2] = { { 8, 3 },   { 9, 4 },   { 13, 7 },  { 15, 8 },
                                       { 19, 9 },  { 22, 10 }, { 28, 14 }, { 99, 14 } };
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct i3d_model *model = relu_model();
        assert_true(i3d_set_opset(model, "", versions[i][0]));
        size_t length;
        unsigned char *content = write_well(model, &length);
        assert_int_equal(content[0], 1 << 3);
        assert_int_equal(content[1], versions[i][1]);
        assert_non_null(memmem(content, length, "i3dconv", 7));
        free(content);
        i3d_model_free(model);
    }
}

static bool recognised(const void *head, size_t length, uint64_t size)
{
    return i3d_onnx_recognise(head, length, size);
}

static void files_are_recognised_by_content(void **unused)
{
    (void)unused;
    struct message whole = model_with_everything(), graph_first = { 0 };
    assert_true(recognised(whole.bytes, whole.length, whole.length));
    for (size_t length = 3; length < whole.length; length++)
        assert_true(recognised(whole.bytes, length, length)); /* cut short, yet ONNX */
    bytes(&graph_first, 7, whole.bytes, 100);
    number(&graph_first, 1, 7);
    assert_true(recognised(graph_first.bytes, graph_first.length, graph_first.length));
    assert_false(recognised(graph_first.bytes, graph_first.length, 60));
    assert_true(recognised("\x08\x07\x3a\xff\xff\xff\x0f", 7, 0xffffff + 100));

    assert_false(recognised("", 0, 0));
    assert_false(recognised("\x89HDF\r\n\x1a\n\0\0\0\0", 12, 2000));
    assert_false(recognised("\x08\x07\0\0\0\0\0\0{\"a\":{}}", 16, 2000));
    assert_false(recognised("\x3a\0\0\0\0\0\0\0{\"a\":{}}", 16, 2000));
    assert_false(recognised("PK\3\4\x14\0\0\0\0\0", 10, 2000));
    assert_false(recognised("\x93NUMPY\1\0v\0{'descr'", 18, 2000));
    assert_false(recognised("{\"graph\": 1}\n", 13, 13));
    assert_false(recognised(": not a graph\n", 14, 14));
    assert_false(recognised("\x80\2}q\0.", 6, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_small_model),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(truncated_and_flipped_files_are_errors),
        cmocka_unit_test(typed_data_of_every_kind_is_read),
        cmocka_unit_test(data_that_does_not_fit_its_shape_is_refused),
        cmocka_unit_test(tensors_that_cannot_be_held_are_refused),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(unknown_fields_survive),
        cmocka_unit_test(attributes_of_every_type_round_trip),
        cmocka_unit_test(odd_attributes_are_refused),
        cmocka_unit_test(initializers_are_inputs_only_before_ir_version_4),
        cmocka_unit_test(the_time_axis_is_metadata),
        cmocka_unit_test(what_onnx_cannot_hold_is_not_written),
        cmocka_unit_test(the_ir_version_follows_the_operator_set),
        cmocka_unit_test(files_are_recognised_by_content),
    };
    return cmocka_run_group_tests_name("onnx", tests, NULL, NULL);
}
