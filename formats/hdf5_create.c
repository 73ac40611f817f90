#include "formats/hdf5_child.h"
#include "formats/hdf5_layout.h"
#include "formats/hdf5_strings.h"
#include "formats/hdf5_type.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool add_layer(struct i3d_hdf5_layout *layout, const char *name, size_t length)
{
    char **grown = realloc(layout->layers, (layout->layer_count + 1) * sizeof *grown);
    char *copy = grown ? strndup(name, length) : NULL;
    if (grown)
        layout->layers = grown;
    if (copy)
        layout->layers[layout->layer_count++] = copy;
    return copy;
}

/* Whether layer is a leading part of a tensor's name. */
static bool leads(const char *layer, const char *name)
{
    size_t length = strlen(layer);
    return !strncmp(layer, name, length) && name[length] == '/';
}

/* The layer that the tensor belongs to: the longest that leads its name. */
static size_t find_layer(const struct i3d_hdf5_layout *layout, const char *name)
{
    size_t best = layout->layer_count, longest = 0;
    for (size_t i = 0; i < layout->layer_count; i++) {
        if (leads(layout->layers[i], name) && strlen(layout->layers[i]) >= longest) {
            best = i;
            longest = strlen(layout->layers[i]);
        }
    }
    return best;
}

static bool read_known_layers(struct i3d_hdf5_layout *layout, const char *json, bool *usable)
{
    json_t *names = json_loads(json, 0, NULL);
    *usable = json_is_array(names);
    bool good = true;
    for (size_t i = 0; *usable && good && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        *usable = name && *name;
        if (*usable)
            good = add_layer(layout, name, strlen(name));
    }
    json_decref(names);
    return good;
}

static bool ends_as_keras(const struct i3d_model *model)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        const char *name = model->tensors[i].name, *slash = strchr(name, '/');
        size_t length = strlen(name);
        if (!slash || slash == name || length < 2 || strcmp(name + length - 2, ":0"))
            return false;
    }
    return model->tensor_count;
}

static bool plan_layers(struct i3d_hdf5_layout *layout)
{
    const struct i3d_model *model = layout->model;
    const char *known = i3d_metadata(model, I3D_KERAS_LAYERS);
    bool usable = false;
    if (known && !read_known_layers(layout, known, &usable))
        return false;
    if (!usable && !ends_as_keras(model))
        return true;
    layout->layer_of = calloc(model->tensor_count + 1, sizeof *layout->layer_of);
    for (size_t i = 0; layout->layer_of && i < model->tensor_count; i++) {
        const char *name = model->tensors[i].name;
        size_t layer = i && leads(layout->layers[layout->layer_of[i - 1]], name)
            ? layout->layer_of[i - 1]
            : find_layer(layout, name);
        if (usable || layer == layout->layer_count) /* the longest, or a new one */
            layer = find_layer(layout, name);
        if (layer == layout->layer_count
            && !add_layer(layout, name, strcspn(name, "/")))
            return false;
        layout->layer_of[i] = layer;
    }
    return layout->layer_of;
}

enum i3d_status i3d_hdf5_plan(const struct i3d_model *model, const char *path,
                              struct i3d_hdf5_layout *layout, struct i3d_error *error)
{
    *layout = (struct i3d_hdf5_layout){ .model = model, .path = path };
    if (plan_layers(layout))
        return I3D_OK;
    i3d_hdf5_free_plan(layout);
    return i3d_fail_memory(error);
}

void i3d_hdf5_free_plan(struct i3d_hdf5_layout *layout)
{
    for (size_t i = 0; i < layout->layer_count; i++)
        free(layout->layers[i]);
    free(layout->layers);
    free(layout->layer_of);
    *layout = (struct i3d_hdf5_layout){ 0 };
}

/* Property lists that the datasets and groups share. */
struct properties {
    hid_t file, access, group, dataset;
};

/* What the library needs to describe a tensor in a group of its own, about, and
 * what it is given at most in one piece. */
enum { DESCRIPTION_BYTES = 2048, MOST_DESCRIPTION_BYTES = 1 << 18 };

static bool make_properties(struct properties *properties, size_t tensor_count)
{
    hsize_t description = tensor_count < MOST_DESCRIPTION_BYTES / DESCRIPTION_BYTES
        ? (tensor_count + 1) * DESCRIPTION_BYTES
        : MOST_DESCRIPTION_BYTES;
    *properties = (struct properties){
        .file = H5Pcreate(H5P_FILE_CREATE),
        .group = H5Pcreate(H5P_GROUP_CREATE),
        .access = H5Pcreate(H5P_FILE_ACCESS),
        .dataset = H5Pcreate(H5P_DATASET_CREATE),
    };
    return H5Pset_obj_track_times(properties->file, 0) >= 0
        && H5Pset_obj_track_times(properties->group, 0) >= 0
        && H5Pset_obj_track_times(properties->dataset, 0) >= 0
        /* names and shapes in few blocks, the weights in a row behind them */
        && H5Pset_meta_block_size(properties->access, description) >= 0
        && H5Pset_layout(properties->dataset, H5D_CONTIGUOUS) >= 0
        && H5Pset_alloc_time(properties->dataset, H5D_ALLOC_TIME_EARLY) >= 0
        && H5Pset_fill_time(properties->dataset, H5D_FILL_TIME_NEVER) >= 0;
}

/* Groups on the way to a name are made one by one: those that the library makes
 * by itself would carry dates. */
static bool make_groups(hid_t root, const char *name, const struct properties *properties)
{
    char *path = strdup(name);
    bool good = path;
    for (char *slash = good ? strchr(path, '/') : NULL; good && slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (H5Lexists(root, path, H5P_DEFAULT) <= 0) {
            hid_t group = H5Gcreate2(root, path, H5P_DEFAULT, properties->group, H5P_DEFAULT);
            good = group >= 0 && H5Gclose(group) >= 0;
        }
        *slash = '/';
    }
    free(path);
    return good;
}

static bool make_dataset(hid_t root, const struct i3d_tensor *tensor,
                         const struct properties *properties, uint64_t *place)
{
    hsize_t dims[I3D_MAX_RANK];
    for (int k = 0; k < tensor->rank; k++)
        dims[k] = (hsize_t)tensor->dims[k];
    hid_t type = i3d_dtype_to_hdf5(tensor->dtype);
    hid_t space = tensor->rank ? H5Screate_simple(tensor->rank, dims, NULL)
                               : H5Screate(H5S_SCALAR);
    hid_t dataset = make_groups(root, tensor->name, properties)
        ? H5Dcreate2(root, tensor->name, type, space, H5P_DEFAULT, properties->dataset,
                     H5P_DEFAULT)
        : -1;
    *place = dataset < 0 ? 0 : H5Dget_offset(dataset);
    H5Sclose(space);
    H5Tclose(type);
    return dataset >= 0 && H5Dclose(dataset) >= 0;
}

/* A layer's group with the names of its weights, in the tensors' order. */
static bool describe_layer(hid_t root, const struct i3d_hdf5_layout *layout, size_t layer,
                           const struct properties *properties)
{
    const struct i3d_model *model = layout->model;
    const char *name = layout->layers[layer];
    const char **weights = calloc(model->tensor_count + 1, sizeof *weights);
    size_t count = 0;
    for (size_t i = 0; weights && i < model->tensor_count; i++)
        if (layout->layer_of[i] == layer)
            weights[count++] = model->tensors[i].name + strlen(name) + 1;
    char *as_folder = NULL;
    bool good = weights && asprintf(&as_folder, "%s/", name) >= 0
        && make_groups(root, as_folder, properties);
    hid_t group = good ? H5Gopen2(root, name, H5P_DEFAULT) : -1;
    good = group >= 0 && i3d_hdf5_write_strings(group, "weight_names", weights, count) >= 0;
    if (group >= 0)
        good &= H5Gclose(group) >= 0;
    free(as_folder);
    free(weights);
    return good;
}

/* Loaders take a file without keras_version for one of Keras 1, whose kernels
 * they would turn around. */
static bool describe_file(hid_t root, const struct i3d_hdf5_layout *layout)
{
    const char *version = i3d_metadata(layout->model, "keras.keras_version");
    const char *backend = i3d_metadata(layout->model, "keras.backend");
    return i3d_hdf5_write_strings(root, "layer_names", (const char *const *)layout->layers,
                                  layout->layer_count) >= 0
        && i3d_hdf5_write_string(root, "keras_version", version ? version : "2.15.0") >= 0
        && i3d_hdf5_write_string(root, "backend", backend ? backend : "tensorflow") >= 0;
}

static bool fill_file(hid_t file, const struct i3d_hdf5_layout *layout,
                      const struct properties *properties, uint64_t *places)
{
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    bool good = root >= 0;
    for (size_t i = 0; good && i < layout->model->tensor_count; i++)
        good = make_dataset(root, &layout->model->tensors[i], properties, &places[i]);
    for (size_t i = 0; good && layout->layer_of && i < layout->layer_count; i++)
        good = describe_layer(root, layout, i, properties);
    if (good && layout->layer_of)
        good = describe_file(root, layout);
    if (root >= 0)
        good &= H5Gclose(root) >= 0;
    return good;
}

void i3d_hdf5_create(int socket, int memory, const void *context)
{
    const struct i3d_hdf5_layout *layout = context;
    size_t length = layout->model->tensor_count * sizeof(uint64_t);
    uint64_t *places = malloc(length + 1);
    struct properties properties;
    struct i3d_hdf5_answer answer = { .status = I3D_SYSTEM,
                                      .message = "the HDF5 library cannot write it" };
    errno = 0;
    hid_t file = places && make_properties(&properties, layout->model->tensor_count)
        ? H5Fcreate(layout->path, H5F_ACC_TRUNC, properties.file, properties.access)
        : -1;
    bool good = file >= 0 && fill_file(file, layout, &properties, places);
    int reason = errno;
    if (file >= 0 && H5Fclose(file) < 0) {
        good = false;
        reason = errno;
    }
    if (good && pwrite(memory, places, length, 0) == (ssize_t)length)
        answer = (struct i3d_hdf5_answer){ .status = I3D_OK, .length = length };
    else
        answer.reason = reason;
    i3d_hdf5_answer(socket, &answer);
    _exit(0);
}
