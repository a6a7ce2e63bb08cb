/* What the kinds of vectors share: one line of a file, and comparing JSON. */
#ifndef HEADGATE_TESTS_VECTOR_H
#define HEADGATE_TESTS_VECTOR_H

#include "base/json.h"
#include "rules/rule.h"

struct vector {
    struct json json;
    struct arena arena;
    struct bytes id;
    struct bytes area;
    const struct rule_host *host;
};

/* A member's text; data NULL when it is no string. */
struct bytes member_string(struct vector *vector, uint32_t object, const char *name);

/* A member of the vector; 0: there is none. */
uint32_t member(const struct vector *vector, const char *name);

/* Whether the node is {"name": ...} and nothing else. */
bool is_marked(const struct json *json, uint32_t node, const char *name);

/* PARTLY: members that are not expected do not count, and "5" is 5. NEARLY: 1e-14. CLOSELY: 1e-9. */
enum comparing { BY_VALUE, BY_TEXT, NEARLY, CLOSELY, PARTLY };

bool nodes_equal(const struct json *a, uint32_t x, const struct json *b, uint32_t y,
                 enum comparing how, struct arena *arena);

/* The kinds: whether the vector passed; `out` holds what came otherwise. */
bool run_iot_sql(struct vector *vector, struct buf *out);
bool run_windows(struct vector *vector, struct buf *out);
bool run_flink(struct vector *vector, struct buf *out);

#endif
