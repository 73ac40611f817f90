/* The proofs, on a small network and a 3D twin of it that is written down here,
 * apart from what inflates for users: sound twins pass, each kind of damage is
 * found at the layer where it was done. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
    bool center;           /* one slice holds the whole kernel */
    enum i3d_dtype dtype;  /* of the kernels; undefined: float32 */
    void (*damage)(const char *tensor, float *values); /* before the tensor is stored */
};

struct builder {
    struct i3d_model *model;
    const struct form *form;
};

static const char *named(struct builder *b, const char *name)
{
    const char *prefix = b->form->prefix ? b->form->prefix : "";
    const char *full = i3d_arena_printf(b->model->arena, "%s%s", prefix, name);
    assert_non_null(full);
    return full;
}

/* Any numbers between -1 and 1, the same for one name in both networks. */
static float weight(const char *name, int64_t i)
{
    uint64_t z = (uint64_t)i * 0x9e3779b97f4a7c15;
    for (; *name; name++)
        z = (z ^ (unsigned char)*name) * 0xbf58476d1ce4e5b9;
    z ^= z >> 29;
    return (float)((double)(z * 0x94d049bb133111eb >> 40) * 0x1p-23 - 1);
}

static const float epsilon = 0.001f, other_epsilon = 0.01f;
static float gamma_of(int64_t c) { return 1 + 0.5f * weight("gamma", c); }
static float beta_of(int64_t c) { return weight("beta", c); }
static float mean_of(int64_t c) { return weight("mean", c); }
static float variance_of(int64_t c) { return 1 + 0.5f * weight("variance", c); }
static float scale_of(int64_t c) { return gamma_of(c) / sqrtf(variance_of(c) + epsilon); }

static void put_tensor(struct builder *b, const char *name, int rank, const int64_t *dims,
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

static void put_vector(struct builder *b, const char *name, int64_t count,
                       float (*value)(int64_t))
{
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = value ? value(i) : weight(name, i);
    put_tensor(b, name, 1, &count, values, I3D_FLOAT32);
}

static float rounded(enum i3d_dtype dtype, float value)
{
    double wide = value;
    uint64_t bytes;
    float back;
    i3d_from_double(dtype, &wide, &bytes, 1);
    i3d_to_float(dtype, &bytes, &back, 1);
    return back;
}

/* One number of the 2D kernel: for the first one as the form has it. */
static float kernel_value(const struct form *form, const char *name, const int64_t *dims,
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
static void put_kernel(struct builder *b, const char *name, int64_t outputs, int64_t inputs,
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

static struct i3d_node *put(struct builder *b, const char *op_type, const char *output,
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
static void set_all(struct builder *b, struct i3d_node *node, const char *attribute,
                    int64_t time, int64_t space)
{
    bool pads = !strcmp(attribute, "pads");
    int axes = b->form->inflated ? 3 : 2, count = pads ? 2 * axes : axes;
    int64_t values[6];
    for (int k = 0; k < count; k++)
        values[k] = axes == 3 && k % 3 == 0 ? time : space;
    assert_true(i3d_set_ints(b->model, node, attribute, values, (size_t)count));
}

static void put_conv(struct builder *b, const char *name, const char *input, int64_t outputs,
                     int64_t inputs, int64_t size, int64_t stride, bool padded_in_time)
{
    put_kernel(b, name, outputs, inputs, size);
    char value[32];
    snprintf(value, sizeof value, "%s.out", name);
    bool biased = !strcmp(name, "stem") && b->form->folded;
    struct i3d_node *node = put(b, "Conv", value,
                                biased ? NAMES(input, name, "shift") : NAMES(input, name));
    set_all(b, node, "strides", stride, stride);
    set_all(b, node, "pads", padded_in_time ? 0 : size / 2, size / 2);
}

static float shift_of(int64_t c) { return beta_of(c) - mean_of(c) * scale_of(c); }
static float one(int64_t c) { (void)c; return 1; }
static float scaled_mean_of(int64_t c) { return mean_of(c) * gamma_of(c); }
static float moved_variance_of(int64_t c) { return variance_of(c) + epsilon - other_epsilon; }

/* The 7×7 convolution, BatchNormalization and Relu; the name of the result. */
static const char *put_stem(struct builder *b)
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
    i3d_set_float(b->model, norm, "epsilon", form->scale_in_kernel ? other_epsilon : epsilon);
    if (form->no_relu)
        return "bn";
    put(b, "Relu", "relu", NAMES("bn"));
    return "relu";
}

/* Means and classes: GlobalAveragePool, Flatten, Gemm, or as I3D has it. */
static void put_head(struct builder *b, const char *input, int64_t features)
{
    put_vector(b, "fc.bias", CLASSES, NULL);
    if (!b->form->inflated) {
        put_kernel(b, "fc", CLASSES, features, 1);
        i3d_find_tensor(b->model, named(b, "fc"))->rank = 2;
        put(b, "GlobalAveragePool", "pooled", NAMES(input));
        put(b, "Flatten", "flat", NAMES("pooled"));
        i3d_set_int(b->model, put(b, "Gemm", "logits", NAMES("flat", "fc", "fc.bias")), "transB",
                    1);
        return;
    }
    struct i3d_node *pool = put(b, "AveragePool", "pooled", NAMES(input));
    i3d_set_ints(b->model, pool, "kernel_shape", DIMS(2, SIZE / 4, SIZE / 4), 3);
    put_kernel(b, "fc", CLASSES, features, 1);
    put(b, "Conv", "frames", NAMES("pooled", "fc", "fc.bias"));
    i3d_set_ints(b->model, put(b, "ReduceMean", "averaged", NAMES("frames")), "axes", DIMS(2), 1);
    i3d_set_ints(b->model, put(b, "Squeeze", "logits", NAMES("averaged")), "axes", DIMS(2, 3, 4),
                 3);
}

static void declare(struct builder *b, const char *output)
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
    }
    *result = (struct i3d_value){ .name = named(b, output), .dtype = I3D_FLOAT32, .rank = -1 };
    assert_true(i3d_set_opset(b->model, "", 10));
}

static struct i3d_model *build(const struct form *form)
{
    struct builder builder = { i3d_model_new(), form }, *b = &builder;
    struct i3d_error error;
    assert_non_null(b->model);
    declare(b, "logits");
    const char *value = put_stem(b);
    struct i3d_node *pool = put(b, "MaxPool", "pool", NAMES(value));
    set_all(b, pool, "kernel_shape", 1, 3);
    set_all(b, pool, "strides", 1, 2);
    set_all(b, pool, "pads", 0, 1);
    value = "pool";
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
    put_head(b, "joined", channels + BRANCH_B);
    if (i3d_model_check(b->model, &error))
        fail_msg("%s: %s", error.where, error.message);
    return b->model;
}

static enum i3d_status prove(struct i3d_model *flat, struct i3d_model *inflated, int64_t frames,
                             struct i3d_proof *proof)
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

static struct trial try(struct form flat, struct form inflated)
{
    inflated.inflated = true;
    struct trial trial = { .flat = build(&flat), .inflated = build(&inflated) };
    assert_int_equal(prove(trial.flat, trial.inflated, FRAMES, &trial.proof), I3D_OK);
    return trial;
}

static void finish(struct trial *trial)
{
    i3d_proof_free(&trial->proof);
    i3d_model_free(trial->flat);
    i3d_model_free(trial->inflated);
}

static const struct i3d_layer_verdict *layer(const struct trial *trial, const char *name)
{
    for (size_t i = 0; i < trial->proof.layer_count; i++)
        if (!strcmp(trial->proof.layers[i].name, name))
            return &trial->proof.layers[i];
    fail_msg("there is no layer %s", name);
    return NULL;
}

static void expect_pass(struct trial *trial)
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
static void expect_failure(struct trial *trial, const char *name, const char *note)
{
    assert_false(trial->proof.good);
    assert_true(trial->proof.first_bad >= 0);
    const struct i3d_layer_verdict *verdict = &trial->proof.layers[trial->proof.first_bad];
    assert_string_equal(verdict->name, name);
    assert_false(verdict->good && verdict->audit_good);
    if (note && !strstr(verdict->audit_note, note))
        fail_msg("the note is: %s", verdict->audit_note);
}

static void twins_pass_layer_by_layer(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ 0 });
    expect_pass(&trial);
    static const char *const order[] = { "stem.out", "bn", "relu", "pool", "a.out", "b.out",
                                         "joined", "pooled", "logits", "logits" };
    assert_int_equal(trial.proof.layer_count, 10); /* the last is the output, a mean over time */
    assert_string_equal(trial.proof.layers[9].operation, "output");
    for (int i = 0; i < 10; i++)
        assert_string_equal(trial.proof.layers[i].name, order[i]);
    const struct i3d_layer_verdict *stem = layer(&trial, "stem.out");
    assert_string_equal(stem->operation, "Conv");
    assert_true(stem->has_weights && stem->audit_good);
    assert_int_equal(stem->rank, 5);
    assert_memory_equal(stem->dims, DIMS(1, STEM, FRAMES / 2, SIZE / 2, SIZE / 2),
                        5 * sizeof(int64_t));
    assert_true(layer(&trial, "bn")->has_weights && layer(&trial, "logits")->has_weights);
    assert_false(layer(&trial, "relu")->has_weights);
    finish(&trial);
}

static void names_and_transparent_nodes_do_not_matter(void **unused)
{
    (void)unused;
    const struct form plain = { 0 }, wrapped = { .identities = true, .prefix = "net/" };
    struct trial trial = try(plain, wrapped);
    expect_pass(&trial);
    assert_int_equal(trial.proof.layer_count, 10);
    finish(&trial);
    trial = try(wrapped, plain);
    expect_pass(&trial);
    finish(&trial);
}

static void a_batch_norm_may_be_folded_on_one_side(void **unused)
{
    (void)unused;
    const struct form plain = { 0 }, folded = { .folded = true };
    struct trial trial = try(folded, plain);
    expect_pass(&trial);
    assert_int_equal(trial.proof.layer_count, 9);
    finish(&trial);
    trial = try(plain, folded);
    expect_pass(&trial);
    assert_true(layer(&trial, "bn")->has_weights);
    finish(&trial);
}

/* As files of a codebase without gamma have it */
static void a_scale_may_move_into_the_kernel(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .scale_in_kernel = true });
    expect_pass(&trial);
    finish(&trial);
}

static void operands_of_a_sum_may_be_exchanged(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ .residual = true },
                             (struct form){ .residual = true, .crossed = true });
    expect_pass(&trial);
    finish(&trial);
}

static void other_types_round_in_their_own_way(void **unused)
{
    (void)unused;
    static const enum i3d_dtype dtypes[] = { I3D_FLOAT16, I3D_BFLOAT16 };
    for (int i = 0; i < 2; i++) {
        struct form form = { .dtype = dtypes[i] };
        struct trial trial = try(form, form);
        const struct i3d_layer_verdict *stem = layer(&trial, "stem.out");
        if (!stem->audit_good)
            fail_msg("%s: %s", i3d_dtype_name(dtypes[i]), stem->audit_note);
        /* seven rounded sevenths are not the whole any more */
        assert_true(stem->max_relative > 1e-5);
        finish(&trial);
    }
}

static void one_slice_may_hold_the_kernel(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .center = true });
    expect_pass(&trial);
    assert_non_null(strstr(layer(&trial, "stem.out")->audit_note, "cent"));
    finish(&trial);
}

static void scale_slice(const char *tensor, float *values)
{
    if (strcmp(tensor, "b"))
        return;
    for (int oi = 0; oi < BRANCH_B * STEM; oi++)
        for (int at = 0; at < 9; at++)
            values[oi * 27 + 9 + at] *= 1.01f;
}

static void tilt_slices(const char *tensor, float *values)
{
    if (strcmp(tensor, "b"))
        return;
    for (int oi = 0; oi < BRANCH_B * STEM; oi++)
        for (int at = 0; at < 9; at++) {
            values[oi * 27 + at] *= 1.5f;
            values[oi * 27 + 18 + at] *= 0.5f;
        }
}

static void undo_division(const char *tensor, float *values)
{
    for (int i = 0; !strcmp(tensor, "stem") && i < STEM * 3 * 343; i++)
        values[i] *= 7;
}

static void exchange(float *a, float *b, int count)
{
    for (int i = 0; i < count; i++) {
        float kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

static void exchange_outputs(const char *tensor, float *values)
{
    if (!strcmp(tensor, "b"))
        exchange(values + 1 * STEM * 27, values + 3 * STEM * 27, STEM * 27);
}

static void exchange_inputs(const char *tensor, float *values)
{
    for (int o = 0; !strcmp(tensor, "b") && o < BRANCH_B; o++)
        exchange(values + (o * STEM + 0) * 27, values + (o * STEM + 2) * 27, 27);
}

static void exchange_classes(const char *tensor, float *values)
{
    if (!strcmp(tensor, "fc"))
        exchange(values, values + BRANCH_A + BRANCH_B, BRANCH_A + BRANCH_B);
}

static void shift_mean(const char *tensor, float *values)
{
    if (!strcmp(tensor, "mean"))
        values[2] += 0.01f;
}

static void nudge_mean(const char *tensor, float *values)
{
    if (!strcmp(tensor, "mean"))
        values[2] = nextafterf(values[2], 2);
}

static void shift_bias(const char *tensor, float *values)
{
    if (!strcmp(tensor, "fc.bias"))
        values[4] += 0.01f;
}

static void poison(const char *tensor, float *values)
{
    if (!strcmp(tensor, "beta"))
        values[0] = NAN;
}

static void damage_is_found_where_it_was_done(void **unused)
{
    (void)unused;
    static const struct {
        void (*damage)(const char *tensor, float *values);
        const char *layer, *note;
    } cases[] = {
        { scale_slice, "b.out", "2 of 3" },
        { undo_division, "stem.out", "not divided by 7" },
        { exchange_outputs, "b.out", "1 and 3" },
        { exchange_inputs, "b.out", "0 and 2" },
        { exchange_classes, "logits", "0 and 1" },
        { shift_mean, "bn", "mean" },
        { nudge_mean, "bn", "mean" },
        { shift_bias, "logits", "bias" },
        { poison, "bn", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trial trial = try((struct form){ 0 }, (struct form){ .damage = cases[i].damage });
        expect_failure(&trial, cases[i].layer, cases[i].note);
        finish(&trial);
    }
}

/* The boring video sees no more than the sum of the slices. */
static void uneven_slices_are_found_by_the_audit_alone(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .damage = tilt_slices });
    expect_failure(&trial, "b.out", "sum");
    assert_true(layer(&trial, "b.out")->max_relative <= 1e-5);
    assert_false(layer(&trial, "b.out")->audit_good);
    assert_true(layer(&trial, "joined")->good);
    finish(&trial);
}

static void damage_behind_a_folded_batch_norm_is_found(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ .folded = true },
                             (struct form){ .damage = undo_division });
    expect_failure(&trial, "stem.out", NULL);
    finish(&trial);
    trial = try((struct form){ 0 },
                (struct form){ .scale_in_kernel = true, .damage = shift_mean });
    expect_failure(&trial, "bn", NULL);
    finish(&trial);
}

static void half_as_much(const char *tensor, float *values)
{
    for (int i = 0; !strcmp(tensor, "stem") && i < STEM * 2 * 343; i++)
        values[i] *= 2.0f / 3; /* the mean, not scaled */
}

static void a_flow_stream_sees_a_grey_image(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .channels = 2 });
    expect_pass(&trial);
    finish(&trial);
    trial = try((struct form){ 0 }, (struct form){ .channels = 2, .damage = half_as_much });
    expect_failure(&trial, "stem.out", NULL);
    finish(&trial);
}

static void a_layer_left_out_is_a_failure(void **unused)
{
    (void)unused;
    struct trial trial = try((struct form){ 0 }, (struct form){ .no_relu = true });
    assert_false(trial.proof.good);
    assert_true(trial.proof.unpaired_2d > 0);
    finish(&trial);
    trial = try((struct form){ .no_relu = true }, (struct form){ 0 });
    assert_false(trial.proof.good);
    assert_true(trial.proof.unpaired_3d > 0);
    finish(&trial);
}

static void the_clip_length_is_the_files_or_the_callers(void **unused)
{
    (void)unused;
    const struct form flat_form = { 0 }, form = { .inflated = true, .frames = 12 };
    struct i3d_model *flat = build(&flat_form), *inflated = build(&form);
    struct i3d_proof proof;
    assert_int_equal(prove(flat, inflated, 16, &proof), I3D_USAGE);
    i3d_proof_free(&proof);
    assert_int_equal(prove(flat, inflated, 0, &proof), I3D_OK);
    assert_true(proof.good);
    assert_int_equal(proof.layers[0].dims[2], 6); /* behind stride 2 */
    i3d_proof_free(&proof);
    i3d_model_free(inflated);
    const struct form any_length = { .inflated = true };
    inflated = build(&any_length);
    assert_int_equal(prove(flat, inflated, 2, &proof), I3D_USAGE); /* the last pool takes two */
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
}

/* Taps that are the stride apart share their output frames: with stride 2, three
 * taps are (1/2, 1, 1/2) of the 2D kernel. */
static void transposed_taps_share_their_frames(void **unused)
{
    (void)unused;
    static const int64_t divisors[] = { 2, 1, 2 };
    for (int wrong = 0; wrong < 2; wrong++) {
        struct i3d_model *models[2];
        for (int inflated = 0; inflated < 2; inflated++) {
            const struct form form = { .inflated = inflated };
            struct builder b = { i3d_model_new(), &form };
            assert_non_null(b.model);
            int64_t taps = inflated ? 3 : 1;
            float *values = malloc((size_t)(3 * 2 * taps * 9) * sizeof *values);
            assert_non_null(values);
            for (int64_t i = 0; i < 6 * taps * 9; i++) {
                int64_t t = i / 9 % taps;
                values[i] = weight("w", i / 9 / taps * 9 + i % 9)
                    / (float)(!inflated ? 1 : wrong ? 3 : divisors[t]);
            }
            const int64_t *dims = inflated ? DIMS(3, 2, 3, 3, 3) : DIMS(3, 2, 3, 3);
            put_tensor(&b, "w", inflated ? 5 : 4, dims, values, I3D_FLOAT32);
            set_all(&b, put(&b, "ConvTranspose", "y", NAMES("x", "w")), "strides", 2, 2);
            declare(&b, "y");
            models[inflated] = b.model;
        }
        struct i3d_proof proof;
        assert_int_equal(prove(models[0], models[1], 4, &proof), I3D_OK);
        assert_true(proof.layers[0].has_weights);
        assert_int_equal(proof.layers[0].audit_good, !wrong);
        i3d_proof_free(&proof);
        i3d_model_free(models[0]);
        i3d_model_free(models[1]);
    }
}

/* A graph of so many Relu nodes, or of another operator. */
static struct i3d_model *chain(bool inflated, const char *op_type, int length)
{
    const struct form form = { .inflated = inflated };
    struct builder builder = { i3d_model_new(), &form };
    assert_non_null(builder.model);
    char name[32] = "x", last[32];
    for (int i = 0; i < length; i++) {
        memcpy(last, name, sizeof last);
        snprintf(name, sizeof name, "v%d", i);
        put(&builder, op_type, name, NAMES(last));
    }
    declare(&builder, name);
    for (int k = 2; k < 5; k++)
        builder.model->inputs[0].dims[k].value = 2;
    return builder.model;
}

static void long_graphs_need_no_stack(void **unused)
{
    (void)unused;
    enum { LENGTH = 20000 };
    struct i3d_model *flat = chain(false, "Relu", LENGTH), *inflated = chain(true, "Relu", LENGTH);
    struct i3d_proof proof;
    assert_int_equal(prove(flat, inflated, 2, &proof), I3D_OK);
    assert_true(proof.good);
    assert_int_equal(proof.layer_count, LENGTH);
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
}

static void what_cannot_be_compared_is_refused(void **unused)
{
    (void)unused;
    struct i3d_model *flat = chain(false, "Relu", 1), *inflated = chain(true, "Sigmoid", 1);
    struct i3d_proof proof;
    assert_int_equal(prove(flat, inflated, 2, &proof), I3D_UNSUPPORTED);
    i3d_proof_free(&proof);
    assert_int_equal(prove(inflated, flat, 2, &proof), I3D_UNSUPPORTED);
    i3d_proof_free(&proof);
    assert_int_equal(prove(flat, flat, 2, &proof), I3D_UNSUPPORTED);
    i3d_proof_free(&proof);
    i3d_model_free(flat);
    i3d_model_free(inflated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins_pass_layer_by_layer),
        cmocka_unit_test(names_and_transparent_nodes_do_not_matter),
        cmocka_unit_test(a_batch_norm_may_be_folded_on_one_side),
        cmocka_unit_test(a_scale_may_move_into_the_kernel),
        cmocka_unit_test(operands_of_a_sum_may_be_exchanged),
        cmocka_unit_test(other_types_round_in_their_own_way),
        cmocka_unit_test(one_slice_may_hold_the_kernel),
        cmocka_unit_test(damage_is_found_where_it_was_done),
        cmocka_unit_test(uneven_slices_are_found_by_the_audit_alone),
        cmocka_unit_test(damage_behind_a_folded_batch_norm_is_found),
        cmocka_unit_test(a_flow_stream_sees_a_grey_image),
        cmocka_unit_test(transposed_taps_share_their_frames),
        cmocka_unit_test(a_layer_left_out_is_a_failure),
        cmocka_unit_test(the_clip_length_is_the_files_or_the_callers),
        cmocka_unit_test(long_graphs_need_no_stack),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
