/*
 * Adds where a device stands to each record: {"id":7,"t":21.5} becomes
 * {"id":7,"t":21.5,"site":"hall 3","seen_ms":1700000000000}.
 *
 *   CREATE FUNCTION enrich AS 'enrich.c' LANGUAGE C WITH ('environment' = 'SITE=hall 3');
 *   INSERT INTO enrich SELECT * FROM 'sensors/+/data';
 *   INSERT INTO 'enriched/${topic(2)}' SELECT * FROM enrich;
 *
 * The object is not parsed: the new members are written before its closing brace, so numbers and
 * order of the rest stay exactly as they came.
 */
#define _GNU_SOURCE /* asprintf */
#include <headgate/handler.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The size of the object up to its closing brace, 0 when the payload is no object. */
static size_t
open_size(const struct headgate_record *record)
{
    size_t size = record->payload_size;
    while (size > 0 && strchr(" \t\r\n", record->payload[size - 1]) != NULL) {
        size--;
    }
    size_t start = strspn(record->payload, " \t\r\n");
    return size > start + 1 && record->payload[start] == '{' && record->payload[size - 1] == '}'
                   ? size - 1
                   : 0;
}

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    const char *site = headgate_environment(context, "SITE");
    for (size_t i = 0; i < count; i++) {
        const struct headgate_record *record = &records[i];
        size_t size = open_size(record);
        if (size == 0) {
            headgate_fail(context, i, "the payload is not a JSON object");
            continue;
        }
        size_t start = strspn(record->payload, " \t\r\n") + 1;
        int empty = strspn(record->payload + start, " \t\r\n") >= size - start;
        char *out = NULL;
        int out_size = asprintf(&out, "%.*s%s\"site\":\"%s\",\"seen_ms\":%" PRId64 "}", (int)size,
                                record->payload, empty ? "" : ",", site == NULL ? "" : site,
                                record->time_us / 1000);
        if (out_size < 0) {
            return -1; /* no memory: the whole call failed and is made again */
        }
        headgate_emit(context, record->topic, out, (size_t)out_size);
        free(out);
    }
    return 0;
}
