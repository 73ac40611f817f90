/* The manifest of a model zoo: which checkpoints there are, what they are, where
 * they come from and what is to be made of them. A JSON file, described in
 * i3dconv-manifest(5); its folder is the zoo, and every path in it is meant
 * from there. Fields that this program does not know are kept. */
#pragma once

#include "zoo/labels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson's */

/* The value of "i3dconv_manifest". */
enum { I3D_MANIFEST_VERSION = 1 };

/* One checkpoint. Strings belong to the manifest and may be null where the field
 * is not there, but for name and path. Lists end with a null. */
struct i3d_zoo_entry {
    const char *name; /* letters, digits and ._- : products lie in a folder of that name */
    const char *path; /* as the manifest has it */
    const char *sha256, *container, *dialect, *architecture;
    const char *licence, *source, *paper, *labels;
    int64_t bytes, classes;     /* -1: not said */
    const char **recipes;       /* what to make: the product of these three lists; */
    const char **streams;       /* an empty one stands for one default */
    const char **containers;
    const char **dialects;
    const struct json_t *preprocessing;
    struct json_t *json; /* the entry as it stands */
};

struct i3d_manifest {
    char *path;   /* as it was given */
    char *folder; /* the zoo: an absolute path without links */
    struct i3d_zoo_entry *entries;
    size_t entry_count;
    struct json_t *json;
    void **lists; /* memory of the entries' lists */
    size_t list_count;
};

/* Reads and checks a manifest: types of fields, names (unique, fit to be a
 * folder's). I3D_MALFORMED names entry and field. Free with i3d_manifest_free.
 * Where entry is not null, it is the JSON of the only entry that is wanted, and the
 * file, which may be long, is not read. */
enum i3d_status i3d_manifest_read(const char *path, const char *entry,
                                  struct i3d_manifest **manifest, struct i3d_error *error);
void i3d_manifest_free(struct i3d_manifest *manifest);

/* Writes a manifest without entries. I3D_USAGE if there is a file already. */
enum i3d_status i3d_manifest_start(const char *path, const char *name, struct i3d_error *error);

/* The zoo's own name; "zoo" where it says none. */
const char *i3d_manifest_name(const struct i3d_manifest *manifest);

/* The entry of that name, or null. */
const struct i3d_zoo_entry *i3d_manifest_find(const struct i3d_manifest *manifest,
                                              const char *name);

/* Where an entry's file is: an absolute path, malloc'ed. I3D_MALFORMED if its
 * path has an empty, "." or ".." part or leads out of the zoo, by itself or by a
 * link; I3D_SYSTEM if nothing is there. */
enum i3d_status i3d_manifest_locate(const struct i3d_manifest *manifest,
                                    const struct i3d_zoo_entry *entry, char **path,
                                    struct i3d_error *error);

/* The names of its classes (entry->labels, not null): a list that is known, or a file of the
 * zoo, found as its checkpoint is. Free with i3d_labels_free, also on failure. */
enum i3d_status i3d_manifest_labels(const struct i3d_manifest *manifest,
                                    const struct i3d_zoo_entry *entry,
                                    struct i3d_labels *labels, struct i3d_error *error);

/* What the user says of a file that is added; null and empty where nothing. */
struct i3d_zoo_note {
    const char *name; /* null: from the file's name */
    const char *licence, *source, *paper;
    const char *labels; /* a list that is known, or a file in the zoo */
    const char *const *recipes, *const *streams, *const *containers, *const *dialects;
    struct json_t *preprocessing; /* the caller's; see i3dconv-manifest(5) */
};

/* Reads the file, which has to lie in the zoo, fills an entry with what it is and
 * writes the manifest; without labels it gets those that its number of classes tells,
 * see i3d_labels_for. *name is the entry's (malloc'ed). I3D_USAGE if the name is taken, the
 * file lies elsewhere or there are not as many labels as classes. */
enum i3d_status i3d_manifest_add(struct i3d_manifest *manifest, const char *file,
                                 const struct i3d_zoo_note *note, char **name,
                                 struct i3d_error *error);

/* Whether the entry's file is there, has the size and SHA-256 it should have,
 * opens and is what the entry says, with as many labels as classes. I3D_DIFFERS, or the status that reading it
 * gave, with the reason in error. */
enum i3d_status i3d_manifest_check(const struct i3d_manifest *manifest,
                                   const struct i3d_zoo_entry *entry, struct i3d_error *error);

/* Whether every one of count words occurs in one of the entry's texts, upper and
 * lower case alike. */
bool i3d_manifest_matches(const struct i3d_zoo_entry *entry, const char *const *words,
                          size_t count);
