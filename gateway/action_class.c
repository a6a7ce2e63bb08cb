/*
 * The names come from the table of actions (rules/actions.def): of a target in AWS rule JSON its
 * own action, of one in SQL the action that its connector stands for.
 */
#include "action_class.h"

#include "base/json.h"
#include "rules/action.h"

struct bytes
action_class(const struct ruleset_rule *rule, size_t target)
{
    const struct action *action = rule->info->targets[target].action;
    const struct ruleset_relation *relation = rule->targets[target].relation;
    if (action != NULL) {
        return bytes_of_string(action->kind->failed);
    }
    if (relation == NULL) {
        return BYTES("RepublishAction");
    }
    const struct action_kind *kind = action_kind_of_connector(relation->declared->connector);
    return kind == NULL ? relation->declared->connector : bytes_of_string(kind->failed);
}

struct bytes
action_resource(const struct rule_output *output, struct arena *arena)
{
    struct json json;
    struct json_error error;
    if (output->params.size == 0 ||
        !json_parse(&json, output->params, JSON_DEPTH_MAX_DEFAULT, arena, &error)) {
        return output->text;
    }
    uint32_t url = json.nodes[0].kind == JSON_OBJECT ? json_member(&json, 0, BYTES("url")) : 0;
    return url != 0 && json.nodes[url].kind == JSON_STRING ? json_string(&json, url, arena)
                                                            : output->text;
}
