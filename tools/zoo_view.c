#include "tools/zoo_view.h"

#include "tools/tool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30 };

static const double SHORTEST = 0.05; /* seconds between two drawings */

const char *zoo_job_word(const struct i3d_job *job)
{
    switch (job->state) {
    case I3D_JOB_WAITING: return "to make";
    case I3D_JOB_RUNNING: return "running";
    case I3D_JOB_MADE: return "made";
    case I3D_JOB_KEPT: return "kept";
    case I3D_JOB_FAILED: return "FAILED";
    case I3D_JOB_LEFT: return "left";
    case I3D_JOB_STATES: break;
    }
    return "";
}

struct zoo_view zoo_view_start(void)
{
    const char *terminal = getenv("TERM");
    return (struct zoo_view){ .live = isatty(STDERR_FILENO) && terminal
                                  && strcmp(terminal, "dumb") };
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void print_ended(const struct i3d_job *job)
{
    char reason[4 * sizeof job->reason];
    fprintf(stderr, "%-7s %s", zoo_job_word(job), job->product->name);
    if (job->state == I3D_JOB_MADE)
        fprintf(stderr, " (worst error %.1e, %.1f s)", job->result.worst, job->result.seconds);
    else if (job->state == I3D_JOB_FAILED)
        fprintf(stderr, ": %s", i3d_printable(job->reason, reason, sizeof reason));
    putc('\n', stderr);
}

static int columns(void)
{
    struct winsize size;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 20 ? size.ws_col : 80;
}

/* Goes back to the first line of the view and clears from there. */
static void clear_view(struct zoo_view *view)
{
    if (view->drawn)
        fprintf(stderr, "\033[%dA\r\033[J", view->drawn);
    view->drawn = 0;
}

static void print_duration(char *text, size_t size, double seconds)
{
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%ld:%02ld", whole / 60, whole % 60);
}

static void draw_bar(struct zoo_view *view, const struct i3d_build *build)
{
    size_t made = build->counts[I3D_JOB_MADE], kept = build->counts[I3D_JOB_KEPT];
    size_t failed = build->counts[I3D_JOB_FAILED], total = build->job_count;
    size_t ended = made + kept + failed, full = total ? ended * BAR / total : BAR;
    double passed = now() - build->started;
    char bar[BAR + 1], left[32] = "?";
    memset(bar, '-', BAR);
    memset(bar, '#', full);
    bar[BAR] = 0;
    if (made + failed)
        print_duration(left, sizeof left,
                       passed / (double)(made + failed) * (double)(total - ended));
    fprintf(stderr, "[%s] %zu of %zu, %zu failed, %.1f a minute, %s left\n", bar, ended, total,
            failed, passed > 0 ? 60 * (double)(made + failed) / passed : 0.0, left);
    view->drawn = 1;
}

static void draw(struct zoo_view *view, const struct i3d_build *build)
{
    int width = columns();
    draw_bar(view, build);
    for (int i = 0; i < build->options.workers; i++) {
        const struct i3d_job *job = build->running[i];
        char passed[32];
        if (!job)
            continue;
        print_duration(passed, sizeof passed, now() - job->started);
        fprintf(stderr, "  %7s %.*s\n", passed, width - 11, job->product->name);
        view->drawn++;
    }
    fflush(stderr);
}

void zoo_view_update(void *context, const struct i3d_build *build, const struct i3d_job *job)
{
    struct zoo_view *view = context;
    bool ended = job && job->state != I3D_JOB_RUNNING;
    if (!view->live) {
        if (ended)
            print_ended(job);
        return;
    }
    bool prints = ended && job->state != I3D_JOB_KEPT;
    double time = now();
    if (!prints && time - view->drawn_at < SHORTEST)
        return; /* what is kept goes by faster than a terminal draws */
    clear_view(view);
    if (prints)
        print_ended(job);
    draw(view, build);
    view->drawn_at = time;
}

void zoo_view_end(struct zoo_view *view)
{
    clear_view(view);
    fflush(stderr);
}
