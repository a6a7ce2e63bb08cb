/* Aggregates: which there are, and what they do with values. */
#include "aggregate.h"

#include "base/mem.h"
#include "key.h"

#include <math.h>
#include <stdlib.h>

struct accumulator_extra {
    uint64_t sequence; /* FIRST, LAST: of the value that is held */
    bool has_overflown;
    char *bytes; /* of the value that is held, or of LISTAGG: its items */
    size_t size, capacity;
    struct map distinct; /* encoded values that were taken -> themselves, owned */
};

static const struct {
    const char *name;
    enum aggregate_kind kind;
} kinds[] = {
        {"COUNT", AGGREGATE_COUNT}, {"SUM", AGGREGATE_SUM}, {"AVG", AGGREGATE_AVG},
        {"MIN", AGGREGATE_MIN}, {"MAX", AGGREGATE_MAX}, {"FIRST_VALUE", AGGREGATE_FIRST},
        {"LAST_VALUE", AGGREGATE_LAST}, {"STDDEV_POP", AGGREGATE_STDDEV_POP},
        {"STDDEV_SAMP", AGGREGATE_STDDEV_SAMP}, {"STDDEV", AGGREGATE_STDDEV_SAMP},
        {"VAR_POP", AGGREGATE_VAR_POP}, {"VAR_SAMP", AGGREGATE_VAR_SAMP},
        {"VARIANCE", AGGREGATE_VAR_SAMP}, {"LISTAGG", AGGREGATE_LISTAGG},
};

static bool
kind_of(struct bytes name, enum aggregate_kind *out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(kinds[i].name))) {
            *out = kinds[i].kind;
            return true;
        }
    }
    return false;
}

bool
stream_is_aggregate(struct bytes name)
{
    enum aggregate_kind kind;
    return kind_of(name, &kind);
}

/* ---- compiling ---- */

static struct stream_type
result_type(enum aggregate_kind kind, struct stream_type arg)
{
    switch (kind) {
    case AGGREGATE_COUNT:
        return stream_type_of(STREAM_INTEGER);
    case AGGREGATE_STDDEV_POP:
    case AGGREGATE_STDDEV_SAMP:
    case AGGREGATE_VAR_POP:
    case AGGREGATE_VAR_SAMP:
        return stream_type_of(STREAM_DOUBLE);
    case AGGREGATE_LISTAGG:
        return stream_type_of(STREAM_STRING);
    case AGGREGATE_SUM:
        if (arg.kind == STREAM_INTEGER) {
            return stream_type_of(STREAM_INTEGER);
        }
        return arg;
    case AGGREGATE_AVG:
        if (arg.kind == STREAM_DECIMAL) {
            arg.precision = 38;
            arg.scale = arg.scale < 6 ? 6 : arg.scale;
        }
        return arg;
    default:
        return arg;
    }
}

static bool
needs_number(enum aggregate_kind kind)
{
    return kind == AGGREGATE_SUM || kind == AGGREGATE_AVG ||
           (kind >= AGGREGATE_STDDEV_POP && kind <= AGGREGATE_VAR_SAMP);
}

static const struct aggregate *
check_argument(struct stream_compiler *compiler, const struct expr *call,
               struct aggregate *aggregate)
{
    bool moments = aggregate->kind >= AGGREGATE_STDDEV_POP && aggregate->kind <= AGGREGATE_VAR_SAMP;
    if (needs_number(aggregate->kind) && !stream_is_number(aggregate->arg->type)) {
        stream_fail(compiler, call->items[0]->span, "%.*s needs numbers", BYTES_ARG(call->text));
        stream_hint(compiler, "CAST(x AS DOUBLE) reads a text as a number");
        return NULL;
    }
    if (aggregate->kind == AGGREGATE_LISTAGG || moments) {
        aggregate->arg = stream_cast_node(
                compiler, aggregate->arg,
                stream_type_of(moments ? STREAM_DOUBLE : STREAM_STRING));
    }
    aggregate->arg_type = aggregate->arg->type;
    aggregate->type = result_type(aggregate->kind, aggregate->arg_type);
    return aggregate;
}

const struct aggregate *
aggregate_compile(struct stream_compiler *compiler, const struct stream_scope *scope,
                  const struct expr *call)
{
    struct aggregate *aggregate = arena_new(compiler->arena, struct aggregate);
    check(kind_of(call->text, &aggregate->kind));
    aggregate->distinct = call->distinct;
    aggregate->separator = BYTES(",");
    aggregate->type = stream_type_of(STREAM_INTEGER);
    if (call->filter != NULL) {
        aggregate->filter = stream_compile_condition(compiler, scope, call->filter, "FILTER");
        if (aggregate->filter == NULL) {
            return NULL;
        }
    }
    bool star = call->item_count == 1 && call->items[0]->kind == EXPR_STAR;
    if (aggregate->kind == AGGREGATE_COUNT && (star || call->item_count == 0)) {
        return aggregate;
    }
    bool listagg = aggregate->kind == AGGREGATE_LISTAGG;
    if (star || call->item_count == 0 || call->item_count > (listagg ? 2 : 1)) {
        return stream_fail(compiler, call->span, "%.*s takes one column", BYTES_ARG(call->text));
    }
    if (call->item_count == 2) {
        if (call->items[1]->kind != EXPR_STRING) {
            return stream_fail(compiler, call->items[1]->span,
                               "the separator of LISTAGG must be a text");
        }
        aggregate->separator = arena_copy(compiler->arena, call->items[1]->text);
    }
    aggregate->arg = stream_compile(compiler, scope, call->items[0]);
    return aggregate->arg == NULL ? NULL : check_argument(compiler, call, aggregate);
}

/* ---- owned bytes ---- */

static struct accumulator_extra *
extra_of(struct accumulator *accumulator)
{
    if (accumulator->extra == NULL) {
        accumulator->extra = mem_new(struct accumulator_extra);
    }
    return accumulator->extra;
}

static uint64_t
sequence_of(const struct accumulator *accumulator)
{
    return accumulator->extra == NULL ? 0 : accumulator->extra->sequence;
}

static bool
has_overflown(const struct accumulator *accumulator)
{
    return accumulator->extra != NULL && accumulator->extra->has_overflown;
}

/* The items of LISTAGG. */
static struct bytes
items_of(const struct accumulator *accumulator)
{
    const struct accumulator_extra *extra = accumulator->extra;
    return extra == NULL ? BYTES("") : bytes_of(extra->bytes, extra->size);
}

static char *
own_room(struct accumulator *accumulator, size_t size)
{
    struct accumulator_extra *extra = extra_of(accumulator);
    if (size > extra->capacity) {
        extra->capacity = size < 16 ? 16 : size;
        extra->bytes = mem_realloc(extra->bytes, extra->capacity);
    }
    extra->size = size;
    return extra->bytes;
}

/* Holds the value; its bytes are copied. */
static void
hold(struct accumulator *into, struct stream_type type, const struct stream_value *value)
{
    struct stream_value held = *value;
    if (type.kind == STREAM_STRING || type.kind == STREAM_JSON) {
        char *bytes = own_room(into, value->text.size);
        if (value->text.size > 0) {
            memmove(bytes, value->text.data, value->text.size);
        }
        held.text.data = bytes;
    } else if (type.kind == STREAM_DECIMAL && value->decimal.wide != NULL) {
        struct decimal_digits digits = *value->decimal.wide;
        char *bytes = own_room(into, sizeof digits);
        memcpy(bytes, &digits, sizeof digits);
        held.decimal.wide = (const struct decimal_digits *)(const void *)bytes;
    }
    into->value = held;
}

void
aggregate_fini(struct accumulator *accumulator)
{
    struct accumulator_extra *extra = accumulator->extra;
    size_t cursor = 0;
    struct bytes key;
    void *value;
    if (extra != NULL) {
        while (map_next(&extra->distinct, &cursor, &key, &value)) {
            free(value);
        }
        map_fini(&extra->distinct);
        free(extra->bytes);
        free(extra);
    }
    *accumulator = (struct accumulator){0};
}

size_t
aggregate_footprint(const struct accumulator *accumulator)
{
    enum { DISTINCT_VALUE_BYTES = 64 }; /* with its slot in the map, about */
    const struct accumulator_extra *extra = accumulator->extra;
    return extra == NULL ? 0
                         : sizeof *extra + extra->capacity +
                                   extra->distinct.count * DISTINCT_VALUE_BYTES;
}

/* ---- taking values ---- */

static bool
is_moment(enum aggregate_kind kind)
{
    return kind >= AGGREGATE_STDDEV_POP && kind <= AGGREGATE_VAR_SAMP;
}

static bool
is_double_sum(const struct aggregate *aggregate)
{
    return (aggregate->kind == AGGREGATE_SUM || aggregate->kind == AGGREGATE_AVG) &&
           aggregate->arg_type.kind == STREAM_DOUBLE;
}

static void
add_real(struct accumulator *into, double x)
{
    double sum = into->sum + x;
    into->lost += fabs(into->sum) >= fabs(x) ? (into->sum - sum) + x : (x - sum) + into->sum;
    into->sum = sum;
}

static void
add_sum(const struct aggregate *aggregate, struct accumulator *into,
        const struct stream_value *value, struct arena *arena)
{
    if (aggregate->arg_type.kind == STREAM_DOUBLE) {
        add_real(into, value->real);
    } else if (aggregate->arg_type.kind == STREAM_INTEGER) {
        if (__builtin_add_overflow(into->value.integer, value->integer, &into->value.integer)) {
            extra_of(into)->has_overflown = true;
        }
    } else {
        struct stream_value sum = *value;
        if (into->count > 0 && !decimal_add(&sum.decimal, &into->value.decimal, &value->decimal,
                                            arena)) {
            extra_of(into)->has_overflown = true;
        }
        hold(into, aggregate->arg_type, &sum);
    }
}

/* An item of LISTAGG: u64 sequence | counted text. */
static void
append_item(struct accumulator *into, uint64_t sequence, struct bytes text)
{
    struct buf item = {0};
    wire_put_u64(&item, sequence);
    wire_put_bytes(&item, text);
    struct accumulator_extra *extra = extra_of(into);
    if (extra->size + item.size > extra->capacity) {
        extra->capacity = (extra->size + item.size) * 2;
        extra->bytes = mem_realloc(extra->bytes, extra->capacity);
    }
    memcpy(extra->bytes + extra->size, item.data, item.size);
    extra->size += item.size;
    buf_fini(&item);
}

/* Whether a value is new; then it is remembered. */
static bool
remember(struct accumulator *into, struct bytes encoded)
{
    struct map *distinct = &extra_of(into)->distinct;
    if (map_find(distinct, encoded) != NULL) {
        return false;
    }
    char *copy = mem_alloc(encoded.size);
    memcpy(copy, encoded.data, encoded.size);
    map_put(distinct, bytes_of(copy, encoded.size), copy);
    return true;
}

static void
add(const struct aggregate *aggregate, struct accumulator *into, const struct stream_value *value,
    uint64_t sequence, struct arena *arena)
{
    bool first = into->count == 0;
    int order = 0;
    switch (aggregate->kind) {
    case AGGREGATE_COUNT:
        break;
    case AGGREGATE_SUM:
    case AGGREGATE_AVG:
        add_sum(aggregate, into, value, arena);
        break;
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
        order = first ? 0 : stream_compare(aggregate->arg_type, value, &into->value);
        if (first || (aggregate->kind == AGGREGATE_MIN ? order < 0 : order > 0)) {
            hold(into, aggregate->arg_type, value);
        }
        break;
    case AGGREGATE_FIRST:
    case AGGREGATE_LAST:
        if (first || (aggregate->kind == AGGREGATE_FIRST ? sequence < sequence_of(into)
                                                         : sequence >= sequence_of(into))) {
            hold(into, aggregate->arg_type, value);
            extra_of(into)->sequence = sequence;
        }
        break;
    case AGGREGATE_LISTAGG:
        append_item(into, sequence, value->text);
        break;
    default: {
        double delta = value->real - into->mean;
        into->mean += delta / (double)(into->count + 1);
        into->squares += delta * (value->real - into->mean);
    }
    }
    into->count++;
}

void
aggregate_add(const struct aggregate *aggregate, struct accumulator *into,
              const struct stream_value *value, uint64_t sequence, struct arena *arena)
{
    if (aggregate->arg != NULL && value->is_null) {
        return;
    }
    if (aggregate->distinct && aggregate->arg != NULL) {
        struct buf encoded = {.arena = arena};
        stream_key_put(&encoded, aggregate->arg_type, value);
        if (!remember(into, buf_bytes(&encoded))) {
            return;
        }
    }
    add(aggregate, into, value, sequence, arena);
}

bool
aggregate_take(const struct aggregate *aggregate, struct accumulator *into,
               const struct stream_op *op, struct stream_run *run, const struct stream_value *row)
{
    struct stream_value value = {0};
    if (aggregate->filter != NULL) {
        if (!stream_op_eval(op, run, aggregate->filter, row, &value)) {
            return false;
        }
        if (value.is_null || value.integer == 0) {
            return true;
        }
    }
    if (aggregate->arg != NULL && !stream_op_eval(op, run, aggregate->arg, row, &value)) {
        return false;
    }
    aggregate_add(aggregate, into, &value, run->sequence, &run->arena);
    return true;
}

/* ---- merging ---- */

static void
merge_distinct(const struct aggregate *aggregate, struct accumulator *into,
               const struct accumulator *from, struct arena *arena)
{
    size_t cursor = 0;
    struct bytes key;
    void *unused;
    while (from->extra != NULL && map_next(&from->extra->distinct, &cursor, &key, &unused)) {
        if (remember(into, key)) {
            struct wire_reader reader = wire_reader(key);
            struct stream_value value = stream_key_get(&reader, aggregate->arg_type, arena);
            add(aggregate, into, &value, sequence_of(from), arena);
        }
    }
}

static void
merge_moments(struct accumulator *into, const struct accumulator *from)
{
    double a = (double)into->count, b = (double)from->count;
    double delta = from->mean - into->mean;
    into->mean += delta * b / (a + b);
    into->squares += from->squares + delta * delta * a * b / (a + b);
    into->count += from->count;
}

void
aggregate_merge(const struct aggregate *aggregate, struct accumulator *into,
                const struct accumulator *from, struct arena *arena)
{
    if (from->count == 0) {
        return;
    }
    if (aggregate->distinct && aggregate->arg != NULL) {
        merge_distinct(aggregate, into, from, arena);
        return;
    }
    int64_t count = into->count + from->count;
    if (is_moment(aggregate->kind)) {
        merge_moments(into, from);
    } else if (aggregate->kind == AGGREGATE_LISTAGG) {
        struct wire_reader reader = wire_reader(items_of(from));
        while (reader.rest.size > 0 && !reader.failed) {
            uint64_t sequence = wire_get_u64(&reader);
            append_item(into, sequence, wire_get_bytes(&reader));
        }
    } else if (is_double_sum(aggregate)) {
        add_real(into, from->sum);
        into->lost += from->lost;
    } else if (aggregate->kind != AGGREGATE_COUNT) {
        add(aggregate, into, &from->value, sequence_of(from), arena);
        if (has_overflown(from)) {
            extra_of(into)->has_overflown = true;
        }
    }
    into->count = count;
}

/* ---- results ---- */

struct list_item {
    uint64_t sequence;
    struct bytes text;
};

static int
compare_items(const void *a, const void *b)
{
    const struct list_item *x = a, *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static struct bytes
join_items(const struct aggregate *aggregate, const struct accumulator *from, struct arena *arena)
{
    struct list_item *items = arena_new_array(arena, struct list_item, (size_t)from->count);
    struct wire_reader reader = wire_reader(items_of(from));
    size_t count = 0;
    for (; count < (size_t)from->count && !reader.failed; count++) {
        items[count].sequence = wire_get_u64(&reader);
        items[count].text = wire_get_bytes(&reader);
    }
    qsort(items, count, sizeof *items, compare_items);
    struct buf text = {.arena = arena};
    for (size_t i = 0; i < count; i++) {
        buf_append(&text, i == 0 ? BYTES("") : aggregate->separator);
        buf_append(&text, items[i].text);
    }
    return buf_bytes(&text);
}

static void
finish_moment(const struct aggregate *aggregate, const struct accumulator *from,
              struct stream_value *out)
{
    bool sample = aggregate->kind == AGGREGATE_STDDEV_SAMP || aggregate->kind == AGGREGATE_VAR_SAMP;
    int64_t divisor = from->count - sample;
    if (divisor == 0) {
        *out = stream_null();
        return;
    }
    double variance = from->squares / (double)divisor;
    bool deviation = aggregate->kind == AGGREGATE_STDDEV_POP ||
                     aggregate->kind == AGGREGATE_STDDEV_SAMP;
    out->real = deviation ? sqrt(variance) : variance;
}

static bool
finish_average(const struct aggregate *aggregate, const struct accumulator *from,
               struct arena *arena, struct stream_value *out)
{
    switch (aggregate->arg_type.kind) {
    case STREAM_DOUBLE:
        out->real = (from->sum + from->lost) / (double)from->count;
        return isfinite(out->real);
    case STREAM_INTEGER:
        out->integer = from->value.integer / from->count;
        return true;
    default: {
        struct decimal count = decimal_of_int64(from->count);
        if (!decimal_divide(&out->decimal, &from->value.decimal, &count, arena)) {
            return false;
        }
        out->decimal = decimal_round(&out->decimal, aggregate->type.scale, DECIMAL_HALF_AWAY,
                                     arena);
        return true;
    }
    }
}

bool
aggregate_finish(const struct aggregate *aggregate, const struct accumulator *from,
                 struct arena *arena, struct stream_value *out)
{
    *out = (struct stream_value){0};
    if (aggregate->kind == AGGREGATE_COUNT) {
        *out = stream_integer(from->count);
        return true;
    }
    if (from->count == 0) {
        *out = stream_null();
        return true;
    }
    if (is_moment(aggregate->kind)) {
        finish_moment(aggregate, from, out);
    } else if (aggregate->kind == AGGREGATE_LISTAGG) {
        out->text = join_items(aggregate, from, arena);
    } else if (aggregate->kind == AGGREGATE_AVG) {
        return !has_overflown(from) && finish_average(aggregate, from, arena, out);
    } else if (is_double_sum(aggregate)) {
        out->real = from->sum + from->lost;
        return isfinite(out->real);
    } else {
        *out = from->value;
    }
    return !has_overflown(from);
}

/* ---- snapshots ---- */

static void
put_double(struct buf *out, double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    wire_put_u64(out, bits);
}

static double
get_double(struct wire_reader *reader)
{
    uint64_t bits = wire_get_u64(reader);
    double real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

static bool
holds_value(const struct aggregate *aggregate)
{
    return aggregate->kind != AGGREGATE_COUNT && aggregate->kind != AGGREGATE_LISTAGG &&
           !is_moment(aggregate->kind) && !is_double_sum(aggregate);
}

/* varint count | overflow, sequence | value or two doubles or items | distinct values */
void
aggregate_save(const struct aggregate *aggregate, const struct accumulator *from, struct buf *out)
{
    wire_put_signed(out, from->count);
    if (from->count == 0) {
        return;
    }
    wire_put_u8(out, has_overflown(from));
    wire_put_varint(out, sequence_of(from));
    if (holds_value(aggregate)) {
        stream_key_put(out, aggregate->arg_type, &from->value);
    } else if (aggregate->kind == AGGREGATE_LISTAGG) {
        wire_put_bytes(out, items_of(from));
    } else if (aggregate->kind != AGGREGATE_COUNT) {
        put_double(out, from->mean);
        put_double(out, from->squares);
    }
    if (!aggregate->distinct || aggregate->arg == NULL) {
        return;
    }
    size_t cursor = 0;
    struct bytes key;
    void *value;
    wire_put_varint(out, from->extra->distinct.count);
    while (map_next(&from->extra->distinct, &cursor, &key, &value)) {
        wire_put_bytes(out, key);
    }
}

bool
aggregate_load(const struct aggregate *aggregate, struct accumulator *into,
               struct wire_reader *reader)
{
    struct arena arena = {0};
    int64_t count = wire_get_signed(reader);
    if (count == 0) {
        return !reader->failed;
    }
    bool overflown = wire_get_u8(reader) != 0;
    uint64_t sequence = wire_get_varint(reader);
    if (overflown || sequence != 0) {
        extra_of(into)->has_overflown = overflown;
        into->extra->sequence = sequence;
    }
    if (holds_value(aggregate)) {
        struct stream_value value = stream_key_get(reader, aggregate->arg_type, &arena);
        if (!reader->failed) {
            hold(into, aggregate->arg_type, &value);
        }
    } else if (aggregate->kind == AGGREGATE_LISTAGG) {
        struct bytes items = wire_get_bytes(reader);
        memcpy(own_room(into, items.size + 1), items.size == 0 ? "" : items.data, items.size);
        into->extra->size = items.size;
    } else if (aggregate->kind != AGGREGATE_COUNT) {
        into->mean = get_double(reader);
        into->squares = get_double(reader);
    }
    if (aggregate->distinct && aggregate->arg != NULL) {
        uint64_t values = wire_get_varint(reader);
        for (uint64_t i = 0; i < values && !reader->failed; i++) {
            remember(into, wire_get_bytes(reader));
        }
    }
    into->count = count;
    arena_fini(&arena);
    return !reader->failed && count > 0;
}
