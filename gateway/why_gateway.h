/* What a running gateway knows of one rule, for `headgate why`. */
#ifndef HEADGATE_WHY_GATEWAY_H
#define HEADGATE_WHY_GATEWAY_H

#include "gateway.h"

/* Appends the document of why.h. Any thread. */
void gateway_why(struct gateway *gateway, struct bytes name, struct buf *out);

#endif
