#include "action.h"

#include "base/base64.h"

static struct bytes
kind_key(const struct json *json, uint32_t node, struct arena *arena)
{
    return json_string(json, node + 1, arena);
}

/* ---- the document ---- */

static const char *
placeholder(const struct action_parameter *parameter)
{
    switch (parameter->kind) {
    case PARAMETER_OBJECT:
    case PARAMETER_MAP:
        return "{}";
    case PARAMETER_LIST:
        return "[{\"name\":\"x\",\"value\":\"x\"}]";
    default:
        return parameter->form == FORM_ANY && parameter->choices == NULL ? "\"x\"" : "\"0\"";
    }
}

/* The parameters in `node`, with something for those that are required and not there. */
static void
write_parameters(struct buf *out, const struct json *json, uint32_t node,
                 const struct action_group *group)
{
    bool first = true;
    buf_append_char(out, '{');
    for (uint32_t name = node + 1; name < json->nodes[node].next;
         name = json->nodes[name + 1].next) {
        buf_append_string(out, first ? "" : ",");
        buf_append(out, json_raw(json, name));
        buf_append_char(out, ':');
        buf_append(out, json_raw(json, name + 1));
        first = false;
    }
    for (size_t i = 0; i < group->count; i++) {
        const struct action_parameter *parameter = &group->parameters[i];
        bool is_there = json_member(json, node, bytes_of_string(parameter->name)) != 0;
        if ((parameter->flags & PARAMETER_REQUIRED) && !is_there) {
            buf_printf(out, "%s\"%s\":%s", first ? "" : ",", parameter->name,
                       placeholder(parameter));
            first = false;
        }
    }
    buf_append_char(out, '}');
}

struct bytes
action_document(const struct json *json, uint32_t node, struct bytes sql, struct bytes version,
                struct arena *arena)
{
    struct buf out = {.arena = arena};
    const struct action_kind *kind = action_kind_find(kind_key(json, node, arena));
    buf_append_string(&out, "{\"sql\":");
    json_write_string(&out, sql);
    buf_append_string(&out, ",\"awsIotSqlVersion\":");
    json_write_string(&out, version.data == NULL ? BYTES("2016-03-23") : version);
    buf_append_string(&out, ",\"actions\":[");
    if (kind == NULL || json->nodes[node + 2].kind != JSON_OBJECT) {
        buf_append_string(&out, "{\"republish\":{\"topic\":\"x\"}}]");
    } else {
        buf_printf(&out, "{\"%s\":", kind->key);
        write_parameters(&out, json, node + 2, kind->group);
        buf_append_string(&out, "}]");
    }
    buf_append_string(&out, ",\"errorAction\":{\"republish\":{\"topic\":\"x\"}}}");
    return buf_bytes(&out);
}

/* ---- the result ---- */

static void
write_payload(struct buf *out, const struct rule_output *output, bool as_text)
{
    if (output->payload_is_json && !as_text) {
        buf_append(out, output->payload);
    } else if (bytes_is_utf8(output->payload)) {
        json_write_string(out, output->payload);
    } else {
        buf_append_string(out, "{\"base64\":\"");
        base64_encode(out, output->payload);
        buf_append_string(out, "\"}");
    }
}

static void
write_measures(struct buf *out, struct bytes row, struct arena *arena)
{
    struct json json;
    struct json_error error;
    bool first = true;
    check(json_parse(&json, row, 1000, arena, &error));
    buf_append_char(out, '[');
    for (uint32_t name = 1; name < json.nodes[0].next; name = json.nodes[name + 1].next) {
        const char *type = action_measure_type(&json, name + 1);
        if (type != NULL) {
            struct value value = value_of_node(&json, name + 1);
            struct bytes text;
            check(value_to_string(&value, &text, arena));
            buf_append_string(out, first ? "{\"measure_name\":" : ",{\"measure_name\":");
            buf_append(out, json_raw(&json, name));
            buf_append_string(out, ",\"type\":\"");
            for (size_t i = 0; type[i] != '\0'; i++) {
                buf_append_char(out, (char)(type[i] | 0x20)); /* as the guide writes them */
            }
            buf_append_string(out, "\",\"value\":");
            json_write_string(out, text);
            buf_append_char(out, '}');
            first = false;
        }
    }
    buf_append_char(out, ']');
}

/* The item of the older action: keys, and the row in a column. */
static void
write_item(struct buf *out, const struct rule_output *output, struct arena *arena)
{
    struct json json;
    struct json_error error;
    static const char *const keys[] = {"hash", "range"};
    check(json_parse(&json, output->params, 10, arena, &error));
    buf_append_char(out, '{');
    for (size_t i = 0; i < 2; i++) {
        const char *names[] = {"Field", "Value", "Type"};
        uint32_t nodes[3];
        for (size_t n = 0; n < 3; n++) {
            nodes[n] = json_member(&json, 0, arena_printf(arena, "%sKey%s", keys[i], names[n]));
        }
        if (nodes[0] != 0) {
            bool number = nodes[2] != 0 &&
                          bytes_equal(json_string(&json, nodes[2], arena), BYTES("NUMBER"));
            buf_printf(out, "%.*s:", BYTES_ARG(json_raw(&json, nodes[0])));
            buf_append(out, number ? json_string(&json, nodes[1], arena)
                                   : json_raw(&json, nodes[1]));
            buf_append_char(out, ',');
        }
    }
    uint32_t field = json_member(&json, 0, BYTES("payloadField"));
    buf_append(out, field == 0 ? BYTES("\"payload\"") : json_raw(&json, field));
    buf_append_char(out, ':');
    write_payload(out, output, false);
    buf_append_char(out, '}');
}

/* The parameters with the one that became the target, and the payload. */
static void
write_all(struct buf *out, const struct rule_output *output, const struct action_group *group)
{
    buf_append(out, output->params.size > 0
                            ? bytes_slice(output->params, 0, output->params.size - 1)
                            : BYTES("{"));
    for (size_t i = 0; i < group->count; i++) {
        if (group->parameters[i].flags & PARAMETER_TARGET) {
            buf_printf(out, "%s\"%s\":", output->params.size > 2 ? "," : "",
                       group->parameters[i].name);
            json_write_string(out, output->text);
        }
    }
    buf_append_string(out, bytes_of(out->data, out->size).data[out->size - 1] == '{'
                                   ? "\"payload\":"
                                   : ",\"payload\":");
    write_payload(out, output, false);
    buf_append_char(out, '}');
}

static void
write_one(struct buf *out, struct bytes key, const struct rule_output *output,
          bool is_text_expected, bool is_list, struct arena *arena, bool *partly)
{
    *partly = bytes_equal(key, BYTES("timestream"));
    if (*partly) {
        write_measures(out, output->payload, arena);
    } else if (bytes_equal(key, BYTES("dynamoDB"))) {
        write_item(out, output, arena);
    } else if (bytes_equal(key, BYTES("dynamoDBv2"))) {
        write_payload(out, output, false);
    } else if (bytes_equal(key, BYTES("republish")) && is_text_expected) {
        json_write_string(out, output->text);
    } else if (is_text_expected || is_list) {
        write_payload(out, output, is_text_expected);
    } else {
        *partly = true;
        write_all(out, output, action_kind_find(key)->group);
    }
}

bool
action_result(const struct json *json, uint32_t node, const struct rule *rule,
              const struct rule_row *row, bool is_text_expected, struct arena *arena,
              struct bytes *text, bool *partly)
{
    struct buf out = {.arena = arena};
    struct bytes key = kind_key(json, node, arena);
    uint32_t batch = json_member(json, node + 2, BYTES("batchMode"));
    bool is_list = batch != 0 && json->nodes[batch].kind == JSON_TRUE;
    check(rule_info(rule)->target_count == 1);
    if (is_list) {
        buf_append_char(&out, '[');
    }
    for (size_t i = 0; i < row->output_count; i++) {
        const struct rule_output *output = &row->outputs[i];
        if (output->failure.size > 0) {
            *text = output->failure;
            return false;
        }
        buf_append_string(&out, i > 0 ? "," : "");
        write_one(&out, key, output, is_text_expected, is_list, arena, partly);
    }
    if (is_list) {
        buf_append_char(&out, ']');
    }
    *text = buf_bytes(&out);
    return true;
}
