#include "unit.h"

#include "base/buf.h"
#include "rules/parse.h"

#include <stdio.h>

/* ---- trees as text: (+ a (* b 2)) ---- */

static const char *const op_names[] = {
        [OP_OR] = "or", [OP_AND] = "and", [OP_NOT] = "not", [OP_EQUAL] = "=",
        [OP_NOT_EQUAL] = "<>", [OP_LESS] = "<", [OP_LESS_EQUAL] = "<=", [OP_GREATER] = ">",
        [OP_GREATER_EQUAL] = ">=", [OP_ADD] = "+", [OP_SUBTRACT] = "-", [OP_CONCAT] = "||",
        [OP_MULTIPLY] = "*", [OP_DIVIDE] = "/", [OP_MODULO] = "%", [OP_NEGATE] = "neg",
};

static const char *const kind_names[] = {
        [EXPR_STAR] = "star", [EXPR_IN] = "in", [EXPR_BETWEEN] = "between", [EXPR_LIKE] = "like",
        [EXPR_IS_NULL] = "isnull", [EXPR_CASE] = "case", [EXPR_CAST] = "cast",
        [EXPR_ARRAY] = "array", [EXPR_OBJECT] = "object", [EXPR_INDEX] = "index",
        [EXPR_MEMBER] = ".", [EXPR_CALL] = "call", [EXPR_SELECT] = "select",
        [EXPR_EXISTS] = "exists",
};

static void show_select(struct buf *out, const struct select *select);

static void
show(struct buf *out, const struct expr *expr)
{
    if (expr == NULL) {
        buf_append_string(out, "-");
        return;
    }
    switch (expr->kind) {
    case EXPR_NULL: case EXPR_TRUE: case EXPR_FALSE: case EXPR_NUMBER: case EXPR_NAME:
        buf_append(out, expr->text);
        return;
    case EXPR_STRING:
        buf_printf(out, "'%.*s'", BYTES_ARG(expr->text));
        return;
    case EXPR_VARIABLE:
        buf_printf(out, "@%.*s", BYTES_ARG(expr->text));
        return;
    case EXPR_INTERVAL: case EXPR_TYPED_STRING:
        buf_printf(out, "[%s%.*s %.*s]", expr->op == OP_NEGATE ? "-" : "", BYTES_ARG(expr->text),
                   BYTES_ARG(expr->type));
        return;
    case EXPR_STAR:
        if (expr->item_count == 0) {
            buf_append_string(out, "*");
            return;
        }
        break;
    default:
        break;
    }
    bool op = expr->kind == EXPR_UNARY || expr->kind == EXPR_BINARY;
    buf_printf(out, "(%s%s", expr->negated ? "not-" : "",
               op ? op_names[expr->op] : kind_names[expr->kind]);
    if (expr->kind == EXPR_CALL || expr->kind == EXPR_MEMBER) {
        buf_printf(out, " %.*s", BYTES_ARG(expr->text));
    }
    buf_append_string(out, expr->distinct ? " distinct" : "");
    for (size_t i = 0; i < expr->item_count; i++) {
        buf_append_char(out, ' ');
        show(out, expr->items[i]);
    }
    if (expr->kind == EXPR_CAST) {
        buf_printf(out, " %.*s", BYTES_ARG(expr->type));
    }
    if (expr->select != NULL) {
        buf_append_char(out, ' ');
        show_select(out, expr->select);
    }
    buf_append_char(out, ')');
}

static void
show_path(struct buf *out, const struct name_path *path)
{
    for (size_t i = 0; i < path->count; i++) {
        buf_append_string(out, i == 0 ? "" : ".");
        buf_append(out, path->items[i]);
    }
}

static void
show_clause(struct buf *out, const char *name, const struct expr *expr)
{
    if (expr != NULL) {
        buf_printf(out, " %s ", name);
        show(out, expr);
    }
}

static void
show_from(struct buf *out, const struct source *from)
{
    buf_append_string(out, " from ");
    switch (from->kind) {
    case SOURCE_TOPIC:
        buf_printf(out, "'%.*s'", BYTES_ARG(from->text));
        break;
    case SOURCE_TABLE:
        show_path(out, &from->name);
        break;
    case SOURCE_EXPR:
        show(out, from->expr);
        break;
    case SOURCE_QUERY:
        show_select(out, from->select);
        break;
    case SOURCE_VALUES:
        buf_printf(out, "values of %zu rows", from->row_count);
        break;
    case SOURCE_WINDOW:
        buf_printf(out, "window %.*s", BYTES_ARG(from->window->name));
        break;
    }
    if (from->alias.size > 0) {
        buf_printf(out, " as %.*s", BYTES_ARG(from->alias));
    }
}

static void
show_select(struct buf *out, const struct select *select)
{
    for (size_t i = 0; i < select->assignment_count; i++) {
        buf_printf(out, "@%.*s := ", BYTES_ARG(select->assignments[i].name));
        show(out, select->assignments[i].expr);
        buf_append_string(out, "; ");
    }
    buf_printf(out, "{%s%s", select->distinct ? "distinct " : "", select->value ? "value " : "");
    for (size_t i = 0; i < select->item_count; i++) {
        buf_append_string(out, i == 0 ? "" : ", ");
        show(out, select->items[i].expr);
        if (select->items[i].alias.count > 0) {
            buf_append_string(out, " as ");
            show_path(out, &select->items[i].alias);
        }
    }
    if (select->from != NULL) {
        show_from(out, select->from);
    }
    show_clause(out, "where", select->where);
    for (size_t i = 0; i < select->group_by_count; i++) {
        show_clause(out, "by", select->group_by[i]);
    }
    show_clause(out, "having", select->having);
    for (size_t i = 0; i < select->order_by_count; i++) {
        show_clause(out, select->order_by[i].descending ? "desc" : "asc",
                    select->order_by[i].expr);
    }
    show_clause(out, "limit", select->limit);
    show_clause(out, "offset", select->offset);
    buf_append_char(out, '}');
}

/* What parsing `text` gives: the tree, or the errors as people see them. */
static char *
parsed(const char *text, enum dialect dialect, bool query)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct buf out = {0};
    struct token_source source = {
            .file = BYTES("t.sql"), .text = bytes_of_string(text), .comments = true};
    struct parser parser;
    bool ok = parser_init(&parser, &source, dialect, &arena, &diags);
    const struct select *select = query ? parse_select(&parser) : NULL;
    const struct expr *expr = query ? NULL : parse_expr(&parser);
    ok = ok && (select != NULL || expr != NULL) && parser_expect(&parser, TOKEN_END, "the end");
    assert_int_equal(ok, diags.errors == 0);
    if (!ok) {
        diag_list_print(&diags, &out);
    } else if (query) {
        show_select(&out, select);
    } else {
        show(&out, expr);
    }
    diag_list_fini(&diags);
    arena_fini(&arena);
    return buf_take_string(&out);
}

static void
expect(const char *text, enum dialect dialect, bool query, const char *tree)
{
    char *actual = parsed(text, dialect, query);
    if (strcmp(actual, tree) != 0) {
        fail_msg("%s\ngives\n%s\nexpected\n%s", text, actual, tree);
    }
    free(actual);
}

static void
operators_bind_as_the_standard_says(void **state)
{
    static const char *const cases[][2] = {
            {"1 + 2 * 3", "(+ 1 (* 2 3))"},
            {"(1 + 2) * 3", "(* (+ 1 2) 3)"},
            {"10 - 4 - 3", "(- (- 10 4) 3)"},
            {"-a * b", "(* (neg a) b)"},
            {"- - 1", "(neg (neg 1))"},
            {"a - -1", "(- a (neg 1))"},
            {"a OR b AND NOT c = d", "(or a (and b (not (= c d))))"},
            {"not a and b", "(and (not a) b)"},
            {"NOT NOT a", "(not (not a))"},
            {"a = b + 1 OR x <> y", "(or (= a (+ b 1)) (<> x y))"},
            {"a < 1 and b >= 2 and c != 3", "(and (and (< a 1) (>= b 2)) (<> c 3))"},
            {"a + b IN c OR d", "(or (in (+ a b) c) d)"},
            {"7 % 2 / 3", "(/ (% 7 2) 3)"},
            {"-a.b", "(neg (. b a))"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i][0], DIALECT_TOPIC, false, cases[i][1]);
    }
}

static void
primaries_of_topic_sql(void **state)
{
    static const char *const cases[][2] = {
            {"a.b.c", "(. c (. b a))"},
            {"a.select.from", "(. from (. select a))"},
            {"f(x).y", "(. y (call f x))"},
            {"get_it ( ) [1]", "(index (call get_it) 1)"},
            {"\"text\" + 'it''s'", "(+ 'text' 'it's')"},
            {"'a\"b'", "'a\"b'"},
            {"[1, [2], {}]", "(array 1 (array 2) (object))"},
            {"{'a': 1, \"b\": x, c: null}", "(object 'a' 1 'b' x 'c' null)"},
            {"cast(x AS varchar(6))", "(cast x VARCHAR(6))"},
            {"CASE x WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE c END", "(case x c 1 'a' 2 'b')"},
            {"case x when 1 then 2 end", "(case x - 1 2)"},
            {"encode(*, 'base64')", "(call encode * 'base64')"},
            {"1.5E-3", "1.5E-3"},
            {"@v.x", "(. x @v)"},
            {"value + time + timestamp + group", "(+ (+ (+ value time) timestamp) group)"},
            {"a /* c */ + -- d\n b", "(+ a b)"},
            {"timestamp()", "(call timestamp)"},
            {"g\xc3\xb6" "del", "g\xc3\xb6" "del"},
            {"EXISTS (SELECT * FROM e WHERE a = 1)", "(exists {* from e where (= a 1)})"},
            {"get((SELECT v FROM a.b AS e), 0)", "(call get (select {v from (. b a) as e}) 0)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i][0], DIALECT_TOPIC, false, cases[i][1]);
    }
}

static void
what_only_table_dialects_have(void **state)
{
    static const char *const cases[][2] = {
            {"measure_value::double", "(cast measure_value DOUBLE)"},
            {"\"a name\" + `b`", "(+ a name b)"},
            {"time - 15m", "(- time [15m ])"},
            {"INTERVAL '5' SECOND", "[5 SECOND]"},
            {"interval -'1:30' minute to second", "[-1:30 MINUTE TO SECOND]"},
            {"interval + 1", "(+ interval 1)"},
            {"TIMESTAMP '2020-01-01 00:00:00'", "[2020-01-01 00:00:00 TIMESTAMP]"},
            {"a BETWEEN 1 AND 2 AND b", "(and (between a 1 2) b)"},
            {"a NOT BETWEEN 1 AND 2", "(not-between a 1 2)"},
            {"a NOT LIKE 'x%' ESCAPE '$'", "(not-like a 'x%' '$')"},
            {"a IS NOT NULL OR b IS NULL", "(or (not-isnull a) (isnull b))"},
            {"a NOT IN (1, 2)", "(not-in a (array 1 2))"},
            {"count(DISTINCT x) + COUNT(*)", "(+ (call count distinct x) (call COUNT *))"},
            {"CASE WHEN a > 1 THEN 2 END", "(case - - (> a 1) 2)"},
            {"a || 'b' || c", "(|| (|| a 'b') c)"},
            {"try_cast(x AS TIMESTAMP(3) WITH LOCAL TIME ZONE)",
             "(cast x TIMESTAMP(3)WITHLOCALTIMEZONE)"},
            {"CAST(x AS DOUBLE PRECISION)", "(cast x DOUBLE)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i][0], DIALECT_QUERY, false, cases[i][1]);
    }
}

static void
queries_of_topic_sql(void **state)
{
    static const char *const cases[][2] = {
            {"SELECT * FROM 't'", "{* from 't'}"},
            {"select *, a.b as x.y.z from \"t\" where a > 1",
             "{*, (. b a) as x.y.z from 't' where (> a 1)}"},
            {"SELECT a.*, b FROM 't'", "{(star a), b from 't'}"},
            {"SELECT a, FROM 't'", "{a from 't'}"},
            {"SELECT VALUE a FROM 't'", "{value a from 't'}"},
            {"SELECT VALUE * FROM 't'", "{value * from 't'}"},
            {"SELECT VALUE [a] FROM 't'", "{value (array a) from 't'}"},
            {"SELECT value FROM 't'", "{value from 't'}"},
            {"SELECT value AS v, value FROM 't'", "{value as v, value from 't'}"},
            {"SELECT value.a, value > 3 AS w FROM 't'",
             "{(. a value), (> value 3) as w from 't'}"},
            {"SET @a = 1, @b = @a + x SELECT @b AS v FROM 't'",
             "@a := 1; @b := (+ @a x); {@b as v from 't'}"},
            {"SELECT a AS group.select FROM 't'", "{a as group.select from 't'}"},
            {"SELECT v WHERE v > 5", "{v where (> v 5)}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i][0], DIALECT_TOPIC, true, cases[i][1]);
    }
}

static void
queries_over_tables(void **state)
{
    static const char *const cases[][2] = {
            {"SELECT a x, count(*) FROM \"db\".t AS s WHERE a = 1 GROUP BY a, b "
             "HAVING count(*) > 1 ORDER BY 2 DESC NULLS FIRST, a LIMIT 10 OFFSET 5",
             "{a as x, (call count *) from db.t as s where (= a 1) by a by b having "
             "(> (call count *) 1) desc 2 asc a limit 10 offset 5}"},
            {"SELECT DISTINCT a FROM (SELECT b FROM t) q", "{distinct a from {b from t} as q}"},
            {"SELECT a FROM t GROUP BY a", "{a from t by a}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i][0], DIALECT_QUERY, true, cases[i][1]);
    }
}

static void
errors_show_the_place_and_a_way_out(void **state)
{
    static const char *const cases[][2] = {
            {"SELECT a\nFROM 't' WHERE a ==",
             "t.sql:2:19: error: found '=', expected an expression\n"
             "  FROM 't' WHERE a ==\n"
             "                    ^\n"
             "  hint: one '=' compares\n"},
            {"SELECT FROM 't'", "t.sql:1:8: error: found 'FROM', expected an expression\n"
                                "  SELECT FROM 't'\n"
                                "         ^~~~\n"},
            {"SELECT a AS FROM 't'", "t.sql:1:13: error: found 'FROM', expected an alias\n"
                                     "  SELECT a AS FROM 't'\n"
                                     "              ^~~~\n"
                                     "  hint: 'FROM' is a reserved word here\n"},
            {"SELECT a FROM 't", "t.sql:1:15: error: a quote is opened here and never closed\n"
                                 "  SELECT a FROM 't\n"
                                 "                ^\n"
                                 "  hint: a quote inside a string is written twice: 'it''s'\n"},
            {"SELECT a IS NULL FROM 't'", "t.sql:1:10: error: AWS IoT SQL has no IS\n"
                                          "  SELECT a IS NULL FROM 't'\n"
                                          "           ^~\n"
                                          "  hint: use isNull(x) or isUndefined(x)\n"},
            {"SELECT 12ab FROM 't'",
             "t.sql:1:8: error: a number runs into letters\n"
             "  SELECT 12ab FROM 't'\n"
             "         ^~~~\n"
             "  hint: a name does not start with a digit; get(object, 'name') reads any member\n"},
            {"SELECT CASE WHEN a THEN b END FROM 't'",
             "t.sql:1:13: error: found 'WHEN', expected the value that WHEN compares with\n"
             "  SELECT CASE WHEN a THEN b END FROM 't'\n"
             "              ^~~~\n"
             "  hint: AWS IoT SQL knows only CASE value WHEN ...: for a condition write CASE "
             "condition WHEN true THEN ... END\n"},
            {"SELECT a FROM", "t.sql:1:14: error: the text ends where a topic filter in quotes or "
                              "the name of a table is expected\n"
                              "  SELECT a FROM\n"
                              "               ^\n"},
            {"SELECT a FROM 't' #",
             "t.sql:1:19: error: this character has no meaning here\n"
             "  SELECT a FROM 't' #\n"
             "                    ^\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i][0], DIALECT_TOPIC, true, cases[i][1]);
    }
}

static char *
repeated(const char *before, const char *part, const char *after, size_t count)
{
    struct buf text = {0};
    buf_append_string(&text, before);
    for (size_t i = 0; i < count; i++) {
        buf_append_string(&text, part);
    }
    buf_append_string(&text, after);
    return buf_take_string(&text);
}

static void
depth_is_bounded(void **state)
{
    static const char *const parts[][2] = {
            {"(", "nested deeper than 200"}, {"[", "nested deeper than 200"},
            {"f(", "nested deeper than 200"}, {"NOT ", "nested deeper than 200"},
            {"- ", "nested deeper than 200"}, {"(SELECT a FROM ", "nested deeper than 200"},
            {"{a:", "nested deeper than 200"}, {"CASE ", "nested deeper than 200"},
            {"1 + ", "more than 1000 levels"}, {"a.", "more than 1000 levels"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char *text = repeated("", parts[i][0], "x", 10000);
        char *actual = parsed(text, DIALECT_TOPIC, false);
        if (strstr(actual, parts[i][1]) == NULL) {
            fail_msg("%s: %.200s", parts[i][0], actual);
        }
        free(actual);
        free(text);
    }
    char *text = repeated("1", "+1", "", 900);
    char *actual = parsed(text, DIALECT_TOPIC, false);
    assert_null(strstr(actual, "error"));
    free(actual);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(operators_bind_as_the_standard_says),
            cmocka_unit_test(primaries_of_topic_sql),
            cmocka_unit_test(what_only_table_dialects_have),
            cmocka_unit_test(queries_of_topic_sql),
            cmocka_unit_test(queries_over_tables),
            cmocka_unit_test(errors_show_the_place_and_a_way_out),
            cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
