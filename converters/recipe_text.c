#include "converters/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A recipe is small; what is larger is something else. */
enum { LARGEST_TEXT = 1 << 20, MOST_RULES = 4096, LARGEST_NUMBER = 1 << 20 };

/* Parsing stops at the first fault: later calls find status set. */
struct parser {
    struct i3d_recipe *recipe;
    struct i3d_error *error;
    enum i3d_status blame; /* I3D_MALFORMED for a file, I3D_USAGE for an option */
    enum i3d_status status;
};

static void refuse(struct parser *parser, const char *what, const char *word)
{
    if (!parser->status)
        parser->status = i3d_fail(parser->error, parser->blame, "%s: %.100s", what, word);
}

/* A number at *text, which moves behind it. */
static bool read_number(const char **text, int64_t low, int64_t high, int64_t *number)
{
    char *end;
    errno = 0;
    long long value = strtoll(*text, &end, 10);
    if (end == *text || errno || value < low || value > high)
        return false;
    *number = value;
    *text = end;
    return true;
}

/* "3", "1-4", "-1" (the last), "-2--1". */
static bool read_range(const char *text, struct i3d_range *range)
{
    if (!read_number(&text, -LARGEST_NUMBER, LARGEST_NUMBER, &range->low) || !range->low)
        return false;
    range->high = range->low;
    if (*text == '-') {
        text++;
        if (!read_number(&text, -LARGEST_NUMBER, LARGEST_NUMBER, &range->high) || !range->high)
            return false;
    }
    return !*text && (range->low < 0) == (range->high < 0) && range->low <= range->high;
}

static bool read_window(const char *text, int64_t kernel[2])
{
    return read_number(&text, 1, LARGEST_NUMBER, &kernel[0]) && *text++ == 'x'
        && read_number(&text, 1, LARGEST_NUMBER, &kernel[1]) && !*text;
}

static void read_condition(struct parser *parser, struct i3d_condition *when, const char *key,
                           const char *value)
{
    const struct {
        const char *key;
        struct i3d_range *range;
    } ranges[] = {
        { "position", &when->position }, { "stage", &when->stage }, { "block", &when->block },
        { "place", &when->place }, { "convs", &when->convs }, { "stage-end", &when->stage_end },
    };
    if (!strcmp(key, "name")) {
        when->pattern = i3d_arena_string(parser->recipe->arena, value);
        if (!when->pattern)
            parser->status = i3d_fail_memory(parser->error);
        return;
    }
    if (!strcmp(key, "block") && (!strcmp(value, "odd") || !strcmp(value, "even"))) {
        when->parity = *value == 'o' ? I3D_ODD_BLOCK : I3D_EVEN_BLOCK;
        return;
    }
    if (!strcmp(key, "kernel")) {
        if (!read_window(value, when->kernel))
            refuse(parser, "kernel takes HxW", value);
        return;
    }
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (strcmp(key, ranges[i].key))
            continue;
        if (!read_range(value, ranges[i].range) || (i && ranges[i].range->low < 0))
            refuse(parser, "no number or range", value);
        return;
    }
    refuse(parser, "there is no condition of that name", key);
}

static void read_setting(struct parser *parser, struct i3d_rule *rule, const char *key,
                         const char *value)
{
    struct i3d_settings *give = &rule->give;
    const struct {
        const char *key;
        int64_t *number;
    } numbers[] = { { "kernel", &give->kernel }, { "stride", &give->stride },
                    { "dilation", &give->dilation } };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(key, numbers[i].key))
            continue;
        const char *at = value;
        if (!strcmp(value, "same"))
            *numbers[i].number = I3D_AS_IN_SPACE;
        else if (!read_number(&at, 1, I3D_MAX_TAPS, numbers[i].number) || *at)
            refuse(parser, "neither same nor a number from 1 to 64", value);
        return;
    }
    if (!strcmp(key, "pads")) {
        const char *at = value;
        if (!strcmp(value, "half") || !strcmp(value, "same"))
            give->pad_begin = give->pad_end = *value == 'h' ? I3D_HALF : I3D_AS_IN_SPACE;
        else if (!read_number(&at, 0, 4096, &give->pad_begin) || *at++ != ','
                 || !read_number(&at, 0, 4096, &give->pad_end) || *at)
            refuse(parser, "pads takes half, same or BEGIN,END", value);
    } else if (!strcmp(key, "init")) {
        if (strcmp(value, "repeat") && strcmp(value, "center"))
            refuse(parser, "init is repeat or center", value);
        give->init = *value == 'r' ? I3D_INIT_REPEAT : I3D_INIT_CENTER;
    } else if (!strcmp(key, "insert")) {
        if (strcmp(value, "MaxPool") && strcmp(value, "AveragePool"))
            refuse(parser, "MaxPool and AveragePool can be inserted", value);
        rule->insert = *value == 'M' ? "MaxPool" : "AveragePool";
    } else {
        refuse(parser, "there is no setting of that name", key);
    }
}

static struct i3d_rule *add_rule(struct parser *parser)
{
    struct i3d_recipe *recipe = parser->recipe;
    if (recipe->rule_count == MOST_RULES) {
        refuse(parser, "more rules than a recipe may have", recipe->name);
        return NULL;
    }
    if (recipe->rule_count == recipe->rule_room) {
        size_t room = 2 * recipe->rule_room + 8;
        struct i3d_rule *rules = realloc(recipe->rules, room * sizeof *rules);
        if (!rules) {
            parser->status = i3d_fail_memory(parser->error);
            return NULL;
        }
        recipe->rules = rules;
        recipe->rule_room = room;
    }
    struct i3d_rule *rule = &recipe->rules[recipe->rule_count];
    *rule = (struct i3d_rule){ .give = { I3D_NOT_GIVEN, I3D_NOT_GIVEN, I3D_NOT_GIVEN,
                                         I3D_NOT_GIVEN, I3D_NOT_GIVEN, I3D_NOT_GIVEN } };
    return rule;
}

static void read_operator(struct parser *parser, struct i3d_rule *rule, const char *word)
{
    static const char *const operators[] = { "Conv", "ConvTranspose", "MaxPool", "AveragePool",
                                             "LpPool" };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (!strcmp(word, operators[i]))
            rule->when.op_type = operators[i];
    if (!rule->when.op_type && strcmp(word, "*"))
        refuse(parser, "no operator that has a window", word);
}

static bool gives_nothing(const struct i3d_settings *give)
{
    return give->kernel == I3D_NOT_GIVEN && give->stride == I3D_NOT_GIVEN
        && give->dilation == I3D_NOT_GIVEN && give->pad_begin == I3D_NOT_GIVEN
        && give->init == I3D_NOT_GIVEN;
}

/* What the words of a rule mean together. */
static void check_rule(struct parser *parser, const struct i3d_rule *rule)
{
    const struct i3d_settings *give = &rule->give;
    if (rule->insert
        && (give->kernel < 1 || give->stride == I3D_AS_IN_SPACE || give->dilation != I3D_NOT_GIVEN
            || give->pad_begin == I3D_AS_IN_SPACE || give->init != I3D_NOT_GIVEN))
        refuse(parser, "an inserted pool takes a kernel, a stride and pads, as numbers",
               rule->text);
    if (rule->when.stage_end.low && !rule->insert)
        refuse(parser, "stage-end says where to insert, and nothing else", rule->text);
    if (!rule->insert && gives_nothing(give))
        refuse(parser, "the rule gives nothing", rule->text);
    if (rule->when.position.low && !rule->when.op_type)
        refuse(parser, "positions are counted for one operator, which the rule has to name",
               rule->text);
}

/* Words of a rule line, cut in place. */
static void read_rule(struct parser *parser, char *line, int number)
{
    struct i3d_rule *rule = add_rule(parser);
    if (!rule)
        return;
    snprintf(rule->where, sizeof rule->where, "line %d", number);
    rule->text = i3d_arena_string(parser->recipe->arena, line);
    if (!rule->text) {
        parser->status = i3d_fail_memory(parser->error);
        return;
    }
    bool gives = false;
    char *rest = NULL;
    for (char *word = strtok_r(line, " \t", &rest); word && !parser->status;
         word = strtok_r(NULL, " \t", &rest)) {
        char *value = strchr(word, '=');
        if (!strcmp(word, "->") && !gives) {
            gives = true;
        } else if (!value && !gives && word == line) {
            read_operator(parser, rule, word);
        } else if (!value || !value[1]) {
            refuse(parser, "neither an operator nor NAME=VALUE", word);
        } else {
            *value = '\0';
            if (gives)
                read_setting(parser, rule, word, value + 1);
            else
                read_condition(parser, &rule->when, word, value + 1);
        }
    }
    if (!parser->status)
        check_rule(parser, rule);
    if (!parser->status)
        parser->recipe->rule_count++;
}

static void read_line(struct parser *parser, char *line, int number)
{
    line += strspn(line, " \t");
    for (size_t length = strlen(line); length && strchr(" \t\r", line[length - 1]); length--)
        line[length - 1] = '\0';
    if (!*line || *line == '#')
        return;
    struct i3d_recipe *recipe = parser->recipe;
    size_t word = strcspn(line, " \t");
    char *value = line + word + strspn(line + word, " \t");
    const char *at = value;
    int64_t count;
    if (strstr(line, "->")) {
        read_rule(parser, line, number);
    } else if (word == 5 && !strncmp(line, "title", word)) {
        recipe->title = i3d_arena_string(recipe->arena, value);
        if (!recipe->title)
            parser->status = i3d_fail_memory(parser->error);
    } else if (word == 11 && !strncmp(line, "head-frames", word)) {
        if (!read_number(&at, 1, I3D_MAX_TAPS, &count) || *at)
            refuse(parser, "head-frames takes a number from 1 to 64", value);
        else
            recipe->head_frames = (int)count;
    } else if (word == 6 && !strncmp(line, "stages", word)) {
        if (!read_number(&at, 1, 1000, &count) || *at)
            refuse(parser, "stages takes a number from 1 to 1000", value);
        else
            recipe->stages = (int)count;
    } else {
        refuse(parser, "neither a rule (with ->) nor title, head-frames or stages", line);
    }
}

enum i3d_status i3d_recipe_parse(const char *name, const char *text, size_t length,
                                 struct i3d_recipe **out, struct i3d_error *error)
{
    *out = NULL;
    if (length > LARGEST_TEXT || memchr(text, '\0', length))
        return i3d_fail(error, I3D_MALFORMED, "it is no recipe, which is a small text");
    struct i3d_recipe *recipe = calloc(1, sizeof *recipe);
    char *copy = strndup(text, length);
    struct parser parser = { recipe, error, I3D_MALFORMED, I3D_OK };
    if (recipe)
        recipe->arena = i3d_arena_new();
    if (recipe && recipe->arena)
        recipe->name = i3d_arena_string(recipe->arena, name);
    if (!recipe || !copy || !recipe->name)
        parser.status = i3d_fail_memory(error);
    else
        recipe->title = recipe->name;
    int number = 0;
    for (char *line = copy; line && !parser.status;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        read_line(&parser, line, ++number);
        line = end ? end + 1 : NULL;
    }
    free(copy);
    if (parser.status == I3D_MALFORMED)
        i3d_error_where(error, "line %d", number);
    if (parser.status)
        i3d_recipe_free(recipe);
    else
        *out = recipe;
    return parser.status;
}

/* "3", "3x1x1": the temporal size, then the 2D kernel's, or ones, which leave
 * that open. */
static void read_set_kernel(struct parser *parser, struct i3d_rule *rule, const char *text)
{
    const char *at = text;
    int64_t space[2] = { 1, 1 };
    bool good = read_number(&at, 1, I3D_MAX_TAPS, &rule->give.kernel);
    if (good && *at == 'x') {
        at++;
        good = read_window(at, space);
        at = "";
    }
    if (!good || *at)
        refuse(parser, "a kernel is N or NxHxW, N from 1 to 64", text);
    if (space[0] != 1 || space[1] != 1)
        memcpy(rule->when.kernel, space, sizeof space);
}

enum i3d_status i3d_recipe_set(struct i3d_recipe *recipe, const char *assignment,
                               struct i3d_error *error)
{
    struct parser parser = { recipe, error, I3D_USAGE, I3D_OK };
    struct i3d_rule *rule = add_rule(&parser);
    char *copy = i3d_arena_string(recipe->arena, assignment);
    if (!rule)
        return parser.status;
    rule->text = i3d_arena_string(recipe->arena, assignment);
    if (!copy || !rule->text)
        return i3d_fail_memory(error);
    snprintf(rule->where, sizeof rule->where, "--set");
    rule->is_set = true;
    char *value = strchr(copy, '=');
    if (!value || value == copy)
        return i3d_fail(error, I3D_USAGE, "--set takes PATTERN=KERNEL, not %.100s", assignment);
    *value++ = '\0';
    rule->when.pattern = copy;
    char *rest = value ? strchr(value, ',') : NULL;
    /* pads=B,E has a comma of its own: settings are told apart by ",NAME=". */
    if (rest)
        *rest++ = '\0';
    read_set_kernel(&parser, rule, value);
    while (rest && !parser.status) {
        char *equals = strchr(rest, '=');
        char *end = equals ? strchr(equals, ',') : NULL;
        if (end && end[1] >= '0' && end[1] <= '9')
            end = strchr(end + 1, ',');
        if (end)
            *end = '\0';
        if (!equals) {
            refuse(&parser, "no NAME=VALUE", rest);
            break;
        }
        *equals = '\0';
        read_setting(&parser, rule, rest, equals + 1);
        rest = end ? end + 1 : NULL;
    }
    if (!parser.status && rule->insert)
        refuse(&parser, "layers are inserted by recipe files", assignment);
    if (parser.status)
        return parser.status;
    if (rule->give.pad_begin == I3D_NOT_GIVEN) /* pads of a rule below are for its kernel */
        rule->give.pad_begin = rule->give.pad_end = I3D_HALF;
    struct i3d_rule first = *rule;
    memmove(recipe->rules + 1, recipe->rules, recipe->rule_count * sizeof first);
    recipe->rules[0] = first;
    recipe->rule_count++;
    return I3D_OK;
}
