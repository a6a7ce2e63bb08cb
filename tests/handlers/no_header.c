__attribute__((visibility("default"))) int
handle(void *context, const void *records, unsigned long count)
{
    return 0;
}
