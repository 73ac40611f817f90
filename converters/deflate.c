#include "converters/deflate.h"

#include "converters/like.h"
#include "model/index.h"

#include <stdlib.h>
#include <string.h>

/* A kernel as outer × frames × inner elements. */
struct sum {
    enum i3d_dtype dtype;
    int64_t outer, frames, inner;
    double divisor;
};

static enum i3d_status compute_sum(const void *context, struct i3d_source *const *inputs,
                                   int input_count, void *bytes, uint64_t length,
                                   struct i3d_error *error)
{
    const struct sum *sum = context;
    (void)input_count;
    (void)length;
    size_t size = i3d_dtype_size(sum->dtype), row = (size_t)(sum->frames * sum->inner);
    void *stored = malloc(row * size);
    double *values = malloc(row * sizeof *values);
    enum i3d_status status = stored && values ? I3D_OK : i3d_fail_memory(error);
    for (int64_t o = 0; o < sum->outer && !status; o++) {
        status = i3d_source_read(inputs[0], (uint64_t)o * row * size, stored, row * size, error);
        if (status)
            break;
        i3d_to_double(sum->dtype, stored, values, row);
        for (int64_t t = 1; t < sum->frames; t++)
            for (int64_t i = 0; i < sum->inner; i++)
                values[i] += values[t * sum->inner + i];
        for (int64_t i = 0; i < sum->inner; i++)
            values[i] /= sum->divisor;
        i3d_from_double(sum->dtype, values, (char *)bytes + (size_t)(o * sum->inner) * size,
                        (size_t)sum->inner);
    }
    free(stored);
    free(values);
    return status;
}

static bool is_3d_kernel(const struct i3d_tensor *tensor)
{
    return tensor->rank == 5 && i3d_dtype_is_float(tensor->dtype) && tensor->source
        && i3d_tensor_elements(tensor) > 0;
}

/* Appends the sum over time, in the shape given, which has as many elements. */
static enum i3d_status put_sum(struct i3d_model *to, const char *name,
                               const struct i3d_tensor *tensor, int axis, double divisor,
                               int rank, const int64_t *dims, struct i3d_error *error)
{
    struct sum sum = { tensor->dtype, 1, tensor->dims[axis], 1, divisor };
    for (int k = 0; k < 5; k++)
        *(k < axis ? &sum.outer : &sum.inner) *= k == axis ? 1 : tensor->dims[k];
    uint64_t bytes = (uint64_t)(sum.outer * sum.inner) * i3d_dtype_size(tensor->dtype);
    return i3d_model_put_tensor(to, name, tensor->dtype, rank, dims,
                                i3d_source_compute(compute_sum, &sum, sizeof sum, &tensor->source,
                                                   1, bytes),
                                error);
}

static void drop_axis(const struct i3d_tensor *tensor, int axis, int64_t dims[4])
{
    for (int k = 0, n = 0; k < 5; k++)
        if (k != axis)
            dims[n++] = tensor->dims[k];
}

/* Of kernels of transposed convolutions: over how many phases they are spread. */
static double phases(const struct i3d_model *model, const struct i3d_index *index,
                     const char *kernel)
{
    size_t count, strided;
    const size_t *readers = i3d_index_consumers(index, kernel, &count);
    for (size_t i = 0; i < count; i++) {
        const struct i3d_node *node = &model->nodes[readers[i]];
        const int64_t *strides = i3d_ints(node, "strides", &strided);
        if (i3d_is(node, "ConvTranspose") && strided == 3 && strides[0] > 0)
            return (double)strides[0];
    }
    return 1;
}

static enum i3d_status copy_metadata(const struct i3d_model *from, struct i3d_model *to,
                                     struct i3d_error *error)
{
    for (size_t i = 0; i < from->metadata_count; i++)
        if (strncmp(from->metadata[i].key, "i3dconv.", strlen("i3dconv."))
            && !i3d_set_metadata(to, from->metadata[i].key, from->metadata[i].value))
            return i3d_fail_memory(error);
    return I3D_OK;
}

enum i3d_status i3d_deflate_weights(const struct i3d_model *inflated, int axis,
                                    struct i3d_model **weights, struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(inflated);
    struct i3d_model *to = *weights = i3d_model_new();
    enum i3d_status status = index && to ? copy_metadata(inflated, to, error)
                                         : i3d_fail_memory(error);
    size_t kernels = 0;
    for (size_t i = 0; i < inflated->tensor_count && !status; i++) {
        const struct i3d_tensor *tensor = &inflated->tensors[i];
        int64_t dims[4];
        if (!is_3d_kernel(tensor)) {
            status = i3d_model_copy_tensor(to, tensor) ? I3D_OK : i3d_fail_memory(error);
            continue;
        }
        kernels++;
        drop_axis(tensor, axis, dims);
        status = put_sum(to, tensor->name, tensor, axis, phases(inflated, index, tensor->name), 4,
                         dims, error);
    }
    if (!status && !kernels)
        status = i3d_fail(error, I3D_UNSUPPORTED, "no tensor is a kernel of five axes");
    i3d_index_free(index);
    if (status) {
        i3d_model_free(to);
        *weights = NULL;
    }
    return status;
}

/* Whether shapes are the same but for axes of one element. */
static bool same_but_ones(const struct i3d_tensor *a, const struct i3d_tensor *b)
{
    int i = 0, k = 0;
    for (;;) {
        while (i < a->rank && a->dims[i] == 1)
            i++;
        while (k < b->rank && b->dims[k] == 1)
            k++;
        if (i == a->rank || k == b->rank)
            return i == a->rank && k == b->rank;
        if (a->dims[i++] != b->dims[k++])
            return false;
    }
}

/* Fills one tensor of the copy in place. */
static enum i3d_status refill(const struct i3d_model *inflated, const struct i3d_index *index,
                              const struct i3d_likeness *likeness, size_t from, int axis,
                              struct i3d_tensor *own, bool *fits, struct i3d_error *error)
{
    const struct i3d_tensor *tensor = &inflated->tensors[from];
    int64_t dims[4], elements = i3d_tensor_elements(own);
    bool sums = is_3d_kernel(tensor) && own->rank < 5 && !same_but_ones(tensor, own);
    int64_t given = i3d_tensor_elements(tensor) / (sums ? tensor->dims[axis] : 1);
    *fits = tensor->source && tensor->dtype == own->dtype && given == elements
        && (sums || same_but_ones(tensor, own));
    if (*fits && sums) {
        drop_axis(tensor, axis, dims);
        *fits = own->rank == 4 ? !memcmp(dims, own->dims, sizeof dims)
                               : own->rank == 2 && dims[0] == own->dims[0];
    }
    if (!*fits)
        return I3D_OK;
    struct i3d_source *source = i3d_source_retain(tensor->source);
    if (sums) {
        struct i3d_model *scratch = i3d_model_new();
        i3d_source_release(source);
        enum i3d_status status = scratch
            ? put_sum(scratch, likeness->renamed[from], tensor, axis,
                      phases(inflated, index, tensor->name), own->rank, own->dims, error)
            : i3d_fail_memory(error);
        source = status ? NULL : i3d_source_retain(scratch->tensors[0].source);
        i3d_model_free(scratch);
        if (status)
            return status;
    }
    if (own->source)
        i3d_source_release(own->source);
    own->source = source;
    return I3D_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length > end_length && !strcmp(text + length - end_length, end)
        && text[length - end_length - 1] == '/';
}

/* The 3D tensor for a name: that of the name; or, where nodes shared it, the first of what
 * inflation calls <name>/node_<number>; or what it calls <node>/<name>, a constant that was
 * given an axis; -1. */
static int64_t find(const struct i3d_likeness *likeness, const struct i3d_names *names,
                    const char *name)
{
    static const char node[] = "/node_";
    size_t length = strlen(name);
    int64_t found = i3d_names_find(names, name);
    for (size_t i = 0; i < likeness->flat_count && found < 0; i++) {
        const char *other = likeness->renamed[i];
        bool is_one_of = !strncmp(other, name, length)
            && !strncmp(other + length, node, sizeof node - 1);
        if (is_one_of || ends_with(other, name))
            found = (int64_t)i;
    }
    return found;
}

/* What a 2D graph makes of a tensor by giving it another shape alone; inflation stores
 * that in its place. Null if it is read otherwise. */
static const char *reshaped(const struct i3d_model *like, const struct i3d_index *index,
                            const char *name)
{
    static const char *const operators[] = { "Reshape", "Squeeze", "Unsqueeze", "Flatten",
                                             "Identity" };
    size_t count;
    const size_t *readers = i3d_index_consumers(index, name, &count);
    for (size_t i = 0; count == 1 && i < sizeof operators / sizeof *operators; i++)
        if (i3d_is(&like->nodes[readers[0]], operators[i]))
            return like->nodes[readers[0]].outputs[0];
    return NULL;
}

/* Sizes, axes and factors of resampling, which belong to the graph, and what no node
 * reads. */
static bool is_number(const struct i3d_model *model, const struct i3d_index *index,
                      const struct i3d_tensor *tensor)
{
    size_t count, resamplers = 0;
    const size_t *readers = i3d_index_consumers(index, tensor->name, &count);
    for (size_t i = 0; i < count; i++)
        resamplers += i3d_is(&model->nodes[readers[i]], "Resize")
            || i3d_is(&model->nodes[readers[i]], "Upsample");
    return model->node_count
        && (!i3d_dtype_is_float(tensor->dtype) || resamplers == count);
}

enum i3d_status i3d_deflate_like(const struct i3d_model *inflated, const struct i3d_model *like,
                                 int axis, const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_model **made,
                                 struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(inflated), *flat = i3d_index_new(like);
    struct i3d_names *names = NULL;
    *made = NULL;
    enum i3d_status status = i3d_likeness_new(inflated, like, renaming, likeness, &names, error);
    if (!status)
        status = index && flat ? i3d_model_copy(like, made, error) : i3d_fail_memory(error);
    for (size_t i = 0; !status && i < like->tensor_count; i++) {
        struct i3d_tensor *own = &(*made)->tensors[i];
        bool fits = is_number(like, flat, &like->tensors[i]);
        int64_t from = fits ? -1 : find(likeness, names, own->name);
        const char *alias = fits || from >= 0 ? NULL : reshaped(like, flat, own->name);
        if (alias)
            from = find(likeness, names, alias);
        if (from >= 0)
            status = refill(inflated, index, likeness, (size_t)from, axis, own, &fits, error);
        likeness->fates[i] = fits ? I3D_FILLED : from >= 0 ? I3D_MISFIT : I3D_ABSENT;
        likeness->filled += fits;
        if (fits && from >= 0)
            likeness->used[from] = true;
    }
    for (size_t i = 0; !status && i < inflated->tensor_count; i++)
        likeness->used[i] |= is_number(inflated, index, &inflated->tensors[i]);
    i3d_names_free(names);
    i3d_index_free(index);
    i3d_index_free(flat);
    if (status) {
        i3d_model_free(*made);
        *made = NULL;
    }
    return status;
}
