/*
 * What programs share, and that they stand alone. What they compute is tested in test_rule.c and by
 * the vectors: there too the drafts are gone when a program runs, and the sanitizer would see it.
 */
#include "unit.h"

#include "rules/compile.h"

struct rig {
    struct arena kept;
    struct arena scratch;
    struct pool pool;
};

static int
setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->pool = (struct pool){.arena = &rig->kept, .scratch = &rig->scratch};
    *state = rig;
    return 0;
}

static int
teardown(void **state)
{
    struct rig *rig = *state;
    pool_fini(&rig->pool);
    arena_fini(&rig->scratch);
    arena_fini(&rig->kept);
    free(rig);
    return 0;
}

static const struct query *
query(struct rig *rig, const char *sql)
{
    struct diag_list diags = {0};
    struct bytes text = bytes_of_string(sql);
    struct compiler compiler = {
            .arena = &rig->kept,
            .scratch = &rig->scratch,
            .pool = rig->pool,
            .diags = &diags,
            .lines = line_index_of(BYTES("test"), text, &rig->scratch),
    };
    struct token_source source = {.file = BYTES("test"), .text = text, .comments = true};
    struct parser parser;
    assert_true(parser_init(&parser, &source, DIALECT_TOPIC, &rig->scratch, &diags));
    const struct query *query = compile_query(&compiler, parse_select(&parser));
    rig->pool = compiler.pool;
    assert_int_equal(diags.errors, 0);
    diag_list_fini(&diags);
    return query;
}

static const struct node *
item(const struct query *query, uint32_t i)
{
    return query->items[i].node;
}

static void
rules_that_differ_in_their_topic_share_a_program(void **state)
{
    static const char *const statements[] = {
            "SELECT a, b.c AS x.y FROM '%' WHERE a > 1.5 AND b.c <> 'it''s'",
            "SELECT *, upper(a) AS b FROM '%'",
            "SELECT a, * FROM '%' WHERE CASE a WHEN 1 THEN true ELSE a IN [1, 'x', null] END",
            "SET @v = {'k': [12345678901234567890123, {'n': 1}]} SELECT VALUE @v FROM '%'",
            "SELECT (SELECT x FROM list WHERE x > 2) AS l, decode('WzFd', 'base64') AS d FROM '%'",
            "SELECT regexp_matches(a, '^x+$') AS m, CAST(a AS Int) AS n, a[0] AS o FROM '%'",
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        char *first = bytes_to_string(bytes_of_string(statements[i]));
        char *second = bytes_to_string(bytes_of_string(statements[i]));
        *strchr(first, '%') = 'a';
        *strchr(second, '%') = 'b';
        const struct query *program = query(rig, first);
        assert_ptr_equal(query(rig, second), program);
        free(first);
        free(second);
    }
}

static void
another_constant_changes_only_what_leads_to_it(void **state)
{
    struct rig *rig = *state;
    const struct query *a = query(rig, "SELECT x, y FROM 't' WHERE x > 1");
    const struct query *b = query(rig, "SELECT x, y FROM 't' WHERE x > 2");
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(a->conjuncts[0], b->conjuncts[0]);
    assert_ptr_not_equal(a->conjuncts[0]->items[1], b->conjuncts[0]->items[1]);
    assert_ptr_equal(a->conjuncts[0]->items[0], b->conjuncts[0]->items[0]);
    assert_ptr_equal(a->items, b->items);
    assert_ptr_equal(a->layout, b->layout);
}

static void
what_looks_alike_but_is_not_stays_apart(void **state)
{
    static const char *const pairs[][2] = {
            {"SELECT VALUE x > 1 FROM 't'", "SELECT VALUE x >= 1 FROM 't'"},
            {"SELECT VALUE x = 1 FROM 't'", "SELECT VALUE x = '1' FROM 't'"},
            {"SELECT VALUE x = 1 FROM 't'", "SELECT VALUE x <> 1 FROM 't'"},
            {"SELECT VALUE x AND true FROM 't'", "SELECT VALUE x AND false FROM 't'"},
            {"SELECT VALUE upper(x) FROM 't'", "SELECT VALUE lower(x) FROM 't'"},
            {"SELECT VALUE a.b FROM 't'", "SELECT VALUE a FROM 't'"},
            {"SELECT VALUE x + 12345678901234567890123 FROM 't'",
             "SELECT VALUE x + 12345678901234567890124 FROM 't'"},
            {"SELECT VALUE CAST(x AS Int) FROM 't'", "SELECT VALUE CAST(x AS String) FROM 't'"},
            {"SET @a = 1, @b = 2 SELECT VALUE @a FROM 't'",
             "SET @a = 1, @b = 2 SELECT VALUE @b FROM 't'"},
            {"SELECT VALUE (SELECT x FROM l) FROM 't'", "SELECT VALUE (SELECT y FROM l) FROM 't'"},
            {"SELECT VALUE (SELECT x FROM l) FROM 't'", "SELECT VALUE EXISTS (SELECT x FROM l) "
                                                        "FROM 't'"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const struct query *a = query(rig, pairs[i][0]);
        assert_ptr_not_equal(item(query(rig, pairs[i][1]), 0), item(a, 0));
    }
    assert_ptr_not_equal(query(rig, "SELECT x AS a FROM 't'"),
                         query(rig, "SELECT x AS b FROM 't'"));
    assert_ptr_not_equal(query(rig, "SELECT *, x AS a FROM 't'"),
                         query(rig, "SELECT x AS a FROM 't'"));
}

static void
a_pattern_is_prepared_once(void **state)
{
    struct rig *rig = *state;
    const struct query *a = query(rig, "SELECT regexp_matches(x, 'a+') AS m FROM 't'");
    const struct query *b = query(rig, "SELECT regexp_matches(x, 'a+') AS n FROM 't'");
    assert_non_null(item(a, 0)->prepared);
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(item(a, 0), item(b, 0));
    const struct query *c = query(rig, "SELECT regexp_matches(x, 'b+') AS m FROM 't'");
    assert_ptr_not_equal(item(a, 0)->prepared, item(c, 0)->prepared);
}

static void
a_text_is_kept_once(void **state)
{
    struct rig *rig = *state;
    char text[] = "name";
    struct bytes kept = pool_text(&rig->pool, bytes_of_string(text));
    assert_ptr_not_equal(kept.data, text);
    assert_ptr_equal(pool_text(&rig->pool, BYTES("name")).data, kept.data);
    assert_bytes(kept, "name");
    assert_null(pool_text(&rig->pool, (struct bytes){0}).data);
    assert_non_null(pool_text(&rig->pool, BYTES("")).data);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(rules_that_differ_in_their_topic_share_a_program,
                                            setup, teardown),
            cmocka_unit_test_setup_teardown(another_constant_changes_only_what_leads_to_it, setup,
                                            teardown),
            cmocka_unit_test_setup_teardown(what_looks_alike_but_is_not_stays_apart, setup,
                                            teardown),
            cmocka_unit_test_setup_teardown(a_pattern_is_prepared_once, setup, teardown),
            cmocka_unit_test_setup_teardown(a_text_is_kept_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
