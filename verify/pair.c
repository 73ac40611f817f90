#include "verify/pair.h"

#include <stdio.h>
#include <stdlib.h>

/* Two values that should be one. */
struct step {
    const char *flat, *inflated;
    bool at_output;
};

enum { FREE = -1, PASSED_OVER = -2 };

struct walk {
    struct i3d_pairing *pairing;
    int64_t *partners;  /* by 3D position: the 2D one, FREE or PASSED_OVER */
    struct step *steps; /* a stack */
    size_t step_count, step_room;
    struct i3d_error *error;
};

static const struct i3d_node *flat_node(const struct walk *walk, int64_t position)
{
    return &walk->pairing->flat->model->nodes[position];
}

static const struct i3d_node *inflated_node(const struct walk *walk, int64_t position)
{
    return &walk->pairing->inflated->model->nodes[position];
}

static enum i3d_status push(struct walk *walk, struct step step)
{
    if (walk->step_count == walk->step_room) {
        size_t room = walk->step_room ? 2 * walk->step_room : 64;
        struct step *steps = realloc(walk->steps, room * sizeof *steps);
        if (!steps)
            return i3d_fail_memory(walk->error);
        walk->steps = steps;
        walk->step_room = room;
    }
    walk->steps[walk->step_count++] = step;
    return I3D_OK;
}

/* Whether the operands of a sum or product fit when exchanged, and only then. */
static bool is_crossed(const struct walk *walk, const struct i3d_node *node,
                       const struct i3d_node *other)
{
    const struct i3d_structure *a = walk->pairing->flat, *b = walk->pairing->inflated;
    if (!(i3d_is(node, "Add") || i3d_is(node, "Mul")) || node->input_count != 2)
        return false;
    uint64_t first = i3d_value_hash(a, node->inputs[0]);
    return first != i3d_value_hash(b, other->inputs[0])
        && first == i3d_value_hash(b, other->inputs[1])
        && i3d_value_hash(a, node->inputs[1]) == i3d_value_hash(b, other->inputs[0]);
}

/* Pushed last to first, so that they are taken in order. */
static enum i3d_status push_inputs(struct walk *walk, const struct i3d_node *node,
                                   const struct i3d_node *other)
{
    bool crossed = is_crossed(walk, node, other);
    enum i3d_status status = I3D_OK;
    for (size_t k = i3d_data_inputs(walk->pairing->flat, node); k-- > 0 && !status;)
        status = push(walk, (struct step){ node->inputs[k],
                                           other->inputs[crossed ? 1 - k : k], false });
    return status;
}

static struct i3d_node_pair *join(struct walk *walk, int64_t flat, int64_t inflated)
{
    struct i3d_node_pair *pair = &walk->pairing->nodes[flat];
    pair->inflated = inflated;
    walk->partners[inflated] = flat;
    walk->pairing->pair_count++;
    return pair;
}

static enum i3d_status join_alike(struct walk *walk, int64_t flat, int64_t inflated)
{
    const struct i3d_structure *a = walk->pairing->flat, *b = walk->pairing->inflated;
    const struct i3d_node *node = flat_node(walk, flat), *other = inflated_node(walk, inflated);
    struct i3d_node_pair *pair = join(walk, flat, inflated);
    pair->flat_kernel = i3d_is_kernel(a, node) ? flat : i3d_kernel_under(a, node);
    pair->inflated_kernel = i3d_is_kernel(b, other) ? inflated : i3d_kernel_under(b, other);
    return push_inputs(walk, node, other);
}

/* A BatchNormalization over a kernel against a kernel, on either side. */
static bool join_folded(struct walk *walk, int64_t flat, int64_t inflated,
                        enum i3d_status *status)
{
    const struct i3d_structure *a = walk->pairing->flat, *b = walk->pairing->inflated;
    const struct i3d_node *node = flat_node(walk, flat), *other = inflated_node(walk, inflated);
    int64_t under = i3d_kernel_under(a, node), other_under = i3d_kernel_under(b, other);
    bool in_flat = under >= 0 && i3d_is_kernel(b, other);
    bool in_inflated = other_under >= 0 && i3d_is_kernel(a, node);
    if (!in_flat && !in_inflated)
        return false;
    struct i3d_node_pair *pair = join(walk, flat, inflated);
    pair->folded = true;
    pair->flat_kernel = in_flat ? under : flat;
    pair->inflated_kernel = in_flat ? inflated : other_under;
    if (in_flat)
        walk->pairing->nodes[under].covered = true;
    else
        walk->partners[other_under] = flat; /* taken, as a part of the pair */
    *status = push(walk, (struct step){ flat_node(walk, pair->flat_kernel)->inputs[0],
                                        inflated_node(walk, pair->inflated_kernel)->inputs[0],
                                        false });
    return true;
}

/* A pool over time alone, of the other node's kind, though behind a pool that is
 * the other node's partner. */
static bool is_in_between(const struct i3d_structure *a, struct i3d_origin origin,
                          const struct i3d_structure *b, const struct i3d_node *other)
{
    const struct i3d_node *node = &a->model->nodes[origin.node];
    if (!i3d_is_temporal_pool(node) || i3d_is_temporal_pool(other))
        return false;
    while (node && i3d_is_temporal_pool(node)) {
        origin = i3d_origin_of(a, node->inputs[0]);
        node = origin.node < 0 ? NULL : &a->model->nodes[origin.node];
    }
    return node && i3d_same_kind(a, node, b, other);
}

/* True if the two are one value: paired before, or now. */
static bool match(struct walk *walk, struct i3d_origin flat, struct i3d_origin inflated,
                  enum i3d_status *status)
{
    if (flat.node < 0 || inflated.node < 0)
        return flat.node < 0 && inflated.node < 0 && flat.tensor == inflated.tensor;
    const struct i3d_structure *a = walk->pairing->flat, *b = walk->pairing->inflated;
    const struct i3d_node *node = flat_node(walk, flat.node);
    const struct i3d_node *other = inflated_node(walk, inflated.node);
    const struct i3d_node_pair *pair = &walk->pairing->nodes[flat.node];
    if (flat.output != inflated.output)
        return false;
    if (pair->inflated == inflated.node)
        return true;
    if (pair->inflated >= 0 || pair->covered || walk->partners[inflated.node] != FREE
        || is_in_between(a, flat, b, other) || is_in_between(b, inflated, a, node))
        return false;
    if (!i3d_same_kind(a, node, b, other))
        return join_folded(walk, flat.node, inflated.node, status);
    *status = join_alike(walk, flat.node, inflated.node);
    return true;
}

/* Moves on to a node's input if the node may be there in one graph only. */
static bool pass_over(const struct i3d_structure *structure, bool at_output,
                      struct i3d_origin *origin)
{
    if (origin->node < 0)
        return false;
    const struct i3d_node *node = &structure->model->nodes[origin->node];
    if (!i3d_is_temporal_pool(node) && !(at_output && i3d_is_softmax(node)))
        return false;
    *origin = i3d_origin_of(structure, node->inputs[0]);
    return true;
}

static const char *describe(const struct i3d_structure *structure, struct i3d_origin origin,
                            char *buffer, size_t size)
{
    const struct i3d_node *node = origin.node < 0 ? NULL : &structure->model->nodes[origin.node];
    snprintf(buffer, size, "%.20s%s%.60s", node ? node->op_type : origin.tensor ? "a constant"
                                                                                : "its input",
             node ? " " : "", node ? node->outputs[origin.output] : "");
    return buffer;
}

static void part_ways(struct walk *walk, const struct step *step)
{
    struct i3d_pairing *pairing = walk->pairing;
    char mine[96], theirs[96];
    if (step->at_output)
        pairing->outputs_paired = false;
    if (*pairing->obstacle)
        return;
    struct i3d_origin flat = i3d_origin_of(pairing->flat, step->flat);
    struct i3d_origin inflated = i3d_origin_of(pairing->inflated, step->inflated);
    snprintf(pairing->obstacle, sizeof pairing->obstacle,
             "the 2D network has %s where the 3D network has %s",
             describe(pairing->flat, flat, mine, sizeof mine),
             describe(pairing->inflated, inflated, theirs, sizeof theirs));
}

static enum i3d_status take(struct walk *walk, const struct step *step)
{
    const struct i3d_structure *a = walk->pairing->flat, *b = walk->pairing->inflated;
    struct i3d_origin flat = i3d_origin_of(a, step->flat);
    struct i3d_origin inflated = i3d_origin_of(b, step->inflated);
    enum i3d_status status = I3D_OK;
    while (!match(walk, flat, inflated, &status)) {
        int64_t node = flat.node, other = inflated.node;
        if (pass_over(a, step->at_output, &flat)) {
            walk->pairing->nodes[node].covered |= walk->pairing->nodes[node].inflated < 0;
        } else if (pass_over(b, step->at_output, &inflated)) {
            if (walk->partners[other] == FREE)
                walk->partners[other] = PASSED_OVER;
        } else {
            part_ways(walk, step);
            break;
        }
    }
    return status;
}

/* Counts the nodes that an output depends on and that should have been paired. */
static enum i3d_status count_unpaired(const struct i3d_structure *structure,
                                      const struct i3d_pairing *pairing, const int64_t *partners,
                                      size_t *unpaired, const char ***names,
                                      struct i3d_error *error)
{
    const struct i3d_model *model = structure->model;
    bool *reached = calloc(model->node_count + 1, sizeof *reached);
    *names = calloc(model->node_count + 1, sizeof **names);
    if (!reached || !*names) {
        free(reached);
        return i3d_fail_memory(error);
    }
    for (size_t i = 0; i < model->output_count; i++) {
        int64_t producer = i3d_index_producer(structure->index, model->outputs[i].name);
        if (producer >= 0)
            reached[producer] = true;
    }
    for (size_t i = model->node_count; i-- > 0;) {
        const struct i3d_node *node = &model->nodes[i];
        size_t inputs = reached[i] ? i3d_data_inputs(structure, node) : 0;
        for (size_t k = 0; k < inputs; k++) {
            int64_t producer = i3d_index_producer(structure->index, node->inputs[k]);
            if (producer >= 0)
                reached[producer] = true;
        }
        bool paired = partners ? partners[i] != FREE
                               : pairing->nodes[i].inflated >= 0 || pairing->nodes[i].covered;
        if (reached[i] && !paired && !i3d_is_transparent(structure, node))
            (*names)[(*unpaired)++] = node->outputs[0];
    }
    for (size_t a = 0, b = *unpaired; a + 1 < b; a++) { /* the walk was from the end */
        const char *name = (*names)[--b];
        (*names)[b] = (*names)[a];
        (*names)[a] = name;
    }
    free(reached);
    return I3D_OK;
}

static enum i3d_status walk_graphs(struct walk *walk)
{
    struct i3d_pairing *pairing = walk->pairing;
    const struct i3d_model *flat = pairing->flat->model, *inflated = pairing->inflated->model;
    pairing->outputs_paired = flat->output_count && flat->output_count <= inflated->output_count;
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < flat->output_count && i < inflated->output_count && !status; i++) {
        status = push(walk, (struct step){ flat->outputs[i].name, inflated->outputs[i].name,
                                           true });
        while (walk->step_count && !status) {
            struct step step = walk->steps[--walk->step_count];
            status = take(walk, &step);
        }
    }
    if (!status)
        status = count_unpaired(pairing->flat, pairing, NULL, &pairing->unpaired_flat,
                                &pairing->flat_names, walk->error);
    if (!status)
        status = count_unpaired(pairing->inflated, pairing, walk->partners,
                                &pairing->unpaired_inflated, &pairing->inflated_names, walk->error);
    return status;
}

enum i3d_status i3d_pair_graphs(const struct i3d_structure *flat,
                                const struct i3d_structure *inflated,
                                struct i3d_pairing *pairing, struct i3d_error *error)
{
    size_t flat_count = flat->model->node_count, inflated_count = inflated->model->node_count;
    *pairing = (struct i3d_pairing){ .flat = flat, .inflated = inflated };
    struct walk walk = { .pairing = pairing, .error = error };
    pairing->nodes = calloc(flat_count + 1, sizeof *pairing->nodes);
    walk.partners = calloc(inflated_count + 1, sizeof *walk.partners);
    enum i3d_status status = I3D_OK;
    if (pairing->nodes && walk.partners) {
        for (size_t i = 0; i < flat_count; i++)
            pairing->nodes[i] = (struct i3d_node_pair){ .inflated = -1, .flat_kernel = -1,
                                                        .inflated_kernel = -1 };
        for (size_t i = 0; i < inflated_count; i++)
            walk.partners[i] = FREE;
        status = walk_graphs(&walk);
    } else {
        status = i3d_fail_memory(error);
    }
    free(walk.partners);
    free(walk.steps);
    return status;
}

void i3d_pairing_free(struct i3d_pairing *pairing)
{
    free(pairing->nodes);
    free(pairing->flat_names);
    free(pairing->inflated_names);
    *pairing = (struct i3d_pairing){ 0 };
}
