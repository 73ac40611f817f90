#include "tools/tool.h"

#include "converters/recipe.h"
#include "formats/input.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int tool_fail(const struct i3d_error *error)
{
    char line[4 * sizeof *error];
    i3d_error_format(error, line, sizeof line);
    fprintf(stderr, "i3dconv: %s\n", line);
    return error->status;
}

int tool_usage(const char *command, const char *format, ...)
{
    char message[512], line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "i3dconv: %s; see i3dconv%s%s --help\n",
            i3d_printable(message, line, sizeof line), *command ? " " : "", command);
    return I3D_USAGE;
}

void tool_note(const char *format, ...)
{
    char message[512], line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "i3dconv: note: %s\n", i3d_printable(message, line, sizeof line));
}

int tool_finish(int status)
{
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    if (errno == EPIPE) /* the reader has seen enough */
        return status;
    struct i3d_error error;
    i3d_fail_errno(&error, "cannot write");
    i3d_error_file(&error, "standard output");
    return tool_fail(&error);
}

int tool_help(const char *usage)
{
    fputs(usage, stdout);
    return tool_finish(I3D_OK);
}

bool tool_number(const char *text, long long low, long long high, long long *number)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *number >= low && *number <= high;
}

bool tool_fraction(const char *text, double *number)
{
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*number) && *number >= 0;
}

int tool_sizes(const char *text, int64_t *sizes, int most)
{
    int count = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        if (count == most)
            return 0;
        sizes[count] = strtoll(at, &end, 10);
        if (end == at || errno || sizes[count] < 1 || sizes[count] > 1 << 20)
            return 0;
        count++;
        at = end;
        if (!*at)
            break;
        if (*at != ',')
            return 0;
    }
    return count;
}

bool tool_image_size(const char *text, int64_t *height, int64_t *width)
{
    int64_t sizes[4];
    int count = tool_sizes(text, sizes, 4);
    if (count != 2 && count != 4)
        return false;
    *height = sizes[count - 2];
    *width = sizes[count - 1];
    return true;
}

enum i3d_status tool_format(const char *out, const char *to, const struct i3d_format **format,
                            struct i3d_error *error)
{
    *format = to                  ? i3d_format_by_name(to)
        : !strcmp(out, "-")       ? i3d_format_by_name("safetensors")
                                  : i3d_format_by_suffix(out);
    if (*format)
        return I3D_OK;
    char names[256] = "";
    for (const struct i3d_format *known = i3d_formats; known->name; known++) {
        size_t used = strlen(names);
        if (!known->write)
            continue;
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", known->name);
    }
    if (to)
        return i3d_fail(error, I3D_USAGE, "there is no format %s; the formats are %s", to, names);
    i3d_fail(error, I3D_USAGE, "the name does not tell the format");
    i3d_error_file(error, out);
    return i3d_error_hint(error, "say --to with one of %s", names);
}

enum i3d_status tool_load_dialects(struct i3d_error *error)
{
    const char *path = getenv("I3DCONV_DIALECTS");
    char *folders = path ? strdup(path) : NULL, *rest = NULL;
    if (path && !folders)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    for (char *folder = folders ? strtok_r(folders, ":", &rest) : NULL; folder && !status;
         folder = strtok_r(NULL, ":", &rest))
        status = i3d_dialects_add(folder, NULL, error);
    free(folders);
    return status ? i3d_error_hint(error, "I3DCONV_DIALECTS names it") : I3D_OK;
}

enum i3d_status tool_dialect(const char *name, const struct i3d_dialect **dialect,
                             struct i3d_error *error)
{
    size_t length = name ? strlen(name) : 0;
    bool is_file = name && (strchr(name, '/')
                            || (length > 4 && !strcmp(name + length - 4, ".tsv")));
    *dialect = NULL;
    if (is_file) {
        enum i3d_status status = i3d_dialects_add(name, dialect, error);
        return status || *dialect ? status
                                  : i3d_fail(error, I3D_USAGE, "there is no table in %s", name);
    }
    *dialect = name ? i3d_dialect_by_name(name) : NULL;
    if (*dialect || !name)
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "there is no dialect %s", name);
    return i3d_error_hint(error, "i3dconv-formats(7) lists the dialects");
}

enum i3d_status tool_bind(struct i3d_model **model, const struct i3d_dialect *dialect,
                          struct i3d_error *error)
{
    struct i3d_model *bound;
    if ((*model)->node_count)
        return I3D_OK;
    enum i3d_status status = i3d_zoo_bind(*model, dialect, &bound, error);
    const char *reason = i3d_metadata(*model, "keras.no_graph");
    if (status && reason)
        status = i3d_fail(error, I3D_UNSUPPORTED, "its network is not handled: %s", reason);
    if (status)
        return (*model)->path ? i3d_error_file(error, (*model)->path) : status;
    i3d_model_free(*model);
    *model = bound;
    return I3D_OK;
}

enum i3d_status tool_read_graph(const char *path, const struct i3d_dialect *dialect,
                                struct i3d_model **model, struct i3d_error *error)
{
    enum i3d_status status = i3d_read_model(path, model, error);
    if (!status)
        status = tool_bind(model, dialect, error);
    if (status) {
        i3d_error_file(error, path);
        i3d_model_free(*model);
        *model = NULL;
    }
    return status;
}

/* Weights-only containers name a 3D network as keras-i3d and a 2D one as its
 * twin, unless the user says otherwise. */
static const char *default_dialect(const struct i3d_model *model)
{
    return model->time_axis >= 0 ? "keras-i3d" : "keras-inception_v1";
}

enum i3d_status tool_name_anew(const struct i3d_model *model, const struct i3d_format *format,
                               const struct i3d_dialect *dialect,
                               struct i3d_zoo_changes *changes, struct i3d_model **named,
                               struct i3d_error *error)
{
    bool names_anew = dialect || (model->node_count && !format->holds_graph);
    bool is_asked = dialect;
    bool binds = !model->node_count && (names_anew || format->needs_graph);
    struct i3d_model *bound = NULL;
    enum i3d_status status = I3D_OK;
    *named = NULL;
    if (binds) {
        status = i3d_zoo_bind(model, NULL, &bound, error);
        if (status && model->path)
            i3d_error_file(error, model->path);
        if (status || !names_anew) {
            *named = bound;
            return status;
        }
        model = bound;
    }
    if (!names_anew)
        return I3D_OK;
    if (!dialect)
        dialect = i3d_dialect_by_name(default_dialect(model));
    if (!dialect)
        status = i3d_fail_memory(error);
    else
        status = changes ? i3d_zoo_unbind_nearly(model, dialect, changes, named, error)
                         : i3d_zoo_unbind(model, dialect, named, error);
    if (status == I3D_UNSUPPORTED && !is_asked && format->may_hold_graph)
        status = I3D_OK; /* as a graph, then */
    i3d_model_free(bound);
    return status;
}

enum i3d_status tool_write(const struct i3d_model *model, const char *out,
                           const struct i3d_format *format, const struct i3d_dialect *dialect,
                           struct i3d_error *error)
{
    struct i3d_model *named;
    enum i3d_status status = tool_name_anew(model, format, dialect, NULL, &named, error);
    if (!status)
        status = i3d_write_model(named ? named : model, out, format, error);
    i3d_model_free(named);
    return status;
}

static enum i3d_status read_recipe_file(const char *path, struct i3d_recipe **recipe,
                                        struct i3d_error *error)
{
    enum { LARGEST = 1 << 20 };
    char *text;
    size_t length;
    enum i3d_status status = i3d_input_load(path, LARGEST, &text, &length, error);
    if (status)
        return status;
    status = i3d_recipe_parse(path, text, length, recipe, error);
    free(text);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

enum i3d_status tool_recipe(const char *name, struct i3d_recipe **recipe, struct i3d_error *error)
{
    for (const struct i3d_recipe_text *text = i3d_recipe_texts; text->name; text++)
        if (!strcmp(text->name, name))
            return i3d_recipe_builtin(name, recipe, error);
    return strpbrk(name, "./") ? read_recipe_file(name, recipe, error)
                               : i3d_recipe_builtin(name, recipe, error);
}
