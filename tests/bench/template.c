/*
 * Filling a template is on the publisher's hot path: literal copies and integer prints, no printf.
 */
#include "template.h"

bool
template_cut(struct template *out, struct bytes text)
{
    *out = (struct template){0};
    while (text.size > 0) {
        if (out->count == TEMPLATE_PARTS_MAX) {
            return false;
        }
        size_t at = bytes_find(text, '%');
        struct template_part *part = &out->parts[out->count++];
        part->literal = bytes_slice(text, 0, at);
        if (at == text.size) {
            break;
        }
        char letter = at + 1 < text.size ? text.data[at + 1] : 0;
        if (letter == 0 || strchr("ntmdv%", letter) == NULL) {
            return false;
        }
        part->value = letter;
        text = bytes_slice(text, at + 2, text.size);
    }
    return true;
}

void
template_fill(const struct template *template, const struct template_values *values,
              struct buf *out)
{
    for (unsigned i = 0; i < template->count; i++) {
        const struct template_part *part = &template->parts[i];
        buf_append(out, part->literal);
        switch (part->value) {
        case 'n': buf_append_int64(out, values->sequence); break;
        case 't': buf_append_int64(out, values->mono_us); break;
        case 'm': buf_append_int64(out, values->wall_ms); break;
        case 'd': buf_append_int64(out, values->sensor); break;
        case 'v': buf_append_int64(out, values->temperature); break;
        case '%': buf_append_char(out, '%'); break;
        default: break;
        }
    }
}
