/* The static audit: is every 3D kernel the 2D kernel divided by its temporal
 * size, slice by slice and bit for bit, and does everything else stand as it
 * stood? It runs nothing, and sees what activations cannot: on a boring video
 * only the sum of a kernel over time counts. */
#pragma once

#include "verify/pair.h"
#include "verify/proof.h"

/* Audits one paired layer: fills has_weights, audit_good and audit_note of the
 * verdict. Kernels are held in memory one pair at a time. */
enum i3d_status i3d_audit_layer(const struct i3d_side *flat, const struct i3d_side *inflated,
                                const struct i3d_pairing_entry *entry,
                                struct i3d_layer_verdict *verdict, struct i3d_error *error);

/* audit_kernel.c: the kernel of one linear layer. reads_input: it takes the
 * graph's input, whose channels may be others than the 2D network's. folded: a
 * BatchNormalization is part of one of the two kernels, so only the slices can
 * be compared, with one another. Writes to note why the answer is false, or
 * what is worth knowing if it is true. */
enum i3d_status i3d_audit_kernel(const struct i3d_node *flat_node,
                                 const struct i3d_tensor *flat,
                                 const struct i3d_tensor *inflated, bool reads_input,
                                 bool folded, bool *good, char *note, size_t note_size,
                                 struct i3d_error *error);
