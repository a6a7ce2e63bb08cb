/*
 * How an error action names what failed: AWS IoT's class of the action ("RepublishAction",
 * "S3Action") and its resource. Source: AWS IoT developer guide, "Error message format".
 */
#ifndef HEADGATE_ACTION_CLASS_H
#define HEADGATE_ACTION_CLASS_H

#include "ruleset.h"

/*
 * Of a rule's target; lives as long as the rule. A connector that no action of AWS stands for is
 * its own class.
 */
struct bytes action_class(const struct ruleset_rule *rule, size_t target);

/* The topic or table that an output was for, or the URL that its parameters name. */
struct bytes action_resource(const struct rule_output *output, struct arena *arena);

#endif
