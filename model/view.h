/* The arithmetic of strided views, apart from the sources that use it. */
#pragma once

#include "model/source.h"

#include <stdbool.h>

/* Elements of a view. */
int64_t i3d_view_elements(const struct i3d_view *view);

/* Whether ranks, dims, strides, offset and taps obey source.h, and no element
 * lies outside a base of base_elements. */
bool i3d_view_is_valid(const struct i3d_view *view, uint64_t base_elements);

/* Forgets taps that divide by 1 throughout: a kernel of one frame is a plain
 * view, which composes with any other. */
void i3d_view_drop_idle_taps(struct i3d_view *view);

/* The same elements in the same order with as few dims as possible: what the
 * loops run over. */
void i3d_view_simplify(struct i3d_view *view);

/* Rewrites outer, a view of the elements of inner, as a view of inner's base.
 * False (outer unchanged) if strides cannot express it. */
bool i3d_view_compose(struct i3d_view *outer, const struct i3d_view *inner);

/* Stores elements [first, first + count) of a simplified view. base holds the
 * whole base. */
void i3d_view_gather(const struct i3d_view *view, const void *base, int64_t first, int64_t count,
                     void *out);
