/* The commands that keep a manifest. */
#include "tools/zoo_commands.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char init_usage[] =
    "Usage: i3dconv zoo init MANIFEST [--name NAME]\n"
    "\n"
    "Starts a manifest; its folder becomes the zoo.\n";

static const char add_usage[] =
    "Usage: i3dconv zoo add MANIFEST FILE [OPTION]...\n"
    "\n"
    "Looks into a checkpoint of the zoo's folder and enters it in the manifest.\n"
    "\n"
    "      --name NAME           of the entry (default: the file's name)\n"
    "      --recipe NAME         a recipe to inflate it by; may be given again\n"
    "      --stream rgb|flow     a stream to make; may be given again\n"
    "      --container FORMAT    a container to write; may be given again\n"
    "      --dialect NAME        a dialect to write; may be given again\n"
    "      --labels LIST         names of its classes: imagenet-1k, kinetics-400, or a file\n"
    "      --licence TEXT        what its weights may be used for\n"
    "      --source URL          where it was fetched\n"
    "      --paper TEXT          where it is described\n"
    "      --preprocessing JSON  an object: size, channel_order, scale, mean, std\n"
    "  -h, --help                this text\n";

static const char list_usage[] =
    "Usage: i3dconv zoo list MANIFEST [--json]\n"
    "       i3dconv zoo search MANIFEST WORD... [--json]\n"
    "\n"
    "A line for each entry, or for those that hold every word.\n";

static const char show_usage[] =
    "Usage: i3dconv zoo show MANIFEST NAME [--json]\n"
    "       i3dconv zoo show PRODUCT [--json]\n"
    "\n"
    "All that the manifest says of an entry, or where a product comes from.\n";

static const char check_usage[] =
    "Usage: i3dconv zoo check MANIFEST [NAME]... [--json]\n"
    "\n"
    "Is each entry's file there, with the size and the SHA-256 it should have, and does\n"
    "it open as what the entry says it is? Exits 1 if one is not.\n";

int zoo_init(int argc, char **argv)
{
    static const struct option options[] = {
        { "name", required_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const char *name = "zoo";
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'n': name = optarg; break;
        case 'h': return tool_help(init_usage);
        default: return tool_usage("zoo init", "wrong option %s", argv[optind - 1]);
        }
    }
    if (argc - optind != 1)
        return tool_usage("zoo init", "the manifest's name is needed");
    struct i3d_error error;
    return i3d_manifest_start(argv[optind], name, &error) ? tool_fail(&error) : I3D_OK;
}

/* Options that may be given again, ended by a null. */
struct list {
    const char *items[65];
    size_t count;
};

static bool append(struct list *list, const char *item)
{
    if (list->count == sizeof list->items / sizeof list->items[0] - 1)
        return false;
    list->items[list->count++] = item;
    return true;
}

enum { RECIPE, STREAM, CONTAINER, DIALECT, LIST_COUNT };

static const char *const list_names[LIST_COUNT] = { "recipe", "stream", "container", "dialect" };

/* What a build will ask for is checked when it is entered, not when it is made. */
static enum i3d_status check_wishes(const struct list lists[LIST_COUNT], struct i3d_error *error)
{
    const struct i3d_dialect *dialect;
    for (size_t i = 0; i < lists[STREAM].count; i++)
        if (strcmp(lists[STREAM].items[i], "rgb") && strcmp(lists[STREAM].items[i], "flow"))
            return i3d_fail(error, I3D_USAGE, "there is no stream %s; the streams are rgb and flow",
                            lists[STREAM].items[i]);
    for (size_t i = 0; i < lists[CONTAINER].count; i++) {
        const struct i3d_format *format;
        enum i3d_status status = tool_format("", lists[CONTAINER].items[i], &format, error);
        if (status)
            return status;
    }
    for (size_t i = 0; i < lists[DIALECT].count; i++) {
        enum i3d_status status = tool_dialect(lists[DIALECT].items[i], &dialect, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

static int read_note(int argc, char **argv, struct i3d_zoo_note *note,
                     struct list lists[LIST_COUNT])
{
    enum { TEXT = 256 };
    static const struct option options[] = {
        { "recipe", required_argument, NULL, RECIPE },
        { "stream", required_argument, NULL, STREAM },
        { "container", required_argument, NULL, CONTAINER },
        { "dialect", required_argument, NULL, DIALECT },
        { "name", required_argument, NULL, TEXT },
        { "labels", required_argument, NULL, TEXT + 1 },
        { "licence", required_argument, NULL, TEXT + 2 },
        { "source", required_argument, NULL, TEXT + 3 },
        { "paper", required_argument, NULL, TEXT + 4 },
        { "preprocessing", required_argument, NULL, 'p' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const char **texts[] = { &note->name, &note->labels, &note->licence, &note->source,
                             &note->paper };
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h')
            return -1;
        if (option == '?')
            return tool_usage("zoo add", "wrong option %s", argv[optind - 1]);
        if (option == 'p') {
            note->preprocessing = json_loads(optarg, JSON_REJECT_DUPLICATES, NULL);
            if (!json_is_object(note->preprocessing))
                return tool_usage("zoo add", "--preprocessing takes a JSON object, not %s",
                                  optarg);
        } else if (option >= TEXT) {
            *texts[option - TEXT] = optarg;
        } else if (!append(&lists[option], optarg)) {
            return tool_usage("zoo add", "too many times --%s", list_names[option]);
        }
    }
    return argc - optind == 2 ? I3D_OK
                              : tool_usage("zoo add", "a manifest and a file are needed");
}

int zoo_add(int argc, char **argv)
{
    struct list lists[LIST_COUNT] = { 0 };
    struct i3d_zoo_note note = { 0 };
    int wrong = read_note(argc, argv, &note, lists);
    if (wrong < 0)
        return tool_help(add_usage);
    struct i3d_error error;
    struct i3d_manifest *manifest = NULL;
    char *name = NULL;
    enum i3d_status status = I3D_OK;
    if (!wrong)
        status = check_wishes(lists, &error);
    if (!wrong && !status)
        status = i3d_manifest_read(argv[optind], NULL, &manifest, &error);
    if (!wrong && !status) {
        note.recipes = lists[RECIPE].items;
        note.streams = lists[STREAM].items;
        note.containers = lists[CONTAINER].items;
        note.dialects = lists[DIALECT].items;
        status = i3d_manifest_add(manifest, argv[optind + 1], &note, &name, &error);
    }
    if (!wrong && !status)
        printf("added %s\n", name);
    json_decref(note.preprocessing);
    free(name);
    i3d_manifest_free(manifest);
    return wrong ? wrong : status ? tool_fail(&error) : tool_finish(I3D_OK);
}

/* --json and the operands behind it; -1: --help. */
static int read_options(const char *command, int argc, char **argv, bool *json)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'j': *json = true; break;
        case 'h': return -1;
        default: return tool_usage(command, "wrong option %s", argv[optind - 1]);
        }
    }
    return I3D_OK;
}

static const char *or_dash(const char *text, char *buffer, size_t size)
{
    return text ? i3d_printable(text, buffer, size) : "-";
}

static void print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
}

/* The entries that hold every word. */
static void print_entries(const struct i3d_manifest *manifest, const char *const *words,
                          size_t count, bool as_json)
{
    json_t *found = json_array();
    char container[64], architecture[64], dialect[64];
    if (!as_json)
        printf("%-32s %-14s %-26s %-24s %7s %12s\n", "name", "container", "architecture",
               "dialect", "classes", "bytes");
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const struct i3d_zoo_entry *entry = &manifest->entries[i];
        if (!i3d_manifest_matches(entry, words, count))
            continue;
        json_array_append(found, entry->json);
        if (as_json)
            continue;
        char classes[24] = "-", bytes[24] = "-";
        if (entry->classes >= 0)
            snprintf(classes, sizeof classes, "%lld", (long long)entry->classes);
        if (entry->bytes >= 0)
            snprintf(bytes, sizeof bytes, "%lld", (long long)entry->bytes);
        printf("%-32s %-14s %-26s %-24s %7s %12s\n", entry->name,
               or_dash(entry->container, container, sizeof container),
               or_dash(entry->architecture, architecture, sizeof architecture),
               or_dash(entry->dialect, dialect, sizeof dialect), classes, bytes);
    }
    if (as_json)
        print_json(found);
    json_decref(found);
}

static int list_or_search(const char *command, int argc, char **argv, bool searches)
{
    bool json = false;
    int wrong = read_options(command, argc, argv, &json);
    if (wrong)
        return wrong < 0 ? tool_help(list_usage) : wrong;
    if (searches ? argc - optind < 2 : argc - optind != 1)
        return tool_usage(command, searches ? "a manifest and words are needed"
                                            : "a manifest is needed");
    struct i3d_error error;
    struct i3d_manifest *manifest;
    if (i3d_manifest_read(argv[optind], NULL, &manifest, &error))
        return tool_fail(&error);
    print_entries(manifest, (const char *const *)argv + optind + 1, (size_t)(argc - optind - 1),
                  json);
    i3d_manifest_free(manifest);
    return tool_finish(I3D_OK);
}

int zoo_list(int argc, char **argv)
{
    return list_or_search("zoo list", argc, argv, false);
}

int zoo_search(int argc, char **argv)
{
    return list_or_search("zoo search", argc, argv, true);
}

static void print_value(const char *key, const json_t *value)
{
    char *text = json_is_string(value) ? strdup(json_string_value(value))
                                       : json_dumps(value, JSON_ENCODE_ANY);
    char printable[2048];
    if (text)
        printf("%-20s %s\n", key, i3d_printable(text, printable, sizeof printable));
    free(text);
}

static enum i3d_status find(const struct i3d_manifest *manifest, const char *name,
                            const struct i3d_zoo_entry **entry, struct i3d_error *error)
{
    *entry = i3d_manifest_find(manifest, name);
    if (*entry)
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "there is no entry %s", name);
    return i3d_error_file(error, manifest->path);
}

static void print_object(json_t *object, bool as_json)
{
    const char *key;
    json_t *value;
    if (as_json)
        print_json(object);
    else
        json_object_foreach(object, key, value)
            print_value(key, value);
}

static enum i3d_status show_entry(const char *path, const char *name, bool as_json,
                                  struct i3d_error *error)
{
    struct i3d_manifest *manifest;
    const struct i3d_zoo_entry *entry;
    enum i3d_status status = i3d_manifest_read(path, NULL, &manifest, error);
    if (!status)
        status = find(manifest, name, &entry, error);
    if (!status)
        print_object(entry->json, as_json);
    i3d_manifest_free(manifest);
    return status;
}

/* I3D_DIFFERS if the product has changed since it was verified. */
static enum i3d_status show_product(const char *path, bool as_json, struct i3d_error *error)
{
    json_t *origin;
    enum i3d_status status = i3d_product_origin(path, &origin, error);
    if (status)
        return status;
    print_object(origin, as_json);
    if (!json_is_true(json_object_get(origin, "intact"))) {
        status = i3d_fail(error, I3D_DIFFERS, "it has changed since it was verified");
        i3d_error_file(error, path);
    }
    json_decref(origin);
    return status;
}

int zoo_show(int argc, char **argv)
{
    bool json = false;
    int wrong = read_options("zoo show", argc, argv, &json);
    if (wrong)
        return wrong < 0 ? tool_help(show_usage) : wrong;
    struct i3d_error error;
    int count = argc - optind;
    if (count != 1 && count != 2)
        return tool_usage("zoo show", "a manifest and a name, or a product, are needed");
    enum i3d_status status = count == 2
        ? show_entry(argv[optind], argv[optind + 1], json, &error)
        : show_product(argv[optind], json, &error);
    return status ? tool_fail(&error) : tool_finish(I3D_OK);
}

/* Prints one entry's line, or appends its verdict to list; whether it is good. */
static bool check_entry(const struct i3d_manifest *manifest, const struct i3d_zoo_entry *entry,
                        json_t *list)
{
    struct i3d_error error;
    char line[4 * sizeof error] = "";
    bool good = !i3d_manifest_check(manifest, entry, &error);
    if (!good) {
        error.where[0] = error.file[0] = 0; /* the line names the entry */
        i3d_error_format(&error, line, sizeof line);
    }
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "name", entry->name, "good", good,
                                              "reason", line));
    else
        printf("%-32s %s%s\n", entry->name, good ? "ok" : "BAD ", line);
    return good;
}

int zoo_check(int argc, char **argv)
{
    bool json = false;
    int wrong = read_options("zoo check", argc, argv, &json);
    if (wrong)
        return wrong < 0 ? tool_help(check_usage) : wrong;
    if (argc == optind)
        return tool_usage("zoo check", "a manifest is needed");
    struct i3d_error error;
    struct i3d_manifest *manifest;
    enum i3d_status status = i3d_manifest_read(argv[optind], NULL, &manifest, &error);
    if (status)
        return tool_fail(&error);
    size_t bad = 0, count = (size_t)(argc - optind - 1);
    json_t *list = json ? json_array() : NULL;
    for (size_t i = 0; i < (count ? count : manifest->entry_count) && !status; i++) {
        const struct i3d_zoo_entry *entry = &manifest->entries[i];
        if (count)
            status = find(manifest, argv[(size_t)optind + 1 + i], &entry, &error);
        if (!status)
            bad += !check_entry(manifest, entry, list);
    }
    if (!status && json)
        print_json(list);
    else if (!status)
        printf("%zu good, %zu bad\n", (count ? count : manifest->entry_count) - bad, bad);
    json_decref(list);
    i3d_manifest_free(manifest);
    return status ? tool_fail(&error) : tool_finish(bad ? I3D_DIFFERS : I3D_OK);
}
