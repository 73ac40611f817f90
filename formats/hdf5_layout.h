/* The HDF5 file that a model becomes: decided in the parent, made in the child. */
#pragma once

#include "model/model.h"

/* Metadata key: Keras' layer_names as a JSON array, layers without weights too. */
#define I3D_KERAS_LAYERS "keras.layer_names"

struct i3d_hdf5_layout {
    const struct i3d_model *model;
    const char *path;
    const char *config; /* Keras' model_config, with which the weights lie in a group
                           model_weights; or null */
    /* Keras' layers in order, or null for a plain tree of datasets; malloc'ed. */
    char **layers;
    size_t layer_count;
    size_t *layer_of; /* per tensor */
};

/* Keras' layout if every tensor's name has a layer in front, and the model came
 * from one (metadata) or every name ends in ":0"; else a plain tree. What is read
 * back has the same order if the tensors come layer by layer. I3D_UNSUPPORTED for
 * names that HDF5 cannot hold: with an empty part or ".", longer or deeper than
 * i3d_hdf5_read takes, or inside another tensor. Free with i3d_hdf5_free_plan. */
enum i3d_status i3d_hdf5_plan(const struct i3d_model *model, const char *path,
                              struct i3d_hdf5_layout *layout, struct i3d_error *error);
void i3d_hdf5_free_plan(struct i3d_hdf5_layout *layout);

/* In the child, an i3d_hdf5_task whose context is the layout: creates the file
 * with contiguous datasets whose places are allocated but not written. Answers
 * once for each tensor, in order, as soon as it has a place (the answer's length:
 * its offset in the file), and once more when the file is closed. The same model
 * gives the same bytes: no dates are stored. */
void i3d_hdf5_create(int socket, int memory, const void *context);
