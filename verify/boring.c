#include "verify/boring.h"

#include "verify/array.h"

#include <math.h>
#include <string.h>

static int64_t declared(const struct i3d_value *input, int axis, int64_t fallback)
{
    return input->dims[axis].value > 0 ? input->dims[axis].value : fallback;
}

/* Height or width: fixed by the 2D graph, asked for, or fixed by the 3D one. */
static enum i3d_status settle_side(int64_t flat, int64_t asked, int64_t inflated,
                                   const char *name, int64_t *side, struct i3d_error *error)
{
    *side = flat > 0 ? flat : asked > 0 ? asked : inflated > 0 ? inflated : 224;
    if (inflated <= 0 || inflated == *side)
        return I3D_OK;
    return i3d_fail(error, flat > 0 ? I3D_UNSUPPORTED : I3D_USAGE,
                    "the 3D network is for a %s of %lld, the image has %lld", name,
                    (long long)inflated, (long long)*side);
}

enum i3d_status i3d_boring_sizes(const struct i3d_model *flat, const struct i3d_model *inflated,
                                 const struct i3d_proof_options *options,
                                 struct i3d_boring *boring, struct i3d_error *error)
{
    if (flat->input_count != 1 || flat->inputs[0].rank != 4)
        return i3d_fail(error, I3D_UNSUPPORTED, "the 2D network does not take one N×C×H×W image");
    if (inflated->input_count != 1 || inflated->inputs[0].rank != 5
        || inflated->time_axis < 1 || inflated->time_axis > 2)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "the 3D network does not take one N×C×T×H×W video");
    const struct i3d_value *image = &flat->inputs[0], *video = &inflated->inputs[0];
    if (declared(image, 0, 1) != 1 || declared(video, 0, 1) != 1)
        return i3d_fail(error, I3D_UNSUPPORTED, "networks for a fixed batch of more than one");
    int time = inflated->time_axis, first = time == 2 ? 2 : 1; /* height, in 2D */
    int channel = time == 2 ? 1 : 3;
    int64_t fixed = declared(video, time, 0);
    if (fixed && options->frames && fixed != options->frames)
        return i3d_fail(error, I3D_USAGE, "the 3D file is for clips of %lld frames, not %lld",
                        (long long)fixed, (long long)options->frames);
    *boring = (struct i3d_boring){
        .time_axis = time,
        .flat_channels = declared(image, channel, 3),
        .channels = declared(video, time == 2 ? 1 : 4, declared(image, channel, 3)),
        .frames = fixed ? fixed : options->frames ? options->frames : 64,
        .seed = options->seed,
    };
    if (time == 1 && boring->channels != boring->flat_channels)
        return i3d_fail(error, I3D_UNSUPPORTED, "N×H×W×C networks of different channels");
    enum i3d_status status =
        settle_side(declared(image, first, 0), options->height, declared(video, first + 1, 0),
                    "height", &boring->height, error);
    if (!status)
        status = settle_side(declared(image, first + 1, 0), options->width,
                             declared(video, first + 2, 0), "width", &boring->width, error);
    return status;
}

/* SplitMix64 (Steele, Lea and Flood 2014) as a function of a counter. */
static uint64_t mix(uint64_t seed, uint64_t counter)
{
    uint64_t z = seed + (counter + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static float normal(uint64_t seed, uint64_t counter)
{
    double u = ((double)(mix(seed, 2 * counter) >> 11) + 0.5) * 0x1p-53;
    double v = (double)(mix(seed, 2 * counter + 1) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

void i3d_normal_values(uint64_t seed, struct i3d_array *array)
{
    float *values = array->data;
    for (int64_t i = 0; i < i3d_array_elements(array); i++)
        values[i] = normal(seed, (uint64_t)i);
}

static enum i3d_status new_video(const struct i3d_boring *boring, struct i3d_array *video,
                                 struct i3d_error *error)
{
    int64_t dims[] = { 1, boring->channels, boring->frames, boring->height, boring->width };
    int64_t last[] = { 1, boring->frames, boring->height, boring->width, boring->channels };
    return i3d_array_new(I3D_FLOAT32, 5, boring->time_axis == 1 ? last : dims, video, error);
}

enum i3d_status i3d_boring_repeat(const struct i3d_boring *boring, struct i3d_array *image,
                                  struct i3d_array *video, struct i3d_error *error)
{
    enum i3d_status status = new_video(boring, video, error);
    if (status)
        return status;
    /* The arrays exist: no product overflows. */
    int64_t plane = boring->height * boring->width, frames = boring->frames;
    float *pixels = image->data, *to = video->data;
    bool grey = boring->flat_channels != boring->channels;
    int64_t blocks = boring->channels; /* that are repeated one by one */
    if (boring->time_axis == 1) {
        plane *= boring->channels; /* all channels in one */
        blocks = 1;
    }
    for (int64_t i = 0; grey && i < plane; i++) {
        double sum = 0;
        for (int64_t c = 0; c < boring->flat_channels; c++)
            sum += (double)pixels[c * plane + i];
        for (int64_t c = 0; c < boring->flat_channels; c++)
            pixels[c * plane + i] = (float)(sum / (double)boring->flat_channels);
    }
    for (int64_t c = 0; c < blocks; c++)
        for (int64_t t = 0; t < frames; t++)
            memcpy(to + (c * frames + t) * plane, pixels + (grey ? 0 : c) * plane,
                   (size_t)plane * sizeof *pixels);
    return I3D_OK;
}

enum i3d_status i3d_boring_input(const struct i3d_boring *boring, struct i3d_array *image,
                                 struct i3d_array *video, struct i3d_error *error)
{
    int64_t dims[] = { 1, boring->flat_channels, boring->height, boring->width };
    int64_t last[] = { 1, boring->height, boring->width, boring->channels };
    enum i3d_status status =
        i3d_array_new(I3D_FLOAT32, 4, boring->time_axis == 1 ? last : dims, image, error);
    if (status)
        return status;
    int64_t plane = boring->height * boring->width, count = i3d_array_elements(image);
    bool grey = boring->flat_channels != boring->channels;
    float *pixels = image->data;
    for (int64_t i = 0; i < count; i++)
        pixels[i] = normal(boring->seed, (uint64_t)(grey ? i % plane : i));
    status = i3d_boring_repeat(boring, image, video, error);
    if (status)
        i3d_array_free(image);
    return status;
}

enum i3d_status i3d_moving_input(const struct i3d_boring *boring, struct i3d_array *video,
                                 struct i3d_error *error)
{
    enum i3d_status status = new_video(boring, video, error);
    int64_t each = boring->frames * boring->height * boring->width;
    bool grey = boring->flat_channels != boring->channels;
    int64_t count = status ? 0 : i3d_array_elements(video);
    float *values = video->data;
    for (int64_t i = 0; i < count; i++)
        values[i] = normal(boring->seed, (uint64_t)(grey ? i % each : i));
    return status;
}
