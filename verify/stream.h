/* The forward pass over a long clip, some frames at a time, so that memory does not grow
 * with the number of frames where the network allows it.
 *
 * What the network does up to the first operator that looks at all frames at once is
 * computed window by window. A convolution or pool over time keeps the few frames that its
 * next windows see again, so no frame is computed twice; padding is where it is in the whole
 * clip. What is left, behind a mean over time for instance, is computed at the end from all
 * frames of the values that it reads. Every number is the one that the whole clip at once
 * gives. */
#pragma once

#include "model/shape.h"
#include "verify/engine.h"

struct i3d_stream;

/* Stores the frames [first, first + count) of the input: the input's shape with count in
 * place of its frames, in C order. */
typedef enum i3d_status i3d_frame_reader(void *context, int64_t first, int64_t count, float *to,
                                         struct i3d_error *error);

/* Makes the model ready for one clip (all dims known, float32) to compute one value.
 * *stream is null, without an error, where the network does not allow it: it has several
 * inputs, or looks at all frames of its input at once, or a size is not known ahead. model,
 * options and value have to outlive the stream. options->wanted is not looked at;
 * options->time_padding has to be as deployed. */
enum i3d_status i3d_stream_open(const struct i3d_model *model,
                                const struct i3d_run_options *options,
                                const struct i3d_shape *clip, const char *value,
                                struct i3d_stream **stream, struct i3d_error *error);
void i3d_stream_close(struct i3d_stream *stream);

/* The input's frames. */
int64_t i3d_stream_frames(const struct i3d_stream *stream);

/* Computes the value of the whole clip, reading window frames at a time, in order. result
 * becomes the caller's. */
enum i3d_status i3d_stream_run(struct i3d_stream *stream, int64_t window,
                               i3d_frame_reader *reader, void *context, struct i3d_array *result,
                               struct i3d_error *error);
