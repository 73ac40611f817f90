/* The forward pass: runs a model in float32 (int64 and bool where ONNX has
 * them); tensors of other float types become float32, of other integers int64.
 * Weights are loaded when their node runs and let go after it; an activation is
 * freed as soon as its last reader is done. */
#pragma once

#include "model/model.h"

/* A tensor in memory, in C order. */
struct i3d_array {
    enum i3d_dtype dtype; /* I3D_FLOAT32, I3D_INT64 or I3D_BOOL */
    int rank;
    int64_t dims[I3D_MAX_RANK];
    void *data; /* malloc'ed, or null for no elements */
};

/* A zeroed array; its data is malloc'ed with 64-byte alignment. */
enum i3d_status i3d_array_new(enum i3d_dtype dtype, int rank, const int64_t *dims,
                              struct i3d_array *array, struct i3d_error *error);
void i3d_array_free(struct i3d_array *array);

enum i3d_time_padding {
    I3D_TIME_AS_DEPLOYED, /* what the file says */
    I3D_TIME_EDGE,        /* convolutions and pools see the first and last frame repeated where
                             the file pads time with zeros (or pools ignore the padding), in
                             the node's own pads or in a Pad node; so do transposed
                             convolutions beyond the clip's ends */
};

enum i3d_engine {
    I3D_ENGINE_FAST,      /* the algorithm that suits each convolution */
    I3D_ENGINE_REFERENCE, /* the plain one for all */
};

struct i3d_run_options {
    enum i3d_engine engine;
    enum i3d_time_padding time_padding; /* EDGE needs model->time_axis == 2 */
    int threads;                        /* 0: all cores */
};

/* Called for every value that a node computes, in order. */
typedef enum i3d_status i3d_observer(void *context, const struct i3d_node *node,
                                     const char *value, const struct i3d_array *array,
                                     struct i3d_error *error);

/* Runs the graph. inputs are in the order of model->inputs and stay the
 * caller's; their sizes need not be the declared ones. outputs
 * (model->output_count of them, or null) are filled and become the caller's.
 * observer may be null. I3D_UNSUPPORTED names the first
 * operator that the engine lacks, before anything is computed. */
enum i3d_status i3d_run(const struct i3d_model *model, const struct i3d_array *inputs,
                        const struct i3d_run_options *options, i3d_observer *observer,
                        void *observer_context, struct i3d_array *outputs,
                        struct i3d_error *error);

/* Whether the engine has the operator. */
bool i3d_engine_has(const struct i3d_node *node);
