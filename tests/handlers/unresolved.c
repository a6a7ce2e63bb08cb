#include <headgate/handler.h>

int no_such_function(void);

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    return no_such_function();
}
