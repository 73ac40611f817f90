/* The tools of a builder: its config's keys, names, nodes, weights and the order of axes. */
#include "formats/keras_build.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fail(struct i3d_keras_builder *builder, enum i3d_status status, const char *format,
                 va_list arguments)
{
    char message[300];
    if (builder->status)
        return;
    vsnprintf(message, sizeof message, format, arguments);
    i3d_fail(builder->error, status, "%s", message);
    if (builder->layer)
        i3d_error_where(builder->error, "layer %s (%s)", builder->layer->name,
                        builder->layer->class_name);
    builder->status = status;
}

void i3d_keras_refuse(struct i3d_keras_builder *builder, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(builder, I3D_UNSUPPORTED, format, arguments);
    va_end(arguments);
}

void i3d_keras_blame(struct i3d_keras_builder *builder, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(builder, I3D_MALFORMED, format, arguments);
    va_end(arguments);
}

static void out_of_memory(struct i3d_keras_builder *builder)
{
    if (!builder->status)
        builder->status = i3d_fail_memory(builder->error);
}

json_t *i3d_keras_get(const struct i3d_keras_builder *builder, const char *key)
{
    json_t *value = json_object_get(builder->layer->config, key);
    return json_is_null(value) ? NULL : value;
}

bool i3d_keras_flag(struct i3d_keras_builder *builder, const char *key, bool fallback)
{
    json_t *value = i3d_keras_get(builder, key);
    if (value && !json_is_boolean(value))
        i3d_keras_blame(builder, "its %s is neither true nor false", key);
    return value ? json_is_true(value) : fallback;
}

double i3d_keras_number(struct i3d_keras_builder *builder, const char *key, double fallback)
{
    json_t *value = i3d_keras_get(builder, key);
    if (json_is_object(value)) /* Keras 2's numpy scalars: {"type": "ndarray", "value": …} */
        value = json_object_get(value, "value");
    if (value && (!json_is_number(value) || !(fabs(json_number_value(value)) < 0x1p127)))
        i3d_keras_blame(builder, "its %s is no number", key);
    return value ? json_number_value(value) : fallback;
}

int64_t i3d_keras_integer(struct i3d_keras_builder *builder, const char *key, int64_t fallback)
{
    int64_t value;
    i3d_keras_integers(builder, key, 1, fallback, &value);
    return value;
}

const char *i3d_keras_text(struct i3d_keras_builder *builder, const char *key,
                           const char *fallback)
{
    json_t *value = i3d_keras_get(builder, key);
    if (value && !json_is_string(value))
        i3d_keras_blame(builder, "its %s is no text", key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

void i3d_keras_integers(struct i3d_keras_builder *builder, const char *key, size_t count,
                        int64_t fallback, int64_t *values)
{
    enum { FAR = 1 << 30 };
    json_t *value = i3d_keras_get(builder, key);
    bool is_list = json_is_array(value);
    for (size_t i = 0; i < count; i++)
        values[i] = fallback;
    if (!value)
        return;
    if (is_list && json_array_size(value) == 1 && count == 1)
        value = json_array_get(value, 0), is_list = false;
    if (is_list && json_array_size(value) != count) {
        i3d_keras_blame(builder, "its %s has %zu numbers where %zu are needed", key,
                        json_array_size(value), count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *number = is_list ? json_array_get(value, i) : value;
        json_int_t integer = json_integer_value(number);
        if (!json_is_integer(number) || integer > FAR || integer < -FAR)
            i3d_keras_blame(builder, "its %s is not made of small integers", key);
        else
            values[i] = integer;
    }
}

const char *i3d_keras_name(struct i3d_keras_builder *builder, const char *hint)
{
    char *name = i3d_arena_string(builder->model->arena, hint);
    json_int_t number = json_integer_value(json_object_get(builder->suffixes, hint));
    while (name && json_object_get(builder->names, name)) {
        name = i3d_arena_printf(builder->model->arena, "%s_%lld", hint, (long long)++number);
        json_object_set_new_nocheck(builder->suffixes, hint, json_integer(number));
    }
    if (!name || json_object_set_new_nocheck(builder->names, name, json_true())) {
        out_of_memory(builder);
        return hint;
    }
    return name;
}

struct i3d_node *i3d_keras_node(struct i3d_keras_builder *builder, const char *op_type,
                                const char *what, const char *const *inputs, const char **output)
{
    static struct i3d_node nowhere; /* what a failed builder writes to */
    *output = "";
    const char *layer = builder->layer ? builder->layer->name : "";
    const char *hint = *what ? i3d_arena_printf(builder->model->arena, "%s/%s", layer, what)
                             : layer;
    if (!hint)
        out_of_memory(builder);
    if (builder->status)
        return memset(&nowhere, 0, sizeof nowhere);
    *output = i3d_keras_name(builder, hint);
    const char *const outputs[] = { *output, NULL };
    struct i3d_node *node = i3d_model_put_node(builder->model, op_type, *output, inputs, outputs);
    if (node)
        return node;
    out_of_memory(builder);
    return memset(&nowhere, 0, sizeof nowhere);
}

struct i3d_node *i3d_keras_step(struct i3d_keras_builder *builder, const char *op_type,
                                const char *what, struct i3d_keras_value *value)
{
    const char *const inputs[] = { value->name, NULL };
    return i3d_keras_node(builder, op_type, what, inputs, &value->name);
}

static const char *constant_name(struct i3d_keras_builder *builder, const char *hint)
{
    const char *layer = builder->layer->name;
    const char *name = i3d_arena_printf(builder->model->arena, "%s/%s", layer, hint);
    if (!name)
        out_of_memory(builder);
    return builder->status ? "" : i3d_keras_name(builder, name);
}

const char *i3d_keras_floats(struct i3d_keras_builder *builder, const char *hint, int rank,
                             const int64_t *dims, const float *values)
{
    const char *name = constant_name(builder, hint);
    if (!builder->status)
        builder->status = i3d_model_put_floats(builder->model, name, rank, dims, values,
                                               builder->error);
    return name;
}

const char *i3d_keras_float(struct i3d_keras_builder *builder, const char *hint, float value)
{
    return i3d_keras_floats(builder, hint, 0, NULL, &value);
}

const char *i3d_keras_ints(struct i3d_keras_builder *builder, const char *hint, size_t count,
                           const int64_t *values)
{
    const char *name = constant_name(builder, hint);
    int64_t dims[] = { (int64_t)count };
    if (!builder->status)
        builder->status = i3d_model_put_ints(builder->model, name, 1, dims, values,
                                             builder->error);
    return name;
}

struct i3d_tensor *i3d_keras_weight(struct i3d_keras_builder *builder, size_t k)
{
    const char *name = k < I3D_KERAS_MAX_WEIGHTS ? builder->layer->weights[k] : NULL;
    json_t *place = name ? json_object_get(builder->tensors, name) : NULL;
    return place ? &builder->model->tensors[json_integer_value(place)] : NULL;
}

void i3d_keras_permute(struct i3d_keras_builder *builder, struct i3d_tensor *tensor,
                       const int *permutation, int rank, const int64_t *dims)
{
    if (builder->status || json_object_get(builder->names, tensor->name) != json_true())
        return;
    struct i3d_view whole, view;
    i3d_view_of(tensor, &whole);
    view = whole;
    for (int k = 0; k < tensor->rank; k++) {
        view.dims[k] = whole.dims[permutation[k]];
        view.strides[k] = whole.strides[permutation[k]];
        if (view.dims[k] < 1) {
            i3d_keras_blame(builder, "its weight %s is empty", tensor->name);
            return;
        }
    }
    struct i3d_source *source = i3d_source_view(tensor->source, &view);
    if (!source) {
        out_of_memory(builder);
        return;
    }
    i3d_source_release(tensor->source);
    tensor->source = source;
    tensor->rank = rank;
    memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    json_object_set_nocheck(builder->names, tensor->name, json_false()); /* done */
}

void i3d_keras_canonical(const struct i3d_keras_builder *builder, int rank, int *order)
{
    bool moves = rank >= 4 && !builder->channels_first;
    for (int k = 0; k < rank; k++)
        order[k] = !moves || !k ? k : k == rank - 1 ? 1 : k + 1;
}

/* Transposes so that the value's order becomes wanted. */
static void reorder(struct i3d_keras_builder *builder, struct i3d_keras_value *value,
                    const int *wanted)
{
    int64_t permutation[I3D_MAX_RANK];
    size_t rank = (size_t)value->rank;
    if (!memcmp(value->order, wanted, rank * sizeof *wanted))
        return;
    for (size_t k = 0; k < rank; k++)
        permutation[wanted[k]] = value->order[k];
    struct i3d_node *node = i3d_keras_step(builder, "Transpose", "transpose", value);
    if (!builder->status && !i3d_set_ints(builder->model, node, "perm", permutation, rank))
        out_of_memory(builder);
    memcpy(value->order, wanted, rank * sizeof *wanted);
}

void i3d_keras_make_canonical(struct i3d_keras_builder *builder, struct i3d_keras_value *value)
{
    int wanted[I3D_MAX_RANK];
    i3d_keras_canonical(builder, value->rank, wanted);
    reorder(builder, value, wanted);
}

void i3d_keras_make_plain(struct i3d_keras_builder *builder, struct i3d_keras_value *value)
{
    static const int plain[I3D_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    reorder(builder, value, plain);
}

int64_t i3d_keras_axis(struct i3d_keras_builder *builder, const struct i3d_keras_value *value,
                       int64_t axis)
{
    axis += axis < 0 ? value->rank : 0;
    if (axis < 0 || axis >= value->rank) {
        i3d_keras_blame(builder, "its input has no axis %lld", (long long)axis);
        return 0;
    }
    return value->order[axis];
}
