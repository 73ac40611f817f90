/* NumPy's .npz: a ZIP archive with a member "<name>.npy" per array (numpy.savez). Names
 * may hold slashes, as those of TensorFlow's variables do. */
#include "formats/npy.h"
#include "formats/registry.h"
#include "formats/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SUFFIX[] = ".npy";

static bool is_array(const char *name)
{
    size_t length = strlen(name);
    return length > sizeof SUFFIX - 1 && !strcmp(name + length - (sizeof SUFFIX - 1), SUFFIX);
}

bool i3d_npz_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    (void)size;
    char name[1024];
    return i3d_zip_first_name(head, head_length, name, sizeof name) && is_array(name);
}

static enum i3d_status read_array(struct i3d_zip *zip, size_t member, struct i3d_model *model,
                                  struct i3d_error *error)
{
    struct i3d_npy_header header;
    const char *name = i3d_zip_name(zip, member);
    struct i3d_source *whole = i3d_zip_source(zip, member, 0, i3d_zip_size(zip, member));
    if (!whole)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_npy_read_header(whole, &header, error);
    i3d_source_release(whole);
    if (status)
        return i3d_error_where(error, "member %s", name);
    struct i3d_source *stored = header.bytes
        ? i3d_zip_source(zip, member, header.elements_at, header.bytes) : i3d_source_copy(NULL, 0);
    char *stem = strndup(name, strlen(name) - (sizeof SUFFIX - 1));
    if (!stem) {
        if (stored)
            i3d_source_release(stored);
        return i3d_fail_memory(error);
    }
    status = i3d_model_put_tensor(model, stem, header.dtype, header.rank, header.dims,
                                  i3d_npy_elements(&header, stored), error);
    free(stem);
    return status;
}

enum i3d_status i3d_npz_read(struct i3d_file *file, struct i3d_model *model,
                             struct i3d_error *error)
{
    struct i3d_zip *zip;
    enum i3d_status status = i3d_zip_open(file, &zip, error);
    for (size_t i = 0; !status && i < i3d_zip_count(zip); i++)
        if (is_array(i3d_zip_name(zip, i)))
            status = read_array(zip, i, model, error);
    i3d_zip_release(zip);
    return status;
}

/* A member's bytes: the header, then the elements. */
struct array {
    size_t header_length;
    struct i3d_source *elements;
    char header[I3D_NPY_HEADER_ROOM];
};

static enum i3d_status read_bytes(void *context, uint64_t offset, void *bytes, size_t length,
                                  struct i3d_error *error)
{
    struct array *array = context;
    size_t ahead = 0;
    if (offset < array->header_length) {
        ahead = array->header_length - (size_t)offset;
        ahead = ahead < length ? ahead : length;
        memcpy(bytes, array->header + offset, ahead);
    }
    return ahead == length ? I3D_OK
        : i3d_source_read(array->elements, offset + ahead - array->header_length,
                          (char *)bytes + ahead, length - ahead, error);
}

static void release(void *context)
{
    struct array *array = context;
    i3d_source_release(array->elements);
    free(array);
}

static enum i3d_status put_array(const struct i3d_tensor *tensor, struct i3d_zip_writer *writer,
                                 struct i3d_error *error)
{
    char *name;
    struct array *array = calloc(1, sizeof *array);
    if (!array)
        return i3d_fail_memory(error);
    array->header_length = i3d_npy_make_header(tensor, array->header);
    if (!tensor->source || !array->header_length) {
        free(array);
        return tensor->source ? i3d_fail(error, I3D_UNSUPPORTED, "NumPy has no %s",
                                         i3d_dtype_name(tensor->dtype))
                              : i3d_fail(error, I3D_UNSUPPORTED,
                                         "it has no values: no weights are bound to it");
    }
    array->elements = i3d_source_retain(tensor->source);
    struct i3d_source *source = i3d_source_callback(
        read_bytes, release, array, array->header_length + i3d_tensor_bytes(tensor));
    if (!source)
        release(array);
    if (asprintf(&name, "%s%s", tensor->name, SUFFIX) < 0) {
        if (source)
            i3d_source_release(source);
        return i3d_fail_memory(error);
    }
    enum i3d_status status = i3d_zip_put(writer, name, source, error);
    free(name);
    return status;
}

enum i3d_status i3d_npz_write(const struct i3d_model *model, struct i3d_output *output,
                              struct i3d_error *error)
{
    struct i3d_zip_writer *writer;
    enum i3d_status status = i3d_zip_writer_new(output, &writer, error);
    for (size_t i = 0; i < model->tensor_count && !status; i++) {
        status = put_array(&model->tensors[i], writer, error);
        if (status)
            i3d_error_where(error, "tensor %s", model->tensors[i].name);
    }
    if (!status)
        status = i3d_zip_finish(writer, error);
    i3d_zip_writer_free(writer);
    return status;
}
