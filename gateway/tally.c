/*
 * Counts per rule. Entries stay as long as the sink, also when their rule is gone: there are as
 * many as rules have ever sent to it.
 */
#include "tally.h"

#include "base/mem.h"

#include <stdlib.h>

struct tally *
tally_of(struct tallies *tallies, struct bytes rule)
{
    if (tallies->last != NULL && bytes_equal_string(rule, tallies->last->rule)) {
        return tallies->last;
    }
    struct tally *tally = map_find(&tallies->by_rule, rule);
    if (tally == NULL) {
        tally = mem_new(struct tally);
        tally->rule = bytes_to_string(rule);
        map_put(&tallies->by_rule, bytes_of_string(tally->rule), tally);
    }
    tallies->last = tally;
    return tally;
}

int64_t
tally_waiting(const struct tally *tally)
{
    uint64_t in = tally->pushed + tally->error_pushed + tally->restored + tally->resubmitted;
    uint64_t out = tally->delivered + tally->rejected + tally->error_delivered +
                   tally->error_rejected + tally->dropped;
    return (int64_t)(in - out);
}

void
tally_add(struct tally *tally, const struct tally *more)
{
    tally->pushed += more->pushed;
    tally->delivered += more->delivered;
    tally->rejected += more->rejected;
    tally->dropped += more->dropped;
    tally->restored += more->restored;
    tally->resubmitted += more->resubmitted;
    tally->error_pushed += more->error_pushed;
    tally->error_delivered += more->error_delivered;
    tally->error_rejected += more->error_rejected;
}

void
tallies_fini(struct tallies *tallies)
{
    size_t cursor = 0;
    struct bytes name;
    void *value;
    while (map_next(&tallies->by_rule, &cursor, &name, &value)) {
        struct tally *tally = value;
        free(tally->rule);
        free(tally);
    }
    map_fini(&tallies->by_rule);
}
