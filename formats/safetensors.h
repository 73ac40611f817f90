/* What safetensors files and the index over several of them have in common. */
#pragma once

#include "model/model.h"

#include <jansson.h>

/* The longest header that the safetensors library reads. */
enum { I3D_SAFETENSORS_HEADER_LIMIT = 100000000 };

/* A JSON object out of length bytes of text; first: their place in the file, for errors. */
enum i3d_status i3d_safetensors_parse(const char *text, size_t length, uint64_t first,
                                      json_t **object, struct i3d_error *error);

/* An object of strings, or null: the graph in it and the model's metadata; what is neither
 * string nor null is refused. */
enum i3d_status i3d_safetensors_read_metadata(json_t *metadata, struct i3d_model *model,
                                              struct i3d_error *error);
/* Gives the tensors the order and the docs that the graph tells, once all are there. */
enum i3d_status i3d_safetensors_read_order(json_t *metadata, struct i3d_model *model,
                                           struct i3d_error *error);
/* Adds the model's metadata and graph to the object. */
enum i3d_status i3d_safetensors_describe(const struct i3d_model *model, json_t *metadata,
                                         struct i3d_error *error);
