#include "converters/cast.h"
#include "converters/fold_norms.h"
#include "converters/inflate.h"
#include "tools/tool.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: i3dconv convert IN -o OUT [--to FORMAT] [--dialect NAME] [--approximate]\n"
    "                       [--dtype TYPE] [--fold-bn]\n"
    "\n"
    "Writes the model in IN to OUT in another container, naming dialect or element type.\n"
    "\n"
    "  -o, --output OUT   file to write; - is standard output\n"
    "      --to FORMAT    container; by default OUT's suffix tells, and a pipe gets\n"
    "                     safetensors\n"
    "      --dialect NAME rename and fold into this codebase's parameters; or the file of\n"
    "                     a table of names\n"
    "      --approximate  accept a dialect whose code pads otherwise; says where\n"
    "      --dtype TYPE   float16, bfloat16, float32 or float64 for every float\n"
    "      --fold-bn      fold batch normalisation into the convolution ahead of it\n"
    "  -h, --help         this text\n";

struct arguments {
    const char *in, *out, *to, *dialect;
    enum i3d_dtype dtype; /* I3D_UNDEFINED: as it is */
    bool approximate, fold, help;
};

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },  { "to", required_argument, NULL, 't' },
        { "dialect", required_argument, NULL, 'd' }, { "approximate", no_argument, NULL, 'a' },
        { "dtype", required_argument, NULL, 'y' },   { "fold-bn", no_argument, NULL, 'f' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (option) {
        case 'o': arguments->out = optarg; break;
        case 't': arguments->to = optarg; break;
        case 'd': arguments->dialect = optarg; break;
        case 'a': arguments->approximate = true; break;
        case 'f': arguments->fold = true; break;
        case 'y':
            arguments->dtype = i3d_dtype_from_name(optarg);
            if (!i3d_dtype_is_float(arguments->dtype))
                return tool_usage("convert", "--dtype does not take %s", optarg);
            break;
        case 'h': arguments->help = true; return I3D_OK;
        default: return tool_usage("convert", "wrong option %s", argv[optind - 1]);
        }
    }
    if (argc - optind != 1 || !arguments->out)
        return tool_usage("convert", "one input and -o OUT are needed");
    if (arguments->approximate && !arguments->dialect)
        return tool_usage("convert", "--approximate belongs to --dialect");
    if (arguments->fold && arguments->dialect)
        return tool_usage("convert", "--fold-bn makes a graph without batch normalisation, which "
                                     "no --dialect has");
    arguments->in = argv[optind];
    return I3D_OK;
}

/* Folds the graph's batch normalisations; weights are bound to theirs first. */
static enum i3d_status fold(struct i3d_model **model, const char *path, struct i3d_error *error)
{
    struct i3d_model *bound = NULL, *folded = NULL;
    size_t count, left;
    enum i3d_status status =
        (*model)->node_count ? I3D_OK : i3d_zoo_bind(*model, NULL, &bound, error);
    if (!status)
        status = i3d_resolve_constants(bound ? bound : *model, error);
    if (!status)
        status = i3d_fold_norms(bound ? bound : *model, &folded, &count, &left, error);
    i3d_model_free(bound);
    if (status)
        return i3d_error_file(error, path);
    tool_note("%zu batch normalisations are folded, %zu stay", count, left);
    i3d_model_free(*model);
    *model = folded;
    return I3D_OK;
}

/* Says which numbers the type cannot hold. */
static enum i3d_status report_overflows(const struct i3d_model *model, enum i3d_dtype dtype,
                                        struct i3d_error *error)
{
    enum { NAMED = 5 };
    int64_t total = 0;
    size_t tensors = 0, used = 0;
    char names[400] = "";
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct i3d_tensor *tensor = &model->tensors[i];
        int64_t count;
        enum i3d_status status = i3d_cast_overflows(tensor, dtype, &count, error);
        if (status)
            return i3d_error_where(error, "tensor %s", tensor->name);
        if (!count)
            continue;
        total += count;
        if (tensors++ < NAMED && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s (%lld)",
                                     used ? ", " : "", tensor->name, (long long)count);
    }
    if (total)
        tool_note("%lld numbers in %zu tensors are beyond %s and become infinite: %s%s",
                  (long long)total, tensors, i3d_dtype_name(dtype), names,
                  tensors > NAMED ? ", ..." : "");
    return I3D_OK;
}

static enum i3d_status change_type(struct i3d_model **model, enum i3d_dtype dtype,
                                   struct i3d_error *error)
{
    struct i3d_model *cast;
    enum i3d_status status = report_overflows(*model, dtype, error);
    if (!status)
        status = i3d_cast(*model, dtype, &cast, error);
    if (status)
        return status;
    i3d_model_free(*model);
    *model = cast;
    return I3D_OK;
}

/* One line on how the codebase loads what was written; a pipe carries the model,
 * so its line goes to standard error. */
static enum i3d_status say_how_to_load(const struct i3d_model *weights,
                                       const struct i3d_dialect *dialect, const char *out,
                                       const struct i3d_format *format, struct i3d_error *error)
{
    const char *architecture = i3d_metadata(weights, "i3dconv.architecture");
    while (dialect->sibling && architecture && strcmp(dialect->architecture, architecture))
        dialect = dialect->sibling;
    struct i3d_dialect_fit fit;
    enum i3d_status status = i3d_dialect_measure(dialect, weights, &fit, error);
    if (status)
        return status;
    bool is_pipe = !strcmp(out, "-");
    char *text = i3d_dialect_load_text(dialect, format->name, is_pipe ? "FILE" : out, fit.classes,
                                       fit.channels);
    if (!text)
        return I3D_OK;
    size_t size = 4 * strlen(text) + 1;
    char *line = malloc(size);
    if (line && is_pipe)
        tool_note("to load it: %s", i3d_printable(text, line, size));
    else if (line)
        printf("to load it: %s\n", i3d_printable(text, line, size));
    free(line);
    free(text);
    return line ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status convert(const struct arguments *arguments, struct i3d_error *error)
{
    const struct i3d_format *format;
    const struct i3d_dialect *dialect = NULL;
    struct i3d_model *model = NULL, *named = NULL;
    struct i3d_zoo_changes changes = { 0 };
    enum i3d_status status = tool_format(arguments->out, arguments->to, &format, error);
    if (!status)
        status = tool_dialect(arguments->dialect, &dialect, error);
    if (!status)
        status = i3d_read_model(arguments->in, &model, error);
    if (!status && arguments->fold)
        status = fold(&model, arguments->in, error);
    if (!status) {
        status = tool_name_anew(model, format, dialect, arguments->approximate ? &changes : NULL,
                                &named, error);
        if (status)
            i3d_error_file(error, arguments->in);
    }
    if (named) {
        i3d_model_free(model);
        model = named;
    }
    for (size_t i = 0; i < changes.count && !status; i++)
        tool_note("%s", changes.lines[i]);
    if (!status && arguments->dtype)
        status = change_type(&model, arguments->dtype, error);
    if (!status)
        status = i3d_write_model(model, arguments->out, format, error);
    if (!status && dialect)
        status = say_how_to_load(model, dialect, arguments->out, format, error);
    i3d_zoo_changes_free(&changes);
    i3d_model_free(model);
    return status;
}

int cmd_convert(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    return convert(&arguments, &error) ? tool_fail(&error) : tool_finish(I3D_OK);
}
