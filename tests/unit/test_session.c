/* Sessions: what is fused into convolutions, where values lie, kernels of equal slices,
 * and that none of it changes a result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/random_graph.h"

static struct i3d_session *open_session(const struct i3d_model *model, enum i3d_engine engine,
                                        bool factored, const char *const *wanted, size_t count)
{
    struct i3d_run_options options = { .engine = engine, .threads = 2, .factored = factored,
                                       .wanted = wanted, .wanted_count = count };
    struct i3d_session *session;
    assert_int_equal(i3d_session_open(model, &options, &session, NULL), I3D_OK);
    return session;
}

static struct i3d_array run_once(const struct i3d_model *model, const struct i3d_array *input,
                                 enum i3d_engine engine, bool factored)
{
    struct i3d_run_options options = { .engine = engine, .threads = 2, .factored = factored };
    struct i3d_array output;
    assert_int_equal(i3d_run(model, input, &options, NULL, NULL, &output, NULL), I3D_OK);
    return output;
}

/* Fusion */

/* The step that makes a layer of that name; null: there is none. */
static const struct i3d_step_time *step_named(const struct i3d_session *session, const char *layer)
{
    size_t count;
    const struct i3d_step_time *times = i3d_session_times(session, &count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(times[i].layer, layer))
            return &times[i];
    return NULL;
}

/* A chain behind the convolution "c" of the input "x", and what it is fused to. */
struct chain {
    const char *nodes;  /* op_type reads output; … */
    const char *output; /* of the graph; "c" may be a second one */
    const char *also;
    const char *operation; /* of the convolution's step */
};

static struct i3d_model *chain_model(const struct chain *chain)
{
    struct i3d_model *model = new_graph(-1);
    graph_input(model, "x");
    graph_weights(model, "low", 0, NULL, 0);
    graph_weights(model, "one", 4, INTS(1, 4, 1, 1), 1);
    graph_node(model, "Abs", "x", "r");
    graph_conv(model, "x", "c", 4, 4, 1, 2, INTS(3, 3));
    char text[256];
    snprintf(text, sizeof text, "%s", chain->nodes);
    for (char *rest = text, *line; (line = strtok_r(rest, ";", &rest));) {
        char op_type[32], reads[64], output[16];
        assert_int_equal(sscanf(line, " %31[^:]: %63[^>]> %15s", op_type, reads, output), 3);
        if (!strcmp(op_type, "Norm"))
            graph_norm(model, strtok(reads, " "), output, 4);
        else
            graph_node(model, op_type, reads, output);
    }
    graph_output(model, chain->output);
    if (chain->also)
        graph_output(model, chain->also);
    return model;
}

static void what_follows_is_fused(void **state)
{
    (void)state;
    static const struct chain chains[] = {
        { "Relu: c > y", "y", NULL, "Conv+Relu" },
        { "Norm: c > n; Relu: n > y", "y", NULL, "Conv+BatchNormalization+Relu" },
        { "Norm: c > n; Add: r n > a; Relu: a > y", "y", NULL,
          "Conv+BatchNormalization+Add+Relu" },
        { "Sum: c r > a; LeakyRelu: a > y", "y", NULL, "Conv+Sum+LeakyRelu" },
        { "Clip: c low > y", "y", NULL, "Conv+Clip" },
        { "HardSwish: c > y", "y", NULL, "Conv+HardSwish" },
        { "Sigmoid: c > y", "y", NULL, "Conv+Sigmoid" },
        { "Sigmoid: c > s; Mul: c s > y", "y", NULL, "Conv+Swish" },
        { "Sigmoid: c > s; Mul: s c > y", "y", NULL, "Conv+Swish" },
        { "Norm: c > y", "y", NULL, "Conv+BatchNormalization" },
        /* In the other order they are not what a convolution does behind its sums. */
        { "Relu: c > a; Norm: a > y", "y", NULL, "Conv+Relu" },
        { "Relu: c > a; Add: a r > y", "y", NULL, "Conv+Relu" },
        /* Somebody else wants what lies between. */
        { "Relu: c > y", "y", "c", "Conv" },
        { "Norm: c > n; Relu: n > y", "y", "n", "Conv+BatchNormalization" },
        { "Relu: c > a; Add: a c > y", "y", NULL, "Conv" },
        { "Sigmoid: c > s; Mul: c s > y", "y", "s", "Conv" },
        { "Sigmoid: c > s; Mul: c s > m; Add: m s > y", "y", NULL, "Conv" },
        /* Not one number for each of the convolution's, or to be computed later. */
        { "Add: c one > y", "y", NULL, "Conv" },
        { "Add: c c > y", "y", NULL, "Conv" },
    };
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        struct i3d_model *model = chain_model(&chains[i]);
        struct i3d_array input = random_array(4, INTS(2, 4, 9, 7));
        struct i3d_array outputs[2] = { 0 }, expected[2] = { 0 };
        const enum i3d_engine engines[] = { I3D_ENGINE_REFERENCE, I3D_ENGINE_DIRECT,
                                            I3D_ENGINE_FAST };
        for (int e = 0; e < 3; e++) {
            struct i3d_session *session = open_session(model, engines[e], true, NULL, 0);
            assert_int_equal(i3d_session_run(session, &input, NULL, NULL,
                                             e ? outputs : expected, NULL), I3D_OK);
            const struct i3d_step_time *step = step_named(session, "c");
            assert_non_null(step);
            assert_string_equal(step->operation, e ? chains[i].operation : "Conv");
            for (size_t k = 0; e && k < model->output_count; k++) {
                if (!(relative_difference(&outputs[k], &expected[k]) < 2e-5))
                    fail_msg("%s: %g", chains[i].nodes,
                             relative_difference(&outputs[k], &expected[k]));
                i3d_array_free(&outputs[k]);
            }
            i3d_session_close(session);
        }
        for (size_t k = 0; k < 2; k++)
            i3d_array_free(&expected[k]);
        i3d_array_free(&input);
        i3d_model_free(model);
    }
}

/* What an observer wants is made, what it does not want is fused away. */
static enum i3d_status count_values(void *context, const struct i3d_node *node, const char *value,
                                    const struct i3d_array *array, struct i3d_error *error)
{
    (void)node;
    (void)array;
    (void)error;
    int *seen = context;
    seen[0]++;
    seen[1] += !strcmp(value, "n");
    return I3D_OK;
}

static void what_is_wanted_is_made(void **state)
{
    (void)state;
    static const struct chain chain = { "Norm: c > n; Relu: n > y", "y", NULL, NULL };
    static const char *const wanted[] = { "n" }, *const other[] = { "y" };
    struct i3d_model *model = chain_model(&chain);
    struct i3d_array input = random_array(4, INTS(1, 4, 6, 6));
    static const struct {
        const char *const *wanted;
        int seen, times;
    } cases[] = { { NULL, 4, 1 }, { wanted, 3, 1 }, { other, 2, 0 } };
    for (int i = 0; i < 3; i++) {
        int seen[2] = { 0 };
        struct i3d_session *session = open_session(model, I3D_ENGINE_FAST, true, cases[i].wanted,
                                                   cases[i].wanted != NULL);
        assert_int_equal(i3d_session_run(session, &input, count_values, seen, NULL, NULL), I3D_OK);
        assert_int_equal(seen[0], cases[i].seen);
        assert_int_equal(seen[1], cases[i].times);
        i3d_session_close(session);
    }
    i3d_array_free(&input);
    i3d_model_free(model);
}

/* Places */

/* Where values lie when they are made. */
struct places {
    const char *names[4];
    const char *at[4];
};

static enum i3d_status note_place(void *context, const struct i3d_node *node, const char *value,
                                  const struct i3d_array *array, struct i3d_error *error)
{
    struct places *places = context;
    (void)node;
    (void)error;
    for (int k = 0; k < 4; k++)
        if (places->names[k] && !strcmp(places->names[k], value))
            places->at[k] = array->data;
    return I3D_OK;
}

static struct i3d_model *joining_model(const char *reads)
{
    struct i3d_model *model = new_graph(-1);
    graph_input(model, "x");
    graph_conv(model, "x", "a", 2, 3, 1, 2, INTS(3, 3));
    graph_conv(model, "x", "b", 2, 4, 1, 2, INTS(1, 1));
    graph_node(model, "Relu", "b", "c");
    struct i3d_node *node = graph_node(model, "Concat", reads, "j");
    assert_true(i3d_set_int(model, node, "axis", -3));
    graph_conv(model, "j", "y", 10, 2, 1, 2, INTS(1, 1));
    graph_output(model, "y");
    return model;
}

/* Bytes from the joined value's start to each part's, for a batch of that many. */
static void find_parts(const char *reads, int64_t batch, ptrdiff_t *a, ptrdiff_t *c)
{
    struct i3d_model *model = joining_model(reads);
    struct i3d_array input = random_array(4, INTS(batch, 2, 5, 5));
    struct places places = { .names = { "a", "c", "j" } };
    struct i3d_session *session = open_session(model, I3D_ENGINE_FAST, true, places.names, 3);
    struct i3d_array output, expected = run_once(model, &input, I3D_ENGINE_REFERENCE, false);
    assert_int_equal(i3d_session_run(session, &input, note_place, &places, &output, NULL), I3D_OK);
    assert_true(relative_difference(&output, &expected) < 1e-5);
    *a = places.at[0] - places.at[2];
    *c = places.at[1] - places.at[2];
    i3d_session_close(session);
    i3d_array_free(&output);
    i3d_array_free(&expected);
    i3d_array_free(&input);
    i3d_model_free(model);
}

static void joined_values_lie_where_they_are_joined(void **state)
{
    (void)state;
    const ptrdiff_t channel = 5 * 5 * sizeof(float);
    ptrdiff_t a, c;
    find_parts("a c a", 1, &a, &c); /* a twice: once where it lies, once copied */
    assert_true(a == 0 || a == 7 * channel);
    assert_int_equal(c, 3 * channel);
    /* The graph's input is the caller's, and copied. */
    find_parts("c x x x", 1, &a, &c);
    assert_int_equal(c, 0);
    /* Samples of a batch would have to lie apart. */
    find_parts("a c a", 2, &a, &c);
    assert_true(a != 0 && c != 3 * channel);
}

/* A chain of any length takes two buffers, and its views and pointwise nodes none. */
static void memory_is_used_again(void **state)
{
    (void)state;
    struct i3d_model *model = new_graph(-1);
    const char *value = "x";
    graph_input(model, "x");
    graph_weights(model, "unused", 0, NULL, 0);
    for (int i = 0; i < 12; i++) {
        static const char *const op_types[] = { "", "Tanh", "Identity", "MaxPool" };
        const char *next = graph_name(model, "v", i);
        if (i % 4 == 0) {
            graph_conv(model, value, next, 4, 4, 1, 2, INTS(3, 3));
        } else {
            struct i3d_node *node = graph_node(model, op_types[i % 4], value, next);
            if (i % 4 == 3)
                assert_true(i3d_set_ints(model, node, "kernel_shape", INTS(3, 3), 2)
                            && i3d_set_ints(model, node, "pads", INTS(1, 1, 1, 1), 4));
        }
        value = next;
    }
    graph_output(model, value);
    struct i3d_array input = random_array(4, INTS(1, 4, 16, 16)), output;
    struct i3d_session *session = open_session(model, I3D_ENGINE_FAST, true, NULL, 0);
    assert_int_equal(i3d_session_run(session, &input, NULL, NULL, &output, NULL), I3D_OK);
    assert_int_equal(i3d_session_memory(session).activations, 2 * 4 * 16 * 16 * sizeof(float));
    i3d_session_close(session);
    i3d_array_free(&output);
    i3d_array_free(&input);
    i3d_model_free(model);
}

/* Random graphs */

static enum i3d_status look_away(void *context, const struct i3d_node *node, const char *value,
                                 const struct i3d_array *array, struct i3d_error *error)
{
    (void)context;
    (void)node;
    (void)value;
    (void)array;
    (void)error;
    return I3D_OK;
}

/* One session over inputs of several sizes, and again over the first with an observer of
 * everything, beside the plain engine, which keeps every value for itself. */
static void compare_sessions(const struct growing *growing, int64_t channels, bool factored)
{
    struct i3d_session *session = open_session(growing->model, I3D_ENGINE_FAST, factored, NULL, 0);
    int64_t sizes[3][5] = { { 0 } };
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 5; k++)
            sizes[i][k] = k == 0 ? random_int(1, 2) : k == 1 ? channels : random_int(3, 9);
    for (int i = 0; i < 4; i++) {
        struct i3d_array outputs[MOST_OUTPUTS], expected[MOST_OUTPUTS];
        struct i3d_array input = random_array(2 + growing->axes, sizes[i % 3]);
        struct i3d_run_options plain = { .engine = I3D_ENGINE_REFERENCE, .threads = 1 };
        assert_int_equal(i3d_session_run(session, &input, i < 3 ? NULL : look_away, NULL, outputs,
                                         NULL), I3D_OK);
        assert_int_equal(i3d_run(growing->model, &input, &plain, NULL, NULL, expected, NULL),
                         I3D_OK);
        for (int k = 0; k < MOST_OUTPUTS; k++) {
            double difference = relative_difference(&outputs[k], &expected[k]);
            if (!(difference < 1e-4))
                fail_msg("output %s of %zu nodes: %g", growing->model->outputs[k].name,
                         growing->model->node_count, difference);
            i3d_array_free(&outputs[k]);
            i3d_array_free(&expected[k]);
        }
        i3d_array_free(&input);
    }
    i3d_session_close(session);
}

static void random_graphs_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++) {
        struct growing growing = { .axes = i % 2 ? 3 : 2 };
        int64_t channels = random_int(1, 8);
        grow(&growing, channels);
        compare_sessions(&growing, channels, random_int(0, 1));
        i3d_model_free(growing.model);
    }
}

/* Factored kernels */

/* A convolution over time whose kernel's slices are equal; one that is `broken` has one
 * weight of one slice in the last bit different. */
static struct i3d_model *equal_slices(const int64_t *kernel, int64_t channels, int64_t filters,
                                      int64_t groups, bool broken)
{
    struct i3d_model *model = new_graph(2);
    int64_t dims[5] = { filters, channels / groups, kernel[0], kernel[1], kernel[2] };
    int64_t slice = kernel[1] * kernel[2];
    graph_input(model, "x");
    struct i3d_array weight = random_array(5, dims);
    float *values = weight.data;
    for (int64_t i = 0; i < i3d_element_count(5, dims); i++)
        values[i] = values[i / slice / kernel[0] * kernel[0] * slice + i % slice];
    uint32_t bits;
    float *changed = &values[i3d_element_count(5, dims) - 1];
    memcpy(&bits, changed, sizeof bits);
    bits ^= broken;
    memcpy(changed, &bits, sizeof bits);
    assert_int_equal(i3d_model_put_floats(model, "w", 5, dims, values, NULL), I3D_OK);
    i3d_array_free(&weight);
    graph_weights(model, "b", 1, &filters, 1);
    struct i3d_node *node = graph_node(model, "Conv", "x w b", "y");
    assert_true(i3d_set_int(model, node, "group", groups));
    graph_output(model, "y");
    return model;
}

static const char *algorithm_of(const struct i3d_model *model, const struct i3d_array *input,
                                enum i3d_engine engine, bool factored,
                                enum i3d_time_padding time_padding, struct i3d_array *output)
{
    struct i3d_run_options options = { .engine = engine, .threads = 2, .factored = factored,
                                       .time_padding = time_padding };
    struct i3d_session *session;
    assert_int_equal(i3d_session_open(model, &options, &session, NULL), I3D_OK);
    assert_int_equal(i3d_session_run(session, input, NULL, NULL, output, NULL), I3D_OK);
    const char *algorithm = step_named(session, "y")->algorithm; /* a constant */
    i3d_session_close(session);
    return algorithm;
}

static bool is_factored(const char *algorithm)
{
    return !strncmp(algorithm, "factored ", 9);
}

/* Against the general path and the plain engine, over random windows. */
static void equal_slices_are_factored(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        int64_t groups = i % 3 == 0 ? random_int(2, 4) : 1;
        int64_t channels = groups * (i % 6 == 0 ? 1 : random_int(1, 6));
        int64_t filters = groups * random_int(1, 5), kernel[3], numbers[6], strides[3];
        for (int k = 0; k < 3; k++) {
            kernel[k] = k ? random_int(1, 3) * 2 - 1 : random_int(2, 4);
            strides[k] = random_int(1, 2);
            numbers[k] = random_int(0, kernel[k] - 1);
            numbers[3 + k] = random_int(0, kernel[k] - 1);
        }
        struct i3d_model *model = equal_slices(kernel, channels, filters, groups, false);
        struct i3d_node *node = &model->nodes[0];
        assert_true(i3d_set_ints(model, node, "strides", strides, 3)
                    && i3d_set_ints(model, node, "pads", numbers, 6)
                    && i3d_set_ints(model, node, "dilations", INTS(random_int(1, 2), 1, 1), 3));
        struct i3d_array input = random_array(5, INTS(random_int(1, 2), channels, random_int(7, 9),
                                                      random_int(5, 12), random_int(5, 12)));
        enum i3d_time_padding padding = i % 2 ? I3D_TIME_EDGE : I3D_TIME_AS_DEPLOYED;
        struct i3d_array factored, general, plain;
        assert_true(is_factored(algorithm_of(model, &input, I3D_ENGINE_FAST, true, padding,
                                             &factored)));
        assert_false(is_factored(algorithm_of(model, &input, I3D_ENGINE_FAST, false, padding,
                                              &general)));
        assert_string_equal(algorithm_of(model, &input, I3D_ENGINE_REFERENCE, true, padding,
                                         &plain), "reference");
        assert_true(relative_difference(&factored, &plain) < 2e-5);
        assert_true(relative_difference(&general, &plain) < 2e-5);
        i3d_array_free(&factored);
        i3d_array_free(&general);
        i3d_array_free(&plain);
        i3d_array_free(&input);
        i3d_model_free(model);
    }
}

static void other_kernels_are_not_factored(void **state)
{
    (void)state;
    struct i3d_array input = random_array(5, INTS(1, 3, 5, 6, 6)), output;
    struct i3d_model *model = equal_slices(INTS(3, 3, 3), 3, 4, 1, true);
    assert_false(is_factored(algorithm_of(model, &input, I3D_ENGINE_FAST, true,
                                          I3D_TIME_AS_DEPLOYED, &output)));
    i3d_array_free(&output);
    i3d_model_free(model);
    model = equal_slices(INTS(1, 3, 3), 3, 4, 1, false); /* nothing to gain */
    assert_false(is_factored(algorithm_of(model, &input, I3D_ENGINE_FAST, true,
                                          I3D_TIME_AS_DEPLOYED, &output)));
    i3d_array_free(&output);
    i3d_model_free(model);
    model = equal_slices(INTS(3, 3, 3), 3, 4, 1, false); /* that engine forms what is defined */
    assert_false(is_factored(algorithm_of(model, &input, I3D_ENGINE_DIRECT, true,
                                          I3D_TIME_AS_DEPLOYED, &output)));
    i3d_array_free(&output);
    i3d_model_free(model);
    i3d_array_free(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_is_fused),
        cmocka_unit_test(what_is_wanted_is_made),
        cmocka_unit_test(joined_values_lie_where_they_are_joined),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(random_graphs_agree),
        cmocka_unit_test(equal_slices_are_factored),
        cmocka_unit_test(other_kernels_are_not_factored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
