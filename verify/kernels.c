#include "verify/kernels_vector.h"

/* Matrix products */

/* What a row of sums is added to. */
INLINE vector base_of_row(const struct i3d_tile *tile, int row, int part)
{
    if (tile->accumulate)
        return *(const loose_vector *)(tile->c + row * tile->ldc + part * WIDTH);
    return (vector){ 0 } + (tile->bias ? tile->bias[row] : 0);
}

INLINE vector clamp(vector value, float low, float high)
{
    typedef int32_t masks __attribute__((vector_size(sizeof(vector))));
    vector least = (vector){ 0 } + low, most = (vector){ 0 } + high;
    masks below = value < least;
    value = (vector)(((masks)least & below) | ((masks)value & ~below));
    masks above = value > most;
    return (vector)(((masks)most & above) | ((masks)value & ~above));
}

/* A tile of some rows and one or two vectors of columns. */
INLINE void multiply(const struct i3d_tile *tile, const int rows, const int vectors)
{
    vector sums[I3D_TALL][2];
    const float *a = tile->a, *ahead = tile->ahead;
    int64_t ldb = tile->ldb;
    /* Sums of a part each start from zero, not from those of the parts before: errors of
     * long sums grow with the longest chain of additions. */
    UNROLL
    for (int row = 0; row < rows; row++)
        sums[row][0] = sums[row][1] = (vector){ 0 };
    for (int64_t segment = 0; segment < tile->segments; segment++) {
        const float *b = tile->b + segment * tile->b_step;
        for (int64_t k = 0; k < tile->depth; k++) {
            vector left = *(const loose_vector *)b, right = left;
            if (vectors == 2)
                right = *(const loose_vector *)(b + WIDTH);
            __builtin_prefetch(ahead);
            UNROLL
            for (int row = 0; row < rows; row++) {
                sums[row][0] += a[row] * left;
                if (vectors == 2)
                    sums[row][1] += a[row] * right;
            }
            a += rows;
            ahead += rows;
            b += ldb;
        }
    }
    UNROLL
    for (int row = 0; row < rows; row++) {
        UNROLL
        for (int part = 0; part < vectors; part++) {
            vector sum = sums[row][part] + base_of_row(tile, row, part);
            if (tile->clamp)
                sum = clamp(sum, tile->low, tile->high);
            *(loose_vector *)(tile->c + row * tile->ldc + part * WIDTH) = sum;
        }
    }
}

static void multiply_tall(const struct i3d_tile *tile)
{
    multiply(tile, I3D_TALL, 2);
}

static void multiply_low(const struct i3d_tile *tile)
{
    multiply(tile, I3D_LOW, 2);
}

static void multiply_tall_half(const struct i3d_tile *tile)
{
    multiply(tile, I3D_TALL, 1);
}

static void multiply_low_half(const struct i3d_tile *tile)
{
    multiply(tile, I3D_LOW, 1);
}

const struct i3d_kernels I3D_JOIN(i3d_kernels_, I3D_KERNELS) = {
    .name = I3D_STRING(I3D_KERNELS),
    .tall = I3D_TALL,
    .low = I3D_LOW,
    .columns = 2 * WIDTH,
    .multiply_tall = multiply_tall,
    .multiply_low = multiply_low,
    .multiply_tall_half = multiply_tall_half,
    .multiply_low_half = multiply_low_half,
    .gather = KERNEL(gather),
    .gather_lines = KERNEL(gather_lines),
    .finish = KERNEL(finish),
    .correlate = KERNEL(correlate),
    .raise = KERNEL(raise),
    .add = KERNEL(add),
    .add_distances = KERNEL(add_distances),
    .add_sizes = KERNEL(add_sizes),
    .pool_rows = KERNEL(pool_rows),
    .pool_taps = KERNEL(pool_taps),
    .winograd_down = KERNEL(winograd_down),
    .winograd_across = KERNEL(winograd_across),
    .winograd_back = KERNEL(winograd_back),
    .winograd_kernels = KERNEL(winograd_kernels),
};
