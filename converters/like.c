#include "converters/like.h"

#include "converters/kernel.h"

#include <stdlib.h>
#include <string.h>

void i3d_likeness_free(struct i3d_likeness *likeness)
{
    for (size_t i = 0; likeness->renamed && i < likeness->flat_count; i++)
        free(likeness->renamed[i]);
    free(likeness->renamed);
    free(likeness->fates);
    free(likeness->used);
    *likeness = (struct i3d_likeness){ 0 };
}

static enum i3d_status rename_all(const struct i3d_model *weights,
                                  const struct i3d_renaming *renaming,
                                  struct i3d_likeness *likeness, struct i3d_error *error)
{
    for (size_t i = 0; i < weights->tensor_count; i++) {
        enum i3d_status status =
            i3d_rename(renaming, weights->tensors[i].name, &likeness->renamed[i], error);
        if (status)
            return status;
    }
    return I3D_OK;
}

/* A tensor under its new name. */
struct named {
    const char *name;
    size_t position;
};

struct i3d_names {
    size_t count;
    struct named sorted[];
};

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

static enum i3d_status sort_names(const struct i3d_likeness *likeness, struct i3d_names *names,
                                  struct i3d_error *error)
{
    names->count = likeness->flat_count;
    for (size_t i = 0; i < names->count; i++)
        names->sorted[i] = (struct named){ likeness->renamed[i], i };
    qsort(names->sorted, names->count, sizeof *names->sorted, by_name);
    for (size_t i = 1; i < names->count; i++)
        if (!by_name(&names->sorted[i - 1], &names->sorted[i]))
            return i3d_fail(error, I3D_USAGE, "--rename calls two tensors %.200s",
                            names->sorted[i].name);
    return I3D_OK;
}

enum i3d_status i3d_likeness_new(const struct i3d_model *from, const struct i3d_model *like,
                                 const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_names **names,
                                 struct i3d_error *error)
{
    size_t flat_count = from->tensor_count, like_count = like->tensor_count;
    *likeness = (struct i3d_likeness){
        .fates = calloc(like_count + 1, sizeof *likeness->fates),
        .used = calloc(flat_count + 1, sizeof *likeness->used),
        .renamed = calloc(flat_count + 1, sizeof *likeness->renamed),
        .like_count = like_count, .flat_count = flat_count,
    };
    *names = calloc(1, sizeof **names + flat_count * sizeof(struct named));
    bool good = likeness->fates && likeness->used && likeness->renamed && *names;
    enum i3d_status status = good ? rename_all(from, renaming, likeness, error)
                                  : i3d_fail_memory(error);
    return status ? status : sort_names(likeness, *names, error);
}

int64_t i3d_names_find(const struct i3d_names *names, const char *name)
{
    struct named wanted = { name, 0 };
    const struct named *found = names->count
        ? bsearch(&wanted, names->sorted, names->count, sizeof wanted, by_name) : NULL;
    return found ? (int64_t)found->position : -1;
}

void i3d_names_free(struct i3d_names *names)
{
    free(names);
}

bool i3d_same_shape(const struct i3d_tensor *a, const struct i3d_tensor *b)
{
    return a->rank == b->rank
        && (!a->rank || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims));
}

/* Whether the 3D kernel is what inflation makes of the 2D one, and how. Channels may
 * differ for the first kernel alone. */
static bool plan_kernel(const struct i3d_tensor *flat, const struct i3d_tensor *like, int axis,
                        bool is_first, struct i3d_kernel_plan *plan)
{
    if (flat->rank != 4 || like->rank != 5 || !i3d_dtype_is_float(flat->dtype)
        || !i3d_tensor_elements(flat) || !i3d_tensor_elements(like))
        return false;
    plan->frames = like->dims[axis];
    plan->channels = like->dims[1];
    plan->axis = axis;
    int64_t space[2];
    for (int k = 2, n = 0; k < 5; k++)
        if (k != axis)
            space[n++] = like->dims[k];
    return plan->frames <= I3D_MAX_TAPS && like->dims[0] == flat->dims[0]
        && (is_first || like->dims[1] == flat->dims[1]) && space[0] == flat->dims[2]
        && space[1] == flat->dims[3];
}

/* What fills tensors. */
struct filling {
    const struct i3d_model *weights;
    const struct i3d_inflate_options *options;
    int axis;
    const struct i3d_names *names;
    size_t first;        /* the kernel that reads the image */
    struct i3d_likeness *likeness;
};

/* Appends tensor i of the 3D file, filled if a 2D one fits. */
static enum i3d_status fill(const struct filling *filling, const struct i3d_tensor *own, size_t i,
                            struct i3d_model *to, struct i3d_error *error)
{
    struct i3d_likeness *likeness = filling->likeness;
    int64_t found = i3d_names_find(filling->names, own->name);
    const struct i3d_tensor *flat = found >= 0 ? &filling->weights->tensors[found] : NULL;
    struct i3d_kernel_plan plan = { .init = filling->options->init,
                                    .channel_init = filling->options->channel_init };
    bool same = flat && i3d_same_shape(flat, own);
    bool inflates = flat && !same
        && plan_kernel(flat, own, filling->axis, (size_t)found == filling->first, &plan);
    likeness->fates[i] = same || inflates ? I3D_FILLED : flat ? I3D_MISFIT : I3D_ABSENT;
    if (same || inflates) {
        likeness->used[found] = true;
        likeness->filled++;
    }
    if (inflates)
        return i3d_put_inflated_kernel(to, own->name, flat, &plan, error);
    struct i3d_tensor copy = same ? *flat : *own;
    copy.name = own->name;
    return i3d_model_copy_tensor(to, &copy) ? I3D_OK : i3d_fail_memory(error);
}

enum i3d_status i3d_inflate_like(const struct i3d_model *weights, const struct i3d_model *like,
                                 const struct i3d_inflate_options *options, int axis,
                                 const struct i3d_renaming *renaming,
                                 struct i3d_likeness *likeness, struct i3d_model **made,
                                 struct i3d_error *error)
{
    struct i3d_names *names;
    struct i3d_model *to = *made = i3d_model_new();
    enum i3d_status status = i3d_likeness_new(weights, like, renaming, likeness, &names, error);
    if (!status && !to)
        status = i3d_fail_memory(error);
    struct filling filling = { weights, options, axis, names, 0, likeness };
    while (filling.first < weights->tensor_count
           && !i3d_is_2d_kernel(&weights->tensors[filling.first]))
        filling.first++;
    for (size_t i = 0; i < like->tensor_count && !status; i++)
        status = fill(&filling, &like->tensors[i], i, to, error);
    for (size_t i = 0; i < like->metadata_count && !status; i++)
        if (!i3d_set_metadata(to, like->metadata[i].key, like->metadata[i].value))
            status = i3d_fail_memory(error);
    i3d_names_free(names);
    if (status) {
        i3d_model_free(to);
        *made = NULL;
    }
    return status;
}
