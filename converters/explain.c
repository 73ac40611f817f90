#include "converters/explain.h"

#include "converters/weights.h"
#include "model/frames.h"
#include "model/index.h"

#include <stdlib.h>
#include <string.h>

/* The rule that the kernel comes from; of those that give none, the first that matches. */
static const struct i3d_rule *find_rule(const struct i3d_recipe *recipe,
                                        const struct i3d_layer *layer)
{
    const struct i3d_rule *first = NULL;
    for (size_t i = 0; i < recipe->rule_count; i++) {
        const struct i3d_rule *rule = &recipe->rules[i];
        if (rule->insert || !i3d_rule_matches(rule, layer))
            continue;
        if (rule->give.kernel != I3D_NOT_GIVEN)
            return rule;
        first = first ? first : rule;
    }
    return first;
}

static const struct i3d_node *producer(const struct i3d_model *model,
                                       const struct i3d_index *index, const char *value)
{
    int64_t at = i3d_index_producer(index, value);
    return at == I3D_NOWHERE ? NULL : &model->nodes[at];
}

/* What the 3D network computes a layer with: the producer of its value, or what stands
 * ahead of it where time was averaged or edges padded. */
static const struct i3d_node *twin(const struct i3d_model *inflated,
                                   const struct i3d_index *index, const struct i3d_node *flat)
{
    enum { STEPS = 4 };
    const struct i3d_node *node = producer(inflated, index, flat->outputs[0]);
    for (int i = 0; node && strcmp(node->op_type, flat->op_type) && i < STEPS; i++)
        node = node->input_count ? producer(inflated, index, node->inputs[0]) : NULL;
    return node && !strcmp(node->op_type, flat->op_type) ? node : NULL;
}

static int64_t count_parameters(const struct i3d_model *model, const struct i3d_index *index,
                                const struct i3d_node *node)
{
    int64_t count = 0;
    for (size_t k = 1; k < node->input_count; k++) {
        int64_t at = i3d_index_tensor(index, node->inputs[k]);
        count += at == I3D_NOWHERE ? 0 : i3d_tensor_elements(&model->tensors[at]);
    }
    return count;
}

static void read_window(const struct i3d_model *model, const struct i3d_index *index,
                        const struct i3d_node *node, struct i3d_layer_account *account)
{
    size_t count;
    const int64_t *kernel = i3d_ints(node, "kernel_shape", &count);
    int64_t at = node->input_count > 1 ? i3d_index_tensor(index, node->inputs[1]) : I3D_NOWHERE;
    if (at != I3D_NOWHERE && model->tensors[at].rank == 5)
        kernel = model->tensors[at].dims + 2, count = 3;
    for (size_t k = 0; k < 3; k++)
        account->kernel[k] = count == 3 ? kernel[k] : 1;
    const int64_t *strides = i3d_ints(node, "strides", &count);
    account->stride = count == 3 ? strides[0] : 1;
    account->parameters = count_parameters(model, index, node);
}

static void read_frames(const struct i3d_frames *traces, const struct i3d_node *node,
                        struct i3d_layer_account *account)
{
    const struct i3d_frame_trace *in = i3d_frames_of(traces, node->inputs[0]);
    const struct i3d_frame_trace *out = i3d_frames_of(traces, node->outputs[0]);
    if (in)
        account->frames_in = in->frames;
    if (out) {
        account->frames_out = out->frames;
        account->field = out->field;
        account->clean = out->clean_count;
    }
}

static bool add(struct i3d_explanation *explanation, size_t *room,
                struct i3d_layer_account **account)
{
    if (explanation->count == *room) {
        *room = *room ? 2 * *room : 64;
        struct i3d_layer_account *grown =
            realloc(explanation->layers, *room * sizeof *explanation->layers);
        if (!grown)
            return false;
        explanation->layers = grown;
    }
    *account = &explanation->layers[explanation->count++];
    **account = (struct i3d_layer_account){ .frames_in = -1, .frames_out = -1, .field = -1,
                                            .clean = -1 };
    return true;
}

/* Float numbers of the network. */
static int64_t all_parameters(const struct i3d_model *model)
{
    int64_t sum = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (i3d_dtype_is_float(model->tensors[i].dtype))
            sum += i3d_tensor_elements(&model->tensors[i]);
    return sum;
}

static enum i3d_status trace(const struct i3d_model *inflated, int64_t frames,
                             struct i3d_frames **traces, struct i3d_error *error)
{
    struct i3d_shape input = { .dtype = I3D_FLOAT32, .rank = -1 };
    for (size_t i = 0; i < inflated->input_count && input.rank < 0; i++)
        if (inflated->inputs[i].rank == 5) {
            input.rank = 5;
            for (int k = 0; k < 5; k++)
                input.dims[k] = inflated->inputs[i].dims[k].value;
        }
    if (input.rank < 0)
        return i3d_fail(error, I3D_UNSUPPORTED, "it has no input of five axes");
    for (int k = 0; k < 5; k++) {
        if (input.dims[k] < 0)
            input.dims[k] = k ? 224 : 1;
        if (k == inflated->time_axis)
            input.dims[k] = frames;
    }
    return i3d_trace_frames(inflated, &input, false, traces, error);
}

/* What all layers are accounted for by. */
struct accounting {
    const struct i3d_model *inflated;
    struct i3d_index *index;
    const struct i3d_recipe *recipe;
    const struct i3d_frames *traces;
    struct i3d_explanation *explanation;
    size_t room;
};

static bool account_for(struct accounting *all, const struct i3d_node *node, const char *name,
                        const struct i3d_rule *rule)
{
    struct i3d_layer_account *account;
    if (!add(all->explanation, &all->room, &account))
        return false;
    account->name = i3d_arena_string(all->explanation->arena, name);
    account->op_type = i3d_arena_string(all->explanation->arena, node->op_type);
    account->rule = rule;
    read_window(all->inflated, all->index, node, account);
    read_frames(all->traces, node, account);
    return account->name && account->op_type;
}

/* A window of the 2D graph, and the pool that a rule puts behind a node. */
static bool account_node(struct accounting *all, const struct i3d_node *flat,
                         const struct i3d_layer *layer)
{
    const struct i3d_node *node = layer->position ? twin(all->inflated, all->index, flat) : NULL;
    bool good = !node
        || account_for(all, node, layer->names[0] ? layer->names[0] : "",
                       find_rule(all->recipe, layer));
    const struct i3d_rule *insertion = i3d_recipe_insertion(all->recipe, layer);
    if (!good || !insertion || !flat->output_count)
        return good;
    const char *pooled = i3d_arena_printf(all->explanation->arena, "%s/pool_in_time",
                                          flat->outputs[0]);
    node = pooled ? producer(all->inflated, all->index, pooled) : NULL;
    return pooled && (!node || account_for(all, node, pooled, insertion));
}

enum i3d_status i3d_explain_graph(const struct i3d_model *flat, const struct i3d_model *inflated,
                                  const struct i3d_inflate_options *options, int64_t frames,
                                  struct i3d_explanation *explanation, struct i3d_error *error)
{
    struct i3d_model *copy = NULL;
    struct i3d_frames *traces = NULL;
    struct i3d_layer *layers = NULL;
    *explanation = (struct i3d_explanation){ .arena = i3d_arena_new(),
                                             .parameters = all_parameters(inflated) };
    enum i3d_status status =
        explanation->arena ? i3d_model_copy(flat, &copy, error) : i3d_fail_memory(error);
    if (!status)
        status = i3d_resolve_constants(copy, error);
    struct i3d_index *index = status ? NULL : i3d_index_new(copy);
    if (!status)
        status = index ? i3d_layers_of_graph(copy, index, explanation->arena, &layers, error)
                       : i3d_fail_memory(error);
    if (!status)
        status = trace(inflated, frames, &traces, error);
    struct accounting all = { inflated, status ? NULL : i3d_index_new(inflated), options->rules,
                              traces, explanation, 0 };
    if (!status && !all.index)
        status = i3d_fail_memory(error);
    for (size_t i = 0; !status && i < copy->node_count; i++)
        if (!account_node(&all, &copy->nodes[i], &layers[i]))
            status = i3d_fail_memory(error);
    i3d_index_free(all.index);
    if (traces)
        i3d_frames_free(traces);
    free(layers);
    i3d_index_free(index);
    i3d_model_free(copy);
    return status;
}

enum i3d_status i3d_explain_weights(const struct i3d_model *flat,
                                    const struct i3d_model *inflated,
                                    const struct i3d_inflate_options *options,
                                    struct i3d_explanation *explanation,
                                    struct i3d_error *error)
{
    struct i3d_layer *layers = NULL;
    struct i3d_layer_account *account;
    size_t room = 0;
    *explanation = (struct i3d_explanation){ .arena = i3d_arena_new(),
                                             .parameters = all_parameters(inflated) };
    enum i3d_status status = explanation->arena
        ? i3d_layers_of_weights(flat, explanation->arena, &layers, error)
        : i3d_fail_memory(error);
    for (size_t i = 0; !status && i < flat->tensor_count; i++) {
        const struct i3d_tensor *kernel = &inflated->tensors[i];
        if (!i3d_is_2d_kernel(&flat->tensors[i]))
            continue;
        if (!add(explanation, &room, &account)) {
            status = i3d_fail_memory(error);
            break;
        }
        account->name = i3d_arena_string(explanation->arena, kernel->name);
        account->op_type = "Conv";
        account->rule = find_rule(options->rules, &layers[i]);
        memcpy(account->kernel, kernel->dims + 2, sizeof account->kernel);
        account->stride = -1;
        account->parameters = i3d_tensor_elements(kernel);
        if (!account->name)
            status = i3d_fail_memory(error);
    }
    free(layers);
    return status;
}

void i3d_explanation_free(struct i3d_explanation *explanation)
{
    i3d_arena_free(explanation->arena);
    free(explanation->layers);
    *explanation = (struct i3d_explanation){ 0 };
}
