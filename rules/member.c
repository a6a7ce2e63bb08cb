/*
 * Which expression of a SELECT gives a member of the row: for export, where AWS asks for the
 * expression and we have the name.
 */
#include "parse.h"
#include "rule.h"

static struct bytes
item_name(const struct select_item *item)
{
    if (item->alias.count > 0) {
        return item->alias.count == 1 ? item->alias.items[0] : BYTES("");
    }
    bool is_path = item->expr->kind == EXPR_NAME || item->expr->kind == EXPR_MEMBER;
    return is_path || item->expr->kind == EXPR_CALL ? item->expr->text : BYTES("");
}

struct bytes
rule_member_expression(struct bytes sql, struct bytes name, struct arena *arena)
{
    struct diag_list diags = {0};
    struct token_source source = {.file = BYTES("query"), .text = sql, .comments = true};
    struct parser parser;
    struct bytes found = BYTES("");
    bool tokens = parser_init(&parser, &source, DIALECT_TOPIC, arena, &diags);
    const struct select *select = tokens ? parse_select(&parser) : NULL;
    for (size_t i = 0; select != NULL && !select->value && i < select->item_count; i++) {
        const struct select_item *item = &select->items[i];
        bool is_all = item->expr->kind == EXPR_STAR && item->alias.count == 0;
        if (is_all && item->expr->item_count == 0 && found.size == 0) {
            found = name;
        } else if (!is_all && bytes_equal(item_name(item), name)) {
            found = bytes_slice(sql, item->expr->span.start, item->expr->span.end);
        }
    }
    diag_list_fini(&diags);
    return arena_copy(arena, found);
}
