/* How far rounding carries in a network: the 2D network runs beside itself, the copy with
 * every result off by one unit roundoff of what was summed up for it, Σ|w||x|, at random
 * signs. That is the size of the rounding errors of a sum whose terms are of either sign,
 * so the distance between the two grows over depth as that between the proof's two
 * networks does where both are right. This is Monte Carlo arithmetic (Parker, Pierce and
 * Eggert 2000, "Monte Carlo arithmetic: how to gamble with floating point and win"), one
 * sample by element, the largest of a layer being taken. No weight of the 3D network is
 * looked at. */
#include "verify/prover.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BROADCASTS = 7 }; /* from this operator set on, operands of any shapes are multiplied */

struct probe {
    struct i3d_prover *prover;
    struct i3d_twins *twins;
    double roundoff;
};

/* A value's name in the copy; of what no node computes: in the network itself. */
static const char *copied_name(const struct probe *probe, const char *value)
{
    if (!*value)
        return "";
    return i3d_index_producer(probe->prover->flat.index, value) >= 0
        ? i3d_arena_printf(probe->twins->model->arena, "r:%s", value)
        : i3d_twins_name(probe->twins, I3D_REFERENCE, value);
}

/* A tensor of ±size at random. */
static const char *put_signs(struct probe *probe, int rank, const int64_t *dims, float size)
{
    struct i3d_twins *twins = probe->twins;
    struct i3d_array signs;
    const char *name = i3d_twins_new_name(twins, "signs");
    if (!name || i3d_array_new(I3D_FLOAT32, rank, dims, &signs, NULL))
        return NULL;
    i3d_normal_values(probe->prover->options->seed ^ twins->names, &signs);
    float *values = signs.data;
    for (int64_t i = 0; i < i3d_element_count(rank, dims); i++)
        values[i] = copysignf(size, values[i]);
    enum i3d_status status = i3d_model_put_floats(twins->model, name, rank, dims, values, NULL);
    i3d_array_free(&signs);
    return status ? NULL : name;
}

/* Has the copied node's first output, of that shape, be off by base times the roundoff. The
 * signs are those of channels times those of positions. */
static bool disturb(struct probe *probe, struct i3d_node *node, const char *base,
                    const struct i3d_shape *shape)
{
    struct i3d_twins *twins = probe->twins;
    int64_t channels[I3D_MAX_RANK] = { shape->dims[1] };
    for (int k = 1; k < shape->rank - 1; k++)
        channels[k] = 1;
    const char *result = node->outputs[0], *plain = i3d_twins_new_name(twins, "exact");
    const char *by_channel = put_signs(probe, shape->rank - 1, channels, (float)probe->roundoff);
    const char *error = by_channel
        ? i3d_twins_node(twins, "Mul", (const char *[]){ base ? base : plain, by_channel, NULL },
                         NULL) : NULL;
    if (error && shape->rank > 2) {
        const char *by_place = put_signs(probe, shape->rank - 2, shape->dims + 2, 1);
        error = by_place ? i3d_twins_node(twins, "Mul", (const char *[]){ error, by_place, NULL },
                                          NULL) : NULL;
    }
    return plain && error
        && i3d_model_put_node(twins->model, "Add", result,
                              (const char *[]){ plain, error, NULL },
                              (const char *[]){ result, NULL })
        ? (node->outputs[0] = plain, true) : false;
}

static bool is_rounded(const struct i3d_node *node, const struct i3d_shape *shape)
{
    return node->input_count && shape->dtype == I3D_FLOAT32 && shape->rank >= 2
        && !i3d_keeps_distance(node);
}

static enum i3d_status add_node(struct probe *probe, int64_t position)
{
    struct i3d_prover *prover = probe->prover;
    struct i3d_twins *twins = probe->twins;
    const struct i3d_node *node = &prover->flat.model->nodes[position];
    const struct i3d_shape *shape =
        node->output_count ? i3d_shape_of(prover->flat.shapes, node->outputs[0]) : NULL;
    bool rounded = shape && is_rounded(node, shape);
    const char *terms = NULL;
    if (!i3d_twins_copy(twins, I3D_REFERENCE, node))
        return i3d_fail_memory(twins->error);
    if (rounded && i3d_is_kernel(&prover->flat, node)) {
        enum i3d_status status = i3d_add_terms(prover, twins, position, &terms);
        if (status)
            return status;
    }
    struct i3d_node *copy = i3d_model_copy_node(twins->model, node);
    bool good = copy != NULL;
    for (size_t k = 0; good && k < node->input_count; k++)
        good = (copy->inputs[k] = copied_name(probe, node->inputs[k])) != NULL;
    for (size_t k = 0; good && k < node->output_count; k++)
        good = (copy->outputs[k] = copied_name(probe, node->outputs[k])) != NULL;
    if (!good || (rounded && !disturb(probe, copy, terms, shape)))
        return i3d_fail_memory(twins->error);
    return I3D_OK;
}

/* Appends the comparisons of what a node computes. */
static enum i3d_status compare(struct probe *probe, const struct i3d_node *node)
{
    struct i3d_prover *prover = probe->prover;
    enum i3d_status status = I3D_OK;
    for (size_t e = 0; e < prover->count && !status; e++) {
        const char *value = prover->entries[e].flat;
        bool here = false;
        for (size_t k = 0; k < node->output_count; k++)
            here |= !strcmp(node->outputs[k], value);
        if (!here)
            continue;
        struct i3d_comparison comparison = {
            .kind = I3D_COMPARE_ROUNDED, .layer = e,
            .reference = i3d_twins_name(probe->twins, I3D_REFERENCE, value),
            .value = copied_name(probe, value),
        };
        if (!comparison.reference || !comparison.value)
            return i3d_fail_memory(probe->twins->error);
        status = i3d_twins_compare(probe->twins, comparison);
        if (!status)
            status = i3d_twins_hold(probe->twins, comparison.reference);
    }
    return status;
}

enum i3d_status i3d_add_rounding(struct i3d_prover *prover, struct i3d_twins *twins)
{
    struct probe probe = { prover, twins, i3d_roundoff_of(prover) };
    const struct i3d_model *flat = prover->flat.model;
    enum i3d_status status = I3D_OK;
    if (i3d_opset(twins->model) < BROADCASTS)
        return I3D_OK;
    for (size_t i = 0; i < flat->node_count && !status; i++) {
        status = add_node(&probe, (int64_t)i);
        if (!status)
            status = compare(&probe, &flat->nodes[i]);
    }
    return status;
}
