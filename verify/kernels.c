#include "verify/kernels_vector.h"

/* Matrix products */

/* What a row of sums is added to. */
INLINE void base_of_row(const struct i3d_tile *tile, int row, vector base[2])
{
    const float *c = tile->c + row * tile->ldc;
    if (tile->accumulate) {
        base[0] = *(const loose_vector *)c;
        base[1] = *(const loose_vector *)(c + WIDTH);
    } else {
        base[0] = base[1] = (vector){ 0 } + (tile->bias ? tile->bias[row] : 0);
    }
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

INLINE void multiply(const struct i3d_tile *tile, const int rows)
{
    vector sums[I3D_TALL][2];
    const float *a = tile->a;
    int64_t ldb = tile->ldb;
    /* Sums of a part each start from zero, not from those of the parts before: errors of
     * long sums grow with the longest chain of additions. */
    UNROLL
    for (int row = 0; row < rows; row++)
        sums[row][0] = sums[row][1] = (vector){ 0 };
    for (int64_t segment = 0; segment < tile->segments; segment++) {
        const float *b = tile->b + segment * tile->b_step;
        for (int64_t k = 0; k < tile->depth; k++) {
            vector left = *(const loose_vector *)b, right = *(const loose_vector *)(b + WIDTH);
            UNROLL
            for (int row = 0; row < rows; row++) {
                sums[row][0] += a[row] * left;
                sums[row][1] += a[row] * right;
            }
            a += rows;
            b += ldb;
        }
    }
    UNROLL
    for (int row = 0; row < rows; row++) {
        float *c = tile->c + row * tile->ldc;
        vector base[2];
        base_of_row(tile, row, base);
        sums[row][0] += base[0];
        sums[row][1] += base[1];
        if (tile->clamp) {
            sums[row][0] = clamp(sums[row][0], tile->low, tile->high);
            sums[row][1] = clamp(sums[row][1], tile->low, tile->high);
        }
        *(loose_vector *)c = sums[row][0];
        *(loose_vector *)(c + WIDTH) = sums[row][1];
    }
}

static void multiply_tall(const struct i3d_tile *tile)
{
    multiply(tile, I3D_TALL);
}

static void multiply_low(const struct i3d_tile *tile)
{
    multiply(tile, I3D_LOW);
}

const struct i3d_kernels I3D_JOIN(i3d_kernels_, I3D_KERNELS) = {
    .name = I3D_STRING(I3D_KERNELS),
    .tall = I3D_TALL,
    .low = I3D_LOW,
    .columns = 2 * WIDTH,
    .multiply_tall = multiply_tall,
    .multiply_low = multiply_low,
    .gather = KERNEL(gather),
    .finish = KERNEL(finish),
    .correlate = KERNEL(correlate),
    .raise = KERNEL(raise),
    .add = KERNEL(add),
    .pool_rows = KERNEL(pool_rows),
    .pool_taps = KERNEL(pool_taps),
    .winograd_down = KERNEL(winograd_down),
    .winograd_across = KERNEL(winograd_across),
    .winograd_back = KERNEL(winograd_back),
    .winograd_kernels = KERNEL(winograd_kernels),
};
