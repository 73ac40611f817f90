/* Keras' description of a network (`model_config` of an HDF5 file, config.json of a .keras
 * file), as Keras 2 and Keras 3 write it: layers, and which calls of them feed which.
 * Everything lives in the reader's arena; configs are borrowed from the JSON tree. */
#pragma once

#include "model/json_reader.h"

enum { I3D_KERAS_MAX_WEIGHTS = 4 }; /* of a layer */

/* One output of one call of a layer, by its place in the network's layers. */
struct i3d_keras_place {
    size_t layer;
    size_t call, output;
};

struct i3d_keras_call {
    struct i3d_keras_place *inputs;
    size_t input_count;
};

struct i3d_keras_network;

struct i3d_keras_layer {
    const char *name, *class_name;
    json_t *config;
    struct i3d_keras_network *inner; /* of a layer that is a network, or null */
    struct i3d_keras_call *calls;    /* an InputLayer has none */
    size_t call_count;
    bool trainable;
    const char *weights[I3D_KERAS_MAX_WEIGHTS]; /* names of tensors; set when they are bound */
};

struct i3d_keras_network {
    const char *name;
    struct i3d_keras_layer *layers; /* in Keras' order */
    size_t layer_count;
    struct i3d_keras_place *inputs, *outputs;
    size_t input_count, output_count;
};

/* Null and a failure in reader if the JSON is no network: I3D_MALFORMED; or not one of
 * layers (a subclassed model): I3D_UNSUPPORTED. Layers of classes that are not known are
 * no failure here. */
struct i3d_keras_network *i3d_keras_parse(struct i3d_json_reader *reader, json_t *root);

/* Whether layers of that class are networks. */
bool i3d_keras_is_network(const char *class_name);
