/*
 * What a program's state means, as a number: whether it can go on under an edited text.
 *
 * Of each SELECT counts what decides which rows are kept and how they are put together: where they
 * come from, WHERE, GROUP BY and its window, the aggregates, OVER, patterns, joins. Of an inner one
 * count its items too, for the outer one works on them. What is made of all that in the outermost
 * items, how columns are called and where rows go does not.
 *
 * Words count, not blanks, comments and the case of keywords. Two texts that mean the same in other
 * words are taken for different: then windows begin anew, which the log says.
 */
#include "plan.h"

static void
mean_byte(struct planner *planner, unsigned char byte)
{
    planner->meaning = (planner->meaning ^ byte) * UINT64_C(1099511628211);
}

static void
mean_text(struct planner *planner, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        mean_byte(planner, (unsigned char)text.data[i]);
    }
    mean_byte(planner, 0);
}

static void
mean_number(struct planner *planner, uint32_t number)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        mean_byte(planner, (unsigned char)(number >> shift));
    }
}

static void
mean_word(struct planner *planner, const char *word)
{
    mean_text(planner, bytes_of_string(word));
}

/* The words of a part of the text. */
static void
mean_span(struct planner *planner, struct span span)
{
    struct token_list tokens;
    struct diag_list diags = {0};
    const struct token_source source = {
            .text = planner->compiler.lines.text, .comments = true, .range = span};
    bool is_read = token_list_read(&tokens, &source, planner->scratch, &diags);
    for (size_t i = 0; is_read && i < tokens.count; i++) {
        const struct token *token = &tokens.items[i];
        mean_byte(planner, token->kind);
        if (token->keyword != KEYWORD_NONE) {
            mean_word(planner, keyword_name((enum keyword)token->keyword));
        } else {
            mean_text(planner, token_text(token, source.text, planner->scratch));
        }
    }
    diag_list_fini(&diags);
}

static void
mean_expr(struct planner *planner, const char *word, const struct expr *expr)
{
    if (expr != NULL) {
        mean_word(planner, word);
        mean_span(planner, expr->span);
    }
}

static void
mean_exprs(struct planner *planner, const char *word, struct expr *const *exprs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mean_expr(planner, word, exprs[i]);
    }
}

static void
mean_window(struct planner *planner, const struct window_call *window)
{
    mean_text(planner, window->name);
    mean_text(planner, window->column);
    mean_exprs(planner, "by", window->partition_by, window->partition_count);
    for (size_t i = 0; i < window->arg_count; i++) {
        mean_text(planner, window->arg_names[i]);
        mean_expr(planner, "arg", window->args[i]);
    }
}

static void
mean_items(struct planner *planner, const struct match_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mean_text(planner, items[i].name);
        mean_expr(planner, "is", items[i].expr);
    }
}

static void
mean_match(struct planner *planner, const struct match *match)
{
    mean_exprs(planner, "by", match->partition_by, match->partition_count);
    for (size_t i = 0; i < match->order_count; i++) {
        mean_expr(planner, "order", match->order_by[i].expr);
    }
    for (size_t i = 0; i < match->measure_count; i++) {
        mean_expr(planner, "measure", match->measures[i].expr);
    }
    mean_byte(planner, (unsigned char)match->skip);
    mean_text(planner, match->skip_variable);
    for (size_t i = 0; i < match->pattern_count; i++) {
        const struct pattern_item *item = &match->pattern[i];
        mean_text(planner, item->variable);
        mean_number(planner, item->least);
        mean_number(planner, item->most);
        mean_byte(planner, item->reluctant);
    }
    mean_expr(planner, "within", match->within);
    mean_items(planner, match->defines, match->define_count);
}

static void
mean_source(struct planner *planner, const struct source *source)
{
    mean_byte(planner, (unsigned char)source->kind);
    for (size_t i = 0; i < source->name.count; i++) {
        mean_text(planner, source->name.items[i]);
    }
    mean_text(planner, source->alias);
    mean_expr(planner, "as of", source->system_time);
    if (source->window != NULL) {
        mean_window(planner, source->window);
        mean_source(planner, source->window->table);
    }
    if (source->match != NULL) {
        mean_match(planner, source->match);
    }
    for (size_t i = 0; i < source->join_count; i++) {
        const struct join *join = &source->joins[i];
        mean_byte(planner, (unsigned char)join->kind);
        mean_source(planner, join->right);
        mean_expr(planner, "on", join->on);
    }
}

/* Aggregates, and calls with OVER. */
static bool
mean_call(void *context, const struct expr *expr)
{
    bool is_kept = expr->kind == EXPR_CALL &&
                   (expr->over != NULL || stream_is_aggregate(expr->text));
    if (is_kept) {
        mean_expr(context, "call", expr);
    }
    if (is_kept && expr->over != NULL) {
        mean_span(context, expr->over->span);
    }
    if (is_kept) {
        mean_expr(context, "filter", expr->filter);
    }
    return true;
}

void
plan_mean_query(struct planner *planner, const struct select *select)
{
    bool is_inner = planner->nesting > 0;
    mean_word(planner, "select");
    mean_source(planner, select->from);
    mean_expr(planner, "where", select->where);
    mean_exprs(planner, "group", select->group_by, select->group_by_count);
    if (select->stagger != NULL) {
        mean_word(planner, "stagger");
        mean_span(planner, select->stagger->span);
    }
    for (size_t i = 0; i < select->named_over_count; i++) {
        mean_text(planner, select->named_overs[i].name);
        mean_span(planner, select->named_overs[i].over.span);
    }
    for (size_t i = 0; i < select->item_count; i++) {
        if (is_inner) {
            mean_expr(planner, "item", select->items[i].expr);
        } else {
            expr_walk(select->items[i].expr, mean_call, planner);
        }
    }
    expr_walk(select->having, mean_call, planner);
    if (is_inner) {
        mean_expr(planner, "having", select->having);
    }
}

/* Where messages come from, and what makes a row and its time of them. */
void
plan_mean_table(struct planner *planner, const struct statement *table)
{
    static const char *const options[] = {
            "connector", "topic", "stream", "json.timestamp-format.standard",
            "gateway.watermark-scope",
    };
    mean_text(planner, table->name);
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        mean_text(planner, column->name);
        mean_text(planner, column->type);
        mean_text(planner, column->metadata ? column->metadata_key : BYTES(""));
        mean_expr(planner, "is", column->computed);
    }
    if (table->watermark != NULL) {
        mean_text(planner, table->watermark->column);
        mean_expr(planner, "watermark", table->watermark->expr);
    }
    for (size_t i = 0; i < table->options.count; i++) {
        const struct option_item *item = &table->options.items[i];
        for (size_t n = 0; n < sizeof options / sizeof *options; n++) {
            if (bytes_equal_string(item->name, options[n])) {
                mean_text(planner, item->value);
            }
        }
    }
    for (size_t i = 0; i < table->partition_count; i++) {
        mean_text(planner, table->partition_by[i]);
    }
}

/* How the kept state is laid out: the kinds of operators that have one, and their columns. */
void
plan_mean_layout(struct planner *planner)
{
    for (size_t i = 0; i < planner->op_count; i++) {
        const struct stream_op_plan *op = planner->ops[i];
        if (op->class->save == NULL) {
            continue;
        }
        mean_word(planner, op->class->name);
        for (size_t c = 0; c < op->schema.count; c++) {
            mean_byte(planner, (unsigned char)op->schema.columns[c].type.kind);
            mean_byte(planner, (unsigned char)op->schema.columns[c].type.width);
        }
    }
}
