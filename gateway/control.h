/*
 * The gateway's control socket: DATA_DIR/control.sock, for the verbs that talk to a running
 * gateway. A client sends one line ("status") and reads the answer until the end. Access is the
 * folder's: only who may enter data_dir.
 */
#ifndef HEADGATE_CONTROL_H
#define HEADGATE_CONTROL_H

#include "base/diag.h"

struct control;

/* Answers one request: appends to `out`. Called on the control thread. */
typedef void (*control_answer_fn)(void *context, struct bytes request, struct buf *out);

bool control_start(struct control **out, const char *data_dir, control_answer_fn answer,
                   void *context, struct diag_list *diags) MUST_CHECK;
void control_stop(struct control *control);

/* The client's side: DIAG_MISSING when no gateway runs with this data_dir. */
bool control_ask(const char *data_dir, struct bytes request, struct buf *answer,
                 struct diag_list *diags) MUST_CHECK;

#endif
