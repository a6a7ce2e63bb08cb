/*
 * The catalogue of drivers, and its copy in drivers/README.md. The copy is made by
 *
 *   build/tests/unit/test_catalogue --write drivers/README.md
 */
#define _GNU_SOURCE
#include "unit.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/os.h"
#include "driver.h"

#include <stdio.h>

static const char begin_mark[] = "<!-- catalogue: made by test_catalogue --write -->\n";
static const char end_mark[] = "<!-- end of catalogue -->\n";

static void
print_catalogue(struct buf *out)
{
    for (const struct driver *const *row = driver_catalogue; *row != NULL; row++) {
        const struct driver *driver = *row;
        buf_printf(out, "\n### %s\n%s%s.\n", driver->name, driver->summary,
                   driver->can_scan ? "; its rows can be queried" : "");
        buf_append_string(out, "\n```text\n");
        if (driver->options.count == 0) {
            buf_append_string(out, "  no options\n");
        }
        option_table_help(&driver->options, out);
        buf_append_string(out, "```\n");
    }
    buf_append_char(out, '\n');
}

/* The document's text before and behind the catalogue, and the catalogue. */
struct document {
    struct buf text;
    struct bytes before, catalogue, behind;
};

static bool
document_read(struct document *document, const char *path)
{
    *document = (struct document){0};
    if (os_read_file(&os_posix, path, 1 << 20, &document->text) < 0) {
        return false;
    }
    const char *text = buf_string(&document->text);
    const char *begin = strstr(text, begin_mark);
    const char *end = begin == NULL ? NULL : strstr(begin, end_mark);
    if (end == NULL) {
        return false;
    }
    size_t start = (size_t)(begin - text) + strlen(begin_mark);
    size_t stop = (size_t)(end - text);
    struct bytes whole = buf_bytes(&document->text);
    document->before = bytes_slice(whole, 0, start);
    document->catalogue = bytes_slice(whole, start, stop);
    document->behind = bytes_slice(whole, stop, whole.size);
    return true;
}

static int
write_readme(const char *path)
{
    struct document document;
    struct buf out = {0};
    bool good = document_read(&document, path);
    if (good) {
        buf_append(&out, document.before);
        print_catalogue(&out);
        buf_append(&out, document.behind);
        good = os_replace_file(&os_posix, path, buf_bytes(&out), 0644) == 0;
    }
    fprintf(stderr, "%s: %s\n", path, good ? "written" : "cannot be read, marked or written");
    buf_fini(&document.text);
    buf_fini(&out);
    return good ? 0 : 1;
}

static void
the_readme_has_the_catalogue(void **state)
{
    struct document document;
    struct buf expected = {0};
    assert_true(document_read(&document, getenv("DRIVERS_README")));
    print_catalogue(&expected);
    if (!bytes_equal(document.catalogue, buf_bytes(&expected))) {
        print_message("run: test_catalogue --write drivers/README.md\n");
    }
    assert_true(bytes_equal(document.catalogue, buf_bytes(&expected)));
    buf_fini(&document.text);
    buf_fini(&expected);
}

static void
drivers_are_found_by_name(void **state)
{
    for (const struct driver *const *row = driver_catalogue; *row != NULL; row++) {
        assert_ptr_equal(driver_find(bytes_of_string((*row)->name)), *row);
    }
    assert_null(driver_find(BYTES("")));
    assert_null(driver_find(BYTES("nul")));
    assert_null(driver_find(BYTES("null ")));
}

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        return write_readme(argv[2]);
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_readme_has_the_catalogue),
            cmocka_unit_test(drivers_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
