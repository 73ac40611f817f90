#include "tools/head.h"

#include "formats/input.h"
#include "tools/tool.h"
#include "zoo/labels.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 1 << 24 };

bool tool_head_option(int option, const char *value, struct tool_head *head)
{
    switch (option) {
    case TOOL_HEAD_CLASSES: return tool_number(value, 1, MOST_CLASSES, &head->classes);
    case TOOL_HEAD_SEED:
        head->has_seed = true;
        return tool_number(value, 0, INT64_MAX, &head->seed);
    case TOOL_HEAD_INIT:
        head->has_init = true;
        head->init = !strcmp(value, "normal") ? I3D_CLASSIFIER_NORMAL : I3D_CLASSIFIER_ZEROS;
        return !strcmp(value, "normal") || !strcmp(value, "zeros");
    case TOOL_HEAD_ROWS: head->rows = value; return true;
    case TOOL_HEAD_LABELS: head->labels = value; return true;
    default: head->features = value; return true;
    }
}

bool tool_head_wanted(const struct tool_head *head)
{
    return head->classes || head->rows || head->features;
}

int tool_head_check(const char *command, const struct tool_head *head)
{
    if ((head->classes > 0) + !!head->rows + !!head->features > 1)
        return tool_usage(command, "only one of --num-classes, --rows and --features can be");
    if ((head->has_init || head->has_seed) && !head->classes)
        return tool_usage(command, "a classifier's init and --seed belong to --num-classes");
    if (head->has_seed && head->init != I3D_CLASSIFIER_NORMAL)
        return tool_usage(command, "--seed is for normal weights");
    if (head->labels && !head->rows)
        return tool_usage(command, "--labels belongs to --rows");
    return 0;
}

struct rows {
    int64_t *numbers;
    size_t count, room;
};

static bool add_row(struct rows *rows, int64_t number)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? 2 * rows->room : 64;
        int64_t *grown = realloc(rows->numbers, room * sizeof *grown);
        if (!grown)
            return false;
        rows->numbers = grown;
        rows->room = room;
    }
    rows->numbers[rows->count++] = number;
    return true;
}

/* "0-9,17". */
static enum i3d_status parse_rows(const char *text, struct rows *rows, struct i3d_error *error)
{
    for (const char *at = text; *at;) {
        char *end;
        long long low = strtoll(at, &end, 10), high = low;
        bool good = end != at && *at != '-' && low >= 0;
        if (good && *end == '-') {
            at = end + 1;
            high = strtoll(at, &end, 10);
            good = end != at && *at != '-' && high >= low;
        }
        if (!good || high >= MOST_CLASSES || (*end && (*end != ',' || !end[1])))
            return i3d_fail(error, I3D_USAGE, "--rows takes numbers and ranges with commas "
                                              "between, not %.100s", text);
        for (long long row = low; row <= high; row++)
            if (rows->count >= MOST_CLASSES || !add_row(rows, row))
                return i3d_fail_memory(error);
        at = end + (*end == ',');
    }
    return rows->count ? I3D_OK : i3d_fail(error, I3D_USAGE, "--rows names no row");
}

/* The rows of the old labels that stand in a file, in the file's order. */
static enum i3d_status look_up_rows(const char *wanted_path, const char *labels_path,
                                    struct rows *rows, struct i3d_error *error)
{
    struct i3d_labels labels, wanted = { 0 };
    enum i3d_status status = i3d_labels_read(labels_path, &labels, error);
    if (!status)
        status = i3d_labels_read(wanted_path, &wanted, error);
    for (size_t i = 0; i < wanted.count && !status; i++) {
        size_t k = 0;
        while (k < labels.count && strcmp(labels.names[k], wanted.names[i]))
            k++;
        if (k == labels.count) {
            status = i3d_fail(error, I3D_USAGE, "%.100s is none of the labels in %.200s",
                              wanted.names[i], labels_path);
            i3d_error_file(error, wanted_path);
        } else if (!add_row(rows, (int64_t)k)) {
            status = i3d_fail_memory(error);
        }
    }
    if (!status && !rows->count) {
        status = i3d_fail(error, I3D_USAGE, "it names no label");
        i3d_error_file(error, wanted_path);
    }
    i3d_labels_free(&labels);
    i3d_labels_free(&wanted);
    return status;
}

/* In the result's metadata: how its classifier came about. */
static bool note(const struct tool_head *head, struct i3d_model *made)
{
    char text[256];
    if (head->features)
        snprintf(text, sizeof text, "features %.200s", head->features);
    else if (head->rows)
        snprintf(text, sizeof text, "rows %.200s", head->rows);
    else if (head->init == I3D_CLASSIFIER_NORMAL)
        snprintf(text, sizeof text, "%lld classes, normal, seed %lld", head->classes, head->seed);
    else
        snprintf(text, sizeof text, "%lld classes, zeros", head->classes);
    return i3d_set_metadata(made, "i3dconv.head", text);
}

enum i3d_status tool_head_apply(const struct tool_head *head, struct i3d_model **model,
                                struct i3d_error *error)
{
    struct i3d_model *made = NULL;
    struct rows rows = { 0 };
    struct i3d_classifier_options options = { head->classes, head->init, (uint64_t)head->seed,
                                              NULL };
    int64_t was;
    enum i3d_status status = I3D_OK;
    if (head->rows) {
        status = head->labels ? look_up_rows(head->rows, head->labels, &rows, error)
                              : parse_rows(head->rows, &rows, error);
        options = (struct i3d_classifier_options){ (int64_t)rows.count, I3D_CLASSIFIER_ROWS, 0,
                                                   rows.numbers };
    }
    if (!status)
        status = head->features ? i3d_cut_at(*model, head->features, &made, error)
                                : i3d_replace_classifier(*model, &options, &made, &was, error);
    free(rows.numbers);
    if (status)
        return status;
    i3d_model_free(*model);
    *model = made;
    return note(head, made) ? I3D_OK : i3d_fail_memory(error);
}
