/* Recipes: which temporal window a 2D window gets. */
#pragma once

#include "model/shape.h"

/* What a convolution or pool gets along time. */
struct i3d_temporal {
    int64_t kernel, stride, dilation;
    int64_t pad_begin, pad_end; /* without auto_pad */
};

struct i3d_recipe {
    const char *name;
    const char *title;
    /* That many max pools at the start of the graph leave time alone: kernel 1,
     * stride 1 (arXiv 1705.07750, section 2.4: 1×3×3 pools after the first
     * layers). */
    int frozen_max_pools;
    /* The average pool at the end spans this many frames, then the classifier
     * works frame by frame and its logits are averaged over time; 0: time is
     * averaged with height and width. */
    int head_frames;
};

extern const struct i3d_recipe i3d_recipes[]; /* ended by one without a name */
const struct i3d_recipe *i3d_recipe_by_name(const char *name);

/* The isotropic window: along time as along the axis with the larger kernel
 * (height, if they are equal), its stride, dilation and pads likewise. kernel
 * holds height and width. */
void i3d_isotropic_window(const struct i3d_node *node, const int64_t kernel[2],
                          struct i3d_temporal *temporal);
