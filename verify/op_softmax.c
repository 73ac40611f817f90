#include "verify/operators.h"
#include "verify/parallel.h"

#include <math.h>

/* One vector, its elements `step` apart; in and out may be the same. */
static void softmax(const float *in, float *out, int64_t length, int64_t step, bool logarithm)
{
    float most = in[0];
    for (int64_t i = 1; i < length; i++)
        most = in[i * step] > most ? in[i * step] : most;
    double sum = 0;
    for (int64_t i = 0; i < length; i++) {
        float shifted = in[i * step] - most, power = expf(shifted);
        sum += (double)power;
        out[i * step] = logarithm ? shifted : power;
    }
    double log_sum = log(sum);
    for (int64_t i = 0; i < length; i++) {
        double value = (double)out[i * step];
        out[i * step] = (float)(logarithm ? value - log_sum : value / sum);
    }
}

enum i3d_status i3d_op_softmax(struct i3d_operation *op)
{
    const struct i3d_array *in = &op->inputs[0];
    /* Before operator set 13 the input was seen as a matrix cut at the axis. */
    bool as_matrix = op->opset < 13;
    int64_t given = i3d_int(op->node, "axis", as_matrix ? 1 : -1);
    int axis = in->rank;
    enum i3d_status status = I3D_OK;
    if (!as_matrix || given != in->rank)
        status = i3d_op_axis(op, given, in->rank, &axis);
    if (!status)
        status = i3d_op_output_like_first(op);
    if (status || !in->data)
        return status;
    int64_t outer = i3d_array_span(in, 0, axis);
    int64_t length = as_matrix ? i3d_array_span(in, axis, in->rank) : in->dims[axis];
    int64_t inner = as_matrix ? 1 : i3d_array_span(in, axis + 1, in->rank);
    I3D_PARALLEL_FOR(i3d_op_threads(op, outer * length * inner))
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t first = i / inner * inner * length + i % inner;
        softmax((float *)in->data + first, (float *)op->outputs[0].data + first, length, inner,
                op->variant != 0);
    }
    return I3D_OK;
}
