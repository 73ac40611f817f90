#include "formats/write_behind.h"
#include "formats/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum {
    LOCAL_HEADER = 30, /* bytes ahead of a member's name */
    EXTRA_HEADER = 4,  /* an extra field's identifier and length */
    /* The field that PyTorch pads with ("FB", little-endian). */
    PADDING_FIELD = 0x4246,
    /* libzip asks and gives in pieces of some kilobytes. */
    PIECE = I3D_WRITE_BEHIND_PIECE,
    /* 1 January 1980, the zero of the format's dates. */
    FIRST_DATE = 0x21,
};

struct member {
    struct i3d_zip_writer *writer;
    struct i3d_source *source;
    char *name;
    uint64_t at;
    zip_error_t problem;
};

struct i3d_zip_writer {
    struct i3d_write_behind *behind;
    struct i3d_error *error;    /* what failed inside libzip's calls */
    zip_uint64_t position, end; /* of what is written, while it is written */
    size_t pending;             /* the last bytes ahead of position, not given on yet */
    unsigned char *ahead;       /* of PIECE bytes of the member that is read */
    uint64_t ahead_at;
    size_t ahead_length;
    zip_error_t problem;
    struct member **members;
    size_t count, room;
};

static zip_int64_t read_member(struct member *member, void *bytes, zip_uint64_t length)
{
    struct i3d_zip_writer *writer = member->writer;
    uint64_t size = i3d_source_length(member->source), skip = member->at - writer->ahead_at;
    if (member->at == size)
        return 0;
    if (skip >= writer->ahead_length) {
        uint64_t left = size - member->at;
        writer->ahead_length = left < PIECE ? (size_t)left : PIECE;
        writer->ahead_at = member->at;
        skip = 0;
        if (i3d_source_read(member->source, member->at, writer->ahead, writer->ahead_length,
                            writer->error)) {
            zip_error_set(&member->problem, ZIP_ER_READ, 0);
            return -1;
        }
    }
    uint64_t here = writer->ahead_length - skip;
    length = length < here ? length : here;
    memcpy(bytes, writer->ahead + skip, length);
    member->at += length;
    return (zip_int64_t)length;
}

static zip_int64_t open_member(struct member *member)
{
    member->at = 0;
    member->writer->ahead_length = 0;
    return 0;
}

/* What libzip asks of a member's bytes. */
static zip_int64_t answer_member(void *context, void *data, zip_uint64_t length,
                                 zip_source_cmd_t command)
{
    struct member *member = context;
    switch (command) {
    case ZIP_SOURCE_OPEN: return open_member(member);
    case ZIP_SOURCE_READ: return read_member(member, data, length);
    case ZIP_SOURCE_STAT: {
        zip_stat_t *about = data;
        zip_stat_init(about);
        about->valid = ZIP_STAT_SIZE;
        about->size = i3d_source_length(member->source);
        return sizeof *about;
    }
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&member->problem, data, length);
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE,
                                              ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
                                              -1);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    default: zip_error_set(&member->problem, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

static zip_int64_t flush(struct i3d_zip_writer *writer)
{
    size_t length = writer->pending;
    writer->pending = 0;
    if (i3d_write_behind_put(writer->behind, writer->position - length, length, writer->error)) {
        zip_error_set(&writer->problem, ZIP_ER_WRITE, 0);
        return -1;
    }
    return 0;
}

static zip_int64_t commit(struct i3d_zip_writer *writer)
{
    if (flush(writer))
        return -1;
    if (!i3d_write_behind_wait(writer->behind, writer->error))
        return 0;
    zip_error_set(&writer->problem, ZIP_ER_WRITE, 0);
    return -1;
}

static zip_int64_t write_file(struct i3d_zip_writer *writer, const unsigned char *bytes,
                              zip_uint64_t length)
{
    for (zip_uint64_t left = length; left;) {
        size_t room = PIECE - writer->pending, piece = left < room ? (size_t)left : room;
        memcpy(i3d_write_behind_piece(writer->behind) + writer->pending, bytes, piece);
        writer->pending += piece;
        writer->position += piece;
        bytes += piece;
        left -= piece;
        if (writer->pending == PIECE && flush(writer))
            return -1;
    }
    writer->end = writer->position > writer->end ? writer->position : writer->end;
    return (zip_int64_t)length;
}

static zip_int64_t seek_file(struct i3d_zip_writer *writer, void *arguments, zip_uint64_t length)
{
    zip_int64_t position = zip_source_seek_compute_offset(writer->position, writer->end,
                                                          arguments, length, &writer->problem);
    if (position < 0 || flush(writer))
        return -1;
    writer->position = (zip_uint64_t)position;
    return 0;
}

/* What libzip asks of the file that the archive becomes; there is none before. */
static zip_int64_t answer_file(void *context, void *data, zip_uint64_t length,
                               zip_source_cmd_t command)
{
    struct i3d_zip_writer *writer = context;
    switch (command) {
    case ZIP_SOURCE_BEGIN_WRITE: writer->position = writer->end = 0; return 0;
    case ZIP_SOURCE_WRITE: return write_file(writer, data, length);
    case ZIP_SOURCE_SEEK_WRITE: return seek_file(writer, data, length);
    case ZIP_SOURCE_TELL_WRITE: return (zip_int64_t)writer->position;
    case ZIP_SOURCE_STAT: {
        zip_stat_t *about = data;
        zip_stat_init(about);
        return sizeof *about;
    }
    case ZIP_SOURCE_OPEN: return 0;
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&writer->problem, data, length);
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_STAT,
            ZIP_SOURCE_CLOSE, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_BEGIN_WRITE,
            ZIP_SOURCE_COMMIT_WRITE, ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE,
            ZIP_SOURCE_SEEK_WRITE, ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
    case ZIP_SOURCE_COMMIT_WRITE: return commit(writer);
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_REMOVE:
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    default: zip_error_set(&writer->problem, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

enum i3d_status i3d_zip_writer_new(struct i3d_output *output, struct i3d_zip_writer **made,
                                   struct i3d_error *error)
{
    struct i3d_zip_writer *writer = *made = calloc(1, sizeof *writer);
    if (!writer)
        return i3d_fail_memory(error);
    zip_error_init(&writer->problem);
    writer->ahead = malloc(PIECE);
    return writer->ahead ? i3d_write_behind_new(output, &writer->behind, error)
                         : i3d_fail_memory(error);
}

static void free_member(struct member *member)
{
    if (!member)
        return;
    i3d_source_release(member->source);
    zip_error_fini(&member->problem);
    free(member->name);
    free(member);
}

enum i3d_status i3d_zip_put(struct i3d_zip_writer *writer, const char *name,
                            struct i3d_source *source, struct i3d_error *error)
{
    if (writer->count == writer->room) {
        size_t room = writer->room ? 2 * writer->room : 64;
        struct member **members = realloc(writer->members, room * sizeof *members);
        if (members) {
            writer->members = members;
            writer->room = room;
        }
    }
    struct member *member = calloc(1, sizeof *member);
    char *copy = strdup(name);
    if (!source || !member || !copy || writer->count == writer->room) {
        if (source)
            i3d_source_release(source);
        free(member);
        free(copy);
        return i3d_fail_memory(error);
    }
    *member = (struct member){ .writer = writer, .source = source, .name = copy };
    zip_error_init(&member->problem);
    writer->members[writer->count++] = member;
    return I3D_OK;
}

/* Names the member and pads its local header; the end of its bytes in the file. */
static bool place(zip_t *archive, const struct member *member, uint64_t *end)
{
    static const zip_uint8_t zeros[2 * I3D_ZIP_ALIGNMENT];
    zip_error_t problem;
    zip_error_init(&problem);
    zip_source_t *source = zip_source_function_create(answer_member, (void *)member, &problem);
    zip_error_fini(&problem);
    zip_int64_t index = source ? zip_file_add(archive, member->name, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        if (source)
            zip_source_free(source);
        return false;
    }
    uint64_t data = *end + LOCAL_HEADER + strlen(member->name) + EXTRA_HEADER;
    zip_uint16_t padding = -data % I3D_ZIP_ALIGNMENT;
    *end = data + padding + i3d_source_length(member->source);
    return !zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0)
        && !zip_file_set_dostime(archive, (zip_uint64_t)index, 0, FIRST_DATE, 0)
        && !zip_file_extra_field_set(archive, (zip_uint64_t)index, PADDING_FIELD, 0, zeros,
                                     padding, ZIP_FL_LOCAL);
}

/* unplaced: the member that libzip would not take, if any. */
static enum i3d_status fail_writing(zip_t *archive, const struct member *unplaced,
                                    struct i3d_error *error)
{
    if (error->status) /* it was one of ours that failed */
        return error->status;
    zip_error_t *problem = zip_get_error(archive);
    if (zip_error_code_zip(problem) == ZIP_ER_MEMORY)
        return i3d_fail_memory(error);
    if (unplaced && zip_error_code_zip(problem) == ZIP_ER_INVAL) {
        i3d_fail(error, I3D_UNSUPPORTED, "a ZIP archive's names are UTF-8 without control "
                                         "characters, this one is not");
        return i3d_error_where(error, "member %s", unplaced->name);
    }
    return i3d_fail(error, I3D_UNSUPPORTED, "no ZIP archive can be made of it: %s",
                    zip_error_strerror(problem));
}

enum i3d_status i3d_zip_finish(struct i3d_zip_writer *writer, struct i3d_error *error)
{
    struct i3d_error unwanted, *told = error ? error : &unwanted;
    told->status = I3D_OK;
    writer->error = told;
    zip_error_t problem;
    zip_error_init(&problem);
    zip_source_t *source = zip_source_function_create(answer_file, writer, &problem);
    zip_t *archive =
        source ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &problem) : NULL;
    zip_error_fini(&problem);
    if (!archive) {
        if (source)
            zip_source_free(source);
        return i3d_fail_memory(error);
    }
    uint64_t end = 0;
    size_t placed = 0;
    while (placed < writer->count && place(archive, writer->members[placed], &end))
        placed++;
    const struct member *unplaced = placed < writer->count ? writer->members[placed] : NULL;
    if (!unplaced && !zip_close(archive))
        return I3D_OK;
    enum i3d_status status = fail_writing(archive, unplaced, told);
    zip_discard(archive);
    return status;
}

void i3d_zip_writer_free(struct i3d_zip_writer *writer)
{
    if (!writer)
        return;
    for (size_t i = 0; i < writer->count; i++)
        free_member(writer->members[i]);
    zip_error_fini(&writer->problem);
    free(writer->members);
    i3d_write_behind_free(writer->behind);
    free(writer->ahead);
    free(writer);
}
