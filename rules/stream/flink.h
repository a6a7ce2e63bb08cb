/*
 * Stream SQL as a script that Flink SQL takes, for those who move it there: Kinesis Data Streams
 * with the names of the tables take the place of topics and local streams.
 *
 *   CREATE TABLE   as it is written, with the options that Flink's Kinesis connector has
 *   CREATE VIEW, SET, queries     as they are written; names that are words of Flink in backquotes
 *   CREATE RULE    its INSERT; one for each target
 *   INSERT INTO 'topic'           into a table that is made for it, of the query's columns
 *
 * What Flink cannot do, or only otherwise, is an error at its place: it is left out.
 */
#ifndef HEADGATE_RULES_STREAM_FLINK_H
#define HEADGATE_RULES_STREAM_FLINK_H

#include "stream.h"

struct flink_options {
    struct bytes region; /* of the streams: "us-east-1" */
};

/*
 * Appends the statements of one text. `programs` are those of it, NULL where there is none. False
 * after errors; what could be exported is in `out` nevertheless.
 */
bool stream_flink_export(struct bytes path, struct bytes text,
                         const struct stream_program *const *programs, size_t program_count,
                         const struct flink_options *options, struct buf *out,
                         struct diag_list *diags);

#endif
