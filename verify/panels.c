#include "verify/panels.h"

#include <string.h>

/* Rows of B at a time: with a tile's columns they fill half of the first cache. */
enum { MOST_DEPTH = 320 };

struct i3d_panels i3d_cut_rows(const struct i3d_kernels *kernels, int64_t rows)
{
    int64_t tall = kernels->tall, low = kernels->low;
    struct i3d_panels best = { kernels, rows, (rows + tall - 1) / tall, 0 };
    int64_t least = best.tall * tall;
    /* Fewest rows that are not there; low panels as far as they save any. */
    for (int64_t fewer = 1; fewer <= best.tall && fewer <= low; fewer++) {
        int64_t left = rows - ((rows + tall - 1) / tall - fewer) * tall;
        int64_t count = (left + low - 1) / low, total = rows - left + count * low;
        if (total < least) {
            least = total;
            best.tall = (rows - left) / tall;
            best.low = count;
        }
    }
    return best;
}

int64_t i3d_packed_size(const struct i3d_panels *panels, int64_t depth)
{
    return i3d_panel_first_row(panels, i3d_panel_count(panels)) * depth;
}

struct i3d_panel i3d_panel_at(const struct i3d_panels *panels, int64_t panel)
{
    struct i3d_panel at = {
        .first_row = i3d_panel_first_row(panels, panel),
        .size = panel < panels->tall ? panels->kernels->tall : panels->kernels->low,
    };
    at.rows = panels->rows - at.first_row < at.size ? panels->rows - at.first_row : at.size;
    return at;
}

/* A tile that is not full in C is computed beside it. */
static void multiply_part(const struct i3d_tile *tile, i3d_tile_kernel *kernel, int64_t rows,
                          int64_t columns, int width)
{
    float sums[I3D_MOST_TILE_ROWS * I3D_MOST_TILE_COLUMNS];
    float bias[I3D_MOST_TILE_ROWS] = { 0 };
    struct i3d_tile part = *tile;
    part.c = sums;
    part.ldc = width;
    if (tile->accumulate) {
        memset(sums, 0, sizeof sums);
        for (int64_t row = 0; row < rows; row++)
            memcpy(sums + row * width, tile->c + row * tile->ldc,
                   (size_t)columns * sizeof *sums);
    } else if (tile->bias) {
        memcpy(bias, tile->bias, (size_t)rows * sizeof *bias);
        part.bias = bias;
    }
    kernel(&part);
    for (int64_t row = 0; row < rows; row++)
        memcpy(tile->c + row * tile->ldc, sums + row * width, (size_t)columns * sizeof *sums);
}

/* All panels over some depth that is done at once, and the columns from x on that a tile
 * has, of which width are there; column is A's first. */
static void multiply_columns(const struct i3d_panel_product *product, struct i3d_tile tile,
                             int64_t column, int64_t x, int64_t width)
{
    const struct i3d_panels *panels = product->panels;
    const struct i3d_kernels *kernels = panels->kernels;
    int64_t first_row = i3d_panel_first_row(panels, product->first_panel);
    const float *bias = tile.bias;
    bool half = width <= kernels->columns / 2;
    int columns = half ? kernels->columns / 2 : kernels->columns;
    i3d_tile_kernel *tall = half ? kernels->multiply_tall_half : kernels->multiply_tall;
    i3d_tile_kernel *low = half ? kernels->multiply_low_half : kernels->multiply_low;
    tile.b += x;
    for (int64_t panel = product->first_panel; panel < product->end_panel; panel++) {
        struct i3d_panel at = i3d_panel_at(panels, panel), next = i3d_panel_at(panels, panel + 1);
        i3d_tile_kernel *kernel = panel < panels->tall ? tall : low;
        tile.a = product->a + at.first_row * product->packed_depth + column * at.size;
        /* The first pass over A may find it in memory alone, the next ones in a cache. */
        tile.ahead = x ? tile.a
            : product->a + next.first_row * product->packed_depth + column * next.size;
        tile.c = product->c + (at.first_row - first_row) * product->ldc + x;
        tile.bias = bias ? bias + at.first_row : NULL;
        if (width == columns && at.rows == at.size)
            kernel(&tile);
        else
            multiply_part(&tile, kernel, at.rows, width, columns);
    }
}

void i3d_multiply_panels(const struct i3d_panel_product *product)
{
    int64_t depth = product->depth, segments = product->segments, pieces = 1, together = 1;
    if (depth > MOST_DEPTH)
        pieces = (depth + MOST_DEPTH - 1) / MOST_DEPTH;
    else if (depth > 0)
        together = MOST_DEPTH / depth;
    for (int64_t segment = 0; segment < segments; segment += together) {
        for (int64_t piece = 0; piece < pieces; piece++) {
            int64_t begin = depth * piece / pieces, end = depth * (piece + 1) / pieces;
            bool is_first = segment == 0 && piece == 0;
            bool is_last = segment + together >= segments && piece == pieces - 1;
            struct i3d_tile tile = {
                .segments = segments - segment < together ? segments - segment : together,
                .depth = end - begin,
                .b = product->b + segment * product->b_step + begin * product->ldb,
                .ldb = product->ldb,
                .b_step = product->b_step,
                .ldc = product->ldc,
                .accumulate = product->accumulate || !is_first,
                .bias = product->bias,
                .clamp = product->clamp && is_last,
                .low = product->low,
                .high = product->high,
            };
            int64_t most = product->panels->kernels->columns;
            for (int64_t x = 0; x < product->columns; x += most)
                multiply_columns(product, tile, product->first_depth + segment * depth + begin, x,
                                 product->columns - x < most ? product->columns - x : most);
        }
    }
}
