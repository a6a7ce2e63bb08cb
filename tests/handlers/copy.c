/* Emits what it gets. */
#include <headgate/handler.h>

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (headgate_emit(context, "copies", records[i].payload, records[i].payload_size) != 0) {
            headgate_fail(context, i, "cannot be emitted");
        }
    }
    return 0;
}
