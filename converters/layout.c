#include "converters/layout.h"

#include "model/index.h"
#include "model/shape.h"

#include <stdlib.h>
#include <string.h>

bool i3d_parse_layout(const char *text, int axes[3])
{
    static const char letters[] = "DHW";
    int seen = 0;
    if (strlen(text) != 5 || strncmp(text, "NC", 2))
        return false;
    for (int k = 0; k < 3; k++) {
        const char *letter = strchr(letters, text[2 + k]);
        if (!letter || !*letter)
            return false;
        axes[k] = (int)(letter - letters);
        seen |= 1 << axes[k];
    }
    return seen == 7;
}

/* The forms of a value of five axes that the new graph has so far; null: not yet. */
struct forms {
    const char *turned; /* in the new order: the value's own name */
    const char *plain;  /* in the old one */
};

struct pass {
    const struct i3d_model *from;
    const struct i3d_index *index;
    const struct i3d_shapes *shapes;
    struct i3d_model *to;
    const int *axes;
    struct forms *forms; /* by i3d_index_value */
    size_t transposes;
};

static const struct i3d_tensor *tensor_of(const struct pass *pass, const char *name)
{
    int64_t at = i3d_index_tensor(pass->index, name);
    return at == I3D_NOWHERE ? NULL : &pass->from->tensors[at];
}

static bool has_five_axes(const struct pass *pass, const char *name)
{
    return *name && !tensor_of(pass, name) && i3d_shape_of(pass->shapes, name)->rank == 5;
}

/* Whether all of the last three axes that there are have one element. */
static bool is_flat(const struct pass *pass, const char *name)
{
    const struct i3d_tensor *tensor = tensor_of(pass, name);
    const struct i3d_shape *shape = i3d_shape_of(pass->shapes, name);
    int rank = tensor ? tensor->rank : shape->rank;
    const int64_t *dims = tensor ? tensor->dims : shape->dims;
    for (int k = rank - 3 > 0 ? rank - 3 : 0; k < rank; k++)
        if (dims[k] != 1)
            return false;
    return rank >= 0;
}

static const char *transpose(struct pass *pass, const char *from, const char *to, bool turns)
{
    int64_t order[5] = { 0, 1, 2, 3, 4 };
    for (int k = 0; k < 3; k++)
        order[turns ? 2 + k : 2 + pass->axes[k]] = turns ? 2 + pass->axes[k] : 2 + k;
    const char *name = i3d_arena_printf(pass->to->arena, "%s/Transpose", to);
    struct i3d_node *node = name
        ? i3d_model_put_node(pass->to, "Transpose", name, (const char *[]){ from, NULL },
                             (const char *[]){ to, NULL })
        : NULL;
    pass->transposes++;
    return node && i3d_set_ints(pass->to, node, "perm", order, 5) ? to : NULL;
}

static struct forms *forms_of(struct pass *pass, const char *name)
{
    return &pass->forms[i3d_index_value(pass->index, name)];
}

/* The value in the new order, or in the old one; null when memory is short. */
static const char *turned(struct pass *pass, const char *name)
{
    struct forms *forms = forms_of(pass, name);
    if (!forms->turned)
        forms->turned = transpose(pass, forms->plain, name, true);
    return forms->turned;
}

static const char *plain(struct pass *pass, const char *name)
{
    struct forms *forms = forms_of(pass, name);
    if (!forms->plain && is_flat(pass, name))
        forms->plain = forms->turned;
    if (!forms->plain) {
        const char *to = i3d_arena_printf(pass->to->arena, "%s/NCDHW", name);
        forms->plain = to ? transpose(pass, forms->turned, to, false) : NULL;
    }
    return forms->plain;
}

/* Puts a list of three, or of two times three, into the new order. */
static bool turn_ints(struct pass *pass, struct i3d_node *node, const char *name)
{
    size_t count;
    int64_t made[6];
    const int64_t *values = i3d_ints(node, name, &count);
    if (count != 3 && count != 6)
        return true;
    for (size_t i = 0; i < count; i++)
        made[i] = values[i / 3 * 3 + (size_t)pass->axes[i % 3]];
    return i3d_set_ints(pass->to, node, name, made, count);
}

static bool is_one_of(const struct i3d_node *node, const char *const *names)
{
    for (; *names; names++)
        if (i3d_is(node, *names))
            return true;
    return false;
}

/* A kernel in the new order, under a name of its own for each node but the first. */
static const char *turn_kernel(struct pass *pass, const struct i3d_tensor *kernel)
{
    const char *name = kernel->name;
    for (int i = 2; i3d_find_tensor(pass->to, name); i++)
        if (!(name = i3d_arena_printf(pass->to->arena, "%s/%d", kernel->name, i)))
            return NULL;
    struct i3d_view view, old;
    i3d_view_of(kernel, &view);
    old = view;
    for (int k = 0; k < 3; k++) {
        view.dims[2 + k] = old.dims[2 + pass->axes[k]];
        view.strides[2 + k] = old.strides[2 + pass->axes[k]];
    }
    struct i3d_source *source = kernel->source && i3d_tensor_elements(kernel)
        ? i3d_source_view(kernel->source, &view) : i3d_source_copy(NULL, 0);
    return i3d_model_put_tensor(pass->to, name, kernel->dtype, 5, view.dims, source, NULL)
        ? NULL : name;
}

/* Constants with an entry per axis: sizes and factors of Resize, pads of Pad. */
static const char *turn_entries(struct pass *pass, const struct i3d_tensor *entries,
                                const struct i3d_node *node)
{
    size_t count = (size_t)i3d_tensor_elements(entries), size = i3d_dtype_size(entries->dtype);
    unsigned char old[10 * 8], made[10 * 8];
    if (i3d_source_read(entries->source, 0, old, count * size, NULL))
        return NULL;
    memcpy(made, old, sizeof made);
    for (size_t half = 0; half < count; half += 5)
        for (size_t k = 0; k < 3; k++)
            memcpy(made + (half + 2 + k) * size,
                   old + (half + 2 + (size_t)pass->axes[k]) * size, size);
    const char *name = i3d_arena_printf(pass->to->arena, "%s/%s", node->outputs[0],
                                        entries->name);
    return name && !i3d_model_put_tensor(pass->to, name, entries->dtype, 1, entries->dims,
                                         i3d_source_copy(made, count * size), NULL)
        ? name : NULL;
}

enum answer { NO, YES, NO_MEMORY };

/* Names that differ from the old graph's lie in the new one's arena. */
static void rename_input(struct i3d_node *copy, size_t k, const char *name)
{
    if (strcmp(copy->inputs[k], name))
        copy->inputs[k] = name;
}

/* A copy of the node whose inputs of five axes are in the new order; null: memory. */
static struct i3d_node *copy_turned(struct pass *pass, const struct i3d_node *node)
{
    const char *names[64];
    if (node->input_count > 64)
        return NULL;
    for (size_t k = 0; k < node->input_count; k++) {
        names[k] = has_five_axes(pass, node->inputs[k]) ? turned(pass, node->inputs[k])
                                                        : node->inputs[k];
        if (!names[k])
            return NULL;
    }
    struct i3d_node *copy = i3d_model_copy_node(pass->to, node);
    for (size_t k = 0; copy && k < node->input_count; k++)
        rename_input(copy, k, names[k]);
    for (size_t k = 0; k < node->output_count; k++)
        if (has_five_axes(pass, node->outputs[k]))
            forms_of(pass, node->outputs[k])->turned = node->outputs[k];
    return copy;
}

static enum answer turn_window(struct pass *pass, const struct i3d_node *node)
{
    static const char *const operators[] = { "Conv", "ConvTranspose", "MaxPool", "AveragePool",
                                             "LpPool", NULL };
    static const char *const lists[] = { "kernel_shape", "strides", "dilations", "pads",
                                         "output_padding", "output_shape" };
    bool is_conv = i3d_is(node, "Conv") || i3d_is(node, "ConvTranspose");
    const struct i3d_tensor *kernel =
        is_conv && node->input_count > 1 ? tensor_of(pass, node->inputs[1]) : NULL;
    if (!is_one_of(node, operators) || !has_five_axes(pass, node->inputs[0])
        || node->output_count != 1 || (is_conv && (!kernel || kernel->rank != 5)))
        return NO;
    struct i3d_node *copy = copy_turned(pass, node);
    bool good = copy;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && good; i++)
        good = turn_ints(pass, copy, lists[i]);
    if (good && kernel) {
        const char *name = turn_kernel(pass, kernel);
        good = name;
        if (good)
            rename_input(copy, 1, name);
    }
    return good ? YES : NO_MEMORY;
}

/* Functions of each element and broadcasts that do not look at the three axes. */
static enum answer turn_pointwise(struct pass *pass, const struct i3d_node *node)
{
    static const char *const operators[] = {
        "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Elu", "Selu", "Celu", "Softplus",
        "Softsign", "ThresholdedRelu", "HardSigmoid", "HardSwish", "Mish", "Erf", "Gelu", "Exp",
        "Log", "Sqrt", "Abs", "Neg", "Reciprocal", "Floor", "Ceil", "Identity", "Dropout", "Cast",
        "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN",
        "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", NULL };
    static const char *const broadcasts[] = { "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max",
                                              "Sum", "Mean", "PRelu", NULL };
    bool broadcast = is_one_of(node, broadcasts);
    if (!broadcast && !is_one_of(node, operators))
        return NO;
    for (size_t k = 0; k < node->input_count; k++)
        if (broadcast ? !has_five_axes(pass, node->inputs[k]) && !is_flat(pass, node->inputs[k])
                      : !k && !has_five_axes(pass, node->inputs[k]))
            return NO;
    return copy_turned(pass, node) ? YES : NO_MEMORY;
}

/* Operators with one axis. */
static enum answer turn_axis(struct pass *pass, const struct i3d_node *node)
{
    static const char *const operators[] = { "Concat", "Split", "Softmax", "LogSoftmax", NULL };
    if (!is_one_of(node, operators) || !i3d_attribute(node, "axis")
        || (i3d_opset(pass->from) < 13 && i3d_is(node, "Softmax")))
        return NO;
    for (size_t k = 0; k < node->input_count; k++)
        if (!tensor_of(pass, node->inputs[k]) && !has_five_axes(pass, node->inputs[k]))
            return NO;
    if (i3d_is(node, "Concat"))
        for (size_t k = 0; k < node->input_count; k++)
            if (tensor_of(pass, node->inputs[k]))
                return NO;
    int64_t axis = i3d_int(node, "axis", 0);
    axis = axis < 0 ? axis + 5 : axis;
    int64_t to = axis;
    for (int k = 0; k < 3; k++)
        if (pass->axes[k] == axis - 2)
            to = 2 + k;
    struct i3d_node *copy = copy_turned(pass, node);
    return copy && i3d_set_int(pass->to, copy, "axis", to) ? YES : NO_MEMORY;
}

/* Reductions over all three axes, whose order then does not matter. */
static enum answer turn_reduction(struct pass *pass, const struct i3d_node *node)
{
    size_t count;
    int64_t numbers[I3D_MAX_RANK];
    if (strncmp(node->op_type, "Reduce", 6) || !has_five_axes(pass, node->inputs[0]))
        return NO;
    const int64_t *axes = i3d_ints(node, "axes", &count);
    const struct i3d_tensor *given = node->input_count > 1 ? tensor_of(pass, node->inputs[1])
                                                           : NULL;
    if (given && given->dtype == I3D_INT64 && given->rank == 1 && given->dims[0] <= I3D_MAX_RANK) {
        count = (size_t)given->dims[0];
        if (i3d_source_read(given->source, 0, numbers, count * sizeof *numbers, NULL))
            return NO;
        axes = numbers;
    }
    int spatial = 0;
    for (size_t i = 0; i < count; i++)
        spatial += (axes[i] < 0 ? axes[i] + 5 : axes[i]) >= 2;
    return spatial != 3 ? NO : copy_turned(pass, node) ? YES : NO_MEMORY;
}

static enum answer turn_resize(struct pass *pass, const struct i3d_node *node)
{
    bool pads = i3d_is(node, "Pad");
    if (!(pads || i3d_is(node, "Resize") || i3d_is(node, "Upsample"))
        || !has_five_axes(pass, node->inputs[0]) || i3d_attribute(node, "axes")
        || i3d_attribute(node, "pads") || i3d_attribute(node, "scales"))
        return NO;
    size_t last = pads ? 1 : node->input_count - 1;
    for (size_t k = 1; k <= last; k++) {
        const struct i3d_tensor *entries =
            *node->inputs[k] ? tensor_of(pass, node->inputs[k]) : NULL;
        int64_t wanted = pads ? 10 : 5;
        if (*node->inputs[k] && (!entries || entries->rank != 1 || !entries->source
                                 || (entries->dims[0] && entries->dims[0] != wanted)))
            return NO;
    }
    if (pads && node->input_count > 3)
        return NO;
    struct i3d_node *copy = copy_turned(pass, node);
    for (size_t k = 1; copy && k <= last; k++) {
        const struct i3d_tensor *entries =
            *node->inputs[k] ? tensor_of(pass, node->inputs[k]) : NULL;
        if (!entries || !entries->dims[0])
            continue;
        copy->inputs[k] = turn_entries(pass, entries, node);
        if (!copy->inputs[k])
            return NO_MEMORY;
    }
    return copy ? YES : NO_MEMORY;
}

/* Everything else sees the old order. */
static bool keep_order(struct pass *pass, const struct i3d_node *node)
{
    const char *names[64];
    if (node->input_count > 64)
        return false;
    for (size_t k = 0; k < node->input_count; k++) {
        names[k] = has_five_axes(pass, node->inputs[k]) ? plain(pass, node->inputs[k])
                                                        : node->inputs[k];
        if (!names[k])
            return false;
    }
    struct i3d_node *copy = i3d_model_copy_node(pass->to, node);
    for (size_t k = 0; copy && k < node->input_count; k++)
        rename_input(copy, k, names[k]);
    for (size_t k = 0; copy && k < node->output_count; k++) {
        if (!has_five_axes(pass, node->outputs[k]))
            continue;
        struct forms *forms = forms_of(pass, node->outputs[k]);
        if (is_flat(pass, node->outputs[k])) {
            *forms = (struct forms){ node->outputs[k], node->outputs[k] };
            continue;
        }
        forms->plain = i3d_arena_printf(pass->to->arena, "%s/NCDHW", node->outputs[k]);
        copy->outputs[k] = forms->plain;
        if (!forms->plain)
            return false;
    }
    return copy;
}

static enum i3d_status change_node(struct pass *pass, const struct i3d_node *node,
                                   struct i3d_error *error)
{
    typedef enum answer rule(struct pass *pass, const struct i3d_node *node);
    static rule *const rules[] = { turn_window, turn_pointwise, turn_axis, turn_reduction,
                                   turn_resize };
    for (size_t k = 0; k < node->output_count; k++)
        if (*node->outputs[k] && i3d_shape_of(pass->shapes, node->outputs[k])->rank < 0) {
            i3d_fail(error, I3D_UNSUPPORTED, "how many axes its result has is not known");
            return i3d_error_where(error, "node %s (%s)", *node->name ? node->name
                                   : node->outputs[0], node->op_type);
        }
    if (node->input_count)
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
            enum answer answer = rules[i](pass, node);
            if (answer != NO)
                return answer == YES ? I3D_OK : i3d_fail_memory(error);
        }
    return keep_order(pass, node) ? I3D_OK : i3d_fail_memory(error);
}

/* Inputs, outputs and metadata; tensors that are read as they are follow later. */
static enum i3d_status begin(struct pass *pass, struct i3d_error *error)
{
    struct i3d_model bare = *pass->from, *whole;
    bare.node_count = bare.tensor_count = bare.value_count = 0;
    enum i3d_status status = i3d_model_copy(&bare, &whole, error);
    if (status)
        return status;
    pass->to = whole;
    for (size_t i = 0; i < whole->input_count; i++) {
        struct i3d_value *input = &whole->inputs[i], old = *input;
        if (input->rank != 5)
            continue;
        for (int k = 0; k < 3; k++)
            input->dims[2 + k] = old.dims[2 + pass->axes[k]];
        forms_of(pass, input->name)->turned = input->name;
    }
    for (int k = 0; k < 3; k++)
        if (pass->axes[k] == 0)
            whole->time_axis = 2 + k;
    return I3D_OK;
}

static enum i3d_status end(struct pass *pass, struct i3d_error *error)
{
    for (size_t i = 0; i < pass->to->output_count; i++) {
        struct i3d_value *output = &pass->to->outputs[i], old = *output;
        if (!has_five_axes(pass, output->name))
            continue;
        if (!turned(pass, pass->from->outputs[i].name))
            return i3d_fail_memory(error);
        for (int k = 0; k < 3 && output->rank == 5; k++)
            output->dims[2 + k] = old.dims[2 + pass->axes[k]];
    }
    struct i3d_index *index = i3d_index_new(pass->to);
    if (!index)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < pass->from->tensor_count && !status; i++) {
        const struct i3d_tensor *tensor = &pass->from->tensors[i];
        size_t readers;
        i3d_index_consumers(index, tensor->name, &readers);
        if (readers && i3d_index_tensor(index, tensor->name) == I3D_NOWHERE
            && !i3d_model_copy_tensor(pass->to, tensor))
            status = i3d_fail_memory(error);
    }
    i3d_index_free(index);
    return status;
}

enum i3d_status i3d_change_layout(const struct i3d_model *model, const int axes[3],
                                  struct i3d_model **made, size_t *transposes,
                                  struct i3d_error *error)
{
    struct i3d_index *index = i3d_index_new(model);
    struct i3d_shapes *shapes = NULL;
    struct pass pass = { .from = model, .index = index, .axes = axes };
    *made = NULL;
    enum i3d_status status = index ? i3d_infer_shapes(model, index, NULL, 0, &shapes, error)
                                   : i3d_fail_memory(error);
    pass.shapes = shapes;
    if (!status) {
        pass.forms = calloc(i3d_index_value_count(index) + 1, sizeof *pass.forms);
        status = pass.forms ? begin(&pass, error) : i3d_fail_memory(error);
    }
    for (size_t i = 0; i < model->node_count && !status; i++)
        status = change_node(&pass, &model->nodes[i], error);
    if (!status)
        status = end(&pass, error);
    *transposes = pass.transposes;
    free(pass.forms);
    if (shapes)
        i3d_shapes_free(shapes);
    i3d_index_free(index);
    if (status)
        i3d_model_free(pass.to);
    else
        *made = pass.to;
    return status;
}
