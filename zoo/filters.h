/* The first layer's filters as a picture. */
#pragma once

#include "model/model.h"

/* Draws the kernel of the first convolution that the graph's input reaches: a
 * filter beside the other, one row for each time step, at most 64 filters in a
 * row (the rest goes below, with its own time steps). Three input channels are
 * red, green and blue, two (flow) are red and blue, one is grey, of more the mean
 * is drawn; zero is middle grey and the largest |weight| of the layer black or
 * white. *png is a PNG file of *length bytes, malloc'ed. I3D_UNSUPPORTED if there
 * is no such convolution with stored weights. */
enum i3d_status i3d_draw_filters(const struct i3d_model *model, unsigned char **png,
                                 size_t *length, struct i3d_error *error);
