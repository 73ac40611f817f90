#include "tools/tool.h"

#include "tools/arrays.h"
#include "tools/pair.h"
#include "tools/profile_view.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: i3dconv run MODEL INPUT... [OPTION]...\n"
    "       i3dconv run RGB FLOW --rgb INPUT --flow INPUT [OPTION]...\n"
    "       i3dconv run PAIR.json --rgb INPUT --flow INPUT [OPTION]...\n"
    "\n"
    "Runs a network on arrays (.npy), or two streams and the sum of their logits.\n"
    "\n"
    "  -o, --output-file OUT  write the result (.npy, .safetensors; - is standard output)\n"
    "      --output VALUE     take this value of the graph instead of its first output\n"
    "      --layout AXES      order of the input's axes, such as NTHWC (default: the network's)\n"
    "      --top K            print the K likeliest classes\n"
    "      --labels LIST      names of the classes: imagenet-1k, kinetics-400, or a file\n"
    "      --engine fast|direct|reference\n"
    "      --no-factored      take kernels of equal temporal slices as any others\n"
    "      --profile[=json]   print where the time goes\n"
    "      --repeat N         run N times more, for the profile's medians\n"
    "      --window FRAMES    read so many frames of a video at a time, or all (default: 32 of\n"
    "                         more than 64)\n"
    "      --threads N        (default: all cores)\n"
    "  -h, --help             this text\n";

enum { WINDOW_BY_LENGTH = 0, ALL_FRAMES = -1, LONG_CLIP = 64, USUAL_WINDOW = 32 };

struct arguments {
    const char *out, *value, *layout, *labels;
    char *rgb, *flow;
    const char *models[2]; /* the second null: the first names both */
    char *const *inputs[2]; /* input_count of each stream */
    size_t input_count;
    struct i3d_run_options run;
    int streams;
    int64_t top, repeat;
    int64_t window; /* frames at a time; ALL_FRAMES, or as the clip asks for */
    bool profile, profile_json, help;
};

static bool read_option(int option, char *value, struct arguments *arguments)
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
    case 'e': return i3d_engine_named(value, &arguments->run.engine);
    case 'p':
        arguments->profile = true;
        arguments->profile_json = value != NULL;
        return !value || !strcmp(value, "json");
    case 'r':
        good = tool_number(value, 1, 100000, &number);
        arguments->repeat = number;
        return good;
    case 'w':
        good = !strcmp(value, "all") || tool_number(value, 1, 1000000000, &number);
        arguments->window = number ? number : ALL_FRAMES;
        return good;
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
    int operands = argc - optind;
    bool pair = two && operands == 1 && tool_is_pair(argv[optind]);
    if (two ? operands + pair != 2 || !arguments->rgb || !arguments->flow : operands < 2)
        return tool_usage("run", "a model and an input, or two models, --rgb and --flow, are "
                                 "needed");
    arguments->streams = two ? 2 : 1;
    arguments->models[0] = argv[optind];
    arguments->models[1] = two && !pair ? argv[optind + 1] : NULL;
    arguments->inputs[0] = two ? &arguments->rgb : &argv[optind + 1];
    arguments->inputs[1] = &arguments->flow;
    arguments->input_count = two ? 1 : (size_t)operands - 1;
    if (two && (arguments->value || arguments->profile))
        return tool_usage("run", "--output and --profile belong to one stream");
    if (arguments->profile && arguments->out && !strcmp(arguments->out, "-"))
        return tool_usage("run", "the profile and the result cannot both go to standard output");
    if (arguments->repeat && !arguments->profile)
        return tool_usage("run", "--repeat is for --profile");
    return I3D_OK;
}

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output-file", required_argument, NULL, 'o' }, { "output", required_argument, NULL, 'v' },
        { "layout", required_argument, NULL, 'l' },      { "top", required_argument, NULL, 'k' },
        { "labels", required_argument, NULL, 'L' },      { "engine", required_argument, NULL, 'e' },
        { "threads", required_argument, NULL, 't' },     { "rgb", required_argument, NULL, 'R' },
        { "flow", required_argument, NULL, 'F' },        { "no-factored", no_argument, NULL, 'g' },
        { "window", required_argument, NULL, 'w' },
        { "profile", optional_argument, NULL, 'p' },     { "repeat", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
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
        if (option == 'g')
            arguments->run.factored = false;
        else if (!read_option(option, optarg, arguments))
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

static void free_arrays(struct i3d_array *arrays, size_t count)
{
    for (size_t i = 0; arrays && i < count; i++)
        i3d_array_free(&arrays[i]);
    free(arrays);
}

static enum i3d_status load_inputs(const struct arguments *arguments, int stream,
                                   const struct i3d_model *model, struct i3d_array **inputs,
                                   struct i3d_error *error)
{
    size_t count = arguments->input_count;
    if (model->input_count != count || !model->output_count) {
        i3d_fail(error, I3D_USAGE, "it takes %zu inputs, %zu are given", model->input_count, count);
        return i3d_error_file(error, arguments->models[stream]);
    }
    *inputs = calloc(count, sizeof **inputs);
    enum i3d_status status = *inputs ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; i < count && !status; i++)
        status = array_load_input(arguments->inputs[stream][i], arguments->layout, model, i,
                                  &(*inputs)[i], error);
    return status;
}

/* Runs again as often as asked, and prints where the time went. */
static enum i3d_status profile(const struct arguments *arguments, struct i3d_session *session,
                               const struct i3d_array *inputs, struct i3d_error *error)
{
    struct i3d_profile profile = { 0 };
    enum i3d_status status = arguments->repeat ? I3D_OK
                                               : i3d_profile_add(&profile, session, error);
    for (int64_t i = 0; i < arguments->repeat && !status; i++) {
        status = i3d_session_run(session, inputs, NULL, NULL, NULL, error);
        if (!status)
            status = i3d_profile_add(&profile, session, error);
    }
    if (!status)
        status = i3d_profile_settle(&profile, error);
    if (!status && arguments->profile_json)
        status = profile_print_json(&profile, error);
    else if (!status)
        profile_print_table(&profile);
    i3d_profile_free(&profile);
    return status;
}

static enum i3d_status run_model(const struct arguments *arguments, const struct i3d_model *model,
                                 const struct i3d_array *inputs, struct catcher *catcher,
                                 struct i3d_error *error)
{
    struct i3d_run_options options = arguments->run;
    options.wanted = &catcher->name;
    options.wanted_count = 1;
    if (!arguments->profile)
        return i3d_run(model, inputs, &options, catch_value, catcher, NULL, error);
    struct i3d_session *session;
    enum i3d_status status = i3d_session_open(model, &options, &session, error);
    if (status)
        return status;
    status = i3d_session_run(session, inputs, catch_value, catcher, NULL, error);
    if (!status)
        status = profile(arguments, session, inputs, error);
    i3d_session_close(session);
    return status;
}

/* Runs it on a video longer than the window, some frames at a time, where the network and
 * the arguments allow that. */
static enum i3d_status run_windows(const struct arguments *arguments, int stream,
                                   const struct i3d_model *model, struct catcher *catcher,
                                   struct i3d_error *error)
{
    struct array_clip clip;
    struct i3d_stream *windows = NULL;
    bool is_clip;
    if (arguments->window == ALL_FRAMES || arguments->profile || arguments->input_count != 1
        || !model->output_count)
        return I3D_OK;
    enum i3d_status status = array_open_clip(arguments->inputs[stream][0], arguments->layout,
                                             model, &clip, &is_clip, error);
    if (status || !is_clip)
        return status;
    int64_t frames = clip.shape.dims[clip.time_axis], window = arguments->window;
    if (window == WINDOW_BY_LENGTH)
        window = frames > LONG_CLIP ? USUAL_WINDOW : frames;
    if (frames > window)
        status = i3d_stream_open(model, &arguments->run, &clip.shape, catcher->name, &windows,
                                 error);
    if (!status && windows) {
        status = i3d_stream_run(windows, window, array_read_frames, &clip,
                                &catcher->caught, error);
        catcher->found = !status;
    }
    i3d_stream_close(windows);
    array_close_clip(&clip);
    return status;
}

/* Runs one network; result is the caller's. *is_probability: it comes from a Softmax. */
static enum i3d_status run_stream(const struct arguments *arguments, int stream,
                                  struct i3d_array *result, bool *is_probability,
                                  struct i3d_error *error)
{
    struct i3d_model *model = NULL;
    struct i3d_array *inputs = NULL;
    struct catcher catcher = { .name = arguments->value };
    enum i3d_status status = tool_read_graph(arguments->models[stream], NULL, &model, error);
    if (!status && !catcher.name && model->output_count)
        catcher.name = model->outputs[0].name;
    if (!status)
        status = run_windows(arguments, stream, model, &catcher, error);
    if (!status && !catcher.found)
        status = load_inputs(arguments, stream, model, &inputs, error);
    if (!status && !catcher.found)
        status = run_model(arguments, model, inputs, &catcher, error);
    if (!status && !catcher.found) {
        status = i3d_fail(error, I3D_USAGE, "no node computes %s", catcher.name);
        i3d_error_file(error, arguments->models[stream]);
    }
    for (size_t i = 0; !status && i < model->node_count; i++)
        if (i3d_is(&model->nodes[i], "Softmax") && !strcmp(model->nodes[i].outputs[0],
                                                           catcher.name))
            *is_probability = true;
    *result = catcher.caught;
    free_arrays(inputs, arguments->input_count);
    i3d_model_free(model);
    return status;
}

static enum i3d_status print_stream(const struct arguments *arguments, const char *title,
                                    const struct i3d_array *result, bool is_probability,
                                    const struct i3d_labels *labels,
                                    struct i3d_error *error)
{
    if (title)
        printf("%s\n", title);
    if (arguments->top && !arguments->profile_json)
        return array_print_top(result, arguments->top, is_probability, labels, error);
    if (!arguments->out && !arguments->profile)
        array_print_summary(result);
    return I3D_OK;
}

static enum i3d_status run_all(const struct arguments *arguments, struct i3d_error *error)
{
    static const char *const titles[] = { "rgb", "flow" };
    struct i3d_array results[2] = { 0 };
    bool probabilities[2] = { false, false };
    struct i3d_labels list = { 0 }, *labels = arguments->labels ? &list : NULL;
    enum i3d_status status = labels ? i3d_labels_read(arguments->labels, labels, error) : I3D_OK;
    for (int s = 0; s < arguments->streams && !status; s++)
        status = run_stream(arguments, s, &results[s], &probabilities[s], error);
    bool two = arguments->streams == 2;
    if (!status && two && (probabilities[0] || probabilities[1]))
        status = i3d_fail(error, I3D_UNSUPPORTED,
                          "a stream ends in a Softmax: logits are what is added");
    for (int s = 0; s < arguments->streams && !status; s++)
        status = print_stream(arguments, two ? titles[s] : NULL, &results[s], probabilities[s],
                              labels, error);
    if (!status && two)
        status = array_add(&results[0], &results[1], error);
    if (!status && two)
        status = print_stream(arguments, "both", &results[0], false, labels, error);
    if (!status && arguments->out)
        status = array_write(&results[0], arguments->out, error);
    i3d_labels_free(&list);
    for (int s = 0; s < 2; s++)
        i3d_array_free(&results[s]);
    return status;
}

static enum i3d_status run(const struct arguments *arguments, struct i3d_error *error)
{
    struct arguments both = *arguments;
    char *rgb, *flow;
    if (arguments->streams < 2 || arguments->models[1])
        return run_all(arguments, error);
    enum i3d_status status = tool_read_pair(arguments->models[0], &rgb, &flow, error);
    if (status)
        return status;
    both.models[0] = rgb;
    both.models[1] = flow;
    status = run_all(&both, error);
    free(rgb);
    free(flow);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct arguments arguments = { .run.factored = true };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong || arguments.help)
        return wrong ? wrong : tool_help(usage);
    struct i3d_error error;
    return run(&arguments, &error) ? tool_fail(&error) : tool_finish(I3D_OK);
}
