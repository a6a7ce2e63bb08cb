/*
 * Finds the release of mosquitto on this machine, and compares it with a table of what releases do
 * wrong. The program is asked and not the running broker: that one may not run, may hide $SYS, and
 * has in general been started from the program that is installed.
 */
#include "broker_release.h"

#include <inttypes.h>
#include <stdlib.h>

enum { RELEASE_MAJOR = 10000, RELEASE_MINOR = 100, NUMBER_MAX = 99, EXPIRY_MENDED = 20015 };

/* "2.0.11" at the start of a text; 0 when it is none. */
static unsigned
parse_release(struct bytes text)
{
    unsigned parts[3] = {0}, count = 0;
    size_t i = 0;
    while (count < 3) {
        size_t start = i;
        unsigned number = 0;
        for (; i < text.size && text.data[i] >= '0' && text.data[i] <= '9' && number <= NUMBER_MAX;
             i++) {
            number = number * 10 + (unsigned)(text.data[i] - '0');
        }
        if (i == start || number > NUMBER_MAX) {
            return 0;
        }
        parts[count++] = number;
        if (count < 3 && (i >= text.size || text.data[i++] != '.')) {
            return 0;
        }
    }
    return parts[0] * RELEASE_MAJOR + parts[1] * RELEASE_MINOR + parts[2];
}

/* What stands behind `label` in a text, up to the end of the line. */
static struct bytes
behind(struct bytes text, const char *label)
{
    struct bytes rest = text, line;
    while (bytes_split(&rest, '\n', &line)) {
        if (bytes_starts_with(line, bytes_of_string(label))) {
            return bytes_trim(bytes_slice(line, strlen(label), line.size));
        }
    }
    return (struct bytes){0};
}

/* Whether dpkg knows the package, in a version that has its release's security updates. */
static bool
is_patched(const struct doctor_world *world)
{
    struct buf text = {0};
    bool is_package = false, found = false;
    if (doctor_read(world, "/var/lib/dpkg/status", &text)) {
        struct bytes rest = buf_bytes(&text), line;
        while (!found && bytes_split(&rest, '\n', &line)) {
            if (bytes_starts_with(line, BYTES("Package: "))) {
                is_package = bytes_equal(line, BYTES("Package: mosquitto"));
            } else if (is_package && bytes_starts_with(line, BYTES("Version: "))) {
                size_t plus = bytes_find(line, '+');
                found = bytes_starts_with(bytes_slice(line, plus, line.size), BYTES("+deb"));
            }
        }
    }
    buf_fini(&text);
    return found;
}

void
mosquitto_release_find(struct mosquitto_release *out, const struct doctor_world *world)
{
    struct buf help = {0};
    world->broker_help(world, &help);
    unsigned number = parse_release(behind(buf_bytes(&help), "mosquitto version "));
    *out = (struct mosquitto_release){.is_known = number > 0, .number = number,
                                      .is_patched_by_debian = number > 0 && is_patched(world)};
    buf_fini(&help);
}

bool
mosquitto_release_at_least(const struct mosquitto_release *release, unsigned major, unsigned minor,
                           unsigned patch)
{
    return release->is_known &&
           release->number >= major * RELEASE_MAJOR + minor * RELEASE_MINOR + patch;
}

static bool
is_between(const struct mosquitto_release *release, unsigned from, unsigned before)
{
    return release->number >= from && release->number < before;
}

void
mosquitto_release_look(const struct mosquitto_release *release,
                       const struct mosquitto_config *config, struct report *report)
{
    if (!release->is_known) {
        report_fact(report, "no mosquitto is installed here, so its release was not looked at");
        return;
    }
    unsigned major = release->number / RELEASE_MAJOR;
    unsigned minor = release->number / RELEASE_MINOR % 100;
    unsigned patch = release->number % 100;
#define MOSQUITTO_BUG(from, before, when, level, what, why, fix)                       \
    if (is_between(release, from, before) && (when)) {                                 \
        report_add(report, level, "mosquitto %u.%u.%u: %s", major, minor, patch, what); \
        report_why(report, "%s", why);                                                 \
        report_fix(report, "%s", fix);                                                 \
    }
#include "broker_release.def"
#undef MOSQUITTO_BUG
    report_fact(report, "mosquitto %u.%u.%u%s", major, minor, patch, release->number >=
                EXPIRY_MENDED ? "" : " (in which a message that expires in the queue may hold up "
                "those behind it: mosquitto #2609)");
}
