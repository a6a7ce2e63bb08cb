/* One line of a file of vectors, and comparing JSON. */
#include "vector.h"

#include <math.h>

struct bytes
member_string(struct vector *vector, uint32_t object, const char *name)
{
    uint32_t node = json_member(&vector->json, object, bytes_of_string(name));
    bool string = node != 0 && vector->json.nodes[node].kind == JSON_STRING;
    return string ? json_string(&vector->json, node, &vector->arena) : bytes_of(NULL, 0);
}

uint32_t
member(const struct vector *vector, const char *name)
{
    return json_member(&vector->json, 0, bytes_of_string(name));
}

bool
is_marked(const struct json *json, uint32_t node, const char *name)
{
    return json->nodes[node].kind == JSON_OBJECT && json->nodes[node].count == 1 &&
           json_member(json, node, bytes_of_string(name)) != 0;
}

/* ---- comparing ---- */

static bool
numbers_equal(const struct json *a, uint32_t x, const struct json *b, uint32_t y,
              enum comparing how)
{
    double p = json_double(a, x), q = json_double(b, y);
    if (how == BY_TEXT) {
        return bytes_equal(json_raw(a, x), json_raw(b, y));
    }
    double most = how == NEARLY ? 1e-14 : how == CLOSELY ? 1e-9 : 0;
    return p == q || (most > 0 && (fabs(p - q) <= most * fmax(fabs(p), fabs(q)) ||
                                   fabs(p - q) < 1e-300));
}

/* Of a string its content, of a number how it is written. */
static struct bytes
text_of(const struct json *json, uint32_t node, struct arena *arena)
{
    return json->nodes[node].kind == JSON_STRING ? json_string(json, node, arena)
                                                 : json_raw(json, node);
}

bool
nodes_equal(const struct json *a, uint32_t x, const struct json *b, uint32_t y,
            enum comparing how, struct arena *arena)
{
    const struct json_node *p = &a->nodes[x], *q = &b->nodes[y];
    bool fewer = how == PARTLY && p->kind == JSON_OBJECT && p->count <= q->count;
    if (how == PARTLY && p->kind + q->kind == JSON_NUMBER + JSON_STRING && p->kind != q->kind) {
        return bytes_equal(text_of(a, x, arena), text_of(b, y, arena));
    }
    if (p->kind != q->kind || (p->count != q->count && !fewer)) {
        return false;
    }
    switch ((enum json_kind)p->kind) {
    case JSON_NUMBER:
        return numbers_equal(a, x, b, y, how);
    case JSON_STRING:
        return bytes_equal(json_string(a, x, arena), json_string(b, y, arena));
    case JSON_ARRAY:
        for (uint32_t i = 0; i < p->count; i++) {
            if (!nodes_equal(a, json_element(a, x, i), b, json_element(b, y, i), how, arena)) {
                return false;
            }
        }
        return true;
    case JSON_OBJECT:
        for (uint32_t i = 0, name = x + 1; i < p->count; i++, name = a->nodes[name + 1].next) {
            uint32_t other = json_member(b, y, json_string(a, name, arena));
            if (other == 0 || !nodes_equal(a, name + 1, b, other, how, arena)) {
                return false;
            }
        }
        return true;
    default:
        return true;
    }
}
