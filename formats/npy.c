/* NumPy's .npy: "\x93NUMPY", a version, the length of the header, the header (the
 * text of a Python dictionary of descr, fortran_order and shape), then the elements
 * (numpy.lib.format, "NPY format"). A model of one tensor, "array". */
#include "formats/npy.h"

#include "formats/output.h"
#include "formats/registry.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, HEADER_LIMIT = 1 << 16, ALIGNMENT = 64 };
static const char MAGIC[] = "\x93NUMPY";

static const struct {
    const char *descr; /* without the byte order */
    enum i3d_dtype dtype;
} dtypes[] = {
    { "f4", I3D_FLOAT32 }, { "f8", I3D_FLOAT64 }, { "f2", I3D_FLOAT16 }, { "i8", I3D_INT64 },
    { "i4", I3D_INT32 },   { "i2", I3D_INT16 },   { "i1", I3D_INT8 },    { "u8", I3D_UINT64 },
    { "u4", I3D_UINT32 },  { "u2", I3D_UINT16 },  { "u1", I3D_UINT8 },   { "b1", I3D_BOOL },
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof dtypes[0] };

bool i3d_npy_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    (void)size;
    return head_length >= PREFIX && !memcmp(head, MAGIC, sizeof MAGIC - 1);
}

/* What the header's text says. */
struct header {
    struct i3d_npy_header array;
    bool has_descr, has_order, has_shape;
};

static const char *skip_space(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* A string in either kind of quotes, without escapes. */
static const char *read_string(const char *at, char *text, size_t size)
{
    char quote = *at;
    if (quote != '\'' && quote != '"')
        return NULL;
    const char *end = strchr(++at, quote);
    if (!end || (size_t)(end - at) >= size)
        return NULL;
    memcpy(text, at, (size_t)(end - at));
    text[end - at] = 0;
    return end + 1;
}

static const char *read_descr(const char *at, struct header *header)
{
    char descr[16];
    at = read_string(at, descr, sizeof descr);
    if (!at || !strchr("<>=|", *descr))
        return NULL;
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (!strcmp(descr + 1, dtypes[i].descr))
            header->array.dtype = dtypes[i].dtype;
    header->array.big_endian = *descr == '>';
    header->has_descr = true;
    return at;
}

static const char *read_shape(const char *at, struct header *header)
{
    if (*at++ != '(')
        return NULL;
    for (at = skip_space(at); *at != ')'; at = skip_space(at)) {
        char *end;
        long long dim = strtoll(at, &end, 10);
        if (end == at || dim < 0 || header->array.rank == I3D_MAX_RANK)
            return NULL;
        header->array.dims[header->array.rank++] = dim;
        at = skip_space(end);
        if (*at == ',')
            at++;
        else if (*at != ')')
            return NULL;
    }
    header->has_shape = true;
    return at + 1;
}

static const char *read_flag(const char *at, struct header *header)
{
    bool yes = !strncmp(at, "True", 4), no = !strncmp(at, "False", 5);
    header->array.fortran_order = yes;
    header->has_order = true;
    return yes ? at + 4 : no ? at + 5 : NULL;
}

/* The text ends with a NUL. */
static bool parse_header(const char *text, struct header *header)
{
    const char *at = skip_space(text);
    char key[32];
    if (*at++ != '{')
        return false;
    for (at = skip_space(at); *at != '}'; at = skip_space(at)) {
        at = read_string(at, key, sizeof key);
        at = at ? skip_space(at) : NULL;
        if (!at || *at++ != ':')
            return false;
        at = skip_space(at);
        at = !strcmp(key, "descr") && !header->has_descr          ? read_descr(at, header)
            : !strcmp(key, "shape") && !header->has_shape         ? read_shape(at, header)
            : !strcmp(key, "fortran_order") && !header->has_order ? read_flag(at, header)
                                                                  : NULL;
        if (!at)
            return false;
        at = skip_space(at);
        if (*at == ',')
            at++;
        else if (*at != '}')
            return false;
    }
    return header->has_descr && header->has_order && header->has_shape && !*skip_space(at + 1);
}

/* The header's text, with a NUL behind it, and where it ends. */
static enum i3d_status load_text(struct i3d_source *whole, char **text, uint64_t *end,
                                 struct i3d_error *error)
{
    unsigned char prefix[12] = { 0 };
    uint64_t size = i3d_source_length(whole);
    if (size < sizeof prefix)
        return i3d_fail(error, I3D_MALFORMED, "%llu bytes hold no array", (unsigned long long)size);
    enum i3d_status status = i3d_source_read(whole, 0, prefix, sizeof prefix, error);
    if (status)
        return status;
    if (memcmp(prefix, MAGIC, sizeof MAGIC - 1))
        return i3d_fail(error, I3D_MALFORMED, "it does not start as .npy does");
    if (prefix[6] < 1 || prefix[6] > 3)
        return i3d_fail(error, I3D_UNSUPPORTED, "version %d of .npy is not known", prefix[6]);
    uint64_t length = prefix[8] | (uint64_t)prefix[9] << 8, start = 10;
    if (prefix[6] > 1) {
        length |= (uint64_t)prefix[10] << 16 | (uint64_t)prefix[11] << 24;
        start = 12;
    }
    if (length > HEADER_LIMIT || length > size - start)
        return i3d_fail(error, I3D_MALFORMED, "a header of %llu bytes",
                        (unsigned long long)length);
    *end = start + length;
    *text = malloc((size_t)length + 1);
    if (!*text)
        return i3d_fail_memory(error);
    if (length)
        status = i3d_source_read(whole, start, *text, (size_t)length, error);
    (*text)[length] = 0;
    if (!status && memchr(*text, 0, (size_t)length))
        status = i3d_fail(error, I3D_MALFORMED, "the header holds a NUL");
    if (status)
        free(*text);
    return status;
}

enum i3d_status i3d_npy_read_header(struct i3d_source *whole, struct i3d_npy_header *array,
                                    struct i3d_error *error)
{
    struct header header = { .array = { .dtype = I3D_UNDEFINED } };
    char *text;
    enum i3d_status status = load_text(whole, &text, &header.array.elements_at, error);
    if (status)
        return status;
    bool good = parse_header(text, &header);
    free(text);
    *array = header.array;
    if (!good)
        return i3d_fail(error, I3D_MALFORMED, "the header does not describe an array of at "
                                              "most %d axes", I3D_MAX_RANK);
    if (array->dtype == I3D_UNDEFINED)
        return i3d_fail(error, I3D_UNSUPPORTED, "its elements are no numbers that are known");
    int64_t elements = i3d_element_count(array->rank, array->dims);
    uint64_t left = i3d_source_length(whole) - array->elements_at;
    if (elements < 0 || (uint64_t)elements * i3d_dtype_size(array->dtype) != left)
        return i3d_fail(error, I3D_MALFORMED, "its elements do not fill the rest of the file");
    array->bytes = left;
    return I3D_OK;
}

/* Elements of a big-endian file, turned as they are read. */
struct turned {
    struct i3d_source *source;
    size_t size;
};

static enum i3d_status read_turned(void *context, uint64_t offset, void *bytes, size_t length,
                                   struct i3d_error *error)
{
    struct turned *turned = context;
    size_t size = turned->size;
    char *out = bytes, element[8];
    if (offset % size == 0 && length % size == 0) {
        enum i3d_status status = i3d_source_read(turned->source, offset, bytes, length, error);
        for (size_t at = 0; at < length && !status; at += size)
            for (size_t k = 0; k < size / 2; k++) {
                char byte = out[at + k];
                out[at + k] = out[at + size - 1 - k];
                out[at + size - 1 - k] = byte;
            }
        return status;
    }
    for (size_t done = 0; done < length; done++) { /* pieces that cut elements are small */
        uint64_t at = offset + done;
        enum i3d_status status =
            i3d_source_read(turned->source, at / size * size, element, size, error);
        if (status)
            return status;
        out[done] = element[size - 1 - at % size];
    }
    return I3D_OK;
}

static void release_turned(void *context)
{
    struct turned *turned = context;
    i3d_source_release(turned->source);
    free(turned);
}

static struct i3d_source *turn(struct i3d_source *source, size_t size)
{
    struct turned *turned = malloc(sizeof *turned);
    if (!turned || !source) {
        i3d_source_release(source);
        free(turned);
        return NULL;
    }
    uint64_t length = i3d_source_length(source);
    *turned = (struct turned){ source, size };
    struct i3d_source *result = i3d_source_callback(read_turned, release_turned, turned, length);
    if (!result)
        release_turned(turned);
    return result;
}

/* Columns first: the same elements with the strides of the reversed axes. */
static struct i3d_source *reorder(struct i3d_source *source,
                                  const struct i3d_npy_header *header)
{
    struct i3d_view view = { .dtype = header->dtype, .rank = header->rank, .tap_axis = -1 };
    int64_t stride = 1;
    for (int k = 0; k < header->rank; k++) {
        view.dims[k] = header->dims[k];
        view.strides[k] = stride;
        stride *= header->dims[k];
    }
    struct i3d_source *result = source ? i3d_source_view(source, &view) : NULL;
    i3d_source_release(source);
    return result;
}

struct i3d_source *i3d_npy_elements(const struct i3d_npy_header *header,
                                    struct i3d_source *stored)
{
    if (header->bytes && header->big_endian && i3d_dtype_size(header->dtype) > 1)
        stored = turn(stored, i3d_dtype_size(header->dtype));
    if (header->bytes && header->fortran_order && header->rank > 1)
        stored = reorder(stored, header);
    return stored;
}

size_t i3d_npy_make_header(const struct i3d_tensor *tensor, char header[I3D_NPY_HEADER_ROOM])
{
    const char *descr = NULL;
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == tensor->dtype)
            descr = dtypes[i].descr;
    if (!descr)
        return 0;
    bool bytes_only = i3d_dtype_size(tensor->dtype) == 1;
    int length = PREFIX + 2;
    length += snprintf(header + length, I3D_NPY_HEADER_ROOM - (size_t)length,
                       "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                       bytes_only ? '|' : '<', descr);
    for (int k = 0; k < tensor->rank; k++)
        length += snprintf(header + length, I3D_NPY_HEADER_ROOM - (size_t)length, "%s%lld",
                           k ? ", " : "", (long long)tensor->dims[k]);
    length += snprintf(header + length, I3D_NPY_HEADER_ROOM - (size_t)length, "%s), }",
                       tensor->rank == 1 ? "," : "");
    while ((length + 1) % ALIGNMENT)
        header[length++] = ' ';
    header[length++] = '\n';
    memcpy(header, MAGIC, sizeof MAGIC - 1);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((length - PREFIX - 2) & 255);
    header[9] = (char)((length - PREFIX - 2) >> 8);
    return (size_t)length;
}

enum i3d_status i3d_npy_read(struct i3d_file *file, struct i3d_model *model,
                             struct i3d_error *error)
{
    struct i3d_npy_header header;
    struct i3d_source *whole = i3d_source_range(file, 0, i3d_file_size(file));
    if (!whole)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_npy_read_header(whole, &header, error);
    i3d_source_release(whole);
    if (status)
        return status;
    struct i3d_source *stored = header.bytes
        ? i3d_source_range(file, header.elements_at, header.bytes) : i3d_source_copy(NULL, 0);
    return i3d_model_put_tensor(model, "array", header.dtype, header.rank, header.dims,
                                i3d_npy_elements(&header, stored), error);
}

enum i3d_status i3d_npy_write(const struct i3d_model *model, struct i3d_output *output,
                              struct i3d_error *error)
{
    char header[I3D_NPY_HEADER_ROOM];
    if (model->node_count || model->tensor_count != 1)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        ".npy holds one array; this model has %zu tensors%s", model->tensor_count,
                        model->node_count ? " and a graph" : "");
    const struct i3d_tensor *tensor = &model->tensors[0];
    size_t length = i3d_npy_make_header(tensor, header);
    if (!length)
        return i3d_fail(error, I3D_UNSUPPORTED, "NumPy has no %s", i3d_dtype_name(tensor->dtype));
    enum i3d_status status = i3d_output_write(output, header, length, error);
    if (!status && tensor->source)
        status = i3d_source_stream(tensor->source, i3d_output_write, output, error);
    return status;
}
