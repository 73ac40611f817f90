#include "zoo/measure.h"

#include "model/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A name without TensorFlow's output number. */
struct stem {
    const char *name;
    size_t length;
    size_t position; /* of the tensor */
};

static struct stem stem_of(const char *name, size_t position)
{
    size_t length = strlen(name), digits = length;
    while (digits && name[digits - 1] >= '0' && name[digits - 1] <= '9')
        digits--;
    bool numbered = digits < length && digits > 1 && name[digits - 1] == ':';
    return (struct stem){ name, numbered ? digits - 1 : length, position };
}

/* Orders by the last character first, so that names with one ending are
 * neighbours. */
static int compare_from_end(const struct stem *a, const struct stem *b)
{
    size_t shorter = a->length < b->length ? a->length : b->length;
    for (size_t i = 1; i <= shorter; i++) {
        unsigned char left = (unsigned char)a->name[a->length - i];
        unsigned char right = (unsigned char)b->name[b->length - i];
        if (left != right)
            return left < right ? -1 : 1;
    }
    return (a->length > b->length) - (a->length < b->length);
}

static int compare_stems(const void *a, const void *b)
{
    const struct stem *left = a, *right = b;
    int order = compare_from_end(left, right);
    return order ? order : (left->position > right->position) - (left->position < right->position);
}

static bool ends_with(const struct stem *name, const struct stem *ending)
{
    return name->length >= ending->length
        && !memcmp(name->name + name->length - ending->length, ending->name, ending->length);
}

/* What of a dialect's name has to be there: no prefix, and Keras' layer only
 * once, not as the group and again in the weight's own name. */
static struct stem essential_stem(const struct i3d_dialect *dialect, const char *name)
{
    size_t prefix = dialect->prefix ? strlen(dialect->prefix) : 0;
    if (prefix && !strncmp(name, dialect->prefix, prefix))
        name += prefix;
    const char *slash = strchr(name, '/');
    size_t group = slash ? (size_t)(slash - name) + 1 : 0;
    if (group && !strncmp(name, slash + 1, group))
        name += group;
    return stem_of(name, 0);
}

struct names {
    struct stem *sorted;
    size_t count;
    bool *taken; /* by position of the tensor */
};

static enum i3d_status sort_names(const struct i3d_model *weights, struct names *names,
                                  struct i3d_error *error)
{
    names->count = weights->tensor_count;
    names->sorted = calloc(names->count + 1, sizeof *names->sorted);
    names->taken = calloc(names->count + 1, sizeof *names->taken);
    if (!names->sorted || !names->taken)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < names->count; i++)
        names->sorted[i] = stem_of(weights->tensors[i].name, i);
    qsort(names->sorted, names->count, sizeof *names->sorted, compare_stems);
    return I3D_OK;
}

static void free_names(struct names *names)
{
    free(names->sorted);
    free(names->taken);
}

/* The tensor of that ending with the least in front of it (nothing more than full
 * has, if there is one), or I3D_NOWHERE. */
static int64_t find_name(const struct names *names, const struct stem *ending,
                         const struct stem *full)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_from_end(&names->sorted[middle], ending) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int64_t best = I3D_NOWHERE;
    size_t shortest = 0;
    for (; low < names->count && ends_with(&names->sorted[low], ending); low++) {
        const struct stem *name = &names->sorted[low];
        char before = name->length > ending->length
            ? name->name[name->length - ending->length - 1] : '/';
        if ((before != '/' && before != '.') || names->taken[name->position])
            continue;
        if (name->length == full->length && ends_with(name, full))
            return (int64_t)name->position;
        if (best == I3D_NOWHERE || name->length < shortest) {
            best = (int64_t)name->position;
            shortest = name->length;
        }
    }
    return best;
}

/* Takes class count or channels from the file where the entry's axis is that,
 * the first time; later ones have to agree. */
static bool same_size(int64_t of_file, int64_t of_entry, bool is_free, int64_t *taken)
{
    if (!is_free)
        return of_file == of_entry;
    if (!*taken)
        *taken = of_file;
    return of_file > 0 && of_file == *taken;
}

static bool kernel_fits(const struct i3d_dialect *dialect, const struct i3d_dialect_entry *entry,
                        const struct i3d_tensor *tensor, struct i3d_dialect_fit *fit)
{
    bool classifier = !strcmp(entry->unit, dialect->classifier);
    bool first = !strcmp(entry->unit, dialect->first);
    if (tensor->rank != i3d_dialect_rank(dialect, entry))
        return false;
    char axes[I3D_MAX_RANK + 1];
    i3d_dialect_axes(dialect, entry, tensor->rank, axes);
    for (int k = 0; k < tensor->rank; k++) {
        bool is_classes = classifier && axes[k] == 'O';
        bool is_free = is_classes || (first && axes[k] == 'I');
        if (!is_free && !entry->rank) /* what the architecture has is seen when it is bound */
            continue;
        if (!same_size(tensor->dims[k], entry->dims[k], is_free,
                       is_classes ? &fit->classes : &fit->channels))
            return false;
    }
    return true;
}

static bool vector_fits(const struct i3d_dialect *dialect, const struct i3d_dialect_entry *entry,
                        const struct i3d_tensor *tensor, struct i3d_dialect_fit *fit)
{
    int64_t size = 1;
    for (int k = 0; k < tensor->rank; k++) {
        if (tensor->dims[k] != 1 && size != 1)
            return false;
        size = tensor->dims[k] == 1 ? size : tensor->dims[k];
    }
    bool classifier = !strcmp(entry->unit, dialect->classifier);
    if (!classifier && !entry->rank)
        return true;
    return same_size(size, i3d_element_count(entry->rank, entry->dims), classifier, &fit->classes);
}

static void match_entry(const struct i3d_model *weights, const struct names *names, size_t number,
                        struct i3d_match *match)
{
    const struct i3d_dialect *dialect = match->fit.dialect;
    const struct i3d_dialect_entry *entry = &dialect->entries[number];
    struct stem full = stem_of(entry->name, 0);
    struct stem ending = essential_stem(dialect, entry->name);
    int64_t position = find_name(names, &ending, &full);
    if (position == I3D_NOWHERE) {
        match->fit.missing++;
        if (!match->first_missing)
            match->first_missing = entry;
        return;
    }
    const struct i3d_tensor *tensor = &weights->tensors[position];
    names->taken[position] = true;
    bool is_kernel = !strcmp(entry->role, "weight");
    bool fits = i3d_dtype_is_float(tensor->dtype)
        && (is_kernel ? kernel_fits(dialect, entry, tensor, &match->fit)
                      : vector_fits(dialect, entry, tensor, &match->fit));
    if (fits) {
        match->tensors[number] = tensor;
        match->fit.matched++;
        match->fit.exact += !strcmp(tensor->name, entry->name);
        return;
    }
    match->fit.misshapen++;
    if (!match->first_misshapen) {
        match->first_misshapen = entry;
        match->misshapen = tensor;
    }
}

/* Matches with names that were sorted before; taken is cleared first. */
static enum i3d_status match_sorted(const struct i3d_dialect *dialect,
                                    const struct i3d_model *weights, const struct names *names,
                                    struct i3d_match *match, struct i3d_error *error)
{
    *match = (struct i3d_match){ .fit.dialect = dialect };
    match->tensors = calloc(dialect->entry_count + 1, sizeof *match->tensors);
    if (!match->tensors)
        return i3d_fail_memory(error);
    memset(names->taken, 0, names->count * sizeof *names->taken);
    for (size_t i = 0; i < dialect->entry_count; i++)
        match_entry(weights, names, i, match);
    for (size_t i = 0; i < weights->tensor_count; i++) {
        const struct i3d_tensor *tensor = &weights->tensors[i];
        if (names->taken[i] || i3d_dialect_ignores(dialect, tensor->name))
            continue;
        match->fit.unexpected++;
        if (!match->first_unexpected)
            match->first_unexpected = tensor;
    }
    return I3D_OK;
}

enum i3d_status i3d_dialect_match(const struct i3d_dialect *dialect,
                                  const struct i3d_model *weights, struct i3d_match *match,
                                  struct i3d_error *error)
{
    struct names names;
    *match = (struct i3d_match){ 0 };
    enum i3d_status status = sort_names(weights, &names, error);
    if (!status)
        status = match_sorted(dialect, weights, &names, match, error);
    free_names(&names);
    return status;
}

void i3d_match_free(struct i3d_match *match)
{
    free(match->tensors);
    match->tensors = NULL;
}

enum i3d_status i3d_dialect_measure(const struct i3d_dialect *dialect,
                                    const struct i3d_model *weights,
                                    struct i3d_dialect_fit *fit, struct i3d_error *error)
{
    struct i3d_match match;
    enum i3d_status status = i3d_dialect_match(dialect, weights, &match, error);
    *fit = match.fit;
    i3d_match_free(&match);
    return status;
}

static size_t faults(const struct i3d_match *match)
{
    return match->fit.missing + match->fit.misshapen + match->fit.unexpected;
}

/* Of tables that fit alike, the one with the file's very names and axes. */
static bool is_nearer(const struct i3d_match *match, const struct i3d_match *than)
{
    size_t ours = faults(match), theirs = faults(than);
    return !than->tensors || ours < theirs || (ours == theirs && match->fit.exact > than->fit.exact);
}

enum i3d_status i3d_dialect_nearest(const struct i3d_dialect *dialect,
                                    const struct i3d_model *weights,
                                    const struct i3d_dialect **nearest, struct i3d_error *error)
{
    struct i3d_match best = { 0 };
    enum i3d_status status = I3D_OK;
    for (*nearest = dialect; dialect && !status; dialect = dialect->sibling) {
        struct i3d_match match;
        status = i3d_dialect_match(dialect, weights, &match, error);
        bool nearer = !status && is_nearer(&match, &best);
        struct i3d_match dropped = nearer ? best : match;
        if (nearer) {
            best = match;
            *nearest = dialect;
        }
        i3d_match_free(&dropped);
    }
    i3d_match_free(&best);
    return status;
}

enum i3d_status i3d_match_fail(const struct i3d_match *match, const char *introduction,
                               struct i3d_error *error)
{
    const struct i3d_dialect_fit *fit = &match->fit;
    char missing[160] = "", misshapen[320] = "", unexpected[160] = "";
    if (fit->missing)
        snprintf(missing, sizeof missing, "; %zu of %zu tensors are missing, first %.80s",
                 fit->missing, fit->dialect->entry_count, match->first_missing->name);
    if (fit->misshapen) {
        const struct i3d_tensor *found = match->misshapen;
        const struct i3d_dialect_entry *entry = match->first_misshapen;
        char shape[80], wanted[80];
        snprintf(misshapen, sizeof misshapen,
                 "; %zu have another shape or type, first %.80s: %s %s, not %s", fit->misshapen,
                 found->name, i3d_dtype_name(found->dtype),
                 i3d_shape_string(found->rank, found->dims, shape, sizeof shape),
                 i3d_shape_string(entry->rank, entry->dims, wanted, sizeof wanted));
    }
    if (fit->unexpected)
        snprintf(unexpected, sizeof unexpected, "; %zu %s not expected, first %.80s",
                 fit->unexpected, fit->unexpected == 1 ? "is" : "are",
                 match->first_unexpected->name);
    return i3d_fail(error, I3D_UNSUPPORTED, "%s%s%s%s", introduction, missing, misshapen,
                    unexpected);
}

enum i3d_status i3d_dialect_guess(const struct i3d_model *weights,
                                  const struct i3d_dialect **dialect, struct i3d_error *error)
{
    struct names names;
    struct i3d_match nearest = { 0 };
    const struct i3d_dialect *const *all = i3d_dialects();
    *dialect = NULL;
    enum i3d_status status = sort_names(weights, &names, error);
    if (!status && !all)
        status = i3d_fail_memory(error);
    for (; !status && *all; all++) {
        struct i3d_match match;
        status = match_sorted(*all, weights, &names, &match, error);
        bool nearer = !status && is_nearer(&match, &nearest);
        struct i3d_match dropped = nearer ? nearest : match;
        if (nearer)
            nearest = match;
        i3d_match_free(&dropped);
    }
    free_names(&names);
    if (!status && !faults(&nearest)) {
        *dialect = nearest.fit.dialect;
    } else if (!status && !nearest.fit.matched) {
        status = i3d_fail(error, I3D_UNSUPPORTED, "none of its %zu tensors has a name of a "
                          "dialect known here", weights->tensor_count);
        i3d_error_hint(error, "a file that holds the graph too, such as ONNX, needs no dialect");
    } else if (!status) {
        char introduction[96];
        snprintf(introduction, sizeof introduction, "it fits no dialect; nearest is %.60s",
                 nearest.fit.dialect->name);
        status = i3d_match_fail(&nearest, introduction, error);
    }
    i3d_match_free(&nearest);
    return status;
}
