/* Rows that outlive a push: encoded with their schema, as in snapshots. */
#ifndef HEADGATE_RULES_STREAM_ROWS_H
#define HEADGATE_RULES_STREAM_ROWS_H

#include "expr.h"
#include "key.h"

struct kept_row {
    int64_t time_ms;
    uint64_t sequence;
    size_t size;
    char *bytes;
};

/* A queue of rows; all zero is an empty one. The caller frees what it takes out. */
struct kept_rows {
    struct kept_row *items; /* from `first` on */
    size_t first, count, capacity;
};

struct kept_row kept_row_of(const struct stream_schema *schema, const struct stream_value *values,
                            int64_t time_ms, uint64_t sequence);
/* Values whose texts are views of the row. */
struct stream_value *kept_row_values(const struct kept_row *row,
                                     const struct stream_schema *schema, struct arena *arena);
void kept_row_fini(struct kept_row *row);

static inline struct kept_row *
kept_rows_at(const struct kept_rows *rows, size_t i)
{
    return &rows->items[rows->first + i];
}

void kept_rows_push(struct kept_rows *rows, struct kept_row row);
/* Behind all that are not later: in the order of times, among equals of arrival. */
void kept_rows_insert(struct kept_rows *rows, struct kept_row row);
struct kept_row kept_rows_shift(struct kept_rows *rows);
/* Rows that seem to be later than `now_ms` count as of now: the clock was set back. */
void kept_rows_set_back(struct kept_rows *rows, int64_t now_ms);
void kept_rows_fini(struct kept_rows *rows);

void kept_rows_save(const struct kept_rows *rows, struct buf *out);
bool kept_rows_load(struct kept_rows *rows, struct wire_reader *reader);

#endif
