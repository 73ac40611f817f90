#include "verify/structure.h"

#include <stdlib.h>
#include <string.h>

const struct i3d_tensor *i3d_structure_tensor(const struct i3d_structure *structure,
                                              const char *name)
{
    int64_t position = i3d_index_tensor(structure->index, name);
    return position == I3D_NOWHERE ? NULL : &structure->model->tensors[position];
}

static bool is_one_of(const struct i3d_node *node, const char *const *names)
{
    for (; *names; names++)
        if (i3d_is(node, *names))
            return true;
    return false;
}

/* ReduceMean over axis 2 and no other: the head of I3D, where axis 2 is time. */
static bool averages_time_alone(const struct i3d_structure *structure,
                                const struct i3d_node *node)
{
    int rank = i3d_shape_of(structure->shapes, node->inputs[0])->rank, known_count = 0;
    size_t count;
    const int64_t *axes = i3d_ints(node, "axes", &count);
    if (!axes && node->input_count > 1) {
        const bool *known;
        axes = i3d_known_ints(structure->shapes, node->inputs[1], &known_count, &known);
        count = axes && known_count == 1 && known[0] ? 1 : 0;
    }
    return structure->timed && count == 1 && rank >= 3 && (axes[0] == 2 || axes[0] + rank == 2);
}

bool i3d_is_transparent(const struct i3d_structure *structure, const struct i3d_node *node)
{
    static const char *const names[] = { "Identity", "Dropout", "Cast",    "Reshape",  "Flatten",
                                         "Squeeze",  "Unsqueeze", "Pad",     "Expand", NULL };
    if (!node->input_count)
        return false;
    return is_one_of(node, names)
        || (i3d_is(node, "ReduceMean") && averages_time_alone(structure, node));
}

bool i3d_is_softmax(const struct i3d_node *node)
{
    return (i3d_is(node, "Softmax") || i3d_is(node, "LogSoftmax")) && node->input_count;
}

/* Whether the last two entries of a list are all this number, or it is not there. */
static bool ends_with_two(const struct i3d_node *node, const char *name, int64_t number)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return !values || (count >= 2 && values[count - 1] == number && values[count - 2] == number);
}

bool i3d_is_temporal_pool(const struct i3d_node *node)
{
    size_t count;
    if (!(i3d_is(node, "MaxPool") || i3d_is(node, "AveragePool")) || !node->input_count)
        return false;
    const int64_t *pads = i3d_ints(node, "pads", &count);
    for (size_t k = 0; k < count; k++)
        if (pads[k] && (count != 6 || k % 3))
            return false;
    i3d_ints(node, "kernel_shape", &count);
    return count && ends_with_two(node, "kernel_shape", 1) && ends_with_two(node, "strides", 1);
}

/* The kind of layer that a node is, named after an operator. */
static const char *kind_of(const struct i3d_structure *structure, const struct i3d_node *node)
{
    static const struct {
        const char *op_type, *kind;
    } kinds[] = {
        { "Gemm", "Conv" },
        { "GlobalAveragePool", "AveragePool" },
        { "ReduceMean", "AveragePool" },
        { "GlobalMaxPool", "MaxPool" },
        { "ReduceMax", "MaxPool" },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (i3d_is(node, kinds[i].op_type))
            return kinds[i].kind;
    if (i3d_is(node, "MatMul") && node->input_count > 1
        && i3d_structure_tensor(structure, node->inputs[1]))
        return "Conv";
    return node->op_type;
}

bool i3d_is_kernel(const struct i3d_structure *structure, const struct i3d_node *node)
{
    if (node->input_count < 2 || !i3d_is(node, node->op_type))
        return false;
    const char *kind = kind_of(structure, node);
    return !strcmp(kind, "Conv") || !strcmp(kind, "ConvTranspose");
}

size_t i3d_data_inputs(const struct i3d_structure *structure, const struct i3d_node *node)
{
    static const char *const all[] = { "Add", "Sub",    "Mul",  "Div",    "Pow",   "Sum", "Min",
                                       "Max", "Concat", "Mean", "MatMul", "PRelu", "Where", NULL };
    if (is_one_of(node, all) && !i3d_is_kernel(structure, node))
        return node->input_count;
    return node->input_count ? 1 : 0;
}

bool i3d_same_kind(const struct i3d_structure *a, const struct i3d_node *node_a,
                   const struct i3d_structure *b, const struct i3d_node *node_b)
{
    bool own = i3d_is(node_a, node_a->op_type);
    if (own != i3d_is(node_b, node_b->op_type)
        || (!own && strcmp(node_a->domain, node_b->domain)))
        return false;
    return !strcmp(kind_of(a, node_a), kind_of(b, node_b))
        && i3d_data_inputs(a, node_a) == i3d_data_inputs(b, node_b);
}

static struct i3d_origin produced_by(const struct i3d_structure *structure, const char *value)
{
    struct i3d_origin origin = { .node = i3d_index_producer(structure->index, value) };
    if (origin.node < 0) {
        origin.tensor = i3d_index_tensor(structure->index, value) != I3D_NOWHERE;
        return origin;
    }
    const struct i3d_node *node = &structure->model->nodes[origin.node];
    while (origin.output + 1 < node->output_count && strcmp(node->outputs[origin.output], value))
        origin.output++;
    return origin;
}

struct i3d_origin i3d_origin_of(const struct i3d_structure *structure, const char *value)
{
    struct i3d_origin origin = produced_by(structure, value);
    return origin.node < 0 || origin.output ? origin : structure->origins[origin.node];
}

static bool is_graph_output(const struct i3d_model *model, const char *value)
{
    for (size_t i = 0; i < model->output_count; i++)
        if (!strcmp(model->outputs[i].name, value))
            return true;
    return false;
}

int64_t i3d_kernel_under(const struct i3d_structure *structure, const struct i3d_node *node)
{
    if (!i3d_is(node, "BatchNormalization") || node->input_count < 5)
        return -1;
    struct i3d_origin origin = i3d_origin_of(structure, node->inputs[0]);
    if (origin.node < 0)
        return -1;
    const struct i3d_node *kernel = &structure->model->nodes[origin.node];
    size_t readers;
    i3d_index_consumers(structure->index, kernel->outputs[0], &readers);
    bool alone = readers == 1 && !is_graph_output(structure->model, kernel->outputs[0]);
    return alone && i3d_is_kernel(structure, kernel) ? origin.node : -1;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

/* The sizes of a kernel that inflation leaves as they are: its outputs, height
 * and width. */
static uint64_t hash_kernel(const struct i3d_structure *structure, const struct i3d_node *node,
                            uint64_t hash)
{
    const struct i3d_tensor *weight = i3d_structure_tensor(structure, node->inputs[1]);
    if (!weight || weight->rank < 2)
        return hash;
    bool matrix = weight->rank == 2;
    bool rows_are_inputs = matrix && !i3d_int(node, "transB", 0);
    hash = mix(hash, (uint64_t)weight->dims[rows_are_inputs]);
    hash = mix(hash, matrix ? 1 : (uint64_t)weight->dims[weight->rank - 2]);
    return mix(hash, matrix ? 1 : (uint64_t)weight->dims[weight->rank - 1]);
}

uint64_t i3d_value_hash(const struct i3d_structure *structure, const char *value)
{
    struct i3d_origin origin = i3d_origin_of(structure, value);
    if (origin.node < 0)
        return origin.tensor ? 1 : 2;
    return mix(structure->hashes[origin.node], origin.output);
}

/* What the two graphs may have in different forms leaves no trace: a
 * BatchNormalization over a kernel, a pool over time. */
static uint64_t hash_node(const struct i3d_structure *structure, const struct i3d_node *node)
{
    bool leaves_no_trace = i3d_kernel_under(structure, node) >= 0 || i3d_is_temporal_pool(node);
    if (leaves_no_trace) {
        struct i3d_origin origin = i3d_origin_of(structure, node->inputs[0]);
        return origin.node < 0 ? 2 : structure->hashes[origin.node];
    }
    uint64_t hash = 3, operands = 0;
    for (const char *c = kind_of(structure, node); *c; c++)
        hash = mix(hash, (unsigned char)*c);
    if (i3d_is_kernel(structure, node))
        hash = hash_kernel(structure, node, hash);
    bool commutes = i3d_is(node, "Add") || i3d_is(node, "Mul");
    size_t count = i3d_data_inputs(structure, node);
    for (size_t k = 0; k < count; k++) {
        uint64_t operand = i3d_value_hash(structure, node->inputs[k]);
        operands = commutes ? operands + mix(0, operand) : mix(operands, operand);
    }
    return mix(hash, operands);
}

enum i3d_status i3d_structure_open(const struct i3d_model *model, const struct i3d_shape *input,
                                   bool timed, struct i3d_structure *structure,
                                   struct i3d_error *error)
{
    *structure = (struct i3d_structure){ .model = model, .timed = timed };
    structure->index = i3d_index_new(model);
    structure->hashes = calloc(model->node_count + 1, sizeof *structure->hashes);
    structure->origins = calloc(model->node_count + 1, sizeof *structure->origins);
    if (!structure->index || !structure->hashes || !structure->origins)
        return i3d_fail_memory(error);
    enum i3d_status status =
        i3d_infer_shapes(model, structure->index, input, 1, &structure->shapes, error);
    for (size_t i = 0; i < model->node_count && !status; i++) {
        const struct i3d_node *node = &model->nodes[i];
        bool transparent = i3d_is_transparent(structure, node);
        structure->origins[i] = transparent ? i3d_origin_of(structure, node->inputs[0])
                                            : (struct i3d_origin){ .node = (int64_t)i };
        if (!transparent)
            structure->hashes[i] = hash_node(structure, node);
    }
    return status;
}

void i3d_structure_close(struct i3d_structure *structure)
{
    i3d_shapes_free(structure->shapes);
    i3d_index_free(structure->index);
    free(structure->origins);
    free(structure->hashes);
    *structure = (struct i3d_structure){ 0 };
}
