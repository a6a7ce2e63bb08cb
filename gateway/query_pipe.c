/*
 * Turns a scan around: the driver pushes rows, the reader of this pipe pulls them.
 *
 *   scan thread   fills chunk [produced % 2], hands it over, waits for a free one
 *   reader        empties chunk [consumed % 2], gives it back, waits for a full one
 *
 * A chunk belongs to one side at a time; the counters under the lock say whose it is. A row's texts
 * are copied into the chunk's buffer and addressed by offset, because the buffer moves as it grows.
 *
 * Stopping: the reader sets `stop` and joins; the scan thread sees it at its next row or wait.
 */
#include "query_table.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    CHUNKS = 2,
    CHUNK_ROWS = 1024,
    CHUNK_TEXT_BYTES = 256 * 1024,
    STACK_BYTES = 512 * 1024,
    WAIT_MS = 100, /* between two looks at the deadline */
};

struct chunk {
    struct cell *cells; /* rows * columns; texts hold an offset into `text` as data */
    size_t rows;
    struct buf text;
};

struct query_pipe {
    const struct query_source_table *table;
    struct scan_request request;
    struct bytes equal_text; /* own copy */
    bool *wanted;
    size_t columns;
    pthread_t thread;
    struct diag_list diags; /* the scan thread's until it is done */
    struct cell *row;       /* the reader's: the current row with texts in place */
    size_t at;              /* the reader's place in its chunk */

    pthread_mutex_t lock; /* of the members below */
    pthread_cond_t changed;
    struct chunk chunks[CHUNKS];
    uint64_t produced;
    uint64_t consumed;
    bool done;
    bool failed;
    bool stop;
};

/* ---- the scan thread ---- */

/* Hands the filled chunk over and waits for a free one; false when the reader wants no more. */
static bool
hand_over(struct query_pipe *pipe)
{
    pthread_mutex_lock(&pipe->lock);
    pipe->produced++;
    pthread_cond_broadcast(&pipe->changed);
    while (pipe->produced - pipe->consumed == CHUNKS && !pipe->stop) {
        pthread_cond_wait(&pipe->changed, &pipe->lock);
    }
    bool go_on = !pipe->stop;
    struct chunk *next = &pipe->chunks[pipe->produced % CHUNKS];
    if (go_on) {
        next->rows = 0;
        buf_clear(&next->text);
    }
    pthread_mutex_unlock(&pipe->lock);
    return go_on;
}

static bool
take_row(void *context, const struct cell *cells)
{
    struct query_pipe *pipe = context;
    struct chunk *chunk = &pipe->chunks[pipe->produced % CHUNKS];
    struct cell *out = &chunk->cells[chunk->rows * pipe->columns];
    const struct column *columns = pipe->table->schema.columns;
    for (size_t i = 0; i < pipe->columns; i++) {
        if (!pipe->wanted[i]) {
            continue;
        }
        out[i] = cells[i];
        if (columns[i].type == COLUMN_VARCHAR && !cells[i].is_null) {
            out[i].text.data = (const char *)(uintptr_t)chunk->text.size;
            buf_append(&chunk->text, cells[i].text);
        }
    }
    chunk->rows++;
    bool full = chunk->rows == CHUNK_ROWS || chunk->text.size >= CHUNK_TEXT_BYTES;
    return full ? hand_over(pipe) : true;
}

static void *
run_scan(void *context)
{
    struct query_pipe *pipe = context;
    const struct query_source_table *table = pipe->table;
    bool scanned = table->driver->scan(table->instance, &table->schema, &pipe->request, take_row,
                                       pipe, &pipe->diags);
    pthread_mutex_lock(&pipe->lock);
    pipe->produced += pipe->chunks[pipe->produced % CHUNKS].rows > 0 && !pipe->stop;
    pipe->done = true;
    pipe->failed = !scanned;
    pthread_cond_broadcast(&pipe->changed);
    pthread_mutex_unlock(&pipe->lock);
    return NULL;
}

/* ---- the reader ---- */

static void
start_thread(struct query_pipe *pipe)
{
    pthread_attr_t attributes;
    check(pthread_attr_init(&attributes) == 0);
    check(pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
    int error = pthread_create(&pipe->thread, &attributes, run_scan, pipe);
    pthread_attr_destroy(&attributes);
    check(error == 0);
}

struct query_pipe *
query_pipe_start(const struct query_source_table *table, const struct scan_request *request)
{
    struct query_pipe *pipe = mem_new(struct query_pipe);
    pipe->table = table;
    pipe->columns = table->schema.count;
    pipe->request = *request;
    pipe->equal_text = bytes_of(bytes_to_string(request->equal_text), request->equal_text.size);
    pipe->request.equal_text = pipe->equal_text;
    pipe->wanted = mem_new_array(bool, pipe->columns + 1);
    memcpy(pipe->wanted, request->wanted, pipe->columns * sizeof *pipe->wanted);
    pipe->request.wanted = pipe->wanted;
    pipe->row = mem_new_array(struct cell, pipe->columns + 1);
    for (size_t i = 0; i < CHUNKS; i++) {
        pipe->chunks[i].cells = mem_new_array(struct cell, CHUNK_ROWS * pipe->columns + 1);
    }
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_mutex_init(&pipe->lock, NULL) == 0);
    check(pthread_cond_init(&pipe->changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    start_thread(pipe);
    return pipe;
}

void
query_pipe_stop(struct query_pipe *pipe)
{
    if (pipe == NULL) {
        return;
    }
    pthread_mutex_lock(&pipe->lock);
    pipe->stop = true;
    pthread_cond_broadcast(&pipe->changed);
    pthread_mutex_unlock(&pipe->lock);
    pthread_join(pipe->thread, NULL);
    for (size_t i = 0; i < CHUNKS; i++) {
        free(pipe->chunks[i].cells);
        buf_fini(&pipe->chunks[i].text);
    }
    pthread_cond_destroy(&pipe->changed);
    pthread_mutex_destroy(&pipe->lock);
    diag_list_fini(&pipe->diags);
    free((void *)(uintptr_t)pipe->equal_text.data);
    free(pipe->wanted);
    free(pipe->row);
    free(pipe);
}

/* Waits, under the lock, a little; false when the run's time is over. */
static bool
wait_for_chunk(struct query_pipe *pipe)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&pipe->changed, &pipe->lock, &until);
    return !query_watch_expired(pipe->table->watch);
}

/* Gives the current chunk back if it is empty, and waits for one with rows. */
static enum query_pipe_state
need_chunk(struct query_pipe *pipe, bool give_back)
{
    enum query_pipe_state state = QUERY_PIPE_ROW;
    pthread_mutex_lock(&pipe->lock);
    if (give_back) {
        pipe->consumed++;
        pthread_cond_broadcast(&pipe->changed);
    }
    while (pipe->produced == pipe->consumed && state == QUERY_PIPE_ROW) {
        if (pipe->done) {
            state = pipe->failed ? QUERY_PIPE_FAILED : QUERY_PIPE_END;
        } else if (!wait_for_chunk(pipe)) {
            state = QUERY_PIPE_FAILED;
        }
    }
    if (state == QUERY_PIPE_FAILED && pipe->done) {
        diag_list_append(pipe->table->watch->diags, &pipe->diags);
    }
    pthread_mutex_unlock(&pipe->lock);
    return state;
}

enum query_pipe_state
query_pipe_next(struct query_pipe *pipe, const struct cell **cells)
{
    const struct chunk *chunk = &pipe->chunks[pipe->consumed % CHUNKS];
    bool in_chunk = pipe->at > 0; /* the reader holds the chunk at `consumed` */
    if (!in_chunk || pipe->at == chunk->rows) {
        enum query_pipe_state state = need_chunk(pipe, in_chunk);
        pipe->at = 0;
        if (state != QUERY_PIPE_ROW) {
            return state;
        }
        chunk = &pipe->chunks[pipe->consumed % CHUNKS];
    }
    const struct cell *row = &chunk->cells[pipe->at++ * pipe->columns];
    const struct column *columns = pipe->table->schema.columns;
    for (size_t i = 0; i < pipe->columns; i++) {
        if (!pipe->wanted[i]) {
            continue;
        }
        pipe->row[i] = row[i];
        if (columns[i].type == COLUMN_VARCHAR && !row[i].is_null) {
            pipe->row[i].text.data = chunk->text.data + (uintptr_t)row[i].text.data;
        }
    }
    *cells = pipe->row;
    return QUERY_PIPE_ROW;
}
