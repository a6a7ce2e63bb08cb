/*
 * The answer to `headgate status`: one JSON document, and the same as text for people.
 *
 * The document is part of the interface: members are added, not renamed. All counts are since the
 * start of the process.
 */
#ifndef HEADGATE_STATUS_H
#define HEADGATE_STATUS_H

#include "base/diag.h"

struct gateway;

/* Appends the state of everything as one JSON object. Any thread. */
void gateway_status(struct gateway *gateway, struct buf *out);

/* Renders that document as text. Fails when it is not one. */
bool status_print(struct bytes document, struct buf *out, struct diag_list *diags) MUST_CHECK;

#endif
