/* What explains an activation that differs where all weights are equal. */
#include "verify/prover.h"

#include <stdio.h>
#include <string.h>

/* Pads over height and width, of the node and of Pad nodes ahead of it. */
struct spatial_pads {
    int64_t begin[2], end[2];
};

static void add_pad_node(const struct i3d_structure *structure, const struct i3d_node *node,
                         size_t axes, struct spatial_pads *pads)
{
    size_t count = 0;
    int known_count = 0;
    const bool *known;
    const int64_t *amounts = i3d_ints(node, "pads", &count);
    if (!amounts && node->input_count > 1) {
        amounts = i3d_known_ints(structure->shapes, node->inputs[1], &known_count, &known);
        count = (size_t)known_count;
    }
    for (size_t k = 0; amounts && count == 2 * (axes + 2) && k < 2; k++) {
        pads->begin[k] += amounts[axes + k];
        pads->end[k] += amounts[2 * axes + 2 + k];
    }
}

static bool read_pads(const struct i3d_structure *structure, const struct i3d_node *node,
                      size_t axes, struct spatial_pads *pads)
{
    const struct i3d_shape *shape = i3d_shape_of(structure->shapes, node->inputs[0]);
    const struct i3d_tensor *weight =
        i3d_is(node, "Conv") ? i3d_structure_tensor(structure, node->inputs[1]) : NULL;
    size_t count;
    const int64_t *kernel = i3d_ints(node, "kernel_shape", &count);
    struct i3d_window window;
    if (weight && weight->rank == (int)axes + 2)
        kernel = weight->dims + 2;
    else if (count != axes || i3d_is(node, "ConvTranspose"))
        return false;
    if (!kernel || shape->rank != (int)axes + 2
        || i3d_resolve_window(node, (int)axes, kernel, shape->dims + 2, &window, NULL))
        return false;
    for (size_t k = 0; k < 2; k++) {
        pads->begin[k] = window.pad_begin[axes - 2 + k];
        pads->end[k] = window.pad_end[axes - 2 + k];
    }
    int64_t producer = i3d_index_producer(structure->index, node->inputs[0]);
    while (producer >= 0) {
        const struct i3d_node *ahead = &structure->model->nodes[producer];
        if (!i3d_is_transparent(structure, ahead))
            break;
        if (i3d_is(ahead, "Pad"))
            add_pad_node(structure, ahead, axes, pads);
        producer = i3d_index_producer(structure->index, ahead->inputs[0]);
    }
    return true;
}

static void compare_pads(const struct i3d_prover *prover, const struct i3d_node *flat,
                         const struct i3d_node *inflated, struct i3d_layer_verdict *verdict)
{
    struct spatial_pads a, b;
    if (!flat->input_count || !inflated->input_count || !read_pads(&prover->flat, flat, 2, &a)
        || !read_pads(&prover->inflated, inflated, 3, &b))
        return;
    for (size_t k = 0; k < 2 && !*verdict->audit_note; k++)
        if (a.begin[k] != b.begin[k] || a.end[k] != b.end[k])
            snprintf(verdict->audit_note, sizeof verdict->audit_note,
                     "pads (%lld,%lld) along %s, in 2D (%lld,%lld)", (long long)b.begin[k],
                     (long long)b.end[k], k ? "width" : "height", (long long)a.begin[k],
                     (long long)a.end[k]);
}

void i3d_diagnose(const struct i3d_prover *prover, size_t i)
{
    const struct i3d_entry *entry = &prover->entries[i];
    struct i3d_layer_verdict *verdict = &prover->proof->layers[i];
    bool bad = (verdict->alone.judged && !verdict->alone.good)
        || (verdict->judged && !(verdict->max_absolute >= 0));
    if (entry->node < 0 || !bad || !verdict->audit_good)
        return;
    const struct i3d_node_pair *pair = &prover->pairing.nodes[entry->node];
    int64_t flat = pair->folded ? pair->flat_kernel : entry->node;
    int64_t inflated = pair->folded ? pair->inflated_kernel : pair->inflated;
    char was[sizeof verdict->audit_note];
    memcpy(was, verdict->audit_note, sizeof was);
    verdict->audit_note[0] = '\0';
    compare_pads(prover, &prover->flat.model->nodes[flat],
                 &prover->inflated.model->nodes[inflated], verdict);
    if (!*verdict->audit_note)
        memcpy(verdict->audit_note, was, sizeof was);
}
