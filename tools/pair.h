/* The file beside the two streams of one network that names both: a JSON object
 * {"two_stream": 1, "rgb": "rgb.onnx", "flow": "flow.onnx", "recipe": …,
 * "source_sha256": …}, names relative to its folder. */
#pragma once

#include "model/model.h"

/* Whether an argument is meant as such a file: by its suffix, .json. */
bool tool_is_pair(const char *path);
/* The paths of both networks; the caller's, to be freed. I3D_MALFORMED if the file is
 * none or names what is not in its own folder. */
enum i3d_status tool_read_pair(const char *path, char **rgb, char **flow,
                               struct i3d_error *error);
/* Writes folder/two_stream.json; model: one of the two, for what its metadata says. */
enum i3d_status tool_write_pair(const char *folder, const char *rgb, const char *flow,
                                const struct i3d_model *model, struct i3d_error *error);
