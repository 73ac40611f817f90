/* The commands that make products. */
#include "tools/zoo_commands.h"
#include "tools/zoo_view.h"
#include "zoo/catalogue.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char build_usage[] =
    "Usage: i3dconv zoo build MANIFEST --out DIR [OPTION]...\n"
    "\n"
    "Makes and verifies every product that the manifest asks for: entries by recipes,\n"
    "streams, containers and dialects. What is done already is kept.\n"
    "\n"
    "      --out DIR          where products go, a folder for each entry\n"
    "  -j, --jobs N           worker processes (default: one a core)\n"
    "      --only PATTERN     entries or ENTRY/PRODUCT that match this shell pattern\n"
    "  -k, --keep-going       go on after a failure\n"
    "  -f, --force            make again what is done\n"
    "  -n, --dry-run          tell what is to be made, make nothing\n"
    "      --print-commands   print one command for each product that is not done\n"
    "      --threads N        of each worker (default: the cores shared out)\n"
    "      --frames T         length of the proof's video (default: the network's)\n"
    "      --input-shape H,W  of its image, where the network leaves it open\n"
    "      --json             the table at the end as JSON\n"
    "  -q, --quiet            no progress\n"
    "  -h, --help             this text\n";

static const char make_usage[] =
    "Usage: i3dconv zoo make MANIFEST ENTRY/PRODUCT --out DIR [OPTION]...\n"
    "\n"
    "Makes and verifies one product of a build, whether it is done or not: what\n"
    "zoo build --print-commands prints. Options as there: --threads, --frames,\n"
    "--input-shape, and\n"
    "\n"
    "      --entry JSON       the entry as MANIFEST has it, so that it need not be read\n";

struct arguments {
    struct i3d_build_options build;
    const char *entry; /* of make: its JSON */
    bool print_commands, json, quiet, help;
};

static bool read_number(const char *text, long long most, long long *number)
{
    return tool_number(text, 1, most, number);
}

/* Options that take a value; false if the value is wrong. */
static bool read_value(int option, const char *value, struct arguments *arguments)
{
    struct i3d_build_options *build = &arguments->build;
    long long number = 0;
    switch (option) {
    case 'o': build->product.folder = value; return *value;
    case 'p': build->only = value; return true;
    case 'e': arguments->entry = value; return true;
    case 's':
        return tool_image_size(value, &build->product.height, &build->product.width);
    case 'j': return read_number(value, 4096, &number) && (build->workers = (int)number);
    case 't': return read_number(value, 4096, &number) && (build->product.threads = (int)number);
    default: return read_number(value, 1 << 20, &number) && (build->product.frames = number);
    }
}

static const char *name_of(const struct option *options, int value)
{
    while (options->name && options->val != value)
        options++;
    return options->name;
}

static int read_arguments(const char *command, int argc, char **argv,
                          struct arguments *arguments)
{
    static const struct option options[] = {
        { "out", required_argument, NULL, 'o' },
        { "jobs", required_argument, NULL, 'j' },
        { "only", required_argument, NULL, 'p' },
        { "threads", required_argument, NULL, 't' },
        { "frames", required_argument, NULL, 'T' },
        { "input-shape", required_argument, NULL, 's' },
        { "entry", required_argument, NULL, 'e' },
        { "keep-going", no_argument, NULL, 'k' },
        { "force", no_argument, NULL, 'f' },
        { "dry-run", no_argument, NULL, 'n' },
        { "print-commands", no_argument, NULL, 'c' },
        { "json", no_argument, NULL, 'J' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "j:kfnqh", options, NULL)) != -1) {
        switch (option) {
        case 'k': arguments->build.keep_going = true; break;
        case 'f': arguments->build.force = true; break;
        case 'n': arguments->build.dry_run = true; break;
        case 'c': arguments->print_commands = arguments->build.dry_run = true; break;
        case 'J': arguments->json = true; break;
        case 'q': arguments->quiet = true; break;
        case 'h': arguments->help = true; return I3D_OK;
        case '?': return tool_usage(command, "wrong option %s", argv[optind - 1]);
        default:
            if (!read_value(option, optarg, arguments))
                return tool_usage(command, "--%s does not take %s", name_of(options, option),
                                  optarg);
        }
    }
    if (!arguments->build.product.folder)
        return tool_usage(command, "--out is needed");
    return I3D_OK;
}

/* This program, for workers to run. */
static enum i3d_status find_program(char *path, size_t size, struct i3d_error *error)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length < 0)
        return i3d_fail_errno(error, "cannot find this program's file");
    path[length] = 0;
    return I3D_OK;
}

/* For a shell: in single quotes where it holds more than plain characters. */
static void print_quoted(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./,=:+@";
    if (*word && !word[strspn(word, plain)]) {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    }
    putchar('\'');
}

static enum i3d_status print_commands(const struct i3d_build *build, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < build->job_count && !status; i++) {
        char **arguments, *text;
        if (build->jobs[i].state != I3D_JOB_WAITING)
            continue;
        status = i3d_build_arguments(build, &build->jobs[i], false, &arguments, &text, error);
        if (status)
            break;
        fputs("i3dconv", stdout);
        for (char **word = arguments; *word; word++) {
            putchar(' ');
            print_quoted(*word);
        }
        putchar('\n');
        free(arguments);
        free(text);
    }
    return status;
}

static void print_table(const struct i3d_build *build)
{
    size_t counts[I3D_JOB_STATES] = { 0 };
    printf("%-56s %-7s %12s %9s %8s\n", "product", "state", "bytes", "error", "seconds");
    for (size_t i = 0; i < build->job_count; i++) {
        const struct i3d_job *job = &build->jobs[i];
        char reason[4 * sizeof job->reason];
        counts[job->state]++;
        printf("%-56s %-7s", job->product->name, zoo_job_word(job));
        if (job->state == I3D_JOB_MADE || job->state == I3D_JOB_KEPT)
            printf(" %12llu %9.1e %8.1f\n", (unsigned long long)job->result.bytes,
                   job->result.worst, job->result.seconds);
        else
            printf("%s%s\n", *job->reason ? " " : "",
                   i3d_printable(job->reason, reason, sizeof reason));
    }
    printf("%zu made, %zu kept, %zu failed, %zu not made\n", counts[I3D_JOB_MADE],
           counts[I3D_JOB_KEPT], counts[I3D_JOB_FAILED],
           counts[I3D_JOB_LEFT] + counts[I3D_JOB_WAITING]);
}

static json_t *job_to_json(const struct i3d_job *job)
{
    const struct i3d_product *product = job->product;
    char reason[4 * sizeof job->reason];
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "entry", product->entry->name,
                             "product", product->name, "recipe", product->recipe, "stream",
                             product->stream, "container", product->format->name, "state",
                             zoo_job_word(job));
    if (job->state == I3D_JOB_FAILED)
        json_object_set_new(json, "reason", json_string(i3d_printable(job->reason, reason,
                                                                      sizeof reason)));
    if (job->state != I3D_JOB_MADE && job->state != I3D_JOB_KEPT)
        return json;
    const struct i3d_product_state *result = &job->result;
    json_object_set_new(json, "bytes", json_integer((json_int_t)result->bytes));
    json_object_set_new(json, "sha256", json_string(result->sha256));
    json_object_set_new(json, "worst_relative_error", json_real(result->worst));
    json_object_set_new(json, "layers", json_integer(result->layers));
    json_object_set_new(json, "seconds", json_real(result->seconds));
    return json;
}

static void print_json(const struct i3d_build *build)
{
    json_t *list = json_array();
    for (size_t i = 0; i < build->job_count; i++)
        json_array_append_new(list, job_to_json(&build->jobs[i]));
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

static enum i3d_status run(struct i3d_build *build, const struct arguments *arguments,
                           struct i3d_error *error)
{
    struct zoo_view view = zoo_view_start();
    bool shows = !arguments->quiet && !build->options.dry_run;
    enum i3d_status status = i3d_build_run(build, shows ? zoo_view_update : NULL, &view, error);
    if (shows)
        zoo_view_end(&view);
    if (status > I3D_DIFFERS)
        return status;
    if (arguments->print_commands)
        return print_commands(build, error);
    if (arguments->json)
        print_json(build);
    else
        print_table(build);
    enum i3d_status written = I3D_OK;
    if (!build->options.dry_run)
        written = i3d_write_cards(build, error);
    if (!build->options.dry_run && !written)
        written = i3d_write_catalogue(build, error);
    return written ? written : status;
}

int zoo_build(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments("zoo build", argc, argv, &arguments);
    if (wrong || arguments.help)
        return wrong ? wrong : tool_help(build_usage);
    if (argc - optind != 1)
        return tool_usage("zoo build", "a manifest is needed");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct i3d_build_options *options = &arguments.build;
    if (!options->workers)
        options->workers = cores > 0 ? (int)cores : 1;
    if (!options->product.threads && !arguments.print_commands)
        options->product.threads = cores > options->workers ? (int)cores / options->workers : 1;
    struct i3d_error error;
    struct i3d_manifest *manifest = NULL;
    struct i3d_build *build = NULL;
    char program[4096];
    options->program = program;
    enum i3d_status status = find_program(program, sizeof program, &error);
    if (!status)
        status = i3d_manifest_read(argv[optind], NULL, &manifest, &error);
    if (!status)
        status = i3d_build_plan(manifest, options, &build, &error);
    if (!status)
        status = run(build, &arguments, &error);
    i3d_build_free(build);
    i3d_manifest_free(manifest);
    return status > I3D_DIFFERS ? tool_fail(&error) : tool_finish(status);
}

/* The product of that name among all that the manifest asks for. */
static enum i3d_status make(const struct i3d_manifest *manifest, const char *name,
                            const struct arguments *arguments, struct i3d_error *error)
{
    struct i3d_product *products;
    struct i3d_product_state state;
    size_t count, i = 0;
    enum i3d_status status = i3d_products_list(manifest, &products, &count, error);
    if (status)
        return status;
    while (i < count && strcmp(products[i].name, name))
        i++;
    if (i == count) {
        status = i3d_fail(error, I3D_USAGE, "the manifest asks for no product %s", name);
        i3d_error_file(error, manifest->path);
    } else {
        status = i3d_product_make(manifest, &products[i], &arguments->build.product, &state,
                                  error);
    }
    if (!status)
        printf("made %s (worst error %.1e, %.1f s)\n", name, state.worst, state.seconds);
    i3d_products_free(products, count);
    return status;
}

int zoo_make(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    int wrong = read_arguments("zoo make", argc, argv, &arguments);
    if (wrong || arguments.help)
        return wrong ? wrong : tool_help(make_usage);
    if (argc - optind != 2)
        return tool_usage("zoo make", "a manifest and a product are needed");
    struct i3d_error error;
    struct i3d_manifest *manifest;
    enum i3d_status status = i3d_manifest_read(argv[optind], arguments.entry, &manifest, &error);
    if (!status)
        status = make(manifest, argv[optind + 1], &arguments, &error);
    i3d_manifest_free(manifest);
    return status ? tool_fail(&error) : tool_finish(I3D_OK);
}
