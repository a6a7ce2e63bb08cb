/*
 * What becomes of a process that gets no memory.
 */
#ifndef HEADGATE_BASE_HEAP_H
#define HEADGATE_BASE_HEAP_H

#include <stddef.h>

enum { HEAP_EXIT = 71 }; /* EX_OSERR of sysexits.h: the status of a process that got no memory */

/*
 * From here on a malloc(), calloc() or realloc() that fails ends the process, whoever called it.
 * Before main's first thread. Not for a process that runs the code of users, who may have an
 * answer of their own.
 */
void heap_end_when_exhausted(void);

/* Ends the process: says that `size` bytes were refused. Any thread; allocates nothing. */
_Noreturn void heap_exhausted(size_t size);

#endif
