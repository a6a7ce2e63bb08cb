/*
 * Stage 4: running a compiled rule.
 *
 * A program is a read-only tree of nodes; each holds the function that evaluates it, so there is
 * no dispatch on kinds at run time. All that changes lives in `struct run`, one for each rule and
 * message. Nodes are made by compile.c only, and put where they are run from by pool.c: whoever
 * gives a node, a query or a layout something new to point to makes pool.c keep it.
 *
 * Names are looked up in the innermost scope first, then outward: the element that a nested SELECT
 * is at, and at last the payload.
 */
#ifndef HEADGATE_RULES_EVAL_H
#define HEADGATE_RULES_EVAL_H

#include "ast.h"
#include "rule.h"
#include "value.h"

struct rule_payload {
    struct json json;
    bool is_json;       /* a top-level object or array */
    const char *reason; /* why not; static */
};

struct scope {
    struct value element;
    struct bytes alias; /* empty: none */
    const struct scope *outer;
};

/* One evaluation of one rule for one message. */
struct run {
    struct rule_message *message;
    struct arena *arena;          /* the message's */
    const struct scope *scope;
    struct value *variables;      /* SET @name = ..., by index */
    const uint64_t *salt;         /* of the rule: rules draw different random numbers */
    uint64_t draws;               /* random numbers drawn so far */
    uint32_t conjunct;            /* which one of WHERE stopped the message, when one did */
    bool version_2015;
    const char *failure;          /* an external function failed, and so does the rule; else NULL */
};

struct node;
struct function;
struct query;

typedef void node_fn(const struct node *node, struct run *run, struct value *out);

/* What of a node's own its evaluator looks at, beside `items`. */
enum node_content {
    NODE_NOTHING,
    NODE_CONSTANT,
    NODE_NAMES,    /* a path, a member, the keys of an object */
    NODE_FUNCTION,
    NODE_VARIABLE,
    NODE_QUERY,
};

struct node {
    node_fn *eval;
    uint32_t item_count;
    uint8_t op;      /* enum expr_op, enum cast_type */
    uint8_t content; /* enum node_content: which of these */
    union {
        struct value constant;
        struct {
            const struct bytes *names;
            uint32_t name_count;
        };
        struct {
            const struct function *function;
            const void *prepared; /* made at load by function->prepare, or NULL */
        };
        uint32_t variable; /* index into run->variables */
        struct {
            const struct query *query; /* over items[0] */
            struct bytes alias;        /* FROM x AS alias */
        };
    };
    const struct node *items[]; /* operands, arguments; NULL where CASE has none */
};

static inline void
node_eval(const struct node *node, struct run *run, struct value *out)
{
    node->eval(node, run, out);
}

/* The evaluators (eval.c), named after what they evaluate. */
node_fn eval_constant, eval_path, eval_path_2015, eval_variable, eval_star, eval_member,
        eval_index, eval_not, eval_negate, eval_and, eval_or, eval_equal, eval_not_equal,
        eval_order, eval_add, eval_arithmetic, eval_in, eval_case, eval_array,
        eval_object, eval_call, eval_catch, eval_cast, eval_select, eval_exists;

enum cast_type { CAST_STRING, CAST_INT, CAST_DECIMAL, CAST_BOOLEAN };

/* ---- queries: SELECT ... WHERE ... over one message or element ---- */

struct output_item {
    const struct node *node; /* NULL: '*' */
    bool star;               /* '*' or 'node.*': the members, not the value */
    struct name_path alias;
};

/* Where the items go in the row: a tree, since AS a.b makes nested objects. */
struct layout {
    struct bytes key_text; /* "name": with quotes and colon */
    struct bytes name;
    const uint32_t *items; /* that give this member a value; the last that is defined wins */
    uint32_t item_count;
    const struct layout *parts; /* members of a nested object */
    uint32_t part_count;
};

enum query_shape {
    QUERY_WHOLE,  /* SELECT *: the payload as it is */
    QUERY_VALUE,  /* SELECT VALUE x */
    QUERY_FIELDS, /* no '*': laid out at load */
    QUERY_EXTEND, /* SELECT *, fields */
    QUERY_MERGE,  /* '*' in other places, or more than one */
};

struct query {
    const struct node *const *conjuncts; /* of WHERE, from left to right; none: all pass */
    const struct output_item *items;
    const struct layout *layout; /* of all items but a leading '*' */
    const struct node *const *variables; /* SET, in order */
    uint32_t conjunct_count;
    uint32_t item_count;
    uint32_t variable_count;
    enum query_shape shape;
};

/* Text with ${expressions} in it: the text of parts without `node`, the value of those with. */
struct template_part {
    struct bytes text;
    const struct node *node;
};

struct template {
    const struct template_part *parts;
    uint32_t part_count;
};

/* The same text for every message. */
static inline bool
template_is_fixed(const struct template *template)
{
    return template->part_count == 0 ||
           (template->part_count == 1 && template->parts[0].node == NULL);
}

/* What a rule makes of its row for one target. */
struct target_program {
    enum rule_target_kind kind;
    struct bytes text;        /* of a relation: its name */
    struct template template; /* of the others */
    const struct action *action; /* of AWS rule JSON: makes the outputs; NULL: the row is one */
};

enum query_verdict { QUERY_ROW, QUERY_FILTERED, QUERY_UNDEFINED, QUERY_NOTHING, QUERY_FAILED };

/* SET: what templates of the rule see without a row being made. */
void query_set_variables(const struct query *query, struct run *run);

/*
 * Evaluates SET, WHERE and SELECT in the run's scope and appends the row's JSON text to `out` (for
 * QUERY_WHOLE nothing: the caller has the text). With QUERY_FAILED, `*reason` tells why.
 */
enum query_verdict query_run(const struct query *query, struct run *run, struct buf *out,
                             const char **reason);

/* The payload, parsed when this is the first to ask. */
const struct rule_payload *run_payload(struct rule_message *message);

/* What '*' stands for at the top: the document, the raw bytes, or {} of an empty payload. */
struct value payload_value(struct rule_message *message);

#endif
