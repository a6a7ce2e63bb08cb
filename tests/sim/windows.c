/*
 * Windows of event time, against a model: each token in the order of the journal, one after the
 * other, as a gateway that never crashed would see them.
 *
 *   window of a token = its time, in whole WINDOW_MS
 *   watermark         = the highest time before it, less DELAY_MS
 *   late              = the watermark had passed the window's last millisecond; counted nowhere
 *   in the store      = windows that the last watermark has passed, each once
 *
 * Times are the devices', who know better when the gateway's clock is wrong, but up to SPREAD_MS
 * behind, so tokens come out of order and some are late. A loss of power takes from the journal what
 * was not synced. With `always` rules have not seen that. With the other policies they may have:
 * nothing can be compared then.
 */
#include "world.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { WINDOW_MS = 100, DELAY_MS = 50, SPREAD_MS = 150 };

struct dated_window {
    int64_t number; /* its beginning in WINDOW_MS */
    uint64_t count;
    uint64_t sum; /* of the tokens' numbers */
};

/* Chance of its own: the same token has the same time, whatever else was drawn. */
int64_t
sim_event_time(struct sim *sim, size_t index)
{
    uint64_t mixed = (sim->setup.seed * 31 + index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return sim->os->mono_us(sim->os) / 1000 - (int64_t)((mixed >> 33) % SPREAD_MS);
}

static struct dated_window *
find(const struct dated_windows *windows, int64_t number)
{
    for (size_t i = 0; i < windows->count; i++) {
        if (windows->windows[i].number == number) {
            return &windows->windows[i];
        }
    }
    return NULL;
}

static struct dated_window *
add(struct dated_windows *windows, int64_t number)
{
    windows->windows = mem_grow(windows->windows, windows->count, &windows->capacity,
                                sizeof *windows->windows);
    struct dated_window *window = &windows->windows[windows->count++];
    *window = (struct dated_window){.number = number};
    return window;
}

void
dated_windows_note(struct sim *sim, struct dated_windows *windows, const char *row)
{
    uint64_t count, sum;
    int64_t first_ms;
    if (sscanf(row, "{\"n\":%" SCNu64 ",\"k\":%" SCNu64 ",\"t\":%" SCNd64 "}", &count, &sum,
               &first_ms) != 3) {
        sim_wrong(sim, "store: '%s' is no dated window", row);
        return;
    }
    if (find(windows, first_ms / WINDOW_MS) != NULL && !sim->has_lost_input) {
        sim_wrong(sim, "store: the window at %" PRId64 " is there twice", first_ms / WINDOW_MS);
        return;
    }
    struct dated_window *window = add(windows, first_ms / WINDOW_MS);
    window->count = count;
    window->sum = sum;
}

/* Gives the last watermark. */
static int64_t
model(const struct sim *sim, struct dated_windows *out)
{
    int64_t watermark = INT64_MIN;
    for (size_t i = 0; i < sim->token_count; i++) {
        const struct token *token = &sim->tokens[i];
        if (token->next == 0 || token->value == 9) {
            continue;
        }
        int64_t number = token->time_ms / WINDOW_MS;
        if ((number + 1) * WINDOW_MS - 1 > watermark) {
            struct dated_window *window = find(out, number);
            window = window == NULL ? add(out, number) : window;
            window->count++;
            window->sum += i;
        }
        watermark = token->time_ms - DELAY_MS > watermark ? token->time_ms - DELAY_MS : watermark;
    }
    return watermark;
}

void
dated_windows_check(struct sim *sim, struct dated_windows *windows)
{
    struct dated_windows expected = {0};
    int64_t watermark = model(sim, &expected);
    size_t due = 0;
    for (size_t i = 0; i < expected.count && !sim->has_lost_input; i++) {
        const struct dated_window *window = &expected.windows[i];
        const struct dated_window *stored = find(windows, window->number);
        bool is_due = (window->number + 1) * WINDOW_MS - 1 <= watermark;
        due += is_due;
        if (is_due != (stored != NULL) ||
            (is_due && (stored->count != window->count || stored->sum != window->sum))) {
            sim_wrong(sim,
                      "the window at %" PRId64 " has %" PRIu64 " messages (sum %" PRIu64
                      "), without a crash %" PRIu64 " (sum %" PRIu64 ")%s",
                      window->number, stored == NULL ? 0 : stored->count,
                      stored == NULL ? 0 : stored->sum, window->count, window->sum,
                      is_due ? "" : " and not yet");
        }
    }
    if (!sim->has_lost_input && windows->count != due) {
        sim_wrong(sim, "%zu windows of event time, without a crash %zu", windows->count, due);
    }
    free(windows->windows);
    free(expected.windows);
}
