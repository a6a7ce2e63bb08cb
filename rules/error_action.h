/*
 * What an error action receives: the payload that AWS IoT documents in "Error handling (error
 * action)".
 *
 *   {"ruleName","topic","cloudwatchTraceId","clientId","base64OriginalPayload",
 *    "failures":[{"failedAction","failedResource","errorMessage"}]}
 *
 * A client that is not known is "n/a", as clientid() says on AWS; a trace that is not known is "";
 * "sourceIp" stands behind "clientId" where it is known. Pure.
 */
#ifndef HEADGATE_RULES_ERROR_ACTION_H
#define HEADGATE_RULES_ERROR_ACTION_H

#include "rule.h"

/* What failed of a batch: which of its messages, counted from 1. */
struct error_batch_failure {
    struct rule_failure failure;
    const uint32_t *affected;
    size_t affected_count;
};

/*
 * AWS's class of what a target does ("RepublishAction"), of one in SQL by its connector ("topic" of
 * a topic); static. A connector that no action of AWS stands for is its own class.
 */
struct bytes error_action_class(const struct rule_target *target, struct bytes connector);

/* Appends the payload. Bytes that are not UTF-8 in a text are replaced by U+FFFD. */
void error_action_write(struct buf *out, struct bytes rule, const struct rule_message *message,
                        const struct rule_failure *failures, size_t failure_count);

/*
 * Appends the payload for an action that batches messages (http, influxDB):
 *
 *   {"ruleName","topic","payloadsWithMetadata":[{"id","cloudwatchTraceId","clientId",
 *    "base64OriginalPayload"}],"failures":[{"affectedIds","failedAction",...}]}
 *
 * `across_topics` (AWS: batchAcrossTopics): the topic is told with each message. At least one
 * message.
 */
void error_action_write_batch(struct buf *out, struct bytes rule,
                              const struct rule_message *messages, size_t message_count,
                              bool across_topics, const struct error_batch_failure *failures,
                              size_t failure_count);

#endif
