/* Convolutions and pools of one to three axes against loops in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tests/unit/one_node.h"

enum { ROUNDS = 150 };

/* A random window over 1 to 3 axes; missing ones ahead have length 1. */
struct geometry {
    int axes;
    int64_t in[3], kernel[3], stride[3], dilation[3], begin[3], end[3], out[3];
};

static int64_t extent(const struct geometry *g, int k)
{
    return (g->kernel[k] - 1) * g->dilation[k] + 1;
}

static struct geometry random_geometry(void)
{
    struct geometry g = { .axes = (int)random_int(1, 3) };
    for (int k = 0; k < 3; k++) {
        bool there = k >= 3 - g.axes;
        g.kernel[k] = there ? random_int(1, 4) : 1;
        g.stride[k] = there ? random_int(1, 3) : 1;
        g.dilation[k] = there ? random_int(1, 2) : 1;
        g.begin[k] = there ? random_int(0, g.kernel[k] - 1) : 0;
        g.end[k] = there ? random_int(0, g.kernel[k] - 1) : 0;
        int64_t least = extent(&g, k) - g.begin[k] - g.end[k];
        g.in[k] = there ? random_int(least > 1 ? least : 1, 9) : 1;
        g.out[k] = (g.in[k] + g.begin[k] + g.end[k] - extent(&g, k)) / g.stride[k] + 1;
    }
    return g;
}

static void set_geometry(struct i3d_model *model, struct i3d_node *node, const struct geometry *g)
{
    int64_t pads[6];
    int first = 3 - g->axes;
    size_t axes = (size_t)g->axes;
    for (int k = 0; k < g->axes; k++) {
        pads[k] = g->begin[first + k];
        pads[g->axes + k] = g->end[first + k];
    }
    assert_true(i3d_set_ints(model, node, "kernel_shape", g->kernel + first, axes));
    assert_true(i3d_set_ints(model, node, "strides", g->stride + first, axes));
    assert_true(i3d_set_ints(model, node, "dilations", g->dilation + first, axes));
    assert_true(i3d_set_ints(model, node, "pads", pads, 2 * axes));
}

static struct i3d_array random_data(int64_t first, int64_t second, int axes, const int64_t *sizes)
{
    int64_t dims[5] = { first, second };
    memcpy(dims + 2, sizes + 3 - axes, (size_t)axes * sizeof *dims);
    return random_array(2 + axes, dims);
}

static int64_t volume(const int64_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}

static void unravel(int64_t flat, const int64_t *sizes, int64_t *position)
{
    position[0] = flat / (sizes[1] * sizes[2]);
    position[1] = flat / sizes[2] % sizes[1];
    position[2] = flat % sizes[2];
}

/* The flat input position that tap of the window at out sees, or -1. */
static int64_t seen(const struct geometry *g, int64_t out, int64_t tap, bool *in_padding)
{
    int64_t o[3], k[3], flat = 0;
    bool outside = false;
    unravel(out, g->out, o);
    unravel(tap, g->kernel, k);
    *in_padding = true;
    for (int a = 0; a < 3; a++) {
        int64_t position = o[a] * g->stride[a] - g->begin[a] + k[a] * g->dilation[a];
        outside |= position < 0 || position >= g->in[a];
        *in_padding &= position < g->in[a] + g->end[a];
        flat = flat * g->in[a] + position;
    }
    return outside ? -1 : flat;
}

static void conv_matches_loops(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct geometry g = random_geometry();
        int64_t groups = random_int(1, 3), channels = random_int(1, 3), filters = random_int(1, 4);
        int64_t batch = random_int(1, 2), bias_dim = filters * groups;
        struct i3d_array inputs[] = {
            random_data(batch, channels * groups, g.axes, g.in),
            random_data(filters * groups, channels, g.axes, g.kernel),
            random_array(1, &bias_dim),
        };
        bool biased = random_bits() & 1;
        struct i3d_node *node;
        struct i3d_model *model = one_node("Conv", OPSET, inputs, biased ? 3 : 2, &node);
        set_geometry(model, node, &g);
        assert_true(i3d_set_int(model, node, "group", groups));
        struct i3d_array output = run(model, inputs);

        const float *in = inputs[0].data, *weight = inputs[1].data, *bias = inputs[2].data;
        int64_t in_size = volume(g.in), taps = volume(g.kernel), out_size = volume(g.out);
        assert_int_equal(i3d_element_count(output.rank, output.dims),
                         batch * filters * groups * out_size);
        for (int64_t i = 0; i < batch * filters * groups * out_size; i++) {
            int64_t out = i % out_size, filter = i / out_size % (filters * groups);
            int64_t plane = i / out_size / (filters * groups) * groups + filter / filters;
            double sum = biased ? (double)bias[filter] : 0;
            for (int64_t c = 0; c < channels; c++) {
                for (int64_t tap = 0; tap < taps; tap++) {
                    bool in_padding;
                    int64_t at = seen(&g, out, tap, &in_padding);
                    if (at >= 0)
                        sum += (double)in[(plane * channels + c) * in_size + at]
                            * (double)weight[(filter * channels + c) * taps + tap];
                }
            }
            assert_near((double)((float *)output.data)[i], sum, 1e-5);
        }
        for (int k = 0; k < 3; k++)
            i3d_array_free(&inputs[k]);
        i3d_array_free(&output);
    }
}

/* The transpose of a convolution: <conv(x), y> = <x, transposed(y)>, that is,
 * every output element gets back what the convolution takes from it. */
static void conv_transpose_matches_loops(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct geometry g = random_geometry();
        int64_t groups = random_int(1, 3), channels = random_int(1, 3), filters = random_int(1, 3);
        struct i3d_array inputs[] = {
            random_data(1, channels * groups, g.axes, g.out),
            random_data(channels * groups, filters, g.axes, g.kernel),
        };
        struct i3d_node *node;
        struct i3d_model *model = one_node("ConvTranspose", OPSET, inputs, 2, &node);
        set_geometry(model, node, &g);
        assert_true(i3d_set_int(model, node, "group", groups));
        /* What the stride leaves of the convolution's input at its end. */
        int64_t rest[3];
        for (int k = 0; k < 3; k++)
            rest[k] = (g.in[k] + g.begin[k] + g.end[k] - extent(&g, k)) % g.stride[k];
        assert_true(i3d_set_ints(model, node, "output_padding", rest + 3 - g.axes,
                                 (size_t)g.axes));
        struct i3d_array output = run(model, inputs);

        int64_t in_size = volume(g.in), taps = volume(g.kernel), out_size = volume(g.out);
        int64_t count = filters * groups * in_size;
        assert_int_equal(i3d_element_count(output.rank, output.dims), count);
        double *expected = calloc((size_t)count, sizeof *expected);
        assert_non_null(expected);
        for (int64_t channel = 0; channel < channels * groups; channel++) {
            for (int64_t i = 0; i < filters * out_size * taps; i++) {
                int64_t tap = i % taps, from = i / taps % out_size, filter = i / taps / out_size;
                bool in_padding;
                int64_t to = seen(&g, from, tap, &in_padding);
                int64_t plane = channel / channels * filters + filter;
                if (to >= 0)
                    expected[plane * in_size + to] +=
                        (double)((float *)inputs[0].data)[channel * out_size + from]
                        * (double)((float *)inputs[1].data)[(channel * filters + filter) * taps
                                                            + tap];
            }
        }
        for (int64_t i = 0; i < count; i++)
            assert_near((double)((float *)output.data)[i], expected[i], 1e-5);
        free(expected);
        i3d_array_free(&inputs[0]);
        i3d_array_free(&inputs[1]);
        i3d_array_free(&output);
    }
}

/* Rounds the output up where that adds no window that starts in the end padding. */
static void round_up(struct geometry *g)
{
    for (int k = 0; k < 3; k++) {
        int64_t room = g->in[k] + g->begin[k] + g->end[k] - extent(g, k);
        if (room % g->stride[k] && g->out[k] * g->stride[k] < g->in[k] + g->begin[k])
            g->out[k]++;
    }
}

static double pool_window(const struct geometry *g, const char *op_type, bool count_padding,
                          const float *in, int64_t out)
{
    double most = -INFINITY, sum = 0, squares = 0;
    int64_t count = 0;
    for (int64_t tap = 0; tap < volume(g->kernel); tap++) {
        bool in_padding;
        int64_t at = seen(g, out, tap, &in_padding);
        count += at >= 0 || (count_padding && in_padding);
        if (at < 0)
            continue;
        double value = (double)in[at];
        most = value > most ? value : most;
        sum += value;
        squares += value * value;
    }
    if (!strcmp(op_type, "MaxPool"))
        return most;
    return !strcmp(op_type, "LpPool") ? sqrt(squares) : count ? sum / (double)count : 0;
}

static void pools_match_loops(void **state)
{
    (void)state;
    static const char *const op_types[] = { "MaxPool", "AveragePool", "LpPool" };
    for (int round = 0; round < 2 * ROUNDS; round++) {
        struct geometry g = random_geometry();
        const char *op_type = op_types[round % 3];
        bool ceil_mode = random_bits() & 1, count_padding = random_bits() & 1;
        struct i3d_array input = random_data(2, 3, g.axes, g.in);
        struct i3d_node *node;
        struct i3d_model *model = one_node(op_type, OPSET, &input, 1, &node);
        set_geometry(model, node, &g);
        assert_true(i3d_set_int(model, node, "ceil_mode", ceil_mode));
        assert_true(i3d_set_int(model, node, "count_include_pad", count_padding));
        if (ceil_mode)
            round_up(&g);
        struct i3d_array output = run(model, &input);
        int64_t in_size = volume(g.in), out_size = volume(g.out);
        assert_int_equal(i3d_element_count(output.rank, output.dims), 6 * out_size);
        for (int64_t i = 0; i < 6 * out_size; i++) {
            double expected = pool_window(&g, op_type, count_padding,
                                          (float *)input.data + i / out_size * in_size,
                                          i % out_size);
            double value = (double)((float *)output.data)[i];
            if (isinf(expected))
                assert_true(isinf(value));
            else
                assert_near(value, expected, 1e-5);
        }
        i3d_array_free(&input);
        i3d_array_free(&output);
    }
}

/* A copy of a clip with its first and last frame repeated. */
static struct i3d_array extend(const struct i3d_array *clip, int64_t begin, int64_t end)
{
    int64_t dims[5], frames = clip->dims[2], frame = clip->dims[3] * clip->dims[4];
    memcpy(dims, clip->dims, sizeof dims);
    dims[2] = begin + frames + end;
    struct i3d_array longer = make_array(I3D_FLOAT32, 5, dims);
    for (int64_t plane = 0; plane < dims[0] * dims[1]; plane++) {
        for (int64_t t = 0; t < dims[2]; t++) {
            int64_t from = t - begin < 0 ? 0 : t - begin >= frames ? frames - 1 : t - begin;
            memcpy((float *)longer.data + (plane * dims[2] + t) * frame,
                   (float *)clip->data + (plane * frames + from) * frame,
                   (size_t)frame * sizeof(float));
        }
    }
    return longer;
}

static void edge_padding_is_a_longer_clip(void **state)
{
    (void)state;
    static const char *const op_types[] = { "Conv", "MaxPool", "AveragePool", "LpPool" };
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const char *op_type = op_types[round % 4];
        bool is_conv = round % 4 == 0, ceil_mode = !is_conv && random_bits() & 1;
        bool count_padding = random_bits() & 1;
        struct geometry g = random_geometry();
        g.axes = 3;
        struct i3d_array inputs[] = { random_data(1, 2, 3, g.in), random_data(3, 2, 3, g.kernel) };
        size_t count = is_conv ? 2 : 1;
        struct i3d_node *node;
        struct i3d_model *model = one_node(op_type, OPSET, inputs, count, &node);
        set_geometry(model, node, &g);
        assert_true(i3d_set_int(model, node, "ceil_mode", ceil_mode));
        assert_true(i3d_set_int(model, node, "count_include_pad", count_padding));
        struct i3d_array edge = run_padded(model, inputs, I3D_TIME_EDGE);

        /* As long as the windows reach, and no time padding left. */
        int64_t reach = (edge.dims[2] - 1) * g.stride[0] + extent(&g, 0);
        int64_t end = reach - g.in[0] - g.begin[0];
        struct i3d_array longer[] = { extend(&inputs[0], g.begin[0], end > 0 ? end : 0),
                                      inputs[1] };
        g.begin[0] = g.end[0] = 0;
        model = one_node(op_type, OPSET, longer, count, &node);
        set_geometry(model, node, &g);
        assert_true(i3d_set_int(model, node, "ceil_mode", ceil_mode));
        assert_true(i3d_set_int(model, node, "count_include_pad", count_padding));
        struct i3d_array expected = run(model, longer);
        assert_dims(&edge, 5, expected.dims);
        for (int64_t i = 0; i < i3d_element_count(5, edge.dims); i++) {
            float value = ((float *)edge.data)[i], right = ((float *)expected.data)[i];
            if (value != right)
                assert_near((double)value, (double)right, 1e-5);
        }
        i3d_array_free(&inputs[0]);
        i3d_array_free(&inputs[1]);
        i3d_array_free(&longer[0]);
        i3d_array_free(&edge);
        i3d_array_free(&expected);
    }
}

/* Exporters write the padding of a convolution as a Pad node: time gets edges,
 * height and width stay as they are. */
static void edge_padding_reaches_pad_nodes(void **state)
{
    (void)state;
    struct i3d_array inputs[] = {
        random_array(5, (int64_t[]){ 1, 1, 2, 1, 1 }),
        int_list(10, (int64_t[]){ 0, 0, 2, 0, 0, 0, 0, 1, 0, 1 }),
    };
    struct i3d_node *node;
    struct i3d_array output = run_padded(one_node("Pad", OPSET, inputs, 2, &node), inputs,
                                         I3D_TIME_EDGE);
    const float *in = inputs[0].data;
    assert_floats(&output, 10, (float[]){ in[0], 0, in[0], 0, in[0], 0, in[1], 0, in[1], 0 });
    i3d_array_free(&output);
    output = run(one_node("Pad", OPSET, inputs, 2, &node), inputs);
    assert_floats(&output, 10, (float[]){ 0, 0, 0, 0, in[0], 0, in[1], 0, 0, 0 });
    i3d_array_free(&output);
    i3d_array_free(&inputs[0]);
    i3d_array_free(&inputs[1]);
}

/* An output frame sums one class of taps, all of which find a frame to read. */
static void edge_padding_reaches_transposed_convolutions(void **state)
{
    (void)state;
    struct i3d_array inputs[] = { make_array(I3D_FLOAT32, 5, (int64_t[]){ 1, 1, 3, 1, 1 }),
                                  make_array(I3D_FLOAT32, 5, (int64_t[]){ 1, 1, 3, 1, 1 }) };
    static const float clip[] = { 1, 10, 100 }, kernel[] = { 1, 2, 4 };
    for (int i = 0; i < 3; i++) {
        ((float *)inputs[0].data)[i] = clip[i];
        ((float *)inputs[1].data)[i] = kernel[i];
    }
    struct i3d_node *node;
    struct i3d_model *model = one_node("ConvTranspose", OPSET, inputs, 2, &node);
    assert_true(i3d_set_ints(model, node, "strides", (int64_t[]){ 2, 1, 1 }, 3));
    struct i3d_array output = run_padded(model, inputs, I3D_TIME_EDGE);
    assert_floats(&output, 7, (float[]){ 5, 2, 14, 20, 140, 200, 500 });
    i3d_array_free(&output);
    model = one_node("ConvTranspose", OPSET, inputs, 2, &node);
    assert_true(i3d_set_ints(model, node, "strides", (int64_t[]){ 2, 1, 1 }, 3));
    output = run(model, inputs);
    assert_floats(&output, 7, (float[]){ 1, 2, 14, 20, 140, 200, 400 });
    i3d_array_free(&output);
    i3d_array_free(&inputs[0]);
    i3d_array_free(&inputs[1]);
}

/* Sizes that need several blocks of columns, on both sides of a block's end. */
static void large_convolution_matches_its_pieces(void **state)
{
    (void)state;
    struct i3d_array inputs[] = { random_array(4, (int64_t[]){ 1, 40, 96, 96 }),
                                  random_array(4, (int64_t[]){ 6, 40, 5, 5 }) };
    struct i3d_node *node;
    struct i3d_model *model = one_node("Conv", OPSET, inputs, 2, &node);
    assert_true(i3d_set_ints(model, node, "pads", (int64_t[]){ 2, 2, 2, 2 }, 4));
    struct i3d_array output = run(model, inputs);
    assert_dims(&output, 4, (int64_t[]){ 1, 6, 96, 96 });
    const float *in = inputs[0].data, *weight = inputs[1].data;
    for (int64_t i = 0; i < 6 * 96 * 96; i += 37) {
        int64_t filter = i / 9216, y = i / 96 % 96, x = i % 96;
        double sum = 0;
        for (int64_t k = 0; k < 40 * 25; k++) {
            int64_t line = y - 2 + k / 5 % 5, column = x - 2 + k % 5;
            if (line >= 0 && line < 96 && column >= 0 && column < 96)
                sum += (double)in[k / 25 * 9216 + line * 96 + column]
                    * (double)weight[filter * 1000 + k];
        }
        assert_near((double)((float *)output.data)[i], sum, 1e-4);
    }
    i3d_array_free(&inputs[0]);
    i3d_array_free(&inputs[1]);
    i3d_array_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_matches_loops),
        cmocka_unit_test(conv_transpose_matches_loops),
        cmocka_unit_test(pools_match_loops),
        cmocka_unit_test(edge_padding_is_a_longer_clip),
        cmocka_unit_test(edge_padding_reaches_pad_nodes),
        cmocka_unit_test(edge_padding_reaches_transposed_convolutions),
        cmocka_unit_test(large_convolution_matches_its_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
