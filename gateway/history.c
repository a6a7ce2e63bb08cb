/*
 * Each version is put into a temporary folder, beside copies of the other rule files, because a rule
 * may use what they declare. Then
 *
 *   logs ──by time──> message ──┬──> rules before ──> lines ──┐
 *                               └──> rules now    ──> lines ──┴──> compared, message by message
 */
#define _GNU_SOURCE
#include "history.h"

#include "base/base64.h"
#include "base/calendar.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "command.h"
#include "host.h"
#include "message.h"
#include "message_origin.h"
#include "rules_kept.h"
#include "ruleset.h"
#include "store/journal.h"
#include "trial.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RULE_FILE_MAX_BYTES = 1024 * 1024, OPEN_MAX = 8 };

/* Outputs of one message, a line each. */
struct lines {
    struct bytes *items;
    size_t count, capacity;
};

struct version {
    char folder[32]; /* empty: not made */
    struct ruleset *ruleset;
    const struct ruleset_rule **rules;
    size_t rule_count;
    struct trial *trial;
    struct lines lines;
    struct arena *arena; /* of the lines */
};

/* A log that messages come from. */
struct source {
    char *stream; /* NULL: the journal of messages */
    struct journal_reader *reader;
    struct record record; /* the next one */
    bool has_record;
    struct rule_origin plain;
};

struct history {
    const struct history_options *options;
    struct history_report *report;
    struct message_origin_options origin;
    struct host host;
    struct version before, now;
    struct source *sources;
    size_t source_count, source_capacity;
    struct arena arena; /* of one message */
    struct diag_list *diags;
};

/* ---- the two versions ---- */

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool
read_rules(const char *path, struct buf *out, struct diag_list *diags)
{
    int result = os_read_file(&os_posix, path, RULE_FILE_MAX_BYTES, out);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot read '%s'", path);
    }
    return result >= 0;
}

struct copying {
    struct history *history;
    const struct version *to;
    bool is_good;
};

static void
copy_rules(void *context, const char *name)
{
    struct copying *copying = context;
    const struct history_options *options = copying->history->options;
    struct bytes bytes = bytes_of_string(name);
    bool is_rules = bytes_ends_with(bytes, BYTES(".sql")) || bytes_ends_with(bytes, BYTES(".json"));
    if (!is_rules || strcmp(name, base_name(options->path)) == 0) {
        return;
    }
    struct buf from = {0}, to = {0}, text = {0};
    buf_printf(&from, "%s/%s", options->config->rules_dir, name);
    buf_printf(&to, "%s/%s", copying->to->folder, name);
    copying->is_good = copying->is_good &&
                       read_rules(buf_string(&from), &text, copying->history->diags) &&
                       os_replace_file(&os_posix, buf_string(&to), buf_bytes(&text), 0600) == 0;
    buf_fini(&from);
    buf_fini(&to);
    buf_fini(&text);
}

static void
choose_rules(struct history *history, struct version *version, const char *listed)
{
    const struct ruleset *ruleset = version->ruleset;
    version->rules = mem_new_array(const struct ruleset_rule *, ruleset->rule_count);
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &ruleset->rules[i];
        const char *name = history->options->rule;
        if (strcmp(rule->path, listed) == 0 &&
            (name == NULL || bytes_equal_string(rule->info->name, name))) {
            version->rules[version->rule_count++] = rule;
        }
    }
}

static void
start_trial(struct history *history, struct version *version)
{
    const struct rule **rules = mem_new_array(const struct rule *, version->rule_count);
    for (size_t i = 0; i < version->rule_count; i++) {
        rules[i] = version->rules[i]->rule;
    }
    version->trial = trial_new(rules, version->rule_count, &history->host.rule, 1);
    for (size_t i = 0; i < version->rule_count; i++) {
        if (version->rules[i]->program != NULL) {
            trial_set_program(version->trial, i, version->rules[i]->program);
        }
    }
    free(rules);
    version->arena = &history->arena;
}

/* Puts the version, and copies of the other files, into a folder; appends its path. */
static bool
make_folder(struct history *history, struct version *version, struct bytes text, struct buf *path)
{
    strcpy(version->folder, "/tmp/headgate-test-XXXXXX");
    if (mkdtemp(version->folder) == NULL) {
        version->folder[0] = '\0';
        diag_io_error(history->diags, errno, "cannot make a folder in /tmp");
        return false;
    }
    struct copying copying = {history, version, true};
    os_posix.list(&os_posix, history->options->config->rules_dir, copy_rules, &copying);
    buf_printf(path, "%s/%s", version->folder, base_name(history->options->path));
    int result = os_replace_file(&os_posix, buf_string(path), text, 0600);
    if (result < 0) {
        diag_io_error(history->diags, -result, "cannot write '%s'", buf_string(path));
    }
    return copying.is_good && result == 0;
}

/* Whether the file is among the gateway's rules, so that it can be loaded where it is. */
static bool
is_in_rules_dir(const struct history_options *options)
{
    struct buf beside = {0};
    struct stat here, there;
    buf_printf(&beside, "%s/%s", options->config->rules_dir, base_name(options->path));
    bool is_same = stat(options->path, &here) == 0 && stat(buf_string(&beside), &there) == 0 &&
                   here.st_dev == there.st_dev && here.st_ino == there.st_ino;
    buf_fini(&beside);
    return is_same;
}

static bool
load_version(struct history *history, struct version *version, struct bytes text)
{
    struct buf path = {0};
    const char *listed;
    bool is_there = version == &history->now && is_in_rules_dir(history->options);
    if (is_there) {
        buf_append_string(&path, history->options->path);
    }
    bool is_loaded = (is_there || make_folder(history, version, text, &path)) &&
                     ruleset_load_file(&version->ruleset, buf_string(&path), &listed,
                                       history->diags);
    if (is_loaded) {
        choose_rules(history, version, listed);
        start_trial(history, version);
    }
    buf_fini(&path);
    return is_loaded;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)remove(path);
    return 0;
}

static void
free_version(struct version *version)
{
    if (version->folder[0] != '\0') {
        nftw(version->folder, remove_entry, OPEN_MAX, FTW_DEPTH | FTW_PHYS);
    }
    trial_free(version->trial);
    free(version->lines.items);
    free(version->rules);
    ruleset_free(version->ruleset);
}

static bool
load_versions(struct history *history)
{
    const struct history_options *options = history->options;
    struct buf now = {0}, before = {0};
    bool is_read = read_rules(options->path, &now, history->diags);
    bool has_before = false;
    if (is_read && options->against != NULL) {
        is_read = has_before = read_rules(options->against, &before, history->diags);
    } else if (is_read) {
        has_before = rules_kept_other(&os_posix, options->config->data_dir, options->path,
                                      buf_bytes(&now), &before);
    }
    bool is_loaded = is_read && load_version(history, &history->now, buf_bytes(&now)) &&
                     (!has_before || load_version(history, &history->before, buf_bytes(&before)));
    if (is_loaded && !has_before) {
        printf("# the gateway keeps no other version of %s: all outputs are new; --against FILE "
               "names one\n",
               base_name(options->path));
    }
    if (is_loaded && history->now.rule_count == 0 && history->before.rule_count == 0) {
        diag_error(history->diags, DIAG_MISSING, "'%s' has no rule%s%s", options->path,
                   options->rule == NULL ? "" : " named ",
                   options->rule == NULL ? "" : options->rule);
        is_loaded = false;
    }
    buf_fini(&now);
    buf_fini(&before);
    return is_loaded;
}

/* ---- outputs as lines ---- */

static void
print_payload(struct bytes payload, bool is_json, struct buf *out)
{
    if (is_json) {
        buf_append(out, payload);
    } else if (bytes_is_utf8(payload)) {
        json_write_string(out, payload);
    } else {
        buf_append_string(out, "{\"base64\":\"");
        base64_encode(out, payload);
        buf_append_string(out, "\"}");
    }
}

static void
add_line(struct version *version, const struct buf *line)
{
    struct lines *lines = &version->lines;
    lines->items = mem_grow(lines->items, lines->count, &lines->capacity, sizeof *lines->items);
    lines->items[lines->count++] = arena_copy(version->arena, buf_bytes(line));
}

static void
note_outcome(void *context, struct trial_outcome *outcome)
{
    struct version *version = context;
    const struct rule_row *row = &outcome->row;
    struct buf line = {.arena = version->arena};
    if (outcome->verdict == RULE_FAILED) {
        buf_printf(&line, "%.*s failed: %s", BYTES_ARG(outcome->info->name), row->reason);
        add_line(version, &line);
    }
    for (size_t i = 0; i < row->output_count && outcome->verdict == RULE_MATCHED; i++) {
        const struct rule_output *output = &row->outputs[i];
        buf_clear(&line);
        buf_printf(&line, "%.*s %.*s ", BYTES_ARG(outcome->info->name), BYTES_ARG(output->text));
        if (output->failure.size > 0) {
            buf_printf(&line, "failed: %.*s", BYTES_ARG(output->failure));
        } else {
            print_payload(output->payload, output->payload_is_json, &line);
        }
        add_line(version, &line);
    }
}

/* Takes out of both what is in both; gives how many. */
static size_t
cancel(struct lines *a, struct lines *b)
{
    size_t kept = 0, same = 0;
    for (size_t i = 0; i < a->count; i++) {
        size_t j = 0;
        while (j < b->count && !bytes_equal(a->items[i], b->items[j])) {
            j++;
        }
        if (j < b->count) {
            memmove(&b->items[j], &b->items[j + 1], (b->count - j - 1) * sizeof *b->items);
            b->count--;
            same++;
        } else {
            a->items[kept++] = a->items[i];
        }
    }
    a->count = kept;
    return same;
}

static void
print_lines(char sign, const struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        printf("%c%.*s\n", sign, BYTES_ARG(lines->items[i]));
    }
}

static void
print_time(int64_t time_us)
{
    struct buf text = {0};
    calendar_print(time_us * CALENDAR_NS_PER_US, 'T', &text);
    printf("%.*sZ", BYTES_ARG(bytes_slice(buf_bytes(&text), 0, sizeof "2026-01-01T00:00:00.000" - 1)));
    buf_fini(&text);
}

static void
compare(struct history *history, const struct trial_message *message)
{
    struct lines *before = &history->before.lines, *now = &history->now.lines;
    struct history_report *report = history->report;
    report->same += cancel(before, now);
    report->gone += before->count;
    report->come += now->count;
    if (before->count + now->count > 0) {
        printf("@@ ");
        if (message != NULL) {
            print_time(message->time_us);
            printf(" %s%.*s @@\n", message->stream.size > 0 ? "stream " : "",
                   BYTES_ARG(message->stream.size > 0 ? message->stream : message->topic));
        } else {
            printf("windows that were open at the end @@\n");
        }
        print_lines('-', before);
        print_lines('+', now);
    }
    before->count = now->count = 0;
}

/* ---- what was received ---- */

static bool
read_next(struct history *history, struct source *source)
{
    enum journal_read read = JOURNAL_GAP;
    while (read == JOURNAL_GAP) {
        read = journal_reader_next(source->reader, UINT64_MAX, &source->record, history->diags);
    }
    source->has_record = read == JOURNAL_RECORD &&
                         source->record.time_us < history->options->to_us;
    return read != JOURNAL_ERROR;
}

/* How far back it goes, when that is less than was asked for. */
static void
tell_reach(struct history *history, const struct source *source)
{
    struct bytes name = source->stream == NULL ? BYTES("the journal")
                                               : bytes_of_string(source->stream);
    if (!source->has_record) {
        printf("# %.*s has nothing from that time\n", BYTES_ARG(name));
    } else if (source->record.time_us > history->options->from_us + INT64_C(60000000)) {
        printf("# %.*s reaches back to ", BYTES_ARG(name));
        print_time(source->record.time_us);
        printf("%s\n", source->stream == NULL ? "; 'journal_history' keeps more" : "");
    }
}

/* `stream` NULL: messages. A log that is not there yet has nothing. */
static bool
add_source(struct history *history, const char *stream)
{
    const char *data_dir = history->options->config->data_dir;
    struct buf dir = {0};
    struct source source = {.stream = stream == NULL ? NULL
                                                     : bytes_to_string(bytes_of_string(stream))};
    uint64_t from;
    if (stream == NULL) {
        buf_printf(&dir, "%s/journal/mqtt", data_dir);
    } else {
        buf_printf(&dir, "%s/streams/%s", data_dir, stream);
    }
    bool is_open = journal_find_time(&os_posix, buf_string(&dir), history->options->from_us, &from,
                                     history->diags) &&
                   journal_reader_open(&source.reader, &os_posix, buf_string(&dir), from,
                                       history->diags);
    if (is_open) {
        source.plain = message_origin_plain(
                &history->origin, stream == NULL ? BYTES("mqtt") : bytes_of_string(stream));
        is_open = read_next(history, &source);
        tell_reach(history, &source);
        history->sources = mem_grow(history->sources, history->source_count,
                                    &history->source_capacity, sizeof *history->sources);
        history->sources[history->source_count++] = source;
    } else {
        free(source.stream);
    }
    buf_fini(&dir);
    return is_open;
}

static bool
has_source(const struct history *history, struct bytes stream)
{
    for (size_t i = 0; i < history->source_count; i++) {
        const char *name = history->sources[i].stream;
        if (name != NULL && bytes_equal_string(stream, name)) {
            return true;
        }
    }
    return false;
}

static bool
add_stream(struct history *history, const struct ruleset_relation *relation)
{
    if (relation == NULL) {
        return true;
    }
    char *stream = bytes_to_string(relation_sink_name(relation->declared));
    bool is_open = has_source(history, bytes_of_string(stream)) || add_source(history, stream);
    free(stream);
    return is_open;
}

/* The streams that rules of this version read. */
static bool
add_streams(struct history *history, const struct version *version)
{
    bool is_open = true;
    for (size_t i = 0; i < version->rule_count && is_open; i++) {
        const struct ruleset_rule *rule = version->rules[i];
        size_t feeds = rule->program == NULL ? 0 : stream_program_source_count(rule->program);
        is_open = add_stream(history, rule->source);
        for (size_t f = 0; f < feeds && is_open; f++) {
            is_open = add_stream(history, rule->feeds[f].relation);
        }
    }
    return is_open;
}

static struct source *
earliest(struct history *history)
{
    struct source *found = NULL;
    for (size_t i = 0; i < history->source_count; i++) {
        struct source *source = &history->sources[i];
        bool is_earlier = source->has_record &&
                          (found == NULL || source->record.time_us < found->record.time_us);
        found = is_earlier ? source : found;
    }
    return found;
}

static struct trial_message
message_of(struct history *history, const struct source *source)
{
    struct arena *arena = &history->arena;
    const struct record *record = &source->record;
    struct message_props props;
    struct trial_message message = {
            .topic = source->stream == NULL ? record->topic : BYTES(""),
            .stream = source->stream == NULL ? BYTES("") : bytes_of_string(source->stream),
            .payload = record->payload,
            .has_time = true,
            .time_us = record->time_us,
            .qos = record->flags & RECORD_QOS,
            .origin = source->plain,
    };
    struct bytes encoded = record->props;
    struct message_mark mark;
    (void)!message_mark_take(&encoded, &mark);
    if (encoded.size > 0 && message_props_decode(encoded, arena, &props)) {
        message.origin = message_origin_of_props(&source->plain, &history->origin, &props, arena);
    }
    return message;
}

static void
run_version(struct version *version, const struct trial_message *message)
{
    if (version->trial != NULL) {
        (void)!trial_run(version->trial, message, version->arena, note_outcome, version);
    }
}

static void
finish_version(struct version *version)
{
    if (version->trial != NULL) {
        trial_finish(version->trial, version->arena, note_outcome, version);
    }
}

static bool
run_messages(struct history *history)
{
    bool is_good = true;
    struct source *source;
    while (is_good && (source = earliest(history)) != NULL) {
        struct trial_message message = message_of(history, source);
        run_version(&history->before, &message);
        run_version(&history->now, &message);
        compare(history, &message);
        history->report->messages++;
        arena_reset(&history->arena);
        is_good = read_next(history, source);
    }
    finish_version(&history->before);
    finish_version(&history->now);
    compare(history, NULL);
    return is_good;
}

static void
history_fini(struct history *history)
{
    for (size_t i = 0; i < history->source_count; i++) {
        journal_reader_close(history->sources[i].reader);
        free(history->sources[i].stream);
    }
    free(history->sources);
    free_version(&history->before);
    free_version(&history->now);
    host_fini(&history->host);
    arena_fini(&history->arena);
}

bool
history_run(const struct history_options *options, struct history_report *report,
            struct diag_list *diags)
{
    const struct config *config = options->config;
    struct history history = {.options = options, .report = report, .diags = diags};
    const struct host_sources sources = {.hides_secrets = true,
                                         .registry_file = config->registry_file,
                                         .descriptors_dir = config->descriptors_dir};
    history.origin = (struct message_origin_options){
            .account_id = config->account_id,
            .client_id_property = config->client_id_property,
            .principal_property = config->principal_property,
            .source_ip_property = config->source_ip_property,
            .gateway = config->broker_client_id,
    };
    host_init(&history.host, &os_posix);
    host_set_sources(&history.host, &sources);
    bool is_good = load_versions(&history) && add_source(&history, NULL) &&
                   add_streams(&history, &history.before) &&
                   add_streams(&history, &history.now) && run_messages(&history);
    fflush(stdout);
    command_print_diags(diags); /* while the texts that they quote are there */
    history_fini(&history);
    return is_good;
}
