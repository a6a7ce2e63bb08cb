/* As if compiled against a header that this gateway does not know. */
__attribute__((visibility("default"))) const unsigned headgate_handler_info[2] = {99, 1};

__attribute__((visibility("default"))) int
handle(void *context, const void *records, unsigned long count)
{
    return 0;
}
