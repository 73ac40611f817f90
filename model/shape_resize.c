#include "model/shape_infer.h"

#include <math.h>

/* A size and its scale are multiplied in float32, as the runtimes do. */
static enum i3d_status apply_scale(const struct i3d_inference *op, float scale, int64_t *size)
{
    if (!(scale > 0) || isinf(scale))
        return i3d_fail(op->error, I3D_MALFORMED, "a scale is %g", (double)scale);
    if (*size < 0)
        return I3D_OK;
    float scaled = floorf((float)*size * scale);
    if (!(scaled < 0x1p59f))
        return i3d_fail(op->error, I3D_MALFORMED, "a scale of %g is too large", (double)scale);
    *size = (int64_t)scaled;
    return I3D_OK;
}

static enum i3d_status apply_scales(const struct i3d_inference *op, const float *scales, int count,
                                    const int *axes, struct i3d_shape *out)
{
    for (int k = 0; k < count; k++) {
        enum i3d_status status = apply_scale(op, scales[k], &out->dims[axes[k]]);
        if (status)
            return status;
    }
    return I3D_OK;
}

/* The axes that scales and sizes speak of: all, or attribute axes (opset 18). */
static enum i3d_status resized_axes(const struct i3d_inference *op, int rank, int *axes,
                                    int *count)
{
    for (int k = 0; k < rank; k++)
        axes[k] = k;
    *count = rank;
    if (!i3d_attribute(op->node, "axes"))
        return I3D_OK;
    struct i3d_infer_list list;
    bool chosen[I3D_MAX_RANK];
    i3d_infer_list(op, "axes", SIZE_MAX, &list);
    enum i3d_status status = i3d_infer_axes(op, &list, rank, chosen);
    if (status)
        return status;
    *count = list.count < 0 ? 0 : list.count;
    for (int k = 0; k < *count && !status; k++)
        status = i3d_infer_axis(op, list.values[k], rank, &axes[k]);
    return status;
}

static enum i3d_status wrong_count(const struct i3d_inference *op, const char *what, int count,
                                   int axes)
{
    return i3d_fail(op->error, I3D_MALFORMED, "it has %d %s for %d axes", count, what, axes);
}

static enum i3d_status resize_to_sizes(const struct i3d_inference *op,
                                       const struct i3d_infer_list *sizes, const int *axes,
                                       int axis_count, struct i3d_shape *out)
{
    if (sizes->count >= 0 && sizes->count != axis_count)
        return wrong_count(op, "sizes", sizes->count, axis_count);
    const struct i3d_attribute *policy = i3d_attribute(op->node, "keep_aspect_ratio_policy");
    bool stretch = !policy || i3d_string_is(op->node, "keep_aspect_ratio_policy", "stretch");
    for (int k = 0; k < axis_count; k++) {
        bool known = stretch && sizes->count >= 0 && sizes->known[k];
        if (known && sizes->values[k] < 0)
            return i3d_fail(op->error, I3D_MALFORMED, "it asks for a size of %lld",
                            (long long)sizes->values[k]);
        out->dims[axes[k]] = known ? sizes->values[k] : -1;
    }
    return I3D_OK;
}

enum i3d_status i3d_infer_resize(const struct i3d_inference *op)
{
    struct i3d_shape out = i3d_infer_in(op, 0)->shape;
    if (out.rank < 0)
        return i3d_infer_set(op, 0, &out);
    int axes[I3D_MAX_RANK], axis_count, scale_count;
    float scales[I3D_MAX_RANK];
    enum i3d_status status = resized_axes(op, out.rank, axes, &axis_count);
    if (!status)
        status = i3d_infer_floats(op, op->opset >= 11 ? 2 : 1, I3D_MAX_RANK, scales,
                                  &scale_count);
    if (status)
        return status;
    bool crops = i3d_string_is(op->node, "coordinate_transformation_mode", "tf_crop_and_resize");
    struct i3d_infer_list sizes = { .present = false };
    if (op->opset >= 11)
        i3d_infer_list(op, NULL, 3, &sizes);
    if (sizes.present) {
        status = resize_to_sizes(op, &sizes, axes, axis_count, &out);
    } else if (scale_count <= 0 || crops) { /* an empty tensor stands for no scales */
        for (int k = 0; k < axis_count; k++)
            out.dims[axes[k]] = -1;
    } else if (scale_count != axis_count) {
        status = wrong_count(op, "scales", scale_count, axis_count);
    } else {
        status = apply_scales(op, scales, scale_count, axes, &out);
    }
    return status ? status : i3d_infer_set(op, 0, &out);
}

/* Scales are an input from opset 9, attribute scales from 7, and two
 * attributes for height and width before. */
enum i3d_status i3d_infer_upsample(const struct i3d_inference *op)
{
    static const int all_axes[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    struct i3d_shape out = i3d_infer_in(op, 0)->shape;
    float scales[I3D_MAX_RANK] = { 1, 1 };
    int count = -1;
    if (out.rank < 0)
        return i3d_infer_set(op, 0, &out);
    const struct i3d_attribute *listed = i3d_attribute(op->node, "scales");
    enum i3d_status status = I3D_OK;
    if (listed && listed->type == I3D_ATTRIBUTE_FLOATS && listed->count <= I3D_MAX_RANK) {
        count = (int)listed->count;
        for (int k = 0; k < count; k++)
            scales[k] = listed->floats[k];
    } else if (op->opset < 7) {
        count = 4;
        scales[2] = i3d_float(op->node, "height_scale", 1);
        scales[3] = i3d_float(op->node, "width_scale", 1);
    } else {
        status = i3d_infer_floats(op, 1, I3D_MAX_RANK, scales, &count);
    }
    if (status)
        return status;
    if (count < 0) {
        struct i3d_shape open = i3d_infer_open(out.dtype, out.rank);
        return i3d_infer_set(op, 0, &open);
    }
    if (count != out.rank)
        return wrong_count(op, "scales", count, out.rank);
    status = apply_scales(op, scales, count, all_axes, &out);
    return status ? status : i3d_infer_set(op, 0, &out);
}
