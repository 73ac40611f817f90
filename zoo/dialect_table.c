#include "zoo/dialects.h"
#include "zoo/fold.h"
#include "zoo/structure.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, MAX_REPEATED = 16, MAX_ROWS = 1 << 16, MAX_NUMBERS = 4 };

/* A table as it stands, before its rows are laid out over an architecture. */
struct table {
    const struct i3d_dialect_text *from;
    struct i3d_arena *arena;
    struct i3d_dialect common; /* what all its dialects have */
    char *architectures;
    struct i3d_dialect_entry *rows;
    int *lines; /* of the rows */
    size_t row_count;
    size_t capacity; /* rows that an architecture can take */
    bool has_patterns;
};

__attribute__((format(printf, 4, 5)))
static enum i3d_status bad_line(const struct table *table, int line, struct i3d_error *error,
                                const char *format, ...)
{
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    i3d_fail(error, I3D_MALFORMED, "%s", message);
    return i3d_error_where(error, "dialect %.100s, line %d", table->from->name, line);
}

static bool set_loader(struct i3d_dialect *dialect, char *value)
{
    char *statement = strchr(value, ' ');
    if (!statement || dialect->loader_count == MAX_REPEATED)
        return false;
    *statement++ = '\0';
    dialect->loaders[dialect->loader_count++] = (struct i3d_dialect_loader){ value, statement };
    return true;
}

static bool set_directive(struct table *table, const char *key, char *value)
{
    struct i3d_dialect *dialect = &table->common;
    const struct {
        const char *key, **value;
    } strings[] = {
        { "recipe", &dialect->recipe },           { "layout", &dialect->layout },
        { "prefix", &dialect->prefix },           { "counter", &dialect->counter },
        { "flow-prefix", &dialect->flow_prefix }, { "model", &dialect->model },
        { "key", &dialect->key },                 { "depthwise", &dialect->depthwise },
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (!strcmp(key, strings[i].key)) {
            *strings[i].value = value;
            return true;
        }
    }
    if (!strcmp(key, "architecture")) {
        table->architectures = value;
        return true;
    }
    if (!strcmp(key, "epsilon")) {
        char *end;
        dialect->epsilon = strtod(value, &end);
        return !*end && dialect->epsilon > 0 && isfinite(dialect->epsilon);
    }
    if (!strcmp(key, "ignore") && dialect->ignored_count < MAX_REPEATED) {
        dialect->ignored[dialect->ignored_count++] = value;
        return true;
    }
    return !strcmp(key, "load") && set_loader(dialect, value);
}

static bool parse_shape(const char *text, struct i3d_dialect_entry *entry)
{
    entry->rank = 0;
    if (!strcmp(text, "*"))
        return true;
    for (;;) {
        char *end;
        errno = 0;
        long long size = strtoll(text, &end, 10);
        if (end == text || errno || size <= 0 || entry->rank == I3D_MAX_RANK)
            return false;
        entry->dims[entry->rank++] = size;
        if (!*end)
            return i3d_element_count(entry->rank, entry->dims) > 0;
        if (*end != 'x')
            return false;
        text = end + 1;
    }
}

static bool is_role(const char *text)
{
    bool known = !strcmp(text, "weight");
    for (int role = 0; role < I3D_VECTORS; role++)
        known |= !strcmp(text, i3d_role_names[role]);
    return known;
}

static int count_stars(const char *text)
{
    int stars = 0;
    for (; *text; text++)
        stars += *text == '*';
    return stars;
}

/* Cuts a row in place; null, or what is wrong with it. */
static const char *parse_row(char *row, struct i3d_dialect_entry *entry)
{
    char *columns[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        columns[i] = row;
        size_t length = strcspn(row, "\t");
        bool last = !row[length];
        if (!length || last != (i == COLUMNS - 1))
            return "not unit, role, name and shape";
        row[length] = '\0';
        row += length + !last;
    }
    entry->unit = columns[0];
    entry->role = columns[1];
    entry->name = columns[2];
    if (!is_role(entry->role))
        return "the role is none of weight, bias, gamma, beta, mean, variance";
    int stars = count_stars(entry->unit);
    if (stars > MAX_NUMBERS || count_stars(entry->name) != stars)
        return "the name does not have as many * as the unit, or there are too many";
    return parse_shape(columns[3], entry) ? NULL : "the shape is none";
}

static enum i3d_status parse_line(struct table *table, char *text, int line, bool *in_rows,
                                  struct i3d_error *error)
{
    if (!strncmp(text, "#: ", 3)) {
        char *key = text + 3, *value = strchr(key, ' ');
        if (!value || !value[1])
            return bad_line(table, line, error, "a directive without a value");
        *value++ = '\0';
        return set_directive(table, key, value)
            ? I3D_OK
            : bad_line(table, line, error, "the directive %.40s is not known, or its value is "
                       "none", key);
    }
    if (*text == '#' || (*in_rows && !*text))
        return I3D_OK;
    if (!*in_rows) { /* the columns' names */
        *in_rows = true;
        return I3D_OK;
    }
    struct i3d_dialect_entry *row = &table->rows[table->row_count];
    const char *fault = parse_row(text, row);
    if (fault)
        return bad_line(table, line, error, "%s", fault);
    table->has_patterns |= count_stars(row->unit) > 0;
    table->lines[table->row_count++] = line;
    return I3D_OK;
}

static enum i3d_status parse_lines(struct table *table, struct i3d_error *error)
{
    size_t lines = 1;
    for (const char *at = table->from->text; *at; at++)
        lines += *at == '\n';
    if (lines > MAX_ROWS)
        return bad_line(table, MAX_ROWS, error, "the table goes on");
    char *next = i3d_arena_string(table->arena, table->from->text);
    table->rows = i3d_arena_alloc(table->arena, lines, sizeof *table->rows);
    table->lines = i3d_arena_alloc(table->arena, lines, sizeof *table->lines);
    if (!next || !table->rows || !table->lines)
        return i3d_fail_memory(error);
    bool in_rows = false;
    enum i3d_status status = I3D_OK;
    for (int line = 1; *next && !status; line++) {
        char *text = next;
        next = strchrnul(text, '\n');
        if (*next)
            *next++ = '\0';
        status = parse_line(table, text, line, &in_rows, error);
    }
    return status;
}

/* O, I, H and W once each, D at most once. */
static bool is_layout(const char *text)
{
    static const char letters[] = "OIHWD";
    size_t length = strlen(text);
    for (int i = 0; i < 4; i++)
        if (!strchr(text, letters[i]))
            return false;
    return length == 4 || (length == 5 && strchr(text, 'D'));
}

/* Whether unit is pattern with numbers in the place of its stars: where each of
 * them starts in unit. */
static bool match_unit(const char *pattern, const char *unit, const char *numbers[MAX_NUMBERS])
{
    for (int count = 0; *pattern; pattern++) {
        if (*pattern != '*') {
            if (*pattern != *unit++)
                return false;
            continue;
        }
        numbers[count++] = unit;
        if (!isdigit((unsigned char)*unit))
            return false;
        unit += strspn(unit, "0123456789");
    }
    return !*unit;
}

/* The row's name with the numbers in place of its stars; "*+1" is the number behind. */
static const char *fill_name(const char *name, const char *const numbers[MAX_NUMBERS],
                             struct i3d_arena *arena)
{
    const char *filled = "";
    for (int count = 0; filled && *name; count++) {
        int plain = (int)strcspn(name, "*");
        bool star = name[plain];
        bool more = star && name[plain + 1] == '+' && isdigit((unsigned char)name[plain + 2]);
        int number = star ? atoi(numbers[count]) + (more ? name[plain + 2] - '0' : 0) : 0;
        filled = star ? i3d_arena_printf(arena, "%s%.*s%d", filled, plain, name, number)
                      : i3d_arena_printf(arena, "%s%.*s", filled, plain, name);
        name += plain + star + (more ? 2 : 0);
    }
    return filled;
}

static int compare_names(const void *a, const void *b)
{
    const struct i3d_dialect_entry *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int compare_places(const void *a, const void *b)
{
    const struct i3d_dialect_entry *const *left = a, *const *right = b;
    int order = strcmp((*left)->unit, (*right)->unit);
    return order ? order : strcmp((*left)->role, (*right)->role);
}

/* No name and no parameter twice. */
static enum i3d_status check_unique(const struct table *table, const struct i3d_dialect *dialect,
                                    struct i3d_error *error)
{
    static int (*const orders[])(const void *, const void *) = { compare_names, compare_places };
    const struct i3d_dialect_entry **sorted = calloc(dialect->entry_count, sizeof *sorted);
    const struct i3d_dialect_entry *twice = NULL;
    if (!sorted)
        return i3d_fail_memory(error);
    for (int k = 0; k < 2 && !twice; k++) {
        for (size_t i = 0; i < dialect->entry_count; i++)
            sorted[i] = &dialect->entries[i];
        qsort(sorted, dialect->entry_count, sizeof *sorted, orders[k]);
        for (size_t i = 1; i < dialect->entry_count && !twice; i++)
            if (!orders[k](&sorted[i - 1], &sorted[i]))
                twice = sorted[i];
    }
    free(sorted);
    return twice ? bad_line(table, 1, error, "%.60s, the %s of %.60s, stands there twice",
                            twice->name, twice->role, twice->unit)
                 : I3D_OK;
}

/* What a shape has to be for the functions that lay kernels out anew. */
static const char *shape_fault(const struct i3d_dialect *dialect,
                               const struct i3d_dialect_entry *row)
{
    bool is_kernel = !strcmp(row->role, "weight");
    bool is_classifier = !strcmp(row->unit, dialect->classifier);
    int kernel_rank = (int)strlen(dialect->layout);
    if (!row->rank)
        return NULL;
    if (is_kernel)
        return row->rank == kernel_rank || ((is_classifier || row->is_matrix) && row->rank == 2)
            ? NULL : "the kernel does not have the layout's axes";
    int wide = 0;
    for (int k = 0; k < row->rank; k++)
        wide += row->dims[k] > 1;
    return wide > 1 ? "a vector has more than one axis" : NULL;
}

/* What the architecture makes of a kernel; without a template, the classifier alone is a
 * matrix where a table leaves its shape open. */
static void set_kind(const struct i3d_dialect *dialect, struct i3d_dialect_entry *entry)
{
    const struct i3d_structure *template =
        i3d_architecture_template(i3d_architecture_by_name(dialect->architecture));
    entry->is_matrix = !strcmp(entry->unit, dialect->classifier);
    int unit = template ? i3d_structure_unit(template, entry->unit) : -1;
    if (unit < 0)
        return;
    entry->map = i3d_structure_map(template, (size_t)unit);
    entry->is_matrix = entry->map > 0;
    int64_t layer = template->layers[unit];
    entry->is_depthwise = layer != I3D_NOWHERE
        && i3d_int(&template->model->nodes[layer], "group", 1) > 1;
}

/* Puts the rows that are of a unit, or are that one unit's. */
static enum i3d_status put_row(const struct table *table, size_t row, const char *unit,
                               struct i3d_dialect *dialect, struct i3d_error *error)
{
    const char *numbers[MAX_NUMBERS];
    struct i3d_dialect_entry entry = table->rows[row];
    if (!match_unit(entry.unit, unit, numbers))
        return I3D_OK;
    entry.unit = unit;
    set_kind(dialect, &entry);
    if (count_stars(entry.name) && !(entry.name = fill_name(entry.name, numbers, table->arena)))
        return i3d_fail_memory(error);
    const char *fault = shape_fault(dialect, &entry);
    if (fault)
        return bad_line(table, table->lines[row], error, "%s", fault);
    if (dialect->entry_count == table->capacity)
        return bad_line(table, table->lines[row], error, "the rows are more than there are "
                        "parameters");
    dialect->entries[dialect->entry_count++] = entry;
    return I3D_OK;
}

/* Rows of a table without patterns keep their order: Keras pairs by it. */
static enum i3d_status lay_out(struct table *table, struct i3d_dialect *dialect,
                               struct i3d_error *error)
{
    const char *units[I3D_MAX_UNITS];
    const struct i3d_architecture *architecture = i3d_architecture_by_name(dialect->architecture);
    if (!architecture)
        return bad_line(table, 1, error, "there is no architecture %.80s", dialect->architecture);
    size_t count = i3d_architecture_units(architecture, units);
    if (!count)
        return i3d_fail_memory(error);
    dialect->first = units[0];
    dialect->classifier = units[count - 1];
    table->capacity = count * (I3D_VECTORS + 1);
    dialect->entries = i3d_arena_alloc(table->arena, table->capacity, sizeof *dialect->entries);
    if (!dialect->entries)
        return i3d_fail_memory(error);
    enum i3d_status status = I3D_OK;
    if (table->has_patterns) {
        for (size_t i = 0; i < count * table->row_count && !status; i++)
            status = put_row(table, i % table->row_count, units[i / table->row_count], dialect,
                             error);
    } else {
        for (size_t row = 0; row < table->row_count && !status; row++) {
            size_t before = dialect->entry_count;
            for (size_t i = 0; i < count && !status && dialect->entry_count == before; i++)
                status = put_row(table, row, units[i], dialect, error);
            if (!status && dialect->entry_count == before)
                status = bad_line(table, table->lines[row], error, "%.80s has no unit %.80s",
                                  dialect->architecture, table->rows[row].unit);
        }
    }
    if (!status && !dialect->entry_count)
        status = bad_line(table, 1, error, "no row is of a unit of %.80s", dialect->architecture);
    return status ? status : check_unique(table, dialect, error);
}

static enum i3d_status split(struct table *table, struct i3d_dialect **dialects, size_t *count,
                             struct i3d_error *error)
{
    size_t words = 1;
    for (const char *at = table->architectures; *at; at++)
        words += *at == ' ';
    if (words > MAX_REPEATED)
        return bad_line(table, 1, error, "more than %d architectures", MAX_REPEATED);
    *dialects = i3d_arena_alloc(table->arena, words, sizeof **dialects);
    if (!*dialects)
        return i3d_fail_memory(error);
    *count = 0;
    char *rest = NULL;
    enum i3d_status status = I3D_OK;
    for (char *word = strtok_r(table->architectures, " ", &rest); word && !status;
         word = strtok_r(NULL, " ", &rest)) {
        struct i3d_dialect *dialect = &(*dialects)[*count];
        *dialect = table->common;
        dialect->architecture = word;
        if (*count)
            dialect[-1].sibling = dialect;
        ++*count;
        status = lay_out(table, dialect, error);
    }
    return status || *count ? status : bad_line(table, 1, error, "it names no architecture");
}

enum i3d_status i3d_dialect_parse(const struct i3d_dialect_text *text, struct i3d_arena *arena,
                                  struct i3d_dialect **dialects, size_t *count,
                                  struct i3d_error *error)
{
    struct table table = { .from = text, .arena = arena };
    struct i3d_dialect *common = &table.common;
    common->name = i3d_arena_string(arena, text->name);
    common->recipe = "i3d";
    common->ignored = i3d_arena_alloc(arena, MAX_REPEATED, sizeof *common->ignored);
    common->loaders = i3d_arena_alloc(arena, MAX_REPEATED, sizeof *common->loaders);
    if (!common->name || !common->ignored || !common->loaders)
        return i3d_fail_memory(error);
    enum i3d_status status = parse_lines(&table, error);
    if (status)
        return status;
    if (!table.architectures || !common->layout || !table.row_count)
        return bad_line(&table, 1, error, "architecture, layout or rows are missing");
    const char *layouts[] = { common->layout, common->depthwise };
    for (int i = 0; i < 2; i++)
        if (layouts[i] && !is_layout(layouts[i]))
            return bad_line(&table, 1, error, "the layout %.20s is not O, I, H, W and perhaps D",
                            layouts[i]);
    common->spatial_axes = (int)strlen(common->layout) - 2;
    return split(&table, dialects, count, error);
}
