/* The names of a network's classes: lists inside the library (zoo/labels), NAME.txt in the
 * user's folders of dialects (i3d_dialects_add), and any other file, one name a line. */
#pragma once

#include "model/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct i3d_labels {
    char **names; /* in the order of the classes */
    size_t count;
    char *text; /* what they point into */
};

/* Whether a list of that name is known, so that it is not looked for among files. */
bool i3d_labels_known(const char *name);

/* Reads the list of that name, the user's before the library's, or else the file.
 * I3D_MALFORMED if it is no text. Free with i3d_labels_free, also on failure. */
enum i3d_status i3d_labels_read(const char *name, struct i3d_labels *labels,
                                struct i3d_error *error);
void i3d_labels_free(struct i3d_labels *labels);

/* The list that image networks (video networks: is_3d) with so many classes usually have:
 * imagenet-1k, kinetics-400, kinetics-600, ucf-101, hmdb-51. Null where there is none or it
 * is not known. */
const char *i3d_labels_for(bool is_3d, int64_t classes);
