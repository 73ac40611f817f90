#include "converters/kernel.h"

#include <string.h>

enum i3d_status i3d_put_inflated_kernel(struct i3d_model *to, const char *name,
                                        const struct i3d_tensor *flat,
                                        const struct i3d_kernel_plan *plan,
                                        struct i3d_error *error)
{
    struct i3d_tensor base = *flat;
    base.dims[1] = plan->channels;
    struct i3d_view view;
    i3d_view_of(&base, &view);
    size_t behind = (size_t)(4 - plan->axis);
    memmove(view.dims + plan->axis + 1, view.dims + plan->axis, behind * sizeof *view.dims);
    memmove(view.strides + plan->axis + 1, view.strides + plan->axis,
            behind * sizeof *view.strides);
    view.rank = 5;
    view.dims[plan->axis] = plan->frames;
    view.strides[plan->axis] = 0;
    view.tap_axis = plan->axis;
    for (int64_t t = 0; t < plan->frames; t++)
        view.divisors[t] = plan->init == I3D_INIT_REPEAT ? (int32_t)plan->frames
                                                         : t == (plan->frames - 1) / 2;
    struct i3d_source *source = NULL;
    if (flat->source) {
        struct i3d_source *kernel = plan->channels == flat->dims[1]
            ? i3d_source_retain(flat->source)
            : i3d_other_channels(flat, plan->channels, plan->channel_init);
        source = kernel ? i3d_source_view(kernel, &view) : NULL;
        i3d_source_release(kernel);
    }
    return i3d_put_derived(to, name, flat, 5, view.dims, source, error);
}
