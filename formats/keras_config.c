#include "formats/keras_config.h"

#include <string.h>

enum { MOST = 1 << 20 }; /* calls, outputs: more than any network has */

bool i3d_keras_is_network(const char *class_name)
{
    return !strcmp(class_name, "Functional") || !strcmp(class_name, "Sequential")
        || !strcmp(class_name, "Model");
}

static size_t find_layer(const struct i3d_keras_network *network, const char *name)
{
    for (size_t i = 0; i < network->layer_count; i++)
        if (!strcmp(network->layers[i].name, name))
            return i;
    return SIZE_MAX;
}

/* What walks over the JSON of connections. */
struct linker {
    struct i3d_json_reader *reader;
    struct i3d_keras_network *network;
    json_t *places; /* of layers, by name */
    struct i3d_keras_place *found;
    size_t count, room;
};

static void add_place(struct linker *linker, json_t *name, json_t *call, json_t *output)
{
    struct i3d_json_reader *reader = linker->reader;
    const char *text = i3d_json_text_of(reader, name, "inbound_nodes");
    int64_t which = i3d_json_integer_of(reader, call, "inbound_nodes", 0, MOST);
    int64_t part = i3d_json_integer_of(reader, output, "inbound_nodes", 0, MOST);
    if (reader->status)
        return;
    json_t *place = json_object_get(linker->places, text);
    if (!place) {
        i3d_json_refuse(reader, "", "it takes its input from a layer that there is not");
        return;
    }
    if (linker->count == linker->room) {
        size_t room = linker->room ? 2 * linker->room : 4;
        struct i3d_keras_place *grown = i3d_json_allocate(reader, room, sizeof *grown);
        if (!grown)
            return;
        if (linker->count)
            memcpy(grown, linker->found, linker->count * sizeof *grown);
        linker->found = grown;
        linker->room = room;
    }
    linker->found[linker->count++] = (struct i3d_keras_place){
        (size_t)json_integer_value(place), (size_t)which, (size_t)part
    };
}

/* ["name", call, output], or the same with a dictionary of arguments behind. */
static bool is_place(const json_t *list)
{
    return json_array_size(list) >= 3 && json_is_string(json_array_get(list, 0));
}

static void add_from_list(struct linker *linker, json_t *list)
{
    add_place(linker, json_array_get(list, 0), json_array_get(list, 1), json_array_get(list, 2));
}

/* Places in any nesting of lists, which keeps their order. The JSON's depth bounds the
 * recursion. */
static void add_all(struct linker *linker, json_t *value)
{
    if (linker->reader->status)
        return;
    if (is_place(value)) {
        json_t *arguments = json_array_get(value, 3);
        if (json_object_size(arguments))
            linker->reader->status = i3d_fail(linker->reader->error, I3D_UNSUPPORTED,
                                              "a layer is called with further arguments");
        add_from_list(linker, value);
        return;
    }
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            add_all(linker, json_array_get(value, i));
        return;
    }
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    if (class_name && !strcmp(class_name, "__keras_tensor__")) {
        json_t *config = json_object_get(value, "config");
        json_t *history = json_object_get(config, "keras_history");
        if (is_place(history))
            add_from_list(linker, history);
        else
            i3d_json_refuse(linker->reader, "", "a tensor has no keras_history");
        return;
    }
    linker->reader->status = i3d_fail(linker->reader->error, I3D_UNSUPPORTED,
                                      "a layer is called with something that is no tensor");
}

/* Keras 3: {"args": […], "kwargs": {…}}, where keywords that say nothing may stand. */
static void add_call(struct linker *linker, json_t *call)
{
    if (!json_is_object(call)) {
        add_all(linker, call);
        return;
    }
    const char *key;
    json_t *value;
    add_all(linker, json_object_get(call, "args"));
    json_object_foreach(json_object_get(call, "kwargs"), key, value)
        if (!json_is_null(value) && strcmp(key, "training") && !linker->reader->status)
            linker->reader->status =
                i3d_fail(linker->reader->error, I3D_UNSUPPORTED,
                         "a layer is called with the argument %.60s", key);
}

static struct i3d_keras_place *take_places(struct linker *linker, size_t *count)
{
    struct i3d_keras_place *places = linker->found;
    *count = linker->count;
    linker->found = NULL;
    linker->count = linker->room = 0;
    return places;
}

static void read_calls(struct linker *linker, struct i3d_keras_layer *layer, json_t *calls)
{
    layer->call_count = json_array_size(calls);
    layer->calls = i3d_json_allocate(linker->reader, layer->call_count, sizeof *layer->calls);
    for (size_t i = 0; i < layer->call_count && !linker->reader->status; i++) {
        add_call(linker, json_array_get(calls, i));
        layer->calls[i].inputs = take_places(linker, &layer->calls[i].input_count);
    }
}

/* Keras 2 counts the call that made a network among its calls, so that the first one in
 * the network around it has number 1. */
static void renumber(struct i3d_keras_network *network, size_t layer)
{
    size_t least = MOST;
    for (int change = 0; change < 2; change++) {
        if (change && (!least || least == MOST))
            return;
        for (size_t i = 0; i <= network->layer_count; i++) {
            bool is_layer = i < network->layer_count;
            size_t calls = is_layer ? network->layers[i].call_count : 1;
            for (size_t k = 0; k < calls; k++) {
                struct i3d_keras_place *places = is_layer ? network->layers[i].calls[k].inputs
                                                          : network->outputs;
                size_t count = is_layer ? network->layers[i].calls[k].input_count
                                        : network->output_count;
                for (size_t p = 0; p < count; p++) {
                    if (places[p].layer != layer)
                        continue;
                    if (change)
                        places[p].call -= least;
                    else if (places[p].call < least)
                        least = places[p].call;
                }
            }
        }
    }
}

static void link_functional(struct linker *linker, json_t *config, json_t *layers)
{
    struct i3d_json_reader *reader = linker->reader;
    struct i3d_keras_network *network = linker->network;
    for (size_t i = 0; i < network->layer_count && !reader->status; i++) {
        size_t before = i3d_json_enter(reader, ".layers[%zu]", i);
        read_calls(linker, &network->layers[i],
                   json_object_get(json_array_get(layers, i), "inbound_nodes"));
        i3d_json_leave(reader, before);
    }
    add_all(linker, json_object_get(config, "input_layers"));
    network->inputs = take_places(linker, &network->input_count);
    add_all(linker, json_object_get(config, "output_layers"));
    network->outputs = take_places(linker, &network->output_count);
    if (!reader->status && (!network->input_count || !network->output_count))
        i3d_json_refuse(reader, "input_layers", "the network has no inputs or no outputs");
    for (size_t i = 0; i < network->layer_count && !reader->status; i++)
        if (network->layers[i].inner)
            renumber(network, i);
    for (size_t i = 0; i < network->input_count && !reader->status; i++)
        if (network->layers[network->inputs[i].layer].call_count)
            i3d_json_refuse(reader, "input_layers", "an input is no InputLayer");
}

/* Each layer takes what the one before gives. Without an InputLayer the first layer of all
 * tells the shape. */
static void link_sequential(struct linker *linker, json_t *config)
{
    struct i3d_json_reader *reader = linker->reader;
    struct i3d_keras_network *network = linker->network;
    if (!network->layer_count || strcmp(network->layers[0].class_name, "InputLayer")) {
        struct i3d_keras_layer *layers =
            i3d_json_allocate(reader, network->layer_count + 1, sizeof *layers);
        if (!layers)
            return;
        memcpy(layers + 1, network->layers, network->layer_count * sizeof *layers);
        json_t *about = network->layer_count ? layers[1].config : NULL;
        bool tells = json_object_get(about, "batch_input_shape")
            || json_object_get(about, "batch_shape");
        layers[0] = (struct i3d_keras_layer){ .name = "input", .class_name = "InputLayer",
                                              .config = tells ? about : config };
        while (network->layer_count && find_layer(network, layers[0].name) != SIZE_MAX)
            layers[0].name = i3d_arena_printf(reader->arena, "%s_", layers[0].name);
        network->layers = layers;
        network->layer_count++;
    }
    size_t count = network->layer_count;
    struct i3d_keras_place *places = i3d_json_allocate(reader, count, sizeof *places);
    struct i3d_keras_call *calls = i3d_json_allocate(reader, count, sizeof *calls);
    if (reader->status)
        return;
    for (size_t i = 0; i < count; i++) {
        places[i] = (struct i3d_keras_place){ i, 0, 0 };
        if (!i)
            continue;
        calls[i] = (struct i3d_keras_call){ &places[i - 1], 1 };
        network->layers[i].calls = &calls[i];
        network->layers[i].call_count = 1;
    }
    network->inputs = &places[0];
    network->outputs = &places[count - 1];
    network->input_count = network->output_count = 1;
}

static void read_layer(struct linker *linker, size_t position, json_t *from)
{
    struct i3d_json_reader *reader = linker->reader;
    struct i3d_keras_layer *layer = &linker->network->layers[position];
    layer->class_name = i3d_json_needed_text(reader, from, "class_name");
    layer->config = json_object_get(from, "config");
    if (reader->status)
        return;
    layer->inner = i3d_keras_is_network(layer->class_name) ? i3d_keras_parse(reader, from) : NULL;
    if (!json_is_object(layer->config) && !layer->inner)
        i3d_json_refuse(reader, "config", "an object was expected");
    layer->name = i3d_json_text_at(reader, from, "name", NULL);
    if (!layer->name)
        layer->name = layer->inner ? layer->inner->name
                                   : i3d_json_needed_text(reader, layer->config, "name");
    json_t *trainable = json_object_get(layer->config, "trainable");
    layer->trainable = !json_is_false(trainable);
    if (reader->status)
        return;
    if (json_object_get(linker->places, layer->name))
        i3d_json_refuse(reader, "name", "two layers have this name");
    json_object_set_new(linker->places, layer->name, json_integer((json_int_t)position));
}

struct i3d_keras_network *i3d_keras_parse(struct i3d_json_reader *reader, json_t *root)
{
    const char *class_name = i3d_json_text_at(reader, root, "class_name", "");
    if (reader->status)
        return NULL;
    if (!i3d_keras_is_network(class_name)) {
        reader->status = i3d_fail(reader->error, I3D_UNSUPPORTED,
                                  "the network is of class %.60s, which tells no layers",
                                  class_name);
        return NULL;
    }
    bool is_chain = !strcmp(class_name, "Sequential");
    json_t *config = json_object_get(root, "config");
    /* Sequential networks of Keras before 2.2.3: the list alone. */
    bool is_list = json_is_array(config) && is_chain;
    json_t *layers = is_list ? config : json_object_get(config, "layers");
    size_t before = i3d_json_enter(reader, ".config");
    if (!json_is_array(layers))
        i3d_json_refuse(reader, "layers", "a list was expected");
    size_t count = json_array_size(layers);
    struct i3d_keras_network *network = i3d_json_allocate(reader, 1, sizeof *network);
    struct i3d_keras_layer *made = i3d_json_allocate(reader, count, sizeof *made);
    struct linker linker = { .reader = reader, .network = network, .places = json_object() };
    if (network && made) {
        network->layers = made;
        network->name = i3d_json_text_at(reader, config, "name", class_name);
        network->layer_count = count;
    }
    for (size_t i = 0; i < count && !reader->status; i++) {
        size_t outside = i3d_json_enter(reader, ".layers[%zu]", i);
        json_t *layer = i3d_json_object_in(reader, layers, i);
        if (layer)
            read_layer(&linker, i, layer);
        i3d_json_leave(reader, outside);
    }
    if (!reader->status && is_chain)
        link_sequential(&linker, config);
    else if (!reader->status)
        link_functional(&linker, config, layers);
    json_decref(linker.places);
    i3d_json_leave(reader, before);
    return reader->status ? NULL : network;
}
