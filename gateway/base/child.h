/*
 * Child processes: the same binary under another role, with one socket to the parent.
 *
 * What is not trusted (a third-party network library, user code) runs in a process of its own, so
 * that its crash costs a restart and nothing else. A child has stdin from /dev/null, the parent's
 * stdout and stderr, CHILD_SOCKET_FD, and no other descriptor. It gets SIGKILL when the *thread*
 * that spawned it ends (PR_SET_PDEATHSIG), so no child outlives the gateway; spawn from a thread
 * that lives as long as the child should.
 */
#ifndef HEADGATE_BASE_CHILD_H
#define HEADGATE_BASE_CHILD_H

#include "diag.h"

#include <sys/types.h>

enum { CHILD_SOCKET_FD = 3, CHILD_INHERIT_MAX = 4 };

struct child {
    pid_t pid;
    int fd; /* our end of the socket: stream, close-on-exec; frame.h speaks over it */
};

/*
 * Starts `executable` with `argv` (argv[0] included, NULL-terminated). `inherit` are more
 * descriptors to hand over, as CHILD_SOCKET_FD + 1, + 2, ... The environment is the parent's.
 */
bool child_spawn(struct child *out, const char *executable, const char *const *argv,
                 const int *inherit, size_t inherit_count, struct diag_list *diags) MUST_CHECK;

/* Whether it has ended; then `*status` is as of waitpid() and the process is reaped. */
bool child_has_ended(struct child *child, int *status);

/* Closes the socket, waits up to `grace_ms` for it to end by itself, then SIGKILL; reaps. */
void child_stop(struct child *child, int grace_ms);

/* "exit code 3", "signal 11 (Segmentation fault)" */
struct bytes child_describe_status(int status, struct arena *arena);

#endif
