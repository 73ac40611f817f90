#include "formats/hdf5_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hdf5.h>

#if defined __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif

/* Seconds without an answer. A child at work is stopped by its own limit long
 * before; this is for one that sleeps, as on a network that is gone. */
enum { PATIENCE = 600 };

static void limit(int resource, rlim_t value)
{
    struct rlimit limits;
    if (getrlimit(resource, &limits))
        return;
    if (limits.rlim_cur == RLIM_INFINITY || limits.rlim_cur > value)
        limits.rlim_cur = value;
    setrlimit(resource, &limits);
}

/* What a sane file never needs, and a crafted one must not get. The address
 * sanitizer reserves terabytes of addresses, so its builds go without that one. */
static void confine(pid_t parent, uint64_t mapped)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it ended before that took hold */
        _exit(1);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_IGN
            && action.sa_handler != SIG_DFL)
            signal(number, SIG_DFL);
    }
    limit(RLIMIT_CORE, 0);
#ifndef ADDRESS_SANITIZER
    limit(RLIMIT_AS, ((rlim_t)12 << 30) + mapped);
#else
    (void)mapped;
#endif
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void i3d_hdf5_allow_seconds(unsigned seconds)
{
    struct rusage used;
    struct rlimit limits;
    if (getrusage(RUSAGE_SELF, &used) || getrlimit(RLIMIT_CPU, &limits))
        return;
    limits.rlim_cur = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1 + seconds;
    if (limits.rlim_cur > limits.rlim_max)
        limits.rlim_cur = limits.rlim_max;
    setrlimit(RLIMIT_CPU, &limits);
}

void i3d_hdf5_open_no_more(void)
{
    /* Only number 0 stays possible, since poll takes no more descriptors than the
     * limit says; so 0 must not be free. */
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0)
        _exit(1);
    limit(RLIMIT_NOFILE, 1);
}

enum i3d_status i3d_hdf5_start(i3d_hdf5_task *task, const void *context, uint64_t mapped,
                               struct i3d_hdf5_child **child, struct i3d_error *error)
{
    int sockets[2];
    *child = malloc(sizeof **child);
    if (!*child)
        return i3d_fail_memory(error);
    **child = (struct i3d_hdf5_child){ .references = 1, .loaded = -1 };
    (*child)->memory = memfd_create("i3dconv-hdf5", MFD_CLOEXEC);
    if ((*child)->memory < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets)) {
        i3d_fail_errno(error, "cannot make a channel for the HDF5 process");
        if ((*child)->memory >= 0)
            close((*child)->memory);
        free(*child);
        *child = NULL;
        return I3D_SYSTEM;
    }
    pid_t parent = getpid();
    (*child)->socket = sockets[0];
    (*child)->pid = fork();
    if ((*child)->pid == 0) {
        close(sockets[0]);
        confine(parent, mapped);
        task(sockets[1], (*child)->memory, context);
        _exit(0);
    }
    close(sockets[1]);
    if ((*child)->pid > 0)
        return I3D_OK;
    i3d_fail_errno(error, "cannot start the HDF5 process");
    close(sockets[0]);
    close((*child)->memory);
    free(*child);
    *child = NULL;
    return I3D_SYSTEM;
}

void i3d_hdf5_release(struct i3d_hdf5_child *child)
{
    if (!child || --child->references)
        return;
    close(child->socket);
    close(child->memory);
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    free(child);
}

/* Reads exactly size bytes before the time is up: 1; 0 at the end of the
 * stream, -1 when time is up or the system fails. */
static int receive(int socket, void *bytes, size_t size, int milliseconds)
{
    char *to = bytes;
    while (size) {
        struct pollfd wait = { .fd = socket, .events = POLLIN };
        int ready = poll(&wait, 1, milliseconds);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return -1;
        ssize_t got = read(socket, to, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 && errno != ECONNRESET ? -1 : 0;
        to += got;
        size -= (size_t)got;
    }
    return 1;
}

/* What became of a child that answers no more. */
static enum i3d_status explain_death(struct i3d_hdf5_child *child, enum i3d_status on_death,
                                     struct i3d_error *error)
{
    int how = 0;
    while (waitpid(child->pid, &how, 0) < 0 && errno == EINTR)
        continue;
    child->pid = -1;
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        return i3d_fail(error, on_death, "the HDF5 library comes to no end with it");
    if (WIFSIGNALED(how))
        return i3d_fail(error, on_death, "the HDF5 library crashed on it (signal %d, %s)",
                        WTERMSIG(how), strsignal(WTERMSIG(how)));
    return i3d_fail(error, on_death, "the HDF5 library gave up on it");
}

enum i3d_status i3d_hdf5_await(struct i3d_hdf5_child *child, enum i3d_status on_death,
                               struct i3d_hdf5_answer *answer, struct i3d_error *error)
{
    if (child->pid < 0)
        return i3d_fail(error, on_death, "the HDF5 library crashed on it before");
    int got = receive(child->socket, answer, sizeof *answer, PATIENCE * 1000);
    if (got < 0) {
        kill(child->pid, SIGKILL);
        explain_death(child, on_death, NULL);
        return i3d_fail(error, on_death, "the HDF5 library is silent since %d s", PATIENCE);
    }
    if (got == 0)
        return explain_death(child, on_death, error);
    if (answer->status == I3D_OK)
        return I3D_OK;
    answer->message[sizeof answer->message - 1] = 0;
    enum i3d_status status = answer->status >= I3D_DIFFERS && answer->status <= I3D_SYSTEM
        ? (enum i3d_status)answer->status
        : on_death;
    if (status != I3D_SYSTEM || !answer->reason)
        return i3d_fail(error, status, "%s", answer->message);
    errno = answer->reason;
    return i3d_fail_errno(error, "%s", answer->message);
}

enum i3d_status i3d_hdf5_ask(struct i3d_hdf5_child *child, uint64_t dataset,
                             struct i3d_error *error)
{
    if (child->pid < 0)
        return i3d_fail(error, I3D_MALFORMED, "the HDF5 library crashed on it before");
    /* The answer tells what went wrong, if the child is gone. */
    ssize_t sent = send(child->socket, &dataset, sizeof dataset, MSG_NOSIGNAL);
    (void)sent;
    return I3D_OK;
}

void i3d_hdf5_answer(int socket, const struct i3d_hdf5_answer *answer)
{
    const char *from = (const char *)answer;
    size_t left = sizeof *answer;
    while (left) {
        ssize_t sent = send(socket, from, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            _exit(1);
        from += sent;
        left -= (size_t)sent;
    }
}

int i3d_hdf5_next_question(int socket, uint64_t *dataset)
{
    return receive(socket, dataset, sizeof *dataset, -1) == 1;
}
