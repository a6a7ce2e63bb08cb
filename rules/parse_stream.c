/*
 * What only stream SQL has: window table functions, MATCH_RECOGNIZE, OVER and FILTER behind calls
 * (Flink SQL), STAGGER windows (Kinesis Analytics). Sources: the Flink manual, "Queries", and the
 * Kinesis Data Analytics SQL reference; reading only, what they mean is decided in stream/.
 */
#include "parse.h"

/* ---- OVER ---- */

static bool
parse_frame_start(struct parser *parser, struct over *over)
{
    if (parser_accept_keyword(parser, KEYWORD_UNBOUNDED)) {
        return parser_expect_keyword(parser, KEYWORD_PRECEDING);
    }
    over->preceding = parse_expr(parser);
    return over->preceding != NULL && parser_expect_keyword(parser, KEYWORD_PRECEDING);
}

/* BETWEEN is an operator of expressions, so that x PRECEDING AND is read by hand. */
static bool
parse_frame(struct parser *parser, struct over *over)
{
    if (parser_accept_keyword(parser, KEYWORD_ROWS)) {
        over->frame = FRAME_ROWS;
    } else if (parser_accept_keyword(parser, KEYWORD_RANGE)) {
        over->frame = FRAME_RANGE;
    } else {
        return true;
    }
    bool between = parser_accept_keyword(parser, KEYWORD_BETWEEN);
    if (!parse_frame_start(parser, over)) {
        return false;
    }
    return !between || (parser_expect_keyword(parser, KEYWORD_AND) &&
                        parser_expect_keyword(parser, KEYWORD_CURRENT) &&
                        parser_expect_keyword(parser, KEYWORD_ROW));
}

static bool
parse_partition_by(struct parser *parser, struct expr *const **out, size_t *count)
{
    if (!parser_accept_keyword(parser, KEYWORD_PARTITION)) {
        return true;
    }
    return parser_expect_keyword(parser, KEYWORD_BY) && parse_expr_list(parser, out, count);
}

static bool
parse_over_body(struct parser *parser, struct over *over)
{
    size_t first = parser->at;
    if (!parser_expect(parser, TOKEN_LEFT_PAREN, "'('") ||
        !parse_partition_by(parser, &over->partition_by, &over->partition_count)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_ORDER) &&
        (!parser_expect_keyword(parser, KEYWORD_BY) ||
         !parse_order_items(parser, &over->order_by, &over->order_count))) {
        return false;
    }
    bool read = parse_frame(parser, over) && parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
    over->span = parser_span_from(parser, first);
    return read;
}

bool
parse_call_tail(struct parser *parser, struct expr *call)
{
    if (parser_at_keyword(parser, KEYWORD_FILTER) &&
        parser_peek(parser, 1)->kind == TOKEN_LEFT_PAREN) {
        parser->at += 2;
        if (!parser_expect_keyword(parser, KEYWORD_WHERE)) {
            return false;
        }
        call->filter = parse_expr(parser);
        if (call->filter == NULL || !parser_expect(parser, TOKEN_RIGHT_PAREN, "')'")) {
            return false;
        }
    }
    if (!parser_accept_keyword(parser, KEYWORD_OVER)) {
        return true;
    }
    struct over *over = arena_new(parser->arena, struct over);
    call->over = over;
    if (parser_at(parser, TOKEN_LEFT_PAREN)) {
        return parse_over_body(parser, over);
    }
    size_t first = parser->at;
    bool read = parser_expect_name(parser, "'(' or the name of a window", &over->name);
    over->span = parser_span_from(parser, first);
    return read;
}

bool
parse_named_windows(struct parser *parser, struct select *select)
{
    struct named_over *items = NULL;
    size_t count = 0;
    if (!parser_accept_keyword(parser, KEYWORD_WINDOW)) {
        return true;
    }
    do {
        items = parser_grow(parser, items, count, sizeof *items);
        items[count] = (struct named_over){0};
        if (!parser_expect_name(parser, "a name for the window", &items[count].name) ||
            !parser_expect_keyword(parser, KEYWORD_AS) ||
            !parse_over_body(parser, &items[count].over)) {
            return false;
        }
        count++;
    } while (parser_accept(parser, TOKEN_COMMA));
    select->named_overs = items;
    select->named_over_count = count;
    return true;
}

bool
parser_accept_argument_word(struct parser *parser)
{
    if (parser->dialect != DIALECT_STREAM) {
        return false;
    }
    return parser_accept_keyword(parser, KEYWORD_TO) || parser_accept_keyword(parser, KEYWORD_BY) ||
           parser_accept_keyword(parser, KEYWORD_FROM) || parser_accept_keyword(parser, KEYWORD_FOR);
}

/* ---- window table functions ---- */

/* PARTITION BY a, b: up to the comma before the next argument of the window's function. */
static bool
parse_window_partition(struct parser *parser, struct window_call *window)
{
    struct expr **items = NULL;
    if (!parser_accept_keyword(parser, KEYWORD_PARTITION)) {
        return true;
    }
    if (!parser_expect_keyword(parser, KEYWORD_BY)) {
        return false;
    }
    for (;;) {
        struct expr *item = parse_expr(parser);
        if (item == NULL) {
            return false;
        }
        items = parser_grow(parser, items, window->partition_count, sizeof *items);
        items[window->partition_count++] = item;
        window->partition_by = items;
        bool more = parser_at(parser, TOKEN_COMMA) &&
                    parser_peek(parser, 1)->keyword != KEYWORD_DESCRIPTOR &&
                    parser_peek(parser, 1)->keyword != KEYWORD_INTERVAL &&
                    parser_peek(parser, 2)->kind != TOKEN_ARROW;
        if (!more) {
            return true;
        }
        parser_next(parser);
    }
}

static bool
parse_window_table(struct parser *parser, struct window_call *window)
{
    size_t first = parser->at;
    struct source *table = arena_new(parser->arena, struct source);
    window->table = table;
    if (parser_at(parser, TOKEN_LEFT_PAREN)) {
        parser_next(parser);
        table->kind = SOURCE_QUERY;
        table->select = parse_select(parser);
        if (table->select == NULL || !parser_expect(parser, TOKEN_RIGHT_PAREN, "')'")) {
            return false;
        }
    } else {
        table->kind = SOURCE_TABLE;
        if (!parser_expect_keyword(parser, KEYWORD_TABLE) ||
            !parser_expect_path(parser, "the name of a table", &table->name)) {
            return false;
        }
    }
    table->span = parser_span_from(parser, first);
    return parse_window_partition(parser, window);
}

static bool
parse_descriptor(struct parser *parser, struct window_call *window)
{
    if (!parser_expect_keyword(parser, KEYWORD_DESCRIPTOR) ||
        !parser_expect(parser, TOKEN_LEFT_PAREN, "'('")) {
        return false;
    }
    size_t first = parser->at;
    bool read = parser_expect_name(parser, "the column of the time", &window->column);
    window->column_span = parser_span_from(parser, first);
    return read && parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
}

/* One argument: the table, the descriptor, or an interval; `arg_count` counts intervals. */
static bool
parse_window_argument(struct parser *parser, struct window_call *window, struct expr ***args,
                      struct bytes **names)
{
    struct bytes name = BYTES("");
    if (parser_peek(parser, 1)->kind == TOKEN_ARROW) {
        const struct token *token = parser_next(parser);
        name = token_text(token, parser->source.text, parser->arena);
        parser_next(parser);
    }
    bool table = parser_at_keyword(parser, KEYWORD_TABLE) || parser_at(parser, TOKEN_LEFT_PAREN);
    if (table && window->table == NULL) {
        return parse_window_table(parser, window);
    }
    if (parser_at_keyword(parser, KEYWORD_DESCRIPTOR)) {
        return parse_descriptor(parser, window);
    }
    struct expr *arg = parse_expr(parser);
    if (arg == NULL) {
        return false;
    }
    *args = parser_grow(parser, *args, window->arg_count, sizeof **args);
    *names = parser_grow(parser, *names, window->arg_count, sizeof **names);
    (*args)[window->arg_count] = arg;
    (*names)[window->arg_count++] = name;
    return true;
}

bool
parse_window_source(struct parser *parser, struct source *source)
{
    struct window_call *window = arena_new(parser->arena, struct window_call);
    struct expr **args = NULL;
    struct bytes *names = NULL;
    parser_next(parser);
    size_t first = parser->at;
    if (!parser_expect(parser, TOKEN_LEFT_PAREN, "'('") ||
        !parser_expect_name(parser, "TUMBLE, HOP, CUMULATE or SESSION", &window->name) ||
        !parser_expect(parser, TOKEN_LEFT_PAREN, "'('")) {
        return false;
    }
    do {
        if (!parse_window_argument(parser, window, &args, &names)) {
            return false;
        }
    } while (parser_accept(parser, TOKEN_COMMA));
    window->args = args;
    window->arg_names = names;
    window->span = parser_span_from(parser, first);
    source->kind = SOURCE_WINDOW;
    source->window = window;
    if (window->table == NULL) {
        parser_fail_at(parser, window->span, "a window function needs its table: TABLE name");
        return false;
    }
    return parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'") &&
           parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
}

/* ---- MATCH_RECOGNIZE ---- */

static bool
parse_match_items(struct parser *parser, const struct match_item **out, size_t *count, bool define)
{
    struct match_item *items = NULL;
    size_t n = 0;
    do {
        size_t first = parser->at;
        struct match_item item = {0};
        if (define) {
            if (!parser_expect_name(parser, "a pattern variable", &item.name) ||
                !parser_expect_keyword(parser, KEYWORD_AS)) {
                return false;
            }
        }
        item.expr = parse_expr(parser);
        if (item.expr == NULL) {
            return false;
        }
        if (!define && (!parser_expect_keyword(parser, KEYWORD_AS) ||
                        !parser_expect_name(parser, "the measure's name", &item.name))) {
            return false;
        }
        item.span = parser_span_from(parser, first);
        items = parser_grow(parser, items, n, sizeof *items);
        items[n++] = item;
    } while (parser_accept(parser, TOKEN_COMMA));
    *out = items;
    *count = n;
    return true;
}

static bool
parse_count(struct parser *parser, uint32_t *out)
{
    int64_t number;
    const struct token *token = parser_peek(parser, 0);
    if (token->kind != TOKEN_NUMBER ||
        !bytes_to_int64(token_text(token, parser->source.text, parser->arena), &number) ||
        number < 0 || number > 10000) {
        parser_fail_expected(parser, "a number from 0 to 10000", NULL);
        return false;
    }
    parser_next(parser);
    *out = (uint32_t)number;
    return true;
}

/* {n} {n,} {n,m} {,m} */
static bool
parse_braces(struct parser *parser, struct pattern_item *item)
{
    item->least = 0;
    item->most = PATTERN_UNBOUNDED;
    if (!parser_at(parser, TOKEN_COMMA) && !parse_count(parser, &item->least)) {
        return false;
    }
    if (!parser_accept(parser, TOKEN_COMMA)) {
        item->most = item->least;
    } else if (!parser_at(parser, TOKEN_RIGHT_BRACE) && !parse_count(parser, &item->most)) {
        return false;
    }
    if (item->most < item->least || item->most == 0) {
        parser_fail_at(parser, item->span, "the upper bound is below the lower one, or 0");
        return false;
    }
    return parser_expect(parser, TOKEN_RIGHT_BRACE, "'}'");
}

static bool
parse_pattern_item(struct parser *parser, struct pattern_item *item)
{
    size_t first = parser->at;
    *item = (struct pattern_item){.least = 1, .most = 1};
    if (!parser_expect_name(parser, "a pattern variable", &item->variable)) {
        return false;
    }
    item->span = parser_span_from(parser, first);
    if (parser_accept(parser, TOKEN_STAR)) {
        item->least = 0;
        item->most = PATTERN_UNBOUNDED;
    } else if (parser_accept(parser, TOKEN_PLUS)) {
        item->most = PATTERN_UNBOUNDED;
    } else if (parser_accept(parser, TOKEN_QUESTION)) {
        item->least = 0;
    } else if (parser_accept(parser, TOKEN_LEFT_BRACE)) {
        if (!parse_braces(parser, item)) {
            return false;
        }
    } else {
        return true;
    }
    item->reluctant = parser_accept(parser, TOKEN_QUESTION);
    return true;
}

static bool
parse_pattern(struct parser *parser, struct match *match)
{
    struct pattern_item *items = NULL;
    size_t first = parser->at;
    if (!parser_expect_keyword(parser, KEYWORD_PATTERN) ||
        !parser_expect(parser, TOKEN_LEFT_PAREN, "'('")) {
        return false;
    }
    while (!parser_at(parser, TOKEN_RIGHT_PAREN)) {
        if (parser_at(parser, TOKEN_LEFT_PAREN) || parser_at(parser, TOKEN_PIPE)) {
            parser_fail_at(parser, token_span(parser_peek(parser, 0)),
                           "groups and alternatives in a pattern are not supported");
            diag_hint(parser->diags, "write a row of variables: (A B+ C)");
            return false;
        }
        items = parser_grow(parser, items, match->pattern_count, sizeof *items);
        if (!parse_pattern_item(parser, &items[match->pattern_count])) {
            return false;
        }
        match->pattern_count++;
    }
    match->pattern = items;
    bool read = parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
    match->pattern_span = parser_span_from(parser, first);
    return read;
}

/* AFTER MATCH SKIP PAST LAST ROW | TO NEXT ROW | TO FIRST v | TO [LAST] v */
static bool
parse_skip(struct parser *parser, struct match *match)
{
    if (!parser_accept_keyword(parser, KEYWORD_AFTER)) {
        return true;
    }
    if (!parser_expect_keyword(parser, KEYWORD_MATCH) ||
        !parser_expect_keyword(parser, KEYWORD_SKIP)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_PAST)) {
        return parser_expect_keyword(parser, KEYWORD_LAST) &&
               parser_expect_keyword(parser, KEYWORD_ROW);
    }
    if (!parser_expect_keyword(parser, KEYWORD_TO)) {
        return false;
    }
    if (parser_at_keyword(parser, KEYWORD_NEXT) &&
        parser_peek(parser, 1)->keyword == KEYWORD_ROW) {
        parser->at += 2;
        match->skip = SKIP_TO_NEXT_ROW;
        return true;
    }
    match->skip = parser_accept_keyword(parser, KEYWORD_FIRST) ? SKIP_TO_FIRST : SKIP_TO_LAST;
    if (match->skip == SKIP_TO_LAST) {
        parser_accept_keyword(parser, KEYWORD_LAST);
    }
    return parser_expect_name(parser, "a pattern variable", &match->skip_variable);
}

static bool
parse_match_rows(struct parser *parser)
{
    if (parser_at_keyword(parser, KEYWORD_ALL)) {
        parser_fail_at(parser, token_span(parser_peek(parser, 0)),
                       "ALL ROWS PER MATCH is not supported");
        diag_hint(parser->diags, "ONE ROW PER MATCH is what MATCH_RECOGNIZE gives here");
        return false;
    }
    return !parser_accept_keyword(parser, KEYWORD_ONE) ||
           (parser_expect_keyword(parser, KEYWORD_ROW) &&
            parser_expect_keyword(parser, KEYWORD_PER) &&
            parser_expect_keyword(parser, KEYWORD_MATCH));
}

static bool
parse_match_body(struct parser *parser, struct match *match)
{
    if (!parse_partition_by(parser, &match->partition_by, &match->partition_count)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_ORDER) &&
        (!parser_expect_keyword(parser, KEYWORD_BY) ||
         !parse_order_items(parser, &match->order_by, &match->order_count))) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_MEASURES) &&
        !parse_match_items(parser, &match->measures, &match->measure_count, false)) {
        return false;
    }
    if (!parse_match_rows(parser) || !parse_skip(parser, match) ||
        !parse_pattern(parser, match)) {
        return false;
    }
    if (parser_accept_keyword(parser, KEYWORD_WITHIN)) {
        match->within = parse_expr(parser);
        if (match->within == NULL) {
            return false;
        }
    }
    return !parser_accept_keyword(parser, KEYWORD_DEFINE) ||
           parse_match_items(parser, &match->defines, &match->define_count, true);
}

bool
parse_source_tail(struct parser *parser, struct source *source)
{
    if (parser_at_keyword(parser, KEYWORD_FOR) &&
        parser_peek(parser, 1)->keyword == KEYWORD_SYSTEM_TIME) {
        parser->at += 2;
        if (!parser_expect_keyword(parser, KEYWORD_AS) ||
            !parser_expect_keyword(parser, KEYWORD_OF)) {
            return false;
        }
        source->system_time = parse_expr(parser);
        return source->system_time != NULL;
    }
    if (!parser_at_keyword(parser, KEYWORD_MATCH_RECOGNIZE)) {
        return true;
    }
    size_t first = parser->at;
    struct match *match = arena_new(parser->arena, struct match);
    parser_next(parser);
    bool read = parser_expect(parser, TOKEN_LEFT_PAREN, "'('") &&
                parse_match_body(parser, match) && parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
    match->span = parser_span_from(parser, first);
    source->match = match;
    return read;
}

/* ---- STAGGER ---- */

bool
parse_stagger(struct parser *parser, struct select *select)
{
    if (!parser_at_keyword(parser, KEYWORD_WINDOWED)) {
        return true;
    }
    size_t first = parser->at;
    struct stagger *stagger = arena_new(parser->arena, struct stagger);
    parser_next(parser);
    select->stagger = stagger;
    if (!parser_expect_keyword(parser, KEYWORD_BY) ||
        !parser_expect_keyword(parser, KEYWORD_STAGGER) ||
        !parser_expect(parser, TOKEN_LEFT_PAREN, "'('") ||
        !parse_partition_by(parser, &stagger->partition_by, &stagger->partition_count) ||
        !parser_expect_keyword(parser, KEYWORD_RANGE)) {
        return false;
    }
    stagger->range = parse_expr(parser);
    stagger->span = parser_span_from(parser, first);
    return stagger->range != NULL && parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
}
