/* Reading and writing models by path: recognition, odd inputs, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#include "formats/formats.h"
#include "tests/unit/scratch.h"

/* A weights-only model of one float32 tensor 2x3. */
static struct i3d_model *small_model(void)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    assert_int_equal(i3d_model_put_floats(model, "w", 2, (int64_t[]){ 2, 3 },
                                          (float[]){ 1, 2, 3, 4, 5, 6 }, NULL),
                     I3D_OK);
    return model;
}

static void write_small(const char *path)
{
    struct i3d_model *model = small_model();
    assert_int_equal(i3d_write_model(model, path, i3d_format_by_name("safetensors"), NULL),
                     I3D_OK);
    i3d_model_free(model);
}

static void assert_reads_small(const char *path)
{
    struct i3d_model *model;
    float *values;
    assert_int_equal(i3d_read_model(path, &model, NULL), I3D_OK);
    assert_int_equal(model->tensor_count, 1);
    assert_int_equal(i3d_tensor_load_float(&model->tensors[0], &values, NULL), I3D_OK);
    for (int i = 0; i < 6; i++)
        assert_true(values[i] == (float)(i + 1));
    free(values);
    i3d_model_free(model);
}

static void formats_are_found_by_name_and_suffix(void **unused)
{
    (void)unused;
    assert_string_equal(i3d_format_by_name("hdf5")->name, "hdf5");
    assert_null(i3d_format_by_name("hdf"));
    assert_null(i3d_format_by_name(NULL));
    assert_string_equal(i3d_format_by_suffix("a/b.H5")->name, "hdf5");
    assert_string_equal(i3d_format_by_suffix("b.hdf5")->name, "hdf5");
    assert_string_equal(i3d_format_by_suffix("b.onnx")->name, "onnx");
    assert_string_equal(i3d_format_by_suffix("b.h5.safetensors")->name, "safetensors");
    assert_null(i3d_format_by_suffix(".h5"));
    assert_null(i3d_format_by_suffix("h5"));
    assert_null(i3d_format_by_suffix("model.tar"));
}

static void content_tells_the_format(void **unused)
{
    (void)unused;
    struct i3d_model *model;
    write_small(at("weights.h5"));
    assert_int_equal(i3d_read_model(at("weights.h5"), &model, NULL), I3D_OK);
    assert_string_equal(model->container, "safetensors");
    assert_string_equal(model->path, at("weights.h5"));
    i3d_model_free(model);
}

static void assert_refused(const char *path, enum i3d_status expected, const char *phrase)
{
    struct i3d_model *model;
    struct i3d_error error;
    assert_int_equal(i3d_read_model(path, &model, &error), expected);
    assert_null(model);
    assert_string_equal(error.file, path);
    assert_non_null(strstr(error.message, phrase));
}

static void what_is_no_model_is_refused(void **unused)
{
    (void)unused;
    put_file(at("empty"), "", 0);
    put_file(at("text"), "hello, world\n", 13);
    assert_refused(at("empty"), I3D_MALFORMED, "empty");
    assert_refused(at("text"), I3D_MALFORMED, "no format known");
    assert_refused(scratch, I3D_MALFORMED, "directory");
    assert_refused(at("absent"), I3D_SYSTEM, "cannot open");
    assert_refused("/dev/null", I3D_MALFORMED, "empty");
}

static void a_fifo_is_read(void **unused)
{
    (void)unused;
    size_t length;
    int exit_status;
    write_small(at("file"));
    unsigned char *bytes = get_file(at("file"), &length);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (!writer) {
        int fd = open(at("fifo"), O_WRONLY);
        /* Two pieces: one read does not get everything. */
        _exit(write(fd, bytes, 20) != 20 || usleep(20000)
              || write(fd, bytes + 20, length - 20) != (ssize_t)length - 20);
    }
    assert_reads_small(at("fifo"));
    assert_int_equal(waitpid(writer, &exit_status, 0), writer);
    assert_int_equal(exit_status, 0);
    free(bytes);
}

/* Runs check with standard input taken from fd. */
static void with_standard_input(int fd, void (*check)(void))
{
    int before = dup(STDIN_FILENO);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    check();
    if (before >= 0) {
        assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
        close(before);
    } else {
        close(STDIN_FILENO);
    }
}

static void check_standard_input(void)
{
    assert_reads_small("-");
}

static void standard_input_is_read_from_where_it_stands(void **unused)
{
    (void)unused;
    size_t length;
    int ends[2];
    write_small(at("file"));
    unsigned char *bytes = get_file(at("file"), &length);

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], bytes, length), length);
    close(ends[1]);
    with_standard_input(ends[0], check_standard_input);
    close(ends[0]);

    int fd = open(at("file"), O_RDONLY);
    with_standard_input(fd, check_standard_input);
    close(fd);

    fd = open(at("behind"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "head", 4), 4);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(lseek(fd, 4, SEEK_SET), 4);
    with_standard_input(fd, check_standard_input);
    close(fd);
    free(bytes);
}

static void no_room_to_spool_is_the_systems_fault(void **unused)
{
    (void)unused;
    struct i3d_model *model;
    struct i3d_error error;
    const char *before = getenv("TMPDIR");
    char *kept = before ? strdup(before) : NULL;
    setenv("TMPDIR", at("absent"), 1);
    assert_int_equal(i3d_read_model("/dev/null", &model, &error), I3D_SYSTEM);
    assert_string_equal(error.file, at("absent"));
    if (kept)
        setenv("TMPDIR", kept, 1);
    else
        unsetenv("TMPDIR");
    free(kept);
}

static void assert_not_written(const struct i3d_model *model, const char *path,
                               const char *format, enum i3d_status expected)
{
    struct i3d_error error = { 0 };
    int before = count_files();
    assert_int_equal(i3d_write_model(model, path, i3d_format_by_name(format), &error), expected);
    assert_true(error.file[0] && error.message[0]);
    assert_int_equal(count_files(), before);
}

static void what_cannot_be_written_is_refused(void **unused)
{
    (void)unused;
    struct i3d_model *model = small_model();
    assert_int_equal(mkfifo(at("fifo.h5"), 0600), 0);
    assert_not_written(model, at("weights"), NULL, I3D_USAGE);
    assert_not_written(model, at("weights.tar"), NULL, I3D_USAGE);
    assert_not_written(model, "-", "hdf5", I3D_USAGE);
    assert_not_written(model, "/dev/stdout", "hdf5", I3D_USAGE);
    assert_not_written(model, at("fifo.h5"), NULL, I3D_USAGE);
    assert_not_written(model, at("no/such/place.safetensors"), NULL, I3D_SYSTEM);
    model->tensors[0].dims[0] = 7;
    assert_not_written(model, at("weights.safetensors"), NULL, I3D_MALFORMED);
    i3d_model_free(model);
}

/* A model whose only tensor is a transposed view of the other model's. */
static struct i3d_model *derived_model(const struct i3d_model *model)
{
    struct i3d_model *derived = i3d_model_new();
    assert_non_null(derived);
    struct i3d_view view;
    i3d_view_of(&model->tensors[0], &view);
    view.dims[0] = 3, view.dims[1] = 2;
    view.strides[0] = 1, view.strides[1] = 3;
    assert_int_equal(i3d_model_put_tensor(derived, "w", I3D_FLOAT32, 2, view.dims,
                                          i3d_source_view(model->tensors[0].source, &view), NULL),
                     I3D_OK);
    return derived;
}

static void the_input_is_not_overwritten(void **unused)
{
    (void)unused;
    struct i3d_model *model;
    write_small(at("in.safetensors"));
    assert_int_equal(symlink("in.safetensors", at("link.safetensors")), 0);
    assert_int_equal(link(at("in.safetensors"), at("hard.safetensors")), 0);
    assert_int_equal(i3d_read_model(at("in.safetensors"), &model, NULL), I3D_OK);
    assert_not_written(model, at("in.safetensors"), NULL, I3D_USAGE);
    assert_not_written(model, at("link.safetensors"), NULL, I3D_USAGE);
    assert_not_written(model, at("hard.safetensors"), NULL, I3D_USAGE);

    struct i3d_model *derived = derived_model(model);
    i3d_model_free(model);
    assert_null(derived->path);
    assert_not_written(derived, at("link.safetensors"), NULL, I3D_USAGE);
    assert_int_equal(i3d_write_model(derived, at("out.safetensors"), NULL, NULL), I3D_OK);
    i3d_model_free(derived);
    assert_reads_small(at("in.safetensors"));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, empty_scratch)
    const struct CMUnitTest tests[] = {
        TEST(formats_are_found_by_name_and_suffix),
        TEST(content_tells_the_format),
        TEST(what_is_no_model_is_refused),
        TEST(a_fifo_is_read),
        TEST(standard_input_is_read_from_where_it_stands),
        TEST(no_room_to_spool_is_the_systems_fault),
        TEST(what_cannot_be_written_is_refused),
        TEST(the_input_is_not_overwritten),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
