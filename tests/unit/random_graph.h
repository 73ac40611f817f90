/* Random graphs of convolutions, pools, norms, additions and joins, in 2D or over time.
 * Include behind cmocka.h. */
#pragma once

#include "tests/unit/small_graph.h"

#define INTS(...) ((int64_t[]){ __VA_ARGS__ })

enum { MOST_VALUES = 48, MOST_OUTPUTS = 3 };

struct value {
    const char *name;
    int64_t channels;
};

struct growing {
    struct i3d_model *model;
    int axes;
    int count, names;
    struct value values[MOST_VALUES];
};

static inline const char *fresh(struct growing *growing)
{
    return graph_name(growing->model, "v", growing->names++);
}

static inline struct value any_value(const struct growing *growing)
{
    return growing->values[random_int(0, growing->count - 1)];
}

static inline struct value keep(struct growing *growing, const char *name, int64_t channels)
{
    assert_true(growing->count < MOST_VALUES);
    growing->values[growing->count++] = (struct value){ name, channels };
    return growing->values[growing->count - 1];
}

static inline const char *apply(struct growing *growing, const char *op_type, const char *reads)
{
    const char *output = fresh(growing);
    graph_node(growing->model, op_type, reads, output);
    return output;
}

static inline const char *two(struct growing *growing, const char *a, const char *b)
{
    return i3d_arena_printf(growing->model->arena, "%s %s", a, b);
}

/* A convolution with a random choice of what can follow one; now and then what lies
 * between can be read later. */
static inline void grow_convolution(struct growing *growing)
{
    struct value from = any_value(growing);
    static const char *const activations[] = { "Relu", "LeakyRelu", "HardSwish", "Sigmoid", "Tanh" };
    int64_t filters = random_int(0, 2) ? from.channels : random_int(1, 9);
    int64_t groups = filters == from.channels && random_int(0, 3) == 0 ? filters : 1, kernel[3];
    for (int k = 0; k < 3; k++)
        kernel[k] = random_int(0, 1) ? 3 : random_int(0, 2) * 2 + 1;
    const char *name = fresh(growing);
    graph_conv(growing->model, from.name, name, from.channels, filters, groups, growing->axes,
               kernel);
    if (random_int(0, 1)) {
        const char *norm = fresh(growing);
        graph_norm(growing->model, name, norm, filters);
        name = norm;
    }
    if (filters == from.channels && random_int(0, 1))
        name = apply(growing, "Add", random_int(0, 1) ? two(growing, name, from.name)
                                                      : two(growing, from.name, name));
    if (random_int(0, 5) == 0)
        keep(growing, name, filters);
    if (random_int(0, 4) == 0)
        name = apply(growing, "Mul", two(growing, name, apply(growing, "Sigmoid", name)));
    else if (random_int(0, 3))
        name = apply(growing, activations[random_int(0, 4)], name);
    keep(growing, name, filters);
}

static inline void grow_concat(struct growing *growing)
{
    int64_t channels = 0, parts = random_int(2, 3);
    const char *reads = "";
    for (int64_t k = 0; k < parts; k++) {
        struct value part = any_value(growing);
        reads = two(growing, reads, part.name);
        channels += part.channels;
    }
    if (channels > 24)
        return;
    const char *name = fresh(growing);
    struct i3d_node *node = graph_node(growing->model, "Concat", reads, name);
    assert_true(i3d_set_int(growing->model, node, "axis", 1));
    keep(growing, name, channels);
}

static inline void grow_other(struct growing *growing)
{
    static const char *const op_types[] = { "Relu", "Tanh", "Identity", "Dropout", "Abs", "Add",
                                            "Mul", "MaxPool" };
    struct value from = any_value(growing);
    const char *op_type = op_types[random_int(0, 7)], *reads = from.name, *name = fresh(growing);
    if (!strcmp(op_type, "Add") || !strcmp(op_type, "Mul")) {
        struct value other = any_value(growing);
        if (other.channels != from.channels)
            return;
        reads = two(growing, reads, other.name);
    }
    struct i3d_node *node = graph_node(growing->model, op_type, reads, name);
    if (!strcmp(op_type, "MaxPool"))
        assert_true(i3d_set_ints(growing->model, node, "kernel_shape", INTS(3, 3, 3),
                                 (size_t)growing->axes)
                    && i3d_set_string(growing->model, node, "auto_pad", "SAME_UPPER"));
    keep(growing, name, from.channels);
}

static inline void grow(struct growing *growing, int64_t channels)
{
    growing->model = new_graph(growing->axes == 3 ? 2 : -1);
    graph_input(growing->model, "x");
    keep(growing, "x", channels);
    int nodes = (int)random_int(4, 14);
    for (int i = 0; i < nodes; i++) {
        int kind = (int)random_int(0, 5);
        if (kind < 3)
            grow_convolution(growing);
        else if (kind == 3)
            grow_concat(growing);
        else
            grow_other(growing);
    }
    /* Something that a node makes. */
    grow_convolution(growing);
    graph_output(growing->model, growing->values[growing->count - 1].name);
    for (int k = 1; k < MOST_OUTPUTS; k++)
        graph_output(growing->model, any_value(growing).name);
}
