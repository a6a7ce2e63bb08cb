/*
 * What a process may still do once it is about to run code that is not ours. Each step is for
 * ever and for the calling process; none needs privileges. Single-threaded processes only.
 */
#ifndef HEADGATE_WORKER_SANDBOX_H
#define HEADGATE_WORKER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this build carries AddressSanitizer, under which memory cannot be limited. */
bool sandbox_under_asan(void);

/* No core dumps, no new privileges, no ptrace, no files written, no inherited environment. */
void sandbox_begin(void);

/*
 * Limits memory: what is used now plus `bytes`. False under AddressSanitizer: its shadow memory
 * looks like use.
 */
bool sandbox_limit_memory(uint64_t bytes);

/*
 * The system calls that are left, in two steps. LOADING: read files, map code: for dlopen() and
 * constructors. RUNNING: memory, clock, random, the descriptors that are open. In both, whatever
 * starts a process or thread, opens a socket, or touches another process kills the process with
 * SIGSYS, and every other call fails with EPERM. False where there is no seccomp.
 */
enum sandbox_stage { SANDBOX_LOADING, SANDBOX_RUNNING };
bool sandbox_restrict_calls(enum sandbox_stage stage);

#endif
