/* What an operator's function sees of a run; not installed.
 *
 * The contract of such a function: the operands were checked against its row
 * (operators.c) in number and dtype, nothing else was. It reads op->inputs,
 * makes op->outputs with the functions below and fills them. Where it fails,
 * outputs already made are freed by the caller. It runs loops on op->threads
 * threads at most, and calls BLAS only through verify/matrix.h. */
#pragma once

#include "model/shape.h"
#include "verify/array.h"

/* Memory that was planned for an output; null: none. */
struct i3d_room {
    void *data;
    size_t bytes;
};

/* Some frames of a longer clip, as an operand with time as axis 2: how a window over time
 * lies on them, in place of what the node and their number tell. */
struct i3d_excerpt {
    int64_t pad_begin, out;       /* padding ahead of them; frames to be made */
    int64_t clip_in, clip_out;    /* of the whole clip */
};

struct i3d_operation {
    const struct i3d_node *node;
    int64_t opset;
    int variant;    /* from the operator's row */
    int threads;
    enum i3d_engine engine;
    const struct i3d_excerpt *excerpt; /* null: the operands are whole */
    bool edge_time; /* windows over rank-5 data see the first and last frame repeated */
    size_t input_count, output_count;
    const struct i3d_array *inputs; /* dtype I3D_UNDEFINED: left out */
    struct i3d_array *outputs;      /* 0 is always made, the others where wanted */
    const struct i3d_room *rooms;   /* by output; null: none is planned */
    bool first_is_spare;            /* output 0 may have input 0's memory */
    bool first_was_taken;           /* output 0 has input 0's memory */
    struct i3d_error *error;
};

typedef enum i3d_status i3d_operator(struct i3d_operation *op);

bool i3d_op_has(const struct i3d_operation *op, size_t input);
/* Whether somebody may read output k. */
bool i3d_op_wants(const struct i3d_operation *op, size_t output);

/* Makes output k, in the room planned for it where that fits; its elements hold
 * anything. */
enum i3d_status i3d_op_output(struct i3d_operation *op, size_t k, enum i3d_dtype dtype, int rank,
                              const int64_t *dims);
/* Makes output 0 with the dtype and shape of input 0, in input 0's memory where
 * that is spare: element i may be written once element i was read. */
enum i3d_status i3d_op_output_like_first(struct i3d_operation *op);
/* Output 0 is input 0's elements in order under another shape of as many. */
enum i3d_status i3d_op_reshape(struct i3d_operation *op, int rank, const int64_t *dims);

/* A list that older operator versions carry as an attribute and newer ones as
 * an input. numbers is null and count 0 where it is left out (*present false);
 * an empty list is there. I3D_MALFORMED for an input of rank 2 or more. */
enum i3d_status i3d_op_ints(const struct i3d_operation *op, const char *attribute, size_t input,
                            const int64_t **numbers, size_t *count, bool *present);
/* axis counted from 0; I3D_MALFORMED outside [-rank, rank). */
enum i3d_status i3d_op_axis(const struct i3d_operation *op, int64_t axis, int rank, int *out);
/* Such a list of axes as one flag per axis; I3D_MALFORMED for one that is out of
 * range or there twice. */
enum i3d_status i3d_op_axes(const struct i3d_operation *op, const int64_t *axes, size_t count,
                            int rank, bool *chosen);

/* I3D_MALFORMED unless input k is a vector of that many elements. */
enum i3d_status i3d_op_check_vector(const struct i3d_operation *op, size_t k, int64_t elements);

/* op->threads, or 1 where the work (in elements touched) is not worth waking them. */
int i3d_op_threads(const struct i3d_operation *op, int64_t work);
