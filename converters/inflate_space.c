/* Operators that work on height and width in ways of their own. */
#include "converters/inflater.h"

#include <string.h>

enum i3d_status i3d_need_image(const struct inflater *in, const struct i3d_node *flat,
                               struct i3d_error *error)
{
    const struct i3d_shape *shape = i3d_flat_shape(in, flat->inputs[0]);
    if (i3d_flow(in, flat->inputs[0])->time != 2 || shape->rank != 4)
        return i3d_refuse(flat, error, "its input is no N×C×H×W image");
    if (shape->dims[2] < 1 || shape->dims[3] < 1)
        return i3d_refuse(flat, error, "height and width of its input are not known");
    return I3D_OK;
}

/* Time and height as one axis around an operator that takes images only and does not
 * look from one row to another, or not beyond rows that lie together: LRN, since ONNX
 * Runtime takes it on 4-D input only, and the two between depth and space, whose
 * blocks never reach from one frame into the next. */
enum i3d_status i3d_inflate_folded(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    enum i3d_status status = i3d_need_image(in, flat, error);
    if (status)
        return status;
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *output = flat->outputs[0];
    const char *folded = i3d_join(in, output, "folded"), *done = i3d_join(in, output, "unfolded");
    if (to->rank != 4 || to->dims[1] < 1 || to->dims[2] < 1 || to->dims[3] < 1)
        return i3d_refuse(flat, error, "the sizes of its output are not known");
    if (!folded || !done)
        return i3d_fail_memory(error);
    status = i3d_emit_reshape(in, i3d_emitted(in, flat->inputs[0]), folded,
                              (int64_t[]){ 0, 0, -1, from->dims[3] }, 4, error);
    if (status)
        return status;
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[0] = folded;
    copy->outputs[0] = done;
    *i3d_flow(in, output) = *i3d_flow(in, flat->inputs[0]);
    i3d_flow(in, output)->name = NULL;
    return i3d_emit_reshape(in, done, output,
                            (int64_t[]){ 0, to->dims[1], -1, to->dims[2], to->dims[3] }, 5, error);
}

/* Whether everything that reads the value looks beyond single frames and brings no
 * padding in time of its own: this padding then belongs to those windows. */
static bool pads_for_windows(const struct inflater *in, const char *value)
{
    size_t count;
    const size_t *readers = i3d_index_consumers(in->index, value, &count);
    for (size_t i = 0; i < count; i++) {
        struct i3d_temporal time;
        if (!i3d_temporal_of(in, readers[i], &time) || time.kernel < 2 || time.pad_begin
            || time.pad_end)
            return false;
    }
    return count > 0;
}

/* The pads of all axes, from attribute or input; some operators state them for the axes
 * of input 3 alone. */
static enum i3d_status read_pads(const struct inflater *in, const struct i3d_node *flat, int rank,
                                 int64_t pads[2 * I3D_MAX_RANK], struct i3d_error *error)
{
    int64_t stated[2 * I3D_MAX_RANK], axes[2 * I3D_MAX_RANK];
    int count, axis_count = -1;
    enum i3d_status status = i3d_read_numbers(in, flat, "pads", 1, stated, &count, error);
    if (!status)
        status = i3d_read_numbers(in, flat, NULL, 3, axes, &axis_count, error);
    if (status)
        return status;
    bool every = axis_count < 0;
    if (every)
        for (axis_count = 0; axis_count < rank; axis_count++)
            axes[axis_count] = axis_count;
    if (count != 2 * axis_count)
        return i3d_refuse(flat, error, "its pads do not fit its input");
    memset(pads, 0, 2 * (size_t)rank * sizeof *pads);
    for (int i = 0; i < axis_count; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? rank : 0);
        if (axis < 0 || axis >= rank)
            return i3d_refuse(flat, error, "an axis is outside its input");
        pads[axis] = stated[i];
        pads[rank + axis] = stated[axis_count + i];
    }
    return I3D_OK;
}

/* Padding of height is padding of time where it belongs to windows over time. */
enum i3d_status i3d_inflate_pad(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank;
    int64_t pads[2 * I3D_MAX_RANK], widened[2 * I3D_MAX_RANK + 2];
    if (flow.time < 0 || rank < 1 || rank >= I3D_MAX_RANK)
        return i3d_refuse(flat, error, "its pads are computed from the image");
    enum i3d_status status = read_pads(in, flat, rank, pads, error);
    if (status)
        return status;
    bool in_time = flow.time < rank && pads_for_windows(in, flat->outputs[0]);
    for (int side = 0, used = 0; side < 2; side++)
        for (int k = 0; k <= rank; k++) {
            if (k == flow.time)
                widened[used++] = in_time ? pads[side * rank + k] : 0;
            if (k < rank)
                widened[used++] = pads[side * rank + k];
        }
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    if (flat->input_count < 2) {
        struct i3d_node *copy = i3d_emit_copy(in, flat);
        return copy && i3d_set_ints(in->to, copy, "pads", widened, (size_t)(2 * rank + 2))
            ? I3D_OK : i3d_fail_memory(error);
    }
    const char *name = i3d_join(in, flat->outputs[0], "pads");
    struct i3d_node all_axes = *flat;
    if (all_axes.input_count > 3)
        all_axes.input_count = 3;
    struct i3d_node *copy = name ? i3d_emit_copy_but(in, &all_axes, 1) : NULL;
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[1] = name;
    return i3d_emit_ints(in, name, widened, 2 * rank + 2, error);
}
