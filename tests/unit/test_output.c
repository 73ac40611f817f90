/* Outputs appear whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "formats/output.h"
#include "tests/unit/scratch.h"

static struct i3d_output *opened(const char *path)
{
    struct i3d_output *output;
    assert_int_equal(i3d_output_open(path, &output, NULL), I3D_OK);
    return output;
}

static void write_text(const char *path, const char *text)
{
    struct i3d_output *output = opened(path);
    assert_int_equal(i3d_output_write(output, text, strlen(text), NULL), I3D_OK);
    assert_int_equal(i3d_output_commit(output, NULL), I3D_OK);
}

static void assert_text(const char *path, const char *text)
{
    size_t length;
    char *bytes = (char *)get_file(path, &length);
    assert_string_equal(bytes, text);
    free(bytes);
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void a_new_file_appears_on_commit(void **unused)
{
    (void)unused;
    mode_t mask = umask(027);
    struct i3d_output *output = opened(at("new"));
    assert_false(i3d_output_is_pipe(output));
    assert_int_equal(access(at("new"), F_OK), -1);
    assert_int_equal(access(i3d_output_temporary(output), F_OK), 0);
    assert_int_equal(i3d_output_write(output, "text", 4, NULL), I3D_OK);
    assert_int_equal(i3d_output_commit(output, NULL), I3D_OK);
    umask(mask);
    assert_text(at("new"), "text");
    assert_int_equal(mode_of(at("new")), 0640);
    assert_int_equal(count_files(), 1);
}

static void an_old_file_stays_until_commit(void **unused)
{
    (void)unused;
    put_file(at("old"), "before", 6);
    assert_int_equal(chmod(at("old"), 0604), 0);
    struct i3d_output *output = opened(at("old"));
    assert_int_equal(i3d_output_write(output, "after", 5, NULL), I3D_OK);
    i3d_output_abandon(output);
    assert_text(at("old"), "before");
    assert_int_equal(count_files(), 1);

    write_text(at("old"), "after");
    assert_text(at("old"), "after");
    assert_int_equal(mode_of(at("old")), 0604);
    assert_int_equal(count_files(), 1);
}

/* For the superuser no file is write-protected, so it becomes someone else. */
static void a_write_protected_file_is_not_replaced(void **unused)
{
    (void)unused;
    enum { NOBODY = 65534 };
    struct i3d_output *output;
    uid_t user = geteuid();
    put_file(at("old"), "before", 6);
    assert_int_equal(chmod(at("old"), 0444), 0);
    assert_int_equal(chmod(scratch, 0777), 0);
    assert_int_equal(user ? 0 : seteuid(NOBODY), 0);
    enum i3d_status status = i3d_output_open(at("old"), &output, NULL);
    assert_int_equal(user ? 0 : seteuid(user), 0);
    assert_int_equal(status, I3D_SYSTEM);
    assert_null(output);
    assert_text(at("old"), "before");
    assert_int_equal(count_files(), 1);
}

static void assert_is_link(const char *path)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
}

static void links_stay_links(void **unused)
{
    (void)unused;
    put_file(at("target"), "before", 6);
    assert_int_equal(symlink("target", at("second")), 0);
    assert_int_equal(symlink(at("second"), at("first")), 0);
    write_text(at("first"), "after");
    assert_text(at("target"), "after");
    assert_is_link(at("first"));
    assert_is_link(at("second"));

    assert_int_equal(symlink("absent", at("dangling")), 0);
    write_text(at("dangling"), "text");
    assert_text(at("absent"), "text");
    assert_is_link(at("dangling"));
    assert_int_equal(count_files(), 5);

    assert_int_equal(symlink("loop", at("loop")), 0);
    struct i3d_output *output;
    assert_int_equal(i3d_output_open(at("loop"), &output, NULL), I3D_SYSTEM);
}

static void places_that_cannot_be_written_are_named(void **unused)
{
    (void)unused;
    struct i3d_output *output;
    struct i3d_error error;
    assert_int_equal(i3d_output_open(scratch, &output, &error), I3D_SYSTEM);
    assert_string_equal(error.file, scratch);
    assert_int_equal(i3d_output_open(at("no/such/place"), &output, &error), I3D_SYSTEM);
    assert_string_equal(error.file, at("no/such/place"));
    assert_int_equal(i3d_output_open("", &output, &error), I3D_SYSTEM);
    assert_int_equal(i3d_output_open(at("absent/"), &output, &error), I3D_SYSTEM);
    assert_int_equal(count_files(), 0);
}

/* Pieces smaller than, as large as and larger than the buffer keep their order. */
static void pieces_of_any_size_keep_their_order(void **unused)
{
    (void)unused;
    static const size_t sizes[] = { 1, (1 << 20) - 1, 1, 1 << 20, 0, 3, (1 << 20) + 1, 700000,
                                    700000 };
    size_t total = 0, length;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        total += sizes[i];
    unsigned char *bytes = malloc(total);
    assert_non_null(bytes);
    for (size_t i = 0; i < total; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);

    struct i3d_output *output = opened(at("pieces"));
    for (size_t i = 0, done = 0; i < sizeof sizes / sizeof *sizes; done += sizes[i++])
        assert_int_equal(i3d_output_write(output, bytes + done, sizes[i], NULL), I3D_OK);
    assert_int_equal(i3d_output_commit(output, NULL), I3D_OK);

    unsigned char *written = get_file(at("pieces"), &length);
    assert_int_equal(length, total);
    assert_memory_equal(written, bytes, total);
    free(written);
    free(bytes);
}

static void positions_can_be_written(void **unused)
{
    (void)unused;
    struct i3d_output *output = opened(at("places"));
    assert_int_equal(i3d_output_write_at(output, 4, "cd", 2, NULL), I3D_OK);
    assert_int_equal(i3d_output_write_at(output, 0, "__ab", 4, NULL), I3D_OK);
    assert_int_equal(i3d_output_commit(output, NULL), I3D_OK);
    assert_text(at("places"), "__abcd");
}

static void a_full_device_is_an_error(void **unused)
{
    (void)unused;
    struct i3d_error error;
    if (access("/dev/full", W_OK))
        skip();
    struct i3d_output *output = opened("/dev/full");
    assert_true(i3d_output_is_pipe(output));
    assert_int_equal(i3d_output_write(output, "text", 4, &error), I3D_OK);
    assert_int_equal(i3d_output_commit(output, &error), I3D_SYSTEM);
    assert_string_equal(error.file, "/dev/full");
    assert_non_null(strstr(error.message, "space"));
}

static void the_file_size_limit_leaves_nothing_behind(void **unused)
{
    (void)unused;
    struct rlimit before;
    struct i3d_error error;
    put_file(at("old"), "before", 6);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = { 4, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct i3d_output *output = opened(at("old"));
    i3d_output_write(output, "too long", 8, NULL);
    enum i3d_status status = i3d_output_commit(output, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, I3D_SYSTEM);
    assert_string_equal(error.file, at("old"));
    assert_text(at("old"), "before");
    assert_int_equal(count_files(), 1);
}

static void a_closed_pipe_is_an_error(void **unused)
{
    (void)unused;
    int ends[2];
    char path[32];
    struct i3d_error error;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    assert_true(i3d_path_is_pipe(path));
    signal(SIGPIPE, SIG_IGN);
    struct i3d_output *output = opened(path);
    i3d_output_write(output, "text", 4, NULL);
    assert_int_equal(i3d_output_commit(output, &error), I3D_SYSTEM);
    signal(SIGPIPE, SIG_DFL);
    assert_string_equal(error.file, path);
    close(ends[1]);
}

static void a_fifo_is_written_directly(void **unused)
{
    (void)unused;
    char text[8] = { 0 };
    int exit_status;
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_true(i3d_path_is_pipe(at("fifo")));
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (!writer) {
        struct i3d_output *output;
        _exit(i3d_output_open(at("fifo"), &output, NULL)
              || !i3d_output_is_pipe(output) || i3d_output_write(output, "text", 4, NULL)
              || i3d_output_commit(output, NULL));
    }
    int fd = open(at("fifo"), O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_string_equal(text, "text");
    assert_int_equal(close(fd), 0);
    assert_int_equal(waitpid(writer, &exit_status, 0), writer);
    assert_int_equal(exit_status, 0);
    assert_int_equal(count_files(), 1);
}

/* "command >>log" with -o /dev/stdout adds to the log and goes on from there. */
static void an_inherited_file_is_appended_to(void **unused)
{
    (void)unused;
    char path[32];
    dev_t device;
    ino_t inode;
    struct stat status;
    put_file(at("log"), "one ", 4);
    int fd = open(at("log"), O_WRONLY | O_APPEND);
    assert_int_equal(fstat(fd, &status), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(symlink(path, at("link")), 0);

    struct i3d_output *output = opened(at("link"));
    assert_true(i3d_output_is_pipe(output));
    assert_null(i3d_output_temporary(output));
    assert_true(i3d_output_identity(output, &device, &inode));
    assert_true(device == status.st_dev && inode == status.st_ino);
    assert_int_equal(i3d_output_write(output, "two ", 4, NULL), I3D_OK);
    assert_int_equal(i3d_output_commit(output, NULL), I3D_OK);
    assert_int_equal(write(fd, "three", 5), 5);
    close(fd);
    assert_text(at("log"), "one two three");
}

static void a_signal_removes_every_temporary(void **unused)
{
    (void)unused;
    struct i3d_output *outputs[3] = { opened(at("a")), opened(at("b")), opened(at("c")) };
    i3d_output_abandon(outputs[1]);
    assert_int_equal(count_files(), 2);
    i3d_output_abandon_all_on_signal();
    assert_int_equal(count_files(), 0);
    i3d_output_abandon(outputs[0]);
    i3d_output_abandon(outputs[2]);
    i3d_output_abandon(NULL);
    put_file(at("a"), "other", 5);
    i3d_output_abandon_all_on_signal();
    assert_int_equal(count_files(), 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, empty_scratch)
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_appears_on_commit),
        TEST(an_old_file_stays_until_commit),
        TEST(a_write_protected_file_is_not_replaced),
        TEST(links_stay_links),
        TEST(places_that_cannot_be_written_are_named),
        TEST(pieces_of_any_size_keep_their_order),
        TEST(positions_can_be_written),
        TEST(a_full_device_is_an_error),
        TEST(the_file_size_limit_leaves_nothing_behind),
        TEST(a_closed_pipe_is_an_error),
        TEST(a_fifo_is_written_directly),
        TEST(an_inherited_file_is_appended_to),
        TEST(a_signal_removes_every_temporary),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
