#include "table.h"

#include "base/calendar.h"
#include "base/json.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

/* 2024-07-11 13:00 UTC */
#define TABLE_NOW_US INT64_C(1720702800000000)

static const struct table *
table_of(const struct os *os)
{
    return (const struct table *)((const char *)os - offsetof(struct table, os));
}

static int64_t
fixed_wall_us(const struct os *os)
{
    return table_of(os)->wall_us;
}

static int64_t
fixed_mono_us(const struct os *os)
{
    return table_of(os)->mono_us;
}

static bool
is_synchronised(const struct os *os)
{
    return table_of(os)->is_synchronised;
}

void
table_init(struct table *table, const char *connector, const char *const *options)
{
    *table = (struct table){.driver = driver_find(bytes_of_string(connector)),
                            .os = os_posix,
                            .wall_us = TABLE_NOW_US,
                            .mono_us = INT64_C(3600) * 1000000,
                            .is_synchronised = true,
                            .position = 1};
    assert_non_null(table->driver);
    table->os.wall_us = fixed_wall_us;
    table->os.mono_us = fixed_mono_us;
    table->os.is_synchronised = is_synchronised;
    snprintf(table->dir, sizeof table->dir, "/tmp/headgate-table-XXXXXX");
    assert_non_null(mkdtemp(table->dir));
    table->env = (struct driver_env){.os = &table->os, .name = "t", .data_dir = table->dir};
    table->options = mem_alloc_zeroed(1, table->driver->options_size);
    option_defaults(&table->driver->options, table->options);
    for (; options != NULL && *options != NULL; options++) {
        struct bytes text = bytes_of_string(*options);
        size_t equal = bytes_find(text, '=');
        if (!option_set(&table->driver->options, table->options, bytes_slice(text, 0, equal),
                        bytes_slice(text, equal + 1, text.size), NULL, &table->diags)) {
            fail_msg("option %s: %.*s", *options, BYTES_ARG(diag_first_error(&table->diags)));
        }
    }
}

void
table_fini(struct table *table)
{
    table_close(table);
    DIR *dir = opendir(table->dir);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", table->dir, entry->d_name);
        unlink(path);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(table->dir);
    option_fini(&table->driver->options, table->options);
    free(table->options);
    arena_fini(&table->arena);
    diag_list_fini(&table->diags);
}

bool
table_open(struct table *table)
{
    return table->driver->open(&table->instance, &table->env, table->options, &table->declaration,
                               &table->diags);
}

void
table_close(struct table *table)
{
    if (table->instance != NULL) {
        table->driver->close(table->instance);
        table->instance = NULL;
    }
}

void
table_write_at(struct table *table, const uint64_t *positions, const char *const *payloads,
               size_t count, enum verdict *verdicts)
{
    struct sink_record *records = mem_new_array(struct sink_record, count);
    struct outcome *outcomes = mem_new_array(struct outcome, count);
    for (size_t i = 0; i < count; i++) {
        records[i] = (struct sink_record){
                .id = {.position = positions[i]},
                .time_us = table->wall_us + (int64_t)positions[i],
                .stream = BYTES("mqtt"),
                .payload = bytes_of_string(payloads[i]),
                .dead_position = table->dead_position,
        };
    }
    struct batch batch = {records, outcomes, count, INT64_MAX, &table->arena};
    table->driver->write(table->instance, &batch);
    for (size_t i = 0; i < count; i++) {
        verdicts[i] = outcomes[i].verdict;
    }
    free(records);
    free(outcomes);
}

enum verdict
table_write(struct table *table, const char *payload, const char **reason)
{
    struct sink_record record = {
            .id = {.position = table->position},
            .time_us = table->wall_us + (int64_t)table->position,
            .stream = BYTES("mqtt"),
            .params = table->params == NULL ? BYTES("") : bytes_of_string(table->params),
            .payload = bytes_of_string(payload),
    };
    table->position++;
    struct outcome outcome = {0};
    struct batch batch = {&record, &outcome, 1, INT64_MAX, &table->arena};
    table->driver->write(table->instance, &batch);
    if (reason != NULL) {
        *reason = arena_copy(&table->arena, outcome.reason).data;
    }
    return outcome.verdict;
}

struct printing {
    const struct table_schema *schema;
    struct buf out;
};

static void
print_cell(const struct column *column, const struct cell *cell, struct buf *out)
{
    switch (column->type) {
    case COLUMN_VARCHAR:
        buf_append(out, cell->text);
        break;
    case COLUMN_BIGINT:
        buf_append_int64(out, cell->integer);
        break;
    case COLUMN_DOUBLE:
        json_write_double(out, cell->real);
        break;
    case COLUMN_BOOLEAN:
        buf_append_string(out, cell->integer ? "true" : "false");
        break;
    case COLUMN_TIMESTAMP:
        calendar_print(cell->integer, 'T', out);
        break;
    }
}

static bool
print_row(void *context, const struct cell *cells)
{
    struct printing *printing = context;
    size_t shown = 0;
    for (size_t i = 0; i < printing->schema->count; i++) {
        if (!cells[i].is_null) {
            const struct column *column = &printing->schema->columns[i];
            buf_printf(&printing->out, "%s%.*s=", shown++ > 0 ? " " : "", BYTES_ARG(column->name));
            print_cell(column, &cells[i], &printing->out);
        }
    }
    buf_append_char(&printing->out, '\n');
    return true;
}

const char *
table_rows(struct table *table, const struct scan_request *request)
{
    struct table_schema schema;
    struct scan_request all = {
            .time_min_ns = INT64_MIN, .time_max_ns = INT64_MAX, .equal_column = SIZE_MAX};
    struct printing printing = {&schema, {0}};
    assert_true(table->driver->describe(table->instance, &table->arena, &schema, &table->diags));
    assert_true(table->driver->scan(table->instance, &schema, request != NULL ? request : &all,
                                    print_row, &printing, &table->diags));
    struct bytes text = arena_copy(&table->arena, buf_bytes(&printing.out));
    buf_fini(&printing.out);
    return text.data;
}

const char *
table_columns(struct table *table)
{
    static const char *const types[] = {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP"};
    struct table_schema schema;
    struct buf out = {0};
    assert_true(table->driver->describe(table->instance, &table->arena, &schema, &table->diags));
    for (size_t i = 0; i < schema.count; i++) {
        buf_printf(&out, "%s%.*s:%s", i > 0 ? " " : "", BYTES_ARG(schema.columns[i].name),
                   types[schema.columns[i].type]);
    }
    struct bytes text = arena_copy(&table->arena, buf_bytes(&out));
    buf_fini(&out);
    return text.data;
}
