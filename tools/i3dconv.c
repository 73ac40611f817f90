#include "tools/tool.h"

#include "formats/output.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VERSION_TEXT "i3dconv 0.1.0"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *title;
} commands[] = {
    { "convert", cmd_convert, "from container to container, from dialect to dialect" },
    { "deflate", cmd_deflate, "3D back to 2D" },
    { "diff", cmd_diff, "two models' tensors; how far a 3D network has moved from its 2D one" },
    { "filters", cmd_filters, "the first layer's filters as a picture" },
    { "head", cmd_head, "another classifier, or none" },
    { "inflate", cmd_inflate, "2D to 3D" },
    { "inspect", cmd_inspect, "what a file holds" },
    { "run", cmd_run, "the forward pass, on arrays" },
    { "verify", cmd_verify, "prove that a 3D network computes what the 2D one does" },
    { "zoo", cmd_zoo, "architectures and synthetic weights" },
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static int print_help(void)
{
    puts("Usage: i3dconv COMMAND [OPTION]... [FILE]...\n"
         "       i3dconv help [COMMAND]\n"
         "       i3dconv --version\n"
         "\n"
         "Turns trained 2D image networks into 3D video networks and proves that\n"
         "nothing was lost.\n"
         "\n"
         "Commands:");
    for (int i = 0; i < COMMAND_COUNT; i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].title);
    puts("\n"
         "FILE is HDF5 (Keras), ONNX, PyTorch, NumPy or safetensors, recognised by content;\n"
         "- is standard input or output. Exit codes: 0 success, 1 the check failed, 2 wrong\n"
         "usage, 3 malformed input, 4 not supported, 5 the system refused.");
    return tool_finish(I3D_OK);
}

static int find_command(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, name))
            return i;
    return -1;
}

static int unknown_command(const char *name)
{
    return tool_usage("", "there is no command %s", name);
}

/* Whether man knows the page: the program may run from where it was built. */
static bool has_page(const char *page)
{
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execlp("man", "man", "-w", "1", page, (char *)NULL);
        _exit(127);
    }
    int how = 1;
    return child > 0 && waitpid(child, &how, 0) == child && how == 0;
}

/* Opens the manual page; where there is none, the usage text has to do. */
static int help(int argc, char **argv)
{
    if (argc < 2)
        return print_help();
    if (argc > 2)
        return tool_usage("", "help takes one command");
    int command = find_command(argv[1]);
    if (command < 0)
        return unknown_command(argv[1]);
    char page[64];
    snprintf(page, sizeof page, "i3dconv-%s", argv[1]);
    if (has_page(page))
        execlp("man", "man", "1", page, (char *)NULL);
    char *ask[] = { argv[1], (char *)"--help", NULL };
    return commands[command].run(2, ask);
}

static void on_signal(int number)
{
    i3d_output_abandon_all_on_signal();
    raise(number); /* the default action, reset by SA_RESETHAND, ends the process */
}

/* A reader that goes away is an error of writing, not a death; the other
 * signals end the process, but leave no half-written file behind. */
static void set_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_IGN };
    sigaction(SIGPIPE, &action, NULL);
    static const int deadly[] = { SIGINT, SIGTERM, SIGHUP, SIGXFSZ };
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        struct sigaction before;
        sigaction(deadly[i], NULL, &before);
        if (deadly[i] == SIGXFSZ) /* EFBIG says it better */
            action = (struct sigaction){ .sa_handler = SIG_IGN };
        else
            action = (struct sigaction){ .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
        if (before.sa_handler != SIG_IGN) /* nohup stays in force */
            sigaction(deadly[i], &action, NULL);
    }
}

/* A standard stream that is closed would give its number to the first file that
 * is opened. It is opened the wrong way round instead, so that using it fails. */
static void fill_standard_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0)
            exit(I3D_SYSTEM);
}

/* Weights come and go by the megabyte, one tensor after the other: the heap keeps
 * their memory, where it would be mapped anew, and zeroed by the kernel, each time. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    keep_memory();
    set_signals();
    if (argc < 2) {
        print_help();
        return I3D_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--version")) {
        puts(VERSION_TEXT);
        return tool_finish(I3D_OK);
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        return print_help();
    if (!strcmp(name, "help"))
        return help(argc - 1, argv + 1);
    int command = find_command(name);
    if (command < 0)
        return unknown_command(name);
    struct i3d_error error;
    if (tool_load_dialects(&error))
        return tool_fail(&error);
    return commands[command].run(argc - 1, argv + 1);
}
