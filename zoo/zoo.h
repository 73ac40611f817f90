/* Architectures and naming dialects: what turns a file of weights into a graph,
 * and a graph into the file that other code loads.
 *
 * An architecture's parameters have canonical names, <unit>/<role>: the unit as
 * in "Mixed_3b/Branch_1/Conv_0b_3x3", the role one of weight, bias, gamma, beta,
 * mean, variance. Layouts are ONNX's (OIHW, OITHW). */
#pragma once

#include "model/model.h"

struct i3d_architecture_options {
    int64_t classes;  /* 0: the architecture's own */
    int64_t channels; /* input channels; 0: 3 */
    bool gamma;       /* BatchNorms have a scale; otherwise ones are put in its place */
    double epsilon;   /* of BatchNorm; 0: the architecture's own */
};

struct i3d_architecture;
/* Builds the graph (opset 13) with tensors that have shapes but no source. */
typedef enum i3d_status i3d_build_function(const struct i3d_architecture *architecture,
                                           const struct i3d_architecture_options *options,
                                           struct i3d_model **model, struct i3d_error *error);

struct i3d_architecture {
    const char *name;  /* "inception_v1" */
    const char *title; /* one line for zoo synth --list */
    const char *dialect; /* the dialect zoo synth writes */
    const char *family; /* what architectures share that differ in their windows alone */
    i3d_build_function *build;
    const void *table; /* what build builds by */
};

/* inception_v1 (TF-Slim: BatchNorm, SAME padding), inception_v1_torchvision
 * (BatchNorm, explicit pads), inception_v1_bvlc (biases, LRN, 5×5, as the ONNX
 * model zoo has it); ResNets, VGGs, DenseNet-121, MobileNetV2 and SqueezeNet 1.1 as
 * torchvision has them, and *_keras where keras.applications computes otherwise. Ended
 * by an entry without a name. */
extern const struct i3d_architecture i3d_architectures[];
const struct i3d_architecture *i3d_architecture_by_name(const char *name);
/* Whether its layers have BatchNorms behind them. */
bool i3d_architecture_is_normed(const struct i3d_architecture *architecture);

/* One parameter of a dialect; the shape is the dialect's own layout, with the
 * class count and input channels of its reference file. Rank 0: the shape that
 * the architecture gives it. */
struct i3d_dialect_entry {
    const char *unit, *role, *name;
    int rank;
    int64_t dims[I3D_MAX_RANK];
    bool is_matrix, is_depthwise; /* what the architecture makes of a kernel */
    int64_t map; /* height and width of the map that a matrix reads flattened; 0: none */
};

/* A statement that loads a file of that container; see i3d_dialect_load_text. */
struct i3d_dialect_loader {
    const char *container, *statement;
};

struct i3d_dialect {
    const char *name;         /* "keras-i3d" */
    const char *architecture; /* name of the 2D architecture */
    const char *recipe;       /* what inflates it to the codebase's 3D network */
    const struct i3d_dialect *sibling; /* the same table's dialect of the next architecture,
                                          or null */
    const char *first, *classifier; /* units: the one that reads the input, the last one */
    int spatial_axes;         /* 2 or 3 */
    const char *layout;       /* of kernels: "OIHW", "HWIO", "DHWIO", "OIDHW" */
    const char *depthwise;    /* of depthwise kernels; null: as the others */
    double epsilon;           /* of BatchNorm; 0: there is none */
    const char *prefix;       /* start of names that files may lack or replace, or null */
    const char *flow_prefix;  /* what a flow stream has in its place, or null */
    const char *counter;      /* last part of the name of the batch counter that stands
                                 beside every BatchNorm mean, or null */
    const char *key;          /* under which a PyTorch file holds the state_dict, or null */
    const char *model;        /* how the codebase's code makes the network, or null */
    struct i3d_dialect_loader *loaders;
    size_t loader_count;
    const char **ignored;     /* shell patterns of names that hold no parameter */
    size_t ignored_count;
    struct i3d_dialect_entry *entries;
    size_t entry_count;
};

/* Adds a user's tables ahead of the others: a file, or every *.tsv of a folder.
 * Their format is described in i3dconv-formats(7). added, which may be null, gets
 * the first dialect of the last table. I3D_MALFORMED names file and line. Not while
 * another thread uses dialects. */
enum i3d_status i3d_dialects_add(const char *path, const struct i3d_dialect **added,
                                 struct i3d_error *error);

/* All dialects, the user's first, in no other order; dialects of one table for
 * several architectures stand one after the other. Null behind the last one; null
 * for the array when memory is short. */
const struct i3d_dialect *const *i3d_dialects(void);
/* The first of that name, or null; see sibling. */
const struct i3d_dialect *i3d_dialect_by_name(const char *name);

/* What a user types to load a file of that container that was written in the
 * dialect: how the network is made with its arguments, then a statement; or null
 * where the codebase cannot read the container or memory is short. The caller's,
 * to be freed. */
char *i3d_dialect_load_text(const struct i3d_dialect *dialect, const char *container,
                            const char *file, int64_t classes, int64_t channels);

/* How well a set of tensors fits a dialect. */
struct i3d_dialect_fit {
    const struct i3d_dialect *dialect;
    size_t matched, missing, unexpected, misshapen;
    size_t exact; /* of matched: under the dialect's very name */
    int64_t classes, channels; /* taken from the file */
};
/* The fit of weights to dialect. */
enum i3d_status i3d_dialect_measure(const struct i3d_dialect *dialect,
                                    const struct i3d_model *weights,
                                    struct i3d_dialect_fit *fit, struct i3d_error *error);

/* Binds a weights-only model to its architecture: the graph, 2D or 3D, with the
 * weights transposed into ONNX's layouts. dialect null: guessed; of its siblings
 * the nearest is taken. metadata
 * "i3dconv.dialect", "i3dconv.architecture" and "i3dconv.stream" are set. A file
 * that fits none is I3D_UNSUPPORTED; the message names the nearest dialect and
 * the first missing and unexpected tensors. A model that already has nodes
 * is copied. */
enum i3d_status i3d_zoo_bind(const struct i3d_model *weights, const struct i3d_dialect *dialect,
                             struct i3d_model **bound, struct i3d_error *error);

/* What a dialect changes in a network that it fits only nearly, a line each. */
struct i3d_zoo_changes {
    char **lines;
    size_t count;
};
void i3d_zoo_changes_free(struct i3d_zoo_changes *changes);

/* The other way: a weights-only model in the dialect's names and layouts, from
 * any graph that is recognised as the dialect's architecture (2D or i3d, by its
 * structure, whatever the names). Biases without BatchNorm become beta (mean 0,
 * variance 1 − ε), gammas and other epsilons are folded exactly where the
 * dialect lacks them. Of the dialect's siblings that of the graph's architecture
 * is taken. I3D_UNSUPPORTED names the unit that does not fit. */
enum i3d_status i3d_zoo_unbind(const struct i3d_model *model, const struct i3d_dialect *dialect,
                               struct i3d_model **weights, struct i3d_error *error);
/* The same, but where the dialect's code pads otherwise, which shifts or cuts what
 * its windows see, that is noted in changes instead of refused. The caller frees
 * changes, also on failure. */
enum i3d_status i3d_zoo_unbind_nearly(const struct i3d_model *model,
                                      const struct i3d_dialect *dialect,
                                      struct i3d_zoo_changes *changes,
                                      struct i3d_model **weights, struct i3d_error *error);

/* What a graph is, by structure alone: node names and weights do not matter. */
struct i3d_recognition {
    const struct i3d_architecture *architecture; /* null: none we know */
    bool is_3d;
    int64_t classes, channels;
    bool batch_norm; /* BatchNormalization nodes are there (false: folded, or never were) */
    /* For each node of the model: the unit it belongs to, or null. malloc'ed. */
    const char **units;
};
enum i3d_status i3d_zoo_recognise(const struct i3d_model *model,
                                  struct i3d_recognition *recognition, struct i3d_error *error);
void i3d_recognition_free(struct i3d_recognition *recognition);

/* Seeded weights for an architecture, the same bytes on every machine: kernels
 * with He's variance 2 / fan-in, BatchNorm statistics near what training gives.
 * Nothing but integer arithmetic and correctly rounded operations makes them.
 * The result is a weights-only model in the dialect (null: the architecture's own). */
enum i3d_status i3d_zoo_synth(const struct i3d_architecture *architecture,
                              const struct i3d_architecture_options *options, uint64_t seed,
                              const struct i3d_dialect *dialect, struct i3d_model **weights,
                              struct i3d_error *error);
