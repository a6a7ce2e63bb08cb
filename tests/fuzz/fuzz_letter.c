/*
 * A record of a log of dead letters: any props are a letter, a removal, or neither, and what is a
 * letter survives a round trip.
 */
#include "dead_letter.h"
#include "fuzz.h"

static void
try_letter(const struct record *record)
{
    struct dead_letter letter, again;
    struct buf props = {0}, second = {0};
    struct record encoded;
    if (dead_letter_decode(record, &letter)) {
        dead_letter_encode(&letter, &props, &encoded);
        check(dead_letter_decode(&encoded, &again));
        check(bytes_equal(letter.reason, again.reason) && letter.attempts == again.attempts);
        check(letter.record.hops == again.record.hops);
        check(record_id_compare(letter.record.id, again.record.id) == 0);
        dead_letter_encode(&again, &second, &encoded);
        check(bytes_equal(buf_bytes(&props), buf_bytes(&second)));
    }
    buf_fini(&props);
    buf_fini(&second);
}

static void
try_removal(const struct record *record)
{
    struct dead_removal removal, again;
    struct dead_letter letter;
    struct buf props = {0};
    struct record encoded;
    if (dead_removal_decode(record, &removal)) {
        check(!dead_letter_decode(record, &letter) && removal.from < removal.to);
        dead_removal_encode(&removal, &props, &encoded);
        check(dead_removal_decode(&encoded, &again));
        check(removal.from == again.from && removal.to == again.to);
    }
    buf_fini(&props);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct record record = {
            .topic = BYTES("sensors/7"), .props = bytes_of(data, size), .payload = BYTES("{}")};
    try_letter(&record);
    try_removal(&record);
    return 0;
}
