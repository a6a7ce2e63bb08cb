/* The accounts that need both processes; the engine looks at all others. */
#include "ledger_gateway.h"

#include "gateway.h"
#include "ledger.h"

enum { AUDIT_EVERY_MS = 1000 };

/* Whether the engine has read all there is, and nothing was lost on the way: see ledger.h. */
static bool
can_judge_journal(const struct engine_stats *read, const struct ingest_stats *received)
{
    return read->position == received->tail && read->gaps == 0 && received->dropped_oldest == 0;
}

/* No look while somebody counts without a pause. */
void
gateway_audit(struct gateway *gateway)
{
    struct ledger *ledger = engine_ledger(gateway->engine);
    struct ledger_account account;
    struct ingest_stats received;
    struct engine_stats read;
    int64_t now_ms = os_posix.mono_us(&os_posix) / 1000;
    if (now_ms - gateway->audited_ms < AUDIT_EVERY_MS) {
        return;
    }
    gateway->audited_ms = now_ms;
    engine_stats(gateway->engine, &read); /* first: what it has read was received before */
    ingest_stats(gateway->ingest, &received);
    if (!received.is_one_instant) {
        return;
    }
    ingest_account(&received, &account);
    ledger_judge(ledger, &account);
    if (can_judge_journal(&read, &received)) {
        account = (struct ledger_account){.kind = LEDGER_JOURNAL, .name = BYTES("mqtt")};
        ledger_in(&account, "accepted", received.accepted);
        ledger_out(&account, "through the rules", read.fresh);
        ledger_judge(ledger, &account);
    }
}
