/* The main thread's part of the ledger: what was received, and whether the rules got it. */
#ifndef HEADGATE_LEDGER_GATEWAY_H
#define HEADGATE_LEDGER_GATEWAY_H

struct gateway;

/* Looks about once a second. Call now and then. */
void gateway_audit(struct gateway *gateway);

#endif
