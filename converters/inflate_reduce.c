/* Means, sums, maxima and norms over axes. */
#include "converters/inflater.h"

#include <string.h>

/* A mean or a maximum over height and width is one over time too. */
static bool takes_time_along(const struct i3d_node *node)
{
    return i3d_is(node, "ReduceMean") || i3d_is(node, "ReduceMax") || i3d_is(node, "ReduceMin");
}

/* A sum, or what is made of one, grows with the frames: each frame has its own, and
 * their mean is taken. */
static enum i3d_status mean_of_frames(struct inflater *in, const char *frames, int64_t time,
                                      bool keepdims, const char *output, struct i3d_error *error)
{
    return i3d_emit_axes(in, "ReduceMean", frames, output, &time, 1, keepdims, error);
}

/* The axes in 3D, with_time that of time too. */
static int rename_axes(const struct flow *flow, const int64_t *axes, int count, int rank,
                       bool with_time, int64_t renamed[I3D_MAX_RANK + 1])
{
    int used = 0;
    for (int k = 0; k < rank; k++) {
        if (k == flow->time && with_time)
            renamed[used++] = flow->time;
        for (int i = 0; i < count; i++)
            if (axes[i] == k)
                renamed[used++] = k + (k >= flow->time);
    }
    if (flow->time == rank && with_time)
        renamed[used++] = flow->time;
    return used;
}

static bool covers_space(const struct flow *flow, const int64_t *axes, int count)
{
    for (int k = flow->time; k < flow->time + flow->spatial; k++) {
        bool found = false;
        for (int i = 0; i < count; i++)
            found |= axes[i] == k;
        if (!found)
            return false;
    }
    return true;
}

/* Where time stands behind the reduction, and how much space is left behind it. */
static void reduce_flow(struct flow *flow, const int64_t *axes, int count, bool keepdims)
{
    int ahead = 0, spatial = 0;
    for (int i = 0; i < count; i++) {
        ahead += axes[i] < flow->time;
        spatial += axes[i] >= flow->time && axes[i] < flow->time + flow->spatial;
    }
    flow->name = NULL;
    if (keepdims)
        return;
    flow->time -= ahead;
    flow->spatial -= spatial;
}

enum i3d_status i3d_inflate_reduce(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank, count;
    int64_t axes[I3D_MAX_RANK], renamed[I3D_MAX_RANK + 1];
    if (rank < 0 || rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "the rank of its input is not known");
    enum i3d_status status = i3d_read_axes(in, flat, rank, axes, &count, error);
    if (status)
        return status;
    if (!count && i3d_int(flat, "noop_with_empty_axes", 0))
        return i3d_refuse(flat, error, "it reduces nothing");
    for (int k = 0; !count && k < rank; k++)
        axes[k] = k;
    count = count ? count : rank;
    bool keepdims = i3d_int(flat, "keepdims", 1);
    bool whole = covers_space(&flow, axes, count);
    bool with_time = whole && takes_time_along(flat);
    int used = rename_axes(&flow, axes, count, rank, with_time, renamed);
    const char *output = flat->outputs[0];
    const char *frames = whole && !with_time ? i3d_join(in, output, "of_each_frame") : output;
    if (!frames)
        return i3d_fail_memory(error);
    status = i3d_emit_axes(in, flat->op_type, i3d_emitted(in, flat->inputs[0]), frames, renamed,
                           used, keepdims, error);
    reduce_flow(&flow, axes, count, keepdims);
    if (!status && whole && !with_time)
        status = mean_of_frames(in, frames, flow.time, keepdims, output, error);
    if (whole) {
        flow.single = true;
        flow.time = keepdims ? flow.time : -1;
    }
    *i3d_flow(in, output) = flow;
    return status;
}

/* The norm over height and width of each frame, then the mean over time. */
enum i3d_status i3d_inflate_global_norm(struct inflater *in, size_t position,
                                        struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int64_t p = i3d_int(flat, "p", 2), axes[] = { 3, 4 };
    if (flow.time != 2 || i3d_flat_shape(in, flat->inputs[0])->rank != 4)
        return i3d_refuse(flat, error, "its input is no N×C×H×W image");
    if (p != 1 && p != 2)
        return i3d_refuse(flat, error, "norms other than 1 and 2 are not handled");
    const char *frames = i3d_join(in, flat->outputs[0], "of_each_frame");
    enum i3d_status status = frames
        ? i3d_emit_axes(in, p == 1 ? "ReduceL1" : "ReduceL2", i3d_emitted(in, flat->inputs[0]),
                        frames, axes, 2, true, error)
        : i3d_fail_memory(error);
    flow.single = true;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return status ? status : mean_of_frames(in, frames, flow.time, true, flat->outputs[0], error);
}
