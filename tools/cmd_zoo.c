#include "tools/zoo_commands.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *title;
} commands[] = {
    { "synth", zoo_synth, "an architecture with synthetic weights" },
    { "init", zoo_init, "start a manifest" },
    { "add", zoo_add, "add a checkpoint to a manifest" },
    { "list", zoo_list, "the entries of a manifest" },
    { "search", zoo_search, "the entries that hold some words" },
    { "show", zoo_show, "all that is known of one entry" },
    { "check", zoo_check, "is every file there, whole, and what its entry says?" },
    { "build", zoo_build, "inflate and verify what a manifest asks for" },
    { "make", zoo_make, "one product of a build" },
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static int print_commands(void)
{
    puts("Usage: i3dconv zoo COMMAND [ARGUMENT]...\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].title);
    puts("\ni3dconv zoo COMMAND --help tells more.");
    return tool_finish(I3D_OK);
}

int cmd_zoo(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return print_commands();
    for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return tool_usage("zoo", argc > 1 ? "the zoo has no command %s" : "a command is needed",
                      argc > 1 ? argv[1] : "");
}
