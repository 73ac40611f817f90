/* Operators that work on height and width in ways of their own. */
#include "converters/inflater.h"

#include <stdlib.h>
#include <string.h>

static enum i3d_status need_image(const struct inflater *in, const struct i3d_node *flat,
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
    enum i3d_status status = need_image(in, flat, error);
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

/* Padding of height is padding of time where it belongs to windows over time. */
enum i3d_status i3d_inflate_pad(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    int rank = i3d_flat_shape(in, flat->inputs[0])->rank, count;
    int64_t pads[2 * I3D_MAX_RANK], widened[2 * I3D_MAX_RANK + 2];
    enum i3d_status status = i3d_read_numbers(in, flat, "pads", 1, pads, &count, error);
    if (status)
        return status;
    if (flow.time < 0 || rank < 1 || rank >= I3D_MAX_RANK || count != 2 * rank)
        return i3d_refuse(flat, error, "its pads do not fit its input");
    if (flat->input_count > 3 && *flat->inputs[3])
        return i3d_refuse(flat, error, "its pads are for some axes only");
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
    struct i3d_node *copy = name ? i3d_emit_copy_but(in, flat, 1) : NULL;
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[1] = name;
    return i3d_emit_ints(in, name, widened, 2 * rank + 2, error);
}

/* Which input of a Resize or Upsample holds scales; -1: an attribute does. */
static int scales_input(const struct inflater *in, const struct i3d_node *flat)
{
    if (i3d_is(flat, "Upsample"))
        return in->opset < 9 ? -1 : 1;
    return in->opset < 11 ? 1 : 2;
}

/* The factors that the file states for height and width; false: it states sizes. */
static bool read_scales(const struct inflater *in, const struct i3d_node *flat, float scales[4],
                        struct i3d_error *error, enum i3d_status *status)
{
    int input = scales_input(in, flat);
    const struct i3d_attribute *stated = i3d_attribute(flat, "scales");
    if (input < 0 && stated && stated->type == I3D_ATTRIBUTE_FLOATS && stated->count == 4) {
        memcpy(scales, stated->floats, 4 * sizeof *scales);
        return true;
    }
    const struct i3d_tensor *tensor = input > 0 && flat->input_count > (size_t)input
        ? i3d_flat_tensor(in, flat->inputs[input]) : NULL;
    float *values;
    if (!tensor || i3d_tensor_elements(tensor) != 4)
        return false;
    *status = i3d_tensor_load_float(tensor, &values, error);
    if (*status)
        return false;
    memcpy(scales, values, 4 * sizeof *scales);
    free(values);
    return true;
}

/* Sizes that are computed as the graph runs: batch and channels from the input, the
 * frames times the factor of height, height and width as they are in 2D. */
static enum i3d_status emit_sizes(struct inflater *in, const struct i3d_node *flat, bool in_time,
                                  const char **sizes, struct i3d_error *error)
{
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *base = flat->outputs[0];
    const char *shape = i3d_join(in, base, "shape"), *which = i3d_join(in, base, "kept_axes");
    const char *kept = i3d_join(in, base, "kept"), *plane = i3d_join(in, base, "plane");
    const char *axis = i3d_join(in, base, "time_axis"), *frames = i3d_join(in, base, "frames_in");
    const char *times = i3d_join(in, base, "times"), *parts = i3d_join(in, base, "parts");
    const char *product = i3d_join(in, base, "product"), *out = i3d_join(in, base, "frames_out");
    *sizes = i3d_join(in, base, "sizes");
    if (!shape || !which || !kept || !plane || !axis || !frames || !times || !parts || !product
        || !out || !*sizes)
        return i3d_fail_memory(error);
    int64_t up = in_time ? to->dims[2] : 1, down = in_time ? from->dims[2] : 1, two = 2;
    enum i3d_status status = i3d_emit_ints(in, which, (int64_t[]){ 0, 1 }, 2, error);
    if (!status)
        status = i3d_emit_ints(in, axis, &two, 1, error);
    if (!status)
        status = i3d_emit_ints(in, times, &up, 1, error);
    if (!status)
        status = i3d_emit_ints(in, parts, &down, 1, error);
    if (!status)
        status = i3d_emit_ints(in, plane, to->dims + 2, 2, error);
    if (status)
        return status;
    struct i3d_node *concat = NULL;
    bool good = i3d_emit(in, "Shape", shape,
                         (const char *[]){ i3d_emitted(in, flat->inputs[0]), NULL },
                         (const char *[]){ shape, NULL })
        && i3d_emit(in, "Gather", kept, (const char *[]){ shape, which, NULL },
                    (const char *[]){ kept, NULL })
        && i3d_emit(in, "Gather", frames, (const char *[]){ shape, axis, NULL },
                    (const char *[]){ frames, NULL })
        && i3d_emit(in, "Mul", product, (const char *[]){ frames, times, NULL },
                    (const char *[]){ product, NULL })
        && i3d_emit(in, "Div", out, (const char *[]){ product, parts, NULL },
                    (const char *[]){ out, NULL })
        && (concat = i3d_emit(in, "Concat", *sizes, (const char *[]){ kept, out, plane, NULL },
                              (const char *[]){ *sizes, NULL }));
    return good && i3d_set_int(in->to, concat, "axis", 0) ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status resize_by_scales(struct inflater *in, const struct i3d_node *flat,
                                        const float flat_scales[4], bool in_time,
                                        struct i3d_error *error)
{
    float scales[5] = { flat_scales[0], flat_scales[1], in_time ? flat_scales[2] : 1,
                        flat_scales[2], flat_scales[3] };
    int input = scales_input(in, flat);
    int64_t five = 5;
    if (input < 0) {
        struct i3d_node *copy = i3d_emit_copy(in, flat);
        return copy && i3d_set_floats(in->to, copy, "scales", scales, 5)
            ? I3D_OK : i3d_fail_memory(error);
    }
    const char *name = i3d_join(in, flat->outputs[0], "scales");
    struct i3d_node *copy = name ? i3d_emit_copy_but(in, flat, (size_t)input) : NULL;
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[input] = name;
    return i3d_model_put_floats(in->to, name, 1, &five, scales, error);
}

/* Sizes as input 3 of Resize; operator versions without that input get factors. */
static enum i3d_status resize_by_sizes(struct inflater *in, const struct i3d_node *flat,
                                       bool in_time, struct i3d_error *error)
{
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *sizes;
    if (i3d_is(flat, "Upsample") || in->opset < 11 || flat->input_count < 4)
        return i3d_refuse(flat, error, "its factors are computed, not stored");
    if (to->rank != 4 || to->dims[2] < 1 || to->dims[3] < 1)
        return i3d_refuse(flat, error, "the sizes of its output are not known");
    enum i3d_status status = emit_sizes(in, flat, in_time, &sizes, error);
    if (status)
        return status;
    struct i3d_node *copy = i3d_emit_copy_but(in, flat, 3);
    if (!copy)
        return i3d_fail_memory(error);
    copy->inputs[3] = sizes;
    return I3D_OK;
}

/* Time is resampled by the factor of height where the recipe strides it likewise,
 * so that what an encoder took away its decoder gives back. */
enum i3d_status i3d_inflate_resize(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    enum i3d_status status = need_image(in, flat, error);
    if (status)
        return status;
    if (i3d_string_is(flat, "mode", "cubic"))
        return i3d_refuse(flat, error, "cubic interpolation is for two axes only");
    if (i3d_string_is(flat, "coordinate_transformation_mode", "tf_crop_and_resize"))
        return i3d_refuse(flat, error, "it crops");
    if (i3d_attribute(flat, "axes"))
        return i3d_refuse(flat, error, "it resamples some axes only");
    bool in_time = !flow.single && i3d_time_follows_space(in, position);
    float scales[4];
    bool by_scales = read_scales(in, flat, scales, error, &status);
    if (status)
        return status;
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    return by_scales ? resize_by_scales(in, flat, scales, in_time, error)
                     : resize_by_sizes(in, flat, in_time, error);
}
