/* Graphs of a few nodes, written one node a line. Include behind cmocka.h. */
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "tests/unit/one_node.h"

enum { MOST_READS = 8 };

static inline struct i3d_model *new_graph(int time_axis)
{
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    assert_true(i3d_set_opset(model, "", OPSET));
    model->time_axis = time_axis;
    return model;
}

static inline const char *graph_name(struct i3d_model *model, const char *prefix, int number)
{
    const char *name = i3d_arena_printf(model->arena, "%s%d", prefix, number);
    assert_non_null(name);
    return name;
}

static inline void graph_input(struct i3d_model *model, const char *name)
{
    struct i3d_value *input = i3d_model_add_input(model);
    assert_non_null(input);
    *input = (struct i3d_value){ .name = name, .dtype = I3D_FLOAT32, .rank = -1 };
}

static inline void graph_output(struct i3d_model *model, const char *name)
{
    struct i3d_value *output = i3d_model_add_output(model);
    assert_non_null(output);
    *output = (struct i3d_value){ .name = name, .dtype = I3D_FLOAT32, .rank = -1 };
}

/* Values between -limit and limit. */
static inline const char *graph_weights(struct i3d_model *model, const char *name, int rank,
                                        const int64_t *dims, double limit)
{
    struct i3d_array values = random_array(rank, dims);
    int64_t count = i3d_element_count(rank, dims);
    for (int64_t i = 0; i < count; i++)
        ((float *)values.data)[i] *= (float)limit;
    assert_int_equal(i3d_model_put_floats(model, name, rank, dims, values.data, NULL), I3D_OK);
    i3d_array_free(&values);
    return name;
}

/* A node that is named as its output; what it reads is separated by spaces. */
static inline struct i3d_node *graph_node(struct i3d_model *model, const char *op_type,
                                          const char *reads, const char *output)
{
    const char *names[MOST_READS + 1] = { NULL };
    char text[256];
    size_t count = 0;
    snprintf(text, sizeof text, "%s", reads);
    for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest));) {
        assert_true(count < MOST_READS);
        names[count++] = word;
    }
    struct i3d_node *node = i3d_model_put_node(model, op_type, output, names,
                                               (const char *[]){ output, NULL });
    assert_non_null(node);
    return node;
}

/* A convolution that keeps the sizes of odd kernels; its kernel is random. kernel has
 * axes entries. */
static inline struct i3d_node *graph_conv(struct i3d_model *model, const char *read,
                                          const char *output, int64_t channels, int64_t filters,
                                          int64_t groups, int axes, const int64_t *kernel)
{
    int64_t dims[5] = { filters, channels / groups }, pads[6];
    double taps = (double)dims[1];
    for (int k = 0; k < axes; k++) {
        dims[2 + k] = kernel[k];
        pads[k] = pads[axes + k] = kernel[k] / 2;
        taps *= (double)kernel[k];
    }
    const char *weight = i3d_arena_printf(model->arena, "%s.weight", output);
    const char *bias = i3d_arena_printf(model->arena, "%s.bias", output);
    graph_weights(model, weight, 2 + axes, dims, 3 / (1 + taps / 4));
    graph_weights(model, bias, 1, &filters, 0.5);
    struct i3d_node *node = graph_node(
        model, "Conv", i3d_arena_printf(model->arena, "%s %s %s", read, weight, bias), output);
    assert_true(i3d_set_ints(model, node, "pads", pads, 2 * (size_t)axes)
                && i3d_set_int(model, node, "group", groups));
    return node;
}

static inline struct i3d_node *graph_norm(struct i3d_model *model, const char *read,
                                          const char *output, int64_t channels)
{
    static const char *const parts[] = { "gamma", "beta", "mean", "variance" };
    const char *reads = read;
    for (int k = 0; k < 4; k++) {
        const char *name = i3d_arena_printf(model->arena, "%s.%s", output, parts[k]);
        graph_weights(model, name, 1, &channels, 1);
        if (k == 3) { /* a variance is not negative */
            const struct i3d_tensor *tensor = i3d_find_tensor(model, name);
            struct i3d_array values;
            assert_int_equal(i3d_array_load(tensor, &values, NULL), I3D_OK);
            for (int64_t i = 0; i < channels; i++)
                ((float *)values.data)[i] = 0.5f + ((float *)values.data)[i]
                    * ((float *)values.data)[i];
            name = i3d_arena_printf(model->arena, "%s.square", output);
            assert_int_equal(i3d_model_put_floats(model, name, 1, &channels, values.data, NULL),
                             I3D_OK);
            i3d_array_free(&values);
        }
        reads = i3d_arena_printf(model->arena, "%s %s", reads, name);
    }
    return graph_node(model, "BatchNormalization", reads, output);
}

/* The largest difference of two arrays over the largest value of the second; NaN
 * counts as one. */
static inline double relative_difference(const struct i3d_array *array,
                                         const struct i3d_array *expected)
{
    double worst = 0, largest = 1e-30;
    assert_int_equal(array->rank, expected->rank);
    for (int k = 0; k < array->rank; k++)
        assert_int_equal(array->dims[k], expected->dims[k]);
    int64_t count = i3d_element_count(array->rank, array->dims);
    for (int64_t i = 0; i < count; i++) {
        double left = (double)((float *)array->data)[i];
        double right = (double)((float *)expected->data)[i];
        double difference = left > right ? left - right : right - left;
        worst = difference <= worst ? worst : difference;
        right = right < 0 ? -right : right;
        largest = right > largest ? right : largest;
    }
    return worst / largest;
}
