/* Text of metrics: names and labels come from the table, values from the caller. */
#include "metrics_text.h"

#include <inttypes.h>
#include <string.h>

struct description {
    const char *type, *name, *labels, *doc;
};

#define COUNTER "counter"
#define GAUGE "gauge"
static const struct description descriptions[] = {
#define METRIC(id, type, name, labels, doc) {type, name, labels, doc},
#include "metrics.def"
#undef METRIC
};
#undef COUNTER
#undef GAUGE

void
metric_begin(struct buf *out, enum metric metric)
{
    const struct description *it = &descriptions[metric];
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", it->name, it->doc, it->name, it->type);
}

static void
write_escaped(struct buf *out, struct bytes value)
{
    bool is_utf8 = bytes_is_utf8(value);
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        if (c == '\n') {
            buf_append_string(out, "\\n");
        } else if (c == '"' || c == '\\') {
            buf_append_char(out, '\\');
            buf_append_char(out, c);
        } else {
            buf_append_char(out, is_utf8 || (unsigned char)c < 0x80 ? c : '?');
        }
    }
}

static void
write_name(struct buf *out, enum metric metric, const struct metric_labels *labels)
{
    const char *name = descriptions[metric].labels;
    buf_append_string(out, descriptions[metric].name);
    for (size_t i = 0; labels != NULL && *name != '\0'; i++) {
        size_t size = strcspn(name, ",");
        check(i < METRIC_LABELS_MAX);
        buf_append_char(out, i == 0 ? '{' : ',');
        buf_append(out, bytes_of(name, size));
        buf_append_string(out, "=\"");
        write_escaped(out, labels->values[i]);
        buf_append_char(out, '"');
        name += size + (name[size] == ',');
    }
    buf_append_string(out, labels == NULL ? " " : "} ");
}

void
metric_signed(struct buf *out, enum metric metric, const struct metric_labels *labels,
              int64_t value)
{
    check((labels == NULL) == (descriptions[metric].labels[0] == '\0'));
    write_name(out, metric, labels);
    buf_append_int64(out, value);
    buf_append_char(out, '\n');
}

void
metric_count(struct buf *out, enum metric metric, const struct metric_labels *labels,
             uint64_t value)
{
    metric_signed(out, metric, labels, (int64_t)value);
}

void
metric_seconds(struct buf *out, enum metric metric, const struct metric_labels *labels, int64_t us)
{
    uint64_t positive = us < 0 ? 0 : (uint64_t)us;
    write_name(out, metric, labels);
    buf_printf(out, "%" PRIu64 ".%06" PRIu64 "\n", positive / 1000000, positive % 1000000);
}

void
metric_only(struct buf *out, enum metric metric, uint64_t value)
{
    metric_begin(out, metric);
    metric_count(out, metric, NULL, value);
}

void
metric_only_seconds(struct buf *out, enum metric metric, int64_t us)
{
    metric_begin(out, metric);
    metric_seconds(out, metric, NULL, us);
}

void
metric_help(struct buf *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct description *it = &descriptions[i];
        buf_printf(out, "%s%s%s%s  (%s)\n    %s\n", it->name, it->labels[0] == '\0' ? "" : "{",
                   it->labels, it->labels[0] == '\0' ? "" : "}", it->type, it->doc);
    }
}
