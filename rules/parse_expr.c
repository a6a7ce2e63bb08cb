/*
 * Expressions, by precedence climbing: one table says how tight each operator binds.
 *
 *   OR < AND < NOT < comparisons, IN, BETWEEN, LIKE, IS NULL < + - || < * / % < unary - < . [] ::
 *
 * Nesting (parentheses, arguments, unary operators) is bounded while parsing, since each level is
 * a C call; the depth of the tree is bounded too, since later stages walk it recursively and a
 * chain like 1+1+1+... is deep without being nested.
 */
#include "parse.h"

enum precedence {
    PRECEDENCE_OR = 1,
    PRECEDENCE_AND,
    PRECEDENCE_NOT,
    PRECEDENCE_COMPARE,
    PRECEDENCE_ADD,
    PRECEDENCE_MULTIPLY,
    PRECEDENCE_NEGATE,
};

static struct expr *parse_binary(struct parser *parser, enum precedence lowest);

/* ---- making nodes ---- */

static struct expr *
new_expr(struct parser *parser, enum expr_kind kind, size_t first)
{
    struct expr *expr = arena_new(parser->arena, struct expr);
    expr->kind = kind;
    expr->depth = 1;
    expr->span = parser_span_from(parser, first);
    return expr;
}

/* Gives the node its operands; NULL with an error when the tree gets too deep. */
static struct expr *
set_items(struct parser *parser, struct expr *expr, struct expr *const *items, size_t count)
{
    unsigned depth = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i] != NULL && items[i]->depth > depth) {
            depth = items[i]->depth;
        }
    }
    if (depth + 1 > EXPR_DEPTH_MAX) {
        parser_fail_at(parser, expr->span, "the expression has more than %d levels",
                       EXPR_DEPTH_MAX);
        return NULL;
    }
    expr->depth = (uint16_t)(depth + 1);
    expr->items = items;
    expr->item_count = count;
    return expr;
}

static struct expr *
with_items(struct parser *parser, struct expr *expr, struct expr *a, struct expr *b,
           struct expr *c)
{
    size_t count = c != NULL ? 3 : b != NULL ? 2 : 1;
    struct expr **items = arena_new_array(parser->arena, struct expr *, count);
    struct expr *const all[] = {a, b, c};
    memcpy(items, all, count * sizeof *items);
    return set_items(parser, expr, items, count);
}

/* The span of a node that starts with another node. */
static void
span_from_expr(struct parser *parser, struct expr *expr, const struct expr *start)
{
    expr->span.start = start->span.start;
    expr->span.end = parser_span_from(parser, parser->at - 1).end;
}

static bool
enter(struct parser *parser)
{
    if (parser->nesting == EXPR_NESTING_MAX) {
        parser_fail_at(parser, token_span(parser_peek(parser, 0)),
                       "the expression is nested deeper than %d", EXPR_NESTING_MAX);
        return false;
    }
    parser->nesting++;
    return true;
}

static struct expr *
leave(struct parser *parser, struct expr *expr)
{
    parser->nesting--;
    return expr;
}

struct expr *
parse_expr(struct parser *parser)
{
    return enter(parser) ? leave(parser, parse_binary(parser, PRECEDENCE_OR)) : NULL;
}

bool
parse_expr_list(struct parser *parser, struct expr *const **out, size_t *count)
{
    struct expr **items = NULL;
    size_t n = 0;
    do {
        struct expr *item = parse_expr(parser);
        if (item == NULL) {
            return false;
        }
        items = parser_grow(parser, items, n, sizeof *items);
        items[n++] = item;
    } while (parser_accept(parser, TOKEN_COMMA));
    *out = items;
    *count = n;
    return true;
}

bool
expr_is_path(const struct expr *expr)
{
    while (expr->kind == EXPR_MEMBER) {
        expr = expr->items[0];
    }
    return expr->kind == EXPR_NAME;
}

/* ---- primaries ---- */

static struct expr *
parse_literal(struct parser *parser, enum expr_kind kind)
{
    size_t first = parser->at;
    const struct token *token = parser_next(parser);
    struct expr *expr = new_expr(parser, kind, first);
    expr->text = token_text(token, parser->source.text, parser->arena);
    expr->quoted = token->kind == TOKEN_QUOTED || token->kind == TOKEN_BACKQUOTED;
    return expr;
}

static struct expr *
parse_variable(struct parser *parser)
{
    struct expr *expr = parse_literal(parser, EXPR_VARIABLE);
    expr->text = bytes_slice(expr->text, 1, expr->text.size);
    return expr;
}

/* '(' already read: SELECT ... ')' */
static struct expr *
parse_subselect(struct parser *parser, enum expr_kind kind, size_t first)
{
    const struct select *select = parse_select(parser);
    if (select == NULL || !parser_expect(parser, TOKEN_RIGHT_PAREN, "')'")) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, kind, first);
    expr->select = select;
    return expr;
}

static struct expr *
parse_parenthesis(struct parser *parser)
{
    size_t first = parser->at;
    parser_next(parser);
    if (parser_at_keyword(parser, KEYWORD_SELECT) ||
        (parser->dialect == DIALECT_QUERY && parser_at_keyword(parser, KEYWORD_WITH))) {
        return parse_subselect(parser, EXPR_SELECT, first);
    }
    struct expr *expr = parse_expr(parser);
    if (expr == NULL || !parser_expect(parser, TOKEN_RIGHT_PAREN, "')'")) {
        return NULL;
    }
    expr->span = parser_span_from(parser, first);
    return expr;
}

static struct expr *
parse_array(struct parser *parser)
{
    size_t first = parser->at;
    parser_next(parser);
    struct expr *const *items = NULL;
    size_t count = 0;
    if (!parser_at(parser, TOKEN_RIGHT_BRACKET) && !parse_expr_list(parser, &items, &count)) {
        return NULL;
    }
    if (!parser_expect(parser, TOKEN_RIGHT_BRACKET, "',' or ']'")) {
        return NULL;
    }
    return set_items(parser, new_expr(parser, EXPR_ARRAY, first), items, count);
}

/* A member's name in an object literal: in quotes, or a plain word. */
static struct expr *
parse_object_key(struct parser *parser)
{
    enum token_kind kind = parser_peek(parser, 0)->kind;
    if (kind != TOKEN_STRING && kind != TOKEN_QUOTED && kind != TOKEN_NAME) {
        parser_fail_expected(parser, "a member's name", NULL);
        return NULL;
    }
    return parse_literal(parser, EXPR_STRING);
}

static struct expr *
parse_object(struct parser *parser)
{
    size_t first = parser->at;
    parser_next(parser);
    struct expr **items = NULL;
    size_t count = 0;
    while (!parser_at(parser, TOKEN_RIGHT_BRACE)) {
        struct expr *key = parse_object_key(parser);
        if (key == NULL || !parser_expect(parser, TOKEN_COLON, "':'")) {
            return NULL;
        }
        struct expr *value = parse_expr(parser);
        if (value == NULL) {
            return NULL;
        }
        items = parser_grow(parser, items, count, sizeof *items);
        items[count++] = key;
        items = parser_grow(parser, items, count, sizeof *items);
        items[count++] = value;
        if (!parser_accept(parser, TOKEN_COMMA)) {
            break;
        }
    }
    if (!parser_expect(parser, TOKEN_RIGHT_BRACE, "',' or '}'")) {
        return NULL;
    }
    return set_items(parser, new_expr(parser, EXPR_OBJECT, first), items, count);
}

/* CASE subject WHEN value THEN result ... [ELSE result] END */
static struct expr *
parse_case(struct parser *parser)
{
    size_t first = parser->at;
    parser_next(parser);
    struct expr **items = NULL;
    size_t count = 2;
    items = parser_grow(parser, NULL, 0, sizeof *items);
    if (!parser_at_keyword(parser, KEYWORD_WHEN)) {
        items[0] = parse_expr(parser);
        if (items[0] == NULL) {
            return NULL;
        }
    } else if (parser->dialect == DIALECT_TOPIC) {
        parser_fail_expected(parser, "the value that WHEN compares with", NULL);
        diag_hint(parser->diags, "AWS IoT SQL knows only CASE value WHEN ...: for a condition "
                                 "write CASE condition WHEN true THEN ... END");
        return NULL;
    }
    if (!parser_at_keyword(parser, KEYWORD_WHEN)) {
        parser_fail_expected(parser, "WHEN", (const enum keyword[]){KEYWORD_WHEN, KEYWORD_NONE});
        return NULL;
    }
    while (parser_accept_keyword(parser, KEYWORD_WHEN)) {
        for (int half = 0; half < 2; half++) {
            if (half == 1 && !parser_expect_keyword(parser, KEYWORD_THEN)) {
                return NULL;
            }
            struct expr *item = parse_expr(parser);
            if (item == NULL) {
                return NULL;
            }
            items = parser_grow(parser, items, count, sizeof *items);
            items[count++] = item;
        }
    }
    if (parser_accept_keyword(parser, KEYWORD_ELSE)) {
        items[1] = parse_expr(parser);
        if (items[1] == NULL) {
            return NULL;
        }
    }
    if (!parser_expect_keyword(parser, KEYWORD_END)) {
        return NULL;
    }
    return set_items(parser, new_expr(parser, EXPR_CASE, first), items, count);
}

/* CAST '(' expr AS type ')' */
static struct expr *
parse_cast(struct parser *parser)
{
    size_t first = parser->at;
    const struct token *name = parser_next(parser);
    parser_next(parser);
    struct expr *inner = parse_expr(parser);
    if (inner == NULL || !parser_expect_keyword(parser, KEYWORD_AS)) {
        return NULL;
    }
    struct bytes type;
    size_t type_at = parser->at;
    if (!parser_expect_type(parser, &type)) {
        return NULL;
    }
    struct span type_span = parser_span_from(parser, type_at);
    if (!parser_expect(parser, TOKEN_RIGHT_PAREN, "')'")) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_CAST, first);
    expr->type = type;
    expr->text = token_text(name, parser->source.text, parser->arena);
    expr->name_span = type_span;
    return with_items(parser, expr, inner, NULL, NULL);
}

/* INTERVAL ['-'] '5' SECOND [TO SECOND] */
static struct expr *
parse_interval(struct parser *parser)
{
    size_t first = parser->at;
    parser_next(parser);
    bool negative = parser_accept(parser, TOKEN_MINUS);
    struct bytes text = token_text(parser_next(parser), parser->source.text, parser->arena);
    struct bytes unit, last;
    if (!parser_expect_type(parser, &unit)) {
        return NULL;
    }
    if (parser_accept_keyword(parser, KEYWORD_TO)) {
        if (!parser_expect_type(parser, &last)) {
            return NULL;
        }
        unit = arena_printf(parser->arena, "%.*s TO %.*s", BYTES_ARG(unit), BYTES_ARG(last));
    }
    struct expr *expr = new_expr(parser, EXPR_INTERVAL, first);
    expr->text = text;
    expr->type = unit;
    expr->op = negative ? OP_NEGATE : OP_NONE;
    return expr;
}

/* expr {',' expr}, where stream SQL has words instead of some commas: FLOOR(x TO MINUTE). */
static bool
parse_arguments(struct parser *parser, struct expr *const **out, size_t *count)
{
    struct expr **items = NULL;
    size_t n = 0;
    do {
        struct expr *item = parse_expr(parser);
        if (item == NULL) {
            return false;
        }
        items = parser_grow(parser, items, n, sizeof *items);
        items[n++] = item;
    } while (parser_accept(parser, TOKEN_COMMA) || parser_accept_argument_word(parser));
    *out = items;
    *count = n;
    return true;
}

/* name '(' [DISTINCT] [expr {',' expr}] ')' */
static struct expr *
parse_call(struct parser *parser)
{
    size_t first = parser->at;
    const struct token *name = parser_next(parser);
    parser_next(parser);
    bool distinct = parser->dialect != DIALECT_TOPIC &&
                    parser_accept_keyword(parser, KEYWORD_DISTINCT);
    struct expr *const *items = NULL;
    size_t count = 0;
    if (!parser_at(parser, TOKEN_RIGHT_PAREN) && !parse_arguments(parser, &items, &count)) {
        return NULL;
    }
    if (!parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'")) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_CALL, first);
    expr->text = token_text(name, parser->source.text, parser->arena);
    expr->name_span = token_span(name);
    expr->distinct = distinct;
    if (parser->dialect == DIALECT_STREAM && !parse_call_tail(parser, expr)) {
        return NULL;
    }
    return set_items(parser, expr, items, count);
}

static bool
at_interval(const struct parser *parser)
{
    size_t ahead = parser_peek(parser, 1)->kind == TOKEN_MINUS ? 2 : 1;
    return parser_at_keyword(parser, KEYWORD_INTERVAL) &&
           parser_peek(parser, ahead)->kind == TOKEN_STRING;
}

static bool
at_typed_string(const struct parser *parser)
{
    enum keyword keyword = parser_peek(parser, 0)->keyword;
    return parser->dialect != DIALECT_TOPIC && parser_peek(parser, 1)->kind == TOKEN_STRING &&
           (keyword == KEYWORD_TIMESTAMP || keyword == KEYWORD_DATE || keyword == KEYWORD_TIME);
}

static struct expr *
parse_typed_string(struct parser *parser)
{
    size_t first = parser->at;
    enum keyword keyword = parser_next(parser)->keyword;
    struct expr *expr = parse_literal(parser, EXPR_TYPED_STRING);
    expr->type = bytes_of_string(keyword_name(keyword));
    expr->span = parser_span_from(parser, first);
    return expr;
}

/* A word: literal, special form, call or name. */
static struct expr *
parse_word(struct parser *parser)
{
    bool call = parser_peek(parser, 1)->kind == TOKEN_LEFT_PAREN;
    switch ((enum keyword)parser_peek(parser, 0)->keyword) {
    case KEYWORD_NULL:
        return parse_literal(parser, EXPR_NULL);
    case KEYWORD_TRUE:
        return parse_literal(parser, EXPR_TRUE);
    case KEYWORD_FALSE:
        return parse_literal(parser, EXPR_FALSE);
    case KEYWORD_CASE:
        return parse_case(parser);
    case KEYWORD_CAST:
    case KEYWORD_TRY_CAST:
        if (call) {
            return parse_cast(parser);
        }
        break;
    case KEYWORD_EXISTS:
        if (call && parser_peek(parser, 2)->keyword == KEYWORD_SELECT) {
            size_t first = parser->at;
            parser->at += 2;
            return parse_subselect(parser, EXPR_EXISTS, first);
        }
        break;
    default:
        break;
    }
    if (at_interval(parser)) {
        return parse_interval(parser);
    }
    if (at_typed_string(parser)) {
        return parse_typed_string(parser);
    }
    if (!parser_is_name(parser, parser_peek(parser, 0))) {
        parser_fail_expected(parser, "an expression", NULL);
        return NULL;
    }
    return call ? parse_call(parser) : parse_literal(parser, EXPR_NAME);
}

static struct expr *
parse_primary(struct parser *parser)
{
    bool topic = parser->dialect == DIALECT_TOPIC;
    switch ((enum token_kind)parser_peek(parser, 0)->kind) {
    case TOKEN_NAME:
        return parse_word(parser);
    case TOKEN_BACKQUOTED:
        return parse_literal(parser, EXPR_NAME);
    case TOKEN_QUOTED:
        return parse_literal(parser, topic ? EXPR_STRING : EXPR_NAME);
    case TOKEN_STRING:
        return parse_literal(parser, EXPR_STRING);
    case TOKEN_NUMBER:
        return parse_literal(parser, EXPR_NUMBER);
    case TOKEN_INTERVAL:
        return parse_literal(parser, EXPR_INTERVAL);
    case TOKEN_VARIABLE:
        return parse_variable(parser);
    case TOKEN_STAR:
        return parse_literal(parser, EXPR_STAR);
    case TOKEN_LEFT_PAREN:
        return parse_parenthesis(parser);
    case TOKEN_LEFT_BRACKET:
        return parse_array(parser);
    case TOKEN_LEFT_BRACE:
        return parse_object(parser);
    default:
        parser_fail_expected(parser, "an expression", NULL);
        return NULL;
    }
}

/* ---- postfix: .name .* [index] ::type ---- */

static struct expr *
parse_member(struct parser *parser, struct expr *base)
{
    parser_next(parser);
    const struct token *name = parser_peek(parser, 0);
    if (name->kind != TOKEN_NAME && name->kind != TOKEN_STAR && !parser_is_name(parser, name)) {
        parser_fail_expected(parser, "a name behind '.'", NULL);
        if (name->kind == TOKEN_NUMBER) {
            diag_hint(parser->diags, "get(array, 0) reads an element");
        }
        return NULL;
    }
    struct expr *expr = parse_literal(parser, name->kind == TOKEN_STAR ? EXPR_STAR : EXPR_MEMBER);
    expr->name_span = token_span(name);
    span_from_expr(parser, expr, base);
    return with_items(parser, expr, base, NULL, NULL);
}

static struct expr *
parse_index(struct parser *parser, struct expr *base)
{
    size_t first = parser->at;
    parser_next(parser);
    struct expr *index = parse_expr(parser);
    if (index == NULL || !parser_expect(parser, TOKEN_RIGHT_BRACKET, "']'")) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_INDEX, first);
    span_from_expr(parser, expr, base);
    return with_items(parser, expr, base, index, NULL);
}

static struct expr *
parse_colon_cast(struct parser *parser, struct expr *base)
{
    size_t first = parser->at;
    parser_next(parser);
    struct bytes type;
    if (!parser_expect_type(parser, &type)) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_CAST, first);
    expr->type = type;
    expr->colons = true;
    expr->name_span = parser_span_from(parser, first + 1);
    span_from_expr(parser, expr, base);
    return with_items(parser, expr, base, NULL, NULL);
}

static struct expr *
parse_postfix(struct parser *parser)
{
    struct expr *expr = parse_primary(parser);
    while (expr != NULL) {
        if (parser_at(parser, TOKEN_DOT)) {
            expr = parse_member(parser, expr);
        } else if (parser_at(parser, TOKEN_LEFT_BRACKET)) {
            expr = parse_index(parser, expr);
        } else if (parser_at(parser, TOKEN_DOUBLE_COLON) && parser->dialect != DIALECT_TOPIC) {
            expr = parse_colon_cast(parser, expr);
        } else {
            break;
        }
    }
    return expr;
}

/* ---- operators ---- */

static const struct {
    uint8_t op;
    uint8_t precedence;
} operators[] = {
        [TOKEN_EQUAL] = {OP_EQUAL, PRECEDENCE_COMPARE},
        [TOKEN_NOT_EQUAL] = {OP_NOT_EQUAL, PRECEDENCE_COMPARE},
        [TOKEN_LESS] = {OP_LESS, PRECEDENCE_COMPARE},
        [TOKEN_LESS_EQUAL] = {OP_LESS_EQUAL, PRECEDENCE_COMPARE},
        [TOKEN_GREATER] = {OP_GREATER, PRECEDENCE_COMPARE},
        [TOKEN_GREATER_EQUAL] = {OP_GREATER_EQUAL, PRECEDENCE_COMPARE},
        [TOKEN_PLUS] = {OP_ADD, PRECEDENCE_ADD},
        [TOKEN_MINUS] = {OP_SUBTRACT, PRECEDENCE_ADD},
        [TOKEN_CONCAT] = {OP_CONCAT, PRECEDENCE_ADD},
        [TOKEN_STAR] = {OP_MULTIPLY, PRECEDENCE_MULTIPLY},
        [TOKEN_SLASH] = {OP_DIVIDE, PRECEDENCE_MULTIPLY},
        [TOKEN_PERCENT] = {OP_MODULO, PRECEDENCE_MULTIPLY},
        [TOKEN_BAD] = {OP_NONE, 0},
};

/* The operator at the current token; OP_NONE when it is none. */
static enum expr_op
operator_at(const struct parser *parser, enum precedence *precedence)
{
    const struct token *token = parser_peek(parser, 0);
    if (token->keyword == KEYWORD_OR) {
        *precedence = PRECEDENCE_OR;
        return OP_OR;
    }
    if (token->keyword == KEYWORD_AND) {
        *precedence = PRECEDENCE_AND;
        return OP_AND;
    }
    *precedence = operators[token->kind].precedence;
    return operators[token->kind].op;
}

/* NOT and unary minus; `lowest` is how tight the operand must bind. */
static struct expr *
parse_prefix(struct parser *parser, enum expr_op op, enum precedence lowest)
{
    size_t first = parser->at;
    parser_next(parser);
    if (!enter(parser)) {
        return NULL;
    }
    struct expr *operand = leave(parser, parse_binary(parser, lowest));
    if (operand == NULL) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_UNARY, first);
    expr->op = op;
    return with_items(parser, expr, operand, NULL, NULL);
}

static struct expr *
parse_unary(struct parser *parser, enum precedence lowest)
{
    if (parser_at_keyword(parser, KEYWORD_NOT)) {
        if (lowest > PRECEDENCE_NOT) {
            parser_fail_expected(parser, "an expression", NULL);
            diag_hint(parser->diags, "NOT binds loosely: put it into parentheses");
            return NULL;
        }
        return parse_prefix(parser, OP_NOT, PRECEDENCE_NOT);
    }
    if (parser_at(parser, TOKEN_MINUS)) {
        return parse_prefix(parser, OP_NEGATE, PRECEDENCE_NEGATE);
    }
    return parse_postfix(parser);
}

/* IN array | IN '(' list ')' | IN '(' SELECT ... ')' */
static struct expr *
parse_in_operand(struct parser *parser)
{
    size_t first = parser->at;
    bool list = parser->dialect != DIALECT_TOPIC && parser_at(parser, TOKEN_LEFT_PAREN) &&
                parser_peek(parser, 1)->keyword != KEYWORD_SELECT;
    if (!list) {
        return parse_binary(parser, PRECEDENCE_ADD);
    }
    parser_next(parser);
    struct expr *const *items;
    size_t count;
    if (!parse_expr_list(parser, &items, &count) ||
        !parser_expect(parser, TOKEN_RIGHT_PAREN, "',' or ')'")) {
        return NULL;
    }
    return set_items(parser, new_expr(parser, EXPR_ARRAY, first), items, count);
}

/* What stands between IN, BETWEEN, LIKE or IS and the end of the predicate. */
static struct expr *
parse_predicate_tail(struct parser *parser, struct expr *left, bool negated)
{
    size_t first = parser->at;
    enum keyword keyword = parser_next(parser)->keyword;
    enum expr_kind kind;
    struct expr *a = NULL, *b = NULL;
    bool ok;
    if (keyword == KEYWORD_IN) {
        kind = EXPR_IN;
        a = parse_in_operand(parser);
        ok = a != NULL;
    } else if (keyword == KEYWORD_BETWEEN) {
        kind = EXPR_BETWEEN;
        a = parse_binary(parser, PRECEDENCE_ADD);
        ok = a != NULL && parser_expect_keyword(parser, KEYWORD_AND);
        b = ok ? parse_binary(parser, PRECEDENCE_ADD) : NULL;
        ok = b != NULL;
    } else if (keyword == KEYWORD_LIKE) {
        kind = EXPR_LIKE;
        a = parse_binary(parser, PRECEDENCE_ADD);
        ok = a != NULL;
        if (ok && parser_accept_keyword(parser, KEYWORD_ESCAPE)) {
            b = parse_binary(parser, PRECEDENCE_ADD);
            ok = b != NULL;
        }
    } else {
        kind = EXPR_IS_NULL;
        negated = parser_accept_keyword(parser, KEYWORD_NOT);
        ok = parser_expect_keyword(parser, KEYWORD_NULL);
    }
    if (!ok) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, kind, first);
    expr->negated = negated;
    span_from_expr(parser, expr, left);
    return with_items(parser, expr, left, a, b);
}

/* Whether a predicate starts `ahead` of the current token. */
static bool
at_predicate(const struct parser *parser, size_t ahead)
{
    enum keyword keyword = parser_peek(parser, ahead)->keyword;
    return keyword == KEYWORD_IN || keyword == KEYWORD_BETWEEN || keyword == KEYWORD_LIKE ||
           (keyword == KEYWORD_IS && ahead == 0);
}

/* x [NOT] IN ..., x [NOT] BETWEEN ..., x [NOT] LIKE ..., x IS [NOT] NULL. Topic SQL knows IN. */
static struct expr *
parse_predicate(struct parser *parser, struct expr *left)
{
    bool negated = parser_at_keyword(parser, KEYWORD_NOT);
    parser->at += negated;
    const struct token *word = parser_peek(parser, 0);
    if (parser->dialect == DIALECT_TOPIC && (word->keyword != KEYWORD_IN || negated)) {
        parser_fail_at(parser, token_span(word), "AWS IoT SQL has no %s%s", negated ? "NOT " : "",
                       keyword_name(word->keyword));
        diag_hint(parser->diags, word->keyword == KEYWORD_IS ? "use isNull(x) or isUndefined(x)"
                                 : word->keyword == KEYWORD_LIKE
                                         ? "use regexp_matches(x, 'pattern')"
                                 : word->keyword == KEYWORD_IN ? "use NOT (x IN array)"
                                                               : "use x >= a AND x <= b");
        return NULL;
    }
    return parse_predicate_tail(parser, left, negated);
}

static struct expr *
parse_operator(struct parser *parser, struct expr *left, enum expr_op op, enum precedence above)
{
    parser_next(parser);
    struct expr *right = parse_binary(parser, above);
    if (right == NULL) {
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_BINARY, parser->at - 1);
    expr->op = op;
    span_from_expr(parser, expr, left);
    return with_items(parser, expr, left, right, NULL);
}

/* All operators that bind at least as tight as `lowest`, left-associative. */
static struct expr *
parse_binary(struct parser *parser, enum precedence lowest)
{
    struct expr *left = parse_unary(parser, lowest);
    while (left != NULL) {
        bool not_before = parser_at_keyword(parser, KEYWORD_NOT);
        enum precedence precedence;
        enum expr_op op = operator_at(parser, &precedence);
        if (lowest <= PRECEDENCE_COMPARE && at_predicate(parser, not_before)) {
            left = parse_predicate(parser, left);
        } else if (op != OP_NONE && precedence >= lowest) {
            left = parse_operator(parser, left, op, precedence + 1);
        } else {
            break;
        }
    }
    return left;
}
