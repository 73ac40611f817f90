#include "tools/tool.h"

#include "tools/arrays.h"
#include "verify/engine.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: i3dconv run MODEL INPUT [OPTION]...\n"
    "       i3dconv run RGB FLOW --rgb INPUT --flow INPUT [OPTION]...\n"
    "\n"
    "Runs a network on an array (.npy), or two streams and the sum of their logits.\n"
    "\n"
    "  -o, --output-file OUT  write the result (.npy, .safetensors; - is standard output)\n"
    "      --output VALUE     take this value of the graph instead of its first output\n"
    "      --layout AXES      order of the input's axes, such as NTHWC (default: the network's)\n"
    "      --top K            print the K likeliest classes\n"
    "      --labels FILE      names of the classes, one a line\n"
    "      --engine fast|reference\n"
    "      --threads N        (default: all cores)\n"
    "  -h, --help             this text\n";

struct arguments {
    const char *out, *value, *layout, *labels, *rgb, *flow;
    const char *models[2], *inputs[2];
    struct i3d_run_options run;
    int streams;
    int64_t top;
    bool help;
};

static bool read_option(int option, const char *value, struct arguments *arguments)
{
    long long number = 0;
    bool good;
    switch (option) {
    case 'o': arguments->out = value; return true;
    case 'v': arguments->value = value; return true;
    case 'l': arguments->layout = value; return array_layout_is_sound(value);
    case 'L': arguments->labels = value; return true;
    case 'R': arguments->rgb = value; return true;
    case 'F': arguments->flow = value; return true;
    case 'e':
        arguments->run.engine = strcmp(value, "reference") ? I3D_ENGINE_FAST
                                                           : I3D_ENGINE_REFERENCE;
        return !strcmp(value, "fast") || !strcmp(value, "reference");
    case 'k':
        good = tool_number(value, 1, 1000000, &number);
        arguments->top = number;
        return good;
    default:
        good = tool_number(value, 1, 4096, &number);
        arguments->run.threads = (int)number;
        return good;
    }
}

static int settle_files(int argc, char **argv, struct arguments *arguments)
{
    bool two = arguments->rgb || arguments->flow;
    if (argc - optind != 2 || (two && (!arguments->rgb || !arguments->flow)))
        return tool_usage("run", "a model and an input, or two models, --rgb and --flow, are "
                                 "needed");
    arguments->streams = two ? 2 : 1;
    arguments->models[0] = argv[optind];
    arguments->models[1] = two ? argv[optind + 1] : NULL;
    arguments->inputs[0] = two ? arguments->rgb : argv[optind + 1];
    arguments->inputs[1] = arguments->flow;
    if (two && arguments->value)
        return tool_usage("run", "--output belongs to one stream");
    return I3D_OK;
}

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output-file", required_argument, NULL, 'o' }, { "output", required_argument, NULL, 'v' },
        { "layout", required_argument, NULL, 'l' },      { "top", required_argument, NULL, 'k' },
        { "labels", required_argument, NULL, 'L' },      { "engine", required_argument, NULL, 'e' },
        { "threads", required_argument, NULL, 't' },     { "rgb", required_argument, NULL, 'R' },
        { "flow", required_argument, NULL, 'F' },        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, place = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, &place)) != -1) {
        if (option == '?')
            return tool_usage("run", "wrong option %s", argv[optind - 1]);
        if (option == 'h') {
            arguments->help = true;
            return I3D_OK;
        }
        if (!read_option(option, optarg, arguments))
            return tool_usage("run", "--%s does not take %s", options[place].name, optarg);
    }
    return settle_files(argc, argv, arguments);
}

/* Keeps a copy of one value as it goes by. */
struct catcher {
    const char *name;
    struct i3d_array caught;
    bool found;
};

static enum i3d_status catch_value(void *context, const struct i3d_node *node, const char *value,
                                   const struct i3d_array *array, struct i3d_error *error)
{
    struct catcher *catcher = context;
    (void)node;
    if (catcher->found || strcmp(value, catcher->name))
        return I3D_OK;
    catcher->found = true;
    return array_copy(array, &catcher->caught, error);
}

/* Runs one network; result is the caller's. *is_probability: it comes from a Softmax. */
static enum i3d_status run_stream(const struct arguments *arguments, int stream,
                                  struct i3d_array *result, bool *is_probability,
                                  struct i3d_error *error)
{
    struct i3d_model *model = NULL;
    struct i3d_array input = { 0 };
    struct catcher catcher = { .name = arguments->value };
    enum i3d_status status = tool_read_graph(arguments->models[stream], NULL, &model, error);
    if (!status && (model->input_count != 1 || !model->output_count)) {
        status = i3d_fail(error, I3D_UNSUPPORTED, "it takes %zu inputs; one can be given",
                          model->input_count);
        i3d_error_file(error, arguments->models[stream]);
    }
    if (!status)
        status = array_load_input(arguments->inputs[stream], arguments->layout, model, &input,
                                  error);
    if (!status && !catcher.name)
        catcher.name = model->outputs[0].name;
    if (!status)
        status = i3d_run(model, &input, &arguments->run, catch_value, &catcher, NULL, error);
    if (!status && !catcher.found) {
        status = i3d_fail(error, I3D_USAGE, "no node computes %s", catcher.name);
        i3d_error_file(error, arguments->models[stream]);
    }
    for (size_t i = 0; !status && i < model->node_count; i++)
        if (i3d_is(&model->nodes[i], "Softmax") && !strcmp(model->nodes[i].outputs[0],
                                                           catcher.name))
            *is_probability = true;
    *result = catcher.caught;
    i3d_array_free(&input);
    i3d_model_free(model);
    return status;
}

static enum i3d_status print_stream(const struct arguments *arguments, const char *title,
                                    const struct i3d_array *result, bool is_probability,
                                    char *const *labels, size_t label_count,
                                    struct i3d_error *error)
{
    if (title)
        printf("%s\n", title);
    if (arguments->top)
        return array_print_top(result, arguments->top, is_probability, labels, label_count, error);
    if (!arguments->out)
        array_print_summary(result);
    return I3D_OK;
}

static enum i3d_status run(const struct arguments *arguments, struct i3d_error *error)
{
    static const char *const titles[] = { "rgb", "flow" };
    struct i3d_array results[2] = { 0 };
    bool probabilities[2] = { false, false };
    char **labels = NULL;
    size_t label_count = 0;
    enum i3d_status status = arguments->labels
        ? array_read_labels(arguments->labels, &labels, &label_count, error) : I3D_OK;
    for (int s = 0; s < arguments->streams && !status; s++)
        status = run_stream(arguments, s, &results[s], &probabilities[s], error);
    bool two = arguments->streams == 2;
    if (!status && two && (probabilities[0] || probabilities[1]))
        status = i3d_fail(error, I3D_UNSUPPORTED,
                          "a stream ends in a Softmax: logits are what is added");
    for (int s = 0; s < arguments->streams && !status; s++)
        status = print_stream(arguments, two ? titles[s] : NULL, &results[s], probabilities[s],
                              labels, label_count, error);
    if (!status && two)
        status = array_add(&results[0], &results[1], error);
    if (!status && two)
        status = print_stream(arguments, "both", &results[0], false, labels, label_count, error);
    if (!status && arguments->out)
        status = array_write(&results[0], arguments->out, error);
    array_free_labels(labels, label_count);
    for (int s = 0; s < 2; s++)
        i3d_array_free(&results[s]);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong || arguments.help)
        return wrong ? wrong : tool_help(usage);
    struct i3d_error error;
    return run(&arguments, &error) ? tool_fail(&error) : tool_finish(I3D_OK);
}
