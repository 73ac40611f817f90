/* What the files of the manifest and of the zoo's builder share; not installed. */
#pragma once

#include "zoo/manifest.h"

#include <jansson.h>

/* Fills manifest->entries from manifest->json, anew. */
enum i3d_status i3d_manifest_take_entries(struct i3d_manifest *manifest, struct i3d_error *error);

/* Whether name can be an entry's and a folder's. */
bool i3d_is_zoo_name(const char *name);

/* How an absolute path without links goes on inside the folder; null: it lies elsewhere. */
const char *i3d_path_inside(const char *path, const char *folder);

/* Writes the text of json, indented, whole or not at all. */
enum i3d_status i3d_write_json(const json_t *json, const char *path, struct i3d_error *error);

/* What a file is. Strings are malloc'ed, or null: not known. */
struct i3d_zoo_identity {
    char sha256[65];
    uint64_t bytes;
    char *container, *dialect, *architecture;
    int64_t classes; /* -1: not known */
    bool is_3d;      /* where the architecture is known */
};
/* Starts an identity with the file's size and hash; then what can be read from it.
 * Free with i3d_identity_free, also on failure. */
enum i3d_status i3d_identify_bytes(const char *path, struct i3d_zoo_identity *identity,
                                   struct i3d_error *error);
enum i3d_status i3d_identify_model(const char *path, struct i3d_zoo_identity *identity,
                                   struct i3d_error *error);
void i3d_identity_free(struct i3d_zoo_identity *identity);
