/*
 * Vectors of area action: {"action": {"influxDB": {...}}}, an action as in AWS rule JSON but
 * without the parameters that do not matter.
 *
 * What is expected:
 *
 *   republish         the topic, if it is a string
 *   timestream        [{"measure_name", "type", "value"}, ...]
 *   dynamoDB(v2)      the item
 *   others            a string: the payload; with batchMode a list, of strings or values;
 *                     an object: some of the parameters, filled in, and "payload"; or the
 *                     payload alone
 */
#ifndef HEADGATE_TESTS_VECTORS_ACTION_H
#define HEADGATE_TESTS_VECTORS_ACTION_H

#include "rules/action.h"

/* The rule document around the action in `node`. */
struct bytes action_document(const struct json *json, uint32_t node, struct bytes sql,
                             struct bytes version, struct arena *arena);

/*
 * What the rule's one action made of a row, as JSON text; `*partly`: members beyond those that are
 * expected do not count. False: it failed, and the text says why.
 */
bool action_result(const struct json *json, uint32_t node, const struct rule *rule,
                   const struct rule_row *row, bool is_text_expected, struct arena *arena,
                   struct bytes *text, bool *partly);

#endif
