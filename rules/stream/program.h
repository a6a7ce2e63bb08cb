/* What a program consists of: between plan.c, which makes it, and run.c, which runs it. */
#ifndef HEADGATE_RULES_STREAM_PROGRAM_H
#define HEADGATE_RULES_STREAM_PROGRAM_H

#include "op.h"

enum { STREAM_STATE_DEFAULT_MAX_BYTES = 64 * 1024 * 1024 };

struct stream_program {
    const struct stream_op_plan *const *ops; /* each behind its inputs; the last is the end */
    size_t op_count;
    const struct stream_source_plan *const *sources;
    const struct stream_table *const *source_tables;
    size_t source_count;
    const struct stream_table *target; /* NULL: none */
    const struct bytes *names;         /* of the columns that come out: JSON, with ':' */
    enum stream_time_format format;    /* of the times that come out */
    const struct zone *zone;
    size_t state_max_bytes;
    size_t state_max_entries;
    const struct bytes *scope; /* members of payloads: each key has a watermark of its own */
    size_t scope_count;        /* 0: one watermark a source, as in Flink */
    uint64_t fingerprint; /* of what the state depends on */
    bool is_inner;        /* programs that read its stream have a copy of it */
    uint32_t start;       /* of the statement, in its text */
};

/*
 * keyed.c: a run for each key ('gateway.watermark-scope' = 'key'), so that a device whose clock is
 * ahead does not make the rows of the others late. Keys are members of the payload.
 */
struct stream_run *stream_keyed_run(struct stream_run *run, struct bytes payload);
void stream_keyed_each(const struct stream_run *run,
                       void (*each)(void *context, struct stream_run *child), void *context);
void stream_keyed_free(struct stream_run *run);
void stream_keyed_save(const struct stream_run *run, struct buf *out);
bool stream_keyed_load(struct stream_run *run, struct wire_reader *reader);

#endif
