#include "zoo/filters.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 64, GAP = 2, LEAST_TILE = 24, MOST_TAPS = 64, MOST_FILTERS = 4096 };

/* A kernel as it is drawn: O×I×T×H×W. */
struct filters {
    int64_t count, channels, steps, height, width;
    float *weights;
    int zoom;       /* pixels a tap */
    int64_t across; /* filters in a row */
};

/* The first Conv that depends on no other one. */
static const struct i3d_tensor *first_kernel(const struct i3d_model *model)
{
    for (size_t i = 0; i < model->node_count; i++) {
        const struct i3d_node *node = &model->nodes[i];
        if (i3d_is(node, "Conv") && node->input_count > 1)
            return i3d_find_tensor(model, node->inputs[1]);
    }
    return NULL;
}

static enum i3d_status load(const struct i3d_tensor *kernel, struct filters *filters,
                            struct i3d_error *error)
{
    if (!kernel || !kernel->source || kernel->rank < 4 || kernel->rank > 5)
        return i3d_fail(error, I3D_UNSUPPORTED,
                        "there is no first convolution over images or video with stored weights");
    bool has_time = kernel->rank == 5;
    *filters = (struct filters){
        .count = kernel->dims[0],
        .channels = kernel->dims[1],
        .steps = has_time ? kernel->dims[2] : 1,
        .height = kernel->dims[2 + has_time],
        .width = kernel->dims[3 + has_time],
    };
    if (i3d_tensor_elements(kernel) <= 0 || filters->count > MOST_FILTERS
        || filters->steps > MOST_TAPS || filters->height > MOST_TAPS
        || filters->width > MOST_TAPS) {
        i3d_fail(error, I3D_UNSUPPORTED, "its kernel is too large for a picture");
        return i3d_error_where(error, "tensor %s", kernel->name);
    }
    int64_t side = filters->height > filters->width ? filters->height : filters->width;
    filters->zoom = side * 4 >= LEAST_TILE ? 4 : (int)((LEAST_TILE + side - 1) / side);
    filters->across = filters->count < TILES ? filters->count : TILES;
    return i3d_tensor_load_float(kernel, &filters->weights, error);
}

/* Colour of one tap, red, green and blue from -largest … largest. */
static void colour(const struct filters *filters, int64_t filter, int64_t step, int64_t y,
                   int64_t x, float largest, unsigned char rgb[3])
{
    int64_t plane = filters->height * filters->width, volume = filters->steps * plane;
    const float *tap = filters->weights + filter * filters->channels * volume + step * plane
        + y * filters->width + x;
    float parts[3] = { 0 };
    if (filters->channels == 3) {
        for (int c = 0; c < 3; c++)
            parts[c] = tap[c * volume];
    } else if (filters->channels == 2) {
        parts[0] = tap[0];
        parts[2] = tap[volume];
    } else {
        for (int64_t c = 0; c < filters->channels; c++)
            parts[0] += tap[c * volume] / (float)filters->channels;
        parts[1] = parts[2] = parts[0];
    }
    for (int c = 0; c < 3; c++) {
        float level = 127.5f + 127.5f * parts[c] / largest;
        rgb[c] = level > 0 ? (unsigned char)(level < 255 ? lrintf(level) : 255) : 0;
    }
}

static float largest_weight(const struct filters *filters)
{
    int64_t elements = filters->count * filters->channels * filters->steps * filters->height
        * filters->width;
    float largest = 0;
    for (int64_t i = 0; i < elements; i++)
        if (isfinite(filters->weights[i]) && fabsf(filters->weights[i]) > largest)
            largest = fabsf(filters->weights[i]);
    return largest > 0 ? largest : 1;
}

static void draw_filter(const struct filters *filters, int64_t filter, int64_t step,
                        float largest, unsigned char *pixels, int64_t row_bytes)
{
    int zoom = filters->zoom;
    for (int64_t y = 0; y < filters->height * zoom; y++)
        for (int64_t x = 0; x < filters->width * zoom; x++)
            colour(filters, filter, step, y / zoom, x / zoom, largest,
                   pixels + y * row_bytes + 3 * x);
}

/* As a PNG in memory. */
static enum i3d_status encode(const unsigned char *pixels, int64_t width, int64_t height,
                              unsigned char **png, size_t *length, struct i3d_error *error)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)width,
        .height = (png_uint_32)height,
        .format = PNG_FORMAT_RGB,
    };
    png_alloc_size_t size = 0;
    *png = NULL;
    if (png_image_write_to_memory(&image, NULL, &size, 0, pixels, 0, NULL)
        && (*png = malloc(size))
        && png_image_write_to_memory(&image, *png, &size, 0, pixels, 0, NULL)) {
        *length = size;
        return I3D_OK;
    }
    free(*png);
    *png = NULL;
    return i3d_fail(error, I3D_SYSTEM, "libpng cannot write the picture: %s",
                    *image.message ? image.message : "not enough memory");
}

static enum i3d_status draw(const struct filters *filters, unsigned char **png, size_t *length,
                            struct i3d_error *error)
{
    int64_t tile_width = filters->width * filters->zoom + GAP;
    int64_t tile_height = filters->height * filters->zoom + GAP;
    int64_t blocks = (filters->count + filters->across - 1) / filters->across;
    int64_t width = filters->across * tile_width + GAP;
    int64_t height = blocks * (filters->steps * tile_height + GAP);
    unsigned char *pixels = malloc((size_t)(3 * width * height));
    if (!pixels)
        return i3d_fail_memory(error);
    memset(pixels, 255, (size_t)(3 * width * height));
    float largest = largest_weight(filters);
    for (int64_t filter = 0; filter < filters->count; filter++)
        for (int64_t step = 0; step < filters->steps; step++) {
            int64_t block = filter / filters->across, column = filter % filters->across;
            int64_t top = GAP + block * (filters->steps * tile_height + GAP) + step * tile_height;
            int64_t left = GAP + column * tile_width;
            draw_filter(filters, filter, step, largest, pixels + 3 * (top * width + left),
                        3 * width);
        }
    enum i3d_status status = encode(pixels, width, height, png, length, error);
    free(pixels);
    return status;
}

enum i3d_status i3d_draw_filters(const struct i3d_model *model, unsigned char **png,
                                 size_t *length, struct i3d_error *error)
{
    struct filters filters = { 0 };
    enum i3d_status status = load(first_kernel(model), &filters, error);
    if (!status)
        status = draw(&filters, png, length, error);
    free(filters.weights);
    return status;
}
