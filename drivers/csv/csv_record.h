/*
 * Cutting a CSV text into records, by RFC 4180, and what spreadsheets make of it: records end with
 * LF or CR LF, the last one may lack it; a cell in quotes may hold separators, ends of lines and
 * doubled quotes; a mark of UTF-8 (BOM) at the start and empty lines are passed over.
 *
 * Pure: no I/O, one thread.
 */
#ifndef HEADGATE_DRIVERS_CSV_RECORD_H
#define HEADGATE_DRIVERS_CSV_RECORD_H

#include "base/arena.h"
#include "base/bytes.h"

struct csv_cell {
    struct bytes text; /* of the input, or in the arena when quotes had to be taken out */
    bool is_quoted;
    size_t line, column; /* where it begins, from 1; columns are bytes */
};

struct csv_reader {
    struct bytes rest;
    char separator;
    size_t line, column;
    const char *problem; /* why csv_next() ended early; at `line` and `column` */
};

/* `text` is borrowed. */
struct csv_reader csv_reader(struct bytes text, char separator);

/*
 * The cells of the next record, an array in the arena. False at the end of the text, or when
 * `problem` is set.
 */
bool csv_next(struct csv_reader *reader, struct arena *arena, const struct csv_cell **cells,
              size_t *count);

#endif
