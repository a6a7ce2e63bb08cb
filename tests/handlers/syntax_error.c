#include <headgate/handler.h>

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    return recrods[0].payload_size > 0;
}
