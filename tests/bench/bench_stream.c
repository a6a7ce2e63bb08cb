/*
 * bench_stream [--events N] [--json]
 *
 * How fast windows are on one core: averages over 10 s tumbling and 60 s by 10 s hopping windows,
 * over 100 and over 100,000 keys, from JSON payloads to rows; what a key and window costs in memory
 * and in a snapshot, and how long that takes. CPU time of one thread.
 */
#define _GNU_SOURCE
#include "rules/stream/stream.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char TABLE[] =
        "CREATE TABLE s (id STRING, v DOUBLE, t BIGINT, ts AS TO_TIMESTAMP_LTZ(t, 3),"
        " WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector'='mqtt', 'topic'='in');";

struct count {
    uint64_t rows;
};

static void
take_row(void *context, struct bytes json)
{
    ((struct count *)context)->rows++;
}

static double
cpu_s(void)
{
    struct timespec now;
    check(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* 20,000 events a second of event time, keys in turn. */
static double
feed(struct stream_run *run, uint64_t from, uint64_t events, uint64_t keys)
{
    struct buf payload = {0};
    double began = cpu_s(), spent = 0;
    for (uint64_t i = from; i < from + events; i++) {
        buf_clear(&payload);
        buf_printf(&payload, "{\"id\":\"sensor-%llu\",\"v\":%llu.5,\"status\":\"OK\",\"t\":%llu}",
                   (unsigned long long)(i * 7919 % keys), (unsigned long long)(i % 100),
                   (unsigned long long)(1709294400000 + i / 20));
        const struct stream_message message = {.payload = buf_bytes(&payload), .time_ms = 1};
        double start = cpu_s();
        stream_run_message(run, 0, &message);
        spent += cpu_s() - start;
    }
    buf_fini(&payload);
    double all = cpu_s() - began;
    return spent < all ? spent : all;
}

static void
measure(const char *name, const char *window, uint64_t keys, uint64_t events, bool json)
{
    struct buf sql = {0}, saved = {0};
    struct stream_script *script;
    struct diag_list diags = {0};
    struct count count = {0};
    const struct stream_output output = {.row = take_row, .context = &count};
    buf_append_string(&sql, TABLE);
    buf_printf(&sql, "SELECT id, AVG(v) AS a, COUNT(*) AS n FROM s GROUP BY %s, id;", window);
    check(stream_script_parse(&script, BYTES("bench"), buf_bytes(&sql), true, NULL, &diags));
    struct stream_run *run = stream_run_new(script->programs[0], &output);
    feed(run, 0, events / 4, keys);
    count.rows = 0;
    double spent = feed(run, events / 4, events, keys);
    double began = cpu_s();
    stream_run_save(run, &saved);
    double save_ms = (cpu_s() - began) * 1e3;
    size_t state = stream_run_footprint(run);
    if (json) {
        printf("{\"case\":\"%s\",\"keys\":%llu,\"events_per_second\":%.0f,\"rows\":%llu,"
               "\"state_bytes\":%zu,\"snapshot_bytes\":%zu,\"snapshot_ms\":%.2f}\n",
               name, (unsigned long long)keys, (double)events / spent,
               (unsigned long long)count.rows, state, saved.size, save_ms);
    } else {
        printf("%-16s %7llu keys %10.0f events/s %8llu rows  state %6.1f MB  snapshot %6.1f MB in "
               "%6.1f ms\n",
               name, (unsigned long long)keys, (double)events / spent,
               (unsigned long long)count.rows, (double)state / 1e6, (double)saved.size / 1e6,
               save_ms);
    }
    check(count.rows > 0);
    stream_run_free(run);
    stream_script_free(script);
    diag_list_fini(&diags);
    buf_fini(&saved);
    buf_fini(&sql);
}

int
main(int argc, char **argv)
{
    uint64_t events = 1000000;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--events") == 0 && i + 1 < argc) {
            events = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_stream [--events N] [--json]\n");
            return 2;
        }
    }
    static const uint64_t keys[] = {100, 100000};
    for (size_t i = 0; i < 2; i++) {
        measure("tumble 10s", "TUMBLE(ts, INTERVAL '10' SECOND)", keys[i], events, json);
        measure("hop 10s/60s", "HOP(ts, INTERVAL '10' SECOND, INTERVAL '60' SECOND)", keys[i],
                events, json);
        measure("hop 1s/60s", "HOP(ts, INTERVAL '1' SECOND, INTERVAL '60' SECOND)", keys[i],
                events, json);
    }
    return 0;
}
