/* Element types. The values are those of ONNX's TensorProto.DataType, so that
 * attributes such as Cast's "to" need no translation. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum i3d_dtype {
    I3D_UNDEFINED = 0,
    I3D_FLOAT32 = 1,
    I3D_UINT8 = 2,
    I3D_INT8 = 3,
    I3D_UINT16 = 4,
    I3D_INT16 = 5,
    I3D_INT32 = 6,
    I3D_INT64 = 7,
    I3D_STRING = 8, /* a value's type only; string tensors are not held */
    I3D_BOOL = 9,   /* one byte, 0 or 1 */
    I3D_FLOAT16 = 10,
    I3D_FLOAT64 = 11,
    I3D_UINT32 = 12,
    I3D_UINT64 = 13,
    I3D_BFLOAT16 = 16,
};

/* Bytes per element; 0 for types that no tensor can hold. */
size_t i3d_dtype_size(enum i3d_dtype dtype);

/* "float32", "int64", …; "undefined" or "type N" where there is none. */
const char *i3d_dtype_name(enum i3d_dtype dtype);

/* The dtype of that name, or I3D_UNDEFINED. */
enum i3d_dtype i3d_dtype_from_name(const char *name);

/* float16, bfloat16, float32 or float64. */
int i3d_dtype_is_float(enum i3d_dtype dtype);

/* IEEE 754 binary16 and bfloat16, bits in the low 16. Narrowing rounds to
 * nearest, ties to even; overflow gives an infinity; NaN stays NaN. */
float i3d_float_from_half(uint16_t bits);
uint16_t i3d_half_from_float(float value);
float i3d_float_from_bfloat16(uint16_t bits);
uint16_t i3d_bfloat16_from_float(float value);

/* Convert count elements of any dtype with a size to or from double or float.
 * Integers beyond 2^53 (2^24) round as C conversions do. To bool: 1 unless 0.
 * Towards integers the value is rounded towards zero and clamped; NaN gives 0. */
void i3d_to_double(enum i3d_dtype from, const void *in, double *out, size_t count);
void i3d_from_double(enum i3d_dtype to, const double *in, void *out, size_t count);
void i3d_to_float(enum i3d_dtype from, const void *in, float *out, size_t count);
