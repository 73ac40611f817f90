/* A graph under construction, as the architectures make theirs. Names of values
 * are those of the nodes that make them; null stands for a value that could not
 * be made, and everything built on it is null too, so that one check at the end
 * is enough. */
#pragma once

#include "zoo/zoo.h"

struct i3d_builder {
    struct i3d_model *model;
    double epsilon;
    bool gamma; /* BatchNorms have a scale; otherwise ones take its place */
};

/* What stands around a window. */
enum i3d_padding {
    I3D_PADS_NONE,
    I3D_PADS_HALF,      /* (kernel - 1) / 2 on both sides */
    I3D_PADS_SAME,      /* TensorFlow's SAME: auto_pad SAME_UPPER */
    I3D_PADS_PARTIAL,   /* none, but windows may reach over the end: ceil_mode */
};

/* "unit/part" */
const char *i3d_build_join(struct i3d_builder *b, const char *unit, const char *part);

/* A parameter with a shape but no values yet; its name, "unit/role". */
const char *i3d_build_parameter(struct i3d_builder *b, const char *unit, const char *role,
                                int rank, const int64_t *dims);
const char *i3d_build_vector(struct i3d_builder *b, const char *unit, const char *role,
                             int64_t count);

/* A node with one output; inputs end with a null. */
struct i3d_node *i3d_build_node(struct i3d_builder *b, const char *op_type, const char *name,
                                const char *output, const char *const *inputs);

/* A square window on a Conv or pool. */
bool i3d_build_window(struct i3d_builder *b, struct i3d_node *node, int64_t kernel,
                      int64_t stride, enum i3d_padding padding);

/* A convolution with a square kernel; depthwise: of each channel by itself. */
struct i3d_conv {
    int64_t in_channels, channels, kernel, stride;
    enum i3d_padding padding;
    bool depthwise, bias, norm; /* norm: a BatchNormalization stands behind it */
};
const char *i3d_build_conv(struct i3d_builder *b, const char *unit, const char *input,
                           const struct i3d_conv *conv);

/* A Conv without bias and the BatchNormalization behind it; the value's name. */
const char *i3d_build_normed_conv(struct i3d_builder *b, const char *unit, const char *input,
                                  int64_t in_channels, int64_t channels, int64_t kernel,
                                  int64_t stride, enum i3d_padding padding);
/* A BatchNormalization of the unit. */
const char *i3d_build_batch_norm(struct i3d_builder *b, const char *unit, const char *input,
                                 int64_t channels);
const char *i3d_build_relu(struct i3d_builder *b, const char *unit, const char *input);
/* Relu cut off at 6. */
const char *i3d_build_relu6(struct i3d_builder *b, const char *unit, const char *input);
/* Binary, or along the channels: Add, Concat. */
const char *i3d_build_join_values(struct i3d_builder *b, const char *op_type, const char *name,
                                  const char *left, const char *right);
const char *i3d_build_max_pool(struct i3d_builder *b, const char *name, const char *input,
                               int64_t kernel, int64_t stride, enum i3d_padding padding);

/* Pools without pads; global where kernel is 0. */
const char *i3d_build_average_pool(struct i3d_builder *b, const char *name, const char *input,
                                   int64_t kernel);

/* A Gemm with bias on features; the value is output, or the unit's name where that is null. */
const char *i3d_build_matrix(struct i3d_builder *b, const char *unit, const char *input,
                             int64_t features, int64_t made, const char *output);
const char *i3d_build_flatten(struct i3d_builder *b, const char *input, const char *output);

/* Flatten and Gemm: the logits. */
bool i3d_build_classifier(struct i3d_builder *b, const char *unit, const char *pooled,
                          int64_t features, int64_t classes);

/* Begins a network with the options; classes and channels are filled in with 1000 and 3
 * where they are 0. "input", or null. */
const char *i3d_build_begin(struct i3d_builder *b, const char *name, double epsilon,
                            const struct i3d_architecture_options *options,
                            struct i3d_architecture_options *filled);
/* The model if good; otherwise it is freed, and what failed was memory. */
enum i3d_status i3d_build_end(struct i3d_builder *b, bool good, struct i3d_model **model,
                              struct i3d_error *error);

/* The input N×channels×224×224, the output N×classes, opset 13. */
bool i3d_build_declare(struct i3d_builder *b, const char *name, int64_t channels,
                       int64_t classes);
