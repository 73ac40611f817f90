/* Writing to an output in a thread, while the next piece is being made. */
#pragma once

#include "formats/output.h"

enum { I3D_WRITE_BEHIND_PIECE = 1 << 20 };

struct i3d_write_behind;

enum i3d_status i3d_write_behind_new(struct i3d_output *output, struct i3d_write_behind **behind,
                                     struct i3d_error *error);
/* Waits for what is under way, whose failure is forgotten. Null is fine. */
void i3d_write_behind_free(struct i3d_write_behind *behind);

/* Where to put the next piece: I3D_WRITE_BEHIND_PIECE bytes. */
unsigned char *i3d_write_behind_piece(struct i3d_write_behind *behind);
/* Has the piece written at a position. Waits for the one before, and fails as that did. */
enum i3d_status i3d_write_behind_put(struct i3d_write_behind *behind, uint64_t offset,
                                     size_t length, struct i3d_error *error);
/* Waits until all is written. */
enum i3d_status i3d_write_behind_wait(struct i3d_write_behind *behind, struct i3d_error *error);
