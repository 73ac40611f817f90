/* Reads damaged files of every format: models with every tensor in them, and photographs.
 *
 *   fuzz_read FILE... [-n COUNT] [-s SEED] [-c FOLDER]
 *   fuzz_read FILE... -t STEP [-c FOLDER]
 *
 * reads the files, which have to be whole, then makes COUNT damaged copies of
 * them and reads each. It fails when a status other than success, malformed,
 * unsupported (or, of a file that names others, system) comes back, when an error has no
 * message, or when a copy takes longer than 20 seconds. Copy k is made from SEED + k alone: what failed is
 * found again with -n 1 and the seed printed.
 *
 * With -t the copies are the files cut short: after every byte of the first
 * and last 512, and after every STEP bytes between.
 *
 * A file that names others is read from FOLDER, where those have to lie; its
 * copies take its name there.
 *
 * Compiled with -DLIBFUZZER it is an entry for libFuzzer instead. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "formats/formats.h"
#include "formats/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { LOAD_LIMIT = 64 << 20, SECONDS = 20, STATUS_COUNT = I3D_SYSTEM + 1, EVERY_BYTE = 512 };

/* Where copies are written under their file's name; null: nowhere in the file system. */
static const char *copies_folder;

/* Loads what the model's tensors hold, except what would need more memory than
 * a test may take. */
static enum i3d_status load_tensors(const struct i3d_model *model, struct i3d_error *error)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        void *bytes;
        if (i3d_tensor_bytes(&model->tensors[i]) > LOAD_LIMIT)
            continue;
        enum i3d_status status = i3d_tensor_load(&model->tensors[i], &bytes, error);
        if (status)
            return status;
        free(bytes);
    }
    return I3D_OK;
}

static enum i3d_status read_file(const char *path, struct i3d_error *error)
{
    struct i3d_model *model;
    if (i3d_is_picture(path)) {
        struct i3d_picture picture = { 0 };
        enum i3d_status refused = i3d_read_picture(path, &picture, error);
        free(picture.pixels);
        return refused;
    }
    enum i3d_status status = i3d_read_model(path, &model, error);
    if (!status)
        status = load_tensors(model, error);
    i3d_model_free(model);
    return status;
}

/* name: of the file, without folders. */
static enum i3d_status read_bytes(const char *name, const uint8_t *bytes, size_t length,
                                  struct i3d_error *error)
{
    char path[4096];
    if (copies_folder)
        snprintf(path, sizeof path, "%s/%s", copies_folder, name);
    int fd = copies_folder ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                           : memfd_create("fuzz_read", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length) {
        perror("fuzz_read: cannot store a copy");
        exit(2);
    }
    if (!copies_folder)
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum i3d_status status = read_file(path, error);
    close(fd);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct i3d_error error = { 0 };
    enum i3d_status status = read_bytes("", bytes, length, &error);
    if (status && (!error.message[0] || (status != I3D_MALFORMED && status != I3D_UNSUPPORTED)))
        abort();
    return 0;
}

#ifndef LIBFUZZER

struct seed_file {
    const char *path, *name;
    uint8_t *bytes;
    size_t length;
};

struct copy {
    const struct seed_file *file;
    uint8_t *bytes;
    size_t length;
    uint64_t random;
};

/* splitmix64: any seed, however small, starts a good sequence. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Below limit, which is not 0. Half of the time near the start: there, or
 * near the end, stands what describes the rest. */
static size_t place(struct copy *copy, size_t limit)
{
    size_t anywhere = next_random(&copy->random) % limit;
    if (next_random(&copy->random) % 2)
        return anywhere;
    size_t near = anywhere % 1024 % limit;
    return next_random(&copy->random) % 4 ? near : limit - 1 - near;
}

/* Mostly 1, at most limit: light damage gets deepest into a reader. */
static uint64_t dose(struct copy *copy, uint64_t limit)
{
    return next_random(&copy->random) % 4 ? 1 : 1 + next_random(&copy->random) % limit;
}

static void flip_bits(struct copy *copy)
{
    for (uint64_t k = dose(copy, 8); k; k--)
        copy->bytes[place(copy, copy->length)] ^= (uint8_t)(1 << next_random(&copy->random) % 8);
}

static void replace_bytes(struct copy *copy)
{
    for (uint64_t k = dose(copy, 8); k; k--)
        copy->bytes[place(copy, copy->length)] = (uint8_t)next_random(&copy->random);
}

static void truncate_copy(struct copy *copy)
{
    copy->length = place(copy, copy->length);
}

static void repeat_block(struct copy *copy)
{
    size_t from = place(copy, copy->length), to = place(copy, copy->length);
    size_t rest = copy->length - (from > to ? from : to);
    memmove(copy->bytes + to, copy->bytes + from,
            next_random(&copy->random) % (rest < 4096 ? rest + 1 : 4096));
}

/* Writes a number that no sane file has where a length or an offset may stand. */
static void put_absurd_number(struct copy *copy)
{
    static const uint64_t numbers[] = { 0,          1,          0x7f,       0xff,
                                        0xffff,     0x7fffffff, 0x80000000, 0xffffffff,
                                        INT64_MAX,  1ull << 63, UINT64_MAX, UINT64_MAX - 7,
                                        1ull << 40, 1ull << 32, 1000000000, 0x100000 };
    size_t width = next_random(&copy->random) % 2 ? 8 : 4;
    if (copy->length < width)
        return;
    uint64_t number = numbers[next_random(&copy->random) % (sizeof numbers / sizeof *numbers)];
    size_t at = place(copy, copy->length - width + 1);
    memcpy(copy->bytes + (next_random(&copy->random) % 2 ? at : at & ~(width - 1)), &number,
           width);
}

static void fill_at_random(struct copy *copy)
{
    if (copy->length > 65536)
        copy->length = place(copy, 65536) + 1;
    /* The first bytes often stay, else nothing is recognised. */
    size_t from = next_random(&copy->random) % 4 ? place(copy, copy->length) : 0;
    for (size_t i = from; i < copy->length; i++)
        copy->bytes[i] = (uint8_t)next_random(&copy->random);
}

static void damage(struct copy *copy)
{
    static void (*const kinds[])(struct copy *copy) = { flip_bits,         flip_bits,
                                                        replace_bytes,     truncate_copy,
                                                        repeat_block,      put_absurd_number,
                                                        put_absurd_number, fill_at_random };
    for (uint64_t k = dose(copy, 4); k && copy->length; k--)
        kinds[next_random(&copy->random) % (sizeof kinds / sizeof *kinds)](copy);
}

static volatile unsigned long long current_copy;

/* Says which copy it was before a crash or a hang ends the program. */
static void report_and_die(int signal_number)
{
    char line[80] = "fuzz_read: died reading the copy of seed or length ", digits[24];
    size_t length = strlen(line), count = 0;
    unsigned long long number = current_copy;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        line[length++] = digits[--count];
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        _exit(1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Where a sanitizer already waits for a signal, its report is the better one. */
static void watch_signals(void)
{
    static const int signals[] = { SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        if (!sigaction(signals[i], NULL, &action) && action.sa_handler == SIG_DFL) {
            action.sa_handler = report_and_die;
            sigaction(signals[i], &action, NULL);
        }
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool is_expected(enum i3d_status status)
{
    /* A damaged name of another file leads to none. */
    return status == I3D_OK || status == I3D_MALFORMED || status == I3D_UNSUPPORTED
        || (status == I3D_SYSTEM && copies_folder);
}

/* False if the copy was not handled as it should be. which: names it, in a number. */
static bool try_copy(const struct copy *copy, const char *kind, unsigned long long which,
                     size_t *counts)
{
    struct i3d_error error = { 0 };
    char line[2048];
    double start = now();
    /* For what never returns; what returns late is told by the clock. */
    current_copy = which;
    alarm(2 * SECONDS);
    enum i3d_status status = read_bytes(copy->file->name, copy->bytes, copy->length, &error);
    alarm(0);
    double seconds = now() - start;
    if ((size_t)status < STATUS_COUNT)
        counts[status]++;
    i3d_error_format(&error, line, sizeof line);
    if (seconds > SECONDS)
        printf("%s %s %llu: took %.1f s\n", copy->file->name, kind, which, seconds);
    else if (!is_expected(status))
        printf("%s %s %llu: status %d: %s\n", copy->file->name, kind, which, (int)status, line);
    else if (status && !error.message[0])
        printf("%s %s %llu: status %d without a message\n", copy->file->name, kind, which,
               (int)status);
    else
        return true;
    return false;
}

static void load_seed(struct seed_file *file)
{
    FILE *stream = fopen(file->path, "rb");
    long length = stream && !fseek(stream, 0, SEEK_END) ? ftell(stream) : -1;
    if (length > 0)
        file->bytes = malloc((size_t)length);
    file->length = length > 0 ? (size_t)length : 0;
    if (!file->bytes || fseek(stream, 0, SEEK_SET)
        || fread(file->bytes, 1, file->length, stream) != file->length) {
        fprintf(stderr, "fuzz_read: cannot read %s, or it is empty\n", file->path);
        exit(2);
    }
    fclose(stream);
    const char *slash = strrchr(file->path, '/');
    file->name = slash ? slash + 1 : file->path;
}

/* Damage shows something only in what is read without it. */
static void require_whole(const struct seed_file *file)
{
    struct i3d_error error = { 0 };
    char line[2048];
    if (read_bytes(file->name, file->bytes, file->length, &error)) {
        i3d_error_format(&error, line, sizeof line);
        fprintf(stderr, "fuzz_read: %s cannot be read: %s\n", file->path, line);
        exit(2);
    }
}

static void print_counts(const char *what, size_t file_count, const size_t *counts,
                         size_t failures)
{
    size_t count = 0;
    for (size_t i = 0; i < STATUS_COUNT; i++)
        count += counts[i];
    printf("%zu %s of %zu files: %zu ok, %zu malformed, %zu unsupported, %zu system, "
           "%zu failures\n",
           count, what, file_count, counts[I3D_OK], counts[I3D_MALFORMED],
           counts[I3D_UNSUPPORTED], counts[I3D_SYSTEM], failures);
}

static size_t try_copies(const struct seed_file *files, size_t file_count,
                         unsigned long long count, unsigned long long seed)
{
    size_t counts[STATUS_COUNT] = { 0 }, longest = 0, failures = 0;
    for (size_t i = 0; i < file_count; i++)
        longest = files[i].length > longest ? files[i].length : longest;
    uint8_t *bytes = malloc(longest);
    if (!bytes) {
        perror("fuzz_read");
        exit(2);
    }
    for (unsigned long long k = 0; k < count; k++) {
        struct copy copy = { .bytes = bytes, .random = seed + k };
        copy.file = &files[next_random(&copy.random) % file_count];
        copy.length = copy.file->length;
        memcpy(bytes, copy.file->bytes, copy.length);
        damage(&copy);
        failures += !try_copy(&copy, "seed", seed + k, counts);
    }
    free(bytes);
    print_counts("copies", file_count, counts, failures);
    return failures;
}

static size_t try_cuts(const struct seed_file *files, size_t file_count, size_t step)
{
    size_t counts[STATUS_COUNT] = { 0 }, failures = 0;
    for (size_t i = 0; i < file_count; i++)
        for (size_t length = 0; length < files[i].length; length++) {
            bool at_an_end = length < EVERY_BYTE || files[i].length - length <= EVERY_BYTE;
            struct copy copy = { .file = &files[i], .bytes = files[i].bytes, .length = length };
            if (at_an_end || length % step == 0)
                failures += !try_copy(&copy, "length", length, counts);
        }
    print_counts("cuts", file_count, counts, failures);
    return failures;
}

static int usage(void)
{
    fprintf(stderr, "usage: fuzz_read FILE... [-n COUNT] [-s SEED] [-t STEP] [-c FOLDER]\n");
    return 2;
}

int main(int argc, char **argv)
{
    unsigned long long count = 2000, seed = 1, step = 0;
    size_t file_count = 0;
    struct seed_file *files = calloc((size_t)argc, sizeof *files);
    if (!files)
        return 2;
    for (int option; (option = getopt(argc, argv, "n:s:t:c:")) != -1;) {
        if (option == 'n')
            count = strtoull(optarg, NULL, 10);
        else if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 't')
            step = strtoull(optarg, NULL, 10);
        else if (option == 'c')
            copies_folder = optarg;
        else
            return usage();
    }
    for (; optind < argc; file_count++) {
        files[file_count].path = argv[optind++];
        load_seed(&files[file_count]);
        require_whole(&files[file_count]);
    }
    if (!file_count || !count)
        return usage();
    watch_signals();
    size_t failures = step ? try_cuts(files, file_count, (size_t)step)
                           : try_copies(files, file_count, count, seed);
    for (size_t i = 0; i < file_count; i++)
        free(files[i].bytes);
    free(files);
    return failures ? 1 : 0;
}

#endif
