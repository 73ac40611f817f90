#include "zoo/preprocess.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool read_number(const json_t *json, double *number)
{
    if (!json_is_number(json))
        return !json;
    *number = json_number_value(json);
    return isfinite(*number);
}

/* One number for all channels, or one for each. */
static bool read_channels(const json_t *json, double numbers[3])
{
    bool good = !json || json_is_number(json) || json_array_size(json) == 3;
    for (size_t c = 0; good && c < 3; c++)
        good = read_number(json_is_array(json) ? json_array_get(json, c) : json, &numbers[c]);
    return good;
}

static bool read_settings(const json_t *json, struct i3d_preprocessing *settings)
{
    static const char *const keys[] = { "size", "channel_order", "scale", "mean", "std" };
    const char *key, *order = "RGB";
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        bool known = false;
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            known |= !strcmp(key, keys[k]);
        if (!known)
            return false;
    }
    const json_t *size = json_object_get(json, "size"), *named = json_object_get(json, "channel_order");
    if (size) {
        settings->height = json_integer_value(json_array_get(size, 0));
        settings->width = json_integer_value(json_array_get(size, 1));
        if (json_array_size(size) != 2 || settings->height < 1 || settings->width < 1
            || settings->height > 1 << 20 || settings->width > 1 << 20)
            return false;
    }
    if (named)
        order = json_string_value(named);
    if (!order || (strcmp(order, "RGB") && strcmp(order, "BGR")))
        return false;
    settings->bgr = !strcmp(order, "BGR");
    bool good = read_number(json_object_get(json, "scale"), &settings->scale)
        && read_channels(json_object_get(json, "mean"), settings->mean)
        && read_channels(json_object_get(json, "std"), settings->std);
    for (int c = 0; c < 3; c++)
        good = good && settings->std[c] > 0;
    return good;
}

enum i3d_status i3d_preprocessing_parse(const char *text, struct i3d_preprocessing *settings,
                                        struct i3d_error *error)
{
    *settings = (struct i3d_preprocessing){ .scale = 1, .std = { 1, 1, 1 } };
    if (!text) {
        settings->scale = 2.0 / 255;
        for (int c = 0; c < 3; c++)
            settings->mean[c] = 1;
    }
    json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool good = !text || (json_is_object(json) && read_settings(json, settings));
    json_decref(json);
    if (good)
        return I3D_OK;
    i3d_fail(error, I3D_USAGE, "this is no object that says how images become input");
    return i3d_error_hint(error, "such as {\"size\": [224, 224], \"channel_order\": \"RGB\", "
                                 "\"scale\": 0.00784314, \"mean\": [1, 1, 1], \"std\": [1, 1, 1]}");
}

/* How one axis is resampled: output i is Σ weight·pixel over count pixels from first on. */
struct taps {
    int64_t first, count;
    float *weights;
};

struct axis {
    int64_t outputs;
    struct taps *taps;
    float *weights; /* of all */
};

static enum i3d_status make_axis(int64_t pixels, double start, double span, int64_t outputs,
                                 struct axis *axis, struct i3d_error *error)
{
    double step = span / (double)outputs, reach = fmax(step, 1);
    size_t most = (size_t)(2 * ceil(reach) + 2);
    axis->outputs = outputs;
    axis->taps = calloc((size_t)outputs, sizeof *axis->taps);
    axis->weights = calloc((size_t)outputs * most, sizeof *axis->weights);
    if (!axis->taps || !axis->weights)
        return i3d_fail_memory(error);
    for (int64_t i = 0; i < outputs; i++) {
        double centre = start + ((double)i + 0.5) * step, sum = 0;
        int64_t first = (int64_t)fmax(floor(centre - reach + 0.5), 0);
        int64_t end = (int64_t)fmin(floor(centre + reach + 0.5), (double)pixels);
        first = first < pixels ? first : pixels - 1;
        end = end > first ? end : first + 1;
        struct taps *taps = &axis->taps[i];
        *taps = (struct taps){ first, end - first, axis->weights + (size_t)i * most };
        for (int64_t k = 0; k < taps->count; k++)
            sum += fmax(1 - fabs((double)(first + k) + 0.5 - centre) / reach, 0);
        for (int64_t k = 0; k < taps->count; k++)
            taps->weights[k] = sum > 0
                ? (float)(fmax(1 - fabs((double)(first + k) + 0.5 - centre) / reach, 0) / sum)
                : 1.0f / (float)taps->count;
    }
    return I3D_OK;
}

static void free_axis(struct axis *axis)
{
    free(axis->taps);
    free(axis->weights);
}

/* One row of the picture, resampled along its width. */
static void resample_row(const uint8_t *pixels, const struct axis *across, float *row)
{
    for (int64_t x = 0; x < across->outputs; x++) {
        const struct taps *taps = &across->taps[x];
        float sums[3] = { 0 };
        for (int64_t k = 0; k < taps->count; k++)
            for (int c = 0; c < 3; c++)
                sums[c] += taps->weights[k] * (float)pixels[(taps->first + k) * 3 + c];
        memcpy(row + x * 3, sums, sizeof sums);
    }
}

/* Places one pixel, of 0 … 255 a channel. */
static void put_pixel(const float *rgb, const struct i3d_preprocessing *settings,
                      int64_t channels, bool channels_last, int64_t plane, int64_t at, float *out)
{
    float values[3];
    for (int c = 0; c < 3; c++)
        values[c] = (float)(((double)rgb[settings->bgr ? 2 - c : c] * settings->scale
                             - settings->mean[c]) / settings->std[c]);
    if (channels == 1)
        out[at] = (values[0] + values[1] + values[2]) / 3;
    for (int64_t c = 0; channels == 3 && c < 3; c++)
        out[channels_last ? at * 3 + c : c * plane + at] = values[c];
}

enum i3d_status i3d_preprocess(const struct i3d_picture *picture,
                               const struct i3d_preprocessing *settings,
                               const struct i3d_shape *shape, bool channels_last,
                               struct i3d_array *array, struct i3d_error *error)
{
    struct axis down = { 0 }, across = { 0 };
    float *rows = NULL, *line = NULL;
    int64_t channels = shape->dims[channels_last ? 3 : 1];
    int64_t height = shape->dims[channels_last ? 1 : 2], width = shape->dims[channels_last ? 2 : 3];
    if (channels != 1 && channels != 3)
        return i3d_fail(error, I3D_USAGE, "a photograph has 3 channels, the network takes %lld",
                        (long long)channels);
    enum i3d_status status = i3d_array_new(I3D_FLOAT32, 4, shape->dims, array, error);
    if (status)
        return status;
    double zoom = fmax((double)height / (double)picture->height,
                       (double)width / (double)picture->width);
    double high = (double)height / zoom, wide = (double)width / zoom;
    status = make_axis(picture->height, ((double)picture->height - high) / 2, high, height, &down,
                       error);
    if (!status)
        status = make_axis(picture->width, ((double)picture->width - wide) / 2, wide, width,
                           &across, error);
    int64_t first = status ? 0 : down.taps[0].first;
    int64_t end = status ? 0 : down.taps[height - 1].first + down.taps[height - 1].count;
    if (!status) {
        rows = calloc((size_t)(end - first), (size_t)width * 3 * sizeof *rows);
        line = calloc((size_t)width, 3 * sizeof *line);
        if (!rows || !line)
            status = i3d_fail_memory(error);
    }
    for (int64_t y = first; y < end && !status; y++)
        resample_row(picture->pixels + y * picture->width * 3, &across,
                     rows + (y - first) * width * 3);
    for (int64_t y = 0; y < height && !status; y++) {
        memset(line, 0, (size_t)width * 3 * sizeof *line);
        for (int64_t k = 0; k < down.taps[y].count; k++) {
            const float *row = rows + (down.taps[y].first + k - first) * width * 3;
            for (int64_t x = 0; x < width * 3; x++)
                line[x] += down.taps[y].weights[k] * row[x];
        }
        for (int64_t x = 0; x < width; x++)
            put_pixel(line + x * 3, settings, channels, channels_last, height * width,
                      y * width + x, array->data);
    }
    free(rows);
    free(line);
    free_axis(&down);
    free_axis(&across);
    if (status)
        i3d_array_free(array);
    return status;
}
