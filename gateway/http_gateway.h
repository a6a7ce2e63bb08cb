/*
 * The option 'http': the gateway's own pages, for Prometheus and health checks. Main thread.
 */
#ifndef HEADGATE_HTTP_GATEWAY_H
#define HEADGATE_HTTP_GATEWAY_H

#include "base/diag.h"

struct gateway;

/*
 * Listens where the option says, if it says so. Messages go on without: an address that cannot be had
 * now is an error in `diags` and no more. False: it is none.
 */
bool gateway_listen_http(struct gateway *gateway, struct diag_list *diags) MUST_CHECK;

/* Tries again, every half minute, what could not be had. Call now and then. */
void gateway_retry_http(struct gateway *gateway);

void gateway_stop_http(struct gateway *gateway);

#endif
