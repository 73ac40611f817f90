/* The graph as JSON: what the pipe format carries beside the tensors. */
#pragma once

#include "model/model.h"

/* Everything of the model but the tensors' bytes, as one line of JSON,
 * malloc'ed, the caller's. int64 attributes are JSON integers; floats that are
 * infinite or NaN, and names that are not UTF-8, are written so that reading
 * gives the same bits back (see graph_json.c). Tensors that stand in
 * attributes are written with their bytes in base64. The names and docs of
 * model->tensors, in order, are part of it; their shapes and bytes are not. */
enum i3d_status i3d_graph_to_json(const struct i3d_model *model, char **json,
                                  struct i3d_error *error);

/* Fills an empty model from such JSON: everything but model->tensors. Every
 * count and rank is checked. */
enum i3d_status i3d_graph_from_json(const char *json, size_t length, struct i3d_model *model,
                                    struct i3d_error *error);
