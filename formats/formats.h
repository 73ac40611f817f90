/* Containers: reading and writing models. Adding a container touches its own
 * file and the table in formats.c. */
#pragma once

#include "model/model.h"

/* The bytes that recognition sees. */
enum { I3D_HEAD_SIZE = 4096, I3D_TAIL_SIZE = 64 };

struct i3d_output;

struct i3d_format {
    const char *name;     /* "hdf5", as --to takes it */
    const char *title;    /* "HDF5"; empty for a way to write what another format reads */
    const char *suffixes; /* ".h5 .hdf5": recognised on output */
    bool to_pipe;         /* can be written front to back */
    bool holds_graph;     /* a model's nodes can be written */
    bool may_hold_graph; /* they can too, but a network that a dialect names is written as
                            the dialect's weights unless the user chooses */
    bool needs_graph;     /* a model without nodes cannot be written */
    bool has_companions;  /* more than one file is written */
    /* Whether a file of size bytes that starts with head is one of these. */
    bool (*recognise)(const unsigned char *head, size_t head_length, uint64_t size);
    /* The same by the last I3D_TAIL_SIZE bytes, or null; asked first. */
    bool (*recognise_end)(const unsigned char *tail, size_t tail_length, uint64_t size);
    /* Fills an empty model (container and path are set by the caller). The
     * sources it makes retain the file. */
    enum i3d_status (*read)(struct i3d_file *file, struct i3d_model *model,
                            struct i3d_error *error);
    /* Null: the format is only read. */
    enum i3d_status (*write)(const struct i3d_model *model, struct i3d_output *output,
                             struct i3d_error *error);
};

/* The table, ended by an entry without a name. */
extern const struct i3d_format i3d_formats[];

/* The format of that name, or null. */
const struct i3d_format *i3d_format_by_name(const char *name);
/* The format that a path's suffix names, or null. */
const struct i3d_format *i3d_format_by_suffix(const char *path);

/* Opens path ("-": standard input, spooled to an unlinked temporary file),
 * recognises its format by content, reads and checks the model. A TensorFlow
 * checkpoint may be named by its prefix or its folder; other directories and
 * files of no known format are I3D_MALFORMED; a file that is not there or
 * cannot be read is I3D_SYSTEM. */
enum i3d_status i3d_read_model(const char *path, struct i3d_model **model,
                               struct i3d_error *error);
/* The same; digest, of I3D_DIGEST_SIZE characters, gets the file's SHA-256. */
enum i3d_status i3d_read_model_digest(const char *path, struct i3d_model **model, char *digest,
                                      struct i3d_error *error);

/* Writes the model to path ("-": standard output) in the format (null: by the
 * path's suffix; safetensors for "-"). Nothing is left behind on failure and
 * what stood at path before is kept. I3D_USAGE if no format can be told, if it
 * cannot be written to a pipe, or if path is the file that the model was read
 * from or draws from. */
enum i3d_status i3d_write_model(const struct i3d_model *model, const char *path,
                                const struct i3d_format *format, struct i3d_error *error);
