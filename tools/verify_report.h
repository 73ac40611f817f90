/* How a proof is told: a table and its verdicts, JSON, a page. */
#pragma once

#include "verify/proof.h"

#include <stdio.h>

/* One line for each layer, with the columns that were run. */
void verify_print_table(const struct i3d_proof *proof);
/* The lines WEIGHTS and AS DEPLOYED. */
void verify_print_verdicts(const struct i3d_proof *proof);
/* The last line: PASS …, or FAIL first at …. */
void verify_print_last(const struct i3d_proof *proof);
enum i3d_status verify_print_json(const struct i3d_proof *proof, struct i3d_error *error);

/* Worst relative error of all layers, and how many had weights to audit. */
struct verify_totals {
    double worst_boring, worst_alone, worst_motion, worst_clean, worst_spoilt;
    size_t weighted, alone;
    size_t raised;        /* layers that rounding may explain more in than the tolerance */
    double most_rounding; /* the largest tolerance of theirs */
};
struct verify_totals verify_total(const struct i3d_proof *proof);
/* Why the proof failed, for a line: the first bad layer's reason; "" where it passed. */
const char *verify_reason(const struct i3d_proof *proof, char *buffer, size_t size);
/* "6 to 8 of 15 frames of logits are clean …": the state of the result as deployed. */
const char *verify_deployed(const struct i3d_proof *proof, char *buffer, size_t size);
