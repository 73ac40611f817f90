#include "verify/operators.h"
#include "verify/parallel.h"

#include <float.h>
#include <math.h>

/* Operators on one array, element by element. */

/* Elements per piece of work. */
enum { PIECE = 16384 };

struct constants {
    float alpha, beta;
    bool tanh_form; /* of Gelu */
};

#define EACH(ctype, expression)                \
    for (int64_t i = 0; i < count; i++) {      \
        ctype x = in[i];                       \
        out[i] = (expression);                 \
    }                                          \
    break

/* The same for what vector instructions can do. */
#define EACH_SIMD(expression) \
    I3D_SIMD                  \
    EACH(float, expression)

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* log(1 + exp(x)) without overflow. */
static float softplus(float x)
{
    return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x)));
}

/* A NaN stays one. */
static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

static float gelu(float x, bool tanh_form)
{
    const float root_half = 0.70710678f, root_two_by_pi = 0.79788456f;
    if (tanh_form)
        return 0.5f * x * (1 + tanhf(root_two_by_pi * (x + 0.044715f * x * x * x)));
    return 0.5f * x * (1 + erff(x * root_half));
}

static void float_piece(int variant, const struct constants *constants, const float *in,
                        float *out, int64_t count)
{
    float alpha = constants->alpha, beta = constants->beta;
    switch (variant) {
    case I3D_ABS: EACH_SIMD(fabsf(x));
    case I3D_NEG: EACH_SIMD(-x);
    case I3D_RELU: EACH_SIMD(x < 0 ? 0 : x);
    case I3D_LEAKY_RELU: EACH_SIMD(x < 0 ? alpha * x : x);
    case I3D_ELU: EACH(float, x < 0 ? alpha * expm1f(x) : x);
    case I3D_SELU: EACH(float, x > 0 ? beta * x : beta * alpha * expm1f(x));
    case I3D_SIGMOID: EACH(float, sigmoid(x));
    case I3D_HARD_SIGMOID: EACH(float, clamp(alpha * x + beta, 0, 1));
    case I3D_HARD_SWISH: EACH(float, x * clamp(x / 6 + 0.5f, 0, 1));
    case I3D_TANH: EACH(float, tanhf(x));
    case I3D_SOFTPLUS: EACH(float, softplus(x));
    case I3D_ERF: EACH(float, erff(x));
    case I3D_GELU: EACH(float, gelu(x, constants->tanh_form));
    case I3D_EXP: EACH(float, expf(x));
    case I3D_LOG: EACH(float, logf(x));
    case I3D_SQRT: EACH(float, sqrtf(x));
    case I3D_RECIPROCAL: EACH(float, 1 / x);
    case I3D_FLOOR: EACH(float, floorf(x));
    case I3D_CEIL: EACH(float, ceilf(x));
    default: break;
    }
}

static void int_piece(int variant, const int64_t *in, int64_t *out, int64_t count)
{
    switch (variant) {
    case I3D_ABS: EACH(int64_t, x < 0 ? (int64_t)(0 - (uint64_t)x) : x);
    case I3D_NEG: EACH(int64_t, (int64_t)(0 - (uint64_t)x));
    case I3D_RELU: EACH(int64_t, x < 0 ? 0 : x);
    default: break;
    }
}

/* The attributes' defaults, from the operators' specifications. */
static struct constants read_constants(const struct i3d_node *node, int variant)
{
    float alpha = 0, beta = 0;
    if (variant == I3D_LEAKY_RELU) {
        alpha = 0.01f;
    } else if (variant == I3D_ELU) {
        alpha = 1;
    } else if (variant == I3D_SELU) {
        alpha = 1.67326319f;
        beta = 1.05070102f;
    } else if (variant == I3D_HARD_SIGMOID) {
        alpha = 0.2f;
        beta = 0.5f;
    }
    return (struct constants){
        .alpha = i3d_float(node, "alpha", alpha),
        .beta = i3d_float(node, variant == I3D_SELU ? "gamma" : "beta", beta),
        .tanh_form = i3d_string_is(node, "approximate", "tanh"),
    };
}

enum i3d_status i3d_op_unary(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    enum i3d_status status = i3d_op_output_like_first(op);
    if (status)
        return status;
    struct constants constants = read_constants(op->node, op->variant);
    void *out = op->outputs[0].data;
    int64_t elements = i3d_array_elements(in), pieces = (elements + PIECE - 1) / PIECE;
    I3D_PARALLEL_FOR(i3d_op_threads(op, elements))
    for (int64_t piece = 0; piece < pieces; piece++) {
        int64_t begin = piece * PIECE;
        int64_t count = elements - begin < PIECE ? elements - begin : PIECE;
        if (in->dtype == I3D_FLOAT32)
            float_piece(op->variant, &constants, (float *)in->data + begin, (float *)out + begin,
                        count);
        else
            int_piece(op->variant, (int64_t *)in->data + begin, (int64_t *)out + begin, count);
    }
    return I3D_OK;
}

/* A limit of Clip: a scalar operand of the data's dtype, or left out. */
static enum i3d_status clip_limit(const struct i3d_operation *op, size_t k, const void **limit)
{
    *limit = NULL;
    if (!i3d_op_has(op, k))
        return I3D_OK;
    if (op->inputs[k].dtype != op->inputs[0].dtype || i3d_array_elements(&op->inputs[k]) != 1)
        return i3d_fail(op->error, I3D_MALFORMED, "input %zu is to be one element of %s", k,
                        i3d_dtype_name(op->inputs[0].dtype));
    *limit = op->inputs[k].data;
    return I3D_OK;
}

enum i3d_status i3d_op_clip(struct i3d_operation *op)
{
    const void *low, *high;
    enum i3d_status status = clip_limit(op, 1, &low);
    if (!status)
        status = clip_limit(op, 2, &high);
    if (!status)
        status = i3d_op_output_like_first(op);
    if (status)
        return status;
    int64_t elements = i3d_array_elements(&op->inputs[0]);
    if (op->inputs[0].dtype == I3D_FLOAT32) {
        float least = low ? *(const float *)low : i3d_float(op->node, "min", -INFINITY);
        float most = high ? *(const float *)high : i3d_float(op->node, "max", INFINITY);
        const float *in = op->inputs[0].data;
        float *out = op->outputs[0].data;
        I3D_PARALLEL_FOR(i3d_op_threads(op, elements))
        for (int64_t i = 0; i < elements; i++) {
            /* Where min is more than max, max counts. */
            float x = in[i] < least ? least : in[i];
            out[i] = x > most ? most : x;
        }
    } else {
        int64_t least = low ? *(const int64_t *)low : INT64_MIN;
        int64_t most = high ? *(const int64_t *)high : INT64_MAX;
        const int64_t *in = op->inputs[0].data;
        int64_t *out = op->outputs[0].data;
        for (int64_t i = 0; i < elements; i++) {
            int64_t x = in[i] < least ? least : in[i];
            out[i] = x > most ? most : x;
        }
    }
    return I3D_OK;
}

/* Rounds to what the narrower type can hold; the array keeps the wider one. */
static void narrow_floats(enum i3d_dtype to, float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (to == I3D_FLOAT16)
            values[i] = i3d_float_from_half(i3d_half_from_float(values[i]));
        else if (to == I3D_BFLOAT16)
            values[i] = i3d_float_from_bfloat16(i3d_bfloat16_from_float(values[i]));
    }
}

static void narrow_ints(enum i3d_dtype to, int64_t *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        switch (to) {
        case I3D_INT32: values[i] = (int32_t)values[i]; break;
        case I3D_INT16: values[i] = (int16_t)values[i]; break;
        case I3D_INT8: values[i] = (int8_t)values[i]; break;
        case I3D_UINT32: values[i] = (uint32_t)values[i]; break;
        case I3D_UINT16: values[i] = (uint16_t)values[i]; break;
        case I3D_UINT8: values[i] = (uint8_t)values[i]; break;
        default: break;
        }
    }
}

static void cast_element(const struct i3d_array *in, struct i3d_array *out, int64_t i)
{
    const float *floats = in->data;
    const int64_t *ints = in->data;
    const uint8_t *bools = in->data;
    bool from_float = in->dtype == I3D_FLOAT32, from_int = in->dtype == I3D_INT64;
    if (out->dtype == I3D_FLOAT32) {
        ((float *)out->data)[i] = from_float ? floats[i] : from_int ? (float)ints[i] : bools[i];
    } else if (out->dtype == I3D_BOOL) {
        ((uint8_t *)out->data)[i] = from_float ? floats[i] != 0
            : from_int                         ? ints[i] != 0
                                               : bools[i];
    } else if (from_float) {
        double value = (double)floats[i];
        i3d_from_double(I3D_INT64, &value, (int64_t *)out->data + i, 1);
    } else {
        ((int64_t *)out->data)[i] = from_int ? ints[i] : bools[i];
    }
}

enum i3d_status i3d_op_cast(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    enum i3d_dtype to = (enum i3d_dtype)i3d_int(op->node, "to", 0);
    enum i3d_status status = i3d_op_output(op, 0, i3d_array_dtype(to), in->rank, in->dims);
    if (status)
        return status;
    struct i3d_array *out = &op->outputs[0];
    int64_t elements = i3d_array_elements(in);
    for (int64_t i = 0; i < elements; i++)
        cast_element(in, out, i);
    if (out->dtype == I3D_FLOAT32)
        narrow_floats(to, out->data, elements);
    else if (out->dtype == I3D_INT64)
        narrow_ints(to, out->data, elements);
    return I3D_OK;
}
