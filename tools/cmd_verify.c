#include "tools/tool.h"

#include "converters/recipe.h"
#include "tools/arrays.h"
#include "tools/verify_against.h"
#include "tools/verify_page.h"
#include "tools/verify_plot.h"
#include "tools/verify_report.h"
#include "zoo/preprocess.h"

#include <string.h>
#include <strings.h>

static const char usage[] =
    "Usage: i3dconv verify M2D M3D [OPTION]...\n"
    "       i3dconv verify MODEL --against FILE | --dump FILE [OPTION]...\n"
    "\n"
    "Proves that the 3D network computes what the 2D one does: compares every kernel\n"
    "slice with the 2D kernel divided by N, then every layer's activations at every\n"
    "frame of a video of one repeated image, with edge padding in time.\n"
    "\n"
    "      --audit           compare the files only, run nothing\n"
    "      --recipe NAME     audit windows over time by this recipe, built in or in a file\n"
    "                        (default: the one that the 3D file records)\n"
    "      --as-deployed     run the video with the file's own padding too: clean frames have\n"
    "                        to agree, the deviation of the others is measured\n"
    "      --motion[=FILE]   run a video of noise, or of FILE (.npy), against a reference\n"
    "                        computed from the 2D file, with the file's own padding\n"
    "      --all             all of these\n"
    "      --frames T        length of the video (default 64, or the clip that the file is for);\n"
    "                        auto: the shortest with a clean frame in the result\n"
    "      --input-shape H,W where the 2D file leaves them open (default 224,224)\n"
    "      --image FILE      an image (.npy, or a photograph: PNG, JPEG) in place of seeded\n"
    "                        noise; may be repeated\n"
    "      --preprocessing JSON  what becomes of photographs: size, channel_order, scale, mean\n"
    "                        and std, as in a manifest (default: RGB from -1 to 1)\n"
    "      --seed N          of image and video (default 0)\n"
    "      --tolerance X     largest error relative to the layer's largest activation\n"
    "                        (default 1e-5)\n"
    "      --engine NAME     direct (default), fast or reference: how convolutions are computed\n"
    "      --against FILE    run the one MODEL on the input in FILE (.npz), and compare each of\n"
    "                        its values with the tensor of that name, from another runtime\n"
    "      --dump FILE       run the one MODEL and write its input and values (.npz)\n"
    "      --json            the report as JSON\n"
    "      --report FILE     write the report as one HTML page\n"
    "      --plot FILE       write errors and frames by layer as a picture, SVG or PNG\n"
    "  -q, --quiet           the last line only\n"
    "  -h, --help            this text\n";

enum { MOST_IMAGES = 64 };

struct arguments {
    struct i3d_proof_options proof;
    bool json, quiet, help;
    const char *flat, *inflated;
    const char *recipe, *page, *plot;
    const char *reference, *dump;
    const char *preprocessing;
    const char *video; /* of --motion, or null */
    const char *images[MOST_IMAGES];
    size_t image_count;
};

/* Has the image size that it names stand for --input-shape, where that is not given. */
static bool read_preprocessing(const char *text, struct arguments *arguments)
{
    struct i3d_preprocessing settings;
    struct i3d_proof_options *proof = &arguments->proof;
    if (i3d_preprocessing_parse(text, &settings, NULL))
        return false;
    arguments->preprocessing = text;
    if (!proof->height) {
        proof->height = settings.height;
        proof->width = settings.width;
    }
    return true;
}

static bool read_option(int option, const char *value, struct arguments *arguments)
{
    struct i3d_proof_options *proof = &arguments->proof;
    long long number = 0;
    bool good = true;
    switch (option) {
    case 'f':
        proof->shortest = !strcmp(value, "auto");
        good = proof->shortest || tool_number(value, 1, 1 << 20, &number);
        proof->frames = number;
        return good;
    case 's':
        good = tool_number(value, 0, INT64_MAX, &number);
        proof->seed = (uint64_t)number;
        return good;
    case 'P': return read_preprocessing(value, arguments);
    case 'g': arguments->reference = value; return true;
    case 'D': arguments->dump = value; return true;
    case 'R': arguments->page = value; return true;
    case 'p': arguments->plot = value; return true;
    case 'r': arguments->recipe = value; return true;
    case 't': return tool_fraction(value, &proof->tolerance);
    case 'I':
        if (arguments->image_count == MOST_IMAGES)
            return false;
        arguments->images[arguments->image_count++] = value;
        return true;
    case 'e': return i3d_engine_named(value, &proof->engine);
    default: return tool_image_size(value, &proof->height, &proof->width);
    }
}

/* Options that say what to do and take no value, or may. False for any other. */
static bool read_flag(int option, const char *value, struct arguments *arguments)
{
    struct i3d_proof_options *proof = &arguments->proof;
    switch (option) {
    case 'j': arguments->json = true; return true;
    case 'q': arguments->quiet = true; return true;
    case 'h': arguments->help = true; return true;
    case 'A': proof->audit_only = true; return true;
    case 'd': proof->deployed = true; return true;
    case 'a': proof->deployed = proof->motion = true; return true;
    case 'm':
        proof->motion = true;
        arguments->video = value;
        return true;
    default: return false;
    }
}

/* One network against a file, or two against each other. */
static int settle_files(int argc, char **argv, struct arguments *arguments)
{
    const struct i3d_proof_options *proof = &arguments->proof;
    bool proves = proof->audit_only || proof->deployed || proof->shortest || arguments->recipe
        || arguments->page || arguments->plot;
    arguments->flat = arguments->inflated = NULL;
    if (arguments->reference || arguments->dump) {
        if (arguments->reference && arguments->dump)
            return tool_usage("verify", "--against and --dump are two runs");
        if (argc - optind != 1)
            return tool_usage("verify", "--against and --dump are for one model");
        if (proves || (arguments->image_count != 0) + (arguments->video != NULL) > 1
            || arguments->image_count > 1 || (proof->motion && !arguments->video))
            return tool_usage("verify", "--against and --dump take one input and prove nothing "
                                        "else");
        arguments->inflated = argv[optind];
        return I3D_OK;
    }
    if (argc - optind != 2)
        return tool_usage("verify", "a 2D and a 3D model are needed");
    arguments->flat = argv[optind];
    arguments->inflated = argv[optind + 1];
    if (!strcmp(arguments->flat, "-") && !strcmp(arguments->inflated, "-"))
        return tool_usage("verify", "only one of the two can be standard input");
    const char *suffix = arguments->plot ? strrchr(arguments->plot, '.') : NULL;
    if (arguments->plot && strcmp(arguments->plot, "-")
        && (!suffix || (strcasecmp(suffix, ".png") && strcasecmp(suffix, ".svg"))))
        return tool_usage("verify", "--plot writes what the file's name ends in: .svg or .png");
    if (proof->audit_only && (proof->deployed || proof->motion || arguments->image_count))
        return tool_usage("verify", "--audit runs nothing");
    return I3D_OK;
}

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "audit", no_argument, NULL, 'A' },
        { "recipe", required_argument, NULL, 'r' },
        { "as-deployed", no_argument, NULL, 'd' },
        { "motion", optional_argument, NULL, 'm' },
        { "all", no_argument, NULL, 'a' },
        { "frames", required_argument, NULL, 'f' },
        { "input-shape", required_argument, NULL, 'i' },
        { "image", required_argument, NULL, 'I' },
        { "seed", required_argument, NULL, 's' },
        { "tolerance", required_argument, NULL, 't' },
        { "engine", required_argument, NULL, 'e' },
        { "preprocessing", required_argument, NULL, 'P' },
        { "against", required_argument, NULL, 'g' },
        { "dump", required_argument, NULL, 'D' },
        { "json", no_argument, NULL, 'j' },
        { "report", required_argument, NULL, 'R' },
        { "plot", required_argument, NULL, 'p' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, place = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "qh", options, &place)) != -1) {
        if (option == '?')
            return tool_usage("verify", "wrong option %s", argv[optind - 1]);
        if (read_flag(option, optarg, arguments))
            continue;
        if (!read_option(option, optarg, arguments))
            return tool_usage("verify", "--%s does not take %s", options[place].name, optarg);
    }
    return arguments->help ? I3D_OK : settle_files(argc, argv, arguments);
}

static void print(const struct i3d_proof *proof, const struct arguments *arguments)
{
    if (!arguments->quiet) {
        verify_print_table(proof);
        verify_print_verdicts(proof);
    }
    verify_print_last(proof);
}

/* Proves with the arrays that files hold. */
static enum i3d_status prove(const struct arguments *arguments, const struct i3d_model *flat,
                             const struct i3d_model *inflated, struct i3d_proof *proof,
                             struct i3d_error *error)
{
    struct i3d_proof_options options = arguments->proof;
    struct i3d_array images[MOST_IMAGES] = { 0 }, video = { 0 };
    struct i3d_recipe *recipe = NULL;
    struct i3d_shape shape;
    enum i3d_status status =
        arguments->recipe ? tool_recipe(arguments->recipe, &recipe, error) : I3D_OK;
    options.recipe = recipe;
    if (!status && arguments->image_count)
        status = i3d_proof_image(flat, inflated, &options, &shape, error);
    for (size_t k = 0; k < arguments->image_count && !status; k++)
        status = array_load_image(arguments->images[k], arguments->preprocessing, flat, &shape,
                                  &images[k], error);
    if (!status && arguments->video)
        status = array_load_input(arguments->video, NULL, inflated, 0, &video, error);
    options.images = images;
    options.image_count = arguments->image_count;
    options.video = arguments->video ? &video : NULL;
    if (arguments->video && !options.frames && !status && video.rank == 5)
        options.frames = video.dims[inflated->time_axis == 1 ? 1 : 2];
    if (!status)
        status = i3d_prove(flat, inflated, &options, proof, error);
    for (size_t k = 0; k < arguments->image_count; k++)
        i3d_array_free(&images[k]);
    i3d_array_free(&video);
    i3d_recipe_free(recipe);
    return status;
}

/* Weights of networks that are not known are audited by name. */
static enum i3d_status prove_models(const struct arguments *arguments, struct i3d_model **flat,
                                    struct i3d_model **inflated, struct i3d_proof *proof,
                                    struct i3d_error *error)
{
    bool weights = !(*flat)->node_count && !(*inflated)->node_count;
    enum i3d_status status = tool_bind(inflated, NULL, error);
    if (!status)
        status = tool_bind(flat, NULL, error);
    if (status == I3D_UNSUPPORTED && weights && arguments->proof.audit_only && !arguments->recipe
        && !(*flat)->node_count && !(*inflated)->node_count)
        return i3d_prove_weights(*flat, *inflated, proof, error);
    return status ? status : prove(arguments, *flat, *inflated, proof, error);
}

static enum i3d_status report(const struct arguments *arguments, const struct i3d_proof *proof,
                              struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    if (arguments->json)
        status = verify_print_json(proof, error);
    else
        print(proof, arguments);
    if (!status && arguments->page)
        status = verify_write_page(proof, arguments->flat, arguments->inflated, arguments->page,
                                   error);
    if (!status && arguments->plot)
        status = verify_write_plot(proof, arguments->plot, error);
    return status || proof->good ? status : I3D_DIFFERS;
}

static enum i3d_status verify_files(const struct arguments *arguments, struct i3d_error *error)
{
    struct i3d_model *flat = NULL, *inflated = NULL;
    struct i3d_proof proof = { .first_bad = -1 };
    enum i3d_status status = i3d_read_model(arguments->flat, &flat, error);
    if (!status)
        status = i3d_read_model(arguments->inflated, &inflated, error);
    if (!status)
        status = prove_models(arguments, &flat, &inflated, &proof, error);
    if (!status)
        status = report(arguments, &proof, error);
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
    return status;
}

static enum i3d_status verify_one_file(const struct arguments *arguments, struct i3d_error *error)
{
    const struct verify_one one = {
        .model = arguments->inflated,
        .input = arguments->image_count ? arguments->images[0] : arguments->video,
        .preprocessing = arguments->preprocessing,
        .options = arguments->proof,
        .json = arguments->json,
        .quiet = arguments->quiet,
    };
    return arguments->dump ? verify_dump(&one, arguments->dump, error)
                           : verify_against(&one, arguments->reference, error);
}

int cmd_verify(int argc, char **argv)
{
    struct arguments arguments = { .proof = { .engine = I3D_ENGINE_DIRECT, .tolerance = -1 } };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    enum i3d_status status = arguments.flat ? verify_files(&arguments, &error)
                                            : verify_one_file(&arguments, &error);
    return status > I3D_DIFFERS ? tool_fail(&error) : tool_finish(status);
}
