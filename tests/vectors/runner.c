/*
 * vectors KIND FILE.jsonl [PENDING]
 *
 * Runs a file of test vectors, one JSON object a line, against the library. For each failure one
 * line is printed (id, what was expected, what came), then "N passed, N failed". PENDING lists what
 * is not built yet, a line each: an id or an area, and the reason. A pending vector is run all the
 * same: it is an error when it passes, so that the list can only shrink.
 *
 * KIND: iot-sql (iot_sql.c), windows and flink (windows.c).
 */
#include "host.h"
#include "vector.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    bool (*run)(struct vector *vector, struct buf *out);
} kinds[] = {{"iot-sql", run_iot_sql}, {"windows", run_windows}, {"flink", run_flink}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- the file ---- */

static struct bytes
read_file(const char *path, struct arena *arena)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    struct buf content = {.arena = arena};
    size_t got;
    do {
        got = fread(buf_reserve(&content, 65536), 1, 65536, file);
        content.size += got;
    } while (got > 0);
    fclose(file);
    return buf_bytes(&content);
}

/* ---- pending ---- */

/* The line of `list` that names the vector's id or area; false when there is none. */
static bool
is_pending(struct bytes list, const struct vector *vector)
{
    struct bytes line;
    while (bytes_split(&list, '\n', &line)) {
        struct bytes name = bytes_slice(line, 0, bytes_find(line, ' '));
        if (name.size > 0 && (bytes_equal(name, vector->id) || bytes_equal(name, vector->area))) {
            return true;
        }
    }
    return false;
}

struct tally {
    unsigned passed, failed, pending;
};

static void
run_line(struct bytes line, size_t kind, struct bytes pending, const struct rule_host *host,
         struct tally *tally)
{
    struct vector vector = {.host = host};
    struct json_error error;
    if (!json_parse(&vector.json, line, 1000, &vector.arena, &error)) {
        printf("line is no JSON: %s\n", error.message);
        tally->failed++;
        arena_fini(&vector.arena);
        return;
    }
    vector.id = member_string(&vector, 0, "id");
    vector.area = member_string(&vector, 0, "area");
    struct buf got = {0};
    bool passed = kinds[kind].run(&vector, &got);
    bool later = is_pending(pending, &vector);
    struct bytes expected = json_raw(&vector.json, member(&vector, "expect"));
    if (passed && later) {
        printf("%.*s: passes but is listed as pending\n", BYTES_ARG(vector.id));
        tally->failed++;
    } else if (passed) {
        tally->passed++;
    } else if (later) {
        tally->pending++;
    } else {
        printf("%.*s: expected %.*s, got %s\n", BYTES_ARG(vector.id), BYTES_ARG(expected),
               buf_string(&got));
        tally->failed++;
    }
    buf_fini(&got);
    arena_fini(&vector.arena);
}

int
main(int argc, char **argv)
{
    size_t kind = 0;
    while (argc > 2 && kind < KINDS && strcmp(argv[1], kinds[kind].name) != 0) {
        kind++;
    }
    if (argc < 3 || argc > 4 || kind == KINDS) {
        fprintf(stderr, "usage: vectors iot-sql|windows FILE.jsonl [PENDING]\n");
        return 2;
    }
    struct arena arena = {0};
    struct bytes rest = read_file(argv[2], &arena), line;
    struct bytes pending = argc == 4 ? read_file(argv[3], &arena) : BYTES("");
    struct tally tally = {0};
    struct host host;
    host_init(&host, &os_posix);
    while (bytes_split(&rest, '\n', &line)) {
        if (line.size > 0) {
            run_line(line, kind, pending, &host.rule, &tally);
        }
    }
    printf("%u passed, %u failed", tally.passed, tally.failed);
    if (argc == 4) {
        printf(", %u pending", tally.pending);
    }
    printf("\n");
    host_fini(&host);
    arena_fini(&arena);
    return tally.failed > 0 || tally.passed == 0;
}
