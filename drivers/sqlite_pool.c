/*
 * Connections for readers: a few idle ones are kept, each with the one statement that is asked
 * again and again. The lock is held for the list only, never while SQLite works.
 */
#include "drivers/sqlite.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDLE_MAX = 4, BUSY_TIMEOUT_MS = 2000 };

struct sqlite_pool {
    char *path;
    const char *kept;
    pthread_mutex_t lock; /* of all below */
    struct sqlite_lease idle[IDLE_MAX];
    size_t idle_count;
    unsigned generation; /* connections of an earlier one are closed, not kept */
};

struct sqlite_pool *
sqlite_pool_new(const char *dir, const char *name, const char *kept)
{
    struct sqlite_pool *pool = mem_new(struct sqlite_pool);
    pool->path = sqlite_path(dir, name);
    pool->kept = kept;
    check(pthread_mutex_init(&pool->lock, NULL) == 0);
    return pool;
}

static void
close_lease(struct sqlite_lease lease)
{
    sqlite3_finalize(lease.kept);
    sqlite3_close(lease.db);
}

void
sqlite_pool_reset(struct sqlite_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->idle_count > 0) {
        close_lease(pool->idle[--pool->idle_count]);
    }
    pool->generation++;
    pthread_mutex_unlock(&pool->lock);
}

void
sqlite_pool_free(struct sqlite_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    sqlite_pool_reset(pool);
    pthread_mutex_destroy(&pool->lock);
    free(pool->path);
    free(pool);
}

/* Fills db and kept; leaves both NULL when there is no file yet. */
static bool
open_lease(const struct sqlite_pool *pool, struct sqlite_lease *lease, struct diag_list *diags)
{
    if (access(pool->path, F_OK) != 0) {
        return true;
    }
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    bool opened = sqlite3_open_v2(pool->path, &lease->db, flags, NULL) == SQLITE_OK
                  || sqlite_error(lease->db, diags);
    if (opened) {
        sqlite3_extended_result_codes(lease->db, 1);
        opened = pool->kept == NULL || sqlite_prepare(lease->db, pool->kept, &lease->kept, diags);
    }
    if (!opened) {
        close_lease(*lease);
    }
    return opened;
}

bool
sqlite_pool_take(struct sqlite_pool *pool, struct sqlite_lease *out, struct diag_list *diags)
{
    struct sqlite_lease lease = {0};
    pthread_mutex_lock(&pool->lock);
    lease.generation = pool->generation;
    if (pool->idle_count > 0) {
        lease = pool->idle[--pool->idle_count];
    }
    pthread_mutex_unlock(&pool->lock);
    if (lease.db == NULL && !open_lease(pool, &lease, diags)) {
        return false;
    }
    if (lease.db != NULL) {
        sqlite3_busy_timeout(lease.db, BUSY_TIMEOUT_MS);
    }
    *out = lease;
    return true;
}

void
sqlite_pool_give(struct sqlite_pool *pool, struct sqlite_lease lease)
{
    if (lease.db == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    bool keep = lease.generation == pool->generation && pool->idle_count < IDLE_MAX;
    if (keep) {
        pool->idle[pool->idle_count++] = lease;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep) {
        close_lease(lease);
    }
}
