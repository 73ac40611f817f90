#include "converters/inflater.h"

#include <stdlib.h>
#include <string.h>

/* The head of the I3D recipe: average pool over head_frames frames and the whole
 * feature map, the classifier as a 1×1×1 convolution on each frame that is left,
 * then the mean over those (arXiv 1705.07750, figure 3). */

static bool is_pool(const struct inflater *in, const struct i3d_node *node)
{
    if (i3d_is(node, "GlobalAveragePool"))
        return true;
    const struct i3d_shape *out = i3d_flat_shape(in, node->outputs[0]);
    return i3d_is(node, "AveragePool") && out->rank == 4 && out->dims[2] == 1 && out->dims[3] == 1;
}

static bool is_passed_over(const struct i3d_node *node)
{
    return i3d_is(node, "Flatten") || i3d_is(node, "Reshape") || i3d_is(node, "Squeeze");
}

/* A fully connected layer on N×C features with its weight in the file. */
static bool is_matrix(const struct inflater *in, const struct i3d_node *node)
{
    const struct i3d_tensor *weight =
        node->input_count > 1 ? i3d_flat_tensor(in, node->inputs[1]) : NULL;
    if (!weight || weight->rank != 2)
        return false;
    if (i3d_is(node, "MatMul"))
        return true;
    return i3d_is(node, "Gemm") && !i3d_int(node, "transA", 0)
        && i3d_float(node, "alpha", 1) == 1.0f && i3d_float(node, "beta", 1) == 1.0f;
}

static bool is_pointwise(const struct inflater *in, const struct i3d_node *node)
{
    const struct i3d_tensor *weight =
        node->input_count > 1 ? i3d_flat_tensor(in, node->inputs[1]) : NULL;
    return i3d_is(node, "Conv") && weight && weight->rank == 4 && weight->dims[2] == 1
        && weight->dims[3] == 1;
}

/* Follows the only reader of each value from a pool to the classifier. */
static bool follow(const struct inflater *in, size_t pool, struct head *head)
{
    const struct i3d_model *flat = in->flat;
    memset(head->skipped, 0, flat->node_count);
    const char *value = flat->nodes[pool].outputs[0];
    for (size_t steps = 0; steps < flat->node_count; steps++) {
        size_t readers;
        const size_t *positions = i3d_index_consumers(in->index, value, &readers);
        if (readers != 1)
            return false;
        const struct i3d_node *node = &flat->nodes[positions[0]];
        if (strcmp(node->inputs[0], value))
            return false;
        if (is_matrix(in, node) || is_pointwise(in, node)) {
            head->pool = (int64_t)pool;
            head->classifier = (int64_t)positions[0];
            return true;
        }
        if (is_passed_over(node))
            head->skipped[positions[0]] = true;
        else if (!i3d_is(node, "Dropout") && !i3d_is(node, "Identity"))
            return false;
        value = node->outputs[0];
    }
    return false;
}

enum i3d_status i3d_find_head(struct inflater *in, struct i3d_error *error)
{
    const struct i3d_model *flat = in->flat;
    in->head.skipped = calloc(flat->node_count + 1, sizeof *in->head.skipped);
    if (!in->head.skipped)
        return i3d_fail_memory(error);
    for (size_t i = flat->node_count; i-- > 0;)
        if (is_pool(in, &flat->nodes[i]) && follow(in, i, &in->head))
            return I3D_OK;
    i3d_fail(error, I3D_UNSUPPORTED,
             "the %s recipe needs an average pool and a classifier at the end", in->recipe->name);
    return i3d_error_hint(error, "--recipe isotropic inflates networks of any form");
}

void i3d_free_head(struct head *head)
{
    free(head->skipped);
}

/* How many frames the pool spans. A clip of one fixed length may leave fewer
 * than the recipe wants (an unpadded pool halves 8 frames to 3); then it takes
 * all there are. With an open length the recipe's number stands. */
static enum i3d_status pool_frames(const struct inflater *in, const char *input, int64_t *frames,
                                   struct i3d_error *error)
{
    *frames = in->recipe->head_frames;
    if (in->options->temporal_padding != I3D_PAD_EDGE)
        return I3D_OK;
    struct i3d_shape clip = i3d_clip_shape(in);
    struct i3d_shapes *shapes;
    enum i3d_status status = i3d_infer_shapes(in->to, NULL, &clip, 1, &shapes, error);
    if (status)
        return status;
    const struct i3d_shape *shape = i3d_shape_of(shapes, input);
    if (shape->rank == 5 && shape->dims[2] > 0 && shape->dims[2] < *frames)
        *frames = shape->dims[2];
    i3d_shapes_free(shapes);
    return I3D_OK;
}

enum i3d_status i3d_inflate_head_pool(struct inflater *in, const struct i3d_node *node,
                                      struct i3d_error *error)
{
    const struct i3d_shape *shape = i3d_flat_shape(in, node->inputs[0]);
    const struct flow *flow = i3d_flow(in, node->inputs[0]);
    if (shape->rank != 4 || shape->dims[2] < 0 || shape->dims[3] < 0 || flow->time != 2)
        return i3d_refuse(node, error, "the size of its feature map is not known");
    const char *input = flow->name ? flow->name : node->inputs[0];
    int64_t kernel[] = { 0, shape->dims[2], shape->dims[3] };
    enum i3d_status status = pool_frames(in, input, &kernel[0], error);
    if (status)
        return status;
    int64_t strides[] = { 1, 1, 1 };
    struct i3d_node *pool;
    bool good = true;
    if (i3d_is(node, "GlobalAveragePool")) {
        pool = i3d_emit(in, "AveragePool", node->name, (const char *[]){ input, NULL },
                        (const char *[]){ node->outputs[0], NULL });
    } else {
        size_t count;
        const int64_t *flat = i3d_ints(node, "kernel_shape", &count);
        if (count != 2)
            return i3d_refuse(node, error, "its kernel_shape does not have two axes");
        kernel[1] = flat[0];
        kernel[2] = flat[1];
        const int64_t *pads = i3d_ints(node, "pads", &count);
        int64_t pads_3d[] = { 0, count == 4 ? pads[0] : 0, count == 4 ? pads[1] : 0,
                              0, count == 4 ? pads[2] : 0, count == 4 ? pads[3] : 0 };
        if (i3d_attribute(node, "auto_pad") && !i3d_string_is(node, "auto_pad", "VALID")
            && !i3d_string_is(node, "auto_pad", "NOTSET"))
            return i3d_refuse(node, error, "the last average pool pads as SAME");
        pool = i3d_emit_copy(in, node);
        if (pool && !i3d_string_is(node, "auto_pad", "VALID"))
            good = i3d_set_ints(in->to, pool, "pads", pads_3d, 6);
        size_t stride_count;
        const int64_t *flat_strides = i3d_ints(node, "strides", &stride_count);
        if (stride_count == 2) {
            strides[1] = flat_strides[0];
            strides[2] = flat_strides[1];
        }
    }
    good = good && pool && i3d_set_ints(in->to, pool, "kernel_shape", kernel, 3)
        && i3d_set_ints(in->to, pool, "strides", strides, 3);
    i3d_flow(in, node->outputs[0])->time = 2;
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* The matrix as a kernel: (classes, C) or its transpose as classes×C×1×1×1. */
static enum i3d_status put_matrix(struct inflater *in, const struct i3d_node *node,
                                  const struct i3d_tensor *weight, const char *name,
                                  struct i3d_error *error)
{
    bool rows_are_classes = i3d_is(node, "Gemm") && i3d_int(node, "transB", 0);
    int64_t classes = weight->dims[rows_are_classes ? 0 : 1];
    int64_t features = weight->dims[rows_are_classes ? 1 : 0];
    if (!classes || !features)
        return i3d_refuse(node, error, "its weight is empty");
    int64_t dims[] = { classes, features, 1, 1, 1 };
    struct i3d_source *source = NULL;
    if (rows_are_classes) {
        source = i3d_source_retain(weight->source);
    } else if (weight->source) {
        struct i3d_view view = { .dtype = weight->dtype, .rank = 2, .dims = { classes, features },
                                 .strides = { 1, classes }, .tap_axis = -1 };
        source = i3d_source_view(weight->source, &view);
    }
    return i3d_put_derived(in->to, name, weight, 5, dims, source, error);
}

static enum i3d_status put_bias(struct inflater *in, const struct i3d_node *node,
                                const struct i3d_tensor *weight, const char *name,
                                struct i3d_error *error)
{
    const struct i3d_tensor *bias = i3d_flat_tensor(in, node->inputs[2]);
    int64_t classes = weight->dims[i3d_int(node, "transB", 0) ? 0 : 1];
    if (!bias || i3d_tensor_elements(bias) != classes)
        return i3d_refuse(node, error, "its bias is not one number per class");
    return i3d_put_derived(in->to, name, bias, 1, &classes, i3d_source_retain(bias->source),
                           error);
}

/* Names must stay free for the tensors as they are, if others read them. */
static const char *private_name(struct inflater *in, const char *tensor, const char *node_output)
{
    size_t readers;
    i3d_index_consumers(in->index, tensor, &readers);
    return readers > 1 ? i3d_join(in, node_output, tensor) : tensor;
}

enum i3d_status i3d_inflate_classifier(struct inflater *in, const struct i3d_node *node,
                                       struct i3d_error *error)
{
    const char *output = node->outputs[0];
    if (is_pointwise(in, node)) /* the mean over time comes with the Squeeze behind it */
        return i3d_inflate_conv(in, (size_t)in->head.classifier, error);

    const struct i3d_tensor *weight = i3d_flat_tensor(in, node->inputs[1]);
    bool biased = i3d_is(node, "Gemm") && node->input_count > 2 && *node->inputs[2];
    const struct flow *flow = i3d_flow(in, node->inputs[0]);
    const char *input = flow->name ? flow->name : node->inputs[0];
    const char *weight_name = private_name(in, weight->name, output);
    const char *bias_name = biased ? private_name(in, node->inputs[2], output) : NULL;
    const char *frames = i3d_join(in, output, "frames");
    const char *mean = i3d_join(in, output, "mean_over_time");
    if (!weight_name || !frames || !mean)
        return i3d_fail_memory(error);
    enum i3d_status status = put_matrix(in, node, weight, weight_name, error);
    if (!status && biased)
        status = put_bias(in, node, weight, bias_name, error);
    if (status)
        return status;
    struct i3d_node *conv = i3d_emit(in, "Conv", node->name,
                                     (const char *[]){ input, weight_name, bias_name, NULL },
                                     (const char *[]){ frames, NULL });
    if (!conv || !i3d_set_ints(in->to, conv, "kernel_shape", (int64_t[]){ 1, 1, 1 }, 3))
        return i3d_fail_memory(error);
    int64_t time_axis = 2;
    status = i3d_emit_axes(in, "ReduceMean", frames, mean, &time_axis, 1, false, error);
    if (status)
        return status;
    struct i3d_node *flatten = i3d_emit(in, "Flatten", output, (const char *[]){ mean, NULL },
                                        (const char *[]){ output, NULL });
    return flatten && i3d_set_int(in->to, flatten, "axis", 1) ? I3D_OK : i3d_fail_memory(error);
}
