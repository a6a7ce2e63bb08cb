/* Accounts: what balances, what is an alarm, and what it says. */
#define _GNU_SOURCE
#include "unit.h"

#include "ledger.h"

#include "base/log.h"

#include <stdio.h>

static struct ledger_account
account_of(const char *name, uint64_t pushed, uint64_t delivered, uint64_t queued)
{
    struct ledger_account account = {.kind = LEDGER_SINK, .name = bytes_of_string(name)};
    ledger_in(&account, "pushed", pushed);
    ledger_in(&account, "restored", 0);
    ledger_out(&account, "delivered", delivered);
    ledger_out(&account, "queued", queued);
    return account;
}

static void
an_account_says_what_is_missing(void **state)
{
    static const struct {
        uint64_t pushed, delivered, queued;
        int64_t difference;
        const char *text;
    } cases[] = {
            {7, 5, 2, 0, "pushed 7 = delivered 5 + queued 2"},
            {0, 0, 0, 0, "nothing = nothing"},
            {7, 5, 1, 1, "pushed 7 in, but delivered 5 + queued 1 out: 1 missing"},
            {7, 9, 1, -3, "pushed 7 in, but delivered 9 + queued 1 out: 3 too many"},
            {1, 0, 0, 1, "pushed 1 in, but nothing out: 1 missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ledger_account account =
                account_of("s", cases[i].pushed, cases[i].delivered, cases[i].queued);
        struct buf text = {0};
        ledger_account_print(&account, &text);
        assert_int_equal(ledger_difference(&account), cases[i].difference);
        assert_string_equal(buf_string(&text), cases[i].text);
        buf_fini(&text);
    }
}

static void
count_alarm(void *context, const struct ledger_alarm *alarm)
{
    size_t *count = context;
    assert_string_equal(alarm->name, "b");
    assert_int_equal(alarm->difference, 4);
    assert_string_equal(alarm->text, "pushed 9 in, but delivered 5 out: 4 missing");
    ++*count;
}

static void
an_alarm_begins_once_and_ends(void **state)
{
    struct ledger *ledger = ledger_new(&os_posix);
    struct ledger_stats stats;
    struct ledger_account good = account_of("a", 9, 5, 4), bad = account_of("b", 9, 5, 0);
    size_t listed = 0;
    ledger_judge(ledger, &good);
    ledger_stats(ledger, &stats);
    assert_int_equal(stats.alarms, 0);
    ledger_judge(ledger, &bad);
    ledger_judge(ledger, &bad);
    ledger_judge(ledger, &good); /* of another sink */
    ledger_each_alarm(ledger, count_alarm, &listed);
    ledger_stats(ledger, &stats);
    assert_int_equal(listed, 1);
    assert_int_equal(stats.checks, 4);
    assert_int_equal(stats.alarms, 1);
    assert_int_equal(stats.open, 1);
    assert_int_equal(stats.unexplained, 4);
    bad = account_of("b", 9, 5, 4);
    ledger_judge(ledger, &bad);
    ledger_stats(ledger, &stats);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.unexplained, 0);
    assert_int_equal(stats.alarms, 1);
    ledger_free(ledger);
}

static void
too_many_is_unexplained_as_well(void **state)
{
    struct ledger *ledger = ledger_new(&os_posix);
    struct ledger_stats stats;
    struct ledger_account more = account_of("a", 1, 3, 0), less = account_of("b", 3, 1, 0);
    ledger_judge(ledger, &more);
    ledger_judge(ledger, &less);
    ledger_stats(ledger, &stats);
    assert_int_equal(stats.unexplained, 4); /* they do not make up for each other */
    ledger_free(ledger);
}

int
main(void)
{
    log_setup(LOG_NOTHING, "test");
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(an_account_says_what_is_missing),
            cmocka_unit_test(an_alarm_begins_once_and_ends),
            cmocka_unit_test(too_many_is_unexplained_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
