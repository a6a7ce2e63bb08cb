/*
 * Aggregates that SQLite does not have: deviations (Welford's method, stable in one pass), the
 * value at the smallest or largest of another, exact percentiles.
 *
 * An aggregate's state begins zeroed by SQLite and is freed by its final call, which always comes.
 */
#include "query_table.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* ---- deviations ---- */

struct moments {
    int64_t count;
    double mean;
    double squares; /* of the distances from the mean */
};

static void
moments_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct moments *moments = sqlite3_aggregate_context(context, sizeof *moments);
    if (moments == NULL || sqlite3_value_type(argv[0]) == SQLITE_NULL) {
        return;
    }
    double value = sqlite3_value_double(argv[0]);
    double distance = value - moments->mean;
    moments->count++;
    moments->mean += distance / (double)moments->count;
    moments->squares += distance * (value - moments->mean);
}

enum moments_kind { VAR_SAMP, VAR_POP, STDDEV_SAMP, STDDEV_POP };

static const enum moments_kind moments_kinds[] = {VAR_SAMP, VAR_POP, STDDEV_SAMP, STDDEV_POP};

static void
moments_final(sqlite3_context *context)
{
    const struct moments *moments = sqlite3_aggregate_context(context, 0);
    enum moments_kind kind = *(const enum moments_kind *)sqlite3_user_data(context);
    int64_t least = kind == VAR_SAMP || kind == STDDEV_SAMP ? 2 : 1;
    if (moments == NULL || moments->count < least) {
        return;
    }
    double variance = moments->squares / (double)(moments->count - (least - 1));
    bool root = kind == STDDEV_SAMP || kind == STDDEV_POP;
    sqlite3_result_double(context, root ? sqrt(variance) : variance);
}

/* ---- min_by, max_by ---- */

struct extreme {
    sqlite3_value *key;
    sqlite3_value *value;
};

/* <0, 0, >0 as SQLite would order them; both of one type. */
static int
value_compare(sqlite3_value *a, sqlite3_value *b)
{
    if (sqlite3_value_type(a) == SQLITE_TEXT) {
        return bytes_compare(
                bytes_of(sqlite3_value_text(a), (size_t)sqlite3_value_bytes(a)),
                bytes_of(sqlite3_value_text(b), (size_t)sqlite3_value_bytes(b)));
    }
    if (sqlite3_value_type(a) == SQLITE_INTEGER && sqlite3_value_type(b) == SQLITE_INTEGER) {
        int64_t x = sqlite3_value_int64(a);
        int64_t y = sqlite3_value_int64(b);
        return (x > y) - (x < y);
    }
    double x = sqlite3_value_double(a);
    double y = sqlite3_value_double(b);
    return (x > y) - (x < y);
}

static void
extreme_step(sqlite3_context *context, sqlite3_value **argv, int sign)
{
    struct extreme *extreme = sqlite3_aggregate_context(context, sizeof *extreme);
    if (extreme == NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL) {
        return;
    }
    if (extreme->key != NULL && value_compare(argv[1], extreme->key) * sign <= 0) {
        return;
    }
    sqlite3_value_free(extreme->key);
    sqlite3_value_free(extreme->value);
    extreme->key = sqlite3_value_dup(argv[1]);
    extreme->value = sqlite3_value_dup(argv[0]);
}

static void
min_by_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    extreme_step(context, argv, -1);
}

static void
max_by_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    extreme_step(context, argv, 1);
}

static void
extreme_final(sqlite3_context *context)
{
    struct extreme *extreme = sqlite3_aggregate_context(context, 0);
    if (extreme == NULL) {
        return;
    }
    if (extreme->value != NULL) {
        sqlite3_result_value(context, extreme->value);
    }
    sqlite3_value_free(extreme->key);
    sqlite3_value_free(extreme->value);
}

/* ---- percentile ---- */

enum { PERCENTILE_VALUES_MAX = 4000000 }; /* 32 MB */

struct percentile {
    double *values;
    size_t count;
    size_t capacity;
    double share;
    bool failed;
};

static void
percentile_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct percentile *all = sqlite3_aggregate_context(context, sizeof *all);
    if (all == NULL || all->failed || sqlite3_value_type(argv[0]) == SQLITE_NULL) {
        return;
    }
    all->share = sqlite3_value_double(argv[1]);
    bool in_range = sqlite3_value_type(argv[1]) != SQLITE_NULL && all->share >= 0
                    && all->share <= 1;
    if (!in_range || all->count == PERCENTILE_VALUES_MAX) {
        all->failed = true;
        sqlite3_result_error(context,
                             in_range ? "approx_percentile over more than 4 million values: narrow "
                                        "the time range"
                                      : "approx_percentile needs a share between 0 and 1",
                             -1);
        return;
    }
    all->values = mem_grow(all->values, all->count, &all->capacity, sizeof *all->values);
    all->values[all->count++] = sqlite3_value_double(argv[0]);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The nearest rank: the smallest value that at least the share of all does not exceed. */
static void
percentile_final(sqlite3_context *context)
{
    struct percentile *all = sqlite3_aggregate_context(context, 0);
    if (all == NULL) {
        return;
    }
    if (!all->failed && all->count > 0) {
        qsort(all->values, all->count, sizeof *all->values, compare_doubles);
        double rank = ceil(all->share * (double)all->count);
        size_t at = rank < 1 ? 0 : (size_t)rank - 1;
        sqlite3_result_double(context, all->values[at < all->count ? at : all->count - 1]);
    }
    free(all->values);
}

typedef void (*step_fn)(sqlite3_context *context, int argc, sqlite3_value **argv);
typedef void (*final_fn)(sqlite3_context *context);

static const struct {
    const char *name;
    int arguments;
    step_fn step;
    final_fn final;
    const enum moments_kind *kind;
} aggregates[] = {
        {"hg_var_samp", 1, moments_step, moments_final, &moments_kinds[0]},
        {"hg_var_pop", 1, moments_step, moments_final, &moments_kinds[1]},
        {"hg_stddev_samp", 1, moments_step, moments_final, &moments_kinds[2]},
        {"hg_stddev_pop", 1, moments_step, moments_final, &moments_kinds[3]},
        {"hg_min_by", 2, min_by_step, extreme_final, NULL},
        {"hg_max_by", 2, max_by_step, extreme_final, NULL},
        {"hg_percentile", 2, percentile_step, percentile_final, NULL},
};

bool
query_aggregate_register(sqlite3 *db, struct diag_list *diags)
{
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    for (size_t i = 0; i < sizeof aggregates / sizeof aggregates[0]; i++) {
        void *kind = (void *)(uintptr_t)aggregates[i].kind;
        if (sqlite3_create_function_v2(db, aggregates[i].name, aggregates[i].arguments, flags,
                                       kind, NULL, aggregates[i].step, aggregates[i].final, NULL)
            != SQLITE_OK) {
            diag_error(diags, DIAG_INVALID, "query: %s", sqlite3_errmsg(db));
            return false;
        }
    }
    return true;
}
