/* inflate --explain: a table of what a recipe does to each layer. */
#pragma once

#include "converters/explain.h"

void tool_print_explanation(const struct i3d_explanation *explanation,
                            const struct i3d_recipe *recipe, int64_t frames);
