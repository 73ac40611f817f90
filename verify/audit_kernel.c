#include "verify/audit.h"

#include "verify/audit_slices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A matrix is a kernel with one position, whichever way around it is stored. */
static bool read_layout(const struct i3d_node *node, const struct i3d_tensor *tensor,
                        struct i3d_kernel_layout *layout)
{
    const int64_t *dims = tensor->dims;
    if (tensor->rank == 2) {
        bool rows_are_outputs = i3d_is(node, "Gemm") && i3d_int(node, "transB", 0);
        *layout = (struct i3d_kernel_layout){
            .outputs = dims[!rows_are_outputs], .inputs = dims[rows_are_outputs],
            .taps = 1, .height = 1, .width = 1,
            .output_stride = rows_are_outputs ? dims[1] : 1,
            .input_stride = rows_are_outputs ? 1 : dims[1],
        };
        return !i3d_is(node, "Conv");
    }
    if (tensor->rank != 4 && tensor->rank != 5)
        return false;
    int last = tensor->rank - 1;
    *layout = (struct i3d_kernel_layout){
        .outputs = dims[0], .inputs = dims[1], .taps = last == 4 ? dims[2] : 1,
        .height = dims[last - 1], .width = dims[last],
    };
    layout->input_stride = layout->taps * layout->height * layout->width;
    layout->output_stride = layout->inputs * layout->input_stride;
    return true;
}

int64_t i3d_kernel_outputs(const struct i3d_node *node, const struct i3d_tensor *weight)
{
    struct i3d_kernel_layout layout;
    bool is_kernel = !i3d_is(node, "ConvTranspose") && read_layout(node, weight, &layout);
    return is_kernel ? layout.outputs : -1;
}

static bool shapes_fit(const struct i3d_kernel_pair *pair, struct i3d_slices *slices)
{
    struct i3d_kernel_layout *flat = &slices->flat.layout, *inflated = &slices->inflated.layout;
    if (!read_layout(pair->flat_node, pair->flat, flat)
        || !read_layout(pair->inflated_node, pair->inflated, inflated) || flat->taps != 1)
        return false;
    bool other_channels = pair->reads_input && pair->flat->rank == 4
        && i3d_int(pair->flat_node, "group", 1) == 1 && i3d_is(pair->flat_node, "Conv");
    return flat->outputs == inflated->outputs && flat->height == inflated->height
        && flat->width == inflated->width && inflated->taps > 0 && inflated->inputs > 0
        && (flat->inputs == inflated->inputs || other_channels);
}

/* What each tap is divided by: N, or for ConvTranspose the number of taps that
 * reach the same output frames, which are those equal modulo the stride. */
static void set_divisors(const struct i3d_node *node, struct i3d_slices *slices)
{
    int64_t taps = slices->inflated.layout.taps;
    size_t count;
    const int64_t *strides = i3d_ints(node, "strides", &count);
    int64_t stride = count == 3 && strides[0] > 0 ? strides[0] : 1;
    const int64_t *dilations = i3d_ints(node, "dilations", &count);
    int64_t step = (count == 3 && dilations[0] > 0 ? dilations[0] : 1) % stride;
    int64_t period = 1; /* taps one period apart are of one class */
    while (period < taps && period * step % stride)
        period++;
    for (int64_t t = 0; t < taps; t++) {
        int64_t in_class = (taps - 1 - t % period) / period + 1;
        slices->divisors[t] = i3d_is(node, "ConvTranspose") ? in_class : taps;
    }
}

static enum i3d_status load(const struct i3d_kernel_pair *pair, struct i3d_slices *slices,
                            struct i3d_error *error)
{
    struct i3d_slice_kernel *flat = &slices->flat, *inflated = &slices->inflated;
    flat->dtype = pair->flat->dtype;
    inflated->dtype = pair->inflated->dtype;
    size_t row = (size_t)(inflated->layout.inputs * flat->layout.height * flat->layout.width);
    size_t flat_row = (size_t)flat->layout.output_stride + (size_t)flat->layout.inputs;
    slices->divisors = malloc((size_t)inflated->layout.taps * sizeof *slices->divisors);
    slices->wide = malloc((row + flat_row) * sizeof *slices->wide);
    slices->base = malloc(row * sizeof(double));
    slices->expected = malloc(row * sizeof(double));
    if (!slices->divisors || !slices->wide || !slices->base || !slices->expected)
        return i3d_fail_memory(error);
    set_divisors(pair->inflated_node, slices);
    void *bytes = NULL;
    enum i3d_status status = i3d_tensor_load(pair->flat, &bytes, error);
    flat->bytes = bytes;
    if (status)
        return status;
    status = i3d_tensor_load(pair->inflated, &bytes, error);
    inflated->bytes = bytes;
    return status;
}

static void compare(const struct i3d_kernel_pair *pair, struct i3d_slices *slices,
                    struct i3d_layer_verdict *verdict)
{
    struct i3d_slice_tally tally = i3d_tally_slices(slices);
    bool centered = tally.centered && !tally.divided && slices->inflated.layout.taps > 1
        && !i3d_is(pair->inflated_node, "ConvTranspose");
    verdict->centered = centered;
    if (centered)
        snprintf(verdict->audit_note, sizeof verdict->audit_note,
                 "center: one slice of %lld holds the 2D kernel",
                 (long long)slices->inflated.layout.taps);
    if (pair->flat_scale)
        i3d_compare_scaled(slices, pair->flat_scale, pair->inflated_scale,
                           tally.equal || centered, verdict);
    else if (!tally.divided && !centered)
        i3d_diagnose_slices(slices, verdict);
}

enum i3d_status i3d_audit_kernel(const struct i3d_kernel_pair *pair,
                                 struct i3d_layer_verdict *verdict, struct i3d_error *error)
{
    struct i3d_slices slices = { .foreign = pair->foreign };
    char shape[80], flat_shape[80];
    if (!pair->flat || !pair->inflated || !i3d_dtype_is_float(pair->flat->dtype)
        || !i3d_dtype_is_float(pair->inflated->dtype))
        return I3D_OK; /* kernels that are computed show in the activations */
    verdict->has_weights = true;
    if (!shapes_fit(pair, &slices)) {
        i3d_object(verdict, "a kernel of %s cannot come from one of %s",
                   i3d_shape_string(pair->inflated->rank, pair->inflated->dims, shape, sizeof shape),
                   i3d_shape_string(pair->flat->rank, pair->flat->dims, flat_shape,
                                    sizeof flat_shape));
        return I3D_OK;
    }
    if (!i3d_tensor_elements(pair->flat))
        return I3D_OK;
    enum i3d_status status = load(pair, &slices, error);
    if (!status)
        compare(pair, &slices, verdict);
    free(slices.divisors);
    free(slices.wide);
    free(slices.base);
    free(slices.expected);
    free(slices.flat.bytes);
    free(slices.inflated.bytes);
    return status;
}
