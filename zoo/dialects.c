#include "zoo/dialects.h"

#include "formats/pytorch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TABLE_SIZE = 4 << 20 };

/* All dialects, the user's first. It lives as long as the process, as its tables
 * do. */
static struct {
    struct i3d_arena *arena;
    const struct i3d_dialect **all; /* ended by a null */
    size_t count;
    const char **folders; /* the user's, ended by a null; or null */
    size_t folder_count;
    bool ready;
} known;

/* Puts dialects ahead of the others, or behind them. */
static bool put_dialects(const struct i3d_dialect *dialects, size_t count, bool ahead)
{
    const struct i3d_dialect **all = realloc(known.all, (known.count + count + 1) * sizeof *all);
    if (!all)
        return false;
    size_t at = ahead ? 0 : known.count;
    memmove(all + at + count, all + at, (known.count - at) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[at + i] = &dialects[i];
    known.all = all;
    known.count += count;
    all[known.count] = NULL;
    return true;
}

static void parse_built_in(void)
{
    known.arena = i3d_arena_new();
    bool good = known.arena;
    for (const struct i3d_dialect_text *text = i3d_dialect_texts; good && text->name; text++) {
        struct i3d_dialect *dialects;
        size_t count;
        good = !i3d_dialect_parse(text, known.arena, &dialects, &count, NULL)
            && put_dialects(dialects, count, false);
    }
    known.ready = good;
}

const struct i3d_dialect *const *i3d_dialects(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, parse_built_in);
    return known.ready ? known.all : NULL;
}

/* A whole text file, with a NUL behind it; malloc'ed. */
static enum i3d_status read_text(const char *path, char **text, struct i3d_error *error)
{
    *text = NULL;
    /* A FIFO in the way should not hang the program. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    enum i3d_status status = I3D_OK;
    if (fd < 0 || fstat(fd, &about))
        status = i3d_fail_errno(error, "cannot read it");
    else if (!S_ISREG(about.st_mode) || about.st_size > MAX_TABLE_SIZE)
        status = i3d_fail(error, I3D_MALFORMED, "a table is a file of at most 4 MiB");
    size_t size = status ? 0 : (size_t)about.st_size, length = 0;
    char *bytes = status ? NULL : malloc(size + 1);
    if (!status && !bytes)
        status = i3d_fail_memory(error);
    while (!status && length < size) {
        ssize_t got = read(fd, bytes + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = i3d_fail_errno(error, "cannot read it");
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    if (!status && memchr(bytes, 0, length))
        status = i3d_fail(error, I3D_MALFORMED, "there is a NUL in it");
    if (status) {
        free(bytes);
        return i3d_error_file(error, path);
    }
    bytes[length] = '\0';
    *text = bytes;
    return I3D_OK;
}

static enum i3d_status add_file(const char *path, const struct i3d_dialect **added,
                                struct i3d_error *error)
{
    char *text, name[256];
    enum i3d_status status = read_text(path, &text, error);
    if (status)
        return status;
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    snprintf(name, sizeof name, "%.*s", dot && dot > base ? (int)(dot - base) : 255, base);
    struct i3d_dialect *dialects;
    size_t count;
    status = i3d_dialect_parse(&(struct i3d_dialect_text){ name, text }, known.arena, &dialects,
                               &count, error);
    free(text);
    if (!status && !put_dialects(dialects, count, true))
        status = i3d_fail_memory(error);
    if (status)
        return i3d_error_file(error, path);
    *added = dialects;
    return I3D_OK;
}

static int is_table(const struct dirent *entry)
{
    return *entry->d_name != '.' && !fnmatch("*.tsv", entry->d_name, 0);
}

const char *const *i3d_dialect_folders(void)
{
    return known.folders;
}

/* Notes it, ahead of those before: what is added later comes first. */
static bool note_folder(const char *path)
{
    const char *copy = i3d_arena_string(known.arena, path);
    const char **folders =
        copy ? realloc(known.folders, (known.folder_count + 2) * sizeof *folders) : NULL;
    if (!folders)
        return false;
    known.folders = folders;
    memmove(folders + 1, folders, known.folder_count * sizeof *folders);
    folders[0] = copy;
    folders[++known.folder_count] = NULL;
    return true;
}

static enum i3d_status add_folder(const char *path, const struct i3d_dialect **added,
                                  struct i3d_error *error)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_table, alphasort);
    if (count < 0) {
        i3d_fail_errno(error, "cannot list it");
        return i3d_error_file(error, path);
    }
    enum i3d_status status = note_folder(path) ? I3D_OK : i3d_fail_memory(error);
    for (int i = 0; i < count; i++) {
        char *file = NULL;
        if (!status && asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0) {
            file = NULL;
            status = i3d_fail_memory(error);
        }
        if (!status)
            status = add_file(file, added, error);
        free(file);
        free(entries[i]);
    }
    free(entries);
    return status;
}

enum i3d_status i3d_dialects_add(const char *path, const struct i3d_dialect **added,
                                 struct i3d_error *error)
{
    const struct i3d_dialect *last = NULL;
    struct i3d_error unwanted;
    error = error ? error : &unwanted;
    if (!i3d_dialects())
        return i3d_fail_memory(error);
    struct stat about;
    bool is_folder = !stat(path, &about) && S_ISDIR(about.st_mode);
    enum i3d_status status = is_folder ? add_folder(path, &last, error)
                                       : add_file(path, &last, error);
    if (added)
        *added = last;
    return status;
}

const struct i3d_dialect *i3d_dialect_by_name(const char *name)
{
    const struct i3d_dialect *const *all = i3d_dialects();
    for (; all && *all; all++)
        if (!strcmp((*all)->name, name))
            return *all;
    return NULL;
}

const struct i3d_dialect *i3d_dialect_for(const struct i3d_dialect *dialect,
                                          const char *architecture)
{
    while (dialect && strcmp(dialect->architecture, architecture))
        dialect = dialect->sibling;
    return dialect;
}

bool i3d_dialect_ignores(const struct i3d_dialect *dialect, const char *name)
{
    for (size_t i = 0; i < dialect->ignored_count; i++)
        if (!fnmatch(dialect->ignored[i], name, 0))
            return true;
    return false;
}

const struct i3d_dialect_entry *i3d_dialect_find(const struct i3d_dialect *dialect,
                                                 const char *unit, const char *role)
{
    for (size_t i = 0; i < dialect->entry_count; i++)
        if (!strcmp(dialect->entries[i].unit, unit) && !strcmp(dialect->entries[i].role, role))
            return &dialect->entries[i];
    return NULL;
}

bool i3d_dialect_has_gamma(const struct i3d_dialect *dialect)
{
    return i3d_dialect_find(dialect, dialect->first, "gamma");
}

int i3d_dialect_rank(const struct i3d_dialect *dialect, const struct i3d_dialect_entry *entry)
{
    return entry->rank ? entry->rank : entry->is_matrix ? 2 : dialect->spatial_axes + 2;
}

void i3d_dialect_axes(const struct i3d_dialect *dialect, const struct i3d_dialect_entry *entry,
                      int rank, char axes[I3D_MAX_RANK + 1])
{
    int count = 0;
    bool other = entry->is_depthwise && dialect->depthwise;
    for (const char *axis = other ? dialect->depthwise : dialect->layout; *axis && count < I3D_MAX_RANK; axis++)
        if (rank > 2 || *axis == 'O' || *axis == 'I')
            axes[count++] = *axis;
    axes[count] = '\0';
}

bool i3d_dialect_reorder(const struct i3d_dialect_entry *entry, enum i3d_dtype dtype,
                         int64_t outputs, int64_t features, const char *from, const char *to,
                         struct i3d_view *view)
{
    int64_t area = entry->map * entry->map, step = 1;
    if (entry->map < 2 || features % area || strlen(from) != 4 || strlen(to) != 4
        || !strcmp(from, to))
        return false;
    *view = (struct i3d_view){ .dtype = dtype, .rank = 4, .tap_axis = -1 };
    for (int k = 3; k >= 0; k--) {
        int64_t size = from[k] == 'O' ? outputs : from[k] == 'I' ? features / area : entry->map;
        long place = strchr(to, from[k]) - to;
        view->dims[place] = size;
        view->strides[place] = step;
        step *= size;
    }
    return true;
}

static const char *stream_name(int64_t channels)
{
    return channels == 2 ? "flow" : "rgb";
}

bool i3d_dialect_describe(const struct i3d_dialect *dialect, int64_t channels,
                          const struct i3d_model *from, struct i3d_model *model)
{
    bool good = true;
    for (size_t i = 0; i < from->metadata_count; i++)
        if (!strncmp(from->metadata[i].key, "i3dconv.", strlen("i3dconv."))
            && strcmp(from->metadata[i].key, I3D_PYTORCH_KEY))
            good &= i3d_set_metadata(model, from->metadata[i].key, from->metadata[i].value);
    if (dialect->key)
        good &= i3d_set_metadata(model, I3D_PYTORCH_KEY, dialect->key);
    return good && i3d_set_metadata(model, "i3dconv.dialect", dialect->name)
        && i3d_set_metadata(model, "i3dconv.architecture", dialect->architecture)
        && i3d_set_metadata(model, "i3dconv.stream", stream_name(channels));
}

/* What fills the placeholders of a table's texts. */
struct filling {
    const char *file, *architecture;
    int64_t classes, channels;
};

static bool is_key(const char *text, size_t length, const char *key)
{
    return length == strlen(key) && !memcmp(text, key, length);
}

static void put_part(FILE *out, const char *text, size_t length, const struct filling *filling)
{
    const char *architecture = filling->architecture;
    if (is_key(text, length, "{classes}")) {
        fprintf(out, "%lld", (long long)filling->classes);
    } else if (is_key(text, length, "{channels}")) {
        fprintf(out, "%lld", (long long)filling->channels);
    } else if (is_key(text, length, "{stream}")) {
        fputs(stream_name(filling->channels), out);
    } else if (is_key(text, length, "{scope}")) { /* as Sonnet's streams are called */
        fputs(filling->channels == 2 ? "Flow" : "RGB", out);
    } else if (is_key(text, length, "{depth}")) {
        fputs(architecture + strcspn(architecture, "0123456789"), out);
    } else if (is_key(text, length, "{architecture}")) {
        fputs(architecture, out);
    } else if (is_key(text, length, "{file}")) {
        fputc('"', out);
        for (const char *at = filling->file; *at; at++)
            fprintf(out, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
        fputc('"', out);
    } else {
        fwrite(text, 1, length, out);
    }
}

static void put_filled(FILE *out, const char *text, const struct filling *filling)
{
    while (*text) {
        size_t length = strcspn(text + 1, "{}") + 1;
        length += *text == '{' && text[length] == '}';
        put_part(out, text, length, filling);
        text += length;
    }
}

char *i3d_dialect_load_text(const struct i3d_dialect *dialect, const char *container,
                            const char *file, int64_t classes, int64_t channels)
{
    const struct i3d_dialect_loader *loader = NULL;
    for (size_t i = 0; i < dialect->loader_count && !loader; i++)
        if (!strcmp(dialect->loaders[i].container, container))
            loader = &dialect->loaders[i];
    char *text = NULL;
    size_t size;
    FILE *out = loader && dialect->model ? open_memstream(&text, &size) : NULL;
    if (!out)
        return NULL;
    const struct filling filling = { file, dialect->architecture, classes, channels };
    put_filled(out, dialect->model, &filling);
    fputs("; ", out);
    put_filled(out, loader->statement, &filling);
    bool good = !ferror(out);
    if (fclose(out) || !good) {
        free(text);
        return NULL;
    }
    return text;
}
