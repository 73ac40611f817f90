#include "tools/zoo_commands.h"

#include <string.h>

static const char usage[] =
    "Usage: i3dconv zoo synth ARCHITECTURE -o OUT [OPTION]...\n"
    "       i3dconv zoo synth --list\n"
    "\n"
    "Writes an architecture with synthetic weights: seeded, of trained scale, the same\n"
    "bytes on every machine.\n"
    "\n"
    "  -o, --output OUT   file to write; - is standard output\n"
    "      --to FORMAT    hdf5, npz, onnx, pytorch or safetensors; by default OUT's\n"
    "                     suffix tells\n"
    "      --dialect NAME name the parameters as this codebase does\n"
    "      --seed N       (default 0)\n"
    "      --classes N    (default: the architecture's own)\n"
    "      --list         the architectures there are\n"
    "  -h, --help         this text\n";

struct arguments {
    const char *out, *to, *dialect, *architecture;
    uint64_t seed;
    int64_t classes;
    bool list, help;
};

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },  { "to", required_argument, NULL, 't' },
        { "dialect", required_argument, NULL, 'd' }, { "seed", required_argument, NULL, 's' },
        { "classes", required_argument, NULL, 'c' }, { "list", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },          { 0 },
    };
    int option;
    long long number;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (option) {
        case 'o': arguments->out = optarg; break;
        case 't': arguments->to = optarg; break;
        case 'd': arguments->dialect = optarg; break;
        case 's':
            if (!tool_number(optarg, 0, INT64_MAX, &number))
                return tool_usage("zoo synth", "--seed does not take %s", optarg);
            arguments->seed = (uint64_t)number;
            break;
        case 'c':
            if (!tool_number(optarg, 1, 1000000, &number))
                return tool_usage("zoo synth", "--classes does not take %s", optarg);
            arguments->classes = number;
            break;
        case 'l': arguments->list = true; break;
        case 'h': arguments->help = true; return I3D_OK;
        default: return tool_usage("zoo synth", "wrong option %s", argv[optind - 1]);
        }
    }
    if (arguments->list)
        return optind == argc ? I3D_OK : tool_usage("zoo synth", "--list takes no architecture");
    if (argc - optind != 1 || !arguments->out)
        return tool_usage("zoo synth", "an architecture and -o OUT are needed");
    arguments->architecture = argv[optind];
    return I3D_OK;
}

static enum i3d_status synth(const struct arguments *arguments, struct i3d_error *error)
{
    const struct i3d_architecture *architecture =
        i3d_architecture_by_name(arguments->architecture);
    if (!architecture) {
        i3d_fail(error, I3D_USAGE, "there is no architecture %s", arguments->architecture);
        i3d_error_hint(error, "i3dconv zoo synth --list names them");
        return I3D_USAGE;
    }
    struct i3d_architecture_options options = { .classes = arguments->classes };
    const struct i3d_format *format;
    const struct i3d_dialect *dialect;
    struct i3d_model *weights = NULL;
    enum i3d_status status = tool_format(arguments->out, arguments->to, &format, error);
    if (!status)
        status = tool_dialect(arguments->dialect, &dialect, error);
    if (!status)
        status = i3d_zoo_synth(architecture, &options, arguments->seed, dialect, &weights, error);
    if (!status)
        status = tool_write(weights, arguments->out, format, NULL, error);
    i3d_model_free(weights);
    return status;
}

int zoo_synth(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    if (arguments.list) {
        for (const struct i3d_architecture *known = i3d_architectures; known->name; known++)
            printf("%-26s %s\n", known->name, known->title);
        return tool_finish(I3D_OK);
    }
    struct i3d_error error;
    return synth(&arguments, &error) ? tool_fail(&error) : I3D_OK;
}
