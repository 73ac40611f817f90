/* HDF5: what is written is read back, every way of storing that the library has
 * is read, and what breaks the rules is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hdf5.h>
#include <sys/wait.h>

#include "formats/formats.h"
#include "tests/unit/scratch.h"

static const enum i3d_dtype dtypes[] = {
    I3D_UINT8,  I3D_FLOAT64, I3D_BOOL,    I3D_FLOAT16, I3D_INT64,  I3D_INT8,   I3D_BFLOAT16,
    I3D_UINT16, I3D_FLOAT32, I3D_INT16,   I3D_UINT32,  I3D_UINT64, I3D_INT32,
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes, ELEMENTS = 1000 };

static void put_bytes(struct i3d_model *model, const char *name, enum i3d_dtype dtype, int rank,
                      const int64_t *dims)
{
    unsigned char bytes[256];
    size_t length = (size_t)i3d_element_count(rank, dims) * i3d_dtype_size(dtype);
    assert_true(length <= sizeof bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = dtype == I3D_BOOL ? i % 2 : (unsigned char)(31 * i + (size_t)dtype);
    assert_int_equal(i3d_model_put_tensor(model, name, dtype, rank, dims,
                                          i3d_source_copy(bytes, length), NULL),
                     I3D_OK);
}

/* A plain tree; in the order of the names, which is that of listing it. */
static struct i3d_model *tree(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    put_bytes(model, "a/empty", I3D_FLOAT32, 2, (int64_t[]){ 0, 4 });
    put_bytes(model, "a/nothing", I3D_INT64, 1, (int64_t[]){ 0 });
    put_bytes(model, "a/scalar", I3D_FLOAT32, 0, NULL);
    for (int i = 0; i < DTYPE_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "b/%c/%s", 'a' + i, i3d_dtype_name(dtypes[i]));
        put_bytes(model, name, dtypes[i], 3, (int64_t[]){ 1, 3, 1 });
    }
    put_bytes(model, "c", I3D_FLOAT32, 8, (int64_t[]){ 1, 2, 1, 2, 1, 2, 1, 2 });
    return model;
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
        assert_memory_equal(x->dims, y->dims, (size_t)x->rank * sizeof x->dims[0]);
        assert_int_equal(i3d_tensor_load(x, &x_bytes, NULL), I3D_OK);
        assert_int_equal(i3d_tensor_load(y, &y_bytes, NULL), I3D_OK);
        assert_memory_equal(x_bytes, y_bytes, i3d_tensor_bytes(x));
        free(x_bytes);
        free(y_bytes);
    }
}

static struct i3d_model *write_and_read(const struct i3d_model *model)
{
    struct i3d_model *back;
    assert_int_equal(i3d_write_model(model, at("m.h5"), NULL, NULL), I3D_OK);
    assert_int_equal(i3d_read_model(at("m.h5"), &back, NULL), I3D_OK);
    return back;
}

static void a_tree_comes_back(void **unused)
{
    (void)unused;
    struct i3d_model *model = tree(), *back = write_and_read(model);
    assert_same_tensors(model, back);
    assert_string_equal(back->container, "hdf5");
    assert_null(i3d_metadata(back, "keras.layer_names"));
    i3d_model_free(back);
    i3d_model_free(model);
}

/* Layers out of the alphabet's order, without weights, with slashes, one of
 * them the beginning of another's name. */
static void keras_layers_come_back_in_order(void **unused)
{
    (void)unused;
    static const char names[] = "[\"z\",\"input\",\"block/a\",\"block\",\"b\"]";
    struct i3d_model *model = i3d_model_new();
    assert_true(i3d_set_metadata(model, "keras.layer_names", names));
    assert_true(i3d_set_metadata(model, "keras.keras_version", "2.9.0"));
    put_bytes(model, "z/z/kernel:0", I3D_FLOAT32, 2, (int64_t[]){ 2, 3 });
    put_bytes(model, "z/z/bias:0", I3D_FLOAT32, 1, (int64_t[]){ 3 });
    put_bytes(model, "block/a/w/deep/kernel:0", I3D_FLOAT32, 1, (int64_t[]){ 2 });
    put_bytes(model, "block/kernel:0", I3D_FLOAT32, 1, (int64_t[]){ 2 });
    put_bytes(model, "b/moving_mean", I3D_FLOAT16, 1, (int64_t[]){ 2 });
    struct i3d_model *back = write_and_read(model);
    assert_same_tensors(model, back);
    assert_string_equal(i3d_metadata(back, "keras.layer_names"), names);
    assert_string_equal(i3d_metadata(back, "keras.keras_version"), "2.9.0");
    i3d_model_free(back);
    i3d_model_free(model);
}

static void keras_names_make_a_keras_file(void **unused)
{
    (void)unused;
    struct i3d_model *model = i3d_model_new();
    put_bytes(model, "z/kernel:0", I3D_FLOAT32, 1, (int64_t[]){ 2 });
    put_bytes(model, "a/kernel:0", I3D_FLOAT32, 1, (int64_t[]){ 2 });
    struct i3d_model *back = write_and_read(model);
    assert_same_tensors(model, back);
    assert_string_equal(i3d_metadata(back, "keras.layer_names"), "[\"z\",\"a\"]");
    i3d_model_free(back);
    i3d_model_free(model);
}

/* 3,500 names of 30 bytes pass the 64,512 that one attribute may have; so do the
 * weights of one layer. */
static void long_lists_of_names_are_split(void **unused)
{
    (void)unused;
    struct i3d_model *model = i3d_model_new();
    char name[64];
    for (int i = 0; i < 3500; i++) {
        snprintf(name, sizeof name, "a_layer_with_a_long_name__%04d/k:0", 3499 - i);
        put_bytes(model, name, I3D_UINT8, 1, (int64_t[]){ 2 });
    }
    for (int i = 0; i < 2200; i++) {
        snprintf(name, sizeof name, "last/a_weight_with_a_long_name_%04d:0", 2199 - i);
        put_bytes(model, name, I3D_UINT8, 0, NULL);
    }
    struct i3d_model *back = write_and_read(model);
    assert_same_tensors(model, back);
    i3d_model_free(back);
    i3d_model_free(model);
}

static void the_same_model_gives_the_same_bytes(void **unused)
{
    (void)unused;
    size_t length[2];
    unsigned char *bytes[2];
    for (int i = 0; i < 2; i++) {
        struct i3d_model *model = tree();
        assert_int_equal(i3d_write_model(model, at("m.h5"), NULL, NULL), I3D_OK);
        bytes[i] = get_file(at("m.h5"), &length[i]);
        i3d_model_free(model);
        if (i == 0)
            usleep(1100000); /* dates in HDF5 are whole seconds */
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(bytes[0], bytes[1], length[0]);
    free(bytes[0]);
    free(bytes[1]);
}

static void small_models_are_small_files(void **unused)
{
    (void)unused;
    size_t length;
    struct i3d_model *model = i3d_model_new();
    put_bytes(model, "a", I3D_FLOAT32, 1, (int64_t[]){ 4 });
    assert_int_equal(i3d_write_model(model, at("m.h5"), NULL, NULL), I3D_OK);
    free(get_file(at("m.h5"), &length));
    assert_in_range(length, 16, 16384);
    i3d_model_free(model);
}

/* One file without a name: what a pipe is spooled to. */
static void an_unlinked_file_is_read(void **unused)
{
    (void)unused;
    struct i3d_model *model = tree(), *back;
    char path[64];
    assert_int_equal(i3d_write_model(model, at("m.h5"), NULL, NULL), I3D_OK);
    int fd = open(at("m.h5"), O_RDONLY);
    assert_true(fd >= 0);
    unlink(at("m.h5"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(i3d_read_model(path, &back, NULL), I3D_OK);
    close(fd);
    assert_same_tensors(model, back);
    i3d_model_free(back);
    i3d_model_free(model);
}

/* A file made by libhdf5 itself, in a process of its own. */
struct recipe {
    hsize_t user_block;
    bool newest;
    hid_t file, properties; /* of the dataset "x" */
    void (*make)(struct recipe *recipe);
};

static float element(int i)
{
    return (float)(i % 17) - 0.25f * (float)i;
}

static void cook(const struct recipe *given)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct recipe recipe = *given;
        hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
        bool good = (!recipe.user_block || H5Pset_userblock(creation, recipe.user_block) >= 0)
            && (!recipe.newest
                || H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0);
        recipe.file = H5Fcreate(at("x.h5"), H5F_ACC_TRUNC, creation, access);
        recipe.properties = H5Pcreate(H5P_DATASET_CREATE);
        if (good && recipe.file >= 0)
            recipe.make(&recipe);
        _exit(good && H5Fclose(recipe.file) >= 0 ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void make_x(const struct recipe *recipe, hid_t type, bool with_elements)
{
    float values[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        values[i] = element(i);
    hid_t space = H5Screate_simple(2, (hsize_t[]){ 10, ELEMENTS / 10 }, NULL);
    hid_t dataset =
        H5Dcreate2(recipe->file, "x", type, space, H5P_DEFAULT, recipe->properties, H5P_DEFAULT);
    if (dataset < 0
        || (with_elements
            && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        || H5Dclose(dataset) < 0)
        _exit(2);
}

static void contiguous(struct recipe *recipe)
{
    make_x(recipe, H5T_IEEE_F32LE, true);
}

static void big_endian(struct recipe *recipe)
{
    make_x(recipe, H5T_IEEE_F32BE, true);
}

static void compact(struct recipe *recipe)
{
    H5Pset_layout(recipe->properties, H5D_COMPACT);
    make_x(recipe, H5T_IEEE_F32LE, true);
}

static void chunked_and_packed(struct recipe *recipe)
{
    H5Pset_chunk(recipe->properties, 2, (hsize_t[]){ 3, 7 });
    H5Pset_shuffle(recipe->properties);
    H5Pset_deflate(recipe->properties, 6);
    H5Pset_fletcher32(recipe->properties);
    make_x(recipe, H5T_IEEE_F32LE, true);
}

static void never_written(struct recipe *recipe)
{
    float fill = 2.5f;
    H5Pset_fill_value(recipe->properties, H5T_NATIVE_FLOAT, &fill);
    make_x(recipe, H5T_IEEE_F32LE, false);
}

static void every_way_of_storing_is_read(void **unused)
{
    (void)unused;
    void (*const ways[])(struct recipe *) = { contiguous, big_endian, compact, chunked_and_packed,
                                              never_written };
    static const hsize_t user_blocks[] = { 0, 512, 1024 };
    for (size_t i = 0; i < 2 * 3 * sizeof ways / sizeof *ways; i++) {
        struct recipe recipe = { .newest = i % 2,
                                 .user_block = user_blocks[i / 2 % 3],
                                 .make = ways[i / 6] };
        cook(&recipe);
        struct i3d_model *model;
        float *values;
        assert_int_equal(i3d_read_model(at("x.h5"), &model, NULL), I3D_OK);
        assert_int_equal(model->tensor_count, 1);
        assert_string_equal(model->tensors[0].name, "x");
        assert_int_equal(model->tensors[0].dtype, I3D_FLOAT32);
        assert_int_equal(model->tensors[0].rank, 2);
        assert_int_equal(model->tensors[0].dims[1], ELEMENTS / 10);
        assert_int_equal(i3d_tensor_load_float(&model->tensors[0], &values, NULL), I3D_OK);
        for (int k = 0; k < ELEMENTS; k++)
            assert_true(values[k] == (recipe.make == never_written ? 2.5f : element(k)));
        free(values);
        i3d_model_free(model);
    }
}

/* / contains a/b, which contains / and a again. */
static void cycle(struct recipe *recipe)
{
    hid_t a = H5Gcreate2(recipe->file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t b = H5Gcreate2(a, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(recipe->file, "a", b, "up", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(recipe->file, "/", b, "root", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/a", recipe->file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("x.h5", "/", recipe->file, "external", H5P_DEFAULT, H5P_DEFAULT);
    contiguous(recipe);
    H5Gclose(b);
    H5Gclose(a);
}

static void links_in_circles_are_walked_once(void **unused)
{
    (void)unused;
    struct i3d_model *model;
    cook(&(struct recipe){ .make = cycle });
    assert_int_equal(i3d_read_model(at("x.h5"), &model, NULL), I3D_OK);
    assert_int_equal(model->tensor_count, 1);
    i3d_model_free(model);
}

/* Each group links the next twice: 2^40 ways to the end. */
static void doubling(struct recipe *recipe)
{
    hid_t group = H5Gopen2(recipe->file, "/", H5P_DEFAULT);
    for (int i = 0; i < 40; i++) {
        hid_t next = H5Gcreate2(group, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_hard(group, "a", group, "b", H5P_DEFAULT, H5P_DEFAULT);
        H5Gclose(group);
        group = next;
    }
    H5Gclose(group);
}

static void nested(struct recipe *recipe)
{
    hid_t group = H5Gopen2(recipe->file, "/", H5P_DEFAULT);
    for (int i = 0; i < 200; i++) {
        hid_t next = H5Gcreate2(group, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Gclose(group);
        group = next;
    }
    H5Gclose(group);
}

static void make_huge(const struct recipe *recipe, hsize_t rows, hsize_t columns)
{
    H5Pset_chunk(recipe->properties, 2, (hsize_t[]){ 16, 16 });
    hid_t space = H5Screate_simple(2, (hsize_t[]){ rows, columns }, NULL);
    hid_t dataset = H5Dcreate2(recipe->file, "x", H5T_IEEE_F64LE, space, H5P_DEFAULT,
                               recipe->properties, H5P_DEFAULT);
    if (dataset < 0 || H5Dclose(dataset) < 0)
        _exit(2);
}

static void terabytes(struct recipe *recipe)
{
    make_huge(recipe, (hsize_t)1 << 20, (hsize_t)1 << 20);
}

static void more_than_64_bits(struct recipe *recipe)
{
    make_huge(recipe, (hsize_t)1 << 31, (hsize_t)1 << 30);
}

static void nine_dimensions(struct recipe *recipe)
{
    hid_t space = H5Screate_simple(9, (hsize_t[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 }, NULL);
    H5Dclose(H5Dcreate2(recipe->file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT,
                        H5P_DEFAULT));
}

static void null_space(struct recipe *recipe)
{
    H5Dclose(H5Dcreate2(recipe->file, "x", H5T_IEEE_F32LE, H5Screate(H5S_NULL), H5P_DEFAULT,
                        H5P_DEFAULT, H5P_DEFAULT));
}

static void layers_that_are_numbers(struct recipe *recipe)
{
    hid_t space = H5Screate_simple(1, (hsize_t[]){ 3 }, NULL);
    H5Aclose(H5Acreate2(recipe->file, "layer_names", H5T_STD_I32LE, space, H5P_DEFAULT,
                        H5P_DEFAULT));
}

static void layer_that_is_not_there(struct recipe *recipe)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 4);
    hid_t space = H5Screate_simple(1, (hsize_t[]){ 1 }, NULL);
    hid_t names = H5Acreate2(recipe->file, "layer_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (H5Awrite(names, type, "none") < 0)
        _exit(2);
    H5Aclose(names);
}

static float secret[ELEMENTS];

static void put_secret(struct recipe *recipe)
{
    put_file(at("secret"), secret, sizeof secret);
    H5Pset_external(recipe->properties, at("secret"), 0, sizeof secret);
    make_x(recipe, H5T_IEEE_F32LE, false);
}

/* A second file with a layer in it, and the name of that layer in the first. */
static void put_other_layer(const struct recipe *recipe)
{
    struct recipe other = { .properties = recipe->properties };
    other.file = H5Fcreate(at("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, (hsize_t[]){ 1 }, NULL);
    hid_t weights = H5Acreate2(other.file, "weight_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
    hid_t layers = H5Acreate2(recipe->file, "layer_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (H5Awrite(weights, type, "x") < 0 || H5Awrite(layers, type, "a") < 0)
        _exit(2);
    H5Aclose(weights);
    H5Aclose(layers);
    contiguous(&other);
    if (H5Fclose(other.file) < 0)
        _exit(2);
}

static void external_layer(struct recipe *recipe)
{
    put_other_layer(recipe);
    H5Lcreate_external(at("other.h5"), "/", recipe->file, "a", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_weight(struct recipe *recipe)
{
    put_other_layer(recipe);
    hid_t group = H5Gcreate2(recipe->file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, (hsize_t[]){ 1 }, NULL);
    hid_t weights = H5Acreate2(group, "weight_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (H5Awrite(weights, type, "x") < 0)
        _exit(2);
    H5Aclose(weights);
    H5Lcreate_external(at("other.h5"), "/x", group, "x", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
}

static void virtual_dataset(struct recipe *recipe)
{
    hid_t space = H5Screate_simple(2, (hsize_t[]){ 10, ELEMENTS / 10 }, NULL);
    put_other_layer(recipe);
    H5Adelete(recipe->file, "layer_names");
    H5Pset_virtual(recipe->properties, space, at("other.h5"), "/x", space);
    make_x(recipe, H5T_IEEE_F32LE, false);
}

static void what_no_model_holds_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        void (*make)(struct recipe *recipe);
        enum i3d_status status;
        const char *message;
    } cases[] = {
        { doubling, I3D_UNSUPPORTED, "more than 100000 objects" },
        { nested, I3D_UNSUPPORTED, "more than 64 deep" },
        { terabytes, I3D_MALFORMED, "dataset x claims 8796093022208 bytes" },
        { more_than_64_bits, I3D_MALFORMED, "dataset x is absurdly large" },
        { nine_dimensions, I3D_UNSUPPORTED, "dataset x has 9 dimensions" },
        { null_space, I3D_UNSUPPORTED, "dataset x has no elements" },
        { layers_that_are_numbers, I3D_MALFORMED, "layer_names cannot be read" },
        { layer_that_is_not_there, I3D_MALFORMED, "layer none is listed but not in this file" },
        { put_secret, I3D_UNSUPPORTED, "dataset x has its elements in other files" },
        { virtual_dataset, I3D_UNSUPPORTED, "dataset x has its elements in other files" },
        { external_layer, I3D_MALFORMED, "layer a is listed but not in this file" },
        { external_weight, I3D_MALFORMED, "weight a/x is listed but not in this file" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct i3d_model *model;
        struct i3d_error error = { 0 };
        cook(&(struct recipe){ .make = cases[i].make });
        enum i3d_status status = i3d_read_model(at("x.h5"), &model, &error);
        assert_null(model);
        if (status != cases[i].status || !strstr(error.message, cases[i].message))
            fail_msg("case %zu: status %d, %s", i, (int)status, error.message);
    }
}

/* Reading succeeds, or is refused with a message; loading likewise. */
static enum i3d_status try_everything(const char *path)
{
    struct i3d_model *model;
    struct i3d_error error = { 0 };
    enum i3d_status status = i3d_read_model(path, &model, &error);
    for (size_t i = 0; !status && i < model->tensor_count; i++) {
        void *bytes;
        status = i3d_tensor_load(&model->tensors[i], &bytes, &error);
        if (!status)
            free(bytes);
    }
    i3d_model_free(model);
    assert_true(status == I3D_OK || error.message[0]);
    return status;
}

static void truncated_files_are_refused(void **unused)
{
    (void)unused;
    void (*const ways[])(struct recipe *) = { contiguous, chunked_and_packed };
    for (int way = 0; way < 2; way++) {
        size_t length;
        cook(&(struct recipe){ .make = ways[way] });
        unsigned char *bytes = get_file(at("x.h5"), &length);
        assert_int_equal(try_everything(at("x.h5")), I3D_OK);
        for (size_t i = 0; i < 100; i++) {
            put_file(at("t.h5"), bytes, length * i / 100);
            assert_int_equal(try_everything(at("t.h5")), I3D_MALFORMED);
        }
        free(bytes);
    }
}

static void names_that_hdf5_cannot_hold_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *layers, *names[3], *where;
    } cases[] = {
        { NULL, { "a", "a/b" }, "tensor a/b" },
        { NULL, { "a/b/c", "a/b", "x" }, "tensor a/b/c" },
        { NULL, { "b", "./a" }, "tensor ./a" },
        { NULL, { "a//b" }, "tensor a//b" },
        { NULL, { "/a" }, "tensor /a" },
        { NULL, { "a/" }, "tensor a/" },
        { "[\"a/k:0\"]", { "a/k:0" }, "layer a/k:0" },
        { "[\"a\",\"b/\"]", { "a/k:0" }, "layer b/" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct i3d_error error = { 0 };
        struct i3d_model *model = i3d_model_new();
        int before = count_files();
        if (cases[i].layers)
            assert_true(i3d_set_metadata(model, "keras.layer_names", cases[i].layers));
        for (int k = 0; k < 3 && cases[i].names[k]; k++)
            put_bytes(model, cases[i].names[k], I3D_INT8, 0, NULL);
        assert_int_equal(i3d_write_model(model, at("n.h5"), NULL, &error), I3D_UNSUPPORTED);
        assert_string_equal(error.where, cases[i].where);
        assert_int_equal(count_files(), before);
        i3d_model_free(model);
    }
}

/* Path lengths and depths up to the last that is read back. */
static void long_names_come_back_or_are_refused(void **unused)
{
    (void)unused;
    for (int over = 0; over < 2; over++) {
        struct i3d_model *model = i3d_model_new();
        char deep[2 * 70] = "", name[5000];
        for (int i = 0; i < 63 + over; i++)
            strcat(deep, "d/");
        strcat(deep, "x");
        memset(name, 'n', sizeof name);
        name[4094] = 0;
        put_bytes(model, deep, I3D_INT8, 0, NULL);
        if (!over) {
            put_bytes(model, name, I3D_INT8, 0, NULL);
            struct i3d_model *back = write_and_read(model);
            assert_same_tensors(model, back);
            i3d_model_free(back);
        } else {
            assert_int_equal(i3d_write_model(model, at("l.h5"), NULL, NULL), I3D_UNSUPPORTED);
        }
        i3d_model_free(model);
    }
}

/* A list of layers that does not fit the tensors, or is none, does no harm. */
static void odd_lists_of_layers_are_put_right(void **unused)
{
    (void)unused;
    static const char *const cases[][2] = {
        { "[\"a\",\"a\",\"b\"]", "[\"a\",\"b\",\"c\"]" },
        { "[]", "[\"a\",\"c\"]" },
        { "[1]", NULL },
        { "nonsense", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct i3d_model *model = i3d_model_new();
        assert_true(i3d_set_metadata(model, "keras.layer_names", cases[i][0]));
        put_bytes(model, "a/k", I3D_INT8, 0, NULL);
        put_bytes(model, "c/k", I3D_INT8, 0, NULL);
        struct i3d_model *back = write_and_read(model);
        assert_same_tensors(model, back);
        const char *layers = i3d_metadata(back, "keras.layer_names");
        if (cases[i][1])
            assert_string_equal(layers, cases[i][1]);
        else
            assert_null(layers);
        i3d_model_free(back);
        i3d_model_free(model);
    }
}

static void a_graph_and_a_pipe_are_refused(void **unused)
{
    (void)unused;
    struct i3d_model *model = tree();
    int before = count_files();
    assert_int_equal(i3d_write_model(model, "/dev/stdout", i3d_format_by_name("hdf5"), NULL),
                     I3D_USAGE);
    assert_non_null(i3d_model_put_node(model, "Identity", "n", (const char *[]){ "c", NULL },
                                       (const char *[]){ "y", NULL }));
    assert_int_equal(i3d_write_model(model, at("g.h5"), NULL, NULL), I3D_UNSUPPORTED);
    assert_int_equal(count_files(), before);
    i3d_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_comes_back),
        cmocka_unit_test(keras_layers_come_back_in_order),
        cmocka_unit_test(keras_names_make_a_keras_file),
        cmocka_unit_test(long_lists_of_names_are_split),
        cmocka_unit_test(the_same_model_gives_the_same_bytes),
        cmocka_unit_test(small_models_are_small_files),
        cmocka_unit_test(an_unlinked_file_is_read),
        cmocka_unit_test(every_way_of_storing_is_read),
        cmocka_unit_test(links_in_circles_are_walked_once),
        cmocka_unit_test(what_no_model_holds_is_refused),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(names_that_hdf5_cannot_hold_are_refused),
        cmocka_unit_test(long_names_come_back_or_are_refused),
        cmocka_unit_test(odd_lists_of_layers_are_put_right),
        cmocka_unit_test(a_graph_and_a_pipe_are_refused),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
