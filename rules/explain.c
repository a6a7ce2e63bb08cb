/*
 * Counts, samples and names. Layout: one block for a rule, made when the rule is loaded; the table
 * of names comes only when a field of the rule is missing.
 */
#include "explain.h"

#include "base/mem.h"
#include "eval.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    LOOKS_FIRST = 100,         /* messages, all of which are looked at */
    LOOKS_MISSING = 1000,      /* the same while a field has never been seen */
    LOOK_EVERY_US = 250 * 1000,
    NAMES_MAX = 64,
    NAME_MAX_BYTES = 100,
    NAME_LEVELS_MAX = 4,
    VALUE_MAX_BYTES = 40,
    LAST_MAX_BYTES = 160,
    FAILURE_MAX_BYTES = 200,
};

/* A short text that is overwritten again and again. */
struct note {
    unsigned char size;
    char text[LAST_MAX_BYTES];
};

struct seen_field {
    uint64_t seen;
    uint64_t types[EXPLAIN_TYPES];
    unsigned char last_size;
    char last[VALUE_MAX_BYTES + 4];
};

struct seen_conjunct {
    _Atomic uint64_t no;
    _Atomic uint64_t undefined;
    int64_t looked_us;
    struct note last;
};

struct seen_name {
    struct bytes text; /* own memory */
    uint64_t count;
};

struct names {
    struct seen_name *items;
    size_t count, capacity; /* at most NAMES_MAX */
    bool is_full;
};

struct explain {
    bool thorough;
    uint64_t looked_at;
    int64_t looked_us;
    size_t missing; /* fields that have never been seen and must be */
    struct seen_conjunct *conjuncts;
    size_t conjunct_count;
    struct seen_field *fields;
    size_t field_count;
    struct names names; /* empty until a field is missing */
    _Atomic uint64_t nothing;
    uint64_t failed;
    struct bytes failure; /* own memory */
    const char *not_json; /* static */
};

struct explain *
explain_new(const struct rule_info *info, bool thorough)
{
    struct explain *explain = mem_new(struct explain);
    explain->thorough = thorough;
    explain->conjuncts = mem_new_array(struct seen_conjunct, info->conjunct_count);
    explain->conjunct_count = info->conjunct_count;
    explain->fields = mem_new_array(struct seen_field, info->field_count);
    explain->field_count = info->field_count;
    for (size_t i = 0; i < info->field_count; i++) {
        explain->missing += !info->fields[i].may_be_missing;
    }
    return explain;
}

void
explain_free(struct explain *explain)
{
    if (explain != NULL) {
        free(explain->conjuncts);
        free(explain->fields);
        for (size_t i = 0; i < explain->names.count; i++) {
            free((char *)(uintptr_t)explain->names.items[i].text.data);
        }
        free(explain->names.items);
        free((char *)(uintptr_t)explain->failure.data);
        free(explain);
    }
}

bool
explain_is_same(const struct rule_info *before, const struct rule_info *after)
{
    bool same = bytes_equal(before->source, after->source) &&
                before->source_kind == after->source_kind &&
                before->conjunct_count == after->conjunct_count &&
                before->field_count == after->field_count;
    for (size_t i = 0; same && i < before->conjunct_count; i++) {
        same = bytes_equal(before->conjuncts[i].text, after->conjuncts[i].text);
    }
    for (size_t i = 0; same && i < before->field_count; i++) {
        same = bytes_equal(before->fields[i].name, after->fields[i].name);
    }
    return same;
}

/* ---- counting ---- */

static void
add_one(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static bool
is_due(const struct explain *explain, int64_t looked_us, int64_t now_us)
{
    int64_t passed_us = now_us - looked_us;
    return passed_us >= LOOK_EVERY_US || passed_us < 0; /* the clock may step back */
}

bool
explain_count(struct explain *explain, const struct rule_message *message,
              enum rule_verdict verdict, const struct rule_row *row)
{
    bool due = explain->thorough || explain->looked_at < LOOKS_FIRST ||
               (explain->missing > 0 && explain->looked_at < LOOKS_MISSING) ||
               is_due(explain, explain->looked_us, message->time_us);
    if (verdict == RULE_FILTERED || verdict == RULE_UNDEFINED) {
        struct seen_conjunct *conjunct = &explain->conjuncts[row->conjunct];
        add_one(verdict == RULE_FILTERED ? &conjunct->no : &conjunct->undefined);
        return due || is_due(explain, conjunct->looked_us, message->time_us);
    }
    if (verdict == RULE_NOTHING) {
        add_one(&explain->nothing);
    }
    return due;
}

void
explain_failure(struct explain *explain, const char *reason)
{
    explain->failed++;
    struct bytes text = bytes_slice(bytes_of_string(reason), 0, FAILURE_MAX_BYTES);
    if (!bytes_equal(explain->failure, text)) {
        free((char *)(uintptr_t)explain->failure.data);
        explain->failure = bytes_of(bytes_to_string(text), text.size);
    }
}

/* ---- looking ---- */

/* Cuts between characters. */
static struct bytes
cut(struct bytes text, size_t size)
{
    if (text.size <= size) {
        return text;
    }
    while (size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80) {
        size--;
    }
    return bytes_slice(text, 0, size);
}

/* At most `size` bytes of the text, with dots where the rest was. */
static unsigned char
copy_cut(char *out, struct bytes text, size_t size)
{
    struct bytes part = cut(text, size);
    memcpy(out, part.data == NULL ? "" : part.data, part.size);
    if (part.size < text.size) {
        memcpy(out + part.size, "...", 3);
        return (unsigned char)(part.size + 3);
    }
    return (unsigned char)part.size;
}

static enum explain_type
type_of_node(const struct json *json, uint32_t node, struct arena *arena)
{
    struct value value = value_of_node(json, node);
    struct decimal number;
    switch (json->nodes[node].kind) {
    case JSON_NULL:
        return EXPLAIN_NULL;
    case JSON_FALSE:
    case JSON_TRUE:
        return EXPLAIN_BOOLEAN;
    case JSON_NUMBER:
        return EXPLAIN_NUMBER;
    case JSON_STRING:
        return value_to_number(&value, &number, arena) ? EXPLAIN_NUMERIC_STRING : EXPLAIN_STRING;
    case JSON_ARRAY:
        return EXPLAIN_ARRAY;
    default:
        return EXPLAIN_OBJECT;
    }
}

/* The node of a path, or 0. */
static uint32_t
find_path(const struct json *json, const struct rule_field *field)
{
    uint32_t node = 0;
    for (size_t i = 0; i < field->segment_count; i++) {
        bool is_object = json->nodes[node].kind == JSON_OBJECT;
        node = is_object ? json_member(json, node, field->segments[i]) : 0;
        if (node == 0) {
            return 0;
        }
    }
    return node;
}

static void
look_at_field(struct explain *explain, struct seen_field *seen, const struct rule_field *field,
              const struct json *json, uint32_t node, struct arena *arena)
{
    if (seen->seen == 0 && !field->may_be_missing) {
        explain->missing--;
    }
    seen->seen++;
    seen->types[type_of_node(json, node, arena)]++;
    seen->last_size = copy_cut(seen->last, json_raw(json, node), VALUE_MAX_BYTES);
}

static void
note_name(struct names *names, struct bytes name)
{
    for (size_t i = 0; i < names->count; i++) {
        struct seen_name *seen = &names->items[i];
        if (bytes_equal(seen->text, name)) {
            seen->count++;
            return;
        }
    }
    if (names->count == NAMES_MAX || name.size > NAME_MAX_BYTES) {
        names->is_full = true;
        return;
    }
    names->items = mem_grow(names->items, names->count, &names->capacity, sizeof *names->items);
    names->items[names->count++] =
            (struct seen_name){.text = bytes_of(bytes_to_string(name), name.size), .count = 1};
}

/* The names of an object's members and of theirs, at most a few hundred of them. */
static void
note_names(struct names *names, const struct json *json, uint32_t object, struct buf *path,
           unsigned level, unsigned *left, struct arena *arena)
{
    size_t size = path->size;
    uint32_t node = object + 1;
    for (uint32_t i = 0; i < json->nodes[object].count && *left > 0; i++) {
        if (size > 0) {
            buf_append_char(path, '.');
        }
        buf_append(path, json_string(json, node, arena));
        note_name(names, buf_bytes(path));
        (*left)--;
        if (json->nodes[node + 1].kind == JSON_OBJECT && level < NAME_LEVELS_MAX) {
            note_names(names, json, node + 1, path, level + 1, left, arena);
        }
        path->size = size;
        node = json->nodes[node + 1].next;
    }
}

/* "temperature: 21.5, status: missing" */
static void
look_at_conjunct(struct seen_conjunct *seen, const struct rule_conjunct *conjunct,
                 const struct rule_info *info, const struct rule_message *message)
{
    const struct json *json = &message->parsed->json;
    struct buf text = {.arena = message->arena};
    for (size_t i = 0; i < conjunct->field_count; i++) {
        const struct rule_field *field = &info->fields[conjunct->fields[i]];
        uint32_t node = find_path(json, field);
        char value[VALUE_MAX_BYTES + 4];
        size_t size = node == 0 ? 0 : copy_cut(value, json_raw(json, node), VALUE_MAX_BYTES);
        buf_printf(&text, "%s%.*s: %.*s", i > 0 ? ", " : "", BYTES_ARG(field->name),
                   node == 0 ? 7 : (int)size, node == 0 ? "missing" : value);
    }
    seen->looked_us = message->time_us;
    seen->last.size = copy_cut(seen->last.text, buf_bytes(&text), LAST_MAX_BYTES - 4);
}

enum { NAMES_PER_LOOK = 200 };

static void
look_at_payload(struct explain *explain, const struct rule_info *info, const struct json *json,
                struct arena *arena)
{
    for (size_t i = 0; i < info->field_count; i++) {
        uint32_t node = find_path(json, &info->fields[i]);
        if (node != 0) {
            look_at_field(explain, &explain->fields[i], &info->fields[i], json, node, arena);
        }
    }
    if (explain->missing > 0 && json->nodes[0].kind == JSON_OBJECT) {
        unsigned left = NAMES_PER_LOOK;
        struct buf path = {.arena = arena};
        note_names(&explain->names, json, 0, &path, 1, &left, arena);
    }
}

void
explain_look(struct explain *explain, const struct rule_info *info, struct rule_message *message,
             enum rule_verdict verdict, const struct rule_row *row)
{
    const struct rule_payload *payload = run_payload(message);
    explain->looked_at++;
    explain->looked_us = message->time_us;
    if (payload->is_json) {
        look_at_payload(explain, info, &payload->json, message->arena);
    } else {
        explain->not_json = payload->reason;
    }
    if (payload->is_json && (verdict == RULE_FILTERED || verdict == RULE_UNDEFINED)) {
        look_at_conjunct(&explain->conjuncts[row->conjunct], &info->conjuncts[row->conjunct], info,
                         message);
    }
}

/* ---- the answer ---- */

const char *
explain_type_name(enum explain_type type)
{
    static const char *const names[EXPLAIN_TYPES] = {
            [EXPLAIN_NULL] = "null",     [EXPLAIN_BOOLEAN] = "boolean",
            [EXPLAIN_NUMBER] = "number", [EXPLAIN_NUMERIC_STRING] = "string with a number",
            [EXPLAIN_STRING] = "string", [EXPLAIN_ARRAY] = "array",
            [EXPLAIN_OBJECT] = "object",
    };
    return names[type];
}

/* Whether a value of this type leaves the rule without what it hoped for. */
static bool
is_surprise(enum rule_field_wish wish, enum explain_type type)
{
    switch (wish) {
    case RULE_WISH_ANY:
        return false;
    case RULE_WISH_NUMERIC:
        return type != EXPLAIN_NUMBER && type != EXPLAIN_NUMERIC_STRING;
    case RULE_WISH_NUMBER:
        return type != EXPLAIN_NUMBER;
    case RULE_WISH_STRING:
        return type != EXPLAIN_STRING && type != EXPLAIN_NUMERIC_STRING;
    case RULE_WISH_BOOLEAN:
        return type != EXPLAIN_BOOLEAN;
    }
    never("all wishes are listed");
}

static void
find_nearest(const struct names *names, struct bytes wanted, struct arena *arena,
             struct explain_field *out)
{
    size_t best = 0;
    out->near = NEAR_FIELD_NOT;
    for (size_t i = 0; i < names->count; i++) {
        const struct seen_name *seen = &names->items[i];
        size_t distance;
        enum near_field near = near_field(wanted, seen->text, &distance);
        if (near < out->near || (near != NEAR_FIELD_NOT && near == out->near && distance < best)) {
            best = distance;
            out->near = near;
            out->nearest = arena_copy(arena, seen->text);
            out->nearest_seen = seen->count;
        }
    }
}

static struct explain_field
report_field(const struct explain *explain, size_t i, const struct rule_field *field,
             struct arena *arena)
{
    const struct seen_field *seen = &explain->fields[i];
    struct explain_field out = {
            .seen = seen->seen,
            .last = arena_copy(arena, bytes_of(seen->last, seen->last_size)),
            .near = NEAR_FIELD_NOT,
    };
    for (size_t t = 0; t < EXPLAIN_TYPES; t++) {
        out.types[t] = seen->types[t];
        if (seen->types[t] > 0 && is_surprise(field->wish, (enum explain_type)t)) {
            bool more = out.surprises == 0 || seen->types[t] > seen->types[out.surprise];
            out.surprise = more ? (enum explain_type)t : out.surprise;
            out.surprises += seen->types[t];
        }
    }
    if (seen->seen == 0) {
        find_nearest(&explain->names, field->name, arena, &out);
    }
    return out;
}

void
explain_report(const struct explain *explain, const struct rule_info *info, struct arena *arena,
               struct explain_report *out)
{
    check(info->conjunct_count == explain->conjunct_count &&
          info->field_count == explain->field_count);
    struct explain_conjunct *conjuncts = arena_new_array(arena, struct explain_conjunct,
                                                         info->conjunct_count);
    struct explain_field *fields = arena_new_array(arena, struct explain_field,
                                                   info->field_count);
    for (size_t i = 0; i < info->conjunct_count; i++) {
        const struct seen_conjunct *seen = &explain->conjuncts[i];
        conjuncts[i] = (struct explain_conjunct){
                .no = atomic_load_explicit(&seen->no, memory_order_relaxed),
                .undefined = atomic_load_explicit(&seen->undefined, memory_order_relaxed),
                .last = arena_copy(arena, bytes_of(seen->last.text, seen->last.size)),
        };
    }
    for (size_t i = 0; i < info->field_count; i++) {
        fields[i] = report_field(explain, i, &info->fields[i], arena);
    }
    *out = (struct explain_report){
            .looked_at = explain->looked_at,
            .conjuncts = conjuncts,
            .fields = fields,
            .names_full = explain->names.is_full,
            .nothing = atomic_load_explicit(&explain->nothing, memory_order_relaxed),
            .failed = explain->failed,
            .failure = arena_copy(arena, explain->failure),
            .not_json = explain->not_json == NULL ? BYTES("")
                                                  : arena_copy(arena, bytes_of_string(
                                                                              explain->not_json)),
    };
}
