#include "formats/keras_write.h"

#include "formats/keras_build.h"
#include "formats/keras_file.h"
#include "formats/hdf5_layout.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void i3d_keras_reject(struct i3d_keras_writer *writer, const char *format, ...)
{
    char message[300];
    if (writer->status)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    writer->status = i3d_fail(writer->error, I3D_UNSUPPORTED, "%s", message);
    if (writer->node)
        i3d_error_where(writer->error, "node %s (%s)",
                        *writer->node->name ? writer->node->name : *writer->node->outputs,
                        writer->node->op_type);
    i3d_error_hint(writer->error, "ONNX and safetensors hold any network");
}

static void out_of_memory(struct i3d_keras_writer *writer)
{
    if (!writer->status)
        writer->status = i3d_fail_memory(writer->error);
}

json_t *i3d_keras_list(const int64_t *values, int count)
{
    json_t *list = json_array();
    for (int k = 0; k < count; k++)
        json_array_append_new(list, values[k] < 0 ? json_null() : json_integer(values[k]));
    return list;
}

/* Keras and TensorFlow want names of letters, digits, "_", "." and "-", each once. */
static const char *layer_name(struct i3d_keras_writer *writer, const char *stem,
                              const char *suffix)
{
    char *name = i3d_arena_printf(writer->arena, "%s%s", stem, suffix);
    for (char *at = name; at && *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_-", *at) && (*at != '.' || at == name))
            *at = '_';
    if (name && !isalnum((unsigned char)*name))
        name = i3d_arena_printf(writer->arena, "layer%s", name);
    const char *wanted = name;
    json_int_t number = name ? json_integer_value(json_object_get(writer->names, name)) : 0;
    while (name && json_object_get(writer->names, name)) {
        name = i3d_arena_printf(writer->arena, "%s_%lld", wanted, (long long)++number);
        json_object_set_new_nocheck(writer->names, wanted, json_integer(number));
    }
    if (!name || json_object_set_new_nocheck(writer->names, name, json_integer(0))) {
        out_of_memory(writer);
        return "";
    }
    return name;
}

struct i3d_keras_made *i3d_keras_merge(struct i3d_keras_writer *writer, const char *class_name,
                                       const char *suffix, json_t *config,
                                       const struct i3d_keras_tensor *inputs, size_t count,
                                       struct i3d_keras_tensor *tensor)
{
    static struct i3d_keras_made nowhere; /* what a failed writer writes to */
    const struct i3d_node *node = writer->node;
    if (writer->layer_count == writer->layer_room && !writer->status) {
        size_t room = 2 * writer->layer_room + 64;
        struct i3d_keras_made *grown = realloc(writer->layers, room * sizeof *grown);
        if (grown) {
            writer->layers = grown;
            writer->layer_room = room;
        } else {
            out_of_memory(writer);
        }
    }
    size_t *layers = i3d_arena_alloc(writer->arena, count, sizeof *layers);
    const char *stem = !node ? "" : *node->name ? node->name : *node->outputs;
    const char *name = writer->status ? "" : layer_name(writer, stem, suffix);
    if (!layers || !config)
        out_of_memory(writer);
    if (writer->status) {
        json_decref(config);
        return &nowhere;
    }
    for (size_t i = 0; i < count; i++)
        layers[i] = inputs[i].layer;
    json_object_set_new(config, "name", json_string(name));
    json_object_set_new(config, "trainable", json_true());
    json_object_set_new(config, "dtype", json_string(writer->dtype));
    if (count && tensor != inputs)
        *tensor = inputs[0];
    tensor->is_made = true;
    tensor->layer = writer->layer_count;
    struct i3d_keras_made *layer = &writer->layers[writer->layer_count++];
    *layer = (struct i3d_keras_made){ .name = name, .class_name = class_name, .config = config,
                                      .inputs = layers, .input_count = count };
    return layer;
}

struct i3d_keras_made *i3d_keras_layer(struct i3d_keras_writer *writer, const char *class_name,
                                       const char *suffix, json_t *config,
                                       struct i3d_keras_tensor *tensor)
{
    struct i3d_keras_tensor input = *tensor;
    return i3d_keras_merge(writer, class_name, suffix, config, &input, 1, tensor);
}

void i3d_keras_put_weight(struct i3d_keras_writer *writer, const char *role,
                          const struct i3d_tensor *tensor, const struct i3d_view *view)
{
    if (writer->status)
        return;
    struct i3d_keras_made *layer = &writer->layers[writer->layer_count - 1];
    struct i3d_tensor *made = &layer->weights[layer->weight_count].tensor;
    if (!tensor->source) {
        i3d_keras_reject(writer, "tensor %.100s has no values", tensor->name);
        return;
    }
    *made = *tensor;
    made->rank = view->rank;
    for (int k = 0; k < view->rank; k++) {
        made->dims[k] = view->dims[k];
        if (!view->dims[k])
            i3d_keras_reject(writer, "tensor %.100s is empty", tensor->name);
    }
    if (writer->status)
        return;
    made->source = i3d_source_view(tensor->source, view);
    if (!made->source) {
        out_of_memory(writer);
        return;
    }
    layer->weights[layer->weight_count++].role = role;
}

const struct i3d_shape *i3d_keras_shape(const struct i3d_keras_writer *writer, const char *value)
{
    return i3d_shape_of(writer->shapes, value);
}

struct i3d_keras_tensor i3d_keras_input(struct i3d_keras_writer *writer, size_t k)
{
    const char *name = k < writer->node->input_count ? writer->node->inputs[k] : "";
    int64_t number = i3d_index_value(writer->index, name);
    if (number != I3D_NOWHERE && writer->tensors[number].is_made)
        return writer->tensors[number];
    i3d_keras_reject(writer, "its input %.100s is nothing that a layer of Keras makes", name);
    return (struct i3d_keras_tensor){ .rank = 1 };
}

const struct i3d_tensor *i3d_keras_stored(const struct i3d_keras_writer *writer, size_t k)
{
    const char *name = k < writer->node->input_count ? writer->node->inputs[k] : "";
    int64_t tensor = *name ? i3d_index_tensor(writer->index, name) : I3D_NOWHERE;
    return tensor == I3D_NOWHERE ? NULL : &writer->model->tensors[tensor];
}

static void image_order(int rank, int *order)
{
    for (int k = 0; k < rank; k++)
        order[k] = rank < 4 || !k ? k : k == rank - 1 ? 1 : k + 1;
}

static void permute(struct i3d_keras_writer *writer, struct i3d_keras_tensor *tensor,
                    const int *wanted)
{
    int64_t dims[I3D_MAX_RANK];
    if (writer->status || !memcmp(tensor->order, wanted, (size_t)tensor->rank * sizeof *wanted))
        return;
    if (tensor->order[0] || wanted[0]) {
        i3d_keras_reject(writer, "it moves the batch axis");
        return;
    }
    for (int k = 1; k < tensor->rank; k++)
        for (int from = 1; from < tensor->rank; from++)
            if (tensor->order[from] == wanted[k])
                dims[k - 1] = from;
    i3d_keras_layer(writer, "Permute", "_permute",
                    json_pack("{so}", "dims", i3d_keras_list(dims, tensor->rank - 1)), tensor);
    memcpy(tensor->order, wanted, (size_t)tensor->rank * sizeof *wanted);
}

void i3d_keras_images(struct i3d_keras_writer *writer, struct i3d_keras_tensor *tensor)
{
    int wanted[I3D_MAX_RANK];
    image_order(tensor->rank, wanted);
    permute(writer, tensor, wanted);
}

void i3d_keras_rows(struct i3d_keras_writer *writer, struct i3d_keras_tensor *tensor)
{
    static const int plain[I3D_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    permute(writer, tensor, plain);
}

/* At most one axis behind the batch is not of size 1: any order of axes is the same. */
static bool is_line(const struct i3d_shape *shape)
{
    int long_axes = 0;
    for (int k = 1; k < shape->rank; k++)
        long_axes += shape->dims[k] != 1;
    return shape->rank >= 0 && long_axes <= 1;
}

void i3d_keras_to_shape(struct i3d_keras_writer *writer, const struct i3d_shape *from,
                        const struct i3d_shape *to, struct i3d_keras_tensor *tensor)
{
    int unknown = 0;
    if (writer->status)
        return;
    if (to->rank < 2) {
        i3d_keras_reject(writer, "its result has no batch, or a shape that is not known");
        return;
    }
    /* That the batch stays is not told by sizes; where both are known they must agree. */
    bool is_told = from->dims[0] > 0 && to->dims[0] > 0;
    if (from->rank < 1 || (is_told && from->dims[0] != to->dims[0])) {
        i3d_keras_reject(writer, "it changes the batch axis");
        return;
    }
    for (int k = 1; k < to->rank; k++)
        unknown += to->dims[k] < 0;
    if (unknown > 1) {
        i3d_keras_reject(writer, "the shape of its result is not known");
        i3d_error_hint(writer->error, "a network with a fixed input size can be written");
        return;
    }
    struct i3d_keras_tensor made = { .rank = to->rank };
    if (is_line(from) && is_line(to)) {
        image_order(to->rank, made.order);
    } else {
        i3d_keras_rows(writer, tensor);
        for (int k = 0; k < to->rank; k++)
            made.order[k] = k;
    }
    json_t *target = json_array();
    for (int k = 1; k < to->rank; k++)
        json_array_append_new(target, json_integer(to->dims[made.order[k]]));
    i3d_keras_layer(writer, "Reshape", "", json_pack("{so}", "target_shape", target), tensor);
    tensor->rank = to->rank;
    memcpy(tensor->order, made.order, sizeof made.order);
}

static void write_inputs(struct i3d_keras_writer *writer)
{
    for (size_t i = 0; i < writer->model->input_count && !writer->status; i++) {
        const struct i3d_value *input = &writer->model->inputs[i];
        int64_t number = i3d_index_value(writer->index, input->name);
        struct i3d_keras_tensor *tensor = &writer->tensors[number];
        const struct i3d_shape *shape = i3d_keras_shape(writer, input->name);
        const char *const outputs[] = { input->name };
        const struct i3d_node stem = { .name = input->name, .op_type = "input",
                                       .outputs = (const char **)outputs };
        writer->node = &stem;
        if (shape->rank < 2) {
            i3d_keras_reject(writer, "the rank of this input is not known, or it has no batch");
        } else {
            *tensor = (struct i3d_keras_tensor){ .rank = shape->rank };
            image_order(shape->rank, tensor->order);
            json_t *sizes = json_array();
            for (int k = 0; k < shape->rank; k++) {
                int64_t size = k ? shape->dims[tensor->order[k]] : -1;
                json_array_append_new(sizes, size < 0 ? json_null() : json_integer(size));
            }
            i3d_keras_merge(writer, "InputLayer", "", json_pack("{so}", "batch_shape", sizes),
                            NULL, 0, tensor);
        }
        writer->node = NULL;
    }
}

static void write_nodes(struct i3d_keras_writer *writer)
{
    for (size_t i = 0; i < writer->model->node_count && !writer->status; i++) {
        struct i3d_keras_tensor made = { .is_made = false };
        writer->node = &writer->model->nodes[i];
        i3d_keras_write_node(writer, &made);
        int64_t number = writer->node->output_count
            ? i3d_index_value(writer->index, writer->node->outputs[0]) : I3D_NOWHERE;
        if (!writer->status && number != I3D_NOWHERE)
            writer->tensors[number] = made;
    }
    writer->node = NULL;
}

/* Layers by Keras' rule, by which its loaders pair them with what a file lists: by depth, the
 * longest way to an output, and then in the order in which a walk from the outputs meets
 * them first (Keras, ops/function.py, map_graph). */
struct sorter {
    const struct i3d_keras_writer *writer;
    size_t *met, *depth, *order, *stack, *next;
    size_t met_count, order_count; /* order: inputs ahead of what uses them */
};

static void walk_from(struct sorter *sorter, size_t layer)
{
    size_t depth = 0;
    if (sorter->met[layer] != SIZE_MAX)
        return;
    sorter->stack[0] = layer;
    sorter->met[layer] = sorter->met_count++;
    while (true) {
        size_t at = sorter->stack[depth];
        const struct i3d_keras_made *made = &sorter->writer->layers[at];
        if (sorter->next[at] < made->input_count) {
            size_t input = made->inputs[sorter->next[at]++];
            if (sorter->met[input] == SIZE_MAX) {
                sorter->met[input] = sorter->met_count++;
                sorter->stack[++depth] = input;
            }
            continue;
        }
        sorter->order[sorter->order_count++] = at;
        if (!depth--)
            return;
    }
}

static int compare_layers(const void *left, const void *right, void *context)
{
    const struct sorter *sorter = context;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    if (sorter->depth[a] != sorter->depth[b])
        return sorter->depth[a] > sorter->depth[b] ? -1 : 1;
    return sorter->met[a] < sorter->met[b] ? -1 : sorter->met[a] > sorter->met[b];
}

/* The layers that outputs need, in Keras' order; inputs that nothing needs come last. */
static size_t *sort_layers(struct i3d_keras_writer *writer, const size_t *outputs, size_t count,
                           size_t *used)
{
    size_t n = writer->layer_count;
    size_t *memory = i3d_arena_alloc(writer->arena, 5 * n + 5, sizeof *memory);
    if (!memory) {
        out_of_memory(writer);
        return NULL;
    }
    struct sorter sorter = { .writer = writer, .met = memory, .depth = memory + n,
                             .order = memory + 2 * n, .stack = memory + 3 * n,
                             .next = memory + 4 * n };
    for (size_t i = 0; i < n; i++)
        sorter.met[i] = SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        walk_from(&sorter, outputs[i]);
    for (size_t i = sorter.order_count; i-- > 0;) {
        const struct i3d_keras_made *made = &writer->layers[sorter.order[i]];
        for (size_t k = 0; k < made->input_count; k++) {
            size_t *depth = &sorter.depth[made->inputs[k]];
            size_t least = sorter.depth[sorter.order[i]] + 1;
            *depth = *depth < least ? least : *depth;
        }
    }
    qsort_r(sorter.order, sorter.order_count, sizeof *sorter.order, compare_layers, &sorter);
    *used = sorter.order_count;
    return sorter.order;
}

/* ["name", 0, 0] */
static json_t *place_of(const struct i3d_keras_writer *writer, size_t layer, bool with_arguments)
{
    const char *name = writer->layers[layer].name;
    return with_arguments ? json_pack("[sii{}]", name, 0, 0) : json_pack("[sii]", name, 0, 0);
}

static json_t *describe_layer(const struct i3d_keras_writer *writer, size_t layer,
                              enum i3d_keras_layout layout)
{
    const struct i3d_keras_made *made = &writer->layers[layer];
    json_t *inputs = json_array(), *config = json_incref(made->config);
    if (made->input_count) {
        json_t *call = json_array();
        for (size_t i = 0; i < made->input_count; i++)
            json_array_append_new(call, place_of(writer, made->inputs[i], true));
        json_array_append_new(inputs, call);
    }
    json_t *shape = json_object_get(config, "batch_shape");
    if (shape && layout == I3D_KERAS_LEGACY) {
        json_object_set(config, "batch_input_shape", shape);
        json_object_del(config, "batch_shape");
    }
    json_t *described = json_pack("{sssosssO}", "class_name", made->class_name, "config", config,
                                  "name", made->name, "inbound_nodes", inputs);
    json_decref(inputs);
    return described;
}

static json_t *one_alone(json_t *list)
{
    if (json_array_size(list) != 1)
        return list;
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return one;
}

static char *describe(struct i3d_keras_writer *writer, const size_t *order, size_t count,
                      const size_t *outputs, enum i3d_keras_layout layout)
{
    const struct i3d_model *model = writer->model;
    json_t *layers = json_array(), *ins = json_array(), *outs = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(layers, describe_layer(writer, order[i], layout));
    for (size_t i = 0; i < model->input_count; i++)
        json_array_append_new(ins, place_of(writer, i, false));
    for (size_t i = 0; i < model->output_count; i++)
        json_array_append_new(outs, place_of(writer, outputs[i], false));
    if (layout == I3D_KERAS_3) { /* one alone stands in no list */
        ins = one_alone(ins);
        outs = one_alone(outs);
    }
    const char *name = *model->name ? model->name : "network";
    json_object_clear(writer->names);
    json_t *config = json_pack("{sssbsososo}", "name", layer_name(writer, name, ""), "trainable",
                               1, "layers", layers, "input_layers", ins, "output_layers", outs);
    json_t *root = layout == I3D_KERAS_LEGACY
        ? json_pack("{ssso}", "class_name", "Functional", "config", config)
        : json_pack("{sssssosssn}", "module", "keras.src.models.functional",
                    "class_name", "Functional", "config",
                    config, "registered_name", "Functional", "build_config");
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!text)
        out_of_memory(writer);
    return text;
}

/* The weights of the layers, under the names of the layout. */
static void hand_over(struct i3d_keras_writer *writer, const size_t *order, size_t count,
                      enum i3d_keras_layout layout, struct i3d_model *weights)
{
    json_t *counts = json_object(), *names = json_array();
    for (size_t i = 0; i < count && !writer->status; i++) {
        struct i3d_keras_made *layer = &writer->layers[order[i]];
        char key[128], number[24] = "";
        i3d_keras_snake_case(layer->class_name, key, sizeof key);
        json_int_t before = json_integer_value(json_object_get(counts, key));
        json_object_set_new(counts, key, json_integer(before + 1));
        if (before)
            snprintf(number, sizeof number, "_%lld", (long long)before);
        json_array_append_new(names, json_string(layer->name));
        for (size_t k = 0; k < layer->weight_count && !writer->status; k++) {
            struct i3d_tensor *tensor = &layer->weights[k].tensor;
            char *name = layout == I3D_KERAS_LEGACY
                ? i3d_arena_printf(writer->arena, "%s/%s/%s:0", layer->name, layer->name,
                                   layer->weights[k].role)
                : i3d_arena_printf(writer->arena, "layers/%s%s/vars/%zu", key, number, k);
            if (!name)
                out_of_memory(writer);
            else
                writer->status = i3d_model_put_tensor(
                    weights, name, tensor->dtype, tensor->rank, tensor->dims,
                    i3d_source_retain(tensor->source), writer->error);
        }
    }
    char *text = json_dumps(names, JSON_COMPACT);
    if (layout == I3D_KERAS_LEGACY
        && (!text || !i3d_set_metadata(weights, I3D_KERAS_LAYERS, text)))
        out_of_memory(writer);
    free(text);
    json_decref(names);
    json_decref(counts);
}

static void write_all(struct i3d_keras_writer *writer, enum i3d_keras_layout layout,
                      struct i3d_model *weights, char **config)
{
    const struct i3d_model *model = writer->model;
    size_t used = 0, *outputs = i3d_arena_alloc(writer->arena, model->output_count + 1,
                                                sizeof *outputs);
    if (!outputs)
        out_of_memory(writer);
    write_inputs(writer);
    write_nodes(writer);
    for (size_t i = 0; i < model->output_count && !writer->status; i++) {
        const struct i3d_node end = { .name = model->outputs[i].name, .op_type = "output",
                                      .outputs = &model->outputs[i].name };
        int64_t number = i3d_index_value(writer->index, model->outputs[i].name);
        writer->node = &end;
        if (number == I3D_NOWHERE || !writer->tensors[number].is_made)
            i3d_keras_reject(writer, "it is nothing that a layer of Keras makes");
        else
            i3d_keras_images(writer, &writer->tensors[number]);
        outputs[i] = writer->status ? 0 : writer->tensors[number].layer;
        writer->node = NULL;
    }
    size_t *order =
        writer->status ? NULL : sort_layers(writer, outputs, model->output_count, &used);
    if (!writer->status)
        hand_over(writer, order, used, layout, weights);
    if (!writer->status)
        *config = describe(writer, order, used, outputs, layout);
}

enum i3d_status i3d_keras_unbuild(const struct i3d_model *model, enum i3d_keras_layout layout,
                                  struct i3d_model **weights, char **config,
                                  struct i3d_error *error)
{
    *config = NULL;
    *weights = i3d_model_new();
    struct i3d_keras_writer writer = { .model = model, .error = error, .names = json_object(),
                                       .dtype = "float32" };
    writer.index = i3d_index_new(model);
    if (!*weights || !writer.names || !writer.index)
        writer.status = i3d_fail_memory(error);
    if (!writer.status) {
        writer.arena = (*weights)->arena;
        writer.tensors = i3d_arena_alloc(writer.arena, i3d_index_value_count(writer.index) + 1,
                                         sizeof *writer.tensors);
        if (!writer.tensors)
            out_of_memory(&writer);
    }
    if (!writer.status && model->input_count && i3d_dtype_is_float(model->inputs[0].dtype))
        writer.dtype = i3d_dtype_name(model->inputs[0].dtype);
    if (!writer.status)
        writer.status = i3d_infer_shapes(model, writer.index, NULL, 0, &writer.shapes, error);
    if (!writer.status)
        write_all(&writer, layout, *weights, config);
    for (size_t i = 0; i < writer.layer_count; i++) {
        json_decref(writer.layers[i].config);
        for (size_t k = 0; k < writer.layers[i].weight_count; k++)
            i3d_source_release(writer.layers[i].weights[k].tensor.source);
    }
    free(writer.layers);
    i3d_shapes_free(writer.shapes);
    i3d_index_free(writer.index);
    json_decref(writer.names);
    if (writer.status) {
        free(*config);
        *config = NULL;
        i3d_model_free(*weights);
        *weights = NULL;
    }
    return writer.status;
}
