#include "zoo/dialects.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every number is a function of the seed, its tensor's name and its index, so
 * that any part of a tensor can be made at any time. Integer arithmetic is exact
 * and each value is then rounded by one or two float32 operations, whose results
 * IEEE 754 fixes: the same bytes on every machine. */

enum shape_of_values { NORMAL, UNIFORM };

struct stream {
    uint64_t key;
    enum shape_of_values values;
    float centre, scale;
};

/* The finaliser of SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static uint64_t key_of(uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
    return mix(seed) ^ hash;
}

/* Four 16-bit lanes, summed and centred: bell-shaped (Irwin-Hall), an integer
 * within ±2^17, of variance (2^32 - 1) / 3. */
static float bell(uint64_t bits)
{
    int32_t sum = (int32_t)((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff)
                            + (bits >> 48));
    return (float)(sum - 2 * 0xffff);
}

static float value_at(const struct stream *stream, uint64_t index)
{
    uint64_t bits = mix(stream->key + (index + 1) * 0x9e3779b97f4a7c15);
    float unit = stream->values == NORMAL ? bell(bits) : (float)(int32_t)(bits >> 40);
    float spread = unit * stream->scale;
    return stream->centre + spread;
}

/* Reads may start and end inside an element. */
static enum i3d_status read_values(void *context, uint64_t offset, void *bytes, size_t length,
                                   struct i3d_error *error)
{
    const struct stream *stream = context;
    unsigned char *out = bytes;
    (void)error;
    for (uint64_t index = offset / sizeof(float); length; index++) {
        float value = value_at(stream, index);
        size_t skip = offset % sizeof value, count = sizeof value - skip;
        count = count < length ? count : length;
        memcpy(out, (char *)&value + skip, count);
        out += count;
        offset += count;
        length -= count;
    }
    return I3D_OK;
}

/* What makes a normal value of that standard deviation out of bell(). */
static float bell_scale(double deviation)
{
    return (float)(deviation / sqrt((4294967296.0 - 1) / 3));
}

/* He et al. 2015 (arXiv 1502.01852) for kernels; the rest as a trained network
 * has it: variances of 0.5 to 1.5, scales near 1, small shifts. */
static struct stream stream_for(const struct i3d_tensor *tensor, uint64_t seed)
{
    struct stream stream = { .key = key_of(seed, tensor->name), .values = NORMAL };
    const char *role = strrchr(tensor->name, '/') + 1;
    if (!strcmp(role, "weight")) {
        int64_t fan_in = i3d_element_count(tensor->rank - 1, tensor->dims + 1);
        stream.scale = bell_scale(sqrt(2 / (double)fan_in));
    } else if (!strcmp(role, "variance")) {
        stream.values = UNIFORM;
        stream.centre = 0.5f;
        stream.scale = 0x1p-24f; /* of 24 random bits */
    } else if (!strcmp(role, "gamma")) {
        stream.centre = 1;
        stream.scale = bell_scale(0.1);
    } else {
        stream.scale = bell_scale(!strcmp(role, "mean") ? 0.1 : 0.05);
    }
    return stream;
}

static enum i3d_status fill(struct i3d_model *graph, uint64_t seed, struct i3d_error *error)
{
    for (size_t i = 0; i < graph->tensor_count; i++) {
        struct i3d_tensor *tensor = &graph->tensors[i];
        if (tensor->source)
            continue;
        struct stream *stream = malloc(sizeof *stream);
        if (!stream)
            return i3d_fail_memory(error);
        *stream = stream_for(tensor, seed);
        tensor->source = i3d_source_callback(read_values, free, stream, i3d_tensor_bytes(tensor));
        if (!tensor->source) {
            free(stream);
            return i3d_fail_memory(error);
        }
    }
    return I3D_OK;
}

/* The class count of the dialect's reference file. */
static int64_t usual_classes(const struct i3d_dialect *dialect)
{
    const struct i3d_dialect_entry *bias =
        i3d_dialect_find(dialect, dialect->classifier, "bias");
    return bias && bias->rank ? bias->dims[0] : 0;
}

enum i3d_status i3d_zoo_synth(const struct i3d_architecture *architecture,
                              const struct i3d_architecture_options *options, uint64_t seed,
                              const struct i3d_dialect *dialect, struct i3d_model **weights,
                              struct i3d_error *error)
{
    *weights = NULL;
    if (!dialect)
        dialect = i3d_dialect_by_name(architecture->dialect);
    if (!dialect)
        return i3d_fail_memory(error);
    const struct i3d_dialect *own = i3d_dialect_for(dialect, architecture->name);
    dialect = own ? own : dialect;
    struct i3d_architecture_options filled = *options;
    filled.gamma |= i3d_dialect_has_gamma(dialect);
    if (!filled.classes)
        filled.classes = usual_classes(dialect);
    if (!filled.epsilon)
        filled.epsilon = dialect->epsilon;
    struct i3d_model *graph;
    enum i3d_status status = architecture->build(architecture, &filled, &graph, error);
    if (status)
        return status;
    status = fill(graph, seed, error);
    if (!status)
        status = i3d_zoo_unbind(graph, dialect, weights, error);
    i3d_model_free(graph);
    return status;
}
