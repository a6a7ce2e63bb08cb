/*
 * Keeps the ingest process alive and well informed; see ingest.h for what it is to the core.
 *
 *   RUNNING --ended--> RESTING (back-off) --due--> RUNNING
 *
 * A start sends the configuration and the filters over the socket; a change of filters sends them
 * again. Everything that comes back is in the shared page, and an eventfd that wakes the core.
 * A process that lived for a while is started again at once; one that ends at once is waited for
 * twice as long each time. Exit code MQTT_EXIT_VERSION asks for MQTT 3.1.1 from then on.
 */
#define _GNU_SOURCE
#include "ingest.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/wire.h"
#include "drivers/mqtt.h"
#include "filters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FRAME_TIMEOUT_MS = 1000,
    STOP_GRACE_MS = 2000,
    FIRST_REST_MS = 100,
    REST_MAX_MS = 10000,
    LONG_LIFE_MS = 10000,
    NAP_US = 300,
    BUSY_US = 250,    /* records that come closer together than this are worth a nap */
    BUSY_BYTES = 1024, /* so are this many bytes during a nap */
};

struct ingest {
    struct ingest_page *page;
    int page_fd;
    int wake_fd; /* eventfd: the process has appended while the core was waiting */
    char *executable;
    char *journal_dir;
    struct buf config_text; /* holds secrets */
    struct buf filters;     /* the frame's body */
    bool has_filters;       /* before they are known nothing may be unsubscribed */
    struct child child;     /* pid 0: resting */
    int64_t started_us;
    int64_t start_again_us;
    int64_t rest_ms;
    uint64_t restarts;
    bool is_version_lowered;
    /* The engine's: the last wait. */
    uint64_t waited_at;
    int64_t waited_us; /* when it began */
    bool has_napped;
};

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

static void
rest(struct ingest *ingest)
{
    bool lived_long = now_us() - ingest->started_us > (int64_t)LONG_LIFE_MS * 1000;
    ingest->rest_ms = lived_long || ingest->rest_ms == 0 ? FIRST_REST_MS : ingest->rest_ms * 2;
    ingest->rest_ms = ingest->rest_ms > REST_MAX_MS ? REST_MAX_MS : ingest->rest_ms;
    ingest->start_again_us = now_us() + ingest->rest_ms * 1000;
    atomic_store(&ingest->page->state, INGEST_STARTING);
}

static bool
send_frame(struct ingest *ingest, enum ingest_frame type, const struct buf *body,
           struct diag_list *diags)
{
    return frame_send(ingest->child.fd, (uint8_t)type, buf_bytes(body), FRAME_TIMEOUT_MS, diags);
}

static bool
start(struct ingest *ingest, struct diag_list *diags)
{
    static const char *const argv[] = {"headgate", "ingest", NULL};
    ingest->started_us = now_us();
    const int inherit[] = {ingest->page_fd, ingest->wake_fd};
    if (!child_spawn(&ingest->child, ingest->executable, argv, inherit, 2, diags)) {
        ingest->child = (struct child){.fd = -1};
        rest(ingest);
        return false;
    }
    if (!send_frame(ingest, INGEST_FRAME_CONFIG, &ingest->config_text, diags) ||
        (ingest->has_filters &&
         !send_frame(ingest, INGEST_FRAME_FILTERS, &ingest->filters, diags))) {
        child_stop(&ingest->child, 0);
        rest(ingest);
        return false;
    }
    return true;
}

static bool
make_page(struct ingest *ingest, struct diag_list *diags)
{
    ingest->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ingest->page_fd = memfd_create("headgate-ingest", MFD_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (ingest->wake_fd >= 0 && ingest->page_fd >= 0 &&
        ftruncate(ingest->page_fd, sizeof(struct ingest_page)) == 0) {
        mapped = mmap(NULL, sizeof(struct ingest_page), PROT_READ | PROT_WRITE, MAP_SHARED,
                      ingest->page_fd, 0);
    }
    if (mapped == MAP_FAILED) {
        diag_io_error(diags, errno, "cannot make the page shared with the ingest process");
        return false;
    }
    ingest->page = mapped;
    return true;
}

void
ingest_free(struct ingest *ingest)
{
    if (ingest == NULL) {
        return;
    }
    ingest_stop(ingest);
    if (ingest->page != NULL) {
        munmap(ingest->page, sizeof *ingest->page);
    }
    close(ingest->page_fd);
    close(ingest->wake_fd);
    if (ingest->config_text.data != NULL) {
        explicit_bzero(ingest->config_text.data, ingest->config_text.capacity);
    }
    buf_fini(&ingest->config_text);
    buf_fini(&ingest->filters);
    free(ingest->executable);
    free(ingest->journal_dir);
    free(ingest);
}

bool
ingest_start(struct ingest *ingest, uint64_t position_least, struct diag_list *diags)
{
    atomic_store(&ingest->page->position_least, position_least);
    return start(ingest, diags);
}

bool
ingest_new(struct ingest **out, const struct config *config, const char *executable,
           struct diag_list *diags)
{
    struct ingest *ingest = mem_new(struct ingest);
    ingest->page_fd = -1;
    ingest->wake_fd = -1;
    ingest->child.fd = -1;
    ingest->executable = bytes_to_string(bytes_of_string(executable));
    struct buf dir = {0};
    buf_printf(&dir, "%s/journal/mqtt", config->data_dir);
    ingest->journal_dir = buf_take_string(&dir);
    config_print(config, &ingest->config_text);
    if (!make_page(ingest, diags)) {
        ingest_free(ingest);
        return false;
    }
    *out = ingest;
    return true;
}

void
ingest_stop(struct ingest *ingest)
{
    if (ingest != NULL && ingest->child.pid != 0) {
        child_stop(&ingest->child, STOP_GRACE_MS);
    }
}

const char *
ingest_journal_dir(const struct ingest *ingest)
{
    return ingest->journal_dir;
}

void
ingest_set_filters(struct ingest *ingest, const struct bytes *filters, size_t count)
{
    buf_clear(&ingest->filters);
    ingest->has_filters = true;
    for (size_t i = 0; i < count; i++) {
        if (filter_is_valid(filters[i])) {
            wire_put_bytes(&ingest->filters, filters[i]);
        } else {
            log_error("'%.*s' is not a topic filter", BYTES_ARG(filters[i]));
        }
    }
    struct diag_list diags = {0};
    if (ingest->child.pid != 0 &&
        !send_frame(ingest, INGEST_FRAME_FILTERS, &ingest->filters, &diags)) {
        log_warning("the ingest process does not listen: %.*s",
                    BYTES_ARG(diag_first_error(&diags)));
        child_stop(&ingest->child, 0);
        rest(ingest);
    }
    diag_list_fini(&diags);
}

uint64_t
ingest_tail(const struct ingest *ingest)
{
    return atomic_load_explicit(&ingest->page->tail, memory_order_acquire);
}

uint64_t
ingest_readable(const struct ingest *ingest)
{
    return atomic_load_explicit(&ingest->page->readable, memory_order_acquire);
}

int
ingest_wake_fd(const struct ingest *ingest)
{
    return ingest->wake_fd;
}

/* Whether more is probably on its way: then a nap is cheaper than to be woken for each message. */
static bool
is_busy(struct ingest *ingest, uint64_t position)
{
    int64_t began_us = now_us();
    uint64_t moved = position - ingest->waited_at;
    bool is_close = moved > 0 && began_us - ingest->waited_us < BUSY_US;
    bool is_many = ingest->has_napped && moved >= BUSY_BYTES;
    ingest->waited_at = position;
    ingest->waited_us = began_us;
    ingest->has_napped = is_close || is_many;
    return ingest->has_napped;
}

bool
ingest_prepare_wait(struct ingest *ingest, uint64_t position)
{
    if (is_busy(ingest, position)) {
        usleep(NAP_US);
        if (ingest_readable(ingest) > position) {
            return false;
        }
    }
    atomic_store(&ingest->page->is_core_waiting, 1);
    if (atomic_load(&ingest->page->readable) > position) {
        atomic_store(&ingest->page->is_core_waiting, 0);
        return false;
    }
    return true;
}

void
ingest_woken(struct ingest *ingest)
{
    uint64_t count;
    ssize_t n = read(ingest->wake_fd, &count, sizeof count);
    check(n == sizeof count || errno == EAGAIN || errno == EINTR);
}

static void
note_end(struct ingest *ingest, int status)
{
    struct arena arena = {0};
    bool is_version_refused = WIFEXITED(status) && WEXITSTATUS(status) == MQTT_EXIT_VERSION;
    close(ingest->child.fd);
    ingest->child.fd = -1;
    ingest->restarts++;
    if (is_version_refused && !ingest->is_version_lowered) {
        ingest->is_version_lowered = true;
        buf_append_string(&ingest->config_text, "broker_protocol 3.1.1\n");
        ingest->start_again_us = 0;
        arena_fini(&arena);
        return;
    }
    rest(ingest);
    struct bytes how = child_describe_status(status, &arena);
    log_warning("the ingest process ended with %.*s; starting it again in %lld ms", BYTES_ARG(how),
                (long long)ingest->rest_ms);
    arena_fini(&arena);
}

void
ingest_tick(struct ingest *ingest)
{
    int status;
    if (ingest->child.pid != 0 && child_has_ended(&ingest->child, &status)) {
        note_end(ingest, status);
    }
    if (ingest->child.pid == 0 && now_us() >= ingest->start_again_us) {
        struct diag_list diags = {0};
        if (!start(ingest, &diags)) {
            log_diags(&diags);
        }
        diag_list_fini(&diags);
    }
}

/* The writer makes the version odd, writes, makes it even: a copy between two equal even ones is
 * whole. A writer that died in between leaves it odd; then there is no text to show. */
static void
copy_text(const _Atomic uint32_t *version, const char *text, char *out)
{
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load(version);
        memcpy(out, text, INGEST_REASON_BYTES);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && atomic_load(version) == before) {
            out[INGEST_REASON_BYTES - 1] = '\0';
            return;
        }
    }
    out[0] = '\0';
}

/* True: they are of one instant. */
static bool
copy_counters(const struct ingest_page *page, struct ingest_stats *out)
{
    uint64_t ended = atomic_load_explicit(&page->moves_ended, memory_order_acquire);
    out->held = atomic_load(&page->held);
    out->tail = atomic_load(&page->tail);
#define INGEST_COUNTER(name, doc) out->name = atomic_load(&page->name);
    INGEST_COUNTERS(INGEST_COUNTER)
#undef INGEST_COUNTER
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&page->moves_begun, memory_order_relaxed) == ended;
}

uint64_t
ingest_first(const struct ingest *ingest)
{
    return atomic_load(&ingest->page->first);
}

void
ingest_stats(const struct ingest *ingest, struct ingest_stats *out)
{
    enum { TRIES = 1000 };
    const struct ingest_page *page = ingest->page;
    *out = (struct ingest_stats){
            .state = (enum ingest_state)atomic_load(&page->state),
            .is_running = ingest->child.pid != 0,
            .protocol = atomic_load(&page->protocol),
            .filters_wanted = atomic_load(&page->filters_wanted),
            .filters_active = atomic_load(&page->filters_active),
            .filters_refused = atomic_load(&page->filters_refused),
            .synced = atomic_load(&page->synced),
            .knows_redelivered = atomic_load(&page->knows_redelivered) != 0,
            .canary_us = atomic_load(&page->canary_us),
            .restarts = ingest->restarts,
    };
    for (int i = 0; i < TRIES && !out->is_one_instant; i++) {
        out->is_one_instant = copy_counters(page, out);
    }
    out->refused_code = atomic_load(&page->refused_code);
    copy_text(&page->reason_version, page->reason, out->reason);
    copy_text(&page->refused_version, page->refused_filter, out->refused_filter);
}

void
ingest_account(const struct ingest_stats *stats, struct ledger_account *out)
{
    *out = (struct ledger_account){.kind = LEDGER_INGEST, .name = BYTES("mqtt")};
    ledger_in(out, "received", stats->received);
    ledger_out(out, "accepted", stats->accepted);
    ledger_out(out, "held", stats->held);
    ledger_out(out, "too large", stats->dropped_too_large);
    ledger_out(out, "bad topic", stats->dropped_bad_topic);
    ledger_out(out, "no room", stats->dropped_no_room);
    ledger_out(out, "surplus copies", stats->surplus_copies);
    ledger_out(out, "redelivered", stats->redelivered);
    ledger_out(out, "interrupted", stats->interrupted);
}
