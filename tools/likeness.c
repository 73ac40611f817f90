#include "tools/tool.h"

#include "tools/likeness.h"

#include <stdlib.h>
#include <string.h>

bool tool_add(struct tool_repeated *repeated, char *value)
{
    if (repeated->count == TOOL_MOST_REPEATED)
        return false;
    repeated->values[repeated->count++] = value;
    return true;
}

/* A tensor's shape, as inspect writes it. */
static const char *shape_text(const struct i3d_tensor *tensor, char text[160])
{
    size_t used = (size_t)snprintf(text, 160, "%s", tensor->rank ? "" : "scalar");
    for (int k = 0; k < tensor->rank && used < 160; k++)
        used += (size_t)snprintf(text + used, 160 - used, "%s%lld", k ? "x" : "",
                                 (long long)tensor->dims[k]);
    return text;
}

static bool is_allowed(const struct tool_like *like, const char *name)
{
    for (size_t i = 0; i < like->allowed.count; i++)
        if (i3d_pattern_matches(like->allowed.values[i], name))
            return true;
    return false;
}

/* The 2D tensor that a name of the 3D file stands for after renaming. */
static const struct i3d_tensor *namesake(const struct i3d_model *weights,
                                         const struct i3d_likeness *likeness, const char *name)
{
    for (size_t i = 0; i < likeness->flat_count; i++)
        if (!strcmp(likeness->renamed[i], name))
            return &weights->tensors[i];
    return NULL;
}

static void list_misfits(const struct i3d_model *from, const struct i3d_model *model,
                         const struct i3d_likeness *likeness, FILE *out)
{
    char name[256], theirs[160], own[160];
    for (size_t i = 0; i < likeness->like_count; i++) {
        const struct i3d_tensor *tensor = likeness->fates[i] == I3D_MISFIT
            ? namesake(from, likeness, model->tensors[i].name) : NULL;
        if (tensor)
            fprintf(out, "does not fit: %s, %s there, %s here\n",
                    i3d_printable(model->tensors[i].name, name, sizeof name),
                    shape_text(&model->tensors[i], own), shape_text(tensor, theirs));
    }
    for (size_t i = 0; i < likeness->flat_count; i++)
        if (!likeness->used[i])
            fprintf(out, "not used: %s, %s\n",
                    i3d_printable(likeness->renamed[i], name, sizeof name),
                    shape_text(&from->tensors[i], theirs));
}

enum i3d_status tool_report_likeness(const struct tool_like *like, const struct i3d_model *from,
                                     const struct i3d_model *model,
                                     const struct i3d_likeness *likeness, FILE *out,
                                     struct i3d_error *error)
{
    char name[256];
    bool good = true;
    const char *separator = "; left as they were: ";
    fprintf(out, "%zu of %zu filled", likeness->filled, likeness->like_count);
    for (size_t i = 0; i < likeness->like_count; i++) {
        if (likeness->fates[i] == I3D_FILLED)
            continue;
        fprintf(out, "%s%s", separator,
                i3d_printable(model->tensors[i].name, name, sizeof name));
        separator = ", ";
        good &= is_allowed(like, model->tensors[i].name);
    }
    fputc('\n', out);
    list_misfits(from, model, likeness, out);
    if (good)
        return I3D_OK;
    i3d_fail(error, I3D_DIFFERS, "nothing is written: tensors would stay as they were");
    i3d_error_hint(error, "--allow-missing PATTERN names those that may");
    return i3d_error_file(error, like->path);
}
