/* Lookup join: a row and what a table holds under its key. Nothing is kept. */
#include "lookup.h"

/* {"id":"sensor-1"}; false: the row failed, or a key is NULL and has no partner. */
static bool
make_key(struct stream_op *op, struct stream_run *run, const struct stream_value *row,
         struct buf *key, bool *has_null)
{
    const struct lookup_plan *plan = (const struct lookup_plan *)op->plan;
    *has_null = false;
    for (size_t i = 0; i < plan->key_count; i++) {
        struct stream_value value;
        if (!stream_op_eval(op, run, plan->keys[i], row, &value)) {
            return false;
        }
        *has_null |= value.is_null;
        buf_append_char(key, i == 0 ? '{' : ',');
        buf_append(key, plan->key_names[i]);
        stream_value_write(key, plan->keys[i]->type, &value, STREAM_TIME_SQL);
    }
    buf_append_char(key, '}');
    return true;
}

/* The item's members as columns; false: it is no such item. */
static bool
read_item(const struct lookup_plan *plan, struct stream_run *run, struct bytes item,
          struct stream_value *out)
{
    struct json json;
    struct json_error error;
    if (!json_parse(&json, item, JSON_DEPTH_MAX_DEFAULT, &run->arena, &error) ||
        json.nodes[0].kind != JSON_OBJECT) {
        return false;
    }
    for (size_t i = plan->left_count; i < plan->op.schema.count; i++) {
        const struct stream_column *column = &plan->op.schema.columns[i];
        if (!stream_value_read(&out[i], column->type, &json,
                               json_member(&json, 0, column->name), &run->arena)) {
            return false;
        }
    }
    return true;
}

static void
push(struct stream_op *op, struct stream_run *run, struct stream_value *both, bool found)
{
    const struct lookup_plan *plan = (const struct lookup_plan *)op->plan;
    struct stream_value pass = stream_integer(1);
    if (found && plan->rest != NULL) {
        if (!stream_op_eval(op, run, plan->rest, both, &pass)) {
            return;
        }
        found = !pass.is_null && pass.integer != 0;
    }
    for (size_t i = plan->left_count; i < plan->op.schema.count && !found; i++) {
        both[i] = stream_null();
    }
    if (found || plan->is_left) {
        stream_push(op, run, both);
    }
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    const struct lookup_plan *plan = (const struct lookup_plan *)op->plan;
    struct stream_value *both = arena_new_array(&run->arena, struct stream_value,
                                                plan->op.schema.count);
    struct buf key = {.arena = &run->arena};
    struct bytes item = BYTES("");
    bool has_null;
    memcpy(both, values, plan->left_count * sizeof *both);
    if (!make_key(op, run, values, &key, &has_null)) {
        return;
    }
    const struct stream_output *host = &run->output;
    if (!has_null && (host->lookup == NULL || !host->lookup(host->context, plan->table,
                                                            buf_bytes(&key), &run->arena,
                                                            &item))) {
        run->stats.failed++;
        stream_reject(run, "the table could not be asked");
        return;
    }
    if (item.size > 0 && !read_item(plan, run, item, both)) {
        run->stats.bad++;
        stream_reject(run, "the table's item has a column of another type");
        return;
    }
    push(op, run, both, item.size > 0);
}

const struct stream_op_class stream_lookup_class = {
        .name = "lookup",
        .size = sizeof(struct stream_op),
        .row = row,
};
