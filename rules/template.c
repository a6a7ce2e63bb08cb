/*
 * Templates: 'alerts/${topic(2)}'. What stands between '${' and its '}' is an expression of the
 * rule language; braces and quotes inside of its string literals do not end it.
 */
#include "compile.h"

#include "fields.h"

/* The offset of the '}' that ends the expression at `at`, or the size. */
static size_t
find_end(struct bytes text, size_t at)
{
    int depth = 0;
    for (; at < text.size; at++) {
        char c = text.data[at];
        if (c == '\'' || c == '"') {
            at += 1 + bytes_find(bytes_slice(text, at + 1, text.size), c);
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && depth-- == 0) {
            return at;
        }
    }
    return text.size;
}

/* Where the next '${' starts, or the size. */
static size_t
find_start(struct bytes text, size_t at)
{
    while (at < text.size) {
        at += bytes_find(bytes_slice(text, at, text.size), '$');
        if (at + 1 < text.size && text.data[at + 1] == '{') {
            return at;
        }
        at++;
    }
    return text.size;
}

/* The expression in source.range; the source may be the file or the template's own text. */
static const struct node *
compile_part(struct compiler *compiler, const struct token_source *source)
{
    struct parser parser;
    if (!parser_init(&parser, source, DIALECT_TOPIC, compiler->scratch, compiler->diags)) {
        return NULL;
    }
    parser.lines = compiler->lines;
    parser.nesting = 1; /* an expression, not a query of its own */
    const struct expr *expr = parse_expr(&parser);
    if (expr == NULL || !parser_expect(&parser, TOKEN_END, "an operator or '}'")) {
        return NULL;
    }
    if (compiler->fields != NULL) {
        fields_note(compiler->fields, expr, RULE_FIELD_TARGET, NULL);
    }
    return compile_expr(compiler, expr);
}

static bool
add_part(struct compiler *compiler, struct template_part *parts, uint32_t *count,
         struct bytes text, const struct node *node, struct span span)
{
    if (*count == TEMPLATE_PARTS_MAX) {
        compiler_report(compiler, DIAG_ERROR, span, "a template has at most %d parts",
                        TEMPLATE_PARTS_MAX);
        return false;
    }
    parts[(*count)++] = (struct template_part){text, node};
    return true;
}

/* `source` holds the template at `offset`. */
static bool
compile_parts(struct template *out, struct compiler *compiler, const struct token_source *source,
              size_t offset, struct bytes text, struct span span)
{
    struct template_part parts[TEMPLATE_PARTS_MAX];
    uint32_t count = 0;
    for (size_t at = 0; at < text.size;) {
        size_t start = find_start(text, at);
        if (start > at && !add_part(compiler, parts, &count, bytes_slice(text, at, start), NULL,
                                    span)) {
            return false;
        }
        at = start;
        if (start == text.size) {
            break;
        }
        size_t end = find_end(text, start + 2);
        if (end == text.size) {
            compiler_report(compiler, DIAG_ERROR, span, "a '${' has no '}'");
            return false;
        }
        struct token_source part = *source;
        part.range = (struct span){(uint32_t)(offset + start + 2), (uint32_t)(offset + end)};
        const struct node *node = compile_part(compiler, &part);
        if (node == NULL || !add_part(compiler, parts, &count, BYTES(""), node, span)) {
            return false;
        }
        at = end + 1;
    }
    *out = pool_template(&compiler->pool, &(struct template){parts, count});
    return true;
}

/*
 * A template with doubled quotes is not in the file as it is read: its errors are collected and
 * told at the place of the whole template.
 */
static bool
compile_apart(struct template *out, struct compiler *compiler, struct bytes text,
              struct span span)
{
    struct diag_list diags = {0};
    struct compiler apart = *compiler; /* its pool is handed back below */
    apart.diags = &diags;
    apart.diags_before = 0;
    apart.errors_before = 0;
    apart.lines = line_index_of(compiler->lines.file, text, compiler->scratch);
    struct token_source source = {
            .file = compiler->lines.file, .text = text, .comments = compiler->comments};
    bool ok = compile_parts(out, &apart, &source, 0, text, (struct span){0, 0});
    compiler->pool = apart.pool;
    compiler->uses = apart.uses;
    for (size_t i = 0; i < diags.count; i++) {
        compiler_report(compiler, diags.items[i].level, span, "in the template: %.*s",
                        BYTES_ARG(diags.items[i].message));
        if (diags.items[i].hint.size > 0) {
            compiler_hint(compiler, "%.*s", BYTES_ARG(diags.items[i].hint));
        }
    }
    diag_list_fini(&diags);
    return ok;
}

bool
template_compile(struct template *out, struct compiler *compiler, struct bytes text,
                 struct span span)
{
    struct bytes whole = compiler->lines.text;
    bool inside = text.data >= whole.data && text.data + text.size <= whole.data + whole.size;
    if (!inside) {
        return compile_apart(out, compiler, arena_copy(compiler->scratch, text), span);
    }
    struct token_source source = {.file = compiler->lines.file,
                                  .text = whole,
                                  .comments = compiler->comments,
                                  .origin = compiler->lines.origin};
    return compile_parts(out, compiler, &source, (size_t)(text.data - whole.data), text, span);
}

struct bytes
template_run(const struct template *template, struct run *run)
{
    if (template->part_count == 1 && template->parts[0].node == NULL) {
        return template->parts[0].text;
    }
    struct buf text = {.arena = run->arena};
    for (uint32_t i = 0; i < template->part_count; i++) {
        const struct template_part *part = &template->parts[i];
        struct value value;
        struct bytes piece = part->text;
        if (part->node != NULL) {
            node_eval(part->node, run, &value);
            if (!value_to_string(&value, &piece, run->arena)) {
                continue;
            }
        }
        buf_append(&text, piece);
    }
    return buf_bytes(&text);
}
