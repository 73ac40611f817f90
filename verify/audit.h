/* The static audit: is every 3D kernel the 2D kernel divided by its temporal
 * size, slice by slice and bit for bit, and does everything else stand as it
 * stood? It runs nothing, and sees what activations cannot: on a boring video
 * only the sum of a kernel over time counts. Not installed. */
#pragma once

#include "verify/pair.h"
#include "verify/proof.h"

/* Finds pairs of BatchNormalizations whose scale or epsilon differs and whose
 * kernels do too, as where a codebase without gamma has it in the kernel: they
 * become folded pairs, and the kernels under them covered. */
enum i3d_status i3d_find_moved_scales(struct i3d_pairing *pairing, struct i3d_error *error);

/* Audits the pair of a node of the 2D graph: fills has_weights, audit_good and
 * audit_note of the verdict. Kernels are held in memory one pair at a time. */
enum i3d_status i3d_audit_layer(const struct i3d_pairing *pairing, size_t flat,
                                struct i3d_layer_verdict *verdict, struct i3d_error *error);

/* What the parts of the audit share. */

/* The audit failed, for this reason; the first one stands. */
void i3d_object(struct i3d_layer_verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Input k of a node as a stored tensor, or null. */
const struct i3d_tensor *i3d_parameter(const struct i3d_structure *structure,
                                       const struct i3d_node *node, size_t k);

/* The kernel of two nodes; has_weights is set if both store theirs. reads_input:
 * the 2D node takes the graph's input, whose channels may be others in 3D. */
struct i3d_kernel_pair {
    const struct i3d_node *flat_node, *inflated_node;
    const struct i3d_tensor *flat, *inflated;
    bool reads_input;
    bool foreign; /* the 3D file does not say that this program made it */
    /* What each output channel is multiplied by behind the kernel, or null for
     * both. With scales, the products are compared, within a few roundings. */
    const double *flat_scale, *inflated_scale;
};
enum i3d_status i3d_audit_kernel(const struct i3d_kernel_pair *pair,
                                 struct i3d_layer_verdict *verdict, struct i3d_error *error);
/* Output channels of a stored kernel, or -1 if its shape is none for one. */
int64_t i3d_kernel_outputs(const struct i3d_node *node, const struct i3d_tensor *weight);

/* audit_norm.c. A BatchNormalization on both sides, and a pair that is folded. */
enum i3d_status i3d_audit_norm(const struct i3d_pairing *pairing, size_t flat,
                               struct i3d_layer_verdict *verdict, struct i3d_error *error);
enum i3d_status i3d_audit_folded(const struct i3d_pairing *pairing, size_t flat,
                                 struct i3d_layer_verdict *verdict, struct i3d_error *error);
/* Vectors that inflation copies have to be equal. */
enum i3d_status i3d_audit_vector(const char *what, const struct i3d_tensor *flat,
                                 const struct i3d_tensor *inflated,
                                 struct i3d_layer_verdict *verdict, struct i3d_error *error);
