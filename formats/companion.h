/* Files that a model's file names and that belong to it: ONNX's external data, shards.
 *
 * The names come from outside, so they reach no further than the model's own folder: what a
 * name leads to, links followed, has to lie in the folder of the model's path or in the
 * folder where the model itself lies once links are followed. (A Hugging Face cache is a
 * folder of links into its neighbour `blobs`, with the model and its data side by side in
 * both.) Absolute names and `..` are refused, and files with further names, since hard links
 * do not tell where else they are. */
#pragma once

#include "model/source.h"

struct i3d_companions;

/* Of the model at path; null: a model that has no name, and so no companions. Null when
 * memory is short. */
struct i3d_companions *i3d_companions_new(const char *path);
/* Opens the file that location, relative to the model's folder, names, or gives the one
 * opened before: borrowed until companions are freed (a source retains it). I3D_MALFORMED if
 * the name or what it leads to is refused, I3D_SYSTEM if it cannot be opened. */
enum i3d_status i3d_companions_open(struct i3d_companions *companions, const char *location,
                                    struct i3d_file **file, struct i3d_error *error);
void i3d_companions_free(struct i3d_companions *companions);
