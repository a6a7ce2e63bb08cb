#include "unit.h"

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/map.h"
#include "base/option.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void
integers_parse_exactly(void **state)
{
    int64_t value = 0;
    assert_true(bytes_to_int64(BYTES("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_true(bytes_to_int64(BYTES("9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    assert_false(bytes_to_int64(BYTES("9223372036854775808"), &value));
    assert_false(bytes_to_int64(BYTES("-9223372036854775809"), &value));
    assert_false(bytes_to_int64(BYTES(""), &value));
    assert_false(bytes_to_int64(BYTES("-"), &value));
    assert_false(bytes_to_int64(BYTES("1 "), &value));
}

static void
integers_print_exactly(void **state)
{
    struct buf out = {0};
    buf_append_int64(&out, INT64_MIN);
    buf_append_char(&out, ' ');
    buf_append_int64(&out, 0);
    assert_string_equal(buf_string(&out), "-9223372036854775808 0");
    buf_fini(&out);
}

static void
a_buffer_in_an_arena_grows_in_place_or_moves(void **state)
{
    struct arena arena = {0};
    struct buf first = {.arena = &arena};
    for (int i = 0; i < 600; i++) {
        buf_append_char(&first, 'a');
    }
    const char *before = first.data;
    assert_int_equal(arena_footprint(&arena), 1024); /* one block: it never moved */
    struct buf second = {.arena = &arena};
    buf_append_string(&second, "second");
    for (int i = 0; i < 100000; i++) {
        buf_append_char(&first, 'b');
    }
    assert_ptr_not_equal(first.data, before);
    assert_bytes(bytes_slice(buf_bytes(&first), 598, 602), "aabb");
    assert_int_equal(first.size, 100600);
    assert_bytes(buf_bytes(&second), "second");
    buf_fini(&first);
    buf_append_string(&first, "again");
    assert_bytes(buf_bytes(&first), "again");
    arena_fini(&arena);
}

static void
base64_goes_there_and_back(void **state)
{
    static const char *const pairs[][2] = {
            {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
            {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "//79"},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        buf_clear(&out);
        base64_encode(&out, bytes_of_string(pairs[i][0]));
        assert_string_equal(buf_string(&out), pairs[i][1]);
        buf_clear(&out);
        assert_true(base64_decode(&out, bytes_of_string(pairs[i][1])));
        assert_string_equal(buf_string(&out), pairs[i][0]);
    }
    buf_clear(&out);
    assert_true(base64_decode(&out, BYTES("Zg")));
    assert_string_equal(buf_string(&out), "f");
    static const char *const bad[] = {"Z", "Z===", "Zg=", "Zg= =", "Zm9v Zm9v", "Zh==", "Zm9-", "=",
                                      "Zg==Zg==", "Zm9v\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (base64_decode(&out, bytes_of_string(bad[i]))) {
            fail_msg("'%s' is decoded", bad[i]);
        }
    }
    assert_string_equal(buf_string(&out), "f");
    buf_fini(&out);
}

static void
utf8_is_judged_as_rfc_3629_says(void **state)
{
    assert_true(bytes_is_utf8(BYTES("plain, gr\xc3\xbc\xc3\x9f" "e, \xf0\x9f\x98\x80")));
    assert_false(bytes_is_utf8(BYTES("\xc0\xaf")));         /* overlong */
    assert_false(bytes_is_utf8(BYTES("\xed\xa0\x80")));     /* surrogate */
    assert_false(bytes_is_utf8(BYTES("\xf4\x90\x80\x80"))); /* above U+10FFFF */
    assert_false(bytes_is_utf8(BYTES("12345678\xff")));
    assert_false(bytes_is_utf8(BYTES("cut \xe2\x82")));
}

static void
splitting_keeps_empty_parts(void **state)
{
    struct bytes rest = BYTES("a//b"), part;
    assert_true(bytes_split(&rest, '/', &part));
    assert_bytes(part, "a");
    assert_true(bytes_split(&rest, '/', &part));
    assert_bytes(part, "");
    assert_true(bytes_split(&rest, '/', &part));
    assert_bytes(part, "b");
    assert_false(bytes_split(&rest, '/', &part));
}

static void
distance_counts_slips(void **state)
{
    assert_int_equal(bytes_distance(BYTES("upper"), BYTES("uper")), 1);
    assert_int_equal(bytes_distance(BYTES("ab"), BYTES("BA")), 1);
    assert_int_equal(bytes_distance(BYTES("data_dir"), BYTES("data_dri")), 1);
    assert_int_equal(bytes_distance(BYTES(""), BYTES("abc")), 3);
}

static void
a_diag_shows_place_caret_and_hint(void **state)
{
    struct bytes text = BYTES("SELECT *\nWHERE uper(x)\r\n");
    struct diag_place place = diag_place_of(BYTES("hot.sql"), text, 15, 4);
    struct diag_list diags = {0};
    diag_at(&diags, DIAG_ERROR, &place, "unknown function '%s'", "uper");
    diag_hint(&diags, "did you mean '%s'?", "upper");
    struct buf out = {0};
    diag_list_print(&diags, &out);
    assert_string_equal(buf_string(&out), "hot.sql:2:7: error: unknown function 'uper'\n"
                                          "  WHERE uper(x)\n"
                                          "        ^~~~\n"
                                          "  hint: did you mean 'upper'?\n");
    buf_fini(&out);
    diag_list_fini(&diags);
}

static void
an_arena_gives_its_memory_back_on_reset(void **state)
{
    struct arena arena = {0};
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 1000; i++) {
            memset(arena_alloc(&arena, 100), 'x', 100);
        }
        arena_reset(&arena);
    }
    assert_true(arena_footprint(&arena) <= 1024 * 1024);
    assert_bytes(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    arena_fini(&arena);
}

static void
an_arena_aligns_what_asks_for_it(void **state)
{
    struct arena arena = {0};
    for (size_t i = 0; i < 200; i++) {
        arena_copy(&arena, BYTES("xy"));
        size_t room = (size_t)(arena.end - arena.next);
        const char *behind = arena.next;
        const char *text = arena_copy(&arena, BYTES("z")).data;
        assert_true(text == behind || room < 2); /* texts lie one behind the other */
        assert_int_equal((uintptr_t)arena_alloc(&arena, i) % _Alignof(max_align_t), 0);
        char *table = arena_alloc_aligned(&arena, 40, 64);
        assert_int_equal((uintptr_t)table % 64, 0);
        memset(table, 'x', 40);
    }
    char *large = arena_alloc_aligned(&arena, 3 * 1024 * 1024, 4096);
    assert_int_equal((uintptr_t)large % 4096, 0);
    memset(large, 'x', 3 * 1024 * 1024);
    arena_fini(&arena);
}

static void
a_map_finds_what_was_put_and_forgets_what_was_removed(void **state)
{
    enum { COUNT = 2000 };
    static char keys[COUNT][8];
    struct map map = {0};
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = (size_t)snprintf(keys[i], sizeof keys[i], "k%zu", i);
        assert_null(map_put(&map, bytes_of(keys[i], size), keys[i]));
    }
    for (size_t i = 0; i < COUNT; i += 2) {
        assert_ptr_equal(map_remove(&map, bytes_of_string(keys[i])), keys[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        void *expected = i % 2 == 0 ? NULL : keys[i];
        assert_ptr_equal(map_find(&map, bytes_of_string(keys[i])), expected);
    }
    size_t cursor = 0, seen = 0;
    struct bytes key;
    void *value;
    while (map_next(&map, &cursor, &key, &value)) {
        seen++;
    }
    assert_int_equal(seen, COUNT / 2);
    assert_int_equal(map.count, COUNT / 2);
    assert_ptr_equal(map_put(&map, BYTES("k1"), "other"), keys[1]);
    map_fini(&map);
    assert_null(map_find(&map, BYTES("k1")));
}

struct sample {
    char *text;
    int64_t wait;
    int64_t size;
    bool on;
    int word;
};

static const struct option sample_options[] = {
        {.name = "text", .type = OPTION_STRING, .offset = offsetof(struct sample, text),
         .doc = "A text.", .required = true},
        {.name = "wait", .type = OPTION_DURATION, .offset = offsetof(struct sample, wait),
         .fallback = "2s", .min = 10, .max = 60000, .doc = "A time."},
        {.name = "size", .type = OPTION_SIZE, .offset = offsetof(struct sample, size),
         .fallback = "16M", .doc = "A size."},
        {.name = "on", .type = OPTION_BOOL, .offset = offsetof(struct sample, on),
         .fallback = "no", .doc = "A switch."},
        {.name = "word", .type = OPTION_CHOICE, .offset = offsetof(struct sample, word),
         .fallback = "two", .choices = "one|two|three", .doc = "A choice."},
};
static const struct option_table sample_table = {sample_options, 5};

static void
set_fails(struct sample *sample, const char *name, const char *value, const char *message,
          const char *hint)
{
    struct diag_list diags = {0};
    assert_false(option_set(&sample_table, sample, bytes_of_string(name), bytes_of_string(value),
                            NULL, &diags));
    assert_bytes(diags.items[0].message, message);
    assert_bytes(diags.items[0].hint, hint);
    diag_list_fini(&diags);
}

static void
options_are_read_and_refused_with_reasons(void **state)
{
    struct sample sample;
    struct diag_list diags = {0};
    option_defaults(&sample_table, &sample);
    assert_true(sample.wait == 2000 && sample.size == 16 << 20 && !sample.on && sample.word == 1);
    assert_false(option_check_required(&sample_table, &sample, &(struct diag_place){0}, &diags));
    assert_true(option_set(&sample_table, &sample, BYTES("wait"), BYTES("500ms"), NULL, &diags));
    assert_true(sample.wait == 500);
    set_fails(&sample, "wiat", "1", "unknown option 'wiat'", "did you mean 'wait'?");
    set_fails(&sample, "wait", "2h", "option 'wait' is '2h', expected 10ms to 1m", "");
    set_fails(&sample, "wait", "soon",
              "option 'wait' is 'soon', expected a duration such as 500ms, 2s, 5m, 1h or 7d", "");
    set_fails(&sample, "word", "four", "option 'word' is 'four', expected one of one|two|three",
              "");
    set_fails(&sample, "on", "maybe", "option 'on' is 'maybe', expected one of true|false", "");
    option_fini(&sample_table, &sample);
    diag_list_fini(&diags);
}

static void
a_file_is_replaced_whole(void **state)
{
    char dir[] = "/tmp/headgate-unit-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct buf path = {0}, content = {0};
    buf_printf(&path, "%s/deep/er", dir);
    assert_int_equal(os_make_dirs(&os_posix, buf_string(&path), 0700), 0);
    buf_append_string(&path, "/file");
    assert_int_equal(os_replace_file(&os_posix, buf_string(&path), BYTES("one"), 0600), 0);
    assert_int_equal(os_replace_file(&os_posix, buf_string(&path), BYTES("two!"), 0600), 0);
    assert_int_equal(os_read_file(&os_posix, buf_string(&path), 100, &content), 0);
    assert_string_equal(buf_string(&content), "two!");
    assert_int_equal(os_read_file(&os_posix, buf_string(&path), 3, &content), -EFBIG);
    assert_int_equal(os_posix.unlink(&os_posix, buf_string(&path)), 0);
    buf_clear(&path);
    buf_printf(&path, "%s/deep/er", dir);
    rmdir(buf_string(&path));
    buf_clear(&path);
    buf_printf(&path, "%s/deep", dir);
    rmdir(buf_string(&path));
    assert_int_equal(rmdir(dir), 0);
    buf_fini(&path);
    buf_fini(&content);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(integers_parse_exactly),
            cmocka_unit_test(integers_print_exactly),
            cmocka_unit_test(a_buffer_in_an_arena_grows_in_place_or_moves),
            cmocka_unit_test(base64_goes_there_and_back),
            cmocka_unit_test(utf8_is_judged_as_rfc_3629_says),
            cmocka_unit_test(splitting_keeps_empty_parts),
            cmocka_unit_test(distance_counts_slips),
            cmocka_unit_test(a_diag_shows_place_caret_and_hint),
            cmocka_unit_test(an_arena_gives_its_memory_back_on_reset),
            cmocka_unit_test(an_arena_aligns_what_asks_for_it),
            cmocka_unit_test(a_map_finds_what_was_put_and_forgets_what_was_removed),
            cmocka_unit_test(options_are_read_and_refused_with_reasons),
            cmocka_unit_test(a_file_is_replaced_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
