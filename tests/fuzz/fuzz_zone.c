/*
 * TZif files: any bytes. What is taken for a zone must have spans that hold the instants they were
 * asked for, and local times that are found again.
 */
#include "base/check.h"
#include "base/zone.h"
#include "fuzz.h"

static void
ask(const struct zone *zone, int64_t at_s)
{
    struct zone_span span = zone_at(zone, at_s);
    check(span.start_s <= at_s && (at_s < span.end_s || span.end_s == INT64_MAX));
    int64_t limit_s = INT64_MAX - ZONE_OFFSET_MAX_S;
    if (at_s < -limit_s || at_s > limit_s) {
        return;
    }
    struct zone_span local;
    int64_t utc_s = zone_utc_of_local(zone, at_s, &local);
    check(local.start_s <= utc_s);
    check(utc_s - at_s <= ZONE_OFFSET_MAX_S && at_s - utc_s <= ZONE_OFFSET_MAX_S);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    const struct zone *zone = zone_parse(BYTES("Fuzz/Zone"), bytes_of(data, size), &arena);
    if (zone != NULL) {
        static const int64_t instants[] = {
                INT64_MIN, INT64_MIN + ZONE_OFFSET_MAX_S, -(INT64_C(1) << 60) - 1,
                -INT64_C(4000000000), 0, 1, 1500000000, INT64_C(4102444800),
                INT64_C(253402300800), INT64_C(1) << 60, (INT64_C(1) << 60) + 1, INT64_MAX - 1,
        };
        for (size_t i = 0; i < sizeof instants / sizeof instants[0]; i++) {
            ask(zone, instants[i]);
        }
        int64_t at_s = -INT64_C(3000000000);
        for (int i = 0; i < 20; i++) {
            struct zone_span span = zone_at(zone, at_s);
            if (span.end_s == INT64_MAX) {
                break;
            }
            at_s = span.end_s;
            ask(zone, at_s);
            ask(zone, at_s - 1);
        }
    }
    zone = zone_fixed(bytes_of(data, size), &arena);
    if (zone != NULL) {
        ask(zone, 0);
    }
    arena_fini(&arena);
    return 0;
}
