#include "model/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const struct {
    enum i3d_dtype dtype;
    unsigned char size;
    bool is_float;
    const char *name;
} dtypes[] = {
    { I3D_FLOAT32, 4, true, "float32" },   { I3D_FLOAT16, 2, true, "float16" },
    { I3D_BFLOAT16, 2, true, "bfloat16" }, { I3D_FLOAT64, 8, true, "float64" },
    { I3D_INT64, 8, false, "int64" },      { I3D_INT32, 4, false, "int32" },
    { I3D_INT16, 2, false, "int16" },      { I3D_INT8, 1, false, "int8" },
    { I3D_UINT64, 8, false, "uint64" },    { I3D_UINT32, 4, false, "uint32" },
    { I3D_UINT16, 2, false, "uint16" },    { I3D_UINT8, 1, false, "uint8" },
    { I3D_BOOL, 1, false, "bool" },        { I3D_STRING, 0, false, "string" },
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof dtypes[0] };

size_t i3d_dtype_size(enum i3d_dtype dtype)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].size;
    return 0;
}

const char *i3d_dtype_name(enum i3d_dtype dtype)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return dtype == I3D_UNDEFINED ? "undefined" : "unknown type";
}

enum i3d_dtype i3d_dtype_from_name(const char *name)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (!strcmp(dtypes[i].name, name))
            return dtypes[i].dtype;
    return I3D_UNDEFINED;
}

int i3d_dtype_is_float(enum i3d_dtype dtype)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].is_float;
    return 0;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float i3d_float_from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1f;
    uint32_t fraction = half & 0x3ff;
    if (exponent == 0x1f)
        return float_from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent)
        return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

uint16_t i3d_half_from_float(float value)
{
    uint32_t bits = bits_from_float(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN: keep it one, keep what fits of its payload */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* below 2^-14: subnormal, in units of 2^-24 */
        float units = float_from_bits(magnitude) * 0x1p24f;
        return (uint16_t)(sign | (uint16_t)rintf(units));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}

float i3d_float_from_bfloat16(uint16_t bits)
{
    return float_from_bits((uint32_t)bits << 16);
}

uint16_t i3d_bfloat16_from_float(float value)
{
    uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* One loop per element type; `value` is the element in C's own arithmetic. */
#define FOR_EACH(ctype, expression)               \
    for (size_t i = 0; i < count; i++) {          \
        ctype value;                              \
        memcpy(&value, (const char *)in + i * sizeof value, sizeof value); \
        out[i] = (expression);                    \
    }                                             \
    break

#define CONVERT_FROM(from)                                            \
    switch (from) {                                                   \
    case I3D_FLOAT32: FOR_EACH(float, value);                         \
    case I3D_FLOAT64: FOR_EACH(double, value);                        \
    case I3D_FLOAT16: FOR_EACH(uint16_t, i3d_float_from_half(value)); \
    case I3D_BFLOAT16: FOR_EACH(uint16_t, i3d_float_from_bfloat16(value)); \
    case I3D_INT64: FOR_EACH(int64_t, value);                         \
    case I3D_INT32: FOR_EACH(int32_t, value);                         \
    case I3D_INT16: FOR_EACH(int16_t, value);                         \
    case I3D_INT8: FOR_EACH(int8_t, value);                           \
    case I3D_UINT64: FOR_EACH(uint64_t, value);                       \
    case I3D_UINT32: FOR_EACH(uint32_t, value);                       \
    case I3D_UINT16: FOR_EACH(uint16_t, value);                       \
    case I3D_UINT8: FOR_EACH(uint8_t, value);                         \
    case I3D_BOOL: FOR_EACH(uint8_t, value != 0);                     \
    default: break;                                                   \
    }

void i3d_to_double(enum i3d_dtype from, const void *in, double *out, size_t count)
{
    CONVERT_FROM(from)
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdouble-promotion"
void i3d_to_float(enum i3d_dtype from, const void *in, float *out, size_t count)
{
    if (from == I3D_FLOAT32)
        memcpy(out, in, count * sizeof *out);
    else
        CONVERT_FROM(from)
}
#pragma GCC diagnostic pop

static double clamp(double value, double low, double high)
{
    if (isnan(value))
        return 0;
    return value < low ? low : value > high ? high : trunc(value);
}

/* The 64-bit limits are no doubles; the conversion saturates by comparison. */
static int64_t to_int64(double value)
{
    if (isnan(value))
        return 0;
    return value >= 0x1p63 ? INT64_MAX : value < -0x1p63 ? INT64_MIN : (int64_t)value;
}

static uint64_t to_uint64(double value)
{
    if (isnan(value) || value < 0)
        return 0;
    return value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
}

/* double to float16 or bfloat16 by way of float would round twice: the float
 * is made odd-rounded first (its last bit set when inexact), which makes the
 * second rounding the only one that counts (Boldo and Melquiond 2008). */
static float round_to_odd(double value)
{
    float nearest = (float)value;
    if ((double)nearest == value || isnan(value) || isinf(nearest))
        return nearest;
    uint32_t bits = bits_from_float(nearest);
    if (fabs((double)nearest) > fabs(value))
        bits--;
    return float_from_bits(bits | 1);
}

#define STORE_EACH(ctype, expression)             \
    for (size_t i = 0; i < count; i++) {          \
        double value = in[i];                     \
        ctype stored = (ctype)(expression);       \
        memcpy((char *)out + i * sizeof stored, &stored, sizeof stored); \
    }                                             \
    break

void i3d_from_double(enum i3d_dtype to, const double *in, void *out, size_t count)
{
    switch (to) {
    case I3D_FLOAT32: STORE_EACH(float, value);
    case I3D_FLOAT64: STORE_EACH(double, value);
    case I3D_FLOAT16: STORE_EACH(uint16_t, i3d_half_from_float(round_to_odd(value)));
    case I3D_BFLOAT16: STORE_EACH(uint16_t, i3d_bfloat16_from_float(round_to_odd(value)));
    case I3D_INT64: STORE_EACH(int64_t, to_int64(value));
    case I3D_INT32: STORE_EACH(int32_t, clamp(value, INT32_MIN, INT32_MAX));
    case I3D_INT16: STORE_EACH(int16_t, clamp(value, INT16_MIN, INT16_MAX));
    case I3D_INT8: STORE_EACH(int8_t, clamp(value, INT8_MIN, INT8_MAX));
    case I3D_UINT64: STORE_EACH(uint64_t, to_uint64(value));
    case I3D_UINT32: STORE_EACH(uint32_t, clamp(value, 0, UINT32_MAX));
    case I3D_UINT16: STORE_EACH(uint16_t, clamp(value, 0, UINT16_MAX));
    case I3D_UINT8: STORE_EACH(uint8_t, clamp(value, 0, UINT8_MAX));
    case I3D_BOOL: STORE_EACH(uint8_t, value != 0);
    default: break;
    }
}
