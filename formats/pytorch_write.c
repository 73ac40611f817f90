/* The ZIP form of a state_dict: an OrderedDict of tensors, each with a storage of its
 * own, in the pickle that torch.save writes for one; torch.load reads it also with
 * weights_only=True. See pytorch.c for the parts. */
#include "formats/pytorch.h"

#include "formats/registry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every archive of torch.save may name its folder as it likes. */
static const char FOLDER[] = "archive/";

static const struct {
    enum i3d_dtype dtype;
    const char *storage;
} storages[] = {
    { I3D_FLOAT32, "FloatStorage" }, { I3D_FLOAT64, "DoubleStorage" },
    { I3D_FLOAT16, "HalfStorage" },  { I3D_BFLOAT16, "BFloat16Storage" },
    { I3D_INT64, "LongStorage" },    { I3D_INT32, "IntStorage" },
    { I3D_INT16, "ShortStorage" },   { I3D_INT8, "CharStorage" },
    { I3D_UINT8, "ByteStorage" },    { I3D_BOOL, "BoolStorage" },
};

static const char *storage_name(enum i3d_dtype dtype)
{
    for (size_t i = 0; i < sizeof storages / sizeof *storages; i++)
        if (storages[i].dtype == dtype)
            return storages[i].storage;
    return NULL;
}

static void put_text(FILE *out, const char *text)
{
    size_t length = strlen(text);
    unsigned char head[] = { 'X', length & 255, length >> 8 & 255, length >> 16 & 255,
                             length >> 24 & 255 };
    fwrite(head, 1, sizeof head, out);
    fwrite(text, 1, length, out);
}

/* BININT1, BININT or LONG1. */
static void put_int(FILE *out, int64_t number)
{
    bool small = number < 256, fits = number <= INT32_MAX;
    int size = small ? 1 : fits ? 4 : 8;
    fputc(small ? 'K' : fits ? 'J' : 0x8a, out);
    if (size == 8)
        fputc(size, out);
    for (int i = 0; i < size; i++)
        fputc((int)(number >> 8 * i & 255), out);
}

static void put_global(FILE *out, const char *module, const char *name)
{
    fprintf(out, "c%s\n%s\n", module, name);
}

/* OrderedDict(). */
static void put_ordered_dict(FILE *out)
{
    put_global(out, "collections", "OrderedDict");
    fputs(")R", out);
}

static void put_sizes(FILE *out, const int64_t *sizes, int rank)
{
    fputc('(', out);
    for (int k = 0; k < rank; k++)
        put_int(out, sizes[k]);
    fputc('t', out);
}

/* _rebuild_tensor_v2(storage, 0, sizes, strides, False, OrderedDict()). */
static void put_tensor(FILE *out, const struct i3d_tensor *tensor, size_t key)
{
    int64_t strides[I3D_MAX_RANK], stride = 1;
    char text[32];
    for (int k = tensor->rank - 1; k >= 0; k--) {
        strides[k] = stride;
        stride *= tensor->dims[k] ? tensor->dims[k] : 1;
    }
    snprintf(text, sizeof text, "%zu", key);
    put_global(out, "torch._utils", "_rebuild_tensor_v2");
    fputs("((", out);
    put_text(out, "storage");
    put_global(out, "torch", storage_name(tensor->dtype));
    put_text(out, text);
    put_text(out, "cpu");
    put_int(out, i3d_element_count(tensor->rank, tensor->dims));
    fputs("tQ", out);
    put_int(out, 0);
    put_sizes(out, tensor->dims, tensor->rank);
    put_sizes(out, strides, tensor->rank);
    fputc(0x89, out);
    put_ordered_dict(out);
    fputs("tR", out);
}

/* The pickle of the state_dict, under the keys of path if that is not empty. */
static enum i3d_status make_pickle(const struct i3d_model *model, const char *path, char **bytes,
                                   size_t *length, struct i3d_error *error)
{
    FILE *out = open_memstream(bytes, length);
    if (!out)
        return i3d_fail_memory(error);
    size_t outer = 0;
    fputs("\x80\x02", out);
    for (const char *key = path; *key; outer++) {
        size_t end = strcspn(key, "/");
        char *name = strndup(key, end);
        fputs("}(", out);
        put_text(out, name ? name : "");
        free(name);
        key += end + (key[end] == '/');
    }
    put_ordered_dict(out);
    fputc('(', out);
    for (size_t i = 0; i < model->tensor_count; i++) {
        put_text(out, model->tensors[i].name);
        put_tensor(out, &model->tensors[i], i);
    }
    fputc('u', out);
    while (outer-- > 0)
        fputc('u', out);
    fputc('.', out);
    bool good = !ferror(out);
    return !fclose(out) && good ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status put_bytes(struct i3d_zip_writer *writer, const char *name,
                                 const char *bytes, size_t length, struct i3d_error *error)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", FOLDER, name);
    return i3d_zip_put(writer, path, i3d_source_copy(bytes, length), error);
}

/* What the program knows of the file; the key of the state_dict is in the pickle. */
static enum i3d_status put_metadata(const struct i3d_model *model, struct i3d_zip_writer *writer,
                                    struct i3d_error *error)
{
    json_t *pairs = json_object();
    for (size_t i = 0; pairs && i < model->metadata_count; i++) {
        const char *key = model->metadata[i].key;
        json_t *value = json_string(model->metadata[i].value);
        if (value && strcmp(key, I3D_PYTORCH_KEY))
            json_object_set(pairs, key, value);
        json_decref(value);
    }
    char *text = json_object_size(pairs) ? json_dumps(pairs, JSON_COMPACT) : NULL;
    enum i3d_status status = text
        ? put_bytes(writer, I3D_PYTORCH_METADATA, text, strlen(text), error)
        : !pairs || json_object_size(pairs) ? i3d_fail_memory(error) : I3D_OK;
    json_decref(pairs);
    free(text);
    return status;
}

static enum i3d_status check_tensor(const struct i3d_tensor *tensor, struct i3d_error *error)
{
    json_t *name = json_string(tensor->name);
    json_decref(name);
    if (!tensor->source)
        i3d_fail(error, I3D_UNSUPPORTED, "it has no values: no weights are bound to it");
    else if (!storage_name(tensor->dtype))
        i3d_fail(error, I3D_UNSUPPORTED, "PyTorch has no storage of type %s",
                 i3d_dtype_name(tensor->dtype));
    else if (!name || strlen(tensor->name) > INT32_MAX)
        i3d_fail(error, I3D_UNSUPPORTED, "PyTorch's names are UTF-8, this one is not");
    else
        return I3D_OK;
    return i3d_error_where(error, "tensor %s", tensor->name);
}

static enum i3d_status put_members(const struct i3d_model *model, struct i3d_zip_writer *writer,
                                   struct i3d_error *error)
{
    const char *key = i3d_metadata(model, I3D_PYTORCH_KEY);
    char *pickle = NULL, name[64];
    size_t length;
    enum i3d_status status = make_pickle(model, key ? key : "", &pickle, &length, error);
    if (!status)
        status = put_bytes(writer, "data.pkl", pickle, length, error);
    free(pickle);
    if (!status)
        status = put_bytes(writer, "byteorder", "little", strlen("little"), error);
    for (size_t i = 0; i < model->tensor_count && !status; i++) {
        snprintf(name, sizeof name, "%sdata/%zu", FOLDER, i);
        status = i3d_zip_put(writer, name, i3d_source_retain(model->tensors[i].source), error);
    }
    if (!status)
        status = put_metadata(model, writer, error);
    return status ? status : put_bytes(writer, "version", "3\n", strlen("3\n"), error);
}

enum i3d_status i3d_pytorch_write(const struct i3d_model *model, struct i3d_output *output,
                                  struct i3d_error *error)
{
    struct i3d_zip_writer *writer;
    for (size_t i = 0; i < model->tensor_count; i++) {
        enum i3d_status status = check_tensor(&model->tensors[i], error);
        if (status)
            return status;
    }
    enum i3d_status status = i3d_zip_writer_new(output, &writer, error);
    if (!status)
        status = put_members(model, writer, error);
    if (!status)
        status = i3d_zip_finish(writer, error);
    i3d_zip_writer_free(writer);
    return status;
}
