/* Keras in files: what HDF5 and ZIP containers have in common. */
#pragma once

#include "formats/keras_read.h"

/* Metadata keys of what was read: the description of the network's layers, and why it
 * could not be made a graph. */
#define I3D_KERAS_CONFIG "keras.model_config"
#define I3D_KERAS_NO_GRAPH "keras.no_graph"

/* Makes a model with the tensors of a layout the network that config describes. Where
 * layers are not handled it stays weights, and metadata I3D_KERAS_NO_GRAPH tells why. */
enum i3d_status i3d_keras_make_graph(struct i3d_model *model, const char *config,
                                     enum i3d_keras_layout layout, const char *keras_version,
                                     struct i3d_error *error);
/* The same for a model of Keras' legacy layout and its metadata I3D_KERAS_CONFIG, if it has
 * any. */
enum i3d_status i3d_keras_read_config(struct i3d_model *model, struct i3d_error *error);
