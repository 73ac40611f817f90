/* What the files of inflation share. */
#pragma once

#include "converters/inflate.h"
#include "converters/temporal.h"

/* A value of the 2D graph on its way into 3D. */
struct flow {
    /* The 3D value has its time axis here, ahead of what was the 2D axis of
     * that number; -1: it has none, and is what it was in 2D. */
    int time;
    bool single; /* the time axis has one element: a global pool is behind */
    const char *name; /* in the 3D graph; null: the same */
};

/* The classifier at the end of an Inception-V1, for recipes with head_frames.
 * Positions in the 2D graph's nodes, or -1. */
struct head {
    int64_t pool, classifier;
    bool *skipped; /* per node: reshapes between the two, which move behind */
};

struct inflater {
    const struct i3d_model *flat; /* 2D, constants resolved */
    const struct i3d_index *index;
    const struct i3d_shapes *shapes;
    const struct i3d_inflate_options *options;
    const struct i3d_recipe *recipe;
    struct i3d_model *to;
    struct flow *flows;       /* by i3d_index_value */
    bool *tensor_used;        /* by position in flat->tensors: copied as it is */
    struct head head;
    int max_pools_seen;
    int64_t opset;
};

/* The flow of a value; of "" and tensors: no time. */
struct flow *i3d_flow(const struct inflater *in, const char *value);
/* The tensor of the 2D graph by that name, or null. */
const struct i3d_tensor *i3d_flat_tensor(const struct inflater *in, const char *name);
/* The shape in 2D; rank -1 if not known. */
const struct i3d_shape *i3d_flat_shape(const struct inflater *in, const char *value);

/* The 3D input, with the clip length and what the 2D file leaves open filled in. */
struct i3d_shape i3d_clip_shape(const struct inflater *in);

/* Appends a copy of a 2D node with its inputs renamed as their flows say; marks
 * tensors among its inputs as used. Null: memory. */
struct i3d_node *i3d_emit_copy(struct inflater *in, const struct i3d_node *node);
/* Appends a node of the 3D graph's own; inputs and outputs end with null. */
struct i3d_node *i3d_emit(struct inflater *in, const char *op_type, const char *name,
                          const char *const *inputs, const char *const *outputs);
/* Appends a tensor of int64 values, rank 1. */
enum i3d_status i3d_emit_ints(struct inflater *in, const char *name, const int64_t *values,
                              int64_t count, struct i3d_error *error);
/* ReduceMean, Squeeze or Unsqueeze: the axes are an attribute or, from the
 * operator's version on, an input. */
enum i3d_status i3d_emit_axes(struct inflater *in, const char *op_type, const char *input,
                              const char *output, const int64_t *axes, int64_t count,
                              bool keepdims, struct i3d_error *error);
/* The axes of such a 2D node, normalised to 0 … rank-1. */
enum i3d_status i3d_read_axes(const struct inflater *in, const struct i3d_node *node, int rank,
                              int64_t axes[I3D_MAX_RANK], int *count, struct i3d_error *error);
/* Appends a tensor made from another one's bytes; name is copied, source's
 * reference taken over. source is null where `of` has none: an architecture
 * that no weights are bound to yet; null else is short memory. */
enum i3d_status i3d_put_derived(struct i3d_model *to, const char *name,
                                const struct i3d_tensor *of, int rank, const int64_t *dims,
                                struct i3d_source *source, struct i3d_error *error);
/* "a/b" in the arena. */
const char *i3d_join(struct inflater *in, const char *name, const char *suffix);

/* Refuses a node by name, I3D_UNSUPPORTED. */
enum i3d_status i3d_refuse(const struct i3d_node *node, struct i3d_error *error,
                           const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Inflates one node that reads at least one value with a time axis. */
enum i3d_status i3d_inflate_node(struct inflater *in, size_t position, struct i3d_error *error);

/* inflate_window.c: kernels and pools. */
enum i3d_status i3d_inflate_conv(struct inflater *in, size_t position, struct i3d_error *error);
enum i3d_status i3d_inflate_pool(struct inflater *in, size_t position, struct i3d_error *error);

/* head.c. Finds pool and classifier; head->pool stays -1 where there are none. */
enum i3d_status i3d_find_head(struct inflater *in, struct i3d_error *error);
void i3d_free_head(struct head *head);
enum i3d_status i3d_inflate_head_pool(struct inflater *in, const struct i3d_node *node,
                                      struct i3d_error *error);
enum i3d_status i3d_inflate_classifier(struct inflater *in, const struct i3d_node *node,
                                       struct i3d_error *error);

/* edge_padding.c: replaces zero padding in time by explicit edge Pad nodes for
 * the given input shape (N, C, T, H, W). */
enum i3d_status i3d_pad_time_with_edges(struct i3d_model *model, const struct i3d_shape *input,
                                        struct i3d_error *error);
