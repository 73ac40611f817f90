/* What the files of inflation share. */
#pragma once

#include "converters/inflate.h"
#include "converters/kernel.h"
#include "converters/recipe.h"

/* A value of the 2D graph on its way into 3D.
 *
 * One rule carries all of inflation: where a 3D value has a time axis, each of its
 * frames stands for the 2D value, and the axis stays right ahead of the 2D axis that
 * it was put ahead of (height, at the input). So a 2D axis a is the 3D axis
 * a + (a ≥ time) wherever an operator names one. Numbers that the 2D graph computes
 * from shapes are known from its shape inference; they are written into the 3D graph
 * as 2D numbers, and the element for time is added where the number is used. */
struct flow {
    /* The 3D value has its time axis here, ahead of what was the 2D axis of
     * that number; -1: it has none, and is what it was in 2D. */
    int time;
    int spatial;  /* 2D axes from that one on that are height and width, or were merged of them */
    bool single;  /* the time axis has one element: a global pool is behind */
    bool numbers; /* it is computed from shapes, and not in the 3D graph unless something asks */
    /* The 2D value that was reshaped into this one across the time axis, which is now
     * part of the axis `time`: only statistics over that axis may come in between. */
    const char *merged_from;
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
    struct i3d_layer *layers; /* by position in flat->nodes */
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
/* The same, but input k is for the caller to set: a tensor there is not marked. */
struct i3d_node *i3d_emit_copy_but(struct inflater *in, const struct i3d_node *node, size_t k);
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
/* Notes that a 3D node reads a tensor of the 2D graph as it is. */
void i3d_mark_used(struct inflater *in, const char *tensor);
/* The name of a value's 3D twin. */
const char *i3d_emitted(const struct inflater *in, const char *value);
/* Numbers that a node's input holds in 2D, all of them known, at most I3D_MAX_RANK; or
 * those of the attribute that older versions have in its place. *count is -1 where
 * there is neither; I3D_UNSUPPORTED where they are computed from the image. */
enum i3d_status i3d_read_numbers(const struct inflater *in, const struct i3d_node *node,
                                 const char *attribute, size_t input, int64_t *numbers,
                                 int *count, struct i3d_error *error);
/* The mean over the time axis of node's input k, under a name of its own. *name is
 * the input's own where it has no time. */
enum i3d_status i3d_emit_mean_over_time(struct inflater *in, const struct i3d_node *node,
                                        size_t k, const char **name, struct i3d_error *error);
/* A Reshape to these sizes, written as a tensor (0: as in the input, -1: the rest). */
enum i3d_status i3d_emit_reshape(struct inflater *in, const char *input, const char *output,
                                 const int64_t *dims, int rank, struct i3d_error *error);

/* The axes of such a 2D node, normalised to 0 … rank-1. */
enum i3d_status i3d_read_axes(const struct inflater *in, const struct i3d_node *node, int rank,
                              int64_t axes[I3D_MAX_RANK], int *count, struct i3d_error *error);
/* "a/b" in the arena. */
const char *i3d_join(struct inflater *in, const char *name, const char *suffix);

/* Refuses a node by name, I3D_UNSUPPORTED. */
enum i3d_status i3d_refuse(const struct i3d_node *node, struct i3d_error *error,
                           const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether the operator's inputs behind the first are sizes or axes that its rule reads as
 * numbers. */
bool i3d_takes_numbers(const struct i3d_node *node);

/* Inflates one node that reads at least one value with a time axis. */
enum i3d_status i3d_inflate_node(struct inflater *in, size_t position, struct i3d_error *error);

/* The rules; each inflates one node of the operators in the table of inflate_rules.c. */
typedef enum i3d_status i3d_inflate_rule(struct inflater *in, size_t position,
                                         struct i3d_error *error);
/* inflate_axes.c: operators that name axes */
i3d_inflate_rule i3d_inflate_one_axis, i3d_inflate_gather, i3d_inflate_slice,
    i3d_inflate_transpose, i3d_inflate_squeeze, i3d_inflate_unsqueeze, i3d_inflate_layer_norm;
/* inflate_reduce.c */
i3d_inflate_rule i3d_inflate_reduce, i3d_inflate_global_norm;
/* inflate_reshape.c: sizes change, elements stay in order; and what repeats elements */
i3d_inflate_rule i3d_inflate_reshape, i3d_inflate_flatten, i3d_inflate_expand, i3d_inflate_tile;
/* Whether a node makes numbers in the shape of a value with time; and its 3D form. */
bool i3d_fills_like_video(const struct inflater *in, const struct i3d_node *flat);
enum i3d_status i3d_fill_like_video(struct inflater *in, const struct i3d_node *flat,
                                    struct i3d_error *error);
/* inflate_space.c: height and width change */
i3d_inflate_rule i3d_inflate_pad, i3d_inflate_folded;
/* inflate_resize.c */
i3d_inflate_rule i3d_inflate_resize;
/* Refuses what is no N×C×H×W image whose time axis stands ahead of H, or has unknown sizes. */
enum i3d_status i3d_need_image(const struct inflater *in, const struct i3d_node *flat,
                               struct i3d_error *error);
/* inflate_matrix.c */
i3d_inflate_rule i3d_inflate_matmul, i3d_inflate_gemm;

/* Whether the recipe treats time as space at a node that resamples: true where a
 * stride of two in space is one in time too. */
bool i3d_time_follows_space(const struct inflater *in, size_t position);

/* What the recipe gives a window of the 2D graph; kernel is its height and width. */
struct i3d_temporal i3d_choose_window(const struct inflater *in, size_t position,
                                      const int64_t kernel[2]);
/* Puts the pool behind a node that the recipe inserts there, if any. */
enum i3d_status i3d_insert_behind(struct inflater *in, size_t position, struct i3d_error *error);

/* inflate_window.c: kernels and pools. */
enum i3d_status i3d_inflate_conv(struct inflater *in, size_t position, struct i3d_error *error);
enum i3d_status i3d_inflate_pool(struct inflater *in, size_t position, struct i3d_error *error);
/* What a Conv, ConvTranspose or pool gets along time; false if its window is not known. */
bool i3d_temporal_of(const struct inflater *in, size_t position, struct i3d_temporal *time);

/* inflate_transpose.c */
i3d_inflate_rule i3d_inflate_conv_transpose;
/* Writes out the pads of ConvTranspose nodes that auto_pad or output_shape stand for. */
enum i3d_status i3d_settle_transposed_pads(struct i3d_model *flat, const struct i3d_shapes *shapes,
                                           struct i3d_error *error);

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
