#define _GNU_SOURCE
#include "print_record.h"

#include "base/base64.h"
#include "base/calendar.h"
#include "base/json.h"

#include <stdio.h>

void
print_time(int64_t time_us, struct buf *out)
{
    if (time_us == 0) {
        buf_append_char(out, '-');
        return;
    }
    struct buf text = {0};
    calendar_print(time_us * CALENDAR_NS_PER_US, 'T', &text);
    buf_append(out, bytes_slice(buf_bytes(&text), 0, text.size - 3)); /* microseconds */
    buf_append_char(out, 'Z');
    buf_fini(&text);
}

void
print_line(struct buf *line)
{
    buf_append_char(line, '\n');
    fwrite(line->data, 1, line->size, stdout);
    buf_fini(line);
}

void
print_escaped(struct bytes bytes, struct buf *out)
{
    bool is_text = bytes_is_utf8(bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && !is_text)) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_append_char(out, (char)c);
        }
    }
}

void
print_payload_json(struct bytes payload, struct buf *out)
{
    if (bytes_is_utf8(payload)) {
        buf_append_string(out, "\"payload\":");
        json_write_string(out, payload);
        return;
    }
    buf_append_string(out, "\"payload_base64\":\"");
    base64_encode(out, payload);
    buf_append_char(out, '"');
}
