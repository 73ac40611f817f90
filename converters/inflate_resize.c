/* Resampling: Resize and Upsample. */
#include "converters/inflater.h"

#include <stdlib.h>
#include <string.h>

/* Which input of a Resize or Upsample holds scales; -1: an attribute does. */
static int scales_input(const struct inflater *in, const struct i3d_node *flat)
{
    if (i3d_is(flat, "Upsample"))
        return in->opset < 9 ? -1 : 1;
    return in->opset < 11 ? 1 : 2;
}

/* The 2D axes that sizes and factors are stated for: those of the attribute, or all. */
static enum i3d_status resampled_axes(const struct i3d_node *flat, size_t axes[4], size_t *count,
                                      struct i3d_error *error)
{
    const int64_t *stated = i3d_ints(flat, "axes", count);
    if (!stated)
        *count = 4;
    if (*count > 4)
        return i3d_refuse(flat, error, "it has more axes than its input");
    for (size_t i = 0; i < *count; i++) {
        int64_t axis = stated ? stated[i] : (int64_t)i;
        if (axis < -4 || axis > 3)
            return i3d_refuse(flat, error, "an axis is outside its input");
        axes[i] = (size_t)(axis < 0 ? axis + 4 : axis);
    }
    return I3D_OK;
}

/* The factors that the file states, by 2D axis; *found is false where it states sizes. */
static enum i3d_status read_scales(const struct inflater *in, const struct i3d_node *flat,
                                   float scales[4], bool *found, struct i3d_error *error)
{
    int input = scales_input(in, flat);
    size_t axes[4], count;
    enum i3d_status status = resampled_axes(flat, axes, &count, error);
    const struct i3d_attribute *stated = i3d_attribute(flat, "scales");
    const struct i3d_tensor *tensor = input > 0 && flat->input_count > (size_t)input
        ? i3d_flat_tensor(in, flat->inputs[input]) : NULL;
    const float *values = NULL;
    float *loaded = NULL;
    *found = false;
    if (status)
        return status;
    if (input < 0 && stated && stated->type == I3D_ATTRIBUTE_FLOATS && stated->count == count) {
        values = stated->floats;
    } else if (tensor && i3d_tensor_elements(tensor) == (int64_t)count) {
        status = i3d_tensor_load_float(tensor, &loaded, error);
        if (status)
            return status;
        values = loaded;
    }
    for (int k = 0; k < 4; k++)
        scales[k] = 1;
    for (size_t i = 0; values && i < count; i++)
        scales[axes[i]] = values[i];
    *found = values != NULL;
    free(loaded);
    return I3D_OK;
}

/* *sizes: batch and channels of a value as the graph runs, then, where frames is not
 * null, that one's size, then height and width as they are in 2D. */
static enum i3d_status emit_sizes(struct inflater *in, const struct i3d_node *flat,
                                  const char *value, const char *frames, const char **sizes,
                                  struct i3d_error *error)
{
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *base = flat->outputs[0];
    const char *shape = i3d_join(in, base, "shape"), *which = i3d_join(in, base, "kept_axes");
    const char *kept = i3d_join(in, base, "kept"), *plane = i3d_join(in, base, "plane");
    *sizes = i3d_join(in, base, "new_sizes");
    if (!shape || !which || !kept || !plane || !*sizes)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_emit_ints(in, which, (int64_t[]){ 0, 1 }, 2, error);
    if (!status)
        status = i3d_emit_ints(in, plane, to->dims + 2, 2, error);
    if (status)
        return status;
    struct i3d_node *concat = NULL;
    bool good = i3d_emit(in, "Shape", shape, (const char *[]){ value, NULL },
                         (const char *[]){ shape, NULL })
        && i3d_emit(in, "Gather", kept, (const char *[]){ shape, which, NULL },
                    (const char *[]){ kept, NULL })
        && (concat = i3d_emit(in, "Concat", *sizes,
                              (const char *[]){ kept, frames ? frames : plane,
                                                frames ? plane : NULL, NULL },
                              (const char *[]){ *sizes, NULL }));
    return good && i3d_set_int(in->to, concat, "axis", 0) ? I3D_OK : i3d_fail_memory(error);
}

/* *out: the frames of a value, times the factor of height where time goes with it. */
static enum i3d_status emit_frames(struct inflater *in, const struct i3d_node *flat,
                                   const char *value, bool in_time, const char **out,
                                   struct i3d_error *error)
{
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *base = flat->outputs[0];
    const char *shape = i3d_join(in, base, "video_shape"), *axis = i3d_join(in, base, "time_axis");
    const char *frames = i3d_join(in, base, "frames_in"), *times = i3d_join(in, base, "times");
    const char *parts = i3d_join(in, base, "parts"), *product = i3d_join(in, base, "product");
    *out = i3d_join(in, base, "frames_out");
    if (!shape || !axis || !frames || !times || !parts || !product || !*out)
        return i3d_fail_memory(error);
    int64_t up = in_time ? to->dims[2] : 1, down = in_time ? from->dims[2] : 1, two = 2;
    enum i3d_status status = i3d_emit_ints(in, axis, &two, 1, error);
    if (!status)
        status = i3d_emit_ints(in, times, &up, 1, error);
    if (!status)
        status = i3d_emit_ints(in, parts, &down, 1, error);
    if (status)
        return status;
    bool good = i3d_emit(in, "Shape", shape, (const char *[]){ value, NULL },
                         (const char *[]){ shape, NULL })
        && i3d_emit(in, "Gather", frames, (const char *[]){ shape, axis, NULL },
                    (const char *[]){ frames, NULL })
        && i3d_emit(in, "Mul", product, (const char *[]){ frames, times, NULL },
                    (const char *[]){ product, NULL })
        && i3d_emit(in, "Div", *out, (const char *[]){ product, parts, NULL },
                    (const char *[]){ *out, NULL });
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* A copy of the node that resamples all axes by factors: count of them. */
static enum i3d_status emit_by_scales(struct inflater *in, const struct i3d_node *flat,
                                      const float *scales, int64_t count, struct i3d_node **copy,
                                      struct i3d_error *error)
{
    int input = scales_input(in, flat);
    const char *name = i3d_join(in, flat->outputs[0], "scales");
    *copy = !name ? NULL : input < 0 ? i3d_emit_copy(in, flat)
                                     : i3d_emit_copy_but(in, flat, (size_t)input);
    if (!*copy)
        return i3d_fail_memory(error);
    i3d_drop_attribute(*copy, "axes");
    if (input < 0)
        return i3d_set_floats(in->to, *copy, "scales", scales, (size_t)count)
            ? I3D_OK : i3d_fail_memory(error);
    (*copy)->inputs[input] = name;
    return i3d_model_put_floats(in->to, name, 1, &count, scales, error);
}

/* The same by sizes, which are input 3 of Resize. */
static enum i3d_status emit_by_sizes(struct inflater *in, const struct i3d_node *flat,
                                     const char *sizes, struct i3d_node **copy,
                                     struct i3d_error *error)
{
    *copy = i3d_emit_copy_but(in, flat, 3);
    if (!*copy)
        return i3d_fail_memory(error);
    i3d_drop_attribute(*copy, "axes");
    (*copy)->inputs[3] = sizes;
    return I3D_OK;
}

static enum i3d_status resize_video(struct inflater *in, const struct i3d_node *flat,
                                    const float *flat_scales, bool in_time,
                                    struct i3d_error *error)
{
    const char *video = i3d_emitted(in, flat->inputs[0]), *frames, *sizes;
    struct i3d_node *copy;
    if (flat_scales) {
        float scales[5] = { flat_scales[0], flat_scales[1], in_time ? flat_scales[2] : 1,
                            flat_scales[2], flat_scales[3] };
        return emit_by_scales(in, flat, scales, 5, &copy, error);
    }
    enum i3d_status status = emit_frames(in, flat, video, in_time, &frames, error);
    if (!status)
        status = emit_sizes(in, flat, video, frames, &sizes, error);
    return status ? status : emit_by_sizes(in, flat, sizes, &copy, error);
}

/* Frames are repeated by the factor of height. */
static enum i3d_status emit_more_frames(struct inflater *in, const struct i3d_node *flat,
                                        const char *input, struct i3d_error *error)
{
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *output = flat->outputs[0], *name = i3d_join(in, output, "scales_of_time");
    float scales[5] = { 1, 1, (float)to->dims[2] / (float)from->dims[2], 1, 1 };
    int64_t five = 5;
    enum i3d_status status = name ? i3d_model_put_floats(in->to, name, 1, &five, scales, error)
                                  : i3d_fail_memory(error);
    if (status)
        return status;
    struct i3d_node *node = i3d_emit(in, "Resize", output,
                                     (const char *[]){ input, "", name, NULL },
                                     (const char *[]){ output, NULL });
    bool good = node && i3d_set_string(in->to, node, "mode", "nearest")
        && i3d_set_string(in->to, node, "coordinate_transformation_mode", "asymmetric");
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* Cubic interpolation is for two axes only: frames stand among the channels meanwhile. */
static enum i3d_status resize_planes(struct inflater *in, const struct i3d_node *flat,
                                     const float *scales, bool in_time, struct i3d_error *error)
{
    const struct i3d_shape *from = i3d_flat_shape(in, flat->inputs[0]);
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const char *output = flat->outputs[0], *sizes;
    const char *planes = i3d_join(in, output, "planes"), *done = i3d_join(in, output, "resampled");
    const char *video = in_time ? i3d_join(in, output, "video") : output;
    struct i3d_node *copy = NULL;
    if (!planes || !done || !video)
        return i3d_fail_memory(error);
    if (in->opset < 11 || from->dims[1] < 1 || from->dims[1] != to->dims[1])
        return i3d_refuse(flat, error, "its channels are not known, or change");
    enum i3d_status status =
        i3d_emit_reshape(in, i3d_emitted(in, flat->inputs[0]), planes,
                         (int64_t[]){ 0, -1, from->dims[2], from->dims[3] }, 4, error);
    if (!status && scales)
        status = emit_by_scales(in, flat, scales, 4, &copy, error);
    if (!status && !scales)
        status = emit_sizes(in, flat, planes, NULL, &sizes, error);
    if (!status && !scales)
        status = emit_by_sizes(in, flat, sizes, &copy, error);
    if (status)
        return status;
    copy->inputs[0] = planes;
    copy->outputs[0] = done;
    status = i3d_emit_reshape(in, done, video,
                              (int64_t[]){ 0, to->dims[1], -1, to->dims[2], to->dims[3] }, 5,
                              error);
    return status || !in_time ? status : emit_more_frames(in, flat, video, error);
}

/* Time is resampled by the factor of height where the recipe strides it likewise,
 * so that what an encoder took away its decoder gives back. */
enum i3d_status i3d_inflate_resize(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct i3d_shape *to = i3d_flat_shape(in, flat->outputs[0]);
    const struct i3d_attribute *policy = i3d_attribute(flat, "keep_aspect_ratio_policy");
    struct flow flow = *i3d_flow(in, flat->inputs[0]);
    enum i3d_status status = i3d_need_image(in, flat, error);
    if (status)
        return status;
    if (i3d_string_is(flat, "coordinate_transformation_mode", "tf_crop_and_resize"))
        return i3d_refuse(flat, error, "it crops");
    if (policy && !i3d_string_is(flat, "keep_aspect_ratio_policy", "stretch"))
        return i3d_refuse(flat, error, "its sizes follow from one another");
    bool in_time = !flow.single && i3d_time_follows_space(in, position), by_scales;
    float scales[4];
    status = read_scales(in, flat, scales, &by_scales, error);
    if (status)
        return status;
    bool has_sizes = i3d_is(flat, "Resize") && in->opset >= 11 && flat->input_count > 3;
    if (!by_scales && !has_sizes)
        return i3d_refuse(flat, error, "its factors are computed, not stored");
    if (to->rank != 4 || to->dims[2] < 1 || to->dims[3] < 1)
        return i3d_refuse(flat, error, "the sizes of its output are not known");
    flow.name = NULL;
    *i3d_flow(in, flat->outputs[0]) = flow;
    bool cubic = i3d_string_is(flat, "mode", "cubic");
    return (cubic ? resize_planes : resize_video)(in, flat, by_scales ? scales : NULL, in_time,
                                                  error);
}
