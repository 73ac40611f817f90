#include "zoo/product.h"

#include "converters/inflate.h"
#include "formats/output.h"
#include "model/digest.h"
#include "verify/proof.h"
#include "zoo/filters.h"
#include "zoo/manifest_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A product's paths, and what its key is. */
struct making {
    const struct i3d_manifest *manifest;
    const struct i3d_product *product;
    const struct i3d_product_options *options;
    char *source;    /* absolute path of the entry's file */
    char *result, *sidecar, *unverified;
    struct i3d_zoo_identity identity; /* of the source */
    char key[I3D_DIGEST_SIZE];
};

static void end(struct making *making)
{
    i3d_identity_free(&making->identity);
    free(making->source);
    free(making->result);
    free(making->sidecar);
    free(making->unverified);
}

static enum i3d_status make_key(struct making *making, struct i3d_error *error)
{
    const struct i3d_product *product = making->product;
    const struct i3d_product_options *options = making->options;
    char *text;
    int length = asprintf(&text, "i3dconv product 1\nprogram %s\nsource %s\nrecipe %s\nstream %s\n"
                                 "container %s\ndialect %s\nproof %lld %lld %lld\n",
                          PACKAGE_VERSION, making->identity.sha256, product->recipe,
                          product->stream, product->format->name,
                          product->dialect ? product->dialect->name : "",
                          (long long)options->frames, (long long)options->height,
                          (long long)options->width);
    if (length < 0)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_digest_bytes(text, (size_t)length, making->key, error);
    free(text);
    return status;
}

static enum i3d_status name_files(const struct i3d_manifest *manifest,
                                  const struct i3d_product *product,
                                  const struct i3d_product_options *options,
                                  struct making *making, struct i3d_error *error)
{
    *making = (struct making){ .manifest = manifest, .product = product, .options = options };
    const char *slash = strchr(product->name, '/');
    if (asprintf(&making->result, "%s/%s", options->folder, product->name) < 0)
        making->result = NULL;
    if (asprintf(&making->sidecar, "%s/%s.json", options->folder, product->name) < 0)
        making->sidecar = NULL;
    if (asprintf(&making->unverified, "%s/%s/.unverified-%ld-%s", options->folder,
                 product->entry->name, (long)getpid(), slash + 1) < 0)
        making->unverified = NULL;
    return making->result && making->sidecar && making->unverified ? I3D_OK
                                                                   : i3d_fail_memory(error);
}

/* Finds the source and hashes it. */
static enum i3d_status find_source(struct making *making, struct i3d_error *error)
{
    enum i3d_status status = i3d_manifest_locate(making->manifest, making->product->entry,
                                                 &making->source, error);
    if (!status)
        status = i3d_identify_bytes(making->source, &making->identity, error);
    return status ? status : make_key(making, error);
}

/* The sidecar, or null where there is none that can be read. */
static json_t *load_sidecar(const char *path)
{
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json) && json_object_get(json, "i3dconv_product"))
        return json;
    json_decref(json);
    return NULL;
}

static bool has_text(const json_t *object, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && !strcmp(text, value);
}

/* What the sidecar says of a product that is there, and the sidecar, which is the caller's;
 * null where one of them is not there, is not of this product or does not pass. */
static json_t *read_state(const struct making *making, struct i3d_product_state *state)
{
    struct stat file;
    json_t *sidecar = load_sidecar(making->sidecar);
    const char *sha256 = json_string_value(json_object_get(sidecar, "sha256"));
    bool good = sha256 && strlen(sha256) == sizeof state->sha256 - 1
        && has_text(sidecar, "name", making->product->name)
        && has_text(sidecar, "verdict", "PASS") && !stat(making->result, &file)
        && S_ISREG(file.st_mode)
        && json_integer_value(json_object_get(sidecar, "bytes")) == file.st_size;
    if (!good) {
        json_decref(sidecar);
        return NULL;
    }
    *state = (struct i3d_product_state){
        .bytes = (uint64_t)file.st_size,
        .worst = json_number_value(json_object_get(sidecar, "worst_relative_error")),
        .seconds = json_number_value(json_object_get(sidecar, "seconds")),
        .layers = json_integer_value(json_object_get(sidecar, "layers")),
    };
    memcpy(state->sha256, sha256, sizeof state->sha256);
    return sidecar;
}

bool i3d_product_read(const struct i3d_manifest *manifest, const struct i3d_product *product,
                      const struct i3d_product_options *options, struct i3d_product_state *state)
{
    struct making making;
    json_t *sidecar = NULL;
    if (!name_files(manifest, product, options, &making, NULL))
        sidecar = read_state(&making, state);
    bool is_there = sidecar != NULL;
    json_decref(sidecar);
    end(&making);
    return is_there;
}

bool i3d_product_is_done(const struct i3d_manifest *manifest, const struct i3d_product *product,
                         const struct i3d_product_options *options,
                         struct i3d_product_state *state)
{
    struct making making;
    struct i3d_zoo_identity result = { .classes = -1 };
    struct i3d_error ignored;
    json_t *sidecar = NULL;
    if (!name_files(manifest, product, options, &making, &ignored))
        sidecar = read_state(&making, state);
    bool done = sidecar && !find_source(&making, &ignored)
        && has_text(sidecar, "key", making.key)
        && !i3d_identify_bytes(making.result, &result, &ignored)
        && !strcmp(state->sha256, result.sha256);
    i3d_identity_free(&result);
    json_decref(sidecar);
    end(&making);
    return done;
}

enum i3d_status i3d_product_origin(const char *path, json_t **json, struct i3d_error *error)
{
    char *sidecar;
    struct i3d_zoo_identity product = { .classes = -1 };
    *json = NULL;
    if (asprintf(&sidecar, "%s.json", path) < 0)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_identify_bytes(path, &product, error);
    if (!status && !(*json = load_sidecar(sidecar))) {
        status = i3d_fail(error, I3D_USAGE, "it is no product of a zoo: there is no sidecar");
        i3d_error_file(error, path);
    }
    if (!status)
        json_object_set_new(*json, "intact", json_boolean(has_text(*json, "sha256",
                                                                   product.sha256)));
    i3d_identity_free(&product);
    free(sidecar);
    return status;
}

static enum i3d_status read_graph(const char *path, const struct i3d_dialect *dialect,
                                  struct i3d_model **graph, struct i3d_error *error)
{
    struct i3d_model *model;
    *graph = NULL;
    enum i3d_status status = i3d_read_model(path, &model, error);
    if (status)
        return status;
    if (model->node_count) {
        *graph = model;
        return I3D_OK;
    }
    status = i3d_zoo_bind(model, dialect, graph, error);
    i3d_model_free(model);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

/* Inflates the graph and writes it, in the dialect if one is asked for. */
static enum i3d_status write_inflated(const struct making *making, const struct i3d_model *flat,
                                      struct i3d_error *error)
{
    const struct i3d_product *product = making->product;
    struct i3d_inflate_options options = {
        .recipe = product->recipe,
        .stream = strcmp(product->stream, "flow") ? I3D_RGB : I3D_FLOW,
        .height = making->options->height,
        .width = making->options->width,
    };
    struct i3d_model *inflated = NULL, *renamed = NULL;
    enum i3d_status status = i3d_inflate(flat, &options, &inflated, error);
    const struct i3d_dialect *dialect = product->dialect;
    if (!status && !dialect && !product->format->holds_graph) {
        dialect = i3d_dialect_by_name("keras-i3d");
        if (!dialect)
            status = i3d_fail_memory(error);
    }
    if (!status && dialect)
        status = i3d_zoo_unbind(inflated, dialect, &renamed, error);
    struct i3d_model *written = renamed ? renamed : inflated;
    if (!status && !i3d_set_metadata(written, "i3dconv.source_sha256", making->identity.sha256))
        status = i3d_fail_memory(error);
    if (!status)
        status = i3d_write_model(written, making->unverified, product->format, error);
    i3d_model_free(renamed);
    i3d_model_free(inflated);
    return status;
}

/* Why a proof fails, into text. */
static void tell_why(const struct i3d_proof *proof, char *text, size_t size)
{
    const struct i3d_layer_verdict *bad =
        proof->first_bad >= 0 ? &proof->layers[proof->first_bad] : NULL;
    const char *part = *proof->obstacle ? proof->obstacle : "not every output has its twin";
    if (bad && !bad->audit_good && *bad->audit_note)
        snprintf(text, size, "%s: %s", bad->name, bad->audit_note);
    else if (bad && bad->judged && !bad->good)
        snprintf(text, size,
                 "%s: its error is %.1e of the largest activation, at frame %lld; %.1e passes",
                 bad->name, bad->max_relative, (long long)bad->worst_frame, bad->tolerance);
    else if (bad && bad->alone.judged && !bad->alone.good)
        snprintf(text, size, "%s: alone its error is %.1e of the largest activation; rounding "
                             "makes %.1e at most", bad->name, bad->alone.max_relative, bad->bound);
    else if (bad)
        snprintf(text, size, "%s: it was not compared", bad->name);
    else
        snprintf(text, size, "the pairing: %s", part);
}

/* Reads back what was written, and proves it. */
static enum i3d_status verify(const struct making *making, const struct i3d_model *flat,
                              struct i3d_product_state *state, struct i3d_error *error)
{
    struct i3d_model *written;
    struct i3d_proof proof = { .first_bad = -1 };
    struct i3d_proof_options options = {
        .frames = making->options->frames,
        .height = making->options->height,
        .width = making->options->width,
        .tolerance = -1,
        .threads = making->options->threads,
    };
    enum i3d_status status = read_graph(making->unverified, making->product->dialect, &written,
                                        error);
    if (!status)
        status = i3d_prove(flat, written, &options, &proof, error);
    for (size_t i = 0; i < proof.layer_count; i++)
        if (proof.layers[i].max_relative > state->worst)
            state->worst = proof.layers[i].max_relative;
    state->layers = (int64_t)proof.layer_count;
    if (!status && !proof.good) {
        char why[400];
        tell_why(&proof, why, sizeof why);
        status = i3d_fail(error, I3D_DIFFERS, "the proof fails first at %s", why);
    }
    i3d_proof_free(&proof);
    i3d_model_free(written);
    return status;
}

static enum i3d_status write_sidecar(const struct making *making,
                                     const struct i3d_product_state *state,
                                     struct i3d_error *error)
{
    const struct i3d_product *product = making->product;
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:{s:s, s:s, s:I}, s:s, s:s, s:s, s:s*, s:s, s:s, s:I, s:s, s:f, s:I, "
        "s:f}",
        "i3dconv_product", 1, "name", product->name, "key", making->key, "source", "path",
        product->entry->path, "sha256", making->identity.sha256, "bytes",
        (json_int_t)making->identity.bytes, "recipe", product->recipe, "stream", product->stream,
        "container", product->format->name, "dialect",
        product->dialect ? product->dialect->name : NULL, "program", "i3dconv " PACKAGE_VERSION,
        "sha256", state->sha256, "bytes", (json_int_t)state->bytes, "verdict", "PASS",
        "worst_relative_error", state->worst, "layers", (json_int_t)state->layers, "seconds",
        state->seconds);
    if (!json)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_write_json(json, making->sidecar, error);
    json_decref(json);
    return status;
}

static enum i3d_status make_folder(const char *path, struct i3d_error *error)
{
    if (!mkdir(path, 0777) || errno == EEXIST)
        return I3D_OK;
    i3d_fail_errno(error, "cannot make the folder");
    return i3d_error_file(error, path);
}

static enum i3d_status make_folders(const struct making *making, struct i3d_error *error)
{
    enum i3d_status status = make_folder(making->options->folder, error);
    char *slash = strrchr(making->result, '/');
    *slash = 0;
    if (!status)
        status = make_folder(making->result, error);
    *slash = '/';
    return status;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static enum i3d_status check_source(const struct making *making, struct i3d_error *error)
{
    const char *said = making->product->entry->sha256;
    if (!said || !strcmp(said, making->identity.sha256))
        return I3D_OK;
    i3d_fail(error, I3D_DIFFERS, "its SHA-256 is %s, not %s", making->identity.sha256, said);
    return i3d_error_file(error, making->product->entry->path);
}

/* A picture of the first layer's filters, for the catalogue. A network that has
 * none goes without. */
static enum i3d_status write_picture(const struct making *making, struct i3d_error *error)
{
    struct i3d_model *model;
    unsigned char *png = NULL;
    size_t length = 0;
    char *path = NULL;
    enum i3d_status status = read_graph(making->unverified, making->product->dialect, &model,
                                        error);
    if (!status)
        status = i3d_draw_filters(model, &png, &length, error);
    i3d_model_free(model);
    if (status == I3D_UNSUPPORTED)
        return I3D_OK;
    if (!status && asprintf(&path, "%s.png", making->result) < 0)
        status = i3d_fail_memory(error);
    if (!status)
        status = i3d_output_put(path, png, length, error);
    free(path);
    free(png);
    return status;
}

/* The rename makes the product appear; writing the sidecar syncs their folder. */
static enum i3d_status publish(const struct making *making, struct i3d_product_state *state,
                               struct i3d_error *error)
{
    struct i3d_zoo_identity result;
    enum i3d_status status = i3d_identify_bytes(making->unverified, &result, error);
    state->bytes = result.bytes;
    memcpy(state->sha256, result.sha256, sizeof state->sha256);
    i3d_identity_free(&result);
    if (!status && unlink(making->sidecar) && errno != ENOENT)
        status = i3d_fail_errno(error, "cannot remove the sidecar of what stood here");
    if (!status && rename(making->unverified, making->result))
        status = i3d_fail_errno(error, "cannot rename the product");
    if (!status)
        status = write_sidecar(making, state, error);
    return status ? i3d_error_file(error, making->result) : I3D_OK;
}

enum i3d_status i3d_product_make(const struct i3d_manifest *manifest,
                                 const struct i3d_product *product,
                                 const struct i3d_product_options *options,
                                 struct i3d_product_state *state, struct i3d_error *error)
{
    struct making making;
    struct i3d_model *flat = NULL;
    double start = now();
    *state = (struct i3d_product_state){ 0 };
    enum i3d_status status = name_files(manifest, product, options, &making, error);
    if (!status)
        status = find_source(&making, error);
    if (!status)
        status = check_source(&making, error);
    if (!status)
        status = make_folders(&making, error);
    if (!status)
        status = read_graph(making.source, NULL, &flat, error);
    if (!status)
        status = write_inflated(&making, flat, error);
    if (!status)
        status = verify(&making, flat, state, error);
    if (!status)
        status = write_picture(&making, error);
    state->seconds = now() - start;
    if (!status)
        status = publish(&making, state, error);
    if (status && making.unverified) {
        unlink(making.unverified);
        if (!strcmp(error->file, making.unverified)) /* the user knows it by its own name */
            snprintf(error->file, sizeof error->file, "%s", making.result);
    }
    i3d_model_free(flat);
    end(&making);
    return status;
}
