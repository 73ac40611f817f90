#include "tools/arrays.h"

#include "formats/input.h"
#include "zoo/preprocess.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool array_layout_is_sound(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (!strchr("NCTHW", text[i]) || strchr(text + i + 1, text[i]))
            return false;
    return length >= 2 && length <= 5;
}

/* The axes of the model's input, in their order. */
static const char *model_layout(const struct i3d_model *model)
{
    return model->time_axis < 0 ? "NCHW" : model->time_axis == 1 ? "NTHWC" : "NCTHW";
}

/* How to read the file's tensor as the model's input: a view; false: axes differ. */
static bool turn(const struct i3d_tensor *tensor, const char *from, const char *to,
                 struct i3d_view *view)
{
    int64_t strides[I3D_MAX_RANK], step = 1;
    int rank = (int)strlen(to);
    if ((size_t)tensor->rank != strlen(from))
        return false;
    for (int k = tensor->rank - 1; k >= 0; k--) {
        strides[k] = step;
        step *= tensor->dims[k];
    }
    *view = (struct i3d_view){ .dtype = tensor->dtype, .rank = rank, .tap_axis = -1 };
    int used = 0;
    for (int k = 0; k < rank; k++) {
        const char *place = strchr(from, to[k]);
        if (!place && to[k] != 'N')
            return false;
        view->dims[k] = place ? tensor->dims[place - from] : 1;
        view->strides[k] = place ? strides[place - from] : 0;
        used += place != NULL;
    }
    return used == tensor->rank;
}

static const char *declared_shape(const struct i3d_value *value, char *buffer, size_t size)
{
    int64_t dims[I3D_MAX_RANK];
    for (int k = 0; k < value->rank; k++)
        dims[k] = value->dims[k].value;
    return value->rank < 0 ? "any shape" : i3d_shape_string(value->rank, dims, buffer, size);
}

static enum i3d_status load_turned(const struct i3d_tensor *tensor, const char *layout,
                                   const struct i3d_model *model,
                                   const struct i3d_value *input, struct i3d_array *array,
                                   struct i3d_error *error)
{
    const char *to = model_layout(model), *from = layout ? layout : to;
    if (!layout && (size_t)tensor->rank + 1 == strlen(to)) /* one sample */
        from = to + 1;
    struct i3d_tensor turned = *tensor;
    struct i3d_view view;
    char shape[64], declared[64];
    int channel = (int)(strchr(to, 'C') - to);
    bool fits = i3d_tensor_elements(tensor) > 0 && turn(tensor, from, to, &view);
    if (fits && input->rank == view.rank && input->dims[channel].value > 0)
        fits = view.dims[channel] == input->dims[channel].value;
    if (!fits) {
        i3d_fail(error, I3D_USAGE, "an array of %s is no %s input",
                 i3d_shape_string(tensor->rank, tensor->dims, shape, sizeof shape), to);
        return i3d_error_hint(error, "the network takes %s; --layout tells the array's order of "
                                     "axes", declared_shape(input, declared, sizeof declared));
    }
    turned.source = i3d_source_view(tensor->source, &view);
    turned.rank = view.rank;
    memcpy(turned.dims, view.dims, sizeof view.dims);
    if (!turned.source)
        return i3d_fail_memory(error);
    float *values;
    enum i3d_status status = i3d_tensor_load_float(&turned, &values, error);
    i3d_source_release(turned.source);
    if (status)
        return status;
    status = i3d_array_new(I3D_FLOAT32, turned.rank, turned.dims, array, error);
    if (!status)
        memcpy(array->data, values, (size_t)i3d_tensor_elements(&turned) * sizeof *values);
    free(values);
    return status;
}

enum i3d_status array_load_input(const char *path, const char *layout,
                                 const struct i3d_model *model, size_t k,
                                 struct i3d_array *array, struct i3d_error *error)
{
    struct i3d_model *file;
    const struct i3d_value *input = &model->inputs[k];
    enum i3d_status status = i3d_read_model(path, &file, error);
    if (status)
        return status;
    if (file->node_count || file->tensor_count != 1)
        status = i3d_fail(error, I3D_USAGE, "it holds %zu tensors; an input is one",
                          file->tensor_count);
    else if (input->rank >= 0 && (size_t)input->rank != strlen(model_layout(model)))
        status = i3d_array_load(&file->tensors[0], array, error);
    else
        status = load_turned(&file->tensors[0], layout, model, input, array, error);
    i3d_model_free(file);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

enum i3d_status array_load_image(const char *path, const char *preprocessing,
                                 const struct i3d_model *model, const struct i3d_shape *shape,
                                 struct i3d_array *array, struct i3d_error *error)
{
    struct i3d_preprocessing settings;
    struct i3d_picture picture;
    if (!i3d_is_picture(path))
        return array_load_input(path, NULL, model, 0, array, error);
    enum i3d_status status = i3d_preprocessing_parse(preprocessing, &settings, error);
    if (status)
        return i3d_error_where(error, "--preprocessing");
    if (shape->rank != 4) {
        i3d_fail(error, I3D_USAGE, "a photograph is no video");
        return i3d_error_file(error, path);
    }
    status = i3d_read_picture(path, &picture, error);
    if (status)
        return status;
    /* N×H×W×C where the model's channels are there */
    bool last = model->inputs[0].dims[3].value == 3 && shape->dims[1] != 3;
    status = i3d_preprocess(&picture, &settings, shape, last, array, error);
    free(picture.pixels);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

static int64_t count_of(const struct i3d_array *array)
{
    int64_t count = 1;
    for (int k = 0; k < array->rank; k++)
        count *= array->dims[k];
    return count;
}

size_t array_bytes(const struct i3d_array *array)
{
    return (size_t)count_of(array) * i3d_dtype_size(array->dtype);
}

enum i3d_status array_copy(const struct i3d_array *from, struct i3d_array *to,
                           struct i3d_error *error)
{
    enum i3d_status status = i3d_array_new(from->dtype, from->rank, from->dims, to, error);
    if (!status && array_bytes(from))
        memcpy(to->data, from->data, array_bytes(from));
    return status;
}

enum i3d_status array_add(struct i3d_array *a, const struct i3d_array *b, struct i3d_error *error)
{
    if (a->dtype != I3D_FLOAT32 || b->dtype != I3D_FLOAT32 || a->rank != b->rank
        || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims))
        return i3d_fail(error, I3D_USAGE, "the two streams do not have logits of one shape");
    float *sum = a->data;
    const float *other = b->data;
    for (int64_t i = 0; i < count_of(a); i++)
        sum[i] += other[i];
    return I3D_OK;
}

enum i3d_status array_write(const struct i3d_array *array, const char *path,
                            struct i3d_error *error)
{
    const struct i3d_format *format = NULL;
    struct i3d_model *model = i3d_model_new();
    enum i3d_status status = model ? I3D_OK : i3d_fail_memory(error);
    if (!status)
        status = tool_format(path, strcmp(path, "-") ? NULL : "npy", &format, error);
    if (!status)
        status = i3d_model_put_tensor(model, "array", array->dtype, array->rank, array->dims,
                                      i3d_source_copy(array->data, array_bytes(array)), error);
    if (!status)
        status = i3d_write_model(model, path, format, error);
    i3d_model_free(model);
    return status;
}

void array_print_summary(const struct i3d_array *array)
{
    char shape[64];
    double least = INFINITY, most = -INFINITY, sum = 0;
    int64_t count = count_of(array), nans = 0;
    const float *values = array->data;
    printf("%s %s", i3d_dtype_name(array->dtype),
           i3d_shape_string(array->rank, array->dims, shape, sizeof shape));
    for (int64_t i = 0; i < count && array->dtype == I3D_FLOAT32; i++) {
        nans += values[i] != values[i];
        least = fmin(least, (double)values[i]);
        most = fmax(most, (double)values[i]);
        sum += (double)values[i];
    }
    if (array->dtype == I3D_FLOAT32 && count)
        printf(", from %.4g to %.4g, mean %.4g", least, most, sum / (double)count);
    if (nans)
        printf(", %lld NaN", (long long)nans);
    putchar('\n');
}

/* The position of the largest value that is not above what came before. */
static int64_t next_largest(const float *values, int64_t count, const bool *taken)
{
    int64_t best = -1;
    for (int64_t i = 0; i < count; i++)
        if (!taken[i] && (best < 0 || values[i] > values[best]))
            best = i;
    return best;
}

static enum i3d_status print_sample(const float *values, int64_t classes, int64_t count,
                                    bool is_probability, const struct i3d_labels *labels,
                                    struct i3d_error *error)
{
    bool *taken = calloc((size_t)classes, sizeof *taken);
    if (!taken)
        return i3d_fail_memory(error);
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < classes; i++)
        largest = fmax(largest, (double)values[i]);
    for (int64_t i = 0; i < classes; i++)
        sum += exp((double)values[i] - largest);
    for (int64_t rank = 0; rank < count && rank < classes; rank++) {
        int64_t best = next_largest(values, classes, taken);
        char label[512] = "";
        if (labels)
            i3d_printable(labels->names[best], label, sizeof label);
        taken[best] = true;
        printf("%6lld %7.4f%s%s\n", (long long)best,
               is_probability ? (double)values[best] : exp((double)values[best] - largest) / sum,
               *label ? "  " : "", label);
    }
    free(taken);
    return I3D_OK;
}

enum i3d_status array_print_top(const struct i3d_array *array, int64_t count,
                                bool is_probability, const struct i3d_labels *labels,
                                struct i3d_error *error)
{
    char shape[64];
    bool good = array->dtype == I3D_FLOAT32 && array->rank >= 2 && array->dims[1] > 0;
    for (int k = 2; k < array->rank; k++)
        good &= array->dims[k] == 1;
    if (!good)
        return i3d_fail(error, I3D_UNSUPPORTED, "classes are read from N×classes, not from %s",
                        i3d_shape_string(array->rank, array->dims, shape, sizeof shape));
    int64_t classes = array->dims[1];
    if (labels && labels->count != (size_t)classes)
        return i3d_fail(error, I3D_USAGE, "there are %zu labels for %lld classes", labels->count,
                        (long long)classes);
    enum i3d_status status = I3D_OK;
    for (int64_t n = 0; n < array->dims[0] && !status; n++) {
        if (array->dims[0] > 1)
            printf("sample %lld\n", (long long)n);
        status = print_sample((const float *)array->data + n * classes, classes, count,
                              is_probability, labels, error);
    }
    return status;
}
