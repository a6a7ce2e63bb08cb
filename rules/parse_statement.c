/*
 * The statements of rule files, and recovery: after an error reading goes on behind the next ';'.
 *
 * The dialect of an INSERT is told by its source: quoted is an MQTT topic, bare a declared table.
 */
#include "parse.h"

/* ---- parts ---- */

static bool
parse_option(struct parser *parser, struct option_item *out)
{
    size_t first = parser->at;
    struct option_item item;
    if (!parser_expect_string(parser, "an option's name in quotes", &item.name)) {
        return false;
    }
    item.name_span = parser_span_from(parser, first);
    if (!parser_expect(parser, TOKEN_EQUAL, "'='")) {
        return false;
    }
    size_t value_at = parser->at;
    if (!parser_expect_string(parser, "the option's value in quotes", &item.value)) {
        return false;
    }
    item.value_span = parser_span_from(parser, value_at);
    item.span = parser_span_from(parser, first);
    *out = item;
    return true;
}

/* WITH '(' 'name' = 'value' {',' ...} ')' */
static bool
parse_options(struct parser *parser, struct option_items *out)
{
    if (!parser_expect_keyword(parser, KEYWORD_WITH) ||
        !parser_expect(parser, TOKEN_LEFT_PAREN, "'('")) {
        return false;
    }
    struct option_item *items = NULL;
    size_t count = 0;
    do {
        items = parser_grow(parser, items, count, sizeof *items);
        if (!parse_option(parser, &items[count])) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            if (bytes_equal(items[i].name, items[count].name)) {
                parser_fail_at(parser, items[count].name_span, "option '%.*s' is given twice",
                               BYTES_ARG(items[i].name));
                return false;
            }
        }
        count++;
    } while (parser_accept(parser, TOKEN_COMMA));
    *out = (struct option_items){items, count};
    return parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'");
}

static bool
parse_named(struct parser *parser, const char *what, struct statement *statement)
{
    size_t first = parser->at;
    if (!parser_expect_name(parser, what, &statement->name)) {
        return false;
    }
    statement->name_span = parser_span_from(parser, first);
    return true;
}

/* ---- INSERT INTO ---- */

static bool
parse_target(struct parser *parser, struct target *out)
{
    size_t first = parser->at;
    struct target target = {.topic = parser_at(parser, TOKEN_STRING)};
    bool ok = target.topic ? parser_expect_string(parser, "a topic", &target.text)
                           : parser_expect_name(parser, "a topic in quotes or the name of a table",
                                                &target.text);
    target.span = parser_span_from(parser, first);
    *out = target;
    return ok;
}

static bool
parse_targets(struct parser *parser, struct statement *statement)
{
    struct target *items = NULL;
    size_t count = 0;
    do {
        items = parser_grow(parser, items, count, sizeof *items);
        if (!parse_target(parser, &items[count])) {
            return false;
        }
        count++;
    } while (parser_accept(parser, TOKEN_COMMA));
    statement->targets = items;
    statement->target_count = count;
    return true;
}

/* The dialect of the query that starts here, from what stands behind its own FROM. */
static enum dialect
dialect_of_query(const struct parser *parser)
{
    int depth = 0;
    for (size_t ahead = 0;; ahead++) {
        const struct token *token = parser_peek(parser, ahead);
        switch ((enum token_kind)token->kind) {
        case TOKEN_END:
        case TOKEN_SEMICOLON:
            return DIALECT_TOPIC;
        case TOKEN_LEFT_PAREN:
            depth++;
            break;
        case TOKEN_RIGHT_PAREN:
            depth--;
            break;
        default:
            if (token->keyword == KEYWORD_FROM && depth == 0) {
                enum token_kind source = parser_peek(parser, ahead + 1)->kind;
                bool bare = source == TOKEN_NAME || source == TOKEN_BACKQUOTED ||
                            source == TOKEN_LEFT_PAREN || source == TOKEN_QUOTED;
                return bare ? DIALECT_STREAM : DIALECT_TOPIC;
            }
        }
    }
}

/* '(' name {',' name} ')' */
static bool
parse_names(struct parser *parser, const struct bytes **out, size_t *count)
{
    struct bytes *names = NULL;
    size_t n = 0;
    if (!parser_expect(parser, TOKEN_LEFT_PAREN, "'('")) {
        return false;
    }
    do {
        names = parser_grow(parser, names, n, sizeof *names);
        if (!parser_expect_name(parser, "a column", &names[n])) {
            return false;
        }
        n++;
    } while (parser_accept(parser, TOKEN_COMMA));
    *out = names;
    *count = n;
    return parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'");
}

static bool
parse_insert(struct parser *parser, struct statement *statement)
{
    statement->kind = STATEMENT_INSERT;
    if (!parser_expect_keyword(parser, KEYWORD_INSERT) ||
        !parser_expect_keyword(parser, KEYWORD_INTO)) {
        return false;
    }
    parser->dialect = dialect_of_query(parser);
    if (!parse_targets(parser, statement)) {
        return false;
    }
    statement->dialect = parser->dialect;
    if (parser->dialect == DIALECT_STREAM && parser_at(parser, TOKEN_LEFT_PAREN) &&
        !parse_names(parser, &statement->insert_columns, &statement->insert_column_count)) {
        return false;
    }
    bool query = parser_at_keyword(parser, KEYWORD_SELECT) ||
                 (parser_at_keyword(parser, KEYWORD_SET) &&
                  parser_peek(parser, 1)->kind == TOKEN_VARIABLE);
    if (!query) {
        parser_fail_expected(parser, "',' or SELECT",
                             (const enum keyword[]){KEYWORD_SELECT, KEYWORD_SET, KEYWORD_NONE});
        return false;
    }
    statement->select = parse_select(parser);
    return statement->select != NULL;
}

/* ---- CREATE ---- */

static bool
parse_rule(struct parser *parser, struct statement *statement)
{
    if (!parse_named(parser, "the rule's name", statement)) {
        return false;
    }
    if (parser_at_keyword(parser, KEYWORD_WITH) && !parse_options(parser, &statement->options)) {
        return false;
    }
    return parser_expect_keyword(parser, KEYWORD_AS) && parse_insert(parser, statement);
}

static bool
parse_function(struct parser *parser, struct statement *statement)
{
    statement->kind = STATEMENT_CREATE_FUNCTION;
    if (!parse_named(parser, "the function's name", statement) ||
        !parser_expect_keyword(parser, KEYWORD_AS) ||
        !parser_expect_string(parser, "the source file in quotes", &statement->source) ||
        !parser_expect_keyword(parser, KEYWORD_LANGUAGE) ||
        !parser_expect_keyword(parser, KEYWORD_C)) {
        return false;
    }
    return !parser_at_keyword(parser, KEYWORD_WITH) || parse_options(parser, &statement->options);
}

/* WATERMARK FOR column AS expr */
static bool
parse_watermark(struct parser *parser, struct statement *statement)
{
    size_t first = parser->at;
    struct watermark *watermark = arena_new(parser->arena, struct watermark);
    parser_next(parser);
    if (!parser_expect_keyword(parser, KEYWORD_FOR) ||
        !parser_expect_name(parser, "a column", &watermark->column) ||
        !parser_expect_keyword(parser, KEYWORD_AS)) {
        return false;
    }
    watermark->expr = parse_expr(parser);
    watermark->span = parser_span_from(parser, first);
    statement->watermark = watermark;
    return watermark->expr != NULL;
}

/* [METADATA [FROM 'key'] [VIRTUAL]] [NOT NULL] */
static bool
parse_column_tail(struct parser *parser, struct column *column)
{
    column->metadata = parser_accept_keyword(parser, KEYWORD_METADATA);
    if (column->metadata) {
        if (parser_accept_keyword(parser, KEYWORD_FROM) &&
            !parser_expect_string(parser, "the metadata's key in quotes", &column->metadata_key)) {
            return false;
        }
        parser_accept_keyword(parser, KEYWORD_VIRTUAL);
    }
    column->not_null = parser_accept_keyword(parser, KEYWORD_NOT);
    return !column->not_null || parser_expect_keyword(parser, KEYWORD_NULL);
}

/* name TYPE ... | name AS expr */
static bool
parse_column(struct parser *parser, struct column *column)
{
    size_t first = parser->at;
    if (!parser_expect_name(parser, "a column", &column->name)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_AS)) {
        column->computed = parse_expr(parser);
        column->span = parser_span_from(parser, first);
        return column->computed != NULL;
    }
    if (!parser_expect_type(parser, &column->type)) {
        return false;
    }
    column->span = parser_span_from(parser, first);
    return parse_column_tail(parser, column);
}

/* PRIMARY KEY '(' columns ')' NOT ENFORCED: read, and left to the connector. */
static bool
parse_primary_key(struct parser *parser)
{
    const struct bytes *names;
    size_t count;
    parser->at += 2;
    return parse_names(parser, &names, &count) &&
           (!parser_accept_keyword(parser, KEYWORD_NOT) ||
            parser_expect_keyword(parser, KEYWORD_ENFORCED));
}

static bool
parse_columns(struct parser *parser, struct statement *statement)
{
    if (!parser_accept(parser, TOKEN_LEFT_PAREN)) {
        return true;
    }
    struct column *items = NULL;
    size_t count = 0;
    do {
        if (parser_at_keyword(parser, KEYWORD_WATERMARK) &&
            parser_peek(parser, 1)->keyword == KEYWORD_FOR) {
            if (!parse_watermark(parser, statement)) {
                return false;
            }
            continue;
        }
        if (parser_at_keyword(parser, KEYWORD_PRIMARY) &&
            parser_peek(parser, 1)->keyword == KEYWORD_KEY) {
            if (!parse_primary_key(parser)) {
                return false;
            }
            continue;
        }
        items = parser_grow(parser, items, count, sizeof *items);
        if (!parse_column(parser, &items[count])) {
            return false;
        }
        count++;
    } while (parser_accept(parser, TOKEN_COMMA));
    statement->columns = items;
    statement->column_count = count;
    return parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'");
}

/* PARTITIONED BY '(' column {',' column} ')' */
static bool
parse_partitioning(struct parser *parser, struct statement *statement)
{
    if (!parser_accept_keyword(parser, KEYWORD_PARTITIONED)) {
        return true;
    }
    return parser_expect_keyword(parser, KEYWORD_BY) &&
           parse_names(parser, &statement->partition_by, &statement->partition_count);
}

static bool
parse_if_not_exists(struct parser *parser, struct statement *statement)
{
    if (parser_accept_keyword(parser, KEYWORD_IF)) {
        statement->if_not_exists = true;
        return parser_expect_keyword(parser, KEYWORD_NOT) &&
               parser_expect_keyword(parser, KEYWORD_EXISTS);
    }
    return true;
}

static bool
parse_table(struct parser *parser, struct statement *statement)
{
    statement->kind = STATEMENT_CREATE_TABLE;
    parser->dialect = DIALECT_STREAM;
    return parse_if_not_exists(parser, statement) &&
           parse_named(parser, "the table's name", statement) &&
           parse_columns(parser, statement) && parse_partitioning(parser, statement) &&
           parse_options(parser, &statement->options);
}

static bool
parse_view(struct parser *parser, struct statement *statement)
{
    statement->kind = STATEMENT_CREATE_VIEW;
    parser->dialect = DIALECT_STREAM;
    if (!parse_if_not_exists(parser, statement) ||
        !parse_named(parser, "the view's name", statement) ||
        !parser_expect_keyword(parser, KEYWORD_AS)) {
        return false;
    }
    statement->select = parse_select(parser);
    return statement->select != NULL;
}

/* CREATE [OR REPLACE] STREAM name (columns), of Kinesis Analytics. */
static bool
parse_stream(struct parser *parser, struct statement *statement)
{
    statement->kind = STATEMENT_CREATE_STREAM;
    parser->dialect = DIALECT_STREAM;
    return parse_named(parser, "the stream's name", statement) &&
           parse_columns(parser, statement);
}

/* CREATE [OR REPLACE] PUMP name AS INSERT INTO stream SELECT STREAM ... */
static bool
parse_pump(struct parser *parser, struct statement *statement)
{
    parser->dialect = DIALECT_STREAM;
    return parse_named(parser, "the pump's name", statement) &&
           parser_expect_keyword(parser, KEYWORD_AS) && parse_insert(parser, statement);
}

static bool
parse_create(struct parser *parser, struct statement *statement)
{
    static const struct {
        enum keyword keyword;
        bool (*parse)(struct parser *parser, struct statement *statement);
    } things[] = {
            {KEYWORD_RULE, parse_rule}, {KEYWORD_TABLE, parse_table},
            {KEYWORD_FUNCTION, parse_function}, {KEYWORD_VIEW, parse_view},
            {KEYWORD_STREAM, parse_stream}, {KEYWORD_PUMP, parse_pump},
    };
    parser_next(parser);
    if (parser_accept_keyword(parser, KEYWORD_OR)) {
        statement->or_replace = true;
        if (!parser_expect_keyword(parser, KEYWORD_REPLACE)) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof things / sizeof things[0]; i++) {
        if (parser_accept_keyword(parser, things[i].keyword)) {
            return things[i].parse(parser, statement);
        }
    }
    parser_fail_expected(parser, "RULE, TABLE, VIEW or FUNCTION",
                         (const enum keyword[]){KEYWORD_RULE, KEYWORD_TABLE, KEYWORD_FUNCTION,
                                                KEYWORD_VIEW, KEYWORD_STREAM, KEYWORD_PUMP,
                                                KEYWORD_NONE});
    return false;
}

/* SET 'name' = 'value' */
static bool
parse_set(struct parser *parser, struct statement *statement)
{
    struct option_item *item = arena_new(parser->arena, struct option_item);
    statement->kind = STATEMENT_SET;
    parser_next(parser);
    if (!parse_option(parser, item)) {
        return false;
    }
    statement->options = (struct option_items){item, 1};
    return true;
}

static bool
parse_lone_select(struct parser *parser, struct statement *statement)
{
    statement->kind = STATEMENT_SELECT;
    parser->dialect = dialect_of_query(parser);
    statement->dialect = parser->dialect;
    statement->select = parse_select(parser);
    return statement->select != NULL;
}

/* ---- statements ---- */

static bool
parse_kind(struct parser *parser, struct statement *statement)
{
    if (parser_at_keyword(parser, KEYWORD_INSERT)) {
        return parse_insert(parser, statement);
    }
    if (parser_at_keyword(parser, KEYWORD_CREATE)) {
        return parse_create(parser, statement);
    }
    if (parser_at_keyword(parser, KEYWORD_SET) && parser_peek(parser, 1)->kind == TOKEN_STRING) {
        return parse_set(parser, statement);
    }
    if (parser_at_keyword(parser, KEYWORD_SELECT) && parser->lone_select) {
        return parse_lone_select(parser, statement);
    }
    if (parser_at_keyword(parser, KEYWORD_SELECT)) {
        parser_fail_expected(parser, "INSERT INTO or CREATE", NULL);
        diag_hint(parser->diags, "a rule says where its rows go: INSERT INTO 'topic' SELECT ...");
        return false;
    }
    parser_fail_expected(parser, "INSERT INTO or CREATE",
                         (const enum keyword[]){KEYWORD_INSERT, KEYWORD_CREATE, KEYWORD_NONE});
    return false;
}

static bool
parse_end(struct parser *parser, const struct statement *statement)
{
    if (parser_at_end(parser) || parser_accept(parser, TOKEN_SEMICOLON)) {
        return true;
    }
    static const enum keyword without_from[] = {KEYWORD_FROM, KEYWORD_AS, KEYWORD_NONE};
    static const enum keyword with_from[] = {KEYWORD_WHERE, KEYWORD_AND, KEYWORD_OR, KEYWORD_NONE};
    bool from = statement->select != NULL && statement->select->from != NULL;
    bool where = from && statement->select->where != NULL;
    const char *expected = statement->select == NULL || where ? "';'"
                           : from                             ? "WHERE or ';'"
                                                              : "',', AS or FROM";
    parser_fail_expected(parser, expected, from ? with_from : without_from);
    return false;
}

static void
skip_statement(struct parser *parser)
{
    while (!parser_at_end(parser) && parser_next(parser)->kind != TOKEN_SEMICOLON) {
    }
}

const struct statement *
parse_statement(struct parser *parser)
{
    while (parser_accept(parser, TOKEN_SEMICOLON)) {
    }
    if (parser_at_end(parser)) {
        return NULL;
    }
    size_t first = parser->at;
    struct statement *statement = arena_new(parser->arena, struct statement);
    parser->dialect = DIALECT_TOPIC;
    parser->nesting = 0;
    if (!parse_kind(parser, statement) || !parse_end(parser, statement)) {
        skip_statement(parser);
        return NULL;
    }
    statement->span = parser_span_from(parser, first);
    return statement;
}
