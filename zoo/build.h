/* The batch builder: makes every product that a manifest asks for in worker
 * processes that are started anew, so that one that crashes, runs out of memory
 * or is killed costs its own product only. What is done already is left alone
 * (zoo/product.h says how that is told), so a build that was interrupted at any
 * moment goes on where it was. */
#pragma once

#include "zoo/product.h"

enum i3d_job_state {
    I3D_JOB_WAITING,
    I3D_JOB_RUNNING,
    I3D_JOB_MADE,
    I3D_JOB_KEPT, /* was done before */
    I3D_JOB_FAILED,
    I3D_JOB_LEFT, /* another one failed before its turn came */
    I3D_JOB_STATES
};

struct i3d_job {
    const struct i3d_product *product;
    enum i3d_job_state state;
    struct i3d_product_state result; /* of MADE and KEPT */
    char reason[1024];               /* of FAILED */
    double started;                  /* seconds of the monotonic clock */
};

struct i3d_build_options {
    struct i3d_product_options product; /* its threads are those of one worker */
    const char *program;   /* what a worker runs: PROGRAM zoo make … */
    int workers;
    bool force;            /* also what is done already */
    bool keep_going;       /* after a failure */
    bool dry_run;          /* only find out what is done */
    const char *only;      /* shell pattern of ENTRY/PRODUCT or ENTRY, or null */
};

struct i3d_build {
    const struct i3d_manifest *manifest;
    struct i3d_build_options options;
    struct i3d_product *products;
    size_t product_count;
    struct i3d_job *jobs; /* those that options.only leaves */
    size_t job_count;
    size_t counts[I3D_JOB_STATES];   /* jobs in each state */
    const struct i3d_job **running;  /* of each worker; null while it has none */
    double started;
};

/* Lists the jobs; nothing runs yet. Free with i3d_build_free. I3D_USAGE where options.only
 * leaves none. */
enum i3d_status i3d_build_plan(const struct i3d_manifest *manifest,
                               const struct i3d_build_options *options, struct i3d_build **build,
                               struct i3d_error *error);
void i3d_build_free(struct i3d_build *build);

/* Called when a job changed its state, and every fifth of a second with job null. */
typedef void i3d_build_observer(void *context, const struct i3d_build *build,
                                const struct i3d_job *job);

/* Runs the jobs. I3D_DIFFERS if one failed; I3D_SYSTEM if no worker can be
 * started or another build works in the folder. */
enum i3d_status i3d_build_run(struct i3d_build *build, i3d_build_observer *observer,
                              void *context, struct i3d_error *error);

/* The arguments of a worker's command line behind the program's name, ended by a
 * null; the array is malloc'ed, the strings are the plan's or in text, which is
 * malloc'ed too. with_entry: they hold the entry, and the worker need not read the
 * manifest. */
enum i3d_status i3d_build_arguments(const struct i3d_build *build, const struct i3d_job *job,
                                    bool with_entry, char ***arguments, char **text,
                                    struct i3d_error *error);
