#include "tools/profile_view.h"

#include <jansson.h>

static double mebibytes(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

void profile_print_table(const struct i3d_profile *profile)
{
    const struct i3d_session_memory *memory = &profile->memory;
    printf("%-40s %-28s %-20s %9s %9s %7s\n", "layer", "operation", "algorithm", "ms", "GFLOP/s",
           "share");
    for (size_t i = 0; i < profile->row_count; i++) {
        const struct i3d_profile_row *row = &profile->rows[i];
        char name[160], speed[32] = "-";
        if (row->step.multiply_adds > 0)
            snprintf(speed, sizeof speed, "%.1f", row->gflops);
        printf("%-40s %-28s %-20s %9.3f %9s %6.1f%%\n",
               i3d_printable(row->step.layer, name, sizeof name), row->step.operation,
               *row->step.algorithm ? row->step.algorithm : "-", 1e3 * row->step.seconds, speed,
               100 * row->share);
    }
    printf("kernels %s, threads %d, %.2f G multiply-adds by definition\n", profile->kernels,
           profile->threads, 1e-9 * profile->multiply_adds);
    printf("memory: activations %.1f MiB, weights %.1f MiB, workspace %.1f MiB, process at most "
           "%.1f MiB\n", mebibytes(memory->activations), mebibytes(memory->weights),
           mebibytes(memory->workspace), mebibytes(memory->process));
    printf("total %.3f ms\n", 1e3 * profile->seconds);
}

enum i3d_status profile_print_json(const struct i3d_profile *profile, struct i3d_error *error)
{
    const struct i3d_session_memory *memory = &profile->memory;
    json_t *layers = json_array();
    for (size_t i = 0; i < profile->row_count; i++) {
        const struct i3d_profile_row *row = &profile->rows[i];
        char name[512];
        json_array_append_new(
            layers, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f}", "layer",
                              i3d_printable(row->step.layer, name, sizeof name), "operation",
                              row->step.operation, "algorithm", row->step.algorithm, "ms",
                              1e3 * row->step.seconds, "multiply_adds", row->step.multiply_adds,
                              "gflops", row->gflops, "share", row->share));
    }
    json_t *json = json_pack(
        "{s:o, s:s, s:i, s:I, s:f, s:{s:I, s:I, s:I, s:I}, s:f}", "layers", layers, "kernels",
        profile->kernels, "threads", profile->threads, "runs", (json_int_t)profile->runs,
        "multiply_adds", profile->multiply_adds, "memory", "activations",
        (json_int_t)memory->activations, "weights", (json_int_t)memory->weights, "workspace",
        (json_int_t)memory->workspace, "process", (json_int_t)memory->process, "total_ms",
        1e3 * profile->seconds);
    if (!json)
        return i3d_fail_memory(error);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
    return I3D_OK;
}
