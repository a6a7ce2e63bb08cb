/* The worker process: runs one user handler (worker/protocol.h). */
#ifndef HEADGATE_WORKER_PROCESS_H
#define HEADGATE_WORKER_PROCESS_H

/*
 * The role `worker` of the binary, started by the handler driver: socket on CHILD_SOCKET_FD, the
 * pipe for what the handler prints on the descriptor behind. Returns the exit code.
 */
int worker_process_main(void);

#endif
