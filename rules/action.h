/*
 * Actions of AWS IoT rules: what a JSON document says a rule does with its rows.
 *
 * Two tables say everything about them: actions.def (which there are, and what they are here) and
 * action_parameters.def (what each takes). Reading, checking, did-you-mean, filling in and export
 * follow these tables.
 *
 * An action is read-only once it is read. It lives in the arena of its rule file.
 *
 * What a sink gets (struct rule_output):
 *
 *   text      the topic, or the name of the local table
 *   params    the parameters as a JSON object, named and nested as AWS does, templates filled in:
 *               republish   {"qos":1,"headers":{"contentType":"...","userProperties":[...]}}
 *               timestream  {"dimensions":[{"name":"id","value":"s7"}],
 *                            "timestamp":{"value":"1700000000000","unit":"MILLISECONDS"}}
 *               http        {"headers":[{"key":"...","value":"..."}]}
 *               dynamoDB    {"hashKeyField":"id","hashKeyValue":"s7","operation":"UPDATE"}
 *             Numbers and flags are JSON numbers and booleans, everything else is a string. Absent:
 *             what was not given, what named the target, what is INTERNAL or IGNORED in the table,
 *             and a text that is not required and came out empty. No member at all: empty params.
 *   payload   the row, except for
 *               firehose    the row with the separator behind it; with batchMode an element
 *               cloudwatchLogs  with batchMode an element's message; its timestamp is in params
 *               influxDB    line protocol: a point a line
 *               sqs         the row in base64 with useBase64
 *
 * timestream: the payload is the row; each member but null is one measure. What is no measure of
 * Timestream (see action_measure_type) has been refused, and so has a row of more than 100.
 */
#ifndef HEADGATE_RULES_ACTION_H
#define HEADGATE_RULES_ACTION_H

#include "base/json.h"
#include "eval.h"

/* ---- the tables ---- */

enum action_naming { NAMING_TOPIC, NAMING_PLAIN, NAMING_LAST, NAMING_LAMBDA, NAMING_URL,
                     NAMING_FIXED };

enum action_form { ROW_ANY, ROW_JSON, ROW_OBJECT };

enum parameter_kind { PARAMETER_TEXT, PARAMETER_WHOLE, PARAMETER_FLAG, PARAMETER_OBJECT,
                      PARAMETER_LIST, PARAMETER_MAP, PARAMETER_IGNORED, PARAMETER_REFUSED };

enum parameter_flags {
    PARAMETER_REQUIRED = 1,
    PARAMETER_TEMPLATE = 2,
    PARAMETER_ELEMENT = 4,
    PARAMETER_TARGET = 8,
    PARAMETER_INTERNAL = 16,
    PARAMETER_EMPTY = 32,
};

enum text_form { FORM_ANY, FORM_TOPIC, FORM_NUMBER, FORM_INTEGER, FORM_UINT32, FORM_BASE64 };

struct action_group;

struct action_parameter {
    const char *name;
    enum parameter_kind kind;
    unsigned flags; /* of enum parameter_flags */
    enum text_form form;
    int64_t min, max; /* of a number; elements of a list; `max` characters of a text, 0: any */
    const char *choices; /* values of a text, names of a map, separated by '|'; NULL: any */
    const struct action_group *group; /* of objects and lists */
    const char *hint;    /* of a refused one */
};

struct action_group {
    const struct action_parameter *parameters;
    size_t count;
};

struct action_emission;

struct action_kind {
    const char *key;
    const char *failed; /* "RepublishAction" */
    const char *connector; /* "": refused */
    enum action_naming naming;
    enum action_form form;
    void (*encode)(struct action_emission *emission);
    const char *sentence;
    const struct action_group *group;
};

enum { ACTION_KINDS = 24 };
extern const struct action_kind action_kinds[ACTION_KINDS];

/* NULL when there is none. */
const struct action_kind *action_kind_find(struct bytes key);

/* The kind whose actions a connector serves, for the name of a failed action: of "dynamodb" the
 * one that writes rows as they are. NULL when there is none. */
const struct action_kind *action_kind_of_connector(struct bytes connector);

/* Where a parameter stands in its group: PARAMETER_OF(republish, headers). */
#define PARAMETER_OF(group, name) group##_parameter_##name
#define GROUP(group_) enum group_##_parameters {
#define TEXT(group, name, ...) PARAMETER_OF(group, name),
#define WHOLE(group, name, ...) PARAMETER_OF(group, name),
#define FLAG(group, name, ...) PARAMETER_OF(group, name),
#define OBJECT(group, name, ...) PARAMETER_OF(group, name),
#define LIST(group, name, ...) PARAMETER_OF(group, name),
#define MAP(group, name, ...) PARAMETER_OF(group, name),
#define IGNORED(group, name) PARAMETER_OF(group, name),
#define REFUSED(group, name, hint) PARAMETER_OF(group, name),
#define END(group_) group_##_parameter_count };
#include "action_parameters.def"
#undef GROUP
#undef TEXT
#undef WHOLE
#undef FLAG
#undef OBJECT
#undef LIST
#undef MAP
#undef IGNORED
#undef REFUSED
#undef END

/* ---- one action ---- */

/* What a document gives for one parameter. */
struct action_value {
    const struct action_parameter *parameter;
    bool is_set;
    bool flag;
    int64_t number;
    struct bytes name; /* of a map's entry */
    struct bytes text; /* as written; of an ignored one its JSON text */
    struct template template;
    struct bytes before, field, after; /* before@{field}after; `field` is empty: none */
    const struct action_value *items; /* object: one a parameter, in order; list; map */
    uint32_t count;
};

struct action {
    const struct action_kind *kind;
    struct action_value root; /* an object of kind->group */
    bool is_error_action;
    bool is_fixed;       /* params do not depend on the message: */
    struct bytes params;
};

/* Whether a filled-in text is one that AWS would take; if not, `*reason` (static) is why. */
bool action_text_is_valid(const struct action_parameter *parameter, struct bytes text,
                          struct arena *arena, const char **reason);

/* Why a rule may not publish to a topic (static text), or NULL. */
const char *action_topic_problem(struct bytes topic);

/* Appends the action as AWS rule JSON: {"republish":{...}}, texts as written; `role` is its
 * "roleArn" when it has none, and not empty. */
void action_write(struct buf *out, const struct action *action, struct bytes role);

/* Computes what of the params is known before there is a message. */
void action_prepare(struct action *action, struct arena *arena);

/* ---- running ---- */

/* The topic of an action whose naming is NAMING_TOPIC, filled in. */
struct bytes action_topic(const struct action *action, struct run *run);

/* Grows in an arena. */
struct output_list {
    struct rule_output *items;
    size_t count;
    size_t capacity;
};

struct rule_output *output_list_add(struct output_list *list, struct arena *arena);

/* One action on one row. */
struct action_emission {
    const struct action *action;
    struct run *run;
    const struct rule_row *row;
    struct rule_output output; /* what an encoder starts from: target, text, params, the row */
    struct output_list *list;
};

/* Adds what the action makes of the row: one output, or several, or one with a failure. */
void action_run(const struct action *action, const struct rule_output *output, struct run *run,
                const struct rule_row *row, struct output_list *list);

/* The encoders of actions.def. */
#define ACTION(key, group, failed, connector, naming, form, encoder, sentence) \
    void action_encode_##encoder(struct action_emission *emission);
#include "actions.def"
#undef ACTION

/* For encoders. */
void action_emit(struct action_emission *emission, struct bytes payload, bool is_json);
void action_fail(struct action_emission *emission, const char *format, ...) PRINTF_LIKE(2, 3);
struct bytes action_text(const struct action_value *value, struct run *run);

static inline const struct action_value *
action_value(const struct action_emission *emission, unsigned parameter)
{
    return &emission->action->root.items[parameter];
}

/* Appends the filled-in parameters of `value`, an object; nothing when there are none. False: one
 * of them is not what AWS takes, `*failure` says which. */
bool action_write_params(struct buf *out, const struct action_value *value, struct run *run,
                         struct bytes *failure);

/* What Timestream stores a value as: "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR"; NULL: nothing (the
 * value is null). */
const char *action_measure_type(const struct json *json, uint32_t node);

#endif
