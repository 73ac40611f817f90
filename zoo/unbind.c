#include "converters/inflate.h"
#include "zoo/dialects.h"
#include "zoo/fold.h"
#include "zoo/structure.h"

#include <stdlib.h>
#include <string.h>

/* A recognised graph whose parameters are being collected. */
struct origin {
    struct i3d_model *model; /* a copy with its constants resolved */
    struct i3d_index *index;
    struct i3d_shapes *shapes;
    struct i3d_structure found;
};

static void free_origin(struct origin *origin)
{
    i3d_shapes_free(origin->shapes);
    i3d_index_free(origin->index);
    i3d_model_free(origin->model);
}

/* Takes over model. */
static enum i3d_status look_at(struct i3d_model *model, struct origin *origin,
                               struct i3d_error *error)
{
    *origin = (struct origin){ .model = model, .index = i3d_index_new(model) };
    if (!origin->index)
        return i3d_fail_memory(error);
    enum i3d_status status = i3d_infer_shapes(model, origin->index, NULL, 0, &origin->shapes,
                                              error);
    if (!status)
        i3d_structure_find(model, origin->index, origin->shapes, &origin->found);
    return status;
}

/* The values behind an input of a layer, in the shape in which the layer reads
 * them. The model's source is borrowed. */
static enum i3d_status find_parameter(const struct origin *origin, const char *value,
                                      struct i3d_tensor *parameter, struct i3d_error *error)
{
    static const char *const reshaping[] = { "Reshape", "Flatten", "Squeeze", "Unsqueeze" };
    const struct i3d_shape *shape = i3d_shape_of(origin->shapes, value);
    const char *name = value;
    for (size_t steps = 0; steps <= origin->model->node_count; steps++) {
        int64_t tensor = i3d_index_tensor(origin->index, name);
        if (tensor != I3D_NOWHERE) {
            *parameter = origin->model->tensors[tensor];
            parameter->rank = shape->rank;
            bool known = shape->rank >= 0;
            for (int k = 0; k < shape->rank && known; k++)
                known = (parameter->dims[k] = shape->dims[k]) > 0;
            bool whole = known && i3d_element_count(shape->rank, shape->dims)
                    == i3d_tensor_elements(&origin->model->tensors[tensor]);
            if (whole && i3d_dtype_is_float(parameter->dtype) && parameter->source)
                return I3D_OK;
            break;
        }
        int64_t producer = i3d_index_producer(origin->index, name);
        const struct i3d_node *node =
            producer == I3D_NOWHERE ? NULL : &origin->model->nodes[producer];
        bool passes = false;
        for (size_t i = 0; node && i < sizeof reshaping / sizeof *reshaping; i++)
            passes |= i3d_is(node, reshaping[i]) && node->input_count;
        if (!passes)
            break;
        name = node->inputs[0];
    }
    return i3d_fail(error, I3D_UNSUPPORTED, "its parameter %.100s is not stored as numbers",
                    value);
}

static enum i3d_status find_vector(const struct origin *origin, const char *value,
                                   enum i3d_role role, int64_t count, struct i3d_unit *unit,
                                   struct i3d_error *error)
{
    struct i3d_tensor *vector = &unit->vectors[role];
    enum i3d_status status = find_parameter(origin, value, vector, error);
    if (!status && i3d_tensor_elements(vector) != count)
        status = i3d_fail(error, I3D_UNSUPPORTED, "its %s is not one number per output channel",
                          i3d_role_names[role]);
    if (status) {
        *vector = (struct i3d_tensor){ 0 };
        return status;
    }
    *vector = (struct i3d_tensor){ .name = i3d_role_names[role], .dtype = vector->dtype,
                                   .rank = 1, .dims = { count }, .source = vector->source };
    return I3D_OK;
}

/* A layer's kernel and bias. */
static enum i3d_status collect_layer(const struct origin *origin, const struct i3d_node *layer,
                                     struct i3d_unit *unit, struct i3d_error *error)
{
    enum i3d_status status = find_parameter(origin, layer->inputs[1], &unit->weight, error);
    if (status)
        return status;
    bool is_gemm = i3d_is(layer, "Gemm");
    if (is_gemm && (i3d_float(layer, "alpha", 1) != 1 || i3d_float(layer, "beta", 1) != 1))
        return i3d_fail(error, I3D_UNSUPPORTED, "it scales its product");
    int64_t count = unit->weight.dims[is_gemm && !i3d_int(layer, "transB", 0) ? 1 : 0];
    unit->vectors[I3D_BIAS].dims[0] = count;
    if (layer->input_count > 2 && *layer->inputs[2])
        status = find_vector(origin, layer->inputs[2], I3D_BIAS, count, unit, error);
    return status;
}

/* The parameters of a unit as the graph has them; sources stay the graph's. */
static enum i3d_status collect(const struct origin *origin, size_t number, struct i3d_unit *unit,
                               struct i3d_error *error)
{
    const struct i3d_structure *found = &origin->found;
    enum i3d_status status = I3D_OK;
    *unit = (struct i3d_unit){ 0 };
    if (found->layers[number] != I3D_NOWHERE)
        status = collect_layer(origin, &origin->model->nodes[found->layers[number]], unit, error);
    if (status || found->batch_norms[number] == I3D_NOWHERE)
        return status;
    int64_t count = unit->vectors[I3D_BIAS].dims[0];
    const struct i3d_node *norm = &origin->model->nodes[found->batch_norms[number]];
    const struct i3d_shape *scale = i3d_shape_of(origin->shapes, norm->inputs[I3D_GAMMA]);
    if (found->layers[number] == I3D_NOWHERE)
        count = scale->rank == 1 ? scale->dims[0] : 0;
    unit->batch_norm = true;
    unit->epsilon = i3d_float(norm, "epsilon", 1e-5f);
    for (int role = I3D_GAMMA; role <= I3D_VARIANCE && !status; role++)
        status = find_vector(origin, norm->inputs[role], role, count, unit, error);
    return status;
}

/* Where a kernel's letters are among its own axes: -1 for a spatial axis that a
 * matrix does not have. */
static int axis_of(char letter, bool inputs_first, int rank, int *spatial)
{
    if (letter == 'O')
        return inputs_first ? 1 : 0;
    if (letter == 'I')
        return inputs_first ? 0 : 1;
    int axis = 2 + (*spatial)++;
    return axis < rank ? axis : -1;
}

/* A matrix that reads a flattened map whose axes the dialect has in another order; false
 * if it is none. */
static bool put_reordered(const struct i3d_dialect *dialect,
                          const struct i3d_dialect_entry *entry, const char *name,
                          const struct i3d_tensor *kernel, bool inputs_first,
                          struct i3d_model *weights, enum i3d_status *status,
                          struct i3d_error *error)
{
    struct i3d_view view;
    int64_t outputs = kernel->dims[inputs_first], features = kernel->dims[!inputs_first];
    bool last = strchr(dialect->layout, 'O') > strchr(dialect->layout, 'I');
    const int64_t dims[] = { last ? features : outputs, last ? outputs : features };
    if (kernel->rank != 2
        || !i3d_dialect_reorder(entry, kernel->dtype, outputs, features,
                                inputs_first ? "IHWO" : "OIHW",
                                dialect->layout, &view))
        return false;
    *status = i3d_model_put_tensor(weights, name, kernel->dtype, 2, dims,
                                   i3d_source_view(kernel->source, &view), error);
    return true;
}

static enum i3d_status put_kernel(const struct i3d_dialect *dialect,
                                  const struct i3d_dialect_entry *entry, const char *name,
                                  const struct i3d_tensor *kernel, bool inputs_first,
                                  struct i3d_model *weights, struct i3d_error *error)
{
    enum i3d_status status;
    struct i3d_view whole, view;
    char axes[I3D_MAX_RANK + 1];
    int rank = i3d_dialect_rank(dialect, entry);
    i3d_view_of(kernel, &whole);
    i3d_dialect_axes(dialect, entry, rank, axes);
    if (put_reordered(dialect, entry, name, kernel, inputs_first, weights, &status, error))
        return status;
    view = whole;
    view.rank = rank;
    int64_t used = 1;
    for (int k = 0, spatial = 0; k < rank; k++) {
        int axis = axis_of(axes[k], inputs_first, kernel->rank, &spatial);
        view.dims[k] = axis < 0 ? 1 : whole.dims[axis];
        view.strides[k] = axis < 0 ? 1 : whole.strides[axis];
        used *= view.dims[k];
    }
    if (used != i3d_tensor_elements(kernel))
        return i3d_fail(error, I3D_UNSUPPORTED, "its kernel is larger than the dialect's");
    bool in_order = true;
    int64_t step = 1;
    for (int k = rank - 1; k >= 0; k--) {
        in_order &= view.dims[k] == 1 || view.strides[k] == step;
        step *= view.dims[k];
    }
    return i3d_model_put_tensor(weights, name, kernel->dtype, view.rank, view.dims,
                                in_order ? i3d_source_retain(kernel->source)
                                         : i3d_source_view(kernel->source, &view),
                                error);
}

/* PyTorch keeps beside a running mean how many batches went into it, and a
 * strict load asks for it; the number matters to training alone. */
static enum i3d_status put_counter(const struct i3d_dialect *dialect, const char *mean,
                                   struct i3d_model *weights, struct i3d_error *error)
{
    const char *dot = strrchr(mean, '.');
    const int64_t none = 0;
    const char *name = i3d_arena_printf(weights->arena, "%.*s%s",
                                        dot ? (int)(dot - mean) + 1 : 0, mean, dialect->counter);
    return name ? i3d_model_put_ints(weights, name, 0, NULL, &none, error)
                : i3d_fail_memory(error);
}

/* The name in this file: a flow stream's may start otherwise. */
static const char *entry_name(const struct i3d_dialect *dialect,
                              const struct i3d_dialect_entry *entry, int64_t channels,
                              struct i3d_model *weights)
{
    size_t prefix = dialect->prefix ? strlen(dialect->prefix) : 0;
    bool renamed = channels == 2 && dialect->flow_prefix && prefix
        && !strncmp(entry->name, dialect->prefix, prefix);
    return renamed ? i3d_arena_printf(weights->arena, "%s%s", dialect->flow_prefix,
                                      entry->name + prefix)
                   : entry->name;
}

static enum i3d_status put_entry(const struct i3d_dialect *dialect,
                                 const struct i3d_dialect_entry *entry, const char *name,
                                 const struct i3d_unit *unit, bool inputs_first,
                                 struct i3d_model *weights, struct i3d_error *error)
{
    if (!strcmp(entry->role, "weight"))
        return put_kernel(dialect, entry, name, &unit->weight, inputs_first, weights, error);
    for (int role = 0; role < I3D_VECTORS; role++) {
        const struct i3d_tensor *vector = &unit->vectors[role];
        if (strcmp(entry->role, i3d_role_names[role]) || !vector->source)
            continue;
        /* Axes of size 1 around the numbers, where the codebase has them. */
        int64_t dims[I3D_MAX_RANK];
        int rank = entry->rank ? entry->rank : 1, wide = rank - 1;
        for (int k = 0; k < rank; k++) {
            dims[k] = 1;
            wide = entry->rank && entry->dims[k] > 1 ? k : wide;
        }
        dims[wide] = vector->dims[0];
        enum i3d_status status =
            i3d_model_put_tensor(weights, name, vector->dtype, rank, dims,
                                 i3d_source_retain(vector->source), error);
        if (!status && role == I3D_MEAN && dialect->counter)
            status = put_counter(dialect, name, weights, error);
        return status;
    }
    return i3d_fail(error, I3D_UNSUPPORTED, "the network has no %s for %s", entry->role, name);
}

static enum i3d_status fold_units(const struct origin *origin, const struct i3d_dialect *dialect,
                                  struct i3d_unit *units, struct i3d_error *error)
{
    for (size_t i = 0; i < origin->found.unit_count; i++) {
        const char *name = origin->found.units[i];
        const struct i3d_unit_form form = {
            .batch_norm = i3d_dialect_find(dialect, name, "beta"),
            .gamma = i3d_dialect_find(dialect, name, "gamma"),
            .bias = i3d_dialect_find(dialect, name, "bias"),
            .epsilon = (float)dialect->epsilon,
        };
        struct i3d_unit unit;
        enum i3d_status status = collect(origin, i, &unit, error);
        if (!status)
            status = i3d_unit_fold(&unit, &form, &units[i], error);
        if (status)
            return i3d_error_where(error, "%s", name);
    }
    return I3D_OK;
}

/* Whether a unit is a matrix whose inputs come first. */
static bool is_turned(const struct origin *origin, int unit)
{
    int64_t layer = origin->found.layers[unit];
    const struct i3d_node *node = layer == I3D_NOWHERE ? NULL : &origin->model->nodes[layer];
    return node && i3d_is(node, "Gemm") && !i3d_int(node, "transB", 0);
}

static enum i3d_status put_all(const struct origin *origin, const struct i3d_dialect *dialect,
                               const struct i3d_unit *units, struct i3d_model *weights,
                               struct i3d_error *error)
{
    for (size_t i = 0; i < dialect->entry_count; i++) {
        const struct i3d_dialect_entry *entry = &dialect->entries[i];
        int unit = i3d_structure_unit(&origin->found, entry->unit);
        const char *name = entry_name(dialect, entry, origin->found.channels, weights);
        if (!name)
            return i3d_fail_memory(error);
        enum i3d_status status = unit < 0
            ? i3d_fail(error, I3D_UNSUPPORTED, "the dialect names a unit that is not known")
            : put_entry(dialect, entry, name, &units[unit], is_turned(origin, unit), weights,
                        error);
        if (status)
            return i3d_error_where(error, "%s", entry->unit);
    }
    bool good = i3d_dialect_describe(dialect, origin->found.channels, origin->model, weights);
    return good ? I3D_OK : i3d_fail_memory(error);
}

/* The dialect of the table that is for the graph's architecture, if its code would
 * compute what the graph computes. */
static enum i3d_status check_geometry(const struct origin *origin,
                                      const struct i3d_dialect **dialect,
                                      struct i3d_zoo_changes *changes, struct i3d_error *error)
{
    const struct i3d_structure *found = &origin->found;
    const char *name = (*dialect)->name;
    if (!found->architecture) {
        i3d_fail(error, I3D_UNSUPPORTED, "it is no network that %s could name: %s", name,
                 found->reason);
        return i3d_error_hint(error, "ONNX and safetensors hold any network");
    }
    const struct i3d_dialect *wanted = i3d_dialect_for(*dialect, found->architecture->name);
    *dialect = wanted ? wanted : *dialect;
    const struct i3d_architecture *named = i3d_architecture_by_name((*dialect)->architecture);
    if (!named || strcmp(named->family, found->architecture->family)) {
        i3d_fail(error, I3D_UNSUPPORTED, "the network is %s, %s names %s",
                 found->architecture->name, name, (*dialect)->architecture);
        return i3d_error_hint(error, "ONNX and safetensors hold any network");
    }
    if (found->is_3d != ((*dialect)->spatial_axes == 3)) {
        i3d_fail(error, I3D_UNSUPPORTED, "the network is %s, %s names a %s one",
                 found->is_3d ? "3D" : "2D", name, found->is_3d ? "2D" : "3D");
        return i3d_error_hint(error, found->is_3d ? "take a dialect of 3D networks"
                                                  : "inflate it first");
    }
    struct i3d_model *graph;
    struct origin target = { 0 };
    enum i3d_status status = i3d_dialect_graph(*dialect, found->classes, found->channels, &graph,
                                               error);
    if (!status)
        status = look_at(graph, &target, error);
    if (!status)
        status = i3d_structure_compare(found, &target.found, changes, error);
    free_origin(&target);
    return status;
}

/* The parameters of a graph that fits, under their new names. */
static enum i3d_status rename_all(const struct origin *origin, const struct i3d_dialect *dialect,
                                  struct i3d_model **weights, struct i3d_error *error)
{
    size_t count = origin->found.unit_count;
    struct i3d_unit *units = calloc(count, sizeof *units);
    struct i3d_model *made = i3d_model_new();
    enum i3d_status status = units && made ? fold_units(origin, dialect, units, error)
                                           : i3d_fail_memory(error);
    if (!status)
        status = put_all(origin, dialect, units, made, error);
    for (size_t i = 0; units && i < count; i++)
        i3d_unit_free(&units[i]);
    free(units);
    if (status)
        i3d_model_free(made);
    else
        *weights = made;
    return status;
}

static enum i3d_status unbind(const struct i3d_model *model, const struct i3d_dialect *dialect,
                              struct i3d_zoo_changes *changes, struct i3d_model **weights,
                              struct i3d_error *error)
{
    *weights = NULL;
    if (!model->node_count)
        return i3d_fail(error, I3D_UNSUPPORTED, "it holds weights but no graph");
    struct i3d_model *copy;
    enum i3d_status status = i3d_model_copy(model, &copy, error);
    if (status)
        return status;
    struct origin origin = { .model = copy };
    status = i3d_resolve_constants(copy, error);
    if (!status)
        status = look_at(copy, &origin, error);
    if (!status)
        status = check_geometry(&origin, &dialect, changes, error);
    if (!status)
        status = rename_all(&origin, dialect, weights, error);
    free_origin(&origin);
    return status;
}

enum i3d_status i3d_zoo_unbind(const struct i3d_model *model, const struct i3d_dialect *dialect,
                               struct i3d_model **weights, struct i3d_error *error)
{
    return unbind(model, dialect, NULL, weights, error);
}

enum i3d_status i3d_zoo_unbind_nearly(const struct i3d_model *model,
                                      const struct i3d_dialect *dialect,
                                      struct i3d_zoo_changes *changes,
                                      struct i3d_model **weights, struct i3d_error *error)
{
    *changes = (struct i3d_zoo_changes){ 0 };
    return unbind(model, dialect, changes, weights, error);
}
