#include "verify/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Collects what the parts of one layer's audit say. */
struct audit {
    const struct i3d_side *flat, *inflated;
    const struct i3d_pairing_entry *entry;
    struct i3d_layer_verdict *verdict;
};

__attribute__((format(printf, 2, 3)))
static void object(struct audit *audit, const char *format, ...)
{
    struct i3d_layer_verdict *verdict = audit->verdict;
    if (!verdict->audit_good)
        return; /* the first objection stands */
    verdict->audit_good = false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->audit_note, sizeof verdict->audit_note, format, arguments);
    va_end(arguments);
}

/* Input `position` as a stored tensor, or null. */
static const struct i3d_tensor *parameter(const struct i3d_side *side,
                                          const struct i3d_node *node, size_t position)
{
    if (position >= node->input_count || !*node->inputs[position])
        return NULL;
    return i3d_side_tensor(side, node->inputs[position]);
}

/* Vectors that inflation copies. */
static enum i3d_status compare_vectors(struct audit *audit, const char *what,
                                       const struct i3d_tensor *flat,
                                       const struct i3d_tensor *inflated,
                                       struct i3d_error *error)
{
    double *a = NULL, *b = NULL;
    int64_t count = i3d_tensor_elements(flat);
    if (i3d_tensor_elements(inflated) != count) {
        object(audit, "%s has %lld values, in 2D %lld", what,
               (long long)i3d_tensor_elements(inflated), (long long)count);
        return I3D_OK;
    }
    enum i3d_status status = i3d_tensor_load_double(flat, &a, error);
    if (!status)
        status = i3d_tensor_load_double(inflated, &b, error);
    for (int64_t i = 0; i < count && !status; i++) {
        if (a[i] == b[i])
            continue;
        object(audit, "%s of channel %lld is %.9g, in 2D %.9g", what, (long long)i, b[i], a[i]);
        break;
    }
    free(a);
    free(b);
    return status;
}

static enum i3d_status audit_batch_norm(struct audit *audit, const struct i3d_node *flat,
                                        const struct i3d_node *inflated, struct i3d_error *error)
{
    static const char *const names[] = { "gamma", "beta", "mean", "variance" };
    enum i3d_status status = I3D_OK;
    audit->verdict->has_weights = true;
    for (size_t i = 0; i < 4 && !status; i++) {
        const struct i3d_tensor *a = parameter(audit->flat, flat, i + 1);
        const struct i3d_tensor *b = parameter(audit->inflated, inflated, i + 1);
        if (a && b)
            status = compare_vectors(audit, names[i], a, b, error);
    }
    float a = i3d_float(flat, "epsilon", 1e-5f), b = i3d_float(inflated, "epsilon", 1e-5f);
    if (a != b)
        object(audit, "epsilon is %g, in 2D %g", (double)b, (double)a);
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
static void audit_geometry(struct audit *audit, const struct i3d_node *flat,
                           const struct i3d_node *inflated)
{
    if (strcmp(flat->op_type, inflated->op_type))
        return; /* Gemm and Conv, GlobalAveragePool and AveragePool */
    static const char *const names[] = { "strides", "dilations" };
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 2; k++) {
            int64_t a = spatial(flat, names[i], k, 1), b = spatial(inflated, names[i], k, 1);
            if (a != b)
                object(audit, "%s along %s are %lld, in 2D %lld", names[i],
                       k ? "width" : "height", (long long)b, (long long)a);
        }
    if (i3d_int(flat, "group", 1) != i3d_int(inflated, "group", 1))
        object(audit, "group is %lld, in 2D %lld", (long long)i3d_int(inflated, "group", 1),
               (long long)i3d_int(flat, "group", 1));
    if (i3d_is(flat, "MaxPool") || i3d_is(flat, "AveragePool"))
        for (size_t k = 0; k < 2; k++) {
            int64_t a = spatial(flat, "kernel_shape", k, 1);
            int64_t b = spatial(inflated, "kernel_shape", k, 1);
            if (a != b)
                object(audit, "the pool is %lld along %s, in 2D %lld", (long long)b,
                       k ? "width" : "height", (long long)a);
        }
}

static enum i3d_status audit_linear(struct audit *audit, const struct i3d_node *flat,
                                    const struct i3d_node *inflated, struct i3d_error *error)
{
    const struct i3d_tensor *a = parameter(audit->flat, flat, 1);
    const struct i3d_tensor *b = parameter(audit->inflated, inflated, 1);
    if (!a || !b)
        return I3D_OK; /* computed kernels show in the activations */
    struct i3d_layer_verdict *verdict = audit->verdict;
    verdict->has_weights = true;
    bool reads_input = i3d_index_input(audit->flat->index, flat->inputs[0]) != I3D_NOWHERE;
    enum i3d_status status =
        i3d_audit_kernel(flat, a, b, reads_input, audit->entry->folded, &verdict->audit_good,
                         verdict->audit_note, sizeof verdict->audit_note, error);
    const struct i3d_tensor *bias_a = parameter(audit->flat, flat, 2);
    const struct i3d_tensor *bias_b = parameter(audit->inflated, inflated, 2);
    if (status || audit->entry->folded)
        return status;
    if (bias_a && bias_b)
        return compare_vectors(audit, "bias", bias_a, bias_b, error);
    if (bias_a || bias_b)
        object(audit, "the bias is there in %s only", bias_a ? "2D" : "3D");
    return I3D_OK;
}

/* The node whose kernel stands for the entry: behind a folded BatchNormalization
 * it is the convolution. */
static const struct i3d_node *kernel_node(const struct i3d_side *side, int64_t position)
{
    const struct i3d_node *node = &side->model->nodes[position];
    for (size_t steps = 0; steps < side->model->node_count && !i3d_is_linear(node); steps++) {
        int64_t before = node->input_count ? i3d_index_producer(side->index, node->inputs[0])
                                           : I3D_NOWHERE;
        if (before == I3D_NOWHERE)
            break;
        node = &side->model->nodes[before];
    }
    return node;
}

enum i3d_status i3d_audit_layer(const struct i3d_side *flat, const struct i3d_side *inflated,
                                const struct i3d_pairing_entry *entry,
                                struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    struct audit audit = { flat, inflated, entry, verdict };
    verdict->audit_good = true;
    if (entry->output)
        return I3D_OK;
    const struct i3d_node *a = &flat->model->nodes[entry->flat_node];
    const struct i3d_node *b = &inflated->model->nodes[entry->inflated_node];
    if (entry->folded) {
        a = kernel_node(flat, entry->flat_node);
        b = kernel_node(inflated, entry->inflated_node);
    }
    enum i3d_status status = I3D_OK;
    if (i3d_is(a, "BatchNormalization"))
        status = audit_batch_norm(&audit, a, b, error);
    else if (i3d_is_linear(a) && !i3d_is(a, "ConvTranspose"))
        status = audit_linear(&audit, a, b, error);
    if (!status)
        audit_geometry(&audit, a, b);
    return status;
}
