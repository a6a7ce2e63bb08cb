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
