#include "tools/tool.h"

#include "tools/explanation.h"
#include "tools/head.h"
#include "tools/likeness.h"
#include "tools/pair.h"

#include "converters/inflate.h"
#include "converters/layout.h"
#include "formats/input.h"
#include "model/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "Usage: i3dconv inflate IN -o OUT [OPTION]...\n"
    "       i3dconv inflate IN --explain [OPTION]...\n"
    "\n"
    "Makes a 3D network from the 2D one in IN: kernels are repeated N times along\n"
    "time and divided by N, pools, strides and pads are inflated with them.\n"
    "\n"
    "  -o, --output OUT              file to write; - is standard output\n"
    "      --to FORMAT               hdf5, npz, onnx, pytorch or safetensors; by default\n"
    "                                OUT's suffix tells, and a pipe gets safetensors\n"
    "      --dialect NAME            name the parameters as this codebase does\n"
    "      --recipe NAME|FILE        i3d, isotropic, framewise, keep-frames, mmaction2-i3d,\n"
    "                                slowonly, or a file of rules; by default i3d for an\n"
    "                                Inception-V1, else isotropic\n"
    "      --set PATTERN=N[xHxW]     temporal kernel of the layers of these names, ahead of\n"
    "                                the recipe; may be given again\n"
    "      --init repeat|center      spread kernels over their frames, or put them in the\n"
    "                                middle one (default repeat)\n"
    "      --two-stream FOLDER       both streams and a file that names them, for run\n"
    "      --stream rgb|flow         flow: 2 input channels (default rgb)\n"
    "      --in-channels N           another number of input channels\n"
    "      --channel-init scaled-mean|mean|cycle\n"
    "                                how their kernels are made (default scaled-mean)\n"
    "      --temporal-padding zero|edge\n"
    "                                edge: repeat the first and last frame, by Pad nodes\n"
    "                                for clips of --frames (default zero)\n"
    "      --frames T                clip length for edge padding and --explain (default 64)\n"
    "      --input-shape H,W         where the 2D file leaves them open (default 224,224)\n"
    "      --input-shape N,C,T,H,W   the volume or clip to make it for: C channels, T frames\n"
    "                                and another image size than the 2D file's\n"
    TOOL_HEAD_USAGE
    "      --like FILE               fill the user's own 3D weights, and take shapes and\n"
    "                                temporal kernels from them\n"
    "      --rename REGEX=REPL       what 2D parameters are called there; may be given again\n"
    "      --allow-missing PATTERN   parameters that may stay as they are in FILE; may be\n"
    "                                given again\n"
    "      --layout NCDHW|NCHWD|...  order of the axes of input, outputs and kernels, where D\n"
    "                                is the new one (default NCDHW)\n"
    "      --explain                 write nothing; print what each layer gets, from which\n"
    "                                rule, and which frames padding leaves clean\n"
    "  -h, --help                    this text\n";

struct arguments {
    struct i3d_inflate_options inflate;
    const char *out, *folder, *to, *dialect, *in, *recipe;
    struct tool_repeated sets;
    struct tool_like like;
    struct tool_head head;
    const char *layout; /* null: NCDHW */
    int axes[3];        /* of D, H and W in it */
    int64_t volume_channels, volume_frames; /* of --input-shape; 0: not given */
    bool explain, help;
};

static bool is_one_of(const char *text, const char *first, const char *second, bool *is_second)
{
    *is_second = !strcmp(text, second);
    return *is_second || !strcmp(text, first);
}

static bool read_channel_init(const char *text, enum i3d_channel_init *init)
{
    static const char *const names[] = { "scaled-mean", "mean", "cycle" };
    for (size_t i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *init = (enum i3d_channel_init)i;
            return true;
        }
    return false;
}

/* "H,W", "N,C,H,W", or for volumes and clips "N,C,T,H,W", whose channels and image size
 * the network then takes. */
static bool read_input_shape(const char *value, struct arguments *arguments)
{
    struct i3d_inflate_options *inflate = &arguments->inflate;
    int64_t sizes[5];
    if (tool_sizes(value, sizes, 5) != 5)
        return tool_image_size(value, &inflate->height, &inflate->width);
    arguments->volume_channels = sizes[1];
    arguments->volume_frames = sizes[2];
    inflate->height = sizes[3];
    inflate->width = sizes[4];
    inflate->resize = true;
    return sizes[1] <= 4096;
}

/* One option that takes a value; false if the value is wrong. */
static bool read_option(int option, char *value, struct arguments *arguments)
{
    struct i3d_inflate_options *inflate = &arguments->inflate;
    long long number;
    bool second;
    switch (option) {
    case 'o': arguments->out = value; return true;
    case 't': arguments->to = value; return true;
    case 'd': arguments->dialect = value; return true;
    case 'r': arguments->recipe = value; return true;
    case 'e': return tool_add(&arguments->sets, value);
    case 'y':
        arguments->layout = value;
        return i3d_parse_layout(value, arguments->axes);
    case 'x': arguments->explain = true; return true;
    case 'w': arguments->folder = value; return true;
    case 'k': arguments->like.path = value; return true;
    case 'm': return tool_add(&arguments->like.renames, value);
    case 'a': return tool_add(&arguments->like.allowed, value);
    case 'n':
        if (!is_one_of(value, "repeat", "center", &second))
            return false;
        inflate->init = second ? I3D_INIT_CENTER : I3D_INIT_REPEAT;
        return true;
    case 's':
        if (!is_one_of(value, "rgb", "flow", &second))
            return false;
        inflate->stream = second ? I3D_FLOW : I3D_RGB;
        return true;
    case 'p':
        if (!is_one_of(value, "zero", "edge", &second))
            return false;
        inflate->temporal_padding = second ? I3D_PAD_EDGE : I3D_PAD_ZERO;
        return true;
    case 'c':
        inflate->in_channels = tool_number(value, 1, 4096, &number) ? number : 0;
        return inflate->in_channels;
    case 'l': return read_channel_init(value, &inflate->channel_init);
    case 'f':
        inflate->frames = tool_number(value, 1, 1 << 20, &number) ? number : 0;
        return inflate->frames;
    case 'i': return read_input_shape(value, arguments);
    default: return tool_head_option(option, value, &arguments->head);
    }
}

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },
        { "to", required_argument, NULL, 't' },
        { "dialect", required_argument, NULL, 'd' },
        { "recipe", required_argument, NULL, 'r' },
        { "set", required_argument, NULL, 'e' },
        { "init", required_argument, NULL, 'n' },
        { "stream", required_argument, NULL, 's' },
        { "in-channels", required_argument, NULL, 'c' },
        { "channel-init", required_argument, NULL, 'l' },
        { "temporal-padding", required_argument, NULL, 'p' },
        { "frames", required_argument, NULL, 'f' },
        { "input-shape", required_argument, NULL, 'i' },
        TOOL_HEAD_OPTIONS,
        { "like", required_argument, NULL, 'k' },
        { "rename", required_argument, NULL, 'm' },
        { "allow-missing", required_argument, NULL, 'a' },
        { "layout", required_argument, NULL, 'y' },
        { "two-stream", required_argument, NULL, 'w' },
        { "explain", no_argument, NULL, 'x' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, place = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, &place)) != -1) {
        if (option == '?')
            return tool_usage("inflate", "wrong option %s", argv[optind - 1]);
        if (option != 'h' && !read_option(option, optarg, arguments))
            return tool_usage("inflate", "--%s does not take %s", options[place].name, optarg);
        if (option == 'h') {
            arguments->help = true;
            return I3D_OK;
        }
    }
    if (argc - optind != 1 || !(arguments->out || arguments->folder || arguments->explain))
        return tool_usage("inflate", "one input and -o OUT are needed");
    if (arguments->folder && (arguments->out || arguments->like.path || arguments->explain
                              || arguments->inflate.stream || arguments->inflate.in_channels))
        return tool_usage("inflate", "--two-stream takes the place of -o, and goes with neither "
                                     "--stream, --in-channels, --like nor --explain");
    if (arguments->explain && (arguments->out || arguments->like.path || arguments->dialect
                               || arguments->layout || arguments->inflate.temporal_padding == I3D_PAD_EDGE))
        return tool_usage("inflate", "--explain writes nothing, and is about zero padding and a "
                                     "recipe");
    if (arguments->inflate.frames && arguments->inflate.temporal_padding != I3D_PAD_EDGE
        && !arguments->explain)
        return tool_usage("inflate", "--frames belongs to --temporal-padding edge; with zero "
                                     "padding the clip length stays open");
    if (arguments->volume_channels && arguments->inflate.in_channels)
        return tool_usage("inflate", "--in-channels and --input-shape both tell the channels");
    if (arguments->volume_channels)
        arguments->inflate.in_channels = arguments->volume_channels;
    if (arguments->volume_frames && !arguments->inflate.frames)
        arguments->inflate.frames = arguments->volume_frames;
    if (!arguments->like.path
        && (arguments->like.renames.count || arguments->like.allowed.count))
        return tool_usage("inflate", "--rename and --allow-missing belong to --like");
    if (arguments->like.path && tool_head_wanted(&arguments->head))
        return tool_usage("inflate", "--like takes the classifier from its file, too");
    if (arguments->like.path && (arguments->recipe || arguments->sets.count || arguments->dialect))
        return tool_usage("inflate", "--like takes temporal kernels and names from its file, "
                                     "not from --recipe, --set or --dialect");
    arguments->in = argv[optind];
    return tool_head_check("inflate", &arguments->head);
}

/* The recipe of that name or in that file, the rules of --set ahead of its own. */
static enum i3d_status load_recipe(const char *name, const struct arguments *arguments,
                                   struct i3d_recipe **recipe, struct i3d_error *error)
{
    enum i3d_status status = tool_recipe(name, recipe, error);
    for (size_t i = arguments->sets.count; i-- > 0 && !status;)
        status = i3d_recipe_set(*recipe, arguments->sets.values[i], error);
    return status;
}

/* i3d for what is an Inception-V1 by its structure, isotropic for the rest. */
static enum i3d_status default_recipe(const struct i3d_model *model, const char **name,
                                      struct i3d_error *error)
{
    struct i3d_recognition recognition;
    enum i3d_status status = i3d_zoo_recognise(model, &recognition, error);
    if (status)
        return status;
    bool is_inception = recognition.architecture
        && !strncmp(recognition.architecture->name, "inception_v1", 12);
    *name = is_inception ? "i3d" : "isotropic";
    if (!is_inception)
        tool_note("the network is no Inception-V1; taking the recipe isotropic");
    i3d_recognition_free(&recognition);
    return I3D_OK;
}

/* The recipe that was asked for, before anything is read, or else the usual one. */
static enum i3d_status choose_recipe(const struct arguments *arguments,
                                     const struct i3d_model *flat, struct i3d_recipe **recipe,
                                     struct i3d_error *error)
{
    const char *name = arguments->recipe;
    if (*recipe || arguments->like.path || (!name && !flat))
        return I3D_OK;
    enum i3d_status status = name ? I3D_OK : default_recipe(flat, &name, error);
    return status ? status : load_recipe(name, arguments, recipe, error);
}

/* Where a kernel's new axis stands. */
static int kernel_axis(const struct arguments *arguments)
{
    for (int k = 0; arguments->layout && k < 3; k++)
        if (arguments->axes[k] == 0)
            return 2 + k;
    return 2;
}

/* Fills the user's own 3D file; what is said of it goes where no model goes. */
static enum i3d_status fill_like(const struct arguments *arguments, const struct i3d_model *flat,
                                 struct i3d_model **made, struct i3d_error *error)
{
    const struct tool_like *like = &arguments->like;
    struct i3d_renaming renaming = { like->renames.values, like->renames.count };
    struct i3d_model *model;
    struct i3d_likeness likeness;
    enum i3d_status status = i3d_read_model(like->path, &model, error);
    if (status)
        return status;
    status = i3d_inflate_like(flat, model, &arguments->inflate, kernel_axis(arguments), &renaming,
                              &likeness, made, error);
    if (!status) {
        status = tool_report_likeness(like, flat, model, &likeness,
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

static enum i3d_status inflate_model(const struct arguments *arguments,
                                     const struct i3d_model *flat, bool weights_only,
                                     struct i3d_model **inflated, struct i3d_error *error)
{
    if (arguments->like.path)
        return fill_like(arguments, flat, inflated, error);
    return weights_only
        ? i3d_inflate_weights(flat, &arguments->inflate, kernel_axis(arguments), inflated,
                              error)
        : i3d_inflate(flat, &arguments->inflate, inflated, error);
}

static enum i3d_status check_padding(const struct arguments *arguments,
                                     const struct i3d_dialect *dialect,
                                     const struct i3d_format *format, struct i3d_error *error)
{
    if (arguments->inflate.temporal_padding != I3D_PAD_EDGE || (!dialect && format->holds_graph))
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "%s holds weights only, which cannot carry edge padding",
             dialect ? "a dialect" : format->title);
    return i3d_error_hint(error, "write ONNX or safetensors");
}

/* Weights that go from a state_dict into a state_dict keep their names and need no graph.
 * Keras' files pair layers by a dialect's order, so theirs are bound. */
static bool keeps_names(const struct arguments *arguments, const struct i3d_model *model,
                        const struct i3d_format *format)
{
    return arguments->like.path
        || (!model->node_count && !arguments->dialect && !format->holds_graph
            && strcmp(format->name, "hdf5"));
}

/* The table, of weights too where no architecture is known. */
static enum i3d_status explain(struct arguments *arguments, struct i3d_error *error)
{
    enum { USUAL_FRAMES = 64 };
    struct i3d_model *flat = NULL, *bound = NULL, *inflated = NULL;
    struct i3d_recipe *recipe = NULL;
    struct i3d_explanation explanation = { 0 };
    int64_t frames = arguments->inflate.frames ? arguments->inflate.frames : USUAL_FRAMES;
    enum i3d_status status = choose_recipe(arguments, NULL, &recipe, error);
    if (!status)
        status = i3d_read_model(arguments->in, &flat, error);
    bool has_graph = !status
        && (flat->node_count || !i3d_zoo_bind(flat, NULL, &bound, NULL));
    const struct i3d_model *network = bound ? bound : flat;
    if (!status)
        status = choose_recipe(arguments, network, &recipe, error);
    arguments->inflate.rules = recipe;
    if (!status) {
        status = inflate_model(arguments, network, !has_graph, &inflated, error);
        if (!status)
            status = has_graph
                ? i3d_explain_graph(network, inflated, &arguments->inflate, frames, &explanation,
                                    error)
                : i3d_explain_weights(network, inflated, &arguments->inflate, &explanation, error);
        if (status)
            i3d_error_file(error, arguments->in);
    }
    if (!status)
        tool_print_explanation(&explanation, recipe, frames);
    i3d_explanation_free(&explanation);
    i3d_recipe_free(recipe);
    i3d_model_free(flat);
    i3d_model_free(bound);
    i3d_model_free(inflated);
    return status;
}

/* The order of axes that was asked for. */
static enum i3d_status turn_axes(const struct arguments *arguments, struct i3d_model **inflated,
                                 struct i3d_error *error)
{
    struct i3d_model *turned;
    size_t transposes;
    enum i3d_status status =
        i3d_change_layout(*inflated, arguments->axes, &turned, &transposes, error);
    if (status)
        return status;
    i3d_model_free(*inflated);
    *inflated = turned;
    if (transposes)
        tool_note("%zu Transpose nodes keep parts of the network in the order NCDHW", transposes);
    return I3D_OK;
}

/* What an inflation is made of. */
struct job {
    struct arguments *arguments;
    const struct i3d_model *network;
    const struct i3d_format *format;
    const struct i3d_dialect *dialect;
    const char *digest;
    bool weights_only;
};

/* Inflates and writes to path; *inflated is the caller's, also after failure. */
static enum i3d_status write_inflated(const struct job *job, const char *path,
                                      struct i3d_model **inflated, struct i3d_error *error)
{
    const struct arguments *arguments = job->arguments;
    enum i3d_status status =
        inflate_model(arguments, job->network, job->weights_only, inflated, error);
    if (!status && tool_head_wanted(&arguments->head))
        status = tool_head_apply(&arguments->head, inflated, error);
    if (!status && arguments->layout && !job->weights_only)
        status = turn_axes(arguments, inflated, error);
    if (status)
        return i3d_error_file(error, arguments->in);
    if (!i3d_set_metadata(*inflated, "i3dconv.source_sha256", job->digest)
        || (arguments->layout && !i3d_set_metadata(*inflated, "i3dconv.layout",
                                                   arguments->layout)))
        return i3d_fail_memory(error);
    return job->weights_only ? i3d_write_model(*inflated, path, job->format, error)
                             : tool_write(*inflated, path, job->format, job->dialect, error);
}

/* Both streams into a folder, then the file that names them. */
static enum i3d_status write_streams(const struct job *job, struct i3d_error *error)
{
    static const enum i3d_stream streams[] = { I3D_RGB, I3D_FLOW };
    static const char *const stems[] = { "rgb", "flow" };
    const char *folder = job->arguments->folder, *suffix = job->format->suffixes;
    struct i3d_model *inflated[2] = { NULL, NULL };
    char names[2][32];
    enum i3d_status status = I3D_OK;
    if (mkdir(folder, 0777) && errno != EEXIST) {
        i3d_fail_errno(error, "cannot make the folder");
        return i3d_error_file(error, folder);
    }
    for (int s = 0; s < 2 && !status; s++) {
        char *path;
        snprintf(names[s], sizeof names[s], "%s%.*s", stems[s], (int)strcspn(suffix, " "),
                 suffix);
        job->arguments->inflate.stream = streams[s];
        if (asprintf(&path, "%s/%s", folder, names[s]) < 0)
            return i3d_fail_memory(error);
        status = write_inflated(job, path, &inflated[s], error);
        free(path);
    }
    if (!status)
        status = tool_write_pair(folder, names[0], names[1], inflated[0], error);
    i3d_model_free(inflated[0]);
    i3d_model_free(inflated[1]);
    return status;
}

static enum i3d_status inflate_file(struct arguments *arguments, struct i3d_error *error)
{
    struct i3d_model *flat = NULL, *bound = NULL, *inflated = NULL;
    struct i3d_recipe *recipe = NULL;
    char digest[I3D_DIGEST_SIZE];
    struct job job = { .arguments = arguments, .digest = digest };
    enum i3d_status status = arguments->folder && !arguments->to
        ? tool_format("", "onnx", &job.format, error)
        : tool_format(arguments->out, arguments->to, &job.format, error);
    if (!status)
        status = tool_dialect(arguments->dialect, &job.dialect, error);
    if (!status)
        status = check_padding(arguments, job.dialect, job.format, error);
    if (!status)
        status = choose_recipe(arguments, NULL, &recipe, error);
    if (!status)
        status = i3d_read_model_digest(arguments->in, &flat, digest, error);
    job.weights_only = !status && keeps_names(arguments, flat, job.format);
    if (!status && !job.weights_only && !flat->node_count) {
        status = i3d_zoo_bind(flat, NULL, &bound, error);
        if (status)
            i3d_error_file(error, arguments->in);
    }
    if (!status && arguments->layout && !job.weights_only
        && (job.dialect || !job.format->holds_graph))
        status = i3d_fail(error, I3D_USAGE, "--layout is for graphs and for files that keep their "
                                            "names, not for a codebase's own layout");
    if (!status && arguments->layout && job.weights_only
        && strchr(arguments->layout, 'W') < strchr(arguments->layout, 'H'))
        status = i3d_fail(error, I3D_USAGE, "weights without a graph keep H ahead of W");
    job.network = bound ? bound : flat;
    if (!status)
        status = choose_recipe(arguments, job.network, &recipe, error);
    arguments->inflate.rules = recipe;
    if (!status)
        status = arguments->folder ? write_streams(&job, error)
                                   : write_inflated(&job, arguments->out, &inflated, error);
    i3d_recipe_free(recipe);
    i3d_model_free(flat);
    i3d_model_free(bound);
    i3d_model_free(inflated);
    return status;
}

int cmd_inflate(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    enum i3d_status status =
        arguments.explain ? explain(&arguments, &error) : inflate_file(&arguments, &error);
    return status ? tool_fail(&error) : tool_finish(I3D_OK);
}
