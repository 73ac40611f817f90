#include "model/source.h"

#include "model/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_SIZE = 1 << 18 };

struct i3d_file {
    int references;
    int fd;
    uint64_t size;
    char path[];
};

enum kind { IN_MEMORY, RANGE, FILL, CALLBACK, COMPUTE, VIEW };

struct i3d_source {
    enum kind kind;
    int references; /* models are built and freed by one thread */
    uint64_t length;
    union {
        void *bytes;
        struct {
            struct i3d_file *file;
            uint64_t offset;
        } range;
        struct {
            unsigned char element[8];
            size_t size;
        } fill;
        struct {
            i3d_read_function *read;
            void (*release)(void *context);
            void *context;
        } callback;
        struct {
            i3d_compute_function *compute;
            void *parameters;
            struct i3d_source **inputs;
            int input_count;
        } compute;
        struct {
            struct i3d_source *base;
            struct i3d_view *whole;  /* as given: what _as_view answers */
            struct i3d_view *simple; /* what is computed */
        } view;
    };
};

struct i3d_file *i3d_file_new(int fd, const char *path)
{
    struct stat status;
    size_t length = strlen(path) + 1;
    struct i3d_file *file = malloc(sizeof *file + length);
    if (!file || fstat(fd, &status)) {
        free(file);
        return NULL;
    }
    *file = (struct i3d_file){ .references = 1, .fd = fd, .size = (uint64_t)status.st_size };
    memcpy(file->path, path, length);
    return file;
}

struct i3d_file *i3d_file_retain(struct i3d_file *file)
{
    file->references++;
    return file;
}

void i3d_file_release(struct i3d_file *file)
{
    if (!file || --file->references)
        return;
    close(file->fd);
    free(file);
}

const char *i3d_file_path(const struct i3d_file *file)
{
    return file->path;
}

int i3d_file_descriptor(const struct i3d_file *file)
{
    return file->fd;
}

uint64_t i3d_file_size(const struct i3d_file *file)
{
    return file->size;
}

enum i3d_status i3d_file_read(struct i3d_file *file, uint64_t offset, void *bytes, size_t length,
                              struct i3d_error *error)
{
    char *to = bytes;
    while (length) {
        ssize_t got = pread(file->fd, to, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            i3d_fail_errno(error, "cannot read");
            return i3d_error_file(error, file->path);
        }
        if (got == 0) {
            i3d_fail(error, I3D_MALFORMED, "the file ends too early");
            i3d_error_where(error, "byte %llu", (unsigned long long)offset);
            return i3d_error_file(error, file->path);
        }
        to += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return I3D_OK;
}

static struct i3d_source *new_source(enum kind kind, uint64_t length)
{
    struct i3d_source *source = calloc(1, sizeof *source);
    if (source) {
        source->kind = kind;
        source->references = 1;
        source->length = length;
    }
    return source;
}

struct i3d_source *i3d_source_take(void *bytes, size_t length)
{
    struct i3d_source *source = bytes ? new_source(IN_MEMORY, length) : NULL;
    if (!source)
        free(bytes);
    else
        source->bytes = bytes;
    return source;
}

struct i3d_source *i3d_source_copy(const void *bytes, size_t length)
{
    void *copy = malloc(length ? length : 1);
    if (copy && length)
        memcpy(copy, bytes, length);
    return i3d_source_take(copy, length);
}

struct i3d_source *i3d_source_range(struct i3d_file *file, uint64_t offset, uint64_t length)
{
    if (offset > file->size || length > file->size - offset)
        return NULL;
    struct i3d_source *source = new_source(RANGE, length);
    if (source) {
        source->range.file = i3d_file_retain(file);
        source->range.offset = offset;
    }
    return source;
}

struct i3d_source *i3d_source_fill(const void *element, size_t element_size, uint64_t length)
{
    struct i3d_source *source = new_source(FILL, length);
    if (source) {
        memcpy(source->fill.element, element, element_size);
        source->fill.size = element_size;
    }
    return source;
}

struct i3d_source *i3d_source_callback(i3d_read_function *read, void (*release)(void *context),
                                       void *context, uint64_t length)
{
    struct i3d_source *source = new_source(CALLBACK, length);
    if (source) {
        source->callback.read = read;
        source->callback.release = release;
        source->callback.context = context;
    }
    return source;
}

struct i3d_source *i3d_source_compute(i3d_compute_function *compute, const void *parameters,
                                      size_t parameters_size, struct i3d_source *const *inputs,
                                      int input_count, uint64_t length)
{
    struct i3d_source *source = new_source(COMPUTE, length);
    if (!source)
        return NULL;
    source->compute.compute = compute;
    source->compute.parameters = malloc(parameters_size ? parameters_size : 1);
    source->compute.inputs = calloc((size_t)input_count + 1, sizeof *inputs);
    if (!source->compute.parameters || !source->compute.inputs) {
        i3d_source_release(source);
        return NULL;
    }
    if (parameters_size)
        memcpy(source->compute.parameters, parameters, parameters_size);
    for (int i = 0; i < input_count; i++)
        source->compute.inputs[i] = i3d_source_retain(inputs[i]);
    source->compute.input_count = input_count;
    return source;
}

struct i3d_source *i3d_source_view(struct i3d_source *base, const struct i3d_view *view)
{
    size_t size = i3d_dtype_size(view->dtype);
    if (!size || !i3d_view_is_valid(view, base->length / size))
        return NULL;
    struct i3d_view whole = *view;
    i3d_view_drop_idle_taps(&whole);
    if (base->kind == VIEW && base->view.whole->dtype == view->dtype
        && i3d_view_compose(&whole, base->view.whole))
        base = base->view.base;

    struct i3d_source *source = new_source(VIEW, (uint64_t)i3d_view_elements(view) * size);
    if (!source)
        return NULL;
    source->view.base = i3d_source_retain(base);
    source->view.whole = malloc(sizeof whole);
    source->view.simple = malloc(sizeof whole);
    if (!source->view.whole || !source->view.simple) {
        i3d_source_release(source);
        return NULL;
    }
    *source->view.whole = *source->view.simple = whole;
    i3d_view_simplify(source->view.simple);
    return source;
}

const struct i3d_view *i3d_source_as_view(const struct i3d_source *source,
                                          struct i3d_source **base)
{
    if (source->kind != VIEW)
        return NULL;
    *base = source->view.base;
    return source->view.whole;
}

struct i3d_source *i3d_source_retain(struct i3d_source *source)
{
    if (source)
        source->references++;
    return source;
}

void i3d_source_release(struct i3d_source *source)
{
    if (!source || --source->references)
        return;
    switch (source->kind) {
    case IN_MEMORY:
        free(source->bytes);
        break;
    case RANGE:
        i3d_file_release(source->range.file);
        break;
    case FILL:
        break;
    case CALLBACK:
        if (source->callback.release)
            source->callback.release(source->callback.context);
        break;
    case COMPUTE:
        for (int i = 0; i < source->compute.input_count; i++)
            i3d_source_release(source->compute.inputs[i]);
        free(source->compute.inputs);
        free(source->compute.parameters);
        break;
    case VIEW:
        i3d_source_release(source->view.base);
        free(source->view.whole);
        free(source->view.simple);
        break;
    }
    free(source);
}

uint64_t i3d_source_length(const struct i3d_source *source)
{
    return source->length;
}

static void read_fill(const struct i3d_source *source, uint64_t offset, unsigned char *bytes,
                      size_t length)
{
    size_t size = source->fill.size;
    for (size_t i = 0; i < length; i++)
        bytes[i] = source->fill.element[(offset + i) % size];
}

static enum i3d_status compute_all(struct i3d_source *source, void **bytes,
                                   struct i3d_error *error)
{
    *bytes = malloc(source->length ? source->length : 1);
    if (!*bytes)
        return i3d_fail_memory(error);
    enum i3d_status status = source->compute.compute(
        source->compute.parameters, source->compute.inputs, source->compute.input_count, *bytes,
        source->length, error);
    if (status) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* All bytes of a source: its own block where it has one, else a fresh one that
 * *owned tells the caller to free. */
static enum i3d_status whole(struct i3d_source *source, void **bytes, void **owned,
                             struct i3d_error *error)
{
    *owned = NULL;
    if (source->kind == IN_MEMORY) {
        *bytes = source->bytes;
        return I3D_OK;
    }
    enum i3d_status status;
    if (source->kind == COMPUTE) {
        status = compute_all(source, bytes, error);
    } else {
        *bytes = malloc(source->length ? source->length : 1);
        if (!*bytes)
            return i3d_fail_memory(error);
        status = i3d_source_read(source, 0, *bytes, source->length, error);
        if (status)
            free(*bytes);
    }
    if (!status)
        *owned = *bytes;
    return status;
}

/* Elements are gathered whole; a range that cuts one goes through a copy. */
static enum i3d_status read_view(struct i3d_source *source, uint64_t offset, void *bytes,
                                 size_t length, struct i3d_error *error)
{
    const struct i3d_view *view = source->view.simple;
    size_t size = i3d_dtype_size(view->dtype);
    void *base, *owned;
    enum i3d_status status = whole(source->view.base, &base, &owned, error);
    if (status)
        return status;
    int64_t first = (int64_t)(offset / size);
    size_t skip = offset % size;
    if (!skip && length % size == 0) {
        i3d_view_gather(view, base, first, (int64_t)(length / size), bytes);
    } else {
        int64_t count = (int64_t)((skip + length + size - 1) / size);
        char *elements = malloc((size_t)count * size);
        if (elements) {
            i3d_view_gather(view, base, first, count, elements);
            memcpy(bytes, elements + skip, length);
        } else {
            status = i3d_fail_memory(error);
        }
        free(elements);
    }
    free(owned);
    return status;
}

enum i3d_status i3d_source_read(struct i3d_source *source, uint64_t offset, void *bytes,
                                size_t length, struct i3d_error *error)
{
    if (offset > source->length || length > source->length - offset)
        return i3d_fail(error, I3D_MALFORMED, "tensor data ends too early");
    if (!length)
        return I3D_OK;
    switch (source->kind) {
    case IN_MEMORY:
        memcpy(bytes, (char *)source->bytes + offset, length);
        return I3D_OK;
    case RANGE:
        return i3d_file_read(source->range.file, source->range.offset + offset, bytes, length,
                             error);
    case FILL:
        read_fill(source, offset, bytes, length);
        return I3D_OK;
    case CALLBACK:
        return source->callback.read(source->callback.context, offset, bytes, length, error);
    case COMPUTE: {
        void *all;
        if (offset == 0 && length == source->length)
            return source->compute.compute(source->compute.parameters, source->compute.inputs,
                                           source->compute.input_count, bytes, length, error);
        enum i3d_status status = compute_all(source, &all, error);
        if (!status)
            memcpy(bytes, (char *)all + offset, length);
        free(all);
        return status;
    }
    case VIEW:
        return read_view(source, offset, bytes, length, error);
    }
    return I3D_SYSTEM;
}

static enum i3d_status stream_view(struct i3d_source *source, i3d_sink_function *sink,
                                   void *context, struct i3d_error *error)
{
    const struct i3d_view *view = source->view.simple;
    size_t size = i3d_dtype_size(view->dtype);
    int64_t piece = PIECE_SIZE / (int64_t)size, elements = i3d_view_elements(view);
    void *base, *owned;
    enum i3d_status status = whole(source->view.base, &base, &owned, error);
    if (status)
        return status;
    char *buffer = malloc((size_t)(piece < elements ? piece : elements) * size);
    if (!buffer)
        status = i3d_fail_memory(error);
    for (int64_t first = 0; first < elements && !status; first += piece) {
        int64_t count = elements - first < piece ? elements - first : piece;
        i3d_view_gather(view, base, first, count, buffer);
        status = sink(context, buffer, (size_t)count * size, error);
    }
    free(buffer);
    free(owned);
    return status;
}

static enum i3d_status stream_memory(const char *bytes, uint64_t length, i3d_sink_function *sink,
                                     void *context, struct i3d_error *error)
{
    enum i3d_status status = I3D_OK;
    for (uint64_t done = 0; done < length && !status; done += PIECE_SIZE) {
        uint64_t rest = length - done;
        status = sink(context, bytes + done, rest < PIECE_SIZE ? rest : PIECE_SIZE, error);
    }
    return status;
}

enum i3d_status i3d_source_stream(struct i3d_source *source, i3d_sink_function *sink,
                                  void *context, struct i3d_error *error)
{
    enum i3d_status status;
    if (source->kind == VIEW)
        return stream_view(source, sink, context, error);
    if (source->kind == IN_MEMORY)
        return stream_memory(source->bytes, source->length, sink, context, error);
    if (source->kind == COMPUTE) {
        void *all;
        status = compute_all(source, &all, error);
        if (!status)
            status = stream_memory(all, source->length, sink, context, error);
        free(all);
        return status;
    }
    size_t size = source->length < PIECE_SIZE ? source->length : PIECE_SIZE;
    char *buffer = malloc(size ? size : 1);
    if (!buffer)
        return i3d_fail_memory(error);
    status = I3D_OK;
    for (uint64_t done = 0; done < source->length && !status; done += size) {
        size_t count = source->length - done < size ? source->length - done : size;
        status = i3d_source_read(source, done, buffer, count, error);
        if (!status)
            status = sink(context, buffer, count, error);
    }
    free(buffer);
    return status;
}

bool i3d_source_draws_from(const struct i3d_source *source, dev_t device, ino_t inode)
{
    while (source->kind == VIEW)
        source = source->view.base;
    struct stat status;
    if (source->kind == RANGE)
        return !fstat(source->range.file->fd, &status) && status.st_dev == device
            && status.st_ino == inode;
    if (source->kind == COMPUTE)
        for (int i = 0; i < source->compute.input_count; i++)
            if (i3d_source_draws_from(source->compute.inputs[i], device, inode))
                return true;
    return false;
}
