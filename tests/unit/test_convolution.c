/* Every algorithm of a convolution, on every instruction set that this processor
 * has, against the definition in double: random channels, groups, kernels,
 * strides, dilations, pads, edges in time, epilogues, outputs within larger ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tests/unit/one_node.h"
#include "verify/kernels.h"
#include "verify/matrix.h"

enum { ALGORITHMS = I3D_DEPTHWISE + 1, BEHIND = 5 };
static const float untouched = 12345;

struct trial {
    struct i3d_convolution_geometry geometry;
    int64_t in_count, out_count; /* elements of a sample */
    int64_t in_stride, out_stride;
    float *in, *weight, *bias, *residual, *out;
    double *scale, *expected;
    double largest; /* of the sums, before the activation */
    struct i3d_epilogue epilogue;
    bool in_place; /* the output starts out as the residual */
};

static int64_t product3(const int64_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}

static float *random_floats(int64_t count)
{
    float *values = malloc((size_t)(count + 1) * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)random_int(-1000, 1000) / 1000;
    return values;
}

/* A window that has at least one position on every axis. */
static void random_window(struct i3d_window3d *wide, int64_t largest_kernel, int64_t largest_in)
{
    struct i3d_window *window = &wide->window;
    *wide = (struct i3d_window3d){ .window.axes = 3, .clamp_time = random_int(0, 2) == 0 };
    for (int k = 0; k < 3; k++) {
        window->kernel[k] = random_int(1, k ? largest_kernel : 4);
        window->stride[k] = random_int(0, 1) ? 1 : random_int(1, 3);
        window->dilation[k] = random_int(0, 2) ? 1 : random_int(1, 3);
        int64_t reach = (window->kernel[k] - 1) * window->dilation[k] + 1;
        window->pad_begin[k] = random_int(0, reach - 1);
        window->pad_end[k] = random_int(0, reach - 1);
        window->in[k] = random_int(1, largest_in);
        if (window->in[k] < reach)
            window->in[k] = reach;
        window->out[k] = (window->in[k] + window->pad_begin[k] + window->pad_end[k] - reach)
            / window->stride[k] + 1;
    }
}

/* Windows that Winograd takes. */
static void tile_window(struct i3d_window *window)
{
    int64_t stride = random_int(1, 2), side = random_int(3, 5);
    for (int k = 1; k < 3; k++) {
        window->stride[k] = stride;
        window->dilation[k] = 1;
        window->kernel[k] = stride * side - (stride > 1 ? random_int(0, 1) : 0);
        window->pad_begin[k] = random_int(0, window->kernel[k] - 1);
        window->pad_end[k] = random_int(0, window->kernel[k] - 1);
        window->in[k] = random_int(window->kernel[k], 40);
        window->out[k] = (window->in[k] + window->pad_begin[k] + window->pad_end[k]
                          - window->kernel[k]) / stride + 1;
    }
}

static double activation(const struct i3d_epilogue *epilogue, double x)
{
    switch (epilogue->activation) {
    case I3D_ACTIVATION_CLAMP:
        return x < (double)epilogue->low ? (double)epilogue->low
            : x > (double)epilogue->high ? (double)epilogue->high : x;
    case I3D_ACTIVATION_LEAKY:
        return x < 0 ? (double)epilogue->slope * x : x;
    case I3D_ACTIVATION_HARD_SWISH:
        return x * fmax(0, fmin(1, x / 6 + 0.5));
    case I3D_ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case I3D_ACTIVATION_SWISH:
        return x / (1 + exp(-x));
    default:
        return x;
    }
}

/* Σ over the taps of one filter at one output position. */
static double sum_taps(const struct trial *trial, int64_t sample, int64_t filter,
                       const int64_t *position)
{
    const struct i3d_convolution_geometry *geometry = &trial->geometry;
    const struct i3d_window *window = &geometry->window.window;
    int64_t channels = geometry->channels / geometry->groups;
    int64_t group = filter / (geometry->filters / geometry->groups);
    int64_t taps = channels * product3(window->kernel);
    double sum = 0;
    for (int64_t k = 0; k < taps; k++) {
        int64_t x = k % window->kernel[2], y = k / window->kernel[2] % window->kernel[1];
        int64_t t = k / window->kernel[2] / window->kernel[1] % window->kernel[0];
        int64_t channel = group * channels + k / product3(window->kernel);
        int64_t at[3] = { t, y, x };
        for (int axis = 0; axis < 3; axis++)
            at[axis] = position[axis] * window->stride[axis] - window->pad_begin[axis]
                + at[axis] * window->dilation[axis];
        if (geometry->window.clamp_time)
            at[0] = at[0] < 0 ? 0 : at[0] >= window->in[0] ? window->in[0] - 1 : at[0];
        if (at[0] < 0 || at[0] >= window->in[0] || at[1] < 0 || at[1] >= window->in[1] || at[2] < 0
            || at[2] >= window->in[2])
            continue;
        sum += (double)trial->weight[filter * taps + k]
            * (double)trial->in[sample * trial->in_stride + channel * product3(window->in)
                                + (at[0] * window->in[1] + at[1]) * window->in[2] + at[2]];
    }
    return trial->scale ? sum * trial->scale[filter] : sum;
}

static void compute_expected(struct trial *trial)
{
    const struct i3d_convolution_geometry *geometry = &trial->geometry;
    const int64_t *out = geometry->window.window.out;
    int64_t size = product3(out);
    for (int64_t i = 0; i < geometry->batch * trial->out_count; i++) {
        int64_t sample = i / trial->out_count, at = i % trial->out_count;
        int64_t position[] = { at % size / (out[1] * out[2]), at / out[2] % out[1], at % out[2] };
        double sum = sum_taps(trial, sample, at / size, position);
        if (trial->epilogue.bias)
            sum += (double)trial->bias[at / size];
        if (trial->epilogue.residual)
            sum += (double)trial->residual[sample * trial->out_stride + at];
        trial->largest = fmax(trial->largest, fabs(sum));
        trial->expected[i] = activation(&trial->epilogue, sum);
    }
}

static void random_epilogue(struct trial *trial)
{
    trial->epilogue = (struct i3d_epilogue){
        .bias = random_int(0, 1) ? trial->bias : NULL,
        .activation = (enum i3d_activation)random_int(0, I3D_ACTIVATION_SWISH),
        .low = -0.5f,
        .high = random_int(0, 1) ? INFINITY : 0.5f,
        .slope = 0.1f,
    };
    trial->in_place = random_int(0, 3) == 0;
    if (random_int(0, 1) || trial->in_place) {
        trial->epilogue.residual = trial->in_place ? trial->out : trial->residual;
        trial->epilogue.residual_stride = trial->out_stride;
    }
}

static void open_trial(struct trial *trial)
{
    const struct i3d_convolution_geometry *geometry = &trial->geometry;
    const struct i3d_window *window = &geometry->window.window;
    trial->in_count = geometry->channels * product3(window->in);
    trial->out_count = geometry->filters * product3(window->out);
    trial->in_stride = trial->in_count + random_int(0, 1) * 7;
    trial->out_stride = trial->out_count + BEHIND;
    trial->in = random_floats(geometry->batch * trial->in_stride);
    trial->weight = random_floats(geometry->filters * geometry->channels / geometry->groups
                                  * product3(window->kernel));
    trial->bias = random_floats(geometry->filters);
    trial->residual = random_floats(geometry->batch * trial->out_stride);
    trial->out = random_floats(geometry->batch * trial->out_stride);
    trial->expected = malloc((size_t)(geometry->batch * trial->out_count) * sizeof(double));
    trial->scale = random_int(0, 2) ? NULL : malloc((size_t)geometry->filters * sizeof(double));
    assert_non_null(trial->expected);
    trial->largest = 1e-3;
    for (int64_t i = 0; trial->scale && i < geometry->filters; i++)
        trial->scale[i] = (double)random_int(-2000, 2000) / 1000;
    random_epilogue(trial);
    compute_expected(trial);
}

static void close_trial(struct trial *trial)
{
    free(trial->in);
    free(trial->weight);
    free(trial->bias);
    free(trial->residual);
    free(trial->out);
    free(trial->expected);
    free(trial->scale);
}

/* Runs one algorithm on some kernels; the largest error over the largest sum. */
static double run_trial(struct trial *trial, enum i3d_algorithm algorithm,
                        const struct i3d_kernels *kernels, int threads)
{
    const struct i3d_convolution_geometry *geometry = &trial->geometry;
    struct i3d_convolution *convolution;
    assert_int_equal(i3d_convolution_prepare(geometry, algorithm, kernels, trial->weight,
                                             trial->scale, threads, &convolution, NULL),
                     I3D_OK);
    void *workspace = aligned_alloc(64, i3d_convolution_workspace(convolution, threads));
    assert_non_null(workspace);
    memset(workspace, 0xff, i3d_convolution_workspace(convolution, threads)); /* NaNs */
    for (int64_t i = 0; i < geometry->batch * trial->out_stride; i++)
        trial->out[i] = trial->in_place && i % trial->out_stride < trial->out_count
            ? trial->residual[i] : untouched;
    struct i3d_blas_state blas = i3d_blas_begin();
    i3d_convolution_run(convolution, trial->in, trial->in_stride, &trial->epilogue, trial->out,
                        trial->out_stride, workspace, threads);
    i3d_blas_end(blas);
    double worst = 0;
    for (int64_t i = 0; i < geometry->batch * trial->out_stride; i++) {
        int64_t sample = i / trial->out_stride, at = i % trial->out_stride;
        if (at >= trial->out_count) {
            assert_true(trial->out[i] == untouched);
            continue;
        }
        double expected = trial->expected[sample * trial->out_count + at];
        double error = fabs((double)trial->out[i] - expected);
        worst = error <= worst ? worst : error; /* NaN counts */
    }
    free(workspace);
    i3d_convolution_free(convolution);
    return worst / trial->largest;
}

static void report(const struct trial *trial, const char *algorithm, const char *kernels,
                   double error)
{
    const struct i3d_convolution_geometry *geometry = &trial->geometry;
    const struct i3d_window *window = &geometry->window.window;
    print_message("%s on %s: error %g; batch %d, %d channels, %d filters, %d groups, clamp %d\n",
                  algorithm, kernels, error, (int)geometry->batch, (int)geometry->channels,
                  (int)geometry->filters, (int)geometry->groups, geometry->window.clamp_time);
    for (int k = 0; k < 3; k++)
        print_message("  kernel %d stride %d dilation %d pads %d %d in %d out %d\n",
                      (int)window->kernel[k], (int)window->stride[k], (int)window->dilation[k],
                      (int)window->pad_begin[k], (int)window->pad_end[k], (int)window->in[k],
                      (int)window->out[k]);
    fail();
}

static int tried[ALGORITHMS];

static void try_all(struct trial *trial)
{
    open_trial(trial);
    for (int algorithm = 0; algorithm < ALGORITHMS; algorithm++) {
        if (!i3d_algorithm_fits((enum i3d_algorithm)algorithm, &trial->geometry))
            continue;
        tried[algorithm]++;
        for (size_t k = 0; i3d_kernels_at(k); k++) {
            double error = run_trial(trial, (enum i3d_algorithm)algorithm, i3d_kernels_at(k),
                                     (int)random_int(1, 3));
            if (!(error < (algorithm == I3D_WINOGRAD ? 2e-5 : 4e-6)))
                report(trial, i3d_algorithm_name((enum i3d_algorithm)algorithm),
                       i3d_kernels_at(k)->name, error);
        }
    }
    close_trial(trial);
}

static void algorithms_agree_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct trial trial = { .geometry.batch = random_int(1, 2) };
        struct i3d_convolution_geometry *geometry = &trial.geometry;
        int kind = i % 4;
        geometry->groups = kind == 0 ? random_int(2, 3) : kind == 1 ? random_int(2, 9) : 1;
        geometry->channels = geometry->groups * (kind == 1 ? 1 : random_int(1, 9));
        geometry->filters = geometry->groups * random_int(1, kind == 1 ? 3 : 23);
        random_window(&geometry->window, 5, 11);
        if (kind == 3)
            tile_window(&geometry->window.window);
        try_all(&trial);
    }
    for (int i = 0; i < 12; i++) {
        struct trial trial = { .geometry = { .batch = 2, .groups = 1 } };
        trial.geometry.channels = random_int(1, 700);
        trial.geometry.filters = random_int(1, 40);
        struct i3d_window *window = &trial.geometry.window.window;
        window->axes = 3;
        for (int k = 0; k < 3; k++) {
            window->kernel[k] = window->stride[k] = window->dilation[k] = 1;
            window->in[k] = window->out[k] = random_int(1, 12);
        }
        try_all(&trial);
    }
    /* Too large for one block, or one round of what is gathered. */
    for (int i = 0; i < 8; i++) {
        struct trial trial = { .geometry = { .batch = 1, .groups = 1 } };
        trial.geometry.channels = random_int(1, i % 2 ? 250 : 60);
        trial.geometry.filters = random_int(1, 20);
        struct i3d_window *window = &trial.geometry.window.window;
        random_window(&trial.geometry.window, 3, i % 2 ? 12 : 60);
        window->in[0] = window->out[0] = window->kernel[0] = window->stride[0] = 1;
        window->pad_begin[0] = window->pad_end[0] = 0;
        try_all(&trial);
    }
    for (int algorithm = 0; algorithm < ALGORITHMS; algorithm++)
        assert_true(tried[algorithm] >= 10);
}

/* A layer of I3D or Inception-V1 over an input as after a Relu; outputs of `out` × `out`. */
struct layer {
    const char *name;
    int64_t channels, taps, side, stride, out;
};

/* What the manual states of Winograd's error. */
static void errors_of_layers_are_small(void **state)
{
    (void)state;
    static const struct layer layers[] = {
        { "Conv3d_1a 7x7x7, stride 2", 3, 7, 7, 2, 56 },
        { "Conv3d_2c 3x3x3", 64, 3, 3, 1, 56 },
        { "Mixed_3b/Branch_1 3x3x3", 96, 3, 3, 1, 28 },
        { "Mixed_3b/Branch_2 3x3x3", 16, 3, 3, 1, 28 },
        { "Mixed_3c/Branch_1 3x3x3", 128, 3, 3, 1, 28 },
        { "Mixed_3c/Branch_2 3x3x3", 32, 3, 3, 1, 28 },
        { "Mixed_4b/Branch_1 3x3x3", 96, 3, 3, 1, 14 },
        { "Mixed_4b/Branch_2 3x3x3", 16, 3, 3, 1, 14 },
        { "Mixed_4c/Branch_1 3x3x3", 112, 3, 3, 1, 14 },
        { "Mixed_4c, 4d/Branch_2 3x3x3", 24, 3, 3, 1, 14 },
        { "Mixed_4d/Branch_1 3x3x3", 128, 3, 3, 1, 14 },
        { "Mixed_4e/Branch_1 3x3x3", 144, 3, 3, 1, 14 },
        { "Mixed_4e, 4f/Branch_2 3x3x3", 32, 3, 3, 1, 14 },
        { "Mixed_4f/Branch_1 3x3x3", 160, 3, 3, 1, 14 },
        { "Mixed_5b/Branch_1 3x3x3", 160, 3, 3, 1, 7 },
        { "Mixed_5b/Branch_2 3x3x3", 32, 3, 3, 1, 7 },
        { "Mixed_5c/Branch_1 3x3x3", 192, 3, 3, 1, 7 },
        { "Mixed_5c/Branch_2 3x3x3", 48, 3, 3, 1, 7 },
        { "Conv2d_2c 3x3", 64, 1, 3, 1, 56 },
        { "5x5", 32, 1, 5, 1, 28 },
    };
    print_message("largest error over the layer's largest value, against float64:\n");
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        const struct layer *layer = &layers[i];
        struct trial trial = { .geometry = { .batch = 1, .groups = 1 } };
        struct i3d_window *window = &trial.geometry.window.window;
        trial.geometry.channels = layer->channels;
        trial.geometry.filters = 8;
        window->axes = 3;
        for (int k = 0; k < 3; k++) {
            window->kernel[k] = k ? layer->side : layer->taps;
            window->stride[k] = k ? layer->stride : 1;
            window->dilation[k] = 1;
            window->pad_begin[k] = window->pad_end[k] = window->kernel[k] / 2;
            window->in[k] = k ? layer->out * layer->stride : layer->taps;
            window->out[k] = k ? layer->out : 1;
        }
        window->pad_begin[0] = window->pad_end[0] = 0; /* a whole window of frames */
        open_trial(&trial);
        for (int64_t k = 0; k < trial.in_count; k++)
            trial.in[k] = trial.in[k] > 0 ? trial.in[k] : 0;
        free(trial.scale);
        trial.scale = NULL;
        trial.in_place = false;
        trial.epilogue = (struct i3d_epilogue){ 0 };
        trial.largest = 0;
        compute_expected(&trial);
        double winograd = run_trial(&trial, I3D_WINOGRAD, i3d_best_kernels(), 2);
        double direct = run_trial(&trial, I3D_IM2COL, i3d_best_kernels(), 2);
        print_message("%-30s Winograd %.1e, direct %.1e\n", layer->name,
                      winograd, direct);
        assert_true(winograd < 1e-5);
        assert_true(direct < 1e-6);
        close_trial(&trial);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algorithms_agree_with_the_definition),
        cmocka_unit_test(errors_of_layers_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
