/* Layers that act on each number, or that move numbers: activations, merges, shapes. */
#include "formats/keras_build.h"

#include <string.h>

static void set_float(struct i3d_keras_builder *builder, struct i3d_node *node, const char *name,
                      double value)
{
    if (!builder->status && !i3d_set_float(builder->model, node, name, (float)value))
        builder->status = i3d_fail_memory(builder->error);
}

static void set_int(struct i3d_keras_builder *builder, struct i3d_node *node, const char *name,
                    int64_t value)
{
    if (!builder->status && !i3d_set_int(builder->model, node, name, value))
        builder->status = i3d_fail_memory(builder->error);
}

/* What a function's node is called beside the layer: nothing where it is all the layer does,
 * so that names do not grow from file to file. */
static const char *part(const struct i3d_keras_builder *builder, const char *what)
{
    static const char *const alone[] = { "Activation", "ReLU", "Softmax" };
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++)
        if (!strcmp(builder->layer->class_name, alone[i]))
            return "";
    return what;
}

/* ONNX's Clip; a bound that is not finite is left out. */
static void clip(struct i3d_keras_builder *builder, struct i3d_keras_value *value, bool from_zero,
                 double high)
{
    const char *least = from_zero ? i3d_keras_float(builder, "min", 0) : "";
    const char *const inputs[] = { value->name, least,
                                   i3d_keras_float(builder, "max", (float)high), NULL };
    i3d_keras_node(builder, "Clip", part(builder, "clip"), inputs, &value->name);
}

static void soften(struct i3d_keras_builder *builder, struct i3d_keras_value *value, int64_t axis)
{
    int64_t where = i3d_keras_axis(builder, value, axis);
    const char *what = part(builder, "softmax");
    set_int(builder, i3d_keras_step(builder, "Softmax", what, value), "axis", where);
}

/* x·sigmoid(x) */
static void swish(struct i3d_keras_builder *builder, struct i3d_keras_value *value)
{
    struct i3d_keras_value gate = *value;
    i3d_keras_step(builder, "Sigmoid", "sigmoid", &gate);
    const char *const inputs[] = { value->name, gate.name, NULL };
    i3d_keras_node(builder, "Mul", part(builder, "mul"), inputs, &value->name);
}

/* Keras 2: clip(0.2·x + 0.5); Keras 3: relu6(x + 3)/6. */
static void hard_sigmoid(struct i3d_keras_builder *builder, struct i3d_keras_value *value)
{
    double slope = builder->keras_version < 3 ? 0.2 : 1.0 / 6;
    const char *what = part(builder, "hard_sigmoid");
    set_float(builder, i3d_keras_step(builder, "HardSigmoid", what, value), "alpha", slope);
}

void i3d_keras_activate(struct i3d_keras_builder *builder, const char *function,
                        struct i3d_keras_value *value)
{
    static const struct {
        const char *function, *op_type;
    } plain[] = {
        { "relu", "Relu" },       { "sigmoid", "Sigmoid" },      { "tanh", "Tanh" },
        { "elu", "Elu" },         { "selu", "Selu" },            { "softplus", "Softplus" },
        { "exponential", "Exp" }, { "hard_swish", "HardSwish" }, { "hard_silu", "HardSwish" },
    };
    if (!strcmp(function, "linear"))
        return;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (!strcmp(function, plain[i].function)) {
            i3d_keras_step(builder, plain[i].op_type, part(builder, function), value);
            return;
        }
    }
    if (!strcmp(function, "softmax"))
        soften(builder, value, -1);
    else if (!strcmp(function, "relu6"))
        clip(builder, value, true, 6);
    else if (!strcmp(function, "swish") || !strcmp(function, "silu"))
        swish(builder, value);
    else if (!strcmp(function, "hard_sigmoid"))
        hard_sigmoid(builder, value);
    else if (!strcmp(function, "leaky_relu"))
        set_float(builder,
                  i3d_keras_step(builder, "LeakyRelu", part(builder, function), value), "alpha",
                  0.2);
    else
        i3d_keras_refuse(builder, "its activation %.60s is not handled", function);
}

void i3d_keras_activate_layer(struct i3d_keras_builder *builder, struct i3d_keras_value *value)
{
    json_t *function = i3d_keras_get(builder, "activation");
    if (json_is_object(function)) /* Keras 3's way to name a function */
        function = json_object_get(function, "config");
    if (json_is_string(function))
        i3d_keras_activate(builder, json_string_value(function), value);
    else if (function)
        i3d_keras_refuse(builder, "its activation is no function that is handled");
}

void i3d_keras_make_activation(struct i3d_keras_builder *builder,
                               const struct i3d_keras_value *inputs, size_t count,
                               struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    i3d_keras_activate_layer(builder, output);
}

void i3d_keras_make_relu(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                         size_t count, struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    double slope = i3d_keras_number(builder, "negative_slope", 0);
    double most = i3d_keras_number(builder, "max_value", -1);
    if (i3d_keras_number(builder, "threshold", 0) != 0)
        i3d_keras_refuse(builder, "a threshold is not handled");
    if (slope)
        set_float(builder,
                  i3d_keras_step(builder, "LeakyRelu", most >= 0 ? "leaky_relu" : "", output),
                  "alpha", slope);
    if (most >= 0)
        clip(builder, output, !slope, most);
    else if (!slope)
        i3d_keras_step(builder, "Relu", "", output);
}

/* Keras 2 calls the slope alpha. */
void i3d_keras_make_leaky_relu(struct i3d_keras_builder *builder,
                               const struct i3d_keras_value *inputs, size_t count,
                               struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    double slope = i3d_keras_number(builder, "negative_slope",
                                    i3d_keras_number(builder, "alpha", 0.3));
    set_float(builder, i3d_keras_step(builder, "LeakyRelu", "", output), "alpha", slope);
}

void i3d_keras_make_elu(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                        size_t count, struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    double alpha = i3d_keras_number(builder, "alpha", 1);
    set_float(builder, i3d_keras_step(builder, "Elu", "", output), "alpha", alpha);
}

/* The slopes have the shape of the input without its batch, with 1 on shared axes. */
void i3d_keras_make_prelu(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                          size_t count, struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    i3d_keras_make_canonical(builder, output);
    struct i3d_tensor *slope = i3d_keras_weight(builder, 0);
    int rank = output->rank - 1, permutation[I3D_MAX_RANK];
    int64_t dims[I3D_MAX_RANK];
    if (builder->status || !slope)
        return;
    if (slope->rank != rank) {
        i3d_keras_blame(builder, "its slopes have %d axes where %d are needed", slope->rank,
                        rank);
        return;
    }
    for (int k = 0; k < rank; k++)
        permutation[output->order[k + 1] - 1] = k;
    for (int k = 0; k < rank; k++)
        dims[k] = slope->dims[permutation[k]];
    i3d_keras_permute(builder, slope, permutation, rank, dims);
    const char *const both[] = { output->name, slope->name, NULL };
    i3d_keras_node(builder, "PRelu", "", both, &output->name);
}

void i3d_keras_make_softmax(struct i3d_keras_builder *builder,
                            const struct i3d_keras_value *inputs, size_t count,
                            struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    soften(builder, output, i3d_keras_integer(builder, "axis", -1));
}

/* Inputs in one order, under whose names the result is made. */
static const char **align(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                          size_t count, struct i3d_keras_value *output)
{
    const char **names = i3d_arena_alloc(builder->model->arena, count + 1, sizeof *names);
    if (!names) {
        builder->status = builder->status ? builder->status : i3d_fail_memory(builder->error);
        return NULL;
    }
    *output = inputs[0];
    i3d_keras_make_canonical(builder, output);
    names[0] = output->name;
    for (size_t i = 1; i < count; i++) {
        struct i3d_keras_value value = inputs[i];
        if (value.rank != output->rank)
            i3d_keras_refuse(builder, "its inputs have %d and %d axes", output->rank, value.rank);
        i3d_keras_make_canonical(builder, &value);
        names[i] = value.name;
        output->is_pixel &= value.is_pixel;
    }
    return names;
}

void i3d_keras_make_merge(struct i3d_keras_builder *builder, const struct i3d_keras_value *inputs,
                          size_t count, struct i3d_keras_value *output)
{
    static const struct {
        const char *class_name, *op_type;
        bool takes_many;
    } merges[] = {
        { "Add", "Add", false },         { "Multiply", "Mul", false },
        { "Subtract", "Sub", false },    { "Average", "Mean", true },
        { "Maximum", "Max", true },      { "Minimum", "Min", true },
    };
    size_t k = 0;
    while (strcmp(merges[k].class_name, builder->layer->class_name))
        k++;
    const char **names = align(builder, inputs, count, output);
    if (builder->status)
        return;
    if (count < 2 || (count > 2 && !strcmp(merges[k].op_type, "Sub"))) {
        i3d_keras_blame(builder, "it cannot take %zu inputs", count);
    } else if (merges[k].takes_many) {
        i3d_keras_node(builder, merges[k].op_type, "", names, &output->name);
    } else {
        for (size_t i = 1; i < count; i++) {
            const char *const pair[] = { output->name, names[i], NULL };
            i3d_keras_node(builder, merges[k].op_type, "", pair, &output->name);
        }
    }
}

void i3d_keras_make_concatenate(struct i3d_keras_builder *builder,
                                const struct i3d_keras_value *inputs, size_t count,
                                struct i3d_keras_value *output)
{
    int64_t axis = i3d_keras_integer(builder, "axis", -1);
    const char **names = align(builder, inputs, count, output);
    if (builder->status)
        return;
    output->is_pixel = false;
    axis = i3d_keras_axis(builder, output, axis);
    set_int(builder, i3d_keras_node(builder, "Concat", "", names, &output->name), "axis", axis);
}

void i3d_keras_make_dropout(struct i3d_keras_builder *builder,
                            const struct i3d_keras_value *inputs, size_t count,
                            struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    double rate = i3d_keras_number(builder, "rate", 0.5);
    const char *const both[] = { output->name, i3d_keras_float(builder, "rate", (float)rate),
                                 NULL };
    i3d_keras_node(builder, "Dropout", "", both, &output->name);
}

void i3d_keras_make_identity(struct i3d_keras_builder *builder,
                             const struct i3d_keras_value *inputs, size_t count,
                             struct i3d_keras_value *output)
{
    (void)builder;
    (void)count;
    *output = inputs[0];
}

void i3d_keras_make_flatten(struct i3d_keras_builder *builder,
                            const struct i3d_keras_value *inputs, size_t count,
                            struct i3d_keras_value *output)
{
    (void)count;
    *output = inputs[0];
    if (!output->is_pixel)
        i3d_keras_make_plain(builder, output);
    set_int(builder, i3d_keras_step(builder, "Flatten", "", output), "axis", 1);
    output->rank = 2;
    output->is_pixel = false;
    i3d_keras_canonical(builder, 2, output->order);
}

/* In Keras' order of elements, unless all but one size is 1 on both sides. */
void i3d_keras_make_reshape(struct i3d_keras_builder *builder,
                            const struct i3d_keras_value *inputs, size_t count,
                            struct i3d_keras_value *output)
{
    (void)count;
    int64_t target[I3D_MAX_RANK] = { 0 }, dims[I3D_MAX_RANK] = { 0 };
    size_t rank = json_array_size(i3d_keras_get(builder, "target_shape"));
    if (rank + 1 > I3D_MAX_RANK || !i3d_keras_get(builder, "target_shape")) {
        i3d_keras_blame(builder, "it has no target_shape that is handled");
        return;
    }
    i3d_keras_integers(builder, "target_shape", rank, 1, target);
    *output = inputs[0];
    bool to_pixel = rank >= 3;
    for (size_t k = 0; k < rank; k++) {
        bool is_channel = builder->channels_first ? k == 0 : k == rank - 1;
        if (target[k] < -1 || !target[k])
            i3d_keras_blame(builder, "its target_shape has a size of %lld", (long long)target[k]);
        to_pixel &= is_channel || target[k] == 1;
    }
    bool is_line = output->rank == 2 || output->is_pixel;
    bool keeps_order = is_line && (to_pixel || rank == 1);
    struct i3d_keras_value next = { .rank = (int)rank + 1, .is_pixel = to_pixel };
    i3d_keras_canonical(builder, next.rank, next.order);
    if (!keeps_order) {
        i3d_keras_make_plain(builder, output);
        for (int k = 0; k < next.rank; k++)
            next.order[k] = k;
    }
    for (size_t k = 0; k < rank; k++)
        dims[next.order[k + 1]] = target[k];
    const char *const both[] = { output->name, i3d_keras_ints(builder, "shape", rank + 1, dims),
                                 NULL };
    i3d_keras_node(builder, "Reshape", "", both, &next.name);
    *output = next;
}

void i3d_keras_make_permute(struct i3d_keras_builder *builder,
                            const struct i3d_keras_value *inputs, size_t count,
                            struct i3d_keras_value *output)
{
    (void)count;
    int64_t dims[I3D_MAX_RANK] = { 0 };
    bool seen[I3D_MAX_RANK] = { false };
    int rank = inputs[0].rank;
    i3d_keras_integers(builder, "dims", (size_t)rank - 1, 0, dims);
    *output = inputs[0];
    output->is_pixel = false;
    for (int k = 1; k < rank && !builder->status; k++) {
        int64_t from = dims[k - 1];
        if (from < 1 || from >= rank || seen[from])
            i3d_keras_blame(builder, "its dims are no permutation");
        else
            output->order[k] = inputs[0].order[from], seen[from] = true;
    }
}

/* x·scale + offset, either a number or one for each channel. */
void i3d_keras_make_rescaling(struct i3d_keras_builder *builder,
                              const struct i3d_keras_value *inputs, size_t count,
                              struct i3d_keras_value *output)
{
    static const struct {
        const char *key, *op_type;
        float neutral;
    } parts[] = { { "scale", "Mul", 1 }, { "offset", "Add", 0 } };
    (void)count;
    *output = inputs[0];
    i3d_keras_make_canonical(builder, output);
    for (int i = 0; i < 2 && !builder->status; i++) {
        json_t *value = i3d_keras_get(builder, parts[i].key);
        if (json_is_object(value))
            value = json_object_get(value, "value");
        bool is_list = json_is_array(value);
        size_t length = is_list ? json_array_size(value) : 1;
        float *numbers = i3d_arena_alloc(builder->model->arena, length + 1, sizeof *numbers);
        if (!numbers) {
            builder->status = i3d_fail_memory(builder->error);
            return;
        }
        bool changes = false;
        for (size_t k = 0; k < length; k++) {
            json_t *number = is_list ? json_array_get(value, k) : value;
            if (value && !json_is_number(number))
                i3d_keras_blame(builder, "its %s is not made of numbers", parts[i].key);
            numbers[k] = value ? (float)json_number_value(number) : parts[i].neutral;
            changes |= numbers[k] != parts[i].neutral;
        }
        if (!changes)
            continue;
        int64_t dims[I3D_MAX_RANK];
        int rank = is_list ? output->rank - output->order[output->rank - 1] : 0;
        for (int k = 0; k < rank; k++)
            dims[k] = k ? 1 : (int64_t)length;
        const char *const both[] = {
            output->name, i3d_keras_floats(builder, parts[i].key, rank, dims, numbers), NULL
        };
        bool is_last = i || !json_number_value(i3d_keras_get(builder, "offset"));
        is_last &= i || !json_is_array(i3d_keras_get(builder, "offset"));
        i3d_keras_node(builder, parts[i].op_type, is_last ? "" : "scaled", both, &output->name);
    }
}
