/*
 * Date patterns: the first line is a pattern, the rest is a text, and as a number the time to write.
 * Both functions take both; and a time that was read, once written, is read again as the same.
 */
#include "base/check.h"
#include "base/json.h"
#include "base/zone.h"
#include "fuzz.h"
#include "rules/rule.h"

static const char sql_text[] =
        "SELECT time_to_epoch(t, p) AS read, parse_time(p, t) AS utc,"
        "  parse_time(p, t, 'Etc/X') AS there,"
        "  time_to_epoch(parse_time('y-MM-dd HH:mm:ss.SSS', time_to_epoch(t, p)),"
        "    'u-MM-dd HH:mm:ss.SSS') AS again FROM '#'";

/* Some names are zones. */
static const struct zone *
find_zone(void *context, struct bytes name)
{
    return bytes_starts_with(name, BYTES("E")) ? zone_of_offset(20712, context) : NULL;
}

static void
assert_read_again(struct bytes row, struct arena *arena)
{
    struct json json;
    struct json_error error;
    check(json_parse(&json, row, JSON_DEPTH_MAX_DEFAULT, arena, &error));
    uint32_t read = json_member(&json, 0, BYTES("read"));
    uint32_t again = json_member(&json, 0, BYTES("again"));
    check((read == 0) == (again == 0));
    check(read == 0 || bytes_equal(json_raw(&json, read), json_raw(&json, again)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size);
    if (!bytes_is_utf8(input)) {
        return 0;
    }
    struct arena arena = {0};
    struct buf payload = {.arena = &arena};
    size_t line = bytes_find(input, '\n');
    buf_append_string(&payload, "{\"p\":");
    json_write_string(&payload, bytes_slice(input, 0, line));
    buf_append_string(&payload, ",\"t\":");
    json_write_string(&payload, bytes_slice(input, line + 1, size));
    buf_append_char(&payload, '}');
    struct rule_sql sql = {
            .path = BYTES("fuzz"), .name = BYTES("fuzz"), .sql = bytes_of_string(sql_text)};
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    check(rule_sql_parse(&file, &sql, &diags));
    struct rule_host host = {.zone = find_zone, .context = &arena};
    struct rule_message message = {
            .arena = &arena, .topic = BYTES("t"), .payload = buf_bytes(&payload), .host = &host};
    struct rule_row row;
    check(rule_run(file->rules[0], &message, &row) == RULE_MATCHED);
    assert_read_again(row.payload, &arena);
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    return 0;
}
