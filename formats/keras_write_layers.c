#include "formats/keras_write.h"

#include <stdlib.h>
#include <string.h>

/* The number that a stored tensor of one element holds. */
static bool is_number(const struct i3d_keras_writer *writer, const struct i3d_tensor *tensor,
                      double *number)
{
    double *values;
    if (!tensor || !tensor->source || i3d_tensor_elements(tensor) != 1
        || i3d_tensor_load_double(tensor, &values, writer->error))
        return false;
    *number = *values;
    free(values);
    return true;
}

static void function(struct i3d_keras_writer *writer, const char *suffix, const char *name,
                     struct i3d_keras_tensor *tensor)
{
    i3d_keras_layer(writer, "Activation", suffix, json_pack("{ss}", "activation", name), tensor);
}

static void rectify(struct i3d_keras_writer *writer, const char *suffix, double most,
                    struct i3d_keras_tensor *tensor)
{
    i3d_keras_layer(writer, "ReLU", suffix,
                    json_pack("{sfsfsf}", "max_value", most, "negative_slope", 0.0, "threshold",
                              0.0), tensor);
}

static void rescale(struct i3d_keras_writer *writer, const char *suffix, double scale,
                    double offset, struct i3d_keras_tensor *tensor)
{
    i3d_keras_layer(writer, "Rescaling", suffix,
                    json_pack("{sfsf}", "scale", scale, "offset", offset), tensor);
}

static void write_clip(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_node *node = writer->node;
    double low = i3d_float(node, "min", -1), high = i3d_float(node, "max", -1);
    *output = i3d_keras_input(writer, 0);
    bool has_low = is_number(writer, i3d_keras_stored(writer, 1), &low);
    bool has_high = is_number(writer, i3d_keras_stored(writer, 2), &high);
    has_low |= i3d_attribute(node, "min") != NULL;
    has_high |= i3d_attribute(node, "max") != NULL;
    if (has_low && low == 0 && has_high && high >= 0)
        rectify(writer, "", high, output);
    else if (has_low && low == 0 && !has_high && node->input_count < 3)
        function(writer, "", "relu", output);
    else
        i3d_keras_reject(writer, "Keras clips from 0 on only");
}

/* clip(alpha·x + beta, 0, 1): Keras' own hard_sigmoid differs between its versions. */
static void hard_sigmoid(struct i3d_keras_writer *writer, const char *suffix, double alpha,
                         double beta, struct i3d_keras_tensor *tensor)
{
    rescale(writer, "_scaled", alpha, beta, tensor);
    rectify(writer, suffix, 1, tensor);
}

static void write_hard_sigmoid(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    *output = i3d_keras_input(writer, 0);
    hard_sigmoid(writer, "", i3d_float(writer->node, "alpha", 0.2f),
                 i3d_float(writer->node, "beta", 0.5f), output);
}

static void write_hard_swish(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    struct i3d_keras_tensor both[2] = { i3d_keras_input(writer, 0), i3d_keras_input(writer, 0) };
    hard_sigmoid(writer, "_gate", 1.0 / 6, 0.5, &both[1]);
    i3d_keras_merge(writer, "Multiply", "", json_object(), both, 2, output);
}

static void write_function(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    static const struct {
        const char *op_type, *function;
    } functions[] = {
        { "Relu", "relu" }, { "Sigmoid", "sigmoid" }, { "Tanh", "tanh" }, { "Selu", "selu" },
        { "Softplus", "softplus" }, { "Exp", "exponential" },
    };
    *output = i3d_keras_input(writer, 0);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (i3d_is(writer->node, functions[i].op_type))
            function(writer, "", functions[i].function, output);
}

static void write_leaky_relu(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    double slope = i3d_float(writer->node, "alpha", 0.01f);
    *output = i3d_keras_input(writer, 0);
    i3d_keras_layer(writer, "ReLU", "",
                    json_pack("{snsfsf}", "max_value", "negative_slope", slope, "threshold", 0.0),
                    output);
}

static void write_elu(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    double alpha = i3d_float(writer->node, "alpha", 1);
    *output = i3d_keras_input(writer, 0);
    i3d_keras_layer(writer, "ELU", "", json_pack("{sf}", "alpha", alpha), output);
}

/* Slopes C×1×…: one a channel, or 1×…×1. */
static void write_prelu(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_tensor *slope = i3d_keras_stored(writer, 1);
    *output = i3d_keras_input(writer, 0);
    i3d_keras_images(writer, output);
    int axes = output->rank - 1;
    if (writer->status)
        return;
    if (!slope || slope->rank != axes
        || slope->dims[0] != i3d_tensor_elements(slope)) {
        i3d_keras_reject(writer, "its slopes are not stored as one number per channel");
        return;
    }
    struct i3d_view view;
    int64_t shared[I3D_MAX_RANK];
    i3d_view_of(slope, &view);
    for (int k = 0; k < axes; k++) {
        view.dims[k] = k == axes - 1 ? slope->dims[0] : 1;
        view.strides[k] = 1;
        shared[k] = k + 1;
    }
    bool is_one = slope->dims[0] == 1;
    i3d_keras_layer(writer, "PReLU", "",
                    json_pack("{so}", "shared_axes",
                              i3d_keras_list(shared, is_one ? axes : axes - 1)), output);
    i3d_keras_put_weight(writer, "alpha", slope, &view);
}

static void write_softmax(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    bool is_old = i3d_opset(writer->model) < 13;
    *output = i3d_keras_input(writer, 0);
    int64_t axis = i3d_int(writer->node, "axis", is_old ? 1 : -1);
    axis += axis < 0 ? output->rank : 0;
    if (axis < 1 || axis >= output->rank || (is_old && axis != output->rank - 1)) {
        i3d_keras_reject(writer, "its axes are not one axis behind the batch");
        return;
    }
    int place = 0;
    while (output->order[place] != axis)
        place++;
    /* Keras 2 takes the last axis for granted in fast paths; -1 is what people write */
    json_t *config = json_pack("{si}", "axis", place == output->rank - 1 ? -1 : place);
    i3d_keras_layer(writer, "Softmax", "", config, output);
}

/* A constant beside a tensor: Rescaling knows a number, or one for each channel. */
static void write_scaled(struct i3d_keras_writer *writer, size_t variable,
                         struct i3d_keras_tensor *output)
{
    enum { MOST_NUMBERS = 1 << 14 };
    const struct i3d_node *node = writer->node;
    const struct i3d_tensor *constant = i3d_keras_stored(writer, 1 - variable);
    bool adds = i3d_is(node, "Add"), multiplies = i3d_is(node, "Mul");
    bool divides = i3d_is(node, "Div") && !variable, takes = i3d_is(node, "Sub") && !variable;
    *output = i3d_keras_input(writer, variable);
    if (writer->status)
        return;
    int64_t count = i3d_tensor_elements(constant);
    if (!adds && !multiplies && !divides && !takes) {
        i3d_keras_reject(writer, "Keras has no layer for a constant on its left");
        return;
    }
    int channel = constant->rank - output->rank + 1; /* the channels' axis in the constant */
    if (count != 1 && (channel < 0 || channel >= constant->rank
                       || constant->dims[channel] != count || count > MOST_NUMBERS)) {
        i3d_keras_reject(writer, "its constant is neither one number nor one per channel");
        return;
    }
    if (count != 1 || constant->rank > output->rank)
        i3d_keras_images(writer, output);
    if (constant->rank > output->rank || (count != 1 && output->order[output->rank - 1] != 1)) {
        i3d_keras_reject(writer, "its constant does not lie along the channels");
        return;
    }
    double *values = NULL;
    if (!constant->source || i3d_tensor_load_double(constant, &values, writer->error)) {
        i3d_keras_reject(writer, "its constant has no values");
        return;
    }
    json_t *list = json_array();
    for (int64_t k = 0; k < count; k++)
        json_array_append_new(list, json_real(divides ? 1 / values[k] : takes ? -values[k]
                                                                             : values[k]));
    free(values);
    if (json_array_size(list) != (size_t)count) {
        json_decref(list);
        i3d_keras_reject(writer, "its constant is not finite");
        return;
    }
    json_t *numbers = count == 1 ? json_incref(json_array_get(list, 0)) : json_incref(list);
    json_decref(list);
    bool scales = multiplies || divides;
    json_t *config = json_pack("{sosf}", scales ? "scale" : "offset", numbers,
                               scales ? "offset" : "scale", scales ? 0.0 : 1.0);
    i3d_keras_layer(writer, "Rescaling", "", config, output);
}

static void write_merge(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    static const struct {
        const char *op_type, *class_name;
    } merges[] = {
        { "Add", "Add" }, { "Sum", "Add" }, { "Mul", "Multiply" }, { "Sub", "Subtract" },
        { "Mean", "Average" }, { "Max", "Maximum" }, { "Min", "Minimum" },
        { "Concat", "Concatenate" }, { "Div", NULL },
    };
    const struct i3d_node *node = writer->node;
    size_t count = node->input_count, kind = 0;
    bool is_pair = i3d_is(node, "Add") || i3d_is(node, "Mul") || i3d_is(node, "Sub")
        || i3d_is(node, "Div");
    for (size_t k = 0; k < count && is_pair; k++) {
        if (i3d_keras_stored(writer, k)) {
            write_scaled(writer, 1 - k, output);
            return;
        }
    }
    while (!i3d_is(node, merges[kind].op_type))
        kind++;
    struct i3d_keras_tensor *inputs = i3d_arena_alloc(writer->arena, count + 1, sizeof *inputs);
    if (!inputs || !merges[kind].class_name) {
        i3d_keras_reject(writer, "Keras has no layer that divides tensors");
        return;
    }
    for (size_t k = 0; k < count && !writer->status; k++) {
        inputs[k] = i3d_keras_input(writer, k);
        if (!writer->status && inputs[k].rank != inputs[0].rank)
            i3d_keras_reject(writer, "its inputs have %d and %d axes", inputs[0].rank,
                             inputs[k].rank);
        i3d_keras_images(writer, &inputs[k]);
    }
    if (count < 2 && !writer->status) {
        *output = inputs[0];
        return;
    }
    json_t *config = json_object();
    if (i3d_is(node, "Concat") && !writer->status) {
        int64_t axis = i3d_int(node, "axis", 1);
        axis += axis < 0 ? inputs[0].rank : 0;
        int place = 1;
        while (place < inputs[0].rank && inputs[0].order[place] != axis)
            place++;
        if (place == inputs[0].rank)
            i3d_keras_reject(writer, "it joins along the batch");
        json_object_set_new(config, "axis", json_integer(place == inputs[0].rank - 1 ? -1
                                                                                     : place));
    }
    i3d_keras_merge(writer, merges[kind].class_name, "", config, inputs, count, output);
}

static void write_reshape(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    const struct i3d_node *node = writer->node;
    const struct i3d_shape *from = i3d_keras_shape(writer, node->inputs[0]);
    const struct i3d_shape *to = i3d_keras_shape(writer, node->outputs[0]);
    *output = i3d_keras_input(writer, 0);
    if (writer->status)
        return;
    if (!i3d_is(node, "Flatten")) {
        i3d_keras_to_shape(writer, from, to, output);
        return;
    }
    if (i3d_int(node, "axis", 1) != 1) {
        i3d_keras_reject(writer, "it flattens the batch too, or not all behind it");
        return;
    }
    int long_axes = 0;
    for (int k = 1; k < from->rank; k++)
        long_axes += from->dims[k] != 1;
    if (long_axes > 1 || from->rank < 0)
        i3d_keras_rows(writer, output);
    i3d_keras_layer(writer, "Flatten", "", json_object(), output);
    output->rank = 2;
    output->order[0] = 0;
    output->order[1] = 1;
}

static void write_transpose(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    size_t count;
    const int64_t *axes = i3d_ints(writer->node, "perm", &count);
    struct i3d_keras_tensor input = i3d_keras_input(writer, 0);
    *output = input;
    if (!writer->status && axes && count != (size_t)input.rank)
        i3d_keras_reject(writer, "its perm does not fit its input");
    for (int k = 0; k < input.rank && !writer->status; k++) {
        int to = 0;
        while (to < input.rank && (axes ? axes[to] : input.rank - 1 - to) != input.order[k])
            to++;
        if (to == input.rank)
            i3d_keras_reject(writer, "its perm is no permutation");
        output->order[k] = to;
    }
}

static void write_dropout(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    double rate = i3d_float(writer->node, "ratio", 0.5f);
    *output = i3d_keras_input(writer, 0);
    is_number(writer, i3d_keras_stored(writer, 1), &rate);
    if (rate >= 0 && rate < 1)
        i3d_keras_layer(writer, "Dropout", "", json_pack("{sf}", "rate", rate), output);
}

static void write_nothing(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    *output = i3d_keras_input(writer, 0);
}

void i3d_keras_write_node(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output)
{
    static const struct {
        const char *op_type;
        void (*write)(struct i3d_keras_writer *writer, struct i3d_keras_tensor *output);
    } rows[] = {
        { "Conv", i3d_keras_write_conv },
        { "MaxPool", i3d_keras_write_pool },
        { "AveragePool", i3d_keras_write_pool },
        { "GlobalAveragePool", i3d_keras_write_pool },
        { "GlobalMaxPool", i3d_keras_write_pool },
        { "ReduceMean", i3d_keras_write_pool },
        { "ReduceMax", i3d_keras_write_pool },
        { "Pad", i3d_keras_write_pad },
        { "BatchNormalization", i3d_keras_write_norm },
        { "Gemm", i3d_keras_write_dense },
        { "MatMul", i3d_keras_write_dense },
        { "Relu", write_function }, { "Sigmoid", write_function }, { "Tanh", write_function },
        { "Selu", write_function }, { "Softplus", write_function }, { "Exp", write_function },
        { "LeakyRelu", write_leaky_relu },
        { "Elu", write_elu },
        { "PRelu", write_prelu },
        { "Clip", write_clip },
        { "HardSigmoid", write_hard_sigmoid },
        { "HardSwish", write_hard_swish },
        { "Softmax", write_softmax },
        { "Add", write_merge }, { "Sum", write_merge }, { "Mul", write_merge },
        { "Sub", write_merge }, { "Div", write_merge }, { "Mean", write_merge },
        { "Max", write_merge }, { "Min", write_merge },
        { "Concat", write_merge },
        { "Flatten", write_reshape }, { "Reshape", write_reshape },
        { "Squeeze", write_reshape }, { "Unsqueeze", write_reshape },
        { "Transpose", write_transpose },
        { "Dropout", write_dropout },
        { "Identity", write_nothing },
    };
    const char *first = writer->node->output_count ? writer->node->outputs[0] : "";
    const struct i3d_shape *shape = i3d_keras_shape(writer, first);
    /* Integers, such as computed shapes, come in through what they lead to. */
    if (shape && shape->dtype == I3D_INT64)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i3d_is(writer->node, rows[i].op_type) && writer->node->input_count) {
            rows[i].write(writer, output);
            return;
        }
    }
    i3d_keras_reject(writer, "Keras has no layer for this operator");
}
