#include "tools/tool.h"

#include "tools/inflate_weights.h"

#include <stdlib.h>
#include <string.h>

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
    for (size_t i = 0; i < like->allowed_count; i++)
        if (i3d_pattern_matches(like->allowed[i], name))
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

/* "318 of 320 filled; left as they were: fc.weight, fc.bias" and a line on each that has
 * a namesake or that is not used; whether all that stays may. */
static bool report(const struct i3d_model *weights, const struct i3d_model *model,
                   const struct tool_like *like, const struct i3d_likeness *likeness, FILE *out)
{
    char name[256], flat[160], own[160];
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
    for (size_t i = 0; i < likeness->like_count; i++) {
        const struct i3d_tensor *tensor = likeness->fates[i] == I3D_MISFIT
            ? namesake(weights, likeness, model->tensors[i].name) : NULL;
        if (tensor)
            fprintf(out, "does not fit: %s, %s in 2D, %s in 3D\n",
                    i3d_printable(model->tensors[i].name, name, sizeof name),
                    shape_text(tensor, flat), shape_text(&model->tensors[i], own));
    }
    for (size_t i = 0; i < likeness->flat_count; i++)
        if (!likeness->used[i])
            fprintf(out, "not used: %s, %s\n",
                    i3d_printable(likeness->renamed[i], name, sizeof name),
                    shape_text(&weights->tensors[i], flat));
    return good;
}

enum i3d_status tool_inflate_like(const struct i3d_model *weights, const struct tool_like *like,
                                  const struct i3d_inflate_options *options, int axis,
                                  FILE *out, struct i3d_model **made, struct i3d_error *error)
{
    struct i3d_model *model;
    struct i3d_likeness likeness;
    enum i3d_status status = i3d_read_model(like->path, &model, error);
    if (status)
        return status;
    status = i3d_inflate_like(weights, model, options, axis, &like->renaming, &likeness, made,
                              error);
    if (!status && !report(weights, model, like, &likeness, out)) {
        status = i3d_fail(error, I3D_DIFFERS, "nothing is written: tensors would stay as they were");
        i3d_error_hint(error, "--allow-missing PATTERN names those that may");
        i3d_error_file(error, like->path);
        i3d_model_free(*made);
        *made = NULL;
    }
    i3d_likeness_free(&likeness);
    i3d_model_free(model);
    return status;
}
