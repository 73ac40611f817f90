#include "tools/tool.h"

#include "converters/drift.h"
#include "model/index.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: i3dconv diff A B [--tolerance X] [--json]\n"
    "       i3dconv diff --inflated-from M2D M3D [--tolerance X] [--json]\n"
    "\n"
    "Compares two models tensor by tensor, or tells how far a 3D network has moved from\n"
    "the 2D one that it was inflated from.\n"
    "\n"
    "      --inflated-from M2D  by kernel: how much varies over time, how far the sum over\n"
    "                           time is from the 2D kernel, each frame's share\n"
    "      --tolerance X        differences up to X, relative to a tensor's largest value,\n"
    "                           or drifts up to X are none (default 0)\n"
    "      --json               the same as JSON\n"
    "  -h, --help               this text\n";

enum { TIME_AXIS = 2 };

struct arguments {
    const char *paths[2];
    bool drift, json, help;
    double tolerance;
};

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "inflated-from", required_argument, NULL, 'i' },
        { "tolerance", required_argument, NULL, 't' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, count = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'i':
            arguments->paths[0] = optarg;
            arguments->drift = true;
            break;
        case 't':
            if (!tool_fraction(optarg, &arguments->tolerance))
                return tool_usage("diff", "--tolerance does not take %s", optarg);
            break;
        case 'j': arguments->json = true; break;
        case 'h': arguments->help = true; return I3D_OK;
        default: return tool_usage("diff", "wrong option %s", argv[optind - 1]);
        }
    }
    count = arguments->drift;
    if (argc - optind != 2 - count)
        return tool_usage("diff", arguments->drift ? "one 3D model is needed"
                                                   : "two models are needed");
    while (optind < argc)
        arguments->paths[count++] = argv[optind++];
    return I3D_OK;
}

/* What is printed: lines, or an array of objects. */
struct report {
    json_t *entries; /* null: lines */
    size_t compared, different;
};

static void say(struct report *report, json_t *entry, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Takes the entry's reference over. */
static void say(struct report *report, json_t *entry, const char *name, const char *format, ...)
{
    char text[256];
    if (report->entries) {
        json_array_append_new(report->entries, entry);
        return;
    }
    json_decref(entry);
    va_list arguments;
    va_start(arguments, format);
    printf("%-50s ", i3d_printable(name, text, sizeof text));
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

/* JSON has no infinity and no NaN. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_string(isnan(value) ? "nan" : "inf");
}

static enum i3d_status compare_tensor(const struct i3d_tensor *a, const struct i3d_tensor *b,
                                      double tolerance, struct report *report,
                                      struct i3d_error *error)
{
    struct i3d_difference difference;
    bool same_axes = a->rank == b->rank && a->dtype == b->dtype
        && (!a->rank || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims));
    if (!same_axes || !a->source || !b->source) {
        const char *what = a->dtype != b->dtype ? "types differ"
            : same_axes ? "has no values" : "shapes differ";
        report->compared++;
        report->different++;
        say(report, json_pack("{s:s, s:s}", "name", a->name, "differs", what), a->name, "%s", what);
        return I3D_OK;
    }
    enum i3d_status status = i3d_compare_tensors(a, b, &difference, error);
    if (status)
        return i3d_error_where(error, "tensor %s", a->name);
    report->compared++;
    bool differs = difference.unequal && !(difference.relative <= tolerance);
    report->different += differs;
    if (difference.unequal)
        say(report,
            json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:b}", "name", a->name, "elements",
                      (json_int_t)difference.elements, "unequal", (json_int_t)difference.unequal,
                      "largest", number(difference.largest), "relative",
                      number(difference.relative), "ulps", number(difference.ulps), "differs",
                      differs),
            a->name, "%lld of %lld differ, at most by %.3g (%.2g of the largest, %.3g ulp)",
            (long long)difference.unequal, (long long)difference.elements, difference.largest,
            difference.relative, difference.ulps);
    return I3D_OK;
}

/* Names that stand in one of the models only. */
static void list_lone(const struct i3d_model *model, const struct i3d_index *other,
                      const char *where, struct report *report)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        const char *name = model->tensors[i].name;
        if (i3d_index_tensor(other, name) != I3D_NOWHERE)
            continue;
        report->compared++;
        report->different++;
        say(report, json_pack("{s:s, s:s}", "name", name, "only", where), name, "only in %s",
            where);
    }
}

static enum i3d_status compare(const struct i3d_model *a, const struct i3d_model *b,
                               const struct arguments *arguments, struct report *report,
                               struct i3d_error *error)
{
    struct i3d_index *of_a = i3d_index_new(a), *of_b = i3d_index_new(b);
    enum i3d_status status = of_a && of_b ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; !status && i < a->tensor_count; i++) {
        int64_t at = i3d_index_tensor(of_b, a->tensors[i].name);
        if (at != I3D_NOWHERE)
            status = compare_tensor(&a->tensors[i], &b->tensors[at], arguments->tolerance, report,
                                    error);
    }
    if (!status) {
        list_lone(a, of_b, arguments->paths[0], report);
        list_lone(b, of_a, arguments->paths[1], report);
    }
    i3d_index_free(of_a);
    i3d_index_free(of_b);
    return status;
}

static json_t *share_list(const struct i3d_drift *drift, char *text, size_t size)
{
    json_t *list = json_array();
    size_t used = 0;
    text[0] = 0;
    for (int64_t t = 0; t < drift->frames; t++) {
        json_array_append_new(list, number(drift->shares[t]));
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, " %.3f", drift->shares[t]);
    }
    return list;
}

static enum i3d_status measure(const struct i3d_tensor *flat, const struct i3d_tensor *inflated,
                               double tolerance, struct report *report, struct i3d_error *error)
{
    struct i3d_drift drift;
    char shares[1024];
    enum i3d_status status = i3d_measure_drift(flat, inflated, TIME_AXIS, &drift, error);
    if (!status) {
        bool moved = !drift.as_inflated && !(drift.variation <= tolerance && drift.sum_change <= tolerance);
        json_t *list = share_list(&drift, shares, sizeof shares);
        if (!report->entries && !report->compared)
            printf("%-50s   N  variation   of sum   share of each frame\n", "kernel");
        report->compared++;
        report->different += moved;
        say(report,
            json_pack("{s:s, s:I, s:o, s:o, s:b, s:o}", "name", inflated->name, "frames",
                      (json_int_t)drift.frames, "variation", number(drift.variation),
                      "sum_change", number(drift.sum_change), "equal_slices", drift.equal_slices,
                      "shares", list),
            inflated->name, "%3lld  %9.2e  %9.2e %s", (long long)drift.frames, drift.variation,
            drift.sum_change, shares);
    }
    free(drift.shares);
    return status;
}

static enum i3d_status measure_all(const struct i3d_model *flat, const struct i3d_model *inflated,
                                   const struct arguments *arguments, struct report *report,
                                   struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(flat);
    enum i3d_status status = index ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; !status && i < inflated->tensor_count; i++) {
        int64_t at = i3d_index_tensor(index, inflated->tensors[i].name);
        if (at != I3D_NOWHERE
            && i3d_drift_fits(&flat->tensors[at], &inflated->tensors[i], TIME_AXIS))
            status = measure(&flat->tensors[at], &inflated->tensors[i], arguments->tolerance,
                             report, error);
    }
    if (!status && !report->compared) {
        status = i3d_fail(error, I3D_UNSUPPORTED, "no kernel is an inflated one of the 2D model's "
                                                  "by its name and shape");
        i3d_error_file(error, arguments->paths[1]);
    }
    i3d_index_free(index);
    return status;
}

static bool share_names(const struct i3d_model *a, const struct i3d_model *b)
{
    for (size_t i = 0; i < a->tensor_count; i++)
        if (i3d_find_tensor(b, a->tensors[i].name))
            return true;
    return false;
}

/* Files in different dialects are compared by the names of their architecture. */
static void find_common_names(struct i3d_model *models[2])
{
    if (share_names(models[0], models[1]))
        return;
    for (int i = 0; i < 2; i++) {
        struct i3d_model *bound;
        if (models[i]->node_count)
            continue;
        if (i3d_zoo_bind(models[i], NULL, &bound, NULL))
            return; /* then they have nothing in common, which is an answer */
        i3d_model_free(models[i]);
        models[i] = bound;
    }
}

static enum i3d_status diff(const struct arguments *arguments, bool *differ,
                            struct i3d_error *error)
{
    struct i3d_model *models[2] = { NULL, NULL };
    struct report report = { .entries = arguments->json ? json_array() : NULL };
    enum i3d_status status = i3d_read_model(arguments->paths[0], &models[0], error);
    if (!status)
        status = i3d_read_model(arguments->paths[1], &models[1], error);
    if (!status)
        find_common_names(models);
    if (!status)
        status = arguments->drift
            ? measure_all(models[0], models[1], arguments, &report, error)
            : compare(models[0], models[1], arguments, &report, error);
    if (!status && arguments->json) {
        json_t *all = json_pack("{s:I, s:I, s:O}", "compared", (json_int_t)report.compared,
                                "different", (json_int_t)report.different,
                                arguments->drift ? "kernels" : "tensors", report.entries);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else if (!status) {
        printf("%zu of %zu %s\n", report.different, report.compared,
               arguments->drift ? "kernels moved" : "tensors differ");
    }
    *differ = report.different;
    json_decref(report.entries);
    i3d_model_free(models[0]);
    i3d_model_free(models[1]);
    return status;
}

int cmd_diff(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    bool differ;
    if (diff(&arguments, &differ, &error))
        return tool_fail(&error);
    return tool_finish(differ ? I3D_DIFFERS : I3D_OK);
}
