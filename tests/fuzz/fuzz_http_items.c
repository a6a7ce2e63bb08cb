/*
 * The body of an answer 207: a byte with the count of records, the body. What is read has that count,
 * and each record its status.
 */
#include "drivers/http_items.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct arena arena = {0};
    const struct http_item *items = NULL;
    struct bytes reason = {0};
    if (http_items_read(bytes_of(data + 1, size - 1), data[0], &arena, &items, &reason)) {
        for (size_t i = 0; i < data[0]; i++) {
            check(items[i].status >= 100 && items[i].status <= 599);
            check(bytes_is_utf8(items[i].message));
        }
    } else {
        check(reason.size > 0);
    }
    arena_fini(&arena);
    return 0;
}
