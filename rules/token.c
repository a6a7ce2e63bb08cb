/*
 * The lexer: one switch on the first byte, a small function for each family of tokens.
 *
 * After an error it resumes where a person would: behind the bad byte, or, for a string that is
 * not ended, at the next line. Pure, thread-free.
 */
#include "token.h"

#include "slip.h"

struct lexer {
    const struct token_source *source;
    struct bytes text;
    size_t at;
    struct token *items;
    size_t count;
    size_t capacity;
    struct arena *arena;
    struct diag_list *diags;
};

static const struct {
    const char *name;
    bool reserved;
} keywords[] = {
        [KEYWORD_NONE] = {"", false},
#define KEYWORD(word, reserved) [KEYWORD_##word] = {#word, reserved},
#include "keywords.def"
#undef KEYWORD
};

enum keyword
keyword_of(struct bytes word)
{
    for (enum keyword k = KEYWORD_NONE + 1; k < KEYWORD_COUNT; k++) {
        const char *name = keywords[k].name;
        if (word.size > 0 && (word.data[0] & ~0x20) == name[0] &&
            bytes_equal_nocase(word, bytes_of_string(name))) {
            return k;
        }
    }
    return KEYWORD_NONE;
}

const char *
keyword_name(enum keyword keyword)
{
    return keywords[keyword].name;
}

bool
keyword_is_reserved(enum keyword keyword)
{
    return keywords[keyword].reserved;
}

static void
report(struct lexer *lexer, size_t start, size_t end, const char *message, const char *hint)
{
    const struct token_source *source = lexer->source;
    struct diag_place place = source->origin != NULL
                                      ? origin_place(source->origin, start, end)
                                      : diag_place_of(source->file, source->text, start,
                                                      end - start);
    diag_at(lexer->diags, DIAG_ERROR, &place, "%s", message);
    if (hint != NULL) {
        diag_hint(lexer->diags, "%s", hint);
    }
}

static struct token *
add(struct lexer *lexer, enum token_kind kind, size_t start, size_t end)
{
    if (lexer->count == lexer->capacity) {
        size_t capacity = lexer->capacity == 0 ? 64 : lexer->capacity * 2;
        struct token *items = arena_alloc(lexer->arena, capacity * sizeof *items);
        if (lexer->count > 0) {
            memcpy(items, lexer->items, lexer->count * sizeof *items);
        }
        lexer->items = items;
        lexer->capacity = capacity;
    }
    struct token *token = &lexer->items[lexer->count++];
    *token = (struct token){
            .kind = (uint8_t)kind, .start = (uint32_t)start, .end = (uint32_t)end};
    return token;
}

/* The byte `ahead` of the current one, or 0 behind the end. */
static char
peek(const struct lexer *lexer, size_t ahead)
{
    size_t at = lexer->at + ahead;
    return at < lexer->text.size ? lexer->text.data[at] : '\0';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_name_start(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static size_t
skip_name(const struct lexer *lexer, size_t at)
{
    while (at < lexer->text.size &&
           (is_name_start(lexer->text.data[at]) || is_digit(lexer->text.data[at]))) {
        at++;
    }
    return at;
}

static size_t
skip_digits(const struct lexer *lexer, size_t at)
{
    while (at < lexer->text.size && is_digit(lexer->text.data[at])) {
        at++;
    }
    return at;
}

static void
read_name(struct lexer *lexer)
{
    size_t start = lexer->at;
    lexer->at = skip_name(lexer, start);
    struct bytes word = bytes_slice(lexer->text, start, lexer->at);
    add(lexer, TOKEN_NAME, start, lexer->at)->keyword = (uint8_t)keyword_of(word);
}

static void
read_variable(struct lexer *lexer)
{
    size_t start = lexer->at;
    size_t end = skip_name(lexer, start + 1);
    lexer->at = end;
    if (end == start + 1) {
        report(lexer, start, end, "'@' without a variable's name", NULL);
        add(lexer, TOKEN_BAD, start, end);
    } else {
        add(lexer, TOKEN_VARIABLE, start, end);
    }
}

static bool
is_interval_unit(struct bytes unit)
{
    static const char *const units[] = {
            "ns", "us", "ms", "s", "m", "h", "d", "w", "mo", "y", "nanosecond", "microsecond",
            "millisecond", "second", "minute", "hour", "day", "week", "month", "year",
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(unit, bytes_of_string(units[i]))) {
            return true;
        }
    }
    return false;
}

/* The end of an exponent at `at`, or `at` when there is none. */
static size_t
skip_exponent(const struct lexer *lexer, size_t at)
{
    if (at >= lexer->text.size || (lexer->text.data[at] | 0x20) != 'e') {
        return at;
    }
    size_t digits = at + 1;
    if (digits < lexer->text.size &&
        (lexer->text.data[digits] == '+' || lexer->text.data[digits] == '-')) {
        digits++;
    }
    size_t end = skip_digits(lexer, digits);
    return end == digits ? at : end;
}

static void
read_number(struct lexer *lexer)
{
    size_t start = lexer->at;
    size_t end = skip_digits(lexer, start);
    if (end + 1 < lexer->text.size && lexer->text.data[end] == '.' &&
        is_digit(lexer->text.data[end + 1])) {
        end = skip_digits(lexer, end + 1);
    }
    end = skip_exponent(lexer, end);
    size_t word_end = skip_name(lexer, end);
    lexer->at = word_end;
    if (word_end == end) {
        add(lexer, TOKEN_NUMBER, start, end);
    } else if (is_interval_unit(bytes_slice(lexer->text, end, word_end))) {
        add(lexer, TOKEN_INTERVAL, start, word_end);
    } else {
        report(lexer, start, word_end, "a number runs into letters",
               "a name does not start with a digit; get(object, 'name') reads any member");
        add(lexer, TOKEN_BAD, start, word_end);
    }
}

static void
read_quoted(struct lexer *lexer, char quote, enum token_kind kind)
{
    size_t start = lexer->at + 1;
    bool doubled = false;
    for (size_t at = start; at < lexer->text.size; at++) {
        if (lexer->text.data[at] != quote) {
            continue;
        }
        if (at + 1 < lexer->text.size && lexer->text.data[at + 1] == quote) {
            doubled = true;
            at++;
            continue;
        }
        add(lexer, kind, start, at)->doubled = doubled;
        lexer->at = at + 1;
        return;
    }
    report(lexer, lexer->at, lexer->at + 1, "a quote is opened here and never closed",
           "a quote inside a string is written twice: 'it''s'");
    struct bytes rest = bytes_slice(lexer->text, start, lexer->text.size);
    lexer->at = start + bytes_find(rest, '\n');
    add(lexer, TOKEN_BAD, start - 1, lexer->at);
}

static void
skip_comment(struct lexer *lexer)
{
    size_t start = lexer->at;
    struct bytes rest = bytes_slice(lexer->text, start, lexer->text.size);
    if (rest.data[0] == '-') {
        lexer->at += bytes_find(rest, '\n');
    } else {
        size_t end = start + 2;
        while (end < lexer->text.size &&
               !(lexer->text.data[end] == '/' && lexer->text.data[end - 1] == '*' &&
                 end > start + 2)) {
            end++;
        }
        if (end == lexer->text.size) {
            report(lexer, start, start + 2, "a comment is opened here and never closed", NULL);
        }
        lexer->at = end < lexer->text.size ? end + 1 : end;
    }
    if (!lexer->source->comments) {
        report(lexer, start, start + 2, "comments are not allowed here",
               "AWS IoT refuses comments in the SQL of a rule");
    }
}

/* Punctuation; longer marks come before their beginnings. */
static const struct {
    const char *text;
    enum token_kind kind;
} marks[] = {
        {"::", TOKEN_DOUBLE_COLON}, {"<>", TOKEN_NOT_EQUAL}, {"!=", TOKEN_NOT_EQUAL},
        {"<=", TOKEN_LESS_EQUAL}, {">=", TOKEN_GREATER_EQUAL}, {"||", TOKEN_CONCAT},
        {"=>", TOKEN_ARROW}, {"(", TOKEN_LEFT_PAREN}, {")", TOKEN_RIGHT_PAREN},
        {"[", TOKEN_LEFT_BRACKET}, {"]", TOKEN_RIGHT_BRACKET}, {"{", TOKEN_LEFT_BRACE},
        {"}", TOKEN_RIGHT_BRACE}, {",", TOKEN_COMMA}, {".", TOKEN_DOT}, {";", TOKEN_SEMICOLON},
        {":", TOKEN_COLON}, {"+", TOKEN_PLUS}, {"-", TOKEN_MINUS}, {"*", TOKEN_STAR},
        {"/", TOKEN_SLASH}, {"%", TOKEN_PERCENT}, {"=", TOKEN_EQUAL}, {"<", TOKEN_LESS},
        {">", TOKEN_GREATER}, {"|", TOKEN_PIPE}, {"?", TOKEN_QUESTION},
};

static void
read_mark(struct lexer *lexer)
{
    struct bytes rest = bytes_slice(lexer->text, lexer->at, lexer->text.size);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        struct bytes mark = bytes_of_string(marks[i].text);
        if (bytes_starts_with(rest, mark)) {
            add(lexer, marks[i].kind, lexer->at, lexer->at + mark.size);
            lexer->at += mark.size;
            return;
        }
    }
    bool seen = lexer->count > 0 && lexer->items[lexer->count - 1].kind == TOKEN_BAD &&
                lexer->items[lexer->count - 1].end == lexer->at;
    if (seen) {
        lexer->items[lexer->count - 1].end++; /* one message for a run of them */
    } else {
        report(lexer, lexer->at, lexer->at + 1, "this character has no meaning here",
               slip_character(lexer->source->text.data[lexer->at]));
        add(lexer, TOKEN_BAD, lexer->at, lexer->at + 1);
    }
    lexer->at++;
}

static void
read_token(struct lexer *lexer)
{
    char c = peek(lexer, 0);
    char next = peek(lexer, 1);
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
        lexer->at++;
    } else if ((c == '-' && next == '-') || (c == '/' && next == '*')) {
        skip_comment(lexer);
    } else if (is_name_start(c)) {
        read_name(lexer);
    } else if (is_digit(c)) {
        read_number(lexer);
    } else if (c == '@') {
        read_variable(lexer);
    } else if (c == '\'') {
        read_quoted(lexer, c, TOKEN_STRING);
    } else if (c == '"') {
        read_quoted(lexer, c, TOKEN_QUOTED);
    } else if (c == '`') {
        read_quoted(lexer, c, TOKEN_BACKQUOTED);
    } else {
        read_mark(lexer);
    }
}

enum { LEXER_ERRORS_MAX = 100 };

bool
token_list_read(struct token_list *out, const struct token_source *source, struct arena *arena,
                struct diag_list *diags)
{
    check(source->text.size <= TOKEN_TEXT_MAX_BYTES);
    struct lexer lexer = {
            .source = source,
            .text = source->range.end == 0 ? source->text
                                           : bytes_slice(source->text, 0, source->range.end),
            .at = source->range.start,
            .arena = arena,
            .diags = diags,
    };
    size_t errors = diags->errors;
    while (lexer.at < lexer.text.size && diags->errors - errors < LEXER_ERRORS_MAX) {
        read_token(&lexer);
    }
    add(&lexer, TOKEN_END, lexer.text.size, lexer.text.size);
    *out = (struct token_list){lexer.items, lexer.count};
    return diags->errors == errors;
}

static bool
is_quoted(const struct token *token)
{
    return token->kind == TOKEN_STRING || token->kind == TOKEN_QUOTED ||
           token->kind == TOKEN_BACKQUOTED;
}

struct span
token_span(const struct token *token)
{
    uint32_t quote = is_quoted(token) ? 1 : 0;
    return (struct span){token->start - quote, token->end + quote};
}

struct bytes
token_text(const struct token *token, struct bytes text, struct arena *arena)
{
    struct bytes inside = bytes_slice(text, token->start, token->end);
    if (!token->doubled) {
        return inside;
    }
    char quote = text.data[token->start - 1];
    char *copy = arena_alloc(arena, inside.size);
    size_t size = 0;
    for (size_t i = 0; i < inside.size; i++) {
        copy[size++] = inside.data[i];
        i += inside.data[i] == quote;
    }
    return bytes_of(copy, size);
}
