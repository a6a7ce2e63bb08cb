/*
 * Hears everything that is published on a broker for a few seconds, for `headgate why --listen`.
 *
 * The connection is a process of its own, as every connection to a broker, with its own client id
 * and no session: it subscribes to '#' at QoS 0, so nothing is kept for it and nothing that the
 * gateway gets is changed.
 */
#ifndef HEADGATE_LISTEN_H
#define HEADGATE_LISTEN_H

#include "config.h"

/*
 * Calls `heard` for each message until `listen_ms` have passed since the subscription was granted.
 * Blocks. Fails when the broker cannot be reached within ten seconds or refuses.
 */
bool listen_to_all(const struct config *config, int64_t listen_ms,
                   void (*heard)(void *context, struct bytes topic, struct bytes payload),
                   void *context, struct diag_list *diags) MUST_CHECK;

/* The verb "listener": main of the process. */
int listen_process_main(void);

/* Frames: the configuration to the process; the others from it. */
enum listen_frame {
    LISTEN_CONFIG = 1,
    LISTEN_READY = 2,   /* the subscription is granted */
    LISTEN_MESSAGE = 3, /* counted topic, then the payload */
    LISTEN_FAILED = 4,  /* a reason; it may try again */
};

#endif
