/* Functions of texts, and of JSON texts. Characters are code points. */
#include "function.h"

enum { REPEAT_MAX_BYTES = 1024 * 1024 };

static struct stream_value
text_value(struct bytes text)
{
    return (struct stream_value){.text = text};
}

static void
change_case(const struct stream_call *call, char first, char last, struct stream_value *out)
{
    struct bytes text = arena_copy(call->context->arena, call->args[0].text);
    char *data = (char *)(uintptr_t)text.data;
    for (size_t i = 0; i < text.size; i++) {
        if (data[i] >= first && data[i] <= last) {
            data[i] ^= 0x20;
        }
    }
    *out = text_value(text);
}

void
stream_fn_upper(const struct stream_call *call, struct stream_value *out)
{
    change_case(call, 'a', 'z', out);
}

void
stream_fn_lower(const struct stream_call *call, struct stream_value *out)
{
    change_case(call, 'A', 'Z', out);
}

static bool
is_continuation(char c)
{
    return (c & 0xc0) == 0x80;
}

static size_t
count_characters(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += !is_continuation(text.data[i]);
    }
    return count;
}

/* The byte where character `n` (from 0) begins, or the size. */
static size_t
offset_of(struct bytes text, size_t n)
{
    size_t at = 0;
    for (; at < text.size; at++) {
        if (!is_continuation(text.data[at]) && n-- == 0) {
            break;
        }
    }
    return at;
}

void
stream_fn_char_length(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer((int64_t)count_characters(call->args[0].text));
}

static void
trim_ends(const struct stream_call *call, bool left, bool right, struct stream_value *out)
{
    struct bytes text = call->args[0].text;
    size_t from = 0, to = text.size;
    while (left && from < to && text.data[from] == ' ') {
        from++;
    }
    while (right && to > from && text.data[to - 1] == ' ') {
        to--;
    }
    *out = text_value(bytes_slice(text, from, to));
}

void
stream_fn_trim(const struct stream_call *call, struct stream_value *out)
{
    trim_ends(call, true, true, out);
}

void
stream_fn_trim_left(const struct stream_call *call, struct stream_value *out)
{
    trim_ends(call, true, false, out);
}

void
stream_fn_trim_right(const struct stream_call *call, struct stream_value *out)
{
    trim_ends(call, false, true, out);
}

/* Counted from 1; from the end when negative, as Flink does. */
void
stream_fn_substring(const struct stream_call *call, struct stream_value *out)
{
    struct bytes text = call->args[0].text;
    int64_t length = (int64_t)count_characters(text), from = call->args[1].integer;
    from = from < 0 ? length + from : from > 0 ? from - 1 : 0;
    from = from < 0 ? 0 : from > length ? length : from;
    int64_t wanted = call->count == 3 ? call->args[2].integer : length;
    wanted = wanted < 0 ? 0 : wanted > length - from ? length - from : wanted;
    *out = text_value(bytes_slice(text, offset_of(text, (size_t)from),
                                  offset_of(text, (size_t)(from + wanted))));
}

/* The byte offset of `part` in `text`, or SIZE_MAX. */
static size_t
find(struct bytes text, struct bytes part)
{
    for (size_t at = 0; at + part.size <= text.size; at++) {
        if (bytes_equal(bytes_slice(text, at, at + part.size), part)) {
            return at;
        }
    }
    return SIZE_MAX;
}

static int64_t
position(struct bytes text, struct bytes part)
{
    size_t at = find(text, part);
    return at == SIZE_MAX ? 0 : (int64_t)count_characters(bytes_slice(text, 0, at)) + 1;
}

void
stream_fn_locate(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(position(call->args[1].text, call->args[0].text));
}

void
stream_fn_instr(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(position(call->args[0].text, call->args[1].text));
}

void
stream_fn_replace(const struct stream_call *call, struct stream_value *out)
{
    struct bytes text = call->args[0].text, part = call->args[1].text;
    struct buf result = {.arena = call->context->arena};
    size_t at;
    while (part.size > 0 && (at = find(text, part)) != SIZE_MAX) {
        buf_append(&result, bytes_slice(text, 0, at));
        buf_append(&result, call->args[2].text);
        text = bytes_slice(text, at + part.size, text.size);
    }
    buf_append(&result, text);
    *out = text_value(buf_bytes(&result));
}

static void
join(const struct stream_call *call, size_t first, struct bytes separator, struct stream_value *out)
{
    struct buf text = {.arena = call->context->arena};
    bool any = false;
    for (size_t i = first; i < call->count; i++) {
        if (!call->args[i].is_null) {
            buf_append(&text, any ? separator : BYTES(""));
            buf_append(&text, call->args[i].text);
            any = true;
        }
    }
    *out = text_value(buf_bytes(&text));
}

void
stream_fn_concat(const struct stream_call *call, struct stream_value *out)
{
    join(call, 0, BYTES(""), out);
}

void
stream_fn_concat_ws(const struct stream_call *call, struct stream_value *out)
{
    if (!call->args[0].is_null) {
        join(call, 1, call->args[0].text, out);
    } else {
        *out = stream_null();
    }
}

void
stream_fn_reverse(const struct stream_call *call, struct stream_value *out)
{
    struct bytes text = call->args[0].text;
    struct buf result = {.arena = call->context->arena};
    size_t end = text.size;
    for (size_t at = text.size; at-- > 0;) {
        if (!is_continuation(text.data[at])) {
            buf_append(&result, bytes_slice(text, at, end));
            end = at;
        }
    }
    *out = text_value(buf_bytes(&result));
}

void
stream_fn_repeat(const struct stream_call *call, struct stream_value *out)
{
    struct bytes text = call->args[0].text;
    int64_t times = call->args[1].integer;
    struct buf result = {.arena = call->context->arena};
    if (text.size > 0 && times > (int64_t)(REPEAT_MAX_BYTES / text.size)) {
        call->context->failure = "a text would be longer than 1 MiB";
        return;
    }
    for (int64_t i = 0; i < times; i++) {
        buf_append(&result, text);
    }
    *out = text_value(buf_bytes(&result));
}

static void
pad(const struct stream_call *call, bool left, struct stream_value *out)
{
    struct bytes text = call->args[0].text, filler = call->args[2].text;
    int64_t wanted = call->args[1].integer, length = (int64_t)count_characters(text);
    struct buf fill = {.arena = call->context->arena}, result = {.arena = call->context->arena};
    if (wanted < 0 || wanted > REPEAT_MAX_BYTES || (filler.size == 0 && wanted > length)) {
        *out = stream_null();
        return;
    }
    if (wanted <= length) {
        *out = text_value(bytes_slice(text, 0, offset_of(text, (size_t)wanted)));
        return;
    }
    size_t period = count_characters(filler);
    for (size_t i = 0; i < (size_t)(wanted - length); i++) {
        size_t from = offset_of(filler, i % period);
        buf_append(&fill, bytes_slice(filler, from, offset_of(filler, i % period + 1)));
    }
    buf_append(&result, left ? buf_bytes(&fill) : text);
    buf_append(&result, left ? text : buf_bytes(&fill));
    *out = text_value(buf_bytes(&result));
}

void
stream_fn_pad_left(const struct stream_call *call, struct stream_value *out)
{
    pad(call, true, out);
}

void
stream_fn_pad_right(const struct stream_call *call, struct stream_value *out)
{
    pad(call, false, out);
}

void
stream_fn_split_index(const struct stream_call *call, struct stream_value *out)
{
    struct bytes text = call->args[0].text, separator = call->args[1].text;
    *out = stream_null();
    if (separator.size == 0 || call->args[2].integer < 0) {
        return;
    }
    for (int64_t i = 0;; i++) {
        size_t at = find(text, separator);
        if (i == call->args[2].integer) {
            *out = text_value(bytes_slice(text, 0, at));
            return;
        }
        if (at == SIZE_MAX) {
            return;
        }
        text = bytes_slice(text, at + separator.size, text.size);
    }
}

/* One step of '$.a.b[0]'; 0 when there is nothing there. */
static uint32_t
json_step(const struct json *json, uint32_t node, struct bytes *path)
{
    bool index = path->data[0] == '[';
    size_t end = 1;
    while (end < path->size && (index ? path->data[end] != ']'
                                      : path->data[end] != '.' && path->data[end] != '[')) {
        end++;
    }
    struct bytes name = bytes_slice(*path, 1, end);
    *path = bytes_slice(*path, end + index, path->size);
    int64_t number;
    if (index) {
        return json->nodes[node].kind == JSON_ARRAY && bytes_to_int64(name, &number) &&
                               number >= 0 && number < INT32_MAX
                       ? json_element(json, node, (uint32_t)number)
                       : 0;
    }
    return json->nodes[node].kind == JSON_OBJECT ? json_member(json, node, name) : 0;
}

void
stream_fn_json_value(const struct stream_call *call, struct stream_value *out)
{
    struct json json;
    struct json_error error;
    struct bytes path = call->args[1].text;
    *out = stream_null();
    if (path.size == 0 || path.data[0] != '$' ||
        !json_parse(&json, call->args[0].text, JSON_DEPTH_MAX_DEFAULT, call->context->arena,
                    &error)) {
        return;
    }
    path = bytes_slice(path, 1, path.size);
    uint32_t node = 0;
    while (path.size > 0) {
        node = json_step(&json, node, &path);
        if (node == 0) {
            return;
        }
    }
    if (json.nodes[node].kind == JSON_STRING) {
        *out = text_value(json_string(&json, node, call->context->arena));
    } else if (json.nodes[node].kind < JSON_ARRAY && json.nodes[node].kind != JSON_NULL) {
        *out = text_value(json_raw(&json, node));
    }
}

