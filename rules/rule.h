/*
 * The door of the rule language: text in, rows out.
 *
 * rules/ is a pure library: no clock, no files, no threads, no I/O. A rule file is parsed and
 * compiled once into read-only programs; running one takes a message and gives output payloads
 * out of an arena. Programs may be shared by threads; a `struct rule_message` belongs to one.
 *
 * Language: topic SQL, the AWS IoT SQL of version 2016-03-23 (reference: AWS IoT developer guide,
 * "AWS IoT SQL reference"), in statements ended by ';':
 *
 *   INSERT INTO 'topic/${template}', table_name, ...  SELECT ... FROM 'filter' [WHERE ...];
 *   CREATE RULE name [WITH ('on_error' = 'topic or table')] AS INSERT INTO ... ;
 *   CREATE TABLE name [(column TYPE, ...)] WITH ('connector' = 'driver', 'option' = 'value', ...);
 *   CREATE FUNCTION name AS 'source.c' LANGUAGE C [WITH ('option' = 'value', ...)];
 *
 * Quoted = an MQTT topic; bare = a declared table or function, as target and as source.
 * Queries over tables, CREATE VIEW, CREATE STREAM and SET are stream SQL: here they are only found
 * and named, because they may need what other files declare; stream/stream.h compiles them.
 * A rule without a name of its own is named after its file: hot, hot.2, hot.3, ...
 */
#ifndef HEADGATE_RULES_RULE_H
#define HEADGATE_RULES_RULE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"

struct rule; /* a compiled program, read-only */

/* 'name' = 'value' of a WITH clause, with the value's place for messages. */
struct rule_option {
    struct bytes name;
    struct bytes value;
    struct diag_place place;
};

struct rule_column {
    struct bytes name;
    struct bytes type; /* upper case, without spaces: DOUBLE, VARCHAR(6), TIMESTAMP(3) */
    struct diag_place place;
};

enum rule_relation_kind { RULE_TABLE, RULE_FUNCTION };

/* A declared table or function. */
struct rule_relation {
    enum rule_relation_kind kind;
    struct bytes name;
    struct bytes source; /* of a function: AS 'source' */
    const struct rule_column *columns;
    size_t column_count;
    const struct rule_option *options; /* without 'connector' */
    size_t option_count;
    struct bytes connector; /* tables: the 'connector' option; functions: "handler" */
    struct diag_place place; /* of its name */
    const char *action;      /* that implies the table: "timestream"; NULL: it is declared */
    const char *advice;      /* then, when there is no connector: what to do instead */
    bool must_be_declared;   /* the action does not say enough: a function's code, a table's key */
};

/*
 * What other statements may name, of this file or of others: tables, views, functions and streams
 * of Kinesis Analytics, and the pumps that fill those.
 */
struct rule_declaration {
    struct bytes name;
    struct bytes text;       /* the statement, a view into the file's text */
    struct diag_place place; /* of the name */
    enum rule_declaration_kind {
        RULE_DECLARES_TABLE,
        RULE_DECLARES_FUNCTION,
        RULE_DECLARES_VIEW,
        RULE_DECLARES_STREAM,
        RULE_DECLARES_PUMP, /* `name` is the stream's */
    } kind;
};

enum rule_target_kind {
    RULE_TARGET_TOPIC,
    RULE_TARGET_RELATION,
    RULE_TARGET_TEXT, /* only from rule_sql_parse(): any text with templates */
};

struct action; /* action.h */

struct rule_target {
    enum rule_target_kind kind;
    struct bytes text; /* the topic template as written, or the relation's name */
    struct diag_place place;
    const struct action *action; /* of AWS rule JSON; NULL: of SQL */
};

/* Everything that a file says. All memory is the file's own arena. */
struct rule_file {
    struct arena arena;
    struct bytes name; /* as shown in messages: etc/rules.d/hot.sql */
    struct bytes text; /* own copy */
    const struct rule_relation *relations;
    size_t relation_count;
    /* Tables that actions of AWS rule JSON name: they are there unless a file declares them. */
    const struct rule_relation *implied;
    size_t implied_count;
    struct rule *const *rules;
    size_t rule_count;
    const struct rule_declaration *declarations;
    size_t declaration_count;
    struct diag_list deferred; /* see rule_report_deferred() */
};

/*
 * Parses and compiles a file. `path` is for messages, and its base name without the ending names
 * the rules. All errors of the file are reported, not only the first (recovery at ';'). On false
 * there is at least one error and `*out` is untouched; warnings may come with true.
 * Names of tables are not resolved here: they may be declared in another file.
 */
bool rule_file_parse(struct rule_file **out, struct bytes path, struct bytes text,
                     struct diag_list *diags) MUST_CHECK;
void rule_file_free(struct rule_file *file);

/*
 * Reads AWS rule JSON: {"sql", "actions", ...} alone, as create-topic-rule and get-topic-rule wrap
 * it, and as CloudFormation does (a template, a resource, or its properties); or a list of such.
 * Everything else is as with rule_file_parse(). Source: AWS IoT developer guide and API reference,
 * "TopicRulePayload".
 */
bool rule_document_parse(struct rule_file **out, struct bytes path, struct bytes text,
                         struct diag_list *diags) MUST_CHECK;

/* Appends a rule that was read from AWS rule JSON as create-topic-rule takes it: {"ruleName",
 * "topicRulePayload"}. Actions that lack a "roleArn" get `role`, unless that is empty. */
void rule_document_write(const struct rule *rule, struct bytes role, struct buf *out);

/* The text of the expression that gives the member `name` of the row: of SELECT a.b AS name "a.b",
 * of SELECT * the name itself. Empty when there is none. In `arena`. */
struct bytes rule_member_expression(struct bytes sql, struct bytes name, struct arena *arena);

/* A query that does not stand in a statement: from AWS rule JSON, or from the command line. */
struct rule_sql {
    struct bytes path;             /* for messages */
    struct bytes name;             /* of the rule */
    struct bytes sql;              /* [SET ...] SELECT ... [FROM ...] [WHERE ...] */
    bool comments;                 /* AWS refuses them */
    bool version_2015;             /* awsIotSqlVersion 2015-10-08 */
    const struct bytes *templates; /* texts with ${...}: they become the rule's targets */
    size_t template_count;
};

/*
 * Compiles one query into a file with one rule. Without FROM the rule's source is empty: such a
 * rule is reached by its name only ($aws/rules/NAME).
 */
bool rule_sql_parse(struct rule_file **out, const struct rule_sql *sql,
                    struct diag_list *diags) MUST_CHECK;

/* The functions that expressions may call, for completion and the manual: names by index, NULL
 * behind the last. */
const char *rule_function_name(size_t i);

/* ---- what a rule is ---- */

enum rule_source_kind {
    RULE_SOURCE_TOPIC,
    /* One bare name: what a function emits, in topic SQL, or a table or view, in stream SQL. Which
     * of them is known when the files are linked. */
    RULE_SOURCE_RELATION,
    RULE_SOURCE_QUERY, /* joins, windows, subqueries: stream SQL (stream/stream.h) */
};

/* Where a rule names a field. */
enum rule_field_use {
    RULE_FIELD_SET = 1,
    RULE_FIELD_SELECT = 2,
    RULE_FIELD_WHERE = 4,
    RULE_FIELD_TARGET = 8, /* in a template */
};

/* What a field must be for the rule to get anywhere with it. */
enum rule_field_wish {
    RULE_WISH_ANY,
    RULE_WISH_NUMERIC, /* a number, or a string that is one: x > 5, x * 2 */
    RULE_WISH_NUMBER,  /* x = 5 */
    RULE_WISH_STRING,  /* x = 'on' */
    RULE_WISH_BOOLEAN, /* x = true */
};

/*
 * A path into the payload that the rule names: device.id, also as get(device, 'id'). Not in the
 * list: variables, and what a nested SELECT names, which may be a member of its elements.
 */
struct rule_field {
    struct bytes name; /* with dots */
    const struct bytes *segments;
    size_t segment_count;
    unsigned uses;     /* enum rule_field_use */
    enum rule_field_wish wish; /* the first that is not ANY */
    bool may_be_missing; /* it is only asked for by functions that cope with that */
    struct diag_place place;
};

/* One condition of WHERE a AND b AND c. */
struct rule_conjunct {
    struct bytes text; /* as written */
    struct diag_place place;
    const uint32_t *fields; /* indices into rule_info.fields */
    size_t field_count;
};

enum { RULE_FIELDS_MAX = 64 };

struct rule_info {
    const struct rule_target *targets;
    size_t target_count;
    struct bytes name;
    enum rule_source_kind source_kind;
    struct bytes source; /* topic filter or relation name; empty: none */
    struct diag_place source_place;
    /* Where the rule's error action sends: rule_run_error(). 'on_error' = '...' of SQL */
    const struct rule_target *error_targets;
    size_t error_target_count; /* 0: the rule has none */
    const struct rule_option *options; /* of CREATE RULE ... WITH */
    size_t option_count;
    const struct rule_conjunct *conjuncts; /* of WHERE, in the order in which they are asked */
    size_t conjunct_count;
    const struct rule_field *fields; /* each path once, at most RULE_FIELDS_MAX */
    size_t field_count;
    size_t fields_omitted; /* that were too many */
    struct bytes text; /* the statement as written; of AWS rule JSON its SQL */
    struct bytes sql;  /* [SET ...] SELECT ..., of it */
    struct bytes description;
    bool is_document; /* it comes from AWS rule JSON */
    bool disabled;    /* ruleDisabled: loaded and checked, not run */
    struct diag_place place;
    bool calls_functions; /* it asks what takes its time: RULE_ASK_FUNCTION, RULE_ASK_MODEL */
};

/* The value of an option; data NULL when it is not given. */
struct bytes rule_info_option(const struct rule_info *info, struct bytes name);

const struct rule_info *rule_info(const struct rule *rule);

/*
 * Adds the errors that a rule with RULE_SOURCE_RELATION has as topic SQL: they count only when its
 * source turns out to be a function. False: there are some, and the rule cannot be run.
 */
bool rule_report_deferred(const struct rule_file *file, const struct rule *rule,
                          struct diag_list *diags) MUST_CHECK;

/* ---- running ---- */

struct zone; /* base/zone.h */

/* What the external functions ask, with the arguments: texts, or JSON where it says so. */
enum rule_question {
    RULE_ASK_SHADOW,     /* thing[, shadow] -> its document in JSON */
    RULE_ASK_ITEM,       /* table, key name, key (JSON)[, sort key name, sort key (JSON)] -> JSON */
    RULE_ASK_SECRET,     /* id, SecretString or SecretBinary[, key] -> text */
    RULE_ASK_FUNCTION,   /* name or ARN, argument (JSON) -> JSON; takes its time */
    RULE_ASK_THING,      /* thing -> JSON, as DescribeThing gives */
    RULE_ASK_GROUPS,     /* thing -> JSON, as ListThingGroupsForThing gives */
    RULE_ASK_MODEL,      /* model, record (JSON) -> JSON; takes its time */
    RULE_ASK_DESCRIPTOR, /* bucket, key -> a FileDescriptorSet of protobuf */
};

struct rule_message;

struct rule_ask {
    enum rule_question question;
    const struct rule_message *message;
    const struct bytes *args; /* not empty, each of them */
    size_t count;
    struct arena *arena; /* for the answer */
    struct bytes answer; /* or, when it failed, one sentence */
};

enum rule_answer {
    RULE_ANSWERED,
    RULE_NO_SUCH,    /* there is none: Undefined */
    RULE_ASK_FAILED, /* the rule fails, unless get_or_default() catches it */
};

/*
 * What rules ask of the one that runs them, because rules/ itself knows no files. Every member may
 * be NULL, and so may the host: then the functions that need it give Undefined or fail.
 * Called on the thread of rule_run().
 */
struct rule_host {
    /* Answers what an external function asks. May block only where the caller of rule_run() may. */
    enum rule_answer (*ask)(void *context, struct rule_ask *ask);
    /* A time zone by its name ("Europe/Oslo"); NULL when there is none. Lives as long as the host. */
    const struct zone *(*zone)(void *context, struct bytes name);
    void *context;
};

struct rule_property {
    struct bytes name;
    struct bytes value;
};

/*
 * What is known of a message beside topic and payload: its MQTT 5 properties, and who sent it.
 * Absent texts have data == NULL.
 */
struct rule_origin {
    struct bytes content_type;
    struct bytes response_topic;
    struct bytes correlation;     /* raw bytes */
    bool payload_is_text;         /* Payload Format Indicator 1 */
    const struct rule_property *user; /* user properties in order; names may repeat */
    size_t user_count;
    struct bytes account_id;
    struct bytes client_id;
    struct bytes principal;
    struct bytes source_ip;
    struct bytes trace_id; /* absent: made from trace_seed */
    uint64_t trace_seed;   /* of the stream; 0: the message has no trace id */
};

/*
 * A message on its way through the rules. The payload is parsed at most once, when the first rule
 * asks for a field, and shared by all rules. Everything a rule makes lives in `arena` until the
 * caller resets it.
 */
struct rule_message {
    struct arena *arena;
    struct bytes topic;
    struct bytes payload;
    int64_t time_us;   /* arrival; timestamp() is this in milliseconds */
    uint64_t seed;     /* for rand() and newuuid(): the same message gives the same values */
    unsigned qos;
    unsigned depth_max; /* of the payload's nesting; 0: 64 */
    const struct rule_origin *origin; /* NULL: nothing is known */
    const struct rule_host *host;     /* may be NULL */

    struct rule_payload *parsed; /* set by the library; NULL at first */
};

enum rule_verdict {
    RULE_MATCHED,    /* `out` holds the row */
    RULE_FILTERED,   /* WHERE was false */
    RULE_UNDEFINED,  /* WHERE was Undefined: a field was missing or of a wrong type */
    RULE_NOTHING,    /* SELECT VALUE gave Undefined: there is no payload to send */
    RULE_FAILED,     /* could not be evaluated: `reason` */
};

/* One record for one target. A target gets one of a row, or several, or a failure instead. */
struct rule_output {
    uint32_t target;       /* index into rule_info.targets */
    bool payload_is_json;
    struct bytes text;     /* of the target: filled in, or the relation's name */
    struct bytes params;   /* an action's parameters, filled in, as a JSON object; empty: none */
    struct bytes payload;  /* JSON text, or raw bytes */
    struct bytes failure;  /* not empty: the row is nothing for this target, and why */
};

struct rule_row {
    struct bytes payload;  /* what SELECT made: JSON text, or the raw bytes of such a payload */
    bool payload_is_json;
    const struct rule_output *outputs; /* in the order of the targets */
    size_t output_count;
    const char *reason; /* with RULE_FAILED: static, or in the message's arena */
    uint32_t conjunct;  /* with RULE_FILTERED and RULE_UNDEFINED: which of WHERE decided */
};

/* Whether a message's payload is JSON, and if not why (static text). Parses if needed. */
bool rule_message_is_json(struct rule_message *message, const char **reason);

/* What traceid() gives, in the message's arena; data NULL: the message has none. */
struct bytes rule_message_trace_id(const struct rule_message *message);

enum rule_verdict rule_run(const struct rule *rule, struct rule_message *message,
                           struct rule_row *out);

/*
 * Fills the targets of a rule with a row that was made elsewhere, by stream SQL: the payload of
 * `message`, which templates see. Outputs are as those of rule_run().
 */
void rule_fill(const struct rule *rule, struct rule_message *message, struct rule_row *out);

/* One target that could not be served, as the error action tells it. */
struct rule_failure {
    struct bytes action;   /* "RepublishAction", "HttpAction", ... */
    struct bytes resource; /* topic, table, URL, ... */
    struct bytes message;  /* why, one sentence */
};

/*
 * Runs the rule's error action: `message` is the original one, `failures` what became of its
 * targets. Gives one output an error target, with the payload of error_action.h; outputs have a
 * `failure` as those of rule_run(). Templates see the original message.
 */
void rule_run_error(const struct rule *rule, struct rule_message *message,
                    const struct rule_failure *failures, size_t failure_count,
                    struct rule_row *out);

#endif
