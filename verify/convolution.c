#include "verify/convolution_parts.h"

#include "verify/matrix.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const struct i3d_convolution_methods *methods;
} algorithms[] = {
    [I3D_REFERENCE] = { "reference", &i3d_convolve_reference },
    [I3D_POINTWISE] = { "pointwise", &i3d_convolve_matrix },
    [I3D_WINOGRAD] = { "winograd", &i3d_convolve_winograd },
    [I3D_IM2COL] = { "im2col", &i3d_convolve_matrix },
    [I3D_LINES] = { "lines", &i3d_convolve_lines },
    [I3D_DEPTHWISE] = { "depthwise", &i3d_convolve_depthwise },
};

const char *i3d_algorithm_name(enum i3d_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

static bool is_pointwise(const struct i3d_window *window)
{
    for (int k = 0; k < 3; k++)
        if (window->kernel[k] != 1 || window->stride[k] != 1 || window->pad_begin[k]
            || window->pad_end[k])
            return false;
    return true;
}

/* Whether a padded copy of the input is about as large as the input. */
static bool pads_are_small(const struct i3d_window *window)
{
    for (int k = 0; k < 3; k++)
        if (window->pad_begin[k] > 64 || window->pad_end[k] > 64 || window->stride[k] > 64)
            return false;
    return true;
}

bool i3d_algorithm_fits(enum i3d_algorithm algorithm,
                        const struct i3d_convolution_geometry *geometry)
{
    switch (algorithm) {
    case I3D_POINTWISE:
        return is_pointwise(&geometry->window.window);
    case I3D_WINOGRAD:
        return i3d_winograd_fits(geometry);
    case I3D_LINES:
        return i3d_lines_fit(geometry);
    case I3D_DEPTHWISE:
        return geometry->channels == geometry->groups && pads_are_small(&geometry->window.window);
    default:
        return true;
    }
}

/* Nothing to compute, or nothing to compute it from. */
static bool is_empty(const struct i3d_convolution_geometry *geometry)
{
    return !geometry->batch || !geometry->channels || !geometry->filters
        || !i3d_product3(geometry->window.window.in) || !i3d_product3(geometry->window.window.out);
}

enum i3d_algorithm i3d_choose_algorithm(const struct i3d_convolution_geometry *geometry)
{
    const struct i3d_kernels *kernels = i3d_best_kernels();
    if (is_empty(geometry))
        return I3D_IM2COL;
    if (geometry->groups > 1 && i3d_algorithm_fits(I3D_DEPTHWISE, geometry))
        return I3D_DEPTHWISE;
    if (is_pointwise(&geometry->window.window))
        return I3D_POINTWISE;
    enum i3d_algorithm best = I3D_IM2COL;
    double least = i3d_matrix_cost(geometry, kernels);
    if (i3d_lines_fit(geometry) && i3d_lines_cost(geometry, kernels) < least) {
        least = i3d_lines_cost(geometry, kernels);
        best = I3D_LINES;
    }
    if (i3d_winograd_fits(geometry) && i3d_winograd_cost(geometry, kernels) < least)
        best = I3D_WINOGRAD;
    return best;
}

double i3d_convolution_multiply_adds(const struct i3d_convolution_geometry *geometry)
{
    double taps = (double)(geometry->channels / geometry->groups);
    double outputs = (double)geometry->batch * (double)geometry->filters;
    for (int k = 0; k < 3; k++) {
        taps *= (double)geometry->window.window.kernel[k];
        outputs *= (double)geometry->window.window.out[k];
    }
    return taps * outputs;
}

int64_t i3d_tap_groups(const struct i3d_window *window, int axis)
{
    int64_t a = window->stride[axis], b = window->dilation[axis];
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return window->stride[axis] / a;
}

/* BLAS counts in int; beyond, the counts of floats below would be next to overflow. */
static enum i3d_status derive(struct i3d_convolution *convolution, struct i3d_error *error)
{
    const struct i3d_convolution_geometry *geometry = &convolution->geometry;
    const struct i3d_window *window = &geometry->window.window;
    if (!i3d_algorithm_fits(convolution->algorithm, geometry))
        return i3d_fail(error, I3D_UNSUPPORTED, "this convolution cannot be done as %s",
                        i3d_algorithm_name(convolution->algorithm));
    convolution->channels = geometry->channels / geometry->groups;
    convolution->filters = geometry->filters / geometry->groups;
    convolution->kernel_size = i3d_product3(window->kernel);
    convolution->in_size = i3d_product3(window->in);
    convolution->out_size = i3d_product3(window->out);
    struct i3d_product largest = {
        .m = convolution->filters,
        .n = convolution->out_size,
        .k = convolution->channels * convolution->kernel_size,
        .lda = convolution->channels * convolution->kernel_size,
        .ldb = convolution->in_size,
        .ldc = convolution->out_size,
    };
    if (!i3d_product_fits(&largest))
        return i3d_fail(error, I3D_UNSUPPORTED, "a matrix side beyond 2^31 is not handled");
    convolution->panels = i3d_cut_rows(convolution->kernels, convolution->filters);
    return I3D_OK;
}

enum i3d_status i3d_convolution_prepare(const struct i3d_convolution_geometry *geometry,
                                        enum i3d_algorithm algorithm,
                                        const struct i3d_kernels *kernels, const float *weight,
                                        const double *scale, int threads,
                                        struct i3d_convolution **prepared,
                                        struct i3d_error *error)
{
    const struct i3d_convolution_methods *methods = algorithms[algorithm].methods;
    struct i3d_convolution *convolution = calloc(1, sizeof *convolution);
    if (!convolution)
        return i3d_fail_memory(error);
    convolution->geometry = *geometry;
    convolution->algorithm = algorithm;
    convolution->kernels = kernels;
    enum i3d_status status = derive(convolution, error);
    if (!status) {
        /* Groups begin on a cache line. */
        convolution->group_weights = i3d_round_up(methods->weight_count(convolution), 16);
        convolution->weight_count = geometry->groups * convolution->group_weights;
        size_t bytes = (size_t)convolution->weight_count * sizeof(float);
        convolution->weights = aligned_alloc(64, bytes ? bytes : 64);
        if (!convolution->weights)
            status = i3d_fail_memory(error);
    }
    if (status) {
        free(convolution);
        return status;
    }
    for (int64_t group = 0; group < geometry->groups; group++)
        methods->pack(convolution,
                      weight + group * convolution->filters * convolution->channels
                          * convolution->kernel_size,
                      scale ? scale + group * convolution->filters : NULL,
                      convolution->weights + group * convolution->group_weights, threads);
    *prepared = convolution;
    return I3D_OK;
}

void i3d_convolution_free(struct i3d_convolution *convolution)
{
    if (!convolution)
        return;
    free(convolution->weights);
    free(convolution);
}

enum i3d_status i3d_convolution_reshape(struct i3d_convolution *convolution, int64_t batch,
                                        const struct i3d_window3d *window,
                                        struct i3d_error *error)
{
    convolution->geometry.batch = batch;
    convolution->geometry.window = *window;
    return derive(convolution, error);
}

enum i3d_algorithm i3d_convolution_algorithm(const struct i3d_convolution *convolution)
{
    return convolution->algorithm;
}

size_t i3d_convolution_weight_bytes(const struct i3d_convolution *convolution)
{
    return (size_t)convolution->weight_count * sizeof(float);
}

size_t i3d_convolution_workspace(const struct i3d_convolution *convolution, int threads)
{
    int64_t floats = 0;
    if (!is_empty(&convolution->geometry))
        floats = algorithms[convolution->algorithm].methods->workspace(convolution, threads);
    return (size_t)i3d_round_up(floats + I3D_SLACK, 16) * sizeof(float);
}

static void fill(float *to, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = value;
}

/* The output over an empty input, all of it padding, if there is an output. */
static void see_nothing(const struct i3d_convolution_call *call)
{
    const struct i3d_convolution *convolution = call->convolution;
    for (int64_t i = 0; i < convolution->geometry.batch * convolution->geometry.filters; i++) {
        int64_t sample = i / convolution->geometry.filters;
        int64_t filter = i % convolution->geometry.filters;
        float *to = call->out + sample * call->out_stride + filter * convolution->out_size;
        fill(to, convolution->out_size, 0);
        i3d_finish_line(call, sample, filter, 0, to, convolution->out_size);
    }
}

void i3d_convolution_run(const struct i3d_convolution *convolution, const float *in,
                         int64_t in_stride, const struct i3d_epilogue *epilogue, float *out,
                         int64_t out_stride, void *workspace, int threads)
{
    struct i3d_convolution_call call = {
        .convolution = convolution,
        .in = in,
        .out = out,
        .in_stride = in_stride,
        .out_stride = out_stride,
        .epilogue = epilogue,
        .workspace = workspace,
        .threads = threads,
    };
    if (is_empty(&convolution->geometry))
        see_nothing(&call);
    else
        algorithms[convolution->algorithm].methods->run(&call);
}

void i3d_finish_line(const struct i3d_convolution_call *call, int64_t sample, int64_t filter,
                     int64_t first, const float *from, int64_t count)
{
    const struct i3d_convolution *convolution = call->convolution;
    const struct i3d_epilogue *epilogue = call->epilogue;
    int64_t at = filter * convolution->out_size + first;
    float *to = call->out + sample * call->out_stride + at;
    float bias = epilogue->bias ? epilogue->bias[filter] : 0;
    const float *residual = epilogue->residual;
    if (residual)
        residual += sample * epilogue->residual_stride + at;
    if (residual == from)
        residual = NULL; /* the sums were formed on top of it */
    if (from == to && !bias && !residual && epilogue->activation == I3D_ACTIVATION_NONE)
        return;
    convolution->kernels->finish(from, bias, residual, epilogue, to, count);
}

bool i3d_epilogue_is_simple(const struct i3d_epilogue *epilogue, bool *clamp, float *low,
                            float *high)
{
    *clamp = epilogue->activation == I3D_ACTIVATION_CLAMP;
    *low = epilogue->low;
    *high = epilogue->high;
    return !epilogue->residual
        && (*clamp || epilogue->activation == I3D_ACTIVATION_NONE);
}
