/*
 * An edited rule file over recorded history: `headgate test FILE --from -1h`.
 *
 * The messages of the journal, and the rows of durable streams that the rules read, go through two
 * versions of the rule file, side by side and in the order of their arrival, with their times as the
 * clock. Where the outputs of a message differ, they are printed as a diff. Nothing is written to any
 * target, and a gateway that runs beside it is not disturbed.
 *
 * The old version is what the gateway has loaded, or, when that is the file as it is now, what it had
 * loaded before (rules_kept.h).
 */
#ifndef HEADGATE_HISTORY_H
#define HEADGATE_HISTORY_H

#include "config.h"

struct history_options {
    const struct config *config;
    const char *path;    /* of the rule file */
    const char *rule;    /* NULL: all of the file */
    const char *against; /* another old version; NULL: see above */
    int64_t from_us, to_us; /* of arrival, to_us not included */
};

struct history_report {
    uint64_t messages; /* and rows of streams */
    uint64_t same, gone, come; /* outputs: of both, of the old version only, of the new one only */
};

/* False: it could not be run. Prints to standard output, and `diags` to standard error. */
bool history_run(const struct history_options *options, struct history_report *report,
                 struct diag_list *diags) MUST_CHECK;

#endif
