/*
 * Metrics as the text that Prometheus reads (exposition format 0.0.4): families of samples, each
 * under its HELP and TYPE, in the order of metrics.def.
 */
#ifndef HEADGATE_METRICS_TEXT_H
#define HEADGATE_METRICS_TEXT_H

#include "base/buf.h"

enum metric {
#define METRIC(id, type, name, labels, doc) METRIC_##id,
#include "metrics.def"
#undef METRIC
    METRIC_COUNT,
};

enum { METRIC_LABELS_MAX = 3 };

/* What a family's labels are, in the order in which the table names them; "" ends them early. */
struct metric_labels {
    struct bytes values[METRIC_LABELS_MAX];
};

/* Begins a family; `metric` has to be behind the one before. A family may have no sample. */
void metric_begin(struct buf *out, enum metric metric);

/* One sample of it. Label values may be any bytes. */
void metric_count(struct buf *out, enum metric metric, const struct metric_labels *labels,
                  uint64_t value);

/* The same of a time, in seconds. Negative is written as 0. */
void metric_seconds(struct buf *out, enum metric metric, const struct metric_labels *labels,
                    int64_t us);

/* A family of one sample without labels. */
void metric_only(struct buf *out, enum metric metric, uint64_t value);
void metric_only_seconds(struct buf *out, enum metric metric, int64_t us);

/* One with labels and a sign. */
void metric_signed(struct buf *out, enum metric metric, const struct metric_labels *labels,
                   int64_t value);

/* The reference: a paragraph a metric. */
void metric_help(struct buf *out);

#endif
