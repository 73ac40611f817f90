#include "converters/channels.h"

#include <stdlib.h>

struct parameters {
    enum i3d_dtype dtype;
    int64_t outputs, from, to, positions; /* O, C, C', H·W */
    enum i3d_channel_init init;
};

/* Channel c of the C' new ones, from the C·H·W values of an output channel. */
static void make_channel(const struct parameters *p, const double *values, int64_t c,
                         double *made)
{
    bool cycles = p->init == I3D_CHANNELS_CYCLE && p->to > 1;
    double divisor = p->init == I3D_CHANNELS_MEAN ? (double)p->from : (double)p->to;
    for (int64_t position = 0; position < p->positions; position++) {
        double sum = 0;
        for (int64_t k = 0; k < p->from && !cycles; k++)
            sum += values[k * p->positions + position];
        if (cycles)
            sum = values[c % p->from * p->positions + position] * (double)p->from;
        made[position] = sum / divisor;
    }
}

static enum i3d_status compute(const void *context, struct i3d_source *const *inputs,
                               int input_count, void *bytes, uint64_t length,
                               struct i3d_error *error)
{
    const struct parameters *p = context;
    (void)input_count;
    (void)length;
    size_t size = i3d_dtype_size(p->dtype);
    int64_t plane = p->from * p->positions;
    void *kernel = malloc((size_t)plane * size);
    double *values = malloc((size_t)plane * sizeof *values);
    double *made = malloc((size_t)p->positions * sizeof *made);
    enum i3d_status status = kernel && values && made ? I3D_OK : i3d_fail_memory(error);
    char *to = bytes;
    for (int64_t o = 0; o < p->outputs && !status; o++) {
        status = i3d_source_read(inputs[0], (uint64_t)(o * plane) * size, kernel,
                                 (size_t)plane * size, error);
        if (status)
            break;
        i3d_to_double(p->dtype, kernel, values, (size_t)plane);
        for (int64_t c = 0; c < p->to; c++) {
            make_channel(p, values, c, made);
            i3d_from_double(p->dtype, made, to, (size_t)p->positions);
            to += (size_t)p->positions * size;
        }
    }
    free(kernel);
    free(values);
    free(made);
    return status;
}

struct i3d_source *i3d_other_channels(const struct i3d_tensor *weight, int64_t channels,
                                      enum i3d_channel_init init)
{
    struct parameters parameters = {
        .dtype = weight->dtype,
        .outputs = weight->dims[0],
        .from = weight->dims[1],
        .to = channels,
        .positions = weight->dims[2] * weight->dims[3],
        .init = init,
    };
    int64_t dims[] = { parameters.outputs, channels, parameters.positions };
    int64_t elements = i3d_element_count(3, dims);
    if (elements < 0)
        return NULL;
    return i3d_source_compute(compute, &parameters, sizeof parameters, &weight->source, 1,
                              (uint64_t)elements * i3d_dtype_size(weight->dtype));
}
