/* What the files of frame tracing share; not installed. frames.c walks the graph,
 * frames_window.c has the rules of windows over time, frames_layout.c those of
 * operators that move elements. */
#pragma once

#include "model/frames.h"

/* A frame; I3D_FRAME_ZEROS is padding that was put there by a Pad node. */
enum i3d_frame_state { I3D_FRAME_SPOILT, I3D_FRAME_CLEAN, I3D_FRAME_ZEROS };

struct i3d_trace {
    struct i3d_frame_trace shown;
    unsigned char *states; /* by frame; null: it does not depend on the video, or is lost */
    bool not_negative;
    bool lost;             /* it depends on the video, but in a way that was not understood */
};

struct i3d_tracer {
    const struct i3d_model *model;
    const struct i3d_index *index;
    const struct i3d_shapes *shapes;
    uint64_t *live_taps; /* by tensor, one bit for each tap that is not all zeros; 0: not read
                            yet; null: kernels are not looked at */
    struct i3d_arena *arena;
    struct i3d_trace *traces; /* by the index' numbers */
    const struct i3d_node *node;
    struct i3d_trace *in;     /* of the node's first input that depends on the video */
    struct i3d_error *error;
};

/* Fills *out (zeroed before) for output 0 of tracer->node, or leaves it lost. */
typedef enum i3d_status i3d_trace_rule(struct i3d_tracer *tracer, struct i3d_trace *out);

/* The trace of input k, or null where that does not depend on the video. */
struct i3d_trace *i3d_traced_input(const struct i3d_tracer *tracer, size_t k);
const struct i3d_shape *i3d_shape_of_input(const struct i3d_tracer *tracer, size_t k);
const struct i3d_shape *i3d_shape_of_output(const struct i3d_tracer *tracer);
/* The product of dims[from] … dims[to - 1]; -1 where one is not known. */
int64_t i3d_span(const struct i3d_shape *shape, int from, int to);

/* Gives out as many frames, all spoilt; time is the axis of that number in the
 * output's shape. */
enum i3d_status i3d_trace_axis(struct i3d_tracer *tracer, struct i3d_trace *out, int axis);
/* The same, by the number of elements behind a frame; frames have to be set. */
enum i3d_status i3d_trace_inner(struct i3d_tracer *tracer, struct i3d_trace *out, int64_t inner);
/* One frame made of all of the input's. */
enum i3d_status i3d_trace_mixed(struct i3d_tracer *tracer, struct i3d_trace *out, bool timed);
/* Whether a step along that axis of input 0 changes the frame. */
bool i3d_axis_moves_time(const struct i3d_trace *trace, const struct i3d_shape *shape, int axis);
/* Copies field, step, never and the sign. */
void i3d_inherit(struct i3d_trace *out, const struct i3d_trace *in);

i3d_trace_rule i3d_trace_window, i3d_trace_conv_transpose, i3d_trace_resize, i3d_trace_pad;
i3d_trace_rule i3d_trace_reshape, i3d_trace_transpose, i3d_trace_concat, i3d_trace_split,
    i3d_trace_slice, i3d_trace_gather, i3d_trace_matrix;
