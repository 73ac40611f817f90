/* Keras' networks: what a file's description of the layers and its weights make. */
#pragma once

#include "model/model.h"

enum i3d_keras_layout {
    I3D_KERAS_LEGACY, /* tensors "<layer>/…", in the order of its weights */
    I3D_KERAS_3,      /* tensors "layers/<class>_<number>/vars/<number>" */
};

/* Turns a model that holds the tensors as they lie in the file into the network that config,
 * JSON, describes: nodes, inputs, outputs; kernels in ONNX's order of axes, as views of
 * what is in the file. keras_version ("2.15.0") decides what some functions are. On
 * I3D_UNSUPPORTED (a layer that is not handled, by name) the model is left half made. */
enum i3d_status i3d_keras_build(struct i3d_model *model, const char *config,
                                enum i3d_keras_layout layout, const char *keras_version,
                                struct i3d_error *error);

/* The other way: config, the JSON of a Functional network of the layers that the model's
 * nodes are, malloc'ed, and weights, a model with their tensors under the names of the
 * layout (and the layers' names as metadata for i3d_hdf5_plan). I3D_UNSUPPORTED names the
 * node that Keras has no layer for. */
enum i3d_status i3d_keras_unbuild(const struct i3d_model *model, enum i3d_keras_layout layout,
                                  struct i3d_model **weights, char **config,
                                  struct i3d_error *error);
