/*
 * Answers to what rules ask: each question has one function, and its error becomes the reason why
 * the rule failed.
 */
#include "host.h"

#include "host_files.h"

static const struct zone *
zone_by_name(void *context, struct bytes name)
{
    struct host *host = context;
    return zone_cache_find(&host->zones, name);
}

/* ---- tables ---- */

static void
write_member(struct buf *out, struct bytes name, struct bytes json)
{
    buf_append_char(out, out->size == 0 ? '{' : ',');
    json_write_string(out, name);
    buf_append_char(out, ':');
    buf_append(out, json);
}

/* An item by its key; an empty answer when there is none. */
static bool
look_up(const struct host *host, struct rule_ask *ask, struct bytes table, struct buf *key,
        struct diag_list *diags)
{
    buf_append_char(key, '}');
    if (host->sources.lookup == NULL) {
        diag_error(diags, DIAG_MISSING, "tables cannot be read here");
        return false;
    }
    ask->answer = BYTES("");
    return host->sources.lookup(host->sources.context, table, buf_bytes(key), ask->arena,
                                &ask->answer, diags);
}

static bool
answer_item(const struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    struct buf key = {.arena = ask->arena};
    write_member(&key, ask->args[1], ask->args[2]);
    if (ask->count > 3) {
        write_member(&key, ask->args[3], ask->args[4]);
    }
    return look_up(host, ask, ask->args[0], &key, diags);
}

static struct bytes
quoted(struct bytes text, struct arena *arena)
{
    struct buf out = {.arena = arena};
    json_write_string(&out, text);
    return buf_bytes(&out);
}

/* An item of the shadow table; unlike items, a shadow that is not there is a failure. */
static bool
answer_shadow(const struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    struct buf key = {.arena = ask->arena};
    struct bytes shadow = ask->count > 1 ? ask->args[1] : BYTES("classic");
    const char *table = host->sources.shadow_table;
    write_member(&key, BYTES("thing"), quoted(ask->args[0], ask->arena));
    write_member(&key, BYTES("shadow"), quoted(shadow, ask->arena));
    if (!look_up(host, ask, bytes_of_string(table == NULL ? "" : table), &key, diags)) {
        return false;
    }
    if (ask->answer.size == 0) {
        diag_error(diags, DIAG_MISSING, "device '%.*s' has no shadow '%.*s'",
                   BYTES_ARG(ask->args[0]), BYTES_ARG(shadow));
        return false;
    }
    return true;
}

/* ---- handlers ---- */

/* Of arn:aws:lambda:REGION:ACCOUNT:function:NAME[:ALIAS] the name; other texts are one. */
static struct bytes
function_name(struct bytes arn)
{
    struct bytes part, last = arn, before = BYTES("");
    while (bytes_split(&arn, ':', &part)) {
        if (bytes_equal(before, BYTES("function"))) {
            return part;
        }
        before = part;
        last = part;
    }
    return last;
}

static bool
answer_call(const struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    if (host->sources.call == NULL) {
        diag_error(diags, DIAG_MISSING, "handlers cannot be called here");
        return false;
    }
    return host->sources.call(host->sources.context, function_name(ask->args[0]), ask->args[1],
                              ask->arena, &ask->answer, diags);
}

/* ---- all questions ---- */

static bool
answer(struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    switch (ask->question) {
    case RULE_ASK_SHADOW:
        return answer_shadow(host, ask, diags);
    case RULE_ASK_ITEM:
        return answer_item(host, ask, diags);
    case RULE_ASK_SECRET:
        return host_answer_secret(host, ask, diags);
    case RULE_ASK_FUNCTION:
    case RULE_ASK_MODEL:
        return answer_call(host, ask, diags);
    case RULE_ASK_THING:
        return host_answer_thing(host, ask, diags);
    case RULE_ASK_GROUPS:
        return host_answer_groups(host, ask, diags);
    case RULE_ASK_DESCRIPTOR:
        return host_answer_descriptor(host, ask, diags);
    }
    never("all questions are listed");
}

static enum rule_answer
ask_host(void *context, struct rule_ask *ask)
{
    struct diag_list diags = {0};
    bool answered = answer(context, ask, &diags);
    if (!answered) {
        ask->answer = arena_copy(ask->arena, diag_first_error(&diags));
    }
    diag_list_fini(&diags);
    if (!answered) {
        return RULE_ASK_FAILED;
    }
    return ask->question == RULE_ASK_ITEM && ask->answer.size == 0 ? RULE_NO_SUCH : RULE_ANSWERED;
}

void
host_init(struct host *host, const struct os *os)
{
    *host = (struct host){
            .rule = {.zone = zone_by_name, .ask = ask_host, .context = host}, .os = os};
    zone_cache_init(&host->zones, os, ZONE_FOLDER);
}

void
host_set_sources(struct host *host, const struct host_sources *sources)
{
    host->sources = *sources;
}

void
host_fini(struct host *host)
{
    host_files_fini(host);
    zone_cache_fini(&host->zones);
}
