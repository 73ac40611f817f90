/* Another floating-point type for a network's numbers. */
#pragma once

#include "model/model.h"

/* A copy of the model in which every floating-point tensor, graph input, output
 * and value, and what Cast nodes and constants make, is of dtype (a float type).
 * Numbers are rounded to nearest, ties to even, when they are asked for; a number
 * beyond dtype's range becomes an infinity. Sizes and coordinates that ONNX wants
 * as float32 (Resize's and Upsample's scales and regions) stay. */
enum i3d_status i3d_cast(const struct i3d_model *model, enum i3d_dtype dtype,
                         struct i3d_model **cast, struct i3d_error *error);

/* How many finite numbers of a float tensor are infinite in dtype. Reads the
 * tensor piece by piece if dtype's range is the smaller one. */
enum i3d_status i3d_cast_overflows(const struct i3d_tensor *tensor, enum i3d_dtype dtype,
                                   int64_t *count, struct i3d_error *error);
