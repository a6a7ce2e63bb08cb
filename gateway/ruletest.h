/*
 * Tests of rules: messages in, and what must come out, in a file beside the rules.
 *
 * NAME.test belongs to NAME.sql or NAME.json of the same folder and runs all its rules, and no
 * others, under a virtual clock. Tables and functions are names here: nothing is opened, and what a
 * function would emit is written as input. What a rule publishes does not come back as a message.
 * The text's grammar is in ruletest_script.h.
 *
 * Rows of windows stand under the message, or the passage of time, that sets them free; what is
 * still open at the end gives none.
 *
 * A step passes when the outputs are those that are written below it, in the order of the rules and
 * of their targets. Rows and failures must all be written; `filtered`, `undefined` and `unmatched`
 * may be left out.
 */
#ifndef HEADGATE_RULETEST_H
#define HEADGATE_RULETEST_H

#include "base/os.h"
#include "rules/rule.h"

/* A reload waits for the tests of the files that changed. */
enum {
    RULETEST_TEXT_MAX_BYTES = 1024 * 1024,
    RULETEST_MESSAGES_MAX = 10000,
    RULETEST_OUTPUT_MAX_BYTES = 16 * 1024 * 1024,
    RULETEST_TIME_MAX_MS = 2000,
};

struct stream_program;

struct ruletest_options {
    /* One a rule of the file, NULL of those of topic SQL; NULL: all are. */
    const struct stream_program *const *programs;
    const struct os *os;    /* its clock ends a run that takes too long, its files know time
                             * zones; NULL: neither */
    size_t differences_max; /* to report; further ones are counted */
    struct buf *updated;    /* not NULL: gets the text with the outputs as they are */
};

struct ruletest_report {
    size_t messages;
    size_t differences; /* steps that gave something else */
};

/*
 * Runs a test. True: it passed. Otherwise `diags` says why: each difference is an error at the
 * place of the expected output, or of the message that gave more. `path` is for messages.
 * `*options->updated` is appended to only when the text is a test and could be run to its end.
 */
bool ruletest_run(const struct rule_file *rules, struct bytes path, struct bytes text,
                  const struct ruletest_options *options, struct ruletest_report *report,
                  struct diag_list *diags) MUST_CHECK;

/* ---- beside a rule file ---- */

/* The path and the text of a rule file's test. */
struct ruletest_text {
    char *path;
    struct buf text;
    int error; /* 0; ENOENT: there is none; or what errno said */
};

/* Reads NAME.test for NAME.sql or NAME.json. */
void ruletest_text_read(struct ruletest_text *out, const char *rule_path);
void ruletest_text_fini(struct ruletest_text *test);

/* Whether a reload would find the same test. */
bool ruletest_text_equal(const struct ruletest_text *a, const struct ruletest_text *b);

/*
 * Whether a rule file may run: it has no test, or one that passes. `programs` as in the options.
 * Else the first difference is an error in `diags`.
 */
bool ruletest_permits(const struct ruletest_text *test, const struct rule_file *rules,
                      const struct stream_program *const *programs,
                      struct diag_list *diags) MUST_CHECK;

/* Whether a name in a folder of rules is that of a test. */
bool ruletest_is_test_name(struct bytes name);

/* The rule file that a test belongs to; NULL and an error when there is none. Free with free(). */
char *ruletest_rule_path(const char *test_path, struct diag_list *diags);

/* Adds a warning for every test in a folder that belongs to no rule file. */
void ruletest_warn_of_orphans(const char *dir, struct diag_list *diags);

#endif
