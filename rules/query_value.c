/* Types and values of query SQL: their names, how they are written, how intervals are read. */
#include "query.h"

#include "base/calendar.h"
#include "base/json.h"

#include <inttypes.h>

const char *
query_type_name(enum query_type type)
{
    static const char *const names[] = {
            [QUERY_UNKNOWN] = "UNKNOWN",
            [QUERY_BOOLEAN] = "BOOLEAN",
            [QUERY_BIGINT] = "BIGINT",
            [QUERY_DOUBLE] = "DOUBLE",
            [QUERY_VARCHAR] = "VARCHAR",
            [QUERY_TIMESTAMP] = "TIMESTAMP",
            [QUERY_DATE] = "DATE",
            [QUERY_INTERVAL] = "INTERVAL_DAY_TO_SECOND",
            [QUERY_INTERVAL_MONTHS] = "INTERVAL_YEAR_TO_MONTH",
    };
    return names[type];
}

/* Always with a point or an exponent, so that 7.0 stays a double for whoever reads it. */
static void
print_double(double value, struct buf *out)
{
    if (value != value || value - value != 0) {
        buf_append_string(out, value != value ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    size_t start = out->size;
    json_write_double(out, value);
    struct bytes text = bytes_of(out->data + start, out->size - start);
    if (bytes_find(text, '.') == text.size && bytes_find(text, 'e') == text.size
        && bytes_find(text, 'E') == text.size) {
        buf_append_string(out, ".0");
    }
}

static void
print_interval(int64_t ns, struct buf *out)
{
    uint64_t rest = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    uint64_t day = (uint64_t)CALENDAR_NS_PER_DAY;
    uint64_t seconds = rest % day / (uint64_t)CALENDAR_NS_PER_SECOND;
    buf_printf(out, "%s%" PRIu64 " %02d:%02d:%02d.%09d", ns < 0 ? "-" : "", rest / day,
               (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60),
               (int)(rest % (uint64_t)CALENDAR_NS_PER_SECOND));
}

void
query_value_print(const struct query_value *value, struct buf *out)
{
    if (value->is_null) {
        return;
    }
    switch (value->type) {
    case QUERY_BOOLEAN:
        buf_append_string(out, value->integer != 0 ? "true" : "false");
        break;
    case QUERY_BIGINT:
        buf_append_int64(out, value->integer);
        break;
    case QUERY_DOUBLE:
        print_double(value->real, out);
        break;
    case QUERY_VARCHAR:
        buf_append(out, value->text);
        break;
    case QUERY_TIMESTAMP:
        calendar_print(value->integer, ' ', out);
        break;
    case QUERY_DATE:
        calendar_print_date(value->integer, out);
        break;
    case QUERY_INTERVAL:
        print_interval(value->integer, out);
        break;
    case QUERY_INTERVAL_MONTHS: {
        uint64_t months = value->integer < 0 ? 0 - (uint64_t)value->integer
                                             : (uint64_t)value->integer;
        buf_printf(out, "%s%" PRIu64 "-%" PRIu64, value->integer < 0 ? "-" : "", months / 12,
                   months % 12);
        break;
    }
    case QUERY_UNKNOWN:
    case QUERY_TYPES:
        break;
    }
}

bool
query_parse_interval(struct bytes text, enum query_type *type, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t size; /* nanoseconds, or months */
        bool months;
    } units[] = {
            {"ns", 1, false}, {"nanosecond", 1, false},
            {"us", CALENDAR_NS_PER_US, false}, {"microsecond", CALENDAR_NS_PER_US, false},
            {"ms", CALENDAR_NS_PER_MS, false}, {"millisecond", CALENDAR_NS_PER_MS, false},
            {"s", CALENDAR_NS_PER_SECOND, false}, {"second", CALENDAR_NS_PER_SECOND, false},
            {"m", 60 * CALENDAR_NS_PER_SECOND, false},
            {"minute", 60 * CALENDAR_NS_PER_SECOND, false},
            {"h", 3600 * CALENDAR_NS_PER_SECOND, false},
            {"hour", 3600 * CALENDAR_NS_PER_SECOND, false},
            {"d", CALENDAR_NS_PER_DAY, false}, {"day", CALENDAR_NS_PER_DAY, false},
            {"month", 1, true}, {"y", 12, true}, {"year", 12, true},
    };
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    int64_t count = 0;
    if (!bytes_to_int64(bytes_slice(text, 0, digits), &count)) {
        return false;
    }
    struct bytes unit = bytes_slice(text, digits, text.size);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(unit, bytes_of_string(units[i].name))
            && !__builtin_mul_overflow(count, units[i].size, out)) {
            *type = units[i].months ? QUERY_INTERVAL_MONTHS : QUERY_INTERVAL;
            return true;
        }
    }
    return false;
}
