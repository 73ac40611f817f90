#include "verify/engine.h"

#include "model/index.h"
#include "model/shape_infer.h"
#include "verify/matrix.h"
#include "verify/operators.h"
#include "verify/parallel.h"

#include <stdlib.h>

/* A value while it lives: from when it is computed to its last reader. */
struct slot {
    struct i3d_array array; /* dtype I3D_UNDEFINED: not there */
    bool owned;             /* false: a graph input, the caller's */
    size_t readers;         /* left to come, the graph's outputs among them */
};

struct run {
    const struct i3d_model *model;
    struct i3d_index *index;
    struct slot *slots; /* by the index' numbers */
    size_t slot_count;
    int threads;
    bool reference, edge_time;
    i3d_observer *observer;
    void *observer_context;
    struct i3d_error *error;
};

static struct slot *slot_of(const struct run *run, const char *value)
{
    int64_t number = i3d_index_value(run->index, value);
    return number == I3D_NOWHERE ? NULL : &run->slots[number];
}

static void empty_slot(struct slot *slot)
{
    if (slot->owned)
        i3d_array_free(&slot->array);
    slot->array = (struct i3d_array){ 0 };
    slot->owned = false;
}

static void leave(struct slot *slot)
{
    if (--slot->readers == 0)
        empty_slot(slot);
}

static enum i3d_status check_operators(const struct i3d_model *model, struct i3d_error *error)
{
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (i3d_engine_has(node))
            continue;
        i3d_fail(error, I3D_UNSUPPORTED, "the forward pass lacks %s%s%s as it is used here",
                 node->domain, *node->domain ? "." : "", node->op_type);
        return i3d_infer_where(node, error);
    }
    return I3D_OK;
}

static void count_readers(struct run *run, bool outputs_wanted)
{
    const struct i3d_model *model = run->model;
    for (size_t i = 0; i < model->node_count; i++) {
        for (size_t k = 0; k < model->nodes[i].input_count; k++) {
            struct slot *slot = slot_of(run, model->nodes[i].inputs[k]);
            if (slot)
                slot->readers++;
        }
    }
    for (size_t i = 0; outputs_wanted && i < model->output_count; i++) {
        struct slot *slot = slot_of(run, model->outputs[i].name);
        if (slot)
            slot->readers++;
    }
}

static enum i3d_status bind_inputs(struct run *run, const struct i3d_array *inputs)
{
    for (size_t i = 0; i < run->model->input_count; i++) {
        const char *name = run->model->inputs[i].name;
        struct slot *slot = slot_of(run, name);
        enum i3d_dtype declared = i3d_array_dtype(run->model->inputs[i].dtype);
        if (!inputs[i].dtype || inputs[i].dtype != i3d_array_dtype(inputs[i].dtype)
            || (declared && declared != inputs[i].dtype)
            || !i3d_array_sound(inputs[i].rank, inputs[i].dims)) {
            i3d_fail(run->error, I3D_USAGE, "its array is %s, the graph has %s",
                     i3d_dtype_name(inputs[i].dtype),
                     i3d_dtype_name(run->model->inputs[i].dtype));
            return i3d_error_where(run->error, "graph input %s", name);
        }
        if (slot)
            slot->array = inputs[i];
    }
    return I3D_OK;
}

/* Fetches a node's operand: a value that lives in its slot, or a tensor that is
 * loaded for this node alone (*loaded). */
static enum i3d_status fetch(const struct run *run, const char *name, struct i3d_array *array,
                             bool *loaded)
{
    *array = (struct i3d_array){ 0 };
    *loaded = false;
    if (!*name)
        return I3D_OK;
    const struct slot *slot = slot_of(run, name);
    if (slot && slot->array.dtype) {
        *array = slot->array;
        return I3D_OK;
    }
    int64_t tensor = i3d_index_tensor(run->index, name);
    if (tensor == I3D_NOWHERE)
        return i3d_fail(run->error, I3D_MALFORMED, "%s is read but not computed", name);
    *loaded = true;
    return i3d_array_load(&run->model->tensors[tensor], array, run->error);
}

/* The operands and results of one node. */
struct frame {
    struct i3d_array *inputs, *outputs;
    bool *loaded; /* by input: this node's alone */
};

static enum i3d_status open_frame(struct frame *frame, const struct i3d_node *node,
                                  struct i3d_error *error)
{
    frame->inputs = calloc(node->input_count + 1, sizeof *frame->inputs);
    frame->loaded = calloc(node->input_count + 1, sizeof *frame->loaded);
    frame->outputs = calloc(node->output_count + 1, sizeof *frame->outputs);
    return frame->inputs && frame->loaded && frame->outputs ? I3D_OK : i3d_fail_memory(error);
}

static void close_frame(struct frame *frame, const struct i3d_node *node)
{
    for (size_t k = 0; frame->inputs && frame->loaded && k < node->input_count; k++)
        if (frame->loaded[k])
            i3d_array_free(&frame->inputs[k]);
    for (size_t k = 0; frame->outputs && k < node->output_count; k++)
        i3d_array_free(&frame->outputs[k]);
    free(frame->inputs);
    free(frame->loaded);
    free(frame->outputs);
}

/* Input 0 is spare when it was loaded for this node, or computed and read here
 * for the last time. */
static bool first_is_spare(const struct run *run, const struct i3d_node *node,
                           const struct frame *frame)
{
    if (!node->input_count || !*node->inputs[0])
        return false;
    if (frame->loaded[0])
        return true;
    const struct slot *slot = slot_of(run, node->inputs[0]);
    return slot->owned && slot->readers == 1;
}

static enum i3d_status compute(struct run *run, const struct i3d_node *node, struct frame *frame)
{
    const struct i3d_operator_row *row = i3d_operator_row(node);
    struct i3d_operation op = {
        .node = node,
        .opset = i3d_opset(run->model),
        .variant = row->variant,
        .threads = run->threads,
        .reference = run->reference,
        .edge_time = run->edge_time,
        .input_count = node->input_count,
        .output_count = node->output_count,
        .inputs = frame->inputs,
        .outputs = frame->outputs,
        .first_is_spare = first_is_spare(run, node, frame),
        .error = run->error,
    };
    if (!node->output_count)
        return i3d_fail(run->error, I3D_MALFORMED, "it has no output");
    enum i3d_status status = i3d_check_operands(&op, row->operands);
    if (!status)
        status = row->compute(&op);
    if (!op.first_was_taken)
        return status;
    /* The memory has one owner: output 0, or input 0 again after a failure. */
    if (status) {
        frame->outputs[0] = (struct i3d_array){ 0 };
    } else if (frame->loaded[0]) {
        frame->loaded[0] = false;
    } else {
        slot_of(run, node->inputs[0])->owned = false;
    }
    return status;
}

static enum i3d_status store_outputs(struct run *run, const struct i3d_node *node,
                                     struct frame *frame)
{
    for (size_t k = 0; k < node->output_count; k++) {
        if (!*node->outputs[k] || !frame->outputs[k].dtype)
            continue;
        struct slot *slot = slot_of(run, node->outputs[k]);
        enum i3d_status status = I3D_OK;
        if (run->observer)
            status = run->observer(run->observer_context, node, node->outputs[k],
                                   &frame->outputs[k], run->error);
        if (status)
            return status;
        if (slot->readers) {
            empty_slot(slot);
            slot->array = frame->outputs[k];
            slot->owned = true;
            frame->outputs[k] = (struct i3d_array){ 0 };
        }
    }
    return I3D_OK;
}

static enum i3d_status run_node(struct run *run, const struct i3d_node *node)
{
    struct frame frame;
    enum i3d_status status = open_frame(&frame, node, run->error);
    for (size_t k = 0; k < node->input_count && !status; k++)
        status = fetch(run, node->inputs[k], &frame.inputs[k], &frame.loaded[k]);
    if (!status)
        status = compute(run, node, &frame);
    if (status)
        i3d_infer_where(node, run->error);
    for (size_t k = 0; k < node->input_count && !status; k++) {
        struct slot *slot = slot_of(run, node->inputs[k]);
        if (slot)
            leave(slot);
    }
    if (!status)
        status = store_outputs(run, node, &frame);
    close_frame(&frame, node);
    return status;
}

static enum i3d_status collect_outputs(struct run *run, struct i3d_array *outputs)
{
    const struct i3d_model *model = run->model;
    enum i3d_status status = I3D_OK;
    size_t done = 0;
    for (; done < model->output_count && !status; done++) {
        const char *name = model->outputs[done].name;
        struct slot *slot = slot_of(run, name);
        bool loaded;
        struct i3d_array array;
        status = fetch(run, name, &array, &loaded);
        outputs[done] = (struct i3d_array){ 0 };
        if (status)
            break;
        if (loaded) {
            outputs[done] = array;
        } else if (slot->owned && slot->readers == 1) {
            outputs[done] = array;
            slot->owned = false;
        } else {
            status = i3d_array_copy(&array, &outputs[done], run->error);
        }
        if (slot)
            leave(slot);
    }
    for (size_t i = 0; status && i < model->output_count; i++) {
        if (i <= done)
            i3d_array_free(&outputs[i]);
        else
            outputs[i] = (struct i3d_array){ 0 };
    }
    return status;
}

static enum i3d_status run_graph(struct run *run, const struct i3d_array *inputs,
                                 struct i3d_array *outputs)
{
    run->slot_count = i3d_index_value_count(run->index);
    run->slots = calloc(run->slot_count + 1, sizeof *run->slots);
    if (!run->slots)
        return i3d_fail_memory(run->error);
    count_readers(run, outputs != NULL);
    enum i3d_status status = bind_inputs(run, inputs);
    for (size_t i = 0; i < run->model->node_count && !status; i++)
        status = run_node(run, &run->model->nodes[i]);
    if (!status && outputs)
        status = collect_outputs(run, outputs);
    for (size_t i = 0; i < run->slot_count; i++)
        empty_slot(&run->slots[i]);
    free(run->slots);
    return status;
}

enum i3d_status i3d_run(const struct i3d_model *model, const struct i3d_array *inputs,
                        const struct i3d_run_options *options, i3d_observer *observer,
                        void *observer_context, struct i3d_array *outputs,
                        struct i3d_error *error)
{
    enum i3d_status status = check_operators(model, error);
    if (status)
        return status;
    bool edge_time = options->time_padding == I3D_TIME_EDGE;
    if (edge_time && model->time_axis != 2 && model->time_axis != 1)
        return i3d_fail(error, I3D_USAGE, "edge padding in time needs a graph whose axis 2 is time");
    struct run run = {
        .model = model,
        .index = i3d_index_new(model),
        .threads = options->threads > 0 ? options->threads : omp_get_max_threads(),
        .reference = options->engine == I3D_ENGINE_REFERENCE,
        .edge_time = edge_time,
        .observer = observer,
        .observer_context = observer_context,
        .error = error,
    };
    if (!run.index)
        return i3d_fail_memory(error);
    struct i3d_blas_state blas = i3d_blas_begin();
    status = run_graph(&run, inputs, outputs);
    i3d_blas_end(blas);
    i3d_index_free(run.index);
    return status;
}
