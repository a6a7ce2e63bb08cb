/*
 * What only query SQL has, beside parse_select.c: WITH, joins, VALUES, names for an alias' columns.
 *
 * What Timestream knows and this gateway does not yet (UNION, OVER) is refused here by name, so
 * that the message is about the feature and not about a token.
 */
#include "parse.h"

bool
parse_column_aliases(struct parser *parser, const struct bytes **out, size_t *count)
{
    struct bytes *names = NULL;
    size_t n = 0;
    if (!parser_accept(parser, TOKEN_LEFT_PAREN)) {
        return true;
    }
    do {
        names = parser_grow(parser, names, n, sizeof *names);
        if (!parser_expect_name(parser, "a column's name", &names[n])) {
            return false;
        }
        n++;
    } while (parser_accept(parser, TOKEN_COMMA));
    *out = names;
    *count = n;
    return parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'");
}

/* Each CTE is read before the next, so it can be used by it. */
bool
parse_common_tables(struct parser *parser, struct select *select)
{
    struct common_table *tables = NULL;
    size_t count = 0;
    if (!parser_accept_keyword(parser, KEYWORD_WITH)) {
        return true;
    }
    do {
        tables = parser_grow(parser, tables, count, sizeof *tables);
        struct common_table *table = &tables[count];
        size_t first = parser->at;
        if (!parser_expect_name(parser, "a name for the query", &table->name)) {
            return false;
        }
        table->name_span = parser_span_from(parser, first);
        if (!parse_column_aliases(parser, &table->columns, &table->column_count) ||
            !parser_expect_keyword(parser, KEYWORD_AS) ||
            !parser_expect(parser, TOKEN_LEFT_PAREN, "'('")) {
            return false;
        }
        table->select = parse_select(parser);
        if (table->select == NULL || !parser_expect(parser, TOKEN_RIGHT_PAREN, "')'")) {
            return false;
        }
        count++;
    } while (parser_accept(parser, TOKEN_COMMA));
    select->with = tables;
    select->with_count = count;
    return true;
}

/* (1, 'a') of VALUES, also when it stands in parentheses of its own; else one value. */
static struct expr *
parse_values_row(struct parser *parser)
{
    size_t first = parser->at;
    size_t parens = 0;
    while (parser_at(parser, TOKEN_LEFT_PAREN)) {
        parser->at++;
        parens++;
    }
    struct expr *const *items = NULL;
    size_t count = 0;
    bool read = parens > 0 && parse_expr_list(parser, &items, &count) && count > 1;
    for (size_t i = 0; i < parens && read; i++) {
        read = parser_accept(parser, TOKEN_RIGHT_PAREN);
    }
    if (!read) {
        return NULL;
    }
    struct expr *row = arena_new(parser->arena, struct expr);
    *row = (struct expr){.kind = EXPR_ARRAY,
                         .depth = 1,
                         .span = parser_span_from(parser, first),
                         .items = items,
                         .item_count = count};
    return row;
}

bool
parse_values(struct parser *parser, struct source *source)
{
    struct expr **rows = NULL;
    size_t count = 0;
    parser_next(parser);
    do {
        size_t first = parser->at;
        size_t errors = parser->diags->errors;
        struct expr *row = parse_values_row(parser);
        if (row == NULL && parser->diags->errors == errors) {
            parser->at = first; /* no list of several: a value, maybe in parentheses */
            row = parse_expr(parser);
        }
        if (row == NULL) {
            return false;
        }
        rows = parser_grow(parser, rows, count, sizeof *rows);
        rows[count++] = row;
    } while (parser_accept(parser, TOKEN_COMMA));
    source->kind = SOURCE_VALUES;
    source->rows = rows;
    source->row_count = count;
    return true;
}

/* ',' | CROSS JOIN | [INNER] JOIN | {LEFT|RIGHT|FULL} [OUTER] JOIN; false: none stands here. */
static bool
accept_join(struct parser *parser, enum join_kind *kind, bool *failed)
{
    static const struct {
        enum keyword keyword;
        enum join_kind kind;
    } sides[] = {{KEYWORD_LEFT, JOIN_LEFT}, {KEYWORD_RIGHT, JOIN_RIGHT}, {KEYWORD_FULL, JOIN_FULL}};
    *kind = JOIN_CROSS;
    *failed = false;
    if (parser_accept(parser, TOKEN_COMMA)) {
        return true;
    }
    if (parser_accept_keyword(parser, KEYWORD_CROSS)) {
        *failed = !parser_expect_keyword(parser, KEYWORD_JOIN);
        return true;
    }
    *kind = JOIN_INNER;
    if (parser_accept_keyword(parser, KEYWORD_JOIN)) {
        return true;
    }
    bool found = parser_accept_keyword(parser, KEYWORD_INNER);
    for (size_t i = 0; i < sizeof sides / sizeof sides[0] && !found; i++) {
        if (parser_accept_keyword(parser, sides[i].keyword)) {
            parser_accept_keyword(parser, KEYWORD_OUTER);
            *kind = sides[i].kind;
            found = true;
        }
    }
    *failed = found && !parser_expect_keyword(parser, KEYWORD_JOIN);
    return found;
}

static bool
parse_join_condition(struct parser *parser, struct join *join)
{
    if (join->kind == JOIN_CROSS) {
        return true;
    }
    if (parser_accept_keyword(parser, KEYWORD_USING)) {
        if (!parser_at(parser, TOKEN_LEFT_PAREN)) {
            parser_fail_expected(parser, "'('", NULL);
            return false;
        }
        return parse_column_aliases(parser, &join->using, &join->using_count);
    }
    if (!parser_expect_keyword(parser, KEYWORD_ON)) {
        return false;
    }
    join->on = parse_expr(parser);
    return join->on != NULL;
}

bool
parse_joins(struct parser *parser, struct source *first)
{
    struct join *joins = NULL;
    size_t count = 0;
    enum join_kind kind;
    bool failed = false;
    size_t start = parser->at;
    while (accept_join(parser, &kind, &failed)) {
        if (failed) {
            return false;
        }
        struct source *right = arena_new(parser->arena, struct source);
        struct join join = {.kind = kind, .right = right};
        if (!parse_source(parser, right, false) || !parse_join_condition(parser, &join)) {
            return false;
        }
        join.span = parser_span_from(parser, start);
        joins = parser_grow(parser, joins, count, sizeof *joins);
        joins[count++] = join;
        start = parser->at;
    }
    first->joins = joins;
    first->join_count = count;
    return true;
}

bool
parse_query_end(struct parser *parser)
{
    static const enum keyword later[] = {KEYWORD_UNION, KEYWORD_INTERSECT, KEYWORD_EXCEPT,
                                         KEYWORD_WINDOW};
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        if (parser_at_keyword(parser, later[i])) {
            parser_fail_at(parser, token_span(parser_peek(parser, 0)),
                           "%s is not supported by this version", keyword_name(later[i]));
            return false;
        }
    }
    return true;
}
