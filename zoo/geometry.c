#include "zoo/structure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the two graphs with the shapes that it takes for the input at hand. */
struct side {
    const struct i3d_structure *found;
    const struct i3d_shapes *shapes;
};

static const struct i3d_node *node_at(const struct side *side, int64_t position)
{
    return &side->found->model->nodes[position];
}

/* The node that makes what a layer reads, Identity and Dropout passed over, and
 * that value's name; null where it is an input of the graph. */
static const struct i3d_node *feeder(const struct side *side, const char **value)
{
    for (size_t steps = 0; steps <= side->found->model->node_count; steps++) {
        int64_t position = i3d_index_producer(side->found->index, *value);
        if (position == I3D_NOWHERE)
            return NULL;
        const struct i3d_node *node = node_at(side, position);
        if (!node->input_count || !(i3d_is(node, "Identity") || i3d_is(node, "Dropout")))
            return node;
        *value = node->inputs[0];
    }
    return NULL;
}

/* Adds what a Pad node puts around its input to the window behind it. Only
 * zeros ahead of a convolution are the same as the convolution's own padding. */
static enum i3d_status add_pad_node(const struct side *side, const struct i3d_node *pad,
                                    bool is_convolution, int axes, struct i3d_window *extra,
                                    struct i3d_error *error)
{
    bool constant = !i3d_attribute(pad, "mode") || i3d_string_is(pad, "mode", "constant");
    bool zero = i3d_float(pad, "value", 0) == 0 && (pad->input_count < 3 || !*pad->inputs[2]);
    if (!constant)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "its input is padded by repetition, which weights cannot carry");
    size_t count;
    int listed;
    const bool *known = NULL;
    const int64_t *pads = i3d_ints(pad, "pads", &count);
    if (!pads && pad->input_count > 1) {
        pads = i3d_known_ints(side->shapes, pad->inputs[1], &listed, &known);
        count = pads ? (size_t)listed : 0;
    }
    int rank = axes + 2;
    bool idle = pads && count == (size_t)rank * 2;
    for (size_t i = 0; i < count && idle; i++)
        idle = (!known || known[i]) && !pads[i];
    if (idle)
        return I3D_OK;
    bool good = zero && is_convolution && pads && count == (size_t)rank * 2;
    for (size_t i = 0; i < count && good && known; i++)
        good = known[i];
    if (!good || pads[0] || pads[1] || pads[rank] || pads[rank + 1])
        return i3d_fail(error, I3D_UNSUPPORTED, "the Pad ahead of it does more than pad zeros");
    for (int k = 0; k < axes; k++) {
        extra->pad_begin[k] = pads[2 + k];
        extra->pad_end[k] = pads[rank + 2 + k];
    }
    return I3D_OK;
}

/* The window of a layer with a Pad node ahead of it made part of it. */
static enum i3d_status window_of(const struct side *side, const struct i3d_node *node,
                                 struct i3d_window *window, struct i3d_error *error)
{
    int axes = side->found->is_3d ? 3 : 2;
    bool is_convolution = i3d_is(node, "Conv");
    const struct i3d_shape *in = i3d_shape_of(side->shapes, node->inputs[0]);
    for (int k = 0; k < axes; k++)
        if (in->rank != axes + 2 || in->dims[2 + k] <= 0)
            return i3d_fail(error, I3D_UNSUPPORTED, "the size of its input is not known");
    *window = (struct i3d_window){ .axes = axes };
    if (i3d_is(node, "GlobalAveragePool")) {
        for (int k = 0; k < axes; k++) {
            window->kernel[k] = window->in[k] = in->dims[2 + k];
            window->stride[k] = window->dilation[k] = window->out[k] = 1;
        }
        return I3D_OK;
    }
    int64_t kernel[3];
    size_t count;
    const int64_t *attribute = i3d_ints(node, "kernel_shape", &count);
    if (is_convolution)
        memcpy(kernel, i3d_shape_of(side->shapes, node->inputs[1])->dims + 2,
               (size_t)axes * sizeof *kernel);
    else if (count == (size_t)axes)
        memcpy(kernel, attribute, count * sizeof *kernel);
    else
        return i3d_fail(error, I3D_MALFORMED, "kernel_shape does not have %d axes", axes);
    enum i3d_status status = i3d_resolve_window(node, axes, kernel, in->dims + 2, window, error);
    const char *value = node->inputs[0];
    const struct i3d_node *before = feeder(side, &value);
    if (status || !before || !i3d_is(before, "Pad") || !before->input_count)
        return status;
    struct i3d_window extra = { 0 };
    status = add_pad_node(side, before, is_convolution, axes, &extra, error);
    for (int k = 0; k < axes; k++) {
        window->in[k] -= extra.pad_begin[k] + extra.pad_end[k];
        window->pad_begin[k] += extra.pad_begin[k];
        window->pad_end[k] += extra.pad_end[k];
    }
    return status;
}

/* Whether two windows see the same elements along the axes that both have, which are the
 * last ones. What lies behind the end follows
 * from where they start and how many there are; only an average also counts it. */
static bool same_windows(const struct i3d_window *a, const struct i3d_window *b, bool is_average)
{
    bool same = true;
    for (int i = a->axes - 1, k = b->axes - 1; i >= 0 && k >= 0; i--, k--)
        same = same && a->kernel[i] == b->kernel[k] && a->stride[i] == b->stride[k]
            && a->dilation[i] == b->dilation[k] && a->pad_begin[i] == b->pad_begin[k]
            && a->out[i] == b->out[k] && a->in[i] == b->in[k]
            && (!is_average || a->pad_end[i] == b->pad_end[k]);
    return same;
}

/* "7x7 stride 2x2 pads 3x3+3x3 on 224x224" */
static const char *describe(const struct i3d_window *window, char *text, size_t size)
{
    const int64_t *parts[] = { window->kernel, window->stride, window->pad_begin,
                               window->pad_end, window->in };
    char shapes[5][48];
    for (int i = 0; i < 5; i++)
        i3d_shape_string(window->axes, parts[i], shapes[i], sizeof shapes[i]);
    snprintf(text, size, "%s stride %s pads %s+%s on %s", shapes[0], shapes[1], shapes[2],
             shapes[3], shapes[4]);
    return text;
}

__attribute__((format(printf, 3, 4)))
static enum i3d_status note_change(struct i3d_zoo_changes *changes, struct i3d_error *error,
                                   const char *format, ...)
{
    char **lines = realloc(changes->lines, (changes->count + 1) * sizeof *lines);
    if (!lines)
        return i3d_fail_memory(error);
    changes->lines = lines;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&lines[changes->count], format, arguments);
    va_end(arguments);
    if (length < 0)
        return i3d_fail_memory(error);
    changes->count++;
    return I3D_OK;
}

void i3d_zoo_changes_free(struct i3d_zoo_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        free(changes->lines[i]);
    free(changes->lines);
    *changes = (struct i3d_zoo_changes){ 0 };
}

/* Whether the windows are as large and as many, and only lie elsewhere. */
static bool nearly_same_windows(const struct i3d_window *a, const struct i3d_window *b)
{
    bool same = true;
    for (int k = 0; k < a->axes; k++)
        same = same && a->kernel[k] == b->kernel[k] && a->stride[k] == b->stride[k]
            && a->dilation[k] == b->dilation[k] && a->out[k] == b->out[k]
            && a->in[k] == b->in[k];
    return same;
}

struct comparison {
    struct side from, to;
    struct i3d_zoo_changes *changes; /* or null: nothing may change */
};

static enum i3d_status compare_layer(const struct comparison *comparison, int64_t position,
                                     int64_t target, const char *name, struct i3d_error *error)
{
    const struct side *from = &comparison->from, *to = &comparison->to;
    if (position == I3D_NOWHERE || target == I3D_NOWHERE)
        return I3D_OK;
    const struct i3d_node *ours = node_at(from, position), *theirs = node_at(to, target);
    struct i3d_window our_window, their_window;
    enum i3d_status status = window_of(from, ours, &our_window, error);
    if (!status)
        status = window_of(to, theirs, &their_window, error);
    if (status)
        return i3d_error_where(error, "%s", name);
    bool is_average = !i3d_is(ours, "Conv") && !i3d_is(ours, "MaxPool");
    bool counts_alike = !is_average
        || i3d_int(ours, "count_include_pad", 0) == i3d_int(theirs, "count_include_pad", 0);
    if (counts_alike && same_windows(&our_window, &their_window, is_average))
        return I3D_OK;
    char here[260], there[260];
    describe(&our_window, here, sizeof here);
    describe(&their_window, there, sizeof there);
    bool nearly = nearly_same_windows(&our_window, &their_window);
    if (nearly && comparison->changes)
        return note_change(comparison->changes, error, "%s: %s becomes %s", name, here, there);
    i3d_fail(error, I3D_UNSUPPORTED, "the file has %s, the dialect's code %s: it would "
             "compute something else from the same weights", here, there);
    i3d_error_hint(error, nearly ? "only the pads differ: --approximate accepts that; ONNX and "
                                   "safetensors keep the graph as it is"
                                 : "ONNX and safetensors keep the graph as it is");
    return i3d_error_where(error, "%s", name);
}

static enum i3d_status compare_lrn(const struct comparison *comparison, int number,
                                   struct i3d_error *error)
{
    const struct side *from = &comparison->from, *to = &comparison->to;
    static const char *const behind[I3D_LRNS] = { "MaxPool_2a_3x3", "Conv_2c_3x3" };
    int64_t ours = from->found->lrns[number], theirs = to->found->lrns[number];
    bool same = (ours == I3D_NOWHERE) == (theirs == I3D_NOWHERE);
    if (same && ours != I3D_NOWHERE) {
        const struct i3d_node *a = node_at(from, ours), *b = node_at(to, theirs);
        same = i3d_int(a, "size", 0) == i3d_int(b, "size", 0)
            && i3d_float(a, "alpha", 1e-4f) == i3d_float(b, "alpha", 1e-4f)
            && i3d_float(a, "beta", 0.75f) == i3d_float(b, "beta", 0.75f)
            && i3d_float(a, "bias", 1) == i3d_float(b, "bias", 1);
    }
    if (same)
        return I3D_OK;
    i3d_fail(error, I3D_UNSUPPORTED, "the LRN behind it is not the one of the dialect's code%s",
             theirs == I3D_NOWHERE ? ", which has none" : "");
    return i3d_error_where(error, "%s", behind[number]);
}

/* The sizes of a kernel in height and width, where the layer is a convolution. */
static int64_t kernel_size(const struct side *side, int64_t layer)
{
    if (layer == I3D_NOWHERE)
        return 1;
    const struct i3d_node *node = node_at(side, layer);
    const struct i3d_shape *weight = i3d_shape_of(side->shapes, node->inputs[1]);
    return i3d_is(node, "Conv") && weight->rank > 2 ? weight->dims[weight->rank - 1] : 1;
}

/* Kernels that are larger elsewhere say more than the windows that come of them. */
static enum i3d_status compare_kernels(const struct comparison *comparison,
                                       struct i3d_error *error)
{
    const struct i3d_structure *ours = comparison->from.found, *theirs = comparison->to.found;
    for (size_t i = 0; i < ours->unit_count; i++) {
        long long here = kernel_size(&comparison->from, ours->layers[i]);
        long long there = kernel_size(&comparison->to, theirs->layers[i]);
        if (here == there)
            continue;
        i3d_fail(error, I3D_UNSUPPORTED, "the file has %lldx%lld kernels, the dialect %lldx%lld",
                 here, here, there, there);
        return i3d_error_where(error, "%s", ours->units[i]);
    }
    return I3D_OK;
}

static bool is_matrix(const struct side *side, int64_t layer)
{
    return layer != I3D_NOWHERE && i3d_is(node_at(side, layer), "Gemm");
}

static enum i3d_status compare_all(const struct comparison *comparison, struct i3d_error *error)
{
    const struct i3d_structure *ours = comparison->from.found, *theirs = comparison->to.found;
    if (ours->pool_count != theirs->pool_count)
        return i3d_fail(error, I3D_UNSUPPORTED, "the file has %zu max pools, the dialect's code "
                        "%zu", ours->pool_count, theirs->pool_count);
    enum i3d_status status = compare_kernels(comparison, error);
    /* What changes the size of the map comes first: it is the cause of what follows. */
    if (!status)
        status = compare_layer(comparison, ours->layers[0], theirs->layers[0], ours->units[0],
                               error);
    for (size_t i = 0; i < ours->pool_count && !status; i++)
        status = compare_layer(comparison, ours->max_pools[i], theirs->max_pools[i],
                               ours->pools[i], error);
    for (size_t i = 1; i + 1 < ours->unit_count && !status; i++)
        if (!is_matrix(&comparison->from, ours->layers[i]))
            status = compare_layer(comparison, ours->layers[i], theirs->layers[i],
                                   ours->units[i], error);
    for (int i = 0; i < I3D_LRNS && !status; i++)
        status = compare_lrn(comparison, i, error);
    if (status)
        return status;
    return compare_layer(comparison, ours->average_pool, theirs->average_pool,
                         "the average pool ahead of the classifier", error);
}

/* The input that the first convolution reads, with what is open filled in. */
static enum i3d_status input_shape(const struct i3d_structure *from, struct i3d_shape *shape,
                                   struct i3d_error *error)
{
    const struct side side = { from, NULL };
    const char *value = node_at(&side, from->layers[0])->inputs[0];
    const struct i3d_node *before = feeder(&side, &value);
    if (before && i3d_is(before, "Pad") && before->input_count) {
        value = before->inputs[0];
        before = feeder(&side, &value);
    }
    int64_t position = i3d_index_input(from->index, value);
    if (before || position == I3D_NOWHERE || from->model->input_count != 1) {
        i3d_fail(error, I3D_UNSUPPORTED, "the graph's inputs are prepared%s%.60s before it reads "
                 "them, which weights cannot carry", before ? " by " : "",
                 before ? before->op_type : "");
        return i3d_error_where(error, "%s", from->units[0]);
    }
    const struct i3d_value *input = &from->model->inputs[position];
    const int64_t open[] = { 1, from->channels, 64, 224, 224 };
    int rank = from->is_3d ? 5 : 4;
    *shape = (struct i3d_shape){ .dtype = input->dtype, .rank = rank };
    for (int k = 0; k < rank; k++) {
        bool told = input->rank == rank && input->dims[k].value > 0;
        shape->dims[k] = told ? input->dims[k].value : open[k < 2 ? k : k + 5 - rank];
    }
    return I3D_OK;
}

enum i3d_status i3d_structure_compare(const struct i3d_structure *from,
                                      const struct i3d_structure *to,
                                      struct i3d_zoo_changes *changes, struct i3d_error *error)
{
    struct i3d_shape input;
    struct i3d_shapes *ours = NULL, *theirs = NULL;
    enum i3d_status status = input_shape(from, &input, error);
    if (!status)
        status = i3d_infer_shapes(from->model, from->index, &input, 1, &ours, error);
    if (!status && from->is_3d && !to->is_3d) {
        memmove(&input.dims[2], &input.dims[3], 2 * sizeof *input.dims);
        input.rank = 4;
    }
    if (!status)
        status = i3d_infer_shapes(to->model, to->index, &input, 1, &theirs, error);
    if (!status)
        status = compare_all(&(struct comparison){ { from, ours }, { to, theirs }, changes },
                             error);
    i3d_shapes_free(ours);
    i3d_shapes_free(theirs);
    return status;
}
