/* The forward pass: runs a model in float32 (int64 and bool where ONNX has
 * them); tensors of other float types become float32, of other integers int64.
 * Activations share one piece of memory, planned from shapes and lifetimes. */
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
/* A tensor's elements: float32 for all floats, int64 for all integers, or bool. */
enum i3d_status i3d_array_load(const struct i3d_tensor *tensor, struct i3d_array *array,
                               struct i3d_error *error);

enum i3d_time_padding {
    I3D_TIME_AS_DEPLOYED, /* what the file says */
    I3D_TIME_EDGE,        /* convolutions and pools see the first and last frame repeated where
                             the file pads time with zeros (or pools ignore the padding), in
                             the node's own pads or in a Pad node; so do transposed
                             convolutions beyond the clip's ends */
};

enum i3d_engine {
    I3D_ENGINE_FAST,      /* the algorithm that suits each convolution */
    I3D_ENGINE_REFERENCE, /* the plain one for all, node by node */
    I3D_ENGINE_DIRECT,    /* sums of products as the definition has them, in fast kernels:
                             errors are those of plain float32 sums */
};

/* "fast", "direct" or "reference"; false: none of them. */
bool i3d_engine_named(const char *name, enum i3d_engine *engine);

struct i3d_run_options {
    enum i3d_engine engine;
    enum i3d_time_padding time_padding; /* EDGE needs model->time_axis == 2 */
    int threads;                        /* 0: all cores */
    bool factored; /* FAST: a kernel whose temporal slices are bit-identical is one 2D kernel
                      over sums of frames */
    /* What an observer is to see; null: every value. What nobody is to see may be
     * fused away: BatchNormalization, Add and activations into the convolution
     * ahead of them (not by REFERENCE). */
    const char *const *wanted;
    size_t wanted_count;
};

/* Called for every value that a node computes, or the wanted ones and maybe others,
 * in order. */
typedef enum i3d_status i3d_observer(void *context, const struct i3d_node *node,
                                     const char *value, const struct i3d_array *array,
                                     struct i3d_error *error);

/* A model made ready to run again and again: convolutions' weights are transformed
 * once, in the first run, and shapes and places in memory are kept as long as the
 * inputs' shapes are. One run at a time. */
struct i3d_session;

/* model, and what options point to, have to outlive the session. I3D_UNSUPPORTED
 * names the first operator that the engine lacks. */
enum i3d_status i3d_session_open(const struct i3d_model *model,
                                 const struct i3d_run_options *options,
                                 struct i3d_session **session, struct i3d_error *error);
void i3d_session_close(struct i3d_session *session);
/* As i3d_run. */
enum i3d_status i3d_session_run(struct i3d_session *session, const struct i3d_array *inputs,
                                i3d_observer *observer, void *observer_context,
                                struct i3d_array *outputs, struct i3d_error *error);

/* What a run spent on one step: a node and what was fused into it. */
struct i3d_step_time {
    const char *layer;      /* its node's name, or its output's */
    const char *operation;  /* op_types joined by + */
    const char *algorithm;  /* of a convolution; else "" */
    double seconds;         /* of the run alone, without what is done once */
    double multiply_adds;   /* of a convolution's definition, whatever the algorithm saves */
    int64_t bytes;          /* of the outputs */
};
/* Of the last run; the session's, until its next run. */
const struct i3d_step_time *i3d_session_times(const struct i3d_session *session, size_t *count);

/* The last run's wall-clock time without what is done once. */
double i3d_session_seconds(const struct i3d_session *session);
int i3d_session_threads(const struct i3d_session *session);
/* The instruction set of the innermost loops on this processor: plain, avx2, avx512. */
const char *i3d_kernel_set(void);

struct i3d_session_memory {
    size_t activations; /* planned, shared by all values whose shapes are known ahead */
    size_t weights;     /* transformed, all that are held at a time */
    size_t workspace;   /* of the algorithms */
    size_t process;     /* the largest resident set that the process has had */
};
struct i3d_session_memory i3d_session_memory(const struct i3d_session *session);

/* Runs the graph once, holding one node's weights at a time. inputs are in the order of model->inputs and stay the
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
