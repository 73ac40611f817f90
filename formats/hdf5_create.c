/* The child that writes: creates the file, with room for the tensors. */
#include "formats/hdf5_child.h"
#include "formats/hdf5_layout.h"
#include "formats/hdf5_strings.h"
#include "formats/hdf5_type.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static bool describe_writer(hid_t object, const struct i3d_model *model)
{
    const char *version = i3d_metadata(model, "keras.keras_version");
    const char *backend = i3d_metadata(model, "keras.backend");
    return i3d_hdf5_write_string(object, "keras_version", version ? version : "2.15.0") >= 0
        && i3d_hdf5_write_string(object, "backend", backend ? backend : "tensorflow") >= 0;
}

/* Loaders take a file without keras_version for one of Keras 1, whose kernels
 * they would turn around. */
static bool describe_file(hid_t root, const struct i3d_hdf5_layout *layout)
{
    return i3d_hdf5_write_strings(root, "layer_names", (const char *const *)layout->layers,
                                  layout->layer_count) >= 0
        && describe_writer(root, layout->model);
}

/* The group of the weights: root, or one in it beside the description of the network. */
static hid_t open_weights(hid_t file, const struct i3d_hdf5_layout *layout,
                          const struct properties *properties)
{
    static const char group[] = "/model_weights";
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (!layout->config || root < 0)
        return root;
    bool good = i3d_hdf5_write_text(root, "model_config", layout->config) >= 0
        && describe_writer(root, layout->model);
    hid_t weights = good
        ? H5Gcreate2(root, group, H5P_DEFAULT, properties->group, H5P_DEFAULT) : -1;
    H5Gclose(root);
    return weights;
}

static bool fill_file(hid_t file, const struct i3d_hdf5_layout *layout,
                      const struct properties *properties, int socket)
{
    hid_t root = open_weights(file, layout, properties);
    bool good = root >= 0;
    for (size_t i = 0; good && i < layout->model->tensor_count; i++) {
        struct i3d_hdf5_answer place = { .status = I3D_OK };
        good = make_dataset(root, &layout->model->tensors[i], properties, &place.length);
        if (good)
            i3d_hdf5_answer(socket, &place);
    }
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
    (void)memory;
    const struct i3d_hdf5_layout *layout = context;
    struct properties properties;
    struct i3d_hdf5_answer answer = { .status = I3D_OK };
    errno = 0;
    hid_t file = make_properties(&properties, layout->model->tensor_count)
        ? H5Fcreate(layout->path, H5F_ACC_TRUNC, properties.file, properties.access)
        : -1;
    bool good = file >= 0 && fill_file(file, layout, &properties, socket);
    int reason = errno;
    if (file >= 0 && H5Fclose(file) < 0) {
        good = false;
        reason = errno;
    }
    if (!good)
        answer = (struct i3d_hdf5_answer){ .status = I3D_SYSTEM,
                                           .reason = reason,
                                           .message = "the HDF5 library cannot write it" };
    i3d_hdf5_answer(socket, &answer);
    _exit(0);
}
