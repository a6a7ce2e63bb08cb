/* Reference tables from CSV files: cutting, types, keys, and a file that changes. */
#define _GNU_SOURCE
#include "unit.h"

#include "drivers/csv/csv_file.h"
#include "drivers/csv/csv_record.h"

#include "base/option.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct declared_column columns[] = {
        {{"id", 2}, COLUMN_VARCHAR}, {{"floor", 5}, COLUMN_BIGINT},
        {{"limit", 5}, COLUMN_DOUBLE}, {{"on", 2}, COLUMN_BOOLEAN},
        {{"since", 5}, COLUMN_TIMESTAMP},
};
static const struct driver_declaration declaration = {.columns = columns, .column_count = 5};
static const struct driver_declaration two = {.columns = columns, .column_count = 2};

/* ---- cutting ---- */

/* "cell|cell;cell|cell;", with '!' behind a cell in quotes. */
static void
cuts_to(const char *text, const char *expected)
{
    struct arena arena = {0};
    struct buf seen = {0};
    struct csv_reader reader = csv_reader(bytes_of_string(text), ',');
    const struct csv_cell *cells;
    size_t count;
    while (csv_next(&reader, &arena, &cells, &count)) {
        for (size_t i = 0; i < count; i++) {
            buf_append(&seen, cells[i].text);
            buf_append_string(&seen, cells[i].is_quoted ? "!" : "");
            buf_append_char(&seen, i + 1 < count ? '|' : ';');
        }
    }
    if (reader.problem != NULL) {
        buf_printf(&seen, "%zu:%zu %s", reader.line, reader.column, reader.problem);
    }
    assert_string_equal(buf_string(&seen), expected);
    buf_fini(&seen);
    arena_fini(&arena);
}

static void
records_are_cut_by_the_rfc_and_what_spreadsheets_make_of_it(void **state)
{
    cuts_to("", "");
    cuts_to("\xef\xbb\xbf", "");
    cuts_to("a,b\nc,d\n", "a|b;c|d;");
    cuts_to("a,b\r\nc,d", "a|b;c|d;");
    cuts_to("\xef\xbb\xbf" "a,b\r\n\r\n\nc,d\n\n", "a|b;c|d;");
    cuts_to("a,\n,b\n,\n", "a|;|b;|;");
    cuts_to("\"a\",\"b,c\"\n\"d\ne\",\"f\"\"g\"\n", "a!|b,c!;d\ne!|f\"g!;");
    cuts_to("\"\",x\n", "!|x;");
    cuts_to("a\rb,c\n", "a\rb|c;");
    cuts_to("a b, c \n", "a b| c ;");
    cuts_to("a,\"b", "1:3 the quote that begins here is never closed");
    cuts_to("a\n\"b\"c,d",
            "a;2:4 text behind a closing quote; a quote inside of a cell is doubled: \"\"");
}

/* ---- rows ---- */

static struct csv_file *
must_read(const char *text, const struct driver_declaration *of)
{
    const struct csv_format format = {',', BYTES("x.csv")};
    struct diag_list diags = {0};
    struct csv_file *file;
    if (!csv_file_read(&file, bytes_of_string(text), &format, of, &diags)) {
        fail_msg("%.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
    return file;
}

static void
fails_with(const char *text, const char *expected)
{
    const struct csv_format format = {',', BYTES("x.csv")};
    struct diag_list diags = {0};
    struct csv_file *file;
    assert_false(csv_file_read(&file, bytes_of_string(text), &format, &declaration, &diags));
    assert_string_equal(diags.items[0].message.data, expected);
    diag_list_fini(&diags);
}

static void
finds(struct csv_file *file, const char *key, const char *expected)
{
    struct diag_list diags = {0};
    struct bytes row;
    assert_true(csv_file_find(file, bytes_of_string(key), &row, &diags));
    if (!bytes_equal_string(row, expected)) {
        fail_msg("%s finds '%.*s'", key, BYTES_ARG(row));
    }
    diag_list_fini(&diags);
}

static void
is_no_key(struct csv_file *file, const char *key)
{
    struct diag_list diags = {0};
    struct bytes row;
    assert_false(csv_file_find(file, bytes_of_string(key), &row, &diags));
    assert_int_equal(diags.items[0].class, DIAG_INVALID);
    diag_list_fini(&diags);
}

static void
a_header_gives_the_columns_in_any_order(void **state)
{
    struct csv_file *file = must_read("Floor,extra,ID\n3,x,s1\n4,y,s2\n", &two);
    assert_int_equal(csv_file_rows(file), 2);
    finds(file, "{\"id\":\"s2\"}", "{\"id\":\"s2\",\"floor\":4}");
    finds(file, "{\"floor\":3}", "{\"id\":\"s1\",\"floor\":3}");
    csv_file_free(file);
    file = must_read("s1,3\nid,4\n", &two); /* no header: not all names */
    assert_int_equal(csv_file_rows(file), 2);
    finds(file, "{\"id\":\"id\"}", "{\"id\":\"id\",\"floor\":4}");
    csv_file_free(file);
    file = must_read("", &two);
    finds(file, "{\"id\":\"s1\"}", "");
    csv_file_free(file);
}

static void
cells_have_the_types_of_their_columns(void **state)
{
    struct csv_file *file = must_read("a,-7,1.50,TRUE,2026-03-01T12:00:00Z\n"
                                      "\"\",,,,\n\"q\"\"\n\",1,1e3,false,2026-03-01 13:00\n",
                                      &declaration);
    finds(file, "{\"id\":\"a\"}",
          "{\"id\":\"a\",\"floor\":-7,\"limit\":1.5,\"on\":true,"
          "\"since\":\"2026-03-01 12:00:00.000000000\"}");
    finds(file, "{\"id\":\"\"}",
          "{\"id\":\"\",\"floor\":null,\"limit\":null,\"on\":null,\"since\":null}");
    finds(file, "{\"id\":\"q\\\"\\n\",\"on\":false}",
          "{\"id\":\"q\\\"\\n\",\"floor\":1,\"limit\":1000,\"on\":false,"
          "\"since\":\"2026-03-01 13:00:00.000000000\"}");
    finds(file, "{\"since\":\"2026-03-01T13:00:00+00:00\",\"floor\":1}",
          "{\"id\":\"q\\\"\\n\",\"floor\":1,\"limit\":1000,\"on\":false,"
          "\"since\":\"2026-03-01 13:00:00.000000000\"}");
    const struct cell *cells = csv_file_cells(file, 0);
    assert_true(cells[1].integer == -7 && cells[2].real == 1.5 && cells[3].integer == 1);
    assert_true(cells[4].integer == INT64_C(1772366400) * 1000000000);
    assert_true(csv_file_cells(file, 1)[1].is_null && !csv_file_cells(file, 1)[0].is_null);
    csv_file_free(file);
}

static void
of_rows_with_one_key_the_first_counts(void **state)
{
    struct csv_file *file = must_read("a,1\na,2\nb,1\n", &two);
    finds(file, "{\"id\":\"a\"}", "{\"id\":\"a\",\"floor\":1}");
    finds(file, "{\"floor\":1,\"id\":\"b\"}", "{\"id\":\"b\",\"floor\":1}");
    finds(file, "{\"id\":\"c\"}", "");
    is_no_key(file, "{}");
    is_no_key(file, "[]");
    is_no_key(file, "{\"id\":\"a\",\"x\":1}");
    is_no_key(file, "{\"floor\":\"two\"}");
    csv_file_free(file);
}

static void
what_is_wrong_is_told_with_its_place(void **state)
{
    fails_with("a,1,2,true,2026-01-01\nb,x,2,true,2026-01-01\n",
               "x.csv:2:3: 'x' is not a whole number, as column 'floor' wants");
    fails_with("a,1,two,true,2026-01-01\n", "x.csv:1:5: 'two' is not a number, as column 'limit' "
                                            "wants");
    fails_with("a,1,2,yes,2026-01-01\n",
               "x.csv:1:7: 'yes' is not true or false, as column 'on' wants");
    fails_with("a,1,2,true,1.3.2026\n", "x.csv:1:12: '1.3.2026' is not a time like 2026-03-01 "
                                        "12:00:00, as column 'since' wants");
    fails_with("\"\xff\",1,2,true,2026-01-01\n",
               "x.csv:1:1: '\xff' is not UTF-8 text, as column 'id' wants");
    fails_with("a,1\n", "x.csv:1:1: 2 cells, there should be 5");
    fails_with("a,1,2,true,\"x\n", "x.csv:1:12: the quote that begins here is never closed");
}

/* ---- the driver ---- */

struct desk {
    char path[64];
    void *options;
    struct driver_env env;
    void *instance;
};

static void
write_file(const struct desk *desk, const char *text)
{
    assert_int_equal(os_replace_file(&os_posix, desk->path, bytes_of_string(text), 0600), 0);
}

static bool
open_desk(struct desk *desk, const char *option, const char *value, struct diag_list *diags)
{
    const struct driver *driver = driver_find(BYTES("filesystem"));
    desk->env = (struct driver_env){.os = &os_posix, .name = "sensors"};
    desk->options = calloc(1, driver->options_size);
    option_defaults(&driver->options, desk->options);
    assert_true(option_set(&driver->options, desk->options, BYTES("path"),
                           bytes_of_string(desk->path), NULL, diags));
    if (option != NULL) {
        assert_true(option_set(&driver->options, desk->options, bytes_of_string(option),
                               bytes_of_string(value), NULL, diags));
    }
    return driver->open(&desk->instance, &desk->env, desk->options, &two, diags);
}

static void
close_desk(struct desk *desk, bool was_open)
{
    const struct driver *driver = driver_find(BYTES("filesystem"));
    if (was_open) {
        driver->close(desk->instance);
    }
    option_fini(&driver->options, desk->options);
    free(desk->options);
}

static int
set_up(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    snprintf(desk->path, sizeof desk->path, "/tmp/headgate-csv-XXXXXX");
    int fd = mkstemp(desk->path);
    close(fd);
    *state = desk;
    return fd < 0;
}

static int
tear_down(void **state)
{
    struct desk *desk = *state;
    unlink(desk->path);
    free(desk);
    return 0;
}

static void
look_up(struct desk *desk, const char *key, struct buf *out)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct bytes item;
    assert_true(driver_find(BYTES("filesystem"))
                        ->lookup(desk->instance, bytes_of_string(key), &arena, &item, &diags));
    buf_clear(out);
    buf_append(out, item);
    arena_fini(&arena);
    diag_list_fini(&diags);
}

static struct health
health_of(struct desk *desk)
{
    struct health health;
    driver_find(BYTES("filesystem"))->health(desk->instance, &health);
    return health;
}

/* Polls for up to ten seconds: the file is looked at once a second. */
static void
wait_for(struct desk *desk, const char *sentence)
{
    for (int i = 0; i < 1000 && strstr(health_of(desk).sentence, sentence) == NULL; i++) {
        usleep(10000);
    }
    assert_non_null(strstr(health_of(desk).sentence, sentence));
}

static void
a_file_that_changes_is_read_again(void **state)
{
    struct desk *desk = *state;
    struct diag_list diags = {0};
    struct buf item = {0};
    write_file(desk, "id,floor\ns1,1\n");
    assert_true(open_desk(desk, NULL, NULL, &diags));
    look_up(desk, "{\"id\":\"s1\"}", &item);
    assert_string_equal(buf_string(&item), "{\"id\":\"s1\",\"floor\":1}");
    write_file(desk, "id,floor\ns1,2\ns2,x\n");
    wait_for(desk, ":3:4: 'x' is not a whole number, as column 'floor' wants; 1 rows of before");
    assert_int_equal(health_of(desk).state, HEALTH_FAILED);
    look_up(desk, "{\"id\":\"s1\"}", &item);
    assert_string_equal(buf_string(&item), "{\"id\":\"s1\",\"floor\":1}");
    write_file(desk, "id,floor\ns1,2\ns2,3\n");
    wait_for(desk, "2 rows");
    assert_int_equal(health_of(desk).state, HEALTH_OK);
    look_up(desk, "{\"id\":\"s2\"}", &item);
    assert_string_equal(buf_string(&item), "{\"id\":\"s2\",\"floor\":3}");
    unlink(desk->path); /* being replaced, perhaps */
    look_up(desk, "{\"id\":\"s2\"}", &item);
    assert_true(item.size > 0);
    buf_fini(&item);
    diag_list_fini(&diags);
    close_desk(desk, true);
}

static void
cannot_open(struct desk *desk, const char *option, const char *value, enum diag_class class,
            const char *expected)
{
    struct diag_list diags = {0};
    assert_false(open_desk(desk, option, value, &diags));
    assert_int_equal(diags.items[0].class, class);
    assert_non_null(strstr(diags.items[0].message.data, expected));
    close_desk(desk, false);
    diag_list_fini(&diags);
}

static void
what_cannot_be_opened_is_told_and_tried_again_when_it_may_pass(void **state)
{
    struct desk *desk = *state;
    write_file(desk, "id,floor\ns1,one\n");
    cannot_open(desk, NULL, NULL, DIAG_IO, ":2:4: 'one' is not a whole number");
    cannot_open(desk, "max", "8", DIAG_IO, "is larger than 8 bytes");
    cannot_open(desk, "csv.field-delimiter", ",,", DIAG_INVALID, "is not one character");
    cannot_open(desk, "path", "sensors.csv", DIAG_INVALID, "does not begin with '/'");
    unlink(desk->path);
    cannot_open(desk, NULL, NULL, DIAG_IO, "cannot read");
}

static void
tabs_and_urls_are_taken(void **state)
{
    struct desk *desk = *state;
    struct diag_list diags = {0};
    struct buf url = {0}, item = {0};
    buf_printf(&url, "file://%s", desk->path);
    write_file(desk, "s,1\t5\n");
    char *path = strdup(desk->path);
    snprintf(desk->path, sizeof desk->path, "%s", buf_string(&url));
    assert_true(open_desk(desk, "csv.field-delimiter", "\\t", &diags));
    snprintf(desk->path, sizeof desk->path, "%s", path);
    free(path);
    look_up(desk, "{\"id\":\"s,1\"}", &item);
    assert_string_equal(buf_string(&item), "{\"id\":\"s,1\",\"floor\":5}");
    buf_fini(&item);
    buf_fini(&url);
    diag_list_fini(&diags);
    close_desk(desk, true);
}

int
main(void)
{
#define WITH_DESK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(records_are_cut_by_the_rfc_and_what_spreadsheets_make_of_it),
            cmocka_unit_test(a_header_gives_the_columns_in_any_order),
            cmocka_unit_test(cells_have_the_types_of_their_columns),
            cmocka_unit_test(of_rows_with_one_key_the_first_counts),
            cmocka_unit_test(what_is_wrong_is_told_with_its_place),
            WITH_DESK(a_file_that_changes_is_read_again),
            WITH_DESK(what_cannot_be_opened_is_told_and_tried_again_when_it_may_pass),
            WITH_DESK(tabs_and_urls_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
