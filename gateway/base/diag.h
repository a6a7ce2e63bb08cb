/*
 * An operating error, told to people: where, what, and how to mend it.
 *
 *   etc/rules.d/hot.sql:3:8: error: unknown function 'uper'
 *     WHERE  uper(status) = 'ERROR'
 *            ^~~~
 *     hint: did you mean 'upper'?
 *
 * A function that can fail for a reason outside the program returns bool, is MUST_CHECK and takes
 * a `struct diag_list *` last. On false it has added at least one error; out-parameters are
 * untouched. Warnings may be added on success. Messages are lower case without a full stop, names
 * in single quotes, what was found before what was expected.
 *
 * A list belongs to one thread. `struct diag_list diags = {0};` is an empty one.
 */
#ifndef HEADGATE_BASE_DIAG_H
#define HEADGATE_BASE_DIAG_H

#include "arena.h"
#include "buf.h"

enum diag_level { DIAG_ERROR, DIAG_WARNING };

/* Classes that a caller may act on; everything else is told apart by its message only. */
enum diag_class {
    DIAG_INVALID,   /* bad input: text, option, payload */
    DIAG_IO,        /* the operating system said no; `os_error` holds errno */
    DIAG_CORRUPT,   /* stored bytes are not what was written */
    DIAG_BUSY,      /* another process holds the resource */
    DIAG_REMOTE,    /* a peer refused or failed */
    DIAG_TIMEOUT,
    DIAG_MISSING,   /* no such thing */
};

/* A place in a text. Line and column count from 1, column in bytes; line 0 means no place. */
struct diag_place {
    struct bytes file;
    unsigned line;
    unsigned column;
    unsigned length;         /* how many bytes to underline; 0 and 1 both give a caret */
    struct bytes source_line; /* the text of that line, without its line end */
};

struct diag {
    enum diag_level level;
    enum diag_class class;
    int os_error;
    struct diag_place place;
    struct bytes message;
    struct bytes hint; /* empty when there is none */
};

struct diag_list {
    struct arena arena; /* owns every text above: callers pass views, they are copied */
    struct diag *items;
    size_t count;
    size_t capacity;
    size_t errors; /* how many of them are DIAG_ERROR */
};

void diag_list_fini(struct diag_list *list);

/* Empties the list, keeps memory. */
void diag_list_clear(struct diag_list *list);

/* Adds an error without a place. */
void diag_error(struct diag_list *list, enum diag_class class, const char *format, ...)
        PRINTF_LIKE(3, 4);

/* Adds "<message>: <strerror>" for a failed system call. `os_error` is a positive errno. */
void diag_io_error(struct diag_list *list, int os_error, const char *format, ...)
        PRINTF_LIKE(3, 4);

/* Adds an error or warning at a place. */
void diag_at(struct diag_list *list, enum diag_level level, const struct diag_place *place,
             const char *format, ...) PRINTF_LIKE(4, 5);

/* Sets the hint of the newest entry. */
void diag_hint(struct diag_list *list, const char *format, ...) PRINTF_LIKE(2, 3);

/* The first error's message, or "" : for a one-line log. */
struct bytes diag_first_error(const struct diag_list *list);

/* The multi-line form shown above. */
void diag_print(const struct diag *diag, struct buf *out);
void diag_list_print(const struct diag_list *list, struct buf *out);

/* Appends copies of all entries of `from`. */
void diag_list_append(struct diag_list *list, const struct diag_list *from);

/* The place of byte `offset` of `text`, with its line. Views into `file` and `text`. */
struct diag_place diag_place_of(struct bytes file, struct bytes text, size_t offset,
                                size_t length);

/*
 * Among `count` names the nearest to `wanted` that is near enough to suggest, or NULL.
 * `name_at(context, i)` gives the names.
 */
const char *diag_nearest(struct bytes wanted, size_t count,
                         const char *(*name_at)(const void *context, size_t i),
                         const void *context);

#endif
