/* safetensors: what is written is read back, what breaks the rules is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/formats.h"
#include "tests/unit/scratch.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })

static const enum i3d_dtype dtypes[] = {
    I3D_UINT8,  I3D_FLOAT64, I3D_BOOL,    I3D_FLOAT16, I3D_INT64,  I3D_INT8,   I3D_BFLOAT16,
    I3D_UINT16, I3D_FLOAT32, I3D_INT16,   I3D_UINT32,  I3D_UINT64, I3D_INT32,
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes };

static void put_bytes(struct i3d_model *model, const char *name, enum i3d_dtype dtype, int rank,
                      const int64_t *dims)
{
    unsigned char bytes[256];
    size_t length = (size_t)i3d_element_count(rank, dims) * i3d_dtype_size(dtype);
    assert_true(length <= sizeof bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(31 * i + (size_t)dtype);
    assert_int_equal(i3d_model_put_tensor(model, name, dtype, rank, dims,
                                          i3d_source_copy(bytes, length), NULL),
                     I3D_OK);
}

/* Every dtype with an odd count of elements, a scalar and two empty tensors. */
static struct i3d_model *full_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    put_bytes(model, "empty", I3D_FLOAT32, 2, (int64_t[]){ 0, 4 });
    for (int i = 0; i < DTYPE_COUNT; i++)
        put_bytes(model, i3d_dtype_name(dtypes[i]), dtypes[i], 3, (int64_t[]){ 1, 3, 1 });
    put_bytes(model, "scalar \"quoted\" \xc3\xa9\n", I3D_FLOAT32, 0, NULL);
    put_bytes(model, "nothing", I3D_INT64, 1, (int64_t[]){ 0 });
    assert_true(i3d_set_metadata(model, "format", "pt"));
    assert_true(i3d_set_metadata(model, "labels", "{\"0\": \"caf\xc3\xa9\"}"));
    return model;
}

static void write_and_read(const struct i3d_model *model, struct i3d_model **back)
{
    assert_int_equal(i3d_write_model(model, at("m.safetensors"), NULL, NULL), I3D_OK);
    assert_int_equal(i3d_read_model(at("m.safetensors"), back, NULL), I3D_OK);
}

static void assert_same_tensors(const struct i3d_model *a, const struct i3d_model *b)
{
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const struct i3d_tensor *x = &a->tensors[i], *y = &b->tensors[i];
        void *x_bytes, *y_bytes;
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(x->dims, y->dims, sizeof x->dims);
        assert_int_equal(i3d_tensor_load(x, &x_bytes, NULL), I3D_OK);
        assert_int_equal(i3d_tensor_load(y, &y_bytes, NULL), I3D_OK);
        assert_memory_equal(x_bytes, y_bytes, i3d_tensor_bytes(x));
        free(x_bytes);
        free(y_bytes);
    }
}

static void weights_come_back_in_order(void **unused)
{
    (void)unused;
    struct i3d_model *model = full_model(), *back;
    write_and_read(model, &back);
    assert_same_tensors(model, back);
    assert_int_equal(back->node_count, 0);
    assert_int_equal(back->metadata_count, 2);
    assert_string_equal(i3d_metadata(back, "format"), "pt");
    assert_string_equal(i3d_metadata(back, "labels"), "{\"0\": \"caf\xc3\xa9\"}");
    i3d_model_free(back);
    i3d_model_free(model);
}

/* The place of a tensor's bytes, found by what they are. */
static void every_tensor_is_aligned(void **unused)
{
    (void)unused;
    size_t length;
    struct i3d_model *model = i3d_model_new();
    put_bytes(model, "a", I3D_UINT8, 1, (int64_t[]){ 3 });
    for (int k = 0; k < 3; k++) {
        double value = 1000.25 + k;
        char name[] = { (char)('b' + k), 0 };
        assert_int_equal(i3d_model_put_tensor(model, name, I3D_FLOAT64, 0, NULL,
                                              i3d_source_copy(&value, sizeof value), NULL),
                         I3D_OK);
    }
    assert_int_equal(i3d_write_model(model, at("m.safetensors"), NULL, NULL), I3D_OK);
    unsigned char *bytes = get_file(at("m.safetensors"), &length);
    int found = 0;
    for (size_t i = 0; i + 8 <= length; i += 8) {
        double value;
        memcpy(&value, bytes + i, sizeof value);
        found += value == 1000.25 || value == 1001.25 || value == 1002.25;
    }
    assert_int_equal(found, 3);
    free(bytes);
    i3d_model_free(model);
}

/* x → Conv(w) → y, with a name and an attribute that no JSON string can hold. */
static struct i3d_model *graph_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    struct i3d_value *input = i3d_model_add_input(model);
    assert_non_null(input);
    input->name = "x";
    input->dtype = I3D_FLOAT32;
    input->rank = 4;
    for (int k = 0; k < 4; k++)
        input->dims[k].value = 3;
    put_bytes(model, "unused", I3D_UINT8, 1, (int64_t[]){ 5 });
    put_bytes(model, "w", I3D_FLOAT32, 4, (int64_t[]){ 2, 3, 1, 1 });
    model->tensors[1].doc = "the kernel";
    struct i3d_node *node = i3d_model_put_node(model, "Conv", "c\xff", NAMES("x", "w"), NAMES("y"));
    assert_non_null(node);
    assert_true(i3d_set_ints(model, node, "strides", (int64_t[]){ 1, INT64_MAX }, 2));
    assert_true(i3d_set_float(model, node, "limit", -1.0f / 0.0f));
    i3d_model_add_output(model)->name = "y";
    assert_true(i3d_set_opset(model, "", 13));
    assert_true(i3d_set_metadata(model, "author", "someone"));
    assert_true(i3d_set_metadata(model, "bytes", "\xff\xfe"));
    return model;
}

static void a_graph_comes_back(void **unused)
{
    (void)unused;
    struct i3d_model *model = graph_model(), *back;
    size_t count;
    write_and_read(model, &back);
    assert_same_tensors(model, back);
    assert_string_equal(back->tensors[1].doc, "the kernel");
    assert_int_equal(back->node_count, 1);
    assert_string_equal(back->nodes[0].name, "c\xff");
    assert_int_equal(i3d_ints(&back->nodes[0], "strides", &count)[1], INT64_MAX);
    assert_true(i3d_float(&back->nodes[0], "limit", 0) == -1.0f / 0.0f);
    assert_int_equal(i3d_opset(back), 13);
    assert_string_equal(i3d_metadata(back, "author"), "someone");
    assert_string_equal(i3d_metadata(back, "bytes"), "\xff\xfe");
    assert_null(i3d_metadata(back, "i3dconv.graph"));
    assert_int_equal(back->metadata_count, 2);
    i3d_model_free(back);
    i3d_model_free(model);
}

static void assert_not_written(const struct i3d_model *model, const char *where)
{
    struct i3d_error error = { 0 };
    assert_int_equal(i3d_write_model(model, at("m.safetensors"), NULL, &error),
                     I3D_UNSUPPORTED);
    assert_string_equal(error.where, where);
    assert_int_equal(count_files(), 0);
}

static void what_the_format_cannot_hold_is_refused(void **unused)
{
    (void)unused;
    struct i3d_model *model = full_model();
    model->tensors[2].name = "__metadata__";
    assert_not_written(model, "tensor __metadata__");
    model->tensors[2].name = "latin \xe9";
    assert_not_written(model, "tensor latin \xe9");
    model->tensors[2].name = "a";
    struct i3d_source *source = model->tensors[2].source;
    model->tensors[2].source = NULL;
    assert_not_written(model, "tensor a");
    model->tensors[2].source = source;
    model->metadata[1].value = "\xe9";
    assert_not_written(model, "metadata labels");
    model->metadata[1].value = "e";
    model->metadata[0].key = "i3dconv.graph";
    assert_not_written(model, "metadata i3dconv.graph");
    i3d_model_free(model);
}

static void put_safetensors(const char *header, size_t data_length)
{
    unsigned char bytes[2048] = { 0 };
    uint64_t length = strlen(header);
    assert_true(8 + length + data_length <= sizeof bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(bytes + 8, header, length);
    put_file(at("in"), bytes, 8 + length + data_length);
}

#define ENTRY(dtype, shape, offsets) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t data_length;
    enum i3d_status status;
    const char *phrase; /* in the message */
} headers[] = {
    { "{}", 0, I3D_OK, "" },
    { "{}  \n", 0, I3D_OK, "" },
    { "{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", 8, I3D_OK, "" },
    { "{\"a\":" ENTRY("F32", "[]", "[8,12]") ",\"b\":" ENTRY("I64", "[1]", "[0,8]") "}", 12, I3D_OK,
      "" },
    { "{\"a\":" ENTRY("F32", "[0]", "[0,0]") ",\"b\":" ENTRY("U8", "[2]", "[0,2]") "}", 2, I3D_OK,
      "" },
    { "{\"__metadata__\":{\"k\":\"v\"}}", 0, I3D_OK, "" },
    { "{", 0, I3D_MALFORMED, "JSON" },
    { "{}x", 0, I3D_MALFORMED, "JSON" },
    { "{\"\xff\":1}", 0, I3D_MALFORMED, "JSON" },
    { "{\"a\\u0000b\":" ENTRY("U8", "[0]", "[0,0]") "}", 0, I3D_UNSUPPORTED, "NUL" },
    { "{\"a\":" ENTRY("U8", "[0]", "[0,0]") ",\"a\":" ENTRY("U8", "[0]", "[0,0]") "}", 0,
      I3D_MALFORMED, "duplicate" },
    { "{}", 1, I3D_MALFORMED, "behind the last" },
    { "{\"a\":1}", 0, I3D_MALFORMED, "dtype" },
    { "{\"a\":{\"dtype\":\"U8\"}}", 0, I3D_MALFORMED, "shape" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, I3D_MALFORMED, "no range" },
    { "{\"\":" ENTRY("U8", "[1]", "[0,1]") "}", 1, I3D_MALFORMED, "no name" },
    { "{\"a\":" ENTRY("F8_E4M3", "[1]", "[0,1]") "}", 1, I3D_UNSUPPORTED, "F8_E4M3" },
    { "{\"a\":" ENTRY("U8", "[1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, I3D_OK, "" },
    { "{\"a\":" ENTRY("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, I3D_UNSUPPORTED, "9 axes" },
    { "{\"a\":" ENTRY("U8", "[-1]", "[0,1]") "}", 1, I3D_MALFORMED, "no count" },
    { "{\"a\":" ENTRY("U8", "[1.0]", "[0,1]") "}", 1, I3D_MALFORMED, "no count" },
    { "{\"a\":" ENTRY("U8", "{}", "[0,1]") "}", 1, I3D_MALFORMED, "shape" },
    { "{\"a\":" ENTRY("F32", "[4294967296,4294967296]", "[0,0]") "}", 0, I3D_MALFORMED,
      "too large" },
    { "{\"a\":" ENTRY("F32", "[99999999999999999999]", "[0,0]") "}", 0, I3D_MALFORMED, "JSON" },
    { "{\"a\":" ENTRY("U8", "[1]", "[0]") "}", 1, I3D_MALFORMED, "no range" },
    { "{\"a\":" ENTRY("U8", "[1]", "[1,0]") "}", 1, I3D_MALFORMED, "no range" },
    { "{\"a\":" ENTRY("U8", "[1]", "[-1,0]") "}", 1, I3D_MALFORMED, "no range" },
    { "{\"a\":" ENTRY("U8", "[2]", "[0,2]") "}", 1, I3D_MALFORMED, "ends at byte" },
    { "{\"a\":" ENTRY("F32", "[2]", "[0,4]") "}", 4, I3D_MALFORMED, "asks for 8" },
    { "{\"a\":" ENTRY("U8", "[1]", "[1,2]") "}", 2, I3D_MALFORMED, "begins at byte 1" },
    { "{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",\"b\":" ENTRY("U8", "[2]", "[1,3]") "}", 3,
      I3D_MALFORMED, "begins at byte 1" },
    { "{\"a\":" ENTRY("U8", "[1]", "[0,1]") "}", 2, I3D_MALFORMED, "behind the last" },
    { "{\"__metadata__\":[]}", 0, I3D_MALFORMED, "object" },
    { "{\"__metadata__\":{\"k\":1}}", 0, I3D_MALFORMED, "no string" },
    { "{\"__metadata__\":{\"i3dconv.graph\":\"[]\"}}", 0, I3D_MALFORMED, "" },
    { "{\"__metadata__\":{\"i3dconv.graph\":\"{\"}}", 0, I3D_MALFORMED, "" },
};

static void headers_are_checked(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct i3d_model *model;
        struct i3d_error error = { 0 };
        put_safetensors(headers[i].header, headers[i].data_length);
        enum i3d_status status = i3d_read_model(at("in"), &model, &error);
        if (status != headers[i].status || !strstr(error.message, headers[i].phrase))
            fail_msg("%s: status %d, %s", headers[i].header, status, error.message);
        i3d_model_free(model);
    }
}

static void header_lengths_are_checked(void **unused)
{
    (void)unused;
    struct i3d_model *model;
    struct i3d_error error;
    unsigned char bytes[16] = { 9, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
    put_file(at("in"), bytes, 16);
    assert_int_equal(i3d_read_model(at("in"), &model, &error), I3D_MALFORMED);
    assert_non_null(strstr(error.message, "9 bytes"));
    bytes[7] = 0xff;
    put_file(at("in"), bytes, 16);
    assert_int_equal(i3d_read_model(at("in"), &model, &error), I3D_MALFORMED);
    put_file(at("in"), bytes, 8);
    assert_int_equal(i3d_read_model(at("in"), &model, &error), I3D_MALFORMED);
    put_file(at("in"), bytes, 3);
    assert_int_equal(i3d_read_model(at("in"), &model, &error), I3D_MALFORMED);
}

/* Arrays nested 100,000 deep. */
static void deep_nesting_is_refused(void **unused)
{
    (void)unused;
    enum { DEPTH = 100000 };
    struct i3d_model *model;
    unsigned char *bytes = malloc(8 + DEPTH);
    assert_non_null(bytes);
    memcpy(bytes, &(uint64_t){ DEPTH }, 8);
    memset(bytes + 8, '[', DEPTH);
    memcpy(bytes + 8, "{\"a\":", 5);
    put_file(at("in"), bytes, 8 + DEPTH);
    free(bytes);
    assert_int_equal(i3d_read_model(at("in"), &model, NULL), I3D_MALFORMED);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Two thousand damaged copies of a file with a graph: each is read to the end
 * or refused in one line; damage to the tensors' bytes alone goes unnoticed. */
static void damaged_copies_are_read_or_refused(void **unused)
{
    (void)unused;
    size_t length, counts[6] = { 0 };
    uint64_t random = 1;
    struct i3d_model *model = graph_model(), *back;
    assert_int_equal(i3d_write_model(model, at("m.safetensors"), NULL, NULL), I3D_OK);
    i3d_model_free(model);
    unsigned char *bytes = get_file(at("m.safetensors"), &length);
    unsigned char *copy = malloc(length);
    assert_non_null(copy);
    for (int i = 0; i < 2000; i++) {
        struct i3d_error error = { 0 };
        size_t size = i % 4 ? length : next_random(&random) % length;
        memcpy(copy, bytes, length);
        for (uint64_t k = 1 + next_random(&random) % 3; k; k--)
            copy[next_random(&random) % length] ^= (unsigned char)(1 << next_random(&random) % 8);
        put_file(at("in"), copy, size);
        enum i3d_status status = i3d_read_model(at("in"), &back, &error);
        assert_true(status == I3D_OK || status == I3D_MALFORMED || status == I3D_UNSUPPORTED);
        assert_true(!status == !error.message[0]);
        counts[status]++;
        for (size_t k = 0; back && k < back->tensor_count; k++) {
            void *loaded;
            assert_int_equal(i3d_tensor_load(&back->tensors[k], &loaded, NULL), I3D_OK);
            free(loaded);
        }
        i3d_model_free(back);
    }
    assert_true(counts[I3D_OK] && counts[I3D_MALFORMED] > 500);
    free(copy);
    free(bytes);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, empty_scratch)
    const struct CMUnitTest tests[] = {
        TEST(weights_come_back_in_order),
        TEST(every_tensor_is_aligned),
        TEST(a_graph_comes_back),
        TEST(what_the_format_cannot_hold_is_refused),
        TEST(headers_are_checked),
        TEST(header_lengths_are_checked),
        TEST(deep_nesting_is_refused),
        TEST(damaged_copies_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
