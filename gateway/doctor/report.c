/*
 * Collects findings and prints them. A finding without a reason or a fix is an error of the
 * program: who reads it has to know what to do.
 */
#include "report.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>

static const char *const level_names[] = {
        [FINDING_OK] = "ok", [FINDING_WARNING] = "warning", [FINDING_ERROR] = "error"};

void
report_fini(struct report *report)
{
    arena_fini(&report->arena);
    free(report->items);
    *report = (struct report){0};
}

void
report_area(struct report *report, const char *area)
{
    report->area = area;
}

static struct bytes
format_text(struct report *report, const char *format, va_list args)
{
    struct buf text = {.arena = &report->arena};
    buf_vprintf(&text, format, args);
    return buf_bytes(&text);
}

void
report_add(struct report *report, enum finding_level level, const char *format, ...)
{
    va_list args;
    check(report->area != NULL);
    report->items = mem_grow(report->items, report->count, &report->capacity,
                             sizeof *report->items);
    va_start(args, format);
    report->items[report->count++] =
            (struct finding){.area = report->area, .level = level,
                             .what = format_text(report, format, args)};
    va_end(args);
    report->errors += level == FINDING_ERROR;
    report->warnings += level == FINDING_WARNING;
}

void
report_why(struct report *report, const char *format, ...)
{
    va_list args;
    check(report->count > 0);
    va_start(args, format);
    report->items[report->count - 1].why = format_text(report, format, args);
    va_end(args);
}

void
report_fix(struct report *report, const char *format, ...)
{
    va_list args;
    check(report->count > 0);
    va_start(args, format);
    report->items[report->count - 1].fix = format_text(report, format, args);
    va_end(args);
}

static void
print_finding(const struct finding *finding, struct buf *out)
{
    check(finding->why.size > 0 && finding->fix.size > 0);
    buf_printf(out, "%s: %s: %.*s\n  why: %.*s\n  fix: %.*s\n", finding->area,
               level_names[finding->level], BYTES_ARG(finding->what), BYTES_ARG(finding->why),
               BYTES_ARG(finding->fix));
}

/* The area that begins at `from`; returns where the next begins. */
static size_t
print_area(const struct report *report, size_t from, struct buf *out)
{
    size_t end = from, findings = 0;
    for (; end < report->count && report->items[end].area == report->items[from].area; end++) {
        if (report->items[end].level != FINDING_OK) {
            print_finding(&report->items[end], out);
            findings++;
        }
    }
    if (findings == 0) {
        buf_printf(out, "%s: ok: ", report->items[from].area);
        for (size_t i = from; i < end; i++) {
            buf_printf(out, "%s%.*s", i == from ? "" : ", ", BYTES_ARG(report->items[i].what));
        }
        buf_append_char(out, '\n');
    }
    return end;
}

void
report_print(const struct report *report, struct buf *out)
{
    for (size_t i = 0; i < report->count;) {
        i = print_area(report, i, out);
    }
    buf_append_count(out, report->errors, "error");
    buf_append_string(out, ", ");
    buf_append_count(out, report->warnings, "warning");
    buf_append_char(out, '\n');
}

static void
write_member(const char *name, struct bytes text, struct buf *out)
{
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, bytes_is_utf8(text) ? text : BYTES("(not UTF-8)"));
}

void
report_write_json(const struct report *report, struct buf *out)
{
    buf_printf(out, "{\"errors\":%zu,\"warnings\":%zu,\"findings\":[", report->errors,
               report->warnings);
    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->items[i];
        buf_printf(out, "%s{\"area\":\"%s\"", i == 0 ? "" : ",", finding->area);
        write_member("level", bytes_of_string(level_names[finding->level]), out);
        write_member("what", finding->what, out);
        write_member("why", finding->why, out);
        write_member("fix", finding->fix, out);
        buf_append_char(out, '}');
    }
    buf_append_string(out, "]}");
}
