#include "formats/keras_read.h"

#include "formats/keras_build.h"
#include "model/shape.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MOST_WORK: layers looked at, those of a network again for each call of it. */
enum { MOST_PASSES = 1000, DEEPEST = 16, MOST_WORK = 1 << 20 };

#define KERNEL { "kernel", NULL, false }
#define BIAS { "bias", "use_bias", false }
#define NORM { { "gamma", "scale", false }, { "beta", "center", false }, \
               { "moving_mean", NULL, true }, { "moving_variance", NULL, true } }

static const struct i3d_keras_class classes[] = {
    { "Conv2D", i3d_keras_make_convolution, { KERNEL, BIAS }, 1, 2 },
    { "Conv3D", i3d_keras_make_convolution, { KERNEL, BIAS }, 1, 3 },
    { "DepthwiseConv2D", i3d_keras_make_depthwise, { KERNEL, BIAS }, 1, 2 },
    { "SeparableConv2D", i3d_keras_make_separable,
      { KERNEL, { "pointwise_kernel", NULL, false }, BIAS }, 1, 2 },
    { "Conv2DTranspose", i3d_keras_make_transposed, { KERNEL, BIAS }, 1, 2 },
    { "Conv3DTranspose", i3d_keras_make_transposed, { KERNEL, BIAS }, 1, 3 },
    { "Dense", i3d_keras_make_dense, { KERNEL, BIAS }, 1, 0 },
    { "BatchNormalization", i3d_keras_make_batch_normalization, NORM, 1, 0 },
    { "SyncBatchNormalization", i3d_keras_make_batch_normalization, NORM, 1, 0 },
    { "MaxPooling2D", i3d_keras_make_pool, { { 0 } }, 1, 2 },
    { "MaxPooling3D", i3d_keras_make_pool, { { 0 } }, 1, 3 },
    { "AveragePooling2D", i3d_keras_make_pool, { { 0 } }, 1, 2 },
    { "AveragePooling3D", i3d_keras_make_pool, { { 0 } }, 1, 3 },
    { "GlobalMaxPooling2D", i3d_keras_make_global_pool, { { 0 } }, 1, 2 },
    { "GlobalMaxPooling3D", i3d_keras_make_global_pool, { { 0 } }, 1, 3 },
    { "GlobalAveragePooling2D", i3d_keras_make_global_pool, { { 0 } }, 1, 2 },
    { "GlobalAveragePooling3D", i3d_keras_make_global_pool, { { 0 } }, 1, 3 },
    { "ZeroPadding2D", i3d_keras_make_zero_padding, { { 0 } }, 1, 2 },
    { "ZeroPadding3D", i3d_keras_make_zero_padding, { { 0 } }, 1, 3 },
    { "Cropping2D", i3d_keras_make_cropping, { { 0 } }, 1, 2 },
    { "Cropping3D", i3d_keras_make_cropping, { { 0 } }, 1, 3 },
    { "UpSampling2D", i3d_keras_make_upsampling, { { 0 } }, 1, 2 },
    { "UpSampling3D", i3d_keras_make_upsampling, { { 0 } }, 1, 3 },
    { "Activation", i3d_keras_make_activation, { { 0 } }, 1, 0 },
    { "ReLU", i3d_keras_make_relu, { { 0 } }, 1, 0 },
    { "LeakyReLU", i3d_keras_make_leaky_relu, { { 0 } }, 1, 0 },
    { "ELU", i3d_keras_make_elu, { { 0 } }, 1, 0 },
    { "PReLU", i3d_keras_make_prelu, { { "alpha", NULL, false } }, 1, 0 },
    { "Softmax", i3d_keras_make_softmax, { { 0 } }, 1, 0 },
    { "Add", i3d_keras_make_merge, { { 0 } }, 0, 0 },
    { "Multiply", i3d_keras_make_merge, { { 0 } }, 0, 0 },
    { "Subtract", i3d_keras_make_merge, { { 0 } }, 0, 0 },
    { "Average", i3d_keras_make_merge, { { 0 } }, 0, 0 },
    { "Maximum", i3d_keras_make_merge, { { 0 } }, 0, 0 },
    { "Minimum", i3d_keras_make_merge, { { 0 } }, 0, 0 },
    { "Concatenate", i3d_keras_make_concatenate, { { 0 } }, 0, 0 },
    { "Flatten", i3d_keras_make_flatten, { { 0 } }, 1, 0 },
    { "Reshape", i3d_keras_make_reshape, { { 0 } }, 1, 0 },
    { "Permute", i3d_keras_make_permute, { { 0 } }, 1, 0 },
    { "Rescaling", i3d_keras_make_rescaling, { { 0 } }, 1, 0 },
    { "Dropout", i3d_keras_make_dropout, { { 0 } }, 1, 0 },
    { "Identity", i3d_keras_make_identity, { { 0 } }, 1, 0 },
    { "SpatialDropout2D", i3d_keras_make_identity, { { 0 } }, 1, 2 },
    { "SpatialDropout3D", i3d_keras_make_identity, { { 0 } }, 1, 3 },
    { "GaussianNoise", i3d_keras_make_identity, { { 0 } }, 1, 0 },
    { "GaussianDropout", i3d_keras_make_identity, { { 0 } }, 1, 0 },
    { "ActivityRegularization", i3d_keras_make_identity, { { 0 } }, 1, 0 },
};

const struct i3d_keras_class *i3d_keras_class(const char *name)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (!strcmp(classes[i].name, name))
            return &classes[i];
    return NULL;
}

int i3d_keras_axes(const struct i3d_keras_builder *builder)
{
    return i3d_keras_class(builder->layer->class_name)->axes;
}

/* Whether the layer has the class's weight number k. */
static bool has_weight(struct i3d_keras_builder *builder, const struct i3d_keras_class *class,
                       size_t k)
{
    const struct i3d_keras_weight *weight = &class->weights[k];
    return weight->role
        && (!weight->condition || i3d_keras_flag(builder, weight->condition, true));
}

/* Checks that every layer is one of the table, and finds where the channels are. */
static void check_layers(struct i3d_keras_builder *builder,
                         const struct i3d_keras_network *network, bool *is_told)
{
    for (size_t i = 0; i < network->layer_count && !builder->status; i++) {
        const struct i3d_keras_layer *layer = builder->layer = &network->layers[i];
        if (layer->inner) {
            check_layers(builder, layer->inner, is_told);
            continue;
        }
        if (!strcmp(layer->class_name, "InputLayer"))
            continue;
        const struct i3d_keras_class *class = i3d_keras_class(layer->class_name);
        if (!class) {
            i3d_keras_refuse(builder, "layers of this class are not handled");
            return;
        }
        const char *format = class->axes ? i3d_keras_text(builder, "data_format", "") : "";
        bool first = !strcmp(format, "channels_first");
        if (!first && strcmp(format, "channels_last"))
            continue;
        if (*is_told && first != builder->channels_first)
            i3d_keras_refuse(builder, "its channels lie elsewhere than in layers before it");
        builder->channels_first = first;
        *is_told = true;
    }
    builder->layer = NULL;
}

/* The tensors of one group of Keras' legacy layout, in the order in which it lists them. */
struct group {
    const struct i3d_model *model;
    size_t next, end;
};

static void take_next(struct i3d_keras_builder *builder, struct group *group,
                      struct i3d_keras_layer *layer, size_t *place)
{
    if (group->next == group->end)
        i3d_keras_blame(builder, "the file has too few weights for it");
    else if (*place < I3D_KERAS_MAX_WEIGHTS)
        layer->weights[(*place)++] = group->model->tensors[group->next++].name;
}

/* Keras lists trainable weights first: those of all layers of a network, then the rest. */
static void bind_group(struct i3d_keras_builder *builder, struct i3d_keras_layer *layer,
                       struct group *group, bool frozen)
{
    if (layer->inner) {
        for (size_t i = 0; i < layer->inner->layer_count && !builder->status; i++)
            bind_group(builder, &layer->inner->layers[i], group, frozen);
        return;
    }
    const struct i3d_keras_class *class = i3d_keras_class(layer->class_name);
    size_t place = 0;
    builder->layer = layer;
    while (place < I3D_KERAS_MAX_WEIGHTS && layer->weights[place])
        place++;
    for (size_t k = 0; class && k < I3D_KERAS_MAX_WEIGHTS && !builder->status; k++)
        if (has_weight(builder, class, k)
            && (class->weights[k].frozen || !layer->trainable) == frozen)
            take_next(builder, group, layer, &place);
}

/* Where the tensors of each group begin, by the group's path; they stand together. */
static json_t *find_starts(const struct i3d_model *model)
{
    json_t *starts = json_object();
    for (size_t i = 0; starts && i < model->tensor_count; i++) {
        char *path = strdup(model->tensors[i].name);
        for (char *slash = path; slash && (slash = strrchr(path, '/'));) {
            *slash = 0;
            if (json_object_get(starts, path))
                break;
            json_object_set_new_nocheck(starts, path, json_integer((json_int_t)i));
        }
        free(path);
    }
    return starts;
}

static void bind_legacy(struct i3d_keras_builder *builder, struct i3d_keras_network *network)
{
    const struct i3d_model *model = builder->model;
    json_t *starts = find_starts(model);
    if (!starts)
        builder->status = i3d_fail_memory(builder->error);
    for (size_t i = 0; i < network->layer_count && !builder->status; i++) {
        struct i3d_keras_layer *layer = &network->layers[i];
        json_t *start = json_object_get(starts, layer->name);
        size_t first = start ? (size_t)json_integer_value(start) : model->tensor_count;
        size_t end = first, length = strlen(layer->name);
        while (end < model->tensor_count
               && !strncmp(model->tensors[end].name, layer->name, length)
               && model->tensors[end].name[length] == '/')
            end++;
        struct group group = { model, first, end };
        bind_group(builder, layer, &group, false);
        bind_group(builder, layer, &group, true);
        builder->layer = layer;
        if (group.next < group.end)
            i3d_keras_blame(builder, "the file has more weights for it than it has");
    }
    json_decref(starts);
}

void i3d_keras_snake_case(const char *class_name, char *snake, size_t size)
{
    size_t used = 0;
    for (size_t k = 0; class_name[k] && used + 2 < size; k++) {
        unsigned char letter = (unsigned char)class_name[k];
        unsigned char before = k ? (unsigned char)class_name[k - 1] : 0;
        unsigned char after = (unsigned char)class_name[k + 1];
        bool starts_word = k && isupper(letter)
            && (islower(before) || (isdigit(before) && islower(after))
                || (isupper(before) && islower(after)));
        if (starts_word)
            snake[used++] = '_';
        snake[used++] = (char)tolower(letter);
    }
    snake[used] = 0;
}

static void bind_keras_3(struct i3d_keras_builder *builder, struct i3d_keras_network *network,
                         const char *path, int depth)
{
    json_t *counts = json_object();
    for (size_t i = 0; i < network->layer_count && !builder->status; i++) {
        struct i3d_keras_layer *layer = &network->layers[i];
        char key[128], place[4096];
        builder->layer = layer;
        const char *class_name = !strcmp(layer->class_name, "Model") ? "Functional"
                                                                     : layer->class_name;
        i3d_keras_snake_case(class_name, key, sizeof key);
        json_int_t count = json_integer_value(json_object_get(counts, key));
        json_object_set_new_nocheck(counts, key, json_integer(count + 1));
        char number[24] = "";
        if (count)
            snprintf(number, sizeof number, "_%lld", (long long)count);
        int length = snprintf(place, sizeof place, "%slayers/%s%s/", path, key, number);
        if (length < 0 || (size_t)length >= sizeof place - 32 || depth == DEEPEST) {
            i3d_keras_refuse(builder, "networks are nested too deeply");
        } else if (layer->inner) {
            bind_keras_3(builder, layer->inner, place, depth + 1);
            continue;
        }
        const struct i3d_keras_class *class = i3d_keras_class(layer->class_name);
        size_t used = 0;
        for (size_t k = 0; class && k < I3D_KERAS_MAX_WEIGHTS && !builder->status; k++) {
            if (!has_weight(builder, class, k))
                continue;
            snprintf(place + length, sizeof place - (size_t)length, "vars/%zu", used);
            layer->weights[used] = i3d_arena_string(builder->model->arena, place);
            if (!layer->weights[used])
                builder->status = i3d_fail_memory(builder->error);
            else if (!json_object_get(builder->tensors, layer->weights[used]))
                i3d_keras_blame(builder, "the file has no %.200s for it", place);
            used++;
        }
    }
    json_decref(counts);
}

/* Declares an input of the whole network. */
static void declare_input(struct i3d_keras_builder *builder, const struct i3d_keras_layer *layer,
                          struct i3d_keras_value *value)
{
    static const char *const keys[] = { "batch_shape", "batch_input_shape", "build_input_shape" };
    builder->layer = layer;
    json_t *shape = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !json_is_array(shape); i++)
        shape = i3d_keras_get(builder, keys[i]);
    size_t rank = json_array_size(shape);
    if (rank < 2 || rank > I3D_MAX_RANK) {
        i3d_keras_refuse(builder, "it does not tell the shape of the network's input");
        return;
    }
    json_t *type = i3d_keras_get(builder, "dtype");
    const char *type_name = json_is_string(type) ? json_string_value(type) : "float32";
    enum i3d_dtype dtype = i3d_dtype_from_name(type_name);
    *value = (struct i3d_keras_value){ .rank = (int)rank };
    i3d_keras_canonical(builder, value->rank, value->order);
    value->name = i3d_keras_name(builder, layer->name);
    struct i3d_value *input = builder->status ? NULL : i3d_model_add_input(builder->model);
    if (!input) {
        builder->status = builder->status ? builder->status : i3d_fail_memory(builder->error);
        return;
    }
    input->name = value->name;
    input->dtype = dtype ? dtype : I3D_FLOAT32;
    input->rank = (int)rank;
    for (size_t k = 0; k < rank; k++) {
        json_t *size = json_array_get(shape, k);
        struct i3d_dim *dim = &input->dims[value->order[k]];
        dim->value = json_is_integer(size) && k ? json_integer_value(size) : -1;
        dim->name = !k ? "N" : NULL;
        if (dim->value < (k && json_is_integer(size) ? 1 : -1))
            i3d_keras_blame(builder, "its shape has a size of %lld", (long long)dim->value);
    }
}

/* The values of a network's layers while it is evaluated: outputs[layer][call]. */
struct evaluation {
    const struct i3d_keras_network *network;
    struct i3d_keras_value **outputs;
};

static const struct i3d_keras_value *look_up(const struct evaluation *evaluation,
                                             const struct i3d_keras_place *place)
{
    const struct i3d_keras_layer *layer = &evaluation->network->layers[place->layer];
    size_t calls = layer->call_count ? layer->call_count : 1;
    return place->call < calls && !place->output ? &evaluation->outputs[place->layer][place->call]
                                                 : NULL;
}

static void evaluate(struct i3d_keras_builder *builder, const struct i3d_keras_network *network,
                     const struct i3d_keras_value *inputs, size_t input_count,
                     struct i3d_keras_value *output, int depth);

/* One call of a layer. False if an input is still missing. */
static bool call_layer(struct i3d_keras_builder *builder, const struct evaluation *evaluation,
                       size_t position, size_t number, int depth)
{
    const struct i3d_keras_layer *layer = &evaluation->network->layers[position];
    const struct i3d_keras_call *call = &layer->calls[number];
    struct i3d_keras_value *inputs =
        i3d_arena_alloc(builder->model->arena, call->input_count + 1, sizeof *inputs);
    if (!inputs) {
        builder->status = i3d_fail_memory(builder->error);
        return false;
    }
    builder->layer = layer;
    for (size_t i = 0; i < call->input_count; i++) {
        const struct i3d_keras_value *input = look_up(evaluation, &call->inputs[i]);
        if (!input)
            i3d_keras_refuse(builder, "it takes an output of a layer that has no such output");
        if (!input || !input->name)
            return false;
        inputs[i] = *input;
    }
    struct i3d_keras_value made = { 0 };
    if (layer->inner) {
        evaluate(builder, layer->inner, inputs, call->input_count, &made, depth + 1);
    } else {
        const struct i3d_keras_class *class = i3d_keras_class(layer->class_name);
        if (!class) /* an InputLayer that is called */
            i3d_keras_blame(builder, "it cannot be called");
        else if (class->inputs ? call->input_count != class->inputs : !call->input_count)
            i3d_keras_blame(builder, "it is called with %zu inputs", call->input_count);
        else
            class->make(builder, inputs, call->input_count, &made);
    }
    evaluation->outputs[position][number] = made;
    return true;
}

/* Calls what can be called until all is done: layers may be listed in any order. */
static void call_all(struct i3d_keras_builder *builder, const struct evaluation *evaluation,
                     int depth)
{
    const struct i3d_keras_network *network = evaluation->network;
    bool is_waiting = true, moves = true;
    for (int pass = 0; is_waiting && moves && !builder->status; pass++) {
        is_waiting = moves = false;
        for (size_t i = 0; i < network->layer_count && !builder->status; i++) {
            for (size_t k = 0; k < network->layers[i].call_count && !builder->status; k++) {
                if (evaluation->outputs[i][k].name)
                    continue;
                if (call_layer(builder, evaluation, i, k, depth))
                    moves = true;
                else
                    is_waiting = true;
            }
        }
        if (pass == MOST_PASSES)
            moves = false;
    }
    if (is_waiting)
        i3d_keras_blame(builder, "its layers wait for each other");
}

/* One call of a network on inputs; the outermost network declares its own. */
static void evaluate(struct i3d_keras_builder *builder, const struct i3d_keras_network *network,
                     const struct i3d_keras_value *inputs, size_t input_count,
                     struct i3d_keras_value *output, int depth)
{
    struct evaluation evaluation = { .network = network };
    const struct i3d_keras_layer *outside = builder->layer;
    struct i3d_arena *arena = builder->model->arena;
    if (depth == DEEPEST)
        i3d_keras_refuse(builder, "networks are nested too deeply");
    builder->work += network->layer_count;
    if (builder->work > MOST_WORK)
        i3d_keras_refuse(builder, "the network has more than %d layers", MOST_WORK);
    if (builder->status)
        return;
    evaluation.outputs = i3d_arena_alloc(arena, network->layer_count, sizeof *evaluation.outputs);
    for (size_t i = 0; evaluation.outputs && i < network->layer_count; i++) {
        size_t calls = network->layers[i].call_count ? network->layers[i].call_count : 1;
        evaluation.outputs[i] = i3d_arena_alloc(arena, calls, sizeof **evaluation.outputs);
        if (!evaluation.outputs[i])
            evaluation.outputs = NULL;
    }
    if (!evaluation.outputs && !builder->status)
        builder->status = i3d_fail_memory(builder->error);
    if (inputs && input_count != network->input_count)
        i3d_keras_blame(builder, "it is called with %zu inputs where it has %zu", input_count,
                        network->input_count);
    for (size_t i = 0; i < network->input_count && !builder->status; i++) {
        const struct i3d_keras_layer *layer = &network->layers[network->inputs[i].layer];
        struct i3d_keras_value *value = &evaluation.outputs[network->inputs[i].layer][0];
        if (inputs)
            *value = inputs[i];
        else
            declare_input(builder, layer, value);
    }
    if (!builder->status)
        call_all(builder, &evaluation, depth);
    builder->layer = outside;
    for (size_t i = 0; i < network->output_count && !builder->status; i++) {
        const struct i3d_keras_value *value = look_up(&evaluation, &network->outputs[i]);
        if (!value || !value->name)
            i3d_keras_blame(builder, "an output of the network is made by no layer");
        else if (inputs && network->output_count != 1)
            i3d_keras_refuse(builder, "a network inside has several outputs");
        else
            output[i] = *value;
    }
}

/* Outputs are told apart by name, and none may be an input. */
static void declare_outputs(struct i3d_keras_builder *builder,
                            const struct i3d_keras_network *network,
                            struct i3d_keras_value *outputs)
{
    for (size_t i = 0; i < network->output_count && !builder->status; i++) {
        builder->layer = &network->layers[network->outputs[i].layer];
        i3d_keras_make_canonical(builder, &outputs[i]);
        bool is_taken = false;
        for (size_t k = 0; k < builder->model->input_count; k++)
            is_taken |= !strcmp(builder->model->inputs[k].name, outputs[i].name);
        for (size_t k = 0; k < i; k++)
            is_taken |= !strcmp(outputs[k].name, outputs[i].name);
        if (is_taken)
            i3d_keras_step(builder, "Identity", "output", &outputs[i]);
        struct i3d_value *output = builder->status ? NULL : i3d_model_add_output(builder->model);
        if (!output) {
            builder->status = builder->status ? builder->status : i3d_fail_memory(builder->error);
            return;
        }
        output->name = outputs[i].name;
        output->dtype = builder->model->inputs[0].dtype;
    }
}

/* The outputs' shapes; what does not fit together is found by the way. */
static void measure_outputs(struct i3d_keras_builder *builder)
{
    struct i3d_shapes *shapes;
    struct i3d_model *model = builder->model;
    builder->status = i3d_infer_shapes(model, NULL, NULL, 0, &shapes, builder->error);
    if (builder->status)
        return;
    for (size_t i = 0; i < model->output_count; i++) {
        struct i3d_value *output = &model->outputs[i];
        const struct i3d_shape *shape = i3d_shape_of(shapes, output->name);
        output->rank = shape->rank;
        for (int k = 0; k < shape->rank; k++)
            output->dims[k] = (struct i3d_dim){ k ? shape->dims[k] : -1, k ? NULL : "N" };
    }
    i3d_shapes_free(shapes);
}

static void register_tensors(struct i3d_keras_builder *builder)
{
    const struct i3d_model *model = builder->model;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const char *name = model->tensors[i].name;
        if (json_object_set_new_nocheck(builder->tensors, name, json_integer((json_int_t)i))
            || json_object_set_new_nocheck(builder->names, name, json_true())) {
            builder->status = i3d_fail_memory(builder->error);
            return;
        }
    }
}

static void build(struct i3d_keras_builder *builder, struct i3d_keras_network *network,
                  enum i3d_keras_layout layout)
{
    bool is_told = false;
    struct i3d_model *model = builder->model;
    register_tensors(builder);
    check_layers(builder, network, &is_told);
    if (builder->status)
        return;
    if (layout == I3D_KERAS_LEGACY)
        bind_legacy(builder, network);
    else
        bind_keras_3(builder, network, "", 0);
    builder->layer = NULL;
    struct i3d_keras_value *outputs =
        i3d_arena_alloc(model->arena, network->output_count, sizeof *outputs);
    if (!outputs && !builder->status)
        builder->status = i3d_fail_memory(builder->error);
    if (!builder->status)
        evaluate(builder, network, NULL, 0, outputs, 0);
    if (!builder->status)
        declare_outputs(builder, network, outputs);
    if (builder->status)
        return;
    model->name = network->name;
    model->ir_version = 8;
    if (model->inputs[0].rank == 5)
        model->time_axis = 2;
    if (!i3d_set_opset(model, "", 15))
        builder->status = i3d_fail_memory(builder->error);
    else
        measure_outputs(builder);
}

enum i3d_status i3d_keras_build(struct i3d_model *model, const char *config,
                                enum i3d_keras_layout layout, const char *keras_version,
                                struct i3d_error *error)
{
    struct i3d_json_reader reader = { .what = "Keras' configuration", .arena = model->arena,
                                      .error = error };
    json_t *root = i3d_json_parse(&reader, config, strlen(config));
    struct i3d_keras_network *network = reader.status ? NULL : i3d_keras_parse(&reader, root);
    struct i3d_keras_builder builder = { .model = model, .error = error, .names = json_object(),
                                         
                                         .tensors = json_object(), .suffixes = json_object(),
                                         .status = reader.status };
    builder.keras_version = keras_version ? atoi(keras_version) : 1;
    if (!builder.status && (!builder.names || !builder.tensors || !builder.suffixes))
        builder.status = i3d_fail_memory(error);
    if (!builder.status)
        build(&builder, network, layout);
    json_decref(builder.suffixes);
    json_decref(builder.tensors);
    json_decref(builder.names);
    json_decref(root);
    return builder.status;
}
