#include "formats/pickle.h"

#include <stdlib.h>
#include <string.h>

/* A hundred thousand tensors need some two million values. */
enum { MOST_VALUES = 8 << 20, LONGEST_TEXT = 64 << 20, WINDOW = 1 << 16, LONGEST_LINE = 1024 };

struct machine {
    struct i3d_source *source;
    uint64_t size, at, opcode_at;
    unsigned char *window; /* bytes [window_at, window_at + window_length) */
    uint64_t window_at;
    size_t window_length;

    const struct i3d_pickle_global *globals;
    struct i3d_arena *arena;
    struct i3d_pickle *pickle;
    struct i3d_pickle_value **stack, **memo;
    size_t depth, stack_room, memo_room, memo_count;
    size_t *marks, mark_count, mark_room;
    size_t values;
    struct i3d_error *error;
};

static enum i3d_status fail(struct machine *machine, const char *what)
{
    i3d_fail(machine->error, I3D_MALFORMED, "%s", what);
    return i3d_error_where(machine->error, "pickle byte %llu",
                           (unsigned long long)machine->opcode_at);
}

static enum i3d_status read_bytes(struct machine *machine, void *bytes, uint64_t length)
{
    unsigned char *to = bytes;
    if (machine->at > machine->size || length > machine->size - machine->at)
        return fail(machine, "the pickle ends early");
    while (length) {
        uint64_t skip = machine->at - machine->window_at;
        if (machine->at < machine->window_at || skip >= machine->window_length) {
            uint64_t left = machine->size - machine->at;
            size_t piece = left < WINDOW ? (size_t)left : WINDOW;
            enum i3d_status status = i3d_source_read(machine->source, machine->at,
                                                     machine->window, piece, machine->error);
            if (status)
                return status;
            machine->window_at = machine->at;
            machine->window_length = piece;
            skip = 0;
        }
        uint64_t here = machine->window_length - skip;
        here = here < length ? here : length;
        memcpy(to, machine->window + skip, here);
        to += here;
        machine->at += here;
        length -= here;
    }
    return I3D_OK;
}

/* A little-endian number without sign. */
static enum i3d_status read_number(struct machine *machine, int size, uint64_t *number)
{
    unsigned char bytes[8];
    enum i3d_status status = read_bytes(machine, bytes, (uint64_t)size);
    *number = 0;
    for (int i = size; i-- > 0 && !status;)
        *number = *number << 8 | bytes[i];
    return status;
}

/* Up to the end of the line, which is not kept. */
static enum i3d_status read_line(struct machine *machine, char line[LONGEST_LINE])
{
    for (size_t length = 0; length < LONGEST_LINE; length++) {
        enum i3d_status status = read_bytes(machine, &line[length], 1);
        if (status)
            return status;
        if (line[length] == '\n') {
            line[length] = 0;
            return I3D_OK;
        }
        if (!line[length])
            break;
    }
    return fail(machine, "a line is too long or holds a NUL");
}

static enum i3d_status grow(struct machine *machine, void *array, size_t *room, size_t wanted,
                            size_t size)
{
    void **at = array;
    if (wanted <= *room)
        return I3D_OK;
    size_t more = *room ? 2 * *room : 64;
    more = more < wanted ? wanted : more;
    void *grown = realloc(*at, more * size);
    if (!grown)
        return i3d_fail_memory(machine->error);
    memset((char *)grown + *room * size, 0, (more - *room) * size);
    *at = grown;
    *room = more;
    return I3D_OK;
}

static enum i3d_status push(struct machine *machine, struct i3d_pickle_value *value)
{
    enum i3d_status status = grow(machine, &machine->stack, &machine->stack_room,
                                  machine->depth + 1, sizeof *machine->stack);
    if (!status)
        machine->stack[machine->depth++] = value;
    return status;
}

static struct i3d_pickle_value *make(struct machine *machine, enum i3d_pickle_kind kind)
{
    struct i3d_pickle_value *value = machine->values++ < MOST_VALUES
        ? i3d_arena_alloc(machine->arena, 1, sizeof *value) : NULL;
    if (value) {
        value->kind = kind;
        value->at = machine->opcode_at;
    } else if (machine->values > MOST_VALUES) {
        fail(machine, "the pickle holds more values than a checkpoint does");
    } else {
        i3d_fail_memory(machine->error);
    }
    return value;
}

static enum i3d_status push_new(struct machine *machine, enum i3d_pickle_kind kind,
                                int64_t integer)
{
    struct i3d_pickle_value *value = make(machine, kind);
    if (!value)
        return machine->error->status;
    value->integer = integer;
    return push(machine, value);
}

/* How many values lie above the last mark, or none can be reached below it. */
static size_t above_mark(const struct machine *machine)
{
    return machine->depth - (machine->mark_count ? machine->marks[machine->mark_count - 1] : 0);
}

static enum i3d_status pop(struct machine *machine, struct i3d_pickle_value **value)
{
    if (!above_mark(machine))
        return fail(machine, "the stack is empty");
    *value = machine->stack[--machine->depth];
    return I3D_OK;
}

static enum i3d_status push_mark(struct machine *machine)
{
    enum i3d_status status = grow(machine, &machine->marks, &machine->mark_room,
                                  machine->mark_count + 1, sizeof *machine->marks);
    if (!status)
        machine->marks[machine->mark_count++] = machine->depth;
    return status;
}

/* Takes all above the last mark, and the mark. They stay where they are until the next
 * push. */
static enum i3d_status pop_to_mark(struct machine *machine, struct i3d_pickle_value ***items,
                                   size_t *count)
{
    if (!machine->mark_count)
        return fail(machine, "there is no mark");
    *count = above_mark(machine);
    machine->depth -= *count;
    machine->mark_count--;
    *items = machine->stack + machine->depth;
    return I3D_OK;
}

static enum i3d_status append(struct machine *machine, struct i3d_pickle_value *container,
                              struct i3d_pickle_value *const *items, size_t count)
{
    if (!count)
        return I3D_OK;
    size_t wanted = container->count + count;
    if (wanted > container->room) {
        size_t room = 2 * container->room > wanted ? 2 * container->room : wanted;
        void *grown = i3d_arena_alloc(machine->arena, room, sizeof *items);
        if (!grown)
            return i3d_fail_memory(machine->error);
        if (container->count)
            memcpy(grown, container->items, container->count * sizeof *items);
        container->items = grown;
        container->room = room;
    }
    memcpy(container->items + container->count, items, count * sizeof *items);
    container->count = wanted;
    return I3D_OK;
}

/* A new container of the items, on the stack. */
static enum i3d_status push_all(struct machine *machine, enum i3d_pickle_kind kind,
                                struct i3d_pickle_value *const *items, size_t count)
{
    struct i3d_pickle_value *container = make(machine, kind);
    if (!container)
        return machine->error->status;
    if (kind == I3D_PICKLE_DICT && count % 2)
        return fail(machine, "a dictionary has a key without a value");
    enum i3d_status status = append(machine, container, items, count);
    return status ? status : push(machine, container);
}

/* TUPLE, LIST, DICT and FROZENSET: all above the mark. */
static enum i3d_status gather(struct machine *machine, enum i3d_pickle_kind kind)
{
    struct i3d_pickle_value **items = NULL;
    size_t count = 0;
    enum i3d_status status = pop_to_mark(machine, &items, &count);
    return status ? status : push_all(machine, kind, items, count);
}

static enum i3d_status small_tuple(struct machine *machine, size_t count)
{
    if (above_mark(machine) < count)
        return fail(machine, "the stack is empty");
    machine->depth -= count;
    return push_all(machine, I3D_PICKLE_TUPLE, machine->stack + machine->depth, count);
}

/* Puts what lies above the mark, or the topmost items, into the container below. */
static enum i3d_status put_into(struct machine *machine, enum i3d_pickle_kind kind, size_t topmost)
{
    struct i3d_pickle_value **items = NULL;
    size_t count = topmost;
    enum i3d_status status = I3D_OK;
    if (!topmost)
        status = pop_to_mark(machine, &items, &count);
    else if (above_mark(machine) < topmost)
        return fail(machine, "the stack is empty");
    else
        items = machine->stack + (machine->depth -= topmost);
    if (status)
        return status;
    if (!above_mark(machine) || machine->stack[machine->depth - 1]->kind != kind)
        return fail(machine, "it adds to what is no container of that kind");
    if (kind == I3D_PICKLE_DICT && count % 2)
        return fail(machine, "a dictionary has a key without a value");
    return append(machine, machine->stack[machine->depth - 1], items, count);
}

static enum i3d_status push_text(struct machine *machine, enum i3d_pickle_kind kind,
                                 int length_size)
{
    uint64_t length;
    enum i3d_status status = read_number(machine, length_size, &length);
    if (status)
        return status;
    if (length > machine->size - machine->at || length > LONGEST_TEXT)
        return fail(machine, "a text is longer than the pickle, or than any name");
    struct i3d_pickle_value *value = make(machine, kind);
    char *text = value ? i3d_arena_alloc(machine->arena, (size_t)length + 1, 1) : NULL;
    if (!text)
        return value ? i3d_fail_memory(machine->error) : machine->error->status;
    status = read_bytes(machine, text, length);
    if (status)
        return status;
    value->text = text;
    value->length = (size_t)length;
    return push(machine, value);
}

/* An integer of length bytes in two's complement. */
static enum i3d_status push_long(struct machine *machine, int length_size)
{
    uint64_t length, bits = 0;
    enum i3d_status status = read_number(machine, length_size, &length);
    if (!status && length > 8)
        status = fail(machine, "an integer has more than eight bytes");
    if (!status && length)
        status = read_number(machine, (int)length, &bits);
    if (status)
        return status;
    if (length && length < 8 && bits >> (8 * length - 1))
        bits |= ~UINT64_C(0) << 8 * length;
    return push_new(machine, I3D_PICKLE_INT, (int64_t)bits);
}

/* The text forms of INT and LONG; "00" and "01" are booleans. */
static enum i3d_status push_decimal(struct machine *machine, bool booleans)
{
    char line[LONGEST_LINE], *end;
    enum i3d_status status = read_line(machine, line);
    if (status)
        return status;
    if (booleans && (!strcmp(line, "00") || !strcmp(line, "01")))
        return push_new(machine, I3D_PICKLE_BOOL, line[1] == '1');
    long long number = strtoll(line, &end, 10);
    if (end == line || (*end && strcmp(end, "L")))
        return fail(machine, "an integer is no number");
    return push_new(machine, I3D_PICKLE_INT, number);
}

static enum i3d_status push_global(struct machine *machine, const char *module, const char *name)
{
    for (int i = 0; machine->globals[i].module; i++)
        if (!strcmp(machine->globals[i].module, module)
            && !strcmp(machine->globals[i].name, name)) {
            struct i3d_pickle_value *value = make(machine, I3D_PICKLE_GLOBAL);
            if (!value)
                return machine->error->status;
            value->global = i;
            return push(machine, value);
        }
    i3d_fail(machine->error, I3D_UNSUPPORTED, "the pickle asks for %.100s.%.100s, which is "
                                              "neither run nor needed for tensors", module, name);
    i3d_error_hint(machine->error, "save the network's state_dict() alone");
    return i3d_error_where(machine->error, "pickle byte %llu",
                           (unsigned long long)machine->opcode_at);
}

static enum i3d_status read_global(struct machine *machine)
{
    char module[LONGEST_LINE], name[LONGEST_LINE];
    enum i3d_status status = read_line(machine, module);
    if (!status)
        status = read_line(machine, name);
    return status ? status : push_global(machine, module, name);
}

static enum i3d_status stack_global(struct machine *machine)
{
    struct i3d_pickle_value *module, *name;
    enum i3d_status status = pop(machine, &name);
    if (!status)
        status = pop(machine, &module);
    if (status)
        return status;
    if (module->kind != I3D_PICKLE_TEXT || name->kind != I3D_PICKLE_TEXT)
        return fail(machine, "a global's name is no text");
    return push_global(machine, module->text, name->text);
}

/* Whether the pairs of a list are what a dictionary is made of. */
static enum i3d_status fill_dict(struct machine *machine, struct i3d_pickle_value *dict,
                                 const struct i3d_pickle_value *arguments)
{
    const struct i3d_pickle_value *pairs = arguments->count ? arguments->items[0] : arguments;
    for (size_t i = 0; arguments->count && i < pairs->count; i++) {
        const struct i3d_pickle_value *pair = pairs->items[i];
        if (pairs->kind != I3D_PICKLE_LIST || pair->count != 2
            || (pair->kind != I3D_PICKLE_LIST && pair->kind != I3D_PICKLE_TUPLE))
            return fail(machine, "an OrderedDict is made of what are no pairs");
        enum i3d_status status = append(machine, dict, pair->items, 2);
        if (status)
            return status;
    }
    return I3D_OK;
}

/* REDUCE and NEWOBJ: dictionaries, sets and encoded bytes are made, what else the table
 * lets pass is noted. */
static enum i3d_status call(struct machine *machine)
{
    struct i3d_pickle_value *arguments, *callee;
    enum i3d_status status = pop(machine, &arguments);
    if (!status)
        status = pop(machine, &callee);
    if (status)
        return status;
    if (callee->kind != I3D_PICKLE_GLOBAL || arguments->kind != I3D_PICKLE_TUPLE)
        return fail(machine, "it calls what is no global");
    const char *name = machine->globals[callee->global].name;
    bool is_dict = !strcmp(name, "OrderedDict") || !strcmp(name, "dict");
    bool is_set = !strcmp(name, "set"), is_bytes = !strcmp(name, "encode");
    struct i3d_pickle_value *first = arguments->count ? arguments->items[0] : NULL;
    struct i3d_pickle_value *value = make(machine, is_dict ? I3D_PICKLE_DICT
                                                   : is_set ? I3D_PICKLE_LIST
                                                   : is_bytes ? I3D_PICKLE_BYTES : I3D_PICKLE_CALL);
    if (!value)
        return machine->error->status;
    if (is_dict) {
        status = fill_dict(machine, value, arguments);
    } else if (is_set && first) {
        status = append(machine, value, first->items, first->count);
    } else if (is_bytes) {
        value->text = first && first->kind == I3D_PICKLE_TEXT ? first->text : "";
        value->length = first && first->kind == I3D_PICKLE_TEXT ? first->length : 0;
    } else {
        value->global = callee->global;
        value->argument = arguments;
    }
    return status ? status : push(machine, value);
}

static enum i3d_status push_persistent(struct machine *machine)
{
    struct i3d_pickle *pickle = machine->pickle;
    struct i3d_pickle_value *identifier;
    enum i3d_status status = pop(machine, &identifier);
    struct i3d_pickle_value *value = status ? NULL : make(machine, I3D_PICKLE_PERSISTENT);
    if (!value)
        return status ? status : machine->error->status;
    value->argument = identifier;
    if (pickle->persistent_count == pickle->persistent_room) {
        size_t room = pickle->persistent_room ? 2 * pickle->persistent_room : 256;
        struct i3d_pickle_value **grown =
            i3d_arena_alloc(machine->arena, room, sizeof *grown);
        if (!grown)
            return i3d_fail_memory(machine->error);
        if (pickle->persistent_count)
            memcpy(grown, pickle->persistent, pickle->persistent_count * sizeof *grown);
        pickle->persistent = grown;
        pickle->persistent_room = room;
    }
    pickle->persistent[pickle->persistent_count++] = value;
    return push(machine, value);
}

static enum i3d_status put_memo(struct machine *machine, uint64_t index)
{
    if (!above_mark(machine))
        return fail(machine, "the stack is empty");
    if (index >= MOST_VALUES)
        return fail(machine, "the memo has too high a number");
    enum i3d_status status = grow(machine, &machine->memo, &machine->memo_room, index + 1,
                                  sizeof *machine->memo);
    if (status)
        return status;
    if (!machine->memo[index])
        machine->memo_count++;
    machine->memo[index] = machine->stack[machine->depth - 1];
    return I3D_OK;
}

static enum i3d_status get_memo(struct machine *machine, uint64_t index)
{
    if (index >= machine->memo_room || !machine->memo[index])
        return fail(machine, "the memo has nothing under that number");
    return push(machine, machine->memo[index]);
}

/* PUT, GET and their binary forms. */
static enum i3d_status memorise(struct machine *machine, int size, bool put)
{
    char line[LONGEST_LINE];
    uint64_t index = UINT64_MAX;
    enum i3d_status status =
        size ? read_number(machine, size, &index) : read_line(machine, line);
    if (!status && !size)
        index = *line >= '0' && *line <= '9' ? strtoull(line, NULL, 10) : UINT64_MAX;
    if (status)
        return status;
    return put ? put_memo(machine, index) : get_memo(machine, index);
}

static enum i3d_status push_int(struct machine *machine, int size, bool is_signed)
{
    uint64_t bits;
    enum i3d_status status = read_number(machine, size, &bits);
    return status ? status
                  : push_new(machine, I3D_PICKLE_INT,
                             is_signed ? (int64_t)(int32_t)bits : (int64_t)bits);
}

static enum i3d_status skip_and_push_float(struct machine *machine, bool as_text)
{
    char bytes[LONGEST_LINE];
    enum i3d_status status = as_text ? read_line(machine, bytes) : read_bytes(machine, bytes, 8);
    return status ? status : push_new(machine, I3D_PICKLE_FLOAT, 0);
}

/* Attributes of an object: those of an OrderedDict and of a parameter say nothing about
 * numbers, other objects with a state are not taken. */
static enum i3d_status build(struct machine *machine)
{
    struct i3d_pickle_value *state;
    enum i3d_status status = pop(machine, &state);
    if (status)
        return status;
    if (!above_mark(machine))
        return fail(machine, "the stack is empty");
    enum i3d_pickle_kind kind = machine->stack[machine->depth - 1]->kind;
    return kind == I3D_PICKLE_DICT || kind == I3D_PICKLE_CALL
        ? I3D_OK : fail(machine, "it sets the state of what has none");
}

static enum i3d_status drop(struct machine *machine, bool to_mark)
{
    struct i3d_pickle_value **items, *item;
    size_t count;
    if (!to_mark && !above_mark(machine) && machine->mark_count) {
        machine->mark_count--;
        return I3D_OK;
    }
    return to_mark ? pop_to_mark(machine, &items, &count) : pop(machine, &item);
}

static enum i3d_status begin(struct machine *machine)
{
    uint64_t protocol;
    enum i3d_status status = read_number(machine, 1, &protocol);
    if (!status && protocol > 5) {
        i3d_fail(machine->error, I3D_UNSUPPORTED, "protocol %llu of pickles is not known",
                 (unsigned long long)protocol);
        return i3d_error_where(machine->error, "pickle byte %llu",
                               (unsigned long long)machine->opcode_at);
    }
    return status;
}

static enum i3d_status refuse_opcode(struct machine *machine, unsigned char opcode)
{
    i3d_fail(machine->error, I3D_UNSUPPORTED,
             "opcode 0x%02x is none that tensors need", opcode);
    return i3d_error_where(machine->error, "pickle byte %llu",
                           (unsigned long long)machine->opcode_at);
}

static enum i3d_status run_opcode(struct machine *machine, unsigned char opcode)
{
    uint64_t ignored;
    switch (opcode) {
    case 0x80: return begin(machine);                                  /* PROTO */
    case 0x95: return read_number(machine, 8, &ignored);               /* FRAME */
    case '(': return push_mark(machine);                               /* MARK */
    case '0': return drop(machine, false);                             /* POP */
    case '1': return drop(machine, true);                              /* POP_MARK */
    case '2':                                                          /* DUP */
        return above_mark(machine) ? push(machine, machine->stack[machine->depth - 1])
                                   : fail(machine, "the stack is empty");
    case 'N': return push_new(machine, I3D_PICKLE_NONE, 0);            /* NONE */
    case 0x88: return push_new(machine, I3D_PICKLE_BOOL, 1);           /* NEWTRUE */
    case 0x89: return push_new(machine, I3D_PICKLE_BOOL, 0);           /* NEWFALSE */
    case 'I': return push_decimal(machine, true);                      /* INT */
    case 'L': return push_decimal(machine, false);                     /* LONG */
    case 'J': return push_int(machine, 4, true);                       /* BININT */
    case 'K': return push_int(machine, 1, false);                      /* BININT1 */
    case 'M': return push_int(machine, 2, false);                      /* BININT2 */
    case 0x8a: return push_long(machine, 1);                           /* LONG1 */
    case 0x8b: return push_long(machine, 4);                           /* LONG4 */
    case 'F': return skip_and_push_float(machine, true);               /* FLOAT */
    case 'G': return skip_and_push_float(machine, false);              /* BINFLOAT */
    case 'X': return push_text(machine, I3D_PICKLE_TEXT, 4);           /* BINUNICODE */
    case 0x8c: return push_text(machine, I3D_PICKLE_TEXT, 1);          /* SHORT_BINUNICODE */
    case 0x8d: return push_text(machine, I3D_PICKLE_TEXT, 8);          /* BINUNICODE8 */
    case 'T': return push_text(machine, I3D_PICKLE_TEXT, 4);           /* BINSTRING */
    case 'U': return push_text(machine, I3D_PICKLE_TEXT, 1);           /* SHORT_BINSTRING */
    case 'B': return push_text(machine, I3D_PICKLE_BYTES, 4);          /* BINBYTES */
    case 'C': return push_text(machine, I3D_PICKLE_BYTES, 1);          /* SHORT_BINBYTES */
    case 0x8e: return push_text(machine, I3D_PICKLE_BYTES, 8);         /* BINBYTES8 */
    case ')': return push_all(machine, I3D_PICKLE_TUPLE, NULL, 0);     /* EMPTY_TUPLE */
    case ']': case 0x8f:                                               /* EMPTY_LIST, EMPTY_SET */
        return push_all(machine, I3D_PICKLE_LIST, NULL, 0);
    case '}': return push_all(machine, I3D_PICKLE_DICT, NULL, 0);      /* EMPTY_DICT */
    case 't': return gather(machine, I3D_PICKLE_TUPLE);                /* TUPLE */
    case 'l': case 0x91: return gather(machine, I3D_PICKLE_LIST);      /* LIST, FROZENSET */
    case 'd': return gather(machine, I3D_PICKLE_DICT);                 /* DICT */
    case 0x85: return small_tuple(machine, 1);                         /* TUPLE1 */
    case 0x86: return small_tuple(machine, 2);                         /* TUPLE2 */
    case 0x87: return small_tuple(machine, 3);                         /* TUPLE3 */
    case 'a': return put_into(machine, I3D_PICKLE_LIST, 1);            /* APPEND */
    case 'e': case 0x90: return put_into(machine, I3D_PICKLE_LIST, 0); /* APPENDS, ADDITEMS */
    case 's': return put_into(machine, I3D_PICKLE_DICT, 2);            /* SETITEM */
    case 'u': return put_into(machine, I3D_PICKLE_DICT, 0);            /* SETITEMS */
    case 'c': return read_global(machine);                             /* GLOBAL */
    case 0x93: return stack_global(machine);                           /* STACK_GLOBAL */
    case 'R': case 0x81: return call(machine);                         /* REDUCE, NEWOBJ */
    case 'b': return build(machine);                                   /* BUILD */
    case 'Q': return push_persistent(machine);                         /* BINPERSID */
    case 'p': return memorise(machine, 0, true);                       /* PUT */
    case 'q': return memorise(machine, 1, true);                       /* BINPUT */
    case 'r': return memorise(machine, 4, true);                       /* LONG_BINPUT */
    case 0x94: return put_memo(machine, machine->memo_count);          /* MEMOIZE */
    case 'g': return memorise(machine, 0, false);                      /* GET */
    case 'h': return memorise(machine, 1, false);                      /* BINGET */
    case 'j': return memorise(machine, 4, false);                      /* LONG_BINGET */
    default: return refuse_opcode(machine, opcode);
    }
}

static enum i3d_status run(struct machine *machine)
{
    for (;;) {
        unsigned char opcode;
        machine->opcode_at = machine->at;
        enum i3d_status status = read_bytes(machine, &opcode, 1);
        if (!status && opcode == '.')
            break;
        if (!status)
            status = run_opcode(machine, opcode);
        if (status)
            return status;
    }
    if (machine->depth != 1 || machine->mark_count)
        return fail(machine, "the pickle does not end with one value");
    machine->pickle->root = machine->stack[0];
    machine->pickle->end = machine->at;
    return I3D_OK;
}

enum i3d_status i3d_pickle_read(struct i3d_source *source, uint64_t start,
                                const struct i3d_pickle_global *globals,
                                struct i3d_arena *arena, struct i3d_pickle *pickle,
                                struct i3d_error *error)
{
    struct i3d_error unwanted;
    *pickle = (struct i3d_pickle){ .root = NULL };
    struct machine machine = { .source = source, .size = i3d_source_length(source), .at = start,
                               .window = malloc(WINDOW), .globals = globals, .arena = arena,
                               .pickle = pickle, .error = error ? error : &unwanted };
    enum i3d_status status = machine.window ? run(&machine) : i3d_fail_memory(error);
    free(machine.window);
    free(machine.stack);
    free(machine.memo);
    free(machine.marks);
    return status;
}

struct i3d_pickle_value *i3d_pickle_find(const struct i3d_pickle_value *dict, const char *key)
{
    for (size_t i = dict->count; i >= 2; i -= 2)
        if (dict->items[i - 2]->kind == I3D_PICKLE_TEXT && !strcmp(dict->items[i - 2]->text, key))
            return dict->items[i - 1];
    return NULL;
}
