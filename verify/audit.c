#include "verify/audit.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void i3d_object(struct i3d_layer_verdict *verdict, const char *format, ...)
{
    if (!verdict->audit_good)
        return;
    verdict->audit_good = false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->audit_note, sizeof verdict->audit_note, format, arguments);
    va_end(arguments);
}

const struct i3d_tensor *i3d_parameter(const struct i3d_structure *structure,
                                       const struct i3d_node *node, size_t k)
{
    return k < node->input_count ? i3d_structure_tensor(structure, node->inputs[k]) : NULL;
}

/* A number as a file of that dtype has it. */
static double rounded(enum i3d_dtype dtype, double value)
{
    double bytes = 0, result = value;
    if (!i3d_dtype_is_float(dtype))
        return value;
    i3d_from_double(dtype, &value, &bytes, 1);
    i3d_to_double(dtype, &bytes, &result, 1);
    return result;
}

enum i3d_status i3d_audit_vector(const char *what, const struct i3d_tensor *flat,
                                 const struct i3d_tensor *inflated,
                                 struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    double *a = NULL, *b = NULL;
    int64_t count = i3d_tensor_elements(flat);
    if (i3d_tensor_elements(inflated) != count) {
        i3d_object(verdict, "%s has %lld values, in 2D %lld", what,
                   (long long)i3d_tensor_elements(inflated), (long long)count);
        return I3D_OK;
    }
    enum i3d_status status = i3d_tensor_load_double(flat, &a, error);
    if (!status)
        status = i3d_tensor_load_double(inflated, &b, error);
    for (int64_t i = 0; i < count && !status; i++) {
        if (a[i] == b[i] || rounded(inflated->dtype, a[i]) == b[i])
            continue;
        i3d_object(verdict, "%s of channel %lld is %.9g, in 2D %.9g", what, (long long)i, b[i],
                   a[i]);
        break;
    }
    free(a);
    free(b);
    return status;
}

/* The k-th number of an attribute over height and width; 2D lists have two, 3D
 * lists three with time first. */
static int64_t spatial(const struct i3d_node *node, const char *name, size_t k, int64_t fallback)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return count == 2 ? values[k] : count == 3 ? values[k + 1] : fallback;
}

/* What activations would show too, but could not name. Pads are left to the
 * activations: Pad nodes, auto_pad and explicit pads say the same in many ways. */
static void audit_geometry(const struct i3d_node *flat, const struct i3d_node *inflated,
                           struct i3d_layer_verdict *verdict)
{
    static const char *const names[] = { "strides", "dilations", "kernel_shape" };
    if (strcmp(flat->op_type, inflated->op_type))
        return; /* Gemm and Conv, GlobalAveragePool and AveragePool */
    bool pool = i3d_is(flat, "MaxPool") || i3d_is(flat, "AveragePool");
    for (size_t i = 0; i < (pool ? 3 : 2); i++) {
        for (size_t k = 0; k < 2; k++) {
            int64_t a = spatial(flat, names[i], k, 1), b = spatial(inflated, names[i], k, 1);
            if (a != b)
                i3d_object(verdict, "%s along %s is %lld, in 2D %lld", names[i],
                           k ? "width" : "height", (long long)b, (long long)a);
        }
    }
    int64_t a = i3d_int(flat, "group", 1), b = i3d_int(inflated, "group", 1);
    if (a != b)
        i3d_object(verdict, "group is %lld, in 2D %lld", (long long)b, (long long)a);
}

/* Numbers that an operator takes as attributes, with ONNX's defaults. */
static void audit_settings(const struct i3d_node *flat, const struct i3d_node *inflated,
                           struct i3d_layer_verdict *verdict)
{
    static const struct {
        const char *op_type, *attribute;
        float fallback;
    } settings[] = {
        { "LeakyRelu", "alpha", 0.01f },
        { "Elu", "alpha", 1 },
        { "Selu", "alpha", 1.67326319f },
        { "Selu", "gamma", 1.05070102f },
        { "HardSigmoid", "alpha", 0.2f },
        { "HardSigmoid", "beta", 0.5f },
        { "LRN", "alpha", 0.0001f },
        { "LRN", "beta", 0.75f },
        { "LRN", "bias", 1 },
        { "InstanceNormalization", "epsilon", 1e-5f },
        { "LayerNormalization", "epsilon", 1e-5f },
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const char *name = settings[i].attribute;
        if (!i3d_is(flat, settings[i].op_type) || !i3d_is(inflated, settings[i].op_type))
            continue;
        float a = i3d_float(flat, name, settings[i].fallback);
        float b = i3d_float(inflated, name, settings[i].fallback);
        if (a != b)
            i3d_object(verdict, "%s is %g, in 2D %g", name, (double)b, (double)a);
    }
}

/* A limit of Clip: input k, an attribute before opset 11, or none. False in *known
 * where it is computed. */
static enum i3d_status clip_limit(const struct i3d_structure *structure,
                                  const struct i3d_node *node, size_t k, double *limit,
                                  bool *known, struct i3d_error *error)
{
    *limit = (double)i3d_float(node, k == 1 ? "min" : "max", k == 1 ? -INFINITY : INFINITY);
    if (fabs(*limit) >= (double)FLT_MAX) /* the attributes' defaults, which limit nothing */
        *limit = copysign(INFINITY, *limit);
    if (k >= node->input_count || !*node->inputs[k])
        return I3D_OK;
    const struct i3d_tensor *tensor = i3d_parameter(structure, node, k);
    double *values = NULL;
    if (!tensor || i3d_tensor_elements(tensor) != 1) {
        *known = false;
        return I3D_OK;
    }
    enum i3d_status status = i3d_tensor_load_double(tensor, &values, error);
    if (!status)
        *limit = values[0];
    free(values);
    return status;
}

/* Limits that no activation of one image may reach. */
static enum i3d_status audit_clip(const struct i3d_pairing *pairing, const struct i3d_node *flat,
                                  const struct i3d_node *inflated,
                                  struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (size_t k = 1; k <= 2 && !status; k++) {
        double a, b;
        bool known = true;
        status = clip_limit(pairing->flat, flat, k, &a, &known, error);
        if (!status)
            status = clip_limit(pairing->inflated, inflated, k, &b, &known, error);
        if (!status && known && a != b)
            i3d_object(verdict, "%s is %g, in 2D %g", k == 1 ? "min" : "max", b, a);
    }
    return status;
}

/* A bias that is missing stands for zeros. */
static enum i3d_status audit_bias(const struct i3d_tensor *flat,
                                  const struct i3d_tensor *inflated,
                                  struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    if (flat && inflated)
        return i3d_audit_vector("bias", flat, inflated, verdict, error);
    const struct i3d_tensor *only = flat ? flat : inflated;
    double *values;
    enum i3d_status status = only ? i3d_tensor_load_double(only, &values, error) : I3D_OK;
    if (status || !only)
        return status;
    int64_t count = i3d_tensor_elements(only);
    for (int64_t i = 0; i < count; i++)
        if (!(values[i] == 0))
            i3d_object(verdict, "there is a bias in %s only", flat ? "2D" : "3D");
    free(values);
    return I3D_OK;
}

static enum i3d_status audit_kernel(const struct i3d_pairing *pairing, const struct i3d_node *flat,
                                    const struct i3d_node *inflated,
                                    struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    struct i3d_kernel_pair kernels = {
        .flat_node = flat,
        .inflated_node = inflated,
        .flat = i3d_parameter(pairing->flat, flat, 1),
        .inflated = i3d_parameter(pairing->inflated, inflated, 1),
        .reads_input = i3d_origin_of(pairing->flat, flat->inputs[0]).node < 0,
        .foreign = !i3d_metadata(pairing->inflated->model, "i3dconv.recipe"),
    };
    enum i3d_status status = i3d_audit_kernel(&kernels, verdict, error);
    if (status || !verdict->has_weights)
        return status;
    return audit_bias(i3d_parameter(pairing->flat, flat, 2),
                      i3d_parameter(pairing->inflated, inflated, 2), verdict, error);
}

/* Constants of other operators, in order: operands of sums and products, slopes,
 * scales of normalizations. Broadcasting may have given them another shape. */
static enum i3d_status audit_constants(const struct i3d_pairing *pairing,
                                       const struct i3d_node *flat,
                                       const struct i3d_node *inflated,
                                       struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    static const char *const names[] = { "Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min", "Max",
                                         "InstanceNormalization", "LayerNormalization" };
    bool listed = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        listed |= i3d_is(flat, names[i]);
    enum i3d_status status = I3D_OK;
    for (size_t a = 0, b = 0; listed && !status; a++, b++) {
        while (a < flat->input_count && !i3d_parameter(pairing->flat, flat, a))
            a++;
        while (b < inflated->input_count && !i3d_parameter(pairing->inflated, inflated, b))
            b++;
        if (a >= flat->input_count || b >= inflated->input_count)
            break;
        const struct i3d_tensor *mine = i3d_parameter(pairing->flat, flat, a);
        const struct i3d_tensor *theirs = i3d_parameter(pairing->inflated, inflated, b);
        verdict->has_weights = true;
        status = i3d_audit_vector("the constant", mine, theirs, verdict, error);
    }
    return status;
}

enum i3d_status i3d_audit_layer(const struct i3d_pairing *pairing, size_t flat,
                                struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    const struct i3d_node_pair *pair = &pairing->nodes[flat];
    const struct i3d_node *nodes = pairing->flat->model->nodes;
    const struct i3d_node *others = pairing->inflated->model->nodes;
    verdict->audit_good = true;
    if (pair->folded) {
        audit_geometry(&nodes[pair->flat_kernel], &others[pair->inflated_kernel], verdict);
        return i3d_audit_folded(pairing, flat, verdict, error);
    }
    const struct i3d_node *node = &nodes[flat], *other = &others[pair->inflated];
    audit_geometry(node, other, verdict);
    audit_settings(node, other, verdict);
    if (i3d_is(node, "Clip"))
        return audit_clip(pairing, node, other, verdict, error);
    if (i3d_is(node, "BatchNormalization"))
        return i3d_audit_norm(pairing, flat, verdict, error);
    if (i3d_is_kernel(pairing->flat, node))
        return audit_kernel(pairing, node, other, verdict, error);
    return audit_constants(pairing, node, other, verdict, error);
}
