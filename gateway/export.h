/*
 * Rules as AWS rule JSON, for those who move them to AWS IoT Core; and stream SQL for Flink.
 *
 * A rule from AWS rule JSON is printed as it was read. A rule in SQL is printed with the actions
 * that its targets are: a topic is republish, a time series timestream, a key-value table
 * dynamoDBv2, a function lambda, a web server http. What AWS cannot do is an error that says so.
 * Pure: nothing is opened.
 */
#ifndef HEADGATE_EXPORT_H
#define HEADGATE_EXPORT_H

#include "ruleset.h"

#include "rules/stream/flink.h"

/* What AWS needs to know and no rule file says. */
struct export_options {
    struct bytes role;     /* "arn:aws:iam::123456789012:role/name": of every action */
    struct bytes region;   /* of functions' ARNs: "us-east-1" */
    struct bytes account;  /* twelve digits */
    struct bytes database; /* of Timestream */
};

/* Appends {"ruleName", "topicRulePayload"}; false, with errors and nothing appended, when AWS
 * cannot do what the rule does. */
bool export_rule(const struct ruleset_rule *rule, const struct export_options *options,
                 struct buf *out, struct diag_list *diags) MUST_CHECK;

/*
 * Appends the stream SQL of the ruleset's file of that index as Flink SQL (rules/stream/flink.h);
 * what Flink cannot do is left out, with errors.
 */
void export_script(const struct ruleset *ruleset, size_t file, const struct flink_options *options,
                   struct buf *out, struct diag_list *diags);

#endif
