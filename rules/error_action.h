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

/* Appends the payload. Bytes that are not UTF-8 in a text are replaced by U+FFFD. */
void error_action_write(struct buf *out, struct bytes rule, const struct rule_message *message,
                        const struct rule_failure *failures, size_t failure_count);

#endif
