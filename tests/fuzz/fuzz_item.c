/*
 * Items of the key-value table: a line with the parameters of an action, then the payload. What is
 * accepted is read again from its own text as the same item, and merges with itself.
 */
#include "drivers/table/table_item.h"
#include "fuzz.h"

static void
read_again(const struct table_keys *keys, const struct table_change *change, struct arena *arena)
{
    struct table_change again;
    table_item_read(keys, (struct bytes){0}, json_raw(&change->item, 0), arena, &again);
    check(again.reason.size == 0 && again.kind == TABLE_PUT);
    check(bytes_equal(again.partition, change->partition));
    check(bytes_equal(again.sort, change->sort));
    struct table_change merged = *change;
    table_item_merge(&change->item, &merged, arena);
    if (merged.reason.size == 0) {
        table_item_read(keys, (struct bytes){0}, json_raw(&merged.item, 0), arena, &again);
        check(again.reason.size == 0 && bytes_equal(again.partition, change->partition));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct table_keys tables[] = {
            {.partition = {BYTES("a"), TABLE_KEY_ANY}},
            {.partition = {BYTES("a"), TABLE_KEY_NUMBER}, .sort = {BYTES("b"), TABLE_KEY_ANY}},
    };
    struct bytes text = bytes_of(data, size);
    size_t line = bytes_find(text, '\n');
    struct bytes payload = bytes_slice(text, line + 1, size);
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct table_change change;
        table_item_read(&tables[i], bytes_slice(text, 0, line), payload, &arena, &change);
        if (change.reason.size == 0) {
            read_again(&tables[i], &change, &arena);
        } else {
            check(bytes_is_utf8(change.reason));
        }
        table_item_key(&tables[i], payload, &arena, &change);
    }
    arena_fini(&arena);
    return 0;
}
