/*
 * Options from one table: name, type, range, default and doc give parsing, checking, `--help` and
 * the reference page. The daemon's configuration and the WITH (...) options of every driver are
 * read by this file.
 *
 * A table describes the members of a struct by offset. Strings are owned by that struct (heap).
 */
#ifndef HEADGATE_BASE_OPTION_H
#define HEADGATE_BASE_OPTION_H

#include "diag.h"

#include <stddef.h>

enum option_type {
    OPTION_STRING,   /* char *, NULL when it has no default and was not set */
    OPTION_SECRET,   /* char *, never printed; "file:PATH" and "env:NAME" are read from there */
    OPTION_BOOL,     /* bool: true false yes no on off */
    OPTION_INT,      /* int64_t */
    OPTION_SIZE,     /* int64_t bytes: 512, 64k, 16M, 2G (powers of 1024), optional B or iB */
    OPTION_DURATION, /* int64_t milliseconds: 500ms, 2s, 5m, 1h, 7d; a bare number is seconds */
    OPTION_CHOICE,   /* int: index into `choices`, words separated by '|' */
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *fallback; /* the default, written as a user would; NULL: none */
    int64_t min, max;     /* for INT, SIZE, DURATION; both 0: no range */
    const char *choices;  /* for CHOICE */
    const char *aliases;  /* names that others use, separated by '|': for "did you mean" only */
    const char *doc;      /* one sentence */
    bool required;
};

struct option_table {
    const struct option *options;
    size_t count;
};

/* Sets every member to its default. Defaults must be valid (checked). */
void option_defaults(const struct option_table *table, void *target);

/* Frees the strings. */
void option_fini(const struct option_table *table, void *target);

/*
 * Sets one option from text. Unknown names are errors with the nearest known name as a hint;
 * `place` may be NULL.
 */
bool option_set(const struct option_table *table, void *target, struct bytes name,
                struct bytes value, const struct diag_place *place, struct diag_list *diags)
        MUST_CHECK;

/* Adds an error for each required option that has no value. */
bool option_check_required(const struct option_table *table, const void *target,
                           const struct diag_place *place, struct diag_list *diags) MUST_CHECK;

/* Appends the value as a user would write it ("(secret)" for a secret that is set). */
void option_print(const struct option *option, const void *target, struct buf *out);

/* Appends the reference: one paragraph an option. */
void option_table_help(const struct option_table *table, struct buf *out);

bool option_parse_duration(struct bytes text, int64_t *out_ms);
bool option_parse_size(struct bytes text, int64_t *out_bytes);

#endif
