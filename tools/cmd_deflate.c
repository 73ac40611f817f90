#include "tools/tool.h"

#include "converters/deflate.h"
#include "tools/likeness.h"

#include <string.h>

static const char usage[] =
    "Usage: i3dconv deflate IN -o OUT [--to FORMAT]\n"
    "       i3dconv deflate IN -o OUT --like M2D [--rename REGEX=REPL]...\n"
    "                       [--allow-missing PATTERN]... [--to FORMAT]\n"
    "\n"
    "Makes 2D weights of the 3D network in IN: kernels are summed over time.\n"
    "\n"
    "  -o, --output OUT            file to write; - is standard output\n"
    "      --to FORMAT             container; by default OUT's suffix tells, and a pipe gets\n"
    "                              safetensors\n"
    "      --like M2D              fill this 2D network, its graph included, by name\n"
    "      --rename REGEX=REPL     what 3D parameters are called there; may be given again\n"
    "      --allow-missing PATTERN parameters that may stay as they are in M2D; may be given\n"
    "                              again\n"
    "  -h, --help                  this text\n";

enum { TIME_AXIS = 2 };

struct arguments {
    const char *in, *out, *to;
    struct tool_like like;
    bool help;
};

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },
        { "to", required_argument, NULL, 't' },
        { "like", required_argument, NULL, 'k' },
        { "rename", required_argument, NULL, 'm' },
        { "allow-missing", required_argument, NULL, 'a' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    bool good = true;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (option) {
        case 'o': arguments->out = optarg; break;
        case 't': arguments->to = optarg; break;
        case 'k': arguments->like.path = optarg; break;
        case 'm': good &= tool_add(&arguments->like.renames, optarg); break;
        case 'a': good &= tool_add(&arguments->like.allowed, optarg); break;
        case 'h': arguments->help = true; return I3D_OK;
        default: return tool_usage("deflate", "wrong option %s", argv[optind - 1]);
        }
    }
    if (!good)
        return tool_usage("deflate", "an option is given more than %d times", TOOL_MOST_REPEATED);
    if (argc - optind != 1 || !arguments->out)
        return tool_usage("deflate", "one input and -o OUT are needed");
    if (!arguments->like.path && (arguments->like.renames.count || arguments->like.allowed.count))
        return tool_usage("deflate", "--rename and --allow-missing belong to --like");
    arguments->in = argv[optind];
    return I3D_OK;
}

static enum i3d_status fill_like(const struct arguments *arguments,
                                 const struct i3d_model *inflated, struct i3d_model **made,
                                 struct i3d_error *error)
{
    const struct tool_like *like = &arguments->like;
    struct i3d_renaming renaming = { like->renames.values, like->renames.count };
    struct i3d_model *model;
    struct i3d_likeness likeness = { 0 };
    enum i3d_status status = i3d_read_model(like->path, &model, error);
    if (status)
        return status;
    status = i3d_resolve_constants(model, error);
    if (!status)
        status = i3d_deflate_like(inflated, model, TIME_AXIS, &renaming, &likeness, made,
                                  error);
    if (!status) {
        status = tool_report_likeness(like, inflated, model, &likeness,
                                      strcmp(arguments->out, "-") ? stdout : stderr, error);
        if (status)
            i3d_model_free(*made);
    }
    if (status)
        *made = NULL;
    i3d_likeness_free(&likeness);
    i3d_model_free(model);
    return status;
}

static enum i3d_status deflate(const struct arguments *arguments, struct i3d_error *error)
{
    const struct i3d_format *format;
    struct i3d_model *inflated = NULL, *flat = NULL;
    enum i3d_status status = tool_format(arguments->out, arguments->to, &format, error);
    if (!status)
        status = i3d_read_model(arguments->in, &inflated, error);
    if (!status) {
        status = arguments->like.path
            ? fill_like(arguments, inflated, &flat, error)
            : i3d_deflate_weights(inflated, TIME_AXIS, &flat, error);
        if (status)
            i3d_error_file(error, arguments->in);
    }
    /* A graph's own tensors go into a container of weights under their own names. */
    if (!status && !format->holds_graph)
        flat->node_count = flat->input_count = flat->output_count = flat->value_count = 0;
    if (!status && format->needs_graph && !flat->node_count) {
        status = i3d_fail(error, I3D_USAGE, "%s needs a graph", format->title);
        i3d_error_hint(error, "--like names the 2D network whose graph it is");
    }
    if (!status)
        status = i3d_write_model(flat, arguments->out, format, error);
    i3d_model_free(inflated);
    i3d_model_free(flat);
    return status;
}

int cmd_deflate(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    return deflate(&arguments, &error) ? tool_fail(&error) : tool_finish(I3D_OK);
}
