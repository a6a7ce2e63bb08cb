/* What `headgate dlq` asks of a running gateway: to try dead letters again, or to drop them. */
#ifndef HEADGATE_DLQ_GATEWAY_H
#define HEADGATE_DLQ_GATEWAY_H

#include "gateway.h"

/*
 * `request`: "retry|drop POSITION|all SINK" or "drop waiting SINK". Appends {"count":N}, with "error"
 * and "hint" when not all was done. Control thread.
 */
void gateway_dlq(struct gateway *gateway, struct bytes request, struct buf *out);

#endif
