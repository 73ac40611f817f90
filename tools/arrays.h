/* Arrays between files, networks and people: inputs in some order of axes, results,
 * the likeliest classes. */
#pragma once

#include "model/shape.h"
#include "tools/tool.h"
#include "verify/stream.h"
#include "zoo/labels.h"

/* Whether text is an order of axes: letters of N, C, T, H and W, none twice. */
bool array_layout_is_sound(const char *text);

/* Reads a file of one array as input number k of the model. Images and videos become
 * float32 and are turned from the layout (null: the model's own) into N×C×H×W,
 * N×C×T×H×W, or channels last; a batch axis that is missing is added. Inputs of other
 * ranks are taken as they stand. I3D_USAGE if the axes do not fit. */
enum i3d_status array_load_input(const char *path, const char *layout,
                                 const struct i3d_model *model, size_t k,
                                 struct i3d_array *array, struct i3d_error *error);

/* A video in a file, that is read some frames at a time. */
struct array_clip {
    struct i3d_shape shape; /* as the model's only input has it */
    struct i3d_model *file;
    struct i3d_view view;   /* of the file's elements, all frames */
    int time_axis;
};

/* Opens one as array_load_input reads it. *is_clip is false, and nothing is open, where the
 * model does not take one video of floats, or the file holds something else. */
enum i3d_status array_open_clip(const char *path, const char *layout,
                                const struct i3d_model *model, struct array_clip *clip,
                                bool *is_clip, struct i3d_error *error);
/* An i3d_frame_reader; context is the clip. */
enum i3d_status array_read_frames(void *context, int64_t first, int64_t count, float *to,
                                  struct i3d_error *error);
void array_close_clip(struct array_clip *clip);

/* Reads an image of that shape as the model's input: a photograph (PNG or JPEG), which is
 * preprocessed (JSON text or null: the usual; see zoo/preprocess.h), or an array. */
enum i3d_status array_load_image(const char *path, const char *preprocessing,
                                 const struct i3d_model *model, const struct i3d_shape *shape,
                                 struct i3d_array *array, struct i3d_error *error);

size_t array_bytes(const struct i3d_array *array);
enum i3d_status array_copy(const struct i3d_array *from, struct i3d_array *to,
                           struct i3d_error *error);
/* Adds b to a. I3D_USAGE if their shapes differ. */
enum i3d_status array_add(struct i3d_array *a, const struct i3d_array *b,
                          struct i3d_error *error);
/* Writes it as the tensor "array", in the format that the name tells ("-": .npy). */
enum i3d_status array_write(const struct i3d_array *array, const char *path,
                            struct i3d_error *error);

/* Shape, range and mean in one line. */
void array_print_summary(const struct i3d_array *array);

/* The count likeliest classes of each sample, one a line: class, probability, name.
 * The array is N×classes, further axes having one element. Without names where labels is
 * null. */
enum i3d_status array_print_top(const struct i3d_array *array, int64_t count,
                                bool is_probability, const struct i3d_labels *labels,
                                struct i3d_error *error);
