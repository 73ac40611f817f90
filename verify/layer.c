#include "verify/layer.h"

#include "model/shape_infer.h"
#include "verify/kernels.h"
#include "verify/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The tensor of that name as an array; the name may be empty. */
static enum i3d_status load(const struct i3d_model *model, const char *name,
                            struct i3d_array *array, struct i3d_error *error)
{
    *array = (struct i3d_array){ 0 };
    if (!name || !*name)
        return I3D_OK;
    return i3d_array_load(i3d_find_tensor(model, name), array, error);
}

/* What is done to the sums of filters: times scale, plus bias. */
struct affine {
    double *scale; /* or null */
    float *bias;   /* or null */
};

static enum i3d_status fold_norm(const struct i3d_node *norm, const struct i3d_array *parameters,
                                 int64_t filters, const float *bias, struct affine *affine,
                                 struct i3d_error *error)
{
    for (int k = 0; k < 4; k++)
        if (parameters[k].dtype != I3D_FLOAT32 || parameters[k].rank != 1
            || parameters[k].dims[0] != filters) {
            i3d_fail(error, I3D_MALFORMED, "its parameters are not of %lld channels",
                     (long long)filters);
            return i3d_infer_where(norm, error);
        }
    affine->scale = malloc((size_t)filters * sizeof *affine->scale + 1);
    affine->bias = malloc((size_t)filters * sizeof *affine->bias + 1);
    if (!affine->scale || !affine->bias)
        return i3d_fail_memory(error);
    const float *gamma = parameters[0].data, *beta = parameters[1].data;
    const float *mean = parameters[2].data, *variance = parameters[3].data;
    double epsilon = (double)i3d_float(norm, "epsilon", 1e-5f);
    for (int64_t f = 0; f < filters; f++) {
        double factor = (double)gamma[f] / sqrt((double)variance[f] + epsilon);
        affine->scale[f] = factor;
        affine->bias[f] = (float)((double)beta[f]
                                  + ((bias ? (double)bias[f] : 0) - (double)mean[f]) * factor);
    }
    return I3D_OK;
}

static enum i3d_status load_affine(const struct i3d_operation *op, const struct i3d_step *step,
                                   const struct i3d_model *model, int64_t filters,
                                   struct affine *affine)
{
    struct i3d_array bias, parameters[4] = { 0 };
    enum i3d_status status = load(model, i3d_op_has(op, 2) ? op->node->inputs[2] : NULL, &bias,
                                  op->error);
    for (size_t k = 0; step->norm && k < 4 && !status; k++)
        status = load(model, step->norm->inputs[k + 1], &parameters[k], op->error);
    if (!status && step->norm) {
        status = fold_norm(step->norm, parameters, filters, bias.data, affine, op->error);
    } else if (!status) {
        affine->bias = bias.data;
        bias.data = NULL;
    }
    i3d_array_free(&bias);
    for (size_t k = 0; k < 4; k++)
        i3d_array_free(&parameters[k]);
    return status;
}

/* Whether every kernel has bit-identical slices in time, and more than one; they are
 * then reduced to one in place. */
static bool reduce_slices(const struct i3d_window *window, int64_t kernels, float *weight)
{
    int64_t slice = window->kernel[1] * window->kernel[2], taps = window->kernel[0];
    size_t bytes = (size_t)slice * sizeof *weight;
    if (taps < 2)
        return false;
    for (int64_t i = 0; i < kernels; i++)
        for (int64_t t = 1; t < taps; t++)
            if (memcmp(weight + i * taps * slice, weight + (i * taps + t) * slice, bytes) != 0)
                return false;
    for (int64_t i = 1; i < kernels; i++)
        memmove(weight + i * slice, weight + i * taps * slice, bytes);
    return true;
}

/* The 2D convolution over one sum of frames per frame of the output. */
static struct i3d_convolution_geometry flatten(const struct i3d_convolution_geometry *geometry)
{
    struct i3d_convolution_geometry flat = *geometry;
    struct i3d_window *window = &flat.window.window;
    flat.window.clamp_time = false;
    window->kernel[0] = window->stride[0] = window->dilation[0] = 1;
    window->pad_begin[0] = window->pad_end[0] = window->excess[0] = 0;
    window->in[0] = window->out[0];
    return flat;
}

static enum i3d_status make_layer(struct i3d_layer *layer, const struct i3d_operation *op,
                                  const struct i3d_step *step, const struct i3d_model *model,
                                  const struct i3d_convolution_geometry *geometry, bool factor)
{
    struct i3d_array weight;
    struct affine affine = { 0 };
    enum i3d_status status = load(model, op->node->inputs[1], &weight, op->error);
    if (!status)
        status = load_affine(op, step, model, geometry->filters, &affine);
    if (!status) {
        layer->is_factored = factor
            && reduce_slices(&geometry->window.window, weight.dims[0] * weight.dims[1],
                             weight.data);
        struct i3d_convolution_geometry used = layer->is_factored ? flatten(geometry) : *geometry;
        status = i3d_convolution_prepare(&used, i3d_op_algorithm(op, &used), i3d_best_kernels(),
                                         weight.data, affine.scale, op->threads,
                                         &layer->convolution, op->error);
    }
    i3d_array_free(&weight);
    free(affine.scale);
    layer->bias = affine.bias;
    layer->norm = step->norm;
    layer->geometry = *geometry;
    if (status)
        i3d_layer_free(layer);
    return status;
}

enum i3d_status i3d_layer_prepare(struct i3d_layer *layer, const struct i3d_operation *op,
                                  const struct i3d_step *step, const struct i3d_model *model,
                                  const struct i3d_convolution_geometry *geometry, bool factor)
{
    if (layer->convolution && layer->norm == step->norm) {
        if (!memcmp(&layer->geometry, geometry, sizeof *geometry))
            return I3D_OK;
        struct i3d_convolution_geometry used = layer->is_factored ? flatten(geometry) : *geometry;
        if (i3d_op_algorithm(op, &used) == i3d_convolution_algorithm(layer->convolution)) {
            layer->geometry = *geometry;
            return i3d_convolution_reshape(layer->convolution, used.batch, &used.window,
                                           op->error);
        }
    }
    i3d_layer_free(layer);
    return make_layer(layer, op, step, model, geometry, factor);
}

/* Floats of the sums of frames. */
static size_t sum_floats(const struct i3d_layer *layer)
{
    const struct i3d_convolution_geometry *geometry = &layer->geometry;
    const struct i3d_window *window = &geometry->window.window;
    if (!layer->is_factored)
        return 0;
    size_t floats = (size_t)(geometry->batch * geometry->channels)
        * (size_t)(window->out[0] * window->in[1] * window->in[2]);
    return (floats + 15) / 16 * 16;
}

size_t i3d_layer_workspace(const struct i3d_layer *layer, int threads)
{
    return sum_floats(layer) * sizeof(float) + i3d_convolution_workspace(layer->convolution, threads);
}

/* The sums of the frames that each window sees, a piece of a frame at a time. */
static void sum_frames(const struct i3d_layer *layer, const float *in, float *to, int threads)
{
    enum { PIECE = 2048 };
    const struct i3d_window *window = &layer->geometry.window.window;
    const struct i3d_kernels *kernels = i3d_best_kernels();
    int64_t planes = layer->geometry.batch * layer->geometry.channels;
    int64_t size = window->in[1] * window->in[2], pieces = (size + PIECE - 1) / PIECE;
    I3D_PARALLEL_FOR(threads)
    for (int64_t task = 0; task < planes * pieces; task++) {
        int64_t plane = task / pieces, begin = task % pieces * PIECE;
        int64_t count = size - begin < PIECE ? size - begin : PIECE;
        for (int64_t t = 0; t < window->out[0]; t++) {
            float *sums = to + (plane * window->out[0] + t) * size + begin;
            bool inside, is_first = true;
            for (int64_t k = 0; k < window->kernel[0]; k++) {
                int64_t frame = i3d_tap_frame(&layer->geometry.window, t, k, &inside);
                const float *from = in + (plane * window->in[0] + frame) * size + begin;
                if (inside && is_first)
                    memcpy(sums, from, (size_t)count * sizeof *sums);
                else if (inside)
                    kernels->add(sums, from, count);
                is_first = is_first && !inside;
            }
            if (is_first)
                memset(sums, 0, (size_t)count * sizeof *sums);
        }
    }
}

void i3d_layer_run(const struct i3d_layer *layer, const struct i3d_operation *op,
                   const struct i3d_step *step, const struct i3d_array *residual,
                   void *workspace)
{
    const struct i3d_array *in = &op->inputs[0], *out = &op->outputs[0];
    struct i3d_epilogue epilogue = {
        .bias = layer->bias,
        .residual = residual ? residual->data : NULL,
        .residual_stride = i3d_array_span(out, 1, out->rank),
        .activation = step->activation,
        .low = step->low,
        .high = step->high,
        .slope = step->slope,
    };
    const float *from = in->data;
    int64_t in_stride = i3d_array_span(in, 1, in->rank);
    if (layer->is_factored && from) {
        float *sums = workspace;
        const struct i3d_window *window = &layer->geometry.window.window;
        sum_frames(layer, from, sums, op->threads);
        from = sums;
        in_stride = layer->geometry.channels * window->out[0] * window->in[1] * window->in[2];
    }
    i3d_convolution_run(layer->convolution, from, in_stride, &epilogue, out->data,
                        i3d_array_span(out, 1, out->rank),
                        (float *)workspace + sum_floats(layer), op->threads);
}

const char *i3d_layer_algorithm(const struct i3d_layer *layer)
{
    static const char *const factored[] = {
        [I3D_REFERENCE] = "factored reference", [I3D_POINTWISE] = "factored pointwise",
        [I3D_WINOGRAD] = "factored winograd",   [I3D_IM2COL] = "factored im2col",
        [I3D_LINES] = "factored lines",         [I3D_DEPTHWISE] = "factored depthwise",
    };
    enum i3d_algorithm algorithm = i3d_convolution_algorithm(layer->convolution);
    return layer->is_factored ? factored[algorithm] : i3d_algorithm_name(algorithm);
}

size_t i3d_layer_bytes(const struct i3d_layer *layer)
{
    return layer->convolution ? i3d_convolution_weight_bytes(layer->convolution) : 0;
}

void i3d_layer_free(struct i3d_layer *layer)
{
    i3d_convolution_free(layer->convolution);
    free(layer->bias);
    *layer = (struct i3d_layer){ 0 };
}
