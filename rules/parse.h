/*
 * The parser: tokens to tree, by recursive descent; expressions by precedence climbing.
 *
 * A function that reads a thing returns NULL (or false) when it could not, and has then added an
 * error; the caller gives up its own thing too, up to the statement, where reading goes on behind
 * the next ';'. So each statement tells its first error, and a file tells all of them.
 *
 * Use: struct parser parser; parser_init(&parser, ...); then parse_... ; the trees live in the
 * arena that was given.
 */
#ifndef HEADGATE_RULES_PARSE_H
#define HEADGATE_RULES_PARSE_H

#include "ast.h"

/* Where the lines of a text start, so that a place is found without counting from the top. */
struct line_index {
    struct bytes file;
    struct bytes text;
    const uint32_t *starts;
    size_t count;
    const struct text_origin *origin; /* of the text; NULL: it is the file's own */
};

struct line_index line_index_of(struct bytes file, struct bytes text, struct arena *arena);
struct diag_place line_index_place(const struct line_index *lines, struct span span);

struct parser {
    struct token_source source;
    struct line_index lines;
    struct token_list tokens;
    size_t at;
    enum dialect dialect;
    struct arena *arena;
    struct diag_list *diags;
    unsigned nesting;
    bool lone_select; /* a SELECT may be a statement: scripts of stream SQL */
};

/*
 * Cuts the text into tokens; false when that gave errors (parsing may go on nevertheless). For a
 * part of a text (source->range) the caller sets parser->lines, which the whole text shares.
 */
bool parser_init(struct parser *parser, const struct token_source *source, enum dialect dialect,
                 struct arena *arena, struct diag_list *diags);

/* ---- expressions (parse_expr.c) ---- */

struct expr *parse_expr(struct parser *parser);

/* expr {',' expr}; false after an error. */
bool parse_expr_list(struct parser *parser, struct expr *const **out, size_t *count) MUST_CHECK;

/* Whether `expr`, without its parentheses, is one of names and members only: a.b.c */
bool expr_is_path(const struct expr *expr);

/* ---- queries (parse_select.c) ---- */

/* From SELECT (or SET, in topic SQL) to the end of the query; leaves what follows unread. */
const struct select *parse_select(struct parser *parser);

/* A table, query or VALUES with its alias, without joins. */
bool parse_source(struct parser *parser, struct source *out, bool nested) MUST_CHECK;

/* ---- what only query SQL has (parse_query.c) ---- */

/* WITH name AS (SELECT ...), ... : nothing when there is no WITH. */
bool parse_common_tables(struct parser *parser, struct select *select) MUST_CHECK;

/* (a, b) behind an alias; VALUES rows; the joins behind the first source. */
bool parse_column_aliases(struct parser *parser, const struct bytes **out, size_t *count)
        MUST_CHECK;
bool parse_values(struct parser *parser, struct source *source) MUST_CHECK;
bool parse_joins(struct parser *parser, struct source *first) MUST_CHECK;

/* Refuses what may stand behind a whole query in Timestream but is not understood here. */
bool parse_query_end(struct parser *parser) MUST_CHECK;

/* ---- what only stream SQL has (parse_stream.c) ---- */

/* TABLE(TUMBLE(...)): the parser stands at TABLE. */
bool parse_window_source(struct parser *parser, struct source *source) MUST_CHECK;

/* FOR SYSTEM_TIME AS OF x, MATCH_RECOGNIZE (...): what may stand between a source and its alias. */
bool parse_source_tail(struct parser *parser, struct source *source) MUST_CHECK;

/* FILTER (WHERE ...) and OVER ... behind a call. */
bool parse_call_tail(struct parser *parser, struct expr *call) MUST_CHECK;

/* FLOOR(x TO MINUTE), STEP(x BY INTERVAL ...), EXTRACT(MINUTE FROM x), SUBSTRING(x FROM i FOR n):
 * behind an argument of a call, the words that stand for a comma. */
bool parser_accept_argument_word(struct parser *parser);

/* WINDOWED BY STAGGER (...), and WINDOW name AS (...), ... */
bool parse_stagger(struct parser *parser, struct select *select) MUST_CHECK;
bool parse_named_windows(struct parser *parser, struct select *select) MUST_CHECK;

/* a, b DESC NULLS LAST, ...; the parser stands behind ORDER BY. */
bool parse_order_items(struct parser *parser, const struct order_item **out,
                       size_t *count) MUST_CHECK;

/* ---- rule files (parse_statement.c) ---- */

/*
 * The next statement, with its ';'. NULL at the end of the text, and after an error (then the
 * parser stands behind the next ';'): parser_at_end() tells which.
 */
const struct statement *parse_statement(struct parser *parser);

/* ---- helpers for all of them (parse.c) ---- */

bool parser_at_end(const struct parser *parser);

/* The token `ahead` of the current one; TOKEN_END behind the end. */
const struct token *parser_peek(const struct parser *parser, size_t ahead);
const struct token *parser_next(struct parser *parser);

bool parser_at(const struct parser *parser, enum token_kind kind);
bool parser_at_keyword(const struct parser *parser, enum keyword keyword);

/* Takes the token if it is there. */
bool parser_accept(struct parser *parser, enum token_kind kind);
bool parser_accept_keyword(struct parser *parser, enum keyword keyword);

/* Takes the token, or reports that `what` was expected. */
bool parser_expect(struct parser *parser, enum token_kind kind, const char *what) MUST_CHECK;
bool parser_expect_keyword(struct parser *parser, enum keyword keyword) MUST_CHECK;

/* A word or quoted name that may stand for a thing of the user's. */
bool parser_expect_name(struct parser *parser, const char *what, struct bytes *out) MUST_CHECK;

/* A text in single (in topic SQL also double) quotes. */
bool parser_expect_string(struct parser *parser, const char *what, struct bytes *out) MUST_CHECK;

/* name {'.' name}: words behind a '.' may be reserved ones. */
bool parser_expect_path(struct parser *parser, const char *what,
                        struct name_path *out) MUST_CHECK;

/* A type's name, normalised: DOUBLE, VARCHAR(6), TIMESTAMP(3). */
bool parser_expect_type(struct parser *parser, struct bytes *out) MUST_CHECK;

/* Whether the token can be a name that needs no quotes in this dialect. */
bool parser_is_name(const struct parser *parser, const struct token *token);

/* Adds an error at the current token: "<what> expected, found '<token>'", with a suggestion when
 * the word there is a misspelt one of `keywords` (ends with KEYWORD_NONE; may be NULL). */
void parser_fail_expected(struct parser *parser, const char *what, const enum keyword *keywords);

/* Adds an error at a span; follow it with diag_hint(parser->diags, ...) where it helps. */
void parser_fail_at(struct parser *parser, struct span span, const char *format, ...)
        PRINTF_LIKE(3, 4);

/* From the start of `first` to the end of the last token taken. */
struct span parser_span_from(const struct parser *parser, size_t first);

/* Adds `item` (of `size` bytes) to an array in the arena that doubles when full. */
void *parser_grow(struct parser *parser, void *items, size_t count, size_t size);

#endif
