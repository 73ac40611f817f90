/* What a build shows while it runs: on a terminal a bar for the whole and a line
 * for each worker, drawn anew in place; elsewhere a line for each job that ends. */
#pragma once

#include "zoo/build.h"

struct zoo_view {
    bool live;
    int drawn; /* lines on the terminal that belong to the view */
    double drawn_at; /* seconds of the monotonic clock */
};

struct zoo_view zoo_view_start(void);
/* An i3d_build_observer whose context is the view. */
void zoo_view_update(void *view, const struct i3d_build *build, const struct i3d_job *job);
void zoo_view_end(struct zoo_view *view);

/* The word for a job's state in tables: "made", "kept", "FAILED", … */
const char *zoo_job_word(const struct i3d_job *job);
