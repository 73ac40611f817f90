/* Operators that name axes: each axis is renamed for the one that is new. */
#include "converters/inflater.h"

#include <string.h>

static const struct i3d_node *node_at(const struct inflater *in, size_t position)
{
    return &in->flat->nodes[position];
}

static int64_t renamed(int64_t axis, const struct flow *flow)
{
    return axis + (axis >= flow->time);
}

static enum i3d_status read_rank(const struct inflater *in, const struct i3d_node *node, int *rank,
                                 struct i3d_error *error)
{
    *rank = i3d_flat_shape(in, node->inputs[0])->rank;
    if (*rank < 0)
        return i3d_refuse(node, error, "the rank of its input is not known");
    return I3D_OK;
}

static enum i3d_status read_axis(const struct i3d_node *node, int64_t fallback, int rank,
                                 int64_t *axis, struct i3d_error *error)
{
    *axis = i3d_int(node, "axis", fallback);
    if (*axis < 0)
        *axis += rank;
    if (*axis < 0 || *axis >= rank)
        return i3d_refuse(node, error, "its axis is outside its input");
    return I3D_OK;
}

/* Appends nodes that repeat a value whose time axis has one element along that of
 * another value. *repeated is the result's name, made from base. */
static enum i3d_status repeat_in_time(struct inflater *in, const char *value, const char *like,
                                      int time, int rank, const char *base,
                                      const char **repeated, struct i3d_error *error)
{
    static const int64_t ones[I3D_MAX_RANK] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const char *shape = i3d_join(in, base, "like"), *frames = i3d_join(in, base, "frames");
    const char *axis = i3d_join(in, base, "axis"), *sizes = i3d_join(in, base, "sizes");
    const char *before = i3d_join(in, base, "before"), *behind = i3d_join(in, base, "behind");
    if (!shape || !frames || !axis || !sizes || !before || !behind)
        return i3d_fail_memory(error);
    int64_t which = time;
    enum i3d_status status = i3d_emit_ints(in, axis, &which, 1, error);
    if (!status)
        status = i3d_emit_ints(in, before, ones, time, error);
    if (!status)
        status = i3d_emit_ints(in, behind, ones, rank - time, error);
    if (status)
        return status;
    struct i3d_node *concat = NULL;
    bool good = i3d_emit(in, "Shape", shape, (const char *[]){ like, NULL },
                         (const char *[]){ shape, NULL })
        && i3d_emit(in, "Gather", frames, (const char *[]){ shape, axis, NULL },
                    (const char *[]){ frames, NULL })
        && (concat = i3d_emit(in, "Concat", sizes,
                              (const char *[]){ before, frames, behind, NULL },
                              (const char *[]){ sizes, NULL }))
        && i3d_set_int(in->to, concat, "axis", 0)
        && i3d_emit(in, "Expand", base, (const char *[]){ value, sizes, NULL },
                    (const char *[]){ base, NULL });
    *repeated = base;
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* *name is input k, which has no time axis, with one of one element. */
static enum i3d_status give_time(struct inflater *in, const struct i3d_node *flat, size_t k,
                                 int64_t time, const char **name, struct i3d_error *error)
{
    *name = i3d_arena_printf(in->to->arena, "%s/input_%zu_with_time", flat->outputs[0], k);
    i3d_mark_used(in, flat->inputs[k]);
    return *name ? i3d_emit_axes(in, "Unsqueeze", i3d_emitted(in, flat->inputs[k]), *name, &time,
                                 1, false, error)
                 : i3d_fail_memory(error);
}

/* The inputs of a Concat have to agree in time: one whose frames are all alike, and
 * which has only one or none, is repeated. *flow gets that of the result, names the
 * repeated inputs' names, and nulls. */
static enum i3d_status agree_in_time(struct inflater *in, const struct i3d_node *flat,
                                     struct flow *flow, int rank, const char **names,
                                     struct i3d_error *error)
{
    const char *full = NULL;
    *flow = (struct flow){ .time = -1 };
    for (size_t k = 0; k < flat->input_count; k++) {
        const struct flow *other = i3d_flow(in, flat->inputs[k]);
        if (other->time < 0)
            continue;
        if (flow->time >= 0 && other->time != flow->time)
            return i3d_refuse(flat, error, "the time axes of its inputs do not line up");
        if (flow->time < 0)
            *flow = *other;
        if (!other->single)
            full = i3d_emitted(in, flat->inputs[k]);
    }
    flow->single = !full;
    enum i3d_status status = I3D_OK;
    for (size_t k = 0; k < flat->input_count && !status; k++) {
        const struct flow *other = i3d_flow(in, flat->inputs[k]);
        const char *input = i3d_emitted(in, flat->inputs[k]);
        if (other->time < 0) {
            status = give_time(in, flat, k, flow->time, &names[k], error);
            input = names[k];
        }
        if (status || !full || (other->time >= 0 && !other->single))
            continue;
        const char *base = i3d_arena_printf(in->to->arena, "%s/repeated_%zu", flat->outputs[0], k);
        status = base ? repeat_in_time(in, input, full, flow->time, rank, base, &names[k], error)
                      : i3d_fail_memory(error);
    }
    return status;
}

static enum i3d_status inflate_concat(struct inflater *in, const struct i3d_node *flat,
                                      struct i3d_error *error)
{
    struct flow flow;
    const char **names = i3d_arena_alloc(in->to->arena, flat->input_count, sizeof *names);
    int rank = 0;
    int64_t axis;
    enum i3d_status status = names ? read_rank(in, flat, &rank, error) : i3d_fail_memory(error);
    if (!status)
        status = read_axis(flat, 1, rank, &axis, error);
    if (!status)
        status = agree_in_time(in, flat, &flow, rank, names, error);
    if (status)
        return status;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_int(in->to, copy, "axis", renamed(axis, &flow)))
        return i3d_fail_memory(error);
    for (size_t k = 0; k < flat->input_count; k++)
        if (names[k])
            copy->inputs[k] = names[k];
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}

enum i3d_status i3d_inflate_one_axis(struct inflater *in, size_t position,
                                     struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    if (i3d_is(flat, "Concat"))
        return inflate_concat(in, flat, error);
    bool softmax = i3d_is(flat, "Softmax") || i3d_is(flat, "LogSoftmax")
        || i3d_is(flat, "Hardmax");
    bool flattens = softmax && in->opset < 13, last = softmax || i3d_is(flat, "LpNormalization");
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank;
    int64_t axis;
    enum i3d_status status = read_rank(in, flat, &rank, error);
    if (!status)
        status = read_axis(flat, flattens ? 1 : last ? -1 : 0, rank, &axis, error);
    if (status)
        return status;
    /* One element of time makes no difference to what is flattened from axis on. */
    bool keeps_axis = flattens && flow.single && axis < flow.time;
    if (flattens && !keeps_axis && (axis != rank - 1 || flow.time > axis))
        return i3d_refuse(flat, error, "before opset 13 it flattens its input");
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_int(in->to, copy, "axis", keeps_axis ? axis : renamed(axis, &flow)))
        return i3d_fail_memory(error);
    flow.name = NULL;
    if ((i3d_is(flat, "ArgMax") || i3d_is(flat, "ArgMin")) && !i3d_int(flat, "keepdims", 1)
        && axis < flow.time)
        flow.time--;
    for (size_t k = 0; k < flat->output_count; k++)
        if (*flat->outputs[k])
            *i3d_flow(in, flat->outputs[k]) = flow;
    return I3D_OK;
}

/* Elements along an axis: how exporters write x[:, 0] and channel shuffles. */
enum i3d_status i3d_inflate_gather(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank;
    int64_t axis;
    enum i3d_status status = read_rank(in, flat, &rank, error);
    if (!status)
        status = read_axis(flat, 0, rank, &axis, error);
    if (status)
        return status;
    int index_rank = i3d_flat_shape(in, flat->inputs[1])->rank;
    if (flow.time < 0 || i3d_flow(in, flat->inputs[1])->time >= 0)
        return i3d_refuse(flat, error, "its indices are computed from the image");
    if (index_rank < 0 || index_rank > 1)
        return i3d_refuse(flat, error, "its indices are no list");
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_int(in->to, copy, "axis", renamed(axis, &flow)))
        return i3d_fail_memory(error);
    if (index_rank == 0 && axis < flow.time)
        flow.time--;
    else if (index_rank == 0 && axis < flow.time + flow.spatial)
        flow.spatial--;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}

/* Starts, ends, axes and steps as attributes (before opset 10) or inputs. */
enum i3d_status i3d_inflate_slice(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank, count, starts;
    int64_t axes[I3D_MAX_RANK], ignored[I3D_MAX_RANK];
    enum i3d_status status = read_rank(in, flat, &rank, error);
    if (!status)
        status = i3d_read_numbers(in, flat, "starts", 1, ignored, &starts, error);
    if (!status)
        status = i3d_read_numbers(in, flat, "axes", 3, axes, &count, error);
    if (status)
        return status;
    if (count < 0)
        for (count = 0; count < starts; count++)
            axes[count] = count;
    for (int i = 0; i < count; i++) {
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || axes[i] >= rank)
            return i3d_refuse(flat, error, "an axis is outside its input");
        axes[i] = renamed(axes[i], &flow);
    }
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    if (flat->input_count < 2) {
        struct i3d_node *copy = i3d_emit_copy(in, flat);
        return copy && i3d_set_ints(in->to, copy, "axes", axes, (size_t)count)
            ? I3D_OK : i3d_fail_memory(error);
    }
    const char *name = i3d_join(in, flat->outputs[0], "axes");
    if (!name)
        return i3d_fail_memory(error);
    struct i3d_node *copy;
    if (flat->input_count > 3) {
        copy = i3d_emit_copy_but(in, flat, 3);
        if (copy)
            copy->inputs[3] = name;
    } else {
        const char *inputs[] = { i3d_emitted(in, flat->inputs[0]), flat->inputs[1],
                                 flat->inputs[2], name, NULL };
        i3d_mark_used(in, flat->inputs[1]);
        i3d_mark_used(in, flat->inputs[2]);
        copy = i3d_emit(in, "Slice", flat->name, inputs,
                        (const char *[]){ flat->outputs[0], NULL });
    }
    return copy ? i3d_emit_ints(in, name, axes, count, error) : i3d_fail_memory(error);
}

enum i3d_status i3d_inflate_transpose(struct inflater *in, size_t position,
                                      struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank;
    enum i3d_status status = read_rank(in, flat, &rank, error);
    if (status)
        return status;
    size_t count;
    const int64_t *stated = i3d_ints(flat, "perm", &count);
    if ((stated && count != (size_t)rank) || rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "its perm does not fit its input");
    int64_t perm[I3D_MAX_RANK];
    int used = 0, time = rank;
    for (int k = 0; k < rank; k++) { /* time goes ahead of what it was ahead of */
        int64_t from = stated ? stated[k] : rank - 1 - k;
        if (from < 0 || from >= rank)
            return i3d_refuse(flat, error, "its perm does not fit its input");
        if (from == flow.time) {
            time = k;
            perm[used++] = flow.time;
        }
        perm[used++] = renamed(from, &flow);
    }
    if (used == rank) /* it was behind all axes, and stays there */
        perm[used++] = flow.time;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_ints(in->to, copy, "perm", perm, (size_t)used))
        return i3d_fail_memory(error);
    flow.time = time;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}

/* Removing an axis behind time ends the image: the mean over time comes first. */
enum i3d_status i3d_inflate_squeeze(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank, count, ahead = 0;
    int64_t axes[I3D_MAX_RANK];
    enum i3d_status status = read_rank(in, flat, &rank, error);
    if (!status)
        status = i3d_read_axes(in, flat, rank, axes, &count, error);
    if (status)
        return status;
    const struct i3d_shape *shape = i3d_flat_shape(in, flat->inputs[0]);
    if (!count)
        for (int k = 0; k < rank; k++)
            if (shape->dims[k] == 1)
                axes[count++] = k;
    for (int i = 0; i < count; i++)
        ahead += axes[i] < flow.time;
    const char *input = i3d_emitted(in, flat->inputs[0]);
    if (ahead == count) {
        flow.time -= ahead;
        flow.name = NULL;
        *i3d_flow(in, flat->outputs[0]) = flow;
    } else {
        status = i3d_emit_mean_over_time(in, flat, 0, &input, error);
        if (status)
            return status;
    }
    return i3d_emit_axes(in, "Squeeze", input, flat->outputs[0], axes, count, false, error);
}

enum i3d_status i3d_inflate_unsqueeze(struct inflater *in, size_t position,
                                      struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->outputs[0])->rank, count;
    int64_t axes[I3D_MAX_RANK];
    if (rank < 0 || rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "the rank of its output is not known");
    enum i3d_status status = i3d_read_axes(in, flat, rank, axes, &count, error);
    if (status)
        return status;
    bool inserted[I3D_MAX_RANK] = { false };
    for (int i = 0; i < count; i++)
        inserted[axes[i]] = true;
    int time = 0;
    for (int kept = 0; time < rank; time++)
        if (!inserted[time] && kept++ == flow.time)
            break;
    for (int i = 0; i < count; i++)
        axes[i] += axes[i] >= time;
    const char *input = i3d_emitted(in, flat->inputs[0]);
    flow.time = time;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return i3d_emit_axes(in, "Unsqueeze", input, flat->outputs[0], axes, count, false, error);
}

/* Normalises over the axes from one on, with affine parameters of their shape: time
 * has to stand ahead of them, and is brought there and back where it does not. */
enum i3d_status i3d_inflate_layer_norm(struct inflater *in, size_t position,
                                       struct i3d_error *error)
{
    const struct i3d_node *flat = node_at(in, position);
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank;
    int64_t axis, there[I3D_MAX_RANK], back[I3D_MAX_RANK];
    enum i3d_status status = read_rank(in, flat, &rank, error);
    if (!status)
        status = read_axis(flat, -1, rank, &axis, error);
    if (status)
        return status;
    for (size_t k = 1; k < flat->output_count; k++)
        if (*flat->outputs[k])
            return i3d_refuse(flat, error, "its mean and deviation are asked for");
    const char *ahead = i3d_join(in, flat->outputs[0], "time_ahead");
    const char *normalised = i3d_join(in, flat->outputs[0], "normalised");
    bool moves = flow.time > axis;
    if (!ahead || !normalised)
        return i3d_fail_memory(error);
    for (int k = 0; k <= rank; k++) {
        int64_t from = k < axis ? k : k == axis ? flow.time : k <= flow.time ? k - 1 : k;
        there[k] = from;
        back[from] = k;
    }
    struct i3d_node *move = NULL;
    if (moves) {
        move = i3d_emit(in, "Transpose", ahead,
                        (const char *[]){ i3d_emitted(in, flat->inputs[0]), NULL },
                        (const char *[]){ ahead, NULL });
        if (!move || !i3d_set_ints(in->to, move, "perm", there, (size_t)rank + 1))
            return i3d_fail_memory(error);
    }
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy || !i3d_set_int(in->to, copy, "axis", axis + 1))
        return i3d_fail_memory(error);
    if (moves) {
        copy->inputs[0] = ahead;
        copy->outputs[0] = normalised;
        move = i3d_emit(in, "Transpose", flat->outputs[0], (const char *[]){ normalised, NULL },
                        (const char *[]){ flat->outputs[0], NULL });
        if (!move || !i3d_set_ints(in->to, move, "perm", back, (size_t)rank + 1))
            return i3d_fail_memory(error);
    }
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}
