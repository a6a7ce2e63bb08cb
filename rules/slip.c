/* One question a slip; what is asked first is what is surer. */
#include "slip.h"

/* The token `back` before the current one; NULL before the first. */
static const struct token *
before(const struct parser *parser, size_t back)
{
    return parser->at >= back ? &parser->tokens.items[parser->at - back] : NULL;
}

static bool
is_kind_before(const struct parser *parser, size_t back, enum token_kind kind)
{
    const struct token *token = before(parser, back);
    return token != NULL && token->kind == kind;
}

static bool
is_keyword_before(const struct parser *parser, size_t back, enum keyword keyword)
{
    const struct token *token = before(parser, back);
    return token != NULL && token->kind == TOKEN_NAME && token->keyword == keyword;
}

static const char *
hint_of_keyword(enum keyword keyword)
{
    switch (keyword) {
    case KEYWORD_GROUP:
    case KEYWORD_HAVING:
    case KEYWORD_ORDER:
    case KEYWORD_LIMIT:
        return "a rule sees one message at a time: there is nothing to group, order or limit";
    case KEYWORD_INSERT:
    case KEYWORD_CREATE:
        return "is a ';' missing before it?";
    case KEYWORD_JOIN:
        return "a rule has one source: it cannot join";
    default:
        return NULL;
    }
}

const char *
slip_hint(const struct parser *parser, const char *what)
{
    const struct token *token = parser_peek(parser, 0);
    bool wants_where = strstr(what, "WHERE") != NULL;
    if (token->kind == TOKEN_EQUAL && is_kind_before(parser, 1, TOKEN_EQUAL)) {
        return "one '=' compares";
    }
    if (token->kind == TOKEN_COMMA && wants_where) {
        return "a rule has one source: write a rule for each filter, or a filter with wildcards";
    }
    if (token->kind == TOKEN_COMMA && is_kind_before(parser, 2, TOKEN_LEFT_PAREN) &&
        is_keyword_before(parser, 3, KEYWORD_IN)) {
        return "IN takes an array: x IN [1, 2]";
    }
    if ((token->kind == TOKEN_SLASH || token->kind == TOKEN_PLUS) && wants_where) {
        return "a topic filter stands in quotes: FROM 'sensors/+/data'";
    }
    if (strcmp(what, "LANGUAGE") == 0) {
        return "AS 'source.c' LANGUAGE C";
    }
    return token->kind == TOKEN_NAME ? hint_of_keyword(token->keyword) : NULL;
}

const char *
slip_character(char c)
{
    switch (c) {
    case '&':
        return "write AND";
    case '|':
        return "write OR";
    case '!':
        return "write NOT";
    case '^':
        return "power(x, y) raises to a power, bitxor(x, y) combines bits";
    default:
        return NULL;
    }
}
