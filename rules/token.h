/*
 * Stage 1: text to tokens, for all dialects alike.
 *
 * The whole text is cut at once into one array that ends with TOKEN_END, so that the parser can
 * look ahead as far as it likes. Tokens hold offsets into the text, no copies. What depends on the
 * dialect is left to the parser: "x" is TOKEN_QUOTED (a string in topic SQL, a name elsewhere),
 * `15m` is TOKEN_INTERVAL, every word is TOKEN_NAME with the keyword that it may be.
 */
#ifndef HEADGATE_RULES_TOKEN_H
#define HEADGATE_RULES_TOKEN_H

#include "base/arena.h"
#include "base/diag.h"
#include "origin.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,     /* bare word; `keyword` tells which one it may be */
    TOKEN_BACKQUOTED, /* `name` */
    TOKEN_QUOTED,   /* "text" */
    TOKEN_STRING,   /* 'text' */
    TOKEN_NUMBER,   /* 12, 1.5, 1E3 */
    TOKEN_INTERVAL, /* 15m, 10000ms: number and unit without a blank */
    TOKEN_VARIABLE, /* @name */
    TOKEN_LEFT_PAREN,
    TOKEN_RIGHT_PAREN,
    TOKEN_LEFT_BRACKET,
    TOKEN_RIGHT_BRACKET,
    TOKEN_LEFT_BRACE,
    TOKEN_RIGHT_BRACE,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_SEMICOLON,
    TOKEN_COLON,
    TOKEN_DOUBLE_COLON,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_EQUAL,
    TOKEN_NOT_EQUAL, /* <> and != */
    TOKEN_LESS,
    TOKEN_LESS_EQUAL,
    TOKEN_GREATER,
    TOKEN_GREATER_EQUAL,
    TOKEN_CONCAT,    /* || */
    TOKEN_PIPE,
    TOKEN_ARROW,     /* => */
    TOKEN_QUESTION,
    TOKEN_BAD,       /* told already; nothing matches it */
};

enum keyword {
    KEYWORD_NONE,
#define KEYWORD(word, reserved) KEYWORD_##word,
#include "keywords.def"
#undef KEYWORD
    KEYWORD_COUNT
};

struct token {
    uint8_t kind;    /* enum token_kind */
    uint8_t keyword; /* enum keyword, of TOKEN_NAME */
    bool doubled;    /* strings and quoted names: the text holds doubled quotes */
    uint32_t start;  /* of what is inside the quotes, for quoted kinds */
    uint32_t end;
};

struct token_list {
    const struct token *items;
    size_t count; /* with TOKEN_END */
};

/* A part of the text for messages: half-open byte range. */
struct span {
    uint32_t start;
    uint32_t end;
};

enum { TOKEN_TEXT_MAX_BYTES = 4 * 1024 * 1024 };

struct token_source {
    struct bytes file; /* name for messages */
    struct bytes text; /* at most TOKEN_TEXT_MAX_BYTES */
    bool comments;     /* whether '--' and block comments are allowed */
    struct span range; /* the part of the text to read; {0, 0}: all of it */
    const struct text_origin *origin; /* where the text comes from, for places; NULL: the file */
};

/*
 * Cuts the text. Adds an error for each thing that is no token and goes on behind it: the list is
 * complete in any case; false tells that there were errors.
 */
bool token_list_read(struct token_list *out, const struct token_source *source,
                     struct arena *arena, struct diag_list *diags) MUST_CHECK;

/* The bytes that a diag should underline: with quotes. */
struct span token_span(const struct token *token);

/* The token's text; of quoted kinds what is inside, with doubled quotes made single. */
struct bytes token_text(const struct token *token, struct bytes text, struct arena *arena);

/* KEYWORD_NONE when the word is none. */
enum keyword keyword_of(struct bytes word);
const char *keyword_name(enum keyword keyword);
bool keyword_is_reserved(enum keyword keyword);

#endif
