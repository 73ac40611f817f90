#include "verify/layer.h"
#include "verify/operators.h"

#include <stdlib.h>
#include <string.h>

static enum i3d_status check_operands(const struct i3d_operation *op, int64_t groups)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    if (in->rank < 3 || weight->rank != in->rank)
        return i3d_fail(op->error, I3D_MALFORMED, "its weight has rank %d, its input rank %d",
                        weight->rank, in->rank);
    if (groups < 1 || weight->dims[0] % groups || in->dims[1] % groups
        || in->dims[1] / groups != weight->dims[1])
        return i3d_fail(op->error, I3D_MALFORMED,
                        "%lld channels in %lld groups, a weight of %lld filters for %lld channels",
                        (long long)in->dims[1], (long long)groups, (long long)weight->dims[0],
                        (long long)weight->dims[1]);
    return i3d_op_has(op, 2) ? i3d_op_check_vector(op, 2, weight->dims[0]) : I3D_OK;
}

/* Convolves with an algorithm prepared for this run alone. */
static enum i3d_status convolve(const struct i3d_operation *op,
                                const struct i3d_convolution_geometry *geometry)
{
    const struct i3d_array *in = &op->inputs[0], *out = &op->outputs[0];
    struct i3d_epilogue epilogue = { .bias = i3d_op_has(op, 2) ? op->inputs[2].data : NULL };
    struct i3d_convolution *convolution;
    enum i3d_status status = i3d_convolution_prepare(
        geometry, i3d_op_algorithm(op, geometry), i3d_best_kernels(), op->inputs[1].data, NULL,
        op->threads, &convolution, op->error);
    if (status)
        return status;
    void *workspace = aligned_alloc(64, i3d_convolution_workspace(convolution, op->threads));
    if (workspace)
        i3d_convolution_run(convolution, in->data, i3d_array_span(in, 1, in->rank), &epilogue,
                            out->data, i3d_array_span(out, 1, out->rank), workspace, op->threads);
    else
        status = i3d_fail_memory(op->error);
    free(workspace);
    i3d_convolution_free(convolution);
    return status;
}

enum i3d_algorithm i3d_op_algorithm(const struct i3d_operation *op,
                                    const struct i3d_convolution_geometry *geometry)
{
    struct i3d_convolution_geometry whole = *geometry;
    if (op->excerpt) {
        /* What is right for the clip, so that excerpts give its numbers. Over sums of frames
         * there are as many before as after. */
        struct i3d_window *window = &whole.window.window;
        bool alike = window->kernel[0] == 1 && window->stride[0] == 1
            && window->in[0] == window->out[0];
        window->in[0] = alike ? op->excerpt->clip_out : op->excerpt->clip_in;
        window->out[0] = op->excerpt->clip_out;
    }
    enum i3d_algorithm algorithm = op->engine == I3D_ENGINE_REFERENCE
        ? I3D_REFERENCE : i3d_choose_algorithm(&whole);
    return op->engine == I3D_ENGINE_DIRECT && algorithm == I3D_WINOGRAD ? I3D_IM2COL : algorithm;
}

enum i3d_status i3d_op_conv_output(struct i3d_operation *op,
                                   struct i3d_convolution_geometry *geometry)
{
    const struct i3d_array *in = &op->inputs[0], *weight = &op->inputs[1];
    int64_t dims[I3D_MAX_RANK];
    *geometry = (struct i3d_convolution_geometry){ .groups = i3d_int(op->node, "group", 1) };
    enum i3d_status status = check_operands(op, geometry->groups);
    if (!status)
        status = i3d_op_window(op, weight->dims + 2, &geometry->window);
    if (status)
        return status;
    memcpy(dims, in->dims, sizeof dims);
    dims[1] = weight->dims[0];
    for (int k = 2; k < in->rank; k++)
        dims[k] = geometry->window.window.out[3 - in->rank + k];
    geometry->batch = in->dims[0];
    geometry->channels = in->dims[1];
    geometry->filters = weight->dims[0];
    return i3d_op_output(op, 0, I3D_FLOAT32, in->rank, dims);
}

enum i3d_status i3d_op_conv(struct i3d_operation *op)
{
    struct i3d_convolution_geometry geometry;
    enum i3d_status status = i3d_op_conv_output(op, &geometry);
    return status || !op->outputs[0].data ? status : convolve(op, &geometry);
}
