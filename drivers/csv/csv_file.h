/*
 * A reference table read from a CSV file: rows of typed cells, each also as a JSON object, found by
 * the values of any columns.
 *
 * The first record is a header when its cells are the names of all declared columns, in any order
 * and case; columns that are not declared are passed over then. Without a header the cells are the
 * declared columns in their order, and there must be as many.
 *
 * A cell that is empty and not in quotes is NULL. What is no value of its column's type is an error
 * that names file, line and column: a table with holes would join nothing, in silence.
 *
 * Immutable once it is read, but for the indexes: one thread at a time.
 */
#ifndef HEADGATE_DRIVERS_CSV_FILE_H
#define HEADGATE_DRIVERS_CSV_FILE_H

#include "driver.h"

struct csv_file;

struct csv_format {
    char separator;
    struct bytes path; /* for messages */
};

/* False: diags say where and why, and nothing is left behind. `declaration` is borrowed. */
bool csv_file_read(struct csv_file **out, struct bytes text, const struct csv_format *format,
                   const struct driver_declaration *declaration, struct diag_list *diags)
        MUST_CHECK;
void csv_file_free(struct csv_file *file); /* accepts NULL */

size_t csv_file_rows(const struct csv_file *file);

/*
 * The row under a key, a JSON object of some columns ({"id":"s1"}), as JSON text of the file's life;
 * empty: there is none. Of several the first in the file. False: this can be no key.
 */
bool csv_file_find(struct csv_file *file, struct bytes key, struct bytes *row,
                   struct diag_list *diags) MUST_CHECK;

/* The cells of a row, a declared column each; of the file's life. */
const struct cell *csv_file_cells(const struct csv_file *file, size_t row);

#endif
