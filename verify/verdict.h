/* Notes on a layer; not installed. */
#pragma once

#include "verify/proof.h"

/* Appends to layer->audit_note, behind "; " where something stands there; what
 * does not fit is cut off. */
void i3d_verdict_note(struct i3d_layer_verdict *layer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, and the audit failed. */
void i3d_verdict_fail(struct i3d_layer_verdict *layer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
