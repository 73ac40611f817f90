#include "zoo/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void i3d_structure_clear(struct i3d_structure *structure)
{
    const struct i3d_model *model = structure->model;
    const struct i3d_index *index = structure->index;
    *structure = (struct i3d_structure){ .model = model, .index = index,
                                         .average_pool = I3D_NOWHERE };
    for (int i = 0; i < I3D_MAX_UNITS; i++)
        structure->layers[i] = structure->batch_norms[i] = I3D_NOWHERE;
    for (int i = 0; i < I3D_MAX_POOLS; i++)
        structure->max_pools[i] = I3D_NOWHERE;
    for (int i = 0; i < I3D_LRNS; i++)
        structure->lrns[i] = I3D_NOWHERE;
}

/* What follows from the layers that were found. */
static void settle(const struct i3d_walk *walk)
{
    struct i3d_structure *found = walk->found;
    const struct i3d_node *first = &found->model->nodes[found->layers[0]];
    found->channels = i3d_shape_of(walk->shapes, first->inputs[1])->dims[1];
    found->is_3d = walk->rank == 5;
}

/* Of architectures that differ in their windows alone, the one whose windows the graph
 * has; the first of them where it has nobody's. */
static void choose_variant(struct i3d_structure *found)
{
    const struct i3d_architecture *first = found->architecture, *one = first;
    struct i3d_error unwanted;
    for (; one->name && !strcmp(one->family, first->family); one++)
        if (!i3d_structure_compare(found, i3d_architecture_template(one), NULL, &unwanted))
            break;
    bool known = one->name && !strcmp(one->family, first->family);
    found->architecture = known ? one : first;
}

static bool find_template(const struct i3d_model *model, const struct i3d_shapes *shapes,
                          struct i3d_structure *structure)
{
    for (const struct i3d_architecture *one = i3d_architectures; one->name; one++) {
        for (size_t i = 0; i < model->output_count && i3d_architecture_has_template(one); i++) {
            struct i3d_walk walk = { .found = structure, .shapes = shapes,
                                     .steps = 64 * model->node_count };
            i3d_structure_clear(structure);
            if (!i3d_walk_template(&walk, one, model->outputs[i].name))
                continue;
            settle(&walk);
            if (!strcmp(one[1].name ? one[1].family : "", one->family))
                choose_variant(structure);
            return true;
        }
    }
    return false;
}

void i3d_structure_find(const struct i3d_model *model, const struct i3d_index *index,
                        const struct i3d_shapes *shapes, struct i3d_structure *structure)
{
    static bool (*const families[])(struct i3d_walk *walk, const char *output) = {
        i3d_walk_inception, i3d_walk_resnet,
    };
    enum { FAMILIES = sizeof families / sizeof *families };
    *structure = (struct i3d_structure){ .model = model, .index = index };
    i3d_structure_clear(structure);
    if (find_template(model, shapes, structure))
        return;
    i3d_structure_clear(structure);
    for (size_t i = 0; i < FAMILIES * model->output_count; i++) {
        struct i3d_walk walk = { .found = structure, .shapes = shapes,
                                 .steps = 8 * model->node_count };
        i3d_structure_clear(structure);
        if (!families[i % FAMILIES](&walk, model->outputs[i / FAMILIES].name)) {
            structure->architecture = NULL;
            continue;
        }
        settle(&walk);
        return;
    }
    if (!model->output_count)
        snprintf(structure->reason, sizeof structure->reason, "it has no outputs");
}

int i3d_structure_unit(const struct i3d_structure *structure, const char *name)
{
    for (size_t i = 0; i < structure->unit_count; i++)
        if (!strcmp(structure->units[i], name))
            return (int)i;
    return -1;
}

static void name_units(const struct i3d_structure *found, struct i3d_recognition *recognition)
{
    for (size_t unit = 0; unit < found->unit_count; unit++) {
        int64_t norm = found->batch_norms[unit];
        if (found->layers[unit] != I3D_NOWHERE)
            recognition->units[found->layers[unit]] = found->units[unit];
        if (norm == I3D_NOWHERE)
            continue;
        recognition->units[norm] = found->units[unit];
        recognition->batch_norm = true;
    }
    recognition->architecture = found->architecture;
    recognition->is_3d = found->is_3d;
    recognition->classes = found->classes;
    recognition->channels = found->channels;
}

enum i3d_status i3d_zoo_recognise(const struct i3d_model *model,
                                  struct i3d_recognition *recognition, struct i3d_error *error)
{
    *recognition = (struct i3d_recognition){ 0 };
    struct i3d_index *index = i3d_index_new(model);
    struct i3d_shapes *shapes = NULL;
    recognition->units = calloc(model->node_count + 1, sizeof *recognition->units);
    enum i3d_status status = index && recognition->units
        ? i3d_infer_shapes(model, index, NULL, 0, &shapes, error)
        : i3d_fail_memory(error);
    if (!status) {
        struct i3d_structure found;
        i3d_structure_find(model, index, shapes, &found);
        if (found.architecture)
            name_units(&found, recognition);
        i3d_shapes_free(shapes);
    }
    i3d_index_free(index);
    if (status)
        i3d_recognition_free(recognition);
    return status;
}

void i3d_recognition_free(struct i3d_recognition *recognition)
{
    free(recognition->units);
    recognition->units = NULL;
}
