/* PyTorch's checkpoints, as torch.save writes them. The ZIP form (since 1.6) has members
 * <folder>/data.pkl, a pickle, and <folder>/data/<key>, one per storage. The older form
 * is a row of pickles (a magic number, the protocol, facts of the system, the object, the
 * storages' keys), then for each key the count of elements and the elements.
 * (PyTorch, torch/serialization.py, torch/_utils.py)
 *
 * Storages are named by the pickle's persistent identifiers: the tuple ("storage", type,
 * key, device, elements). A tensor is a strided window on one. */
#include "formats/pytorch.h"

#include "formats/pickle.h"
#include "formats/registry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char I3D_PYTORCH_KEY[] = "i3dconv.pytorch.key";
const char I3D_PYTORCH_METADATA[] = "i3dconv.json";

/* The end of a pickle of torch.serialization.MAGIC_NUMBER; ahead of it stand the protocol
 * and, since the fourth, a frame. */
static const unsigned char MAGIC[] = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
enum { MAGIC_LENGTH = sizeof MAGIC - 1, LEGACY_HEAD = 32 };
enum { MOST_NESTED = 4, LONGEST_METADATA = 64 << 20 };

enum meaning {
    ASIDE,     /* stands in checkpoints beside tensors, says nothing about them */
    TENSOR,    /* (storage, offset, size, strides, …) */
    TENSOR_V3, /* the same with the dtype as the seventh; its storage counts bytes */
    PARAMETER, /* (tensor, …) */
    STORAGE,   /* detail: the dtype of its elements */
    DTYPE,     /* detail: which */
};

static const struct i3d_pickle_global globals[] = {
    { "collections", "OrderedDict", ASIDE, 0 },
    { "builtins", "set", ASIDE, 0 },
    { "__builtin__", "set", ASIDE, 0 },
    { "_codecs", "encode", ASIDE, 0 },
    { "torch", "Size", ASIDE, 0 },
    { "torch", "device", ASIDE, 0 },
    { "torch.serialization", "_get_layout", ASIDE, 0 },
    { "torch._utils", "_rebuild_tensor", TENSOR, 0 },
    { "torch._utils", "_rebuild_tensor_v2", TENSOR, 0 },
    { "torch._utils", "_rebuild_tensor_v3", TENSOR_V3, 0 },
    { "torch._utils", "_rebuild_parameter", PARAMETER, 0 },
    { "torch._utils", "_rebuild_parameter_with_state", PARAMETER, 0 },
    { "torch", "FloatStorage", STORAGE, I3D_FLOAT32 },
    { "torch", "DoubleStorage", STORAGE, I3D_FLOAT64 },
    { "torch", "HalfStorage", STORAGE, I3D_FLOAT16 },
    { "torch", "BFloat16Storage", STORAGE, I3D_BFLOAT16 },
    { "torch", "LongStorage", STORAGE, I3D_INT64 },
    { "torch", "IntStorage", STORAGE, I3D_INT32 },
    { "torch", "ShortStorage", STORAGE, I3D_INT16 },
    { "torch", "CharStorage", STORAGE, I3D_INT8 },
    { "torch", "ByteStorage", STORAGE, I3D_UINT8 },
    { "torch", "BoolStorage", STORAGE, I3D_BOOL },
    { "torch", "UntypedStorage", STORAGE, I3D_UINT8 },
    { "torch.storage", "UntypedStorage", STORAGE, I3D_UINT8 },
    { "torch", "float32", DTYPE, I3D_FLOAT32 },
    { "torch", "float64", DTYPE, I3D_FLOAT64 },
    { "torch", "float16", DTYPE, I3D_FLOAT16 },
    { "torch", "bfloat16", DTYPE, I3D_BFLOAT16 },
    { "torch", "int64", DTYPE, I3D_INT64 },
    { "torch", "int32", DTYPE, I3D_INT32 },
    { "torch", "int16", DTYPE, I3D_INT16 },
    { "torch", "int8", DTYPE, I3D_INT8 },
    { "torch", "uint8", DTYPE, I3D_UINT8 },
    { "torch", "uint16", DTYPE, I3D_UINT16 },
    { "torch", "uint32", DTYPE, I3D_UINT32 },
    { "torch", "uint64", DTYPE, I3D_UINT64 },
    { "torch", "bool", DTYPE, I3D_BOOL },
    { 0 },
};

/* A storage of an old file. */
struct stored {
    const char *key;
    enum i3d_dtype dtype;
    uint64_t at; /* of its elements, once that is known */
    int64_t elements;
    bool placed;
};

struct checkpoint {
    struct i3d_file *file;
    struct i3d_zip *zip; /* null: the older form */
    char *folder;        /* in the archive, with its slash */
    struct i3d_pickle pickle;
    struct i3d_arena *arena;
    struct stored *stored; /* sorted by key */
    size_t stored_count;
};

bool i3d_pytorch_is_member(const char *name)
{
    static const char *const rest[] = { "data.pkl", "constants.pkl", "version", "byteorder",
                                        ".format_version", ".storage_alignment" };
    const char *slash = strchr(name, '/');
    for (size_t i = 0; slash && i < sizeof rest / sizeof *rest; i++)
        if (!strcmp(slash + 1, rest[i]))
            return true;
    return slash && (!strncmp(slash + 1, "data/", 5) || !strncmp(slash + 1, "code/", 5));
}

/* Where the second pickle of an old file starts; 0 if it is none. */
static size_t legacy_start(const unsigned char *head, size_t length)
{
    length = length < LEGACY_HEAD ? length : LEGACY_HEAD;
    for (size_t at = 2; at + MAGIC_LENGTH <= length && head[0] == 0x80; at++)
        if (!memcmp(head + at, MAGIC, MAGIC_LENGTH))
            return at + MAGIC_LENGTH;
    return 0;
}

bool i3d_pytorch_recognise(const unsigned char *head, size_t head_length, uint64_t size)
{
    (void)size;
    char name[256];
    if (legacy_start(head, head_length))
        return true;
    return i3d_zip_first_name(head, head_length, name, sizeof name) && i3d_pytorch_is_member(name);
}

static int meaning(const struct i3d_pickle_value *value)
{
    return value->kind == I3D_PICKLE_CALL || value->kind == I3D_PICKLE_GLOBAL
        ? globals[value->global].meaning : ASIDE;
}

/* The call that makes a tensor behind what may be a parameter, or null. */
static const struct i3d_pickle_value *tensor_call(const struct i3d_pickle_value *value)
{
    for (int depth = 0; depth < MOST_NESTED && value->kind == I3D_PICKLE_CALL; depth++) {
        if (meaning(value) == TENSOR || meaning(value) == TENSOR_V3)
            return value;
        if (meaning(value) != PARAMETER || !value->argument->count)
            return NULL;
        value = value->argument->items[0];
    }
    return NULL;
}

static bool is_state_dict(const struct i3d_pickle_value *value)
{
    for (size_t i = 0; value->kind == I3D_PICKLE_DICT && i + 1 < value->count; i += 2)
        if (value->items[i]->kind == I3D_PICKLE_TEXT && tensor_call(value->items[i + 1]))
            return true;
    return false;
}

static enum i3d_status fail_value(const struct i3d_pickle_value *value, struct i3d_error *error,
                                  const char *what)
{
    i3d_fail(error, I3D_MALFORMED, "%s", what);
    return i3d_error_where(error, "pickle byte %llu", (unsigned long long)value->at);
}

/* What a persistent identifier says. */
struct identity {
    const char *key;
    enum i3d_dtype dtype;
    int64_t elements, offset; /* the storage's, and where an old file's view of it starts */
};

static enum i3d_status read_identity(const struct i3d_pickle_value *persistent,
                                     struct identity *identity, struct i3d_error *error)
{
    const struct i3d_pickle_value *id = persistent->argument;
    bool good = id->kind == I3D_PICKLE_TUPLE && id->count >= 5
        && id->items[0]->kind == I3D_PICKLE_TEXT && !strcmp(id->items[0]->text, "storage")
        && id->items[1]->kind == I3D_PICKLE_GLOBAL && meaning(id->items[1]) == STORAGE
        && id->items[2]->kind == I3D_PICKLE_TEXT && id->items[4]->kind == I3D_PICKLE_INT
        && id->items[4]->integer >= 0;
    if (!good)
        return fail_value(persistent, error, "a persistent identifier names no storage");
    *identity = (struct identity){ .key = id->items[2]->text,
                                   .dtype = (enum i3d_dtype)globals[id->items[1]->global].detail,
                                   .elements = id->items[4]->integer };
    const struct i3d_pickle_value *view = id->count > 5 ? id->items[5] : NULL;
    if (!view || view->kind == I3D_PICKLE_NONE)
        return I3D_OK;
    if (view->kind != I3D_PICKLE_TUPLE || view->count != 3
        || view->items[1]->kind != I3D_PICKLE_INT || view->items[1]->integer < 0)
        return fail_value(persistent, error, "a view of a storage is none");
    identity->offset = view->items[1]->integer;
    return I3D_OK;
}

static int by_key(const void *left, const void *right)
{
    return strcmp(((const struct stored *)left)->key, ((const struct stored *)right)->key);
}

static struct stored *find_stored(const struct checkpoint *checkpoint, const char *key)
{
    struct stored wanted = { .key = key };
    return checkpoint->stored_count
        ? bsearch(&wanted, checkpoint->stored, checkpoint->stored_count, sizeof wanted, by_key)
        : NULL;
}

/* The storages that the old file's object names, each once. */
static enum i3d_status list_stored(struct checkpoint *checkpoint, struct i3d_error *error)
{
    const struct i3d_pickle *pickle = &checkpoint->pickle;
    struct identity identity;
    size_t kept = 0;
    checkpoint->stored = calloc(pickle->persistent_count + 1, sizeof *checkpoint->stored);
    if (!checkpoint->stored)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < pickle->persistent_count; i++) {
        enum i3d_status status = read_identity(pickle->persistent[i], &identity, error);
        if (status)
            return status;
        checkpoint->stored[i] = (struct stored){ .key = identity.key, .dtype = identity.dtype,
                                                 .elements = identity.elements };
    }
    qsort(checkpoint->stored, pickle->persistent_count, sizeof *checkpoint->stored, by_key);
    for (size_t i = 0; i < pickle->persistent_count; i++)
        if (!kept || by_key(&checkpoint->stored[kept - 1], &checkpoint->stored[i]))
            checkpoint->stored[kept++] = checkpoint->stored[i];
    checkpoint->stored_count = kept;
    return I3D_OK;
}

/* Behind the list of keys stand the storages in its order. */
static enum i3d_status place_stored(struct checkpoint *checkpoint,
                                    const struct i3d_pickle *keys, struct i3d_error *error)
{
    uint64_t at = keys->end, size = i3d_file_size(checkpoint->file);
    if (keys->root->kind != I3D_PICKLE_LIST)
        return fail_value(keys->root, error, "the storages' keys are no list");
    for (size_t i = 0; i < keys->root->count; i++) {
        const struct i3d_pickle_value *key = keys->root->items[i];
        struct stored *stored =
            key->kind == I3D_PICKLE_TEXT ? find_stored(checkpoint, key->text) : NULL;
        unsigned char bytes[8];
        int64_t elements = 0;
        if (!stored || stored->placed)
            return fail_value(key, error, "a storage's key is not the object's, or stands twice");
        if (at > size || size - at < sizeof bytes)
            return fail_value(key, error, "the file ends ahead of this storage");
        enum i3d_status status = i3d_file_read(checkpoint->file, at, bytes, sizeof bytes, error);
        if (status)
            return status;
        for (int k = 7; k >= 0; k--)
            elements = (int64_t)((uint64_t)elements << 8 | bytes[k]);
        at += sizeof bytes;
        uint64_t width = i3d_dtype_size(stored->dtype);
        if (elements < 0 || elements < stored->elements || (uint64_t)elements > (size - at) / width)
            return fail_value(key, error, "this storage is not as long as it is said to be");
        *stored = (struct stored){ stored->key, stored->dtype, at, elements, true };
        at += (uint64_t)elements * width;
    }
    return I3D_OK;
}

static enum i3d_status open_legacy(struct checkpoint *checkpoint, uint64_t at,
                                   struct i3d_error *error)
{
    struct i3d_source *whole =
        i3d_source_range(checkpoint->file, 0, i3d_file_size(checkpoint->file));
    struct i3d_pickle aside, keys;
    if (!whole)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    for (int i = 0; i < 2 && !status; i++) { /* the protocol, the system's facts */
        status = i3d_pickle_read(whole, at, globals, checkpoint->arena, &aside, error);
        at = aside.end;
    }
    const struct i3d_pickle_value *little = !status && aside.root->kind == I3D_PICKLE_DICT
        ? i3d_pickle_find(aside.root, "little_endian") : NULL;
    if (little && little->kind == I3D_PICKLE_BOOL && !little->integer)
        status = i3d_fail(error, I3D_UNSUPPORTED, "its numbers are big-endian");
    if (!status)
        status = i3d_pickle_read(whole, at, globals, checkpoint->arena, &checkpoint->pickle,
                                 error);
    if (!status)
        status = i3d_pickle_read(whole, checkpoint->pickle.end, globals, checkpoint->arena, &keys,
                                 error);
    i3d_source_release(whole);
    if (!status)
        status = list_stored(checkpoint, error);
    return status ? status : place_stored(checkpoint, &keys, error);
}

/* A member of the archive's folder, or -1. */
static int64_t find_member(const struct checkpoint *checkpoint, const char *name)
{
    char *path;
    if (asprintf(&path, "%s%s", checkpoint->folder, name) < 0)
        return -1;
    int64_t member = i3d_zip_find(checkpoint->zip, path);
    free(path);
    return member;
}

static enum i3d_status check_byte_order(const struct checkpoint *checkpoint,
                                        struct i3d_error *error)
{
    enum { LONGEST = 64 };
    int64_t member = find_member(checkpoint, "byteorder");
    char *text;
    size_t length;
    if (member < 0)
        return I3D_OK;
    enum i3d_status status =
        i3d_zip_load(checkpoint->zip, (size_t)member, LONGEST, &text, &length, error);
    if (!status && strcmp(text, "little"))
        status = i3d_fail(error, I3D_UNSUPPORTED, "its numbers are big-endian");
    free(text);
    return status;
}

static enum i3d_status open_archive(struct checkpoint *checkpoint, struct i3d_error *error)
{
    enum i3d_status status = i3d_zip_open(checkpoint->file, &checkpoint->zip, error);
    if (status)
        return status;
    const char *first = i3d_zip_count(checkpoint->zip) ? i3d_zip_name(checkpoint->zip, 0) : "";
    const char *slash = strchr(first, '/');
    checkpoint->folder = strndup(first, slash ? (size_t)(slash + 1 - first) : 0);
    if (!checkpoint->folder)
        return i3d_fail_memory(error);
    int64_t member = find_member(checkpoint, "data.pkl");
    if (member < 0)
        return i3d_fail(error, I3D_MALFORMED, "the archive has no data.pkl");
    if (find_member(checkpoint, "constants.pkl") >= 0) {
        i3d_fail(error, I3D_UNSUPPORTED, "it is a TorchScript program, not a checkpoint");
        return i3d_error_hint(error, "load it with torch.jit.load and save its state_dict()");
    }
    status = check_byte_order(checkpoint, error);
    if (status)
        return status;
    struct i3d_source *pickle = i3d_zip_source(checkpoint->zip, (size_t)member, 0,
                                               i3d_zip_size(checkpoint->zip, (size_t)member));
    if (!pickle)
        return i3d_fail_memory(error);
    status = i3d_pickle_read(pickle, 0, globals, checkpoint->arena, &checkpoint->pickle, error);
    i3d_source_release(pickle);
    return status;
}

/* Elements [from, from + count) of a storage. */
static enum i3d_status source_of(struct checkpoint *checkpoint, const struct identity *identity,
                                 const struct i3d_pickle_value *at, int64_t from, int64_t count,
                                 enum i3d_dtype dtype, struct i3d_source **source,
                                 struct i3d_error *error)
{
    uint64_t width = i3d_dtype_size(dtype), begin = 0;
    uint64_t bytes = (uint64_t)identity->elements * i3d_dtype_size(identity->dtype);
    if ((uint64_t)identity->elements > INT64_MAX / 8 || from < 0 || count < 0
        || (uint64_t)from > bytes / width || (uint64_t)count > bytes / width - (uint64_t)from)
        return fail_value(at, error, "a tensor reaches beyond its storage");
    if (!checkpoint->zip) {
        const struct stored *stored = find_stored(checkpoint, identity->key);
        if (!stored || !stored->placed || stored->elements < identity->elements)
            return fail_value(at, error, "its storage is not in the file");
        begin = stored->at;
        *source = i3d_source_range(checkpoint->file, begin + (uint64_t)from * width,
                                   (uint64_t)count * width);
    } else {
        char *name;
        if (asprintf(&name, "data/%s", identity->key) < 0)
            return i3d_fail_memory(error);
        int64_t member = find_member(checkpoint, name);
        free(name);
        if (member < 0 || i3d_zip_size(checkpoint->zip, (size_t)member) < bytes)
            return fail_value(at, error, "its storage is not in the archive, or is too short");
        *source = i3d_zip_source(checkpoint->zip, (size_t)member, (uint64_t)from * width,
                                 (uint64_t)count * width);
    }
    return *source ? I3D_OK : i3d_fail_memory(error);
}

static bool read_sizes(const struct i3d_pickle_value *value, int *rank, int64_t *sizes)
{
    if (value->kind == I3D_PICKLE_CALL && value->argument->count == 1) /* torch.Size */
        value = value->argument->items[0];
    if ((value->kind != I3D_PICKLE_TUPLE && value->kind != I3D_PICKLE_LIST)
        || value->count > I3D_MAX_RANK)
        return false;
    *rank = (int)value->count;
    for (size_t i = 0; i < value->count; i++) {
        if (value->items[i]->kind != I3D_PICKLE_INT || value->items[i]->integer < 0)
            return false;
        sizes[i] = value->items[i]->integer;
    }
    return true;
}

/* Whether the window is a run of elements; reach: how many it spans. */
static bool measure(struct i3d_view *view, int64_t *reach, bool *is_run)
{
    int64_t dense = 1;
    *reach = 1;
    *is_run = true;
    for (int k = view->rank - 1; k >= 0; k--) {
        int64_t steps;
        if (view->dims[k] > 1 && view->strides[k] != dense)
            *is_run = false;
        if (__builtin_mul_overflow(view->dims[k] - 1, view->strides[k], &steps)
            || __builtin_add_overflow(*reach, steps, reach))
            return false;
        if (view->dims[k] == 1)
            view->strides[k] = 0;
        dense *= view->dims[k];
    }
    return true;
}

static enum i3d_status read_tensor(struct checkpoint *checkpoint, const char *name,
                                   const struct i3d_pickle_value *call, struct i3d_model *model,
                                   struct i3d_error *error)
{
    const struct i3d_pickle_value *arguments = call->argument;
    struct i3d_view view = { .tap_axis = -1 };
    struct identity identity;
    int strides;
    bool has_dtype = meaning(call) == TENSOR_V3;
    if (arguments->count < (has_dtype ? 7u : 4u)
        || arguments->items[0]->kind != I3D_PICKLE_PERSISTENT
        || arguments->items[1]->kind != I3D_PICKLE_INT
        || !read_sizes(arguments->items[2], &view.rank, view.dims)
        || !read_sizes(arguments->items[3], &strides, view.strides) || strides != view.rank
        || (has_dtype && (arguments->items[6]->kind != I3D_PICKLE_GLOBAL
                          || meaning(arguments->items[6]) != DTYPE)))
        return fail_value(call, error, "a tensor is not made of a storage, an offset, at most 8 "
                                       "sizes and as many strides");
    enum i3d_status status = read_identity(arguments->items[0], &identity, error);
    if (status)
        return status;
    view.dtype = has_dtype ? (enum i3d_dtype)globals[arguments->items[6]->global].detail
                           : identity.dtype;
    int64_t elements = i3d_element_count(view.rank, view.dims), reach, from;
    bool is_run;
    if (elements < 0 || __builtin_add_overflow(arguments->items[1]->integer, identity.offset, &from)
        || (elements && !measure(&view, &reach, &is_run)))
        return fail_value(call, error, "a tensor's sizes are beyond all bounds");
    struct i3d_source *source = NULL;
    if (!elements) {
        source = i3d_source_copy(NULL, 0);
    } else {
        status = source_of(checkpoint, &identity, call, from, reach, view.dtype, &source, error);
        if (status)
            return status;
    }
    if (source && elements && !is_run) {
        struct i3d_source *base = source;
        source = i3d_source_view(base, &view);
        i3d_source_release(base);
    }
    return i3d_model_put_tensor(model, name, view.dtype, view.rank, view.dims, source, error);
}

static enum i3d_status read_state_dict(struct checkpoint *checkpoint,
                                       const struct i3d_pickle_value *dict,
                                       struct i3d_model *model, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (size_t i = 0; i + 1 < dict->count && !status; i += 2) {
        const struct i3d_pickle_value *key = dict->items[i];
        const struct i3d_pickle_value *call = tensor_call(dict->items[i + 1]);
        if (!call || key->kind != I3D_PICKLE_TEXT)
            continue;
        if (memchr(key->text, 0, key->length))
            status = fail_value(key, error, "a tensor's name holds a NUL");
        else
            status = read_tensor(checkpoint, key->text, call, model, error);
        if (status)
            i3d_error_where(error, "tensor %s", key->text);
    }
    return status;
}

/* A dictionary under one of the usual keys, or null. */
static const struct i3d_pickle_value *usual_dict(const struct i3d_pickle_value *root,
                                                 const char **key)
{
    static const char *const usual[] = { "state_dict", "model_state_dict", "model", "module",
                                         "net", "network", "params_ema", "params" };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const struct i3d_pickle_value *inner = i3d_pickle_find(root, *key = usual[i]);
        if (inner && inner->kind == I3D_PICKLE_DICT)
            return inner;
    }
    return NULL;
}

/* The one state_dict among the values, or null. */
static const struct i3d_pickle_value *only_dict(const struct i3d_pickle_value *root,
                                                const char **key)
{
    const struct i3d_pickle_value *only = NULL;
    for (size_t i = 0; i + 1 < root->count; i += 2)
        if (root->items[i]->kind == I3D_PICKLE_TEXT && is_state_dict(root->items[i + 1])) {
            if (only)
                return NULL;
            only = root->items[i + 1];
            *key = root->items[i]->text;
        }
    return only;
}

/* The object itself, or what stands in it; path: the keys that lead there. */
static const struct i3d_pickle_value *find_state_dict(const struct i3d_pickle_value *root,
                                                      char *path, size_t size)
{
    size_t used = 0;
    path[0] = 0;
    for (int depth = 0; root && root->kind == I3D_PICKLE_DICT && depth < MOST_NESTED; depth++) {
        const char *key;
        if (is_state_dict(root))
            return root;
        const struct i3d_pickle_value *inner = usual_dict(root, &key);
        root = inner ? inner : only_dict(root, &key);
        if (root && used < size)
            used += (size_t)snprintf(path + used, size - used, "%s%s", used ? "/" : "", key);
    }
    return NULL;
}

static enum i3d_status read_metadata(const struct checkpoint *checkpoint, struct i3d_model *model,
                                     struct i3d_error *error)
{
    int64_t member = checkpoint->zip ? find_member(checkpoint, I3D_PYTORCH_METADATA) : -1;
    char *text;
    size_t length;
    if (member < 0)
        return I3D_OK;
    enum i3d_status status =
        i3d_zip_load(checkpoint->zip, (size_t)member, LONGEST_METADATA, &text, &length, error);
    if (status)
        return status;
    json_t *pairs = json_loadb(text, length, 0, NULL);
    const char *key;
    json_t *value;
    free(text);
    json_object_foreach(pairs, key, value)
        if (!status && json_is_string(value)
            && !i3d_set_metadata(model, key, json_string_value(value)))
            status = i3d_fail_memory(error);
    json_decref(pairs);
    return status;
}

static enum i3d_status read_object(struct checkpoint *checkpoint, struct i3d_model *model,
                                   struct i3d_error *error)
{
    char path[256];
    const struct i3d_pickle_value *root = checkpoint->pickle.root;
    const struct i3d_pickle_value *alone = tensor_call(root);
    const struct i3d_pickle_value *dict = find_state_dict(root, path, sizeof path);
    if (alone)
        return read_tensor(checkpoint, "tensor", alone, model, error);
    if (!dict) {
        i3d_fail(error, I3D_UNSUPPORTED, "it holds no state_dict, or several");
        return i3d_error_hint(error, "save the one that is meant alone");
    }
    enum i3d_status status = read_state_dict(checkpoint, dict, model, error);
    if (!status && *path && !i3d_set_metadata(model, I3D_PYTORCH_KEY, path))
        status = i3d_fail_memory(error);
    return status;
}

enum i3d_status i3d_pytorch_read(struct i3d_file *file, struct i3d_model *model,
                                 struct i3d_error *error)
{
    unsigned char head[LEGACY_HEAD] = { 0 };
    uint64_t size = i3d_file_size(file);
    struct checkpoint checkpoint = { .file = file, .arena = i3d_arena_new() };
    if (!checkpoint.arena)
        return i3d_fail_memory(error);
    enum i3d_status status =
        i3d_file_read(file, 0, head, size < sizeof head ? size : sizeof head, error);
    size_t start = legacy_start(head, sizeof head);
    if (!status)
        status = start ? open_legacy(&checkpoint, start, error) : open_archive(&checkpoint, error);
    if (!status)
        status = read_metadata(&checkpoint, model, error);
    if (!status)
        status = read_object(&checkpoint, model, error);
    i3d_zip_release(checkpoint.zip);
    i3d_arena_free(checkpoint.arena);
    free(checkpoint.folder);
    free(checkpoint.stored);
    return status;
}
