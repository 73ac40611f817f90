/* The child that reads: walks the file, then serves datasets. */
#include "formats/hdf5_catalogue.h"
#include "formats/hdf5_child.h"
#include "formats/hdf5_image.h"
#include "formats/hdf5_strings.h"
#include "formats/hdf5_type.h"

#include "model/tensor.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A slow machine's work in a second: bytes of a file walked (an object takes
 * some hundred), bytes of elements read. */
enum { WALKED_PER_SECOND = 2 << 20, READ_PER_SECOND = 16 << 20, LEAST_SECONDS = 2 };

struct walker {
    const struct i3d_hdf5_input *input;
    FILE *out;
    hid_t *datasets; /* in the order of their records: open, or -1 if in place */
    size_t dataset_count, object_count;
    haddr_t groups[I3D_HDF5_MAX_DEPTH]; /* from the root to here, against cycles */
    int depth;
    struct i3d_hdf5_answer failure;
};

/* Notes the first failure; returns false. */
__attribute__((format(printf, 3, 4)))
static bool give_up(struct walker *walker, enum i3d_status status, const char *format, ...)
{
    if (walker->failure.status)
        return false;
    walker->failure.status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(walker->failure.message, sizeof walker->failure.message, format, arguments);
    va_end(arguments);
    return false;
}

static void put_number(struct walker *walker, uint64_t number)
{
    fwrite(&number, sizeof number, 1, walker->out);
}

static void put_string(struct walker *walker, const char *string)
{
    put_number(walker, strlen(string));
    fputs(string, walker->out);
}

/* Where the elements lie in the file just as the model wants them. */
static uint64_t place_of(hid_t dataset, hid_t properties, hid_t type, uint64_t bytes,
                         uint64_t file_size)
{
    bool in_place = H5Pget_layout(properties) == H5D_CONTIGUOUS
        && (H5Tget_size(type) == 1 || H5Tget_order(type) == H5T_ORDER_LE)
        && H5Dget_storage_size(dataset) == bytes;
    haddr_t offset = in_place ? H5Dget_offset(dataset) : HADDR_UNDEF;
    if (offset == HADDR_UNDEF || offset > file_size || bytes > file_size - offset)
        return I3D_HDF5_NOT_IN_PLACE;
    return offset;
}

/* What can be asked of a dataset that is not in place: deflate packs at most
 * 1032 to 1, and fill values are not worth gigabytes. */
static bool is_absurd(uint64_t bytes, uint64_t file_size)
{
    uint64_t bound = (uint64_t)64 << 20;
    if (file_size > bound / 1100)
        bound = file_size * 1100;
    return bytes > bound || bytes > (uint64_t)8 << 30;
}

/* Keeps a dataset open if there will be questions about it. */
static bool keep(struct walker *walker, hid_t dataset, uint64_t place)
{
    hid_t *grown = realloc(walker->datasets, (walker->dataset_count + 1) * sizeof *grown);
    if (!grown)
        return give_up(walker, I3D_SYSTEM, "not enough memory");
    walker->datasets = grown;
    bool is_asked = place == I3D_HDF5_NOT_IN_PLACE;
    grown[walker->dataset_count++] = is_asked ? dataset : -1;
    if (is_asked)
        H5Iinc_ref(dataset);
    return true;
}

/* What a record tells of a dataset. */
struct found {
    const char *name;
    enum i3d_dtype dtype; /* I3D_UNDEFINED: not one that a model can hold */
    int rank;
    hsize_t dims[H5S_MAX_RANK];
    uint64_t bytes, place;
};

/* Whether the elements lie in this file, and not in others that it names. Asked
 * before the shape, for which the library goes to a virtual dataset's sources. */
static bool is_whole(struct walker *walker, hid_t properties, const char *name)
{
    H5D_layout_t layout = H5Pget_layout(properties);
    int external = H5Pget_external_count(properties);
    if (layout < 0 || external < 0)
        return give_up(walker, I3D_MALFORMED, "dataset %.150s cannot be read", name);
    if (layout == H5D_VIRTUAL || external)
        return give_up(walker, I3D_UNSUPPORTED, "dataset %.150s has its elements in other files",
                       name);
    return true;
}

static bool measure(struct walker *walker, hid_t space, struct found *found)
{
    found->rank = H5Sget_simple_extent_ndims(space);
    if (H5Sget_simple_extent_type(space) == H5S_NULL)
        return give_up(walker, I3D_UNSUPPORTED, "dataset %.150s has no elements at all",
                       found->name);
    if (found->rank < 0 || H5Sget_simple_extent_dims(space, found->dims, NULL) < 0)
        return give_up(walker, I3D_MALFORMED, "dataset %.150s has no readable shape",
                       found->name);
    if (found->rank > I3D_MAX_RANK)
        return give_up(walker, I3D_UNSUPPORTED, "dataset %.150s has %d dimensions", found->name,
                       found->rank);
    int64_t dims[I3D_MAX_RANK];
    bool fits = true;
    for (int k = 0; k < found->rank; k++)
        fits &= !__builtin_add_overflow(found->dims[k], 0, &dims[k]);
    int64_t elements = fits ? i3d_element_count(found->rank, dims) : -1;
    if (elements < 0)
        return give_up(walker, I3D_MALFORMED, "dataset %.150s is absurdly large", found->name);
    found->bytes = (uint64_t)elements * i3d_dtype_size(found->dtype);
    return true;
}

static void put_record(struct walker *walker, const struct found *found)
{
    fputc('D', walker->out);
    put_string(walker, found->name);
    put_number(walker, found->dtype);
    put_number(walker, (uint64_t)found->rank);
    for (int k = 0; k < found->rank; k++)
        put_number(walker, found->dims[k]);
    put_number(walker, found->place);
}

static bool put_dataset(struct walker *walker, hid_t dataset, const char *name, bool is_weight)
{
    hid_t properties = H5Dget_create_plist(dataset);
    bool good = is_whole(walker, properties, name);
    if (!good) {
        H5Pclose(properties);
        return false;
    }
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    struct found found = { .name = name, .place = I3D_HDF5_NOT_IN_PLACE };
    uint64_t size = walker->input->size;
    found.dtype = type < 0 ? I3D_UNDEFINED : i3d_dtype_from_hdf5(type);
    if (found.dtype != I3D_UNDEFINED) {
        good = measure(walker, space, &found);
        if (good)
            found.place = place_of(dataset, properties, type, found.bytes, size);
        if (good && found.place == I3D_HDF5_NOT_IN_PLACE && is_absurd(found.bytes, size))
            good = give_up(walker, I3D_MALFORMED,
                           "dataset %.150s claims %llu bytes in a file of %llu", name,
                           (unsigned long long)found.bytes, (unsigned long long)size);
        if (good) {
            put_record(walker, &found);
            good = keep(walker, dataset, found.place);
        }
    } else if (is_weight) {
        good = give_up(walker, I3D_UNSUPPORTED,
                       "dataset %.150s holds elements of a type that is not handled", name);
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Pclose(properties);
    return good;
}

static bool count_object(struct walker *walker)
{
    if (++walker->object_count > I3D_HDF5_MAX_OBJECTS)
        return give_up(walker, I3D_UNSUPPORTED, "it has more than %d objects",
                       I3D_HDF5_MAX_OBJECTS);
    return true;
}

/* Opens a dataset by the path of a weight, which may cross groups. */
static bool put_weight(struct walker *walker, hid_t group, const char *layer, const char *weight)
{
    char name[2 * I3D_HDF5_MAX_NAME];
    int length = snprintf(name, sizeof name, "%s/%s", layer, weight);
    if (length < 0 || (size_t)length >= sizeof name)
        return give_up(walker, I3D_UNSUPPORTED, "a weight's name is too long");
    hid_t dataset = H5Dopen2(group, weight, H5P_DEFAULT);
    if (dataset < 0)
        return give_up(walker, I3D_MALFORMED, "weight %.150s is listed but not in this file", name);
    bool good = count_object(walker) && put_dataset(walker, dataset, name, true);
    H5Dclose(dataset);
    return good;
}

static bool walk_layer(struct walker *walker, hid_t root, const char *layer)
{
    struct i3d_hdf5_strings weights;
    fputc('L', walker->out);
    put_string(walker, layer);
    hid_t group = H5Gopen2(root, layer, H5P_DEFAULT);
    if (group < 0)
        return give_up(walker, I3D_MALFORMED, "layer %.150s is listed but not in this file", layer);
    bool good = true;
    if (i3d_hdf5_read_strings(group, "weight_names", &weights) != I3D_HDF5_READ)
        good = give_up(walker, I3D_MALFORMED, "layer %.150s has no readable weight_names", layer);
    for (size_t i = 0; good && i < weights.count; i++)
        good = put_weight(walker, group, layer, weights.items[i]);
    i3d_hdf5_free_strings(&weights);
    H5Gclose(group);
    return good;
}

static bool walk_layers(struct walker *walker, hid_t root, const struct i3d_hdf5_strings *layers)
{
    bool good = true;
    for (size_t i = 0; good && i < layers->count; i++)
        good = count_object(walker) && walk_layer(walker, root, layers->items[i]);
    return good;
}

struct branch {
    struct walker *walker;
    const char *path; /* of the group, with a slash behind unless it is the root */
};

static bool walk_group(struct walker *walker, hid_t group, const char *path);

/* One hard link of a group. Soft and external links are not followed: they name
 * what has a name already, or another file. */
static herr_t visit(hid_t group, const char *name, const H5L_info_t *link, void *context)
{
    struct branch *branch = context;
    struct walker *walker = branch->walker;
    char path[I3D_HDF5_MAX_NAME];
    if (link->type != H5L_TYPE_HARD)
        return 0;
    if (!count_object(walker))
        return -1;
    int length = snprintf(path, sizeof path - 1, "%s%s", branch->path, name);
    if (length < 0 || (size_t)length >= sizeof path - 1) {
        give_up(walker, I3D_UNSUPPORTED, "the name of an object is too long");
        return -1;
    }
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) {
        give_up(walker, I3D_MALFORMED, "object %.150s cannot be opened", name);
        return -1;
    }
    H5I_type_t type = H5Iget_type(object);
    bool good = true;
    if (type == H5I_DATASET) {
        good = put_dataset(walker, object, path, false);
    } else if (type == H5I_GROUP) {
        strcat(path, "/");
        good = walk_group(walker, object, path);
    }
    H5Oclose(object);
    return good ? 0 : -1;
}

static bool walk_group(struct walker *walker, hid_t group, const char *path)
{
    H5O_info_t info;
    if (H5Oget_info2(group, &info, H5O_INFO_BASIC) < 0)
        return give_up(walker, I3D_MALFORMED, "group %.150s cannot be read", path);
    for (int i = 0; i < walker->depth; i++)
        if (walker->groups[i] == info.addr)
            return true; /* a link back to where we came from */
    if (walker->depth == I3D_HDF5_MAX_DEPTH)
        return give_up(walker, I3D_UNSUPPORTED, "groups are nested more than %d deep",
                       I3D_HDF5_MAX_DEPTH);
    walker->groups[walker->depth++] = info.addr;
    struct branch branch = { walker, path };
    bool good = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, &branch) >= 0;
    walker->depth--;
    return good || give_up(walker, I3D_MALFORMED, "group %.150s cannot be listed", path);
}

/* The attributes that say who wrote the file, and its network if it has one. */
static void put_attributes(struct walker *walker, hid_t object)
{
    static const char *const names[] = { "keras_version", "backend", "model_config" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct i3d_hdf5_strings strings;
        if (i3d_hdf5_read_strings(object, names[i], &strings) == I3D_HDF5_READ
            && strings.count == 1) {
            fputc('A', walker->out);
            put_string(walker, names[i]);
            put_string(walker, strings.items[0]);
        }
        i3d_hdf5_free_strings(&strings);
    }
}

static bool walk_file(struct walker *walker, hid_t file)
{
    struct i3d_hdf5_strings layers;
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0)
        return give_up(walker, I3D_MALFORMED, "it has no readable root group");
    put_attributes(walker, root);
    enum i3d_hdf5_found found = i3d_hdf5_read_strings(root, "layer_names", &layers);
    if (found == I3D_HDF5_ABSENT && H5Lexists(root, "model_weights", H5P_DEFAULT) > 0) {
        hid_t weights = H5Gopen2(root, "model_weights", H5P_DEFAULT);
        enum i3d_hdf5_found below = weights < 0
            ? I3D_HDF5_ABSENT
            : i3d_hdf5_read_strings(weights, "layer_names", &layers);
        if (below != I3D_HDF5_ABSENT) {
            H5Gclose(root);
            root = weights;
            found = below;
        } else if (weights >= 0) {
            H5Gclose(weights);
        }
    }
    bool good = found == I3D_HDF5_READ ? walk_layers(walker, root, &layers)
        : found == I3D_HDF5_ABSENT     ? walk_group(walker, root, "")
                                       : give_up(walker, I3D_MALFORMED,
                                                 "its layer_names cannot be read");
    i3d_hdf5_free_strings(&layers);
    H5Gclose(root);
    return good;
}

/* Elements of a dataset into the memory file. */
static void read_dataset(struct walker *walker, uint64_t position, int memory,
                         struct i3d_hdf5_answer *answer)
{
    *answer = (struct i3d_hdf5_answer){ .status = I3D_MALFORMED };
    snprintf(answer->message, sizeof answer->message,
             "the HDF5 library cannot read its elements");
    if (position >= walker->dataset_count || walker->datasets[position] < 0)
        return;
    hid_t dataset = walker->datasets[position];
    hid_t stored = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hid_t type = stored < 0 ? -1 : H5Tcopy(stored);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    size_t bytes = type < 0 || count < 0 ? 0 : (size_t)count * H5Tget_size(type);
    if (bytes && H5Tget_size(type) > 1 && H5Tset_order(type, H5T_ORDER_LE) < 0)
        bytes = 0;
    void *to = MAP_FAILED;
    if (bytes && !ftruncate(memory, (off_t)bytes))
        to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (to != MAP_FAILED) {
        i3d_hdf5_allow_seconds(LEAST_SECONDS + (unsigned)(bytes / READ_PER_SECOND));
        if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to) >= 0)
            *answer = (struct i3d_hdf5_answer){ .status = I3D_OK, .length = bytes };
        munmap(to, bytes);
    }
    H5Tclose(type);
    H5Tclose(stored);
    H5Sclose(space);
}

void i3d_hdf5_serve(int socket, int memory, const void *context)
{
    struct walker walker = { .input = context };
    uint64_t seconds = walker.input->size / WALKED_PER_SECOND;
    i3d_hdf5_allow_seconds(LEAST_SECONDS + (unsigned)(seconds < 60 ? seconds : 60));
    walker.out = fdopen(dup(memory), "w");
    i3d_hdf5_open_no_more();
    hid_t file = i3d_hdf5_open_image(walker.input->descriptor, walker.input->offset,
                                     walker.input->size);
    if (!walker.out)
        give_up(&walker, I3D_SYSTEM, "not enough memory");
    else if (file < 0)
        give_up(&walker, I3D_MALFORMED, "the HDF5 library cannot open it");
    else
        walk_file(&walker, file);
    struct i3d_hdf5_answer answer = walker.failure;
    if (!answer.status) {
        answer.length = (uint64_t)ftello(walker.out);
        if (fflush(walker.out)) {
            give_up(&walker, I3D_SYSTEM, "not enough memory");
            answer = walker.failure;
        }
    }
    i3d_hdf5_answer(socket, &answer);
    uint64_t question;
    while (!walker.failure.status && i3d_hdf5_next_question(socket, &question)) {
        read_dataset(&walker, question, memory, &answer);
        i3d_hdf5_answer(socket, &answer);
    }
    _exit(0); /* to close a damaged file is one more chance to crash */
}
