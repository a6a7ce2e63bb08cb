#include "check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void
check_failed(const char *file, int line, const char *function, const char *what)
{
    fprintf(stderr, "<0>headgate: broken invariant at %s:%d in %s(): %s\n", file, line, function,
            what);
    abort();
}
