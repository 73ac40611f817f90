/* The pieces of the ONNX reader. All of them read from a wire whose nesting was
 * checked, and put what they read into the model's arena. */
#pragma once

#include "formats/onnx.pb-c.h"
#include "formats/onnx_scan.h"
#include "model/model.h"

/* The metadata key that says which axis of the inputs is time. */
#define I3D_ONNX_TIME_AXIS "i3dconv.time_axis"

/* The graph at [begin, end) into model: nodes, tensors, inputs (initializers
 * that are inputs too among them), outputs, values. */
enum i3d_status i3d_onnx_read_graph(struct i3d_wire *wire, uint64_t begin, uint64_t end,
                                    struct i3d_model *model, struct i3d_error *error);

/* The TensorProto at [begin, end). Its bytes stay in the file until the source
 * is read. *held is false, and the tensor has no source, if the tensor is valid
 * but of a type that no i3d_tensor can hold; *type_name then names that type. */
enum i3d_status i3d_onnx_read_tensor(struct i3d_wire *wire, struct i3d_arena *arena,
                                     uint64_t begin, uint64_t end, struct i3d_tensor *tensor,
                                     bool *held, const char **type_name,
                                     struct i3d_error *error);

/* The elements of a tensor, whose type and shape are read, that lie in another file. */
enum i3d_status i3d_onnx_find_external(struct i3d_wire *wire, struct i3d_arena *arena,
                                       const I3d__Onnx__TensorProto *proto,
                                       struct i3d_tensor *tensor, struct i3d_error *error);

/* A decoded string, copied; I3D_MALFORMED if it has a NUL inside. */
enum i3d_status i3d_onnx_string(struct i3d_arena *arena, const ProtobufCBinaryData *from,
                                const char **to, struct i3d_error *error);
/* The bytes, copied. */
enum i3d_status i3d_onnx_keep(struct i3d_arena *arena, const void *bytes, size_t length,
                              struct i3d_bytes *to, struct i3d_error *error);
/* The failure of libprotobuf-c to decode a message. */
enum i3d_status i3d_onnx_undecoded(struct i3d_error *error, uint64_t begin);
