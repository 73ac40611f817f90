#include "formats/output.h"
#include "zoo/catalogue_parts.h"

#include <stdlib.h>
#include <string.h>

struct i3d_exhibit *i3d_exhibits(const struct i3d_build *build)
{
    struct i3d_exhibit *exhibits = calloc(build->product_count + 1, sizeof *exhibits);
    size_t next = 0; /* jobs are in the products' order */
    for (size_t i = 0; exhibits && i < build->product_count; i++) {
        struct i3d_exhibit *exhibit = &exhibits[i];
        exhibit->product = &build->products[i];
        const struct i3d_job *job = next < build->job_count ? &build->jobs[next] : NULL;
        if (!job || job->product != exhibit->product) {
            exhibit->done = i3d_product_is_done(build->manifest, exhibit->product,
                                                &build->options.product, &exhibit->result);
            continue;
        }
        next++;
        exhibit->done = job->state == I3D_JOB_MADE || job->state == I3D_JOB_KEPT;
        exhibit->result = job->result;
        exhibit->reason = job->state == I3D_JOB_FAILED ? job->reason : NULL;
    }
    return exhibits;
}

void i3d_page_open(struct i3d_page *page)
{
    *page = (struct i3d_page){ 0 };
    page->stream = open_memstream(&page->text, &page->length);
}

enum i3d_status i3d_page_write(struct i3d_page *page, const char *folder, const char *name,
                               struct i3d_error *error)
{
    char *path = NULL;
    bool good = page->stream && !ferror(page->stream);
    if (page->stream && fclose(page->stream))
        good = false;
    if (!good || asprintf(&path, "%s/%s", folder, name) < 0) {
        free(page->text);
        return i3d_fail_memory(error);
    }
    enum i3d_status status = i3d_output_put(path, page->text, page->length, error);
    free(path);
    free(page->text);
    return status;
}

const char *i3d_size_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double number = (double)bytes;
    size_t unit = 0;
    while (number >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        number /= 1000;
        unit++;
    }
    snprintf(text, size, unit ? "%.3g %s" : "%.0f %s", number, units[unit]);
    return text;
}
