/*
 * Queries: [SET ...] SELECT ... FROM ... WHERE ... and, outside of topic SQL, GROUP BY, HAVING,
 * ORDER BY, LIMIT and OFFSET. What only query SQL has (WITH, joins, VALUES) is in parse_query.c.
 */
#include "parse.h"

/* '*' and 'a.*' are items of their own; everything else is an expression. */
static bool
parse_item(struct parser *parser, struct select_item *out)
{
    size_t first = parser->at;
    struct select_item item = {.expr = parse_expr(parser)};
    if (item.expr == NULL) {
        return false;
    }
    bool implicit = parser->dialect != DIALECT_TOPIC &&
                    parser_is_name(parser, parser_peek(parser, 0)) &&
                    !parser_at_keyword(parser, KEYWORD_INTO);
    if (parser_accept_keyword(parser, KEYWORD_AS) || implicit) {
        if (!parser_expect_path(parser, "an alias", &item.alias)) {
            return false;
        }
    }
    item.span = parser_span_from(parser, first);
    *out = item;
    return true;
}

static bool
at_clause(const struct parser *parser)
{
    return parser_at_end(parser) || parser_at(parser, TOKEN_SEMICOLON) ||
           parser_at(parser, TOKEN_RIGHT_PAREN) || parser_at_keyword(parser, KEYWORD_FROM) ||
           parser_at_keyword(parser, KEYWORD_WHERE);
}

static bool
parse_items(struct parser *parser, struct select *select)
{
    struct select_item *items = NULL;
    size_t count = 0;
    do {
        if (count > 0 && parser->dialect == DIALECT_TOPIC && at_clause(parser)) {
            break; /* AWS tolerates a comma behind the last item */
        }
        items = parser_grow(parser, items, count, sizeof *items);
        if (!parse_item(parser, &items[count])) {
            return false;
        }
        count++;
    } while (parser_accept(parser, TOKEN_COMMA));
    select->items = items;
    select->item_count = count;
    return true;
}

/* SELECT VALUE expr: not when VALUE is itself an attribute (SELECT value, b; SELECT value FROM). */
static bool
at_value(const struct parser *parser)
{
    if (parser->dialect != DIALECT_TOPIC && parser->dialect != DIALECT_PARTIQL) {
        return false;
    }
    const struct token *next = parser_peek(parser, 1);
    bool name = next->kind == TOKEN_NAME &&
                (!keyword_is_reserved(next->keyword) || next->keyword == KEYWORD_CASE ||
                 next->keyword == KEYWORD_NOT || next->keyword == KEYWORD_NULL ||
                 next->keyword == KEYWORD_TRUE || next->keyword == KEYWORD_FALSE);
    /* VALUE * and VALUE - 1 could be arithmetic on an attribute; so could VALUE (a) and VALUE [0]
       be a call and an index: the documented form wins, since the other is never useful alone. */
    bool start = next->kind == TOKEN_STRING || next->kind == TOKEN_QUOTED ||
                 next->kind == TOKEN_BACKQUOTED || next->kind == TOKEN_NUMBER ||
                 next->kind == TOKEN_VARIABLE || next->kind == TOKEN_LEFT_PAREN ||
                 next->kind == TOKEN_LEFT_BRACKET || next->kind == TOKEN_LEFT_BRACE;
    const struct token *after = parser_peek(parser, 2);
    bool star = next->kind == TOKEN_STAR &&
                (after->keyword == KEYWORD_FROM || after->kind == TOKEN_END ||
                 after->kind == TOKEN_RIGHT_PAREN || after->keyword == KEYWORD_WHERE);
    return parser_at_keyword(parser, KEYWORD_VALUE) && (name || start || star);
}

/* ---- FROM ---- */

static bool
parse_alias(struct parser *parser, struct bytes *alias)
{
    bool implicit = parser->dialect != DIALECT_TOPIC && parser_at(parser, TOKEN_NAME) &&
                    parser_is_name(parser, parser_peek(parser, 0));
    if (implicit) {
        static const enum keyword clauses[] = {
                KEYWORD_GROUP, KEYWORD_HAVING, KEYWORD_ORDER, KEYWORD_LIMIT, KEYWORD_OFFSET,
                KEYWORD_JOIN, KEYWORD_LEFT, KEYWORD_RIGHT, KEYWORD_INNER, KEYWORD_FULL,
                KEYWORD_CROSS, KEYWORD_UNION, KEYWORD_ON, KEYWORD_USING, KEYWORD_WINDOW,
                KEYWORD_MATCH_RECOGNIZE, KEYWORD_INTERSECT, KEYWORD_EXCEPT, KEYWORD_WINDOWED,
                KEYWORD_FOR, KEYWORD_OVER,
        };
        for (size_t i = 0; i < sizeof clauses / sizeof clauses[0]; i++) {
            implicit = implicit && !parser_at_keyword(parser, clauses[i]);
        }
    }
    if (parser_accept_keyword(parser, KEYWORD_AS) || implicit) {
        return parser_expect_name(parser, "an alias", alias);
    }
    return true;
}

/* The source of a nested SELECT in topic SQL: any path or call. */
static bool
parse_nested_source(struct parser *parser, struct source *source)
{
    source->kind = SOURCE_EXPR;
    source->expr = parse_expr(parser);
    return source->expr != NULL;
}

static bool
parse_source_kind(struct parser *parser, struct source *source, bool nested)
{
    bool quoted = parser_at(parser, TOKEN_STRING) ||
                  (parser_at(parser, TOKEN_QUOTED) && parser->dialect == DIALECT_TOPIC);
    if (nested && parser->dialect == DIALECT_TOPIC) {
        return parse_nested_source(parser, source);
    }
    if (quoted) {
        source->kind = SOURCE_TOPIC;
        return parser_expect_string(parser, "a topic filter", &source->text);
    }
    if (parser_accept(parser, TOKEN_LEFT_PAREN)) {
        if (parser->dialect == DIALECT_QUERY && parser_at_keyword(parser, KEYWORD_VALUES)) {
            return parse_values(parser, source) && parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
        }
        source->kind = SOURCE_QUERY;
        source->select = parse_select(parser);
        return source->select != NULL && parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
    }
    if (parser->dialect == DIALECT_STREAM && parser_at_keyword(parser, KEYWORD_TABLE) &&
        parser_peek(parser, 1)->kind == TOKEN_LEFT_PAREN) {
        return parse_window_source(parser, source);
    }
    source->kind = SOURCE_TABLE;
    return parser_expect_path(parser, "a topic filter in quotes or the name of a table",
                              &source->name);
}

bool
parse_source(struct parser *parser, struct source *out, bool nested)
{
    size_t first = parser->at;
    if (!parse_source_kind(parser, out, nested)) {
        return false;
    }
    out->span = parser_span_from(parser, first);
    if (parser->dialect == DIALECT_STREAM && !parse_source_tail(parser, out)) {
        return false;
    }
    if (!parse_alias(parser, &out->alias)) {
        return false;
    }
    return parser->dialect != DIALECT_QUERY || out->alias.size == 0 ||
           parse_column_aliases(parser, &out->columns, &out->column_count);
}

static bool
parse_from(struct parser *parser, struct select *select, bool nested)
{
    struct source *source = arena_new(parser->arena, struct source);
    select->from = source;
    bool joins = parser->dialect == DIALECT_QUERY || parser->dialect == DIALECT_STREAM;
    return parse_source(parser, source, nested) && (!joins || parse_joins(parser, source));
}

/* ---- the clauses that topic SQL does not have ---- */

bool
parse_order_items(struct parser *parser, const struct order_item **out, size_t *count)
{
    struct order_item *items = NULL;
    size_t n = 0;
    do {
        struct order_item item = {.expr = parse_expr(parser)};
        if (item.expr == NULL) {
            return false;
        }
        item.descending = parser_accept_keyword(parser, KEYWORD_DESC);
        if (!item.descending) {
            parser_accept_keyword(parser, KEYWORD_ASC);
        }
        if (parser_accept_keyword(parser, KEYWORD_NULLS)) {
            item.nulls_first = parser_accept_keyword(parser, KEYWORD_FIRST);
            if (!item.nulls_first && !parser_expect_keyword(parser, KEYWORD_LAST)) {
                return false;
            }
        }
        items = parser_grow(parser, items, n, sizeof *items);
        items[n++] = item;
    } while (parser_accept(parser, TOKEN_COMMA));
    *out = items;
    *count = n;
    return true;
}

static bool
parse_clause(struct parser *parser, enum keyword keyword, const struct expr **out)
{
    if (!parser_accept_keyword(parser, keyword)) {
        return true;
    }
    *out = parse_expr(parser);
    return *out != NULL;
}

static bool
parse_table_clauses(struct parser *parser, struct select *select)
{
    if (parser->dialect == DIALECT_STREAM && !parse_stagger(parser, select)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_GROUP)) {
        if (!parser_expect_keyword(parser, KEYWORD_BY) ||
            !parse_expr_list(parser, &select->group_by, &select->group_by_count)) {
            return false;
        }
    }
    if (!parse_clause(parser, KEYWORD_HAVING, &select->having) ||
        (parser->dialect == DIALECT_STREAM && !parse_named_windows(parser, select))) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_ORDER)) {
        if (!parser_expect_keyword(parser, KEYWORD_BY) ||
            !parse_order_items(parser, &select->order_by, &select->order_by_count)) {
            return false;
        }
    }
    return parse_clause(parser, KEYWORD_LIMIT, &select->limit) &&
           parse_clause(parser, KEYWORD_OFFSET, &select->offset);
}

/* ---- SET ---- */

static bool
parse_assignments(struct parser *parser, struct select *select)
{
    struct assignment *items = NULL;
    size_t count = 0;
    do {
        size_t first = parser->at;
        if (!parser_at(parser, TOKEN_VARIABLE)) {
            parser_fail_expected(parser, "a variable (@name)", NULL);
            return false;
        }
        const struct token *name = parser_next(parser);
        struct assignment item = {
                .name = bytes_slice(parser->source.text, name->start + 1, name->end)};
        if (!parser_expect(parser, TOKEN_EQUAL, "'='")) {
            return false;
        }
        item.expr = parse_expr(parser);
        if (item.expr == NULL) {
            return false;
        }
        item.span = parser_span_from(parser, first);
        items = parser_grow(parser, items, count, sizeof *items);
        items[count++] = item;
    } while (parser_accept(parser, TOKEN_COMMA));
    select->assignments = items;
    select->assignment_count = count;
    return true;
}

static bool
parse_body(struct parser *parser, struct select *select, bool nested)
{
    bool topic = parser->dialect == DIALECT_TOPIC;
    if (topic && !nested && parser_accept_keyword(parser, KEYWORD_SET) &&
        !parse_assignments(parser, select)) {
        return false;
    }
    if (parser->dialect == DIALECT_QUERY && !parse_common_tables(parser, select)) {
        return false;
    }
    if (!parser_expect_keyword(parser, KEYWORD_SELECT)) {
        return false;
    }
    if (parser->dialect == DIALECT_STREAM && parser_at_keyword(parser, KEYWORD_STREAM) &&
        parser_peek(parser, 1)->kind != TOKEN_COMMA &&
        parser_peek(parser, 1)->keyword != KEYWORD_FROM &&
        parser_peek(parser, 1)->keyword != KEYWORD_AS) {
        parser_next(parser); /* SELECT STREAM of Kinesis Analytics */
    }
    select->distinct = !topic && parser_accept_keyword(parser, KEYWORD_DISTINCT);
    select->value = at_value(parser);
    parser->at += select->value;
    if (!parse_items(parser, select)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_FROM) && !parse_from(parser, select, nested)) {
        return false;
    }
    return parse_clause(parser, KEYWORD_WHERE, &select->where) &&
           (topic || parse_table_clauses(parser, select));
}

const struct select *
parse_select(struct parser *parser)
{
    size_t first = parser->at;
    bool nested = parser->nesting > 0;
    struct select *select = arena_new(parser->arena, struct select);
    if (parser->nesting == EXPR_NESTING_MAX) {
        parser_fail_at(parser, token_span(parser_peek(parser, 0)),
                       "the query is nested deeper than %d", EXPR_NESTING_MAX);
        return NULL;
    }
    parser->nesting++;
    bool ok = parse_body(parser, select, nested) &&
              (parser->dialect != DIALECT_QUERY || parse_query_end(parser));
    parser->nesting--;
    if (!ok) {
        return NULL;
    }
    select->span = parser_span_from(parser, first);
    return select;
}
