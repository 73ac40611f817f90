#include "tools/tool.h"

#include "formats/output.h"
#include "zoo/filters.h"

#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "Usage: i3dconv filters MODEL -o OUT.png\n"
    "\n"
    "Draws the first layer's filters, one row for each time step.\n"
    "\n"
    "  -o, --output OUT   the PNG file to write; - is standard output\n"
    "  -h, --help         this text\n";

static enum i3d_status draw(const char *path, const char *out, struct i3d_error *error)
{
    struct i3d_model *model = NULL;
    unsigned char *png = NULL;
    size_t length = 0;
    enum i3d_status status = tool_read_graph(path, NULL, &model, error);
    if (!status)
        status = i3d_draw_filters(model, &png, &length, error);
    if (status)
        i3d_error_file(error, path);
    else
        status = i3d_output_put(out, png, length, error);
    free(png);
    i3d_model_free(model);
    return status;
}

int cmd_filters(int argc, char **argv)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const char *out = NULL;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (option) {
        case 'o': out = optarg; break;
        case 'h': return tool_help(usage);
        default: return tool_usage("filters", "wrong option %s", argv[optind - 1]);
        }
    }
    if (argc - optind != 1 || !out)
        return tool_usage("filters", "one model and -o OUT are needed");
    struct i3d_error error;
    return draw(argv[optind], out, &error) ? tool_fail(&error) : I3D_OK;
}
