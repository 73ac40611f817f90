#include "converters/inflater.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flow *i3d_flow(const struct inflater *in, const char *value)
{
    static const struct flow none = { .time = -1 };
    int64_t position = i3d_index_value(in->index, value);
    return position == I3D_NOWHERE ? (struct flow *)&none : &in->flows[position];
}

const struct i3d_tensor *i3d_flat_tensor(const struct inflater *in, const char *name)
{
    int64_t position = i3d_index_tensor(in->index, name);
    return position == I3D_NOWHERE ? NULL : &in->flat->tensors[position];
}

const struct i3d_shape *i3d_flat_shape(const struct inflater *in, const char *value)
{
    return i3d_shape_of(in->shapes, value);
}

const char *i3d_join(struct inflater *in, const char *name, const char *suffix)
{
    return i3d_arena_printf(in->to->arena, "%s/%s", name, suffix);
}

enum i3d_status i3d_refuse(const struct i3d_node *node, struct i3d_error *error,
                           const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    i3d_fail(error, I3D_UNSUPPORTED, "cannot be inflated: %s", reason);
    return i3d_error_where(error, "node %s (%s)",
                           *node->name || !node->output_count ? node->name : node->outputs[0],
                           node->op_type);
}

struct i3d_node *i3d_emit_copy(struct inflater *in, const struct i3d_node *node)
{
    struct i3d_node *copy = i3d_model_copy_node(in->to, node);
    for (size_t k = 0; copy && k < copy->input_count; k++) {
        const struct flow *flow = i3d_flow(in, node->inputs[k]);
        int64_t tensor = i3d_index_tensor(in->index, node->inputs[k]);
        if (flow->name)
            copy->inputs[k] = flow->name;
        if (tensor != I3D_NOWHERE)
            in->tensor_used[tensor] = true;
    }
    return copy;
}

struct i3d_node *i3d_emit_copy_but(struct inflater *in, const struct i3d_node *node, size_t k)
{
    int64_t tensor = k < node->input_count ? i3d_index_tensor(in->index, node->inputs[k])
                                           : I3D_NOWHERE;
    bool used = tensor != I3D_NOWHERE && in->tensor_used[tensor];
    struct i3d_node *copy = i3d_emit_copy(in, node);
    if (tensor != I3D_NOWHERE)
        in->tensor_used[tensor] = used;
    return copy;
}

void i3d_mark_used(struct inflater *in, const char *tensor)
{
    int64_t position = i3d_index_tensor(in->index, tensor);
    if (position != I3D_NOWHERE)
        in->tensor_used[position] = true;
}

const char *i3d_emitted(const struct inflater *in, const char *value)
{
    const struct flow *flow = i3d_flow(in, value);
    return flow->name ? flow->name : value;
}

struct i3d_node *i3d_emit(struct inflater *in, const char *op_type, const char *name,
                          const char *const *inputs, const char *const *outputs)
{
    return i3d_model_put_node(in->to, op_type, name, inputs, outputs);
}

enum i3d_status i3d_emit_ints(struct inflater *in, const char *name, const int64_t *values,
                              int64_t count, struct i3d_error *error)
{
    return i3d_model_put_ints(in->to, name, 1, &count, values, error);
}

enum i3d_status i3d_emit_axes(struct inflater *in, const char *op_type, const char *input,
                              const char *output, const int64_t *axes, int64_t count,
                              bool keepdims, struct i3d_error *error)
{
    bool reduces = !strncmp(op_type, "Reduce", 6);
    bool as_input = in->opset >= (reduces && strcmp(op_type, "ReduceSum") ? 18 : 13);
    const char *axes_name = as_input ? i3d_join(in, output, "axes") : NULL;
    if (as_input && !axes_name)
        return i3d_fail_memory(error);
    enum i3d_status status = as_input ? i3d_emit_ints(in, axes_name, axes, count, error) : I3D_OK;
    if (status)
        return status;
    struct i3d_node *node = i3d_emit(in, op_type, output,
                                     (const char *[]){ input, axes_name, NULL },
                                     (const char *[]){ output, NULL });
    bool good = node && (as_input || i3d_set_ints(in->to, node, "axes", axes, (size_t)count))
        && (!reduces || i3d_set_int(in->to, node, "keepdims", keepdims));
    return good ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_read_numbers(const struct inflater *in, const struct i3d_node *node,
                                 const char *attribute, size_t input, int64_t *numbers,
                                 int *count, struct i3d_error *error)
{
    size_t stated = 0;
    const int64_t *values = attribute ? i3d_ints(node, attribute, &stated) : NULL;
    const bool *known = NULL;
    *count = -1;
    if (values) {
        *count = (int)(stated < INT32_MAX ? stated : INT32_MAX);
    } else if (node->input_count > input && *node->inputs[input]) {
        values = i3d_known_ints(in->shapes, node->inputs[input], count, &known);
        if (!values)
            return i3d_refuse(node, error, "input %zu is computed from the image", input);
    } else {
        return I3D_OK;
    }
    if (*count > 2 * I3D_MAX_RANK)
        return i3d_refuse(node, error, "it has more numbers than axes");
    for (int i = 0; i < *count; i++) {
        if (known && !known[i])
            return i3d_refuse(node, error, "input %zu depends on the size of the input", input);
        numbers[i] = values[i];
    }
    return I3D_OK;
}

enum i3d_status i3d_emit_mean_over_time(struct inflater *in, const struct i3d_node *node,
                                        size_t k, const char **name, struct i3d_error *error)
{
    const struct flow *flow = i3d_flow(in, node->inputs[k]);
    const char *input = i3d_emitted(in, node->inputs[k]);
    int64_t axis = flow->time;
    *name = input;
    if (flow->time < 0)
        return I3D_OK;
    *name = i3d_arena_printf(in->to->arena, "%s/input_%zu_mean_over_time", node->outputs[0], k);
    if (!*name)
        return i3d_fail_memory(error);
    return i3d_emit_axes(in, "ReduceMean", input, *name, &axis, 1, false, error);
}

enum i3d_status i3d_read_axes(const struct inflater *in, const struct i3d_node *node, int rank,
                              int64_t axes[I3D_MAX_RANK], int *count, struct i3d_error *error)
{
    size_t attribute_count;
    const int64_t *attribute = i3d_ints(node, "axes", &attribute_count);
    *count = 0;
    if (attribute) {
        if (attribute_count > I3D_MAX_RANK)
            return i3d_refuse(node, error, "it has too many axes");
        *count = (int)attribute_count;
        memcpy(axes, attribute, attribute_count * sizeof *axes);
    } else if (node->input_count > 1 && *node->inputs[1]) {
        const bool *known;
        const int64_t *values = i3d_known_ints(in->shapes, node->inputs[1], count, &known);
        if (!values || *count > I3D_MAX_RANK)
            return i3d_refuse(node, error, "its axes are computed, not stored");
        for (int i = 0; i < *count; i++)
            if (!known[i])
                return i3d_refuse(node, error, "its axes are computed, not stored");
        memcpy(axes, values, (size_t)*count * sizeof *axes);
    }
    for (int i = 0; i < *count; i++) {
        if (axes[i] < 0)
            axes[i] += rank;
        if (axes[i] < 0 || axes[i] >= rank)
            return i3d_refuse(node, error, "axis %lld is outside its input", (long long)axes[i]);
    }
    return I3D_OK;
}

/* The shape of the 2D input with what it leaves open filled in. */
static struct i3d_shape input_shape(const struct i3d_value *input,
                                    const struct i3d_inflate_options *options)
{
    struct i3d_shape shape = { .dtype = input->dtype, .rank = input->rank };
    for (int k = 0; k < input->rank; k++)
        shape.dims[k] = input->dims[k].value;
    bool channels_last = shape.rank == 4 && shape.dims[3] > 0 && shape.dims[3] <= 4
        && (shape.dims[1] < 0 || shape.dims[1] > 4);
    int first = channels_last ? 1 : 2;
    if (shape.rank == 4) {
        if (shape.dims[first] < 0)
            shape.dims[first] = options->height;
        if (shape.dims[first + 1] < 0)
            shape.dims[first + 1] = options->width;
    }
    return shape;
}

struct i3d_shape i3d_clip_shape(const struct inflater *in)
{
    struct i3d_shape flat = input_shape(&in->flat->inputs[0], in->options);
    const struct i3d_dim *declared = in->to->inputs[0].dims;
    struct i3d_shape clip = { .dtype = flat.dtype, .rank = 5 };
    for (int k = 0, from = 0; k < 5; k++) {
        bool time = k == in->to->time_axis;
        clip.dims[k] = time ? in->options->frames : flat.dims[from++];
    }
    if (in->to->time_axis == 2)
        clip.dims[1] = declared[1].value;
    return clip;
}

/* Exports from channels-last frameworks take N×H×W×C and turn it first: time then goes
 * ahead of height there too. */
static int input_time(const struct inflater *in, const char *input)
{
    size_t readers, count;
    const size_t *positions = i3d_index_consumers(in->index, input, &readers);
    for (size_t i = 0; i < readers; i++) {
        const struct i3d_node *node = &in->flat->nodes[positions[i]];
        const int64_t *perm = i3d_ints(node, "perm", &count);
        if (!i3d_is(node, "Transpose") || count != 4 || perm[1] != 3)
            return 2;
    }
    return readers ? 1 : 2;
}

/* Finds the image among the inputs, gives it a time axis and declares it. */
static enum i3d_status inflate_inputs(struct inflater *in, struct i3d_error *error)
{
    int64_t asked = in->options->in_channels;
    if (!asked && in->options->stream == I3D_FLOW)
        asked = 2;
    if (in->flat->input_count != 1)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "the network has %zu inputs; one image can be inflated",
                        in->flat->input_count);
    const struct i3d_value *flat = &in->flat->inputs[0];
    if (flat->rank != 4) {
        i3d_fail(error, I3D_UNSUPPORTED, "the input is no N×C×H×W image");
        return i3d_error_where(error, "input %s", flat->name);
    }
    struct i3d_value *input = i3d_model_add_input(in->to);
    if (!input)
        return i3d_fail_memory(error);
    input->name = i3d_arena_string(in->to->arena, flat->name);
    input->dtype = flat->dtype;
    input->rank = 5;
    int time = input_time(in, flat->name);
    if (asked && time != 2)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "the network takes N×H×W×C; its channels cannot be changed");
    for (int k = 0, from = 0; k < 5; k++) {
        if (k == time) {
            input->dims[k] = (struct i3d_dim){ -1, "frames" };
            if (in->options->temporal_padding == I3D_PAD_EDGE)
                input->dims[k] = (struct i3d_dim){ in->options->frames, NULL };
            continue;
        }
        const struct i3d_dim *dim = &flat->dims[from++];
        input->dims[k].value = dim->value;
        if (dim->name)
            input->dims[k].name = i3d_arena_string(in->to->arena, dim->name);
    }
    if (asked)
        input->dims[1] = (struct i3d_dim){ asked, NULL };
    *i3d_flow(in, flat->name) = (struct flow){ .time = time, .spatial = 2 };
    in->to->time_axis = time;
    return input->name ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status inflate_outputs(struct inflater *in, struct i3d_error *error)
{
    for (size_t i = 0; i < in->flat->output_count; i++) {
        const struct i3d_value *flat = &in->flat->outputs[i];
        const struct flow *flow = i3d_flow(in, flat->name);
        if (flow->numbers || flow->merged_from) {
            i3d_fail(error, I3D_UNSUPPORTED, "cannot be inflated: it is a size, or merged with "
                                             "time");
            return i3d_error_where(error, "output %s", flat->name);
        }
        struct i3d_value *output = i3d_model_add_output(in->to);
        if (!output)
            return i3d_fail_memory(error);
        output->name = i3d_arena_string(in->to->arena, flow->name ? flow->name : flat->name);
        if (!output->name)
            return i3d_fail_memory(error);
        output->dtype = flat->dtype;
        if (flat->rank < 0 || flat->rank + (flow->time >= 0) > I3D_MAX_RANK)
            continue;
        output->rank = flat->rank + (flow->time >= 0);
        for (int k = 0, from = 0; k < output->rank; k++) {
            if (k == flow->time) {
                output->dims[k] = (struct i3d_dim){ flow->single ? 1 : -1, NULL };
                continue;
            }
            const struct i3d_dim *dim = &flat->dims[from++];
            output->dims[k].value = dim->value;
            if (dim->name)
                output->dims[k].name = i3d_arena_string(in->to->arena, dim->name);
        }
    }
    return I3D_OK;
}

static bool reads_time(const struct inflater *in, const struct i3d_node *node)
{
    for (size_t k = 0; k < node->input_count; k++)
        if (i3d_flow(in, node->inputs[k])->time >= 0)
            return true;
    return false;
}

static bool holds_graph(const struct i3d_node *node)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (node->attributes[i].type == I3D_ATTRIBUTE_GRAPH)
            return true;
    return false;
}

/* A node that moves behind the classifier: its output is its input for now. */
static enum i3d_status skip_node(struct inflater *in, const struct i3d_node *node,
                                 struct i3d_error *error)
{
    const struct flow *flow = i3d_flow(in, node->inputs[0]);
    const char *name =
        i3d_arena_string(in->to->arena, flow->name ? flow->name : node->inputs[0]);
    *i3d_flow(in, node->outputs[0]) = (struct flow){ .time = 2, .spatial = 2, .name = name };
    return name ? I3D_OK : i3d_fail_memory(error);
}

/* Whether a node only computes with sizes: the sizes of the 2D values are known. */
static bool is_about_sizes(const struct inflater *in, const struct i3d_node *node)
{
    if (!node->input_count || !node->output_count)
        return false;
    if ((i3d_is(node, "Shape") || i3d_is(node, "Size"))
        && i3d_flow(in, node->inputs[0])->time >= 0)
        return true;
    bool any = false;
    for (size_t k = 0; k < node->input_count; k++) {
        if (i3d_flow(in, node->inputs[k])->time >= 0)
            return false;
        any |= i3d_flow(in, node->inputs[k])->numbers;
    }
    int count;
    const bool *known;
    return any && i3d_known_ints(in->shapes, node->outputs[0], &count, &known);
}

/* Writes the numbers that a node reads as data, as they are in 2D. */
static enum i3d_status settle_numbers(struct inflater *in, const struct i3d_node *node,
                                      struct i3d_error *error)
{
    for (size_t k = 0; k < node->input_count; k++) {
        struct flow *flow = i3d_flow(in, node->inputs[k]);
        int count;
        const bool *known;
        if (!flow->numbers || (k && i3d_takes_numbers(node)))
            continue;
        const struct i3d_shape *shape = i3d_flat_shape(in, node->inputs[k]);
        const int64_t *values = i3d_known_ints(in->shapes, node->inputs[k], &count, &known);
        for (int i = 0; i < count && values; i++)
            if (!known[i])
                values = NULL;
        if (!values || shape->rank < 0)
            return i3d_refuse(node, error, "it computes with a size that is not fixed");
        int64_t one = count;
        enum i3d_status status = i3d_model_put_ints(in->to, node->inputs[k], shape->rank, &one,
                                                    values, error);
        if (status)
            return status;
        flow->numbers = false;
    }
    return I3D_OK;
}

/* A value that was merged with time can only be normalised and parted again. */
static bool reads_merged(const struct inflater *in, const struct i3d_node *node)
{
    for (size_t k = 0; k < node->input_count; k++)
        if (i3d_flow(in, node->inputs[k])->merged_from)
            return !i3d_is(node, "Reshape") && !i3d_is(node, "InstanceNormalization");
    return false;
}

static enum i3d_status inflate_other(struct inflater *in, size_t position,
                                     struct i3d_error *error)
{
    const struct i3d_node *node = &in->flat->nodes[position];
    enum i3d_status status = settle_numbers(in, node, error);
    if (status)
        return status;
    if (reads_merged(in, node))
        return i3d_refuse(node, error, "its input has time merged into another axis");
    if (reads_time(in, node))
        return i3d_inflate_node(in, position, error);
    return i3d_emit_copy(in, node) ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status inflate_nodes(struct inflater *in, struct i3d_error *error)
{
    for (size_t i = 0; i < in->flat->node_count; i++) {
        const struct i3d_node *node = &in->flat->nodes[i];
        enum i3d_status status = I3D_OK;
        if (holds_graph(node)) /* its body may read any value */
            status = i3d_refuse(node, error, "it holds a graph of its own");
        else if (in->head.pool >= 0 && in->head.skipped[i])
            status = skip_node(in, node, error);
        else if ((int64_t)i == in->head.pool)
            status = i3d_inflate_head_pool(in, node, error);
        else if ((int64_t)i == in->head.classifier)
            status = i3d_inflate_classifier(in, node, error);
        else if (i3d_fills_like_video(in, node))
            status = i3d_fill_like_video(in, node, error);
        else if (is_about_sizes(in, node))
            for (size_t k = 0; k < node->output_count; k++)
                i3d_flow(in, node->outputs[k])->numbers = true;
        else
            status = inflate_other(in, i, error);
        if (!status)
            status = i3d_insert_behind(in, i, error);
        if (status)
            return status;
    }
    return I3D_OK;
}

/* Tensors that nodes read as they are, in the order of the 2D file. */
static enum i3d_status copy_tensors(struct inflater *in, struct i3d_error *error)
{
    for (size_t i = 0; i < in->flat->tensor_count; i++)
        if (in->tensor_used[i] && !i3d_model_copy_tensor(in->to, &in->flat->tensors[i]))
            return i3d_fail_memory(error);
    return I3D_OK;
}

static enum i3d_status describe(struct inflater *in, struct i3d_error *error)
{
    struct i3d_model *to = in->to;
    bool good = true;
    for (size_t i = 0; i < in->flat->opset_count; i++)
        good &= i3d_set_opset(to, in->flat->opsets[i].domain, in->flat->opsets[i].version);
    for (size_t i = 0; i < in->flat->metadata_count; i++) {
        const struct i3d_pair *pair = &in->flat->metadata[i];
        if (strcmp(pair->key, "i3dconv.dialect")) /* of the 2D file's names */
            good &= i3d_set_metadata(to, pair->key, pair->value);
    }
    to->ir_version = in->flat->ir_version;
    to->name = i3d_arena_string(to->arena, in->flat->name);
    to->producer = "i3dconv";
    return good && to->name && i3d_note_inflation(to, in->recipe, in->options)
        ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status inflate_graph(struct inflater *in, struct i3d_error *error)
{
    enum i3d_status status = describe(in, error);
    if (!status)
        status = inflate_inputs(in, error);
    if (!status)
        status = i3d_recipe_fits(in->recipe, in->layers, in->flat->node_count, error);
    if (!status && in->recipe->head_frames)
        status = i3d_find_head(in, error);
    if (!status)
        status = inflate_nodes(in, error);
    if (!status)
        status = copy_tensors(in, error);
    if (!status)
        status = inflate_outputs(in, error);
    if (status || in->options->temporal_padding != I3D_PAD_EDGE)
        return status;
    struct i3d_shape clip = i3d_clip_shape(in);
    return i3d_pad_time_with_edges(in->to, &clip, error);
}

static enum i3d_status inflate_flat(struct i3d_model *flat,
                                    const struct i3d_inflate_options *options,
                                    const struct i3d_recipe *recipe, struct i3d_model *to,
                                    struct i3d_error *error)
{
    struct inflater in = { .flat = flat, .options = options, .recipe = recipe, .to = to,
                           .head = { -1, -1, NULL }, .opset = i3d_opset(flat) };
    struct i3d_index *index = i3d_index_new(flat);
    struct i3d_shapes *shapes = NULL;
    enum i3d_status status = index ? I3D_OK : i3d_fail_memory(error);
    if (!status) {
        struct i3d_shape *inputs = calloc(flat->input_count + 1, sizeof *inputs);
        for (size_t i = 0; inputs && i < flat->input_count; i++)
            inputs[i] = input_shape(&flat->inputs[i], options);
        status = inputs ? i3d_infer_shapes(flat, index, inputs, flat->input_count, &shapes, error)
                        : i3d_fail_memory(error);
        free(inputs);
    }
    if (!status)
        status = i3d_settle_transposed_pads(flat, shapes, error);
    if (!status) {
        size_t values = i3d_index_value_count(index);
        in.index = index;
        in.shapes = shapes;
        in.flows = calloc(values + 1, sizeof *in.flows);
        in.tensor_used = calloc(flat->tensor_count + 1, sizeof *in.tensor_used);
        for (size_t i = 0; in.flows && i < values; i++)
            in.flows[i].time = -1;
        status = in.flows && in.tensor_used
            ? i3d_layers_of_graph(flat, index, to->arena, &in.layers, error)
            : i3d_fail_memory(error);
        if (!status)
            status = inflate_graph(&in, error);
    }
    i3d_free_head(&in.head);
    free(in.flows);
    free(in.tensor_used);
    free(in.layers);
    if (shapes)
        i3d_shapes_free(shapes);
    i3d_index_free(index);
    return status;
}

/* Gives a 2D graph another image size; what it says of its values no longer holds. */
static void resize_image(struct i3d_model *flat, int64_t height, int64_t width)
{
    if (flat->input_count != 1 || flat->inputs[0].rank != 4)
        return;
    flat->inputs[0].dims[2] = (struct i3d_dim){ height, NULL };
    flat->inputs[0].dims[3] = (struct i3d_dim){ width, NULL };
    flat->value_count = 0;
    for (size_t i = 0; i < flat->output_count; i++)
        for (int k = 2; k < flat->outputs[i].rank; k++)
            flat->outputs[i].dims[k] = (struct i3d_dim){ -1, NULL };
}

enum i3d_status i3d_inflate(const struct i3d_model *model,
                            const struct i3d_inflate_options *options,
                            struct i3d_model **inflated, struct i3d_error *error)
{
    *inflated = NULL;
    if (!model->node_count)
        return i3d_fail(error, I3D_UNSUPPORTED, "the file holds weights but no graph");
    if (model->time_axis >= 0)
        return i3d_fail(error, I3D_UNSUPPORTED, "the network already has a time axis");
    struct i3d_inflate_options filled = *options;
    filled.frames = filled.frames ? filled.frames : 64;
    filled.height = filled.height ? filled.height : 224;
    filled.width = filled.width ? filled.width : 224;

    struct i3d_model *flat = NULL;
    struct i3d_recipe *builtin = NULL;
    enum i3d_status status =
        options->rules ? I3D_OK : i3d_recipe_builtin(options->recipe, &builtin, error);
    if (!status)
        status = i3d_model_copy(model, &flat, error);
    if (status) {
        i3d_recipe_free(builtin);
        return status;
    }
    if (filled.resize)
        resize_image(flat, filled.height, filled.width);
    const struct i3d_recipe *recipe = builtin ? builtin : options->rules;
    struct i3d_model *to = i3d_model_new();
    status = to ? i3d_resolve_constants(flat, error) : i3d_fail_memory(error);
    if (!status)
        status = inflate_flat(flat, &filled, recipe, to, error);
    i3d_recipe_free(builtin);
    i3d_model_free(flat);
    if (status)
        i3d_model_free(to);
    else
        *inflated = to;
    return status;
}
