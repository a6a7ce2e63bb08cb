/* The JSON reader: any text parses or is refused, and a parsed document reads back the same. */
#include "base/json.h"
#include "fuzz.h"

#include <stdlib.h>

static void
visit(const struct json *json, struct arena *arena, struct buf *out)
{
    for (uint32_t i = 0; i < json->count; i++) {
        const struct json_node *node = &json->nodes[i];
        check(node->next > i && node->next <= json->count && node->start <= node->end);
        int64_t whole;
        if (node->kind == JSON_STRING) {
            struct bytes string = json_string(json, i, arena);
            check(bytes_is_utf8(string));
            buf_clear(out);
            json_write_string(out, string);
            struct json again;
            struct json_error error;
            check(json_parse(&again, buf_bytes(out), 1, arena, &error));
            check(bytes_equal(json_string(&again, 0, arena), string));
        } else if (node->kind == JSON_NUMBER) {
            double value = json_double(json, i);
            if (json_int64(json, i, &whole)) {
                check(value == (double)whole);
            }
        } else if (node->kind == JSON_ARRAY && node->count > 0) {
            check(json_element(json, i, node->count - 1) > i);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct buf out = {0};
    struct json json;
    struct json_error error = {0};
    if (json_parse(&json, bytes_of(data, size), 64, &arena, &error)) {
        visit(&json, &arena, &out);
    } else {
        check(error.message != NULL && error.offset <= size);
    }
    buf_fini(&out);
    arena_fini(&arena);
    return 0;
}
