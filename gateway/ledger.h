/*
 * The ledger: what went in came out, was turned away for a named reason, or still waits.
 *
 * Every message is counted where it goes in and where it ends, by different code. The two sides of
 * an account are then equal at each instant at which nobody is in between, and whatever makes
 * them differ is an error of the gateway, or of the memory it runs on. The gateway looks itself,
 * about every second while something moves. A difference is an alarm: a line in the log and
 * in `headgate status`, and the metric headgate_ledger_unexplained.
 *
 *   ingest   received     = accepted + held + too large + bad topic + no room + surplus copies
 *                           + redelivered + interrupted
 *            (in the process that receives; ingest_page.h says how that is read as of one instant.
 *            `interrupted`: the process ended before the message was in the journal, so it was not
 *            acknowledged, and the broker sends it again if its QoS is 1.)
 *
 *   journal  accepted     = through the rules
 *            (looked at when nothing waits there. Not any more after a damaged stretch was passed
 *            over, or journal_full = drop_oldest gave messages up: how many of those had been read
 *            is not known. Such losses have counters of their own.)
 *
 *   rule     messages     = matched + filtered + undefined + failed
 *            (topic SQL: each message ends in one of them, so they are exclusive. `not_json` and
 *            `retained` are not among them: the first is a remark about some of `undefined` and the
 *            rest, the second counts messages that do not reach the rule.)
 *
 *   flow     messages     = used + rejected + turned away
 *            (stream SQL. The source turns a message away as bad, null_rowtime, future, failed or
 *            refused; what follows rejects it as late, no_window, null_rowtime, failed, bad or
 *            refused. Those counters are no ends of a message: one may be late for two windows,
 *            and what a window makes of a thousand may fail at the next operator.)
 *
 *            (Both: what a rule of this name counted while it was the other kind of SQL is set off.)
 *
 *   rows     made         = pushed
 *            (of a rule: rows times targets, and what its error action made, as the engine counts
 *            them; against what the sinks say they got from that rule. Sinks that were closed since
 *            are added, what a removed rule of the same name sent before is taken away.)
 *
 *   sink     pushed + restored + resubmitted
 *                         = delivered + rejected + dropped + given up + lost + queued
 *            (`queued`: in memory and on disk. `parked` is a part of `rejected`, `undecided` one of
 *            `retried`, which counts attempts and not records.)
 *
 *   by rule  the same, from the sink's counts per rule; `restored`, `lost` and `queued` are the sink's
 *
 * When. Rules, flows, rows and sinks are looked at by the engine's thread between two batches, just
 * before a checkpoint: it is the only one that runs rules and pushes rows, so nothing is between
 * a rule and a sink then. What happens to a sink's records is counted under the outbox's lock
 * together with the change of its queue, so a sink balances at any instant at which its lock is
 * free. The main thread looks at ingest, once a second.
 * All counts begin at zero with the process: `restored` is what an earlier one left in the backlog.
 * Records that a replay pushes again are pushed, and counted, for the first time in this life.
 */
#ifndef HEADGATE_LEDGER_H
#define HEADGATE_LEDGER_H

#include "base/diag.h"
#include "base/os.h"

enum { LEDGER_TERMS_MAX = 12 };

enum ledger_kind {
    LEDGER_INGEST,
    LEDGER_JOURNAL,
    LEDGER_RULE,
    LEDGER_FLOW,
    LEDGER_ROWS,
    LEDGER_SINK,
    LEDGER_SINK_BY_RULE,
};

/* "ingest", "rule", "flow", ... */
const char *ledger_kind_name(enum ledger_kind kind);

struct ledger_term {
    const char *name; /* static */
    uint64_t count;
};

struct ledger_account {
    enum ledger_kind kind;
    struct bytes name; /* of the rule or sink; borrowed */
    struct ledger_term in[LEDGER_TERMS_MAX];
    size_t in_count;
    struct ledger_term out[LEDGER_TERMS_MAX];
    size_t out_count;
};

void ledger_in(struct ledger_account *account, const char *name, uint64_t count);
void ledger_out(struct ledger_account *account, const char *name, uint64_t count);

/* In minus out; 0: it balances. */
int64_t ledger_difference(const struct ledger_account *account);

/* "pushed 7 + restored 0 = delivered 5 + queued 1; 1 is missing". Terms of 0 are left out. */
void ledger_account_print(const struct ledger_account *account, struct buf *out);

struct ledger;

struct ledger *ledger_new(const struct os *os);
void ledger_free(struct ledger *ledger);

/*
 * Enters how an account stands. An alarm begins when it does not balance, is told to the log at
 * most every ten seconds, and ends when it does. Any thread.
 */
void ledger_judge(struct ledger *ledger, const struct ledger_account *account);

struct ledger_stats {
    uint64_t checks;      /* accounts that were looked at */
    uint64_t unexplained; /* of all open alarms: by how much they differ, without sign */
    uint64_t alarms;      /* that have begun */
    size_t open;          /* now */
};

void ledger_stats(struct ledger *ledger, struct ledger_stats *out);

struct ledger_alarm {
    enum ledger_kind kind;
    const char *name;
    int64_t difference;
    const char *text; /* ledger_account_print() */
};

/* The open alarms. `each` must be quick and call nothing of the ledger. Any thread. */
void ledger_each_alarm(struct ledger *ledger,
                       void (*each)(void *context, const struct ledger_alarm *alarm),
                       void *context);

#endif
