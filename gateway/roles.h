/*
 * The processes of a running gateway besides the core (gateway/README.md, "Processes"). Each is
 * the same binary under a hidden verb, started by base/child.h with its socket on descriptor 3;
 * the returned number is the exit code.
 */
#ifndef HEADGATE_ROLES_H
#define HEADGATE_ROLES_H

/* Receives from the broker and appends to the journal. */
int ingest_process_main(void);

/* Publishes to the broker what the 'topic' sink hands it. */
int publisher_process_main(void);

/* Runs one user handler. */
int worker_process_main(void);

#endif
