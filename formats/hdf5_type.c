#include "formats/hdf5_type.h"

#include <stdbool.h>

static enum i3d_dtype float_dtype(hid_t type)
{
    size_t sign, exponent, exponent_size, mantissa, mantissa_size;
    static const struct {
        size_t size, exponent_size, mantissa_size;
        enum i3d_dtype dtype;
    } floats[] = {
        { 2, 5, 10, I3D_FLOAT16 },
        { 2, 8, 7, I3D_BFLOAT16 },
        { 4, 8, 23, I3D_FLOAT32 },
        { 8, 11, 52, I3D_FLOAT64 },
    };
    if (H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) < 0)
        return I3D_UNDEFINED;
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++)
        if (H5Tget_size(type) == floats[i].size && exponent_size == floats[i].exponent_size
            && mantissa_size == floats[i].mantissa_size && mantissa == 0
            && exponent == mantissa_size && sign == mantissa_size + exponent_size
            && H5Tget_ebias(type) == ((size_t)1 << (exponent_size - 1)) - 1)
            return floats[i].dtype;
    return I3D_UNDEFINED;
}

static enum i3d_dtype integer_dtype(hid_t type)
{
    size_t size = H5Tget_size(type);
    if (H5Tget_precision(type) != 8 * size)
        return I3D_UNDEFINED;
    bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    switch (size) {
    case 1: return is_signed ? I3D_INT8 : I3D_UINT8;
    case 2: return is_signed ? I3D_INT16 : I3D_UINT16;
    case 4: return is_signed ? I3D_INT32 : I3D_UINT32;
    case 8: return is_signed ? I3D_INT64 : I3D_UINT64;
    default: return I3D_UNDEFINED;
    }
}

static enum i3d_dtype enumeration_dtype(hid_t type)
{
    signed char no = -1, yes = -1;
    if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2
        || H5Tenum_valueof(type, "FALSE", &no) < 0 || H5Tenum_valueof(type, "TRUE", &yes) < 0)
        return I3D_UNDEFINED;
    return no == 0 && yes == 1 ? I3D_BOOL : I3D_UNDEFINED;
}

enum i3d_dtype i3d_dtype_from_hdf5(hid_t type)
{
    switch (H5Tget_class(type)) {
    case H5T_FLOAT: return float_dtype(type);
    case H5T_INTEGER: return integer_dtype(type);
    case H5T_ENUM: return enumeration_dtype(type);
    default: return I3D_UNDEFINED;
    }
}

static hid_t small_float(size_t exponent_size, size_t mantissa_size)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    if (H5Tset_fields(type, 15, mantissa_size, exponent_size, 0, mantissa_size) < 0
        || H5Tset_size(type, 2) < 0
        || H5Tset_ebias(type, ((size_t)1 << (exponent_size - 1)) - 1) < 0)
        return -1;
    return type;
}

static hid_t boolean(void)
{
    signed char value = 0;
    hid_t type = H5Tenum_create(H5T_STD_I8LE);
    if (H5Tenum_insert(type, "FALSE", &value) < 0)
        return -1;
    value = 1;
    return H5Tenum_insert(type, "TRUE", &value) < 0 ? -1 : type;
}

hid_t i3d_dtype_to_hdf5(enum i3d_dtype dtype)
{
    switch (dtype) {
    case I3D_FLOAT16: return small_float(5, 10);
    case I3D_BFLOAT16: return small_float(8, 7);
    case I3D_FLOAT32: return H5Tcopy(H5T_IEEE_F32LE);
    case I3D_FLOAT64: return H5Tcopy(H5T_IEEE_F64LE);
    case I3D_INT8: return H5Tcopy(H5T_STD_I8LE);
    case I3D_INT16: return H5Tcopy(H5T_STD_I16LE);
    case I3D_INT32: return H5Tcopy(H5T_STD_I32LE);
    case I3D_INT64: return H5Tcopy(H5T_STD_I64LE);
    case I3D_UINT8: return H5Tcopy(H5T_STD_U8LE);
    case I3D_UINT16: return H5Tcopy(H5T_STD_U16LE);
    case I3D_UINT32: return H5Tcopy(H5T_STD_U32LE);
    case I3D_UINT64: return H5Tcopy(H5T_STD_U64LE);
    case I3D_BOOL: return boolean();
    default: return -1;
    }
}
