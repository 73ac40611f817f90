/* Where the time of runs goes: medians over some runs of a session. */
#pragma once

#include "verify/engine.h"

struct i3d_profile_row {
    struct i3d_step_time step; /* seconds: the median over the runs */
    double gflops;             /* 10⁹ multiplies and adds a second, of the convolution as it is
                                  defined: Winograd's and factored ones may exceed the machine's */
    double share;              /* of the total */
};

struct i3d_profile {
    size_t runs;
    struct i3d_profile_row *rows; /* malloc'ed, by step */
    size_t row_count;
    double seconds;               /* of a whole run: the median */
    double multiply_adds;
    struct i3d_session_memory memory;
    int threads;
    const char *kernels;          /* instruction set of the innermost loops */

    double *samples;              /* by run: every step's seconds, the run's behind them */
};

/* Adds the session's last run. The session has to outlive the profile; its steps
 * must not have changed since the first run that was added. */
enum i3d_status i3d_profile_add(struct i3d_profile *profile, const struct i3d_session *session,
                                struct i3d_error *error);
/* Fills the rows from what was added. */
enum i3d_status i3d_profile_settle(struct i3d_profile *profile, struct i3d_error *error);
void i3d_profile_free(struct i3d_profile *profile);
