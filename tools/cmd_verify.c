#include "tools/tool.h"

#include "verify/proof.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const char usage[] =
    "Usage: i3dconv verify M2D M3D [OPTION]...\n"
    "\n"
    "Proves that the 3D network computes what the 2D one does: compares every kernel\n"
    "slice with the 2D kernel divided by N, then every layer's activations at every\n"
    "frame of a video of one repeated image, with edge padding in time.\n"
    "\n"
    "      --frames T        length of the video (default 64, or the clip that the file is for)\n"
    "      --input-shape H,W where the 2D file leaves them open (default 224,224)\n"
    "      --seed N          of the image (default 0)\n"
    "      --tolerance X     largest error relative to the layer's largest activation\n"
    "                        (default 1e-5)\n"
    "      --engine NAME     fast (default) or reference: how convolutions are computed\n"
    "      --json            the report as JSON\n"
    "  -q, --quiet           the last line only\n"
    "  -h, --help            this text\n";

struct arguments {
    struct i3d_proof_options proof;
    bool json, quiet, help;
    const char *flat, *inflated;
};

static bool read_option(int option, const char *value, struct arguments *arguments)
{
    struct i3d_proof_options *proof = &arguments->proof;
    long long number = 0;
    bool good = true;
    switch (option) {
    case 'f':
        good = tool_number(value, 1, 1 << 20, &number);
        proof->frames = number;
        return good;
    case 's':
        good = tool_number(value, 0, INT64_MAX, &number);
        proof->seed = (uint64_t)number;
        return good;
    case 't': return tool_fraction(value, &proof->tolerance);
    case 'e':
        proof->engine = strcmp(value, "fast") ? I3D_ENGINE_REFERENCE : I3D_ENGINE_FAST;
        return !strcmp(value, "fast") || !strcmp(value, "reference");
    default: return tool_image_size(value, &proof->height, &proof->width);
    }
}

static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        { "frames", required_argument, NULL, 'f' },
        { "input-shape", required_argument, NULL, 'i' },
        { "seed", required_argument, NULL, 's' },
        { "tolerance", required_argument, NULL, 't' },
        { "engine", required_argument, NULL, 'e' },
        { "json", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option, place = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "qh", options, &place)) != -1) {
        switch (option) {
        case '?': return tool_usage("verify", "wrong option %s", argv[optind - 1]);
        case 'j': arguments->json = true; break;
        case 'q': arguments->quiet = true; break;
        case 'h': arguments->help = true; return I3D_OK;
        default:
            if (!read_option(option, optarg, arguments))
                return tool_usage("verify", "--%s does not take %s", options[place].name, optarg);
        }
    }
    if (argc - optind != 2)
        return tool_usage("verify", "a 2D and a 3D model are needed");
    arguments->flat = argv[optind];
    arguments->inflated = argv[optind + 1];
    if (!strcmp(arguments->flat, "-") && !strcmp(arguments->inflated, "-"))
        return tool_usage("verify", "only one of the two can be standard input");
    return I3D_OK;
}

static void print_table(const struct i3d_proof *proof)
{
    printf("%-40s %-18s %-18s %-7s %9s %9s %5s  %s\n", "layer", "operator", "shape", "weights",
           "absolute", "relative", "frame", "verdict");
    for (size_t i = 0; i < proof->layer_count; i++) {
        const struct i3d_layer_verdict *layer = &proof->layers[i];
        char name[160], shape[64], note[4 * sizeof layer->audit_note];
        printf("%-40s %-18s %-18s %-7s %9.2e %9.2e %5lld  %s\n",
               i3d_printable(layer->name, name, sizeof name), layer->operation,
               i3d_shape_string(layer->rank, layer->dims, shape, sizeof shape),
               !layer->has_weights ? "-" : layer->audit_good ? "equal" : "DIFFER",
               layer->max_absolute, layer->max_relative, (long long)layer->worst_frame,
               layer->good && layer->audit_good ? "ok" : "FAIL");
        if (layer->audit_note[0])
            printf("    %s\n", i3d_printable(layer->audit_note, note, sizeof note));
    }
}

static void print_verdict(const struct i3d_proof *proof, const struct arguments *arguments)
{
    double worst = 0;
    size_t weighted = 0;
    char name[512];
    for (size_t i = 0; i < proof->layer_count; i++) {
        weighted += proof->layers[i].has_weights;
        if (proof->layers[i].max_relative > worst)
            worst = proof->layers[i].max_relative;
    }
    if (proof->good) {
        printf("PASS %zu layers agree at every frame, worst relative error %.1e (tolerance "
               "%.0e); weights of %zu layers audited\n",
               proof->layer_count, worst, arguments->proof.tolerance, weighted);
        return;
    }
    const struct i3d_layer_verdict *bad =
        proof->first_bad >= 0 ? &proof->layers[proof->first_bad] : NULL;
    const char *reason = bad && bad->audit_note[0] ? bad->audit_note : proof->obstacle;
    char printable[4 * sizeof proof->obstacle];
    i3d_printable(reason, printable, sizeof printable);
    if (!bad)
        printf("FAIL the networks cannot be paired to the end: %s\n", printable);
    else if (*reason)
        printf("FAIL first at %s: %s\n", i3d_printable(bad->name, name, sizeof name), printable);
    else
        printf("FAIL first at %s: relative error %.1e in frame %lld\n",
               i3d_printable(bad->name, name, sizeof name), bad->max_relative,
               (long long)bad->worst_frame);
}

/* JSON has no NaN and no infinity; null says that there is no number. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *layer_to_json(const struct i3d_layer_verdict *layer)
{
    json_t *shape = json_array();
    for (int k = 0; k < layer->rank; k++)
        json_array_append_new(shape, json_integer(layer->dims[k]));
    char name[512];
    json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:b, s:b, s:s}", "name",
                             i3d_printable(layer->name, name, sizeof name), "operator",
                             layer->operation, "shape", shape, "max_absolute",
                             number(layer->max_absolute), "max_relative",
                             number(layer->max_relative),
                             "worst_frame", (json_int_t)layer->worst_frame, "audited",
                             layer->has_weights, "good", layer->good && layer->audit_good, "note", layer->audit_note);
    return json;
}

static enum i3d_status print_json(const struct i3d_proof *proof,
                                  const struct arguments *arguments, struct i3d_error *error)
{
    json_t *layers = json_array();
    for (size_t i = 0; i < proof->layer_count; i++)
        json_array_append_new(layers, layer_to_json(&proof->layers[i]));
    json_t *first_bad = json_null();
    char name[512], obstacle[2 * sizeof proof->obstacle];
    if (proof->first_bad >= 0)
        first_bad = json_string(
            i3d_printable(proof->layers[proof->first_bad].name, name, sizeof name));
    json_t *json = json_pack("{s:b, s:o, s:f, s:I, s:I, s:s, s:o}", "pass", proof->good, "first_bad",
                             first_bad, "tolerance", arguments->proof.tolerance, "unpaired_2d",
                             (json_int_t)proof->unpaired_2d, "unpaired_3d",
                             (json_int_t)proof->unpaired_3d, "obstacle",
                             i3d_printable(proof->obstacle, obstacle, sizeof obstacle), "layers",
                             layers);
    if (!json)
        return i3d_fail_memory(error);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
    return I3D_OK;
}

static enum i3d_status verify_files(const struct arguments *arguments, struct i3d_error *error)
{
    struct i3d_model *flat = NULL, *inflated = NULL;
    struct i3d_proof proof = { .first_bad = -1 };
    enum i3d_status status = tool_read_graph(arguments->flat, NULL, &flat, error);
    if (!status)
        status = tool_read_graph(arguments->inflated, NULL, &inflated, error);
    if (!status)
        status = i3d_prove(flat, inflated, &arguments->proof, &proof, error);
    if (!status && arguments->json)
        status = print_json(&proof, arguments, error);
    if (!status && !arguments->json) {
        if (!arguments->quiet)
            print_table(&proof);
        print_verdict(&proof, arguments);
    }
    if (!status && !proof.good)
        status = I3D_DIFFERS;
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
    return status;
}

int cmd_verify(int argc, char **argv)
{
    struct arguments arguments = { .proof = { .tolerance = 1e-5 } };
    int wrong = read_arguments(argc, argv, &arguments);
    if (wrong)
        return wrong;
    if (arguments.help)
        return tool_help(usage);
    struct i3d_error error;
    enum i3d_status status = verify_files(&arguments, &error);
    return status > I3D_DIFFERS ? tool_fail(&error) : tool_finish(status);
}
