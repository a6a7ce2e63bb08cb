/*
 * Query SQL: any text is planned or refused with an error, and what is planned is a statement that
 * SQLite takes, in which no byte stands that we did not write.
 */
#include "fuzz.h"
#include "rules/query.h"

#include <stdlib.h>

static const struct query_column columns[] = {
        {{"id", 2}, QUERY_VARCHAR, false},
        {{"measure_name", 12}, QUERY_VARCHAR, false},
        {{"time", 4}, QUERY_TIMESTAMP, true},
        {{"measure_value::double", 21}, QUERY_DOUBLE, false},
        {{"measure_value::bigint", 21}, QUERY_BIGINT, false},
};

static const struct query_table table = {columns, sizeof columns / sizeof columns[0], NULL};

static bool
find_table(void *context, struct bytes database, struct bytes name,
           const struct query_table **out, struct diag_list *diags)
{
    *out = name.size > 0 && name.data[0] == 't' ? &table : NULL;
    return true;
}

static const char *
name_at(const void *context, size_t i)
{
    return "table";
}

/* Letters, digits and marks of the patterns; parameters instead of values. */
static void
check_text(const char *sql)
{
    for (const char *at = sql; *at != '\0'; at++) {
        bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')
                      || (*at >= '0' && *at <= '9');
        check(letter || strchr(" ,.()?_*+-/<>=|'", *at) != NULL);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct query_plan plan;
    struct query_source source = {
            .name = BYTES("query"), .text = bytes_of(data, size), .now_ns = 1720702800000000000};
    struct query_catalogue catalogue = {.find = find_table, .name_count = 1, .name_at = name_at};
    if (query_plan(&plan, &source, &catalogue, &arena, &diags)) {
        check(diags.errors == 0 && plan.column_count > 0);
        check_text(plan.sql);
    } else {
        check(diags.errors > 0);
        struct buf out = {0};
        diag_list_print(&diags, &out);
        buf_fini(&out);
    }
    diag_list_fini(&diags);
    arena_fini(&arena);
    return 0;
}
