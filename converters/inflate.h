/* 2D to 3D. */
#pragma once

#include "converters/channels.h"
#include "converters/recipe.h"

enum i3d_stream { I3D_RGB, I3D_FLOW };
enum i3d_temporal_padding { I3D_PAD_ZERO, I3D_PAD_EDGE };

struct i3d_inflate_options {
    const char *recipe;       /* name of a built-in one */
    const struct i3d_recipe *rules; /* a recipe to take instead, or null */
    enum i3d_init init;       /* where the recipe leaves it open */
    enum i3d_stream stream;
    int64_t in_channels;      /* 0: as in the 2D network, 2 for flow */
    enum i3d_channel_init channel_init; /* of the first kernel, where channels differ */
    int64_t frames;           /* clip size: fixes T for edge padding; 0: 64 */
    int64_t height, width;    /* where the 2D graph leaves them open; 0: 224 */
    bool resize;              /* height and width hold even where the 2D graph has others */
    enum i3d_temporal_padding temporal_padding;
};

/* A new 3D model, N×C×T×H×W, from a 2D graph; the 2D model may be freed after.
 * Kernels become lazy views of the 2D file: repeated in time and divided by
 * their temporal size (arXiv 1705.07750, section 3). The value names of the
 * 2D graph are kept. I3D_UNSUPPORTED names the node that cannot be inflated and
 * why. metadata records the program's version, the recipe and the options under
 * "i3dconv.". */
enum i3d_status i3d_inflate(const struct i3d_model *model,
                            const struct i3d_inflate_options *options,
                            struct i3d_model **inflated, struct i3d_error *error);

/* Notes in the result's metadata what it was made by. False when memory is short. */
bool i3d_note_inflation(struct i3d_model *to, const struct i3d_recipe *recipe,
                        const struct i3d_inflate_options *options);

/* Turns Constant and ConstantOfShape nodes whose value is known, and Identity
 * of a tensor, into tensors of the model, so that every weight is an
 * initializer, as exporters other than these would write it. */
enum i3d_status i3d_resolve_constants(struct i3d_model *model, struct i3d_error *error);
