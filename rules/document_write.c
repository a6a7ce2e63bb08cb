/*
 * A rule as AWS rule JSON, as create-topic-rule takes it.
 */
#include "action.h"
#include "load.h"

static void
write_actions(struct buf *out, const struct rule_target *targets, size_t count, struct bytes role)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_char(out, ',');
        }
        action_write(out, targets[i].action, role);
    }
}

void
rule_document_write(const struct rule *rule, struct bytes role, struct buf *out)
{
    const struct rule_info *info = &rule->about->info;
    check(info->is_document);
    buf_append_string(out, "{\"ruleName\":");
    json_write_string(out, info->name);
    buf_append_string(out, ",\"topicRulePayload\":{\"sql\":");
    json_write_string(out, info->text);
    if (info->description.size > 0) {
        buf_append_string(out, ",\"description\":");
        json_write_string(out, info->description);
    }
    buf_append_string(out, ",\"actions\":[");
    write_actions(out, info->targets, info->target_count, role);
    buf_printf(out, "],\"ruleDisabled\":%s,\"awsIotSqlVersion\":\"%s\"",
               info->disabled ? "true" : "false",
               rule->version_2015 ? "2015-10-08" : "2016-03-23");
    if (info->error_target_count > 0) {
        buf_append_string(out, ",\"errorAction\":");
        write_actions(out, info->error_targets, 1, role);
    }
    buf_append_string(out, "}}");
}
