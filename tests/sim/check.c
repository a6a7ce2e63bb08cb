/*
 * What must hold when nothing moves any more.
 *
 *   owed      a token that was acknowledged, and that the sync policy may not lose
 *   store     rows of an owed token: each that its rules make, once. Of any other: once at the most
 *   windows   together they count each owed token once. One that was lost before it was owed may
 *             be in the store already, and was in a window's state that is gone. Windows of event
 *             time are those of a life without a crash (windows.c)
 *   upstream  an owed token arrived, or is a dead letter and its rule's error action was told
 *   ledger    what outboxes took = delivered + rejected; nothing lost, nothing waits
 */
#define _GNU_SOURCE
#include "world.h"

#include "dead_letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATE_BYTES_MAX = 1 << 20 };

/* ---- the store ---- */

/* What went through windows, to be compared with what rows of 'every' say. */
struct sums {
    uint64_t windows, windows_k;
    uint64_t rows, rows_k;
    uint64_t owed, owed_k; /* of these, of tokens that may not be lost */
    struct dated_windows dated;
};

static void
count_window(struct sim *sim, struct sums *sums, const char *text)
{
    uint64_t count, sum;
    if (sscanf(text, "{\"n\":%" SCNu64 ",\"k\":%" SCNu64, &count, &sum) != 2) {
        sim_wrong(sim, "store: '%s' is no window", text);
        return;
    }
    sums->windows += count;
    sums->windows_k += sum;
}

/* The counter of a token that a rule's rows belong to. */
static unsigned *
counter_of(struct token *token, const char *rule)
{
    return strcmp(rule, "every") == 0     ? &token->every
           : strcmp(rule, "linked") == 0  ? &token->linked
           : strcmp(rule, "recalled") == 0 ? &token->recalled
           : strcmp(rule, "doubled") == 0 ? &token->doubled
                                          : &token->relayed;
}

static void
count_row(struct sim *sim, struct sums *sums, struct bytes line)
{
    char *text = bytes_to_string(line);
    char stream[32], rule[32];
    uint64_t position;
    uint32_t output;
    int at = 0;
    check(sscanf(text, "row %31s %" SCNu64 " %" SCNu32 " %31s %n", stream, &position, &output,
                 rule, &at) == 4);
    struct bytes payload = bytes_of_string(text + at);
    if (strcmp(rule, "counted") == 0) {
        count_window(sim, sums, text + at);
        free(text);
        return;
    }
    if (strcmp(rule, "dated") == 0) {
        dated_windows_note(sim, &sums->dated, text + at);
        free(text);
        return;
    }
    struct token *token = sim_token_of(sim, payload);
    char expected[64] = "";
    if (token == NULL) {
        sim_wrong(sim, "store: '%s' is of nobody", text);
        free(text);
        return;
    }
    *counter_of(token, rule) += 1;
    if (strcmp(rule, "doubled") == 0) {
        snprintf(expected, sizeof expected, "{\"k\":%td,\"w\":%u}", token - sim->tokens,
                 token->value * 2);
    } else {
        snprintf(expected, sizeof expected, "{\"k\":%td}", token - sim->tokens);
    }
    if (strcmp(rule, "every") == 0) {
        sums->rows++;
        sums->rows_k += (uint64_t)(token - sim->tokens);
        sums->owed += token->is_owed;
        sums->owed_k += token->is_owed ? (uint64_t)(token - sim->tokens) : 0;
    }
    if (!bytes_equal_string(payload, expected)) {
        sim_wrong(sim, "store: '%s' should be %s", text, expected);
    }
    free(text);
}

/* A row's name: what it begins with, up to its rule. */
static struct bytes
name_of_row(struct bytes line)
{
    size_t end = 0;
    for (int spaces = 0; end < line.size && spaces < 4; end++) {
        spaces += line.data[end] == ' ';
    }
    return bytes_slice(line, 0, end);
}

static void
count_rows(struct sim *sim)
{
    struct buf state = {0};
    struct map names = {0};
    struct sums sums = {0};
    (void)!os_read_file(sim->os, "store/rows", STATE_BYTES_MAX, &state);
    struct bytes rest = buf_bytes(&state);
    struct bytes line;
    while (rest.size > 0 && bytes_split(&rest, '\n', &line)) {
        if (bytes_starts_with(line, BYTES("row "))) {
            if (map_put(&names, name_of_row(line), sim) != NULL) {
                sim_wrong(sim, "store: '%.*s' is there twice", BYTES_ARG(line));
            }
            count_row(sim, &sums, line);
        }
    }
    /* A window may have come out with what the journal has lost since, and no other rule has read. */
    bool is_too_many = !sim->has_lost_input &&
                       (sums.windows > sums.rows || sums.windows_k > sums.rows_k);
    if (sums.windows < sums.owed || sums.windows_k < sums.owed_k || is_too_many) {
        sim_wrong(sim,
                  "windows counted %" PRIu64 " messages (sum %" PRIu64 "), of %" PRIu64
                  " (sum %" PRIu64 ") in the store, %" PRIu64 " (sum %" PRIu64 ") owed",
                  sums.windows, sums.windows_k, sums.rows, sums.rows_k, sums.owed, sums.owed_k);
    }
    dated_windows_check(sim, &sums.dated);
    map_fini(&names);
    buf_fini(&state);
}

/* ---- dead letters ---- */

static void
count_letters(struct sim *sim)
{
    struct journal_reader *reader;
    struct diag_list diags = {0};
    struct record record;
    struct dead_letter letter;
    if (!journal_reader_open(&reader, sim->os, "data/sinks/upstream/dead", 0, &diags)) {
        sim_wrong(sim, "dead letters: %.*s", BYTES_ARG(diag_first_error(&diags)));
        diag_list_fini(&diags);
        return;
    }
    enum journal_read read = JOURNAL_RECORD;
    while (read != JOURNAL_END && read != JOURNAL_ERROR) {
        read = journal_reader_next(reader, UINT64_MAX, &record, &diags);
        struct token *token =
                read == JOURNAL_RECORD ? sim_token_of(sim, record.payload) : NULL;
        if (read == JOURNAL_RECORD && (!dead_letter_decode(&record, &letter) || token == NULL)) {
            sim_wrong(sim, "a dead letter is of nobody: '%.*s'", BYTES_ARG(record.payload));
        } else if (read == JOURNAL_RECORD) {
            token->dead++;
        }
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
}

/* ---- what must be ---- */

/* `is_once`: a store, else at least once. */
static void
check_count(struct sim *sim, const struct token *token, const char *what, unsigned count,
            bool is_made, bool is_once)
{
    bool is_owed = is_made && token->is_owed;
    bool is_good = count >= (is_owed ? 1 : 0) && (is_made || count == 0) && (!is_once || count < 2);
    if (!is_good) {
        sim_wrong(sim, "token %td of message %u (%s, value %u): %u x %s, should be %s",
                  token - sim->tokens, token->message,
                  token->is_owed           ? "owed"
                  : token->is_acknowledged ? "acknowledged, its loss is excused"
                                           : "not acknowledged",
                  token->value, count, what,
                  !is_made             ? "none"
                  : !is_once           ? "at least one"
                  : is_owed            ? "one"
                                       : "one at the most");
    }
}

static void
check_token(struct sim *sim, const struct token *token)
{
    /* What is not in the journal, `always` has shown to nobody. */
    bool is_seen = token->next > 0 || token->is_owed || sim->policy != JOURNAL_SYNC_ALWAYS;
    bool is_json = token->value != 9 && is_seen;
    bool is_poison = is_json && token->value % 4 == 1;
    check_count(sim, token, "a row of 'every'", token->every, is_json, true);
    check_count(sim, token, "a row of 'doubled'", token->doubled, is_json && token->value > 2,
                true);
    check_count(sim, token, "a row of 'relayed'", token->relayed, is_json && token->value > 5,
                false);
    /* A row that the power took from the stream, but not from the store, comes anew. */
    bool is_chain_whole = !sim->has_lost_input;
    check_count(sim, token, "a row of 'linked'", token->linked, is_json, is_chain_whole);
    check_count(sim, token, "a row of 'recalled'", token->recalled, is_json, is_chain_whole);
    check_count(sim, token, "at the topic", token->topic, is_json, false);
    check_count(sim, token, "at the upstream", token->upstream, is_json && !is_poison, false);
    check_count(sim, token, "a dead letter", token->dead, is_poison, false);
    check_count(sim, token, "told to the error action", token->errors, is_poison, false);
}

static void
check_ledger(struct sim *sim)
{
    for (size_t i = 0; i < sim->sink_count; i++) {
        struct outbox_stats stats;
        outbox_stats(sim->sinks[i]->outbox, &stats);
        if (stats.pushed + stats.restored != stats.delivered + stats.rejected ||
            stats.lost + stats.queued_records + stats.backlog_records != 0) {
            sim_wrong(sim,
                      "%s: pushed %" PRIu64 " + restored %" PRIu64 ", but delivered %" PRIu64
                      " + rejected %" PRIu64 ", lost %" PRIu64 ", waiting %" PRIu64,
                      sim->sinks[i]->name, stats.pushed, stats.restored, stats.delivered,
                      stats.rejected, stats.lost, stats.queued_records + stats.backlog_records);
        }
    }
}

void
sim_check(struct sim *sim)
{
    count_rows(sim);
    count_letters(sim);
    for (size_t i = 0; i < sim->token_count; i++) {
        check_token(sim, &sim->tokens[i]);
    }
    for (unsigned i = 0; i < sim->setup.messages; i++) {
        if (!sim->is_taken[i]) {
            sim_wrong(sim, "message %u was never acknowledged", i);
        }
    }
    check_ledger(sim);
}
