/*
 * One generation of rules: every file of rules.d compiled and linked, read-only while it runs.
 *
 * Stream SQL is compiled when files are linked, because it may use what other files declare.
 *
 * Loading never stops a good rule: a file that does not compile, does not link or fails its own test
 * (NAME.test beside it, ruletest.h) keeps its last good version, and a file that never was good is
 * left out; both are reported. A new generation is built aside on the main thread and handed to
 * the engine, which swaps between two batches.
 */
#ifndef HEADGATE_RULESET_H
#define HEADGATE_RULESET_H

#include "relation.h"

#include "rules/explain.h"
#include "base/map.h"
#include "rules/rule.h"
#include "rules/stream/stream.h"
#include "rules/topic.h"

#include <stdatomic.h>

struct sink;

/* What a rule did. The engine adds, any thread reads. Survive a reload under the rule's name. */
struct rule_counters {
    _Atomic uint64_t messages;  /* reached the rule: the filter matched */
    _Atomic uint64_t matched;   /* WHERE was true: a row came out */
    _Atomic uint64_t filtered;  /* WHERE was false */
    _Atomic uint64_t undefined; /* WHERE or the row was: a field is missing or of a wrong type */
    _Atomic uint64_t failed;
    _Atomic uint64_t retained;  /* kept by the broker from earlier, and ignored: not in `messages` */
    _Atomic uint64_t not_json;  /* of `messages`: the payload was not JSON */
    _Atomic uint64_t rows;      /* handed to sinks: a row times its targets */
    _Atomic uint64_t error_failed; /* messages of the error action that could not be made */
    _Atomic uint64_t error_rows;   /* and those that were handed to sinks */
    struct rule_stream_counters {  /* of stream SQL; see struct stream_stats */
        _Atomic uint64_t used, rejected, turned_away; /* each message is one of them */
        _Atomic uint64_t bad, null_rowtime, future, late, no_window, refused;
        _Atomic uint64_t state_bytes, state_entries;
        _Atomic int64_t watermark_ms;
    } stream;
    /* Engine thread: what sinks know of these rows beyond what the sinks that run have got since. */
    struct rule_audit {
        bool is_known;
        uint64_t before; /* of a rule of this name that was removed */
        uint64_t gone;   /* to sinks that have been closed */
        uint64_t seen;   /* while it is being looked at */
        bool is_flow;    /* it is stream SQL, as of the last generation */
        int64_t other;   /* messages minus outcomes of the time before, as the other kind of SQL */
    } audit;
    unsigned references;        /* main thread only */
};

/* What a rule's messages looked like. Survives a reload that leaves filter and fields as they are. */
struct rule_watch {
    struct explain *explain; /* whoever runs the rules guards it */
    unsigned references;     /* main thread only */
};

struct ruleset_file;
struct ruleset_script;

struct ruleset_relation {
    const struct rule_relation *declared;
    struct ruleset_file *file; /* that declares it */
    struct relation relation;
    struct sink *sink; /* set by the gateway before the engine sees the generation */
};

struct ruleset_target {
    struct ruleset_relation *relation; /* NULL: publish to the topic */
};

struct ruleset_rule {
    const struct rule *rule;
    const struct rule_info *info;
    struct rule_counters *counters;
    struct rule_watch *watch;
    const char *path; /* of its file; "" for a text */
    bool ignores_retained; /* option 'retained' */
    struct ruleset_target *targets;   /* one an info->targets entry */
    struct ruleset_target *error_targets; /* one an info->error_targets entry */
    struct ruleset_relation *source;  /* NULL: messages of the MQTT stream, or of `program` */
    const struct stream_program *program; /* NULL: topic SQL */
    const struct ruleset_feed *feeds; /* then, one a source of the program */
};

/* A source of stream SQL: where a rule's rows come from. */
struct ruleset_feed {
    uint32_t rule;   /* index */
    uint32_t source; /* of its program */
    struct bytes filter; /* of MQTT topics; else data NULL: */
    struct ruleset_relation *relation; /* whose stream is read */
};

struct ruleset {
    struct ruleset_file **files; /* in the order of their names */
    size_t file_count;
    struct ruleset_relation *relations;
    size_t relation_count;
    struct ruleset_rule *rules;
    size_t rule_count;
    struct topic_trie *topics; /* filter -> index of the rule, or feed_base + index of the feed */
    size_t feed_base;
    struct map by_name;        /* name -> struct ruleset_rule, those that run */
    struct ruleset_feed *feeds; /* in the order of rules and their sources */
    size_t feed_count;
    struct ruleset_script **scripts; /* one a file, NULL of one without stream SQL */
    size_t flow_count; /* rules of stream SQL */
};

/*
 * What has to be at hand before a declaration can run. A file whose tables cannot be provided for
 * is treated like one that does not link: the others go on.
 */
struct ruleset_provider {
    bool (*provide)(void *context, const struct ruleset_relation *relation,
                    struct diag_list *diags);
    void *context;
};

struct ruleset_report {
    size_t files;   /* rule files seen */
    size_t broken;  /* that did not compile or link, or failed their test */
    size_t kept;    /* of those: the last good version goes on */
    size_t changed; /* new, edited or removed since `previous` */
    size_t unprovided; /* of the broken: a table could not be opened; may work later */
};

/*
 * Builds a generation from a folder of *.sql and *.json files, or from a single file. `previous`
 * may be NULL; counters and last good versions come from it. Names starting with '.', '#' or '_'
 * and all that have another ending are not rule files. A folder that does not exist gives an empty
 * generation
 * and a warning; where `previous` came from it, an error: it may come back. False only when nothing
 * could be read at all; broken files are in the report. `provider` may be NULL.
 */
bool ruleset_load(struct ruleset **out, const char *path, const struct ruleset *previous,
                  const struct ruleset_provider *provider, struct ruleset_report *report,
                  struct diag_list *diags) MUST_CHECK;

/* Parses and compiles a rule file: *.json as AWS rule JSON, any other as statements. */
bool ruleset_parse_file(struct rule_file **out, const char *path, struct bytes text,
                        struct diag_list *diags) MUST_CHECK;

/*
 * Builds the generation that the folder of a rule file would give, without asking the files' own
 * tests: for whoever runs the rules of that file. Errors of others count only where the file then
 * does not link. `*listed_path` is how the generation names the file.
 */
bool ruleset_load_file(struct ruleset **out, const char *path, const char **listed_path,
                       struct diag_list *diags) MUST_CHECK;

/* A file of a generation, and its stream SQL (or NULL). */
const struct rule_file *ruleset_file_of(const struct ruleset *ruleset, const char *path,
                                        const struct ruleset_script **script);

/*
 * Builds a generation from a text, for `try` and tests. The text may also be a query alone
 * (SELECT ... [FROM ...]): then there is one rule without targets, and without FROM it has no
 * source either, that is, no filter in `topics`.
 */
bool ruleset_load_text(struct ruleset **out, struct bytes name, struct bytes text,
                       struct diag_list *diags) MUST_CHECK;

/* Appends "3 files, 4 rules, 1 table". */
void ruleset_report_contents(const struct ruleset_report *report, const struct ruleset *ruleset,
                             struct buf *out);

void ruleset_free(struct ruleset *ruleset);

/* Keeps the memory of a file's declarations beyond its generation. Main thread only. */
struct ruleset_file *ruleset_file_ref(struct ruleset_file *file);
void ruleset_file_unref(struct ruleset_file *file);

/* Distinct topic filters of all rules, for the ingest process, and room for one more. Views into
 * the generation. */
struct bytes *ruleset_filters(const struct ruleset *ruleset, size_t *count);

#endif
