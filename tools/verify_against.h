/* One network in two runtimes: what ours computes, as a file, and the comparison with what
 * another one did. */
#pragma once

#include "verify/proof.h"

struct verify_one {
    const char *model;
    const char *input; /* a file of one array; null: what the reference has, or seeded noise */
    const char *preprocessing; /* of a photograph; null: the usual */
    struct i3d_proof_options options;
    bool json, quiet;
};

/* Writes the input and every value that a node computes, by name, to a .npz or
 * .safetensors file. Values wait in an unlinked temporary file, not in memory. */
enum i3d_status verify_dump(const struct verify_one *one, const char *out,
                            struct i3d_error *error);

/* Runs the network on the input that the reference holds, compares each value that it has
 * and prints the report. I3D_DIFFERS, without a message, where one is off. */
enum i3d_status verify_against(const struct verify_one *one, const char *reference,
                               struct i3d_error *error);
