#include "verify/stream.h"

#include "model/shape_infer.h"
#include "verify/kernels.h"
#include "verify/layer.h"
#include "verify/matrix.h"
#include "verify/operators.h"
#include "verify/parallel.h"
#include "verify/stream_plan.h"

#include <stdlib.h>
#include <string.h>

/* The frames of a value that this round made. */
struct chunk {
    float *data;        /* malloc'ed; null: none, or no longer */
    int64_t begin, end; /* end is also how many there have been so far */
    size_t readers;     /* of this round, left to come */
};

/* What a step reads of a value: frames that came earlier and are still to be seen. */
struct edge {
    int64_t flow;  /* number of the value; I3D_NOWHERE: a constant, or nothing */
    struct i3d_reach reach;
    float *kept;   /* frames [begin, end) of it */
    size_t bytes;
    int64_t begin, end;
    struct i3d_array constant; /* loaded, or of a layer's weights only described */
};

struct stream_step {
    const struct i3d_step *step;
    struct i3d_reach reach;
    struct edge *edges; /* by read */
    size_t edge_count;
    int64_t flow, done; /* of the output; frames made so far */
    struct i3d_layer layer;
};

struct i3d_stream {
    const struct i3d_model *model;
    struct i3d_run_options options;
    int threads;
    const char *value;
    struct i3d_stream_plan plan;
    int64_t input; /* the clip's number */
    struct i3d_step *fused;
    struct stream_step *steps;
    size_t step_count;
    struct chunk *chunks;     /* by the plan's numbers */
    struct i3d_array *results; /* by the plan's numbers: those that are collected */
    void *workspace;
    size_t workspace_bytes;
};

/* Memory */

static enum i3d_status grow(void **memory, size_t *have, size_t bytes, struct i3d_error *error)
{
    if (bytes <= *have)
        return I3D_OK;
    free(*memory);
    *have = 0;
    bytes = (bytes + 63) / 64 * 64;
    *memory = aligned_alloc(64, bytes);
    if (!*memory)
        return i3d_fail_memory(error);
    *have = bytes;
    return I3D_OK;
}

static void drop_chunk(struct chunk *chunk)
{
    free(chunk->data);
    chunk->data = NULL;
}

static size_t bytes_of(const struct i3d_flow *flow, int64_t frames)
{
    return (size_t)(flow->outer * frames * flow->inner) * sizeof(float);
}

/* Room for some frames, and for slack that kernels may read. It is freed as soon as it can
 * be: what is live at one moment is far less than what a round makes. */
static enum i3d_status reserve(const struct i3d_flow *flow, int64_t frames, float **data,
                               struct i3d_error *error)
{
    size_t bytes = bytes_of(flow, frames) + I3D_SLACK * sizeof(float);
    *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return *data ? I3D_OK : i3d_fail_memory(error);
}

/* Copies count frames from frame `from_at` of one array to `to_at` of another. */
static void copy_frames(const struct i3d_flow *flow, const float *from, int64_t from_frames,
                        int64_t from_at, float *to, int64_t to_frames, int64_t to_at,
                        int64_t count)
{
    for (int64_t p = 0; p < flow->outer && count > 0; p++)
        memcpy(to + (p * to_frames + to_at) * flow->inner,
               from + (p * from_frames + from_at) * flow->inner,
               (size_t)(count * flow->inner) * sizeof *to);
}

/* Edges */

/* Frames [begin, end) of an edge: this round's chunk itself if it is just these, else put
 * together in memory that is the caller's (*is_own). */
static enum i3d_status assemble(struct i3d_stream *stream, const struct edge *edge,
                                int64_t begin, int64_t end, float **data, bool *is_own,
                                struct i3d_error *error)
{
    const struct i3d_flow *flow = &stream->plan.flows[edge->flow];
    const struct chunk *chunk = &stream->chunks[edge->flow];
    *is_own = false;
    if (chunk->data && chunk->begin == begin && chunk->end == end) {
        *data = chunk->data;
        return I3D_OK;
    }
    enum i3d_status status = reserve(flow, end - begin, data, error);
    if (status)
        return status;
    *is_own = true;
    int64_t kept_end = edge->end < end ? edge->end : end;
    copy_frames(flow, edge->kept, edge->end - edge->begin, begin - edge->begin, *data,
                end - begin, 0, kept_end - begin);
    int64_t from = begin > chunk->begin ? begin : chunk->begin;
    if (chunk->data)
        copy_frames(flow, chunk->data, chunk->end - chunk->begin, from - chunk->begin, *data,
                    end - begin, from - begin, end - from);
    return I3D_OK;
}

/* Keeps what there is of an edge from frame begin on, for the rounds to come. */
static enum i3d_status keep(struct i3d_stream *stream, struct edge *edge, int64_t begin,
                            struct i3d_error *error)
{
    const struct i3d_flow *flow = &stream->plan.flows[edge->flow];
    int64_t end = stream->chunks[edge->flow].end;
    begin = begin < end ? begin : end;
    if (begin == edge->begin && end == edge->end)
        return I3D_OK;
    float *data = NULL;
    bool is_own = false;
    enum i3d_status status = I3D_OK;
    if (begin < end)
        status = assemble(stream, edge, begin, end, &data, &is_own, error);
    if (!status)
        status = grow((void **)&edge->kept, &edge->bytes, bytes_of(flow, end - begin), error);
    if (!status && begin < end)
        memcpy(edge->kept, data, bytes_of(flow, end - begin));
    if (is_own)
        free(data);
    edge->begin = begin;
    edge->end = end;
    return status;
}

static int64_t first_seen(const struct i3d_reach *reach, int64_t frame)
{
    int64_t first = frame * reach->stride - reach->pad_begin;
    return first > 0 ? first : 0;
}

/* How many frames of the output can be made from what there is. */
static int64_t frames_possible(const struct i3d_stream *stream, const struct stream_step *step)
{
    int64_t possible = stream->plan.flows[step->flow].frames;
    for (size_t k = 0; k < step->edge_count; k++) {
        const struct i3d_reach *reach = &step->edges[k].reach;
        if (step->edges[k].flow == I3D_NOWHERE)
            continue;
        int64_t there = stream->chunks[step->edges[k].flow].end;
        if (there == stream->plan.flows[step->edges[k].flow].frames)
            continue;
        int64_t last = there - 1 + reach->pad_begin - (reach->kernel - 1) * reach->dilation;
        int64_t count = last < 0 ? 0 : last / reach->stride + 1;
        possible = count < possible ? count : possible;
    }
    return possible;
}

/* Steps */

static enum i3d_status compute_layer(struct i3d_stream *stream, struct stream_step *step,
                                     struct i3d_operation *op)
{
    struct i3d_convolution_geometry geometry;
    memset(&geometry, 0, sizeof geometry);
    enum i3d_status status = i3d_op_conv_output(op, &geometry);
    const struct i3d_array *residual = step->step->residual
        ? &op->inputs[step->step->node->input_count] : NULL;
    if (!status && residual && !i3d_array_same_shape(residual, &op->outputs[0]))
        status = i3d_fail(op->error, I3D_MALFORMED, "what is added to it has another shape");
    if (!status)
        status = i3d_layer_prepare(&step->layer, op, step->step, stream->model, &geometry,
                                   stream->options.factored
                                       && stream->options.engine == I3D_ENGINE_FAST);
    if (!status)
        status = grow(&stream->workspace, &stream->workspace_bytes,
                      i3d_layer_workspace(&step->layer, stream->threads), op->error);
    if (!status)
        i3d_layer_run(&step->layer, op, step->step, residual, stream->workspace);
    return status;
}

/* Makes the output's frames [step->done, end) in room, from operands that are there. */
static enum i3d_status compute(struct i3d_stream *stream, struct stream_step *step, int64_t end,
                               const struct i3d_array *inputs, float *room,
                               struct i3d_error *error)
{
    const struct i3d_node *node = step->step->node;
    const struct i3d_operator_row *row = i3d_operator_row(node);
    const struct i3d_flow *out = &stream->plan.flows[step->flow];
    const struct i3d_reach *reach = &step->reach;
    int64_t ahead = reach->pad_begin - step->done * reach->stride, count = end - step->done;
    const struct i3d_flow *in = step->edges[0].flow == I3D_NOWHERE
        ? out : &stream->plan.flows[step->edges[0].flow];
    struct i3d_excerpt excerpt = { .pad_begin = ahead > 0 ? ahead : 0, .out = count,
                                   .clip_in = in->frames, .clip_out = out->frames };
    struct i3d_array output = { 0 };
    struct i3d_room rooms = { room, bytes_of(out, count) };
    struct i3d_operation op = {
        .node = node,
        .opset = i3d_opset(stream->model),
        .variant = row->variant,
        .threads = stream->threads,
        .engine = stream->options.engine,
        .excerpt = &excerpt,
        .input_count = node->input_count,
        .output_count = 1,
        .inputs = inputs,
        .outputs = &output,
        .rooms = &rooms,
        .error = error,
    };
    enum i3d_status status = i3d_check_operands(&op, row->operands);
    if (!status)
        status = step->step->is_layer ? compute_layer(stream, step, &op) : row->compute(&op);
    if (!status && i3d_array_bytes(&output) != rooms.bytes)
        status = i3d_fail(error, I3D_MALFORMED, "its output has another shape than was told");
    if (output.data != room) {
        if (!status)
            memcpy(room, output.data, rooms.bytes);
        i3d_array_free(&output);
    }
    return status;
}

/* The operands for the output's frames [step->done, end), and then these. */
static enum i3d_status make_frames(struct i3d_stream *stream, struct stream_step *step,
                                   int64_t end, struct i3d_error *error)
{
    const struct i3d_flow *out = &stream->plan.flows[step->flow];
    struct chunk *chunk = &stream->chunks[step->flow];
    struct i3d_array *inputs = calloc(step->edge_count + 1, sizeof *inputs);
    bool *is_own = calloc(step->edge_count + 1, sizeof *is_own);
    enum i3d_status status = inputs && is_own ? I3D_OK : i3d_fail_memory(error);
    for (size_t k = 0; k < step->edge_count && !status; k++) {
        struct edge *edge = &step->edges[k];
        inputs[k] = edge->constant;
        if (edge->flow == I3D_NOWHERE)
            continue;
        const struct i3d_flow *flow = &stream->plan.flows[edge->flow];
        const struct i3d_reach *reach = &edge->reach;
        int64_t first = first_seen(reach, step->done);
        int64_t last = (end - 1) * reach->stride - reach->pad_begin
            + (reach->kernel - 1) * reach->dilation + 1;
        last = last < flow->frames ? last : flow->frames;
        inputs[k] = (struct i3d_array){ .dtype = I3D_FLOAT32, .rank = flow->rank };
        memcpy(inputs[k].dims, flow->dims, sizeof flow->dims);
        inputs[k].dims[flow->axis] = last - first;
        float *data = NULL;
        status = assemble(stream, edge, first, last, &data, &is_own[k], error);
        inputs[k].data = data;
    }
    float *room = NULL;
    if (!status)
        status = reserve(out, end - step->done, &room, error);
    if (!status)
        status = compute(stream, step, end, inputs, room, error);
    for (size_t k = 0; inputs && is_own && k < step->edge_count; k++)
        if (is_own[k])
            i3d_array_free(&inputs[k]);
    free(inputs);
    free(is_own);
    chunk->data = room;
    chunk->begin = step->done;
    chunk->end = step->done = end;
    return status;
}

/* Stores what is collected of a new chunk; nobody may read it otherwise. */
static void settle_chunk(struct i3d_stream *stream, int64_t number)
{
    const struct i3d_flow *flow = &stream->plan.flows[number];
    struct chunk *chunk = &stream->chunks[number];
    if (chunk->data && flow->collected)
        copy_frames(flow, chunk->data, chunk->end - chunk->begin, 0,
                    stream->results[number].data, flow->frames, chunk->begin,
                    chunk->end - chunk->begin);
    if (!chunk->readers)
        drop_chunk(chunk);
}

static void leave_chunk(struct chunk *chunk)
{
    if (--chunk->readers == 0)
        drop_chunk(chunk);
}

static enum i3d_status advance(struct i3d_stream *stream, struct stream_step *step,
                               struct i3d_error *error)
{
    int64_t possible = frames_possible(stream, step);
    struct chunk *chunk = &stream->chunks[step->flow];
    chunk->data = NULL;
    chunk->begin = chunk->end;
    enum i3d_status status = I3D_OK;
    if (possible > step->done)
        status = make_frames(stream, step, possible, error);
    bool ends = step->done == stream->plan.flows[step->flow].frames;
    for (size_t k = 0; k < step->edge_count && !status; k++) {
        struct edge *edge = &step->edges[k];
        if (edge->flow == I3D_NOWHERE)
            continue;
        status = keep(stream, edge, ends ? INT64_MAX : first_seen(&edge->reach, step->done),
                      error);
        leave_chunk(&stream->chunks[edge->flow]);
    }
    if (status)
        return i3d_infer_where(step->step->node, error);
    settle_chunk(stream, step->flow);
    return I3D_OK;
}

static void count_readers(struct i3d_stream *stream)
{
    for (size_t i = 0; i < stream->step_count; i++)
        for (size_t k = 0; k < stream->steps[i].edge_count; k++)
            if (stream->steps[i].edges[k].flow != I3D_NOWHERE)
                stream->chunks[stream->steps[i].edges[k].flow].readers++;
}

/* The clip's next frames, through all steps. */
static enum i3d_status run_window(struct i3d_stream *stream, int64_t count,
                                  i3d_frame_reader *reader, void *context,
                                  struct i3d_error *error)
{
    struct chunk *clip = &stream->chunks[stream->input];
    enum i3d_status status = reserve(&stream->plan.flows[stream->input], count, &clip->data,
                                     error);
    if (status)
        return status;
    clip->begin = clip->end;
    clip->end += count;
    status = reader(context, clip->begin, count, clip->data, error);
    count_readers(stream);
    for (size_t i = 0; i < stream->step_count && !status; i++)
        status = advance(stream, &stream->steps[i], error);
    return status;
}

/* Opening and closing */

static enum i3d_status open_edge(struct i3d_stream *stream, const struct stream_step *step,
                                 size_t k, struct edge *edge, struct i3d_error *error)
{
    const char *name = i3d_step_read(step->step, k);
    /* What is fused behind a window sees the frames as they come. */
    edge->reach = k < step->step->node->input_count
        ? step->reach : (struct i3d_reach){ .kernel = 1, .stride = 1, .dilation = 1 };
    edge->flow = *name ? i3d_index_value(stream->plan.index, name) : I3D_NOWHERE;
    if (edge->flow != I3D_NOWHERE && stream->plan.flows[edge->flow].value)
        return I3D_OK;
    edge->flow = I3D_NOWHERE;
    int64_t position = *name ? i3d_index_tensor(stream->plan.index, name) : I3D_NOWHERE;
    if (position == I3D_NOWHERE)
        return I3D_OK;
    const struct i3d_tensor *tensor = &stream->model->tensors[position];
    if (!step->step->is_layer || k >= step->step->node->input_count)
        return i3d_array_load(tensor, &edge->constant, error);
    edge->constant.dtype = i3d_array_dtype(tensor->dtype);
    edge->constant.rank = tensor->rank;
    memcpy(edge->constant.dims, tensor->dims, sizeof edge->constant.dims);
    return I3D_OK;
}

static enum i3d_status open_step(struct i3d_stream *stream, const struct i3d_step *fused,
                                 struct stream_step *step, struct i3d_error *error)
{
    *step = (struct stream_step){ .step = fused, .edge_count = i3d_step_read_count(fused) };
    step->flow = i3d_index_value(stream->plan.index, fused->last->outputs[0]);
    step->edges = calloc(step->edge_count + 1, sizeof *step->edges);
    if (!step->edges)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_stream_reach(&stream->plan, fused->node, &step->reach, error);
    for (size_t k = 0; k < step->edge_count && !status; k++)
        status = open_edge(stream, step, k, &step->edges[k], error);
    return status;
}

/* Fuses as a run of the whole clip does, so that numbers are the same, and takes the steps
 * that are computed by windows. */
static enum i3d_status open_steps(struct i3d_stream *stream, struct i3d_error *error)
{
    const struct i3d_stream_plan *plan = &stream->plan;
    const struct i3d_model *model = stream->model;
    size_t count = 0;
    bool *kept = calloc(plan->flow_count + 1, sizeof *kept);
    if (!kept)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < plan->flow_count; i++)
        kept[i] = plan->flows[i].collected;
    kept[i3d_index_value(plan->index, stream->value)] = true;
    for (size_t i = 0; i < model->output_count; i++) {
        int64_t number = i3d_index_value(plan->index, model->outputs[i].name);
        if (number != I3D_NOWHERE)
            kept[number] = true;
    }
    enum i3d_status status = i3d_fuse(model, plan->index, plan->shapes, kept,
                                      stream->options.engine != I3D_ENGINE_REFERENCE,
                                      &stream->fused, &count, error);
    free(kept);
    if (status)
        return status;
    stream->steps = calloc(count + 1, sizeof *stream->steps);
    if (!stream->steps)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < count && !status; i++)
        if (plan->by_windows[stream->fused[i].last - model->nodes])
            status = open_step(stream, &stream->fused[i], &stream->steps[stream->step_count++],
                               error);
    return status;
}

enum i3d_status i3d_stream_open(const struct i3d_model *model,
                                const struct i3d_run_options *options,
                                const struct i3d_shape *clip, const char *value,
                                struct i3d_stream **opened, struct i3d_error *error)
{
    bool streams = false;
    *opened = NULL;
    struct i3d_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return i3d_fail_memory(error);
    stream->model = model;
    stream->options = *options;
    stream->threads = options->threads > 0 ? options->threads : omp_get_max_threads();
    stream->value = value;
    enum i3d_status status = I3D_OK;
    if (options->time_padding == I3D_TIME_AS_DEPLOYED)
        status = i3d_stream_plan(model, clip, value, &stream->plan, &streams, error);
    if (!status && streams) {
        stream->input = i3d_index_value(stream->plan.index, model->inputs[0].name);
        stream->chunks = calloc(stream->plan.flow_count + 1, sizeof *stream->chunks);
        stream->results = calloc(stream->plan.flow_count + 1, sizeof *stream->results);
        status = stream->chunks && stream->results ? open_steps(stream, error)
                                                   : i3d_fail_memory(error);
    }
    if (status || !streams)
        i3d_stream_close(stream);
    else
        *opened = stream;
    return status;
}

static void drop_values(struct i3d_stream *stream)
{
    for (size_t i = 0; stream->chunks && stream->results && i < stream->plan.flow_count; i++) {
        drop_chunk(&stream->chunks[i]);
        i3d_array_free(&stream->results[i]);
    }
}

void i3d_stream_close(struct i3d_stream *stream)
{
    if (!stream)
        return;
    for (size_t i = 0; stream->steps && i < stream->step_count; i++) {
        struct stream_step *step = &stream->steps[i];
        for (size_t k = 0; step->edges && k < step->edge_count; k++) {
            free(step->edges[k].kept);
            i3d_array_free(&step->edges[k].constant);
        }
        free(step->edges);
        i3d_layer_free(&step->layer);
    }
    drop_values(stream);
    free(stream->steps);
    free(stream->fused);
    free(stream->chunks);
    free(stream->results);
    free(stream->workspace);
    i3d_stream_plan_free(&stream->plan);
    free(stream);
}

int64_t i3d_stream_frames(const struct i3d_stream *stream)
{
    return stream->plan.flows[stream->input].frames;
}

/* The run */

static enum i3d_status start(struct i3d_stream *stream, struct i3d_error *error)
{
    drop_values(stream);
    memset(stream->chunks, 0, stream->plan.flow_count * sizeof *stream->chunks);
    for (size_t i = 0; i < stream->step_count; i++) {
        stream->steps[i].done = 0;
        for (size_t k = 0; k < stream->steps[i].edge_count; k++)
            stream->steps[i].edges[k].begin = stream->steps[i].edges[k].end = 0;
    }
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < stream->plan.flow_count && !status; i++) {
        const struct i3d_flow *flow = &stream->plan.flows[i];
        if (flow->collected)
            status = i3d_array_reserve(I3D_FLOAT32, flow->rank, flow->dims, &stream->results[i],
                                       error);
    }
    return status;
}

struct wanted {
    const char *value;
    struct i3d_array *result;
    bool found;
};

static enum i3d_status take_value(void *context, const struct i3d_node *node, const char *value,
                                  const struct i3d_array *array, struct i3d_error *error)
{
    struct wanted *wanted = context;
    (void)node;
    if (wanted->found || strcmp(value, wanted->value))
        return I3D_OK;
    wanted->found = true;
    return i3d_array_copy(array, wanted->result, error);
}

/* What is left for the end, from what was collected. */
static enum i3d_status run_tail(struct i3d_stream *stream, struct i3d_array *result,
                                struct i3d_error *error)
{
    const struct i3d_model *tail = &stream->plan.tail;
    struct wanted wanted = { .value = stream->value, .result = result };
    struct i3d_run_options options = stream->options;
    struct i3d_array *inputs = calloc(tail->input_count + 1, sizeof *inputs);
    if (!inputs)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < tail->input_count; i++)
        inputs[i] = stream->results[i3d_index_value(stream->plan.index, tail->inputs[i].name)];
    options.wanted = &wanted.value;
    options.wanted_count = 1;
    enum i3d_status status = i3d_run(tail, inputs, &options, take_value, &wanted, NULL, error);
    if (!status && !wanted.found)
        status = i3d_fail(error, I3D_USAGE, "no node computes %s", stream->value);
    free(inputs);
    return status;
}

enum i3d_status i3d_stream_run(struct i3d_stream *stream, int64_t window,
                               i3d_frame_reader *reader, void *context, struct i3d_array *result,
                               struct i3d_error *error)
{
    int64_t frames = i3d_stream_frames(stream), number;
    *result = (struct i3d_array){ 0 };
    enum i3d_status status = start(stream, error);
    struct i3d_blas_state blas = i3d_blas_begin();
    for (int64_t done = 0; done < frames && !status;) {
        int64_t count = frames - done < window ? frames - done : window;
        status = run_window(stream, count, reader, context, error);
        done += count;
    }
    i3d_blas_end(blas);
    if (status)
        return status;
    number = i3d_index_value(stream->plan.index, stream->value);
    if (!stream->plan.flows[number].collected || stream->plan.tail.node_count)
        return run_tail(stream, result, error);
    *result = stream->results[number];
    stream->results[number] = (struct i3d_array){ 0 };
    return I3D_OK;
}
