#include "formats/formats.h"

#include "formats/input.h"
#include "formats/output.h"
#include "formats/registry.h"
#include "model/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ONNX files have no signature, so theirs is the last guess. */
const struct i3d_format i3d_formats[] = {
    { .name = "safetensors",
      .title = "safetensors",
      .suffixes = ".safetensors",
      .to_pipe = true,
      .holds_graph = true,
      .recognise = i3d_safetensors_recognise,
      .read = i3d_safetensors_read,
      .write = i3d_safetensors_write },
    { .name = "safetensors-index",
      .title = "sharded safetensors",
      .suffixes = ".safetensors.index.json",
      .holds_graph = true,
      .has_companions = true,
      .recognise = i3d_safetensors_index_recognise,
      .read = i3d_safetensors_index_read,
      .write = i3d_safetensors_index_write },
    { .name = "keras-weights",
      .title = "",
      .suffixes = ".weights.h5",
      .holds_graph = true,
      .recognise = i3d_keras_weights_recognise,
      .read = i3d_hdf5_read,
      .write = i3d_keras_weights_write },
    { .name = "keras",
      .title = "Keras",
      .suffixes = ".keras",
      .holds_graph = true,
      .needs_graph = true,
      .recognise = i3d_keras_recognise,
      .read = i3d_keras_read,
      .write = i3d_keras_write },
    { .name = "keras-h5",
      .title = "",
      .suffixes = "",
      .holds_graph = true,
      .needs_graph = true,
      .recognise = i3d_keras_weights_recognise,
      .read = i3d_hdf5_read,
      .write = i3d_hdf5_write },
    { .name = "hdf5",
      .title = "HDF5",
      .suffixes = ".h5 .hdf5 .hdf",
      .may_hold_graph = true,
      .recognise = i3d_hdf5_recognise,
      .read = i3d_hdf5_read,
      .write = i3d_hdf5_write },
    { .name = "pytorch",
      .title = "PyTorch",
      .suffixes = ".pt .pth",
      .recognise = i3d_pytorch_recognise,
      .read = i3d_pytorch_read,
      .write = i3d_pytorch_write },
    { .name = "npz",
      .title = "NumPy .npz",
      .suffixes = ".npz",
      .recognise = i3d_npz_recognise,
      .read = i3d_npz_read,
      .write = i3d_npz_write },
    { .name = "npy",
      .title = "NumPy .npy",
      .suffixes = ".npy",
      .to_pipe = true,
      .recognise = i3d_npy_recognise,
      .read = i3d_npy_read,
      .write = i3d_npy_write },
    { .name = "tensorflow",
      .title = "TensorFlow checkpoint",
      .suffixes = "",
      .recognise_end = i3d_tf_recognise_end,
      .read = i3d_tf_read },
    { .name = "onnx",
      .title = "ONNX",
      .suffixes = ".onnx",
      .to_pipe = true,
      .holds_graph = true,
      .needs_graph = true,
      .recognise = i3d_onnx_recognise,
      .read = i3d_onnx_read,
      .write = i3d_onnx_write },
    { .name = "onnx-external",
      .title = "",
      .suffixes = "",
      .holds_graph = true,
      .needs_graph = true,
      .has_companions = true,
      .recognise = i3d_onnx_external_recognise,
      .read = i3d_onnx_read,
      .write = i3d_onnx_external_write },
    { 0 },
};

const struct i3d_format *i3d_format_by_name(const char *name)
{
    for (const struct i3d_format *format = i3d_formats; format->name; format++)
        if (name && !strcmp(format->name, name))
            return format;
    return NULL;
}

static bool has_suffix(const char *path, const char *suffixes)
{
    size_t path_length = strlen(path);
    while (*suffixes) {
        size_t length = strcspn(suffixes, " ");
        if (path_length > length
            && !strncasecmp(path + path_length - length, suffixes, length))
            return true;
        suffixes += length;
        suffixes += strspn(suffixes, " ");
    }
    return false;
}

const struct i3d_format *i3d_format_by_suffix(const char *path)
{
    for (const struct i3d_format *format = i3d_formats; format->name; format++)
        if (has_suffix(path, format->suffixes))
            return format;
    return NULL;
}

/* Every format's part of a list in an error, such as its suffixes. */
static const char *list_formats(const char *(*part)(const struct i3d_format *format),
                                char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = 0;
    for (const struct i3d_format *format = i3d_formats; format->name && used < size; format++)
        if (*part(format))
            used += (size_t)snprintf(buffer + used, size - used, "%s%s", used ? ", " : "",
                                     part(format));
    return buffer;
}

static const char *title(const struct i3d_format *format)
{
    return format->title;
}

static const char *suffixes(const struct i3d_format *format)
{
    return format->suffixes;
}

static enum i3d_status recognise(struct i3d_file *file, const struct i3d_format **found,
                                 struct i3d_error *error)
{
    unsigned char head[I3D_HEAD_SIZE], tail[I3D_TAIL_SIZE];
    uint64_t size = i3d_file_size(file);
    size_t length = size < sizeof head ? (size_t)size : sizeof head;
    size_t end = size < sizeof tail ? (size_t)size : sizeof tail;
    if (!size)
        return i3d_fail(error, I3D_MALFORMED, "the file is empty");
    enum i3d_status status = i3d_file_read(file, 0, head, length, error);
    if (!status)
        status = i3d_file_read(file, size - end, tail, end, error);
    if (status)
        return status;
    for (*found = i3d_formats; (*found)->name; ++*found)
        if ((*found)->recognise_end && (*found)->recognise_end(tail, end, size))
            return I3D_OK;
    for (*found = i3d_formats; (*found)->name; ++*found)
        if ((*found)->recognise && (*found)->recognise(head, length, size))
            return I3D_OK;
    char list[320];
    return i3d_fail(error, I3D_MALFORMED, "the file is of no format known here (%s)",
                    list_formats(title, list, sizeof list));
}

enum i3d_status i3d_read_model(const char *path, struct i3d_model **read, struct i3d_error *error)
{
    return i3d_read_model_digest(path, read, NULL, error);
}

enum i3d_status i3d_read_model_digest(const char *path, struct i3d_model **read, char *digest,
                                      struct i3d_error *error)
{
    *read = NULL;
    struct i3d_error unwanted; /* i3d_error_where loses the status where there is none */
    error = error ? error : &unwanted;
    struct i3d_file *file;
    char *checkpoint;
    enum i3d_status status = i3d_tf_find(path, &checkpoint, error);
    if (!status)
        status = i3d_input_open(checkpoint ? checkpoint : path, &file, error);
    free(checkpoint);
    if (status)
        return status;
    const struct i3d_format *format = NULL;
    struct i3d_model *model = NULL;
    status = recognise(file, &format, error);
    if (!status) {
        model = i3d_model_new();
        if (model) {
            model->container = format->name;
            model->path = strcmp(path, "-") ? i3d_arena_string(model->arena, i3d_file_path(file))
                                             : NULL;
        }
        if (!model || (strcmp(path, "-") && !model->path))
            status = i3d_fail_memory(error);
    }
    if (!status)
        status = format->read(file, model, error);
    if (!status)
        status = i3d_model_check(model, error);
    if (!status && digest)
        status = i3d_digest_file(file, digest, error);
    if (status) {
        i3d_error_file(error, i3d_file_path(file));
        i3d_model_free(model);
    } else {
        *read = model;
    }
    i3d_file_release(file);
    return status;
}

static bool tensor_draws_from(const struct i3d_tensor *tensor, dev_t device, ino_t inode)
{
    return tensor && tensor->source && i3d_source_draws_from(tensor->source, device, inode);
}

/* Whether the file of this device and inode is what the model was read from,
 * or what any of its tensors still reads. */
static bool draws_from(const struct i3d_model *model, dev_t device, ino_t inode)
{
    struct stat status;
    if (model->path && !stat(model->path, &status) && status.st_dev == device
        && status.st_ino == inode)
        return true;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (tensor_draws_from(&model->tensors[i], device, inode))
            return true;
    for (size_t i = 0; i < model->node_count; i++)
        for (size_t k = 0; k < model->nodes[i].attribute_count; k++)
            if (tensor_draws_from(model->nodes[i].attributes[k].tensor, device, inode))
                return true;
    return false;
}

/* An output that would replace what is still being read. */
static enum i3d_status check_source(const struct i3d_model *model,
                                    const struct i3d_output *output, struct i3d_error *error)
{
    dev_t device;
    ino_t inode;
    if (!i3d_output_identity(output, &device, &inode) || !draws_from(model, device, inode))
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "the output is the file that the model is read from");
    i3d_error_hint(error, "write to another name, then move it");
    return i3d_error_file(error, i3d_output_path(output));
}

static enum i3d_status choose_format(const char *path, const struct i3d_format **format,
                                     struct i3d_error *error)
{
    if (!*format)
        *format = strcmp(path, "-") ? i3d_format_by_suffix(path)
                                    : i3d_format_by_name("safetensors");
    if (!*format) {
        char list[256];
        i3d_fail(error, I3D_USAGE, "the name's suffix tells no format to write");
        i3d_error_hint(error, "the suffixes are %s; or choose with --to",
                       list_formats(suffixes, list, sizeof list));
        return i3d_error_file(error, path);
    }
    if (!(*format)->write)
        return i3d_fail(error, I3D_USAGE, "%s files are read, not written", (*format)->title);
    if (!(*format)->to_pipe && i3d_path_is_pipe(path)) {
        i3d_fail(error, I3D_USAGE, "%s cannot be written to a pipe", (*format)->name);
        i3d_error_hint(error, "write it to a file, or choose --to safetensors");
        return i3d_error_file(error, strcmp(path, "-") ? path : "standard output");
    }
    return I3D_OK;
}

enum i3d_status i3d_write_model(const struct i3d_model *model, const char *path,
                                const struct i3d_format *format, struct i3d_error *error)
{
    struct i3d_error unwanted;
    error = error ? error : &unwanted;
    enum i3d_status status = choose_format(path, &format, error);
    /* What a reader would refuse is not written in the first place. */
    if (!status)
        status = i3d_model_check(model, error);
    struct i3d_output *output;
    if (!status)
        status = i3d_output_open(path, &output, error);
    if (status)
        return i3d_error_file(error, path);

    status = check_source(model, output, error);
    if (!status)
        status = format->write(model, output, error);
    for (struct i3d_output *companion = i3d_output_next_companion(output); companion && !status;
         companion = i3d_output_next_companion(companion))
        status = check_source(model, companion, error);
    if (status)
        i3d_error_file(error, i3d_output_path(output));
    if (!status)
        return i3d_output_commit(output, error);
    i3d_output_abandon(output);
    return status;
}
