/*
 * Types and values of stream SQL (Flink's data types, as far as JSON rows need them).
 *
 * A value does not know its type: a row is an array of values beside a schema. NULL is a flag.
 * Text and wide decimals are borrowed: from a row's arena, from a program, or from state that
 * owns a copy (see key.h).
 *
 *   kind              held in     meaning
 *   BOOLEAN           integer     0, 1
 *   INTEGER           integer     width bits: 8, 16, 32 or 64
 *   DOUBLE            real        FLOAT too
 *   DECIMAL           decimal     precision, scale
 *   STRING            text        CHAR and VARCHAR; lengths are not enforced, as in Flink
 *   TIMESTAMP         integer     ms since 1970 on a wall clock without zone
 *   TIMESTAMP_LTZ     integer     ms since 1970, an instant
 *   DATE              integer     days since 1970
 *   INTERVAL          integer     ms
 *   MONTHS            integer     months
 *   JSON              text        ARRAY, ROW and MAP: the JSON text as it came
 *   NULLS             nothing     the literal NULL: becomes any type
 */
#ifndef HEADGATE_RULES_STREAM_TYPE_H
#define HEADGATE_RULES_STREAM_TYPE_H

#include "base/buf.h"
#include "base/json.h"
#include "rules/decimal.h"

struct zone;

enum stream_kind {
    STREAM_NULLS,
    STREAM_BOOLEAN,
    STREAM_INTEGER,
    STREAM_DOUBLE,
    STREAM_DECIMAL,
    STREAM_STRING,
    STREAM_TIMESTAMP,
    STREAM_TIMESTAMP_LTZ,
    STREAM_DATE,
    STREAM_INTERVAL,
    STREAM_MONTHS,
    STREAM_JSON,
};

struct stream_type {
    uint8_t kind;      /* enum stream_kind */
    uint8_t width;     /* INTEGER: bits */
    uint8_t precision; /* DECIMAL; TIMESTAMP: digits of the fraction that are kept, at most 3 */
    uint8_t scale;
};

struct stream_value {
    bool is_null;
    union {
        int64_t integer;
        double real;
        struct bytes text;
        struct decimal decimal;
    };
};

static inline struct stream_type
stream_type_of(enum stream_kind kind)
{
    return (struct stream_type){.kind = (uint8_t)kind,
                                .width = kind == STREAM_INTEGER ? 64 : 0,
                                .precision = 3};
}

static inline struct stream_value
stream_null(void)
{
    return (struct stream_value){.is_null = true};
}

static inline struct stream_value
stream_integer(int64_t integer)
{
    return (struct stream_value){.integer = integer};
}

/* From a type as the parser writes it: "VARCHAR(6)", "TIMESTAMP(3)". False: not known. */
bool stream_type_parse(struct bytes text, struct stream_type *out);

/* Of "ROW<x INT, y STRING>" the type of a field, of "ARRAY<INT>" and "MAP<STRING, INT>" that of an
 * element, as text for stream_type_parse(); empty: it does not say. */
struct bytes stream_type_of_field(struct bytes type, struct bytes name);
struct bytes stream_type_of_element(struct bytes type);

/* "BIGINT", "TIMESTAMP(3)" */
void stream_type_print(struct stream_type type, struct buf *out);

static inline bool
stream_is_number(struct stream_type type)
{
    return type.kind == STREAM_INTEGER || type.kind == STREAM_DOUBLE ||
           type.kind == STREAM_DECIMAL;
}

static inline bool
stream_is_time(struct stream_type type)
{
    return type.kind == STREAM_TIMESTAMP || type.kind == STREAM_TIMESTAMP_LTZ;
}

/* Whether a value of the integer's width can hold it. */
bool stream_fits(struct stream_type type, int64_t integer);

/* How times are read and written (option json.timestamp-format.standard). */
enum stream_time_format { STREAM_TIME_SQL, STREAM_TIME_ISO };

/* What a clock in the zone shows at an instant, and back; a zone of NULL is UTC. See base/zone.h
 * for hours that a clock shows twice or never. */
int64_t stream_local_ms(const struct zone *zone, int64_t ms);
int64_t stream_instant_ms(const struct zone *zone, int64_t local_ms);

/* Toward minus infinity: times before 1970 are negative. */
int64_t stream_floor_divide(int64_t a, int64_t b);

/*
 * A time as text, liberal: 'T' or blank, 0 to 9 digits of fraction (cut to ms), optional zone.
 * Without a zone the clock of `zone` is meant (NULL: UTC).
 */
bool stream_time_parse(struct bytes text, const struct zone *zone, int64_t *out_ms);

/* "2024-03-01 12:00:00.5": only as many digits of the fraction as are needed. */
void stream_time_print(int64_t ms, enum stream_time_format format, struct buf *out);

/* JSON of a value. Instants are printed with Z, in UTC. */
void stream_value_write(struct buf *out, struct stream_type type, const struct stream_value *value,
                        enum stream_time_format format);

/* A JSON member as a value of the type. False: it is no such value (NULL and missing are). */
bool stream_value_read(struct stream_value *out, struct stream_type type, const struct json *json,
                       uint32_t node, struct arena *arena);

/* CAST; false: the value cannot be one of that type. `zone` is the session's, NULL for UTC. */
bool stream_cast(struct stream_value *out, struct stream_type to, const struct stream_value *value,
                 struct stream_type from, const struct zone *zone, struct arena *arena);

/* < 0, 0, > 0. Both are of the type and not NULL. Text by bytes; false before true. */
int stream_compare(struct stream_type type, const struct stream_value *a,
                   const struct stream_value *b);

#endif
