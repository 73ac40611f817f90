/* What the commands share. Only tools/ prints and exits. */
#pragma once

#include "formats/formats.h"
#include "model/model.h"
#include "zoo/zoo.h"

#include <getopt.h>
#include <stdio.h>

/* Each command: argv[0] is its name; returns the exit code. */
int cmd_convert(int argc, char **argv);
int cmd_deflate(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_filters(int argc, char **argv);
int cmd_head(int argc, char **argv);
int cmd_inflate(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_zoo(int argc, char **argv);

/* Prints "i3dconv: …" on standard error and returns the exit code. */
int tool_fail(const struct i3d_error *error);
/* The same for wrong usage, with the command whose --help helps. */
int tool_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line on standard error that is no failure: a choice the user should know. */
void tool_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints usage text on standard output; 0, or 5 if it cannot be written. */
int tool_help(const char *usage);
/* Flushes standard output; status, or I3D_SYSTEM with a message if that fails. */
int tool_finish(int status);

/* A decimal number within bounds; false if text is none. */
bool tool_number(const char *text, long long low, long long high, long long *number);
/* A finite, non-negative decimal fraction. */
bool tool_fraction(const char *text, double *number);

/* Numbers of at least 1 with commas between; how many, or 0 if it is no such list of at
 * most so many. */
int tool_sizes(const char *text, int64_t *sizes, int most);
/* "H,W" or "N,C,H,W": the image size that --input-shape gives. */
bool tool_image_size(const char *text, int64_t *height, int64_t *width);

/* The format of --to, or of out's suffix ("-": safetensors). */
enum i3d_status tool_format(const char *out, const char *to, const struct i3d_format **format,
                            struct i3d_error *error);
/* Adds the tables of $I3DCONV_DIALECTS: folders with ":" between them. */
enum i3d_status tool_load_dialects(struct i3d_error *error);
/* The dialect of that name, or in that file (a name with a "/" or ending in .tsv);
 * null name: null. I3D_USAGE lists the known ones. */
enum i3d_status tool_dialect(const char *name, const struct i3d_dialect **dialect,
                             struct i3d_error *error);

/* The built-in recipe of that name, or the one in that file (a name with "/" or "."). */
struct i3d_recipe;
enum i3d_status tool_recipe(const char *name, struct i3d_recipe **recipe,
                            struct i3d_error *error);

/* Binds a model of weights without a graph to its architecture (dialect null: guessed),
 * in its place; it stays as it is on failure. */
enum i3d_status tool_bind(struct i3d_model **model, const struct i3d_dialect *dialect,
                          struct i3d_error *error);
/* Reads path and binds weights without a graph to their architecture (dialect
 * null: guessed). */
enum i3d_status tool_read_graph(const char *path, const struct i3d_dialect *dialect,
                                struct i3d_model **model, struct i3d_error *error);
/* What the container and the dialect, which may be null, make of the model: a
 * dialect, or a container that holds weights only, has it named anew, a container
 * that holds graphs has weights bound. *named, the caller's, is null where the model
 * stays as it is. changes null: nothing may change in what the network computes. */
enum i3d_status tool_name_anew(const struct i3d_model *model, const struct i3d_format *format,
                               const struct i3d_dialect *dialect,
                               struct i3d_zoo_changes *changes, struct i3d_model **named,
                               struct i3d_error *error);
/* Names the model anew and writes it. */
enum i3d_status tool_write(const struct i3d_model *model, const char *out,
                           const struct i3d_format *format, const struct i3d_dialect *dialect,
                           struct i3d_error *error);
