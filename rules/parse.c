/*
 * What all parts of the parser need: looking at tokens, taking them, telling what is wrong.
 */
#include "parse.h"

#include "slip.h"

#include <stdarg.h>

bool
parser_init(struct parser *parser, const struct token_source *source, enum dialect dialect,
            struct arena *arena, struct diag_list *diags)
{
    *parser = (struct parser){
            .source = *source, .dialect = dialect, .arena = arena, .diags = diags};
    if (source->range.end == 0) {
        parser->lines = line_index_of(source->file, source->text, arena);
        parser->lines.origin = source->origin;
    }
    return token_list_read(&parser->tokens, source, arena, diags);
}

const struct token *
parser_peek(const struct parser *parser, size_t ahead)
{
    size_t last = parser->tokens.count - 1;
    size_t at = parser->at + ahead;
    return &parser->tokens.items[at < last ? at : last];
}

const struct token *
parser_next(struct parser *parser)
{
    const struct token *token = parser_peek(parser, 0);
    parser->at += token->kind != TOKEN_END;
    return token;
}

bool
parser_at_end(const struct parser *parser)
{
    return parser_at(parser, TOKEN_END);
}

bool
parser_at(const struct parser *parser, enum token_kind kind)
{
    return parser_peek(parser, 0)->kind == kind;
}

bool
parser_at_keyword(const struct parser *parser, enum keyword keyword)
{
    return parser_peek(parser, 0)->keyword == keyword;
}

bool
parser_accept(struct parser *parser, enum token_kind kind)
{
    bool there = parser_at(parser, kind);
    parser->at += there;
    return there;
}

bool
parser_accept_keyword(struct parser *parser, enum keyword keyword)
{
    bool there = parser_at_keyword(parser, keyword);
    parser->at += there;
    return there;
}

/* ---- errors ---- */

void
parser_fail_at(struct parser *parser, struct span span, const char *format, ...)
{
    struct diag_place place = line_index_place(&parser->lines, span);
    struct buf message = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    diag_at(parser->diags, DIAG_ERROR, &place, "%s", buf_string(&message));
    buf_fini(&message);
}

static const char *
keyword_at(const void *context, size_t i)
{
    return keyword_name(((const enum keyword *)context)[i]);
}

static bool
suggest_keyword(struct parser *parser, const struct token *token, const enum keyword *keywords)
{
    size_t count = 0;
    while (keywords[count] != KEYWORD_NONE) {
        count++;
    }
    struct bytes word = bytes_slice(parser->source.text, token->start, token->end);
    const char *near = diag_nearest(word, count, keyword_at, keywords);
    if (near != NULL) {
        diag_hint(parser->diags, "did you mean '%s'?", near);
    }
    return near != NULL;
}

static bool
is_in_rule(const struct parser *parser)
{
    return parser->dialect == DIALECT_TOPIC || parser->dialect == DIALECT_STREAM;
}

enum { SHOWN_TOKEN_MAX = 40 };

void
parser_fail_expected(struct parser *parser, const char *what, const enum keyword *keywords)
{
    const struct token *token = parser_peek(parser, 0);
    if (token->kind == TOKEN_BAD) {
        return; /* the lexer told it better */
    }
    struct span span = token_span(token);
    if (token->kind == TOKEN_END) {
        parser_fail_at(parser, span, "the text ends where %s is expected", what);
        return;
    }
    struct bytes shown = bytes_slice(parser->source.text, span.start, span.end);
    const char *cut = shown.size > SHOWN_TOKEN_MAX ? "..." : "";
    shown = bytes_slice(shown, 0, SHOWN_TOKEN_MAX);
    const char *quote = shown.data[0] == '\'' ? "" : "'";
    parser_fail_at(parser, span, "found %s%.*s%s%s, expected %s", quote, BYTES_ARG(shown), cut,
                   quote, what);
    if (token->kind == TOKEN_NAME && keywords != NULL && suggest_keyword(parser, token, keywords)) {
        return;
    }
    const char *hint = is_in_rule(parser) ? slip_hint(parser, what) : NULL;
    if (hint != NULL) {
        diag_hint(parser->diags, "%s", hint);
    }
}

bool
parser_expect(struct parser *parser, enum token_kind kind, const char *what)
{
    if (!parser_accept(parser, kind)) {
        parser_fail_expected(parser, what, NULL);
        return false;
    }
    return true;
}

bool
parser_expect_keyword(struct parser *parser, enum keyword keyword)
{
    if (!parser_accept_keyword(parser, keyword)) {
        parser_fail_expected(parser, keyword_name(keyword),
                             (const enum keyword[]){keyword, KEYWORD_NONE});
        return false;
    }
    return true;
}

/* ---- names, strings, types ---- */

bool
parser_is_name(const struct parser *parser, const struct token *token)
{
    switch (token->kind) {
    case TOKEN_NAME:
        return !keyword_is_reserved(token->keyword);
    case TOKEN_BACKQUOTED:
        return true;
    case TOKEN_QUOTED:
        return parser->dialect != DIALECT_TOPIC;
    default:
        return false;
    }
}

static struct bytes
text_of(struct parser *parser, const struct token *token)
{
    return token_text(token, parser->source.text, parser->arena);
}

bool
parser_expect_name(struct parser *parser, const char *what, struct bytes *out)
{
    const struct token *token = parser_peek(parser, 0);
    if (!parser_is_name(parser, token)) {
        parser_fail_expected(parser, what, NULL);
        if (token->kind == TOKEN_NAME) {
            diag_hint(parser->diags, "'%s' is a reserved word here", keyword_name(token->keyword));
        }
        return false;
    }
    *out = text_of(parser, parser_next(parser));
    return true;
}

bool
parser_expect_string(struct parser *parser, const char *what, struct bytes *out)
{
    bool quoted = parser_at(parser, TOKEN_QUOTED) && parser->dialect == DIALECT_TOPIC;
    if (!quoted && !parser_at(parser, TOKEN_STRING)) {
        parser_fail_expected(parser, what, NULL);
        return false;
    }
    *out = text_of(parser, parser_next(parser));
    return true;
}

bool
parser_expect_path(struct parser *parser, const char *what, struct name_path *out)
{
    size_t first = parser->at;
    struct bytes name;
    if (!parser_expect_name(parser, what, &name)) {
        return false;
    }
    struct bytes *items = parser_grow(parser, NULL, 0, sizeof *items);
    size_t count = 0;
    items[count++] = name;
    while (parser_accept(parser, TOKEN_DOT)) {
        if (!parser_at(parser, TOKEN_NAME) && !parser_is_name(parser, parser_peek(parser, 0))) {
            parser_fail_expected(parser, "a name behind '.'", NULL);
            return false;
        }
        items = parser_grow(parser, items, count, sizeof *items);
        items[count++] = text_of(parser, parser_next(parser));
    }
    *out = (struct name_path){items, count, parser_span_from(parser, first)};
    return true;
}

/* '(' number {',' number} ')' */
static bool
read_type_arguments(struct parser *parser, struct buf *type)
{
    if (!parser_accept(parser, TOKEN_LEFT_PAREN)) {
        return true;
    }
    char before = '(';
    do {
        if (!parser_at(parser, TOKEN_NUMBER)) {
            parser_fail_expected(parser, "a number", NULL);
            return false;
        }
        buf_append_char(type, before);
        buf_append(type, text_of(parser, parser_next(parser)));
        before = ',';
    } while (parser_accept(parser, TOKEN_COMMA));
    buf_append_char(type, ')');
    return parser_expect(parser, TOKEN_RIGHT_PAREN, "')'");
}

static void
append_upper(struct buf *out, struct bytes word)
{
    for (size_t i = 0; i < word.size; i++) {
        char c = word.data[i];
        buf_append_char(out, c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c);
    }
}

/* ARRAY<INT>, ROW<x INT, y STRING>: copied as it stands, blanks made one. */
static bool
read_type_parameters(struct parser *parser, struct buf *type)
{
    int depth = 0;
    if (!parser_at(parser, TOKEN_LESS)) {
        return true;
    }
    do {
        const struct token *token = parser_peek(parser, 0);
        if (token->kind == TOKEN_END || token->kind == TOKEN_SEMICOLON) {
            parser_fail_expected(parser, "'>'", NULL);
            return false;
        }
        depth += (token->kind == TOKEN_LESS) - (token->kind == TOKEN_GREATER);
        bool word = token->kind == TOKEN_NAME || token->kind == TOKEN_BACKQUOTED ||
                    token->kind == TOKEN_NUMBER;
        struct span span = token_span(token);
        buf_append(type, word ? text_of(parser, token)
                              : bytes_slice(parser->source.text, span.start, span.end));
        buf_append_string(type, word ? " " : "");
        parser_next(parser);
    } while (depth > 0);
    return true;
}

/* DOUBLE PRECISION, TIMESTAMP(3) WITH LOCAL TIME ZONE, WITHOUT TIME ZONE */
static bool
read_type_tail(struct parser *parser, struct buf *type)
{
    if (parser_accept_keyword(parser, KEYWORD_PRECISION)) {
        return true; /* DOUBLE PRECISION is DOUBLE */
    }
    bool with = parser_at_keyword(parser, KEYWORD_WITH);
    bool zone = (with || parser_at_keyword(parser, KEYWORD_WITHOUT)) &&
                (parser_peek(parser, 1)->keyword == KEYWORD_TIME ||
                 parser_peek(parser, 2)->keyword == KEYWORD_TIME);
    if (!zone) {
        return true;
    }
    while (!parser_at_keyword(parser, KEYWORD_ZONE)) {
        if (!parser_at(parser, TOKEN_NAME)) {
            parser_fail_expected(parser, "ZONE", NULL);
            return false;
        }
        append_upper(type, text_of(parser, parser_next(parser)));
    }
    append_upper(type, text_of(parser, parser_next(parser)));
    return true;
}

bool
parser_expect_type(struct parser *parser, struct bytes *out)
{
    if (!parser_at(parser, TOKEN_NAME)) {
        parser_fail_expected(parser, "a type", NULL);
        return false;
    }
    struct buf type = {0};
    append_upper(&type, text_of(parser, parser_next(parser)));
    bool ok = (parser->dialect != DIALECT_STREAM || read_type_parameters(parser, &type)) &&
              read_type_arguments(parser, &type) && read_type_tail(parser, &type);
    if (ok) {
        *out = arena_copy(parser->arena, buf_bytes(&type));
    }
    buf_fini(&type);
    return ok;
}

/* ---- places and arrays ---- */

struct line_index
line_index_of(struct bytes file, struct bytes text, struct arena *arena)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == '\n';
    }
    uint32_t *starts = arena_alloc(arena, count * sizeof *starts);
    starts[0] = 0;
    size_t line = 1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\n') {
            starts[line++] = (uint32_t)i + 1;
        }
    }
    return (struct line_index){.file = file, .text = text, .starts = starts, .count = count};
}

struct diag_place
line_index_place(const struct line_index *lines, struct span span)
{
    if (lines->origin != NULL) {
        return origin_place(lines->origin, span.start, span.end);
    }
    size_t low = 0, high = lines->count; /* the line is in [low, high) */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (lines->starts[middle] <= span.start) {
            low = middle;
        } else {
            high = middle;
        }
    }
    size_t start = lines->starts[low];
    size_t end = low + 1 < lines->count ? lines->starts[low + 1] - 1 : lines->text.size;
    struct bytes line = bytes_slice(lines->text, start, end);
    if (bytes_ends_with(line, BYTES("\r"))) {
        line.size--;
    }
    return (struct diag_place){
            .file = lines->file,
            .line = (unsigned)low + 1,
            .column = (unsigned)(span.start - start + 1),
            .length = span.end - span.start,
            .source_line = line,
    };
}

struct span
parser_span_from(const struct parser *parser, size_t first)
{
    struct span start = token_span(&parser->tokens.items[first]);
    struct span end = parser->at > first ? token_span(&parser->tokens.items[parser->at - 1])
                                         : start;
    return (struct span){start.start, end.end};
}

void *
parser_grow(struct parser *parser, void *items, size_t count, size_t size)
{
    bool full = count == 0 || (count >= 4 && (count & (count - 1)) == 0);
    if (!full) {
        return items;
    }
    size_t capacity = count == 0 ? 4 : count * 2;
    void *larger = arena_alloc_zeroed(parser->arena, capacity, size);
    if (count > 0) {
        memcpy(larger, items, count * size);
    }
    return larger;
}
