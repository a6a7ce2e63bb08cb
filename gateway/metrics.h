/*
 * What a running gateway says of itself to Prometheus: the metrics of metrics.def.
 *
 * Counters begin at zero with the core's process, but for those of the process that receives,
 * which go on over its restarts.
 */
#ifndef HEADGATE_METRICS_H
#define HEADGATE_METRICS_H

#include "base/buf.h"

struct gateway;

/* Appends all of them. Any thread; holds the gateway's lock for some microseconds a rule. */
void gateway_metrics(struct gateway *gateway, struct buf *out);

/*
 * Whether it does what it is for; `out` gets a line for each reason why not, or "ok". The broker is
 * connected, the journal can be written, no account of the ledger is open.
 */
bool gateway_health(struct gateway *gateway, struct buf *out);

#endif
