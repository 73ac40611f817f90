#include "converters/temporal.h"

static int64_t at(const struct i3d_node *node, const char *name, size_t position,
                  int64_t fallback)
{
    size_t count;
    const int64_t *values = i3d_ints(node, name, &count);
    return position < count ? values[position] : fallback;
}

void i3d_isotropic_window(const struct i3d_node *node, const int64_t kernel[2],
                          struct i3d_temporal *temporal)
{
    bool automatic = i3d_string_is(node, "auto_pad", "VALID")
        || i3d_string_is(node, "auto_pad", "SAME_UPPER")
        || i3d_string_is(node, "auto_pad", "SAME_LOWER");
    size_t axis = kernel[0] >= kernel[1] ? 0 : 1;
    *temporal = (struct i3d_temporal){
        .kernel = kernel[axis],
        .stride = at(node, "strides", axis, 1),
        .dilation = at(node, "dilations", axis, 1),
        .pad_begin = automatic ? 0 : at(node, "pads", axis, 0),
        .pad_end = automatic ? 0 : at(node, "pads", axis + 2, 0),
    };
}
