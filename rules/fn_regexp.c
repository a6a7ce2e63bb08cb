/*
 * Regular expressions: Java's as AWS IoT has them, by PCRE2 (the only file that knows it).
 *
 * The interpreter runs with limits on steps and memory, so that no pattern and no payload can hold
 * the engine: a match that exceeds them is Undefined, as is an invalid pattern. PCRE2's memory
 * comes from arenas: of the rule for patterns that are constant, of the message for the rest.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "fn.h"

#include <pcre2.h>

enum { STEPS_MAX = 100000, HEAP_MAX_KIB = 1024, PATTERN_BYTES_MAX = 4096 };

/* A pattern; `code` is NULL when it is invalid. */
struct regexp {
    pcre2_code *code;
    uint32_t groups;
};

static void *
allocate(PCRE2_SIZE size, void *arena)
{
    return arena_alloc(arena, size);
}

static void
release(void *memory, void *arena)
{
    (void)memory; /* goes with the arena */
    (void)arena;
}

static struct regexp
compile(struct bytes pattern, struct arena *arena)
{
    struct regexp regexp = {0};
    if (pattern.size > PATTERN_BYTES_MAX) {
        return regexp;
    }
    pcre2_general_context *general = pcre2_general_context_create(allocate, release, arena);
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    int error;
    PCRE2_SIZE offset;
    regexp.code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.size,
                                PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context);
    if (regexp.code != NULL) {
        pcre2_pattern_info(regexp.code, PCRE2_INFO_CAPTURECOUNT, &regexp.groups);
    }
    return regexp;
}

const void *
prepare_regexp(const struct value *const *args, size_t count, struct arena *arena)
{
    struct bytes pattern;
    if (args[1] == NULL || !value_to_string(args[1], &pattern, arena)) {
        return NULL;
    }
    struct regexp *regexp = arena_new(arena, struct regexp);
    *regexp = compile(pattern, arena);
    return regexp;
}

/* A pattern at work on a subject. */
struct search {
    struct regexp regexp;
    struct bytes subject;
    pcre2_match_data *data;
    pcre2_match_context *context;
    const PCRE2_SIZE *groups; /* pairs of offsets of the last match */
};

/* From the first two arguments; false: Undefined. */
static bool
search_init(struct search *search, const struct call *call)
{
    struct bytes pattern;
    if (!call_string(call, 0, &search->subject) || !call_string(call, 1, &pattern)) {
        return false;
    }
    search->regexp = call->prepared != NULL ? *(const struct regexp *)call->prepared
                                            : compile(pattern, call->arena);
    if (search->regexp.code == NULL) {
        return false;
    }
    pcre2_general_context *general =
            pcre2_general_context_create(allocate, release, call->arena);
    search->context = pcre2_match_context_create(general);
    pcre2_set_match_limit(search->context, STEPS_MAX);
    pcre2_set_heap_limit(search->context, HEAP_MAX_KIB);
    search->data = pcre2_match_data_create_from_pattern(search->regexp.code, general);
    search->groups = pcre2_get_ovector_pointer(search->data);
    return true;
}

enum search_verdict { SEARCH_FOUND, SEARCH_NONE, SEARCH_FAILED };

static enum search_verdict
search_next(struct search *search, size_t from)
{
    const char *subject = search->subject.size == 0 ? "" : search->subject.data;
    int count = pcre2_match(search->regexp.code, (PCRE2_SPTR)subject, search->subject.size, from,
                            0, search->data, search->context);
    return count > 0                        ? SEARCH_FOUND
           : count == PCRE2_ERROR_NOMATCH   ? SEARCH_NONE
                                            : SEARCH_FAILED;
}

static struct bytes
group_text(const struct search *search, uint32_t group)
{
    PCRE2_SIZE start = search->groups[2 * group];
    PCRE2_SIZE end = search->groups[2 * group + 1];
    bool set = start != PCRE2_UNSET && start <= end;
    return set ? bytes_slice(search->subject, start, end) : BYTES("");
}

void
fn_regexp_matches(const struct call *call, struct value *out)
{
    struct search search;
    if (search_init(&search, call)) {
        enum search_verdict verdict = search_next(&search, 0);
        if (verdict != SEARCH_FAILED) {
            *out = value_boolean(verdict == SEARCH_FOUND);
        }
    }
}

void
fn_regexp_substr(const struct call *call, struct value *out)
{
    struct search search;
    if (search_init(&search, call) && search_next(&search, 0) == SEARCH_FOUND) {
        *out = value_string(group_text(&search, 0));
    }
}

/* ---- replacing, with Java's replacement texts: $1, \$ ---- */

/* The group at `*at` (behind '$'): as many digits as still name a group. */
static bool
read_group(struct bytes with, size_t *at, uint32_t groups, uint32_t *group)
{
    uint32_t number = 0;
    size_t start = *at;
    while (*at < with.size && with.data[*at] >= '0' && with.data[*at] <= '9') {
        uint32_t longer = number * 10 + (uint32_t)(with.data[*at] - '0');
        if (longer > groups) {
            break;
        }
        number = longer;
        ++*at;
    }
    *group = number;
    return *at > start;
}

static bool
append_replacement(struct buf *out, const struct search *search, struct bytes with)
{
    for (size_t at = 0; at < with.size;) {
        char c = with.data[at++];
        if (c == '\\') {
            if (at == with.size) {
                return false;
            }
            buf_append_char(out, with.data[at++]);
        } else if (c == '$') {
            uint32_t group;
            if (!read_group(with, &at, search->regexp.groups, &group)) {
                return false;
            }
            buf_append(out, group_text(search, group));
        } else {
            buf_append_char(out, c);
        }
    }
    return true;
}

static size_t
next_character(struct bytes text, size_t at)
{
    at++;
    while (at < text.size && ((unsigned char)text.data[at] & 0xc0) == 0x80) {
        at++;
    }
    return at;
}

enum { REPLACED_BYTES_MAX = 1024 * 1024 };

void
fn_regexp_replace(const struct call *call, struct value *out)
{
    struct search search;
    struct bytes with;
    if (!search_init(&search, call) || !call_string(call, 2, &with)) {
        return;
    }
    struct buf text = {.arena = call->arena};
    size_t copied = 0, from = 0;
    enum search_verdict verdict = SEARCH_NONE;
    while (from <= search.subject.size && text.size <= REPLACED_BYTES_MAX) {
        verdict = search_next(&search, from);
        if (verdict != SEARCH_FOUND) {
            break;
        }
        size_t start = search.groups[0], end = search.groups[1];
        buf_append(&text, bytes_slice(search.subject, copied, start));
        if (!append_replacement(&text, &search, with)) {
            return;
        }
        copied = end;
        from = end > start ? end : next_character(search.subject, end);
    }
    if (verdict == SEARCH_FAILED || text.size > REPLACED_BYTES_MAX) {
        return;
    }
    buf_append(&text, bytes_slice(search.subject, copied, search.subject.size));
    *out = value_string(buf_bytes(&text));
}
