/* Shape inference over the ONNX graph: types and shapes of all values, and the
 * integer contents of small shape tensors (Shape, Gather, Concat, … chains). */
#pragma once

#include "model/index.h"

struct i3d_shape {
    enum i3d_dtype dtype; /* I3D_UNDEFINED: not known */
    int rank;             /* -1: not known */
    int64_t dims[I3D_MAX_RANK]; /* -1: not known */
};

/* The spatial attributes of a convolution or pool, resolved for one input. */
struct i3d_window {
    int axes; /* spatial axes: 1, 2 or 3 */
    int64_t kernel[3], stride[3], dilation[3];
    int64_t pad_begin[3], pad_end[3]; /* auto_pad resolved; without ceil_mode's extra */
    int64_t excess[3]; /* positions past the padded input that the last window reaches: more
                          than 0 only under ceil_mode */
    int64_t in[3], out[3];
};

struct i3d_shapes; /* results, by value */

/* Infers everything it can, with the operators' semantics from opset 6 on.
 * input_shapes overrides the declared shapes of the graph's inputs, in their
 * order; null, or a rank of -1, keeps what is declared. Shapes that the file
 * declares for other values fill what inference leaves open, unless an override
 * contradicts the declared inputs. A contradiction (Conv channels that do not
 * match, a window larger than its padded input) is I3D_MALFORMED with the
 * node's name; an operator that is not known leaves its outputs unknown.
 * index may be null (one is then built); otherwise it has to outlive shapes. */
enum i3d_status i3d_infer_shapes(const struct i3d_model *model, const struct i3d_index *index,
                                 const struct i3d_shape *input_shapes, size_t input_shape_count,
                                 struct i3d_shapes **shapes, struct i3d_error *error);
void i3d_shapes_free(struct i3d_shapes *shapes);

/* The shape of a value or tensor; rank -1 if not known. */
const struct i3d_shape *i3d_shape_of(const struct i3d_shapes *shapes, const char *value);

/* The integers that a small (at most 64 elements, rank 0 or 1) int64 or int32
 * value was found to hold, or null. Element k means something only where
 * known[k] is true. */
const int64_t *i3d_known_ints(const struct i3d_shapes *shapes, const char *value, int *count,
                              const bool **known);

/* Resolves the window of a Conv, MaxPool, AveragePool or LpPool (not of a
 * ConvTranspose). kernel_dims are the kernel's spatial sizes (from the weight of
 * a Conv, from kernel_shape of a pool), in_dims the input's spatial sizes, all
 * known. Conv-11 and MaxPool-12 semantics: auto_pad, dilations, and ceil_mode
 * without a last window that would start in the end padding. I3D_MALFORMED,
 * with the node's name, for attributes out of range or a window larger than its
 * padded input. */
enum i3d_status i3d_resolve_window(const struct i3d_node *node, int axes,
                                   const int64_t *kernel_dims, const int64_t *in_dims,
                                   struct i3d_window *window, struct i3d_error *error);
