/*
 * headgate query: SELECT over the declared tables.
 *
 * Which tables there are is what the rule files say; each is opened read-only in its folder below
 * data_dir when the statement names it, beside a gateway that may be running. Nothing here can
 * disturb that gateway, however heavy the query is.
 */
#include "command.h"
#include "query.h"
#include "ruleset.h"

#include "base/calendar.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* A table that can be queried; opened when a statement names it. */
struct asked_table {
    struct ruleset_relation *relation;
    char *name;
    char *folder;
    struct driver_env env;
    void *instance; /* NULL: not opened */
};

struct asking {
    const struct config *config;
    struct gateway_paths paths;
    struct ruleset *ruleset;
    struct asked_table *tables;
    size_t table_count;
};

static const char *
table_name_at(const void *context, size_t i)
{
    return ((const struct asking *)context)->tables[i].name;
}

static bool
open_table(struct asking *asking, struct asked_table *table, struct diag_list *diags)
{
    const struct relation *relation = &table->relation->relation;
    table->env = (struct driver_env){
            .os = &os_posix,
            .name = table->name,
            .data_dir = table->folder,
            .paths = &asking->paths,
            .read_only = true,
    };
    return relation->driver->open(&table->instance, &table->env, relation->options,
                                  &relation->declaration, diags);
}

/* A statement may say "database"."table" as Timestream does; there is one database here. */
static bool
find_table(void *context, struct bytes database, struct bytes name, struct query_table_ref *out,
           struct diag_list *diags)
{
    struct asking *asking = context;
    *out = (struct query_table_ref){0};
    for (size_t i = 0; i < asking->table_count; i++) {
        struct asked_table *table = &asking->tables[i];
        if (bytes_equal_string(name, table->name)) {
            if (table->instance == NULL && !open_table(asking, table, diags)) {
                return false;
            }
            *out = (struct query_table_ref){table->relation->relation.driver, table->instance};
        }
    }
    return true;
}

static void
find_queryable(struct asking *asking)
{
    asking->tables = mem_new_array(struct asked_table, asking->ruleset->relation_count);
    for (size_t i = 0; i < asking->ruleset->relation_count; i++) {
        struct ruleset_relation *relation = &asking->ruleset->relations[i];
        if (relation->relation.driver->can_scan) {
            struct asked_table *table = &asking->tables[asking->table_count++];
            struct buf folder = {0};
            table->relation = relation;
            table->name = bytes_to_string(relation->declared->name);
            buf_printf(&folder, "%s/%s/%s", asking->config->data_dir,
                       relation->relation.driver->name, table->name);
            table->folder = buf_take_string(&folder);
        }
    }
}

static bool
ask(struct asking *asking, const char *sql, int64_t now_ns, bool json, struct diag_list *diags)
{
    struct buf whence = {0};
    buf_printf(&whence, "the rule files in %s declare ", asking->config->rules_dir);
    buf_append_count(&whence, asking->table_count, "table");
    buf_append_string(&whence, " that can be queried; --set rules_dir=FOLDER asks another folder");
    struct query_request request = {
            .name = BYTES("query"),
            .sql = bytes_of_string(sql),
            .now_ns = now_ns,
            .os = &os_posix,
            .limits = query_limits_default,
            .context = asking,
            .find_table = find_table,
            .table_count = asking->table_count,
            .table_name_at = table_name_at,
            .whence = buf_string(&whence),
    };
    struct query_result result;
    bool answered = query_execute(&request, &result, diags);
    buf_fini(&whence);
    if (!answered) {
        return false;
    }
    struct buf out = {0};
    if (json) {
        query_print_json(&result, &out);
    } else {
        query_print_text(&result, &out);
    }
    fwrite(out.data == NULL ? "" : out.data, 1, out.size, stdout);
    buf_fini(&out);
    query_result_fini(&result);
    return true;
}

static void
asking_fini(struct asking *asking)
{
    for (size_t i = 0; i < asking->table_count; i++) {
        struct asked_table *table = &asking->tables[i];
        if (table->instance != NULL) {
            table->relation->relation.driver->close(table->instance);
        }
        free(table->name);
        free(table->folder);
    }
    free(asking->tables);
    ruleset_free(asking->ruleset);
}

/* Broken rule files are the business of `check`: what they declared before is still asked. */
static bool
load_tables(struct asking *asking, struct diag_list *diags)
{
    struct ruleset_report report;
    struct diag_list said = {0};
    bool loaded = ruleset_load(&asking->ruleset, asking->config->rules_dir, NULL, NULL, &report,
                               &said);
    if (!loaded || report.broken > 0) {
        diag_list_append(diags, &said);
    }
    diag_list_fini(&said);
    if (loaded) {
        find_queryable(asking);
    }
    return loaded;
}

int
cmd_query(int argc, char **argv)
{
    const char *now = NULL;
    const struct flag flags[] = {
            {"--now", "TIME", "what now() and ago() count from; default: the clock", &now, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("query"), argc, argv, flags, 1, 1, &code)) {
        return code;
    }
    struct diag_list diags = {0};
    struct asking asking = {.config = &line.config};
    int64_t now_ns = os_posix.wall_us(&os_posix) * CALENDAR_NS_PER_US;
    code = EXIT_CODE_USAGE;
    if (line.operand_count == 0) {
        diag_error(&diags, DIAG_INVALID, "no statement");
        diag_hint(&diags, "headgate query \"SELECT * FROM readings ORDER BY time DESC LIMIT 10\"");
    } else if (now != NULL && !calendar_parse(bytes_of_string(now), &now_ns)) {
        diag_error(&diags, DIAG_INVALID, "'--now %s' is not a time", now);
        diag_hint(&diags, "write it like 2026-01-31T12:00:00Z");
    } else {
        bool answered = load_tables(&asking, &diags) &&
                        ask(&asking, line.operands[0], now_ns, line.json, &diags);
        code = answered ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
    }
    command_print_diags(&diags);
    asking_fini(&asking);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return code;
}
