/*
 * What a record's payload means as rows of a time series table. Pure: no clock, no file.
 *
 * A payload is a JSON object (one row) or an array of objects (a row each). Each member of an
 * object plays a part:
 *
 *   part        which members                                         value
 *   time        option 'time'; else the TIMESTAMP column; else 'time' epoch number or ISO 8601
 *   version     option 'version'                                      whole number from 1
 *   dimension   option 'dimensions'; else VARCHAR columns; else       text; other values as their
 *               strings                                               JSON text; null: left out
 *   measure     option 'measures'; else DOUBLE, BIGINT, BOOLEAN       the column's type; undeclared
 *               columns; else everything else                         ones by their JSON form
 *
 * Only 'dimensions': all others are measures. Only 'measures': of the others, strings are
 * dimensions. Both lists, or declared columns: members named by none are left out. A member in
 * both lists is both. Without a time member a row's time is the arrival of its record.
 *
 * Undeclared measures: a number without point and exponent is a BIGINT (beyond 64 bits: refused),
 * with one a DOUBLE; true and false BOOLEAN; a string VARCHAR; an object or array its JSON text
 * as VARCHAR; null is left out.
 *
 * A record with parameters of a timestream action is another matter: dimensions and time are those
 * of the parameters, and every member is a measure, of its declared type or by its JSON form.
 */
#ifndef HEADGATE_DRIVERS_SERIES_MAP_H
#define HEADGATE_DRIVERS_SERIES_MAP_H

#include "series_action.h"
#include "series_store.h"

enum series_time_unit { SERIES_UNIT_S, SERIES_UNIT_MS, SERIES_UNIT_US, SERIES_UNIT_NS };
enum series_numbers { SERIES_NUMBERS_AS_IS, SERIES_NUMBERS_DOUBLE };

/* The options as the user wrote them; strings may be NULL. */
struct series_map_options {
    const char *dimensions; /* comma-separated names */
    const char *measures;
    const char *time;
    const char *version;
    enum series_time_unit time_unit;
    enum series_numbers numbers;
    int64_t life_ms; /* rows older than this on arrival are refused */
};

struct series_map;

/* Copies what it needs. False when options contradict each other or the columns. */
bool series_map_new(struct series_map **out, const struct series_map_options *options,
                    const struct driver_declaration *declaration, struct diag_list *diags)
        MUST_CHECK;
void series_map_free(struct series_map *map);

struct series_mapped {
    const struct series_row *rows; /* the good ones */
    size_t count;
    struct bytes reason; /* why the first bad row, or the whole payload, was refused; else empty */
};

/* What there is to make rows of; views. */
struct series_input {
    struct bytes payload;
    struct bytes params; /* of the action; empty: none */
    int64_t arrival_us;
    int64_t now_us; /* 0: the clock is doubted, and no row refused for its time */
};

/* Everything is in `arena` or borrowed from the input. */
void series_map_payload(const struct series_map *map, const struct series_input *input,
                        struct arena *arena, struct series_mapped *out);

/* The i-th dimension that options or columns name, in their order; false behind the last. */
bool series_map_dimension(const struct series_map *map, size_t i, struct bytes *name);

#endif
