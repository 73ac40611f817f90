/* Networks of the zoo for tests: made from a seed, bound, unbound, compared. Include behind
 * cmocka.h. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converters/inflate.h"
#include "model/shape.h"
#include "zoo/dialects.h"
#include "zoo/structure.h"
#include "zoo/inception_v1.h"

static inline const struct i3d_dialect *dialect(const char *name)
{
    const struct i3d_dialect *found = i3d_dialect_by_name(name);
    assert_non_null(found);
    return found;
}

static inline struct i3d_model *synth(const char *architecture, const char *in_dialect,
                               struct i3d_architecture_options options, uint64_t seed)
{
    struct i3d_error error;
    struct i3d_model *weights;
    enum i3d_status status =
        i3d_zoo_synth(i3d_architecture_by_name(architecture), &options, seed,
                      in_dialect ? dialect(in_dialect) : NULL, &weights, &error);
    if (status)
        fail_msg("%s: %s", error.where, error.message);
    return weights;
}

static inline struct i3d_model *bind(const struct i3d_model *weights, const char *in_dialect)
{
    struct i3d_error error;
    struct i3d_model *bound;
    if (i3d_zoo_bind(weights, in_dialect ? dialect(in_dialect) : NULL, &bound, &error))
        fail_msg("%s: %s", error.where, error.message);
    return bound;
}

static inline struct i3d_model *unbind(const struct i3d_model *graph, const char *in_dialect)
{
    struct i3d_error error;
    struct i3d_model *weights;
    if (i3d_zoo_unbind(graph, dialect(in_dialect), &weights, &error))
        fail_msg("%s: %s", error.where, error.message);
    return weights;
}

static inline struct i3d_model *inflate(const struct i3d_model *flat,
                                 struct i3d_inflate_options options)
{
    struct i3d_error error;
    struct i3d_model *inflated;
    options.recipe = options.recipe ? options.recipe : "i3d";
    if (i3d_inflate(flat, &options, &inflated, &error))
        fail_msg("%s: %s", error.where, error.message);
    return inflated;
}

static inline uint64_t checksum(const struct i3d_tensor *tensor)
{
    void *bytes;
    assert_non_null(tensor);
    assert_int_equal(i3d_tensor_load(tensor, &bytes, NULL), I3D_OK);
    uint64_t hash = 0xcbf29ce484222325;
    for (uint64_t i = 0; i < i3d_tensor_bytes(tensor); i++)
        hash = (hash ^ ((unsigned char *)bytes)[i]) * 0x100000001b3;
    free(bytes);
    return hash;
}

static inline void assert_same_tensors(const struct i3d_model *a, const struct i3d_model *b)
{
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const struct i3d_tensor *x = &a->tensors[i], *y = &b->tensors[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims);
        void *left, *right;
        assert_int_equal(i3d_tensor_load(x, &left, NULL), I3D_OK);
        assert_int_equal(i3d_tensor_load(y, &right, NULL), I3D_OK);
        assert_memory_equal(left, right, i3d_tensor_bytes(x));
        free(left);
        free(right);
    }
}
