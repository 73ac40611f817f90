#include "formats/hdf5_layout.h"

#include "formats/hdf5_catalogue.h"
#include "model/index.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The layers that the plan has so far: positions[name] is a layer's place in
 * layout->layers. */
struct planner {
    struct i3d_hdf5_layout *layout;
    json_t *positions;
};

/* A layer that is there already stays where it is. */
static bool add_layer(const struct planner *planner, const char *name)
{
    struct i3d_hdf5_layout *layout = planner->layout;
    if (json_object_get(planner->positions, name))
        return true;
    json_t *position = json_integer((json_int_t)layout->layer_count);
    if (json_object_set_new_nocheck(planner->positions, name, position))
        return false;
    char **grown = realloc(layout->layers, (layout->layer_count + 1) * sizeof *grown);
    if (!grown)
        return false;
    layout->layers = grown;
    grown[layout->layer_count] = strdup(name);
    return grown[layout->layer_count] && ++layout->layer_count;
}

/* The layer that a tensor belongs to: the longest that leads its name, or a new
 * one, its first part. The name has passed check_name. */
static bool place_tensor(const struct planner *planner, const char *name, size_t *layer)
{
    char part[I3D_HDF5_MAX_NAME];
    const json_t *position = NULL;
    strcpy(part, name);
    for (char *slash; !position && (slash = strrchr(part, '/'));) {
        *slash = 0;
        position = json_object_get(planner->positions, part);
    }
    if (!position && !add_layer(planner, part))
        return false;
    *layer = position ? (size_t)json_integer_value(position) : planner->layout->layer_count - 1;
    return true;
}

/* A list that is not one of names does not count. */
static bool add_known_layers(const struct planner *planner, const json_t *names)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!add_layer(planner, json_string_value(json_array_get(names, i))))
            return false;
    return true;
}

static bool is_list_of_names(const json_t *json)
{
    for (size_t i = 0; i < json_array_size(json); i++)
        if (!json_is_string(json_array_get(json, i)))
            return false;
    return json_is_array(json);
}

static bool all_in_layers(const struct i3d_model *model)
{
    for (size_t i = 0; i < model->tensor_count; i++)
        if (!strchr(model->tensors[i].name, '/'))
            return false;
    return true;
}

static bool all_end_as_keras(const struct i3d_model *model)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        size_t length = strlen(model->tensors[i].name);
        if (length < 2 || strcmp(model->tensors[i].name + length - 2, ":0"))
            return false;
    }
    return model->tensor_count;
}

static bool plan_layers(struct i3d_hdf5_layout *layout)
{
    const struct i3d_model *model = layout->model;
    const char *text = i3d_metadata(model, I3D_KERAS_LAYERS);
    json_t *known = text ? json_loads(text, 0, NULL) : NULL;
    bool is_known = is_list_of_names(known), good = true;
    if (all_in_layers(model) && (is_known || all_end_as_keras(model))) {
        struct planner planner = { layout, json_object() };
        layout->layer_of = calloc(model->tensor_count + 1, sizeof *layout->layer_of);
        good = planner.positions && layout->layer_of
            && (!is_known || add_known_layers(&planner, known));
        for (size_t i = 0; good && i < model->tensor_count; i++)
            good = place_tensor(&planner, model->tensors[i].name, &layout->layer_of[i]);
        json_decref(planner.positions);
    }
    json_decref(known);
    return good;
}

/* Whether i3d_hdf5_read gives the name back: the library drops empty parts and
 * ".", and the walk has its limits. */
static bool is_path(const char *name)
{
    int depth = 0;
    for (const char *part = name;; part++) {
        size_t length = strcspn(part, "/");
        if (!length || (length == 1 && *part == '.') || ++depth > I3D_HDF5_MAX_DEPTH)
            return false;
        part += length;
        if (!*part)
            return (size_t)(part - name) < I3D_HDF5_MAX_NAME - 1;
    }
}

/* what: "tensor" or "layer". Nothing can be below a tensor, and no layer, being a
 * group, can have the name of one. */
static enum i3d_status check_name(const struct i3d_index *tensors, const char *what,
                                  const char *name, bool is_group, struct i3d_error *error)
{
    char part[I3D_HDF5_MAX_NAME];
    const char *in_the_way = NULL;
    if (is_path(name)) {
        strcpy(part, name);
        if (is_group && i3d_index_tensor(tensors, part) != I3D_NOWHERE)
            in_the_way = part;
        for (char *slash; !in_the_way && (slash = strrchr(part, '/'));) {
            *slash = 0;
            if (i3d_index_tensor(tensors, part) != I3D_NOWHERE)
                in_the_way = part;
        }
        if (!in_the_way)
            return I3D_OK;
        i3d_fail(error, I3D_UNSUPPORTED, "HDF5 needs a group where tensor %.200s is", in_the_way);
    } else {
        i3d_fail(error, I3D_UNSUPPORTED, "HDF5 cannot hold this name");
    }
    i3d_error_where(error, "%s %s", what, name);
    return i3d_error_hint(error, "safetensors can");
}

enum i3d_status i3d_hdf5_plan(const struct i3d_model *model, const char *path,
                              struct i3d_hdf5_layout *layout, struct i3d_error *error)
{
    *layout = (struct i3d_hdf5_layout){ .model = model, .path = path };
    struct i3d_index *tensors = i3d_index_new(model);
    enum i3d_status status = tensors ? I3D_OK : i3d_fail_memory(error);
    for (size_t i = 0; i < model->tensor_count && !status; i++)
        status = check_name(tensors, "tensor", model->tensors[i].name, false, error);
    if (!status && !plan_layers(layout))
        status = i3d_fail_memory(error);
    for (size_t i = 0; i < layout->layer_count && !status; i++)
        status = check_name(tensors, "layer", layout->layers[i], true, error);
    i3d_index_free(tensors);
    if (status)
        i3d_hdf5_free_plan(layout);
    return status;
}

void i3d_hdf5_free_plan(struct i3d_hdf5_layout *layout)
{
    for (size_t i = 0; i < layout->layer_count; i++)
        free(layout->layers[i]);
    free(layout->layers);
    free(layout->layer_of);
    *layout = (struct i3d_hdf5_layout){ 0 };
}
