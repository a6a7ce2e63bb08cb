/* A file of messages for a trial: what `try --input` and `why --input` read. */
#ifndef HEADGATE_TRIAL_INPUT_H
#define HEADGATE_TRIAL_INPUT_H

#include "trial.h"

struct trial_input {
    struct bytes name;  /* for messages */
    struct bytes topic; /* of every line, which is then the payload; empty: the line says it */
    int64_t now_us;     /* arrival of messages that do not say it */
    struct bytes account_id; /* the same */
};

/* Appends a whole file, or standard input for NULL and "-". At most 64 MiB. */
bool trial_input_read(const char *path, struct buf *out, struct diag_list *diags) MUST_CHECK;

/* A time from the command line: "--now TEXT"; NULL: now. */
bool trial_input_now(const char *text, int64_t *out_us, struct diag_list *diags) MUST_CHECK;

/*
 * Calls `each` for every line of `text` that is a message; others are errors, and reading goes on.
 * Empty lines are passed over. The arena is reset behind every line.
 */
void trial_input_each(const struct trial_input *input, struct bytes text, struct arena *arena,
                      void (*each)(void *context, const struct trial_message *message),
                      void *context, struct diag_list *diags);

#endif
