/*
 * The document: what is known of a rule, as JSON.
 *
 *   {"rule": "hot", "path": ..., "line": 1, "source": "sensors/+/data", "errors": "",
 *    "gateway": {...},                                      only when one runs
 *    "messages": 812, "matched": 0, "rows": 0, "not_json": 0, "failed": 0, "nothing": 0,
 *    "looked_at": 512,
 *    "conjuncts": [{"text": "temperature > 60", "false": 812, "undefined": 0, "last": ...}],
 *    "fields": [{"name": "temperature", "seen": 512, "nearest": "", ...}],
 *    "targets": [...], "topics": {"known": 3, "near": [...]},
 *    "heard": {...}, "reason": "..."}                       added by why_complete()
 */
#include "why_document.h"

#include <inttypes.h>
#include <stdlib.h>

enum { NEAR_TOPICS_MAX = 10, DOCUMENT_DEPTH_MAX = 16 };

/* ---- writing ---- */

void
why_key(struct buf *out, const char *name)
{
    char before = out->size == 0 ? '{' : out->data[out->size - 1];
    if (before != '{' && before != '[') {
        buf_append_char(out, ',');
    }
    json_write_string(out, bytes_of_string(name));
    buf_append_char(out, ':');
}

void
why_put_text(struct buf *out, const char *name, struct bytes text)
{
    why_key(out, name);
    json_write_string(out, bytes_is_utf8(text) ? text : BYTES("(not text)"));
}

void
why_put_count(struct buf *out, const char *name, uint64_t count)
{
    why_key(out, name);
    buf_printf(out, "%" PRIu64, count);
}

void
why_put_bool(struct buf *out, const char *name, bool value)
{
    why_key(out, name);
    buf_append_string(out, value ? "true" : "false");
}

/* Begins an element of an array that is an object. */
static void
begin_element(struct buf *out)
{
    buf_append_string(out, out->data[out->size - 1] == '[' ? "{" : ",{");
}

/* ---- topics ---- */

struct near_entry {
    const struct recent_topic *topic;
    struct bytes why;
};

static int
compare_near(const void *a, const void *b)
{
    const struct near_entry *x = a, *y = b;
    if (x->topic->count != y->topic->count) {
        return x->topic->count > y->topic->count ? -1 : 1;
    }
    return bytes_compare(x->topic->topic, y->topic->topic);
}

void
why_put_near(struct buf *out, struct bytes filter, const struct recent_topic *topics,
             size_t count, int64_t now_us, struct arena *arena)
{
    struct near_entry *near = arena_new_array(arena, struct near_entry, count + 1);
    size_t near_count = 0;
    for (size_t i = 0; i < count; i++) {
        near[near_count].topic = &topics[i];
        near_count += near_topic(filter, topics[i].topic, arena, &near[near_count].why);
    }
    qsort(near, near_count, sizeof *near, compare_near);
    why_key(out, "near");
    buf_append_char(out, '[');
    for (size_t i = 0; i < near_count && i < NEAR_TOPICS_MAX; i++) {
        int64_t age_s = (now_us - near[i].topic->last_us) / 1000000;
        begin_element(out);
        why_put_text(out, "topic", near[i].topic->topic);
        why_put_count(out, "messages", near[i].topic->count);
        why_put_count(out, "seconds_ago", age_s < 0 ? 0 : (uint64_t)age_s);
        why_put_text(out, "why", near[i].why);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

/* ---- the parts ---- */

static void
put_conjuncts(const struct why_subject *subject, struct buf *out)
{
    const struct rule_info *info = subject->info;
    why_key(out, "conjuncts");
    buf_append_char(out, '[');
    for (size_t i = 0; i < info->conjunct_count; i++) {
        const struct rule_conjunct *conjunct = &info->conjuncts[i];
        const struct explain_conjunct *seen = &subject->report->conjuncts[i];
        begin_element(out);
        why_put_text(out, "text", conjunct->text);
        why_put_count(out, "line", conjunct->place.line);
        why_put_count(out, "column", conjunct->place.column);
        why_put_count(out, "false", seen->no);
        why_put_count(out, "undefined", seen->undefined);
        why_put_text(out, "last", seen->last);
        why_key(out, "fields");
        buf_append_char(out, '[');
        for (size_t f = 0; f < conjunct->field_count; f++) {
            buf_append_string(out, f > 0 ? "," : "");
            json_write_string(out, info->fields[conjunct->fields[f]].name);
        }
        buf_append_string(out, "]}");
    }
    buf_append_char(out, ']');
}

static const char *
wish_name(enum rule_field_wish wish)
{
    switch (wish) {
    case RULE_WISH_ANY:
        return "";
    case RULE_WISH_NUMERIC:
    case RULE_WISH_NUMBER:
        return "number";
    case RULE_WISH_STRING:
        return "string";
    case RULE_WISH_BOOLEAN:
        return "boolean";
    }
    never("all wishes are listed");
}

static void
put_field(const struct rule_field *field, const struct explain_field *seen, struct buf *out)
{
    static const char *const nears[] = {
            [NEAR_FIELD_CASE] = "spelling",
            [NEAR_FIELD_LEVEL] = "level",
            [NEAR_FIELD_SPELLING] = "spelling",
            [NEAR_FIELD_NOT] = "",
    };
    why_put_text(out, "name", field->name);
    why_put_count(out, "line", field->place.line);
    why_put_count(out, "seen", seen->seen);
    why_put_bool(out, "may_be_missing", field->may_be_missing);
    why_put_bool(out, "selected", (field->uses & RULE_FIELD_SELECT) != 0);
    why_key(out, "types");
    buf_append_char(out, '{');
    for (size_t t = 0; t < EXPLAIN_TYPES; t++) {
        if (seen->types[t] > 0) {
            why_put_count(out, explain_type_name((enum explain_type)t), seen->types[t]);
        }
    }
    buf_append_char(out, '}');
    why_put_text(out, "last", seen->last);
    if (seen->surprises > 0) {
        why_put_text(out, "wanted", bytes_of_string(wish_name(field->wish)));
        why_put_text(out, "surprise", bytes_of_string(explain_type_name(seen->surprise)));
        why_put_count(out, "surprises", seen->surprises);
    }
    if (seen->near != NEAR_FIELD_NOT) {
        why_put_text(out, "nearest", seen->nearest);
        why_put_count(out, "nearest_seen", seen->nearest_seen);
        why_put_text(out, "nearest_by", bytes_of_string(nears[seen->near]));
    }
}

static void
put_fields(const struct why_subject *subject, struct buf *out)
{
    why_key(out, "fields");
    buf_append_char(out, '[');
    for (size_t i = 0; i < subject->info->field_count; i++) {
        begin_element(out);
        put_field(&subject->info->fields[i], &subject->report->fields[i], out);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
    why_put_count(out, "fields_omitted", subject->info->fields_omitted);
    why_put_bool(out, "names_full", subject->report->names_full);
}

static void
put_targets(const struct why_subject *subject, struct buf *out)
{
    why_key(out, "targets");
    buf_append_char(out, '[');
    for (size_t i = 0; i < subject->target_count; i++) {
        const struct why_target *target = &subject->targets[i];
        begin_element(out);
        why_put_text(out, "name", target->name);
        why_put_bool(out, "is_topic", target->is_topic);
        why_put_text(out, "driver", target->driver);
        why_put_text(out, "state", target->state);
        why_put_text(out, "last_error", target->last_error);
        why_put_text(out, "held_up", target->held_up);
        why_put_count(out, "queued", target->queued);
        why_put_count(out, "delivered", target->delivered);
        why_put_count(out, "rejected", target->rejected);
        why_put_count(out, "lost", target->lost);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

static void
put_gateway(const struct why_gateway *gateway, struct buf *out)
{
    why_key(out, "gateway");
    buf_append_char(out, '{');
    why_put_bool(out, "connected", gateway->is_connected);
    why_put_text(out, "broker", gateway->broker);
    why_put_count(out, "uptime_s", gateway->uptime_s < 0 ? 0 : (uint64_t)gateway->uptime_s);
    why_put_bool(out, "subscribed", gateway->is_subscribed);
    why_put_bool(out, "refused", gateway->is_refused);
    why_put_text(out, "refusal", gateway->refusal);
    buf_append_char(out, '}');
}

void
why_write(const struct why_subject *subject, struct arena *arena, struct buf *out)
{
    const struct rule_info *info = subject->info;
    const struct explain_report *report = subject->report;
    bool is_topic = info->source_kind == RULE_SOURCE_TOPIC;
    buf_append_char(out, '{');
    why_put_text(out, "rule", info->name);
    why_put_text(out, "path", subject->path);
    why_put_count(out, "line", info->place.line);
    why_put_text(out, "errors", subject->errors);
    why_put_text(out, "source", info->source);
    why_put_bool(out, "source_is_topic", is_topic);
    if (subject->counts.is_stream) {
        why_put_bool(out, "is_stream", true);
        why_put_count(out, "unusable", subject->counts.unusable);
        why_put_count(out, "late", subject->counts.late);
        why_put_count(out, "refused", subject->counts.refused);
    }
    if (subject->gateway != NULL) {
        put_gateway(subject->gateway, out);
    }
    why_put_bool(out, "idle", subject->is_idle);
    why_put_count(out, "messages", subject->counts.messages);
    why_put_count(out, "matched", subject->counts.matched);
    why_put_count(out, "rows", subject->counts.rows);
    why_put_count(out, "not_json", subject->counts.not_json);
    why_put_text(out, "not_json_reason", report->not_json);
    why_put_count(out, "failed", report->failed);
    why_put_text(out, "failure", report->failure);
    why_put_count(out, "nothing", report->nothing);
    why_put_count(out, "looked_at", report->looked_at);
    put_conjuncts(subject, out);
    put_fields(subject, out);
    put_targets(subject, out);
    why_key(out, "topics");
    buf_append_char(out, '{');
    why_put_count(out, "known", subject->topic_count);
    why_put_near(out, info->source, subject->topics, is_topic ? subject->topic_count : 0,
                 subject->now_us, arena);
    buf_append_string(out, "}}");
}

void
why_write_unknown(struct bytes name, struct bytes nearest, struct bytes errors, struct buf *out)
{
    buf_append_char(out, '{');
    why_put_text(out, "unknown", name);
    why_put_text(out, "nearest", nearest);
    why_put_text(out, "errors", errors);
    buf_append_char(out, '}');
}

static struct bytes
without_ending(struct bytes path)
{
    size_t end = path.size;
    for (size_t i = 0; i < path.size; i++) {
        end = path.data[i] == '.' ? i : path.data[i] == '/' ? path.size : end;
    }
    return bytes_slice(path, 0, end);
}

/* The first line of an error about the file or its test: PATH:3:8: error: ... */
static bool
is_error_of(struct bytes line, struct bytes stem)
{
    static const char *const endings[] = {".sql:", ".json:", ".test:"};
    bool is_of = false;
    if (stem.size == 0 || !bytes_starts_with(line, stem)) {
        return false;
    }
    struct bytes rest = bytes_slice(line, stem.size, line.size);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        is_of |= bytes_starts_with(rest, bytes_of_string(endings[i]));
    }
    for (size_t i = 0; is_of && i < rest.size; i++) {
        if (bytes_starts_with(bytes_slice(rest, i, rest.size), BYTES(" error: "))) {
            return true;
        }
    }
    return false;
}

struct bytes
why_errors_of(struct bytes report, struct bytes path, struct arena *arena)
{
    struct buf errors = {.arena = arena};
    struct bytes line, stem = without_ending(path);
    bool inside = false;
    while (bytes_split(&report, '\n', &line)) {
        bool goes_on = line.size > 0 && line.data[0] == ' ';
        inside = goes_on ? inside : is_error_of(line, stem);
        if (inside) {
            buf_append(&errors, line);
            buf_append_char(&errors, '\n');
        }
    }
    return buf_bytes(&errors);
}

/* ---- reading ---- */

bool
why_parse(struct why_document *document, struct bytes text, struct diag_list *diags)
{
    struct json_error error;
    *document = (struct why_document){0};
    if (!json_parse(&document->json, text, DOCUMENT_DEPTH_MAX, &document->arena, &error) ||
        document->json.nodes[0].kind != JSON_OBJECT) {
        diag_error(diags, DIAG_CORRUPT, "the gateway's answer is not a document");
        arena_fini(&document->arena);
        return false;
    }
    return true;
}

void
why_document_fini(struct why_document *document)
{
    arena_fini(&document->arena);
}

uint32_t
why_object(const struct why_document *document, uint32_t object, const char *name)
{
    bool is_object = document->json.nodes[object].kind == JSON_OBJECT;
    return is_object ? json_member(&document->json, object, bytes_of_string(name)) : 0;
}

struct bytes
why_text(struct why_document *document, uint32_t object, const char *name)
{
    uint32_t node = why_object(document, object, name);
    bool is_text = node != 0 && document->json.nodes[node].kind == JSON_STRING;
    return is_text ? json_string(&document->json, node, &document->arena) : BYTES("");
}

uint64_t
why_count(const struct why_document *document, uint32_t object, const char *name)
{
    int64_t number;
    uint32_t node = why_object(document, object, name);
    bool is_count = node != 0 && document->json.nodes[node].kind == JSON_NUMBER &&
                    json_int64(&document->json, node, &number) && number >= 0;
    return is_count ? (uint64_t)number : 0;
}

bool
why_bool(const struct why_document *document, uint32_t object, const char *name)
{
    uint32_t node = why_object(document, object, name);
    return node != 0 && document->json.nodes[node].kind == JSON_TRUE;
}

uint32_t
why_first(const struct why_document *document, uint32_t object, const char *name, uint32_t *array)
{
    *array = why_object(document, object, name);
    bool is_array = *array != 0 && document->json.nodes[*array].kind == JSON_ARRAY;
    return is_array ? json_element(&document->json, *array, 0) : 0;
}

uint32_t
why_next(const struct why_document *document, uint32_t array, uint32_t element)
{
    uint32_t next = document->json.nodes[element].next;
    return next < document->json.nodes[array].next ? next : 0;
}

bool
why_is_known(struct bytes document)
{
    struct why_document parsed;
    struct diag_list diags = {0};
    bool known = why_parse(&parsed, document, &diags);
    if (known) {
        known = why_object(&parsed, 0, "rule") != 0;
        why_document_fini(&parsed);
    }
    diag_list_fini(&diags);
    return known;
}

/* ---- completing ---- */

void
why_reason_of(struct bytes text, struct buf *out)
{
    struct why_document document;
    struct diag_list diags = {0};
    size_t start = out->size;
    bool parsed = why_parse(&document, text, &diags);
    check(parsed && "we wrote it");
    why_reason(&document, out);
    why_disarm(out, start);
    why_document_fini(&document);
    diag_list_fini(&diags);
}

static void
put_heard(const struct why_heard *heard, struct bytes filter, struct arena *arena, struct buf *out)
{
    uint64_t matching = 0;
    for (size_t i = 0; i < heard->topic_count; i++) {
        matching += topic_match(filter, heard->topics[i].topic) ? heard->topics[i].count : 0;
    }
    why_key(out, "heard");
    buf_append_char(out, '{');
    why_put_count(out, "seconds", (uint64_t)heard->seconds);
    why_put_count(out, "messages", heard->messages);
    why_put_count(out, "topics", heard->topic_count);
    why_put_count(out, "matching", matching);
    why_put_near(out, filter, heard->topics, heard->topic_count, heard->now_us, arena);
    buf_append_char(out, '}');
}

bool
why_complete(struct bytes text, const struct why_heard *heard, struct buf *out,
             struct diag_list *diags)
{
    struct why_document document;
    text = bytes_trim(text);
    if (!why_parse(&document, text, diags)) {
        return false;
    }
    size_t start = out->size;
    buf_append(out, bytes_slice(text, 0, text.size - 1));
    if (heard != NULL && why_bool(&document, 0, "source_is_topic")) {
        put_heard(heard, why_text(&document, 0, "source"), &document.arena, out);
    }
    why_document_fini(&document);
    buf_append_char(out, '}');
    struct buf reason = {0};
    bool parsed = why_parse(&document, bytes_slice(buf_bytes(out), start, out->size), diags);
    if (parsed) {
        why_reason(&document, &reason);
        out->size--;
        why_document_fini(&document); /* its text is about to move */
        why_put_text(out, "reason", buf_bytes(&reason));
        buf_append_char(out, '}');
    }
    buf_fini(&reason);
    return parsed;
}
