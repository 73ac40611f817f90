#include "converters/channels.h"

#include <stdlib.h>

struct parameters {
    enum i3d_dtype dtype;
    int64_t outputs, from, to, positions; /* O, C, C', H·W */
};

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
    double *mean = malloc((size_t)p->positions * sizeof *mean);
    enum i3d_status status = kernel && values && mean ? I3D_OK : i3d_fail_memory(error);
    char *to = bytes;
    for (int64_t o = 0; o < p->outputs && !status; o++) {
        status = i3d_source_read(inputs[0], (uint64_t)(o * plane) * size, kernel,
                                 (size_t)plane * size, error);
        if (status)
            break;
        i3d_to_double(p->dtype, kernel, values, (size_t)plane);
        for (int64_t position = 0; position < p->positions; position++) {
            double sum = 0;
            for (int64_t c = 0; c < p->from; c++)
                sum += values[c * p->positions + position];
            mean[position] = sum / (double)p->to;
        }
        for (int64_t c = 0; c < p->to; c++) {
            i3d_from_double(p->dtype, mean, to, (size_t)p->positions);
            to += (size_t)p->positions * size;
        }
    }
    free(kernel);
    free(values);
    free(mean);
    return status;
}

struct i3d_source *i3d_channel_mean(const struct i3d_tensor *weight, int64_t channels)
{
    struct parameters parameters = {
        .dtype = weight->dtype,
        .outputs = weight->dims[0],
        .from = weight->dims[1],
        .to = channels,
        .positions = weight->dims[2] * weight->dims[3],
    };
    int64_t dims[] = { parameters.outputs, channels, parameters.positions };
    int64_t elements = i3d_element_count(3, dims);
    if (elements < 0)
        return NULL;
    return i3d_source_compute(compute, &parameters, sizeof parameters, &weight->source, 1,
                              (uint64_t)elements * i3d_dtype_size(weight->dtype));
}
