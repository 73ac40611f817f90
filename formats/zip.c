#include "formats/zip.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

struct member {
    uint64_t size;
    bool stored; /* as it is: any place of it can be reached */
};

struct i3d_zip {
    int references;
    pthread_mutex_t lock; /* libzip's archive has one position */
    struct i3d_file *file;
    zip_uint64_t position;
    zip_error_t problem;
    zip_t *archive;
    struct member *members;
    size_t *by_name; /* the members in the order of their names' bytes */
    size_t count;
};

bool i3d_zip_recognise(const unsigned char *head, size_t head_length)
{
    return head_length >= 4 && !memcmp(head, "PK\3\4", 4);
}

bool i3d_zip_first_name(const unsigned char *head, size_t head_length, char *name, size_t size)
{
    enum { NAME_LENGTH = 26, NAME = 30 };
    if (head_length < NAME || !i3d_zip_recognise(head, head_length))
        return false;
    size_t length = head[NAME_LENGTH] | (size_t)head[NAME_LENGTH + 1] << 8;
    if (length >= size || length > head_length - NAME)
        return false;
    memcpy(name, head + NAME, length);
    name[length] = 0;
    return true;
}

static zip_int64_t read_file(struct i3d_zip *zip, void *bytes, zip_uint64_t length)
{
    uint64_t size = i3d_file_size(zip->file);
    uint64_t left = zip->position < size ? size - zip->position : 0;
    length = length < left ? length : left;
    if (length && i3d_file_read(zip->file, zip->position, bytes, length, NULL)) {
        zip_error_set(&zip->problem, ZIP_ER_READ, 0);
        return -1;
    }
    zip->position += length;
    return (zip_int64_t)length;
}

static zip_int64_t seek_file(struct i3d_zip *zip, void *arguments, zip_uint64_t length)
{
    zip_int64_t position = zip_source_seek_compute_offset(
        zip->position, i3d_file_size(zip->file), arguments, length, &zip->problem);
    if (position >= 0)
        zip->position = (zip_uint64_t)position;
    return position >= 0 ? 0 : -1;
}

/* What libzip asks of the file that an archive is read from. */
static zip_int64_t answer(void *context, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct i3d_zip *zip = context;
    switch (command) {
    case ZIP_SOURCE_OPEN: zip->position = 0; return 0;
    case ZIP_SOURCE_READ: return read_file(zip, data, length);
    case ZIP_SOURCE_SEEK: return seek_file(zip, data, length);
    case ZIP_SOURCE_TELL: return (zip_int64_t)zip->position;
    case ZIP_SOURCE_STAT: {
        zip_stat_t *about = data;
        zip_stat_init(about);
        about->valid = ZIP_STAT_SIZE;
        about->size = i3d_file_size(zip->file);
        return sizeof *about;
    }
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&zip->problem, data, length);
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_SEEK,
                                              ZIP_SOURCE_TELL, ZIP_SOURCE_STAT, ZIP_SOURCE_CLOSE,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, -1);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    default: zip_error_set(&zip->problem, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

static enum i3d_status fail_zip(const zip_error_t *problem, struct i3d_error *error)
{
    int code = zip_error_code_zip(problem);
    if (code == ZIP_ER_MEMORY)
        return i3d_fail_memory(error);
    if (code == ZIP_ER_ENCRNOTSUPP || code == ZIP_ER_COMPNOTSUPP || code == ZIP_ER_NOPASSWD)
        return i3d_fail(error, I3D_UNSUPPORTED, "the ZIP archive is encrypted, or compressed in "
                                                "a way that is not known");
    return i3d_fail(error, I3D_MALFORMED, "the ZIP archive is broken: %s",
                    zip_error_strerror((zip_error_t *)problem));
}

static enum i3d_status open_archive(struct i3d_zip *zip, struct i3d_error *error)
{
    zip_error_t problem;
    zip_error_init(&problem);
    zip_source_t *source = zip_source_function_create(answer, zip, &problem);
    if (source)
        zip->archive = zip_open_from_source(source, ZIP_RDONLY, &problem);
    if (source && !zip->archive)
        zip_source_free(source);
    enum i3d_status status = zip->archive ? I3D_OK : fail_zip(&problem, error);
    zip_error_fini(&problem);
    return status;
}

static int compare_names(const void *a, const void *b, void *zip)
{
    return strcmp(i3d_zip_name(zip, *(const size_t *)a), i3d_zip_name(zip, *(const size_t *)b));
}

/* libzip finds a name only where it is UTF-8, or no more than ASCII. */
static enum i3d_status sort_names(struct i3d_zip *zip, struct i3d_error *error)
{
    zip->by_name = calloc(zip->count + 1, sizeof *zip->by_name);
    if (!zip->by_name)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < zip->count; i++)
        zip->by_name[i] = i;
    qsort_r(zip->by_name, zip->count, sizeof *zip->by_name, compare_names, zip);
    for (size_t i = 1; i < zip->count; i++)
        if (!compare_names(&zip->by_name[i - 1], &zip->by_name[i], zip)) {
            i3d_fail(error, I3D_MALFORMED, "the ZIP archive holds it twice");
            return i3d_error_where(error, "member %s", i3d_zip_name(zip, zip->by_name[i]));
        }
    return I3D_OK;
}

static enum i3d_status list_members(struct i3d_zip *zip, struct i3d_error *error)
{
    zip->count = (size_t)zip_get_num_entries(zip->archive, 0);
    zip->members = calloc(zip->count + 1, sizeof *zip->members);
    if (!zip->members)
        return i3d_fail_memory(error);
    for (size_t i = 0; i < zip->count; i++) {
        zip_stat_t about;
        const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
        if (!i3d_zip_name(zip, i) || zip_stat_index(zip->archive, i, 0, &about)
            || (about.valid & needed) != needed)
            return fail_zip(zip_get_error(zip->archive), error);
        zip->members[i] = (struct member){ about.size, about.comp_method == ZIP_CM_STORE };
    }
    return sort_names(zip, error);
}

enum i3d_status i3d_zip_open(struct i3d_file *file, struct i3d_zip **opened,
                             struct i3d_error *error)
{
    *opened = NULL;
    struct i3d_zip *zip = calloc(1, sizeof *zip);
    if (!zip)
        return i3d_fail_memory(error);
    zip->references = 1;
    pthread_mutex_init(&zip->lock, NULL);
    zip_error_init(&zip->problem);
    zip->file = i3d_file_retain(file);
    enum i3d_status status = open_archive(zip, error);
    if (!status)
        status = list_members(zip, error);
    if (status)
        i3d_zip_release(zip);
    else
        *opened = zip;
    return status;
}

struct i3d_zip *i3d_zip_retain(struct i3d_zip *zip)
{
    __atomic_add_fetch(&zip->references, 1, __ATOMIC_RELAXED);
    return zip;
}

void i3d_zip_release(struct i3d_zip *zip)
{
    if (!zip || __atomic_sub_fetch(&zip->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (zip->archive)
        zip_discard(zip->archive);
    zip_error_fini(&zip->problem);
    pthread_mutex_destroy(&zip->lock);
    i3d_file_release(zip->file);
    free(zip->members);
    free(zip->by_name);
    free(zip);
}

size_t i3d_zip_count(const struct i3d_zip *zip)
{
    return zip->count;
}

const char *i3d_zip_name(const struct i3d_zip *zip, size_t member)
{
    return zip_get_name(zip->archive, member, ZIP_FL_ENC_RAW);
}

uint64_t i3d_zip_size(const struct i3d_zip *zip, size_t member)
{
    return zip->members[member].size;
}

int64_t i3d_zip_find(const struct i3d_zip *zip, const char *name)
{
    size_t low = 0, high = zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2, member = zip->by_name[middle];
        int order = strcmp(name, i3d_zip_name(zip, member));
        if (!order)
            return (int64_t)member;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* A part of a member, and how far an open stream of it has come. */
struct part {
    struct i3d_zip *zip;
    size_t member;
    uint64_t offset, at;
    zip_file_t *stream;
};

static void close_stream(struct part *part)
{
    if (part->stream)
        zip_fclose(part->stream);
    part->stream = NULL;
}

static enum i3d_status fail_stream(const struct part *part, struct i3d_error *error)
{
    zip_error_t *problem = part->stream ? zip_file_get_error(part->stream)
                                        : zip_get_error(part->zip->archive);
    fail_zip(problem, error);
    return i3d_error_where(error, "member %s", i3d_zip_name(part->zip, part->member));
}

static enum i3d_status read_stream(struct part *part, char *bytes, size_t length,
                                   struct i3d_error *error)
{
    while (length) {
        zip_int64_t got = zip_fread(part->stream, bytes, length);
        if (got < 0)
            return fail_stream(part, error);
        if (!got) {
            i3d_fail(error, I3D_MALFORMED, "it ends early");
            return i3d_error_where(error, "member %s", i3d_zip_name(part->zip, part->member));
        }
        bytes += got;
        length -= (size_t)got;
        part->at += (uint64_t)got;
    }
    return I3D_OK;
}

/* Compressed members can only be read forward, and a jump costs the checksum, so that no
 * short step is one. */
static enum i3d_status go_to(struct part *part, uint64_t position, struct i3d_error *error)
{
    char skipped[4096];
    if (part->stream && part->at == position)
        return I3D_OK;
    if (part->stream && part->at > position)
        close_stream(part);
    if (!part->stream) {
        part->stream = zip_fopen_index(part->zip->archive, part->member, 0);
        part->at = 0;
    }
    if (!part->stream)
        return fail_stream(part, error);
    enum i3d_status status = I3D_OK;
    if (position > part->at + sizeof skipped && part->zip->members[part->member].stored) {
        if (zip_fseek(part->stream, (zip_int64_t)position, SEEK_SET))
            status = fail_stream(part, error);
        part->at = position;
    }
    while (part->at < position && !status) {
        uint64_t left = position - part->at;
        status = read_stream(part, skipped, left < sizeof skipped ? left : sizeof skipped, error);
    }
    return status;
}

static enum i3d_status read_part(void *context, uint64_t offset, void *bytes, size_t length,
                                 struct i3d_error *error)
{
    struct part *part = context;
    pthread_mutex_lock(&part->zip->lock);
    enum i3d_status status = go_to(part, part->offset + offset, error);
    if (!status)
        status = read_stream(part, bytes, length, error);
    bool at_end = part->at == part->zip->members[part->member].size;
    char beyond;
    /* libzip compares checksums when it is asked for more than there is. */
    if (!status && at_end && zip_fread(part->stream, &beyond, 1) < 0)
        status = fail_stream(part, error);
    if (status || at_end)
        close_stream(part);
    pthread_mutex_unlock(&part->zip->lock);
    return status;
}

static void release_part(void *context)
{
    struct part *part = context;
    pthread_mutex_lock(&part->zip->lock);
    close_stream(part);
    pthread_mutex_unlock(&part->zip->lock);
    i3d_zip_release(part->zip);
    free(part);
}

struct i3d_source *i3d_zip_source(struct i3d_zip *zip, size_t member, uint64_t offset,
                                  uint64_t length)
{
    uint64_t size = zip->members[member].size;
    if (offset > size || length > size - offset)
        return NULL;
    struct part *part = malloc(sizeof *part);
    if (!part)
        return NULL;
    *part = (struct part){ .zip = i3d_zip_retain(zip), .member = member, .offset = offset };
    struct i3d_source *source = i3d_source_callback(read_part, release_part, part, length);
    if (!source)
        release_part(part);
    return source;
}

/* libzip does not tell places, but shows them in what it reads of the file. */
bool i3d_zip_place(struct i3d_zip *zip, size_t member, uint64_t *offset)
{
    unsigned char first[64], here[sizeof first];
    uint64_t size = zip->members[member].size, all = i3d_file_size(zip->file);
    size_t length = size < sizeof first ? (size_t)size : sizeof first;
    if (!zip->members[member].stored || !size)
        return false;
    pthread_mutex_lock(&zip->lock);
    zip_file_t *stream = zip_fopen_index(zip->archive, member, 0);
    bool known = stream && zip_fread(stream, first, length) == (zip_int64_t)length
        && zip->position >= length;
    *offset = known ? zip->position - length : 0;
    if (stream)
        zip_fclose(stream);
    pthread_mutex_unlock(&zip->lock);
    return known && *offset <= all && size <= all - *offset
        && !i3d_file_read(zip->file, *offset, here, length, NULL) && !memcmp(first, here, length);
}

enum i3d_status i3d_zip_load(struct i3d_zip *zip, size_t member, uint64_t most, char **loaded,
                             size_t *length, struct i3d_error *error)
{
    *loaded = NULL;
    uint64_t size = zip->members[member].size;
    if (size > most) {
        i3d_fail(error, I3D_MALFORMED, "%llu bytes are more than the %llu it may have",
                 (unsigned long long)size, (unsigned long long)most);
        return i3d_error_where(error, "member %s", i3d_zip_name(zip, member));
    }
    char *bytes = malloc((size_t)size + 1);
    struct i3d_source *source = bytes ? i3d_zip_source(zip, member, 0, size) : NULL;
    enum i3d_status status = source ? I3D_OK : i3d_fail_memory(error);
    if (!status && size)
        status = i3d_source_read(source, 0, bytes, (size_t)size, error);
    if (source)
        i3d_source_release(source);
    if (status) {
        free(bytes);
        return status;
    }
    bytes[size] = 0;
    *loaded = bytes;
    *length = (size_t)size;
    return I3D_OK;
}
