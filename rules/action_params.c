/*
 * An action as JSON text: as it was written, for export, or filled in for a message.
 */
#include "action.h"

#include "compile.h"

struct writer {
    struct buf *out;
    struct run *run;       /* NULL: texts as written, and all that was given */
    struct bytes *failure; /* set when a filled-in text is not what AWS takes */
    struct bytes role;     /* for actions that lack one; empty: none */
};

static void
write_name(struct writer *writer, struct bytes name, bool *first)
{
    if (!*first) {
        buf_append_char(writer->out, ',');
    }
    *first = false;
    json_write_string(writer->out, name);
    buf_append_char(writer->out, ':');
}

static bool
lacks_role(const struct writer *writer, const struct action_value *value)
{
    return !value->is_set && writer->role.size > 0 &&
           strcmp(value->parameter->name, "roleArn") == 0;
}

static bool
is_wanted(const struct writer *writer, const struct action_value *value)
{
    bool is_given = value->parameter->kind == PARAMETER_IGNORED;
    return value->is_set && (writer->run == NULL ||
                             (!is_given && !(value->parameter->flags &
                                             (PARAMETER_TARGET | PARAMETER_INTERNAL))));
}

struct bytes
action_text(const struct action_value *value, struct run *run)
{
    return value->template.part_count == 0 ? value->text : template_run(&value->template, run);
}

struct bytes
action_topic(const struct action *action, struct run *run)
{
    return action_text(&action->root.items[PARAMETER_OF(republish, topic)], run);
}

static bool
refuse(struct writer *writer, const struct action_value *value, struct bytes text,
       const char *reason)
{
    *writer->failure = arena_printf(writer->run->arena, "'%s' came out as '%.*s', which %s",
                                    value->parameter->name,
                                    BYTES_ARG(bytes_slice(text, 0, 100)), reason);
    return false;
}

/* Leaves out a text that is not required and came out empty. */
static bool
write_text(struct writer *writer, const struct action_value *value, struct bytes name,
           bool *first)
{
    struct bytes text = value->text;
    if (writer->run != NULL) {
        const char *reason;
        text = action_text(value, writer->run);
        if (!action_text_is_valid(value->parameter, text, writer->run->arena, &reason)) {
            return refuse(writer, value, text, reason);
        }
        if (text.size == 0 && !(value->parameter->flags & PARAMETER_EMPTY)) {
            return true;
        }
    }
    write_name(writer, name, first);
    json_write_string(writer->out, text);
    return true;
}

static bool write_members(struct writer *writer, const struct action_value *value, bool *first);

/* {...}; nothing at all when it has no members and is not an element of a list. */
static bool
write_object(struct writer *writer, const struct action_value *value, struct bytes name,
             bool *first)
{
    size_t before = writer->out->size;
    bool first_before = *first, empty = true;
    if (name.data != NULL) {
        write_name(writer, name, first);
    }
    buf_append_char(writer->out, '{');
    bool ok = write_members(writer, value, &empty);
    buf_append_char(writer->out, '}');
    if (empty && writer->run != NULL && name.data != NULL) {
        writer->out->size = before;
        *first = first_before;
    }
    return ok;
}

static bool
write_list(struct writer *writer, const struct action_value *value, struct bytes name,
           bool *first)
{
    bool ok = true;
    write_name(writer, name, first);
    buf_append_char(writer->out, '[');
    for (uint32_t i = 0; i < value->count && ok; i++) {
        bool none = true;
        if (i > 0) {
            buf_append_char(writer->out, ',');
        }
        ok = write_object(writer, &value->items[i], bytes_of(NULL, 0), &none);
    }
    buf_append_char(writer->out, ']');
    return ok;
}

static bool
write_map(struct writer *writer, const struct action_value *value, struct bytes name, bool *first)
{
    bool ok = true, none = true;
    write_name(writer, name, first);
    buf_append_char(writer->out, '{');
    for (uint32_t i = 0; i < value->count && ok; i++) {
        ok = write_text(writer, &value->items[i], value->items[i].name, &none);
    }
    buf_append_char(writer->out, '}');
    return ok;
}

static bool
write_value(struct writer *writer, const struct action_value *value, bool *first)
{
    struct bytes name = bytes_of_string(value->parameter->name);
    switch (value->parameter->kind) {
    case PARAMETER_TEXT:
        return write_text(writer, value, name, first);
    case PARAMETER_WHOLE:
        write_name(writer, name, first);
        buf_append_int64(writer->out, value->number);
        return true;
    case PARAMETER_FLAG:
        write_name(writer, name, first);
        buf_append_string(writer->out, value->flag ? "true" : "false");
        return true;
    case PARAMETER_OBJECT:
        return write_object(writer, value, name, first);
    case PARAMETER_LIST:
        return write_list(writer, value, name, first);
    case PARAMETER_MAP:
        return write_map(writer, value, name, first);
    case PARAMETER_IGNORED:
        write_name(writer, name, first);
        buf_append(writer->out, value->text);
        return true;
    case PARAMETER_REFUSED:
        return true;
    }
    never("all kinds are listed");
}

static bool
write_members(struct writer *writer, const struct action_value *value, bool *first)
{
    bool ok = true;
    for (uint32_t i = 0; i < value->count && ok; i++) {
        if (lacks_role(writer, &value->items[i])) {
            write_name(writer, BYTES("roleArn"), first);
            json_write_string(writer->out, writer->role);
        } else if (is_wanted(writer, &value->items[i])) {
            ok = write_value(writer, &value->items[i], first);
        }
    }
    return ok;
}

void
action_write(struct buf *out, const struct action *action, struct bytes role)
{
    struct writer writer = {.out = out, .role = role};
    bool none = true;
    buf_append_char(out, '{');
    bool ok = write_object(&writer, &action->root, bytes_of_string(action->kind->key), &none);
    check(ok && "nothing is filled in");
    buf_append_char(out, '}');
}

bool
action_write_params(struct buf *out, const struct action_value *value, struct run *run,
                    struct bytes *failure)
{
    struct writer writer = {.out = out, .run = run, .failure = failure};
    size_t before = out->size;
    bool empty = true;
    buf_append_char(out, '{');
    bool ok = write_members(&writer, value, &empty);
    buf_append_char(out, '}');
    out->size = empty ? before : out->size;
    return ok;
}

/* Whether all texts under the value are the same for every message. */
static bool
is_fixed(const struct action_value *value)
{
    for (uint32_t i = 0; i < value->template.part_count; i++) {
        if (value->template.parts[i].node != NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < value->count; i++) {
        if (value->items[i].is_set && !is_fixed(&value->items[i])) {
            return false;
        }
    }
    return true;
}

void
action_prepare(struct action *action, struct arena *arena)
{
    action->is_fixed = is_fixed(&action->root);
    if (action->is_fixed) {
        struct run run = {.arena = arena};
        struct buf params = {.arena = arena};
        struct bytes failure;
        action->is_fixed = action_write_params(&params, &action->root, &run, &failure);
        action->params = buf_bytes(&params);
    }
}
