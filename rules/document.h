/*
 * Reading AWS rule JSON: what document.c (rules) and action_read.c (actions) share.
 *
 * The document is read with base/json, which keeps offsets: every error is told at its place in the
 * file, also those inside of SQL and templates.
 */
#ifndef HEADGATE_RULES_DOCUMENT_H
#define HEADGATE_RULES_DOCUMENT_H

#include "action.h"
#include "load.h"

struct document {
    struct loader *loader;
    struct json json;
    struct line_index lines; /* of the whole file */
    bool pascal;             /* names are spelled as CloudFormation does: TopicRulePayload */
};

/* Adds an error or warning at a value (or a member's name). */
void document_report(struct document *document, enum diag_level level, uint32_t node,
                     const char *format, ...) PRINTF_LIKE(4, 5);

/* The hint of the newest. */
void document_hint(struct document *document, const char *format, ...) PRINTF_LIKE(2, 3);

/* Whether the member's name is `name`, in the spelling of the document. */
bool document_is_named(const struct document *document, uint32_t name_node, const char *name);

/* The content of a string, kept with the file. */
struct bytes document_text(struct document *document, uint32_t node);

/* "object", "list", "string", ...: what a value is, for messages. */
const char *document_kind_name(const struct document *document, uint32_t node);

/* The hint for an object in the place of a value, as CloudFormation's functions are. */
void document_hint_functions(struct document *document, uint32_t node);

/* What is compiled until document_leave() is the content of this string. */
void document_enter(struct document *document, struct bytes text, uint32_t node);
void document_leave(struct document *document);

/*
 * Reads {"republish": {...}}. All errors are told; false when there were some. The variables of
 * the rule's query are visible to templates.
 */
bool action_read(struct document *document, uint32_t node, bool is_error_action,
                 struct action *out) MUST_CHECK;

/*
 * The target that an action is: a topic, or the table that `implied` then declares (its name is
 * empty for a topic). False after an error.
 */
bool action_read_target(struct document *document, uint32_t node, const struct action *action,
                        struct rule_target *out, struct rule_relation *implied) MUST_CHECK;

#endif
