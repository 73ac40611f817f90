#include "verify/engine.h"

#include "model/index.h"
#include "model/shape_infer.h"
#include "verify/kernels.h"
#include "verify/layer.h"
#include "verify/matrix.h"
#include "verify/operators.h"
#include "verify/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

/* A value while it lives: from when it is computed to its last reader. */
struct slot {
    struct i3d_array array; /* dtype I3D_UNDEFINED: not there */
    bool owned;             /* malloc'ed for this value; else planned, or a graph input */
    size_t readers;         /* left to come, the graph's outputs among them */
};

struct i3d_session {
    const struct i3d_model *model;
    struct i3d_run_options options;
    bool keeps_weights;
    int threads;
    struct i3d_index *index;
    struct slot *slots; /* by the index' numbers */
    size_t slot_count;
    bool *keep;         /* by the index' numbers: values that have to be made */

    /* Made for the shapes of the inputs. */
    struct i3d_shape *shapes; /* of the inputs; null: no plan yet */
    bool observes_all;
    struct i3d_step *steps;
    size_t step_count;
    struct i3d_placement placement;
    void *memory;             /* for placement.bytes */
    size_t memory_bytes;

    struct i3d_layer *layers; /* by node */
    void *workspace;
    size_t workspace_bytes, weight_bytes, most_weight_bytes;

    struct i3d_step_time *times;
    char (*operations)[96];
    double seconds, preparing; /* of the last run; the part of it that is done once */
    struct i3d_error *error; /* of the run that is going on */
    i3d_observer *observer;
    void *observer_context;
};

bool i3d_engine_named(const char *name, enum i3d_engine *engine)
{
    static const char *const names[] = { [I3D_ENGINE_FAST] = "fast",
                                         [I3D_ENGINE_REFERENCE] = "reference",
                                         [I3D_ENGINE_DIRECT] = "direct" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcmp(name, names[i])) {
            *engine = (enum i3d_engine)i;
            return true;
        }
    }
    return false;
}

static struct slot *slot_of(const struct i3d_session *session, const char *value)
{
    int64_t number = i3d_index_value(session->index, value);
    return number == I3D_NOWHERE ? NULL : &session->slots[number];
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
    if (slot->readers && --slot->readers == 0)
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

static enum i3d_status open_session(const struct i3d_model *model,
                                      const struct i3d_run_options *options, bool keeps_weights,
                                      struct i3d_session **opened, struct i3d_error *error)
{
    enum i3d_status status = check_operators(model, error);
    if (status)
        return status;
    if (options->time_padding == I3D_TIME_EDGE && model->time_axis != 2 && model->time_axis != 1)
        return i3d_fail(error, I3D_USAGE, "edge padding in time needs a graph whose axis 2 is time");
    struct i3d_session *session = calloc(1, sizeof *session);
    if (!session)
        return i3d_fail_memory(error);
    session->model = model;
    session->options = *options;
    session->keeps_weights = keeps_weights;
    session->threads = options->threads > 0 ? options->threads : omp_get_max_threads();
    session->index = i3d_index_new(model);
    if (session->index) {
        session->slot_count = i3d_index_value_count(session->index);
        session->slots = calloc(session->slot_count + 1, sizeof *session->slots);
        session->keep = calloc(session->slot_count + 1, sizeof *session->keep);
        session->layers = calloc(model->node_count + 1, sizeof *session->layers);
        session->times = calloc(model->node_count + 1, sizeof *session->times);
        session->operations = calloc(model->node_count + 1, sizeof *session->operations);
    }
    if (!session->index || !session->slots || !session->keep || !session->layers
        || !session->times || !session->operations) {
        i3d_session_close(session);
        return i3d_fail_memory(error);
    }
    *opened = session;
    return I3D_OK;
}

enum i3d_status i3d_session_open(const struct i3d_model *model,
                                 const struct i3d_run_options *options,
                                 struct i3d_session **session, struct i3d_error *error)
{
    return open_session(model, options, true, session, error);
}

static void drop_plan(struct i3d_session *session)
{
    free(session->shapes);
    free(session->steps);
    free(session->placement.places);
    session->shapes = NULL;
    session->steps = NULL;
    session->placement = (struct i3d_placement){ 0 };
}

void i3d_session_close(struct i3d_session *session)
{
    if (!session)
        return;
    drop_plan(session);
    for (size_t i = 0; session->layers && i < session->model->node_count; i++)
        i3d_layer_free(&session->layers[i]);
    i3d_index_free(session->index);
    free(session->slots);
    free(session->keep);
    free(session->layers);
    free(session->times);
    free(session->operations);
    free(session->memory);
    free(session->workspace);
    free(session);
}

/* At least that many bytes in *memory; what was in it is lost. Large pieces start on,
 * and ask for, large pages. */
static enum i3d_status provide(void **memory, size_t *have, size_t bytes, struct i3d_error *error)
{
    enum { LARGE_PAGE = 2 << 20 };
    if (bytes <= *have)
        return I3D_OK;
    free(*memory);
    *have = 0;
    size_t alignment = bytes < LARGE_PAGE ? 64 : LARGE_PAGE;
    if (bytes > SIZE_MAX - alignment)
        return i3d_fail_memory(error);
    bytes = (bytes + alignment - 1) / alignment * alignment;
    *memory = aligned_alloc(alignment, bytes);
    if (!*memory)
        return i3d_fail_memory(error);
    if (alignment == LARGE_PAGE)
        madvise(*memory, bytes, MADV_HUGEPAGE);
    *have = bytes;
    return I3D_OK;
}

/* The plan */

static void mark_kept(struct i3d_session *session)
{
    const struct i3d_model *model = session->model;
    memset(session->keep, 0, session->slot_count * sizeof *session->keep);
    for (size_t i = 0; i < model->output_count; i++) {
        int64_t number = i3d_index_value(session->index, model->outputs[i].name);
        if (number != I3D_NOWHERE)
            session->keep[number] = true;
    }
    for (size_t i = 0; i < session->options.wanted_count; i++) {
        int64_t number = i3d_index_value(session->index, session->options.wanted[i]);
        if (number != I3D_NOWHERE)
            session->keep[number] = true;
    }
}

static bool plan_stands(const struct i3d_session *session, const struct i3d_shape *shapes,
                        bool observes_all)
{
    return session->shapes && session->observes_all == observes_all
        && !memcmp(session->shapes, shapes, session->model->input_count * sizeof *shapes);
}

/* Without shapes everything is left for when it is computed. */
static enum i3d_status make_plan(struct i3d_session *session, const struct i3d_shape *given,
                                 struct i3d_error *error)
{
    struct i3d_shapes *shapes = NULL;
    if (i3d_infer_shapes(session->model, session->index, given, session->model->input_count,
                         &shapes, NULL))
        shapes = NULL;
    bool fuse = session->options.engine != I3D_ENGINE_REFERENCE && !session->observes_all;
    enum i3d_status status = i3d_fuse(session->model, session->index, shapes, session->keep, fuse,
                                      &session->steps, &session->step_count, error);
    if (!status && shapes)
        status = i3d_place_values(session->model, session->index, shapes, session->steps,
                                  session->step_count, &session->placement, error);
    i3d_shapes_free(shapes);
    if (!status)
        status = provide(&session->memory, &session->memory_bytes, session->placement.bytes,
                         error);
    return status;
}

static enum i3d_status plan(struct i3d_session *session, const struct i3d_array *inputs)
{
    size_t count = session->model->input_count;
    bool observes_all = session->observer && !session->options.wanted;
    struct i3d_shape *shapes = calloc(count + 1, sizeof *shapes);
    if (!shapes)
        return i3d_fail_memory(session->error);
    for (size_t i = 0; i < count; i++) {
        shapes[i].dtype = inputs[i].dtype;
        shapes[i].rank = inputs[i].rank;
        memcpy(shapes[i].dims, inputs[i].dims, (size_t)inputs[i].rank * sizeof *inputs[i].dims);
    }
    if (plan_stands(session, shapes, observes_all)) {
        free(shapes);
        return I3D_OK;
    }
    drop_plan(session);
    session->observes_all = observes_all;
    mark_kept(session);
    enum i3d_status status = make_plan(session, shapes, session->error);
    if (status) {
        free(shapes);
        drop_plan(session);
    } else {
        session->shapes = shapes;
    }
    return status;
}

/* The run */

static void count_readers(struct i3d_session *session, bool outputs_wanted)
{
    const struct i3d_model *model = session->model;
    for (size_t i = 0; i < session->step_count; i++) {
        for (size_t k = 0; k < i3d_step_read_count(&session->steps[i]); k++) {
            struct slot *slot = slot_of(session, i3d_step_read(&session->steps[i], k));
            if (slot)
                slot->readers++;
        }
    }
    for (size_t i = 0; outputs_wanted && i < model->output_count; i++) {
        struct slot *slot = slot_of(session, model->outputs[i].name);
        if (slot)
            slot->readers++;
    }
}

static enum i3d_status check_inputs(const struct i3d_session *session,
                                    const struct i3d_array *inputs)
{
    for (size_t i = 0; i < session->model->input_count; i++) {
        const struct i3d_value *input = &session->model->inputs[i];
        enum i3d_dtype declared = i3d_array_dtype(input->dtype);
        if (!inputs[i].dtype || inputs[i].dtype != i3d_array_dtype(inputs[i].dtype)
            || (declared && declared != inputs[i].dtype)
            || !i3d_array_sound(inputs[i].rank, inputs[i].dims)) {
            i3d_fail(session->error, I3D_USAGE, "its array is %s, the graph has %s",
                     i3d_dtype_name(inputs[i].dtype), i3d_dtype_name(input->dtype));
            return i3d_error_where(session->error, "graph input %s", input->name);
        }
    }
    return I3D_OK;
}

static void bind_inputs(struct i3d_session *session, const struct i3d_array *inputs)
{
    for (size_t i = 0; i < session->model->input_count; i++) {
        struct slot *slot = slot_of(session, session->model->inputs[i].name);
        if (slot)
            slot->array = inputs[i];
    }
}

/* Fetches a step's operand: a value that lives in its slot, or a tensor that is
 * loaded for this step alone (*loaded), or for a layer's weights only described. */
static enum i3d_status fetch(const struct i3d_session *session, const char *name,
                             bool describe_only, struct i3d_array *array, bool *loaded)
{
    *array = (struct i3d_array){ 0 };
    *loaded = false;
    if (!*name)
        return I3D_OK;
    const struct slot *slot = slot_of(session, name);
    if (slot && slot->array.dtype) {
        *array = slot->array;
        return I3D_OK;
    }
    int64_t position = i3d_index_tensor(session->index, name);
    if (position == I3D_NOWHERE)
        return i3d_fail(session->error, I3D_MALFORMED, "%s is read but not computed", name);
    const struct i3d_tensor *tensor = &session->model->tensors[position];
    if (describe_only) {
        array->dtype = i3d_array_dtype(tensor->dtype);
        array->rank = tensor->rank;
        memcpy(array->dims, tensor->dims, sizeof array->dims);
        return I3D_OK;
    }
    *loaded = true;
    return i3d_array_load(tensor, array, session->error);
}

/* The operands and results of one step. */
struct frame {
    struct i3d_array *inputs, *outputs;
    bool *loaded; /* by input: this step's alone */
    struct i3d_room *rooms;
};

static size_t output_count(const struct i3d_step *step)
{
    return step->last == step->node ? step->node->output_count : 1;
}

static enum i3d_status open_frame(const struct i3d_session *session, const struct i3d_step *step,
                                  struct frame *frame)
{
    size_t reads = i3d_step_read_count(step), outputs = step->node->output_count;
    frame->inputs = calloc(reads + 1, sizeof *frame->inputs);
    frame->loaded = calloc(reads + 1, sizeof *frame->loaded);
    frame->outputs = calloc(outputs + 1, sizeof *frame->outputs);
    frame->rooms = calloc(outputs + 1, sizeof *frame->rooms);
    if (!frame->inputs || !frame->loaded || !frame->outputs || !frame->rooms)
        return i3d_fail_memory(session->error);
    for (size_t k = 0; session->placement.places && k < output_count(step); k++) {
        int64_t number = i3d_index_value(session->index, step->last->outputs[k]);
        if (number == I3D_NOWHERE || !session->placement.places[number].is_planned)
            continue;
        const struct i3d_place *place = &session->placement.places[number];
        frame->rooms[k].data = (char *)session->memory + place->offset;
        frame->rooms[k].bytes = place->bytes;
    }
    enum i3d_status status = I3D_OK;
    for (size_t k = 0; k < reads && !status; k++)
        status = fetch(session, i3d_step_read(step, k), step->is_layer && (k == 1 || k == 2),
                       &frame->inputs[k], &frame->loaded[k]);
    return status;
}

static bool is_planned(const struct i3d_session *session, const void *data)
{
    return session->memory && (const char *)data >= (const char *)session->memory
        && (const char *)data < (const char *)session->memory + session->memory_bytes;
}

static void close_frame(const struct i3d_session *session, struct frame *frame,
                        const struct i3d_step *step)
{
    for (size_t k = 0; frame->inputs && frame->loaded && k < i3d_step_read_count(step); k++)
        if (frame->loaded[k])
            i3d_array_free(&frame->inputs[k]);
    for (size_t k = 0; frame->outputs && k < step->node->output_count; k++)
        if (!is_planned(session, frame->outputs[k].data))
            i3d_array_free(&frame->outputs[k]);
    free(frame->inputs);
    free(frame->loaded);
    free(frame->outputs);
    free(frame->rooms);
}

/* Input 0 is spare when it was loaded for this node, or computed and read here
 * for the last time, or the plan has the output in its place. */
static bool first_is_spare(const struct i3d_session *session, const struct i3d_node *node,
                           const struct frame *frame)
{
    if (!node->input_count || !*node->inputs[0])
        return false;
    if (frame->rooms[0].data)
        return frame->inputs[0].data == frame->rooms[0].data;
    if (frame->loaded[0])
        return true;
    const struct slot *slot = slot_of(session, node->inputs[0]);
    return slot->owned && slot->readers == 1;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static enum i3d_status compute_layer(struct i3d_session *session, const struct i3d_step *step,
                                     struct i3d_operation *op, struct i3d_step_time *times)
{
    struct i3d_layer *layer = &session->layers[step->node - session->model->nodes];
    struct i3d_convolution_geometry geometry;
    memset(&geometry, 0, sizeof geometry);
    enum i3d_status status = i3d_op_conv_output(op, &geometry);
    if (status || !op->outputs[0].data)
        return status;
    const struct i3d_array *residual = step->residual ? &op->inputs[step->node->input_count]
                                                      : NULL;
    if (residual && !i3d_array_same_shape(residual, &op->outputs[0]))
        return i3d_fail(op->error, I3D_MALFORMED, "what is added to it has another shape");
    double start = now();
    session->weight_bytes -= i3d_layer_bytes(layer);
    status = i3d_layer_prepare(layer, op, step, session->model, &geometry,
                               session->options.factored
                                   && session->options.engine == I3D_ENGINE_FAST);
    session->weight_bytes += i3d_layer_bytes(layer);
    if (session->weight_bytes > session->most_weight_bytes)
        session->most_weight_bytes = session->weight_bytes;
    if (!status)
        status = provide(&session->workspace, &session->workspace_bytes,
                         i3d_layer_workspace(layer, session->threads), op->error);
    session->preparing += now() - start;
    if (!status) {
        start = now();
        i3d_layer_run(layer, op, step, residual, session->workspace);
        times->seconds = now() - start;
        times->multiply_adds = i3d_convolution_multiply_adds(&geometry);
        times->algorithm = i3d_layer_algorithm(layer);
    }
    if (!session->keeps_weights) {
        session->weight_bytes -= i3d_layer_bytes(layer);
        i3d_layer_free(layer);
    }
    return status;
}

static enum i3d_status compute(struct i3d_session *session, const struct i3d_step *step,
                               struct frame *frame, struct i3d_step_time *times)
{
    const struct i3d_node *node = step->node;
    const struct i3d_operator_row *row = i3d_operator_row(node);
    struct i3d_operation op = {
        .node = node,
        .opset = i3d_opset(session->model),
        .variant = row->variant,
        .threads = session->threads,
        .engine = session->options.engine,
        .edge_time = session->options.time_padding == I3D_TIME_EDGE,
        .input_count = node->input_count,
        .output_count = node->output_count,
        .inputs = frame->inputs,
        .outputs = frame->outputs,
        .rooms = frame->rooms,
        .first_is_spare = first_is_spare(session, node, frame),
        .error = session->error,
    };
    if (!node->output_count)
        return i3d_fail(session->error, I3D_MALFORMED, "it has no output");
    enum i3d_status status = i3d_check_operands(&op, row->operands);
    double start = now();
    if (!status && step->is_layer)
        status = compute_layer(session, step, &op, times);
    else if (!status)
        status = row->compute(&op);
    if (!step->is_layer)
        times->seconds = now() - start;
    if (!op.first_was_taken)
        return status;
    /* The memory has one owner: output 0, or input 0 again after a failure. */
    if (status)
        frame->outputs[0] = (struct i3d_array){ 0 };
    else if (frame->loaded[0])
        frame->loaded[0] = false;
    else
        slot_of(session, node->inputs[0])->owned = false;
    return status;
}

static enum i3d_status store_outputs(struct i3d_session *session, const struct i3d_step *step,
                                     struct frame *frame)
{
    for (size_t k = 0; k < output_count(step); k++) {
        const char *name = step->last->outputs[k];
        struct i3d_array *output = &frame->outputs[k];
        if (!*name || !output->dtype)
            continue;
        struct slot *slot = slot_of(session, name);
        enum i3d_status status = I3D_OK;
        if (session->observer)
            status = session->observer(session->observer_context, step->last, name, output,
                                       session->error);
        if (status)
            return status;
        if (slot->readers) {
            empty_slot(slot);
            slot->array = *output;
            slot->owned = !is_planned(session, output->data);
            *output = (struct i3d_array){ 0 };
        }
    }
    return I3D_OK;
}

static void describe(struct i3d_session *session, size_t position)
{
    const struct i3d_step *step = &session->steps[position];
    struct i3d_step_time *times = &session->times[position];
    char *text = session->operations[position];
    size_t size = sizeof session->operations[0];
    *times = (struct i3d_step_time){ .layer = *step->node->name ? step->node->name
                                         : step->node->output_count ? step->node->outputs[0] : "",
                                     .operation = text,
                                     .algorithm = "" };
    int used = snprintf(text, size, "%s", step->node->op_type);
    const struct i3d_node *const fused[] = { step->norm, step->add, step->act };
    for (size_t k = 0; k < 3; k++) {
        if (!fused[k] || used < 0 || (size_t)used >= size)
            continue;
        const char *name = k == 2 && step->activation == I3D_ACTIVATION_SWISH
            ? "Swish" : fused[k]->op_type;
        used += snprintf(text + used, size - (size_t)used, "+%s", name);
    }
}

static enum i3d_status run_step(struct i3d_session *session, size_t position)
{
    const struct i3d_step *step = &session->steps[position];
    struct frame frame;
    describe(session, position);
    enum i3d_status status = open_frame(session, step, &frame);
    if (!status)
        status = compute(session, step, &frame, &session->times[position]);
    for (size_t k = 0; k < output_count(step) && !status; k++)
        session->times[position].bytes += (int64_t)i3d_array_bytes(&frame.outputs[k]);
    if (status)
        i3d_infer_where(step->node, session->error);
    for (size_t k = 0; k < i3d_step_read_count(step) && !status; k++) {
        struct slot *slot = slot_of(session, i3d_step_read(step, k));
        if (slot)
            leave(slot);
    }
    if (!status)
        status = store_outputs(session, step, &frame);
    close_frame(session, &frame, step);
    return status;
}

static enum i3d_status collect_outputs(struct i3d_session *session, struct i3d_array *outputs)
{
    const struct i3d_model *model = session->model;
    enum i3d_status status = I3D_OK;
    size_t done = 0;
    for (; done < model->output_count && !status; done++) {
        const char *name = model->outputs[done].name;
        struct slot *slot = slot_of(session, name);
        bool loaded;
        struct i3d_array array;
        status = fetch(session, name, false, &array, &loaded);
        outputs[done] = (struct i3d_array){ 0 };
        if (status)
            break;
        if (loaded) {
            outputs[done] = array;
        } else if (slot->owned && slot->readers == 1) {
            outputs[done] = array;
            slot->owned = false;
        } else {
            status = i3d_array_copy(&array, &outputs[done], session->error);
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

static enum i3d_status run_steps(struct i3d_session *session, const struct i3d_array *inputs,
                                 struct i3d_array *outputs)
{
    memset(session->slots, 0, session->slot_count * sizeof *session->slots);
    count_readers(session, outputs != NULL);
    bind_inputs(session, inputs);
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < session->step_count && !status; i++)
        status = run_step(session, i);
    if (!status && outputs)
        status = collect_outputs(session, outputs);
    for (size_t i = 0; i < session->slot_count; i++)
        empty_slot(&session->slots[i]);
    return status;
}

enum i3d_status i3d_session_run(struct i3d_session *session, const struct i3d_array *inputs,
                                i3d_observer *observer, void *observer_context,
                                struct i3d_array *outputs, struct i3d_error *error)
{
    session->error = error;
    session->observer = observer;
    session->observer_context = observer_context;
    enum i3d_status status = check_inputs(session, inputs);
    if (!status)
        status = plan(session, inputs);
    if (status)
        return status;
    struct i3d_blas_state blas = i3d_blas_begin();
    double start = now();
    session->preparing = 0;
    status = run_steps(session, inputs, outputs);
    session->seconds = now() - start - session->preparing;
    i3d_blas_end(blas);
    return status;
}

const struct i3d_step_time *i3d_session_times(const struct i3d_session *session, size_t *count)
{
    *count = session->step_count;
    return session->times;
}

double i3d_session_seconds(const struct i3d_session *session)
{
    return session->seconds;
}

int i3d_session_threads(const struct i3d_session *session)
{
    return session->threads;
}

const char *i3d_kernel_set(void)
{
    return i3d_best_kernels()->name;
}

struct i3d_session_memory i3d_session_memory(const struct i3d_session *session)
{
    struct rusage usage = { 0 };
    getrusage(RUSAGE_SELF, &usage);
    return (struct i3d_session_memory){ .activations = session->placement.bytes,
                                        .weights = session->most_weight_bytes,
                                        .workspace = session->workspace_bytes,
                                        .process = (size_t)usage.ru_maxrss * 1024 };
}

enum i3d_status i3d_run(const struct i3d_model *model, const struct i3d_array *inputs,
                        const struct i3d_run_options *options, i3d_observer *observer,
                        void *observer_context, struct i3d_array *outputs,
                        struct i3d_error *error)
{
    struct i3d_session *session;
    enum i3d_status status = open_session(model, options, false, &session, error);
    if (status)
        return status;
    status = i3d_session_run(session, inputs, observer, observer_context, outputs, error);
    i3d_session_close(session);
    return status;
}
