#include "converters/temporal.h"

#include <string.h>

const struct i3d_recipe i3d_recipes[] = {
    { "i3d", "Inception-V1 as inflated by Carreira and Zisserman 2017", 2, 2 },
    { "isotropic", "time as height and width, everywhere", 0, 0 },
    { 0 },
};

const struct i3d_recipe *i3d_recipe_by_name(const char *name)
{
    for (const struct i3d_recipe *recipe = i3d_recipes; recipe->name; recipe++)
        if (!strcmp(recipe->name, name))
            return recipe;
    return NULL;
}

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
    size_t axis = kernel[0] >= kernel[1] ? 0 : 1;
    *temporal = (struct i3d_temporal){
        .kernel = kernel[axis],
        .stride = at(node, "strides", axis, 1),
        .dilation = at(node, "dilations", axis, 1),
        .pad_begin = at(node, "pads", axis, 0),
        .pad_end = at(node, "pads", axis + 2, 0),
    };
}
