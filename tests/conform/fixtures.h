/*
 * How the conformance suite opens each driver: one row in fixtures.c for each row of drivers.def.
 *
 * To add a driver: give its row good options (name, value, ..., NULL), options with which open
 * must fail, and a payload that it delivers. Where it needs something outside (a server, a file)
 * `start` makes it and adds options for it, `stop` takes it away again. A driver that cannot be
 * opened without a product that the tests do not have gets `.outside_help` with the reason.
 */
#ifndef HEADGATE_TESTS_FIXTURES_H
#define HEADGATE_TESTS_FIXTURES_H

#include "conform/rig.h"

enum { STAGE_OPTIONS_MAX = 16 };

/* What is set up around the instances of one check. */
struct stage {
    const char *options[STAGE_OPTIONS_MAX + 1]; /* the fixture's and those of `start` */
    size_t option_count;
    char folder[40];   /* with the handlers; "" when none was made */
    struct stub *stub; /* NULL when there is none */
    char url[64];
    int saved_stdout;
};

/* Adds an option; both texts must live as long as the stage. */
void stage_add(struct stage *stage, const char *name, const char *value);

struct fixture {
    const char *driver;
    const char *outside_help; /* why it cannot be opened here; NULL: it can */
    const char *const *options;
    const char *const *bad_options; /* NULL: no options make it fail */
    const char *payload;
    const char *source;
    void (*start)(struct stage *stage);
    void (*stop)(struct stage *stage);
};

/* The row of a driver, or NULL. */
const struct fixture *fixture_find(const char *driver);

#endif
