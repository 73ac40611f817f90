/* The graph as JSON: what the pipe format carries beside the tensors.
 *
 * One object; keys that stand for nothing (null, empty lists, unknown ranks) are
 * left out. Order of keys is fixed, so that equal models give equal text.
 *
 *   version            1
 *   name, doc, producer, producer_version, domain          text
 *   ir_version, model_version, time_axis                    integers
 *   opsets             [{domain, version}]
 *   metadata           [{key, value}]
 *   unknown_model, unknown_graph                            base64
 *   inputs, outputs, values
 *                      [{name, dtype, shape, doc, unknown}]; a dim is a size, null (not
 *                      known), a symbolic name, or {size, name} if it has both
 *   nodes              [{name, op_type, domain, doc, inputs, outputs, attributes, unknown}]
 *   attributes         [{name, type, value}]; type is float, int, string, tensor, floats,
 *                      ints or strings; or a number of ONNX's AttributeType, with the
 *                      message in raw (base64) instead of value
 *   tensors            [{name, doc}], in the model's order
 *
 * Text is a JSON string, or {"base64": …} if it is no UTF-8 or holds a NUL. A
 * float is a number of nine digits, which gives a float32 back exactly, or
 * "inf", "-inf", or "nan:" and its bits in hexadecimal. dtype is a name
 * (float32, …) or a number of ONNX's DataType. A tensor attribute is {name,
 * dtype, shape, data, doc}, data being its little-endian bytes in base64. */
#pragma once

#include "model/model.h"

/* Everything of the model but container, path and the tensors' shapes and bytes,
 * as one line of JSON, malloc'ed, the caller's. */
enum i3d_status i3d_graph_to_json(const struct i3d_model *model, char **json,
                                  struct i3d_error *error);

/* Fills an empty model from such JSON: everything but model->tensors. Every
 * type, count, rank and range is checked; I3D_MALFORMED names the place inside
 * the JSON. After a failure the model is good for i3d_model_free only. */
enum i3d_status i3d_graph_from_json(const char *json, size_t length, struct i3d_model *model,
                                    struct i3d_error *error);

/* The names (key) and docs (value, or null) of the tensors, in the order of the
 * model that was written. The array lives in the arena. */
enum i3d_status i3d_tensor_names_from_json(const char *json, size_t length,
                                           struct i3d_arena *arena, struct i3d_pair **names,
                                           size_t *count, struct i3d_error *error);
