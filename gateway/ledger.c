/*
 * Accounts and their alarms. Alarms are kept in a list: there are none, or something is badly wrong.
 */
#define _GNU_SOURCE
#include "ledger.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    LOG_EVERY_MS = 10000,
    ALARMS_MAX = 1000, /* more are counted, and not listed */
};

struct alarm_entry {
    enum ledger_kind kind;
    char *name;
    char *text;
    int64_t difference;
};

struct ledger {
    const struct os *os;
    pthread_mutex_t lock; /* guards what follows */
    struct alarm_entry *alarms;
    size_t alarm_count, alarm_capacity;
    uint64_t checks, begun;
    struct log_gate gate;
};

const char *
ledger_kind_name(enum ledger_kind kind)
{
    static const char *const names[] = {
            [LEDGER_INGEST] = "ingest",
            [LEDGER_JOURNAL] = "journal",
            [LEDGER_RULE] = "rule",
            [LEDGER_FLOW] = "flow",
            [LEDGER_ROWS] = "rows",
            [LEDGER_SINK] = "sink",
            [LEDGER_SINK_BY_RULE] = "sink by rule",
    };
    return names[kind];
}

/* ---- one account ---- */

void
ledger_in(struct ledger_account *account, const char *name, uint64_t count)
{
    check(account->in_count < LEDGER_TERMS_MAX);
    account->in[account->in_count++] = (struct ledger_term){name, count};
}

void
ledger_out(struct ledger_account *account, const char *name, uint64_t count)
{
    check(account->out_count < LEDGER_TERMS_MAX);
    account->out[account->out_count++] = (struct ledger_term){name, count};
}

static uint64_t
sum_of(const struct ledger_term *terms, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += terms[i].count;
    }
    return sum;
}

int64_t
ledger_difference(const struct ledger_account *account)
{
    return (int64_t)(sum_of(account->in, account->in_count) -
                     sum_of(account->out, account->out_count));
}

static void
print_terms(const struct ledger_term *terms, size_t count, struct buf *out)
{
    bool is_first = true;
    for (size_t i = 0; i < count; i++) {
        if (terms[i].count > 0) {
            buf_printf(out, "%s%s %" PRIu64, is_first ? "" : " + ", terms[i].name,
                       terms[i].count);
            is_first = false;
        }
    }
    buf_append_string(out, is_first ? "nothing" : "");
}

void
ledger_account_print(const struct ledger_account *account, struct buf *out)
{
    int64_t difference = ledger_difference(account);
    print_terms(account->in, account->in_count, out);
    buf_append_string(out, difference == 0 ? " = " : " in, but ");
    print_terms(account->out, account->out_count, out);
    if (difference > 0) {
        buf_printf(out, " out: %" PRId64 " missing", difference);
    } else if (difference < 0) {
        buf_printf(out, " out: %" PRId64 " too many", -difference);
    }
}

/* ---- all ---- */

struct ledger *
ledger_new(const struct os *os)
{
    struct ledger *ledger = mem_new(struct ledger);
    ledger->os = os;
    check(pthread_mutex_init(&ledger->lock, NULL) == 0);
    return ledger;
}

static void
entry_fini(struct alarm_entry *entry)
{
    free(entry->name);
    free(entry->text);
}

void
ledger_free(struct ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    for (size_t i = 0; i < ledger->alarm_count; i++) {
        entry_fini(&ledger->alarms[i]);
    }
    free(ledger->alarms);
    pthread_mutex_destroy(&ledger->lock);
    free(ledger);
}

/* Under the lock: the place of an account's alarm; alarm_count: it has none. */
static size_t
find_alarm(const struct ledger *ledger, const struct ledger_account *account)
{
    size_t i = 0;
    while (i < ledger->alarm_count && (ledger->alarms[i].kind != account->kind ||
                                       !bytes_equal_string(account->name, ledger->alarms[i].name))) {
        i++;
    }
    return i;
}

/* Under the lock. */
static void
end_alarm(struct ledger *ledger, size_t i)
{
    log_notice("the ledger of %s '%s' balances again", ledger_kind_name(ledger->alarms[i].kind),
               ledger->alarms[i].name);
    entry_fini(&ledger->alarms[i]);
    ledger->alarms[i] = ledger->alarms[--ledger->alarm_count];
}

/* Under the lock. */
static void
raise_alarm(struct ledger *ledger, size_t i, const struct ledger_account *account)
{
    struct buf text = {0};
    bool is_new = i == ledger->alarm_count;
    ledger_account_print(account, &text);
    ledger->begun += is_new;
    if (log_gate_open(&ledger->gate, ledger->os->mono_us(ledger->os) / 1000, LOG_EVERY_MS)) {
        log_error("the ledger of %s '%.*s' does not balance: %s; this is an error of the gateway, "
                  "please report it; %llu more since the last such line",
                  ledger_kind_name(account->kind), BYTES_ARG(account->name), buf_string(&text),
                  (unsigned long long)ledger->gate.hidden);
    }
    if (is_new && ledger->alarm_count == ALARMS_MAX) {
        buf_fini(&text);
        return;
    }
    if (is_new) {
        ledger->alarms = mem_grow(ledger->alarms, ledger->alarm_count, &ledger->alarm_capacity,
                                  sizeof *ledger->alarms);
        ledger->alarms[ledger->alarm_count++] = (struct alarm_entry){
                .kind = account->kind, .name = bytes_to_string(account->name)};
    }
    struct alarm_entry *entry = &ledger->alarms[i];
    free(entry->text);
    entry->text = buf_take_string(&text);
    entry->difference = ledger_difference(account);
}

void
ledger_judge(struct ledger *ledger, const struct ledger_account *account)
{
    bool is_balanced = ledger_difference(account) == 0;
    pthread_mutex_lock(&ledger->lock);
    ledger->checks++;
    if (!is_balanced || ledger->alarm_count > 0) {
        size_t i = find_alarm(ledger, account);
        if (!is_balanced) {
            raise_alarm(ledger, i, account);
        } else if (i < ledger->alarm_count) {
            end_alarm(ledger, i);
        }
    }
    pthread_mutex_unlock(&ledger->lock);
}

void
ledger_stats(struct ledger *ledger, struct ledger_stats *out)
{
    pthread_mutex_lock(&ledger->lock);
    *out = (struct ledger_stats){
            .checks = ledger->checks, .alarms = ledger->begun, .open = ledger->alarm_count};
    for (size_t i = 0; i < ledger->alarm_count; i++) {
        int64_t difference = ledger->alarms[i].difference;
        out->unexplained += (uint64_t)(difference < 0 ? -difference : difference);
    }
    pthread_mutex_unlock(&ledger->lock);
}

void
ledger_each_alarm(struct ledger *ledger,
                  void (*each)(void *context, const struct ledger_alarm *alarm), void *context)
{
    pthread_mutex_lock(&ledger->lock);
    for (size_t i = 0; i < ledger->alarm_count; i++) {
        const struct alarm_entry *entry = &ledger->alarms[i];
        const struct ledger_alarm alarm = {entry->kind, entry->name, entry->difference,
                                           entry->text};
        each(context, &alarm);
    }
    pthread_mutex_unlock(&ledger->lock);
}
