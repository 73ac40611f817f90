#include "converters/classifier.h"

#include "model/index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where the classifier's numbers are. */
struct place {
    int64_t weight, bias; /* positions among the tensors; bias -1: none */
    int axis;             /* of the weight that counts classes */
};

/* What a new tensor is made of: outer × classes × inner elements. */
struct making {
    enum i3d_dtype dtype;
    struct i3d_classifier_options options;
    int64_t outer, was, inner;
    bool is_bias;
};

/* SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
 * generators". */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Near enough to a normal number of deviation 0.01 for a first guess, and the same on every
 * machine: the sum of twelve uniform ones. */
static double next_normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (double)(next_random(state) >> 11) * 0x1p-53;
    return 0.01 * sum;
}

static void make_normal(const struct making *m, void *bytes)
{
    uint64_t state = m->options.seed;
    size_t size = i3d_dtype_size(m->dtype);
    int64_t count = m->outer * m->options.classes * m->inner;
    for (int64_t i = 0; i < count; i++) {
        double value = next_normal(&state);
        i3d_from_double(m->dtype, &value, (char *)bytes + (size_t)i * size, 1);
    }
}

/* The rows travel behind the parameters as a source of their own. */
static enum i3d_status copy_rows(const struct making *m, struct i3d_source *const *inputs,
                                 char *bytes, struct i3d_error *error)
{
    size_t row = (size_t)m->inner * i3d_dtype_size(m->dtype);
    for (int64_t o = 0; o < m->outer; o++)
        for (int64_t c = 0; c < m->options.classes; c++) {
            int64_t from;
            enum i3d_status status = i3d_source_read(inputs[1], (uint64_t)c * sizeof from, &from,
                                                     sizeof from, error);
            if (!status)
                status = i3d_source_read(inputs[0], (uint64_t)(o * m->was + from) * row, bytes,
                                         row, error);
            if (status)
                return status;
            bytes += row;
        }
    return I3D_OK;
}

static enum i3d_status make(const void *context, struct i3d_source *const *inputs,
                            int input_count, void *bytes, uint64_t length,
                            struct i3d_error *error)
{
    const struct making *m = context;
    (void)input_count;
    if (m->options.init == I3D_CLASSIFIER_ROWS)
        return copy_rows(m, inputs, bytes, error);
    memset(bytes, 0, length);
    if (m->options.init == I3D_CLASSIFIER_NORMAL && !m->is_bias)
        make_normal(m, bytes);
    return I3D_OK;
}

static const struct i3d_node *producer(const struct i3d_model *model,
                                       const struct i3d_index *index, const char *value)
{
    int64_t at = i3d_index_producer(index, value);
    return at == I3D_NOWHERE ? NULL : &model->nodes[at];
}

/* The tensor that is input k, or -1. */
static int64_t stored(const struct i3d_index *index, const struct i3d_node *node, size_t k)
{
    return k < node->input_count ? i3d_index_tensor(index, node->inputs[k]) : I3D_NOWHERE;
}

static size_t reader_count(const struct i3d_model *model, const struct i3d_index *index,
                           int64_t tensor)
{
    size_t count = 0;
    if (tensor >= 0)
        i3d_index_consumers(index, model->tensors[tensor].name, &count);
    return count;
}

/* The bias that an Add behind a MatMul brings, or a bias input. */
static int64_t added_bias(const struct i3d_model *model, const struct i3d_index *index,
                          const struct i3d_node *node, int64_t classes)
{
    size_t count;
    const size_t *readers = i3d_index_consumers(index, node->outputs[0], &count);
    const struct i3d_node *add = count == 1 ? &model->nodes[readers[0]] : NULL;
    for (size_t k = 0; add && i3d_is(add, "Add") && k < add->input_count; k++) {
        int64_t tensor = stored(index, add, k);
        if (tensor >= 0 && i3d_tensor_elements(&model->tensors[tensor]) == classes)
            return tensor;
    }
    return -1;
}

static bool is_classifier(const struct i3d_node *node)
{
    return i3d_is(node, "Conv") || i3d_is(node, "Gemm") || i3d_is(node, "MatMul");
}

/* Walks back from the first output along first inputs. */
static enum i3d_status find_in_graph(const struct i3d_model *model, const struct i3d_index *index,
                                     struct place *place, struct i3d_error *error)
{
    const struct i3d_node *node =
        model->output_count ? producer(model, index, model->outputs[0].name) : NULL;
    for (size_t steps = 0; node && !is_classifier(node) && steps < model->node_count; steps++) {
        size_t k = 0;
        while (k + 1 < node->input_count && !producer(model, index, node->inputs[k]))
            k++;
        node = node->input_count ? producer(model, index, node->inputs[k]) : NULL;
    }
    if (!node || !is_classifier(node))
        return i3d_fail(error, I3D_UNSUPPORTED, "no classifier stands ahead of its output");
    bool columns = i3d_is(node, "MatMul")
        || (i3d_is(node, "Gemm") && !i3d_int(node, "transB", 0));
    place->weight = stored(index, node, 1);
    place->bias = stored(index, node, 2);
    place->axis = columns ? 1 : 0;
    const struct i3d_tensor *weight =
        place->weight >= 0 ? &model->tensors[place->weight] : NULL;
    if (weight && weight->rank > place->axis && i3d_is(node, "MatMul"))
        place->bias = added_bias(model, index, node, weight->dims[place->axis]);
    bool good = weight && weight->rank >= 2 && weight->source
        && reader_count(model, index, place->weight) == 1
        && (!columns || weight->rank == 2) && i3d_int(node, "group", 1) == 1
        && (place->bias < 0 || reader_count(model, index, place->bias) == 1);
    if (!good) {
        i3d_fail(error, I3D_UNSUPPORTED, "its weights are computed, shared or grouped");
        return i3d_error_where(error, "node %s (%s)", *node->name ? node->name : node->outputs[0],
                               node->op_type);
    }
    return I3D_OK;
}

static enum i3d_status find_in_weights(const struct i3d_model *model, struct place *place,
                                       struct i3d_error *error)
{
    for (size_t i = model->tensor_count; i-- > 0 && place->weight < 0;)
        if (model->tensors[i].rank >= 2 && i3d_dtype_is_float(model->tensors[i].dtype))
            place->weight = (int64_t)i;
    if (place->weight < 0)
        return i3d_fail(error, I3D_UNSUPPORTED, "no tensor is a classifier's");
    const struct i3d_tensor *next = (size_t)place->weight + 1 < model->tensor_count
        ? &model->tensors[place->weight + 1] : NULL;
    if (next && next->rank == 1 && next->dims[0] == model->tensors[place->weight].dims[0])
        place->bias = place->weight + 1;
    return I3D_OK;
}

/* Gives the tensor the new number of classes. */
static enum i3d_status remake(struct i3d_tensor *tensor, int axis, bool is_bias,
                              const struct i3d_classifier_options *options,
                              struct i3d_error *error)
{
    struct making making = { tensor->dtype, *options, 1, tensor->dims[axis], 1, is_bias };
    making.options.rows = NULL;
    for (int k = 0; k < tensor->rank; k++)
        *(k < axis ? &making.outer : &making.inner) *= k == axis ? 1 : tensor->dims[k];
    tensor->dims[axis] = options->classes;
    int64_t elements = i3d_element_count(tensor->rank, tensor->dims);
    if (elements < 0 || !i3d_dtype_is_float(tensor->dtype))
        return i3d_fail(error, I3D_UNSUPPORTED, "it cannot be made that large, or is no float");
    struct i3d_source *rows = options->rows
        ? i3d_source_copy(options->rows, (size_t)options->classes * sizeof *options->rows)
        : i3d_source_copy(NULL, 0);
    struct i3d_source *inputs[] = { tensor->source, rows };
    struct i3d_source *source = rows
        ? i3d_source_compute(make, &making, sizeof making, inputs, 2,
                             (uint64_t)elements * i3d_dtype_size(tensor->dtype))
        : NULL;
    if (rows)
        i3d_source_release(rows);
    if (!source)
        return i3d_fail_memory(error);
    i3d_source_release(tensor->source);
    tensor->source = source;
    return I3D_OK;
}

/* Sizes of the old classes in what the file says of its values. */
static void correct_values(struct i3d_model *model, int64_t was, int64_t classes)
{
    for (size_t i = 0; i < model->output_count; i++)
        for (int k = 0; k < model->outputs[i].rank; k++)
            if (k > 0 && model->outputs[i].dims[k].value == was)
                model->outputs[i].dims[k].value = classes;
    model->value_count = 0; /* hints that others infer anew */
}

enum i3d_status i3d_replace_classifier(const struct i3d_model *model,
                                       const struct i3d_classifier_options *options,
                                       struct i3d_model **made, int64_t *was,
                                       struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(model);
    struct place place = { -1, -1, 0 };
    *made = NULL;
    enum i3d_status status = !index ? i3d_fail_memory(error)
        : model->node_count ? find_in_graph(model, index, &place, error)
                            : find_in_weights(model, &place, error);
    i3d_index_free(index);
    if (status)
        return status;
    *was = model->tensors[place.weight].dims[place.axis];
    for (int64_t i = 0; options->init == I3D_CLASSIFIER_ROWS && i < options->classes; i++)
        if (options->rows[i] < 0 || options->rows[i] >= *was)
            return i3d_fail(error, I3D_USAGE, "there is no row %lld; the classifier has %lld",
                            (long long)options->rows[i], (long long)*was);
    status = i3d_model_copy(model, made, error);
    if (!status)
        status = remake(&(*made)->tensors[place.weight], place.axis, false, options, error);
    if (!status && place.bias >= 0) {
        struct i3d_tensor *bias = &(*made)->tensors[place.bias];
        int axis = bias->rank - 1;
        while (axis > 0 && bias->dims[axis] != *was)
            axis--;
        status = bias->rank && bias->dims[axis] == *was
            ? remake(bias, axis, true, options, error)
            : i3d_fail(error, I3D_UNSUPPORTED, "its bias does not count classes");
    }
    if (!status)
        correct_values(*made, *was, options->classes);
    if (status) {
        i3d_error_where(error, "tensor %s", model->tensors[place.weight].name);
        i3d_model_free(*made);
        *made = NULL;
    }
    return status;
}
