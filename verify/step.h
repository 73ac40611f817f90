/* What a run computes one after the other: nodes, or a convolution and what
 * follows it as one; not installed. */
#pragma once

#include "verify/convolution.h"

struct i3d_step {
    const struct i3d_node *node; /* the operator */
    const struct i3d_node *last; /* whose outputs the step makes: node, or the last one fused */
    bool is_layer;               /* a Conv whose weight and bias are tensors of the model */
    /* Fused into a layer, in this order; null: not there. */
    const struct i3d_node *norm; /* BatchNormalization */
    const struct i3d_node *add;
    const char *residual;        /* the Add's other operand */
    const struct i3d_node *act;  /* the activation's (last) node */
    enum i3d_activation activation;
    float low, high, slope;
};

/* What a step reads: its node's inputs, then the residual. */
static inline size_t i3d_step_read_count(const struct i3d_step *step)
{
    return step->node->input_count + (step->residual != NULL);
}

static inline const char *i3d_step_read(const struct i3d_step *step, size_t k)
{
    return k < step->node->input_count ? step->node->inputs[k] : step->residual;
}

/* fuse.c: the model's nodes as steps in an order to run them; malloc'ed. keep, by the
 * index' numbers, says which values have to be made; fuse false: all of them.
 * shapes may be null. */
enum i3d_status i3d_fuse(const struct i3d_model *model, const struct i3d_index *index,
                         const struct i3d_shapes *shapes, const bool *keep, bool fuse,
                         struct i3d_step **steps, size_t *count, struct i3d_error *error);

/* Where a value lies in the memory planned for all. */
struct i3d_place {
    bool is_planned;
    size_t offset, bytes;
};

struct i3d_placement {
    struct i3d_place *places; /* by the index' numbers */
    size_t bytes;             /* of all */
};

/* placement.c: places for the values whose shapes are known, such that none is
 * overwritten while it is read. Values that change shape alone, or element by
 * element after their last reader, lie where their source does; what is joined by
 * Concat lies in the joined array from the start, where the axes ahead are of
 * length 1. What steps make and the graph outputs stays until the end. */
enum i3d_status i3d_place_values(const struct i3d_model *model, const struct i3d_index *index,
                                 const struct i3d_shapes *shapes, const struct i3d_step *steps,
                                 size_t count, struct i3d_placement *placement,
                                 struct i3d_error *error);
