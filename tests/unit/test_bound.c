/* The bound that a layer alone is judged by: rounding stays well below it, small errors do
 * not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "verify/boring.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })
#define DIMS(...) ((int64_t[]){ __VA_ARGS__ })

enum { OUTPUTS = 6, SIDE = 8, FRAMES = 8 };

enum spread { NORMAL, POSITIVE, WIDE, SPREADS };

/* One convolution, and what is done to its 3D twin. */
struct layer {
    int64_t channels, kernel;
    enum spread spread;
    enum i3d_dtype dtype;
    uint64_t seed;
    float factor; /* of the last slice; 0: as it should be */
};

static float spread_out(float normal, enum spread spread)
{
    return spread == POSITIVE ? fabsf(normal) : spread == WIDE ? normal * expf(2 * normal) : normal;
}

/* O×I×K×K normal numbers, spread out and rounded. */
static float *weights_of(const struct layer *layer, int64_t *count)
{
    struct i3d_array array;
    assert_int_equal(i3d_array_new(I3D_FLOAT32, 4, DIMS(OUTPUTS, layer->channels, layer->kernel,
                                                        layer->kernel), &array, NULL), I3D_OK);
    i3d_normal_values(layer->seed, &array);
    float *values = array.data;
    *count = i3d_element_count(4, array.dims);
    for (int64_t i = 0; i < *count; i++)
        values[i] = spread_out(values[i], layer->spread);
    return values;
}

static void put_kernel(struct i3d_model *model, const struct layer *layer, bool inflated)
{
    int64_t count, taps = inflated ? layer->kernel : 1, plane = layer->kernel * layer->kernel;
    float *flat = weights_of(layer, &count);
    double *wide = malloc((size_t)(count * taps) * sizeof *wide);
    void *bytes = malloc((size_t)(count * taps) * sizeof *wide);
    assert_true(wide && bytes);
    for (int64_t i = 0; i < count; i++) {
        double exact = (double)flat[i], rounded;
        i3d_from_double(layer->dtype, &exact, bytes, 1);
        i3d_to_double(layer->dtype, bytes, &rounded, 1);
        for (int64_t t = 0; t < taps; t++) {
            bool damaged = inflated && layer->factor > 0 && t == taps - 1;
            wide[(i / plane * taps + t) * plane + i % plane] =
                rounded / (double)taps * (damaged ? (double)layer->factor : 1);
        }
    }
    i3d_from_double(layer->dtype, wide, bytes, (size_t)(count * taps));
    struct i3d_source *source =
        i3d_source_copy(bytes, (size_t)(count * taps) * i3d_dtype_size(layer->dtype));
    const int64_t *dims = inflated
        ? DIMS(OUTPUTS, layer->channels, taps, layer->kernel, layer->kernel)
        : DIMS(OUTPUTS, layer->channels, layer->kernel, layer->kernel);
    assert_int_equal(i3d_model_put_tensor(model, "w", layer->dtype, inflated ? 5 : 4, dims, source,
                                          NULL), I3D_OK);
    free(flat);
    free(wide);
    free(bytes);
}

static struct i3d_model *build(const struct layer *layer, bool inflated)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    struct i3d_value *input = i3d_model_add_input(model), *output = i3d_model_add_output(model);
    assert_true(input && output && i3d_set_opset(model, "", 13));
    *input = (struct i3d_value){ .name = "x", .dtype = I3D_FLOAT32, .rank = inflated ? 5 : 4,
                                 .dims = { { 1, NULL }, { layer->channels, NULL }, { SIDE, NULL },
                                           { SIDE, NULL } } };
    if (inflated) {
        input->dims[2] = (struct i3d_dim){ FRAMES, NULL };
        input->dims[3] = input->dims[4] = (struct i3d_dim){ SIDE, NULL };
        model->time_axis = 2;
    }
    *output = (struct i3d_value){ .name = "y", .dtype = I3D_FLOAT32, .rank = -1 };
    put_kernel(model, layer, inflated);
    struct i3d_node *node = i3d_model_put_node(model, "Conv", "y", NAMES("x", "w"), NAMES("y"));
    int64_t half = layer->kernel / 2;
    assert_non_null(node);
    assert_true(i3d_set_ints(model, node, "pads", DIMS(half, half, half, half, half, half),
                             inflated ? 6 : 4));
    return model;
}

/* The layer's error alone over its bound. */
static double share_of(const struct layer *layer, enum i3d_engine engine)
{
    struct i3d_model *flat = build(layer, false), *inflated = build(layer, true);
    struct i3d_array image;
    struct i3d_proof proof;
    struct i3d_error why;
    assert_int_equal(i3d_array_new(I3D_FLOAT32, 4, DIMS(1, layer->channels, SIDE, SIDE), &image,
                                   NULL), I3D_OK);
    i3d_normal_values(~layer->seed, &image);
    float *values = image.data;
    for (int64_t i = 0; i < layer->channels * SIDE * SIDE; i++)
        values[i] = spread_out(values[i], layer->spread);
    struct i3d_proof_options options = { .engine = engine, .threads = 1, .tolerance = -1,
                                         .images = &image, .image_count = 1 };
    if (i3d_prove(flat, inflated, &options, &proof, &why))
        fail_msg("%s", why.message);
    const struct i3d_layer_verdict *verdict = &proof.layers[0];
    assert_true(verdict->alone.judged && verdict->bound > 0);
    assert_true(verdict->alone.good == (verdict->alone.max_relative <= verdict->bound));
    double share = verdict->alone.max_relative / verdict->bound;
    i3d_proof_free(&proof);
    i3d_array_free(&image);
    i3d_model_free(flat);
    i3d_model_free(inflated);
    return share;
}

static const struct layer layers[] = {
    { .channels = 3, .kernel = 7 }, { .channels = 16, .kernel = 3 },
    { .channels = 64, .kernel = 1 }, { .channels = 64, .kernel = 3 },
    { .channels = 512, .kernel = 1 }, { .channels = 256, .kernel = 3 },
};
enum { LAYERS = sizeof layers / sizeof *layers };

/* The largest share of the bound that rounding reaches. */
static double largest_share(enum i3d_dtype dtype, enum i3d_engine engine)
{
    double worst = 0;
    for (size_t k = 0; k < LAYERS * SPREADS * 6; k++) {
        struct layer layer = layers[k % LAYERS];
        layer.spread = (enum spread)(k / LAYERS % SPREADS);
        layer.seed = k;
        layer.dtype = dtype;
        worst = fmax(worst, share_of(&layer, engine));
    }
    return worst;
}

/* The smallest multiple of the bound that a slice reaches which is so many times too large. */
static double smallest_multiple(enum i3d_dtype dtype, float factor)
{
    double least = INFINITY;
    for (size_t k = 0; k < LAYERS * SPREADS; k++) {
        struct layer layer = layers[k % LAYERS];
        layer.spread = (enum spread)(k / LAYERS);
        layer.seed = k;
        layer.dtype = dtype;
        layer.factor = factor;
        least = fmin(least, share_of(&layer, I3D_ENGINE_DIRECT));
    }
    return least;
}

static void rounding_stays_below(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        enum i3d_engine engine;
        double most;
    } engines[] = { { "direct", I3D_ENGINE_DIRECT, 0.3 },
                    { "reference", I3D_ENGINE_REFERENCE, 0.3 },
                    { "fast", I3D_ENGINE_FAST, 0.7 } };
    for (int k = 0; k < 3; k++) {
        double share = largest_share(I3D_FLOAT32, engines[k].engine);
        double half = largest_share(I3D_FLOAT16, engines[k].engine);
        print_message("# %s: rounding reaches %.2f of the bound, in float16 %.2f\n",
                      engines[k].name, share, half);
        assert_true(share > 0.01 && share < engines[k].most);
        assert_true(half > 0.01 && half < 0.3);
    }
}

static void small_errors_exceed_it(void **unused)
{
    (void)unused;
    double thousandth = smallest_multiple(I3D_FLOAT32, 1.001f);
    double tenth = smallest_multiple(I3D_FLOAT16, 1.1f);
    print_message("# a slice off by a thousandth is at least %.1f times the bound, in float16 one "
                  "off by a tenth %.1f times\n", thousandth, tenth);
    assert_true(thousandth > 1);
    assert_true(tenth > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_stays_below),
        cmocka_unit_test(small_errors_exceed_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
