#include "converters/inflate.h"
#include "zoo/measure.h"

#include <stdio.h>
#include <string.h>

/* Gives a parameter of the graph the file's tensor, seen in ONNX's layout: O, I,
 * then the spatial axes. */
static enum i3d_status bind_kernel(const struct i3d_dialect *dialect,
                                   const struct i3d_dialect_entry *entry,
                                   const struct i3d_tensor *from, struct i3d_tensor *to,
                                   struct i3d_error *error)
{
    struct i3d_view whole, view;
    char axes[I3D_MAX_RANK + 1];
    i3d_view_of(from, &whole);
    i3d_dialect_axes(dialect, entry, from->rank, axes);
    view = whole;
    bool in_order = true;
    for (int k = 0, spatial = 2; k < from->rank; k++) {
        int place = axes[k] == 'O' ? 0 : axes[k] == 'I' ? 1 : spatial++;
        view.dims[place] = whole.dims[k];
        view.strides[place] = whole.strides[k];
        in_order &= place == k;
    }
    if (to->rank != view.rank || memcmp(to->dims, view.dims, (size_t)to->rank * sizeof *to->dims))
        return i3d_fail(error, I3D_UNSUPPORTED, "the graph has no place for its shape");
    bool reordered = to->rank == 2
        && i3d_dialect_reorder(entry, from->dtype, to->dims[0], to->dims[1],
                               dialect->layout, "OIHW", &view);
    to->source = in_order && !reordered ? i3d_source_retain(from->source)
                          : i3d_source_view(from->source, &view);
    return to->source ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status bind_entry(const struct i3d_dialect *dialect,
                                  const struct i3d_dialect_entry *entry,
                                  const struct i3d_tensor *from, struct i3d_model *graph,
                                  struct i3d_error *error)
{
    const char *name = i3d_arena_printf(graph->arena, "%s/%s", entry->unit, entry->role);
    struct i3d_tensor *to = name ? i3d_find_tensor(graph, name) : NULL;
    enum i3d_status status = I3D_OK;
    if (!name)
        return i3d_fail_memory(error);
    if (!to)
        status = i3d_fail(error, I3D_UNSUPPORTED, "the graph has no parameter %s", name);
    else if (!strcmp(entry->role, "weight"))
        status = bind_kernel(dialect, entry, from, to, error);
    else if (i3d_tensor_elements(to) != i3d_tensor_elements(from))
        status = i3d_fail(error, I3D_UNSUPPORTED, "the graph has no place for its shape");
    else
        to->source = i3d_source_retain(from->source);
    if (status)
        return i3d_error_where(error, "tensor %s", from->name);
    to->dtype = from->dtype;
    return I3D_OK;
}

/* The scale that stands in for a missing gamma has to be of its BatchNorm's type. */
static enum i3d_status retype_ones(struct i3d_model *graph, const struct i3d_dialect_entry *beta,
                                   enum i3d_dtype dtype, struct i3d_error *error)
{
    const char *name = i3d_arena_printf(graph->arena, "%s/gamma", beta->unit);
    struct i3d_tensor *gamma = name ? i3d_find_tensor(graph, name) : NULL;
    if (!name)
        return i3d_fail_memory(error);
    if (!gamma || gamma->dtype == dtype)
        return I3D_OK;
    const double one = 1;
    unsigned char element[8];
    i3d_from_double(dtype, &one, element, 1);
    gamma->dtype = dtype;
    i3d_source_release(gamma->source);
    gamma->source = i3d_source_fill(element, i3d_dtype_size(dtype), i3d_tensor_bytes(gamma));
    return gamma->source ? I3D_OK : i3d_fail_memory(error);
}

static enum i3d_status bind_all(const struct i3d_match *match, struct i3d_model *graph,
                                bool has_gamma, struct i3d_error *error)
{
    const struct i3d_dialect *dialect = match->fit.dialect;
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i < dialect->entry_count && !status; i++) {
        const struct i3d_dialect_entry *entry = &dialect->entries[i];
        status = bind_entry(dialect, entry, match->tensors[i], graph, error);
        if (!status && !has_gamma && !strcmp(entry->role, "beta"))
            status = retype_ones(graph, entry, match->tensors[i]->dtype, error);
    }
    for (size_t i = 0; i < graph->tensor_count && !status; i++)
        if (!graph->tensors[i].source) {
            i3d_fail(error, I3D_UNSUPPORTED, "the dialect has no tensor for it");
            status = i3d_error_where(error, "parameter %s", graph->tensors[i].name);
        }
    return status;
}

enum i3d_status i3d_dialect_graph(const struct i3d_dialect *dialect, int64_t classes,
                                  int64_t channels, struct i3d_model **graph,
                                  struct i3d_error *error)
{
    const struct i3d_architecture *architecture = i3d_architecture_by_name(dialect->architecture);
    const struct i3d_architecture_options options = {
        .classes = classes, .channels = channels, .epsilon = dialect->epsilon,
        .gamma = i3d_dialect_has_gamma(dialect),
    };
    *graph = NULL;
    if (!architecture)
        return i3d_fail(error, I3D_UNSUPPORTED, "the dialect %s names no architecture known here",
                        dialect->name);
    struct i3d_model *flat;
    enum i3d_status status = architecture->build(architecture, &options, &flat, error);
    if (status || dialect->spatial_axes == 2) {
        *graph = flat;
        return status;
    }
    const struct i3d_inflate_options inflate = { .recipe = dialect->recipe, .stream = I3D_RGB };
    status = i3d_inflate(flat, &inflate, graph, error);
    i3d_model_free(flat);
    return status;
}

enum i3d_status i3d_zoo_bind(const struct i3d_model *weights, const struct i3d_dialect *dialect,
                             struct i3d_model **bound, struct i3d_error *error)
{
    *bound = NULL;
    if (weights->node_count)
        return i3d_model_copy(weights, bound, error);
    enum i3d_status status = dialect ? i3d_dialect_nearest(dialect, weights, &dialect, error)
                                     : i3d_dialect_guess(weights, &dialect, error);
    if (status)
        return status;
    struct i3d_match match;
    struct i3d_model *graph = NULL;
    status = i3d_dialect_match(dialect, weights, &match, error);
    if (!status && (match.fit.missing || match.fit.misshapen)) {
        char introduction[96];
        snprintf(introduction, sizeof introduction, "it does not fit the dialect %.60s",
                 dialect->name);
        status = i3d_match_fail(&match, introduction, error);
    }
    if (!status)
        status = i3d_dialect_graph(dialect, match.fit.classes, match.fit.channels, &graph, error);
    if (!status)
        status = bind_all(&match, graph, i3d_dialect_has_gamma(dialect), error);
    if (!status && !i3d_dialect_describe(dialect, match.fit.channels, weights, graph))
        status = i3d_fail_memory(error);
    i3d_match_free(&match);
    if (status)
        i3d_model_free(graph);
    else
        *bound = graph;
    return status;
}
