/* Matrix products with the left factor packed beforehand, as weights are; not
 * installed. All of it runs on the calling thread. */
#pragma once

#include "verify/kernels.h"

/* Rows of a left factor, cut into tall panels and behind them low ones. The last
 * may reach past the last row; the factor is zero there. */
struct i3d_panels {
    const struct i3d_kernels *kernels;
    int64_t rows, tall, low; /* tall and low are counts of panels */
};

struct i3d_panels i3d_cut_rows(const struct i3d_kernels *kernels, int64_t rows);

static inline int64_t i3d_panel_count(const struct i3d_panels *panels)
{
    return panels->tall + panels->low;
}

/* Also for panel == i3d_panel_count, which gives the rows with what fills them up. */
static inline int64_t i3d_panel_first_row(const struct i3d_panels *panels, int64_t panel)
{
    int64_t low = panel > panels->tall ? panel - panels->tall : 0;
    return (panel - low) * panels->kernels->tall + low * panels->kernels->low;
}

/* Elements of a packed factor of that depth. */
int64_t i3d_packed_size(const struct i3d_panels *panels, int64_t depth);

/* One panel: columns of `size` elements from position first_row · depth on. */
struct i3d_panel {
    int64_t first_row, size;
    int64_t rows; /* that are there */
};
struct i3d_panel i3d_panel_at(const struct i3d_panels *panels, int64_t panel);

/* C = A·B for some of A's panels. B's rows form segments as in struct i3d_tile:
 * column s·depth + k of A meets row b + s·b_step + k·ldb. B is readable for columns
 * rounded up to whole tiles. */
struct i3d_panel_product {
    const struct i3d_panels *panels;
    int64_t first_panel, end_panel;
    const float *a;         /* packed, of panel 0 */
    int64_t packed_depth;   /* that A was packed with, */
    int64_t first_depth;    /* and which of its columns meets the first row of B */
    int64_t segments, depth;
    const float *b;
    int64_t ldb, b_step;
    int64_t columns;
    float *c;               /* of first_panel's first row; rows past the last are not there */
    int64_t ldc;
    bool accumulate;        /* see struct i3d_tile */
    const float *bias;      /* of A's row 0 */
    bool clamp;
    float low, high;
};
void i3d_multiply_panels(const struct i3d_panel_product *product);
