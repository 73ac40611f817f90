/* Hypotheses of how a 3D kernel came from the 2D one in another order: each is tested on
 * all weights, and reported with how well it fits. */
#include "verify/audit.h"
#include "verify/audit_slices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum order {
    SPACE_TRANSPOSED, ALONG_HEIGHT, ALONG_WIDTH, UPSIDE_DOWN, MIRRORED, TURNED,
    CHANNELS_TRANSPOSED, INPUTS_REVERSED, SHIFTED, ORDERS,
};

static const char *const texts[ORDERS] = {
    [SPACE_TRANSPOSED] = "height and width are transposed",
    [ALONG_HEIGHT] = "the wrong axis is inflated: slices repeat along height",
    [ALONG_WIDTH] = "the wrong axis is inflated: slices repeat along width",
    [UPSIDE_DOWN] = "height is reversed",
    [MIRRORED] = "width is reversed",
    [TURNED] = "height and width are reversed",
    [CHANNELS_TRANSPOSED] = "input and output channels are transposed",
    [INPUTS_REVERSED] = "input channels stand in the opposite order",
    [SHIFTED] = "output channels are shifted by one",
};

static bool applies(const struct i3d_slices *slices, enum order order)
{
    const struct i3d_kernel_layout *flat = &slices->flat.layout;
    int64_t taps = slices->inflated.layout.taps;
    bool spatial = flat->height > 1 || flat->width > 1;
    switch (order) {
    case SPACE_TRANSPOSED: return spatial && flat->height == flat->width;
    case ALONG_HEIGHT: return taps > 1 && taps == flat->height;
    case ALONG_WIDTH: return taps > 1 && taps == flat->width;
    case UPSIDE_DOWN: return flat->height > 1;
    case MIRRORED: return flat->width > 1;
    case TURNED: return flat->height > 1 && flat->width > 1;
    case CHANNELS_TRANSPOSED: return flat->outputs == flat->inputs && flat->inputs > 1;
    case INPUTS_REVERSED: return flat->inputs > 1;
    default: return flat->outputs > 2;
    }
}

/* Where the element of the 2D kernel would be that one of the 3D kernel came from. */
static int64_t source_of(const struct i3d_kernel_layout *flat, enum order order, int64_t o,
                         int64_t i, int64_t t, int64_t y, int64_t x)
{
    int64_t height = flat->height, width = flat->width, swap = o;
    switch (order) {
    case SPACE_TRANSPOSED: swap = y; y = x; x = swap; break;
    case ALONG_HEIGHT: y = t; break;
    case ALONG_WIDTH: x = t; break;
    case UPSIDE_DOWN: y = height - 1 - y; break;
    case MIRRORED: x = width - 1 - x; break;
    case TURNED: y = height - 1 - y; x = width - 1 - x; break;
    case CHANNELS_TRANSPOSED: o = i; i = swap; break;
    case INPUTS_REVERSED: i = flat->inputs - 1 - i; break;
    default: o = (o + 1) % flat->outputs; break;
    }
    return o * flat->output_stride + i * flat->input_stride + y * width + x;
}

struct kernels {
    double *flat, *patch; /* the whole 2D kernel; all taps of one channel pair in 3D */
    double largest;
};

/* The largest difference, relative to the largest weight; infinite once it is beyond
 * limit. */
static double misfit(const struct i3d_slices *slices, const struct kernels *kernels,
                     enum order order, double limit)
{
    const struct i3d_kernel_layout *layout = &slices->inflated.layout;
    size_t size = i3d_dtype_size(slices->inflated.dtype);
    double worst = 0;
    for (int64_t o = 0; o < layout->outputs; o++)
        for (int64_t i = 0; i < layout->inputs; i++) {
            int64_t at = o * layout->output_stride + i * layout->input_stride, k = 0;
            i3d_to_double(slices->inflated.dtype, slices->inflated.bytes + (size_t)at * size,
                          kernels->patch,
                          (size_t)(layout->taps * layout->height * layout->width));
            for (int64_t t = 0; t < layout->taps; t++)
                for (int64_t y = 0; y < layout->height; y++)
                    for (int64_t x = 0; x < layout->width; x++, k++) {
                        double from =
                            kernels->flat[source_of(&slices->flat.layout, order, o, i, t, y, x)];
                        double off = fabs(kernels->patch[k] - from / (double)slices->divisors[t]);
                        if (!(off <= limit * kernels->largest))
                            return INFINITY;
                        worst = fmax(worst, off);
                    }
        }
    return worst / kernels->largest;
}

bool i3d_report_order(const struct i3d_slices *slices, double rounding,
                      struct i3d_layer_verdict *verdict)
{
    const struct i3d_kernel_layout *flat = &slices->flat.layout;
    const struct i3d_kernel_layout *inflated = &slices->inflated.layout;
    size_t count = (size_t)(flat->outputs * flat->inputs * flat->height * flat->width);
    bool found = false;
    if (flat->inputs != inflated->inputs || flat->outputs * flat->inputs < 1)
        return false;
    struct kernels kernels = {
        .flat = malloc(count * sizeof(double)),
        .patch = malloc((size_t)(inflated->taps * flat->height * flat->width) * sizeof(double)),
    };
    if (kernels.flat && kernels.patch) {
        i3d_to_double(slices->flat.dtype, slices->flat.bytes, kernels.flat, count);
        for (size_t k = 0; k < count; k++)
            kernels.largest = fmax(kernels.largest, fabs(kernels.flat[k]));
        for (int order = 0; order < ORDERS && !found && kernels.largest > 0; order++) {
            if (!applies(slices, (enum order)order))
                continue;
            double fit = misfit(slices, &kernels, (enum order)order, 8 * rounding);
            found = isfinite(fit);
            if (found)
                i3d_object(verdict, "%s: so read, all weights fit within %.1g of the largest",
                           texts[order], fit);
        }
    }
    free(kernels.flat);
    free(kernels.patch);
    return found;
}
