/*
 * The world that the simulator runs the gateway in: one thread, one disk that loses power, one
 * clock that only moves when told to, one broker, one upstream, and one source of chance.
 *
 *   broker ──> receive: journal ──> engine ──> outboxes ──> store      (local: exactly once)
 *                                      ^           ├──────> upstream   (remote: at least once)
 *                                      └── relay <─┴──────> topic      (a stream of a function)
 *
 * The journal, the engine, the sinks and the outboxes are those of the gateway, stepped instead of
 * run by threads; receiving is a model of what the ingest process does with each sync policy, and
 * the drivers are models of a store and of a flaky service.
 *
 * Moments. The world is numbered by what can be seen from outside a crash: each call that changes
 * the disk, and each effect outside (the broker takes an acknowledgement, the upstream takes a
 * record). `crash_at` is a moment: everything up to it has happened, nothing after it does.
 * All chance comes from the seed, so the same seed gives the same moments.
 */
#ifndef HEADGATE_TESTS_SIM_WORLD_H
#define HEADGATE_TESTS_SIM_WORLD_H

#include "engine.h"
#include "fault/crash_disk.h"

/* What may be broken on purpose, to see that it is found. */
enum sim_break {
    BREAK_NOTHING,
    BREAK_ACK_EARLY,      /* acknowledges before the journal has the message */
    BREAK_SKIP_SYNC,      /* `sync always` acknowledges without a sync */
    BREAK_READ_EARLY,     /* with `sync always` rules read what no sync has covered */
    BREAK_FORGET_LAST_ID, /* the store commits rows without its last record ids */
    BREAK_FORGET_IDS,     /* a stream knows only rows behind what rules have read of it */
    BREAK_DONE_EARLY,     /* the store answers DONE before it has committed */
    BREAK_DROP_RETRIED,   /* the upstream says DONE where it should have said RETRY */
    BREAK_LYING_SYNC,     /* the device says that it has synced files, and has not */
    BREAK_LYING_NAMES,    /* the same of directories */
    BREAK_MISCOUNT,       /* a rule counts a message that it never got */
    BREAK_LEAK,           /* a record of a sink is gone, and counted nowhere */
    BREAK_COUNT,
};

/* "nothing", "ack-early", ... */
const char *sim_break_name(enum sim_break broken);

/* "kill", "drop", "tear". */
const char *sim_mode_name(enum crash_mode mode);

/* One attempt at handing a message to the gateway: what became of it. */
struct token {
    unsigned message;  /* of the broker; received again when it was not acknowledged */
    unsigned value;    /* 0 to 9: what rules decide by */
    int64_t time_ms;   /* event time, wall clock; out of order */
    uint64_t next;     /* position behind it in the journal; 0: the append said no, or power did */
    bool is_acknowledged;
    bool is_owed;      /* acknowledged, and the sync policy does not excuse its loss */
    unsigned doubled, every, relayed, linked, recalled; /* rows in the store, by rule */
    unsigned upstream, topic, errors, dead;
};

struct sim_setup {
    uint64_t seed;
    unsigned messages;
    uint64_t crash_at;     /* moment of the first crash; 0: never, UINT64_MAX: by chance */
    enum crash_mode mode;  /* of that crash; by chance when the moment is */
    enum sim_break broken;
    bool traces;           /* one line an event, on stdout */
};

struct sim {
    struct sim_setup setup;
    uint64_t random;
    uint64_t digest; /* of all events */

    struct crash_disk *disk;
    const struct os *os;
    int effects_fd; /* each effect outside is a write into this file: so it has a moment */

    /* The gateway; NULL while it is down. */
    struct journal *journal;
    struct engine *engine;
    struct ruleset *ruleset;
    struct sink_context context;
    struct sink *sinks[8];
    size_t sink_count;
    struct sink *topic_sink;

    /* The broker: messages before `published` were sent, those of `is_taken` are acknowledged. */
    bool *is_taken;
    unsigned next_message; /* to be received in this connection */
    enum journal_sync policy;
    bool is_clock_wrong; /* set now and then, in some seeds */
    uint64_t readable; /* `always`: rules read what is synced */
    size_t doubtful_token; /* from here on they may have gone with the power; SIZE_MAX: none */
    size_t unsynced_token; /* tokens from here on may not be on the medium */
    size_t unacknowledged_token;

    struct token *tokens;
    size_t token_count;
    size_t token_capacity;

    unsigned lives;
    bool has_lost_input; /* that rules may have seen, and the journal has no more */
    uint64_t ledger_checks; /* accounts that the gateway looked at, in all lives */
    uint64_t moments;   /* of the whole run */
    struct buf wrong;   /* one line for everything that must not be; empty: all is well */
};

/* Runs a whole life of the world, crashes included, until nothing moves, and checks it. */
void sim_run(struct sim *sim, const struct sim_setup *setup);
void sim_fini(struct sim *sim);

/* ---- for the parts of the simulator ---- */

/* 0 to limit - 1. */
unsigned sim_draw(struct sim *sim, unsigned limit);

/* One line of the run's history. */
void sim_event(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);

/* Something is as it must not be. */
void sim_wrong(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);

/* An effect outside: false when the world has ended before it. */
bool sim_act(struct sim *sim);

/* The token that a payload names, or NULL. */
struct token *sim_token_of(struct sim *sim, struct bytes payload);

/* drivers.c: what the sinks' drivers are. */
struct sim *sim_of_env(const struct driver_env *env);

/* windows.c: event time of the token, before it is received. */
int64_t sim_event_time(struct sim *sim, size_t index);

/* windows.c: the windows of 'dated', a row each as the store has it. */
struct dated_windows {
    struct dated_window *windows;
    size_t count;
    size_t capacity;
};
void dated_windows_note(struct sim *sim, struct dated_windows *windows, const char *row);

/* Compares them with those of a life without a crash, and frees them. */
void dated_windows_check(struct sim *sim, struct dated_windows *windows);

/* check.c: after the last life, with the gateway still up. */
void sim_check(struct sim *sim);

#endif
