#include "tools/inspection.h"

#include <string.h>

static const char usage[] =
    "Usage: i3dconv inspect FILE [--stats] [--json]\n"
    "\n"
    "Says what FILE holds: container, architecture, naming dialect, graph, tensors.\n"
    "\n"
    "      --stats   minimum, maximum, mean and NaN count of every tensor (reads them all)\n"
    "      --json    as JSON\n"
    "  -h, --help    this text\n";

int cmd_inspect(int argc, char **argv)
{
    static const struct option options[] = {
        { "stats", no_argument, NULL, 's' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    bool stats = false, json = false;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 's': stats = true; break;
        case 'j': json = true; break;
        case 'h': return tool_help(usage);
        default: return tool_usage("inspect", "wrong option %s", argv[optind - 1]);
        }
    }
    if (argc - optind != 1)
        return tool_usage("inspect", "one file is needed");

    struct i3d_error error;
    struct i3d_model *model = NULL;
    struct inspection inspection = { 0 };
    enum i3d_status status = i3d_read_model(argv[optind], &model, &error);
    if (!status)
        status = inspect_model(model, stats, &inspection, &error);
    if (status)
        i3d_error_file(&error, argv[optind]);
    if (!status)
        status = json ? print_inspection_json(&inspection, &error)
                      : print_inspection(&inspection);
    free_inspection(&inspection);
    i3d_model_free(model);
    return status ? tool_fail(&error) : tool_finish(I3D_OK);
}
