/* Metrics of the operating system about this process and its children. */
#ifndef HEADGATE_METRICS_PROCESS_H
#define HEADGATE_METRICS_PROCESS_H

#include "base/buf.h"

/* Appends the families METRIC_RESIDENT and those behind it. What cannot be read is left out. */
void metrics_process(struct buf *out);

#endif
