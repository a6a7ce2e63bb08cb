/*
 * <headgate/handler.h>: how C code of yours becomes part of the gateway.
 *
 *   #include <headgate/handler.h>
 *
 *   int
 *   handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
 *   {
 *       for (size_t i = 0; i < count; i++) {
 *           headgate_emit(context, "copies", records[i].payload, records[i].payload_size);
 *       }
 *       return 0;
 *   }
 *
 *   CREATE FUNCTION copy AS 'copy.c' LANGUAGE C WITH ('timeout' = '3s', 'memory' = '64M');
 *   INSERT INTO copy SELECT * FROM 'sensors/+/data';      -- records go to the handler
 *   INSERT INTO 'copies/all' SELECT * FROM copy;          -- what it emits comes back
 *
 * The handler runs in a process of its own, one call at a time, on one thread. It may compute,
 * allocate, print, read the clock and random numbers; it may not open files or sockets, nor start
 * processes or threads. Files that it needs are read by a function marked
 * __attribute__((constructor)), which runs before those limits.
 *
 * A call that returns 0 is final: what was emitted is kept, then its records are done. A call that
 * returns another number, crashes, or takes longer than `timeout` keeps nothing of what it emitted
 * and is repeated; if it goes on failing, the batch is halved until the one record that does it is
 * found and put aside. So a record may be seen more than once: records[i].position tells it again.
 *
 * What is printed on stdout and stderr goes to the gateway's log: up to 64 KiB between two calls,
 * the rest is dropped.
 *
 * This header is frozen. Structs keep their size, functions are reached through a table that only
 * grows; a handler compiled today loads in later gateways. It needs nothing of the gateway to be
 * linked with, so a handler can be tested on its own with a table of functions made by the test.
 */
#ifndef HEADGATE_HANDLER_H
#define HEADGATE_HANDLER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEADGATE_HANDLER_ABI 1

/* A record as a rule made it. Everything is valid until handle() returns. */
struct headgate_record {
    const char *payload; /* JSON text, or bytes as they are; a NUL stands behind the last byte */
    size_t payload_size;
    const char *topic; /* of the MQTT message that the rule saw; NUL-terminated */
    size_t topic_size;
    const char *rule; /* the rule that made the record; NUL-terminated */
    size_t rule_size;
    int64_t time_us;   /* arrival of the message: microseconds since 1970, UTC */
    uint64_t position; /* the record's stable name, with `output`: the same when it comes again */
    uint32_t output;
    uint32_t reserved_number;
    const void *reserved[4];
};

enum headgate_level {
    HEADGATE_ERROR,
    HEADGATE_WARNING,
    HEADGATE_NOTICE,
    HEADGATE_INFO,
    HEADGATE_DEBUG,
};

struct headgate_context;

/* Use the functions below, not this table. */
struct headgate_functions {
    size_t size; /* of this table, as the gateway knows it */
    int (*emit)(struct headgate_context *context, const char *topic, size_t topic_size,
                const void *payload, size_t payload_size);
    void (*log)(struct headgate_context *context, enum headgate_level level, const char *text,
                size_t text_size);
    void (*fail)(struct headgate_context *context, size_t index, const char *reason,
                 size_t reason_size);
    int64_t (*remaining_ms)(struct headgate_context *context);
    const char *(*environment)(struct headgate_context *context, const char *name);
};

struct headgate_context {
    const struct headgate_functions *functions;
    void *state; /* yours: NULL at first, kept between calls, lost when the process restarts */
};

/* What you write. 0: done; another number: the whole batch failed. */
#ifdef __GNUC__
__attribute__((visibility("default")))
#endif
int handle(struct headgate_context *context, const struct headgate_record *records, size_t count);

static inline size_t
headgate_text_size(const char *text)
{
    size_t size = 0;
    while (text[size] != '\0') {
        size++;
    }
    return size;
}

/*
 * Emits a record to the stream that is named like the function. `topic` is what topic() gives in
 * the rules that read it. 0, or -1 when a call's limit (16 MiB, 100,000 records) is reached or the
 * topic is empty, longer than 65,535 bytes or not UTF-8.
 */
static inline int
headgate_emit(struct headgate_context *context, const char *topic, const void *payload,
              size_t payload_size)
{
    return context->functions->emit(context, topic, headgate_text_size(topic), payload,
                                    payload_size);
}

/* One line in the gateway's log. */
static inline void
headgate_log(struct headgate_context *context, enum headgate_level level, const char *text)
{
    context->functions->log(context, level, text, headgate_text_size(text));
}

/*
 * This record failed, the others of the batch did not. It is handed over again up to `retries`
 * times, then put aside as a dead letter with the reason. Return 0 to keep the rest.
 */
static inline void
headgate_fail(struct headgate_context *context, size_t index, const char *reason)
{
    context->functions->fail(context, index, reason, headgate_text_size(reason));
}

/* Milliseconds until this call is ended. */
static inline int64_t
headgate_remaining_ms(struct headgate_context *context)
{
    return context->functions->remaining_ms(context);
}

/* A value of the function's 'environment' option, or NULL. */
static inline const char *
headgate_environment(struct headgate_context *context, const char *name)
{
    return context->functions->environment(context, name);
}

/* Tells the gateway what this handler was compiled against; nothing for you to do. */
struct headgate_handler_info {
    uint32_t abi;
    uint32_t record_size;
};

#ifdef __GNUC__
extern const struct headgate_handler_info headgate_handler_info
        __attribute__((weak, visibility("default")));
const struct headgate_handler_info headgate_handler_info
        __attribute__((weak, used, visibility("default"))) = {
                HEADGATE_HANDLER_ABI, (uint32_t)sizeof(struct headgate_record)};
#endif

#ifdef __cplusplus
}
#endif

#endif
