#include "converters/fold_norms.h"

#include "model/index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Inputs of BatchNormalization. */
enum { NORM_DATA, GAMMA, BETA, MEAN, VARIANCE, NORM_INPUTS };

struct parameters {
    enum i3d_dtype kernel, vectors; /* element types */
    bool transposed, has_bias, is_bias;
    double epsilon;
    int64_t channels; /* of the output */
    int64_t group, outer, inner; /* of the kernel: see scale_kernel */
};

/* Sources of one fold, in the order in which they are computed from. */
enum { KERNEL, BIAS_GAMMA, BIAS_BETA, BIAS_MEAN, BIAS_VARIANCE, BIAS, SOURCES };

static enum i3d_status load_doubles(struct i3d_source *source, enum i3d_dtype dtype,
                                    int64_t count, double **values, struct i3d_error *error)
{
    size_t size = i3d_dtype_size(dtype);
    void *bytes = malloc((size_t)count * size + 1);
    *values = malloc((size_t)count * sizeof **values + 1);
    enum i3d_status status = bytes && *values
        ? i3d_source_read(source, 0, bytes, (size_t)count * size, error)
        : i3d_fail_memory(error);
    if (!status)
        i3d_to_double(dtype, bytes, *values, (size_t)count);
    free(bytes);
    return status;
}

/* gamma / sqrt(variance + epsilon) per output channel. */
static enum i3d_status load_scale(const struct parameters *p, struct i3d_source *const *inputs,
                                  double **scale, struct i3d_error *error)
{
    double *variance = NULL;
    enum i3d_status status =
        load_doubles(inputs[BIAS_GAMMA], p->vectors, p->channels, scale, error);
    if (!status)
        status = load_doubles(inputs[BIAS_VARIANCE], p->vectors, p->channels, &variance, error);
    for (int64_t c = 0; c < p->channels && !status; c++) {
        double spread = variance[c] + p->epsilon;
        if (!(spread > 0))
            status = i3d_fail(error, I3D_MALFORMED, "the variance of channel %lld is %g",
                              (long long)c, variance[c]);
        (*scale)[c] /= sqrt(spread);
    }
    free(variance);
    return status;
}

/* A kernel is outer × inner elements per output channel of a group: O×(I·H·W) for a
 * convolution; for a transposed one I×(O/g)×(H·W), whose input i is in group i / (I/g). */
static enum i3d_status scale_kernel(const struct parameters *p, struct i3d_source *const *inputs,
                                    void *bytes, struct i3d_error *error)
{
    double *scale = NULL;
    enum i3d_status status = load_scale(p, inputs, &scale, error);
    int64_t per_group = p->channels / p->group;
    int64_t rows = p->transposed ? p->outer * per_group : p->channels;
    size_t size = i3d_dtype_size(p->kernel), row_size = (size_t)p->inner * size;
    double *row = malloc((size_t)p->inner * sizeof *row + 1);
    if (!status && !row)
        status = i3d_fail_memory(error);
    for (int64_t r = 0; r < rows && !status; r++) {
        char *at = (char *)bytes + (size_t)r * row_size;
        int64_t channel = r;
        if (p->transposed)
            channel = r / per_group / (p->outer / p->group) * per_group + r % per_group;
        status = i3d_source_read(inputs[KERNEL], (uint64_t)r * row_size, at, row_size, error);
        if (status)
            break;
        i3d_to_double(p->kernel, at, row, (size_t)p->inner);
        for (int64_t i = 0; i < p->inner; i++)
            row[i] *= scale[channel];
        i3d_from_double(p->kernel, row, at, (size_t)p->inner);
    }
    free(row);
    free(scale);
    return status;
}

static enum i3d_status make_bias(const struct parameters *p, struct i3d_source *const *inputs,
                                 void *bytes, struct i3d_error *error)
{
    double *scale = NULL, *beta = NULL, *mean = NULL, *bias = NULL;
    enum i3d_status status = load_scale(p, inputs, &scale, error);
    if (!status)
        status = load_doubles(inputs[BIAS_BETA], p->vectors, p->channels, &beta, error);
    if (!status)
        status = load_doubles(inputs[BIAS_MEAN], p->vectors, p->channels, &mean, error);
    if (!status && p->has_bias)
        status = load_doubles(inputs[BIAS], p->kernel, p->channels, &bias, error);
    for (int64_t c = 0; c < p->channels && !status; c++)
        beta[c] += ((bias ? bias[c] : 0) - mean[c]) * scale[c];
    if (!status)
        i3d_from_double(p->kernel, beta, bytes, (size_t)p->channels);
    free(scale);
    free(beta);
    free(mean);
    free(bias);
    return status;
}

static enum i3d_status compute(const void *context, struct i3d_source *const *inputs,
                               int input_count, void *bytes, uint64_t length,
                               struct i3d_error *error)
{
    const struct parameters *p = context;
    (void)input_count;
    (void)length;
    return p->is_bias ? make_bias(p, inputs, bytes, error) : scale_kernel(p, inputs, bytes, error);
}

/* A pass over a copy of the graph; the index is that of the original. */
struct pass {
    const struct i3d_model *from;
    const struct i3d_index *index;
    struct i3d_model *to;
    bool *dropped; /* by position among the nodes */
};

static const struct i3d_tensor *tensor_of(const struct pass *pass, const struct i3d_node *node,
                                          size_t input)
{
    int64_t at = input < node->input_count ? i3d_index_tensor(pass->index, node->inputs[input])
                                           : I3D_NOWHERE;
    return at == I3D_NOWHERE ? NULL : &pass->from->tensors[at];
}

static size_t reader_count(const struct pass *pass, const char *value)
{
    size_t count;
    i3d_index_consumers(pass->index, value, &count);
    for (size_t i = 0; i < pass->from->output_count; i++)
        count += !strcmp(pass->from->outputs[i].name, value);
    return count;
}

/* The convolution that the node at position can be folded into, or I3D_NOWHERE. */
static int64_t partner(const struct pass *pass, size_t position, struct parameters *p)
{
    const struct i3d_node *norm = &pass->from->nodes[position];
    const struct i3d_tensor *vectors[NORM_INPUTS] = { NULL };
    if (!i3d_is(norm, "BatchNormalization") || norm->input_count != NORM_INPUTS
        || i3d_int(norm, "training_mode", 0) || !i3d_int(norm, "spatial", 1))
        return I3D_NOWHERE;
    for (size_t k = 1; k < norm->output_count; k++)
        if (*norm->outputs[k])
            return I3D_NOWHERE;
    int64_t at = i3d_index_producer(pass->index, norm->inputs[NORM_DATA]);
    const struct i3d_node *conv = at == I3D_NOWHERE ? NULL : &pass->from->nodes[at];
    p->transposed = conv && i3d_is(conv, "ConvTranspose");
    if (!conv || !(p->transposed || i3d_is(conv, "Conv")) || conv->output_count != 1
        || reader_count(pass, conv->outputs[0]) != 1)
        return I3D_NOWHERE;
    const struct i3d_tensor *kernel = tensor_of(pass, conv, 1), *bias = tensor_of(pass, conv, 2);
    p->has_bias = conv->input_count > 2 && *conv->inputs[2];
    p->group = i3d_int(conv, "group", 1);
    if (!kernel || kernel->rank < 3 || !i3d_dtype_is_float(kernel->dtype) || !kernel->source
        || reader_count(pass, kernel->name) != 1 || p->group < 1 || i3d_tensor_elements(kernel) < 1
        || (p->has_bias && (!bias || bias->dtype != kernel->dtype || !bias->source)))
        return I3D_NOWHERE;
    p->outer = kernel->dims[0];
    p->channels = p->transposed ? kernel->dims[1] * p->group : kernel->dims[0];
    p->inner = i3d_tensor_elements(kernel) / (p->outer * (p->transposed ? kernel->dims[1] : 1));
    p->kernel = kernel->dtype;
    p->epsilon = (double)i3d_float(norm, "epsilon", 1e-5f);
    for (int k = GAMMA; k < NORM_INPUTS; k++) {
        vectors[k] = tensor_of(pass, norm, (size_t)k);
        if (!vectors[k] || !vectors[k]->source || i3d_tensor_elements(vectors[k]) != p->channels
            || vectors[k]->dtype != vectors[GAMMA]->dtype
            || !i3d_dtype_is_float(vectors[k]->dtype))
            return I3D_NOWHERE;
    }
    if (p->outer % p->group || (p->has_bias && i3d_tensor_elements(bias) != p->channels))
        return I3D_NOWHERE;
    p->vectors = vectors[GAMMA]->dtype;
    return at;
}

/* The new bias's name: the old one's, or the kernel's with "bias" for its last part. */
static const char *bias_name(const struct pass *pass, const struct i3d_node *conv,
                             const struct i3d_node *norm)
{
    if (conv->input_count > 2 && *conv->inputs[2] && reader_count(pass, conv->inputs[2]) == 1)
        return conv->inputs[2];
    const char *kernel = conv->inputs[1], *last = strrchr(kernel, '.');
    const char *slash = strrchr(kernel, '/');
    last = !last || (slash && slash > last) ? slash : last;
    const char *name = last ? i3d_arena_printf(pass->to->arena, "%.*sbias",
                                               (int)(last + 1 - kernel), kernel)
                            : NULL;
    return name && i3d_index_value(pass->index, name) == I3D_NOWHERE
        ? name : i3d_arena_printf(pass->to->arena, "%s/folded", norm->outputs[0]);
}

static enum i3d_status fold(struct pass *pass, size_t position, size_t conv_at,
                            struct parameters *p, struct i3d_error *error)
{
    const struct i3d_node *norm = &pass->from->nodes[position];
    const struct i3d_node *conv = &pass->from->nodes[conv_at];
    const struct i3d_tensor *kernel = tensor_of(pass, conv, 1), *bias = tensor_of(pass, conv, 2);
    struct i3d_source *sources[SOURCES] = { kernel->source };
    for (size_t k = GAMMA; k < NORM_INPUTS; k++)
        sources[BIAS_GAMMA + k - GAMMA] = tensor_of(pass, norm, k)->source;
    sources[BIAS] = bias ? bias->source : NULL;
    int count = bias ? SOURCES : BIAS;
    struct i3d_tensor *scaled = i3d_find_tensor(pass->to, kernel->name);
    struct i3d_source *source =
        i3d_source_compute(compute, p, sizeof *p, sources, count, i3d_source_length(kernel->source));
    if (!source)
        return i3d_fail_memory(error);
    i3d_source_release(scaled->source);
    scaled->source = source;
    p->is_bias = true;
    const char *name = bias_name(pass, conv, norm);
    source = i3d_source_compute(compute, p, sizeof *p, sources, count,
                                (uint64_t)p->channels * i3d_dtype_size(p->kernel));
    struct i3d_tensor *old = name ? i3d_find_tensor(pass->to, name) : NULL;
    if (name && old && source) {
        i3d_source_release(old->source);
        old->source = source;
    } else if (name && source) {
        enum i3d_status status = i3d_model_put_tensor(pass->to, name, p->kernel, 1, &p->channels,
                                                      source, error);
        if (status)
            return status;
    }
    const char **inputs = i3d_arena_alloc(pass->to->arena, 3, sizeof *inputs);
    struct i3d_node *node = &pass->to->nodes[conv_at];
    if (!name || !source || !inputs)
        return i3d_fail_memory(error);
    inputs[0] = node->inputs[0];
    inputs[1] = node->inputs[1];
    inputs[2] = name;
    node->inputs = inputs;
    node->input_count = 3;
    node->outputs[0] = pass->to->nodes[position].outputs[0];
    pass->dropped[position] = true;
    return I3D_OK;
}

/* Drops folded nodes, then tensors that only they read. */
static enum i3d_status sweep(struct pass *pass, struct i3d_error *error)
{
    struct i3d_model *to = pass->to;
    size_t kept = 0;
    for (size_t i = 0; i < to->node_count; i++)
        if (!pass->dropped[i])
            to->nodes[kept++] = to->nodes[i];
    to->node_count = kept;
    struct i3d_index *index = i3d_index_new(to);
    if (!index)
        return i3d_fail_memory(error);
    bool *unread = calloc(to->tensor_count + 1, sizeof *unread);
    for (size_t i = 0; unread && i < to->tensor_count; i++) {
        size_t now, before;
        const char *name = to->tensors[i].name;
        i3d_index_consumers(index, name, &now);
        i3d_index_consumers(pass->index, name, &before);
        unread[i] = before && !now && i3d_index_tensor(pass->index, name) != I3D_NOWHERE;
    }
    i3d_index_free(index);
    if (!unread)
        return i3d_fail_memory(error);
    kept = 0;
    for (size_t i = 0; i < to->tensor_count; i++) {
        if (unread[i])
            i3d_source_release(to->tensors[i].source);
        else
            to->tensors[kept++] = to->tensors[i];
    }
    to->tensor_count = kept;
    free(unread);
    return I3D_OK;
}

enum i3d_status i3d_fold_norms(const struct i3d_model *model, struct i3d_model **folded_model,
                               size_t *folded, size_t *left, struct i3d_error *error)
{
    struct pass pass = { .from = model, .index = i3d_index_new(model),
                         .dropped = calloc(model->node_count + 1, sizeof *pass.dropped) };
    *folded_model = NULL;
    *folded = *left = 0;
    enum i3d_status status = pass.index && pass.dropped ? i3d_model_copy(model, &pass.to, error)
                                                        : i3d_fail_memory(error);
    for (size_t i = 0; i < model->node_count && !status; i++) {
        struct parameters parameters = { 0 };
        int64_t conv = partner(&pass, i, &parameters);
        *left += conv == I3D_NOWHERE && i3d_is(&model->nodes[i], "BatchNormalization");
        *folded += conv != I3D_NOWHERE;
        if (conv != I3D_NOWHERE)
            status = fold(&pass, i, (size_t)conv, &parameters, error);
    }
    if (!status)
        status = sweep(&pass, error);
    i3d_index_free((struct i3d_index *)pass.index);
    free(pass.dropped);
    if (status)
        i3d_model_free(pass.to);
    else
        *folded_model = pass.to;
    return status;
}
