/*
 * headgate journal ls | cat | verify: the logs below data_dir, read as they lie there, beside a
 * running gateway or without one. Nothing is written.
 *
 * A log goes by its folder below data_dir; the journal of received messages is "mqtt".
 */
#define _GNU_SOURCE
#include "base/calendar.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "command.h"
#include "print_record.h"
#include "store/examine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- which logs there are ---- */

struct log {
    char *name; /* "mqtt", "streams/NAME", "sinks/NAME/backlog" */
    char *dir;
};

struct logs {
    struct log *items;
    size_t count;
    size_t capacity;
};

static void
logs_fini(struct logs *logs)
{
    for (size_t i = 0; i < logs->count; i++) {
        free(logs->items[i].name);
        free(logs->items[i].dir);
    }
    free(logs->items);
}

static void
add_log(struct logs *logs, const char *name, const char *dir)
{
    logs->items = mem_grow(logs->items, logs->count, &logs->capacity, sizeof *logs->items);
    logs->items[logs->count++] =
            (struct log){bytes_to_string(bytes_of_string(name)),
                         bytes_to_string(bytes_of_string(dir))};
}

struct names {
    char **items;
    size_t count;
    size_t capacity;
};

static void
collect(void *context, const char *name)
{
    struct names *names = context;
    names->items = mem_grow(names->items, names->count, &names->capacity, sizeof *names->items);
    names->items[names->count++] = bytes_to_string(bytes_of_string(name));
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether the folder is a log: it has a lock or a segment. */
static bool
is_log(const char *dir)
{
    struct names names = {0};
    bool is_found = false;
    if (os_posix.list(&os_posix, dir, collect, &names) == 0) {
        for (size_t i = 0; i < names.count; i++) {
            is_found |= bytes_ends_with(bytes_of_string(names.items[i]), BYTES(".seg"));
            is_found |= strcmp(names.items[i], "lock") == 0;
        }
    }
    for (size_t i = 0; i < names.count; i++) {
        free(names.items[i]);
    }
    free(names.items);
    return is_found;
}

static void
add_if_log(struct logs *logs, const char *data_dir, const char *name, const char *path)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/%s", data_dir, path);
    if (is_log(buf_string(&dir))) {
        add_log(logs, name, buf_string(&dir));
    }
    buf_fini(&dir);
}

/* Adds `parent`/NAME`below` for every NAME. */
static void
add_children(struct logs *logs, const char *data_dir, const char *parent, const char *below)
{
    struct buf dir = {0};
    struct names names = {0};
    buf_printf(&dir, "%s/%s", data_dir, parent);
    if (os_posix.list(&os_posix, buf_string(&dir), collect, &names) != 0) {
        names.count = 0; /* there are none */
    }
    if (names.count > 0) {
        qsort(names.items, names.count, sizeof *names.items, compare_names);
    }
    for (size_t i = 0; i < names.count; i++) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s%s", parent, names.items[i], below);
        add_if_log(logs, data_dir, buf_string(&path), buf_string(&path));
        buf_fini(&path);
        free(names.items[i]);
    }
    free(names.items);
    buf_fini(&dir);
}

static void
find_logs(struct logs *logs, const char *data_dir)
{
    add_if_log(logs, data_dir, "mqtt", "journal/mqtt");
    add_children(logs, data_dir, "streams", "");
    add_children(logs, data_dir, "sinks", "/backlog");
    add_children(logs, data_dir, "sinks", "/dead");
}

/* The log of that name; NULL with an error that names those there are. */
static const struct log *
log_named(const struct logs *logs, const char *name, const char *data_dir, struct diag_list *diags)
{
    for (size_t i = 0; i < logs->count; i++) {
        if (strcmp(logs->items[i].name, name) == 0) {
            return &logs->items[i];
        }
    }
    struct buf known = {0};
    for (size_t i = 0; i < logs->count; i++) {
        buf_printf(&known, "%s%s", i == 0 ? "" : ", ", logs->items[i].name);
    }
    diag_error(diags, DIAG_MISSING, "there is no log '%s' in '%s'", name, data_dir);
    diag_hint(diags, logs->count == 0 ? "is data_dir right, and may you read it?" : "there are: %s",
              buf_string(&known));
    buf_fini(&known);
    return NULL;
}

/* ---- ls and verify ---- */

struct gap_printer {
    const struct log *log;
    bool json;
    struct buf list; /* of the JSON document */
    uint64_t count;
};

static void
note_gap(void *context, uint64_t from, uint64_t to)
{
    struct gap_printer *printer = context;
    if (printer->json) {
        buf_printf(&printer->list, "%s{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}",
                   printer->count == 0 ? "" : ",", from, to);
    } else {
        printf("%s: damaged or missing bytes from %" PRIu64 " to %" PRIu64 "\n",
               printer->log->name, from, to);
    }
    printer->count++;
}

static void
print_examination(const struct log *log, const struct journal_examination *found,
                  const struct gap_printer *gaps, bool json)
{
    struct buf line = {0};
    unsigned quarantined = journal_quarantined(&os_posix, log->dir);
    if (json) {
        buf_append_string(&line, "{\"name\":");
        json_write_string(&line, bytes_of_string(log->name));
        buf_printf(&line, ",\"records\":%" PRIu64 ",\"first\":%" PRIu64 ",\"end\":%" PRIu64
                   ",\"segments\":%u,\"bytes\":%" PRIu64 ",\"from\":\"",
                   found->records, found->first, found->end, found->segments, found->bytes);
        print_time(found->first_time_us, &line);
        buf_append_string(&line, "\",\"to\":\"");
        print_time(found->last_time_us, &line);
        buf_printf(&line, "\",\"gap_bytes\":%" PRIu64 ",\"torn_bytes\":%" PRIu64
                   ",\"quarantined\":%u,\"gaps\":[%.*s]}",
                   found->gap_bytes, found->torn_bytes, quarantined,
                   BYTES_ARG(buf_bytes(&gaps->list)));
        print_line(&line);
        return;
    }
    buf_printf(&line, "%s: %" PRIu64 " records, %" PRIu64 " to %" PRIu64 ", %u segments of %" PRIu64
               " bytes, from ", log->name, found->records, found->first, found->end,
               found->segments, found->bytes);
    print_time(found->first_time_us, &line);
    buf_append_string(&line, " to ");
    print_time(found->last_time_us, &line);
    if (found->gaps > 0) {
        buf_printf(&line, ", %" PRIu64 " gaps of %" PRIu64 " bytes", found->gaps,
                   found->gap_bytes);
    }
    if (found->torn_bytes > 0) {
        buf_printf(&line, ", a torn tail of %" PRIu64 " bytes", found->torn_bytes);
    }
    if (quarantined > 0) {
        buf_printf(&line, ", %u files in quarantine", quarantined);
    }
    print_line(&line);
}

/* False: it cannot be read, or with `is_strict`, it has gaps. */
static bool
examine(const struct log *log, bool json, bool is_strict, struct diag_list *diags)
{
    struct gap_printer gaps = {.log = log, .json = json};
    struct journal_examination found;
    bool is_read = journal_examine(&os_posix, log->dir, note_gap, &gaps, &found, diags);
    if (is_read) {
        print_examination(log, &found, &gaps, json);
    }
    buf_fini(&gaps.list);
    return is_read && (!is_strict || found.gaps == 0);
}

/* ---- cat ---- */

struct range {
    uint64_t from; /* positions; 0 and UINT64_MAX: open */
    uint64_t to;
    int64_t from_us; /* times; INT64_MIN and INT64_MAX: open */
    int64_t to_us;
};

/* A position, or a time. */
static bool
parse_bound(const char *flag, const char *text, uint64_t *position, int64_t *time_us,
            struct diag_list *diags)
{
    int64_t number;
    int64_t ns;
    if (text == NULL) {
        return true;
    }
    if (bytes_to_int64(bytes_of_string(text), &number) && number >= 0) {
        *position = (uint64_t)number;
        return true;
    }
    if (calendar_parse(bytes_of_string(text), &ns)) {
        *time_us = ns / CALENDAR_NS_PER_US;
        return true;
    }
    diag_error(diags, DIAG_INVALID, "'%s %s' is neither a position nor a time", flag, text);
    diag_hint(diags, "a position is a number; a time looks like 2022-06-17T10:15:20Z");
    return false;
}

static void
print_record(const struct record *record, bool json)
{
    struct buf line = {0};
    if (!json) {
        buf_printf(&line, "%" PRIu64 " ", record->position);
        print_time(record->time_us, &line);
        buf_append_char(&line, ' ');
        print_escaped(record->topic, &line);
        buf_append_char(&line, ' ');
        print_escaped(record->payload, &line);
        print_line(&line);
        return;
    }
    buf_printf(&line, "{\"position\":%" PRIu64 ",\"time\":\"", record->position);
    print_time(record->time_us, &line);
    buf_append_string(&line, "\",\"topic\":");
    json_write_string(&line, bytes_is_utf8(record->topic) ? record->topic : BYTES(""));
    buf_printf(&line, ",\"qos\":%u,\"retained\":%s,\"dup\":%s,", record->flags & RECORD_QOS,
               (record->flags & RECORD_RETAINED) != 0 ? "true" : "false",
               (record->flags & RECORD_DUP) != 0 ? "true" : "false");
    print_payload_json(record->payload, &line);
    buf_append_char(&line, '}');
    print_line(&line);
}

static void
print_gap(const struct record *gap, bool json)
{
    if (json) {
        printf("{\"gap\":{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}\n", gap->position, gap->next);
    } else {
        fprintf(stderr, "damaged or missing bytes from %" PRIu64 " to %" PRIu64 "\n",
                gap->position, gap->next);
    }
}

static bool
cat(const struct log *log, const struct range *range, bool json, struct diag_list *diags)
{
    struct journal_reader *reader = NULL;
    if (!journal_reader_open(&reader, &os_posix, log->dir, range->from, diags)) {
        return false;
    }
    bool is_read = true;
    for (bool more = true; more && !ferror(stdout);) {
        struct record record;
        enum journal_read result = journal_reader_next(reader, UINT64_MAX, &record, diags);
        is_read = result != JOURNAL_ERROR;
        more = result == JOURNAL_RECORD || result == JOURNAL_GAP;
        more = more && record.position < range->to;
        if (more && result == JOURNAL_GAP) {
            print_gap(&record, json);
        } else if (more && record.time_us >= range->from_us) {
            more = record.time_us < range->to_us;
            if (more) {
                print_record(&record, json);
            }
        }
    }
    journal_reader_close(reader);
    return is_read;
}

/* ---- the verb ---- */

static bool
run_verb(const struct command_line *line, const struct range *range, struct diag_list *diags)
{
    const char *verb = line->operands[0];
    const char *data_dir = line->config.data_dir;
    bool is_good = true;
    struct logs logs = {0};
    find_logs(&logs, data_dir);
    const char *name = line->operand_count > 1 ? line->operands[1] : NULL;
    bool is_cat = strcmp(verb, "cat") == 0;
    if (is_cat || name != NULL) {
        const struct log *log = log_named(&logs, name == NULL ? "mqtt" : name, data_dir, diags);
        is_good = log != NULL &&
                  (is_cat ? cat(log, range, line->json, diags)
                          : examine(log, line->json, strcmp(verb, "verify") == 0, diags));
    } else {
        for (size_t i = 0; i < logs.count; i++) {
            is_good &= examine(&logs.items[i], line->json, strcmp(verb, "verify") == 0, diags);
        }
    }
    logs_fini(&logs);
    return is_good;
}

static bool
is_verb(const struct command_line *line)
{
    static const char *const verbs[] = {"ls", "cat", "verify"};
    for (size_t i = 0; line->operand_count > 0 && i < 3; i++) {
        if (strcmp(line->operands[0], verbs[i]) == 0) {
            return true;
        }
    }
    return false;
}

int
cmd_journal(int argc, char **argv)
{
    const char *from = NULL, *to = NULL;
    const struct flag flags[] = {
            {"--from", "POSITION|TIME", "cat: begin with this record, or the first since", &from,
             NULL},
            {"--to", "POSITION|TIME", "cat: end before this record, or this time", &to, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("journal"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 2, &code)) {
        return code;
    }
    struct diag_list diags = {0};
    struct range range = {.to = UINT64_MAX, .from_us = INT64_MIN, .to_us = INT64_MAX};
    code = EXIT_CODE_USAGE;
    if (!is_verb(&line)) {
        diag_error(&diags, DIAG_INVALID, "'%s' is nothing that can be done with the journal",
                   line.operand_count > 0 ? line.operands[0] : "");
        diag_hint(&diags, "headgate journal ls | cat | verify [STREAM]");
    } else if (parse_bound("--from", from, &range.from, &range.from_us, &diags) &&
               parse_bound("--to", to, &range.to, &range.to_us, &diags)) {
        code = run_verb(&line, &range, &diags) ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
    }
    command_print_diags(&diags);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return code;
}
