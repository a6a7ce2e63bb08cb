/* The entry that libFuzzer and replay.c call: must take any bytes, keep no state, never fail. */
#ifndef HEADGATE_TESTS_FUZZ_H
#define HEADGATE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
