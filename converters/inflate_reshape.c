/* Reshape and its like. The sizes of a 2D Reshape are known on both sides, so its
 * axes fall into groups of equal product; time stays ahead of the group that it was
 * ahead of. Where it would come to stand inside a group, the axes around it are
 * merged: at a flattening head the mean over time is taken first; a normalisation
 * over groups of channels is let through with time in the group. */
#include "converters/inflater.h"

#include <string.h>

/* Axes [in_first, in_end) of the input became [out_first, out_end) of the output. */
struct group {
    int in_first, in_end, out_first, out_end;
};

/* Sizes that are not known match each other only as the first axis (the batch).
 * Returns the count of groups, or -1 if the axes cannot be matched. */
static int match_axes(const struct i3d_shape *in, const struct i3d_shape *out,
                      struct group groups[I3D_MAX_RANK])
{
    int count = 0, i = 0, j = 0;
    while (i < in->rank && j < out->rank) {
        struct group *group = &groups[count++];
        *group = (struct group){ i, i + 1, j, j + 1 };
        int64_t left = in->dims[i++], right = out->dims[j++];
        bool batch = left < 0 && right < 0 && i == 1 && j == 1;
        if ((left < 0 || right < 0) && !batch)
            return -1;
        while (!batch && left != right) {
            bool more_left = left < right;
            if (more_left ? i == in->rank || in->dims[i] < 0
                          : j == out->rank || out->dims[j] < 0)
                return -1;
            if (more_left ? __builtin_mul_overflow(left, in->dims[i++], &left)
                          : __builtin_mul_overflow(right, out->dims[j++], &right))
                return -1;
        }
        group->in_end = i;
        group->out_end = j;
    }
    for (int k = i; k < in->rank; k++) /* ones that go, or come, at the end */
        if (in->dims[k] != 1)
            return -1;
    for (int k = j; k < out->rank; k++)
        if (out->dims[k] != 1)
            return -1;
    if (count && i == in->rank)
        groups[count - 1].out_end = out->rank;
    return count;
}

/* Where time is to stand, or -1 if that is inside a group. *spatial: how many axes
 * are made of height and width. */
static int place_time(const struct flow *flow, const struct group *groups, int count,
                      int in_rank, int out_rank, int *spatial)
{
    int time = flow->time == in_rank ? out_rank : -1;
    *spatial = 0;
    for (int g = 0; g < count; g++) {
        const struct group *group = &groups[g];
        if (group->in_first == flow->time)
            time = group->out_first;
        if (group->in_first >= flow->time && group->in_first < flow->time + flow->spatial)
            *spatial += group->out_end - group->out_first;
        if (group->in_first < flow->time && flow->time < group->in_end)
            return -1;
    }
    if (time < 0) /* what it was ahead of is gone: only ones */
        time = count ? groups[count - 1].out_end : 0;
    return time;
}

enum i3d_status i3d_emit_reshape(struct inflater *in, const char *input, const char *output,
                                 const int64_t *dims, int rank, struct i3d_error *error)
{
    const char *sizes = i3d_join(in, output, "sizes");
    enum i3d_status status = sizes ? i3d_emit_ints(in, sizes, dims, rank, error)
                                   : i3d_fail_memory(error);
    if (status)
        return status;
    return i3d_emit(in, "Reshape", output, (const char *[]){ input, sizes, NULL },
                    (const char *[]){ output, NULL })
        ? I3D_OK : i3d_fail_memory(error);
}

/* The sizes of the output with that of time among them, at time (-1: none). The first
 * axis is copied where it stays, time where it stays in place, and what is not known
 * is left to Reshape: one axis at most. */
static enum i3d_status sizes_with_time(const struct i3d_node *flat, const struct i3d_shape *from,
                                       const struct i3d_shape *to, int time, bool time_is_copied,
                                       int64_t *dims, struct i3d_error *error)
{
    int used = 0, open = 0;
    for (int k = 0; k <= to->rank; k++) {
        if (k == time)
            dims[used++] = time_is_copied ? 0 : -1;
        if (k == to->rank)
            break;
        bool copied = k == 0 && time != 0 && from->rank && from->dims[0] == to->dims[0];
        dims[used++] = copied ? 0 : to->dims[k] < 0 ? -1 : to->dims[k];
    }
    for (int k = 0; k < used; k++)
        open += dims[k] == -1;
    if (open > 1)
        return i3d_refuse(flat, error, "sizes that depend on the input leave more than one open");
    return I3D_OK;
}

/* What reads a merged value has to be a normalisation over its last axis. */
static bool only_normalised(const struct inflater *in, const char *value)
{
    size_t count;
    const size_t *readers = i3d_index_consumers(in->index, value, &count);
    for (size_t i = 0; i < count; i++)
        if (!i3d_is(&in->flat->nodes[readers[i]], "InstanceNormalization"))
            return false;
    return count > 0;
}

static enum i3d_status merge_time(struct inflater *in, const struct i3d_node *flat,
                                  const struct group *groups, int count,
                                  struct i3d_error *error)
{
    const struct flow *flow = i3d_flow(in, flat->inputs[0]);
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    int64_t dims[I3D_MAX_RANK + 1];
    enum i3d_status status = sizes_with_time(flat, from, to, -1, false, dims, error);
    int axis = -1;
    for (int g = 0; g < count; g++)
        if (groups[g].in_first < flow->time && flow->time < groups[g].in_end)
            axis = groups[g].out_end - 1;
    if (status)
        return status;
    dims[axis] = -1;
    if (to->rank != 3 || axis != 2 || dims[0] < 0)
        return i3d_refuse(flat, error, "it merges channels with positions across time");
    *i3d_flow(in, flat->outputs[0]) =
        (struct flow){ .time = axis, .merged_from = flat->inputs[0] };
    return i3d_emit_reshape(in, i3d_emitted(in, flat->inputs[0]), flat->outputs[0], dims,
                            to->rank, error);
}

/* Back to the sizes ahead of the merge. */
static enum i3d_status part_time(struct inflater *in, const struct i3d_node *flat,
                                 struct i3d_error *error)
{
    const char *source = i3d_flow(in, flat->inputs[0])->merged_from;
    const struct i3d_shape *before = i3d_flat_shape(in, source);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    struct flow flow = *i3d_flow(in, source);
    if (to->rank != before->rank
        || memcmp(to->dims, before->dims, (size_t)to->rank * sizeof *to->dims))
        return i3d_refuse(flat, error, "it does not undo the Reshape that merged time");
    int64_t dims[I3D_MAX_RANK + 1];
    enum i3d_status status = sizes_with_time(flat, before, to, flow.time, false, dims, error);
    if (status)
        return status;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return i3d_emit_reshape(in, i3d_emitted(in, flat->inputs[0]), flat->outputs[0], dims,
                            to->rank + 1, error);
}

/* The mean over time, then the Reshape as it is. */
static enum i3d_status flatten_mean(struct inflater *in, const struct i3d_node *flat,
                                    struct i3d_error *error)
{
    const char *mean;
    int64_t dims[I3D_MAX_RANK + 1];
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    enum i3d_status status = sizes_with_time(flat, from, to, -1, false, dims, error);
    if (!status)
        status = i3d_emit_mean_over_time(in, flat, 0, &mean, error);
    return status ? status
                  : i3d_emit_reshape(in, mean, flat->outputs[0], dims, to->rank, error);
}

enum i3d_status i3d_inflate_reshape(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct flow *flow = i3d_flow(in, flat->inputs[0]);
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    struct group groups[I3D_MAX_RANK];
    if (flow->time < 0)
        return i3d_refuse(flat, error, "its sizes are computed from the image");
    if (from->rank < 0 || to->rank < 0 || to->rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "the sizes on either side are not known");
    if (flow->merged_from)
        return part_time(in, flat, error);
    int spatial, count = match_axes(from, to, groups);
    int time = count < 0 ? -1 : place_time(flow, groups, count, from->rank, to->rank, &spatial);
    bool ends_image = time == to->rank || (to->rank <= 2 && from->rank > 2);
    if (ends_image || (time < 0 && flow->single))
        return flatten_mean(in, flat, error);
    if (count < 0)
        return i3d_refuse(flat, error, "it cuts the axes of its input elsewhere than they end");
    if (time < 0 && only_normalised(in, flat->outputs[0]))
        return merge_time(in, flat, groups, count, error);
    if (time < 0)
        return i3d_refuse(flat, error, "it merges channels with positions across time");
    int64_t dims[I3D_MAX_RANK + 1];
    enum i3d_status status =
        sizes_with_time(flat, from, to, time, time == flow->time, dims, error);
    if (status)
        return status;
    *i3d_flow(in, flat->outputs[0]) =
        (struct flow){ .time = time, .spatial = spatial, .single = flow->single };
    return i3d_emit_reshape(in, i3d_emitted(in, flat->inputs[0]), flat->outputs[0], dims,
                            to->rank + 1, error);
}

enum i3d_status i3d_inflate_flatten(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    int64_t axis = i3d_int(flat, "axis", 1);
    const char *mean;
    if (axis < 0)
        axis += i3d_flat_shape(in, flat->inputs[0])->rank;
    if (axis > i3d_flow(in, flat->inputs[0])->time)
        return i3d_refuse(flat, error, "it merges the batch with positions across time");
    enum i3d_status status = i3d_emit_mean_over_time(in, flat, 0, &mean, error);
    if (status)
        return status;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy)
        return i3d_fail_memory(error);
    if (i3d_flow(in, flat->inputs[0])->time >= 0)
        copy->inputs[0] = mean;
    return I3D_OK;
}

/* A list with one number for each axis, aligned at the end: time gets a one. */
static enum i3d_status with_one_for_time(struct inflater *in, const struct i3d_node *flat,
                                         const int64_t *numbers, int count, int behind,
                                         struct i3d_error *error)
{
    const char *name = i3d_join(in, flat->outputs[0], "sizes");
    int64_t widened[I3D_MAX_RANK + 1];
    int used = 0;
    for (int k = 0; k < count; k++) {
        if (count - k == behind)
            widened[used++] = 1;
        widened[used++] = numbers[k];
    }
    if (behind == 0)
        widened[used++] = 1;
    struct i3d_node *copy = name ? i3d_emit_copy_but(in, flat, 1) : NULL;
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[1] = name;
    return i3d_emit_ints(in, name, widened, used, error);
}

/* Broadcasts to the 2D sizes; those that are not known (the batch) stay. */
enum i3d_status i3d_inflate_expand(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    int64_t dims[I3D_MAX_RANK];
    if (flow.time < 0 || from->rank < 0 || to->rank < 0 || to->rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "the sizes on either side are not known");
    int behind = from->rank - flow.time;
    for (int k = 0; k < to->rank; k++)
        dims[k] = to->dims[k] < 0 ? 1 : to->dims[k];
    flow.time = to->rank - behind;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return with_one_for_time(in, flat, dims, to->rank, behind, error);
}

enum i3d_status i3d_inflate_tile(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank, count;
    int64_t repeats[I3D_MAX_RANK];
    enum i3d_status status = i3d_read_numbers(in, flat, NULL, 1, repeats, &count, error);
    if (status)
        return status;
    if (flow.time < 0 || rank < 0 || count != rank || rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "its repeats do not fit its input");
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return with_one_for_time(in, flat, repeats, rank, rank - flow.time, error);
}

bool i3d_fills_like_video(const struct inflater *in, const struct i3d_node *flat)
{
    if (!i3d_is(flat, "ConstantOfShape") || !flat->input_count || !flat->output_count)
        return false;
    int64_t producer = i3d_index_producer(in->index, flat->inputs[0]);
    if (producer == I3D_NOWHERE)
        return false;
    const struct i3d_node *shape = &in->flat->nodes[producer];
    return i3d_is(shape, "Shape") && !i3d_attribute(shape, "start") && !i3d_attribute(shape, "end")
        && i3d_flow(in, shape->inputs[0])->time >= 0;
}

enum i3d_status i3d_fill_like_video(struct inflater *in, const struct i3d_node *flat,
                                    struct i3d_error *error)
{
    int64_t producer = i3d_index_producer(in->index, flat->inputs[0]);
    const char *like = in->flat->nodes[producer].inputs[0];
    const char *sizes = i3d_join(in, flat->outputs[0], "sizes");
    struct i3d_node *fill = NULL;
    bool good = sizes
        && i3d_emit(in, "Shape", sizes, (const char *[]){ i3d_emitted(in, like), NULL },
                    (const char *[]){ sizes, NULL })
        && (fill = i3d_emit_copy(in, flat));
    if (!good)
        return i3d_fail_memory(error);
    fill->inputs[0] = sizes;
    struct flow flow = *i3d_flow(in, like);
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}
