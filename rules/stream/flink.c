/*
 * The text is parsed once more, for the places of statements; what is printed is cut out of it, so
 * that it reads as its author wrote it. Only WITH and targets are made anew.
 */
#include "flink.h"

#include "op.h"
#include "program.h"
#include "rules/parse.h"

struct exporter {
    const struct flink_options *options;
    const struct stream_program *const *programs;
    size_t program_count;
    struct parser parser;
    struct arena arena;
    struct buf *out;
    struct diag_list *diags;
    size_t errors;
};

static bool
fail(struct exporter *exporter, struct span span, const char *hint, const char *format, ...)
        PRINTF_LIKE(4, 5);

static bool
fail(struct exporter *exporter, struct span span, const char *hint, const char *format, ...)
{
    struct buf message = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    struct diag_place place = line_index_place(&exporter->parser.lines, span);
    diag_at(exporter->diags, DIAG_ERROR, &place, "%s", buf_string(&message));
    diag_hint(exporter->diags, "%s", hint);
    buf_fini(&message);
    exporter->errors++;
    return false;
}

/* ---- words ---- */

static bool
is_in(const char *const *words, struct bytes word)
{
    while (*words != NULL && !bytes_equal_nocase(word, bytes_of_string(*words))) {
        words++;
    }
    return *words != NULL;
}

/*
 * Reserved there, and names here. Asked of Flink 1.20's parser, word by word; words that begin a
 * clause in both are not among them.
 */
static bool
is_reserved_in_flink(struct bytes word)
{
    static const char *const words[] = {
            "abs", "allocate", "allow", "alter", "are", "asymmetric", "at", "atomic", "avg",
            "begin", "bit", "blob", "call", "called", "cardinality", "character", "check",
            "clob", "close", "collect", "column", "comment", "commit", "condition", "connect",
            "convert", "count", "cursor", "cycle", "databases", "date", "day", "deallocate",
            "declare", "delete", "deref", "describe", "disconnect", "drop", "dynamic", "each",
            "element", "empty", "equals", "every", "exec", "execute", "exp", "explain",
            "extend", "external", "extract", "fetch", "floor", "foreign", "free", "functions",
            "fusion", "get", "global", "grant", "groups", "hold", "hour", "identity", "import",
            "include", "indicator", "initial", "intersection", "lag", "language", "large",
            "lead", "ln", "local", "localtime", "lower", "max", "member", "merge", "method",
            "min", "minute", "mod", "model", "modifies", "module", "modules", "month", "nchar",
            "nclob", "new", "none", "normalize", "nth_value", "ntile", "old", "omit", "open",
            "out", "overlay", "parameter", "percent", "period", "pivot", "portion", "position",
            "power", "precedes", "precision", "prepare", "prev", "procedure", "rank", "raw",
            "reads", "recursive", "ref", "references", "referencing", "release", "reset",
            "result", "return", "returns", "revoke", "rollback", "scope", "scroll", "search",
            "second", "seek", "show", "similar", "specific", "sql", "start", "statement",
            "static", "substring", "succeeds", "sum", "symmetric", "system", "tables", "time",
            "timestamp", "translate", "treat", "trigger", "truncate", "uescape", "unknown",
            "update", "upper", "upsert", "use", "user", "value", "views", "whenever", "year", NULL,
    };
    return is_in(words, word);
}

static struct bytes
word_at(const struct exporter *exporter, size_t at)
{
    const struct token *token = &exporter->parser.tokens.items[at];
    return bytes_slice(exporter->parser.source.text, token->start, token->end);
}

/* INTERVAL '1' DAY, '1:30' MINUTE TO SECOND, FLOOR(t TO DAY), TIMESTAMPDIFF(DAY, ...) */
static bool
is_unit(const struct exporter *exporter, size_t at)
{
    static const char *const to[] = {"TO", NULL};
    static const char *const takers[] = {"TIMESTAMPDIFF", "TIMESTAMPADD", "EXTRACT", NULL};
    const struct token_list *tokens = &exporter->parser.tokens;
    bool is_first = at > 1 && tokens->items[at - 1].kind == TOKEN_LEFT_PAREN;
    return at > 0 && (tokens->items[at - 1].kind == TOKEN_STRING ||
                      is_in(to, word_at(exporter, at - 1)) ||
                      (is_first && is_in(takers, word_at(exporter, at - 2))));
}

/* Whether the parentheses around the token are those of CAST. */
static bool
is_in_cast(const struct exporter *exporter, size_t at)
{
    static const char *const casts[] = {"CAST", "TRY_CAST", NULL};
    const struct token_list *tokens = &exporter->parser.tokens;
    for (int depth = 0; at > 1; at--) {
        unsigned kind = tokens->items[at - 1].kind;
        depth += (kind == TOKEN_RIGHT_PAREN) - (kind == TOKEN_LEFT_PAREN);
        if (depth < 0) {
            return is_in(casts, word_at(exporter, at - 2));
        }
    }
    return false;
}

/* `day DATE` in a table, CAST(x AS DATE); not: x AS `date`, */
static bool
is_type(const struct exporter *exporter, size_t at)
{
    static const char *const types[] = {"DATE", "TIME", "TIMESTAMP", NULL};
    const struct token_list *tokens = &exporter->parser.tokens;
    if (at == 0 || tokens->items[at - 1].kind != TOKEN_NAME ||
        !is_in(types, word_at(exporter, at))) {
        return false;
    }
    unsigned keyword = tokens->items[at - 1].keyword;
    return keyword == KEYWORD_NONE || (keyword == KEYWORD_AS && is_in_cast(exporter, at));
}

/* Whether the token is the name of something, not a word of the language. */
static bool
is_name(const struct exporter *exporter, size_t at)
{
    const struct token_list *tokens = &exporter->parser.tokens;
    const struct token *token = &tokens->items[at];
    unsigned behind = tokens->items[at + 1].kind;
    bool is_word = token->kind == TOKEN_NAME && !keyword_is_reserved(token->keyword) &&
                   is_reserved_in_flink(word_at(exporter, at));
    /* A function; TIMESTAMP '...' */
    bool is_called = behind == TOKEN_LEFT_PAREN || behind == TOKEN_STRING;
    return is_word && !is_called && !is_unit(exporter, at) && !is_type(exporter, at);
}

/* The statement's end without the semicolon. */
static uint32_t
end_of(const struct exporter *exporter, const struct statement *statement)
{
    const char *text = exporter->parser.source.text.data;
    uint32_t end = statement->span.end;
    return end > statement->span.start && text[end - 1] == ';' ? end - 1 : end;
}

/* Copies [from, to) of the text. */
static void
copy(struct exporter *exporter, uint32_t from, uint32_t to, struct buf *out)
{
    const struct token_list *tokens = &exporter->parser.tokens;
    struct bytes text = exporter->parser.source.text;
    uint32_t at = from;
    for (size_t i = 0; i + 1 < tokens->count; i++) {
        const struct token *token = &tokens->items[i];
        if (token->start < from || token->end > to || !is_name(exporter, i)) {
            continue;
        }
        buf_append(out, bytes_slice(text, at, token->start));
        buf_printf(out, "`%.*s`", BYTES_ARG(bytes_slice(text, token->start, token->end)));
        at = token->end;
    }
    buf_append(out, bytes_slice(text, at, to));
}

static void
print_name(struct bytes name, struct buf *out)
{
    buf_append_char(out, '`');
    for (size_t i = 0; i < name.size; i++) {
        buf_append_string(out, name.data[i] == '`' ? "`" : "");
        buf_append_char(out, name.data[i]);
    }
    buf_append_char(out, '`');
}

static void
print_string(struct bytes text, struct buf *out)
{
    buf_append_char(out, '\'');
    for (size_t i = 0; i < text.size; i++) {
        buf_append_string(out, text.data[i] == '\'' ? "'" : "");
        buf_append_char(out, text.data[i]);
    }
    buf_append_char(out, '\'');
}

/* The first token of that keyword in the statement, outside of parentheses; SIZE_MAX: none. */
static size_t
find_word(const struct exporter *exporter, struct span span, enum keyword keyword)
{
    const struct token_list *tokens = &exporter->parser.tokens;
    int depth = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *token = &tokens->items[i];
        if (token->start < span.start || token->end > span.end) {
            continue;
        }
        depth += (token->kind == TOKEN_LEFT_PAREN) - (token->kind == TOKEN_RIGHT_PAREN);
        if (depth == 0 && token->kind == TOKEN_NAME && token->keyword == keyword) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* ---- tables ---- */

static const struct option_item *
find_option(const struct statement *statement, const char *name)
{
    for (size_t i = 0; i < statement->options.count; i++) {
        if (bytes_equal_string(statement->options.items[i].name, name)) {
            return &statement->options.items[i];
        }
    }
    return NULL;
}

static void
print_option(struct bytes name, struct bytes value, struct buf *out)
{
    buf_append_string(out, ",\n  ");
    print_string(name, out);
    buf_append_string(out, " = ");
    print_string(value, out);
}

/* Options that the Kinesis connector and the JSON format of Flink have under the same name. */
static bool
is_of_flink(struct bytes name)
{
    return bytes_starts_with(name, BYTES("json.")) || bytes_starts_with(name, BYTES("aws.")) ||
           bytes_starts_with(name, BYTES("sink.")) ||
           bytes_starts_with(name, BYTES("scan."));
}

static void
print_stream_options(struct exporter *exporter, const struct option_item *items, size_t count,
                     struct bytes stream, struct buf *out)
{
    bool has_region = false;
    buf_append_string(out, "WITH (\n  'connector' = 'kinesis'");
    print_option(BYTES("stream"), stream, out);
    for (size_t i = 0; i < count; i++) {
        has_region |= bytes_equal(items[i].name, BYTES("aws.region"));
        if (is_of_flink(items[i].name)) {
            print_option(items[i].name, items[i].value, out);
        }
    }
    if (!has_region) {
        print_option(BYTES("aws.region"), exporter->options->region, out);
    }
    print_option(BYTES("format"), BYTES("json"), out);
    buf_append_string(out, "\n);\n\n");
}

/* What there is of a message only here. */
static bool
check_columns(struct exporter *exporter, const struct statement *statement)
{
    bool is_good = true;
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct column *column = &statement->columns[i];
        struct bytes key = column->metadata_key.size > 0 ? column->metadata_key : column->name;
        if (column->metadata && !bytes_equal(key, BYTES("timestamp"))) {
            is_good = fail(exporter, column->span,
                           "let the devices, or the rule that fills the stream, put it into the "
                           "payload",
                           "a Kinesis stream does not tell '%.*s'", BYTES_ARG(key));
        }
    }
    return is_good;
}

static bool
check_options(struct exporter *exporter, const struct statement *statement)
{
    const struct option_item *scope = find_option(statement, "gateway.watermark-scope");
    const struct option_item *idle = find_option(statement, "gateway.idle");
    if (scope != NULL && bytes_equal_nocase(scope->value, BYTES("key"))) {
        return fail(exporter, scope->span, "give devices with clocks of their own streams of their "
                                           "own there",
                    "Flink has one watermark for all keys of a stream");
    }
    if (idle != NULL && bytes_equal_nocase(idle->value, BYTES("advance"))) {
        return fail(exporter, idle->span, "let something send a row now and then",
                    "in Flink event time does not go on in a stream that is silent");
    }
    return true;
}

static bool
export_table(struct exporter *exporter, const struct statement *statement)
{
    const struct option_item *connector = find_option(statement, "connector");
    const struct option_item *stream = find_option(statement, "stream");
    struct bytes kind = connector == NULL ? BYTES("") : connector->value;
    static const char *const streams[] = {"mqtt", "stream", "kinesis", NULL};
    if (!is_in(streams, kind)) {
        return fail(exporter, connector == NULL ? statement->name_span : connector->span,
                    "write to a stream there, and put a service behind it that stores",
                    "Flink has no connector '%.*s' that fits", BYTES_ARG(kind));
    }
    if (!check_columns(exporter, statement) || !check_options(exporter, statement)) {
        return false;
    }
    const struct option_item *topic = find_option(statement, "topic");
    if (topic != NULL) {
        buf_printf(exporter->out, "-- of the topic %.*s: an IoT rule with the action kinesis\n",
                   BYTES_ARG(topic->value));
    }
    size_t with = find_word(exporter, statement->span, KEYWORD_WITH);
    uint32_t end = with == SIZE_MAX ? end_of(exporter, statement)
                                    : exporter->parser.tokens.items[with].start;
    copy(exporter, statement->span.start, end, exporter->out);
    print_stream_options(exporter, statement->options.items, statement->options.count,
                         stream == NULL ? statement->name : stream->value, exporter->out);
    return true;
}

/* ---- queries ---- */

static const struct stream_program *
find_program(const struct exporter *exporter, const struct statement *statement)
{
    for (size_t i = 0; i < exporter->program_count; i++) {
        const struct stream_program *program = exporter->programs[i];
        if (program != NULL && program->start == statement->span.start) {
            return program;
        }
    }
    return NULL;
}

/* A table of the query's columns in the place of a topic; its name is appended to `name`. */
static bool
export_topic(struct exporter *exporter, const struct target *target,
             const struct stream_program *program, struct buf *name)
{
    const struct stream_schema *schema = &program->ops[program->op_count - 1]->schema;
    if (bytes_find(target->text, '$') < target->text.size) {
        return fail(exporter, target->span, "write into one stream, with the part as a column",
                    "Flink has no topics that depend on the row");
    }
    buf_append_string(name, "topic_");
    for (size_t i = 0; i < target->text.size; i++) {
        char c = target->text.data[i];
        bool fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        buf_append_char(name, fits ? c : '_');
    }
    buf_printf(exporter->out, "-- for the topic %.*s\nCREATE TABLE %s (\n",
               BYTES_ARG(target->text), buf_string(name));
    for (size_t i = 0; i < schema->count; i++) {
        struct stream_type type = schema->columns[i].type;
        buf_append_string(exporter->out, i == 0 ? "  " : ",\n  ");
        print_name(schema->columns[i].name, exporter->out);
        buf_append_char(exporter->out, ' ');
        stream_type_print(type, exporter->out);
    }
    buf_append_string(exporter->out, "\n) ");
    print_stream_options(exporter, NULL, 0, buf_bytes(name), exporter->out);
    return true;
}

static bool
check_functions(struct exporter *exporter, struct span span)
{
    static const char *const missing[] = {"UCASE", "LCASE", "STEP", NULL};
    const struct token_list *tokens = &exporter->parser.tokens;
    for (size_t i = 0; i + 1 < tokens->count; i++) {
        const struct token *token = &tokens->items[i];
        struct bytes word = bytes_slice(exporter->parser.source.text, token->start, token->end);
        if (token->kind == TOKEN_NAME && token->start >= span.start && token->end <= span.end &&
            tokens->items[i + 1].kind == TOKEN_LEFT_PAREN && is_in(missing, word)) {
            return fail(exporter, token_span(token), "UPPER, LOWER and TUMBLE are in both",
                        "Flink has no function %.*s", BYTES_ARG(word));
        }
    }
    return true;
}

/* INSERT INTO `name` and the query, as it is written behind the targets. */
static void
print_insert(struct exporter *exporter, const struct statement *statement, struct bytes name)
{
    uint32_t start = statement->targets[statement->target_count - 1].span.end;
    buf_append_string(exporter->out, "INSERT INTO ");
    print_name(name, exporter->out);
    copy(exporter, start, end_of(exporter, statement), exporter->out);
    buf_append_string(exporter->out, ";\n\n");
}

static bool
export_insert(struct exporter *exporter, const struct statement *statement)
{
    const struct stream_program *program = find_program(exporter, statement);
    if (program == NULL) {
        return fail(exporter, statement->span, "'headgate export --to aws' prints it for AWS IoT "
                                               "Core",
                    "a rule on topics is not stream SQL");
    }
    if (!check_functions(exporter, statement->span)) {
        return false;
    }
    const struct option_item *on_error = find_option(statement, "on_error");
    if (statement->name.size > 0) {
        buf_printf(exporter->out, "-- rule %.*s\n", BYTES_ARG(statement->name));
    }
    if (on_error != NULL) {
        buf_printf(exporter->out, "-- on_error '%.*s' has no counterpart: Flink ends the job\n",
                   BYTES_ARG(on_error->value));
    }
    bool is_good = true;
    for (size_t i = 0; i < statement->target_count; i++) {
        const struct target *target = &statement->targets[i];
        struct buf name = {0};
        if (!target->topic) {
            buf_append(&name, target->text);
        }
        if (target->topic && !export_topic(exporter, target, program, &name)) {
            is_good = false;
        } else {
            print_insert(exporter, statement, buf_bytes(&name));
        }
        buf_fini(&name);
    }
    return is_good;
}

static bool
export_statement(struct exporter *exporter, const struct statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_CREATE_TABLE:
        return export_table(exporter, statement);
    case STATEMENT_INSERT:
        return export_insert(exporter, statement);
    case STATEMENT_CREATE_VIEW:
    case STATEMENT_SELECT:
        if (!check_functions(exporter, statement->span)) {
            return false;
        }
        copy(exporter, statement->span.start, end_of(exporter, statement), exporter->out);
        buf_append_string(exporter->out, ";\n\n");
        return true;
    case STATEMENT_SET:
        copy(exporter, statement->span.start, end_of(exporter, statement), exporter->out);
        buf_append_string(exporter->out, ";\n\n");
        return true;
    case STATEMENT_CREATE_STREAM:
        return fail(exporter, statement->name_span,
                    "Kinesis Data Analytics for SQL takes such a script as it is",
                    "Flink has no in-application streams");
    case STATEMENT_CREATE_FUNCTION:
        return fail(exporter, statement->name_span, "write it as a function of Flink there",
                    "'%.*s' is a C handler", BYTES_ARG(statement->name));
    }
    never("statement kind");
}

bool
stream_flink_export(struct bytes path, struct bytes text,
                    const struct stream_program *const *programs, size_t program_count,
                    const struct flink_options *options, struct buf *out, struct diag_list *diags)
{
    struct exporter exporter = {.options = options, .programs = programs,
                                .program_count = program_count, .out = out, .diags = diags};
    const struct token_source source = {path, text, true, {0, 0}, NULL};
    if (!parser_init(&exporter.parser, &source, DIALECT_STREAM, &exporter.arena, diags)) {
        exporter.errors++;
    }
    exporter.parser.lone_select = true;
    while (!parser_at_end(&exporter.parser)) {
        const struct statement *statement = parse_statement(&exporter.parser);
        if (statement != NULL) {
            export_statement(&exporter, statement);
        }
    }
    arena_fini(&exporter.arena);
    return exporter.errors == 0;
}
