/* Another classifier: the options that head and inflate share. */
#pragma once

#include "converters/classifier.h"

#include <getopt.h>

struct tool_head {
    long long classes; /* 0: as it is */
    enum i3d_classifier_init init;
    long long seed;
    const char *rows, *labels, *features;
    bool has_init, has_seed;
};

enum { TOOL_HEAD_CLASSES = 256, TOOL_HEAD_INIT, TOOL_HEAD_SEED, TOOL_HEAD_ROWS, TOOL_HEAD_LABELS,
       TOOL_HEAD_FEATURES };

#define TOOL_HEAD_OPTIONS                                             \
    { "num-classes", required_argument, NULL, TOOL_HEAD_CLASSES },    \
    { "head-init", required_argument, NULL, TOOL_HEAD_INIT },         \
    { "seed", required_argument, NULL, TOOL_HEAD_SEED },              \
    { "rows", required_argument, NULL, TOOL_HEAD_ROWS },              \
    { "labels", required_argument, NULL, TOOL_HEAD_LABELS },          \
    { "features", required_argument, NULL, TOOL_HEAD_FEATURES }

#define TOOL_HEAD_USAGE                                                                            \
    "      --num-classes K           a classifier of K classes\n"                                  \
    "      --head-init zeros|normal  what its weights are (default zeros); biases are 0\n"         \
    "      --seed N                  of normal weights, whose deviation is 0.01 (default 0)\n"     \
    "      --rows ROWS               the old classifier's rows: numbers from 0 on and ranges,\n"   \
    "                                such as 0-9,17; or, with --labels, a file of labels\n"        \
    "      --labels FILE             the old classes' names, a line each\n"                        \
    "      --features LAYER          no classifier: the output is this value or node\n"

/* Takes one of the options above; false if its value is wrong. */
bool tool_head_option(int option, const char *value, struct tool_head *head);
bool tool_head_wanted(const struct tool_head *head);
/* 0, or the exit code for options that do not go together. */
int tool_head_check(const char *command, const struct tool_head *head);
/* Replaces *model by one with that classifier. */
enum i3d_status tool_head_apply(const struct tool_head *head, struct i3d_model **model,
                                struct i3d_error *error);
