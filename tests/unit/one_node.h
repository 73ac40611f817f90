/* Graphs of one node, run on random arrays. Include behind cmocka.h. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "verify/engine.h"

enum { OPSET = 17, MOST_OPERANDS = 4 };

static inline uint32_t random_bits(void)
{
    static uint64_t state = 20170522;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* low … high */
static inline int64_t random_int(int64_t low, int64_t high)
{
    return low + random_bits() % (high - low + 1);
}

static inline struct i3d_array make_array(enum i3d_dtype dtype, int rank, const int64_t *dims)
{
    struct i3d_array array;
    assert_int_equal(i3d_array_new(dtype, rank, dims, &array, NULL), I3D_OK);
    return array;
}

/* Values from -1 to 1. */
static inline struct i3d_array random_array(int rank, const int64_t *dims)
{
    struct i3d_array array = make_array(I3D_FLOAT32, rank, dims);
    int64_t count = i3d_element_count(rank, dims);
    for (int64_t i = 0; i < count; i++)
        ((float *)array.data)[i] = (float)random_int(-1000, 1000) / 1000;
    return array;
}

static inline struct i3d_array float_list(int64_t count, const float *values)
{
    struct i3d_array array = make_array(I3D_FLOAT32, 1, &count);
    memcpy(array.data, values, (size_t)count * sizeof *values);
    return array;
}

static inline struct i3d_array int_list(int64_t count, const int64_t *values)
{
    struct i3d_array array = make_array(I3D_INT64, 1, &count);
    memcpy(array.data, values, (size_t)count * sizeof *values);
    return array;
}

/* A model of one node that reads the inputs "0", "1", … and makes "y"; the
 * caller adds attributes to *node. */
static inline struct i3d_model *one_node(const char *op_type, int64_t opset,
                                         const struct i3d_array *inputs, size_t count,
                                         struct i3d_node **node)
{
    static const char *const names[] = { "0", "1", "2", "3" };
    const char *read[MOST_OPERANDS + 1] = { NULL };
    struct i3d_model *model = i3d_model_new();
    assert_non_null(model);
    assert_true(count <= MOST_OPERANDS);
    assert_true(i3d_set_opset(model, "", opset));
    for (size_t i = 0; i < count; i++) {
        struct i3d_value *input = i3d_model_add_input(model);
        assert_non_null(input);
        *input = (struct i3d_value){ .name = names[i], .dtype = inputs[i].dtype, .rank = -1 };
        read[i] = names[i];
        if (inputs[i].rank == 5)
            model->time_axis = 2;
    }
    *node = i3d_model_put_node(model, op_type, "the node", read, (const char *[]){ "y", NULL });
    assert_non_null(*node);
    struct i3d_value *output = i3d_model_add_output(model);
    assert_non_null(output);
    *output = (struct i3d_value){ .name = "y", .dtype = I3D_FLOAT32, .rank = -1 };
    return model;
}

/* Runs the model and frees it; the output is the caller's. */
static inline struct i3d_array run_padded(struct i3d_model *model, const struct i3d_array *inputs,
                                          enum i3d_time_padding time_padding)
{
    struct i3d_run_options options = { .time_padding = time_padding, .threads = 2 };
    struct i3d_array output;
    struct i3d_error error;
    char line[1024];
    if (i3d_run(model, inputs, &options, NULL, NULL, &output, &error)) {
        i3d_error_format(&error, line, sizeof line);
        fail_msg("%s", line);
    }
    i3d_model_free(model);
    return output;
}

static inline struct i3d_array run(struct i3d_model *model, const struct i3d_array *inputs)
{
    return run_padded(model, inputs, I3D_TIME_AS_DEPLOYED);
}

/* Runs a model that cannot run, frees it and returns the status. */
static inline enum i3d_status run_fails(struct i3d_model *model, const struct i3d_array *inputs,
                                        struct i3d_error *error)
{
    struct i3d_run_options options = { .threads = 2 };
    struct i3d_array output;
    enum i3d_status status = i3d_run(model, inputs, &options, NULL, NULL, &output, error);
    assert_int_not_equal(status, I3D_OK);
    i3d_model_free(model);
    return status;
}

static inline void assert_dims(const struct i3d_array *array, int rank, const int64_t *dims)
{
    assert_int_equal(array->rank, rank);
    for (int k = 0; k < rank; k++)
        assert_int_equal(array->dims[k], dims[k]);
}

static inline void assert_near(double value, double expected, double tolerance)
{
    double difference = value > expected ? value - expected : expected - value;
    if (!(difference <= tolerance))
        fail_msg("%.9g where %.9g is right", value, expected);
}

static inline void assert_floats(const struct i3d_array *array, int64_t count, const float *expected)
{
    assert_int_equal(array->dtype, I3D_FLOAT32);
    assert_int_equal(i3d_element_count(array->rank, array->dims), count);
    for (int64_t i = 0; i < count; i++)
        assert_near((double)((float *)array->data)[i], (double)expected[i], 1e-5);
}
