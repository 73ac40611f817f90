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

/* How to read the file's tensor as the model's input. */
static enum i3d_status turn_input(const struct i3d_tensor *tensor, const char *layout,
                                  const struct i3d_model *model, const struct i3d_value *input,
                                  struct i3d_view *view, struct i3d_error *error)
{
    const char *to = model_layout(model), *from = layout ? layout : to;
    if (!layout && (size_t)tensor->rank + 1 == strlen(to)) /* one sample */
        from = to + 1;
    char shape[64], declared[64];
    int channel = (int)(strchr(to, 'C') - to);
    bool fits = i3d_tensor_elements(tensor) > 0 && turn(tensor, from, to, view);
    if (fits && input->rank == view->rank && input->dims[channel].value > 0)
        fits = view->dims[channel] == input->dims[channel].value;
    if (fits)
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "an array of %s is no %s input",
             i3d_shape_string(tensor->rank, tensor->dims, shape, sizeof shape), to);
    return i3d_error_hint(error, "the network takes %s; --layout tells the array's order of "
                                 "axes", declared_shape(input, declared, sizeof declared));
}

/* The elements of a view of the tensor, as floats; malloc'ed. */
static enum i3d_status load_view(const struct i3d_tensor *tensor, const struct i3d_view *view,
                                 float **values, struct i3d_error *error)
{
    struct i3d_tensor turned = *tensor;
    turned.source = i3d_source_view(tensor->source, view);
    turned.rank = view->rank;
    memcpy(turned.dims, view->dims, sizeof view->dims);
    if (!turned.source)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_tensor_load_float(&turned, values, error);
    i3d_source_release(turned.source);
    return status;
}

static enum i3d_status load_turned(const struct i3d_tensor *tensor, const char *layout,
                                   const struct i3d_model *model,
                                   const struct i3d_value *input, struct i3d_array *array,
                                   struct i3d_error *error)
{
    struct i3d_view view;
    float *values;
    enum i3d_status status = turn_input(tensor, layout, model, input, &view, error);
    if (!status)
        status = load_view(tensor, &view, &values, error);
    if (status)
        return status;
    status = i3d_array_new(I3D_FLOAT32, view.rank, view.dims, array, error);
    if (!status)
        memcpy(array->data, values, (size_t)i3d_tensor_elements(tensor) * sizeof *values);
    free(values);
    return status;
}

static enum i3d_status read_one_tensor(const char *path, struct i3d_model **file,
                                       struct i3d_error *error)
{
    enum i3d_status status = i3d_read_model(path, file, error);
    if (status || (!(*file)->node_count && (*file)->tensor_count == 1))
        return status;
    status = i3d_fail(error, I3D_USAGE, "it holds %zu tensors; an input is one",
                      (*file)->tensor_count);
    i3d_model_free(*file);
    return status;
}

static bool is_turned(const struct i3d_model *model, const struct i3d_value *input)
{
    return input->rank < 0 || (size_t)input->rank == strlen(model_layout(model));
}

enum i3d_status array_load_input(const char *path, const char *layout,
                                 const struct i3d_model *model, size_t k,
                                 struct i3d_array *array, struct i3d_error *error)
{
    struct i3d_model *file;
    const struct i3d_value *input = &model->inputs[k];
    enum i3d_status status = read_one_tensor(path, &file, error);
    if (status)
        return i3d_error_file(error, path);
    if (is_turned(model, input))
        status = load_turned(&file->tensors[0], layout, model, input, array, error);
    else
        status = i3d_array_load(&file->tensors[0], array, error);
    i3d_model_free(file);
    return status ? i3d_error_file(error, path) : I3D_OK;
}

enum i3d_status array_open_clip(const char *path, const char *layout,
                                const struct i3d_model *model, struct array_clip *clip,
                                bool *is_clip, struct i3d_error *error)
{
    const struct i3d_value *input = &model->inputs[0];
    *clip = (struct array_clip){ .time_axis = model->time_axis };
    *is_clip = model->input_count == 1 && model->time_axis >= 1 && is_turned(model, input)
        && (!input->dtype || input->dtype == I3D_FLOAT32);
    if (!*is_clip)
        return I3D_OK;
    enum i3d_status status = read_one_tensor(path, &clip->file, error);
    if (status)
        return i3d_error_file(error, path);
    status = turn_input(&clip->file->tensors[0], layout, model, input, &clip->view, error);
    if (status) {
        array_close_clip(clip);
        return i3d_error_file(error, path);
    }
    clip->shape.dtype = I3D_FLOAT32;
    clip->shape.rank = clip->view.rank;
    memcpy(clip->shape.dims, clip->view.dims, sizeof clip->view.dims);
    return I3D_OK;
}

/* The elements of a view, of which only the part of the file from its first to its last
 * element is read. */
static enum i3d_status load_part(const struct i3d_tensor *tensor, const struct i3d_view *view,
                                 float **values, struct i3d_error *error)
{
    size_t size = i3d_dtype_size(tensor->dtype);
    struct i3d_view part = *view;
    int64_t reach = 1;
    for (int k = 0; k < view->rank; k++)
        reach += (view->dims[k] - 1) * view->strides[k];
    void *bytes = malloc((size_t)reach * size);
    if (!bytes)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_source_read(tensor->source, (uint64_t)view->offset * size, bytes,
                                             (size_t)reach * size, error);
    if (status) {
        free(bytes);
        return status;
    }
    struct i3d_tensor piece = { .name = tensor->name, .dtype = tensor->dtype, .rank = 1,
                                .dims = { reach },
                                .source = i3d_source_take(bytes, (size_t)reach * size) };
    part.offset = 0;
    if (!piece.source)
        return i3d_fail_memory(error);
    status = load_view(&piece, &part, values, error);
    i3d_source_release(piece.source);
    return status;
}

/* Axes that are slower in the file than time are gone through one by one, where they lead in
 * the result too: otherwise a part would be nearly all of the file. */
enum i3d_status array_read_frames(void *context, int64_t first, int64_t count, float *to,
                                  struct i3d_error *error)
{
    const struct array_clip *clip = context;
    int time = clip->time_axis, leading = 0;
    struct i3d_view view = clip->view;
    int64_t pieces = 1;
    view.dims[time] = count;
    for (; leading < time && (view.dims[leading] == 1
                              || view.strides[leading] > view.strides[time]); leading++) {
        pieces *= view.dims[leading];
        view.dims[leading] = 1;
    }
    int64_t size = i3d_element_count(view.rank, view.dims);
    for (int64_t piece = 0; piece < pieces; piece++) {
        int64_t rest = piece;
        float *values;
        view.offset = first * view.strides[time];
        for (int k = leading - 1; k >= 0; k--) {
            view.offset += rest % clip->view.dims[k] * view.strides[k];
            rest /= clip->view.dims[k];
        }
        enum i3d_status status = load_part(&clip->file->tensors[0], &view, &values, error);
        if (status)
            return i3d_error_file(error, clip->file->path);
        memcpy(to + piece * size, values, (size_t)size * sizeof *values);
        free(values);
    }
    return I3D_OK;
}

void array_close_clip(struct array_clip *clip)
{
    i3d_model_free(clip->file);
    clip->file = NULL;
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
