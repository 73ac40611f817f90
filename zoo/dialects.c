#include "zoo/dialects.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, MAX_IGNORED = 8, MAX_DIALECTS = 32 };

static enum i3d_status bad_line(const struct i3d_dialect_text *table, int line,
                                struct i3d_error *error, const char *what)
{
    i3d_fail(error, I3D_MALFORMED, "%s", what);
    return i3d_error_where(error, "dialect %s, line %d", table->name, line);
}

static bool set_directive(struct i3d_dialect *dialect, const char *key, const char *value)
{
    static const struct {
        const char *key;
        size_t offset;
    } strings[] = {
        { "architecture", offsetof(struct i3d_dialect, architecture) },
        { "layout", offsetof(struct i3d_dialect, layout) },
        { "prefix", offsetof(struct i3d_dialect, prefix) },
        { "flow-prefix", offsetof(struct i3d_dialect, flow_prefix) },
        { "counter", offsetof(struct i3d_dialect, counter) },
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (!strcmp(key, strings[i].key)) {
            *(const char **)((char *)dialect + strings[i].offset) = value;
            return true;
        }
    }
    if (!strcmp(key, "epsilon")) {
        char *end;
        dialect->epsilon = strtod(value, &end);
        return !*end && dialect->epsilon > 0;
    }
    if (!strcmp(key, "ignore") && dialect->ignored_count < MAX_IGNORED) {
        dialect->ignored[dialect->ignored_count++] = value;
        return true;
    }
    return false;
}

static bool parse_shape(const char *text, struct i3d_dialect_entry *entry)
{
    entry->rank = 0;
    for (;;) {
        char *end;
        errno = 0;
        long long size = strtoll(text, &end, 10);
        if (end == text || errno || size <= 0 || entry->rank == I3D_MAX_RANK)
            return false;
        entry->dims[entry->rank++] = size;
        if (!*end)
            return true;
        if (*end != 'x')
            return false;
        text = end + 1;
    }
}

/* Cuts a row in place. */
static bool parse_row(char *row, struct i3d_dialect_entry *entry)
{
    char *columns[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        columns[i] = row;
        size_t length = strcspn(row, "\t");
        bool last = !row[length];
        if (!length || last != (i == COLUMNS - 1))
            return false;
        row[length] = '\0';
        row += length + !last;
    }
    entry->unit = columns[0];
    entry->role = columns[1];
    entry->name = columns[2];
    return parse_shape(columns[3], entry);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

enum i3d_status i3d_dialect_parse(const struct i3d_dialect_text *table, struct i3d_arena *arena,
                                  struct i3d_dialect *dialect, struct i3d_error *error)
{
    char *next = i3d_arena_string(arena, table->text);
    *dialect = (struct i3d_dialect){ .name = table->name };
    dialect->ignored = i3d_arena_alloc(arena, MAX_IGNORED, sizeof *dialect->ignored);
    dialect->entries = i3d_arena_alloc(arena, count_lines(table->text) + 1,
                                       sizeof *dialect->entries);
    if (!next || !dialect->ignored || !dialect->entries)
        return i3d_fail_memory(error);
    bool in_rows = false;
    for (int line = 1; *next; line++) {
        char *text = next;
        next = strchrnul(text, '\n');
        if (*next)
            *next++ = '\0';
        if (!strncmp(text, "#: ", 3)) {
            char *key = text + 3, *value = strchr(key, ' ');
            if (!value)
                return bad_line(table, line, error, "a directive without a value");
            *value++ = '\0';
            if (!set_directive(dialect, key, value))
                return bad_line(table, line, error, "a directive that is not known");
        } else if (*text != '#' && !in_rows) {
            in_rows = true; /* the columns' names */
        } else if (*text != '#') {
            if (!parse_row(text, &dialect->entries[dialect->entry_count++]))
                return bad_line(table, line, error, "not unit, role, name and shape");
        }
    }
    if (!dialect->architecture || !dialect->layout || !dialect->entry_count)
        return bad_line(table, 1, error, "architecture, layout or rows are missing");
    dialect->spatial_axes = (int)strlen(dialect->layout) - 2;
    return I3D_OK;
}

static struct i3d_dialect all_dialects[MAX_DIALECTS + 1];
static bool all_parsed;

/* The arena lives as long as the process, as the table does. */
static void parse_all(void)
{
    static struct i3d_arena *arena;
    arena = i3d_arena_new();
    for (int i = 0; arena && i < MAX_DIALECTS && i3d_dialect_texts[i].name; i++)
        if (i3d_dialect_parse(&i3d_dialect_texts[i], arena, &all_dialects[i], NULL))
            return;
    all_parsed = arena != NULL;
}

const struct i3d_dialect *i3d_dialects(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, parse_all);
    return all_parsed ? all_dialects : NULL;
}

const struct i3d_dialect *i3d_dialect_by_name(const char *name)
{
    for (const struct i3d_dialect *dialect = i3d_dialects(); dialect && dialect->name; dialect++)
        if (!strcmp(dialect->name, name))
            return dialect;
    return NULL;
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

void i3d_dialect_axes(const struct i3d_dialect *dialect, int rank, char axes[I3D_MAX_RANK + 1])
{
    int count = 0;
    for (const char *axis = dialect->layout; *axis && count < I3D_MAX_RANK; axis++)
        if (rank > 2 || *axis == 'O' || *axis == 'I')
            axes[count++] = *axis;
    axes[count] = '\0';
}

bool i3d_dialect_describe(const struct i3d_dialect *dialect, int64_t channels,
                          const struct i3d_model *from, struct i3d_model *model)
{
    bool good = true;
    for (size_t i = 0; i < from->metadata_count; i++)
        if (!strncmp(from->metadata[i].key, "i3dconv.", strlen("i3dconv.")))
            good &= i3d_set_metadata(model, from->metadata[i].key, from->metadata[i].value);
    return good && i3d_set_metadata(model, "i3dconv.dialect", dialect->name)
        && i3d_set_metadata(model, "i3dconv.architecture", dialect->architecture)
        && i3d_set_metadata(model, "i3dconv.stream", channels == 2 ? "flow" : "rgb");
}
