#include "verify/profile.h"

#include <stdlib.h>

enum i3d_status i3d_profile_add(struct i3d_profile *profile, const struct i3d_session *session,
                                struct i3d_error *error)
{
    size_t count;
    const struct i3d_step_time *times = i3d_session_times(session, &count);
    if (!profile->rows) {
        profile->rows = calloc(count + 1, sizeof *profile->rows);
        profile->row_count = count;
        profile->threads = i3d_session_threads(session);
        profile->kernels = i3d_kernel_set();
    }
    double *samples = realloc(profile->samples,
                              (profile->runs + 1) * (count + 1) * sizeof *samples);
    if (samples)
        profile->samples = samples;
    if (!profile->rows || !samples)
        return i3d_fail_memory(error);
    double *here = samples + profile->runs++ * (count + 1);
    for (size_t i = 0; i < count; i++) {
        profile->rows[i].step = times[i];
        here[i] = times[i].seconds;
    }
    here[count] = i3d_session_seconds(session);
    profile->memory = i3d_session_memory(session);
    return I3D_OK;
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(const struct i3d_profile *profile, size_t column, double *sorted)
{
    size_t runs = profile->runs;
    for (size_t i = 0; i < runs; i++)
        sorted[i] = profile->samples[i * (profile->row_count + 1) + column];
    qsort(sorted, runs, sizeof *sorted, ascending);
    return (sorted[(runs - 1) / 2] + sorted[runs / 2]) / 2;
}

enum i3d_status i3d_profile_settle(struct i3d_profile *profile, struct i3d_error *error)
{
    double *sorted = malloc((profile->runs + 1) * sizeof *sorted);
    if (!sorted)
        return i3d_fail_memory(error);
    profile->multiply_adds = 0;
    if (profile->runs)
        profile->seconds = median(profile, profile->row_count, sorted);
    for (size_t i = 0; profile->runs && i < profile->row_count; i++) {
        struct i3d_profile_row *row = &profile->rows[i];
        double seconds = median(profile, i, sorted);
        row->step.seconds = seconds;
        row->gflops = seconds > 0 ? 2e-9 * row->step.multiply_adds / seconds : 0;
        row->share = profile->seconds > 0 ? seconds / profile->seconds : 0;
        profile->multiply_adds += row->step.multiply_adds;
    }
    free(sorted);
    return I3D_OK;
}

void i3d_profile_free(struct i3d_profile *profile)
{
    free(profile->rows);
    free(profile->samples);
    *profile = (struct i3d_profile){ 0 };
}
