#include "tools/tool.h"

#include "tools/head.h"

static const char usage[] =
    "Usage: i3dconv head IN -o OUT --num-classes K [--head-init zeros|normal]\n"
    "                    [--seed N]\n"
    "       i3dconv head IN -o OUT --rows ROWS [--labels LIST]\n"
    "       i3dconv head IN -o OUT --features LAYER\n"
    "\n"
    "Gives the network in IN, 2D or 3D, another classifier; the rest stays bit for bit.\n"
    "\n"
    "  -o, --output OUT              file to write; - is standard output\n"
    "      --to FORMAT               container; by default OUT's suffix tells, and a pipe\n"
    "                                gets safetensors\n"
    TOOL_HEAD_USAGE
    "  -h, --help                    this text\n";

struct arguments {
    const char *in, *out, *to;
    struct tool_head head;
    bool help;
};

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },
        { "to", required_argument, NULL, 't' },
        TOOL_HEAD_OPTIONS,
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, place = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, &place)) != -1) {
        switch (option) {
        case 'o': arguments->out = optarg; break;
        case 't': arguments->to = optarg; break;
        case 'h': arguments->help = true; return I3D_OK;
        case '?': return tool_usage("head", "wrong option %s", argv[optind - 1]);
        default:
            if (!tool_head_option(option, optarg, &arguments->head))
                return tool_usage("head", "--%s does not take %s", options[place].name, optarg);
        }
    }
    if (argc - optind != 1 || !arguments->out)
        return tool_usage("head", "one input and -o OUT are needed");
    arguments->in = argv[optind];
    if (!tool_head_wanted(&arguments->head))
        return tool_usage("head", "one of --num-classes, --rows and --features is needed");
    return tool_head_check("head", &arguments->head);
}

static enum i3d_status change_head(const struct arguments *arguments, struct i3d_error *error)
{
    const struct i3d_format *format;
    struct i3d_model *model = NULL;
    enum i3d_status status = tool_format(arguments->out, arguments->to, &format, error);
    if (!status)
        status = i3d_read_model(arguments->in, &model, error);
    if (!status) {
        status = tool_head_apply(&arguments->head, &model, error);
        if (status)
            i3d_error_file(error, arguments->in);
    }
    if (!status)
        status = model->node_count ? tool_write(model, arguments->out, format, NULL, error)
                                   : i3d_write_model(model, arguments->out, format, error);
    i3d_model_free(model);
    return status;
}

int cmd_head(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    return change_head(&arguments, &error) ? tool_fail(&error) : tool_finish(I3D_OK);
}
