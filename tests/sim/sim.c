/*
 * The simulator's command line: what a failure prints is what repeats it.
 *
 *   sim --seeds 10000              crashes by chance, from the seed on
 *   sim --every-moment             one seed, a crash at each of its moments, in each mode
 *   sim --seed 7 --trace           one seed, one line an event
 *   sim --seed 7 --crash 312 --mode tear
 *   sim --break ack-early          must be found
 *
 * HEADGATE_SEED is the default of --seed. Exits with 0 when all is well, 1 when something is not.
 */
#define _GNU_SOURCE
#include "world.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct wish {
    struct sim_setup setup;
    uint64_t seeds;
    bool every_moment;
    bool has_log;
};

/* Runs once; true when all is well. */
static bool
run(const struct sim_setup *setup, uint64_t *moments)
{
    struct sim sim;
    sim_run(&sim, setup);
    bool is_good = sim.wrong.size == 0;
    if (!is_good) {
        printf("%sseed %" PRIu64 ", %u lives; repeat with: sim --seed %" PRIu64,
               buf_string(&sim.wrong), setup->seed, sim.lives, setup->seed);
        if (setup->crash_at != UINT64_MAX) {
            printf(" --crash %" PRIu64 " --mode %s", setup->crash_at, sim_mode_name(setup->mode));
        }
        printf(" --messages %u --break %s --trace\n", setup->messages,
               sim_break_name(setup->broken));
    }
    *moments = sim.moments;
    sim_fini(&sim);
    return is_good;
}

static bool
run_seeds(const struct wish *wish)
{
    struct sim_setup setup = wish->setup;
    uint64_t all_moments = 0;
    bool is_good = true;
    for (uint64_t i = 0; i < wish->seeds && is_good; i++) {
        uint64_t moments;
        is_good = run(&setup, &moments);
        all_moments += moments;
        setup.seed++;
    }
    if (is_good) {
        printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " moments: all is well\n",
               wish->seeds, wish->setup.seed, all_moments);
    }
    return is_good;
}

static bool
run_every_moment(const struct wish *wish)
{
    struct sim_setup setup = wish->setup;
    uint64_t moments, unused;
    setup.crash_at = 0;
    bool is_good = run(&setup, &moments);
    for (setup.crash_at = 1; setup.crash_at <= moments && is_good; setup.crash_at++) {
        for (int mode = CRASH_KILL; mode <= CRASH_TEAR && is_good; mode++) {
            setup.mode = (enum crash_mode)mode;
            is_good = run(&setup, &unused);
        }
    }
    if (is_good) {
        printf("seed %" PRIu64 ", a crash of each kind at each of %" PRIu64
               " moments: all is well\n",
               setup.seed, moments);
    }
    return is_good;
}

static bool
parse_mode(const char *text, enum crash_mode *out)
{
    for (int mode = CRASH_KILL; mode <= CRASH_TEAR; mode++) {
        if (strcmp(text, sim_mode_name((enum crash_mode)mode)) == 0) {
            *out = (enum crash_mode)mode;
            return true;
        }
    }
    return false;
}

static bool
parse_break(const char *text, enum sim_break *out)
{
    for (int broken = 0; broken < BREAK_COUNT; broken++) {
        if (strcmp(text, sim_break_name((enum sim_break)broken)) == 0) {
            *out = (enum sim_break)broken;
            return true;
        }
    }
    return false;
}

static bool
parse_number(const char *text, uint64_t *out)
{
    int64_t number;
    bool is_good = bytes_to_int64(bytes_of_string(text), &number) && number >= 0;
    *out = is_good ? (uint64_t)number : 0;
    return is_good;
}

/* An option without a value. */
static bool
parse_flag(struct wish *wish, const char *name)
{
    bool *flag = strcmp(name, "--every-moment") == 0 ? &wish->every_moment
                 : strcmp(name, "--trace") == 0      ? &wish->setup.traces
                 : strcmp(name, "--log") == 0        ? &wish->has_log
                                                     : NULL;
    if (flag != NULL) {
        *flag = true;
    }
    return flag != NULL;
}

static bool
parse_value(struct wish *wish, const char *name, const char *value)
{
    if (strcmp(name, "--mode") == 0) {
        return parse_mode(value, &wish->setup.mode);
    }
    if (strcmp(name, "--break") == 0) {
        return parse_break(value, &wish->setup.broken);
    }
    uint64_t messages = wish->setup.messages;
    uint64_t *number = strcmp(name, "--seed") == 0       ? &wish->setup.seed
                       : strcmp(name, "--seeds") == 0    ? &wish->seeds
                       : strcmp(name, "--crash") == 0    ? &wish->setup.crash_at
                       : strcmp(name, "--messages") == 0 ? &messages
                                                         : NULL;
    bool is_good = number != NULL && parse_number(value, number);
    wish->setup.messages = (unsigned)messages;
    return is_good && messages > 0;
}

static bool
parse(struct wish *wish, int argc, char **argv)
{
    bool is_good = true;
    for (int i = 1; i < argc && is_good; i++) {
        if (!parse_flag(wish, argv[i])) {
            is_good = i + 1 < argc && parse_value(wish, argv[i], argv[i + 1]);
            i++;
        }
    }
    return is_good;
}

int
main(int argc, char **argv)
{
    const char *seed = getenv("HEADGATE_SEED");
    struct wish wish = {
            .setup = {.seed = seed == NULL ? 1 : strtoull(seed, NULL, 10),
                      .messages = 40,
                      .crash_at = UINT64_MAX},
            .seeds = 1,
    };
    if (!parse(&wish, argc, argv)) {
        fprintf(stderr,
                "usage: sim [--seed N] [--seeds N | --every-moment] [--crash N]\n"
                "           [--mode kill|drop|tear] [--messages N] [--break NAME]\n"
                "           [--trace] [--log]\n");
        return 2;
    }
    log_setup(wish.has_log ? LOG_DEBUG : LOG_NOTHING, "sim");
    bool is_good = wish.every_moment ? run_every_moment(&wish) : run_seeds(&wish);
    return is_good ? 0 : 1;
}
