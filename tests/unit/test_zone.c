#include "unit.h"

#include "base/zone_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- zones made here ---- */

static void
put_u32(struct buf *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        buf_append_char(out, (char)(value >> shift));
    }
}

static void
put_time(struct buf *out, int64_t value, size_t size)
{
    if (size == 8) {
        put_u32(out, (uint32_t)((uint64_t)value >> 32));
    }
    put_u32(out, (uint32_t)value);
}

/* What a TZif block says; kinds are {offset, dst, index of the abbreviation}. */
struct made_block {
    char version;
    uint32_t leap_count;
    uint32_t change_count;
    int64_t changes[4];
    unsigned char indices[4];
    uint32_t kind_count;
    int32_t kinds[3][3];
    struct bytes text;
};

static void
put_block(struct buf *out, const struct made_block *block, size_t time_size)
{
    buf_append_string(out, "TZif");
    buf_append_char(out, block->version);
    buf_append(out, bytes_of("\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15));
    put_u32(out, 0);
    put_u32(out, 0);
    put_u32(out, block->leap_count);
    put_u32(out, block->change_count);
    put_u32(out, block->kind_count);
    put_u32(out, (uint32_t)block->text.size);
    for (uint32_t i = 0; i < block->change_count; i++) {
        put_time(out, block->changes[i], time_size);
    }
    buf_append(out, bytes_of(block->indices, block->change_count));
    for (uint32_t i = 0; i < block->kind_count; i++) {
        put_u32(out, (uint32_t)block->kinds[i][0]);
        buf_append_char(out, (char)block->kinds[i][1]);
        buf_append_char(out, (char)block->kinds[i][2]);
    }
    buf_append(out, block->text);
    for (uint32_t i = 0; i < block->leap_count; i++) {
        put_time(out, 78796800, time_size);
        put_u32(out, 1);
    }
}

/* Summer, an hour ahead, is from 1000 to 20000. */
static const struct made_block made = {
        .version = '2',
        .change_count = 2,
        .changes = {1000, 20000},
        .indices = {1, 0},
        .kind_count = 2,
        .kinds = {{3600, 0, 0}, {7200, 1, 4}},
        .text = {"STD\0DST", 8},
};

/* A whole file of version 2: an empty first block, the block, the rule. */
static struct bytes
made_file(struct buf *out, const struct made_block *block, const char *rule)
{
    struct made_block first = {.version = block->version, .kind_count = 1, .text = {"X", 2}};
    put_block(out, &first, 4);
    put_block(out, block, 8);
    buf_printf(out, "\n%s\n", rule);
    return buf_bytes(out);
}

static const struct zone *
made_zone(const struct made_block *block, const char *rule, struct arena *arena)
{
    struct buf file = {.arena = arena};
    return zone_parse(BYTES("Made"), made_file(&file, block, rule), arena);
}

static void
assert_at(const struct zone *zone, int64_t utc_s, int32_t offset_s, const char *abbreviation)
{
    struct zone_span span = zone_at(zone, utc_s);
    char *actual = bytes_to_string(span.abbreviation);
    if (span.offset_s != offset_s || strcmp(actual, abbreviation) != 0 || span.start_s > utc_s ||
        span.end_s <= utc_s) {
        fail_msg("%lld: %d %s, expected %d %s", (long long)utc_s, span.offset_s, actual, offset_s,
                 abbreviation);
    }
    free(actual);
}

static void
all_versions_are_read(void **state)
{
    struct arena arena = {0};
    struct buf old = {.arena = &arena};
    struct made_block first = made;
    first.version = '\0';
    put_block(&old, &first, 4);
    const struct zone *zones[] = {
            zone_parse(BYTES("Old"), buf_bytes(&old), &arena),
            made_zone(&made, "STD-1", &arena),
            made_zone(&made, "", &arena),
    };
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(zones[i]);
        assert_false(zone_is_fixed(zones[i]));
        assert_at(zones[i], INT64_MIN, 3600, "STD");
        assert_at(zones[i], 999, 3600, "STD");
        assert_at(zones[i], 1000, 7200, "DST");
        assert_at(zones[i], 19999, 7200, "DST");
        assert_at(zones[i], 20000, 3600, "STD");
        assert_at(zones[i], INT64_MAX - 1, 3600, "STD");
    }
    assert_bytes(zone_name(zones[0]), "Old");
    struct zone_span span = zone_at(zones[1], 1000);
    assert_int_equal(span.start_s, 1000);
    assert_int_equal(span.end_s, 20000);
    assert_true(span.is_dst);
    arena_fini(&arena);
}

static void
a_local_time_is_resolved_like_java_time(void **state)
{
    struct arena arena = {0};
    const struct zone *zone = made_zone(&made, "STD-1", &arena);
    static const int64_t cases[][2] = {
            {4599, 999},      /* the last second before the gap */
            {4600, 1000},     /* in the gap: an hour later, which is the first of summer */
            {8199, 4599},     /* its last second */
            {8200, 1000},     /* behind it */
            {23599, 16399},   /* before the overlap */
            {23600, 16400},   /* in it: the first of two */
            {27199, 19999},
            {27200, 23600},   /* behind it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(zone_utc_of_local(zone, cases[i][0], NULL), cases[i][1]);
    }
    struct zone_span span;
    zone_utc_of_local(zone, 23600, &span);
    assert_bytes(span.abbreviation, "DST");
    int64_t far = INT64_MAX - ZONE_OFFSET_MAX_S;
    assert_int_equal(zone_utc_of_local(zone, far, NULL), far - 3600);
    assert_int_equal(zone_utc_of_local(zone, -far, NULL), -far - 3600);
    arena_fini(&arena);
}

static void
what_is_no_zone_is_refused(void **state)
{
    struct arena arena = {0};
    struct buf file = {.arena = &arena};
    struct bytes good = made_file(&file, &made, "STD-1");
    assert_non_null(zone_parse(BYTES("x"), good, &arena));
    for (size_t size = 0; size < good.size; size++) {
        assert_null(zone_parse(BYTES("x"), bytes_slice(good, 0, size), &arena));
    }
    struct made_block bad[7] = {made, made, made, made, made, made, made};
    bad[0].indices[1] = 2;      /* no such kind */
    bad[1].changes[1] = 1000;   /* not ascending */
    bad[2].kinds[1][0] = 93601; /* more than 26 hours */
    bad[3].kinds[1][2] = 8;     /* behind the abbreviations */
    bad[4].text.size = 7;       /* without its NUL */
    bad[5].leap_count = 1;
    bad[6].kind_count = 0;
    for (size_t i = 0; i < 7; i++) {
        assert_null(made_zone(&bad[i], "STD-1", &arena));
    }
    static const char *const rules[] = {
            "S-1", "STD", "STD-25", "STD-1DST", "STD-1DST,M3.5.0", "STD-1DST,M13.1.0,M10.5.0",
            "STD-1DST,M3.6.0,M10.5.0", "STD-1DST,M3.5.7,M10.5.0", "STD-1DST,J0,J365",
            "STD-1DST,366,1", "STD-1DST,M3.5.0/168,M10.5.0", "STD-1DST,M3.5.0,M10.5.0x", "<+03-3",
            "<>-3", "STD-1:60", "STD-1:0:60",
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (made_zone(&made, rules[i], &arena) != NULL) {
            fail_msg("%s is taken", rules[i]);
        }
    }
    arena_fini(&arena);
}

static void
rules_go_on_for_ever(void **state)
{
    static const struct {
        const char *rule;
        int64_t utc_s;
        int32_t offset_s;
        const char *abbreviation;
    } cases[] = {
            {"CET-1CEST,M3.5.0,M10.5.0/3", 1774746000 - 1, 3600, "CET"},  /* 2026-03-29T01:00Z */
            {"CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, 7200, "CEST"},
            {"CET-1CEST,M3.5.0,M10.5.0/3", 1792890000 - 1, 7200, "CEST"}, /* 2026-10-25T01:00Z */
            {"CET-1CEST,M3.5.0,M10.5.0/3", 1792890000, 3600, "CET"},
            {"CET-1CEST,M3.5.0,M10.5.0/3", INT64_MAX - 1, 3600, "CET"},
            {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1767225600, 39600, "AEDT"},  /* 2026-01-01 */
            {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1782864000, 36000, "AEST"},  /* 2026-07-01 */
            {"IST-1GMT0,M10.5.0,M3.5.0/1", 1767225600, 0, "GMT"},         /* summer is standard */
            {"IST-1GMT0,M10.5.0,M3.5.0/1", 1782864000, 3600, "IST"},
            {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774745999, -7200, "-02"}, /* before midnight */
            {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774746000, -3600, "-01"},
            {"XXX3EDT4,0/0,J365/23", 1767236399, -14400, "EDT"},          /* summer all year */
            {"XXX3EDT4,0/0,J365/23", 1767236400, -14400, "EDT"},
            {"STD0DST,J60,J61", 1709251200 + 7200, 3600, "DST"},          /* 2024-03-01, leap */
            {"STD0DST,J60,J61", 1709251200 + 7199, 0, "STD"},
            {"STD0DST,59,60", 1709164800 + 7200, 3600, "DST"},            /* 2024-02-29 */
            {"STD0DST,365/167,10", 1767826799, 0, "STD"},                 /* a week into 2026 */
            {"STD0DST,365/167,10", 1767826800, 3600, "DST"},
            {"STD0:30:15", 1767225600, -1815, "STD"},
    };
    struct arena arena = {0};
    struct made_block block = made;
    block.change_count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct zone *zone = made_zone(&block, cases[i].rule, &arena);
        assert_non_null(zone);
        assert_at(zone, cases[i].utc_s, cases[i].offset_s, cases[i].abbreviation);
    }
    arena_fini(&arena);
}

static void
offsets_are_zones(void **state)
{
    static const struct {
        const char *name;
        int32_t offset_s;
        const char *text;
    } cases[] = {
            {"UTC", 0, "UTC"},           {"Z", 0, "UTC"},
            {"GMT", 0, "GMT"},           {"UT", 0, "UTC"},
            {"+05:30", 19800, "+05:30"}, {"-0330", -12600, "-03:30"},
            {"+5", 18000, "+05:00"},     {"+05", 18000, "+05:00"},
            {"-00:00", 0, "UTC"},        {"UTC+01:00", 3600, "+01:00"},
            {"GMT-2", -7200, "-02:00"},  {"UT+18:00", 64800, "+18:00"},
            {"-18:00", -64800, "-18:00"}, {"+01:02:03", 3723, "+01:02:03"},
            {"-010203", -3723, "-01:02:03"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct zone *zone = zone_fixed(bytes_of_string(cases[i].name), &arena);
        assert_non_null(zone);
        assert_bytes(zone_name(zone), cases[i].name);
        assert_true(zone_is_fixed(zone));
        assert_at(zone, 0, cases[i].offset_s, cases[i].text);
        assert_int_equal(zone_utc_of_local(zone, 100000, NULL), 100000 - cases[i].offset_s);
    }
    static const char *const wrong[] = {
            "",       "utc",   "Zulu",   "+",       "5",      "+18:01", "+19", "+5:30", "+05:3",
            "+05:60", "+0530:00", "+05:3000", "UTC 1", "Z+1", "+05:30:", "+053",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (zone_fixed(bytes_of_string(wrong[i]), &arena) != NULL) {
            fail_msg("'%s' is taken", wrong[i]);
        }
    }
    assert_bytes(zone_name(zone_of_offset(0, &arena)), "UTC");
    assert_bytes(zone_name(zone_of_offset(-9000, &arena)), "-02:30");
    arena_fini(&arena);
}

/* ---- the system's zones ---- */

static void
the_system_s_zones_are_right(void **state)
{
    /* Computed with Python's zoneinfo; the hour that is skipped or comes twice with java.time. */
    static const struct {
        const char *name;
        int64_t local_s, utc_s;
        int32_t offset_s;
        const char *abbreviation;
    } cases[] = {
            {"Europe/Oslo", 1774751400, 1774747800, 7200, "CEST"}, /* 2026-03-29T02:30 */
            {"Europe/Oslo", 1792895400, 1792888200, 7200, "CEST"}, /* 2026-10-25T02:30 */
            {"Europe/Oslo", 2855908800, 2855901600, 7200, "CEST"}, /* 2060-07-01T12:00 */
            {"America/Los_Angeles", 1196676930, 1196705730, -28800, "PST"}, /* 2007-12-03T10:15:30 */
            {"America/New_York", 1772935200, 1772953200, -14400, "EDT"}, /* 2026-03-08T02:00 */
            {"America/New_York", 1793498399, 1793512799, -14400, "EDT"}, /* 2026-11-01T01:59:59 */
            {"Asia/Kolkata", 1497048540, 1497028740, 19800, "IST"}, /* 2017-06-09T22:49 */
            {"Australia/Lord_Howe", 1775353500, 1775313900, 39600, "+11"}, /* 2026-04-05T01:45 */
            {"Australia/Lord_Howe", 1791080100, 1791042300, 39600, "+11"}, /* 2026-10-04T02:15 */
            {"Africa/Casablanca", 1771122600, 1771119000, 3600, "+01"}, /* 2026-02-15T02:30 */
            {"Europe/Dublin", 1909094400, 1909090800, 3600, "IST"}, /* 2030-07-01T00:00 */
            {"America/Sao_Paulo", 1541291400, 1541302200, -7200, "-02"}, /* 2018-11-04T00:30 */
            {"Pacific/Apia", 1325246400, 1325282400, 50400, "+14"}, /* 2011-12-30T12:00 */
            {"Asia/Kathmandu", 946684800, 946664100, 20700, "+0545"}, /* 2000-01-01T00:00 */
            {"America/Belize", 78400, 100000, -21600, "CST"}, /* 1970-01-01T21:46:40 */
            {"Etc/GMT+5", 1577836800, 1577854800, -18000, "-05"}, /* 2020-01-01T00:00 */
            {"Africa/Monrovia", -315619200, -315616530, -2670, "MMT"}, /* 1960-01-01T00:00 */
    };
    struct zone_cache cache;
    zone_cache_init(&cache, &os_posix, ZONE_FOLDER);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct zone *zone = zone_cache_find(&cache, bytes_of_string(cases[i].name));
        if (zone == NULL) {
            fail_msg("%s is missing: is tzdata installed?", cases[i].name);
        }
        assert_at(zone, cases[i].utc_s, cases[i].offset_s, cases[i].abbreviation);
        assert_int_equal(zone_utc_of_local(zone, cases[i].local_s, NULL), cases[i].utc_s);
    }
    zone_cache_fini(&cache);
}

/* ---- the cache ---- */

struct counting_os {
    struct os os;
    unsigned opened;
};

static int
counting_open(const struct os *os, const char *path, int flags, mode_t mode)
{
    ((struct counting_os *)os)->opened++;
    return os_posix.open(&os_posix, path, flags, mode);
}

static void
files_are_read_once_and_only_below_the_folder(void **state)
{
    char folder[] = "/tmp/headgate-zone-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct arena arena = {0};
    struct buf file = {.arena = &arena};
    made_file(&file, &made, "STD-1");
    const char *path = arena_printf(&arena, "%s/Made", folder).data;
    const char *text = arena_printf(&arena, "%s/notes", folder).data;
    assert_int_equal(os_replace_file(&os_posix, path, buf_bytes(&file), 0600), 0);
    assert_int_equal(os_replace_file(&os_posix, text, BYTES("no zone"), 0600), 0);
    struct counting_os counting = {.os = os_posix};
    counting.os.open = counting_open;
    struct zone_cache cache;
    zone_cache_init(&cache, &counting.os, folder);

    const struct zone *zone = zone_cache_find(&cache, BYTES("Made"));
    assert_non_null(zone);
    assert_ptr_equal(zone_cache_find(&cache, BYTES("Made")), zone);
    assert_int_equal(counting.opened, 1);
    for (int i = 0; i < 2; i++) {
        assert_null(zone_cache_find(&cache, BYTES("notes")));
        assert_null(zone_cache_find(&cache, BYTES("Nowhere")));
    }
    assert_int_equal(counting.opened, 3);

    const char *inside = strrchr(folder, '/') + 1;
    struct bytes tricks[] = {
            BYTES(""), BYTES("/Made"), BYTES("../Made"), BYTES("./Made"), BYTES("x//Made"),
            BYTES("Made/"), BYTES("Ma de"), BYTES("Made\0x"), bytes_of_string(path),
            arena_printf(&arena, "x/../../%s/Made", inside),
            BYTES("MadeMadeMadeMadeMadeMadeMadeMadeMadeMadeMadeMadeMadeMadeMadeMade4"),
    };
    for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
        assert_null(zone_cache_find(&cache, tricks[i]));
    }
    assert_int_equal(counting.opened, 3);

    for (int i = 0; i < 3 * ZONES_MISSING_MAX; i++) {
        assert_null(zone_cache_find(&cache, arena_printf(&arena, "none%d", i)));
        assert_true(cache.missing.count <= ZONES_MISSING_MAX);
    }
    assert_ptr_equal(zone_cache_find(&cache, BYTES("Made")), zone);
    zone_cache_fini(&cache);
    arena_fini(&arena);
    unlink(path);
    unlink(text);
    rmdir(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(all_versions_are_read),
            cmocka_unit_test(a_local_time_is_resolved_like_java_time),
            cmocka_unit_test(what_is_no_zone_is_refused),
            cmocka_unit_test(rules_go_on_for_ever),
            cmocka_unit_test(offsets_are_zones),
            cmocka_unit_test(the_system_s_zones_are_right),
            cmocka_unit_test(files_are_read_once_and_only_below_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
