/* What a recipe does to each layer, told without writing anything. */
#pragma once

#include "converters/inflate.h"

struct i3d_layer_account {
    const char *name, *op_type;
    const struct i3d_rule *rule; /* that gave the kernel, or else anything; null: as in space */
    int64_t kernel[3];           /* time, height, width */
    int64_t stride;              /* in time */
    int64_t parameters;          /* of its kernel and bias in 3D */
    /* With zero padding, for a clip of so many frames; -1 where that is not known. */
    int64_t frames_in, frames_out;
    int64_t field;               /* input frames that a frame depends on; 0: all */
    int64_t clean;               /* frames that no padding reaches */
};

struct i3d_explanation {
    struct i3d_arena *arena;
    struct i3d_layer_account *layers; /* malloc'ed */
    size_t count;
    int64_t parameters; /* of the whole 3D network */
};

/* Convolutions, transposed ones and pools, in the graph's order. inflated is what
 * i3d_inflate made of flat by options, with zero padding; frames: of the clip. */
enum i3d_status i3d_explain_graph(const struct i3d_model *flat, const struct i3d_model *inflated,
                                  const struct i3d_inflate_options *options, int64_t frames,
                                  struct i3d_explanation *explanation, struct i3d_error *error);
/* The same for weights without a graph, as i3d_inflate_weights made them; frames are not
 * known. */
enum i3d_status i3d_explain_weights(const struct i3d_model *flat,
                                    const struct i3d_model *inflated,
                                    const struct i3d_inflate_options *options,
                                    struct i3d_explanation *explanation,
                                    struct i3d_error *error);
/* Also after failure. */
void i3d_explanation_free(struct i3d_explanation *explanation);
