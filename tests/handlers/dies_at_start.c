#include <headgate/handler.h>

#include <stdlib.h>

__attribute__((constructor)) static void
die_at_once(void)
{
    abort();
}

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    return 0;
}
