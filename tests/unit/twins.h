/* A small network and a 3D twin of it that is written down here, apart from what
 * inflates for users; the proofs over the two. Include behind cmocka.h. */
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "verify/proof.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__, NULL })
#define DIMS(...) ((int64_t[]){ __VA_ARGS__ })

enum { SIZE = 16, FRAMES = 8, STEM = 4, BRANCH_A = 3, BRANCH_B = 5, CLASSES = 6 };

/* How one of the two networks is written, and what was done to it. */
struct form {
    bool inflated;
    const char *prefix;    /* of every name */
    int64_t channels;      /* of the input; 0: 3 */
    int64_t frames;        /* that the file fixes; 0: none */
    bool identities;       /* Identity, Dropout and Pad nodes in between */
    bool folded;           /* the BatchNormalization is part of the first kernel */
    bool scale_in_kernel;  /* its gamma is, and its epsilon another one */
    bool residual;         /* the branches are added, not concatenated */
    bool crossed;          /* the operands of that sum are exchanged */
    bool no_relu;
    bool extra_relu;       /* behind the joined branches */
    bool pool_in_time;     /* a pool over time alone behind the one over space */
    bool plain_head;       /* in 3D as in 2D: GlobalAveragePool, Flatten, Gemm */
    bool softmax;          /* the classes go through one */
    bool reversed;         /* the tensors stand in the opposite order */
    int64_t stride;        /* of the first kernel over space; 0: 2 */
    float epsilon;         /* 0: as it should be */
    float limit;           /* that the joined branches are clipped to; 0: they are not */
    bool center;           /* one slice holds the whole kernel */
    enum i3d_dtype dtype;  /* of the kernels; undefined: float32 */
    void (*damage)(const char *tensor, float *values); /* before the tensor is stored */
};

struct builder {
    struct i3d_model *model;
    const struct form *form;
};

static inline const char *named(struct builder *b, const char *name)
{
    const char *prefix = b->form->prefix ? b->form->prefix : "";
    const char *full = i3d_arena_printf(b->model->arena, "%s%s", prefix, name);
    assert_non_null(full);
    return full;
}

/* Any numbers between -1 and 1, the same for one name in both networks. */
static inline float weight(const char *name, int64_t i)
{
    uint64_t z = (uint64_t)i * 0x9e3779b97f4a7c15;
    for (; *name; name++)
        z = (z ^ (unsigned char)*name) * 0xbf58476d1ce4e5b9;
    z ^= z >> 29;
    return (float)((double)(z * 0x94d049bb133111eb >> 40) * 0x1p-23 - 1);
}

static const float epsilon = 0.001f, other_epsilon = 0.01f;
static inline float gamma_of(int64_t c) { return 1 + 0.5f * weight("gamma", c); }
static inline float beta_of(int64_t c) { return weight("beta", c); }
static inline float mean_of(int64_t c) { return weight("mean", c); }
static inline float variance_of(int64_t c) { return 1 + 0.5f * weight("variance", c); }
static inline float scale_of(int64_t c) { return gamma_of(c) / sqrtf(variance_of(c) + epsilon); }

static inline void put_tensor(struct builder *b, const char *name, int rank, const int64_t *dims,
                       float *values, enum i3d_dtype dtype)
{
    size_t count = (size_t)i3d_element_count(rank, dims);
    double *wide = malloc(count * sizeof *wide);
    void *bytes = malloc(count * sizeof *wide);
    assert_true(wide && bytes);
    if (b->form->damage)
        b->form->damage(name, values);
    i3d_to_double(I3D_FLOAT32, values, wide, count);
    i3d_from_double(dtype, wide, bytes, count);
    struct i3d_source *source = i3d_source_copy(bytes, count * i3d_dtype_size(dtype));
    assert_int_equal(i3d_model_put_tensor(b->model, named(b, name), dtype, rank, dims, source,
                                          NULL), I3D_OK);
    free(wide);
    free(bytes);
    free(values);
}

static inline void put_vector(struct builder *b, const char *name, int64_t count,
                       float (*value)(int64_t))
{
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = value ? value(i) : weight(name, i);
    put_tensor(b, name, 1, &count, values, I3D_FLOAT32);
}

static inline float rounded(enum i3d_dtype dtype, float value)
{
    double wide = value;
    uint64_t bytes;
    float back;
    i3d_from_double(dtype, &wide, &bytes, 1);
    i3d_to_float(dtype, &bytes, &back, 1);
    return back;
}

/* One number of the 2D kernel: for the first one as the form has it. */
static inline float kernel_value(const struct form *form, const char *name, const int64_t *dims,
                          int64_t o, int64_t i, int64_t at, enum i3d_dtype dtype)
{
    int64_t positions = dims[2] * dims[3];
    bool stem = !strcmp(name, "stem");
    if (stem && form->channels) { /* a scaled mean over the 3 channels */
        double sum = 0;
        for (int64_t c = 0; c < 3; c++)
            sum += (double)rounded(dtype, weight(name, (o * 3 + c) * positions + at));
        return rounded(dtype, (float)(sum / (double)form->channels));
    }
    float value = rounded(dtype, weight(name, (o * dims[1] + i) * positions + at));
    if (stem && form->folded)
        value *= scale_of(o);
    if (stem && form->scale_in_kernel)
        value *= gamma_of(o);
    return value;
}

/* O×I×H×W, or O×I×N×H×W with N as H. */
static inline void put_kernel(struct builder *b, const char *name, int64_t outputs, int64_t inputs,
                       int64_t size)
{
    const struct form *form = b->form;
    int64_t dims[] = { outputs, inputs, size, size };
    int64_t taps = form->inflated ? size : 1, positions = size * size;
    enum i3d_dtype dtype = form->dtype ? form->dtype : I3D_FLOAT32;
    float *values = malloc((size_t)(outputs * inputs * taps * positions) * sizeof *values);
    assert_non_null(values);
    float *out = values;
    for (int64_t oi = 0; oi < outputs * inputs; oi++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t at = 0; at < positions; at++) {
                float value = kernel_value(form, name, dims, oi / inputs, oi % inputs, at, dtype);
                *out++ = !form->center ? value / (float)taps : t == (taps - 1) / 2 ? value : 0;
            }
    const int64_t *shape = form->inflated ? DIMS(outputs, inputs, taps, size, size) : dims;
    put_tensor(b, name, form->inflated ? 5 : 4, shape, values, dtype);
}

static inline struct i3d_node *put(struct builder *b, const char *op_type, const char *output,
                            const char *const *inputs)
{
    const char *full[8] = { NULL }, *name = named(b, output);
    for (int k = 0; inputs[k]; k++)
        full[k] = named(b, inputs[k]);
    struct i3d_node *node = i3d_model_put_node(b->model, op_type, name, full,
                                               (const char *[]){ name, NULL });
    assert_non_null(node);
    return node;
}

/* The same along all axes, time included, unless time is told apart. */
static inline void set_all(struct builder *b, struct i3d_node *node, const char *attribute,
                    int64_t time, int64_t space)
{
    bool pads = !strcmp(attribute, "pads");
    int axes = b->form->inflated ? 3 : 2, count = pads ? 2 * axes : axes;
    int64_t values[6];
    for (int k = 0; k < count; k++)
        values[k] = axes == 3 && k % 3 == 0 ? time : space;
    assert_true(i3d_set_ints(b->model, node, attribute, values, (size_t)count));
}

static inline void put_conv(struct builder *b, const char *name, const char *input, int64_t outputs,
                     int64_t inputs, int64_t size, int64_t stride, bool padded_in_time)
{
    put_kernel(b, name, outputs, inputs, size);
    char value[32];
    snprintf(value, sizeof value, "%s.out", name);
    bool biased = !strcmp(name, "stem") && b->form->folded;
    struct i3d_node *node = put(b, "Conv", value,
                                biased ? NAMES(input, name, "shift") : NAMES(input, name));
    bool stem = !strcmp(name, "stem");
    set_all(b, node, "strides", stride, stem && b->form->stride ? b->form->stride : stride);
    set_all(b, node, "pads", padded_in_time ? 0 : size / 2, size / 2);
}

static inline float shift_of(int64_t c) { return beta_of(c) - mean_of(c) * scale_of(c); }
static inline float one(int64_t c) { (void)c; return 1; }
static inline float scaled_mean_of(int64_t c) { return mean_of(c) * gamma_of(c); }
static inline float moved_variance_of(int64_t c)
{
    return variance_of(c) + epsilon - other_epsilon;
}

/* The 7×7 convolution, BatchNormalization and Relu; the name of the result. */
static inline const char *put_stem(struct builder *b)
{
    const struct form *form = b->form;
    const char *input = "x";
    int64_t channels = form->channels ? form->channels : 3;
    bool pad = form->identities && form->inflated;
    if (pad) {
        struct i3d_node *node = put(b, "Pad", "x.padded", NAMES("x"));
        i3d_set_string(b->model, node, "mode", "edge");
        i3d_set_ints(b->model, node, "pads", DIMS(0, 0, 3, 0, 0, 0, 0, 3, 0, 0), 10);
        input = "x.padded";
    }
    if (form->folded)
        put_vector(b, "shift", STEM, shift_of);
    put_conv(b, "stem", input, STEM, channels, 7, 2, pad);
    if (form->folded) {
        put(b, "Relu", "relu", NAMES("stem.out"));
        return "relu";
    }
    put_vector(b, "gamma", STEM, form->scale_in_kernel ? one : gamma_of);
    put_vector(b, "beta", STEM, beta_of);
    put_vector(b, "mean", STEM, form->scale_in_kernel ? scaled_mean_of : mean_of);
    put_vector(b, "variance", STEM, form->scale_in_kernel ? moved_variance_of : variance_of);
    const char *normalised = "stem.out";
    if (form->identities)
        put(b, "Identity", normalised = "same", NAMES("stem.out"));
    struct i3d_node *norm =
        put(b, "BatchNormalization", "bn", NAMES(normalised, "gamma", "beta", "mean", "variance"));
    float normal = form->epsilon > 0 ? form->epsilon : epsilon;
    i3d_set_float(b->model, norm, "epsilon", form->scale_in_kernel ? other_epsilon : normal);
    if (form->no_relu)
        return "bn";
    put(b, "Relu", "relu", NAMES("bn"));
    return "relu";
}

/* Means and classes: GlobalAveragePool, Flatten, Gemm, or as I3D has it. */
static inline void put_head(struct builder *b, const char *input, int64_t features)
{
    put_vector(b, "fc.bias", CLASSES, NULL);
    put_kernel(b, "fc", CLASSES, features, 1);
    if (!b->form->inflated || b->form->plain_head) {
        i3d_find_tensor(b->model, named(b, "fc"))->rank = 2;
        put(b, "GlobalAveragePool", "pooled", NAMES(input));
        put(b, "Flatten", "flat", NAMES("pooled"));
        i3d_set_int(b->model, put(b, "Gemm", "logits", NAMES("flat", "fc", "fc.bias")), "transB",
                    1);
        return;
    }
    struct i3d_node *pool = put(b, "AveragePool", "pooled", NAMES(input));
    i3d_set_ints(b->model, pool, "kernel_shape", DIMS(2, SIZE / 4, SIZE / 4), 3);
    put(b, "Conv", "frames", NAMES("pooled", "fc", "fc.bias"));
    i3d_set_ints(b->model, put(b, "ReduceMean", "averaged", NAMES("frames")), "axes", DIMS(2), 1);
    i3d_set_ints(b->model, put(b, "Squeeze", "logits", NAMES("averaged")), "axes", DIMS(2, 3, 4),
                 3);
}

static inline void declare(struct builder *b, const char *output)
{
    const struct form *form = b->form;
    struct i3d_value *input = i3d_model_add_input(b->model);
    struct i3d_value *result = i3d_model_add_output(b->model);
    assert_true(input && result);
    int64_t channels = form->channels ? form->channels : 3;
    *input = (struct i3d_value){ .name = named(b, "x"), .dtype = I3D_FLOAT32, .rank = 4,
                                 .dims = { { -1, "N" }, { channels, NULL }, { SIZE, NULL },
                                           { SIZE, NULL } } };
    if (form->inflated) {
        input->rank = 5;
        input->dims[4] = input->dims[3];
        input->dims[2] = (struct i3d_dim){ form->frames ? form->frames : -1, NULL };
        b->model->time_axis = 2;
        /* Files of this program are audited bit for bit. */
        assert_true(i3d_set_metadata(b->model, "i3dconv.recipe", "by hand"));
    }
    *result = (struct i3d_value){ .name = named(b, output), .dtype = I3D_FLOAT32, .rank = -1 };
    assert_true(i3d_set_opset(b->model, "", 10));
}

static inline struct i3d_model *build(const struct form *form)
{
    struct builder builder = { i3d_model_new(), form }, *b = &builder;
    struct i3d_error error;
    assert_non_null(b->model);
    declare(b, form->softmax ? "scores" : "logits");
    const char *value = put_stem(b);
    struct i3d_node *pool = put(b, "MaxPool", "pool", NAMES(value));
    set_all(b, pool, "kernel_shape", 1, 3);
    set_all(b, pool, "strides", 1, 2);
    set_all(b, pool, "pads", 0, 1);
    value = "pool";
    if (form->pool_in_time) {
        pool = put(b, "MaxPool", value = "pool.time", NAMES("pool"));
        i3d_set_ints(b->model, pool, "kernel_shape", DIMS(2, 1, 1), 3);
    }
    if (form->identities)
        put(b, "Dropout", value = "dropped", NAMES("pool"));
    int64_t channels = form->residual ? BRANCH_B : BRANCH_A;
    put_conv(b, "a", value, channels, STEM, 1, 1, false);
    put_conv(b, "b", value, BRANCH_B, STEM, 3, 1, false);
    if (form->residual) {
        put(b, "Add", "joined", form->crossed ? NAMES("b.out", "a.out") : NAMES("a.out", "b.out"));
        channels = 0;
    } else {
        i3d_set_int(b->model, put(b, "Concat", "joined", NAMES("a.out", "b.out")), "axis", 1);
    }
    value = "joined";
    if (form->extra_relu)
        put(b, "Relu", value = "rectified", NAMES("joined"));
    if (form->limit > 0)
        i3d_set_float(b->model, put(b, "Clip", value = "clipped", NAMES("joined")), "max",
                      form->limit);
    put_head(b, value, channels + BRANCH_B);
    if (form->softmax)
        put(b, "Softmax", "scores", NAMES("logits"));
    struct i3d_tensor *tensors = b->model->tensors;
    for (size_t i = 0, k = b->model->tensor_count; form->reversed && i + 1 < k--; i++) {
        struct i3d_tensor kept = tensors[i];
        tensors[i] = tensors[k];
        tensors[k] = kept;
    }
    if (i3d_model_check(b->model, &error))
        fail_msg("%s: %s", error.where, error.message);
    return b->model;
}

static inline enum i3d_status prove(struct i3d_model *flat, struct i3d_model *inflated,
                                    int64_t frames, struct i3d_proof *proof)
{
    struct i3d_proof_options options = { .frames = frames, .seed = 7, .tolerance = 1e-5,
                                         .threads = 1 };
    struct i3d_error error = { 0 };
    enum i3d_status status = i3d_prove(flat, inflated, &options, proof, &error);
    if (status)
        assert_true(error.status == status && error.message[0]);
    return status;
}

/* The proof over the two networks; their models are freed by finish(). */
struct trial {
    struct i3d_model *flat, *inflated;
    struct i3d_proof proof;
};

static inline struct trial try(struct form flat, struct form inflated)
{
    inflated.inflated = true;
    struct trial trial = { .flat = build(&flat), .inflated = build(&inflated) };
    assert_int_equal(prove(trial.flat, trial.inflated, FRAMES, &trial.proof), I3D_OK);
    return trial;
}

static inline void finish(struct trial *trial)
{
    i3d_proof_free(&trial->proof);
    i3d_model_free(trial->flat);
    i3d_model_free(trial->inflated);
}

static inline const struct i3d_layer_verdict *layer(const struct trial *trial, const char *name)
{
    for (size_t i = 0; i < trial->proof.layer_count; i++)
        if (!strcmp(trial->proof.layers[i].name, name))
            return &trial->proof.layers[i];
    fail_msg("there is no layer %s", name);
    return NULL;
}

static inline void expect_pass(struct trial *trial)
{
    for (size_t i = 0; i < trial->proof.layer_count; i++) {
        const struct i3d_layer_verdict *verdict = &trial->proof.layers[i];
        if (!verdict->good || !verdict->audit_good)
            fail_msg("%s: %g, %s", verdict->name, verdict->max_relative, verdict->audit_note);
        assert_true(verdict->max_relative <= 1e-5);
    }
    assert_true(trial->proof.good);
    assert_int_equal(trial->proof.first_bad, -1);
    assert_int_equal(trial->proof.unpaired_2d, 0);
    assert_int_equal(trial->proof.unpaired_3d, 0);
}

/* The proof fails first at this layer; the audit's note says this. */
static inline void expect_failure(struct trial *trial, const char *name, const char *note)
{
    assert_false(trial->proof.good);
    assert_true(trial->proof.first_bad >= 0);
    const struct i3d_layer_verdict *verdict = &trial->proof.layers[trial->proof.first_bad];
    assert_string_equal(verdict->name, name);
    assert_false(verdict->good && verdict->audit_good);
    if (note && !strstr(verdict->audit_note, note))
        fail_msg("the note is: %s", verdict->audit_note);
}
