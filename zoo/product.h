/* The products of a zoo: an entry of the manifest, inflated by one recipe for one
 * stream and written to one container, verified, with a sidecar that says how.
 *
 * Products lie in FOLDER/ENTRY/RECIPE-STREAM[.DIALECT].SUFFIX, the sidecar beside
 * them under the same name and ".json". A product appears whole and verified or
 * not at all, its sidecar after it. The sidecar holds a key, the SHA-256 of all
 * that the product depends on: source, recipe, options, program version. A
 * product with the right key and the bytes that its sidecar tells is done,
 * wherever and by whomever it was made. */
#pragma once

#include "formats/formats.h"
#include "zoo/manifest.h"
#include "zoo/zoo.h"

struct i3d_product {
    const struct i3d_zoo_entry *entry;
    const char *recipe;
    const char *stream; /* "rgb" or "flow" */
    const struct i3d_format *format;
    const struct i3d_dialect *dialect; /* or null */
    char *name; /* "ENTRY/i3d-rgb.onnx" */
};

/* Every product that the manifest asks for, in its order; malloc'ed, free with
 * i3d_products_free. An entry without recipes gets "i3d" for an Inception-V1,
 * "isotropic" for all else; without streams rgb; without containers onnx. With
 * dialects, containers of weights get one product a dialect, graphs one without.
 * I3D_MALFORMED for a container, stream or dialect that there is not. */
enum i3d_status i3d_products_list(const struct i3d_manifest *manifest,
                                  struct i3d_product **products, size_t *count,
                                  struct i3d_error *error);
void i3d_products_free(struct i3d_product *products, size_t count);

struct i3d_product_options {
    const char *folder;
    int64_t frames, height, width; /* of the proof; 0: the proof's own choice */
    int threads;                   /* 0: all cores */
};

/* What is known of a product; from its sidecar, or from making it. */
struct i3d_product_state {
    uint64_t bytes;
    char sha256[65];
    double worst;       /* relative error of the proof */
    double seconds;     /* to make and verify it */
    int64_t layers;     /* compared */
};

/* Whether the product is done: there, whole, verified and made from what its
 * source is now. Fills state if it is. What cannot be read is not done; making it
 * tells why. */
bool i3d_product_is_done(const struct i3d_manifest *manifest, const struct i3d_product *product,
                         const struct i3d_product_options *options,
                         struct i3d_product_state *state);

/* What the sidecar of a product says that has just been made; nothing is hashed. False if
 * one of the two is not there or they do not fit together. */
bool i3d_product_read(const struct i3d_manifest *manifest, const struct i3d_product *product,
                      const struct i3d_product_options *options,
                      struct i3d_product_state *state);

/* Where the product at path comes from: its sidecar, and in "intact" whether the
 * file still has the bytes that were verified. *json is the caller's.
 * I3D_USAGE if there is no sidecar beside it. */
enum i3d_status i3d_product_origin(const char *path, struct json_t **json,
                                   struct i3d_error *error);

/* Makes and verifies it. I3D_DIFFERS if the proof fails; nothing stays then. */
enum i3d_status i3d_product_make(const struct i3d_manifest *manifest,
                                 const struct i3d_product *product,
                                 const struct i3d_product_options *options,
                                 struct i3d_product_state *state, struct i3d_error *error);
