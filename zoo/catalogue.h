/* What a build leaves for people to read: index.html, a catalogue of the whole
 * zoo, and in each entry's folder README.md, a model card with YAML front matter
 * in Hugging Face's form, so that the folder can be uploaded as it is. */
#pragma once

#include "zoo/build.h"

/* Write them for every product that the manifest asks for, those that the build
 * was not asked to make included. An entry without a finished product gets no
 * card. Nothing in them depends on when or where the products were made, but for
 * the seconds they took. */
enum i3d_status i3d_write_catalogue(const struct i3d_build *build, struct i3d_error *error);
enum i3d_status i3d_write_cards(const struct i3d_build *build, struct i3d_error *error);
