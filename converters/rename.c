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
