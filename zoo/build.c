#include "zoo/build.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

enum { TICK = 200 /* milliseconds */ };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool is_wanted(const struct i3d_product *product, const char *only)
{
    return !only || !fnmatch(only, product->name, 0) || !fnmatch(only, product->entry->name, 0);
}

enum i3d_status i3d_build_plan(const struct i3d_manifest *manifest,
                               const struct i3d_build_options *options, struct i3d_build **planned,
                               struct i3d_error *error)
{
    struct i3d_build *build = calloc(1, sizeof *build);
    *planned = NULL;
    if (!build)
        return i3d_fail_memory(error);
    build->manifest = manifest;
    build->options = *options;
    enum i3d_status status =
        i3d_products_list(manifest, &build->products, &build->product_count, error);
    if (!status && !(build->jobs = calloc(build->product_count + 1, sizeof *build->jobs)))
        status = i3d_fail_memory(error);
    for (size_t i = 0; i < build->product_count && !status; i++)
        if (is_wanted(&build->products[i], options->only))
            build->jobs[build->job_count++].product = &build->products[i];
    build->counts[I3D_JOB_WAITING] = build->job_count;
    if (!status && options->only && !build->job_count)
        status = i3d_fail(error, I3D_USAGE, "no product matches %s", options->only);
    if (!status && !(build->running = calloc((size_t)options->workers + 1, sizeof *build->running)))
        status = i3d_fail_memory(error);
    if (status)
        i3d_build_free(build);
    else
        *planned = build;
    return status;
}

void i3d_build_free(struct i3d_build *build)
{
    if (!build)
        return;
    i3d_products_free(build->products, build->product_count);
    free(build->jobs);
    free(build->running);
    free(build);
}

enum i3d_status i3d_build_arguments(const struct i3d_build *build, const struct i3d_job *job,
                                    bool with_entry, char ***arguments, char **text,
                                    struct i3d_error *error)
{
    const struct i3d_product_options *options = &build->options.product;
    enum { MOST = 18, NUMBER = 24, LONGEST = 100000 /* Linux takes 131,071 */ };
    char *entry = with_entry ? json_dumps(job->product->entry->json, JSON_COMPACT) : NULL;
    size_t length = entry ? strlen(entry) : 0;
    char **list = *arguments = calloc(MOST, sizeof *list);
    char *numbers = *text = calloc(1, 4 * NUMBER + length + 1);
    if (!list || !numbers || (with_entry && !entry)) {
        free(list);
        free(numbers);
        free(entry);
        return i3d_fail_memory(error);
    }
    size_t count = 0;
    list[count++] = "zoo";
    list[count++] = "make";
    list[count++] = build->manifest->path;
    list[count++] = job->product->name;
    list[count++] = "--out";
    list[count++] = (char *)options->folder;
    if (options->threads) {
        list[count++] = "--threads";
        list[count++] = numbers;
        snprintf(numbers, NUMBER, "%d", options->threads);
    }
    if (options->frames) {
        list[count++] = "--frames";
        list[count++] = numbers + NUMBER;
        snprintf(numbers + NUMBER, NUMBER, "%lld", (long long)options->frames);
    }
    if (options->height) {
        list[count++] = "--input-shape";
        list[count++] = numbers + 2 * NUMBER;
        snprintf(numbers + 2 * NUMBER, 2 * NUMBER, "%lld,%lld", (long long)options->height,
                 (long long)options->width);
    }
    if (entry && length <= LONGEST) {
        list[count++] = "--entry";
        list[count++] = strcpy(numbers + 4 * NUMBER, entry);
    }
    free(entry);
    return I3D_OK;
}

/* A worker and what it has said on standard error. */
struct worker {
    pid_t pid; /* 0: none */
    int pipe;
    struct i3d_job *job;
    char said[1024]; /* the end of it */
    size_t length;
};

struct run {
    struct i3d_build *build;
    struct worker *workers;
    i3d_build_observer *observer;
    void *context;
    bool stopping; /* a job failed: no more are started */
};

static void tell(struct run *run, const struct i3d_job *job)
{
    if (run->observer)
        run->observer(run->context, run->build, job);
}

static void set_state(struct run *run, struct i3d_job *job, enum i3d_job_state state)
{
    run->build->counts[job->state]--;
    run->build->counts[state]++;
    job->state = state;
    tell(run, job);
}

/* In the new process. It ends with the builder: a worker without one would go on
 * writing beside the next build's. */
static void become_worker(const char *program, char **arguments, int error_pipe, pid_t builder)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nothing = open("/dev/null", O_RDWR);
    if (getppid() != builder || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0
        || dup2(nothing, STDOUT_FILENO) < 0 || dup2(error_pipe, STDERR_FILENO) < 0)
        _exit(I3D_SYSTEM);
    signal(SIGPIPE, SIG_DFL);
    execv(program, arguments);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", program, strerror(errno));
    _exit(I3D_SYSTEM);
}

static enum i3d_status start(struct run *run, struct worker *worker, struct i3d_job *job,
                             struct i3d_error *error)
{
    char **arguments, **with_program, *text;
    int ends[2];
    enum i3d_status status = i3d_build_arguments(run->build, job, true, &arguments, &text, error);
    if (status)
        return status;
    size_t count = 0;
    while (arguments[count])
        count++;
    const char *program = run->build->options.program;
    with_program = calloc(count + 2, sizeof *with_program);
    if (!with_program) {
        status = i3d_fail_memory(error);
    } else if (pipe2(ends, O_CLOEXEC)) {
        status = i3d_fail_errno(error, "cannot make a pipe for a worker");
    } else {
        with_program[0] = (char *)program;
        memcpy(with_program + 1, arguments, count * sizeof *arguments);
        pid_t builder = getpid();
        *worker = (struct worker){ .pid = fork(), .pipe = ends[0], .job = job };
        if (worker->pid == 0)
            become_worker(program, with_program, ends[1], builder);
        close(ends[1]);
        if (worker->pid < 0) {
            status = i3d_fail_errno(error, "cannot start a worker");
            close(ends[0]);
            worker->pid = 0;
        }
    }
    free(with_program);
    free(arguments);
    free(text);
    return status;
}

/* Keeps the end of what a worker says. False at the end. */
static bool listen_to(struct worker *worker)
{
    char bytes[512];
    ssize_t got = read(worker->pipe, bytes, sizeof bytes);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    for (ssize_t i = 0; i < got; i++) {
        if (worker->length == sizeof worker->said - 1) {
            memmove(worker->said, worker->said + 1, --worker->length);
        }
        worker->said[worker->length++] = bytes[i];
    }
    return got > 0;
}

/* The last line that a worker said, without the program's name. */
static const char *last_line(struct worker *worker)
{
    static const char name[] = "i3dconv: ";
    worker->said[worker->length] = 0;
    while (worker->length && worker->said[worker->length - 1] == '\n')
        worker->said[--worker->length] = 0;
    char *line = strrchr(worker->said, '\n');
    line = line ? line + 1 : worker->said;
    return strncmp(line, name, sizeof name - 1) ? line : line + sizeof name - 1;
}

static void finish(struct run *run, struct worker *worker)
{
    struct i3d_job *job = worker->job;
    const struct i3d_build *build = run->build;
    int how = 0;
    while (waitpid(worker->pid, &how, 0) < 0 && errno == EINTR)
        continue;
    close(worker->pipe);
    const char *line = last_line(worker);
    enum i3d_job_state state = I3D_JOB_FAILED;
    if (WIFSIGNALED(how))
        snprintf(job->reason, sizeof job->reason, "the worker was ended by signal %d (%s)",
                 WTERMSIG(how), strsignal(WTERMSIG(how)));
    else if (WEXITSTATUS(how))
        snprintf(job->reason, sizeof job->reason, "%s", *line ? line : "the worker failed");
    else if (!i3d_product_read(build->manifest, job->product, &build->options.product,
                               &job->result))
        snprintf(job->reason, sizeof job->reason, "the worker made no sound product");
    else
        state = I3D_JOB_MADE;
    if (state == I3D_JOB_FAILED && !build->options.keep_going)
        run->stopping = true;
    worker->pid = 0;
    build->running[worker - run->workers] = NULL;
    set_state(run, job, state);
}

/* Takes the next job that has to be made; jobs that are done are told and passed. */
static struct i3d_job *next_job(struct run *run, size_t *next)
{
    struct i3d_build *build = run->build;
    while (*next < build->job_count) {
        struct i3d_job *job = &build->jobs[(*next)++];
        if (run->stopping) {
            set_state(run, job, I3D_JOB_LEFT);
        } else if (!build->options.force
                   && i3d_product_is_done(build->manifest, job->product,
                                          &build->options.product, &job->result)) {
            set_state(run, job, I3D_JOB_KEPT);
        } else if (!build->options.dry_run) {
            return job;
        }
    }
    return NULL;
}

/* Gives idle workers their next jobs. *running: how many are at work. */
static enum i3d_status employ(struct run *run, size_t *next, int *running,
                              struct i3d_error *error)
{
    *running = 0;
    for (int i = 0; i < run->build->options.workers; i++) {
        struct worker *worker = &run->workers[i];
        struct i3d_job *job = worker->pid ? NULL : next_job(run, next);
        if (job) {
            enum i3d_status status = start(run, worker, job, error);
            if (status)
                return status;
            job->started = now();
            run->build->running[i] = job;
            set_state(run, job, I3D_JOB_RUNNING);
        }
        *running += worker->pid != 0;
    }
    return I3D_OK;
}

static enum i3d_status wait_for_workers(struct run *run, struct pollfd *polls,
                                        struct i3d_error *error)
{
    int count = run->build->options.workers;
    for (int i = 0; i < count; i++)
        polls[i] = (struct pollfd){ .fd = run->workers[i].pid ? run->workers[i].pipe : -1,
                                    .events = POLLIN };
    int ready = poll(polls, (nfds_t)count, TICK);
    if (ready < 0 && errno != EINTR)
        return i3d_fail_errno(error, "cannot wait for the workers");
    for (int i = 0; i < count && ready > 0; i++)
        if (polls[i].fd >= 0 && polls[i].revents && !listen_to(&run->workers[i]))
            finish(run, &run->workers[i]);
    tell(run, NULL);
    return I3D_OK;
}

/* One build works in a folder at a time; the lock goes with the process. */
static enum i3d_status lock(const char *folder, int *lock, struct i3d_error *error)
{
    char *path;
    if (mkdir(folder, 0777) && errno != EEXIST) {
        i3d_fail_errno(error, "cannot make the folder");
        return i3d_error_file(error, folder);
    }
    if (asprintf(&path, "%s/.lock", folder) < 0)
        return i3d_fail_memory(error);
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    enum i3d_status status = I3D_OK;
    if (*lock < 0)
        status = i3d_fail_errno(error, "cannot lock the folder");
    else if (flock(*lock, LOCK_EX | LOCK_NB))
        status = i3d_fail(error, I3D_SYSTEM, "another build works in this folder");
    free(path);
    return status ? i3d_error_file(error, folder) : I3D_OK;
}

/* Removes what builds that were killed left half done. */
static void sweep(const char *folder, const struct i3d_manifest *manifest)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        char *path;
        if (asprintf(&path, "%s/%s", folder, manifest->entries[i].name) < 0)
            return;
        DIR *directory = opendir(path);
        for (struct dirent *file; directory && (file = readdir(directory));)
            if (!strncmp(file->d_name, ".unverified-", 12)
                || !strncmp(file->d_name, ".i3dconv-", 9))
                unlinkat(dirfd(directory), file->d_name, 0);
        if (directory)
            closedir(directory);
        free(path);
    }
}

static enum i3d_status run_jobs(struct run *run, struct i3d_error *error)
{
    int workers = run->build->options.workers, running = 0;
    size_t next = 0;
    struct pollfd *polls = calloc((size_t)workers, sizeof *polls);
    run->workers = calloc((size_t)workers, sizeof *run->workers);
    enum i3d_status status = polls && run->workers ? I3D_OK : i3d_fail_memory(error);
    while (!status) {
        status = employ(run, &next, &running, error);
        if (status || !running)
            break;
        status = wait_for_workers(run, polls, error);
    }
    for (int i = 0; run->workers && i < workers; i++)
        if (run->workers[i].pid) {
            kill(run->workers[i].pid, SIGKILL);
            finish(run, &run->workers[i]);
        }
    free(run->workers);
    free(polls);
    return status;
}

enum i3d_status i3d_build_run(struct i3d_build *build, i3d_build_observer *observer,
                              void *context, struct i3d_error *error)
{
    struct run run = { .build = build, .observer = observer, .context = context };
    const char *folder = build->options.product.folder;
    int lock_file = -1;
    build->started = now();
    enum i3d_status status = build->options.dry_run ? I3D_OK : lock(folder, &lock_file, error);
    if (!status && !build->options.dry_run)
        sweep(folder, build->manifest);
    if (!status)
        status = run_jobs(&run, error);
    if (lock_file >= 0)
        close(lock_file);
    for (size_t i = 0; i < build->job_count && !status; i++)
        if (build->jobs[i].state == I3D_JOB_FAILED)
            status = i3d_fail(error, I3D_DIFFERS, "%s: %s", build->jobs[i].product->name,
                              build->jobs[i].reason);
    return status;
}
