#include "converters/kernel.h"
#include "converters/weights.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS = 10 };

/* The rule's expression without "=REPLACEMENT"; the first "=" that no backslash hides. */
static char *expression_of(const char *rule, const char **replacement)
{
    for (const char *at = rule; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (*at == '=') {
            *replacement = at + 1;
            return strndup(rule, (size_t)(at - rule));
        }
    }
    return NULL;
}

static void put_replacement(FILE *out, const char *replacement, const char *name,
                            const regmatch_t *groups)
{
    for (const char *at = replacement; *at; at++) {
        int group = at[0] == '\\' && at[1] >= '1' && at[1] <= '9' ? at[1] - '0' : 0;
        if (group && groups[group].rm_so >= 0)
            fwrite(name + groups[group].rm_so, 1,
                   (size_t)(groups[group].rm_eo - groups[group].rm_so), out);
        if (group)
            at++;
        else
            fputc(*at, out);
    }
}

/* name with the rule's first match replaced; null when memory is short. */
static char *apply(const regex_t *expression, const char *replacement, const char *name)
{
    regmatch_t groups[GROUPS];
    if (regexec(expression, name, GROUPS, groups, 0))
        return strdup(name);
    char *renamed = NULL;
    size_t length;
    FILE *out = open_memstream(&renamed, &length);
    if (!out)
        return NULL;
    fwrite(name, 1, (size_t)groups[0].rm_so, out);
    put_replacement(out, replacement, name, groups);
    fputs(name + groups[0].rm_eo, out);
    return fclose(out) ? (free(renamed), NULL) : renamed;
}

static enum i3d_status apply_rule(const char *rule, char **name, struct i3d_error *error)
{
    const char *replacement = "";
    char *text = expression_of(rule, &replacement), said[128];
    regex_t expression;
    if (!text)
        return i3d_fail(error, I3D_USAGE, "--rename %.100s: it is not REGEX=REPLACEMENT", rule);
    int wrong = regcomp(&expression, text, REG_EXTENDED);
    free(text);
    if (wrong) {
        regerror(wrong, &expression, said, sizeof said);
        return i3d_fail(error, I3D_USAGE, "--rename %.100s: %s", rule, said);
    }
    char *renamed = apply(&expression, replacement, *name);
    regfree(&expression);
    if (!renamed)
        return i3d_fail_memory(error);
    free(*name);
    *name = renamed;
    return I3D_OK;
}

enum i3d_status i3d_rename(const struct i3d_renaming *renaming, const char *name, char **renamed,
                           struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    *renamed = strdup(name);
    if (!*renamed)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < renaming->count && !status; i++)
        status = apply_rule(renaming->rules[i], renamed, error);
    if (status) {
        free(*renamed);
        *renamed = NULL;
    }
    return status;
}

void i3d_likeness_free(struct i3d_likeness *likeness)
{
    for (size_t i = 0; likeness->renamed && i < likeness->flat_count; i++)
        free(likeness->renamed[i]);
    free(likeness->renamed);
    free(likeness->fates);
    free(likeness->used);
    *likeness = (struct i3d_likeness){ 0 };
}

static enum i3d_status rename_all(const struct i3d_model *weights,
                                  const struct i3d_renaming *renaming,
                                  struct i3d_likeness *likeness, struct i3d_error *error)
{
    for (size_t i = 0; i < weights->tensor_count; i++) {
        enum i3d_status status =
            i3d_rename(renaming, weights->tensors[i].name, &likeness->renamed[i], error);
        if (status)
            return status;
    }
    return I3D_OK;
}

/* A 2D tensor under its new name. */
struct named {
    const char *name;
    size_t position;
};

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

static enum i3d_status sort_names(const struct i3d_likeness *likeness, struct named *names,
                                  struct i3d_error *error)
{
    for (size_t i = 0; i < likeness->flat_count; i++)
        names[i] = (struct named){ likeness->renamed[i], i };
    qsort(names, likeness->flat_count, sizeof *names, by_name);
    for (size_t i = 1; i < likeness->flat_count; i++)
        if (!by_name(&names[i - 1], &names[i]))
            return i3d_fail(error, I3D_USAGE, "--rename calls two tensors %.200s", names[i].name);
    return I3D_OK;
}

static bool same_shape(const struct i3d_tensor *a, const struct i3d_tensor *b)
{
    return a->rank == b->rank
        && (!a->rank || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims));
}

/* Whether the 3D kernel is what inflation makes of the 2D one, and how. Channels may
 * differ for the first kernel alone. */
static bool plan_kernel(const struct i3d_tensor *flat, const struct i3d_tensor *like, int axis,
                        bool is_first, struct i3d_kernel_plan *plan)
{
    if (flat->rank != 4 || like->rank != 5 || !i3d_dtype_is_float(flat->dtype)
        || !i3d_tensor_elements(flat) || !i3d_tensor_elements(like))
        return false;
    plan->frames = like->dims[axis];
    plan->channels = like->dims[1];
    plan->axis = axis;
    int64_t space[2];
    for (int k = 2, n = 0; k < 5; k++)
        if (k != axis)
            space[n++] = like->dims[k];
    return plan->frames <= I3D_MAX_TAPS && like->dims[0] == flat->dims[0]
        && (is_first || like->dims[1] == flat->dims[1]) && space[0] == flat->dims[2]
        && space[1] == flat->dims[3];
}

/* What fills tensors. */
struct filling {
    const struct i3d_model *weights;
    const struct i3d_inflate_options *options;
    int axis;
    struct named *names; /* sorted */
    size_t first;        /* the kernel that reads the image */
    struct i3d_likeness *likeness;
};

/* Appends tensor i of the 3D file, filled if a 2D one fits. */
static enum i3d_status fill(const struct filling *filling, const struct i3d_tensor *own, size_t i,
                            struct i3d_model *to, struct i3d_error *error)
{
    struct i3d_likeness *likeness = filling->likeness;
    struct named wanted = { own->name, 0 };
    const struct named *found = likeness->flat_count
        ? bsearch(&wanted, filling->names, likeness->flat_count, sizeof wanted, by_name) : NULL;
    const struct i3d_tensor *flat = found ? &filling->weights->tensors[found->position] : NULL;
    struct i3d_kernel_plan plan = { .init = filling->options->init,
                                    .channel_init = filling->options->channel_init };
    bool same = flat && same_shape(flat, own);
    bool inflates = flat && !same
        && plan_kernel(flat, own, filling->axis, found->position == filling->first, &plan);
    likeness->fates[i] = same || inflates ? I3D_FILLED : flat ? I3D_MISFIT : I3D_ABSENT;
    if (same || inflates) {
        likeness->used[found->position] = true;
        likeness->filled++;
    }
    if (inflates)
        return i3d_put_inflated_kernel(to, own->name, flat, &plan, error);
    struct i3d_tensor copy = same ? *flat : *own;
    copy.name = own->name;
    return i3d_model_copy_tensor(to, &copy) ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_inflate_like(const struct i3d_model *weights, const struct i3d_model *like,
                                 const struct i3d_inflate_options *options, int axis,
                                 const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_model **made,
                                 struct i3d_error *error)
{
    size_t flat_count = weights->tensor_count, like_count = like->tensor_count;
    *likeness = (struct i3d_likeness){
        .fates = calloc(like_count + 1, sizeof *likeness->fates),
        .used = calloc(flat_count + 1, sizeof *likeness->used),
        .renamed = calloc(flat_count + 1, sizeof *likeness->renamed),
        .like_count = like_count, .flat_count = flat_count,
    };
    struct named *names = calloc(flat_count + 1, sizeof *names);
    struct i3d_model *to = *made = i3d_model_new();
    bool good = likeness->fates && likeness->used && likeness->renamed && names && to;
    enum i3d_status status = good ? rename_all(weights, renaming, likeness, error)
                                  : i3d_fail_memory(error);
    if (!status)
        status = sort_names(likeness, names, error);
    struct filling filling = { weights, options, axis, names, 0, likeness };
    while (filling.first < flat_count && !i3d_is_2d_kernel(&weights->tensors[filling.first]))
        filling.first++;
    for (size_t i = 0; i < like_count && !status; i++)
        status = fill(&filling, &like->tensors[i], i, to, error);
    for (size_t i = 0; i < like->metadata_count && !status; i++)
        if (!i3d_set_metadata(to, like->metadata[i].key, like->metadata[i].value))
            status = i3d_fail_memory(error);
    free(names);
    if (status) {
        i3d_model_free(to);
        *made = NULL;
    }
    return status;
}
