/* Fully connected layers. */
#include "converters/inflater.h"

/* A product of the image's features with stored weights acts on each frame. */
enum i3d_status i3d_inflate_matmul(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const struct flow *left = i3d_flow(in, flat->inputs[0]), *right = i3d_flow(in, flat->inputs[1]);
    if (left->time >= 0 && right->time >= 0)
        return i3d_refuse(flat, error,
                          "it multiplies two activations, as attention does, and would mix "
                          "positions of different frames");
    size_t k = right->time >= 0;
    struct flow flow = k ? *right : *left;
    int rank = i3d_flat_shape(in, flat->inputs[k])->rank;
    int other = i3d_flat_shape(in, flat->inputs[!k])->rank;
    int out = i3d_flat_shape(in, flat->outputs[0])->rank;
    if (rank <= 2 && flow.time == rank - 1 && !k) /* N×T×C features: a head */
        return i3d_inflate_gemm(in, position, error);
    if (rank < 2 || other != 2 || out != rank)
        return i3d_refuse(flat, error, "it is no product with a matrix of weights");
    if (flow.time > rank - 2 + (k == 0))
        return i3d_refuse(flat, error, "it multiplies along the axis ahead of time");
    flow.name = NULL;
    if (!i3d_emit_copy(in, flat))
        return i3d_fail_memory(error);
    *i3d_flow(in, flat->outputs[0]) = flow;
    return I3D_OK;
}

/* Takes matrices only: the mean over time comes first. */
enum i3d_status i3d_inflate_gemm(struct inflater *in, size_t position, struct i3d_error *error)
{
    const struct i3d_node *flat = &in->flat->nodes[position];
    const char *names[2];
    if (i3d_flow(in, flat->inputs[0])->time >= 0 && i3d_flow(in, flat->inputs[1])->time >= 0)
        return i3d_refuse(flat, error, "it multiplies two activations, as attention does");
    if (flat->input_count > 2 && i3d_flow(in, flat->inputs[2])->time >= 0)
        return i3d_refuse(flat, error, "what it adds has a time axis");
    for (size_t k = 0; k < 2; k++) {
        enum i3d_status status = i3d_emit_mean_over_time(in, flat, k, &names[k], error);
        if (status)
            return status;
    }
    struct i3d_node *copy = i3d_emit_copy(in, flat);
    if (!copy)
        return i3d_fail_memory(error);
    for (size_t k = 0; k < 2; k++)
        if (i3d_flow(in, flat->inputs[k])->time >= 0)
            copy->inputs[k] = names[k];
    return I3D_OK;
}
