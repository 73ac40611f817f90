/* Names in TensorFlow's checkpoints, and which of them are no part of a network. */
#include "formats/tf_checkpoint.h"

#include <stdlib.h>
#include <string.h>

static const char VALUE[] = "/.ATTRIBUTES/VARIABLE_VALUE";

void i3d_tf_strip(char *name)
{
    size_t length = strlen(name), suffix = sizeof VALUE - 1;
    if (length > suffix && !strcmp(name + length - suffix, VALUE))
        name[length - suffix] = '\0';
}

/* Whether the last part of a name is a slot's: its base, and perhaps _ and a number. */
static bool is_slot(const char *last)
{
    static const char *const bases[] = { "Momentum", "Adam", "AdamW", "AdaMax", "AMSGrad",
                                         "RMSProp", "Adagrad", "AdagradDA", "Adadelta", "Ftrl",
                                         "FtrlV2", "LARS", "LAMB", "ExponentialMovingAverage" };
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        size_t length = strlen(bases[i]);
        if (strncmp(last, bases[i], length))
            continue;
        last += length;
        return !*last || (*last == '_' && last[1] && !last[1 + strspn(last + 1, "0123456789")]);
    }
    return false;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Whether it is a slot of a variable that is there as well: a network may call a layer
 * Adam, and a file of moving averages alone is a network's weights. */
static bool has_base(const char *name, char **names, size_t count)
{
    const char *slash = strrchr(name, '/');
    if (!slash || !is_slot(slash + 1))
        return false;
    char *base = strndup(name, (size_t)(slash - name));
    bool found = base && bsearch(&base, names, count, sizeof *names, by_name);
    free(base);
    return found;
}

static bool is_counter(const char *name, bool has_slots)
{
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    return !strcmp(name, "save_counter/.ATTRIBUTES/VARIABLE_VALUE")
        || (has_slots && (!strcmp(last, "beta1_power") || !strcmp(last, "beta2_power")));
}

enum i3d_status i3d_tf_pass_over(const struct i3d_tf_variable *variables, size_t count,
                                 bool *passed_over, struct i3d_error *error)
{
    bool has_slots = false;
    char **names = calloc(count + 1, sizeof *names);
    if (!names)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < count; i++)
        names[i] = variables[i].name;
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        passed_over[i] = variables[i].type == I3D_TF_STRING
            || strstr(variables[i].name, "/.OPTIMIZER_SLOT/")
            || has_base(variables[i].name, names, count);
        has_slots |= passed_over[i] && variables[i].type != I3D_TF_STRING;
    }
    for (size_t i = 0; i < count; i++)
        passed_over[i] |= is_counter(variables[i].name, has_slots);
    free(names);
    return I3D_OK;
}
