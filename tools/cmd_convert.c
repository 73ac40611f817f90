#include "tools/tool.h"

static const char usage[] =
    "Usage: i3dconv convert IN -o OUT [--to FORMAT] [--dialect NAME]\n"
    "\n"
    "Writes the model in IN to OUT in another container or naming dialect.\n"
    "\n"
    "  -o, --output OUT   file to write; - is standard output\n"
    "      --to FORMAT    hdf5, onnx or safetensors; by default OUT's suffix tells,\n"
    "                     and a pipe gets safetensors\n"
    "      --dialect NAME rename and fold into this codebase's parameters\n"
    "  -h, --help         this text\n";

int cmd_convert(int argc, char **argv)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' }, { "to", required_argument, NULL, 't' },
        { "dialect", required_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const char *out = NULL, *to = NULL, *dialect_name = NULL;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (option) {
        case 'o': out = optarg; break;
        case 't': to = optarg; break;
        case 'd': dialect_name = optarg; break;
        case 'h': return tool_help(usage);
        default: return tool_usage("convert", "wrong option %s", argv[optind - 1]);
        }
    }
    if (argc - optind != 1 || !out)
        return tool_usage("convert", "one input and -o OUT are needed");

    struct i3d_error error;
    struct i3d_model *model = NULL;
    const struct i3d_format *format;
    const struct i3d_dialect *dialect;
    enum i3d_status status = tool_format(out, to, &format, &error);
    if (!status)
        status = tool_dialect(dialect_name, &dialect, &error);
    if (!status)
        status = i3d_read_model(argv[optind], &model, &error);
    if (!status)
        status = tool_write(model, out, format, dialect, &error);
    i3d_model_free(model);
    return status ? tool_fail(&error) : I3D_OK;
}
