#include "converters/cast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1024 };

struct types {
    enum i3d_dtype from, to;
};

struct conversion {
    struct types types;
    char *out;
};

/* Pieces end on multiples of 8 bytes, so on elements. */
static enum i3d_status convert_piece(void *context, const void *bytes, size_t length,
                                     struct i3d_error *error)
{
    struct conversion *conversion = context;
    size_t from = i3d_dtype_size(conversion->types.from), to = i3d_dtype_size(conversion->types.to);
    const char *in = bytes;
    (void)error;
    for (size_t left = length / from; left;) {
        double values[PIECE];
        size_t count = left < PIECE ? left : PIECE;
        i3d_to_double(conversion->types.from, in, values, count);
        i3d_from_double(conversion->types.to, values, conversion->out, count);
        in += count * from;
        conversion->out += count * to;
        left -= count;
    }
    return I3D_OK;
}

static enum i3d_status convert(const void *parameters, struct i3d_source *const *inputs,
                               int input_count, void *bytes, uint64_t length,
                               struct i3d_error *error)
{
    const struct types *types = parameters;
    struct conversion conversion = { *types, bytes };
    (void)input_count;
    (void)length;
    return i3d_source_stream(inputs[0], convert_piece, &conversion, error);
}

static bool cast_tensor(struct i3d_tensor *tensor, enum i3d_dtype dtype)
{
    if (!i3d_dtype_is_float(tensor->dtype) || tensor->dtype == dtype)
        return true;
    const struct types types = { tensor->dtype, dtype };
    struct i3d_source *from = tensor->source;
    tensor->dtype = dtype;
    if (!from)
        return true;
    tensor->source = i3d_source_compute(convert, &types, sizeof types, &from, 1,
                                        i3d_tensor_bytes(tensor));
    i3d_source_release(from);
    return tensor->source;
}

static void cast_values(struct i3d_value *values, size_t count, enum i3d_dtype dtype)
{
    for (size_t i = 0; i < count; i++)
        if (i3d_dtype_is_float(values[i].dtype))
            values[i].dtype = dtype;
}

/* Whether the operator wants that input as float32 whatever the network's type is. */
static bool stays_float32(const struct i3d_node *node, size_t input)
{
    return (i3d_is(node, "Resize") && (input == 1 || input == 2))
        || (i3d_is(node, "Upsample") && input == 1);
}

static enum i3d_status cast_node(struct i3d_node *node, enum i3d_dtype dtype,
                                 struct i3d_error *error)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        struct i3d_attribute *attribute = &node->attributes[i];
        if (attribute->type == I3D_ATTRIBUTE_TENSOR && attribute->tensor
            && !cast_tensor(attribute->tensor, dtype))
            return i3d_fail_memory(error);
        bool is_type = i3d_is(node, "Cast") && !strcmp(attribute->name, "to");
        if (is_type && i3d_dtype_is_float((enum i3d_dtype)attribute->i))
            attribute->i = dtype;
    }
    bool is_constant = i3d_is(node, "Constant") && !i3d_attribute(node, "value");
    if (is_constant && (i3d_attribute(node, "value_float") || i3d_attribute(node, "value_floats")))
        return i3d_fail(error, I3D_UNSUPPORTED, "node %.100s: its constant is given as float32 "
                        "numbers, not as a tensor", node->name);
    return I3D_OK;
}

enum i3d_status i3d_cast(const struct i3d_model *model, enum i3d_dtype dtype,
                         struct i3d_model **cast, struct i3d_error *error)
{
    *cast = NULL;
    struct i3d_model *copy;
    enum i3d_status status = i3d_model_copy(model, &copy, error);
    if (status)
        return status;
    bool *stays = calloc(copy->tensor_count + 1, sizeof *stays);
    if (!stays)
        status = i3d_fail_memory(error);
    for (size_t i = 0; i < copy->node_count && !status; i++) {
        for (size_t k = 0; k < copy->nodes[i].input_count; k++) {
            const struct i3d_tensor *tensor = stays_float32(&copy->nodes[i], k)
                ? i3d_find_tensor(copy, copy->nodes[i].inputs[k]) : NULL;
            if (tensor)
                stays[tensor - copy->tensors] = true;
        }
        status = cast_node(&copy->nodes[i], dtype, error);
    }
    for (size_t i = 0; i < copy->tensor_count && !status; i++)
        if (!stays[i] && !cast_tensor(&copy->tensors[i], dtype))
            status = i3d_fail_memory(error);
    free(stays);
    if (status) {
        i3d_model_free(copy);
        return status;
    }
    cast_values(copy->inputs, copy->input_count, dtype);
    cast_values(copy->outputs, copy->output_count, dtype);
    cast_values(copy->values, copy->value_count, dtype);
    *cast = copy;
    return I3D_OK;
}

struct census {
    struct types types;
    int64_t overflows;
};

static enum i3d_status count_piece(void *context, const void *bytes, size_t length,
                                   struct i3d_error *error)
{
    struct census *census = context;
    size_t size = i3d_dtype_size(census->types.from);
    const char *in = bytes;
    (void)error;
    for (size_t left = length / size; left;) {
        double values[PIECE], there[PIECE];
        unsigned char narrow[PIECE * sizeof(double)];
        size_t count = left < PIECE ? left : PIECE;
        i3d_to_double(census->types.from, in, values, count);
        i3d_from_double(census->types.to, values, narrow, count);
        i3d_to_double(census->types.to, narrow, there, count);
        for (size_t i = 0; i < count; i++)
            census->overflows += isinf(there[i]) && !isinf(values[i]);
        in += count * size;
        left -= count;
    }
    return I3D_OK;
}

/* Bits of the exponent: what decides about a type's range. */
static int exponent_bits(enum i3d_dtype dtype)
{
    return dtype == I3D_FLOAT16 ? 5 : dtype == I3D_FLOAT64 ? 11 : 8;
}

enum i3d_status i3d_cast_overflows(const struct i3d_tensor *tensor, enum i3d_dtype dtype,
                                   int64_t *count, struct i3d_error *error)
{
    *count = 0;
    /* bfloat16 reaches as far as float32 but for what rounds up to an infinity. */
    bool may = i3d_dtype_is_float(tensor->dtype) && tensor->source && tensor->dtype != dtype
        && (exponent_bits(dtype) < exponent_bits(tensor->dtype)
            || (dtype == I3D_BFLOAT16 && tensor->dtype == I3D_FLOAT32));
    if (!may)
        return I3D_OK;
    struct census census = { { tensor->dtype, dtype }, 0 };
    enum i3d_status status = i3d_source_stream(tensor->source, count_piece, &census, error);
    *count = census.overflows;
    return status;
}
