/*
 * The ingest process: from the broker into the journal, and nothing else.
 *
 *   Paho's thread     judge the message, hand it to the keeper; its return acknowledges
 *   main thread       socket to the core, connection, subscriptions, canary; once a second: clocks
 *   keeper's thread   syncs the journal, as `sync` says (keeper.c)
 *   gate's thread     with `sync always`: holds acknowledgements (drivers/mqtt_gate.c)
 *
 * A message is acknowledged only after it is in the journal; keeper.c tells what that means for
 * each policy, and what happens when the journal takes nothing.
 *
 * The canary is a message of ours to a topic of ours. When it does not come back while nothing
 * else of QoS 1 arrives either, the session has stalled; a new connection to the same session
 * mends that, and the simplest sure way to one is a new process.
 *
 * Every end is _exit(): Paho is never shut down.
 */
#define _GNU_SOURCE
#include "ingest.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wall.h"
#include "base/wire.h"
#include "broker_options.h"
#include "keeper.h"
#include "redelivery.h"
#include "subscriptions.h"
#include "rules/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONFIG_TIMEOUT_MS = 10000,
    FRAME_TIMEOUT_MS = 5000,
    TICK_MS = 1000,
    CANARY_PATIENCE_MS = 5000,
    CANARY_ALARM = 3, /* in a row */
    CANARY_EARLY_MS = 1000, /* the second one shows whether the broker counts on: redelivery.h */
    CANARIES_EARLY = 3,
    REFUSED_AGAIN_MS = 30000,
    REPEAT_LOG_MS = 60000,
    GOODBYE_MS = 500,
    STALL_US = 100000,
    SESSION_BYTES_MAX = 200,
};

struct canary {
    char *topic;
    bool is_out;
    unsigned early; /* sent soon after the one before */
    uint64_t nonce;
    int64_t sent_us;
    int64_t patient_until_us;
    int64_t next_us;
    uint64_t progress; /* QoS 1 messages when patience began */
    _Atomic uint64_t seen; /* the nonce that came back last; by Paho's thread */
    _Atomic int64_t seen_us;
};

struct ingester {
    struct config config;
    struct ingest_page *page;
    struct keeper *keeper;
    struct mqtt_gate *gate; /* NULL: not with this sync */
    struct mqtt_connection *mqtt;

    /* Paho's thread */
    struct redelivery *redelivery;
    uint32_t connection; /* of the last message */
    int64_t held_us;     /* until then it was not acknowledged; 0: at once */
    struct buf props;    /* the message's, and those of its record: a mark before them */
    struct buf record_props;
    struct log_gate drop_gate;

    /* main thread */
    struct subscriptions *subscriptions;
    char *subscriptions_path;
    char *session_path;
    bool expects_session; /* there has been one */
    uint32_t session; /* redelivery_new() */
    bool has_filters;
    struct canary canary;
    int64_t forgive_us; /* when refused filters are asked for again; 0: none */
    struct log_gate refused_gate;
    struct log_gate save_gate;

    /* shared */
    _Atomic bool is_time_unsynced;
    _Atomic bool is_trusted; /* redelivery_is_ready() */
    _Atomic uint64_t arrived_qos1;
};

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

/* Counters have one writer, so they need no locked instruction. */
static void
count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* ---- Paho's thread ---- */

/* What the broker has shown. The next process must not rely on more than that. */
static void
note_trust(struct ingester *ingester)
{
    bool is_trusted = redelivery_is_ready(ingester->redelivery);
    bool was_trusted = atomic_exchange(&ingester->is_trusted, is_trusted);
    if (was_trusted && !is_trusted) {
        atomic_store(&ingester->page->knows_redelivered, 0);
        unlink(ingester->session_path);
        log_notice("the broker's packet ids do not go on in turn, or its session is new: what it "
                   "sends again may be kept again");
    }
}

/* Without a packet id: QoS 0. */
static struct delivery
delivery_of(struct ingester *ingester, const struct mqtt_message *message)
{
    if (message->connection != ingester->connection) {
        ingester->connection = message->connection;
        redelivery_connected(ingester->redelivery, message->is_resumed);
    }
    return (struct delivery){
            .packet = message->packet,
            .is_dup = message->is_dup,
            .content = redelivery_content(message->topic, buf_bytes(&ingester->props),
                                          message->payload, message->is_retained),
            .time_us = now_us(),
            .held_us = ingester->gate == NULL ? ingester->held_us
                                              : mqtt_gate_held_until(ingester->gate),
    };
}

static void
keep(struct ingester *ingester, const struct mqtt_message *message,
     const struct delivery *delivery)
{
    bool is_unsynced =
            atomic_load_explicit(&ingester->is_time_unsynced, memory_order_relaxed);
    struct buf *props = &ingester->record_props;
    buf_clear(props);
    if (delivery->packet != 0) {
        redelivery_keep(ingester->redelivery, delivery, props);
        note_trust(ingester);
    }
    buf_append(props, buf_bytes(&ingester->props));
    struct record record = {
            .time_us = os_posix.wall_us(&os_posix),
            .flags = (message->qos & RECORD_QOS) |
                     (message->is_retained ? (unsigned)RECORD_RETAINED : 0) |
                     (message->is_dup ? (unsigned)RECORD_DUP : 0) |
                     (is_unsynced ? (unsigned)RECORD_TIME_UNSYNCED : 0),
            .topic = message->topic,
            .props = buf_bytes(props),
            .payload = message->payload,
    };
    keeper_keep(ingester->keeper, &record);
    int64_t kept_us = now_us();
    ingester->held_us = kept_us - delivery->time_us > STALL_US ? kept_us : 0;
}

static void
pass(struct ingester *ingester, const struct delivery *delivery)
{
    if (delivery->packet != 0) {
        redelivery_pass(ingester->redelivery, delivery);
        note_trust(ingester);
    }
}

static void
note_drop(struct ingester *ingester, _Atomic uint64_t *counter, const char *why,
          const struct mqtt_message *message)
{
    count(counter, 1);
    if (log_gate_open(&ingester->drop_gate, now_us() / 1000, REPEAT_LOG_MS)) {
        log_warning("dropped a message of %zu bytes to '%.*s': %s", message->payload.size,
                    BYTES_ARG(bytes_slice(message->topic, 0, 100)), why);
    }
}

static void
take_canary(struct canary *canary, struct bytes payload)
{
    int64_t nonce;
    if (bytes_to_int64(payload, &nonce)) {
        atomic_store(&canary->seen_us, now_us());
        atomic_store(&canary->seen, (uint64_t)nonce);
    }
}

/* Whether the message is one to be kept; counts and tells what is not. */
static bool
is_to_be_kept(struct ingester *ingester, const struct mqtt_message *message)
{
    struct ingest_page *page = ingester->page;
    if (!topic_is_valid(message->topic)) {
        note_drop(ingester, &page->dropped_bad_topic, "the topic is not valid", message);
    } else if (message->payload.size > (size_t)ingester->config.payload_max) {
        note_drop(ingester, &page->dropped_too_large, "larger than payload_max", message);
    } else if (ingester->props.size > KEEPER_PROPS_BYTES_MAX - MESSAGE_MARK_BYTES) {
        note_drop(ingester, &page->dropped_too_large, "too many properties", message);
    } else if (!message->is_retained &&
               subscriptions_is_copy(ingester->subscriptions, message->subscription,
                                     message->topic)) {
        count(&page->surplus_copies, 1);
    } else {
        return true;
    }
    return false;
}

static void
take_message(struct ingester *ingester, const struct mqtt_message *message)
{
    struct ingest_page *page = ingester->page;
    buf_clear(&ingester->props);
    if (message->has_props) {
        message_props_encode(&message->props, &ingester->props);
    }
    struct delivery delivery = delivery_of(ingester, message);
    if (bytes_equal_string(message->topic, ingester->canary.topic)) {
        take_canary(&ingester->canary, message->payload);
        pass(ingester, &delivery);
        return;
    }
    count(&page->received, 1);
    count(&page->received_bytes, message->payload.size);
    count(&page->duplicates_flagged, message->is_dup);
    count(&ingester->arrived_qos1, message->qos > 0);
    if (delivery.packet != 0 && redelivery_is_known(ingester->redelivery, &delivery)) {
        count(&page->redelivered, 1);
    } else if (is_to_be_kept(ingester, message)) {
        keep(ingester, message, &delivery);
    } else {
        pass(ingester, &delivery);
    }
}

static void
on_message(void *context, const struct mqtt_message *message)
{
    struct ingester *ingester = context;
    ingest_page_begin_move(ingester->page);
    take_message(ingester, message);
    ingest_page_end_move(ingester->page);
    if (ingester->gate != NULL && message->packet != 0) {
        mqtt_gate_note(ingester->gate, message->packet, keeper_taken(ingester->keeper));
    }
}

static void
on_published(void *context, uint64_t token, unsigned code)
{
    /* Only canaries are published here; what counts is whether they come back. */
}

/* ---- subscriptions ---- */

/* See copy_text() of the reader. */
static void
set_text(_Atomic uint32_t *version, char *out, struct bytes text)
{
    uint32_t odd = atomic_load(version) | 1;
    atomic_store(version, odd);
    snprintf(out, INGEST_REASON_BYTES, "%.*s", BYTES_ARG(text));
    atomic_store(version, odd + 1);
}

static void
set_reason(struct ingest_page *page, struct bytes reason)
{
    set_text(&page->reason_version, page->reason, reason);
}

static void
publish_state(struct ingester *ingester, const struct subscriptions_state *subscribed)
{
    struct ingest_page *page = ingester->page;
    bool is_all = ingester->has_filters && subscribed->active == subscribed->wanted;
    enum ingest_state state = keeper_is_blocked(ingester->keeper)          ? INGEST_BLOCKED
                              : !mqtt_is_connected(ingester->mqtt)         ? INGEST_CONNECTING
                              : is_all                                     ? INGEST_READY
                                                                           : INGEST_SUBSCRIBING;
    enum ingest_state before =
            (enum ingest_state)atomic_exchange(&page->state, (uint32_t)state);
    if (state == INGEST_READY && before != state) {
        log_info("subscribed to %zu topic filters", subscribed->active);
    }
    atomic_store(&page->filters_wanted, (uint32_t)subscribed->wanted);
    atomic_store(&page->filters_active, (uint32_t)subscribed->active);
    atomic_store(&page->filters_refused, (uint32_t)subscribed->refused);
}

static bool
save_subscriptions(struct ingester *ingester)
{
    struct diag_list diags = {0};
    bool saved = subscriptions_save(ingester->subscriptions, &os_posix,
                                    ingester->subscriptions_path, &diags);
    if (!saved && log_gate_open(&ingester->save_gate, now_us() / 1000, REPEAT_LOG_MS)) {
        log_error("%.*s; nothing new is subscribed until that works",
                  BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
    return saved;
}

static bool
request_next(struct ingester *ingester)
{
    const char *filter;
    uint32_t id;
    switch (subscriptions_next(ingester->subscriptions, &filter, &id)) {
    case SUBSCRIPTION_ADD:
        return save_subscriptions(ingester) &&
               mqtt_subscribe(ingester->mqtt, filter, id, id);
    case SUBSCRIPTION_DROP:
        return mqtt_unsubscribe(ingester->mqtt, filter, id);
    case SUBSCRIPTION_NOTHING:
        break;
    }
    return false;
}

static void
forgive_refused(struct ingester *ingester, const struct subscriptions_state *state)
{
    if (state->refused == 0) {
        ingester->forgive_us = 0;
        return;
    }
    set_text(&ingester->page->refused_version, ingester->page->refused_filter,
             bytes_of_string(state->first_refused));
    if (log_gate_open(&ingester->refused_gate, now_us() / 1000, REPEAT_LOG_MS)) {
        log_error("the broker refuses the subscription to '%s' (%zu of %zu filters are refused); "
                  "asking again every %d s", state->first_refused, state->refused, state->wanted,
                  REFUSED_AGAIN_MS / 1000);
    }
    if (ingester->forgive_us == 0) {
        ingester->forgive_us = now_us() + (int64_t)REFUSED_AGAIN_MS * 1000;
    } else if (now_us() >= ingester->forgive_us) {
        ingester->forgive_us = 0;
        subscriptions_forgive(ingester->subscriptions);
    }
}

/* Sends what can be sent; when nothing is left to be done, the file says what the broker has. */
static void
advance_subscriptions(struct ingester *ingester)
{
    if (ingester->has_filters && mqtt_is_connected(ingester->mqtt)) {
        while (request_next(ingester)) {
        }
    }
    struct subscriptions_state state = subscriptions_state(ingester->subscriptions);
    if (ingester->has_filters && mqtt_is_connected(ingester->mqtt) && state.in_flight == 0) {
        forgive_refused(ingester, &state);
        save_subscriptions(ingester);
    }
    publish_state(ingester, &state);
}

static void
on_connected(void *context, const struct mqtt_session *session)
{
    struct ingester *ingester = context;
    count(&ingester->page->connects, 1);
    set_reason(ingester->page, BYTES(""));
    if (!session->is_present && ingester->expects_session) {
        count(&ingester->page->sessions_lost, 1);
        log_warning("the broker lost the session '%s': what it held for us is gone "
                    "(does it keep sessions on disk? broker_session_expiry?)",
                    ingester->config.broker_client_id);
    }
    ingester->expects_session = true;
    atomic_store(&ingester->page->protocol, (uint32_t)session->version);
    ingester->canary.is_out = false;
    ingester->canary.next_us = 0;
    subscriptions_connected(ingester->subscriptions, session->is_present);
}

static void
on_failed(void *context, struct bytes reason)
{
    struct ingester *ingester = context;
    set_reason(ingester->page, reason);
}

static void
on_lost(void *context, struct bytes reason)
{
    struct ingester *ingester = context;
    subscriptions_lost(ingester->subscriptions);
}

static void
on_answered(void *context, uint64_t token, unsigned code)
{
    struct ingester *ingester = context;
    if (code >= 128) {
        atomic_store(&ingester->page->refused_code, code);
    }
    subscriptions_answer(ingester->subscriptions, (uint32_t)token, code < 128);
}

/* ---- the canary ---- */

static void
send_canary(struct ingester *ingester)
{
    struct canary *canary = &ingester->canary;
    uint32_t random;
    os_posix.random(&os_posix, &random, sizeof random);
    canary->nonce = (uint64_t)random + 1;
    char payload[24];
    int size = snprintf(payload, sizeof payload, "%" PRIu64, canary->nonce);
    struct mqtt_publication publication = {
            .topic = canary->topic, .payload = bytes_of(payload, (size_t)size), .qos = 1};
    canary->sent_us = now_us();
    canary->patient_until_us = canary->sent_us + (int64_t)CANARY_PATIENCE_MS * 1000;
    canary->progress = atomic_load(&ingester->arrived_qos1);
    canary->is_out = mqtt_publish(ingester->mqtt, &publication, 0);
}

static void
lose_canary(struct ingester *ingester)
{
    struct ingest_page *page = ingester->page;
    count(&page->canaries_lost, 1);
    uint32_t in_row = atomic_fetch_add(&page->canaries_lost_in_row, 1) + 1;
    log_line(in_row >= CANARY_ALARM ? LOG_ERROR : LOG_WARNING,
             "the broker delivers nothing of QoS 1 although it is connected (%u in a row); "
             "renewing the session", in_row);
    _exit(MQTT_EXIT_RETRY);
}

static void
watch_canary(struct ingester *ingester)
{
    struct canary *canary = &ingester->canary;
    if (atomic_load(&canary->seen) == canary->nonce) {
        atomic_store(&ingester->page->canary_us,
                     atomic_load(&canary->seen_us) - canary->sent_us);
        atomic_store(&ingester->page->canaries_lost_in_row, 0);
        canary->is_out = false;
        bool is_early = atomic_load(&ingester->page->knows_redelivered) == 0 &&
                        canary->early++ < CANARIES_EARLY &&
                        ingester->config.broker_canary > CANARY_EARLY_MS;
        canary->next_us =
                canary->sent_us +
                (is_early ? CANARY_EARLY_MS : ingester->config.broker_canary) * 1000;
        return;
    }
    if (now_us() < canary->patient_until_us) {
        return;
    }
    uint64_t progress = atomic_load(&ingester->arrived_qos1);
    if (progress == canary->progress) {
        lose_canary(ingester);
    }
    canary->progress = progress; /* a long queue is ahead of it */
    canary->patient_until_us = now_us() + (int64_t)CANARY_PATIENCE_MS * 1000;
}

static void
run_canary(struct ingester *ingester)
{
    bool is_ready = atomic_load(&ingester->page->state) == INGEST_READY;
    if (ingester->config.broker_canary == 0 || !is_ready) {
        ingester->canary.is_out = false; /* while acknowledgements are held, it may never come */
        return;
    }
    if (ingester->canary.is_out) {
        watch_canary(ingester);
    } else if (now_us() >= ingester->canary.next_us) {
        send_canary(ingester);
    }
}

/* ---- start ---- */

static _Noreturn void
fail(const struct diag_list *diags)
{
    log_diags(diags);
    _exit(MQTT_EXIT_RETRY);
}

static void
receive_config(struct ingester *ingester, struct diag_list *diags)
{
    struct buf buffer = {0};
    struct frame frame;
    config_init(&ingester->config);
    if (!frame_receive(CHILD_SOCKET_FD, &buffer, &frame, CONFIG_TIMEOUT_MS, diags) ||
        !config_parse(&ingester->config, BYTES("core"), frame.body, diags)) {
        fail(diags);
    }
    explicit_bzero(buffer.data, buffer.capacity);
    buf_fini(&buffer);
    log_setup((enum log_level)ingester->config.log_level, "ingest");
}

static void
map_page(struct ingester *ingester, struct diag_list *diags)
{
    void *page = mmap(NULL, sizeof(struct ingest_page), PROT_READ | PROT_WRITE, MAP_SHARED,
                      INGEST_PAGE_FD, 0);
    if (page == MAP_FAILED) {
        diag_io_error(diags, errno, "cannot map the page shared with the core");
        fail(diags);
    }
    close(INGEST_PAGE_FD);
    ingester->page = page;
}

static void
open_journal(struct ingester *ingester, struct diag_list *diags)
{
    if (!keeper_open(&ingester->keeper, &ingester->config, ingester->page, diags)) {
        fail(diags);
    }
    log_diags(diags);
    diag_list_clear(diags);
}

static void
replay_record(void *context, const struct record *record)
{
    struct redelivery *redelivery = context;
    if (record == NULL) {
        redelivery_skip(redelivery);
    } else if ((record->flags & RECORD_QOS) != 0) {
        redelivery_replay(redelivery, record->topic, record->props, record->payload,
                          (record->flags & RECORD_RETAINED) != 0,
                          (record->flags & RECORD_DUP) != 0);
    }
}

/* The content of mqtt.session. Without the file nothing is known of the broker. */
static void
print_session(const struct ingester *ingester, struct buf *out)
{
    buf_printf(out, "session %08" PRIx32 ": packet ids are given out in turn\n",
               ingester->session);
}

static void
save_trust(struct ingester *ingester)
{
    bool is_saved = atomic_load(&ingester->page->knows_redelivered) != 0;
    if (!atomic_load(&ingester->is_trusted) || is_saved) {
        return;
    }
    struct buf text = {0};
    print_session(ingester, &text);
    int result = os_replace_file(&os_posix, ingester->session_path, buf_bytes(&text), 0600);
    buf_fini(&text);
    if (result == 0) {
        atomic_store(&ingester->page->knows_redelivered, 1);
    } else if (log_gate_open(&ingester->save_gate, now_us() / 1000, REPEAT_LOG_MS)) {
        log_error("cannot write '%s': %s; after a crash messages may be kept twice",
                  ingester->session_path, strerror(-result));
    }
    if (!atomic_load(&ingester->is_trusted)) { /* meanwhile */
        atomic_store(&ingester->page->knows_redelivered, 0);
        unlink(ingester->session_path);
    }
}

static void
recall_deliveries(struct ingester *ingester, struct diag_list *diags)
{
    struct buf text = {0};
    buf_printf(&text, "%s %s", ingester->config.broker, ingester->config.broker_client_id);
    ingester->session = wire_crc32c(0, buf_bytes(&text));
    ingester->redelivery = redelivery_new(ingester->session,
                                          ingester->config.sync == JOURNAL_SYNC_ALWAYS
                                                  ? 1
                                                  : REDELIVERY_MARK_EVERY);
    ingester->connection = UINT32_MAX;
    if (!keeper_read_last(ingester->keeper, INGEST_KEPT_BYTES, replay_record,
                          ingester->redelivery, diags)) {
        fail(diags);
    }
    buf_clear(&text);
    buf_printf(&text, "%s/mqtt.session", ingester->config.data_dir);
    ingester->session_path = buf_take_string(&text);
    if (os_read_file(&os_posix, ingester->session_path, SESSION_BYTES_MAX, &text) == 0) {
        struct buf expected = {0};
        print_session(ingester, &expected);
        if (bytes_equal(buf_bytes(&text), buf_bytes(&expected))) {
            redelivery_set_ready(ingester->redelivery);
        }
        buf_fini(&expected);
    }
    buf_fini(&text);
    bool is_trusted = redelivery_is_ready(ingester->redelivery);
    ingester->expects_session = is_trusted || atomic_load(&ingester->page->connects) > 0;
    atomic_store(&ingester->is_trusted, is_trusted);
    atomic_store(&ingester->page->knows_redelivered, is_trusted);
}

static void
open_subscriptions(struct ingester *ingester, struct diag_list *diags)
{
    struct buf path = {0};
    buf_printf(&path, "%s/mqtt.subscriptions", ingester->config.data_dir);
    ingester->subscriptions_path = buf_take_string(&path);
    ingester->subscriptions = subscriptions_new();
    if (!subscriptions_load(ingester->subscriptions, &os_posix, ingester->subscriptions_path,
                            diags)) {
        fail(diags);
    }
    log_diags(diags);
    diag_list_clear(diags);
}

static void
name_canary(struct ingester *ingester)
{
    struct buf topic = {0};
    buf_printf(&topic, "headgate/canary/%s", ingester->config.broker_client_id);
    for (size_t i = 0; i < topic.size; i++) {
        if (topic.data[i] == '+' || topic.data[i] == '#') {
            topic.data[i] = '_';
        }
    }
    ingester->canary.topic = buf_take_string(&topic);
}

static void
open_connection(struct ingester *ingester, struct diag_list *diags)
{
    struct mqtt_options options;
    struct mqtt_events events = {
            .context = ingester,
            .message = on_message,
            .published = on_published,
            .connected = on_connected,
            .failed = on_failed,
            .lost = on_lost,
            .answered = on_answered,
    };
    if (!broker_options(&ingester->config, &options, diags)) {
        fail(diags);
    }
    struct mqtt_gate_events gate_events = {ingester->keeper, keeper_taken, keeper_hurry};
    if (ingester->config.sync == JOURNAL_SYNC_ALWAYS &&
        !mqtt_gate_open(&ingester->gate, &options, &gate_events, diags)) {
        fail(diags);
    }
    options.gate = ingester->gate;
    options.receive_max = REDELIVERY_FLIGHT_MAX;
    keeper_start(ingester->keeper, ingester->gate);
    if (!mqtt_open(&ingester->mqtt, &options, &events, diags)) {
        fail(diags);
    }
}

/* ---- the main loop ---- */

static void
take_filters(struct ingester *ingester, struct bytes body)
{
    struct wire_reader reader = wire_reader(body);
    struct bytes *filters = NULL;
    size_t filter_count = 0, capacity = 0;
    while (reader.rest.size > 0 && !reader.failed) {
        struct bytes filter = wire_get_bytes(&reader);
        filters = mem_grow(filters, filter_count, &capacity, sizeof *filters);
        filters[filter_count++] = filter;
    }
    check(!reader.failed);
    if (ingester->config.broker_canary != 0) {
        filters = mem_grow(filters, filter_count, &capacity, sizeof *filters);
        filters[filter_count++] = bytes_of_string(ingester->canary.topic);
    }
    size_t invalid = subscriptions_want(ingester->subscriptions, filters, filter_count);
    if (invalid > 0) {
        log_error("%zu topic filters are not valid", invalid);
    }
    ingester->has_filters = true;
    free(filters);
}

static _Noreturn void
say_goodbye(struct ingester *ingester)
{
    mqtt_disconnect(ingester->mqtt, GOODBYE_MS);
    if (ingester->gate != NULL) {
        mqtt_gate_drain(ingester->gate, GOODBYE_MS);
    }
    struct diag_list diags = {0};
    if (!keeper_finish(ingester->keeper, &diags)) {
        fail(&diags);
    }
    _exit(EXIT_SUCCESS);
}

static void
listen_to_core(struct ingester *ingester, struct buf *buffer)
{
    struct frame frame;
    struct diag_list diags = {0};
    if (!frame_receive(CHILD_SOCKET_FD, buffer, &frame, FRAME_TIMEOUT_MS, &diags)) {
        say_goodbye(ingester);
    }
    if (frame.type == INGEST_FRAME_FILTERS) {
        take_filters(ingester, frame.body);
    }
    diag_list_fini(&diags);
}

static void
look_at_clock(struct ingester *ingester)
{
    atomic_store(&ingester->is_time_unsynced, wall_is_doubted(&os_posix));
}

static int
timeout_until(int64_t wanted_us)
{
    int64_t left_ms = wanted_us == INT64_MAX ? TICK_MS : (wanted_us - now_us() + 999) / 1000;
    return left_ms < 0 ? 0 : left_ms > TICK_MS ? TICK_MS : (int)left_ms;
}

static _Noreturn void
run(struct ingester *ingester)
{
    struct buf buffer = {0};
    int64_t tick_us = 0;
    for (;;) {
        int64_t wanted_us = mqtt_step(ingester->mqtt);
        advance_subscriptions(ingester);
        run_canary(ingester);
        save_trust(ingester);
        if (now_us() >= tick_us) {
            look_at_clock(ingester);
            tick_us = now_us() + (int64_t)TICK_MS * 1000;
        }
        struct pollfd fds[] = {
                {.fd = CHILD_SOCKET_FD, .events = POLLIN},
                {.fd = mqtt_fd(ingester->mqtt), .events = POLLIN},
        };
        if (poll(fds, 2, timeout_until(wanted_us)) > 0 && fds[0].revents != 0) {
            listen_to_core(ingester, &buffer);
        }
    }
}

int
ingest_process_main(void)
{
    struct diag_list diags = {0};
    struct ingester *ingester = mem_new(struct ingester);
    log_setup(LOG_INFO, "ingest");
    signal(SIGINT, SIG_IGN); /* the core decides: its end of the socket closes */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file above the limit is an error of the write: EFBIG */
    receive_config(ingester, &diags);
    map_page(ingester, &diags);
    open_journal(ingester, &diags);
    recall_deliveries(ingester, &diags);
    open_subscriptions(ingester, &diags);
    name_canary(ingester);
    look_at_clock(ingester);
    open_connection(ingester, &diags);
    run(ingester);
}
