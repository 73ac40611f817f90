/* Convolutions of a session, with what was fused into them; not installed. */
#pragma once

#include "verify/convolution.h"
#include "verify/step.h"

/* The algorithm that the engine asked for has for it. */
enum i3d_algorithm i3d_op_algorithm(const struct i3d_operation *op,
                                    const struct i3d_convolution_geometry *geometry);
/* Checks a Conv's operands, of which the weight and bias may have no data, resolves
 * its geometry and makes output 0. */
enum i3d_status i3d_op_conv_output(struct i3d_operation *op,
                                   struct i3d_convolution_geometry *geometry);

/* A convolution made ready. */
struct i3d_layer {
    struct i3d_convolution *convolution; /* null: not yet */
    float *bias;                         /* the BatchNorm's too; or null */
    const struct i3d_node *norm;         /* whose factors are in the weights, or null */
    struct i3d_convolution_geometry geometry; /* as the node has it */
    bool is_factored; /* one 2D kernel over sums of frames (real-motion identity, by linearity) */
};

/* Fits the layer to the geometry. weight, bias and norm (scale, bias, mean,
 * variance) are loaded from the model where they are needed. */
enum i3d_status i3d_layer_prepare(struct i3d_layer *layer, const struct i3d_operation *op,
                                  const struct i3d_step *step, const struct i3d_model *model,
                                  const struct i3d_convolution_geometry *geometry, bool factor);
/* Bytes that a run needs, aligned to 64. */
size_t i3d_layer_workspace(const struct i3d_layer *layer, int threads);
/* Computes op->outputs[0]; residual is null or shaped like it. */
void i3d_layer_run(const struct i3d_layer *layer, const struct i3d_operation *op,
                   const struct i3d_step *step, const struct i3d_array *residual,
                   void *workspace);
/* For tables. */
const char *i3d_layer_algorithm(const struct i3d_layer *layer);
size_t i3d_layer_bytes(const struct i3d_layer *layer);
void i3d_layer_free(struct i3d_layer *layer);
