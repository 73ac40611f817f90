/* Which part of a graph can be computed window by window; not installed. */
#pragma once

#include "model/shape.h"
#include "verify/engine.h"

/* A value that has frames: element (p, t, q) is at (p·frames + t)·inner + q. */
struct i3d_flow {
    const char *value; /* null: not computed by windows */
    int axis, rank;    /* of time */
    int64_t dims[I3D_MAX_RANK];
    int64_t outer, frames, inner;
    bool collected; /* all its frames are kept: it is asked for, or the rest reads it */
};

/* How an operator's output frame t sees frames of its operands: t·stride - pad_begin +
 * k·dilation. One frame sees one where it is no convolution or pool over time. */
struct i3d_reach {
    int64_t kernel, stride, dilation, pad_begin;
};

struct i3d_stream_plan {
    struct i3d_index *index;
    struct i3d_shapes *shapes;
    struct i3d_flow *flows; /* by the index' numbers */
    size_t flow_count;
    bool *by_windows;      /* by node: it is computed by windows, and needed */
    struct i3d_model tail; /* the model with the nodes that are left for the end, whose inputs are
                              the values that are collected */
    struct i3d_node *nodes;   /* the tail's */
    struct i3d_value *values; /* its inputs */
};

/* Plans for one clip and one value. *streams tells whether anything can be computed by
 * windows; the plan is to be freed in any case. */
enum i3d_status i3d_stream_plan(const struct i3d_model *model, const struct i3d_shape *clip,
                                const char *value, struct i3d_stream_plan *plan, bool *streams,
                                struct i3d_error *error);
void i3d_stream_plan_free(struct i3d_stream_plan *plan);

/* The reach of a node that is computed by windows. */
enum i3d_status i3d_stream_reach(const struct i3d_stream_plan *plan, const struct i3d_node *node,
                                 struct i3d_reach *reach, struct i3d_error *error);
